/* Active expiry. A pass looks at every segment's deadline histogram (a few ns each) and walks those
 * where it pays:
 *
 *   - a 32nd of the segment has expired by the histogram's estimate: a walk removes enough to be
 *     worth reading the others; or
 *   - something has been overdue for a second, and there is credit: bytes that may be walked per
 *     second for little gain, so that stragglers go too, while millions of keys with far deadlines
 *     cost a bounded few milliseconds per second.
 *
 * A walk removes what has expired, in batches whose buckets are prefetched, and measures the rest
 * for the new histogram. It stops and goes on at any record. When a pass has found nothing to do,
 * the next one waits PASS_PAUSE_MS.
 *
 * Threads: the engine's lock is held.
 */
#include "store/store.h"

#define BATCH 16u
#define REMOVE_COST 8u /* records that could be looked at instead of removing one */
#define WORTH_SHARE 32u
#define OVERDUE_MS 1000
#define CREDIT_PER_MS ((uint64_t)256 << 10) /* bytes walked: 256 MiB a second */
#define CREDIT_MAX ((uint64_t)256 << 20)
#define PASS_PAUSE_MS 50
#define SEGMENTS_PER_RECORD 4u /* looking at a histogram costs less than a record */

typedef struct item {
    fe_keyspace *keyspace;
    uint64_t hash;
    fe_address address;
} item;

static void credit_update(fe_store *store)
{
    fe_expire *expire = &store->expire;
    int64_t elapsed = store->now_ms - expire->credit_ms;
    if (elapsed <= 0) return;
    expire->credit_ms = store->now_ms;
    uint64_t more = elapsed > 1000 ? CREDIT_MAX : (uint64_t)elapsed * CREDIT_PER_MS;
    expire->credit += more;
    if (expire->credit > CREDIT_MAX) expire->credit = CREDIT_MAX;
}

static bool worth_walking(fe_store *store, uint32_t n)
{
    const fe_segment *segment = &store->log.segments[n];
    const fe_deadlines *deadlines = &store->log.deadlines[n];
    if (segment->tier != FE_TIER_MUTABLE || deadlines->total == 0) return false;
    uint64_t expired = fe_deadlines_expired(deadlines, store->now_ms);
    if (expired != 0 && expired * WORTH_SHARE >= segment->used) return true;
    if (fe_deadlines_overdue(deadlines, store->now_ms) < OVERDUE_MS) return false;
    if (store->expire.credit < segment->used) return false;
    store->expire.credit -= segment->used;
    return true;
}

static void batch_remove(fe_store *store, const item *batch, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const item *it = &batch[i];
        uint64_t *slot = fe_index_find_address(&it->keyspace->index, it->hash, it->address);
        FE_ASSERT(slot != NULL);
        fe_store_remove_expired(store, it->keyspace, it->hash, slot);
        store->stats.expired_steps++;
    }
}

/* Reads on until the batch is full, the segment ends (then `*end`) or `*left` records were looked
 * at. */
static uint32_t batch_read(fe_store *store, item *batch, uint32_t *left, bool *end)
{
    fe_cursor *cursor = &store->log.cursor[FE_WALKER_EXPIRE];
    uint32_t count = 0;
    while (count<BATCH && * left> 0) {
        fe_address address;
        const fe_record *record = fe_log_walk(&store->log, cursor, &address);
        if (record == NULL) {
            *end = true;
            break;
        }
        --*left;
        int64_t deadline = fe_record_deadline(record);
        if (deadline == FE_DEADLINE_NONE) continue;
        if (!fe_store_expired(store, deadline)) {
            fe_deadlines_measure_add(&store->expire.measure, store->now_ms, deadline,
                                     fe_record_size(record));
            continue;
        }
        fe_keyspace *keyspace = store->by_id[fe_record_keyspace(record)];
        if (keyspace == NULL) continue; /* the sweep will find it */
        uint64_t hash = fe_store_record_hash(store, record);
        fe_index_prefetch(&keyspace->index, hash);
        batch[count++] = (item){keyspace, hash, address};
        *left -= *left < REMOVE_COST ? *left : REMOVE_COST;
    }
    return count;
}

static void walk_end(fe_store *store, bool measured)
{
    fe_cursor *cursor = &store->log.cursor[FE_WALKER_EXPIRE];
    if (measured && cursor->segment != 0)
        fe_deadlines_assign(&store->log.deadlines[cursor->segment], &store->expire.measure,
                            store->now_ms);
    *cursor = (fe_cursor){0, 0};
    store->expire.walking = false;
}

/* Goes on in the segment under the cursor for at most `left` records; returns what is left. */
static uint32_t walk_on(fe_store *store, uint32_t left)
{
    fe_cursor *cursor = &store->log.cursor[FE_WALKER_EXPIRE];
    while (left > 0 && cursor->segment != 0) {
        item batch[BATCH];
        bool end = false;
        uint32_t count = batch_read(store, batch, &left, &end);
        batch_remove(store, batch, count);
        if (end) {
            walk_end(store, true);
            return left;
        }
    }
    if (cursor->segment == 0) walk_end(store, false); /* its last record has gone, and it with it */
    return left;
}

static void walk_begin(fe_store *store, uint32_t n)
{
    store->expire.walking = true;
    store->log.cursor[FE_WALKER_EXPIRE] = (fe_cursor){n, 0};
    memset(&store->expire.measure, 0, sizeof(store->expire.measure));
    memset(&store->log.deadlines[n], 0,
           sizeof(store->log.deadlines[n])); /* gathers what is written meanwhile */
}

bool fe_store_step_expire(fe_store *store, uint32_t records)
{
    fe_expire *expire = &store->expire;
    if (!expire->walking && expire->segment == 0) {
        if (expire->pass_end_ms > store->now_ms - PASS_PAUSE_MS) return false;
        credit_update(store);
    }
    uint32_t looked = 0;
    while (records > 0) {
        if (expire->walking) {
            records = walk_on(store, records);
            continue;
        }
        if (expire->segment >= store->log.high) {
            expire->segment = 0;
            expire->pass_end_ms = store->now_ms;
            return false;
        }
        uint32_t n = ++expire->segment;
        if (worth_walking(store, n))
            walk_begin(store, n);
        else if (++looked % SEGMENTS_PER_RECORD == 0)
            records--;
    }
    return true;
}
