/* The reply writer.
 *
 * Each reply reserves the most it can need once and writes with a plain cursor; the buffer's slow
 * path is entered at most once per reply. The header of a length or count is a type byte, at most
 * 20 digits and CRLF: HEADER_MAX bytes.
 *
 * A deferred array leaves DEFERRED_GAP bytes, enough for a count of one digit; settling it writes
 * the header and, when the count is longer, moves what follows. It must be settled after every
 * deferred array that begins later, as settling changes later offsets.
 *
 * Threads: none; a reply belongs to one session.
 */
#include "resp/reply.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "resp/number.h"

#define HEADER_MAX ((size_t)24)
#define DEFERRED_GAP ((size_t)4)
/* Formatted text is first tried in this much room, which fits nearly all of it. */
#define FORMAT_ROOM ((size_t)256)

static inline uint8_t *put_crlf(uint8_t *to)
{
    to[0] = '\r';
    to[1] = '\n';
    return to + 2;
}

static inline uint8_t *put_header(uint8_t *to, char type, uint64_t count)
{
    *to++ = (uint8_t)type;
    if (count < 10) {
        *to++ = (uint8_t)('0' + count);
    } else {
        to += fe_number_print_uint64((char *)to, count);
    }
    return put_crlf(to);
}

/* Takes what was written up to `end` into the buffer. */
static inline void commit(fe_buf *buf, const uint8_t *end)
{
    buf->len = (size_t)(end - buf->data);
}

static void append_header(fe_buf *buf, char type, uint64_t count)
{
    uint8_t *to = fe_buf_reserve(buf, HEADER_MAX);
    if (to != NULL) commit(buf, put_header(to, type, count));
}

/* One line: type byte, text, CRLF. Returns where the text is, or NULL. */
static uint8_t *append_line(fe_buf *buf, char type, const void *text, size_t len)
{
    uint8_t *to = fe_buf_reserve(buf, len + 3);
    if (to == NULL) return NULL;
    *to++ = (uint8_t)type;
    if (len > 0) memcpy(to, text, len);
    commit(buf, put_crlf(to + len));
    return to;
}

static void blank_line_ends(uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r' || text[i] == '\n') text[i] = ' ';
    }
}

void fe_reply_status(fe_reply *reply, const char *text)
{
    append_line(reply->buf, '+', text, strlen(text));
}

void fe_reply_ok(fe_reply *reply)
{
    uint8_t *to = fe_buf_reserve(reply->buf, 5);
    if (to == NULL) return;
    memcpy(to, "+OK\r\n", 5);
    reply->buf->len += 5;
}

void fe_reply_error(fe_reply *reply, const char *line)
{
    size_t len = strlen(line);
    uint8_t *text = append_line(reply->buf, '-', line, len);
    if (text != NULL) blank_line_ends(text, len);
}

/* Formats behind len, `head` bytes on, and makes sure that two bytes follow. Sets *len to the
 * length of the text and returns where it is; NULL when memory failed. The buffer's len is
 * unchanged. */
static uint8_t *format_behind(fe_buf *buf, size_t head, const char *format, va_list values,
                              size_t *len)
{
    va_list again;
    va_copy(again, values);
    uint8_t *to = fe_buf_reserve(buf, head + FORMAT_ROOM);
    int wanted = 0;
    if (to != NULL) {
        wanted = vsnprintf((char *)to + head, FORMAT_ROOM - 2, format, values);
        /* Only a malformed wide character makes it negative; we never format those. */
        FE_ASSERT(wanted >= 0);
    }
    if (to != NULL && (size_t)wanted >= FORMAT_ROOM - 2) {
        to = fe_buf_reserve(buf, head + (size_t)wanted + 3);
        if (to != NULL) vsnprintf((char *)to + head, (size_t)wanted + 1, format, again);
    }
    va_end(again);
    *len = (size_t)wanted;
    return to == NULL ? NULL : to + head;
}

void fe_reply_errorf(fe_reply *reply, const char *format, ...)
{
    size_t len;
    va_list values;
    va_start(values, format);
    uint8_t *text = format_behind(reply->buf, 1, format, values, &len);
    va_end(values);
    if (text == NULL) return;

    text[-1] = '-';
    blank_line_ends(text, len);
    commit(reply->buf, put_crlf(text + len));
}

void fe_reply_integer(fe_reply *reply, int64_t value)
{
    uint8_t *to = fe_buf_reserve(reply->buf, HEADER_MAX);
    if (to == NULL) return;
    *to++ = ':';
    to += fe_number_print_int64((char *)to, value);
    commit(reply->buf, put_crlf(to));
}

uint8_t *fe_reply_bulk_space(fe_reply *reply, size_t len)
{
    /* A length that cannot be is refused by the buffer like any other that is too much. */
    size_t room = len > SIZE_MAX - HEADER_MAX - 2 ? SIZE_MAX : len + HEADER_MAX + 2;
    uint8_t *to = fe_buf_reserve(reply->buf, room);
    if (to == NULL) return NULL;
    to = put_header(to, '$', len);
    commit(reply->buf, put_crlf(to + len));
    return to;
}

void fe_reply_bulk(fe_reply *reply, fe_bytes bytes)
{
    uint8_t *to = fe_buf_reserve(reply->buf, bytes.len + HEADER_MAX + 2);
    if (to == NULL) return;
    to = put_header(to, '$', bytes.len);
    if (bytes.len > 0) memcpy(to, bytes.ptr, bytes.len);
    commit(reply->buf, put_crlf(to + bytes.len));
}

size_t fe_reply_bulk_gap(fe_reply *reply, size_t len)
{
    append_header(reply->buf, '$', len);
    size_t gap = reply->buf->len;
    fe_buf_append(reply->buf, "\r\n", 2);
    return gap;
}

void fe_reply_bulk_text(fe_reply *reply, const char *text)
{
    fe_reply_bulk(reply, (fe_bytes){(const uint8_t *)text, strlen(text)});
}

void fe_reply_bulkf(fe_reply *reply, const char *format, ...)
{
    size_t len;
    va_list values;
    va_start(values, format);
    uint8_t *text = format_behind(reply->buf, HEADER_MAX, format, values, &len);
    va_end(values);
    if (text == NULL) return;

    uint8_t *to = put_header(text - HEADER_MAX, '$', len);
    memmove(to, text, len);
    commit(reply->buf, put_crlf(to + len));
}

void fe_reply_bulk_integer(fe_reply *reply, int64_t value)
{
    char digits[21];
    size_t len = fe_number_print_int64(digits, value);
    fe_reply_bulk(reply, (fe_bytes){(const uint8_t *)digits, len});
}

void fe_reply_null(fe_reply *reply)
{
    uint8_t *to = fe_buf_reserve(reply->buf, 5);
    if (to == NULL) return;
    size_t len = reply->resp == 3 ? 3 : 5;
    memcpy(to, reply->resp == 3 ? "_\r\n" : "$-1\r\n", len);
    reply->buf->len += len;
}

void fe_reply_null_array(fe_reply *reply)
{
    if (reply->resp == 3) {
        fe_buf_append(reply->buf, "_\r\n", 3);
    } else {
        fe_buf_append(reply->buf, "*-1\r\n", 5);
    }
}

void fe_reply_array(fe_reply *reply, uint64_t count)
{
    append_header(reply->buf, '*', count);
}

void fe_reply_map(fe_reply *reply, uint64_t pairs)
{
    if (reply->resp == 3) {
        append_header(reply->buf, '%', pairs);
    } else {
        append_header(reply->buf, '*', 2 * pairs);
    }
}

void fe_reply_set(fe_reply *reply, uint64_t count)
{
    append_header(reply->buf, reply->resp == 3 ? '~' : '*', count);
}

void fe_reply_push(fe_reply *reply, uint64_t count)
{
    append_header(reply->buf, reply->resp == 3 ? '>' : '*', count);
}

void fe_reply_attribute(fe_reply *reply, uint64_t pairs)
{
    FE_ASSERT(reply->resp == 3);
    append_header(reply->buf, '|', pairs);
}

void fe_reply_double(fe_reply *reply, double value)
{
    char text[64];
    size_t len = fe_number_print_double(text, value);
    if (reply->resp == 3) {
        append_line(reply->buf, ',', text, len);
    } else {
        fe_reply_bulk(reply, (fe_bytes){(const uint8_t *)text, len});
    }
}

void fe_reply_bool(fe_reply *reply, bool value)
{
    if (reply->resp == 3) {
        fe_buf_append(reply->buf, value ? "#t\r\n" : "#f\r\n", 4);
    } else {
        fe_buf_append(reply->buf, value ? ":1\r\n" : ":0\r\n", 4);
    }
}

void fe_reply_big_number(fe_reply *reply, fe_bytes digits)
{
    if (reply->resp == 3) {
        append_line(reply->buf, '(', digits.ptr, digits.len);
    } else {
        fe_reply_bulk(reply, digits);
    }
}

void fe_reply_verbatim(fe_reply *reply, const char *format3, fe_bytes text)
{
    if (reply->resp != 3) {
        fe_reply_bulk(reply, text);
        return;
    }
    FE_ASSERT(strlen(format3) == 3);
    uint8_t *to = fe_buf_reserve(reply->buf, text.len + HEADER_MAX + 6);
    if (to == NULL) return;
    to = put_header(to, '=', text.len + 4);
    memcpy(to, format3, 3);
    to[3] = ':';
    to += 4;
    if (text.len > 0) memcpy(to, text.ptr, text.len);
    commit(reply->buf, put_crlf(to + text.len));
}

size_t fe_reply_array_deferred(fe_reply *reply)
{
    size_t offset = reply->buf->len;
    if (fe_buf_reserve(reply->buf, DEFERRED_GAP) != NULL) {
        /* Never sent as it is: settling overwrites it. Set so that no byte of the buffer is
         * undefined. */
        memset(reply->buf->data + offset, ' ', DEFERRED_GAP);
        reply->buf->len += DEFERRED_GAP;
    }
    return offset;
}

void fe_reply_array_settle(fe_reply *reply, size_t offset, uint64_t count)
{
    fe_buf *buf = reply->buf;
    if (buf->failed) return;
    FE_ASSERT(offset + DEFERRED_GAP <= buf->len);

    uint8_t header[HEADER_MAX];
    size_t len = (size_t)(put_header(header, '*', count) - header);
    size_t longer = len - DEFERRED_GAP;
    if (longer > 0) {
        if (fe_buf_reserve(buf, longer) == NULL) return;
        size_t from = offset + DEFERRED_GAP;
        memmove(buf->data + offset + len, buf->data + from, buf->len - from);
        buf->len += longer;
    }
    memcpy(buf->data + offset, header, len);
}
