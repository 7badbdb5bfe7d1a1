/* Numbers: what is read, what is refused, and how values print. */
#include "resp/number.h"

#include <math.h>

#include "base/random.h"
#include "tests/check.h"

static fe_bytes text(const char *s)
{
    return (fe_bytes){(const uint8_t *)s, strlen(s)};
}

TEST(canonical_integers_are_read)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"7", 7},
                {"-1", -1},
                {"10", 10},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t value = 99;
        CHECK(fe_number_read_int64(text(good[i].text), &value));
        CHECK_INT(good[i].value, value);
    }
    uint64_t large;
    CHECK(fe_number_read_uint64(text("18446744073709551615"), &large));
    CHECK(large == UINT64_MAX);
}

TEST(other_integers_are_refused_and_leave_the_value)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      "01",
                                      "00",
                                      "-0",
                                      "-01",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "123456789012345678901"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t value = 99;
        CHECK(!fe_number_read_int64(text(bad[i]), &value));
        CHECK_INT(99, value);
    }
    uint64_t value = 99;
    CHECK(!fe_number_read_uint64(text("18446744073709551616"), &value));
    CHECK(!fe_number_read_uint64(text("-1"), &value));
    CHECK(!fe_number_read_int64((fe_bytes){(const uint8_t *)"1\0", 2}, &(int64_t){0}));
    CHECK_INT(99, value);
}

TEST(integers_print_as_the_c_library_prints_them)
{
    fe_random random;
    fe_random_init(&random, 5);
    for (int round = 0; round < 100000; round++) {
        int64_t value = (int64_t)(fe_random_next(&random) >> fe_random_below(&random, 64));
        if (round % 2 == 1) value = -value;
        char printed[21];
        char expected[32];
        size_t len = fe_number_print_int64(printed, value);
        int wanted = snprintf(expected, sizeof expected, "%" PRId64, value);
        CHECK_BYTES(expected, wanted, printed, len);
    }
    char printed[21];
    CHECK_BYTES("-9223372036854775808", 20, printed, fe_number_print_int64(printed, INT64_MIN));
    CHECK_BYTES("18446744073709551615", 20, printed, fe_number_print_uint64(printed, UINT64_MAX));
}

TEST(doubles_are_read_as_redis_reads_them)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0},         {"3", 3},           {"-2.5", -2.5},
                {"+5", 5},        {".5", 0.5},        {"5.", 5},
                {"1e5", 1e5},     {"0x10", 16},       {"0001", 1},
                {"0.1", 0.1},     {"inf", INFINITY},  {"-Infinity", -INFINITY},
                {"1e308", 1e308}, {"5e-324", 5e-324}, {"9007199254740993", 9007199254740992.0}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        double value = 99;
        CHECK(fe_number_read_double(text(good[i].text), &value));
        CHECK(value == good[i].value);
    }
    double zero = 1;
    CHECK(fe_number_read_double(text("-0"), &zero) && zero == 0 && signbit(zero));
}

TEST(other_doubles_are_refused)
{
    static const char *const bad[] = {"",    ".",     "-",     "+",     "1 ",     " 1",
                                      "\n1", "nan",   "-nan",  "1e400", "-1e400", "1e-400",
                                      "1_0", "1.2.3", "infin", "e5",    "1e",     "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value = 99;
        long double wide = 99;
        CHECK(!fe_number_read_double(text(bad[i]), &value));
        CHECK(value == 99);
        /* A long double reaches further. */
        if (strchr(bad[i], '4') == NULL) CHECK(!fe_number_read_long_double(text(bad[i]), &wide));
    }
    double value;
    CHECK(!fe_number_read_double((fe_bytes){(const uint8_t *)"1\0", 2}, &value));
    char nines[5200];
    memset(nines, '9', sizeof nines);
    memcpy(nines, "0.", 2);
    CHECK(!fe_number_read_double((fe_bytes){(const uint8_t *)nines, 5120}, &value));
    CHECK(fe_number_read_double((fe_bytes){(const uint8_t *)nines, 5119}, &value));
    CHECK(value == 1);
}

#define PRINTS(expected, value)                                                                    \
    do {                                                                                           \
        char out[64];                                                                              \
        size_t len = fe_number_print_double(out, value);                                           \
        CHECK_BYTES(expected, sizeof(expected) - 1, out, len);                                     \
    } while (0)

TEST(doubles_print_with_the_fewest_digits)
{
    PRINTS("0", 0.0);
    PRINTS("-0", -0.0);
    PRINTS("3", 3.0);
    PRINTS("-17", -17.0);
    PRINTS("0.1", 0.1);
    PRINTS("0.30000000000000004", 0.1 + 0.2);
    PRINTS("3.14159265358979", 3.14159265358979);
    PRINTS("0.3333333333333333", 1.0 / 3);
    PRINTS("100000", 1e5);
    PRINTS("1000000000000000", 1e15);
    PRINTS("1e+16", 1e16);
    PRINTS("1.23456789e+16", 12345678900000000.0);
    PRINTS("12345678912000000", 12345678912000000.0);
    PRINTS("9007199254740992", 9007199254740992.0);
    PRINTS("1.7976931348623157e+308", 1.7976931348623157e308);
    PRINTS("inf", INFINITY);
    PRINTS("-inf", -INFINITY);
    PRINTS("nan", (double)NAN);
}

TEST(small_doubles_switch_to_exponents_where_redis_does)
{
    PRINTS("0.001", 1e-3);
    PRINTS("0.000001", 1e-6);
    PRINTS("1e-7", 1e-7);
    PRINTS("0.000015", 1.5e-5);
    PRINTS("0.0012345678", 1.2345678e-3);
    PRINTS("123.4567890123", 123.4567890123);
    PRINTS("1.234567890123e+5", 123456.7890123);
    PRINTS("-1.5e-10", -1.5e-10);
    PRINTS("5e-324", 5e-324);
    PRINTS("2.2250738585072014e-308", 2.2250738585072014e-308);
}

/* Whatever prints reads back as the same bits. The longest have a sign, 17 digits and 7 zeros. */
TEST(printed_doubles_read_back)
{
    fe_random random;
    fe_random_init(&random, 6);
    for (int round = 0; round < 100000; round++) {
        uint64_t bits = fe_random_next(&random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (round % 2 == 1) value = (double)(int64_t)(bits % 2000000) / 1000.0 - 1000.0;
        if (isnan(value)) continue;
        char out[64];
        size_t len = fe_number_print_double(out, value);
        double back = NAN;
        CHECK(fe_number_read_double((fe_bytes){(const uint8_t *)out, len}, &back));
        CHECK(memcmp(&back, &value, sizeof value) == 0);
        CHECK(len <= 25);
    }
}

static size_t print_wide(char *out, const char *number)
{
    long double value = 0;
    CHECK(fe_number_read_long_double(text(number), &value));
    return fe_number_print_long_double(out, value);
}

TEST(long_doubles_print_for_people)
{
    static const struct {
        const char *number;
        const char *printed;
    } cases[] = {{"0", "0"},        {"-0", "0"},
                 {"3.0e3", "3000"}, {"10.5", "10.5"},
                 {"0.1", "0.1"},    {"1e20", "100000000000000000000"},
                 {"-1e-18", "0"},   {"1e-17", "0.00000000000000001"},
                 {"0x1p4", "16"},   {"inf", "inf"},
                 {"-inf", "-inf"}};
    char out[5120];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = print_wide(out, cases[i].number);
        CHECK_BYTES(cases[i].printed, strlen(cases[i].printed), out, len);
    }
    CHECK_INT(4933, print_wide(out, "1.1e4932"));
}

int main(void)
{
    RUN(canonical_integers_are_read);
    RUN(other_integers_are_refused_and_leave_the_value);
    RUN(integers_print_as_the_c_library_prints_them);
    RUN(doubles_are_read_as_redis_reads_them);
    RUN(other_doubles_are_refused);
    RUN(doubles_print_with_the_fewest_digits);
    RUN(small_doubles_switch_to_exponents_where_redis_does);
    RUN(printed_doubles_read_back);
    RUN(long_doubles_print_for_people);
    return check_done();
}
