/* The engine: the store, its lock, its clock, its options and its statistics. Everything mutable of
 * the data plane hangs off this object (connections hang off fe_clients, client/client.h).
 *
 * Lock: `enter` before touching anything here except `alloc`; one batch of one session, or one step
 * of a worker, per entry. Never held across a system call that can block, a Python call or a wait.
 */
#ifndef FE_ENGINE_ENGINE_H
#define FE_ENGINE_ENGINE_H

#include "base/assert.h"
#include "base/clock.h"
#include "engine/insight.h"
#include "engine/latency.h"
#include "engine/lock.h"
#include "engine/slowlog.h"
#include "event/rare.h"
#include "store/device.h"
#include "store/disk.h"
#include "store/keyspace.h"
#include "store/save.h"

#define FE_DATA_DIR_MAX 1023u
#define FE_ENGINE_ERROR_MAX 1536u

/* Options that can change at run time; set as a whole by fe_engine_set_options. Sizes in bytes. */
typedef struct fe_engine_options {
    fe_store_options store;
    uint64_t bulk_len_max;     /* proto-max-bulk-len */
    uint64_t query_buffer_max; /* client-query-buffer-limit */
    struct {
        uint64_t hard, soft; /* 0 = no limit */
        uint32_t soft_seconds;
    } output_limit[3];            /* FE_CLIENT_CLASS_NORMAL, _REPLICA, _PUBSUB */
    uint64_t clients_memory_max;  /* maxmemory-clients; 0 = no limit */
    uint32_t timeout_seconds;     /* idle clients; 0 = never */
    int64_t slowlog_threshold_us; /* negative: off */
    uint32_t slowlog_max;
    uint32_t latency_threshold_ms; /* latency-monitor-threshold; 0 = off */
    uint32_t expire_effort;        /* 1..10 */
    uint32_t hz;
    uint32_t hll_sparse_bytes_max; /* hll-sparse-max-bytes */
    bool latency_tracking;         /* count durations by command in histograms */
    bool metrics;                  /* count what only metrics tell: durations and stages */
    fe_insight_options insight;
    bool flush_async;      /* lazyfree-lazy-user-flush: FLUSHALL without argument is ASYNC */
    bool debug_enabled;    /* DEBUG is allowed */
    char requirepass[513]; /* "" = none; at most 512 bytes */
    /* The data folder; "" = memory only. Cannot change, and store.device, which follows from it,
     * is set by the engine. */
    char data_dir[FE_DATA_DIR_MAX + 1];
    uint32_t disk_depth; /* reads in flight at most, 1..FE_DISK_DEPTH_MAX; fixed as data_dir is */
    uint32_t disk_kind;  /* fe_disk_kind; fixed */
} fe_engine_options;

typedef enum fe_step_kind {
    FE_STEP_INDEX,
    FE_STEP_EXPIRE,
    FE_STEP_COMPACT,
    FE_STEP_TIER,
    FE_STEP_FROZEN, /* jobs over footers */
    FE_STEP_FETCH,  /* taking what was read from disk */
    FE_STEP_BATCH,  /* one session's batch of commands under the lock */
    FE_STEP_KIND_COUNT
} fe_step_kind;

typedef struct fe_step_stats {
    uint64_t count;
    uint64_t ticks_total;
    uint64_t ticks_max;
    uint64_t cpu_ns_max; /* processor time alone, without what the system gave to others meanwhile;
                            taken only while the latency monitor is on */
} fe_step_stats;

typedef struct fe_engine_stats {
    uint64_t commands;    /* processed since start or reset */
    uint64_t connections; /* accepted */
    uint64_t connections_rejected;
    uint64_t reads, writes;   /* receives and sends of the transports */
    uint64_t net_in, net_out; /* bytes */
    uint64_t error_replies;
    uint64_t output_kills;  /* connections closed by client-output-buffer-limit */
    uint64_t query_kills;   /* ... by client-query-buffer-limit */
    uint64_t memory_kills;  /* ... by maxmemory-clients */
    uint64_t timeout_kills; /* ... by timeout */
    uint64_t protocol_errors;
    uint64_t memory_peak;
    fe_step_stats steps[FE_STEP_KIND_COUNT];
} fe_engine_stats;

/* CLIENT PAUSE, and the exclusive hold that EXEC takes while one of its commands is answered by
 * Python. */
typedef struct fe_pause {
    int64_t until_ms;   /* of the monotonic clock; 0: not paused */
    bool all;           /* all commands; else commands that may write */
    uint64_t exclusive; /* id of the client that alone may run, or 0 */
} fe_pause;

#define FE_ERROR_KINDS_MAX 64 /* distinct error codes that INFO errorstats counts */

typedef struct fe_error_count {
    char code[32];
    uint64_t count;
} fe_error_count;

typedef struct fe_engine {
    fe_alloc alloc;
    fe_lock lock;
    fe_store *store;
    fe_engine_options options;
    fe_engine_stats stats;
    fe_error_count errors[FE_ERROR_KINDS_MAX];
    uint32_t error_last; /* of `errors`: that which was counted last; FE_ERROR_KINDS_MAX: no room */
    fe_slowlog slowlog;
    fe_latency latency;
    fe_telemetry telemetry; /* the recorders of serving threads, and what they record */
    fe_rare rare;           /* events that are no commands (engine/rare.h) */
    uint64_t load_ticks[2]; /* when reading the data folder began, and ended */
    bool is_found_told;     /* ... and there was a span for that */
    fe_insight insight;
    uint64_t latency_ticks; /* options.latency_threshold_ms; UINT64_MAX = off */
    fe_pause pause;
    fe_random random;
    int64_t started_ms;
    int64_t counted_since_ms; /* the start, or fe_engine_reset_stats */
    int64_t now_ms;           /* wall clock of this batch */
    uint64_t step_cpu_ns;     /* the thread's processor time at entry; 0 when not taken */
    double ticks_per_us;
    uint64_t ns_per_tick_q20;       /* nanoseconds per tick, times 2^20 */
    uint64_t units_per_tick_q20;    /* the same of event/exponential.h's unit */
    uint64_t slowlog_ticks;         /* options.slowlog_threshold_us; UINT64_MAX = off */
    bool expire_paused;             /* DEBUG SET-ACTIVE-EXPIRE 0 */
    bool purge_wanted;              /* MEMORY PURGE: the workers give free memory back */
    fe_device *device;              /* the data folder; NULL: memory only */
    fe_disk *disk;                  /* reads from it */
    fe_save_report found;           /* what was in it */
    bool is_claimed;                /* it has changed since (engine/keep.h) */
    fe_save_ready ready;            /* a stop is near (engine/keep.h) */
    struct fe_workers *workers;     /* background threads; NULL when not started */
    struct fe_flusher *flusher;     /* ... of a tiered store (engine/flusher.h) */
    struct fe_collector *collector; /* ... and engine/collector.h */
} fe_engine;

/* Opens an engine, and its data folder with all that is in it (engine/keep.h). No threads are
 * started. NULL with one line in `error`: the folder cannot be opened or what is in it is damaged, or
 * memory is exhausted. */
fe_engine *fe_engine_open(const fe_engine_options *options, char error[FE_ENGINE_ERROR_MAX]);
/* The same for whom the cause does not matter. */
fe_engine *fe_engine_new(const fe_engine_options *options);
void fe_engine_free(fe_engine *engine);

/* Disk reads that the store wants done, as many of `max` as the disk has places for; the lock is held. They are
 * given to fe_disk_start without it. */
FE_MUST_USE uint32_t fe_engine_take_reads(fe_engine *engine, fe_disk_read **reads, uint32_t max);

/* Waits for the disk reads in flight, whose sessions are gone. */
void fe_engine_finish_reads(fe_engine *engine);

/* Whether CLIENT PAUSE holds now; one whose time has come is forgotten. */
bool fe_engine_is_paused(fe_engine *engine);

void fe_engine_set_options(fe_engine *engine, const fe_engine_options *options);

/* A duration in nanoseconds; exact to a few parts in a million, up to half an hour. */
static inline uint64_t fe_engine_ticks_ns(const fe_engine *engine, uint64_t ticks)
{
    return (ticks * engine->ns_per_tick_q20) >> 20;
}

/* A duration in the unit of event/exponential.h; exact to a few parts in a million. */
static inline uint64_t fe_engine_ticks_units(const fe_engine *engine, uint64_t ticks)
{
    return (ticks * engine->units_per_tick_q20) >> 20;
}

/* Takes the lock, reads the clock once for the batch. Returns the ticks at entry, to be given to
 * fe_engine_leave. */
uint64_t fe_engine_enter(fe_engine *engine);
/* The same; also says when it began to wait: when it entered, if the lock was free. */
uint64_t fe_engine_enter_asking(fe_engine *engine, uint64_t *asked_ticks);
/* Returns the ticks at which it left. */
uint64_t fe_engine_leave(fe_engine *engine, fe_step_kind kind, uint64_t entered_ticks);

/* Slow path of fe_engine_note_latency. */
void fe_engine_add_latency(fe_engine *engine, fe_latency_event event, uint64_t ticks);

/* Tells the latency monitor what took `ticks`. */
static inline void fe_engine_note_latency(fe_engine *engine, fe_latency_event event, uint64_t ticks)
{
    if (FE_UNLIKELY(ticks >= engine->latency_ticks)) fe_engine_add_latency(engine, event, ticks);
}

/* Counts one error reply under its code ("ERR", "WRONGTYPE", ...): the first word of `line`. */
void fe_engine_count_error(fe_engine *engine, const char *line, size_t len);

/* Back to zero: CONFIG RESETSTAT. */
void fe_engine_reset_stats(fe_engine *engine);

#endif
