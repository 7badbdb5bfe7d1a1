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
    uint64_t count = 0, settles = 0, unsettled = 0, late_reads = 0, late_bytes = 0;
    for (uint32_t i = 0; i < fetch->buckets; i++) {
        for (const fe_fetch_read *read = fetch->table[i]; read != NULL; read = read->chain) {
            count++;
            settles += read->settles;
            late_reads += read->was_late;
            late_bytes += read->late_bytes;
            const char *wrong = read_check(store, read);
            if (wrong != NULL) return wrong;
        }
    }
    if (count != fetch->count || count != fetch->queued + fetch->in_flight + fetch->late_count)
        return "fetch: wrong number of reads";
    if (late_reads != fetch->late_reads || late_bytes != fetch->late_bytes)
        return "fetch: wrong number of reads that had been put off";
    for (uint32_t i = 0; i < store->options.databases; i++)
        unsettled += store->keyspaces[i].unsettled;
    if (settles != fetch->settle_count || settles != unsettled)
        return "fetch: wrong number of settling writes";
    return waiters_check(fetch);
}
