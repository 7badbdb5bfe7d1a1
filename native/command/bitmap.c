/* Bitmaps: single bits, counts, searches and combinations of strings. */
#include "command/bit_offset.h"
#include "command/families.h"
#include "command/open.h"
#include "command/string_size.h"
#include "resp/number.h"
#include "value/bits.h"

/* The existing string that argv[i] names, or an empty one. False after an error reply. */
static bool read_string(fe_call *call, uint32_t i, fe_key *key, char digits[21], fe_bytes *text)
{
    *text = (fe_bytes){NULL, 0};
    if (!fe_open_read(call, i, key)) return true;
    if (!fe_open_check_type(call, key, FE_TYPE_STRING)) return false;
    *text = fe_open_text(key, digits);
    return true;
}

/* Single bits. ----------------------------------------------------------------------------------
 */

static bool read_bit(fe_call *call, uint32_t i, bool *bit)
{
    int64_t value;
    if (fe_number_read_int64(call->argv[i], &value) && (value == 0 || value == 1)) {
        *bit = value == 1;
        return true;
    }
    fe_call_error(call, "ERR bit is not an integer or out of range");
    return false;
}

/* Whether the bit lies inside the value and is already as wanted, so that nothing has to be
 * written. (The string takes its raw form all the same, which OBJECT ENCODING shows.) */
static bool is_set_so(const fe_key *key, uint64_t offset, bool bit)
{
    char digits[21];
    fe_bytes text = fe_open_text(key, digits);
    return offset / 8 < text.len && fe_bits_get(text, offset) == bit;
}

static void setbit(fe_call *call)
{
    uint64_t offset;
    bool bit;
    if (!fe_bit_offset_read(call, 2, 0, &offset) || !read_bit(call, 3, &bit)) return;
    fe_key key;
    if (fe_open_write(call, 1, &key)) {
        if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
        if (is_set_so(&key, offset, bit)) {
            if (fe_open_make_raw(call, &key)) fe_reply_integer(&call->reply, bit);
            return;
        }
    }
    uint8_t *value = fe_open_raw(call, &key, (size_t)(offset / 8) + 1);
    if (value != NULL) fe_reply_integer(&call->reply, fe_bits_set(value, offset, bit));
}

static void getbit(fe_call *call)
{
    uint64_t offset;
    if (!fe_bit_offset_read(call, 2, 0, &offset)) return;
    fe_key key;
    char digits[21];
    fe_bytes text;
    if (read_string(call, 1, &key, digits, &text))
        fe_reply_integer(&call->reply, fe_bits_get(text, offset));
}

/* Ranges. ---------------------------------------------------------------------------------------
 */

/* Argument `i` as the unit of a range. */
static bool read_unit(fe_call *call, uint32_t i, bool *bits)
{
    *bits = fe_bytes_is_word(call->argv[i], "bit");
    if (*bits || fe_bytes_is_word(call->argv[i], "byte")) return true;
    fe_call_syntax_error(call);
    return false;
}

/* Turns a range in bits or bytes into one of bits, both ends included, inside a value of `len`
 * bytes. False when it is empty. */
static bool bit_range(int64_t start, int64_t end, bool bits, size_t len, uint64_t *first,
                      uint64_t *last)
{
    if (!fe_string_range(&start, &end, (int64_t)(bits ? len * 8 : len))) return false;
    *first = bits ? (uint64_t)start : (uint64_t)start * 8;
    *last = bits ? (uint64_t)end : (uint64_t)end * 8 + 7;
    return true;
}

/* The range arguments of BITCOUNT. False after an error reply, or after the reply of 0 that a range
 * which ends before it starts gets even when its unit is not one. */
static bool read_bitcount_range(fe_call *call, int64_t *start, int64_t *end, bool *bits)
{
    *start = 0;
    *end = -1;
    *bits = false;
    if (call->argc == 2) return true;
    if (call->argc == 3 || call->argc > 5) {
        fe_call_syntax_error(call);
        return false;
    }
    if (!fe_call_int64(call, 2, start) || !fe_call_int64(call, 3, end)) return false;
    if (fe_string_range_reversed(*start, *end)) {
        fe_reply_integer(&call->reply, 0);
        return false;
    }
    return call->argc == 4 || read_unit(call, 4, bits);
}

static void bitcount(fe_call *call)
{
    fe_key key;
    char digits[21];
    fe_bytes text;
    if (!read_string(call, 1, &key, digits, &text)) return;
    if (!fe_key_exists(&key)) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    int64_t start, end;
    bool bits;
    if (!read_bitcount_range(call, &start, &end, &bits)) return;
    uint64_t first, last;
    bool empty = !bit_range(start, end, bits, text.len, &first, &last);
    fe_reply_integer(&call->reply, empty ? 0 : (int64_t)fe_bits_count(text, first, last));
}

/* The range arguments of BITPOS. False after an error reply. */
static bool read_bitpos_range(fe_call *call, int64_t *start, int64_t *end, bool *bits)
{
    *start = 0;
    *end = -1;
    *bits = false;
    if (call->argc > 6) {
        fe_call_syntax_error(call);
        return false;
    }
    if (call->argc >= 4 && !fe_call_int64(call, 3, start)) return false;
    if (call->argc == 6 && !read_unit(call, 5, bits)) return false;
    return call->argc < 5 || fe_call_int64(call, 4, end);
}

static void bitpos(fe_call *call)
{
    int64_t bit;
    if (!fe_call_int64(call, 2, &bit)) return;
    if (bit != 0 && bit != 1) {
        fe_call_error(call, "ERR The bit argument must be 1 or 0.");
        return;
    }
    fe_key key;
    char digits[21];
    fe_bytes text;
    if (!read_string(call, 1, &key, digits, &text)) return;
    if (!fe_key_exists(&key)) {
        fe_reply_integer(&call->reply, bit ? -1 : 0);
        return;
    }
    int64_t start, end;
    bool bits;
    if (!read_bitpos_range(call, &start, &end, &bits)) return;
    uint64_t first, last, position;
    if (!bit_range(start, end, bits, text.len, &first, &last))
        fe_reply_integer(&call->reply, -1);
    else if (fe_bits_find(text, bit == 1, first, last, &position))
        fe_reply_integer(&call->reply, (int64_t)position);
    else /* without an end the value goes on with clear bits for ever */
        fe_reply_integer(&call->reply, bit == 0 && call->argc < 5 ? (int64_t)text.len * 8 : -1);
}

/* Combinations. ---------------------------------------------------------------------------------
 */

static bool read_op(fe_call *call, fe_bits_op *op)
{
    fe_bytes word = call->argv[1];
    if (fe_bytes_is_word(word, "and"))
        *op = FE_BITS_AND;
    else if (fe_bytes_is_word(word, "or"))
        *op = FE_BITS_OR;
    else if (fe_bytes_is_word(word, "xor"))
        *op = FE_BITS_XOR;
    else if (fe_bytes_is_word(word, "not"))
        *op = FE_BITS_NOT;
    else {
        fe_call_syntax_error(call);
        return false;
    }
    if (*op != FE_BITS_NOT || call->argc == 4) return true;
    fe_call_error(call, "ERR BITOP NOT must be called with a single source key.");
    return false;
}

/* Sources of BITOP: the texts, and room for the digits of those that are integers. */
typedef struct bit_source {
    fe_bytes text;
    char digits[21];
} bit_source;

/* Opens all sources. A look-up may remove an expired key, but moves no record, so the texts stay
 * where they are. */
static bool read_sources(fe_call *call, bit_source *sources, size_t *len_max)
{
    *len_max = 0;
    for (uint32_t i = 3; i < call->argc; i++) {
        fe_key key;
        bit_source *source = &sources[i - 3];
        if (!read_string(call, i, &key, source->digits, &source->text)) return false;
        if (source->text.len > *len_max) *len_max = source->text.len;
    }
    return true;
}

/* The result goes through scratch memory because the destination may be one of the sources. */
static void combine(fe_call *call, fe_bits_op op, const bit_source *sources, fe_bytes *inputs,
                    size_t len)
{
    uint32_t count = call->argc - 3;
    fe_key to;
    if (len == 0) {
        if (fe_open_write(call, 2, &to)) fe_key_delete(&to);
        fe_reply_integer(&call->reply, 0);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        inputs[i] = sources[i].text;
    uint8_t *result = fe_alloc_take(&call->engine->alloc, FE_ALLOC_SCRATCH, len);
    if (result == NULL) {
        fe_call_no_memory(call);
        return;
    }
    fe_bits_combine(op, inputs, count, result, len);
    fe_open_write(call, 2, &to);
    if (fe_open_store_bytes(call, &to, FE_VALUE_RAW, (fe_bytes){result, len}, FE_DEADLINE_NONE))
        fe_reply_integer(&call->reply, (int64_t)len);
    fe_alloc_give(&call->engine->alloc, FE_ALLOC_SCRATCH, result);
}

static void bitop(fe_call *call)
{
    fe_bits_op op;
    if (!read_op(call, &op)) return;
    fe_alloc *alloc = &call->engine->alloc;
    size_t count = call->argc - 3;
    bit_source *sources = fe_alloc_take(alloc, FE_ALLOC_SCRATCH, count * sizeof(*sources));
    fe_bytes *inputs = fe_alloc_take(alloc, FE_ALLOC_SCRATCH, count * sizeof(*inputs));
    size_t len;
    if (sources == NULL || inputs == NULL)
        fe_call_no_memory(call);
    else if (read_sources(call, sources, &len))
        combine(call, op, sources, inputs, len);
    fe_alloc_give(alloc, FE_ALLOC_SCRATCH, inputs);
    fe_alloc_give(alloc, FE_ALLOC_SCRATCH, sources);
}

static const fe_command_row rows[] = {
    {
        .name = "setbit",
        .run = setbit,
        .arity = 4,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_BITMAP,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "bitmap",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Sets or clears one bit of a string and answers what it was.",
        .syntax = "key offset value",
    },
    {
        .name = "getbit",
        .run = getbit,
        .arity = 3,
        .flags = FE_READONLY | FE_FAST,
        .categories = FE_CAT_BITMAP,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "bitmap",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Answers one bit of a string.",
        .syntax = "key offset",
    },
    {
        .name = "bitcount",
        .run = bitcount,
        .arity = -2,
        .flags = FE_READONLY,
        .categories = FE_CAT_BITMAP,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "bitmap",
        .since = "2.6.0",
        .complexity = "O(N) with N the length of the range",
        .summary = "Counts the set bits of a string or of a range of it.",
        .syntax = "key [start end [BYTE | BIT]]",
    },
    {
        .name = "bitpos",
        .run = bitpos,
        .arity = -3,
        .flags = FE_READONLY,
        .categories = FE_CAT_BITMAP,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "bitmap",
        .since = "2.8.7",
        .complexity = "O(N) with N the length of the range",
        .summary = "Finds the first set or the first clear bit of a string.",
        .syntax = "key bit [start [end [BYTE | BIT]]]",
    },
    {
        .name = "bitop",
        .run = bitop,
        .arity = -4,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_BITMAP,
        .keys = {{FE_KEY_OW | FE_KEY_UPDATE, 2, 0, 1}, {FE_KEY_RO | FE_KEY_ACCESS, 3, -1, 1}},
        .group = "bitmap",
        .since = "2.6.0",
        .complexity = "O(N) with N the sum of the lengths",
        .summary = "Combines strings bit by bit and stores the result.",
        .syntax = "<AND | OR | XOR | NOT> destkey key [key ...]",
    },
};

FE_FAMILY_DEFINE(bitmap, rows);
