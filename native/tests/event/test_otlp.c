/* The encoder's frame: batches, limits, memory that runs out. What the bytes mean is held against the
 * official classes by tests/telemetry/test_encoder.py. */
#include "event/otlp.h"

#include "event/protobuf.h"

#include "tests/check.h"

#define CONSTANT "\x2a\x03GET\x30\x02" /* name, kind */

static fe_otlp_format format_of(const fe_otlp_command *commands, uint32_t count)
{
    fe_otlp_format format = {.resource = FE_BYTES("\x0a\x00"),
                             .commands = commands,
                             .command_count = count,
                             .unknown = {FE_BYTES(CONSTANT), FE_BYTES("unknown")},
                             .text_max = UINT32_MAX};
    for (int i = 0; i < FE_SLOT_COUNT; i++)
        format.slots[i][0] = FE_BYTES("\x0a\x01k");
    return format;
}

typedef struct one_record {
    fe_trace_record record;
    uint8_t tail[32];
} one_record;

static one_record record_of(uint16_t flags)
{
    return (one_record){.record = {.size = sizeof(one_record),
                                   .kind = FE_TRACE_COMMAND,
                                   .flags = flags,
                                   .argc = 1,
                                   .span_id = 7,
                                   .tail_len = 0}};
}

/* The bytes of the message inside field 1 of a request: its tag and length are taken off. */
static size_t inner_len(fe_bytes request)
{
    CHECK_INT(0x0a, request.ptr[0]);
    size_t len = 0, at = 1;
    for (int shift = 0;; shift += 7) {
        len |= (size_t)(request.ptr[at] & 0x7f) << shift;
        if ((request.ptr[at++] & 0x80) == 0) break;
    }
    return len + at;
}

static const fe_otlp_clock tick_clock = {.ns_per_tick = 1.0};
static const fe_otlp_limits all = {FE_DETAIL_FULL, 0, UINT32_MAX, 1u << 30};

TEST(a_request_is_as_long_as_it_says)
{
    fe_otlp_command get = {FE_BYTES(CONSTANT), FE_BYTES("get")};
    fe_otlp_format format = format_of(&get, 1);
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_otlp_batch batch;
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    one_record records[300];
    fe_otlp_source source = {0};
    for (int i = 0; i < 300; i++)
        records[i] = record_of(FE_TRACE_SAMPLED);

    for (size_t count = 0; count <= 300; count += 30) {
        fe_otlp_begin(&format, &batch);
        fe_bytes input = {(const uint8_t *)records, count * sizeof records[0]};
        CHECK_INT(input.len, fe_otlp_encode(&format, &tick_clock, &all, &source, input, &batch));
        fe_bytes request = fe_otlp_finish(&format, &batch);
        CHECK_INT(request.len, inner_len(request));
        CHECK_INT(count, batch.commands);
        CHECK_INT(count * 5, batch.spans); /* without a key: no lookup, no tier */
    }
    fe_buf_free(&batch.buf);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(every_command_has_its_span_and_pads_have_none)
{
    fe_otlp_format format = format_of(NULL, 0);
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_otlp_batch batch;
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    one_record records[3] = {record_of(0), record_of(FE_TRACE_RETAINED), record_of(0)};
    records[2].record.kind = FE_TRACE_PAD;
    fe_otlp_source source = {0};

    fe_otlp_begin(&format, &batch);
    size_t taken = fe_otlp_encode(&format, &tick_clock, &all, &source,
                                  (fe_bytes){(const uint8_t *)records, sizeof records}, &batch);

    CHECK_INT(sizeof records, taken);
    CHECK_INT(2, batch.records);
    CHECK_INT(2, batch.commands);
    fe_buf_free(&batch.buf);
}

TEST(a_full_batch_leaves_the_rest)
{
    fe_otlp_format format = format_of(NULL, 0);
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_otlp_batch batch;
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    one_record records[4];
    for (int i = 0; i < 4; i++)
        records[i] = record_of(FE_TRACE_SAMPLED);
    fe_bytes input = {(const uint8_t *)records, sizeof records};
    fe_otlp_source source = {0};
    fe_otlp_limits three = all, short_one = all;
    three.commands_max = 3;
    short_one.bytes_max = 1;

    fe_otlp_begin(&format, &batch);
    CHECK_INT(3 * sizeof records[0],
              fe_otlp_encode(&format, &tick_clock, &three, &source, input, &batch));
    fe_otlp_begin(&format, &batch);
    CHECK_INT(sizeof records[0],
              fe_otlp_encode(&format, &tick_clock, &short_one, &source, input, &batch));
    fe_buf_free(&batch.buf);
}

TEST(memory_that_runs_out_loses_no_record)
{
    fe_otlp_format format = format_of(NULL, 0);
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_otlp_batch batch;
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    one_record record = record_of(FE_TRACE_SAMPLED);
    fe_bytes input = {(const uint8_t *)&record, sizeof record};
    fe_otlp_source source = {0};

    for (int64_t count = 0; count < 2; count++) {
        fe_alloc_fail_after(&alloc, count);
        fe_otlp_begin(&format, &batch);
        CHECK_INT(0, fe_otlp_encode(&format, &tick_clock, &all, &source, input, &batch));
        CHECK(batch.buf.failed);
        CHECK_INT(0, fe_otlp_finish(&format, &batch).len);
        fe_alloc_fail_after(&alloc, -1);
        fe_buf_free(&batch.buf);
    }
    fe_otlp_begin(&format, &batch);
    CHECK_INT(input.len, fe_otlp_encode(&format, &tick_clock, &all, &source, input, &batch));
    fe_buf_free(&batch.buf);
}

/* Whether the request names this span, as a parent or in a link. */
static bool names_span(fe_bytes request, uint8_t id)
{
    uint8_t bytes[8];
    memset(bytes, id, sizeof bytes);
    for (size_t at = 0; at + sizeof bytes <= request.len; at++)
        if (memcmp(request.ptr + at, bytes, sizeof bytes) == 0) return true;
    return false;
}

/* The place of a command in a pipeline; all bytes of its ids are the same. */
typedef struct place {
    uint8_t id, connection, start, index;
    bool links_to_first;
} place;

TEST(commands_of_a_pipeline_link_to_its_first)
{
    static const place places[] = {
        {.id = 0x11, .connection = 1, .start = 1, .index = 0},
        {.id = 0x22, .connection = 1, .start = 1, .index = 1, .links_to_first = true},
        {.id = 0x33, .connection = 1, .start = 1, .index = 7, .links_to_first = true},
        {.id = 0x44, .connection = 2, .start = 1, .index = 1},
        {.id = 0x55, .connection = 1, .start = 2, .index = 1}, /* its first was not recorded */
    };
    fe_otlp_format format = format_of(NULL, 0);
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_otlp_batch batch;
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    fe_otlp_limits only = all;
    only.detail = FE_DETAIL_COMMAND;
    fe_otlp_source source = {0};

    /* The first is remembered from one batch to the next. */
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        one_record one = record_of(FE_TRACE_SAMPLED | FE_TRACE_PIPELINED);
        memset(&one.record.span_id, places[i].id, 8);
        memset(one.record.trace_id, places[i].id ^ 0xff, 16);
        one.record.connection = places[i].connection;
        one.record.start_ticks = places[i].start;
        one.record.batch_index = places[i].index;
        fe_bytes input = {(const uint8_t *)&one, sizeof one};
        fe_otlp_begin(&format, &batch);
        CHECK_INT(input.len, fe_otlp_encode(&format, &tick_clock, &only, &source, input, &batch));
        fe_bytes request = fe_otlp_finish(&format, &batch);
        CHECK(names_span(request, places[i].id));
        CHECK_INT(places[i].links_to_first || i == 0, names_span(request, 0x11));
        CHECK_INT(places[i].links_to_first || i == 0, names_span(request, 0x11 ^ 0xff));
    }
    fe_buf_free(&batch.buf);
}

TEST(lengths_of_messages_take_as_few_bytes_as_they_need)
{
    uint8_t bytes[20000];
    size_t lens[] = {0, 1, 127, 128, 16383, 16384, 19000};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        uint8_t *content;
        uint8_t *at = fe_pb_open(bytes, 0x0a, &content);
        memset(at, 'x', lens[i]);
        at = fe_pb_close(at + lens[i], content);
        size_t head = 1 + fe_pb_varint_len(lens[i]);
        CHECK_INT(head + lens[i], at - bytes);
        CHECK_INT(head + lens[i], inner_len((fe_bytes){bytes, 0}));
        for (size_t j = head; j < head + lens[i]; j++)
            if (bytes[j] != 'x') CHECK_INT('x', bytes[j]);
    }
}

TEST(ids_of_the_parts_of_a_command_differ)
{
    for (int i = 0; i < FE_PART_COUNT; i++)
        for (int j = 0; j < i; j++)
            CHECK(fe_otlp_part_id(9, (fe_otlp_part)i) != fe_otlp_part_id(9, (fe_otlp_part)j));
}

int main(void)
{
    RUN(a_request_is_as_long_as_it_says);
    RUN(every_command_has_its_span_and_pads_have_none);
    RUN(a_full_batch_leaves_the_rest);
    RUN(memory_that_runs_out_loses_no_record);
    RUN(commands_of_a_pipeline_link_to_its_first);
    RUN(lengths_of_messages_take_as_few_bytes_as_they_need);
    RUN(ids_of_the_parts_of_a_command_differ);
    return check_done();
}
