/* TRACEPARENT and what HELLO says about it. */
#include "tests/check.h"

#include "tests/command/harness.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define CALLER "00-" TRACE "-" SPAN "-01"

static void trace(harness *it, bool traces)
{
    fe_telemetry_options options = {.traces = traces, .retention.slow_us = -1, .ring_bytes = 1};
    CHECK(fe_telemetry_set(&it->engine->telemetry, &options));
}

static void check_mark(const harness *it, uint64_t span_id, const char *state)
{
    const fe_trace_mark *mark = it->client.mark;
    CHECK(mark != NULL);
    if (mark == NULL) return;
    CHECK(mark->parent.span_id == span_id);
    CHECK_BYTES(state, strlen(state), mark->text, mark->state_len);
}

TEST(the_caller_of_the_next_command_is_remembered)
{
    harness it;
    harness_open(&it);
    trace(&it, true);

    CHECK_SCRIPT(&it, "TRACEPARENT " CALLER " a=1", "+OK");

    check_mark(&it, 0x00f067aa0ba902b7, "a=1");
    CHECK_SCRIPT(&it, "TRACEPARENT " CALLER, "+OK");
    check_mark(&it, 0x00f067aa0ba902b7, "");
    CHECK(fe_client_owned_bytes(&it.client) >= fe_trace_mark_size(it.client.mark));
    harness_close(&it);
}

TEST(a_malformed_value_changes_nothing)
{
    harness it;
    harness_open(&it);
    trace(&it, true);

    CHECK_SCRIPT(&it, "TRACEPARENT " CALLER, "+OK", "TRACEPARENT 00-zz", "-ERR invalid traceparent",
                 "TRACEPARENT " CALLER "x", "-ERR invalid traceparent", "TRACEPARENT a b c",
                 "-ERR wrong number of arguments for 'traceparent' command");

    check_mark(&it, 0x00f067aa0ba902b7, "");
    harness_close(&it);
}

TEST(a_bad_tracestate_drops_only_itself)
{
    harness it;
    harness_open(&it);
    trace(&it, true);

    CHECK_SCRIPT(&it, "TRACEPARENT " CALLER " A=1", "+OK");

    check_mark(&it, 0x00f067aa0ba902b7, "");
    harness_close(&it);
}

TEST(without_traces_it_is_answered_and_forgotten)
{
    harness it;
    harness_open(&it);

    CHECK_SCRIPT(&it, "TRACEPARENT " CALLER, "+OK", "TRACEPARENT x", "-ERR invalid traceparent");

    CHECK(it.client.mark == NULL);
    harness_close(&it);
}

TEST(hello_tells_of_it_while_commands_are_traced)
{
    harness it;
    harness_open(&it);
    it.client.authenticated = true;
    static const char plain[] = "role $6 master $7 modules *0";
    static const char more[] =
        "role $6 master $7 modules *0 $11 traceparent *2 $9 attribute $7 command";

    const char *reply = harness_run(&it, "HELLO 2");
    CHECK(strncmp(reply, "*14 ", 4) == 0);
    CHECK(strcmp(reply + strlen(reply) - strlen(plain), plain) == 0);
    trace(&it, true);
    reply = harness_run(&it, "HELLO 2");
    CHECK(strncmp(reply, "*16 ", 4) == 0);
    CHECK(strcmp(reply + strlen(reply) - strlen(more), more) == 0);
    trace(&it, false);
    CHECK(strncmp(harness_run(&it, "HELLO 2"), "*14 ", 4) == 0);
    harness_close(&it);
}

int main(void)
{
    RUN(the_caller_of_the_next_command_is_remembered);
    RUN(a_malformed_value_changes_nothing);
    RUN(a_bad_tracestate_drops_only_itself);
    RUN(without_traces_it_is_answered_and_forgotten);
    RUN(hello_tells_of_it_while_commands_are_traced);
    return check_done();
}
