/* The data folder, its lock, and the files of segments. Small files: device_files.c.
 *
 * Invariants
 * 1. A segment's file that a caller has a descriptor of was complete when it got it, and the disk had
 *    reported no error.
 * 2. The folder is synced after the data of small files, so a name never survives that has less behind it.
 * 3. A descriptor whose sync has failed is never synced again: the kernel reports an error of
 *    writing back once and may forget the data.
 */
#define _GNU_SOURCE /* O_DIRECT, statx */
#include "store/device_folder.h"

#include "base/assert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOG_FOLDER "log"
#define LOCK_FILE "LOCK"
#define WRITE_PIECE ((size_t)1 << 20) /* so that reads of others get between */
#define SEGMENT_NAME 24u

/* --- calls that are continued -------------------------------------------------------------------- */

int fe_device_openat(const fe_device *device, int folder, const char *name, int flags)
{
    const fe_device_calls *calls = device->calls;
    int fd;
    do {
        fd = calls->openat(calls->context, folder, name, flags | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

bool fe_device_write_all(const fe_device *device, int fd, const void *data, size_t size,
                         uint64_t offset)
{
    const fe_device_calls *calls = device->calls;
    const uint8_t *at = data;
    while (size > 0) {
        size_t piece = size < WRITE_PIECE ? size : WRITE_PIECE;
        ssize_t wrote = calls->pwrite(calls->context, fd, at, piece, (off_t)offset);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote == 0) errno = EIO; /* it would go on for ever */
        if (wrote <= 0) return false;
        at += wrote;
        size -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    return true;
}

bool fe_device_sync_data(const fe_device *device, int fd)
{
    int failed;
    do {
        failed = device->calls->datasync(device->calls->context, fd);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}

/* Waits until the disk has the file's data. False with errno. */
static bool write_back(const fe_device *device, int fd)
{
    if (!device->hands_over) return fe_device_sync_data(device, fd);
    int failed;
    do {
        failed = device->calls->write_back(device->calls->context, fd);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}

bool fe_device_sync_folder(const fe_device *device, int folder)
{
    int failed;
    do {
        failed = device->calls->sync_folder(device->calls->context, folder);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}

bool fe_device_unlinkat(const fe_device *device, int folder, const char *name)
{
    int failed;
    do {
        failed = device->calls->unlinkat(device->calls->context, folder, name);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 || errno == ENOENT;
}

bool fe_device_rename(const fe_device *device, const char *from, const char *to)
{
    int failed;
    do {
        failed = device->calls->renameat(device->calls->context, device->folder, from, to);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}

bool fe_device_size(int fd, uint64_t *size)
{
    struct stat about;
    if (fstat(fd, &about) != 0) return false;
    *size = (uint64_t)about.st_size;
    return true;
}

bool fe_device_is_cut(int fd, uint64_t end)
{
    uint64_t size;
    return fe_device_size(fd, &size) && size < end;
}

int64_t fe_device_read(fe_device *device, int fd, void *data, size_t size, uint64_t offset,
                       int *error_code)
{
    const fe_device_calls *calls = device->calls;
    uint8_t *at = data;
    size_t have = 0;
    while (have < size) {
        ssize_t got =
            calls->pread(calls->context, fd, at + have, size - have, (off_t)(offset + have));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            *error_code = errno;
            return -1;
        }
        if (got == 0) break;
        have += (size_t)got;
    }
    return (int64_t)have;
}

/* Not tried again when it is interrupted: Linux has given the descriptor up by then. */
void fe_device_close_fd(fe_device *device, int fd)
{
    (void)device->calls->close(device->calls->context, fd);
}

/* --- the folder ---------------------------------------------------------------------------------- */

/* Finds out whether files here can be read past the page cache, and in which units. `lock` is the
 * one file that is always there. */
static void probe_direct(fe_device *device)
{
    device->block_size = 512;
    int fd = fe_device_openat(device, device->folder, LOCK_FILE, O_RDONLY | O_DIRECT);
    atomic_store_explicit(&device->direct, fd >= 0, memory_order_relaxed);
    if (fd < 0) return;
    device->block_size = FE_DEVICE_ALIGN; /* right for every disk, when nothing better is known */
#ifdef STATX_DIOALIGN
    struct statx about;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &about) == 0 &&
        (about.stx_mask & STATX_DIOALIGN) != 0) {
        uint32_t unit = about.stx_dio_offset_align;
        bool can = unit >= 1 && unit <= FE_DEVICE_ALIGN && (unit & (unit - 1)) == 0 &&
                   about.stx_dio_mem_align <= FE_DEVICE_ALIGN;
        atomic_store_explicit(&device->direct, can, memory_order_relaxed);
        device->block_size = can && unit > 512 ? unit : 512;
    }
#endif
    fe_device_close_fd(device, fd);
}

/* File systems whose data are in the file's own page cache, and are written as soon as that says so (btrfs: not
 * while they are compressed). */
static void probe_kind(fe_device *device)
{
    static const int64_t kinds[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                    TMPFS_MAGIC};
    int64_t kind = device->calls->kind(device->calls->context, device->log_folder);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        device->hands_over |= kind == kinds[i];
}

static bool make_folder(const fe_device *device, int folder, const char *name)
{
    const fe_device_calls *calls = device->calls;
    int failed;
    do {
        failed = calls->mkdirat(calls->context, folder, name, 0700);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 || errno == EEXIST;
}

/* Makes the name of the data folder itself durable, where the folder above it may be read. */
static bool sync_above(fe_device *device)
{
    int above = fe_device_openat(device, device->folder, "..", O_RDONLY | O_DIRECTORY);
    if (above < 0) return errno == EACCES || errno == EPERM;
    bool good = fe_device_sync_folder(device, above);
    int cause = errno;
    fe_device_close_fd(device, above);
    errno = cause;
    return good;
}

static bool open_log(fe_device *device)
{
    if (!make_folder(device, device->folder, LOG_FOLDER)) return false;
    int fd = fe_device_openat(device, device->folder, LOG_FOLDER, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return false;
    device->log_folder = fd;
    return fe_device_sync_folder(device, device->folder);
}

static bool take_lock(fe_device *device)
{
    device->lock = fe_device_openat(device, device->folder, LOCK_FILE, O_RDWR | O_CREAT);
    if (device->lock < 0) return false;
    int failed;
    do {
        failed = flock(device->lock, LOCK_EX | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}

/* What of it failed, or NULL; errno is then set. */
static const char *open_folder(fe_device *device, const char *path)
{
    if (!make_folder(device, AT_FDCWD, path)) return "cannot make the data folder";
    device->folder = fe_device_openat(device, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    if (device->folder < 0) return "cannot open the data folder";
    if (!take_lock(device))
        return errno == EWOULDBLOCK ? "another process uses the data folder"
                                    : "cannot lock the data folder";
    if (!open_log(device)) return "cannot make " LOG_FOLDER " in the data folder";
    if (!sync_above(device)) return "cannot sync the folder above";
    return NULL;
}

fe_device *fe_device_open(fe_alloc *alloc, const char *path, const fe_device_calls *calls,
                          char error[256])
{
    fe_device *device = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, sizeof *device);
    if (device == NULL) {
        snprintf(error, 256, "%.160s: no memory", path);
        return NULL;
    }
    device->alloc = alloc;
    device->calls = calls;
    device->folder = device->log_folder = device->lock = -1;
    pthread_mutex_init(&device->reserve_lock, NULL);
    device->guard = fe_guard_open(alloc);
    if (device->guard == NULL) errno = ENOMEM;
    const char *failed =
        device->guard == NULL ? "cannot guard its mappings" : open_folder(device, path);
    if (failed != NULL) {
        snprintf(error, 256, "%.150s: %s: %m", path, failed);
        fe_device_close(device);
        return NULL;
    }
    probe_direct(device);
    probe_kind(device);
    return device;
}

void fe_device_close(fe_device *device)
{
    if (device->guard != NULL) fe_guard_close(device->guard);
    if (device->log_folder >= 0) fe_device_close_fd(device, device->log_folder);
    if (device->folder >= 0) fe_device_close_fd(device, device->folder);
    if (device->lock >= 0) fe_device_close_fd(device, device->lock);
    pthread_mutex_destroy(&device->reserve_lock);
    fe_alloc_give(device->alloc, FE_ALLOC_ENGINE, device);
}

bool fe_device_is_direct(const fe_device *device)
{
    return atomic_load_explicit(&device->direct, memory_order_relaxed);
}

bool fe_device_hands_over(const fe_device *device)
{
    return device->hands_over;
}

uint32_t fe_device_block_size(const fe_device *device)
{
    return device->block_size;
}

bool fe_device_free_bytes(fe_device *device, uint64_t *bytes, int *error_code)
{
    struct statvfs about;
    int failed;
    do {
        failed = fstatvfs(device->folder, &about);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) {
        *error_code = errno;
        return false;
    }
    *bytes = (uint64_t)about.f_bavail * (uint64_t)about.f_frsize;
    return true;
}

bool fe_device_set_aside(fe_device *device, const char *name, int *error_code)
{
    int old = device->log_folder;
    if (!fe_device_rename(device, LOG_FOLDER, name)) {
        *error_code = errno;
        return false;
    }
    if (open_log(device)) {
        fe_device_close_fd(device, old);
        return true;
    }
    *error_code = errno;
    /* An empty folder in the way is replaced by the rename back. */
    if (device->log_folder != old) fe_device_close_fd(device, device->log_folder);
    device->log_folder = old;
    (void)fe_device_rename(device, name, LOG_FOLDER);
    return false;
}

/* --- segments ------------------------------------------------------------------------------------ */

static void name_segment(char name[SEGMENT_NAME], uint32_t number, uint32_t generation)
{
    snprintf(name, SEGMENT_NAME, "%08x-%08x.seg", number, generation);
}

/* Of exactly the form that name_segment gives. */
static bool parse_segment(const char *name, uint32_t *number, uint32_t *generation)
{
    char again[SEGMENT_NAME];
    if (sscanf(name, "%8x-%8x.seg", number, generation) != 2) return false;
    name_segment(again, *number, *generation);
    return strcmp(name, again) == 0;
}

static int open_for_reading(fe_device *device, const char *name)
{
    if (fe_device_is_direct(device)) {
        int fd = fe_device_openat(device, device->log_folder, name, O_RDONLY | O_DIRECT);
        if (fd >= 0 || errno != EINVAL) return fd;
        atomic_store_explicit(&device->direct, false, memory_order_relaxed);
    }
    int fd = fe_device_openat(device, device->log_folder, name, O_RDONLY);
    /* Only what is asked for, nothing read ahead. */
    if (fd >= 0) (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    return fd;
}

/* Writes the file and closes it. False with errno. */
static bool write_new(fe_device *device, const char *name, const fe_device_piece *pieces,
                      unsigned count)
{
    int fd = fe_device_openat(device, device->log_folder, name, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) return false;
    bool good = true;
    uint64_t offset = 0;
    for (unsigned i = 0; good && i < count; i++) {
        good = fe_device_write_all(device, fd, pieces[i].data, pieces[i].size, offset);
        offset += pieces[i].size;
    }
    FE_ASSERT(!good || offset % FE_DEVICE_ALIGN == 0);
    good = good && write_back(device, fd);
    int cause = errno;
    fe_device_close_fd(device, fd); /* there is nothing left that it could report */
    errno = cause;
    return good;
}

int fe_device_write_segment(fe_device *device, uint32_t number, uint32_t generation,
                            const uint8_t *image, size_t size, int *error_code)
{
    FE_ASSERT(size > 0 && size % FE_DEVICE_ALIGN == 0);
    fe_device_piece whole = {image, size};
    return fe_device_write_pieces(device, number, generation, &whole, 1, error_code);
}

int fe_device_write_pieces(fe_device *device, uint32_t number, uint32_t generation,
                           const fe_device_piece *pieces, unsigned count, int *error_code)
{
    char name[SEGMENT_NAME];
    name_segment(name, number, generation);
    int fd = -1;
    if (write_new(device, name, pieces, count)) fd = open_for_reading(device, name);
    if (fd >= 0) return fd;
    *error_code = errno;
    (void)fe_device_unlinkat(device, device->log_folder, name);
    return -1;
}

bool fe_device_sync_all(fe_device *device, int *error_code)
{
    int failed;
    do {
        failed = device->calls->sync_all(device->calls->context, device->log_folder);
    } while (failed != 0 && errno == EINTR);
    if (failed == 0) return true;
    *error_code = errno;
    return false;
}

bool fe_device_sync_segment(fe_device *device, int fd, int *error_code)
{
    if (fe_device_sync_data(device, fd)) return true;
    *error_code = errno;
    return false;
}

bool fe_device_sync_names(fe_device *device, int *error_code)
{
    if (fe_device_sync_folder(device, device->log_folder)) return true;
    *error_code = errno;
    return false;
}

int fe_device_open_segment(fe_device *device, uint32_t number, uint32_t generation, uint64_t *size,
                           int *error_code)
{
    char name[SEGMENT_NAME];
    name_segment(name, number, generation);
    int fd = open_for_reading(device, name);
    if (fd >= 0 && fe_device_size(fd, size)) return fd;
    *error_code = errno;
    if (fd >= 0) fe_device_close_fd(device, fd);
    return -1;
}

int fe_device_stand_in(fe_device *device, uint32_t number, uint32_t generation)
{
    char name[SEGMENT_NAME];
    name_segment(name, number, generation);
    return fe_device_openat(device, device->log_folder, name, O_RDONLY | O_CREAT);
}

bool fe_device_remove_segment(fe_device *device, uint32_t number, uint32_t generation,
                              int *error_code)
{
    char name[SEGMENT_NAME];
    name_segment(name, number, generation);
    if (fe_device_unlinkat(device, device->log_folder, name)) return true;
    *error_code = errno;
    return false;
}

bool fe_device_list_segments(fe_device *device, fe_device_each *each, void *context,
                             int *error_code)
{
    /* Of its own: a copy of the descriptor would share its place in the folder. */
    int fd = fe_device_openat(device, device->log_folder, ".", O_RDONLY | O_DIRECTORY);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        *error_code = errno;
        if (fd >= 0) fe_device_close_fd(device, fd);
        return false;
    }
    struct dirent *entry;
    uint32_t number, generation;
    while (errno = 0, (entry = readdir(folder)) != NULL)
        if (parse_segment(entry->d_name, &number, &generation)) each(context, number, generation);
    int cause = errno;
    closedir(folder);
    if (cause != 0) *error_code = cause;
    return cause == 0;
}

/* --- mappings ------------------------------------------------------------------------------------ */

void *fe_device_map(fe_device *device, int fd, size_t size)
{
    void *ptr = device->calls->map(device->calls->context, fd, size);
    if (ptr == NULL || fe_guard_add(device->guard, ptr, size)) return ptr;
    device->calls->unmap(device->calls->context, ptr, size);
    return NULL;
}

bool fe_device_lock(fe_device *device, const void *ptr, size_t size)
{
    return device->calls->lock(device->calls->context, ptr, size) == 0;
}

fe_guard *fe_device_guard(const fe_device *device)
{
    return device->guard;
}

void fe_device_unmap(fe_device *device, int fd, void *ptr, size_t size)
{
    fe_guard_remove(device->guard, ptr);
    device->calls->unmap(device->calls->context, ptr, size);
    fe_device_uncache(device, fd);
}

void fe_device_uncache(fe_device *device, int fd)
{
    (void)device;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* a wish */
}
