/* The door to the ways of reading: chooses one, and keeps the bound.
 *
 * Invariants
 * 1. in_flight counts the places that are reserved and those of reads that were not given back; it
 *    never exceeds `depth`, so an engine that has room for `depth` never overflows.
 * 2. A place is taken before the engine sees the read and given back after take has it, so a read
 *    that is given back may be started again at once.
 * 3. The descriptor is cleared before the engine is asked, which rings it for what it leaves, as it
 *    does for what comes later: so nothing is done that nobody is told of.
 */
#include "store/disk_engine.h"

#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fe_disk {
    const fe_disk_engine *engine;
    void *state;
    fe_alloc *alloc;
    uint32_t depth;
    int event_fd;
    _Atomic uint32_t in_flight;
};

bool fe_disk_settle(fe_disk_read *read, int64_t outcome)
{
    if (outcome > 0) {
        FE_ASSERT(outcome <= (int64_t)(read->length - read->done));
        read->done += (uint32_t)outcome;
        if (read->done < read->length) return false;
    } else if (outcome == -EINTR || outcome == -EAGAIN || outcome == -ECANCELED) {
        /* Cancelled: the thread that submitted it has ended. */
        if (++read->attempts <= FE_DISK_ATTEMPTS) return false;
    }
    read->result = read->done > 0 ? (int32_t)read->done : (int32_t)outcome;
    return true;
}

static bool start(fe_disk *disk, const fe_disk_engine *engine, const fe_device_calls *calls)
{
    disk->engine = engine;
    disk->state = engine->open(disk->alloc, disk->depth, calls, disk->event_fd);
    return disk->state != NULL;
}

static bool start_kind(fe_disk *disk, fe_disk_kind kind, const fe_device_calls *calls)
{
    if (kind == FE_DISK_URING) return start(disk, &fe_disk_uring, calls);
    if (kind == FE_DISK_AUTO && calls == &fe_device_system && start(disk, &fe_disk_uring, calls))
        return true;
    return start(disk, &fe_disk_threads, calls);
}

fe_disk *fe_disk_open(fe_alloc *alloc, fe_disk_kind kind, uint32_t depth,
                      const fe_device_calls *calls, char error[256])
{
    FE_ASSERT(depth >= 1 && depth <= FE_DISK_DEPTH_MAX);
    fe_disk *disk = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, sizeof *disk);
    if (disk == NULL) {
        snprintf(error, 256, "disk reads: no memory");
        return NULL;
    }
    disk->alloc = alloc;
    disk->depth = depth;
    disk->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    disk->engine = &fe_disk_threads;
    if (disk->event_fd >= 0 && start_kind(disk, kind, calls)) return disk;
    snprintf(error, 256, "disk reads: cannot start %s: %m", disk->engine->name);
    if (disk->event_fd >= 0) close(disk->event_fd);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, disk);
    return NULL;
}

void fe_disk_close(fe_disk *disk)
{
    FE_ASSERT(fe_disk_in_flight(disk) == 0);
    disk->engine->close(disk->state);
    close(disk->event_fd);
    fe_alloc_give(disk->alloc, FE_ALLOC_ENGINE, disk);
}

int fe_disk_fd(const fe_disk *disk)
{
    return disk->event_fd;
}

uint32_t fe_disk_reserve(fe_disk *disk, uint32_t count)
{
    uint32_t held = atomic_load_explicit(&disk->in_flight, memory_order_relaxed);
    uint32_t taken;
    do {
        taken = count < disk->depth - held ? count : disk->depth - held;
    } while (!atomic_compare_exchange_weak_explicit(&disk->in_flight, &held, held + taken,
                                                    memory_order_acquire, memory_order_relaxed));
    return taken;
}

void fe_disk_release(fe_disk *disk, uint32_t places)
{
    if (places == 0) return;
    FE_ASSERT(places <= fe_disk_in_flight(disk));
    atomic_fetch_sub_explicit(&disk->in_flight, places, memory_order_release);
}

void fe_disk_start(fe_disk *disk, fe_disk_read *const *reads, uint32_t count)
{
    if (count == 0) return;
    uint64_t now = fe_clock_monotonic_ns();
    for (uint32_t i = 0; i < count; i++) {
        fe_disk_read *read = reads[i];
        read->since_ns = now;
        FE_ASSERT(read->length >= 1 && read->length <= INT32_MAX);
        read->done = 0;
        read->attempts = 0;
    }
    disk->engine->submit(disk->state, reads, count);
}

uint32_t fe_disk_submit(fe_disk *disk, fe_disk_read *const *reads, uint32_t count)
{
    uint32_t places = fe_disk_reserve(disk, count);
    fe_disk_start(disk, reads, places);
    return places;
}

uint32_t fe_disk_take(fe_disk *disk, fe_disk_read **done, uint32_t max)
{
    if (fe_disk_in_flight(disk) == 0) return 0;
    uint32_t count = disk->engine->reap(disk->state, done, max);
    if (count == 0) return 0;
    fe_disk_release(disk, count);
    uint64_t now = fe_clock_monotonic_ns();
    for (uint32_t i = 0; i < count; i++)
        done[i]->took_ns = now - done[i]->since_ns;
    return count;
}

uint32_t fe_disk_reap(fe_disk *disk, fe_disk_read **done, uint32_t max)
{
    eventfd_t ignored;
    (void)eventfd_read(disk->event_fd, &ignored); /* EAGAIN: it was not readable */
    return fe_disk_take(disk, done, max);
}

uint32_t fe_disk_in_flight(const fe_disk *disk)
{
    return atomic_load_explicit(&disk->in_flight, memory_order_relaxed);
}

bool fe_disk_is_full(const fe_disk *disk)
{
    return fe_disk_in_flight(disk) >= disk->depth;
}

const char *fe_disk_name(const fe_disk *disk)
{
    return disk->engine->name;
}
