/* Bits in byte strings.
 *
 * Layout: bit n of a value is bit 7 - n % 8 of byte n / 8:
 *
 *     byte       0                1
 *     offset     0 1 2 3 4 5 6 7  8 9 ...
 *     weight     80 40 ...     1  80 40
 *
 * A field of BITFIELD is a run of such bits, most significant first, on any offset; so it touches
 * at most nine bytes.
 *
 * Long runs are handled in `lanes` of 16 bytes, which compilers turn into the vector registers that
 * every machine of the architecture has; no choice by processor at run time is needed. Counting
 * uses the Harley-Seal tree of carry-save adders (Mula, Kurz and Lemire, "Faster population counts
 * using AVX2 instructions", 2018), which does one real population count per 16 lanes.
 *
 * Threads: pure functions.
 */
#include "value/bits.h"

#include "base/assert.h"

typedef uint64_t lanes __attribute__((vector_size(16)));

enum {
    LANES_BYTES = 16,
    BLOCK_BYTES = 16 * LANES_BYTES, /* one round of the adder tree */
    COMBINE_CHUNK_BYTES = 8192, /* stays in the first-level cache while inputs are folded into it */
};

static lanes load_lanes(const uint8_t *from)
{
    lanes value;
    memcpy(&value, from, sizeof value);
    return value;
}

static uint64_t load_word(const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* The bits of a byte from position `first` (0 is the most significant) to its end, and up to
 * `last`. */
static uint8_t mask_from(uint64_t first)
{
    return (uint8_t)(0xFFU >> (first % 8));
}

static uint8_t mask_up_to(uint64_t last)
{
    return (uint8_t)(0xFFU << (7 - last % 8));
}

static uint64_t mask_low(unsigned width)
{
    return width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
}

bool fe_bits_get(fe_bytes value, uint64_t offset)
{
    if (offset / 8 >= value.len) return false;
    return (value.ptr[offset / 8] >> (7 - offset % 8)) & 1;
}

bool fe_bits_set(uint8_t *bytes, uint64_t offset, bool bit)
{
    uint8_t *byte = bytes + offset / 8;
    uint8_t mask = (uint8_t)(0x80U >> (offset % 8));
    bool old = (*byte & mask) != 0;
    *byte = (uint8_t)(bit ? *byte | mask : *byte & ~mask);
    return old;
}

/* -- counting -- */

static uint64_t count_word(uint64_t word)
{
    word -= (word >> 1) & 0x5555555555555555U;
    word = (word & 0x3333333333333333U) + ((word >> 2) & 0x3333333333333333U);
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0FU;
    return (word * 0x0101010101010101U) >> 56;
}

static uint64_t count_lanes(lanes value)
{
    return count_word(value[0]) + count_word(value[1]);
}

/* Adds three one-bit numbers in every bit position: *sum and the carry that is returned. */
static inline lanes add3(lanes *sum, lanes b, lanes c)
{
    lanes either = *sum ^ b;
    lanes carry = (*sum & b) | (either & c);
    *sum = either ^ c;
    return carry;
}

/* Counters of weight 1, 2, 4 and 8 that carry over from block to block. */
typedef struct adder_tree {
    lanes ones, twos, fours, eights;
} adder_tree;

static inline lanes add_four(adder_tree *tree, const uint8_t *from)
{
    lanes twos_a = add3(&tree->ones, load_lanes(from), load_lanes(from + LANES_BYTES));
    lanes twos_b =
        add3(&tree->ones, load_lanes(from + 2 * LANES_BYTES), load_lanes(from + 3 * LANES_BYTES));
    return add3(&tree->twos, twos_a, twos_b);
}

static inline lanes add_eight(adder_tree *tree, const uint8_t *from)
{
    lanes fours_a = add_four(tree, from);
    lanes fours_b = add_four(tree, from + 4 * LANES_BYTES);
    return add3(&tree->fours, fours_a, fours_b);
}

static uint64_t count_blocks(const uint8_t *from, size_t blocks)
{
    adder_tree tree = {{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    uint64_t sixteens = 0;

    for (size_t i = 0; i < blocks; i++, from += BLOCK_BYTES) {
        lanes eights_a = add_eight(&tree, from);
        lanes eights_b = add_eight(&tree, from + BLOCK_BYTES / 2);
        sixteens += count_lanes(add3(&tree.eights, eights_a, eights_b));
    }
    return 16 * sixteens + 8 * count_lanes(tree.eights) + 4 * count_lanes(tree.fours) +
           2 * count_lanes(tree.twos) + count_lanes(tree.ones);
}

static uint64_t count_bytes(const uint8_t *from, size_t len)
{
    size_t blocks = len / BLOCK_BYTES;
    uint64_t count = blocks == 0 ? 0 : count_blocks(from, blocks);

    from += blocks * BLOCK_BYTES;
    len -= blocks * BLOCK_BYTES;
    for (; len >= 8; from += 8, len -= 8)
        count += count_word(load_word(from));
    if (len == 0) return count;

    uint64_t rest = 0;
    memcpy(&rest, from, len);
    return count + count_word(rest);
}

uint64_t fe_bits_count(fe_bytes value, uint64_t first, uint64_t last)
{
    FE_ASSERT(first <= last && last / 8 < value.len);
    size_t first_byte = (size_t)(first / 8);
    size_t last_byte = (size_t)(last / 8);

    if (first_byte == last_byte) {
        return count_word(value.ptr[first_byte] & mask_from(first) & mask_up_to(last));
    }
    return count_word(value.ptr[first_byte] & mask_from(first)) +
           count_bytes(value.ptr + first_byte + 1, last_byte - first_byte - 1) +
           count_word(value.ptr[last_byte] & mask_up_to(last));
}

uint64_t fe_bits_count_all(fe_bytes value)
{
    return value.len == 0 ? 0 : count_bytes(value.ptr, value.len);
}

/* -- searching -- */

/* The first byte in [at, end) that is not `skip`, or `end`. */
static size_t skip_bytes(const uint8_t *bytes, size_t at, size_t end, uint8_t skip)
{
    uint64_t skip_word = skip * 0x0101010101010101U;

    while (end - at >= 8 && load_word(bytes + at) == skip_word)
        at += 8;
    while (at < end && bytes[at] == skip)
        at++;
    return at;
}

bool fe_bits_find(fe_bytes value, bool bit, uint64_t first, uint64_t last, uint64_t *position)
{
    FE_ASSERT(first <= last && last / 8 < value.len);
    uint8_t skip = bit ? 0 : 0xFF;
    size_t at = (size_t)(first / 8);
    size_t last_byte = (size_t)(last / 8);
    uint8_t found = (value.ptr[at] ^ skip) & mask_from(first);

    if (found == 0 && at < last_byte) {
        at = skip_bytes(value.ptr, at + 1, last_byte, skip);
        found = value.ptr[at] ^ skip;
    }
    if (at == last_byte) found &= mask_up_to(last);
    if (found == 0) return false;

    *position = (uint64_t)at * 8 + (uint64_t)(__builtin_clz(found) - 24);
    return true;
}

/* -- combining -- */

/* Inlined with a constant `op`, so that each loop does one kind of work. */
static inline __attribute__((always_inline)) void fold_as(fe_bits_op op, uint8_t *out,
                                                          const uint8_t *in, size_t len)
{
    for (; len >= LANES_BYTES; out += LANES_BYTES, in += LANES_BYTES, len -= LANES_BYTES) {
        lanes x = load_lanes(out);
        lanes y = load_lanes(in);
        lanes z = op == FE_BITS_AND ? (x & y) : op == FE_BITS_OR ? (x | y) : (x ^ y);
        memcpy(out, &z, sizeof z);
    }
    for (; len > 0; out++, in++, len--) {
        unsigned x = *out, y = *in;
        *out = (uint8_t)(op == FE_BITS_AND ? (x & y) : op == FE_BITS_OR ? (x | y) : (x ^ y));
    }
}

/* Combines `in`, filled up with zero bytes to `len`, into `out`. */
static void fold(fe_bits_op op, uint8_t *out, size_t len, fe_bytes in)
{
    size_t common = in.len < len ? in.len : len;

    switch (op) {
    case FE_BITS_AND:
        fold_as(FE_BITS_AND, out, in.ptr, common);
        memset(out + common, 0, len - common);
        break;
    case FE_BITS_OR: fold_as(FE_BITS_OR, out, in.ptr, common); break;
    case FE_BITS_XOR: fold_as(FE_BITS_XOR, out, in.ptr, common); break;
    case FE_BITS_NOT: FE_ASSERT(op != FE_BITS_NOT); break; /* fe_bits_combine inverts instead */
    }
}

static void invert(uint8_t *out, fe_bytes in)
{
    size_t i = 0;

    for (; in.len - i >= LANES_BYTES; i += LANES_BYTES) {
        lanes z = ~load_lanes(in.ptr + i);
        memcpy(out + i, &z, sizeof z);
    }
    for (; i < in.len; i++)
        out[i] = (uint8_t)~in.ptr[i];
}

/* The part of `in` from `from` on, at most `len` bytes; empty behind the end. */
static fe_bytes slice(fe_bytes in, size_t from, size_t len)
{
    if (from >= in.len) return (fe_bytes){NULL, 0};
    return (fe_bytes){in.ptr + from, in.len - from < len ? in.len - from : len};
}

void fe_bits_combine(fe_bits_op op, const fe_bytes *inputs, size_t count, uint8_t *out,
                     size_t out_len)
{
    FE_ASSERT(count >= 1);
    if (op == FE_BITS_NOT) {
        FE_ASSERT(count == 1 && inputs[0].len == out_len);
        invert(out, inputs[0]);
        return;
    }
    for (size_t at = 0; at < out_len; at += COMBINE_CHUNK_BYTES) {
        size_t len = out_len - at < COMBINE_CHUNK_BYTES ? out_len - at : COMBINE_CHUNK_BYTES;
        fe_bytes first = slice(inputs[0], at, len);

        if (first.len > 0) memcpy(out + at, first.ptr, first.len);
        memset(out + at + first.len, 0, len - first.len);
        for (size_t i = 1; i < count; i++)
            fold(op, out + at, len, slice(inputs[i], at, len));
    }
}

/* -- fields -- */

/* A field is read and written byte by byte: the part of it that lies in the byte of `offset` is
 * `take` bits wide and ends `shift` bits above the byte's lowest. */
typedef struct field_part {
    unsigned take;
    unsigned shift;
} field_part;

static field_part part_at(uint64_t offset, unsigned left)
{
    unsigned room = (unsigned)(8 - offset % 8);
    unsigned take = left < room ? left : room;
    return (field_part){take, room - take};
}

static uint64_t get_field(fe_bytes value, uint64_t offset, unsigned width)
{
    uint64_t field = 0;

    for (unsigned left = width; left > 0;) {
        field_part part = part_at(offset, left);
        uint64_t byte = offset / 8 < value.len ? value.ptr[offset / 8] : 0;
        field = (field << part.take) | ((byte >> part.shift) & mask_low(part.take));
        offset += part.take;
        left -= part.take;
    }
    return field;
}

static int64_t sign_extend(uint64_t field, unsigned width)
{
    uint64_t sign = (uint64_t)1 << (width - 1);
    return (int64_t)(((field & mask_low(width)) ^ sign) - sign);
}

uint64_t fe_bits_get_unsigned(fe_bytes value, uint64_t offset, unsigned width)
{
    FE_ASSERT(width >= 1 && width <= 63);
    return get_field(value, offset, width);
}

int64_t fe_bits_get_signed(fe_bytes value, uint64_t offset, unsigned width)
{
    FE_ASSERT(width >= 1 && width <= 64);
    return sign_extend(get_field(value, offset, width), width);
}

void fe_bits_set_field(uint8_t *bytes, uint64_t offset, unsigned width, uint64_t field)
{
    FE_ASSERT(width >= 1 && width <= 64);
    for (unsigned left = width; left > 0;) {
        field_part part = part_at(offset, left);
        uint8_t mask = (uint8_t)(mask_low(part.take) << part.shift);
        uint8_t bits = (uint8_t)(((field >> (left - part.take)) << part.shift) & mask);
        bytes[offset / 8] = (uint8_t)((bytes[offset / 8] & ~mask) | bits);
        offset += part.take;
        left -= part.take;
    }
}

/* Where a sum lies, as seen from the range of its field. */
typedef enum where { INSIDE, ABOVE, BELOW } where;

static where place_unsigned(uint64_t value, int64_t increment, uint64_t max)
{
    if (value > max) return ABOVE;
    if (increment >= 0) return (uint64_t)increment > max - value ? ABOVE : INSIDE;
    return -(uint64_t)increment > value ? BELOW : INSIDE;
}

/* Redis measures first how far `value` lies below the maximum, in 64 bits; where that distance is
 * too long for an int64 it takes the value for one that lies above. Only a SET of a field narrower
 * than 64 bits to nearly INT64_MIN can tell, and we answer the same. */
static where place_signed(int64_t value, int64_t increment, unsigned width, int64_t max)
{
    int64_t min = -max - 1;
    int64_t sum;

    if (value > max) return ABOVE;
    if (width != 64 && (uint64_t)max - (uint64_t)value > (uint64_t)INT64_MAX) return ABOVE;
    if (value < min) return BELOW;
    if (__builtin_add_overflow(value, increment, &sum)) return increment > 0 ? ABOVE : BELOW;
    return sum > max ? ABOVE : sum < min ? BELOW : INSIDE;
}

bool fe_bits_add_unsigned(uint64_t value, int64_t increment, unsigned width,
                          fe_bits_overflow overflow, uint64_t *result)
{
    FE_ASSERT(width >= 1 && width <= 63);
    uint64_t max = mask_low(width);
    where place = place_unsigned(value, increment, max);

    if (place == INSIDE || overflow == FE_BITS_WRAP) {
        *result = (value + (uint64_t)increment) & max;
        return true;
    }
    if (overflow == FE_BITS_FAIL) return false;
    *result = place == ABOVE ? max : 0;
    return true;
}

bool fe_bits_add_signed(int64_t value, int64_t increment, unsigned width, fe_bits_overflow overflow,
                        int64_t *result)
{
    FE_ASSERT(width >= 1 && width <= 64);
    int64_t max = (int64_t)(mask_low(width) >> 1);
    where place = place_signed(value, increment, width, max);

    if (place == INSIDE || overflow == FE_BITS_WRAP) {
        *result = sign_extend((uint64_t)value + (uint64_t)increment, width);
        return true;
    }
    if (overflow == FE_BITS_FAIL) return false;
    *result = place == ABOVE ? max : -max - 1;
    return true;
}
