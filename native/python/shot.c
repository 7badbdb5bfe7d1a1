/* See shot.h. */
#include "python/shot.h"

#include "store/look.h"

const char *fe_python_step_name(fe_step_kind kind)
{
    static const char *const names[FE_STEP_KIND_COUNT] = {
        [FE_STEP_INDEX] = "index", [FE_STEP_EXPIRE] = "expire", [FE_STEP_COMPACT] = "compact",
        [FE_STEP_TIER] = "tier",   [FE_STEP_FROZEN] = "frozen", [FE_STEP_FETCH] = "fetch",
        [FE_STEP_BATCH] = "batch",
    };
    return names[kind];
}

/* What only a look at every connection tells. */
static void look_at_clients(const fe_clients *clients, fe_shot *shot)
{
    for (const fe_client *client = clients->first; client != NULL; client = client->next) {
        if (client->input_cap > shot->client_max_input) shot->client_max_input = client->input_cap;
        uint64_t output = client->output_cap + client->pushed.cap;
        if (output > shot->client_max_output) shot->client_max_output = output;
        shot->blocked_clients += client->blocked;
        const fe_session *session = (const fe_session *)client;
        bool parked = session->park == FE_PARK_TIME || session->park == FE_PARK_PAUSE;
        shot->timed_clients += parked && session->due_ms != 0 && session->due_ms != INT64_MAX;
    }
}

uint64_t fe_python_note_peak(fe_engine *engine)
{
    uint64_t used = fe_look_memory(engine->store);
    if (used > engine->stats.memory_peak) engine->stats.memory_peak = used;
    return used;
}

void fe_python_take_shot(fe_server *server, fe_shot *shot)
{
    fe_engine *engine = server->engine;
    *shot = (fe_shot){.engine = engine->stats,
                      .used = fe_look_memory(engine->store),
                      .clients_memory = server->clients.memory,
                      .slowlog_length = engine->slowlog.count,
                      .clients = server->clients.count,
                      .monitors = server->clients.monitors,
                      .python_waiting = server->python_waiting,
                      .watches = server->clients.watches.count,
                      .started_ms = engine->started_ms,
                      .now_ms = engine->now_ms,
                      .counted_since_ms = engine->counted_since_ms,
                      .ticks_per_us = engine->ticks_per_us};
    fe_store_stats_get(engine->store, &shot->store);
    fe_store_misses_get(engine->store, &shot->misses);
    look_at_clients(&server->clients, shot);
    for (int i = 0; i < FE_ALLOC_CLASS_COUNT; i++)
        shot->by_class[i] = fe_alloc_used(&engine->alloc, (fe_alloc_class)i);
    (void)fe_python_note_peak(engine);
    shot->engine.memory_peak = engine->stats.memory_peak;
}
