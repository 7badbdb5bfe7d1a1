/* Compaction of what is damaged or cannot be read: nothing wrong is moved, nothing sound is lost. */
#include "tests/store/frozen_rig.h"

TEST(a_damaged_record_is_never_moved_and_its_key_answers_an_error)
{
    frozen_fake *t = victims();
    uint32_t n = segment_of(t, 0);
    uint64_t at = (uint64_t)(record_byte(t, 4, 0) - fake_file_of(t->d, n)->image);
    CHECK_INT(n, segment_of(t, 4));
    *record_byte(t, 4, 40) ^= 16;
    t->store->index_space.view = NULL;

    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
    fe_frozen_stats stats = frozen_stats(t);
    CHECK_INT(1, stats.damaged_records);
    CHECK_INT(n, stats.fault.segment);
    CHECK_INT(at, stats.fault.offset);
    CHECK_INT(fake_log(t->d)->segments[n].generation, stats.fault.generation);
    CHECK_INT(fe_store_now(t->store), stats.fault.at_ms);
    CHECK_INT(n, segment_of(t, 4));
    CHECK_INT(120, fake_log(t->d)->segments[n].live); /* it alone */
    name_buf buf;
    fe_waiter waiter = {0};
    CHECK(!fake_fetch(t->d, name_of(&buf, 4), FE_NEED_READ, &waiter));
    fake_complete_all(t->d);
    CHECK_INT(EBADMSG, waiter.error);
    fe_waiter_close(t->store, &waiter);
    CHECK(frozen_has(t, 0, 0) && frozen_has(t, 0, 8));
    frozen_later(t, 1000000);
    CHECK(!frozen_advance(t)); /* it is not tried for ever */
    frozen_check(t);
    frozen_free(t);
}

/* A victim of which only key 4 is left, whose record is damaged. */
static frozen_fake *damaged_rest(uint32_t *n)
{
    frozen_fake *t = victims();
    *n = segment_of(t, 4);
    *record_byte(t, 4, 40) ^= 16;
    t->store->index_space.view = NULL;
    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
    CHECK_INT(1, fake_log(t->d)->damaged);
    CHECK_INT(1, fake_log(t->d)->segments[*n].records);
    fe_fetch_fault fault;
    CHECK(fe_fetch_fault_take(t->store, &fault));
    CHECK_INT(*n, fault.segment);
    CHECK_INT(EBADMSG, fault.error);
    return t;
}

TEST(the_file_of_a_damaged_record_goes_with_its_key)
{
    uint32_t n;
    frozen_fake *t = damaged_rest(&n);
    CHECK(!frozen_del(t, 0, 4)); /* removed unread, so nothing is left to delete */
    fake_clean(t->d);
    CHECK_INT(FE_TIER_FREE, fake_log(t->d)->segments[n].tier);
    CHECK_INT(0, fake_log(t->d)->damaged);
    CHECK(frozen_has(t, 0, 0) && frozen_has(t, 0, 8));
    frozen_check(t);
    frozen_free(t);
}

TEST(by_order_damaged_records_are_given_up_and_sound_ones_are_not)
{
    uint32_t n;
    frozen_fake *t = damaged_rest(&n);
    uint64_t keys = fe_store_db_size(t->store, 0);
    frozen_later(t, 1000000);
    CHECK(!frozen_advance(t)); /* not without the order */
    while (fe_frozen_forget_damaged(t->store))
        CHECK(frozen_job(t, FE_FROZEN_COMPACT));
    CHECK_INT(FE_TIER_FREE, fake_log(t->d)->segments[n].tier);
    CHECK_INT(0, fake_log(t->d)->damaged);
    CHECK_INT(keys - 1, fe_store_db_size(t->store, 0));
    fe_fetch_stats fetch;
    uint32_t in_flight;
    fe_fetch_stats_get(t->store, &fetch, &in_flight);
    CHECK_INT(1, fetch.lost);
    CHECK(!frozen_has(t, 0, 4) && frozen_has(t, 0, 0) && frozen_has(t, 0, 8));
    frozen_check(t);
    frozen_free(t);
}

/* The next `times` reads of the key's record bring it with a wrong bit. */
static void flip_reads(frozen_fake *t, uint64_t i, int times)
{
    fe_log *log = fake_log(t->d);
    fe_address home = fe_slot_address(*frozen_slot(t, 0, i));
    if (fe_cache_holds(log, home)) home = fe_cache_home(log, home);
    t->flip_fd = log->files[fe_address_segment(home, log->offset_bits)].fd;
    t->flip_at = fe_address_offset(home, log->offset_bits) + 40;
    t->flips = times;
}

/* Moving ends in the middle, for want of room: what is left is moved when there is some. */
TEST(a_job_that_is_given_up_behind_a_damaged_record_is_done_later)
{
    frozen_fake *t = cold_store(FE_DEADLINE_NONE);
    uint32_t n = segment_of(t, 800);
    uint64_t first = 800, last = 800;
    while (segment_of(t, first - 1) == n)
        first--;
    while (segment_of(t, last + 1) == n)
        last++;
    CHECK(last > first + 300); /* some steps */
    CHECK(frozen_del(t, 0, last));
    *record_byte(t, first, 40) ^= 16;
    t->store->index_space.view = NULL;
    tell_scarce(t, false);
    CHECK(fe_frozen_compact_all(t->store));
    while (t->store->frozen.stats.damaged_records == 0)
        CHECK(frozen_advance(t));
    CHECK(t->busy && t->job.segment == n);
    tell_scarce(t, true);
    while (t->busy)
        if (!frozen_advance(t)) frozen_later(t, 500);
    uint64_t left = fake_log(t->d)->segments[n].records;
    CHECK(left > 1);

    tell_scarce(t, false);
    frozen_later(t, 1000);
    while (fe_frozen_compact_all(t->store)) {
        (void)frozen_jobs(t, FE_FROZEN_COMPACT);
        frozen_later(t, 100);
    }
    CHECK_INT(1, fake_log(t->d)->segments[n].records);
    frozen_check(t);
    frozen_free(t);
}

TEST(one_wrong_read_is_not_believed)
{
    frozen_fake *t = victims();
    flip_reads(t, 4, 1);
    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
    CHECK_INT(0, t->flips);
    CHECK_INT(0, frozen_stats(t).damaged_records);
    CHECK_INT(0, fake_log(t->d)->damaged);
    CHECK(fe_log_is_mutable(fake_log(t->d), fe_slot_address(*frozen_slot(t, 0, 4))));
    CHECK(frozen_has(t, 0, 0) && frozen_has(t, 0, 4) && frozen_has(t, 0, 8));
    frozen_check(t);
    frozen_free(t);
}

/* A bad block costs the records in it, not those of the whole file. */
TEST(what_can_be_read_of_a_file_with_a_bad_block_is_moved)
{
    frozen_fake *t = victims();
    fe_log *log = fake_log(t->d);
    uint32_t n = segment_of(t, 100);
    flip_reads(t, 100, 0);
    t->bad_fd = t->flip_fd;
    t->bad_at = t->flip_at;
    uint64_t before = log->segments[n].records;
    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
    uint64_t left = log->segments[n].records;
    CHECK(left > 0 && left < before && left * 120 <= 4096 + 120);
    CHECK_INT(1, log->damaged);
    CHECK_INT(EIO, frozen_stats(t).fault.code);
    CHECK_INT(n, segment_of(t, 100));
    CHECK(!frozen_advance(t)); /* not at once again */

    t->bad_fd = 0; /* the disk has found it after all */
    frozen_later(t, 30000);
    tell_scarce(t, false);
    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
    CHECK_INT(FE_TIER_FREE, log->segments[n].tier);
    CHECK(frozen_has(t, 0, 100));
    frozen_check(t);
    frozen_free(t);
}

TEST(by_order_records_in_a_bad_block_are_given_up)
{
    frozen_fake *t = victims();
    fe_log *log = fake_log(t->d);
    uint32_t n = segment_of(t, 100);
    flip_reads(t, 100, 0);
    t->bad_fd = t->flip_fd;
    t->bad_at = t->flip_at;
    uint64_t keys = fe_store_db_size(t->store, 0);
    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
    uint64_t left = log->segments[n].records;
    while (fe_frozen_forget_damaged(t->store))
        CHECK(frozen_job(t, FE_FROZEN_COMPACT));
    CHECK_INT(keys - left, fe_store_db_size(t->store, 0));
    CHECK_INT(FE_TIER_FREE, log->segments[n].tier);
    CHECK_INT(0, log->damaged);
    frozen_check(t);
    frozen_free(t);
}

TEST(a_damaged_record_with_a_sound_copy_in_the_read_cache_is_moved_from_there)
{
    for (unsigned ordered = 0; ordered < 2; ordered++) {
        uint32_t n;
        frozen_fake *t = victims();
        n = segment_of(t, 4);
        if (ordered) fe_log_mark_damaged(fake_log(t->d), n);
        CHECK(frozen_has(t, 0, 4));
        uint64_t keys = fe_store_db_size(t->store, 0);
        flip_reads(t, 4, 1000);
        CHECK(t->flip_fd == fake_log(t->d)->files[n].fd);
        /* As much was moved as is paid for, so that all is read. */
        fe_frozen_disk well = {.bytes = 0};
        if (ordered) CHECK(fe_frozen_forget_damaged(t->store));
        while (!t->busy || t->job.segment != n)
            CHECK(frozen_advance(t));
        fe_frozen_tell(t->store, &well);
        t->store->frozen.move_credit = -1;
        while (t->busy && t->job.stage != FE_FROZEN_MOVE)
            (void)frozen_advance(t);
        tell_scarce(t, false);
        (void)frozen_jobs(t, FE_FROZEN_COMPACT);
        while (t->busy)
            if (!frozen_advance(t)) frozen_later(t, 10);
        fake_clean(t->d);
        CHECK(t->flips < 1000);
        CHECK_INT(keys, fe_store_db_size(t->store, 0));
        t->flips = 0;
        CHECK(frozen_has(t, 0, 4) && frozen_has(t, 0, 0));
        CHECK(fe_log_is_mutable(fake_log(t->d), fe_slot_address(*frozen_slot(t, 0, 4))));
        CHECK_INT(FE_TIER_FREE, fake_log(t->d)->segments[n].tier);
        CHECK_INT(1, frozen_stats(t).damaged_records);
        frozen_check(t);
        frozen_free(t);
    }
}

TEST(a_damaged_record_that_is_sound_in_a_mapped_segment_is_moved_from_there)
{
    for (unsigned good = 0; good < 2; good++) {
        frozen_fake *t = frozen_new();
        fake_fill(t->d, 0, KEYS, FE_DEADLINE_NONE);
        for (uint32_t n = 1; n <= fake_log(t->d)->high; n++)
            if (fake_is_full(t->d, n)) fake_map(t->d, n);
        frozen_later(t, 1000);
        uint32_t n = segment_of(t, 4);
        CHECK_INT(FE_TIER_MAPPED, fake_log(t->d)->segments[n].tier);
        fe_log_mark_damaged(fake_log(t->d), n);
        if (good)
            flip_reads(t, 4, 1000);
        else
            *record_byte(t, 4, 40) ^= 16; /* mapped and file are the same here */
        while (fe_frozen_forget_damaged(t->store)) {
            CHECK(frozen_job(t, FE_FROZEN_COMPACT));
            frozen_later(t, 100);
        }
        CHECK_INT(KEYS - 1 + good, fe_store_db_size(t->store, 0));
        CHECK_INT(1, frozen_stats(t).damaged_records);
        CHECK_INT(FE_TIER_FREE, fake_log(t->d)->segments[n].tier);
        CHECK(frozen_has(t, 0, 4) == (good != 0) && frozen_has(t, 0, 5));
        frozen_check(t);
        frozen_free(t);
    }
}

/* What is damaged later is not removed by an order that nobody waits for any more, nor by one about others. */
TEST(an_order_that_was_withdrawn_removes_nothing)
{
    for (unsigned withdrawn = 0; withdrawn < 2; withdrawn++) {
        uint32_t n;
        frozen_fake *t = damaged_rest(&n);
        CHECK(fe_frozen_forget_damaged(t->store));
        if (withdrawn) fe_frozen_orders_end(t->store);
        uint32_t other = segment_of(t, 3000);
        CHECK(other != n);
        for (uint64_t i = 0; i < KEYS; i++)
            if (i % 4 != 0 && frozen_slot(t, 0, i) != NULL && segment_of(t, i) == other)
                CHECK(frozen_del(t, 0, i));
        *record_byte(t, 3000, 40) ^= 16;
        uint64_t keys = fe_store_db_size(t->store, 0);
        frozen_later(t, 1000);
        CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
        CHECK_INT(withdrawn ? keys : keys - 1, fe_store_db_size(t->store, 0));
        CHECK_INT(other, segment_of(t, 3000));
        CHECK_INT(withdrawn ? 2 : 1, fake_log(t->d)->damaged);
        if (!withdrawn) CHECK(!fe_frozen_forget_damaged(t->store));
        /* the next order is about both */
        while (fe_frozen_forget_damaged(t->store))
            CHECK(frozen_job(t, FE_FROZEN_COMPACT));
        CHECK_INT(0, fake_log(t->d)->damaged);
        CHECK(!frozen_has(t, 0, 4) && !frozen_has(t, 0, 3000));
        frozen_check(t);
        frozen_free(t);
    }
}

TEST(an_order_ends_though_a_file_cannot_be_read)
{
    uint32_t n;
    frozen_fake *t = damaged_rest(&n);
    t->read_errors = 1000000;
    unsigned jobs = 0;
    while (jobs < 100 && fe_frozen_forget_damaged(t->store))
        jobs += frozen_job(t, FE_FROZEN_COMPACT);
    CHECK_INT(1, jobs);
    CHECK(!t->store->frozen.forget);
    CHECK_INT(1, fake_log(t->d)->damaged);
    t->read_errors = 0;
    while (fe_frozen_forget_damaged(t->store))
        CHECK(frozen_job(t, FE_FROZEN_COMPACT));
    CHECK_INT(0, fake_log(t->d)->damaged);
    frozen_check(t);
    frozen_free(t);
}

TEST(a_file_with_a_damaged_footer_goes_when_no_key_is_in_it)
{
    frozen_fake *t = victims();
    uint32_t n = segment_of(t, 0);
    const fake_file *file = fake_file_of(t->d, n);
    file->image[(fake_log(t->d)->segments[n].used + 4095) & ~4095ull] ^= 1;
    (void)frozen_jobs(t, FE_FROZEN_COMPACT);
    CHECK_INT(1, fake_log(t->d)->damaged);
    while (fe_frozen_forget_damaged(t->store)) /* gives up nothing that can be read */
        CHECK(frozen_job(t, FE_FROZEN_COMPACT));
    CHECK(fake_log(t->d)->segments[n].records > 0);
    for (uint64_t i = 0; i < KEYS; i += 4)
        CHECK(frozen_has(t, 0, i));
    for (uint64_t i = 0; i < KEYS; i += 4) {
        frozen_check(t);
        CHECK(frozen_del(t, 0, i));
    }
    fake_clean(t->d);
    CHECK_INT(FE_TIER_FREE, fake_log(t->d)->segments[n].tier);
    CHECK_INT(0, fake_log(t->d)->damaged);
    frozen_free(t);
}

TEST(a_damaged_block_of_a_footer_leaves_its_segment_as_it_is)
{
    for (unsigned part = 0; part < 2; part++) {
        frozen_fake *t = victims();
        uint32_t n = segment_of(t, 0);
        uint64_t live = fake_log(t->d)->segments[n].live;
        const fake_file *file = fake_file_of(t->d, n);
        uint64_t footer = (fake_log(t->d)->segments[n].used + 4095) & ~4095ull;
        file->image[part == 0 ? footer + 100 : file->size - 20] ^= 1;

        (void)frozen_jobs(t, FE_FROZEN_COMPACT);
        fe_frozen_stats stats = frozen_stats(t);
        CHECK_INT(1, stats.damaged_blocks);
        CHECK_INT(n, stats.fault.segment);
        CHECK(stats.fault.cause != NULL && stats.fault.offset >= footer);
        CHECK_INT(0, stats.fault.code); /* the disk is well */
        fe_fetch_fault told;
        CHECK(fe_fetch_fault_take(t->store, &told));
        CHECK(told.error == EBADMSG && told.cause == stats.fault.cause);
        if (part == 1) CHECK_INT(live, fake_log(t->d)->segments[n].live);
        CHECK(fake_log(t->d)->segments[n].tier == FE_TIER_DISK);
        frozen_check(t);
        for (uint64_t i = 0; i < 200; i += 4)
            CHECK(frozen_has(t, 0, i));
        frozen_free(t);
    }
}

int main(void)
{
    RUN(a_damaged_record_is_never_moved_and_its_key_answers_an_error);
    RUN(the_file_of_a_damaged_record_goes_with_its_key);
    RUN(by_order_damaged_records_are_given_up_and_sound_ones_are_not);
    RUN(a_job_that_is_given_up_behind_a_damaged_record_is_done_later);
    RUN(one_wrong_read_is_not_believed);
    RUN(what_can_be_read_of_a_file_with_a_bad_block_is_moved);
    RUN(by_order_records_in_a_bad_block_are_given_up);
    RUN(a_damaged_record_with_a_sound_copy_in_the_read_cache_is_moved_from_there);
    RUN(a_damaged_record_that_is_sound_in_a_mapped_segment_is_moved_from_there);
    RUN(an_order_that_was_withdrawn_removes_nothing);
    RUN(an_order_ends_though_a_file_cannot_be_read);
    RUN(a_file_with_a_damaged_footer_goes_when_no_key_is_in_it);
    RUN(a_damaged_block_of_a_footer_leaves_its_segment_as_it_is);
    return check_done();
}
