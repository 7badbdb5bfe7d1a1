/* See the header. */
#include "store/index_chain.h"

uint32_t fe_chain_read(const fe_index *index, uint64_t bucket, uint64_t *out)
{
    uint32_t count = 0;
    for (fe_group at = fe_group_first(index, bucket); at.words != NULL;
         at = fe_group_next(index, at)) {
        for (unsigned i = 0; i < at.size; i++) {
            uint64_t word = at.words[i];
            if (word == 0 || word & FE_SLOT_LINK) continue;
            if (out != NULL) out[count] = word;
            count++;
        }
    }
    return count;
}

void fe_chain_clear(fe_index *index, uint64_t bucket)
{
    fe_group first = fe_group_first(index, bucket);
    for (fe_group at = fe_group_next(index, first); at.words != NULL;) {
        fe_group next = fe_group_next(index, at);
        uint32_t id = (uint32_t)fe_slot_address(first.words[first.size - 1]);
        first.words[first.size - 1] = at.words[at.size - 1];
        fe_nodes_give(index, id);
        at = next;
    }
    memset(first.words, 0, FE_INDEX_BUCKET_BYTES);
}

void fe_chain_write(fe_index *index, uint64_t bucket, const uint64_t *slots, uint32_t count)
{
    if (count > index->longest) index->longest = count;
    fe_group at = fe_group_first(index, bucket);
    while (count > at.size) {
        memcpy(at.words, slots, (at.size - 1) * 8u);
        slots += at.size - 1;
        count -= at.size - 1;
        uint32_t id = fe_nodes_take(index);
        at.words[at.size - 1] = FE_SLOT_LINK | id;
        at = (fe_group){fe_nodes_at(&index->nodes, id), FE_INDEX_NODE_WORDS};
    }
    memcpy(at.words, slots, count * 8u);
}
