/* What belongs to every command that runs: its reply, or that nobody sees it; what Python answers. */
#include "tests/check.h"

#include "session/run.h"
#include "tests/session/rig.h"

TEST(python_commands_are_counted_shown_and_logged_like_all)
{
    fe_engine_options options = rig_options();
    options.slowlog_threshold_us = 0;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it), *monitor = rig_connect(&it);
    CHECK_SAYS(monitor, "MONITOR\r\n", "+OK\r\n");
    rig_say(one, "PYSECRET password\r\n");
    CHECK(rig_answer(&it, "-NOPE sorry\r\n", true));

    const char *shown = rig_take(monitor);
    CHECK(strstr(shown, "] \"PYSECRET\" \"(redacted)\"\r\n") != NULL);
    const fe_slowlog_entry *entry = fe_slowlog_get(&it.server->engine->slowlog, 0);
    CHECK_INT(2, entry->argc);
    CHECK_BYTES("(redacted)", 10, entry->argv[1].ptr, entry->argv[1].len);
    fe_bytes name = FE_BYTES("pysecret");
    fe_command *container;
    const fe_command *command = fe_commands_find(it.server->commands, &name, 1, &container);
    CHECK_INT(1, command->stats.calls);
    CHECK_INT(1, command->stats.failed);
    CHECK(command->stats.ticks > 0);
    CHECK_TEXT("NOPE", it.server->engine->errors[0].code);
    rig_close(&it);
}

TEST(client_reply_silences_whatever_way_a_reply_comes)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "CLIENT REPLY SKIP\r\nPING\r\nECHO a\r\n", "$1\r\na\r\n");
    CHECK_SAYS(one, "CLIENT REPLY OFF\r\nPING\r\nNOSUCH\r\nCLIENT REPLY ON\r\nECHO b\r\n",
               "+OK\r\n$1\r\nb\r\n");

    CHECK_SAYS(one, "CLIENT REPLY SKIP\r\nPYECHO\r\nPING\r\n", "");
    CHECK(rig_answer(&it, "+hidden\r\n", false));
    CHECK_GOT(one, "+PONG\r\n");

    CHECK_SAYS(one, "CLIENT REPLY SKIP\r\nWAIT 1 1\r\nPING\r\n", "");
    rig_wait_due(one);
    CHECK_GOT(one, "+PONG\r\n");

    CHECK_SAYS(one, "CLIENT REPLY OFF\r\nMULTI\r\nPYECHO\r\nSET a 1\r\nEXEC\r\nPING\r\n", "");
    CHECK(rig_answer(&it, "+hidden\r\n", false));
    CHECK_SAYS(one, "CLIENT REPLY ON\r\nGET a\r\n", "+OK\r\n$1\r\n1\r\n");

    CHECK_SAYS(one, "CLIENT REPLY SKIP\r\nRESET\r\nPING\r\n", "+PONG\r\n");
    CHECK_SAYS(one, "CLIENT REPLY OFF\r\nRESET\r\nPING\r\n", "+RESET\r\n+PONG\r\n");
    rig_close(&it);
}

TEST(replies_that_nobody_sees_are_not_made)
{
    fe_engine_options options = rig_options();
    options.output_limit[FE_CLIENT_CLASS_NORMAL].hard = 100000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SETRANGE k 399999 x\r\n", ":400000\r\n");
    uint64_t before = fe_alloc_used(&it.server->engine->alloc, FE_ALLOC_CLIENT);

    CHECK_SAYS(one, "CLIENT REPLY OFF\r\nGET k\r\nMGET k k\r\nKEYS *\r\nSET k new GET\r\n", "");
    CHECK_SAYS(one, "MULTI\r\nSETRANGE k 399999 x\r\nGET k\r\nEXEC\r\nPYECHO\r\n", "");
    char *large = calloc(1, 200001);
    memset(large, 'x', 200000);
    CHECK(rig_answer(&it, large, false));
    free(large);
    CHECK_SAYS(one, "CLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nGET k\r\nSTRLEN k\r\n",
               "+OK\r\n:400000\r\n");

    CHECK_INT(0, it.server->engine->stats.output_kills);
    CHECK(fe_alloc_used(&it.server->engine->alloc, FE_ALLOC_CLIENT) < before + 4096);
    rig_close(&it);
}

TEST(a_protocol_error_of_a_silent_client_is_not_told)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, "CLIENT REPLY OFF\r\n*1\r\n:5\r\n", "");

    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    rig_close(&it);
}

int main(void)
{
    RUN(python_commands_are_counted_shown_and_logged_like_all);
    RUN(client_reply_silences_whatever_way_a_reply_comes);
    RUN(replies_that_nobody_sees_are_not_made);
    RUN(a_protocol_error_of_a_silent_client_is_not_told);
    return check_done();
}
