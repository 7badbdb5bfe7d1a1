/* The recorder of one serving thread: what is known of the command that it runs, and the ring that
 * finished commands go to; and the register of all recorders.
 *
 * A draft is opened when a command begins and is kept to its end, with the session when the command has
 * to wait. It is not opened for a command that no sampler and no rule of retention could keep. When a
 * command ends, fe_recorder_keep decides and gives it ids, and fe_recorder_make makes the record. The transport
 * stamps it when the reply was sent, and publishes once a round.
 *
 * Threads: a recorder belongs to the thread that serves; options, and whether a recorder is on, change
 * under the engine's lock, as does the register. One thread reads the rings (fe_span_collector_take of
 * event/collect.h; of tests and benches fe_telemetry_drain); it takes no lock. Recorders live as long as the engine, so what a thread has left behind can still be read.
 */
#ifndef FE_EVENT_RECORDER_H
#define FE_EVENT_RECORDER_H

#include "base/random.h"
#include "event/ring.h"
#include "event/sampler.h"
#include "event/stages.h"
#include "event/texts.h"

#define FE_BAGGAGE_ALLOWED_MAX 1023u
#define FE_PLACE_MAX 128u        /* bytes of a listening address */
#define FE_BAGGAGE_KEPT_MAX 512u /* bytes of one command's baggage */

typedef enum fe_telemetry_keys {
    FE_KEYS_OFF,
    FE_KEYS_PATTERN,
    FE_KEYS_HASHED, /* by the server's keyed hash, another one after each start */
    FE_KEYS_FULL    /* the first FE_TEXT_KEY_MAX bytes */
} fe_telemetry_keys;

typedef struct fe_telemetry_options {
    bool traces; /* commands are recorded */
    fe_sampler sampler;
    fe_retention retention;
    fe_telemetry_keys keys;
    bool ignores_callers; /* whoever a request names: every trace begins here */
    bool names_place;     /* what came to another address than `place` says which */
    uint32_t place_len;
    uint8_t place[FE_PLACE_MAX];  /* as clients' `laddr`; empty: any is another */
    uint32_t connection_rate_max; /* spans of connections a second; 0: none */
    uint64_t ring_bytes; /* of each serving thread; what a ring has when it is first used stays */
    uint32_t baggage_len;
    uint8_t
        baggage[FE_BAGGAGE_ALLOWED_MAX + 1]; /* names of members to record, separated by commas */
} fe_telemetry_options;

/* A caller with what came along, owned: for commands that outlive the bytes of their request. */
typedef struct fe_trace_mark {
    fe_trace_parent parent;
    uint32_t state_len, baggage_len;
    uint8_t text[]; /* tracestate, then baggage */
} fe_trace_mark;

/* Copies a caller. NULL when memory is exhausted. Freed with fe_alloc_give(FE_ALLOC_CLIENT). */
fe_trace_mark *fe_trace_mark_new(fe_alloc *alloc, const fe_trace_parent *parent, fe_bytes state,
                                 fe_bytes baggage);

static inline size_t fe_trace_mark_size(const fe_trace_mark *mark)
{
    return sizeof *mark + mark->state_len + mark->baggage_len;
}

/* What an entry of a log says about the command that it is about. */
typedef struct fe_trace_label {
    uint8_t trace_id[16];
    uint64_t span_id; /* 0: the command has no span */
    bool is_timed;    /* the times below are known ... */
    bool is_located;  /* ... and located_us too: only of what is SAMPLED, and looked a key up */
    uint32_t queued_us, located_us,
        took_us;        /* to its turn; from there to its last key, and to its end */
    uint32_t waited_us; /* of took_us: parked */
} fe_trace_label;

/* A command that has begun. Times are ticks. */
typedef struct fe_draft {
    bool open;
    bool caller_declined; /* it has a caller, who did not sample it */
    bool keep;            /* a command that it is the parent of was kept: so must it be */
    bool held;            /* a rule of retention holds for it, or for such a command */
    bool thin;            /* fe_recorder_begin_thin has begun it, and it was not completed since */
    uint16_t flags;       /* of the record, as far as they are known */
    uint16_t batch_index, batch_size;
    uint16_t disk_reads;
    uint16_t command; /* its number */
    uint16_t db;      /* when it began */
    uint8_t latency;  /* the event that the latency monitor counted it under, + 1; 0: none */
    bool inherited;   /* the caller is that of the whole transaction */
    uint32_t argc;
    uint32_t request_bytes;
    uint64_t start, received, parsed, begun;
    uint64_t located; /* 0: no key was looked up */
    uint64_t waited;  /* in all */
    uint64_t parked;  /* when it was parked; 0: it is not */
    uint64_t low;     /* the low 64 bits of the trace id, which decide about ratios */
    uint64_t
        threshold; /* by which a trace that begins here is kept, if no rule holds; 0: not by ratio */
    uint64_t span_id;        /* 0: it has none yet */
    fe_trace_parent parent;  /* span_id 0: none; the trace id is set when either span id is */
    fe_bytes state, baggage; /* of the request, or of `mark` */
    fe_trace_mark *mark;     /* owned, or NULL */
    uint64_t replied;        /* of EXEC: bytes of replies before its own */
    uint64_t latency_ms;     /* with `latency`: what it was counted with */
    int64_t latency_seconds; /* ... and when, Unix time */
    uint64_t slow_id;        /* of its entry in the slow log, + 1; 0: none */
} fe_draft;

/* From when its caller has waited for the command: its bytes were readable. What EXEC runs has been waited for as
 * a part of EXEC. */
static inline uint64_t fe_draft_arrived(const fe_draft *draft)
{
    return draft->flags & FE_TRACE_IN_EXEC ? draft->begun : draft->start;
}

struct fe_telemetry;

typedef struct fe_recorder {
    struct fe_recorder *next;
    struct fe_telemetry *telemetry;
    _Atomic bool is_on;    /* there is a ring, and commands are recorded */
    _Atomic bool has_ring; /* once there is one it stays */
    fe_stages stages;      /* measured whether or not commands are recorded */
    fe_event_ring ring;
    fe_random random;
    uint64_t drawn;    /* the low half of a trace id that begins here; 0: none is drawn */
    uint64_t readable; /* ticks: when the bytes of this round were */
    uint64_t
        received; /* ... when the batch began to be read: all of its group's had been received, and
                            the batches before it were over */
    uint64_t parsed;     /* ... when it had been read, and the engine's lock was asked for */
    uint64_t settled;    /* ... and was left last */
    uint64_t before[12]; /* counters when the command that runs began; the session knows which */
    fe_draft draft;      /* of that command */
    fe_texts texts;      /* ... its tail */
    uint8_t tail[FE_TRACE_TAIL_MAX];
} fe_recorder;

typedef struct fe_telemetry {
    fe_alloc *alloc;
    double ticks_per_us;
    fe_telemetry_options options;
    bool may_retain;     /* a rule of retention could keep a trace that begins here */
    uint64_t slow_ticks; /* options.retention.slow_us; UINT64_MAX = none */
    /* Thresholds where they are of ratios, else 0: of traces that are kept, sampled or of the rest; and of what is
     * kept only if it was sampled. */
    uint64_t threshold, threshold_sampled;
    fe_rate rate;              /* of what is kept though not sampled */
    _Atomic uint64_t declined; /* commands that a rule held for and the rate did not let pass */
    _Atomic(fe_recorder *) recorders; /* newest first; only ever added to */
} fe_telemetry;

void fe_telemetry_init(fe_telemetry *telemetry, fe_alloc *alloc, double ticks_per_us);
/* No thread serves or drains any more. */
void fe_telemetry_destroy(fe_telemetry *telemetry);

/* Sets the options, makes the rings that are missing. False when memory is exhausted: recorders without a
 * ring stay off. The engine's lock is held. */
FE_MUST_USE bool fe_telemetry_set(fe_telemetry *telemetry, const fe_telemetry_options *options);

/* Makes the recorder of a serving thread. NULL when memory is exhausted. The engine's lock is held. */
fe_recorder *fe_recorder_new(fe_telemetry *telemetry);

/* Whether commands are to be recorded; the recorder's own thread, with or without the lock. */
static inline bool fe_recorder_is_on(const fe_recorder *recorder)
{
    return recorder != NULL && atomic_load_explicit(&recorder->is_on, memory_order_relaxed);
}

typedef enum fe_drawn {
    FE_DRAWN_NONE,   /* nothing could keep the trace; the draft is closed and empty */
    FE_DRAWN_RULE,   /* only a rule of retention could, by how the command ends */
    FE_DRAWN_SAMPLED /* it is sampled */
} fe_drawn;

/* Draws the low half of the next trace id that begins here, which fe_recorder_begin then takes. */
static inline fe_drawn fe_recorder_draw(fe_recorder *recorder, fe_draft *draft)
{
    const fe_telemetry *telemetry = recorder->telemetry;
    recorder->drawn = fe_random_next(&recorder->random);
    if (fe_sampler_takes(&telemetry->options.sampler, recorder->drawn)) return FE_DRAWN_SAMPLED;
    if (FE_LIKELY(telemetry->may_retain)) return FE_DRAWN_RULE;
    draft->open = draft->inherited = false;
    draft->flags = 0;
    draft->mark = NULL;
    return FE_DRAWN_NONE;
}

/* Begins a draft of the trace that was just drawn. The engine's lock is held. */
static inline void fe_recorder_begin_drawn(fe_recorder *recorder, fe_draft *draft)
{
    const fe_telemetry *telemetry = recorder->telemetry;
    bool sampled = fe_sampler_takes(&telemetry->options.sampler, recorder->drawn);
    draft->low = recorder->drawn;
    recorder->drawn = 0;
    draft->threshold = telemetry->threshold;
    draft->flags = sampled ? FE_TRACE_SAMPLED : 0;
    draft->span_id = 0;
    draft->parent.span_id = 0;
    draft->caller_declined = false;
    draft->open = true;
}

/* The same for one that is not sampled: what is not needed to find it unwanted is left for
 * fe_recorder_complete. */
static inline void fe_recorder_begin_thin(fe_recorder *recorder, fe_draft *draft)
{
    draft->open = draft->thin = true;
    draft->keep = draft->inherited = false;
    draft->flags = 0;
    draft->latency = 0;
    draft->slow_id = 0;
    draft->low = recorder->drawn;
    draft->mark = NULL;
    recorder->drawn = 0;
}

/* Whether the command that ends without an error is one that nothing keeps, as are nearly all that were not
 * sampled; fe_recorder_keep would say the same, and takes longer. */
static inline bool fe_recorder_is_unwanted(const fe_recorder *recorder, const fe_draft *draft,
                                           uint64_t ended)
{
    const fe_telemetry *telemetry = recorder->telemetry;
    const uint16_t wanted = FE_TRACE_SAMPLED | FE_TRACE_DISK | FE_TRACE_IN_EXEC;
    if ((draft->flags & wanted) != 0 || draft->keep) return false;
    uint64_t ticks = ended > draft->start ? ended - draft->start : 0;
    return ticks < telemetry->slow_ticks &&
           !fe_sampler_takes(&telemetry->options.retention.rest, draft->low);
}

/* Gives a thin draft what a trace that begins here has in common with all others; the times, the command and
 * its place are the caller's. */
void fe_recorder_complete(const fe_recorder *recorder, fe_draft *draft);

/* Begins a draft whose times are set by the caller. `parent`: NULL for a trace that begins here. False, and the
 * draft is closed: nothing could keep it. The engine's lock is held. */
bool fe_recorder_begin(fe_recorder *recorder, fe_draft *draft, const fe_trace_parent *parent);

/* Gives a draft another caller before it ends. */
void fe_recorder_adopt(fe_recorder *recorder, fe_draft *draft, const fe_trace_parent *parent);

/* Gives a draft its span id, and its trace id, if it has none yet. */
void fe_recorder_name(fe_recorder *recorder, fe_draft *draft);

/* Whether the command is to be recorded, now that it has ended; sets its flags and ids, and `held`: then
 * its threshold is cleared, as it is kept whatever the ratio is. */
bool fe_recorder_keep(fe_recorder *recorder, fe_draft *draft, const fe_ending *ending);

/* Makes the record of a draft that is to be kept, with the texts of recorder->texts as its tail; ids, times up
 * to `ended` and flags are filled in, all else is zero. NULL: the ring is full, which is counted. */
fe_trace_record *fe_recorder_make(fe_recorder *recorder, const fe_draft *draft, uint64_t ended);

/* Stamps the records from one position of the ring to another, of one session and one round, as sent now;
 * `commands` were read at once. Those already published are left alone. */
void fe_recorder_stamp(fe_recorder *recorder, uint64_t from, uint64_t to, uint32_t commands,
                       uint64_t now);

/* A record's stage as ticks since its start, and its setting. */
static inline uint64_t fe_trace_stage_ticks(const fe_trace_record *record, fe_trace_stage stage)
{
    return (uint64_t)record->stages[stage] << record->shift;
}
void fe_trace_stage_set(fe_trace_record *record, fe_trace_stage stage, uint64_t ticks);

/* Reads all rings: `take` is given each run of whole published records, pads among them. One thread at
 * a time. */
typedef void fe_telemetry_taker(void *context, const uint8_t *records, size_t len);
void fe_telemetry_drain(fe_telemetry *telemetry, fe_telemetry_taker *take, void *context);

typedef struct fe_telemetry_counts {
    uint64_t records;  /* made */
    uint64_t dropped;  /* for want of room */
    uint64_t declined; /* a rule held for them, and the rate did not let them pass */
    uint64_t waiting;  /* bytes to be drained */
    uint64_t size;     /* bytes of all rings */
} fe_telemetry_counts;
/* Any thread, at any time while the engine lives. */
void fe_telemetry_count(const fe_telemetry *telemetry, fe_telemetry_counts *counts);

/* Whether the ring of a thread is half full: it is time to drain. Any thread, as above. */
bool fe_telemetry_is_pressed(const fe_telemetry *telemetry);

#endif
