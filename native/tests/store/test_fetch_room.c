/* Long records: how much memory reads of them take, what is kept of them, and who goes on. */
#include "tests/store/fetch_rig.h"
#include "tests/store/frozen_fake.h"

#define LIMIT                                                                                      \
    ((uint64_t)64                                                                                  \
     << 20) /* max_memory: 8 MiB of long reads, 1 MiB kept for a command that needs no values */
#define BOUND (LIMIT / 8)
#define SHARE (LIMIT / 64)
#define MANY 12u

static void write_value(fake_disk *d, uint64_t i, size_t len, int64_t deadline)
{
    name_buf buf;
    fe_key key;
    find(&d->f, 0, name_of(&buf, i), &key);
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, deadline);
    FE_ASSERT(at != NULL);
    memset(at, (int)i + 1, len);
}

/* The same for a key that was not asked for: another on disk may have its tag. */
static void write_key(fake_disk *d, uint64_t i, size_t len, int64_t deadline)
{
    fe_waiter waiter = {.wake = NULL};
    while (!fetch_number(d, i, FE_NEED_EXACT, &waiter))
        fake_complete_all(d);
    write_value(d, i, len, deadline);
    fe_waiter_close(d->f.store, &waiter);
}

/* Keys 0..count-1 with values of `len` bytes, all on disk. */
static fake_disk *long_store(uint64_t count, size_t len)
{
    fake_disk *d = fake_new();
    d->f.store->options.memory_max = LIMIT;
    fe_cache_set_budget(d->f.store, 1 << 20);
    for (uint64_t i = 0; i < count; i++)
        write_value(d, i, len, FE_DEADLINE_NONE);
    fake_fill(d, 1000, 1000, FE_DEADLINE_NONE); /* what is behind them goes too */
    fake_freeze_all(d);
    empty_trash(&d->f);
    CHECK(fake_is_cold(d, 0) && fake_is_cold(d, count - 1));
    woken = 0;
    return d;
}

/* The record in memory; NULL when there is none. */
static const fe_record *record_of(fake_disk *d, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    fe_record *record;
    uint64_t hash = fe_key_hash(&d->f.seed, name);
    return fe_index_find(&d->f.store->databases[0]->index, name, hash, &record) != NULL ? record
                                                                                        : NULL;
}

static void check_value(fake_disk *d, uint64_t i, size_t len)
{
    const fe_record *record = record_of(d, i);
    CHECK(record != NULL && !fe_record_is_head(record));
    fe_bytes value = fe_record_value(record);
    CHECK_INT(len, value.len);
    CHECK(value.ptr[0] == (uint8_t)(i + 1) && value.ptr[len - 1] == (uint8_t)(i + 1));
}

static uint64_t in_flight(const fake_disk *d)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < d->count; i++)
        bytes += d->reads[i]->length;
    return bytes;
}

/* Until nothing goes on by itself; returns the most that reads and the cache took at a time. */
static uint64_t complete_all(fake_disk *d)
{
    uint64_t most = 0;
    for (fake_submit(d); d->count != 0; fake_submit(d)) {
        uint64_t now = in_flight(d) + fe_cache_bytes(d->f.store);
        if (now > most) most = now;
        fake_complete(d, 0, FAKE_GOOD);
        empty_trash(&d->f);
    }
    return most;
}

TEST(a_command_that_needs_no_values_keeps_a_little_whole_and_of_the_rest_the_heads)
{
    enum { LEN = 300 << 10 };
    fake_disk *d = long_store(MANY, LEN);
    write_key(d, 50, LEN, START_MS + 5000);
    fake_freeze_all(d);
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 50, FE_NEED_HEAD, &a));
    for (uint64_t i = 0; i < MANY; i++)
        CHECK(!fetch_number(d, i, FE_NEED_HEAD, &a));
    (void)complete_all(d);
    CHECK_INT(1, woken);
    CHECK(a.error == 0 && a.pending == 0);

    unsigned heads = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        CHECK(fetch_number(d, i, FE_NEED_HEAD, &a));
        const fe_record *record = record_of(d, i);
        heads += fe_record_is_head(record);
        CHECK_INT(LEN, fe_record_value_len(record));
        CHECK_INT(FE_TYPE_STRING, fe_record_type(record));
    }
    CHECK_INT(START_MS + 5000, fe_record_deadline(record_of(d, 50)));
    CHECK_INT(MANY + 1 - SHARE / LEN, heads + fe_record_is_head(record_of(d, 50)));
    CHECK(fe_cache_bytes(d->f.store) < SHARE + (256 << 10));
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_free(d);
}

TEST(a_record_of_the_small_form_gets_a_head_with_its_length_and_its_deadline)
{
    enum { LEN = 40000 };
    fake_disk *d = long_store(1, LEN);
    for (uint64_t i = 100; i < 200; i++)
        write_key(d, i, LEN, START_MS + (int64_t)i);
    fake_freeze_all(d);
    fe_waiter a = {.wake = count_wake};
    for (uint64_t i = 100; i < 200; i++)
        (void)fetch_number(d, i, FE_NEED_HEAD, &a);
    (void)complete_all(d);
    unsigned heads = 0;
    for (uint64_t i = 100; i < 190; i++) { /* the last of them may be in a tail */
        const fe_record *record = record_of(d, i);
        CHECK(record != NULL && fe_record_value_len(record) == LEN);
        CHECK_INT(START_MS + (int64_t)i, fe_record_deadline(record));
        heads += fe_record_is_head(record);
    }
    CHECK(heads > 50);
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_free(d);
}

/* Makes a head of every one of the keys. */
static void make_heads(fake_disk *d, uint64_t count)
{
    fe_waiter a = {.wake = count_wake};
    a.kept = SHARE; /* as if it had much already */
    for (uint64_t i = 0; i < count; i++)
        (void)fetch_number(d, i, FE_NEED_HEAD, &a);
    (void)complete_all(d);
    fe_waiter_close(d->f.store, &a);
    for (uint64_t i = 0; i < count; i++)
        CHECK(record_of(d, i) != NULL && fe_record_is_head(record_of(d, i)));
    check_store(&d->f);
}

TEST(who_needs_the_value_of_a_head_has_it_read_and_who_does_not_runs)
{
    enum { LEN = 300 << 10 };
    fake_disk *d = long_store(8, LEN);
    make_heads(d, 8);
    fe_waiter a = {.wake = count_wake};
    CHECK(fetch_number(d, 0, FE_NEED_HEAD, &a) && fetch_number(d, 1, FE_NEED_SOLE, &a));
    CHECK(fetch_number(d, 2, FE_NEED_REMOVE, &a) && fetch_number(d, 3, FE_NEED_BLIND, &a));
    CHECK_INT(0, a.pending);
    CHECK(!fetch_number(d, 4, FE_NEED_READ, &a));
    CHECK(!fetch_number(d, 5, FE_NEED_EXACT, &a));
    CHECK(!fetch_number(d, 5, FE_NEED_SOLE, &a)); /* a command behind it, of the same transaction */
    (void)complete_all(d);
    CHECK(fetch_number(d, 4, FE_NEED_READ, &a) && fetch_number(d, 5, FE_NEED_EXACT, &a));
    check_value(d, 4, LEN);
    check_value(d, 5, LEN);
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_free(d);
}

TEST(a_read_that_one_wants_whole_is_whole_for_all)
{
    enum { LEN = 3 << 20 };
    fake_disk *d = long_store(1, LEN);
    fe_waiter a = {.wake = count_wake}, b = {.wake = count_wake};
    CHECK(!fetch_number(d, 0, FE_NEED_HEAD, &a));
    CHECK(!fetch_number(d, 0, FE_NEED_READ, &b));
    (void)complete_all(d);
    check_value(d, 0, LEN);
    fe_waiter_close(d->f.store, &a);
    fe_waiter_close(d->f.store, &b);
    fake_free(d);
}

TEST(a_key_of_which_a_head_is_in_memory_dies_with_its_home)
{
    enum { LEN = 300 << 10 };
    fake_disk *d = long_store(4, LEN);
    name_buf buf;
    write_key(d, 4, LEN, START_MS + 5000);
    fake_freeze_all(d);
    make_heads(d, 5);
    uint64_t live = fake_log(d)->tiers[FE_TIER_DISK].live;
    CHECK(del(&d->f, 0, name_of(&buf, 0)));
    check_store(&d->f);
    CHECK(set(&d->f, 0, name_of(&buf, 1), text("new"), FE_DEADLINE_NONE));
    CHECK(has(&d->f, 0, name_of(&buf, 1), text("new")));
    fe_store_set_now(d->f.store, START_MS + 6000);
    CHECK(!exists(&d->f, 0, name_of(&buf, 4)));
    check_store(&d->f);
    CHECK(live - fake_log(d)->tiers[FE_TIER_DISK].live >= 3 * (uint64_t)LEN);
    CHECK(live - fake_log(d)->tiers[FE_TIER_DISK].live < 3 * (uint64_t)LEN + 1000);
    CHECK_INT(1003, fe_store_db_size(d->f.store, 0));
    fake_free(d);
}

TEST(compaction_moves_a_record_whose_copy_is_a_head_from_its_file)
{
    frozen_fake *t = frozen_new();
    t->store->options.memory_max = LIMIT;
    for (uint64_t i = 0; i < 400; i++)
        write_key(t->d, i, 10000, FE_DEADLINE_NONE);
    fake_freeze_all(t->d);
    frozen_later(t, 1000);
    fe_waiter a = {.wake = count_wake};
    a.kept = SHARE;
    for (uint64_t i = 0; i < 300; i += 4)
        CHECK(!fetch_number(t->d, i, FE_NEED_HEAD, &a));
    fake_complete_all(t->d);
    fe_waiter_close(t->store, &a);
    for (uint64_t i = 0; i < 300; i++)
        if (i % 4 != 0) {
            frozen_fetch(t, 0, i, FE_NEED_REMOVE);
            name_buf buf;
            CHECK(del(&t->d->f, 0, name_of(&buf, i)));
        }
    unsigned heads = 0;
    for (uint64_t i = 0; i < 300; i += 4)
        heads += record_of(t->d, i) != NULL && fe_record_is_head(record_of(t->d, i));
    CHECK(heads > 30);
    for (unsigned rounds = 0; fe_frozen_compact_all(t->store) && rounds < 1000; rounds++)
        (void)frozen_jobs(t, FE_FROZEN_COMPACT);
    CHECK(t->store->frozen.stats.moved_keys > 50);
    for (uint64_t i = 0; i < 300; i += 4) {
        frozen_fetch(t, 0, i, FE_NEED_READ);
        check_value(t->d, i, 10000);
    }
    check_store(&t->d->f);
    frozen_free(t);
}

static void see(void *context, const fe_record *record)
{
    *(uint64_t *)context += fe_record_value_len(record) != 0;
}

TEST(a_walk_over_long_records_takes_little_memory)
{
    enum { LEN = 3 << 20 };
    fake_disk *d = long_store(MANY, LEN);
    fe_waiter a = {.wake = count_wake};
    uint64_t seen, most = 0;
    for (;;) {
        seen = 0;
        (void)fe_store_scan(d->f.store, 0, 0, 100000, see, &seen);
        if (!fe_store_is_missing(d->f.store)) break;
        CHECK(!fe_fetch_missing(d->f.store, &a));
        uint64_t now = complete_all(d);
        if (now > most) most = now;
    }
    CHECK_INT(1000 + MANY, seen);
    CHECK(most <= BOUND + (4 << 20));
    CHECK(fe_cache_bytes(d->f.store) < 2 * SHARE);
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_free(d);
}

TEST(long_reads_of_many_go_on_under_a_bound_and_what_has_been_used_is_let_go)
{
    enum { LEN = 3 << 20 };
    fake_disk *d = long_store(MANY, LEN);
    fe_waiter all[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        all[i] = (fe_waiter){.wake = count_wake};
        CHECK(!fetch_number(d, i, FE_NEED_READ, &all[i]));
    }
    unsigned done = 0;
    for (unsigned rounds = 0; done < MANY && rounds < 1000; rounds++) {
        fake_submit(d);
        CHECK(in_flight(d) <= BOUND);
        uint64_t ready = 0;
        for (unsigned i = 0; i < MANY; i++)
            ready += all[i].open && all[i].pending == 0 ? LEN : 0;
        CHECK(in_flight(d) + ready <= BOUND + LEN);
        check_store(&d->f);
        if (d->count != 0) {
            fake_complete(d, 0, FAKE_GOOD);
        } else {
            for (unsigned i = 0; i < MANY; i++) {
                if (!all[i].open || all[i].pending != 0) continue;
                CHECK(fetch_number(d, i, FE_NEED_READ, &all[i]));
                check_value(d, i, LEN);
                fe_waiter_close(d->f.store, &all[i]);
                done++;
            }
        }
        empty_trash(&d->f);
        CHECK(fe_cache_bytes(d->f.store) <= BOUND + LEN);
    }
    CHECK_INT(MANY, done);
    fake_free(d);
}

TEST(a_value_beyond_the_bound_is_read_alone)
{
    enum { LEN = 12 << 20 };
    fake_disk *d = long_store(3, LEN);
    fe_waiter all[3] = {{.wake = count_wake}, {.wake = count_wake}, {.wake = count_wake}};
    for (unsigned i = 0; i < 3; i++)
        CHECK(!fetch_number(d, i, FE_NEED_READ, &all[i]));
    for (unsigned i = 0; i < 3; i++) {
        fake_submit(d);
        CHECK_INT(1, d->count);
        fake_complete(d, 0, FAKE_GOOD);
        CHECK_INT(i + 1, woken);
        fake_submit(d);
        CHECK_INT(0, d->count); /* one that only has to run goes first */
        CHECK(!fe_fetch_is_wanted(d->f.store));
        CHECK(fetch_number(d, i, FE_NEED_READ, &all[i]));
        fe_waiter_close(d->f.store, &all[i]);
        empty_trash(&d->f);
        CHECK_INT(i < 2, fe_fetch_is_wanted(d->f.store));
    }
    fake_free(d);
}

TEST(commands_of_several_long_values_have_them_one_after_another)
{
    enum { LEN = 3 << 20, KEYS_EACH = 4 };
    fake_disk *d = long_store(3 * KEYS_EACH, LEN);
    fe_waiter all[3] = {{.wake = count_wake}, {.wake = count_wake}, {.wake = count_wake}};
    for (unsigned w = 0; w < 3; w++)
        for (unsigned i = 0; i < KEYS_EACH; i++)
            CHECK(!fetch_number(d, w * KEYS_EACH + i, FE_NEED_READ, &all[w]));
    for (unsigned w = 0; w < 3; w++) {
        (void)complete_all(d);
        CHECK_INT(w + 1, woken);
        CHECK_INT(0, all[w].pending);
        CHECK(fe_cache_bytes(d->f.store) < (KEYS_EACH + 3) * (uint64_t)LEN);
        for (unsigned i = 0; i < KEYS_EACH; i++) {
            CHECK(fetch_number(d, w * KEYS_EACH + i, FE_NEED_READ, &all[w]));
            check_value(d, w * KEYS_EACH + i, LEN);
        }
        fe_waiter_close(d->f.store, &all[w]);
        check_store(&d->f);
    }
    fake_free(d);
}

TEST(long_reads_wait_until_what_they_replaced_is_given_back)
{
    enum { LEN = 12 << 20 };
    fake_disk *d = long_store(2, LEN);
    fe_waiter a = {.wake = count_wake}, b = {.wake = count_wake};
    a.kept = b.kept = SHARE;
    CHECK(!fetch_number(d, 0, FE_NEED_HEAD, &a) && !fetch_number(d, 1, FE_NEED_HEAD, &b));
    fake_submit(d);
    CHECK(!fe_fetch_wants_trash(d->f.store));
    fake_complete(d, 0, FAKE_GOOD);
    fe_waiter_close(d->f.store, &a);
    CHECK(!fe_fetch_is_wanted(d->f.store) && fe_fetch_wants_trash(d->f.store));
    empty_trash(&d->f);
    CHECK(fe_fetch_is_wanted(d->f.store) && !fe_fetch_wants_trash(d->f.store));
    (void)complete_all(d);
    CHECK_INT(2, woken);
    fe_waiter_close(d->f.store, &b);
    fake_free(d);
}

TEST(long_reads_go_on_one_by_one_when_the_worker_cannot_give_enough_back)
{
    enum { LEN = 12 << 20 };
    fake_disk *d = long_store(4, LEN);
    fe_waiter all[3] = {{.wake = count_wake}, {.wake = count_wake}, {.wake = count_wake}};
    for (uint64_t i = 0; i < 3; i++) {
        all[i].kept = SHARE;
        CHECK(!fetch_number(d, i, FE_NEED_HEAD, &all[i]));
    }
    fake_submit(d);
    for (uint64_t i = 0; i < 2; i++) {
        CHECK_INT(1, d->count);
        fake_complete(d, 0, FAKE_GOOD);
        fe_waiter_close(d->f.store, &all[i]);
        CHECK(!fe_fetch_is_wanted(d->f.store) && fe_fetch_wants_trash(d->f.store));
        fe_fetch_trash_given(d->f.store);
        CHECK(fe_fetch_is_wanted(d->f.store) && !fe_fetch_wants_trash(d->f.store));
        fake_submit(d);
    }
    fake_complete(d, 0, FAKE_GOOD);
    CHECK_INT(3, woken);
    fe_waiter_close(d->f.store, &all[2]);
    fake_free(d);
}

TEST(what_was_read_for_others_by_short_reads_holds_no_long_one_back)
{
    enum { LEN = 12 << 20 };
    fake_disk *d = long_store(1, LEN);
    fe_waiter a = {.wake = count_wake}, b = {.wake = count_wake};
    CHECK(!fetch_number(d, 1005, FE_NEED_READ, &a));
    fake_complete_all(d);
    CHECK(a.pending == 0 && a.kept != 0);
    CHECK(!fetch_number(d, 0, FE_NEED_READ, &b));
    CHECK(fe_fetch_is_wanted(d->f.store));
    (void)complete_all(d);
    CHECK_INT(2, woken);
    fe_waiter_close(d->f.store, &a);
    fe_waiter_close(d->f.store, &b);
    fake_free(d);
}

TEST(ahead_of_need_no_head_is_given_up_that_another_may_wait_for)
{
    fake_disk *d = long_store(1, 300 << 10);
    make_heads(d, 1);
    CHECK(fetch_number(d, 0, FE_NEED_READ, NULL));
    CHECK(record_of(d, 0) != NULL);
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, 0, FE_NEED_READ, &a));
    CHECK(record_of(d, 0) == NULL);
    (void)complete_all(d);
    fe_waiter_close(d->f.store, &a);
    fake_free(d);
}

TEST(short_reads_pass_long_ones_that_wait)
{
    enum { LEN = 12 << 20 };
    fake_disk *d = long_store(2, LEN);
    fe_waiter a = {.wake = count_wake}, b = {.wake = count_wake}, c = {.wake = count_wake};
    CHECK(!fetch_number(d, 0, FE_NEED_READ, &a) && !fetch_number(d, 1, FE_NEED_READ, &b));
    fake_submit(d);
    CHECK_INT(1, d->count);
    CHECK(!fetch_number(d, 1005, FE_NEED_READ, &c));
    fake_submit(d);
    CHECK_INT(2, d->count);
    fake_complete(d, 1, FAKE_GOOD);
    CHECK(c.pending == 0 && a.pending != 0);
    fe_waiter_close(d->f.store, &c);
    fe_waiter_close(d->f.store, &a);
    fe_waiter_close(d->f.store, &b);
    (void)complete_all(d);
    fake_free(d);
}

TEST(ahead_of_need_no_more_is_read_than_half_of_the_bound)
{
    enum { LEN = 1 << 20 };
    fake_disk *d = long_store(MANY, LEN);
    fe_cache_set_budget(d->f.store, BOUND);
    for (uint64_t i = 0; i < MANY; i++)
        CHECK(!fetch_number(d, i, FE_NEED_READ, NULL));
    fake_submit(d);
    CHECK_INT(3, d->count); /* of a page more each */
    CHECK(in_flight(d) <= BOUND / 2);
    fe_waiter a = {.wake = count_wake};
    CHECK(!fetch_number(d, MANY - 1, FE_NEED_READ, &a)); /* what is needed is read all the same */
    fake_submit(d);
    CHECK_INT(4, d->count);
    (void)complete_all(d);
    check_value(d, MANY - 1, LEN);
    fe_waiter_close(d->f.store, &a);
    check_store(&d->f);
    fake_free(d);
}

TEST(ahead_of_need_no_more_is_read_than_half_of_the_read_cache)
{
    fake_disk *d = long_store(MANY, 300 << 10);
    fe_cache_set_budget(d->f.store, 1 << 20);
    for (uint64_t i = 0; i < MANY; i++)
        CHECK(!fetch_number(d, i, FE_NEED_READ, NULL));
    fake_submit(d);
    CHECK_INT(1, d->count);
    (void)complete_all(d);
    fake_free(d);
}

/* Who asks first for long ones does not keep short ones waiting. */
TEST(short_and_long_reads_are_taken_in_turns)
{
    fake_disk *d = long_store(2, 300 << 10);
    fe_waiter a[4] = {
        {.wake = count_wake}, {.wake = count_wake}, {.wake = count_wake}, {.wake = count_wake}};
    CHECK(!fetch_number(d, 0, FE_NEED_READ, &a[0]) && !fetch_number(d, 1, FE_NEED_READ, &a[1]));
    CHECK(!fetch_number(d, 1005, FE_NEED_READ, &a[2]) &&
          !fetch_number(d, 1010, FE_NEED_READ, &a[3]));
    fe_disk_read *reads[4];
    CHECK_INT(4, fe_fetch_take(d->f.store, reads, 4));
    bool longs[4];
    for (unsigned i = 0; i < 4; i++)
        longs[i] = reads[i]->length > (200 << 10);
    CHECK(longs[0] != longs[1] && longs[2] != longs[3]);
    for (unsigned i = 0; i < 4; i++) {
        reads[i]->result = -EIO;
        fe_fetch_done(d->f.store, reads[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        fe_waiter_close(d->f.store, &a[i]);
    (void)complete_all(d);
    fake_free(d);
}

TEST(a_record_that_is_found_to_be_long_ahead_of_need_is_left_when_there_is_no_room)
{
    enum { LEN = 60000 }; /* several in a segment: the first read does not know */
    fake_disk *d = long_store(1, 100);
    for (uint64_t i = 100; i < 300; i++)
        write_key(d, i, LEN, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    d->f.store->options.memory_max = 1 << 20; /* half of the least bound is 512 KiB */
    for (uint64_t i = 100; i < 200; i++)
        CHECK(!fetch_number(d, i, FE_NEED_READ, NULL));
    fake_submit(d);
    uint64_t most = 0;
    for (; d->count != 0; fake_submit(d)) {
        fake_complete(d, 0, FAKE_GOOD);
        uint64_t now = 0;
        for (uint32_t i = 0; i < d->count; i++)
            now += d->reads[i]->length > 20480 ? d->reads[i]->length : 0;
        if (now > most) most = now;
    }
    CHECK(most != 0 && most <= 512 << 10);
    check_store(&d->f);
    fake_free(d);
}

TEST(without_a_limit_of_memory_nothing_is_cut_or_held_back)
{
    enum { LEN = 3 << 20 };
    fake_disk *d = long_store(MANY, LEN);
    d->f.store->options.memory_max = 0;
    fe_waiter a = {.wake = count_wake};
    for (uint64_t i = 0; i < MANY; i++)
        CHECK(!fetch_number(d, i, FE_NEED_HEAD, &a));
    fake_submit(d);
    CHECK_INT(MANY, d->count);
    (void)complete_all(d);
    for (uint64_t i = 0; i < MANY; i++)
        check_value(d, i, LEN);
    fe_waiter_close(d->f.store, &a);
    fake_free(d);
}

/* Random -------------------------------------------------------------------------------------------- */

#define NUMBERS 40u
#define WAITERS 8u

typedef struct asker {
    fe_waiter waiter;
    fe_need need;
    uint64_t keys[4];
    unsigned count;
} asker;

typedef struct table {
    bool there[NUMBERS];
    size_t len[NUMBERS];
} table;

static void look_at(fake_disk *d, const table *at, uint64_t i, fe_need need)
{
    const fe_record *record = record_of(d, i);
    CHECK((record != NULL) == at->there[i]);
    if (record == NULL) return;
    CHECK_INT(at->len[i], fe_record_value_len(record));
    if (need == FE_NEED_READ || need == FE_NEED_EXACT) check_value(d, i, at->len[i]);
}

/* All that it needs is there: runs. */
static void run_asker(fake_disk *d, table *at, asker *who, fe_random *random)
{
    for (unsigned k = 0; k < who->count; k++) {
        uint64_t i = who->keys[k];
        look_at(d, at, i, who->need);
        name_buf buf;
        if (who->need == FE_NEED_REMOVE) {
            CHECK_INT(at->there[i], del(&d->f, 0, name_of(&buf, i)));
            at->there[i] = false;
        } else if (who->need == FE_NEED_EXACT || who->need == FE_NEED_BLIND) {
            at->len[i] = 1 + fe_random_below(random, 700000);
            write_value(d, i, at->len[i], FE_DEADLINE_NONE);
            at->there[i] = true;
        }
    }
    fe_waiter_close(d->f.store, &who->waiter);
    who->count = 0;
}

static void step_asker(fake_disk *d, table *at, asker *who, fe_random *random)
{
    static const fe_need needs[] = {FE_NEED_READ, FE_NEED_EXACT, FE_NEED_HEAD,
                                    FE_NEED_SOLE, FE_NEED_HEAD,  FE_NEED_REMOVE};
    if (who->count == 0) {
        who->need = needs[fe_random_below(random, 6)];
        who->count = 1 + (unsigned)fe_random_below(random, 4);
        for (unsigned k = 0; k < who->count; k++)
            who->keys[k] = fe_random_below(random, NUMBERS);
    }
    if (who->waiter.pending != 0) return;
    bool all = true;
    for (unsigned k = 0; k < who->count; k++)
        all &= fetch_number(d, who->keys[k], who->need, &who->waiter);
    if (all) run_asker(d, at, who, random);
}

TEST(whatever_is_asked_in_whatever_order_lengths_and_values_are_right)
{
    fe_random random;
    fe_random_init(&random, test_seed());
    fake_disk *d = long_store(1, 100);
    d->f.store->options.memory_max = 8 << 20; /* 128 KiB are kept whole, 1 MiB is read at a time */
    table at = {.there = {true}, .len = {100}};
    asker all[WAITERS] = {0};
    unsigned heads = 0;
    for (unsigned step = 0; step < 6000; step++) {
        step_asker(d, &at, &all[fe_random_below(&random, WAITERS)], &random);
        fake_submit(d);
        for (uint64_t n = fe_random_below(&random, 4); n > 0 && d->count != 0; n--)
            fake_complete(d, (uint32_t)fe_random_below(&random, d->count), FAKE_GOOD);
        if (step % 3 == 0) empty_trash(&d->f);
        if (step % 50 == 0) {
            fake_freeze_all(d);
            fake_clean(d);
            check_store(&d->f);
        }
        const fe_record *record = record_of(d, step % NUMBERS);
        heads += record != NULL && fe_record_is_head(record);
    }
    CHECK(heads > 100);
    for (unsigned i = 0; i < WAITERS; i++)
        fe_waiter_close(d->f.store, &all[i].waiter);
    empty_trash(&d->f);
    (void)complete_all(d);
    check_store(&d->f);
    fake_free(d);
}

int main(void)
{
    RUN(a_command_that_needs_no_values_keeps_a_little_whole_and_of_the_rest_the_heads);
    RUN(a_record_of_the_small_form_gets_a_head_with_its_length_and_its_deadline);
    RUN(who_needs_the_value_of_a_head_has_it_read_and_who_does_not_runs);
    RUN(a_read_that_one_wants_whole_is_whole_for_all);
    RUN(a_key_of_which_a_head_is_in_memory_dies_with_its_home);
    RUN(compaction_moves_a_record_whose_copy_is_a_head_from_its_file);
    RUN(a_walk_over_long_records_takes_little_memory);
    RUN(long_reads_of_many_go_on_under_a_bound_and_what_has_been_used_is_let_go);
    RUN(a_value_beyond_the_bound_is_read_alone);
    RUN(commands_of_several_long_values_have_them_one_after_another);
    RUN(long_reads_wait_until_what_they_replaced_is_given_back);
    RUN(long_reads_go_on_one_by_one_when_the_worker_cannot_give_enough_back);
    RUN(what_was_read_for_others_by_short_reads_holds_no_long_one_back);
    RUN(ahead_of_need_no_head_is_given_up_that_another_may_wait_for);
    RUN(short_reads_pass_long_ones_that_wait);
    RUN(ahead_of_need_no_more_is_read_than_half_of_the_bound);
    RUN(ahead_of_need_no_more_is_read_than_half_of_the_read_cache);
    RUN(short_and_long_reads_are_taken_in_turns);
    RUN(a_record_that_is_found_to_be_long_ahead_of_need_is_left_when_there_is_no_room);
    RUN(without_a_limit_of_memory_nothing_is_cut_or_held_back);
    RUN(whatever_is_asked_in_whatever_order_lengths_and_values_are_right);
    return check_done();
}
