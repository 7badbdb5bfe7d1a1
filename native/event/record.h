/* The wide record: all that is known of one finished command, in 128 bytes and a tail.
 *
 * The thread that ran the command writes it into its ring (event/ring.h); the exporter expands it
 * into a tree of spans (event/otlp.h). Numbers only: names of commands and tiers belong to whoever
 * reads it. Times are offsets from `start_ticks` in units of 2^shift ticks of the processor's
 * counter (base/clock.h); a stage that did not happen has the offset of the stage before it.
 *
 *      start    received  entered      begun    located  ended         settled        written
 *        |  receive |  parse  |  dispatch  |  lookup |  run |  (waits)  |  serialise    |
 *        |          |  queue  |            |         |      |           |  tcp write    |
 */
#ifndef FE_EVENT_RECORD_H
#define FE_EVENT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define FE_RECORD_ALIGN 32u /* the size of a record, tail included, is a multiple of it */
#define FE_RECORD_TAIL_MAX 4096u /* bytes of one tail; longer texts are cut */

typedef enum fe_record_kind {
    FE_RECORD_PAD,    /* unused bytes before the end of a ring; only `size` counts */
    FE_RECORD_COMMAND /* one command */
} fe_record_kind;

typedef enum fe_record_result {
    FE_RESULT_OK,
    FE_RESULT_NIL,    /* a null reply */
    FE_RESULT_ERROR,  /* an error reply while it ran; its code is in the tail */
    FE_RESULT_REJECTED /* refused before it ran: form, permission, memory; its code is in the tail */
} fe_record_result;

enum { /* fe_record.flags */
    FE_RECORD_SAMPLED = 1 << 0,       /* chosen at its start: by the caller's flag or by ratio */
    FE_RECORD_RETAINED = 1 << 1,      /* kept at its end: error, latency, tier */
    FE_RECORD_REMOTE_PARENT = 1 << 2, /* parent_id is the caller's span */
    FE_RECORD_LOCAL_PARENT = 1 << 3,  /* parent_id is the span of the EXEC that it ran in */
    FE_RECORD_IN_EXEC = 1 << 4,
    FE_RECORD_PYTHON = 1 << 5,  /* a coroutine answered it */
    FE_RECORD_WAITED = 1 << 6,  /* the session was parked; `waited` says how long in all */
    FE_RECORD_DISK = 1 << 7,    /* ... for records on disk */
    FE_RECORD_PIPELINED = 1 << 8, /* batch_size > 1 requests were read at once: it links to the first */
    FE_RECORD_WRITE = 1 << 9,   /* its row may write */
    FE_RECORD_READ = 1 << 10,   /* its row reads keys */
    FE_RECORD_BLOCKED = 1 << 11 /* WAIT, DEBUG SLEEP, CLIENT PAUSE */
};

enum { /* fe_record.tiers: bits of what served it */
    FE_RECORD_MUTABLE = 1 << 0,
    FE_RECORD_READ_ONLY = 1 << 1,
    FE_RECORD_CACHE = 1 << 2, /* the read cache, of what had been read from disk before */
    FE_RECORD_ON_DISK = 1 << 3
};

typedef enum fe_record_stage {
    FE_STAGE_RECEIVED, /* recv has returned */
    FE_STAGE_ENTERED,  /* read ahead, and the engine's lock is held */
    FE_STAGE_BEGUN,    /* its turn in the batch */
    FE_STAGE_LOCATED,  /* its last key has been looked up */
    FE_STAGE_ENDED,    /* the handler has returned: the reply is in the output buffer */
    FE_STAGE_SETTLED,  /* the batch is over, its output goes to the transport */
    FE_STAGE_WRITTEN,  /* send has returned */
    FE_STAGE_COUNT
} fe_record_stage;

typedef struct fe_record {
    uint32_t size;   /* bytes, with the tail and its padding */
    uint16_t command; /* the command's number in the registry; FE_RECORD_UNKNOWN */
    uint8_t kind;    /* fe_record_kind */
    uint8_t result;  /* fe_record_result */
    uint16_t flags;
    uint8_t tiers;
    uint8_t shift;
    uint32_t argc;
    uint8_t trace_id[16];
    uint64_t span_id;
    uint64_t parent_id; /* 0: a root */
    uint64_t start_ticks; /* the bytes were readable */
    uint32_t stages[FE_STAGE_COUNT];
    uint32_t waited;      /* part of ended - begun that was spent parked */
    uint32_t value_bytes; /* of values read or written, saturating; so are the next two */
    uint32_t request_bytes, reply_bytes;
    uint32_t epoch; /* the low 32 bits */
    uint64_t connection;
    uint16_t hits, misses; /* of keys, saturating */
    uint16_t db;
    uint16_t disk_reads;              /* records that it waited for, saturating */
    uint16_t batch_index, batch_size; /* place in the commands of the connection that were read at
                                         once, or in the transaction, and their number */
    uint16_t tail_len;                /* bytes */
    uint16_t reserved;                /* 0 */
} fe_record;

#define FE_RECORD_UNKNOWN UINT16_MAX

/* The tail: texts, each as type, zero, length (u16), bytes, padded to 4. The types: */
typedef enum fe_record_text {
    FE_TEXT_END,
    FE_TEXT_ADDRESS,    /* the peer, "ip:port" or a path */
    FE_TEXT_KEY,        /* the first key, as record_keys allows: whole, pattern or hash */
    FE_TEXT_ERROR,      /* the code: "ERR", "WRONGTYPE" */
    FE_TEXT_TRACESTATE, /* of the caller */
    FE_TEXT_BAGGAGE,    /* allowed members only */
    FE_TEXT_STATEMENT   /* the command line, literals masked */
} fe_record_text;

_Static_assert(sizeof(fe_record) == 128, "two cache lines");

#endif
