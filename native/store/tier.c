/* Tiers: budgets, admission, sealing, demotion. See the header; the jobs are in tier_jobs.c, the disk's room in tier_room.c.
 *
 * Invariants
 * 1. A SEALED segment's memory is written by nobody: whoever flushes it reads it without the lock.
 * 2. A segment has a descriptor exactly while it is MAPPED or DISK, or dead and not yet given back.
 * 3. file_bytes and file_count are of these.
 * 4. While the tiers' memory is over its bound, either something of it waits to be flushed, or a
 *    step makes it less: a writer that was told FE_BUSY never waits for nothing.
 *
 * Budgets. What memory_max leaves when everything else is subtracted (the process, the index, the
 * clients' buffers) is the pool; budgets that are not set are shares of it (docs/decisions/0007), and those that
 * are set become smaller, in proportion, when it does not have as much. Mutable and sealed
 * memory together may be a quarter above the mutable budget, and what the disk is slow to take may fill the
 * budget of mapped segments too, which are given up as it does, before writers wait. Mapped bytes are those of
 * the segments that were written, a little more than what is mapped.
 *
 * Threads: the engine's lock is held, but in functions whose name ends in _run.
 */
#include "store/tier.h"
#include "store/compact.h"
#include "store/save.h"

#define MUTABLE_MIN (4 * FE_SEGMENT_MIN) /* two tails, and something to seal */
#define READONLY_MIN FE_SEGMENT_MIN
#define CACHE_MIN (2 * FE_SEGMENT_MIN)
#define POOL_MIN ((uint64_t)2 << 20) /* what auto budgets share at least, and what set ones do */
#define LIMIT_PERCENT 97u            /* of memory_max, that everything together takes */
#define PARTS 108u                   /* of the pool, and how many each budget gets */
#define PARTS_MUTABLE 25u            /* 20, and the quarter above it */
#define PARTS_READONLY 10u
#define PARTS_CACHE 70u
#define PARTS_FREE 3u /* for what comes before budgets follow */
#define UNBOUNDED (UINT64_MAX / PARTS)
#define INDEX_SHARE 4u            /* of memory_max: a smaller index is not to blame */
#define SEALS_MAX 16u             /* of one call */
#define SEAL_PAUSE FE_SEGMENT_MIN /* appended, before another look for what was not there */

/* Budgets -------------------------------------------------------------------------------------- */

static uint64_t at_least(uint64_t value, uint64_t low)
{
    return value < low ? low : value;
}

/* Memory of the process that is in no tier: what was told, or what is known, which is less but of now; and what
 * the log gave up while it was being sent, which stays until its last reader has it. */
static uint64_t memory_besides(const fe_store *store)
{
    uint64_t told = store->tiers->besides;
    uint64_t used = fe_alloc_used_all(store->alloc) - fe_alloc_used(store->alloc, FE_ALLOC_LOG);
    return (told > used ? told : used) + store->trash.held_bytes;
}

/* Not to be made up anew as the log changes: what the log has taken since would count as given back. Pages of
 * the log that were never touched are not resident. What is held is among the log's bytes here, and is added as it is
 * now by memory_besides. */
static uint64_t besides_of(const fe_store *store, uint64_t resident)
{
    uint64_t inside =
        fe_alloc_used(store->alloc, FE_ALLOC_LOG) + store->log.tiers[FE_TIER_MAPPED].bytes;
    return resident > inside ? resident - inside : 0;
}

typedef struct budgets {
    uint64_t rest;  /* of the pool, for budgets that are auto */
    unsigned parts; /* of theirs together */
    double share;   /* that budgets which are set get of their sizes */
} budgets;

static uint64_t budget(const budgets *b, uint64_t size, unsigned parts, uint64_t low)
{
    if (size != 0) return at_least(b->share < 1 ? (uint64_t)((double)size * b->share) : size, low);
    if (b->rest == UINT64_MAX) return UNBOUNDED;
    return at_least((uint64_t)((double)b->rest * parts / b->parts), low);
}

/* Divides `most` bytes between budgets that are set, which go first, and those that are not. */
static void divide(budgets *b, double set, uint64_t most)
{
    uint64_t for_auto = b->parts != 0 ? POOL_MIN : 0;
    uint64_t room = at_least(most > for_auto ? most - for_auto : 0, POOL_MIN);
    if (set > (double)room) b->share = (double)room / set;
    b->rest = at_least((double)most > set ? most - (uint64_t)set : 0, POOL_MIN);
}

static void budgets_update(fe_store *store)
{
    fe_tiers *tiers = store->tiers;
    const fe_store_options *options = &store->options;
    uint64_t limit = options->memory_max;
    uint64_t whole = limit / 100 * LIMIT_PERCENT, besides = memory_besides(store);
    uint64_t pool = limit == 0 ? UINT64_MAX : whole > besides ? whole - besides : 0;
    double set = (double)options->mutable_size * 1.25 + (double)options->readonly_size +
                 (double)options->cache_size; /* whose sum may be more than 64 bits hold */
    budgets b = {UINT64_MAX, 0, 1};
    b.parts += options->mutable_size == 0 ? PARTS_MUTABLE : 0;
    b.parts += options->readonly_size == 0 ? PARTS_READONLY : 0;
    b.parts += options->cache_size == 0 ? PARTS_CACHE : 0;
    if (limit != 0) divide(&b, set, pool - pool / PARTS * PARTS_FREE);
    /* of its parts, a fifth is the quarter above it */
    uint64_t with_slack = budget(&b, options->mutable_size, PARTS_MUTABLE, MUTABLE_MIN);
    tiers->mutable_max = options->mutable_size != 0 ? with_slack : with_slack / 5 * 4;
    tiers->mutable_max = at_least(tiers->mutable_max, MUTABLE_MIN);
    tiers->readonly_max = budget(&b, options->readonly_size, PARTS_READONLY, READONLY_MIN);
    tiers->cache_max = budget(&b, options->cache_size, PARTS_CACHE, CACHE_MIN);
    fe_cache_set_budget(store, tiers->cache_max);
    uint64_t index = fe_alloc_used(store->alloc, FE_ALLOC_INDEX);
    tiers->index_over = pool < POOL_MIN && index >= limit / INDEX_SHARE;
}

void fe_tiers_options_changed(fe_store *store)
{
    budgets_update(store);
    store->tiers->retry_ms = store->steady_ms; /* disk_max or files_max may be higher */
}

void fe_tier_set_resident(fe_store *store, uint64_t resident_bytes)
{
    if (store->tiers == NULL) return;
    store->tiers->resident = resident_bytes;
    store->tiers->besides = besides_of(store, resident_bytes);
    budgets_update(store);
}

/* Bytes past the mutable budget that are always there for what waits to be written. */
static uint64_t slack_of(const fe_store *store)
{
    return at_least(store->tiers->mutable_max / 4, 2 * fe_log_next_size(&store->log));
}

static uint64_t held_bytes(const fe_log *log)
{
    return log->bytes + log->tiers[FE_TIER_SEALED].bytes;
}

/* Bytes that are mutable or wait to be written beyond their own room. */
static uint64_t excess_of(const fe_store *store)
{
    uint64_t held = held_bytes(&store->log), room = store->tiers->mutable_max + slack_of(store);
    return held > room ? held - room : 0;
}

bool fe_tier_is_lending(const fe_store *store)
{
    return store->tiers != NULL && excess_of(store) != 0;
}

/* The budget of mapped segments is lent to what the disk is slow to take: all of that is gone too. */
static bool loan_is_spent(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    uint64_t lent = tiers->mutable_max / 2; /* as the shares are; of a budget without a bound too */
    return excess_of(store) > (lent < tiers->readonly_max ? lent : tiers->readonly_max);
}

/* More of it is used than steps have taken back from mapped segments, by more than one. */
static bool loan_is_early(const fe_store *store)
{
    uint64_t excess = excess_of(store), mapped = store->log.tiers[FE_TIER_MAPPED].bytes;
    if (FE_LIKELY(excess == 0) || mapped == 0) return false;
    return mapped + excess > store->tiers->readonly_max + store->log.segment_max;
}

static bool memory_is_over(const fe_store *store)
{
    return loan_is_spent(store) || loan_is_early(store);
}

bool fe_tier_is_crowded(const fe_store *store)
{
    bool waits = excess_of(store) != 0 && store->log.tiers[FE_TIER_SEALED].segments != 0;
    return waits || memory_is_over(store);
}

/* Hooks ---------------------------------------------------------------------------------------- */

void fe_tier_on_work(fe_store *store, fe_tier_hook *hook, void *context)
{
    if (store->tiers == NULL) return;
    store->tiers->on_work = hook;
    store->tiers->work_context = context;
}

void fe_tier_on_room(fe_store *store, fe_tier_hook *hook, void *context)
{
    if (store->tiers == NULL) return;
    store->tiers->on_room = hook;
    store->tiers->room_context = context;
}

void fe_tier_on_change(fe_store *store, fe_tier_change_hook *hook, void *context)
{
    if (store->tiers == NULL) return;
    store->tiers->on_change = hook;
    store->tiers->change_context = context;
}

void fe_tiers_ask_for_work(const fe_tiers *tiers)
{
    if (tiers->on_work != NULL) tiers->on_work(tiers->work_context);
}

/* What a command that needs memory is told now. */
static fe_status pressure(fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    if (FE_UNLIKELY(tiers->index_over)) return FE_NO_MEMORY;
    if (FE_LIKELY(!memory_is_over(store)))
        return FE_UNLIKELY(fe_frozen_owes(store, tiers->owing)) ? FE_BUSY : FE_OK;
    if (!loan_is_spent(store)) return FE_BUSY; /* steps help, whatever the disk does */
    if (tiers->state == FE_DISK_FAILED) return FE_IO;
    if (tiers->state != FE_DISK_FULL) return FE_BUSY;
    return fe_frozen_can_evict(store) || fe_frozen_can_gain(store) ? FE_BUSY : FE_NO_MEMORY;
}

/* Something has changed that writers may have waited for. */
void fe_tiers_tell_room(fe_store *store)
{
    fe_tiers *tiers = store->tiers;
    if (!tiers->behind && !tiers->owing) return;
    if (pressure(store) == FE_BUSY) {
        bool over = memory_is_over(store);
        tiers->owing = !over || (tiers->owing && fe_frozen_owes(store, true));
        tiers->behind = over;
        return;
    }
    tiers->behind = tiers->owing = false;
    if (tiers->on_room != NULL) tiers->on_room(tiers->room_context);
}

/* Sealing -------------------------------------------------------------------------------------- */

static void seal(fe_store *store, uint32_t n)
{
    uint64_t began = fe_tiers_change_begin(store->tiers);
    fe_log_set_tier(&store->log, n, FE_TIER_SEALED);
    store->log.files[n].frozen_ms = store->now_ms;
    store->tiers->stats.sealed++;
    fe_tiers_change_end(store->tiers, n, FE_TIER_SEALED, began);
    fe_tiers_ask_for_work(store->tiers);
}

/* Compaction or expiry is at work in it, or it is worth compaction's work. */
static bool is_better_left(const fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    if (segment->live * 2 < segment->used) return true;
    return log->cursor[FE_WALKER_COMPACT].segment == n ||
           log->cursor[FE_WALKER_EXPIRE].segment == n;
}

/* Seals the oldest mutable segment that is no tail. `any`: also one that is better left. */
static bool seal_oldest(fe_store *store, bool any)
{
    const fe_log *log = &store->log;
    for (uint32_t n = log->tiers[FE_TIER_MUTABLE].oldest; n != 0; n = log->files[n].newer) {
        if (log->segments[n].role == FE_ROLE_TAIL) continue;
        if (!any && is_better_left(log, n)) continue;
        seal(store, n);
        return true;
    }
    return false;
}

/* Records of dead keyspaces are cheap to drop while their segment is mutable: they go first. */
static bool is_sweep_due(const fe_store *store)
{
    return store->compact.dead_ids != 0 || store->compact.sweep_sequence != 0;
}

bool fe_tiers_seal_up_to(fe_store *store, uint64_t sequence, unsigned max)
{
    const fe_log *log = &store->log;
    if (is_sweep_due(store) && fe_compact_sweep(store, FE_SEGMENT_MIN)) return true;
    uint32_t n = log->tiers[FE_TIER_MUTABLE].oldest;
    while (n != 0) {
        uint32_t next = log->files[n].newer;
        bool due = log->segments[n].sequence <= sequence && log->segments[n].role != FE_ROLE_TAIL;
        if (due && max-- == 0) return true;
        if (due) seal(store, n);
        n = next;
    }
    return false;
}

/* Seals what is over the budget, a few segments. */
static void seal_over(fe_store *store)
{
    fe_tiers *tiers = store->tiers;
    fe_log *log = &store->log;
    if (log->appended < tiers->seal_after || is_sweep_due(store)) return;
    for (unsigned i = 0; i < SEALS_MAX && log->bytes > tiers->mutable_max; i++) {
        if (seal_oldest(store, false)) continue;
        tiers->seal_after = log->appended + SEAL_PAUSE;
        return;
    }
}

/* Writers wait, and nothing is being flushed for them: what was better left goes too. */
static void seal_hard(fe_store *store, uint64_t bytes)
{
    fe_log *log = &store->log;
    if (!memory_is_over(store) || log->bytes <= store->tiers->mutable_max) return;
    if (log->tiers[FE_TIER_SEALED].segments != 0) return;
    if (fe_compact_slice(store, bytes) != 0) return;
    if (seal_oldest(store, true)) return;
    fe_log_close_tails(log);
    (void)seal_oldest(store, true);
}

fe_status fe_tier_admit(fe_store *store)
{
    fe_tiers *tiers = store->tiers;
    if (FE_UNLIKELY(store->log.bytes > tiers->mutable_max)) seal_over(store);
    fe_status status = pressure(store);
    if (FE_LIKELY(status == FE_OK)) return FE_OK;
    if (status != FE_BUSY) return status;
    bool over = memory_is_over(store);
    *(over ? &tiers->behind : &tiers->owing) = true;
    tiers->stats.busy++;
    tiers->stats.owed += !over;
    if (over) fe_tiers_ask_for_work(tiers);
    return FE_BUSY;
}

bool fe_store_is_full(fe_store *store)
{
    return store->tiers != NULL && pressure(store) == FE_NO_MEMORY;
}

void fe_store_note_refused(fe_store *store)
{
    if (store->tiers != NULL) store->tiers->stats.refused++;
}

void fe_tiers_moved(fe_store *store)
{
    if (store->log.bytes > store->tiers->mutable_max) seal_over(store);
}

/* Demotion ------------------------------------------------------------------------------------- */

static bool is_over_readonly(const fe_store *store, uint32_t n)
{
    const fe_log *log = &store->log;
    if (log->tiers[FE_TIER_MAPPED].bytes + excess_of(store) > store->tiers->readonly_max)
        return true;
    return log->segments[n].sequence <= store->tiers->drain;
}

/* The oldest mapped segment that has to leave memory and that nobody uses; 0: none. */
static uint32_t demote_find(const fe_store *store)
{
    const fe_log *log = &store->log;
    uint32_t n = log->tiers[FE_TIER_MAPPED].oldest;
    while (n != 0 && (log->files[n].pins != 0 || !is_over_readonly(store, n)))
        n = log->files[n].newer;
    return n;
}

/* What was read in it goes to the read cache; whether all of it is there. */
static bool carry(fe_store *store, uint32_t n, uint64_t bytes)
{
    fe_tiers *tiers = store->tiers;
    uint32_t generation = store->log.segments[n].generation;
    if (tiers->carry.segment != n || tiers->carry_generation != generation) {
        tiers->carry = (fe_cursor){n, 0};
        tiers->carry_generation = generation;
    }
    bool done;
    fe_cache_carry(store, n, &tiers->carry, bytes, &done);
    if (done) tiers->carry = (fe_cursor){0, 0};
    return done;
}

/* Only its file is left. The mapping is in use until the job that unmaps it is done. */
static void demote(fe_store *store, uint32_t n)
{
    fe_tiers *tiers = store->tiers;
    fe_log *log = &store->log;
    fe_segment *segment = &log->segments[n];
    uint64_t began = fe_tiers_change_begin(tiers);
    uint32_t last = (tiers->unmap_first + tiers->unmap_count++) % FE_TIER_UNMAPS;
    tiers->unmaps[last] = (fe_unmap_job){.ptr = segment->base,
                                         .size = fe_tiers_mapped_size(segment->used),
                                         .segment = n,
                                         .fd = log->files[n].fd};
    log->files[n].pins++;
    segment->base = NULL;
    fe_log_set_tier(log, n, FE_TIER_DISK);
    fe_log_drop_marks(log, n);
    tiers->stats.demoted++;
    fe_tiers_change_end(tiers, n, FE_TIER_DISK, began);
}

void fe_tiers_demote(fe_store *store, uint32_t n)
{
    fe_tiers *tiers = store->tiers;
    if (tiers->carry.segment == n) tiers->carry = (fe_cursor){0, 0};
    if (tiers->unmap_count == FE_TIER_UNMAPS) { /* rare: one of them is done here */
        fe_unmap_job job;
        (void)fe_tier_unmap_take(store, &job);
        fe_tier_unmap_run(tiers->device, &job);
        fe_tier_unmap_done(store, &job);
    }
    demote(store, n);
    fe_tiers_ask_for_work(tiers);
}

/* Whether more is to do; each call carries about `bytes` of one segment. */
static bool demote_over(fe_store *store, uint64_t bytes)
{
    for (unsigned i = 0; i < SEALS_MAX; i++) {
        uint32_t n = demote_find(store);
        if (n == 0) return false;
        if (store->tiers->unmap_count == FE_TIER_UNMAPS) return true;
        bool carried = carry(store, n, bytes);
        if (fe_tier_faulted(store)) return true; /* it may be this one */
        if (!carried) return true;
        demote(store, n);
    }
    return true;
}

/* Steps ---------------------------------------------------------------------------------------- */

bool fe_tier_step(fe_store *store, uint64_t bytes)
{
    if (store->tiers == NULL) return false;
    (void)fe_tier_faulted(store);
    budgets_update(store);
    if (is_sweep_due(store) && fe_compact_sweep(store, bytes)) return true;
    if (store->log.bytes > store->tiers->mutable_max) seal_over(store);
    seal_hard(store, bytes);
    bool more = demote_over(store, bytes);
    more |= fe_cache_step(store, bytes);
    fe_tiers_tell_room(store);
    bool wanted = store->tiers->behind || (store->frozen.strained && memory_is_over(store));
    return more || (wanted && store->log.tiers[FE_TIER_SEALED].segments == 0);
}

bool fe_tier_is_ordered(const fe_store *store)
{
    return store->tiers != NULL && store->tiers->drain != 0;
}

bool fe_tier_demote_all(fe_store *store, fe_tier to)
{
    FE_ASSERT(to == FE_TIER_SEALED || to == FE_TIER_MAPPED || to == FE_TIER_DISK);
    fe_log *log = &store->log;
    if (is_sweep_due(store) && fe_compact_sweep(store, FE_SEGMENT_MIN)) return true;
    fe_log_close_tails(log);
    for (unsigned i = 0; i < SEALS_MAX; i++)
        if (!seal_oldest(store, true)) break;
    if (to == FE_TIER_DISK) {
        store->tiers->drain = log->sequence;
        (void)demote_over(store, FE_SEGMENT_MIN);
    }
    bool more = log->segment_count != 0;
    more |= to != FE_TIER_SEALED && log->tiers[FE_TIER_SEALED].segments != 0;
    more |= to == FE_TIER_DISK && log->tiers[FE_TIER_MAPPED].segments != 0;
    if (more) fe_tiers_ask_for_work(store->tiers);
    return more;
}

/* Life ----------------------------------------------------------------------------------------- */

bool fe_tiers_open(fe_store *store)
{
    fe_tiers *tiers = fe_alloc_take_zeroed(store->alloc, FE_ALLOC_ENGINE, sizeof(*tiers));
    if (tiers == NULL) return false;
    tiers->device = store->options.device;
    tiers->guard = fe_device_guard(tiers->device);
    tiers->faults = fe_guard_faults(tiers->guard);
    store->tiers = tiers;
    fe_log_set_tiered(&store->log);
    fe_fetch_set_block(store, fe_device_block_size(tiers->device));
    budgets_update(store);
    return true;
}

void fe_tiers_run_jobs(fe_store *store)
{
    fe_device *device = store->tiers->device;
    fe_unmap_job unmap;
    while (fe_tier_unmap_take(store, &unmap)) {
        fe_tier_unmap_run(device, &unmap);
        fe_tier_unmap_done(store, &unmap);
    }
    fe_dead_job dead;
    do {
        while (fe_tier_dead_take(store, &dead)) {
            fe_tier_dead_run(device, &dead);
            fe_tier_dead_done(store, &dead);
        }
    } while (store->log.dead_head != 0);
}

void fe_tiers_close(fe_store *store)
{
    fe_log *log = &store->log;
    store->tiers->on_work = store->tiers->on_room = NULL;
    store->tiers->on_change = NULL;
    if (store->tiers->keep_files) fe_save_leave_files(store);
    fe_tiers_run_jobs(store);
    for (uint32_t n = 1; n <= log->high; n++) {
        uint8_t tier = log->segments[n].tier;
        if (tier == FE_TIER_MAPPED || tier == FE_TIER_DISK) fe_log_drop(log, n);
    }
    fe_tiers_run_jobs(store);
    FE_ASSERT(store->tiers->file_count == 0 && store->tiers->file_bytes == 0);
    if (!store->tiers->keep_files) fe_reserve_drop(store->tiers->device);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, store->tiers);
    store->tiers = NULL;
}

bool fe_store_is_tiered(const fe_store *store)
{
    return store->tiers != NULL;
}

uint64_t fe_store_epoch(const fe_store *store)
{
    if (store->tiers == NULL) return 0;
    const fe_tier_stats *stats = &store->tiers->stats;
    return stats->sealed + stats->flushed + stats->demoted + stats->removed;
}

/* A budget as it is told: 0 is no limit. */
static uint64_t told(uint64_t budget)
{
    return budget < UNBOUNDED / 5 * 4 ? budget : 0;
}

void fe_tier_stats_get(const fe_store *store, fe_tier_stats *stats)
{
    const fe_tiers *tiers = store->tiers;
    if (tiers == NULL) {
        *stats = (fe_tier_stats){0};
        return;
    }
    *stats = tiers->stats;
    memcpy(stats->tiers, store->log.tiers, sizeof(stats->tiers));
    stats->tiers[FE_TIER_MUTABLE].bytes = store->log.bytes;
    stats->tiers[FE_TIER_MUTABLE].live = store->log.live;
    stats->file_count = tiers->file_count;
    stats->file_bytes = tiers->file_bytes;
    stats->mutable_max = told(tiers->mutable_max);
    stats->readonly_max = told(tiers->readonly_max);
    stats->cache_max = told(tiers->cache_max);
    stats->disk_max = store->options.disk_max;
    stats->resident = tiers->resident;
    fe_tiers_room_stats(store, stats);
    stats->index_over = tiers->index_over;
    stats->behind = tiers->behind;
    stats->owing = tiers->owing;
}

static const char *segment_check(const fe_log *log, uint32_t n)
{
    const fe_segment *segment = &log->segments[n];
    const fe_segment_file *file = &log->files[n];
    bool has_file = segment->tier == FE_TIER_MAPPED || segment->tier == FE_TIER_DISK;
    if (has_file != (file->fd >= 0)) return "tier: a file where there should be none, or none";
    if (has_file && file->size < segment->used) return "tier: a file shorter than its segment";
    if ((segment->base == NULL) != (segment->tier == FE_TIER_DISK))
        return "tier: memory of a segment on disk, or none of another";
    if (segment->tier == FE_TIER_SEALED || segment->tier == FE_TIER_MAPPED) {
        uint64_t offset = 0;
        while (offset < segment->used) {
            const fe_record *record = (const fe_record *)(segment->base + offset);
            size_t size = fe_record_size(record);
            if (size == 0 || size > segment->used - offset) return "tier: a walk leaves a segment";
            offset += size;
        }
    }
    return NULL;
}

const char *fe_tiers_check(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    const fe_log *log = &store->log;
    uint64_t bytes = 0, count = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        if (log->files[n].fd >= 0) {
            bytes += log->files[n].size;
            count++;
        }
        if (log->segments[n].tier == FE_TIER_FREE) continue;
        const char *wrong = segment_check(log, n);
        if (wrong != NULL) return wrong;
    }
    if (bytes != tiers->file_bytes || count != tiers->file_count)
        return "tier: wrong sums of files";
    return NULL;
}
