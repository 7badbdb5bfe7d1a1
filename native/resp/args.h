/* Arrays of arguments for a reader that reads several requests ahead.
 *
 * The arguments of one request lie side by side; those of finished requests stay where they are,
 * whatever comes later, until fe_args_release. Only the request under way may move, and nobody else
 * has seen it.
 */
#ifndef FE_RESP_ARGS_H
#define FE_RESP_ARGS_H

#include "base/alloc.h"
#include "base/bytes.h"

typedef struct fe_args_chunk {
    struct fe_args_chunk *older;
    size_t cap;
    fe_bytes slots[];
} fe_args_chunk;

typedef struct fe_args {
    fe_alloc *alloc;
    fe_args_chunk *chunk; /* the newest; NULL before the first argument */
    size_t first;         /* slot in it where the request under way begins */
    size_t count;         /* arguments of the request under way */
} fe_args;

void fe_args_init(fe_args *args, fe_alloc *alloc);

/* Gives all memory back; every argument is gone. */
void fe_args_free(fe_args *args);

/* Makes every finished request's arguments invalid and gives back what is large and not in use; the
 * request under way is kept. */
void fe_args_release(fe_args *args);

/* Slow path of the inline functions: a chunk in which the request under way has `extra` free slots.
 */
bool fe_args_grow(fe_args *args, size_t extra);

/* Heap bytes held. */
size_t fe_args_memory(const fe_args *args);

/* Where to write the next `extra` (> 0) arguments of the request under way, or NULL when memory
 * failed. The caller adds what it wrote to count. */
static inline fe_bytes *fe_args_reserve(fe_args *args, size_t extra)
{
    fe_args_chunk *chunk = args->chunk;
    if (chunk == NULL || chunk->cap - args->first - args->count < extra) {
        if (!fe_args_grow(args, extra)) return NULL;
        chunk = args->chunk;
    }
    return chunk->slots + args->first + args->count;
}

static inline bool fe_args_push(fe_args *args, const uint8_t *ptr, size_t len)
{
    fe_bytes *slot = fe_args_reserve(args, 1);
    if (slot == NULL) return false;
    *slot = (fe_bytes){ptr, len};
    args->count++;
    return true;
}

/* Ends the request under way: its arguments, NULL when it has none. */
static inline fe_bytes *fe_args_finish(fe_args *args)
{
    if (args->count == 0) return NULL;
    fe_bytes *argv = args->chunk->slots + args->first;
    args->first += args->count;
    args->count = 0;
    return argv;
}

#endif
