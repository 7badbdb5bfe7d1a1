/* The clocks agree with each other and with the system's. */
#include "base/clock.h"

#include <time.h>

#include "tests/check.h"

TEST(wall_clocks_tell_unix_time)
{
    int64_t before = (int64_t)time(NULL);
    int64_t ms = fe_clock_wall_ms();
    int64_t us = fe_clock_wall_us();

    /* time() may be a tick behind the precise clock. */
    CHECK(ms / 1000 - before <= 1 && ms / 1000 >= before);
    CHECK(us / 1000 >= ms && us / 1000 - ms < 1000);
}

TEST(monotonic_time_and_ticks_never_go_back)
{
    uint64_t ns = fe_clock_monotonic_ns();
    CHECK(fe_clock_monotonic_ms() - (int64_t)(ns / 1000000) < 1000);
    uint64_t ticks = fe_clock_ticks();
    for (int i = 0; i < 1000; i++) {
        uint64_t later_ns = fe_clock_monotonic_ns();
        uint64_t later_ticks = fe_clock_ticks();
        CHECK(later_ns >= ns && later_ticks >= ticks);
        ns = later_ns;
        ticks = later_ticks;
    }
}

TEST(the_rate_turns_ticks_into_the_time_that_passed)
{
    double rate = fe_clock_ticks_per_us();
    uint64_t ns = fe_clock_monotonic_ns();
    uint64_t ticks = fe_clock_ticks();

    while (fe_clock_monotonic_ns() - ns < 5000000)
        continue;
    double by_ticks = (double)(fe_clock_ticks() - ticks) / rate;
    double by_ns = (double)(fe_clock_monotonic_ns() - ns) / 1000;

    CHECK(rate > 0);
    CHECK(by_ticks > by_ns * 0.9 && by_ticks < by_ns * 1.1);
}

int main(void)
{
    RUN(wall_clocks_tell_unix_time);
    RUN(monotonic_time_and_ticks_never_go_back);
    RUN(the_rate_turns_ticks_into_the_time_that_passed);
    return check_done();
}
