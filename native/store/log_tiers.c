/* What only a tiered log has: lists and sums of tiers, marks of reads, the classes of segments with
 * files, dead segments, and loading. See log.h and log_parts.h.
 *
 * Threads: the engine's lock is held.
 */
#include "store/log_parts.h"

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
    sum->records += segment->records;
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
    sum->records -= segment->records;
}

/* Bytes of marks: 2 bits for each 64 bytes; a record of its own has one. */
static size_t marks_size(const fe_segment *segment)
{
    return segment->role == FE_ROLE_OWN ? 8 : segment->bytes / 256;
}

void fe_log_file_start(fe_log *log, uint32_t n)
{
    fe_segment_file *file = &log->files[n];
    *file = (fe_segment_file){.fd = -1};
    /* without them its records count as never read */
    file->marks = fe_alloc_take_zeroed(log->alloc, FE_ALLOC_ENGINE, marks_size(&log->segments[n]));
    tier_link(log, n);
}

void fe_log_file_end(fe_log *log, uint32_t n)
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

static void frozen_list_put(fe_log *log, uint32_t n)
{
    fe_segment *segment = &log->segments[n];
    segment->class_now = (uint8_t)fe_log_frozen_class_of(segment);
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

/* Bytes that are dead in a segment of the lists that is hopeless. */
static uint64_t lost_of(const fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    return log->files[n].hopeless ? segment->used - segment->live : 0;
}

static void frozen_link(fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    if (!fe_log_in_frozen_list(segment)) return;
    log->frozen.used += segment->used;
    log->frozen.live += segment->live;
    log->frozen.lost += lost_of(log, n);
    frozen_list_put(log, n);
}

static void frozen_unlink(fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    if (!fe_log_in_frozen_list(segment)) return;
    log->frozen.used -= segment->used;
    log->frozen.live -= segment->live;
    log->frozen.lost -= lost_of(log, n);
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

void fe_log_drop_marks(fe_log *log, uint32_t n)
{
    uint8_t *marks = log->files[n].marks;
    if (marks == NULL) return;
    for (size_t i = 0, size = marks_size(&log->segments[n]); i < size; i++)
        if (marks[i] != 0) return;
    fe_alloc_give(log->alloc, FE_ALLOC_ENGINE, marks);
    log->files[n].marks = NULL;
}

/* The segment that the walker is in is not its any more. The expiry walk was about to measure its deadlines anew,
 * and has emptied what was known of them; the sweep had still to find records of dead keyspaces in it. */
static void cursor_leave(fe_log *log, unsigned walker)
{
    fe_cursor *cursor = &log->cursor[walker];
    if (walker != FE_WALKER_COMPACT) log->files[cursor->segment].miscounted = true;
    *cursor = (fe_cursor){0, 0};
}

void fe_log_set_tier(fe_log *log, uint32_t n, fe_tier tier)
{
    fe_segment *segment = &log->segments[n];
    FE_ASSERT(segment->role != FE_ROLE_TAIL && segment->tier != FE_TIER_FREE);
    if (segment->tier == FE_TIER_MUTABLE) {
        if (segment->role == FE_ROLE_FULL) fe_log_class_unlink(log, n);
        for (unsigned i = 0; i < FE_WALKERS; i++)
            if (log->cursor[i].segment == n) cursor_leave(log, i);
        log->bytes -= segment->bytes;
        log->live -= segment->live;
        log->records -= segment->records;
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
    log->damaged -= log->files[n].damaged;
    log->files[n] = (fe_segment_file){.fd = -1};
    segment->base = NULL;
    segment->live = segment->used = segment->bytes = segment->records = 0;
    fe_log_number_give(log, n);
}

uint32_t fe_log_take(fe_log *log, void *base, size_t bytes, fe_tier tier)
{
    FE_ASSERT(log->tiered && tier != FE_TIER_FREE && tier != FE_TIER_MUTABLE);
    uint32_t n = fe_log_number_take(log);
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
    fe_log_file_start(log, n);
    return n;
}

/* Loading -------------------------------------------------------------------------------------- */

bool fe_log_load_begin(fe_log *log, unsigned offset_bits, uint32_t high, uint64_t sequence)
{
    FE_ASSERT(log->tiered && log->high == 0);
    log->offset_bits = offset_bits;
    if (log->segment_max > fe_log_span(log)) log->segment_max = fe_log_span(log);
    while (log->capacity <= high)
        if (!fe_log_tables_grow(log)) return false;
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
        if (log->segments[n].tier == FE_TIER_FREE) fe_log_number_give(log, n);
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
        fe_log_file_end(log, n);
        segment->live = segment->used = segment->bytes = segment->records = 0;
        segment->tier = FE_TIER_FREE;
        fe_log_number_give(log, n);
    }
}

void fe_log_kill_frozen(fe_log *log, uint32_t n, size_t size, uint32_t records)
{
    fe_segment *segment = &log->segments[n];
    segment->records -= records;
    if (segment->records == 0) size = segment->live; /* no slot names anything in it */
    segment->live -= size;
    log->tiers[segment->tier].live -= size;
    log->tiers[segment->tier].records -= records;
    if (fe_log_in_frozen_list(segment)) {
        log->frozen.live -= size;
        log->frozen.lost += log->files[n].hopeless ? size : 0;
        if (fe_log_frozen_class_of(segment) != segment->class_now) {
            frozen_list_take(log, n);
            frozen_list_put(log, n);
        }
    }
    if (segment->live == 0 && !log->files[n].doomed) doom(log, n);
}

void fe_log_set_hopeless(fe_log *log, uint32_t n, bool hopeless)
{
    bool listed = fe_log_in_frozen_list(&log->segments[n]);
    if (listed) log->frozen.lost -= lost_of(log, n);
    log->files[n].hopeless = hopeless;
    if (listed) log->frozen.lost += lost_of(log, n);
}

void fe_log_kill_unread(fe_log *log, fe_address address)
{
    uint32_t n = fe_address_segment(address, log->offset_bits);
    if (n == log->frozen.walk_segment &&
        fe_address_offset(address, log->offset_bits) < log->frozen.walk_offset)
        log->frozen.walk_died_records++;
    log->files[n].miscounted = true;
    log->files[n].rest_ms = 0;
    fe_log_set_hopeless(log, n, false);
    fe_log_kill_frozen(log, n, 0, 1);
}

void fe_log_mark_damaged(fe_log *log, uint32_t n)
{
    log->damaged += !log->files[n].damaged;
    log->files[n].damaged = true;
}

void fe_log_walk_begin(fe_log *log, uint32_t n)
{
    log->frozen.walk_segment = n;
    log->frozen.walk_offset = log->frozen.walk_died = log->frozen.walk_died_records = 0;
}

uint64_t fe_log_walk_end(fe_log *log, uint64_t counted, uint32_t records)
{
    uint32_t n = log->frozen.walk_segment;
    const fe_segment *segment = &log->segments[n];
    uint64_t died = log->frozen.walk_died;
    FE_ASSERT(n != 0 && counted >= died && segment->live >= counted - died);
    uint64_t surplus = segment->live - (counted - died);
    FE_ASSERT(records >= log->frozen.walk_died_records);
    uint32_t alive = records - log->frozen.walk_died_records;
    FE_ASSERT(segment->records >= alive);
    log->frozen.walk_segment = 0;
    if (surplus != 0) fe_log_kill_frozen(log, n, surplus, segment->records - alive);
    return surplus;
}
