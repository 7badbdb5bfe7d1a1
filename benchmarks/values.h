/* Values that follow from their key, so that a reader knows what it has to get: the key's own text,
 * then printable bytes from a pool that is the same in every process, at a place that the key's number
 * says. A value that belongs to another key, is shifted, cut or damaged differs. */
#ifndef FE_BENCHMARKS_VALUES_H
#define FE_BENCHMARKS_VALUES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t values_mix(uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9ULL;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebULL;
    return number ^ (number >> 31);
}

/* Where in a pool of 2 * largest bytes the value of `key` begins. */
static inline uint64_t values_place(uint64_t key, uint64_t largest)
{
    return values_mix(key + 1) % largest;
}

/* Length of the value of `key`. */
static inline uint64_t values_length(uint64_t key, uint64_t low, uint64_t high)
{
    return low + values_mix(~key) % (high - low + 1);
}

/* Whether `size` bytes that came at `at` of a value equal the key's text, and after it the pool's slice. */
static inline bool values_match(const char *bytes, uint64_t at, uint64_t size, const char *text,
                                uint64_t text_size, const char *slice)
{
    uint64_t in_text = at < text_size ? text_size - at : 0;
    uint64_t head = in_text < size ? in_text : size;
    return memcmp(bytes, text + (head > 0 ? at : 0), head) == 0 &&
           memcmp(bytes + head, slice + at + head, size - head) == 0;
}

#endif
