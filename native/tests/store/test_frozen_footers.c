/* Jobs that need the footers of files only: what was flushed or expired is counted off, short tags are refilled. */
#include "tests/store/frozen_rig.h"

TEST(records_of_a_flushed_database_are_counted_off_in_mixed_segments)
{
    frozen_fake *t = frozen_new();
    for (uint64_t i = 0; i < KEYS; i++)
        frozen_set(t, (uint32_t)(i % 3 == 0), i, i % 2 ? FE_DEADLINE_NONE : START_MS + 10000000);
    fake_freeze_all(t->d);
    frozen_later(t, 1000);
    for (uint64_t i = 1; i < KEYS; i += 30) /* dead before the flush: must not count twice */
        if (i % 3 == 0) CHECK(frozen_del(t, 1, i));
    uint64_t live = fake_log(t->d)->tiers[FE_TIER_DISK].live;

    CHECK_INT(FE_OK, fe_store_flush(t->store, 1, true));
    CHECK_INT(live, fake_log(t->d)->tiers[FE_TIER_DISK].live);
    for (uint64_t i = 0; i < 100; i++)
        frozen_set(t, 1, i, FE_DEADLINE_NONE);
    frozen_later(t, 200);
    while (frozen_advance(t))
        while (t->busy)
            (void)frozen_advance(t);
    fake_clean(t->d);
    frozen_check(t);
    for (uint32_t n = 1; n <= fake_log(t->d)->high; n++)
        CHECK(!fake_log(t->d)->files[n].miscounted);
    fe_frozen_stats stats = frozen_stats(t);
    CHECK(stats.swept_bytes > live / 4 && stats.swept_bytes < live / 2);
    CHECK(frozen_has(t, 0, 1) && frozen_has(t, 1, 3) && !frozen_has(t, 1, KEYS - 1));
    frozen_free(t);
}

TEST(segments_of_a_dead_keyspace_go_without_a_read)
{
    frozen_fake *t = cold_store(FE_DEADLINE_NONE);

    CHECK_INT(FE_OK, fe_store_flush(t->store, 0, true));
    fake_clean(t->d);
    CHECK_INT(0, fake_log(t->d)->tiers[FE_TIER_DISK].segments);
    frozen_later(t, 1000);
    CHECK(!frozen_advance(t));
    CHECK_INT(0, frozen_stats(t).read_bytes);
    frozen_free(t);
}

TEST(what_expires_on_disk_goes_without_a_look_at_the_records)
{
    frozen_fake *t = frozen_new();
    for (uint64_t i = 0; i < KEYS; i++)
        frozen_set(t, 0, i, i % 2 ? START_MS + 50000 + (int64_t)i : START_MS + 900000000);
    fake_freeze_all(t->d);
    CHECK(frozen_has(t, 0, 1)); /* in the read cache */
    fe_store_set_interest(t->store, true);
    frozen_later(t, 30000);
    CHECK(!frozen_advance(t));
    frozen_later(t, 100000);
    fe_frozen_pause_expiry(t->store, true);
    CHECK(!frozen_advance(t));
    fe_frozen_pause_expiry(t->store, false);
    fe_store_stats before;
    fe_store_stats_get(t->store, &before);
    CHECK(before.expired_unreclaimed_bytes > KEYS / 3 * 120);

    frozen_later(t, 1000);
    while (frozen_advance(t) && t->job.purpose == FE_FROZEN_EXPIRE)
        while (t->busy)
            (void)frozen_advance(t);
    frozen_stop(t);
    fake_clean(t->d);
    frozen_check(t);
    fe_frozen_stats stats = frozen_stats(t);
    size_t marks;
    bool lost;
    (void)fe_store_marks(t->store, &marks, &lost);
    CHECK_INT(stats.expired_keys, marks);
    CHECK(stats.expired_keys > KEYS / 3 && stats.expired_bytes > stats.expired_keys * 112);
    fe_store_stats after;
    fe_store_stats_get(t->store, &after);
    CHECK_INT(stats.expired_keys, after.expired_keys);
    CHECK(after.expired_unreclaimed_bytes < before.expired_unreclaimed_bytes / 8);
    while (fe_store_step_expire(t->store, 10000))
        continue;
    CHECK_INT(KEYS / 2, fe_store_db_size(t->store, 0));
    frozen_check(t);
    frozen_free(t);
}

TEST(a_segment_that_is_sealed_while_its_deadlines_are_measured_is_measured_again)
{
    frozen_fake *t = frozen_new();
    for (uint64_t i = 0; i < KEYS; i++)
        frozen_set(t, 0, i, i % 2 ? START_MS + 1000 : START_MS + 900000000);
    frozen_later(t, 60000);
    CHECK(fe_store_step_expire(t->store, 20) && t->store->expire.walking);
    uint32_t n = fake_log(t->d)->cursor[FE_WALKER_EXPIRE].segment;
    CHECK(fake_is_full(t->d, n));

    fake_map(t->d, n);
    CHECK(fake_log(t->d)->files[n].miscounted);
    fake_freeze_all(t->d);
    for (unsigned i = 0; i < 10000 && (frozen_advance(t) || t->busy); i++)
        if (!t->busy) fake_clean(t->d);
    frozen_stop(t);
    while (fe_store_step_expire(t->store, 10000))
        continue;
    CHECK_INT(KEYS / 2, fe_store_db_size(t->store, 0));
    frozen_check(t);
    frozen_free(t);
}

TEST(short_tags_are_refilled_from_footers)
{
    frozen_fake *t = frozen_new();
    fake_fill(t->d, 0, 1500, FE_DEADLINE_NONE);
    fake_freeze_all(t->d);
    for (uint64_t i = 1500; i < KEYS; i++)
        frozen_set(t, 0, i, FE_DEADLINE_NONE);
    while (fe_store_step_index(t->store, 100))
        continue;
    const fe_index *index = &t->store->databases[0]->index;
    CHECK(index->shorts > 100);
    frozen_later(t, 1000);

    uint64_t shorts = index->shorts;
    CHECK(frozen_jobs(t, FE_FROZEN_REFILL) >= 2);
    CHECK_INT(0, index->shorts);
    CHECK_INT(shorts, frozen_stats(t).refilled);
    frozen_check(t);
    frozen_free(t);
}

TEST(a_tag_that_a_split_shortens_while_its_record_is_being_moved_is_refilled)
{
    frozen_fake *t = frozen_new();
    fake_fill(t->d, 0, 1500, FE_DEADLINE_NONE);
    fake_freeze_all(t->d);
    for (uint64_t i = 0; i < 1500; i++)
        if (i % 4 != 0) CHECK(frozen_del(t, 0, i));
    frozen_later(t, 1000);
    CHECK(fe_frozen_compact_all(t->store));
    while (!t->busy || t->job.stage != FE_FROZEN_RECORDS)
        if (!frozen_advance(t)) break;
    const fe_frozen_job *job = &t->job;
    CHECK(t->busy && job->purpose == FE_FROZEN_COMPACT && job->stage == FE_FROZEN_RECORDS);

    for (uint64_t i = 1500; i < KEYS; i++)
        frozen_set(t, 0, i, FE_DEADLINE_NONE);
    while (fe_store_step_index(t->store, 100))
        continue;
    CHECK(t->store->databases[0]->index.shorts > 30);
    while (t->busy)
        if (!frozen_advance(t)) frozen_later(t, 10);
    CHECK(frozen_stats(t).moved_keys > 0);
    frozen_check(t);
    for (uint64_t i = 0; i < 1500; i += 4)
        CHECK(frozen_has(t, 0, i));
    frozen_free(t);
}

int main(void)
{
    RUN(records_of_a_flushed_database_are_counted_off_in_mixed_segments);
    RUN(segments_of_a_dead_keyspace_go_without_a_read);
    RUN(what_expires_on_disk_goes_without_a_look_at_the_records);
    RUN(a_segment_that_is_sealed_while_its_deadlines_are_measured_is_measured_again);
    RUN(short_tags_are_refilled_from_footers);
    RUN(a_tag_that_a_split_shortens_while_its_record_is_being_moved_is_refilled);
    return check_done();
}
