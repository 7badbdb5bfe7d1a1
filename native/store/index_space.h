/* The chunks of an index, and when it grows and shrinks. Private to the files of the index
 * (store/index.h).
 */
#ifndef FE_STORE_INDEX_SPACE_H
#define FE_STORE_INDEX_SPACE_H

#include "store/index.h"

#define FE_INDEX_LEVEL_MIN 2u
#define FE_INDEX_GROW_HALVES 13u /* slots per bucket, doubled: above it, split */
#define FE_INDEX_SHRINK_HALVES 6u
#define FE_INDEX_BYTES_MIN ((size_t)4096) /* of an index with a slot */

static inline bool fe_index_grow_due(const fe_index *index)
{
    return index->count * 2 > index->buckets * FE_INDEX_GROW_HALVES;
}

static inline bool fe_index_shrink_due(const fe_index *index)
{
    return index->count * 2 < index->buckets * FE_INDEX_SHRINK_HALVES &&
           index->buckets > 1u << FE_INDEX_LEVEL_MIN;
}

/* How many buckets the chunks have room for. */
uint64_t fe_index_capacity(const fe_index *index);
/* Room for one more bucket; false without memory. */
bool fe_index_space_grow(fe_index *index);
/* Gives up what the buckets left. */
void fe_index_space_shrink(fe_index *index);
/* The first chunk, of the smallest size; false without memory. */
bool fe_index_space_start(fe_index *index);
/* A chunk of `bytes` that is about to be filled; false without memory. */
bool fe_index_space_load(fe_index *index, size_t bytes);

/* How many low bits of a hash number a bucket, before those that split. */
void fe_index_level_set(fe_index *index, unsigned level);
/* As fe_index_step, while a command runs: no tag of a record that has a file loses bits. */
void fe_index_balance(fe_index *index, uint32_t buckets);

#endif
