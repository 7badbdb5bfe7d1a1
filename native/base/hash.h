/* The keyed hash of keys: SipHash-1-3 with a 128-bit seed, so that nobody who does not know the
 * seed can make keys collide. Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012 (the
 * 1-3 variant). */
#ifndef FE_BASE_HASH_H
#define FE_BASE_HASH_H

#include "base/bytes.h"

typedef struct fe_hash_seed {
    uint64_t k0, k1;
} fe_hash_seed;

uint64_t fe_hash(const fe_hash_seed *seed, const uint8_t *data, size_t len);

#endif
