/* The log: segments, tails, accounts. Layout and terms are in the header; what only a tiered log has is in
 * log_tiers.c, the checks are in log_check.c.
 *
 * Invariants
 * 1. bytes = sum of segment bytes, live = sum of segment live, over segments in use.
 * 2. An ordinary segment is a tail, or FULL and in the list of its class.
 * 3. A segment that is not a tail has live > 0: with the last live byte it is freed. A tail without
 * live bytes is
 *    rewound to its beginning.
 * 4. No filler ends at `used` of a tail because of the last record's death: the tail is taken back
 * instead.
 * 5. A walker's cursor stands on a boundary of records or fillers, or at `used`.
 *
 * Freed mappings of the size that the next segment will have become spares, so that a steady load
 * of overwrites does not map, fault and unmap; the others go to the trash. Workers prepare spares
 * on huge pages (store/spare.c). A segment that has to be mapped here, by the one who appends, gets
 * ordinary pages: the first touch of a huge page can take milliseconds.
 *
 * Threads: the engine's lock is held.
 */
#include "store/log_parts.h"
#include "store/prefetch.h"

#define PAGE ((size_t)4096)
#define WALK_AHEAD 2048u /* bytes */
#define WALK_PREFETCH_MAX 1024u
#define OWN_MIN ((size_t)16 << 10)
#define NEXT_SHARE 16u /* a new segment is at most this part of the log */
#define NEXT_SHARE_TIERED                                                                          \
    8u /* ... of what is mutable of it: there are as many in the other tiers */

static size_t power_below(uint64_t value)
{
    return (size_t)1 << (63 - (unsigned)__builtin_clzll(value));
}

static size_t clamp_size(uint64_t bytes, size_t low, size_t high)
{
    if (bytes <= low) return low;
    if (bytes >= high) return high;
    return power_below(bytes);
}

void fe_log_init(fe_log *log, fe_alloc *alloc, fe_trash_list *trash, size_t segment_size)
{
    FE_ASSERT(segment_size >= FE_SEGMENT_MIN && segment_size <= FE_SEGMENT_MAX);
    FE_ASSERT((segment_size & (segment_size - 1)) == 0);
    memset(log, 0, sizeof(*log));
    log->alloc = alloc;
    log->trash = trash;
    log->offset_bits = (unsigned)__builtin_ctzll(segment_size) - 3;
    log->segment_max = segment_size;
}

void fe_log_close(fe_log *log)
{
    FE_ASSERT(log->tiers[FE_TIER_MAPPED].segments == 0 && log->tiers[FE_TIER_DISK].segments == 0);
    for (uint32_t i = 1; i <= log->high; i++) {
        if (log->segments[i].tier != FE_TIER_FREE)
            fe_pages_unmap(log->alloc, FE_ALLOC_LOG, log->segments[i].base, log->segments[i].bytes);
        if (log->tiered) fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->files[i].marks);
    }
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->files);
    for (uint32_t i = 0; i < log->spare_count; i++)
        fe_pages_unmap(log->alloc, FE_ALLOC_LOG, log->spare[i].ptr, log->spare[i].size);
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->segments);
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->deadlines);
    memset(log, 0, sizeof(*log));
}

void fe_log_set_segment_max(fe_log *log, size_t bytes)
{
    log->segment_max = clamp_size(bytes, FE_SEGMENT_MIN, fe_log_span(log));
    fe_log_spare_trim(log, false);
}

size_t fe_log_next_size(const fe_log *log)
{
    uint64_t share = log->tiered ? NEXT_SHARE_TIERED : NEXT_SHARE;
    return clamp_size(log->bytes / share, FE_SEGMENT_MIN, log->segment_max);
}

size_t fe_log_own_min(const fe_log *log)
{
    size_t part = log->segment_max / 8;
    return part > OWN_MIN ? part : OWN_MIN;
}

/* Spares --------------------------------------------------------------------------------------- */

static void spare_remove(fe_log *log, uint32_t i)
{
    log->spare_bytes -= log->spare[i].size;
    log->spare[i] = log->spare[--log->spare_count];
}

void fe_log_spare_put(fe_log *log, void *ptr, size_t size)
{
    bool serves = size == fe_log_next_size(log) && log->spare_count < FE_LOG_SPARES;
    /* What someone still reads must not be written over: a segment of the read cache is lent too. */
    if (serves && log->spare_bytes + size <= log->bytes / 8 && !fe_trash_is_held(log->trash, ptr)) {
        log->spare[log->spare_count].ptr = ptr;
        log->spare[log->spare_count++].size = size;
        log->spare_bytes += size;
    } else {
        fe_trash_put(log->trash, FE_ALLOC_LOG, ptr, size);
    }
}

void fe_log_spare_trim(fe_log *log, bool all)
{
    size_t next = fe_log_next_size(log);
    for (uint32_t i = log->spare_count; i-- > 0;) {
        size_t size = log->spare[i].size;
        if (!all && size == next && log->spare_bytes <= log->bytes / 8) continue;
        fe_trash_put(log->trash, FE_ALLOC_LOG, log->spare[i].ptr, size);
        spare_remove(log, i);
    }
}

static void *spare_take(fe_log *log, size_t size)
{
    for (uint32_t i = 0; i < log->spare_count; i++) {
        if (log->spare[i].size != size) continue;
        void *ptr = log->spare[i].ptr;
        spare_remove(log, i);
        return ptr;
    }
    return NULL;
}

/* Class lists ---------------------------------------------------------------------------------- */

void fe_log_class_unlink(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    if (segment->prev != 0)
        log->segments[segment->prev].next = segment->next;
    else
        log->class_head[segment->class_now] = segment->next;
    if (segment->next != 0) log->segments[segment->next].prev = segment->prev;
    segment->next = segment->prev = 0;
}

static void class_link(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    segment->class_now = (uint8_t)fe_log_class_of(segment);
    uint32_t *head = &log->class_head[segment->class_now];
    segment->prev = 0;
    segment->next = *head;
    if (*head != 0) log->segments[*head].prev = n;
    *head = n;
}

static void live_change(fe_log *log, uint32_t n, int64_t delta)
{
    fe_segment *segment = &log->segments[n];
    segment->live += (uint64_t)delta;
    log->live += (uint64_t)delta;
    if (segment->role == FE_ROLE_FULL && fe_log_class_of(segment) != segment->class_now) {
        fe_log_class_unlink(log, n);
        class_link(log, n);
    }
}

uint32_t fe_log_victim(const fe_log *log, unsigned class_max)
{
    for (unsigned i = 0; i < FE_LOG_CLASSES && i <= class_max; i++)
        if (log->class_head[i] != 0) return log->class_head[i];
    return 0;
}

uint32_t fe_log_oldest(const fe_log *log)
{
    uint32_t oldest = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        if (segment->tier != FE_TIER_MUTABLE || segment->role == FE_ROLE_TAIL) continue;
        if (oldest == 0 || segment->sequence < log->segments[oldest].sequence) oldest = n;
    }
    return oldest;
}

void fe_log_renew(fe_log *log, uint32_t segment)
{
    log->segments[segment].sequence = ++log->sequence;
}

/* Segments ------------------------------------------------------------------------------------- */

static bool files_grow(fe_log *log, uint32_t capacity)
{
    fe_segment_file *files =
        fe_alloc_resize(log->alloc, FE_ALLOC_ENGINE, log->files, capacity * sizeof(*files));
    if (files == NULL) return false;
    log->files = files;
    for (uint32_t i = log->capacity; i < capacity; i++)
        files[i] = (fe_segment_file){.fd = -1};
    return true;
}

bool fe_log_tables_grow(fe_log *log)
{
    uint32_t capacity = log->capacity == 0 ? 16 : log->capacity * 2;
    if ((uint64_t)capacity > FE_ADDRESS_MASK >> log->offset_bits) return false;
    fe_segment *segments =
        fe_alloc_resize(log->alloc, FE_ALLOC_ENGINE, log->segments, capacity * sizeof(*segments));
    if (segments == NULL) return false;
    log->segments = segments;
    fe_deadlines *deadlines =
        fe_alloc_resize(log->alloc, FE_ALLOC_ENGINE, log->deadlines, capacity * sizeof(*deadlines));
    if (deadlines == NULL) return false;
    log->deadlines = deadlines;
    if (log->tiered && !files_grow(log, capacity)) return false;
    memset(segments + log->capacity, 0, (capacity - log->capacity) * sizeof(*segments));
    log->capacity = capacity;
    return true;
}

/* A free segment number, or 0. */
uint32_t fe_log_number_take(fe_log *log)
{
    uint32_t n = log->free_head;
    if (n != 0) {
        log->free_head = log->segments[n].next;
        return n;
    }
    if (log->high + 1 >= log->capacity && !fe_log_tables_grow(log)) return 0;
    return ++log->high;
}

void fe_log_number_give(fe_log *log, uint32_t n)
{
    log->segments[n].next = log->free_head;
    log->free_head = n;
}

/* Takes a segment into use over `ptr`. */
static void segment_start(fe_log *log, uint32_t n, void *ptr, size_t bytes, fe_role role)
{
    fe_segment *segment = &log->segments[n];
    uint32_t generation = segment->generation;
    memset(segment, 0, sizeof(*segment));
    memset(&log->deadlines[n], 0, sizeof(log->deadlines[n]));
    segment->base = ptr;
    segment->bytes = bytes;
    segment->sequence = ++log->sequence;
    segment->generation = generation + 1;
    segment->tier = FE_TIER_MUTABLE;
    segment->role = (uint8_t)role;
    if (role == FE_ROLE_TAIL) segment->class_shift = (uint8_t)(__builtin_ctzll(bytes) - 6);
    log->bytes += bytes;
    log->segment_count++;
    if (log->tiered) fe_log_file_start(log, n);
}

static void segment_free(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    if (segment->role == FE_ROLE_FULL) fe_log_class_unlink(log, n);
    for (unsigned i = 0; i < FE_WALKERS; i++)
        if (log->cursor[i].segment == n) log->cursor[i] = (fe_cursor){0, 0};
    void *ptr = segment->base;
    size_t bytes = segment->bytes;
    if (log->tiered) fe_log_file_end(log, n);
    log->bytes -= bytes;
    log->live -= segment->live;
    log->records -= segment->records;
    log->segment_count--;
    if (segment->role != FE_ROLE_TAIL) log->waste -= bytes - segment->used;
    segment->base = NULL;
    segment->live = segment->used = segment->bytes = segment->records = 0;
    segment->tier = FE_TIER_FREE;
    if (segment->role == FE_ROLE_OWN)
        fe_trash_put(log->trash, FE_ALLOC_LOG, ptr, bytes);
    else
        fe_log_spare_put(log, ptr, bytes);
    fe_log_number_give(log, n);
    if (log->spare_count != 0) fe_log_spare_trim(log, false);
}

/* Walkers must not stand beyond what is left of the tail. */
static void cursors_clip(fe_log *log, uint32_t n)
{
    uint64_t used = log->segments[n].used;
    for (unsigned i = 0; i < FE_WALKERS; i++)
        if (log->cursor[i].segment == n && log->cursor[i].offset > used)
            log->cursor[i].offset = used;
}

/* The tail's last live byte is gone: it begins again. */
static void tail_rewind(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    log->live -= segment->live;
    log->records -= segment->records;
    segment->live = segment->used = segment->records = 0;
    segment->keyspace = 0;
    memset(&log->deadlines[n], 0, sizeof(log->deadlines[n]));
    cursors_clip(log, n);
}

/* Whether a tail is small enough beside the rest of the log to be kept open while it is empty. */
static bool tail_fits(const fe_log *log, uint32_t n)
{
    uint64_t bytes = log->segments[n].bytes;
    return bytes <= FE_SEGMENT_MIN || bytes <= (log->bytes - bytes) / 8;
}

static void tail_free(fe_log *log, uint32_t n)
{
    tail_rewind(log, n);
    for (unsigned i = 0; i < FE_TAIL_COUNT; i++)
        if (log->tail[i] == n) log->tail[i] = 0;
    log->segments[n].role = FE_ROLE_OWN; /* in no list; never a spare */
    log->waste += log->segments[n].bytes;
    segment_free(log, n);
}

static void tail_empty(fe_log *log, uint32_t n)
{
    if (tail_fits(log, n))
        tail_rewind(log, n);
    else
        tail_free(log, n);
}

void fe_log_drop(fe_log *log, uint32_t n)
{
    if (log->segments[n].tier != FE_TIER_MUTABLE)
        fe_log_kill_frozen(log, n, log->segments[n].live, log->segments[n].records);
    else if (log->segments[n].role == FE_ROLE_TAIL)
        tail_empty(log, n);
    else
        segment_free(log, n);
}

/* A tail that is full joins the ordinary segments. */
static void tail_retire(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    segment->role = FE_ROLE_FULL;
    log->waste += segment->bytes - segment->used;
    class_link(log, n);
    if (segment->live == 0) segment_free(log, n);
}

void fe_log_close_tails(fe_log *log)
{
    for (unsigned i = 0; i < FE_TAIL_COUNT; i++) {
        uint32_t n = log->tail[i];
        log->tail[i] = 0;
        if (n != 0) tail_retire(log, n);
    }
}

static void filler_write(uint8_t *at, uint64_t size)
{
    FE_ASSERT(size > 0 && size % 8 == 0 && size / 8 < 1u << 24);
    uint64_t word = (size / 8) << 8;
    memcpy(at, &word, 8);
}

/* The rest of the tail becomes filler, which is garbage: compaction moves the little that lives in
 * it to a tail of the size that the log has now. */
static void tail_give_up(fe_log *log, fe_tail tail)
{
    uint32_t n = log->tail[tail];
    fe_segment *segment = &log->segments[n];
    if (segment->used < segment->bytes)
        filler_write(segment->base + segment->used, segment->bytes - segment->used);
    segment->used = segment->bytes;
    log->tail[tail] = 0;
    tail_retire(log, n);
}

/* A tail that was opened for one large record holds more than this of it, and stays. */
static bool tail_nearly_empty(const fe_segment *segment)
{
    return segment->live <= segment->bytes / 8;
}

void fe_log_trim(fe_log *log)
{
    for (unsigned i = 0; i < FE_TAIL_COUNT; i++) {
        uint32_t n = log->tail[i];
        if (n == 0 || tail_fits(log, n)) continue;
        if (log->segments[n].live == 0)
            tail_free(log, n);
        else if (tail_nearly_empty(&log->segments[n]))
            tail_give_up(log, (fe_tail)i);
    }
    fe_log_spare_trim(log, false);
}

static uint32_t tail_open(fe_log *log, fe_tail tail, size_t size)
{
    size_t bytes = fe_log_next_size(log);
    while (bytes < size * 4 && bytes < log->segment_max)
        bytes *= 2;
    uint32_t n = fe_log_number_take(log);
    if (n == 0) return 0;
    void *ptr = spare_take(log, bytes);
    if (ptr == NULL) ptr = fe_pages_map(log->alloc, FE_ALLOC_LOG, bytes, PAGE);
    if (ptr == NULL) {
        fe_log_number_give(log, n);
        return 0;
    }
    segment_start(log, n, ptr, bytes, FE_ROLE_TAIL);
    uint32_t old = log->tail[tail];
    log->tail[tail] = n;
    if (old != 0) tail_retire(log, old);
    return n;
}

fe_address fe_log_adopt(fe_log *log, void *ptr, size_t bytes, size_t size, uint32_t keyspace)
{
    FE_ASSERT(size <= bytes && bytes % PAGE == 0);
    uint32_t n = fe_log_number_take(log);
    if (n == 0) return FE_ADDRESS_NONE;
    segment_start(log, n, ptr, bytes, FE_ROLE_OWN);
    log->segments[n].used = size;
    log->waste += bytes - size;
    log->segments[n].keyspace = (uint16_t)keyspace;
    live_change(log, n, (int64_t)size);
    log->segments[n].records = 1;
    log->records++;
    log->appended += size;
    return fe_address_make(n, 0, log->offset_bits);
}

static fe_address append_own(fe_log *log, size_t size, uint32_t keyspace)
{
    size_t bytes = (size + PAGE - 1) & ~(PAGE - 1);
    void *ptr = fe_pages_map(log->alloc, FE_ALLOC_LOG, bytes, PAGE);
    if (ptr == NULL) return FE_ADDRESS_NONE;
    fe_address address = fe_log_adopt(log, ptr, bytes, size, keyspace);
    if (address == FE_ADDRESS_NONE) fe_pages_unmap(log->alloc, FE_ALLOC_LOG, ptr, bytes);
    return address;
}

fe_address fe_log_append(fe_log *log, fe_tail tail, size_t size, uint32_t keyspace)
{
    FE_ASSERT(size > 0 && size % FE_RECORD_ALIGN == 0);
    if (FE_UNLIKELY(size > fe_log_own_min(log))) return append_own(log, size, keyspace);
    uint32_t n = log->tail[tail];
    if (FE_UNLIKELY(n == 0 || size > log->segments[n].bytes - log->segments[n].used)) {
        n = tail_open(log, tail, size);
        if (n == 0) return FE_ADDRESS_NONE;
    }
    fe_segment *segment = &log->segments[n];
    uint64_t offset = segment->used;
    segment->used += size;
    segment->live += size;
    log->live += size;
    segment->records++;
    log->records++;
    if (segment->keyspace != keyspace)
        segment->keyspace = (uint16_t)(segment->keyspace == 0 ? keyspace : FE_SEGMENT_MIXED);
    if (tail == FE_TAIL_NEW) log->appended += size;
    return fe_address_make(n, offset, log->offset_bits);
}

/* Death and change of size --------------------------------------------------------------------- */

void fe_log_kill(fe_log *log, fe_address address, size_t size)
{
    uint32_t n = fe_address_segment(address, log->offset_bits);
    uint64_t offset = fe_address_offset(address, log->offset_bits);
    fe_segment *segment = &log->segments[n];
    FE_ASSERT(segment->tier != FE_TIER_FREE && segment->live >= size);
    if (FE_UNLIKELY(segment->tier != FE_TIER_MUTABLE)) {
        if (n == log->frozen.walk_segment && offset < log->frozen.walk_offset)
            log->frozen.walk_died += size, log->frozen.walk_died_records++;
        fe_log_kill_frozen(log, n, size, 1);
        return;
    }
    if (segment->role == FE_ROLE_OWN || (segment->live == size && segment->role == FE_ROLE_FULL)) {
        segment_free(log, n);
        return;
    }
    if (segment->live == size) {
        tail_empty(log, n);
        return;
    }
    if (segment->role == FE_ROLE_TAIL && offset + size == segment->used) {
        segment->used = offset;
        cursors_clip(log, n);
    } else {
        filler_write(segment->base + offset, size);
    }
    segment->records--;
    log->records--;
    live_change(log, n, -(int64_t)size);
}

/* A record of its own grows by remapping and shrinks in place only while it would still be on its
 * own. */
static size_t room_own(fe_log *log, fe_segment *segment, size_t want)
{
    if (want <= segment->bytes) return want > segment->bytes / 2 ? segment->bytes : 0;
    size_t bytes = (want + PAGE - 1) & ~(PAGE - 1);
    void *moved = fe_pages_remap(log->alloc, FE_ALLOC_LOG, segment->base, segment->bytes, bytes);
    if (moved == NULL) return 0;
    log->bytes += bytes - segment->bytes;
    log->waste += bytes - segment->bytes;
    segment->base = moved;
    segment->bytes = bytes;
    return bytes;
}

size_t fe_log_room(fe_log *log, fe_address address, size_t size, size_t want)
{
    uint32_t n = fe_address_segment(address, log->offset_bits);
    uint64_t offset = fe_address_offset(address, log->offset_bits);
    fe_segment *segment = &log->segments[n];
    if (segment->tier != FE_TIER_MUTABLE) return 0;
    if (segment->role == FE_ROLE_OWN) return room_own(log, segment, want);
    size_t room = size;
    while (room < want && offset + room < segment->used) {
        const fe_record *next = (const fe_record *)(segment->base + offset + room);
        if (fe_record_type(next) != FE_TYPE_FILLER) return 0;
        room += fe_record_size(next);
    }
    if (room >= want) return room;
    if (segment->role == FE_ROLE_TAIL && want <= segment->bytes - offset) return want;
    return 0;
}

void fe_log_refit(fe_log *log, fe_address address, size_t size, size_t room, size_t new_size)
{
    FE_ASSERT(new_size <= room && new_size % FE_RECORD_ALIGN == 0 && new_size > 0);
    uint32_t n = fe_address_segment(address, log->offset_bits);
    uint64_t offset = fe_address_offset(address, log->offset_bits);
    fe_segment *segment = &log->segments[n];
    bool last = offset + room >= segment->used;
    if (segment->role == FE_ROLE_OWN) log->waste += segment->used - new_size;
    if (segment->role == FE_ROLE_OWN || (last && segment->role == FE_ROLE_TAIL))
        segment->used = offset + new_size;
    else if (room > new_size)
        filler_write(segment->base + offset + new_size, room - new_size);
    for (unsigned i = 0; i < FE_WALKERS; i++) {
        fe_cursor *cursor = &log->cursor[i];
        if (cursor->segment == n && cursor->offset > offset && cursor->offset < offset + room)
            cursor->offset = offset + new_size;
    }
    cursors_clip(log, n);
    live_change(log, n, (int64_t)new_size - (int64_t)size);
}

void fe_log_deadline_add(fe_log *log, fe_address address, int64_t now, int64_t deadline,
                         size_t size)
{
    fe_deadlines_add(&log->deadlines[fe_address_segment(address, log->offset_bits)], now, deadline,
                     size);
}

void fe_log_deadline_remove(fe_log *log, fe_address address, int64_t deadline, size_t size)
{
    uint32_t n = fe_address_segment(address, log->offset_bits);
    if (n == log->cursor[FE_WALKER_EXPIRE].segment) return; /* it is being measured anew */
    fe_deadlines_remove(&log->deadlines[n], deadline, size);
}

/* Walking and figures -------------------------------------------------------------------------- */

/* A walk knows where the next header is only when it has read this one: the lines are asked for
 * well ahead. */
static inline void walk_prefetch(const uint8_t *record, size_t size)
{
    if (size > WALK_PREFETCH_MAX) size = WALK_PREFETCH_MAX;
    for (size_t i = 0; i < size; i += 64)
        fe_prefetch(record + WALK_AHEAD + i);
}

fe_record *fe_log_walk(const fe_log *log, fe_cursor *cursor, fe_address *address)
{
    const fe_segment *segment = &log->segments[cursor->segment];
    while (cursor->offset < segment->used) {
        fe_record *record = (fe_record *)(segment->base + cursor->offset);
        size_t size = fe_record_size(record);
        uint64_t offset = cursor->offset;
        if (FE_UNLIKELY(size == 0 || size > segment->used - offset)) {
            FE_ASSERT(segment->tier == FE_TIER_MAPPED); /* its page could not be read */
            cursor->offset = segment->used;
            return NULL;
        }
        cursor->offset += size;
        walk_prefetch((const uint8_t *)record, size);
        if (fe_record_type(record) != FE_TYPE_FILLER) {
            *address = fe_address_make(cursor->segment, offset, log->offset_bits);
            return record;
        }
    }
    return NULL;
}

uint64_t fe_log_tail_room(const fe_log *log, fe_tail tail)
{
    if (log->tail[tail] == 0) return 0;
    const fe_segment *segment = &log->segments[log->tail[tail]];
    return segment->bytes - segment->used;
}

uint64_t fe_log_garbage(const fe_log *log)
{
    return log->bytes - log->live - log->waste - fe_log_tail_room(log, FE_TAIL_NEW) -
           fe_log_tail_room(log, FE_TAIL_MOVED);
}
