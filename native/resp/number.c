/* Numbers in text.
 *
 * Integers are read and printed by hand, as they are on the path of every command. Doubles have a
 * quick exact way for short decimals: a whole number below 2^53 divided by a power of ten up to
 * 10^22 is one correctly rounded operation on two exact values (Clinger, "How to read floating
 * point numbers accurately", 1990). Everything else goes through the C library. The C library reads
 * and prints the decimal point of LC_NUMERIC, which this process leaves at "C".
 *
 * Pure functions; a few KiB of stack at most.
 */
#include "resp/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The longest text of a floating-point number, with the terminator that the C library needs. */
#define FLOAT_TEXT_MAX 5120
#define EXACT_POWER_MAX 22
#define EXACT_MANTISSA_MAX (UINT64_C(1) << 53)

static const double exact_powers[EXACT_POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

static inline bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool fe_number_read_uint64(fe_bytes text, uint64_t *value)
{
    if (text.len == 0 || text.len > 20 || (text.ptr[0] == '0' && text.len > 1)) return false;

    uint64_t sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i])) return false;
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        /* Only the twentieth digit can overflow. */
        if (i == 19 && (sum > UINT64_MAX / 10 || sum * 10 > UINT64_MAX - digit)) return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool fe_number_read_int64(fe_bytes text, int64_t *value)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t magnitude;
    if (negative) text = (fe_bytes){text.ptr + 1, text.len - 1};
    if (!fe_number_read_uint64(text, &magnitude)) return false;
    if (negative && magnitude == 0) return false;
    if (magnitude > (uint64_t)INT64_MAX + negative) return false;

    *value = negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return true;
}

/* Reads [sign] digits [. digits] when the quick way is exact; false: not that simple, nothing is
 * known. */
static bool read_short_decimal(fe_bytes text, double *value)
{
    size_t i = 0;
    bool negative = text.ptr[0] == '-';
    if (negative || text.ptr[0] == '+') i++;
    if (text.len - i > 17) return false;

    uint64_t mantissa = 0;
    size_t digits = 0;
    size_t fraction = 0;
    bool point = false;
    for (; i < text.len; i++) {
        if (text.ptr[i] == '.' && !point) {
            point = true;
        } else if (is_digit(text.ptr[i])) {
            mantissa = mantissa * 10 + (uint64_t)(text.ptr[i] - '0');
            digits++;
            fraction += point;
        } else {
            return false;
        }
    }
    if (digits == 0 || mantissa > EXACT_MANTISSA_MAX) return false;

    double magnitude = (double)mantissa / exact_powers[fraction];
    *value = negative ? -magnitude : magnitude;
    return true;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Copies the text for the C library; false when it is empty, too long or begins with white space.
 */
static bool terminate(fe_bytes text, char out[FLOAT_TEXT_MAX])
{
    if (text.len == 0 || text.len >= FLOAT_TEXT_MAX || is_space(text.ptr[0])) return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = 0;
    return true;
}

bool fe_number_read_double(fe_bytes text, double *value)
{
    if (text.len == 0) return false;
    if (read_short_decimal(text, value)) return true;

    char copy[FLOAT_TEXT_MAX];
    if (!terminate(text, copy)) return false;
    char *end;
    errno = 0;
    double read = strtod(copy, &end);
    if (end != copy + text.len || isnan(read)) return false;
    /* A subnormal result is also ERANGE, but it is a number. */
    if (errno == ERANGE && (isinf(read) || read == 0)) return false;
    *value = read;
    return true;
}

bool fe_number_read_long_double(fe_bytes text, long double *value)
{
    char copy[FLOAT_TEXT_MAX];
    if (!terminate(text, copy)) return false;
    char *end;
    errno = 0;
    long double read = strtold(copy, &end);
    if (end != copy + text.len || isnan(read)) return false;
    if (errno == ERANGE && (isinf(read) || read == 0)) return false;
    *value = read;
    return true;
}

static size_t count_digits(uint64_t value)
{
    size_t digits = 1;
    while (value >= 10000) {
        value /= 10000;
        digits += 4;
    }
    return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}

static inline size_t print_digits(char *out, uint64_t value)
{
    if (value < 10) {
        out[0] = (char)('0' + value);
        return 1;
    }
    size_t len = count_digits(value);
    char *to = out + len;
    while (value >= 10) {
        to -= 2;
        memcpy(to, digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    /* An odd digit is left, or the pairs went out even and value is 0 at `out`. */
    if (to > out) out[0] = (char)('0' + value);
    return len;
}

size_t fe_number_print_uint64(char out[21], uint64_t value)
{
    return print_digits(out, value);
}

size_t fe_number_print_int64(char out[21], int64_t value)
{
    if (value >= 0) return print_digits(out, (uint64_t)value);
    out[0] = '-';
    return 1 + print_digits(out + 1, -(uint64_t)value);
}

size_t fe_number_print_long_double(char out[5120], long double value)
{
    if (isnan(value)) return (size_t)snprintf(out, FLOAT_TEXT_MAX, "nan");
    if (isinf(value)) return (size_t)snprintf(out, FLOAT_TEXT_MAX, value > 0 ? "inf" : "-inf");

    /* The largest has 4933 digits, point and 17 digits: it always fits. */
    size_t len = (size_t)snprintf(out, FLOAT_TEXT_MAX, "%.17Lf", value);
    while (out[len - 1] == '0')
        len--;
    if (out[len - 1] == '.') len--;
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    return len;
}

/* A positive decimal: digits[0..count) times ten to the power `scale`; the last digit is not 0. */
typedef struct decimal {
    char digits[24];
    int count;
    int scale;
} decimal;

static void trim_zeros(decimal *d)
{
    while (d->count > 1 && d->digits[d->count - 1] == '0') {
        d->count--;
        d->scale++;
    }
}

/* Numbers of few decimal places without the C library. A decimal of at most 15 digits that divides
 * back to the value is the shortest, as places are tried in rising order; false when there is none.
 */
static bool shorten_quickly(double value, decimal *d)
{
    for (int places = 1; places <= 15; places++) {
        double scaled = value * exact_powers[places];
        if (!(scaled < 1e15)) return false;
        uint64_t whole = (uint64_t)(scaled + 0.5);
        if (whole > 0 && (double)whole / exact_powers[places] == value) {
            d->count = (int)print_digits(d->digits, whole);
            d->scale = -places;
            trim_zeros(d);
            return true;
        }
    }
    return false;
}

/* The fewest digits that read back as `value`, which is positive and finite. */
static void shorten(double value, decimal *d)
{
    if (shorten_quickly(value, d)) return;

    /* Fifteen digits are always kept apart by normal doubles; subnormal ones hold fewer. */
    char text[40];
    int precision = fpclassify(value) == FP_SUBNORMAL ? 1 : 15;
    for (;; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, value);
        if (precision == 17 || strtod(text, NULL) == value) break;
    }
    d->digits[0] = text[0];
    if (precision > 1) memcpy(d->digits + 1, text + 2, (size_t)precision - 1);
    d->count = precision;
    const char *exponent = text + (precision > 1 ? precision + 1 : 1);
    d->scale = (int)strtol(exponent + 1, NULL, 10) - (precision - 1);
    trim_zeros(d);
}

static size_t print_scientific(char *out, const decimal *d)
{
    size_t len = 0;
    int exponent = d->scale + d->count - 1;
    out[len++] = d->digits[0];
    if (d->count > 1) {
        out[len++] = '.';
        memcpy(out + len, d->digits + 1, (size_t)d->count - 1);
        len += (size_t)d->count - 1;
    }
    out[len++] = 'e';
    out[len++] = exponent < 0 ? '-' : '+';
    return len + print_digits(out + len, (uint64_t)(exponent < 0 ? -exponent : exponent));
}

/* Chooses between plain and scientific notation where Redis 7.2 does. */
static size_t print_decimal(char *out, const decimal *d)
{
    int exponent = abs(d->scale + d->count - 1);
    size_t count = (size_t)d->count;

    if (d->scale >= 0 && exponent < d->count + 7) {
        memcpy(out, d->digits, count);
        memset(out + count, '0', (size_t)d->scale);
        return count + (size_t)d->scale;
    }
    if (d->scale >= 0 || (d->scale <= -7 && exponent >= 4)) return print_scientific(out, d);

    int whole = d->count + d->scale;
    if (whole > 0) {
        memcpy(out, d->digits, (size_t)whole);
        out[whole] = '.';
        memcpy(out + whole + 1, d->digits + whole, count - (size_t)whole);
        return count + 1;
    }
    size_t zeros = (size_t)-whole;
    memcpy(out, "0.", 2);
    memset(out + 2, '0', zeros);
    memcpy(out + 2 + zeros, d->digits, count);
    return 2 + zeros + count;
}

size_t fe_number_print_double(char out[64], double value)
{
    if (isnan(value)) {
        memcpy(out, "nan", 3);
        return 3;
    }
    size_t len = 0;
    if (signbit(value)) {
        out[len++] = '-';
        value = -value;
    }
    if (isinf(value)) {
        memcpy(out + len, "inf", 3);
        return len + 3;
    }
    /* Below 2^52 a whole number prints all its digits, however many zeros it ends with. */
    if (value <= 0x1p52 && value == (double)(uint64_t)value) {
        return len + print_digits(out + len, (uint64_t)value);
    }
    decimal d;
    shorten(value, &d);
    return len + print_decimal(out + len, &d);
}
