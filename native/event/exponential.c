/* See exponential.h. */
#include "event/exponential.h"

const uint64_t fe_exponential_bounds[FE_EXPONENTIAL_STEPS] = {
    0x8000000000000000, 0x8b95c1e3ea8bd6e7, 0x9837f0518db8a970, 0xa5fed6a9b15138eb,
    0xb504f333f9de6485, 0xc5672a115506dade, 0xd744fccad69d6af5, 0xeac0c6e7dd24392f,
};

const uint8_t fe_exponential_steps[16] = {0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7};

uint64_t fe_exponential_count(const fe_exponential *histogram)
{
    uint64_t sum = histogram->zero;
    for (unsigned i = 0; i < FE_EXPONENTIAL_BUCKETS; i++)
        sum += histogram->counts[i];
    return sum;
}

void fe_exponential_merge(fe_exponential *histogram, const fe_exponential *other)
{
    histogram->sum += other->sum;
    histogram->zero += other->zero;
    for (unsigned i = 0; i < FE_EXPONENTIAL_BUCKETS; i++)
        histogram->counts[i] += other->counts[i];
}
