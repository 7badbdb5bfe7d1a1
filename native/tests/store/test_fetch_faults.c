/* Reads from disk that fail, are refused or find no memory: an error for who waits, and nothing is lost. */
#include "tests/store/fetch_rig.h"

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
    RUN(what_cannot_be_read_is_tried_twice_and_then_an_error_each_time);
    RUN(faults_that_find_no_room_are_counted);
    RUN(a_record_that_cannot_be_read_can_be_deleted);
    RUN(without_memory_waiters_get_an_error_and_nothing_is_lost);
    RUN(a_read_that_is_refused_is_started_again_after_a_pause);
    RUN(a_record_whose_read_is_refused_is_neither_deleted_nor_bad);
    RUN(a_write_whose_settling_read_is_refused_is_settled_later_and_the_old_value_never_comes_back);
    RUN(without_memory_for_its_buffer_a_read_that_was_queued_is_an_error);
    return check_done();
}
