/* Which commands are kept: at their start, as OpenTelemetry's samplers decide, and at their end, by what
 * became of them.
 *
 * A ratio keeps a trace when the low 64 bits of its id, as a number, are below ratio * 2^64: what
 * TraceIdRatioBased of the Python SDK does, so that servers and clients with the same ratio keep the
 * same traces. As a threshold of consistent sampling (tracestate `ot=th:`), the randomness is then the
 * complement of the upper 56 of those 64 bits (`rv:`), see fe_sampler_randomness.
 */
#ifndef FE_EVENT_SAMPLER_H
#define FE_EVENT_SAMPLER_H

#include "event/context.h"

typedef enum fe_sampler_kind {
    FE_SAMPLER_NEVER,
    FE_SAMPLER_ALWAYS,
    FE_SAMPLER_RATIO
} fe_sampler_kind;

typedef struct fe_sampler {
    fe_sampler_kind kind;
    bool parent_based; /* a caller's flag decides for the traces that it began */
    uint64_t bound;    /* RATIO: kept when the low 64 bits are below */
} fe_sampler;

/* A ratio of 0 and less, or too small to tell from it, is NEVER; of 1 and more ALWAYS. Not parent-based. */
fe_sampler fe_sampler_ratio(double ratio);

/* The low 64 bits of a trace id. */
static inline uint64_t fe_sampler_low(const uint8_t trace_id[16])
{
    uint64_t low = 0;
    for (int i = 8; i < 16; i++)
        low = low << 8 | trace_id[i];
    return low;
}

/* What the sampler says of a trace id without a look at its caller. */
static inline bool fe_sampler_takes(const fe_sampler *sampler, uint64_t low)
{
    if (sampler->kind == FE_SAMPLER_RATIO) return low < sampler->bound;
    return sampler->kind == FE_SAMPLER_ALWAYS;
}

/* Whether a command is sampled at its start. `parent`: its caller, or NULL for a trace that begins here. */
static inline bool fe_sampler_decide(const fe_sampler *sampler, const fe_trace_parent *parent,
                                     uint64_t low)
{
    if (parent != NULL && sampler->parent_based) return (parent->flags & FE_PARENT_SAMPLED) != 0;
    return fe_sampler_takes(sampler, low);
}

/* The 56-bit rejection threshold of a sampler: a trace is kept when its randomness is not below; 0 keeps
 * all. 2^56 for NEVER. */
uint64_t fe_sampler_threshold(const fe_sampler *sampler);
uint64_t fe_sampler_randomness(uint64_t low);

/* Whether a trace says by which threshold it was sampled: by a ratio. (That all are kept goes without saying.) */
static inline bool fe_sampler_is_told(const fe_sampler *sampler)
{
    return sampler->kind == FE_SAMPLER_RATIO && fe_sampler_threshold(sampler) < 1ULL << 56;
}

#define FE_SAMPLER_STATE_MAX 38u

/* The tracestate of a trace that was sampled by a threshold: "ot=th:<threshold>;rv:<randomness>". `rv` has to be
 * there, because the randomness is not the low 56 bits of the trace id. Returns the bytes written. */
size_t fe_sampler_state(char out[FE_SAMPLER_STATE_MAX], uint64_t threshold, uint64_t low);

/* Tail retention. ------------------------------------------------------------------------------- */

typedef struct fe_retention {
    bool errors; /* every command that failed or was refused */
    bool disk;   /* every command that read from disk */
    int64_t
        slow_us; /* every command that took at least this long, from its arrival; negative: none */
    fe_sampler rest; /* of all others, by the trace id; parent_based is not looked at */
    bool unsampled;  /* also of traces that their caller did not sample */
    uint32_t
        rate_max; /* of what rules keep though not sampled, a second; 0 = no limit. Not of `rest` */
} fe_retention;

/* What is known at the end of a command. */
typedef struct fe_ending {
    bool failed, disk;
    uint64_t ticks; /* from fe_draft_arrived to its end */
} fe_ending;

/* A cap of so many a second, as a bucket that fills with time. */
typedef struct fe_rate {
    uint64_t ticks_each; /* for one more; 0: no limit */
    uint64_t paid_ticks; /* when all that was taken is paid for */
} fe_rate;

fe_rate fe_rate_of(uint32_t per_second, double ticks_per_us);
/* Takes one, unless as many were taken within the last second. */
bool fe_rate_take(fe_rate *rate, uint64_t now_ticks, double ticks_per_us);

/* Whether any rule could keep a command that was not sampled; `caller_declined`: its caller sampled it not. */
static inline bool fe_retention_may_keep(const fe_retention *retention, bool caller_declined)
{
    if (caller_declined && !retention->unsampled) return false;
    return retention->errors || retention->disk || retention->slow_us >= 0 ||
           retention->rest.kind != FE_SAMPLER_NEVER;
}

/* Whether a rule holds for how a command ended; `slow_ticks` is slow_us in ticks, UINT64_MAX = none. */
static inline bool fe_retention_keeps(const fe_retention *retention, const fe_ending *ending,
                                      uint64_t slow_ticks)
{
    return (retention->errors && ending->failed) || (retention->disk && ending->disk) ||
           ending->ticks >= slow_ticks;
}

#endif
