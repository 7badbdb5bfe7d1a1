/* Writing protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), by hand.
 *
 * Every function writes at `at` and returns the place behind what it wrote; the caller has made room.
 * A message inside a message begins with its length, which is known only at its end: fe_pb_open leaves
 * two bytes for it, which fits what is from 128 to 16383 bytes long, and fe_pb_close moves the content
 * when it is shorter or longer. So the bytes are those that the official library would write.
 */
#ifndef FE_EVENT_PROTOBUF_H
#define FE_EVENT_PROTOBUF_H

#include "base/bytes.h"

#define FE_PB_VARINT_MAX 10u

/* A field's tag as it is sent, for field numbers below 16. */
#define FE_PB_TAG(field, wire) ((uint8_t)((field) << 3 | (wire)))
enum { FE_PB_VARINT = 0, FE_PB_FIXED64 = 1, FE_PB_LEN = 2, FE_PB_FIXED32 = 5 };

static inline uint8_t *fe_pb_byte(uint8_t *at, uint8_t byte)
{
    *at = byte;
    return at + 1;
}

static inline uint8_t *fe_pb_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint32_t fe_pb_varint_len(uint64_t value)
{
    return (uint32_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static inline uint8_t *fe_pb_copy(uint8_t *at, fe_bytes bytes)
{
    if (bytes.len > 0) memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

static inline uint8_t *fe_pb_fixed64(uint8_t *at, uint8_t tag, uint64_t value)
{
    *at++ = tag;
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
    return at + 8;
}

/* Eight bytes of a number, the highest first: an id. */
static inline uint8_t *fe_pb_id(uint8_t *at, uint8_t tag, uint64_t id)
{
    *at++ = tag;
    *at++ = 8;
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(id >> (56 - 8 * i));
    return at + 8;
}

/* Begins a message in a field; what fe_pb_close needs is in `*content`. */
static inline uint8_t *fe_pb_open(uint8_t *at, uint8_t tag, uint8_t **content)
{
    *at = tag;
    *content = at + 3;
    return at + 3;
}

static inline uint8_t *fe_pb_close(uint8_t *at, uint8_t *content)
{
    size_t len = (size_t)(at - content);
    uint32_t wanted = fe_pb_varint_len(len);
    if (wanted != 2) memmove(content - 2 + wanted, content, len);
    fe_pb_varint(content - 2, len);
    return content - 2 + wanted + len;
}

#endif
