/* Reading ahead: requests of several sessions in one batch, full batches, and many keys in one
 * request. */
#include "tests/check.h"

#include "tests/session/rig.h"

TEST(more_requests_than_a_batch_holds_run_in_order)
{
    rig it;
    rig_open(&it);
    peer *peers[3] = {rig_connect(&it), rig_connect(&it), rig_connect(&it)};
    char text[3][8192], wanted[8192];
    for (int p = 0; p < 3; p++) {
        size_t at = 0;
        for (int i = 0; i < 200; i++)
            at += (size_t)snprintf(text[p] + at, sizeof text[p] - at, "INCR k%d\r\n", p);
    }
    size_t at = 0;
    for (int i = 1; i <= 200; i++)
        at += (size_t)snprintf(wanted + at, sizeof wanted - at, ":%d\r\n", i);

    const char *texts[3] = {text[0], text[1], text[2]};
    rig_send_group(&it, peers, texts, 3);

    for (int p = 0; p < 3; p++)
        CHECK_GOT(peers[p], wanted);
    rig_close(&it);
}

TEST(sessions_of_a_group_see_each_others_changes_in_order)
{
    rig it;
    rig_open(&it);
    peer *peers[3] = {rig_connect(&it), rig_connect(&it), rig_connect(&it)};
    const char *texts[3] = {"SET k a\r\nAPPEND k b\r\n", "GET k\r\nSELECT 1\r\nGET k\r\n",
                            "GETDEL k\r\nGET k\r\n"};

    rig_send_group(&it, peers, texts, 3);

    CHECK_GOT(peers[0], "+OK\r\n:2\r\n");
    CHECK_GOT(peers[1], "$2\r\nab\r\n+OK\r\n$-1\r\n");
    CHECK_GOT(peers[2], "$2\r\nab\r\n$-1\r\n");
    rig_close(&it);
}

TEST(a_session_that_stops_inside_a_group_does_not_hold_up_the_others)
{
    rig it;
    rig_open(&it);
    peer *peers[3] = {rig_connect(&it), rig_connect(&it), rig_connect(&it)};
    const char *texts[3] = {"PING\r\nPYECHO\r\nGET k\r\n", "SET k v\r\nQUIT\r\nSET k w\r\n",
                            "GET k\r\n*0\r\n*1\r\n!\r\n"};

    rig_send_group(&it, peers, texts, 3);

    CHECK_GOT(peers[0], "+PONG\r\n");
    CHECK_GOT(peers[1], "+OK\r\n+OK\r\n");
    CHECK_GOT(peers[2], "$1\r\nv\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    CHECK(rig_answer(&it, "+late\r\n", false));
    CHECK_GOT(peers[0], "+late\r\n$1\r\nv\r\n");
    rig_close(&it);
}

/* Keys beyond the hashes that a batch has room for are hashed when they are opened. */
TEST(requests_with_more_keys_than_a_batch_hashes_work)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    char *text = malloc(200000);
    size_t at = 0;
    for (int request = 0; request < 70; request++) {
        at += (size_t)sprintf(text + at, "MSET");
        for (int i = 0; i < 100; i++)
            at += (size_t)sprintf(text + at, " k%d:%d %d", request, i, i);
        at += (size_t)sprintf(text + at, "\r\n");
    }

    rig_send(one, text, at);

    CHECK_INT(70 * 5, one->got.len);
    rig_take(one);
    CHECK_SAYS(one, "DBSIZE\r\nMGET k0:99 k69:99 k35:63 k35:64\r\n",
               ":7000\r\n*4\r\n$2\r\n99\r\n$2\r\n99\r\n$2\r\n63\r\n$2\r\n64\r\n");
    free(text);
    rig_close(&it);
}

int main(void)
{
    RUN(more_requests_than_a_batch_holds_run_in_order);
    RUN(sessions_of_a_group_see_each_others_changes_in_order);
    RUN(a_session_that_stops_inside_a_group_does_not_hold_up_the_others);
    RUN(requests_with_more_keys_than_a_batch_hashes_work);
    return check_done();
}
