/* Jobs over frozen segments: their life, and the steps that decide what becomes of a footer's entries
 * and move records. The contract is in the header.
 *
 *     TRAILER -> FOOTER -> DECIDE -> (RECORDS -> MOVE)* -> FOOTER ... -> the end of the footer
 *
 * Invariants
 * 1. An entry stands for a live record exactly if its keyspace's index has a slot that names its
 *    address, or a copy in the read cache whose home that is. (An id that was given out again finds
 *    nothing: no slot of its index ever named the address.)
 * 2. A record that a blind write waits for (fe_fetch_settles) is neither moved nor removed.
 * 3. What was counted as alive and dies before the walk ends is taken off by the log
 *    (frozen.walk_died); so after a whole walk the count is exact, and what the segment was thought to
 *    have alive beyond it are records of dead keyspaces.
 *
 * Threads: the engine's lock is held.
 */
#include "store/cache.h"
#include "store/frozen_job.h"
#include "store/tier.h"

#include <errno.h>

#define BATCH 16u
#define STEP_ENTRIES 512u
#define STEP_BYTES ((uint64_t)64 << 10)
#define MOVE_COST 256u /* bytes of work that a moved record counts for, beside its own */
#define REST_ERROR_MS 30000
#define WAIT_MAX_MS 2000

/* Life ----------------------------------------------------------------------------------------- */

void fe_frozen_tell(fe_store *store, const fe_frozen_disk *disk)
{
    store->frozen.disk = *disk;
}

void fe_frozen_pause_expiry(fe_store *store, bool paused)
{
    store->frozen.paused = paused;
}

static void job_start(fe_store *store, fe_frozen_job *job, const fe_frozen_choice *choice)
{
    fe_frozen *frozen = &store->frozen;
    const fe_segment *segment = &store->log.segments[choice->segment];
    const fe_segment_file *file = &store->log.files[choice->segment];
    bool by_cut = store->options.policy == FE_POLICY_VOLATILE_TTL;
    *job = (fe_frozen_job){.alloc = store->alloc,
                           .purpose = choice->purpose,
                           .stage = FE_FROZEN_TRAILER,
                           .segment = choice->segment,
                           .generation = segment->generation,
                           .sequence = segment->sequence,
                           .miscounted = file->miscounted,
                           .fd = file->fd,
                           .file_size = file->size,
                           .seed = store->options.seed,
                           .hard = frozen->evict_hard,
                           .forget = frozen->forget && file->given_up &&
                                     choice->purpose == FE_FROZEN_COMPACT,
                           .cut = by_cut && !frozen->evict_hard ? frozen->cut.cut : INT64_MAX,
                           .items = job->items,
                           .footer = job->footer,
                           .records = job->records,
                           .records_bytes = job->records_bytes};
}

bool fe_frozen_begin(fe_store *store, fe_frozen_job *job)
{
    FE_ASSERT(!store->frozen.busy);
    fe_frozen_choice choice;
    if (!store->log.tiered) return false;
    bool picked = fe_frozen_pick(store, &choice);
    if (store->tiers != NULL) fe_tiers_tell_room(store);
    if (!picked) return false;
    job_start(store, job, &choice);
    fe_segment_file *file = &store->log.files[choice.segment];
    file->busy = true;
    file->miscounted = false;
    file->pins++;
    fe_log_walk_begin(&store->log, choice.segment);
    store->frozen.busy = true;
    store->frozen.stats.jobs[choice.purpose]++;
    return true;
}

/* The walk has seen all: what was not found is no more. */
static void walk_finish(fe_store *store, fe_frozen_job *job)
{
    fe_deadlines *deadlines = &store->log.deadlines[job->segment];
    memset(deadlines, 0, sizeof(*deadlines));
    fe_deadlines_assign(deadlines, &job->measure, store->now_ms);
    store->frozen.stats.swept_bytes +=
        fe_log_walk_end(&store->log, job->counted, job->counted_records);
}

/* It came to the end of the footer. */
static bool is_through(const fe_frozen_job *job)
{
    return job->error == 0 && job->stage == FE_FROZEN_DECIDE && job->next == job->count &&
           job->moves == 0 && job->block == fe_image_footer_blocks(&job->head);
}

static bool is_whole(const fe_frozen_job *job)
{
    return is_through(job) && job->damaged_blocks == 0;
}

/* What is left of the segment is damaged, and will not get better. */
static bool is_all_damage(const fe_frozen_job *job)
{
    if (job->stage == FE_FROZEN_TRAILER) return job->damaged_blocks != 0;
    if (job->unreadable != 0) return false; /* a disk may recover */
    return is_through(job) && job->left == 0 && job->damaged_blocks + job->damaged_records != 0;
}

/* When the segment may be looked at again, if it could not be finished. */
static void rest(fe_store *store, const fe_frozen_job *job)
{
    fe_segment_file *file = &store->log.files[job->segment];
    if (is_all_damage(job))
        file->rest_ms = INT64_MAX;
    else if (job->error != 0)
        file->rest_ms =
            store->steady_ms + (job->error == ENOMEM ? FE_FROZEN_REST_MS : REST_ERROR_MS);
    else if (job->unreadable != 0)
        file->rest_ms = store->steady_ms + REST_ERROR_MS;
    else if (job->left != 0)
        file->rest_ms = store->steady_ms + FE_FROZEN_REST_MS;
    if (file->given_up && file->rest_ms > store->steady_ms + FE_FROZEN_REST_MS)
        file->rest_ms = store->steady_ms + FE_FROZEN_REST_MS; /* the order is still to be obeyed */
}

/* By order a segment has one whole pass, or one that an error has ended. */
static void order_done(fe_store *store, const fe_frozen_job *job)
{
    bool done = job->error != 0 || (is_through(job) && job->left == 0);
    if (job->forget && done) store->log.files[job->segment].given_up = false;
}

static void fault_tell(fe_store *store, const fe_frozen_fault *fault)
{
    int code = fault->code != 0 ? fault->code : EBADMSG;
    fe_fetch_note_fault(store, fault->segment, fault->offset, code, fault->cause);
    store->frozen.stats.fault = *fault;
    store->frozen.stats.fault.at_ms = store->now_ms;
}

static void stats_add(fe_store *store, const fe_frozen_job *job)
{
    fe_frozen_stats *stats = &store->frozen.stats;
    stats->read_bytes += job->read_bytes;
    stats->damaged_blocks += job->damaged_blocks;
    if (job->damaged_blocks != 0) fe_log_mark_damaged(&store->log, job->segment);
    if (job->error == ENOMEM) return;
    stats->read_errors += job->error != 0 && job->damaged_blocks == 0;
    if (job->fault.cause != NULL) fault_tell(store, &job->fault);
}

void fe_frozen_end(fe_store *store, fe_frozen_job *job)
{
    fe_log *log = &store->log;
    fe_segment_file *file = &log->files[job->segment];
    FE_ASSERT(store->frozen.busy && file->busy);
    bool whole = is_whole(job);
    if (whole && !file->doomed)
        walk_finish(store, job);
    else if (job->miscounted)
        file->miscounted = true;
    log->frozen.walk_segment = 0;
    stats_add(store, job);
    order_done(store, job);
    rest(store, job);
    fe_log_set_hopeless(log, job->segment, file->rest_ms == INT64_MAX);
    file->busy = false;
    store->frozen.busy = false;
    fe_log_unpin(log, job->segment);
    if (store->tiers == NULL) return;
    if (log->dead_head != 0) fe_tiers_ask_for_work(store->tiers);
    fe_tiers_tell_room(store);
}

void fe_frozen_stats_get(const fe_store *store, fe_frozen_stats *stats)
{
    *stats = store->frozen.stats;
    stats->used = store->log.frozen.used;
    stats->live = store->log.frozen.live;
    stats->appended_bytes = store->log.appended;
}

/* Entries -------------------------------------------------------------------------------------- */

/* A live record of the segment, and how it is found. */
typedef struct found {
    fe_keyspace *keyspace;
    uint64_t *slot;
    fe_address home;
    size_t size;
    const fe_footer_entry *entry;
} found;

/* Whether the entry's record is alive. */
static bool find(const fe_store *store, const fe_frozen_job *job, const fe_footer_entry *entry,
                 found *f)
{
    *f = (found){
        .keyspace = store->by_id[entry->keyspace],
        .home = fe_address_make(job->segment, (uint64_t)entry->offset * 8, store->log.offset_bits),
        .size = (size_t)entry->size * 8,
        .entry = entry};
    if (f->keyspace == NULL) return false;
    f->slot = fe_index_find_home(&f->keyspace->index, entry->hash, f->home);
    return f->slot != NULL;
}

static bool is_copied(const found *f)
{
    return fe_slot_address(*f->slot) != f->home;
}

/* Whether the copy has the value too. */
static bool is_copied_whole(const fe_store *store, const found *f)
{
    return is_copied(f) && !fe_record_is_head(fe_log_at(&store->log, fe_slot_address(*f->slot)));
}

static bool is_hot(const fe_store *store, const found *f)
{
    return is_copied(f) || fe_log_touched(&store->log, f->home) != 0;
}

static void refill(fe_store *store, const found *f)
{
    if (!(*f->slot & FE_SLOT_SHORT)) return;
    fe_index_refill(&f->keyspace->index, f->entry->hash, f->slot);
    store->frozen.stats.refilled++;
}

static void expire(fe_store *store, const found *f)
{
    fe_frozen_stats *stats = &store->frozen.stats;
    fe_store_remove_known(store, f->keyspace, f->entry->hash, f->slot, f->entry->deadline, f->size,
                          FE_MISS_EXPIRED);
    store->stats.expired_keys++;
    store->stats.expired_steps++;
    stats->expired_keys++;
    stats->expired_bytes += f->size;
}

static void evict(fe_store *store, const found *f)
{
    fe_frozen_stats *stats = &store->frozen.stats;
    fe_store_remove_known(store, f->keyspace, f->entry->hash, f->slot, f->entry->deadline, f->size,
                          FE_MISS_EVICTED);
    store->stats.evicted_keys++;
    store->frozen.evict_barren = false;
    stats->evicted_keys++;
    stats->evicted_bytes += f->size;
}

/* By order: what cannot be read is no key any more. */
static void forget(fe_store *store, const found *f)
{
    fe_store_remove_known(store, f->keyspace, f->entry->hash, f->slot, f->entry->deadline, f->size,
                          FE_MISS_EVICTED);
    store->fetch.stats.lost++;
}

/* Moving --------------------------------------------------------------------------------------- */

/* The slot's copy in the read cache gives way to the record, which keeps what is known of its use. */
static void copy_replace(fe_store *store, const found *f, fe_record *record, unsigned *warmth)
{
    fe_log *log = &store->log;
    fe_address copy = fe_slot_address(*f->slot);
    fe_record_set_access(record, fe_record_access(fe_log_at(log, copy)));
    *warmth = fe_cache_warmth(log, copy);
    (void)fe_cache_drop(log, copy);
}

/* Appends the record again; `image` is as it lies in its file, or NULL: it is taken from its copy in
 * the read cache. False without memory. */
static bool move(fe_store *store, const found *f, const uint8_t *image)
{
    fe_log *log = &store->log;
    int64_t deadline = f->entry->deadline;
    fe_address address = fe_log_append(log, FE_TAIL_MOVED, f->size, f->keyspace->id);
    if (address == FE_ADDRESS_NONE) return false;
    fe_record *record = fe_log_at(log, address);
    unsigned warmth = 0;
    memcpy(record, image != NULL ? (const void *)image : fe_log_at(log, fe_slot_address(*f->slot)),
           f->size);
    fe_image_record_restore(record, f->keyspace->id, fe_access_frozen(store, f->home));
    if (is_copied(f)) copy_replace(store, f, record, &warmth);
    refill(store, f); /* a split since it was decided may have shortened the tag */
    fe_slot_set(f->slot, address, deadline != FE_DEADLINE_NONE);
    for (; warmth > 0; warmth--)
        fe_log_touch(log, address);
    if (deadline != FE_DEADLINE_NONE) {
        fe_log_deadline_add(log, address, store->now_ms, deadline, f->size);
        fe_log_deadline_remove(log, f->home, deadline, f->size);
    }
    fe_log_kill(log, f->home, f->size);
    store->frozen.move_credit -= (int64_t)f->size;
    store->frozen.stats.moved_keys++;
    store->frozen.stats.moved_bytes += f->size;
    return true;
}

/* Deciding ------------------------------------------------------------------------------------- */

typedef enum verdict { KEEP, MOVE, GONE } verdict;

/* The only record of its segment has been read: it is as good as new. */
static void own_renew(fe_store *store, const fe_frozen_job *job)
{
    fe_log *log = &store->log;
    fe_log_forget_reads(log, job->segment);
    fe_log_set_tier(log, job->segment, (fe_tier)log->segments[job->segment].tier);
}

static verdict evict_or_not(fe_store *store, fe_frozen_job *job, const found *f)
{
    bool is_volatile = fe_frozen_is_volatile(store);
    if (is_volatile && (f->entry->deadline == FE_DEADLINE_NONE || f->entry->deadline > job->cut))
        return KEEP;
    bool by_deadline = store->options.policy == FE_POLICY_VOLATILE_TTL;
    if (by_deadline || job->hard || !is_hot(store, f)) {
        evict(store, f);
        return GONE;
    }
    if (is_volatile) return KEEP;
    if (store->log.segments[job->segment].role != FE_ROLE_OWN) return MOVE;
    own_renew(store, job);
    return KEEP;
}

static verdict decide(fe_store *store, fe_frozen_job *job, const found *f)
{
    refill(store, f);
    if (fe_fetch_settles(store, f->home)) {
        job->left++;
        return KEEP;
    }
    if (fe_store_expired(store, f->entry->deadline) &&
        (!store->frozen.paused || job->purpose >= FE_FROZEN_COMPACT)) {
        expire(store, f);
        return GONE;
    }
    if (job->purpose == FE_FROZEN_EVICT) return evict_or_not(store, job, f);
    return job->purpose == FE_FROZEN_COMPACT ? MOVE : KEEP;
}

static void count_alive(fe_store *store, fe_frozen_job *job, const found *f)
{
    job->counted += f->size;
    job->counted_records++;
    if (f->entry->deadline != FE_DEADLINE_NONE)
        fe_deadlines_measure_add(&job->measure, store->now_ms, f->entry->deadline, f->size);
}

/* What is to move and lies in the read cache is moved at once: no read is needed. */
static bool move_from_cache(fe_store *store, const found *f, uint64_t *work)
{
    if (!is_copied_whole(store, f) || !fe_frozen_may_move(store)) return false;
    *work += f->size + MOVE_COST;
    return move(store, f, NULL);
}

static void decide_one(fe_store *store, fe_frozen_job *job, uint64_t *work)
{
    fe_frozen_item *item = &job->items[job->next++];
    found f;
    verdict v = find(store, job, &item->entry, &f) ? decide(store, job, &f) : GONE;
    if (v == MOVE && move_from_cache(store, &f, work)) v = GONE;
    if (v != GONE) count_alive(store, job, &f);
    if (v == MOVE) job->items[job->moves++] = *item;
    store->log.frozen.walk_offset = ((uint64_t)item->entry.offset + item->entry.size) * 8;
}

static void prefetch(const fe_store *store, const fe_frozen_job *job)
{
    for (uint32_t i = job->next; i < job->count && i < job->next + BATCH; i++) {
        const fe_footer_entry *entry = &job->items[i].entry;
        const fe_keyspace *keyspace = store->by_id[entry->keyspace];
        if (keyspace != NULL) fe_index_prefetch(&keyspace->index, entry->hash);
    }
}

/* All entries of the blocks are decided: what comes next. */
static fe_frozen_next after_chunk(fe_frozen_job *job)
{
    if (job->moves != 0) {
        job->count = job->moves;
        job->next = job->window = 0;
        job->stage = FE_FROZEN_RECORDS;
        return FE_FROZEN_READ;
    }
    if (job->block == fe_image_footer_blocks(&job->head)) return FE_FROZEN_DONE;
    job->stage = FE_FROZEN_FOOTER;
    return FE_FROZEN_READ;
}

static fe_frozen_next decide_some(fe_store *store, fe_frozen_job *job)
{
    uint64_t work = 0;
    for (uint32_t i = 0; i < STEP_ENTRIES && work < STEP_BYTES; i++) {
        if (job->next == job->count) return after_chunk(job);
        if (i % BATCH == 0) prefetch(store, job);
        decide_one(store, job, &work);
    }
    return job->next == job->count ? after_chunk(job) : FE_FROZEN_STEP;
}

/* The file's bytes are damaged; those in memory of a mapped segment may not be: the kernel has read them at
 * another time. They are copied before they are looked at, for the page may be read anew in between. */
static bool is_sound_mapped(const fe_store *store, fe_frozen_job *job, const fe_frozen_item *item,
                            const found *f, uint8_t *to)
{
    if (store->log.segments[job->segment].tier != FE_TIER_MAPPED) return false;
    memcpy(to, fe_log_at(&store->log, f->home), f->size);
    return fe_frozen_is_sound(job, item, to);
}

/* The record is nowhere sound. */
static void give_up(fe_store *store, fe_frozen_job *job, const found *f)
{
    fe_log_mark_damaged(&store->log, job->segment);
    if (job->forget && store->frozen.forget) {
        forget(store, f);
        return;
    }
    job->damaged_records++;
    job->unreadable += job->items[job->next].unreadable;
}

static void damage_tell(fe_store *store, const fe_frozen_job *job, uint64_t at)
{
    bool refused = job->items[job->next].unreadable;
    const char *cause = refused ? "record: it cannot be read" : "record: the checksum is wrong";
    fe_frozen_fault fault = {job->segment, job->generation, at, cause, refused ? EIO : 0, 0};
    store->frozen.stats.damaged_records++;
    fault_tell(store, &fault);
}

/* Moves one record of the window; false without memory. */
static bool move_one(fe_store *store, fe_frozen_job *job, uint64_t *work)
{
    const fe_frozen_item *item = &job->items[job->next];
    uint64_t at = (uint64_t)item->entry.offset * 8;
    found f;
    *work += MOVE_COST;
    if (!find(store, job, &item->entry, &f)) return true;
    if (fe_fetch_settles(store, f.home)) {
        job->left++;
        return true;
    }
    uint8_t *image = job->records + (at - job->records_offset);
    if (item->damaged) {
        damage_tell(store, job, at);
        if (!is_copied_whole(store, &f) && !is_sound_mapped(store, job, item, &f, image)) {
            give_up(store, job, &f);
            return true;
        }
    }
    *work += f.size;
    return move(store, &f, item->damaged && is_copied_whole(store, &f) ? NULL : image);
}

static fe_frozen_next move_some(fe_store *store, fe_frozen_job *job)
{
    uint64_t work = 0;
    while (job->next < job->window && work < STEP_BYTES) {
        if (job->next % BATCH == 0) prefetch(store, job);
        if (!move_one(store, job, &work)) {
            job->error = ENOMEM;
            return FE_FROZEN_DONE;
        }
        job->next++;
    }
    if (job->next < job->window) return FE_FROZEN_STEP;
    if (job->next < job->count) {
        job->stage = FE_FROZEN_RECORDS;
        return FE_FROZEN_READ;
    }
    job->moves = 0;
    job->stage = FE_FROZEN_DECIDE;
    return after_chunk(job);
}

/* Records cannot be moved now. The job is given up when it has waited for long: others may have
 * something to do. */
static fe_frozen_next move_wait(const fe_store *store, fe_frozen_job *job)
{
    if (job->wait_ms == 0) job->wait_ms = store->steady_ms;
    if (store->steady_ms - job->wait_ms < WAIT_MAX_MS) return FE_FROZEN_WAIT;
    job->left++;
    return FE_FROZEN_DONE;
}

fe_frozen_next fe_frozen_step(fe_store *store, fe_frozen_job *job)
{
    FE_ASSERT(store->frozen.busy);
    if (job->error != 0 || store->log.files[job->segment].doomed) return FE_FROZEN_DONE;
    if (job->stage == FE_FROZEN_DECIDE) return decide_some(store, job);
    FE_ASSERT(job->stage == FE_FROZEN_MOVE);
    fe_frozen_credits(store);
    if (!fe_frozen_may_move(store)) return move_wait(store, job);
    job->wait_ms = 0;
    fe_frozen_next next = move_some(store, job);
    if (store->tiers != NULL) fe_tiers_moved(store);
    return next;
}
