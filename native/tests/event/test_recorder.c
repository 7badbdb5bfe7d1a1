/* The recorder: who is kept, which ids and times a record has, and that nothing is lost but what is counted. */
#include "tests/check.h"

#include "event/recorder.h"

typedef struct fixture {
    fe_alloc alloc;
    fe_telemetry telemetry;
    fe_recorder *recorder;
    uint8_t drained[1 << 16];
    size_t len;
} fixture;

static fe_telemetry_options options_of(fe_sampler sampler)
{
    return (fe_telemetry_options){
        .traces = true, .sampler = sampler, .retention.slow_us = -1, .ring_bytes = 1};
}

static void open_with(fixture *it, fe_telemetry_options options)
{
    memset(it, 0, sizeof *it);
    fe_alloc_init(&it->alloc);
    fe_telemetry_init(&it->telemetry, &it->alloc, 1.0); /* a tick is a microsecond */
    it->recorder = fe_recorder_new(&it->telemetry);
    CHECK(it->recorder != NULL && !fe_recorder_is_on(it->recorder));
    CHECK(fe_telemetry_set(&it->telemetry, &options));
    CHECK(fe_recorder_is_on(it->recorder));
}

static void close_all(fixture *it)
{
    fe_telemetry_destroy(&it->telemetry);
    CHECK_INT(0, fe_alloc_used_all(&it->alloc));
}

static void collect(void *context, const uint8_t *records, size_t len)
{
    fixture *it = context;
    memcpy(it->drained + it->len, records, len);
    it->len += len;
}

static const fe_trace_record *drain(fixture *it)
{
    it->len = 0;
    fe_event_ring_publish(&it->recorder->ring);
    fe_telemetry_drain(&it->telemetry, collect, it);
    return it->len == 0 ? NULL : (const void *)it->drained;
}

static const fe_sampler always = {.kind = FE_SAMPLER_ALWAYS, .parent_based = true};

static fe_draft begun_at(uint64_t ticks)
{
    return (fe_draft){
        .start = ticks - 4, .received = ticks - 3, .parsed = ticks - 1, .begun = ticks};
}

/* One command from begin to record. */
static bool run(fixture *it, const fe_trace_parent *parent, fe_ending ending)
{
    fe_draft draft = begun_at(1000);
    if (!fe_recorder_begin(it->recorder, &draft, parent)) return false;
    if (!fe_recorder_keep(it->recorder, &draft, &ending)) return false;
    CHECK(fe_recorder_make(it->recorder, &draft, 1000 + ending.ticks) != NULL);
    return true;
}

TEST(a_ring_that_is_half_full_is_told)
{
    static fixture it;
    open_with(&it, options_of(always));
    fe_recorder *other = fe_recorder_new(&it.telemetry);
    CHECK(other != NULL);
    uint32_t half = FE_EVENT_RING_SIZE_MIN / sizeof(fe_trace_record) / 2;
    for (uint32_t i = 0; i + 1 < half; i++)
        CHECK(run(&it, NULL, (fe_ending){.ticks = 7}));
    fe_event_ring_publish(&it.recorder->ring);
    CHECK(!fe_telemetry_is_pressed(&it.telemetry));
    CHECK(run(&it, NULL, (fe_ending){.ticks = 7}));
    fe_event_ring_publish(&it.recorder->ring);
    CHECK(fe_telemetry_is_pressed(&it.telemetry));
    CHECK(drain(&it) != NULL);
    CHECK(!fe_telemetry_is_pressed(&it.telemetry));
    close_all(&it);
}

TEST(a_root_has_ids_of_its_own)
{
    static fixture it;
    open_with(&it, options_of(always));

    CHECK(run(&it, NULL, (fe_ending){.ticks = 7}));
    CHECK(run(&it, NULL, (fe_ending){.ticks = 7}));
    const fe_trace_record *first = drain(&it), *second = first + 1;

    CHECK_INT(256, it.len);
    CHECK_INT(FE_TRACE_SAMPLED, first->flags);
    CHECK(first->parent_id == 0 && first->span_id != 0 && first->span_id != second->span_id);
    CHECK(memcmp(first->trace_id, second->trace_id, 16) != 0);
    CHECK_INT(996, first->start_ticks);
    CHECK_INT(1, first->stages[FE_STAGE_RECEIVED]);
    CHECK_INT(3, first->stages[FE_STAGE_PARSED]);
    CHECK_INT(4, first->stages[FE_STAGE_BEGUN]);
    CHECK_INT(4, first->stages[FE_STAGE_LOCATED]);
    CHECK_INT(11, first->stages[FE_STAGE_ENDED]);
    CHECK_INT(11, first->stages[FE_STAGE_WRITTEN]);
    close_all(&it);
}

TEST(a_caller_gives_trace_and_parent)
{
    static fixture it;
    open_with(&it, options_of(always));
    fe_trace_parent yes = {.trace_id = {1, 2, 3}, .span_id = 9, .flags = FE_PARENT_SAMPLED};
    fe_trace_parent no = yes;
    no.flags = 0;

    CHECK(!run(&it, &no, (fe_ending){.failed = true}));
    CHECK(run(&it, &yes, (fe_ending){0}));
    const fe_trace_record *record = drain(&it);

    CHECK_INT(128, it.len);
    CHECK(record->parent_id == 9 && record->span_id != 0 && record->span_id != 9);
    CHECK(memcmp(yes.trace_id, record->trace_id, 16) == 0);
    close_all(&it);
}

/* The record's id is one that the sampler takes: the trace id decides, not a coin. */
TEST(a_ratio_keeps_by_the_id)
{
    static fixture it;
    fe_sampler quarter = fe_sampler_ratio(0.25);
    open_with(&it, options_of(quarter));
    uint32_t kept = 0;
    for (int i = 0; i < 4000; i++) {
        if (!run(&it, NULL, (fe_ending){0})) continue;
        kept++;
        const fe_trace_record *record = drain(&it);
        CHECK(fe_sampler_takes(&quarter, fe_sampler_low(record->trace_id)));
    }
    CHECK(kept > 800 && kept < 1200); /* seven deviations to each side */
    close_all(&it);
}

/* Only of traces that begin here, and only of what no rule would have kept besides. */
TEST(a_draft_knows_the_threshold_that_chose_it)
{
    static fixture it;
    fe_sampler half = fe_sampler_ratio(0.5);
    fe_telemetry_options options = options_of(half);
    options.retention.errors = true;
    open_with(&it, options);
    fe_trace_parent caller = {.trace_id = {1}, .span_id = 9, .flags = FE_PARENT_SAMPLED};
    uint32_t told = 0, untold = 0;

    for (int i = 0; i < 200; i++) {
        fe_draft draft = begun_at(1000);
        CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
        bool sampled = (draft.flags & FE_TRACE_SAMPLED) != 0;
        fe_ending ending = {.failed = i % 2 != 0};
        CHECK(draft.threshold == 1ULL << 55);
        CHECK_INT(sampled || ending.failed, fe_recorder_keep(it.recorder, &draft, &ending));
        CHECK(draft.threshold == (ending.failed ? 0 : 1ULL << 55));
        told += sampled;
        untold += !sampled;
        draft = begun_at(1000);
        CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
        fe_recorder_adopt(it.recorder, &draft, &caller);
        CHECK(draft.threshold == 0);
    }
    CHECK(told > 0 && untold > 0);
    options.sampler = always;
    CHECK(fe_telemetry_set(&it.telemetry, &options));
    fe_draft draft = begun_at(1000);
    CHECK(fe_recorder_begin(it.recorder, &draft, NULL) && draft.threshold == 0);
    close_all(&it);
}

/* A larger ratio at the end keeps more by the same number, and is what all of it was kept by. */
TEST(a_ratio_of_the_rest_goes_on_from_the_samplers)
{
    static fixture it;
    fe_telemetry_options options = options_of(fe_sampler_ratio(0.25));
    options.retention.errors = true;
    options.retention.rest = fe_sampler_ratio(0.5);
    options.retention.rate_max = 1; /* of errors */
    open_with(&it, options);
    CHECK(it.telemetry.threshold_sampled == 3ULL << 54);
    uint32_t sampled = 0, rest = 0, failed = 0;
    for (int i = 0; i < 1000; i++) {
        fe_draft draft = begun_at(1000);
        CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
        fe_ending ending = {.failed = i >= 900};
        CHECK_INT(fe_recorder_is_unwanted(it.recorder, &draft, 1000), draft.low >> 63);
        bool kept = fe_recorder_keep(it.recorder, &draft, &ending);
        bool failed_only = ending.failed && draft.low >> 63 != 0;
        CHECK_INT(failed_only ? failed++ == 0 : draft.low >> 63 == 0, kept);
        if (!kept) continue;
        CHECK(draft.threshold == (ending.failed ? 0 : 1ULL << 55));
        uint16_t expected = draft.low >> 62 == 0 ? FE_TRACE_SAMPLED : FE_TRACE_RETAINED;
        if (ending.failed) expected |= FE_TRACE_RETAINED;
        CHECK_INT(expected, draft.flags);
        sampled += expected == FE_TRACE_SAMPLED;
        rest += expected == FE_TRACE_RETAINED;
    }
    CHECK(sampled > 100 && rest > 100 && failed > 1);
    close_all(&it);
}

TEST(a_smaller_ratio_of_the_rest_changes_nothing)
{
    static fixture it;
    fe_telemetry_options options = options_of(fe_sampler_ratio(0.5));
    options.retention.rest = fe_sampler_ratio(0.25);
    open_with(&it, options);
    for (int i = 0; i < 200; i++) {
        fe_draft draft = begun_at(1000);
        fe_ending ending = {0};
        CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
        CHECK_INT(draft.low >> 63 == 0, fe_recorder_keep(it.recorder, &draft, &ending));
        CHECK_INT(draft.low >> 63 == 0 ? FE_TRACE_SAMPLED : 0, draft.flags);
        CHECK(draft.threshold == 1ULL << 55);
    }
    options.retention.rest = always;
    CHECK(fe_telemetry_set(&it.telemetry, &options));
    CHECK(it.telemetry.threshold == 0 && it.telemetry.threshold_sampled == 1ULL << 55);
    close_all(&it);
}

TEST(retention_keeps_what_was_not_sampled)
{
    static fixture it;
    fe_telemetry_options options = options_of((fe_sampler){.kind = FE_SAMPLER_NEVER});
    options.retention = (fe_retention){.errors = true, .disk = true, .slow_us = 50};
    open_with(&it, options);

    CHECK(!run(&it, NULL, (fe_ending){.ticks = 49}));
    CHECK(run(&it, NULL, (fe_ending){.ticks = 50}));
    CHECK(run(&it, NULL, (fe_ending){.failed = true}));
    CHECK(run(&it, NULL, (fe_ending){.disk = true}));
    const fe_trace_record *record = drain(&it);

    CHECK_INT(3 * 128, it.len);
    CHECK_INT(FE_TRACE_RETAINED, record->flags);
    CHECK(record->span_id != 0 && fe_sampler_low(record->trace_id) != 0);
    close_all(&it);
}

TEST(retention_marks_what_was_sampled_as_well)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    options.retention.errors = true;
    options.retention.rest = always; /* what is sampled is no rest */
    open_with(&it, options);

    CHECK(run(&it, NULL, (fe_ending){.failed = true}));
    CHECK(run(&it, NULL, (fe_ending){0}));
    const fe_trace_record *record = drain(&it);

    CHECK_INT(FE_TRACE_SAMPLED | FE_TRACE_RETAINED, record[0].flags);
    CHECK_INT(FE_TRACE_SAMPLED, record[1].flags);
    close_all(&it);
}

TEST(what_callers_declined_is_kept_within_the_rate)
{
    static fixture it;
    fe_telemetry_options options = options_of(always);
    options.retention =
        (fe_retention){.errors = true, .slow_us = -1, .unsampled = true, .rate_max = 3};
    open_with(&it, options);
    fe_trace_parent no = {.trace_id = {1}, .span_id = 9};

    for (int i = 0; i < 5; i++)
        CHECK_INT(i < 3, run(&it, &no, (fe_ending){.failed = true}));
    CHECK(!run(&it, &no, (fe_ending){0}));
    const fe_trace_record *record = drain(&it);

    CHECK_INT(3 * 128, it.len);
    CHECK_INT(FE_TRACE_RETAINED, record->flags);
    fe_telemetry_counts counts;
    fe_telemetry_count(&it.telemetry, &counts);
    CHECK_INT(2, counts.declined);
    close_all(&it);
}

TEST(a_parent_of_what_is_kept_is_kept)
{
    static fixture it;
    fe_telemetry_options options = options_of((fe_sampler){.kind = FE_SAMPLER_NEVER});
    options.retention.errors = true;
    open_with(&it, options);
    fe_draft draft = begun_at(1000);

    CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
    fe_recorder_name(it.recorder, &draft);
    uint64_t name = draft.span_id;
    draft.keep = true;

    CHECK(fe_recorder_keep(it.recorder, &draft, &(fe_ending){0}));
    CHECK(draft.span_id == name && name != 0);
    CHECK_INT(FE_TRACE_RETAINED, draft.flags);
    close_all(&it);
}

TEST(stamping_gives_the_last_stages_and_the_size_of_the_batch)
{
    static fixture it;
    open_with(&it, options_of(always));
    uint64_t from = it.recorder->ring.head;
    CHECK(run(&it, NULL, (fe_ending){.ticks = 10}));
    CHECK(run(&it, NULL, (fe_ending){.ticks = 10}));

    it.recorder->settled = 1020;
    fe_recorder_stamp(it.recorder, from, it.recorder->ring.head, 2, 1030);
    const fe_trace_record *record = drain(&it);

    CHECK_INT(24, record->stages[FE_STAGE_SETTLED]);
    CHECK_INT(34, record->stages[FE_STAGE_WRITTEN]);
    CHECK_INT(2, record->batch_size);
    CHECK(record->flags & FE_TRACE_PIPELINED);
    CHECK_INT(34, record[1].stages[FE_STAGE_WRITTEN]);
    close_all(&it);
}

TEST(what_is_published_is_not_stamped)
{
    static fixture it;
    open_with(&it, options_of(always));
    uint64_t from = it.recorder->ring.head;
    CHECK(run(&it, NULL, (fe_ending){.ticks = 10}));
    fe_event_ring_publish(&it.recorder->ring);

    fe_recorder_stamp(it.recorder, from, it.recorder->ring.head, 1, 5000);
    const fe_trace_record *record = drain(&it);

    CHECK_INT(14, record->stages[FE_STAGE_WRITTEN]);
    close_all(&it);
}

/* A command of an hour has times in coarser units, and stages in order. */
TEST(long_times_are_shifted)
{
    static fixture it;
    open_with(&it, options_of(always));
    uint64_t hour = 3600ULL * 3000000000u, from = it.recorder->ring.head;
    fe_draft draft = begun_at(1000);
    draft.waited = hour / 2;

    CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
    CHECK(fe_recorder_keep(it.recorder, &draft, &(fe_ending){0}));
    CHECK(fe_recorder_make(it.recorder, &draft, 1000 + hour) != NULL);
    it.recorder->settled = 1000 + hour;
    fe_recorder_stamp(it.recorder, from, it.recorder->ring.head, 1, 1000 + 9 * hour);
    const fe_trace_record *record = drain(&it);

    uint64_t unit = 1ULL << record->shift;
    CHECK(record->shift > 0);
    CHECK(hour + 4 - fe_trace_stage_ticks(record, FE_STAGE_ENDED) < 2 * unit);
    CHECK(9 * hour + 4 - fe_trace_stage_ticks(record, FE_STAGE_WRITTEN) < unit);
    CHECK(hour / 2 - ((uint64_t)record->waited << record->shift) < 2 * unit);
    CHECK(record->stages[FE_STAGE_WRITTEN] >> 31 == 1); /* no unit is coarser than it must be */
    close_all(&it);
}

TEST(clocks_that_run_back_make_no_stage_negative)
{
    static fixture it;
    open_with(&it, options_of(always));
    fe_draft draft = {.start = 100, .received = 90, .parsed = 105, .begun = 103, .located = 104};

    CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
    CHECK(fe_recorder_keep(it.recorder, &draft, &(fe_ending){0}));
    CHECK(fe_recorder_make(it.recorder, &draft, 99) != NULL);
    const fe_trace_record *record = drain(&it);

    CHECK_INT(0, record->stages[FE_STAGE_RECEIVED]);
    for (int i = FE_STAGE_PARSED; i < FE_STAGE_COUNT; i++)
        CHECK_INT(5, record->stages[i]);
    close_all(&it);
}

TEST(the_tail_goes_with_the_record)
{
    static fixture it;
    open_with(&it, options_of(always));

    it.recorder->texts.len = 0;
    fe_texts_put(&it.recorder->texts, FE_TEXT_KEY, FE_BYTES("user:1"));
    CHECK(run(&it, NULL, (fe_ending){0}));
    const fe_trace_record *record = drain(&it);

    CHECK_INT(160, record->size);
    fe_bytes key = fe_texts_find(record, FE_TEXT_KEY);
    CHECK_BYTES("user:1", 6, key.ptr, key.len);
    close_all(&it);
}

TEST(a_full_ring_is_counted)
{
    static fixture it;
    open_with(&it, options_of(always));
    uint32_t made = 0;
    fe_draft draft = begun_at(1000);
    CHECK(fe_recorder_begin(it.recorder, &draft, NULL));
    for (int i = 0; i < 200; i++)
        made += fe_recorder_make(it.recorder, &draft, 1000) != NULL;

    fe_telemetry_counts counts;
    fe_telemetry_count(&it.telemetry, &counts);
    CHECK_INT(FE_EVENT_RING_SIZE_MIN / 128, made);
    CHECK_INT(made, counts.records);
    CHECK_INT(200 - made, counts.dropped);
    close_all(&it);
}

TEST(what_was_recorded_can_be_read_after_it_was_switched_off)
{
    static fixture it;
    open_with(&it, options_of(always));
    CHECK(run(&it, NULL, (fe_ending){0}));
    fe_telemetry_options off = {0};

    CHECK(fe_telemetry_set(&it.telemetry, &off));

    CHECK(!fe_recorder_is_on(it.recorder));
    CHECK(drain(&it) != NULL);
    close_all(&it);
}

TEST(without_memory_a_recorder_stays_off)
{
    static fixture it;
    memset(&it, 0, sizeof it);
    fe_alloc_init(&it.alloc);
    fe_telemetry_init(&it.telemetry, &it.alloc, 1.0);
    it.recorder = fe_recorder_new(&it.telemetry);
    fe_telemetry_options options = options_of(always);
    fe_alloc_fail_after(&it.alloc, 0);

    CHECK(!fe_telemetry_set(&it.telemetry, &options));
    CHECK(!fe_recorder_is_on(it.recorder));
    CHECK(fe_recorder_new(&it.telemetry) == NULL);
    fe_alloc_fail_after(&it.alloc, -1);
    CHECK(fe_telemetry_set(&it.telemetry, &options));
    CHECK(fe_recorder_is_on(it.recorder));
    close_all(&it);
}

TEST(a_mark_owns_its_texts)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_trace_parent parent = {.trace_id = {7}, .span_id = 8};

    fe_trace_mark *mark = fe_trace_mark_new(&alloc, &parent, FE_BYTES("a=1"), FE_BYTES("b=22"));

    CHECK_BYTES("a=1b=22", 7, mark->text, mark->state_len + mark->baggage_len);
    CHECK(mark->parent.span_id == 8);
    CHECK_INT(sizeof *mark + 7, fe_trace_mark_size(mark));
    fe_alloc_give(&alloc, FE_ALLOC_CLIENT, mark);
    fe_alloc_fail_after(&alloc, 0);
    CHECK(fe_trace_mark_new(&alloc, &parent, FE_BYTES(""), FE_BYTES("")) == NULL);
}

int main(void)
{
    RUN(a_ring_that_is_half_full_is_told);
    RUN(a_root_has_ids_of_its_own);
    RUN(a_caller_gives_trace_and_parent);
    RUN(a_ratio_keeps_by_the_id);
    RUN(a_draft_knows_the_threshold_that_chose_it);
    RUN(a_ratio_of_the_rest_goes_on_from_the_samplers);
    RUN(a_smaller_ratio_of_the_rest_changes_nothing);
    RUN(retention_keeps_what_was_not_sampled);
    RUN(retention_marks_what_was_sampled_as_well);
    RUN(what_callers_declined_is_kept_within_the_rate);
    RUN(a_parent_of_what_is_kept_is_kept);
    RUN(stamping_gives_the_last_stages_and_the_size_of_the_batch);
    RUN(what_is_published_is_not_stamped);
    RUN(long_times_are_shifted);
    RUN(clocks_that_run_back_make_no_stage_negative);
    RUN(the_tail_goes_with_the_record);
    RUN(a_full_ring_is_counted);
    RUN(what_was_recorded_can_be_read_after_it_was_switched_off);
    RUN(without_memory_a_recorder_stays_off);
    RUN(a_mark_owns_its_texts);
    return check_done();
}
