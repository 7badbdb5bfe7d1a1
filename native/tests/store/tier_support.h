/* A tiered store over a temporary folder, with a device whose calls can be made to fail. */
#ifndef FE_TESTS_STORE_TIER_SUPPORT_H
#define FE_TESTS_STORE_TIER_SUPPORT_H

#include "store/store.h"
#include "store/tier.h"
#include "tests/folder.h"
#include "tests/store/support.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Which calls fail, and how. */
typedef struct faults {
    int write_error;   /* errno of every write; 0: none */
    int take_error;    /* of the disk's taking what was written */
    int sync_error;    /* of every sync of a file */
    int all_error;     /* of every sync of the whole */
    int folder_error;  /* of every sync of a folder */
    int unlink_error;  /* of every removal */
    bool writes_short; /* every write takes a part of what it is given */
    bool map_refused;
    int allocate_error; /* of every request for room */
    int full_error;     /* of every write behind what a file has */
    uint64_t room;      /* bytes that the disk has for files; 0: as many as come */
    uint64_t taken;     /* of them, by what is there */
    int room_error;     /* errno when there are no more */
    uint64_t writes, unlinks, syncs, no_rooms;
} faults;

/* Whether the file has those bytes already. */
static bool has_room(int fd, off_t end)
{
    struct stat about;
    return fstat(fd, &about) == 0 && about.st_size >= end;
}

static int faulty_allocate(void *context, int fd, off_t size)
{
    faults *f = context;
    if (f->allocate_error == 0) return fe_device_system.allocate(NULL, fd, size);
    errno = f->allocate_error;
    return -1;
}

static ssize_t faulty_pwrite(void *context, int fd, const void *data, size_t size, off_t offset)
{
    faults *f = context;
    f->writes++;
    if (f->room != 0 && f->taken + size > f->room) {
        size = (f->room - f->taken) & ~(size_t)4095;
        f->no_rooms += size == 0;
        errno = f->room_error;
        if (size == 0) return -1;
    }
    if (f->write_error != 0) {
        errno = f->write_error;
        return -1;
    }
    if (f->full_error != 0 && !has_room(fd, offset + (off_t)size)) {
        errno = f->full_error;
        return -1;
    }
    if (f->writes_short && size > 4096) size = (size / 3) & ~(size_t)511;
    ssize_t written = fe_device_system.pwrite(NULL, fd, data, size, offset);
    if (written > 0) f->taken += (uint64_t)written;
    return written;
}

/* A file system that is known, wherever the tests run. */
static int64_t faulty_kind(void *context, int fd)
{
    (void)context, (void)fd;
    return 0xef53;
}

static int faulty_write_back(void *context, int fd)
{
    faults *f = context;
    if (f->take_error == 0) return fe_device_system.write_back(NULL, fd);
    errno = f->take_error;
    return -1;
}

static int faulty_datasync(void *context, int fd)
{
    faults *f = context;
    f->syncs++;
    if (f->sync_error == 0) return fe_device_system.datasync(NULL, fd);
    errno = f->sync_error;
    return -1;
}

static int faulty_sync_folder(void *context, int fd)
{
    faults *f = context;
    if (f->folder_error == 0) return fe_device_system.sync_folder(NULL, fd);
    errno = f->folder_error;
    return -1;
}

static int faulty_sync_all(void *context, int fd)
{
    faults *f = context;
    if (f->all_error == 0) return fe_device_system.sync_all(NULL, fd);
    errno = f->all_error;
    return -1;
}

static int faulty_unlinkat(void *context, int folder, const char *name)
{
    faults *f = context;
    f->unlinks++;
    if (f->unlink_error != 0) {
        errno = f->unlink_error;
        return -1;
    }
    struct stat about;
    if (fstatat(folder, name, &about, 0) == 0) f->taken -= (uint64_t)about.st_size;
    return fe_device_system.unlinkat(NULL, folder, name);
}

static void *faulty_map(void *context, int fd, size_t size)
{
    faults *f = context;
    return f->map_refused ? NULL : fe_device_system.map(NULL, fd, size);
}

typedef struct tiered {
    fixture f;
    faults faults;
    fe_device_calls calls;
    fe_device *device;
    char path[64];
} tiered;

#define MUTABLE_SIZE (512u << 10)
#define READONLY_SIZE (256u << 10)

static inline fe_store_options tiered_options(void)
{
    fe_store_options options = fixture_options();
    options.mutable_size = MUTABLE_SIZE;
    options.readonly_size = READONLY_SIZE;
    return options;
}

static inline void tiered_open(tiered *t, fe_store_options options)
{
    char error[256];
    memset(t, 0, sizeof(*t));
    fe_alloc_init(&t->f.alloc);
    strcpy(t->path, "/tmp/ferrite-tier-XXXXXX");
    if (mkdtemp(t->path) == NULL) abort();
    t->calls = fe_device_system;
    t->calls.context = &t->faults;
    t->calls.pwrite = faulty_pwrite;
    t->calls.allocate = faulty_allocate;
    t->calls.kind = faulty_kind;
    t->calls.write_back = faulty_write_back;
    t->calls.datasync = faulty_datasync;
    t->calls.sync_folder = faulty_sync_folder;
    t->calls.sync_all = faulty_sync_all;
    t->calls.unlinkat = faulty_unlinkat;
    t->calls.map = faulty_map;
    t->device = fe_device_open(&t->f.alloc, t->path, &t->calls, error);
    if (t->device == NULL) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    options.device = t->device;
    t->f.store = fe_store_new(&t->f.alloc, &options);
    t->f.seed = options.seed;
    if (t->f.store == NULL) abort();
    fe_store_set_now(t->f.store, START_MS);
}

static void count_file(void *context, uint32_t number, uint32_t generation)
{
    (void)number, (void)generation;
    ++*(uint64_t *)context;
}

static inline uint64_t files_in_folder(tiered *t)
{
    uint64_t count = 0;
    int code = 0;
    CHECK(fe_device_list_segments(t->device, count_file, &count, &code));
    return count;
}

/* No file is left, and no byte. */
static inline void tiered_close(tiered *t)
{
    t->faults.unlink_error = 0;
    fe_store_free(t->f.store);
    CHECK_INT(0, files_in_folder(t));
    fe_device_close(t->device);
    CHECK_INT(0, fe_alloc_used_all(&t->f.alloc));
    remove_folder(t->path);
}

static inline fe_tier_stats stats_of(tiered *t)
{
    fe_tier_stats stats;
    fe_tier_stats_get(t->f.store, &stats);
    return stats;
}

static inline uint32_t oldest(tiered *t, fe_tier tier)
{
    return t->f.store->log.tiers[tier].oldest;
}

/* Flushes everything that is sealed; false when the disk refused. */
static inline bool flush_sealed(tiered *t)
{
    fe_flush_job job = {.fd = -1};
    bool good = true;
    while (good && fe_tier_flush_begin(t->f.store, &job)) {
        fe_tier_flush_run(t->device, &job);
        good = job.fd >= 0;
        fe_tier_flush_end(t->f.store, &job);
    }
    fe_flush_job_close(&job);
    return good;
}

static inline void run_jobs(tiered *t)
{
    fe_unmap_job unmap;
    while (fe_tier_unmap_take(t->f.store, &unmap)) {
        fe_tier_unmap_run(t->device, &unmap);
        fe_tier_unmap_done(t->f.store, &unmap);
    }
    fe_dead_job dead;
    do {
        while (fe_tier_dead_take(t->f.store, &dead)) {
            fe_tier_dead_run(t->device, &dead);
            fe_tier_dead_done(t->f.store, &dead);
        }
    } while (t->f.store->log.dead_head != 0);
}

/* What the threads do while there is more to do. */
static inline void settle_tiers(tiered *t)
{
    for (unsigned i = 0; i < 1000; i++) {
        bool more = fe_tier_step(t->f.store, 65536);
        uint64_t flushed = stats_of(t).flushed;
        (void)flush_sealed(t);
        run_jobs(t);
        if (!more && stats_of(t).flushed == flushed) return;
    }
    CHECK(!"steps without end");
}

static inline void demote_all(tiered *t, fe_tier to)
{
    for (unsigned i = 0; i < 1000; i++) {
        if (!fe_tier_demote_all(t->f.store, to)) return;
        if (to != FE_TIER_SEALED) (void)flush_sealed(t);
        run_jobs(t);
    }
    CHECK(!"demotion without end");
}

/* A value of `len` bytes that follows from the number. */
static inline fe_bytes value_of(uint8_t *buf, uint64_t number, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(number * 31 + i * 7);
    return (fe_bytes){buf, len};
}

/* Writes keys [from, to) with values of `len` bytes, up to 64 KiB. */
static inline void fill(tiered *t, uint64_t from, uint64_t to, size_t len)
{
    static uint8_t buf[65536];
    for (uint64_t i = from; i < to; i++) {
        name_buf name;
        CHECK(set(&t->f, 0, name_of(&name, i), value_of(buf, i, len), FE_DEADLINE_NONE));
    }
}

/* Whether the key is in memory, with that value. */
static inline bool has_value(tiered *t, uint64_t number, size_t len)
{
    static uint8_t buf[65536];
    name_buf name;
    fe_record *record;
    fe_bytes bytes = name_of(&name, number);
    const fe_index *index = &t->f.store->databases[0]->index;
    if (fe_index_find(index, bytes, fe_key_hash(&t->f.seed, bytes), &record) == NULL) return false;
    return has(&t->f, 0, name_of(&name, number), value_of(buf, number, len));
}

/* Brings what may be the key from disk into memory, as a session and its disk would. */
static inline void make_resident(tiered *t, uint32_t db, fe_bytes name, uint64_t hash)
{
    fe_waiter waiter = {.wake = NULL};
    while (!fe_fetch_key(t->f.store, db, name, hash, FE_NEED_EXACT, &waiter)) {
        fe_disk_read *read;
        fe_fetch_hurry(t->f.store);
        while (fe_fetch_take(t->f.store, &read, 1) == 1) {
            int code = 0;
            ssize_t got = fe_device_read(t->device, read->fd, read->buffer, read->length,
                                         read->offset, &code);
            read->result = got < 0 ? -code : (int32_t)got;
            fe_fetch_check(read);
            fe_fetch_done(t->f.store, read);
        }
        CHECK_INT(0, waiter.error);
    }
    fe_waiter_close(t->f.store, &waiter);
}

/* Reads a record of a segment on disk as far as its own size; into memory that the caller frees. */
static inline fe_record *read_cold(tiered *t, fe_address address)
{
    const fe_log *log = &t->f.store->log;
    uint32_t n = fe_address_segment(address, log->offset_bits);
    uint64_t offset = fe_address_offset(address, log->offset_bits);
    uint64_t from = offset & ~4095ull, size = log->files[n].size - from;
    uint64_t most = (uint64_t)log->files[n].record_max * 8 + 8192;
    if (size > most) size = most & ~4095ull;
    uint8_t *data = aligned_alloc(4096, size);
    int code = 0;
    CHECK_INT((int64_t)size, fe_device_read(t->device, log->files[n].fd, data, size, from, &code));
    const uint8_t *at = data + (offset - from);
    size_t bytes = fe_image_record_size(at, size - (offset - from));
    CHECK(bytes != 0 && bytes != FE_IMAGE_IMPOSSIBLE && bytes <= size - (offset - from));
    CHECK(fe_image_record_check(at, bytes));
    fe_record *record = malloc(bytes);
    memcpy(record, at, bytes);
    free(data);
    return record;
}

#endif
