/* Memory of an index. See the header.
 *
 * Every chunk has its whole address space from the beginning, so that none ever moves: what moves
 * pages makes the other cores forget them, and waits for those. The last chunk takes memory by an
 * eighth of the whole index at a time, up to a chunk's size; then a chunk is added: the spare one, if
 * a worker has made it, else a new mapping.
 *
 * Threads: the engine's lock is held.
 */
#include "store/index_space.h"

#include <sys/mman.h>

#define SPARE_KEPT_HALVES 4u /* a spare is kept while the load is this little below growth */
#define PAGE ((size_t)4096)
#define GROW_SHARE 8u
#define NODE_PAGES_CHUNKS 4u /* an index of so many chunks gets pages of nodes ahead of need */

uint64_t fe_index_capacity(const fe_index *index)
{
    if (index->chunk_count == 0) return 0;
    return (uint64_t)(index->chunk_count - 1) * FE_INDEX_CHUNK_BUCKETS +
           index->last_bytes / FE_INDEX_BUCKET_BYTES;
}

/* By how much to grow: an eighth, so that little is mapped ahead of need. */
static size_t step_bytes(const fe_index *index)
{
    uint64_t bytes = fe_index_capacity(index) * FE_INDEX_BUCKET_BYTES / GROW_SHARE;
    if (bytes >= FE_INDEX_CHUNK_BYTES) return FE_INDEX_CHUNK_BYTES;
    return bytes < PAGE ? PAGE : (size_t)bytes & ~(PAGE - 1);
}

/* Whether inserts will soon ask for more buckets. */
static bool grow_near(const fe_index *index)
{
    return index->count * 2 > index->buckets * (FE_INDEX_GROW_HALVES - 1);
}

/* Whether they may again, if the load swings. */
static bool load_kept(const fe_index *index)
{
    return index->count * 2 > index->buckets * (FE_INDEX_GROW_HALVES - SPARE_KEPT_HALVES);
}

static bool may_map(fe_index *index, size_t bytes)
{
    if (index->space->used_max == 0 || index->chunk_count == 0) return true;
    if (index->count > index->buckets * FE_INDEX_GROW_HALVES)
        return true; /* twice the load: give in */
    if (fe_alloc_used_all(index->space->alloc) + bytes <= index->space->used_max) return true;
    index->space->starved = bytes;
    return false;
}

static bool directory_grow(fe_index *index)
{
    if (index->chunk_count < index->chunk_capacity) return true;
    uint32_t capacity = index->chunk_capacity == 0 ? 4 : index->chunk_capacity * 2;
    uint64_t **chunks = fe_alloc_resize(index->space->alloc, FE_ALLOC_INDEX, index->chunks,
                                        capacity * sizeof(*chunks));
    if (chunks == NULL) return false;
    index->chunks = chunks;
    index->chunk_capacity = capacity;
    return true;
}

/* Address space for a whole chunk, of which `bytes` will be used for now. */
static uint64_t *chunk_map(const fe_index *index, size_t bytes)
{
    return fe_pages_reserve(index->space->alloc, FE_ALLOC_INDEX, FE_INDEX_CHUNK_BYTES, bytes);
}

static bool last_chunk_grow(fe_index *index, size_t bytes)
{
    if (!fe_pages_count(index->space->alloc, FE_ALLOC_INDEX, bytes)) return false;
    index->bytes += bytes;
    index->last_bytes += bytes;
    return true;
}

/* The spare chunk, which is full size, or a new mapping. */
static bool chunk_add(fe_index *index, size_t bytes)
{
    bool spare = index->chunk_count != 0 && index->space->spare != NULL;
    if (spare) bytes = FE_INDEX_CHUNK_BYTES;
    if ((!spare && !may_map(index, bytes)) || !directory_grow(index)) return false;
    uint64_t *chunk = index->space->spare;
    if (spare)
        index->space->spare = NULL;
    else
        chunk = chunk_map(index, bytes);
    if (chunk == NULL) return false;
    index->last_bytes = bytes;
    index->chunks[index->chunk_count++] = chunk;
    index->version++;
    index->bytes += bytes;
    return true;
}

bool fe_index_wants_spare(const fe_index *index)
{
    return index->chunk_count >= 2 && index->last_bytes == FE_INDEX_CHUNK_BYTES &&
           grow_near(index) &&
           fe_index_capacity(index) - index->buckets < FE_INDEX_CHUNK_BUCKETS / 2;
}

bool fe_index_wants_node_pages(const fe_index *index)
{
    return index->chunk_count >= NODE_PAGES_CHUNKS && grow_near(index) &&
           index->space->node_pages == NULL;
}

bool fe_index_keeps_node_pages(const fe_index *index)
{
    return index->chunk_count >= NODE_PAGES_CHUNKS && load_kept(index);
}

/* Easier to meet than the wish, so that a load that swings does not map and unmap. */
bool fe_index_keeps_spare(const fe_index *index)
{
    return index->chunk_count >= 2 && load_kept(index) &&
           fe_index_capacity(index) - index->buckets < FE_INDEX_CHUNK_BUCKETS;
}

bool fe_index_space_grow(fe_index *index)
{
    if (index->buckets < fe_index_capacity(index)) return true;
    size_t bytes = step_bytes(index), room = FE_INDEX_CHUNK_BYTES - index->last_bytes;
    bool grown;
    if (room == 0)
        grown = chunk_add(index, bytes);
    else
        grown = may_map(index, bytes) && last_chunk_grow(index, bytes < room ? bytes : room);
    if (grown) index->space->starved = 0;
    return grown;
}

/* Chunk 0, alone, is copied to half its size, which three eighths of it fill well. */
static void only_chunk_shrink(fe_index *index)
{
    size_t bytes = (index->last_bytes / 2 + PAGE - 1) & ~(PAGE - 1);
    uint64_t *chunk = chunk_map(index, bytes);
    if (chunk == NULL) return;
    memcpy(chunk, index->chunks[0], index->buckets * FE_INDEX_BUCKET_BYTES);
    fe_trash_put_reserved(index->space->trash, FE_ALLOC_INDEX, index->chunks[0],
                          FE_INDEX_CHUNK_BYTES, index->last_bytes);
    index->chunks[0] = chunk;
    index->version++;
    index->bytes -= index->last_bytes - bytes;
    index->last_bytes = bytes;
    index->shape++;
}

/* The last chunk goes when the one before it is half empty too. */
static void last_chunk_drop(fe_index *index)
{
    fe_trash_put_reserved(index->space->trash, FE_ALLOC_INDEX, index->chunks[--index->chunk_count],
                          FE_INDEX_CHUNK_BYTES, index->last_bytes);
    index->version++;
    index->bytes -= index->last_bytes;
    index->last_bytes = FE_INDEX_CHUNK_BYTES;
}

void fe_index_space_shrink(fe_index *index)
{
    uint64_t before_last = (uint64_t)(index->chunk_count - 1) * FE_INDEX_CHUNK_BUCKETS;
    if (index->chunk_count > 1) {
        if (index->buckets + FE_INDEX_CHUNK_BUCKETS / 2 <= before_last) last_chunk_drop(index);
    } else if (index->last_bytes > FE_INDEX_BYTES_MIN &&
               index->buckets * FE_INDEX_BUCKET_BYTES <= index->last_bytes / 8 * 3) {
        only_chunk_shrink(index);
    }
}

bool fe_index_space_start(fe_index *index)
{
    return index->chunk_count != 0 || chunk_add(index, FE_INDEX_BYTES_MIN);
}

/* A full chunk is on a huge page if there is one: all of it will be written at once. */
bool fe_index_space_load(fe_index *index, size_t bytes)
{
    bool full = bytes == FE_INDEX_CHUNK_BYTES;
    if (!directory_grow(index)) return false;
    uint64_t *chunk = full ? fe_pages_map(index->space->alloc, FE_ALLOC_INDEX, bytes, bytes)
                           : chunk_map(index, bytes);
    if (chunk == NULL) return false;
    if (full) (void)madvise(chunk, bytes, MADV_HUGEPAGE); /* a wish: refusal is fine */
    index->last_bytes = bytes;
    index->chunks[index->chunk_count++] = chunk;
    index->version++;
    index->bytes += bytes;
    return true;
}
