/* Rare events: who is kept, whose children they are, and that nothing is lost but what is counted. */
#include "tests/check.h"

#include "event/rare.h"

typedef struct fixture {
    fe_alloc alloc;
    fe_telemetry telemetry;
    fe_rare rare;
    fe_rare_event taken[FE_RARE_ROOM_MAX];
} fixture;

static fe_telemetry_options options_of(fe_sampler sampler)
{
    return (fe_telemetry_options){.traces = true,
                                  .sampler = sampler,
                                  .retention.slow_us = -1,
                                  .connection_rate_max = 3,
                                  .ring_bytes = 1 << 20};
}

static const fe_sampler always = {.kind = FE_SAMPLER_ALWAYS};
static const fe_sampler never = {.kind = FE_SAMPLER_NEVER};

static void put_options(fixture *it, const fe_telemetry_options *options)
{
    CHECK(fe_telemetry_set(&it->telemetry, options));
    CHECK(fe_rare_follow(&it->rare));
}

static void open_with(fixture *it, const fe_telemetry_options *options)
{
    memset(it, 0, sizeof *it);
    fe_alloc_init(&it->alloc);
    fe_telemetry_init(&it->telemetry, &it->alloc, 1.0); /* a tick is a microsecond */
    fe_rare_init(&it->rare, &it->telemetry);
    put_options(it, options);
}

static void close_all(fixture *it)
{
    fe_rare_destroy(&it->rare);
    fe_telemetry_destroy(&it->telemetry);
    CHECK_INT(0, fe_alloc_used_all(&it->alloc));
}

static bool happen(fixture *it, fe_rare_kind kind, uint64_t from, uint64_t to, bool failed)
{
    fe_rare_event event;
    uint64_t waiting = fe_rare_waiting(&it->rare);
    if (fe_rare_begin(&it->rare, &event, kind, from)) fe_rare_end(&it->rare, &event, to, failed);
    return fe_rare_waiting(&it->rare) > waiting;
}

static uint32_t take(fixture *it)
{
    return fe_rare_take(&it->rare, it->taken, FE_RARE_ROOM_MAX);
}

TEST(without_traces_there_is_nothing)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    options.traces = false;
    open_with(&it, &options);

    CHECK(!happen(&it, FE_RARE_FLUSH, 1, 2, true));
    CHECK(it.rare.slots == NULL);
    CHECK_INT(0, take(&it));
    options.traces = true;
    put_options(&it, &options);
    CHECK(happen(&it, FE_RARE_FLUSH, 1, 2, false));
    options.traces = false;
    put_options(&it, &options);
    CHECK(!happen(&it, FE_RARE_FLUSH, 1, 2, false));
    CHECK_INT(1, take(&it));
    close_all(&it);
}

TEST(a_ring_that_is_half_full_is_told)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    open_with(&it, &options);
    CHECK(!fe_rare_is_pressed(&it.rare));
    for (uint32_t i = 0; i + 1 < it.rare.room / 2; i++)
        CHECK(happen(&it, FE_RARE_FLUSH, 1, 2, false));
    CHECK(!fe_rare_is_pressed(&it.rare));
    CHECK(happen(&it, FE_RARE_FLUSH, 1, 2, false));
    CHECK(fe_rare_is_pressed(&it.rare));
    CHECK_INT(it.rare.room / 2, take(&it));
    CHECK(!fe_rare_is_pressed(&it.rare));
    close_all(&it);
}

TEST(what_was_begun_before_traces_ended_is_not_told)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    open_with(&it, &options);
    fe_rare_event event;
    CHECK(fe_rare_begin(&it.rare, &event, FE_RARE_COMPACTION, 1));
    options.traces = false;
    put_options(&it, &options);

    fe_rare_end(&it.rare, &event, 2, false);

    CHECK_INT(0, take(&it));
    close_all(&it);
}

TEST(events_are_sampled_and_retained_as_commands_are)
{
    static fixture it;
    fe_telemetry_options options = options_of(never);
    options.retention = (fe_retention){.errors = true, .slow_us = 50, .rate_max = 2};
    open_with(&it, &options);

    CHECK(!happen(&it, FE_RARE_FLUSH, 100, 149, false));
    CHECK(happen(&it, FE_RARE_FLUSH, 100, 150, false));
    CHECK(happen(&it, FE_RARE_FLUSH, 149, 150, true));
    CHECK(!happen(&it, FE_RARE_FLUSH, 149, 150, true)); /* over retain_rate_max */
    CHECK(!happen(&it, FE_RARE_CONNECTION, 100, 9999, false));
    CHECK_INT(1, fe_rare_count(&it.rare).left_out);
    fe_rare_event start;
    CHECK(fe_rare_begin(&it.rare, &start, FE_RARE_RECOVERY, 1));
    fe_rare_keep(&it.rare, &start, 2);

    CHECK_INT(3, take(&it));
    CHECK(!it.taken[0].sampled && it.taken[0].parent_id == 0 && it.taken[0].threshold == 0);
    CHECK(it.taken[0].span_id != it.taken[1].span_id);
    CHECK(memcmp(it.taken[0].trace_id, it.taken[1].trace_id, 16) != 0);
    CHECK_INT(FE_RARE_RECOVERY, it.taken[2].kind);
    close_all(&it);
}

TEST(a_ratio_decides_by_the_trace_id_and_is_told)
{
    static fixture it;
    fe_sampler half = fe_sampler_ratio(0.5);
    fe_telemetry_options options = options_of(half);
    open_with(&it, &options);
    for (int i = 0; i < 400; i++)
        (void)happen(&it, FE_RARE_FLUSH, 1, 2, false);

    uint32_t count = take(&it);

    CHECK(count > 100 && count < 300); /* ten deviations to each side */
    for (uint32_t i = 0; i < count; i++) {
        CHECK(it.taken[i].sampled && it.taken[i].threshold == 1ULL << 55);
        CHECK(fe_sampler_takes(&half, fe_sampler_low(it.taken[i].trace_id)));
    }
    close_all(&it);
}

TEST(a_ratio_of_the_rest_counts_for_events_as_well)
{
    static fixture it;
    fe_sampler half = fe_sampler_ratio(0.5);
    fe_telemetry_options options = options_of(fe_sampler_ratio(0.25));
    options.retention.rest = half;
    options.retention.rate_max = 1;
    open_with(&it, &options);
    for (int i = 0; i < 200; i++) {
        fe_rare_event flush, epoch;
        CHECK(fe_rare_begin(&it.rare, &flush, FE_RARE_FLUSH, 1));
        it.rare.parent = &flush;
        CHECK_INT(flush.sampled, fe_rare_begin(&it.rare, &epoch, FE_RARE_EPOCH, 1));
        it.rare.parent = NULL;
        fe_rare_end(&it.rare, &epoch, 2, false);
        fe_rare_end(&it.rare, &flush, 2, false);
    }

    uint32_t count = take(&it), epochs = 0, rest = 0;
    for (uint32_t i = 0; i < count; i++) {
        const fe_rare_event *event = &it.taken[i];
        CHECK(fe_sampler_takes(&half, fe_sampler_low(event->trace_id)));
        CHECK(event->threshold == (event->kind == FE_RARE_EPOCH ? 3ULL << 54 : 1ULL << 55));
        epochs += event->kind == FE_RARE_EPOCH;
        rest += !event->sampled;
    }
    CHECK(epochs > 10 && rest > 10);
    close_all(&it);
}

TEST(what_a_rule_or_a_rate_has_kept_tells_no_threshold)
{
    static fixture it;
    fe_telemetry_options options = options_of(fe_sampler_ratio(1 - 0x1p-50));
    options.retention = (fe_retention){.errors = true, .slow_us = 50};
    open_with(&it, &options);

    CHECK(happen(&it, FE_RARE_FLUSH, 100, 101, false));
    CHECK(happen(&it, FE_RARE_FLUSH, 100, 101, true));
    CHECK(happen(&it, FE_RARE_FLUSH, 100, 150, false));
    CHECK(happen(&it, FE_RARE_CONNECTION, 100, 101, false));
    fe_rare_event start;
    CHECK(fe_rare_begin(&it.rare, &start, FE_RARE_RECOVERY, 1));
    fe_rare_keep(&it.rare, &start, 2);

    CHECK_INT(5, take(&it));
    for (uint32_t i = 0; i < 5; i++)
        CHECK(it.taken[i].sampled && (it.taken[i].threshold != 0) == (i == 0));
    close_all(&it);
}

TEST(connections_have_a_rate_and_the_rest_is_counted)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    open_with(&it, &options);
    uint32_t told = 0;
    for (uint64_t i = 0; i < 100; i++)
        told += happen(&it, FE_RARE_CONNECTION, 1, 5000000 + i, false);

    CHECK_INT(3, told);
    CHECK_INT(97, fe_rare_count(&it.rare).left_out);
    options.connection_rate_max = 0;
    put_options(&it, &options);
    CHECK(!happen(&it, FE_RARE_CONNECTION, 1, 90000000, true));
    CHECK_INT(97, fe_rare_count(&it.rare).left_out); /* none are wanted */
    close_all(&it);
}

TEST(a_full_ring_loses_the_newest_and_counts_it)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    options.ring_bytes = 4 * sizeof(fe_rare_event);
    open_with(&it, &options);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 6; i++)
            CHECK_INT(i < 4, happen(&it, FE_RARE_FLUSH, 10 + i, 20, false));
        CHECK_INT(4, take(&it));
        for (uint64_t i = 0; i < 4; i++)
            CHECK(it.taken[i].began == 10 + i);
    }
    CHECK_INT(6, fe_rare_count(&it.rare).dropped);
    close_all(&it);
}

TEST(what_happens_in_an_event_or_a_command_is_below_it)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    open_with(&it, &options);
    fe_rare_event flush, epoch;
    CHECK(fe_rare_begin(&it.rare, &flush, FE_RARE_FLUSH, 1));
    it.rare.parent = &flush;
    CHECK(fe_rare_begin(&it.rare, &epoch, FE_RARE_EPOCH, 2));
    CHECK(epoch.parent_id == flush.span_id && epoch.span_id != flush.span_id);
    CHECK(memcmp(epoch.trace_id, flush.trace_id, 16) == 0);
    it.rare.parent = NULL;

    fe_recorder *recorder = fe_recorder_new(&it.telemetry);
    CHECK(recorder != NULL);
    CHECK(fe_rare_begin(&it.rare, &epoch, FE_RARE_EPOCH, 2) && epoch.parent_id == 0);
    CHECK(fe_recorder_begin(recorder, &recorder->draft, NULL));
    CHECK(fe_rare_begin(&it.rare, &epoch, FE_RARE_EPOCH, 2));
    fe_ending ending = {.ticks = 1};
    CHECK(fe_recorder_keep(recorder, &recorder->draft, &ending));
    CHECK(epoch.parent_id == recorder->draft.span_id && epoch.parent_id != 0);
    CHECK(memcmp(epoch.trace_id, recorder->draft.parent.trace_id, 16) == 0);
    CHECK(fe_rare_begin(&it.rare, &flush, FE_RARE_FLUSH, 3) && flush.parent_id == 0);
    recorder->draft.flags &= (uint16_t)~FE_TRACE_SAMPLED; /* it may not be kept */
    CHECK(!fe_rare_begin(&it.rare, &epoch, FE_RARE_EPOCH, 2));
    close_all(&it);
}

TEST(a_long_text_is_cut)
{
    fe_rare_event event = {0};
    uint8_t much[FE_RARE_TEXT_MAX + 1];
    memset(much, 'a', sizeof much);

    fe_rare_set_text(&event, (fe_bytes){much, sizeof much});
    CHECK_INT(FE_RARE_TEXT_MAX, event.text_len);
    fe_rare_set_text(&event, (fe_bytes){NULL, 0});
    CHECK_INT(0, event.text_len);
}

int main(void)
{
    RUN(without_traces_there_is_nothing);
    RUN(a_ring_that_is_half_full_is_told);
    RUN(what_was_begun_before_traces_ended_is_not_told);
    RUN(events_are_sampled_and_retained_as_commands_are);
    RUN(a_ratio_decides_by_the_trace_id_and_is_told);
    RUN(a_ratio_of_the_rest_counts_for_events_as_well);
    RUN(what_a_rule_or_a_rate_has_kept_tells_no_threshold);
    RUN(connections_have_a_rate_and_the_rest_is_counted);
    RUN(a_full_ring_loses_the_newest_and_counts_it);
    RUN(what_happens_in_an_event_or_a_command_is_below_it);
    RUN(a_long_text_is_cut);
    return check_done();
}
