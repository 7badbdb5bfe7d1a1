/* The clocks: thin readers of the system's clocks and of the processor's tick counter.
 *
 * Ticks are the time-stamp counter on x86-64 and the virtual counter on AArch64, both of which
 * every server processor of the last decade runs at a constant rate whatever the core's frequency;
 * elsewhere they are nanoseconds. No state, any thread.
 */
#include "base/clock.h"

#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* Long enough that two reads of the system clock, some 50 ns each, disturb the rate by under 1e-4.
 */
#define CALIBRATION_NS UINT64_C(4000000)

static int64_t read_clock(clockid_t clock, int64_t units_per_second)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * units_per_second + now.tv_nsec / (1000000000 / units_per_second);
}

int64_t fe_clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000);
}

int64_t fe_clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME, 1000000);
}

uint64_t fe_clock_monotonic_ns(void)
{
    return (uint64_t)read_clock(CLOCK_MONOTONIC, 1000000000);
}

int64_t fe_clock_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC, 1000);
}

uint64_t fe_clock_thread_ns(void)
{
    return (uint64_t)read_clock(CLOCK_THREAD_CPUTIME_ID, 1000000000);
}

#if defined(__x86_64__)

uint64_t fe_clock_ticks(void)
{
    return __rdtsc();
}

double fe_clock_ticks_per_us(void)
{
    uint64_t start_ns = fe_clock_monotonic_ns();
    uint64_t start_ticks = __rdtsc();
    uint64_t ns = start_ns;
    uint64_t ticks = start_ticks;
    while (ns - start_ns < CALIBRATION_NS) {
        ns = fe_clock_monotonic_ns();
        ticks = __rdtsc();
    }
    return (double)(ticks - start_ticks) * 1000.0 / (double)(ns - start_ns);
}

#elif defined(__aarch64__)

uint64_t fe_clock_ticks(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

double fe_clock_ticks_per_us(void)
{
    uint64_t per_second;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(per_second));
    return (double)per_second / 1e6;
}

#else

uint64_t fe_clock_ticks(void)
{
    return fe_clock_monotonic_ns();
}

double fe_clock_ticks_per_us(void)
{
    return 1000.0;
}

#endif
