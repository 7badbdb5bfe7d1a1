/* See workers.h. The threads that write a tiered store's segments (engine/flusher.h) and reclaim them
 * (engine/collector.h) start and stop with this one.
 *
 * A round does each kind of step once. While a round says that more is due, the next follows at
 * once, but never with more than its share of the processor: after a busy round the thread sleeps
 * for a multiple of what the round took, by `expire_effort`, so that background work stays under a
 * quarter of one core. Without work it sleeps 1/hz seconds.
 *
 * Locks: a step holds the engine's lock and makes no system call; trash is unmapped and spare
 * segments are mapped without it.
 */
#include "engine/workers.h"

#include "base/assert.h"
#include "engine/background.h"
#include "engine/collector.h"
#include "engine/flusher.h"
#include "engine/heap_watch.h"
#include "engine/rare.h"

#define STEP_INDEX_BUCKETS 256u
#define STEP_EXPIRE_RECORDS 4096u
#define STEP_COMPACT_BYTES (64u * 1024u)
#define ROUND_MAPPINGS_NS 250000u /* mapping and unmapping in one round, but for the last call */

struct fe_workers {
    fe_background thread;
    fe_heap_watch blocks;     /* buffers of clients that have gone, and tables; the thread's own */
    fe_heap_watch all;        /* a store that has shrunk: small blocks went with its mappings */
    fe_rare_event compaction; /* the run under way; the thread's own */
};

static bool step_index(fe_engine *engine)
{
    uint64_t entered = fe_engine_enter(engine);
    bool more = fe_store_step_index(engine->store, STEP_INDEX_BUCKETS);
    fe_engine_leave(engine, FE_STEP_INDEX, entered);
    return more;
}

static bool step_expire(fe_engine *engine)
{
    uint64_t entered = fe_engine_enter(engine);
    bool more = false;
    if (!engine->expire_paused && !fe_engine_is_paused(engine))
        more = fe_store_step_expire(engine->store, STEP_EXPIRE_RECORDS);
    uint64_t used = fe_store_used(engine->store);
    if (used > engine->stats.memory_peak) engine->stats.memory_peak = used;
    fe_insight_relax(&engine->insight, engine->now_ms);
    fe_engine_leave(engine, FE_STEP_EXPIRE, entered);
    return more;
}

static bool step_compact(fe_engine *engine)
{
    uint64_t entered = fe_engine_enter(engine);
    fe_store_compacted before = fe_store_compacted_get(engine->store);
    bool more = fe_store_step_compact(engine->store, STEP_COMPACT_BYTES);
    if (engine->workers != NULL)
        fe_rare_compact_step(engine, &engine->workers->compaction, entered, &before, more);
    fe_engine_leave(engine, FE_STEP_COMPACT, entered);
    return more;
}

/* Unmaps unreachable mappings for a bounded time; true when some are left. A thread that serves may
 * want this core: freeing gigabytes at one go would keep it waiting. */
static bool empty_trash(fe_engine *engine)
{
    uint64_t began = fe_clock_monotonic_ns();
    do {
        fe_trash trash;
        fe_lock_enter(&engine->lock);
        bool taken = fe_store_trash_take(engine->store, &trash);
        fe_lock_leave(&engine->lock);
        if (!taken) return false;
        fe_pages_discard(trash.ptr, trash.size);
        fe_trash_unmap(&engine->alloc, &trash);
    } while (fe_clock_monotonic_ns() - began < ROUND_MAPPINGS_NS);
    return true;
}

/* Maps what the store wants ahead of its need: whether there is more to do at once. */
static bool provide_spares(fe_engine *engine)
{
    uint64_t began = fe_clock_monotonic_ns();
    do {
        size_t size;
        fe_lock_enter(&engine->lock);
        bool wanted = fe_store_spare_wanted(engine->store, &size);
        fe_lock_leave(&engine->lock);
        if (!wanted) return false;
        void *mapping = fe_store_spare_map(&engine->alloc, size);
        if (mapping == NULL) return false; /* the append that needs it will try and report */
        fe_lock_enter(&engine->lock);
        fe_store_spare_give(engine->store, mapping, size);
        fe_lock_leave(&engine->lock);
    } while (fe_clock_monotonic_ns() - began < ROUND_MAPPINGS_NS);
    return true;
}

static void purge_if_wanted(fe_engine *engine)
{
    fe_lock_enter(&engine->lock);
    bool wanted = engine->purge_wanted;
    engine->purge_wanted = false;
    fe_lock_leave(&engine->lock);
    if (wanted) fe_alloc_trim();
}

/* Bytes in blocks. Mappings come and go between the two looks at the counters, and from class to class
 * within the first, which would look like blocks that were freed later: so the smaller of two. */
static uint64_t block_bytes(const fe_alloc *alloc)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t used = fe_alloc_used_all(alloc), mapped = fe_alloc_mapped(alloc);
        uint64_t bytes = used > mapped ? used - mapped : 0;
        if (bytes < least) least = bytes;
    }
    return least;
}

/* The C library returns its free pages when much has gone and has not come again. In every round, busy or not. */
static void trim_after_much(fe_engine *engine)
{
    fe_workers *workers = engine->workers;
    if (workers == NULL) return;
    uint64_t now = fe_clock_monotonic_ns();
    bool due = fe_heap_watch_note(&workers->blocks, block_bytes(&engine->alloc), now);
    due |= fe_heap_watch_note(&workers->all, fe_alloc_used_all(&engine->alloc), now);
    if (due) fe_alloc_trim();
}

bool fe_workers_round(fe_engine *engine)
{
    bool more = step_index(engine);
    more |= step_expire(engine);
    more |= step_compact(engine);
    more |= engine->flusher != NULL ? fe_flusher_chores(engine) : fe_flusher_round(engine);
    more |= empty_trash(engine);
    more |= provide_spares(engine);
    purge_if_wanted(engine);
    trim_after_much(engine);
    if (engine->flusher != NULL) fe_flusher_submit_reads(engine);
    return more;
}

static void *run(void *argument)
{
    fe_engine *engine = argument;
    fe_workers *workers = engine->workers;
    fe_background_give_way();
    for (;;) {
        uint64_t began = fe_clock_monotonic_ns();
        bool more = fe_workers_round(engine);
        uint64_t took = fe_clock_monotonic_ns() - began;
        fe_lock_enter(&engine->lock);
        uint64_t idle = 1000000000u / (engine->options.hz > 0 ? engine->options.hz : 10u);
        uint64_t effort = engine->options.expire_effort;
        fe_lock_leave(&engine->lock);
        uint64_t busy = took * (effort >= 10 ? 2 : effort > 5 ? 3 : 4);
        if (fe_background_rest(&workers->thread, more && busy < idle ? busy : idle)) return NULL;
    }
}

static void workers_free(fe_engine *engine)
{
    fe_workers *workers = engine->workers;
    engine->workers = NULL;
    fe_background_destroy(&workers->thread);
    fe_alloc_give(&engine->alloc, FE_ALLOC_ENGINE, workers);
}

bool fe_workers_start(fe_engine *engine)
{
    FE_ASSERT(engine->workers == NULL);
    fe_workers *workers = fe_alloc_take_zeroed(&engine->alloc, FE_ALLOC_ENGINE, sizeof *workers);
    if (workers == NULL) return false;
    fe_background_init(&workers->thread);
    engine->workers = workers;
    if (!fe_flusher_start(engine)) {
        workers_free(engine);
        return false;
    }
    if (fe_collector_start(engine)) {
        if (fe_background_start(&workers->thread, run, engine)) return true;
        fe_collector_stop(engine);
    }
    fe_flusher_stop(engine);
    workers_free(engine);
    return false;
}

void fe_workers_wake(fe_engine *engine)
{
    fe_workers *workers = engine->workers;
    if (workers != NULL) fe_background_wake(&workers->thread);
}

void fe_workers_stop(fe_engine *engine)
{
    fe_workers *workers = engine->workers;
    if (workers == NULL) return;
    fe_background_stop(&workers->thread);
    fe_collector_stop(engine);
    fe_flusher_stop(engine);
    workers_free(engine);
}
