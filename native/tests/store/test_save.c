/* The clean stop and the start after it: what was saved is there again, and what did not end cleanly is
 * set aside. */
#include "store/fetch.h"
#include "tests/store/save_rig.h"

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

/* SET, which does not wait for what is on disk; 40 bytes. */
static void write_blindly(tiered *t, uint64_t i)
{
    name_buf buf;
    fe_waiter waiter = {0};
    fe_bytes name = name_of(&buf, i);
    uint64_t hash = fe_key_hash(&t->f.seed, name);
    CHECK(fe_fetch_key(t->f.store, 0, name, hash, FE_NEED_BLIND, &waiter));
    fe_key key;
    fe_key_find(t->f.store, 0, name, hash, false, &key);
    uint8_t *to = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, 40, FE_DEADLINE_NONE);
    CHECK(to != NULL && value_of(to, i, 40).len == 40);
    fe_waiter_close(t->f.store, &waiter);
}

TEST(a_blind_write_that_nothing_has_settled_yet_is_settled_first)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (uint64_t i = 0; i < 500; i++)
        put(&t, 0, i, 100, FE_DEADLINE_NONE);
    demote_all(&t, FE_TIER_DISK);
    for (uint64_t i = 0; i < 500; i += 2)
        write_blindly(&t, i);
    CHECK_INT(750, t.f.store->databases[0]->index.count);
    restart(&t);
    CHECK_INT(500, last.keys);
    for (uint64_t i = 0; i < 500; i++)
        CHECK(cold_has(&t, 0, i, i % 2 ? 100 : 40));
    tiered_close(&t);
}

/* Reads of long records have a bound, which what was read before and is garbage now takes up. */
TEST(blind_writes_over_many_long_values_are_settled_first)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.memory_max = 8u << 20;
    tiered_open(&t, options);
    for (uint64_t i = 0; i < 40; i++)
        put(&t, 0, i, 300000, FE_DEADLINE_NONE);
    demote_all(&t, FE_TIER_DISK);
    for (uint64_t i = 0; i < 40; i++)
        write_blindly(&t, i);
    CHECK_INT(80, t.f.store->databases[0]->index.count);
    CHECK(fe_save_run(t.f.store, SERVER, &last, error));
    CHECK_INT(40, last.keys);
    leave(&t);
    CHECK(begin(&t, options));
    claim(&t);
    for (uint64_t i = 0; i < 40; i++)
        CHECK(cold_has(&t, 0, i, 40));
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

int main(void)
{
    RUN(an_empty_store_comes_back);
    RUN(everything_that_was_written_comes_back);
    RUN(databases_that_were_swapped_or_flushed_come_back_as_they_were);
    RUN(a_store_may_stop_and_start_many_times);
    RUN(a_large_index_comes_back_and_goes_on_growing);
    RUN(a_copy_is_saved_as_its_home);
    RUN(a_blind_write_that_nothing_has_settled_yet_is_settled_first);
    RUN(blind_writes_over_many_long_values_are_settled_first);
    RUN(what_is_no_segment_of_the_table_is_removed);
    RUN(segments_without_a_manifest_are_set_aside);
    RUN(a_start_that_ends_before_it_claims_leaves_all_as_it_was);
    RUN(other_options_at_the_next_start);
    RUN(databases_without_keys_may_go);
    RUN(a_bound_on_files_does_not_cost_what_is_in_memory);
    return check_done();
}
