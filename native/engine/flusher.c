/* See flusher.h.
 *
 * The thread sleeps until something is sealed or somebody waits, or for a tenth of a second, less when the
 * process's memory is near its limit, which budgets then follow more closely. Then it
 * writes what is sealed, segment by segment, with a step and what it unmaps after each: so no more is
 * mapped than the budget allows, however fast the disk is. Files are removed when nothing is to be
 * written. While it waits for the disk, the workers' thread does its chores. Its work needs no share of its
 * own of the processor, for it is bounded by what is written, but it yields to threads that serve.
 *
 * Locks: the engine's lock is held for steps, and to begin and to end jobs; never while a file is
 * written, mapped or removed.
 */
#include "engine/flusher.h"

#include "base/assert.h"
#include "base/resident.h"
#include "engine/background.h"
#include "engine/rare.h"
#include "engine/workers.h"
#include "store/fetch.h"
#include "store/tier.h"

#define STEP_BYTES ((uint64_t)64 << 10)
#define READS_MAX 64u
#define JOBS_MAX 16u    /* of each kind, in one round of chores */
#define REST_MS 100     /* without being woken, and between two looks at the process's memory ... */
#define REST_NEAR_MS 20 /* ... when that is near the limit */
#define NEAR_SHARE 8u   /* of the limit, that is left then */
#define NS_PER_MS ((uint64_t)1000000)

struct fe_flusher {
    fe_background thread;
    fe_flush_job job;    /* the thread's own */
    bool writing;        /* it may wait for the disk; under the engine's lock */
    int64_t resident_ms; /* when the store was last told; the thread's own */
    int64_t rest_ms;     /* until it is told again; the thread's own */
};

/* Chores --------------------------------------------------------------------------------------- */

static bool step(fe_engine *engine)
{
    uint64_t entered = fe_engine_enter(engine);
    /* While an EXEC waits in its middle, its keys stay in memory: its client may go, and then the rest
     * runs without a wait. Only an order (DEBUG TIER) goes on. */
    fe_rare_step watched;
    fe_rare_step_begin(engine, &watched, entered);
    bool held = engine->pause.exclusive != 0 && !fe_tier_is_ordered(engine->store);
    bool more = !held && fe_tier_step(engine->store, STEP_BYTES);
    fe_rare_step_end(engine, &watched);
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    return more;
}

static bool unmap_some(fe_engine *engine)
{
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        fe_unmap_job job;
        fe_lock_enter(&engine->lock);
        bool taken = fe_tier_unmap_take(engine->store, &job);
        fe_lock_leave(&engine->lock);
        if (!taken) return false;
        fe_tier_unmap_run(engine->device, &job);
        fe_lock_enter(&engine->lock);
        fe_tier_unmap_done(engine->store, &job);
        fe_lock_leave(&engine->lock);
    }
    return true;
}

static bool remove_some(fe_engine *engine)
{
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        fe_dead_job job;
        fe_lock_enter(&engine->lock);
        bool taken = fe_tier_dead_take(engine->store, &job);
        fe_lock_leave(&engine->lock);
        if (!taken) return false;
        fe_tier_dead_run(engine->device, &job);
        fe_lock_enter(&engine->lock);
        fe_tier_dead_done(engine->store, &job);
        fe_lock_leave(&engine->lock);
    }
    return true;
}

bool fe_flusher_chores(fe_engine *engine)
{
    if (engine->device == NULL) return false;
    bool more = step(engine);
    more |= unmap_some(engine);
    more |= remove_some(engine);
    return more;
}

void fe_flusher_submit_reads(fe_engine *engine)
{
    if (engine->device == NULL) return;
    fe_disk_read *reads[READS_MAX];
    uint64_t entered = fe_engine_enter(engine);
    fe_fetch_trash_given(engine->store);
    uint32_t count = fe_engine_take_reads(engine, reads, READS_MAX);
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    fe_disk_start(engine->disk, reads, count);
}

/* Flushing ------------------------------------------------------------------------------------- */

/* Writes one segment, if one is sealed. */
static bool flush_one(fe_engine *engine, fe_flush_job *job)
{
    uint64_t entered = fe_engine_enter(engine);
    bool begun = fe_tier_flush_begin(engine->store, job);
    fe_rare_event event = {0};
    fe_residence_job residence;
    fe_residence_begin(&engine->insight.residence, &residence);
    if (begun) fe_rare_flush_begin(engine, &event, entered);
    if (engine->flusher != NULL) engine->flusher->writing = begun;
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    if (!begun) return false;
    fe_tier_flush_run(engine->device, job);
    if (job->fd >= 0)
        fe_residence_run(&residence, job->source.base, job->source.used, job->source.generation);
    entered = fe_engine_enter(engine);
    if (event.open) engine->rare.parent = &event;
    fe_tier_flush_end(engine->store, job);
    fe_residence_end(&engine->insight.residence, &residence, job->segment);
    fe_rare_flush_end(engine, &event, job);
    if (engine->flusher != NULL) engine->flusher->writing = false;
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    return true;
}

/* Whether the process is near its limit. */
static bool tell_resident(fe_engine *engine)
{
    uint64_t bytes = fe_resident_bytes();
    fe_lock_enter(&engine->lock);
    if (bytes != 0) fe_tier_set_resident(engine->store, bytes);
    uint64_t limit = engine->options.store.memory_max;
    fe_lock_leave(&engine->lock);
    return limit != 0 && bytes > limit - limit / NEAR_SHARE;
}

bool fe_flusher_round(fe_engine *engine)
{
    if (engine->device == NULL) return false;
    fe_flush_job job = {.fd = -1};
    bool more = flush_one(engine, &job);
    fe_flush_job_close(&job);
    more |= fe_flusher_chores(engine);
    fe_flusher_submit_reads(engine);
    return more;
}

/* The thread ----------------------------------------------------------------------------------- */

static void tell_resident_at_times(fe_engine *engine, fe_flusher *flusher)
{
    int64_t now_ms = fe_clock_monotonic_ms();
    if (now_ms - flusher->resident_ms < flusher->rest_ms) return;
    flusher->resident_ms = now_ms;
    flusher->rest_ms = tell_resident(engine) ? REST_NEAR_MS : REST_MS;
}

static void *run(void *argument)
{
    fe_engine *engine = argument;
    fe_flusher *flusher = engine->flusher;
    fe_background_give_way();
    do {
        bool more = true;
        while (more && !fe_background_is_stopped(&flusher->thread)) {
            tell_resident_at_times(engine, flusher);
            bool flushed = flush_one(engine, &flusher->job);
            more = step(engine);
            more |= unmap_some(engine);
            more |= flushed || remove_some(engine);
        }
    } while (!fe_background_rest(&flusher->thread, (uint64_t)flusher->rest_ms * NS_PER_MS));
    fe_flush_job_close(&flusher->job);
    return NULL;
}

static void wake(void *context)
{
    fe_engine *engine = context;
    fe_flusher_wake(engine);
    if (engine->flusher->writing && fe_tier_is_lending(engine->store)) fe_workers_wake(engine);
}

static void flusher_free(fe_engine *engine)
{
    fe_flusher *flusher = engine->flusher;
    fe_lock_enter(&engine->lock);
    fe_tier_on_work(engine->store, NULL, NULL);
    engine->flusher = NULL;
    fe_lock_leave(&engine->lock);
    fe_background_destroy(&flusher->thread);
    fe_alloc_give(&engine->alloc, FE_ALLOC_ENGINE, flusher);
}

bool fe_flusher_start(fe_engine *engine)
{
    if (engine->device == NULL) return true;
    FE_ASSERT(engine->flusher == NULL);
    fe_flusher *flusher = fe_alloc_take_zeroed(&engine->alloc, FE_ALLOC_ENGINE, sizeof *flusher);
    if (flusher == NULL) return false;
    fe_background_init(&flusher->thread);
    flusher->job.fd = -1;
    flusher->resident_ms = INT64_MIN / 2;
    flusher->rest_ms = REST_MS;
    fe_lock_enter(&engine->lock);
    engine->flusher = flusher;
    fe_tier_on_work(engine->store, wake, engine);
    fe_lock_leave(&engine->lock);
    if (fe_background_start(&flusher->thread, run, engine)) return true;
    flusher_free(engine);
    return false;
}

void fe_flusher_wake(fe_engine *engine)
{
    fe_flusher *flusher = engine->flusher;
    if (flusher != NULL) fe_background_wake(&flusher->thread);
}

void fe_flusher_stop(fe_engine *engine)
{
    fe_flusher *flusher = engine->flusher;
    if (flusher == NULL) return;
    fe_background_stop(&flusher->thread);
    flusher_free(engine);
}
