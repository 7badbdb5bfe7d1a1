/* The pool of overflow nodes of one index: 32 bytes each, in chunks of pages. Lowest chunks are
 * used first, and empty ones go to the trash, so that the pool shrinks with the index. Private to
 * the files of the index.
 */
#ifndef FE_STORE_INDEX_NODES_H
#define FE_STORE_INDEX_NODES_H

#include "store/index.h"

#define FE_NODES_CHUNK_BITS 10u /* nodes per chunk: 32 KiB */
#define FE_NODES_CHUNK_BYTES ((size_t)FE_INDEX_NODE_WORDS * 8 << FE_NODES_CHUNK_BITS)

static inline uint64_t *fe_nodes_at(const fe_index_nodes *nodes, uint64_t id)
{
    return nodes->chunks[id >> FE_NODES_CHUNK_BITS] +
           (id & ((1u << FE_NODES_CHUNK_BITS) - 1)) * FE_INDEX_NODE_WORDS;
}

/* Makes sure that `count` calls of fe_nodes_take succeed; false without memory. */
bool fe_nodes_reserve(fe_index *index, uint32_t count);
/* A zeroed node's id. Reserved before. */
uint32_t fe_nodes_take(fe_index *index);
void fe_nodes_give(fe_index *index, uint32_t id);
/* Gives chunks that hold nothing to the trash, but for one kept in hand. Ids in use stay valid. */
void fe_nodes_trim(fe_index *index);
/* Gives all memory up. */
void fe_nodes_reset(fe_index *index);

#endif
