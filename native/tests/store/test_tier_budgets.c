/* Memory of the tiers: what each may take, and when writers wait for it. */
#include "tests/store/tier_support.h"

#define LEN 1000u

static void count_room(void *context)
{
    ++*(unsigned *)context;
}

TEST(writers_wait_while_the_flush_is_behind_and_are_told_when_it_is_not)
{
    tiered t;
    tiered_open(&t, tiered_options());
    unsigned rooms = 0, asked = 0;
    fe_tier_on_room(t.f.store, count_room, &rooms);
    fe_tier_on_work(t.f.store, count_room, &asked);
    uint64_t written = 0;
    while (fe_store_make_room(t.f.store) == FE_OK && written < 10000) {
        fill(&t, written, written + 1, LEN);
        written++;
    }
    uint64_t room = MUTABLE_SIZE + MUTABLE_SIZE / 4;
    CHECK(written * LEN > room); /* that of mapped segments, of which there are none, is lent */
    CHECK(written * LEN <= room + READONLY_SIZE + 65536);
    CHECK(fe_tier_is_lending(t.f.store));
    CHECK(asked > 0);
    CHECK(stats_of(&t).behind);
    CHECK_INT(FE_BUSY, fe_store_make_room(t.f.store));
    CHECK_INT(0, rooms);

    CHECK(flush_sealed(&t));

    CHECK_INT(1, rooms);
    CHECK_INT(FE_OK, fe_store_make_room(t.f.store));
    CHECK_INT(2, stats_of(&t).busy);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(what_the_disk_is_slow_to_take_has_the_memory_of_mapped_segments)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 150, LEN);
    demote_all(&t, FE_TIER_MAPPED);
    settle_tiers(&t);
    const fe_log *log = &t.f.store->log;
    CHECK(log->tiers[FE_TIER_MAPPED].bytes > READONLY_SIZE / 2);
    CHECK_INT(0, log->tiers[FE_TIER_DISK].segments);
    uint64_t room = stats_of(&t).mutable_max + READONLY_SIZE, slack = stats_of(&t).mutable_max / 4;
    if (slack < 2 * log->segment_max) slack = 2 * log->segment_max;

    uint64_t i = 1000;
    unsigned refused = 0;
    while (refused < 3 && i < 10000) {
        if (fe_store_make_room(t.f.store) == FE_OK) {
            refused = 0;
            fill(&t, i, i + 1, LEN);
            i++;
            uint64_t bytes =
                log->bytes + log->tiers[FE_TIER_SEALED].bytes + log->tiers[FE_TIER_MAPPED].bytes;
            CHECK(bytes <= room + slack + 2 * log->segment_max);
            continue;
        }
        refused++; /* until what is mapped is given up */
        CHECK(fe_tier_is_lending(t.f.store));
        while (fe_tier_step(t.f.store, 65536)) {}
    }

    CHECK_INT(0, log->tiers[FE_TIER_MAPPED].bytes);
    CHECK(log->bytes + log->tiers[FE_TIER_SEALED].bytes > room);
    run_jobs(&t);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(writers_never_wait_for_garbage_alone)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf name;
    fill(&t, 0, 640, LEN);
    for (uint64_t i = 0; i < 640; i++)
        if (i % 3 != 0) CHECK(del(&t.f, 0, name_of(&name, i)));
    fe_store_options options = *fe_store_get_options(t.f.store);
    options.mutable_size = options.readonly_size = 1; /* the least */
    fe_store_set_options(t.f.store, &options);
    CHECK_INT(FE_BUSY, fe_tier_admit(t.f.store));

    settle_tiers(&t);

    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(writers_never_wait_for_a_tail_alone)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.segment_size = 4u << 20;
    tiered_open(&t, options);
    fill(&t, 0, 1, 65536);
    uint8_t *large = calloc(1, 300000);
    CHECK(set(&t.f, 0, (fe_bytes){(const uint8_t *)"large", 5}, (fe_bytes){large, 300000},
              FE_DEADLINE_NONE));
    options = *fe_store_get_options(t.f.store);
    options.mutable_size = options.readonly_size =
        1; /* the least: less than the tail that was opened for it */
    fe_store_set_options(t.f.store, &options);
    CHECK_INT(FE_BUSY, fe_tier_admit(t.f.store));

    settle_tiers(&t);

    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));
    free(large);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(budgets_that_are_not_set_are_shares_of_what_the_process_leaves)
{
    tiered t;
    fe_store_options options = fixture_options();
    options.memory_max = 1000u << 20;
    tiered_open(&t, options);
    fe_tier_stats empty = stats_of(&t);

    fe_tier_set_resident(t.f.store, 500u << 20);

    fe_tier_stats half = stats_of(&t);
    uint64_t sum = half.mutable_max + half.mutable_max / 4 + half.readonly_max + half.cache_max;
    CHECK(sum + (500u << 20) <= options.memory_max);
    CHECK(sum + (500u << 20) >= options.memory_max / 100 * 94);
    CHECK(half.mutable_max < empty.mutable_max * 55 / 100);
    CHECK_INT(half.mutable_max / 1000, half.readonly_max / 500);
    CHECK_INT(half.cache_max / 700, half.readonly_max / 100);
    CHECK(!half.index_over);

    options = *fe_store_get_options(t.f.store);
    options.cache_size = 400u << 20;
    fe_store_set_options(t.f.store, &options);
    fe_tier_stats set = stats_of(&t);
    CHECK_INT(400u << 20, set.cache_max);
    sum = set.mutable_max + set.mutable_max / 4 + set.readonly_max + set.cache_max;
    CHECK(sum + (500u << 20) <= options.memory_max);

    fe_tier_set_resident(t.f.store, 2000u << 20); /* of which the index is nothing */
    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));
    CHECK(stats_of(&t).mutable_max > 0);
    tiered_close(&t);
}

TEST(budgets_that_are_set_become_smaller_when_memory_max_does_not_hold_them)
{
    tiered t;
    fe_store_options options = fixture_options();
    options.memory_max = 100u << 20;
    options.mutable_size = 10ull << 30;
    tiered_open(&t, options);
    fe_tier_set_resident(t.f.store, 40u << 20);

    fe_tier_stats stats = stats_of(&t);
    uint64_t sum = stats.mutable_max + stats.mutable_max / 4 + stats.readonly_max + stats.cache_max;
    CHECK(sum + (40u << 20) <= options.memory_max);
    CHECK(stats.mutable_max >
          38u << 20); /* all but what the others get at least, and the reserve */

    options = *fe_store_get_options(t.f.store);
    options.readonly_size = 5ull << 30;
    options.cache_size = (uint64_t)INT64_MAX;
    fe_store_set_options(t.f.store, &options);
    stats = stats_of(&t);
    sum = stats.mutable_max + stats.mutable_max / 4 + stats.readonly_max + stats.cache_max;
    CHECK(sum + (40u << 20) <= options.memory_max);
    CHECK(sum + (40u << 20) >= options.memory_max / 100 * 94);

    options.mutable_size = 20u << 20; /* a smaller limit in the running server */
    options.readonly_size = 10u << 20;
    options.cache_size = 20u << 20;
    fe_store_set_options(t.f.store, &options);
    CHECK_INT(20u << 20, stats_of(&t).mutable_max);
    options.memory_max = 70u << 20;
    fe_store_set_options(t.f.store, &options);
    stats = stats_of(&t);
    sum = stats.mutable_max + stats.mutable_max / 4 + stats.readonly_max + stats.cache_max;
    CHECK(sum + (40u << 20) <= options.memory_max);
    CHECK_INT(stats.mutable_max / 1000, stats.cache_max / 1000);
    CHECK_INT(stats.mutable_max / 2000, stats.readonly_max / 1000);
    tiered_close(&t);
}

TEST(a_budget_without_a_limit_is_told_as_zero)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.readonly_size = 0;
    tiered_open(&t, options);

    fe_tier_stats stats = stats_of(&t);

    CHECK_INT(MUTABLE_SIZE, stats.mutable_max);
    CHECK_INT(0, stats.readonly_max);
    CHECK_INT(0, stats.cache_max);
    tiered_close(&t);
}

TEST(what_the_log_takes_is_not_counted_as_given_back)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.mutable_size = options.readonly_size = 0;
    options.memory_max = 64u << 20;
    tiered_open(&t, options);
    fe_tier_set_resident(t.f.store, 40u << 20);
    fe_tier_stats before = stats_of(&t);
    CHECK(before.mutable_max > 2u << 20);

    fill(&t, 0, 2000, LEN);
    (void)fe_tier_step(t.f.store, 65536);

    CHECK(fe_alloc_used(&t.f.alloc, FE_ALLOC_LOG) > 1u << 20);
    CHECK(stats_of(&t).mutable_max <= before.mutable_max);
    CHECK(stats_of(&t).cache_max <= before.cache_max);
    tiered_close(&t);
}

/* What is sent while its key is overwritten is no tier's any more, and cannot be given back. */
TEST(memory_that_is_held_for_readers_leaves_less_for_the_tiers)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.mutable_size = options.readonly_size = 0;
    options.memory_max = 64u << 20;
    tiered_open(&t, options);
    static uint8_t large[16u << 20];
    name_buf buf;
    CHECK(set(&t.f, 0, name_of(&buf, 0), (fe_bytes){large, sizeof(large)}, FE_DEADLINE_NONE));
    fe_tier_set_resident(t.f.store, 20u << 20);
    (void)fe_tier_step(t.f.store, 65536);
    fe_tier_stats before = stats_of(&t);
    fe_key key;
    fe_hold hold = {0};
    find(&t.f, 0, name_of(&buf, 0), &key);
    CHECK(fe_key_lend(&key, &hold));

    CHECK(del(&t.f, 0, name_of(&buf, 0)));
    run_jobs(&t);

    (void)fe_tier_step(t.f.store, 65536);
    fe_tier_stats held = stats_of(&t);
    uint64_t less = (16u << 20) * 9 / 10; /* but for the budgets' common reserve */
    CHECK(before.cache_max + before.mutable_max + before.readonly_max >
          held.cache_max + held.mutable_max + held.readonly_max + less);
    fe_store_stats stats;
    fe_store_stats_get(t.f.store, &stats);
    CHECK_INT(1, stats.lent_values);
    CHECK_INT(1, stats.held_mappings);
    CHECK(stats.held_bytes >= 16u << 20);

    fe_tier_set_resident(t.f.store, 20u << 20); /* told anew, it counts once */
    (void)fe_tier_step(t.f.store, 65536);
    CHECK_INT(held.cache_max, stats_of(&t).cache_max);

    fe_store_release(t.f.store, &hold);
    (void)fe_tier_step(t.f.store, 65536);
    CHECK_INT(before.cache_max, stats_of(&t).cache_max);
    fe_store_stats_get(t.f.store, &stats);
    CHECK_INT(0, stats.held_bytes + stats.held_mappings + stats.lent_values);
    empty_trash(&t.f);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(an_index_that_leaves_no_memory_for_records_refuses_writes)
{
    tiered t;
    fe_store_options options = fixture_options();
    tiered_open(&t, options);
    fill(&t, 0, 60000, 1);
    uint64_t index = fe_alloc_used(&t.f.alloc, FE_ALLOC_INDEX);
    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));

    options = *fe_store_get_options(t.f.store);
    options.memory_max = index + (1u << 20);
    fe_store_set_options(t.f.store, &options);

    CHECK_INT(FE_NO_MEMORY, fe_store_make_room(t.f.store));
    CHECK(stats_of(&t).index_over);
    options.memory_max = index + (16u << 20);
    fe_store_set_options(t.f.store, &options);
    CHECK(!stats_of(&t).index_over);
    tiered_close(&t);
}

TEST(a_memory_only_store_has_no_tiers)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    fe_unmap_job unmap;
    fe_dead_job dead;
    fe_tier_stats stats;

    fe_tier_on_room(f.store, count_room, NULL);
    fe_tier_set_resident(f.store, 1);
    fe_tier_stats_get(f.store, &stats);

    CHECK(!fe_tier_step(f.store, 1000));
    CHECK(!fe_tier_unmap_take(f.store, &unmap));
    CHECK(!fe_tier_dead_take(f.store, &dead));
    CHECK_INT(0, stats.mutable_max);
    fixture_close(&f);
}

int main(void)
{
    RUN(writers_wait_while_the_flush_is_behind_and_are_told_when_it_is_not);
    RUN(what_the_disk_is_slow_to_take_has_the_memory_of_mapped_segments);
    RUN(writers_never_wait_for_garbage_alone);
    RUN(writers_never_wait_for_a_tail_alone);
    RUN(budgets_that_are_not_set_are_shares_of_what_the_process_leaves);
    RUN(budgets_that_are_set_become_smaller_when_memory_max_does_not_hold_them);
    RUN(a_budget_without_a_limit_is_told_as_zero);
    RUN(what_the_log_takes_is_not_counted_as_given_back);
    RUN(memory_that_is_held_for_readers_leaves_less_for_the_tiers);
    RUN(an_index_that_leaves_no_memory_for_records_refuses_writes);
    RUN(a_memory_only_store_has_no_tiers);
    return check_done();
}
