/* Latencies in a histogram of 1/128 relative precision; the maximum is exact. Single-threaded. */
#ifndef FE_BENCHMARKS_HISTOGRAM_H
#define FE_BENCHMARKS_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { SUB_BITS = 7, SUB_COUNT = 1 << SUB_BITS, HIST_SIZE = (64 - SUB_BITS + 1) * SUB_COUNT };

typedef struct {
    uint64_t count[HIST_SIZE];
    uint64_t total;
    uint64_t max_ns;
} histogram;

static inline size_t histogram_slot(uint64_t value)
{
    if (value < SUB_COUNT) {
        return (size_t)value;
    }
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - SUB_BITS;
    return (size_t)(shift + 1) * SUB_COUNT + (size_t)((value >> shift) - SUB_COUNT);
}

/* The largest value that falls into the slot, so percentiles are never flattered. */
static inline uint64_t histogram_slot_top(size_t slot)
{
    if (slot < SUB_COUNT) {
        return slot;
    }
    unsigned shift = (unsigned)(slot / SUB_COUNT) - 1;
    return ((slot % SUB_COUNT + SUB_COUNT + 1) << shift) - 1;
}

static inline void histogram_add(histogram *hist, uint64_t value_ns)
{
    hist->count[histogram_slot(value_ns)]++;
    hist->total++;
    if (value_ns > hist->max_ns) {
        hist->max_ns = value_ns;
    }
}

static inline double histogram_percentile_us(const histogram *hist, double share)
{
    uint64_t wanted = (uint64_t)((double)hist->total * share);
    if ((double)wanted < (double)hist->total * share) {
        wanted++;
    }
    uint64_t seen = 0;
    for (size_t slot = 0; slot < HIST_SIZE && hist->total > 0; slot++) {
        seen += hist->count[slot];
        if (seen >= wanted) {
            uint64_t top = histogram_slot_top(slot);
            return (double)(top < hist->max_ns ? top : hist->max_ns) / 1e3;
        }
    }
    return (double)hist->max_ns / 1e3;
}

#endif
