/* Opening the data folder: see save.h.
 *
 * Each segment's file is opened, and its size and trailer compared with the saved table, by a few
 * threads, because each look waits for the disk. A file that is wrong in any way stops the start.
 */
#include "base/clock.h"
#include "store/image.h"
#include "store/save.h"
#include "store/save_format.h"
#include "store/store.h"
#include "store/tier.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define ASIDE_TRIES 100u
#define THREADS_MAX 8u
#define FILES_PER_THREAD 16u
#define PAGE ((size_t)4096)
#define SEED_CHECK "ferrite"

__attribute__((format(printf, 2, 3))) static bool fail(char *error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(error, FE_SAVE_ERROR_MAX, format, list);
    va_end(list);
    return false;
}

/* The files of the segments -------------------------------------------------------------------- */

/* One thread's part: every `step`th segment from `first` on. */
typedef struct part {
    fe_store *store;
    uint64_t seed_check;
    uint32_t first, step;
    uint8_t *block; /* a page */
    bool wrong;
    char error[FE_SAVE_ERROR_MAX];
} part;

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

static bool wrong_file(part *p, uint32_t n, uint64_t offset, const char *cause)
{
    p->wrong = true;
    return fail(p->error, "log/%08x-%08x.seg: byte %llu: %s", n,
                p->store->log.segments[n].generation, (unsigned long long)offset, cause);
}

static bool file_open(part *p, uint32_t n)
{
    fe_device *device = p->store->tiers->device;
    fe_log *log = &p->store->log;
    fe_segment_file *file = &log->files[n];
    uint64_t size = 0;
    int code = 0;
    file->fd = fe_device_open_segment(device, n, log->segments[n].generation, &size, &code);
    if (file->fd < 0) return wrong_file(p, n, 0, strerror(code));
    if (size != file->size)
        return wrong_file(p, n, size, "the file has not the size that it should");
    int64_t got = fe_device_read(device, file->fd, p->block, PAGE, size - PAGE, &code);
    if (got < 0) return wrong_file(p, n, size - PAGE, strerror(code));
    fe_image_head head;
    fe_image_fault fault;
    if (!fe_image_read_trailer(p->block, (size_t)got, size, &head, &fault))
        return wrong_file(p, n, fault.offset, fault.cause);
    const char *cause = trailer_check(log, n, p->seed_check, &head);
    return cause == NULL || wrong_file(p, n, size - FE_IMAGE_TRAILER, cause);
}

static void *part_run(void *argument)
{
    part *p = argument;
    for (uint32_t n = p->first; n <= p->store->log.high; n += p->step)
        if (p->store->log.segments[n].tier == FE_TIER_DISK && !file_open(p, n)) break;
    return NULL;
}

/* Runs the parts, each in a thread where the system gives one. */
static void parts_run(part *parts, uint32_t count)
{
    pthread_t threads[THREADS_MAX];
    bool started[THREADS_MAX] = {false};
    for (uint32_t i = 1; i < count; i++)
        started[i] = pthread_create(&threads[i], NULL, part_run, &parts[i]) == 0;
    (void)part_run(&parts[0]);
    for (uint32_t i = 1; i < count; i++) {
        if (started[i])
            (void)pthread_join(threads[i], NULL);
        else
            (void)part_run(&parts[i]);
    }
}

static bool files_open(fe_store *store, char *error)
{
    part parts[THREADS_MAX];
    uint32_t count = store->log.high / FILES_PER_THREAD + 1;
    if (count > THREADS_MAX) count = THREADS_MAX;
    uint8_t *blocks = fe_pages_map(store->alloc, FE_ALLOC_ENGINE, count * PAGE, PAGE);
    if (blocks == NULL) return fail(error, "out of memory");
    uint64_t seed_check =
        fe_hash(&store->options.seed, (const uint8_t *)SEED_CHECK, sizeof(SEED_CHECK) - 1);
    for (uint32_t i = 0; i < count; i++)
        parts[i] = (part){.store = store,
                          .seed_check = seed_check,
                          .first = i + 1,
                          .step = count,
                          .block = blocks + i * PAGE};
    parts_run(parts, count);
    fe_pages_unmap(store->alloc, FE_ALLOC_ENGINE, blocks, count * PAGE);
    for (uint32_t i = 0; i < count; i++)
        if (parts[i].wrong) return fail(error, "%s", parts[i].error);
    return true;
}

static void files_count(fe_store *store)
{
    for (uint32_t n = 1; n <= store->log.high; n++) {
        if (store->log.segments[n].tier != FE_TIER_DISK) continue;
        store->tiers->file_count++;
        store->tiers->file_bytes += store->log.files[n].size;
    }
}

/* Files that the table does not name ----------------------------------------------------------- */

typedef struct orphans {
    fe_store *store;
    uint64_t removed;
    int error_code; /* of a removal; 0: none failed */
} orphans;

static void orphan_remove(void *context, uint32_t number, uint32_t generation)
{
    orphans *o = context;
    const fe_log *log = &o->store->log;
    bool named = number >= 1 && number <= log->high && log->segments[number].tier == FE_TIER_DISK &&
                 log->segments[number].generation == generation;
    if (named) return;
    if (fe_device_remove_segment(o->store->tiers->device, number, generation, &o->error_code))
        o->removed++;
}

static bool orphans_remove(fe_store *store, fe_save_report *report, char *error)
{
    orphans o = {.store = store};
    int code = 0;
    if (!fe_device_list_segments(store->tiers->device, orphan_remove, &o, &code))
        return fail(error, "log: cannot be read: %s", strerror(code));
    if (o.error_code != 0)
        return fail(error, "log: a file cannot be removed: %s", strerror(o.error_code));
    report->orphans = o.removed;
    return true;
}

/* Manifest and index --------------------------------------------------------------------------- */

typedef struct index_file {
    fe_device *device;
    int fd;
} index_file;

static bool index_read(void *context, void *data, size_t size, uint64_t offset, int *error_code)
{
    const index_file *file = context;
    int64_t got = fe_device_read(file->device, file->fd, data, size, offset, error_code);
    if (got >= 0 && (uint64_t)got < size) *error_code = EIO;
    return got >= 0 && (uint64_t)got == size;
}

static bool manifest_read(fe_store *store, fe_save_manifest *manifest, char *error)
{
    int code = 0;
    size_t size;
    fe_save_fault fault;
    uint8_t *text = fe_device_read_file(store->tiers->device, FE_SAVE_MANIFEST,
                                        FE_SAVE_MANIFEST_MAX, &size, &code);
    if (text == NULL) return fail(error, FE_SAVE_MANIFEST ": cannot be read: %s", strerror(code));
    bool sound = fe_save_manifest_read((const char *)text, size, manifest, &fault);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, text);
    return sound || fail(error, FE_SAVE_MANIFEST ": byte %llu: %s",
                         (unsigned long long)fault.offset, fault.cause);
}

static bool index_load(fe_store *store, const fe_save_manifest *manifest, char *error)
{
    char name[16], text[FE_SAVE_ERROR_MAX];
    int code = 0;
    uint64_t size;
    index_file file = {.device = store->tiers->device};
    (void)snprintf(name, sizeof(name), "index-%u", manifest->index);
    file.fd = fe_device_open_file(file.device, name, &size, &code);
    if (file.fd < 0) return fail(error, "%s: cannot be opened: %s", name, strerror(code));
    fe_save_source source = {.read = index_read,
                             .context = &file,
                             .bytes = size,
                             .crc = manifest->index_crc,
                             .keys = manifest->keys};
    bool done;
    if (size != manifest->index_bytes)
        done = fail(text, "it has %llu bytes, and the manifest says %llu", (unsigned long long)size,
                    (unsigned long long)manifest->index_bytes);
    else
        done = fe_save_load_index(store, &source, text);
    fe_device_close_fd(file.device, file.fd);
    return done || fail(error, "%s: %.200s", name, text);
}

static bool load(fe_store *store, fe_save_report *report, char *error)
{
    fe_save_manifest manifest;
    if (!manifest_read(store, &manifest, error) || !index_load(store, &manifest, error))
        return false;
    if (!files_open(store, error) || !orphans_remove(store, report, error)) return false;
    files_count(store);
    report->found = FE_SAVE_LOADED;
    report->keys = manifest.keys;
    report->segments = store->tiers->file_count;
    report->segment_bytes = store->tiers->file_bytes;
    report->index_bytes = manifest.index_bytes;
    report->saved_ms = manifest.saved_ms;
    return true;
}

/* Setting aside -------------------------------------------------------------------------------- */

static void note_segment(void *context, uint32_t number, uint32_t generation)
{
    (void)number, (void)generation;
    ++*(uint64_t *)context;
}

static bool set_aside(fe_store *store, fe_save_report *report, char *error)
{
    time_t now = (time_t)(fe_clock_wall_ms() / 1000);
    struct tm date;
    char stamp[32];
    int code = EEXIST;
    (void)gmtime_r(&now, &date);
    (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &date);
    for (unsigned i = 0; i < ASIDE_TRIES && (code == EEXIST || code == ENOTEMPTY); i++) {
        char *name = report->aside;
        (void)snprintf(name, sizeof(report->aside), i == 0 ? "log.unclean-%s" : "log.unclean-%s.%u",
                       stamp, i);
        if (fe_device_set_aside(store->tiers->device, name, &code)) return true;
    }
    return fail(error, "log: cannot be renamed to %s: %s", report->aside, strerror(code));
}

static bool start_empty(fe_store *store, fe_save_report *report, char *error)
{
    int code = 0;
    if (!fe_device_list_segments(store->tiers->device, note_segment, &report->segments, &code))
        return fail(error, "log: cannot be read: %s", strerror(code));
    if (report->segments == 0) return true;
    report->found = FE_SAVE_UNCLEAN;
    return set_aside(store, report, error);
}

/* The doors ------------------------------------------------------------------------------------ */

bool fe_save_open(fe_store *store, fe_save_report *report, char error[FE_SAVE_ERROR_MAX])
{
    FE_ASSERT(store->tiers != NULL && store->log.high == 0);
    store->tiers->keep_files = true;
    *report = (fe_save_report){.found = FE_SAVE_EMPTY};
    int64_t begun_ms = fe_clock_monotonic_ms();
    int code = 0;
    bool saved = false;
    if (!fe_device_exists(store->tiers->device, FE_SAVE_MANIFEST, &saved, &code))
        return fail(error, FE_SAVE_MANIFEST ": cannot be read: %s", strerror(code));
    bool done = saved ? load(store, report, error) : start_empty(store, report, error);
    report->took_ms = fe_clock_monotonic_ms() - begun_ms;
    return done;
}

bool fe_save_claim(fe_store *store, char error[FE_SAVE_ERROR_MAX])
{
    fe_device *device = store->tiers->device;
    int code = 0;
    if (!fe_device_remove_file(device, FE_SAVE_MANIFEST, &code))
        return fail(error, FE_SAVE_MANIFEST ": cannot be removed: %s", strerror(code));
    for (unsigned i = 1; i <= FE_SAVE_INDEXES; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "index-%u", i);
        if (!fe_device_remove_file(device, name, &code)) /* though it means nothing by itself */
            return fail(error, "%s: cannot be removed: %s", name, strerror(code));
    }
    store->tiers->keep_files = false;
    return true;
}
