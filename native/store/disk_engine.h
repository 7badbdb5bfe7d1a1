/* What a way of reading gives to disk.c. Private to store/disk*.c. */
#ifndef FE_STORE_DISK_ENGINE_H
#define FE_STORE_DISK_ENGINE_H

#include "store/disk.h"

#include <stddef.h>

/* Times that a read is tried again after an outcome that says to try again. */
#define FE_DISK_ATTEMPTS 8u

typedef struct fe_disk_engine {
    const char *name;
    /* The engine's state, which knows its eventfd `event_fd`, or NULL with errno set. */
    void *(*open)(fe_alloc *alloc, uint32_t depth, const fe_device_calls *calls, int event_fd);
    void (*close)(void *state);
    /* Starts all of them: disk.c keeps the bound. */
    void (*submit)(void *state, fe_disk_read *const *reads, uint32_t count);
    /* Rings the eventfd when it leaves something behind. */
    uint32_t (*reap)(void *state, fe_disk_read **done, uint32_t max);
} fe_disk_engine;

extern const fe_disk_engine fe_disk_threads;
/* Where it was not compiled in, its open fails with ENOSYS. */
extern const fe_disk_engine fe_disk_uring;

/* Takes note of what one system call did for `read`, bytes or -errno. True: the read is over and
 * `result` says how; false: the rest is to be read, from `offset + done` on. */
bool fe_disk_settle(fe_disk_read *read, int64_t outcome) FE_MUST_USE;

#endif
