/* Arrays of arguments: a list of chunks, the newest and largest first.
 *
 *     newest chunk   | finished requests | request under way | free |
 *                      0                   first               first + count      cap
 *
 * Invariants:
 * 1. first + count <= cap of the newest chunk; both are 0 when there is no chunk.
 * 2. Slots before first, and all older chunks, belong to finished requests and are never written.
 * 3. A chunk is at least twice as large as the one before it, so a request of n arguments that
 * arrives one by one is copied O(n) in all.
 *
 * Threads: none; it belongs to one reader.
 */
#include "resp/args.h"
#include "base/assert.h"

#define SLOTS_MIN ((size_t)16)
/* An idle connection keeps no chunk larger than this (2 KiB). */
#define SLOTS_KEPT_MAX ((size_t)128)
#define SLOTS_MAX ((SIZE_MAX / 4 - sizeof(fe_args_chunk)) / sizeof(fe_bytes))

static size_t chunk_bytes(size_t cap)
{
    return sizeof(fe_args_chunk) + cap * sizeof(fe_bytes);
}

static void free_chunks(fe_args *args, fe_args_chunk *chunk)
{
    while (chunk != NULL) {
        fe_args_chunk *older = chunk->older;
        fe_alloc_give(args->alloc, FE_ALLOC_CLIENT, chunk);
        chunk = older;
    }
}

void fe_args_init(fe_args *args, fe_alloc *alloc)
{
    *args = (fe_args){.alloc = alloc};
}

void fe_args_free(fe_args *args)
{
    free_chunks(args, args->chunk);
    fe_args_init(args, args->alloc);
}

bool fe_args_grow(fe_args *args, size_t extra)
{
    if (extra > SLOTS_MAX / 4 || args->count > SLOTS_MAX / 4) return false;

    size_t cap = args->chunk == NULL ? SLOTS_MIN : args->chunk->cap * 2;
    if (cap < args->count + extra) cap = args->count + extra;
    fe_args_chunk *chunk = fe_alloc_take(args->alloc, FE_ALLOC_CLIENT, chunk_bytes(cap));
    if (chunk == NULL) return false;

    fe_args_chunk *outgrown = args->chunk;
    chunk->cap = cap;
    if (args->count > 0) {
        memcpy(chunk->slots, outgrown->slots + args->first, args->count * sizeof(fe_bytes));
    }
    if (outgrown != NULL && args->first == 0) {
        /* No finished request is in it. */
        chunk->older = outgrown->older;
        fe_alloc_give(args->alloc, FE_ALLOC_CLIENT, outgrown);
    } else {
        chunk->older = outgrown;
    }
    args->chunk = chunk;
    args->first = 0;
    return true;
}

void fe_args_release(fe_args *args)
{
    fe_args_chunk *chunk = args->chunk;
    if (chunk == NULL) return;
    FE_ASSERT(args->first + args->count <= chunk->cap);

    if (args->count > 0) {
        if (args->first > 0) {
            memmove(chunk->slots, chunk->slots + args->first, args->count * sizeof(fe_bytes));
        }
    } else {
        while (chunk != NULL && chunk->cap > SLOTS_KEPT_MAX) {
            fe_args_chunk *older = chunk->older;
            fe_alloc_give(args->alloc, FE_ALLOC_CLIENT, chunk);
            chunk = older;
        }
    }
    if (chunk != NULL) {
        free_chunks(args, chunk->older);
        chunk->older = NULL;
    }
    args->chunk = chunk;
    args->first = 0;
}

size_t fe_args_memory(const fe_args *args)
{
    size_t bytes = 0;
    for (const fe_args_chunk *chunk = args->chunk; chunk != NULL; chunk = chunk->older) {
        bytes += chunk_bytes(chunk->cap);
    }
    return bytes;
}
