/* See mrc.h.
 *
 * The stack of an LRU cache, newest first, is kept as positions in time: a key that is used takes the next
 * position and leaves its old one. The bytes behind a position are the sum over a Fenwick tree.
 *
 *     position   1 . . . . . . . . . . . . position   position_max
 *     at         -  e3 -  e1 -  -  e2 -   (entry, or none)
 *     tree       bytes of the entries, as prefix sums
 *
 * When positions run out, those in use are moved together; then what has sunk below `reach`, or is gone, is
 * forgotten, so that keys which nobody will ask for again do not fill the sample for ever.
 *
 * Invariants: an entry with a position is at[position], and its bytes are in the tree there; an entry
 * without one is gone (deleted or expired) and only keeps its place in the sample. All hashes are at most
 * `threshold`. Entry 0 is none.
 */
#include "engine/mrc.h"

#include "base/assert.h"

#include <string.h>

typedef struct fe_mrc_entry {
    uint64_t hash;
    uint64_t bytes;
    int64_t deadline_ms;
    uint32_t db;
    uint32_t position; /* 0: gone */
    uint32_t next;     /* in its chain, or of the free ones */
} fe_mrc_entry;

/* The tree. --------------------------------------------------------------------------------------
 */

static void tree_add(fe_mrc *mrc, uint32_t position, uint64_t bytes)
{
    for (uint32_t i = position; i <= mrc->position_max; i += i & -i)
        mrc->tree[i] += bytes; /* wraps when it is negative, and back */
}

static uint64_t tree_before(const fe_mrc *mrc, uint32_t position)
{
    uint64_t sum = 0;
    for (uint32_t i = position - 1; i > 0; i -= i & -i)
        sum += mrc->tree[i];
    return sum;
}

/* The sample. ------------------------------------------------------------------------------------
 */

static uint32_t *head_of(const fe_mrc *mrc, uint64_t hash)
{
    /* The low bits: the high ones are small in every sampled hash. */
    return &mrc->heads[(uint32_t)hash % mrc->samples_max];
}

static uint32_t find(const fe_mrc *mrc, uint64_t hash, uint32_t db)
{
    uint32_t i = *head_of(mrc, hash);
    while (i != 0 && (mrc->entries[i].hash != hash || mrc->entries[i].db != db))
        i = mrc->entries[i].next;
    return i;
}

static void heap_sink(fe_mrc *mrc, uint32_t at)
{
    uint32_t *heap = mrc->heap, moving = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < mrc->count; at = child) {
        if (child + 1 < mrc->count &&
            mrc->entries[heap[child + 1]].hash > mrc->entries[heap[child]].hash)
            child++;
        if (mrc->entries[heap[child]].hash <= mrc->entries[moving].hash) break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void heap_add(fe_mrc *mrc, uint32_t entry)
{
    uint32_t at = mrc->count++;
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (mrc->entries[mrc->heap[parent]].hash >= mrc->entries[entry].hash) break;
        mrc->heap[at] = mrc->heap[parent];
        at = parent;
    }
    mrc->heap[at] = entry;
}

/* The key is not on the stack any more. */
static void leave(fe_mrc *mrc, fe_mrc_entry *entry)
{
    if (entry->position == 0) return;
    tree_add(mrc, entry->position, -entry->bytes);
    mrc->at[entry->position] = 0;
    mrc->bytes -= entry->bytes;
    mrc->stacked--;
    entry->position = 0;
}

/* Out of its chain, to the free ones; the heap is the caller's. */
static void give_entry(fe_mrc *mrc, uint32_t i)
{
    fe_mrc_entry *entry = &mrc->entries[i];
    leave(mrc, entry);
    uint32_t *link = head_of(mrc, entry->hash);
    while (*link != i)
        link = &mrc->entries[*link].next;
    *link = entry->next;
    entry->next = mrc->free;
    mrc->free = i;
}

/* The keys with the greatest hash leave the sample. */
static void lower_threshold(fe_mrc *mrc)
{
    mrc->threshold = mrc->entries[mrc->heap[0]].hash - 1;
    while (mrc->count > 0 && mrc->entries[mrc->heap[0]].hash > mrc->threshold) {
        give_entry(mrc, mrc->heap[0]);
        mrc->heap[0] = mrc->heap[--mrc->count];
        if (mrc->count > 0) heap_sink(mrc, 0);
    }
}

/* Positions. -------------------------------------------------------------------------------------
 */

/* Of the sample, what has sunk out of reach or is gone. */
static void drop_sunk(fe_mrc *mrc)
{
    uint64_t depth = 0, most = UINT64_MAX;
    double reach = (double)mrc->reach * fe_mrc_rate(mrc);
    if (mrc->reach != 0 && reach < 0x1p63) most = (uint64_t)reach;
    for (uint32_t position = mrc->position; position > 0; position--) {
        uint32_t i = mrc->at[position];
        if (i == 0) continue;
        depth += mrc->entries[i].bytes;
        if (depth > most) leave(mrc, &mrc->entries[i]);
    }
    uint32_t kept = 0, count = mrc->count;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t i = mrc->heap[at];
        if (mrc->entries[i].position == 0)
            give_entry(mrc, i);
        else
            mrc->heap[kept++] = i;
    }
    mrc->count = kept;
    for (uint32_t at = kept / 2; at > 0; at--)
        heap_sink(mrc, at - 1);
}

/* With few keys left more can be sampled. Those that begin to count now are cold once. */
static void raise_threshold(fe_mrc *mrc)
{
    if (mrc->count > mrc->samples_max / 4) return;
    bool fits = mrc->threshold <= mrc->threshold_max / 2;
    mrc->threshold = fits ? mrc->threshold * 2 + 1 : mrc->threshold_max;
}

/* Moves the positions in use together, and builds the tree anew. */
static void compact(fe_mrc *mrc)
{
    drop_sunk(mrc);
    raise_threshold(mrc);
    uint32_t used = 0, old = mrc->position;
    memset(mrc->tree, 0, (mrc->position_max + 1) * sizeof *mrc->tree);
    for (uint32_t position = 1; position <= old; position++) {
        uint32_t i = mrc->at[position];
        mrc->at[position] = 0;
        if (i == 0) continue;
        mrc->at[++used] = i;
        mrc->entries[i].position = used;
        mrc->tree[used] = mrc->entries[i].bytes;
    }
    mrc->position = used;
    for (uint32_t i = 1; i <= mrc->position_max; i++) {
        uint32_t parent = i + (i & -i);
        if (parent <= mrc->position_max) mrc->tree[parent] += mrc->tree[i];
    }
}

/* Whether a good part of the sample can be forgotten. */
static bool is_stale(const fe_mrc *mrc)
{
    if (mrc->count - mrc->stacked > mrc->samples_max / 4) return true;
    return mrc->reach != 0 && (double)mrc->bytes > 1.25 * (double)mrc->reach * fe_mrc_rate(mrc);
}

/* Makes an entry that is not on the stack; 0 when the threshold has fallen below its hash instead. */
static uint32_t add_entry(fe_mrc *mrc, const fe_mrc_use *use)
{
    if (mrc->count == mrc->samples_max && is_stale(mrc)) compact(mrc);
    if (mrc->count == mrc->samples_max) {
        if (use->hash > mrc->entries[mrc->heap[0]].hash) {
            mrc->threshold = use->hash - 1;
            return 0;
        }
        lower_threshold(mrc);
        if (!fe_mrc_is_sampled(mrc, use->hash)) return 0; /* the same key of another database */
    }
    uint32_t i = mrc->free;
    fe_mrc_entry *entry = &mrc->entries[i];
    FE_ASSERT(i != 0);
    mrc->free = entry->next;
    uint32_t *head = head_of(mrc, use->hash);
    *entry = (fe_mrc_entry){.hash = use->hash, .db = use->db, .next = *head};
    *head = i;
    heap_add(mrc, i);
    return i;
}

static void put_on_top(fe_mrc *mrc, uint32_t i, uint64_t bytes)
{
    fe_mrc_entry *entry = &mrc->entries[i];
    if (entry->position == mrc->position && entry->bytes == bytes) return; /* there already */
    leave(mrc, entry);
    entry->bytes = bytes;
    entry->position = ++mrc->position;
    mrc->at[entry->position] = i;
    mrc->bytes += bytes;
    mrc->stacked++;
    tree_add(mrc, entry->position, bytes);
}

/* Counting. --------------------------------------------------------------------------------------
 */

static unsigned bucket_of(uint64_t distance)
{
    if (distance < 1ULL << FE_MRC_POWER_MIN) return 0;
    unsigned power = 63u - (unsigned)__builtin_clzll(distance);
    if (power > FE_MRC_POWER_MAX) return FE_MRC_BUCKETS - 1;
    unsigned step = (unsigned)(distance >> (power - 4)) % FE_MRC_STEPS;
    return (power - FE_MRC_POWER_MIN) * FE_MRC_STEPS + step;
}

/* The least distance of a bucket; the first begins at 0. */
static uint64_t bucket_begin(unsigned bucket)
{
    if (bucket == 0) return 0;
    unsigned power = FE_MRC_POWER_MIN + bucket / FE_MRC_STEPS;
    return (uint64_t)(FE_MRC_STEPS + bucket % FE_MRC_STEPS) << (power - 4);
}

static void count_read(fe_mrc *mrc, const fe_mrc_entry *entry)
{
    double rate = fe_mrc_rate(mrc);
    if (entry == NULL || entry->position == 0) {
        mrc->cold += 1 / rate;
        return;
    }
    uint64_t bytes = entry->bytes; /* of a key that is read again at once, as those read most are */
    if (entry->position < mrc->position) bytes = mrc->bytes - tree_before(mrc, entry->position);
    double distance = (double)bytes / rate;
    uint64_t whole = distance < 0x1p63 ? (uint64_t)distance : UINT64_MAX;
    mrc->weights[bucket_of(whole)] += 1 / rate;
}

void fe_mrc_note(fe_mrc *mrc, const fe_mrc_use *use)
{
    FE_ASSERT(fe_mrc_is_sampled(mrc, use->hash));
    uint32_t i = find(mrc, use->hash, use->db);
    fe_mrc_entry *entry = i == 0 ? NULL : &mrc->entries[i];
    if (entry != NULL && !use->exists) {
        bool expired = entry->deadline_ms != 0 && entry->deadline_ms <= use->now_ms;
        if (expired) leave(mrc, entry);
    }
    if (use->is_read) count_read(mrc, entry);
    if (!use->exists) {
        if (entry == NULL || entry->position == 0) return;
        /* A cache that was large enough would still have what was evicted; not what was deleted. */
        if (use->is_read)
            put_on_top(mrc, i, entry->bytes);
        else
            leave(mrc, entry);
    } else {
        if (i == 0) i = add_entry(mrc, use);
        if (i == 0) return;
        entry = &mrc->entries[i];
        uint64_t bytes = use->bytes != 0 ? use->bytes : entry->bytes;
        /* Of a key that is only on disk nobody knows the size: as large as the others, then. */
        if (bytes == 0) bytes = mrc->stacked > 0 ? mrc->bytes / mrc->stacked : 1;
        put_on_top(mrc, i, bytes);
        if (use->bytes != 0) entry->deadline_ms = use->deadline_ms;
    }
    if (mrc->position == mrc->position_max) compact(mrc);
}

/* Life. ------------------------------------------------------------------------------------------
 */

void fe_mrc_clear(fe_mrc *mrc)
{
    memset(mrc->heads, 0, mrc->samples_max * sizeof *mrc->heads);
    memset(mrc->at, 0, (mrc->position_max + 1) * sizeof *mrc->at);
    memset(mrc->tree, 0, (mrc->position_max + 1) * sizeof *mrc->tree);
    memset(mrc->weights, 0, sizeof mrc->weights);
    for (uint32_t i = 1; i <= mrc->samples_max; i++)
        mrc->entries[i] = (fe_mrc_entry){.next = i < mrc->samples_max ? i + 1 : 0};
    mrc->free = 1;
    mrc->count = mrc->stacked = mrc->position = 0;
    mrc->bytes = mrc->reads = 0;
    mrc->reads_before = mrc->cold = 0;
    mrc->threshold = mrc->threshold_max;
}

static void *take(fe_alloc *alloc, size_t count, size_t size)
{
    return fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, count * size);
}

fe_mrc *fe_mrc_new(fe_alloc *alloc, uint32_t samples_max, double rate_max)
{
    FE_ASSERT(samples_max >= 16 && samples_max < 1u << 28 && rate_max > 0 && rate_max <= 1);
    fe_mrc *mrc = take(alloc, 1, sizeof *mrc);
    if (mrc == NULL) return NULL;
    mrc->alloc = alloc;
    mrc->samples_max = samples_max;
    mrc->position_max = 2 * samples_max;
    mrc->threshold_max = rate_max < 1 ? (uint64_t)(rate_max * 0x1p64) - 1 : UINT64_MAX;
    mrc->entries = take(alloc, samples_max + 1, sizeof *mrc->entries);
    mrc->heads = take(alloc, samples_max, sizeof *mrc->heads);
    mrc->heap = take(alloc, samples_max, sizeof *mrc->heap);
    mrc->at = take(alloc, mrc->position_max + 1, sizeof *mrc->at);
    mrc->tree = take(alloc, mrc->position_max + 1, sizeof *mrc->tree);
    if (mrc->entries == NULL || mrc->heads == NULL || mrc->heap == NULL || mrc->at == NULL ||
        mrc->tree == NULL) {
        fe_mrc_free(mrc);
        return NULL;
    }
    fe_mrc_clear(mrc);
    return mrc;
}

void fe_mrc_free(fe_mrc *mrc)
{
    if (mrc == NULL) return;
    fe_alloc *alloc = mrc->alloc;
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, mrc->entries);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, mrc->heads);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, mrc->heap);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, mrc->at);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, mrc->tree);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, mrc);
}

void fe_mrc_forget(fe_mrc *mrc, uint32_t db)
{
    for (uint32_t at = 0; at < mrc->count; at++) {
        fe_mrc_entry *entry = &mrc->entries[mrc->heap[at]];
        if (db == UINT32_MAX || entry->db == db) leave(mrc, entry);
    }
}

void fe_mrc_decay(fe_mrc *mrc, double factor)
{
    mrc->reads_before = fe_mrc_reads(mrc) * factor;
    mrc->reads = 0;
    mrc->cold *= factor;
    for (unsigned i = 0; i < FE_MRC_BUCKETS; i++)
        mrc->weights[i] *= factor;
}

/* Reading. ---------------------------------------------------------------------------------------
 */

double fe_mrc_rate(const fe_mrc *mrc)
{
    return ((double)mrc->threshold + 1) * 0x1p-64;
}

double fe_mrc_reads(const fe_mrc *mrc)
{
    return mrc->reads_before + (double)mrc->reads;
}

double fe_mrc_hit_ratio(const fe_mrc *mrc, uint64_t bytes)
{
    double reads = fe_mrc_reads(mrc), hits = 0, counted = mrc->cold;
    if (reads <= 0) return 0;
    if (bytes > 1ULL << 60) bytes = 1ULL << 60;
    for (unsigned i = 0; i < FE_MRC_BUCKETS; i++) {
        counted += mrc->weights[i];
        uint64_t begin = bucket_begin(i), end = bucket_begin(i + 1);
        double part = (double)(bytes + 1 - begin) / (double)(end - begin);
        if (bytes + 1 > begin) hits += mrc->weights[i] * (part < 1 ? part : 1);
    }
    /* Whether the few keys that are read most are in the sample decides how many reads the sample has;
     * their distances are short, so the difference is counted there. */
    hits += reads - counted;
    return hits <= 0 ? 0 : hits >= reads ? 1 : hits / reads;
}

const char *fe_mrc_check(const fe_mrc *mrc)
{
    uint64_t bytes = 0;
    uint32_t on_stack = 0;
    for (uint32_t position = 1; position <= mrc->position_max; position++) {
        uint32_t i = mrc->at[position];
        if (bytes != tree_before(mrc, position)) return "the tree does not say the bytes before";
        if (i == 0) continue;
        if (position > mrc->position) return "a position is in use behind the newest";
        if (mrc->entries[i].position != position) return "an entry is at another position";
        bytes += mrc->entries[i].bytes;
        on_stack++;
    }
    if (on_stack != mrc->stacked) return "the stack has another number of keys";
    if (bytes != mrc->bytes) return "the bytes are not those of the entries";
    for (uint32_t at = 0; at < mrc->count; at++) {
        const fe_mrc_entry *entry = &mrc->entries[mrc->heap[at]];
        if (entry->hash > mrc->threshold) return "an entry is beyond the threshold";
        if (at > 0 && mrc->entries[mrc->heap[(at - 1) / 2]].hash < entry->hash)
            return "the heap is out of order";
        if (find(mrc, entry->hash, entry->db) != mrc->heap[at]) return "an entry is not found";
        on_stack -= entry->position != 0;
    }
    return on_stack == 0 ? NULL : "an entry on the stack is not in the sample";
}
