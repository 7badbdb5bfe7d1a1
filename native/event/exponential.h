/* Durations, counted as an exponential histogram of OpenTelemetry (base 2, scale 5) counts them: each
 * power of two of seconds has 32 buckets whose bounds grow by the same factor, so a bucket is 2.2 %
 * wide. The buckets are OTLP's own: nothing is moved, rounded or guessed when they are exported, and
 * 2^n of them that lie together are one of the scale that is n lower.
 *
 * The unit is 2^-30 s (0.93 ns), of which powers of two are powers of two of seconds:
 *
 *     zero      bucket 0                          bucket 1247           longer ones count there too
 *     [0, 8)    [8, 8.18)   [8.18, 8.35)  ...     [2^42 / 1.022, 2^42)  2^42 units = 4096 s
 *
 * A whole number of units stands for what a clock has cut off: it is longer than what it says. So a
 * bucket here begins with its lower bound, and OTLP's, which begins just above, holds the same.
 *
 * Threads: whoever owns a histogram guards it.
 */
#ifndef FE_EVENT_EXPONENTIAL_H
#define FE_EVENT_EXPONENTIAL_H

#include "base/assert.h"

#include <stdint.h>
#include <string.h>

#define FE_EXPONENTIAL_SCALE 5u
#define FE_EXPONENTIAL_STEPS 32u      /* buckets of one power: 2^scale */
#define FE_EXPONENTIAL_UNIT_POWER 30u /* units of a second: 2^30 */
#define FE_EXPONENTIAL_POWER_MIN 3u
#define FE_EXPONENTIAL_POWER_MAX 42u
#define FE_EXPONENTIAL_BUCKETS                                                                     \
    ((FE_EXPONENTIAL_POWER_MAX - FE_EXPONENTIAL_POWER_MIN) * FE_EXPONENTIAL_STEPS)
/* OTLP's index of bucket 0. */
#define FE_EXPONENTIAL_OFFSET                                                                      \
    (((int)FE_EXPONENTIAL_POWER_MIN - (int)FE_EXPONENTIAL_UNIT_POWER) * (int)FE_EXPONENTIAL_STEPS)

/* 10 KB. */
typedef struct fe_exponential {
    uint64_t sum;  /* units */
    uint64_t zero; /* shorter than 2^POWER_MIN units */
    uint64_t counts[FE_EXPONENTIAL_BUCKETS];
} fe_exponential;

/* By the 64th of a power in which a duration lies, none of which holds two bounds: what is to be added to the 52 bits
 * that follow the duration's first one, so that what is carried beyond them is the step. Where bound n of a power,
 * as such bits rounded up, is inside, that is n * 2^52 less the bound; else the step times 2^52. */
extern const uint64_t fe_exponential_steps[64];

/* The bucket of a duration that is not shorter than 2^POWER_MIN units. A double holds its power, and the bits that
 * follow the first one: all of them, below 2^53. */
static inline unsigned fe_exponential_bucket(uint64_t units)
{
    if (FE_UNLIKELY(units >> FE_EXPONENTIAL_POWER_MAX != 0)) return FE_EXPONENTIAL_BUCKETS - 1;
    double exact = (double)(int64_t)units;
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    uint64_t rest = bits & ((UINT64_C(1) << 52) - 1);
    uint64_t step = (rest + fe_exponential_steps[rest >> 46]) >> 52;
    unsigned power = (unsigned)(bits >> 52) - 1023u;
    return (power - FE_EXPONENTIAL_POWER_MIN) * FE_EXPONENTIAL_STEPS + (unsigned)step;
}

/* Counts the same duration `times` times. */
static inline void fe_exponential_add_many(fe_exponential *histogram, uint64_t units,
                                           uint64_t times)
{
    histogram->sum += units * times;
    if (units >> FE_EXPONENTIAL_POWER_MIN == 0)
        histogram->zero += times;
    else
        histogram->counts[fe_exponential_bucket(units)] += times;
}

static inline void fe_exponential_add(fe_exponential *histogram, uint64_t units)
{
    fe_exponential_add_many(histogram, units, 1);
}

/* Adds all that another has counted. */
void fe_exponential_merge(fe_exponential *histogram, const fe_exponential *other);

/* Nanoseconds in units; right to seven digits, up to four hours. */
static inline uint64_t fe_exponential_of_ns(uint64_t ns)
{
    return (ns * 1125900u) >> 20; /* 2^50 / 10^9 */
}

/* How many durations were counted. */
uint64_t fe_exponential_count(const fe_exponential *histogram);

/* How many of them in the buckets before one, those that count as zero too. */
uint64_t fe_exponential_count_below(const fe_exponential *histogram, unsigned bucket);

#endif
