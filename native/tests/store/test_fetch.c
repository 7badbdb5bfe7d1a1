/* Records that are on disk: read, joined, settled, refused. */
#include "tests/store/disk_fake.h"

static uint32_t woken;

static void count_wake(fe_waiter *waiter)
{
    (void)waiter;
    woken++;
}

static fe_bytes text(const char *s)
{
    return (fe_bytes){(const uint8_t *)s, strlen(s)};
}

/* 2,000 keys, those of full segments on disk; the caller frees it. */
static fake_disk *cold_store(void)
{
    fake_disk *d = fake_new();
    fe_cache_set_budget(d->f.store, 1 << 20);
    fake_fill(d, 0, 2000, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    CHECK(fake_is_cold(d, 0) && fake_is_cold(d, 1000));
    check_store(&d->f);
    woken = 0;
    return d;
}

static bool fetch_number(fake_disk *d, uint64_t i, fe_need need, fe_waiter *waiter)
{
    name_buf buf;
    return fake_fetch(d, name_of(&buf, i), need, waiter);
}

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

TEST(what_cannot_be_read_is_tried_twice_and_then_an_error_each_time)
{
    fake_disk *d = cold_store();
    static const fake_outcome outcomes[] = {FAKE_EIO, FAKE_CUT, FAKE_FLIPPED};
    static const int errors[] = {EIO, EIO, EBADMSG};
    for (unsigned i = 0; i < 6; i++) {
        fe_waiter a = {.wake = count_wake};
        CHECK(!fetch_number(d, 7, FE_NEED_READ, &a));
        for (unsigned tries = 0; tries < 2; tries++) {
            CHECK_INT(0, a.error);
            fake_submit(d);
            CHECK_INT(1, d->count);
            fake_complete(d, 0, outcomes[i % 3]);
        }
        CHECK_INT(errors[i % 3], a.error);
        CHECK_INT(0, a.pending);
        fe_fetch_fault fault;
        if (i == 0 || i == 2) { /* each cause is told once */
            CHECK(fe_fetch_fault_take(d->f.store, &fault));
            CHECK(fault.error == a.error && fault.segment != 0 && fault.cause == NULL);
        }
        CHECK(!fe_fetch_fault_take(d->f.store, &fault));
        fe_waiter_close(d->f.store, &a);
        CHECK(fake_is_cold(d, 7));
        check_store(&d->f);
    }
    CHECK_INT(6, woken);
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 7, FE_NEED_READ, &a));
    fake_submit(d);
    fake_complete(d, 0, FAKE_EIO); /* once only */
    fake_complete_all(d);
    CHECK_INT(0, a.error);
    CHECK(fake_has(d, 7));
    fe_waiter_close(d->f.store, &a);
    fake_free(d);
}

TEST(faults_that_find_no_room_are_counted)
{
    fake_disk *d = cold_store();
    uint32_t n = 1;
    for (unsigned i = 0; i < 20; i++) {
        fe_fetch_note_fault(d->f.store, n, i * 8, EBADMSG, "some cause");
        fe_fetch_note_fault(d->f.store, n, i * 8, EBADMSG, "some cause");
    }
    fe_fetch_fault fault;
    for (unsigned i = 0; i < 16; i++) {
        CHECK(fe_fetch_fault_take(d->f.store, &fault));
        CHECK_INT(i * 8, fault.offset);
        CHECK(strcmp("some cause", fault.cause) == 0);
    }
    CHECK(!fe_fetch_fault_take(d->f.store, &fault));
    CHECK_INT(4, d->f.store->fetch.stats.untold);
    fake_free(d);
}

TEST(a_record_that_cannot_be_read_can_be_deleted)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake}, b = {.wake = count_wake};
    CHECK(!fetch_number(d, 7, FE_NEED_REMOVE, &a));
    CHECK(!fetch_number(d, 7, FE_NEED_READ, &b));
    for (fake_submit(d); d->count != 0; fake_submit(d))
        fake_complete(d, 0, FAKE_FLIPPED);
    CHECK_INT(0, a.error);
    CHECK_INT(EBADMSG, b.error);
    CHECK(fetch_number(d, 7, FE_NEED_REMOVE, &a));
    CHECK_INT(1999, fe_store_db_size(d->f.store, 0));
    fe_waiter_close(d->f.store, &a);
    fe_waiter_close(d->f.store, &b);
    check_store(&d->f);
    fake_free(d);
}

/* SET key:<i> without reading it. */
static void set_blindly(fake_disk *d, uint64_t i, const char *value, int64_t deadline)
{
    fe_waiter a = {.wake = count_wake};
    name_buf buf;
    CHECK(fetch_number(d, i, FE_NEED_BLIND, &a));
    CHECK(set(&d->f, 0, name_of(&buf, i), text(value), deadline));
    fe_waiter_close(d->f.store, &a);
}

TEST(a_blind_write_over_a_cold_key_is_settled_by_a_read)
{
    fake_disk *d = cold_store();
    name_buf buf;
    set_blindly(d, 9, "new", FE_DEADLINE_NONE);
    CHECK(has(&d->f, 0, name_of(&buf, 9), text("new")));
    CHECK_INT(2001, fe_store_db_size(d->f.store, 0));
    fe_waiter a = {.wake = count_wake};
    CHECK(!fe_fetch_settled(d->f.store, 0, &a));
    check_store(&d->f);
    fake_complete_all(d);
    CHECK_INT(1, woken);
    CHECK(fe_fetch_settled(d->f.store, 0, &a));
    fe_waiter_close(d->f.store, &a);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    CHECK(has(&d->f, 0, name_of(&buf, 9), text("new")));
    check_store(&d->f);
    fake_free(d);
}

/* Takes what is due, without hurrying anything. */
static uint32_t take_due(fake_disk *d)
{
    uint32_t count = fe_fetch_take(d->f.store, d->reads + d->count, FAKE_READS - d->count);
    d->count += count;
    return count;
}

TEST(reads_that_only_settle_are_put_off_until_they_are_many_or_old_or_waited_for)
{
    fake_disk *d = cold_store();
    set_blindly(d, 0, "new", FE_DEADLINE_NONE);
    set_blindly(d, 1, "new", FE_DEADLINE_NONE);
    CHECK(!fe_fetch_is_wanted(d->f.store));
    CHECK_INT(0, take_due(d));
    check_store(&d->f);

    fe_store_set_now(d->f.store, START_MS + 20);
    CHECK(fe_fetch_is_wanted(d->f.store));
    CHECK_INT(2, take_due(d));
    fake_complete_all(d);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));

    for (uint64_t i = 100; i < 163; i++)
        set_blindly(d, i, "new", FE_DEADLINE_NONE);
    CHECK_INT(0, take_due(d));
    set_blindly(d, 163, "new", FE_DEADLINE_NONE);
    CHECK_INT(64, take_due(d));
    fake_complete_all(d);

    set_blindly(d, 200, "new", FE_DEADLINE_NONE);
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 200, FE_NEED_EXACT, &a));
    CHECK_INT(1, take_due(d));
    fake_complete_all(d);
    CHECK(fetch_number(d, 200, FE_NEED_EXACT, &a));
    fe_waiter_close(d->f.store, &a);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    check_store(&d->f);
    fake_free(d);
}

TEST(a_slow_disk_has_no_buffers_for_all_that_was_put_off)
{
    fake_disk *d = cold_store();
    for (uint64_t i = 0; i < 600; i++) {
        set_blindly(d, i, "new", FE_DEADLINE_NONE);
        (void)take_due(d);
    }
    CHECK_INT(256, d->count);
    CHECK(!fe_fetch_is_wanted(d->f.store));
    check_store(&d->f);
    fake_complete_all(d);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    fake_free(d);
}

/* Reads that the disk never ends. */
static void read_without_end(fake_disk *d, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++)
        CHECK(!fetch_number(d, i, FE_NEED_READ, NULL));
    CHECK_INT(count, take_due(d));
}

TEST(under_a_load_of_reads_one_that_was_put_off_and_is_waited_for_goes_with_them)
{
    fake_disk *d = cold_store();
    read_without_end(d, 500, 600);
    for (uint64_t i = 0; i < 40; i++)
        set_blindly(d, i, "new", FE_DEADLINE_NONE);
    CHECK_INT(0, take_due(d));
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 7, FE_NEED_EXACT, &a));
    CHECK_INT(1, take_due(d));
    check_store(&d->f);
    fake_complete(d, d->count - 1, FAKE_GOOD);
    CHECK_INT(1, woken);
    CHECK(fetch_number(d, 7, FE_NEED_EXACT, &a));
    fe_waiter_close(d->f.store, &a);
    CHECK_INT(0, take_due(d)); /* the others are in no more hurry than before */
    check_store(&d->f);
    fake_free(d);
}

TEST(under_a_load_of_reads_what_was_put_off_is_settled_and_counted)
{
    fake_disk *d = cold_store();
    read_without_end(d, 500, 600);
    set_blindly(d, 1, "new", FE_DEADLINE_NONE);
    set_blindly(d, 2, "new", FE_DEADLINE_NONE);
    fe_store_set_now(d->f.store, START_MS + 20);
    CHECK_INT(2, take_due(d));
    set_blindly(d, 3, "new", FE_DEADLINE_NONE);
    fe_waiter counts = {.wake = count_wake};
    CHECK(!fe_fetch_settled(d->f.store, 0, &counts));
    CHECK_INT(1, take_due(d));
    while (d->count > 600)
        fake_complete(d, d->count - 1, FAKE_GOOD);
    CHECK_INT(1, woken);
    CHECK(fe_fetch_settled(d->f.store, 0, &counts));
    fe_waiter_close(d->f.store, &counts);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    check_store(&d->f);
    fake_free(d);
}

TEST(what_was_put_off_first_is_read_first)
{
    fake_disk *d = cold_store();
    fe_address homes[300];
    for (uint64_t i = 0; i < 300; i++) {
        name_buf buf;
        fe_bytes name = name_of(&buf, i);
        const fe_index *index = &d->f.store->databases[0]->index;
        homes[i] = fe_slot_address(*fe_index_find_cold(index, fe_key_hash(&d->f.seed, name), NULL));
        set_blindly(d, i, "new", FE_DEADLINE_NONE);
    }
    fe_store_set_now(d->f.store, START_MS + 20);
    CHECK_INT(256, take_due(d));
    for (unsigned i = 0; i < 256; i++)
        CHECK_INT((int64_t)homes[i], (int64_t)((const fe_fetch_read *)d->reads[i])->address);
    fake_complete(d, 0, FAKE_GOOD);
    CHECK_INT(1, take_due(d));
    CHECK_INT((int64_t)homes[256],
              (int64_t)((const fe_fetch_read *)d->reads[d->count - 1])->address);
    check_store(&d->f);
    fake_free(d);
}

/* `count` keys from 5000 on with values of 300,000 bytes, each alone in a segment on disk; all are written over. */
static fake_disk *long_and_late(uint64_t count)
{
    static uint8_t value[300000];
    fake_disk *d = cold_store();
    name_buf buf;
    for (uint64_t i = 5000; i < 5000 + count; i++)
        CHECK(set(&d->f, 0, name_of(&buf, i), (fe_bytes){value, sizeof value}, FE_DEADLINE_NONE));
    fake_freeze_all(d);
    for (uint64_t i = 5000; i < 5000 + count; i++) {
        CHECK(fake_is_cold(d, i));
        set_blindly(d, i, "new", FE_DEADLINE_NONE);
    }
    return d;
}

TEST(long_records_that_were_put_off_are_read_a_few_at_a_time)
{
    fake_disk *d = long_and_late(60);
    fe_store_set_now(d->f.store, START_MS + 20);
    uint64_t before = fe_alloc_used_all(&d->f.alloc);
    CHECK_INT(7, take_due(d)); /* the seventh passes 2 MiB */
    CHECK(fe_alloc_used_all(&d->f.alloc) - before < 3 << 20);
    CHECK(!fe_fetch_is_wanted(d->f.store));
    fake_complete(d, 0, FAKE_GOOD);
    CHECK_INT(1, take_due(d));
    check_store(&d->f);
    fake_complete_all(d);
    CHECK_INT(2060, fe_store_db_size(d->f.store, 0));
    check_store(&d->f);
    fake_free(d);
}

/* Memory for a long record is refused; for the others there are the buffers of earlier reads. */
TEST(one_that_has_no_memory_does_not_hold_up_the_others_and_who_waits_is_told)
{
    fake_disk *d = long_and_late(1);
    read_without_end(d, 500, 5);
    while (d->count != 0)
        fake_complete(d, 0, FAKE_GOOD);
    for (uint64_t i = 0; i < 5; i++)
        set_blindly(d, i, "new", FE_DEADLINE_NONE);
    fe_waiter counts = {.wake = count_wake};
    CHECK(!fe_fetch_settled(d->f.store, 0, &counts));
    fe_alloc_fail_after(&d->f.alloc, 0);
    CHECK_INT(5, take_due(d));
    fe_alloc_fail_after(&d->f.alloc, -1);
    CHECK_INT(ENOMEM, counts.error);
    CHECK_INT(5, counts.pending);
    CHECK_INT(1, d->f.store->fetch.late_count);
    check_store(&d->f);
    while (d->count != 0)
        fake_complete(d, 0, FAKE_GOOD);
    CHECK_INT(1, woken);
    fe_waiter_close(d->f.store, &counts);
    CHECK(!fe_fetch_is_wanted(d->f.store)); /* not at once again */
    fe_store_set_now(d->f.store, START_MS + 20);
    CHECK_INT(1, take_due(d));
    fake_complete_all(d);
    CHECK_INT(2001, fe_store_db_size(d->f.store, 0));
    fake_free(d);
}

TEST(without_memory_who_waits_for_one_that_was_put_off_is_told)
{
    fake_disk *d = cold_store();
    set_blindly(d, 100, "new", FE_DEADLINE_NONE);
    fe_waiter a = {.wake = count_wake};
    fe_alloc_fail_after(&d->f.alloc, 0);
    CHECK(!fetch_number(d, 100, FE_NEED_EXACT, &a));
    fe_alloc_fail_after(&d->f.alloc, -1);
    CHECK_INT(1, take_due(d)); /* it settles all the same */
    CHECK_INT(1, woken);
    CHECK_INT(ENOMEM, a.error);
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_complete_all(d);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    fake_free(d);
}

TEST(what_was_put_off_for_a_database_that_is_flushed_is_never_read)
{
    fake_disk *d = cold_store();
    set_blindly(d, 9, "new", FE_DEADLINE_NONE);
    uint64_t reads = d->f.store->fetch.stats.reads;
    CHECK_INT(FE_OK, fe_store_flush_all(d->f.store, true));
    check_store(&d->f);
    fe_fetch_hurry(d->f.store);
    CHECK_INT(0, take_due(d));
    CHECK_INT(0, d->f.store->fetch.count);
    CHECK_INT(reads, d->f.store->fetch.stats.reads);
    fake_free(d);
}

TEST(while_somebody_counts_no_other_write_is_blind)
{
    fake_disk *d = cold_store();
    set_blindly(d, 9, "new", FE_DEADLINE_NONE);
    fe_waiter counts = {.wake = count_wake}, a = {.wake = count_wake};
    CHECK(!fe_fetch_settled(d->f.store, 0, &counts));
    CHECK(!fetch_number(d, 10, FE_NEED_BLIND, &a));
    fake_complete_all(d);
    CHECK(fe_fetch_settled(d->f.store, 0, &counts));
    CHECK(fetch_number(d, 10, FE_NEED_BLIND, &a)); /* it is in memory now */
    CHECK(!fetch_number(d, 11, FE_NEED_BLIND, &a));
    fe_waiter_close(d->f.store, &counts);
    fe_waiter_close(d->f.store, &a);
    fake_complete_all(d);
    fake_free(d);
}

TEST(deleted_expired_or_set_again_before_it_settles_the_old_value_never_comes_back)
{
    for (unsigned what = 0; what < 4; what++) {
        fake_disk *d = cold_store();
        name_buf buf;
        fe_bytes name = name_of(&buf, 9);
        set_blindly(d, 9, "new", what == 1 ? START_MS + 10 : FE_DEADLINE_NONE);
        fe_waiter a = {.wake = count_wake};
        if (what == 0) CHECK(del(&d->f, 0, name)); /* as an internal step may: nobody waited */
        if (what == 1) fe_store_set_now(d->f.store, START_MS + 20);
        if (what == 1) CHECK(!exists(&d->f, 0, name)); /* removed here */
        if (what == 2) CHECK(!fetch_number(d, 9, FE_NEED_EXACT, &a));
        if (what <= 1) {
            CHECK(fetch_number(d, 9, FE_NEED_BLIND, &a));
            CHECK(set(&d->f, 0, name, text("newer"), FE_DEADLINE_NONE));
            check_store(&d->f);
            CHECK(del(&d->f, 0, name));
            CHECK(!fetch_number(d, 9, FE_NEED_READ, &a));
        }
        check_store(&d->f);
        fake_complete_all(d);
        CHECK(fetch_number(d, 9, FE_NEED_EXACT, &a));
        CHECK_INT(what >= 2, exists(&d->f, 0, name));
        CHECK_INT(what >= 2 ? 2000 : 1999, fe_store_db_size(d->f.store, 0));
        fe_waiter_close(d->f.store, &a);
        check_store(&d->f);
        fake_free(d);
    }
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

TEST(reads_that_are_put_off_do_not_end_reading_ahead)
{
    fake_disk *d = fake_new();
    fake_fill(d, 0, 20000, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    read_without_end(d, 10000, 256);
    for (uint64_t i = 0; i < 2000; i++)
        set_blindly(d, i, "new", FE_DEADLINE_NONE);
    (void)take_due(d);
    CHECK_INT(512, d->count);
    for (uint64_t i = 12000; i < 12100; i++)
        (void)fetch_number(d, i, FE_NEED_READ, NULL);
    CHECK_INT(100, take_due(d));
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

TEST(without_memory_waiters_get_an_error_and_nothing_is_lost)
{
    for (int64_t after = 0; after < 12; after++) {
        fake_disk *d = cold_store();
        fe_waiter a = {.wake = count_wake};
        name_buf buf;
        fe_alloc_fail_after(&d->f.alloc, after);
        bool there = fetch_number(d, 5, FE_NEED_READ, &a);
        if (!there) fake_complete_all(d);
        CHECK_INT(0, a.pending);
        CHECK_INT(1, woken);
        if (a.error == 0) CHECK(fake_has(d, 5));
        fe_waiter_close(d->f.store, &a);
        if (fetch_number(d, 9, FE_NEED_BLIND, &a) && fake_is_cold(d, 9))
            (void)set(&d->f, 0, name_of(&buf, 9), text("new"), FE_DEADLINE_NONE);
        fe_waiter_close(d->f.store, &a);
        check_store(&d->f);
        fake_complete_all(d);
        fe_alloc_fail_after(&d->f.alloc, -1);
        check_store(&d->f);
        CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
        fake_free(d);
    }
}

/* Completes every read with a refusal, as often as the store asks within `pauses` pauses. */
static void refuse_for(fake_disk *d, unsigned pauses)
{
    for (unsigned i = 0; i < pauses; i++) {
        fake_submit(d);
        while (d->count != 0)
            fake_complete(d, 0, FAKE_REFUSED);
        check_store(&d->f);
    }
}

TEST(a_read_that_is_refused_is_started_again_after_a_pause)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 7, FE_NEED_READ, &a));
    CHECK_INT(1, take_due(d));
    fake_complete(d, 0, FAKE_REFUSED);
    CHECK_INT(0, take_due(d)); /* not at once */
    CHECK_INT(0, woken);
    check_store(&d->f);
    fe_store_set_now(d->f.store, START_MS + 20);
    CHECK_INT(1, take_due(d));
    fake_complete(d, 0, FAKE_GOOD);
    CHECK_INT(1, woken);
    CHECK_INT(0, a.error);
    CHECK(fake_has(d, 7));
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_free(d);
}

TEST(a_record_whose_read_is_refused_is_neither_deleted_nor_bad)
{
    fake_disk *d = cold_store();
    fe_waiter removes = {.wake = count_wake}, reads = {.wake = count_wake};
    CHECK(!fetch_number(d, 7, FE_NEED_REMOVE, &removes));
    CHECK(!fetch_number(d, 7, FE_NEED_READ, &reads));
    refuse_for(d, 20);
    CHECK_INT(2, woken);
    CHECK_INT(EAGAIN, removes.error);
    CHECK_INT(EAGAIN, reads.error);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    CHECK_INT(0, d->f.store->fetch.stats.lost);
    fe_waiter_close(d->f.store, &removes);
    fe_waiter_close(d->f.store, &reads);

    fe_waiter again = {.wake = count_wake};
    CHECK(!fetch_number(d, 7, FE_NEED_READ, &again));
    fake_complete_all(d);
    CHECK_INT(0, again.error);
    CHECK(fake_has(d, 7));
    fe_waiter_close(d->f.store, &again);
    check_store(&d->f);
    fake_free(d);
}

TEST(a_write_whose_settling_read_is_refused_is_settled_later_and_the_old_value_never_comes_back)
{
    fake_disk *d = cold_store();
    set_blindly(d, 9, "new", START_MS + 1000);
    fe_waiter counts = {.wake = count_wake};
    CHECK(!fe_fetch_settled(d->f.store, 0, &counts));
    refuse_for(d, 20);
    CHECK_INT(1, woken);
    CHECK_INT(EAGAIN, counts.error);
    fe_waiter_close(d->f.store, &counts);
    CHECK_INT(0, d->f.store->fetch.stats.lost);

    fe_store_set_now(d->f.store, START_MS + 2000);
    fake_complete_all(d);
    CHECK_INT(1, d->f.store->fetch.stats.settled_same);
    name_buf buf;
    CHECK(!has(&d->f, 0, name_of(&buf, 9), text("new")));
    fe_waiter a = {.wake = count_wake};
    CHECK(fetch_number(d, 9, FE_NEED_READ, &a));
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
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

TEST(without_memory_for_its_buffer_a_read_that_was_queued_is_an_error)
{
    fake_disk *d = cold_store();
    fe_waiter a = {.wake = count_wake}, b = {.wake = count_wake};
    CHECK(!fetch_number(d, 5, FE_NEED_READ, &a));
    CHECK(!fetch_number(d, 6, FE_NEED_REMOVE, &b));
    set_blindly(d, 9, "new", FE_DEADLINE_NONE);
    fe_alloc_fail_after(&d->f.alloc, 0);
    fe_fetch_hurry(d->f.store);
    CHECK_INT(0, take_due(d));
    fe_alloc_fail_after(&d->f.alloc, -1);
    CHECK_INT(2, woken);
    CHECK_INT(ENOMEM, a.error);
    CHECK_INT(ENOMEM, b.error);
    check_store(&d->f);
    fe_waiter_close(d->f.store, &a);
    fe_waiter_close(d->f.store, &b);
    fake_complete_all(d);
    CHECK_INT(1, d->f.store->fetch.stats.settled_same);
    CHECK_INT(2000, fe_store_db_size(d->f.store, 0));
    fake_free(d);
}

int main(void)
{
    RUN(a_cold_key_is_read_once_for_all_that_ask_and_is_then_in_memory);
    RUN(a_key_that_no_tag_names_is_missing_without_a_read);
    RUN(a_waiter_that_leaves_is_not_woken_and_the_read_goes_on);
    RUN(what_cannot_be_read_is_tried_twice_and_then_an_error_each_time);
    RUN(faults_that_find_no_room_are_counted);
    RUN(a_record_that_cannot_be_read_can_be_deleted);
    RUN(a_blind_write_over_a_cold_key_is_settled_by_a_read);
    RUN(reads_that_only_settle_are_put_off_until_they_are_many_or_old_or_waited_for);
    RUN(a_slow_disk_has_no_buffers_for_all_that_was_put_off);
    RUN(under_a_load_of_reads_one_that_was_put_off_and_is_waited_for_goes_with_them);
    RUN(under_a_load_of_reads_what_was_put_off_is_settled_and_counted);
    RUN(what_was_put_off_first_is_read_first);
    RUN(long_records_that_were_put_off_are_read_a_few_at_a_time);
    RUN(one_that_has_no_memory_does_not_hold_up_the_others_and_who_waits_is_told);
    RUN(without_memory_who_waits_for_one_that_was_put_off_is_told);
    RUN(what_was_put_off_for_a_database_that_is_flushed_is_never_read);
    RUN(while_somebody_counts_no_other_write_is_blind);
    RUN(deleted_expired_or_set_again_before_it_settles_the_old_value_never_comes_back);
    RUN(a_flush_while_reads_are_in_flight_leaves_nothing_behind);
    RUN(a_swap_while_a_read_is_in_flight_brings_the_record_to_its_new_number);
    RUN(a_record_past_its_deadline_is_removed_when_it_comes);
    RUN(long_records_take_one_read_when_their_size_is_known_and_two_when_it_is_not);
    RUN(what_is_read_ahead_is_bounded);
    RUN(reads_that_are_put_off_do_not_end_reading_ahead);
    RUN(a_scan_sees_all_keys_when_it_is_run_again_until_nothing_is_missing);
    RUN(a_scan_passes_over_what_cannot_be_read);
    RUN(a_random_key_on_disk_is_read_and_taken_by_the_next_call);
    RUN(without_memory_waiters_get_an_error_and_nothing_is_lost);
    RUN(a_read_that_is_refused_is_started_again_after_a_pause);
    RUN(a_record_whose_read_is_refused_is_neither_deleted_nor_bad);
    RUN(a_write_whose_settling_read_is_refused_is_settled_later_and_the_old_value_never_comes_back);
    RUN(only_reads_that_the_disk_has_a_place_for_have_a_buffer);
    RUN(without_memory_for_its_buffer_a_read_that_was_queued_is_an_error);
    return check_done();
}
