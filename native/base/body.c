/* See body.h. Growth adds a quarter. The kernel moves no bytes for that, but entries of page tables when the
 * mapping has to move. */
#include "base/body.h"

#include "base/assert.h"

#include <string.h>

#define PAGE_BYTES ((size_t)4096)
#define STEP_BYTES ((size_t)64 << 10) /* at first, and at least */

size_t fe_body_bytes(size_t at, size_t len)
{
    size_t used = (at + len + 7) & ~(size_t)7;
    return (used + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

bool fe_body_open(fe_body *body, fe_alloc *alloc, size_t at, size_t len)
{
    FE_ASSERT(!fe_body_is_open(body) && len > 0);
    size_t whole = fe_body_bytes(at, len);
    size_t bytes = fe_body_bytes(at, STEP_BYTES);
    if (bytes > whole) bytes = whole;
    uint8_t *pages = fe_pages_map(alloc, FE_ALLOC_CLIENT, bytes, PAGE_BYTES);
    if (pages == NULL) return false;
    *body = (fe_body){.pages = pages, .bytes = bytes, .at = at, .len = len};
    return true;
}

static bool grow(fe_body *body, fe_alloc *alloc)
{
    size_t whole = fe_body_bytes(body->at, body->len);
    size_t more = body->bytes / 4 < STEP_BYTES ? STEP_BYTES : body->bytes / 4;
    size_t bytes = (body->bytes + more + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    if (bytes > whole) bytes = whole;
    void *pages = fe_pages_remap(alloc, FE_ALLOC_CLIENT, body->pages, body->bytes, bytes);
    if (pages == NULL) return false;
    body->pages = pages;
    body->bytes = bytes;
    return true;
}

uint8_t *fe_body_space(fe_body *body, fe_alloc *alloc, size_t *space)
{
    FE_ASSERT(fe_body_is_open(body) && !fe_body_is_whole(body));
    if (body->at + body->have == body->bytes && !grow(body, alloc)) return NULL;
    size_t room = body->bytes - body->at - body->have;
    size_t missing = body->len - body->have;
    *space = room < missing ? room : missing;
    return body->pages + body->at + body->have;
}

size_t fe_body_append(fe_body *body, fe_alloc *alloc, const uint8_t *data, size_t len, bool *ok)
{
    size_t done = 0;
    *ok = true;
    while (done < len && !fe_body_is_whole(body)) {
        size_t space;
        uint8_t *to = fe_body_space(body, alloc, &space);
        if (to == NULL) {
            *ok = false;
            break;
        }
        if (space > len - done) space = len - done;
        memcpy(to, data + done, space);
        body->have += space;
        done += space;
    }
    return done;
}
