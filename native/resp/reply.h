/* The reply writer: typed replies become RESP2 or RESP3 bytes at the end of a buffer.
 *
 * Each function appends one reply, or the header of an aggregate whose elements follow. With resp
 * == 2 the RESP3 types are lowered as Redis lowers them: map to a flat array of twice the length,
 * set and push to array, double to bulk string, boolean to :1/:0, null to $-1 (or *-1), verbatim to
 * bulk, big number to bulk. Failure of memory is the buffer's sticky `failed`.
 */
#ifndef FE_RESP_REPLY_H
#define FE_RESP_REPLY_H

#include "base/buf.h"

typedef struct fe_reply {
    fe_buf *buf;
    int resp; /* 2 or 3 */
} fe_reply;

void fe_reply_status(fe_reply *reply, const char *text); /* +text */
void fe_reply_ok(fe_reply *reply);                       /* +OK */
/* -line ; it begins with its code: "ERR ..." ; CR and LF in it become spaces */
void fe_reply_error(fe_reply *reply, const char *line);
void fe_reply_errorf(fe_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fe_reply_integer(fe_reply *reply, int64_t value); /* :value */
void fe_reply_bulk(fe_reply *reply, fe_bytes bytes);   /* $len */
/* A bulk whose `len` bytes are not copied: returns where in the buffer they belong. */
size_t fe_reply_bulk_gap(fe_reply *reply, size_t len);
void fe_reply_bulk_text(fe_reply *reply, const char *text);
void fe_reply_bulkf(fe_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fe_reply_bulk_integer(fe_reply *reply, int64_t value); /* decimal digits as a bulk string */
void fe_reply_null(fe_reply *reply);                        /* $-1 or _ */
void fe_reply_null_array(fe_reply *reply);                  /* *-1 or _ */
void fe_reply_array(fe_reply *reply, uint64_t count);       /* *count */
void fe_reply_map(fe_reply *reply, uint64_t pairs);         /* %pairs or *2*pairs */
void fe_reply_set(fe_reply *reply, uint64_t count);         /* ~count or *count */
void fe_reply_push(fe_reply *reply, uint64_t count);        /* >count or *count */
void fe_reply_attribute(fe_reply *reply, uint64_t pairs);   /* |pairs ; only call when resp == 3 */
void fe_reply_double(fe_reply *reply, double value); /* ,value or bulk; as fe_number_print_double */
void fe_reply_bool(fe_reply *reply, bool value);     /* #t/#f or :1/:0 */
void fe_reply_big_number(fe_reply *reply, fe_bytes digits); /* (digits or bulk */
void fe_reply_verbatim(fe_reply *reply, const char *format3,
                       fe_bytes text); /* =len\r\ntxt:... or bulk */

/* A deferred aggregate: reserve now, set the count when it is known. Returns an offset into the
 * buffer. Nested ones are settled innermost first, as settling may move what follows. */
size_t fe_reply_array_deferred(fe_reply *reply);
void fe_reply_array_settle(fe_reply *reply, size_t offset, uint64_t count);

/* Space for a bulk of exactly `len` bytes: header and trailer are written, the caller fills the
 * returned bytes. NULL when memory failed. */
uint8_t *fe_reply_bulk_space(fe_reply *reply, size_t len);

#endif
