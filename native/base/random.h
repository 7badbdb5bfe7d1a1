/* Random numbers: xoshiro256** state owned by its user (not for secrets), and bytes from the
 * operating system. */
#ifndef FE_BASE_RANDOM_H
#define FE_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fe_random {
    uint64_t s[4];
} fe_random;

void fe_random_init(fe_random *random, uint64_t seed); /* splitmix64 expands the seed */

static inline uint64_t fe_random_rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline uint64_t fe_random_next(fe_random *random)
{
    uint64_t *s = random->s;
    uint64_t result = fe_random_rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = fe_random_rotate(s[3], 45);
    return result;
}

uint64_t fe_random_below(fe_random *random,
                         uint64_t bound);     /* uniform in [0, bound), bound > 0, without bias */
bool fe_random_system(void *out, size_t len); /* getrandom; false when the system refuses */

#endif
