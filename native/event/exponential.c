/* See exponential.h. */
#include "event/exponential.h"

#include "base/assert.h"

const uint64_t fe_exponential_bounds[FE_EXPONENTIAL_STEPS + 1] = {
    0x8000000000000000, 0x82cd8698ac2ba1d8, 0x85aac367cc487b15, 0x88980e8092da8528,
    0x8b95c1e3ea8bd6e7, 0x8ea4398b45cd53c1, 0x91c3d373ab11c337, 0x94f4efa8fef70962,
    0x9837f0518db8a970, 0x9b8d39b9d54e5539, 0x9ef5326091a111ae, 0xa27043030c496819,
    0xa5fed6a9b15138eb, 0xa9a15ab4ea7c0ef9, 0xad583eea42a14ac7, 0xb123f581d2ac2590,
    0xb504f333f9de6485, 0xb8fbaf4762fb9eea, 0xbd08a39f580c36bf, 0xc12c4cca66709457,
    0xc5672a115506dade, 0xc9b9bd866e2f27a3, 0xce248c151f8480e4, 0xd2a81d91f12ae45b,
    0xd744fccad69d6af5, 0xdbfbb797daf23756, 0xe0ccdeec2a94e112, 0xe5b906e77c8348a9,
    0xeac0c6e7dd24392f, 0xefe4b99bdcdaf5cc, 0xf5257d152486cc2d, 0xfa83b2db722a033b,
    UINT64_MAX,
};

const uint8_t fe_exponential_steps[64] = {
    0,  0,  1,  2,  2,  3,  4,  4,  5,  6,  6,  7,  7,  8,  9,  9,  10, 10, 11, 12, 12, 13,
    13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 21, 22, 22, 23, 23,
    24, 24, 25, 25, 25, 26, 26, 27, 27, 27, 28, 28, 29, 29, 29, 30, 30, 30, 31, 31,
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
