/* The data folder: the one door to its files.
 *
 *     <path>/LOCK            flock, held from open to close: one process at a time
 *     <path>/log/<number:08x>-<generation:08x>.seg       one file per segment on disk
 *     <path>/<name>          small files (manifest, index); <name>.new while one is being written
 *
 * A small file that a function has reported as written survives a loss of power: data are synced, then
 * the folder that names them. A segment that was written has been taken by the disk, which may still
 * hold it in its own memory, and its name may be in the kernel's only: it survives a loss of power once
 * fe_device_sync_all has said so. Nothing needs it to before a clean stop, and a sync for each segment
 * would cost milliseconds.
 *
 * After an error nothing half-done is left under a final name, as far as the disk lets us clean up;
 * nothing that the disk did not take is ever called written. A failed sync is not repeated (the kernel
 * may have dropped the data): the file is removed, and the caller, who still has the bytes, writes it
 * anew.
 *
 * Errors: errno in *error_code, which success leaves untouched. EINTR is retried and short reads and
 * writes are continued everywhere; neither is ever reported.
 *
 * Threads: any function from any thread, but for open, close and set_aside; two threads must not work
 * on the same file name at once. All may block for as long as the disk takes: never call one
 * under the engine's lock. fe_device_is_direct and fe_device_block_size never block.
 */
#ifndef FE_STORE_DEVICE_H
#define FE_STORE_DEVICE_H

#include "base/alloc.h"
#include "base/status.h"
#include "store/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Longest name of a small file, without terminator. */
#define FE_DEVICE_NAME_MAX 63u

/* Bytes by which buffers for O_DIRECT reads are aligned. */
#define FE_DEVICE_ALIGN 4096u

/* The system calls that read, write and name data, so that tests can make them fail. Each gets
 * `context` first; results and errno are those of the call that it is named after. Any thread. */
typedef struct fe_device_calls {
    void *context;
    int (*openat)(void *context, int folder, const char *name, int flags, unsigned mode);
    int (*mkdirat)(void *context, int folder, const char *name, unsigned mode);
    ssize_t (*pwrite)(void *context, int fd, const void *data, size_t size, off_t offset);
    ssize_t (*pread)(void *context, int fd, void *data, size_t size, off_t offset);
    int (*allocate)(void *context, int fd, off_t size); /* fallocate from 0 */
    int64_t (*kind)(void *context, int fd);             /* f_type of fstatfs */
    int (*write_back)(void *context, int fd); /* returns when the disk has taken what was written */
    int (*datasync)(void *context, int fd);   /* fdatasync of a file */
    int (*sync_folder)(void *context, int fd); /* fsync of a folder */
    int (*sync_all)(void *context, int fd);    /* syncfs */
    int (*unlinkat)(void *context, int folder, const char *name);
    int (*renameat)(void *context, int folder, const char *from,
                    const char *to); /* in one folder */
    /* PROT_READ, MAP_SHARED, with all pages read in; NULL when it failed. */
    void *(*map)(void *context, int fd, size_t size);
    void (*unmap)(void *context, void *ptr, size_t size);
    int (*lock)(void *context, const void *ptr, size_t size); /* mlock */
    int (*close)(void *context, int fd);
} fe_device_calls;

extern const fe_device_calls fe_device_system;

typedef struct fe_device fe_device;

/* Opens the folder `path`, takes its lock, and makes the folder and its `log` where they are missing
 * (not the folders above it). On failure NULL and one line of text that names path and cause.
 * `calls` outlive the device. */
fe_device *fe_device_open(fe_alloc *alloc, const char *path, const fe_device_calls *calls,
                          char error[256]) FE_MUST_USE;

/* Gives the lock up and closes the folder. Descriptors and mappings that were given out live on. */
void fe_device_close(fe_device *device);

/* Whether segments are read past the page cache. False (from open on, or once a segment's file was
 * opened) where the file system refuses O_DIRECT: reads are then buffered, so that the page cache
 * grows by what is read. */
bool fe_device_is_direct(const fe_device *device);

/* Whether what is written is handed to the disk by sync_file_range, which costs least; else by fdatasync: of a
 * file system whose data are not in the file's own page cache (ZFS, overlayfs), or that is not known, the
 * first would say that all is well and do nothing. */
bool fe_device_hands_over(const fe_device *device);

/* What offset and length of an O_DIRECT read are multiples of: a power of two, 512 to 4096. */
uint32_t fe_device_block_size(const fe_device *device);

/* Bytes of the file system that we may still use. False with *error_code. */
bool fe_device_free_bytes(fe_device *device, uint64_t *bytes, int *error_code) FE_MUST_USE;

/* --- segments ------------------------------------------------------------------------------------ */

/* Writes the file of a segment, `size` bytes (a multiple of 4096), and waits until the disk has taken
 * it. Returns a descriptor for reading (see fe_device_is_direct), which the caller gives to
 * fe_device_close_fd; or -1, and no file is left. A file of the same name is replaced. */
int fe_device_write_segment(fe_device *device, uint32_t number, uint32_t generation,
                            const uint8_t *image, size_t size, int *error_code) FE_MUST_USE;
/* The same of a file that lies in memory in pieces, `count` of them. */
typedef struct fe_device_piece {
    const uint8_t *data;
    size_t size;
} fe_device_piece;
int fe_device_write_pieces(fe_device *device, uint32_t number, uint32_t generation,
                           const fe_device_piece *pieces, unsigned count,
                           int *error_code) FE_MUST_USE;

/* Makes all segments that were written, and their names, survive a loss of power: with all else that waits
 * to be written to their file system, in one go. */
bool fe_device_sync_all(fe_device *device, int *error_code) FE_MUST_USE;
/* The same for one segment, by its descriptor, and for the names of all: what is to be believed when
 * fe_device_sync_all fails, which tells of any error of that file system since the folder was opened. */
bool fe_device_sync_segment(fe_device *device, int fd, int *error_code) FE_MUST_USE;
bool fe_device_sync_names(fe_device *device, int *error_code) FE_MUST_USE;

/* Opens the file of a segment for reading and stores its size. -1 on failure. */
int fe_device_open_segment(fe_device *device, uint32_t number, uint32_t generation, uint64_t *size,
                           int *error_code) FE_MUST_USE;

/* The same for a file that is lost: an empty one is made. -1 on failure. */
int fe_device_stand_in(fe_device *device, uint32_t number, uint32_t generation) FE_MUST_USE;

/* Whether the file is known to end before `end`, as one does that somebody has cut off. */
bool fe_device_is_cut(int fd, uint64_t end);

/* Removes the file of a segment; that there is none is success. Not synced: after a loss of power
 * the file may be back, under a generation that nothing names. */
bool fe_device_remove_segment(fe_device *device, uint32_t number, uint32_t generation,
                              int *error_code) FE_MUST_USE;

/* Calls `each` for every file of a segment in `log`, in no order; other files are passed over. The
 * callback may remove the file. False with *error_code when the folder cannot be read to its end. */
typedef void fe_device_each(void *context, uint32_t number, uint32_t generation);
bool fe_device_list_segments(fe_device *device, fe_device_each *each, void *context,
                             int *error_code) FE_MUST_USE;

/* Renames the folder `log`, with all segments, to `name` beside it, and starts with an empty one;
 * synced. Fails with EEXIST or ENOTEMPTY when there is such a folder with something in it. After a failure
 * `log` is what it was. */
bool fe_device_set_aside(fe_device *device, const char *name, int *error_code) FE_MUST_USE;

/* --- descriptors --------------------------------------------------------------------------------- */

/* Maps the first `size` bytes of a file read-only, all pages read in, and guarded (store/guard.h). The
 * caller accounts for them. NULL when the system refuses. */
void *fe_device_map(fe_device *device, int fd, size_t size) FE_MUST_USE;

/* Keeps the pages of a mapping in memory until it ends. False when the system refuses, as it does
 * beyond RLIMIT_MEMLOCK: the mapping is as good, but its pages may go and come back. */
bool fe_device_lock(fe_device *device, const void *ptr, size_t size) FE_MUST_USE;

/* Tells of pages that could not be read. */
fe_guard *fe_device_guard(const fe_device *device);

/* Ends a mapping and drops the file's pages from the page cache. */
void fe_device_unmap(fe_device *device, int fd, void *ptr, size_t size);

/* Drops a file's pages from the page cache: of a segment that was written and is not mapped. */
void fe_device_uncache(fe_device *device, int fd);

/* Reads up to `size` bytes at `offset`, fewer only at the end of the file; -1 on failure. Blocks. On
 * a segment's descriptor, buffer, size and offset are aligned as O_DIRECT wants. */
int64_t fe_device_read(fe_device *device, int fd, void *data, size_t size, uint64_t offset,
                       int *error_code) FE_MUST_USE;

void fe_device_close_fd(fe_device *device, int fd);

/* --- small files --------------------------------------------------------------------------------- */

/* Has the disk give `size` bytes for a small file that is to be written later: begin, append and commit
 * take them. Success, though nothing was given, where the file system cannot. What was given before stays,
 * after a failure too. */
bool fe_device_file_reserve(fe_device *device, const char *name, uint64_t size,
                            int *error_code) FE_MUST_USE;
/* Gives back what is behind `size` bytes, as far as the system lets us; 0: all. */
void fe_device_file_release(fe_device *device, const char *name, uint64_t size);

/* A small file that is being written piece by piece; under its final name only after commit. The
 * first error sticks: append and commit then fail with it. */
typedef struct fe_device_file {
    fe_device *device;
    uint64_t size;
    uint64_t room; /* bytes that were reserved for it; they stay after an error */
    int fd;
    int error;
    bool is_named; /* it has its final name */
    char name[FE_DEVICE_NAME_MAX + 1];
} fe_device_file;

/* Begins to write `name`. After success, commit or abandon must follow. */
bool fe_device_file_begin(fe_device *device, fe_device_file *file, const char *name,
                          int *error_code) FE_MUST_USE;
/* Appends; each call is at least one system call, so pieces should be large. */
bool fe_device_file_append(fe_device_file *file, const void *data, size_t size,
                           int *error_code) FE_MUST_USE;
/* Syncs, gives the file its name, syncs the folder. When it fails, a file that had the name before
 * still has it; only if it was the sync of the folder that failed, the name may hold either. */
bool fe_device_file_commit(fe_device_file *file, int *error_code) FE_MUST_USE;
/* Drops what was written. After a commit that failed, room that was reserved is held again, though the file had
 * its name already. */
void fe_device_file_abandon(fe_device_file *file);

/* Begin, append and commit in one. */
bool fe_device_write_file(fe_device *device, const char *name, const void *data, size_t size,
                          int *error_code) FE_MUST_USE;

/* Opens a small file for fe_device_read, buffered, and stores its size. -1 on failure. */
int fe_device_open_file(fe_device *device, const char *name, uint64_t *size,
                        int *error_code) FE_MUST_USE;

/* Reads a whole small file of at most `max` bytes (EFBIG beyond) into memory of class
 * FE_ALLOC_ENGINE, which the caller gives back. NULL on failure. */
uint8_t *fe_device_read_file(fe_device *device, const char *name, size_t max, size_t *size,
                             int *error_code) FE_MUST_USE;

/* Stores whether there is a file `name`. False with *error_code when that cannot be told. */
bool fe_device_exists(fe_device *device, const char *name, bool *exists,
                      int *error_code) FE_MUST_USE;

/* Removes a small file and syncs the folder: when it returns true, the file is gone for good, also if
 * it never was there. */
bool fe_device_remove_file(fe_device *device, const char *name, int *error_code) FE_MUST_USE;

#endif
