/* MONITOR: what is shown to whom, and when. */
#include "tests/check.h"

#include "session/monitor.h"
#include "tests/session/rig.h"

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

int main(void)
{
    RUN(monitor_shows_commands_in_the_order_in_which_they_ran);
    RUN(a_monitor_sees_its_own_commands_behind_their_replies_and_touches_no_key);
    RUN(a_silent_monitor_is_shown_nothing);
    return check_done();
}
