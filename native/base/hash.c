/* SipHash with one round per word and three to finish (SipHash-1-3), 64-bit result.
 *
 * The state is four 64-bit words made from the seed; each 8-byte little-endian word of the input is
 * mixed with one round. The last word holds the 0 to 7 bytes that remain, and the length modulo 256
 * in its top byte. The remaining bytes are read with one or two overlapping loads, never byte by
 * byte and never outside the input.
 *
 * Pure functions; no state, no threads.
 */
#include "base/hash.h"

#include <endian.h>

typedef struct state {
    uint64_t v0, v1, v2, v3;
} state;

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void round_once(state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(state *s, uint64_t word)
{
    s->v3 ^= word;
    round_once(s);
    s->v0 ^= word;
}

static inline uint64_t load64(const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return le64toh(word);
}

static inline uint32_t load32(const uint8_t *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return le32toh(word);
}

/* The last len % 8 bytes as a little-endian number; `data` is the start of the whole input. */
static inline uint64_t load_rest(const uint8_t *data, size_t len)
{
    size_t rest = len & 7;
    if (rest == 0) return 0;
    if (len >= 8) return load64(data + len - 8) >> (8 * (8 - rest));
    if (len >= 4) {
        /* The two loads overlap by 8 - len bytes, which hold the same values in both. */
        uint64_t high = load32(data + len - 4);
        return load32(data) | high << (8 * (len - 4));
    }
    return (uint64_t)data[0] | (uint64_t)data[len / 2] << (8 * (len / 2)) |
           (uint64_t)data[len - 1] << (8 * (len - 1));
}

uint64_t fe_hash(const fe_hash_seed *seed, const uint8_t *data, size_t len)
{
    state s = {seed->k0 ^ UINT64_C(0x736f6d6570736575), seed->k1 ^ UINT64_C(0x646f72616e646f6d),
               seed->k0 ^ UINT64_C(0x6c7967656e657261), seed->k1 ^ UINT64_C(0x7465646279746573)};

    size_t whole = len & ~(size_t)7;
    for (size_t at = 0; at < whole; at += 8)
        absorb(&s, load64(data + at));
    absorb(&s, load_rest(data, len) | (uint64_t)len << 56);

    s.v2 ^= 0xff;
    round_once(&s);
    round_once(&s);
    round_once(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
