/* Collecting: every record of every ring once, rings in turns, and links within one ring. */
#include "event/collect.h"

#include "tests/check.h"

typedef struct fixture {
    fe_alloc alloc;
    fe_telemetry telemetry;
    fe_recorder *recorders[3];
    fe_span_collector collector;
    fe_otlp_batch batch;
    fe_otlp_format format;
} fixture;

static const fe_otlp_clock tick_clock = {.ns_per_tick = 1.0};
static const fe_otlp_limits no_limits = {FE_DETAIL_COMMAND, 0, UINT32_MAX, 1u << 30};

static void open_all(fixture *it)
{
    memset(it, 0, sizeof *it);
    fe_alloc_init(&it->alloc);
    fe_telemetry_init(&it->telemetry, &it->alloc, 1.0);
    for (int i = 0; i < 3; i++)
        it->recorders[i] = fe_recorder_new(&it->telemetry);
    fe_telemetry_options options = {.traces = true, .retention.slow_us = -1, .ring_bytes = 1};
    CHECK(fe_telemetry_set(&it->telemetry, &options));
    fe_span_collector_init(&it->collector, &it->alloc, &it->telemetry);
    fe_buf_init(&it->batch.buf, &it->alloc, FE_ALLOC_ENGINE);
    it->format.text_max = UINT32_MAX;
}

static void close_all(fixture *it)
{
    fe_span_collector_free(&it->collector);
    fe_buf_free(&it->batch.buf);
    fe_telemetry_destroy(&it->telemetry);
    CHECK_INT(0, fe_alloc_used_all(&it->alloc));
}

static void record(fixture *it, int ring, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fe_trace_record *one =
            fe_event_ring_reserve(&it->recorders[ring]->ring, sizeof(fe_trace_record));
        CHECK(one != NULL);
        if (one == NULL) return;
        *one = (fe_trace_record){.size = sizeof *one,
                                 .kind = FE_TRACE_COMMAND,
                                 .flags = FE_TRACE_SAMPLED,
                                 .span_id = (uint64_t)ring + 1};
    }
    fe_event_ring_publish(&it->recorders[ring]->ring);
}

static uint32_t take(fixture *it, const fe_otlp_limits *limits)
{
    fe_otlp_begin(&it->format, &it->batch);
    fe_span_collector_take(&it->collector, &it->format, &tick_clock, limits, &it->batch);
    CHECK(!it->batch.buf.failed);
    return it->batch.records;
}

TEST(all_rings_are_taken_once)
{
    fixture it;
    open_all(&it);
    record(&it, 0, 10);
    record(&it, 2, 5);

    CHECK_INT(15, fe_span_collector_waiting(&it.collector));
    CHECK_INT(15, take(&it, &no_limits));
    CHECK_INT(15, it.batch.spans);
    CHECK_INT(0, fe_span_collector_waiting(&it.collector));
    CHECK_INT(0, take(&it, &no_limits));
    close_all(&it);
}

TEST(the_end_of_a_ring_is_passed)
{
    fixture it;
    open_all(&it);
    uint32_t room = (uint32_t)(it.recorders[1]->ring.size / sizeof(fe_trace_record));

    for (uint32_t i = 0; i < 10; i++) {
        record(&it, 1, room - 7);
        CHECK_INT(room - 7, take(&it, &no_limits));
    }
    close_all(&it);
}

TEST(a_full_ring_leaves_the_others_their_turn)
{
    fixture it;
    open_all(&it);
    fe_otlp_limits four = no_limits;
    four.commands_max = 4;
    record(&it, 0, 40);
    record(&it, 1, 4);
    record(&it, 2, 4);

    for (int i = 0; i < 3; i++)
        CHECK_INT(4, take(&it, &four));

    CHECK_INT(36, fe_event_ring_waiting(&it.recorders[0]->ring) / sizeof(fe_trace_record));
    CHECK_INT(0, fe_event_ring_waiting(&it.recorders[1]->ring));
    CHECK_INT(0, fe_event_ring_waiting(&it.recorders[2]->ring));
    CHECK_INT(36, fe_span_collector_waiting(&it.collector));
    close_all(&it);
}

TEST(records_for_the_log_are_copied_as_chosen)
{
    fixture it;
    open_all(&it);
    for (int choice = FE_NOTE_NONE; choice <= FE_NOTE_ALL; choice++) {
        record(&it, 0, 2);
        fe_trace_record *kept =
            fe_event_ring_reserve(&it.recorders[0]->ring, sizeof(fe_trace_record));
        *kept = (fe_trace_record){
            .size = sizeof *kept, .kind = FE_TRACE_COMMAND, .flags = FE_TRACE_RETAINED};
        fe_event_ring_publish(&it.recorders[0]->ring);
        it.collector.choice = (fe_note_choice)choice;

        CHECK_INT(3, take(&it, &no_limits));

        static const size_t expected[] = {0, 1, 3};
        CHECK_INT(expected[choice] * sizeof(fe_trace_record), it.collector.notes.len);
    }
    close_all(&it);
}

/* While nothing is taken the log is told of each record once; of those behind them the batch tells. */
TEST(the_log_is_told_of_what_waits)
{
    fixture it;
    open_all(&it);
    it.collector.choice = FE_NOTE_ALL;
    static const fe_otlp_limits four = {FE_DETAIL_COMMAND, 0, 4, 1u << 30};
    uint64_t told = 0;
    for (int i = 0; i < 60; i++) { /* several times around the ring */
        record(&it, 0, 5);
        record(&it, 1, 1);
        fe_span_collector_look(&it.collector);
        CHECK_INT(6 * sizeof(fe_trace_record), it.collector.notes.len);
        fe_span_collector_look(&it.collector);
        CHECK_INT(0, it.collector.notes.len);
        CHECK_INT(6, fe_span_collector_waiting(&it.collector));
        record(&it, 0, 2);
        for (uint32_t taken = 0; taken < 8;) {
            taken += take(&it, &four);
            told += it.collector.notes.len / sizeof(fe_trace_record);
        }
    }
    CHECK_INT(2 * 60, told);
    close_all(&it);
}

TEST(copies_for_the_log_have_a_bound)
{
    fixture it;
    open_all(&it);
    it.collector.choice = FE_NOTE_ALL;
    it.collector.notes.limit = 4 * sizeof(fe_trace_record);
    record(&it, 0, 6);

    CHECK_INT(6, take(&it, &no_limits));

    CHECK(it.collector.notes.len <= 4 * sizeof(fe_trace_record));
    CHECK(it.collector.notes_left_out > 0);
    close_all(&it);
}

TEST(the_log_is_told_of_so_many)
{
    fixture it;
    open_all(&it);
    it.collector.choice = FE_NOTE_ALL;
    it.collector.notes_max = 4;
    record(&it, 0, 6);
    record(&it, 1, 1);

    fe_span_collector_look(&it.collector);
    CHECK_INT(4 * sizeof(fe_trace_record), it.collector.notes.len);
    CHECK_INT(3, it.collector.notes_left_out);
    record(&it, 0, 5);
    CHECK_INT(12, take(&it, &no_limits));
    CHECK_INT(4 * sizeof(fe_trace_record), it.collector.notes.len);
    CHECK_INT(4, it.collector.notes_left_out);
    close_all(&it);
}

/* How often the batch has an id of which each byte is this one. */
static uint32_t count_ids(const fixture *it, uint8_t byte)
{
    uint8_t id[8];
    memset(id, byte, sizeof id);
    uint32_t count = 0;
    for (size_t at = 0; at + sizeof id <= it->batch.buf.len; at++)
        count += memcmp(it->batch.buf.data + at, id, sizeof id) == 0;
    return count;
}

/* Commands of one pipeline are in one ring; what lies in another is of other connections. */
TEST(links_stay_within_one_ring)
{
    fixture it;
    open_all(&it);
    for (int ring = 0; ring < 2; ring++) {
        record(&it, ring, 2);
        fe_trace_record *one = fe_event_ring_at(&it.recorders[ring]->ring, 0);
        one[0].flags = one[1].flags = FE_TRACE_SAMPLED | FE_TRACE_PIPELINED;
        one[0].batch_index = (uint16_t)(ring == 0 ? 0 : 2);
        one[1].batch_index = 1;
        one[0].span_id = UINT64_C(0x0101010101010101) * (uint64_t)(ring + 1);
    }

    CHECK_INT(4, take(&it, &no_limits));

    CHECK_INT(2, count_ids(&it, 1)); /* by itself, and by the second of its ring */
    CHECK_INT(1, count_ids(&it, 2));
    close_all(&it);
}

TEST(without_memory_records_wait)
{
    fixture it;
    open_all(&it);
    record(&it, 0, 3);

    fe_alloc_fail_after(&it.alloc, 0);
    fe_otlp_begin(&it.format, &it.batch);
    fe_span_collector_take(&it.collector, &it.format, &tick_clock, &no_limits, &it.batch);
    CHECK_INT(0, it.batch.records);
    CHECK_INT(3, fe_span_collector_waiting(&it.collector));
    fe_alloc_fail_after(&it.alloc, -1);

    CHECK_INT(3, take(&it, &no_limits));
    close_all(&it);
}

/* Memory runs out after some runs were taken from their rings: they are sent, the rest waits. */
TEST(without_memory_for_more_a_batch_is_sent_as_it_is)
{
    fixture it;
    open_all(&it);
    CHECK_INT(0, take(&it, &no_limits)); /* the rings are known */
    uint32_t cut = 0;
    for (int64_t allowed = 0; allowed < 6; allowed++) {
        record(&it, 0, 30);
        record(&it, 1, 60);
        fe_buf_free(&it.batch.buf);
        fe_alloc_fail_after(&it.alloc, allowed);
        fe_otlp_begin(&it.format, &it.batch);
        fe_span_collector_take(&it.collector, &it.format, &tick_clock, &no_limits, &it.batch);
        fe_alloc_fail_after(&it.alloc, -1);
        uint32_t first = it.batch.records;

        CHECK_INT(first == 0, it.batch.buf.failed);
        CHECK_INT(first > 0, fe_otlp_finish(&it.format, &it.batch).len > 0);
        CHECK_INT(90 - first, fe_span_collector_waiting(&it.collector));
        CHECK_INT(90 - first, take(&it, &no_limits));
        cut += first > 0 && first < 90;
    }
    CHECK(cut > 0);
    close_all(&it);
}

int main(void)
{
    RUN(all_rings_are_taken_once);
    RUN(the_end_of_a_ring_is_passed);
    RUN(a_full_ring_leaves_the_others_their_turn);
    RUN(records_for_the_log_are_copied_as_chosen);
    RUN(the_log_is_told_of_what_waits);
    RUN(copies_for_the_log_have_a_bound);
    RUN(the_log_is_told_of_so_many);
    RUN(links_stay_within_one_ring);
    RUN(without_memory_records_wait);
    RUN(without_memory_for_more_a_batch_is_sent_as_it_is);
    return check_done();
}
