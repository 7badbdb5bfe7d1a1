/* The thread that reclaims what is on disk, beside the others. */
#include "tests/check.h"

#include "engine/collector.h"
#include "engine/flusher.h"
#include "engine/workers.h"
#include "store/store.h"
#include "store/tier.h"
#include "tests/folder.h"

#include <unistd.h>

#define LEN 1000u
#define PATIENCE_MS 60000

typedef struct rig {
    fe_engine *engine;
    char path[64];
} rig;

static void open_rig(rig *it, fe_policy policy, uint64_t disk_max)
{
    fe_engine_options options = {.store = {.databases = 2,
                                           .policy = policy,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .mutable_size = 1u << 20,
                                           .readonly_size = 1u << 18,
                                           .disk_max = disk_max,
                                           .seed = {1, 2}},
                                 .slowlog_max = 4,
                                 .expire_effort = 1,
                                 .hz = 100};
    char error[FE_ENGINE_ERROR_MAX];
    strcpy(it->path, "/tmp/ferrite-collect-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", it->path);
    it->engine = fe_engine_open(&options, error);
    FE_ASSERT(it->engine != NULL);
}

static void close_rig(rig *it)
{
    CHECK(it->engine->collector == NULL);
    CHECK(fe_store_check(it->engine->store) == NULL);
    fe_engine_free(it->engine);
    remove_folder(it->path);
}

/* Writes a key that is not there; whether it could. Keys that might be one on disk are passed over. */
static fe_status put(fe_engine *engine, uint64_t number, int64_t left_ms)
{
    fe_status status;
    do {
        uint64_t entered = fe_engine_enter(engine);
        fe_store *store = engine->store;
        char text[32];
        int len = snprintf(text, sizeof text, "key:%" PRIu64, number);
        fe_bytes name = {(const uint8_t *)text, (size_t)len};
        uint64_t hash = fe_key_hash(fe_store_seed(store), name);
        status = fe_store_make_room(store);
        if (status == FE_OK &&
            fe_index_find_cold(&store->databases[0]->index, hash, NULL) == NULL) {
            fe_key key;
            fe_key_find(store, 0, name, hash, false, &key);
            int64_t deadline = left_ms == 0 ? FE_DEADLINE_NONE : engine->now_ms + left_ms;
            uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, LEN, deadline);
            FE_ASSERT(value != NULL);
            memset(value, (int)(number & 255u), LEN);
        }
        fe_engine_leave(engine, FE_STEP_BATCH, entered);
        if (status == FE_BUSY) usleep(100);
    } while (status == FE_BUSY);
    return status;
}

typedef struct figures {
    fe_tier_stats tiers;
    fe_frozen_stats frozen;
    uint64_t keys;
} figures;

static figures figures_of(fe_engine *engine)
{
    figures f;
    uint64_t entered = fe_engine_enter(engine);
    fe_tier_stats_get(engine->store, &f.tiers);
    fe_frozen_stats_get(engine->store, &f.frozen);
    f.keys = fe_store_db_size(engine->store, 0);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    return f;
}

TEST(writers_go_on_for_ever_under_a_limit_of_the_disk)
{
    rig it;
    uint64_t disk_max = 4u << 20, most = 0;
    open_rig(&it, FE_POLICY_ALLKEYS_LRU, disk_max);
    CHECK(fe_workers_start(it.engine));
    CHECK(it.engine->collector != NULL);

    for (uint64_t i = 0; i < 12000; i++) {
        CHECK_INT(FE_OK, put(it.engine, i, 0));
        if (i % 100 == 0) {
            uint64_t bytes = figures_of(it.engine).tiers.file_bytes;
            if (bytes > most) most = bytes;
        }
    }

    figures f = figures_of(it.engine);
    CHECK(most <= disk_max);
    CHECK(f.frozen.evicted_keys > 3000 && f.frozen.read_errors == 0);
    CHECK(f.keys + f.frozen.evicted_keys <= 12000 && f.keys + f.frozen.evicted_keys > 11900);
    fe_workers_stop(it.engine);
    CHECK(it.engine->stats.steps[FE_STEP_FROZEN].count > 0);
    close_rig(&it);
}

TEST(what_expires_on_disk_is_reclaimed_by_the_thread)
{
    rig it;
    open_rig(&it, FE_POLICY_NOEVICTION, 0);
    CHECK(fe_workers_start(it.engine));
    for (uint64_t i = 0; i < 6000; i++)
        CHECK_INT(FE_OK, put(it.engine, i, 3000));

    int64_t until_ms = fe_clock_wall_ms() + PATIENCE_MS;
    while (figures_of(it.engine).keys != 0 && fe_clock_wall_ms() < until_ms)
        usleep(10000);
    figures f = figures_of(it.engine);
    CHECK_INT(0, f.keys);
    CHECK(f.frozen.expired_keys > 0);
    fe_workers_stop(it.engine);
    close_rig(&it);
}

TEST(rounds_do_whole_jobs_without_the_thread)
{
    rig it;
    open_rig(&it, FE_POLICY_ALLKEYS_RANDOM, 2u << 20);
    for (uint64_t i = 0; i < 2700; i++) {
        CHECK_INT(FE_OK, put(it.engine, i, 0));
        if (i % 10 == 0) (void)fe_workers_round(it.engine);
    }

    unsigned rounds = 0;
    while (rounds < 1000 && fe_collector_round(it.engine)) {
        (void)fe_workers_round(it.engine);
        rounds++;
    }

    CHECK(rounds > 0 && rounds < 1000);
    CHECK(figures_of(it.engine).frozen.evicted_keys > 0);
    close_rig(&it);
}

TEST(without_a_data_folder_there_is_no_collector)
{
    fe_engine_options options = {.store = {.databases = 1, .samples = 5, .seed = {1, 2}}, .hz = 10};
    fe_engine *engine = fe_engine_new(&options);

    CHECK(fe_collector_start(engine));
    CHECK(engine->collector == NULL && !fe_collector_round(engine));
    fe_collector_stop(engine);
    fe_engine_free(engine);
}

int main(void)
{
    RUN(writers_go_on_for_ever_under_a_limit_of_the_disk);
    RUN(what_expires_on_disk_is_reclaimed_by_the_thread);
    RUN(rounds_do_whole_jobs_without_the_thread);
    RUN(without_a_data_folder_there_is_no_collector);
    return check_done();
}
