/* The read cache. Layout and rules are in the header.
 *
 * Invariants
 * 1. A copy that is not DEAD is named by exactly one slot, or its keyspace is dead (an orphan).
 * 2. A home has at most one copy, and no slot of its own while it has one.
 * 3. Copies of a ring are in order of arrival; a hand looks at each once and moves or drops it, so
 * that its segment has no life left when the hand leaves it.
 *
 * A copy that dies with its key is DEAD at once; its space comes back with its segment. A home dies
 * with its key too; when a keyspace dies as a whole, its homes are counted by a job over footers, so
 * a hand that meets an orphan leaves the home alone.
 *
 * A record of more than a quarter of a segment has a segment of its own: read from disk into place,
 * where that was possible (fe_cache_adopt), and kept by moving the segment from ring to ring, so that
 * it is never copied under the lock. A long one that leaves the log is not carried, for its copy
 * would hold the lock for long; the ghost hears of it, so the read that brings it back is MAIN's.
 */
#include "store/cache.h"
#include "store/image.h"
#include "store/store.h"

#define PAGE ((size_t)4096)
#define SEGMENTS 64u         /* that the cache's budget should hold */
#define SMALL_PERCENT 10u    /* of the budget, for what has been read from disk once */
#define COPY_COST 64u        /* work that looking at a copy counts for, beside its bytes */
#define PAY_MIN 512u         /* work that each put does at least, when it is due */
#define KEPT_PER_DROPPED 4u  /* segments walked per segment freed, at most */
#define GHOST_BYTES_SHARE 32 /* of the budget */
#define GHOST_KEYS_MAX (1ull << 27)
#define UNLIMITED (1ull << 50) /* a budget that nothing reaches needs no ghost */
#define AVERAGE_START (64u * 256)
#define PLACES_MIN 64u
#define CARRY_MAX                                                                                  \
    ((size_t)1 << 20) /* a longer record is not copied when its segment leaves memory */

/* Rings ---------------------------------------------------------------------------------------- */

static fe_ring_place *place_at(const fe_ring *ring, uint64_t i)
{
    return &ring->places[i & (ring->capacity - 1)];
}

/* The segment of a place, or 0 when it has died meanwhile. */
static uint32_t segment_at(const fe_log *log, const fe_ring *ring, uint64_t i)
{
    const fe_ring_place *place = place_at(ring, i);
    const fe_segment *segment = &log->segments[place->segment];
    bool same = segment->generation == place->generation && segment->tier == FE_TIER_CACHE;
    return same && !log->files[place->segment].doomed ? place->segment : 0;
}

static bool places_reserve(fe_store *store, fe_ring *ring)
{
    if (ring->next - ring->first < ring->capacity) return true;
    uint64_t capacity = ring->capacity == 0 ? PLACES_MIN : ring->capacity * 2;
    fe_ring_place *places =
        fe_alloc_take(store->alloc, FE_ALLOC_ENGINE, capacity * sizeof(*places));
    if (places == NULL) return false;
    for (uint64_t i = ring->first; i < ring->next; i++)
        places[i & (capacity - 1)] = *place_at(ring, i);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, ring->places);
    ring->places = places;
    ring->capacity = capacity;
    return true;
}

static size_t segment_bytes(const fe_store *store)
{
    size_t bytes = FE_SEGMENT_MIN, max = (size_t)8 << store->log.offset_bits;
    while (bytes < max && bytes * 2 <= store->cache.budget / SEGMENTS)
        bytes *= 2;
    return bytes;
}

/* The segment's place is the ring's last; room was reserved. */
static void place_add(const fe_log *log, fe_ring *ring, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    *place_at(ring, ring->next++) = (fe_ring_place){n, segment->generation, segment->bytes};
    ring->bytes += segment->bytes;
}

/* A new segment over `base` at the ring's end; returns its number, 0 without memory. */
static uint32_t segment_join(fe_store *store, fe_ring *ring, void *base, size_t bytes)
{
    fe_log *log = &store->log;
    if (!places_reserve(store, ring)) return 0;
    uint32_t n = fe_log_take(log, base, bytes, FE_TIER_CACHE);
    if (n == 0) return 0;
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->files[n].marks); /* copies have their own */
    log->files[n].marks = NULL;
    place_add(log, ring, n);
    return n;
}

static void *mapping_take(fe_store *store, size_t bytes)
{
    fe_cache *cache = &store->cache;
    if (cache->spare == NULL || cache->spare_bytes != bytes)
        return fe_pages_map(store->alloc, FE_ALLOC_LOG, bytes, PAGE);
    void *spare = cache->spare;
    cache->spare = NULL;
    return spare;
}

static void mapping_give(fe_store *store, void *base, size_t bytes)
{
    fe_cache *cache = &store->cache;
    bool serves = cache->spare == NULL && bytes == segment_bytes(store);
    if (!serves || fe_trash_is_held(&store->trash, base)) {
        fe_trash_put(&store->trash, FE_ALLOC_LOG, base, bytes);
        return;
    }
    cache->spare = base;
    cache->spare_bytes = bytes;
}

static uint32_t segment_open(fe_store *store, fe_ring *ring, size_t bytes)
{
    void *base = mapping_take(store, bytes);
    if (base == NULL) return 0;
    uint32_t n = segment_join(store, ring, base, bytes);
    if (n == 0) mapping_give(store, base, bytes);
    return n;
}

/* The segment for a copy of `bytes`, its head included; 0 without memory. */
static uint32_t segment_for(fe_store *store, fe_ring *ring, size_t bytes)
{
    size_t whole = segment_bytes(store);
    if (bytes > whole / 4) return segment_open(store, ring, (bytes + PAGE - 1) & ~(PAGE - 1));
    if (ring->tail != FE_RING_NOWHERE) {
        uint32_t n = segment_at(&store->log, ring, ring->tail);
        const fe_segment *segment = &store->log.segments[n];
        if (n != 0 && segment->bytes - segment->used >= bytes) return n;
    }
    uint32_t n = segment_open(store, ring, whole);
    if (n != 0) ring->tail = ring->next - 1;
    return n;
}

/* Where the first copy of a segment begins; what was adopted has something in front. */
static uint64_t copies_begin(const fe_log *log, uint32_t n)
{
    return (uint64_t)log->files[n].record_max * 8;
}

/* Copies --------------------------------------------------------------------------------------- */

/* Counts a copy of `bytes`, head included, that lies at the end of the segment. */
static void live_add(fe_log *log, uint32_t n, uint64_t bytes, uint32_t keyspace)
{
    fe_segment *segment = &log->segments[n];
    segment->used += bytes;
    segment->live += bytes;
    segment->records++;
    log->tiers[FE_TIER_CACHE].live += bytes;
    log->tiers[FE_TIER_CACHE].records++;
    if (segment->keyspace != keyspace)
        segment->keyspace = (uint16_t)(segment->keyspace == 0 ? keyspace : FE_SEGMENT_MIXED);
}

/* Copies a record to the ring's tail; FE_ADDRESS_NONE without memory. */
static fe_address copy_make(fe_store *store, fe_ring_name name, uint64_t head, uint32_t keyspace,
                            const fe_record *record, size_t size)
{
    fe_log *log = &store->log;
    uint32_t n = segment_for(store, &store->cache.ring[name], size + FE_CACHE_HOME_BYTES);
    if (n == 0) {
        store->cache.stats.refused++;
        return FE_ADDRESS_NONE;
    }
    uint64_t offset = log->segments[n].used + FE_CACHE_HOME_BYTES;
    live_add(log, n, size + FE_CACHE_HOME_BYTES, keyspace);
    fe_address copy = fe_address_make(n, offset, log->offset_bits);
    memcpy(fe_log_at(log, copy), record, size);
    if (FE_UNLIKELY(fe_record_is_head(record)))
        store->cache.heads[name] = store->cache.ring[name].next;
    if (name == FE_RING_MAIN) head |= FE_CACHE_IN_MAIN;
    fe_cache_set_head(log, copy, head);
    return copy;
}

static uint64_t head_make(fe_address home, unsigned mark)
{
    return home | (uint64_t)mark << FE_CACHE_MARK_SHIFT;
}

static unsigned head_mark(uint64_t head)
{
    return (unsigned)(head >> FE_CACHE_MARK_SHIFT) & FE_CACHE_MARK_MAX;
}

void fe_cache_touch(fe_log *log, fe_address copy)
{
    uint64_t head = fe_cache_head(log, copy);
    if (head & FE_CACHE_FRESH)
        head &= ~FE_CACHE_FRESH;
    else if (head_mark(head) < FE_CACHE_MARK_MAX)
        head += 1ull << FE_CACHE_MARK_SHIFT;
    else
        return;
    fe_cache_set_head(log, copy, head);
}

unsigned fe_cache_warmth(const fe_log *log, fe_address address)
{
    if (!fe_cache_holds(log, address)) return fe_log_touched(log, address);
    uint64_t head = fe_cache_head(log, address);
    unsigned mark = head_mark(head);
    return mark == 0 && head & FE_CACHE_IN_MAIN ? 1 : mark;
}

/* What the ghost is asked about. */
static uint64_t ghost_hash(const fe_keyspace *keyspace, uint64_t hash)
{
    return hash ^ (uint64_t)keyspace->id << 52;
}

static void average_add(fe_cache *cache, size_t size)
{
    cache->average += size;
    cache->average -= cache->average / 64;
    uint64_t memory = cache->budget + cache->budget / 2; /* the log's part of it included */
    fe_ghost_set_capacity(&cache->ghost, memory / (cache->average / 64 + 1));
}

static void slot_to_copy(fe_keyspace *keyspace, uint64_t hash, uint64_t *slot, fe_address copy)
{
    fe_index_refill(&keyspace->index, hash, slot);
    *slot = (*slot & ~FE_ADDRESS_MASK) | copy;
}

static fe_ring_name ring_for(fe_store *store, const fe_keyspace *keyspace, uint64_t hash)
{
    if (!fe_ghost_take(&store->cache.ghost, ghost_hash(keyspace, hash))) return FE_RING_SMALL;
    store->cache.stats.known++;
    return FE_RING_MAIN;
}

static void put_counted(fe_store *store, size_t size)
{
    store->cache.stats.put++;
    store->cache.stats.put_bytes += size;
    average_add(&store->cache, size);
    (void)fe_cache_step(store, PAY_MIN + 2 * size);
}

bool fe_cache_put(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                  const fe_record *record, size_t size)
{
    fe_address home = fe_slot_address(*slot);
    FE_ASSERT(!fe_cache_holds(&store->log, home));
    FE_ASSERT(fe_record_keyspace(record) == keyspace->id);
    fe_ring_name name = ring_for(store, keyspace, hash);
    fe_address copy = copy_make(store, name, home | FE_CACHE_FRESH, keyspace->id, record, size);
    if (copy == FE_ADDRESS_NONE) return false;
    slot_to_copy(keyspace, hash, slot, copy);
    put_counted(store, size);
    return true;
}

bool fe_cache_adopt(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                    void *mapping, size_t bytes, size_t offset, size_t size)
{
    fe_log *log = &store->log;
    FE_ASSERT(offset >= FE_CACHE_HOME_BYTES && offset % 8 == 0 && size <= bytes - offset);
    fe_ring_name name = ring_for(store, keyspace, hash);
    uint32_t n = segment_join(store, &store->cache.ring[name], mapping, bytes);
    if (n == 0) {
        store->cache.stats.refused++;
        return false;
    }
    uint64_t begin = offset - FE_CACHE_HOME_BYTES;
    log->segments[n].used = begin;
    log->files[n].record_max = (uint32_t)(begin / 8); /* see copies_begin */
    live_add(log, n, size + FE_CACHE_HOME_BYTES, keyspace->id);
    fe_address copy = fe_address_make(n, offset, log->offset_bits);
    uint64_t head = fe_slot_address(*slot) | FE_CACHE_FRESH;
    fe_cache_set_head(log, copy, name == FE_RING_MAIN ? head | FE_CACHE_IN_MAIN : head);
    slot_to_copy(keyspace, hash, slot, copy);
    put_counted(store, size);
    return true;
}

/* Hands ---------------------------------------------------------------------------------------- */

/* A hand may keep what has been read, unless it has kept too much for what it dropped. */
static bool may_keep(fe_store *store, uint64_t head)
{
    return head_mark(head) != 0 &&
           store->cache.kept <= KEPT_PER_DROPPED * (uint64_t)segment_bytes(store);
}

static void kept_add(fe_cache *cache, size_t size)
{
    cache->kept += size;
    cache->stats.kept++;
}

static void dropped_add(fe_cache *cache, size_t size)
{
    uint64_t pays = KEPT_PER_DROPPED * (uint64_t)size;
    cache->kept -= cache->kept < pays ? cache->kept : pays;
    cache->stats.dropped++;
}

/* Whether the copy is all that was ever put into its segment, and fills it. */
static bool is_alone(const fe_log *log, fe_address copy, size_t size)
{
    uint32_t n = fe_address_segment(copy, log->offset_bits);
    const fe_segment *segment = &log->segments[n];
    return copies_begin(log, n) + FE_CACHE_HOME_BYTES + size == segment->used &&
           size > segment->bytes / 2;
}

/* The copy goes to MAIN: to its tail, or with its segment, which its old ring leaves next. Returns
 * where it is then; FE_ADDRESS_NONE without memory. */
static fe_address copy_keep(fe_store *store, const fe_keyspace *keyspace, fe_address copy,
                            const fe_record *record, size_t size)
{
    fe_log *log = &store->log;
    fe_ring *main = &store->cache.ring[FE_RING_MAIN];
    uint64_t old = fe_cache_head(log, copy);
    uint64_t head = head_make(old & FE_ADDRESS_MASK, head_mark(old) - 1);
    if (!is_alone(log, copy, size))
        return copy_make(store, FE_RING_MAIN, head, keyspace->id, record, size);
    if (!places_reserve(store, main)) return FE_ADDRESS_NONE;
    place_add(log, main, fe_address_segment(copy, log->offset_bits));
    if (fe_record_is_head(record)) store->cache.heads[FE_RING_MAIN] = main->next;
    fe_cache_set_head(log, copy, head | FE_CACHE_IN_MAIN);
    return copy;
}

/* The hand is at a copy that lives: it is moved to MAIN, or its slot gets its home back. */
static void copy_decide(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot)
{
    fe_log *log = &store->log;
    fe_address copy = fe_slot_address(*slot), moved = FE_ADDRESS_NONE;
    const fe_record *record = fe_log_at(log, copy);
    size_t size = fe_record_size(record);
    uint64_t head = fe_cache_head(log, copy);
    bool expired = fe_store_expired(store, fe_record_deadline(record));
    if (!expired && may_keep(store, head)) moved = copy_keep(store, keyspace, copy, record, size);
    if (moved == copy) {
        kept_add(&store->cache, size);
        return;
    }
    fe_address home = fe_cache_drop(log, copy);
    if (moved != FE_ADDRESS_NONE) {
        *slot = (*slot & ~FE_ADDRESS_MASK) | moved;
        kept_add(&store->cache, size);
        return;
    }
    *slot = (*slot & ~FE_ADDRESS_MASK) | home;
    if (!expired) fe_ghost_add(&store->cache.ghost, ghost_hash(keyspace, hash));
    dropped_add(&store->cache, size);
}

/* Looks at the copy at the hand; returns its size with its head. */
static size_t hand_look(fe_store *store, uint32_t n, uint64_t offset)
{
    fe_log *log = &store->log;
    fe_address copy = fe_address_make(n, offset + FE_CACHE_HOME_BYTES, log->offset_bits);
    const fe_record *record = fe_log_at(log, copy);
    size_t size = fe_record_size(record);
    if (fe_cache_head(log, copy) & FE_CACHE_DEAD) return size + FE_CACHE_HOME_BYTES;
    fe_keyspace *keyspace = store->by_id[fe_record_keyspace(record)];
    uint64_t *slot = NULL, hash = 0;
    if (keyspace != NULL) {
        hash = fe_store_record_hash(store, record);
        slot = fe_index_find_address(&keyspace->index, hash, copy);
    }
    if (slot != NULL)
        copy_decide(store, keyspace, hash, slot);
    else
        (void)fe_cache_drop(log, copy); /* an orphan */
    return size + FE_CACHE_HOME_BYTES;
}

/* The first place's segment is done with; `n` is its number, or 0 when it died before. */
static void place_leave(fe_store *store, fe_ring *ring, uint32_t n)
{
    fe_log *log = &store->log;
    uint64_t bytes = place_at(ring, ring->first)->bytes;
    if (ring->tail == ring->first) ring->tail = FE_RING_NOWHERE;
    ring->first++;
    ring->offset = 0;
    ring->bytes -= bytes;
    if (n == 0 || log->dead_head != n) return;
    void *base = log->segments[n].base; /* the last death freed it just now */
    (void)fe_log_dead_take(log);
    fe_log_dead_give(log, n);
    mapping_give(store, base, bytes);
}

/* Works on the ring's first segment for about `bytes`; returns the work done. */
static uint64_t hand_walk(fe_store *store, fe_ring *ring, uint64_t bytes)
{
    fe_log *log = &store->log;
    uint32_t number = segment_at(log, ring, ring->first);
    uint64_t work = COPY_COST;
    if (number == 0) {
        place_leave(store, ring, 0);
        return work;
    }
    if (ring->tail == ring->first) ring->tail = FE_RING_NOWHERE;
    uint64_t used = log->segments[number].used;
    if (ring->offset == 0) ring->offset = copies_begin(log, number);
    while (work < bytes && ring->offset < used) {
        size_t step = hand_look(store, number, ring->offset);
        ring->offset += step;
        work += step + COPY_COST;
        if (segment_at(log, ring, ring->first) == 0) ring->offset = used; /* nothing else lived */
    }
    if (ring->offset >= used) place_leave(store, ring, number);
    return work;
}

/* The ring whose hand is to work, or NULL when all that is left is held. */
static fe_ring *ring_due(fe_store *store)
{
    fe_cache *cache = &store->cache;
    if (FE_UNLIKELY(cache->keeps)) return NULL;
    fe_ring *small = &cache->ring[FE_RING_SMALL], *main = &cache->ring[FE_RING_MAIN];
    bool small_free = small->first < small->next && small->first < cache->hold[FE_RING_SMALL];
    bool main_free = main->first < main->next && main->first < cache->hold[FE_RING_MAIN];
    bool small_over = small->bytes > cache->budget / 100 * SMALL_PERCENT;
    if (small_free && (small_over || !main_free)) return small;
    return main_free ? main : NULL;
}

void fe_cache_keep(fe_store *store, bool keeps)
{
    store->cache.keeps = keeps;
}

void fe_cache_give_up(fe_store *store, uint64_t *slot)
{
    fe_address home = fe_cache_drop(&store->log, fe_slot_address(*slot));
    *slot = (*slot & ~FE_ADDRESS_MASK) | home;
}

bool fe_cache_has_heads(const fe_store *store)
{
    const fe_cache *cache = &store->cache;
    for (unsigned i = 0; i < FE_RINGS; i++)
        if (cache->ring[i].first < cache->heads[i]) return true;
    return false;
}

uint64_t fe_cache_bytes(const fe_store *store)
{
    return store->log.tiers[FE_TIER_CACHE].bytes;
}

bool fe_cache_step(fe_store *store, uint64_t bytes)
{
    uint64_t work = 0;
    while (fe_cache_bytes(store) > store->cache.budget) {
        fe_ring *ring = ring_due(store);
        if (ring == NULL) return false;
        if (work >= bytes) return true;
        work += hand_walk(store, ring, bytes - work);
    }
    return false;
}

/* Carrying ------------------------------------------------------------------------------------- */

/* The keyspace whose index names `address` for the key with this hash: a mapped record does not
 * tell. */
static fe_keyspace *owner_of(fe_store *store, uint32_t segment, uint64_t hash, fe_address address,
                             uint64_t **slot)
{
    uint32_t id = store->log.segments[segment].keyspace;
    if (id != FE_SEGMENT_MIXED) {
        fe_keyspace *keyspace = store->by_id[id];
        if (keyspace == NULL) return NULL;
        *slot = fe_index_find_address(&keyspace->index, hash, address);
        return *slot == NULL ? NULL : keyspace;
    }
    for (uint32_t i = 0; i < store->options.databases; i++) {
        fe_keyspace *keyspace = &store->keyspaces[i];
        *slot = fe_index_find_address(&keyspace->index, hash, address);
        if (*slot != NULL) return keyspace;
    }
    return NULL;
}

static void carry_one(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                      const fe_record *record, unsigned mark)
{
    size_t size = fe_record_size(record);
    fe_address home = fe_slot_address(*slot);
    uint64_t word = (record->word & UINT32_MAX) | (uint64_t)keyspace->id << 32 |
                    (uint64_t)fe_access_frozen(store, home) << 44;
    fe_address copy =
        copy_make(store, FE_RING_MAIN, head_make(home, mark - 1), keyspace->id, record, size);
    if (copy == FE_ADDRESS_NONE) return;
    fe_log_at(&store->log, copy)->word = word;
    slot_to_copy(keyspace, hash, slot, copy); /* SHORT if its page could not be read in a split */
    store->cache.stats.carried++;
    average_add(&store->cache, size);
}

void fe_cache_carry(fe_store *store, uint32_t segment, fe_cursor *cursor, uint64_t bytes,
                    bool *done)
{
    fe_log *log = &store->log;
    FE_ASSERT(log->segments[segment].tier == FE_TIER_MAPPED && cursor->segment == segment);
    uint64_t work = 0;
    *done = false;
    while (work < bytes) {
        fe_address address;
        const fe_record *record = fe_log_walk(log, cursor, &address);
        if (record == NULL) {
            *done = true;
            return;
        }
        uint64_t hash = fe_store_record_hash(store, record), *slot;
        fe_keyspace *keyspace = owner_of(store, segment, hash, address, &slot);
        work += COPY_COST;
        if (keyspace == NULL || fe_store_expired(store, fe_record_deadline(record))) continue;
        unsigned mark = fe_log_touched(log, address);
        if (mark == 0 || fe_record_size(record) > CARRY_MAX) {
            fe_ghost_add(&store->cache.ghost, ghost_hash(keyspace, hash));
            continue;
        }
        work += fe_record_size(record);
        if (!fe_image_record_check((const uint8_t *)record, fe_record_size(record))) continue;
        carry_one(store, keyspace, hash, slot, record, mark);
    }
}

/* Life ----------------------------------------------------------------------------------------- */

void fe_cache_open(fe_cache *cache)
{
    memset(cache, 0, sizeof(*cache));
    cache->average = AVERAGE_START;
    for (unsigned i = 0; i < FE_RINGS; i++) {
        cache->ring[i].tail = FE_RING_NOWHERE;
        cache->hold[i] = FE_RING_NOWHERE;
    }
}

void fe_cache_set_budget(fe_store *store, uint64_t bytes)
{
    fe_cache *cache = &store->cache;
    if (bytes == cache->budget) return;
    cache->budget = bytes;
    uint64_t keys = bytes / GHOST_BYTES_SHARE / sizeof(uint32_t);
    if (keys > GHOST_KEYS_MAX) keys = bytes > UNLIMITED ? 0 : GHOST_KEYS_MAX;
    fe_ghost_resize(&cache->ghost, store->alloc, &store->trash, keys);
    if (cache->spare == NULL || cache->spare_bytes == segment_bytes(store)) return;
    fe_trash_put(&store->trash, FE_ALLOC_LOG, cache->spare, cache->spare_bytes);
    cache->spare = NULL;
}

void fe_cache_close(fe_store *store)
{
    fe_cache *cache = &store->cache;
    for (unsigned i = 0; i < FE_RINGS; i++)
        fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, cache->ring[i].places);
    if (cache->spare != NULL)
        fe_pages_unmap(store->alloc, FE_ALLOC_LOG, cache->spare, cache->spare_bytes);
    fe_ghost_close(&cache->ghost, store->alloc);
    fe_cache_open(cache);
}

/* Checking ------------------------------------------------------------------------------------- */

/* A copy that lives is named by the slot of its key; orphans are counted too. */
static const char *copy_check(const fe_store *store, fe_address copy, const fe_record *record)
{
    const fe_log *log = &store->log;
    const fe_keyspace *keyspace = store->by_id[fe_record_keyspace(record)];
    if (keyspace == NULL) return NULL;
    uint64_t hash = fe_store_record_hash(store, record);
    const uint64_t *slot = fe_index_find_address(&keyspace->index, hash, copy);
    if (slot == NULL) return NULL; /* an orphan, whose keyspace's id lives again */
    fe_tier tier = (fe_tier)fe_log_segment(log, fe_cache_home(log, copy))->tier;
    if (tier != FE_TIER_DISK && tier != FE_TIER_MAPPED) return "cache: a copy without a home";
    if (*slot & FE_SLOT_SHORT) return "cache: a copy with a short tag";
    if (fe_index_find_address(&keyspace->index, hash, fe_cache_home(log, copy)) != NULL)
        return "cache: a slot for a copy and one for its home";
    return NULL;
}

static const char *segment_check(const fe_store *store, uint32_t n)
{
    const fe_log *log = &store->log;
    const fe_segment *segment = &log->segments[n];
    uint64_t live = 0, records = 0, offset = copies_begin(log, n);
    while (offset < segment->used) {
        fe_address copy = fe_address_make(n, offset + FE_CACHE_HOME_BYTES, log->offset_bits);
        const fe_record *record = fe_log_at(log, copy);
        size_t size = fe_record_size(record) + FE_CACHE_HOME_BYTES;
        if (size > segment->used - offset) return "cache: a walk leaves the segment";
        if (!(fe_cache_head(log, copy) & FE_CACHE_DEAD)) {
            live += size;
            records++;
            const char *wrong = copy_check(store, copy, record);
            if (wrong != NULL) return wrong;
        }
        offset += size;
    }
    if (records != segment->records) return "cache: wrong number of records of a segment";
    return live == segment->live ? NULL : "cache: wrong live bytes of a segment";
}

const char *fe_cache_check(const fe_store *store)
{
    const fe_log *log = &store->log;
    uint64_t places = 0;
    for (unsigned r = 0; r < FE_RINGS; r++) {
        const fe_ring *ring = &store->cache.ring[r];
        for (uint64_t i = ring->first; i < ring->next; i++) {
            uint32_t n = segment_at(log, ring, i);
            if (n == 0) continue;
            places++;
            const char *wrong = segment_check(store, n);
            if (wrong != NULL) return wrong;
        }
    }
    if (places != log->tiers[FE_TIER_CACHE].segments) return "cache: a segment in no ring";
    return NULL;
}
