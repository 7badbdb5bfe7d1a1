/* The encoder of spans. A cursor runs over memory that was reserved for the longest that one record can
 * become (room_for), so that nothing below checks for room.
 *
 * Field numbers are those of opentelemetry/proto/trace/v1/trace.proto, version 1.
 */
#include "event/otlp.h"

#include "base/assert.h"
#include "event/otlp_text.h"
#include "event/protobuf.h"
#include "event/sampler.h"
#include "event/texts.h"

#define HEAD_LENGTHS (2u * (1u + FE_PB_VARINT_MAX)) /* tags and lengths before the spans */
#define SPAN_FIXED 208u     /* ids, times, flags, status, lengths and `ot=` of one span, at most */
#define ATTRIBUTE_FIXED 32u /* lengths and a number of one attribute */
#define STATEMENT_MAX 512u  /* bytes; a longer one is cut */
#define REASONS_MAX 32u     /* bytes of all that a command can have waited for */

enum { /* tags of Span, and of what is in it */
       TAG_TRACE_ID = FE_PB_TAG(1, FE_PB_LEN),
       TAG_SPAN_ID = FE_PB_TAG(2, FE_PB_LEN),
       TAG_TRACE_STATE = FE_PB_TAG(3, FE_PB_LEN),
       TAG_PARENT_ID = FE_PB_TAG(4, FE_PB_LEN),
       TAG_START = FE_PB_TAG(7, FE_PB_FIXED64),
       TAG_END = FE_PB_TAG(8, FE_PB_FIXED64),
       TAG_ATTRIBUTE = FE_PB_TAG(9, FE_PB_LEN),
       TAG_LINK = FE_PB_TAG(13, FE_PB_LEN),
       TAG_STATUS = FE_PB_TAG(15, FE_PB_LEN),
       TAG_KEY = FE_PB_TAG(1, FE_PB_LEN),
       TAG_VALUE = FE_PB_TAG(2, FE_PB_LEN),
       TAG_STRING = FE_PB_TAG(1, FE_PB_LEN),
       TAG_BOOL = FE_PB_TAG(2, FE_PB_VARINT),
       TAG_INT = FE_PB_TAG(3, FE_PB_VARINT),
       TAG_LINK_FLAGS = FE_PB_TAG(6, FE_PB_FIXED32),
       TAG_STATUS_MESSAGE = FE_PB_TAG(2, FE_PB_LEN),
       TAG_STATUS_CODE = FE_PB_TAG(3, FE_PB_VARINT),
       TAG_SCOPE_SPANS = FE_PB_TAG(2, FE_PB_LEN),
       TAG_SPANS = FE_PB_TAG(2, FE_PB_LEN),
       TAG_RESOURCE_SPANS = FE_PB_TAG(1, FE_PB_LEN),
       STATUS_ERROR = 2,
       FLAG_SAMPLED = 1,
       FLAG_HAS_IS_REMOTE = 0x100,
       FLAG_IS_REMOTE = 0x200
};

/* One record while it is written. */
typedef struct span_tree {
    const fe_otlp_format *format;
    const fe_otlp_clock *clock;
    const fe_otlp_limits *limits;
    const fe_trace_record *record;
    const fe_otlp_command *command;
    fe_bytes texts[FE_TEXT_COUNT];
    fe_bytes state; /* the tracestate; empty: none */
    char own_state[FE_SAMPLER_STATE_MAX];
    int64_t at[FE_STAGE_COUNT]; /* Unix nanoseconds of the stages */
    int64_t start;
    uint8_t *cursor;
    uint32_t spans;
} span_tree;

uint64_t fe_otlp_part_id(uint64_t span_id, fe_otlp_part part)
{
    /* The finaliser of splitmix64: a bijection, so that the ids of one command differ. */
    uint64_t x = span_id + ((uint64_t)part + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return x != 0 ? x : 1;
}

/* Attributes */

static uint8_t *put_number(uint8_t *at, fe_bytes name, uint8_t tag, uint64_t value)
{
    if (name.len == 0) return at;
    uint32_t value_len = 1 + fe_pb_varint_len(value);
    at = fe_pb_byte(at, TAG_ATTRIBUTE);
    at = fe_pb_varint(at, name.len + 2 + value_len);
    at = fe_pb_copy(at, name);
    at = fe_pb_byte(at, TAG_VALUE);
    at = fe_pb_byte(at, (uint8_t)value_len);
    at = fe_pb_byte(at, tag);
    return fe_pb_varint(at, value);
}

static void put_slot(span_tree *tree, fe_otlp_slot slot, uint8_t tag, uint64_t value)
{
    const fe_bytes *names = tree->format->slots[slot];
    tree->cursor = put_number(tree->cursor, names[0], tag, value);
    if (names[1].len > 0) tree->cursor = put_number(tree->cursor, names[1], tag, value);
}

static void put_int(span_tree *tree, fe_otlp_slot slot, uint64_t value)
{
    put_slot(tree, slot, TAG_INT, value);
}

/* An attribute whose name is a KeyValue without its value, and whose value is a client's text. */
static uint8_t *put_plain(uint8_t *at, fe_bytes name, fe_bytes text)
{
    size_t value_len = 1 + fe_pb_varint_len(text.len) + text.len;
    at = fe_pb_byte(at, TAG_ATTRIBUTE);
    at = fe_pb_varint(at, name.len + 1 + fe_pb_varint_len(value_len) + value_len);
    at = fe_pb_copy(at, name);
    at = fe_pb_varint(fe_pb_byte(at, TAG_VALUE), value_len);
    at = fe_pb_varint(fe_pb_byte(at, TAG_STRING), text.len);
    return fe_pb_copy(at, text);
}

static uint8_t *put_text(uint8_t *at, fe_bytes name, fe_bytes text, uint32_t text_max)
{
    if (fe_otlp_text_is_plain(text, text_max)) return put_plain(at, name, text);
    uint8_t *pair, *value, *string;
    at = fe_pb_open(at, TAG_ATTRIBUTE, &pair);
    at = fe_pb_copy(at, name);
    at = fe_pb_open(at, TAG_VALUE, &value);
    at = fe_pb_open(at, TAG_STRING, &string);
    at = fe_otlp_text_copy(at, text, text_max);
    at = fe_pb_close(at, string);
    at = fe_pb_close(at, value);
    return fe_pb_close(at, pair);
}

static void put_texts(span_tree *tree, fe_otlp_slot slot, fe_bytes text)
{
    for (uint32_t i = 0; i < FE_OTLP_NAMES_MAX; i++) {
        fe_bytes name = tree->format->slots[slot][i];
        if (name.len > 0) tree->cursor = put_text(tree->cursor, name, text, tree->format->text_max);
    }
}

/* Spans */

static uint8_t *put_trace_id(uint8_t *at, const uint8_t trace_id[16])
{
    *at++ = TAG_TRACE_ID;
    *at++ = 16;
    memcpy(at, trace_id, 16);
    return at + 16;
}

static uint8_t *put_flags(uint8_t *at, uint32_t flags)
{
    *at++ = 0x85; /* field 16, fixed32 */
    *at++ = 0x01;
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(flags >> (8 * i));
    return at + 4;
}

static uint32_t flags_of(const fe_trace_record *record)
{
    return FLAG_HAS_IS_REMOTE | (record->flags & FE_TRACE_SAMPLED ? FLAG_SAMPLED : 0);
}

/* Begins a span: what all spans have, and its constant part. */
static uint8_t *open_span(span_tree *tree, uint64_t id, uint64_t parent_id, int64_t start,
                          int64_t end, fe_bytes constant)
{
    const fe_trace_record *record = tree->record;
    uint8_t *content;
    uint8_t *at = fe_pb_open(tree->cursor, TAG_SPANS, &content);
    at = put_trace_id(at, record->trace_id);
    at = fe_pb_id(at, TAG_SPAN_ID, id);
    if (tree->state.len > 0) {
        uint8_t *state;
        at = fe_pb_open(at, TAG_TRACE_STATE, &state);
        at = fe_otlp_text_copy(at, tree->state, UINT32_MAX);
        at = fe_pb_close(at, state);
    }
    if (parent_id != 0) at = fe_pb_id(at, TAG_PARENT_ID, parent_id);
    at = fe_pb_fixed64(at, TAG_START, (uint64_t)start);
    at = fe_pb_fixed64(at, TAG_END, (uint64_t)end);
    tree->cursor = fe_pb_copy(at, constant);
    tree->spans++;
    return content;
}

static void close_span(span_tree *tree, uint8_t *content, uint32_t flags)
{
    tree->cursor = fe_pb_close(put_flags(tree->cursor, flags), content);
}

static void put_link(span_tree *tree, const fe_otlp_source *first)
{
    uint8_t *content;
    uint8_t *at = fe_pb_open(tree->cursor, TAG_LINK, &content);
    at = put_trace_id(at, first->trace_id);
    at = fe_pb_id(at, TAG_SPAN_ID, first->span_id);
    *at++ = TAG_LINK_FLAGS;
    uint32_t flags = flags_of(tree->record);
    for (int i = 0; i < 4; i++)
        *at++ = (uint8_t)(flags >> (8 * i));
    tree->cursor = fe_pb_close(at, content);
}

static void put_status(span_tree *tree)
{
    if (tree->record->result < FE_RESULT_ERROR) return;
    fe_bytes code = tree->texts[FE_TEXT_ERROR];
    uint8_t *content, *message;
    uint8_t *at = fe_pb_open(tree->cursor, TAG_STATUS, &content);
    if (code.len > 0) {
        at = fe_pb_open(at, TAG_STATUS_MESSAGE, &message);
        at = fe_otlp_text_copy(at, code, tree->format->text_max);
        at = fe_pb_close(at, message);
    }
    *at++ = TAG_STATUS_CODE;
    *at++ = STATUS_ERROR;
    tree->cursor = fe_pb_close(at, content);
    if (code.len > 0) put_texts(tree, FE_SLOT_ERROR, code);
}

static void put_end(span_tree *tree, fe_bytes end, fe_otlp_slot address, fe_otlp_slot port)
{
    uint32_t number;
    fe_bytes host = fe_otlp_text_host(end, &number);
    put_texts(tree, address, host);
    if (number > 0) put_int(tree, port, number);
}

/* Both ends of the connection. */
static void put_ends(span_tree *tree)
{
    fe_bytes peer = tree->texts[FE_TEXT_ADDRESS], here = tree->texts[FE_TEXT_SERVER];
    if (peer.len > 0) put_end(tree, peer, FE_SLOT_PEER_ADDRESS, FE_SLOT_PEER_PORT);
    if (here.len > 0)
        put_end(tree, here, FE_SLOT_SERVER_ADDRESS, FE_SLOT_SERVER_PORT);
    else
        tree->cursor = fe_pb_copy(tree->cursor, tree->format->place);
}

/* Members of the caller's baggage under their own names. */
static void put_baggage(span_tree *tree)
{
    fe_bytes rest = tree->texts[FE_TEXT_BAGGAGE];
    fe_bytes name, value;
    while (fe_otlp_text_member(&rest, &name, &value)) {
        uint8_t *pair, *any, *string;
        uint8_t *at = fe_pb_open(tree->cursor, TAG_ATTRIBUTE, &pair);
        at = fe_pb_open(at, TAG_KEY, &string);
        at = fe_pb_close(fe_otlp_text_copy(at, name, UINT32_MAX), string);
        at = fe_pb_open(at, TAG_VALUE, &any);
        at = fe_pb_open(at, TAG_STRING, &string);
        at = fe_pb_close(fe_otlp_text_decode(at, value, tree->format->text_max), string);
        at = fe_pb_close(at, any);
        tree->cursor = fe_pb_close(at, pair);
    }
}

static uint32_t batch_size(const fe_trace_record *record)
{
    if (record->flags & (FE_TRACE_PIPELINED | FE_TRACE_IN_EXEC) && record->batch_size > 1)
        return record->batch_size;
    return (uint32_t)record->hits + record->misses;
}

static void put_cache(span_tree *tree)
{
    const fe_trace_record *record = tree->record;
    uint32_t keys = (uint32_t)record->hits + record->misses;
    if (keys > 0) put_slot(tree, FE_SLOT_HIT, TAG_BOOL, record->misses == 0);
    if (keys > 1) {
        put_int(tree, FE_SLOT_HITS, record->hits);
        put_int(tree, FE_SLOT_MISSES, record->misses);
    }
    if (batch_size(record) > 1) put_int(tree, FE_SLOT_BATCH_SIZE, batch_size(record));
}

/* Whether at most one look-up or write is told; of several nobody knows which had how many bytes. */
static bool has_one_tier(uint32_t tiers)
{
    return (tiers & (tiers - 1)) == 0;
}

/* The flags of what a command that waited has waited for. */
static uint32_t reasons_of(const fe_trace_record *record)
{
    uint32_t reasons = FE_TRACE_PAUSED | FE_TRACE_ROOM | FE_TRACE_DISK | FE_TRACE_BLOCKED;
    if (record->result != FE_RESULT_REJECTED) reasons |= FE_TRACE_PYTHON; /* else it did not run */
    return record->flags & reasons;
}

/* What it was, in the order in which it may have been. */
static void put_reason(span_tree *tree)
{
    static const struct {
        uint16_t flag;
        const char *word;
    } reasons[] = {{FE_TRACE_PAUSED, "pause"},
                   {FE_TRACE_ROOM, "room"},
                   {FE_TRACE_DISK, "disk"},
                   {FE_TRACE_BLOCKED, "time"},
                   {FE_TRACE_PYTHON, "python"}};
    uint32_t flags = reasons_of(tree->record);
    uint8_t text[REASONS_MAX];
    size_t len = 0;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (!(flags & reasons[i].flag)) continue;
        if (len > 0) text[len++] = ',';
        size_t word_len = strlen(reasons[i].word);
        memcpy(text + len, reasons[i].word, word_len);
        len += word_len;
    }
    if (len > 0) put_texts(tree, FE_SLOT_WAIT_REASON, (fe_bytes){text, len});
}

static void put_numbers(span_tree *tree)
{
    const fe_trace_record *record = tree->record;
    put_int(tree, FE_SLOT_ARGS_COUNT, record->argc);
    put_int(tree, FE_SLOT_CONNECTION, record->connection);
    put_cache(tree);
    if (record->disk_reads > 0) put_int(tree, FE_SLOT_DISK_READS, record->disk_reads);
    if (record->flags & FE_TRACE_WAITED) {
        uint64_t ticks = (uint64_t)record->waited << record->shift;
        put_int(tree, FE_SLOT_WAIT_US,
                (uint64_t)((double)ticks * tree->clock->ns_per_tick / 1000.0));
        put_reason(tree);
    }
    if (!has_one_tier(record->tiers)) put_int(tree, FE_SLOT_VALUE_BYTES, record->value_bytes);
    if ((record->flags & (FE_TRACE_SAMPLED | FE_TRACE_RETAINED)) == FE_TRACE_RETAINED)
        put_slot(tree, FE_SLOT_RETAINED, TAG_BOOL, 1);
}

static void put_command(span_tree *tree, const fe_otlp_source *first)
{
    const fe_trace_record *record = tree->record;
    uint8_t *content = open_span(tree, record->span_id, record->parent_id, tree->start,
                                 tree->at[FE_STAGE_WRITTEN], tree->command->span);
    tree->cursor = fe_pb_copy(tree->cursor, tree->format->results[record->result]);
    put_numbers(tree);
    uint8_t number[FE_OTLP_DECIMAL_MAX];
    put_texts(tree, FE_SLOT_DB, fe_otlp_text_decimal(number, record->db));
    put_ends(tree);
    fe_bytes key = tree->texts[FE_TEXT_KEY];
    if (key.len > 0) put_texts(tree, FE_SLOT_KEY, key);
    uint8_t line[STATEMENT_MAX];
    size_t len = fe_texts_statement(record, tree->command->name, line, sizeof line);
    put_texts(tree, FE_SLOT_STATEMENT, (fe_bytes){line, len});
    put_baggage(tree);
    put_status(tree);
    if (first != NULL) put_link(tree, first);
    uint32_t remote = record->flags & FE_TRACE_REMOTE_PARENT ? FLAG_IS_REMOTE : 0;
    close_span(tree, content, flags_of(record) | remote);
}

/* Begins a span below the command's. */
static uint8_t *open_part(span_tree *tree, fe_otlp_part part, int64_t start, int64_t end)
{
    uint64_t id = fe_otlp_part_id(tree->record->span_id, part);
    return open_span(tree, id, tree->record->span_id, start, end, tree->format->parts[part]);
}

/* A phase, if it is wanted; `slot` is what it says of itself, FE_SLOT_COUNT for nothing. */
static void put_phase(span_tree *tree, fe_otlp_part part, int64_t start, int64_t end,
                      fe_otlp_slot slot, uint64_t value)
{
    const fe_otlp_limits *limits = tree->limits;
    if (limits->detail != FE_DETAIL_FULL && (uint64_t)(end - start) < limits->threshold_ns) return;
    uint8_t *content = open_part(tree, part, start, end);
    if (slot != FE_SLOT_COUNT) put_int(tree, slot, value);
    close_span(tree, content, flags_of(tree->record));
}

static void put_tier(span_tree *tree, fe_otlp_part part, int64_t start, int64_t end, bool has_bytes)
{
    const fe_trace_record *record = tree->record;
    uint8_t *content = open_part(tree, part, start, end);
    if (has_bytes) put_int(tree, FE_SLOT_VALUE_BYTES, record->value_bytes);
    put_int(tree, FE_SLOT_EPOCH, record->epoch);
    close_span(tree, content, flags_of(record));
}

/* The time of what was read from disk. */
typedef struct wait_span {
    int64_t from, until;
} wait_span;

/* A record that another command waited for, one before it in its pipeline or EXEC, had been read before this one began:
 * from the moment that it was found, it was served like any other. */
static wait_span disk_span(const span_tree *tree, int64_t waited)
{
    int64_t begun = tree->at[FE_STAGE_BEGUN], ended = tree->at[FE_STAGE_ENDED];
    if (!(tree->record->flags & FE_TRACE_DISK))
        return (wait_span){tree->at[FE_STAGE_LOCATED], ended};
    return (wait_span){begun, waited < ended - begun ? begun + waited : ended};
}

/* One span for each tier that served it; where the mutable one did not, it was looked into first. */
static void put_reads(span_tree *tree, wait_span read, bool has_bytes)
{
    uint32_t tiers = tree->record->tiers;
    int64_t from = tree->at[FE_STAGE_LOCATED], until = tree->at[FE_STAGE_ENDED];
    if (!(tiers & FE_TRACE_HITS)) return;
    if (tiers & FE_TRACE_MUTABLE)
        put_tier(tree, FE_PART_READ_MUTABLE, from, until, has_bytes);
    else
        put_tier(tree, FE_PART_MUTABLE_MISS, read.from, read.from, false);
    if (tiers & FE_TRACE_READ_ONLY) put_tier(tree, FE_PART_READ_ONLY, from, until, has_bytes);
    if (tiers & FE_TRACE_CACHE) put_tier(tree, FE_PART_READ_CACHE, from, until, has_bytes);
    if (tiers & FE_TRACE_ON_DISK)
        put_tier(tree, FE_PART_READ_DISK, read.from, read.until, has_bytes);
}

/* One span for each way of writing; how much of a value was changed where it lies is not known. */
static void put_writes(span_tree *tree, bool has_bytes)
{
    uint32_t tiers = tree->record->tiers;
    int64_t from = tree->at[FE_STAGE_LOCATED], until = tree->at[FE_STAGE_ENDED];
    has_bytes = has_bytes && tree->record->value_bytes > 0;
    if (tiers & FE_TRACE_WROTE_IN_PLACE)
        put_tier(tree, FE_PART_WRITE_IN_PLACE, from, until, has_bytes);
    if (tiers & FE_TRACE_WROTE_NEW) put_tier(tree, FE_PART_WRITE_NEW, from, until, has_bytes);
}

/* A wait, unless it was for records on disk alone and these have a span of their tier: EXEC's have it below its
 * commands, and what was waited for may be a key that is gone. What runs again has waited before it found its keys; others
 * wait after that. Of several waits the sum is known. */
static void put_wait(span_tree *tree, int64_t waited)
{
    const uint32_t again = FE_TRACE_PAUSED | FE_TRACE_ROOM | FE_TRACE_DISK;
    const fe_otlp_limits *limits = tree->limits;
    uint32_t flags = tree->record->flags;
    bool is_told =
        reasons_of(tree->record) == FE_TRACE_DISK && tree->record->tiers & FE_TRACE_ON_DISK;
    if (!(flags & FE_TRACE_WAITED) || is_told) return;
    if (limits->detail != FE_DETAIL_FULL && (uint64_t)waited < limits->threshold_ns) return;
    int64_t from = tree->at[flags & again ? FE_STAGE_BEGUN : FE_STAGE_LOCATED];
    int64_t ended = tree->at[FE_STAGE_ENDED];
    uint8_t *content =
        open_part(tree, FE_PART_WAIT, from, waited < ended - from ? from + waited : ended);
    put_reason(tree);
    close_span(tree, content, flags_of(tree->record));
}

static void put_parts(span_tree *tree)
{
    const fe_trace_record *record = tree->record;
    const int64_t *at = tree->at;
    int64_t begun = at[FE_STAGE_BEGUN], located = at[FE_STAGE_LOCATED];
    int64_t waited =
        (int64_t)((double)((uint64_t)record->waited << record->shift) * tree->clock->ns_per_tick);
    /* A command that waited for the disk waited before it found its keys; others wait after that. */
    int64_t woken = waited <= located - begun ? begun + waited : begun;
    put_phase(tree, FE_PART_PARSE, at[FE_STAGE_RECEIVED], at[FE_STAGE_PARSED],
              FE_SLOT_REQUEST_BYTES, record->request_bytes);
    put_phase(tree, FE_PART_DISPATCH, at[FE_STAGE_PARSED], begun, FE_SLOT_COUNT, 0);
    /* Of what is not sampled nobody has measured it. */
    if (record->key_index > 0 && record->flags & FE_TRACE_SAMPLED)
        put_phase(tree, FE_PART_LOOKUP, woken, located, FE_SLOT_COUNT, 0);
    bool has_bytes = has_one_tier(record->tiers);
    put_reads(tree, disk_span(tree, waited), has_bytes);
    put_writes(tree, has_bytes);
    put_wait(tree, waited);
    put_phase(tree, FE_PART_SERIALIZE, at[FE_STAGE_ENDED], at[FE_STAGE_SETTLED], FE_SLOT_COUNT, 0);
    put_phase(tree, FE_PART_TCP_WRITE, at[FE_STAGE_SETTLED], at[FE_STAGE_WRITTEN],
              FE_SLOT_REPLY_BYTES, record->reply_bytes);
}

/* Records */

static void read_stages(span_tree *tree)
{
    const fe_trace_record *record = tree->record;
    tree->start = fe_otlp_clock_ns(tree->clock, record->start_ticks);
    int64_t last = tree->start;
    for (int i = 0; i < FE_STAGE_COUNT; i++) {
        uint64_t ticks = record->start_ticks + ((uint64_t)record->stages[i] << record->shift);
        int64_t ns = fe_otlp_clock_ns(tree->clock, ticks);
        /* A counter of another core may be some ticks behind. */
        last = ns > last ? ns : last;
        tree->at[i] = last;
    }
}

/* The caller's tracestate, or that of a trace that begins here and was sampled by a ratio. */
static void read_state(span_tree *tree)
{
    fe_bytes told = tree->texts[FE_TEXT_THRESHOLD];
    tree->state = tree->texts[FE_TEXT_TRACESTATE];
    uint64_t threshold;
    if (tree->state.len > 0 || told.len != sizeof threshold) return;
    memcpy(&threshold, told.ptr, sizeof threshold);
    uint64_t low = fe_sampler_low(tree->record->trace_id);
    size_t len = fe_sampler_state(tree->own_state, threshold, low);
    tree->state = (fe_bytes){(const uint8_t *)tree->own_state, len};
}

/* The first command of the pipeline that this one is of, or NULL when it was not recorded; remembers it when
 * it is this one. */
static const fe_otlp_source *first_of(fe_otlp_source *source, const fe_trace_record *record)
{
    if (record->flags & FE_TRACE_IN_EXEC || !(record->flags & FE_TRACE_PIPELINED)) return NULL;
    if (record->batch_index > 0) {
        bool same = source->span_id != 0 && source->connection == record->connection &&
                    source->start_ticks == record->start_ticks;
        return same ? source : NULL;
    }
    source->connection = record->connection;
    source->start_ticks = record->start_ticks;
    source->span_id = record->span_id;
    memcpy(source->trace_id, record->trace_id, 16);
    return NULL;
}

static size_t names_len(const fe_otlp_format *format)
{
    size_t len = format->place.len;
    for (int i = 0; i < FE_SLOT_COUNT; i++)
        for (uint32_t j = 0; j < FE_OTLP_NAMES_MAX; j++)
            len += format->slots[i][j].len + ATTRIBUTE_FIXED;
    return len;
}

static size_t parts_len(const fe_otlp_format *format)
{
    size_t len = 0;
    for (int i = 0; i < FE_PART_COUNT; i++)
        len += format->parts[i].len + SPAN_FIXED + 2 * ATTRIBUTE_FIXED;
    for (int i = 0; i <= FE_RESULT_REJECTED; i++)
        len += format->results[i].len;
    return len;
}

/* No record of this length with this command becomes longer than that. Texts may triple, and stand there
 * twice, in the statement again; the tracestate stands in every span. */
static size_t room_for(size_t constant, const fe_otlp_command *command, size_t tail_len)
{
    size_t texts = 3 * tail_len * (FE_OTLP_NAMES_MAX + 1);
    size_t lines = 3 * STATEMENT_MAX * FE_OTLP_NAMES_MAX;
    size_t states = 3 * tail_len * (FE_PART_COUNT + 1);
    size_t members = tail_len * ATTRIBUTE_FIXED / 2; /* of the baggage: a=,b=,... */
    return constant + SPAN_FIXED + command->span.len + texts + lines + states + members;
}

static const fe_otlp_command *command_of(const fe_otlp_format *format, uint16_t number)
{
    return number < format->command_count ? &format->commands[number] : &format->unknown;
}

void fe_otlp_begin(const fe_otlp_format *format, fe_otlp_batch *batch)
{
    batch->records = batch->commands = batch->spans = 0;
    batch->buf.len = 0;
    batch->buf.failed = false;
    size_t head = format->resource.len + format->scope.len + HEAD_LENGTHS;
    if (fe_buf_reserve(&batch->buf, head) != NULL) batch->buf.len = head;
}

size_t fe_otlp_encode(const fe_otlp_format *format, const fe_otlp_clock *clock,
                      const fe_otlp_limits *limits, fe_otlp_source *source, fe_bytes records,
                      fe_otlp_batch *batch)
{
    size_t done = 0;
    size_t constant = names_len(format) + parts_len(format);
    fe_buf *buf = &batch->buf;
    while (done < records.len && batch->commands < limits->commands_max && !buf->failed) {
        const fe_trace_record *record = (const void *)(records.ptr + done);
        FE_ASSERT(record->size >= FE_TRACE_ALIGN && record->size <= records.len - done);
        if (record->kind != FE_TRACE_COMMAND) {
            done += record->size;
            continue;
        }
        span_tree tree = {.format = format,
                          .clock = clock,
                          .limits = limits,
                          .record = record,
                          .command = command_of(format, record->command)};
        size_t room = room_for(constant, tree.command, record->tail_len);
        if (batch->commands > 0 && buf->len + room > limits->bytes_max) break;
        tree.cursor = fe_buf_reserve(buf, room);
        if (tree.cursor == NULL) {
            if (batch->commands > 0) buf->failed = false; /* what is there is whole */
            break;
        }
        bool sound = fe_otlp_text_read(record, tree.texts);
        FE_ASSERT(sound);
        read_stages(&tree);
        read_state(&tree);
        put_command(&tree, first_of(source, record));
        if (limits->detail != FE_DETAIL_COMMAND) put_parts(&tree);
        size_t len = (size_t)(tree.cursor - (buf->data + buf->len));
        FE_ASSERT(len <= room);
        buf->len += len;
        batch->records++;
        batch->commands++;
        batch->spans += tree.spans;
        done += record->size;
    }
    return done;
}

fe_bytes fe_otlp_finish(const fe_otlp_format *format, fe_otlp_batch *batch)
{
    fe_buf *buf = &batch->buf;
    if (buf->failed) return (fe_bytes){0};
    size_t head = format->resource.len + format->scope.len + HEAD_LENGTHS;
    size_t scope_len = format->scope.len + buf->len - head;
    size_t resource_len = format->resource.len + 1 + fe_pb_varint_len(scope_len) + scope_len;
    size_t used = 1 + fe_pb_varint_len(resource_len) + resource_len - (buf->len - head);
    uint8_t *start = buf->data + head - used;
    uint8_t *at = fe_pb_varint(fe_pb_byte(start, TAG_RESOURCE_SPANS), resource_len);
    at = fe_pb_copy(at, format->resource);
    at = fe_pb_varint(fe_pb_byte(at, TAG_SCOPE_SPANS), scope_len);
    at = fe_pb_copy(at, format->scope);
    FE_ASSERT(at == buf->data + head);
    return (fe_bytes){start, buf->len - head + used};
}
