/* See insight.h. */
#include "engine/insight.h"

#include "store/look.h"

#include <math.h>

#define CURVE_SAMPLES 16384u /* keys: 1.3 MB */
#define CURVE_RATE_MAX (1.0 / 128)
#define CURVE_AGE_MS 10000 /* between two steps of its decay */
#define CURVE_REACH 8      /* times the memory in use: keys that sank deeper are forgotten */
#define CURVE_REACH_MIN ((uint64_t)64 << 20)

/* A second, about. */
#define HOT_SAMPLES_MAX 1024u
#define PREFIX_SAMPLES_MAX 1024u
#define DISK_SAMPLES_MAX 1024u

static void set_reach(fe_insight *insight)
{
    uint64_t memory = fe_look_memory(insight->store);
    insight->curve->reach = CURVE_REACH * (memory < CURVE_REACH_MIN ? CURVE_REACH_MIN : memory);
}

static void set_curve(fe_insight *insight, bool wanted, int64_t now_ms)
{
    if (wanted == (insight->curve != NULL)) return;
    fe_mrc_free(insight->curve);
    insight->curve = wanted ? fe_mrc_new(insight->alloc, CURVE_SAMPLES, CURVE_RATE_MAX) : NULL;
    if (insight->curve == NULL) return;
    set_reach(insight);
    insight->curve_aged_ms = now_ms;
    insight->curve_seconds = 0;
}

static void clear_hot(fe_insight *insight, int64_t now_ms)
{
    fe_insight_hot *hot = insight->hot;
    for (int i = 0; i < FE_HOT_BY_COUNT; i++)
        fe_hot_clear(&hot->by[i], insight->options.hot_half_life_s * 1000, now_ms);
    fe_pace_restart(&insight->hot_pace, now_ms);
    fe_pace_restart(&insight->disk_pace, now_ms);
}

static void set_hot(fe_insight *insight, const fe_insight_options *before, int64_t now_ms)
{
    const fe_insight_options *options = &insight->options;
    if (options->hot_keys == (insight->hot != NULL)) {
        bool same = options->hot_half_life_s == before->hot_half_life_s;
        if (insight->hot != NULL && !same) clear_hot(insight, now_ms);
        return;
    }
    fe_alloc_give(insight->alloc, FE_ALLOC_ENGINE, insight->hot);
    insight->hot = NULL;
    if (!options->hot_keys) return;
    insight->hot = fe_alloc_take_zeroed(insight->alloc, FE_ALLOC_ENGINE, sizeof *insight->hot);
    if (insight->hot != NULL) clear_hot(insight, now_ms);
}

/* What has not been looked at yet is nobody's: the next one looked at is not to stand for it. */
static void restart_prefixes(fe_insight *insight, int64_t now_ms)
{
    fe_pace_restart(&insight->prefix_pace, now_ms);
    fe_pace_restart(&insight->disk_pace, now_ms);
    insight->has_before = false;
}

/* One of the two ledgers. Another way to cut prefixes, or another size, begins anew. */
static void set_ledger(fe_insight *insight, fe_prefixes **ledger, bool by_pattern, int64_t now_ms)
{
    const fe_prefixes_options *options = &insight->options.prefixes;
    const fe_prefixes *had = *ledger;
    bool wanted = options->on && (options->patterns || !by_pattern);
    if (!wanted && had == NULL) return;
    if (wanted && had != NULL && had->options.separator == options->separator &&
        had->options.parts == options->parts && had->options.count == options->count)
        return;
    fe_prefixes_free(*ledger);
    *ledger = NULL;
    if (wanted)
        *ledger = fe_prefixes_new(insight->alloc, options, by_pattern,
                                  fe_store_seed(insight->store), now_ms);
    restart_prefixes(insight, now_ms);
}

static void set_prefixes(fe_insight *insight, int64_t now_ms)
{
    set_ledger(insight, &insight->prefixes, false, now_ms);
    set_ledger(insight, &insight->patterns, true, now_ms);
    fe_residence_set(&insight->residence, insight->prefixes, insight->patterns);
}

void fe_insight_open(fe_insight *insight, fe_alloc *alloc, fe_store *store, uint64_t units_q20,
                     const fe_insight_options *options, int64_t now_ms)
{
    *insight = (fe_insight){.alloc = alloc, .store = store, .units_q20 = units_q20};
    const fe_hash_seed *seed = fe_store_seed(store);
    fe_pace_init(&insight->hot_pace, seed->k0, HOT_SAMPLES_MAX, now_ms);
    fe_pace_init(&insight->prefix_pace, seed->k0 + 1, PREFIX_SAMPLES_MAX, now_ms);
    fe_pace_init(&insight->disk_pace, seed->k0 + 2, DISK_SAMPLES_MAX, now_ms);
    fe_residence_open(&insight->residence, alloc, seed->k0 + 3);
    fe_insight_set_options(insight, options, now_ms);
}

void fe_insight_set_options(fe_insight *insight, const fe_insight_options *options, int64_t now_ms)
{
    fe_insight_options before = insight->options;
    insight->options = *options;
    set_hot(insight, &before, now_ms);
    set_prefixes(insight, now_ms);
    set_curve(insight, options->curve, now_ms);
}

void fe_insight_close(fe_insight *insight)
{
    fe_mrc_free(insight->curve);
    fe_alloc_give(insight->alloc, FE_ALLOC_ENGINE, insight->hot);
    fe_prefixes_free(insight->prefixes);
    fe_prefixes_free(insight->patterns);
    fe_residence_close(&insight->residence);
    insight->curve = NULL;
    insight->hot = NULL;
    insight->prefixes = insight->patterns = NULL;
}

/* The place in argv of one of the keys, chosen at random. */
static uint32_t any_key(fe_pace *pace, uint64_t keys, uint32_t count)
{
    for (uint64_t skip = count > 1 ? fe_random_below(&pace->random, count) : 0; skip > 0; skip--)
        keys &= keys - 1;
    return (uint32_t)__builtin_ctzll(keys);
}

/* One of its keys counts for the hot ones. */
static void heat(fe_insight *insight, const fe_insight_use *use)
{
    fe_insight_hot *hot = insight->hot;
    uint32_t keys = (uint32_t)__builtin_popcountll(use->keys);
    if (keys == 0) return;
    uint32_t i = any_key(&insight->hot_pace, use->keys, keys);
    uint64_t bytes = use->reply_bytes;
    for (uint32_t n = 0; n < use->argc; n++)
        bytes += use->argv[n].len;
    double stands_for = (double)fe_pace_take(&insight->hot_pace, use->now_ms);
    const double amounts[FE_HOT_BY_COUNT] = {
        [FE_HOT_RATE] = stands_for,
        [FE_HOT_BYTES] = stands_for * (double)bytes / keys,
        [FE_HOT_TICKS] = stands_for * (double)use->ticks / keys,
    };
    for (int by = 0; by < FE_HOT_BY_COUNT; by++)
        if (amounts[by] > 0)
            fe_hot_add(&hot->by[by], use->argv[i], use->hashes[i], use->db, amounts[by],
                       use->now_ms);
}

static void count_now(const fe_insight *insight, fe_insight_counters *counters)
{
    fe_store_tally_get(insight->store, &counters->tally);
    fe_look_miss_counts(insight->store, counters->misses_by);
}

void fe_insight_count_before(fe_insight *insight)
{
    count_now(insight, &insight->before);
    insight->has_before = true;
}

/* What a command has done, and which of its keys did it: those in `found` the hits, the others the misses;
 * without knowing it, each its share. */
typedef struct done {
    fe_insight_counters now;
    uint64_t keys, found;
    bool is_known;
} done;

/* Which keys a command has read and found, when it found some and missed some. */
static void find_read(const fe_insight *insight, const fe_insight_use *use, done *it)
{
    const fe_store_tally *before = &insight->before.tally, *now = &it->now.tally;
    if (!use->is_read || now->hits == before->hits || now->misses == before->misses) return;
    fe_whereabouts where;
    for (uint64_t left = use->keys; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        if (fe_look_key(insight->store, use->db, use->argv[i], use->hashes[i], &where))
            it->found |= 1ULL << i;
    }
    it->is_known = it->found != 0 && it->found != use->keys;
}

static double share_of(const done *it, uint64_t among, uint32_t argument)
{
    if (!it->is_known) return 1.0 / __builtin_popcountll(it->keys);
    return (among >> argument & 1) != 0 ? 1.0 / __builtin_popcountll(among) : 0;
}

/* What one key did, times `uses`. */
static fe_prefix_effects effects_of(const fe_insight_counters *before, const done *it,
                                    uint32_t argument, double uses)
{
    const fe_store_tally *a = &before->tally, *b = &it->now.tally;
    double hit = uses * share_of(it, it->found, argument),
           miss = uses * share_of(it, it->keys & ~it->found, argument),
           write = uses / __builtin_popcountll(it->keys);
    const uint64_t hits[FE_PREFIX_TIERS] = {[FE_PREFIX_MUTABLE] = b->hits_mutable - a->hits_mutable,
                                            [FE_PREFIX_READ_ONLY] =
                                                b->hits_readonly - a->hits_readonly,
                                            [FE_PREFIX_READ_CACHE] = b->hits_cache - a->hits_cache,
                                            [FE_PREFIX_DISK] = b->hits_disk - a->hits_disk};
    fe_prefix_effects found = {.misses = miss * (double)(b->misses - a->misses),
                               .written_bytes =
                                   write * (double)(b->written_bytes - a->written_bytes)};
    uint64_t all_hits = b->hits - a->hits;
    double bytes_a_hit =
        all_hits > 0 ? (double)(b->read_bytes - a->read_bytes) / (double)all_hits : 0;
    for (unsigned i = 0; i < FE_PREFIX_TIERS; i++) {
        found.hits[i] = hit * (double)hits[i];
        found.read_bytes[i] = found.hits[i] * bytes_a_hit;
    }
    for (unsigned i = 0; i < FE_MISS_COUNT; i++)
        found.misses_by[i] = miss * (double)(it->now.misses_by[i] - before->misses_by[i]);
    return found;
}

static void enter_key(fe_insight *insight, const fe_insight_use *use, const done *it,
                      uint32_t argument, uint64_t uses)
{
    fe_prefix_effects effects = effects_of(&insight->before, it, argument, (double)uses);
    uint64_t units = ((use->ticks + use->waited) * insight->units_q20) >> 20;
    fe_prefixes *const ledgers[] = {insight->prefixes, insight->patterns};
    for (int i = 0; i < 2; i++) {
        if (ledgers[i] == NULL) continue;
        fe_prefix *prefix =
            fe_prefixes_use(ledgers[i], use->argv[argument], (double)uses, use->now_ms);
        fe_prefix_add(prefix, &effects);
        fe_exponential_add_many(&prefix->durations, units, uses);
    }
}

/* One or all of its keys count in the ledger. */
static void enter(fe_insight *insight, const fe_insight_use *use)
{
    uint32_t keys = (uint32_t)__builtin_popcountll(use->keys);
    if (keys == 0 || !insight->has_before) return; /* it was turned on by this very command */
    done it = {.keys = use->keys};
    count_now(insight, &it.now);
    if (keys > 1) find_read(insight, use, &it);
    insight->has_before = false;
    uint64_t stands_for = fe_pace_take(&insight->prefix_pace, use->now_ms);
    if (stands_for != keys) { /* also for keys of other commands */
        enter_key(insight, use, &it, any_key(&insight->prefix_pace, use->keys, keys), stands_for);
        return;
    }
    for (uint64_t left = use->keys; left != 0; left &= left - 1)
        enter_key(insight, use, &it, (uint32_t)__builtin_ctzll(left), 1);
}

void fe_insight_note_reads(fe_insight *insight, uint32_t db, fe_bytes name, uint64_t hash,
                           uint32_t reads, int64_t now_ms)
{
    if (!fe_pace_passes(&insight->disk_pace, reads)) return;
    double amount = (double)fe_pace_take(&insight->disk_pace, now_ms);
    if (insight->hot != NULL)
        fe_hot_add(&insight->hot->by[FE_HOT_DISK], name, hash, db, amount, now_ms);
    fe_prefixes *const ledgers[] = {insight->prefixes, insight->patterns};
    for (int i = 0; i < 2; i++) {
        if (ledgers[i] == NULL) continue;
        fe_prefix *prefix = fe_prefixes_meet(ledgers[i], name, now_ms);
        if (prefix != NULL) prefix->disk_reads += amount;
    }
}

/* Lets what was counted decay, when it is time. */
static void age_curve(fe_insight *insight, int64_t now_ms)
{
    int64_t passed = now_ms - insight->curve_aged_ms;
    if (passed >= 0 && passed < CURVE_AGE_MS) return;
    insight->curve_aged_ms = now_ms;
    if (passed < 0) return; /* the date was set back */
    insight->curve_seconds += (double)passed / 1000;
    set_reach(insight);
    if (insight->options.curve_half_life_s == 0) return;
    double half_lives = (double)passed / 1000 / insight->options.curve_half_life_s;
    double factor = exp2(-half_lives);
    insight->curve_seconds *= factor;
    fe_mrc_decay(insight->curve, factor);
}

/* A key that the curve samples. */
static void sample(fe_insight *insight, const fe_insight_use *use, uint32_t argument)
{
    age_curve(insight, use->now_ms);
    fe_whereabouts where;
    uint64_t hash = use->hashes[argument];
    bool exists = fe_look_key(insight->store, use->db, use->argv[argument], hash, &where);
    fe_mrc_use one = {.hash = hash,
                      .db = use->db,
                      .is_read = use->is_read,
                      .exists = exists,
                      .bytes = exists ? where.bytes : 0,
                      .deadline_ms = exists ? where.deadline_ms : 0,
                      .now_ms = use->now_ms};
    fe_mrc_note(insight->curve, &one);
}

static void note_curve(fe_insight *insight, const fe_insight_use *use)
{
    if (use->is_read) insight->curve->reads += (uint64_t)__builtin_popcountll(use->keys);
    for (uint64_t left = use->keys; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        if (fe_mrc_is_sampled(insight->curve, use->hashes[i])) sample(insight, use, i);
    }
}

void fe_insight_note(fe_insight *insight, const fe_insight_use *use)
{
    if (insight->curve != NULL) note_curve(insight, use);
    uint32_t keys = (uint32_t)__builtin_popcountll(use->keys);
    if (insight->hot != NULL && fe_pace_passes(&insight->hot_pace, keys)) heat(insight, use);
    if (insight->prefixes != NULL && fe_pace_passes(&insight->prefix_pace, keys))
        enter(insight, use);
}

void fe_insight_forget(fe_insight *insight, uint32_t db)
{
    if (insight->curve != NULL) fe_mrc_forget(insight->curve, db);
}

void fe_insight_relax(fe_insight *insight, int64_t now_ms)
{
    fe_residence_sweep(&insight->residence, insight->store);
    if (!fe_insight_wants_reads(insight)) return;
    fe_pace_relax(&insight->hot_pace, now_ms);
    fe_pace_relax(&insight->prefix_pace, now_ms);
    fe_pace_relax(&insight->disk_pace, now_ms);
}

void fe_insight_reset_prefixes(fe_insight *insight, int64_t now_ms)
{
    if (insight->prefixes != NULL) fe_prefixes_clear(insight->prefixes, now_ms);
    if (insight->patterns != NULL) fe_prefixes_clear(insight->patterns, now_ms);
    restart_prefixes(insight, now_ms);
}

void fe_insight_reset(fe_insight *insight, int64_t now_ms)
{
    fe_insight_reset_prefixes(insight, now_ms);
    if (insight->hot != NULL) clear_hot(insight, now_ms);
    if (insight->curve == NULL) return;
    fe_mrc_decay(insight->curve, 0); /* what is on the stack stays: nothing is cold for that */
    insight->curve_seconds = 0;
    insight->curve_aged_ms = now_ms;
}

double fe_insight_curve_seconds(const fe_insight *insight, int64_t now_ms)
{
    int64_t passed = now_ms - insight->curve_aged_ms;
    return insight->curve_seconds + (passed > 0 ? (double)passed / 1000 : 0);
}
