/* Assertions that stay on in release builds: they state what we hold true, never what the world may do. */
#ifndef FE_BASE_ASSERT_H
#define FE_BASE_ASSERT_H

#include <stdio.h>
#include <stdlib.h>

#define FE_LIKELY(x) __builtin_expect(!!(x), 1)
#define FE_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define FE_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (FE_UNLIKELY(!(condition))) {                                                           \
            fprintf(stderr, "ferrite-py: assertion failed: %s (%s:%d)\n", #condition, __FILE__,    \
                    __LINE__);                                                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
