/* Visits of an index: by bucket, by SCAN's cursor, at random.
 *
 * Threads: the engine's lock is held.
 */
#include "store/index_chain.h"

uint32_t fe_index_visit_bucket(const fe_index *index, uint64_t bucket, fe_index_visit *visit,
                               void *context)
{
    uint32_t count = 0;
    for (fe_group at = fe_group_first(index, bucket); at.words != NULL;
         at = fe_group_next(index, at)) {
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
        fe_group at = fe_group_first(index, pick % index->buckets);
        fe_group next;
        while (position >= at.size - 1 && (next = fe_group_next(index, at)).words != NULL) {
            position -= at.size - 1;
            at = next;
        }
        if (position >= at.size || at.words[position] == 0) continue;
        if (bucket != NULL) *bucket = pick % index->buckets;
        return &at.words[position];
    }
}
