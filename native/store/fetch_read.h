/* A read of one record under way, and what waits for it: shared by fetch.c and the files fetch_*.c.
 *
 *     fe_fetch_read --waits--> fe_wait <--waits-- fe_waiter
 *
 * Threads: the engine's lock is held, but for fe_fetch_check, which looks at `disk` and the buffer
 * of a read that is done and at fields that do not change while it is in flight.
 */
#ifndef FE_STORE_FETCH_READ_H
#define FE_STORE_FETCH_READ_H

#include "store/fetch.h"
#include "store/store.h"

/* What the bytes are. */
typedef enum fe_verdict {
    FE_VERDICT_NONE, /* not looked at yet */
    FE_VERDICT_GOOD, /* `size` bytes are the record */
    FE_VERDICT_MORE, /* `size` bytes are needed */
    FE_VERDICT_BAD   /* `error` */
} fe_verdict;

struct fe_fetch_read {
    fe_disk_read disk;
    fe_address address;
    uint64_t hash; /* leads to the slot's bucket; of the key that was looked for, or a part of it */
    uint32_t keyspace; /* id */
    uint32_t segment;  /* pinned */
    uint64_t limit;    /* bytes from the record to the segment's end */
    uint64_t asked;    /* bytes of it that are read now */
    uint32_t skip;     /* bytes of the buffer in front of it */
    size_t size;
    int error;
    uint8_t verdict, tries;
    uint64_t long_bytes; /* of its buffer, in flight, when it is long (fetch_room.c) */
    uint64_t kept;       /* bytes of it that the cache has taken */
    uint8_t refusals;    /* times that it was put off because it was refused */
    bool wanted;         /* by a command, or ahead of one: the record is cached */
    bool whole;          /* by one that needs the value */
    bool pick;
    void *memory;   /* the block that holds the buffer */
    size_t mapping; /* its size, when it is a mapping of its own */
    fe_wait *waits;
    fe_fetch_read *chain; /* the next of its bucket of the table */
    /* Settling: the name of the key that was written over the record. */
    uint8_t *name;
    size_t name_len;
    uint64_t name_hash;
    bool settles;
    bool late;           /* put off: neither queued nor in flight, and without a buffer */
    bool was_late;       /* it had been, and was started with others */
    uint32_t late_bytes; /* then, the length of its buffer */
    fe_fetch_read *late_next, *late_prev;
    fe_fetch_read *settle_next, *settle_prev;
};

struct fe_wait {
    fe_waiter *waiter;
    fe_fetch_read *read;
    fe_wait *read_next, *read_prev;
    fe_wait *waiter_next, *waiter_prev;
    fe_need need;
    bool walk; /* of SCAN and the like: not an error when it fails */
};

struct fe_grant {
    fe_waiter *waiter;
    uint64_t hash;
    uint32_t keyspace;
    fe_address address; /* the one record on disk that may be the key's */
    fe_grant *next;     /* of its chain */
    fe_grant *waiter_next;
};

/* fetch.c */
fe_fetch_read *fe_fetch_find(const fe_store *store, fe_address address);
/* The read of the record, under way or started now; NULL without memory. */
fe_fetch_read *fe_fetch_start(fe_store *store, const fe_keyspace *keyspace, fe_address address,
                              uint64_t hash);
/* The same, but the read may be put off. */
fe_fetch_read *fe_fetch_start_late(fe_store *store, const fe_keyspace *keyspace, fe_address address,
                                   uint64_t hash);
/* The waiter waits for the read (NULL: which could not be started). */
void fe_fetch_wait(fe_store *store, fe_fetch_read *read, fe_need need, bool walk,
                   fe_waiter *waiter);
void fe_fetch_open(fe_store *store, fe_waiter *waiter);
/* Queues a read that is in no list, for as much of its record as is read at first; false when that is too
 * much for one read. It has a buffer only when it is taken. */
bool fe_fetch_ask(fe_store *store, fe_fetch_read *read);
/* Forgets a read that nobody waits for. */
void fe_fetch_drop(fe_store *store, fe_fetch_read *read);
/* Wakes all who wait for the read, with the error if it is one. */
void fe_fetch_waits_end(fe_store *store, fe_fetch_read *read, int error);

/* fetch_buffers.c */
/* Memory for `length` bytes of the read; false without any. Given back, with what is counted for it. */
bool fe_buffer_take(fe_store *store, fe_fetch_read *read, size_t length);
void fe_buffer_give(fe_store *store, fe_fetch_read *read);
void fe_buffers_free(fe_store *store);

/* fetch_room.c */
/* Whether a read of so many bytes counts as long. */
bool fe_room_is_long(uint64_t bytes);
/* Whether the first of the long reads that are queued may be started. */
bool fe_room_for_long(const fe_store *store);
/* Whether a read of so many bytes that nobody waits for may be begun. */
bool fe_room_ahead(const fe_store *store, uint64_t bytes);
/* The read, if it is long, gets a buffer; has none any more. */
void fe_room_take(fe_store *store, fe_fetch_read *read);
void fe_room_give(fe_store *store, fe_fetch_read *read);
/* From now on the cache drops nothing that comes, until those who wait for the read are closed. */
void fe_room_hold(fe_store *store, const fe_fetch_read *read);
/* The waiter waits for one more read; has all that it asked for; is closed. */
void fe_room_wait(fe_fetch *fetch, fe_waiter *waiter);
void fe_room_ready(fe_fetch *fetch, fe_waiter *waiter);
void fe_room_close(fe_store *store, fe_waiter *waiter);
/* Whether only the head of the record is to be kept: nobody needs its value, and those who wait for it have much. */
bool fe_room_is_spent(const fe_store *store, const fe_fetch_read *read, const fe_record *record);

/* fetch_late.c */
/* Puts off a read that is in the table and has no buffer. */
void fe_late_add(fe_store *store, fe_fetch_read *read);
/* The same for one that could not be read for now: no other that is put off is started either before a pause. */
void fe_late_again(fe_store *store, fe_fetch_read *read);
/* One that was put off is asked for at once, for somebody who waits; false as fe_fetch_ask. */
bool fe_late_promote(fe_store *store, fe_fetch_read *read);
/* Whether those that were put off are due. */
bool fe_late_is_due(const fe_store *store);
/* Queues those that were put off, the oldest first. The rest stays for the next time: a disk that is slow
 * would have a buffer for each. */
void fe_late_start(fe_store *store);

/* fetch_settle.c */
bool fe_settle_grant(fe_store *store, fe_keyspace *keyspace, fe_bytes name, uint64_t hash,
                     const uint64_t *cold, fe_waiter *waiter);
void fe_settle_revoke(fe_store *store, fe_waiter *waiter);
/* The record has been read and is in the index: whether it was the key's that was written over it;
 * then it is gone. */
bool fe_settle_record(fe_store *store, fe_keyspace *keyspace, fe_fetch_read *read, uint64_t hash,
                      uint64_t *slot, const fe_record *record);
/* The read is over, whatever came of it. */
void fe_settle_end(fe_store *store, fe_fetch_read *read);
/* Takes the UNSETTLED bit off the slot of a key in memory when nothing settles it any more. */
void fe_settle_clear(fe_store *store, fe_keyspace *keyspace, fe_bytes name, uint64_t hash,
                     uint64_t *slot);

/* fetch_missing.c */
void fe_missing_failed(fe_store *store, const fe_fetch_read *read);
void fe_missing_picked(fe_store *store, const fe_fetch_read *read, uint64_t hash);

#endif
