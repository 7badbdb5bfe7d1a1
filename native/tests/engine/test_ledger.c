/* The ledger of prefixes over a real store: what it tells of commands, against a model that counts all. */
#include "tests/check.h"

#include "engine/engine.h"

#include <math.h>

#define PREFIXES 12u
#define KEYS_OF_ONE 100u
#define VALUE_LEN 50u
#define TICKS 1000u

typedef struct ledger_rig {
    fe_engine *engine;
    fe_insight *insight;
    fe_random random;
    double uses[PREFIXES], hits[PREFIXES], misses[PREFIXES], read[PREFIXES], written[PREFIXES];
} ledger_rig;

static const fe_insight_options wanted = {
    .hot_half_life_s = 60, .prefixes = {.on = true, .separator = ':', .parts = 1, .count = 64}};

static void open_rig(ledger_rig *it)
{
    *it = (ledger_rig){0};
    fe_engine_options options = {
        .store = {.databases = 1, .samples = 5, .seed = {1, 2}, .gone_size = 1 << 16},
        .expire_effort = 1,
        .hz = 10};
    it->engine = fe_engine_new(&options);
    if (it->engine == NULL) abort();
    it->insight = &it->engine->insight;
    fe_random_init(&it->random, 5);
    fe_insight_set_options(it->insight, &wanted, it->engine->now_ms);
}

/* A command with up to eight keys. */
typedef struct words {
    char text[8][16];
    fe_bytes argv[8];
    uint64_t hashes[8];
    uint32_t prefixes[8], count;
} words;

static void add_word(ledger_rig *it, words *to, uint32_t prefix, uint32_t number)
{
    uint32_t i = to->count++;
    size_t len = (size_t)snprintf(to->text[i], sizeof to->text[i], "p%u:%u", prefix, number);
    to->argv[i] = (fe_bytes){(const uint8_t *)to->text[i], len};
    to->hashes[i] = fe_key_hash(fe_store_seed(it->engine->store), to->argv[i]);
    to->prefixes[i] = prefix;
}

/* Runs a command as a session would. */
static void run(ledger_rig *it, const words *line, bool writes)
{
    fe_store *store = it->engine->store;
    fe_insight_begin(it->insight, line->count);
    for (uint32_t i = 0; i < line->count; i++) {
        uint32_t prefix = line->prefixes[i];
        fe_key key;
        it->uses[prefix]++;
        if (writes) {
            fe_key_find(store, 0, line->argv[i], line->hashes[i], true, &key);
            uint8_t *value =
                fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, VALUE_LEN, FE_DEADLINE_NONE);
            if (value == NULL) abort();
            memset(value, 'v', VALUE_LEN);
            it->written[prefix] += VALUE_LEN;
            continue;
        }
        fe_key_look_up(store, 0, line->argv[i], line->hashes[i], false, &key);
        *(key.record != NULL ? &it->hits[prefix] : &it->misses[prefix]) += 1;
        it->read[prefix] += key.record != NULL ? VALUE_LEN : 0;
    }
    fe_insight_use use = {.argv = line->argv,
                          .argc = line->count,
                          .hashes = line->hashes,
                          .keys = (1ULL << line->count) - 1,
                          .ticks = TICKS,
                          .is_read = !writes,
                          .now_ms = it->engine->now_ms};
    fe_insight_note(it->insight, &use);
}

/* Prefix 0 is used most, and of each prefix the keys with even numbers are written. */
static uint32_t any_prefix(ledger_rig *it)
{
    double at = (double)(fe_random_next(&it->random) >> 11) * 0x1p-53;
    return (uint32_t)exp(at * log(PREFIXES + 1)) - 1;
}

static void run_many(ledger_rig *it, uint32_t commands)
{
    for (uint32_t n = 0; n < commands; n++) {
        words line = {0};
        bool writes = fe_random_below(&it->random, 4) == 0;
        uint32_t count = fe_random_below(&it->random, 8) == 0 ? 8 : 1;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t number = (uint32_t)fe_random_below(&it->random, KEYS_OF_ONE);
            add_word(it, &line, any_prefix(it), writes ? number & ~1u : number);
        }
        run(it, &line, writes);
    }
}

static const fe_prefix *prefix_of(const ledger_rig *it, uint32_t number)
{
    char name[16];
    size_t len = (size_t)snprintf(name, sizeof name, "p%u", number);
    const fe_prefixes *ledger = it->insight->prefixes;
    for (uint32_t i = 0; i < ledger->count; i++)
        if (ledger->entries[i].name_len == len && memcmp(ledger->entries[i].name, name, len) == 0)
            return &ledger->entries[i];
    abort();
}

static bool near(double expected, double found, double bound)
{
    return fabs(expected - found) <= bound;
}

TEST(a_few_commands_are_counted_exactly)
{
    ledger_rig it;
    open_rig(&it);

    run_many(&it, 500);

    CHECK_INT(1, it.insight->prefix_pace.interval);
    for (uint32_t i = 0; i < PREFIXES; i++) {
        const fe_prefix *prefix = prefix_of(&it, i);
        const fe_prefix_effects *effects = &prefix->effects;
        CHECK(prefix->uses == it.uses[i] && prefix->error == 0 && prefix->variance == 0);
        CHECK(near(it.hits[i], effects->hits[FE_PREFIX_MUTABLE], 1e-6));
        CHECK(near(it.misses[i], effects->misses, 1e-6));
        CHECK(near(it.misses[i], effects->misses_by[FE_MISS_NEVER_SEEN], 1e-6));
        CHECK(near(it.read[i], effects->read_bytes[FE_PREFIX_MUTABLE], 1e-6));
        CHECK(near(it.written[i], effects->written_bytes, 1e-6));
        CHECK_INT((int64_t)it.uses[i], (int64_t)fe_exponential_count(&prefix->durations));
    }
    fe_engine_free(it.engine);
}

/* Four deviations; the seeds are fixed. What a sample says of a command with several keys is one of them, so that
 * shares vary by a little more than uses do. */
TEST(many_commands_are_counted_within_the_error_that_is_told)
{
    ledger_rig it;
    open_rig(&it);

    run_many(&it, 600000);

    double uses = 0, all = 0;
    CHECK(it.insight->prefix_pace.interval >= 16);
    for (uint32_t i = 0; i < PREFIXES; i++) {
        const fe_prefix *prefix = prefix_of(&it, i);
        const fe_prefix_effects *effects = &prefix->effects;
        double bound = 4 * sqrt(prefix->variance);
        CHECK(bound > 0 && bound < it.uses[i]);
        CHECK(near(it.uses[i], prefix->uses, bound));
        CHECK(near(it.hits[i], effects->hits[FE_PREFIX_MUTABLE], bound));
        CHECK(near(it.misses[i], effects->misses, bound));
        CHECK(near(it.read[i], effects->read_bytes[FE_PREFIX_MUTABLE], VALUE_LEN * bound));
        CHECK(near(it.written[i], effects->written_bytes, VALUE_LEN * bound));
        uses += prefix->uses;
        all += it.uses[i];
    }
    CHECK(uses == it.insight->prefixes->uses);
    CHECK(all - uses >= 0 && all - uses < 2 * it.insight->prefix_pace.interval);
    fe_engine_free(it.engine);
}

TEST(durations_are_those_of_commands_with_their_waits)
{
    ledger_rig it;
    open_rig(&it);
    words line = {0};
    add_word(&it, &line, 1, 1);
    fe_insight_begin(it.insight, 1);
    fe_insight_use use = {.argv = line.argv,
                          .argc = 1,
                          .hashes = line.hashes,
                          .keys = 1,
                          .ticks = TICKS,
                          .waited = 7 * TICKS,
                          .now_ms = it.engine->now_ms};
    fe_insight_note(it.insight, &use);

    const fe_prefix *prefix = prefix_of(&it, 1);
    CHECK_INT((int64_t)fe_engine_ticks_units(it.engine, 8 * TICKS), (int64_t)prefix->durations.sum);
    fe_engine_free(it.engine);
}

TEST(reads_from_disk_belong_to_the_key_and_its_prefix)
{
    ledger_rig it;
    open_rig(&it);
    fe_insight_options both = wanted;
    both.hot_keys = true;
    fe_insight_set_options(it.insight, &both, it.engine->now_ms);
    CHECK(fe_insight_wants_reads(it.insight));
    words line = {0};
    add_word(&it, &line, 1, 1);
    add_word(&it, &line, 2, 2);
    for (int n = 0; n < 300; n++) {
        uint32_t i = n % 3 == 0;
        fe_insight_note_reads(it.insight, 0, line.argv[i], line.hashes[i], 1, it.engine->now_ms);
    }

    CHECK(prefix_of(&it, 1)->disk_reads == 200 && prefix_of(&it, 2)->disk_reads == 100);
    CHECK(prefix_of(&it, 1)->uses == 0);
    fe_hot_line lines[FE_HOT_KEYS];
    CHECK_INT(2, fe_hot_list(&it.insight->hot->by[FE_HOT_DISK], it.engine->now_ms, lines));
    CHECK_BYTES("p1:1", 4, lines[0].key->name, lines[0].key->name_len);
    CHECK(near(200, lines[0].per_second, 1e-6));

    fe_insight_note_reads(it.insight, 0, line.argv[0], line.hashes[0], 100000, it.engine->now_ms);
    double before = prefix_of(&it, 1)->disk_reads;
    CHECK(before == 100200);
    for (int n = 0; n < 100000; n++)
        fe_insight_note_reads(it.insight, 0, line.argv[0], line.hashes[0], 1, it.engine->now_ms);
    CHECK(near(200200, prefix_of(&it, 1)->disk_reads, 2.0 * it.insight->disk_pace.interval));

    CHECK(it.insight->disk_pace.interval > 1);
    fe_insight_reset_prefixes(it.insight, it.engine->now_ms);
    fe_insight_note_reads(it.insight, 0, line.argv[0], line.hashes[0], 1, it.engine->now_ms);
    CHECK(prefix_of(&it, 1)->disk_reads == 1); /* and none for those before */
    fe_engine_free(it.engine);
}

TEST(what_is_counted_by_pattern_is_the_same_in_one)
{
    ledger_rig it;
    open_rig(&it);
    fe_insight_options both = wanted;
    both.hot_keys = both.prefixes.patterns = true;
    run_many(&it, 100);
    fe_insight_set_options(it.insight, &both, it.engine->now_ms);
    const fe_prefixes *patterns = it.insight->patterns;
    CHECK_INT(0, patterns->count);
    CHECK_INT(PREFIXES, it.insight->prefixes->count);
    fe_insight_reset(it.insight, it.engine->now_ms);

    run_many(&it, 500);
    words line = {0};
    add_word(&it, &line, 1, 1);
    fe_insight_note_reads(it.insight, 0, line.argv[0], line.hashes[0], 3, it.engine->now_ms);

    double uses = 0, misses = 0, written = 0;
    for (uint32_t i = 0; i < it.insight->prefixes->count; i++) {
        const fe_prefix *prefix = &it.insight->prefixes->entries[i];
        uses += prefix->uses;
        misses += prefix->effects.misses;
        written += prefix->effects.written_bytes;
    }
    const fe_prefix *all = &patterns->entries[0];
    CHECK_INT(1, patterns->count);
    CHECK_BYTES("p*", 2, all->name, all->name_len);
    CHECK(all->uses == uses && near(misses, all->effects.misses, 1e-6));
    CHECK(near(written, all->effects.written_bytes, 1e-6) && all->disk_reads == 3);
    CHECK_INT((int64_t)uses, (int64_t)fe_exponential_count(&all->durations));
    both.prefixes.patterns = false;
    fe_insight_set_options(it.insight, &both, it.engine->now_ms);
    CHECK(it.insight->patterns == NULL && it.insight->prefixes->count > 0);
    fe_engine_free(it.engine);
}

TEST(another_way_to_cut_begins_anew_and_off_takes_no_memory)
{
    ledger_rig it;
    open_rig(&it);
    fe_alloc *alloc = &it.engine->alloc;
    uint64_t on = fe_alloc_used(alloc, FE_ALLOC_ENGINE);
    run_many(&it, 100);
    fe_insight_options other = wanted;

    fe_insight_set_options(it.insight, &other, it.engine->now_ms);
    CHECK(it.insight->prefixes->count > 0);
    other.prefixes.parts = 2;
    fe_insight_set_options(it.insight, &other, it.engine->now_ms);
    CHECK_INT(0, it.insight->prefixes->count);
    run_many(&it, 100);
    fe_insight_reset_prefixes(it.insight, it.engine->now_ms);
    CHECK_INT(0, it.insight->prefixes->count);
    run_many(&it, 100);
    fe_insight_reset(it.insight, it.engine->now_ms);
    CHECK(it.insight->prefixes->uses == 0);
    other.prefixes.on = false;
    fe_insight_set_options(it.insight, &other, it.engine->now_ms);
    CHECK(!fe_insight_is_on(it.insight) && !fe_insight_wants_reads(it.insight));
    CHECK(on - fe_alloc_used(alloc, FE_ALLOC_ENGINE) > 64 * sizeof(fe_prefix));
    fe_insight_begin(it.insight, 1);
    CHECK(!it.insight->has_before);
    fe_alloc_fail_after(alloc, 0);
    fe_insight_set_options(it.insight, &wanted, it.engine->now_ms);
    CHECK(!fe_insight_is_on(it.insight));
    fe_alloc_fail_after(alloc, -1);
    fe_engine_free(it.engine);
}

int main(void)
{
    RUN(a_few_commands_are_counted_exactly);
    RUN(many_commands_are_counted_within_the_error_that_is_told);
    RUN(durations_are_those_of_commands_with_their_waits);
    RUN(reads_from_disk_belong_to_the_key_and_its_prefix);
    RUN(what_is_counted_by_pattern_is_the_same_in_one);
    RUN(another_way_to_cut_begins_anew_and_off_takes_no_memory);
    return check_done();
}
