/* Reclaiming. See the header.
 *
 * Compaction takes the full segment with the least live bytes, walks it, and appends its live
 * records to the MOVED tail, so that what is old stays apart from what is new. Records are found in
 * the index by their address alone, in batches whose buckets are prefetched. A segment is freed by
 * the death of its last record, like any other.
 *
 * Who drives it: writers pay through fe_compact_pay for what they appended, at a rate that rises
 * with the garbage share, so that the share settles; workers call fe_store_step_compact in idle
 * time.
 *
 * The sweep walks every segment that existed when it began. A segment of one dead keyspace is
 * dropped whole; in a mixed one the orphans become fillers. Ids that were dead when it began are
 * free when it ends.
 *
 * Threads: the engine's lock is held.
 */
#include "store/compact.h"
#include "store/evict.h"

#define BATCH 16u
#define RECORD_COST 64u     /* bytes of work that a record's look-up counts for */
#define SEGMENT_COST 2048u  /* ... and freeing a segment, whose memory may be far from any cache */
#define GARBAGE_PERCENT 15u /* garbage above this share of the log is worth work */
#define GARBAGE_PERCENT_NEAR 6u /* ... when memory is short and segments do not take their turn */
#define VICTIM_CLASS_MAX 56u    /* of 64: at least an eighth of it is garbage */
#define EVICT_CLASS_MAX 44u  /* of 64: with so much garbage a segment does not wait for its turn */
#define ADAPT_SEGMENTS 4u    /* walked before what is cold is adapted */
#define OBSERVE_BATCHES 2u   /* batches between looks at random records */
#define SEGMENT_LOOK_COST 8u /* looking at a segment's age */
#define GARBAGE_MIN (2 * FE_SEGMENT_MIN)
#define PAY_MIN 8192u       /* a smaller debt waits */
#define PAY_MAX (96u << 10) /* work of one payment: well under 100 us */
#define DEBT_MAX (64u << 20)

/* Garbage up to this is left alone. */
static uint64_t garbage_allowed(const fe_store *store)
{
    bool strict = fe_evict_near_limit(store) && !fe_evict_by_segment(store);
    return store->log.bytes / 100 * (strict ? GARBAGE_PERCENT_NEAR : GARBAGE_PERCENT);
}

bool fe_compact_due(const fe_store *store)
{
    uint64_t garbage = fe_log_garbage(&store->log);
    return garbage > GARBAGE_MIN && garbage > garbage_allowed(store);
}

/* Compaction ----------------------------------------------------------------------------------- */

typedef struct item {
    fe_keyspace *keyspace;
    uint64_t hash;
    fe_address address;
} item;

static void kill_orphan(fe_store *store, fe_address address, const fe_record *record)
{
    int64_t deadline = fe_record_deadline(record);
    size_t size = fe_record_size(record);
    if (deadline != FE_DEADLINE_NONE) fe_log_deadline_remove(&store->log, address, deadline, size);
    fe_log_kill(&store->log, address, size);
}

/* The next records of the victim that are in the index, their buckets asked for; `*work` grows by
 * what was walked. */
static uint32_t batch_read(fe_store *store, item *batch, uint64_t *work)
{
    fe_cursor *cursor = &store->log.cursor[FE_WALKER_COMPACT];
    uint32_t count = 0;
    fe_address address;
    fe_record *record;
    while (count < BATCH && cursor->segment != 0 &&
           (record = fe_log_walk(&store->log, cursor, &address)) != NULL) {
        fe_keyspace *keyspace = store->by_id[fe_record_keyspace(record)];
        *work += RECORD_COST;
        if (keyspace == NULL) {
            kill_orphan(store, address, record);
            continue;
        }
        uint64_t hash = fe_store_record_hash(store, record);
        fe_index_prefetch(&keyspace->index, hash);
        batch[count++] = (item){keyspace, hash, address};
    }
    return count;
}

/* Moves one record to the MOVED tail; false without memory. */
static bool move(fe_store *store, const item *it, uint64_t *slot)
{
    fe_log *log = &store->log;
    const fe_record *record = fe_log_at(log, it->address);
    size_t size = fe_record_size(record);
    int64_t deadline = fe_record_deadline(record);
    fe_address address = fe_log_append(log, FE_TAIL_MOVED, size, it->keyspace->id);
    if (address == FE_ADDRESS_NONE) return false;
    memcpy(fe_log_at(log, address), record, size);
    fe_slot_set(slot, address, deadline != FE_DEADLINE_NONE);
    if (deadline != FE_DEADLINE_NONE) {
        fe_log_deadline_add(log, address, store->now_ms, deadline, size);
        fe_log_deadline_remove(log, it->address, deadline, size);
    }
    fe_log_kill(log, it->address, size);
    store->stats.compacted_bytes += size;
    return true;
}

/* `evicting`: what is cold goes. False: without memory. */
static bool batch_move(fe_store *store, const item *batch, uint32_t count, uint64_t *work,
                       bool evicting)
{
    for (uint32_t i = 0; i < count; i++) {
        const item *it = &batch[i];
        uint64_t *slot = fe_index_find_address(&it->keyspace->index, it->hash, it->address);
        FE_ASSERT(slot != NULL);
        const fe_record *record = fe_log_at(&store->log, it->address);
        size_t size = fe_record_size(record);
        *work += size;
        if (fe_store_expired(store, fe_record_deadline(record))) {
            fe_store_remove_expired(store, it->keyspace, it->hash, slot);
            store->stats.expired_steps++;
        } else if (evicting && fe_evict_is_cold(store, record)) {
            fe_store_remove(store, it->keyspace, it->hash, slot, FE_MISS_EVICTED);
            store->stats.evicted_keys++;
        } else if (move(store, it, slot)) {
            store->compact.moved += size;
        } else {
            return false;
        }
    }
    return true;
}

/* A record with a segment of its own cannot be moved: it goes, or its segment counts as new. */
static void own_decide(fe_store *store, uint32_t n)
{
    fe_log *log = &store->log;
    fe_cursor cursor = {n, 0};
    fe_address address;
    const fe_record *record = fe_log_walk(log, &cursor, &address);
    fe_keyspace *keyspace = store->by_id[fe_record_keyspace(record)];
    FE_ASSERT(keyspace != NULL); /* nothing is evicted before the dead keyspaces are swept */
    uint64_t bytes = log->segments[n].bytes;
    store->compact.walked += bytes;
    if (!fe_evict_is_cold(store, record)) {
        store->compact.moved += bytes;
        fe_log_renew(log, n);
        return;
    }
    uint64_t hash = fe_store_record_hash(store, record);
    uint64_t *slot = fe_index_find_address(&keyspace->index, hash, address);
    fe_store_remove(store, keyspace, hash, slot, FE_MISS_EVICTED);
    store->stats.evicted_keys++;
}

/* What is cold follows from what the last segments gave. */
static void adapt(fe_store *store)
{
    fe_compact *compact = &store->compact;
    if (compact->walked < ADAPT_SEGMENTS * fe_log_next_size(&store->log)) return;
    fe_evict_adapt(store, compact->walked, compact->moved);
    compact->walked = compact->moved = 0;
}

/* Puts the cursor into the next segment to evict from; false: there is none. `*work` grows. */
static bool evicting_next(fe_store *store, uint64_t *work)
{
    fe_log *log = &store->log;
    uint32_t victim = fe_log_victim(log, EVICT_CLASS_MAX);
    if (victim == 0) {
        victim = fe_log_oldest(log);
        if (victim == 0) return false; /* looking alone is no progress: the caller would go on */
        *work += log->high * SEGMENT_LOOK_COST;
    }
    adapt(store);
    if (log->segments[victim].role == FE_ROLE_OWN) {
        own_decide(store, victim);
        *work += SEGMENT_COST;
        return true;
    }
    log->cursor[FE_WALKER_COMPACT] = (fe_cursor){victim, 0};
    store->compact.walked += log->segments[victim].bytes;
    store->stats.compacted_segments++;
    return true;
}

static bool slice_next(fe_store *store)
{
    uint32_t victim = fe_log_victim(&store->log, VICTIM_CLASS_MAX);
    if (victim == 0) return false;
    store->log.cursor[FE_WALKER_COMPACT] = (fe_cursor){victim, 0};
    store->stats.compacted_segments++;
    return true;
}

/* Goes on in the segment under the cursor by one batch; false without memory: the segment may be
 * taken up again later. */
static bool slice_batch(fe_store *store, uint64_t *work, bool evicting)
{
    fe_cursor *cursor = &store->log.cursor[FE_WALKER_COMPACT];
    item batch[BATCH];
    uint32_t count = batch_read(store, batch, work);
    *work += RECORD_COST;
    if (batch_move(store, batch, count, work, evicting) && (count != 0 || cursor->segment == 0))
        return true;
    *cursor = (fe_cursor){0, 0};
    return false;
}

uint64_t fe_compact_slice(fe_store *store, uint64_t bytes)
{
    uint64_t work = 0;
    while (work < bytes) {
        if (store->log.cursor[FE_WALKER_COMPACT].segment == 0 && !slice_next(store)) return work;
        if (!slice_batch(store, &work, false)) return 0;
    }
    return work;
}

uint64_t fe_compact_evicting(fe_store *store, uint64_t bytes)
{
    uint64_t work = 0;
    fe_evict_observe(store);
    for (uint32_t batches = 1; work < bytes; batches++) {
        if (batches % OBSERVE_BATCHES == 0) fe_evict_observe(store);
        if (store->log.cursor[FE_WALKER_COMPACT].segment == 0 && !evicting_next(store, &work))
            return work;
        if (store->log.cursor[FE_WALKER_COMPACT].segment == 0) continue;
        if (!slice_batch(store, &work, true)) return 0;
    }
    return work;
}

void fe_compact_pay(fe_store *store)
{
    fe_log *log = &store->log;
    uint64_t written = log->appended - store->compact.appended;
    if (written < PAY_MIN / 8) return;
    store->compact.appended = log->appended;
    if (!fe_compact_due(store)) {
        store->compact.debt = 0;
        return;
    }
    uint64_t excess = fe_log_garbage(log) - garbage_allowed(store);
    uint64_t rate = 256 + 64 * 256 * excess / log->bytes; /* bytes to move per 256 written */
    store->compact.debt += written * rate / 256;
    if (store->compact.debt > DEBT_MAX) store->compact.debt = DEBT_MAX;
    if (store->compact.debt < PAY_MIN) return;
    uint64_t due = store->compact.debt < PAY_MAX ? store->compact.debt : PAY_MAX;
    uint64_t done = fe_compact_slice(store, due);
    store->compact.debt = done == 0 || done > store->compact.debt ? 0 : store->compact.debt - done;
}

bool fe_store_step_compact(fe_store *store, uint32_t bytes)
{
    if (fe_compact_sweep(store, bytes)) return true;
    fe_log_trim(&store->log);
    fe_spare_trim(store);
    if (!fe_compact_due(store)) return false;
    return fe_compact_slice(store, bytes) != 0 && fe_compact_due(store);
}

/* Sweeping ------------------------------------------------------------------------------------- */

static void sweep_begin(fe_store *store)
{
    for (uint32_t id = 1; id <= FE_KEYSPACE_MAX; id++)
        if (store->id_state[id] == FE_ID_DEAD) store->id_state[id] = FE_ID_SWEPT;
    store->compact.swept_ids = store->compact.dead_ids;
    store->compact.dead_ids = 0;
    store->compact.sweep_sequence = store->log.sequence;
    store->compact.sweep_segment = 0;
}

static void sweep_end(fe_store *store)
{
    for (uint32_t id = 1; id <= FE_KEYSPACE_MAX; id++)
        if (store->id_state[id] == FE_ID_SWEPT) store->id_state[id] = FE_ID_FREE;
    store->compact.swept_ids = 0;
    store->compact.sweep_sequence = 0;
    store->log.cursor[FE_WALKER_SWEEP] = (fe_cursor){0, 0};
    fe_log_trim(&store->log);
}

/* Goes on in the mixed segment under the cursor. */
static uint64_t sweep_walk(fe_store *store, uint64_t bytes)
{
    fe_log *log = &store->log;
    fe_cursor *cursor = &log->cursor[FE_WALKER_SWEEP];
    uint64_t work = 0;
    while (cursor->segment != 0 && work < bytes) {
        fe_address address;
        const fe_record *record = fe_log_walk(log, cursor, &address);
        if (record == NULL) {
            *cursor = (fe_cursor){0, 0};
            break;
        }
        work += RECORD_COST;
        if (store->by_id[fe_record_keyspace(record)] == NULL) kill_orphan(store, address, record);
    }
    return work;
}

/* Looks at the next segment: skips it, drops it, or puts the cursor into it. */
static void sweep_next(fe_store *store)
{
    fe_log *log = &store->log;
    uint32_t n = ++store->compact.sweep_segment;
    const fe_segment *segment = &log->segments[n];
    if (segment->tier == FE_TIER_FREE || segment->sequence > store->compact.sweep_sequence) return;
    if (segment->live == 0) return;
    if (segment->sequence <= store->compact.drop_sequence)
        fe_log_drop(log, n);
    else if (segment->tier == FE_TIER_CACHE)
        return; /* store/cache.c keeps it in order */
    else if (segment->keyspace == FE_SEGMENT_MIXED && segment->tier != FE_TIER_MUTABLE)
        log->files[n].miscounted = true; /* an id that is used again finds none of its records */
    else if (segment->keyspace == FE_SEGMENT_MIXED)
        log->cursor[FE_WALKER_SWEEP] = (fe_cursor){n, 0};
    else if (store->by_id[segment->keyspace] == NULL)
        fe_log_drop(log, n);
}

static bool sweep(fe_store *store, uint64_t bytes)
{
    fe_compact *compact = &store->compact;
    uint64_t work = 0;
    for (;;) {
        if (compact->sweep_sequence == 0) {
            if (compact->dead_ids == 0) return false;
            sweep_begin(store);
        }
        while (store->log.cursor[FE_WALKER_SWEEP].segment != 0 ||
               compact->sweep_segment < store->log.high) {
            if (work >= bytes) return true;
            if (store->log.cursor[FE_WALKER_SWEEP].segment != 0) {
                work += sweep_walk(store, bytes - work);
            } else {
                sweep_next(store);
                work += SEGMENT_COST;
            }
        }
        sweep_end(store);
    }
}

bool fe_compact_sweep(fe_store *store, uint64_t bytes)
{
    fe_trash_list *trash = &store->trash;
    uint64_t before = trash->bytes;
    bool more = sweep(store, bytes);
    trash->bulk += trash->bytes - before;
    return more;
}

void fe_compact_drop_all(fe_store *store)
{
    fe_log *log = &store->log;
    store->compact.drop_sequence = log->sequence;
    for (unsigned i = 0; i < FE_TAIL_COUNT; i++) {
        uint32_t n = log->tail[i];
        if (n == 0) continue;
        fe_log_drop(log, n);
        if (log->tail[i] == n) log->segments[n].sequence = ++log->sequence;
    }
    /* What was read may be alive again by the time that a sweep drops these segments. */
    for (unsigned i = 0; i < FE_RINGS; i++)
        store->cache.ring[i].tail = FE_RING_NOWHERE;
}

/* Whether all that is counted as alive has a slot: nothing of a keyspace that died is left, and no
 * walk is counting it. */
static bool is_counted_exactly(const fe_log *log)
{
    if (!log->tiered) return true;
    if (log->frozen.walk_segment != 0) return false;
    for (uint32_t n = 1; n <= log->high; n++)
        if (log->segments[n].tier != FE_TIER_FREE && log->files[n].miscounted) return false;
    return true;
}

/* Records that slots, or copies of the read cache, name. */
static uint64_t homes(const fe_log *log)
{
    uint64_t records = log->records;
    for (unsigned tier = FE_TIER_SEALED; tier <= FE_TIER_DISK; tier++)
        records += log->tiers[tier].records;
    return records;
}

const char *fe_compact_check(const fe_store *store, uint64_t live)
{
    const fe_log *log = &store->log;
    uint64_t records = 0, dead = 0, swept = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        fe_cursor cursor = {n, 0};
        fe_address address;
        if (log->segments[n].tier != FE_TIER_MUTABLE) continue;
        for (const fe_record *record; (record = fe_log_walk(log, &cursor, &address)) != NULL;) {
            fe_id_state state = store->id_state[fe_record_keyspace(record)];
            if (state == FE_ID_FREE) return "log: a record of a free keyspace id";
            records += state == FE_ID_LIVE;
        }
    }
    if (records != live && !log->tiered) return "log: live records and slots differ in number";
    for (uint32_t id = 1; id <= FE_KEYSPACE_MAX; id++) {
        dead += store->id_state[id] == FE_ID_DEAD;
        swept += store->id_state[id] == FE_ID_SWEPT;
    }
    if (dead != store->compact.dead_ids || swept != store->compact.swept_ids)
        return "keyspace: wrong number of dead ids";
    if (dead == 0 && swept == 0 && is_counted_exactly(log) && homes(log) != live)
        return "log: records of the tiers and slots differ in number";
    return NULL;
}
