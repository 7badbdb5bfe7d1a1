/* The histogram of durations. */
#include "base/histogram.h"

#include "tests/check.h"

/* The shortest duration of a bucket. */
static uint64_t floor_of(unsigned bucket)
{
    unsigned shift = bucket / FE_HISTOGRAM_STEPS;
    return (uint64_t)(FE_HISTOGRAM_STEPS + bucket % FE_HISTOGRAM_STEPS) << shift;
}

TEST(buckets_cover_the_range_without_gaps_and_grow_by_a_thirty_second)
{
    for (unsigned bucket = 0; bucket < FE_HISTOGRAM_BUCKETS; bucket++) {
        uint64_t least = floor_of(bucket), beyond = floor_of(bucket + 1);
        CHECK_INT(bucket, fe_histogram_bucket(least));
        CHECK_INT(bucket, fe_histogram_bucket(beyond - 1));
        CHECK((beyond - least) * 32 <= least);
    }
    CHECK_INT(0, fe_histogram_bucket(0));
    CHECK_INT(0, fe_histogram_bucket(31));
    CHECK_INT(FE_HISTOGRAM_BUCKETS - 1, fe_histogram_bucket(UINT64_MAX));
    CHECK_INT(UINT64_C(1) << 37, floor_of(FE_HISTOGRAM_BUCKETS));
}

TEST(powers_sum_up_their_buckets)
{
    static fe_histogram histogram;
    const uint64_t durations[] = {0, 40, 1023, 1024, 1500, 2047, 2048, UINT64_MAX};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
        fe_histogram_add(&histogram, durations[i]);

    CHECK_INT(2, fe_histogram_of_power(&histogram, 5));
    CHECK_INT(0, fe_histogram_of_power(&histogram, 6));
    CHECK_INT(1, fe_histogram_of_power(&histogram, 9));
    CHECK_INT(3, fe_histogram_of_power(&histogram, 10));
    CHECK_INT(1, fe_histogram_of_power(&histogram, 11));
    CHECK_INT(1, fe_histogram_of_power(&histogram, FE_HISTOGRAM_POWER_MAX));
}

int main(void)
{
    RUN(buckets_cover_the_range_without_gaps_and_grow_by_a_thirty_second);
    RUN(powers_sum_up_their_buckets);
    return check_done();
}
