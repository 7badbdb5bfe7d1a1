/* Jobs over segments on disk: what is dead, expired, damaged or in the way, one purpose after the
 * other. */
#include "tests/store/frozen_fake.h"

#define KEYS 4000u

/* Keys 0..KEYS-1 in database 0, those of full segments on disk. */
static frozen_fake *cold_store(int64_t deadline)
{
    frozen_fake *t = frozen_new();
    fake_fill(t->d, 0, KEYS, deadline);
    fake_freeze_all(t->d);
    CHECK(fake_is_cold(t->d, 0) && fake_is_cold(t->d, KEYS / 2));
    frozen_later(t, 1000);
    return t;
}

static void check_keys(frozen_fake *t, uint32_t db, uint64_t first, uint64_t step)
{
    for (uint64_t i = first; i < KEYS; i += step)
        CHECK(frozen_has(t, db, i));
}

/* A byte of the key's record in its file. */
static uint8_t *record_byte(frozen_fake *t, uint64_t i, uint64_t at)
{
    fe_address home = fe_slot_address(*frozen_slot(t, 0, i));
    uint32_t n = fe_address_segment(home, fake_log(t->d)->offset_bits);
    return fake_file_of(t->d, n)->image + fe_address_offset(home, fake_log(t->d)->offset_bits) + at;
}

static uint32_t segment_of(frozen_fake *t, uint64_t i)
{
    return fe_address_segment(fe_slot_address(*frozen_slot(t, 0, i)), fake_log(t->d)->offset_bits);
}

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

/* Deletes three keys of four of a segment. */
static void make_victim(frozen_fake *t, uint32_t n)
{
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t *slot = frozen_slot(t, 0, i);
        if (i % 4 == 0 || slot == NULL) continue;
        fe_address address = fe_slot_address(*slot);
        if (fe_cache_holds(fake_log(t->d), address))
            address = fe_cache_home(fake_log(t->d), address);
        if (fe_address_segment(address, fake_log(t->d)->offset_bits) == n)
            CHECK(frozen_del(t, 0, i));
    }
}

/* So little room is left that all garbage is worth work; and the flush is behind, or not. */
static void tell_scarce(frozen_fake *t, bool behind)
{
    fe_frozen_disk disk = {.bytes = 1 << 30, .max = 1 << 30, .behind = behind};
    fe_frozen_tell(t->store, &disk);
}

/* A store with five segments that are mostly garbage. */
static frozen_fake *victims(void)
{
    frozen_fake *t = cold_store(FE_DEADLINE_NONE);
    for (unsigned i = 0; i < 5; i++)
        make_victim(t, segment_of(t, i * 500));
    tell_scarce(t, false);
    return t;
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
    RUN(an_error_of_the_disk_ends_the_job_and_it_is_done_later);
    RUN(records_of_a_flushed_database_are_counted_off_in_mixed_segments);
    RUN(segments_of_a_dead_keyspace_go_without_a_read);
    RUN(what_expires_on_disk_goes_without_a_look_at_the_records);
    RUN(a_segment_that_is_sealed_while_its_deadlines_are_measured_is_measured_again);
    RUN(short_tags_are_refilled_from_footers);
    RUN(a_tag_that_a_split_shortens_while_its_record_is_being_moved_is_refilled);
    RUN(allkeys_evicts_the_oldest_and_moves_what_was_read);
    RUN(volatile_policies_evict_keys_with_a_deadline_only);
    RUN(volatile_ttl_takes_the_soonest_wherever_they_are);
    RUN(noeviction_evicts_nothing);
    RUN(compaction_waits_while_the_flush_is_behind);
    RUN(moving_is_paid_for_by_time_and_writes);
    RUN(a_read_in_flight_of_a_record_that_was_moved_ends_well);
    RUN(a_record_that_a_blind_write_waits_for_is_left);
    RUN(without_memory_a_job_ends_and_nothing_is_lost);
    return check_done();
}
