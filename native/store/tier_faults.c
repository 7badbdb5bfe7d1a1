/* Pages of mapped segments that could not be read. See tier.h and guard.h.
 *
 * A thread that touches such a page goes on with zeros, under the engine's lock, so whatever was done
 * since the lock was taken may be wrong. What follows from it:
 * - Before a command runs, the keys that it names are looked up (fe_fetch_key), and the records of
 *   those that it may copy are touched from end to end. If that met a fault, the segment goes to DISK,
 *   and the command is looked up again: its keys are read from the file, against their checksums.
 * - If the handler met one nevertheless, the session throws the reply away.
 * - Steps that look at mapped records (growth of an index, carrying) believe nothing they read from a
 *   segment that is damaged. The fault stays seen until the next command or step of the tiers looks
 *   after it; never while an EXEC waits in its middle, which answers errors from then on.
 *
 * Threads: the engine's lock is held.
 */
#include "store/store.h"
#include "store/tier.h"

#include <errno.h>

#define PAGE ((size_t)4096)

static void note_fault(fe_store *store, uint32_t n, size_t offset)
{
    fe_tiers *tiers = store->tiers;
    uint32_t generation = store->log.segments[n].generation;
    tiers->stats.error = (fe_disk_error){EIO, n, generation, store->now_ms};
    fe_fetch_note_fault(store, n, offset, EIO, NULL);
}

/* Sends damaged segments to DISK. */
static void demote_damaged(fe_store *store)
{
    fe_log *log = &store->log;
    for (uint32_t n = log->tiers[FE_TIER_MAPPED].oldest, next; n != 0; n = next) {
        size_t offset;
        next = log->files[n].newer;
        if (!fe_guard_is_damaged(store->tiers->guard, log->segments[n].base, &offset)) continue;
        note_fault(store, n, offset);
        fe_tiers_demote(store, n);
    }
}

bool fe_tier_fault_seen(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    return tiers != NULL && FE_UNLIKELY(fe_guard_faults(tiers->guard) != tiers->faults);
}

bool fe_tier_faulted(fe_store *store)
{
    if (FE_LIKELY(!fe_tier_fault_seen(store))) return false;
    fe_tiers *tiers = store->tiers;
    uint64_t faults = fe_guard_faults(tiers->guard);
    tiers->stats.page_faults += faults - tiers->faults;
    tiers->faults = faults; /* before the search: what comes during it is seen next time */
    demote_damaged(store);
    return true;
}

void fe_tier_forget(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash)
{
    fe_keyspace *keyspace = store->databases[db];
    fe_record *record;
    uint64_t *slot = fe_index_find(&keyspace->index, name, hash, &record);
    if (slot == NULL || !fe_log_is_mutable(&store->log, fe_slot_address(*slot))) return;
    fe_store_remove(store, keyspace, hash, slot, FE_MISS_EVICTED);
    store->stats.changes++;
}

void fe_tier_touch(const fe_store *store, fe_address address)
{
    const fe_log *log = &store->log;
    if (fe_log_segment(log, address)->tier != FE_TIER_MAPPED) return;
    const fe_record *record = fe_log_at(log, address);
    const volatile uint8_t *bytes = (const volatile uint8_t *)record;
    size_t size = fe_record_size(record);
    for (size_t at = 0; at < size; at += PAGE)
        (void)bytes[at];
    if (size != 0) (void)bytes[size - 1];
}
