/* See exponential.h. */
#include "event/exponential.h"

#include "base/assert.h"

const uint64_t fe_exponential_steps[64] = {
    0x0000000000000000, 0x000fa64f2cea7a8b, 0x001f4aa7930676f0, 0x0020000000000000,
    0x002eecfe2feda4af, 0x003e8d47c382ae85, 0x0040000000000000, 0x004e2b78ce974655,
    0x005dc785918a9dc7, 0x0060000000000000, 0x006d61620ae0211e, 0x0070000000000000,
    0x007cf901f5ce48ea, 0x008c8e58c8c55635, 0x0090000000000000, 0x009c2159b3edcbdd,
    0x00a0000000000000, 0x00abb1f79f9e76d2, 0x00bb40252ac9d5d8, 0x00c0000000000000,
    0x00cacbd4a962b07e, 0x00d0000000000000, 0x00da54f822b7abd6, 0x00e0000000000000,
    0x00e9db814fc5aa7b, 0x00f0000000000000, 0x00f95f619980c433, 0x0100000000000000,
    0x0108e08a1713a08c, 0x0110000000000000, 0x01185eeb8c14fe79, 0x0120000000000000,
    0x0127da7666b331ed, 0x0130000000000000, 0x0137531abdd55f24, 0x0140000000000000,
    0x0146c8c84f323a1b, 0x0150000000000000, 0x0150000000000000, 0x01563b6e7d5c0f6f,
    0x0160000000000000, 0x0165aafc4dc1daa3, 0x0170000000000000, 0x0175176066a52c52,
    0x0180000000000000, 0x018480890d04a1b9, 0x0190000000000000, 0x0190000000000000,
    0x0193e664227aad63, 0x01a0000000000000, 0x01a348df23106f96, 0x01b0000000000000,
    0x01b0000000000000, 0x01b2a7e723045b78, 0x01c0000000000000, 0x01c20368cc8464a1,
    0x01d0000000000000, 0x01d0000000000000, 0x01d15b505d5b6f26, 0x01e0000000000000,
    0x01e0000000000000, 0x01e0af89a491babf, 0x01f0000000000000, 0x01f0000000000000,
};

uint64_t fe_exponential_count(const fe_exponential *histogram)
{
    return fe_exponential_count_below(histogram, FE_EXPONENTIAL_BUCKETS);
}

uint64_t fe_exponential_count_below(const fe_exponential *histogram, unsigned bucket)
{
    FE_ASSERT(bucket <= FE_EXPONENTIAL_BUCKETS);
    uint64_t sum = histogram->zero;
    for (unsigned i = 0; i < bucket; i++)
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
