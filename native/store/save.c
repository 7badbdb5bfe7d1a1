/* The clean stop: see save.h, and save_format.h for the files.
 *
 * Order of what reaches the disk: segments and their names, the index (synced), the manifest (synced).
 * A loss of power before the last leaves a folder without a manifest.
 *
 * Memory: one section of the index, and the job that flushes.
 */
#include "store/save.h"
#include "base/clock.h"
#include "base/crc.h"
#include "store/cache.h"
#include "store/fetch.h"
#include "store/save_format.h"
#include "store/store.h"
#include "store/tier.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define FLUSH_TRIES 3u
#define FLUSH_PAUSE_NS 100000000

__attribute__((format(printf, 2, 3))) static bool fail(char *error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(error, FE_SAVE_ERROR_MAX, format, list);
    va_end(list);
    return false;
}

/* Blind writes ---------------------------------------------------------------------------------- */

/* The next read; long ones may have to wait until what was read before is given back. */
static bool next_read(fe_store *store, fe_disk_read **read)
{
    if (fe_fetch_take(store, read, 1) == 1) return true;
    fe_trash trash;
    while (fe_store_trash_take(store, &trash))
        fe_trash_unmap(store->alloc, &trash);
    fe_fetch_trash_given(store);
    return fe_fetch_take(store, read, 1) == 1;
}

/* Reads what still waits to be read, one after the other, so that no slot is left whose key may have
 * another. */
static bool settle(fe_store *store, char *error)
{
    fe_disk_read *read;
    FE_ASSERT(store->fetch.in_flight == 0);
    fe_fetch_hurry(store);
    while (next_read(store, &read)) {
        int code = 0;
        int64_t got = fe_device_read(store->tiers->device, read->fd, read->buffer, read->length,
                                     read->offset, &code);
        read->result = (int32_t)(got < 0 ? -code : got);
        fe_fetch_done(store, read);
    }
    if (store->fetch.settle_count == 0) return true;
    return fail(error, "%u keys cannot be settled: no memory for their records",
                store->fetch.settle_count);
}

/* Everything into files ------------------------------------------------------------------------ */

/* False: the disk has refused a file. */
static bool flush_one(fe_store *store, fe_flush_job *job)
{
    fe_store_set_now(store, fe_clock_wall_ms());
    if (!fe_tier_flush_begin(store, job)) {
        const struct timespec pause = {0, FLUSH_PAUSE_NS};
        if (store->log.tiers[FE_TIER_SEALED].segments != 0) (void)nanosleep(&pause, NULL);
        return true;
    }
    fe_tier_flush_run(store->tiers->device, job);
    bool written = job->fd >= 0;
    fe_tier_flush_end(store, job);
    return written;
}

static bool flush_all(fe_store *store, char *error)
{
    fe_flush_job job = {.fd = -1};
    unsigned failures = 0;
    store->tiers->leaving = true; /* a bound on files must not cost what is in memory */
    store->tiers->retry_ms = store->steady_ms;
    while (fe_tier_demote_all(store, FE_TIER_MAPPED) && failures < FLUSH_TRIES) {
        if (!flush_one(store, &job)) failures++;
        (void)fe_tier_step(store, FE_SEGMENT_MIN);
        fe_tiers_run_jobs(store);
    }
    fe_flush_job_close(&job);
    fe_tiers_run_jobs(store);
    const fe_disk_error *last = &store->tiers->stats.error;
    return failures < FLUSH_TRIES || fail(error, "log/%08x-%08x.seg: cannot be written: %s",
                                          last->segment, last->generation, strerror(last->code));
}

static bool has_file(const fe_log *log, uint32_t n)
{
    uint8_t tier = log->segments[n].tier;
    return tier == FE_TIER_MAPPED || tier == FE_TIER_DISK;
}

/* One by one. */
static bool sync_each(fe_store *store, char *error)
{
    fe_device *device = store->tiers->device;
    const fe_log *log = &store->log;
    int code = 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        if (!has_file(log, n) || fe_device_sync_segment(device, log->files[n].fd, &code)) continue;
        store->tiers->sync_error = code;
        return fail(error, "log/%08x-%08x.seg: cannot be synced: %s", n,
                    log->segments[n].generation, strerror(code));
    }
    if (fe_device_sync_names(device, &code)) return true;
    store->tiers->sync_error = code;
    return fail(error, "log: cannot be synced: %s", strerror(code));
}

/* The sync of the whole also tells of errors that are over (of a file that was written anew since), and of
 * files that are not ours; and a sandbox may refuse it. What counts is what our own files say. */
static bool sync_segments(fe_store *store, char *error)
{
    int code = 0;
    if (store->tiers->sync_error != 0)
        return fail(error, "log: could not be synced: %s", strerror(store->tiers->sync_error));
    return fe_device_sync_all(store->tiers->device, &code) || sync_each(store, error);
}

/* The index file ------------------------------------------------------------------------------- */

typedef struct writer {
    fe_store *store;
    fe_device_file file;
    uint32_t crc;     /* of what was written */
    uint32_t ordinal; /* of the next section */
    uint64_t keys;
    uint64_t pending; /* the slot that may be the last of its bucket; 0: none */
    int error_code;   /* 0: all went well */
    uint32_t kind;    /* of the section in the buffer */
    size_t used;      /* of its payload */
    uint8_t *buffer;  /* a section */
} writer;

#define BUFFER_BYTES (sizeof(fe_save_section) + FE_SAVE_SECTION_MAX)

static void put_raw(writer *w, const void *data, size_t size)
{
    w->crc = fe_crc32c(w->crc, data, size);
    if (w->error_code != 0) return;
    bool taken = fe_device_file_append(&w->file, data, size, &w->error_code);
    FE_ASSERT(taken || w->error_code != 0);
}

static void section_end(writer *w)
{
    if (w->used == 0) return;
    fe_save_section *section = (fe_save_section *)(void *)w->buffer;
    *section =
        (fe_save_section){.kind = w->kind, .ordinal = w->ordinal++, .bytes = (uint32_t)w->used};
    section->crc = fe_save_section_crc(section, w->buffer + sizeof(*section));
    put_raw(w, w->buffer, sizeof(*section) + w->used);
    w->used = 0;
}

/* One item; items of a kind share sections. */
static inline void put(writer *w, fe_save_kind kind, const void *item, size_t size)
{
    if (w->kind != (uint32_t)kind || w->used + size > FE_SAVE_SECTION_MAX) section_end(w);
    w->kind = (uint32_t)kind;
    memcpy(w->buffer + sizeof(fe_save_section) + w->used, item, size);
    w->used += size;
}

static void put_head(writer *w, int64_t now_ms)
{
    const fe_store *store = w->store;
    fe_save_head head = {.magic = FE_SAVE_MAGIC,
                         .version = FE_SAVE_VERSION,
                         .databases = store->options.databases,
                         .seed = store->options.seed,
                         .saved_ms = now_ms,
                         .sequence = store->log.sequence,
                         .keys = w->keys,
                         .high = store->log.high,
                         .offset_bits = store->log.offset_bits,
                         .id_last = store->id_last};
    head.crc = fe_save_head_crc(&head);
    put_raw(w, &head, sizeof(head));
}

static void put_segments(writer *w)
{
    const fe_log *log = &w->store->log;
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        const fe_segment_file *file = &log->files[n];
        fe_save_segment row = {.generation = segment->generation};
        if (has_file(log, n)) {
            row.record_max = file->record_max;
            row.sequence = segment->sequence;
            row.bytes = segment->bytes;
            row.used = segment->used;
            row.live = segment->live;
            row.file_size = file->size;
            row.frozen_ms = file->frozen_ms;
            row.keyspace = segment->keyspace;
            row.role = segment->role;
            row.miscounted = file->miscounted;
            row.deadlines = log->deadlines[n];
        }
        put(w, FE_SAVE_SEGMENTS, &row, sizeof(row));
    }
}

/* The slot as it is when nothing is in memory. */
static uint64_t slot_at_home(const fe_log *log, uint64_t slot)
{
    fe_address address = fe_slot_address(slot);
    if (fe_log_segment(log, address)->tier == FE_TIER_CACHE) address = fe_cache_home(log, address);
    FE_ASSERT(has_file(log, fe_address_segment(address, log->offset_bits)));
    return (slot & ~(FE_ADDRESS_MASK | FE_SLOT_UNSETTLED)) | address;
}

static void put_slot(void *context, uint64_t slot)
{
    writer *w = context;
    if (w->pending != 0) put(w, FE_SAVE_SLOTS, &w->pending, sizeof(w->pending));
    w->pending = slot_at_home(&w->store->log, slot);
}

static void put_database(writer *w, uint32_t db)
{
    const fe_keyspace *keyspace = w->store->databases[db];
    const fe_index *index = &keyspace->index;
    fe_save_database row = {.number = db,
                            .keyspace = keyspace->id,
                            .keys = index->count,
                            .expires = keyspace->expires,
                            .sum_low = (uint64_t)keyspace->deadline_sum,
                            .sum_high = (uint64_t)(keyspace->deadline_sum >> 64),
                            .buckets = index->count == 0 ? 0 : index->buckets};
    put(w, FE_SAVE_DATABASE, &row, sizeof(row));
    for (uint64_t bucket = 0; bucket < row.buckets && w->error_code == 0; bucket++) {
        w->pending = 0;
        (void)fe_index_visit_bucket(index, bucket, put_slot, w);
        w->pending |= FE_SAVE_LAST;
        put(w, FE_SAVE_SLOTS, &w->pending, sizeof(w->pending));
    }
    section_end(w);
}

static void put_all(writer *w, int64_t now_ms)
{
    put_head(w, now_ms);
    put_segments(w);
    put(w, FE_SAVE_STATES, w->store->id_state, FE_SAVE_IDS);
    for (uint32_t db = 0; db < w->store->options.databases; db++)
        put_database(w, db);
    section_end(w);
}

_Static_assert(FE_KEYSPACE_MAX + 1 == FE_SAVE_IDS, "the table of ids is the payload");

/* Writes the index file; false with *error_code. */
static bool write_index(writer *w, uint32_t index, int64_t now_ms, int *error_code)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "index-%u", index);
    w->buffer = fe_alloc_take(w->store->alloc, FE_ALLOC_ENGINE, BUFFER_BYTES);
    if (w->buffer == NULL) {
        *error_code = ENOMEM;
        return false;
    }
    bool done = fe_device_file_begin(w->store->tiers->device, &w->file, name, error_code);
    if (done) {
        put_all(w, now_ms);
        done = w->error_code == 0 && fe_device_file_commit(&w->file, &w->error_code);
        if (!done) *error_code = w->error_code;
        if (!done) fe_device_file_abandon(&w->file);
    }
    fe_alloc_give(w->store->alloc, FE_ALLOC_ENGINE, w->buffer);
    return done;
}

/* The run -------------------------------------------------------------------------------------- */

#define INDEX 1u /* FE_RESERVE_INDEX */

/* The index, unless an earlier try has written it: there need not be room for a second one. */
static bool save_index(fe_store *store, int64_t now_ms, char *error)
{
    fe_device *device = store->tiers->device;
    fe_save_index *saved = &store->tiers->saved;
    int code = 0;
    writer w = {.store = store};
    if (saved->bytes != 0) return true;
    for (uint32_t db = 0; db < store->options.databases; db++)
        w.keys += store->databases[db]->index.count;
    bool done = write_index(&w, INDEX, now_ms, &code);
    if (done || w.file.device != NULL) fe_reserve_set(device, done ? 0 : w.file.room);
    if (!done) return fail(error, "index-%u: cannot be written: %s", INDEX, strerror(code));
    *saved =
        (fe_save_index){.bytes = w.file.size, .keys = w.keys, .saved_ms = now_ms, .crc = w.crc};
    return true;
}

static bool save_manifest(fe_store *store, const char *server, fe_save_report *report, char *error)
{
    const fe_save_index *saved = &store->tiers->saved;
    int code = 0;
    report->saved_ms = saved->saved_ms;
    report->keys = saved->keys;
    report->segments = store->tiers->file_count;
    report->segment_bytes = store->tiers->file_bytes;
    report->index_bytes = saved->bytes;
    fe_save_manifest manifest = {.saved_ms = report->saved_ms,
                                 .index = INDEX,
                                 .index_bytes = saved->bytes,
                                 .index_crc = saved->crc,
                                 .keys = saved->keys,
                                 .segments = report->segments};
    (void)snprintf(manifest.server, sizeof(manifest.server), "%s", server);
    char text[FE_SAVE_MANIFEST_MAX];
    size_t size = fe_save_manifest_write(&manifest, text);
    return fe_device_write_file(store->tiers->device, FE_SAVE_MANIFEST, text, size, &code) ||
           fail(error, FE_SAVE_MANIFEST ": cannot be written: %s", strerror(code));
}

bool fe_save_run(fe_store *store, const char *server, fe_save_report *report,
                 char error[FE_SAVE_ERROR_MAX])
{
    FE_ASSERT(store->tiers != NULL);
    store->tiers->keep_files = true;
    *report = (fe_save_report){.saved_ms = fe_clock_wall_ms()};
    int64_t begun_ms = fe_clock_monotonic_ms();
    if (!settle(store, error)) return false;
    if (!flush_all(store, error)) return false;
    if (!sync_segments(store, error)) return false;
    if (!save_index(store, report->saved_ms, error)) return false;
    if (!save_manifest(store, server, report, error)) return false;
    store->tiers->saved = (fe_save_index){0};
    report->took_ms = fe_clock_monotonic_ms() - begun_ms;
    return true;
}

void fe_save_leave_files(fe_store *store)
{
    fe_device *device = store->tiers->device;
    fe_log *log = &store->log;
    fe_tiers_run_jobs(store);
    for (uint32_t n = 1; n <= log->high; n++) {
        fe_segment_file *file = &log->files[n];
        if (!has_file(log, n)) continue;
        fe_segment *segment = &log->segments[n];
        if (segment->base != NULL)
            fe_device_unmap(device, file->fd, segment->base, (segment->used + 4095) & ~4095ull);
        if (file->fd >= 0) fe_device_close_fd(device, file->fd);
        file->fd = -1;
    }
    fe_log_forget_files(log);
    store->tiers->file_count = store->tiers->file_bytes = 0;
}
