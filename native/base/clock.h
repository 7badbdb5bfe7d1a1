/* Time. Logic takes time as an argument; only the edges (engine, reactor, workers) read these. */
#ifndef FE_BASE_CLOCK_H
#define FE_BASE_CLOCK_H

#include <stdint.h>

int64_t fe_clock_wall_ms(void); /* Unix time, milliseconds */
int64_t fe_clock_wall_us(void); /* Unix time, microseconds */
uint64_t fe_clock_monotonic_ns(void);
int64_t fe_clock_monotonic_ms(void); /* for deadlines that a change of the date must not move */
uint64_t fe_clock_thread_ns(void);   /* processor time of the calling thread; a system call */
uint64_t fe_clock_ticks(void); /* processor tick counter (x86-64, AArch64), else monotonic ns */
double fe_clock_ticks_per_us(void); /* measured or read once by the caller at start-up (takes up to
                                       10 ms); the caller keeps it */

#endif
