/* Single keys: finding, writing, resizing, deleting. The contract is in store/keyspace.h.
 *
 * Every record of a live keyspace that is not a filler is reached through exactly one slot. A
 * change keeps three accounts in step: the log's live bytes, the segment's deadline histogram, and
 * the keyspace's count and sum of deadlines. An append is done before anything old is touched, so
 * that failure leaves all as it was.
 *
 * Threads: the engine's lock is held.
 */
#include "store/store.h"

#define GROWTH_STEP_MAX ((size_t)1 << 20)
#define KEY_MAX 0x40000000u
/* The records of such values have the field for a deadline, used or not: none is ever moved to make room for it,
 * and it is known beforehand where a value begins. */
#define FIELD_MIN ((size_t)64 << 10)

/* What a record is going to be. */
typedef struct plan {
    fe_type type;
    unsigned flags;
    size_t key_len, value_len, value_cap;
    int64_t deadline;
    size_t size;
    fe_body
        *body; /* the value is there already, in pages that become the record; NULL: it is not */
    size_t
        clean; /* bytes of the record from here on are zero, but for what was kept; told by form_plan */
} plan;

static plan plan_make(fe_type type, bool is_int, bool raw, size_t key_len, size_t value_len,
                      size_t value_cap, int64_t deadline)
{
    plan p = {.type = type, .key_len = key_len, .value_len = value_len, .deadline = deadline};
    bool small =
        !raw && key_len <= FE_RECORD_SMALL_KEY_MAX && value_len <= FE_RECORD_SMALL_VALUE_MAX;
    bool has_field = deadline != FE_DEADLINE_NONE || (!small && value_cap >= FIELD_MIN);
    p.flags = (small ? 0u : FE_RECORD_LARGE) | (is_int ? FE_RECORD_INT : 0u) |
              (has_field ? FE_RECORD_EXPIRY : 0u);
    p.size = fe_record_size_for(p.flags, key_len, value_cap);
    p.value_cap = small ? value_len : p.size - fe_record_head_len(p.flags) - key_len;
    return p;
}

static uint64_t word_make(const plan *p, uint32_t keyspace, uint32_t access)
{
    uint64_t lens = p->flags & FE_RECORD_LARGE ? 0 : p->key_len << 8 | p->value_len << 16;
    return (uint64_t)p->type | (uint64_t)p->flags << 4 | lens | (uint64_t)keyspace << 32 |
           (uint64_t)access << 44;
}

/* Writes everything in front of the key. */
static void head_write(fe_record *record, const plan *p, uint32_t keyspace, uint32_t access)
{
    record->word = word_make(p, keyspace, access);
    size_t at = 8;
    if (p->flags & FE_RECORD_LARGE) {
        fe_record_store32(record, 8, (uint32_t)p->key_len);
        fe_record_store32(record, 12, (uint32_t)p->value_len);
        fe_record_store32(record, 16, (uint32_t)p->value_cap);
        fe_record_store32(record, 20, 0);
        at += FE_RECORD_LARGE_EXTRA;
    }
    if (p->flags & FE_RECORD_EXPIRY) memcpy((uint8_t *)record + at, &p->deadline, 8);
}

/* Accounts of deadlines ------------------------------------------------------------------------ */

static void deadline_leave(fe_keyspace *keyspace, int64_t deadline)
{
    if (deadline == FE_DEADLINE_NONE) return;
    keyspace->expires--;
    keyspace->deadline_sum -= deadline;
}

static void deadline_enter(fe_keyspace *keyspace, int64_t deadline)
{
    if (deadline == FE_DEADLINE_NONE) return;
    keyspace->expires++;
    keyspace->deadline_sum += deadline;
}

/* The record of `size` bytes, its value included, dies, with its share of the segment's deadlines. Of a copy in the
 * read cache, the home dies with it. */
static void log_kill(fe_log *log, fe_address address, int64_t deadline, size_t size)
{
    if (FE_UNLIKELY(fe_log_segment(log, address)->tier == FE_TIER_CACHE))
        address = fe_cache_drop(log, address);
    if (deadline != FE_DEADLINE_NONE) fe_log_deadline_remove(log, address, deadline, size);
    fe_log_kill(log, address, size);
}

/* Finding -------------------------------------------------------------------------------------- */

/* The slot, after other keys' changes may have moved it. */
static uint64_t *slot_of(fe_key *key)
{
    const fe_index *index = &key->keyspace->index;
    if (FE_UNLIKELY(key->shape != index->shape)) {
        key->slot = fe_index_find_address(index, key->hash, key->address);
        FE_ASSERT(key->slot != NULL);
        key->shape = index->shape;
    }
    return key->slot;
}

void fe_key_find(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash, bool no_touch,
                 fe_key *key)
{
    fe_keyspace *keyspace = store->databases[db];
    *key = (fe_key){.name = name, .hash = hash, .store = store, .keyspace = keyspace, .db = db};
    fe_record *record;
    uint64_t *slot = fe_index_find(&keyspace->index, name, hash, &record);
    if (slot == NULL) { /* a miss, or the key is going to be written */
        fe_gone_prefetch(&store->misses.gone, hash ^ fe_store_salt(store, keyspace));
        if (FE_UNLIKELY(store->log.tiered)) fe_settle_meet(store, keyspace, hash);
        return;
    }
    if (FE_UNLIKELY(*slot & FE_SLOT_DEADLINE) &&
        fe_store_expired(store, fe_record_deadline(record))) {
        fe_store_remove_expired(store, keyspace, hash, slot);
        return;
    }
    key->record = record;
    key->slot = slot;
    key->address = fe_slot_address(*slot);
    key->shape = keyspace->index.shape;
    if (!no_touch) fe_access_touch(key);
}

/* Counts where a look-up has hit. A copy that is FRESH was read from disk for this very one, whether
 * it marks the access or not: the next is the cache's. */
static void count_hit(fe_store *store, const fe_key *key, bool no_touch)
{
    fe_log *log = &store->log;
    fe_tier tier = (fe_tier)fe_log_segment(log, key->address)->tier;
    if (tier == FE_TIER_CACHE && fe_cache_head(log, key->address) & FE_CACHE_FRESH) {
        tier = FE_TIER_DISK;
        if (no_touch) fe_cache_touch(log, key->address);
    }
    store->tier_hits[tier]++;
    store->below |= (1u << tier) & ~(1u << FE_TIER_MUTABLE);
}

static void count_miss(fe_store *store, const fe_key *key)
{
    uint64_t salt = fe_store_salt(store, key->keyspace);
    store->stats.misses_by[fe_gone_look(&store->misses.gone, key->hash ^ salt)]++;
}

void fe_key_look_up(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash, bool no_touch,
                    fe_key *key)
{
    fe_key_find(store, db, name, hash, true, key);
    bool hit = key->record != NULL;
    fe_store_count_lookup(store, hit);
    if (!hit && store->misses.gone.lines != NULL) count_miss(store, key);
    if (FE_UNLIKELY(store->log.tiered) && hit) count_hit(store, key, no_touch);
    if (!hit) return;
    store->stats.read_bytes += fe_record_value_len(key->record);
    if (!no_touch) fe_access_touch(key);
}

/* Removing ------------------------------------------------------------------------------------- */

void fe_store_kill(fe_store *store, fe_address address, const fe_record *record)
{
    log_kill(&store->log, address, fe_record_deadline(record), fe_record_whole_size(record));
}

/* `record` is the one that the slot names, wherever it lies. */
static inline void remove_record(fe_store *store, fe_keyspace *keyspace, uint64_t hash,
                                 uint64_t *slot, const fe_record *record)
{
    fe_address address = fe_slot_address(*slot);
    int64_t deadline = fe_record_deadline(record);
    size_t size = fe_record_whole_size(record);
    deadline_leave(keyspace, deadline);
    fe_index_remove(&keyspace->index, hash, slot);
    log_kill(&store->log, address, deadline, size);
}

void fe_store_remove_cold(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                          const fe_record *record)
{
    remove_record(store, keyspace, hash, slot, record);
}

void fe_store_remove_known(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                           int64_t deadline, size_t size, fe_miss reason)
{
    fe_address address = fe_slot_address(*slot);
    fe_store_note_gone(store, keyspace, hash, reason);
    deadline_leave(keyspace, deadline);
    fe_index_remove(&keyspace->index, hash, slot);
    log_kill(&store->log, address, deadline, size);
    fe_store_mark_key(store, keyspace->db, hash);
}

void fe_store_remove_unread(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot)
{
    fe_log_kill_unread(&store->log, fe_slot_address(*slot));
    if (*slot & FE_SLOT_DEADLINE) {
        keyspace->deadline_sum -= keyspace->deadline_sum / (fe_wide)keyspace->expires;
        keyspace->expires--;
    }
    fe_index_remove(&keyspace->index, hash, slot);
    fe_store_mark_key(store, keyspace->db, hash);
}

void fe_store_remove(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot,
                     fe_miss reason)
{
    const fe_record *record = fe_log_at(&store->log, fe_slot_address(*slot));
    fe_gone_prefetch(&store->misses.gone, hash ^ fe_store_salt(store, keyspace));
    remove_record(store, keyspace, hash, slot, record);
    fe_store_note_gone(store, keyspace, hash, reason);
    fe_store_mark_key(store, keyspace->db, hash);
}

void fe_store_remove_expired(fe_store *store, fe_keyspace *keyspace, uint64_t hash, uint64_t *slot)
{
    fe_store_remove(store, keyspace, hash, slot, FE_MISS_EXPIRED);
    store->stats.expired_keys++;
}

void fe_key_delete(fe_key *key)
{
    FE_ASSERT(key->record != NULL);
    fe_store_remove(key->store, key->keyspace, key->hash, slot_of(key), FE_MISS_DELETED);
    key->record = NULL;
    key->slot = NULL;
    key->store->stats.changes++;
}

/* Writing -------------------------------------------------------------------------------------- */

/* The record is where it will stay: tells the slot and the accounts. */
static void settle(fe_key *key, fe_address address, const plan *p, int64_t old_deadline)
{
    fe_store *store = key->store;
    fe_slot_set(slot_of(key), address, p->deadline != FE_DEADLINE_NONE);
    key->address = address;
    key->record = fe_log_at(&store->log, address);
    deadline_leave(key->keyspace, old_deadline);
    deadline_enter(key->keyspace, p->deadline);
    if (p->deadline != FE_DEADLINE_NONE)
        fe_log_deadline_add(&store->log, address, store->now_ms, p->deadline, p->size);
}

/* How much of the old value must survive. */
typedef enum keep { KEEP_NOTHING, KEEP_VALUE } keep;

/* Moves key (and value) to where the new head wants them, in place. */
static void body_shift(fe_record *record, const plan *p, keep what)
{
    size_t from = fe_record_head_len(fe_record_flags(record));
    size_t to = fe_record_head_len(p->flags);
    if (from == to) return;
    size_t value = fe_record_value_len(record);
    if (value > p->value_len) value = p->value_len;
    size_t bytes = p->key_len + (what == KEEP_VALUE ? value : 0);
    memmove((uint8_t *)record + to, (uint8_t *)record + from, bytes);
}

/* Rewrites an existing record where it is, if the plan fits there. */
static bool write_in_place(fe_key *key, plan *p, uint32_t access, keep what)
{
    fe_store *store = key->store;
    fe_log *log = &store->log;
    fe_address address = key->address;
    if (FE_UNLIKELY(!fe_log_is_mutable(log, address) || p->body != NULL)) return false;
    size_t size = fe_record_size(key->record);
    const fe_segment *segment = fe_log_segment(log, address);
    p->clean = segment->role == FE_ROLE_OWN ? segment->bytes : SIZE_MAX;
    size_t room = p->size == size ? size : fe_log_room(log, address, size, p->size);
    if (room == 0) return false;
    fe_record *record = fe_log_at(log, address); /* a segment of its own may have moved */
    int64_t old_deadline = fe_record_deadline(record);
    if (old_deadline != FE_DEADLINE_NONE) fe_log_deadline_remove(log, address, old_deadline, size);
    body_shift(record, p, what);
    head_write(record, p, key->keyspace->id, access);
    if (room != size || p->size != size) fe_log_refit(log, address, size, room, p->size);
    store->stats.in_place++;
    settle(key, address, p, old_deadline);
    return true;
}

/* What is read often is so too after an update. */
static void warmth_inherit(fe_log *log, fe_address from, fe_address to)
{
    for (unsigned i = fe_cache_warmth(log, from); i > 0; i--)
        fe_log_touch(log, to);
}

/* Room for the record at the tail, or the pages of the plan's body. */
static fe_address room_take(fe_store *store, plan *p, uint32_t keyspace)
{
    fe_log *log = &store->log;
    fe_body *body = p->body;
    if (FE_LIKELY(body == NULL)) {
        fe_address address = fe_log_append(log, FE_TAIL_NEW, p->size, keyspace);
        if (address == FE_ADDRESS_NONE) return address;
        p->clean = fe_log_segment(log, address)->role == FE_ROLE_OWN ? 0 : SIZE_MAX;
        return address;
    }
    fe_address address = fe_log_adopt(log, body->pages, body->bytes, p->size, keyspace);
    if (address == FE_ADDRESS_NONE) return address;
    fe_pages_reclass(store->alloc, FE_ALLOC_CLIENT, FE_ALLOC_LOG, body->bytes);
    body->pages = NULL;
    return address;
}

/* Writes head, key and (if kept) value at the tail, and lets the old record die. */
static bool write_appended(fe_key *key, plan *p, uint32_t access, keep what)
{
    fe_store *store = key->store;
    fe_log *log = &store->log;
    fe_address address = room_take(store, p, key->keyspace->id);
    fe_address blind = FE_ADDRESS_NONE; /* written over without having been read */
    if (address == FE_ADDRESS_NONE) return false;
    fe_record *record = fe_log_at(log, address);
    head_write(record, p, key->keyspace->id, access);
    fe_record *old = key->record;
    memcpy((uint8_t *)record + fe_record_head_len(p->flags), key->name.ptr, p->key_len);
    int64_t old_deadline = FE_DEADLINE_NONE;
    if (old == NULL) {
        if (FE_UNLIKELY(log->tiered)) blind = fe_settle_granted(store, key->keyspace, key->hash);
        key->slot = fe_index_insert(&key->keyspace->index, key->hash, address, false);
        if (key->slot == NULL) {
            fe_log_kill(log, address, p->size);
            return false;
        }
        key->shape = key->keyspace->index.shape;
        if (FE_UNLIKELY(blind != FE_ADDRESS_NONE) && !fe_settle_begin(key, blind)) {
            fe_index_remove(&key->keyspace->index, key->hash, key->slot);
            fe_log_kill(log, address, p->size);
            return false;
        }
        fe_gone_forget(&store->misses.gone, key->hash ^ fe_store_salt(store, key->keyspace));
    } else {
        if (FE_UNLIKELY(log->tiered)) warmth_inherit(log, key->address, address);
        old_deadline = fe_record_deadline(old);
        if (what == KEEP_VALUE) {
            fe_bytes value = fe_record_value(old);
            size_t bytes = value.len < p->value_len ? value.len : p->value_len;
            memcpy(fe_record_value_ptr(record), value.ptr, bytes);
        }
        log_kill(log, key->address, old_deadline, fe_record_whole_size(old));
    }
    store->stats.appended++;
    settle(key, address, p, old_deadline);
    return true;
}

/* Gives the key the form of the plan; nobody is told. */
static bool form_plan(fe_key *key, plan *p, uint32_t access, keep what)
{
    if (key->record != NULL && write_in_place(key, p, access, what)) return true;
    return write_appended(key, p, access, what);
}

static void note_change(fe_key *key)
{
    key->store->stats.changes++;
    fe_store_mark_key(key->store, key->db, key->hash);
}

static void note_written(fe_key *key, size_t len)
{
    key->store->stats.written_values++;
    key->store->stats.written_bytes += len;
}

/* The same as a change. */
static bool write_plan(fe_key *key, plan *p, uint32_t access, keep what)
{
    if (!form_plan(key, p, access, what)) return false;
    note_change(key);
    return true;
}

/* The access state after a replacement: fresh, except that a frequency is the key's and not the
 * value's. */
static uint32_t access_after_write(const fe_key *key)
{
    const fe_store *store = key->store;
    if (key->record != NULL && fe_store_is_lfu(store)) return fe_access_of(key);
    return store->access_now;
}

/* Most overwrites: small form, the same layout, size and deadline. Then only the word changes. */
static bool write_same(fe_key *key, fe_type type, fe_value_kind kind, size_t len, int64_t deadline)
{
    fe_record *record = key->record;
    if (record == NULL || kind == FE_VALUE_RAW || len > FE_RECORD_SMALL_VALUE_MAX) return false;
    if (FE_UNLIKELY(!fe_log_is_mutable(&key->store->log, key->address))) return false;
    unsigned flags = fe_record_flags(record);
    unsigned wanted = (kind == FE_VALUE_INT ? FE_RECORD_INT : 0u) | (flags & FE_RECORD_EXPIRY);
    if (flags != wanted) return false;
    if (deadline != FE_DEADLINE_KEEP && (deadline != FE_DEADLINE_NONE || flags & FE_RECORD_EXPIRY))
        return false;
    size_t key_len = fe_record_key_len(record);
    if (fe_record_size_for(flags, key_len, len) !=
        fe_record_size_for(flags, key_len, fe_record_value_len(record)))
        return false;
    plan p = {.type = type, .flags = flags, .key_len = key_len, .value_len = len};
    record->word = word_make(&p, key->keyspace->id, access_after_write(key));
    key->store->stats.in_place++;
    note_change(key);
    return true;
}

uint8_t *fe_key_write(fe_key *key, fe_type type, fe_value_kind kind, size_t len, int64_t deadline)
{
    FE_ASSERT(type != FE_TYPE_FILLER && (kind != FE_VALUE_INT || len == 8));
    if (len > FE_VALUE_MAX || key->name.len > KEY_MAX) return NULL;
    note_written(key, len);
    if (write_same(key, type, kind, len, deadline)) return fe_record_value_ptr(key->record);
    if (deadline == FE_DEADLINE_KEEP)
        deadline = key->record != NULL ? fe_record_deadline(key->record) : FE_DEADLINE_NONE;
    plan p = plan_make(type, kind == FE_VALUE_INT, kind == FE_VALUE_RAW, key->name.len, len, len,
                       deadline);
    if (!write_plan(key, &p, access_after_write(key), KEEP_NOTHING)) return NULL;
    return fe_record_value_ptr(key->record);
}

size_t fe_key_body_at(size_t key_len)
{
    return fe_record_head_len(FE_RECORD_LARGE | FE_RECORD_EXPIRY) + key_len;
}

bool fe_key_adopts(const fe_key *key, const fe_body *body)
{
    size_t at = fe_key_body_at(key->name.len);
    if (!fe_body_is_open(body) || !fe_body_is_whole(body) || body->at != at) return false;
    if (body->len > FE_VALUE_MAX || body->len < FIELD_MIN || key->name.len > KEY_MAX) return false;
    return at + body->len > fe_log_own_min(&key->store->log) &&
           body->bytes == fe_body_bytes(at, body->len);
}

bool fe_key_adopt(fe_key *key, fe_type type, fe_body *body, int64_t deadline)
{
    FE_ASSERT(fe_key_adopts(key, body));
    note_written(key, body->len);
    if (deadline == FE_DEADLINE_KEEP)
        deadline = key->record != NULL ? fe_record_deadline(key->record) : FE_DEADLINE_NONE;
    plan p = plan_make(type, false, false, key->name.len, body->len, body->len, deadline);
    p.body = body;
    return write_plan(key, &p, access_after_write(key), KEEP_NOTHING);
}

/* Zeroes bytes [from, to) of the value, but for those that are zero already. */
static void value_clear(fe_key *key, const plan *p, size_t from, size_t to)
{
    uint8_t *value = fe_record_value_ptr(key->record);
    size_t head = (size_t)(value - (uint8_t *)key->record);
    size_t clean = p->clean > head ? p->clean - head : 0;
    if (to > clean) to = clean;
    if (to > from) memset(value + from, 0, to - from);
}

uint8_t *fe_key_write_zeros(fe_key *key, fe_type type, size_t len, int64_t deadline)
{
    if (len > FE_VALUE_MAX || key->name.len > KEY_MAX) return NULL;
    note_written(key, len);
    if (deadline == FE_DEADLINE_KEEP)
        deadline = key->record != NULL ? fe_record_deadline(key->record) : FE_DEADLINE_NONE;
    plan p = plan_make(type, false, true, key->name.len, len, len, deadline);
    if (!write_plan(key, &p, access_after_write(key), KEEP_NOTHING)) return NULL;
    value_clear(key, &p, 0, len);
    return fe_record_value_ptr(key->record);
}

uint8_t *fe_key_resize(fe_key *key, size_t len)
{
    fe_record *record = key->record;
    FE_ASSERT(record != NULL && !(fe_record_flags(record) & FE_RECORD_INT));
    if (len > FE_VALUE_MAX) return NULL;
    note_written(key, len);
    size_t old = fe_record_value_len(record);
    plan p = {.clean = SIZE_MAX};
    if ((fe_record_flags(record) & FE_RECORD_LARGE) && len <= fe_record_value_cap(record) &&
        fe_log_is_mutable(&key->store->log, key->address)) {
        fe_record_store32(record, 12, (uint32_t)len);
        key->store->stats.in_place++;
        note_change(key);
    } else {
        size_t more = len < GROWTH_STEP_MAX ? len : GROWTH_STEP_MAX;
        size_t cap = old == len || len > FE_VALUE_MAX - more ? len : len + more;
        p = plan_make(fe_record_type(record), false, true, key->name.len, len, cap,
                      fe_record_deadline(record));
        if (!write_plan(key, &p, fe_access_of(key), KEEP_VALUE)) return NULL;
    }
    value_clear(key, &p, old, len);
    return fe_record_value_ptr(key->record);
}

uint8_t *fe_key_recast(fe_key *key, size_t len)
{
    fe_record *record = key->record;
    FE_ASSERT(record != NULL);
    bool is_int = (fe_record_flags(record) & FE_RECORD_INT) != 0;
    FE_ASSERT(is_int || len == fe_record_value_len(record));
    plan p = plan_make(fe_record_type(record), false, true, key->name.len, len, len,
                       fe_record_deadline(record));
    keep what = is_int ? KEEP_NOTHING : KEEP_VALUE;
    if (!form_plan(key, &p, fe_access_of(key), what)) return NULL;
    return fe_record_value_ptr(key->record);
}

bool fe_key_is_mutable(const fe_key *key)
{
    return fe_log_is_mutable(&key->store->log, key->address);
}

uint8_t *fe_key_edit(fe_key *key)
{
    fe_record *record = key->record;
    FE_ASSERT(record != NULL);
    unsigned flags = fe_record_flags(record);
    if (FE_UNLIKELY(!fe_log_is_mutable(&key->store->log, key->address))) {
        plan p =
            plan_make(fe_record_type(record), (flags & FE_RECORD_INT) != 0,
                      (flags & FE_RECORD_LARGE) != 0, key->name.len, fe_record_value_len(record),
                      fe_record_value_cap(record), fe_record_deadline(record));
        if (!form_plan(key, &p, fe_access_of(key), KEEP_VALUE)) return NULL;
        key->moved = true;
    }
    /* A number is changed as a whole; of other values nobody says how much is. */
    if (flags & FE_RECORD_INT) note_written(key, sizeof(int64_t));
    return fe_record_value_ptr(key->record);
}

void fe_key_changed(fe_key *key)
{
    key->store->stats.in_place += !key->moved;
    key->moved = false;
    note_change(key);
}

/* The deadline field is there already: only its content changes. */
static void deadline_rewrite(fe_key *key, int64_t deadline)
{
    fe_record *record = key->record;
    fe_store *store = key->store;
    int64_t old = fe_record_deadline(record);
    size_t size = fe_record_size(record);
    if (old != FE_DEADLINE_NONE) fe_log_deadline_remove(&store->log, key->address, old, size);
    size_t at = 8 + ((fe_record_flags(record) & FE_RECORD_LARGE) ? FE_RECORD_LARGE_EXTRA : 0);
    memcpy((uint8_t *)record + at, &deadline, 8);
    if (deadline != FE_DEADLINE_NONE)
        fe_log_deadline_add(&store->log, key->address, store->now_ms, deadline, size);
    deadline_leave(key->keyspace, old);
    deadline_enter(key->keyspace, deadline);
    fe_slot_set(slot_of(key), key->address, deadline != FE_DEADLINE_NONE);
    store->stats.in_place++;
    note_change(key);
}

fe_status fe_key_set_deadline(fe_key *key, int64_t deadline)
{
    fe_record *record = key->record;
    FE_ASSERT(record != NULL && deadline != FE_DEADLINE_KEEP);
    unsigned flags = fe_record_flags(record);
    if (deadline == FE_DEADLINE_NONE && fe_record_deadline(record) == FE_DEADLINE_NONE)
        return FE_OK;
    if ((flags & FE_RECORD_EXPIRY) && fe_log_is_mutable(&key->store->log, key->address)) {
        deadline_rewrite(key, deadline);
        return FE_OK;
    }
    plan p = plan_make(fe_record_type(record), (flags & FE_RECORD_INT) != 0,
                       (flags & FE_RECORD_LARGE) != 0, key->name.len, fe_record_value_len(record),
                       fe_record_value_cap(record), deadline);
    return write_plan(key, &p, fe_access_of(key), KEEP_VALUE) ? FE_OK : FE_NO_MEMORY;
}

fe_status fe_key_copy(fe_key *to, const fe_key *from, int64_t deadline)
{
    const fe_record *source = from->record;
    FE_ASSERT(source != NULL && source != to->record);
    if (deadline == FE_DEADLINE_KEEP) deadline = fe_record_deadline(source);
    unsigned flags = fe_record_flags(source);
    fe_bytes value = fe_record_value(source);
    bool raw = (flags & FE_RECORD_LARGE) && fe_record_key_len(source) <= FE_RECORD_SMALL_KEY_MAX &&
               value.len <= FE_RECORD_SMALL_VALUE_MAX;
    plan p = plan_make(fe_record_type(source), (flags & FE_RECORD_INT) != 0, raw, to->name.len,
                       value.len, value.len, deadline);
    if (!write_plan(to, &p, fe_access_of(from), KEEP_NOTHING)) return FE_NO_MEMORY;
    memcpy(fe_record_value_ptr(to->record), value.ptr, value.len);
    return FE_OK;
}

size_t fe_key_memory(const fe_key *key)
{
    return key->record == NULL ? 0 : fe_record_whole_size(key->record) + sizeof(uint64_t);
}
