/* The body of a long argument, received into pages of its own.
 *
 * So a value of hundreds of megabytes is received where it can stay: whoever stores it may take the
 * pages over instead of copying them. The pages grow as bytes come.
 *
 *     pages         at                at + have           at + len
 *      | not written | received        | to be received    |
 *
 * Threads: none; a body belongs to one owner. Accounted as FE_ALLOC_CLIENT.
 */
#ifndef FE_BASE_BODY_H
#define FE_BASE_BODY_H

#include "base/alloc.h"

/* Shorter arguments stay among the other input, and shorter replies are copied among the other output. */
#define FE_BODY_MIN ((size_t)512 << 10)

typedef struct fe_body {
    uint8_t *pages; /* NULL: there is no body */
    size_t bytes;   /* of the pages */
    size_t at;      /* where in them the argument begins */
    size_t len;     /* of the argument */
    size_t have;    /* received of it */
} fe_body;

/* Begins a body without bytes. False without memory. */
bool fe_body_open(fe_body *body, fe_alloc *alloc, size_t at, size_t len);

/* Where the next bytes go, and how many at most, at least one: of a body that is not whole. NULL without memory. */
uint8_t *fe_body_space(fe_body *body, fe_alloc *alloc, size_t *space);

/* Copies what belongs to the body from the front of `data`; returns how many bytes that was. False
 * in *ok without memory. */
size_t fe_body_append(fe_body *body, fe_alloc *alloc, const uint8_t *data, size_t len, bool *ok);

/* What the pages have to be for an argument of `len` bytes at `at`, once it is whole. */
size_t fe_body_bytes(size_t at, size_t len);

static inline bool fe_body_is_open(const fe_body *body)
{
    return body->pages != NULL;
}

static inline bool fe_body_is_whole(const fe_body *body)
{
    return body->have == body->len;
}

static inline const uint8_t *fe_body_start(const fe_body *body)
{
    return body->pages + body->at;
}

#endif
