/* The index: linear hashing with chained cache lines. Layouts are in the header.
 *
 * Invariants
 * 1. buckets = 2^level + split, split < 2^level. A slot's bucket is fe_index_number of its key's
 * hash.
 * 2. Bucket b uses level + 1 bits if b < split or b >= 2^level, else level bits: its own level. A
 * slot's tag is the 20 hash bits from (own
 *    level & ~7) on.
 * 3. Words of a chain are filled from the front; a last overflow node holds at least two slots.
 * 4. Words of mapped buckets beyond `buckets` are zero.
 *
 * Here are life, inserts, removals and loading; the rest is in files beside this one: index_find.c,
 * index_grow.c (splits and merges), index_space.c (chunks of buckets), index_nodes.c (overflow nodes),
 * index_chain.c, index_visit.c, index_check.c.
 *
 * Threads: the engine's lock is held.
 */
#include "store/index_chain.h"
#include "store/index_space.h"

#define PAGE ((size_t)4096)

void fe_index_init(fe_index *index, fe_index_space *space)
{
    memset(index, 0, sizeof(*index));
    index->space = space;
}

/* Its memory is another's, or trash. */
static void become_empty(fe_index *index)
{
    index->version++;
    index->chunks = NULL;
    index->chunk_count = index->chunk_capacity = 0;
    index->last_bytes = 0;
    index->split = index->buckets = index->count = index->shorts = index->bytes = 0;
    fe_index_level_set(index, 0);
    index->longest = 0;
    index->shape++;
}

void fe_index_reset(fe_index *index)
{
    fe_trash_put_table(index->space->trash, index->space->alloc,
                       &(fe_trash_table){.mappings = index->chunks,
                                         .end = index->chunk_count,
                                         .left = index->chunk_count,
                                         .size = FE_INDEX_CHUNK_BYTES,
                                         .last_counted = index->last_bytes,
                                         .class = FE_ALLOC_INDEX});
    fe_nodes_reset(index);
    become_empty(index);
}

void fe_index_take(fe_index *index, fe_index *taken)
{
    *taken = *index;
    memset(&index->nodes, 0, sizeof(index->nodes));
    become_empty(index);
}

/* Insert and remove ---------------------------------------------------------------------------- */

static bool start(fe_index *index)
{
    if (index->buckets != 0) return true;
    if (!fe_index_space_start(index)) return false;
    fe_index_level_set(index, FE_INDEX_LEVEL_MIN);
    index->split = 0;
    index->buckets = 1u << FE_INDEX_LEVEL_MIN;
    return true;
}

/* A full last group gets a node behind it, which takes its last slot and has room for another. */
static uint64_t *chain_extend(fe_index *index, fe_group at)
{
    if (!fe_nodes_reserve(index, 1)) return NULL;
    uint32_t id = fe_nodes_take(index);
    uint64_t *node = fe_nodes_at(&index->nodes, id);
    node[0] = at.words[at.size - 1];
    at.words[at.size - 1] = FE_SLOT_LINK | id;
    index->shape++;
    return &node[1];
}

uint64_t *fe_index_insert(fe_index *index, uint64_t hash, fe_address address, bool deadline)
{
    if (!start(index)) return NULL;
    if (fe_index_grow_due(index)) fe_index_balance(index, 2);
    fe_place to = fe_place_of(index, hash);
    fe_group at = fe_group_first(index, to.bucket);
    uint32_t length = 1;
    for (fe_group next; (next = fe_group_next(index, at)).words != NULL; at = next)
        length += at.size - 1;
    unsigned i = 0;
    while (i < at.size && at.words[i] != 0)
        i++;
    uint64_t *slot = i < at.size ? &at.words[i] : chain_extend(index, at);
    if (slot == NULL) return NULL;
    *slot = address | to.tag | (deadline ? FE_SLOT_DEADLINE : 0);
    if (length + i > index->longest) index->longest = length + i;
    index->count++;
    return slot;
}

void fe_index_remove(fe_index *index, uint64_t hash, uint64_t *slot)
{
    uint64_t *link = NULL;
    fe_group at = fe_group_first(index, fe_index_number(index, hash));
    for (fe_group next; (next = fe_group_next(index, at)).words != NULL; at = next)
        link = &at.words[at.size - 1];
    unsigned last = at.size;
    while (at.words[last - 1] == 0)
        last--;
    if (FE_UNLIKELY(*slot & FE_SLOT_SHORT)) index->shorts--;
    *slot = at.words[last - 1];
    at.words[last - 1] = 0;
    if (link != NULL && last == 2) {
        uint32_t id = (uint32_t)fe_slot_address(*link);
        *link = at.words[0];
        fe_nodes_give(index, id);
    }
    index->shape++;
    index->count--;
    if (index->count == 0 && index->bytes > FE_INDEX_BYTES_MIN)
        fe_index_reset(index);
    else if (fe_index_shrink_due(index))
        fe_index_balance(index, 2);
}

/* Loading -------------------------------------------------------------------------------------- */

bool fe_index_load_begin(fe_index *index, uint64_t buckets)
{
    FE_ASSERT(index->buckets == 0 && buckets >= 1u << FE_INDEX_LEVEL_MIN);
    fe_index_reset(index);
    uint64_t left = buckets;
    for (; left >= FE_INDEX_CHUNK_BUCKETS; left -= FE_INDEX_CHUNK_BUCKETS)
        if (!fe_index_space_load(index, FE_INDEX_CHUNK_BYTES)) return false;
    size_t rest = ((size_t)left * FE_INDEX_BUCKET_BYTES + PAGE - 1) & ~(PAGE - 1);
    if (rest != 0 && !fe_index_space_load(index, rest)) return false;
    unsigned level = 63u - (unsigned)__builtin_clzll(buckets);
    fe_index_level_set(index, level);
    index->split = buckets - (1ull << level);
    index->buckets = buckets;
    return true;
}

bool fe_index_slot_fits(const fe_index *index, uint64_t bucket, uint64_t slot)
{
    unsigned level = fe_bucket_level(index, bucket);
    uint64_t known = (1ull << (level - fe_tag_base(level))) - 1;
    uint64_t tag = slot >> FE_TAG_SHIFT & FE_TAG_BITS;
    if (slot & FE_SLOT_SHORT && tag > FE_SHORT_BITS) return false;
    return !(slot & FE_SLOT_LINK) && (tag & known) == bucket >> fe_tag_base(level);
}

bool fe_index_load_bucket(fe_index *index, uint64_t bucket, const uint64_t *slots, uint32_t count)
{
    FE_ASSERT(bucket < index->buckets);
    if (!fe_nodes_reserve(index, fe_chain_nodes(count))) return false;
    fe_chain_write(index, bucket, slots, count);
    index->count += count;
    for (uint32_t i = 0; i < count; i++)
        index->shorts += (slots[i] & FE_SLOT_SHORT) != 0;
    return true;
}
