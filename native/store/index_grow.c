/* Growth and shrinkage of an index: splits and merges of buckets.
 *
 * One bucket is split for every 6.5 inserts, up to two per insert; a merge is due below 3 slots per
 * bucket. No call does more than a few buckets of work, whatever the size. A split or merge needs no
 * memory that it has not got before it starts; without memory the load grows, nothing else.
 *
 * Threads: the engine's lock is held.
 */
#include "store/index_chain.h"
#include "store/index_space.h"

#define CHAIN_LOCAL 64u /* slots of one chain that are moved without taking memory */

void fe_index_level_set(fe_index *index, unsigned level)
{
    index->level = level;
    index->mask = (1ull << level) - 1;
    index->tag_shift[0] = (uint8_t)fe_tag_base(level);
    index->tag_shift[1] = (uint8_t)fe_tag_base(level + 1);
}

static uint64_t record_hash(const fe_index *index, uint64_t slot)
{
    fe_bytes key = fe_record_key(fe_log_at(index->space->log, fe_slot_address(slot)));
    return fe_hash(index->space->seed, key.ptr, key.len);
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
    uint64_t rest = slot & ~(FE_TAG_BITS << FE_TAG_SHIFT);
    if (!fe_log_is_cold(index->space->log, fe_slot_address(slot))) {
        uint64_t hash = record_hash(index, slot);
        /* else its page could not be read: it is about to be cold (store/tier.h) */
        if (FE_LIKELY(fe_tag_of(hash, level - 1) == (slot & FE_TAG_BITS << FE_TAG_SHIFT)))
            return rest | fe_tag_of(hash, level);
    }
    index->shorts++;
    uint64_t known = slot >> (FE_TAG_SHIFT + 8) & FE_SHORT_BITS;
    return rest | FE_SLOT_SHORT | known << FE_TAG_SHIFT;
}

/* Whether the next split would need more tag bits than a slot of the chain has. */
static bool split_starved(const fe_index *index, const uint64_t *slots, uint32_t count)
{
    if (index->shorts == 0 || fe_tag_base(index->level) == fe_tag_base(index->level + 1))
        return false;
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
    uint64_t bit = 1ull << (FE_TAG_SHIFT + level - fe_tag_base(level));
    bool refill = fe_tag_base(level) != fe_tag_base(level + 1);
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
    if (!fe_index_space_grow(index)) return false;
    uint64_t local[2 * CHAIN_LOCAL];
    uint64_t from = index->split, to = index->buckets;
    uint32_t count = fe_chain_read(index, from, NULL);
    uint64_t *slots = count <= CHAIN_LOCAL ? local : chain_space(index, local, 2 * count);
    if (slots == NULL) return false;
    (void)fe_chain_read(index, from, slots);
    bool loses = fe_tag_base(index->level) != fe_tag_base(index->level + 1);
    bool defer = strict && loses && any_filed(index, slots, count);
    if (FE_UNLIKELY(defer || split_starved(index, slots, count))) {
        index->space->deferred |= defer;
        chain_space_give(index, local, slots);
        return false;
    }
    uint32_t gone, kept = split_slots(index, slots, count, slots + count, &gone);
    fe_chain_clear(index, from); /* its nodes are enough for both chains */
    fe_chain_write(index, from, slots, kept);
    fe_chain_write(index, to, slots + count, gone);
    chain_space_give(index, local, slots);
    index->buckets++;
    index->splits++;
    index->shape++;
    if (++index->split == 1ull << index->level) {
        fe_index_level_set(index, index->level + 1);
        index->split = 0;
    }
    if (fe_tag_base(index->level) != fe_tag_base(index->level + 1)) prefetch_refill(index);
    fe_nodes_trim(index);
    return true;
}

/* Tags of slots of a bucket of level + 1 bits, as they are with `level` bits: the lowest come from
 * the bucket's number. */
static void widen_tags(fe_index *index, uint64_t *slots, uint32_t count, uint64_t bucket,
                       unsigned level)
{
    if (fe_tag_base(level) == fe_tag_base(level + 1)) return;
    uint64_t low = (bucket >> fe_tag_base(level)) & 255u;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t tag = (slots[i] >> FE_TAG_SHIFT) & FE_TAG_BITS;
        tag = ((tag << 8) | low) & FE_TAG_BITS;
        slots[i] = (slots[i] & ~(FE_TAG_BITS << FE_TAG_SHIFT)) | (tag << FE_TAG_SHIFT);
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
    uint32_t count_low = fe_chain_read(index, low, NULL);
    uint32_t count = count_low + fe_chain_read(index, high, NULL);
    if (!fe_nodes_reserve(index, fe_chain_nodes(count))) return false;
    uint64_t *slots = chain_space(index, local, count);
    if (slots == NULL) return false;
    (void)fe_chain_read(index, low, slots);
    (void)fe_chain_read(index, high, slots + count_low);
    bool loses = fe_tag_base(level) != fe_tag_base(level + 1);
    if (FE_UNLIKELY(strict && loses && any_filed(index, slots, count))) {
        index->space->deferred = true;
        chain_space_give(index, local, slots);
        return false;
    }
    widen_tags(index, slots, count_low, low, level);
    widen_tags(index, slots + count_low, count - count_low, high, level);
    fe_chain_clear(index, low);
    fe_chain_clear(index, high);
    fe_chain_write(index, low, slots, count);
    chain_space_give(index, local, slots);
    fe_index_level_set(index, level);
    index->split = low;
    index->buckets--;
    index->merges++;
    index->shape++;
    fe_nodes_trim(index);
    fe_index_space_shrink(index);
    return true;
}

static bool step(fe_index *index, uint32_t buckets, bool strict)
{
    while (buckets > 0 && fe_index_grow_due(index)) {
        if (!split_one(index, strict)) return false;
        buckets--;
    }
    while (buckets > 0 && fe_index_shrink_due(index)) {
        if (!merge_one(index, strict)) return false;
        buckets--;
    }
    return fe_index_grow_due(index) || fe_index_shrink_due(index);
}

bool fe_index_step(fe_index *index, uint32_t buckets)
{
    return step(index, buckets, false);
}

void fe_index_balance(fe_index *index, uint32_t buckets)
{
    (void)step(index, buckets, true);
}
