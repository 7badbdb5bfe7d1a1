/* The reasons of misses, as the store tells them: every way in which a key ends, flushes large and
 * small, and a model with random interleavings.
 */
#include "tests/store/support.h"

#define DBS 4u

static fe_store_options options_with(uint64_t gone_size)
{
    fe_store_options options = fixture_options();
    options.gone_size = gone_size;
    return options;
}

/* Looks the key up as a command that reads does; NEVER_SEEN also when it is there. */
static fe_miss look(fixture *f, uint32_t db, fe_bytes name)
{
    fe_miss_stats before, after;
    fe_store_misses_get(f->store, &before);
    fe_key key;
    fe_key_look_up(f->store, db, name, fe_key_hash(&f->seed, name), false, &key);
    fe_store_misses_get(f->store, &after);
    fe_miss found = FE_MISS_NEVER_SEEN;
    for (unsigned i = 0; i < FE_MISS_COUNT; i++)
        if (after.by[i] != before.by[i]) found = (fe_miss)i;
    return found;
}

static fe_miss look_number(fixture *f, uint32_t db, uint64_t number)
{
    name_buf buf;
    return look(f, db, name_of(&buf, number));
}

static bool put(fixture *f, uint32_t db, uint64_t number, int64_t deadline)
{
    name_buf buf;
    return set(f, db, name_of(&buf, number), (fe_bytes){(const uint8_t *)"value", 5}, deadline);
}

/* Every miss has a reason, and all add up. */
static void check_sum(fixture *f)
{
    fe_store_stats stats;
    fe_store_stats_get(f->store, &stats);
    uint64_t sum = 0;
    for (unsigned i = 0; i < FE_MISS_COUNT; i++)
        sum += stats.misses_by[i];
    CHECK_INT(stats.misses, sum);
}

static void read_flushed(fixture *f)
{
    while (fe_store_step_index(f->store, 256))
        continue;
}

TEST(each_end_of_a_key_has_its_reason)
{
    fixture f;
    fe_store_options options = options_with(1 << 20);
    fixture_open(&f, &options);
    name_buf buf;
    for (uint64_t i = 0; i < 5; i++)
        CHECK(put(&f, 0, i, i < 2 ? START_MS + 10 : FE_DEADLINE_NONE));
    CHECK_INT(FE_MISS_NEVER_SEEN, look_number(&f, 0, 77));

    CHECK(del(&f, 0, name_of(&buf, 4)));
    CHECK_INT(FE_MISS_DELETED, look_number(&f, 0, 4));
    CHECK_INT(FE_MISS_DELETED, look_number(&f, 0, 4));    /* looking does not forget */
    CHECK_INT(FE_MISS_NEVER_SEEN, look_number(&f, 1, 4)); /* another database's is another key */
    fe_store_set_now(f.store, START_MS + 11);
    CHECK_INT(FE_MISS_EXPIRED, look_number(&f, 0, 0)); /* by this look-up */
    while (fe_store_step_expire(f.store, 1000))
        continue;
    fe_store_set_now(f.store, START_MS + 3000);
    while (fe_store_step_expire(f.store, 1000))
        continue;
    CHECK_INT(FE_MISS_EXPIRED, look_number(&f, 0, 1)); /* by the step */
    CHECK_INT(2, fe_store_db_size(f.store, 0));

    CHECK(put(&f, 0, 4, FE_DEADLINE_NONE));
    CHECK(exists(&f, 0, name_of(&buf, 4)));
    CHECK_INT(FE_OK, fe_store_flush(f.store, 0, true));
    for (uint64_t i = 2; i < 5; i++)
        CHECK_INT(FE_MISS_FLUSHED, look_number(&f, 0, i));
    CHECK_INT(FE_MISS_EXPIRED, look_number(&f, 0, 0)); /* it was not there any more */

    check_sum(&f);
    fe_miss_stats stats;
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(2, stats.by[FE_MISS_NEVER_SEEN]);
    CHECK_INT(2, stats.by[FE_MISS_DELETED]);
    CHECK_INT(3, stats.by[FE_MISS_EXPIRED]);
    CHECK_INT(0, stats.by[FE_MISS_EVICTED]);
    CHECK_INT(3, stats.by[FE_MISS_FLUSHED]);
    CHECK_INT(5, stats.keys);
    CHECK_INT(3, stats.keys_by[FE_MISS_FLUSHED]);
    CHECK_INT(1 << 20, stats.bytes);
    fe_store_misses_reset(f.store);
    CHECK_INT(FE_MISS_NEVER_SEEN, look_number(&f, 0, 77));
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(1, stats.by_since[FE_MISS_NEVER_SEEN]);
    CHECK_INT(0, stats.by_since[FE_MISS_FLUSHED]);
    CHECK_INT(3, stats.by[FE_MISS_FLUSHED]);
    fe_store_stats_reset(f.store);
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(0, stats.by[FE_MISS_FLUSHED]);
    CHECK_INT(0, stats.by_since[FE_MISS_NEVER_SEEN]);
    check_store(&f);
    fixture_close(&f);
}

/* Fills a store beyond its limit; returns how many keys went, all of which must say why. */
static uint64_t evict_many(fe_policy policy)
{
    fixture f;
    fe_store_options options = options_with(1 << 20);
    options.policy = policy;
    options.memory_max = 4 << 20;
    fixture_open(&f, &options);
    fe_miss_stats stats;
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(64 << 10, stats.bytes); /* a 64th of the limit */
    uint64_t count = 0, gone = 0;
    name_buf buf;
    uint8_t value[300] = {0};
    fe_store_stats all = {0};
    for (; all.evicted_keys < 2000 && count < 100000; count++) {
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
        CHECK(set(&f, 0, name_of(&buf, count), (fe_bytes){value, sizeof value},
                  START_MS + 1000000 + (int64_t)count));
        fe_store_stats_get(f.store, &all);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (exists(&f, 0, name_of(&buf, i))) continue;
        gone++;
        CHECK_INT(FE_MISS_EVICTED, look_number(&f, 0, i));
    }
    CHECK_INT(all.evicted_keys, gone);
    check_store(&f);
    fixture_close(&f);
    return gone;
}

TEST(evicted_keys_say_so_by_segment_and_by_sample)
{
    CHECK(evict_many(FE_POLICY_ALLKEYS_LRU) >= 2000);
    CHECK(evict_many(FE_POLICY_VOLATILE_TTL) >= 2000);
}

TEST(the_data_keep_their_past_when_databases_are_swapped)
{
    fixture f;
    fe_store_options options = options_with(1 << 16);
    fixture_open(&f, &options);
    name_buf buf;
    CHECK(put(&f, 0, 1, FE_DEADLINE_NONE));
    CHECK(del(&f, 0, name_of(&buf, 1)));
    fe_store_swap(f.store, 0, 3);
    CHECK_INT(FE_MISS_NEVER_SEEN, look_number(&f, 0, 1));
    CHECK_INT(FE_MISS_DELETED, look_number(&f, 3, 1));
    fixture_close(&f);
}

TEST(off_it_costs_nothing_and_tells_nothing)
{
    fixture f;
    fe_store_options options = options_with(0);
    fixture_open(&f, &options);
    name_buf buf;
    CHECK(put(&f, 0, 1, FE_DEADLINE_NONE));
    CHECK(del(&f, 0, name_of(&buf, 1)));
    (void)look_number(&f, 0, 1);
    fe_miss_stats stats;
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(0, stats.bytes);
    for (unsigned i = 0; i < FE_MISS_COUNT; i++)
        CHECK_INT(0, stats.by[i]);

    options.gone_size = 1 << 16; /* CONFIG SET */
    fe_store_set_options(f.store, &options);
    CHECK_INT(FE_MISS_NEVER_SEEN, look_number(&f, 0, 1));
    CHECK(put(&f, 0, 1, FE_DEADLINE_NONE));
    CHECK(del(&f, 0, name_of(&buf, 1)));
    CHECK_INT(FE_MISS_DELETED, look_number(&f, 0, 1));
    options.gone_size = 0;
    fe_store_set_options(f.store, &options);
    empty_trash(&f);
    fixture_close(&f);
}

/* Flushes of what a flush does not read at once -------------------------------------------------- */

#define MANY 60000u

/* 0..count-1 of them, in database `db`. */
static void put_many(fixture *f, uint32_t db, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        CHECK(put(f, db, i, FE_DEADLINE_NONE));
}

TEST(a_large_flush_is_read_by_steps_and_what_came_since_goes_before_it)
{
    fixture f;
    fe_store_options options = options_with(1 << 20);
    fixture_open(&f, &options);
    name_buf buf;
    put_many(&f, 1, MANY);
    uint64_t index_bytes = fe_alloc_used(&f.alloc, FE_ALLOC_INDEX);
    CHECK_INT(FE_OK, fe_store_flush(f.store, 1, true));
    CHECK_INT(0, fe_store_db_size(f.store, 1));
    fe_miss_stats stats;
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(MANY, stats.pending);
    CHECK_INT(0, stats.keys);
    check_store(&f);

    CHECK(put(&f, 1, 1, FE_DEADLINE_NONE)); /* lives when the flush is read */
    CHECK(put(&f, 1, 2, FE_DEADLINE_NONE));
    CHECK(del(&f, 1, name_of(&buf, 2))); /* has ended since */
    uint32_t steps = 0;
    while (fe_store_step_index(f.store, 64))
        steps++;
    CHECK(steps > MANY / 8 / 64); /* none read more than its 64 buckets */
    CHECK(exists(&f, 1, name_of(&buf, 1)));
    CHECK_INT(FE_MISS_DELETED, look_number(&f, 1, 2));
    uint64_t told = 0, strangers = 0;
    for (uint64_t i = 3; i < MANY; i++)
        told += look_number(&f, 1, i) == FE_MISS_FLUSHED;
    for (uint64_t i = 0; i < MANY; i++)
        strangers += look_number(&f, 2, i) != FE_MISS_NEVER_SEEN;
    CHECK(told > (MANY - 3) / 1000 * 995); /* some look like those that came since */
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(0, stats.pending);
    CHECK((double)strangers <= stats.error * MANY * 2 + 5);
    CHECK(del(&f, 1, name_of(&buf, 1)));
    CHECK_INT(FE_MISS_DELETED, look_number(&f, 1, 1));
    empty_trash(&f);
    CHECK(fe_alloc_used(&f.alloc, FE_ALLOC_INDEX) < index_bytes / 8);
    check_store(&f);
    check_sum(&f);
    fixture_close(&f);
}

TEST(of_more_than_the_table_holds_it_takes_a_part)
{
    fixture f;
    fe_store_options options = options_with(64 << 10); /* 28,672 keys */
    fixture_open(&f, &options);
    put_many(&f, 0, MANY);
    CHECK_INT(FE_OK, fe_store_flush_all(f.store, false));
    read_flushed(&f);
    fe_miss_stats stats;
    fe_store_misses_get(f.store, &stats);
    CHECK(stats.keys <= stats.capacity && stats.keys > stats.capacity / 10 * 9);
    uint64_t known = stats.keys + stats.forgotten;
    CHECK(known <= MANY && known > MANY - 100); /* a few look like others */
    uint64_t told = 0;
    for (uint64_t i = 0; i < MANY; i++)
        told += look_number(&f, 0, i) == FE_MISS_FLUSHED;
    CHECK(told >= stats.keys && told < stats.keys + 100);
    check_store(&f);
    fixture_close(&f);
}

TEST(flushed_indexes_wait_in_bounded_number_and_give_way_to_data)
{
    fixture f;
    fe_store_options options = options_with(1 << 20);
    fixture_open(&f, &options);
    for (unsigned i = 0; i < 40; i++) {
        put_many(&f, i % DBS, 2000);
        CHECK_INT(FE_OK, fe_store_flush(f.store, i % DBS, false));
    }
    fe_miss_stats stats;
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(16 * 2000, stats.pending);
    CHECK_INT(24 * 2000, stats.forgotten);
    options.memory_max = fe_store_used(f.store);
    fe_store_set_options(f.store, &options);
    fe_status status = fe_store_make_room(f.store);
    CHECK(status == FE_OK || status == FE_NO_MEMORY);
    fe_store_misses_get(f.store, &stats);
    CHECK_INT(0, stats.pending);
    check_store(&f);
    empty_trash(&f);
    fixture_close(&f);
}

/* Model -------------------------------------------------------------------------------------------
 */

#define MODEL_KEYS 40u

typedef struct entry {
    bool present;
    int64_t deadline;
    fe_miss ended; /* how, when it is not there */
} entry;

typedef struct model {
    fixture f;
    fe_random random;
    entry table[DBS][MODEL_KEYS];
    int64_t now;
    uint64_t looks, wrong;
} model;

static entry *entry_at(model *m, uint32_t db, uint32_t k)
{
    entry *e = &m->table[db][k];
    if (e->present && e->deadline != FE_DEADLINE_NONE && e->deadline < m->now)
        *e = (entry){.ended = FE_MISS_EXPIRED};
    return e;
}

static void model_flush(model *m, uint32_t db)
{
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        entry *e = &m->table[db][k]; /* what has expired and is still there is flushed too */
        name_buf buf;
        (void)exists(&m->f, db, name_of(&buf, k));
        e = entry_at(m, db, k);
        if (e->present) *e = (entry){.ended = FE_MISS_FLUSHED};
    }
}

static void model_swap(model *m, uint32_t a, uint32_t b)
{
    entry kept[MODEL_KEYS];
    memcpy(kept, m->table[a], sizeof kept);
    memcpy(m->table[a], m->table[b], sizeof kept);
    memcpy(m->table[b], kept, sizeof kept);
    fe_store_swap(m->f.store, a, b);
}

static void model_step(model *m)
{
    uint32_t db = (uint32_t)fe_random_below(&m->random, DBS);
    uint32_t k = (uint32_t)fe_random_below(&m->random, MODEL_KEYS);
    entry *e = entry_at(m, db, k);
    name_buf buf;
    uint64_t what = fe_random_below(&m->random, 400);
    if (what < 120) {
        int64_t deadline = FE_DEADLINE_NONE;
        if (what < 60) deadline = m->now + (int64_t)fe_random_below(&m->random, 3000);
        CHECK(put(&m->f, db, k, deadline));
        *e = (entry){.present = true, .deadline = deadline};
    } else if (what < 200) {
        CHECK_INT(e->present, del(&m->f, db, name_of(&buf, k)));
        if (e->present) *e = (entry){.ended = FE_MISS_DELETED};
    } else if (what < 380) {
        fe_miss found = look(&m->f, db, name_of(&buf, k));
        m->looks++;
        m->wrong += found != (e->present ? FE_MISS_NEVER_SEEN : e->ended);
    } else if (what < 390) {
        m->now += (int64_t)fe_random_below(&m->random, 500);
        fe_store_set_now(m->f.store, m->now);
    } else if (what < 394) {
        (void)fe_store_step_expire(m->f.store, 50);
        (void)fe_store_step_compact(m->f.store, 4096);
        (void)fe_store_step_index(m->f.store, 1);
    } else if (what < 396) {
        model_swap(m, db, (uint32_t)fe_random_below(&m->random, DBS));
    } else if (what < 399) {
        model_flush(m, db);
        CHECK_INT(FE_OK, fe_store_flush(m->f.store, db, what == 398));
    } else {
        for (uint32_t i = 0; i < DBS; i++)
            model_flush(m, i);
        CHECK_INT(FE_OK, fe_store_flush_all(m->f.store, false));
    }
}

TEST(it_agrees_with_a_model_in_any_order_of_commands_and_steps)
{
    model m = {.now = START_MS};
    fe_store_options options = options_with(1 << 20);
    fixture_open(&m.f, &options);
    fe_random_init(&m.random, test_seed());
    for (unsigned i = 0; i < 200000; i++) {
        model_step(&m);
        if (i % 4096 == 0) check_store(&m.f);
    }
    /* Flushed keys of small databases are known by 20 bits of their hashes: a few pairs are alike. */
    CHECK(m.looks > 80000);
    CHECK(m.wrong <= m.looks / 100);
    check_sum(&m.f);
    fixture_close(&m.f);
}

int main(void)
{
    RUN(each_end_of_a_key_has_its_reason);
    RUN(evicted_keys_say_so_by_segment_and_by_sample);
    RUN(the_data_keep_their_past_when_databases_are_swapped);
    RUN(off_it_costs_nothing_and_tells_nothing);
    RUN(a_large_flush_is_read_by_steps_and_what_came_since_goes_before_it);
    RUN(of_more_than_the_table_holds_it_takes_a_part);
    RUN(flushed_indexes_wait_in_bounded_number_and_give_way_to_data);
    RUN(it_agrees_with_a_model_in_any_order_of_commands_and_steps);
    return check_done();
}
