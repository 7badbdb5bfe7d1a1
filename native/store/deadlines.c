/* Deadline histogram of one segment. See the header.
 *
 * Invariants: 1. `total` is the sum of `units`. 2. With `total` 0 the next add chooses origin and
 * shift anew.
 *
 * The width of the buckets follows the first deadline added, which lands in the middle. A much
 * nearer deadline that finds the first bucket empty narrows the buckets; what was there before then
 * counts as "later". Assigning a measure chooses the width at which the earliest quarter of the
 * bytes spreads over a few buckets.
 *
 * Threads: the engine's lock is held.
 */
#include "store/deadlines.h"

#include <string.h>

/* Two million years: all buckets together still fit 64 bits. */
#define SHIFT_MAX 56u

static unsigned bit_length(uint64_t value)
{
    return value == 0 ? 0 : 64u - (unsigned)__builtin_clzll(value);
}

/* The width at which `left` ms fall into buckets 4 to 7. */
static uint8_t shift_for(int64_t left)
{
    unsigned bits = left > 0 ? bit_length((uint64_t)left) : 0;
    if (bits > SHIFT_MAX + 3) return SHIFT_MAX;
    return (uint8_t)(bits > 3 ? bits - 3 : 0);
}

static unsigned bucket_of(const fe_deadlines *deadlines, int64_t deadline)
{
    if (deadline <= deadlines->origin) return 0;
    uint64_t bucket = ((uint64_t)deadline - (uint64_t)deadlines->origin) >> deadlines->shift;
    return bucket < FE_DEADLINES_BUCKETS ? (unsigned)bucket : FE_DEADLINES_BUCKETS - 1;
}

static void restart(fe_deadlines *deadlines, int64_t now, int64_t deadline)
{
    uint32_t total = deadlines->total;
    memset(deadlines, 0, sizeof(*deadlines));
    deadlines->origin = now;
    deadlines->shift = shift_for(deadline - now);
    deadlines->units[FE_DEADLINES_BUCKETS - 1] = total;
    deadlines->total = total;
}

void fe_deadlines_add(fe_deadlines *deadlines, int64_t now, int64_t deadline, size_t bytes)
{
    uint32_t units = (uint32_t)(bytes >> 3);
    if (deadlines->total == 0) restart(deadlines, now, deadline);
    if (deadlines->units[0] == 0 && bucket_of(deadlines, deadline) == 0 &&
        shift_for(deadline - now) + 3 < deadlines->shift)
        restart(deadlines, now, deadline);
    deadlines->units[bucket_of(deadlines, deadline)] += units;
    deadlines->total += units;
}

static uint32_t take(fe_deadlines *deadlines, unsigned bucket, uint32_t units)
{
    uint32_t taken = units < deadlines->units[bucket] ? units : deadlines->units[bucket];
    deadlines->units[bucket] -= taken;
    deadlines->total -= taken;
    return units - taken;
}

void fe_deadlines_remove(fe_deadlines *deadlines, int64_t deadline, size_t bytes)
{
    uint32_t units = (uint32_t)(bytes >> 3);
    units = take(deadlines, bucket_of(deadlines, deadline), units);
    if (units == 0) return;
    /* It was added under other widths: it sits in the last bucket, or wherever there is something.
     */
    for (unsigned i = FE_DEADLINES_BUCKETS; i-- > 0 && units > 0;)
        units = take(deadlines, i, units);
}

uint64_t fe_deadlines_expired(const fe_deadlines *deadlines, int64_t now)
{
    if (deadlines->total == 0 || now <= deadlines->origin) return 0;
    uint64_t elapsed = (uint64_t)now - (uint64_t)deadlines->origin;
    uint64_t whole = elapsed >> deadlines->shift;
    uint64_t units = 0;
    for (unsigned i = 0; i < FE_DEADLINES_BUCKETS && i < whole; i++)
        units += deadlines->units[i];
    if (whole < FE_DEADLINES_BUCKETS) {
        uint64_t part = elapsed - (whole << deadlines->shift);
        double share = (double)part / (double)(1ull << deadlines->shift);
        units += (uint64_t)(share * (double)deadlines->units[whole]);
    }
    return units << 3;
}

int64_t fe_deadlines_overdue(const fe_deadlines *deadlines, int64_t now)
{
    if (deadlines->total == 0) return -1;
    unsigned first = 0;
    while (first < FE_DEADLINES_BUCKETS - 1 && deadlines->units[first] == 0)
        first++;
    int64_t elapsed = now - deadlines->origin;
    int64_t start = (int64_t)((uint64_t)first << deadlines->shift);
    return elapsed - start;
}

void fe_deadlines_measure_add(fe_deadlines_measure *measure, int64_t now, int64_t deadline,
                              size_t bytes)
{
    unsigned bits = deadline > now ? bit_length((uint64_t)deadline - (uint64_t)now) : 0;
    measure->units[bits < 64 ? bits : 63] += (uint32_t)(bytes >> 3);
}

/* Adds a histogram to a measure, as if all of a bucket were due at its beginning. */
static void measure_merge(fe_deadlines_measure *measure, const fe_deadlines *deadlines, int64_t now)
{
    if (deadlines->total == 0) return;
    for (unsigned i = 0; i < FE_DEADLINES_BUCKETS; i++) {
        if (deadlines->units[i] == 0) continue;
        uint64_t start = (uint64_t)deadlines->origin + ((uint64_t)i << deadlines->shift);
        fe_deadlines_measure_add(measure, now, start > INT64_MAX ? INT64_MAX : (int64_t)start,
                                 (size_t)deadlines->units[i] << 3);
    }
}

void fe_deadlines_assign(fe_deadlines *deadlines, fe_deadlines_measure *measure, int64_t now)
{
    measure_merge(measure, deadlines, now);
    memset(deadlines, 0, sizeof(*deadlines));
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < 64; i++)
        total += measure->units[i];
    unsigned quarter = 0;
    while (quarter < 63 && (seen += measure->units[quarter]) * 4 < total)
        quarter++;
    deadlines->origin = now;
    deadlines->shift = shift_for((int64_t)(quarter == 0 ? 0 : 1ull << (quarter - 1)));
    deadlines->total = (uint32_t)total;
    /* Power i holds what has 2^(i-1) .. 2^i - 1 ms left: spread it evenly over the buckets of that
     * range. */
    for (unsigned i = 0; i < 64; i++) {
        uint32_t units = measure->units[i];
        if (units == 0) continue;
        int64_t low = i == 0 ? 0 : (int64_t)(1ull << (i - 1));
        unsigned from = bucket_of(deadlines, now > INT64_MAX - low ? INT64_MAX : now + low);
        unsigned to = i > 61 ? FE_DEADLINES_BUCKETS - 1 : bucket_of(deadlines, now + 2 * low - 1);
        if (to < from) to = from;
        uint32_t share = units / (to - from + 1);
        for (unsigned b = from; b <= to; b++)
            deadlines->units[b] += share;
        deadlines->units[to] += units - share * (to - from + 1);
    }
}
