/* From wide records to an ExportTraceServiceRequest of OTLP, as bytes.
 *
 * What never changes (resource, scope, names, the attributes of a command or a tier) was encoded once,
 * by the official library, and is copied: the format. What is in the record is written by hand. A record
 * becomes a tree: the command's span, of kind SERVER, and below it, as far as `detail` wants them, its
 * phases and one span for each tier that served it:
 *
 *      received   parsed     begun      located    ended      settled    written
 *         |  parse   | dispatch | lookup   | read,write | serialize | tcp write |
 *
 * Ids of the phases follow from the id of the command's span, so that a record has the same tree whenever it is
 * encoded. Spans of commands that were read at once link to the first of them, which is remembered for
 * each ring. Texts of clients are any bytes; what is not UTF-8 becomes U+FFFD, as protobuf refuses it.
 *
 * Threads: a format and a clock may be read by many; a batch and a source belong to one.
 */
#ifndef FE_EVENT_OTLP_H
#define FE_EVENT_OTLP_H

#include "base/assert.h"
#include "base/buf.h"
#include "event/record.h"

#define FE_OTLP_NAMES_MAX 2u /* of one attribute: the seed's and the stable conventions' */

/* Spans below the command's, in the order of their ids. */
typedef enum fe_otlp_part {
    FE_PART_PARSE,
    FE_PART_DISPATCH,
    FE_PART_LOOKUP,
    FE_PART_MUTABLE_MISS, /* looked for in the mutable tier, and served by another */
    FE_PART_READ_MUTABLE,
    FE_PART_READ_ONLY,
    FE_PART_READ_CACHE,
    FE_PART_READ_DISK,
    FE_PART_WRITE_IN_PLACE, /* of a record in the mutable tier */
    FE_PART_WRITE_NEW,
    FE_PART_SERIALIZE,
    FE_PART_TCP_WRITE,
    FE_PART_WAIT, /* not for a record on disk alone: that is FE_PART_READ_DISK */
    FE_PART_COUNT
} fe_otlp_part;

/* Attributes whose values are in the record. */
typedef enum fe_otlp_slot {
    FE_SLOT_ARGS_COUNT,
    FE_SLOT_KEY,
    FE_SLOT_STATEMENT,
    FE_SLOT_DB,
    FE_SLOT_ERROR,
    FE_SLOT_PEER_ADDRESS,
    FE_SLOT_PEER_PORT,
    FE_SLOT_CONNECTION,
    FE_SLOT_HIT,
    FE_SLOT_HITS,
    FE_SLOT_MISSES,
    FE_SLOT_BATCH_SIZE,
    FE_SLOT_RETAINED,
    FE_SLOT_DISK_READS,
    FE_SLOT_REQUEST_BYTES,
    FE_SLOT_REPLY_BYTES,
    FE_SLOT_VALUE_BYTES,
    FE_SLOT_EPOCH,
    FE_SLOT_WAIT_US,
    FE_SLOT_SERVER_ADDRESS,
    FE_SLOT_SERVER_PORT,
    FE_SLOT_WAIT_REASON,
    FE_SLOT_COUNT
} fe_otlp_slot;

typedef enum fe_otlp_detail { FE_DETAIL_COMMAND, FE_DETAIL_PHASES, FE_DETAIL_FULL } fe_otlp_detail;

/* The constant parts; the bytes are borrowed. Parts of spans are messages of type Span without what the
 * record says; names of attributes are KeyValue messages without a value. */
typedef struct fe_otlp_command {
    fe_bytes span; /* name, kind, attributes */
    fe_bytes name; /* as the registry has it: "set", "config|get" */
} fe_otlp_command;

typedef struct fe_otlp_format {
    fe_bytes resource;               /* ResourceSpans without scope_spans */
    fe_bytes scope;                  /* ScopeSpans without spans */
    const fe_otlp_command *commands; /* by number in the registry */
    uint32_t command_count;
    fe_otlp_command unknown;
    fe_bytes parts[FE_PART_COUNT];
    fe_bytes results[FE_RESULT_REJECTED + 1]; /* attributes by fe_trace_result */
    fe_bytes
        place; /* attributes of where clients find the server, unless the record has another place */
    fe_bytes slots[FE_SLOT_COUNT][FE_OTLP_NAMES_MAX];
    uint32_t text_max; /* characters of a client's text; UINT32_MAX: all */
} fe_otlp_format;

/* What ticks mean. Two lines meet where one replaces the other, so that times never run backwards
 * unless the machine's date is set. */
typedef struct fe_otlp_clock {
    uint64_t base_ticks;
    int64_t base_ns; /* Unix time at base_ticks */
    double ns_per_tick;
    uint64_t
        slewed_ticks; /* so long after the base; before it and then `rate` is the slope; 0: ns_per_tick always is */
    uint64_t first_ticks, first_monotonic_ns; /* of the measurement of the rate */
    double rate;                              /* nanoseconds of the monotonic clock per tick */
} fe_otlp_clock;

/* Reads the clocks; ns_per_tick is the first guess. */
void fe_otlp_clock_start(fe_otlp_clock *clock, double ns_per_tick);

/* Reads the clocks again, as often as one likes: what the line is off by now is made good in the next
 * `period_ns`; a date that was set, more than a second off, is taken at once. */
void fe_otlp_clock_renew(fe_otlp_clock *clock, uint64_t period_ns);

/* The same for given readings. */
void fe_otlp_clock_adjust(fe_otlp_clock *clock, uint64_t ticks, uint64_t monotonic_ns,
                          int64_t unix_ns, uint64_t period_ns);

static inline int64_t fe_otlp_clock_ns(const fe_otlp_clock *clock, uint64_t ticks)
{
    int64_t passed = (int64_t)(ticks - clock->base_ticks), slewed = (int64_t)clock->slewed_ticks;
    if (FE_LIKELY(slewed == 0 || (passed >= 0 && passed <= slewed)))
        return clock->base_ns + (int64_t)((double)passed * clock->ns_per_tick);
    if (passed < 0) return clock->base_ns + (int64_t)((double)passed * clock->rate);
    return clock->base_ns +
           (int64_t)((double)slewed * clock->ns_per_tick + (double)(passed - slewed) * clock->rate);
}

/* What is remembered between the records of one ring; zeroed at first. */
typedef struct fe_otlp_source {
    uint64_t connection;
    uint64_t start_ticks; /* all that was read at once has the same */
    uint64_t span_id;     /* of the first command of a pipeline; 0: none */
    uint8_t trace_id[16];
} fe_otlp_source;

/* A request that grows. `buf` begins with room for what goes before the spans. */
typedef struct fe_otlp_batch {
    fe_buf buf;
    uint32_t records; /* taken; pads are none */
    uint32_t commands;
    uint32_t spans;
} fe_otlp_batch;

typedef struct fe_otlp_limits {
    fe_otlp_detail detail;
    uint64_t threshold_ns; /* with FE_DETAIL_PHASES: phases that took at least so long */
    uint32_t commands_max; /* of one batch */
    size_t bytes_max;      /* of one batch; one record alone may be longer */
} fe_otlp_limits;

/* Empties the batch, keeping its memory. */
void fe_otlp_begin(const fe_otlp_format *format, fe_otlp_batch *batch);

/* Appends the records at the beginning of `records`, which are whole, until the batch is full or memory is
 * exhausted: batch->buf.failed says so while the batch is empty, else it is as if it were full. Returns the bytes of the records that were taken. */
size_t fe_otlp_encode(const fe_otlp_format *format, const fe_otlp_clock *clock,
                      const fe_otlp_limits *limits, fe_otlp_source *source, fe_bytes records,
                      fe_otlp_batch *batch);

/* Writes what goes before the spans; the whole request, which lives until the batch is begun again. */
fe_bytes fe_otlp_finish(const fe_otlp_format *format, fe_otlp_batch *batch);

/* The id of a span below the command's. */
uint64_t fe_otlp_part_id(uint64_t span_id, fe_otlp_part part);

#endif
