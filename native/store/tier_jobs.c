/* The jobs of tiers: flushing, unmapping, and what is left of dead segments. See tier.h.
 *
 * Threads: the engine's lock is held, but in functions whose name ends in _run.
 */
#include "store/store.h"
#include "store/tier.h"

#include <errno.h>

#define PAGE ((uint64_t)4096)
#define DEAD_MAX 64u                      /* segments of memory that one call frees */
#define IMAGE_KEEP_MAX ((size_t)64 << 20) /* a buffer larger than this is not kept */

/* Flushing ------------------------------------------------------------------------------------- */

/* Whether the disk may be asked again. */
static bool disk_is_ready(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    return tiers->state == FE_DISK_OK || store->steady_ms >= tiers->retry_ms;
}

static bool is_out_of_files(const fe_store *store)
{
    uint64_t max = store->options.files_max;
    return max != 0 && !store->tiers->leaving && store->tiers->file_count >= max;
}

bool fe_tier_flush_begin(fe_store *store, fe_flush_job *job)
{
    fe_tiers *tiers = store->tiers;
    fe_log *log = &store->log;
    uint32_t n = log->tiers[FE_TIER_SEALED].oldest;
    while (n != 0 && log->files[n].busy)
        n = log->files[n].newer;
    bool ready = disk_is_ready(store);
    /* What it refused is gone, so nothing is refused any more. */
    if (ready && log->tiers[FE_TIER_SEALED].segments == 0) tiers->state = FE_DISK_OK;
    if (n == 0 || !ready) return false;
    const fe_segment *segment = &log->segments[n];
    *job = (fe_flush_job){.alloc = store->alloc,
                          .segment = n,
                          .lock = store->options.lock_memory,
                          .refused = is_out_of_files(store),
                          .image = job->image,
                          .image_bytes = job->image_bytes,
                          .fd = -1};
    job->file_max = fe_tiers_file_max(store, &job->room_short);
    job->source = (fe_image_source){.base = segment->base,
                                    .used = segment->used,
                                    .number = n,
                                    .generation = segment->generation,
                                    .sequence = segment->sequence,
                                    .created_ms = store->now_ms,
                                    .seed = store->options.seed};
    fe_reserve_begin(store, &job->reserve);
    log->files[n].busy = true;
    log->files[n].pins++;
    return true;
}

void fe_flush_job_close(fe_flush_job *job)
{
    if (job->image != NULL)
        fe_pages_unmap(job->alloc, FE_ALLOC_ENGINE, job->image, job->image_bytes);
    job->image = NULL;
    job->image_bytes = 0;
}

static bool image_reserve(fe_flush_job *job, size_t size)
{
    if (size <= job->image_bytes) return true;
    fe_flush_job_close(job);
    job->image = fe_pages_map(job->alloc, FE_ALLOC_ENGINE, size, PAGE);
    if (job->image == NULL) return false;
    job->image_bytes = size;
    return true;
}

static void map_image(fe_device *device, fe_flush_job *job)
{
    size_t size = fe_tiers_mapped_size(job->source.used);
    job->mapping = fe_device_map(device, job->fd, size);
    if (job->lock) job->locked = job->mapping != NULL && fe_device_lock(device, job->mapping, size);
}

/* One long record: written from where it is, so that no second copy of it takes memory. */
static void write_long(fe_device *device, fe_flush_job *job, const fe_image_plan *plan)
{
    fe_image_pieces made;
    fe_device_piece pieces[3];
    job->size = fe_image_build_long(&job->source, plan, job->image, &made, &job->head);
    for (unsigned i = 0; i < 3; i++)
        pieces[i] = (fe_device_piece){made.at[i], made.size[i]};
    job->fd = fe_device_write_pieces(device, job->segment, job->source.generation, pieces, 3,
                                     &job->error);
}

static void write_image(fe_device *device, fe_flush_job *job, const fe_image_plan *plan)
{
    job->size = fe_image_build(&job->source, plan, job->image, &job->head);
    job->fd = fe_device_write_segment(device, job->segment, job->source.generation, job->image,
                                      job->size, &job->error);
}

void fe_tier_flush_run(fe_device *device, fe_flush_job *job)
{
    const fe_image_source *source = &job->source;
    if (job->refused) return;
    fe_image_plan plan = fe_image_plan_make(source->base, source->used);
    job->size = plan.size_max;
    if (plan.size_max > job->file_max) return;
    if (!fe_reserve_run(device, &job->reserve, &job->error)) return;
    bool is_long = fe_image_is_long(source, &plan);
    if (!image_reserve(job, is_long ? FE_IMAGE_ENDS : plan.size_max)) {
        job->error = ENOMEM;
        return;
    }
    (is_long ? write_long : write_image)(device, job, &plan);
    if (job->fd >= 0) map_image(device, job);
    if (job->image_bytes > IMAGE_KEEP_MAX) fe_flush_job_close(job);
}

static void note_error(fe_store *store, int code, uint32_t segment, uint32_t generation)
{
    store->tiers->stats.errors++;
    store->tiers->stats.error = (fe_disk_error){code, segment, generation, store->now_ms};
}

/* The segment stays as it is. */
static void flush_failed(fe_store *store, const fe_flush_job *job)
{
    fe_tiers_refused(store, job);
    if (job->error != 0) note_error(store, job->error, job->segment, job->source.generation);
}

/* Its memory is its file now. */
static void flush_succeeded(fe_store *store, const fe_flush_job *job)
{
    fe_tiers *tiers = store->tiers;
    fe_log *log = &store->log;
    fe_segment *segment = &log->segments[job->segment];
    fe_segment_file *file = &log->files[job->segment];
    void *memory = segment->base;
    uint64_t began = fe_tiers_change_begin(tiers);
    file->fd = job->fd;
    file->size = job->size;
    file->record_max = job->head.record_max;
    fe_log_set_tier(log, job->segment, job->mapping != NULL ? FE_TIER_MAPPED : FE_TIER_DISK);
    segment->base = job->mapping;
    if (segment->role == FE_ROLE_OWN)
        fe_trash_put(&store->trash, FE_ALLOC_LOG, memory, segment->bytes);
    else
        fe_log_spare_put(log, memory, segment->bytes);
    tiers->file_bytes += job->size;
    fe_tiers_took(store);
    tiers->file_count++;
    tiers->stats.flushed++;
    tiers->stats.flushed_bytes += job->size;
    fe_tiers_change_end(tiers, job->segment, (fe_tier)segment->tier, began);
    tiers->stats.map_failures += job->mapping == NULL;
    tiers->stats.locked += job->locked;
    tiers->stats.lock_failures += job->lock && job->mapping != NULL && !job->locked;
}

void fe_tier_flush_end(fe_store *store, fe_flush_job *job)
{
    store->log.files[job->segment].busy = false;
    if (job->fd < 0)
        flush_failed(store, job);
    else
        flush_succeeded(store, job);
    fe_log_unpin(&store->log, job->segment);
    fe_tiers_tell_room(store);
}

/* Unmapping ------------------------------------------------------------------------------------ */

bool fe_tier_unmap_take(fe_store *store, fe_unmap_job *job)
{
    fe_tiers *tiers = store->tiers;
    if (tiers == NULL || tiers->unmap_count == 0) return false;
    *job = tiers->unmaps[tiers->unmap_first];
    tiers->unmap_first = (tiers->unmap_first + 1) % FE_TIER_UNMAPS;
    tiers->unmap_count--;
    return true;
}

void fe_tier_unmap_run(fe_device *device, const fe_unmap_job *job)
{
    fe_device_unmap(device, job->fd, job->ptr, job->size);
}

void fe_tier_unmap_done(fe_store *store, const fe_unmap_job *job)
{
    fe_log_unpin(&store->log, job->segment);
}

/* Dead segments -------------------------------------------------------------------------------- */

static void dead_free_memory(fe_store *store, uint32_t n)
{
    fe_segment *segment = &store->log.segments[n];
    if (segment->role == FE_ROLE_OWN)
        fe_trash_put(&store->trash, FE_ALLOC_LOG, segment->base, segment->bytes);
    else
        fe_log_spare_put(&store->log, segment->base, segment->bytes);
    fe_log_dead_give(&store->log, n);
}

bool fe_tier_dead_take(fe_store *store, fe_dead_job *job)
{
    fe_log *log = &store->log;
    for (unsigned i = 0; i < DEAD_MAX; i++) {
        uint32_t n = fe_log_dead_take(log);
        if (n == 0) break;
        const fe_segment *segment = &log->segments[n];
        int fd = log->files[n].fd;
        if (fd < 0) {
            dead_free_memory(store, n);
            continue;
        }
        *job = (fe_dead_job){
            .map = {segment->base, fe_tiers_mapped_size(segment->used), n, fd},
            .generation = segment->generation,
        };
        return true;
    }
    if (store->tiers != NULL) fe_tiers_tell_room(store);
    return false;
}

void fe_tier_dead_run(fe_device *device, fe_dead_job *job)
{
    if (job->map.ptr != NULL) fe_device_unmap(device, job->map.fd, job->map.ptr, job->map.size);
    fe_device_close_fd(device, job->map.fd);
    if (fe_device_remove_segment(device, job->map.segment, job->generation, &job->error))
        job->error = 0;
}

void fe_tier_dead_done(fe_store *store, const fe_dead_job *job)
{
    fe_tiers *tiers = store->tiers;
    fe_segment_file *file = &store->log.files[job->map.segment];
    if (job->error != 0)
        note_error(store, job->error, job->map.segment, job->generation);
    else
        tiers->stats.removed++;
    tiers->file_bytes -= file->size;
    tiers->file_count--;
    fe_tiers_gained_room(store);
    fe_log_dead_give(&store->log, job->map.segment);
    if (store->log.tiers[FE_TIER_SEALED].segments != 0) fe_tiers_ask_for_work(tiers);
}
