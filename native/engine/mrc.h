/* The hit-ratio curve: of all reads, the share that a cache of any given size would have answered.
 *
 * A read hits in a least-recently-used cache of C bytes when the keys that were used since the same key was
 * used last, and the key itself, take at most C bytes: its reuse distance. Measuring it for every read
 * would cost as much as serving it; so only keys whose hash is below a threshold are looked at, and
 * distances among them are scaled up by the sampled share (SHARDS, fixed size: Waldspurger, Park, Garthwaite
 * and Ahmad, "Efficient MRC Construction with SHARDS", FAST 2015, with the correction that they call
 * SHARDS-adj). When more than `samples_max` keys are below the threshold it falls.
 *
 * Pure: no clock, no store. Threads: the owner's lock.
 */
#ifndef FE_ENGINE_MRC_H
#define FE_ENGINE_MRC_H

#include "base/alloc.h"

/* Distances are counted in buckets of a sixteenth of a power of two, from 1 KiB to 2^48 bytes. */
#define FE_MRC_POWER_MIN 10u
#define FE_MRC_POWER_MAX 47u
#define FE_MRC_STEPS 16u
#define FE_MRC_BUCKETS ((FE_MRC_POWER_MAX - FE_MRC_POWER_MIN + 1u) * FE_MRC_STEPS)

typedef struct fe_mrc {
    fe_alloc *alloc;
    struct fe_mrc_entry *entries; /* samples_max + 1 of them */
    uint32_t *heads;              /* by hash: first entry, chained by `next` */
    uint32_t *heap;               /* entries, the greatest hash first */
    uint32_t *at;                 /* by position: entry, 0 for none */
    uint64_t *tree;               /* Fenwick tree by position: bytes */
    uint32_t samples_max, count;
    uint32_t stacked;                /* of them, those that are not gone */
    uint32_t position_max, position; /* the newest; the oldest is 1 */
    uint32_t free;                   /* entries that are not used, chained by `next` */
    uint64_t bytes;                  /* of all on the stack */
    uint64_t threshold;              /* hashes up to it are sampled */
    uint64_t threshold_max;
    uint64_t reach; /* keys that have sunk deeper, in bytes, are forgotten; 0: never */
    uint64_t reads; /* all, sampled or not, that are not yet in reads_before; the owner counts */
    double reads_before;
    double cold; /* reads of keys that were not known, or deleted or expired since */
    double weights[FE_MRC_BUCKETS]; /* reads by distance; each of a sample stands for 1 / rate */
} fe_mrc;

/* One use of a sampled key. */
typedef struct fe_mrc_use {
    uint64_t hash;
    uint32_t db;
    bool is_read;        /* counts; else the key is only on top now */
    bool exists;         /* afterwards */
    uint64_t bytes;      /* of the key, when it exists; 0: not known */
    int64_t deadline_ms; /* 0: none, or not known */
    int64_t now_ms;
} fe_mrc_use;

/* `rate_max` is the share of keys that is sampled while they are few, 0 < rate_max <= 1. NULL without
 * memory; takes about 80 bytes for each of samples_max (at least 16). */
fe_mrc *fe_mrc_new(fe_alloc *alloc, uint32_t samples_max, double rate_max);
void fe_mrc_free(fe_mrc *mrc); /* NULL is allowed */

static inline bool fe_mrc_is_sampled(const fe_mrc *mrc, uint64_t hash)
{
    return hash <= mrc->threshold;
}

/* Only for sampled hashes. Now and then takes O(samples_max). */
void fe_mrc_note(fe_mrc *mrc, const fe_mrc_use *use);

/* All keys of a database are gone; UINT32_MAX: of all. */
void fe_mrc_forget(fe_mrc *mrc, uint32_t db);

/* Makes what was counted so far count less: `factor` of it is left. */
void fe_mrc_decay(fe_mrc *mrc, double factor);

/* Forgets everything. */
void fe_mrc_clear(fe_mrc *mrc);

/* The sampled share of all keys, and the number of reads that count (less those that have decayed). */
double fe_mrc_rate(const fe_mrc *mrc);
double fe_mrc_reads(const fe_mrc *mrc);

/* The share of reads that a cache of so many bytes would answer, 0..1; 0 when there were none. */
double fe_mrc_hit_ratio(const fe_mrc *mrc, uint64_t bytes);

/* NULL, or the first violation of an invariant. */
const char *fe_mrc_check(const fe_mrc *mrc);

#endif
