/* memory_max: the limit is kept, the policies choose as Redis documents them, and noeviction
 * refuses.
 */
#include "tests/store/support.h"

#define MIB ((uint64_t)1 << 20)

static uint8_t filling[4096];

static void limited(fixture *f, uint64_t memory_max, fe_policy policy)
{
    fe_store_options options = fixture_options();
    options.memory_max = memory_max;
    options.policy = policy;
    options.samples = 10;
    fixture_open(f, &options);
}

static bool put(fixture *f, uint64_t number, size_t len, int64_t deadline)
{
    name_buf buf;
    if (fe_store_make_room(f->store) != FE_OK) return false;
    return set(f, 0, name_of(&buf, number), (fe_bytes){filling, len}, deadline);
}

static uint64_t present(fixture *f, uint64_t from, uint64_t to)
{
    uint64_t count = 0;
    for (uint64_t i = from; i < to; i++) {
        name_buf buf;
        fe_key key;
        fe_bytes name = name_of(&buf, i);
        fe_key_find(f->store, 0, name, fe_key_hash(&f->seed, name), true, &key);
        count += fe_key_exists(&key);
    }
    return count;
}

TEST(new_keys_without_end_never_take_more_than_the_limit_and_one_segment)
{
    const fe_policy policies[] = {FE_POLICY_ALLKEYS_LRU,    FE_POLICY_ALLKEYS_LFU,
                                  FE_POLICY_ALLKEYS_RANDOM, FE_POLICY_VOLATILE_LRU,
                                  FE_POLICY_VOLATILE_LFU,   FE_POLICY_VOLATILE_RANDOM,
                                  FE_POLICY_VOLATILE_TTL};
    for (unsigned p = 0; p < sizeof(policies) / sizeof(policies[0]); p++) {
        fixture f;
        limited(&f, 4 * MIB, policies[p]);
        fe_random random;
        fe_random_init(&random, p);
        uint64_t peak = 0;
        for (uint64_t i = 0; i < 60000; i++) {
            if (i % 100 == 0) fe_store_set_now(f.store, START_MS + (int64_t)i);
            CHECK(put(&f, i, fe_random_below(&random, 300), START_MS + 1000000 + (int64_t)i));
            if (fe_store_used(f.store) > peak) peak = fe_store_used(f.store);
        }
        CHECK(peak <= 4 * MIB + 65536);
        CHECK(peak > 4 * MIB - 4 * 65536);
        fe_store_stats stats;
        fe_store_stats_get(f.store, &stats);
        CHECK(stats.log_live_bytes > 2 * MIB); /* the limit is used for data */
        CHECK_INT(60000, fe_store_db_size(f.store, 0) + stats.evicted_keys);
        check_store(&f);
        fixture_close(&f);
    }
}

TEST(noeviction_refuses_when_the_limit_is_reached_and_accepts_again_after_deletes)
{
    fixture f;
    limited(&f, 2 * MIB, FE_POLICY_NOEVICTION);
    uint64_t n = 0;
    while (put(&f, n, 100, FE_DEADLINE_NONE))
        n++;
    CHECK(n > 8000);
    CHECK(fe_store_used(f.store) <= 2 * MIB + 65536);
    CHECK(!put(&f, n, 100, FE_DEADLINE_NONE));
    CHECK_INT(n, present(&f, 0, n));
    for (uint64_t i = 0; i < n; i += 2) {
        name_buf buf;
        CHECK(del(&f, 0, name_of(&buf, i)));
    }
    uint64_t accepted = 0;
    for (uint64_t i = 0; i < n / 4; i++)
        accepted += put(&f, n + i, 100, FE_DEADLINE_NONE);
    CHECK_INT(n / 4, accepted);
    CHECK(fe_store_used(f.store) <= 2 * MIB + 65536);
    check_store(&f);
    fixture_close(&f);
}

TEST(overwrites_at_the_limit_go_on_for_ever_without_eviction)
{
    fixture f;
    limited(&f, 2 * MIB, FE_POLICY_NOEVICTION);
    fe_random random;
    fe_random_init(&random, 5);
    for (uint64_t i = 0; i < 3500; i++)
        CHECK(put(&f, i, 100 + fe_random_below(&random, 300), FE_DEADLINE_NONE));
    uint64_t refused = 0;
    for (uint64_t i = 0; i < 60000; i++)
        refused += !put(&f, fe_random_below(&random, 3500), 100 + fe_random_below(&random, 300),
                        FE_DEADLINE_NONE);
    CHECK_INT(0, refused);
    CHECK(fe_store_used(f.store) <= 2 * MIB + 65536);
    check_store(&f);
    fixture_close(&f);
}

TEST(volatile_policies_evict_only_keys_with_a_deadline_and_refuse_when_there_are_none)
{
    fixture f;
    limited(&f, 2 * MIB, FE_POLICY_VOLATILE_LRU);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK(put(&f, i, 100, FE_DEADLINE_NONE));
    for (uint64_t i = 5000; i < 30000; i++)
        CHECK(put(&f, i, 100, START_MS + 1000000));
    CHECK_INT(5000, present(&f, 0, 5000));
    CHECK(present(&f, 5000, 30000) > 2000);
    uint64_t n = 30000;
    while (n < 60000 && put(&f, n, 100, FE_DEADLINE_NONE))
        n++;
    CHECK(n < 60000);
    CHECK_INT(0, present(&f, 5000, 30000)); /* all of them went before the first refusal */
    CHECK_INT(n - 30000, present(&f, 30000, n));
    check_store(&f);
    fixture_close(&f);
}

TEST(lru_keeps_what_is_used)
{
    fixture f;
    limited(&f, 4 * MIB, FE_POLICY_ALLKEYS_LRU);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK(put(&f, i, 100, FE_DEADLINE_NONE));
    for (uint64_t i = 5000; i < 60000; i++) {
        fe_store_set_now(f.store, START_MS + (int64_t)i * 20);
        CHECK(put(&f, i, 100, FE_DEADLINE_NONE));
        name_buf buf;
        (void)exists(&f, 0, name_of(&buf, i % 2000)); /* the first 2000 are read all the time */
    }
    CHECK(present(&f, 0, 2000) > 1960);
    CHECK(present(&f, 2000, 5000) < 30);
    fixture_close(&f);
}

TEST(lfu_keeps_what_is_used_often)
{
    fixture f;
    limited(&f, 4 * MIB, FE_POLICY_ALLKEYS_LFU);
    for (uint64_t i = 0; i < 2000; i++) {
        CHECK(put(&f, i, 100, FE_DEADLINE_NONE));
        name_buf buf;
        for (unsigned times = 0; times < 60; times++)
            (void)exists(&f, 0, name_of(&buf, i));
    }
    name_buf buf;
    fe_key key;
    find(&f, 0, name_of(&buf, 7), &key);
    CHECK(fe_store_frequency(f.store, key.record) > 7);
    CHECK(fe_store_frequency(f.store, key.record) < 40);
    for (uint64_t i = 2000; i < 60000; i++)
        CHECK(put(&f, i, 100, FE_DEADLINE_NONE));
    CHECK(present(&f, 0, 2000) > 1960);
    fixture_close(&f);
}

TEST(volatile_ttl_evicts_the_nearest_deadline_first)
{
    fixture f;
    limited(&f, 4 * MIB, FE_POLICY_VOLATILE_TTL);
    for (uint64_t i = 0; i < 60000; i++)
        CHECK(put(&f, i, 100, START_MS + (i % 2 ? 1000000 : 2000000) + (int64_t)i));
    uint64_t near = 0, far = 0;
    for (uint64_t i = 0; i < 60000; i += 2) {
        far += present(&f, i, i + 1);
        near += present(&f, i + 1, i + 2);
    }
    CHECK(far > 10 * near);
    fixture_close(&f);
}

TEST(a_lower_limit_is_reached_in_bounded_steps_while_writes_go_on)
{
    fixture f;
    limited(&f, 16 * MIB, FE_POLICY_ALLKEYS_RANDOM);
    uint64_t n = 0;
    while (fe_store_used(f.store) < 15 * MIB)
        CHECK(put(&f, n++, 100, FE_DEADLINE_NONE));
    fe_store_options options = *fe_store_get_options(f.store);
    options.memory_max = 4 * MIB;
    fe_store_set_options(f.store, &options);
    uint64_t evicted = 0, most = 0, calls = 0;
    while (fe_store_used(f.store) > 4 * MIB && calls++ < 100000) {
        CHECK(put(&f, n++, 100, FE_DEADLINE_NONE));
        fe_store_stats stats;
        fe_store_stats_get(f.store, &stats);
        if (stats.evicted_keys - evicted > most) most = stats.evicted_keys - evicted;
        evicted = stats.evicted_keys;
    }
    CHECK(fe_store_used(f.store) <= 4 * MIB);
    CHECK(most < 400);
    check_store(&f);
    fixture_close(&f);
}

TEST(a_limit_below_what_an_empty_store_takes_refuses_every_write)
{
    fixture f;
    limited(&f, 1, FE_POLICY_ALLKEYS_LRU);
    CHECK(!put(&f, 1, 10, FE_DEADLINE_NONE));
    fixture_close(&f);
}

TEST(memory_of_other_classes_counts_against_the_limit)
{
    fixture f;
    limited(&f, 4 * MIB, FE_POLICY_ALLKEYS_LRU);
    for (uint64_t i = 0; i < 20000; i++)
        CHECK(put(&f, i, 100, FE_DEADLINE_NONE));
    void *buffers = fe_alloc_take(&f.alloc, FE_ALLOC_CLIENT, 2 * MIB);
    for (uint64_t i = 0; i < 20000; i++)
        CHECK(put(&f, 20000 + i, 100, FE_DEADLINE_NONE));
    CHECK(fe_store_used(f.store) <= 4 * MIB + 65536);
    fe_alloc_give(&f.alloc, FE_ALLOC_CLIENT, buffers);
    fixture_close(&f);
}

TEST(a_write_is_refused_when_what_others_hold_alone_is_over_the_limit)
{
    const fe_policy policies[] = {FE_POLICY_ALLKEYS_LRU,    FE_POLICY_ALLKEYS_LFU,
                                  FE_POLICY_ALLKEYS_RANDOM, FE_POLICY_VOLATILE_LRU,
                                  FE_POLICY_VOLATILE_LFU,   FE_POLICY_VOLATILE_RANDOM,
                                  FE_POLICY_VOLATILE_TTL};
    for (unsigned p = 0; p < sizeof(policies) / sizeof(policies[0]); p++) {
        fixture f;
        limited(&f, 2 * MIB, policies[p]);
        for (uint64_t i = 0; i < 3; i++) /* all of them in the tail, which is never a victim */
            CHECK(put(&f, i, 100, START_MS + 1000000));
        void *buffers = fe_alloc_take(&f.alloc, FE_ALLOC_CLIENT, 3 * MIB);
        CHECK(!put(&f, 3, 100, START_MS + 1000000));
        CHECK_INT(0, fe_store_db_size(f.store, 0));
        fe_alloc_give(&f.alloc, FE_ALLOC_CLIENT, buffers);
        CHECK(put(&f, 3, 100, START_MS + 1000000));
        check_store(&f);
        fixture_close(&f);
    }
}

TEST(what_is_warm_goes_too_when_all_that_is_cold_is_where_new_keys_are_written)
{
    fixture f;
    limited(&f, 4 * MIB, FE_POLICY_ALLKEYS_LRU);
    static uint8_t large[256 << 10];
    for (uint64_t i = 0; i < 100; i++)
        CHECK(put(&f, i, 100, FE_DEADLINE_NONE));
    fe_store_set_now(f.store, START_MS + 3600 * 1000);
    name_buf buf;
    for (uint64_t i = 100; i < 105; i++) /* each in a segment of its own */
        CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){large, sizeof(large)}, FE_DEADLINE_NONE));
    void *buffers = fe_alloc_take(&f.alloc, FE_ALLOC_CLIENT, 5 * MIB);
    CHECK(!put(&f, 105, 100, FE_DEADLINE_NONE));
    CHECK_INT(0, fe_store_db_size(f.store, 0));
    fe_alloc_give(&f.alloc, FE_ALLOC_CLIENT, buffers);
    CHECK(put(&f, 105, 100, FE_DEADLINE_NONE));
    check_store(&f);
    fixture_close(&f);
}

TEST(the_space_of_what_is_evicted_is_used_again)
{
    const fe_policy policies[] = {FE_POLICY_ALLKEYS_LRU, FE_POLICY_ALLKEYS_LFU,
                                  FE_POLICY_ALLKEYS_RANDOM, FE_POLICY_VOLATILE_LRU};
    for (unsigned p = 0; p < sizeof(policies) / sizeof(policies[0]); p++) {
        fixture f;
        limited(&f, 16 * MIB, policies[p]);
        for (uint64_t i = 0; i < 300000; i++) {
            if (i % 100 == 0) fe_store_set_now(f.store, START_MS + (int64_t)i * 10);
            CHECK(put(&f, i, 100, START_MS + 100000000));
        }
        fe_store_stats stats;
        fe_store_stats_get(f.store, &stats);
        uint64_t data = stats.log_live_bytes + stats.index_buckets * 64;
        CHECK(data > 16 * MIB / 100 * 88);
        CHECK(stats.compacted_bytes < 16 * stats.evicted_keys * 128);
        check_store(&f);
        fixture_close(&f);
    }
}

/* Values that have segments of their own, and small ones, in one log. */
TEST(large_values_that_are_used_stay_among_small_ones_and_other_large_ones)
{
    static uint8_t large[100000];
    fixture f;
    limited(&f, 16 * MIB, FE_POLICY_ALLKEYS_LRU);
    fe_random random;
    fe_random_init(&random, 9);
    name_buf buf;
    for (uint64_t i = 0; i < 20000; i++) {
        fe_store_set_now(f.store, START_MS + (int64_t)i * 50);
        CHECK_INT(FE_OK, fe_store_make_room(f.store));
        size_t len = i % 20 == 0 ? 20000 + fe_random_below(&random, 80000) : 500;
        CHECK(set(&f, 0, name_of(&buf, i), (fe_bytes){large, len}, FE_DEADLINE_NONE));
        (void)exists(&f, 0, name_of(&buf, 20 * (i % 50))); /* the first 50 large ones */
        CHECK(fe_store_used(f.store) < 16 * MIB + 4 * sizeof(large));
    }
    uint64_t used = 0, others = 0;
    for (uint64_t i = 0; i < 20000; i += 20)
        *(i < 1000 ? &used : &others) += exists(&f, 0, name_of(&buf, i));
    CHECK(used >= 48);
    CHECK(others > 50 && others < 500);
    check_store(&f);
    fixture_close(&f);
}

int main(void)
{
    RUN(new_keys_without_end_never_take_more_than_the_limit_and_one_segment);
    RUN(noeviction_refuses_when_the_limit_is_reached_and_accepts_again_after_deletes);
    RUN(overwrites_at_the_limit_go_on_for_ever_without_eviction);
    RUN(volatile_policies_evict_only_keys_with_a_deadline_and_refuse_when_there_are_none);
    RUN(lru_keeps_what_is_used);
    RUN(lfu_keeps_what_is_used_often);
    RUN(volatile_ttl_evicts_the_nearest_deadline_first);
    RUN(a_lower_limit_is_reached_in_bounded_steps_while_writes_go_on);
    RUN(a_limit_below_what_an_empty_store_takes_refuses_every_write);
    RUN(memory_of_other_classes_counts_against_the_limit);
    RUN(a_write_is_refused_when_what_others_hold_alone_is_over_the_limit);
    RUN(what_is_warm_goes_too_when_all_that_is_cold_is_where_new_keys_are_written);
    RUN(the_space_of_what_is_evicted_is_used_again);
    RUN(large_values_that_are_used_stay_among_small_ones_and_other_large_ones);
    return check_done();
}
