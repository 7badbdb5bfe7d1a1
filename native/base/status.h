/* The outcome of an operation that the world can make fail. Our own mistakes are assertions instead. */
#ifndef FE_BASE_STATUS_H
#define FE_BASE_STATUS_H

typedef enum fe_status {
    FE_OK = 0,
    FE_NO_MEMORY, /* the operating system, the allocator's test hook or a limit of ours refused memory */
    FE_TOO_LARGE, /* beyond a stated bound */
    FE_FULL,      /* a bounded structure has no place left */
    FE_BUSY,      /* not now: wait, and ask again */
    FE_IO         /* the disk refused */
} fe_status;

#define FE_MUST_USE __attribute__((warn_unused_result))

#endif
