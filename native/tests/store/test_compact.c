/* Reclaiming: garbage of overwrites, dead databases, ids of keyspaces. */
#include "store/store.h"
#include "tests/store/support.h"

static uint8_t filling[4096];

static void write_len(fixture *f, uint32_t db, uint64_t number, size_t len)
{
    name_buf buf;
    CHECK(set(f, db, name_of(&buf, number), (fe_bytes){filling, len}, FE_DEADLINE_NONE));
}

TEST(random_overwrites_keep_memory_near_the_live_data_by_what_writers_pay_alone)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    fe_random random;
    fe_random_init(&random, 3);
    uint64_t base = fe_store_used(f.store);
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t number = i < 10000 ? i : fe_random_below(&random, 10000);
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
        write_len(&f, 0, number, 16 + fe_random_below(&random, 1009));
        empty_trash(&f);
        if (i < 20000 || i % 1000 != 0) continue;
        fe_store_stats stats;
        fe_store_stats_get(f.store, &stats);
        CHECK((double)(fe_store_used(f.store) - base) < 1.3 * (double)stats.log_live_bytes);
    }
    check_store(&f);
    for (unsigned i = 0; i < 10000 && fe_store_step_compact(f.store, 65536); i++)
        continue;
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK(stats.compacted_segments > 10 && stats.compacted_bytes > 0);
    CHECK(stats.in_place > 50000 && stats.appended > 50000);
    fixture_close(&f);
}

TEST(a_log_without_garbage_is_left_alone)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < 20000; i++)
        write_len(&f, 0, i, 100);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(!fe_store_step_compact(f.store, 65536));
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
    }
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(0, stats.compacted_bytes);
    fixture_close(&f);
}

/* Five records of 11,000 bytes leave a sixth of a segment empty, which no moving changes. */
TEST(segments_that_large_records_cannot_fill_are_not_moved_for_ever)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    static uint8_t large[11000];
    name_buf buf;
    for (uint64_t i = 0; i < 1000; i++)
        CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){large, sizeof(large)}, FE_DEADLINE_NONE));
    CHECK(!fe_store_step_compact(f.store, 65536));
    for (uint64_t i = 0; i < 1000; i += 3)
        CHECK(del(&f, 0, name_of(&buf, i)));
    unsigned steps = 0;
    while (fe_store_step_compact(f.store, 65536) && steps < 1000)
        steps++;
    CHECK(steps > 10 && steps < 200);
    check_store(&f);
    fixture_close(&f);
}

TEST(values_survive_compaction_with_their_deadlines_and_kinds)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < 20000; i++) {
        name_buf buf, value;
        CHECK(set(&f, 0, name_of(&buf, i), name_of(&value, i * 3),
                  i % 5 == 0 ? START_MS + 1000000 : FE_DEADLINE_NONE));
    }
    name_buf buf, value;
    for (uint64_t i = 0; i < 20000; i++)
        if (i % 4 != 0) CHECK(del(&f, 0, name_of(&buf, i)));
    while (fe_store_step_compact(f.store, 10000))
        continue;
    check_store(&f);
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK(stats.log_bytes < stats.log_live_bytes * 13 / 10 + 4 * FE_SEGMENT_MIN);
    for (uint64_t i = 0; i < 20000; i += 4) {
        fe_key key;
        find(&f, 0, name_of(&buf, i), &key);
        CHECK(fe_key_exists(&key));
        CHECK(fe_bytes_equal(fe_record_value(key.record), name_of(&value, i * 3)));
        CHECK_INT(i % 5 == 0 ? START_MS + 1000000 : 0, fe_record_deadline(key.record));
    }
    fixture_close(&f);
}

TEST(flushing_one_of_several_databases_sweeps_its_records_out_in_steps)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < 60000; i++)
        write_len(&f, (uint32_t)(i % 3 == 0), i, 100);
    fe_store_stats before, after;
    fe_store_stats_get(f.store, &before);
    CHECK_INT(FE_OK, fe_store_flush(f.store, 0, false));
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    check_store(&f);
    for (uint64_t i = 0; i < 300; i++) /* the database is in use again while its past is swept */
        write_len(&f, 0, i, 10);
    while (fe_store_step_compact(f.store, 5000))
        continue;
    empty_trash(&f);
    check_store(&f);
    fe_store_stats_get(f.store, &after);
    CHECK(after.log_bytes < before.log_bytes / 2);
    CHECK_INT(300, fe_store_db_size(f.store, 0));
    CHECK_INT(20000, fe_store_db_size(f.store, 1));
    CHECK_INT(0, f.store->compact.dead_ids + f.store->compact.swept_ids);
    fixture_close(&f);
}

TEST(flushing_with_wait_leaves_what_is_much_to_the_workers)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    uint64_t base = fe_store_used(f.store);
    for (uint64_t i = 0; i < 60000; i++)
        write_len(&f, (uint32_t)(i % 3), i, 100);
    CHECK_INT(FE_OK, fe_store_flush_all(f.store, true));
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(64, stats.trash_unmapped);
    CHECK(stats.trash_mappings > 0);
    empty_trash(&f);
    CHECK(fe_store_used(f.store) < base + 3 * FE_SEGMENT_MIN + 65536);
    for (uint32_t db = 0; db < 3; db++)
        CHECK_INT(0, fe_store_db_size(f.store, db));
    check_store(&f);
    for (uint64_t i = 0; i < 2000; i++)
        write_len(&f, 2, i, 100);
    check_store(&f);
    CHECK_INT(FE_OK, fe_store_flush(f.store, 2, true));
    check_store(&f);
    fixture_close(&f);
}

TEST(ids_of_flushed_databases_come_back_however_often_that_happens)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < 2000; i++) /* keeps segments mixed */
        write_len(&f, 3, i, 100);
    for (unsigned round = 0; round < 5000; round++) {
        bool large = round % 500 == 0;
        for (uint64_t i = 0; i < (large ? 700u : 3u); i++) {
            write_len(&f, 0, i, 20);
            write_len(&f, 3, i, 90 + round % 30);
        }
        CHECK_INT(FE_OK, fe_store_flush(f.store, 0, false));
        CHECK_INT(0, fe_store_db_size(f.store, 0));
    }
    check_store(&f);
    CHECK_INT(2000, fe_store_db_size(f.store, 3));
    fixture_close(&f);
}

/* As if every id but a few were waiting for a sweep. */
TEST(when_ids_run_out_the_sweep_is_finished_at_once)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < 40000; i++)
        write_len(&f, (uint32_t)(i % 2), i, 100);
    for (uint32_t id = 1; id <= FE_KEYSPACE_MAX; id++) {
        if (f.store->id_state[id] != FE_ID_FREE) continue;
        f.store->id_state[id] = FE_ID_DEAD;
        f.store->compact.dead_ids++;
    }
    CHECK_INT(FE_OK, fe_store_flush(f.store, 0, false));
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    CHECK_INT(20000, fe_store_db_size(f.store, 1));
    write_len(&f, 0, 1, 100);
    check_store(&f);
    fixture_close(&f);
}

TEST(compaction_without_memory_gives_up_and_goes_on_later)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < 20000; i++)
        write_len(&f, 0, i, 100);
    name_buf buf;
    for (uint64_t i = 0; i < 20000; i++)
        if (i % 3 != 0) CHECK(del(&f, 0, name_of(&buf, i)));
    fe_alloc_fail_after(&f.alloc, 0);
    for (unsigned i = 0; i < 50; i++)
        (void)fe_store_step_compact(f.store, 4096);
    check_store(&f);
    fe_alloc_fail_after(&f.alloc, -1);
    while (fe_store_step_compact(f.store, 65536))
        continue;
    check_store(&f);
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK(stats.log_bytes < stats.log_live_bytes * 13 / 10 + 4 * FE_SEGMENT_MIN);
    fixture_close(&f);
}

int main(void)
{
    RUN(random_overwrites_keep_memory_near_the_live_data_by_what_writers_pay_alone);
    RUN(a_log_without_garbage_is_left_alone);
    RUN(segments_that_large_records_cannot_fill_are_not_moved_for_ever);
    RUN(values_survive_compaction_with_their_deadlines_and_kinds);
    RUN(flushing_one_of_several_databases_sweeps_its_records_out_in_steps);
    RUN(flushing_with_wait_leaves_what_is_much_to_the_workers);
    RUN(ids_of_flushed_databases_come_back_however_often_that_happens);
    RUN(when_ids_run_out_the_sweep_is_finished_at_once);
    RUN(compaction_without_memory_gives_up_and_goes_on_later);
    return check_done();
}
