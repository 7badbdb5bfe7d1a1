/* See the header. */
#include "store/misses.h"

#include "store/evict.h"
#include "store/store.h"

#define MEMORY_SHARE 64u

/* Life ----------------------------------------------------------------------------------------- */

void fe_misses_options_changed(fe_store *store)
{
    uint64_t bytes = store->options.gone_size, limit = store->options.memory_max;
    if (limit != 0 && bytes > limit / MEMORY_SHARE) bytes = limit / MEMORY_SHARE;
    if (store->options.gone_size != 0 && bytes == 0) bytes = 1;
    fe_gone_resize(&store->misses.gone, store->alloc, &store->trash, bytes);
}

/* The oldest of the flushed indexes goes; what was not read of it is forgotten. */
static void flushed_drop(fe_store *store)
{
    fe_misses *misses = &store->misses;
    fe_misses_flushed *flushed = &misses->flushed[0];
    misses->gone.forgotten += flushed->index.count - flushed->read;
    fe_index_reset(&flushed->index);
    misses->flushed_count--;
    memmove(flushed, flushed + 1, misses->flushed_count * sizeof *flushed);
}

void fe_misses_close(fe_store *store)
{
    while (store->misses.flushed_count != 0)
        flushed_drop(store);
    fe_gone_close(&store->misses.gone, store->alloc);
}

/* Flushed -------------------------------------------------------------------------------------- */

typedef struct reading {
    fe_gone *gone;
    const fe_misses_flushed *flushed;
    bool late;
} reading;

static void read_slot(void *context, uint64_t slot)
{
    const reading *r = context;
    const fe_misses_flushed *flushed = r->flushed;
    uint64_t hash = fe_index_hash_known(&flushed->index, flushed->bucket, slot);
    bool is_short = (slot & FE_SLOT_SHORT) != 0; /* tells too little */
    unsigned known = is_short ? 0 : fe_index_bits_known(&flushed->index, flushed->bucket, slot);
    fe_gone_note_flushed(r->gone, hash ^ flushed->salt, known, r->late);
}

/* Reads up to so many buckets of the oldest; returns how many it has read. */
static uint32_t flushed_read(fe_store *store, fe_misses_flushed *flushed, uint32_t buckets,
                             bool late)
{
    reading r = {&store->misses.gone, flushed, late};
    uint64_t most = fe_gone_capacity(&store->misses.gone);
    uint32_t done = 0;
    for (; done < buckets && flushed->bucket < flushed->index.buckets; done++) {
        if (flushed->read >= most) break;
        flushed->read += fe_index_visit_bucket(&flushed->index, flushed->bucket, read_slot, &r);
        flushed->bucket++;
    }
    return done;
}

static bool is_read(const fe_store *store, const fe_misses_flushed *flushed)
{
    return flushed->bucket == flushed->index.buckets ||
           flushed->read >= fe_gone_capacity(&store->misses.gone);
}

void fe_misses_flush(fe_store *store, fe_keyspace *keyspace, uint32_t *buckets)
{
    fe_misses *misses = &store->misses;
    if (misses->gone.lines == NULL) {
        fe_index_reset(&keyspace->index);
        return;
    }
    fe_misses_flushed flushed = {.salt = fe_store_salt(store, keyspace)};
    fe_index_take(&keyspace->index, &flushed.index);
    if (flushed.index.buckets <= *buckets) {
        *buckets -= flushed_read(store, &flushed, *buckets, false);
        misses->gone.forgotten += flushed.index.count - flushed.read;
        fe_index_reset(&flushed.index);
        return;
    }
    if (misses->flushed_count == FE_MISSES_FLUSHED_MAX) flushed_drop(store);
    misses->flushed[misses->flushed_count++] = flushed;
}

bool fe_misses_step(fe_store *store, uint32_t buckets)
{
    fe_misses *misses = &store->misses;
    while (misses->flushed_count != 0) {
        fe_misses_flushed *flushed = &misses->flushed[0];
        buckets -= flushed_read(store, flushed, buckets, true);
        if (!is_read(store, flushed)) return true;
        flushed_drop(store);
    }
    return false;
}

void fe_misses_make_room(fe_store *store)
{
    if (!fe_evict_near_limit(store)) return;
    while (store->misses.flushed_count != 0)
        flushed_drop(store);
}

/* Figures -------------------------------------------------------------------------------------- */

const char *fe_miss_name(fe_miss reason)
{
    static const char *const names[FE_MISS_COUNT] = {
        [FE_MISS_NEVER_SEEN] = "never_seen", [FE_MISS_EXPIRED] = "expired",
        [FE_MISS_EVICTED] = "evicted",       [FE_MISS_DELETED] = "deleted",
        [FE_MISS_FLUSHED] = "flushed",
    };
    return names[reason];
}

/* Keys of flushed indexes that will still be read, at most. */
static uint64_t pending(const fe_misses *misses)
{
    uint64_t keys = 0;
    for (uint32_t i = 0; i < misses->flushed_count; i++) {
        const fe_misses_flushed *flushed = &misses->flushed[i];
        uint64_t most = fe_gone_capacity(&misses->gone), count = flushed->index.count;
        if (count > most) count = most;
        keys += count > flushed->read ? count - flushed->read : 0;
    }
    return keys;
}

void fe_store_misses_get(const fe_store *store, fe_miss_stats *stats)
{
    const fe_misses *misses = &store->misses;
    const fe_gone *gone = &misses->gone;
    *stats = (fe_miss_stats){.bytes = fe_gone_bytes(gone),
                             .capacity = fe_gone_capacity(gone),
                             .keys = fe_gone_keys(gone),
                             .forgotten = gone->forgotten,
                             .pending = pending(misses),
                             .error = fe_gone_error(gone)};
    memcpy(stats->by, store->stats.misses_by, sizeof stats->by);
    memcpy(stats->keys_by, gone->keys, sizeof stats->keys_by);
    for (unsigned i = 0; i < FE_MISS_COUNT; i++)
        stats->by_since[i] = stats->by[i] - misses->base[i];
}

void fe_store_misses_reset(fe_store *store)
{
    memcpy(store->misses.base, store->stats.misses_by, sizeof store->misses.base);
}
