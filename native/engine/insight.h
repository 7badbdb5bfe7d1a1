/* Insight: what the engine finds out about its load by sampling keys; made from the ends of commands.
 *
 * A part that is off costs nothing, and all parts off a branch. The engine's lock guards it.
 */
#ifndef FE_ENGINE_INSIGHT_H
#define FE_ENGINE_INSIGHT_H

#include "engine/hotkeys.h"
#include "engine/mrc.h"
#include "engine/pace.h"
#include "engine/prefixes.h"
#include "engine/residence.h"
#include "store/keyspace.h"

#define FE_INSIGHT_KEYS_MAX 64u /* arguments of a command that are looked at */

/* What keys are hot by; of bytes, those of requests and replies; of the disk, reads that were begun for them. */
typedef enum fe_hot_by {
    FE_HOT_RATE,
    FE_HOT_BYTES,
    FE_HOT_TICKS,
    FE_HOT_DISK,
    FE_HOT_BY_COUNT
} fe_hot_by;

typedef struct fe_insight_options {
    bool hot_keys;
    uint32_t hot_half_life_s;   /* 1..86400 */
    bool curve;                 /* the hit-ratio curve */
    uint32_t curve_half_life_s; /* what was counted so long ago counts half; 0: for ever */
    fe_prefixes_options prefixes;
} fe_insight_options;

typedef struct fe_insight_hot {
    fe_hot_table by[FE_HOT_BY_COUNT];
} fe_insight_hot;

/* Counters of the store that the ledger tells the part of a prefix of. */
typedef struct fe_insight_counters {
    fe_store_tally tally;
    uint64_t misses_by[FE_MISS_COUNT];
} fe_insight_counters;

typedef struct fe_insight {
    fe_insight_hot *hot;    /* NULL: off */
    fe_prefixes *prefixes;  /* NULL: off */
    fe_prefixes *patterns;  /* the same by pattern; only with `prefixes`, NULL: not wanted */
    fe_residence residence; /* where the bytes of prefixes lie; on while `prefixes` is */
    fe_pace hot_pace, prefix_pace;
    fe_pace disk_pace;          /* of reads from disk, for both */
    uint64_t put_off_before;    /* fe_look_put_off when a command began that writes */
    fe_insight_counters before; /* a command that may be looked at for the ledger began */
    bool has_before;
    uint64_t units_q20; /* units of event/exponential.h per tick, times 2^20 */
    fe_alloc *alloc;
    fe_store *store;
    fe_insight_options options;
    fe_mrc *curve;         /* NULL: off */
    int64_t curve_aged_ms; /* when it was last aged */
    double curve_seconds;  /* that its reads were counted for, until then; as decayed as they are */
} fe_insight;

/* One command that has run. */
typedef struct fe_insight_use {
    const fe_bytes *argv;
    uint32_t argc;
    uint64_t reply_bytes;
    uint64_t ticks;         /* that it took */
    uint64_t waited;        /* that it had waited for the disk before */
    const uint64_t *hashes; /* by argument */
    uint64_t keys;          /* bit i: argument i is a key, and its hash is known */
    uint32_t db;
    bool is_read; /* the command only reads */
    int64_t now_ms;
} fe_insight_use;

/* With options that ask for nothing, and without memory, parts are off. `units_q20`: as in the engine. */
void fe_insight_open(fe_insight *insight, fe_alloc *alloc, fe_store *store, uint64_t units_q20,
                     const fe_insight_options *options, int64_t now_ms);
void fe_insight_set_options(fe_insight *insight, const fe_insight_options *options, int64_t now_ms);
void fe_insight_close(fe_insight *insight);

/* Whether anybody wants to know of commands. */
static inline bool fe_insight_is_on(const fe_insight *insight)
{
    return insight->curve != NULL || insight->hot != NULL || insight->prefixes != NULL;
}

/* Whether anybody wants to know of reads from disk. */
static inline bool fe_insight_wants_reads(const fe_insight *insight)
{
    return insight->hot != NULL || insight->prefixes != NULL;
}

/* So many reads from disk were begun for a key. */
void fe_insight_note_reads(fe_insight *insight, uint32_t db, fe_bytes name, uint64_t hash,
                           uint32_t reads, int64_t now_ms);

/* Notes the store's counters; the slow part of fe_insight_begin. */
__attribute__((noinline)) void fe_insight_count_before(fe_insight *insight);

/* A command with up to so many keys is about to run. */
static inline void fe_insight_begin(fe_insight *insight, uint32_t keys)
{
    if (__builtin_expect(insight->prefixes == NULL, 1)) return;
    if (__builtin_expect(fe_pace_is_near(&insight->prefix_pace, keys), 0))
        fe_insight_count_before(insight);
}

/* Only while it is on, and of a command with keys. */
void fe_insight_note(fe_insight *insight, const fe_insight_use *use);

/* The same of a command with one key, given by its hash, when that key is not to be looked at; false: nothing was
 * noted yet. */
static inline bool fe_insight_pass(fe_insight *insight, uint64_t hash, bool is_read)
{
    fe_mrc *curve = insight->curve;
    bool hot = insight->hot != NULL, prefixes = insight->prefixes != NULL;
    if (hot && fe_pace_is_near(&insight->hot_pace, 1)) return false;
    if (prefixes && fe_pace_is_near(&insight->prefix_pace, 1)) return false;
    if (curve != NULL) {
        if (fe_mrc_is_sampled(curve, hash)) return false;
        curve->reads += is_read;
    }
    if (hot) insight->hot_pace.wait--;
    if (prefixes) insight->prefix_pace.wait--;
    return true;
}

/* The keys of a database are gone, or were swapped with others; UINT32_MAX: those of all. */
void fe_insight_forget(fe_insight *insight, uint32_t db);

/* To be called some times a second: after a burst, more is looked at again. */
void fe_insight_relax(fe_insight *insight, int64_t now_ms);

/* Begins anew: CONFIG RESETSTAT. */
void fe_insight_reset(fe_insight *insight, int64_t now_ms);

/* The ledgers alone do. */
void fe_insight_reset_prefixes(fe_insight *insight, int64_t now_ms);

/* Seconds of reads that the curve is made from, less what has decayed. */
double fe_insight_curve_seconds(const fe_insight *insight, int64_t now_ms);

#endif
