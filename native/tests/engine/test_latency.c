/* The latency monitor's rings. */
#include "tests/check.h"

#include "engine/latency.h"

TEST(samples_of_one_second_become_the_worst_of_them)
{
    fe_latency latency = {0};
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 100, 5);
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 100, 9);
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 100, 7);
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 101, 3);
    const fe_latency_series *series = &latency.series[FE_LATENCY_COMMAND];

    CHECK_INT(2, series->count);
    CHECK_INT(9, fe_latency_get(series, 0)->ms);
    CHECK_INT(3, fe_latency_get(series, 1)->ms);
    CHECK_INT(101, fe_latency_get(series, 1)->unix_seconds);
    CHECK_INT(9, series->worst_ms);
    CHECK_INT(0, latency.series[FE_LATENCY_FAST_COMMAND].count);
}

TEST(the_oldest_sample_gives_way_but_the_worst_is_remembered)
{
    fe_latency latency = {0};
    for (int64_t second = 1; second <= FE_LATENCY_SAMPLES + 10; second++)
        fe_latency_add(&latency, FE_LATENCY_EXPIRE_CYCLE, second, second == 1 ? 999 : 10);
    const fe_latency_series *series = &latency.series[FE_LATENCY_EXPIRE_CYCLE];

    CHECK_INT(FE_LATENCY_SAMPLES, series->count);
    CHECK_INT(11, fe_latency_get(series, 0)->unix_seconds);
    CHECK_INT(FE_LATENCY_SAMPLES + 10,
              fe_latency_get(series, FE_LATENCY_SAMPLES - 1)->unix_seconds);
    CHECK_INT(999, series->worst_ms);
}

TEST(a_summary_holds_the_figures_of_the_samples_kept)
{
    fe_latency latency = {0};
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 100, 10);
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 110, 20);
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 120, 60);

    fe_latency_summary sum = fe_latency_sum_up(&latency.series[FE_LATENCY_COMMAND], 130);

    CHECK_INT(10, sum.low_ms);
    CHECK_INT(60, sum.high_ms);
    CHECK_INT(30, sum.average_ms);
    CHECK_INT((20 + 10 + 30) / 3, sum.deviation_ms);
    CHECK(sum.period_seconds > 9.99 && sum.period_seconds < 10.01);
}

TEST(reset_forgets_one_event_alone)
{
    fe_latency latency = {0};
    fe_latency_add(&latency, FE_LATENCY_COMMAND, 100, 10);
    fe_latency_add(&latency, FE_LATENCY_INDEX_CYCLE, 100, 10);

    fe_latency_reset(&latency, FE_LATENCY_COMMAND);

    CHECK_INT(0, latency.series[FE_LATENCY_COMMAND].count);
    CHECK_INT(0, latency.series[FE_LATENCY_COMMAND].worst_ms);
    CHECK_INT(1, latency.series[FE_LATENCY_INDEX_CYCLE].count);
}

TEST(every_event_has_its_own_name)
{
    for (unsigned i = 0; i < FE_LATENCY_EVENT_COUNT; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK(strcmp(fe_latency_name((fe_latency_event)i),
                         fe_latency_name((fe_latency_event)j)) != 0);
}

int main(void)
{
    RUN(samples_of_one_second_become_the_worst_of_them);
    RUN(the_oldest_sample_gives_way_but_the_worst_is_remembered);
    RUN(a_summary_holds_the_figures_of_the_samples_kept);
    RUN(reset_forgets_one_event_alone);
    RUN(every_event_has_its_own_name);
    return check_done();
}
