/* DUMP payloads of strings.
 *
 *     0        1                  n           n + 2      n + 10
 *     type 0 | encoded string ... | version LE | CRC-64 LE of all before it |
 *
 * An encoded string starts with a length or says that it is special:
 *
 *     00llllll                    length l, then the bytes
 *     01llllll llllllll           the same, 14 bits, high bits first
 *     10000000 + 4 bytes BE       the same, 32 bits
 *     10000001 + 8 bytes BE       the same, 64 bits
 *     11000000 + 1 byte           the decimal digits of an int8
 *     11000001 + 2 bytes LE       of an int16
 *     11000010 + 4 bytes LE       of an int32
 *     11000011 + length + length  compressed length, length, then LZF bytes
 *
 * Invariants: 1. A reader never looks behind its end. 2. Memory is asked for only after a length
 * has been held against what the payload can contain.
 *
 * Threads: pure functions.
 */
#include "value/rdb_string.h"

#include "base/crc.h"
#include "resp/number.h"
#include "value/lzf.h"

enum {
    FOOTER_BYTES = 10,
    LENGTH_BYTES_MAX = 9,
    LENGTH_32 = 0x80,
    LENGTH_64 = 0x81,
    SPECIAL_INT8 = 0xC0,
    SPECIAL_INT16 = 0xC1,
    SPECIAL_INT32 = 0xC2,
    SPECIAL_LZF = 0xC3,
    INTEGER_DIGITS_MAX = 11, /* "-2147483648" */
    COMPRESS_LEN_MIN = 21,
    COMPRESS_GAIN_MIN = 4, /* what the second length may cost */
};

/* -- writing -- */

static size_t write_big_endian(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    return bytes;
}

static size_t write_little_endian(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
    return bytes;
}

static size_t write_length(uint8_t out[LENGTH_BYTES_MAX], uint64_t len)
{
    if (len < 64) {
        out[0] = (uint8_t)len;
        return 1;
    }
    if (len < 16384) return write_big_endian(out, 0x4000 | len, 2);
    out[0] = len <= UINT32_MAX ? LENGTH_32 : LENGTH_64;
    return 1 + write_big_endian(out + 1, len, len <= UINT32_MAX ? 4 : 8);
}

/* Packs a canonical integer of up to 32 bits; false when the value is not one. */
static bool append_integer(fe_buf *out, fe_bytes value)
{
    uint8_t bytes[5];
    int64_t number;

    if (value.len > INTEGER_DIGITS_MAX || !fe_number_read_int64(value, &number)) return false;
    if (number < INT32_MIN || number > INT32_MAX) return false;
    bool is_int8 = number >= INT8_MIN && number <= INT8_MAX;
    bool is_int16 = number >= INT16_MIN && number <= INT16_MAX;
    bytes[0] = is_int8 ? SPECIAL_INT8 : is_int16 ? SPECIAL_INT16 : SPECIAL_INT32;
    size_t len = write_little_endian(bytes + 1, (uint64_t)number, is_int8 ? 1 : is_int16 ? 2 : 4);
    fe_buf_append(out, bytes, 1 + len);
    return true;
}

/* Compresses behind the room that the longest head needs, then moves the bytes up to the head.
 * False when compression saves nothing (or `out` has failed, which plain appends then find out
 * too). */
static bool append_compressed(fe_buf *out, fe_bytes value)
{
    const size_t head_max = 1 + 2 * LENGTH_BYTES_MAX;

    if (value.len < COMPRESS_LEN_MIN || value.len >= UINT32_MAX) return false;
    uint8_t *at = fe_buf_reserve(out, head_max + value.len);
    if (at == NULL) return false;
    size_t packed = fe_lzf_compress(value, at + head_max, value.len - COMPRESS_GAIN_MIN);
    if (packed == 0) return false;

    at[0] = SPECIAL_LZF;
    size_t head = 1 + write_length(at + 1, packed);
    head += write_length(at + head, value.len);
    memmove(at + head, at + head_max, packed);
    out->len += head + packed;
    return true;
}

static void append_plain(fe_buf *out, fe_bytes value)
{
    uint8_t head[LENGTH_BYTES_MAX];

    fe_buf_append(out, head, write_length(head, value.len));
    fe_buf_append(out, value.ptr, value.len);
}

void fe_rdb_string_dump(fe_buf *out, fe_bytes value)
{
    size_t start = out->len;
    uint8_t bytes[8];

    fe_buf_append_byte(out, FE_RDB_TYPE_STRING);
    if (!append_integer(out, value) && !append_compressed(out, value)) append_plain(out, value);
    fe_buf_append(out, bytes, write_little_endian(bytes, FE_RDB_VERSION, 2));
    if (out->failed) return;
    uint64_t crc = fe_crc64(0, out->data + start, out->len - start);
    fe_buf_append(out, bytes, write_little_endian(bytes, crc, 8));
}

/* -- reading -- */

/* Untrusted bytes that are still to be read. */
typedef struct reader {
    const uint8_t *at;
    size_t left;
} reader;

static bool take(reader *from, size_t len, fe_bytes *bytes)
{
    if (len > from->left) return false;
    *bytes = (fe_bytes){from->at, len};
    from->at += len;
    from->left -= len;
    return true;
}

static bool take_big_endian(reader *from, unsigned bytes, uint64_t *value)
{
    fe_bytes in;
    if (!take(from, bytes, &in)) return false;
    *value = 0;
    for (unsigned i = 0; i < bytes; i++)
        *value = *value << 8 | in.ptr[i];
    return true;
}

static uint64_t read_little_endian(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | in[i];
    return value;
}

/* Reads a length whose first byte is `head`; false when it is cut off or not a length. */
static bool take_length(reader *from, uint64_t head, uint64_t *len)
{
    if (head < 0x40) {
        *len = head;
        return true;
    }
    if (head < 0x80) {
        uint64_t low;
        if (!take_big_endian(from, 1, &low)) return false;
        *len = (head & 0x3F) << 8 | low;
        return true;
    }
    if (head == LENGTH_32) return take_big_endian(from, 4, len);
    if (head == LENGTH_64) return take_big_endian(from, 8, len);
    return false;
}

static fe_rdb_status restore_integer(reader *from, uint64_t head, fe_buf *value)
{
    size_t bytes = head == SPECIAL_INT8 ? 1 : head == SPECIAL_INT16 ? 2 : 4;
    char digits[21];
    fe_bytes in;

    if (!take(from, bytes, &in)) return FE_RDB_BAD_DATA;
    if (from->left != 0) return FE_RDB_BAD_DATA;
    uint64_t low = read_little_endian(in.ptr, bytes);
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    fe_buf_append(value, digits, fe_number_print_int64(digits, (int64_t)((low ^ sign) - sign)));
    return value->failed ? FE_RDB_NO_MEMORY : FE_RDB_OK;
}

static fe_rdb_status restore_compressed(reader *from, size_t len_max, fe_buf *value)
{
    uint64_t head, packed_len, len;

    if (!take_big_endian(from, 1, &head) || !take_length(from, head, &packed_len)) {
        return FE_RDB_BAD_DATA;
    }
    if (!take_big_endian(from, 1, &head) || !take_length(from, head, &len)) return FE_RDB_BAD_DATA;
    if (packed_len != from->left || len > fe_lzf_decompressed_max(packed_len)) {
        return FE_RDB_BAD_DATA;
    }
    if (len > len_max) return FE_RDB_TOO_LARGE;
    if (len == 0) return packed_len == 0 ? FE_RDB_OK : FE_RDB_BAD_DATA;
    uint8_t *out = fe_buf_reserve(value, (size_t)len);
    if (out == NULL) return FE_RDB_NO_MEMORY;
    if (!fe_lzf_decompress((fe_bytes){from->at, from->left}, out, (size_t)len)) {
        return FE_RDB_BAD_DATA;
    }
    value->len += (size_t)len;
    return FE_RDB_OK;
}

static fe_rdb_status restore_plain(reader *from, uint64_t head, size_t len_max, fe_buf *value)
{
    uint64_t len;

    if (!take_length(from, head, &len) || len != from->left) return FE_RDB_BAD_DATA;
    if (len > len_max) return FE_RDB_TOO_LARGE;
    fe_buf_append(value, from->at, from->left);
    return value->failed ? FE_RDB_NO_MEMORY : FE_RDB_OK;
}

static bool footer_is_right(fe_bytes payload)
{
    if (payload.len < FOOTER_BYTES) return false;
    const uint8_t *footer = payload.ptr + payload.len - FOOTER_BYTES;
    if (read_little_endian(footer, 2) > FE_RDB_VERSION) return false;
    return read_little_endian(footer + 2, 8) == fe_crc64(0, payload.ptr, payload.len - 8);
}

fe_rdb_status fe_rdb_string_restore(fe_bytes payload, size_t len_max, fe_buf *value, uint8_t *type)
{
    uint64_t type_byte, head;

    if (!footer_is_right(payload)) return FE_RDB_BAD_FOOTER;
    reader from = {payload.ptr, payload.len - FOOTER_BYTES};
    if (!take_big_endian(&from, 1, &type_byte)) return FE_RDB_BAD_DATA;
    if (type_byte != FE_RDB_TYPE_STRING) {
        *type = (uint8_t)type_byte;
        return FE_RDB_OTHER_TYPE;
    }
    if (!take_big_endian(&from, 1, &head)) return FE_RDB_BAD_DATA;
    if (head == SPECIAL_LZF) return restore_compressed(&from, len_max, value);
    if (head > SPECIAL_LZF) return FE_RDB_BAD_DATA;
    if (head >= SPECIAL_INT8) return restore_integer(&from, head, value);
    return restore_plain(&from, head, len_max, value);
}
