/* Tiers: the way of segments from memory to disk. The store of a data folder has an fe_tiers at
 * `store->tiers`; a memory-only store has none, and only fe_tier_stats_get may be asked then.
 *
 *     MUTABLE --seal--> SEALED --flush--> MAPPED --demote--> DISK
 *        |                |                 |                 |
 *        +----------------+-- last record dies: dead ---------+--> FREE
 *
 *     transition   who                                when
 *     seal         seal (fe_tier_step, fe_tier_admit)  more than mutable_max is mutable
 *     flush        fe_tier_flush_begin/_run/_end       at once, oldest first
 *     demote       demote_next (fe_tier_step)          more than readonly_max is mapped
 *     dead         fe_tier_dead_take/_run/_done        nothing in it is alive, and nobody uses it
 *
 * Jobs: what may block is done without the lock, on a struct that was filled in under it (take,
 * begin) and is given back under it (done, end). A segment with a job is pinned, so that its number,
 * memory and descriptor stay.
 *
 * Threads: the engine's lock is held for every call but those whose name ends in _run.
 */
#ifndef FE_STORE_TIER_H
#define FE_STORE_TIER_H

#include "base/clock.h"
#include "store/device.h"
#include "store/image.h"
#include "store/keyspace.h"
#include "store/log.h"
#include "store/reserve.h"

#define FE_TIER_UNMAPS 32u /* mappings that may wait to be unmapped */

/* What the disk said last. */
typedef enum fe_disk_state {
    FE_DISK_OK,
    FE_DISK_FULL, /* the next file would pass disk_max, be more than may be open, or found no room */
    FE_DISK_FAILED /* it did not take the last file, for another cause */
} fe_disk_state;

/* An error of the disk, for the operator. */
typedef struct fe_disk_error {
    int code;                     /* errno; 0: there was none */
    uint32_t segment, generation; /* the file */
    int64_t at_ms;                /* Unix ms */
} fe_disk_error;

/* Counters since the start, and gauges of now. */
typedef struct fe_tier_stats {
    fe_tier_sum tiers[FE_TIER_COUNT]; /* gauges; [FE_TIER_MUTABLE].bytes and .live are filled in */
    uint64_t file_count, file_bytes;  /* gauges */
    uint64_t mutable_max, readonly_max, cache_max, disk_max; /* budgets of now; 0: no limit */
    uint64_t resident;                                       /* as last told */
    fe_disk_state state;
    bool out_of_files; /* FULL: there are as many files as may be open */
    int no_space;      /* FULL: ENOSPC or EDQUOT, when the disk itself has no room; else 0 */
    uint64_t room; /* bytes of files that it had room for when it was full lately; 0: it was not */
    bool index_over;                         /* what is no tier leaves none of the limit for them */
    bool behind;                             /* writers are made to wait for the flush ... */
    bool owing;                              /* ... for compaction */
    fe_disk_error error;                     /* the last one */
    uint64_t errors;                         /* flushes and removals that failed */
    uint64_t sealed, flushed, flushed_bytes; /* segments; bytes of their files */
    uint64_t demoted;                        /* segments */
    uint64_t map_failures;                   /* files that went to DISK at once */
    uint64_t locked, lock_failures; /* mappings that are kept in memory, and not; since the start */
    uint64_t page_faults;           /* pages of mapped files that could not be read */
    uint64_t removed;               /* files */
    uint64_t busy;                  /* how often fe_tier_admit said so */
    uint64_t owed;                  /* of `busy`, for compaction */
    uint64_t refused;               /* writes (fe_store_note_refused) */
} fe_tier_stats;

typedef struct fe_unmap_job {
    void *ptr;
    size_t size;
    uint32_t segment;
    int fd;
} fe_unmap_job;

/* When the disk itself had no room for a file. */
typedef struct fe_disk_room {
    uint64_t bytes; /* of all other files; 0: none, or it never was so */
    int64_t at_ms;
    int code; /* ENOSPC or EDQUOT */
} fe_disk_room;

typedef void fe_tier_hook(void *context);
typedef void fe_tier_change_hook(void *context, uint32_t segment, fe_tier tier,
                                 uint64_t began_ticks);

typedef struct fe_tiers {
    fe_device *device;
    const fe_guard *guard; /* the device's */
    uint64_t faults;       /* of it, that were looked after */
    uint64_t mutable_max, readonly_max, cache_max;
    uint64_t resident;   /* of the process; 0: never told */
    uint64_t besides;    /* of it, what was in no tier then */
    uint64_t seal_after; /* bytes appended before another segment is looked for in vain */
    uint64_t drain;      /* mapped segments up to this sequence go to disk, whatever the budget */
    uint64_t file_bytes, file_count;
    uint64_t reserve_order; /* of the last job (store/reserve.h) */
    fe_save_index saved;    /* what a save that failed later has written already */
    fe_cursor carry;        /* in the mapped segment that leaves memory */
    uint32_t carry_generation;
    fe_unmap_job unmaps[FE_TIER_UNMAPS]; /* a ring */
    uint32_t unmap_first, unmap_count;
    fe_disk_state state;
    bool out_of_files; /* FULL: because of files_max */
    int no_space;      /* FULL: because of the disk itself, which said this errno; else 0 */
    fe_disk_room room; /* the last one */
    uint64_t wanted; /* FULL: bytes of the file that there is no room for; 0: not because of them */
    int64_t retry_ms; /* no flush before, while the state is not OK */
    bool index_over;
    bool behind;     /* writers wait for the flush ... */
    bool owing;      /* ... for compaction */
    bool keep_files; /* they stay when the store is freed (store/save.h) */
    bool leaving;    /* a stop is near: no bound on files counts */
    int sync_error;  /* errno of segments that could not be synced; 0: there were none */
    fe_tier_hook *on_work, *on_room;
    void *work_context, *room_context;
    fe_tier_change_hook *on_change;
    void *change_context;
    fe_tier_stats stats; /* its counters */
} fe_tiers;

/* For fe_store_new, _free, _set_options and _check. `store->options.device` is open. */
FE_MUST_USE bool fe_tiers_open(fe_store *store);
/* Removes all files, unless `keep_files` says that they were saved. No job is under way. */
void fe_tiers_close(fe_store *store);
void fe_tiers_options_changed(fe_store *store);
const char *fe_tiers_check(const fe_store *store);

/* Between tier.c and tier_jobs.c: there is work, or room, and whoever asked to be told is told. */
void fe_tiers_ask_for_work(const fe_tiers *tiers);
void fe_tiers_tell_room(fe_store *store);
/* Seals mutable segments up to that sequence, at most `max`; whether some are left. Tails are not sealed. */
bool fe_tiers_seal_up_to(fe_store *store, uint64_t sequence, unsigned max);
/* Unmaps and removes all that waits for it; nobody else runs jobs, and nothing is pinned but by them. Blocks. */
void fe_tiers_run_jobs(fe_store *store);
/* Records were moved to the log: what is over the budget is sealed, as writers do it. */
void fe_tiers_moved(fe_store *store);
/* Only its file is left of a mapped segment, at once. */
void fe_tiers_demote(fe_store *store, uint32_t n);
/* For whoever changes a tier: the time before it, 0 when nobody wants to know, and the telling. */
static inline uint64_t fe_tiers_change_begin(const fe_tiers *tiers)
{
    return FE_UNLIKELY(tiers->on_change != NULL) ? fe_clock_ticks() : 0;
}
static inline void fe_tiers_change_end(const fe_tiers *tiers, uint32_t n, fe_tier tier,
                                       uint64_t began_ticks)
{
    if (FE_UNLIKELY(tiers->on_change != NULL))
        tiers->on_change(tiers->change_context, n, tier, began_ticks);
}
/* How much of its file a segment of `used` bytes maps. */
static inline uint64_t fe_tiers_mapped_size(uint64_t used)
{
    return (used + 4095u) & ~(uint64_t)4095u;
}

/* `on_work` is called when there is something to flush, or a step to do, and somebody waits for it;
 * `on_room` when fe_tier_admit, having said FE_BUSY, would say something else. Under the lock; they
 * must not block. NULL: nobody wants to know. */
void fe_tier_on_work(fe_store *store, fe_tier_hook *hook, void *context);
void fe_tier_on_room(fe_store *store, fe_tier_hook *hook, void *context);

/* `hook` is called after each change of a segment's tier, which began at `began_ticks`; NULL: nobody wants to
 * know. Under the lock; it must not block. */
void fe_tier_on_change(fe_store *store, fe_tier_change_hook *hook, void *context);

/* Bounded: seals what is over the mutable budget, carries and demotes what is over that of mapped
 * segments; for about `bytes` of records looked at. Returns whether there is more to do at once. */
bool fe_tier_step(fe_store *store, uint64_t bytes);

/* Before a command that may need memory. FE_OK; FE_BUSY: the flush or compaction is behind, the writer waits for
 * on_room; FE_IO: the disk refuses what has to leave memory; FE_NO_MEMORY: the index leaves no
 * memory for records, or the disk is full (fe_store_is_disk_full) and nothing can be evicted. */
FE_MUST_USE fe_status fe_tier_admit(fe_store *store);

/* Whether what waits to be written takes so much memory that nothing is to be added by moving. */
bool fe_tier_is_crowded(const fe_store *store);

/* Whether memory of mapped segments is wanted for what waits to be written: a step gives it up. */
bool fe_tier_is_lending(const fe_store *store);

/* How many bytes of memory the process has, in the eyes of the kernel: budgets that are `auto`
 * follow. To be told every 100 ms or so. */
void fe_tier_set_resident(fe_store *store, uint64_t resident_bytes);

/* Flushing. The job is zeroed before its first use and keeps its buffer until fe_flush_job_close. */
typedef struct fe_flush_job {
    fe_alloc *alloc;
    fe_image_source source;
    fe_reserve_job reserve;
    uint32_t segment;
    uint64_t file_max; /* bytes that the file may have ... */
    bool room_short;   /* ... because the disk itself had no room for more, a moment ago */
    bool refused;      /* there are as many files as may be open */
    uint8_t *image;    /* the buffer */
    size_t image_bytes;
    /* the outcome */
    fe_image_head head;
    uint64_t size; /* of the file */
    void *mapping; /* of its image; NULL when the system refused */
    bool lock;     /* its pages are to stay in memory */
    bool locked;   /* and they do */
    int fd;        /* -1: it was not written, because of */
    int error;     /* errno; or 0: it would be larger than file_max, or was refused */
} fe_flush_job;

/* Takes the oldest sealed segment; false: there is none, or an error is too fresh for another try. */
bool fe_tier_flush_begin(fe_store *store, fe_flush_job *job);
void fe_tier_flush_run(fe_device *device, fe_flush_job *job);
void fe_tier_flush_end(fe_store *store, fe_flush_job *job);
void fe_flush_job_close(fe_flush_job *job);

/* tier_room.c: how many bytes the next file may have, and whether what the disk itself said limits that; the disk
 * refused the job's file; files have gone, so it may have room again. */
uint64_t fe_tiers_file_max(const fe_store *store, bool *room_short);
void fe_tiers_refused(fe_store *store, const fe_flush_job *job);
void fe_tiers_took(fe_store *store); /* it took one, which counts in file_bytes */
void fe_tiers_gained_room(fe_store *store);
/* How many bytes all files may take, by disk_max and by what the disk itself had room for; 0: no limit is known. */
uint64_t fe_tiers_bytes_max(const fe_store *store);
void fe_tiers_room_stats(const fe_store *store, fe_tier_stats *stats);

/* Unmapping what was demoted. */
bool fe_tier_unmap_take(fe_store *store, fe_unmap_job *job);
void fe_tier_unmap_run(fe_device *device, const fe_unmap_job *job);
void fe_tier_unmap_done(fe_store *store, const fe_unmap_job *job);

/* What is left of a dead segment: its file, open, perhaps mapped. */
typedef struct fe_dead_job {
    fe_unmap_job map; /* ptr NULL: not mapped */
    uint32_t generation;
    int error; /* the outcome: errno, or 0 */
} fe_dead_job;

/* Also frees dead segments that are in memory only, a bounded number. */
bool fe_tier_dead_take(fe_store *store, fe_dead_job *job);
void fe_tier_dead_run(fe_device *device, fe_dead_job *job);
void fe_tier_dead_done(fe_store *store, const fe_dead_job *job);

/* Errors of pages of mapped files (store/guard.h). Whether one came that nobody has looked after: what
 * was read from mapped segments since the lock was taken is worth nothing. Cheap. */
bool fe_tier_fault_seen(const fe_store *store);
/* The same, and looks after it: the segments go to DISK, whatever it costs. Addresses and pointers of
 * records that the caller holds are void then; call it between looking keys up and running, and
 * after a command. */
bool fe_tier_faulted(fe_store *store);
/* A command that may have written what it read from a page of zeros: the key's record in memory goes. */
void fe_tier_forget(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash);
/* Reads every page of a record in a mapped segment, so that a fault comes now. */
void fe_tier_touch(const fe_store *store, fe_address address);

/* Sends everything that was written so far down to `to` (SEALED, MAPPED or DISK), in steps: call it
 * again, with jobs and steps between, while it returns true. For tests, DEBUG and a stop. */
bool fe_tier_demote_all(fe_store *store, fe_tier to);

/* Whether fe_tier_demote_all was ever asked to empty memory. */
bool fe_tier_is_ordered(const fe_store *store);

/* All zero for a memory-only store. */
void fe_tier_stats_get(const fe_store *store, fe_tier_stats *stats);

#endif
