/* The system's calls, as fe_device_calls names them. */
#define _GNU_SOURCE /* sync_file_range, syncfs, fallocate */
#include "store/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int call_openat(void *context, int folder, const char *name, int flags, unsigned mode)
{
    (void)context;
    return openat(folder, name, flags, (mode_t)mode);
}

static int call_mkdirat(void *context, int folder, const char *name, unsigned mode)
{
    (void)context;
    return mkdirat(folder, name, (mode_t)mode);
}

static ssize_t call_pwrite(void *context, int fd, const void *data, size_t size, off_t offset)
{
    (void)context;
    return pwrite(fd, data, size, offset);
}

static ssize_t call_pread(void *context, int fd, void *data, size_t size, off_t offset)
{
    (void)context;
    return pread(fd, data, size, offset);
}

static int call_allocate(void *context, int fd, off_t size)
{
    (void)context;
    return fallocate(fd, 0, 0, size);
}

static int64_t call_kind(void *context, int fd)
{
    (void)context;
    struct statfs about;
    return fstatfs(fd, &about) == 0 ? (int64_t)about.f_type : -1;
}

/* Data only: no journal is written and no cache of the disk is emptied, which is what takes long. Where
 * it is refused, the whole sync. */
static int call_write_back(void *context, int fd)
{
    (void)context;
    unsigned how = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (sync_file_range(fd, 0, 0, how) == 0) return 0;
    if (errno != ENOSYS && errno != ESPIPE && errno != EINVAL) return -1;
    return fdatasync(fd);
}

static int call_datasync(void *context, int fd)
{
    (void)context;
    return fdatasync(fd);
}

/* Not fdatasync: it may leave out a new name that did not make the folder longer. */
static int call_sync_folder(void *context, int fd)
{
    (void)context;
    return fsync(fd);
}

static int call_sync_all(void *context, int fd)
{
    (void)context;
    return syncfs(fd);
}

static int call_unlinkat(void *context, int folder, const char *name)
{
    (void)context;
    return unlinkat(folder, name, 0);
}

static int call_renameat(void *context, int folder, const char *from, const char *to)
{
    (void)context;
    return renameat(folder, from, folder, to);
}

static void *call_map(void *context, int fd, size_t size)
{
    (void)context;
    void *ptr = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    return ptr == MAP_FAILED ? NULL : ptr;
}

static void call_unmap(void *context, void *ptr, size_t size)
{
    (void)context;
    (void)munmap(ptr, size);
}

static int call_lock(void *context, const void *ptr, size_t size)
{
    (void)context;
    return mlock(ptr, size);
}

static int call_close(void *context, int fd)
{
    (void)context;
    return close(fd);
}

const fe_device_calls fe_device_system = {
    .openat = call_openat,
    .mkdirat = call_mkdirat,
    .pwrite = call_pwrite,
    .pread = call_pread,
    .allocate = call_allocate,
    .kind = call_kind,
    .write_back = call_write_back,
    .datasync = call_datasync,
    .sync_folder = call_sync_folder,
    .sync_all = call_sync_all,
    .unlinkat = call_unlinkat,
    .renameat = call_renameat,
    .map = call_map,
    .unmap = call_unmap,
    .lock = call_lock,
    .close = call_close,
};
