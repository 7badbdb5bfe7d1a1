/* See insight.h. */
#include "engine/insight.h"

#include "store/look.h"

#include <math.h>

#define CURVE_SAMPLES 16384u /* keys: 1.3 MB */
#define CURVE_RATE_MAX (1.0 / 128)
#define CURVE_AGE_MS 10000 /* between two steps of its decay */
#define CURVE_REACH 8      /* times the memory in use: keys that sank deeper are forgotten */
#define CURVE_REACH_MIN ((uint64_t)64 << 20)

#define HOT_SAMPLES_MAX 1024u /* a second, about */
#define HOT_INTERVAL_MAX (1u << 16)
#define HOT_WINDOW_MS 1000

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
    hot->interval = 1;
    hot->samples = 0;
    hot->window_ms = now_ms;
    hot->drawn = insight->hot_wait = 0;
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
    if (insight->hot == NULL) return;
    fe_random_init(&insight->hot->random, fe_store_seed(insight->store)->k0);
    clear_hot(insight, now_ms);
}

void fe_insight_open(fe_insight *insight, fe_alloc *alloc, fe_store *store,
                     const fe_insight_options *options, int64_t now_ms)
{
    *insight = (fe_insight){.alloc = alloc, .store = store};
    fe_insight_set_options(insight, options, now_ms);
}

void fe_insight_set_options(fe_insight *insight, const fe_insight_options *options, int64_t now_ms)
{
    fe_insight_options before = insight->options;
    insight->options = *options;
    set_hot(insight, &before, now_ms);
    set_curve(insight, options->curve, now_ms);
}

void fe_insight_close(fe_insight *insight)
{
    fe_mrc_free(insight->curve);
    fe_alloc_give(insight->alloc, FE_ALLOC_ENGINE, insight->hot);
    insight->curve = NULL;
    insight->hot = NULL;
}

/* Looks at fewer uses when there were too many, and at more in a second with few. */
static void follow_load(fe_insight_hot *hot, int64_t now_ms)
{
    if (++hot->samples >= HOT_SAMPLES_MAX && hot->interval < HOT_INTERVAL_MAX) {
        hot->interval *= 2;
        hot->samples = HOT_SAMPLES_MAX / 2; /* as if it had been so from the beginning */
    }
    int64_t passed = now_ms - hot->window_ms;
    if (passed >= 0 && passed < HOT_WINDOW_MS) return;
    if (hot->samples < HOT_SAMPLES_MAX / 4 && hot->interval > 1) hot->interval /= 2;
    if (passed > 10 * HOT_WINDOW_MS) hot->interval = 1; /* nearly nothing happens */
    hot->samples = 0;
    hot->window_ms = now_ms;
}

void fe_insight_heat(fe_insight *insight, const fe_insight_use *use)
{
    fe_insight_hot *hot = insight->hot;
    uint32_t keys = (uint32_t)__builtin_popcountll(use->keys);
    if (keys == 0) return;
    uint64_t left = use->keys;
    for (uint64_t skip = fe_random_below(&hot->random, keys); skip > 0; skip--)
        left &= left - 1;
    uint32_t i = (uint32_t)__builtin_ctzll(left);
    uint64_t bytes = use->reply_bytes;
    for (uint32_t n = 0; n < use->argc; n++)
        bytes += use->argv[n].len;
    /* For all uses since the last one, so that in sum each counts once. */
    double stands_for = (double)(hot->drawn - insight->hot_wait);
    const double amounts[FE_HOT_BY_COUNT] = {
        [FE_HOT_RATE] = stands_for,
        [FE_HOT_BYTES] = stands_for * (double)bytes / keys,
        [FE_HOT_TICKS] = stands_for * (double)use->ticks / keys,
    };
    for (int by = 0; by < FE_HOT_BY_COUNT; by++)
        if (amounts[by] > 0)
            fe_hot_add(&hot->by[by], use->argv[i], use->hashes[i], use->db, amounts[by],
                       use->now_ms);
    follow_load(hot, use->now_ms);
    hot->drawn = (int64_t)fe_random_below(&hot->random, 2 * (uint64_t)hot->interval - 1);
    insight->hot_wait = hot->drawn;
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

void fe_insight_sample(fe_insight *insight, const fe_insight_use *use, uint32_t argument)
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

void fe_insight_forget(fe_insight *insight, uint32_t db)
{
    if (insight->curve != NULL) fe_mrc_forget(insight->curve, db);
}

void fe_insight_reset(fe_insight *insight, int64_t now_ms)
{
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
