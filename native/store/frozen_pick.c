/* Which frozen segment deserves a job now. See store/frozen.h for the purposes.
 *
 *   1. RECOUNT, EXPIRE: a pass over all segments in the order of their numbers, some hundred per call.
 *      While the disk is over its target, every second job at most.
 *   2. REFILL, while the disk is not over its target.
 *   3. COMPACT: from the class lists, nothing is searched.
 *   4. EVICT: from the oldest end of the lists of tiers; for volatile-* a round over them.
 *
 * The target is disk_max less a reserve, so that the next flushes find room; the same of what the disk itself had
 * room for when it was full, and of the number of files that may be open, of which some are kept free. Compaction is paid for by
 * what clients append, at a rate that rises with the share of garbage, and by a base rate; it pauses
 * while the flush is behind. When the disk is full or over its target, or garbage is near its most (frozen_debt.c), it
 * owes nothing, and pauses only while memory is crowded: else a load that keeps the flush busy would keep it from its turn for ever.
 *
 * volatile-ttl: the histograms of all segments are added up by powers of two of the time that is left;
 * the cut is the first power below which enough would expire; a round evicts up to the cut.
 *
 * Threads: the engine's lock is held.
 */
#include "store/frozen_job.h"
#include "store/tier.h"

#define LOOK_MAX 512u     /* segments looked at in one call */
#define LOOK_PAUSE_MS 100 /* between two passes */
#define EXPIRE_SHARE 32u  /* of the segment, that has expired, is worth a walk */
#define OVERDUE_MS 10000
#define LOOK_CREDIT_PER_MS ((uint64_t)8 << 10) /* 8 MiB of footers a second for stragglers */
#define LOOK_CREDIT_MAX ((uint64_t)64 << 20)
#define MOVE_CREDIT_PER_MS ((int64_t)16 << 10)
#define MOVE_CREDIT_MAX ((int64_t)64 << 20)
#define CREDIT_MS_MAX 1000
#define GARBAGE_PERCENT 25u       /* of what can be compacted */
#define GARBAGE_PERCENT_EVICT 15u /* ... over the target, when keys can be evicted instead */
#define GARBAGE_PERCENT_STRICT 4u /* ... and when they cannot */
#define GARBAGE_MIN (2 * FE_SEGMENT_MIN)
#define RATE_BASE 2u   /* bytes to move per byte appended, at the allowed share */
#define RATE_SLOPE 24u /* ... more, when all is garbage */
#define CLASS_MAX 56u  /* of 64: an eighth is garbage */
#define CLASS_MAX_STRICT 62u
#define CLASS_MAX_THOROUGH (FE_LOG_CLASSES - 2) /* all but what is alive as a whole */
#define BEHIND_SHARE 8u                         /* of the mutable budget */
#define BEHIND_SEGMENTS 2u
#define CRAMMED_SEGMENTS 8u
#define RESERVE_SHARE 16u /* of disk_max */
#define RESERVE_SEGMENTS 4u
#define RESERVE_FILES 4u
#define RESERVE_SHARE_MAX 4u

/* The disk ------------------------------------------------------------------------------------- */

/* How much of `max` may be taken; `least` is to be free of it, at least. */
static uint64_t target(uint64_t max, uint64_t least)
{
    uint64_t reserve = max / RESERVE_SHARE;
    if (reserve < least) reserve = least;
    if (reserve > max / RESERVE_SHARE_MAX) reserve = max / RESERVE_SHARE_MAX;
    return max - reserve;
}

static uint64_t bytes_over(const fe_store *store)
{
    const fe_frozen_disk *disk = &store->frozen.disk;
    if (disk->max == 0) return 0;
    uint64_t goal = target(disk->max, RESERVE_SEGMENTS * store->log.segment_max);
    if (disk->wanted <= disk->max && goal > disk->max - disk->wanted)
        goal = disk->max - disk->wanted;
    return disk->bytes > goal ? disk->bytes - goal : 0;
}

static uint64_t files_over(const fe_store *store)
{
    const fe_frozen_disk *disk = &store->frozen.disk;
    if (disk->files_max == 0) return 0;
    uint64_t goal = target(disk->files_max, RESERVE_FILES);
    if (goal == disk->files_max) goal--; /* of a few, a quarter is nothing */
    return disk->files > goal ? disk->files - goal : 0;
}

uint64_t fe_frozen_over(const fe_store *store)
{
    const fe_frozen_disk *disk = &store->frozen.disk;
    uint64_t bytes = bytes_over(store), files = files_over(store);
    if (files == 0) return bytes;
    uint64_t of_files = (disk->bytes / disk->files + 1) * files;
    return of_files > bytes ? of_files : bytes;
}

/* Room on disk is. */
static bool is_scarce(const fe_store *store)
{
    return store->frozen.disk.full || fe_frozen_over(store) != 0;
}

bool fe_frozen_is_urgent(const fe_store *store)
{
    return store->frozen.strained || is_scarce(store);
}

/* Whether there may be something on disk that the policy takes. */
static bool has_keys(const fe_store *store)
{
    if (store->options.policy == FE_POLICY_NOEVICTION) return false;
    const fe_log *log = &store->log;
    uint64_t segments = log->tiers[FE_TIER_MAPPED].segments + log->tiers[FE_TIER_DISK].segments;
    if (!fe_frozen_is_volatile(store)) return segments != 0;
    for (uint32_t i = 0; i < store->options.databases; i++)
        if (store->keyspaces[i].expires != 0) return segments != 0;
    return false;
}

bool fe_frozen_can_evict(const fe_store *store)
{
    const fe_frozen *frozen = &store->frozen;
    bool helps =
        !frozen->disk.full || frozen->disk.max == 0 || frozen->disk.wanted <= frozen->disk.max;
    bool finds = !fe_frozen_is_volatile(store) || !frozen->evict_barren;
    return helps && finds && has_keys(store);
}

/* Memory that waits to be flushed, beyond which nothing is added to it by moving. */
static bool is_behind(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    uint64_t sealed = store->log.tiers[FE_TIER_SEALED].bytes;
    if (tiers->behind || tiers->state == FE_DISK_FAILED) return true;
    return sealed > tiers->mutable_max / BEHIND_SHARE &&
           sealed > BEHIND_SEGMENTS * store->log.segment_max;
}

/* While nothing can be flushed, moving may add a little to what is in memory: each file that goes
 * makes room for more than was moved out of it. */
static bool is_crammed(const fe_store *store)
{
    uint64_t held = store->log.bytes + store->log.tiers[FE_TIER_SEALED].bytes;
    return held > store->tiers->mutable_max * 2 + CRAMMED_SEGMENTS * store->log.segment_max;
}

static bool may_not_move(const fe_store *store)
{
    if (store->frozen.disk.full) return is_crammed(store);
    if (store->tiers->state == FE_DISK_FAILED || !fe_frozen_is_urgent(store))
        return is_behind(store);
    return fe_tier_is_crowded(store);
}

void fe_frozen_look(fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    if (tiers == NULL) return;
    bool full = tiers->state == FE_DISK_FULL;
    store->frozen.disk = (fe_frozen_disk){.bytes = tiers->file_bytes,
                                          .max = fe_tiers_bytes_max(store),
                                          .files = tiers->file_count,
                                          .files_max = store->options.files_max,
                                          .wanted = full ? tiers->wanted : 0,
                                          .full = full};
    store->frozen.tight = fe_frozen_over(store) != 0;
    store->frozen.disk.behind = may_not_move(store);
}

/* Garbage -------------------------------------------------------------------------------------- */

static unsigned allowed_percent(const fe_store *store)
{
    if (!is_scarce(store)) return GARBAGE_PERCENT;
    return fe_frozen_can_evict(store) ? GARBAGE_PERCENT_EVICT : GARBAGE_PERCENT_STRICT;
}

uint64_t fe_frozen_garbage_allowed(const fe_store *store)
{
    uint64_t allowed = store->log.frozen.used / 100 * allowed_percent(store);
    return allowed < GARBAGE_MIN && !is_scarce(store) ? GARBAGE_MIN : allowed;
}

/* Credits -------------------------------------------------------------------------------------- */

static void credit_for_writes(fe_store *store)
{
    fe_frozen *frozen = &store->frozen;
    uint64_t written = store->log.appended - frozen->appended;
    uint64_t allowed = fe_frozen_garbage_allowed(store), dead = fe_frozen_garbage(store),
             used = store->log.frozen.used;
    frozen->appended = store->log.appended;
    if (dead <= allowed || used == 0) return;
    uint64_t rate = RATE_BASE * 256 + RATE_SLOPE * 256 * (dead - allowed) / used;
    if (written > (uint64_t)MOVE_CREDIT_MAX) written = (uint64_t)MOVE_CREDIT_MAX;
    frozen->move_credit += (int64_t)(written * rate / 256);
}

void fe_frozen_credits(fe_store *store)
{
    fe_frozen *frozen = &store->frozen;
    fe_frozen_strain(store);
    fe_frozen_look(store);
    int64_t elapsed = store->steady_ms - frozen->credit_ms;
    if (elapsed > CREDIT_MS_MAX) elapsed = CREDIT_MS_MAX;
    credit_for_writes(store);
    if (elapsed > 0) {
        frozen->credit_ms = store->steady_ms;
        frozen->look_credit += (uint64_t)elapsed * LOOK_CREDIT_PER_MS;
        frozen->move_credit += elapsed * MOVE_CREDIT_PER_MS;
    }
    if (frozen->look_credit > LOOK_CREDIT_MAX) frozen->look_credit = LOOK_CREDIT_MAX;
    if (frozen->move_credit > MOVE_CREDIT_MAX) frozen->move_credit = MOVE_CREDIT_MAX;
}

bool fe_frozen_may_move(const fe_store *store)
{
    const fe_frozen *frozen = &store->frozen;
    if (frozen->disk.behind) return false;
    if (frozen->thorough) return true;
    return frozen->move_credit > 0 || fe_frozen_is_urgent(store);
}

/* Looking -------------------------------------------------------------------------------------- */

/* Whether a job could begin there. */
static bool is_free(const fe_store *store, uint32_t n)
{
    const fe_segment_file *file = &store->log.files[n];
    return fe_frozen_has_file(&store->log.segments[n]) && !file->busy && !file->doomed &&
           file->rest_ms <= store->steady_ms;
}

static bool worth_expiring(fe_store *store, uint32_t n)
{
    const fe_segment *segment = &store->log.segments[n];
    const fe_deadlines *deadlines = &store->log.deadlines[n];
    if (deadlines->total == 0 || store->frozen.paused) return false;
    uint64_t expired = fe_deadlines_expired(deadlines, store->now_ms);
    if (expired == 0) return false;
    if (expired * EXPIRE_SHARE >= segment->used || expired >= segment->live) return true;
    if (fe_deadlines_overdue(deadlines, store->now_ms) < OVERDUE_MS) return false;
    uint64_t size = store->log.files[n].size,
             cost = size > segment->used ? size - segment->used : size;
    if (store->frozen.look_credit < cost) return false;
    store->frozen.look_credit -= cost;
    return true;
}

/* Goes on with the pass for RECOUNT and EXPIRE. */
static bool look(fe_store *store, fe_frozen_choice *choice)
{
    fe_frozen *frozen = &store->frozen;
    if (frozen->look == 0 && store->steady_ms < frozen->look_ms) return false;
    for (unsigned i = 0; i < LOOK_MAX; i++) {
        if (frozen->look >= store->log.high) {
            frozen->look = 0;
            frozen->look_ms = store->steady_ms + LOOK_PAUSE_MS;
            return false;
        }
        uint32_t n = ++frozen->look;
        if (!is_free(store, n)) continue;
        bool recount = store->log.files[n].miscounted;
        if (!recount && !worth_expiring(store, n)) continue;
        *choice = (fe_frozen_choice){recount ? FE_FROZEN_RECOUNT : FE_FROZEN_EXPIRE, n};
        return true;
    }
    return false;
}

/* Short tags ----------------------------------------------------------------------------------- */

static uint64_t shorts_now(const fe_store *store)
{
    uint64_t shorts = 0;
    for (uint32_t i = 0; i < store->options.databases; i++)
        shorts += store->keyspaces[i].index.shorts;
    return shorts;
}

/* A pass begins while there are tags that the last one has not failed to refill. */
static bool refill_next(fe_store *store, fe_frozen_choice *choice)
{
    fe_frozen *frozen = &store->frozen;
    uint64_t shorts = shorts_now(store);
    if (shorts == 0 || (frozen->refill == 0 && shorts == frozen->refill_left)) {
        frozen->refill = 0;
        return false;
    }
    for (unsigned i = 0; i < LOOK_MAX; i++) {
        if (frozen->refill >= store->log.high) {
            frozen->refill = 0;
            frozen->refill_left = shorts;
            return false;
        }
        uint32_t n = ++frozen->refill;
        if (store->log.segments[n].tier != FE_TIER_DISK || !is_free(store, n)) continue;
        *choice = (fe_frozen_choice){FE_FROZEN_REFILL, n};
        return true;
    }
    return false;
}

/* Compaction ----------------------------------------------------------------------------------- */

static bool compact_next(fe_store *store, fe_frozen_choice *choice)
{
    uint64_t dead = fe_frozen_garbage(store);
    bool thorough = store->frozen.thorough;
    if (dead == 0 || (!thorough && dead <= fe_frozen_garbage_allowed(store))) return false;
    if (!fe_frozen_may_move(store)) return false;
    bool strict = allowed_percent(store) == GARBAGE_PERCENT_STRICT;
    unsigned class_max = thorough ? CLASS_MAX_THOROUGH : strict ? CLASS_MAX_STRICT : CLASS_MAX;
    uint32_t n = fe_log_frozen_victim(&store->log, class_max, store->steady_ms);
    *choice = (fe_frozen_choice){FE_FROZEN_COMPACT, n};
    store->frozen.stuck = n == 0;
    return n != 0;
}

static bool is_recount_due(const fe_log *log)
{
    for (uint32_t n = 1; n <= log->high; n++)
        if (fe_frozen_has_file(&log->segments[n]) && log->files[n].miscounted &&
            log->files[n].rest_ms != INT64_MAX)
            return true;
    return false;
}

bool fe_frozen_compact_all(fe_store *store)
{
    const fe_log *log = &store->log;
    int64_t soon =
        store->steady_ms + FE_FROZEN_REST_MS; /* what rests because blind writes wait for it */
    bool more = store->frozen.busy || log->dead_head != 0 || is_recount_due(log) ||
                fe_log_frozen_victim(log, CLASS_MAX_THOROUGH, soon) != 0;
    store->frozen.thorough = more;
    return more;
}

/* The next segment after `n` that the order is about, and that still has to be worked on; 0: none. */
static uint32_t given_up_next(const fe_store *store, uint32_t n)
{
    const fe_log *log = &store->log;
    if (log->damaged == 0) return 0;
    for (n++; n <= log->high; n++)
        if (fe_frozen_has_file(&log->segments[n]) && log->files[n].given_up &&
            !log->files[n].doomed)
            return n;
    return 0;
}

static bool forget_next(const fe_store *store, fe_frozen_choice *choice)
{
    if (!store->frozen.forget || !fe_frozen_may_move(store)) return false;
    uint32_t n = given_up_next(store, 0);
    while (n != 0 && !is_free(store, n))
        n = given_up_next(store, n);
    *choice = (fe_frozen_choice){FE_FROZEN_COMPACT, n};
    return n != 0;
}

static void forget_begin(fe_store *store)
{
    fe_log *log = &store->log;
    for (uint32_t n = 1; log->damaged != 0 && n <= log->high; n++) {
        fe_segment_file *file = &log->files[n];
        file->given_up = file->damaged;
        if (!file->damaged) continue;
        file->rest_ms = 0;
        fe_log_set_hopeless(log, n, false);
    }
    store->frozen.forget = true;
}

/* Whether a damaged file has nothing alive in it any more, and is about to go. */
static bool is_leaving(const fe_log *log)
{
    for (uint32_t n = 1; log->damaged != 0 && n <= log->high; n++)
        if (log->files[n].damaged && log->files[n].doomed) return true;
    return false;
}

bool fe_frozen_forget_damaged(fe_store *store)
{
    const fe_log *log = &store->log;
    if (!store->frozen.forget) forget_begin(store);
    bool more = store->frozen.busy || log->dead_head != 0 || given_up_next(store, 0) != 0 ||
                is_leaving(log);
    if (!more) store->frozen.forget = false;
    return more;
}

void fe_frozen_orders_end(fe_store *store)
{
    fe_log *log = &store->log;
    store->frozen.thorough = false;
    if (!store->frozen.forget) return;
    store->frozen.forget = false;
    for (uint32_t n = 1; n <= log->high; n++)
        log->files[n].given_up = false;
}

/* Eviction ------------------------------------------------------------------------------------- */

static uint32_t oldest_free(const fe_store *store, fe_tier tier)
{
    const fe_log *log = &store->log;
    uint32_t n = log->tiers[tier].oldest;
    for (unsigned i = 0; n != 0 && i < LOOK_MAX && !is_free(store, n); i++)
        n = log->files[n].newer;
    return n != 0 && is_free(store, n) ? n : 0;
}

/* Adds up histograms; whether the cut is made. */
static bool cut_make(fe_store *store)
{
    fe_frozen_cut *cut = &store->frozen.cut;
    if (cut->ready) return true;
    if (cut->next == 0) memset(cut->units, 0, sizeof(cut->units));
    for (unsigned i = 0; i < LOOK_MAX && cut->next < store->log.high; i++) {
        uint32_t n = ++cut->next;
        if (!is_free(store, n) || store->log.deadlines[n].total == 0) continue;
        uint64_t before = 0;
        for (unsigned k = 0; k < 62; k++) {
            uint64_t units = fe_deadlines_expired(&store->log.deadlines[n],
                                                  store->now_ms + (int64_t)(1ull << k)) >>
                             3;
            cut->units[k] += units - before;
            before = units;
        }
    }
    if (cut->next < store->log.high) return false;
    uint64_t wanted = fe_frozen_over(store), found = 0;
    unsigned k = 0;
    while (k < 61 && (found += cut->units[k] * 8) < wanted)
        k++;
    cut->cut = store->now_ms + (int64_t)(1ull << k);
    cut->next = 0;
    cut->ready = true;
    return true;
}

static bool has_prey(const fe_store *store, uint32_t n)
{
    const fe_deadlines *deadlines = &store->log.deadlines[n];
    if (!is_free(store, n) || deadlines->total == 0) return false;
    if (store->options.policy != FE_POLICY_VOLATILE_TTL || store->frozen.evict_hard) return true;
    return fe_deadlines_expired(deadlines, store->frozen.cut.cut) != 0;
}

/* The segment behind the one where the search stands, from the oldest on disk to the newest mapped. */
static uint32_t round_next(const fe_store *store)
{
    const fe_log *log = &store->log;
    const fe_frozen *frozen = &store->frozen;
    uint32_t n = frozen->evict;
    bool stands = n != 0 && fe_frozen_has_file(&log->segments[n]) &&
                  log->segments[n].generation == frozen->evict_generation;
    if (!stands) n = log->tiers[FE_TIER_DISK].oldest;
    if (!stands && n != 0) return n;
    if (!stands || (log->segments[n].tier == FE_TIER_DISK && log->files[n].newer == 0))
        return log->tiers[FE_TIER_MAPPED].oldest;
    return log->files[n].newer;
}

/* The search begins anew; when it found nothing, without regard for what was read, or of any deadline. */
static void round_restart(fe_store *store)
{
    fe_frozen *frozen = &store->frozen;
    bool found = frozen->stats.evicted_keys != frozen->evict_found;
    frozen->evict_barren = frozen->evict_hard && !found;
    frozen->evict_hard = !found;
    frozen->evict_found = frozen->stats.evicted_keys;
    frozen->evict = 0;
    frozen->cut.ready = false;
}

static uint32_t volatile_next(fe_store *store)
{
    fe_frozen *frozen = &store->frozen;
    if (store->options.policy == FE_POLICY_VOLATILE_TTL && !cut_make(store)) return 0;
    for (unsigned i = 0; i < LOOK_MAX; i++) {
        uint32_t n = round_next(store);
        if (n == 0) {
            round_restart(store);
            return 0;
        }
        frozen->evict = n;
        frozen->evict_generation = store->log.segments[n].generation;
        if (has_prey(store, n)) return n;
    }
    return 0;
}

/* Bytes of files that are about to go. */
static uint64_t leaving(const fe_store *store)
{
    uint64_t bytes = 0;
    uint32_t n = store->log.dead_head;
    for (unsigned i = 0; n != 0 && i < LOOK_MAX; i++, n = store->log.segments[n].next)
        bytes += store->log.files[n].size;
    return bytes;
}

/* Compaction makes that much room, as soon as memory lets it: what volatile-* evicted is garbage until then. */
static bool is_garbage_enough(const fe_store *store, uint64_t over)
{
    const fe_frozen *frozen = &store->frozen;
    uint64_t dead = fe_frozen_garbage(store);
    if (frozen->stuck || (frozen->disk.full && frozen->disk.behind)) return false;
    return dead > over && dead > fe_frozen_garbage_allowed(store);
}

static bool evict_next(fe_store *store, fe_frozen_choice *choice)
{
    uint64_t over = fe_frozen_over(store), gone = leaving(store);
    if (over <= gone || !has_keys(store)) return false;
    if (is_garbage_enough(store, over - gone)) return false;
    uint32_t n = 0;
    if (fe_frozen_is_volatile(store)) {
        n = volatile_next(store);
    } else {
        store->frozen.evict_hard = false;
        n = oldest_free(store, FE_TIER_DISK);
        if (n == 0) n = oldest_free(store, FE_TIER_MAPPED);
    }
    *choice = (fe_frozen_choice){FE_FROZEN_EVICT, n};
    return n != 0;
}

bool fe_frozen_pick(fe_store *store, fe_frozen_choice *choice)
{
    fe_frozen *frozen = &store->frozen;
    fe_frozen_credits(store);
    bool urgent = fe_frozen_is_urgent(store), skip = urgent && frozen->last_was_look;
    frozen->last_was_look = !skip && look(store, choice);
    if (frozen->last_was_look) return true;
    if (!urgent && refill_next(store, choice)) return true;
    return forget_next(store, choice) || compact_next(store, choice) || evict_next(store, choice);
}
