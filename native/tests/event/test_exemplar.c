/* Exemplars: the newest of each command and magnitude, once its batch was taken; never a torn one. */
#include "event/exemplar.h"

#include "event/collect.h"

#include "tests/check.h"

#define COMMANDS 3u
#define UNITS_PER_TICK_Q20 (UINT64_C(2) << 20)

static const fe_otlp_clock tick_clock = {.ns_per_tick = 1.0};

/* A command that took so many ticks, each of two units, and ended at a moment. */
static fe_trace_record record_of(uint16_t command, uint64_t took, uint64_t ended, uint64_t span_id)
{
    fe_trace_record record = {.size = sizeof record,
                              .command = command,
                              .kind = FE_TRACE_COMMAND,
                              .flags = FE_TRACE_SAMPLED,
                              .trace_id = {(uint8_t)span_id},
                              .span_id = span_id,
                              .start_ticks = ended - took - 5};
    fe_trace_stage_set(&record, FE_STAGE_BEGUN, 5);
    fe_trace_stage_set(&record, FE_STAGE_ENDED, took + 5);
    return record;
}

static void offer(fe_exemplars *exemplars, fe_trace_record record)
{
    fe_exemplars_offer(exemplars, &record, &tick_clock);
}

static void open_all(fe_exemplars *exemplars, fe_alloc *alloc)
{
    fe_alloc_init(alloc);
    CHECK(fe_exemplars_init(exemplars, alloc, COMMANDS, UNITS_PER_TICK_Q20));
}

static void close_all(fe_exemplars *exemplars, fe_alloc *alloc)
{
    fe_exemplars_free(exemplars);
    CHECK_INT(0, fe_alloc_used_all(alloc));
}

TEST(an_exemplar_tells_its_command)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    open_all(&exemplars, &alloc);

    fe_exemplars_begin(&exemplars);
    offer(&exemplars, record_of(1, 1000, 7000, 42));
    fe_exemplars_confirm(&exemplars);

    CHECK_INT(0, fe_exemplars_copy(&exemplars, 0, found));
    CHECK_INT(1, fe_exemplars_copy(&exemplars, 1, found));
    CHECK_INT(42, found[0].trace_id[0]);
    CHECK_INT(42, found[0].span_id);
    CHECK_INT(2000, found[0].units);
    CHECK_INT(7000, found[0].unix_ns);
    close_all(&exemplars, &alloc);
}

TEST(what_nobody_took_is_forgotten)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    open_all(&exemplars, &alloc);

    fe_exemplars_begin(&exemplars);
    offer(&exemplars, record_of(0, 1000, 10000, 1));
    CHECK_INT(0, fe_exemplars_copy(&exemplars, 0, found));
    fe_exemplars_begin(&exemplars);
    offer(&exemplars, record_of(2, 1000, 20000, 2));
    fe_exemplars_confirm(&exemplars);
    fe_exemplars_confirm(&exemplars);

    CHECK_INT(0, fe_exemplars_copy(&exemplars, 0, found));
    CHECK_INT(1, fe_exemplars_copy(&exemplars, 2, found));
    close_all(&exemplars, &alloc);
}

TEST(the_newest_stays_in_whatever_order_they_come)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    open_all(&exemplars, &alloc);

    fe_exemplars_begin(&exemplars);
    offer(&exemplars, record_of(0, 1000, 30000, 3));
    offer(&exemplars, record_of(0, 1000, 20000, 2));
    fe_exemplars_confirm(&exemplars);
    fe_exemplars_begin(&exemplars);
    offer(&exemplars, record_of(0, 1000, 10000, 1));
    fe_exemplars_confirm(&exemplars);
    CHECK_INT(1, fe_exemplars_copy(&exemplars, 0, found));
    CHECK_INT(3, found[0].span_id);

    fe_exemplars_begin(&exemplars);
    offer(&exemplars, record_of(0, 1000, 40000, 4));
    fe_exemplars_confirm(&exemplars);
    CHECK_INT(1, fe_exemplars_copy(&exemplars, 0, found));
    CHECK_INT(4, found[0].span_id);
    close_all(&exemplars, &alloc);
}

/* Durations on both sides of each power of two, from 0 to what lasts longer than the last slot begins. */
TEST(each_magnitude_has_its_own)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    open_all(&exemplars, &alloc);

    fe_exemplars_begin(&exemplars);
    uint64_t id = 1, moment = UINT64_C(1) << 50;
    offer(&exemplars, record_of(0, 0, moment, id++));
    for (uint32_t power = 1; power < 40; power++) {
        offer(&exemplars, record_of(0, (UINT64_C(1) << power) - 1, moment, id++));
        offer(&exemplars, record_of(0, UINT64_C(1) << power, moment, id++));
    }
    fe_exemplars_confirm(&exemplars);

    uint32_t count = fe_exemplars_copy(&exemplars, 0, found);
    CHECK_INT(FE_EXEMPLAR_SLOTS, count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t from = i == 0 ? 0 : UINT64_C(1) << (FE_EXEMPLAR_POWER_MIN + i - 1);
        uint64_t beyond = i + 1 == count ? UINT64_MAX : UINT64_C(1) << (FE_EXEMPLAR_POWER_MIN + i);
        CHECK(found[i].units >= from && found[i].units < beyond);
    }
    close_all(&exemplars, &alloc);
}

#define WRONG 8

TEST(what_no_histogram_counted_so_is_passed_over)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    open_all(&exemplars, &alloc);
    fe_trace_record wrong[WRONG];
    for (int i = 0; i < WRONG; i++)
        wrong[i] = record_of(0, 1000, 10000, 1);
    wrong[0].kind = FE_TRACE_PAD;
    wrong[1].result = FE_RESULT_REJECTED;
    wrong[2].command = FE_TRACE_UNKNOWN;
    wrong[3].flags = 0; /* neither sampled nor retained: nobody exports it */
    wrong[4].span_id = 0;
    wrong[5].flags |= FE_TRACE_WAITED | FE_TRACE_BLOCKED | FE_TRACE_DISK;
    wrong[6].flags |= FE_TRACE_WAITED | FE_TRACE_PAUSED;
    wrong[7].flags |= FE_TRACE_WAITED | FE_TRACE_ROOM;

    fe_exemplars_begin(&exemplars);
    for (int i = 0; i < WRONG; i++)
        offer(&exemplars, wrong[i]);
    fe_exemplars_confirm(&exemplars);
    for (uint32_t i = 0; i < COMMANDS; i++)
        CHECK_INT(0, fe_exemplars_copy(&exemplars, i, found));

    static const uint16_t flags[COMMANDS] = {FE_TRACE_SAMPLED | FE_TRACE_WAITED | FE_TRACE_DISK,
                                             FE_TRACE_SAMPLED | FE_TRACE_WAITED | FE_TRACE_PYTHON,
                                             FE_TRACE_RETAINED};
    for (uint16_t i = 0; i < COMMANDS; i++) {
        fe_trace_record right = record_of(i, 1000, 10000, 9);
        right.flags = flags[i];
        offer(&exemplars, right);
    }
    fe_exemplars_confirm(&exemplars);
    for (uint32_t i = 0; i < COMMANDS; i++)
        CHECK_INT(1, fe_exemplars_copy(&exemplars, i, found));
    close_all(&exemplars, &alloc);
}

TEST(without_memory_there_are_none)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    fe_alloc_init(&alloc);
    fe_alloc_fail_after(&alloc, 0);
    CHECK(!fe_exemplars_init(&exemplars, &alloc, COMMANDS, UNITS_PER_TICK_Q20));
    fe_alloc_fail_after(&alloc, 1);
    CHECK(fe_exemplars_init(&exemplars, &alloc, COMMANDS, UNITS_PER_TICK_Q20));

    offer(&exemplars, record_of(0, 1000, 10000, 1));
    fe_exemplars_confirm(&exemplars);
    CHECK_INT(0, fe_exemplars_copy(&exemplars, 0, found));

    fe_alloc_fail_after(&alloc, -1);
    offer(&exemplars, record_of(0, 1000, 10000, 1));
    fe_exemplars_confirm(&exemplars);
    CHECK_INT(1, fe_exemplars_copy(&exemplars, 0, found));
    close_all(&exemplars, &alloc);
}

/* What a collector takes it offers, and a full batch offers no more than it took. */
TEST(a_collector_offers_what_it_takes)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    open_all(&exemplars, &alloc);
    fe_telemetry telemetry;
    fe_telemetry_init(&telemetry, &alloc, 1.0);
    fe_recorder *recorder = fe_recorder_new(&telemetry);
    fe_telemetry_options options = {.traces = true, .retention.slow_us = -1, .ring_bytes = 1};
    CHECK(fe_telemetry_set(&telemetry, &options));
    fe_span_collector collector;
    fe_span_collector_init(&collector, &alloc, &telemetry);
    collector.exemplars = &exemplars;
    fe_otlp_format format = {.text_max = UINT32_MAX};
    fe_otlp_batch batch = {0};
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    for (uint64_t i = 1; i <= 3; i++) {
        fe_trace_record *one = fe_event_ring_reserve(&recorder->ring, sizeof *one);
        *one = record_of(0, 1000, i * 10000, i);
    }
    fe_event_ring_publish(&recorder->ring);
    fe_otlp_limits two = {FE_DETAIL_COMMAND, 0, 2, 1u << 30};

    uint64_t expected[] = {2, 3, 3};
    for (int i = 0; i < 3; i++) {
        fe_otlp_begin(&format, &batch);
        fe_span_collector_take(&collector, &format, &tick_clock, &two, &batch);
        fe_exemplars_confirm(&exemplars);
        CHECK_INT(1, fe_exemplars_copy(&exemplars, 0, found));
        CHECK_INT(expected[i], found[0].span_id);
    }
    fe_span_collector_free(&collector);
    fe_buf_free(&batch.buf);
    fe_telemetry_destroy(&telemetry);
    close_all(&exemplars, &alloc);
}

/* Two threads. ------------------------------------------------------------------------------------ */

#define BATCHES 20000u

/* Whose fields all say the same number, so that a torn one is seen. */
static void *offer_many(void *argument)
{
    fe_exemplars *exemplars = argument;
    for (uint64_t i = 1; i <= BATCHES; i++) {
        fe_exemplars_begin(exemplars);
        for (uint16_t command = 0; command < COMMANDS; command++) {
            fe_trace_record record = record_of(command, 1000, 100000 + i, i);
            memcpy(record.trace_id, &i, sizeof i);
            fe_exemplars_offer(exemplars, &record, &tick_clock);
        }
        if (i % 3 != 0) fe_exemplars_confirm(exemplars); /* else it was lost */
    }
    return NULL;
}

TEST(a_reader_sees_whole_ones_that_grow_newer)
{
    fe_alloc alloc;
    fe_exemplars exemplars;
    fe_exemplar found[FE_EXEMPLAR_SLOTS];
    open_all(&exemplars, &alloc);
    pthread_t writer;
    CHECK_INT(0, pthread_create(&writer, NULL, offer_many, &exemplars));

    uint64_t last[COMMANDS] = {0};
    uint32_t end = BATCHES % 3 == 0 ? BATCHES - 1 : BATCHES;
    while (last[COMMANDS - 1] != end) {
        for (uint32_t i = 0; i < COMMANDS; i++) {
            if (fe_exemplars_copy(&exemplars, i, found) == 0) continue;
            uint64_t id;
            memcpy(&id, found[0].trace_id, sizeof id);
            CHECK(id == found[0].span_id && found[0].unix_ns == (int64_t)(100000 + id));
            CHECK(id >= last[i] && id % 3 != 0);
            last[i] = id;
        }
    }
    pthread_join(writer, NULL);
    close_all(&exemplars, &alloc);
}

int main(void)
{
    RUN(an_exemplar_tells_its_command);
    RUN(what_nobody_took_is_forgotten);
    RUN(the_newest_stays_in_whatever_order_they_come);
    RUN(each_magnitude_has_its_own);
    RUN(what_no_histogram_counted_so_is_passed_over);
    RUN(without_memory_there_are_none);
    RUN(a_collector_offers_what_it_takes);
    RUN(a_reader_sees_whole_ones_that_grow_newer);
    return check_done();
}
