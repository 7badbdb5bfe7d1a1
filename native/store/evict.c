/* Keeping under memory_max: when to reclaim, what to evict.
 *
 * `used` is everything accounted; mappings in the trash and spare segments are as good as free.
 * Room is short when what is left under the limit does not hold two more segments (the next tail
 * and the next target of compaction) and what the index wants to grow by. Then each call does work
 * in proportion to what was written since the last one. So the reserve is rebuilt faster than it is
 * used up, and used memory stays below the limit plus one segment.
 *
 * By segment: when the policy may take most keys, compaction takes segments by age and evicts what
 * is cold in them instead of moving it (store/cut.h says what is cold: a share of all keys that is
 * adapted until a segment gives up about a quarter of its bytes). Evicted records leave no garbage,
 * and a record costs three moved ones.
 *
 * By sampling, as Redis documents it, otherwise: `samples` random candidates go into a pool of the
 * 16 best so far, ordered by idle time, by inverse frequency or by deadline, and the best goes;
 * garbage is compacted while it is worth it.
 *
 * Candidates come from random index buckets, a database weighed by its keys. A volatile policy that
 * finds no volatile key at random searches the buckets in order, a bounded stretch per call.
 *
 * Threads: the engine's lock is held.
 */
#include "store/evict.h"
#include "store/compact.h"
#include "store/tier.h"

#define SAMPLES_MAX 64u
#define BUCKETS_RANDOM 64u     /* buckets tried per sample */
#define BUCKETS_IN_ORDER 4096u /* buckets searched in order when those had nothing */
#define BUDGET_MIN ((uint64_t)4096)
#define BUDGET_MAX ((uint64_t)64 << 10) /* under 100 us */
#define PORTIONS_MAX 8u                 /* of one call, unless memory is far over the limit */
#define FAR_SHARE 16u                   /* ... by this part of it */
#define SEARCH_COST 8u                  /* work that a bucket searched in order counts for */
#define EVICT_COST 256u                 /* work that an eviction counts for, beside its bytes */
#define SLICE ((uint64_t)16 << 10)
#define TRASH_MAX ((uint64_t)64 << 20)
#define CATCH_UP_BUCKETS 2u /* split or merged per write, when that was put off */
#define UNMAPS 2u           /* mappings, or pieces of long ones, that one call unmaps itself */
#define UNMAP_PIECE ((size_t)4 << 20) /* of a long one: about 0.3 ms */
#define LONG_SHARE 4u /* of memory_max: with more in long ones, whoever writes gives back pieces */
#define TAIL_ROOM_MIN 4096u /* a tail with less is full, when no other can be had */

/* Candidates ----------------------------------------------------------------------------------- */

static bool is_volatile(const fe_store *store)
{
    return store->options.policy >= FE_POLICY_VOLATILE_LRU;
}

static bool is_random(const fe_store *store)
{
    return store->options.policy == FE_POLICY_ALLKEYS_RANDOM ||
           store->options.policy == FE_POLICY_VOLATILE_RANDOM;
}

static uint64_t keys_of(const fe_store *store, const fe_keyspace *keyspace)
{
    return is_volatile(store) ? keyspace->expires : keyspace->index.count;
}

/* A keyspace, weighed by how many keys the policy may evict there; NULL: none anywhere. */
static fe_keyspace *keyspace_pick(fe_store *store)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < store->options.databases; i++)
        total += keys_of(store, &store->keyspaces[i]);
    if (total == 0) return NULL;
    uint64_t pick = fe_random_below(&store->evict.random, total);
    fe_keyspace *keyspace = store->keyspaces;
    while (pick >= keys_of(store, keyspace))
        pick -= keys_of(store, keyspace++);
    return keyspace;
}

typedef struct sample {
    fe_store *store;
    fe_keyspace *keyspace[SAMPLES_MAX];
    uint64_t slot[SAMPLES_MAX];
    uint32_t count, wanted;
    uint32_t searched; /* buckets looked at in order */
    fe_keyspace *now;  /* whose bucket is being visited */
} sample;

static void sample_slot(void *context, uint64_t slot)
{
    sample *s = context;
    if (s->count == s->wanted) return;
    if (is_volatile(s->store) && !(slot & FE_SLOT_DEADLINE)) return;
    if (!fe_log_is_mutable(&s->store->log, fe_slot_address(slot))) return;
    fe_prefetch(fe_log_at(&s->store->log, fe_slot_address(slot)));
    s->keyspace[s->count] = s->now;
    s->slot[s->count++] = slot;
}

/* Goes on with the buckets of a keyspace in order, until something is found. */
static void sample_in_order(sample *s, fe_keyspace *keyspace)
{
    uint64_t *bucket = &s->store->evict.order_bucket;
    s->now = keyspace;
    for (uint32_t i = 0; i < BUCKETS_IN_ORDER && s->count == 0; i++) {
        s->searched++;
        if (++*bucket >= keyspace->index.buckets) *bucket = 0;
        (void)fe_index_visit_bucket(&keyspace->index, *bucket, sample_slot, s);
    }
}

/* Chooses the bucket that will be looked at next, and asks for it; false: there is nothing to
 * evict. */
static bool next_pick(fe_store *store)
{
    fe_evict *evict = &store->evict;
    evict->next = keyspace_pick(store);
    if (evict->next == NULL) return false;
    evict->next_bucket = fe_random_below(&evict->random, evict->next->index.buckets);
    fe_prefetch(fe_index_bucket(&evict->next->index, evict->next_bucket));
    return true;
}

static void sample_take(sample *s)
{
    fe_store *store = s->store;
    fe_evict *evict = &store->evict;
    for (uint32_t i = 0; i < BUCKETS_RANDOM && s->count < s->wanted; i++) {
        s->now = evict->next;
        if (s->now != NULL && evict->next_bucket < s->now->index.buckets)
            (void)fe_index_visit_bucket(&s->now->index, evict->next_bucket, sample_slot, s);
        if (!next_pick(store)) return;
    }
    if (s->count == 0) sample_in_order(s, evict->next);
}

static uint64_t score_of(const fe_store *store, const fe_record *record)
{
    switch (store->options.policy) {
    case FE_POLICY_ALLKEYS_LFU:
    case FE_POLICY_VOLATILE_LFU: return 255u - fe_store_frequency(store, record);
    case FE_POLICY_VOLATILE_TTL: return (uint64_t)INT64_MAX - (uint64_t)fe_record_deadline(record);
    default: return (uint64_t)fe_store_idle_seconds(store, record);
    }
}

/* Keeps the pool's best, ascending. */
static void pool_add(fe_evict *evict, fe_candidate candidate)
{
    for (uint32_t i = 0; i < evict->count; i++)
        if (evict->pool[i].address == candidate.address) return;
    if (evict->count == FE_POOL_SIZE) {
        if (candidate.score <= evict->pool[0].score) return;
        memmove(evict->pool, evict->pool + 1, (FE_POOL_SIZE - 1) * sizeof(candidate));
        evict->count--;
    }
    uint32_t at = evict->count++;
    for (; at > 0 && evict->pool[at - 1].score > candidate.score; at--)
        evict->pool[at] = evict->pool[at - 1];
    evict->pool[at] = candidate;
}

/* Cold records -------------------------------------------------------------------------------- */

#define MOST_SHARE 2u /* keys that the policy may take: at least this part of all */
#define NEAR_SHARE 16u

bool fe_evict_near_limit(const fe_store *store)
{
    uint64_t limit = store->options.memory_max;
    return limit != 0 && fe_store_used(store) > limit - limit / NEAR_SHARE;
}

bool fe_evict_by_segment(const fe_store *store)
{
    if (store->options.policy == FE_POLICY_NOEVICTION) return false;
    if (store->options.policy == FE_POLICY_VOLATILE_TTL) return false;
    uint64_t takes = 0, all = 0;
    for (uint32_t i = 0; i < store->options.databases; i++) {
        takes += keys_of(store, &store->keyspaces[i]);
        all += store->keyspaces[i].index.count;
    }
    return takes != 0 && takes >= all / MOST_SHARE;
}

static uint64_t coldness(fe_store *store, const fe_record *record)
{
    return is_random(store) ? fe_random_next(&store->evict.random) : score_of(store, record);
}

void fe_evict_observe(fe_store *store)
{
    fe_evict *evict = &store->evict;
    for (uint32_t tries = 0; tries < FE_CUT_SCORES; tries++) {
        sample s = {.store = store, .wanted = store->options.samples};
        sample_take(&s);
        for (uint32_t i = 0; i < s.count; i++)
            fe_cut_add(&evict->cut,
                       coldness(store, fe_log_at(&store->log, fe_slot_address(s.slot[i]))));
        if (s.count == 0 || fe_cut_ready(&evict->cut)) return;
    }
}

bool fe_evict_is_cold(fe_store *store, const fe_record *record)
{
    fe_evict *evict = &store->evict;
    if (!fe_cut_ready(&evict->cut)) return false;
    if (is_volatile(store) && fe_record_deadline(record) == FE_DEADLINE_NONE) return false;
    return fe_cut_passes(&evict->cut, coldness(store, record), &evict->random);
}

/* The part of what compaction walks that should be free afterwards, of FE_CUT_WHOLE. The more
 * samples, the more exact: the less that is nearly cold goes too, and the more has to be moved. */
static uint64_t gain_wanted(const fe_store *store)
{
    uint64_t gain = FE_CUT_WHOLE * 5u / 4u / store->options.samples;
    if (gain > FE_CUT_WHOLE / 2) return FE_CUT_WHOLE / 2;
    return gain < FE_CUT_WHOLE / 8 ? FE_CUT_WHOLE / 8 : gain;
}

void fe_evict_adapt(fe_store *store, uint64_t walked, uint64_t moved)
{
    fe_cut *cut = &store->evict.cut;
    uint64_t gain = moved < walked ? (walked - moved) * FE_CUT_WHOLE / walked : 0;
    uint64_t share = cut->share, wanted = gain_wanted(store);
    if (gain < wanted) fe_cut_set_share(cut, share + (wanted - gain) * share / wanted / 4);
    if (gain > wanted) fe_cut_set_share(cut, share - (gain - wanted) * share / FE_CUT_WHOLE / 4);
}

/* Sampled keys -------------------------------------------------------------------------------- */

/* Returns the work of searching. */
static uint64_t pool_fill(fe_store *store)
{
    sample s = {.store = store, .wanted = store->options.samples};
    if (is_random(store)) s.wanted = 1;
    sample_take(&s);
    for (uint32_t i = 0; i < s.count; i++) {
        fe_address address = fe_slot_address(s.slot[i]);
        const fe_record *record = fe_log_at(&store->log, address);
        pool_add(&store->evict, (fe_candidate){.score = score_of(store, record),
                                               .hash = fe_store_record_hash(store, record),
                                               .address = address,
                                               .keyspace = s.keyspace[i]->id});
    }
    return (uint64_t)s.searched * SEARCH_COST;
}

/* Evicts the best key that sampling finds; returns the work, 0 when it found none. */
static uint64_t evict_one(fe_store *store)
{
    fe_evict *evict = &store->evict;
    if (store->options.policy == FE_POLICY_NOEVICTION) return 0;
    uint64_t work = pool_fill(store);
    while (evict->count > 0) {
        const fe_candidate *best = &evict->pool[--evict->count];
        fe_keyspace *keyspace = store->by_id[best->keyspace];
        if (keyspace == NULL) continue;
        uint64_t *slot = fe_index_find_address(&keyspace->index, best->hash, best->address);
        if (slot == NULL || (is_volatile(store) && !(*slot & FE_SLOT_DEADLINE))) continue;
        const fe_record *record = fe_log_at(&store->log, best->address);
        /* Another key may have come to the address since, as it does where segments are used again. */
        if (fe_store_record_hash(store, record) != best->hash) continue;
        size_t size = fe_record_size(record);
        fe_store_remove(store, keyspace, best->hash, slot, FE_MISS_EVICTED);
        store->stats.evicted_keys++;
        return work + size + EVICT_COST;
    }
    return 0;
}

/* Room ----------------------------------------------------------------------------------------- */

/* What is in use and cannot be had back at once. */
static uint64_t used_net(const fe_store *store)
{
    uint64_t free = store->trash.bytes + store->log.spare_bytes;
    uint64_t used = fe_store_used(store);
    return used > free ? used - free : 0;
}

static bool room_is_short(const fe_store *store)
{
    uint64_t need = 2 * fe_log_next_size(&store->log) + store->index_space.starved;
    return used_net(store) + need > store->options.memory_max;
}

/* The limit and one segment; or, while more than that is in use because the limit was lowered, a
 * little above what is. */
static uint64_t ceiling_now(const fe_store *store, uint64_t used)
{
    uint64_t next = fe_log_next_size(&store->log), limit = store->options.memory_max;
    return used > limit + next ? used + 2 * next : limit + next;
}

void fe_evict_limit_changed(fe_store *store)
{
    store->evict.count = 0; /* scores of another policy */
    fe_cut_init(&store->evict.cut, (uint32_t)gain_wanted(store) / 2);
    store->evict.ceiling = ceiling_now(store, fe_store_used(store));
}

/* It comes down with what is used, and never goes up. */
static void ceiling_lower(fe_store *store)
{
    uint64_t ceiling = ceiling_now(store, used_net(store));
    if (ceiling < store->evict.ceiling) store->evict.ceiling = ceiling;
}

/* Unmaps one short mapping, or a piece of a long one; false when there is neither. */
static bool trash_lessen(fe_store *store)
{
    fe_trash trash;
    if (!fe_trash_pop_short(&store->trash, &trash))
        return fe_trash_cut(&store->trash, store->alloc, UNMAP_PIECE);
    fe_trash_unmap(store->alloc, &trash);
    return true;
}

/* Spares and trash become free memory: a few of them here, if the process is over the limit before
 * the worker comes. */
static void unmap_some(fe_store *store)
{
    for (unsigned i = 0; i < UNMAPS && fe_store_used(store) > store->options.memory_max; i++) {
        if (store->trash.count == 0) fe_log_spare_trim(&store->log, true);
        if (store->trash.count == 0) fe_spare_close(store);
        if (!trash_lessen(store)) return;
    }
}

/* One piece of work for up to `bytes`; returns what it came to, 0 when nothing can be done. */
static uint64_t work_piece(fe_store *store, uint64_t bytes, bool by_segment)
{
    uint64_t done = 0;
    if (by_segment)
        done = fe_compact_evicting(store, bytes);
    else if (fe_compact_due(store))
        done = fe_compact_slice(store, bytes);
    if (done != 0) return done;
    done = evict_one(store);
    return done != 0 ? done : fe_compact_slice(store, bytes);
}

/* One portion of reclaiming and evicting; whether anything was achieved. */
static bool work_portion(fe_store *store, uint64_t budget, bool by_segment)
{
    bool progress = false;
    while (budget > 0 && room_is_short(store)) {
        uint64_t done = work_piece(store, budget < SLICE ? budget : SLICE, by_segment);
        if (done == 0) break;
        progress = true;
        budget -= done < budget ? done : budget;
    }
    return progress;
}

/* Whether one call works on after `portions`: while memory is over the ceiling, but for a bounded
 * time only, if it is not far over it, as it is after a large value came. */
static bool work_goes_on(const fe_store *store, unsigned portions)
{
    uint64_t used = used_net(store), ceiling = store->evict.ceiling;
    if (used <= ceiling) return false;
    return portions < PORTIONS_MAX || used - ceiling > store->options.memory_max / FAR_SHARE;
}

static fe_status room_make(fe_store *store)
{
    fe_evict *evict = &store->evict;
    uint64_t budget = BUDGET_MIN + 8 * (store->log.appended - evict->appended);
    if (budget > BUDGET_MAX) budget = BUDGET_MAX;
    evict->appended = store->log.appended;
    if (fe_compact_sweep(store, budget)) return FE_OK; /* flushed databases go first */
    bool progress = true;
    unsigned barren = 0; /* portions since one evicted something */
    for (unsigned i = 0; progress && (i == 0 || work_goes_on(store, i)); i++) {
        uint64_t evicted = store->stats.evicted_keys;
        /* When all that is cold is in the tails, which compaction leaves alone, it would keep what
         * is warm for ever: then single keys go. */
        bool by_segment = barren < PORTIONS_MAX && fe_evict_by_segment(store);
        progress = work_portion(store, budget, by_segment);
        barren = store->stats.evicted_keys == evicted ? barren + 1 : 0;
        unmap_some(store);
        ceiling_lower(store);
    }
    if (progress || !room_is_short(store)) return FE_OK;
    uint64_t used = used_net(store), limit = store->options.memory_max;
    if (used > limit) return FE_NO_MEMORY;
    if (fe_log_tail_room(&store->log, FE_TAIL_NEW) >= TAIL_ROOM_MIN) return FE_OK;
    return used + fe_log_next_size(&store->log) <= limit ? FE_OK : FE_NO_MEMORY;
}

/* Values come and go faster than the worker looks: whoever writes them unmaps them. What a flush left
 * does not grow with what is written: it is the worker's. So are long ones, for which it is woken; it may be
 * behind by a share of the limit. */
static void trash_bound(fe_store *store)
{
    fe_trash_list *list = &store->trash;
    uint64_t limit = store->options.memory_max;
    if (FE_UNLIKELY(list->long_bytes != 0) && limit != 0 && list->long_bytes > limit / LONG_SHARE)
        (void)fe_trash_cut(list, store->alloc, UNMAP_PIECE);
    uint64_t bytes = list->bytes - list->long_bytes;
    uint64_t written = bytes > list->bulk ? bytes - list->bulk : 0;
    if (written <= TRASH_MAX || written <= store->log.bytes / 4) return;
    fe_trash trash;
    if (!fe_trash_pop_short(list, &trash)) return;
    fe_trash_unmap(store->alloc, &trash);
}

/* Splits and merges that commands had to leave (store/index.h), at the pace of the writes. */
static void index_catch_up(fe_store *store)
{
    store->index_space.deferred = false;
    for (uint32_t i = 0; i < store->options.databases; i++)
        if (fe_index_step(&store->keyspaces[i].index, CATCH_UP_BUCKETS))
            store->index_space.deferred = true;
}

fe_status fe_store_make_room(fe_store *store)
{
    fe_compact_pay(store);
    if (FE_UNLIKELY(store->misses.flushed_count != 0)) fe_misses_make_room(store);
    trash_bound(store);
    if (store->tiers != NULL) {
        if (FE_UNLIKELY(store->index_space.deferred)) index_catch_up(store);
        return fe_tier_admit(store);
    }
    uint64_t limit = store->options.memory_max;
    if (limit == 0) return FE_OK;
    if (!room_is_short(store) && fe_store_used(store) <= limit) {
        store->evict.appended = store->log.appended;
        return FE_OK;
    }
    return room_make(store);
}
