/* The smallest test harness that serves: named cases, checks that print both sides, exit status 1 on failure.
 *
 *   TEST(name_as_a_sentence) { CHECK(1 + 1 == 2); CHECK_INT(2, 1 + 1); }
 *   int main(int argc, char **argv) { RUN(name_as_a_sentence); return check_done(); }
 */
#ifndef FE_TESTS_CHECK_H
#define FE_TESTS_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failures;
static int check_cases;
static const char *check_case;

#define TEST(name) static void name(void)
#define RUN(name) (check_case = #name, check_cases++, name())

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            check_failures++;                                                                      \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, check_case, #condition);        \
        }                                                                                          \
    } while (0)

#define CHECK_INT(expected, actual)                                                                \
    do {                                                                                           \
        int64_t check_e = (int64_t)(expected), check_a = (int64_t)(actual);                        \
        if (check_e != check_a) {                                                                  \
            check_failures++;                                                                      \
            fprintf(stderr, "%s:%d: %s: %s: expected %" PRId64 ", got %" PRId64 "\n", __FILE__,    \
                    __LINE__, check_case, #actual, check_e, check_a);                              \
        }                                                                                          \
    } while (0)

#define CHECK_BYTES(expected, expected_len, actual, actual_len)                                    \
    do {                                                                                           \
        size_t check_el = (size_t)(expected_len), check_al = (size_t)(actual_len);                 \
        if (check_el != check_al || memcmp((expected), (actual), check_el) != 0) {                 \
            check_failures++;                                                                      \
            fprintf(stderr, "%s:%d: %s: expected \"%.*s\", got \"%.*s\"\n", __FILE__, __LINE__,    \
                    check_case, (int)check_el, (const char *)(expected), (int)check_al,            \
                    (const char *)(actual));                                                       \
        }                                                                                          \
    } while (0)

static inline int check_done(void)
{
    printf("%d cases, %d failed checks\n", check_cases, check_failures);
    return check_failures != 0;
}

#endif
