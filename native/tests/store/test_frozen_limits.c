/* Jobs where room is scarce: what is evicted from disk, and what waits or has to be paid for. */
#include "tests/store/frozen_rig.h"

static frozen_fake *limited_store(fe_policy policy, bool deadlines)
{
    fe_store_options options = fixture_options();
    options.policy = policy;
    frozen_fake *t = frozen_open(&options);
    for (uint64_t i = 0; i < KEYS; i++)
        frozen_set(t, 0, i, deadlines && i % 2 == 0 ? START_MS + 1000000 + (int64_t)i * 1000 : 0);
    fake_freeze_all(t->d);
    frozen_later(t, 1000);
    return t;
}

static uint64_t file_bytes(const frozen_fake *t)
{
    const fe_log *log = &t->store->log;
    uint64_t bytes = 0;
    for (uint32_t n = 1; n <= log->high; n++)
        bytes += log->files[n].size;
    return bytes;
}

/* Jobs until the files take no more than 3/4 of `max` (the reserve of so small a limit). */
static void squeeze(frozen_fake *t, uint64_t max)
{
    for (unsigned i = 0; i < 100000; i++) {
        fe_frozen_disk disk = {.bytes = file_bytes(t), .max = max};
        fe_frozen_tell(t->store, &disk);
        if (disk.bytes <= max / 4 * 3) return;
        if (!frozen_advance(t)) frozen_later(t, 10);
        if (!t->busy) fake_clean(t->d);
    }
    CHECK(!"the disk stays full");
}

TEST(allkeys_evicts_the_oldest_and_moves_what_was_read)
{
    frozen_fake *t = limited_store(FE_POLICY_ALLKEYS_LRU, false);
    fe_store_set_interest(t->store, true);
    CHECK(frozen_has(t, 0, 3));                                           /* in the read cache */
    fe_log_touch(fake_log(t->d), fe_slot_address(*frozen_slot(t, 0, 5))); /* read in its segment */

    squeeze(t, file_bytes(t));
    frozen_stop(t);
    frozen_check(t);
    fe_frozen_stats stats = frozen_stats(t);
    fe_store_stats all;
    fe_store_stats_get(t->store, &all);
    size_t marks;
    bool lost;
    (void)fe_store_marks(t->store, &marks, &lost);
    CHECK_INT(stats.evicted_keys, all.evicted_keys);
    CHECK_INT(stats.evicted_keys, marks);
    CHECK(stats.evicted_keys > KEYS / 8 && stats.evicted_keys < KEYS / 2);
    CHECK_INT(2, stats.moved_keys);
    CHECK(frozen_has(t, 0, 3) && frozen_has(t, 0, 5) && !frozen_has(t, 0, 4) &&
          !frozen_has(t, 0, 6));
    CHECK(frozen_has(t, 0, KEYS - 1) && frozen_has(t, 0, KEYS / 2));
    CHECK_INT(KEYS - stats.evicted_keys, fe_store_db_size(t->store, 0));
    frozen_free(t);
}

TEST(volatile_policies_evict_keys_with_a_deadline_only)
{
    static const fe_policy policies[] = {FE_POLICY_VOLATILE_LRU, FE_POLICY_VOLATILE_TTL};
    for (unsigned p = 0; p < 2; p++) {
        frozen_fake *t = limited_store(policies[p], true);

        squeeze(t, file_bytes(t) - file_bytes(t) / 16);
        frozen_stop(t);
        frozen_check(t);
        CHECK(frozen_stats(t).evicted_keys > KEYS / 16);
        for (uint64_t i = 1; i < KEYS; i += 2)
            CHECK(frozen_has(t, 0, i));
        /* the sooner, or the older, go first; both are those with low numbers here */
        CHECK(!frozen_has(t, 0, 0) && !frozen_has(t, 0, 100));
        CHECK(frozen_has(t, 0, KEYS - 2));
        frozen_free(t);
    }
}

TEST(volatile_ttl_takes_the_soonest_wherever_they_are)
{
    fe_store_options options = fixture_options();
    options.policy = FE_POLICY_VOLATILE_TTL;
    frozen_fake *t = frozen_open(&options);
    for (uint64_t i = 0; i < KEYS; i++) /* every segment has all sorts */
        frozen_set(t, 0, i, START_MS + 60000 + (int64_t)(i * 7919 % KEYS) * 100000);
    fake_freeze_all(t->d);
    frozen_later(t, 1000);

    squeeze(t, file_bytes(t));
    frozen_stop(t);
    frozen_check(t);
    uint64_t late = 0;
    for (uint64_t i = 0; i < KEYS; i++)
        if (i * 7919 % KEYS >= KEYS / 2) late += frozen_has(t, 0, i);
    CHECK(frozen_stats(t).evicted_keys > KEYS / 8);
    CHECK_INT(KEYS / 2, late);
    frozen_free(t);
}

TEST(noeviction_evicts_nothing)
{
    frozen_fake *t = limited_store(FE_POLICY_NOEVICTION, true);
    fe_frozen_disk disk = {.bytes = 1 << 20, .max = 1 << 20, .full = true};
    fe_frozen_tell(t->store, &disk);

    CHECK(!fe_frozen_can_evict(t->store));
    CHECK(!frozen_advance(t));
    frozen_later(t, 10000);
    CHECK(!frozen_advance(t));
    frozen_free(t);
}

TEST(compaction_waits_while_the_flush_is_behind)
{
    frozen_fake *t = victims();
    tell_scarce(t, true);
    CHECK(!frozen_advance(t));
    tell_scarce(t, false);
    CHECK(frozen_advance(t));
    tell_scarce(t, true);
    while (frozen_advance(t))
        continue;
    CHECK(t->busy && t->next == FE_FROZEN_WAIT);
    uint64_t moved = frozen_stats(t).moved_keys;

    tell_scarce(t, false);
    frozen_later(t, 10);
    CHECK(frozen_advance(t));
    while (t->busy)
        (void)frozen_advance(t);
    CHECK(frozen_stats(t).moved_keys > moved);
    fake_clean(t->d);
    frozen_check(t);

    CHECK(frozen_advance(t)); /* one that waits for too long gives way */
    tell_scarce(t, true);
    while (frozen_advance(t))
        continue;
    frozen_later(t, 10000);
    (void)frozen_advance(t);
    CHECK(!t->busy);
    frozen_check(t);
    frozen_free(t);
}

TEST(moving_is_paid_for_by_time_and_writes)
{
    frozen_fake *t = victims();
    fe_frozen_tell(t->store, &(fe_frozen_disk){0});
    t->store->frozen.move_credit = -1;
    t->store->frozen.credit_ms = fe_store_now(t->store);
    t->store->frozen.appended = fake_log(t->d)->appended;
    CHECK(!frozen_advance(t));
    for (uint64_t i = KEYS; i < KEYS + 10; i++)
        frozen_set(t, 0, i, FE_DEADLINE_NONE);
    CHECK(frozen_advance(t));
    frozen_free(t);
}

int main(void)
{
    RUN(allkeys_evicts_the_oldest_and_moves_what_was_read);
    RUN(volatile_policies_evict_keys_with_a_deadline_only);
    RUN(volatile_ttl_takes_the_soonest_wherever_they_are);
    RUN(noeviction_evicts_nothing);
    RUN(compaction_waits_while_the_flush_is_behind);
    RUN(moving_is_paid_for_by_time_and_writes);
    return check_done();
}
