/* Strings as numbers: counters. An integer that is held as one is changed in its place. */
#include "command/families.h"
#include "command/open.h"
#include "resp/number.h"

#include <math.h>

/* Reads the number that an existing key holds. */
static bool read_counter(fe_call *call, const fe_key *key, int64_t *value)
{
    if (FE_LIKELY(fe_open_int(key, value))) return true;
    if (!fe_open_check_type(call, key, FE_TYPE_STRING)) return false;
    if (fe_number_read_int64(fe_record_value(key->record), value)) return true;
    fe_call_error(call, "ERR value is not an integer or out of range");
    return false;
}

static void add(fe_call *call, int64_t increment)
{
    fe_key key;
    int64_t value = 0;
    if (fe_open_write(call, 1, &key) && !read_counter(call, &key, &value)) return;
    int64_t sum;
    if (__builtin_add_overflow(value, increment, &sum)) {
        fe_call_error(call, "ERR increment or decrement would overflow");
        return;
    }
    if (fe_key_exists(&key) && (fe_record_flags(key.record) & FE_RECORD_INT)) {
        uint8_t *at = fe_key_edit(&key);
        if (at == NULL) {
            fe_call_no_memory(call);
            return;
        }
        memcpy(at, &sum, sizeof(sum));
        fe_key_changed(&key);
    } else if (!fe_open_store_int(call, &key, sum, FE_DEADLINE_KEEP)) {
        return;
    }
    fe_reply_integer(&call->reply, sum);
}

static void incr(fe_call *call)
{
    add(call, 1);
}

static void decr(fe_call *call)
{
    add(call, -1);
}

static void incrby(fe_call *call)
{
    int64_t increment;
    if (fe_call_int64(call, 2, &increment)) add(call, increment);
}

static void decrby(fe_call *call)
{
    int64_t decrement;
    if (!fe_call_int64(call, 2, &decrement)) return;
    if (decrement == INT64_MIN)
        fe_call_error(call, "ERR decrement would overflow");
    else
        add(call, -decrement);
}

static bool read_float(fe_call *call, fe_bytes text, long double *value)
{
    if (fe_number_read_long_double(text, value)) return true;
    fe_call_error(call, "ERR value is not a valid float");
    return false;
}

/* The result is text even where it is a whole number, as in Redis: it is not held as an integer. */
static void incrbyfloat(fe_call *call)
{
    fe_key key;
    long double value = 0, increment;
    if (fe_open_write(call, 1, &key)) {
        if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
        char digits[21];
        if (!read_float(call, fe_open_text(&key, digits), &value)) return;
    }
    if (!read_float(call, call->argv[2], &increment)) return;
    value += increment;
    if (isnan(value) || isinf(value)) {
        fe_call_error(call, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[5120];
    fe_bytes sum = {(const uint8_t *)text, fe_number_print_long_double(text, value)};
    if (fe_open_store_bytes(call, &key, FE_VALUE_PLAIN, sum, FE_DEADLINE_KEEP))
        fe_reply_bulk(&call->reply, sum);
}

#define COUNTER_ROW                                                                                \
    .flags = FE_WRITE | FE_DENYOOM | FE_FAST, .categories = FE_CAT_STRING,                         \
    .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_UPDATE, 1, 0, 1}}, .group = "string",             \
    .complexity = "O(1)"

static const fe_command_row rows[] = {
    {
        .name = "incr",
        .run = incr,
        .arity = 2,
        .since = "1.0.0",
        .summary = "Adds one to the integer at a key; an absent key counts as 0.",
        .syntax = "key",
        COUNTER_ROW,
    },
    {
        .name = "decr",
        .run = decr,
        .arity = 2,
        .since = "1.0.0",
        .summary = "Takes one from the integer at a key; an absent key counts as 0.",
        .syntax = "key",
        COUNTER_ROW,
    },
    {
        .name = "incrby",
        .run = incrby,
        .arity = 3,
        .since = "1.0.0",
        .summary = "Adds an integer to the integer at a key; an absent key counts as 0.",
        .syntax = "key increment",
        COUNTER_ROW,
    },
    {
        .name = "decrby",
        .run = decrby,
        .arity = 3,
        .since = "1.0.0",
        .summary = "Takes an integer from the integer at a key; an absent key counts as 0.",
        .syntax = "key decrement",
        COUNTER_ROW,
    },
    {
        .name = "incrbyfloat",
        .run = incrbyfloat,
        .arity = 3,
        .since = "2.6.0",
        .summary = "Adds a decimal fraction to the number at a key; an absent key counts as 0.",
        .syntax = "key increment",
        COUNTER_ROW,
    },
};

FE_FAMILY_DEFINE(string_number, rows);
