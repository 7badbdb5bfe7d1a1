/* What is counted of commands that run, wait or are refused. */
#include "tests/check.h"

#include "session/count.h"
#include "tests/session/rig.h"

TEST(debug_sleep_counts_as_time_spent)
{
    fe_engine_options options = rig_options();
    options.latency_threshold_ms = 3;
    options.slowlog_threshold_us = 3000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "DEBUG SLEEP 0.005\r\n", "");
    rig_wait_due(one);
    CHECK_GOT(one, "+OK\r\n");

    CHECK_INT(1, it.server->engine->slowlog.count);
    CHECK_INT(5, it.server->engine->latency.series[FE_LATENCY_COMMAND].worst_ms);
    rig_close(&it);
}

TEST(calls_failures_and_refusals_are_counted)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    rig_say(one, "SET a x\r\nINCR a\r\nINCR\r\nINCR n\r\n");
    fe_bytes name = FE_BYTES("incr");
    fe_command *container;
    const fe_command *command = fe_commands_find(it.server->commands, &name, 1, &container);

    CHECK_INT(2, command->stats.calls);
    CHECK_INT(1, command->stats.failed);
    CHECK_INT(1, command->stats.rejected);
    CHECK_INT(3, it.server->engine->stats.commands);
    CHECK_INT(2, it.server->engine->stats.error_replies);
    CHECK_INT(3, one->session->client.commands);
    rig_close(&it);
}

/* A command that waited for the disk is refused in the end: the next one has not waited for that. */
TEST(a_wait_ends_with_the_command_that_waited)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    one->session->disk_waited = (uint64_t)(3e6 * it.server->engine->ticks_per_us);

    CHECK_SAYS(one, "GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n");

    CHECK_INT(0, one->session->disk_waited);
    rig_close(&it);
}

int main(void)
{
    RUN(debug_sleep_counts_as_time_spent);
    RUN(calls_failures_and_refusals_are_counted);
    RUN(a_wait_ends_with_the_command_that_waited);
    return check_done();
}
