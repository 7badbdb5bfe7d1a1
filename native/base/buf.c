/* The growable buffer: the slow paths behind the inline functions of buf.h.
 *
 *     data                len                 cap
 *      | bytes written     | room               |
 *
 * Invariants:
 * 1. len <= cap; data is NULL exactly when cap is 0 and nothing was ever taken.
 * 2. A failed buffer has cap == len, so that every later append of at least one byte takes the slow
 * path and is refused there; the hot path needs no test of the flag. What it held before stays
 * readable.
 *
 * Growth doubles up to DOUBLING_MAX and then adds a quarter, so that a large buffer wastes at most
 * a fifth of its memory while appending n bytes still copies O(n).
 *
 * Threads: none; a buffer belongs to one owner.
 */
#include "base/buf.h"
#include "base/assert.h"

#define CAP_MIN ((size_t)128)
#define DOUBLING_MAX ((size_t)1024 * 1024)
#define CAP_MAX (SIZE_MAX / 4)

void fe_buf_init(fe_buf *buf, fe_alloc *alloc, fe_alloc_class class)
{
    *buf = (fe_buf){.alloc = alloc, .class = class};
}

void fe_buf_free(fe_buf *buf)
{
    fe_alloc_give(buf->alloc, buf->class, buf->data);
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
    buf->failed = false;
    buf->over_limit = false;
}

static bool fail(fe_buf *buf)
{
    buf->failed = true;
    buf->cap = buf->len;
    return false;
}

bool fe_buf_grow(fe_buf *buf, size_t extra)
{
    FE_ASSERT(buf->len <= buf->cap);
    if (buf->failed || extra > CAP_MAX - buf->len) return fail(buf);

    size_t need = buf->len + extra;
    if (buf->limit != 0 && need > buf->limit) {
        buf->over_limit = true;
        return fail(buf);
    }
    size_t cap = buf->cap < DOUBLING_MAX ? buf->cap * 2 : buf->cap + buf->cap / 4;
    if (cap < CAP_MIN) cap = CAP_MIN;
    if (buf->limit != 0 && cap > buf->limit) cap = buf->limit;
    if (cap < need) cap = need;
    uint8_t *data = fe_alloc_resize(buf->alloc, buf->class, buf->data, cap);
    if (data == NULL) return fail(buf);

    buf->data = data;
    buf->cap = cap;
    return true;
}

void fe_buf_drop(fe_buf *buf, size_t count)
{
    FE_ASSERT(count <= buf->len);
    if (count == 0) return;

    buf->len -= count;
    if (buf->len > 0) memmove(buf->data, buf->data + count, buf->len);
    if (buf->failed) buf->cap = buf->len;
}
