/* The access field of a record: what the eviction policy knows about its use.
 *
 *     LRU and every other policy:  20 bits of seconds of the store's clock (wraps after 12 days)
 *     LFU:                         | 12 bits of minutes | 8-bit logarithmic counter |
 *
 * The counter is the one Redis documents: a use raises it with probability 1 / ((counter - 5) *
 * lfu_log_factor + 1), and every lfu_decay_minutes take one off. A new key starts at 5, so that it
 * is not evicted at once.
 *
 * Threads: the engine's lock is held.
 */
#include "store/store.h"

#define ACCESS_BITS 20u
#define ACCESS_MASK ((1u << ACCESS_BITS) - 1)
#define MINUTES_MASK 0xfffu
#define COUNTER_MAX 255u
#define COUNTER_START 5u

static uint32_t seconds_now(const fe_store *store)
{
    return (uint32_t)((uint64_t)store->now_ms / 1000u) & ACCESS_MASK;
}

static uint32_t minutes_now(const fe_store *store)
{
    return (uint32_t)((uint64_t)store->now_ms / 60000u) & MINUTES_MASK;
}

static uint32_t lfu_make(const fe_store *store, uint32_t counter)
{
    return minutes_now(store) << 8 | counter;
}

uint32_t fe_access_fresh(const fe_store *store)
{
    return fe_store_is_lfu(store) ? lfu_make(store, COUNTER_START) : seconds_now(store);
}

/* The counter as it is now that time has passed. */
static uint32_t counter_decayed(const fe_store *store, uint32_t access)
{
    uint32_t counter = access & COUNTER_MAX;
    if (store->options.lfu_decay_minutes == 0) return counter;
    uint32_t elapsed = (minutes_now(store) - (access >> 8)) & MINUTES_MASK;
    uint32_t periods = elapsed / store->options.lfu_decay_minutes;
    return periods > counter ? 0 : counter - periods;
}

static uint32_t counter_raised(fe_store *store, uint32_t counter)
{
    if (counter == COUNTER_MAX) return counter;
    uint64_t over = counter > COUNTER_START ? counter - COUNTER_START : 0;
    uint64_t odds = over * store->options.lfu_log_factor + 1;
    return counter + (odds == 1 || fe_random_below(&store->evict.random, odds) == 0);
}

static bool is_mapped(const fe_key *key)
{
    return fe_log_segment(&key->store->log, key->address)->tier == FE_TIER_MAPPED;
}

/* Files do not hold the field: such a record was used when its segment was frozen, and so often as it
 * has marks. */
uint32_t fe_access_frozen(const fe_store *store, fe_address address)
{
    const fe_log *log = &store->log;
    if (fe_store_is_lfu(store))
        return lfu_make(store, COUNTER_START + fe_log_touched(log, address));
    uint32_t n = fe_address_segment(address, log->offset_bits);
    return (uint32_t)((uint64_t)log->files[n].frozen_ms / 1000u) & ACCESS_MASK;
}

uint32_t fe_access_of(const fe_key *key)
{
    return is_mapped(key) ? fe_access_frozen(key->store, key->address)
                          : fe_record_access(key->record);
}

/* Counts the read; whether the access field may be written. */
__attribute__((cold)) static bool touch_tiered(fe_log *log, fe_address address)
{
    bool cached = fe_cache_holds(log, address);
    (cached ? fe_cache_touch : fe_log_touch)(log, address);
    return cached || fe_log_is_mutable(log, address);
}

void fe_access_touch(fe_key *key)
{
    fe_store *store = key->store;
    fe_record *record = key->record;
    if (FE_UNLIKELY(store->log.tiered)) {
        if (!touch_tiered(&store->log, key->address)) return;
    }
    uint32_t access = fe_record_access(record);
    uint32_t fresh = store->access_now;
    if (FE_UNLIKELY(fe_store_is_lfu(store)))
        fresh = lfu_make(store, counter_raised(store, counter_decayed(store, access)));
    if (access != fresh) fe_record_set_access(record, fresh);
}

int64_t fe_store_idle_seconds(const fe_store *store, const fe_record *record)
{
    uint32_t access = fe_record_access(record);
    if (fe_store_is_lfu(store))
        return 60 * (int64_t)((minutes_now(store) - (access >> 8)) & MINUTES_MASK);
    return (seconds_now(store) - access) & ACCESS_MASK;
}

uint32_t fe_store_frequency(const fe_store *store, const fe_record *record)
{
    return counter_decayed(store, fe_record_access(record));
}

int64_t fe_key_idle_seconds(const fe_key *key)
{
    const fe_store *store = key->store;
    if (!is_mapped(key)) return fe_store_idle_seconds(store, key->record);
    uint32_t n = fe_address_segment(key->address, store->log.offset_bits);
    return (store->now_ms - store->log.files[n].frozen_ms) / 1000;
}

uint32_t fe_key_frequency(const fe_key *key)
{
    if (!is_mapped(key)) return fe_store_frequency(key->store, key->record);
    return COUNTER_START + fe_log_touched(&key->store->log, key->address);
}

void fe_store_set_idle(fe_store *store, fe_record *record, int64_t idle_seconds)
{
    if (fe_store_is_lfu(store)) return;
    if (idle_seconds < 0) idle_seconds = 0;
    if (idle_seconds > (int64_t)ACCESS_MASK) idle_seconds = ACCESS_MASK;
    fe_record_set_access(record, (seconds_now(store) - (uint32_t)idle_seconds) & ACCESS_MASK);
}

void fe_store_set_frequency(fe_store *store, fe_record *record, uint32_t frequency)
{
    if (!fe_store_is_lfu(store)) return;
    uint32_t counter = frequency < COUNTER_MAX ? frequency : COUNTER_MAX;
    fe_record_set_access(record, lfu_make(store, counter));
}

void fe_key_set_frequency(fe_key *key, uint32_t frequency)
{
    fe_store *store = key->store;
    fe_store_set_frequency(store, key->record, frequency);
    if (!store->log.tiered || !fe_store_is_lfu(store)) return;
    for (uint32_t step = COUNTER_START; frequency > step && step < COUNTER_START << 6; step <<= 2)
        fe_log_touch(&store->log, key->address);
}
