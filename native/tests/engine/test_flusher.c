/* The engine over a data folder: opening it, and the threads that write and remove files. */
#include "tests/check.h"

#include "base/resident.h"
#include "store/tier.h"
#include "tests/folder.h"
#include "tests/tiered_engine.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct rig {
    fe_engine *engine;
    char path[64];
    char error[FE_ENGINE_ERROR_MAX];
} rig;

static void open_rig(rig *it)
{
    strcpy(it->path, "/tmp/ferrite-flusher-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    fe_engine_options options = tiered_options(it->path);
    it->engine = fe_engine_open(&options, it->error);
    if (it->engine == NULL) fprintf(stderr, "%s\n", it->error);
    FE_ASSERT(it->engine != NULL);
}

static bool exists(const rig *it, const char *name)
{
    char path[256];
    struct stat found;
    (void)snprintf(path, sizeof path, "%s/%s", it->path, name);
    return stat(path, &found) == 0;
}

static fe_tier_stats stats_of(fe_engine *engine)
{
    fe_tier_stats stats;
    uint64_t entered = fe_engine_enter(engine);
    fe_tier_stats_get(engine->store, &stats);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    return stats;
}

static bool is_within_budgets(fe_engine *engine)
{
    fe_tier_stats stats = stats_of(engine);
    return stats.tiers[FE_TIER_SEALED].segments == 0 &&
           stats.tiers[FE_TIER_MUTABLE].bytes <= stats.mutable_max &&
           stats.tiers[FE_TIER_MAPPED].bytes <= stats.readonly_max;
}

static void close_rig(rig *it)
{
    fe_engine_free(it->engine);
    CHECK(exists(it, "log"));
    remove_folder(it->path);
    CHECK(!exists(it, "log"));
}

TEST(rounds_bring_the_tiers_within_their_budgets)
{
    rig it;
    open_rig(&it);
    for (uint64_t i = 0; i < 6000; i++) {
        tiered_put(it.engine, i);
        if (i % 100 == 0) (void)fe_workers_round(it.engine);
    }

    for (unsigned i = 0; i < 1000 && fe_workers_round(it.engine); i++) {}

    CHECK(is_within_budgets(it.engine));
    CHECK(stats_of(it.engine).tiers[FE_TIER_DISK].segments > 10);
    CHECK(it.engine->stats.steps[FE_STEP_TIER].count > 0);
    CHECK(fe_store_check(it.engine->store) == NULL);
    close_rig(&it);
}

TEST(the_thread_writes_what_writers_wait_for)
{
    rig it;
    open_rig(&it);
    CHECK(fe_workers_start(it.engine));
    for (uint64_t i = 0; i < 20000; i++)
        tiered_put(it.engine, i);
    int64_t until_ms = fe_clock_wall_ms() + 20000;
    while (!is_within_budgets(it.engine) && fe_clock_wall_ms() < until_ms) {}
    CHECK(is_within_budgets(it.engine));
    while (stats_of(it.engine).resident == 0 && fe_clock_wall_ms() < until_ms) {}
    CHECK(stats_of(it.engine).resident > 0);

    uint64_t entered = fe_engine_enter(it.engine);
    CHECK_INT(FE_OK, fe_store_flush_all(it.engine->store, false));
    fe_engine_leave(it.engine, FE_STEP_BATCH, entered);
    while (stats_of(it.engine).file_count != 0 && fe_clock_wall_ms() < until_ms) {}

    CHECK_INT(0, stats_of(it.engine).file_count);
    fe_workers_stop(it.engine);
    CHECK(it.engine->flusher == NULL);
    CHECK(fe_store_check(it.engine->store) == NULL);
    close_rig(&it);
}

TEST(a_reader_and_a_writer_beside_the_thread_see_the_last_value)
{
    rig it;
    open_rig(&it);
    CHECK(fe_workers_start(it.engine));
    fe_random random;
    fe_random_init(&random, 7);
    for (uint64_t i = 0; i < 30000; i++) {
        uint64_t number = fe_random_below(&random, 600); /* they stay in memory */
        tiered_put(it.engine, number);
        uint64_t entered = fe_engine_enter(it.engine);
        char name[32];
        fe_key key;
        tiered_locate(it.engine, number, name, sizeof name, &key);
        CHECK(fe_key_exists(&key) && fe_record_value(key.record).ptr[0] == (uint8_t)number);
        fe_engine_leave(it.engine, FE_STEP_BATCH, entered);
    }
    fe_workers_stop(it.engine);
    CHECK(fe_store_check(it.engine->store) == NULL);
    close_rig(&it);
}

TEST(a_folder_that_cannot_be_opened_is_told_in_one_line)
{
    char error[FE_ENGINE_ERROR_MAX] = "";
    fe_engine_options options = tiered_options("/dev/null/data");

    CHECK(fe_engine_open(&options, error) == NULL);

    CHECK(strstr(error, "/dev/null/data") != NULL);
    CHECK(strchr(error, '\n') == NULL);
}

TEST(segments_of_an_unclean_stop_are_set_aside)
{
    rig it;
    open_rig(&it);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/log/00000001-00000001.seg", it.path);
    fe_engine_free(it.engine);
    FILE *old = fopen(path, "w");
    CHECK(old != NULL && fclose(old) == 0);
    fe_engine_options options = tiered_options(it.path);

    it.engine = fe_engine_open(&options, it.error);

    CHECK(it.engine != NULL);
    CHECK(!exists(&it, "log/00000001-00000001.seg"));
    DIR *folder = opendir(it.path);
    unsigned aside = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        aside += strncmp(entry->d_name, "log.unclean-", 12) == 0;
    (void)closedir(folder);
    CHECK_INT(1, aside);
    close_rig(&it);
}

TEST(options_change_and_the_folder_stays)
{
    rig it;
    open_rig(&it);
    fe_engine_options options = it.engine->options;
    options.store.device = NULL;
    options.store.mutable_size = 2u << 20;

    fe_engine_set_options(it.engine, &options);

    CHECK_INT(2u << 20, stats_of(it.engine).mutable_max);
    CHECK(it.engine->options.store.device == it.engine->device);
    close_rig(&it);
}

TEST(without_memory_no_flusher_starts)
{
    rig it;
    open_rig(&it);
    uint64_t used = fe_alloc_used_all(&it.engine->alloc);
    fe_alloc_fail_after(&it.engine->alloc, 1); /* the worker is had, the flusher is not */

    CHECK(!fe_workers_start(it.engine));

    fe_alloc_fail_after(&it.engine->alloc, -1);
    CHECK(it.engine->workers == NULL && it.engine->flusher == NULL);
    CHECK_INT(used, fe_alloc_used_all(&it.engine->alloc));
    close_rig(&it);
}

int main(void)
{
    RUN(rounds_bring_the_tiers_within_their_budgets);
    RUN(the_thread_writes_what_writers_wait_for);
    RUN(a_reader_and_a_writer_beside_the_thread_see_the_last_value);
    RUN(a_folder_that_cannot_be_opened_is_told_in_one_line);
    RUN(segments_of_an_unclean_stop_are_set_aside);
    RUN(options_change_and_the_folder_stays);
    RUN(without_memory_no_flusher_starts);
    return check_done();
}
