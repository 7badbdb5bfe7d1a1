/* The small files of the data folder: written under a temporary name, synced, renamed.
 *
 *     begin: <name>.new is made --append--> ... --commit--> synced, renamed to <name>, folder synced
 *                                              \--abandon or an error--> <name>.new is removed
 *
 * <name>.new may be there before, with room that was reserved: it is written into, and cut at the end. Then it
 * stays after an error, so that another try has that room.
 */
#include "store/device_folder.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct temporary {
    char name[FE_DEVICE_NAME_MAX + 5];
} temporary;

static temporary temporary_of(const char *name)
{
    temporary result;
    snprintf(result.name, sizeof result.name, "%s.new", name);
    return result;
}

/* Closes and removes what is not to stay; keeps errno. */
static void drop(fe_device_file *file)
{
    int cause = errno;
    if (file->fd >= 0) fe_device_close_fd(file->device, file->fd);
    file->fd = -1;
    if (file->room == 0)
        (void)fe_device_unlinkat(file->device, file->device->folder, temporary_of(file->name).name);
    errno = cause;
}

static bool fail(fe_device_file *file, int *error_code)
{
    if (file->error == 0) {
        file->error = errno;
        drop(file);
    }
    *error_code = file->error;
    return false;
}

bool fe_device_file_reserve(fe_device *device, const char *name, uint64_t size, int *error_code)
{
    uint64_t before = 0;
    int fd = fe_device_openat(device, device->folder, temporary_of(name).name, O_WRONLY | O_CREAT);
    bool done = fd >= 0 && fe_device_size(fd, &before);
    if (done && before < size) {
        int result;
        do
            result = device->calls->allocate(device->calls->context, fd, (off_t)size);
        while (result != 0 && errno == EINTR);
        done = result == 0 || errno == EOPNOTSUPP || errno == ENOSYS;
    }
    if (!done) *error_code = errno;
    /* A part that was given would be missed by others, and mistaken for the whole. */
    if (fd >= 0 && !done && before < size && ftruncate(fd, (off_t)before) != 0) done = false;
    if (fd >= 0) fe_device_close_fd(device, fd);
    return done;
}

void fe_device_file_release(fe_device *device, const char *name, uint64_t size)
{
    temporary text = temporary_of(name);
    if (size == 0) {
        (void)fe_device_unlinkat(device, device->folder, text.name);
        return;
    }
    uint64_t before = 0;
    int fd = fe_device_openat(device, device->folder, text.name, O_WRONLY);
    if (fd < 0) return;
    if (fe_device_size(fd, &before) && before > size && ftruncate(fd, (off_t)size) != 0) before = 0;
    fe_device_close_fd(device, fd);
}

/* Gives back what was reserved and not written. False with errno. */
static bool cut(fe_device_file *file)
{
    uint64_t size;
    if (!fe_device_size(file->fd, &size)) return false;
    if (size != file->size && ftruncate(file->fd, (off_t)file->size) != 0) return false;
    if (file->room > file->size) file->room = file->size;
    return true;
}

bool fe_device_file_begin(fe_device *device, fe_device_file *file, const char *name,
                          int *error_code)
{
    size_t len = strlen(name);
    FE_ASSERT(len >= 1 && len <= FE_DEVICE_NAME_MAX && strchr(name, '/') == NULL);
    *file = (fe_device_file){.device = device, .fd = -1};
    memcpy(file->name, name, len + 1);
    file->fd =
        fe_device_openat(device, device->folder, temporary_of(name).name, O_WRONLY | O_CREAT);
    if (file->fd >= 0 && fe_device_size(file->fd, &file->room)) return true;
    *error_code = file->error = errno; /* whatever is there stays */
    if (file->fd >= 0) fe_device_close_fd(device, file->fd);
    file->fd = -1;
    return false;
}

bool fe_device_file_append(fe_device_file *file, const void *data, size_t size, int *error_code)
{
    if (file->error != 0) return fail(file, error_code);
    if (!fe_device_write_all(file->device, file->fd, data, size, file->size))
        return fail(file, error_code);
    file->size += size;
    return true;
}

bool fe_device_file_commit(fe_device_file *file, int *error_code)
{
    fe_device *device = file->device;
    if (file->error != 0 || !cut(file) || !fe_device_sync_data(device, file->fd))
        return fail(file, error_code);
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED); /* not read before the next start */
    fe_device_close_fd(device, file->fd);
    file->fd = -1;
    if (!fe_device_rename(device, temporary_of(file->name).name, file->name))
        return fail(file, error_code);
    file->is_named = true;
    return fe_device_sync_folder(device, device->folder) || fail(file, error_code);
}

void fe_device_file_abandon(fe_device_file *file)
{
    if (file->error == 0) drop(file);
    if (file->is_named && file->room != 0)
        (void)fe_device_rename(file->device, file->name, temporary_of(file->name).name);
    file->is_named = false;
}

bool fe_device_write_file(fe_device *device, const char *name, const void *data, size_t size,
                          int *error_code)
{
    fe_device_file file;
    return fe_device_file_begin(device, &file, name, error_code) &&
           fe_device_file_append(&file, data, size, error_code) &&
           fe_device_file_commit(&file, error_code);
}

int fe_device_open_file(fe_device *device, const char *name, uint64_t *size, int *error_code)
{
    int fd = fe_device_openat(device, device->folder, name, O_RDONLY);
    if (fd >= 0 && fe_device_size(fd, size)) return fd;
    *error_code = errno;
    if (fd >= 0) fe_device_close_fd(device, fd);
    return -1;
}

/* Reads the `size` bytes that the file has; EIO when it turns out to have fewer. */
static uint8_t *read_whole(fe_device *device, int fd, size_t size, int *error_code)
{
    uint8_t *data = fe_alloc_take(device->alloc, FE_ALLOC_ENGINE, size > 0 ? size : 1);
    if (data == NULL) {
        *error_code = ENOMEM;
        return NULL;
    }
    int64_t got = fe_device_read(device, fd, data, size, 0, error_code);
    if (got == (int64_t)size) return data;
    if (got >= 0) *error_code = EIO;
    fe_alloc_give(device->alloc, FE_ALLOC_ENGINE, data);
    return NULL;
}

uint8_t *fe_device_read_file(fe_device *device, const char *name, size_t max, size_t *size,
                             int *error_code)
{
    uint64_t bytes;
    int fd = fe_device_open_file(device, name, &bytes, error_code);
    if (fd < 0) return NULL;
    uint8_t *data = NULL;
    if (bytes <= max)
        data = read_whole(device, fd, (size_t)bytes, error_code);
    else
        *error_code = EFBIG;
    fe_device_close_fd(device, fd);
    if (data != NULL) *size = (size_t)bytes;
    return data;
}

bool fe_device_exists(fe_device *device, const char *name, bool *exists, int *error_code)
{
    int fd = fe_device_openat(device, device->folder, name, O_RDONLY);
    if (fd < 0 && errno != ENOENT) {
        *error_code = errno;
        return false;
    }
    *exists = fd >= 0;
    if (fd >= 0) fe_device_close_fd(device, fd);
    return true;
}

bool fe_device_remove_file(fe_device *device, const char *name, int *error_code)
{
    if (fe_device_unlinkat(device, device->folder, name) &&
        fe_device_sync_folder(device, device->folder))
        return true;
    *error_code = errno;
    return false;
}
