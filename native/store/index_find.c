/* Look-ups in an index, and asking for what they will read.
 *
 * Threads: the engine's lock is held.
 */
#include "base/match.h"
#include "store/cache.h"
#include "store/index_chain.h"

#define MATCH_MASK ((FE_TAG_BITS << FE_TAG_SHIFT) | FE_SLOT_LINK)

static inline uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

/* Equality; keys of 8 to 16 bytes, the commonest, by two overlapping words. */
static inline bool bytes_same(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len - 8 <= 8)
        return ((load64(a) ^ load64(b)) | (load64(a + len - 8) ^ load64(b + len - 8))) == 0;
    return memcmp(a, b, len) == 0;
}

static inline bool record_has_key(const fe_record *record, fe_bytes name)
{
    fe_bytes key = fe_record_key(record);
    return key.len == name.len && bytes_same(key.ptr, name.ptr, key.len);
}

/* A bit for every word of the group whose tag is `tag`; links never match, empty words may. */
static inline unsigned group_match(const uint64_t *words, unsigned size, uint64_t tag)
{
    return fe_match_words(words, size, tag, MATCH_MASK);
}

uint64_t *fe_index_find(const fe_index *index, fe_bytes name, uint64_t hash, fe_record **record)
{
    if (FE_UNLIKELY(index->count == 0)) return NULL;
    fe_place to = fe_place_of(index, hash);
    fe_group at = fe_group_first(index, to.bucket);
    unsigned bits = group_match(at.words, FE_INDEX_BUCKET_WORDS, to.tag);
    for (;;) {
        for (; bits != 0; bits &= bits - 1) {
            uint64_t *slot = &at.words[__builtin_ctz(bits)];
            if (*slot == 0) return NULL;
            fe_address address = fe_slot_address(*slot);
            if (FE_UNLIKELY(fe_log_is_cold(index->space->log, address))) continue;
            fe_record *found = fe_log_at(index->space->log, address);
            if (FE_LIKELY(record_has_key(found, name))) {
                *record = found;
                return slot;
            }
        }
        at = fe_group_next(index, at);
        if (at.words == NULL) return NULL;
        bits = group_match(at.words, FE_INDEX_NODE_WORDS, to.tag);
    }
}

uint64_t *fe_index_find_address(const fe_index *index, uint64_t hash, fe_address address)
{
    if (index->count == 0) return NULL;
    uint64_t bucket = fe_index_number(index, hash);
    for (fe_group at = fe_group_first(index, bucket); at.words != NULL;
         at = fe_group_next(index, at))
        for (unsigned i = 0; i < at.size; i++)
            if ((at.words[i] & (FE_ADDRESS_MASK | FE_SLOT_LINK)) == address) return &at.words[i];
    return NULL;
}

/* Whether the slot may be of a key with this tag. */
static bool tag_may_match(uint64_t slot, uint64_t tag)
{
    uint64_t bits =
        slot & FE_SLOT_SHORT ? FE_SHORT_BITS << FE_TAG_SHIFT : FE_TAG_BITS << FE_TAG_SHIFT;
    return ((slot ^ tag) & bits) == 0;
}

uint64_t *fe_index_find_cold(const fe_index *index, uint64_t hash, const uint64_t *after)
{
    if (index->count == 0) return NULL;
    fe_place to = fe_place_of(index, hash);
    for (fe_group at = fe_group_first(index, to.bucket); at.words != NULL;
         at = fe_group_next(index, at)) {
        for (unsigned i = 0; i < at.size && at.words[i] != 0; i++) {
            uint64_t *slot = &at.words[i];
            if (*slot & FE_SLOT_LINK) break;
            if (after != NULL) {
                if (slot == after) after = NULL;
                continue;
            }
            if (tag_may_match(*slot, to.tag) &&
                fe_log_is_cold(index->space->log, fe_slot_address(*slot)))
                return slot;
        }
    }
    return NULL;
}

uint64_t *fe_index_find_home(const fe_index *index, uint64_t hash, fe_address home)
{
    if (index->count == 0) return NULL;
    const fe_log *log = index->space->log;
    fe_place to = fe_place_of(index, hash);
    for (fe_group at = fe_group_first(index, to.bucket); at.words != NULL;
         at = fe_group_next(index, at)) {
        for (unsigned i = 0; i < at.size && at.words[i] != 0; i++) {
            uint64_t *slot = &at.words[i];
            if (*slot & FE_SLOT_LINK) break;
            fe_address address = fe_slot_address(*slot);
            if (address == home) return slot;
            if (fe_cache_holds(log, address) && tag_may_match(*slot, to.tag) &&
                fe_cache_home(log, address) == home)
                return slot;
        }
    }
    return NULL;
}

uint64_t fe_index_hash_known(const fe_index *index, uint64_t bucket, uint64_t slot)
{
    return bucket | (slot >> FE_TAG_SHIFT & FE_TAG_BITS)
                        << fe_tag_base(fe_bucket_level(index, bucket));
}

unsigned fe_index_bits_known(const fe_index *index, uint64_t bucket, uint64_t slot)
{
    unsigned tag_bits = slot & FE_SLOT_SHORT ? FE_SHORT_BITS_COUNT : FE_TAG_BITS_COUNT;
    return fe_tag_base(fe_bucket_level(index, bucket)) + tag_bits;
}

void fe_index_refill(fe_index *index, uint64_t hash, uint64_t *slot)
{
    if (!(*slot & FE_SLOT_SHORT)) return;
    *slot = (*slot & ~(FE_SLOT_SHORT | FE_TAG_BITS << FE_TAG_SHIFT)) | fe_place_of(index, hash).tag;
    index->shorts--;
}

/* The record's first two lines. */
static void prefetch_lines(const fe_index *index, uint64_t slot)
{
    fe_address address = fe_slot_address(slot);
    if (fe_log_is_cold(index->space->log, address)) return;
    const uint8_t *record = (const uint8_t *)fe_log_at(index->space->log, address);
    fe_prefetch(record);
    fe_prefetch(record + 64);
}

bool fe_index_prefetch_record(const fe_index *index, uint64_t hash)
{
    if (index->count == 0) return false;
    fe_place to = fe_place_of(index, hash);
    fe_group at = fe_group_first(index, to.bucket);
    unsigned bits = group_match(at.words, FE_INDEX_BUCKET_WORDS, to.tag);
    if (bits != 0) {
        uint64_t slot = at.words[__builtin_ctz(bits)];
        if (slot == 0) return false;
        prefetch_lines(index, slot);
        return false;
    }
    at = fe_group_next(index, at);
    if (at.words != NULL) fe_prefetch(at.words);
    return at.words != NULL;
}

/* The second try of fe_index_prefetch_record: the first overflow node is in the cache by now. */
void fe_index_prefetch_behind(const fe_index *index, uint64_t hash)
{
    if (index->count == 0) return;
    fe_place to = fe_place_of(index, hash);
    fe_group at = fe_group_next(index, fe_group_first(index, to.bucket));
    for (; at.words != NULL; at = fe_group_next(index, at)) {
        unsigned bits = group_match(at.words, FE_INDEX_NODE_WORDS, to.tag);
        if (bits == 0) continue;
        uint64_t slot = at.words[__builtin_ctz(bits)];
        if (slot == 0) return;
        prefetch_lines(index, slot);
        return;
    }
}
