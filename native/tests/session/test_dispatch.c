/* What happens to one request between its arguments and its reply: transactions, waiting, CLIENT
 * REPLY, MONITOR, statistics. */
#include "tests/check.h"

#include "session/dispatch.h"
#include "tests/session/rig.h"

/* Transactions.
 * ----------------------------------------------------------------------------------- */

TEST(exec_is_refused_after_another_session_changed_a_watched_key)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "WATCH a b\r\nMULTI\r\nSET c 1\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");

    CHECK_SAYS(two, "SET b 1\r\n", "+OK\r\n");

    CHECK_SAYS(one, "EXEC\r\nGET c\r\nEXEC\r\n", "*-1\r\n$-1\r\n-ERR EXEC without MULTI\r\n");
    CHECK_SAYS(one, "MULTI\r\nSET c 1\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    rig_close(&it);
}

TEST(a_change_between_watch_and_multi_in_the_same_batch_counts)
{
    rig it;
    rig_open(&it);
    peer *peers[2] = {rig_connect(&it), rig_connect(&it)};
    const char *texts[2] = {"WATCH a\r\nSET a 1\r\nMULTI\r\nEXEC\r\n",
                            "WATCH b\r\nMULTI\r\nEXEC\r\n"};

    rig_send_group(&it, peers, texts, 2);

    CHECK_GOT(peers[0], "+OK\r\n+OK\r\n+OK\r\n*-1\r\n");
    CHECK_GOT(peers[1], "+OK\r\n+OK\r\n*0\r\n");
    rig_close(&it);
}

TEST(a_watched_key_that_expires_refuses_exec)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SET a 1 PX 3\r\nWATCH a\r\nMULTI\r\nPING\r\n",
               "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n");
    int64_t until_ms = fe_clock_wall_ms() + 5;
    while (fe_clock_wall_ms() < until_ms) {}

    CHECK_SAYS(one, "EXEC\r\n", "*-1\r\n");
    rig_close(&it);
}

TEST(a_key_that_had_expired_before_watch_does_not_refuse_exec)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(two, "WATCH other\r\n", "+OK\r\n"); /* so that the store leaves marks */
    CHECK_SAYS(one, "SET a 1 PX 1\r\n", "+OK\r\n");
    int64_t until_ms = fe_clock_wall_ms() + 3;
    while (fe_clock_wall_ms() < until_ms) {}

    CHECK_SAYS(one, "WATCH a\r\nMULTI\r\nPING\r\nEXEC\r\n",
               "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    rig_close(&it);
}

TEST(a_command_that_cannot_be_queued_aborts_the_transaction)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, "MULTI\r\nNOSUCH\r\nSET a 1\r\nEXEC\r\nEXISTS a\r\n",
               "+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n+QUEUED\r\n"
               "-EXECABORT Transaction discarded because of previous errors.\r\n:0\r\n");
    CHECK_SAYS(one, "MULTI\r\nEXEC x\r\nEXEC\r\n",
               "+OK\r\n-EXECABORT Transaction discarded because of: wrong number of arguments for "
               "'exec' command\r\n-ERR EXEC without MULTI\r\n");
    rig_close(&it);
}

TEST(flushes_and_swaps_touch_the_keys_that_they_change)
{
    static const char *const changes[] = {"FLUSHALL\r\n", "FLUSHDB\r\n", "SWAPDB 0 1\r\n"};
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    for (size_t i = 0; i < 3; i++) {
        CHECK_SAYS(one, "FLUSHALL\r\nSET a 1\r\nWATCH a\r\n", "+OK\r\n+OK\r\n+OK\r\n");
        CHECK_SAYS(two, changes[i], "+OK\r\n");
        CHECK_SAYS(one, "MULTI\r\nEXEC\r\n", "+OK\r\n*-1\r\n");
        CHECK_SAYS(one, "FLUSHALL\r\nWATCH a\r\n", "+OK\r\n+OK\r\n");
        CHECK_SAYS(two, changes[i], "+OK\r\n");
        CHECK_SAYS(one, "MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n");
    }
    rig_close(&it);
}

TEST(a_session_that_ends_inside_a_transaction_leaves_nothing)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "WATCH a b c\r\nMULTI\r\nSET a 1\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");

    rig_hang_up(one);

    CHECK_INT(0, it.server->clients.watches.count);
    CHECK_SAYS(rig_connect(&it), "EXISTS a\r\n", ":0\r\n");
    rig_close(&it);
}

/* Python.
 * ----------------------------------------------------------------------------------------- */

TEST(a_session_waits_for_python_and_others_go_on)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);

    CHECK_SAYS(one, "SET a 1\r\nPYECHO x\r\nGET a\r\nPYECHO y\r\nPING\r\n", "+OK\r\n");
    CHECK_INT(FE_PARK_PYTHON, one->session->park);
    CHECK_INT(1, it.notified);
    CHECK_SAYS(two, "SET a 2\r\n", "+OK\r\n");

    CHECK(rig_answer(&it, "+first\r\n", false));
    CHECK_GOT(one, "+first\r\n$1\r\n2\r\n");
    CHECK(rig_answer(&it, "-ERR second\r\n", true));
    CHECK_GOT(one, "-ERR second\r\n+PONG\r\n");
    CHECK(!rig_answer(&it, "+none\r\n", false));
    CHECK_INT(FE_SESSION_READY, one->session->state);
    rig_close(&it);
}

TEST(input_that_comes_while_a_session_waits_is_kept)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "PYECHO\r\nPI", "");
    CHECK_SAYS(one, "NG\r\nEC", "");
    CHECK_SAYS(one, "HO done\r\n", "");

    CHECK(rig_answer(&it, "+answer\r\n", false));

    CHECK_GOT(one, "+answer\r\n+PONG\r\n$4\r\ndone\r\n");
    rig_close(&it);
}

TEST(a_waiting_session_reads_only_so_far_ahead)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    char *many = malloc(70000);
    for (int i = 0; i < 10000; i++)
        memcpy(many + i * 7, "PING \r\n", 7);
    CHECK_SAYS(one, "PYECHO\r\n", "");
    CHECK(fe_session_wants_input(one->session));

    rig_send(one, many, 70000);

    CHECK(!fe_session_wants_input(one->session));
    CHECK(rig_answer(&it, "+answer\r\n", false));
    CHECK_INT(9 + 10000 * 7, one->got.len);
    CHECK(fe_session_wants_input(one->session));
    free(many);
    rig_close(&it);
}

TEST(a_session_may_end_while_python_works_for_it)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "PYECHO x\r\n", "");
    CHECK_SAYS(two, "PYECHO y\r\n", "");

    rig_hang_up(one);

    CHECK(rig_answer(&it, "+lost\r\n", false));
    CHECK(rig_answer(&it, "+mine\r\n", false));
    CHECK_GOT(two, "+mine\r\n");
    CHECK_INT(0, it.server->python_waiting);
    rig_close(&it);
}

TEST(exec_with_python_inside_is_still_one_step_for_others)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "MULTI\r\nSET a 1\r\nPYECHO x\r\nINCR a\r\nPYECHO y\r\nGET a\r\n",
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    rig_say(one, "EXEC\r\nPING\r\n");
    CHECK_GOT(one, "*5\r\n+OK\r\n");

    CHECK_SAYS(two, "GET a\r\nSET a 50\r\n", "");
    CHECK_INT(FE_PARK_PAUSE, two->session->park);
    CHECK(rig_answer(&it, "+x\r\n", false));
    CHECK_GOT(one, "+x\r\n:2\r\n");
    CHECK_GOT(two, "");
    CHECK(rig_answer(&it, "+y\r\n", false));

    CHECK_GOT(one, "+y\r\n$1\r\n2\r\n+PONG\r\n");
    CHECK_GOT(two, "$1\r\n2\r\n+OK\r\n");
    CHECK_INT(0, it.server->engine->pause.exclusive);
    rig_close(&it);
}

TEST(a_transaction_that_has_begun_is_run_to_its_end_when_its_session_ends)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "MULTI\r\nPYECHO x\r\nSET a 1\r\nPYECHO y\r\nINCR a\r\nEXEC\r\n",
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n");
    CHECK_SAYS(two, "GET a\r\n", "");

    rig_hang_up(one);
    rig_pump(&it);

    CHECK_GOT(two, "$1\r\n2\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));
    CHECK(rig_answer(&it, "+y\r\n", false));
    CHECK_INT(0, it.server->python_waiting);
    rig_close(&it);
}

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

/* Waiting for a time.
 * ----------------------------------------------------------------------------- */

TEST(wait_and_debug_sleep_hold_up_their_own_session_alone)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);

    CHECK_SAYS(one, "DEBUG SLEEP 0.003\r\nWAIT 1 2\r\nPING\r\n", "");
    CHECK_INT(FE_PARK_TIME, one->session->park);
    CHECK_SAYS(two, "PING\r\n", "+PONG\r\n");
    rig_wait_due(one);
    CHECK_GOT(one, "+OK\r\n");
    rig_wait_due(one);
    CHECK_GOT(one, ":0\r\n+PONG\r\n");
    CHECK_SAYS(one, "WAITAOF 0 1 2\r\nPING\r\n", "");
    rig_wait_due(one);
    CHECK_GOT(one, "*2\r\n:0\r\n:0\r\n+PONG\r\n");
    CHECK_SAYS(one, "MULTI\r\nWAITAOF 0 1 0\r\nEXEC\r\n",
               "+OK\r\n+QUEUED\r\n*1\r\n*2\r\n:0\r\n:0\r\n");
    CHECK_SAYS(one, "WAITAOF 0 1 0\r\n", "");
    CHECK_SAYS(two, "CLIENT UNBLOCK 1\r\n", ":1\r\n");
    CHECK_GOT(one, "*2\r\n:0\r\n:0\r\n");
    rig_close(&it);
}

TEST(client_unblock_ends_wait_but_not_debug_sleep)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "WAIT 1 0\r\nPING\r\n", "");
    CHECK_SAYS(two, "CLIENT UNBLOCK 2\r\nCLIENT UNBLOCK 99\r\nCLIENT UNBLOCK 1\r\n",
               ":0\r\n:0\r\n:1\r\n");
    CHECK_GOT(one, ":0\r\n+PONG\r\n");
    CHECK_SAYS(one, "WAIT 1 0\r\nPING\r\n", "");
    CHECK_SAYS(two, "CLIENT UNBLOCK 1 ERROR\r\n", ":1\r\n");
    CHECK_GOT(one, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n+PONG\r\n");

    CHECK_SAYS(one, "DEBUG SLEEP 0.005\r\n", "");
    CHECK_SAYS(two, "CLIENT UNBLOCK 1\r\n", ":0\r\n");
    rig_wait_due(one);
    CHECK_GOT(one, "+OK\r\n");
    rig_close(&it);
}

TEST(waiting_inside_exec_keeps_others_out)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "MULTI\r\nSET a 1\r\nDEBUG SLEEP 0.002\r\nWAIT 5 0\r\nINCR a\r\nEXEC\r\n",
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n+OK\r\n");
    CHECK_SAYS(two, "GET a\r\n", "");

    rig_wait_due(one);

    CHECK_GOT(one, "+OK\r\n:0\r\n:2\r\n");
    CHECK_GOT(two, "$1\r\n2\r\n");
    rig_close(&it);
}

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

/* Pauses.
 * ----------------------------------------------------------------------------------------- */

TEST(a_pause_of_writes_holds_writers_until_unpause)
{
    rig it;
    rig_open(&it);
    peer *writer = rig_connect(&it), *reader = rig_connect(&it), *exec = rig_connect(&it);
    CHECK_SAYS(exec, "MULTI\r\nSET t 1\r\n", "+OK\r\n+QUEUED\r\n");
    CHECK_SAYS(reader, "CLIENT PAUSE 100000 WRITE\r\n", "+OK\r\n");

    CHECK_SAYS(writer, "GET k\r\nSET k v\r\nGET k\r\n", "$-1\r\n");
    CHECK_SAYS(exec, "EXEC\r\n", "");
    CHECK_SAYS(reader, "GET k\r\nEXISTS t\r\n", "$-1\r\n:0\r\n");
    CHECK_SAYS(reader, "CLIENT UNPAUSE\r\n", "+OK\r\n");

    CHECK_GOT(writer, "+OK\r\n$1\r\nv\r\n");
    CHECK_GOT(exec, "*1\r\n+OK\r\n");
    CHECK(it.server->paused == NULL);
    rig_close(&it);
}

TEST(a_pause_ends_with_its_time_and_only_grows_until_then)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "CLIENT PAUSE 100000 ALL\r\n", "+OK\r\n");
    it.server->engine->pause.until_ms = fe_clock_monotonic_ms() + 5;
    CHECK_SAYS(one, "PING\r\n", "");
    CHECK_INT(it.server->engine->pause.until_ms, one->session->due_ms);
    rig_wait_due(one);
    CHECK_GOT(one, "+PONG\r\n");

    CHECK_SAYS(one, "CLIENT PAUSE 100000 WRITE\r\n", "+OK\r\n");
    CHECK(!it.server->engine->pause.all);
    int64_t until_ms = it.server->engine->pause.until_ms;
    CHECK_SAYS(one, "CLIENT PAUSE 1 WRITE\r\n", "+OK\r\n");
    CHECK_INT(until_ms, it.server->engine->pause.until_ms);
    CHECK_SAYS(one, "CLIENT PAUSE 1\r\n", "+OK\r\n");
    CHECK(it.server->engine->pause.all);
    rig_close(&it);
}

TEST(a_session_may_end_while_it_is_paused)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it), *three = rig_connect(&it);
    CHECK_SAYS(three, "CLIENT PAUSE 100000 WRITE\r\n", "+OK\r\n");
    CHECK_SAYS(one, "SET a 1\r\n", "");
    CHECK_SAYS(two, "SET b 1\r\n", "");

    rig_hang_up(one);
    CHECK_SAYS(three, "CLIENT UNPAUSE\r\n", "+OK\r\n");

    CHECK_GOT(two, "+OK\r\n");
    rig_close(&it);
}

/* CLIENT REPLY.
 * ----------------------------------------------------------------------------------- */

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

/* MONITOR.
 * ---------------------------------------------------------------------------------------- */

/* Removes times and ports from what a monitor was shown, in place. */
static const char *plain_lines(const char *shown)
{
    char *text = (char *)(uintptr_t)shown, *to = text;
    for (const char *at = text; *at != 0;) {
        const char *bracket = *at == '+' && at[1] == '1' ? strchr(at, '[') : NULL;
        if (bracket != NULL) {
            at = bracket + 1;
            *to++ = '[';
            while (*at != ' ')
                *to++ = *at++;
            at = strchr(at, ']');
        }
        while (*at != 0 && (*to++ = *at++) != '\n') {}
    }
    *to = 0;
    return text;
}

TEST(monitor_shows_commands_in_the_order_in_which_they_ran)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *monitor = rig_connect(&it);
    CHECK_SAYS(monitor, "MONITOR\r\n", "+OK\r\n");

    rig_say(one, "SET \"a\\n\" \"\\x01\\\"\"\r\nSELECT 3\r\nCONFIG x\r\nGET\r\nNOSUCH\r\n");
    rig_say(one, "MULTI\r\nINCR n\r\nGETRANGE n a b\r\nEXEC\r\nCLIENT LIST\r\nAUTH default x\r\n");
    rig_say(one, "HELLO 3 AUTH default x SETNAME me\r\n");

    CHECK_TEXT("[0] \"SET\" \"a\\n\" \"\\x01\\\"\"\r\n[3] \"SELECT\" \"3\"\r\n[3] \"MULTI\"\r\n"
               "[3] \"INCR\" \"n\"\r\n[3] \"GETRANGE\" \"n\" \"a\" \"b\"\r\n[3] \"EXEC\"\r\n"
               "[3] \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n"
               "[3] \"HELLO\" \"3\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"me\"\r\n",
               plain_lines(rig_take(monitor)));
    rig_close(&it);
}

TEST(a_monitor_sees_its_own_commands_behind_their_replies_and_touches_no_key)
{
    rig it;
    rig_open(&it);
    peer *monitor = rig_connect(&it), *other = rig_connect(&it);
    CHECK_SAYS(monitor, "MONITOR\r\nMONITOR\r\n", "+OK\r\n");

    peer *peers[2] = {other, monitor};
    const char *texts[2] = {"PING 1\r\n", "PING 2\r\nGET a\r\n"};
    rig_send_group(&it, peers, texts, 2);

    CHECK_TEXT("[0] \"PING\" \"1\"\r\n$1\r\n2\r\n[0] \"PING\" \"2\"\r\n"
               "-ERR Replica can't interact with the keyspace\r\n",
               plain_lines(rig_take(monitor)));
    CHECK_SAYS(monitor, "RESET\r\nGET a\r\n", "+RESET\r\n$-1\r\n");
    CHECK_INT(0, it.server->clients.monitors);
    rig_close(&it);
}

TEST(a_silent_monitor_is_shown_nothing)
{
    rig it;
    rig_open(&it);
    peer *monitor = rig_connect(&it), *other = rig_connect(&it);
    CHECK_SAYS(monitor, "CLIENT REPLY OFF\r\nMONITOR\r\nPING\r\n", "");
    CHECK_SAYS(other, "PING\r\n", "+PONG\r\n");

    rig_say(monitor, "CLIENT REPLY ON\r\n");
    CHECK_SAYS(other, "PING\r\n", "+PONG\r\n");

    CHECK_TEXT("+OK\r\n[0] \"CLIENT\" \"REPLY\" \"ON\"\r\n[0] \"PING\"\r\n",
               plain_lines(rig_take(monitor)));
    rig_close(&it);
}

/* KILL.
 * ------------------------------------------------------------------------------------------- */

TEST(a_killed_client_is_gone_at_once_for_others_and_gets_nothing_more)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it), *three = rig_connect(&it);
    peer *peers[2] = {one, two};
    const char *texts[2] = {"CLIENT KILL ID 2\r\nCLIENT KILL ID 2\r\n", "SET a 1\r\n"};

    rig_send_group(&it, peers, texts, 2);

    CHECK_GOT(one, ":1\r\n:0\r\n");
    CHECK_GOT(two, "");
    CHECK_INT(FE_SESSION_CLOSING, two->session->state);
    CHECK_SAYS(one, "EXISTS a\r\n", ":0\r\n");
    CHECK_SAYS(three, "CLIENT KILL ADDR 127.0.0.1:50002 SKIPME no\r\nPING\r\n", ":1\r\n");
    CHECK_INT(FE_SESSION_CLOSING, three->session->state);
    CHECK_SAYS(one, "CLIENT KILL 127.0.0.1:50000\r\nPING\r\n", "+OK\r\n");
    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    rig_close(&it);
}

TEST(a_waiting_client_can_be_killed)
{
    rig it;
    rig_open(&it);
    peer *python = rig_connect(&it), *sleeper = rig_connect(&it), *killer = rig_connect(&it);
    CHECK_SAYS(python, "PYECHO\r\n", "");
    CHECK_SAYS(sleeper, "WAIT 1 0\r\n", "");

    CHECK_SAYS(killer, "CLIENT KILL TYPE normal\r\n", ":2\r\n");

    CHECK_INT(FE_SESSION_CLOSING, python->session->state);
    CHECK_INT(FE_SESSION_CLOSING, sleeper->session->state);
    rig_hang_up(python);
    CHECK(rig_answer(&it, "+late\r\n", false));
    rig_close(&it);
}

/* Checks and statistics.
 * -------------------------------------------------------------------------- */

TEST(debug_needs_its_option)
{
    fe_engine_options options = rig_options();
    options.debug_enabled = false;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "DEBUG SLEEP 0\r\n");

    CHECK(strstr(rig_take(one), "-ERR DEBUG command not allowed") != NULL);
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

TEST(memory_limits_refuse_what_would_grow)
{
    fe_engine_options options = rig_options();
    options.store.memory_max = 1u << 20;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    bool refused = false;
    for (int i = 0; i < 40000 && !refused; i++) {
        char line[128];
        int len = snprintf(line, sizeof line,
                           "SET key:%d 0123456789012345678901234567890123456789\r\n", i);
        rig_send(one, line, (size_t)len);
        refused = strcmp(rig_take(one), "+OK\r\n") != 0;
    }

    static const char oom[] = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    CHECK(refused);
    CHECK_SAYS(one, "SET a b\r\n", oom);
    CHECK_SAYS(one, "MULTI\r\nSET a b\r\n",
               "+OK\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    CHECK_SAYS(one, "EXEC\r\n", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    CHECK_SAYS(one, "EXISTS key:0\r\nDEL key:0\r\nPING\r\n", ":1\r\n:1\r\n+PONG\r\n");
    rig_close(&it);
}

int main(void)
{
    RUN(exec_is_refused_after_another_session_changed_a_watched_key);
    RUN(a_change_between_watch_and_multi_in_the_same_batch_counts);
    RUN(a_watched_key_that_expires_refuses_exec);
    RUN(a_key_that_had_expired_before_watch_does_not_refuse_exec);
    RUN(a_command_that_cannot_be_queued_aborts_the_transaction);
    RUN(flushes_and_swaps_touch_the_keys_that_they_change);
    RUN(a_session_that_ends_inside_a_transaction_leaves_nothing);
    RUN(a_session_waits_for_python_and_others_go_on);
    RUN(input_that_comes_while_a_session_waits_is_kept);
    RUN(a_waiting_session_reads_only_so_far_ahead);
    RUN(a_session_may_end_while_python_works_for_it);
    RUN(exec_with_python_inside_is_still_one_step_for_others);
    RUN(a_transaction_that_has_begun_is_run_to_its_end_when_its_session_ends);
    RUN(python_commands_are_counted_shown_and_logged_like_all);
    RUN(wait_and_debug_sleep_hold_up_their_own_session_alone);
    RUN(client_unblock_ends_wait_but_not_debug_sleep);
    RUN(waiting_inside_exec_keeps_others_out);
    RUN(debug_sleep_counts_as_time_spent);
    RUN(a_pause_of_writes_holds_writers_until_unpause);
    RUN(a_pause_ends_with_its_time_and_only_grows_until_then);
    RUN(a_session_may_end_while_it_is_paused);
    RUN(client_reply_silences_whatever_way_a_reply_comes);
    RUN(replies_that_nobody_sees_are_not_made);
    RUN(a_protocol_error_of_a_silent_client_is_not_told);
    RUN(monitor_shows_commands_in_the_order_in_which_they_ran);
    RUN(a_monitor_sees_its_own_commands_behind_their_replies_and_touches_no_key);
    RUN(a_silent_monitor_is_shown_nothing);
    RUN(a_killed_client_is_gone_at_once_for_others_and_gets_nothing_more);
    RUN(a_waiting_client_can_be_killed);
    RUN(debug_needs_its_option);
    RUN(calls_failures_and_refusals_are_counted);
    RUN(a_wait_ends_with_the_command_that_waited);
    RUN(memory_limits_refuse_what_would_grow);
    return check_done();
}
