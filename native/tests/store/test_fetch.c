/* Records that are on disk: read, joined, and found by walks over all keys. */
#include "tests/store/fetch_rig.h"

TEST(a_cold_key_is_read_once_for_all_that_ask_and_is_then_in_memory)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake}, b = {.wake = count_wake};
    CHECK(!fetch_number(d, 5, FE_NEED_READ, &a));
    CHECK(!fetch_number(d, 5, FE_NEED_EXACT, &b));
    fake_submit(d);
    CHECK_INT(1, d->count);
    CHECK_INT(0, woken);
    fake_complete(d, 0, FAKE_GOOD);
    CHECK_INT(2, woken);
    CHECK(a.error == 0 && a.pending == 0 && b.pending == 0);
    CHECK(fetch_number(d, 5, FE_NEED_READ, &a));
    CHECK(fake_has(d, 5));
    fe_waiter_close(d->f.store, &a);
    fe_waiter_close(d->f.store, &b);
    check_store(&d->f);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    fake_free(d);
}

TEST(a_key_that_no_tag_names_is_missing_without_a_read)
{
    fake_disk *d = cold_store();
    uint32_t reads = 0;
    for (uint64_t i = 100000; i < 110000; i++)
        reads += !fetch_number(d, i, FE_NEED_READ, NULL);
    CHECK(reads < 20);
    fake_free(d);
}

TEST(a_waiter_that_leaves_is_not_woken_and_the_read_goes_on)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 5, FE_NEED_READ, &a));
    fe_waiter_close(d->f.store, &a);
    fake_complete_all(d);
    CHECK_INT(0, woken);
    CHECK(!fake_is_cold(d, 5));
    check_store(&d->f);
    fake_free(d);
}

TEST(a_flush_while_reads_are_in_flight_leaves_nothing_behind)
{
    for (unsigned all = 0; all < 2; all++) {
        fake_disk *d = cold_store();
        fe_waiter a = {.wake = count_wake};
        CHECK(!fetch_number(d, 5, FE_NEED_READ, &a));
        set_blindly(d, 9, "new", FE_DEADLINE_NONE);
        fake_submit(d);
        CHECK_INT(FE_OK,
                  all ? fe_store_flush_all(d->f.store, true) : fe_store_flush(d->f.store, 0, true));
        check_store(&d->f);
        CHECK(fe_store_is_settled(d->f.store, 0));
        fake_fill(d, 0, 3, FE_DEADLINE_NONE);
        fake_complete_all(d);
        CHECK_INT(1, woken);
        CHECK_INT(0, a.error);
        CHECK(fetch_number(d, 5, FE_NEED_READ, &a));
        CHECK(!fake_has(d, 5) && fake_has(d, 2));
        CHECK_INT(3, fe_store_db_size(d->f.store, 0));
        fe_waiter_close(d->f.store, &a);
        check_store(&d->f);
        fake_free(d);
    }
}

TEST(a_swap_while_a_read_is_in_flight_brings_the_record_to_its_new_number)
{
    fake_disk *d = cold_store();
    name_buf buf;
    fe_bytes name = name_of(&buf, 5);
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 5, FE_NEED_READ, &a));
    fe_store_swap(d->f.store, 0, 1);
    fake_complete_all(d);
    CHECK(fetch_number(d, 5, FE_NEED_READ, &a));
    CHECK(!exists(&d->f, 0, name));
    CHECK(exists(&d->f, 1, name));
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_free(d);
}

TEST(a_record_past_its_deadline_is_removed_when_it_comes)
{
    fake_disk *d = fake_new();
    fake_fill(d, 0, 2000, START_MS + 50);
    fake_freeze_all(d);
    fe_store_set_now(d->f.store, START_MS + 51);
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 5, FE_NEED_READ, &a));
    fake_complete_all(d);
    CHECK(fetch_number(d, 5, FE_NEED_READ, &a));
    fe_waiter_close(d->f.store, &a);
    fe_store_stats stats;
    fe_store_stats_get(d->f.store, &stats);
    CHECK_INT(1, stats.expired_keys);
    CHECK_INT(1999, fe_store_db_size(d->f.store, 0));
    fe_database_stats of;
    fe_store_db_stats(d->f.store, 0, &of);
    CHECK_INT(1999, of.expires);
    check_store(&d->f);
    fake_free(d);
}

static void write_big(fake_disk *d, uint64_t i, size_t len, uint8_t seed)
{
    name_buf buf;
    fe_key key;
    find(&d->f, 0, name_of(&buf, i), &key);
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, FE_DEADLINE_NONE);
    for (size_t b = 0; b < len; b++)
        at[b] = (uint8_t)(seed + b);
}

static void check_big(fake_disk *d, uint64_t i, size_t len, uint8_t seed)
{
    name_buf buf;
    fe_key key;
    find(&d->f, 0, name_of(&buf, i), &key);
    CHECK(fe_key_exists(&key));
    if (!fe_key_exists(&key)) return;
    fe_bytes value = fe_record_value(key.record);
    CHECK_INT(len, value.len);
    size_t same = 0;
    while (same < value.len && value.ptr[same] == (uint8_t)(seed + same))
        same++;
    CHECK_INT(len, same);
}

TEST(long_records_take_one_read_when_their_size_is_known_and_two_when_it_is_not)
{
    static const size_t lens[] = {5000, 12000, 20000, 70000, 300000, 5000000};
    for (unsigned known = 0; known < 2; known++) {
        fake_disk *d = fake_new();
        fe_cache_set_budget(d->f.store, 1 << 20);
        for (unsigned i = 0; i < 6; i++)
            write_big(d, i, lens[i], (uint8_t)i);
        fake_fill(d, 100, 2000, FE_DEADLINE_NONE);
        fake_freeze_all(d);
        for (uint32_t n = 1; !known && n <= fake_log(d)->high; n++)
            if (fake_log(d)->segments[n].tier == FE_TIER_DISK) fake_log(d)->files[n].record_max = 0;
        for (unsigned i = 0; i < 6; i++) {
            fe_waiter a = {.wake = count_wake};
            fe_fetch_stats before, after;
            uint32_t in_flight;
            fe_fetch_stats_get(d->f.store, &before, &in_flight);
            CHECK(!fetch_number(d, i, FE_NEED_READ, &a));
            fake_complete_all(d);
            CHECK(fetch_number(d, i, FE_NEED_READ, &a));
            check_big(d, i, lens[i], (uint8_t)i);
            fe_fetch_stats_get(d->f.store, &after, &in_flight);
            CHECK_INT(lens[i] < 16000 || known ? 1 : 2, after.reads - before.reads);
            CHECK_INT(0, in_flight);
            check_store(&d->f);
            fe_waiter_close(d->f.store, &a);
        }
        while (fe_cache_step(d->f.store, 1 << 20))
            continue;
        CHECK(fe_cache_bytes(d->f.store) <= 1 << 20);
        check_store(&d->f);
        fake_free(d);
    }
}

TEST(what_is_read_ahead_is_bounded)
{
    fake_disk *d = fake_new();
    fake_fill(d, 0, 20000, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    for (uint64_t i = 0; i < 5000; i++)
        (void)fetch_number(d, i, FE_NEED_READ, NULL);
    fake_submit(d);
    CHECK_INT(1024, d->count);
    fake_free(d);
}

typedef struct visited {
    uint64_t count;
} visited;

static void visit(void *context, const fe_record *record)
{
    (void)record;
    ((visited *)context)->count++;
}

TEST(a_scan_sees_all_keys_when_it_is_run_again_until_nothing_is_missing)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake};
    uint64_t cursor = 0, total = 0, runs = 0;
    do {
        visited v = {0};
        uint64_t next = fe_store_scan(d->f.store, 0, cursor, 100, visit, &v);
        if (fe_store_is_missing(d->f.store)) {
            runs++;
            CHECK(!fe_fetch_missing(d->f.store, &a));
            CHECK(!fe_store_is_missing(d->f.store));
            fake_complete_all(d);
            CHECK_INT(0, a.pending);
            continue;
        }
        fe_waiter_close(d->f.store, &a);
        total += v.count;
        cursor = next;
        if (next == 0) break;
    } while (true);
    CHECK_INT(2000, total);
    CHECK(runs > 10 && runs < 30);
    fake_free(d);
}

TEST(a_scan_passes_over_what_cannot_be_read)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake};
    visited v = {0};
    (void)fe_store_scan(d->f.store, 0, 0, 10, visit, &v);
    CHECK(!fe_fetch_missing(d->f.store, &a));
    fake_submit(d);
    uint32_t missing = d->count;
    CHECK(missing >= 10);
    fe_disk_read *broken = d->reads[0];
    for (; d->count != 0; fake_submit(d))
        fake_complete(d, 0, d->reads[0] == broken ? FAKE_EIO : FAKE_GOOD);
    CHECK_INT(0, a.error);
    uint64_t before = v.count;
    v.count = 0;
    (void)fe_store_scan(d->f.store, 0, 0, 10, visit, &v);
    CHECK(!fe_store_is_missing(d->f.store));
    CHECK_INT(before + missing - 1, v.count);
    fe_waiter_close(d->f.store, &a);
    fake_free(d);
}

TEST(a_random_key_on_disk_is_read_and_taken_by_the_next_call)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake};
    fe_random random;
    fe_random_init(&random, 7);
    uint64_t cold = 0;
    for (unsigned i = 0; i < 100; i++) {
        fe_key key;
        while (!fe_store_random_key(d->f.store, 0, &random, &key)) {
            cold++;
            CHECK(fe_store_is_missing(d->f.store));
            CHECK(!fe_fetch_missing(d->f.store, &a));
            fake_submit(d);
            CHECK_INT(1, d->count);
            fake_complete(d, 0, FAKE_GOOD);
        }
        CHECK(fe_key_exists(&key));
        fe_waiter_close(d->f.store, &a);
    }
    CHECK(cold > 50 && cold <= 100);
    fake_free(d);
}

TEST(only_reads_that_the_disk_has_a_place_for_have_a_buffer)
{
    enum { QUEUED = 1500, PLACES = 16 };
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake};
    uint64_t before = fe_alloc_used_all(&d->f.alloc);
    for (uint64_t i = 0; i < QUEUED; i++)
        CHECK(!fetch_number(d, i, FE_NEED_READ, &a));
    uint64_t queued = fe_alloc_used_all(&d->f.alloc) - before;
    CHECK(queued / QUEUED < 1024);
    while (fe_fetch_is_wanted(d->f.store)) {
        d->count = fe_fetch_take(d->f.store, d->reads, PLACES);
        CHECK(fe_alloc_used_all(&d->f.alloc) - before < queued + PLACES * 16384);
        check_store(&d->f);
        while (d->count != 0)
            fake_complete(d, 0, FAKE_GOOD);
        before = fe_alloc_used_all(&d->f.alloc) - queued; /* the cache grows instead */
    }
    CHECK_INT(1, woken);
    CHECK_INT(0, a.error);
    fe_waiter_close(d->f.store, &a);
    fake_free(d);
}

int main(void)
{
    RUN(a_cold_key_is_read_once_for_all_that_ask_and_is_then_in_memory);
    RUN(a_key_that_no_tag_names_is_missing_without_a_read);
    RUN(a_waiter_that_leaves_is_not_woken_and_the_read_goes_on);
    RUN(a_flush_while_reads_are_in_flight_leaves_nothing_behind);
    RUN(a_swap_while_a_read_is_in_flight_brings_the_record_to_its_new_number);
    RUN(a_record_past_its_deadline_is_removed_when_it_comes);
    RUN(long_records_take_one_read_when_their_size_is_known_and_two_when_it_is_not);
    RUN(what_is_read_ahead_is_bounded);
    RUN(a_scan_sees_all_keys_when_it_is_run_again_until_nothing_is_missing);
    RUN(a_scan_passes_over_what_cannot_be_read);
    RUN(a_random_key_on_disk_is_read_and_taken_by_the_next_call);
    RUN(only_reads_that_the_disk_has_a_place_for_have_a_buffer);
    return check_done();
}
