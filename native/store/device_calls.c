/* The system's calls, as fe_device_calls names them. */
#include "store/device.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
    .datasync = call_datasync,
    .sync_folder = call_sync_folder,
    .unlinkat = call_unlinkat,
    .renameat = call_renameat,
    .map = call_map,
    .unmap = call_unmap,
    .lock = call_lock,
    .close = call_close,
};
