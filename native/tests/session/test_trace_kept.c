/* Which commands are recorded, by sampler or rule, and where their records are named: thresholds, slow log, latency. */
#include "tests/check.h"

#include "tests/session/trace_rig.h"

TEST(only_a_trace_that_begins_here_tells_its_threshold)
{
    fe_telemetry_options options = {
        .traces = true,
        .sampler = {.kind = FE_SAMPLER_RATIO, .bound = UINT64_MAX, .parent_based = true},
        .retention.slow_us = -1,
        .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "GET a\r\nTRACEPARENT " CALLER " ot=th:4\r\nGET b\r\n");
    rig_say(one, "MULTI\r\nGET c\r\nEXEC\r\n");
    rig_say(one, "TRACEPARENT " CALLER "\r\nMULTI\r\nGET d\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get traceparent get multi get exec traceparent multi get exec");
    static const bool told[] = {true, false, false, true, true, true, false, false, false, false};
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t threshold = 0;
        fe_bytes text = fe_texts_find(all.at[i], FE_TEXT_THRESHOLD);
        CHECK_INT(told[i] ? sizeof threshold : 0, text.len);
        if (told[i]) memcpy(&threshold, text.ptr, sizeof threshold);
        CHECK_INT(told[i], threshold);
    }
    check_text(all.at[2], FE_TEXT_TRACESTATE, "ot=th:4");
    rig_close(&it);
}

TEST(what_a_rule_has_kept_tells_no_threshold)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_RATIO, .bound = UINT64_MAX},
                                    .retention = {.errors = true, .slow_us = -1},
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "GET a\r\nGET\r\nSET a x\r\nINCR a\r\n");
    rig_say(one, "MULTI\r\nGET a\r\nINCR a\r\nGET b\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get get set incr multi get incr get exec");
    static const bool held[] = {false, true, false, true, false, false, true, false, true};
    for (uint32_t i = 0; i < 9; i++) {
        const uint16_t both = FE_TRACE_SAMPLED | FE_TRACE_RETAINED;
        CHECK_INT(held[i] ? both : FE_TRACE_SAMPLED, all.at[i]->flags & both);
        CHECK_INT(held[i] ? 0 : sizeof(uint64_t), fe_texts_find(all.at[i], FE_TEXT_THRESHOLD).len);
    }
    rig_close(&it);
}

TEST(a_transaction_of_the_rest_tells_its_threshold)
{
    fe_telemetry_options options = {
        .traces = true,
        .retention = {.errors = true,
                      .slow_us = -1,
                      .rest = {.kind = FE_SAMPLER_RATIO, .bound = UINT64_MAX}},
        .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "SET a x\r\nMULTI\r\nGET a\r\nGET b\r\nEXEC\r\n");
    rig_say(one, "MULTI\r\nGET a\r\nINCR a\r\nGET b\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "set multi get get exec multi get incr get exec");
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_INT(FE_TRACE_RETAINED, all.at[i]->flags & (FE_TRACE_SAMPLED | FE_TRACE_RETAINED));
        bool held = i == 7 || i == 9;
        CHECK_INT(held ? 0 : sizeof(uint64_t), fe_texts_find(all.at[i], FE_TEXT_THRESHOLD).len);
    }
    rig_close(&it);
}

TEST(entries_of_the_slow_log_lead_to_their_span)
{
    fe_engine_options options = rig_options();
    options.slowlog_threshold_us = 0;
    rig it;
    rig_open_with(&it, &options);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, ATTRIBUTE "GET k\r\n");
    rig_say(one, "PYECHO x\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_pump(&it);
    rig_say(one, "WAIT 1 1\r\n");
    rig_wait_due(one);

    taken all = take(&it);
    CHECK_INT(3, all.count);
    for (uint32_t i = 0; i < 3; i++) {
        const fe_slowlog_entry *entry = fe_slowlog_get(&it.server->engine->slowlog, 2 - i);
        CHECK(entry->label.span_id == all.at[i]->span_id);
        CHECK(memcmp(entry->label.trace_id, all.at[i]->trace_id, 16) == 0);
        CHECK(entry->label.took_us >= entry->label.waited_us);
    }
    check_trace(all.at[0], TRACE);
    rig_close(&it);
}

TEST(entries_of_the_slow_log_tell_no_more_than_is_known)
{
    fe_engine_options options = rig_options();
    options.slowlog_threshold_us = 0;
    fe_telemetry_options errors = {.traces = true,
                                   .sampler = {.kind = FE_SAMPLER_NEVER},
                                   .retention = {.errors = true, .slow_us = -1},
                                   .ring_bytes = 1};
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    rig_say(one, "GET off\r\n");
    rig_record(&it, &errors);
    rig_say(one, "GET unkept\r\n");
    rig_say(one, "SET k text\r\n");
    rig_say(one, "INCR k\r\n");
    while (fe_event_ring_reserve(&it.recorder->ring, sizeof(fe_trace_record)) != NULL) {}
    rig_say(one, "INCR k\r\n"); /* the ring is full */
    static const struct {
        bool has_span, is_timed;
    } expected[] = {{false, false}, {false, true}, {false, true}, {true, true}, {false, true}};

    CHECK_INT(5, it.server->engine->slowlog.count);
    for (uint32_t i = 0; i < 5; i++) {
        const fe_trace_label *label = &fe_slowlog_get(&it.server->engine->slowlog, 4 - i)->label;
        CHECK_INT(expected[i].has_span, label->span_id != 0);
        CHECK_INT(expected[i].is_timed, label->is_timed);
        CHECK(!label->is_located);
    }
    rig_close(&it);
}

TEST(samples_of_the_latency_monitor_lead_to_their_span)
{
    fe_engine_options options = rig_options();
    options.latency_threshold_ms = 1;
    rig it;
    rig_open_with(&it, &options);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "DEBUG SLEEP 0.002\r\n");
    rig_wait_due(one);

    taken all = take(&it);
    CHECK_INT(1, all.count);
    const fe_latency_series *series = &it.server->engine->latency.series[FE_LATENCY_COMMAND];
    CHECK_INT(1, series->count);
    CHECK(fe_latency_get(series, 0)->label.span_id == all.at[0]->span_id);
    rig_close(&it);
}

TEST(only_what_a_rule_keeps_is_recorded)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_NEVER, .parent_based = true},
                                    .retention = {.errors = true, .slow_us = -1},
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one,
            "SET k v\r\nINCR k\r\nMULTI\r\nGET k\r\nINCR k\r\nEXEC\r\nMULTI\r\nGET k\r\nEXEC\r\n");
    rig_say(one, "PYECHO 1\r\n");
    CHECK(rig_answer(&it, "-ERR x\r\n", true));

    taken all = take(&it);
    check_names(&it, &all, "incr incr exec pyecho");
    CHECK_INT(FE_TRACE_RETAINED, all.at[0]->flags & (FE_TRACE_RETAINED | FE_TRACE_SAMPLED));
    CHECK(all.at[1]->parent_id == all.at[2]->span_id); /* the parent of what is kept is kept */
    CHECK_INT(FE_TRACE_RETAINED, all.at[2]->flags & (FE_TRACE_RETAINED | FE_TRACE_SAMPLED));
    rig_close(&it);
}

static taken run_program(rig *it, fe_sampler sampler)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = sampler,
                                    .retention.slow_us = 0, /* all are kept */
                                    .keys = FE_KEYS_FULL,
                                    .ring_bytes = 1};
    rig_open(it);
    rig_record(it, &options);
    peer *one = rig_connect(it);
    rig_say(one, ATTRIBUTE "SET k 1\r\nSELECT 3\r\nSET k v\r\nGET k\r\nGET none\r\nINCR k\r\n");
    rig_say(one, ATTRIBUTE "GET k\r\nSELECT 0\r\nNOSUCH 1 2 3\r\nGET\r\n");
    rig_say(one, "MULTI\r\nGET k\r\nINCR k\r\nEXEC\r\nPYECHO 1\r\nGET k\r\n");
    CHECK(rig_answer(it, "+x\r\n", false));
    rig_pump(it);
    return take(it);
}

static void check_same(const fe_trace_record *a, const fe_trace_record *b)
{
    const unsigned how = FE_TRACE_SAMPLED | FE_TRACE_RETAINED;
    CHECK_INT(a->flags & ~how, b->flags & ~how);
    CHECK_INT(a->command, b->command);
    CHECK_INT(a->result, b->result);
    CHECK_INT(a->argc, b->argc);
    CHECK_INT(a->db, b->db);
    CHECK_INT(a->tiers, b->tiers);
    CHECK_INT(a->hits, b->hits);
    CHECK_INT(a->misses, b->misses);
    CHECK_INT(a->value_bytes, b->value_bytes);
    CHECK_INT(a->request_bytes, b->request_bytes);
    CHECK_INT(a->reply_bytes, b->reply_bytes);
    CHECK_INT(a->key_index, b->key_index);
    CHECK_INT(a->disk_reads, b->disk_reads);
    CHECK_INT(a->batch_index, b->batch_index);
    CHECK_INT(a->batch_size, b->batch_size);
    CHECK_INT(a->parent_id == 0, b->parent_id == 0);
    CHECK_INT(a->waited == 0, b->waited == 0);
    CHECK_BYTES(a + 1, a->tail_len, b + 1, b->tail_len);
    check_order(b);
}

TEST(what_is_kept_at_its_end_tells_as_much_as_what_is_sampled)
{
    rig sampled, kept;
    taken a = run_program(&sampled, (fe_sampler){.kind = FE_SAMPLER_ALWAYS});
    taken b = run_program(&kept, (fe_sampler){.kind = FE_SAMPLER_NEVER});

    CHECK_INT(16, a.count);
    CHECK_INT(a.count, b.count);
    for (uint32_t i = 0; i < a.count && i < b.count; i++) {
        check_same(a.at[i], b.at[i]);
        CHECK_INT(FE_TRACE_RETAINED, b.at[i]->flags & (FE_TRACE_SAMPLED | FE_TRACE_RETAINED));
    }
    rig_close(&sampled);
    rig_close(&kept);
}

/* A command is as slow as its caller finds it: GET itself takes no time, but its bytes lay behind another's answer. */
TEST(what_waited_behind_another_command_is_slow)
{
    const int64_t slow_us = 20000000;
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_NEVER},
                                    .retention.slow_us = slow_us,
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "PYECHO 1\r\nGET k\r\nMULTI\r\nGET k\r\nEXEC\r\n");
    /* As if all of it had come so long ago. */
    uint64_t ago = (uint64_t)((double)slow_us * it.server->engine->ticks_per_us);
    one->session->parked->start -= ago;
    one->session->readable_ticks -= ago;
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_pump(&it);
    taken all = take(&it);
    check_names(&it, &all, "pyecho get multi exec"); /* not what EXEC ran, which was quick */
    rig_say(one, "GET k\r\n");
    CHECK_INT(0, take(&it).count);
    rig_close(&it);
}

int main(void)
{
    RUN(only_a_trace_that_begins_here_tells_its_threshold);
    RUN(what_a_rule_has_kept_tells_no_threshold);
    RUN(a_transaction_of_the_rest_tells_its_threshold);
    RUN(entries_of_the_slow_log_lead_to_their_span);
    RUN(entries_of_the_slow_log_tell_no_more_than_is_known);
    RUN(samples_of_the_latency_monitor_lead_to_their_span);
    RUN(only_what_a_rule_keeps_is_recorded);
    RUN(what_is_kept_at_its_end_tells_as_much_as_what_is_sampled);
    RUN(what_waited_behind_another_command_is_slow);
    return check_done();
}
