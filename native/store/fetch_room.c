/* Memory of long reads: how many go on at a time, what is kept of them, and for how long.
 *
 * A read is short when it is a first look at a record of unknown size: the disk's places bound these. Long ones have a
 * queue of their own. What counts for them is the memory of those in flight, of what was read for waiters that have
 * all they asked for and have not run yet, and of what has left the cache and is not given back yet. While that is
 * under its bound they go on together, and else one at a time, so that somebody always goes on; but not while
 * a waiter only has to run, or before the worker has given back what it could, for both are sure to happen. The queue
 * is in order of asking: who waits for several has them before who came later.
 *
 * Nobody waits for what is read ahead of need: no more of it is begun than half of the bound, or of the read cache.
 *
 * Threads: the engine's lock is held.
 */
#include "store/fetch_read.h"

#define BOUND_SHARE 8u /* of memory_max, for long reads under way */
#define BOUND_MIN ((uint64_t)1 << 20)
#define WHOLE_SHARE                                                                                \
    64u /* of memory_max, for what is kept of a command that needs no values, values and all */
#define WHOLE_MIN ((uint64_t)64 << 10)
#define CUT_MIN 256u /* a shorter value is kept */

static uint64_t share_of(const fe_store *store, uint64_t share, uint64_t low)
{
    uint64_t limit = store->options.memory_max;
    if (limit == 0) return UINT64_MAX / 2;
    return limit / share > low ? limit / share : low;
}

static uint64_t bound_of(const fe_store *store)
{
    return share_of(store, BOUND_SHARE, BOUND_MIN);
}

/* The queue ------------------------------------------------------------------------------------ */

bool fe_room_is_long(uint64_t bytes)
{
    return bytes > FE_FETCH_BUFFER_PAGES * (uint64_t)4096;
}

/* What has left the cache and waits to be given back; of what was flushed nobody's reads are the cause. */
static uint64_t trash_of(const fe_store *store)
{
    return store->trash.bytes > store->trash.bulk ? store->trash.bytes - store->trash.bulk : 0;
}

bool fe_room_for_long(const fe_store *store)
{
    const fe_fetch *fetch = &store->fetch;
    if (FE_LIKELY(fetch->long_queue.first == NULL)) return false;
    uint64_t bound = bound_of(store), trash = trash_of(store);
    uint64_t used = fetch->long_bytes + fetch->ready_bytes + trash;
    if (used + fetch->long_queue.first->length <= bound) return true;
    if (fetch->long_bytes != 0 || (trash > bound / 2 && !fetch->trash_given)) return false;
    /* In the middle of an EXEC nobody else runs, but its own reads must go on. */
    return fetch->ready_bytes == 0 || store->cache.keeps;
}

bool fe_fetch_wants_trash(const fe_store *store)
{
    const fe_fetch *fetch = &store->fetch;
    if (FE_LIKELY(fetch->long_queue.first == NULL) || fe_room_for_long(store)) return false;
    return trash_of(store) != 0;
}

void fe_fetch_trash_given(fe_store *store)
{
    store->fetch.trash_given = fe_fetch_wants_trash(store);
}

bool fe_room_ahead(const fe_store *store, uint64_t bytes)
{
    const fe_fetch *fetch = &store->fetch;
    if (FE_LIKELY(!fe_room_is_long(bytes))) return true;
    uint64_t used = fetch->long_bytes + fetch->long_queued;
    uint64_t bound = bound_of(store), cache = store->cache.budget;
    return used == 0 || used + bytes <= (cache < bound ? cache : bound) / 2;
}

void fe_room_take(fe_store *store, fe_fetch_read *read)
{
    if (FE_LIKELY(!fe_room_is_long(read->disk.length))) return;
    read->long_bytes = read->disk.length;
    store->fetch.trash_given = false;
    store->fetch.long_bytes += read->long_bytes;
}

void fe_room_give(fe_store *store, fe_fetch_read *read)
{
    store->fetch.long_bytes -= read->long_bytes;
    read->long_bytes = 0;
}

/* What is kept ---------------------------------------------------------------------------------- */

/* The cache holds what came since the first of these waiters got something. */
static void hold_update(fe_store *store)
{
    const fe_waiter *first = store->fetch.holds.first;
    for (unsigned i = 0; i < FE_RINGS; i++)
        store->cache.hold[i] = first != NULL ? first->hold[i] : FE_RING_NOWHERE;
}

static void hold(fe_store *store, fe_waiter *waiter)
{
    if (waiter->holds) return;
    waiter->holds = true;
    for (unsigned i = 0; i < FE_RINGS; i++) {
        const fe_ring *ring = &store->cache.ring[i];
        waiter->hold[i] = ring->tail != FE_RING_NOWHERE ? ring->tail : ring->next;
    }
    fe_fetch *fetch = &store->fetch;
    waiter->holds_before = fetch->holds.last;
    waiter->holds_after = NULL;
    *(fetch->holds.last != NULL ? &fetch->holds.last->holds_after : &fetch->holds.first) = waiter;
    fetch->holds.last = waiter;
    hold_update(store);
}

void fe_room_hold(fe_store *store, const fe_fetch_read *read)
{
    for (fe_wait *wait = read->waits; wait != NULL; wait = wait->read_next)
        hold(store, wait->waiter);
}

void fe_room_close(fe_store *store, fe_waiter *waiter)
{
    fe_fetch *fetch = &store->fetch;
    fe_room_wait(fetch, waiter);
    waiter->kept = waiter->kept_long = 0;
    if (!waiter->holds) return;
    fe_waiter *before = waiter->holds_before, *after = waiter->holds_after;
    *(before != NULL ? &before->holds_after : &fetch->holds.first) = after;
    *(after != NULL ? &after->holds_before : &fetch->holds.last) = before;
    waiter->holds = false;
    hold_update(store);
}

void fe_room_wait(fe_fetch *fetch, fe_waiter *waiter)
{
    fetch->ready_bytes -= waiter->ready;
    waiter->ready = 0;
}

void fe_room_ready(fe_fetch *fetch, fe_waiter *waiter)
{
    FE_ASSERT(waiter->ready == 0);
    waiter->ready = waiter->kept_long;
    fetch->ready_bytes += waiter->ready;
}

bool fe_room_is_spent(const fe_store *store, const fe_fetch_read *read, const fe_record *record)
{
    if (read->whole || fe_record_value_cap(record) < CUT_MIN) return false;
    uint64_t most = share_of(store, WHOLE_SHARE, WHOLE_MIN);
    if (read->size > most) return true;
    for (const fe_wait *wait = read->waits; wait != NULL; wait = wait->read_next)
        if (wait->waiter->kept + read->size > most) return true;
    return false;
}
