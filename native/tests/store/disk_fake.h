/* A disk in memory: segments of a store leave for it as their images, and its reads are served by
 * the test: in any order, with the errors it wants.
 */
#ifndef FE_TESTS_STORE_DISK_FAKE_H
#define FE_TESTS_STORE_DISK_FAKE_H

#include "store/fetch_read.h"
#include "store/image.h"
#include "tests/store/support.h"

#include <errno.h>

#define FAKE_FILES 65536
#define FAKE_READS 16384

typedef struct fake_file {
    uint8_t *image;
    size_t size;
} fake_file;

typedef struct fake_disk {
    fixture f;
    fake_file files[FAKE_FILES]; /* by fd - 1 */
    int next_fd;
    fe_disk_read *reads[FAKE_READS];
    uint32_t count; /* in flight */
} fake_disk;

static inline fe_log *fake_log(fake_disk *d)
{
    return &d->f.store->log;
}

static inline const fake_file *fake_file_of(const fake_disk *d, uint32_t n)
{
    return &d->files[d->f.store->log.files[n].fd - 1];
}

/* The record at an address on disk, as its image has it. */
static inline const fe_record *fake_view(void *context, fe_address address)
{
    const fake_disk *d = context;
    const fe_log *log = &d->f.store->log;
    uint32_t n = fe_address_segment(address, log->offset_bits);
    const fake_file *file = fake_file_of(d, n);
    uint64_t offset = fe_address_offset(address, log->offset_bits);
    if (log->segments[n].tier != FE_TIER_DISK || offset + 8 > file->size) return NULL;
    size_t size = fe_image_record_size(file->image + offset, file->size - offset);
    if (size == 0 || size > file->size - offset) return NULL;
    return fe_image_record_check(file->image + offset, size)
               ? (const fe_record *)(file->image + offset)
               : NULL;
}

static inline void fake_open(fake_disk *d, const fe_store_options *options)
{
    memset(d, 0, sizeof(*d));
    fixture_open(&d->f, options);
    fe_log_set_tiered(fake_log(d));
    d->f.store->index_space.view = fake_view;
    d->f.store->index_space.view_context = d;
}

static inline fake_disk *fake_new(void)
{
    fake_disk *d = malloc(sizeof(*d));
    fe_store_options options = fixture_options();
    fake_open(d, &options);
    return d;
}

/* Writes a full segment's file; it is MAPPED afterwards: `base` is the image, words with checksums. */
static inline void fake_map(fake_disk *d, uint32_t n)
{
    fe_log *log = fake_log(d);
    fe_segment *segment = &log->segments[n];
    if (segment->tier == FE_TIER_MUTABLE) fe_log_set_tier(log, n, FE_TIER_SEALED);
    fe_image_plan plan = fe_image_plan_make(segment->base, segment->used);
    fe_image_source source = {.base = segment->base,
                              .used = segment->used,
                              .number = n,
                              .generation = segment->generation,
                              .sequence = segment->sequence,
                              .seed = d->f.seed};
    uint8_t *image = aligned_alloc(4096, plan.size_max);
    fe_image_head head;
    size_t size = fe_image_build(&source, &plan, image, &head);
    int fd = ++d->next_fd;
    d->files[fd - 1] = (fake_file){image, size};
    log->files[n].fd = fd;
    log->files[n].size = size;
    log->files[n].record_max = head.record_max;
    void *base = segment->base;
    fe_pages_unmap(&d->f.alloc, FE_ALLOC_LOG, base, segment->bytes);
    segment->base = image;
    fe_log_set_tier(log, n, FE_TIER_MAPPED);
}

/* A mapped segment leaves memory, what was read in it is carried. */
static inline void fake_demote(fake_disk *d, uint32_t n)
{
    fe_log *log = fake_log(d);
    fe_cursor cursor = {n, 0};
    log->files[n].pins++;
    for (bool done = false; !done;)
        fe_cache_carry(d->f.store, n, &cursor, 5000, &done);
    log->segments[n].base = NULL;
    fe_log_set_tier(log, n, FE_TIER_DISK);
    fe_log_unpin(log, n);
}

static inline bool fake_is_full(const fake_disk *d, uint32_t n)
{
    const fe_segment *segment = &d->f.store->log.segments[n];
    return segment->tier == FE_TIER_MUTABLE && segment->role != FE_ROLE_TAIL;
}

/* Every segment but the tails goes to disk. */
static inline void fake_freeze_all(fake_disk *d)
{
    for (uint32_t n = 1; n <= fake_log(d)->high; n++) {
        if (fake_is_full(d, n)) fake_map(d, n);
        if (fake_log(d)->segments[n].tier == FE_TIER_MAPPED) fake_demote(d, n);
    }
}

/* What the worker does with segments that nothing reaches. */
static inline void fake_clean(fake_disk *d)
{
    fe_log *log = fake_log(d);
    for (uint32_t n; (n = fe_log_dead_take(log)) != 0;) {
        if (log->files[n].fd < 0)
            fe_pages_unmap(&d->f.alloc, FE_ALLOC_LOG, log->segments[n].base,
                           log->segments[n].bytes);
        else
            free(d->files[log->files[n].fd - 1].image);
        log->files[n].fd = -1;
        fe_log_dead_give(log, n);
    }
}

/* Submits what the store wants read. */
static inline void fake_submit(fake_disk *d)
{
    fe_fetch_hurry(d->f.store);
    while (fe_fetch_is_wanted(d->f.store) && d->count < FAKE_READS)
        d->count += fe_fetch_take(d->f.store, d->reads + d->count, FAKE_READS - d->count);
}

typedef enum fake_outcome {
    FAKE_GOOD,
    FAKE_EIO,
    FAKE_CUT,
    FAKE_FLIPPED,
    FAKE_REFUSED
} fake_outcome;

/* Completes the i-th read in flight. */
static inline void fake_complete(fake_disk *d, uint32_t i, fake_outcome outcome)
{
    fe_disk_read *read = d->reads[i];
    d->reads[i] = d->reads[--d->count];
    const fake_file *file = &d->files[read->fd - 1];
    CHECK((uintptr_t)read->buffer % 4096 == 0 && read->offset % 512 == 0);
    CHECK(read->length % 512 == 0 && read->offset + read->length <= file->size);
    memcpy(read->buffer, file->image + read->offset, read->length);
    read->result = (int32_t)read->length;
    const fe_fetch_read *inside = (const fe_fetch_read *)read;
    if (outcome == FAKE_EIO) read->result = -EIO;
    if (outcome == FAKE_REFUSED) read->result = -EAGAIN;
    if (outcome == FAKE_CUT) read->result = (int32_t)(inside->skip + 8);
    if (outcome == FAKE_FLIPPED) read->buffer[inside->skip + 5] ^= 4;
    if (i % 2 == 0) fe_fetch_check(read);
    fe_fetch_done(d->f.store, read);
}

/* Until nothing is left to read. */
static inline void fake_complete_all(fake_disk *d)
{
    for (fake_submit(d); d->count != 0; fake_submit(d))
        fake_complete(d, 0, FAKE_GOOD);
}

static inline void fake_free(fake_disk *d)
{
    fake_complete_all(d);
    CHECK_INT(FE_OK, fe_store_flush_all(d->f.store, true));
    fake_clean(d);
    CHECK_INT(0, fake_log(d)->tiers[FE_TIER_DISK].segments);
    fixture_close(&d->f);
    free(d);
}

static inline bool fake_fetch(fake_disk *d, fe_bytes name, fe_need need, fe_waiter *waiter)
{
    return fe_fetch_key(d->f.store, 0, name, fe_key_hash(&d->f.seed, name), need, waiter);
}

/* Keys first .. first + count - 1 of 100-byte values that begin with the number. */
static inline void fake_fill(fake_disk *d, uint64_t first, uint64_t count, int64_t deadline)
{
    for (uint64_t i = first; i < first + count; i++) {
        name_buf buf;
        char text[100] = {0};
        snprintf(text, sizeof text, "value %" PRIu64, i);
        fe_bytes name = name_of(&buf, i);
        CHECK(set(&d->f, 0, name, (fe_bytes){(const uint8_t *)text, sizeof text}, deadline));
    }
}

static inline bool fake_has(fake_disk *d, uint64_t i)
{
    name_buf buf;
    char text[100] = {0};
    snprintf(text, sizeof text, "value %" PRIu64, i);
    return has(&d->f, 0, name_of(&buf, i), (fe_bytes){(const uint8_t *)text, sizeof text});
}

static inline bool fake_is_cold(fake_disk *d, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    fe_record *record;
    uint64_t hash = fe_key_hash(&d->f.seed, name);
    const fe_index *index = &d->f.store->databases[0]->index;
    return fe_index_find(index, name, hash, &record) == NULL &&
           fe_index_find_cold(index, hash, NULL) != NULL;
}

#endif
