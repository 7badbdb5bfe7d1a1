/* See histogram.h. */
#include "base/histogram.h"

#include "base/assert.h"

uint64_t fe_histogram_of_power(const fe_histogram *histogram, unsigned power)
{
    FE_ASSERT(power >= FE_HISTOGRAM_POWER_MIN && power <= FE_HISTOGRAM_POWER_MAX);
    const uint64_t *first =
        histogram->counts + (power - FE_HISTOGRAM_POWER_MIN) * FE_HISTOGRAM_STEPS;
    uint64_t sum = 0;
    for (unsigned i = 0; i < FE_HISTOGRAM_STEPS; i++)
        sum += first[i];
    return sum;
}
