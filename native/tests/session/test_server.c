/* The server object: the queue to Python, and who must wait for whom. */
#include "tests/check.h"

#include "session/server.h"
#include "tests/session/rig.h"

TEST(requests_reach_python_in_order_with_all_that_it_must_know)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "SELECT 4\r\nPYECHO a b\r\n", "+OK\r\n");
    rig_say(two, "HELLO 3\r\n");
    rig_take(two);
    CHECK_SAYS(two, "PYSECRET word\r\n", "");

    CHECK_INT(2, it.server->python_waiting);
    CHECK_INT(1, it.notified); /* the queue was not empty when the second came */
    fe_python_request *first = fe_server_take_python(it.server);
    fe_python_request *second = fe_server_take_python(it.server);
    CHECK(fe_server_take_python(it.server) == NULL);
    CHECK_TEXT("pyecho", first->row->name);
    CHECK_INT(3, first->argc);
    CHECK_BYTES("b", 1, first->argv[2].ptr, first->argv[2].len);
    CHECK_INT(4, first->db);
    CHECK_INT(1, first->client_id);
    CHECK_INT(2, first->resp);
    CHECK(!first->in_exec);
    CHECK_INT(0, first->secret_mask);
    CHECK_INT(3, second->resp);
    CHECK(fe_call_is_secret(second->secret_mask, 1));
    CHECK(!fe_call_is_secret(second->secret_mask, 0));

    fe_server_answer_python(it.server, second, FE_BYTES("+2\r\n"), false);
    fe_server_answer_python(it.server, first, FE_BYTES("+1\r\n"), false);
    rig_pump(&it);
    CHECK_GOT(one, "+1\r\n");
    CHECK_GOT(two, "+2\r\n");
    rig_close(&it);
}

TEST(an_answer_that_memory_has_no_room_for_ends_the_connection)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "PYECHO\r\n", "");
    fe_python_request *request = fe_server_take_python(it.server);

    fe_alloc_fail_after(&it.server->engine->alloc, 0);
    fe_server_answer_python(it.server, request, FE_BYTES("+lost\r\n"), false);
    fe_alloc_fail_after(&it.server->engine->alloc, -1);
    rig_pump(&it);

    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK_GOT(one, "");
    rig_close(&it);
}

TEST(pauses_hold_the_right_commands_of_the_right_clients)
{
    rig it;
    rig_open(&it);
    fe_client *client = &rig_connect(&it)->session->client;
    fe_client *other = &rig_connect(&it)->session->client;
    fe_pause *pause = &it.server->engine->pause;
    CHECK(!fe_server_is_paused(it.server, client, FE_WRITE));

    pause->until_ms = fe_clock_monotonic_ms() + 1000000;
    CHECK(fe_server_is_paused(it.server, client, FE_WRITE));
    CHECK(fe_server_is_paused(it.server, client, FE_READONLY | FE_MAY_REPLICATE));
    CHECK(!fe_server_is_paused(it.server, client, FE_READONLY));
    pause->all = true;
    CHECK(fe_server_is_paused(it.server, client, FE_READONLY));
    other->monitor = true; /* counts as a replica */
    it.server->clients.monitors++;
    CHECK(!fe_server_is_paused(it.server, other, FE_READONLY));
    pause->until_ms = fe_clock_monotonic_ms();
    CHECK(!fe_server_is_paused(it.server, client, FE_WRITE));
    CHECK_INT(0, pause->until_ms);

    pause->exclusive = client->id;
    CHECK(!fe_server_is_paused(it.server, client, FE_WRITE));
    CHECK(fe_server_is_paused(it.server, other, FE_READONLY));
    pause->exclusive = 0;
    rig_close(&it);
}

int main(void)
{
    RUN(requests_reach_python_in_order_with_all_that_it_must_know);
    RUN(an_answer_that_memory_has_no_room_for_ends_the_connection);
    RUN(pauses_hold_the_right_commands_of_the_right_clients);
    return check_done();
}
