/* Looking at where keys are, and at the numbers: nothing changes by it. */
#include "tests/check.h"

#include "store/look.h"
#include "tests/store/tier_support.h"

static fe_whereabouts look_at(tiered *t, uint64_t number)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, number);
    fe_whereabouts where;
    memset(&where, 0xff, sizeof where);
    bool found = fe_look_key(t->f.store, 0, name, fe_key_hash(&t->f.seed, name), &where);
    return found ? where : (fe_whereabouts){.tier = FE_TIER_FREE};
}

static fe_look_stats looks(tiered *t)
{
    fe_look_stats stats;
    fe_look_stats_get(t->f.store, &stats);
    return stats;
}

static bool look_up(tiered *t, uint64_t number, bool no_touch)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, number);
    fe_key key;
    fe_key_look_up(t->f.store, 0, name, fe_key_hash(&t->f.seed, name), no_touch, &key);
    return fe_key_exists(&key);
}

static void fetch(tiered *t, uint64_t number)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, number);
    make_resident(t, 0, name, fe_key_hash(&t->f.seed, name));
}

TEST(a_key_is_where_it_was_sent)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 100, 100);
    fe_whereabouts first = look_at(&t, 7);
    CHECK_INT(FE_TIER_MUTABLE, first.tier);
    CHECK(first.certain && first.bytes >= 100 && first.at.segment != 0 && first.home.segment == 0);
    demote_all(&t, FE_TIER_SEALED);
    CHECK_INT(FE_TIER_SEALED, look_at(&t, 7).tier);
    demote_all(&t, FE_TIER_MAPPED);
    fe_whereabouts mapped = look_at(&t, 7);
    CHECK_INT(FE_TIER_MAPPED, mapped.tier);
    CHECK(mapped.certain && mapped.bytes == first.bytes && mapped.at.offset == first.at.offset);
    demote_all(&t, FE_TIER_DISK);
    fe_whereabouts cold = look_at(&t, 7);
    CHECK_INT(FE_TIER_DISK, cold.tier);
    CHECK(!cold.certain && cold.bytes == 0 && cold.at.segment == first.at.segment);
    CHECK_INT((int64_t)first.at.offset, (int64_t)cold.at.offset);
    CHECK_INT(0, (int64_t)looks(&t).fetch.reads);
    fetch(&t, 7);
    fe_whereabouts copy = look_at(&t, 7);
    CHECK_INT(FE_TIER_CACHE, copy.tier);
    CHECK(copy.certain && copy.bytes == first.bytes && copy.home.segment == first.at.segment);
    CHECK_INT((int64_t)first.at.offset, (int64_t)copy.home.offset);
    CHECK_INT(FE_TIER_FREE, look_at(&t, 1000).tier);
    tiered_close(&t);
}

TEST(looking_touches_and_expires_nothing)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf buf;
    uint8_t value[16];
    CHECK(set(&t.f, 0, name_of(&buf, 1), value_of(value, 1, 16), START_MS + 10));
    fill(&t, 2, 3, 16);
    demote_all(&t, FE_TIER_MAPPED);
    for (int i = 0; i < 5; i++)
        CHECK_INT(0, look_at(&t, 2).marks);
    CHECK(look_up(&t, 2, false));
    CHECK_INT(1, look_at(&t, 2).marks);
    fe_store_set_now(t.f.store, START_MS + 20);
    CHECK_INT(FE_TIER_FREE, look_at(&t, 1).tier);
    CHECK_INT(2, (int64_t)fe_store_db_size(t.f.store, 0));
    CHECK(!look_up(&t, 1, true));
    CHECK_INT(1, (int64_t)fe_store_db_size(t.f.store, 0));
    tiered_close(&t);
}

TEST(hits_are_counted_where_the_record_was)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 10, 50);
    CHECK(look_up(&t, 0, false) && look_up(&t, 1, true) && !look_up(&t, 99, false));
    demote_all(&t, FE_TIER_MAPPED);
    CHECK(look_up(&t, 2, true));
    demote_all(&t, FE_TIER_DISK);
    fetch(&t, 3);
    CHECK(look_up(&t, 3, false)); /* what it was read for */
    CHECK_INT(0, look_at(&t, 3).marks);
    CHECK(look_up(&t, 3, false));
    CHECK_INT(1, look_at(&t, 3).marks);
    fetch(&t, 4);
    CHECK(look_up(&t, 4, true)); /* so too without a mark */
    CHECK(look_up(&t, 4, false));
    CHECK_INT(1, look_at(&t, 4).marks);
    fe_look_stats stats = looks(&t);
    CHECK_INT(2, (int64_t)stats.hits[FE_TIER_MUTABLE]);
    CHECK_INT(1, (int64_t)stats.hits[FE_TIER_MAPPED]);
    CHECK_INT(2, (int64_t)stats.hits[FE_TIER_DISK]);
    CHECK_INT(2, (int64_t)stats.hits[FE_TIER_CACHE]);
    fe_store_stats store;
    fe_store_stats_get(t.f.store, &store);
    CHECK(store.hits == 7 && store.misses == 1);
    fe_store_stats_reset(t.f.store);
    CHECK_INT(0, (int64_t)looks(&t).hits[FE_TIER_DISK]);
    tiered_close(&t);
}

TEST(numbers_follow_what_moves)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    fe_look_stats before = looks(&t);
    CHECK(before.frozen.appended_bytes >= 500000 && before.switches == 0);
    CHECK_INT((int64_t)t.f.store->log.segment_count,
              (int64_t)before.tier.tiers[FE_TIER_MUTABLE].segments);
    demote_all(&t, FE_TIER_MAPPED);
    uint64_t mapped = looks(&t).tier.tiers[FE_TIER_MAPPED].bytes;
    CHECK(mapped >= 500000);
    CHECK_INT((int64_t)mapped, (int64_t)(fe_look_memory(t.f.store) - fe_store_used(t.f.store)));
    demote_all(&t, FE_TIER_DISK);
    fe_look_stats after = looks(&t);
    CHECK_INT((int64_t)(3 * after.tier.flushed), (int64_t)after.switches);
    CHECK_INT((int64_t)fe_store_used(t.f.store), (int64_t)fe_look_memory(t.f.store));
    CHECK(after.tier.tiers[FE_TIER_DISK].live == before.tier.tiers[FE_TIER_MUTABLE].live);
    tiered_close(&t);
}

TEST(the_read_cache_can_be_emptied)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 500, 500);
    demote_all(&t, FE_TIER_DISK);
    for (uint64_t i = 0; i < 500; i += 5) {
        fetch(&t, i);
        for (int reads = 0; reads < 4; reads++)
            CHECK(look_up(&t, i, false));
    }
    uint64_t budget = looks(&t).tier.cache_max;
    CHECK(looks(&t).tier.tiers[FE_TIER_CACHE].live > 50000);
    unsigned steps = 0;
    while (fe_look_trim_cache(t.f.store, 4096) && steps < 10000)
        steps++;
    CHECK(steps > 1 && steps < 10000);
    CHECK_INT(0, (int64_t)looks(&t).tier.tiers[FE_TIER_CACHE].bytes);
    CHECK_INT((int64_t)budget, (int64_t)looks(&t).tier.cache_max);
    CHECK_INT(FE_TIER_DISK, look_at(&t, 5).tier);
    check_store(&t.f);
    fetch(&t, 5);
    CHECK_INT(FE_TIER_CACHE, look_at(&t, 5).tier);
    tiered_close(&t);
}

TEST(a_store_in_memory_has_one_tier)
{
    fe_store_options options = fixture_options();
    tiered t = {0};
    fixture_open(&t.f, &options);
    fill(&t, 0, 10, 50);
    fe_whereabouts where = look_at(&t, 3);
    CHECK(where.tier == FE_TIER_MUTABLE && where.certain && where.marks == 0);
    CHECK(look_up(&t, 3, false));
    fe_look_stats stats = looks(&t);
    CHECK_INT(1, (int64_t)stats.hits[FE_TIER_MUTABLE]);
    CHECK(stats.tier.tiers[FE_TIER_MUTABLE].live > 500 && stats.tier.mutable_max == 0);
    CHECK(fe_look_memory(t.f.store) == fe_store_used(t.f.store));
    CHECK(!fe_look_trim_cache(t.f.store, 4096));
    fixture_close(&t.f);
}

int main(void)
{
    RUN(a_key_is_where_it_was_sent);
    RUN(looking_touches_and_expires_nothing);
    RUN(hits_are_counted_where_the_record_was);
    RUN(numbers_follow_what_moves);
    RUN(the_read_cache_can_be_emptied);
    RUN(a_store_in_memory_has_one_tier);
    return check_done();
}
