/* The checks between a request and its handler, and killed clients. */
#include "tests/check.h"

#include "session/dispatch.h"
#include "tests/session/rig.h"

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
    RUN(a_killed_client_is_gone_at_once_for_others_and_gets_nothing_more);
    RUN(debug_needs_its_option);
    RUN(memory_limits_refuse_what_would_grow);
    return check_done();
}
