/* The thread that writes sealed segments to their files, and the chores of a tiered store. Nothing of
 * this exists in an engine without a data folder: there, every function here does nothing. */
#ifndef FE_ENGINE_FLUSHER_H
#define FE_ENGINE_FLUSHER_H

#include "engine/engine.h"

typedef struct fe_flusher fe_flusher;

/* Starts the thread; engine->flusher is set. False when the system refuses. */
FE_MUST_USE bool fe_flusher_start(fe_engine *engine);

/* Lets it finish the segment that it is writing, and joins it. */
void fe_flusher_stop(fe_engine *engine);

/* Tells the thread that there is work now. The lock is held. */
void fe_flusher_wake(fe_engine *engine);

/* One round of the chores: seals, demotes, unmaps, removes files of dead segments, each a bounded
 * number. Any thread, several at once. Returns whether there is more to do at once. */
bool fe_flusher_chores(fe_engine *engine);

/* Submits reads that were put off; they go with the next batch of commands, and here when there is none. The last that
 * a thread does before it rests: the kernel may give a read back only when the thread that submitted it
 * can be interrupted, which it cannot while it removes a file. */
void fe_flusher_submit_reads(fe_engine *engine);

/* Writes one sealed segment and does the chores, without the thread: for tests. Returns whether there
 * is more to do at once. */
bool fe_flusher_round(fe_engine *engine);

#endif
