/* A ledger of what is done with keys, by their prefix: uses, hits, misses by reason, bytes, disk reads and
 * durations of the prefixes that are used most.
 *
 * The prefix is what stands before the n-th separator, or before the last one of a key with fewer; keys
 * without any count together, as the empty prefix. Databases do not matter. A ledger by pattern counts those
 * together whose pattern (event/texts.h) is the same, so that what is shown of names is added up here, where nothing
 * that was counted can fall.
 *
 * Space-Saving (see hotkeys.h) by uses, without decay: when the ledger is full, a prefix that is not in it
 * takes the place of the one with the fewest, and inherits its uses as `error`. So every prefix with more than
 * total / count of all uses is in it, `error` is at most that, and the true uses of a prefix since the ledger began are
 * between `uses` and `uses + error`. All else is counted from when the prefix came in, as `uses` is.
 *
 * Pure: no clock, no store. Threads: the owner's lock.
 */
#ifndef FE_ENGINE_PREFIXES_H
#define FE_ENGINE_PREFIXES_H

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "event/exponential.h"
#include "event/texts.h"
#include "store/gone.h"

#define FE_PREFIX_COUNT_MAX 256u
#define FE_PREFIX_PARTS_MAX 8u
#define FE_PREFIX_NAME_MAX 96u /* bytes of a prefix that are kept */
/* Bytes of a key that are searched for separators: it may be long, and the lock is held. */
#define FE_PREFIX_SEARCH_MAX 4096u

typedef enum fe_prefix_tier {
    FE_PREFIX_MUTABLE,
    FE_PREFIX_READ_ONLY,
    FE_PREFIX_READ_CACHE,
    FE_PREFIX_DISK,
    FE_PREFIX_TIERS
} fe_prefix_tier;

/* What one command did, or a share of it, times as many as it stands for. */
typedef struct fe_prefix_effects {
    double hits[FE_PREFIX_TIERS]; /* by where the record was */
    double misses;
    double misses_by[FE_MISS_COUNT];    /* of them, while reasons are told */
    double read_bytes[FE_PREFIX_TIERS]; /* of values that were found, by where they were */
    double written_bytes;
} fe_prefix_effects;

typedef struct fe_prefix {
    double uses;      /* of keys, each by each command, since it is in the ledger */
    int64_t since_ms; /* when it came in */
    double error;     /* uses before, at most */
    double variance;  /* of what sampling has made of `uses` */
    double disk_reads;
    fe_prefix_effects effects;
    fe_exponential durations; /* of the commands, waits included; one for each use */
    uint16_t name_len;        /* that is kept: no two are the same */
    bool is_cut;              /* the name is longer; those that begin so count together */
    uint8_t name[FE_PREFIX_NAME_MAX];
} fe_prefix;

typedef struct fe_prefixes_options {
    bool on;
    uint8_t separator;
    uint32_t parts; /* 1..FE_PREFIX_PARTS_MAX */
    uint32_t count; /* that it has room for, 1..FE_PREFIX_COUNT_MAX */
    bool patterns;  /* a second ledger, by pattern, is wanted */
} fe_prefixes_options;

typedef struct fe_prefixes {
    fe_prefixes_options options;
    bool by_pattern;
    fe_hash_seed seed;
    fe_alloc *alloc;
    double uses;      /* of all prefixes, since the beginning */
    int64_t since_ms; /* the beginning */
    uint32_t count;
    uint64_t hashes[FE_PREFIX_COUNT_MAX];
    double ranks[FE_PREFIX_COUNT_MAX]; /* `uses + error`, side by side */
    fe_prefix entries[];               /* `options.count` */
} fe_prefixes;

/* An empty ledger; NULL without memory. */
fe_prefixes *fe_prefixes_new(fe_alloc *alloc, const fe_prefixes_options *options, bool by_pattern,
                             const fe_hash_seed *seed, int64_t now_ms);
void fe_prefixes_free(fe_prefixes *prefixes);

/* Begins anew. */
void fe_prefixes_clear(fe_prefixes *prefixes, int64_t now_ms);

/* The part of a key that is its prefix. */
fe_bytes fe_prefix_of(fe_bytes key, uint8_t separator, uint32_t parts);

/* What a ledger knows a key's prefix by. */
typedef struct fe_prefix_name {
    fe_bytes kept; /* at most FE_PREFIX_NAME_MAX bytes */
    uint64_t hash; /* of them */
    bool is_cut;
} fe_prefix_name;

/* `pattern`: NULL, or where the prefix's pattern is put, which takes its place. */
fe_prefix_name fe_prefix_name_of(fe_bytes key, uint8_t separator, uint32_t parts,
                                 const fe_hash_seed *seed, uint8_t pattern[FE_TEXT_KEY_MAX]);

/* A key was used `uses` (> 0) times: counts that, and returns what else is to be counted for. Takes
 * O(count). */
fe_prefix *fe_prefixes_use(fe_prefixes *prefixes, fe_bytes key, double uses, int64_t now_ms);

/* The same of something else than uses: no other prefix gives way for it, so it may be NULL. */
fe_prefix *fe_prefixes_meet(fe_prefixes *prefixes, fe_bytes key, int64_t now_ms);

/* Adds to what a prefix has. */
void fe_prefix_add(fe_prefix *prefix, const fe_prefix_effects *effects);

#endif
