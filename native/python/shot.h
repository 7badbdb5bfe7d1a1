/* The engine's numbers as they were at one moment: copied under the lock into plain structs, and made into
 * Python objects after it has been left. What statistics(), INFO and metrics() tell. */
#ifndef FE_PYTHON_SHOT_H
#define FE_PYTHON_SHOT_H

#include "python/face.h"

typedef struct fe_shot {
    fe_engine_stats engine;
    fe_store_stats store;
    fe_miss_stats misses;
    uint64_t used, by_class[FE_ALLOC_CLASS_COUNT], clients_memory;
    uint64_t slowlog_length;
    uint64_t client_max_input, client_max_output;
    uint32_t blocked_clients, timed_clients;
    uint32_t clients, monitors, python_waiting, watches;
    int64_t started_ms, now_ms, counted_since_ms;
    double ticks_per_us;
} fe_shot;

/* Raises the peak of used memory to what is used now, which is returned. The lock is held. */
uint64_t fe_python_note_peak(fe_engine *engine);

/* The lock is held, for as long as a look at every connection takes. */
void fe_python_take_shot(fe_server *server, fe_shot *shot);

/* As operators know a step: "index", "expire", ... */
const char *fe_python_step_name(fe_step_kind kind);

#endif
