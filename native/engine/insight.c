/* See insight.h. */
#include "engine/insight.h"

#include "store/look.h"

#include <math.h>

#define CURVE_SAMPLES 16384u /* keys: 1.3 MB */
#define CURVE_RATE_MAX (1.0 / 128)
#define CURVE_AGE_MS 10000 /* between two steps of its decay */
#define CURVE_REACH 8      /* times the memory in use: keys that sank deeper are forgotten */
#define CURVE_REACH_MIN ((uint64_t)64 << 20)

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

void fe_insight_open(fe_insight *insight, fe_alloc *alloc, fe_store *store,
                     const fe_insight_options *options, int64_t now_ms)
{
    *insight = (fe_insight){.alloc = alloc, .store = store};
    fe_insight_set_options(insight, options, now_ms);
}

void fe_insight_set_options(fe_insight *insight, const fe_insight_options *options, int64_t now_ms)
{
    insight->options = *options;
    set_curve(insight, options->curve, now_ms);
}

void fe_insight_close(fe_insight *insight)
{
    fe_mrc_free(insight->curve);
    insight->curve = NULL;
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
