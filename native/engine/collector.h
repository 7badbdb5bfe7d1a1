/* The thread that reclaims what is on disk: jobs over the footers of segments (store/frozen.h). It
 * exists in an engine with a data folder only: without one, every function here does nothing. */
#ifndef FE_ENGINE_COLLECTOR_H
#define FE_ENGINE_COLLECTOR_H

#include "engine/engine.h"

typedef struct fe_collector fe_collector;

/* Starts the thread; engine->collector is set. False when the system refuses. */
FE_MUST_USE bool fe_collector_start(fe_engine *engine);

/* Ends the job under way, at its next step, and joins the thread. */
void fe_collector_stop(fe_engine *engine);

/* One whole job, without the thread and without pauses: for tests and DEBUG. Returns whether one was
 * due; a job that had to wait is given up. */
bool fe_collector_round(fe_engine *engine);

#endif
