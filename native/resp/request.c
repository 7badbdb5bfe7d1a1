/* The request reader.
 *
 * Two ways lead to a request. The quick way (read_whole) reads an array of bulk strings that is
 * wholly in the input, with local variables only, and gives up without a trace when anything is
 * unusual: then the state machine reads the same bytes again, remembers where it stopped, and words
 * the errors. So a request that is cut is parsed by the quick way at most once, and every rule that
 * refuses something is written once, below.
 *
 *     input   | returned requests | request under way ............ | not yet seen
 *             0                   start        pos  pos + scanned
 *
 *     stages                        leaves by
 *     START       no request yet    '*' -> BULK_HEADER, or a whole request (`*0`, inline) -> START
 *                                   '|' -> ITEM, or START when it has no pairs
 *     BULK_HEADER `$len` is next    read_bulk_header -> BULK_BODY
 *     BULK_BODY   len bytes + 2     read_bulk_body -> BULK_HEADER, or after the last -> START
 *     ITEM        a key, value or   read_item -> ITEM, ITEM_BODY, or after the last -> START
 *                 nested element
 *     ITEM_BODY   len bytes + CRLF  read_item_body -> ITEM, or after the last -> START
 *     FAILED      error is set      fe_reader_reset -> START
 *
 * Invariants:
 * 1. start <= pos <= len, and the bytes [pos, pos + scanned) hold no line end.
 * 2. While a request is under way its arguments are kept as offsets from start, in the pointer
 *    fields, so that input may move between feeds; finish_array makes them pointers. Texts of
 *    attributes likewise.
 * 3. What is read does not depend on how the input was cut into feeds: each decision looks at a
 *    bounded number of bytes from a place that does not depend on the cuts, and waits until they
 *    are there.
 *
 * As in Redis, a header line ends at its first carriage return, the byte after it is skipped
 * unseen, and so are the two bytes after a bulk. In attributes, which Redis does not read, CRLF is
 * demanded.
 *
 * Threads: none; a reader belongs to one session.
 */
#include "resp/request.h"

#include <stdio.h>

#include "base/assert.h"
#include "resp/args.h"
#include "resp/inline.h"
#include "resp/number.h"

#define UNAUTHENTICATED_BULKS_MAX 10
#define UNAUTHENTICATED_BULK_LEN_MAX 16384

#define OUT_OF_MEMORY "ERR out of memory while reading a request"
#define PROTOCOL "ERR Protocol error: "

typedef enum stage { START, BULK_HEADER, BULK_BODY, ITEM, ITEM_BODY, FAILED } stage;

/* What a step of the state machine did. */
typedef enum outcome {
    GO_ON, /* it made progress: the next stage is to be run */
    DONE,  /* the request is complete */
    SHORT, /* it needs more input */
    BROKEN /* the error is set */
} outcome;

/* The texts of attributes that are kept; NO_KEY comes last. */
typedef enum key { TRACEPARENT, TRACESTATE, BAGGAGE, NO_KEY } key;

/* Memory for the unquoted words of one inline request. */
typedef struct unquoted {
    struct unquoted *next;
    size_t cap;
    uint8_t bytes[];
} unquoted;

/* An argument that lies elsewhere; see fe_reader_set_body. */
typedef struct elsewhere {
    const uint8_t *ptr; /* NULL: none */
    size_t offset;      /* from the start of its request */
    size_t len;
    size_t index;
    bool due; /* its request has not been returned */
} elsewhere;

typedef struct span {
    size_t offset; /* from the start of the request */
    size_t len;
} span;

struct fe_reader {
    const uint8_t *data;
    size_t len;
    size_t pos;
    size_t start;
    size_t scanned;
    uint64_t bulk_len;     /* BULK_BODY, ITEM_BODY: bytes of the body */
    uint64_t bulk_len_max; /* proto-max-bulk-len */
    uint32_t bulks_left;
    uint8_t items_left; /* keys and values still to come; even before a key */
    uint8_t depth;      /* aggregates that are open inside of one of them */
    uint16_t
        nested_left[FE_READER_ATTRIBUTE_DEPTH_MAX]; /* elements still to come, outermost first */
    uint16_t nested_seen;                           /* elements of all of them */
    uint8_t attributes;                             /* in front of this request, so far */
    uint8_t pairs_seen;                             /* of all of them */
    bool authenticated;
    bool item_kept; /* ITEM_BODY: it is a text, not an error or verbatim string */
    stage stage;
    key key; /* of the pair under way */
    span texts[NO_KEY];
    span state;              /* the tracestate of the attribute under way */
    uint8_t said_by[NO_KEY]; /* which attribute, from 1 on, has said it last */
    fe_args args;
    elsewhere body;
    unquoted *unquoted;
    fe_alloc *alloc;
    const char *error;
    char error_text[48];
};

/* ---- errors ---- */

static outcome fail(fe_reader *reader, const char *error)
{
    reader->error = error;
    reader->stage = FAILED;
    return BROKEN;
}

static outcome fail_expected_bulk(fe_reader *reader, uint8_t got)
{
    /* The error is one line of text: a line end, or a zero byte, would cut it. */
    char shown = got == '\r' || got == '\n' || got == 0 ? ' ' : (char)got;
    snprintf(reader->error_text, sizeof reader->error_text, PROTOCOL "expected '$', got '%c'",
             shown);
    return fail(reader, reader->error_text);
}

/* ---- pieces that all stages use ---- */

static inline void advance(fe_reader *reader, size_t count)
{
    reader->pos += count;
    reader->scanned = 0;
}

/* Finds `end` in the line at pos, which may be FE_READER_INLINE_MAX bytes long; its length goes to
 * *len. */
static outcome find_line_end(fe_reader *reader, uint8_t end, const char *too_long, size_t *len)
{
    size_t have = reader->len - reader->pos;
    size_t limit = have > FE_READER_INLINE_MAX ? FE_READER_INLINE_MAX + 1 : have;
    const uint8_t *line = reader->data + reader->pos;
    const uint8_t *found = NULL;
    if (limit > reader->scanned) {
        found = memchr(line + reader->scanned, end, limit - reader->scanned);
    }
    if (found == NULL) {
        reader->scanned = limit;
        return limit > FE_READER_INLINE_MAX ? fail(reader, too_long) : SHORT;
    }
    *len = (size_t)(found - line);
    reader->scanned = *len;
    return GO_ON;
}

/* Finds the header line at pos, with its carriage return and the byte after it in the input. */
static outcome find_header(fe_reader *reader, const char *too_long, fe_bytes *line)
{
    size_t len;
    outcome found = find_line_end(reader, '\r', too_long, &len);
    if (found != GO_ON) return found;
    if (reader->len - reader->pos - len < 2) return SHORT;
    *line = (fe_bytes){reader->data + reader->pos, len};
    return GO_ON;
}

/* The number after the type byte of a header line. */
static bool read_length(fe_bytes line, int64_t *value)
{
    return fe_number_read_int64((fe_bytes){line.ptr + 1, line.len - 1}, value);
}

static fe_bytes text_view(const fe_reader *reader, key which)
{
    span text = reader->texts[which];
    if (text.len == 0) return (fe_bytes){NULL, 0};
    return (fe_bytes){reader->data + reader->start + text.offset, text.len};
}

static void attributes_forget(fe_reader *reader)
{
    memset(reader->texts, 0, sizeof reader->texts);
    memset(reader->said_by, 0, sizeof reader->said_by);
    reader->attributes = reader->pairs_seen = 0;
}

/* Fills *request from argv and the attribute; the next request starts at pos. */
static inline void finish(fe_reader *reader, fe_request *request, const fe_bytes *argv, size_t argc)
{
    size_t size = reader->pos - reader->start;
    if (FE_UNLIKELY(reader->body.due)) {
        size += reader->body.len;
        reader->body.due = false;
    }
    *request = (fe_request){.argv = argv,
                            .argc = (uint32_t)argc,
                            .size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size};
    if (FE_UNLIKELY(reader->attributes != 0)) {
        request->traceparent = text_view(reader, TRACEPARENT);
        request->tracestate = text_view(reader, TRACESTATE);
        request->baggage = text_view(reader, BAGGAGE);
        attributes_forget(reader);
    }
    reader->start = reader->pos;
    reader->stage = START;
}

/* ---- the quick way ---- */

/* Reads a canonical number of at most 8 digits, its carriage return and one byte; NULL when the
 * text is anything else or cut, otherwise what follows. */
static inline const uint8_t *read_short_length(const uint8_t *at, const uint8_t *end,
                                               uint32_t *value)
{
    if (end - at < 3) return NULL;
    uint32_t sum = (uint32_t)(*at++ - '0');
    if (sum > 9) return NULL;
    if (*at == '\r') {
        *value = sum;
        return at + 2;
    }
    if (sum == 0) return NULL;

    const uint8_t *stop = end - at > 8 ? at + 8 : end - 1;
    for (; at < stop; at++) {
        uint32_t digit = (uint32_t)(*at - '0');
        if (digit > 9) {
            if (*at != '\r') return NULL;
            *value = sum;
            return at + 2;
        }
        sum = sum * 10 + digit;
    }
    return NULL;
}

/* Reads the array at pos when it is whole and plain; false, and nothing changed, when it is not. */
static inline bool read_whole(fe_reader *reader, fe_request *request)
{
    const uint8_t *at = reader->data + reader->pos;
    const uint8_t *end = reader->data + reader->len;
    uint64_t len_max = reader->bulk_len_max;
    uint32_t count;

    if (FE_UNLIKELY(!reader->authenticated || reader->body.due)) return false;
    at = read_short_length(at + 1, end, &count);
    /* The shortest bulk has six bytes, so the room asked for is bounded by what has arrived. */
    if (at == NULL || count == 0 || count > (size_t)(end - at) / 6) return false;
    fe_bytes *slot = fe_args_reserve(&reader->args, count);
    if (slot == NULL) return false;

    for (fe_bytes *last = slot + count; slot < last; slot++) {
        uint32_t len;
        if (at == end || *at != '$') return false;
        at = read_short_length(at + 1, end, &len);
        if (at == NULL || len > len_max || (size_t)(end - at) < (size_t)len + 2) return false;
        *slot = (fe_bytes){at, len};
        at += len + 2;
    }
    reader->pos = (size_t)(at - reader->data);
    reader->args.count = count;
    finish(reader, request, fe_args_finish(&reader->args), count);
    return true;
}

/* ---- arrays, step by step ---- */

static outcome read_array_header(fe_reader *reader, fe_request *request)
{
    fe_bytes line;
    int64_t count;
    outcome found = find_header(reader, PROTOCOL "too big mbulk count string", &line);
    if (found != GO_ON) return found;
    if (!read_length(line, &count) || count > FE_READER_BULKS_MAX) {
        return fail(reader, PROTOCOL "invalid multibulk length");
    }
    if (count > UNAUTHENTICATED_BULKS_MAX && !reader->authenticated) {
        return fail(reader, PROTOCOL "unauthenticated multibulk length");
    }

    advance(reader, line.len + 2);
    if (count <= 0) {
        finish(reader, request, NULL, 0);
        return DONE;
    }
    reader->bulks_left = (uint32_t)count;
    reader->stage = BULK_HEADER;
    return GO_ON;
}

static outcome read_bulk_header(fe_reader *reader)
{
    fe_bytes line;
    int64_t len;
    outcome found = find_header(reader, PROTOCOL "too big bulk count string", &line);
    if (found != GO_ON) return found;
    if (line.ptr[0] != '$') return fail_expected_bulk(reader, line.ptr[0]);
    if (!read_length(line, &len) || len < 0 || (uint64_t)len > reader->bulk_len_max) {
        return fail(reader, PROTOCOL "invalid bulk length");
    }
    if (len > UNAUTHENTICATED_BULK_LEN_MAX && !reader->authenticated) {
        return fail(reader, PROTOCOL "unauthenticated bulk length");
    }

    advance(reader, line.len + 2);
    reader->bulk_len = (uint64_t)len;
    reader->stage = BULK_BODY;
    return GO_ON;
}

/* Turns the arguments from offsets into pointers and hands them out. */
static void finish_array(fe_reader *reader, fe_request *request)
{
    size_t argc = reader->args.count;
    fe_bytes *argv = fe_args_finish(&reader->args);
    const uint8_t *base = reader->data + reader->start;
    for (size_t i = 0; i < argc; i++)
        argv[i].ptr = base + (uintptr_t)argv[i].ptr;
    if (FE_UNLIKELY(reader->body.due)) argv[reader->body.index].ptr = reader->body.ptr;
    finish(reader, request, argv, argc);
}

/* Whether the body that is due at pos is not in the input. */
static inline bool is_body_next(const fe_reader *reader)
{
    const elsewhere *body = &reader->body;
    return FE_UNLIKELY(body->due) && reader->args.count == body->index &&
           reader->pos - reader->start == body->offset;
}

static outcome read_bulk_body(fe_reader *reader, fe_request *request)
{
    size_t len = (size_t)reader->bulk_len;
    size_t here = is_body_next(reader) ? 0 : len; /* in the input */
    if (reader->len - reader->pos < here + 2) return SHORT;
    const uint8_t *offset = (const uint8_t *)(uintptr_t)(reader->pos - reader->start);
    if (!fe_args_push(&reader->args, offset, len)) return fail(reader, OUT_OF_MEMORY);

    advance(reader, here + 2);
    reader->stage = BULK_HEADER;
    if (--reader->bulks_left > 0) return GO_ON;
    finish_array(reader, request);
    return DONE;
}

/* ---- inline requests ---- */

static uint8_t *take_unquoted(fe_reader *reader, size_t size)
{
    unquoted *block = fe_alloc_take(reader->alloc, FE_ALLOC_CLIENT, sizeof *block + size);
    if (block == NULL) return NULL;
    block->cap = size;
    block->next = reader->unquoted;
    reader->unquoted = block;
    return block->bytes;
}

static void free_unquoted(fe_reader *reader)
{
    while (reader->unquoted != NULL) {
        unquoted *next = reader->unquoted->next;
        fe_alloc_give(reader->alloc, FE_ALLOC_CLIENT, reader->unquoted);
        reader->unquoted = next;
    }
}

static outcome read_inline(fe_reader *reader, fe_request *request)
{
    size_t len;
    outcome found = find_line_end(reader, '\n', PROTOCOL "too big inline request", &len);
    if (found != GO_ON) return found;

    fe_bytes line = {reader->data + reader->pos, len};
    if (len > 0 && line.ptr[len - 1] == '\r') line.len--;
    uint8_t *memory = NULL;
    if (fe_inline_has_quotes(line)) {
        memory = take_unquoted(reader, line.len);
        if (memory == NULL) return fail(reader, OUT_OF_MEMORY);
    }
    switch (fe_inline_split(line, memory, &reader->args)) {
    case FE_INLINE_OK: break;
    case FE_INLINE_UNBALANCED: return fail(reader, PROTOCOL "unbalanced quotes in request");
    case FE_INLINE_NO_MEMORY: return fail(reader, OUT_OF_MEMORY);
    }
    advance(reader, len + 1);
    size_t argc = reader->args.count;
    finish(reader, request, fe_args_finish(&reader->args), argc);
    return DONE;
}

/* ---- attributes ---- */

static outcome read_attribute_header(fe_reader *reader)
{
    fe_bytes line;
    int64_t pairs;
    if (reader->attributes == FE_READER_ATTRIBUTES_MAX)
        return fail(reader, PROTOCOL "too many attributes");
    outcome found = find_header(reader, PROTOCOL "too big attribute count string", &line);
    if (found != GO_ON) return found;
    if (!read_length(line, &pairs) || pairs < 0 || line.ptr[line.len + 1] != '\n') {
        return fail(reader, PROTOCOL "invalid attribute length");
    }
    if (pairs > FE_READER_ATTRIBUTE_PAIRS_MAX - reader->pairs_seen) {
        return fail(reader, PROTOCOL "too many attribute pairs");
    }

    advance(reader, line.len + 2);
    reader->attributes++;
    reader->pairs_seen = (uint8_t)(reader->pairs_seen + pairs);
    reader->nested_seen = 0;
    reader->items_left = (uint8_t)(2 * pairs);
    reader->stage = pairs == 0 ? START : ITEM;
    return GO_ON;
}

static key find_key(fe_bytes name)
{
    if (fe_bytes_equal(name, FE_BYTES("traceparent"))) return TRACEPARENT;
    if (fe_bytes_equal(name, FE_BYTES("tracestate"))) return TRACESTATE;
    if (fe_bytes_equal(name, FE_BYTES("baggage"))) return BAGGAGE;
    return NO_KEY;
}

/* Remembers a key or value. `text` is its text when it is kept as one, in the input; NULL when it is
 * of a type that no known key has. */
static void keep_item(fe_reader *reader, const fe_bytes *text)
{
    if (reader->items_left % 2 == 0) {
        reader->key = text == NULL ? NO_KEY : find_key(*text);
    } else if (text != NULL && reader->key != NO_KEY) {
        size_t offset = (size_t)(text->ptr - reader->data) - reader->start;
        span *to = reader->key == TRACESTATE ? &reader->state : &reader->texts[reader->key];
        *to = (span){offset, text->len};
        reader->said_by[reader->key] = reader->attributes;
    }
}

/* A tracestate is of the traceparent beside it: that of another attribute neither counts nor goes over one. */
static void end_attribute(fe_reader *reader)
{
    bool has_state = reader->said_by[TRACESTATE] == reader->attributes;
    if (reader->said_by[TRACEPARENT] == reader->attributes)
        reader->texts[TRACESTATE] = has_state ? reader->state : (span){0, 0};
    reader->stage = START;
}

/* One item less is to come, of the innermost aggregate, and of those around it that end with it. */
static outcome count_item(fe_reader *reader)
{
    reader->stage = ITEM;
    for (; reader->depth > 0; reader->depth--)
        if (--reader->nested_left[reader->depth - 1] > 0) return GO_ON;
    if (--reader->items_left == 0) end_attribute(reader);
    return GO_ON;
}

/* Ends a key, value or nested element of which `wire` bytes at pos are done; nested ones are passed
 * over. */
static outcome finish_item(fe_reader *reader, const fe_bytes *text, size_t wire)
{
    if (reader->depth == 0) keep_item(reader, text);
    advance(reader, wire);
    return count_item(reader);
}

/* Whether `body` is what a scalar of `type` may hold on its one line. */
static bool is_scalar(uint8_t type, fe_bytes body)
{
    int64_t integer;
    double real;
    switch (type) {
    case '+':
    case '-': return true;
    case ':': return fe_number_read_int64(body, &integer);
    case ',': return fe_number_read_double(body, &real) || fe_bytes_is_word(body, "nan");
    case '#': return body.len == 1 && (body.ptr[0] == 't' || body.ptr[0] == 'f');
    case '_': return body.len == 0;
    case '(': {
        size_t i = body.len > 0 && body.ptr[0] == '-' ? 1 : 0;
        if (i == body.len) return false;
        while (i < body.len && body.ptr[i] >= '0' && body.ptr[i] <= '9')
            i++;
        return i == body.len;
    }
    default: return false;
    }
}

/* A bulk string, bulk error or verbatim string, of which the header line is there. */
static outcome read_item_header(fe_reader *reader, fe_bytes line)
{
    int64_t len;
    if (!read_length(line, &len) || len < -1 || (len == -1 && line.ptr[0] != '$')) {
        return fail(reader, PROTOCOL "invalid bulk length");
    }
    if (len == -1) return finish_item(reader, NULL, line.len + 2);
    if (len > FE_READER_ATTRIBUTE_TEXT_MAX) return fail(reader, PROTOCOL "too big attribute");
    if (len > UNAUTHENTICATED_BULK_LEN_MAX && !reader->authenticated) {
        return fail(reader, PROTOCOL "unauthenticated bulk length");
    }

    reader->item_kept = line.ptr[0] == '$';
    advance(reader, line.len + 2);
    reader->bulk_len = (uint64_t)len;
    reader->stage = ITEM_BODY;
    return GO_ON;
}

/* An aggregate inside of an attribute, of which the header line is there. It is passed over. */
static outcome read_nested(fe_reader *reader, fe_bytes line)
{
    int64_t count;
    uint8_t type = line.ptr[0];
    if (!read_length(line, &count) || count < (type == '*' ? -1 : 0)) {
        return fail(reader, PROTOCOL "invalid attribute length");
    }
    if (count == -1) return finish_item(reader, NULL, line.len + 2);
    if (count > FE_READER_ATTRIBUTE_NESTED_MAX) {
        return fail(reader, PROTOCOL "too many attribute elements");
    }
    if (type == '%' || type == '|') count *= 2;
    if (type == '|') count++; /* the value that the attribute is about belongs to it here */
    if (reader->nested_seen + count > FE_READER_ATTRIBUTE_NESTED_MAX) {
        return fail(reader, PROTOCOL "too many attribute elements");
    }
    if (count == 0) return finish_item(reader, NULL, line.len + 2);
    if (reader->depth == FE_READER_ATTRIBUTE_DEPTH_MAX) {
        return fail(reader, PROTOCOL "too deep attribute");
    }
    if (reader->depth == 0) keep_item(reader, NULL);
    reader->nested_seen = (uint16_t)(reader->nested_seen + count);
    reader->nested_left[reader->depth++] = (uint16_t)count;
    advance(reader, line.len + 2);
    return GO_ON;
}

static outcome read_item(fe_reader *reader)
{
    fe_bytes line;
    outcome found = find_header(reader, PROTOCOL "too big attribute", &line);
    if (found != GO_ON) return found;
    if (line.ptr[line.len + 1] != '\n') return fail(reader, PROTOCOL "malformed attribute");

    uint8_t type = line.ptr[0];
    if (type == '*' || type == '%' || type == '~' || type == '>' || type == '|') {
        return read_nested(reader, line);
    }
    if (type == '$' || type == '!' || type == '=') return read_item_header(reader, line);

    /* An empty line has no type byte; its carriage return is none of the types. */
    fe_bytes body = {line.ptr + 1, line.len == 0 ? 0 : line.len - 1};
    if (!is_scalar(type, body)) return fail(reader, PROTOCOL "malformed attribute");
    return finish_item(reader, type == '+' ? &body : NULL, line.len + 2);
}

static outcome read_item_body(fe_reader *reader)
{
    size_t len = (size_t)reader->bulk_len;
    if (reader->len - reader->pos < len + 2) return SHORT;
    fe_bytes body = {reader->data + reader->pos, len};
    if (body.ptr[len] != '\r' || body.ptr[len + 1] != '\n') {
        return fail(reader, PROTOCOL "malformed attribute");
    }
    return finish_item(reader, reader->item_kept ? &body : NULL, len + 2);
}

/* ---- the state machine ---- */

static outcome read_start(fe_reader *reader, fe_request *request)
{
    if (reader->pos == reader->len) return SHORT;
    switch (reader->data[reader->pos]) {
    case '*':
        if (reader->scanned == 0 && read_whole(reader, request)) return DONE;
        return read_array_header(reader, request);
    case '|': return read_attribute_header(reader);
    default: return read_inline(reader, request);
    }
}

static outcome step(fe_reader *reader, fe_request *request)
{
    switch (reader->stage) {
    case START: return read_start(reader, request);
    case BULK_HEADER: return read_bulk_header(reader);
    case BULK_BODY: return read_bulk_body(reader, request);
    case ITEM: return read_item(reader);
    case ITEM_BODY: return read_item_body(reader);
    case FAILED: return BROKEN;
    }
    FE_ASSERT(false);
    return BROKEN;
}

fe_read_status fe_reader_next(fe_reader *reader, fe_request *request)
{
    for (;;) {
        switch (step(reader, request)) {
        case GO_ON: break;
        case DONE: return FE_READ_REQUEST;
        case SHORT: return FE_READ_MORE;
        case BROKEN: return FE_READ_ERROR;
        }
    }
}

/* ---- life, limits and questions ---- */

static void clear(fe_reader *reader)
{
    reader->data = NULL;
    reader->len = 0;
    reader->pos = 0;
    reader->start = 0;
    reader->scanned = 0;
    reader->depth = 0;
    attributes_forget(reader);
    reader->stage = START;
    reader->error = "";
}

fe_reader *fe_reader_new(fe_alloc *alloc, uint64_t bulk_len_max)
{
    fe_reader *reader = fe_alloc_take_zeroed(alloc, FE_ALLOC_CLIENT, sizeof *reader);
    if (reader == NULL) return NULL;

    reader->alloc = alloc;
    reader->authenticated = true;
    fe_args_init(&reader->args, alloc);
    clear(reader);
    fe_reader_set_bulk_len_max(reader, bulk_len_max);
    return reader;
}

void fe_reader_free(fe_reader *reader)
{
    if (reader == NULL) return;
    free_unquoted(reader);
    fe_args_free(&reader->args);
    fe_alloc_give(reader->alloc, FE_ALLOC_CLIENT, reader);
}

void fe_reader_rewind(fe_reader *reader)
{
    free_unquoted(reader);
    fe_args_free(&reader->args);
    clear(reader);
    reader->body.due = reader->body.ptr != NULL;
}

void fe_reader_reset(fe_reader *reader)
{
    fe_reader_drop_body(reader);
    fe_reader_rewind(reader);
}

void fe_reader_set_authenticated(fe_reader *reader, bool authenticated)
{
    reader->authenticated = authenticated;
}

void fe_reader_set_bulk_len_max(fe_reader *reader, uint64_t bulk_len_max)
{
    reader->bulk_len_max = bulk_len_max < INT64_MAX ? bulk_len_max : INT64_MAX;
}

void fe_reader_feed(fe_reader *reader, const uint8_t *data, size_t len)
{
    fe_args_release(&reader->args);
    if (FE_UNLIKELY(reader->unquoted != NULL)) free_unquoted(reader);
    reader->data = data;
    reader->len = len;
    if (reader->stage == FAILED) {
        reader->pos = 0;
        reader->start = 0;
        return;
    }
    reader->pos -= reader->start;
    reader->start = 0;
    /* The owner keeps what was not consumed. */
    FE_ASSERT(reader->pos + reader->scanned <= len);
}

size_t fe_reader_consumed(const fe_reader *reader)
{
    return reader->start;
}

size_t fe_reader_missing(const fe_reader *reader)
{
    if (reader->stage != BULK_BODY && reader->stage != ITEM_BODY) return 0;
    uint64_t need = (is_body_next(reader) ? 0 : reader->bulk_len) + 2;
    size_t have = reader->len - reader->pos;
    return need > have ? (size_t)(need - have) : 0;
}

bool fe_reader_is_cut(const fe_reader *reader, fe_reader_cut *cut)
{
    if (reader->stage != BULK_BODY || is_body_next(reader)) return false;
    *cut = (fe_reader_cut){reader->pos, (size_t)reader->bulk_len, reader->args.count};
    return true;
}

fe_bytes fe_reader_argument(const fe_reader *reader, size_t index)
{
    FE_ASSERT(reader->stage != START && index < reader->args.count);
    fe_bytes kept = reader->args.chunk->slots[reader->args.first + index];
    return (fe_bytes){reader->data + reader->start + (uintptr_t)kept.ptr, kept.len};
}

void fe_reader_set_body(fe_reader *reader, const uint8_t *body)
{
    FE_ASSERT(reader->stage == BULK_BODY && body != NULL);
    reader->body = (elsewhere){.ptr = body,
                               .offset = reader->pos - reader->start,
                               .len = (size_t)reader->bulk_len,
                               .index = reader->args.count,
                               .due = true};
}

void fe_reader_drop_body(fe_reader *reader)
{
    reader->body = (elsewhere){0};
}

const char *fe_reader_error(const fe_reader *reader)
{
    return reader->error;
}

size_t fe_reader_memory(const fe_reader *reader)
{
    size_t bytes = sizeof *reader + fe_args_memory(&reader->args);
    for (const unquoted *block = reader->unquoted; block != NULL; block = block->next) {
        bytes += sizeof *block + block->cap;
    }
    return bytes;
}
