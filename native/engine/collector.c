/* See collector.h.
 *
 * The thread asks for a job, and reads and steps until it is done; without one it sleeps for a tenth
 * of a second. After each read and step it sleeps for so long that it reads no more than a fixed rate,
 * and that its steps take a quarter of one core at most; less when the disk is nearly full.
 *
 * Locks: the engine's lock is held for each step, and to begin and to end a job; never while a file is
 * read.
 */
#include "engine/collector.h"

#include "base/assert.h"
#include "engine/background.h"
#include "engine/rare.h"
#include "store/frozen.h"

#define REST_NS ((uint64_t)100000000) /* when nothing is due */
#define WAIT_NS ((uint64_t)10000000)  /* when a job has to wait, or the disk is nearly full */
#define PAUSE_STEPS 3u                /* sleep this often what a step took */
#define URGENT_SHARE 4u               /* the part of it that is left when the disk is nearly full */
#define NS_PER_BYTE ((uint64_t)4)     /* 250 MB/s of reading */
#define PAUSE_MIN_NS ((uint64_t)1000000) /* shorter ones are saved up */

struct fe_collector {
    fe_background thread;
    fe_frozen_job job;   /* the thread's own, as is what follows */
    uint64_t owed_ns;    /* sleep */
    fe_rare_event event; /* of the job */
};

static bool begin(fe_engine *engine, fe_frozen_job *job, fe_rare_event *event, bool *urgent)
{
    uint64_t entered = fe_engine_enter(engine);
    fe_frozen_pause_expiry(engine->store, engine->expire_paused);
    bool begun = fe_frozen_begin(engine->store, job);
    if (begun) fe_rare_walk_begin(engine, event, job, entered);
    *urgent = fe_frozen_is_urgent(engine->store);
    fe_engine_leave(engine, FE_STEP_FROZEN, entered);
    return begun;
}

static fe_frozen_next step(fe_engine *engine, fe_frozen_job *job, bool *urgent)
{
    uint64_t entered = fe_engine_enter(engine);
    fe_frozen_next next = fe_frozen_step(engine->store, job);
    *urgent = fe_frozen_is_urgent(engine->store);
    fe_engine_leave(engine, FE_STEP_FROZEN, entered);
    return next;
}

static void end(fe_engine *engine, fe_frozen_job *job, fe_rare_event *event)
{
    uint64_t entered = fe_engine_enter(engine);
    fe_frozen_end(engine->store, job);
    fe_rare_walk_end(engine, event, job);
    fe_engine_leave(engine, FE_STEP_FROZEN, entered);
}

bool fe_collector_round(fe_engine *engine)
{
    if (engine->device == NULL) return false;
    fe_frozen_job job = {0};
    fe_rare_event event = {0};
    bool urgent, begun = begin(engine, &job, &event, &urgent);
    for (fe_frozen_next next = FE_FROZEN_READ; begun && next < FE_FROZEN_WAIT;) {
        fe_frozen_read(engine->device, &job);
        do
            next = step(engine, &job, &urgent);
        while (next == FE_FROZEN_STEP);
    }
    if (begun) end(engine, &job, &event);
    fe_frozen_job_close(&job);
    return begun;
}

/* The thread ----------------------------------------------------------------------------------- */

/* Sleeps what is owed, once that is worth it; returns whether to stop. */
static bool pay(fe_collector *collector, bool urgent)
{
    uint64_t ns = urgent ? collector->owed_ns / URGENT_SHARE : collector->owed_ns;
    if (ns < PAUSE_MIN_NS) return false;
    collector->owed_ns = 0;
    return fe_background_rest(&collector->thread, ns);
}

/* Reads or steps once; returns whether to stop. */
static bool job_go_on(fe_engine *engine, fe_frozen_next *next)
{
    fe_collector *collector = engine->collector;
    fe_frozen_job *job = &collector->job;
    bool urgent = false;
    if (*next == FE_FROZEN_READ) {
        uint64_t before = job->read_bytes;
        fe_frozen_read(engine->device, job);
        collector->owed_ns += (job->read_bytes - before) * NS_PER_BYTE;
        *next = FE_FROZEN_STEP;
        return false;
    }
    uint64_t began = fe_clock_monotonic_ns();
    *next = step(engine, job, &urgent);
    collector->owed_ns += (fe_clock_monotonic_ns() - began) * PAUSE_STEPS;
    if (*next == FE_FROZEN_WAIT) return fe_background_rest(&collector->thread, WAIT_NS);
    return pay(collector, urgent);
}

static void *run(void *argument)
{
    fe_engine *engine = argument;
    fe_collector *collector = engine->collector;
    fe_background_give_way();
    bool stop = false, urgent;
    while (!stop) {
        if (!begin(engine, &collector->job, &collector->event, &urgent)) {
            stop = fe_background_rest(&collector->thread, urgent ? WAIT_NS : REST_NS);
            continue;
        }
        fe_frozen_next next = FE_FROZEN_READ;
        while (!stop && next != FE_FROZEN_DONE)
            stop = job_go_on(engine, &next);
        end(engine, &collector->job, &collector->event);
    }
    fe_frozen_job_close(&collector->job);
    return NULL;
}

static void collector_free(fe_engine *engine)
{
    fe_collector *collector = engine->collector;
    engine->collector = NULL;
    fe_background_destroy(&collector->thread);
    fe_alloc_give(&engine->alloc, FE_ALLOC_ENGINE, collector);
}

bool fe_collector_start(fe_engine *engine)
{
    if (engine->device == NULL) return true;
    FE_ASSERT(engine->collector == NULL);
    fe_collector *collector =
        fe_alloc_take_zeroed(&engine->alloc, FE_ALLOC_ENGINE, sizeof *collector);
    if (collector == NULL) return false;
    fe_background_init(&collector->thread);
    engine->collector = collector;
    if (fe_background_start(&collector->thread, run, engine)) return true;
    collector_free(engine);
    return false;
}

void fe_collector_stop(fe_engine *engine)
{
    fe_collector *collector = engine->collector;
    if (collector == NULL) return;
    fe_background_stop(&collector->thread);
    collector_free(engine);
}
