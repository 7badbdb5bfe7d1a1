/* Comparing a cache line of words, or of halves of 16 bits, under a mask: the inner loop of every
 * look-up.
 *
 * Here and not in the store because it is written twice, for processors with SSE2 and for all
 * others. */
#ifndef FE_BASE_MATCH_H
#define FE_BASE_MATCH_H

#include <stdint.h>

#if defined(__SSE2__)

#include <emmintrin.h>

/* Two words: bit i is set when word i agrees with `want` in the bits of `mask`. The low halves of
 * `want` and `mask` are zero, so that the comparison of the high halves decides. */
static inline unsigned fe_match_2(const uint64_t *words, __m128i want, __m128i mask)
{
    __m128i pair = _mm_loadu_si128((const __m128i *)(const void *)words);
    __m128i equal =
        _mm_cmpeq_epi32(_mm_and_si128(_mm_xor_si128(pair, want), mask), _mm_setzero_si128());
    return (unsigned)_mm_movemask_pd(_mm_castsi128_pd(equal));
}

/* Bit i is set when words[i] agrees with `want` in the bits of `mask`, for `count` words (an even
 * number, at most 8). Only the upper 32 bits of `want` and `mask` may be set. */
static inline unsigned fe_match_words(const uint64_t *words, unsigned count, uint64_t want,
                                      uint64_t mask)
{
    __m128i wants = _mm_set1_epi64x((int64_t)want), masks = _mm_set1_epi64x((int64_t)mask);
    unsigned bits = 0;
    for (unsigned i = 0; i < count; i += 2)
        bits |= fe_match_2(words + i, wants, masks) << i;
    return bits;
}

/* Bit i is set when halves[i] agrees with `want` in the bits of `mask`, outside which `want` is zero,
 * for all 32 halves of a line. */
static inline uint32_t fe_match_halves(const uint16_t *halves, uint16_t want, uint16_t mask)
{
    __m128i wants = _mm_set1_epi16((short)want), masks = _mm_set1_epi16((short)mask);
    uint32_t bits = 0;
    for (unsigned i = 0; i < 32; i += 16) {
        const __m128i *at = (const __m128i *)(const void *)(halves + i);
        __m128i low = _mm_cmpeq_epi16(_mm_and_si128(_mm_loadu_si128(at), masks), wants);
        __m128i high = _mm_cmpeq_epi16(_mm_and_si128(_mm_loadu_si128(at + 1), masks), wants);
        bits |= (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high)) << i;
    }
    return bits;
}

#else

static inline unsigned fe_match_words(const uint64_t *words, unsigned count, uint64_t want,
                                      uint64_t mask)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < count; i++)
        bits |= (unsigned)(((words[i] ^ want) & mask) == 0) << i;
    return bits;
}

static inline uint32_t fe_match_halves(const uint16_t *halves, uint16_t want, uint16_t mask)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < 32; i++)
        bits |= (uint32_t)((halves[i] & mask) == want) << i;
    return bits;
}

#endif

#endif
