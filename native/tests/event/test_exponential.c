/* The exponential histogram of durations. */
#include "event/exponential.h"

#include "base/random.h"
#include "tests/check.h"

#include <math.h>

/* The bucket by the definition: floor(log2(seconds) * 2^scale), counted from bucket 0. */
static int by_definition(uint64_t units)
{
    long double power = log2l((long double)units) - FE_EXPONENTIAL_UNIT_POWER;
    return (int)floorl(power * FE_EXPONENTIAL_STEPS) - FE_EXPONENTIAL_OFFSET;
}

TEST(buckets_are_those_of_the_definition)
{
    fe_random random;
    fe_random_init(&random, 7);
    for (int i = 0; i < 2000000; i++) {
        uint64_t units = fe_random_next(&random) >> (22 + fe_random_next(&random) % 38);
        if (units < 1u << FE_EXPONENTIAL_POWER_MIN) continue;
        int expected = by_definition(units);
        if ((unsigned)expected != fe_exponential_bucket(units))
            CHECK_INT(expected, fe_exponential_bucket(units));
    }
}

TEST(each_bound_belongs_to_the_bucket_that_it_begins)
{
    for (unsigned power = FE_EXPONENTIAL_POWER_MIN; power < FE_EXPONENTIAL_POWER_MAX; power++) {
        for (unsigned step = 0; step < FE_EXPONENTIAL_STEPS; step++) {
            long double bound =
                exp2l((long double)power + step / (long double)FE_EXPONENTIAL_STEPS);
            uint64_t first = (uint64_t)ceill(bound);
            CHECK_INT(by_definition(first), fe_exponential_bucket(first));
            if (first - 1 >= 1u << FE_EXPONENTIAL_POWER_MIN)
                CHECK_INT(by_definition(first - 1), fe_exponential_bucket(first - 1));
        }
    }
}

TEST(nanoseconds_become_units)
{
    CHECK_INT(0, fe_exponential_of_ns(0));
    CHECK(llabs((long long)(UINT64_C(1) << 30) - (long long)fe_exponential_of_ns(1000000000)) <
          1000);
    for (uint64_t ns = 1; ns < UINT64_C(10000000000000); ns *= 3) {
        long double exact = (long double)ns * 0x1p30L / 1e9L;
        CHECK(fabsl((long double)fe_exponential_of_ns(ns) - exact) <= 1 + exact * 1e-6L);
    }
}

TEST(histograms_are_added_up)
{
    static fe_exponential one, other;
    for (uint64_t units = 1; units < 1u << 20; units = units * 5 / 4 + 1)
        fe_exponential_add(&one, units);
    fe_exponential_add_many(&other, 100, 7);
    uint64_t count = fe_exponential_count(&one), sum = one.sum;
    uint64_t before = one.counts[fe_exponential_bucket(100)];
    fe_exponential_merge(&one, &other);

    CHECK_INT(count + 7, fe_exponential_count(&one));
    CHECK_INT(sum + 700, one.sum);
    CHECK_INT(before + 7, one.counts[fe_exponential_bucket(100)]);
}

TEST(what_is_shorter_counts_as_zero_and_what_is_longer_in_the_last_bucket)
{
    static fe_exponential histogram;
    const uint64_t durations[] = {0, 7, 8, UINT64_C(1) << 42, UINT64_C(1) << 62};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
        fe_exponential_add(&histogram, durations[i]);

    CHECK_INT(2, histogram.zero);
    CHECK_INT(1, histogram.counts[0]);
    CHECK_INT(2, histogram.counts[FE_EXPONENTIAL_BUCKETS - 1]);
    CHECK_INT(5, fe_exponential_count(&histogram));
    CHECK_INT(2, fe_exponential_count_below(&histogram, 0));
    CHECK_INT(3, fe_exponential_count_below(&histogram, FE_EXPONENTIAL_BUCKETS - 1));
    CHECK_INT(15 + (UINT64_C(1) << 42) + (UINT64_C(1) << 62), histogram.sum);
}

int main(void)
{
    RUN(buckets_are_those_of_the_definition);
    RUN(each_bound_belongs_to_the_bucket_that_it_begins);
    RUN(nanoseconds_become_units);
    RUN(histograms_are_added_up);
    RUN(what_is_shorter_counts_as_zero_and_what_is_longer_in_the_last_bucket);
    return check_done();
}
