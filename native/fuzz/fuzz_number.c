/* Fuzzes the numbers: as text, against the C library and the promise that canonical text prints
 * back as itself; and as raw bits, against the promise that what is printed reads back as the same
 * value. */
#include "resp/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define TEXT_MAX 5119

static void check_integer_text(fe_bytes text)
{
    char printed[21];
    int64_t value;
    uint64_t magnitude;
    if (fe_number_read_int64(text, &value)) {
        size_t len = fe_number_print_int64(printed, value);
        FE_ASSERT(fe_bytes_equal(text, (fe_bytes){(const uint8_t *)printed, len}));
    }
    if (fe_number_read_uint64(text, &magnitude)) {
        size_t len = fe_number_print_uint64(printed, magnitude);
        FE_ASSERT(fe_bytes_equal(text, (fe_bytes){(const uint8_t *)printed, len}));
    }
}

static void check_double_bits(double value)
{
    char printed[64];
    size_t len = fe_number_print_double(printed, value);
    double back;
    bool read = fe_number_read_double((fe_bytes){(const uint8_t *)printed, len}, &back);
    FE_ASSERT(len > 0 && len <= 32);
    FE_ASSERT(read == !isnan(value));
    if (read) FE_ASSERT(memcmp(&back, &value, sizeof value) == 0);
}

/* `text` is terminated by a zero byte that is not part of it. */
static void check_float_text(fe_bytes text)
{
    const char *start = (const char *)text.ptr;
    bool blank = text.len > 0 && (*start == ' ' || (*start >= '\t' && *start <= '\r'));
    char *end;
    double value;
    errno = 0;
    double expected = strtod(start, &end);
    bool ranged = errno == ERANGE && (isinf(expected) || expected == 0);
    bool valid = text.len > 0 && !blank && end == start + text.len && !isnan(expected) && !ranged;
    FE_ASSERT(fe_number_read_double(text, &value) == valid);
    if (valid) FE_ASSERT(memcmp(&value, &expected, sizeof value) == 0);
    if (valid) check_double_bits(value);

    long double wide;
    char printed[5120];
    if (fe_number_read_long_double(text, &wide)) {
        size_t len = fe_number_print_long_double(printed, wide);
        FE_ASSERT(len > 0 && len < sizeof printed);
        FE_ASSERT(len == 1 || printed[len - 1] != '.');
        FE_ASSERT(memchr(printed, '.', len) == NULL || printed[len - 1] != '0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > TEXT_MAX) return 0;
    char *copy = malloc(size + 1);
    FE_ASSERT(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    copy[size] = 0;
    fe_bytes text = {(const uint8_t *)copy, size};

    check_integer_text(text);
    check_float_text(text);
    if (size >= 8) {
        double real;
        int64_t integer;
        char printed[21];
        char expected[32];
        memcpy(&real, data, 8);
        memcpy(&integer, data, 8);
        check_double_bits(real);
        size_t len = fe_number_print_int64(printed, integer);
        int wanted = snprintf(expected, sizeof expected, "%lld", (long long)integer);
        FE_ASSERT((size_t)wanted == len && memcmp(printed, expected, len) == 0);
    }
    free(copy);
    return 0;
}
