/* Background work: rounds of steps, called directly, and the thread that calls them. */
#include "tests/check.h"

#include "engine/workers.h"

static fe_engine *open_engine(void)
{
    fe_engine_options options = {.store = {.databases = 2,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .seed = {1, 2}},
                                 .slowlog_max = 4,
                                 .expire_effort = 1,
                                 .hz = 100};
    fe_engine *engine = fe_engine_new(&options);
    FE_ASSERT(engine != NULL);
    return engine;
}

/* Writes a key with 100 bytes; `ttl_ms` 0 means for ever. */
static void put(fe_engine *engine, uint32_t db, int number, int64_t ttl_ms)
{
    char name[32];
    int len = snprintf(name, sizeof name, "key:%d", number);
    fe_bytes bytes = {(const uint8_t *)name, (size_t)len};
    fe_key key;
    fe_key_find(engine->store, db, bytes, fe_key_hash(fe_store_seed(engine->store), bytes), false,
                &key);
    int64_t deadline = ttl_ms == 0 ? FE_DEADLINE_NONE : engine->now_ms + ttl_ms;
    uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, 100, deadline);
    FE_ASSERT(value != NULL);
    memset(value, 'v', 100);
}

static uint64_t size_of(fe_engine *engine, uint32_t db)
{
    uint64_t entered = fe_engine_enter(engine);
    uint64_t size = fe_store_db_size(engine->store, db);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    return size;
}

static void wait_until(int64_t wall_ms)
{
    while (fe_clock_wall_ms() < wall_ms) {}
}

static void run_rounds(fe_engine *engine)
{
    for (int i = 0; i < 1000 && fe_workers_round(engine); i++) {}
}

TEST(rounds_remove_what_has_expired)
{
    fe_engine *engine = open_engine();
    uint64_t entered = fe_engine_enter(engine);
    for (int i = 0; i < 2000; i++)
        put(engine, 0, i, i % 2 == 0 ? 2 : 0);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    wait_until(engine->now_ms + 5);

    run_rounds(engine);

    CHECK_INT(1000, size_of(engine, 0));
    CHECK(engine->stats.steps[FE_STEP_EXPIRE].count > 0);
    CHECK(engine->stats.memory_peak > 0);
    fe_engine_free(engine);
}

TEST(expiry_rests_while_it_is_paused)
{
    fe_engine *engine = open_engine();
    uint64_t entered = fe_engine_enter(engine);
    for (int i = 0; i < 100; i++)
        put(engine, 0, i, 1);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    wait_until(engine->now_ms + 3);

    engine->expire_paused = true;
    run_rounds(engine);
    CHECK_INT(100, size_of(engine, 0));
    engine->expire_paused = false;
    engine->pause.until_ms = fe_clock_monotonic_ms() + 1000000; /* CLIENT PAUSE */
    run_rounds(engine);
    CHECK_INT(100, size_of(engine, 0));
    engine->pause.until_ms = 0;
    run_rounds(engine);
    CHECK_INT(0, size_of(engine, 0));
    fe_engine_free(engine);
}

TEST(rounds_give_back_what_a_flush_left)
{
    fe_engine *engine = open_engine();
    uint64_t entered = fe_engine_enter(engine);
    for (int i = 0; i < 20000; i++)
        put(engine, 0, i, 0);
    put(engine, 1, 1, 0);
    uint64_t full = fe_store_used(engine->store);
    CHECK_INT(FE_OK, fe_store_flush(engine->store, 0, false));
    fe_engine_leave(engine, FE_STEP_BATCH, entered);

    run_rounds(engine);

    entered = fe_engine_enter(engine);
    CHECK(fe_store_used(engine->store) < full / 2);
    CHECK(fe_store_check(engine->store) == NULL);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    CHECK_INT(1, size_of(engine, 1));
    fe_engine_free(engine);
}

TEST(a_purge_is_done_once)
{
    fe_engine *engine = open_engine();
    engine->purge_wanted = true;

    (void)fe_workers_round(engine);

    CHECK(!engine->purge_wanted);
    fe_engine_free(engine);
}

TEST(the_thread_works_while_sessions_do)
{
    fe_engine *engine = open_engine();
    CHECK(fe_workers_start(engine));
    for (int round = 0; round < 50; round++) {
        uint64_t entered = fe_engine_enter(engine);
        for (int i = 0; i < 200; i++)
            put(engine, 0, i, i % 2 == 0 ? 1 : 0);
        fe_engine_leave(engine, FE_STEP_BATCH, entered);
        fe_workers_wake(engine);
    }
    int64_t until_ms = fe_clock_wall_ms() + 5000;
    while (size_of(engine, 0) > 100 && fe_clock_wall_ms() < until_ms) {}
    CHECK_INT(100, size_of(engine, 0));

    fe_workers_stop(engine);
    CHECK(engine->workers == NULL);
    fe_workers_stop(engine); /* stopping twice is stopping once */
    fe_workers_wake(engine);
    CHECK(fe_store_check(engine->store) == NULL);
    fe_engine_free(engine);
}

TEST(without_memory_no_thread_starts)
{
    fe_engine *engine = open_engine();
    fe_alloc_fail_after(&engine->alloc, 0);

    CHECK(!fe_workers_start(engine));

    CHECK(engine->workers == NULL);
    fe_alloc_fail_after(&engine->alloc, -1);
    fe_engine_free(engine);
}

int main(void)
{
    RUN(rounds_remove_what_has_expired);
    RUN(expiry_rests_while_it_is_paused);
    RUN(rounds_give_back_what_a_flush_left);
    RUN(a_purge_is_done_once);
    RUN(the_thread_works_while_sessions_do);
    RUN(without_memory_no_thread_starts);
    return check_done();
}
