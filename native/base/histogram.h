/* Durations, counted log-linearly: each power of two of nanoseconds from 2^5 to 2^36
 * (69 s) has 32 buckets of equal width, so a bucket is at most 1/32 of its value wide. What is
 * shorter counts in the first bucket, what is longer in the last. */
#ifndef FE_BASE_HISTOGRAM_H
#define FE_BASE_HISTOGRAM_H

#include <stdint.h>

#define FE_HISTOGRAM_POWER_MIN 5u
#define FE_HISTOGRAM_POWER_MAX 36u
#define FE_HISTOGRAM_STEPS 32u /* buckets of one power */
#define FE_HISTOGRAM_BUCKETS                                                                       \
    ((FE_HISTOGRAM_POWER_MAX - FE_HISTOGRAM_POWER_MIN + 1u) * FE_HISTOGRAM_STEPS)

typedef struct fe_histogram {
    uint64_t counts[FE_HISTOGRAM_BUCKETS];
} fe_histogram;

/* The bucket of a duration. */
static inline unsigned fe_histogram_bucket(uint64_t ns)
{
    if (ns < FE_HISTOGRAM_STEPS) ns = FE_HISTOGRAM_STEPS;
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    if (power > FE_HISTOGRAM_POWER_MAX) return FE_HISTOGRAM_BUCKETS - 1;
    unsigned shift = power - FE_HISTOGRAM_POWER_MIN;
    return shift * FE_HISTOGRAM_STEPS + (unsigned)((ns >> shift) - FE_HISTOGRAM_STEPS);
}

static inline void fe_histogram_add(fe_histogram *histogram, uint64_t ns)
{
    histogram->counts[fe_histogram_bucket(ns)]++;
}

/* How many durations have this power of two as their highest; at the ends of the range also what is
 * shorter or longer. */
uint64_t fe_histogram_of_power(const fe_histogram *histogram, unsigned power);

#endif
