/* Databases: life of a store, flushing, swapping, iteration, marks, figures. The contract is in
 * store/keyspace.h.
 *
 * FLUSHDB kills the records of a keyspace by giving the keyspace a new id: its index goes to the
 * trash and a sweep (store/compact.h) turns the orphans into fillers later, whole segments at a
 * time where all is of one keyspace. An id is given out again only after a sweep that began after
 * its death. A small database is emptied record by record instead, which costs no sweep.
 *
 * Threads: the engine's lock is held.
 */
#include "store/compact.h"
#include "store/evict.h"
#include "store/store.h"
#include "store/tier.h"

#define MARKS_MAX ((size_t)65536)
#define FLUSH_BY_RECORD_MAX 512u          /* keys that are killed one by one */
#define FLUSH_SWEEP_BYTES (32u << 10)     /* sweep work that a flush does at once */
#define FLUSH_WAIT_SWEEP_BYTES (1u << 20) /* ... when it waits */
#define FLUSH_WAIT_UNMAP_BYTES (8u << 20) /* ... and of the trash it unmaps so much */
#define FLUSH_WAIT_UNMAPS 64u
#define FLUSH_BUCKETS 64u /* of which a flush tells why their keys are gone (store/misses.h) */
#define FLUSH_WAIT_BUCKETS 256u /* ... when it waits */
#define SCAN_TIERED_MAX 1024u   /* slots of one step, all of which may have to be read */
#define RANDOM_PASSED_MAX 256u  /* unreadable records that RANDOMKEY passes over */
#define LIMIT_SEGMENTS 128u     /* segments that a memory limit should hold at least */

/* Keyspace ids --------------------------------------------------------------------------------- */

static uint32_t id_find_free(fe_store *store)
{
    for (uint32_t i = 0; i < FE_KEYSPACE_MAX; i++) {
        uint32_t id = (store->id_last + i) % FE_KEYSPACE_MAX + 1;
        if (store->id_state[id] == FE_ID_FREE) return id;
    }
    return 0;
}

static void id_take(fe_store *store, fe_keyspace *keyspace)
{
    uint32_t id = id_find_free(store);
    while (id == 0) { /* thousands of flushes since the last sweep ended: it ends now */
        (void)fe_compact_sweep(store, UINT64_MAX);
        id = id_find_free(store);
    }
    store->id_last = id;
    store->id_state[id] = FE_ID_LIVE;
    store->by_id[id] = keyspace;
    keyspace->id = id;
}

/* Life ----------------------------------------------------------------------------------------- */

static size_t segment_size_of(const fe_store_options *options)
{
    return options->segment_size != 0 ? options->segment_size : FE_SEGMENT_DEFAULT;
}

static void options_apply(fe_store *store)
{
    uint64_t limit = store->options.memory_max;
    size_t largest = segment_size_of(&store->options);
    bool fine = limit != 0 && limit / LIMIT_SEGMENTS < largest;
    fe_log_set_segment_max(&store->log, fine ? limit / LIMIT_SEGMENTS : largest);
    store->index_space.used_max = limit;
    fe_evict_limit_changed(store);
    fe_misses_options_changed(store);
    if (store->tiers != NULL) fe_tiers_options_changed(store);
    store->access_now = fe_access_fresh(store);
}

fe_store *fe_store_new(fe_alloc *alloc, const fe_store_options *options)
{
    FE_ASSERT(options->databases >= 1 && options->databases <= 1024);
    FE_ASSERT(options->samples >= 1 && options->samples <= 64);
    fe_store *store = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, sizeof(*store));
    if (store == NULL) return NULL;
    store->alloc = alloc;
    store->options = *options;
    store->keyspaces = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE,
                                            options->databases * sizeof(*store->keyspaces));
    store->databases = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE,
                                            options->databases * sizeof(*store->databases));
    if (store->keyspaces == NULL || store->databases == NULL) {
        fe_alloc_give(alloc, FE_ALLOC_ENGINE, store->keyspaces);
        fe_alloc_give(alloc, FE_ALLOC_ENGINE, store->databases);
        fe_alloc_give(alloc, FE_ALLOC_ENGINE, store);
        return NULL;
    }
    fe_log_init(&store->log, alloc, &store->trash, segment_size_of(options));
    store->index_space = (fe_index_space){
        .alloc = alloc, .trash = &store->trash, .log = &store->log, .seed = &store->options.seed};
    for (uint32_t i = 0; i < options->databases; i++) {
        fe_keyspace *keyspace = store->databases[i] = &store->keyspaces[i];
        fe_index_init(&keyspace->index, &store->index_space);
        keyspace->db = i;
        id_take(store, keyspace);
    }
    fe_random_init(&store->evict.random, options->seed.k0 ^ options->seed.k1);
    store->expire.pass_end_ms = INT64_MIN;
    fe_cache_open(&store->cache);
    options_apply(store);
    if (options->device != NULL && !fe_tiers_open(store)) {
        fe_store_free(store);
        return NULL;
    }
    return store;
}

void fe_store_free(fe_store *store)
{
    if (store == NULL) return;
    FE_ASSERT(store->trash.hold_count == 0); /* whoever reads without the lock has gone */
    for (uint32_t i = 0; i < store->options.databases; i++)
        fe_index_reset(&store->keyspaces[i].index);
    fe_misses_close(store);
    fe_spare_close(store);
    fe_fetch_close(store);
    fe_cache_close(store);
    if (store->tiers != NULL) fe_tiers_close(store);
    fe_trash_empty(&store->trash, store->alloc);
    fe_log_close(&store->log);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, store->marks);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, store->keyspaces);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, store->databases);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, store);
}

void fe_store_set_options(fe_store *store, const fe_store_options *options)
{
    FE_ASSERT(options->databases == store->options.databases);
    FE_ASSERT(options->segment_size == store->options.segment_size);
    FE_ASSERT(options->device == store->options.device);
    FE_ASSERT(options->seed.k0 == store->options.seed.k0);
    FE_ASSERT(options->seed.k1 == store->options.seed.k1);
    FE_ASSERT(options->samples >= 1 && options->samples <= 64);
    store->options = *options;
    options_apply(store);
}

const fe_store_options *fe_store_get_options(const fe_store *store)
{
    return &store->options;
}

/* Of several threads that tell the time, one may be late by this much. */
#define BEHIND_MS 1000

static void steady_set(fe_store *store, int64_t wall_ms)
{
    if (wall_ms > store->wall_ms) store->steady_ms += wall_ms - store->wall_ms;
    if (wall_ms > store->wall_ms || wall_ms < store->wall_ms - BEHIND_MS) store->wall_ms = wall_ms;
}

void fe_store_set_now(fe_store *store, int64_t now_ms)
{
    steady_set(store, now_ms);
    if (now_ms <= store->now_ms) return;
    store->now_ms = now_ms;
    store->access_now = fe_access_fresh(store);
}

int64_t fe_store_now(const fe_store *store)
{
    return store->now_ms;
}

const fe_hash_seed *fe_store_seed(const fe_store *store)
{
    return &store->options.seed;
}

void fe_store_hint_refresh(const fe_store *store, uint32_t db, fe_hint *hint)
{
    const fe_index *index = &store->databases[db]->index;
    hint->db = db;
    hint->mask = index->mask;
    hint->split = index->split;
    if (FE_LIKELY(hint->index == index && hint->version == index->version)) return;
    hint->index = index;
    hint->version = index->version;
    hint->chunk_count = index->chunk_count < FE_HINT_CHUNKS ? index->chunk_count : FE_HINT_CHUNKS;
    for (uint32_t i = 0; i < hint->chunk_count; i++)
        hint->chunks[i] = index->chunks[i];
}

void fe_hint_prefetch(const fe_hint *hint, uint64_t hash)
{
    uint64_t low = hash & hint->mask;
    uint64_t bucket = low < hint->split ? hash & (2 * hint->mask + 1) : low;
    uint64_t chunk = bucket >> FE_INDEX_CHUNK_BITS;
    if (chunk >= hint->chunk_count) return;
    fe_prefetch(hint->chunks[chunk] +
                (bucket & (FE_INDEX_CHUNK_BUCKETS - 1)) * FE_INDEX_BUCKET_WORDS);
}

void fe_store_prefetch_bucket(const fe_store *store, uint32_t db, uint64_t hash)
{
    fe_index_prefetch(&store->databases[db]->index, hash);
}

bool fe_store_prefetch_record(const fe_store *store, uint32_t db, uint64_t hash)
{
    return fe_index_prefetch_record(&store->databases[db]->index, hash);
}

void fe_store_prefetch_behind(const fe_store *store, uint32_t db, uint64_t hash)
{
    fe_index_prefetch_behind(&store->databases[db]->index, hash);
}

/* Marks ---------------------------------------------------------------------------------------- */

static void mark_add(fe_store *store, fe_mark mark)
{
    if (store->marks_lost) return;
    if (store->mark_count == store->mark_capacity) {
        size_t capacity = store->mark_capacity == 0 ? 64 : store->mark_capacity * 2;
        fe_mark *marks = NULL;
        if (capacity <= MARKS_MAX)
            marks = fe_alloc_resize(store->alloc, FE_ALLOC_ENGINE, store->marks,
                                    capacity * sizeof(*marks));
        if (marks == NULL) {
            store->marks_lost = true;
            return;
        }
        store->marks = marks;
        store->mark_capacity = capacity;
    }
    store->marks[store->mark_count++] = mark;
}

void fe_store_mark_key(fe_store *store, uint32_t db, uint64_t hash)
{
    if (FE_LIKELY(!store->interest)) return;
    mark_add(store, (fe_mark){.db = db, .kind = FE_MARK_KEY, .hash = hash});
}

void fe_store_set_interest(fe_store *store, bool wanted)
{
    store->interest = wanted;
}

const fe_mark *fe_store_marks(const fe_store *store, size_t *count, bool *lost)
{
    *count = store->mark_count;
    *lost = store->marks_lost;
    return store->marks;
}

void fe_store_marks_clear(fe_store *store)
{
    store->mark_count = 0;
    store->marks_lost = false;
}

/* Flushing ------------------------------------------------------------------------------------- */

static void kill_slot(void *context, uint64_t slot)
{
    fe_store *store = context;
    fe_address address = fe_slot_address(slot);
    fe_store_kill(store, address, fe_log_at(&store->log, address));
}

typedef struct cold_search {
    const fe_log *log;
    bool found;
} cold_search;

static void cold_slot(void *context, uint64_t slot)
{
    cold_search *search = context;
    search->found |= fe_log_is_cold(search->log, fe_slot_address(slot));
}

/* Whether all records can be killed one by one: few, and none on disk. */
static bool is_small(const fe_store *store, const fe_keyspace *keyspace)
{
    const fe_index *index = &keyspace->index;
    if (index->count > FLUSH_BY_RECORD_MAX || index->buckets > FLUSH_BY_RECORD_MAX) return false;
    cold_search search = {.log = &store->log};
    for (uint64_t b = 0; store->log.tiered && b < index->buckets; b++)
        (void)fe_index_visit_bucket(index, b, cold_slot, &search);
    return !search.found;
}

/* The keyspace is empty from now on. `orphan`: its records stay in the log under a dead id.
 * `read_buckets`: as for fe_misses_flush. */
static void keyspace_empty(fe_store *store, fe_keyspace *keyspace, bool orphan,
                           uint32_t *read_buckets)
{
    fe_index *index = &keyspace->index;
    store->stats.changes += index->count;
    fe_settle_forget(store, keyspace);
    if (orphan) {
        store->by_id[keyspace->id] = NULL;
        store->id_state[keyspace->id] = FE_ID_DEAD;
        store->compact.dead_ids++;
        id_take(store, keyspace);
    } else {
        for (uint64_t b = 0; b < index->buckets; b++)
            (void)fe_index_visit_bucket(index, b, kill_slot, store);
    }
    fe_misses_flush(store, keyspace, read_buckets);
    keyspace->expires = 0;
    keyspace->deadline_sum = 0;
}

/* A small database is gone from memory when a flush that waits returns; of a large one workers free
 * the most. */
static void flush_finish(fe_store *store, bool wait)
{
    (void)fe_compact_sweep(store, wait ? FLUSH_WAIT_SWEEP_BYTES : FLUSH_SWEEP_BYTES);
    if (!wait) return;
    uint64_t bytes = 0;
    fe_trash trash;
    for (uint32_t i = 0; i < FLUSH_WAIT_UNMAPS && bytes < FLUSH_WAIT_UNMAP_BYTES; i++) {
        if (!fe_trash_pop_short(&store->trash, &trash)) return;
        bytes += trash.size;
        fe_trash_unmap(store->alloc, &trash);
    }
}

fe_status fe_store_flush(fe_store *store, uint32_t db, bool wait)
{
    fe_keyspace *keyspace = store->databases[db];
    if (store->interest) mark_add(store, (fe_mark){.db = db, .kind = FE_MARK_FLUSH});
    uint32_t buckets = wait ? FLUSH_WAIT_BUCKETS : FLUSH_BUCKETS;
    if (keyspace->index.count != 0)
        keyspace_empty(store, keyspace, !is_small(store, keyspace), &buckets);
    flush_finish(store, wait);
    return FE_OK;
}

fe_status fe_store_flush_all(fe_store *store, bool wait)
{
    uint32_t buckets = wait ? FLUSH_WAIT_BUCKETS : FLUSH_BUCKETS;
    for (uint32_t i = 0; i < store->options.databases; i++) {
        fe_keyspace *keyspace = store->databases[i];
        if (store->interest) mark_add(store, (fe_mark){.db = i, .kind = FE_MARK_FLUSH});
        if (keyspace->index.count != 0) keyspace_empty(store, keyspace, true, &buckets);
    }
    fe_compact_drop_all(store);
    flush_finish(store, wait);
    return FE_OK;
}

void fe_store_swap(fe_store *store, uint32_t a, uint32_t b)
{
    if (a == b) return;
    fe_keyspace *keyspace = store->databases[a];
    store->databases[a] = store->databases[b];
    store->databases[b] = keyspace;
    store->databases[a]->db = a;
    store->databases[b]->db = b;
    store->stats.changes++;
    if (store->interest) mark_add(store, (fe_mark){.db = a, .other_db = b, .kind = FE_MARK_SWAP});
}

/* Iteration ------------------------------------------------------------------------------------ */

bool fe_store_is_expired(const fe_store *store, const fe_record *record)
{
    return fe_store_expired(store, fe_record_deadline(record));
}

typedef struct scan {
    fe_store *store;
    fe_scan_visit *visit;
    void *context;
    const fe_keyspace *keyspace;
    uint64_t bucket;
} scan;

static void scan_slot(void *context, uint64_t slot)
{
    const scan *s = context;
    if (FE_UNLIKELY(fe_log_is_cold(&s->store->log, fe_slot_address(slot)))) return;
    s->visit(s->context, fe_log_at(&s->store->log, fe_slot_address(slot)));
}

static void scan_cold_slot(void *context, uint64_t slot)
{
    const scan *s = context;
    if (fe_log_is_cold(&s->store->log, fe_slot_address(slot)))
        (void)fe_missing_add(s->store, s->keyspace, s->bucket, slot, false);
}

/* Notes what the next step of the scan will not see, because it is on disk. */
static void scan_cold(scan *s, uint64_t cursor)
{
    const fe_index *index = &s->keyspace->index;
    s->bucket = cursor & index->mask;
    (void)fe_index_visit_bucket(index, s->bucket, scan_cold_slot, s);
    if (s->bucket >= index->split) return;
    s->bucket += index->mask + 1;
    (void)fe_index_visit_bucket(index, s->bucket, scan_cold_slot, s);
}

uint64_t fe_store_scan(fe_store *store, uint32_t db, uint64_t cursor, uint64_t count,
                       fe_scan_visit *visit, void *context)
{
    scan s = {.store = store, .visit = visit, .context = context, .keyspace = store->databases[db]};
    bool tiered = store->log.tiered && s.keyspace->index.count != 0;
    if (tiered && count > SCAN_TIERED_MAX) count = SCAN_TIERED_MAX;
    uint64_t slots = 0, positions = 0, positions_max = count > UINT64_MAX / 10 ? count : count * 10;
    do {
        if (FE_UNLIKELY(tiered)) scan_cold(&s, cursor);
        cursor = fe_index_scan(&s.keyspace->index, cursor, scan_slot, &s, &slots);
    } while (cursor != 0 && slots < count && ++positions < positions_max);
    return cursor;
}

/* The key of a slot whose record is in memory; false when it has expired: it is removed. */
static bool random_take(fe_store *store, fe_keyspace *keyspace, uint64_t *slot, fe_key *key)
{
    fe_record *record = fe_log_at(&store->log, fe_slot_address(*slot));
    uint64_t hash = fe_store_record_hash(store, record);
    if (fe_store_expired(store, fe_record_deadline(record))) {
        fe_store_remove_expired(store, keyspace, hash, slot);
        return false;
    }
    *key = (fe_key){.record = record,
                    .name = fe_record_key(record),
                    .hash = hash,
                    .store = store,
                    .keyspace = keyspace,
                    .slot = slot,
                    .address = fe_slot_address(*slot),
                    .shape = keyspace->index.shape,
                    .db = keyspace->db};
    return true;
}

bool fe_store_random_key(fe_store *store, uint32_t db, fe_random *random, fe_key *key)
{
    fe_keyspace *keyspace = store->databases[db];
    uint64_t *slot, bucket, hash;
    if (FE_UNLIKELY(store->log.tiered))
        while ((slot = fe_missing_pick_take(store, keyspace, &hash)) != NULL)
            if (random_take(store, keyspace, slot, key)) return true;
    for (unsigned passed = 0; passed < RANDOM_PASSED_MAX;) {
        slot = fe_index_random_in(&keyspace->index, random, &bucket);
        if (slot == NULL) return false;
        if (FE_LIKELY(!fe_log_is_cold(&store->log, fe_slot_address(*slot)))) {
            if (random_take(store, keyspace, slot, key)) return true;
        } else if (fe_missing_add(store, keyspace, bucket, *slot, true)) {
            return false;
        } else {
            passed++;
        }
    }
    return false;
}

/* Figures -------------------------------------------------------------------------------------- */

uint64_t fe_store_db_size(const fe_store *store, uint32_t db)
{
    return store->databases[db]->index.count;
}

void fe_store_db_stats(const fe_store *store, uint32_t db, fe_database_stats *stats)
{
    const fe_keyspace *keyspace = store->databases[db];
    *stats = (fe_database_stats){.keys = keyspace->index.count, .expires = keyspace->expires};
    if (keyspace->expires == 0) return;
    fe_wide left = keyspace->deadline_sum / (fe_wide)keyspace->expires - store->now_ms;
    stats->average_ttl_ms = left > 0 ? (int64_t)left : 0;
}

uint64_t fe_store_used(const fe_store *store)
{
    return fe_alloc_used_all(store->alloc);
}

void fe_store_count_lookup(fe_store *store, bool hit)
{
    if (hit)
        store->stats.hits++;
    else
        store->stats.misses++;
}

void fe_store_stats_get(const fe_store *store, fe_store_stats *stats)
{
    *stats = store->stats;
    stats->log_bytes = store->log.bytes;
    stats->log_live_bytes = store->log.live;
    stats->log_segments = store->log.segment_count;
    stats->trash_mappings = store->trash.count;
    for (uint32_t i = 0; i < store->misses.flushed_count; i++) {
        const fe_index *flushed = &store->misses.flushed[i].index;
        stats->index_bytes += flushed->bytes;
        stats->trash_mappings += flushed->chunk_count + flushed->nodes.chunks_mapped;
    }
    stats->trash_unmapped = store->trash.taken;
    stats->lent_values = store->trash.hold_count;
    stats->held_mappings = store->trash.held;
    stats->held_bytes = store->trash.held_bytes;
    for (uint32_t i = 0; i < store->options.databases; i++) {
        const fe_index *index = &store->keyspaces[i].index;
        stats->index_bytes += index->bytes;
        stats->index_buckets += index->buckets;
        stats->index_overflow_buckets += index->nodes.used_count;
        stats->index_splits += index->splits;
        stats->index_merges += index->merges;
    }
    for (uint32_t n = 1; n <= store->log.high; n++)
        if (store->log.segments[n].tier != FE_TIER_FREE)
            stats->expired_unreclaimed_bytes +=
                fe_deadlines_expired(&store->log.deadlines[n], store->now_ms);
}

void fe_store_tally_get(const fe_store *store, fe_store_tally *tally)
{
    const fe_store_stats *stats = &store->stats;
    const uint64_t *hits = store->tier_hits;
    *tally = (fe_store_tally){.hits = stats->hits,
                              .misses = stats->misses,
                              .in_place = stats->in_place,
                              .appended = stats->appended,
                              .read_bytes = stats->read_bytes,
                              .written_bytes = stats->written_bytes,
                              .written_values = stats->written_values,
                              .hits_mutable = stats->hits};
    if (FE_LIKELY(!store->log.tiered)) return;
    tally->hits_mutable = hits[FE_TIER_MUTABLE];
    tally->hits_readonly = hits[FE_TIER_SEALED] + hits[FE_TIER_MAPPED];
    tally->hits_cache = hits[FE_TIER_CACHE];
    tally->hits_disk = hits[FE_TIER_DISK];
}

fe_store_compacted fe_store_compacted_get(const fe_store *store)
{
    return (fe_store_compacted){store->stats.compacted_segments, store->stats.compacted_bytes};
}

void fe_store_stats_reset(fe_store *store)
{
    store->expired_before += store->stats.expired_keys;
    store->evicted_before += store->stats.evicted_keys;
    memset(&store->stats, 0, sizeof(store->stats));
    fe_store_misses_reset(store);
    memset(store->tier_hits, 0, sizeof(store->tier_hits));
    fe_fetch_durations_reset(store);
    for (uint32_t i = 0; i < store->options.databases; i++)
        store->keyspaces[i].index.splits = store->keyspaces[i].index.merges = 0;
}

bool fe_store_step_index(fe_store *store, uint32_t buckets)
{
    bool more = fe_misses_step(store, buckets);
    for (uint32_t i = 0; i < store->options.databases; i++)
        more |= fe_index_step(&store->keyspaces[i].index, buckets);
    return more;
}

const char *fe_store_check(fe_store *store)
{
    const char *wrong = fe_log_check(&store->log);
    if (wrong == NULL) wrong = fe_gone_check(&store->misses.gone);
    uint64_t live = 0;
    for (uint32_t i = 0; wrong == NULL && i < store->options.databases; i++) {
        const fe_keyspace *keyspace = store->databases[i];
        if (keyspace->db != i || store->by_id[keyspace->id] != keyspace ||
            store->id_state[keyspace->id] != FE_ID_LIVE)
            return "keyspace: a database is not what it says";
        wrong = fe_index_check(&keyspace->index, keyspace->id);
        live += keyspace->index.count;
    }
    if (wrong == NULL && store->tiers != NULL) wrong = fe_tiers_check(store);
    if (wrong == NULL && store->log.tiered) wrong = fe_cache_check(store);
    if (wrong == NULL && store->log.tiered) wrong = fe_fetch_check_all(store);
    if (wrong != NULL) return wrong;
    return fe_compact_check(store, live);
}
