/* Asynchronous positioned reads: of io_uring, or of a pool of threads that call pread; one
 * interface.
 *
 * A read is a struct that its owner fills in and keeps until fe_disk_reap has given it back:
 *
 *     filled in --fe_disk_submit--> in flight --(the disk)--> done --fe_disk_reap--> the owner's again
 *
 * At most `depth` reads are in flight or done; submit takes no more than fit. Each read that was
 * taken comes back exactly once, in any order, as `result`. Nothing here blocks on a disk.
 *
 * A descriptor says that reads are done (fe_disk_fd): level-triggered, so that it can be put into
 * epoll, also of several threads (EPOLLEXCLUSIVE), and into asyncio. Now and then it is readable
 * though another thread has reaped what was done: reap returns 0 then.
 *
 * A thread that has submitted reads may find its blocking calls interrupted by their completion
 * (EINTR from epoll_wait and the like, without a signal handler having run).
 *
 * Threads: every function may be called from any thread at any time, but for open and close. None
 * needs the engine's lock; submit makes a system call and so must not be called under it.
 */
#ifndef FE_STORE_DISK_H
#define FE_STORE_DISK_H

#include "base/alloc.h"
#include "base/status.h"
#include "store/device.h"

#include <stdbool.h>
#include <stdint.h>

#define FE_DISK_DEPTH_MAX 4096u

typedef enum fe_disk_kind {
    FE_DISK_AUTO, /* io_uring when the kernel allows it and `calls` are the system's, else threads */
    FE_DISK_URING,
    FE_DISK_THREADS
} fe_disk_kind;

typedef struct fe_disk_read {
    uint8_t *buffer; /* of `length` bytes; O_DIRECT wants it aligned to 4096, and ... */
    uint64_t offset; /* ... offset and length multiples of fe_device_block_size */
    uint32_t length; /* 1 .. INT32_MAX */
    int fd;
    int32_t result; /* bytes read: fewer than `length` where the file ends, or where what follows
                       cannot be read. Or -errno when there is not one byte. */
    uint32_t done;  /* of the disk while in flight */
    uint32_t attempts;
    uint64_t since_ns; /* monotonic: when it was submitted ... */
    uint64_t took_ns;  /* ... and how long until it was reaped: what a client waited for the disk */
    struct fe_disk_read *next; /* of the disk while in flight; else free for the owner */
} fe_disk_read;

typedef struct fe_disk fe_disk;

/* Starts with room for `depth` (1 .. FE_DISK_DEPTH_MAX) reads. On failure NULL and one line of text
 * that names the cause. `calls` outlive the disk; io_uring does not go through them. */
fe_disk *fe_disk_open(fe_alloc *alloc, fe_disk_kind kind, uint32_t depth,
                      const fe_device_calls *calls, char error[256]) FE_MUST_USE;

/* Ends threads and gives all memory back. Nothing is in flight. */
void fe_disk_close(fe_disk *disk);

/* Readable while reads are done. Only to be waited for, never read. */
int fe_disk_fd(const fe_disk *disk);

/* Starts reads, with one system call for all, and returns how many of them, from the first on:
 * fewer than `count` only when `depth` are in flight. A read that the system refuses to start is
 * taken as well; its result says so. */
uint32_t fe_disk_submit(fe_disk *disk, fe_disk_read *const *reads, uint32_t count) FE_MUST_USE;

/* Stores up to `max` reads that are done and returns how many. */
uint32_t fe_disk_reap(fe_disk *disk, fe_disk_read **done, uint32_t max) FE_MUST_USE;

/* Reads that were taken and not yet given back; the moment's. */
uint32_t fe_disk_in_flight(const fe_disk *disk);

/* "io_uring" or "threads". */
const char *fe_disk_name(const fe_disk *disk);

#endif
