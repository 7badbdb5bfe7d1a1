/* The engine: options, the clock of a batch, statistics, errors by code, and the latency of
 * steps. */
#include "tests/check.h"

#include "engine/engine.h"

#include <pthread.h>
#include <time.h>

static fe_engine_options some_options(void)
{
    return (fe_engine_options){.store = {.databases = 2,
                                         .samples = 5,
                                         .lfu_log_factor = 10,
                                         .lfu_decay_minutes = 1,
                                         .segment_size = 65536,
                                         .seed = {1, 2}},
                               .slowlog_max = 4,
                               .hz = 10};
}

static fe_engine *open_engine(void)
{
    fe_engine_options options = some_options();
    fe_engine *engine = fe_engine_new(&options);
    FE_ASSERT(engine != NULL);
    return engine;
}

TEST(an_entry_fixes_the_time_for_engine_and_store)
{
    fe_engine *engine = open_engine();
    int64_t before_ms = fe_clock_wall_ms();

    uint64_t entered = fe_engine_enter(engine);

    CHECK(engine->now_ms >= before_ms && engine->now_ms <= fe_clock_wall_ms());
    CHECK_INT(engine->now_ms, fe_store_now(engine->store));
    CHECK(engine->started_ms <= engine->now_ms);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    CHECK_INT(1, engine->stats.steps[FE_STEP_BATCH].count);
    CHECK(engine->stats.steps[FE_STEP_BATCH].ticks_max ==
          engine->stats.steps[FE_STEP_BATCH].ticks_total);
    fe_engine_free(engine);
}

/* Works for `cpu_us` of processor time, and sleeps for a millisecond, as one step. */
static void take_step(fe_engine *engine, uint64_t cpu_us)
{
    uint64_t entered = fe_engine_enter(engine);
    uint64_t until = fe_clock_thread_ns() + cpu_us * 1000;
    while (fe_clock_thread_ns() < until) {}
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
}

TEST(a_step_s_processor_time_is_taken_while_the_latency_monitor_is_on)
{
    fe_engine *engine = open_engine();
    const fe_step_stats *step = &engine->stats.steps[FE_STEP_BATCH];
    take_step(engine, 100);
    CHECK_INT(0, step->cpu_ns_max);
    fe_engine_options options = some_options();
    options.latency_threshold_ms = 1;
    fe_engine_set_options(engine, &options);

    take_step(engine, 200);

    CHECK(step->cpu_ns_max >= 200000);
    CHECK((double)step->ticks_max / engine->ticks_per_us >= 1200.0);
    CHECK((double)step->cpu_ns_max <=
          (double)step->ticks_max / engine->ticks_per_us * 1000.0 - 900000.0);
    fe_engine_free(engine);
}

TEST(options_change_as_a_whole)
{
    fe_engine *engine = open_engine();
    fe_engine_options options = some_options();
    options.slowlog_max = 9;
    options.store.memory_max = 100u << 20;
    options.latency_threshold_ms = 7;
    CHECK(engine->latency_ticks == UINT64_MAX);

    fe_engine_set_options(engine, &options);

    CHECK_INT(9, engine->slowlog.max);
    CHECK_INT(100 << 20, fe_store_get_options(engine->store)->memory_max);
    double threshold_ms = (double)engine->latency_ticks / engine->ticks_per_us / 1000.0;
    CHECK(threshold_ms > 6.99 && threshold_ms < 7.01);
    fe_engine_free(engine);
}

TEST(errors_are_counted_by_their_first_word)
{
    fe_engine *engine = open_engine();
    fe_engine_count_error(engine, "ERR one", 7);
    fe_engine_count_error(engine, "WRONGTYPE two", 13);
    fe_engine_count_error(engine, "ERR three", 9);
    fe_engine_count_error(engine, "LONE", 4);

    CHECK_INT(4, engine->stats.error_replies);
    CHECK(strcmp("ERR", engine->errors[0].code) == 0);
    CHECK_INT(2, engine->errors[0].count);
    CHECK(strcmp("WRONGTYPE", engine->errors[1].code) == 0);
    CHECK(strcmp("LONE", engine->errors[2].code) == 0);
    CHECK_INT(0, engine->errors[3].count);
    fe_engine_free(engine);
}

TEST(kinds_of_errors_are_bounded)
{
    fe_engine *engine = open_engine();
    for (int i = 0; i < FE_ERROR_KINDS_MAX + 20; i++) {
        char line[80];
        int len = snprintf(line, sizeof line, "A_CODE_LONGER_THAN_ITS_FIELD_%03d_%030d text", i, i);
        fe_engine_count_error(engine, line, (size_t)len);
    }
    CHECK_INT(FE_ERROR_KINDS_MAX + 20, engine->stats.error_replies);
    for (int i = 0; i < FE_ERROR_KINDS_MAX; i++)
        CHECK(strlen(engine->errors[i].code) < sizeof engine->errors[i].code);
    fe_engine_free(engine);
}

TEST(reset_brings_statistics_back_to_zero)
{
    fe_engine *engine = open_engine();
    engine->stats.commands = 5;
    engine->stats.net_in = 7;
    fe_engine_count_error(engine, "ERR x", 5);
    fe_store_count_lookup(engine->store, true);

    fe_engine_reset_stats(engine);

    CHECK_INT(0, engine->stats.commands);
    CHECK_INT(0, engine->stats.net_in);
    CHECK_INT(0, engine->stats.error_replies);
    CHECK_INT(0, engine->errors[0].count);
    CHECK(engine->stats.memory_peak > 0); /* begins at what is used now */
    fe_store_stats stats;
    fe_store_stats_get(engine->store, &stats);
    CHECK_INT(0, stats.hits);
    fe_engine_free(engine);
}

typedef struct asker {
    fe_engine *engine;
    uint64_t asked, entered;
} asker;

static void *ask(void *argument)
{
    asker *it = argument;
    it->entered = fe_engine_enter_asking(it->engine, &it->asked);
    fe_engine_leave(it->engine, FE_STEP_BATCH, it->entered);
    return NULL;
}

TEST(who_asks_for_the_lock_knows_how_long_it_waited)
{
    asker it = {.engine = open_engine()};
    ask(&it);
    CHECK(it.asked == it.entered); /* it was free */

    pthread_t thread;
    uint64_t entered = fe_engine_enter(it.engine);
    CHECK_INT(0, pthread_create(&thread, NULL, ask, &it));
    while (!fe_lock_is_wanted(&it.engine->lock)) {}
    uint64_t start_ns = fe_clock_thread_ns();
    while (fe_clock_thread_ns() < start_ns + 100000) {}
    fe_engine_leave(it.engine, FE_STEP_BATCH, entered);
    pthread_join(thread, NULL);

    CHECK((double)(it.entered - it.asked) / it.engine->ticks_per_us > 90.0);
    CHECK(it.asked > entered);
    fe_engine_free(it.engine);
}

TEST(steps_beyond_the_threshold_reach_the_latency_monitor)
{
    fe_engine *engine = open_engine();
    fe_engine_options options = some_options();
    options.latency_threshold_ms = 5;
    fe_engine_set_options(engine, &options);
    uint64_t ms = (uint64_t)(engine->ticks_per_us * 1000.0);

    uint64_t entered = fe_engine_enter(engine);
    fe_engine_leave(engine, FE_STEP_EXPIRE, entered - 20 * ms);
    entered = fe_engine_enter(engine);
    fe_engine_leave(engine, FE_STEP_COMPACT, entered);
    entered = fe_engine_enter(engine);
    fe_engine_leave(engine, FE_STEP_BATCH, entered - 20 * ms);

    CHECK_INT(1, engine->latency.series[FE_LATENCY_EXPIRE_CYCLE].count);
    CHECK(engine->latency.series[FE_LATENCY_EXPIRE_CYCLE].worst_ms >= 20);
    CHECK_INT(0, engine->latency.series[FE_LATENCY_COMPACT_CYCLE].count);
    CHECK_INT(0, engine->latency.series[FE_LATENCY_COMMAND].count);
    fe_engine_free(engine);
}

int main(void)
{
    RUN(an_entry_fixes_the_time_for_engine_and_store);
    RUN(a_step_s_processor_time_is_taken_while_the_latency_monitor_is_on);
    RUN(options_change_as_a_whole);
    RUN(errors_are_counted_by_their_first_word);
    RUN(kinds_of_errors_are_bounded);
    RUN(reset_brings_statistics_back_to_zero);
    RUN(who_asks_for_the_lock_knows_how_long_it_waited);
    RUN(steps_beyond_the_threshold_reach_the_latency_monitor);
    return check_done();
}
