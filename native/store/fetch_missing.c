/* Walks over slots whose records are on disk: SCAN, KEYS, RANDOMKEY. What a run meets there is noted
 * in store->fetch.missing; the session has it read and runs the command again.
 *
 * Threads: the engine's lock is held.
 */
#include "store/fetch_read.h"

#define MISSING_MAX 4096u /* of one run */

static bool missing_grow(fe_store *store)
{
    fe_fetch *fetch = &store->fetch;
    if (fetch->missing_count < fetch->missing_capacity) return true;
    uint32_t capacity = fetch->missing_capacity == 0 ? 64 : fetch->missing_capacity * 2;
    fe_missing *missing =
        fe_alloc_resize(store->alloc, FE_ALLOC_ENGINE, fetch->missing, capacity * sizeof(*missing));
    if (missing == NULL) return false;
    fetch->missing = missing;
    fetch->missing_capacity = capacity;
    return true;
}

static bool is_bad(const fe_store *store, fe_address address)
{
    const fe_fetch *fetch = &store->fetch;
    uint32_t generation = fe_log_segment(&store->log, address)->generation;
    for (unsigned i = 0; i < FE_FETCH_BAD; i++)
        if (fetch->bad[i].address == address && fetch->bad[i].generation == generation) return true;
    return false;
}

bool fe_missing_add(fe_store *store, const fe_keyspace *keyspace, uint64_t bucket, uint64_t slot,
                    bool pick)
{
    fe_fetch *fetch = &store->fetch;
    fe_address address = fe_slot_address(slot);
    if (is_bad(store, address)) return false;
    if (fetch->missing_count == MISSING_MAX) return true;
    if (!missing_grow(store)) {
        fetch->missing_lost = true;
        return true;
    }
    fetch->missing[fetch->missing_count++] =
        (fe_missing){.address = address,
                     .hash = fe_index_hash_known(&keyspace->index, bucket, slot),
                     .keyspace = keyspace->id,
                     .pick = pick};
    return true;
}

bool fe_missing_is_full(const fe_store *store)
{
    return store->fetch.missing_count == MISSING_MAX;
}

bool fe_store_is_missing(const fe_store *store)
{
    const fe_fetch *fetch = &store->fetch;
    return fetch->missing_count != 0 || fetch->missing_lost || fetch->missing_count_of != 0;
}

bool fe_store_is_settled(fe_store *store, uint32_t db)
{
    if (FE_LIKELY(store->databases[db]->unsettled == 0)) return true;
    store->fetch.missing_count_of = db + 1;
    return false;
}

/* Reads one that is still where the walk met it. */
static void missing_fetch(fe_store *store, const fe_missing *missing, fe_waiter *waiter)
{
    const fe_keyspace *keyspace = store->by_id[missing->keyspace];
    if (keyspace == NULL) return;
    const uint64_t *slot = fe_index_find_address(&keyspace->index, missing->hash, missing->address);
    if (slot == NULL || !fe_log_is_cold(&store->log, missing->address)) return;
    fe_fetch_read *read = fe_fetch_start(store, keyspace, missing->address, missing->hash);
    if (read != NULL) {
        read->wanted = true;
        read->pick |= missing->pick;
    }
    fe_fetch_wait(store, read, FE_NEED_READ, true, waiter);
}

bool fe_fetch_missing(fe_store *store, fe_waiter *waiter)
{
    fe_fetch *fetch = &store->fetch;
    uint32_t count = fetch->missing_count, count_of = fetch->missing_count_of;
    bool lost = fetch->missing_lost;
    fetch->missing_count = fetch->missing_count_of = 0;
    fetch->missing_lost = false;
    for (uint32_t i = 0; i < count; i++)
        missing_fetch(store, &fetch->missing[i], waiter);
    if (lost) fe_fetch_wait(store, NULL, FE_NEED_READ, true, waiter);
    if (count_of != 0) (void)fe_fetch_settled(store, count_of - 1, waiter);
    return waiter->pending == 0;
}

void fe_missing_failed(fe_store *store, const fe_fetch_read *read)
{
    fe_fetch *fetch = &store->fetch;
    if (is_bad(store, read->address)) return;
    uint32_t at = fetch->bad_next++ % FE_FETCH_BAD;
    fetch->bad[at].address = read->address;
    fetch->bad[at].generation = store->log.segments[read->segment].generation;
}

void fe_missing_picked(fe_store *store, const fe_fetch_read *read, uint64_t hash)
{
    fe_fetch *fetch = &store->fetch;
    fetch->picks[fetch->pick_next++ % FE_FETCH_PICKS] =
        (fe_pick){.hash = hash, .home = read->address, .keyspace = read->keyspace};
}

/* The slot of a key that was read for RANDOMKEY and is still in memory; NULL: none. */
uint64_t *fe_missing_pick_take(fe_store *store, const fe_keyspace *keyspace, uint64_t *hash)
{
    fe_fetch *fetch = &store->fetch;
    for (unsigned i = 0; i < FE_FETCH_PICKS; i++) {
        fe_pick *pick = &fetch->picks[i];
        if (pick->keyspace != keyspace->id) continue;
        *hash = pick->hash;
        uint64_t *slot = fe_index_find_home(&keyspace->index, pick->hash, pick->home);
        pick->keyspace = 0;
        if (slot != NULL && !fe_log_is_cold(&store->log, fe_slot_address(*slot))) return slot;
    }
    return NULL;
}
