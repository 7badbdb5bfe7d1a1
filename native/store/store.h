/* The store's private struct, shared by the files of this folder that implement store/keyspace.h.
 */
#ifndef FE_STORE_STORE_H
#define FE_STORE_STORE_H

#include "store/cut.h"
#include "store/fetch.h"
#include "store/frozen.h"
#include "store/index.h"
#include "store/keyspace.h"
#include "store/log.h"
#include "store/misses.h"

__extension__ typedef __int128 fe_wide; /* a sum of deadlines does not fit 64 bits */

/* A keyspace: the records that carry `id`, and the index over them. A database is a name of one. */
struct fe_keyspace {
    fe_index index;
    uint32_t id; /* in the records */
    uint32_t db; /* the database that it is now */
    uint64_t expires;
    fe_wide deadline_sum;
    uint32_t unsettled; /* blind writes that a read is to settle: `index` may count a key twice */
};

/* Life of a keyspace id: LIVE -> DEAD (fe_store_flush) -> SWEPT (a sweep has begun that will meet
 * all its records) -> FREE (it ended). */
typedef enum fe_id_state { FE_ID_FREE, FE_ID_LIVE, FE_ID_DEAD, FE_ID_SWEPT } fe_id_state;

#define FE_POOL_SIZE 16u

/* A key that sampling found worth evicting; looked up again before use. */
typedef struct fe_candidate {
    uint64_t score; /* higher goes first */
    uint64_t hash;
    fe_address address;
    uint32_t keyspace; /* id */
} fe_candidate;

typedef struct fe_evict {
    fe_candidate pool[FE_POOL_SIZE]; /* ascending by score */
    uint32_t count;
    uint64_t ceiling;  /* used memory never passes it while anything can be evicted */
    uint64_t appended; /* of the log, when room was last made */
    fe_random random;
    fe_keyspace *next; /* NULL, or where the next sample comes from */
    uint64_t next_bucket;
    uint64_t order_bucket; /* where the search for rare volatile keys goes on */
    fe_cut cut;            /* what is cold */
} fe_evict;

typedef struct fe_expire {
    uint32_t segment;    /* the last one looked at in this pass */
    bool walking;        /* FE_WALKER_EXPIRE is inside it */
    int64_t pass_end_ms; /* when the last pass found nothing more; INT64_MIN: never */
    int64_t credit_ms;   /* when credit was last given */
    uint64_t credit;     /* bytes that may be walked for little gain */
    fe_deadlines_measure measure;
} fe_expire;

typedef struct fe_compact {
    uint64_t appended;            /* of the log, when its debt was last counted */
    uint64_t debt;                /* bytes to move for what was written */
    uint64_t walked, moved;       /* bytes while evicting, since what is cold was last adapted */
    uint32_t dead_ids, swept_ids; /* how many ids are DEAD, and SWEPT */
    uint64_t sweep_sequence; /* segments up to this may hold SWEPT ids; 0: no sweep is going on */
    uint64_t drop_sequence;  /* segments up to this hold nothing alive */
    uint32_t sweep_segment;
} fe_compact;

struct fe_store {
    fe_alloc *alloc;
    fe_store_options options;
    fe_trash_list trash;
    fe_index_space index_space;
    fe_log log;
    int64_t now_ms;          /* Unix ms; stands still while a clock that was set back catches up */
    int64_t steady_ms;       /* goes on then: for pauses and retries */
    int64_t wall_ms;         /* as told last */
    uint32_t access_now;     /* what a fresh record's access field says */
    fe_keyspace *keyspaces;  /* options.databases of them */
    fe_keyspace **databases; /* database number to keyspace */
    fe_keyspace *by_id[FE_KEYSPACE_MAX + 1]; /* NULL where the id is not LIVE */
    uint8_t id_state[FE_KEYSPACE_MAX + 1];
    uint32_t id_last; /* ids are given out in a circle */
    fe_evict evict;
    fe_expire expire;
    fe_compact compact;
    struct fe_tiers *tiers; /* store/tier.h; NULL: memory only */
    fe_frozen frozen;
    fe_mark *marks;
    size_t mark_count, mark_capacity;
    bool interest, marks_lost;
    fe_cache cache; /* of a tiered log, as is `fetch` */
    fe_fetch fetch;
    fe_misses misses;
    fe_store_stats stats;              /* counters; gauges are filled in by fe_store_stats_get */
    uint64_t tier_hits[FE_TIER_COUNT]; /* of a tiered log: see fe_look_stats */
    uint32_t below;                    /* of a tiered log: see fe_look_below */
    uint64_t expired_before, evicted_before; /* of `stats`, when they were last reset */
};

static inline uint64_t fe_store_record_hash(const fe_store *store, const fe_record *record)
{
    fe_bytes key = fe_record_key(record);
    return fe_hash(&store->options.seed, key.ptr, key.len);
}

static inline bool fe_store_expired(const fe_store *store, int64_t deadline)
{
    return deadline != FE_DEADLINE_NONE && deadline < store->now_ms;
}

static inline bool fe_store_is_lfu(const fe_store *store)
{
    return store->options.policy == FE_POLICY_ALLKEYS_LFU ||
           store->options.policy == FE_POLICY_VOLATILE_LFU;
}

/* What tells the keys of a keyspace from those of others that have the same names. */
static inline uint64_t fe_store_salt(const fe_store *store, const fe_keyspace *keyspace)
{
    return (uint64_t)(keyspace - store->keyspaces) * 0x9e3779b97f4a7c15ull;
}

/* A key ends for this reason. */
static inline void fe_store_note_gone(fe_store *store, const fe_keyspace *keyspace, uint64_t hash,
                                      fe_miss reason)
{
    fe_gone_note(&store->misses.gone, hash ^ fe_store_salt(store, keyspace), reason);
}

/* keyspace.c */
void fe_store_mark_key(fe_store *store, uint32_t db, uint64_t hash);

/* key.c: removes a record whose slot is known: index, accounts, log and mark. Its key ends. */
void fe_store_remove(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                     fe_miss reason);
void fe_store_remove_expired(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot);
/* The same for a record on disk, of which `record` is the bytes; nobody is told, and the key may
 * live on. And for one whose
 * bytes cannot be read: its deadline counts as the average, and its segment is left miscounted. */
void fe_store_remove_cold(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                          const fe_record *record);
void fe_store_remove_unread(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot);
/* As fe_store_remove, for one of which a footer has told enough; it may be in memory too. */
void fe_store_remove_known(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                           int64_t deadline, size_t size, fe_miss reason);
/* A record in memory dies, and the home of a copy with it. */
void fe_store_kill(fe_store *store, fe_address address, const fe_record *record);

/* fetch_settle.c: a look-up found nothing in memory. Asserts that its command was granted to write
 * over whatever on disk may be the key's. */
__attribute__((cold)) void fe_settle_meet(fe_store *store, const fe_keyspace *keyspace,
                                          uint64_t hash);
/* The record on disk that a new one may be written over, which may be the key's; NONE: there is none,
 * or all are known to be others'. */
__attribute__((cold)) fe_address fe_settle_granted(fe_store *store, const fe_keyspace *keyspace,
                                                   uint64_t hash);
/* The key has got a second slot beside that of the record at `cold`. False without memory. */
FE_MUST_USE bool fe_settle_begin(fe_key *key, fe_address cold);
/* The keyspace loses all its keys. */
void fe_settle_forget(fe_store *store, const fe_keyspace *keyspace);

/* fetch_missing.c: a walk met a slot whose record is on disk; false when it had better be passed over. */
bool fe_missing_add(fe_store *store, const fe_keyspace *keyspace, uint64_t bucket, uint64_t slot,
                    bool pick);
bool fe_missing_is_full(const fe_store *store);
uint64_t *fe_missing_pick_take(fe_store *store, const fe_keyspace *keyspace, uint64_t *hash);

/* spare.c: gives the index's spare chunk back; and when no index is near growing any more. */
void fe_spare_close(fe_store *store);
void fe_spare_trim(fe_store *store);

/* access.c: the access field of a fresh record, and of one that is read. */
uint32_t fe_access_fresh(const fe_store *store);
void fe_access_touch(fe_key *key);
/* What is known of the use of a record in a segment with a file. */
uint32_t fe_access_frozen(const fe_store *store, fe_address address);
/* What the access field of the key's record says; where the record has none (a mapped one holds its
 * checksum there), that of a fresh record. */
uint32_t fe_access_of(const fe_key *key);

#endif
