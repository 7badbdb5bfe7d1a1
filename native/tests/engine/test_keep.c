/* What becomes of the data at both ends of an engine's life. */
#include "engine/keep.h"
#include "engine/workers.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/folder.h"

#define LEN 10000u
#define KEYS 200u /* few, so that no tag of one is that of another on disk */

static char path[64];
static char error[FE_ENGINE_ERROR_MAX];
static fe_save_report report;

static fe_engine *open_engine_that(bool serves_damaged)
{
    fe_engine_options options = {
        .store = {.databases = 2,
                  .samples = 5,
                  .segment_size = 64 << 10,
                  .mutable_size = 512 << 10,
                  .readonly_size = 256 << 10,
                  .seed = {(uint64_t)check_cases, 7},
                  .serves_damaged = serves_damaged},
        .hz = 100,
        .expire_effort = 1,
    };
    strcpy(options.data_dir, path);
    fe_engine *engine = fe_engine_open(&options, error);
    if (engine == NULL) fprintf(stderr, "%s\n", error);
    return engine;
}

static fe_engine *open_engine(void)
{
    return open_engine_that(false);
}

static fe_bytes name_of(char *text, uint32_t number)
{
    int len = sprintf(text, "key:%u", number);
    return (fe_bytes){(const uint8_t *)text, (size_t)len};
}

static void fill(fe_engine *engine)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[32];
        fe_bytes name = name_of(text, i);
        fe_status status;
        do {
            uint64_t entered = fe_engine_enter(engine);
            status = fe_store_make_room(engine->store);
            if (status == FE_OK) {
                fe_key key;
                fe_key_find(engine->store, 0, name, fe_key_hash(fe_store_seed(engine->store), name),
                            false, &key);
                uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, LEN, 0);
                if (value != NULL) memset(value, (int)i, LEN);
                CHECK(value != NULL);
            }
            fe_engine_leave(engine, FE_STEP_BATCH, entered);
        } while (status == FE_BUSY);
    }
}

static uint64_t keys_of(fe_engine *engine)
{
    uint64_t entered = fe_engine_enter(engine);
    uint64_t keys = fe_store_db_size(engine->store, 0);
    CHECK(fe_store_check(engine->store) == NULL);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    return keys;
}

/* Entries of a folder of the data folder, without the lock. */
static unsigned entries_of(const char *name)
{
    char whole[128];
    unsigned count = 0;
    (void)snprintf(whole, sizeof whole, "%s/%s", path, name);
    DIR *folder = opendir(whole);
    if (folder == NULL) return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, "LOCK") != 0;
    (void)closedir(folder);
    return count;
}

static fe_engine *served(void)
{
    fe_engine *engine = open_engine();
    if (engine == NULL || !fe_engine_claim(engine, error) || !fe_workers_start(engine)) abort();
    return engine;
}

TEST(a_save_brings_everything_back)
{
    fe_engine *engine = served();
    CHECK_INT(FE_SAVE_EMPTY, engine->found.found);
    fill(engine);
    fe_workers_stop(engine);
    CHECK(fe_engine_wants_save(engine));
    CHECK(fe_engine_save(engine, "1", &report, error));
    CHECK_INT(KEYS, report.keys);
    CHECK(!fe_engine_wants_save(engine));
    fe_engine_free(engine);

    engine = open_engine();
    CHECK_INT(FE_SAVE_LOADED, engine->found.found);
    CHECK_INT(KEYS, engine->found.keys);
    CHECK_INT(KEYS, keys_of(engine));
    fe_engine_set_options(engine, &engine->options); /* the seed is that of the data */
    CHECK(!fe_engine_wants_save(engine));
    fe_engine_free(engine); /* never claimed: nothing is lost */
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    (void)getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    CHECK_INT(0, setrlimit(RLIMIT_FSIZE, &limit));
}

static fe_status prepare(fe_engine *engine)
{
    fe_status status;
    const struct timespec pause = {0, 1000000};
    while ((status = fe_engine_prepare_save(engine, error)) == FE_BUSY)
        (void)nanosleep(&pause, NULL);
    return status;
}

/* What the disk does not take is known while the workers run, and costs nothing. */
TEST(a_save_is_prepared_while_the_workers_run)
{
    fe_engine *engine = served();
    fill(engine);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_files(1024);
    CHECK_INT(FE_IO, prepare(engine));
    CHECK(strstr(error, path) == error && strstr(error, strerror(EFBIG)) != NULL);
    CHECK_INT(KEYS, keys_of(engine));
    limit_files(RLIM_INFINITY);
    CHECK_INT(FE_OK, prepare(engine));
    CHECK_INT(FE_OK, prepare(engine));
    fe_workers_stop(engine);
    CHECK(fe_engine_save(engine, "1", &report, error));
    fe_engine_free(engine);
    engine = open_engine();
    CHECK_INT(KEYS, keys_of(engine));
    CHECK_INT(FE_OK, fe_engine_prepare_save(engine, error)); /* nothing has changed */
    CHECK(fe_engine_claim(engine, error));
    fe_engine_discard(engine);
    fe_engine_free(engine);
}

TEST(a_discard_leaves_an_empty_folder)
{
    fe_engine *engine = served();
    CHECK_INT(KEYS, keys_of(engine));
    CHECK_INT(3, entries_of("."));
    fe_workers_stop(engine);
    fe_engine_discard(engine);
    CHECK(!fe_engine_wants_save(engine));
    fe_engine_free(engine);
    CHECK_INT(1, entries_of("."));
    CHECK_INT(0, entries_of("log"));
}

TEST(without_either_the_files_stay_and_are_set_aside)
{
    fe_engine *engine = served();
    CHECK_INT(FE_SAVE_EMPTY, engine->found.found);
    fill(engine);
    fe_workers_stop(engine);
    fe_engine_free(engine);
    CHECK(entries_of("log") > 0);

    engine = served();
    CHECK_INT(FE_SAVE_UNCLEAN, engine->found.found);
    CHECK_INT(0, keys_of(engine));
    CHECK(entries_of(engine->found.aside) > 0);
    CHECK_INT(0, entries_of("log"));
    fe_workers_stop(engine);
    fe_engine_discard(engine);
    fe_engine_free(engine);
}

TEST(a_damaged_folder_is_refused_in_one_line)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s/manifest", path);
    FILE *file = fopen(name, "w");
    CHECK(file != NULL && fputs("no manifest", file) >= 0 && fclose(file) == 0);
    CHECK(open_engine() == NULL);
    CHECK(strstr(error, name) == error && strstr(error, "byte 0: ") != NULL);
    CHECK(strstr(error, "remove the file manifest") != NULL && strchr(error, '\n') == NULL);
    CHECK_INT(0, unlink(name));
}

/* The n-th file of the folder log, by its name. */
static void segment_path(unsigned n, char text[128])
{
    char whole[80];
    struct dirent **entries;
    (void)snprintf(whole, sizeof whole, "%s/log", path);
    int count = scandir(whole, &entries, NULL, alphasort), at = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && (unsigned)at++ == n)
            (void)snprintf(text, 128, "%s/%.30s", whole, entries[i]->d_name);
        free(entries[i]);
    }
    if (count < 0 || (unsigned)at <= n) abort();
    free(entries);
}

static void restore(const char *name)
{
    char kept[136];
    (void)snprintf(kept, sizeof kept, "%s/kept", path);
    CHECK_INT(0, rename(kept, name));
}

static void take_away(const char *name)
{
    char kept[136];
    (void)snprintf(kept, sizeof kept, "%s/kept", path);
    CHECK_INT(0, rename(name, kept));
}

/* Nobody is told to do what does not help, and a start that fails has changed nothing. */
TEST(only_what_can_be_served_is_said_to_be)
{
    char first[128], other[128];
    fe_engine *engine = served();
    fill(engine);
    fe_workers_stop(engine);
    CHECK(fe_engine_save(engine, "1", &report, error));
    fe_engine_free(engine);
    segment_path(0, first);
    segment_path(1, other);

    take_away(first);
    CHECK(open_engine() == NULL);
    CHECK(strstr(error, first) == error && strstr(error, "damaged_files = \"serve\"") != NULL);
    restore(first);

    take_away(other);
    CHECK_INT(0, symlink(other, other)); /* cannot be opened, though it is there */
    for (unsigned serves = 0; serves < 2; serves++) {
        CHECK(open_engine_that(serves != 0) == NULL);
        CHECK(strstr(error, other) == error && strstr(error, strerror(ELOOP)) != NULL);
        CHECK(strstr(error, "damaged_files") == NULL);
        CHECK(strstr(error, "remove the file manifest") != NULL);
    }
    char lost[136];
    (void)snprintf(lost, sizeof lost, "%s/lost", path);
    CHECK_INT(0, rename(first, lost));
    CHECK(open_engine_that(true) == NULL);
    CHECK(access(first, F_OK) != 0); /* no file stands in for it */
    CHECK_INT(0, unlink(other));
    restore(other);
    engine = open_engine_that(true);
    CHECK(engine != NULL && access(first, F_OK) == 0);
    CHECK(fe_engine_claim(engine, error));
    fe_engine_discard(engine);
    fe_engine_free(engine);
    CHECK_INT(0, unlink(lost));
}

TEST(without_a_data_folder_there_is_nothing_to_keep)
{
    fe_engine_options options = {.store = {.databases = 1, .samples = 5}};
    fe_engine *engine = fe_engine_new(&options);
    CHECK(fe_engine_claim(engine, error));
    CHECK(!fe_engine_wants_save(engine));
    fe_engine_discard(engine);
    fe_engine_free(engine);
}

int main(void)
{
    strcpy(path, "/tmp/ferrite-keep-XXXXXX");
    if (mkdtemp(path) == NULL) return 1;
    RUN(a_save_brings_everything_back);
    RUN(a_discard_leaves_an_empty_folder);
    RUN(a_save_is_prepared_while_the_workers_run);
    RUN(without_either_the_files_stay_and_are_set_aside);
    RUN(a_damaged_folder_is_refused_in_one_line);
    RUN(only_what_can_be_served_is_said_to_be);
    RUN(without_a_data_folder_there_is_nothing_to_keep);
    remove_folder(path);
    return check_done();
}
