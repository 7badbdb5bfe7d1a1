/* Expiry on access and by steps; the clock is injected. */
#include "tests/store/support.h"

static void fill(fixture *f, uint64_t keys, int64_t spread_ms, int64_t from_ms)
{
    fe_random random;
    fe_random_init(&random, 7);
    for (uint64_t i = 0; i < keys; i++) {
        name_buf buf;
        int64_t deadline = from_ms + (int64_t)fe_random_below(&random, (uint64_t)spread_ms);
        CHECK(set(f, 0, name_of(&buf, i), FE_BYTES("0123456789012345678901234567890123456789"),
                  deadline));
    }
}

/* Steps as a worker takes them, until a pass ends; returns how many there were. */
static uint64_t settle(fixture *f)
{
    uint64_t steps = 0;
    for (; steps < 1000000; steps++) {
        bool more = fe_store_step_expire(f->store, 500);
        more |= fe_store_step_compact(f->store, 32768);
        if (!more) break;
    }
    empty_trash(f);
    return steps;
}

TEST(a_key_past_its_deadline_is_absent_and_removed_when_it_is_looked_up)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("1"), START_MS + 10));
    fe_store_set_now(f.store, START_MS + 10);
    CHECK(exists(&f, 0, FE_BYTES("a")));
    fe_store_set_now(f.store, START_MS + 11);
    CHECK_INT(1, fe_store_db_size(f.store, 0));
    CHECK(!exists(&f, 0, FE_BYTES("a")));
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(1, stats.expired_keys);
    CHECK_INT(0, stats.expired_steps);
    fixture_close(&f);
}

TEST(keys_that_expire_evenly_give_their_memory_back_without_reads)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    uint64_t keys = 100000, empty = fe_store_used(f.store);
    fill(&f, keys, 10000, START_MS + 1);
    uint64_t full = fe_store_used(f.store) - empty;
    for (int64_t ms = 0; ms <= 12000; ms += 100) {
        fe_store_set_now(f.store, START_MS + ms);
        (void)settle(&f);
        if (ms % 3000 == 0) check_store(&f);
        if (ms < 2000 || ms > 10000) continue;
        double left = (double)fe_store_db_size(f.store, 0) / (double)keys;
        double due = 1.0 - (double)(ms - 1500) / 10000;
        CHECK(left <= due + 0.01);
        double used = (double)(fe_store_used(f.store) - empty) / (double)full;
        CHECK(used <= left * 1.35 + 0.12); /* the index shrinks at half its load, tails are open */
    }
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    CHECK(fe_store_used(f.store) - empty <= 3 * 65536);
    fe_store_stats stats;
    fe_store_stats_get(f.store, &stats);
    CHECK_INT(keys, stats.expired_keys);
    CHECK_INT(keys, stats.expired_steps);
    CHECK_INT(0, stats.expired_unreclaimed_bytes);
    check_store(&f);
    fixture_close(&f);
}

TEST(far_deadlines_cost_no_walks)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    fill(&f, 50000, 1000000, START_MS + 86400000);
    uint64_t steps = 0;
    for (int64_t ms = 0; ms <= 60000; ms += 100) {
        fe_store_set_now(f.store, START_MS + ms);
        steps += settle(&f);
    }
    CHECK(steps < 5);
    CHECK_INT(50000, fe_store_db_size(f.store, 0));
    fixture_close(&f);
}

TEST(a_few_that_expire_among_many_that_do_not_are_found_within_seconds)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    fill(&f, 50000, 1000000, START_MS + 86400000);
    for (uint64_t i = 0; i < 20; i++) {
        name_buf buf;
        CHECK(set(&f, 1, name_of(&buf, i), FE_BYTES("short"), START_MS + 1000));
    }
    for (uint64_t i = 0; i < 20; i++) { /* in segments that are full already */
        name_buf buf;
        fe_key key;
        find(&f, 0, name_of(&buf, i * 997), &key);
        CHECK_INT(FE_OK, fe_key_set_deadline(&key, START_MS + 1000));
    }
    for (int64_t ms = 0; ms <= 4000; ms += 50) {
        fe_store_set_now(f.store, START_MS + ms);
        (void)settle(&f);
        if (ms == 900) CHECK_INT(20, fe_store_db_size(f.store, 1));
    }
    CHECK_INT(0, fe_store_db_size(f.store, 1));
    CHECK_INT(50000 - 20, fe_store_db_size(f.store, 0));
    check_store(&f);
    fixture_close(&f);
}

TEST(a_deadline_set_while_its_segment_is_being_walked_is_not_forgotten)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < 2000; i++) {
        name_buf buf;
        CHECK(set(&f, 0, name_of(&buf, i), FE_BYTES("v"), START_MS + (i % 2 ? 100 : 10000000)));
    }
    fe_store_set_now(f.store, START_MS + 3000);
    for (unsigned i = 0; i < 20;
         i++) { /* walks stop inside segments; keys behind and ahead change */
        (void)fe_store_step_expire(f.store, 100);
        name_buf buf;
        fe_key key;
        find(&f, 0, name_of(&buf, i * 100), &key);
        CHECK_INT(FE_OK, fe_key_set_deadline(&key, START_MS + 5000));
    }
    for (int64_t ms = 3000; ms <= 9000; ms += 50) {
        fe_store_set_now(f.store, START_MS + ms);
        (void)settle(&f);
    }
    CHECK_INT(1000 - 20, fe_store_db_size(f.store, 0));
    check_store(&f);
    fixture_close(&f);
}

TEST(a_step_does_no_more_than_it_may)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    fill(&f, 20000, 10, START_MS + 1);
    fe_store_set_now(f.store, START_MS + 5000);
    fe_store_stats before, after;
    fe_store_stats_get(f.store, &before);
    CHECK(fe_store_step_expire(f.store, 160));
    fe_store_stats_get(f.store, &after);
    CHECK(after.expired_keys > before.expired_keys);
    CHECK(after.expired_keys - before.expired_keys <= 160);
    fixture_close(&f);
}

int main(void)
{
    RUN(a_key_past_its_deadline_is_absent_and_removed_when_it_is_looked_up);
    RUN(keys_that_expire_evenly_give_their_memory_back_without_reads);
    RUN(far_deadlines_cost_no_walks);
    RUN(a_few_that_expire_among_many_that_do_not_are_found_within_seconds);
    RUN(a_deadline_set_while_its_segment_is_being_walked_is_not_forgotten);
    RUN(a_step_does_no_more_than_it_may);
    return check_done();
}
