/* Asynchronous positioned reads: of io_uring, or of a pool of threads that call pread; one
 * interface.
 *
 * A read is a struct that its owner fills in and keeps until fe_disk_reap has given it back:
 *
 *     filled in --fe_disk_start--> in flight --(the disk)--> done --fe_disk_reap--> the owner's again
 *
 * At most `depth` reads are in flight or done: each needs a place, which is reserved before it is
 * started (fe_disk_submit does both). Each read comes back exactly once, in any order, as `result`.
 * Nothing here blocks on a disk.
 *
 * A descriptor says that reads are done (fe_disk_fd). It can be watched for its level, by poll or by
 * asyncio: fe_disk_reap clears it. Or for its edges, by the epoll of several threads
 * (EPOLLET | EPOLLEXCLUSIVE): these call fe_disk_take until it returns 0, whenever they are awake
 * anyway, and nobody has to clear it. Now and then it is readable though another thread has taken what
 * was done: reap returns 0 then.
 *
 * A thread that has submitted reads may find its blocking calls interrupted by their completion
 * (EINTR from epoll_wait and the like, without a signal handler having run).
 *
 * Threads: every function may be called from any thread at any time, but for open and close. None
 * needs the engine's lock; start and submit make a system call and so must not be called under it.
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

/* Readable while reads are done, until it is cleared. Only to be waited for, never read. */
int fe_disk_fd(const fe_disk *disk);

/* Takes places for up to `count` reads and returns for how many: fewer only when others have the rest
 * of `depth`. What is not used is given back. */
uint32_t fe_disk_reserve(fe_disk *disk, uint32_t count) FE_MUST_USE;
void fe_disk_release(fe_disk *disk, uint32_t places);

/* Starts reads, for which there are places, with one system call for all. One that the system refuses to
 * start comes back as well; its result says so. */
void fe_disk_start(fe_disk *disk, fe_disk_read *const *reads, uint32_t count);

/* Both: reserves and starts, from the first on, and returns how many were started. */
uint32_t fe_disk_submit(fe_disk *disk, fe_disk_read *const *reads, uint32_t count) FE_MUST_USE;

/* Stores up to `max` reads that are done and returns how many. Without a system call when there are none. */
uint32_t fe_disk_take(fe_disk *disk, fe_disk_read **done, uint32_t max) FE_MUST_USE;

/* The same, and clears the descriptor when it leaves nothing behind. */
uint32_t fe_disk_reap(fe_disk *disk, fe_disk_read **done, uint32_t max) FE_MUST_USE;

/* Places that are taken: reads that were started and not yet given back; the moment's. */
uint32_t fe_disk_in_flight(const fe_disk *disk);

/* Whether there are no places left: until what is done is taken, the disk may have nothing to do. */
bool fe_disk_is_full(const fe_disk *disk);

/* "io_uring" or "threads". */
const char *fe_disk_name(const fe_disk *disk);

#endif
