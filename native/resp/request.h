/* The request reader: bytes from a client become requests, without I/O and without copying
 * arguments.
 *
 * Understands RESP arrays of bulk strings, inline commands (with Redis's quoting), and, right
 * before a request, RESP3 attributes (`|1 traceparent <value>`), of which it keeps traceparent,
 * tracestate and baggage. One attribute per request; aggregates in it are read and passed over. Limits and error texts are
 * those of Redis 7.2.
 *
 * Use, by the session that owns both reader and input:
 *
 *     fe_reader_feed(reader, data, len); // the whole unread input, from its first unconsumed byte
 *     while ((status = fe_reader_next(reader, &request)) == FE_READ_REQUEST) { ... }
 *     drop fe_reader_consumed(reader) bytes from the front of the input.
 *
 * The arguments of every request returned since fe_reader_feed point into `data` (inline arguments
 * with quotes: into memory of the reader) and stay valid until the next fe_reader_feed or
 * fe_reader_reset, so several requests can be read ahead before the first one runs. A request cut
 * short is resumed, not parsed again: after fe_reader_consumed bytes are dropped, feeding the
 * longer rest continues where it stopped, so a request that arrives in n pieces costs O(bytes + n).
 *
 * An error sticks: every later call answers FE_READ_ERROR until fe_reader_reset.
 */
#ifndef FE_RESP_REQUEST_H
#define FE_RESP_REQUEST_H

#include "base/alloc.h"
#include "base/bytes.h"

#define FE_READER_INLINE_MAX (64 * 1024) /* longest inline line or header line, bytes */
/* Arguments of one request; memory grows only as they come. */
#define FE_READER_BULKS_MAX INT32_MAX
#define FE_READER_ATTRIBUTES_MAX 8       /* in front of one request; more are a protocol error */
#define FE_READER_ATTRIBUTE_PAIRS_MAX 16 /* of all of them; more are a protocol error */
#define FE_READER_ATTRIBUTE_DEPTH_MAX 8  /* aggregates within each other, inside of an attribute */
#define FE_READER_ATTRIBUTE_NESTED_MAX 1024 /* elements of all of them */
#define FE_READER_ATTRIBUTE_TEXT_MAX                                                               \
    (64 * 1024) /* longest bulk key or value of an attribute, bytes */

typedef enum fe_read_status {
    FE_READ_REQUEST, /* one whole request is in *request; argc may be 0 (an empty line or `*0`):
                        ignore it */
    FE_READ_MORE,    /* the input ends inside a request (or between requests) */
    FE_READ_ERROR    /* protocol error: fe_reader_error has the text; or out of memory */
} fe_read_status;

typedef struct fe_request {
    const fe_bytes *argv;
    uint32_t argc;
    uint32_t size;        /* bytes of the request on the wire, attribute included, saturating */
    fe_bytes traceparent; /* len 0: none was given */
    fe_bytes tracestate;
    fe_bytes baggage;
} fe_request;

typedef struct fe_reader fe_reader;

/* Makes a reader, with the limits of an authenticated client. `bulk_len_max` is proto-max-bulk-len
 * in bytes. NULL when memory is exhausted. */
fe_reader *fe_reader_new(fe_alloc *alloc, uint64_t bulk_len_max);
void fe_reader_free(fe_reader *reader);

/* Limits of a client that has not authenticated yet: 10 arguments of 16384 bytes, as in Redis. They
 * apply to what is read from now on: the owner of an unauthenticated client runs each request
 * before it reads the next, since that may be the AUTH that lifts them. */
void fe_reader_set_authenticated(fe_reader *reader, bool authenticated);
void fe_reader_set_bulk_len_max(fe_reader *reader, uint64_t bulk_len_max);

/* Shows the reader the whole unread input. Invalidates the arguments of earlier requests, and gives
 * back the memory that only a large batch needed (with no input too, so that an idle reader can be
 * made small). */
void fe_reader_feed(fe_reader *reader, const uint8_t *data, size_t len);

/* Reads the next request of the input shown last. */
fe_read_status fe_reader_next(fe_reader *reader, fe_request *request);

/* Bytes at the front of the input that no unfinished request needs any more. The part of an
 * unfinished request that has been parsed is not among them. */
size_t fe_reader_consumed(const fe_reader *reader);

/* While a bulk argument is incomplete: how many more input bytes it needs (so that the owner can
 * make room in one step); 0 when not known. */
size_t fe_reader_missing(const fe_reader *reader);

/* The bulk argument of a request under way of which only the beginning has come: true, and where its
 * bytes begin in the input, which argument it is, and how long. */
typedef struct fe_reader_cut {
    size_t offset; /* in the input shown last */
    size_t len;
    size_t index; /* as in argv */
} fe_reader_cut;
bool fe_reader_is_cut(const fe_reader *reader, fe_reader_cut *cut);
/* Argument `index` of the request under way, one that is complete; good as long as the input. */
fe_bytes fe_reader_argument(const fe_reader *reader, size_t index);

/* The argument that is cut lies whole at `body` instead of in the input, which goes on behind the
 * argument's last byte. Good for one request: `body` stays as it is until that has run. Input that is shown from
 * now on lacks the body. */
void fe_reader_set_body(fe_reader *reader, const uint8_t *body);

/* Forgets everything but the limits and the body, so that the input is read again from the request that
 * has the body, if there is one. */
void fe_reader_rewind(fe_reader *reader);

/* The request with the body has run. */
void fe_reader_drop_body(fe_reader *reader);

/* The complete error line without the leading '-' and without CRLF, for example
 * "ERR Protocol error: invalid multibulk length"; "" when there is no error. */
const char *fe_reader_error(const fe_reader *reader);

/* Heap bytes held by the reader itself. */
size_t fe_reader_memory(const fe_reader *reader);

/* Forgets everything but the limits: a new connection. */
void fe_reader_reset(fe_reader *reader);

#endif
