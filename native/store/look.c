/* See look.h. */
#include "store/look.h"

#include "store/fetch_read.h"

const char *fe_tier_name(fe_tier tier)
{
    static const char *const names[FE_TIER_COUNT] = {
        [FE_TIER_FREE] = "free",     [FE_TIER_MUTABLE] = "mutable",
        [FE_TIER_SEALED] = "sealed", [FE_TIER_MAPPED] = "read_only",
        [FE_TIER_DISK] = "disk",     [FE_TIER_CACHE] = "read_cache",
    };
    return names[tier];
}

static fe_place place_of(const fe_log *log, fe_address address)
{
    return (fe_place){fe_address_segment(address, log->offset_bits),
                      fe_address_offset(address, log->offset_bits)};
}

/* The record is in memory, under this slot; false when it is past its deadline. */
static bool look_memory(const fe_store *store, uint64_t slot, const fe_record *record,
                        fe_whereabouts *where)
{
    const fe_log *log = &store->log;
    fe_address address = fe_slot_address(slot);
    if (fe_store_expired(store, fe_record_deadline(record))) return false;
    *where = (fe_whereabouts){.tier = (fe_tier)fe_log_segment(log, address)->tier,
                              .at = place_of(log, address),
                              .bytes = fe_record_whole_size(record),
                              .deadline_ms = fe_record_deadline(record),
                              .certain = true};
    if (where->tier == FE_TIER_CACHE) {
        uint64_t head = fe_cache_head(log, address);
        where->marks = (unsigned)(head >> FE_CACHE_MARK_SHIFT) & FE_CACHE_MARK_MAX;
        where->home = place_of(log, head & FE_ADDRESS_MASK);
    } else if (log->tiered) {
        where->marks = fe_log_touched(log, address);
    }
    return true;
}

bool fe_look_key(const fe_store *store, uint32_t db, fe_bytes name, uint64_t hash,
                 fe_whereabouts *where)
{
    const fe_index *index = &store->databases[db]->index;
    fe_record *record;
    const uint64_t *slot = fe_index_find(index, name, hash, &record);
    if (slot != NULL && look_memory(store, *slot, record, where)) return true;
    /* What an unsettled record may have replaced is nobody's, also when that has expired. */
    if (slot != NULL && *slot & FE_SLOT_UNSETTLED) return false;
    slot = fe_index_find_cold(index, hash, NULL);
    if (slot == NULL) return false;
    *where =
        (fe_whereabouts){.tier = FE_TIER_DISK, .at = place_of(&store->log, fe_slot_address(*slot))};
    return true;
}

static void get_removals(const fe_store *store, fe_look_stats *stats)
{
    const fe_frozen_stats *frozen = &stats->frozen;
    uint64_t expired = store->expired_before + store->stats.expired_keys;
    uint64_t evicted = store->evicted_before + store->stats.evicted_keys;
    stats->expired.on_disk = frozen->expired_keys + stats->fetch.expired;
    stats->evicted.on_disk = frozen->evicted_keys;
    stats->expired.in_memory = expired - stats->expired.on_disk;
    stats->evicted.in_memory = evicted - stats->evicted.on_disk;
}

void fe_look_stats_get(const fe_store *store, fe_look_stats *stats)
{
    const fe_log *log = &store->log;
    *stats = (fe_look_stats){.cache = store->cache.stats,
                             .fetch_queued = store->fetch.queued,
                             .fetch_busy = store->fetch.in_flight,
                             .unsettled = store->fetch.settle_count,
                             .damaged = log->damaged,
                             .ghost_entries = store->cache.ghost.capacity,
                             .can_evict = fe_frozen_can_evict(store)};
    uint32_t reads;
    fe_fetch_stats_get(store, &stats->fetch, &reads);
    fe_tier_stats_get(store, &stats->tier);
    fe_frozen_stats_get(store, &stats->frozen);
    get_removals(store, stats);
    fe_tier_sum *tiers = stats->tier.tiers;
    if (!log->tiered)
        tiers[FE_TIER_MUTABLE] = (fe_tier_sum){.bytes = log->bytes, .live = log->live};
    tiers[FE_TIER_MUTABLE].records = log->records;
    tiers[FE_TIER_MUTABLE].segments = log->segment_count;
    memcpy(stats->hits, store->tier_hits, sizeof(stats->hits));
    if (!log->tiered) stats->hits[FE_TIER_MUTABLE] = store->stats.hits;
    stats->switches = fe_store_epoch(store);
    for (uint32_t i = 0; i < store->options.databases; i++)
        stats->short_tags += store->keyspaces[i].index.shorts;
}

uint32_t fe_look_below(const fe_store *store)
{
    return store->below;
}

void fe_look_below_clear(fe_store *store)
{
    store->below = 0;
}

void fe_look_miss_counts(const fe_store *store, uint64_t by[FE_MISS_COUNT])
{
    memcpy(by, store->stats.misses_by, sizeof store->stats.misses_by);
}

uint32_t fe_look_reads(const fe_store *store)
{
    return store->fetch.count;
}

uint64_t fe_look_put_off(const fe_store *store)
{
    return store->fetch.stats.put_off;
}

void fe_look_last_put_off(const fe_store *store, uint64_t count, fe_look_visit *visit,
                          const void *context)
{
    const fe_fetch_read *read = store->fetch.late_last;
    for (; read != NULL && count > 0; count--, read = read->late_prev)
        if (read->name != NULL)
            visit(context, (fe_bytes){read->name, read->name_len}, read->name_hash);
}

uint64_t fe_look_memory(const fe_store *store)
{
    return fe_store_used(store) + store->log.tiers[FE_TIER_MAPPED].bytes;
}

bool fe_look_trim_cache(fe_store *store, uint64_t bytes)
{
    fe_cache *cache = &store->cache;
    uint64_t budget = cache->budget;
    cache->budget = 0;
    bool more = fe_cache_step(store, bytes);
    cache->budget = budget;
    return more;
}
