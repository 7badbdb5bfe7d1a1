/* Jobs over segments on disk: compaction, which moves what lives and frees the files. */
#include "tests/store/frozen_rig.h"

TEST(a_log_on_disk_that_is_all_alive_is_left_alone)
{
    frozen_fake *t = cold_store(FE_DEADLINE_NONE);

    CHECK(!frozen_advance(t));
    frozen_later(t, 100000);
    CHECK(!frozen_advance(t));
    frozen_free(t);
}

TEST(compaction_moves_what_lives_and_frees_the_files)
{
    frozen_fake *t = cold_store(FE_DEADLINE_NONE);
    uint64_t before = fake_log(t->d)->tiers[FE_TIER_DISK].segments;
    for (uint64_t i = 0; i < KEYS; i++)
        if (i % 4 != 0) CHECK(frozen_del(t, 0, i));
    frozen_check(t);

    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 4);
    frozen_check(t);
    fe_frozen_stats stats = frozen_stats(t);
    CHECK(fake_log(t->d)->tiers[FE_TIER_DISK].segments < before / 2);
    CHECK(stats.used - stats.live <= stats.used / 4 ||
          stats.used - stats.live <= 2 * FE_SEGMENT_MIN);
    CHECK(stats.moved_keys > KEYS / 16 && stats.moved_bytes >= stats.moved_keys * 112);
    CHECK(stats.damaged_records == 0 && stats.swept_bytes == 0 && stats.fault.segment == 0);
    CHECK_INT(KEYS / 4, fe_store_db_size(t->store, 0));
    check_keys(t, 0, 0, 4);
    frozen_check(t);
    frozen_free(t);
}

TEST(by_order_no_garbage_is_left)
{
    frozen_fake *t = cold_store(FE_DEADLINE_NONE);
    for (uint64_t i = 0; i < KEYS; i += 50)
        CHECK(frozen_del(t, 0, i));
    CHECK_INT(0, frozen_jobs(t, FE_FROZEN_COMPACT)); /* too little */
    CHECK(frozen_stats(t).used > frozen_stats(t).live);

    unsigned jobs = 0;
    while (fe_frozen_compact_all(t->store) && jobs < 10000)
        jobs += frozen_jobs(t, FE_FROZEN_COMPACT) + 1;
    CHECK(jobs > 0 && jobs < 10000 && !t->store->frozen.thorough);
    CHECK_INT((int64_t)frozen_stats(t).live, (int64_t)frozen_stats(t).used);
    CHECK_INT(KEYS - KEYS / 50, fe_store_db_size(t->store, 0));
    frozen_check(t);
    frozen_free(t);
}

TEST(a_moved_record_keeps_its_deadline_and_its_accounts)
{
    int64_t deadline = START_MS + 100000000;
    frozen_fake *t = cold_store(deadline);
    for (uint64_t i = 0; i < KEYS; i++)
        if (i % 4 != 0) CHECK(frozen_del(t, 0, i));

    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 4);
    frozen_check(t);
    fe_database_stats stats;
    fe_store_db_stats(t->store, 0, &stats);
    CHECK_INT(KEYS / 4, stats.expires);
    CHECK_INT(deadline - fe_store_now(t->store), stats.average_ttl_ms);
    frozen_free(t);
}

TEST(a_copy_in_the_read_cache_gives_way_to_the_moved_record)
{
    frozen_fake *t = victims();
    CHECK(frozen_has(t, 0, 0));
    CHECK(fe_cache_holds(fake_log(t->d), fe_slot_address(*frozen_slot(t, 0, 0))));

    CHECK(frozen_jobs(t, FE_FROZEN_COMPACT) >= 1);
    CHECK(fe_log_is_mutable(fake_log(t->d), fe_slot_address(*frozen_slot(t, 0, 0))));
    frozen_check(t);
    CHECK(frozen_has(t, 0, 0));
    frozen_free(t);
}

TEST(an_error_of_the_disk_ends_the_job_and_it_is_done_later)
{
    for (int after = 0; after < 3; after++) {
        frozen_fake *t = victims();
        CHECK(frozen_advance(t));
        for (int reads = 0; reads < after && t->busy;) {
            reads += t->next == FE_FROZEN_READ;
            (void)frozen_advance(t);
        }
        t->read_errors = 1;
        while (t->busy)
            (void)frozen_advance(t);
        fake_clean(t->d);
        t->read_errors = 0;
        fe_frozen_stats stats = frozen_stats(t);
        CHECK_INT(EIO, stats.read_errors == 0 ? EIO : stats.fault.code);
        frozen_check(t);

        frozen_later(t, 60000);
        (void)frozen_jobs(t, FE_FROZEN_COMPACT);
        CHECK(!frozen_advance(t));
        frozen_check(t);
        check_keys(t, 0, 0, 4);
        frozen_free(t);
    }
}

TEST(a_read_in_flight_of_a_record_that_was_moved_ends_well)
{
    frozen_fake *t = victims();
    name_buf buf;
    fe_waiter waiter = {0};
    uint32_t n = segment_of(t, 0);
    CHECK(!fake_fetch(t->d, name_of(&buf, 0), FE_NEED_READ, &waiter));
    fake_submit(t->d);
    CHECK_INT(1, t->d->count);

    (void)frozen_jobs(t, FE_FROZEN_COMPACT);
    CHECK(fe_log_is_mutable(fake_log(t->d), fe_slot_address(*frozen_slot(t, 0, 0))));
    CHECK_INT(1, fake_log(t->d)->files[n].pins);
    CHECK_INT(0, fake_log(t->d)->segments[n].live);
    fake_complete_all(t->d);
    CHECK(waiter.pending == 0 && waiter.error == 0);
    CHECK(fake_fetch(t->d, name_of(&buf, 0), FE_NEED_READ, &waiter));
    CHECK(fake_has(t->d, 0));
    fe_waiter_close(t->store, &waiter);
    fake_clean(t->d);
    CHECK_INT(FE_TIER_FREE, fake_log(t->d)->segments[n].tier);
    frozen_check(t);
    frozen_free(t);
}

TEST(a_record_that_a_blind_write_waits_for_is_left)
{
    frozen_fake *t = victims();
    name_buf buf;
    fe_waiter waiter = {0};
    uint32_t n = segment_of(t, 0);
    CHECK(fake_fetch(t->d, name_of(&buf, 0), FE_NEED_BLIND, &waiter));
    fake_fill(t->d, 0, 1, FE_DEADLINE_NONE);
    fe_waiter_close(t->store, &waiter);
    uint64_t size = fe_store_db_size(t->store, 0);

    (void)frozen_jobs(t, FE_FROZEN_COMPACT);
    CHECK_INT(120, fake_log(t->d)->segments[n].live);
    CHECK(fake_log(t->d)->files[n].rest_ms > fe_store_now(t->store));
    CHECK(frozen_has(t, 0, 0));
    CHECK_INT(size, fe_store_db_size(t->store, 0));
    fake_complete_all(t->d);
    CHECK_INT(size - 1, fe_store_db_size(t->store, 0));
    fake_clean(t->d);
    CHECK_INT(FE_TIER_FREE, fake_log(t->d)->segments[n].tier);
    frozen_check(t);
    frozen_free(t);
}

TEST(without_memory_a_job_ends_and_nothing_is_lost)
{
    for (int64_t allowed = 0; allowed < 8; allowed++) {
        frozen_fake *t = victims();
        CHECK(frozen_advance(t));
        fe_alloc_fail_after(&t->d->f.alloc, allowed);
        while (t->busy)
            (void)frozen_advance(t);
        fe_alloc_fail_after(&t->d->f.alloc, -1);
        fake_clean(t->d);
        frozen_check(t);
        CHECK_INT(0, frozen_stats(t).read_errors);
        frozen_later(t, 2000);
        (void)frozen_jobs(t, FE_FROZEN_COMPACT);
        frozen_check(t);
        check_keys(t, 0, 0, 4);
        frozen_free(t);
    }
}

int main(void)
{
    RUN(a_log_on_disk_that_is_all_alive_is_left_alone);
    RUN(compaction_moves_what_lives_and_frees_the_files);
    RUN(by_order_no_garbage_is_left);
    RUN(a_moved_record_keeps_its_deadline_and_its_accounts);
    RUN(a_copy_in_the_read_cache_gives_way_to_the_moved_record);
    RUN(an_error_of_the_disk_ends_the_job_and_it_is_done_later);
    RUN(a_read_in_flight_of_a_record_that_was_moved_ends_well);
    RUN(a_record_that_a_blind_write_waits_for_is_left);
    RUN(without_memory_a_job_ends_and_nothing_is_lost);
    return check_done();
}
