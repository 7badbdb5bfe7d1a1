/* Background jobs over segments that have a file (MAPPED, DISK): what has died, expired or must go in
 * them is found by their footers, and what still lives in one that is mostly garbage is read from its
 * file and appended to the log again.
 *
 *     purpose   chosen when                                          what it does beside the walk
 *     RECOUNT   a keyspace has died, records of several are in it    counts what is alive anew
 *     EXPIRE    its deadline histogram says that enough has expired
 *     REFILL    an index has SHORT tags, and it is on disk
 *     COMPACT   garbage is above a share, and it has the most        moves what is alive
 *     EVICT     disk_max is near, and the policy takes keys          removes, moves what was read
 *
 * Every walk over a footer removes what has expired, refills SHORT tags, counts what is alive, and
 * measures the deadlines anew. Damage is never spread: a record whose checksum is wrong, read twice, and that
 * is not sound in memory either (in the read cache, or mapped), is left where it is, with its slot, so that
 * its key answers an error, until the key is written over or deleted, or by order
 * (fe_frozen_forget_damaged). So is one that the disk refuses while it reads the end of the file. Of a damaged block of a footer the entries are not known: their
 * records stay where they are, and are read as ever. A segment's file goes when no slot names anything in
 * it, damaged or not.
 *
 * A job, as the collector thread (engine/collector.h) or a test drives it:
 *
 *     fe_frozen_begin (lock)
 *     until DONE:  READ: fe_frozen_read (no lock)   STEP: fe_frozen_step (lock)
 *                  WAIT: fe_frozen_step (lock), a little later
 *     fe_frozen_end (lock); it may come at any time, what was done stays done
 *
 * Threads: the engine's lock is held for every call but fe_frozen_read and fe_frozen_job_close. One
 * job at a time.
 */
#ifndef FE_STORE_FROZEN_H
#define FE_STORE_FROZEN_H

#include "store/deadlines.h"
#include "store/device.h"
#include "store/image.h"
#include "store/keyspace.h"
#include "store/log.h"

typedef enum fe_frozen_purpose {
    FE_FROZEN_RECOUNT,
    FE_FROZEN_EXPIRE,
    FE_FROZEN_REFILL,
    FE_FROZEN_COMPACT,
    FE_FROZEN_EVICT,
    FE_FROZEN_PURPOSES
} fe_frozen_purpose;

typedef enum fe_frozen_next {
    FE_FROZEN_READ,
    FE_FROZEN_STEP,
    FE_FROZEN_WAIT,
    FE_FROZEN_DONE
} fe_frozen_next;

/* The state of the disk, as the tiers know it. */
typedef struct fe_frozen_disk {
    uint64_t bytes, max;       /* of all files; max 0: no limit */
    uint64_t files, files_max; /* how many; the same */
    uint64_t wanted;           /* full: bytes of the file that there is no room for */
    bool behind;               /* the flush is: nothing is moved */
    bool full; /* nothing can be flushed before there is room: moving owes nothing */
} fe_frozen_disk;

/* Damage, or an error of the disk, for the operator. */
typedef struct fe_frozen_fault {
    uint32_t segment, generation; /* the file; 0: there was none */
    uint64_t offset;              /* in it */
    const char *cause;            /* a constant text */
    int code;                     /* errno, or 0 */
    int64_t at_ms;                /* Unix ms */
} fe_frozen_fault;

/* Counters since the start, but for the gauges at the end. */
typedef struct fe_frozen_stats {
    uint64_t jobs[FE_FROZEN_PURPOSES]; /* segments walked */
    uint64_t read_bytes;
    uint64_t moved_keys, moved_bytes;
    uint64_t expired_keys, expired_bytes;
    uint64_t evicted_keys, evicted_bytes;
    uint64_t swept_bytes;     /* of records of dead keyspaces, by recounts */
    uint64_t refilled;        /* tags */
    uint64_t damaged_records; /* met while moving; the same one again if its segment is */
    uint64_t damaged_blocks;  /* of footers, and trailers */
    uint64_t read_errors;
    fe_frozen_fault fault; /* the last one */
    uint64_t used,
        live; /* gauges: of segments that can be compacted; the rest of `used` is garbage */
    uint64_t
        appended_bytes; /* gauge: by clients, ever; flushed bytes by this: write amplification */
} fe_frozen_stats;

/* Which keys volatile-ttl takes: those with a deadline before `cut`, so chosen that enough have one. */
typedef struct fe_frozen_cut {
    bool ready;
    int64_t cut;
    uint32_t next;      /* segment whose histogram comes next */
    uint64_t units[64]; /* of 8 bytes, by the power of two of the time that is left */
} fe_frozen_cut;

typedef struct fe_frozen {
    fe_frozen_disk disk;
    bool busy;            /* a job is under way */
    bool paused;          /* nothing expires, by order */
    bool last_was_look;   /* the last job was found by `look` */
    bool strained;        /* there is nearly too much garbage */
    bool tight;           /* the disk is over its target */
    bool stuck;           /* compaction was due, and found no segment to work on */
    bool thorough;        /* by order: any garbage is worth a move, and moves owe nothing */
    bool forget;          /* by order: segments that are `given_up` are worked on */
    uint32_t look;        /* the segment looked at last, for RECOUNT and EXPIRE */
    int64_t look_ms;      /* when that pass may begin again */
    int64_t credit_ms;    /* when credits were last given */
    uint64_t appended;    /* of the log, at that time */
    uint64_t look_credit; /* bytes of footers that may be read for little gain */
    int64_t move_credit;  /* bytes that may be moved */
    uint32_t refill;      /* the segment looked at last, for REFILL; 0: no pass */
    uint64_t refill_left; /* SHORT tags that the last pass could not refill */
    uint32_t
        evict; /* the segment that the search for volatile keys stands at; 0: at its beginning */
    uint32_t evict_generation;
    bool evict_hard;      /* also what was read: the last round found nothing else */
    bool evict_barren;    /* ... and that neither: what volatile-* takes is not on disk */
    uint64_t evict_found; /* evicted_keys when this round began */
    fe_frozen_cut cut;
    fe_frozen_stats stats;
} fe_frozen;

/* An entry of the footer, being worked on. */
typedef struct fe_frozen_item {
    fe_footer_entry entry;
    bool damaged;    /* its record cannot be had from the file ... */
    bool unreadable; /* ... because the disk refuses it */
} fe_frozen_item;

typedef enum fe_frozen_stage {
    FE_FROZEN_TRAILER, /* reading it */
    FE_FROZEN_FOOTER,  /* reading blocks of it */
    FE_FROZEN_DECIDE,  /* what becomes of their entries */
    FE_FROZEN_RECORDS, /* reading those that are to move */
    FE_FROZEN_MOVE
} fe_frozen_stage;

/* Zeroed before its first use; keeps its buffers until fe_frozen_job_close. */
typedef struct fe_frozen_job {
    fe_alloc *alloc;
    fe_frozen_purpose purpose;
    fe_frozen_stage stage;
    uint32_t segment, generation;
    uint64_t sequence;
    bool miscounted; /* what its segment's flag said */
    int fd;
    uint64_t file_size;
    fe_hash_seed seed;
    fe_image_head head;
    uint32_t block;              /* of the footer, the next to read */
    fe_frozen_item *items;       /* of the blocks read last; then those to move */
    uint32_t count, next, moves; /* of them; the next to decide or move; found to move */
    uint32_t window;             /* items whose records are in the buffer end here */
    uint64_t records_offset;     /* of the buffer in the file */
    uint64_t counted;            /* bytes found alive ... */
    uint32_t counted_records;    /* ... in so many records */
    uint64_t read_bytes;
    uint32_t damaged_blocks, damaged_records; /* that stay where they are */
    uint32_t unreadable;                      /* records of these that the disk refuses */
    uint32_t left;                            /* alive, and to be met again */
    fe_deadlines_measure measure;
    int64_t wait_ms;           /* since when it waits to move records; 0: it does not */
    bool hard;                 /* EVICT: also what was read */
    bool forget;               /* COMPACT: by order, records that do not match are removed */
    int64_t cut;               /* EVICT, volatile-ttl: deadlines after this stay */
    int error;                 /* errno: the file could not be read on; or memory was refused */
    fe_frozen_fault fault;     /* `cause` NULL: none */
    uint8_t *footer, *records; /* buffers */
    size_t records_bytes;
} fe_frozen_job;

/* The state of the disk is this now. Of a store with tiers it is known (store/tier.h): not called. */
void fe_frozen_tell(fe_store *store, const fe_frozen_disk *disk);

/* Whether keys are removed because of their deadline (DEBUG SET-ACTIVE-EXPIRE). */
void fe_frozen_pause_expiry(fe_store *store, bool paused);

/* Chooses a segment and pins it; the next is READ. False: nothing is due now. Bounded. */
bool fe_frozen_begin(fe_store *store, fe_frozen_job *job);

/* Reads the next part of the file: at most 1 MiB, or one larger record. The next is STEP. */
void fe_frozen_read(fe_device *device, fe_frozen_job *job);

/* Bounded: some hundred entries, or 64 KiB of records, or one larger record. */
fe_frozen_next fe_frozen_step(fe_store *store, fe_frozen_job *job);

void fe_frozen_end(fe_store *store, fe_frozen_job *job);
void fe_frozen_job_close(fe_frozen_job *job);

/* Whether the disk is so full, or so much of it is garbage, that jobs should not be slowed down. */
bool fe_frozen_is_urgent(const fe_store *store);

/* Compacts every segment that has garbage in it, until none is left: call it again, with jobs between,
 * while it returns true. For DEBUG. */
bool fe_frozen_compact_all(fe_store *store);

/* Moves what is sound out of every segment that is known to be damaged when it is first called, and removes the
 * keys of records that do not match their checksum: call it again, with jobs between, while it returns true. Each
 * segment has one whole pass, or as much of one as an error lets it. Records whose entry is damaged stay, and can be read. An order of the operator. */
bool fe_frozen_forget_damaged(fe_store *store);

/* Withdraws both orders: whoever gave one and does not call again until false must. Harmless otherwise. */
void fe_frozen_orders_end(fe_store *store);

/* Whether writers have to wait until there is less garbage in files; of who is `waiting` already, a little less than
 * made them wait. Whenever it may have become untrue, fe_tiers_tell_room is called. */
bool fe_frozen_owes(fe_store *store, bool waiting);

/* Whether the disk is full, and compaction can make room. */
bool fe_frozen_can_gain(fe_store *store);

/* Whether the policy could still remove keys from disk. */
bool fe_frozen_can_evict(const fe_store *store);

void fe_frozen_stats_get(const fe_store *store, fe_frozen_stats *stats);

#endif
