/* Checks an index against its records, for tests.
 *
 * Threads: the engine's lock is held.
 */
#include "store/index_chain.h"
#include "store/index_space.h"

/* A slot whose record can be read. */
static const char *slot_check(const fe_index *index, uint64_t b, uint64_t word,
                              const fe_record *record)
{
    if (fe_record_type(record) == FE_TYPE_FILLER) return "index: slot of a filler";
    fe_bytes key = fe_record_key(record);
    uint64_t hash = fe_hash(index->space->seed, key.ptr, key.len);
    if (fe_index_number(index, hash) != b) return "index: slot in a wrong bucket";
    uint64_t bits = (word & FE_SLOT_SHORT ? FE_SHORT_BITS : FE_TAG_BITS) << FE_TAG_SHIFT;
    if ((fe_tag_of(hash, fe_bucket_level(index, b)) & bits) != (word & FE_TAG_BITS << FE_TAG_SHIFT))
        return "index: wrong tag";
    if (((word & FE_SLOT_DEADLINE) != 0) != (fe_record_deadline(record) != 0))
        return "index: wrong deadline bit";
    return NULL;
}

static const char *cold_check(const fe_index *index, uint64_t b, uint64_t word)
{
    if (index->space->view == NULL) return NULL;
    const fe_record *record = index->space->view(index->space->view_context, fe_slot_address(word));
    return record == NULL ? "index: a slot whose record is not on disk"
                          : slot_check(index, b, word, record);
}

static const char *hot_check(const fe_index *index, uint64_t b, uint64_t word, uint32_t id)
{
    if (word & FE_SLOT_SHORT) return "index: a short tag of a record in memory";
    fe_address address = fe_slot_address(word);
    const fe_record *record = fe_log_at(index->space->log, address);
    if (fe_log_segment(index->space->log, address)->tier != FE_TIER_MAPPED &&
        fe_record_keyspace(record) != id)
        return "index: record of another keyspace";
    return slot_check(index, b, word, record);
}

const char *fe_index_check(const fe_index *index, uint32_t id)
{
    uint64_t count = 0, nodes = 0, shorts = 0;
    for (uint64_t b = 0; b < index->buckets; b++) {
        uint64_t slots = 0;
        bool open = false;
        for (fe_group at = fe_group_first(index, b); at.words != NULL;
             at = fe_group_next(index, at)) {
            if (open) return "index: a link behind an empty word";
            nodes += at.size == FE_INDEX_NODE_WORDS;
            if (at.size == FE_INDEX_NODE_WORDS && at.words[1] == 0)
                return "index: a node with less than two slots";
            for (unsigned i = 0; i < at.size; i++) {
                uint64_t word = at.words[i];
                if (word == 0) open = true;
                if (word == 0 || word & FE_SLOT_LINK) continue;
                if (open) return "index: a slot behind an empty word";
                shorts += (word & FE_SLOT_SHORT) != 0;
                slots++;
                bool cold = fe_log_is_cold(index->space->log, fe_slot_address(word));
                const char *wrong =
                    cold ? cold_check(index, b, word) : hot_check(index, b, word, id);
                if (wrong != NULL) return wrong;
            }
        }
        if (slots > index->longest) return "index: a chain longer than the longest";
        count += slots;
    }
    if (shorts != index->shorts) return "index: wrong count of short tags";
    if (count != index->count) return "index: wrong count";
    if (index->buckets > fe_index_capacity(index)) return "index: more buckets than are mapped";
    if (nodes != index->nodes.used_count) return "index: wrong number of nodes";
    if (index->buckets != 0 && index->buckets != (1ull << index->level) + index->split)
        return "index: wrong number of buckets";
    return NULL;
}
