/* Opening the data folder: see save.h. */
#include "base/clock.h"
#include "store/save.h"
#include "store/save_files.h"
#include "store/save_format.h"
#include "store/store.h"
#include "store/tier.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define ASIDE_TRIES 100u

__attribute__((format(printf, 2, 3))) static bool fail(char *error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(error, FE_SAVE_ERROR_MAX, format, list);
    va_end(list);
    return false;
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
    if (!fe_save_files_open(store, &report->can_serve, error) ||
        !orphans_remove(store, report, error))
        return false;
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
    fe_reserve_job room;
    fe_reserve_drop(device); /* left by a server that was killed, however large its index was */
    fe_reserve_begin(store, &room);
    (void)!fe_reserve_run(device, &room, &code); /* if there is no room, a flush says so */
    return true;
}

void fe_save_discard(fe_store *store)
{
    store->tiers->keep_files = false;
}
