/* The way of segments to a disk that has no room: it is full as at disk_max, and no dead end. */
#include "tests/store/tier_rig.h"

#define ROOM (1200u << 10)

static void full_open(tiered *t, fe_policy policy, int error)
{
    fe_store_options options = tiered_options();
    options.policy = policy;
    tiered_open(t, options);
    t->faults.room = ROOM;
    t->faults.room_error = error;
}

static void remove_key(tiered *t, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    make_resident(t, 0, name, fe_key_hash(&t->f.seed, name));
    (void)del(&t->f, 0, name);
}

static bool reads(tiered *t, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    make_resident(t, 0, name, fe_key_hash(&t->f.seed, name));
    return has_value(t, i, LEN);
}

static void without_eviction(int error, const char *text)
{
    tiered t;
    full_open(&t, FE_POLICY_NOEVICTION, error);
    uint64_t written = write_on(&t, 0, 6000);

    fe_tier_stats stats = stats_of(&t);
    CHECK(written < 6000);
    CHECK_INT(FE_DISK_FULL, stats.state);
    CHECK_INT(error, stats.no_space);
    CHECK_INT(error, stats.error.code);
    CHECK(!stats.out_of_files && stats.room == stats.file_bytes);
    CHECK_INT(FE_NO_MEMORY, fe_store_make_room(t.f.store)); /* what only removes is let through */
    CHECK(fe_store_is_disk_full(t.f.store));
    CHECK_INT(0, strcmp(text, fe_store_disk_error(t.f.store)));

    for (uint64_t i = 0; i < written; i++)
        if (i % 4 != 0) remove_key(&t, i);
    CHECK_INT(written / 2, write_on(&t, 10000, written / 2));
    for (uint64_t i = 0; i < written; i += 4)
        CHECK(reads(&t, i));
    CHECK(t.faults.taken <= ROOM);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(without_eviction_what_is_deleted_makes_room_again)
{
    without_eviction(ENOSPC, "the disk of storage.data_dir is full: No space left on device");
    without_eviction(EDQUOT, "the disk of storage.data_dir is full: Disk quota exceeded");
}

static void with_eviction(int error)
{
    tiered t;
    full_open(&t, FE_POLICY_ALLKEYS_LRU, error);

    CHECK_INT(8000, write_on(&t, 0, 8000));

    fe_frozen_stats frozen;
    fe_frozen_stats_get(t.f.store, &frozen);
    CHECK(frozen.evicted_keys > 4000);
    CHECK(stats_of(&t).errors >= 1);
    CHECK(stats_of(&t).file_bytes > ROOM / 2);
    for (uint64_t i = 7800; i < 8000; i++)
        CHECK(reads(&t, i));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(with_eviction_the_oldest_keys_go_and_writes_go_on)
{
    with_eviction(ENOSPC);
    with_eviction(EDQUOT);
}

TEST(room_from_outside_is_used_by_itself)
{
    tiered t;
    full_open(&t, FE_POLICY_NOEVICTION, ENOSPC);
    uint64_t written = write_on(&t, 0, 6000);
    CHECK(written < 6000);
    CHECK_INT(FE_NO_MEMORY, fe_store_make_room(t.f.store));

    t.faults.room = 0;
    fe_store_set_now(t.f.store, fe_store_now(t.f.store) + 1000);
    CHECK(flush_sealed(&t));

    CHECK_INT(FE_DISK_OK, stats_of(&t).state);
    CHECK_INT(1000, write_on(&t, written, 1000));
    for (uint64_t i = 0; i < written + 1000; i += 7)
        CHECK(reads(&t, i));
    tiered_close(&t);
}

TEST(a_cache_grows_again_when_others_give_room_back)
{
    tiered t;
    full_open(&t, FE_POLICY_ALLKEYS_LRU, ENOSPC);
    CHECK_INT(4000, write_on(&t, 0, 4000));
    CHECK(stats_of(&t).room != 0 && stats_of(&t).room <= ROOM);

    t.faults.room = 0;
    fe_store_set_now(t.f.store, fe_store_now(t.f.store) + 10000);

    CHECK_INT(0, stats_of(&t).room);
    CHECK_INT(4000, write_on(&t, 4000, 4000));
    CHECK(stats_of(&t).file_bytes > 2 * ROOM);
    tiered_close(&t);
}

/* Each try writes as much of a file as there is room, in vain. */
TEST(no_file_is_tried_before_enough_has_gone_or_a_second_has)
{
    tiered t;
    full_open(&t, FE_POLICY_NOEVICTION, ENOSPC);
    (void)write_on(&t, 0, 6000);
    fe_store_set_now(t.f.store, fe_store_now(t.f.store) + 1000);
    CHECK(!flush_sealed(&t));
    uint64_t tries = t.faults.no_rooms;
    (void)flush_sealed(&t);
    CHECK_INT(tries, t.faults.no_rooms);

    fe_tiers *tiers = t.f.store->tiers;
    tiers->wanted = tiers->room.bytes; /* of a long value, more than any file here */
    fe_log_drop(&t.f.store->log, t.f.store->log.tiers[FE_TIER_DISK].oldest);
    run_jobs(&t);
    CHECK(tiers->retry_ms > fe_store_now(t.f.store));

    tiers->wanted = 4096;
    fe_log_drop(&t.f.store->log, t.f.store->log.tiers[FE_TIER_DISK].oldest);
    run_jobs(&t);
    CHECK_INT(fe_store_now(t.f.store), tiers->retry_ms);
    CHECK(flush_sealed(&t) || stats_of(&t).state == FE_DISK_FULL);
    fe_index_reset(&t.f.store->databases[0]->index); /* it named what was dropped */
    tiered_close(&t);
}

/* As a command does it. */
static void write_volatile(tiered *t)
{
    name_buf buf;
    static const uint8_t value[LEN];
    fe_bytes name = name_of(&buf, 1u << 20);
    make_resident(t, 0, name, fe_key_hash(&t->f.seed, name));
    CHECK(set(&t->f, 0, name, (fe_bytes){value, LEN}, START_MS + 1000000000));
}

static void without_prey(fe_policy policy, uint64_t disk_max)
{
    tiered t;
    full_open(&t, policy, ENOSPC);
    fe_store_options options = *fe_store_get_options(t.f.store);
    options.disk_max = disk_max;
    fe_store_set_options(t.f.store, &options);
    uint64_t written = 0, more = 1;
    for (; written < 6000 && more != 0; written += more) {
        write_volatile(&t); /* so it never leaves memory */
        more = write_on(&t, written, 50) == 50 ? 50 : 0;
    }

    CHECK(written < 6000);
    CHECK_INT(FE_DISK_FULL, stats_of(&t).state);
    CHECK(t.f.store->keyspaces[0].expires == 1 && !fe_frozen_can_evict(t.f.store));
    CHECK_INT(FE_NO_MEMORY, fe_store_make_room(t.f.store));

    t.faults.room += 1u << 20;
    options.disk_max += disk_max != 0 ? 1u << 20 : 0;
    fe_store_set_options(t.f.store, &options);
    CHECK(write_on(&t, 6000, 6000) < 6000); /* by then it is on disk */
    fe_frozen_stats frozen;
    fe_frozen_stats_get(t.f.store, &frozen);
    CHECK_INT(1, frozen.evicted_keys);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(nobody_waits_for_the_eviction_of_what_is_in_memory_only)
{
    without_prey(FE_POLICY_VOLATILE_LRU, 0);
    without_prey(FE_POLICY_VOLATILE_LRU, ROOM);
    without_prey(FE_POLICY_VOLATILE_TTL, 0);
}

/* What is kept free is less than the file takes. */
static void with_long_values(uint64_t disk_max)
{
    static uint8_t value[700000];
    tiered t;
    full_open(&t, FE_POLICY_ALLKEYS_LRU, ENOSPC);
    fe_store_options options = *fe_store_get_options(t.f.store);
    options.disk_max = disk_max;
    t.faults.room = disk_max == 0 ? 2u << 20 : 0;
    fe_store_set_options(t.f.store, &options);
    for (uint64_t i = 0; i < 12; i++) {
        name_buf name;
        CHECK_INT(300, write_on(&t, i * 300, 300));
        CHECK(set(&t.f, 0, name_of(&name, 10000 + i), (fe_bytes){value, sizeof value},
                  FE_DEADLINE_NONE));
    }
    CHECK_INT(1000, write_on(&t, 20000, 1000));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(as_much_is_evicted_as_a_long_value_needs)
{
    with_long_values(2u << 20);
    with_long_values(0);
}

TEST(a_value_that_never_fits_is_waited_for_by_nobody)
{
    static uint8_t value[3u << 20];
    tiered t;
    name_buf name;
    fe_store_options options = tiered_options();
    options.policy = FE_POLICY_ALLKEYS_LRU;
    options.disk_max = 2u << 20;
    tiered_open(&t, options);
    CHECK_INT(2000, write_on(&t, 0, 2000));
    CHECK(set(&t.f, 0, name_of(&name, 10000), (fe_bytes){value, sizeof value}, FE_DEADLINE_NONE));

    CHECK(write_on(&t, 2000, 2000) < 2000);
    CHECK_INT(FE_NO_MEMORY, fe_store_make_room(t.f.store));
    fe_tier_stats stats = stats_of(&t);
    CHECK(stats.state == FE_DISK_FULL && stats.file_bytes > options.disk_max / 2);

    CHECK(del(&t.f, 0, name_of(&name, 10000)));
    CHECK_INT(2000, write_on(&t, 4000, 2000));
    tiered_close(&t);
}

/* What is in memory is lost if the disk is not asked. */
TEST(at_a_stop_the_disk_is_asked_for_each_file)
{
    tiered t;
    bool room_short;
    full_open(&t, FE_POLICY_NOEVICTION, ENOSPC);
    (void)write_on(&t, 0, 6000);
    CHECK(fe_tiers_file_max(t.f.store, &room_short) < FE_SEGMENT_MIN && room_short);

    t.f.store->tiers->leaving = true;
    CHECK_INT(UINT64_MAX, fe_tiers_file_max(t.f.store, &room_short));
    CHECK(!room_short);
    tiered_close(&t);
}

TEST(a_disk_max_that_is_lower_than_the_disk_counts)
{
    tiered t;
    full_open(&t, FE_POLICY_NOEVICTION, ENOSPC);
    (void)write_on(&t, 0, 6000);
    uint64_t room = stats_of(&t).room;
    CHECK_INT(room, fe_tiers_bytes_max(t.f.store));
    fe_store_options options = *fe_store_get_options(t.f.store);
    options.disk_max = room / 2;
    fe_store_set_options(t.f.store, &options);
    CHECK_INT(room / 2, fe_tiers_bytes_max(t.f.store));
    options.disk_max = room * 2;
    fe_store_set_options(t.f.store, &options);
    CHECK_INT(room, fe_tiers_bytes_max(t.f.store));
    tiered_close(&t);
}

int main(void)
{
    RUN(without_eviction_what_is_deleted_makes_room_again);
    RUN(with_eviction_the_oldest_keys_go_and_writes_go_on);
    RUN(room_from_outside_is_used_by_itself);
    RUN(a_cache_grows_again_when_others_give_room_back);
    RUN(no_file_is_tried_before_enough_has_gone_or_a_second_has);
    RUN(nobody_waits_for_the_eviction_of_what_is_in_memory_only);
    RUN(as_much_is_evicted_as_a_long_value_needs);
    RUN(a_value_that_never_fits_is_waited_for_by_nobody);
    RUN(at_a_stop_the_disk_is_asked_for_each_file);
    RUN(a_disk_max_that_is_lower_than_the_disk_counts);
    return check_done();
}
