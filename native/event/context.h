/* Trace context as W3C writes it (https://www.w3.org/TR/trace-context-2/, https://www.w3.org/TR/baggage/):
 * pure functions over bytes that a client has sent.
 */
#ifndef FE_EVENT_CONTEXT_H
#define FE_EVENT_CONTEXT_H

#include "base/bytes.h"
#include "base/status.h"

#define FE_TRACEPARENT_LEN 55u
#define FE_TRACESTATE_MAX 1024u /* bytes; a longer one is dropped */
#define FE_BAGGAGE_MAX 8192u    /* bytes that are looked at; the limit that the standard asks for */
#define FE_BAGGAGE_MEMBERS_MAX 180u

enum { /* fe_trace_parent.flags */
       FE_PARENT_SAMPLED = 1 << 0,
       FE_PARENT_RANDOM = 1 << 1 /* the last 56 bits of the trace id are random */
};

/* The span of a caller. */
typedef struct fe_trace_parent {
    uint8_t trace_id[16];
    uint64_t span_id; /* a number whose highest byte is sent first; 0: there is no caller */
    uint8_t flags;
} fe_trace_parent;

/* Reads a traceparent. Version 00 is exactly 55 bytes; of later versions the same prefix is read. False,
 * with `*parent` untouched: version ff, upper-case digits, an id of zeros, or anything else that is wrong.
 * Unknown flags are dropped. */
FE_MUST_USE bool fe_traceparent_read(fe_bytes text, fe_trace_parent *parent);

/* Whether a tracestate may be passed on: at most FE_TRACESTATE_MAX bytes and 32 members, each of the
 * right form, no key twice. */
bool fe_tracestate_is_valid(fe_bytes text);

/* Writes those members of a baggage header whose names `allowed` lists (separated by commas) to `out` as
 * "name=value,name=value", in the header's order and without their properties. Members of a wrong form, those
 * that do not fit, and all but the first of one name are left out. Returns the bytes written, at most `cap`. */
size_t fe_baggage_pick(fe_bytes header, fe_bytes allowed, uint8_t *out, size_t cap);

/* Ids in lower-case hexadecimal digits, without a terminator. */
void fe_trace_id_print(char out[32], const uint8_t trace_id[16]);
void fe_span_id_print(char out[16], uint64_t span_id);

#endif
