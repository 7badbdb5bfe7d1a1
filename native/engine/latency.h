/* The latency monitor: the recent times at which something held up the server for longer than a
 * threshold (latency-monitor-threshold), by kind of event. The engine's lock guards it. */
#ifndef FE_ENGINE_LATENCY_H
#define FE_ENGINE_LATENCY_H

#include "event/recorder.h"

#define FE_LATENCY_SAMPLES 160 /* per event; older ones are forgotten */

typedef enum fe_latency_event {
    FE_LATENCY_COMMAND,
    FE_LATENCY_FAST_COMMAND, /* a command that is flagged fast */
    FE_LATENCY_INDEX_CYCLE,  /* a step of the background work */
    FE_LATENCY_EXPIRE_CYCLE,
    FE_LATENCY_COMPACT_CYCLE,
    FE_LATENCY_EVENT_COUNT
} fe_latency_event;

/* The worst of one second. */
typedef struct fe_latency_sample {
    int64_t unix_seconds; /* 0: none */
    uint64_t ms;
    fe_trace_label label; /* of the command that took so long */
} fe_latency_sample;

typedef struct fe_latency_series {
    fe_latency_sample samples[FE_LATENCY_SAMPLES]; /* a ring */
    uint32_t next;                                 /* where the next sample goes */
    uint32_t count;
    uint64_t worst_ms; /* since the last reset */
} fe_latency_series;

typedef struct fe_latency {
    fe_latency_series series[FE_LATENCY_EVENT_COUNT];
} fe_latency;

/* What the samples of a series amount to. */
typedef struct fe_latency_summary {
    uint64_t low_ms, high_ms; /* of the samples kept */
    uint64_t average_ms;
    uint64_t deviation_ms; /* mean distance from the average */
    double period_seconds; /* between samples, on average, until now */
} fe_latency_summary;

/* The name that LATENCY knows the event by. */
const char *fe_latency_name(fe_latency_event event);

/* Adds a sample; those of the same second become one, the worst of them. */
void fe_latency_add(fe_latency *latency, fe_latency_event event, int64_t unix_seconds, uint64_t ms);

/* Says which command the sample of this second is about, if it is still there with `ms` and nobody has said
 * so. */
void fe_latency_label(fe_latency *latency, fe_latency_event event, int64_t unix_seconds,
                      uint64_t ms, const fe_trace_label *label);

/* The n-th oldest sample (0 = oldest), n < count. */
const fe_latency_sample *fe_latency_get(const fe_latency_series *series, uint32_t n);

/* Sums up a series that has samples. */
fe_latency_summary fe_latency_sum_up(const fe_latency_series *series, int64_t now_seconds);

/* Forgets the samples of one event. */
void fe_latency_reset(fe_latency *latency, fe_latency_event event);

#endif
