/* What each part of insight costs a command: processor time of finding keys of Zipf's law in a store of so many
 * of them (the first argument, a million without it), told to insight or not, in turns of a pass each. Prints the
 * median, and the quartiles, of what a pass with insight takes longer than the one before it without, in nanoseconds per command.
 *
 * Time goes by as a server that does nothing else but PACE_NS for each command would see it: the parts look at
 * so many commands a second, so that the share of commands that they look at depends on it.
 *
 * With few keys, which the processor's caches hold, that is the work itself. With many, look-ups wait for memory, several
 * of them at a time: work between them leaves room for fewer, which costs more than the work.
 */
#include "engine/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PREFIXES 200u
#define USES (1u << 20)
#define WARM_UP (USES / 2)
#define PAIRS 21
#define PACE_NS 4000 /* of an unpipelined command */

typedef struct use {
    uint64_t hash;
    uint32_t key;
} use;

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static fe_bytes name_of(uint32_t key, char text[16])
{
    uint32_t prefix = key % PREFIXES + 100;
    return (fe_bytes){(const uint8_t *)text, (size_t)snprintf(text, 16, "p%u:%07u", prefix, key)};
}

static void fill(fe_engine *engine, uint32_t keys)
{
    for (uint32_t i = 0; i < keys; i++) {
        char text[16];
        fe_bytes name = name_of(i, text);
        fe_key key;
        fe_key_find(engine->store, 0, name, fe_key_hash(fe_store_seed(engine->store), name), true,
                    &key);
        uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, 100, FE_DEADLINE_NONE);
        if (value == NULL) exit(1);
        memset(value, 'v', 100);
    }
}

/* Keys by Zipf's law with exponent 1 (by its continuous form), scattered over the key space. */
static use *make_uses(fe_engine *engine, uint32_t keys)
{
    use *uses = malloc(USES * sizeof *uses);
    if (uses == NULL) exit(1);
    for (uint32_t i = 0; i < USES; i++) {
        double at = (double)(fe_random_next(&engine->random) >> 11) * 0x1p-53;
        char text[16];
        uses[i].key = (uint32_t)(exp(at * log(keys)) * 7919) % keys;
        uses[i].hash = fe_key_hash(fe_store_seed(engine->store), name_of(uses[i].key, text));
    }
    return uses;
}

static double pass_ns(fe_engine *engine, const use *uses, uint32_t count, char (*names)[16])
{
    fe_insight *insight = &engine->insight;
    int64_t began = cpu_ns();
    for (uint32_t i = 0; i < count; i++) {
        fe_bytes name = {(const uint8_t *)names[i], 12};
        fe_key key;
        engine->now_ms += i % (1000000 / PACE_NS) == 0;
        fe_insight_begin(insight, 1);
        fe_key_look_up(engine->store, 0, name, uses[i].hash, false, &key);
        if (!fe_insight_is_on(insight) || fe_insight_pass(insight, uses[i].hash, true)) continue;
        fe_insight_use one = {.argv = &name,
                              .argc = 1,
                              .ticks = 100,
                              .reply_bytes = 100,
                              .hashes = &uses[i].hash,
                              .keys = 1,
                              .is_read = true,
                              .now_ms = engine->now_ms};
        fe_insight_note(insight, &one);
    }
    return (double)(cpu_ns() - began) / count;
}

static int compare(const void *a, const void *b)
{
    const double *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

static void compare_part(fe_engine *engine, const use *uses, char (*names)[16], const char *part,
                         const fe_insight_options *on)
{
    const fe_insight_options off = {0};
    double differences[PAIRS], base = 0;
    for (int i = 0; i < PAIRS; i++) {
        fe_insight_set_options(&engine->insight, &off, engine->now_ms);
        double without = pass_ns(engine, uses, USES, names);
        fe_insight_set_options(&engine->insight, on, engine->now_ms);
        (void)pass_ns(engine, uses, WARM_UP, names); /* it finds its pace */
        differences[i] = pass_ns(engine, uses, USES, names) - without;
        base += without / PAIRS;
    }
    qsort(differences, PAIRS, sizeof *differences, compare);
    printf("look-up alone %.1f ns; %s %.2f ns per command (quartiles %.2f..%.2f)\n", base, part,
           differences[PAIRS / 2], differences[PAIRS / 4], differences[PAIRS - 1 - PAIRS / 4]);
}

int main(int argc, char **argv)
{
    uint32_t keys = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    fe_engine_options options = {.store = {.databases = 1, .samples = 5}, .hz = 10};
    if (!fe_random_system(&options.store.seed, sizeof options.store.seed)) return 1;
    fe_engine *engine = fe_engine_new(&options);
    char(*names)[16] = malloc(USES * sizeof *names);
    if (engine == NULL || names == NULL || keys == 0) return 1;
    fill(engine, keys);
    use *uses = make_uses(engine, keys);
    for (uint32_t i = 0; i < USES; i++)
        (void)name_of(uses[i].key, names[i]);
    const fe_prefixes_options prefixes = {.on = true, .separator = ':', .parts = 1, .count = 64};
    fe_prefixes_options patterns = prefixes;
    patterns.patterns = true;
    const struct {
        const char *name;
        fe_insight_options options;
    } parts[] = {
        {"curve", {.curve = true}},
        {"hot keys", {.hot_keys = true, .hot_half_life_s = 60}},
        {"prefixes", {.prefixes = prefixes}},
        {"prefixes, by pattern too", {.prefixes = patterns}},
        {"all", {.curve = true, .hot_keys = true, .hot_half_life_s = 60, .prefixes = prefixes}},
    };
    for (size_t n = 0; n < sizeof parts / sizeof *parts; n++)
        compare_part(engine, uses, names, parts[n].name, &parts[n].options);
    free(uses);
    free(names);
    fe_engine_free(engine);
    return 0;
}
