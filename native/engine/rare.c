/* See rare.h. */
#include "engine/rare.h"

#include "store/keyspace.h"

/* Epochs ----------------------------------------------------------------------------------------- */

static void on_change(void *context, uint32_t segment, fe_tier tier, uint64_t began_ticks)
{
    fe_engine *engine = context;
    fe_rare_event event;
    const fe_rare_event *parent = engine->rare.parent;
    /* A step is told when it has demoted anything, which nobody knows while it seals. */
    if (tier == FE_TIER_SEALED) engine->rare.parent = NULL;
    bool wanted = fe_rare_begin(&engine->rare, &event, FE_RARE_EPOCH, began_ticks);
    engine->rare.parent = parent;
    if (!wanted) return;
    event.numbers[0] = segment;
    event.numbers[1] = fe_store_epoch(engine->store);
    event.numbers[2] = tier;
    fe_rare_end(&engine->rare, &event, fe_clock_ticks(), false);
}

/* Start and stop --------------------------------------------------------------------------------- */

static void put_report(fe_rare_event *event, uint64_t first, const fe_save_report *report)
{
    event->numbers[0] = first;
    event->numbers[1] = report->keys;
    event->numbers[2] = report->segments;
    event->numbers[3] = report->segment_bytes;
    event->numbers[4] = report->index_bytes;
    event->numbers[5] = report->orphans;
}

static void tell_found(fe_engine *engine)
{
    const fe_save_report *found = &engine->found;
    fe_rare_event event;
    if (engine->is_found_told || engine->device == NULL || found->found == FE_SAVE_EMPTY) return;
    if (!fe_rare_begin(&engine->rare, &event, FE_RARE_RECOVERY, engine->load_ticks[0])) return;
    engine->is_found_told = true;
    put_report(&event, found->found, found);
    fe_rare_set_text(&event, (fe_bytes){(const uint8_t *)found->aside, strlen(found->aside)});
    fe_rare_keep(&engine->rare, &event, engine->load_ticks[1]);
}

void fe_rare_saved(fe_engine *engine, uint64_t began_ticks, const fe_save_report *report,
                   bool saved)
{
    fe_rare_event event;
    if (!fe_rare_begin(&engine->rare, &event, FE_RARE_CHECKPOINT, began_ticks)) return;
    if (saved) put_report(&event, 0, report);
    event.numbers[0] = !saved;
    fe_rare_keep(&engine->rare, &event, fe_clock_ticks());
}

bool fe_engine_set_telemetry(fe_engine *engine, const fe_telemetry_options *options)
{
    bool set = fe_telemetry_set(&engine->telemetry, options);
    set &= fe_rare_follow(&engine->rare); /* the options are in force, whatever has no memory */
    fe_tier_on_change(engine->store, engine->rare.is_on ? on_change : NULL, engine);
    tell_found(engine);
    return set;
}

/* Segments --------------------------------------------------------------------------------------- */

void fe_rare_flush_begin(fe_engine *engine, fe_rare_event *event, uint64_t ticks)
{
    (void)fe_rare_begin(&engine->rare, event, FE_RARE_FLUSH, ticks);
}

void fe_rare_flush_end(fe_engine *engine, fe_rare_event *event, const fe_flush_job *job)
{
    engine->rare.parent = NULL;
    if (!event->open) return;
    event->numbers[0] = job->segment;
    event->numbers[1] = job->fd >= 0 ? job->size : 0;
    event->numbers[2] = (uint64_t)job->error;
    event->numbers[3] = job->fd < 0            ? FE_TIER_SEALED
                        : job->mapping != NULL ? FE_TIER_MAPPED
                                               : FE_TIER_DISK;
    fe_rare_end(&engine->rare, event, fe_clock_ticks(), job->fd < 0);
}

void fe_rare_step_begin(fe_engine *engine, fe_rare_step *step, uint64_t ticks)
{
    if (!fe_rare_begin(&engine->rare, &step->event, FE_RARE_DEMOTION, ticks)) return;
    fe_tier_stats stats;
    fe_tier_stats_get(engine->store, &stats);
    step->demoted = stats.demoted;
    step->mapped = stats.tiers[FE_TIER_MAPPED].bytes;
    engine->rare.parent = &step->event;
}

void fe_rare_step_end(fe_engine *engine, fe_rare_step *step)
{
    engine->rare.parent = NULL;
    if (!step->event.open) return;
    fe_tier_stats stats;
    fe_tier_stats_get(engine->store, &stats);
    uint64_t demoted = stats.demoted - step->demoted, left = stats.tiers[FE_TIER_MAPPED].bytes;
    step->event.numbers[0] = demoted;
    step->event.numbers[1] = step->mapped > left ? step->mapped - left : 0;
    if (demoted > 0) fe_rare_end(&engine->rare, &step->event, fe_clock_ticks(), false);
    step->event.open = false;
}

/* Compaction ------------------------------------------------------------------------------------- */

/* Counters of what walks do; an event holds them while it is open. */
static void read_walks(const fe_engine *engine, uint64_t out[3])
{
    fe_frozen_stats stats;
    fe_frozen_stats_get(engine->store, &stats);
    out[0] = stats.moved_bytes;
    out[1] = stats.expired_bytes;
    out[2] = stats.evicted_bytes;
}

void fe_rare_walk_begin(fe_engine *engine, fe_rare_event *event, const fe_frozen_job *job,
                        uint64_t ticks)
{
    if (!fe_rare_begin(&engine->rare, event, FE_RARE_COMPACTION, ticks)) return;
    event->numbers[0] = job->purpose;
    event->numbers[1] = 1;
    event->numbers[2] = job->segment;
    read_walks(engine, event->numbers + 4);
}

void fe_rare_walk_end(fe_engine *engine, fe_rare_event *event, const fe_frozen_job *job)
{
    if (!event->open) return;
    uint64_t now[3];
    read_walks(engine, now);
    for (int i = 0; i < 3; i++)
        event->numbers[4 + i] = now[i] - event->numbers[4 + i];
    event->numbers[3] = job->read_bytes;
    event->numbers[7] = (uint64_t)job->error;
    fe_rare_end(&engine->rare, event, fe_clock_ticks(), job->error != 0);
}

void fe_rare_compact_step(fe_engine *engine, fe_rare_event *event, uint64_t ticks,
                          const fe_store_compacted *before, bool more)
{
    if (FE_LIKELY(!event->open && !engine->rare.is_on)) return;
    fe_store_compacted now = fe_store_compacted_get(engine->store);
    if (!event->open) {
        /* A step that only sweeps has moved nothing. */
        if (now.segments == before->segments && now.bytes == before->bytes) return;
        if (!fe_rare_begin(&engine->rare, event, FE_RARE_COMPACTION, ticks)) return;
        event->numbers[0] = FE_RARE_PURPOSE_MEMORY;
        event->numbers[1] = before->segments;
        event->numbers[4] = before->bytes;
    }
    if (more) return;
    /* A reset between makes them less. */
    uint64_t segments = event->numbers[1], bytes = event->numbers[4];
    event->numbers[1] = now.segments > segments ? now.segments - segments : 0;
    event->numbers[4] = now.bytes > bytes ? now.bytes - bytes : 0;
    fe_rare_end(&engine->rare, event, fe_clock_ticks(), false);
}

/* Connections ------------------------------------------------------------------------------------ */

void fe_rare_connection_end(fe_engine *engine, const fe_rare_connection *connection)
{
    fe_rare_event event;
    bool wanted =
        connection->opened_ticks != 0 && engine->telemetry.options.connection_rate_max != 0;
    if (!wanted ||
        !fe_rare_begin(&engine->rare, &event, FE_RARE_CONNECTION, connection->opened_ticks))
        return;
    event.numbers[0] = connection->id;
    event.numbers[1] = connection->commands;
    event.numbers[2] = connection->received;
    event.numbers[3] = connection->sent;
    event.numbers[4] = connection->cut_off;
    fe_rare_set_text(&event, connection->peer);
    fe_rare_end(&engine->rare, &event, fe_clock_ticks(), connection->cut_off);
}
