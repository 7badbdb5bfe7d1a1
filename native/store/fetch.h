/* The way up: records that are on disk come into memory before a command runs.
 *
 * How a session uses it, all under the engine's lock and, from the last look until the command has
 * run, under one entry of it, without a step in between and with the same time:
 *
 *     fe_waiter waiter = {.wake = ...};              // in the session, zeroed once
 *     for each key of the command:
 *         all &= fe_fetch_key(store, db, name, hash, need, &waiter);
 *     if (!all) park;                                 // `wake` is called when pending is 0 again
 *     else run the handler, then fe_waiter_close(store, &waiter);
 *
 *     woken: if (waiter.error != 0) answer an error (fe_fetch_error_text) and close the waiter;
 *            else the same again from the top: look up, park or run.
 *     the session ends: fe_waiter_close, whatever it waits for.
 *
 * - The waiter stays open from its first look to the run: the read cache drops nothing that came since
 *   the first of its reads, so a command of many keys has them all at once. Each look may find a key gone to disk
 *   that was in memory at the one before; at most one read for each key follows.
 * - Memory: long reads of all waiters together have a bound (fetch_room.c), but for the values that one command needs
 *   at the same time. Where nobody needs the value, more than a little is kept without it (store/record.h).
 * - Needs of a transaction: the strongest of all its commands for each key, EXACT when a command of
 *   it may write and another names the key too. After a pause inside EXEC (Python, disk) other steps
 *   have run: look again.
 * - SCAN, KEYS, RANDOMKEY: the handler calls fe_store_scan or fe_store_random_key, and when
 *   fe_store_is_missing says so afterwards, its reply is void: fe_fetch_missing, park, run it again.
 *   DBSIZE does the same after fe_store_is_settled said no (or: fe_fetch_settled before it).
 * - Reading ahead: fe_fetch_key without a waiter.
 *
 * What a key's look-up finds in the index, and what follows for each need:
 *
 *     in memory | records on disk that may be it | READ, HEAD EXACT, SOLE,     BLIND
 *               |                                |            REMOVE
 *     ----------+--------------------------------+-----------------------------------------------
 *     yes       | none                           | run        run              run
 *     yes       | some                           | run        read them        run
 *     no        | none                           | run        run              run
 *     no        | one                            | read it    read it          run: settled later
 *     no        | several                        | read them  read them        read them
 *
 * ("In memory" and past its deadline is as good as not.) A BLIND write over a record that may be its
 * key's makes a second slot; a read then settles whether the old record was the same key, and removes
 * it if so. Until then the old record cannot be seen: the key's name is kept with the read, so the
 * new record may be overwritten, deleted or expire meanwhile. Whoever would open the old record waits
 * for that read. A read that only settles is in no hurry: many are put off and submitted together, which
 * is a fraction of the work; the oldest first, at the latest after some milliseconds, or as soon as the
 * disk has done with others of them. One that somebody waits for is asked for at once.
 *
 * Transport: fe_fetch_take under the lock at the end of each batch, as many as the disk has places for,
 * fe_disk_start without it; fe_disk_reap or fe_disk_take, fe_fetch_check of each without the lock, fe_fetch_done
 * under it. A read pins its segment.
 *
 * Errors: a read that is only refused (EAGAIN, EBUSY and whatever else says nothing of the record) is put off and
 * started again after a pause; when that has been of no use for some times, its waiters get `error`, and the record
 * stays. What cannot be read (EIO and what else a disk says of bad media), is cut short, or does not match its checksum is tried once more;
 * then its waiters get `error`, and a fault is noted for the log. The record is never served and stays
 * where it is: every later read of it fails again. REMOVE and BLIND remove it instead: it counts as
 * the key's, although its name is unknown (another key with the same 20 bits of tag would go with it).
 *
 * Background jobs that move records between segments leave those alone for which fe_fetch_settles
 * says yes.
 */
#ifndef FE_STORE_FETCH_H
#define FE_STORE_FETCH_H

#include "event/exponential.h"
#include "store/cache.h"
#include "store/disk.h"
#include "store/keyspace.h"

typedef enum fe_need {
    FE_NEED_READ,  /* the current record must be in memory */
    FE_NEED_EXACT, /* and no record on disk may be the key's: for what deletes, moves or writes it */
    FE_NEED_BLIND, /* it will be overwritten whatever it is */
    FE_NEED_HEAD,  /* as READ, but the value may be missing (store/record.h) */
    FE_NEED_SOLE,  /* as EXACT, but the value may be missing */
    FE_NEED_REMOVE /* as SOLE for DEL and UNLINK: one that cannot be read is removed */
} fe_need;

typedef struct fe_wait fe_wait;   /* one waiter in one read */
typedef struct fe_grant fe_grant; /* that a waiter's command may write one key blindly */
typedef struct fe_fetch_read fe_fetch_read;

typedef struct fe_waiter {
    uint32_t pending; /* reads that it waits for */
    int error; /* errno of one that failed, EBADMSG for a wrong checksum; until it is closed */
    void (*wake)(struct fe_waiter *waiter); /* under the lock, when pending has become 0; not from
                                               within a call that the waiter is given to */
    /* The rest is the store's. */
    bool open, counts, failed;
    bool holds; /* places of the cache's rings, from `hold` on */
    uint32_t skipped;
    uint64_t hold[FE_RINGS];
    uint64_t kept;      /* bytes that were cached for it ... */
    uint64_t kept_long; /* ... by long reads ... */
    uint64_t ready;     /* ... as many, while it has all that it asked for */
    fe_wait *waits;
    fe_grant *grants;
    struct fe_waiter *older, *newer, *failed_next;
    struct fe_waiter *holds_before, *holds_after;
} fe_waiter;

/* Whether the command may run as far as this key is concerned. Else reads were joined or started,
 * and the waiter waits; without a waiter they are only started, a bounded number at a time. */
bool fe_fetch_key(fe_store *store, uint32_t db, fe_bytes name, uint64_t hash, fe_need need,
                  fe_waiter *waiter);

/* The same for what the last run of SCAN, KEYS, RANDOMKEY or DBSIZE missed; forgets the list. Of
 * these, a record that cannot be read is skipped when it is met again. */
bool fe_fetch_missing(fe_store *store, fe_waiter *waiter);

/* Whether every blind write to the database is settled, so that its count of keys is exact; else
 * the waiter waits. While it is open no other blind write begins. */
bool fe_fetch_settled(fe_store *store, uint32_t db, fe_waiter *waiter);

/* The command has run, or its session is gone: the waiter waits for nothing any more and can be used
 * again. `wake` stays as it is. */
void fe_waiter_close(fe_store *store, fe_waiter *waiter);

/* Whether fe_fetch_take has something to give. To be asked now and then when no batch runs: reads that
 * were put off may be due. */
bool fe_fetch_is_wanted(const fe_store *store);
/* Whether reads wait for trash to be given back. */
bool fe_fetch_wants_trash(const fe_store *store);
/* As much as could be was given back: one that waits for it goes on. */
void fe_fetch_trash_given(fe_store *store);
/* Those that were put off are due now, as far as the bound on them allows. */
void fe_fetch_hurry(fe_store *store);
/* Stores up to `max` reads that are to be submitted and returns how many. These have buffers, those that stay queued
 * have none. Wakes those whose reads could not even be started. */
uint32_t fe_fetch_take(fe_store *store, fe_disk_read **reads, uint32_t max);

/* Looks at what was read: size and checksum. Without the lock, by whoever has reaped it; fe_fetch_done
 * does it otherwise. */
void fe_fetch_check(fe_disk_read *read);
/* The read is done: settles, caches, wakes; or queues it again, for the rest of a long record. */
void fe_fetch_done(fe_store *store, fe_disk_read *read);

/* Whether a blind write waits for the record at this address: it must not be moved. */
bool fe_fetch_settles(const fe_store *store, fe_address home);

/* In words, for an error reply. */
const char *fe_fetch_error_text(int error);

/* Something that could not be read, for the log. */
typedef struct fe_fetch_fault {
    uint32_t segment, generation; /* its file */
    uint64_t offset;              /* of the record, bytes */
    int error;                    /* EBADMSG: it is damaged */
    const char *cause;            /* in words, constant; NULL: what the error says is all */
} fe_fetch_fault;
/* The oldest fault that was not told yet; false: none. One that comes again is told once, while there are not
 * many others; when many come at once, some are only counted (fe_fetch_stats.untold). */
bool fe_fetch_fault_take(fe_store *store, fe_fetch_fault *fault);

typedef struct fe_fetch_stats {
    uint64_t reads, bytes; /* done, of whatever outcome */
    uint64_t joined;       /* waits for a read that was under way */
    uint64_t longer;       /* second reads, of long records */
    uint64_t retried, failed;
    uint64_t lost;                        /* records that could not be read, removed by a write */
    uint64_t expired;                     /* found past their deadline */
    uint64_t settled_same, settled_other; /* blind writes over an older record of the key, or not */
    uint64_t put_off;                     /* reads that waited for others to go with */
    uint64_t untold;                      /* faults that fe_fetch_fault_take will not give */
} fe_fetch_stats;
void fe_fetch_stats_get(const fe_store *store, fe_fetch_stats *stats, uint32_t *in_flight);
/* How long the disk took for each read, since the start or fe_store_stats_reset. */
const fe_exponential *fe_fetch_durations(const fe_store *store, uint64_t *longest_ns);
void fe_fetch_durations_reset(fe_store *store);

/* The store's part. ---------------------------------------------------------------------------- */

#define FE_FETCH_GRANT_CHAINS 64u
#define FE_FETCH_BUFFER_PAGES 5u /* buffers up to this size are kept for the next read */
#define FE_FETCH_FAULTS 16u
#define FE_FETCH_TOLD 64u
#define FE_FETCH_PICKS 8u
#define FE_FETCH_BAD 64u

/* A slot on disk that a walk met. */
typedef struct fe_missing {
    fe_address address;
    uint64_t hash; /* as far as the slot tells (fe_index_hash_known) */
    uint32_t keyspace;
    bool pick; /* RANDOMKEY's */
} fe_missing;

/* A random key that was read for RANDOMKEY. */
typedef struct fe_pick {
    uint64_t hash;
    fe_address home;
    uint32_t keyspace; /* 0: none */
} fe_pick;

typedef struct fe_fetch_queue {
    fe_disk_read *first, *last;
} fe_fetch_queue;

typedef struct fe_fetch {
    uint32_t block;        /* O_DIRECT's grain, bytes; 0 counts as 4096 */
    fe_fetch_read **table; /* under way, by address */
    uint32_t buckets, count;
    fe_fetch_queue queue, long_queue; /* not submitted yet; long_queue: see fetch_room.c */
    uint32_t queued, in_flight;       /* queued: of both queues */
    uint64_t long_queued, long_bytes; /* bytes of long reads that are queued; in flight */
    bool long_turn;       /* the last read was taken from long_queue, though queue had one */
    uint64_t ready_bytes; /* by long reads, of waiters that have all they asked for */
    bool trash_given;     /* one goes on whatever waits to be given back */
    fe_fetch_read *late, *late_last; /* put off: they only settle; the oldest first */
    uint32_t late_count;
    uint32_t late_reads;    /* that had been put off, queued or in flight ... */
    uint64_t late_bytes;    /* ... with so many bytes of buffers */
    int64_t late_ms;        /* since when the first of them waits */
    int64_t late_rest_ms;   /* none is started before: memory was refused */
    bool hurry;             /* they are due */
    fe_fetch_read *settles; /* those that settle a blind write */
    uint32_t settle_count, grant_count, counting;
    fe_grant *grants[FE_FETCH_GRANT_CHAINS];
    fe_waiter *oldest, *newest;
    struct {
        fe_waiter *first, *last;
    } holds; /* those that hold places of the cache, in order of the places */
    fe_waiter *failed;
    void *buffers[FE_FETCH_BUFFER_PAGES];
    uint32_t buffer_count[FE_FETCH_BUFFER_PAGES];
    fe_missing *missing;
    uint32_t missing_count, missing_capacity;
    bool missing_lost;         /* without memory */
    uint32_t missing_count_of; /* the database whose count was asked for, + 1 */
    fe_pick picks[FE_FETCH_PICKS];
    uint32_t pick_next;
    struct {
        fe_address address;
        uint32_t generation;
    } bad[FE_FETCH_BAD]; /* could not be read for a walk */
    uint32_t bad_next;
    fe_fetch_fault faults[FE_FETCH_FAULTS];
    uint32_t fault_first, fault_count;
    fe_fetch_fault told[FE_FETCH_TOLD]; /* the last of them; a ring */
    uint32_t told_next;
    fe_fetch_stats stats;
    fe_exponential durations; /* of reads, submission to reaping */
    uint64_t longest_ns;
} fe_fetch;

/* Something of a segment's file could not be read, or is damaged: it is noted with the other faults. `cause`:
 * see fe_fetch_fault. */
void fe_fetch_note_fault(fe_store *store, uint32_t segment, uint64_t offset, int error,
                         const char *cause);
/* Bytes by which reads are aligned, a power of two up to 4096. */
void fe_fetch_set_block(fe_store *store, uint32_t bytes);
/* Nothing is in flight and no waiter is open. */
void fe_fetch_close(fe_store *store);
/* For fe_store_check. */
const char *fe_fetch_check_all(const fe_store *store);

#endif
