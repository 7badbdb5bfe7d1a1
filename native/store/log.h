/* The log: segments of memory to which records are appended, and the accounts of what in them is
 * alive.
 *
 * A segment is one mapping. Ordinary segments are powers of two from FE_SEGMENT_MIN up to the
 * store's segment size; they are small while the log is small. A record of more than an
 * eighth of the largest (and 16 KiB) has a segment of its own, rounded to pages.
 *
 *     segment:  | record | filler | record | ... | record |   not appended yet   |
 *               0                                         used                  bytes
 *
 * Walking from 0 in steps of fe_record_size meets records and fillers and ends at `used` exactly. A
 * record that dies becomes a filler at once, except when its whole keyspace dies (store/compact.h
 * sweeps those).
 *
 * Threads: the engine's lock is held for every call.
 */
#ifndef FE_STORE_LOG_H
#define FE_STORE_LOG_H

#include "base/alloc.h"
#include "base/status.h"
#include "store/address.h"
#include "store/deadlines.h"
#include "store/record.h"
#include "store/trash.h"

#define FE_SEGMENT_MIN ((size_t)64 << 10)
#define FE_SEGMENT_MAX ((size_t)32 << 20)
#define FE_SEGMENT_DEFAULT ((size_t)4 << 20)

/* Where a segment's bytes are. Only MUTABLE exists without a data folder. Records of every other
 * tier are frozen: nothing of them is written again, and when they die no filler takes their place. */
typedef enum fe_tier {
    FE_TIER_FREE,
    FE_TIER_MUTABLE, /* anonymous memory, updated in place */
    FE_TIER_SEALED,  /* the same memory, waiting to be written to its file */
    FE_TIER_MAPPED,  /* its file, mapped read-only */
    FE_TIER_DISK,    /* only its file; `base` is NULL */
    FE_TIER_CACHE,   /* memory: copies of records whose home is on disk (store/cache.h) */
    FE_TIER_COUNT
} fe_tier;

/* What the log does with a segment. */
typedef enum fe_role { FE_ROLE_FULL, FE_ROLE_TAIL, FE_ROLE_OWN } fe_role;

/* New records go to one tail, records moved by compaction (older, longer-lived) to another. */
typedef enum fe_tail { FE_TAIL_NEW, FE_TAIL_MOVED, FE_TAIL_COUNT } fe_tail;

#define FE_SEGMENT_MIXED 0xffffu /* `keyspace`: records of several */

typedef struct fe_segment {
    uint8_t *base;     /* the mapping; NULL when free */
    uint64_t bytes;    /* its size */
    uint64_t used;     /* appended so far */
    uint64_t live;     /* of them, in records that are reachable (or whose keyspace died unswept) */
    uint64_t sequence; /* grows with every segment taken into use */
    uint32_t generation; /* how often this number has been reused */
    uint32_t next, prev; /* neighbours in the list of its class, or of free numbers; 0 ends */
    uint16_t keyspace;   /* the only keyspace whose records were appended, 0: none yet, or MIXED */
    uint8_t tier;
    uint8_t role;
    uint8_t class_shift; /* a 64th of an ordinary segment is this power of two */
    uint8_t class_now;   /* the list that it is in, when FULL */
    uint32_t records;    /* how many the live bytes are */
} fe_segment;

_Static_assert(sizeof(fe_segment) == 64, "one cache line");

/* What a tiered log knows of a segment besides, in a table beside the segments. */
typedef struct fe_segment_file {
    uint8_t *marks; /* 2 bits of reads for each 64 bytes (see fe_log_touch); NULL: none are known */
    uint64_t size;  /* of the file; 0 while there is none */
    int64_t frozen_ms; /* when it was sealed */
    int fd;            /* for reads; -1 while there is no file */
    uint32_t pins;     /* users of the fd or of the memory without the lock: not freed before 0 */
    uint32_t older, newer; /* neighbours in the list of its tier; 0 ends */
    uint32_t record_max;   /* size of its largest record, 8-byte units */
    bool doomed;           /* nothing in it is alive: to be freed when `pins` is 0 */
    bool busy;             /* a background job is at work on it */
    bool miscounted;       /* `live` is too high: records of dead keyspaces, or that went unread */
    bool damaged;          /* a record or block of its file does not match its checksum */
    bool given_up;   /* by order, what is damaged of it is removed when its next job meets it */
    bool hopeless;   /* all that is left is damaged: no job will be (fe_log_set_hopeless) */
    int64_t rest_ms; /* no job over its footer before (steady_ms of the store) */
} fe_segment_file;

typedef struct fe_tier_sum {
    uint64_t segments;
    uint64_t bytes, live;    /* of segments and of what is alive in them; MUTABLE: see fe_log */
    uint64_t records;        /* alive; MUTABLE: see fe_log */
    uint32_t oldest, newest; /* the list in order of arrival */
} fe_tier_sum;

#define FE_LOG_CLASSES 65u /* by 64ths of a segment that are not dead */
#define FE_LOG_SPARES 2u

/* What can be compacted of the segments that have a file: those with more than one record. */
typedef struct fe_log_frozen {
    uint64_t used, live;             /* bytes appended to them; of these in live records */
    uint64_t lost;                   /* of them, dead in those that are hopeless */
    uint32_t head[FE_LOG_CLASSES];   /* their lists, by 64ths of `used` that are alive */
    uint32_t walk_segment;           /* whose live bytes are being counted anew; 0: none */
    uint64_t walk_offset, walk_died; /* counted up to here; bytes that died behind it */
    uint32_t walk_died_records;
} fe_log_frozen;

/* A place in a walk, kept right by the log while records change behind and before it. */
typedef struct fe_cursor {
    uint32_t segment; /* 0: nowhere; also when the segment was freed */
    uint64_t offset;
} fe_cursor;

typedef enum fe_walker {
    FE_WALKER_EXPIRE,
    FE_WALKER_COMPACT,
    FE_WALKER_SWEEP,
    FE_WALKERS
} fe_walker;

typedef struct fe_log {
    fe_alloc *alloc;
    fe_trash_list *trash;
    fe_segment *segments;    /* [0] is never used */
    fe_deadlines *deadlines; /* parallel to segments */
    fe_segment_file *files;  /* parallel to segments; NULL without a data folder */
    bool tiered;
    fe_tier_sum tiers[FE_TIER_COUNT]; /* of every tier but FREE, while tiered */
    fe_log_frozen frozen;
    uint32_t damaged;   /* segments with a file of which something is damaged */
    uint32_t dead_head; /* frozen segments without life or pins, for a worker to clean up */
    uint32_t capacity;  /* of both tables */
    uint32_t high;      /* highest number ever used */
    uint32_t free_head;
    unsigned offset_bits;
    size_t segment_max; /* of ordinary segments now; <= the size that offset_bits allows */
    uint32_t tail[FE_TAIL_COUNT];
    uint32_t class_head[FE_LOG_CLASSES];
    uint64_t bytes;         /* mapped in mutable segments */
    uint64_t live;          /* in live records of them */
    uint64_t records;       /* live ones */
    uint64_t waste;         /* bytes - used of what is no tail: no compaction brings them back */
    uint64_t segment_count; /* mutable ones */
    uint64_t sequence;
    uint64_t appended; /* bytes ever appended to the NEW tail or to segments of their own */
    fe_cursor cursor[FE_WALKERS];
    struct {
        void *ptr;
        size_t size;
    } spare[FE_LOG_SPARES];
    uint32_t spare_count;
    uint64_t spare_bytes;
} fe_log;

/* `segment_size` is a power of two in FE_SEGMENT_MIN..FE_SEGMENT_MAX: the largest that there will
 * be. */
void fe_log_init(fe_log *log, fe_alloc *alloc, fe_trash_list *trash, size_t segment_size);
/* Unmaps everything. */
void fe_log_close(fe_log *log);
/* Bounds ordinary segments, so that a small memory limit has fine ones; rounded down, clamped. */
void fe_log_set_segment_max(fe_log *log, size_t bytes);

static inline fe_segment *fe_log_segment(const fe_log *log, fe_address address)
{
    return &log->segments[address >> log->offset_bits];
}

/* The record, which is in memory. */
static inline fe_record *fe_log_at(const fe_log *log, fe_address address)
{
    uintptr_t base = (uintptr_t)fe_log_segment(log, address)->base; /* NULL on disk: for hints */
    return (fe_record *)(base + fe_address_offset(address, log->offset_bits));
}

static inline bool fe_log_is_cold(const fe_log *log, fe_address address)
{
    return fe_log_segment(log, address)->base == NULL;
}

/* What someone reads without the lock is not. */
static inline bool fe_log_is_mutable(const fe_log *log, fe_address address)
{
    const fe_segment *segment = fe_log_segment(log, address);
    if (segment->tier != FE_TIER_MUTABLE) return false;
    return FE_LIKELY(segment->role != FE_ROLE_OWN) || !fe_trash_is_held(log->trash, segment->base);
}

/* The log gets a data folder, before its first append. */
void fe_log_set_tiered(fe_log *log);

/* Reads are counted up to three for each 64 bytes of a segment of a tiered log; hints. */
void fe_log_touch(fe_log *log, fe_address address);
unsigned fe_log_touched(const fe_log *log, fe_address address);

/* Another tier for a segment that is no tail: lists and sums follow. */
void fe_log_set_tier(fe_log *log, uint32_t segment, fe_tier tier);
/* Takes a free number for a segment of memory of a tier that is not MUTABLE; 0 without memory. */
uint32_t fe_log_take(fe_log *log, void *base, size_t bytes, fe_tier tier);
/* Loading what was saved (store/save.h) into a log without segments. Numbers 1 to `high` are in use
 * or free; addresses have `offset_bits`. False without memory, or when there cannot be so many. */
FE_MUST_USE bool fe_log_load_begin(fe_log *log, unsigned offset_bits, uint32_t high,
                                   uint64_t sequence);
/* A segment on disk, and what is known of it and its file; a free number (tier FREE) has only a
 * generation. */
void fe_log_load(fe_log *log, uint32_t n, const fe_segment *segment, const fe_segment_file *file);
/* `order` has the numbers of all segments on disk, the oldest first. */
void fe_log_load_end(fe_log *log, const uint32_t *order, uint32_t count);
/* Forgets all segments that have a file. Nobody uses them, and the descriptors and mappings are
 * given back already. */
void fe_log_forget_files(fe_log *log);
/* Whoever pinned the segment is done with it. */
void fe_log_unpin(fe_log *log, uint32_t segment);
/* The next frozen segment that nothing can reach; the caller gives its memory and its file back
 * without the lock, and then its number (fe_log_dead_give). 0: none. */
uint32_t fe_log_dead_take(fe_log *log);
void fe_log_dead_give(fe_log *log, uint32_t segment);

/* The segment with a file of which least is alive, and of that at most `class_max` 64ths, that no job
 * is at work on and that need not rest at `now`; 0: none. */
uint32_t fe_log_frozen_victim(const fe_log *log, unsigned class_max, int64_t now);
/* Begins to count what is alive in a frozen segment; the caller moves frozen.walk_offset on. */
void fe_log_walk_begin(fe_log *log, uint32_t segment);
/* `counted` bytes in `records` were found alive: the rest dies. Returns how many bytes that was. */
uint64_t fe_log_walk_end(fe_log *log, uint64_t counted, uint32_t records);
/* A record of a frozen segment dies of which only the address is known: its bytes count as alive until a
 * walk, or until nothing in the segment has a slot. */
void fe_log_kill_unread(fe_log *log, fe_address address);
/* Whether its garbage is no work for compaction any more. The segment has a file. */
void fe_log_set_hopeless(fe_log *log, uint32_t segment, bool hopeless);
/* Something in the segment's file is damaged. */
void fe_log_mark_damaged(fe_log *log, uint32_t segment);
/* On disk nothing is marked any more: gives the marks up when they tell of no read. */
void fe_log_drop_marks(fe_log *log, uint32_t segment);
/* As if nothing in the segment had been read. */
void fe_log_forget_reads(fe_log *log, uint32_t segment);

/* Reserves `size` bytes (a multiple of 8) for a record of `keyspace`, counted as live.
 * FE_ADDRESS_NONE without memory. The caller writes the record at once. */
fe_address fe_log_append(fe_log *log, fe_tail tail, size_t size, uint32_t keyspace);

/* The same over `bytes` (whole pages, accounted as FE_ALLOC_LOG already) at `ptr`, which the caller has mapped and may have
 * written to: a segment of its own. On failure they are still the caller's. */
fe_address fe_log_adopt(fe_log *log, void *ptr, size_t bytes, size_t size, uint32_t keyspace);

/* Counts the record's deadline, once it is written; and takes it off before the record dies or
 * changes it. */
void fe_log_deadline_add(fe_log *log, fe_address address, int64_t now, int64_t deadline,
                         size_t size);
void fe_log_deadline_remove(fe_log *log, fe_address address, int64_t deadline, size_t size);

/* The record of `size` bytes dies (its deadline is taken off already). May free its segment. In a
 * frozen segment the bytes stay. */
void fe_log_kill(fe_log *log, fe_address address, size_t size);

/* In-place changes of size: how many bytes, at least `want` if possible, the record of `size` bytes
 * could take where it is; 0 when it had better move. The segment of a record of its own may be
 * remapped: read its pointer again. */
size_t fe_log_room(fe_log *log, fe_address address, size_t size, size_t want);
/* After fe_log_room said `room`: the record takes `new_size` <= room from now on. Call when its
 * bytes are in place. */
void fe_log_refit(fe_log *log, fe_address address, size_t size, size_t room, size_t new_size);

/* The next record (not filler) at or after the cursor, which moves behind it; NULL at the segment's
 * end. */
fe_record *fe_log_walk(const fe_log *log, fe_cursor *cursor, fe_address *address);

/* The full segment with the most dead in it, or 0; nothing whose class is above `class_max`. */
uint32_t fe_log_victim(const fe_log *log, unsigned class_max);

/* The mutable segment that is no tail and has been there for longest, or 0. Looks at all segments. */
uint32_t fe_log_oldest(const fe_log *log);
/* Makes it the newest. No sweep may be going on. */
void fe_log_renew(fe_log *log, uint32_t segment);

/* Frees a segment with all that is in it (nothing may point there), or empties it when it is a
 * tail. */
void fe_log_drop(fe_log *log, uint32_t segment);

/* Gives up tails that hold next to nothing, and spares, that are too large for what the log has
 * become. */
void fe_log_trim(fe_log *log);

/* Makes ordinary full segments of the tails, so that they can be frozen; empty ones are freed. */
void fe_log_close_tails(fe_log *log);

/* Bytes of ordinary segments that hold neither live records nor room to append. */
uint64_t fe_log_garbage(const fe_log *log);

/* Bytes that can still be appended to a tail. */
uint64_t fe_log_tail_room(const fe_log *log, fe_tail tail);

/* The size that the next ordinary segment should have. */
size_t fe_log_next_size(const fe_log *log);

/* Records larger than this get a segment of their own. */
size_t fe_log_own_min(const fe_log *log);

/* Keeps a mapping of segment size for the next segment; to the trash when it does not serve. */
void fe_log_spare_put(fe_log *log, void *ptr, size_t size);
/* Gives up spares: those of another size than the next, and, with `all`, every one. */
void fe_log_spare_trim(fe_log *log, bool all);

/* Checks accounts, lists and walks; NULL or what is wrong. */
const char *fe_log_check(const fe_log *log);

#endif
