/* The calls of a device, with faults: the n-th call fails, every call is interrupted once, every
 * transfer is short. And a temporary folder to have them in.
 *
 *     faults f;
 *     faults_init(&f);
 *     for (int n = 0; faults_next(&f, n, EIO); n++) { ...one operation through &f.calls...; }
 *
 * runs the operation with its first call failing, then its second, and so on, and a last time, with
 * f.fired false, without any failing. close never fails, and unmap cannot.
 */
#ifndef FE_TESTS_STORE_FAULTS_H
#define FE_TESTS_STORE_FAULTS_H

#include "store/device.h"
#include "tests/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FAULT_OPEN,
    FAULT_MKDIR,
    FAULT_WRITE,
    FAULT_READ,
    FAULT_WRITE_BACK,
    FAULT_SYNC,
    FAULT_SYNC_FOLDER,
    FAULT_SYNC_ALL,
    FAULT_UNLINK
};
enum { FAULT_RENAME = FAULT_UNLINK + 1, FAULT_MAP, FAULT_ALLOCATE, FAULT_CALLS };

typedef struct faults {
    fe_device_calls calls;
    _Atomic int fail_after; /* calls that go well first; negative: none fails */
    int error;
    int only;         /* the one call that is counted and fails, or -1 */
    bool interrupt;   /* every other call fails with EINTR */
    size_t piece;     /* the most that one transfer moves, or 0 */
    int64_t kind;     /* of the file system; 0: ext4 */
    int refuse_flags; /* open with one of them fails with EINVAL */
    _Atomic bool fired;
    _Atomic int count[FAULT_CALLS]; /* calls that got through to the system or failed on purpose */
    _Atomic bool interrupted[FAULT_CALLS];
} faults;

static inline bool faults_trip(faults *f, int call)
{
    if (f->interrupt && !atomic_exchange(&f->interrupted[call], true)) {
        errno = EINTR;
        return true;
    }
    f->interrupted[call] = false;
    f->count[call]++;
    if (f->only >= 0 && f->only != call) return false;
    if (f->fail_after < 0 || atomic_fetch_sub(&f->fail_after, 1) != 0) return false;
    f->fired = true;
    errno = f->error;
    return true;
}

static inline int faults_openat(void *context, int folder, const char *name, int flags,
                                unsigned mode)
{
    faults *f = context;
    if (faults_trip(f, FAULT_OPEN)) return -1;
    if ((flags & f->refuse_flags) != 0) {
        errno = EINVAL;
        return -1;
    }
    return fe_device_system.openat(NULL, folder, name, flags, mode);
}

static inline int faults_mkdirat(void *context, int folder, const char *name, unsigned mode)
{
    if (faults_trip(context, FAULT_MKDIR)) return -1;
    return fe_device_system.mkdirat(NULL, folder, name, mode);
}

static inline ssize_t faults_pwrite(void *context, int fd, const void *data, size_t size, off_t at)
{
    faults *f = context;
    if (faults_trip(f, FAULT_WRITE)) return -1;
    if (f->piece != 0 && size > f->piece) size = f->piece;
    return fe_device_system.pwrite(NULL, fd, data, size, at);
}

static inline ssize_t faults_pread(void *context, int fd, void *data, size_t size, off_t at)
{
    faults *f = context;
    if (faults_trip(f, FAULT_READ)) return -1;
    if (f->piece != 0 && size > f->piece) size = f->piece;
    return fe_device_system.pread(NULL, fd, data, size, at);
}

static inline int faults_allocate(void *context, int fd, off_t size)
{
    return faults_trip(context, FAULT_ALLOCATE) ? -1 : fe_device_system.allocate(NULL, fd, size);
}

/* A file system that is known, wherever the tests run. */
static inline int64_t faults_kind(void *context, int fd)
{
    (void)fd;
    const faults *f = context;
    return f->kind != 0 ? f->kind : 0xef53;
}

static inline int faults_write_back(void *context, int fd)
{
    return faults_trip(context, FAULT_WRITE_BACK) ? -1 : fe_device_system.write_back(NULL, fd);
}

static inline int faults_datasync(void *context, int fd)
{
    return faults_trip(context, FAULT_SYNC) ? -1 : fe_device_system.datasync(NULL, fd);
}

static inline int faults_sync_folder(void *context, int fd)
{
    return faults_trip(context, FAULT_SYNC_FOLDER) ? -1 : fe_device_system.sync_folder(NULL, fd);
}

static inline int faults_sync_all(void *context, int fd)
{
    return faults_trip(context, FAULT_SYNC_ALL) ? -1 : fe_device_system.sync_all(NULL, fd);
}

static inline int faults_unlinkat(void *context, int folder, const char *name)
{
    return faults_trip(context, FAULT_UNLINK) ? -1 : fe_device_system.unlinkat(NULL, folder, name);
}

static inline int faults_renameat(void *context, int folder, const char *from, const char *to)
{
    if (faults_trip(context, FAULT_RENAME)) return -1;
    return fe_device_system.renameat(NULL, folder, from, to);
}

static inline void *faults_map(void *context, int fd, size_t size)
{
    faults *f = context;
    bool interrupt = f->interrupt; /* mmap is never interrupted */
    f->interrupt = false;
    void *ptr = faults_trip(f, FAULT_MAP) ? NULL : fe_device_system.map(NULL, fd, size);
    f->interrupt = interrupt;
    return ptr;
}

static inline void faults_init(faults *f)
{
    memset(f, 0, sizeof *f);
    f->fail_after = -1;
    f->only = -1;
    f->calls = (fe_device_calls){
        .context = f,
        .openat = faults_openat,
        .mkdirat = faults_mkdirat,
        .pwrite = faults_pwrite,
        .pread = faults_pread,
        .allocate = faults_allocate,
        .kind = faults_kind,
        .write_back = faults_write_back,
        .datasync = faults_datasync,
        .sync_folder = faults_sync_folder,
        .sync_all = faults_sync_all,
        .unlinkat = faults_unlinkat,
        .renameat = faults_renameat,
        .map = faults_map,
        .unmap = fe_device_system.unmap,
        .close = fe_device_system.close,
    };
}

/* Lets the call after `n` more fail once with `error`. False when the one before did not fire: all
 * have had their turn. */
static inline bool faults_next(faults *f, int n, int error)
{
    if (n > 0 && !f->fired) return false;
    f->fired = false;
    f->error = error;
    f->fail_after = n;
    return true;
}

/* From now on all goes well; `fired` stays as it is. */
static inline void faults_stop(faults *f)
{
    f->fail_after = -1;
}

/* Makes a folder that is empty; `path` has room for 128 bytes. */
static inline void folder_make(char *path)
{
    const char *above = getenv("TMPDIR");
    snprintf(path, 128, "%.80s/ferrite-test-XXXXXX", above != NULL ? above : "/tmp");
    if (mkdtemp(path) == NULL) abort();
}

/* Descriptors that this process has open. */
static inline int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL) closedir(folder);
    return count;
}

#endif
