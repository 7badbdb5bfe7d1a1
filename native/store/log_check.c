/* Checks of a log's accounts, lists and walks, for tests and DEBUG. See log.h.
 *
 * Threads: the engine's lock is held.
 */
#include "store/log_parts.h"

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
    uint64_t offset = 0, records = 0, count = 0;
    while (offset < segment->used) {
        const fe_record *record = (const fe_record *)(segment->base + offset);
        size_t size = fe_record_size(record);
        if (size == 0 || size > segment->used - offset) return "log: a walk leaves the segment";
        if (cursors_hit(log, n, offset, offset + size)) return "log: a walker inside a record";
        if (fe_record_type(record) != FE_TYPE_FILLER) {
            records += size;
            count++;
            uint32_t id = fe_record_keyspace(record);
            if (segment->keyspace != id && segment->keyspace != FE_SEGMENT_MIXED)
                return "log: a record of an unexpected keyspace";
        }
        offset += size;
    }
    if (records != segment->live) return "log: wrong live bytes of a segment";
    if (count != segment->records) return "log: wrong number of records of a segment";
    if (segment->role != FE_ROLE_TAIL && segment->live == 0) return "log: a dead segment";
    if (segment->role == FE_ROLE_TAIL && log->tail[0] != n && log->tail[1] != n)
        return "log: a tail that is none";
    return NULL;
}

/* Segments with files: each in the list of its class, and the sums. */
static const char *frozen_check(const fe_log *log)
{
    uint64_t used = 0, live = 0, lost = 0, count = 0, listed = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        if (!fe_log_in_frozen_list(segment)) continue;
        if (log->files[n].hopeless) lost += segment->used - segment->live;
        used += segment->used;
        live += segment->live;
        count++;
    }
    for (unsigned i = 0; i < FE_LOG_CLASSES; i++)
        for (uint32_t n = log->frozen.head[i]; n != 0; n = log->segments[n].next) {
            if (!fe_log_in_frozen_list(&log->segments[n]))
                return "log: a stranger in a list of classes";
            listed += fe_log_frozen_class_of(&log->segments[n]) == i;
        }
    if (listed != count) return "log: a frozen segment in a wrong class";
    if (used != log->frozen.used || live != log->frozen.live) return "log: wrong sums of files";
    if (lost != log->frozen.lost) return "log: a wrong sum of what is lost";
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
        sums[segment->tier].records += segment->records;
    }
    for (unsigned tier = FE_TIER_MUTABLE; tier < FE_TIER_COUNT; tier++) {
        const fe_tier_sum *sum = &log->tiers[tier];
        if (sum->segments != sums[tier].segments || sum->bytes != sums[tier].bytes ||
            sum->live != sums[tier].live || sum->records != sums[tier].records)
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
            count +=
                log->segments[n].role == FE_ROLE_FULL && fe_log_class_of(&log->segments[n]) == i;
    return count;
}

const char *fe_log_check(const fe_log *log)
{
    uint64_t bytes = 0, live = 0, records = 0, waste = 0, count = 0, full = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        if (segment->tier != FE_TIER_MUTABLE) continue;
        const char *wrong = segment_check(log, n);
        if (wrong != NULL) return wrong;
        bytes += segment->bytes;
        live += segment->live;
        records += segment->records;
        count++;
        full += segment->role == FE_ROLE_FULL;
        if (segment->role != FE_ROLE_TAIL) waste += segment->bytes - segment->used;
    }
    if (bytes != log->bytes || live != log->live || records != log->records)
        return "log: wrong sums";
    if (count != log->segment_count || waste != log->waste) return "log: wrong counts";
    if (full != class_count(log)) return "log: a segment in a wrong class";
    return log->tiered ? tiers_check(log) : NULL;
}
