/* Seeds for the randomised tests of this folder: the first argument, or a fresh one; always
 * printed, so that a failure can be repeated. */
#ifndef FE_TESTS_VALUE_SEED_H
#define FE_TESTS_VALUE_SEED_H

#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static inline fe_random seed_random(int argc, char **argv)
{
    fe_random random;
    uint64_t seed = 1;

    if (argc > 1) {
        seed = strtoull(argv[1], NULL, 10);
    } else if (!fe_random_system(&seed, sizeof seed)) {
        fprintf(stderr, "no random seed from the system, using 1\n");
    }
    printf("seed %" PRIu64 "\n", seed);
    fe_random_init(&random, seed);
    return random;
}

/* Random bytes; `density` of 0 gives mostly zero bytes, 1 mostly 0xFF, 2 and more evenly spread
 * ones. */
static inline void seed_fill(fe_random *random, uint8_t *out, size_t len, unsigned density)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)fe_random_next(random);
        bool rare = fe_random_below(random, 40) == 0;
        out[i] = density >= 2 || rare ? byte : density == 1 ? 0xFF : 0;
    }
}

#endif
