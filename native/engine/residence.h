/* Where the bytes of prefixes lie: which part of each tier is records of which prefix. Added up when somebody
 * asks, from
 *
 *     records in memory   a random sample of them (store/survey.h), those that have a segment of their own all
 *     segment files       a table of each, made of all its records when it was written, by the thread that
 *                         writes and without the lock: what was a prefix's then, by what of the segment is alive now
 *
 * A segment that was written while the ledger was off has no table: its records are sampled while it is mapped, and
 * nobody knows of them when it is only on disk. Tables go with their segments, when they are met by a sweep.
 *
 * Threads: the owner's lock, but for fe_residence_run.
 */
#ifndef FE_ENGINE_RESIDENCE_H
#define FE_ENGINE_RESIDENCE_H

#include "base/random.h"
#include "engine/prefixes.h"
#include "store/survey.h"

#define FE_RESIDENCE_ROWS 64u /* of a table: Space-Saving by bytes */

typedef struct fe_residence_row {
    uint32_t hash;  /* the upper half of that of the prefix */
    uint32_t units; /* of 8 bytes, of its records; by `error` too many, at most */
    uint32_t error;
} fe_residence_row;

typedef struct fe_residence_table {
    uint32_t generation; /* of the segment */
    uint32_t version;    /* of the way to cut prefixes */
    uint64_t serial;     /* tables are numbered as they come in */
    uint64_t units;      /* of all records */
    uint32_t floor;      /* units of a prefix without a row, at most */
    uint32_t count;
    fe_residence_row rows[];
} fe_residence_table;

/* Of one segment: by prefix, and by pattern. */
typedef struct fe_residence_pair {
    fe_residence_table *by[2];
} fe_residence_pair;

/* How prefixes are cut. */
typedef struct fe_residence_cut {
    bool on, patterns;
    uint8_t separator;
    uint32_t parts;
    fe_hash_seed seed;
    uint32_t version; /* another one whenever the others say something else of a prefix */
} fe_residence_cut;

typedef struct fe_residence {
    fe_alloc *alloc;
    fe_residence_cut cut;
    fe_residence_pair *pairs; /* by segment number; NULL: none */
    uint32_t capacity, count; /* of them; of tables */
    uint32_t sweep;           /* the number that the sweep looks at next */
    uint64_t serial;          /* of the last table */
    fe_random random;
} fe_residence;

void fe_residence_open(fe_residence *residence, fe_alloc *alloc, uint64_t random_seed);
void fe_residence_close(fe_residence *residence);
/* As these ledgers cut prefixes; NULL: it is off. Without one, tables go with the next sweeps, as those do that
 * another separator or other parts make void. */
void fe_residence_set(fe_residence *residence, const fe_prefixes *ledger,
                      const fe_prefixes *patterns);

/* Looks at some segments, and gives up tables that are worth nothing any more. */
void fe_residence_sweep(fe_residence *residence, const fe_store *store);

/* The tables of a segment that is being written. */
typedef struct fe_residence_job {
    fe_alloc *alloc;
    fe_residence_cut cut;
    fe_residence_pair made; /* NULL: without memory, or not wanted */
} fe_residence_job;

void fe_residence_begin(const fe_residence *residence, fe_residence_job *job);
/* Without the lock, on memory that nobody changes; `used` bytes of records. */
void fe_residence_run(fe_residence_job *job, const uint8_t *base, size_t used, uint32_t generation);
void fe_residence_end(fe_residence *residence, fe_residence_job *job, uint32_t segment);

/* What lies where, of some prefixes. */
typedef struct fe_residence_bytes {
    double bytes[FE_PREFIX_TIERS];
    double error
        [FE_PREFIX_TIERS]; /* it is so far off at most; but of what was sampled, 19 times in 20 */
} fe_residence_bytes;

#define FE_RESIDENCE_PLACES 1024u /* a power of two, well above FE_PREFIX_COUNT_MAX */

typedef struct fe_residence_tour {
    bool by_pattern;
    fe_residence_cut cut;
    uint32_t count;
    uint32_t hashes[FE_PREFIX_COUNT_MAX];
    uint16_t places[FE_RESIDENCE_PLACES]; /* prefixes by hash, from 1 */
    uint32_t segment;                     /* the next */
    uint64_t
        serial; /* later tables of mapped segments are left alone, so that each is counted in one way */
    fe_survey survey;
    const fe_residence *residence; /* while a step runs */
    const fe_store *store;
    double variance[FE_PREFIX_COUNT_MAX][FE_PREFIX_TIERS];
    double absent[FE_PREFIX_TIERS];                          /* what has no row, at most */
    double sampled_live[FE_PREFIX_TIERS];                    /* bytes that a sample is taken of */
    double met[FE_PREFIX_TIERS], met_bytes[FE_PREFIX_TIERS]; /* records of the sample */
    /* the outcome */
    double disk_live,
        disk_known; /* bytes only on disk that are alive; of them, in segments with a table */
    fe_residence_bytes found[FE_PREFIX_COUNT_MAX];
} fe_residence_tour;

/* Begins to add up the bytes of prefixes, given by the hashes that a ledger has for them. */
void fe_residence_tour_begin(fe_residence_tour *tour, fe_residence *residence,
                             const fe_store *store, bool by_pattern, const uint64_t *hashes,
                             uint32_t count);
/* Goes on for some microseconds; false: it is done. The lock may be given up between. */
bool fe_residence_tour_step(fe_residence_tour *tour, const fe_residence *residence,
                            const fe_store *store);

#endif
