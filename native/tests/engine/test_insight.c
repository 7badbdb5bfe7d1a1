/* Insight over a real store: what it is told of commands becomes a curve, and ages. */
#include "tests/check.h"

#include "engine/engine.h"

#include <math.h>

#define KEYS 40000u
#define VALUE_LEN 100u
#define START_MS 1000000

typedef struct insight_rig {
    fe_engine *engine;
    fe_insight *insight;
    int64_t now_ms;
} insight_rig;

static void open_rig(insight_rig *it, bool curve)
{
    fe_engine_options options = {.store = {.databases = 2, .samples = 5, .seed = {1, 2}},
                                 .expire_effort = 1,
                                 .hz = 10,
                                 .insight = {.curve_half_life_s = 100}};
    it->engine = fe_engine_new(&options);
    if (it->engine == NULL) abort();
    it->insight = &it->engine->insight;
    it->now_ms = START_MS;
    fe_store_set_now(it->engine->store, it->now_ms);
    options.insight.curve = curve;
    fe_insight_set_options(it->insight, &options.insight, it->now_ms);
}

/* Notes a use of each key; with `write` each is written before, and deleted with `remove`. */
static void use_all(insight_rig *it, bool is_read, bool write, bool remove)
{
    fe_store *store = it->engine->store;
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[16];
        fe_bytes name = {(const uint8_t *)text, (size_t)snprintf(text, sizeof text, "k%07u", i)};
        uint64_t hash = fe_key_hash(fe_store_seed(store), name);
        fe_key key;
        fe_key_find(store, 0, name, hash, true, &key);
        uint8_t *value =
            write ? fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, VALUE_LEN, FE_DEADLINE_NONE)
                  : NULL;
        if (value != NULL) memset(value, 'v', VALUE_LEN);
        if (remove) fe_key_delete(&key);
        fe_insight_use use = {
            .argv = &name, .hashes = &hash, .keys = 1, .is_read = is_read, .now_ms = it->now_ms};
        if (!fe_insight_pass(it->insight, hash, is_read)) fe_insight_note(it->insight, &use);
    }
}

static double ratio_of(const insight_rig *it, double share)
{
    double bytes = share * KEYS * (double)fe_record_size_for(0, 8, VALUE_LEN);
    return fe_mrc_hit_ratio(it->insight->curve, (uint64_t)bytes);
}

TEST(reads_in_turn_need_a_cache_of_the_size_of_all_records)
{
    insight_rig it;
    open_rig(&it, true);

    use_all(&it, false, true, false);
    use_all(&it, true, false, false);
    use_all(&it, true, false, false);

    CHECK_INT(2 * KEYS, (int64_t)fe_mrc_reads(it.insight->curve));
    CHECK(it.insight->curve->stacked > KEYS / 256);
    CHECK(ratio_of(&it, 0.5) < 0.3);
    CHECK(ratio_of(&it, 1.6) > 0.99);
    fe_engine_free(it.engine);
}

TEST(deleted_and_forgotten_keys_are_misses_at_any_size)
{
    insight_rig it;
    open_rig(&it, true);
    use_all(&it, false, true, true);
    use_all(&it, true, false, false);
    CHECK(ratio_of(&it, 100) < 0.3);

    fe_insight_reset(it.insight, it.now_ms);
    use_all(&it, false, true, false);
    fe_insight_forget(it.insight, 1);
    use_all(&it, true, false, false);
    CHECK(ratio_of(&it, 100) > 0.99);
    fe_insight_reset(it.insight, it.now_ms);
    fe_insight_forget(it.insight, 0);
    CHECK_INT(0, it.insight->curve->stacked);
    fe_engine_free(it.engine);
}

TEST(reads_and_the_time_that_they_took_decay_alike)
{
    insight_rig it;
    open_rig(&it, true);
    use_all(&it, true, true, false);

    it.now_ms += 100 * 1000;
    CHECK(fabs(fe_insight_curve_seconds(it.insight, it.now_ms) - 100) < 1e-6);
    use_all(&it, false, false, false);

    CHECK(fabs(fe_insight_curve_seconds(it.insight, it.now_ms) - 50) < 1e-6);
    CHECK(fabs(fe_mrc_reads(it.insight->curve) - KEYS / 2.0) < 1e-6);
    it.now_ms -= 3600 * 1000; /* the date is set back */
    use_all(&it, false, false, false);
    CHECK(fabs(fe_insight_curve_seconds(it.insight, it.now_ms) - 50) < 1e-6);
    fe_engine_free(it.engine);
}

TEST(sampled_uses_of_keys_stand_for_all_of_them)
{
    insight_rig it;
    open_rig(&it, false);
    fe_insight_options options = {.hot_keys = true, .hot_half_life_s = 60};
    fe_insight_set_options(it.insight, &options, it.now_ms);
    const fe_bytes argv[] = {FE_BYTES("MGET"), FE_BYTES("a"), FE_BYTES("b")};
    const uint64_t hashes[] = {0, 1, 2};
    for (uint32_t n = 0; n < 400000; n++) {
        fe_insight_use use = {.argv = argv,
                              .argc = 3,
                              .reply_bytes = 94,
                              .hashes = hashes,
                              .keys = n % 4 == 0 ? 6 : 2,
                              .now_ms = it.now_ms};
        bool passed = n % 4 != 0 && fe_insight_pass(it.insight, hashes[1], false);
        if (!passed) fe_insight_note(it.insight, &use);
    }

    fe_hot_line lines[FE_HOT_KEYS];
    CHECK_INT(2, fe_hot_list(&it.insight->hot->by[FE_HOT_RATE], it.now_ms, lines));
    CHECK(fabs(lines[0].per_second / 400000 - 1) < 0.1);
    CHECK(fabs(lines[1].per_second / 100000 - 1) < 0.2);
    CHECK_INT(2, fe_hot_list(&it.insight->hot->by[FE_HOT_BYTES], it.now_ms, lines));
    CHECK(fabs((lines[0].per_second + lines[1].per_second) / 40e6 - 1) < 0.1);
    CHECK_INT(0, fe_hot_list(&it.insight->hot->by[FE_HOT_TICKS], it.now_ms, lines));
    CHECK(it.insight->hot_pace.interval > 16);
    it.now_ms += 60000; /* little happens: all is looked at again */
    use_all(&it, true, false, false);
    fe_insight_reset(it.insight, it.now_ms);
    CHECK_INT(0, fe_hot_list(&it.insight->hot->by[FE_HOT_RATE], it.now_ms, lines));
    options.hot_keys = false;
    fe_insight_set_options(it.insight, &options, it.now_ms);
    CHECK(!fe_insight_is_on(it.insight));
    fe_engine_free(it.engine);
}

/* What a command uses beyond the sample's distance counts as well. */
TEST(uses_of_commands_with_many_keys_are_all_counted)
{
    enum { COMMANDS = 20000, KEYS_OF_ONE = 50 };
    insight_rig it;
    open_rig(&it, false);
    fe_insight_options options = {.hot_keys = true, .hot_half_life_s = 60};
    fe_insight_set_options(it.insight, &options, it.now_ms);
    fe_bytes argv[1 + KEYS_OF_ONE] = {FE_BYTES("MGET")};
    uint64_t hashes[1 + KEYS_OF_ONE] = {0};
    char names[1 + KEYS_OF_ONE] = {0};
    for (uint32_t i = 1; i <= KEYS_OF_ONE; i++) {
        names[i] = (char)('0' + i);
        argv[i] = (fe_bytes){(const uint8_t *)&names[i], 1};
        hashes[i] = i;
    }
    fe_insight_use use = {.argv = argv,
                          .argc = 1 + KEYS_OF_ONE,
                          .hashes = hashes,
                          .keys = ((1ULL << KEYS_OF_ONE) - 1) << 1,
                          .now_ms = it.now_ms};
    for (uint32_t n = 0; n < COMMANDS; n++)
        fe_insight_note(it.insight, &use);

    fe_hot_line lines[FE_HOT_KEYS];
    double sum = 0;
    uint32_t count = fe_hot_list(&it.insight->hot->by[FE_HOT_RATE], it.now_ms, lines);
    for (uint32_t i = 0; i < count; i++)
        sum += lines[i].per_second;
    CHECK_INT(KEYS_OF_ONE, count);
    CHECK(fabs(sum / (COMMANDS * KEYS_OF_ONE) - 1) < 0.01);
    fe_engine_free(it.engine);
}

TEST(what_is_off_takes_no_memory)
{
    insight_rig it;
    open_rig(&it, false);
    fe_insight_options options = {.curve = true};
    uint64_t off = fe_alloc_used(&it.engine->alloc, FE_ALLOC_ENGINE);
    CHECK(!fe_insight_is_on(it.insight));

    fe_alloc_fail_after(&it.engine->alloc, 2);
    fe_insight_set_options(it.insight, &options, it.now_ms);
    CHECK(!fe_insight_is_on(it.insight));
    fe_alloc_fail_after(&it.engine->alloc, -1);
    fe_insight_set_options(it.insight, &options, it.now_ms);
    CHECK(fe_insight_is_on(it.insight));
    CHECK(fe_alloc_used(&it.engine->alloc, FE_ALLOC_ENGINE) - off > 1 << 20);
    CHECK(fe_alloc_used(&it.engine->alloc, FE_ALLOC_ENGINE) - off < 3 << 19);
    options.curve = false;
    fe_insight_set_options(it.insight, &options, it.now_ms);

    CHECK(!fe_insight_is_on(it.insight));
    CHECK_INT(off, fe_alloc_used(&it.engine->alloc, FE_ALLOC_ENGINE));
    fe_engine_free(it.engine);
}

int main(void)
{
    RUN(reads_in_turn_need_a_cache_of_the_size_of_all_records);
    RUN(deleted_and_forgotten_keys_are_misses_at_any_size);
    RUN(reads_and_the_time_that_they_took_decay_alike);
    RUN(sampled_uses_of_keys_stand_for_all_of_them);
    RUN(uses_of_commands_with_many_keys_are_all_counted);
    RUN(what_is_off_takes_no_memory);
    return check_done();
}
