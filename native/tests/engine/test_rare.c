/* What an engine over a data folder tells of its work, event by event, with the counters that it agrees with. */
#include "engine/rare.h"

#include "tests/check.h"

#include "engine/keep.h"
#include "tests/folder.h"
#include "tests/tiered_engine.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct rig {
    fe_engine *engine;
    char path[64];
    char error[FE_ENGINE_ERROR_MAX];
    fe_rare_event events[FE_RARE_ROOM_MAX];
    uint32_t count;
} rig;

static const fe_telemetry_options all = {.traces = true,
                                         .sampler = {.kind = FE_SAMPLER_ALWAYS},
                                         .retention.slow_us = -1,
                                         .connection_rate_max = 10,
                                         .ring_bytes = 1 << 20};
static const fe_telemetry_options none = {.retention.slow_us = -1, .ring_bytes = 1 << 20};

static void open_engine(rig *it)
{
    fe_engine_options options = tiered_options(it->path);
    it->engine = fe_engine_open(&options, it->error);
    FE_ASSERT(it->engine != NULL);
}

static void open_rig(rig *it)
{
    strcpy(it->path, "/tmp/ferrite-rare-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    open_engine(it);
}

static void set(rig *it, const fe_telemetry_options *options)
{
    fe_lock_enter(&it->engine->lock);
    CHECK(fe_engine_set_telemetry(it->engine, options));
    fe_lock_leave(&it->engine->lock);
}

static void fill(rig *it)
{
    CHECK(fe_engine_claim(it->engine, it->error));
    for (uint64_t i = 0; i < 4000; i++) {
        tiered_put(it->engine, i);
        if (i % 100 == 0) (void)fe_workers_round(it->engine);
    }
    for (unsigned i = 0; i < 1000 && fe_workers_round(it->engine); i++) {}
}

static uint32_t count(rig *it, fe_rare_kind kind)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < it->count; i++)
        found += it->events[i].kind == kind;
    return found;
}

static void take(rig *it)
{
    it->count = fe_rare_take(&it->engine->rare, it->events, FE_RARE_ROOM_MAX);
}

static const fe_rare_event *find(const rig *it, uint64_t span_id)
{
    for (uint32_t i = 0; i < it->count; i++)
        if (it->events[i].span_id == span_id) return &it->events[i];
    return NULL;
}

TEST(each_flush_demotion_and_epoch_is_told)
{
    static rig it;
    open_rig(&it);
    set(&it, &all);
    fill(&it);

    take(&it);
    fe_tier_stats stats;
    fe_tier_stats_get(it.engine->store, &stats);
    CHECK_INT(0, fe_rare_count(&it.engine->rare).dropped);
    CHECK_INT(stats.flushed, count(&it, FE_RARE_FLUSH));
    CHECK(stats.flushed > 0 && stats.demoted > 0);
    CHECK_INT(stats.sealed + stats.flushed + stats.demoted, count(&it, FE_RARE_EPOCH));
    uint64_t bytes = 0, demoted = 0;
    for (uint32_t i = 0; i < it.count; i++) {
        const fe_rare_event *event = &it.events[i];
        CHECK(event->began <= event->ended);
        if (event->kind == FE_RARE_FLUSH) bytes += event->numbers[1];
        if (event->kind == FE_RARE_DEMOTION) demoted += event->numbers[0];
        if (event->kind != FE_RARE_EPOCH) continue;
        const fe_rare_event *parent = find(&it, event->parent_id);
        CHECK((parent != NULL) == (event->parent_id != 0));
        CHECK((parent == NULL) == (event->numbers[2] == FE_TIER_SEALED));
        if (parent == NULL) continue;
        CHECK_INT(event->numbers[2] == FE_TIER_MAPPED ? FE_RARE_FLUSH : FE_RARE_DEMOTION,
                  parent->kind);
    }
    CHECK_INT(stats.flushed_bytes, bytes);
    CHECK_INT(stats.demoted, demoted);
    fe_engine_free(it.engine);
    remove_folder(it.path);
}

static bool step_compact(fe_engine *engine, fe_rare_event *run, uint32_t bytes)
{
    uint64_t entered = fe_engine_enter(engine);
    fe_store_compacted before = fe_store_compacted_get(engine->store);
    bool more = fe_store_step_compact(engine->store, bytes);
    fe_rare_compact_step(engine, run, entered, &before, more);
    fe_engine_leave(engine, FE_STEP_COMPACT, entered);
    return more;
}

static void drop(fe_engine *engine, uint64_t number)
{
    uint64_t entered = fe_engine_enter(engine);
    char name[32];
    fe_key key;
    int len = snprintf(name, sizeof name, "key:%" PRIu64, number);
    fe_bytes bytes = {(const uint8_t *)name, (size_t)len};
    fe_key_find(engine->store, 0, bytes, fe_key_hash(fe_store_seed(engine->store), bytes), false,
                &key);
    fe_key_delete(&key);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
}

/* Deletes two of three keys, with steps of compaction between; what the events tell is what was done. */
static void compaction_is_told(uint32_t step_bytes, bool is_one_step)
{
    static rig it;
    open_rig(&it);
    set(&it, &all);
    for (uint64_t i = 0; i < 900; i++)
        tiered_put(it.engine, i);
    take(&it);
    fe_store_compacted before = fe_store_compacted_get(it.engine->store);
    fe_rare_event run = {0};
    uint32_t runs = 0, steps_of_runs = 0;
    for (uint64_t i = 0; i < 900; i++) {
        if (i % 3 != 0) drop(it.engine, i);
        if (i % 30 != 0) continue;
        bool more;
        uint32_t steps = 0;
        uint64_t bytes = fe_store_compacted_get(it.engine->store).bytes;
        do
            more = step_compact(it.engine, &run, step_bytes), steps++;
        while (more);
        CHECK(!run.open);
        if (fe_store_compacted_get(it.engine->store).bytes == bytes) continue;
        runs++;
        steps_of_runs += steps;
    }
    take(&it);
    fe_store_compacted after = fe_store_compacted_get(it.engine->store);
    uint64_t segments = 0, bytes = 0;
    for (uint32_t i = 0; i < it.count; i++) {
        CHECK_INT(FE_RARE_COMPACTION, it.events[i].kind);
        CHECK_INT(FE_RARE_PURPOSE_MEMORY, it.events[i].numbers[0]);
        CHECK(it.events[i].began < it.events[i].ended);
        segments += it.events[i].numbers[1];
        bytes += it.events[i].numbers[4];
    }
    CHECK(runs > 0);
    CHECK(is_one_step ? steps_of_runs == runs : steps_of_runs > runs);
    CHECK_INT(after.segments - before.segments, segments);
    CHECK_INT(after.bytes - before.bytes, bytes);
    fe_engine_free(it.engine);
    remove_folder(it.path);
}

TEST(a_run_of_compaction_tells_all_of_its_steps)
{
    compaction_is_told(4096, false);
}

TEST(a_run_of_one_step_is_told)
{
    compaction_is_told(1u << 30, true);
}

/* The step demotes nothing, so it is not told, and nothing may name it as its parent. */
TEST(what_a_step_seals_has_no_parent)
{
    static rig it;
    open_rig(&it);
    set(&it, &all);
    CHECK(fe_engine_claim(it.engine, it.error));
    for (uint64_t i = 0; i < 900; i++)
        tiered_put(it.engine, i);
    take(&it);
    CHECK_INT(0, it.count);
    fe_rare_step step;
    uint64_t entered = fe_engine_enter(it.engine);
    fe_rare_step_begin(it.engine, &step, entered);
    CHECK(step.event.open);
    while (fe_tier_demote_all(it.engine->store, FE_TIER_SEALED)) {}
    fe_rare_step_end(it.engine, &step);
    fe_engine_leave(it.engine, FE_STEP_TIER, entered);

    take(&it);
    CHECK(it.count > 1);
    CHECK_INT(it.count, count(&it, FE_RARE_EPOCH));
    for (uint32_t i = 0; i < it.count; i++) {
        CHECK_INT(FE_TIER_SEALED, it.events[i].numbers[2]);
        CHECK_INT(0, it.events[i].parent_id);
        CHECK(!it.events[i].below);
    }
    fe_engine_free(it.engine);
    remove_folder(it.path);
}

TEST(without_traces_nothing_is_noted)
{
    static rig it;
    open_rig(&it);
    set(&it, &all);
    set(&it, &none);
    fill(&it);

    take(&it);
    CHECK_INT(0, it.count);
    CHECK(!it.engine->rare.is_on && it.engine->rare.parent == NULL);
    fe_engine_free(it.engine);
    remove_folder(it.path);
}

TEST(connections_that_nobody_wants_cost_nothing)
{
    static rig it;
    open_rig(&it);
    const fe_rare_connection one = {.opened_ticks = 1, .id = 7, .peer = FE_BYTES("1.2.3.4:5")};
    for (uint32_t rate = 0; rate < 2; rate++) {
        fe_telemetry_options options = all;
        options.connection_rate_max = rate;
        set(&it, &options);
        fe_random before = it.engine->rare.random;
        fe_lock_enter(&it.engine->lock);
        fe_rare_connection_end(it.engine, &one);
        fe_lock_leave(&it.engine->lock);
        CHECK_INT(rate == 0, memcmp(&before, &it.engine->rare.random, sizeof before) == 0);
    }
    take(&it);
    CHECK_INT(1, it.count);
    CHECK_INT(7, it.events[0].numbers[0]);
    fe_engine_free(it.engine);
    remove_folder(it.path);
}

TEST(a_ring_without_memory_keeps_no_event_from_its_options)
{
    static rig it;
    open_rig(&it);
    set(&it, &all);
    set(&it, &none);
    fe_lock_enter(&it.engine->lock);
    CHECK(fe_recorder_new(&it.engine->telemetry) != NULL);
    fe_alloc_fail_after(&it.engine->alloc, 0);
    CHECK(!fe_engine_set_telemetry(it.engine, &all));
    fe_alloc_fail_after(&it.engine->alloc, -1);
    CHECK(it.engine->rare.is_on && it.engine->rare.connections.ticks_each != 0);
    fe_lock_leave(&it.engine->lock);
    fe_engine_free(it.engine);
    remove_folder(it.path);
}

TEST(a_save_and_the_start_after_it)
{
    static rig it;
    open_rig(&it);
    set(&it, &all);
    fill(&it);
    take(&it);
    fe_save_report report;
    CHECK(fe_engine_save(it.engine, "1", &report, it.error));
    take(&it);
    CHECK_INT(1, count(&it, FE_RARE_CHECKPOINT));
    const fe_rare_event *saved = &it.events[it.count - 1];
    CHECK_INT(FE_RARE_CHECKPOINT, saved->kind);
    CHECK_INT(0, saved->numbers[0]);
    CHECK_INT(4000, saved->numbers[1]);
    CHECK_INT(report.segment_bytes, saved->numbers[3]);
    CHECK(saved->ended > saved->began);
    fe_engine_free(it.engine);

    open_engine(&it);
    set(&it, &none);
    set(&it, &all);
    set(&it, &all);
    take(&it);
    CHECK_INT(1, it.count);
    CHECK_INT(FE_RARE_RECOVERY, it.events[0].kind);
    CHECK_INT(FE_SAVE_LOADED, it.events[0].numbers[0]);
    CHECK_INT(4000, it.events[0].numbers[1]);
    CHECK(it.events[0].ended > it.events[0].began);
    CHECK(it.events[0].ended <= fe_clock_ticks());
    fe_engine_free(it.engine);
    remove_folder(it.path);
}

int main(void)
{
    RUN(each_flush_demotion_and_epoch_is_told);
    RUN(a_run_of_compaction_tells_all_of_its_steps);
    RUN(a_run_of_one_step_is_told);
    RUN(what_a_step_seals_has_no_parent);
    RUN(without_traces_nothing_is_noted);
    RUN(connections_that_nobody_wants_cost_nothing);
    RUN(a_ring_without_memory_keeps_no_event_from_its_options);
    RUN(a_save_and_the_start_after_it);
    return check_done();
}
