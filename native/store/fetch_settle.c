/* Blind writes: a key is overwritten while a record on disk may be its older one.
 *
 *     fe_fetch_key (BLIND)     grant: this waiter's command may write over that record
 *     fe_key_find              meets the record: there must be a grant
 *     fe_key_write             new record, second slot with the UNSETTLED bit, and a read that settles
 *     fe_fetch_done            the same key: the old slot goes. Another: the bit goes
 *
 * The read keeps the name that was written, so what becomes of the new record meanwhile does not
 * matter: overwritten, deleted, expired or gone to disk, the old one was older. What must not happen is
 * that a second name settles on the same record, or that the old record moves (fe_fetch_settles).
 *
 * Threads: the engine's lock is held.
 */
#include "store/fetch_read.h"

#define SETTLES_MAX 4096u /* reads that settle; beyond them a write waits for its read */

/* Grants --------------------------------------------------------------------------------------- */

static fe_grant **chain_of(fe_store *store, fe_address address)
{
    uint64_t mixed = address * 0x9e3779b97f4a7c15ull;
    return &store->fetch.grants[mixed >> 32 & (FE_FETCH_GRANT_CHAINS - 1)];
}

static bool grant_is(const fe_grant *grant, const fe_keyspace *keyspace, uint64_t hash,
                     fe_address address)
{
    return grant->address == address && grant->hash == hash && grant->keyspace == keyspace->id;
}

static bool grant_make(fe_store *store, const fe_keyspace *keyspace, uint64_t hash,
                       fe_address address, fe_waiter *waiter)
{
    fe_grant **chain = chain_of(store, address);
    for (fe_grant *grant = *chain; grant != NULL; grant = grant->next) {
        if (grant->waiter != waiter || grant->address != address) continue;
        if (grant_is(grant, keyspace, hash, address)) return true;
        return false; /* one command, two keys over one record */
    }
    fe_grant *grant = fe_alloc_take(store->alloc, FE_ALLOC_ENGINE, sizeof(*grant));
    if (grant == NULL) return false;
    fe_fetch_open(store, waiter);
    *grant = (fe_grant){waiter, hash, keyspace->id, address, *chain, waiter->grants};
    *chain = waiter->grants = grant;
    store->fetch.grant_count++;
    return true;
}

void fe_settle_revoke(fe_store *store, fe_waiter *waiter)
{
    for (fe_grant *grant; (grant = waiter->grants) != NULL;) {
        waiter->grants = grant->waiter_next;
        fe_grant **at = chain_of(store, grant->address);
        while (*at != grant)
            at = &(*at)->next;
        *at = grant->next;
        store->fetch.grant_count--;
        fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, grant);
    }
}

static bool name_is(const fe_fetch_read *read, fe_bytes name)
{
    return read->name_len == name.len && memcmp(read->name, name.ptr, name.len) == 0;
}

/* Without a waiter nothing is going to be written now, and nothing needs to be read. */
bool fe_settle_grant(fe_store *store, fe_keyspace *keyspace, fe_bytes name, uint64_t hash,
                     const uint64_t *cold, fe_waiter *waiter)
{
    const fe_fetch *fetch = &store->fetch;
    if (waiter == NULL) return true;
    if (fetch->counting != 0) return false;
    if (fe_index_find_cold(&keyspace->index, hash, cold) != NULL) return false;
    const fe_fetch_read *read = fe_fetch_find(store, fe_slot_address(*cold));
    if (read != NULL && read->settles) {
        if (!name_is(read, name)) return false;
    } else if (fetch->settle_count + fetch->grant_count >= SETTLES_MAX) {
        return false;
    }
    return grant_make(store, keyspace, hash, fe_slot_address(*cold), waiter);
}

fe_address fe_settle_granted(fe_store *store, const fe_keyspace *keyspace, uint64_t hash)
{
    const uint64_t *cold = fe_index_find_cold(&keyspace->index, hash, NULL);
    if (FE_LIKELY(cold == NULL)) return FE_ADDRESS_NONE;
    fe_address address = fe_slot_address(*cold);
    const fe_grant *grant = *chain_of(store, address);
    while (grant != NULL && !grant_is(grant, keyspace, hash, address))
        grant = grant->next;
    if (grant == NULL) return FE_ADDRESS_NONE;
    FE_ASSERT(fe_index_find_cold(&keyspace->index, hash, cold) == NULL);
    return address;
}

void fe_settle_meet(fe_store *store, const fe_keyspace *keyspace, uint64_t hash)
{
    if (FE_LIKELY(fe_index_find_cold(&keyspace->index, hash, NULL) == NULL)) return;
    /* else a command runs whose key was not asked for */
    FE_ASSERT(fe_settle_granted(store, keyspace, hash) != FE_ADDRESS_NONE);
}

/* Settling ------------------------------------------------------------------------------------- */

static bool name_keep(fe_store *store, fe_fetch_read *read, const fe_key *key)
{
    read->name = fe_alloc_take(store->alloc, FE_ALLOC_ENGINE, key->name.len + 1);
    if (read->name == NULL) return false;
    memcpy(read->name, key->name.ptr, key->name.len);
    read->name_len = key->name.len;
    read->name_hash = key->hash;
    return true;
}

static void list_add(fe_store *store, fe_keyspace *keyspace, fe_fetch_read *read)
{
    fe_fetch *fetch = &store->fetch;
    read->settles = true;
    read->settle_prev = NULL;
    read->settle_next = fetch->settles;
    if (fetch->settles != NULL) fetch->settles->settle_prev = read;
    fetch->settles = read;
    fetch->settle_count++;
    keyspace->unsettled++;
}

bool fe_settle_begin(fe_key *key, fe_address cold)
{
    fe_store *store = key->store;
    fe_fetch_read *read = fe_fetch_start_late(store, key->keyspace, cold, key->hash);
    if (read == NULL) return false;
    if (!read->settles) {
        if (!name_keep(store, read, key)) return false;
        list_add(store, key->keyspace, read);
    }
    FE_ASSERT(name_is(read, key->name));
    *key->slot |= FE_SLOT_UNSETTLED;
    return true;
}

void fe_settle_end(fe_store *store, fe_fetch_read *read)
{
    fe_fetch *fetch = &store->fetch;
    if (!read->settles) return;
    fe_keyspace *keyspace = store->by_id[read->keyspace];
    if (keyspace != NULL) keyspace->unsettled--;
    if (read->settle_next != NULL) read->settle_next->settle_prev = read->settle_prev;
    *(read->settle_prev != NULL ? &read->settle_prev->settle_next : &fetch->settles) =
        read->settle_next;
    fetch->settle_count--;
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, read->name);
    read->name = NULL;
    read->settles = false;
}

/* Whether a read settles a write of this key. */
static bool is_unsettled(const fe_store *store, const fe_keyspace *keyspace, fe_bytes name,
                         uint64_t hash)
{
    if (keyspace->unsettled == 0) return false;
    const uint64_t *cold = NULL;
    while ((cold = fe_index_find_cold(&keyspace->index, hash, cold)) != NULL) {
        const fe_fetch_read *read = fe_fetch_find(store, fe_slot_address(*cold));
        if (read != NULL && read->settles && name_is(read, name)) return true;
    }
    return false;
}

void fe_settle_clear(fe_store *store, fe_keyspace *keyspace, fe_bytes name, uint64_t hash,
                     uint64_t *slot)
{
    if (!is_unsettled(store, keyspace, name, hash)) *slot &= ~FE_SLOT_UNSETTLED;
}

/* The bit of the key's new record goes; of one that has left memory, when it is read. */
static void bit_clear(fe_keyspace *keyspace, const fe_fetch_read *read)
{
    fe_record *record;
    fe_bytes name = {read->name, read->name_len};
    uint64_t *slot = fe_index_find(&keyspace->index, name, read->name_hash, &record);
    if (slot != NULL) *slot &= ~FE_SLOT_UNSETTLED;
}

bool fe_settle_record(fe_store *store, fe_keyspace *keyspace, fe_fetch_read *read, uint64_t hash,
                      uint64_t *slot, const fe_record *record)
{
    bit_clear(keyspace, read);
    if (!name_is(read, fe_record_key(record))) {
        store->fetch.stats.settled_other++;
        return false;
    }
    fe_store_remove_cold(store, keyspace, hash, slot, record);
    store->fetch.stats.settled_same++;
    return true;
}

bool fe_fetch_settles(const fe_store *store, fe_address home)
{
    const fe_fetch_read *read = fe_fetch_find(store, home);
    return read != NULL && read->settles;
}

void fe_settle_forget(fe_store *store, const fe_keyspace *keyspace)
{
    if (keyspace->unsettled == 0) return;
    for (fe_fetch_read *read = store->fetch.settles, *next; read != NULL; read = next) {
        next = read->settle_next;
        if (read->keyspace == keyspace->id) fe_settle_end(store, read);
    }
}

bool fe_fetch_settled(fe_store *store, uint32_t db, fe_waiter *waiter)
{
    const fe_keyspace *keyspace = store->databases[db];
    if (keyspace->unsettled == 0) return true;
    fe_fetch_open(store, waiter);
    if (!waiter->counts) {
        waiter->counts = true;
        store->fetch.counting++;
    }
    fe_fetch_hurry(store);
    for (fe_fetch_read *read = store->fetch.settles; read != NULL; read = read->settle_next)
        if (read->keyspace == keyspace->id)
            fe_fetch_wait(store, read, FE_NEED_REMOVE, false, waiter);
    return false;
}
