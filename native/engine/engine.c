/* See engine.h.
 *
 * Time: the wall clock is read once per entry of the lock, so that all commands of a batch see one
 * "now"; durations come from the time-stamp counter.
 */
#include "engine/engine.h"
#include "engine/keep.h"
#include "engine/workers.h"
#include "store/fetch.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define DISK_DEPTH 256u /* where the options do not say */

static void apply_options(fe_engine *engine, const fe_engine_options *options)
{
    engine->options = *options;
    engine->options.store.device = engine->device;
    fe_slowlog_set_max(&engine->slowlog, options->slowlog_max);
    double threshold = (double)options->latency_threshold_ms * 1000.0 * engine->ticks_per_us;
    engine->latency_ticks = threshold > 0 ? (uint64_t)threshold : UINT64_MAX;
    double slow = (double)options->slowlog_threshold_us * engine->ticks_per_us;
    engine->slowlog_ticks = slow >= 0 && slow < 0x1p63 ? (uint64_t)slow : UINT64_MAX;
}

static void say(char *error, const char *text)
{
    (void)snprintf(error, FE_ENGINE_ERROR_MAX, "%s", text);
}

static bool open_device(fe_engine *engine, char *error)
{
    const char *path = engine->options.data_dir;
    if (path[0] == 0) return true;
    engine->device = fe_device_open(&engine->alloc, path, &fe_device_system, error);
    engine->options.store.device = engine->device;
    if (engine->device == NULL) return false;
    engine->disk =
        fe_disk_open(&engine->alloc, (fe_disk_kind)engine->options.disk_kind,
                     engine->options.disk_depth != 0 ? engine->options.disk_depth : DISK_DEPTH,
                     &fe_device_system, error);
    return engine->disk != NULL;
}

fe_engine *fe_engine_open(const fe_engine_options *options, char error[FE_ENGINE_ERROR_MAX])
{
    fe_alloc bootstrap;
    fe_alloc_init(&bootstrap);
    say(error, "out of memory");
    fe_engine *engine = fe_alloc_take_zeroed(&bootstrap, FE_ALLOC_ENGINE, sizeof *engine);
    if (engine == NULL) return NULL;
    fe_alloc_init(&engine->alloc);
    fe_lock_init(&engine->lock);
    fe_slowlog_init(&engine->slowlog, &engine->alloc);
    uint64_t seed = (uint64_t)fe_clock_wall_us();
    (void)fe_random_system(&seed, sizeof seed); /* the clock serves when the system refuses */
    fe_random_init(&engine->random, seed);
    engine->ticks_per_us = fe_clock_ticks_per_us();
    engine->ns_per_tick_q20 = (uint64_t)(1000.0 / engine->ticks_per_us * 0x1p20);
    engine->units_per_tick_q20 = (uint64_t)(0x1p30 / 1e6 / engine->ticks_per_us * 0x1p20);
    fe_telemetry_init(&engine->telemetry, &engine->alloc, engine->ticks_per_us);
    fe_rare_init(&engine->rare, &engine->telemetry);
    engine->started_ms = engine->now_ms = fe_clock_wall_ms();
    engine->counted_since_ms = engine->started_ms;
    apply_options(engine, options);
    if (open_device(engine, error))
        engine->store = fe_store_new(&engine->alloc, &engine->options.store);
    if (engine->store == NULL || !fe_engine_load(engine, error)) {
        fe_engine_free(engine);
        return NULL;
    }
    fe_store_set_now(engine->store, engine->now_ms);
    fe_insight_open(&engine->insight, &engine->alloc, engine->store, engine->units_per_tick_q20,
                    &options->insight, engine->now_ms);
    if (engine->device != NULL)
        fe_fetch_set_block(engine->store, fe_device_block_size(engine->device));
    return engine;
}

fe_engine *fe_engine_new(const fe_engine_options *options)
{
    char error[FE_ENGINE_ERROR_MAX];
    return fe_engine_open(options, error);
}

uint32_t fe_engine_take_reads(fe_engine *engine, fe_disk_read **reads, uint32_t max)
{
    if (FE_LIKELY(engine->disk == NULL)) return 0;
    if (FE_UNLIKELY(fe_fetch_wants_trash(engine->store))) fe_workers_wake(engine);
    if (!fe_fetch_is_wanted(engine->store)) return 0;
    uint32_t places = fe_disk_reserve(engine->disk, max);
    uint32_t count = fe_fetch_take(engine->store, reads, places);
    fe_disk_release(engine->disk, places - count);
    return count;
}

void fe_engine_finish_reads(fe_engine *engine)
{
    if (engine->disk == NULL || engine->store == NULL) return;
    struct pollfd wait = {.fd = fe_disk_fd(engine->disk), .events = POLLIN};
    while (fe_disk_in_flight(engine->disk) > 0) {
        (void)poll(&wait, 1, 1000);
        fe_disk_read *read;
        while (fe_disk_reap(engine->disk, &read, 1) != 0) {
            uint64_t entered = fe_engine_enter(engine);
            fe_fetch_done(engine->store, read);
            fe_engine_leave(engine, FE_STEP_FETCH, entered);
        }
    }
}

void fe_engine_free(fe_engine *engine)
{
    if (engine == NULL) return;
    FE_ASSERT(engine->workers == NULL && engine->flusher == NULL && engine->collector == NULL);
    if (engine->disk != NULL) {
        fe_engine_finish_reads(engine);
        fe_disk_close(engine->disk);
    }
    fe_insight_close(&engine->insight);
    if (engine->store != NULL) fe_store_free(engine->store);
    if (engine->device != NULL) fe_device_close(engine->device);
    fe_slowlog_free(&engine->slowlog);
    fe_rare_destroy(&engine->rare);
    fe_telemetry_destroy(&engine->telemetry);
    fe_lock_destroy(&engine->lock);
    fe_alloc bootstrap;
    fe_alloc_init(&bootstrap);
    fe_alloc_give(&bootstrap, FE_ALLOC_ENGINE, engine);
}

void fe_engine_set_options(fe_engine *engine, const fe_engine_options *options)
{
    fe_engine_options fixed = engine->options;
    apply_options(engine, options);
    memcpy(engine->options.data_dir, fixed.data_dir, sizeof fixed.data_dir);
    engine->options.disk_depth = fixed.disk_depth;
    engine->options.disk_kind = fixed.disk_kind;
    fe_store_set_options(engine->store, &engine->options.store);
    fe_insight_set_options(&engine->insight, &options->insight, engine->now_ms);
}

bool fe_engine_is_paused(fe_engine *engine)
{
    if (FE_LIKELY(engine->pause.until_ms == 0)) return false;
    if (engine->pause.until_ms > fe_clock_monotonic_ms()) return true;
    engine->pause.until_ms = 0;
    return false;
}

/* The lock is held: what every step begins with. */
static uint64_t begin_step(fe_engine *engine)
{
    engine->step_cpu_ns = engine->latency_ticks == UINT64_MAX ? 0 : fe_clock_thread_ns();
    uint64_t ticks = fe_clock_ticks();
    engine->now_ms = fe_clock_wall_ms();
    fe_store_set_now(engine->store, engine->now_ms);
    return ticks;
}

uint64_t fe_engine_enter(fe_engine *engine)
{
    fe_lock_enter(&engine->lock);
    return begin_step(engine);
}

uint64_t fe_engine_enter_asking(fe_engine *engine, uint64_t *asked_ticks)
{
    if (FE_LIKELY(fe_lock_try(&engine->lock))) return *asked_ticks = begin_step(engine);
    *asked_ticks = fe_clock_ticks();
    return fe_engine_enter(engine);
}

uint64_t fe_engine_leave(fe_engine *engine, fe_step_kind kind, uint64_t entered_ticks)
{
    uint64_t now = fe_clock_ticks();
    uint64_t ticks = now - entered_ticks;
    fe_step_stats *step = &engine->stats.steps[kind];
    step->count++;
    step->ticks_total += ticks;
    if (ticks > step->ticks_max) step->ticks_max = ticks;
    if (FE_UNLIKELY(engine->step_cpu_ns != 0)) {
        uint64_t cpu_ns = fe_clock_thread_ns() - engine->step_cpu_ns;
        if (cpu_ns > step->cpu_ns_max) step->cpu_ns_max = cpu_ns;
    }
    if (kind == FE_STEP_INDEX)
        fe_engine_note_latency(engine, FE_LATENCY_INDEX_CYCLE, ticks);
    else if (kind == FE_STEP_EXPIRE)
        fe_engine_note_latency(engine, FE_LATENCY_EXPIRE_CYCLE, ticks);
    else if (kind == FE_STEP_COMPACT || kind == FE_STEP_FROZEN)
        fe_engine_note_latency(engine, FE_LATENCY_COMPACT_CYCLE, ticks);
    fe_lock_leave(&engine->lock);
    return now;
}

void fe_engine_add_latency(fe_engine *engine, fe_latency_event event, uint64_t ticks)
{
    uint64_t ms = (uint64_t)((double)ticks / engine->ticks_per_us / 1000.0);
    fe_latency_add(&engine->latency, event, engine->now_ms / 1000, ms);
}

void fe_engine_count_error(fe_engine *engine, const char *line, size_t len)
{
    engine->stats.error_replies++;
    size_t code_len = 0;
    while (code_len < len && line[code_len] != ' ')
        code_len++;
    if (code_len >= sizeof engine->errors[0].code) code_len = sizeof engine->errors[0].code - 1;
    for (uint32_t i = 0; i < FE_ERROR_KINDS_MAX; i++) {
        fe_error_count *error = &engine->errors[i];
        engine->error_last = i;
        if (error->count == 0) {
            memcpy(error->code, line, code_len);
            error->code[code_len] = 0;
            error->count = 1;
            return;
        }
        if (strlen(error->code) == code_len && memcmp(error->code, line, code_len) == 0) {
            error->count++;
            return;
        }
    }
    engine->error_last = FE_ERROR_KINDS_MAX;
}

void fe_engine_reset_stats(fe_engine *engine)
{
    engine->stats = (fe_engine_stats){.memory_peak = fe_store_used(engine->store)};
    engine->counted_since_ms = engine->now_ms;
    memset(engine->errors, 0, sizeof engine->errors);
    fe_store_stats_reset(engine->store);
    fe_insight_reset(&engine->insight, engine->now_ms);
}
