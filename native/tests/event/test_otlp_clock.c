/* The clock of spans: it follows the machine's, and never runs backwards unless the date is set. */
#include "base/clock.h"
#include "event/otlp.h"

#include "tests/check.h"

#define SECOND UINT64_C(1000000000)

static fe_otlp_clock clock_at(uint64_t ticks, int64_t unix_ns, double rate)
{
    return (fe_otlp_clock){.base_ticks = ticks,
                           .base_ns = unix_ns,
                           .ns_per_tick = rate,
                           .rate = rate,
                           .first_ticks = ticks};
}

TEST(a_small_error_is_made_good_within_the_period)
{
    fe_otlp_clock clock = clock_at(0, 0, 1.0);

    /* After 10 s the date is 1 ms ahead of the line; the rate is right. */
    fe_otlp_clock_adjust(&clock, 10 * SECOND, 10 * SECOND, (int64_t)(10 * SECOND) + 1000000,
                         5 * SECOND);

    CHECK_INT(10 * SECOND, fe_otlp_clock_ns(&clock, 10 * SECOND));
    int64_t later = fe_otlp_clock_ns(&clock, 15 * SECOND);
    int64_t expected = (int64_t)(15 * SECOND) + 1000000;
    CHECK(later > expected - 1000 && later < expected + 1000);
}

/* What began long ago is as long as it was, though the line is corrected at present. */
TEST(the_past_is_not_corrected)
{
    const uint64_t hour = 3600 * SECOND;
    fe_otlp_clock clock = clock_at(0, 0, 1.0);

    fe_otlp_clock_adjust(&clock, hour, hour, (int64_t)(hour + SECOND / 10 * 9), 5 * SECOND);

    CHECK_INT(0, fe_otlp_clock_ns(&clock, 0));
    CHECK_INT(hour, fe_otlp_clock_ns(&clock, hour));
    int64_t later = fe_otlp_clock_ns(&clock, hour + SECOND);
    int64_t expected = (int64_t)(hour + SECOND + SECOND / 1000); /* a thousandth is made good */
    CHECK(later >= expected - 1 && later <= expected + 1);
}

TEST(time_never_runs_backwards_when_the_date_is_slowed)
{
    fe_otlp_clock clock = clock_at(0, 0, 0.5);
    int64_t before = fe_otlp_clock_ns(&clock, 20 * SECOND - 1);

    fe_otlp_clock_adjust(&clock, 20 * SECOND, 10 * SECOND, (int64_t)(9 * SECOND) + 500000000,
                         SECOND);

    int64_t last = before;
    for (uint64_t ticks = 20 * SECOND; ticks < 24 * SECOND; ticks += SECOND / 100) {
        int64_t now = fe_otlp_clock_ns(&clock, ticks);
        CHECK(now >= last);
        last = now;
    }
    /* Durations stay true to a thousandth. */
    CHECK(last - before > (int64_t)(SECOND * 199 / 100));
}

TEST(a_date_that_was_set_is_taken_at_once)
{
    fe_otlp_clock clock = clock_at(0, 0, 1.0);

    fe_otlp_clock_adjust(&clock, SECOND, SECOND, -(int64_t)(100 * SECOND), SECOND);

    CHECK_INT(-(int64_t)(100 * SECOND), fe_otlp_clock_ns(&clock, SECOND));
    CHECK_INT(-(int64_t)(99 * SECOND), fe_otlp_clock_ns(&clock, 2 * SECOND));
}

TEST(a_wrong_first_guess_of_the_rate_is_found_out)
{
    fe_otlp_clock clock = clock_at(0, 0, 1.1);

    fe_otlp_clock_adjust(&clock, 10 * SECOND, 5 * SECOND, (int64_t)(5 * SECOND), SECOND);

    CHECK(clock.rate > 0.4999 && clock.rate < 0.5001);
}

/* Nothing happens for a minute, again and again: what was off is made good once, and not over and over. */
TEST(a_clock_that_is_adjusted_seldom_settles)
{
    fe_otlp_clock clock = clock_at(0, 1000, 1.0);

    for (uint64_t minute = 1; minute <= 20; minute++) {
        uint64_t now = minute * 60 * SECOND;
        fe_otlp_clock_adjust(&clock, now, now, (int64_t)now, 5 * SECOND);
        for (uint64_t ticks = now; ticks < now + 60 * SECOND; ticks += SECOND) {
            int64_t off = fe_otlp_clock_ns(&clock, ticks) - (int64_t)ticks;
            bool is_over = minute > 1 || ticks >= now + 5 * SECOND;
            CHECK(is_over ? off >= -2 && off <= 2 : off >= 0 && off <= 1000);
        }
    }
}

TEST(the_real_clock_agrees_with_the_machine)
{
    fe_otlp_clock clock;
    fe_otlp_clock_start(&clock, 1000.0 / fe_clock_ticks_per_us());
    fe_otlp_clock_renew(&clock, SECOND);

    int64_t before_us = fe_clock_wall_us();
    int64_t line_us = fe_otlp_clock_ns(&clock, fe_clock_ticks()) / 1000;
    int64_t after_us = fe_clock_wall_us();

    /* The best of five readings may be off by so much on a machine that is busy. */
    CHECK(line_us > before_us - 20000 && line_us < after_us + 20000);
}

int main(void)
{
    RUN(a_small_error_is_made_good_within_the_period);
    RUN(the_past_is_not_corrected);
    RUN(time_never_runs_backwards_when_the_date_is_slowed);
    RUN(a_date_that_was_set_is_taken_at_once);
    RUN(a_wrong_first_guess_of_the_rate_is_found_out);
    RUN(a_clock_that_is_adjusted_seldom_settles);
    RUN(the_real_clock_agrees_with_the_machine);
    return check_done();
}
