/* The background thread: calls the store's steps, each under the lock and bounded, and unmaps and
 * maps memory outside it. */
#ifndef FE_ENGINE_WORKERS_H
#define FE_ENGINE_WORKERS_H

#include "engine/engine.h"

typedef struct fe_workers fe_workers;

/* Starts the thread; engine->workers is set. False when the system refuses. */
FE_MUST_USE bool fe_workers_start(fe_engine *engine);

/* Stops and joins it. */
void fe_workers_stop(fe_engine *engine);

/* Tells the thread that there is work now (after FLUSHALL, say). Any thread, with or without the
 * lock. */
void fe_workers_wake(fe_engine *engine);

/* One round of every background step, without the thread: for tests. Returns whether there is more
 * to do at once. */
bool fe_workers_round(fe_engine *engine);

#endif
