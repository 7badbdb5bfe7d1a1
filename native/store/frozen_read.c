/* What frozen jobs read: trailer, blocks of the footer, records that are to move. All is checked here,
 * without the lock, before the steps see it.
 *
 * Invariants
 * 1. Every offset and size asked of the device is a multiple of 4096, and so are the buffers.
 * 2. items[] of the stage DECIDE come from sound blocks only.
 * 3. items[next..window) of the stage MOVE lie in `records` as a whole, or are damaged.
 *
 * Threads: no lock; the segment is pinned, and its file never changes.
 */
#include "store/frozen_job.h"

#include <errno.h>
#include <string.h>

#define BLOCK FE_IMAGE_BLOCK
#define CHUNK_BLOCKS 16u /* of the footer, read at once */
#define CHUNK_ENTRIES (CHUNK_BLOCKS * 255u)
#define WINDOW ((uint64_t)1 << 20)
#define GAP_MAX ((uint64_t)64 << 10) /* what is not wanted, but read rather than asked twice */

static uint64_t round_down(uint64_t bytes)
{
    return bytes & ~(uint64_t)(BLOCK - 1);
}

static uint64_t round_up(uint64_t bytes)
{
    return round_down(bytes + BLOCK - 1);
}

static void note(fe_frozen_job *job, uint64_t offset, const char *cause, int code)
{
    job->fault = (fe_frozen_fault){.segment = job->segment,
                                   .generation = job->generation,
                                   .offset = offset,
                                   .cause = cause,
                                   .code = code};
}

static bool fail(fe_frozen_job *job, uint64_t offset, const char *cause, int code)
{
    job->error = code;
    note(job, offset, cause, code);
    return false;
}

/* The file is not what it should be: nothing is known of its entries. No error of the disk. */
static bool spoil(fe_frozen_job *job, uint64_t offset, const char *cause)
{
    job->damaged_blocks++;
    job->error = EBADMSG;
    note(job, offset, cause, 0);
    return false;
}

/* Reads exactly `size` bytes. */
static bool read_exactly(fe_device *device, fe_frozen_job *job, uint8_t *to, uint64_t size,
                         uint64_t offset)
{
    int code = EIO;
    int64_t got = fe_device_read(device, job->fd, to, size, offset, &code);
    if (got < 0) return fail(job, offset, "the file cannot be read", code);
    job->read_bytes += (uint64_t)got;
    if ((uint64_t)got == size) return true;
    if (fe_device_is_cut(job->fd, offset + size))
        return spoil(job, offset + (uint64_t)got, "the file is cut off");
    return fail(job, offset + (uint64_t)got, "the file ends early", EIO);
}

static bool buffers_take(fe_frozen_job *job)
{
    if (job->footer == NULL)
        job->footer = fe_pages_map(job->alloc, FE_ALLOC_ENGINE, CHUNK_BLOCKS * BLOCK, BLOCK);
    if (job->items == NULL)
        job->items =
            fe_alloc_take(job->alloc, FE_ALLOC_ENGINE, CHUNK_ENTRIES * sizeof(*job->items));
    return job->footer != NULL && job->items != NULL;
}

static void records_give(fe_frozen_job *job)
{
    if (job->records != NULL)
        fe_pages_unmap(job->alloc, FE_ALLOC_ENGINE, job->records, job->records_bytes);
    job->records = NULL;
    job->records_bytes = 0;
}

static bool records_take(fe_frozen_job *job, uint64_t size)
{
    if (size <= job->records_bytes && (size > WINDOW || job->records_bytes <= WINDOW)) return true;
    records_give(job);
    size = size < WINDOW ? WINDOW : size;
    job->records = fe_pages_map(job->alloc, FE_ALLOC_ENGINE, size, BLOCK);
    if (job->records != NULL) job->records_bytes = size;
    return job->records != NULL;
}

void fe_frozen_job_close(fe_frozen_job *job)
{
    records_give(job);
    if (job->footer != NULL)
        fe_pages_unmap(job->alloc, FE_ALLOC_ENGINE, job->footer, CHUNK_BLOCKS * BLOCK);
    if (job->items != NULL) fe_alloc_give(job->alloc, FE_ALLOC_ENGINE, job->items);
    job->footer = NULL;
    job->items = NULL;
}

/* The file is what the segment table says that it is. */
static bool trailer_fits(const fe_frozen_job *job)
{
    return job->head.number == job->segment && job->head.generation == job->generation &&
           job->head.sequence == job->sequence;
}

static bool read_trailer(fe_device *device, fe_frozen_job *job)
{
    fe_image_fault fault;
    uint64_t size = job->file_size;
    if (size < 2 * BLOCK || size % BLOCK != 0)
        return spoil(job, 0, "the size of the file is impossible");
    if (!read_exactly(device, job, job->footer, BLOCK, size - BLOCK)) return false;
    if (!fe_image_read_trailer(job->footer, BLOCK, size, &job->head, &fault))
        return spoil(job, fault.offset, fault.cause);
    if (trailer_fits(job)) return true;
    return spoil(job, size - FE_IMAGE_TRAILER, "trailer: the file is of another segment");
}

/* Of a damaged block, the records are not found. */
static void block_read(fe_frozen_job *job, uint32_t block, const uint8_t *data)
{
    fe_footer_block entries;
    fe_image_fault fault;
    if (!fe_footer_open(&job->head, block, data, &entries, &fault)) {
        job->damaged_blocks++;
        note(job, fault.offset, fault.cause, 0);
        return;
    }
    while (fe_footer_next(&entries, &job->items[job->count].entry))
        job->items[job->count++].damaged = false;
}

static bool read_footer(fe_device *device, fe_frozen_job *job)
{
    uint32_t left = fe_image_footer_blocks(&job->head) - job->block;
    uint32_t blocks = left < CHUNK_BLOCKS ? left : CHUNK_BLOCKS;
    uint64_t offset = fe_image_footer_offset(&job->head) + (uint64_t)job->block * BLOCK;
    if (!read_exactly(device, job, job->footer, blocks * BLOCK, offset)) return false;
    job->count = job->next = job->moves = 0;
    for (uint32_t i = 0; i < blocks; i++)
        block_read(job, job->block + i, job->footer + i * BLOCK);
    job->block += blocks;
    return true;
}

static uint64_t item_begin(const fe_frozen_item *item)
{
    return (uint64_t)item->entry.offset * 8;
}

static uint64_t item_end(const fe_frozen_item *item)
{
    return item_begin(item) + (uint64_t)item->entry.size * 8;
}

/* How many of the items from `next` on are read together. */
static uint32_t window_end(const fe_frozen_job *job)
{
    uint64_t begin = round_down(item_begin(&job->items[job->next]));
    uint32_t i = job->next + 1;
    while (i < job->count && round_up(item_end(&job->items[i])) - begin <= WINDOW &&
           item_begin(&job->items[i]) - item_end(&job->items[i - 1]) <= GAP_MAX)
        i++;
    return i;
}

bool fe_frozen_is_sound(const fe_frozen_job *job, const fe_frozen_item *item, const uint8_t *data)
{
    size_t size = (size_t)item->entry.size * 8;
    if (!fe_image_record_check(data, size)) return false;
    const fe_record *record = (const fe_record *)data;
    fe_bytes key = fe_record_key(record);
    return fe_hash(&job->seed, key.ptr, key.len) == item->entry.hash &&
           fe_record_deadline(record) == item->entry.deadline;
}

/* A record that was not sound is read once more, alone: a disk may have been wrong for a moment. In a buffer of
 * its own, so that what lies beside it stays as it was read. */
static bool read_again(fe_device *device, fe_frozen_job *job, fe_frozen_item *item)
{
    uint64_t begin = round_down(item_begin(item)), size = round_up(item_end(item)) - begin;
    uint64_t skip = item_begin(item) - begin;
    uint8_t *data = fe_pages_map(job->alloc, FE_ALLOC_ENGINE, size, BLOCK);
    if (data == NULL) return fail(job, begin, "out of memory", ENOMEM);
    int code = 0;
    int64_t got = fe_device_read(device, job->fd, data, size, begin, &code);
    if (got > 0) job->read_bytes += (uint64_t)got;
    item->unreadable = got != (int64_t)size;
    item->damaged = item->unreadable || !fe_frozen_is_sound(job, item, data + skip);
    if (!item->damaged)
        memcpy(job->records + (item_begin(item) - job->records_offset), data + skip,
               (size_t)item->entry.size * 8);
    fe_pages_unmap(job->alloc, FE_ALLOC_ENGINE, data, size);
    return true;
}

/* The records could not be read together. Whether the disk still reads the end of the file: then it is a part of
 * the file that is bad, and each record is tried by itself. */
static bool goes_on(fe_device *device, fe_frozen_job *job)
{
    int code = 0;
    uint64_t at = job->file_size - BLOCK;
    if (fe_device_read(device, job->fd, job->footer, BLOCK, at, &code) != BLOCK) return false;
    job->error = 0;
    return true;
}

static bool read_records(fe_device *device, fe_frozen_job *job)
{
    job->window = window_end(job);
    uint64_t begin = round_down(item_begin(&job->items[job->next]));
    uint64_t end = round_up(item_end(&job->items[job->window - 1]));
    if (!records_take(job, end - begin)) return fail(job, begin, "out of memory", ENOMEM);
    bool read = read_exactly(device, job, job->records, end - begin, begin);
    if (!read && !goes_on(device, job)) return false;
    job->records_offset = begin;
    for (uint32_t i = job->next; i < job->window; i++) {
        fe_frozen_item *item = &job->items[i];
        item->damaged =
            !read || !fe_frozen_is_sound(job, item, job->records + (item_begin(item) - begin));
        if (item->damaged && !read_again(device, job, item)) return false;
    }
    return true;
}

void fe_frozen_read(fe_device *device, fe_frozen_job *job)
{
    if (!buffers_take(job)) {
        (void)fail(job, 0, "out of memory", ENOMEM);
        return;
    }
    if (job->stage == FE_FROZEN_RECORDS) {
        if (read_records(device, job)) job->stage = FE_FROZEN_MOVE;
        return;
    }
    if (job->stage == FE_FROZEN_TRAILER) {
        if (!read_trailer(device, job)) return;
        job->stage = FE_FROZEN_FOOTER;
    }
    if (read_footer(device, job)) job->stage = FE_FROZEN_DECIDE;
}
