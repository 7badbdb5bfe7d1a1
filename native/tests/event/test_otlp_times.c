/* The times of spans: none ends before it begins, and those of a command lie within it, whatever its record says. */
#include "event/otlp.h"

#include "event/protobuf.h"

#include "base/random.h"
#include "tests/check.h"

#define ROUNDS 20000

/* One span of a request. */
typedef struct span {
    uint64_t id, start, end;
} span;

typedef struct spans {
    span at[FE_PART_COUNT + 1]; /* the command's is the first */
    uint32_t count;
} spans;

static uint64_t read_varint(fe_bytes *from)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t byte = *from->ptr++;
        from->len--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
}

static fe_bytes cut(fe_bytes *from, size_t len)
{
    CHECK(len <= from->len);
    fe_bytes part = {from->ptr, len};
    from->ptr += len;
    from->len -= len;
    return part;
}

static uint64_t number_of(fe_bytes bytes, bool is_id)
{
    uint64_t value;
    memcpy(&value, bytes.ptr, 8);
    return is_id ? __builtin_bswap64(value) : value;
}

/* The next field of a message: its number, and its bytes unless it is a varint. */
static uint32_t read_field(fe_bytes *from, fe_bytes *content)
{
    uint64_t tag = read_varint(from);
    switch (tag & 7) {
    case FE_PB_VARINT: read_varint(from); break;
    case FE_PB_FIXED64: *content = cut(from, 8); break;
    case FE_PB_FIXED32: *content = cut(from, 4); break;
    default: *content = cut(from, read_varint(from));
    }
    return (uint32_t)(tag >> 3);
}

static span read_span(fe_bytes message)
{
    span one = {0};
    while (message.len > 0) {
        fe_bytes content = {NULL, 0};
        uint32_t field = read_field(&message, &content);
        if (field == 2) one.id = number_of(content, true);
        if (field == 7) one.start = number_of(content, false);
        if (field == 8) one.end = number_of(content, false);
    }
    return one;
}

/* A request holds one ResourceSpans, that one ScopeSpans, and that the spans. */
static spans read_spans(fe_bytes request)
{
    spans all = {.count = 0};
    fe_bytes resource = {NULL, 0}, scope = {NULL, 0};
    CHECK_INT(1, read_field(&request, &resource));
    while (resource.len > 0 && read_field(&resource, &scope) != 2)
        ;
    while (scope.len > 0) {
        fe_bytes content = {NULL, 0};
        if (read_field(&scope, &content) != 2) continue;
        CHECK(all.count < FE_PART_COUNT + 1);
        all.at[all.count++] = read_span(content);
    }
    return all;
}

/* The spans of one record; a tick is a nanosecond. */
static spans encode(const fe_trace_record *record)
{
    static const fe_otlp_clock clock = {.ns_per_tick = 1.0};
    static const fe_otlp_limits limits = {FE_DETAIL_FULL, 0, UINT32_MAX, 1u << 30};
    fe_otlp_format format = {.resource = FE_BYTES("\x0a\x00"), .text_max = UINT32_MAX};
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_otlp_batch batch;
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    fe_otlp_source source = {0};
    fe_otlp_begin(&format, &batch);
    fe_bytes input = {(const uint8_t *)record, sizeof *record};
    CHECK_INT(input.len, fe_otlp_encode(&format, &clock, &limits, &source, input, &batch));
    spans all = read_spans(fe_otlp_finish(&format, &batch));
    CHECK_INT(batch.spans, all.count);
    fe_buf_free(&batch.buf);
    return all;
}

static const span *part_of(const spans *all, fe_otlp_part part)
{
    for (uint32_t i = 1; i < all->count; i++)
        if (all->at[i].id == fe_otlp_part_id(all->at[0].id, part)) return &all->at[i];
    return NULL;
}

static void check_part(const spans *all, fe_otlp_part part, uint64_t start, uint64_t end)
{
    const span *found = part_of(all, part);
    CHECK(found != NULL);
    if (found == NULL) return;
    CHECK_INT(start, found->start);
    CHECK_INT(end, found->end);
}

/* A record that began at 1000 and whose stages are 10, 20, ... later. */
static fe_trace_record record_of(uint32_t flags, uint32_t tiers, uint32_t waited)
{
    fe_trace_record record = {.size = sizeof record,
                              .kind = FE_TRACE_COMMAND,
                              .flags = (uint16_t)(FE_TRACE_SAMPLED | flags),
                              .tiers = (uint8_t)tiers,
                              .argc = 2,
                              .span_id = 7,
                              .start_ticks = 1000,
                              .waited = waited,
                              .key_index = 1};
    for (uint32_t i = 0; i < FE_STAGE_COUNT; i++)
        record.stages[i] = 10 * (i + 1);
    return record;
}

TEST(what_a_command_waited_for_was_read_while_it_waited)
{
    fe_trace_record record = record_of(FE_TRACE_WAITED | FE_TRACE_DISK, FE_TRACE_ON_DISK, 5);

    spans all = encode(&record);

    check_part(&all, FE_PART_READ_DISK, 1030, 1035);
    check_part(&all, FE_PART_LOOKUP, 1035, 1040);
    CHECK(part_of(&all, FE_PART_WAIT) == NULL);
}

TEST(what_another_command_waited_for_is_read_when_it_is_found)
{
    fe_trace_record record = record_of(FE_TRACE_PIPELINED, FE_TRACE_ON_DISK, 0);

    spans all = encode(&record);

    check_part(&all, FE_PART_MUTABLE_MISS, 1040, 1040);
    check_part(&all, FE_PART_READ_DISK, 1040, 1050);
}

TEST(a_wait_for_the_disk_without_a_read_of_its_own_is_told)
{
    fe_trace_record exec = record_of(FE_TRACE_WAITED | FE_TRACE_DISK, 0, 5);

    spans all = encode(&exec);

    check_part(&all, FE_PART_WAIT, 1030, 1035);
}

static fe_trace_record random_record(fe_random *random)
{
    fe_trace_record record = record_of((uint32_t)fe_random_next(random) & 0x3fff,
                                       (uint32_t)fe_random_next(random) & 0x3f, 0);
    uint32_t at = 0;
    for (int i = 0; i < FE_STAGE_COUNT; i++) {
        at += (uint32_t)(fe_random_next(random) % 3 * (fe_random_next(random) % 50));
        record.stages[i] = at;
    }
    /* As a recorder has it: no longer than the time until the command ended. */
    uint32_t ended = record.stages[FE_STAGE_ENDED];
    if (record.flags & FE_TRACE_WAITED)
        record.waited = (uint32_t)(fe_random_next(random) % (ended + 1));
    record.key_index = (uint16_t)(fe_random_next(random) % 2);
    return record;
}

TEST(no_span_ends_before_it_begins_or_outside_its_command)
{
    fe_random random;
    fe_random_init(&random, 4);
    uint32_t wrong = 0;

    for (int round = 0; round < ROUNDS; round++) {
        fe_trace_record record = random_record(&random);
        spans all = encode(&record);
        for (uint32_t i = 0; i < all.count; i++)
            wrong += all.at[i].start > all.at[i].end || all.at[i].start < all.at[0].start ||
                     all.at[i].end > all.at[0].end;
    }

    CHECK_INT(0, wrong);
}

int main(void)
{
    RUN(what_a_command_waited_for_was_read_while_it_waited);
    RUN(what_another_command_waited_for_is_read_when_it_is_found);
    RUN(a_wait_for_the_disk_without_a_read_of_its_own_is_told);
    RUN(no_span_ends_before_it_begins_or_outside_its_command);
    return check_done();
}
