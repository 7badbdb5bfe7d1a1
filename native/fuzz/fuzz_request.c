/* Fuzzes the request reader: however input is cut, the same requests and the same error come out.
 *
 *     byte 0        bit 0: authenticated; bit 1: bulks of at most 20 bytes;
 *                   bits 2..7: allocations to allow in the run that fails them
 *     byte 1        count of piece sizes, modulo 16
 *     sizes         each piece's size, used in turn (0 is 256 bytes)
 *     the rest      what the client sends
 *
 * Each input is read at once, in its pieces, and in its pieces while allocations fail. Dearer checks
 * are made of a share of the inputs, chosen by a hash of the input:
 * 1. Fed byte by byte are those of up to SHORT_MAX bytes, and one in LONG_SHARE of the longer ones.
 * 2. One in STRETCHED_SHARE is stretched, which takes milliseconds: STRETCH copies of one byte,
 *    again chosen by the hash, come before it, so that a few bytes more reach the limits on the
 *    length of a line. Its first piece has STRETCH bytes, and what is left after PIECES_MAX pieces
 *    comes at once.
 *
 * Every feed is a copy at a new place of an arena that is poisoned around it, so that the sanitizer
 * sees a read outside it and, for ARENA_BYTES of feeds, a read of an earlier one.
 *
 * Once more it is read in its pieces while every argument that a piece cuts is taken out of the input, as
 * the session does with long ones.
 *
 * What checks is not traced for coverage: the reader's own branches shall guide the fuzzer.
 */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)
#include "resp/request.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"

#define OUT_OF_MEMORY "ERR out of memory while reading a request"
#define AHEAD_MAX 64
#define INPUT_MAX ((size_t)4096)
#define STRETCH ((size_t)(FE_READER_INLINE_MAX - 16))
#define STRETCHED_SHARE 1024
#define SHORT_MAX ((size_t)512)
#define LONG_SHARE 16
#define PIECES_MAX ((size_t)32)

/* Views are placed one after another, each with poison on both sides. A view never covers the one
 * before it, as three of the longest fit. */
#define SENT_MAX (STRETCH + INPUT_MAX)
#define ARENA_GAP ((size_t)16)
#define ARENA_BYTES (3 * (SENT_MAX + 2 * ARENA_GAP))

/* What outlives an execution, because making it anew would cost more than the check. */
typedef struct scratch {
    uint8_t *arena;
    size_t next; /* where the next view goes; a multiple of 8, the grain of poison */
    fe_alloc alloc;
    fe_buf sent;
    fe_buf whole; /* what was read from the input at once */
    fe_buf cut;   /* and when it was cut */
    fe_buf input; /* what is unread, without arguments that were taken out */
} scratch;

typedef struct feeder {
    fe_reader *reader;
    scratch *scratch;
    const uint8_t *view; /* the copy that the reader sees */
    size_t view_len;
    size_t missing;
    size_t elsewhere; /* bytes of the next request that are not in the input */
    bool broken;
} feeder;

/* What the client sends, and how it is cut. */
typedef struct plan {
    fe_bytes sent;
    fe_bytes sizes;
    bool stretched;
    bool every_byte; /* read it byte by byte too */
} plan;

/* ---- what was read ---- */

static void record_bytes(fe_buf *out, fe_bytes bytes)
{
    uint8_t *to = fe_buf_reserve(out, sizeof bytes.len + bytes.len);
    FE_ASSERT(to != NULL);
    memcpy(to, &bytes.len, sizeof bytes.len);
    if (bytes.len > 0) memcpy(to + sizeof bytes.len, bytes.ptr, bytes.len);
    out->len += sizeof bytes.len + bytes.len;
}

static void record(fe_buf *out, const fe_request *request)
{
    fe_buf_append(out, &request->argc, sizeof request->argc);
    fe_buf_append(out, &request->size, sizeof request->size);
    for (uint32_t i = 0; i < request->argc; i++)
        record_bytes(out, request->argv[i]);
    record_bytes(out, request->traceparent);
    record_bytes(out, request->tracestate);
    record_bytes(out, request->baggage);
}

/* ---- views ---- */

static scratch *open_scratch(void)
{
    static uint8_t arena[ARENA_BYTES] __attribute__((aligned(16)));
    static scratch only;
    if (only.arena == NULL) {
        only.arena = arena;
        ASAN_POISON_MEMORY_REGION(arena, sizeof arena);
        fe_alloc_init(&only.alloc);
        fe_buf_init(&only.sent, &only.alloc, FE_ALLOC_SCRATCH);
        fe_buf_init(&only.whole, &only.alloc, FE_ALLOC_SCRATCH);
        fe_buf_init(&only.cut, &only.alloc, FE_ALLOC_SCRATCH);
        fe_buf_init(&only.input, &only.alloc, FE_ALLOC_SCRATCH);
    }
    only.next = ARENA_GAP;
    only.sent.len = only.whole.len = only.cut.len = only.input.len = 0;
    return &only;
}

static const uint8_t *place_view(scratch *scratch, const uint8_t *data, size_t len)
{
    if (scratch->next + len + ARENA_GAP > ARENA_BYTES) scratch->next = ARENA_GAP;
    uint8_t *view = scratch->arena + scratch->next;
    scratch->next += (len + ARENA_GAP + 7) / 8 * 8;
    ASAN_UNPOISON_MEMORY_REGION(view, len);
    if (len > 0) memcpy(view, data, len);
    return view;
}

static void drop_view(feeder *f)
{
    ASAN_POISON_MEMORY_REGION(f->view, (f->view_len + 7) / 8 * 8);
}

/* ---- runs ---- */

/* Reads ahead up to AHEAD_MAX requests and only then looks at them, as the session does. */
static fe_read_status read_batch(feeder *f, fe_buf *out, size_t len)
{
    fe_request ahead[AHEAD_MAX];
    size_t count = 0;
    size_t consumed = fe_reader_consumed(f->reader);
    fe_read_status status = FE_READ_REQUEST;
    while (count < AHEAD_MAX) {
        status = fe_reader_next(f->reader, &ahead[count]);
        if (status != FE_READ_REQUEST) break;
        FE_ASSERT(fe_reader_consumed(f->reader) == consumed + ahead[count].size - f->elsewhere);
        consumed += ahead[count].size - f->elsewhere;
        f->elsewhere = 0;
        count++;
    }
    FE_ASSERT(fe_reader_consumed(f->reader) == consumed && consumed <= len);
    for (size_t i = 0; i < count; i++)
        record(out, &ahead[i]);
    return status;
}

/* Shows `len` bytes, the unread input, and reads all requests in it; returns how many bytes are
 * done with. */
static size_t feed(feeder *f, const uint8_t *data, size_t len, size_t fresh, fe_buf *out)
{
    /* The old view lives until the reader has seen the new one, as its arguments may point into it.
     */
    const uint8_t *view = place_view(f->scratch, data, len);
    fe_reader_feed(f->reader, view, len);
    drop_view(f);
    f->view = view;
    f->view_len = len;

    size_t before = out->len;
    fe_read_status status;
    do {
        status = read_batch(f, out, len);
    } while (status == FE_READ_REQUEST);
    if (fresh < f->missing) FE_ASSERT(out->len == before && status != FE_READ_REQUEST);
    if (status == FE_READ_ERROR) {
        fe_request none;
        FE_ASSERT(strncmp(fe_reader_error(f->reader), "ERR ", 4) == 0);
        FE_ASSERT(strpbrk(fe_reader_error(f->reader), "\r\n") == NULL);
        FE_ASSERT(fe_reader_next(f->reader, &none) == FE_READ_ERROR);
        f->broken = true;
    } else {
        FE_ASSERT(fe_reader_error(f->reader)[0] == 0);
        f->missing = fe_reader_missing(f->reader);
    }
    FE_ASSERT(fe_reader_memory(f->reader) <= 8192 + 64 * len);
    return fe_reader_consumed(f->reader);
}

static size_t piece_size(const plan *plan, size_t turn)
{
    if (plan->sizes.len == 0 || (plan->stretched && turn >= PIECES_MAX)) return SIZE_MAX;
    if (plan->stretched && turn == 0) return STRETCH;
    size_t size = plan->sizes.ptr[turn % plan->sizes.len];
    return size == 0 ? 256 : size;
}

/* An argument that was taken out of the input. */
typedef struct body {
    uint8_t *bytes; /* exactly as many as it has, so that the sanitizer sees a read outside */
    size_t len;
    size_t have;
} body;

/* Takes what belongs to the body from the piece; the reader gets it when it is whole. Returns how many
 * bytes that was. */
static size_t fill_body(feeder *f, body *body, const uint8_t *piece, size_t len)
{
    size_t take = body->len - body->have < len ? body->len - body->have : len;
    memcpy(body->bytes + body->have, piece, take);
    body->have += take;
    if (body->have == body->len) {
        fe_reader_set_body(f->reader, body->bytes);
        f->elsewhere = body->len;
    }
    return take;
}

/* When the input ends within an argument, what there is of it leaves the input. */
static void take_out(feeder *f, fe_buf *input, size_t done, body *body)
{
    fe_reader_cut cut;
    size_t end = input->len;
    if (!f->broken && body->bytes == NULL && end != done && fe_reader_is_cut(f->reader, &cut) &&
        end - cut.offset < cut.len) {
        *body = (struct body){.bytes = malloc(cut.len), .len = cut.len};
        FE_ASSERT(body->bytes != NULL);
        (void)fill_body(f, body, input->data + cut.offset, end - cut.offset);
        input->len = cut.offset;
        f->missing = 0;
    }
    fe_buf_drop(input, done);
}

/* As `run`, with arguments that are cut taken out of the input. */
static void run_taken_out(fe_reader *reader, scratch *scratch, const plan *plan, fe_buf *out)
{
    feeder f = {.reader = reader, .scratch = scratch, .view = scratch->arena};
    fe_buf *input = &scratch->input;
    body body = {.bytes = NULL};
    size_t seen = 0;

    out->len = input->len = 0;
    for (size_t turn = 0; seen < plan->sent.len && !f.broken; turn++) {
        size_t piece = plan->sent.len - seen;
        size_t size = piece_size(plan, turn);
        if (size < piece) piece = size;
        const uint8_t *data = plan->sent.ptr + seen;
        seen += piece;
        if (body.have < body.len) {
            size_t taken = fill_body(&f, &body, data, piece);
            data += taken;
            piece -= taken;
            if (body.have < body.len) continue;
        }
        fe_buf_append(input, data, piece);
        size_t done = feed(&f, input->data, input->len, SIZE_MAX, out);
        if (body.bytes != NULL && f.elsewhere == 0) {
            fe_reader_drop_body(reader);
            free(body.bytes);
            body = (struct body){.bytes = NULL};
        }
        take_out(&f, input, done, &body);
    }
    const char *error = fe_reader_error(reader);
    fe_buf_append(out, error, strlen(error));
    fe_reader_reset(reader);
    free(body.bytes);
    drop_view(&f);
}

/* Feeds what the plan says to a reader that is as new, and leaves it so. What was read goes to
 * `out`, then the error; returns where the error starts. */
static size_t run(fe_reader *reader, scratch *scratch, const plan *plan, fe_buf *out)
{
    feeder f = {.reader = reader, .scratch = scratch, .view = scratch->arena};
    size_t memory = fe_reader_memory(reader);
    size_t done = 0;
    size_t seen = 0;

    out->len = 0;
    for (size_t turn = 0; seen < plan->sent.len && !f.broken; turn++) {
        size_t piece = plan->sent.len - seen;
        size_t size = piece_size(plan, turn);
        if (size < piece) piece = size;
        seen += piece;
        done += feed(&f, plan->sent.ptr + done, seen - done, piece, out);
    }
    size_t requests = out->len;
    const char *error = fe_reader_error(reader);
    fe_buf_append(out, error, strlen(error));

    fe_request request;
    if (f.broken) {
        fe_reader_feed(reader, f.view, f.view_len);
        FE_ASSERT(fe_reader_next(reader, &request) == FE_READ_ERROR);
        FE_ASSERT(fe_reader_error(reader) == error);
    }
    fe_reader_reset(reader);
    FE_ASSERT(fe_reader_next(reader, &request) == FE_READ_MORE);
    FE_ASSERT(fe_reader_error(reader)[0] == 0 && fe_reader_memory(reader) == memory);
    drop_view(&f);
    return requests;
}

static fe_reader *open_reader(fe_alloc *alloc, uint8_t mode)
{
    fe_reader *reader = fe_reader_new(alloc, mode & 2 ? 20 : 1 << 20);
    if (reader != NULL) fe_reader_set_authenticated(reader, mode & 1);
    return reader;
}

/* All ways to cut lead to the same requests and the same error. */
static void check_cuts(scratch *scratch, const plan *given, uint8_t mode)
{
    static const uint8_t one = 1;
    plan at_once = {.sent = given->sent};
    plan bytes = {.sent = given->sent, .sizes = {&one, 1}};
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_reader *reader = open_reader(&alloc, mode);
    FE_ASSERT(reader != NULL);

    run(reader, scratch, &at_once, &scratch->whole);
    if (given->sizes.len > 0) {
        run(reader, scratch, given, &scratch->cut);
        FE_ASSERT(fe_bytes_equal(fe_buf_view(&scratch->whole), fe_buf_view(&scratch->cut)));
        run_taken_out(reader, scratch, given, &scratch->cut);
        FE_ASSERT(fe_bytes_equal(fe_buf_view(&scratch->whole), fe_buf_view(&scratch->cut)));
    }
    if (given->every_byte) {
        run(reader, scratch, &bytes, &scratch->cut);
        FE_ASSERT(fe_bytes_equal(fe_buf_view(&scratch->whole), fe_buf_view(&scratch->cut)));
    }
    fe_reader_free(reader);
    FE_ASSERT(fe_alloc_used_all(&alloc) == 0);
}

/* Without memory fewer requests are read, but none is read differently, and the error says why. */
static void check_failing(scratch *scratch, const plan *given, uint8_t mode)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_alloc_fail_after(&alloc, mode >> 2);
    fe_reader *reader = open_reader(&alloc, mode);
    if (reader != NULL) {
        size_t requests = run(reader, scratch, given, &scratch->cut);
        fe_bytes whole = fe_buf_view(&scratch->whole);
        fe_bytes cut = fe_buf_view(&scratch->cut);
        FE_ASSERT(requests <= whole.len);
        FE_ASSERT(fe_bytes_equal((fe_bytes){whole.ptr, requests}, (fe_bytes){cut.ptr, requests}));
        if (!fe_bytes_equal(whole, cut)) {
            fe_bytes error = {cut.ptr + requests, cut.len - requests};
            FE_ASSERT(fe_bytes_equal(error, FE_BYTES(OUT_OF_MEMORY)));
        }
    }
    fe_reader_free(reader);
    FE_ASSERT(fe_alloc_used_all(&alloc) == 0);
}

/* ---- the input ---- */

/* FNV-1a, of 64 bits. */
static uint64_t hash_of(const uint8_t *data, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

/* Writes `text` with its byte at `repeated` many times to `out`. */
static void stretch(fe_bytes text, size_t repeated, fe_buf *out)
{
    /* Repeated line ends would be as many requests: slow, and no long line. */
    size_t count = text.ptr[repeated] == '\n' ? 0 : STRETCH;
    fe_buf_append(out, text.ptr, repeated);
    uint8_t *to = fe_buf_reserve(out, STRETCH);
    FE_ASSERT(to != NULL);
    memset(to, text.ptr[repeated], count);
    out->len += count;
    fe_buf_append(out, text.ptr + repeated, text.len - repeated);
}

#pragma clang attribute pop

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX) return 0;
    size_t size_count = data[1] % 16;
    if (size < 2 + size_count) return 0;

    scratch *scratch = open_scratch();
    plan given = {.sent = {data + 2 + size_count, size - 2 - size_count},
                  .sizes = {data + 2, size_count}};
    uint64_t hash = hash_of(data, size);
    given.stretched = hash % STRETCHED_SHARE == 0 && given.sent.len > 0;
    if (given.stretched) {
        stretch(given.sent, hash / STRETCHED_SHARE % given.sent.len, &scratch->sent);
        given.sent = fe_buf_view(&scratch->sent);
    }
    given.every_byte = !given.stretched && (size <= SHORT_MAX || hash % LONG_SHARE == 0);
    check_cuts(scratch, &given, data[0]);
    check_failing(scratch, &given, data[0]);
    return 0;
}
