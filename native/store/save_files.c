/* See save_files.h. The trailers are read many at a time, because each waits for the disk. */
#include "store/save_files.h"
#include "store/disk.h"
#include "store/image.h"
#include "store/store.h"
#include "store/tier.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#define DEPTH 64u
#define PAGE ((size_t)4096)
#define SEED_CHECK "ferrite"

/* One trailer that is being read. */
typedef struct look {
    fe_disk_read read; /* the first member: reap gives it back */
    uint32_t segment;
} look;

typedef struct opener {
    fe_store *store;
    fe_disk *disk;
    uint64_t seed_check;
    uint32_t next; /* segment to open */
    look looks[DEPTH];
    look *idle[DEPTH];
    uint32_t idle_count;
    bool failed;
    bool *can_serve;
    char *error;
} opener;

/* The first thing that is wrong is told. */
static void wrong(opener *o, uint32_t n, uint64_t offset, const char *cause)
{
    if (o->failed) return;
    o->failed = true;
    (void)snprintf(o->error, FE_SAVE_ERROR_MAX, "log/%08x-%08x.seg: byte %llu: %s", n,
                   o->store->log.segments[n].generation, (unsigned long long)offset, cause);
}

/* The file is lost, or not whole. When the others are to be served all the same, its keys answer errors. */
static void damaged(opener *o, uint32_t n, uint64_t offset, const char *cause)
{
    fe_store *store = o->store;
    if (!store->options.serves_damaged) {
        if (!o->failed) *o->can_serve = true;
        wrong(o, n, offset, cause);
        return;
    }
    fe_log_mark_damaged(&store->log, n);
    fe_fetch_note_fault(store, n, offset, EBADMSG, cause);
}

/* Empty files for those that are lost: only when all others were found to be good or served all the same. */
static void stand_in(opener *o)
{
    fe_log *log = &o->store->log;
    for (uint32_t n = 1; n <= log->high && !o->failed; n++) {
        if (log->segments[n].tier != FE_TIER_DISK || log->files[n].fd >= 0) continue;
        log->files[n].fd =
            fe_device_stand_in(o->store->tiers->device, n, log->segments[n].generation);
        if (log->files[n].fd < 0) wrong(o, n, 0, strerror(errno));
    }
}

/* Whether the file's trailer is to be read. */
static bool file_open(opener *o, uint32_t n, look *at)
{
    const fe_segment *segment = &o->store->log.segments[n];
    fe_segment_file *file = &o->store->log.files[n];
    uint64_t size = 0;
    int code = 0;
    file->fd =
        fe_device_open_segment(o->store->tiers->device, n, segment->generation, &size, &code);
    if (file->fd < 0 && code == ENOENT)
        damaged(o, n, 0, strerror(code));
    else if (file->fd < 0)
        wrong(o, n, 0, strerror(code));
    else if (size != file->size)
        damaged(o, n, size, "the file has not the size that it should");
    at->segment = n;
    at->read = (fe_disk_read){
        .buffer = at->read.buffer, .offset = size - PAGE, .length = (uint32_t)PAGE, .fd = file->fd};
    return !o->failed && !o->store->log.files[n].damaged;
}

static const char *trailer_check(const fe_log *log, uint32_t n, uint64_t seed_check,
                                 const fe_image_head *head)
{
    const fe_segment *segment = &log->segments[n];
    if (head->number != n || head->generation != segment->generation)
        return "it is the file of another segment";
    if (head->seed_check != seed_check) return "it is the file of another store";
    if (head->sequence != segment->sequence || head->used != segment->used ||
        head->record_max != log->files[n].record_max)
        return "it is not what the index says";
    return NULL;
}

static void look_end(opener *o, look *at)
{
    const fe_log *log = &o->store->log;
    fe_image_head head;
    fe_image_fault fault;
    uint64_t size = log->files[at->segment].size;
    o->idle[o->idle_count++] = at;
    if (at->read.result < 0) {
        damaged(o, at->segment, at->read.offset, strerror(-at->read.result));
    } else if (!fe_image_read_trailer(at->read.buffer, (size_t)at->read.result, size, &head,
                                      &fault)) {
        damaged(o, at->segment, fault.offset, fault.cause);
    } else {
        const char *cause = trailer_check(log, at->segment, o->seed_check, &head);
        if (cause != NULL) wrong(o, at->segment, size - FE_IMAGE_TRAILER, cause);
    }
}

/* Opens as many files as can be looked into, and begins to read their trailers. */
static void looks_begin(opener *o)
{
    const fe_log *log = &o->store->log;
    fe_disk_read *reads[DEPTH];
    uint32_t count = 0;
    for (; o->idle_count > 0 && o->next <= log->high && !o->failed; o->next++) {
        if (log->segments[o->next].tier != FE_TIER_DISK) continue;
        look *at = o->idle[--o->idle_count];
        if (file_open(o, o->next, at))
            reads[count++] = &at->read;
        else
            o->idle[o->idle_count++] = at;
    }
    if (count == 0) return;
    uint32_t taken = fe_disk_submit(o->disk, reads, count);
    FE_ASSERT(taken == count); /* no more looks than the disk is deep */
}

static void looks_reap(opener *o)
{
    fe_disk_read *done[DEPTH];
    uint32_t count = fe_disk_reap(o->disk, done, DEPTH);
    for (uint32_t i = 0; i < count; i++)
        look_end(o, (look *)(void *)done[i]);
    if (count != 0 || o->idle_count == DEPTH) return;
    struct pollfd wait = {.fd = fe_disk_fd(o->disk), .events = POLLIN};
    (void)poll(&wait, 1, -1);
}

static void run(opener *o, uint8_t *blocks)
{
    for (uint32_t i = 0; i < DEPTH; i++) {
        o->looks[i].read.buffer = blocks + i * PAGE;
        o->idle[o->idle_count++] = &o->looks[i];
    }
    while ((o->next <= o->store->log.high && !o->failed) || o->idle_count < DEPTH) {
        looks_begin(o);
        looks_reap(o);
    }
    stand_in(o);
}

bool fe_save_files_open(fe_store *store, bool *can_serve, char error[FE_SAVE_ERROR_MAX])
{
    opener o = {.store = store, .error = error, .can_serve = can_serve, .next = 1};
    o.seed_check =
        fe_hash(&store->options.seed, (const uint8_t *)SEED_CHECK, sizeof(SEED_CHECK) - 1);
    uint8_t *blocks = fe_pages_map(store->alloc, FE_ALLOC_ENGINE, DEPTH * PAGE, PAGE);
    if (blocks == NULL) {
        (void)snprintf(error, FE_SAVE_ERROR_MAX, "out of memory");
        return false;
    }
    o.disk = fe_disk_open(store->alloc, FE_DISK_AUTO, DEPTH, &fe_device_system, error);
    if (o.disk != NULL) {
        run(&o, blocks);
        fe_disk_close(o.disk);
    }
    fe_pages_unmap(store->alloc, FE_ALLOC_ENGINE, blocks, DEPTH * PAGE);
    return o.disk != NULL && !o.failed;
}
