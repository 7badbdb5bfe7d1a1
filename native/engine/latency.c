/* See latency.h. Each series is a ring: `next` is where the next sample goes, and the `count`
 * samples before it are kept. */
#include "engine/latency.h"

#include "base/assert.h"

const char *fe_latency_name(fe_latency_event event)
{
    static const char *const names[] = {
        [FE_LATENCY_COMMAND] = "command",
        [FE_LATENCY_FAST_COMMAND] = "fast-command",
        [FE_LATENCY_INDEX_CYCLE] = "index-cycle",
        [FE_LATENCY_EXPIRE_CYCLE] = "expire-cycle",
        [FE_LATENCY_COMPACT_CYCLE] = "compact-cycle",
    };
    FE_ASSERT(event < FE_LATENCY_EVENT_COUNT);
    return names[event];
}

void fe_latency_add(fe_latency *latency, fe_latency_event event, int64_t unix_seconds, uint64_t ms)
{
    FE_ASSERT(event < FE_LATENCY_EVENT_COUNT);
    fe_latency_series *series = &latency->series[event];
    if (ms > series->worst_ms) series->worst_ms = ms;
    if (series->count > 0) {
        uint32_t newest = (series->next + FE_LATENCY_SAMPLES - 1) % FE_LATENCY_SAMPLES;
        fe_latency_sample *sample = &series->samples[newest];
        if (sample->unix_seconds == unix_seconds) {
            if (ms > sample->ms)
                *sample = (fe_latency_sample){.unix_seconds = unix_seconds, .ms = ms};
            return;
        }
    }
    series->samples[series->next] = (fe_latency_sample){.unix_seconds = unix_seconds, .ms = ms};
    series->next = (series->next + 1) % FE_LATENCY_SAMPLES;
    if (series->count < FE_LATENCY_SAMPLES) series->count++;
}

void fe_latency_label(fe_latency *latency, fe_latency_event event, int64_t unix_seconds,
                      uint64_t ms, const fe_trace_label *label)
{
    FE_ASSERT(event < FE_LATENCY_EVENT_COUNT);
    fe_latency_series *series = &latency->series[event];
    for (uint32_t n = 1; n <= series->count; n++) {
        uint32_t index = (series->next + FE_LATENCY_SAMPLES - n) % FE_LATENCY_SAMPLES;
        fe_latency_sample *sample = &series->samples[index];
        if (sample->unix_seconds != unix_seconds) continue;
        if (sample->ms == ms && !sample->label.is_timed) sample->label = *label;
        return;
    }
}

const fe_latency_sample *fe_latency_get(const fe_latency_series *series, uint32_t n)
{
    FE_ASSERT(n < series->count);
    uint32_t oldest = series->next + FE_LATENCY_SAMPLES - series->count;
    return &series->samples[(oldest + n) % FE_LATENCY_SAMPLES];
}

fe_latency_summary fe_latency_sum_up(const fe_latency_series *series, int64_t now_seconds)
{
    FE_ASSERT(series->count > 0);
    fe_latency_summary sum = {.low_ms = UINT64_MAX};
    uint64_t total = 0, distance = 0;
    for (uint32_t i = 0; i < series->count; i++) {
        uint64_t ms = fe_latency_get(series, i)->ms;
        if (ms < sum.low_ms) sum.low_ms = ms;
        if (ms > sum.high_ms) sum.high_ms = ms;
        total += ms;
    }
    sum.average_ms = total / series->count;
    for (uint32_t i = 0; i < series->count; i++) {
        uint64_t ms = fe_latency_get(series, i)->ms;
        distance += ms > sum.average_ms ? ms - sum.average_ms : sum.average_ms - ms;
    }
    sum.deviation_ms = distance / series->count;
    int64_t span = now_seconds - fe_latency_get(series, 0)->unix_seconds;
    sum.period_seconds = (double)(span > 0 ? span : 1) / (double)series->count;
    return sum;
}

void fe_latency_reset(fe_latency *latency, fe_latency_event event)
{
    FE_ASSERT(event < FE_LATENCY_EVENT_COUNT);
    latency->series[event] = (fe_latency_series){0};
}
