/* Sessions that wait inside a command: for Python, for a time, for the end of a pause. */
#include "tests/check.h"

#include "session/park.h"
#include "tests/session/rig.h"

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

int main(void)
{
    RUN(a_session_waits_for_python_and_others_go_on);
    RUN(input_that_comes_while_a_session_waits_is_kept);
    RUN(a_waiting_session_reads_only_so_far_ahead);
    RUN(a_session_may_end_while_python_works_for_it);
    RUN(wait_and_debug_sleep_hold_up_their_own_session_alone);
    RUN(client_unblock_ends_wait_but_not_debug_sleep);
    RUN(a_pause_of_writes_holds_writers_until_unpause);
    RUN(a_pause_ends_with_its_time_and_only_grows_until_then);
    RUN(a_session_may_end_while_it_is_paused);
    RUN(a_waiting_client_can_be_killed);
    return check_done();
}
