/* Writes over keys that may be on disk: settled by reads, which are put off. */
#include "tests/store/fetch_rig.h"

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

int main(void)
{
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
    RUN(reads_that_are_put_off_do_not_end_reading_ahead);
    return check_done();
}
