/* Frozen jobs over the disk in memory of disk_fake.h: their reads go through a device whose pread is
 * the test's, with errors and flipped bits as it wants.
 */
#ifndef FE_TESTS_STORE_FROZEN_FAKE_H
#define FE_TESTS_STORE_FROZEN_FAKE_H

#include "store/store.h"
#include "tests/store/disk_fake.h"
#include "tests/store/faults.h"

typedef struct frozen_fake {
    fake_disk *d;
    fe_store *store;
    fe_alloc alloc; /* of the device */
    fe_device_calls calls;
    fe_device *device;
    char path[128];
    int read_errors;  /* reads from now on that fail with EIO */
    int bad_fd;       /* a file with a block that cannot be read ... */
    uint64_t bad_at;  /* ... here */
    uint64_t flip_at; /* byte of a file that is read with another bit ... */
    int flip_fd;      /* ... of this one ... */
    int flips;        /* ... so often from now on */
    fe_frozen_job job;
    fe_frozen_next next; /* of the job, while one is under way */
    bool busy;
} frozen_fake;

static inline ssize_t frozen_pread(void *context, int fd, void *data, size_t size, off_t offset)
{
    frozen_fake *t = context;
    const fake_file *file = &t->d->files[fd - 1];
    CHECK((uintptr_t)data % 4096 == 0 && size % 4096 == 0 && offset % 4096 == 0);
    if (t->read_errors > 0) {
        t->read_errors--;
        errno = EIO;
        return -1;
    }
    if (fd == t->bad_fd && t->bad_at >= (uint64_t)offset && t->bad_at < (uint64_t)offset + size) {
        errno = EIO;
        return -1;
    }
    if ((size_t)offset >= file->size) return 0;
    if (size > file->size - (size_t)offset) size = file->size - (size_t)offset;
    memcpy(data, file->image + offset, size);
    uint64_t begin = (uint64_t)offset;
    if (t->flips > 0 && fd == t->flip_fd && t->flip_at >= begin && t->flip_at < begin + size) {
        t->flips--;
        ((uint8_t *)data)[t->flip_at - begin] ^= 16;
    }
    return (ssize_t)size;
}

static inline frozen_fake *frozen_open(const fe_store_options *options)
{
    frozen_fake *t = calloc(1, sizeof(*t));
    t->d = malloc(sizeof(*t->d));
    fake_open(t->d, options);
    t->store = t->d->f.store;
    fe_cache_set_budget(t->store, 1 << 20);
    fe_alloc_init(&t->alloc);
    t->calls = fe_device_system;
    t->calls.context = t;
    t->calls.pread = frozen_pread;
    folder_make(t->path);
    char error[256];
    t->device = fe_device_open(&t->alloc, t->path, &t->calls, error);
    if (t->device == NULL) abort();
    return t;
}

static inline frozen_fake *frozen_new(void)
{
    fe_store_options options = fixture_options();
    return frozen_open(&options);
}

static inline void frozen_stop(frozen_fake *t)
{
    if (t->busy) fe_frozen_end(t->store, &t->job);
    t->busy = false;
}

static inline void frozen_free(frozen_fake *t)
{
    frozen_stop(t);
    fe_frozen_job_close(&t->job);
    fake_free(t->d);
    fe_device_close(t->device);
    CHECK_INT(0, fe_alloc_used_all(&t->alloc));
    remove_folder(t->path);
    free(t);
}

/* Does the next thing of the job under way, or begins one; false: nothing is due, or the job waits. */
static inline bool frozen_advance(frozen_fake *t)
{
    if (!t->busy) {
        t->busy = fe_frozen_begin(t->store, &t->job);
        t->next = FE_FROZEN_READ;
        return t->busy;
    }
    if (t->next == FE_FROZEN_READ) {
        fe_frozen_read(t->device, &t->job);
        t->next = FE_FROZEN_STEP;
        return true;
    }
    t->next = fe_frozen_step(t->store, &t->job);
    if (t->next == FE_FROZEN_DONE) frozen_stop(t);
    return t->next != FE_FROZEN_WAIT;
}

static inline void frozen_later(frozen_fake *t, int64_t ms)
{
    fe_store_set_now(t->store, fe_store_now(t->store) + ms);
}

/* One whole job, of this purpose; false: nothing was due. */
static inline bool frozen_job(frozen_fake *t, fe_frozen_purpose purpose)
{
    if (!frozen_advance(t)) return false;
    CHECK_INT(purpose, t->job.purpose);
    while (t->busy)
        if (!frozen_advance(t)) frozen_later(t, 10);
    fake_clean(t->d);
    return true;
}

/* Jobs of this purpose until nothing is due; how many. */
static inline unsigned frozen_jobs(frozen_fake *t, fe_frozen_purpose purpose)
{
    unsigned count = 0;
    while (count < 10000 && frozen_job(t, purpose))
        count++;
    return count;
}

/* Reads the key if it is on disk. */
static inline void frozen_fetch(frozen_fake *t, uint32_t db, uint64_t i, fe_need need)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    uint64_t hash = fe_key_hash(&t->d->f.seed, name);
    fe_waiter waiter = {0};
    while (!fe_fetch_key(t->store, db, name, hash, need, &waiter) && waiter.error == 0)
        fake_complete_all(t->d);
    fe_waiter_close(t->store, &waiter);
}

/* Keys of database `db`, with values as fake_fill writes them. */
static inline void frozen_set(frozen_fake *t, uint32_t db, uint64_t i, int64_t deadline)
{
    frozen_fetch(t, db, i, FE_NEED_EXACT);
    name_buf buf;
    char text[100] = {0};
    snprintf(text, sizeof text, "value %" PRIu64, i);
    fe_bytes value = {(const uint8_t *)text, sizeof text};
    CHECK(set(&t->d->f, db, name_of(&buf, i), value, deadline));
}

static inline bool frozen_has(frozen_fake *t, uint32_t db, uint64_t i)
{
    name_buf buf;
    char text[100] = {0};
    snprintf(text, sizeof text, "value %" PRIu64, i);
    frozen_fetch(t, db, i, FE_NEED_READ);
    return has(&t->d->f, db, name_of(&buf, i), (fe_bytes){(const uint8_t *)text, sizeof text});
}

static inline bool frozen_del(frozen_fake *t, uint32_t db, uint64_t i)
{
    name_buf buf;
    frozen_fetch(t, db, i, FE_NEED_REMOVE);
    return del(&t->d->f, db, name_of(&buf, i));
}

/* The slot of a key that is on disk, or in the read cache. */
static inline uint64_t *frozen_slot(frozen_fake *t, uint32_t db, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    uint64_t hash = fe_key_hash(&t->d->f.seed, name);
    fe_record *record;
    const fe_index *index = &t->store->databases[db]->index;
    uint64_t *slot = fe_index_find(index, name, hash, &record);
    return slot != NULL ? slot : fe_index_find_cold(index, hash, NULL);
}

/* Live bytes of each segment as the slots have it. */
typedef struct frozen_count {
    const frozen_fake *t;
    uint64_t live[FAKE_FILES];
    uint64_t expires;
} frozen_count;

static inline void frozen_count_slot(void *context, uint64_t slot)
{
    frozen_count *count = context;
    const fe_log *log = &count->t->store->log;
    fe_address address = fe_slot_address(slot);
    if (fe_cache_holds(log, address)) address = fe_cache_home(log, address);
    uint32_t n = fe_address_segment(address, log->offset_bits);
    const fe_record *record = fe_log_at(log, address);
    if (log->segments[n].tier == FE_TIER_DISK)
        record = (const fe_record *)(fake_file_of(count->t->d, n)->image +
                                     fe_address_offset(address, log->offset_bits));
    count->live[n] += fe_record_size(record);
    count->expires += fe_record_deadline(record) != FE_DEADLINE_NONE;
}

/* Every account is right, that no keyspace's death has left for a recount. */
static inline void frozen_check(frozen_fake *t)
{
    check_store(&t->d->f);
    frozen_count *count = calloc(1, sizeof(*count));
    count->t = t;
    uint64_t expires = 0;
    for (uint32_t i = 0; i < t->store->options.databases; i++) {
        const fe_keyspace *keyspace = &t->store->keyspaces[i];
        expires += keyspace->expires;
        for (uint64_t b = 0; b < keyspace->index.buckets; b++)
            (void)fe_index_visit_bucket(&keyspace->index, b, frozen_count_slot, count);
    }
    const fe_log *log = &t->store->log;
    bool unswept = t->store->compact.dead_ids != 0 || t->store->compact.sweep_sequence != 0;
    for (uint32_t n = 1; n <= log->high; n++) {
        const fe_segment *segment = &log->segments[n];
        if (!(segment->tier == FE_TIER_DISK || segment->tier == FE_TIER_MAPPED)) continue;
        if (unswept || log->files[n].miscounted || (t->busy && t->job.segment == n))
            CHECK(segment->live >= count->live[n]);
        else
            CHECK_INT(count->live[n], segment->live);
    }
    CHECK_INT(expires, count->expires);
    free(count);
}

static inline fe_frozen_stats frozen_stats(const frozen_fake *t)
{
    fe_frozen_stats stats;
    fe_frozen_stats_get(t->store, &stats);
    return stats;
}

#endif
