/* The record: one key with its value, as it lies in the log.
 *
 * A record is 8-byte aligned and self-describing. All fields are little-endian.
 *
 *   small form (key <= 255 bytes, value <= 65535 bytes)
 *
 *     byte 0      1         2..3        4..7            8..15            then
 *     +-----------+---------+-----------+---------------+----------------+-----+-------+-----+
 *     | type:4    | key_len | value_len | keyspace:12   | deadline ms    | key | value | pad |
 *     | flags:4   |         |           | access:20     | (if EXPIRY)    |     |       |     |
 *     +-----------+---------+-----------+---------------+----------------+-----+-------+-----+
 *
 *   large form (flag LARGE): key_len and value_len above are 0, and 16 bytes follow the word:
 *     u32 key_len, u32 value_len, u32 value_cap (>= value_len), u32 zero; then deadline, key,
 *     value, slack.
 *     A string that grows (APPEND, SETRANGE, SETBIT) takes this form, for its capacity.
 *
 *   head (in the read cache only): a record of the large form without its value, for commands that need none. value_len
 *     tells the value's length, value_cap is 0, and instead of zero stands the size of the whole record, in 8-byte units.
 *
 *   filler (type 0): a dead record or unused space; bits 8..31 hold its whole size in 8-byte units
 *     (>= 1).
 *     Walking a segment from its first byte therefore always meets a record or a filler.
 *
 * The upper half of the first word (keyspace, access) is meaningful only in memory; a sealed copy
 * on disk carries a CRC-32C of the record there instead, and its keyspace in the segment's footer.
 * That is why a record costs 8 bytes and not 16.
 *
 * INT: the value is 8 bytes, an int64 (the encoding that Redis calls "int"). EXPIRY: the deadline
 * field is present; a deadline of 0 means "none" (PERSIST leaves the field).
 */
#ifndef FE_STORE_RECORD_H
#define FE_STORE_RECORD_H

#include "base/assert.h"
#include "base/bytes.h"

#define FE_RECORD_ALIGN 8u
#define FE_RECORD_SMALL_KEY_MAX 255u
#define FE_RECORD_SMALL_VALUE_MAX 65535u
#define FE_RECORD_LARGE_EXTRA 16u
#define FE_KEYSPACE_MAX 4095u /* keyspace ids are 1..4095; 0 is never valid */

typedef enum fe_type {
    FE_TYPE_FILLER = 0,
    FE_TYPE_STRING = 1
    /* list, set, zset, hash, stream follow in their own work; the field has 4 bits */
} fe_type;

enum {
    FE_RECORD_EXPIRY = 1, /* the deadline field is present */
    FE_RECORD_LARGE = 2,  /* 32-bit lengths and a capacity follow the word */
    FE_RECORD_INT = 4,    /* the value is an int64 */
};

typedef struct fe_record {
    uint64_t word;
} fe_record;

_Static_assert(sizeof(fe_record) == 8, "the record word is 8 bytes");

static inline fe_type fe_record_type(const fe_record *record)
{
    return (fe_type)(record->word & 15u);
}

static inline unsigned fe_record_flags(const fe_record *record)
{
    return (unsigned)(record->word >> 4) & 15u;
}

static inline uint32_t fe_record_load32(const fe_record *record, size_t offset)
{
    uint32_t value;
    memcpy(&value, (const uint8_t *)record + offset, 4);
    return value;
}

static inline void fe_record_store32(fe_record *record, size_t offset, uint32_t value)
{
    memcpy((uint8_t *)record + offset, &value, 4);
}

static inline uint32_t fe_record_key_len(const fe_record *record)
{
    if (fe_record_flags(record) & FE_RECORD_LARGE) return fe_record_load32(record, 8);
    return (uint32_t)(record->word >> 8) & 255u;
}

static inline uint32_t fe_record_value_len(const fe_record *record)
{
    if (fe_record_flags(record) & FE_RECORD_LARGE) return fe_record_load32(record, 12);
    return (uint32_t)(record->word >> 16) & 65535u;
}

/* Bytes reserved for the value; equals value_len in the small form (its padding is not capacity).
 */
static inline uint32_t fe_record_value_cap(const fe_record *record)
{
    if (fe_record_flags(record) & FE_RECORD_LARGE) return fe_record_load32(record, 16);
    return (uint32_t)(record->word >> 16) & 65535u;
}

static inline size_t fe_record_head_len(unsigned flags)
{
    return 8u + ((flags & FE_RECORD_LARGE) ? FE_RECORD_LARGE_EXTRA : 0u) +
           ((flags & FE_RECORD_EXPIRY) ? 8u : 0u);
}

/* The whole size of a record with these properties, a multiple of 8. */
static inline size_t fe_record_size_for(unsigned flags, size_t key_len, size_t value_cap)
{
    return (fe_record_head_len(flags) + key_len + value_cap + 7u) & ~(size_t)7u;
}

static inline size_t fe_record_size(const fe_record *record)
{
    if (fe_record_type(record) == FE_TYPE_FILLER)
        return (size_t)((uint32_t)(record->word >> 8) & 0xffffffu) * 8u;
    return fe_record_size_for(fe_record_flags(record), fe_record_key_len(record),
                              fe_record_value_cap(record));
}

/* Whether the value is missing: what the record tells of it, its length and type, holds. */
static inline bool fe_record_is_head(const fe_record *record)
{
    return (fe_record_flags(record) & FE_RECORD_LARGE) && fe_record_load32(record, 20) != 0;
}

/* The size of the record with its value: of a head, that of the record it was made of. */
static inline size_t fe_record_whole_size(const fe_record *record)
{
    if (fe_record_is_head(record)) return (size_t)fe_record_load32(record, 20) * FE_RECORD_ALIGN;
    return fe_record_size(record);
}

static inline fe_bytes fe_record_key(const fe_record *record)
{
    return (fe_bytes){(const uint8_t *)record + fe_record_head_len(fe_record_flags(record)),
                      fe_record_key_len(record)};
}

static inline uint8_t *fe_record_value_ptr(fe_record *record)
{
    return (uint8_t *)record + fe_record_head_len(fe_record_flags(record)) +
           fe_record_key_len(record);
}

static inline fe_bytes fe_record_value(const fe_record *record)
{
    FE_ASSERT(!fe_record_is_head(record)); /* else a command runs that said it needs no value */
    return (fe_bytes){(const uint8_t *)record + fe_record_head_len(fe_record_flags(record)) +
                          fe_record_key_len(record),
                      fe_record_value_len(record)};
}

/* Unix milliseconds, or 0 when the record never expires. */
static inline int64_t fe_record_deadline(const fe_record *record)
{
    unsigned flags = fe_record_flags(record);
    if (!(flags & FE_RECORD_EXPIRY)) return 0;
    int64_t deadline;
    memcpy(&deadline, (const uint8_t *)record + 8 + ((flags & FE_RECORD_LARGE) ? 16 : 0), 8);
    return deadline;
}

/* Makes a record, whose value has at least 16 bytes, a head in place; returns its size then. */
size_t fe_record_cut(fe_record *record);

static inline uint32_t fe_record_keyspace(const fe_record *record)
{
    return (uint32_t)(record->word >> 32) & 4095u;
}

/* 20 bits for the eviction policy: LRU: seconds of the store's clock; LFU: 12 bits of minutes, 8 of
 * log counter. */
static inline uint32_t fe_record_access(const fe_record *record)
{
    return (uint32_t)(record->word >> 44);
}

static inline void fe_record_set_access(fe_record *record, uint32_t access)
{
    FE_ASSERT(access < (1u << 20));
    record->word = (record->word & 0xfffffffffffULL) | ((uint64_t)access << 44);
}

#endif
