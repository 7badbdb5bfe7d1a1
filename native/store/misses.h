/* The reasons of misses: which ends of keys, in which of the store's files, tell store/gone.h what,
 * and what a miss counts as. Private to the store.
 *
 *     DEL, UNLINK, GETDEL, the source of RENAME and MOVE, deadlines that are past when set   DELETED
 *     fe_store_remove_expired, footers of files, records that were read too late             EXPIRED
 *     eviction from memory and at disk_max; records given up by order                        EVICTED
 *     FLUSHDB and FLUSHALL                                                                   FLUSHED
 *
 * A flush hands its index over to `flushed`, whose tags steps then read into the table, a bounded
 * number of buckets at a time and no more keys than the table has room for; then the index goes to the
 * trash. It goes there at once when memory is short or too many wait.
 *
 * A key is its hash and its keyspace's place in store->keyspaces: that stays with the data when
 * databases are swapped, and with the database when it is flushed.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_STORE_MISSES_H
#define FE_STORE_MISSES_H

#include "store/gone.h"
#include "store/index.h"

#define FE_MISSES_FLUSHED_MAX 16u

/* The index of a keyspace that was flushed. */
typedef struct fe_misses_flushed {
    fe_index index;
    uint64_t salt;   /* of its keyspace */
    uint64_t bucket; /* the next to be read */
    uint64_t read;   /* keys that were */
} fe_misses_flushed;

typedef struct fe_misses {
    fe_gone gone;
    fe_misses_flushed flushed[FE_MISSES_FLUSHED_MAX]; /* the first is the oldest */
    uint32_t flushed_count;
    uint64_t base[FE_MISS_COUNT]; /* stats.misses_by at fe_store_misses_reset */
} fe_misses;

typedef struct fe_store fe_store;
typedef struct fe_keyspace fe_keyspace;

/* The options have changed: makes the table as large as they say. */
void fe_misses_options_changed(fe_store *store);
void fe_misses_close(fe_store *store);

/* The keyspace has lost all keys; its index becomes empty. One of up to `*buckets` is read at once,
 * and `*buckets` made less. */
void fe_misses_flush(fe_store *store, fe_keyspace *keyspace, uint32_t *buckets);
/* Reads on in what was flushed; whether there is more. */
bool fe_misses_step(fe_store *store, uint32_t buckets);
/* Memory is needed more than reasons: gives up what was flushed and is not read yet, if so. */
void fe_misses_make_room(fe_store *store);

#endif
