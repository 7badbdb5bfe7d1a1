/* The door for commands, case by case: kinds of values, deadlines, swaps, marks, iteration,
 * figures, refused memory.
 */
#include "tests/store/support.h"

static void open_default(fixture *f)
{
    fe_store_options options = fixture_options();
    fixture_open(f, &options);
}

TEST(a_new_store_is_empty_and_takes_little)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.databases = 16;
    options.segment_size = 0;
    fixture_open(&f, &options);
    CHECK(fe_store_used(f.store) < 96 * 1024);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("1"), FE_DEADLINE_NONE));
    CHECK(fe_store_used(f.store) < 192 * 1024);
    CHECK(has(&f, 0, FE_BYTES("a"), FE_BYTES("1")));
    CHECK(!exists(&f, 1, FE_BYTES("a")));
    CHECK_INT(1, fe_store_db_size(f.store, 0));
    check_store(&f);
    fixture_close(&f);
}

TEST(keys_and_values_may_be_empty_or_binary)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES(""), FE_BYTES(""), FE_DEADLINE_NONE));
    CHECK(has(&f, 0, FE_BYTES(""), FE_BYTES("")));
    CHECK(set(&f, 0, FE_BYTES("a\0b"), FE_BYTES("\0\r\n\xff"), FE_DEADLINE_NONE));
    CHECK(has(&f, 0, FE_BYTES("a\0b"), FE_BYTES("\0\r\n\xff")));
    CHECK(!exists(&f, 0, FE_BYTES("a")));
    fixture_close(&f);
}

TEST(a_kind_is_kept_by_deadlines_and_copies_and_replaced_by_writes)
{
    fixture f;
    open_default(&f);
    fe_key key, copy;
    find(&f, 0, FE_BYTES("n"), &key);
    int64_t number = -42;
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_INT, 8, FE_DEADLINE_NONE);
    memcpy(at, &number, 8);
    CHECK_INT(FE_OK, fe_key_set_deadline(&key, START_MS + 1000));
    CHECK(fe_record_flags(key.record) & FE_RECORD_INT);
    find(&f, 1, FE_BYTES("m"), &copy);
    CHECK_INT(FE_OK, fe_key_copy(&copy, &key, FE_DEADLINE_KEEP));
    CHECK(fe_record_flags(copy.record) & FE_RECORD_INT);
    CHECK_INT(START_MS + 1000, fe_record_deadline(copy.record));
    CHECK_BYTES(&number, 8, fe_record_value(copy.record).ptr, fe_record_value(copy.record).len);

    at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_RAW, 3, FE_DEADLINE_KEEP);
    memcpy(at, "abc", 3);
    CHECK(!(fe_record_flags(key.record) & FE_RECORD_INT));
    CHECK(fe_record_flags(key.record) & FE_RECORD_LARGE);
    CHECK_INT(START_MS + 1000, fe_record_deadline(key.record));
    find(&f, 1, FE_BYTES("m"), &copy);
    CHECK_INT(FE_OK, fe_key_copy(&copy, &key, FE_DEADLINE_NONE));
    CHECK(fe_record_flags(copy.record) & FE_RECORD_LARGE);
    CHECK_INT(0, fe_record_deadline(copy.record));
    check_store(&f);
    fixture_close(&f);
}

TEST(growing_byte_by_byte_is_amortised_and_new_bytes_are_zero)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("x"), START_MS + 1000));
    fe_key key;
    find(&f, 0, FE_BYTES("a"), &key);
    uint64_t moves = 0;
    for (size_t len = 2; len <= 100000; len++) {
        fe_record *before = key.record;
        uint8_t *value = fe_key_resize(&key, len);
        CHECK(value != NULL && value[len - 1] == 0 && value[0] == 'x');
        if (value == NULL) break;
        value[len - 1] = (uint8_t)len;
        moves += key.record != before;
    }
    CHECK(moves < 40);
    CHECK_INT(START_MS + 1000, fe_record_deadline(key.record));
    fe_bytes value = fe_record_value(key.record);
    for (size_t i = 2; i <= 100000; i++)
        if (value.ptr[i - 1] != (uint8_t)i) CHECK(false);
    check_store(&f);
    fixture_close(&f);
}

TEST(a_value_beyond_the_bound_is_refused)
{
    fixture f;
    open_default(&f);
    fe_key key;
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK(fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_RAW, (size_t)FE_VALUE_MAX + 1, 0) == NULL);
    CHECK(!fe_key_exists(&key));
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("v"), FE_DEADLINE_NONE));
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK(fe_key_resize(&key, (size_t)FE_VALUE_MAX + 1) == NULL);
    CHECK(has(&f, 0, FE_BYTES("a"), FE_BYTES("v")));
    fixture_close(&f);
}

TEST(an_overwrite_that_fits_stays_where_it_is)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("0123456789"), FE_DEADLINE_NONE));
    CHECK(set(&f, 0, FE_BYTES("b"), FE_BYTES("0123456789"), FE_DEADLINE_NONE));
    fe_key key;
    find(&f, 0, FE_BYTES("a"), &key);
    fe_record *before = key.record;
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("9876543210"), FE_DEADLINE_NONE));
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("1"), FE_DEADLINE_NONE));
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("123456"), FE_DEADLINE_NONE));
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK(key.record == before);
    CHECK(has(&f, 0, FE_BYTES("a"), FE_BYTES("123456")));
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(3, stats.in_place);
    CHECK_INT(2, stats.appended);
    CHECK_INT(5, stats.changes);
    fixture_close(&f);
}

/* RENAME holds two keys: the second's insertion splits buckets, its removal moves slots. */
TEST(a_found_key_stays_good_while_other_keys_come_and_go)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("held"), FE_BYTES("value"), FE_DEADLINE_NONE));
    fe_key held;
    find(&f, 0, FE_BYTES("held"), &held);
    name_buf buf;
    for (uint64_t i = 0; i < 3000; i++)
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES("v"), FE_DEADLINE_NONE));
    CHECK_INT(FE_OK, fe_key_set_deadline(&held, START_MS + 500));
    for (uint64_t i = 0; i < 3000; i++)
        CHECK(del(&f, 0, name_of(&buf, i)));
    CHECK(fe_key_write(&held, FE_TYPE_STRING, FE_VALUE_PLAIN, 0, FE_DEADLINE_KEEP) != NULL);
    CHECK_INT(START_MS + 500, fe_record_deadline(held.record));
    fe_key_delete(&held);
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    check_store(&f);
    fixture_close(&f);
}

TEST(deadlines_are_counted_and_averaged)
{
    fixture f;
    open_default(&f);
    name_buf buf;
    for (uint64_t i = 0; i < 100; i++)
        CHECK(set(&f, 2, name_of(&buf, i), FE_BYTES("v"),
                  i < 40 ? START_MS + 1000 * (int64_t)(i + 1) : FE_DEADLINE_NONE));
    fe_database_stats stats;
    fe_store_db_stats(f.store, 2, &stats);
    CHECK_INT(100, stats.keys);
    CHECK_INT(40, stats.expires);
    CHECK_INT(20500, stats.average_ttl_ms);
    fe_key key;
    find(&f, 2, name_of(&buf, 0), &key);
    CHECK_INT(FE_OK, fe_key_set_deadline(&key, FE_DEADLINE_NONE));
    CHECK_INT(0, fe_record_deadline(key.record));
    CHECK_INT(FE_OK, fe_key_set_deadline(&key, FE_DEADLINE_NONE));
    find(&f, 2, name_of(&buf, 1), &key);
    CHECK_INT(FE_OK, fe_key_set_deadline(&key, INT64_MAX));
    fe_store_db_stats(f.store, 2, &stats);
    CHECK_INT(39, stats.expires);
    CHECK_INT(FE_OK, fe_store_flush(f.store, 2, false));
    fe_store_db_stats(f.store, 2, &stats);
    CHECK_INT(0, stats.expires + stats.keys);
    CHECK_INT(0, stats.average_ttl_ms);
    check_store(&f);
    fixture_close(&f);
}

TEST(swapped_databases_hold_each_others_keys)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("zero"), FE_DEADLINE_NONE));
    CHECK(set(&f, 1, FE_BYTES("a"), FE_BYTES("one"), START_MS + 10));
    fe_store_swap(f.store, 0, 1);
    CHECK(has(&f, 0, FE_BYTES("a"), FE_BYTES("one")));
    CHECK(has(&f, 1, FE_BYTES("a"), FE_BYTES("zero")));
    fe_store_swap(f.store, 1, 1);
    fe_store_set_now(f.store, START_MS + 100);
    CHECK(!exists(&f, 0, FE_BYTES("a")));
    check_store(&f);
    fixture_close(&f);
}

TEST(changes_leave_marks_only_while_someone_is_interested)
{
    fixture f;
    open_default(&f);
    size_t count;
    bool lost;
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("1"), FE_DEADLINE_NONE));
    (void)fe_store_marks(f.store, &count, &lost);
    CHECK_INT(0, count);

    fe_store_set_interest(f.store, true);
    CHECK(set(&f, 1, FE_BYTES("b"), FE_BYTES("1"), START_MS + 5));
    fe_store_swap(f.store, 1, 2);
    fe_store_set_now(f.store, START_MS + 100);
    CHECK(!exists(&f, 2, FE_BYTES("b")));
    CHECK_INT(FE_OK, fe_store_flush(f.store, 0, false));
    const fe_mark *marks = fe_store_marks(f.store, &count, &lost);
    CHECK(!lost);
    CHECK_INT(4, count);
    CHECK_INT(FE_MARK_KEY, marks[0].kind);
    CHECK_INT(1, marks[0].db);
    CHECK(marks[0].hash == fe_key_hash(&f.seed, FE_BYTES("b")));
    CHECK_INT(FE_MARK_SWAP, marks[1].kind);
    CHECK_INT(2, marks[1].other_db);
    CHECK_INT(FE_MARK_KEY, marks[2].kind); /* its expiry, in the database where it was by then */
    CHECK_INT(2, marks[2].db);
    CHECK_INT(FE_MARK_FLUSH, marks[3].kind);
    CHECK_INT(0, marks[3].db);

    fe_store_marks_clear(f.store);
    fe_alloc_fail_after(&f.alloc, 0);
    fe_key key;
    CHECK(!exists(&f, 0, FE_BYTES("b")));
    find(&f, 0, FE_BYTES("b"), &key);
    for (unsigned i = 0; i < 100; i++)
        fe_key_changed(&key);
    (void)fe_store_marks(f.store, &count, &lost);
    CHECK(lost);
    fe_alloc_fail_after(&f.alloc, -1);
    fe_store_marks_clear(f.store);
    fe_store_set_interest(f.store, false);
    fixture_close(&f);
}

typedef struct scanned {
    const fe_store *store;
    uint64_t live, expired;
} scanned;

static void count_record(void *context, const fe_record *record)
{
    scanned *seen = context;
    if (fe_store_is_expired(seen->store, record))
        seen->expired++;
    else
        seen->live++;
}

TEST(a_scan_is_bounded_and_shows_what_has_expired_too)
{
    fixture f;
    open_default(&f);
    name_buf buf;
    for (uint64_t i = 0; i < 1000; i++)
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES("v"), i % 4 ? FE_DEADLINE_NONE : START_MS + 1));
    fe_store_set_now(f.store, START_MS + 50);
    scanned seen = {.store = f.store};
    uint64_t cursor = 0, calls = 0;
    do {
        uint64_t before = seen.live + seen.expired;
        cursor = fe_store_scan(f.store, 0, cursor, 10, count_record, &seen);
        CHECK(seen.live + seen.expired - before < 60);
        calls++;
    } while (cursor != 0);
    CHECK_INT(750, seen.live);
    CHECK_INT(250, seen.expired);
    CHECK(calls > 20);
    CHECK_INT(0, fe_store_scan(f.store, 3, 12345, 10, count_record, &seen));
    CHECK_INT(1000, seen.live + seen.expired);
    fixture_close(&f);
}

TEST(a_random_key_is_never_an_expired_one)
{
    fixture f;
    open_default(&f);
    name_buf buf;
    for (uint64_t i = 0; i < 300; i++)
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES("v"), i ? START_MS + 1 : FE_DEADLINE_NONE));
    fe_store_set_now(f.store, START_MS + 50);
    fe_random random;
    fe_random_init(&random, 1);
    fe_key key;
    CHECK(fe_store_random_key(f.store, 0, &random, &key));
    CHECK(fe_bytes_equal(key.name, name_of(&buf, 0)));
    fe_key_delete(&key);
    CHECK(!fe_store_random_key(f.store, 0, &random, &key));
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    CHECK(!fe_store_random_key(f.store, 1, &random, &key));
    fixture_close(&f);
}

TEST(idle_time_and_frequency_follow_the_accesses)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("1"), FE_DEADLINE_NONE));
    fe_store_set_now(f.store, START_MS + 90000);
    fe_key key;
    fe_key_find(f.store, 0, FE_BYTES("a"), fe_key_hash(&f.seed, FE_BYTES("a")), true, &key);
    CHECK_INT(90, fe_store_idle_seconds(f.store, key.record));
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK_INT(0, fe_store_idle_seconds(f.store, key.record));
    fe_store_set_idle(f.store, key.record, 1000);
    CHECK_INT(1000, fe_store_idle_seconds(f.store, key.record));

    fe_store_options options = *fe_store_get_options(f.store);
    options.policy = FE_POLICY_ALLKEYS_LFU;
    fe_store_set_options(f.store, &options);
    CHECK(set(&f, 0, FE_BYTES("b"), FE_BYTES("1"), FE_DEADLINE_NONE));
    find(&f, 0, FE_BYTES("b"), &key);
    CHECK_INT(6, fe_store_frequency(f.store, key.record)); /* 5, and the first use always counts */
    fe_store_set_frequency(f.store, key.record, 200);
    CHECK_INT(200, fe_store_frequency(f.store, key.record));
    fe_store_set_now(f.store, START_MS + 90000 + 10 * 60000);
    CHECK_INT(190, fe_store_frequency(f.store, key.record));
    CHECK_INT(600, fe_store_idle_seconds(f.store, key.record));
    fixture_close(&f);
}

TEST(figures_say_what_was_done)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("0123456789abcdef"), FE_BYTES("v"), FE_DEADLINE_NONE));
    fe_key key;
    find(&f, 0, FE_BYTES("0123456789abcdef"), &key);
    CHECK_INT(32 + 8, fe_key_memory(&key));
    fe_store_count_lookup(f.store, true);
    fe_store_count_lookup(f.store, false);
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(1, stats.hits);
    CHECK_INT(1, stats.misses);
    CHECK_INT(32, stats.log_live_bytes);
    CHECK_INT(65536, stats.log_bytes);
    CHECK_INT(4096, stats.index_bytes);
    fe_store_stats_reset(f.store);
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(0, stats.hits + stats.misses + stats.changes + stats.appended);
    CHECK_INT(32, stats.log_live_bytes);
    fixture_close(&f);
}

TEST(spares_are_asked_for_by_a_large_store_and_used)
{
    fixture f;
    fe_store_options options = fixture_options();
    options.segment_size = 0;
    fixture_open(&f, &options);
    static uint8_t filling[1024];
    size_t size = 0;
    name_buf buf;
    CHECK(!fe_store_spare_wanted(f.store, &size));
    uint64_t given = 0;
    for (uint64_t i = 0; i < 60000; i++) {
        CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){filling, 1024}, FE_DEADLINE_NONE));
        while (fe_store_spare_wanted(f.store, &size)) {
            fe_store_spare_give(f.store, fe_store_spare_map(&f.alloc, size), size);
            given++;
        }
    }
    CHECK(given > 20);
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK(given < stats.log_segments);
    check_store(&f);
    empty_trash(&f);
    CHECK_INT(FE_OK, fe_store_flush_all(f.store, true));
    CHECK(fe_store_used(f.store) < 300 * 1024);
    fixture_close(&f);
}

/* A fixed sequence that takes every kind of memory, run again and again with one more allocation
 * allowed. */
TEST(every_allocation_can_be_refused_once)
{
    uint64_t refused_last = 1;
    for (int64_t allowed = 0; refused_last != 0 && allowed < 400; allowed++) {
        fe_alloc alloc;
        fe_alloc_init(&alloc);
        fe_alloc_fail_after(&alloc, allowed);
        fe_store_options options = fixture_options();
        fixture f = {.seed = options.seed};
        f.store = fe_store_new(&alloc, &options);
        if (f.store == NULL) {
            CHECK_INT(0, fe_alloc_used_all(&alloc));
            continue;
        }
        fe_store_set_now(f.store, START_MS);
        fe_store_set_interest(f.store, true);
        uint64_t refused = 0, kept = 0;
        static uint8_t filling[40000];
        name_buf buf;
        for (uint64_t i = 0; i < 1500; i++) {
            size_t len = i % 300 == 7 ? 40000 : i % 200;
            if (set(&f, (uint32_t)(i % 2), name_of(&buf, i), (fe_bytes){filling, len},
                    START_MS + 9))
                kept++;
            else
                refused++;
        }
        fe_key key;
        find(&f, 1, name_of(&buf, 7), &key);
        if (fe_key_exists(&key)) refused += fe_key_resize(&key, 100000) == NULL;
        check_store(&f);
        CHECK_INT(kept, fe_store_db_size(f.store, 0) + fe_store_db_size(f.store, 1));
        CHECK_INT(FE_OK, fe_store_flush(f.store, 0, false));
        for (uint64_t i = 1; i < 1500; i += 2)
            (void)del(&f, 1, name_of(&buf, i));
        check_store(&f);
        fe_store_free(f.store);
        CHECK_INT(0, fe_alloc_used_all(&alloc));
        refused_last = refused;
    }
    CHECK_INT(0, refused_last);
}

int main(void)
{
    RUN(a_new_store_is_empty_and_takes_little);
    RUN(keys_and_values_may_be_empty_or_binary);
    RUN(a_kind_is_kept_by_deadlines_and_copies_and_replaced_by_writes);
    RUN(growing_byte_by_byte_is_amortised_and_new_bytes_are_zero);
    RUN(a_value_beyond_the_bound_is_refused);
    RUN(an_overwrite_that_fits_stays_where_it_is);
    RUN(a_found_key_stays_good_while_other_keys_come_and_go);
    RUN(deadlines_are_counted_and_averaged);
    RUN(swapped_databases_hold_each_others_keys);
    RUN(changes_leave_marks_only_while_someone_is_interested);
    RUN(a_scan_is_bounded_and_shows_what_has_expired_too);
    RUN(a_random_key_is_never_an_expired_one);
    RUN(idle_time_and_frequency_follow_the_accesses);
    RUN(figures_say_what_was_done);
    RUN(spares_are_asked_for_by_a_large_store_and_used);
    RUN(every_allocation_can_be_refused_once);
    return check_done();
}
