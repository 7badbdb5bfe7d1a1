/* See count.h. */
#include "session/count.h"

#include "session/trace.h"
#include "store/look.h"

static void add_slow(const fe_run *it, int64_t duration_us)
{
    const fe_call *call = &it->call;
    fe_bytes argv[FE_SLOWLOG_ARGS_MAX];
    uint32_t copied = call->argc < FE_SLOWLOG_ARGS_MAX ? call->argc : FE_SLOWLOG_ARGS_MAX;
    for (uint32_t i = 0; i < copied; i++)
        argv[i] = fe_call_is_secret(call->secret_mask, i) ? FE_BYTES("(redacted)") : call->argv[i];
    uint64_t id =
        fe_slowlog_add(&call->engine->slowlog, call->engine->now_ms / 1000, duration_us, argv,
                       call->argc, it->session->client.addr, it->session->client.name);
    if (call->recorded) fe_trace_note_slow(it->session, id);
}

/* The deepest of the tiers that `below` names, and the disk if the command has waited for it; BOTH: there is none. */
static fe_duration deepest(uint32_t below, uint64_t waited)
{
    if (waited != 0 || (below & (1u << FE_TIER_DISK)) != 0) return FE_DURATION_DISK;
    if ((below & (1u << FE_TIER_CACHE)) != 0) return FE_DURATION_READ_CACHE;
    return below != 0 ? FE_DURATION_READ_ONLY : FE_DURATION_BOTH;
}

/* See count_duration: it has waited, was served by another tier than the mutable one, or not all is counted. */
static __attribute__((noinline)) void count_apart(const fe_run *it, uint64_t took)
{
    const fe_engine_options *options = &it->call.engine->options;
    uint64_t waited = it->session->disk_waited;
    fe_duration tier = deepest(fe_look_below(it->call.store), waited);
    it->session->disk_waited = 0;
    fe_look_below_clear(it->call.store);
    uint64_t ran = fe_engine_ticks_units(it->call.engine, took);
    uint64_t whole = fe_engine_ticks_units(it->call.engine, took + waited);
    bool tracked = options->latency_tracking, measured = options->metrics;
    fe_commands *commands = it->call.commands;
    bool is_both = tracked && measured && waited == 0;
    if (is_both) fe_commands_count(commands, it->command, FE_DURATION_BOTH, ran);
    if (tracked && !is_both) fe_commands_count(commands, it->command, FE_DURATION_RUN, ran);
    if (measured && !is_both) fe_commands_count(commands, it->command, FE_DURATION_WHOLE, whole);
    if (measured && tier != FE_DURATION_BOTH) fe_commands_count(commands, it->command, tier, whole);
}

/* Counts how long a command ran, how long it took with its waits for the disk, and that for the tier that served it. */
static void count_duration(const fe_run *it, uint64_t took)
{
    const fe_engine_options *options = &it->call.engine->options;
    uint64_t apart = it->session->disk_waited | fe_look_below(it->call.store);
    if (FE_UNLIKELY(!options->latency_tracking || !options->metrics || apart != 0)) {
        count_apart(it, took);
        return;
    }
    fe_commands_count(it->call.commands, it->command, FE_DURATION_BOTH,
                      fe_engine_ticks_units(it->call.engine, took));
}

void fe_count_ticks(const fe_run *it, uint64_t took)
{
    fe_engine *engine = it->call.engine;
    took += it->session->disk_spent;
    it->session->disk_spent = 0;
    fe_command_stats *stats = &it->command->stats;
    stats->calls++;
    stats->ticks += took;
    stats->failed += it->call.failed;
    count_duration(it, took);
    engine->stats.commands++;
    it->session->client.commands++;
    bool fast = (it->call.row->flags & FE_FAST) != 0;
    fe_latency_event event = fast ? FE_LATENCY_FAST_COMMAND : FE_LATENCY_COMMAND;
    fe_engine_note_latency(engine, event, took);
    if (FE_UNLIKELY(took >= engine->latency_ticks) && it->call.recorded)
        fe_trace_note_latency(it->session, event, took);
    if (FE_UNLIKELY(took >= engine->slowlog_ticks) && !(it->call.row->flags & FE_SKIP_SLOWLOG))
        add_slow(it, (int64_t)(fe_engine_ticks_ns(engine, took) / 1000));
}

static fe_volumes volumes_of(const fe_store *store)
{
    fe_store_tally tally;
    fe_store_tally_get(store, &tally);
    return (fe_volumes){{[FE_SIZED_GET] = {tally.hits, tally.read_bytes},
                         [FE_SIZED_SET] = {tally.written_values, tally.written_bytes}}};
}

/* The group is measured. */
static __attribute__((noinline)) void measure(const fe_run *it, fe_stages *stages, uint64_t began,
                                              uint64_t now)
{
    fe_stages_command(stages, it->call.engine->units_per_tick_q20, began,
                      it->call.located != NULL ? *it->call.located : 0, now);
    if (it->call.in_exec) return; /* `volumes` are of EXEC */
    fe_volumes volumes = volumes_of(it->call.store);
    fe_stages_values(stages, &volumes);
}

void fe_count(const fe_run *it, uint64_t *ticks)
{
    uint64_t now = fe_clock_ticks();
    uint64_t took = now - *ticks;
    fe_recorder *recorder = it->session->recorder;
    if (FE_UNLIKELY(recorder != NULL && recorder->stages.measuring))
        measure(it, &recorder->stages, *ticks, now);
    *ticks = now;
    if (FE_UNLIKELY(it->call.wait_status != NULL)) {
        took += (uint64_t)((double)it->call.wait_ms * 1000.0 * it->call.engine->ticks_per_us);
    }
    fe_count_ticks(it, took);
}

void fe_count_begin(fe_run *it)
{
    fe_recorder *recorder = it->session->recorder;
    if (FE_LIKELY(recorder == NULL || !recorder->stages.measuring)) return;
    recorder->stages.located = 0;
    recorder->stages.volumes = volumes_of(it->call.store);
    if (it->call.located == NULL) it->call.located = &recorder->stages.located;
}
