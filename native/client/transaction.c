/* See transaction.h.
 *
 * Each watch stands in two lists: the chain of its bucket in fe_watches, and the list of its
 * transaction. It is freed from both at once. The engine's lock guards all of it.
 */
#include "client/transaction.h"

#include "base/assert.h"

struct fe_watch {
    fe_watch *bucket_next;
    fe_watch *client_next;
    fe_transaction *transaction;
    uint64_t hash;
    uint32_t db;
    bool exists;
    size_t name_len;
    uint8_t name[];
};

void fe_watches_init(fe_watches *watches, fe_alloc *alloc)
{
    *watches = (fe_watches){.alloc = alloc};
}

void fe_watches_destroy(fe_watches *watches)
{
    FE_ASSERT(watches->count == 0);
    fe_alloc_give(watches->alloc, FE_ALLOC_ENGINE, watches->buckets);
    watches->buckets = NULL;
}

bool fe_transaction_queue(fe_alloc *alloc, fe_transaction *transaction, struct fe_command *command,
                          const fe_bytes *argv, uint32_t argc)
{
    if (transaction->count == transaction->cap) {
        uint32_t cap = transaction->cap == 0 ? 8 : transaction->cap * 2;
        fe_queued *queue =
            fe_alloc_resize(alloc, FE_ALLOC_CLIENT, transaction->queue, cap * sizeof *queue);
        if (queue == NULL) return false;
        transaction->bytes += (cap - transaction->cap) * sizeof *queue;
        transaction->queue = queue;
        transaction->cap = cap;
    }
    size_t size = argc * sizeof(fe_bytes);
    for (uint32_t i = 0; i < argc; i++)
        size += argv[i].len;
    fe_bytes *copies = fe_alloc_take(alloc, FE_ALLOC_CLIENT, size);
    if (copies == NULL) return false;
    uint8_t *at = (uint8_t *)(copies + argc);
    for (uint32_t i = 0; i < argc; i++) {
        if (argv[i].len > 0) memcpy(at, argv[i].ptr, argv[i].len);
        copies[i] = (fe_bytes){at, argv[i].len};
        at += argv[i].len;
    }
    transaction->queue[transaction->count++] = (fe_queued){command, copies, argc, NULL};
    transaction->bytes += size;
    return true;
}

void fe_transaction_mark(fe_transaction *transaction, fe_trace_mark *mark)
{
    FE_ASSERT(transaction->count > 0 && transaction->queue[transaction->count - 1].mark == NULL);
    transaction->queue[transaction->count - 1].mark = mark;
    transaction->bytes += fe_trace_mark_size(mark);
}

void fe_transaction_clear(fe_alloc *alloc, fe_transaction *transaction)
{
    for (uint32_t i = 0; i < transaction->count; i++) {
        fe_alloc_give(alloc, FE_ALLOC_CLIENT, transaction->queue[i].argv);
        fe_alloc_give(alloc, FE_ALLOC_CLIENT, transaction->queue[i].mark);
    }
    fe_alloc_give(alloc, FE_ALLOC_CLIENT, transaction->mark);
    fe_alloc_give(alloc, FE_ALLOC_CLIENT, transaction->queue);
    *transaction =
        (fe_transaction){.watches = transaction->watches, .watch_bytes = transaction->watch_bytes};
}

static fe_watch **bucket_of(fe_watches *watches, uint64_t hash)
{
    return &watches->buckets[hash & (watches->bucket_count - 1)];
}

static bool grow(fe_watches *watches)
{
    uint32_t count = watches->bucket_count == 0 ? 64 : watches->bucket_count * 2;
    fe_watch **buckets =
        fe_alloc_take_zeroed(watches->alloc, FE_ALLOC_ENGINE, count * sizeof *buckets);
    if (buckets == NULL) return watches->bucket_count > 0; /* longer chains serve as well */
    fe_watch **old = watches->buckets;
    uint32_t old_count = watches->bucket_count;
    watches->buckets = buckets;
    watches->bucket_count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (fe_watch *watch = old[i], *next; watch != NULL; watch = next) {
            next = watch->bucket_next;
            fe_watch **bucket = bucket_of(watches, watch->hash);
            watch->bucket_next = *bucket;
            *bucket = watch;
        }
    }
    fe_alloc_give(watches->alloc, FE_ALLOC_ENGINE, old);
    return true;
}

bool fe_watches_add(fe_watches *watches, fe_transaction *transaction, uint32_t db, fe_bytes name,
                    uint64_t hash, bool exists)
{
    if (watches->count >= watches->bucket_count && !grow(watches)) return false;
    for (fe_watch *it = *bucket_of(watches, hash); it != NULL; it = it->bucket_next)
        if (it->transaction == transaction && it->hash == hash && it->db == db) return true;
    fe_watch *watch = fe_alloc_take(watches->alloc, FE_ALLOC_ENGINE, sizeof *watch + name.len);
    if (watch == NULL) return false;
    fe_watch **bucket = bucket_of(watches, hash);
    *watch = (fe_watch){.bucket_next = *bucket,
                        .client_next = transaction->watches,
                        .transaction = transaction,
                        .hash = hash,
                        .db = db,
                        .exists = exists,
                        .name_len = name.len};
    if (name.len > 0) memcpy(watch->name, name.ptr, name.len);
    *bucket = watch;
    transaction->watches = watch;
    transaction->watch_bytes += sizeof *watch + name.len;
    watches->count++;
    return true;
}

void fe_watches_drop(fe_watches *watches, fe_transaction *transaction)
{
    for (fe_watch *watch = transaction->watches, *next; watch != NULL; watch = next) {
        next = watch->client_next;
        fe_watch **link = bucket_of(watches, watch->hash);
        while (*link != watch)
            link = &(*link)->bucket_next;
        *link = watch->bucket_next;
        fe_alloc_give(watches->alloc, FE_ALLOC_ENGINE, watch);
        watches->count--;
    }
    transaction->watches = NULL;
    transaction->watch_bytes = 0;
}

static void touch_key(fe_watches *watches, const fe_mark *mark)
{
    for (fe_watch *watch = *bucket_of(watches, mark->hash); watch != NULL;
         watch = watch->bucket_next)
        if (watch->hash == mark->hash && watch->db == mark->db) watch->transaction->dirty = true;
}

/* Whether the emptying or swapping of databases changed what this watch saw. A watch that is still
 * clean says truly whether its key existed until now; after a swap, the key now seen under its
 * number is asked for in the store. */
static bool database_change_hits(const fe_watch *watch, fe_store *store, const fe_mark *mark)
{
    if (mark->kind == FE_MARK_FLUSH) return watch->db == mark->db && watch->exists;
    if (watch->db != mark->db && watch->db != mark->other_db) return false;
    if (watch->exists) return true;
    fe_key key;
    fe_bytes name = {watch->name, watch->name_len};
    /* What is on disk may be the key: then it counts as changed. */
    if (!fe_fetch_key(store, watch->db, name, watch->hash, FE_NEED_HEAD, NULL)) return true;
    fe_key_find(store, watch->db, name, watch->hash, true, &key);
    return fe_key_exists(&key);
}

void fe_watches_touch(fe_watches *watches, fe_store *store, const fe_mark *mark)
{
    if (watches->count == 0) return;
    if (mark->kind == FE_MARK_KEY) {
        touch_key(watches, mark);
        return;
    }
    for (uint32_t i = 0; i < watches->bucket_count; i++)
        for (fe_watch *watch = watches->buckets[i]; watch != NULL; watch = watch->bucket_next)
            if (!watch->transaction->dirty && database_change_hits(watch, store, mark))
                watch->transaction->dirty = true;
}

void fe_watches_touch_all(fe_watches *watches)
{
    for (uint32_t i = 0; i < watches->bucket_count; i++)
        for (fe_watch *watch = watches->buckets[i]; watch != NULL; watch = watch->bucket_next)
            watch->transaction->dirty = true;
}

void fe_watches_take_marks(fe_watches *watches, fe_store *store)
{
    size_t count;
    bool lost;
    for (size_t i = 0;; i++) {
        const fe_mark *marks = fe_store_marks(store, &count, &lost);
        if (i >= count) break;
        fe_mark mark = marks[i]; /* touching may find an expired key, and add to the list */
        fe_watches_touch(watches, store, &mark);
    }
    if (lost) fe_watches_touch_all(watches);
    fe_store_marks_clear(store);
}

void fe_watches_each(const fe_transaction *transaction, fe_watch_visit *visit, void *context)
{
    for (const fe_watch *watch = transaction->watches; watch != NULL; watch = watch->client_next)
        visit(context, watch->db, (fe_bytes){watch->name, watch->name_len}, watch->hash);
}

bool fe_watches_expired(const fe_transaction *transaction, fe_store *store)
{
    for (const fe_watch *watch = transaction->watches; watch != NULL; watch = watch->client_next) {
        if (!watch->exists) continue;
        fe_key key;
        fe_key_find(store, watch->db, (fe_bytes){watch->name, watch->name_len}, watch->hash, true,
                    &key);
        if (!fe_key_exists(&key)) return true;
    }
    return false;
}
