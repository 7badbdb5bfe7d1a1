/* Room on the disk that a save will need, held before it is needed: so that a disk that is full does not
 * keep the server from saving what is on it.
 *
 *     index-1.new    the next index; the save writes into what the disk has given already
 *     manifest.new   the next manifest
 *
 * The first one has a little more, FE_RESERVE_SEGMENTS, which is given back when a stop is near: for what is
 * in memory only. It grows before segments are written that hold more keys (store/tier_jobs.c), so no segment
 * ever takes the room of its index. A file system that cannot give room beforehand holds none.
 *
 * How much is held is known to the device, under a lock of its own: who prepares a stop and who flushes may both
 * be at it.
 *
 * Threads: the engine's lock is held for begin; all else blocks, and needs none.
 */
#ifndef FE_STORE_RESERVE_H
#define FE_STORE_RESERVE_H

#include "store/device.h"
#include "store/keyspace.h"

#define FE_RESERVE_INDEX "index-1" /* what a save writes (store/save.c) */
#define FE_RESERVE_SEGMENTS 2u

typedef struct fe_reserve_job {
    uint64_t least;  /* bytes that the index needs now: without them there can be no save */
    uint64_t wanted; /* with what it will grow by, and the rest */
    uint64_t order;  /* of all jobs that were begun: only the newest gives something back */
    bool shrinks;    /* a stop is near: what is over `wanted` is given back at once */
} fe_reserve_job;

/* The index file of a save that is not over. */
typedef struct fe_save_index {
    uint64_t bytes; /* 0: there is none */
    uint64_t keys;
    int64_t saved_ms;
    uint32_t crc;
} fe_save_index;

void fe_reserve_begin(const fe_store *store, fe_reserve_job *job);
/* False with errno: there is no room for the index. */
FE_MUST_USE bool fe_reserve_run(fe_device *device, const fe_reserve_job *job, int *error_code);

/* The index file was written, or not; so many bytes are held for the next try. */
void fe_reserve_set(fe_device *device, uint64_t held);
uint64_t fe_reserve_held(fe_device *device);

/* Gives everything back, also what another process had left. */
void fe_reserve_drop(fe_device *device);

#endif
