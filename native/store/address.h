/* Addresses: where a record lies in the log.
 *
 *     bit 39                    offset_bits             0
 *     +---------------------------+---------------------+
 *     | segment number (from 1)   | offset / 8          |
 *     +---------------------------+---------------------+
 *
 * 40 bits, so that an index slot has room for a tag and a state beside it. The width of the offset
 * follows the largest segment size of the store and never changes while it lives. Segment numbers
 * start at 1: address 0 is never valid.
 */
#ifndef FE_STORE_ADDRESS_H
#define FE_STORE_ADDRESS_H

#include <stdint.h>

typedef uint64_t fe_address;

#define FE_ADDRESS_NONE 0u
#define FE_ADDRESS_BITS 40u
#define FE_ADDRESS_MASK ((1ull << FE_ADDRESS_BITS) - 1)

static inline fe_address fe_address_make(uint32_t segment, uint64_t offset, unsigned offset_bits)
{
    return ((uint64_t)segment << offset_bits) | (offset >> 3);
}

static inline uint32_t fe_address_segment(fe_address address, unsigned offset_bits)
{
    return (uint32_t)(address >> offset_bits);
}

/* In bytes from the segment's first byte. */
static inline uint64_t fe_address_offset(fe_address address, unsigned offset_bits)
{
    return (address & ((1ull << offset_bits) - 1)) << 3;
}

#endif
