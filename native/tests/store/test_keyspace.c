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
    RUN(deadlines_are_counted_and_averaged);
    RUN(swapped_databases_hold_each_others_keys);
    RUN(changes_leave_marks_only_while_someone_is_interested);
    RUN(a_scan_is_bounded_and_shows_what_has_expired_too);
    RUN(a_random_key_is_never_an_expired_one);
    RUN(figures_say_what_was_done);
    RUN(every_allocation_can_be_refused_once);
    return check_done();
}
