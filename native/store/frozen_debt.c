/* Compaction debt: when there is so much garbage on disk that writers have to wait for compaction.
 *
 *     garbage in files        what follows                                                             over
 *     over GARBAGE_PERCENT    compaction, paid for by writes; it gives way to the flush                (frozen_pick.c)
 *     near its most           "strained": compaction owes nothing and hurries; it shares the memory    at three quarters
 *                             that is kept for what waits to be written with the writers
 *     over its most           writers wait, so that flush and compaction get their turn                a little below
 *
 * Its most is as much as is alive in files: they are then twice as large as they have to be, and the
 * segments with the most garbage give more than they cost. Of a few files it is a share of the mutable budget: memory
 * then holds most of what is alive. Near disk_max it is what compaction could free there, for a write
 * is refused only when nothing can.
 *
 * Nobody waits for nothing: not while the disk fails, nor while compaction finds no segment that it could work on (the
 * garbage that is left lies in segments that are damaged, or that wait for a read). What is said here was found
 * by compaction itself: without a collector nobody waits.
 *
 * Threads: the engine's lock is held.
 */
#include "store/frozen_job.h"
#include "store/tier.h"

#define STRAIN_SHARE 8u       /* of the most: strained when less than this is left ... */
#define CALM_SHARE 4u         /* ... until so much is */
#define BREATH_SHARE 16u      /* of the most, that goes before who waits goes on ... */
#define BREATH_MAX (4u << 20) /* ... but no longer than this takes */
#define FLOOR_SHARE 2u        /* of the mutable budget */
#define FLOOR_MIN (8 * FE_SEGMENT_MIN)

static uint64_t garbage_most(const fe_store *store)
{
    uint64_t most = store->log.frozen.live, floor = FLOOR_MIN;
    if (store->tiers != NULL && store->tiers->mutable_max / FLOOR_SHARE > floor)
        floor = store->tiers->mutable_max / FLOOR_SHARE;
    return most > floor ? most : floor;
}

void fe_frozen_strain(fe_store *store)
{
    fe_frozen *frozen = &store->frozen;
    uint64_t most = garbage_most(store);
    uint64_t bound = most - most / (frozen->strained ? CALM_SHARE : STRAIN_SHARE);
    frozen->strained = fe_frozen_garbage(store) > bound;
}

bool fe_frozen_can_gain(fe_store *store)
{
    fe_frozen *frozen = &store->frozen;
    if (frozen->stuck) return false;
    fe_frozen_look(store);
    return !frozen->disk.behind && fe_frozen_garbage(store) > fe_frozen_garbage_allowed(store);
}

bool fe_frozen_owes(fe_store *store, bool waiting)
{
    const fe_frozen *frozen = &store->frozen;
    if (FE_LIKELY(!frozen->strained && !frozen->tight) || frozen->stuck) return false;
    const fe_tiers *tiers = store->tiers;
    if (tiers->state == FE_DISK_FAILED) return false;
    uint64_t most = garbage_most(store), breath = most / BREATH_SHARE;
    if (breath > BREATH_MAX) breath = BREATH_MAX;
    if (tiers->state == FE_DISK_FULL) return fe_frozen_can_gain(store);
    uint64_t dead = fe_frozen_garbage(store);
    if (frozen->strained && dead > most - (waiting ? breath : 0)) return true;
    fe_frozen_look(store);
    return frozen->tight && dead > fe_frozen_garbage_allowed(store);
}
