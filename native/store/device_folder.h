/* What the files of the device share. Private to store/device*.c. */
#ifndef FE_STORE_DEVICE_FOLDER_H
#define FE_STORE_DEVICE_FOLDER_H

#include "store/device.h"

#include <pthread.h>
#include <stdatomic.h>

struct fe_device {
    fe_alloc *alloc;
    const fe_device_calls *calls;
    fe_guard *guard; /* of its mappings */
    int folder;      /* <path> */
    int log_folder;  /* <path>/log */
    int lock;        /* <path>/LOCK */
    uint32_t block_size;
    bool hands_over;              /* sync_file_range does what it says */
    _Atomic bool direct;          /* becomes false when a file turns out to refuse it */
    pthread_mutex_t reserve_lock; /* over the two below, and the files that they are about */
    uint64_t reserved;            /* bytes that the disk has given for the next index */
    uint64_t reserve_order;       /* of the newest job that asked for them (store/reserve.h) */
};

/* openat, with O_CLOEXEC, tried again when it is interrupted. -1 with errno. */
int fe_device_openat(const fe_device *device, int folder, const char *name, int flags) FE_MUST_USE;

/* Writes all of it at `offset`, in pieces. False with errno. */
bool fe_device_write_all(const fe_device *device, int fd, const void *data, size_t size,
                         uint64_t offset) FE_MUST_USE;

/* Syncs a file or a folder. False with errno; then nothing is known of what is on disk. */
bool fe_device_sync_data(const fe_device *device, int fd) FE_MUST_USE;
bool fe_device_sync_folder(const fe_device *device, int folder) FE_MUST_USE;

/* False with errno; that there is no such file is success. */
bool fe_device_unlinkat(const fe_device *device, int folder, const char *name);

/* Within <path>. False with errno. */
bool fe_device_rename(const fe_device *device, const char *from, const char *to);

/* The size of an open file. False with errno. */
bool fe_device_size(int fd, uint64_t *size) FE_MUST_USE;

#endif
