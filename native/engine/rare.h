/* The engine's rare events (event/rare.h): which work is one, and what it tells of itself.
 *
 * All calls: the engine's lock is held. While traces are off each is a branch.
 */
#ifndef FE_ENGINE_RARE_H
#define FE_ENGINE_RARE_H

#include "engine/engine.h"
#include "store/frozen.h"
#include "store/tier.h"

/* The words are Python's: ferrite_py/telemetry/rare.py. The first are fe_frozen_purpose. */
#define FE_RARE_PURPOSE_MEMORY FE_FROZEN_PURPOSES

/* Sets what is recorded of commands and of rare events; the first time that anything is, what the data folder
 * held at the start is told. False when memory is exhausted. */
FE_MUST_USE bool fe_engine_set_telemetry(fe_engine *engine, const fe_telemetry_options *options);

/* A segment is written. What changes its tier between begun and ended is told below the flush. */
void fe_rare_flush_begin(fe_engine *engine, fe_rare_event *event, uint64_t ticks);
void fe_rare_flush_end(fe_engine *engine, fe_rare_event *event, const fe_flush_job *job);

/* A step that may demote segments. What it seals is told apart from it. */
typedef struct fe_rare_step {
    fe_rare_event event;
    uint64_t demoted, mapped;
} fe_rare_step;
void fe_rare_step_begin(fe_engine *engine, fe_rare_step *step, uint64_t ticks);
void fe_rare_step_end(fe_engine *engine, fe_rare_step *step);

/* A walk over a segment on disk. */
void fe_rare_walk_begin(fe_engine *engine, fe_rare_event *event, const fe_frozen_job *job,
                        uint64_t ticks);
void fe_rare_walk_end(fe_engine *engine, fe_rare_event *event, const fe_frozen_job *job);

/* A run of compaction in memory: its steps, one after the other; the last has `more` false. The run begins with the
 * first that has moved anything. `ticks`, `before`: when the step began, and what had been done by then. */
void fe_rare_compact_step(fe_engine *engine, fe_rare_event *event, uint64_t ticks,
                          const fe_store_compacted *before, bool more);

/* A connection that ends. */
typedef struct fe_rare_connection {
    uint64_t opened_ticks; /* 0: not known, and not told */
    uint64_t id, commands, received, sent;
    bool cut_off;
    fe_bytes peer;
} fe_rare_connection;
void fe_rare_connection_end(fe_engine *engine, const fe_rare_connection *connection);

/* A save that has ended. */
void fe_rare_saved(fe_engine *engine, uint64_t began_ticks, const fe_save_report *report,
                   bool saved);

#endif
