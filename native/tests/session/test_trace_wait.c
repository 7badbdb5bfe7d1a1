/* Records of commands that wait: for Python, a pause, a time, or for what was sent before them. */
#include "tests/check.h"

#include "tests/session/trace_rig.h"

/* Those that were sent before the wait know of those that had begun by then. */
TEST(a_pipeline_that_waits_stays_one)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "GET a\r\nPYECHO x\r\nGET b\r\nGET c\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_say(one, "GET d\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get pyecho get get get");
    static const uint32_t sizes[] = {2, 4, 4, 4, 1}, places[] = {0, 1, 2, 3, 0};
    for (uint32_t i = 0; i < all.count; i++) {
        CHECK_INT(sizes[i], all.at[i]->batch_size);
        CHECK_INT(places[i], all.at[i]->batch_index);
        CHECK_INT(i < 4, (all.at[i]->flags & FE_TRACE_PIPELINED) != 0);
        CHECK_INT(i < 4, all.at[i]->start_ticks == all.at[0]->start_ticks);
    }
    rig_close(&it);
}

TEST(a_command_of_python_has_waited)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "|2\r\n+traceparent\r\n+" CALLER "\r\n+tracestate\r\n+a=1\r\nPYECHO x\r\n");
    CHECK_INT(0, take(&it).count);
    CHECK(rig_answer(&it, "-WRONG it is\r\n", true));
    rig_say(one, "PYSECRET hush\r\n");
    CHECK(rig_answer(&it, "$-1\r\n", false));

    taken all = take(&it);
    check_names(&it, &all, "pyecho pysecret");
    check_trace(all.at[0], TRACE);
    check_text(all.at[0], FE_TEXT_TRACESTATE, "a=1");
    check_text(all.at[0], FE_TEXT_ERROR, "WRONG");
    CHECK_INT(FE_RESULT_ERROR, all.at[0]->result);
    CHECK_INT(FE_TRACE_PYTHON | FE_TRACE_WAITED,
              all.at[0]->flags & (FE_TRACE_PYTHON | FE_TRACE_WAITED | FE_TRACE_BLOCKED));
    CHECK(all.at[0]->waited > 0);
    CHECK_INT(14, all.at[0]->reply_bytes);
    CHECK_INT(2, all.at[0]->argc);
    CHECK_INT(FE_RESULT_NIL, all.at[1]->result);
    check_order(all.at[0]);
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

TEST(python_inside_a_transaction_is_a_child_as_well)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "MULTI\r\nGET a\r\nPYECHO x\r\nGET b\r\nEXEC\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));

    taken all = take(&it);
    check_names(&it, &all, "multi get pyecho get exec");
    const fe_trace_record *exec = all.at[4];
    for (uint32_t i = 1; i < 4; i++)
        CHECK(all.at[i]->parent_id == exec->span_id);
    CHECK(exec->stages[FE_STAGE_ENDED] - exec->stages[FE_STAGE_BEGUN] > all.at[2]->waited);
    CHECK_INT(4 + 5 + 4 + 5, exec->reply_bytes);
    rig_close(&it);
}

TEST(a_command_that_blocks_has_waited)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "WAIT 1 5\r\n");
    rig_wait_due(one);

    taken all = take(&it);
    check_names(&it, &all, "wait");
    CHECK_INT(FE_TRACE_WAITED | FE_TRACE_BLOCKED,
              all.at[0]->flags & (FE_TRACE_WAITED | FE_TRACE_BLOCKED));
    double waited_us =
        (double)((uint64_t)all.at[0]->waited << all.at[0]->shift) / it.server->engine->ticks_per_us;
    CHECK(waited_us > 3900.0); /* due times are whole milliseconds */
    CHECK_INT(4, all.at[0]->reply_bytes);
    check_order(all.at[0]);
    rig_close(&it);
}

TEST(a_command_that_a_pause_holds_is_one_record)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it);

    rig_say(one, "CLIENT PAUSE 100000 WRITE\r\n");
    rig_say(two, "SET k v\r\n");
    rig_say(one, "CLIENT UNPAUSE\r\n");

    taken all = take(&it);
    check_names(&it, &all, "client|pause client|unpause set");
    CHECK_INT(FE_TRACE_PAUSED, all.at[2]->flags & (FE_TRACE_PAUSED | FE_TRACE_BLOCKED));
    CHECK(all.at[2]->waited > 0);
    CHECK_INT(0, all.at[2]->batch_index);
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

TEST(a_client_that_goes_leaves_what_was_counted)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it), *three = rig_connect(&it);

    rig_say(one, "WAIT 1 0\r\n");
    rig_say(two, ATTRIBUTE "PYECHO x\r\n");
    rig_say(three, ATTRIBUTE
            "MULTI\r\nSET a 1\r\nPYECHO y\r\nSET b 1\r\nWAIT 1 0\r\nPYECHO z\r\nEXEC\r\n");
    rig_hang_up(one);
    rig_hang_up(two);
    rig_hang_up(three);

    taken all = take(&it);
    check_names(&it, &all, "multi set wait set wait exec");
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

TEST(switching_while_a_command_waits_mixes_nothing_up)
{
    fe_telemetry_options off = {.retention.slow_us = -1};
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it);

    rig_say(one, "CLIENT PAUSE 100000 WRITE\r\n");
    rig_say(two, ATTRIBUTE "SET k v\r\n");
    rig_record(&it, &off);
    rig_say(one, "CLIENT UNPAUSE\r\n");
    rig_record(&it, NULL);
    rig_say(two, "GET k\r\n");

    taken all = take(&it);
    check_names(&it, &all, "client|pause get");
    CHECK(all.at[1]->parent_id == 0);
    rig_close(&it);
}

int main(void)
{
    RUN(a_pipeline_that_waits_stays_one);
    RUN(a_command_of_python_has_waited);
    RUN(python_inside_a_transaction_is_a_child_as_well);
    RUN(a_command_that_blocks_has_waited);
    RUN(a_command_that_a_pause_holds_is_one_record);
    RUN(a_client_that_goes_leaves_what_was_counted);
    RUN(switching_while_a_command_waits_mixes_nothing_up);
    return check_done();
}
