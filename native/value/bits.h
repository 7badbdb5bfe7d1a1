/* Bits in byte strings: the arithmetic below SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP and BITFIELD.
 *
 * Bit 0 is the most significant bit of byte 0, as in Redis. Offsets and positions are in bits
 * unless a name says bytes. Bytes behind the end of a value read as zero; writing functions need
 * the bytes to be there.
 *
 * Pure functions: no allocation, no state; any thread. Misuse (a range beyond the end where the
 * contract forbids it, a width out of bounds) is asserted.
 */
#ifndef FE_VALUE_BITS_H
#define FE_VALUE_BITS_H

#include "base/bytes.h"

/* The value of one bit; false behind the end. */
bool fe_bits_get(fe_bytes value, uint64_t offset);

/* Writes one bit and returns the one that was there. `bytes` holds more than offset / 8 bytes. */
bool fe_bits_set(uint8_t *bytes, uint64_t offset, bool bit);

/* Number of set bits from bit `first` to bit `last`, both included. first <= last < 8 * value.len.
 */
uint64_t fe_bits_count(fe_bytes value, uint64_t first, uint64_t last);

/* Number of set bits of the whole value; an empty value has none. */
uint64_t fe_bits_count_all(fe_bytes value);

/* Finds the first bit that equals `bit`, from bit `first` to bit `last`, both included. first <=
 * last < 8 * value.len. True and its position (from the start of the value), or false and *position
 * untouched. That BITPOS of a clear bit without an end answers the first position behind the value
 * is the caller's rule. */
bool fe_bits_find(fe_bytes value, bool bit, uint64_t first, uint64_t last, uint64_t *position);

typedef enum fe_bits_op {
    FE_BITS_AND,
    FE_BITS_OR,
    FE_BITS_XOR,
    FE_BITS_NOT, /* takes exactly one input */
} fe_bits_op;

/* Combines `count` (>= 1) inputs into out[0 .. out_len), where out_len is the length of the longest
 * input; shorter inputs count as filled up with zero bytes. `out` overlaps no input. */
void fe_bits_combine(fe_bits_op op, const fe_bytes *inputs, size_t count, uint8_t *out,
                     size_t out_len);

/* Reads a field of `width` bits at bit `offset`, most significant bit first. Unsigned: width 1 to
 * 63; signed (two's complement): width 1 to 64. */
uint64_t fe_bits_get_unsigned(fe_bytes value, uint64_t offset, unsigned width);
int64_t fe_bits_get_signed(fe_bytes value, uint64_t offset, unsigned width);

/* Writes the low `width` (1 to 64) bits of `field` at bit `offset`; a signed value is passed as its
 * two's complement. `bytes` holds at least fe_bits_field_bytes(offset, width) bytes. */
void fe_bits_set_field(uint8_t *bytes, uint64_t offset, unsigned width, uint64_t field);

/* Length in bytes that a value must have so that the field lies inside. */
static inline uint64_t fe_bits_field_bytes(uint64_t offset, unsigned width)
{
    return (offset + width - 1) / 8 + 1;
}

typedef enum fe_bits_overflow {
    FE_BITS_WRAP, /* keep the low bits */
    FE_BITS_SAT,  /* stop at the smallest or largest value */
    FE_BITS_FAIL, /* leave the field alone */
} fe_bits_overflow;

/* Adds `increment` to `value` for a field of `width` bits and applies the overflow rule. True and
 * the new field value; or false (only with FE_BITS_FAIL) and *result untouched.
 *
 * BITFIELD SET passes the new value as `value` with an increment of 0: the value may then be
 * outside of the field's range (an unsigned SET passes the argument cast to uint64_t). With an
 * increment other than 0 `value` must be a value of the field. */
bool fe_bits_add_unsigned(uint64_t value, int64_t increment, unsigned width,
                          fe_bits_overflow overflow, uint64_t *result);
bool fe_bits_add_signed(int64_t value, int64_t increment, unsigned width, fe_bits_overflow overflow,
                        int64_t *result);

#endif
