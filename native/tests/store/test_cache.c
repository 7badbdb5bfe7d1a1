/* The read cache: what it keeps, drops, carries and holds. */
#include "store/compact.h"
#include "store/tier.h"
#include "tests/store/disk_fake.h"

static bool is_cached(fake_disk *d, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    fe_record *record;
    uint64_t hash = fe_key_hash(&d->f.seed, name);
    uint64_t *slot = fe_index_find(&d->f.store->databases[0]->index, name, hash, &record);
    return slot != NULL && fe_cache_holds(fake_log(d), fe_slot_address(*slot));
}

static bool is_in_main(fake_disk *d, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    fe_record *record;
    uint64_t hash = fe_key_hash(&d->f.seed, name);
    uint64_t *slot = fe_index_find(&d->f.store->databases[0]->index, name, hash, &record);
    if (slot == NULL || !fe_cache_holds(fake_log(d), fe_slot_address(*slot))) return false;
    return (fe_cache_head(fake_log(d), fe_slot_address(*slot)) & FE_CACHE_IN_MAIN) != 0;
}

static void bring(fake_disk *d, uint64_t i, fe_waiter *waiter)
{
    name_buf buf;
    while (!fake_fetch(d, name_of(&buf, i), FE_NEED_READ, waiter))
        fake_complete_all(d);
}

/* GET of a key of fake_fill: brought into memory, and read. */
static void get(fake_disk *d, uint64_t i)
{
    fe_waiter waiter = {.wake = NULL};
    bring(d, i, &waiter);
    CHECK(fake_has(d, i));
    fe_waiter_close(d->f.store, &waiter);
}

/* GET of any key. */
static const fe_record *get_record(fake_disk *d, uint64_t i)
{
    fe_waiter waiter = {.wake = NULL};
    name_buf buf;
    fe_key key;
    bring(d, i, &waiter);
    find(&d->f, 0, name_of(&buf, i), &key);
    CHECK(fe_key_exists(&key));
    fe_waiter_close(d->f.store, &waiter);
    return key.record;
}

/* `keys` keys of about 120 bytes, those of full segments on disk. */
static fake_disk *cold_store(uint64_t keys, uint64_t budget)
{
    fake_disk *d = fake_new();
    fe_cache_set_budget(d->f.store, budget);
    fake_fill(d, 0, keys, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    CHECK(fake_is_cold(d, 0));
    return d;
}

TEST(what_is_read_from_disk_again_after_it_was_dropped_goes_to_main)
{
    fake_disk *d = cold_store(40000, 1 << 20);
    get(d, 7);
    CHECK(is_cached(d, 7) && !is_in_main(d, 7));
    for (uint64_t i = 1000; !fake_is_cold(d, 7); i++)
        get(d, i);
    get(d, 7);
    CHECK(is_in_main(d, 7));
    check_store(&d->f);
    fake_free(d);
}

TEST(the_read_that_brought_a_copy_does_not_keep_it_a_second_one_does)
{
    fake_disk *d = cold_store(40000, 1 << 20);
    get(d, 7);
    get(d, 8);
    get(d, 8);
    for (uint64_t i = 1000; !fake_is_cold(d, 7); i++)
        get(d, i);
    CHECK(is_in_main(d, 8));
    check_store(&d->f);
    fake_free(d);
}

TEST(a_scan_of_everything_leaves_what_is_read_often_in_memory)
{
    fake_disk *d = cold_store(40000, 1 << 20);
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t i = 0; i < 500; i++)
            get(d, i);
    uint64_t kept = 0;
    for (uint64_t i = 1000; i < 30000; i++)
        get(d, i);
    for (uint64_t i = 0; i < 500; i++)
        kept += is_cached(d, i);
    CHECK(kept > 450);
    CHECK(fe_cache_bytes(d->f.store) <= (1 << 20) + (128 << 10));
    check_store(&d->f);
    fake_free(d);
}

TEST(puts_pay_for_the_budget_and_steps_follow_a_smaller_one)
{
    fake_disk *d = cold_store(40000, 1 << 20);
    for (uint64_t i = 0; i < 20000; i++) {
        get(d, i);
        CHECK(fe_cache_bytes(d->f.store) <= (1 << 20) + (128 << 10));
    }
    fe_cache_set_budget(d->f.store, 200000);
    unsigned steps = 0;
    while (fe_cache_step(d->f.store, 4096))
        CHECK(++steps < 1000);
    CHECK(fe_cache_bytes(d->f.store) <= 200000);
    CHECK(steps > 50); /* bounded each */
    check_store(&d->f);
    fe_cache_set_budget(d->f.store, 0);
    while (fe_cache_step(d->f.store, 4096))
        continue;
    CHECK_INT(0, fe_cache_bytes(d->f.store));
    CHECK_INT(40000, fe_store_db_size(d->f.store, 0));
    check_store(&d->f);
    fake_free(d);
}

TEST(all_marked_the_hand_still_makes_room)
{
    fake_disk *d = cold_store(40000, 1 << 20);
    for (uint64_t i = 0; i < 6000; i++)
        for (unsigned reads = 0; reads < 5; reads++)
            get(d, i);
    for (uint64_t i = 0; i < 40000; i++) {
        if (is_cached(d, i))
            for (unsigned reads = 0; reads < 4; reads++)
                get(d, i);
    }
    for (uint64_t i = 10000; i < 12000; i++) {
        get(d, i);
        CHECK(fe_cache_bytes(d->f.store) <= (1 << 20) + (256 << 10));
    }
    check_store(&d->f);
    fake_free(d);
}

TEST(what_came_since_a_waiter_opened_stays_until_it_closes)
{
    fake_disk *d = cold_store(40000, 256 << 10);
    fe_waiter waiter = {.wake = NULL};
    name_buf buf;
    bool all;
    unsigned rounds = 0;
    do { /* far more than the budget, all at once */
        all = true;
        for (uint64_t i = 0; i < 10000; i++)
            all &= fake_fetch(d, name_of(&buf, i), FE_NEED_READ, &waiter);
        fake_complete_all(d);
        CHECK(++rounds <= 2);
    } while (!all && rounds < 5);
    for (uint64_t i = 0; i < 10000; i++)
        CHECK(fake_has(d, i));
    CHECK(fe_cache_bytes(d->f.store) > 1000000);
    fe_waiter_close(d->f.store, &waiter);
    while (fe_cache_step(d->f.store, 1 << 20))
        continue;
    CHECK(fe_cache_bytes(d->f.store) <= 256 << 10);
    check_store(&d->f);
    fake_free(d);
}

TEST(a_segment_that_leaves_memory_has_what_was_read_in_it_carried_to_main)
{
    fake_disk *d = fake_new();
    fe_cache_set_budget(d->f.store, 1 << 20);
    fake_fill(d, 0, 5000, FE_DEADLINE_NONE);
    for (uint32_t n = 1; n <= fake_log(d)->high; n++)
        if (fake_is_full(d, n)) fake_map(d, n);
    for (uint64_t i = 100; i < 110; i++)
        CHECK(fake_has(d, i)); /* read where it is mapped */
    fe_key key;
    name_buf buf;
    find(&d->f, 0, name_of(&buf, 105), &key);
    fe_store_set_now(d->f.store, START_MS + 5000);
    fake_freeze_all(d);
    for (uint64_t i = 100; i < 110; i++)
        CHECK(is_in_main(d, i) && fake_has(d, i));
    CHECK(fake_is_cold(d, 300));
    get(d, 300); /* the ghost has heard of it */
    CHECK(is_in_main(d, 300));
    find(&d->f, 0, name_of(&buf, 100), &key);
    CHECK_INT(0, fe_key_idle_seconds(&key));
    check_store(&d->f);
    fake_free(d);
}

TEST(an_update_inherits_warmth)
{
    fake_disk *d = cold_store(5000, 1 << 20);
    name_buf buf;
    fe_bytes value = FE_BYTES("new");
    for (unsigned i = 0; i < 3; i++)
        get(d, 7);
    CHECK(set(&d->f, 0, name_of(&buf, 7), value, FE_DEADLINE_NONE));
    fe_key key;
    fe_key_find(d->f.store, 0, name_of(&buf, 7), fe_key_hash(&d->f.seed, name_of(&buf, 7)), true,
                &key);
    CHECK(fe_key_is_mutable(&key));
    CHECK(fe_log_touched(fake_log(d), key.address) >= 2);
    check_store(&d->f);
    fake_free(d);
}

TEST(writing_deleting_and_expiring_a_cached_key_kill_copy_and_home)
{
    fake_disk *d = fake_new();
    fe_cache_set_budget(d->f.store, 1 << 20);
    fake_fill(d, 0, 3000, START_MS + 100);
    fake_freeze_all(d);
    name_buf buf;
    uint64_t live = fake_log(d)->tiers[FE_TIER_DISK].live;
    for (uint64_t i = 0; i < 3; i++)
        get(d, i);
    CHECK(set(&d->f, 0, name_of(&buf, 0), FE_BYTES("x"), FE_DEADLINE_NONE));
    CHECK(del(&d->f, 0, name_of(&buf, 1)));
    fe_store_set_now(d->f.store, START_MS + 101);
    CHECK(!exists(&d->f, 0, name_of(&buf, 2)));
    CHECK_INT(0, fake_log(d)->tiers[FE_TIER_CACHE].live);
    CHECK(live - fake_log(d)->tiers[FE_TIER_DISK].live >= 3 * 120);
    check_store(&d->f);
    fake_free(d);
}

TEST(without_memory_for_a_copy_the_reader_is_told_and_the_slot_keeps_its_home)
{
    fake_disk *d = cold_store(5000, 1 << 20);
    fe_waiter waiter = {.wake = NULL};
    name_buf buf;
    CHECK(!fake_fetch(d, name_of(&buf, 7), FE_NEED_READ, &waiter));
    fake_submit(d);
    fe_alloc_fail_after(&d->f.alloc, 0);
    fake_complete(d, 0, FAKE_GOOD);
    fe_alloc_fail_after(&d->f.alloc, -1);
    CHECK_INT(ENOMEM, waiter.error);
    CHECK(fake_is_cold(d, 7));
    fe_waiter_close(d->f.store, &waiter);
    check_store(&d->f);
    get(d, 7);
    fake_free(d);
}

/* FLUSHALL of what is empty already begins no sweep; a later one must not take what was read since. */
TEST(a_sweep_takes_no_copy_that_was_made_after_a_flush_of_nothing)
{
    fake_disk *d = cold_store(5000, 1 << 20);
    fe_store *store = d->f.store;
    for (uint64_t i = 0; i < 50; i++)
        get(d, i);
    CHECK_INT(FE_OK, fe_store_flush(store, 0, false));
    while (fe_compact_sweep(store, 1 << 20))
        continue;
    fake_clean(d);
    CHECK_INT(FE_OK, fe_store_flush_all(store, false));

    fake_fill(d, 0, 5000, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    for (uint64_t i = 0; i < 50; i++)
        get(d, i);
    name_buf buf;
    for (uint64_t i = 0; i < 1000; i++)
        CHECK(set(&d->f, 1, name_of(&buf, i), FE_BYTES("elsewhere"), FE_DEADLINE_NONE));
    CHECK_INT(FE_OK, fe_store_flush(store, 1, false));
    while (fe_compact_sweep(store, 1 << 20))
        continue;
    fake_clean(d);
    check_store(&d->f);
    for (uint64_t i = 0; i < 50; i++)
        CHECK(is_cached(d, i) && fake_has(d, i));
    fake_free(d);
}

static void write_long(fake_disk *d, uint64_t i, size_t len)
{
    name_buf buf;
    fe_key key;
    find(&d->f, 0, name_of(&buf, i), &key);
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, FE_DEADLINE_NONE);
    memset(at, (int)i, len);
}

TEST(a_key_that_was_only_looked_at_has_been_idle_since_it_was_frozen)
{
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        fake_disk *d = fake_new();
        fe_cache_set_budget(d->f.store, 1 << 20);
        fake_fill(d, 0, 5000, FE_DEADLINE_NONE);
        for (uint32_t n = 1; n <= fake_log(d)->high; n++) {
            fake_log(d)->files[n].frozen_ms = START_MS + 10000;
            if (fake_is_full(d, n)) fake_map(d, n);
        }
        if (!mapped) fake_freeze_all(d);
        fe_store_set_now(d->f.store, START_MS + 100000);

        fe_waiter waiter = {.wake = NULL};
        name_buf buf;
        fe_key key;
        fe_bytes name = name_of(&buf, 7);
        bring(d, 7, &waiter);
        fe_key_find(d->f.store, 0, name, fe_key_hash(&d->f.seed, name), true, &key);
        CHECK_INT(90, fe_key_idle_seconds(&key));
        find(&d->f, 0, name, &key);
        CHECK_INT(mapped ? 90 : 0, fe_key_idle_seconds(&key)); /* a mapped one only counts reads */
        fe_waiter_close(d->f.store, &waiter);
        fake_free(d);
    }
}

/* 8 MB would take some milliseconds under the lock. */
TEST(a_long_record_is_kept_where_it_is_and_goes_from_ring_to_ring_with_its_segment)
{
    enum { LEN = 8 << 20, BUDGET = 12 << 20 };
    fake_disk *d = fake_new();
    write_long(d, 1, LEN);
    write_long(d, 2, LEN);
    fake_fill(d, 100, 2000, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    fe_cache_set_budget(d->f.store, BUDGET);
    (void)get_record(d, 1);
    const fe_record *before = get_record(d, 1); /* once more than it was read for: a mark */
    CHECK(is_cached(d, 1) && !is_in_main(d, 1));

    (void)get_record(d, 2); /* no room for both */
    while (fe_cache_step(d->f.store, 1 << 10))
        check_store(&d->f);
    CHECK(is_in_main(d, 1));
    CHECK(get_record(d, 1) == before);
    CHECK(fe_record_value(before).len == LEN && fe_record_value(before).ptr[LEN - 1] == 1);
    CHECK(fe_cache_bytes(d->f.store) <= BUDGET);
    check_store(&d->f);

    for (unsigned i = 0; i < 3; i++) /* MAIN's hand keeps it as well, while it has marks */
        (void)get_record(d, 1);
    fe_cache_set_budget(d->f.store, 0);
    while (fe_cache_step(d->f.store, 1 << 10))
        check_store(&d->f);
    CHECK_INT(0, fe_cache_bytes(d->f.store));
    CHECK(fake_is_cold(d, 1) && fake_is_cold(d, 2));
    fake_free(d);
}

TEST(a_long_record_that_leaves_memory_is_not_copied_and_comes_back_to_main)
{
    fake_disk *d = fake_new();
    fe_cache_set_budget(d->f.store, 32 << 20);
    write_long(d, 1, 8 << 20);
    write_long(d, 2, 500000);
    for (uint32_t n = 1; n <= fake_log(d)->high; n++)
        if (fake_is_full(d, n)) fake_map(d, n);
    (void)get_record(d, 1); /* read where they are mapped */
    (void)get_record(d, 2);
    fake_freeze_all(d);
    CHECK(fake_is_cold(d, 1) && is_in_main(d, 2));
    (void)get_record(d, 1);
    CHECK(is_in_main(d, 1));
    check_store(&d->f);
    fake_free(d);
}

/* What the worker does with segments that nothing reaches: their memory is used again. */
static void clean_to_spares(fake_disk *d)
{
    fe_log *log = fake_log(d);
    fe_dead_job job;
    while (fe_tier_dead_take(d->f.store, &job)) {
        free(d->files[job.map.fd - 1].image);
        log->files[job.map.segment].fd = -1;
        fe_log_dead_give(log, job.map.segment);
    }
}

static bool is_spare(const fe_log *log, const void *memory)
{
    for (uint32_t i = 0; i < log->spare_count; i++)
        if (log->spare[i].ptr == memory) return true;
    return false;
}

/* In a database that has nothing on disk: no key of it must be looked up there first. */
static void fill_elsewhere(fake_disk *d, uint64_t first, uint64_t count)
{
    name_buf buf;
    char text[100] = "elsewhere";
    for (uint64_t i = first; i < first + count; i++)
        CHECK(set(&d->f, 1, name_of(&buf, i), (fe_bytes){(const uint8_t *)text, sizeof text},
                  FE_DEADLINE_NONE));
}

enum death { BY_DEL, BY_SET, BY_FLUSH };

/* A value of a shared segment of the read cache is read without the lock (`lent`) while all that lives there dies
 * and more is written than was before. */
static void kill_what_is_read(enum death death, bool lent)
{
    enum { FIRST = 100, COUNT = 10 };
    fake_disk *d = fake_new();
    fe_log *log = fake_log(d);
    fe_cache_set_budget(d->f.store, 1 << 20);
    fake_fill(d, 0, 20000, FE_DEADLINE_NONE);
    for (uint32_t n = 1; n <= log->high; n++)
        if (fake_is_full(d, n)) fake_map(d, n);
    for (uint64_t i = FIRST; i < FIRST + COUNT; i++)
        CHECK(fake_has(d, i)); /* read where it is mapped, so it is carried */
    fake_freeze_all(d);
    CHECK(is_cached(d, FIRST));

    name_buf buf;
    fe_key key;
    fe_hold hold = {.ptr = NULL};
    find(&d->f, 0, name_of(&buf, FIRST), &key);
    const void *memory = fe_log_segment(log, key.address)->base;
    fe_bytes value = fe_record_value(key.record);
    uint8_t expected[128];
    FE_ASSERT(value.len <= sizeof expected);
    memcpy(expected, value.ptr, value.len);
    if (lent) CHECK(fe_key_lend(&key, &hold));

    for (uint64_t i = FIRST; death != BY_FLUSH && i < FIRST + COUNT; i++) {
        fe_bytes name = name_of(&buf, i);
        CHECK(death == BY_DEL ? del(&d->f, 0, name)
                              : set(&d->f, 0, name, FE_BYTES("new"), FE_DEADLINE_NONE));
    }
    if (death == BY_FLUSH) CHECK_INT(FE_OK, fe_store_flush_all(d->f.store, true));
    fill_elsewhere(d, 0, 10000); /* a log that keeps spares */
    clean_to_spares(d);
    /* Without a reader it would be written over: that is what this is about. */
    CHECK(is_spare(log, memory) == !lent);
    fill_elsewhere(d, 10000, 30000);
    if (lent) {
        CHECK_BYTES((const char *)expected, value.len, (const char *)value.ptr, value.len);
        uint64_t bytes = d->f.store->trash.bytes;
        fe_store_release(d->f.store, &hold);
        CHECK_INT(bytes + FE_SEGMENT_MIN, d->f.store->trash.bytes);
    }
    check_store(&d->f);
    fake_free(d);
}

TEST(a_shared_segment_that_is_read_is_not_written_over_when_all_in_it_has_died)
{
    for (unsigned lent = 0; lent < 2; lent++) {
        kill_what_is_read(BY_DEL, lent);
        kill_what_is_read(BY_SET, lent);
        kill_what_is_read(BY_FLUSH, lent);
    }
}

int main(void)
{
    RUN(a_shared_segment_that_is_read_is_not_written_over_when_all_in_it_has_died);
    RUN(a_key_that_was_only_looked_at_has_been_idle_since_it_was_frozen);
    RUN(a_long_record_is_kept_where_it_is_and_goes_from_ring_to_ring_with_its_segment);
    RUN(a_long_record_that_leaves_memory_is_not_copied_and_comes_back_to_main);
    RUN(what_is_read_from_disk_again_after_it_was_dropped_goes_to_main);
    RUN(the_read_that_brought_a_copy_does_not_keep_it_a_second_one_does);
    RUN(a_scan_of_everything_leaves_what_is_read_often_in_memory);
    RUN(puts_pay_for_the_budget_and_steps_follow_a_smaller_one);
    RUN(all_marked_the_hand_still_makes_room);
    RUN(what_came_since_a_waiter_opened_stays_until_it_closes);
    RUN(a_sweep_takes_no_copy_that_was_made_after_a_flush_of_nothing);
    RUN(a_segment_that_leaves_memory_has_what_was_read_in_it_carried_to_main);
    RUN(an_update_inherits_warmth);
    RUN(writing_deleting_and_expiring_a_cached_key_kill_copy_and_home);
    RUN(without_memory_for_a_copy_the_reader_is_told_and_the_slot_keeps_its_home);
    return check_done();
}
