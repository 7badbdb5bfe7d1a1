/* The pool of overflow nodes. See the header.
 *
 * Invariants: 1. `open` has the bit of exactly the mapped chunks with a free node. 2. free_count
 * and used_count add up to the nodes of mapped chunks. 3. Nodes of a chunk from `fresh` on have
 * never been used; the first word of another free node is the number (+1) of the next one.
 *
 * Threads: the engine's lock is held.
 */
#include "store/index_nodes.h"

#define CHUNK_NODES (1u << FE_NODES_CHUNK_BITS)

static bool tables_grow(fe_index *index)
{
    fe_index_nodes *nodes = &index->nodes;
    uint32_t capacity = nodes->chunk_capacity == 0 ? 64 : nodes->chunk_capacity * 2;
    void *p = fe_alloc_resize(index->space->alloc, FE_ALLOC_INDEX, nodes->chunks,
                              capacity * sizeof(*nodes->chunks));
    if (p == NULL) return false;
    nodes->chunks = p;
    p = fe_alloc_resize(index->space->alloc, FE_ALLOC_INDEX, nodes->free_first,
                        capacity * sizeof(*nodes->free_first));
    if (p == NULL) return false;
    nodes->free_first = p;
    p = fe_alloc_resize(index->space->alloc, FE_ALLOC_INDEX, nodes->used,
                        capacity * sizeof(*nodes->used));
    if (p == NULL) return false;
    nodes->used = p;
    p = fe_alloc_resize(index->space->alloc, FE_ALLOC_INDEX, nodes->fresh,
                        capacity * sizeof(*nodes->fresh));
    if (p == NULL) return false;
    nodes->fresh = p;
    p = fe_alloc_resize(index->space->alloc, FE_ALLOC_INDEX, nodes->open, capacity / 8);
    if (p == NULL) return false;
    nodes->open = p;
    memset(nodes->open + nodes->chunk_capacity / 64, 0, (capacity - nodes->chunk_capacity) / 8);
    nodes->chunk_capacity = capacity;
    return true;
}

/* A chunk number without a mapping. */
static uint32_t number_free(const fe_index_nodes *nodes)
{
    if (nodes->chunks_mapped == nodes->chunk_count) return nodes->chunk_count;
    uint32_t i = 0;
    while (nodes->chunks[i] != NULL)
        i++;
    return i;
}

/* A zeroed chunk: of what was mapped ahead of need, else a mapping of its own. */
static uint64_t *chunk_map(fe_index *index)
{
    fe_index_space *space = index->space;
    if (space->node_pages == NULL)
        return fe_pages_map(space->alloc, FE_ALLOC_INDEX, FE_NODES_CHUNK_BYTES, 4096);
    space->node_pages_bytes -= FE_NODES_CHUNK_BYTES;
    uint8_t *chunk = space->node_pages + space->node_pages_bytes;
    if (space->node_pages_bytes == 0) space->node_pages = NULL;
    return (uint64_t *)(void *)chunk;
}

static bool chunk_add(fe_index *index)
{
    fe_index_nodes *nodes = &index->nodes;
    uint32_t n = number_free(nodes);
    if (n == nodes->chunk_capacity && !tables_grow(index)) return false;
    uint64_t *words = chunk_map(index);
    if (words == NULL) return false;
    nodes->chunks[n] = words;
    nodes->free_first[n] = 0;
    nodes->fresh[n] = 0;
    nodes->used[n] = 0;
    nodes->open[n / 64] |= 1ull << (n % 64);
    if (n == nodes->chunk_count) nodes->chunk_count++;
    nodes->chunks_mapped++;
    nodes->empty_count++;
    nodes->free_count += CHUNK_NODES;
    index->bytes += FE_NODES_CHUNK_BYTES;
    return true;
}

static void chunk_remove(fe_index *index, uint32_t n)
{
    fe_index_nodes *nodes = &index->nodes;
    fe_trash_put(index->space->trash, FE_ALLOC_INDEX, nodes->chunks[n], FE_NODES_CHUNK_BYTES);
    nodes->chunks[n] = NULL;
    nodes->open[n / 64] &= ~(1ull << (n % 64));
    nodes->chunks_mapped--;
    nodes->empty_count--;
    nodes->free_count -= CHUNK_NODES;
    index->bytes -= FE_NODES_CHUNK_BYTES;
}

bool fe_nodes_reserve(fe_index *index, uint32_t count)
{
    while (index->nodes.free_count < count)
        if (!chunk_add(index)) return false;
    return true;
}

uint32_t fe_nodes_take(fe_index *index)
{
    fe_index_nodes *nodes = &index->nodes;
    FE_ASSERT(nodes->free_count > 0);
    uint32_t word = 0;
    while (nodes->open[word] == 0)
        word++;
    uint32_t n = word * 64 + (uint32_t)__builtin_ctzll(nodes->open[word]);
    bool fresh = nodes->free_first[n] == 0; /* none that was used before: the next untouched one */
    uint32_t i = fresh ? nodes->fresh[n]++ : nodes->free_first[n] - 1u;
    uint64_t *node = nodes->chunks[n] + (size_t)i * FE_INDEX_NODE_WORDS;
    if (!fresh) nodes->free_first[n] = (uint16_t)node[0];
    memset(node, 0, FE_INDEX_NODE_WORDS * 8);
    if (nodes->free_first[n] == 0 && nodes->fresh[n] == CHUNK_NODES)
        nodes->open[n / 64] &= ~(1ull << (n % 64));
    if (nodes->used[n]++ == 0) nodes->empty_count--;
    nodes->free_count--;
    nodes->used_count++;
    return n << FE_NODES_CHUNK_BITS | i;
}

void fe_nodes_give(fe_index *index, uint32_t id)
{
    fe_index_nodes *nodes = &index->nodes;
    uint32_t n = id >> FE_NODES_CHUNK_BITS, i = id & (CHUNK_NODES - 1);
    FE_ASSERT(n < nodes->chunk_count && nodes->used[n] > 0);
    nodes->chunks[n][(size_t)i * FE_INDEX_NODE_WORDS] = nodes->free_first[n];
    nodes->free_first[n] = (uint16_t)(i + 1);
    nodes->open[n / 64] |= 1ull << (n % 64);
    nodes->free_count++;
    nodes->used_count--;
    if (--nodes->used[n] == 0) nodes->empty_count++;
}

void fe_nodes_trim(fe_index *index)
{
    fe_index_nodes *nodes = &index->nodes;
    for (uint32_t n = nodes->chunk_count; nodes->empty_count > 1 && n-- > 0;)
        if (nodes->chunks[n] != NULL && nodes->used[n] == 0) chunk_remove(index, n);
    while (nodes->chunk_count > 0 && nodes->chunks[nodes->chunk_count - 1] == NULL)
        nodes->chunk_count--;
}

void fe_nodes_reset(fe_index *index)
{
    fe_index_nodes *nodes = &index->nodes;
    fe_trash_put_table(index->space->trash, index->space->alloc,
                       &(fe_trash_table){.mappings = nodes->chunks,
                                         .end = nodes->chunk_count,
                                         .left = nodes->chunks_mapped,
                                         .size = FE_NODES_CHUNK_BYTES,
                                         .last_counted = FE_NODES_CHUNK_BYTES,
                                         .class = FE_ALLOC_INDEX});
    index->bytes -= nodes->chunks_mapped * FE_NODES_CHUNK_BYTES;
    fe_alloc_give(index->space->alloc, FE_ALLOC_INDEX, nodes->free_first);
    fe_alloc_give(index->space->alloc, FE_ALLOC_INDEX, nodes->fresh);
    fe_alloc_give(index->space->alloc, FE_ALLOC_INDEX, nodes->used);
    fe_alloc_give(index->space->alloc, FE_ALLOC_INDEX, nodes->open);
    memset(nodes, 0, sizeof(*nodes));
}
