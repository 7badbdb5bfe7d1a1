/* The read cache: memory-only rings of segments with copies of records whose home is on disk.
 *
 *     | head: u64 | record ... | head: u64 | record ... |
 *
 *     head:  bit 63   43     42      41..40   39..0
 *            +------+------+-------+--------+------+
 *            | DEAD | MAIN | FRESH | mark   | home |
 *            +------+------+-------+--------+------+
 *
 * The slot of a cached key holds the copy's address; the head in front of the copy holds the home's.
 * Nothing in it is ever written to disk: dropping a copy puts the home address back in the slot. A
 * copy's record is frozen as its home is: writing the key appends to the log, and both die. Its
 * first word is as in memory: keyspace and access. A copy may be a head (store/record.h), where those who had it
 * read need no value: who needs it has it read again (store/fetch.h).
 *
 * Which copies stay (the parameters are measured: docs/decisions):
 *
 *     read from disk --known to the ghost--> MAIN            leaving a segment of the log:
 *                    --unknown--> SMALL                       read there --> MAIN, mark - 1
 *     SMALL's oldest --mark >= 1--> MAIN, mark - 1            unread --> ghost
 *                    --0--> dropped, ghost
 *     MAIN's oldest  --mark >= 1--> MAIN's tail, mark - 1
 *                    --0--> dropped, ghost
 *
 * mark: reads, up to three; the first one of a copy that was read from disk (FRESH) is that of the
 * command it was read for, and does not count.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_STORE_CACHE_H
#define FE_STORE_CACHE_H

#include "store/ghost.h"
#include "store/keyspace.h"
#include "store/log.h"

#define FE_CACHE_HOME_BYTES 8u
#define FE_CACHE_DEAD (1ull << 63)
#define FE_CACHE_IN_MAIN (1ull << 43)
#define FE_CACHE_FRESH (1ull << 42)
#define FE_CACHE_MARK_SHIFT 40u
#define FE_CACHE_MARK_MAX 3u

typedef enum fe_ring_name { FE_RING_SMALL, FE_RING_MAIN, FE_RINGS } fe_ring_name;

/* A segment as it was when it joined the ring; gone when its number has another generation. */
typedef struct fe_ring_place {
    uint32_t segment, generation;
    uint64_t bytes;
} fe_ring_place;

#define FE_RING_NOWHERE UINT64_MAX

typedef struct fe_ring {
    fe_ring_place *places; /* a circle: place i is at i modulo capacity */
    uint64_t capacity;
    uint64_t first, next; /* places in use: first <= i < next */
    uint64_t tail;        /* the place that is appended to, or NOWHERE */
    uint64_t offset;      /* of the hand in the first place */
    uint64_t bytes;       /* of the segments, those that died unnoticed included */
} fe_ring;

typedef struct fe_cache_stats {
    uint64_t put, put_bytes;   /* copies of what was read from disk */
    uint64_t known;            /* of them, the ghost knew */
    uint64_t carried, kept;    /* copies made when the log left memory; moved to MAIN by a hand */
    uint64_t dropped, refused; /* copies; and what could not be copied without memory */
} fe_cache_stats;

typedef struct fe_cache {
    uint64_t budget; /* bytes of segments */
    fe_ring ring[FE_RINGS];
    uint64_t hold[FE_RINGS];  /* places from here on are left alone */
    bool keeps;               /* all places are: see fe_cache_keep */
    uint64_t heads[FE_RINGS]; /* from this place on, there are no copies without a value */
    fe_ghost ghost;
    uint64_t kept;    /* bytes kept by MAIN's hand beyond what it may keep for what it drops */
    uint64_t average; /* size of copies, a moving average, in 64ths of a byte */
    void *spare;      /* a mapping for the next segment, or NULL */
    size_t spare_bytes;
    fe_cache_stats stats;
} fe_cache;

static inline uint64_t fe_cache_head(const fe_log *log, fe_address copy)
{
    uint64_t head;
    memcpy(&head, (const uint8_t *)fe_log_at(log, copy) - FE_CACHE_HOME_BYTES, sizeof(head));
    return head;
}

static inline void fe_cache_set_head(fe_log *log, fe_address copy, uint64_t head)
{
    memcpy((uint8_t *)fe_log_at(log, copy) - FE_CACHE_HOME_BYTES, &head, sizeof(head));
}

static inline fe_address fe_cache_home(const fe_log *log, fe_address copy)
{
    return fe_cache_head(log, copy) & FE_ADDRESS_MASK;
}

/* The home has moved (compaction). */
static inline void fe_cache_set_home(fe_log *log, fe_address copy, fe_address home)
{
    fe_cache_set_head(log, copy, (fe_cache_head(log, copy) & ~FE_ADDRESS_MASK) | home);
}

static inline bool fe_cache_holds(const fe_log *log, fe_address address)
{
    return fe_log_segment(log, address)->tier == FE_TIER_CACHE;
}

/* The copy dies; returns its home. */
static inline fe_address fe_cache_drop(fe_log *log, fe_address copy)
{
    size_t size = fe_record_size(fe_log_at(log, copy));
    fe_address home = fe_cache_home(log, copy);
    fe_cache_set_head(log, copy, FE_CACHE_DEAD);
    fe_log_kill(log, copy, size + FE_CACHE_HOME_BYTES);
    return home;
}

/* A command reads the record: counted where it lies. */
void fe_cache_touch(fe_log *log, fe_address copy);

/* How warm the record is, 0..3, wherever it is in memory: what an update of it inherits. */
unsigned fe_cache_warmth(const fe_log *log, fe_address address);

/* The cache takes `bytes` from now on (a step makes it smaller; 0: it keeps only what waiting
 * commands need), and its ghost a thirty-second of that besides. */
void fe_cache_set_budget(fe_store *store, uint64_t bytes);
void fe_cache_open(fe_cache *cache);
void fe_cache_close(fe_store *store);

/* A record of `size` bytes that was read from disk, with its first word as in memory, is copied; the
 * slot of its key named its home, and names the copy afterwards, with its whole tag. Pays for itself
 * with a step, so slots of other keys change too. False without memory: nothing has changed. */
FE_MUST_USE bool fe_cache_put(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                              const fe_record *record, size_t size);

/* The same without copying: `mapping` of `bytes` (from fe_pages_map under FE_ALLOC_LOG) becomes a
 * segment of the cache; the record lies at `offset` in it, 8 bytes before are free. False without
 * memory: the mapping is still the caller's. */
FE_MUST_USE bool fe_cache_adopt(fe_store *store, fe_keyspace *keyspace, uint64_t hash,
                                uint64_t *slot, void *mapping, size_t bytes, size_t offset,
                                size_t size);

/* Works for about `bytes` while the cache is over its budget; whether there is more to do at once.
 * Nothing that came after the oldest open waiter opened (store/fetch.h) is dropped. */
bool fe_cache_step(fe_store *store, uint64_t bytes);

/* A MAPPED segment is about to leave memory: goes on at the cursor for about `bytes` of records.
 * What was read there is copied; of the rest the ghost hears. `*done` when its end is reached. The
 * caller keeps the segment where it is meanwhile. */
void fe_cache_carry(fe_store *store, uint32_t segment, fe_cursor *cursor, uint64_t bytes,
                    bool *done);

/* The slot names a copy, which dies: it names its home again. */
void fe_cache_give_up(fe_store *store, uint64_t *slot);

/* Whether copies without a value (fe_record_is_head) may be among the others. */
bool fe_cache_has_heads(const fe_store *store);

/* Bytes of memory in the cache's segments. */
uint64_t fe_cache_bytes(const fe_store *store);

/* While `keeps`, no copy is dropped to make room: a transaction waits in its middle, and what it found in memory
 * has to be there when it goes on. */
void fe_cache_keep(fe_store *store, bool keeps);

/* For fe_store_check. */
const char *fe_cache_check(const fe_store *store);

#endif
