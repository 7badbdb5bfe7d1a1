/* Fuzzes the request reader: however input is cut, the same requests and the same error come out.
 *
 *     byte 0        bit 0: authenticated; bit 1: bulks of at most 20 bytes;
 *                   bits 2..7: allocations to allow in the run that fails them
 *     byte 1        count of piece sizes, modulo 16
 *     sizes         each piece's size, used in turn (0 is 256 bytes)
 *     the rest      what the client sends
 *
 * Every feed is an exact copy on the heap, so that the sanitizer sees a read outside it.
 */
#include "resp/request.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"

#define AHEAD_MAX 64

typedef struct feeder {
    fe_reader *reader;
    uint8_t *view; /* the copy that the reader sees */
    size_t missing;
    bool broken;
} feeder;

static void record_bytes(fe_buf *out, fe_bytes bytes)
{
    fe_buf_append(out, &bytes.len, sizeof bytes.len);
    fe_buf_append(out, bytes.ptr, bytes.len);
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
        FE_ASSERT(fe_reader_consumed(f->reader) == consumed + ahead[count].size);
        consumed += ahead[count].size;
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
    /* The old copy lives until the reader has seen the new one, as its arguments may point into it.
     */
    uint8_t *view = malloc(len > 0 ? len : 1);
    FE_ASSERT(view != NULL);
    if (len > 0) memcpy(view, data, len);
    fe_reader_feed(f->reader, view, len);
    free(f->view);
    f->view = view;

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

/* Sends `data` in pieces of the given sizes (none: at once); what was read goes to `out`. */
static void run(fe_alloc *alloc, const uint8_t *data, size_t len, const uint8_t *sizes,
                size_t size_count, uint8_t mode, fe_buf *out)
{
    feeder f = {0};
    f.reader = fe_reader_new(alloc, mode & 2 ? 20 : 1 << 20);
    if (f.reader == NULL) return;
    fe_reader_set_authenticated(f.reader, mode & 1);

    size_t done = 0;
    size_t seen = 0;
    for (size_t turn = 0; seen < len && !f.broken; turn++) {
        size_t piece = len - seen;
        if (size_count > 0) {
            size_t size = sizes[turn % size_count] == 0 ? 256 : sizes[turn % size_count];
            if (size < piece) piece = size;
        }
        seen += piece;
        done += feed(&f, data + done, seen - done, piece, out);
    }
    const char *error = fe_reader_error(f.reader);
    fe_buf_append(out, error, strlen(error));

    fe_reader_reset(f.reader);
    fe_request request;
    FE_ASSERT(fe_reader_next(f.reader, &request) == FE_READ_MORE);
    fe_reader_free(f.reader);
    free(f.view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    uint8_t mode = data[0];
    size_t size_count = data[1] % 16;
    if (size < 2 + size_count) return 0;
    const uint8_t *sizes = data + 2;
    const uint8_t *sent = sizes + size_count;
    size_t len = size - 2 - size_count;
    static const uint8_t one_byte = 1;

    fe_alloc alloc;
    fe_alloc out_alloc;
    fe_alloc_init(&alloc);
    fe_alloc_init(&out_alloc);
    fe_buf whole;
    fe_buf cut;
    fe_buf_init(&whole, &out_alloc, FE_ALLOC_SCRATCH);
    fe_buf_init(&cut, &out_alloc, FE_ALLOC_SCRATCH);

    run(&alloc, sent, len, NULL, 0, mode, &whole);
    run(&alloc, sent, len, sizes, size_count, mode, &cut);
    FE_ASSERT(fe_bytes_equal(fe_buf_view(&whole), fe_buf_view(&cut)));
    if (len < 4096) {
        cut.len = 0;
        run(&alloc, sent, len, &one_byte, 1, mode, &cut);
        FE_ASSERT(fe_bytes_equal(fe_buf_view(&whole), fe_buf_view(&cut)));
    }

    cut.len = 0;
    fe_alloc_fail_after(&alloc, mode >> 2);
    run(&alloc, sent, len, sizes, size_count, mode, &cut);
    FE_ASSERT(fe_alloc_used_all(&alloc) == 0);
    fe_buf_free(&whole);
    fe_buf_free(&cut);
    return 0;
}
