/* What the machine itself takes from a thread: a loop that only reads two clocks, for some seconds.
 *
 *     gaps SECONDS [idle]
 *
 * With `idle` it runs only when nobody else wants its core.
 * Prints one line of JSON: the longest times between two readings, on the wall clock and in the
 * thread's processor time. The second is not zero: interrupts, and what the kernel does for others
 * in them, count as the time of the thread that they interrupt. */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv)
{
    double seconds = argc >= 2 ? atof(argv[1]) : 0.0;
    int idle = argc == 3 && strcmp(argv[2], "idle") == 0;
    if (seconds <= 0.0 || argc != 2 + idle) {
        fprintf(stderr, "usage: gaps SECONDS [idle]\n");
        return 2;
    }
    struct sched_param none = {0};
    if (idle && sched_setscheduler(0, SCHED_IDLE, &none) != 0) {
        perror("sched_setscheduler");
        return 1;
    }
    uint64_t wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t end = wall + (uint64_t)(seconds * 1e9), wall_max = 0, cpu_max = 0, over = 0;
    while (wall < end) {
        uint64_t wall_now = now_ns(CLOCK_MONOTONIC), cpu_now = now_ns(CLOCK_THREAD_CPUTIME_ID);
        if (wall_now - wall > wall_max) wall_max = wall_now - wall;
        if (cpu_now - cpu > cpu_max) cpu_max = cpu_now - cpu;
        over += cpu_now - cpu > 1000000u;
        wall = wall_now;
        cpu = cpu_now;
    }
    printf("{\"type\": \"result\", \"wall_us\": %.3f, \"cpu_us\": %.3f, \"over_1_ms\": %llu}\n",
           (double)wall_max / 1e3, (double)cpu_max / 1e3, (unsigned long long)over);
    return 0;
}
