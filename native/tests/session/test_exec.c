/* EXEC and what may refuse it: watched keys, commands that wait in its middle, clients that go. */
#include "tests/check.h"

#include "session/exec.h"
#include "tests/session/rig.h"

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

int main(void)
{
    RUN(exec_is_refused_after_another_session_changed_a_watched_key);
    RUN(a_change_between_watch_and_multi_in_the_same_batch_counts);
    RUN(a_watched_key_that_expires_refuses_exec);
    RUN(a_key_that_had_expired_before_watch_does_not_refuse_exec);
    RUN(a_command_that_cannot_be_queued_aborts_the_transaction);
    RUN(flushes_and_swaps_touch_the_keys_that_they_change);
    RUN(a_session_that_ends_inside_a_transaction_leaves_nothing);
    RUN(exec_with_python_inside_is_still_one_step_for_others);
    RUN(a_transaction_that_has_begun_is_run_to_its_end_when_its_session_ends);
    RUN(waiting_inside_exec_keeps_others_out);
    return check_done();
}
