/* A growable byte buffer that owns its memory.
 *
 * Appending never returns an error: when memory runs out the buffer becomes `failed`, ignores
 * further appends, and whoever sends or uses it checks the flag once. This keeps reply code free of
 * checks.
 */
#ifndef FE_BASE_BUF_H
#define FE_BASE_BUF_H

#include "base/alloc.h"
#include "base/bytes.h"

typedef struct fe_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    fe_alloc *alloc;
    fe_alloc_class class;
    bool failed;
    bool over_limit; /* failed because of `limit`, not for want of memory */
    size_t limit;    /* the buffer fails rather than grow beyond it; 0 = no limit */
} fe_buf;

/* Makes an empty buffer; no memory is taken until the first append. */
void fe_buf_init(fe_buf *buf, fe_alloc *alloc, fe_alloc_class class);

/* Gives the memory back; the buffer is empty, not failed, and usable again. */
void fe_buf_free(fe_buf *buf);

/* Grows so that `extra` more bytes fit; slow path of the inline functions. False when failed. */
bool fe_buf_grow(fe_buf *buf, size_t extra);

/* Removes the first `count` (<= len) bytes, moving the rest down. */
void fe_buf_drop(fe_buf *buf, size_t count);

/* Makes room for `extra` (> 0) bytes behind len; returns where to write them, or NULL when failed.
 * The caller adds what it wrote to len. */
static inline uint8_t *fe_buf_reserve(fe_buf *buf, size_t extra)
{
    if (buf->cap - buf->len < extra && !fe_buf_grow(buf, extra)) return NULL;
    return buf->data + buf->len;
}

static inline void fe_buf_append(fe_buf *buf, const void *bytes, size_t len)
{
    if (len == 0) return;
    uint8_t *to = fe_buf_reserve(buf, len);
    if (to == NULL) return;
    memcpy(to, bytes, len);
    buf->len += len;
}

static inline void fe_buf_append_byte(fe_buf *buf, uint8_t byte)
{
    uint8_t *to = fe_buf_reserve(buf, 1);
    if (to == NULL) return;
    *to = byte;
    buf->len++;
}

static inline fe_bytes fe_buf_view(const fe_buf *buf)
{
    return (fe_bytes){buf->data, buf->len};
}

#endif
