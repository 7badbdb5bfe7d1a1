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
 * 5. A split or merge needs no memory that it has not got before it starts; without memory the load
 * grows, nothing else.
 *
 * Growth: one bucket is split for every 6.5 inserts, up to two per insert; a merge is due below 3
 * slots per bucket. No call does more than a few buckets of work, whatever the size. The last chunk
 * grows by remapping, by an eighth of the whole index at a time, up to a chunk's size; then a chunk
 * is added.
 *
 * Threads: the engine's lock is held.
 */
#include "store/index.h"
#include "base/match.h"
#include "store/cache.h"
#include "store/index_nodes.h"

#include <sys/mman.h>

#define LEVEL_MIN 2u
#define GROW_LOAD_HALVES 13u /* slots per bucket, doubled: above it, split */
#define SHRINK_LOAD_HALVES 6u
#define SPARE_KEPT_HALVES 4u /* a spare is kept while the load is this little below growth */
#define TAG_SHIFT 40u
#define TAG_BITS 0xfffffull
#define MATCH_MASK ((TAG_BITS << TAG_SHIFT) | FE_SLOT_LINK)
#define CHUNK_BYTES FE_INDEX_CHUNK_BYTES
#define PAGE ((size_t)4096)
#define FIRST_BYTES_MIN PAGE
#define GROW_SHARE 8u
#define SHORT_BITS 0xfffull /* of a tag, that a SHORT slot has */
#define CHAIN_LOCAL 64u     /* slots of one chain that are moved without taking memory */

static unsigned tag_base(unsigned level)
{
    return level & ~7u;
}

static void level_set(fe_index *index, unsigned level)
{
    index->level = level;
    index->mask = (1ull << level) - 1;
    index->tag_shift[0] = (uint8_t)tag_base(level);
    index->tag_shift[1] = (uint8_t)tag_base(level + 1);
}

void fe_index_init(fe_index *index, fe_index_space *space)
{
    memset(index, 0, sizeof(*index));
    index->space = space;
}

void fe_index_reset(fe_index *index)
{
    for (uint32_t i = 0; i < index->chunk_count; i++)
        fe_trash_put(index->space->trash, FE_ALLOC_INDEX, index->chunks[i],
                     i + 1 == index->chunk_count ? index->last_bytes : CHUNK_BYTES);
    fe_alloc_give(index->space->alloc, FE_ALLOC_INDEX, index->chunks);
    fe_nodes_reset(index);
    index->version++;
    index->chunks = NULL;
    index->chunk_count = index->chunk_capacity = 0;
    index->last_bytes = 0;
    index->split = index->buckets = index->count = index->shorts = index->bytes = 0;
    level_set(index, 0);
    index->longest = 0;
    index->shape++;
}

/* Tags and chains ------------------------------------------------------------------------------ */

static uint64_t tag_of(uint64_t hash, unsigned level)
{
    return ((hash >> tag_base(level)) & TAG_BITS) << TAG_SHIFT;
}

/* Where a hash belongs: its bucket, and the tag that its slot has there. */
typedef struct place {
    uint64_t bucket, tag;
} place;

static inline place place_of(const fe_index *index, uint64_t hash)
{
    uint64_t low = hash & index->mask;
    bool split = low < index->split;
    return (place){split ? hash & (2 * index->mask + 1) : low,
                   ((hash >> index->tag_shift[split]) & TAG_BITS) << TAG_SHIFT};
}

static unsigned bucket_level(const fe_index *index, uint64_t bucket)
{
    return index->level + (bucket < index->split || bucket >> index->level != 0);
}

static uint64_t record_hash(const fe_index *index, uint64_t slot)
{
    fe_bytes key = fe_record_key(fe_log_at(index->space->log, fe_slot_address(slot)));
    return fe_hash(index->space->seed, key.ptr, key.len);
}

/* One group of a chain: a bucket or a node. */
typedef struct group {
    uint64_t *words;
    unsigned size;
} group;

static group group_first(const fe_index *index, uint64_t bucket)
{
    return (group){fe_index_bucket(index, bucket), FE_INDEX_BUCKET_WORDS};
}

/* The group behind `at`, or one without words. */
static group group_next(const fe_index *index, group at)
{
    uint64_t last = at.words[at.size - 1];
    if (!(last & FE_SLOT_LINK)) return (group){NULL, 0};
    return (group){fe_nodes_at(&index->nodes, fe_slot_address(last)), FE_INDEX_NODE_WORDS};
}

static uint32_t nodes_needed(uint32_t slots)
{
    return slots <= FE_INDEX_BUCKET_WORDS ? 0 : (slots - 6) / 3;
}

/* Copies a chain's slots to `out` (if not NULL); returns how many there are. */
static uint32_t chain_read(const fe_index *index, uint64_t bucket, uint64_t *out)
{
    uint32_t count = 0;
    for (group at = group_first(index, bucket); at.words != NULL; at = group_next(index, at)) {
        for (unsigned i = 0; i < at.size; i++) {
            uint64_t word = at.words[i];
            if (word == 0 || word & FE_SLOT_LINK) continue;
            if (out != NULL) out[count] = word;
            count++;
        }
    }
    return count;
}

/* Gives the overflow nodes of a chain back and clears its bucket. */
static void chain_clear(fe_index *index, uint64_t bucket)
{
    group first = group_first(index, bucket);
    for (group at = group_next(index, first); at.words != NULL;) {
        group next = group_next(index, at);
        uint32_t id = (uint32_t)fe_slot_address(first.words[first.size - 1]);
        first.words[first.size - 1] = at.words[at.size - 1];
        fe_nodes_give(index, id);
        at = next;
    }
    memset(first.words, 0, FE_INDEX_BUCKET_BYTES);
}

/* Writes a cleared chain. Its nodes are reserved. */
static void chain_write(fe_index *index, uint64_t bucket, const uint64_t *slots, uint32_t count)
{
    if (count > index->longest) index->longest = count;
    group at = group_first(index, bucket);
    while (count > at.size) {
        memcpy(at.words, slots, (at.size - 1) * 8u);
        slots += at.size - 1;
        count -= at.size - 1;
        uint32_t id = fe_nodes_take(index);
        at.words[at.size - 1] = FE_SLOT_LINK | id;
        at = (group){fe_nodes_at(&index->nodes, id), FE_INDEX_NODE_WORDS};
    }
    memcpy(at.words, slots, count * 8u);
}

/* Space ---------------------------------------------------------------------------------------- */

static uint64_t bucket_capacity(const fe_index *index)
{
    if (index->chunk_count == 0) return 0;
    return (uint64_t)(index->chunk_count - 1) * FE_INDEX_CHUNK_BUCKETS +
           index->last_bytes / FE_INDEX_BUCKET_BYTES;
}

/* By how much to grow: an eighth, so that little is mapped ahead of need. */
static size_t step_bytes(const fe_index *index)
{
    uint64_t bytes = bucket_capacity(index) * FE_INDEX_BUCKET_BYTES / GROW_SHARE;
    if (bytes >= CHUNK_BYTES) return CHUNK_BYTES;
    return bytes < PAGE ? PAGE : (size_t)bytes & ~(PAGE - 1);
}

/* Whether inserts will soon ask for more buckets. */
static bool grow_near(const fe_index *index)
{
    return index->count * 2 > index->buckets * (GROW_LOAD_HALVES - 1);
}

static bool may_map(fe_index *index, size_t bytes)
{
    if (index->space->used_max == 0 || index->chunk_count == 0) return true;
    if (index->count > index->buckets * GROW_LOAD_HALVES) return true; /* twice the load: give in */
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

static bool last_chunk_grow(fe_index *index, size_t bytes)
{
    uint64_t **chunk = &index->chunks[index->chunk_count - 1];
    uint64_t *moved = fe_pages_remap(index->space->alloc, FE_ALLOC_INDEX, *chunk, index->last_bytes,
                                     index->last_bytes + bytes);
    if (moved == NULL) return false;
    *chunk = moved;
    index->version++;
    index->bytes += bytes;
    index->last_bytes += bytes;
    index->shape++;
    return true;
}

/* The spare chunk, which is full size, or a new mapping. */
static bool chunk_add(fe_index *index, size_t bytes)
{
    bool spare = index->chunk_count != 0 && index->space->spare != NULL;
    if (spare) bytes = CHUNK_BYTES;
    if ((!spare && !may_map(index, bytes)) || !directory_grow(index)) return false;
    uint64_t *chunk = index->space->spare;
    if (spare)
        index->space->spare = NULL;
    else
        chunk = fe_pages_map(index->space->alloc, FE_ALLOC_INDEX, bytes, PAGE);
    if (chunk == NULL) return false;
    index->last_bytes = bytes;
    index->chunks[index->chunk_count++] = chunk;
    index->version++;
    index->bytes += bytes;
    return true;
}

bool fe_index_wants_spare(const fe_index *index)
{
    return index->chunk_count >= 2 && index->last_bytes == CHUNK_BYTES && grow_near(index) &&
           bucket_capacity(index) - index->buckets < FE_INDEX_CHUNK_BUCKETS / 2;
}

/* Easier to meet than the wish, so that a load that swings does not map and unmap. */
bool fe_index_keeps_spare(const fe_index *index)
{
    return index->chunk_count >= 2 &&
           index->count * 2 > index->buckets * (GROW_LOAD_HALVES - SPARE_KEPT_HALVES) &&
           bucket_capacity(index) - index->buckets < FE_INDEX_CHUNK_BUCKETS;
}

/* Room for one more bucket. */
static bool space_grow(fe_index *index)
{
    if (index->buckets < bucket_capacity(index)) return true;
    size_t bytes = step_bytes(index), room = CHUNK_BYTES - index->last_bytes;
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
    uint64_t *chunk = fe_pages_map(index->space->alloc, FE_ALLOC_INDEX, bytes, PAGE);
    if (chunk == NULL) return;
    memcpy(chunk, index->chunks[0], index->buckets * FE_INDEX_BUCKET_BYTES);
    fe_trash_put(index->space->trash, FE_ALLOC_INDEX, index->chunks[0], index->last_bytes);
    index->chunks[0] = chunk;
    index->version++;
    index->bytes -= index->last_bytes - bytes;
    index->last_bytes = bytes;
    index->shape++;
}

/* The last chunk goes when the one before it is half empty too. */
static void last_chunk_drop(fe_index *index)
{
    fe_trash_put(index->space->trash, FE_ALLOC_INDEX, index->chunks[--index->chunk_count],
                 index->last_bytes);
    index->version++;
    index->bytes -= index->last_bytes;
    index->last_bytes = CHUNK_BYTES;
}

static void space_shrink(fe_index *index)
{
    uint64_t before_last = (uint64_t)(index->chunk_count - 1) * FE_INDEX_CHUNK_BUCKETS;
    if (index->chunk_count > 1) {
        if (index->buckets + FE_INDEX_CHUNK_BUCKETS / 2 <= before_last) last_chunk_drop(index);
    } else if (index->last_bytes > FIRST_BYTES_MIN &&
               index->buckets * FE_INDEX_BUCKET_BYTES <= index->last_bytes / 8 * 3) {
        only_chunk_shrink(index);
    }
}

/* Growth and shrinkage ------------------------------------------------------------------------- */

static bool grow_due(const fe_index *index)
{
    return index->count * 2 > index->buckets * GROW_LOAD_HALVES;
}

static bool shrink_due(const fe_index *index)
{
    return index->count * 2 < index->buckets * SHRINK_LOAD_HALVES &&
           index->buckets > 1u << LEVEL_MIN;
}

/* Asks for the records of the bucket that will be split next, when their keys must be read. */
static void prefetch_refill(const fe_index *index)
{
    uint64_t slots[FE_INDEX_BUCKET_WORDS];
    memcpy(slots, fe_index_bucket(index, index->split), sizeof(slots));
    for (unsigned i = 0; i < FE_INDEX_BUCKET_WORDS; i++)
        if (slots[i] != 0 && !(slots[i] & FE_SLOT_LINK))
            fe_prefetch(fe_log_at(index->space->log, fe_slot_address(slots[i])));
}

/* The slot with the tag that it has at a level whose tags begin 8 bits higher. */
static uint64_t slot_refilled(fe_index *index, uint64_t slot, unsigned level)
{
    uint64_t rest = slot & ~(TAG_BITS << TAG_SHIFT);
    if (!fe_log_is_cold(index->space->log, fe_slot_address(slot))) {
        uint64_t hash = record_hash(index, slot);
        /* else its page could not be read: it is about to be cold (store/tier.h) */
        if (FE_LIKELY(tag_of(hash, level - 1) == (slot & TAG_BITS << TAG_SHIFT)))
            return rest | tag_of(hash, level);
    }
    index->shorts++;
    uint64_t known = slot >> (TAG_SHIFT + 8) & SHORT_BITS;
    return rest | FE_SLOT_SHORT | known << TAG_SHIFT;
}

/* Whether the next split would need more tag bits than a slot of the chain has. */
static bool split_starved(const fe_index *index, const uint64_t *slots, uint32_t count)
{
    if (index->shorts == 0 || tag_base(index->level) == tag_base(index->level + 1)) return false;
    for (uint32_t i = 0; i < count; i++)
        if (slots[i] & FE_SLOT_SHORT) return true;
    return false;
}

/* Whether a record that has a file is among the slots: reading it may wait for the disk, or fail. */
static bool any_filed(const fe_index *index, const uint64_t *slots, uint32_t count)
{
    if (FE_LIKELY(!index->space->log->tiered)) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t tier = fe_log_segment(index->space->log, fe_slot_address(slots[i]))->tier;
        if (tier == FE_TIER_MAPPED || tier == FE_TIER_DISK) return true;
    }
    return false;
}

/* Divides the slots by the hash bit that counts now; returns how many stay. `moved` gets the
 * others. */
static uint32_t split_slots(fe_index *index, uint64_t *slots, uint32_t count, uint64_t *moved,
                            uint32_t *moved_count)
{
    unsigned level = index->level;
    uint64_t bit = 1ull << (TAG_SHIFT + level - tag_base(level));
    bool refill = tag_base(level) != tag_base(level + 1);
    uint32_t kept = 0, gone = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t slot = slots[i];
        bool moves = (slot & bit) != 0;
        if (refill) slot = slot_refilled(index, slot, level + 1);
        if (moves)
            moved[gone++] = slot;
        else
            slots[kept++] = slot;
    }
    *moved_count = gone;
    return kept;
}

/* Working space for `count` slots: `local` where that is enough. */
static uint64_t *chain_space(fe_index *index, uint64_t *local, uint32_t count)
{
    if (count <= CHAIN_LOCAL) return local;
    return fe_alloc_take(index->space->alloc, FE_ALLOC_INDEX, count * sizeof(uint64_t));
}

static void chain_space_give(fe_index *index, const uint64_t *local, uint64_t *space)
{
    if (space != local) fe_alloc_give(index->space->alloc, FE_ALLOC_INDEX, space);
}

/* Tags that lose bits match more keys than before; a command that is running has asked already
 * which records on disk may be its keys' (`strict`: nothing of that happens). */
static bool split_one(fe_index *index, bool strict)
{
    if (!space_grow(index)) return false;
    uint64_t local[2 * CHAIN_LOCAL];
    uint64_t from = index->split, to = index->buckets;
    uint32_t count = chain_read(index, from, NULL);
    uint64_t *slots = count <= CHAIN_LOCAL ? local : chain_space(index, local, 2 * count);
    if (slots == NULL) return false;
    (void)chain_read(index, from, slots);
    bool loses = tag_base(index->level) != tag_base(index->level + 1);
    bool defer = strict && loses && any_filed(index, slots, count);
    if (FE_UNLIKELY(defer || split_starved(index, slots, count))) {
        index->space->deferred |= defer;
        chain_space_give(index, local, slots);
        return false;
    }
    uint32_t gone, kept = split_slots(index, slots, count, slots + count, &gone);
    chain_clear(index, from); /* its nodes are enough for both chains */
    chain_write(index, from, slots, kept);
    chain_write(index, to, slots + count, gone);
    chain_space_give(index, local, slots);
    index->buckets++;
    index->splits++;
    index->shape++;
    if (++index->split == 1ull << index->level) {
        level_set(index, index->level + 1);
        index->split = 0;
    }
    if (tag_base(index->level) != tag_base(index->level + 1)) prefetch_refill(index);
    fe_nodes_trim(index);
    return true;
}

/* Tags of slots of a bucket of level + 1 bits, as they are with `level` bits: the lowest come from
 * the bucket's number. */
static void widen_tags(fe_index *index, uint64_t *slots, uint32_t count, uint64_t bucket,
                       unsigned level)
{
    if (tag_base(level) == tag_base(level + 1)) return;
    uint64_t low = (bucket >> tag_base(level)) & 255u;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t tag = (slots[i] >> TAG_SHIFT) & TAG_BITS;
        tag = ((tag << 8) | low) & TAG_BITS;
        slots[i] = (slots[i] & ~(TAG_BITS << TAG_SHIFT)) | (tag << TAG_SHIFT);
        if (!(slots[i] & FE_SLOT_SHORT)) continue;
        slots[i] &= ~FE_SLOT_SHORT; /* 8 bits from the bucket and 12 of its own: whole again */
        index->shorts--;
    }
}

static bool merge_one(fe_index *index, bool strict)
{
    unsigned level = index->split == 0 ? index->level - 1 : index->level;
    uint64_t low = (index->split == 0 ? 1ull << level : index->split) - 1;
    uint64_t high = index->buckets - 1;
    uint64_t local[2 * CHAIN_LOCAL];
    uint32_t count_low = chain_read(index, low, NULL);
    uint32_t count = count_low + chain_read(index, high, NULL);
    if (!fe_nodes_reserve(index, nodes_needed(count))) return false;
    uint64_t *slots = chain_space(index, local, count);
    if (slots == NULL) return false;
    (void)chain_read(index, low, slots);
    (void)chain_read(index, high, slots + count_low);
    bool loses = tag_base(level) != tag_base(level + 1);
    if (FE_UNLIKELY(strict && loses && any_filed(index, slots, count))) {
        index->space->deferred = true;
        chain_space_give(index, local, slots);
        return false;
    }
    widen_tags(index, slots, count_low, low, level);
    widen_tags(index, slots + count_low, count - count_low, high, level);
    chain_clear(index, low);
    chain_clear(index, high);
    chain_write(index, low, slots, count);
    chain_space_give(index, local, slots);
    level_set(index, level);
    index->split = low;
    index->buckets--;
    index->merges++;
    index->shape++;
    fe_nodes_trim(index);
    space_shrink(index);
    return true;
}

static bool step(fe_index *index, uint32_t buckets, bool strict)
{
    while (buckets > 0 && grow_due(index)) {
        if (!split_one(index, strict)) return false;
        buckets--;
    }
    while (buckets > 0 && shrink_due(index)) {
        if (!merge_one(index, strict)) return false;
        buckets--;
    }
    return grow_due(index) || shrink_due(index);
}

bool fe_index_step(fe_index *index, uint32_t buckets)
{
    return step(index, buckets, false);
}

/* Look-ups ------------------------------------------------------------------------------------- */

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
    place to = place_of(index, hash);
    group at = group_first(index, to.bucket);
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
        at = group_next(index, at);
        if (at.words == NULL) return NULL;
        bits = group_match(at.words, FE_INDEX_NODE_WORDS, to.tag);
    }
}

uint64_t *fe_index_find_address(const fe_index *index, uint64_t hash, fe_address address)
{
    if (index->count == 0) return NULL;
    uint64_t bucket = fe_index_number(index, hash);
    for (group at = group_first(index, bucket); at.words != NULL; at = group_next(index, at))
        for (unsigned i = 0; i < at.size; i++)
            if ((at.words[i] & (FE_ADDRESS_MASK | FE_SLOT_LINK)) == address) return &at.words[i];
    return NULL;
}

/* Whether the slot may be of a key with this tag. */
static bool tag_may_match(uint64_t slot, uint64_t tag)
{
    uint64_t bits = slot & FE_SLOT_SHORT ? SHORT_BITS << TAG_SHIFT : TAG_BITS << TAG_SHIFT;
    return ((slot ^ tag) & bits) == 0;
}

uint64_t *fe_index_find_cold(const fe_index *index, uint64_t hash, const uint64_t *after)
{
    if (index->count == 0) return NULL;
    place to = place_of(index, hash);
    for (group at = group_first(index, to.bucket); at.words != NULL; at = group_next(index, at)) {
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
    place to = place_of(index, hash);
    for (group at = group_first(index, to.bucket); at.words != NULL; at = group_next(index, at)) {
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
    return bucket | (slot >> TAG_SHIFT & TAG_BITS) << tag_base(bucket_level(index, bucket));
}

void fe_index_refill(fe_index *index, uint64_t hash, uint64_t *slot)
{
    if (!(*slot & FE_SLOT_SHORT)) return;
    *slot = (*slot & ~(FE_SLOT_SHORT | TAG_BITS << TAG_SHIFT)) | place_of(index, hash).tag;
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
    place to = place_of(index, hash);
    group at = group_first(index, to.bucket);
    unsigned bits = group_match(at.words, FE_INDEX_BUCKET_WORDS, to.tag);
    if (bits != 0) {
        uint64_t slot = at.words[__builtin_ctz(bits)];
        if (slot == 0) return false;
        prefetch_lines(index, slot);
        return false;
    }
    at = group_next(index, at);
    if (at.words != NULL) fe_prefetch(at.words);
    return at.words != NULL;
}

/* The second try of fe_index_prefetch_record: the first overflow node is in the cache by now. */
void fe_index_prefetch_behind(const fe_index *index, uint64_t hash)
{
    if (index->count == 0) return;
    place to = place_of(index, hash);
    group at = group_next(index, group_first(index, to.bucket));
    for (; at.words != NULL; at = group_next(index, at)) {
        unsigned bits = group_match(at.words, FE_INDEX_NODE_WORDS, to.tag);
        if (bits == 0) continue;
        uint64_t slot = at.words[__builtin_ctz(bits)];
        if (slot == 0) return;
        prefetch_lines(index, slot);
        return;
    }
}

/* Insert and remove ---------------------------------------------------------------------------- */

static bool start(fe_index *index)
{
    if (index->buckets != 0) return true;
    if (index->chunk_count == 0 && !chunk_add(index, FIRST_BYTES_MIN)) return false;
    level_set(index, LEVEL_MIN);
    index->split = 0;
    index->buckets = 1u << LEVEL_MIN;
    return true;
}

/* A full last group gets a node behind it, which takes its last slot and has room for another. */
static uint64_t *chain_extend(fe_index *index, group at)
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
    if (grow_due(index)) (void)step(index, 2, true);
    place to = place_of(index, hash);
    group at = group_first(index, to.bucket);
    uint32_t length = 1;
    for (group next; (next = group_next(index, at)).words != NULL; at = next)
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
    group at = group_first(index, fe_index_number(index, hash));
    for (group next; (next = group_next(index, at)).words != NULL; at = next)
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
    if (index->count == 0 && index->bytes > FIRST_BYTES_MIN)
        fe_index_reset(index);
    else if (shrink_due(index))
        (void)step(index, 2, true);
}

/* Loading -------------------------------------------------------------------------------------- */

/* A full chunk is on a huge page if there is one: all of it will be written at once. */
static bool chunk_load(fe_index *index, size_t bytes)
{
    bool full = bytes == CHUNK_BYTES;
    if (!directory_grow(index)) return false;
    uint64_t *chunk =
        fe_pages_map(index->space->alloc, FE_ALLOC_INDEX, bytes, full ? CHUNK_BYTES : PAGE);
    if (chunk == NULL) return false;
    if (full) (void)madvise(chunk, bytes, MADV_HUGEPAGE); /* a wish: refusal is fine */
    index->last_bytes = bytes;
    index->chunks[index->chunk_count++] = chunk;
    index->version++;
    index->bytes += bytes;
    return true;
}

bool fe_index_load_begin(fe_index *index, uint64_t buckets)
{
    FE_ASSERT(index->buckets == 0 && buckets >= 1u << LEVEL_MIN);
    fe_index_reset(index);
    uint64_t left = buckets;
    for (; left >= FE_INDEX_CHUNK_BUCKETS; left -= FE_INDEX_CHUNK_BUCKETS)
        if (!chunk_load(index, CHUNK_BYTES)) return false;
    size_t rest = ((size_t)left * FE_INDEX_BUCKET_BYTES + PAGE - 1) & ~(PAGE - 1);
    if (rest != 0 && !chunk_load(index, rest)) return false;
    unsigned level = 63u - (unsigned)__builtin_clzll(buckets);
    level_set(index, level);
    index->split = buckets - (1ull << level);
    index->buckets = buckets;
    return true;
}

bool fe_index_slot_fits(const fe_index *index, uint64_t bucket, uint64_t slot)
{
    unsigned level = bucket_level(index, bucket);
    uint64_t known = (1ull << (level - tag_base(level))) - 1;
    uint64_t tag = slot >> TAG_SHIFT & TAG_BITS;
    if (slot & FE_SLOT_SHORT && tag > SHORT_BITS) return false;
    return !(slot & FE_SLOT_LINK) && (tag & known) == bucket >> tag_base(level);
}

bool fe_index_load_bucket(fe_index *index, uint64_t bucket, const uint64_t *slots, uint32_t count)
{
    FE_ASSERT(bucket < index->buckets);
    if (!fe_nodes_reserve(index, nodes_needed(count))) return false;
    chain_write(index, bucket, slots, count);
    index->count += count;
    for (uint32_t i = 0; i < count; i++)
        index->shorts += (slots[i] & FE_SLOT_SHORT) != 0;
    return true;
}

/* Visits --------------------------------------------------------------------------------------- */

uint32_t fe_index_visit_bucket(const fe_index *index, uint64_t bucket, fe_index_visit *visit,
                               void *context)
{
    uint32_t count = 0;
    for (group at = group_first(index, bucket); at.words != NULL; at = group_next(index, at)) {
        for (unsigned i = 0; i < at.size && at.words[i] != 0; i++) {
            if (at.words[i] & FE_SLOT_LINK) break;
            visit(context, at.words[i]);
            count++;
        }
    }
    return count;
}

static uint64_t reverse_bits(uint64_t value)
{
    value = __builtin_bswap64(value);
    value = ((value >> 4) & 0x0f0f0f0f0f0f0f0full) | ((value & 0x0f0f0f0f0f0f0f0full) << 4);
    value = ((value >> 2) & 0x3333333333333333ull) | ((value & 0x3333333333333333ull) << 2);
    return ((value >> 1) & 0x5555555555555555ull) | ((value & 0x5555555555555555ull) << 1);
}

static void prefetch_slot(void *context, uint64_t slot)
{
    const fe_log *log = context;
    fe_prefetch(fe_log_at(log, fe_slot_address(slot)));
}

/* Visits a bucket after asking for all of its records. */
static uint32_t visit_ahead(const fe_index *index, uint64_t bucket, fe_index_visit *visit,
                            void *context)
{
    (void)fe_index_visit_bucket(index, bucket, prefetch_slot, (void *)(uintptr_t)index->space->log);
    return fe_index_visit_bucket(index, bucket, visit, context);
}

/* The bucket with the cursor's low bits, and the one that was split from it. Counting the low bits
 * up from the highest one makes what has been visited independent of how many bits a later call
 * uses. */
uint64_t fe_index_scan(const fe_index *index, uint64_t cursor, fe_index_visit *visit, void *context,
                       uint64_t *slots)
{
    if (index->count == 0) return 0;
    uint64_t mask = index->mask;
    uint64_t bucket = cursor & mask;
    uint64_t next = reverse_bits(reverse_bits(cursor | ~mask) + 1);
    fe_prefetch(fe_index_bucket(index, next & mask));
    *slots += visit_ahead(index, bucket, visit, context);
    if (bucket < index->split) *slots += visit_ahead(index, bucket + mask + 1, visit, context);
    return next;
}

uint64_t *fe_index_random_in(const fe_index *index, fe_random *random, uint64_t *bucket)
{
    if (index->count == 0) return NULL;
    for (;;) {
        uint64_t pick = fe_random_below(random, index->buckets * index->longest);
        uint64_t position = pick / index->buckets;
        group at = group_first(index, pick % index->buckets);
        group next;
        while (position >= at.size - 1 && (next = group_next(index, at)).words != NULL) {
            position -= at.size - 1;
            at = next;
        }
        if (position >= at.size || at.words[position] == 0) continue;
        if (bucket != NULL) *bucket = pick % index->buckets;
        return &at.words[position];
    }
}

/* A slot whose record can be read. */
static const char *slot_check(const fe_index *index, uint64_t b, uint64_t word,
                              const fe_record *record)
{
    if (fe_record_type(record) == FE_TYPE_FILLER) return "index: slot of a filler";
    fe_bytes key = fe_record_key(record);
    uint64_t hash = fe_hash(index->space->seed, key.ptr, key.len);
    if (fe_index_number(index, hash) != b) return "index: slot in a wrong bucket";
    uint64_t bits = (word & FE_SLOT_SHORT ? SHORT_BITS : TAG_BITS) << TAG_SHIFT;
    if ((tag_of(hash, bucket_level(index, b)) & bits) != (word & TAG_BITS << TAG_SHIFT))
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
        for (group at = group_first(index, b); at.words != NULL; at = group_next(index, at)) {
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
    if (index->buckets > bucket_capacity(index)) return "index: more buckets than are mapped";
    if (nodes != index->nodes.used_count) return "index: wrong number of nodes";
    if (index->buckets != 0 && index->buckets != (1ull << index->level) + index->split)
        return "index: wrong number of buckets";
    return NULL;
}
