/* Tags and chains of an index: where a hash belongs, and the groups of words that its slots are in.
 * Private to the files of the index (store/index.h).
 */
#ifndef FE_STORE_INDEX_CHAIN_H
#define FE_STORE_INDEX_CHAIN_H

#include "store/index_nodes.h"

#define FE_TAG_SHIFT 40u
#define FE_TAG_BITS 0xfffffull
#define FE_SHORT_BITS 0xfffull /* of a tag, that a SHORT slot has */
#define FE_TAG_BITS_COUNT 20u
#define FE_SHORT_BITS_COUNT 12u

/* Which hash bit a tag begins with where buckets have `level` bits. */
static inline unsigned fe_tag_base(unsigned level)
{
    return level & ~7u;
}

static inline uint64_t fe_tag_of(uint64_t hash, unsigned level)
{
    return ((hash >> fe_tag_base(level)) & FE_TAG_BITS) << FE_TAG_SHIFT;
}

/* Where a hash belongs: its bucket, and the tag that its slot has there. */
typedef struct fe_place {
    uint64_t bucket, tag;
} fe_place;

static inline fe_place fe_place_of(const fe_index *index, uint64_t hash)
{
    uint64_t low = hash & index->mask;
    bool split = low < index->split;
    return (fe_place){split ? hash & (2 * index->mask + 1) : low,
                      ((hash >> index->tag_shift[split]) & FE_TAG_BITS) << FE_TAG_SHIFT};
}

static inline unsigned fe_bucket_level(const fe_index *index, uint64_t bucket)
{
    return index->level + (bucket < index->split || bucket >> index->level != 0);
}

/* One group of a chain: a bucket or a node. */
typedef struct fe_group {
    uint64_t *words;
    unsigned size;
} fe_group;

static inline fe_group fe_group_first(const fe_index *index, uint64_t bucket)
{
    return (fe_group){fe_index_bucket(index, bucket), FE_INDEX_BUCKET_WORDS};
}

/* The group behind `at`, or one without words. */
static inline fe_group fe_group_next(const fe_index *index, fe_group at)
{
    uint64_t last = at.words[at.size - 1];
    if (!(last & FE_SLOT_LINK)) return (fe_group){NULL, 0};
    return (fe_group){fe_nodes_at(&index->nodes, fe_slot_address(last)), FE_INDEX_NODE_WORDS};
}

static inline uint32_t fe_chain_nodes(uint32_t slots)
{
    return slots <= FE_INDEX_BUCKET_WORDS ? 0 : (slots - 6) / 3;
}

/* Copies a chain's slots to `out` (if not NULL); returns how many there are. */
uint32_t fe_chain_read(const fe_index *index, uint64_t bucket, uint64_t *out);
/* Gives the overflow nodes of a chain back and clears its bucket. */
void fe_chain_clear(fe_index *index, uint64_t bucket);
/* Writes a cleared chain. Its nodes (fe_chain_nodes) are reserved. */
void fe_chain_write(fe_index *index, uint64_t bucket, const uint64_t *slots, uint32_t count);

#endif
