/* The store's one door for commands: databases, keys, and what can be done with a key.
 *
 * A store is one log, the keyspaces whose records lie in it, and the databases, which are names
 * (0..n-1) of keyspaces. FLUSHDB gives a database a new keyspace and lets the old records die;
 * SWAPDB swaps two.
 *
 * How a command uses it (through command/open.h, which adds type checks, statistics and replies):
 *
 *     fe_key key;
 *     fe_key_find(store, db, name, hash, &key);      // removes an expired key: it is absent
 *     if (fe_key_exists(&key)) ... fe_record_value(key.record) ...
 *     uint8_t *value = fe_key_write(&key, ...);         // create or replace
 *
 * An fe_key is valid until the next step, fe_store_make_room, flush or swap; changes through
 * fe_keys of other names do not hurt it, a change through another fe_key of the same name does.
 * `key.record` changes when a write moves the record; read it again after each call. Nothing moves
 * or frees a record behind a running command: reclaiming and eviction happen in steps, between
 * commands.
 *
 * Threads: the engine's lock is held for every call.
 */
#ifndef FE_STORE_KEYSPACE_H
#define FE_STORE_KEYSPACE_H

#include "base/alloc.h"
#include "base/body.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/status.h"
#include "store/gone.h"
#include "store/record.h"
#include "store/trash.h"

typedef enum fe_policy {
    FE_POLICY_NOEVICTION,
    FE_POLICY_ALLKEYS_LRU,
    FE_POLICY_ALLKEYS_LFU,
    FE_POLICY_ALLKEYS_RANDOM,
    FE_POLICY_VOLATILE_LRU,
    FE_POLICY_VOLATILE_LFU,
    FE_POLICY_VOLATILE_RANDOM,
    FE_POLICY_VOLATILE_TTL
} fe_policy;

typedef struct fe_store_options {
    uint32_t databases;  /* 1..1024 */
    uint64_t memory_max; /* bytes for log, index and everything else accounted; 0 = no limit */
    fe_policy policy;
    /* 1..64 (Redis maxmemory-samples): candidates looked at per eviction; where whole segments are
     * evicted from, how exactly (store/evict.c). */
    uint32_t samples;
    uint32_t lfu_log_factor;
    uint32_t lfu_decay_minutes;
    /* Bytes, a power of two 64 KiB..32 MiB; 0 = 4 MiB. No log segment gets larger (but for single
     * large values); they start small, and stay small under a small memory_max. */
    uint32_t segment_size;
    fe_hash_seed seed;
    /* NULL: memory only. Else the store is tiered (store/tier.h), and the device, which outlives
     * it, is its own. */
    struct fe_device *device;
    /* Bytes of memory of each tier; 0: a share of what memory_max leaves for them. */
    uint64_t mutable_size, readonly_size, cache_size;
    uint64_t disk_max; /* bytes of all files; 0 = no limit */
    uint64_t
        files_max; /* files that may be open, so that clients find room beside them; 0 = no limit */
    /* Bytes of the table that tells why keys are gone (store/misses.h), at most a 64th of memory_max;
     * 0: reasons of misses are not told. */
    uint64_t gone_size;
    bool
        serves_damaged; /* a start with segment files that are lost or not whole serves the others */
    bool lock_memory;   /* mapped segments stay in memory (mlock), as far as the system allows */
} fe_store_options;

/* Counters that only grow (until fe_store_stats_reset) and gauges of now; see each comment. */
typedef struct fe_store_stats {
    uint64_t hits, misses;       /* counted by fe_key_look_up */
    uint64_t in_place, appended; /* writes that kept, or moved to the tail, their record */
    uint64_t read_bytes,
        written_bytes; /* of values that look-ups found, and that were written whole or resized */
    uint64_t written_values; /* so many were: other writes change a deadline, a name or a part */
    uint64_t
        misses_by[FE_MISS_COUNT]; /* of the misses, while reasons are told; see fe_miss_stats */
    uint64_t expired_keys;        /* all removals because of a deadline */
    uint64_t expired_steps;       /* ... of them by the background step */
    uint64_t evicted_keys;
    uint64_t changes;                               /* effective modifications (Redis: dirty) */
    uint64_t compacted_segments, compacted_bytes;   /* moved by compaction */
    uint64_t log_bytes;                             /* gauge: bytes of mapped segments */
    uint64_t log_live_bytes;                        /* gauge: bytes of live records in them */
    uint64_t log_segments;                          /* gauge */
    uint64_t index_bytes;                           /* gauge */
    uint64_t index_buckets, index_overflow_buckets; /* gauges, all databases */
    uint64_t index_splits, index_merges;
    uint64_t expired_unreclaimed_bytes; /* gauge, estimate: past their deadline, still in the log */
    uint64_t trash_mappings;            /* gauge: memory that waits to be unmapped by the workers */
    uint64_t trash_unmapped;            /* mappings that went that way since the start */
    uint64_t lent_values;               /* gauge: replies that are sent from the log's memory */
    uint64_t held_mappings, held_bytes; /* gauges: what the log gave up, and waits for those */
} fe_store_stats;

/* Why look-ups found nothing, and what that rests on. */
typedef struct fe_miss_stats {
    uint64_t by[FE_MISS_COUNT];       /* as in fe_store_stats */
    uint64_t by_since[FE_MISS_COUNT]; /* the same since fe_store_misses_reset */
    /* Gauges of the table: its bytes (0: reasons are not told), how many keys it has room for, how many
     * it remembers, and how many of those went for which reason. */
    uint64_t bytes, capacity, keys, keys_by[FE_MISS_COUNT];
    uint64_t forgotten; /* keys that it had to forget, or had no room for, since the start */
    uint64_t pending;   /* gauge: flushed keys that it will be told of, at most */
    double error;       /* gauge: chance that a key never seen is taken for one that is gone */
} fe_miss_stats;

/* Counters of which one command's part is the difference, while the lock is held. */
typedef struct fe_store_tally {
    uint64_t hits, misses, in_place, appended, read_bytes, written_bytes, written_values;
    /* Of the hits, by where the record was; in a memory-only store all are mutable. */
    uint64_t hits_mutable, hits_readonly, hits_cache, hits_disk;
} fe_store_tally;

/* What compaction in memory has done so far: two counters of fe_store_stats, which cost nothing to read. */
typedef struct fe_store_compacted {
    uint64_t segments, bytes;
} fe_store_compacted;

typedef struct fe_database_stats {
    uint64_t keys;
    uint64_t expires;       /* keys with a deadline */
    int64_t average_ttl_ms; /* of those, an estimate from the deadlines seen; 0 when expires is 0 */
} fe_database_stats;

typedef struct fe_store fe_store;
typedef struct fe_keyspace fe_keyspace;

/* One located key: filled by fe_key_find. Only `record`, `name`, `hash` and `db` are for commands
 * to read. */
typedef struct fe_key {
    fe_record *record; /* NULL: the key does not exist */
    fe_bytes name;
    uint64_t hash;
    fe_store *store;
    fe_keyspace *keyspace;
    uint64_t *slot;   /* its index slot; good while `shape` is the index's, else searched again */
    uint64_t address; /* of the record */
    uint64_t shape;   /* the index's when `slot` was right */
    uint32_t db;
    bool moved; /* fe_key_edit has moved the record, which was counted */
} fe_key;

#define FE_DEADLINE_NONE 0         /* never expires */
#define FE_DEADLINE_KEEP INT64_MIN /* what the key had */

/* Life cycle. `alloc` outlives the store. NULL when memory is exhausted. */
fe_store *fe_store_new(fe_alloc *alloc, const fe_store_options *options);
void fe_store_free(fe_store *store);

/* Changes options at run time; `databases`, `segment_size`, `seed` and `device` are fixed and must be
 * unchanged. */
void fe_store_set_options(fe_store *store, const fe_store_options *options);
const fe_store_options *fe_store_get_options(const fe_store *store);

/* The time that every following call uses, Unix milliseconds. The engine sets it once per batch.
 * Never goes backwards in effect: expiry is decided by this value only. */
void fe_store_set_now(fe_store *store, int64_t now_ms);
int64_t fe_store_now(const fe_store *store);

/* Look-ups. ------------------------------------------------------------------------------------ */

static inline uint64_t fe_key_hash(const fe_hash_seed *seed, fe_bytes name)
{
    return fe_hash(seed, name.ptr, name.len);
}
const fe_hash_seed *fe_store_seed(const fe_store *store);

/* What a thread needs to ask for buckets of one database while it does not hold the lock: a copy
 * of where the index lies, refreshed under the lock. When it has become stale the wrong line is
 * asked for, and nothing else happens. */
#define FE_HINT_CHUNKS 256u /* buckets of larger indexes are asked for under the lock only */
typedef struct fe_hint {
    const void *index; /* which one was copied; NULL: none yet */
    uint64_t version;
    uint64_t mask, split;
    uint32_t db;
    uint32_t chunk_count;
    const uint64_t *chunks[FE_HINT_CHUNKS];
} fe_hint;
void fe_store_hint_refresh(const fe_store *store, uint32_t db, fe_hint *hint);
void fe_hint_prefetch(const fe_hint *hint, uint64_t hash);

/* Ask for the cache lines of the bucket; then (a little later) of the record that the tag points
 * to. Hints only. When _record returns true, the bucket has overflowed and only the overflow node
 * was asked for: call _behind, later still, for the record (about one key in seven; without it the
 * look-up waits once more for memory). */
void fe_store_prefetch_bucket(const fe_store *store, uint32_t db, uint64_t hash);
bool fe_store_prefetch_record(const fe_store *store, uint32_t db, uint64_t hash);
void fe_store_prefetch_behind(const fe_store *store, uint32_t db, uint64_t hash);

/* Locates a key and, unless `no_touch`, marks the access for the eviction policy. A key past its
 * deadline is removed (counted, marked changed for watchers) and absent. In a tiered store the key
 * was asked for before (fe_fetch_key): one that may be on disk is absent here only for a command that
 * said it would overwrite it blindly. */
void fe_key_find(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash, bool no_touch,
                 fe_key *key);

/* The same for a command that reads: also counts a hit or a miss, and where it hit. */
void fe_key_look_up(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash, bool no_touch,
                    fe_key *key);

static inline bool fe_key_exists(const fe_key *key)
{
    return key->record != NULL;
}

/* Changes. Each counts one change and marks the key for watchers; NULL, FE_NO_MEMORY and
 * FE_TOO_LARGE leave all as it was. */

/* What a written value is. */
typedef enum fe_value_kind {
    FE_VALUE_PLAIN, /* bytes, small form where possible */
    FE_VALUE_INT,   /* 8 bytes, an int64 */
    FE_VALUE_RAW    /* bytes that may grow: large form with capacity (OBJECT ENCODING "raw") */
} fe_value_kind;

/* Creates the key or replaces its value, type and kind; returns `len` bytes for the caller to fill
 * at once (their content is unspecified). In place when the new value fits the old record, else at
 * the tail. `deadline` is FE_DEADLINE_KEEP, FE_DEADLINE_NONE or Unix ms. `len` up to FE_VALUE_MAX.
 * The source of the bytes must not be this key's own old value. */
#define FE_VALUE_MAX 0xfff00000u
FE_MUST_USE uint8_t *fe_key_write(fe_key *key, fe_type type, fe_value_kind kind, size_t len,
                                  int64_t deadline);

/* The same as RAW, with all bytes zero; of a long value without writing them. */
FE_MUST_USE uint8_t *fe_key_write_zeros(fe_key *key, fe_type type, size_t len, int64_t deadline);

/* A long value that was received into pages of its own (base/body.h), at the place that
 * fe_key_body_at says for a key of that length, need not be copied: fe_key_adopt makes the pages the record, and leaves the body
 * empty. False without memory: all is as it was, but the body may be empty. Only when fe_key_adopts
 * says so. */
size_t fe_key_body_at(size_t key_len);
bool fe_key_adopts(const fe_key *key, const fe_body *body);
FE_MUST_USE bool fe_key_adopt(fe_key *key, fe_type type, fe_body *body, int64_t deadline);
/* Lets a worker give a body's pages back, whole or not. */
void fe_store_discard_body(fe_store *store, fe_body *body);

/* Lets the caller read the value's bytes without the lock, until fe_store_release: they stay as they are, whatever
 * becomes of the key. Lent are values in memory of their own, and those of the read cache, with
 * others' or without; false for those in the log's shared segments or mapped from a file. */
FE_MUST_USE bool fe_key_lend(const fe_key *key, fe_hold *hold);
void fe_store_release(fe_store *store, fe_hold *hold);

/* Makes an existing non-INT value `len` bytes long, as RAW: kept bytes keep their content, new ones
 * are zero. Growth is amortised by capacity. Returns the value's first byte. */
FE_MUST_USE uint8_t *fe_key_resize(fe_key *key, size_t len);

/* Gives an existing value the RAW form without changing what it says; so it is not a change for
 * counters and watchers. Of an INT the caller writes the `len` digits at once; of others `len` is
 * the length they have, and the bytes are kept. NULL without memory: all is as it was. */
FE_MUST_USE uint8_t *fe_key_recast(fe_key *key, size_t len);

/* The caller has changed bytes of what fe_key_edit gave it (or is about to, before anything else runs). */
void fe_key_changed(fe_key *key);

/* The value's bytes, to be changed where they are; a record that is frozen moves to the tail first.
 * NULL without memory. Call fe_key_changed when they have changed. */
FE_MUST_USE uint8_t *fe_key_edit(fe_key *key);
/* Whether the value may be changed without moving. */
bool fe_key_is_mutable(const fe_key *key);

/* Gives an existing key a deadline (Unix ms), or FE_DEADLINE_NONE. */
FE_MUST_USE fe_status fe_key_set_deadline(fe_key *key, int64_t deadline);

/* Removes an existing key; `key->record` is NULL afterwards. */
void fe_key_delete(fe_key *key);

/* Makes `to` (absent or existing, another key) a copy of `from`, with the value's kind and `from`'s
 * access state. */
FE_MUST_USE fe_status fe_key_copy(fe_key *to, const fe_key *from, int64_t deadline);

/* Whole databases. ----------------------------------------------------------------------------- */

/* Whether records may be on disk. */
bool fe_store_is_tiered(const fe_store *store);
/* What the disk said last when it refused something, in words. */
const char *fe_store_disk_error(const fe_store *store);
/* Whether FE_NO_MEMORY from fe_store_make_room is about the disk (fe_store_disk_error says why), not memory. */
bool fe_store_is_disk_full(const fe_store *store);

/* Keys, exactly while fe_store_is_settled says yes; else too many by some. */
uint64_t fe_store_db_size(const fe_store *store, uint32_t db);
/* Whether no blind write of the database waits to be settled; no counts as missing something (see
 * fe_store_is_missing). */
bool fe_store_is_settled(fe_store *store, uint32_t db);
void fe_store_db_stats(const fe_store *store, uint32_t db, fe_database_stats *stats);

/* Empties one database at once; the memory is freed by later steps (`fe_store_trash_take`), or, when
 * `wait`, as much of it before this returns as takes less than a millisecond. */
FE_MUST_USE fe_status fe_store_flush(fe_store *store, uint32_t db, bool wait);
FE_MUST_USE fe_status fe_store_flush_all(fe_store *store, bool wait);
void fe_store_swap(fe_store *store, uint32_t a, uint32_t b);

/* One SCAN step: visits all keys of at least one bucket, and goes on while fewer than `count` slots
 * were visited; returns the next cursor, 0 at the end. Reverse-binary cursor over the bucket
 * numbers: a key present during the whole iteration is visited at least once, whatever growth or
 * shrinkage happens. `visit` must not change the store; it also sees records that are past their
 * deadline and still there. Of a tiered store, records on disk are noted instead of visited, and a
 * step goes no further than about a thousand slots. */
typedef void fe_scan_visit(void *context, const fe_record *record);
uint64_t fe_store_scan(fe_store *store, uint32_t db, uint64_t cursor, uint64_t count,
                       fe_scan_visit *visit, void *context);

/* Whether a record is past its deadline. */
bool fe_store_is_expired(const fe_store *store, const fe_record *record);

/* A uniformly random live key: rejection sampling over slots, so that chain length does not bias;
 * false when empty. Expired keys met on the way are removed. False too when the key is on disk: it is
 * noted, and a later call takes it when it has been read. */
bool fe_store_random_key(fe_store *store, uint32_t db, fe_random *random, fe_key *key);

/* Whether a scan, a random key or a count since the last fe_fetch_missing (store/fetch.h) lacked
 * something that is on disk: what they said is void, and they are to be called again. */
bool fe_store_is_missing(const fe_store *store);

/* Marks for watchers. -------------------------------------------------------------------------- */

typedef struct fe_mark {
    uint32_t db;
    uint32_t other_db; /* SWAP: the second database */
    enum { FE_MARK_KEY, FE_MARK_FLUSH, FE_MARK_SWAP } kind;
    uint64_t hash; /* KEY: the hash of the key's name */
} fe_mark;

/* While someone is interested, every change leaves a mark. The session takes them after each
 * command (and workers after each step). When the list cannot grow, it says `lost`, and the caller
 * treats everything as changed. */
void fe_store_set_interest(fe_store *store, bool wanted);
const fe_mark *fe_store_marks(const fe_store *store, size_t *count, bool *lost);
void fe_store_marks_clear(fe_store *store);

/* Eviction policy state of a record. ----------------------------------------------------------- */

int64_t fe_store_idle_seconds(const fe_store *store, const fe_record *record); /* LRU and others */
uint32_t fe_store_frequency(const fe_store *store,
                            const fe_record *record); /* LFU counter, decayed */
/* The same of a key wherever its record is; one that was not used since it was frozen has been idle since
 * then, and has a fresh key's frequency and one for each of its last reads. */
int64_t fe_key_idle_seconds(const fe_key *key);
uint32_t fe_key_frequency(const fe_key *key);
/* RESTORE's IDLETIME and FREQ. */
void fe_store_set_idle(fe_store *store, fe_record *record, int64_t idle_seconds);
void fe_store_set_frequency(fe_store *store, fe_record *record, uint32_t frequency);
/* The same of a key that was just written. Files do not keep the counter, but what is used often goes to the
 * read cache when its segment leaves memory. */
void fe_key_set_frequency(fe_key *key, uint32_t frequency);

/* Steps: bounded work, called with the lock by the session or by workers. Each returns whether
 * there is more to do at once. */

/* The store's own bytes (log segments mapped, index) plus every other class of `alloc`. */
uint64_t fe_store_used(const fe_store *store);

/* Before every command that may need memory, also without a limit: pays for the garbage that writes
 * have left, by a bounded slice of compaction, and, when the log has no room to grow under
 * memory_max, reclaims and evicts a bounded amount. Returns FE_OK, or FE_NO_MEMORY when the policy
 * finds nothing to evict: the command answers OOM. Of a tiered store, what fe_tier_admit says. */
FE_MUST_USE fe_status fe_store_make_room(fe_store *store);
/* Whether a tiered store has no room for anything, and none can be made: nobody is counted as waiting. */
bool fe_store_is_full(fe_store *store);
/* A write was answered an error, as fe_store_make_room said. */
void fe_store_note_refused(fe_store *store);

/* Splits or merges that are due, of each index; and looks at so many buckets of what was flushed. */
bool fe_store_step_index(fe_store *store, uint32_t buckets);
bool fe_store_step_expire(fe_store *store, uint32_t records); /* looks at up to that many records */
bool fe_store_step_compact(fe_store *store,
                           uint32_t bytes); /* moves up to about that many live bytes */

/* Memory that nothing can reach any more, to be unmapped without the lock: takes one mapping off
 * the list. */
bool fe_store_trash_take(fe_store *store, fe_trash *trash);
/* Whether a mapping has come to it, since this was last asked, that would keep whoever has the lock for
 * milliseconds: a worker is to be woken for it. */
bool fe_store_trash_news(fe_store *store);

/* Memory prepared ahead of need, so that no append has to map, or to touch a huge page for the
 * first time (which can take milliseconds): a worker asks, maps without the lock, and gives. A
 * loading store wants one every few milliseconds: go on while one is wanted, and look often. */
bool fe_store_spare_wanted(const fe_store *store, size_t *size);
/* Maps it (without the lock): aligned and advised as the store wants it, its pages touched. NULL
 * without memory. */
void *fe_store_spare_map(fe_alloc *alloc, size_t size);
void fe_store_spare_give(fe_store *store, void *mapping, size_t size);

/* Statistics. ---------------------------------------------------------------------------------- */
void fe_store_count_lookup(fe_store *store, bool hit);
void fe_store_stats_get(const fe_store *store, fe_store_stats *stats);
void fe_store_tally_get(const fe_store *store, fe_store_tally *tally);
fe_store_compacted fe_store_compacted_get(const fe_store *store);
/* The epoch: how often a segment has gone from one tier to another; 0 in a memory-only store. */
uint64_t fe_store_epoch(const fe_store *store);
void fe_store_stats_reset(fe_store *store);
/* "never_seen", "expired", "evicted", "deleted" or "flushed". */
const char *fe_miss_name(fe_miss reason);
void fe_store_misses_get(const fe_store *store, fe_miss_stats *stats);
/* `by_since` begins anew; nothing else does. */
void fe_store_misses_reset(fe_store *store);

/* Bytes that the key takes: record (8-byte aligned), plus its share of the index (one slot). */
size_t fe_key_memory(const fe_key *key);

/* Checks every invariant by walking log and index; for tests, fuzzers and DEBUG. Returns NULL, or a
 * description of the first violation (a constant text). */
const char *fe_store_check(fe_store *store);

#endif
