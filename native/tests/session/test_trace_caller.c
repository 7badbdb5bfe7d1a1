/* Who a record says has called: the connection, its traceparent and baggage, and EXEC above its commands. */
#include "tests/check.h"

#include "tests/session/trace_rig.h"

TEST(an_attribute_names_the_caller)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "|2\r\n+traceparent\r\n+" CALLER "\r\n+tracestate\r\n+a=1\r\nGET k\r\n"
                 "|2\r\n+traceparent\r\n+" CALLER "\r\n+tracestate\r\n+A=1\r\nGET k\r\n"
                 "|1\r\n+traceparent\r\n+00-wrong\r\nGET k\r\n"
                 "|1\r\n+traceparent\r\n+00-" TRACE "-" SPAN "-00\r\nGET k\r\n"
                 "GET k\r\n");

    taken all = take(&it);
    CHECK_INT(4, all.count);
    check_trace(all.at[0], TRACE);
    CHECK(all.at[0]->parent_id == 0x00f067aa0ba902b7);
    CHECK(all.at[0]->flags & FE_TRACE_REMOTE_PARENT);
    check_text(all.at[0], FE_TEXT_TRACESTATE, "a=1");
    check_text(all.at[1], FE_TEXT_TRACESTATE, "");
    check_trace(all.at[1], TRACE);
    CHECK(all.at[2]->parent_id == 0 && all.at[3]->parent_id == 0);
    rig_close(&it);
}

TEST(a_client_that_came_elsewhere_says_where)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS},
                                    .retention.slow_us = -1,
                                    .ring_bytes = 1,
                                    .names_place = true,
                                    .place_len = 14,
                                    .place = "127.0.0.1:6379"};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *here = rig_connect(&it);
    options.place_len = 0;
    rig_record(&it, &options);
    peer *elsewhere = rig_connect(&it);

    rig_say(here, "GET k\r\n");
    rig_say(elsewhere, "GET k\r\n");

    taken all = take(&it);
    check_text(all.at[0], FE_TEXT_SERVER, "");
    check_text(all.at[1], FE_TEXT_SERVER, "127.0.0.1:6379");
    rig_close(&it);
}

TEST(commands_of_a_transaction_are_children_of_exec)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "MULTI\r\n");
    rig_say(one, "SET a 1\r\n");
    rig_say(one, "INCR a\r\n");
    rig_say(one, "LPUSH\r\n");
    rig_say(one, "DISCARD\r\n");
    rig_say(one, "MULTI\r\nSET a 1\r\nGET a\r\n");
    rig_say(one, ATTRIBUTE "EXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "multi ? discard multi set get exec");
    CHECK_INT(counted(&it) + 1, all.count);
    const fe_trace_record *exec = all.at[6];
    check_trace(exec, TRACE);
    CHECK(exec->parent_id == 0x00f067aa0ba902b7);
    CHECK_INT(0, exec->hits);
    CHECK_INT(16, exec->reply_bytes);
    for (uint32_t i = 4; i < 6; i++) {
        check_trace(all.at[i], TRACE);
        CHECK(all.at[i]->parent_id == exec->span_id);
        CHECK_INT(FE_TRACE_LOCAL_PARENT | FE_TRACE_IN_EXEC,
                  all.at[i]->flags & (FE_TRACE_LOCAL_PARENT | FE_TRACE_IN_EXEC |
                                      FE_TRACE_REMOTE_PARENT | FE_TRACE_PIPELINED));
        CHECK_INT(i - 4, all.at[i]->batch_index);
        CHECK_INT(2, all.at[i]->batch_size);
        check_order(all.at[i]);
    }
    CHECK_INT(1, all.at[5]->hits);
    check_order(exec);
    rig_close(&it);
}

/* A helper puts the same attribute before each command of a pipeline. */
TEST(a_queued_command_with_the_callers_attribute_stays_a_child)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, ATTRIBUTE "MULTI\r\n" ATTRIBUTE "GET a\r\n"
                           "|1\r\n+traceparent\r\n+00-" OTHER_TRACE "-" SPAN
                           "-01\r\nGET b\r\n" ATTRIBUTE "EXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "multi get get exec");
    CHECK(all.at[1]->parent_id == all.at[3]->span_id);
    check_trace(all.at[1], TRACE);
    CHECK(all.at[2]->parent_id == 0x00f067aa0ba902b7);
    check_trace(all.at[2], OTHER_TRACE);
    CHECK(all.at[2]->flags & FE_TRACE_IN_EXEC);
    rig_close(&it);
}

TEST(traceparent_names_the_caller_of_the_next_command)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, "TRACEPARENT " CALLER " a=1\r\n", "+OK\r\n");
    rig_say(one, "GET k\r\nGET k\r\n");
    rig_say(one, "TRACEPARENT " CALLER "\r\nPYECHO x\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_pump(&it);

    taken all = take(&it);
    check_names(&it, &all, "traceparent get get traceparent pyecho");
    check_trace(all.at[0], TRACE);
    CHECK(all.at[0]->parent_id == 0x00f067aa0ba902b7);
    check_trace(all.at[1], TRACE);
    CHECK(all.at[1]->parent_id == 0x00f067aa0ba902b7);
    check_text(all.at[1], FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[2]->parent_id == 0);
    CHECK(all.at[4]->parent_id == 0x00f067aa0ba902b7);
    rig_say(one, "TRACEPARENT " CALLER "\r\n");
    rig_hang_up(one); /* what is left over goes with it */
    rig_close(&it);
}

TEST(callers_can_be_ignored)
{
    fe_telemetry_options options = {.traces = true,
                                    .ignores_callers = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS, .parent_based = true},
                                    .retention.slow_us = -1,
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, ATTRIBUTE "GET k\r\nTRACEPARENT " CALLER " a=1\r\nGET k\r\n"
                           "|2\r\n+traceparent\r\n+00-" TRACE "-" SPAN
                           "-00\r\n+tracestate\r\n+a=1\r\nGET k\r\n");
    rig_say(one, "MULTI\r\n" ATTRIBUTE "GET k\r\n" ATTRIBUTE "EXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get traceparent get get multi get exec");
    for (uint32_t i = 0; i < all.count; i++) {
        CHECK_INT(FE_TRACE_SAMPLED, all.at[i]->flags & (FE_TRACE_SAMPLED | FE_TRACE_REMOTE_PARENT));
        CHECK(all.at[i]->parent_id == (i == 5 ? all.at[6]->span_id : 0));
        check_text(all.at[i], FE_TEXT_TRACESTATE, "");
    }
    rig_close(&it);
}

TEST(traceparent_before_multi_holds_for_the_transaction)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "TRACEPARENT " CALLER " a=1\r\nMULTI\r\nGET a\r\n");
    CHECK_SAYS(one, "TRACEPARENT 00-" OTHER_TRACE "-" SPAN "-01\r\n",
               "+OK\r\n+OK\r\n+QUEUED\r\n+OK\r\n");
    rig_say(one, "GET b\r\nGET c\r\nGET\r\nDISCARD\r\n");
    rig_say(one, "TRACEPARENT " CALLER " a=1\r\nMULTI\r\nGET a\r\n");
    rig_say(one, "TRACEPARENT 00-" OTHER_TRACE "-" SPAN "-01\r\n");
    rig_say(one, "GET b\r\nGET c\r\nEXEC\r\nGET d\r\n");

    taken all = take(&it);
    check_names(&it, &all,
                "traceparent multi traceparent get discard traceparent multi traceparent "
                "get get get exec get");
    static const char *const traces[] = {TRACE, TRACE,       OTHER_TRACE, TRACE,
                                         TRACE, TRACE,       TRACE,       OTHER_TRACE,
                                         TRACE, OTHER_TRACE, TRACE,       TRACE};
    for (uint32_t i = 0; i < 12; i++)
        check_trace(all.at[i], traces[i]);
    const fe_trace_record *exec = all.at[11];
    CHECK(exec->parent_id == 0x00f067aa0ba902b7);
    check_text(exec, FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[8]->parent_id == exec->span_id);
    check_text(all.at[8], FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[9]->parent_id == 0x00f067aa0ba902b7);
    CHECK(all.at[10]->parent_id == exec->span_id);
    CHECK(all.at[12]->parent_id == 0);
    check_text(all.at[2], FE_TEXT_TRACESTATE, ""); /* of MULTI's caller, who is another */
    check_text(all.at[7], FE_TEXT_TRACESTATE, "");
    rig_close(&it);
}

TEST(a_malformed_traceparent_changes_nothing)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "TRACEPARENT " CALLER " a=1\r\n");
    CHECK_SAYS(one,
               "TRACEPARENT zz\r\nTRACEPARENT\r\n|1\r\n+traceparent\r\n+00-" OTHER_TRACE "-" SPAN
               "-01\r\nTRACEPARENT zz\r\n",
               "+OK\r\n-ERR invalid traceparent\r\n"
               "-ERR wrong number of arguments for 'traceparent' command\r\n"
               "-ERR invalid traceparent\r\n");
    rig_say(one, "GET k\r\nGET k\r\n");
    rig_say(one, "MULTI\r\nTRACEPARENT " CALLER "\r\nTRACEPARENT zz\r\nGET k\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all,
                "traceparent traceparent traceparent traceparent get get multi traceparent "
                "traceparent get exec");
    CHECK(all.at[1]->parent_id == 0 && all.at[2]->parent_id == 0);
    check_trace(all.at[3], OTHER_TRACE);
    check_trace(all.at[4], TRACE);
    CHECK(all.at[4]->parent_id == 0x00f067aa0ba902b7);
    check_text(all.at[4], FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[5]->parent_id == 0);
    check_trace(all.at[9], TRACE);
    rig_close(&it);
}

TEST(baggage_is_picked)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS},
                                    .retention.slow_us = -1,
                                    .ring_bytes = 1,
                                    .baggage_len = 6,
                                    .baggage = "tenant"};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "|2\r\n+traceparent\r\n+" CALLER "\r\n+baggage\r\n+tenant=acme,x=1\r\nGET k\r\n");

    check_text(take(&it).at[0], FE_TEXT_BAGGAGE, "tenant=acme");
    rig_close(&it);
}

/* A bulk of so many bytes. */
static char *put_bulk(char *at, uint32_t len)
{
    at += sprintf(at, "$%u\r\n", len);
    memset(at, 'x', len);
    memcpy(at + len, "\r\n", 2);
    return at + len + 2;
}

/* A command that waits keeps what came along: not what nobody is going to read. */
TEST(texts_that_are_too_long_are_not_kept)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);
    static char text[20000];
    char *at = text + sprintf(text, "|3\r\n+traceparent\r\n+%s\r\n+tracestate\r\n", CALLER);
    at = put_bulk(at, FE_TRACESTATE_MAX + 1);
    at = put_bulk(at + sprintf(at, "+baggage\r\n"), FE_BAGGAGE_MAX + 1);
    memcpy(at, "PYECHO x\r\n", 11);

    rig_say(one, text);

    CHECK(one->session->parked != NULL);
    CHECK(one->session->parked->state.len == 0 && one->session->parked->baggage.len == 0);
    CHECK(one->session->parked->mark == NULL);
    CHECK(rig_answer(&it, "+x\r\n", false));
    check_trace(take(&it).at[0], TRACE);
    rig_close(&it);
}

int main(void)
{
    RUN(an_attribute_names_the_caller);
    RUN(a_client_that_came_elsewhere_says_where);
    RUN(commands_of_a_transaction_are_children_of_exec);
    RUN(a_queued_command_with_the_callers_attribute_stays_a_child);
    RUN(traceparent_names_the_caller_of_the_next_command);
    RUN(callers_can_be_ignored);
    RUN(traceparent_before_multi_holds_for_the_transaction);
    RUN(a_malformed_traceparent_changes_nothing);
    RUN(baggage_is_picked);
    RUN(texts_that_are_too_long_are_not_kept);
    return check_done();
}
