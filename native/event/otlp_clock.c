/* The clock of spans: ticks of the processor to Unix time, by a line that is adjusted as it goes.
 *
 * A line is base_ns + (ticks - base_ticks) * ns_per_tick. To adjust it, the point at which the old line
 * is now becomes the base of the new one, so that both agree there; the slope is the measured rate,
 * corrected so that the error is gone after a period. Before the base, where a connection may have begun days ago,
 * and after the period it is the rate: whoever adjusts seldom, as
 * nothing happens, would otherwise correct too much, and more of it each time. The correction is at most a
 * thousandth of the rate: durations stay true to that.
 */
#include "base/clock.h"
#include "event/otlp.h"

#include <time.h>

#define STEP_NS INT64_C(1000000000) /* an error beyond is a date that was set */
#define RATE_AFTER_NS UINT64_C(500000000)
#define SLEW_MAX 1e-3
#define READINGS 5

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Reads all clocks at one moment: of several tries the one that took the fewest ticks. */
static void read_all(uint64_t *ticks, uint64_t *monotonic_ns, int64_t *unix_ns)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < READINGS; i++) {
        uint64_t before = fe_clock_ticks();
        int64_t wall = wall_ns();
        uint64_t monotonic = fe_clock_monotonic_ns();
        uint64_t took = fe_clock_ticks() - before;
        if (took >= best) continue;
        best = took;
        *ticks = before + took / 2;
        *monotonic_ns = monotonic;
        *unix_ns = wall;
    }
}

void fe_otlp_clock_start(fe_otlp_clock *clock, double ns_per_tick)
{
    *clock = (fe_otlp_clock){.ns_per_tick = ns_per_tick, .rate = ns_per_tick};
    read_all(&clock->base_ticks, &clock->first_monotonic_ns, &clock->base_ns);
    clock->first_ticks = clock->base_ticks;
}

void fe_otlp_clock_adjust(fe_otlp_clock *clock, uint64_t ticks, uint64_t monotonic_ns,
                          int64_t unix_ns, uint64_t period_ns)
{
    uint64_t measured_ns = monotonic_ns - clock->first_monotonic_ns;
    if (measured_ns >= RATE_AFTER_NS)
        clock->rate = (double)measured_ns / (double)(ticks - clock->first_ticks);
    int64_t line_ns = fe_otlp_clock_ns(clock, ticks);
    int64_t error_ns = unix_ns - line_ns;
    clock->base_ticks = ticks;
    clock->base_ns = line_ns;
    if (error_ns > STEP_NS || error_ns < -STEP_NS) {
        clock->base_ns = unix_ns;
        error_ns = 0;
    }
    double slew = (double)error_ns / (double)period_ns;
    if (slew > SLEW_MAX) slew = SLEW_MAX;
    if (slew < -SLEW_MAX) slew = -SLEW_MAX;
    clock->ns_per_tick = clock->rate * (1.0 + slew);
    clock->slewed_ticks = (uint64_t)((double)period_ns / clock->rate);
}

void fe_otlp_clock_renew(fe_otlp_clock *clock, uint64_t period_ns)
{
    uint64_t ticks = 0, monotonic_ns = 0;
    int64_t unix_ns = 0;
    read_all(&ticks, &monotonic_ns, &unix_ns);
    fe_otlp_clock_adjust(clock, ticks, monotonic_ns, unix_ns, period_ns);
}
