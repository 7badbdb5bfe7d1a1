/* Looking into a tiered store: where a key is, and the numbers that operators see. Nothing here changes
 * a record or reads the disk.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_STORE_LOOK_H
#define FE_STORE_LOOK_H

#include "store/fetch.h"
#include "store/frozen.h"
#include "store/tier.h"

/* As operators are told: "mutable", "sealed", "read_only", "disk" or "read_cache". */
const char *fe_tier_name(fe_tier tier);

/* A place in a segment. */
typedef struct fe_place {
    uint32_t segment; /* 0: none */
    uint64_t offset;  /* bytes from the segment's first */
} fe_place;

/* Where a key's record is. */
typedef struct fe_whereabouts {
    fe_tier tier;
    fe_place at;
    fe_place home;       /* of a copy in the read cache */
    uint64_t bytes;      /* of the record; 0 for one on disk, whose size only the disk knows */
    int64_t deadline_ms; /* FE_DEADLINE_NONE also for one on disk */
    unsigned marks;      /* recent reads, 0..3 */
    /* False for a record on disk: 20 bits of the hash say that it is the key's, or 12 while its tag is
     * short. A record of another key looks the same once in a million, or in 4096. */
    bool certain;
} fe_whereabouts;

/* Finds a key without touching, expiring or reading it; false: there is none. */
bool fe_look_key(const fe_store *store, uint32_t db, fe_bytes name, uint64_t hash,
                 fe_whereabouts *where);

/* Keys that were removed, by where their record was then. */
typedef struct fe_removals {
    uint64_t in_memory;
    uint64_t on_disk; /* by a walk over its file, mapped or not, or when it had been read from it */
} fe_removals;

/* Counters since the start (`hits`: or since fe_store_stats_reset), and gauges. */
typedef struct fe_look_stats {
    fe_tier_stats tier;
    fe_cache_stats cache;
    fe_fetch_stats fetch;
    fe_frozen_stats frozen;
    /* Look-ups of commands that read, by where the record was; FE_TIER_DISK: it was read from disk for
     * this look-up. */
    uint64_t hits[FE_TIER_COUNT];
    fe_removals expired, evicted;
    uint64_t switches;                 /* of segments from one tier to another */
    uint64_t fetch_queued, fetch_busy; /* gauges: reads that wait for the disk; that it works on */
    uint64_t short_tags, unsettled;    /* gauges: slots; keys */
    uint64_t damaged;       /* gauge: segments with a file in which something is damaged */
    uint64_t ghost_entries; /* gauge: how many keys it can remember */
    bool can_evict;         /* gauge: fe_frozen_can_evict */
} fe_look_stats;

/* All zero for a memory-only store, but for its one tier and what was removed from it. */
void fe_look_stats_get(const fe_store *store, fe_look_stats *stats);

/* Tiers other than the mutable one that look-ups have hit since fe_look_below_clear: 1 << fe_tier for each. One load. */
uint32_t fe_look_below(const fe_store *store);
void fe_look_below_clear(fe_store *store);

/* How many look-ups found nothing so far, by reason, while reasons are told. */
void fe_look_miss_counts(const fe_store *store, uint64_t by[FE_MISS_COUNT]);

/* Reads from disk that are wanted or under way. */
uint32_t fe_look_reads(const fe_store *store);

/* How many reads were put off so far, which settle what became of a key's older record. */
uint64_t fe_look_put_off(const fe_store *store);

/* Names the keys for which the last `count` of them were, which are put off still. */
typedef void fe_look_visit(const void *context, fe_bytes name, uint64_t hash);
void fe_look_last_put_off(const fe_store *store, uint64_t count, fe_look_visit *visit,
                          const void *context);

/* Bytes of memory that the store takes: fe_store_used, and the files that it maps. */
uint64_t fe_look_memory(const fe_store *store);

/* Empties the read cache, about `bytes` of it; call it again while it returns true. What waiting
 * commands need stays. */
bool fe_look_trim_cache(fe_store *store, uint64_t bytes);

#endif
