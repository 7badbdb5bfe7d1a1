/* The clean stop and the start after it: what was saved is there again, what is damaged is never
 * served, and what did not end cleanly is set aside. */
#include "base/crc.h"
#include "store/cache.h"
#include "store/fetch.h"
#include "store/save.h"
#include "store/save_format.h"
#include "tests/store/tier_support.h"

#include <fcntl.h>

#define SERVER "0.0.1"

/* Stops and starts ------------------------------------------------------------------------------ */

static fe_save_report last;
static char error[FE_SAVE_ERROR_MAX];

static bool save(tiered *t)
{
    bool saved = fe_save_run(t->f.store, SERVER, &last, error);
    if (!saved) fprintf(stderr, "%s\n", error);
    return saved;
}

/* The process ends: memory, descriptors and the lock are gone. */
static void leave(tiered *t)
{
    fe_store_free(t->f.store);
    fe_device_close(t->device);
    CHECK_INT(0, fe_alloc_used_all(&t->f.alloc));
    t->f.store = NULL;
    t->device = NULL;
}

/* Another process begins, with another seed. Returns whether the folder could be opened. */
static bool begin(tiered *t, fe_store_options options)
{
    char text[256];
    t->device = fe_device_open(&t->f.alloc, t->path, &t->calls, text);
    if (t->device == NULL) abort();
    options.device = t->device;
    options.seed.k0 ^= 99;
    t->f.store = fe_store_new(&t->f.alloc, &options);
    if (t->f.store == NULL) abort();
    fe_store_set_now(t->f.store, START_MS);
    if (!fe_save_open(t->f.store, &last, error)) return false;
    t->f.seed = *fe_store_seed(t->f.store);
    return true;
}

/* The store may change, and is not to be saved again. */
static void claim(tiered *t)
{
    CHECK(fe_save_claim(t->f.store, error));
    fe_save_discard(t->f.store);
}

static void restart(tiered *t)
{
    CHECK(save(t));
    leave(t);
    bool begun = begin(t, tiered_options());
    if (!begun) fprintf(stderr, "%s\n", error);
    CHECK(begun);
    claim(t);
    check_store(&t->f);
}

/* The record of a key, on disk; NULL: there is none. To be freed. */
static fe_record *cold(tiered *t, uint32_t db, fe_bytes name)
{
    const fe_index *index = &t->f.store->databases[db]->index;
    uint64_t hash = fe_key_hash(&t->f.seed, name);
    uint64_t *slot = NULL;
    while ((slot = fe_index_find_cold(index, hash, slot)) != NULL) {
        fe_record *record = read_cold(t, fe_slot_address(*slot));
        if (fe_bytes_equal(fe_record_key(record), name)) return record;
        free(record);
    }
    return NULL;
}

static bool cold_has(tiered *t, uint32_t db, uint64_t number, size_t len)
{
    static uint8_t buf[1 << 20];
    name_buf name;
    fe_record *record = cold(t, db, name_of(&name, number));
    if (record == NULL) return false;
    bool same = fe_bytes_equal(fe_record_value(record), value_of(buf, number, len));
    free(record);
    return same;
}

static void put(tiered *t, uint32_t db, uint64_t number, size_t len, int64_t deadline)
{
    static uint8_t buf[1 << 20];
    name_buf name;
    fe_bytes bytes = name_of(&name, number);
    (void)fe_store_step_index(t->f.store, 2);
    make_resident(t, db, bytes, fe_key_hash(&t->f.seed, bytes));
    CHECK(set(&t->f, db, bytes, value_of(buf, number, len), deadline));
}

static bool in_folder(const tiered *t, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", t->path, name);
    return access(path, F_OK) == 0;
}

/* Cases ----------------------------------------------------------------------------------------- */

TEST(an_empty_store_comes_back)
{
    tiered t;
    tiered_open(&t, tiered_options());
    restart(&t);
    CHECK_INT(FE_SAVE_LOADED, last.found);
    CHECK_INT(0, last.keys);
    fill(&t, 0, 10, 100);
    CHECK(has_value(&t, 3, 100));
    tiered_close(&t);
}

TEST(everything_that_was_written_comes_back)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (uint64_t i = 0; i < 20000; i++)
        put(&t, 0, i, 10 + i % 200, i % 3 == 0 ? START_MS + 100000 + (int64_t)i : FE_DEADLINE_NONE);
    put(&t, 1, 7, 300000, FE_DEADLINE_NONE); /* a segment of its own */
    while (stats_of(&t).tiers[FE_TIER_DISK].segments < 3)
        settle_tiers(&t);
    fe_database_stats before, after;
    fe_store_db_stats(t.f.store, 0, &before);
    uint64_t live = t.f.store->log.live;
    CHECK(stats_of(&t).tiers[FE_TIER_DISK].segments > 0 && live > 0);

    restart(&t);
    CHECK_INT(FE_SAVE_LOADED, last.found);
    CHECK_INT(20001, last.keys);
    CHECK(last.segments > 10 && last.segment_bytes > 20000 * 100);
    CHECK(!in_folder(&t, "manifest") && !in_folder(&t, "index-1"));
    CHECK_INT(20000, fe_store_db_size(t.f.store, 0));
    CHECK_INT(1, fe_store_db_size(t.f.store, 1));
    fe_store_db_stats(t.f.store, 0, &after);
    CHECK_INT(before.expires, after.expires);
    CHECK_INT(before.average_ttl_ms, after.average_ttl_ms);
    for (uint64_t i = 0; i < 20000; i++)
        CHECK(cold_has(&t, 0, i, 10 + i % 200));
    CHECK(cold_has(&t, 1, 7, 300000));
    CHECK(!cold_has(&t, 0, 20000, 10));
    name_buf name;
    fe_record *record = cold(&t, 0, name_of(&name, 30));
    CHECK_INT(START_MS + 100030, fe_record_deadline(record));
    free(record);
    tiered_close(&t);
}

TEST(databases_that_were_swapped_or_flushed_come_back_as_they_were)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (uint64_t i = 0; i < 3000; i++) {
        put(&t, 0, i, 100, FE_DEADLINE_NONE);
        put(&t, 1, i, 50, FE_DEADLINE_NONE);
        put(&t, 2, i, 70, FE_DEADLINE_NONE);
    }
    settle_tiers(&t);
    fe_store_swap(t.f.store, 0, 1);
    CHECK_INT(FE_OK, fe_store_flush(t.f.store, 2, false));
    put(&t, 2, 5, 33, FE_DEADLINE_NONE);
    restart(&t);
    CHECK_INT(6001, last.keys);
    CHECK_INT(1, fe_store_db_size(t.f.store, 2));
    for (uint64_t i = 0; i < 3000; i++)
        CHECK(cold_has(&t, 0, i, 50) && cold_has(&t, 1, i, 100));
    CHECK(cold_has(&t, 2, 5, 33) && !cold_has(&t, 2, 6, 70));
    tiered_close(&t);
}

TEST(a_store_may_stop_and_start_many_times)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (uint64_t round = 0; round < 8; round++) {
        for (uint64_t i = 0; i < 500; i++)
            put(&t, (uint32_t)round % 4, round * 500 + i, 200, FE_DEADLINE_NONE);
        restart(&t);
        CHECK_INT((round + 1) * 500, last.keys);
    }
    for (uint64_t round = 0; round < 8; round++)
        for (uint64_t i = 0; i < 500; i++)
            CHECK(cold_has(&t, (uint32_t)round % 4, round * 500 + i, 200));
    tiered_close(&t);
}

TEST(a_large_index_comes_back_and_goes_on_growing)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.mutable_size = 64 << 20; /* the index of what is in memory grows without the disk */
    tiered_open(&t, options);
    for (uint64_t i = 0; i < 300000; i++)
        put(&t, 0, i, 8, FE_DEADLINE_NONE);
    const fe_index *index = &t.f.store->databases[0]->index;
    uint64_t buckets = index->buckets, bytes = index->bytes, nodes = index->nodes.used_count;
    CHECK(index->chunk_count >= 2);
    restart(&t);
    index = &t.f.store->databases[0]->index;
    CHECK_INT(buckets, index->buckets);
    CHECK_INT(nodes, index->nodes.used_count);
    CHECK(index->bytes <= bytes);
    for (uint64_t i = 0; i < 300000; i += 501)
        CHECK(cold_has(&t, 0, i, 8));
    for (uint64_t i = 300000; i < 330000; i++)
        put(&t, 0, i, 8, FE_DEADLINE_NONE);
    CHECK(index->buckets > buckets);
    check_store(&t.f);
    for (uint64_t i = 0; i < 300000; i += 501)
        CHECK(cold_has(&t, 0, i, 8));
    tiered_close(&t);
}

TEST(a_copy_is_saved_as_its_home)
{
    tiered t;
    tiered_open(&t, tiered_options());
    put(&t, 0, 1, 100, FE_DEADLINE_NONE);
    demote_all(&t, FE_TIER_DISK);
    fe_log *log = &t.f.store->log;
    fe_keyspace *keyspace = t.f.store->databases[0];
    name_buf name;
    uint64_t hash = fe_key_hash(&t.f.seed, name_of(&name, 1));
    uint64_t *slot = fe_index_find_cold(&keyspace->index, hash, NULL);
    fe_address home = fe_slot_address(*slot);
    fe_record *record = read_cold(&t, home);
    size_t size = fe_record_size(record);
    uint8_t *memory = fe_pages_map(&t.f.alloc, FE_ALLOC_LOG, FE_SEGMENT_MIN, 4096);
    uint32_t n = fe_log_take(log, memory, FE_SEGMENT_MIN, FE_TIER_CACHE);
    memcpy(memory, &home, 8);
    memcpy(memory + 8, record, size);
    log->segments[n].used = log->segments[n].live = log->tiers[FE_TIER_CACHE].live = size + 8;
    free(record);
    fe_slot_set(slot, fe_address_make(n, 8, log->offset_bits), false);
    CHECK(save(&t));
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    slot = fe_index_find_cold(&t.f.store->databases[0]->index, hash, NULL);
    CHECK(slot != NULL && fe_slot_address(*slot) == home);
    CHECK(cold_has(&t, 0, 1, 100));
    CHECK_INT(FE_TIER_FREE, t.f.store->log.segments[n].tier);
    claim(&t);
    tiered_close(&t);
}

TEST(a_blind_write_that_nothing_has_settled_yet_is_settled_first)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (uint64_t i = 0; i < 500; i++)
        put(&t, 0, i, 100, FE_DEADLINE_NONE);
    demote_all(&t, FE_TIER_DISK);
    for (uint64_t i = 0; i < 500; i += 2) {
        name_buf buf;
        fe_waiter waiter = {0};
        fe_bytes name = name_of(&buf, i);
        uint64_t hash = fe_key_hash(&t.f.seed, name);
        CHECK(fe_fetch_key(t.f.store, 0, name, hash, FE_NEED_BLIND, &waiter));
        fe_key key;
        fe_key_find(t.f.store, 0, name, hash, false, &key);
        uint8_t *to = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, 40, FE_DEADLINE_NONE);
        CHECK(to != NULL && value_of(to, i, 40).len == 40);
        fe_waiter_close(t.f.store, &waiter);
    }
    CHECK_INT(750, t.f.store->databases[0]->index.count);
    restart(&t);
    CHECK_INT(500, last.keys);
    for (uint64_t i = 0; i < 500; i++)
        CHECK(cold_has(&t, 0, i, i % 2 ? 100 : 40));
    tiered_close(&t);
}

TEST(what_is_no_segment_of_the_table_is_removed)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    CHECK(save(&t));
    uint64_t files = last.segments;
    int code = 0;
    static uint8_t page[4096] __attribute__((aligned(4096)));
    int fd = fe_device_write_segment(t.device, 1, 77, page, sizeof page, &code);
    CHECK(fd >= 0);
    fe_device_close_fd(t.device, fd);
    fd = fe_device_write_segment(t.device, 9999, 1, page, sizeof page, &code);
    CHECK(fd >= 0);
    fe_device_close_fd(t.device, fd);
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(2, last.orphans);
    CHECK_INT(files, files_in_folder(&t));
    CHECK_INT(files, stats_of(&t).file_count);
    claim(&t);
    tiered_close(&t);
}

TEST(segments_without_a_manifest_are_set_aside)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    CHECK(save(&t));
    uint64_t files = files_in_folder(&t);
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    claim(&t); /* it began to change, and then it was killed: */
    t.f.store->tiers->keep_files = true;
    leave(&t);

    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    CHECK_INT(files, last.segments);
    CHECK(strncmp(last.aside, "log.unclean-2", 13) == 0 && in_folder(&t, last.aside));
    CHECK_INT(0, files_in_folder(&t));
    CHECK_INT(0, fe_store_db_size(t.f.store, 0));
    char first[64];
    strcpy(first, last.aside);
    claim(&t);
    fill(&t, 0, 1000, 500);
    demote_all(&t, FE_TIER_DISK);
    t.f.store->tiers->keep_files = true;
    leave(&t);
    CHECK(begin(&t, tiered_options())); /* within the same second, perhaps */
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    CHECK(strcmp(first, last.aside) != 0 && in_folder(&t, first) && in_folder(&t, last.aside));
    claim(&t);
    tiered_close(&t);
}

TEST(a_start_that_ends_before_it_claims_leaves_all_as_it_was)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 500, 100);
    CHECK(save(&t));
    leave(&t);
    for (int i = 0; i < 3; i++) {
        CHECK(begin(&t, tiered_options()));
        CHECK_INT(FE_SAVE_LOADED, last.found);
        leave(&t);
    }
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(500, last.keys);
    claim(&t);
    tiered_close(&t);
}

TEST(other_options_at_the_next_start)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 2000, 500);
    put(&t, 3, 1, 100, FE_DEADLINE_NONE);
    CHECK(save(&t));
    leave(&t);
    fe_store_options options = tiered_options();
    options.databases = 3;
    CHECK(!begin(&t, options));
    CHECK(strstr(error, "index-1: database 3 has keys") != NULL);
    leave(&t);
    options.databases = 40;
    options.segment_size = 1 << 20; /* addresses stay what they were */
    CHECK(begin(&t, options));
    claim(&t);
    check_store(&t.f);
    for (uint64_t i = 0; i < 2000; i++)
        CHECK(cold_has(&t, 0, i, 500));
    fill(&t, 5000, 9000, 500);
    put(&t, 39, 1, 100, FE_DEADLINE_NONE);
    CHECK(t.f.store->log.segment_max == 64 << 10);
    check_store(&t.f);
    CHECK(save(&t));
    leave(&t);
    options.databases = 40;
    options.segment_size = 64 << 10;
    options.memory_max = 512 << 20;
    CHECK(begin(&t, options));
    CHECK_INT(6002, last.keys);
    CHECK(cold_has(&t, 39, 1, 100) && cold_has(&t, 3, 1, 100) && cold_has(&t, 0, 8999, 500));
    claim(&t);
    tiered_close(&t);
}

TEST(databases_without_keys_may_go)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 100, 100);
    CHECK(save(&t));
    leave(&t);
    fe_store_options options = tiered_options();
    options.databases = 1;
    CHECK(begin(&t, options));
    claim(&t);
    check_store(&t.f);
    CHECK(cold_has(&t, 0, 50, 100));
    tiered_close(&t);
}

TEST(a_disk_that_refuses_fails_the_save_and_not_silently)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    t.faults.write_error = ENOSPC;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "log/") != NULL && strstr(error, strerror(ENOSPC)) != NULL);
    t.faults.write_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(0, fe_store_db_size(t.f.store, 0));
    claim(&t);
    tiered_close(&t);
}

TEST(segments_that_cannot_be_synced_are_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    t.faults.all_error = t.faults.sync_error = EIO;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "log/") != NULL && strstr(error, strerror(EIO)) != NULL);
    t.faults.all_error = t.faults.sync_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest") && !in_folder(&t, "index-1"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    claim(&t);
    tiered_close(&t);
}

TEST(names_of_segments_that_cannot_be_synced_are_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    t.faults.all_error = t.faults.folder_error = EIO;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "log: ") != NULL && strstr(error, strerror(EIO)) != NULL);
    t.faults.all_error = t.faults.folder_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest") && !in_folder(&t, "index-1"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    claim(&t);
    tiered_close(&t);
}

/* The file system tells once, to whoever syncs it next, of every error that it ever had; or may refuse. */
TEST(an_error_of_other_files_does_not_cost_the_data)
{
    const int errors[] = {EIO, ENOSYS, EPERM};
    for (unsigned i = 0; i < 3; i++) {
        tiered t;
        tiered_open(&t, tiered_options());
        fill(&t, 0, 1000, 500);
        t.faults.all_error = errors[i];
        t.faults.syncs = 0;
        restart(&t);
        CHECK(t.faults.syncs >= last.segments);
        CHECK_INT(1000, last.keys);
        CHECK(cold_has(&t, 0, 7, 500) && cold_has(&t, 0, 999, 500));
        tiered_close(&t);
    }
}

TEST(a_write_that_cannot_be_settled_is_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    demote_all(&t, FE_TIER_DISK);
    fe_waiter waiter = {.wake = NULL};
    name_buf buf;
    fe_bytes name = name_of(&buf, 7), value = {(const uint8_t *)"new", 3};
    CHECK(fe_fetch_key(t.f.store, 0, name, fe_key_hash(&t.f.seed, name), FE_NEED_BLIND, &waiter));
    CHECK(set(&t.f, 0, name, value, FE_DEADLINE_NONE));
    fe_waiter_close(t.f.store, &waiter);
    CHECK_INT(1, t.f.store->fetch.settle_count);

    fe_alloc_fail_after(&t.f.alloc, 0);
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    fe_alloc_fail_after(&t.f.alloc, -1);
    CHECK(strstr(error, "memory") != NULL);
    CHECK(!in_folder(&t, "manifest"));

    restart(&t);
    CHECK_INT(1000, last.keys);
    CHECK(cold_has(&t, 0, 8, 500) && !cold_has(&t, 0, 7, 500));
    tiered_close(&t);
}

TEST(an_index_that_cannot_be_synced_is_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    demote_all(&t, FE_TIER_DISK);
    t.faults.sync_error = EIO;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "index-1: ") != NULL && strstr(error, strerror(EIO)) != NULL);
    t.faults.sync_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest") && !in_folder(&t, "index-1"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    claim(&t);
    tiered_close(&t);
}

TEST(a_bound_on_files_does_not_cost_what_is_in_memory)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.disk_max = 128 << 10;
    tiered_open(&t, options);
    fill(&t, 0, 1000, 400);
    restart(&t);
    CHECK_INT(1000, last.keys);
    CHECK(cold_has(&t, 0, 999, 400));
    tiered_close(&t);
}

TEST(the_manifest_is_there_again_only_after_a_save_and_claims_fail_loudly)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 100, 100);
    CHECK(save(&t));
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    t.faults.unlink_error = EACCES;
    CHECK(!fe_save_claim(t.f.store, error));
    CHECK(strstr(error, "manifest: ") != NULL && strstr(error, strerror(EACCES)) != NULL);
    t.faults.unlink_error = 0;
    leave(&t);
    CHECK(in_folder(&t, "manifest"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(100, last.keys);
    claim(&t);
    tiered_close(&t);
}

/* Damage ---------------------------------------------------------------------------------------- */

typedef struct content {
    uint8_t *data;
    size_t size;
} content;

static void path_of(const tiered *t, const char *name, char path[256])
{
    (void)snprintf(path, 256, "%s/%s", t->path, name);
}

static content file_get(const tiered *t, const char *name)
{
    char path[256];
    struct stat info;
    path_of(t, name, path);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &info) != 0) abort();
    content c = {malloc((size_t)info.st_size + 1), (size_t)info.st_size};
    if (read(fd, c.data, c.size) != (ssize_t)c.size) abort();
    (void)close(fd);
    return c;
}

static void file_put(const tiered *t, const char *name, const void *data, size_t size)
{
    char path[256];
    path_of(t, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    (void)close(fd);
}

/* A folder with a save of a store of all kinds. */
static void saved_folder(tiered *t)
{
    tiered_open(t, tiered_options());
    for (uint64_t i = 0; i < 400; i++)
        put(t, (uint32_t)i % 3, i, 200, i % 2 ? START_MS + 1000000 : FE_DEADLINE_NONE);
    CHECK(save(t));
    leave(t);
}

/* The start fails, says which file, and the folder is as it was. */
static bool refused(tiered *t, const char *name)
{
    bool begun = begin(t, tiered_options());
    bool named = !begun && strstr(error, name) == error;
    if (begun) fprintf(stderr, "a damage of %s was not seen\n", name);
    if (!begun && !named) fprintf(stderr, "not named: %s\n", error);
    leave(t);
    return named;
}

TEST(no_byte_of_manifest_and_index_can_change_unseen)
{
    tiered t;
    saved_folder(&t);
    static const char *const names[] = {"manifest", "index-1"};
    for (unsigned f = 0; f < 2; f++) {
        content c = file_get(&t, names[f]);
        for (size_t i = 0; i < c.size; i += f == 0 || i < 300 ? 1 : 1 + i % 37) {
            c.data[i] ^= (uint8_t)(1u << i % 8);
            file_put(&t, names[f], c.data, c.size);
            CHECK(refused(&t, names[f]));
            c.data[i] ^= (uint8_t)(1u << i % 8);
        }
        for (size_t size = 0; size < c.size; size += f == 0 ? 1 : 1 + size / 7) {
            file_put(&t, names[f], c.data, size);
            CHECK(refused(&t, names[f]));
        }
        c.data[c.size] = 0;
        file_put(&t, names[f], c.data, c.size + 1);
        CHECK(refused(&t, names[f]));
        file_put(&t, names[f], c.data, c.size);
        free(c.data);
    }
    CHECK(begin(&t, tiered_options()));
    claim(&t);
    CHECK(cold_has(&t, 1, 1, 200));
    tiered_close(&t);
}

TEST(a_newer_version_is_told_from_damage)
{
    tiered t;
    saved_folder(&t);
    content c = file_get(&t, "manifest");
    c.data[strlen("ferrite-py manifest ")] = '2';
    file_put(&t, "manifest", c.data, c.size);
    CHECK(refused(&t, "manifest: byte 20: it was written by a newer version"));
    free(c.data);
    char path[256];
    path_of(&t, "index-1", path);
    remove_folder(t.path);
}

typedef struct some_file {
    uint32_t number, generation;
} some_file;

static void note_file(void *context, uint32_t number, uint32_t generation)
{
    *(some_file *)context = (some_file){number, generation};
}

TEST(a_segment_file_that_is_not_what_was_saved_stops_the_start)
{
    tiered t;
    saved_folder(&t);
    CHECK(begin(&t, tiered_options()));
    some_file file;
    int code = 0;
    CHECK(fe_device_list_segments(t.device, note_file, &file, &code));
    leave(&t);
    char name[64], path[256];
    (void)snprintf(name, sizeof name, "log/%08x-%08x.seg", file.number, file.generation);
    content c = file_get(&t, name);
    for (size_t i = c.size - FE_IMAGE_TRAILER; i < c.size; i++) {
        c.data[i] ^= 4;
        file_put(&t, name, c.data, c.size);
        CHECK(refused(&t, name));
        c.data[i] ^= 4;
    }
    file_put(&t, name, c.data, c.size - 4096);
    CHECK(refused(&t, name));
    file_put(&t, name, c.data, 0);
    CHECK(refused(&t, name));
    path_of(&t, name, path);
    CHECK_INT(0, unlink(path));
    CHECK(refused(&t, name));
    CHECK(strstr(error, strerror(ENOENT)) != NULL);
    file_put(&t, name, c.data, c.size);
    free(c.data);
    CHECK(begin(&t, tiered_options()));
    claim(&t);
    tiered_close(&t);
}

TEST(the_file_of_another_store_is_not_taken)
{
    tiered a, b;
    saved_folder(&a);
    fe_store_options options = tiered_options();
    options.seed.k1 ^= 5;
    tiered_open(&b, options);
    b.f.seed = options.seed;
    for (uint64_t i = 0; i < 400; i++)
        put(&b, (uint32_t)i % 3, i, 200, i % 2 ? START_MS + 1000000 : FE_DEADLINE_NONE);
    CHECK(save(&b));
    leave(&b);
    content c = file_get(&b, "log/00000001-00000001.seg");
    file_put(&a, "log/00000001-00000001.seg", c.data, c.size);
    free(c.data);
    CHECK(refused(&a, "log/00000001-00000001.seg"));
    remove_folder(a.path);
    remove_folder(b.path);
}

/* Sums that are right over contents that are not. */
static void index_put(tiered *t, content *c)
{
    size_t at = sizeof(fe_save_head);
    fe_save_head *head = (fe_save_head *)(void *)c->data;
    head->crc = fe_save_head_crc(head);
    while (at < c->size) {
        fe_save_section *section = (fe_save_section *)(void *)(c->data + at);
        section->crc = fe_save_section_crc(section, c->data + at + sizeof *section);
        at += sizeof *section + section->bytes;
    }
    file_put(t, "index-1", c->data, c->size);
    content m = file_get(t, "manifest");
    fe_save_manifest manifest;
    fe_save_fault fault;
    char text[FE_SAVE_MANIFEST_MAX];
    CHECK(fe_save_manifest_read((const char *)m.data, m.size, &manifest, &fault));
    manifest.index_crc = fe_crc32c(0, c->data, c->size);
    file_put(t, "manifest", text, fe_save_manifest_write(&manifest, text));
    free(m.data);
}

/* The payload of the first section of a kind, or of the one behind `after`. */
static uint8_t *section_of(content *c, fe_save_kind kind, unsigned skip)
{
    for (size_t at = sizeof(fe_save_head); at < c->size;) {
        fe_save_section *section = (fe_save_section *)(void *)(c->data + at);
        if (section->kind == (uint32_t)kind && skip-- == 0) return c->data + at + sizeof *section;
        at += sizeof *section + section->bytes;
    }
    abort();
}

#define CASE(cause, change)                                                                        \
    do {                                                                                           \
        content c = {malloc(whole.size), whole.size};                                              \
        memcpy(c.data, whole.data, whole.size);                                                    \
        fe_save_head *head = (fe_save_head *)(void *)c.data;                                       \
        fe_save_segment *row = (void *)section_of(&c, FE_SAVE_SEGMENTS, 0);                        \
        uint8_t *states = section_of(&c, FE_SAVE_STATES, 0);                                       \
        fe_save_database *database = (void *)section_of(&c, FE_SAVE_DATABASE, 0);                  \
        uint64_t *words = (void *)section_of(&c, FE_SAVE_SLOTS, 0);                                \
        (void)head, (void)row, (void)states, (void)database, (void)words;                          \
        change;                                                                                    \
        index_put(&t, &c);                                                                         \
        CHECK(refused(&t, "index-1: "));                                                           \
        CHECK(strstr(error, cause) != NULL);                                                       \
        if (strstr(error, cause) == NULL) fprintf(stderr, "  it said: %s\n", error);               \
        free(c.data);                                                                              \
    } while (0)

/* The first word that is a slot. */
static uint64_t *slot_in(uint64_t *words)
{
    while (*words == FE_SAVE_LAST)
        words++;
    return words;
}

TEST(contents_that_cannot_be_are_refused_whatever_their_sums)
{
    tiered t;
    saved_folder(&t);
    content whole = file_get(&t, "index-1");
    uint64_t far = 1ull << 30;
    CASE("number of databases", head->databases = 0);
    CASE("not as many keys", head->keys++);
    CASE("segments than", head->high = 1u << 20);
    CASE("segment size", head->offset_bits = 40);
    CASE("something else", head->high--);
    CASE("something else", head->high++);
    CASE("sequence", row->sequence = far);
    CASE("sequence", row[1].sequence = row[0].sequence);
    CASE("size of a segment", row->used += 4);
    CASE("size of a segment", row->used = row->bytes + 8);
    CASE("longer than its addresses", row->bytes = far);
    CASE("live bytes", row->live = row->used + 8);
    CASE("live bytes", row->live = 0);
    CASE("live bytes", row->live = 8);
    CASE("file size", row->file_size += 8);
    CASE("role", row->role = FE_ROLE_TAIL);
    CASE("keyspace", row->keyspace = 5000);
    CASE("deadlines", row->deadlines.units[3]++);
    CASE("free segment", row->used = 0);
    CASE("behind the end", memset(row, 0, sizeof *row);
         *slot_in(words) = (*slot_in(words) & ~FE_ADDRESS_MASK) | 1ull << head->offset_bits);
    CASE("state of a keyspace", states[9] = 4);
    CASE("keyspaces as databases", states[9] = FE_ID_LIVE);
    CASE("its own", database->keyspace = 77);
    CASE("another database", database->number = 1);
    CASE("number of keys", database->keys = far);
    CASE("sum of deadlines", database->sum_high ^= 1ull << 63);
    CASE("sum of deadlines", database->sum_high = 1ull << 40);
    CASE("room for", database->buckets = far);
    CASE("wrong bucket", database->buckets *= 2);
    CASE("as many slots", database->buckets /= 2);
    CASE("as many slots", database->expires--);
    CASE("as many slots", database->keys--);
    CASE("as many slots", *slot_in(words) ^= FE_SLOT_DEADLINE);
    CASE("address in no segment", *slot_in(words) |= FE_ADDRESS_MASK);
    CASE("address in no segment", *slot_in(words) &= ~FE_ADDRESS_MASK);
    CASE("behind the end", *slot_in(words) |= (1ull << head->offset_bits) - 1);
    CASE("wrong bucket", *slot_in(words) ^= 1ull << 40);
    CASE("wrong bucket", *slot_in(words) |= FE_SLOT_SHORT | 0xfffffull << 40);
    CASE("", *slot_in(words) ^= FE_SAVE_LAST);
    free(whole.data);
    remove_folder(t.path);
}

TEST(a_store_without_memory_is_told_so_and_the_folder_stays)
{
    tiered t;
    saved_folder(&t);
    bool begun = false;
    for (int64_t n = 0; n < 200 && !begun; n++) {
        char text[256];
        t.device = fe_device_open(&t.f.alloc, t.path, &t.calls, text);
        fe_store_options options = tiered_options();
        options.device = t.device;
        t.f.store = fe_store_new(&t.f.alloc, &options);
        fe_alloc_fail_after(&t.f.alloc, n);
        begun = fe_save_open(t.f.store, &last, error);
        fe_alloc_fail_after(&t.f.alloc, -1);
        if (!begun) CHECK(strstr(error, "memory") != NULL);
        leave(&t);
    }
    CHECK(begun);
    CHECK(begin(&t, tiered_options()));
    claim(&t);
    CHECK(cold_has(&t, 2, 2, 200));
    tiered_close(&t);
}

int main(void)
{
    RUN(an_empty_store_comes_back);
    RUN(everything_that_was_written_comes_back);
    RUN(databases_that_were_swapped_or_flushed_come_back_as_they_were);
    RUN(a_store_may_stop_and_start_many_times);
    RUN(a_large_index_comes_back_and_goes_on_growing);
    RUN(a_copy_is_saved_as_its_home);
    RUN(a_blind_write_that_nothing_has_settled_yet_is_settled_first);
    RUN(what_is_no_segment_of_the_table_is_removed);
    RUN(segments_without_a_manifest_are_set_aside);
    RUN(a_start_that_ends_before_it_claims_leaves_all_as_it_was);
    RUN(other_options_at_the_next_start);
    RUN(databases_without_keys_may_go);
    RUN(a_disk_that_refuses_fails_the_save_and_not_silently);
    RUN(segments_that_cannot_be_synced_are_no_save);
    RUN(names_of_segments_that_cannot_be_synced_are_no_save);
    RUN(an_error_of_other_files_does_not_cost_the_data);
    RUN(a_write_that_cannot_be_settled_is_no_save);
    RUN(an_index_that_cannot_be_synced_is_no_save);
    RUN(a_bound_on_files_does_not_cost_what_is_in_memory);
    RUN(the_manifest_is_there_again_only_after_a_save_and_claims_fail_loudly);
    RUN(no_byte_of_manifest_and_index_can_change_unseen);
    RUN(a_newer_version_is_told_from_damage);
    RUN(a_segment_file_that_is_not_what_was_saved_stops_the_start);
    RUN(the_file_of_another_store_is_not_taken);
    RUN(contents_that_cannot_be_are_refused_whatever_their_sums);
    RUN(a_store_without_memory_is_told_so_and_the_folder_stays);
    return check_done();
}
