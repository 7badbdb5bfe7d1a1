/* The wide record: all that is known of one finished command, in 128 bytes and a tail.
 *
 * The thread that ran the command writes it into its ring (event/ring.h); the exporter expands it
 * into a tree of spans (event/otlp.h). Numbers only: names of commands and tiers belong to whoever
 * reads it. Times are offsets from `start_ticks` in units of 2^shift ticks of the processor's
 * counter (base/clock.h); a stage that did not happen has the offset of the stage before it.
 *
 *      start    received   parsed      begun    located  ended         settled        written
 *        |  receive |  parse  |  dispatch  |  lookup |  run |  serialise  |  tcp write    |
 */
#ifndef FE_EVENT_RECORD_H
#define FE_EVENT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define FE_TRACE_ALIGN 32u      /* the size of a record, tail included, is a multiple of it */
#define FE_TRACE_TAIL_MAX 4096u /* bytes of one tail; longer texts are cut */

typedef enum fe_trace_kind {
    FE_TRACE_PAD,    /* unused bytes before the end of a ring; only `size` counts */
    FE_TRACE_COMMAND /* one command */
} fe_trace_kind;

typedef enum fe_trace_result {
    FE_RESULT_OK,
    FE_RESULT_NIL,     /* a null reply */
    FE_RESULT_GONE,    /* its client had gone before it was answered, though it had run */
    FE_RESULT_ERROR,   /* an error reply while it ran; its code is in the tail */
    FE_RESULT_REJECTED /* refused before it ran: form, permission, memory; its code is in the tail */
} fe_trace_result;

enum {                             /* fe_trace_record.flags */
       FE_TRACE_SAMPLED = 1 << 0,  /* chosen at its start: by the caller's flag or by ratio */
       FE_TRACE_RETAINED = 1 << 1, /* a rule of tail retention holds for it, so that it would have
                                         been kept without SAMPLED: error, latency, tier; or for
                                         a command that it is the parent of */
       FE_TRACE_REMOTE_PARENT = 1 << 2, /* parent_id is the caller's span */
       FE_TRACE_LOCAL_PARENT = 1 << 3,  /* parent_id is the span of the EXEC that it ran in */
       FE_TRACE_IN_EXEC = 1 << 4,
       FE_TRACE_PYTHON = 1 << 5, /* a coroutine answered it */
       FE_TRACE_WAITED = 1 << 6, /* the session was parked; `waited` says how long in all */
       FE_TRACE_DISK = 1 << 7,   /* ... for records on disk */
       FE_TRACE_PIPELINED =
           1 << 8, /* batch_size > 1 requests were read at once: it links to the first */
       FE_TRACE_WRITE = 1 << 9,    /* its row may write */
       FE_TRACE_READ = 1 << 10,    /* its row reads keys */
       FE_TRACE_BLOCKED = 1 << 11, /* it waited for a time: WAIT, DEBUG SLEEP */
       FE_TRACE_PAUSED = 1 << 12,  /* ... for the end of CLIENT PAUSE, or of another's EXEC */
       FE_TRACE_ROOM = 1 << 13     /* ... for the disk to catch up with what is written */
};

enum { /* fe_trace_record.tiers: bits of what served its look-ups, and of where it wrote */
       FE_TRACE_MUTABLE = 1 << 0,
       FE_TRACE_READ_ONLY = 1 << 1,
       FE_TRACE_CACHE = 1 << 2, /* the read cache, of what had been read from disk before */
       FE_TRACE_ON_DISK = 1 << 3,
       FE_TRACE_HITS = FE_TRACE_MUTABLE | FE_TRACE_READ_ONLY | FE_TRACE_CACHE | FE_TRACE_ON_DISK,
       FE_TRACE_WROTE_IN_PLACE = 1 << 4, /* a record in the mutable tier kept its place */
       FE_TRACE_WROTE_NEW = 1 << 5       /* a record was made at the tail of the log */
};

typedef enum fe_trace_stage {
    FE_STAGE_RECEIVED, /* the bytes of all connections of the round were received, and the batches before
                          its own were over */
    FE_STAGE_PARSED,  /* its batch was read ahead, and asks for the engine's lock */
    FE_STAGE_BEGUN,   /* its turn in the batch */
    FE_STAGE_LOCATED, /* its last key has been looked up; only of what is SAMPLED */
    FE_STAGE_ENDED,   /* the handler has returned: the reply is in the output buffer */
    FE_STAGE_SETTLED, /* the batch is over, its output goes to the transport */
    FE_STAGE_WRITTEN, /* send has returned */
    FE_STAGE_COUNT
} fe_trace_stage;

typedef struct fe_trace_record {
    uint32_t size;    /* bytes, with the tail and its padding */
    uint16_t command; /* the command's number in the registry; FE_TRACE_UNKNOWN */
    uint8_t kind;     /* fe_trace_kind */
    uint8_t result;   /* fe_trace_result */
    uint16_t flags;
    uint8_t tiers;
    uint8_t shift;
    uint32_t argc;
    uint8_t trace_id[16];
    uint64_t span_id;     /* a number: its bytes, the highest first, are the id as it is sent */
    uint64_t parent_id;   /* the same; 0: a root */
    uint64_t start_ticks; /* the bytes were readable */
    uint32_t stages[FE_STAGE_COUNT];
    uint32_t waited;      /* part of ended - begun that was spent parked */
    uint32_t value_bytes; /* of values read or written, saturating; so are the next two */
    uint32_t request_bytes, reply_bytes;
    uint32_t epoch; /* of the store when the command ended, the low 32 bits */
    uint64_t connection;
    uint16_t hits, misses; /* of keys, saturating */
    uint16_t db;
    uint16_t disk_reads;              /* records that it waited for, saturating */
    uint16_t batch_index, batch_size; /* place in the commands of the connection that were read at
                                         once, or in the transaction, and their number */
    uint16_t tail_len;                /* bytes */
    uint16_t key_index;               /* of the first key in argv, saturating; 0: no key */
} fe_trace_record;

#define FE_TRACE_UNKNOWN UINT16_MAX

/* The tail: texts, each as type, zero, length (u16), bytes, padded to 4; event/texts.h reads and writes
 * them. The command line with its literals masked is made of the command's name, argc, key_index and
 * the key by whoever reads the record (fe_texts_statement). Bytes are the client's: any, not UTF-8
 * alone. The types: */
typedef enum fe_trace_text {
    FE_TEXT_END,
    FE_TEXT_ADDRESS,    /* the peer, "ip:port" or a path */
    FE_TEXT_KEY,        /* the first key, as record_keys allows: whole, pattern or hash */
    FE_TEXT_ERROR,      /* the code: "ERR", "WRONGTYPE" */
    FE_TEXT_TRACESTATE, /* of the caller */
    FE_TEXT_BAGGAGE,    /* allowed members only: "name=value,name=value", values as they came */
    FE_TEXT_SERVER, /* the server's own address on this connection, where it is not its usual one */
    FE_TEXT_THRESHOLD, /* 8 bytes: the sampling threshold of a trace that began here, a number */
    FE_TEXT_COUNT
} fe_trace_text;

_Static_assert(sizeof(fe_trace_record) == 128, "two cache lines");

#endif
