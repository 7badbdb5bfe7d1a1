/* Whether the reads under way, their waiters and their counts fit together: for tests and DEBUG. */
#include "store/fetch_read.h"

static const char *waiters_check(const fe_fetch *fetch)
{
    uint64_t counting = 0;
    for (const fe_waiter *w = fetch->oldest; w != NULL; w = w->newer) {
        uint32_t pending = w->failed;
        for (const fe_wait *wait = w->waits; wait != NULL; wait = wait->waiter_next)
            pending++;
        if (pending != w->pending) return "fetch: a waiter waits for another number of reads";
        if (!w->open || (w->newer == NULL && w != fetch->newest)) return "fetch: a wrong waiter";
        counting += w->counts;
    }
    return counting == fetch->counting ? NULL : "fetch: wrong number of counting waiters";
}

/* Those that hold places of the cache do so in order, and all bytes that wait to be used are theirs. */
static const char *holds_check(const fe_fetch *fetch)
{
    uint64_t ready = 0, holds = 0;
    for (const fe_waiter *w = fetch->oldest; w != NULL; w = w->newer) {
        ready += w->ready;
        holds += w->holds;
        if (w->ready != 0 && (w->pending != 0 || w->ready != w->kept_long))
            return "fetch: a waiter that waits is ready";
    }
    for (const fe_waiter *w = fetch->holds.first; w != NULL; w = w->holds_after) {
        holds--;
        for (unsigned i = 0; w->holds_after != NULL && i < FE_RINGS; i++)
            if (w->hold[i] > w->holds_after->hold[i]) return "fetch: holds out of order";
    }
    if (holds != 0) return "fetch: wrong number of waiters that hold";
    return ready == fetch->ready_bytes ? NULL : "fetch: wrong number of bytes that are ready";
}

static const char *read_check(const fe_store *store, const fe_fetch_read *read)
{
    const fe_segment *segment = &store->log.segments[read->segment];
    if (store->log.files[read->segment].pins == 0) return "fetch: a segment without a pin";
    if (segment->tier != FE_TIER_DISK) return "fetch: a read of what is not on disk";
    if (!read->settles) return NULL;
    const fe_keyspace *keyspace = store->by_id[read->keyspace];
    if (keyspace == NULL) return "fetch: a settling write of a dead keyspace";
    return NULL;
}

const char *fe_fetch_check_all(const fe_store *store)
{
    const fe_fetch *fetch = &store->fetch;
    uint64_t count = 0, settles = 0, unsettled = 0, late_reads = 0, late_bytes = 0, long_bytes = 0;
    for (uint32_t i = 0; i < fetch->buckets; i++) {
        for (const fe_fetch_read *read = fetch->table[i]; read != NULL; read = read->chain) {
            count++;
            settles += read->settles;
            late_reads += read->was_late;
            late_bytes += read->late_bytes;
            long_bytes += read->long_bytes;
            const char *wrong = read_check(store, read);
            if (wrong != NULL) return wrong;
        }
    }
    if (count != fetch->count || count != fetch->queued + fetch->in_flight + fetch->late_count)
        return "fetch: wrong number of reads";
    if (late_reads != fetch->late_reads || late_bytes != fetch->late_bytes)
        return "fetch: wrong number of reads that had been put off";
    if (long_bytes != fetch->long_bytes) return "fetch: wrong number of bytes of long reads";
    for (uint32_t i = 0; i < store->options.databases; i++)
        unsettled += store->keyspaces[i].unsettled;
    if (settles != fetch->settle_count || settles != unsettled)
        return "fetch: wrong number of settling writes";
    const char *wrong = holds_check(fetch);
    return wrong != NULL ? wrong : waiters_check(fetch);
}
