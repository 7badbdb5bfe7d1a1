/* The log: segments, tails, accounts. Layout and terms are in the header.
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
#include "store/log.h"
#include "store/prefetch.h"

#define PAGE ((size_t)4096)
#define WALK_AHEAD 2048u /* bytes */
#define WALK_PREFETCH_MAX 1024u
#define OWN_MIN ((size_t)16 << 10)
#define NEXT_SHARE 16u /* a new segment is at most this part of the log */

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

/* The largest ordinary segment that addresses of this log can span. */
static size_t span(const fe_log *log)
{
    return (size_t)8 << log->offset_bits;
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
    log->segment_max = clamp_size(bytes, FE_SEGMENT_MIN, span(log));
    fe_log_spare_trim(log, false);
}

size_t fe_log_next_size(const fe_log *log)
{
    return clamp_size(log->bytes / NEXT_SHARE, FE_SEGMENT_MIN, log->segment_max);
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
    if (serves && log->spare_bytes + size <= log->bytes / 8) {
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

static void class_unlink(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    if (segment->prev != 0)
        log->segments[segment->prev].next = segment->next;
    else
        log->class_head[segment->class_now] = segment->next;
    if (segment->next != 0) log->segments[segment->next].prev = segment->prev;
    segment->next = segment->prev = 0;
}

/* What is not dead of it, in 64ths; the end that no record fitted into is lost to compaction too. */
static unsigned class_of(const fe_segment *segment)
{
    return (unsigned)((segment->bytes - segment->used + segment->live) >> segment->class_shift);
}

static void class_link(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    segment->class_now = (uint8_t)class_of(segment);
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
    if (segment->role == FE_ROLE_FULL && class_of(segment) != segment->class_now) {
        class_unlink(log, n);
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

static bool tables_grow(fe_log *log)
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
static uint32_t number_take(fe_log *log)
{
    uint32_t n = log->free_head;
    if (n != 0) {
        log->free_head = log->segments[n].next;
        return n;
    }
    if (log->high + 1 >= log->capacity && !tables_grow(log)) return 0;
    return ++log->high;
}

static void number_give(fe_log *log, uint32_t n)
{
    log->segments[n].next = log->free_head;
    log->free_head = n;
}

/* Tiers ---------------------------------------------------------------------------------------- */

void fe_log_set_tiered(fe_log *log)
{
    FE_ASSERT(log->capacity == 0);
    log->tiered = true;
}

static void tier_link(fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    fe_tier_sum *sum = &log->tiers[segment->tier];
    log->files[n].older = sum->newest;
    log->files[n].newer = 0;
    if (sum->newest != 0)
        log->files[sum->newest].newer = n;
    else
        sum->oldest = n;
    sum->newest = n;
    sum->segments++;
    if (segment->tier == FE_TIER_MUTABLE) return;
    sum->bytes += segment->bytes;
    sum->live += segment->live;
}

static void tier_unlink(fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    fe_tier_sum *sum = &log->tiers[segment->tier];
    uint32_t older = log->files[n].older, newer = log->files[n].newer;
    *(older != 0 ? &log->files[older].newer : &sum->oldest) = newer;
    *(newer != 0 ? &log->files[newer].older : &sum->newest) = older;
    log->files[n].older = log->files[n].newer = 0;
    sum->segments--;
    if (segment->tier == FE_TIER_MUTABLE) return;
    sum->bytes -= segment->bytes;
    sum->live -= segment->live;
}

/* Bytes of marks: 2 bits for each 64 bytes; a record of its own has one. */
static size_t marks_size(const fe_segment *segment)
{
    return segment->role == FE_ROLE_OWN ? 8 : segment->bytes / 256;
}

static void file_start(fe_log *log, uint32_t n)
{
    fe_segment_file *file = &log->files[n];
    *file = (fe_segment_file){.fd = -1};
    /* without them its records count as never read */
    file->marks = fe_alloc_take_zeroed(log->alloc, FE_ALLOC_ENGINE, marks_size(&log->segments[n]));
    tier_link(log, n);
}

static void file_end(fe_log *log, uint32_t n)
{
    fe_segment_file *file = &log->files[n];
    FE_ASSERT(file->pins == 0 && file->fd == -1);
    tier_unlink(log, n);
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, file->marks);
    file->marks = NULL;
}

static uint64_t mark_at(const fe_log *log, fe_address address, uint32_t *n)
{
    *n = fe_address_segment(address, log->offset_bits);
    if (log->segments[*n].role == FE_ROLE_OWN) return 0;
    return fe_address_offset(address, log->offset_bits) / 64;
}

void fe_log_touch(fe_log *log, fe_address address)
{
    uint32_t n;
    uint64_t i = mark_at(log, address, &n);
    uint8_t *marks = log->files[n].marks;
    if (marks == NULL) return;
    unsigned shift = (unsigned)(i & 3u) * 2;
    unsigned byte = marks[i / 4];
    if ((byte >> shift & 3u) != 3u) marks[i / 4] = (uint8_t)(byte + (1u << shift));
}

unsigned fe_log_touched(const fe_log *log, fe_address address)
{
    uint32_t n;
    uint64_t i = mark_at(log, address, &n);
    const uint8_t *marks = log->files[n].marks;
    return marks == NULL ? 0 : (unsigned)marks[i / 4] >> ((i & 3u) * 2) & 3u;
}

/* Frozen segments by what is alive in them ----------------------------------------------------- */

static bool in_frozen_list(const fe_segment *segment)
{
    bool has_file = segment->tier == FE_TIER_MAPPED || segment->tier == FE_TIER_DISK;
    return has_file && segment->role == FE_ROLE_FULL;
}

static unsigned frozen_class_of(const fe_segment *segment)
{
    return (unsigned)(segment->live * (FE_LOG_CLASSES - 1) / segment->used);
}

static void frozen_list_put(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    segment->class_now = (uint8_t)frozen_class_of(segment);
    uint32_t *head = &log->frozen.head[segment->class_now];
    segment->prev = 0;
    segment->next = *head;
    if (*head != 0) log->segments[*head].prev = n;
    *head = n;
}

static void frozen_list_take(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    uint32_t prev = segment->prev, next = segment->next;
    *(prev != 0 ? &log->segments[prev].next : &log->frozen.head[segment->class_now]) = next;
    if (next != 0) log->segments[next].prev = prev;
    segment->next = segment->prev = 0;
}

static void frozen_link(fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    if (!in_frozen_list(segment)) return;
    log->frozen.used += segment->used;
    log->frozen.live += segment->live;
    frozen_list_put(log, n);
}

static void frozen_unlink(fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    if (!in_frozen_list(segment)) return;
    log->frozen.used -= segment->used;
    log->frozen.live -= segment->live;
    frozen_list_take(log, n);
}

uint32_t fe_log_frozen_victim(const fe_log *log, unsigned class_max, int64_t now)
{
    for (unsigned i = 0; i < FE_LOG_CLASSES && i <= class_max; i++)
        for (uint32_t n = log->frozen.head[i]; n != 0; n = log->segments[n].next) {
            const fe_segment_file *file = &log->files[n];
            if (!file->busy && !file->doomed && file->rest_ms <= now) return n;
        }
    return 0;
}

void fe_log_forget_reads(fe_log *log, uint32_t n)
{
    uint8_t *marks = log->files[n].marks;
    if (marks != NULL) memset(marks, 0, marks_size(&log->segments[n]));
}

void fe_log_set_tier(fe_log *log, uint32_t n, fe_tier tier)
{
    fe_segment *segment = &log->segments[n];
    FE_ASSERT(segment->role != FE_ROLE_TAIL && segment->tier != FE_TIER_FREE);
    if (segment->tier == FE_TIER_MUTABLE) {
        if (segment->role == FE_ROLE_FULL) class_unlink(log, n);
        for (unsigned i = 0; i < FE_WALKERS; i++)
            if (log->cursor[i].segment == n) log->cursor[i] = (fe_cursor){0, 0};
        log->bytes -= segment->bytes;
        log->live -= segment->live;
        log->waste -= segment->bytes - segment->used;
        log->segment_count--;
    }
    frozen_unlink(log, n);
    tier_unlink(log, n);
    segment->tier = (uint8_t)tier;
    tier_link(log, n);
    frozen_link(log, n);
}

/* Nothing in a frozen segment is alive. */
static void doom(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    fe_segment_file *file = &log->files[n];
    file->doomed = true;
    if (file->pins != 0) return;
    frozen_unlink(log, n);
    tier_unlink(log, n);
    segment->tier = FE_TIER_FREE;
    segment->next = log->dead_head;
    log->dead_head = n;
}

void fe_log_unpin(fe_log *log, uint32_t n)
{
    fe_segment_file *file = &log->files[n];
    FE_ASSERT(file->pins > 0);
    if (--file->pins == 0 && file->doomed) doom(log, n);
}

uint32_t fe_log_dead_take(fe_log *log)
{
    uint32_t n = log->dead_head;
    if (n != 0) log->dead_head = log->segments[n].next;
    return n;
}

void fe_log_dead_give(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, log->files[n].marks);
    log->files[n] = (fe_segment_file){.fd = -1};
    segment->base = NULL;
    segment->live = segment->used = segment->bytes = 0;
    number_give(log, n);
}

uint32_t fe_log_take(fe_log *log, void *base, size_t bytes, fe_tier tier)
{
    FE_ASSERT(log->tiered && tier != FE_TIER_FREE && tier != FE_TIER_MUTABLE);
    uint32_t n = number_take(log);
    if (n == 0) return 0;
    fe_segment *segment = &log->segments[n];
    uint32_t generation = segment->generation;
    memset(segment, 0, sizeof(*segment));
    memset(&log->deadlines[n], 0, sizeof(log->deadlines[n]));
    segment->base = base;
    segment->bytes = bytes;
    segment->sequence = ++log->sequence;
    segment->generation = generation + 1;
    segment->tier = (uint8_t)tier;
    segment->role = FE_ROLE_FULL;
    file_start(log, n);
    return n;
}

/* Loading -------------------------------------------------------------------------------------- */

bool fe_log_load_begin(fe_log *log, unsigned offset_bits, uint32_t high, uint64_t sequence)
{
    FE_ASSERT(log->tiered && log->high == 0);
    log->offset_bits = offset_bits;
    if (log->segment_max > span(log)) log->segment_max = span(log);
    while (log->capacity <= high)
        if (!tables_grow(log)) return false;
    log->high = high;
    log->sequence = sequence;
    for (uint32_t n = high; n > 0; n--)
        log->segments[n].tier = FE_TIER_FREE;
    return true;
}

void fe_log_load(fe_log *log, uint32_t n, const fe_segment *segment, const fe_segment_file *file)
{
    FE_ASSERT(n >= 1 && n <= log->high);
    FE_ASSERT(segment->tier == FE_TIER_FREE || segment->tier == FE_TIER_DISK);
    log->segments[n] = *segment;
    log->files[n] = *file;
}

void fe_log_load_end(fe_log *log, const uint32_t *order, uint32_t count)
{
    for (uint32_t n = log->high; n > 0; n--)
        if (log->segments[n].tier == FE_TIER_FREE) number_give(log, n);
    for (uint32_t i = 0; i < count; i++) {
        tier_link(log, order[i]);
        frozen_link(log, order[i]);
    }
}

void fe_log_forget_files(fe_log *log)
{
    for (uint32_t n = 1; n <= log->high; n++) {
        fe_segment *segment = &log->segments[n];
        if (segment->tier != FE_TIER_MAPPED && segment->tier != FE_TIER_DISK) continue;
        segment->base = NULL;
        frozen_unlink(log, n);
        file_end(log, n);
        segment->live = segment->used = segment->bytes = 0;
        segment->tier = FE_TIER_FREE;
        number_give(log, n);
    }
}

static void kill_frozen(fe_log *log, uint32_t n, size_t size)
{
    fe_segment *segment = &log->segments[n];
    segment->live -= size;
    log->tiers[segment->tier].live -= size;
    if (in_frozen_list(segment)) {
        log->frozen.live -= size;
        if (frozen_class_of(segment) != segment->class_now) {
            frozen_list_take(log, n);
            frozen_list_put(log, n);
        }
    }
    if (segment->live == 0 && !log->files[n].doomed) doom(log, n);
}

void fe_log_walk_begin(fe_log *log, uint32_t n)
{
    log->frozen.walk_segment = n;
    log->frozen.walk_offset = log->frozen.walk_died = 0;
}

uint64_t fe_log_walk_end(fe_log *log, uint64_t counted)
{
    uint32_t n = log->frozen.walk_segment;
    const fe_segment *segment = &log->segments[n];
    uint64_t died = log->frozen.walk_died;
    FE_ASSERT(n != 0 && counted >= died && segment->live >= counted - died);
    uint64_t surplus = segment->live - (counted - died);
    log->frozen.walk_segment = 0;
    if (surplus != 0) kill_frozen(log, n, surplus);
    return surplus;
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
    if (log->tiered) file_start(log, n);
}

static void segment_free(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    if (segment->role == FE_ROLE_FULL) class_unlink(log, n);
    for (unsigned i = 0; i < FE_WALKERS; i++)
        if (log->cursor[i].segment == n) log->cursor[i] = (fe_cursor){0, 0};
    void *ptr = segment->base;
    size_t bytes = segment->bytes;
    if (log->tiered) file_end(log, n);
    log->bytes -= bytes;
    log->live -= segment->live;
    log->segment_count--;
    if (segment->role != FE_ROLE_TAIL) log->waste -= bytes - segment->used;
    segment->base = NULL;
    segment->live = segment->used = segment->bytes = 0;
    segment->tier = FE_TIER_FREE;
    if (segment->role == FE_ROLE_OWN)
        fe_trash_put(log->trash, FE_ALLOC_LOG, ptr, bytes);
    else
        fe_log_spare_put(log, ptr, bytes);
    number_give(log, n);
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
    segment->live = segment->used = 0;
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
        kill_frozen(log, n, log->segments[n].live);
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
    uint32_t n = number_take(log);
    if (n == 0) return 0;
    void *ptr = spare_take(log, bytes);
    if (ptr == NULL) ptr = fe_pages_map(log->alloc, FE_ALLOC_LOG, bytes, PAGE);
    if (ptr == NULL) {
        number_give(log, n);
        return 0;
    }
    segment_start(log, n, ptr, bytes, FE_ROLE_TAIL);
    uint32_t old = log->tail[tail];
    log->tail[tail] = n;
    if (old != 0) tail_retire(log, old);
    return n;
}

static fe_address append_own(fe_log *log, size_t size, uint32_t keyspace)
{
    size_t bytes = (size + PAGE - 1) & ~(PAGE - 1);
    uint32_t n = number_take(log);
    if (n == 0) return FE_ADDRESS_NONE;
    void *ptr = fe_pages_map(log->alloc, FE_ALLOC_LOG, bytes, PAGE);
    if (ptr == NULL) {
        number_give(log, n);
        return FE_ADDRESS_NONE;
    }
    segment_start(log, n, ptr, bytes, FE_ROLE_OWN);
    log->segments[n].used = size;
    log->waste += bytes - size;
    log->segments[n].keyspace = (uint16_t)keyspace;
    live_change(log, n, (int64_t)size);
    log->appended += size;
    return fe_address_make(n, 0, log->offset_bits);
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
            log->frozen.walk_died += size;
        kill_frozen(log, n, size);
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

/* Checking ------------------------------------------------------------------------------------- */

static bool cursors_hit(const fe_log *log, uint32_t n, uint64_t offset, uint64_t end)
{
    for (unsigned i = 0; i < FE_WALKERS; i++)
        if (log->cursor[i].segment == n && log->cursor[i].offset > offset &&
            log->cursor[i].offset < end)
            return true;
    return false;
}

static const char *segment_check(const fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    uint64_t offset = 0, records = 0;
    while (offset < segment->used) {
        const fe_record *record = (const fe_record *)(segment->base + offset);
        size_t size = fe_record_size(record);
        if (size == 0 || size > segment->used - offset) return "log: a walk leaves the segment";
        if (cursors_hit(log, n, offset, offset + size)) return "log: a walker inside a record";
        if (fe_record_type(record) != FE_TYPE_FILLER) {
            records += size;
            uint32_t id = fe_record_keyspace(record);
            if (segment->keyspace != id && segment->keyspace != FE_SEGMENT_MIXED)
                return "log: a record of an unexpected keyspace";
        }
        offset += size;
    }
    if (records != segment->live) return "log: wrong live bytes of a segment";
    if (segment->role != FE_ROLE_TAIL && segment->live == 0) return "log: a dead segment";
    if (segment->role == FE_ROLE_TAIL && log->tail[0] != n && log->tail[1] != n)
        return "log: a tail that is none";
    return NULL;
}

/* Segments with files: each in the list of its class, and the sums. */
static const char *frozen_check(const fe_log *log)
{
    uint64_t used = 0, live = 0, count = 0, listed = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        if (!in_frozen_list(segment)) continue;
        used += segment->used;
        live += segment->live;
        count++;
    }
    for (unsigned i = 0; i < FE_LOG_CLASSES; i++)
        for (uint32_t n = log->frozen.head[i]; n != 0; n = log->segments[n].next) {
            if (!in_frozen_list(&log->segments[n])) return "log: a stranger in a list of classes";
            listed += frozen_class_of(&log->segments[n]) == i;
        }
    if (listed != count) return "log: a frozen segment in a wrong class";
    if (used != log->frozen.used || live != log->frozen.live) return "log: wrong sums of files";
    return NULL;
}

/* Frozen segments: their sums, and lists that hold each once. */
static const char *tiers_check(const fe_log *log)
{
    fe_tier_sum sums[FE_TIER_COUNT] = {0};
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        if (segment->tier == FE_TIER_FREE) continue;
        sums[segment->tier].segments++;
        if (segment->tier == FE_TIER_MUTABLE) continue;
        if (segment->live > segment->used) return "log: more alive than appended";
        sums[segment->tier].bytes += segment->bytes;
        sums[segment->tier].live += segment->live;
    }
    for (unsigned tier = FE_TIER_MUTABLE; tier < FE_TIER_COUNT; tier++) {
        const fe_tier_sum *sum = &log->tiers[tier];
        if (sum->segments != sums[tier].segments || sum->bytes != sums[tier].bytes ||
            sum->live != sums[tier].live)
            return "log: wrong sums of a tier";
        uint64_t listed = 0;
        for (uint32_t n = sum->oldest; n != 0 && listed <= sum->segments; n = log->files[n].newer)
            listed += log->segments[n].tier == tier;
        if (listed != sum->segments) return "log: a wrong list of a tier";
    }
    return frozen_check(log);
}

static uint64_t class_count(const fe_log *log)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < FE_LOG_CLASSES; i++)
        for (uint32_t n = log->class_head[i]; n != 0; n = log->segments[n].next)
            count += log->segments[n].role == FE_ROLE_FULL && class_of(&log->segments[n]) == i;
    return count;
}

const char *fe_log_check(const fe_log *log)
{
    uint64_t bytes = 0, live = 0, waste = 0, count = 0, full = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        if (segment->tier != FE_TIER_MUTABLE) continue;
        const char *wrong = segment_check(log, n);
        if (wrong != NULL) return wrong;
        bytes += segment->bytes;
        live += segment->live;
        count++;
        full += segment->role == FE_ROLE_FULL;
        if (segment->role != FE_ROLE_TAIL) waste += segment->bytes - segment->used;
    }
    if (bytes != log->bytes || live != log->live) return "log: wrong sums";
    if (count != log->segment_count || waste != log->waste) return "log: wrong counts";
    if (full != class_count(log)) return "log: a segment in a wrong class";
    return log->tiered ? tiers_check(log) : NULL;
}
