/* Samplers decide as those of the OpenTelemetry SDK do, and retention by what became of a command. */
#include "tests/check.h"

#include "event/sampler.h"

static fe_trace_parent caller(uint8_t flags)
{
    return (fe_trace_parent){.trace_id = {1}, .span_id = 5, .flags = flags};
}

TEST(a_ratio_has_the_bound_of_the_sdk)
{
    /* round(rate * 2**64) in Python. */
    static const struct {
        double ratio;
        uint64_t bound;
    } known[] = {
        {0.5, 0x8000000000000000},
        {0.1, 1844674407370955264},
        {0.01, 184467440737095520},
        {0.3, 5534023222112865280},
        {1e-9, 18446744074},
        {1e-18, 18},
        {0.9999999999999999, 18446744073709549568u},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        fe_sampler sampler = fe_sampler_ratio(known[i].ratio);
        CHECK_INT(FE_SAMPLER_RATIO, sampler.kind);
        CHECK(sampler.bound == known[i].bound);
        CHECK(fe_sampler_takes(&sampler, known[i].bound - 1));
        CHECK(!fe_sampler_takes(&sampler, known[i].bound));
    }
}

TEST(the_ends_of_the_range_are_always_and_never)
{
    CHECK_INT(FE_SAMPLER_ALWAYS, fe_sampler_ratio(1.0).kind);
    CHECK_INT(FE_SAMPLER_ALWAYS, fe_sampler_ratio(2.0).kind);
    CHECK_INT(FE_SAMPLER_NEVER, fe_sampler_ratio(0.0).kind);
    CHECK_INT(FE_SAMPLER_NEVER, fe_sampler_ratio(-1.0).kind);
    CHECK_INT(FE_SAMPLER_NEVER, fe_sampler_ratio(1e-20).kind);
    CHECK_INT(FE_SAMPLER_NEVER, fe_sampler_ratio(0.0 / 0.0).kind);
}

TEST(the_low_half_of_the_trace_id_decides)
{
    static const uint8_t id[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

    CHECK(fe_sampler_low(id) == 0x0123456789abcdef);
}

TEST(a_callers_flag_binds_a_parent_based_sampler)
{
    fe_trace_parent yes = caller(FE_PARENT_SAMPLED), no = caller(0);
    fe_sampler never = {.kind = FE_SAMPLER_NEVER, .parent_based = true};
    fe_sampler always = {.kind = FE_SAMPLER_ALWAYS, .parent_based = true};

    CHECK(fe_sampler_decide(&never, &yes, 0));
    CHECK(!fe_sampler_decide(&never, NULL, 0));
    CHECK(!fe_sampler_decide(&always, &no, 0));
    CHECK(fe_sampler_decide(&always, NULL, UINT64_MAX));
}

TEST(other_samplers_look_at_the_id_alone)
{
    fe_trace_parent no = caller(0);
    fe_sampler half = fe_sampler_ratio(0.5);

    CHECK(fe_sampler_decide(&half, &no, 1));
    CHECK(!fe_sampler_decide(&half, &no, UINT64_MAX));
}

/* Keeping by threshold and randomness is keeping by ratio, and a higher ratio keeps what a lower does. */
TEST(thresholds_are_consistent)
{
    static const double ratios[] = {1.0, 0.5, 0.25, 0.1, 0.001};
    uint64_t low = 12345;
    for (int step = 0; step < 100000; step++) {
        low = low * 6364136223846793005u + 1442695040888963407u;
        bool kept = true;
        for (size_t i = 0; i < sizeof ratios / sizeof ratios[0]; i++) {
            fe_sampler sampler = fe_sampler_ratio(ratios[i]);
            bool takes = fe_sampler_takes(&sampler, low);
            CHECK(kept || !takes);
            CHECK_INT(takes, fe_sampler_randomness(low) >= fe_sampler_threshold(&sampler));
            kept = takes;
        }
    }
    fe_sampler never = {0};
    CHECK(fe_sampler_randomness(0) < fe_sampler_threshold(&never));
}

static void check_state(const char *expected, uint64_t threshold, uint64_t low)
{
    char text[FE_SAMPLER_STATE_MAX + 1] = {0};
    size_t len = fe_sampler_state(text, threshold, low);
    CHECK_INT(strlen(expected), len);
    CHECK(strcmp(expected, text) == 0);
}

TEST(a_threshold_is_told_with_the_randomness)
{
    fe_sampler half = fe_sampler_ratio(0.5), tenth = fe_sampler_ratio(0.1);

    check_state("ot=th:8;rv:ffffffffffffff", fe_sampler_threshold(&half), 0);
    check_state("ot=th:e6666666666666;rv:edcba987654321", fe_sampler_threshold(&tenth),
                0x123456789abcdeff);
    check_state("ot=th:00000000000001;rv:00000000000000", 1, UINT64_MAX);
    CHECK(fe_sampler_is_told(&half));
    CHECK(!fe_sampler_is_told(&(fe_sampler){.kind = FE_SAMPLER_ALWAYS}));
    CHECK(!fe_sampler_is_told(&(fe_sampler){.kind = FE_SAMPLER_NEVER}));
    CHECK(!fe_sampler_is_told(&(fe_sampler){.kind = FE_SAMPLER_RATIO, .bound = 1}));
}

TEST(retention_keeps_by_error_disk_and_time)
{
    fe_retention all = {.errors = true, .disk = true, .slow_us = 5};
    fe_retention none = {.slow_us = -1};
    fe_ending plain = {.ticks = 99}, failed = {.failed = true}, disk = {.disk = true},
              slow = {.ticks = 100};

    CHECK(!fe_retention_keeps(&all, &plain, 100));
    CHECK(fe_retention_keeps(&all, &failed, 100));
    CHECK(fe_retention_keeps(&all, &disk, 100));
    CHECK(fe_retention_keeps(&all, &slow, 100));
    CHECK(!fe_retention_keeps(&none, &failed, UINT64_MAX));
    CHECK(!fe_retention_keeps(&none, &disk, UINT64_MAX));
    CHECK(!fe_retention_keeps(&none, &slow, UINT64_MAX));
}

TEST(what_a_caller_declined_is_kept_only_when_asked_for)
{
    fe_retention retention = {.errors = true, .slow_us = -1};

    CHECK(fe_retention_may_keep(&retention, false));
    CHECK(!fe_retention_may_keep(&retention, true));
    retention.unsampled = true;
    CHECK(fe_retention_may_keep(&retention, true));
    retention = (fe_retention){.slow_us = -1};
    CHECK(!fe_retention_may_keep(&retention, false));
}

static uint32_t taken(fe_rate *rate, uint64_t from, uint64_t to, uint64_t step)
{
    uint32_t count = 0;
    for (uint64_t now = from; now < to; now += step)
        count += fe_rate_take(rate, now, 1.0);
    return count;
}

TEST(a_rate_lets_so_many_pass_in_a_second)
{
    fe_rate rate = fe_rate_of(10, 1.0); /* a tick is a microsecond */

    CHECK_INT(10, taken(&rate, 5000000, 5000100, 1)); /* at once, after a pause */
    CHECK_INT(50, taken(&rate, 5000100, 10000101, 1000));
    CHECK_INT(10, taken(&rate, 90000000, 90000100, 1));
    fe_rate unlimited = fe_rate_of(0, 1.0);
    CHECK_INT(5000, taken(&unlimited, 0, 5000, 1));
}

int main(void)
{
    RUN(a_ratio_has_the_bound_of_the_sdk);
    RUN(the_ends_of_the_range_are_always_and_never);
    RUN(the_low_half_of_the_trace_id_decides);
    RUN(a_callers_flag_binds_a_parent_based_sampler);
    RUN(other_samplers_look_at_the_id_alone);
    RUN(thresholds_are_consistent);
    RUN(retention_keeps_by_error_disk_and_time);
    RUN(what_a_caller_declined_is_kept_only_when_asked_for);
    RUN(a_rate_lets_so_many_pass_in_a_second);
    RUN(a_threshold_is_told_with_the_randomness);
    return check_done();
}
