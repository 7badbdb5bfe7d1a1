/* Records of commands whose client is killed while they wait: each one that was counted has its record. */
#include "tests/check.h"

#include "tests/session/trace_rig.h"

/* As CLIENT KILL and the limits of memory do it: the session hears of it, and the transport then ends it. */
static void kill_peer(peer *victim)
{
    fe_engine *engine = victim->owner->server->engine;
    uint64_t entered = fe_engine_enter(engine);
    fe_client_kill(&victim->session->client);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    rig_pump(victim->owner);
    CHECK_INT(FE_SESSION_CLOSING, victim->session->state);
    rig_hang_up(victim);
}

TEST(a_wait_that_is_killed_is_a_record)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *waits = rig_connect(&it), *said = rig_connect(&it);

    rig_say(waits, "WAIT 1 0\r\n");
    rig_say(said, ATTRIBUTE "WAIT 1 0\r\n");
    kill_peer(waits);
    kill_peer(said);

    taken all = take(&it);
    check_names(&it, &all, "wait wait");
    check_order(all.at[0]);
    CHECK(all.at[0]->waited > 0);
    CHECK_INT(0, all.at[0]->reply_bytes);
    CHECK_INT(FE_RESULT_GONE, all.at[0]->result);
    check_trace(all.at[1], TRACE);
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

TEST(a_transaction_that_is_killed_leaves_a_record_of_each_command)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *waits = rig_connect(&it);

    rig_say(waits, "MULTI\r\nSET a 1\r\nDEBUG SLEEP 100\r\nSET b 1\r\nEXEC\r\n");
    CHECK_INT(FE_PARK_TIME, waits->session->park);
    kill_peer(waits);

    taken all = take(&it);
    check_names(&it, &all, "multi set debug set exec");
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

/* What has not run is not counted, and has no record. */
TEST(what_is_killed_before_it_ran_is_no_record)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *pauses = rig_connect(&it), *paused = rig_connect(&it), *python = rig_connect(&it);

    rig_say(pauses, "CLIENT PAUSE 100000 WRITE\r\n");
    rig_say(paused, "SET a 1\r\n");
    rig_say(python, "PYECHO x\r\n");
    kill_peer(paused);
    kill_peer(python);

    taken all = take(&it);
    check_names(&it, &all, "client|pause");
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

int main(void)
{
    RUN(a_wait_that_is_killed_is_a_record);
    RUN(a_transaction_that_is_killed_leaves_a_record_of_each_command);
    RUN(what_is_killed_before_it_ran_is_no_record);
    return check_done();
}
