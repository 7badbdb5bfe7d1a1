/* Random numbers: the xoshiro256** generator of Blackman and Vigna (2018), seeded through
 * splitmix64, and the operating system's generator for what must not be guessed.
 *
 * Invariant: the four state words are never all zero; splitmix64 is a bijection of distinct
 * counters, so at most one of its four outputs can be zero. State belongs to its user; no locks.
 */
#include "base/random.h"
#include "base/assert.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t splitmix64(uint64_t *counter)
{
    uint64_t z = *counter += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void fe_random_init(fe_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->s[i] = splitmix64(&seed);
}

/* Lemire's method (2019): the high half of next * bound is uniform once the few low halves under
 * 2^64 mod bound are thrown away, so the division happens only in the rare doubtful case. */
uint64_t fe_random_below(fe_random *random, uint64_t bound)
{
    FE_ASSERT(bound > 0);
    unsigned __int128 product = (unsigned __int128)fe_random_next(random) * bound;
    if ((uint64_t)product < bound) {
        uint64_t reject = -bound % bound;
        while ((uint64_t)product < reject) {
            product = (unsigned __int128)fe_random_next(random) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

bool fe_random_system(void *out, size_t len)
{
    uint8_t *to = out;
    while (len > 0) {
        ssize_t got = getrandom(to, len, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        to += got;
        len -= (size_t)got;
    }
    return true;
}
