/* MULTI's queue and WATCH: the rules of Redis's optimistic transactions.
 *
 * A watch remembers (database, hash of the name, name, whether the key existed). The session hands
 * every mark of the store to fe_watches_touch, which makes the transactions of the watching clients
 * dirty. Keys are told apart by their keyed 64-bit hash.
 */
#ifndef FE_CLIENT_TRANSACTION_H
#define FE_CLIENT_TRANSACTION_H

#include "base/alloc.h"
#include "base/bytes.h"
#include "event/recorder.h"
#include "store/fetch.h"
#include "store/keyspace.h"

struct fe_command;

typedef struct fe_queued {
    struct fe_command *command;
    fe_bytes *argv; /* owned, with the bytes behind it, in one block */
    uint32_t argc;
    fe_trace_mark *mark; /* of its own caller, owned; NULL: that of EXEC */
} fe_queued;

typedef struct fe_watch fe_watch;

typedef struct fe_transaction {
    bool open;    /* between MULTI and EXEC */
    bool dirty;   /* a watched key has changed: EXEC answers null */
    bool aborted; /* a command could not be queued: EXEC answers EXECABORT */
    fe_queued *queue;
    uint32_t count, cap;
    size_t bytes;        /* heap bytes of the queue */
    fe_watch *watches;   /* of this client, linked */
    size_t watch_bytes;  /* heap bytes of the watches */
    fe_trace_mark *mark; /* the caller of all of it, when TRACEPARENT stood before MULTI; owned */
} fe_transaction;

/* All watches by (database, hash). */
typedef struct fe_watches {
    fe_alloc *alloc;
    fe_watch **buckets;
    uint32_t bucket_count; /* power of two, or 0 */
    uint32_t count;
} fe_watches;

void fe_watches_init(fe_watches *watches, fe_alloc *alloc);
void fe_watches_destroy(fe_watches *watches);

/* Copies a command into the queue. False when memory is exhausted. */
FE_MUST_USE bool fe_transaction_queue(fe_alloc *alloc, fe_transaction *transaction,
                                      struct fe_command *command, const fe_bytes *argv,
                                      uint32_t argc);

/* Gives the command that was queued last its caller, which the transaction owns from now on. */
void fe_transaction_mark(fe_transaction *transaction, fe_trace_mark *mark);

/* Ends a transaction: queue freed, flags cleared. Watches are dropped with fe_watches_drop. */
void fe_transaction_clear(fe_alloc *alloc, fe_transaction *transaction);

/* Watches a key for a client; watching twice is watching once. `exists` is whether the key is there
 * now. */
FE_MUST_USE bool fe_watches_add(fe_watches *watches, fe_transaction *transaction, uint32_t db,
                                fe_bytes name, uint64_t hash, bool exists);
void fe_watches_drop(fe_watches *watches, fe_transaction *transaction);

/* Makes every transaction dirty that watches what a mark says changed. `store` is asked about keys
 * after SWAPDB. */
void fe_watches_touch(fe_watches *watches, fe_store *store, const fe_mark *mark);
void fe_watches_touch_all(fe_watches *watches); /* marks were lost: everything counts as changed */

/* Takes the marks that the store has gathered, and touches. */
void fe_watches_take_marks(fe_watches *watches, fe_store *store);

/* Names each watched key: fe_watches_expired wants them in memory. */
typedef void fe_watch_visit(void *context, uint32_t db, fe_bytes name, uint64_t hash);
void fe_watches_each(const fe_transaction *transaction, fe_watch_visit *visit, void *context);

/* Whether a watched key has passed its deadline since (EXEC asks before it runs). */
bool fe_watches_expired(const fe_transaction *transaction, fe_store *store);

#endif
