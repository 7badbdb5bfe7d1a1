/* The session as a transport sees it: bytes in, in any pieces; bytes out, in order; and what ends a
 * connection. */
#include "tests/check.h"

#include "tests/session/rig.h"

#define SCRIPT                                                                                     \
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\nGET a\r\nPING\r\n*1\r\n$4\r\nPING\r\n\r\n"       \
    "ECHO \"two words\"\r\nMULTI\r\nINCR n\r\n*2\r\n$3\r\nGET\r\n$1\r\nn\r\nEXEC\r\nNOSUCH x\r\n"  \
    "HELLO 3 SETNAME me\r\nGET missing\r\nCLIENT GETNAME\r\nDEL a n\r\nRESET\r\n"
#define REPLIES                                                                                    \
    "+OK\r\n$5\r\nhello\r\n+PONG\r\n+PONG\r\n$9\r\ntwo words\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n"     \
    "*2\r\n:1\r\n$1\r\n1\r\n-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n"     \
    "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:3\r\n"   \
    "$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"          \
    "$7\r\nmodules\r\n*0\r\n_\r\n$2\r\nme\r\n:2\r\n+RESET\r\n"

TEST(a_pipeline_is_answered_in_order)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, SCRIPT, REPLIES);

    CHECK_INT(FE_SESSION_READY, one->session->state);
    rig_close(&it);
}

TEST(a_split_at_any_byte_changes_nothing)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    for (size_t cut = 1; cut < sizeof SCRIPT - 1; cut++) {
        rig_send(one, SCRIPT, cut);
        rig_send(one, SCRIPT + cut, sizeof SCRIPT - 1 - cut);
        CHECK_GOT(one, REPLIES);
    }
    for (size_t i = 0; i < sizeof SCRIPT - 1; i++)
        rig_send(one, &SCRIPT[i], 1);
    CHECK_GOT(one, REPLIES);
    rig_close(&it);
}

TEST(a_protocol_error_is_answered_behind_what_came_before_and_closes)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, "SET a 1\r\n*1\r\n:5\r\nSET a 2\r\n",
               "+OK\r\n-ERR Protocol error: expected '$', got ':'\r\n");

    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK_INT(1, it.server->engine->stats.protocol_errors);
    CHECK(!fe_session_wants_input(one->session));
    CHECK_SAYS(rig_connect(&it), "GET a\r\n", "$1\r\n1\r\n");
    rig_close(&it);
}

TEST(what_follows_quit_is_dropped)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, "SET a 1\r\nQUIT\r\nSET a 2\r\n", "+OK\r\n+OK\r\n");

    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK_SAYS(rig_connect(&it), "GET a\r\n", "$1\r\n1\r\n");
    rig_close(&it);
}

TEST(a_large_value_in_pieces_is_received_in_place)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    enum { LEN = 3000000 };
    char *value = malloc(LEN);
    memset(value, 'v', LEN);
    const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n";
    rig_send(one, head, sizeof head - 1);
    for (size_t at = 0; at < LEN; at += 50000)
        rig_send(one, value + at, 50000);
    CHECK_SAYS(one, "\r\nSTRLEN k\r\n", "+OK\r\n:3000000\r\n");

    /* Nothing is left, and the memory was given back. */
    CHECK_INT(0, one->session->client.input.len);
    CHECK(one->session->client.input.cap <= 32768);
    free(value);
    rig_close(&it);
}

/* The server stops.
 * -------------------------------------------------------------------------------------- */

TEST(waits_end_with_their_answers_when_the_server_stops)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "WAIT 1 0\r\nPING\r\nWAIT 1 100000\r\nECHO last\r\n", "");
    CHECK_SAYS(two, "MULTI\r\nINCR n\r\nEXEC\r\nWAIT 2 0\r\n", "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");

    rig_wait_no_more(one);
    rig_wait_no_more(two);

    CHECK_GOT(one, ":0\r\n+PONG\r\n:0\r\n$4\r\nlast\r\n");
    CHECK_GOT(two, ":0\r\n");
    CHECK_INT(FE_SESSION_READY, one->session->state);
    rig_close(&it);
}

TEST(what_a_pause_holds_stays_held_when_the_server_stops)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(two, "CLIENT PAUSE 100000 WRITE\r\n", "+OK\r\n");
    CHECK_SAYS(one, "GET k\r\nSET k 1\r\n", "$-1\r\n");

    rig_wait_no_more(one);

    CHECK_GOT(one, "");
    CHECK_INT(FE_SESSION_PARKED, one->session->state);
    CHECK_SAYS(two, "EXISTS k\r\n", ":0\r\n");
    rig_close(&it);
}

/* What others see.
 * ---------------------------------------------------------------------------------------- */

TEST(others_see_what_is_left_of_the_input)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    const fe_client *client = &one->session->client;

    rig_say(one, "PING\r\n*1\r\n$4\r\nPI");
    CHECK_INT(10, client->input_len);
    rig_say(one, "NG");
    CHECK_INT(12, client->input_len);
    rig_say(one, "\r\n");
    CHECK_INT(0, client->input_len);
    CHECK_GOT(one, "+PONG\r\n+PONG\r\n");
    CHECK_INT(0, client->serving_len);

    CHECK_SAYS(two, "CLIENT PAUSE 100000\r\n", "+OK\r\n");
    rig_say(one, "GET a\r\nGET b\r\n");
    CHECK_INT(14, client->input_len);
    CHECK_INT(FE_SESSION_PARKED, one->session->state);
    rig_close(&it);
}

/* Limits.
 * ----------------------------------------------------------------------------------------- */

TEST(unread_output_stops_the_session_until_it_is_sent)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    rig_say(one, "SETRANGE k 399999 x\r\n");
    CHECK_GOT(one, ":400000\r\n");
    one->hold_output = true;

    const char many[] = "GET k\r\nGET k\r\nGET k\r\nGET k\r\nGET k\r\nPING\r\n";
    rig_send(one, many, sizeof many - 1);

    CHECK_INT(FE_SESSION_PARKED, one->session->state);
    CHECK_INT(FE_PARK_OUTPUT, one->session->park);
    CHECK(one->session->client.output.len < FE_OUTPUT_HIGH + 500000);
    one->hold_output = false;
    one->woken = true;
    rig_pump(&it);
    CHECK_INT(FE_SESSION_READY, one->session->state);
    CHECK_INT(5 * (400000 + 11) + 7, one->got.len);
    rig_close(&it);
}

TEST(a_request_beyond_the_query_buffer_limit_ends_the_connection)
{
    fe_engine_options options = rig_options();
    options.query_buffer_max = 1u << 20;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    const char head[] = "*2\r\n$4\r\nECHO\r\n$8000000\r\n";
    rig_send(one, head, sizeof head - 1);
    char *piece = calloc(1, 300000);
    for (int i = 0; i < 4; i++)
        rig_send(one, piece, 300000);

    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK_INT(1, it.server->engine->stats.query_kills);
    CHECK_GOT(one, "");
    free(piece);
    rig_close(&it);
}

TEST(output_beyond_the_hard_limit_ends_the_connection)
{
    fe_engine_options options = rig_options();
    options.output_limit[FE_CLIENT_CLASS_NORMAL].hard = 100000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SETRANGE k 199999 x\r\n", ":200000\r\n");

    rig_say(one, "GET k\r\n");

    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK(one->session->cut_off);
    CHECK_INT(1, it.server->engine->stats.output_kills);
    CHECK_GOT(one, "");
    rig_close(&it);
}

TEST(one_command_cannot_answer_far_beyond_the_hard_limit)
{
    fe_engine_options options = rig_options();
    options.output_limit[FE_CLIENT_CLASS_NORMAL].hard = 1000000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SETRANGE k 199999 x\r\n", ":200000\r\n");

    rig_say(one, "MGET k k k k k k k k k k k k k k k k k k k k\r\n");

    CHECK(one->session->cut_off);
    CHECK(one->session->client.output.cap <= 1000000);
    CHECK_INT(1, it.server->engine->stats.output_kills);
    rig_close(&it);
}

TEST(a_closing_client_that_does_not_read_can_be_killed)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(one, "SETRANGE k 1999 x\r\n", ":2000\r\n");
    one->hold_output = true;
    rig_say(one, "GET k\r\n*x\r\n");
    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK(!one->session->cut_off);

    CHECK_SAYS(two, "CLIENT KILL ID 1\r\n", ":1\r\n");

    CHECK(one->session->cut_off);
    rig_close(&it);
}

TEST(a_transaction_counts_against_the_query_buffer_limit)
{
    fe_engine_options options = rig_options();
    options.query_buffer_max = 100000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "MULTI\r\n", "+OK\r\n");
    char value[1200];
    int len = snprintf(value, sizeof value, "SET k %01000d\r\n", 7);
    for (int i = 0; i < 200 && one->session->state == FE_SESSION_READY; i++)
        rig_send(one, value, (size_t)len);

    CHECK(one->session->cut_off);
    CHECK_INT(1, it.server->engine->stats.query_kills);
    rig_close(&it);
}

TEST(a_client_that_sends_a_long_request_is_not_idle)
{
    fe_engine_options options = rig_options();
    options.timeout_seconds = 5;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    rig_say(one, "*2\r\n$4\r\nECHO\r\n$100\r\nx");
    one->session->client.last_ms -= 6000;
    rig_say(one, "x");

    fe_session_cron(one->session);

    CHECK_INT(FE_SESSION_READY, one->session->state);
    rig_close(&it);
}

TEST(output_over_the_soft_limit_is_allowed_for_its_time_only)
{
    fe_engine_options options = rig_options();
    options.output_limit[FE_CLIENT_CLASS_NORMAL].soft = 1000;
    options.output_limit[FE_CLIENT_CLASS_NORMAL].soft_seconds = 60;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SETRANGE k 1999 x\r\n", ":2000\r\n");
    one->hold_output = true;
    rig_say(one, "GET k\r\n");
    CHECK_INT(FE_SESSION_READY, one->session->state);

    one->session->soft_limit_since_ms -= 61000;
    fe_session_cron(one->session);

    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    rig_close(&it);
}

TEST(the_largest_client_goes_when_all_together_take_too_much)
{
    fe_engine_options options = rig_options();
    options.clients_memory_max = 500000;
    rig it;
    rig_open_with(&it, &options);
    peer *small = rig_connect(&it), *large = rig_connect(&it), *kept = rig_connect(&it);
    CHECK_SAYS(kept, "CLIENT NO-EVICT ON\r\n", "+OK\r\n");
    char *piece = malloc(700000);
    memset(piece, 'x', 700000);
    const char head[] = "*2\r\n$4\r\nECHO\r\n$8000000\r\n";

    rig_send(kept, head, sizeof head - 1);
    rig_send(kept, piece, 300000);
    rig_send(large, head, sizeof head - 1);
    rig_send(large, piece, 400000);

    CHECK_INT(FE_SESSION_CLOSING, large->session->state);
    CHECK_INT(FE_SESSION_READY, kept->session->state);
    CHECK(it.server->engine->stats.memory_kills >= 1);
    CHECK_INT(FE_SESSION_READY, small->session->state);
    free(piece);
    rig_close(&it);
}

/* As in Redis: whoever sets it too low can set it right again. */
TEST(a_limit_of_the_clients_memory_that_is_too_low_leaves_them_128_kilobytes)
{
    fe_engine_options options = rig_options();
    options.clients_memory_max = 8;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it), *large = rig_connect(&it);
    CHECK_SAYS(one, "PING\r\n", "+PONG\r\n");
    fe_session_cron(one->session);
    CHECK_INT(FE_SESSION_READY, one->session->state);
    static char piece[150000];
    memset(piece, 'x', sizeof piece);
    const char head[] = "*2\r\n$4\r\nECHO\r\n$8000000\r\n";

    rig_send(large, head, sizeof head - 1);
    rig_send(large, piece, sizeof piece);

    CHECK_INT(FE_SESSION_CLOSING, large->session->state);
    CHECK_SAYS(one, "PING\r\n", "+PONG\r\n");
    rig_close(&it);
}

TEST(queued_commands_count_as_the_clients_memory)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "MULTI\r\n", "+OK\r\n");
    size_t before = it.server->clients.memory;
    for (int i = 0; i < 100; i++)
        CHECK_SAYS(one, "SET key 0123456789012345678901234567890123456789\r\n", "+QUEUED\r\n");

    CHECK(it.server->clients.memory > before + 5000);
    CHECK_SAYS(one, "DISCARD\r\n", "+OK\r\n");
    CHECK(it.server->clients.memory < before + 5000);
    rig_close(&it);
}

TEST(an_idle_client_times_out_unless_it_monitors)
{
    fe_engine_options options = rig_options();
    options.timeout_seconds = 10;
    rig it;
    rig_open_with(&it, &options);
    peer *idle = rig_connect(&it), *fresh = rig_connect(&it), *monitor = rig_connect(&it);
    CHECK_SAYS(monitor, "MONITOR\r\n", "+OK\r\n");
    idle->session->client.last_ms -= 11000;
    monitor->session->client.last_ms -= 11000;

    fe_session_cron(idle->session);
    fe_session_cron(fresh->session);
    fe_session_cron(monitor->session);

    CHECK_INT(FE_SESSION_CLOSING, idle->session->state);
    CHECK_INT(FE_SESSION_READY, fresh->session->state);
    CHECK_INT(FE_SESSION_READY, monitor->session->state);
    CHECK_INT(1, it.server->engine->stats.timeout_kills);
    rig_close(&it);
}

TEST(the_hard_limit_holds_after_the_transport_has_swapped_buffers)
{
    fe_engine_options options = rig_options();
    options.output_limit[FE_CLIENT_CLASS_NORMAL].hard = 1000000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SETRANGE k 199999 x\r\n", ":200000\r\n");
    fe_buf sending = one->session->client.output;
    fe_buf_init(&one->session->client.output, &it.server->engine->alloc, FE_ALLOC_CLIENT);

    one->hold_output = true;
    rig_say(one, "MGET k k k k k k k k k k k k k k k k k k k k\r\n");

    CHECK(one->session->cut_off);
    CHECK(one->session->client.output.cap <= 1000000);
    CHECK_INT(1, it.server->engine->stats.output_kills);
    fe_buf_free(&sending);
    rig_close(&it);
}

TEST(want_of_memory_is_not_counted_as_too_much_output)
{
    fe_engine_options options = rig_options();
    options.output_limit[FE_CLIENT_CLASS_NORMAL].hard = 1000000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SETRANGE k 199999 x\r\n", ":200000\r\n");
    fe_alloc_fail_after(&it.server->engine->alloc, 0);

    rig_say(one, "GET k\r\n");

    CHECK(one->session->cut_off);
    CHECK_INT(0, it.server->engine->stats.output_kills);
    rig_close(&it);
}

TEST(a_timeout_counts_once_and_what_was_just_sent_defers_it)
{
    fe_engine_options options = rig_options();
    options.timeout_seconds = 10;
    rig it;
    rig_open_with(&it, &options);
    peer *idle = rig_connect(&it), *reading = rig_connect(&it);
    idle->session->client.last_ms -= 11000;
    reading->session->client.last_ms -= 11000;
    reading->session->writes = 1;

    fe_session_cron(idle->session);
    fe_session_cron(idle->session);
    fe_session_cron(reading->session);

    CHECK_INT(FE_SESSION_READY, reading->session->state);
    CHECK_INT(1, it.server->engine->stats.timeout_kills);
    rig_close(&it);
}

TEST(names_watches_and_a_queues_capacity_count_as_the_clients_memory)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "PING\r\n", "+PONG\r\n");
    size_t plain = it.server->clients.memory;
    char text[20100];
    int head = sprintf(text, "CLIENT SETNAME ");
    memset(text + head, 'n', 20000);
    memcpy(text + head + 20000, "\r\n", 2);
    rig_send(one, text, (size_t)head + 20002);
    CHECK_GOT(one, "+OK\r\n");
    size_t named = it.server->clients.memory;
    CHECK(named >= plain + 20000);

    for (int i = 0; i < 500; i++)
        rig_send(one, text, (size_t)sprintf(text, "WATCH key:%d\r\nWATCH key:%d\r\n", i, i));
    CHECK_INT(500, it.server->clients.watches.count);
    CHECK(it.server->clients.memory >= named + 500 * 40);
    rig_say(one, "UNWATCH\r\n");
    CHECK(it.server->clients.memory < named + 500);

    rig_say(one, "MULTI\r\n");
    for (int i = 0; i < 9; i++)
        rig_say(one, "PING\r\n");
    const fe_transaction *transaction = &one->session->client.transaction;
    CHECK_INT(transaction->cap * sizeof(fe_queued) + 9 * (sizeof(fe_bytes) + 4),
              transaction->bytes);
    rig_close(&it);
}

TEST(what_the_transport_has_not_sent_shows_in_the_list_of_clients)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    one->session->unsent = 7777777;
    fe_session_cron(one->session);
    CHECK(it.server->clients.memory > 7777777);

    rig_say(two, "CLIENT LIST\r\n");

    CHECK(strstr(rig_take(two), " omem=7777777 ") != NULL);
    one->session->unsent = 0;
    rig_close(&it);
}

/* AUTH.
 * ------------------------------------------------------------------------------------------- */

static void open_with_password(rig *it)
{
    fe_engine_options options = rig_options();
    strcpy(options.requirepass, "secret");
    rig_open_with(it, &options);
}

TEST(auth_and_a_large_request_behind_it_may_come_together)
{
    rig it;
    open_with_password(&it);
    peer *one = rig_connect(&it);
    enum { LEN = 100000 };
    char *text = malloc(LEN + 200);
    int at = sprintf(
        text,
        "AUTH secret\r\n*2\r\n$6\r\nSTRLEN\r\n$1\r\nk\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n",
        LEN);
    memset(text + at, 'v', LEN);
    at += LEN;
    at += sprintf(text + at, "\r\nSTRLEN k\r\n");

    rig_send(one, text, (size_t)at);

    CHECK_GOT(one, "+OK\r\n:0\r\n+OK\r\n:100000\r\n");
    free(text);
    rig_close(&it);
}

TEST(before_auth_requests_are_small)
{
    rig it;
    open_with_password(&it);

    CHECK_SAYS(rig_connect(&it), "PING\r\nGET k\r\nAUTH wrong\r\nPING\r\n",
               "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n"
               "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
               "-NOAUTH Authentication required.\r\n");
    CHECK_SAYS(rig_connect(&it), "*2\r\n$4\r\nECHO\r\n$20000\r\n",
               "-ERR Protocol error: unauthenticated bulk length\r\n");
    CHECK_SAYS(rig_connect(&it), "*11\r\n",
               "-ERR Protocol error: unauthenticated multibulk length\r\n");
    rig_close(&it);
}

TEST(passwords_are_compared_whole)
{
    rig it;
    open_with_password(&it);
    peer *one = rig_connect(&it);
    static const char wrong[] =
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    CHECK_SAYS(one, "AUTH secre\r\n", wrong);
    CHECK_SAYS(one, "AUTH secretsecret\r\n", wrong);
    CHECK_SAYS(one, "AUTH \"\"\r\n", wrong);
    CHECK_SAYS(one, "AUTH \"secret\\x00\"\r\n", wrong);
    CHECK_SAYS(one, "AUTH somebody secret\r\n", wrong);
    CHECK_SAYS(one, "AUTH default secret\r\n", "+OK\r\n");
    CHECK_SAYS(one, "RESET\r\nPING\r\n", "+RESET\r\n-NOAUTH Authentication required.\r\n");
    rig_close(&it);
}

/* Failing memory.
 * --------------------------------------------------------------------------------- */

/* Runs everything with the n-th allocation failing, and all after it: replies may be errors and
 * connections may end, but nothing crashes, leaks or damages the store. */
TEST(any_allocation_may_fail)
{
    const char more[] =
        "WATCH a n\r\nCLIENT SETNAME you\r\nCLIENT LIST\r\nLATENCY GRAPH command\r\n"
        "SLOWLOG GET\r\nPYECHO x\r\nMULTI\r\nPYECHO y\r\nSET a 1\r\nEXEC\r\n"
        "CLIENT KILL ID 3\r\nMONITOR\r\nPING\r\n";
    bool complete = false;
    for (int64_t n = 0; !complete && n < 3000; n++) {
        fe_engine_options options = rig_options();
        options.slowlog_threshold_us = 0;
        rig it;
        rig_open_with(&it, &options);
        fe_alloc *alloc = &it.server->engine->alloc;
        peer *one = rig_connect(&it), *two = rig_connect(&it);
        rig_say(two, "MONITOR\r\n");
        fe_alloc_fail_after(alloc, n);
        peer *three = rig_connect(&it);
        if (three != NULL) rig_send(three, SCRIPT, sizeof SCRIPT - 1);
        rig_send(one, SCRIPT, 40);
        rig_send(one, SCRIPT + 40, sizeof SCRIPT - 1 - 40);
        rig_send(one, more, sizeof more - 1);
        while (rig_answer(&it, "$4\r\ndone\r\n", false)) {}
        complete = atomic_load(&alloc->fail_countdown) > 0;
        rig_close(&it);
    }
    CHECK(complete);
}

TEST(the_server_needs_its_memory_to_open)
{
    fe_engine_options options = rig_options();
    fe_server *server = fe_server_new(&options);
    CHECK(server != NULL);
    fe_alloc_fail_after(&server->engine->alloc, 0);
    CHECK(fe_session_open(server, FE_BYTES("a:1"), FE_BYTES("b:1"), false, -1, NULL, NULL) == NULL);
    fe_alloc_fail_after(&server->engine->alloc, 1);
    CHECK(fe_session_open(server, FE_BYTES("a:1"), FE_BYTES("b:1"), false, -1, NULL, NULL) == NULL);
    CHECK_INT(0, server->clients.count);
    CHECK_INT(0, fe_alloc_used(&server->engine->alloc, FE_ALLOC_CLIENT));
    fe_server_free(server);
}

int main(void)
{
    RUN(others_see_what_is_left_of_the_input);
    RUN(waits_end_with_their_answers_when_the_server_stops);
    RUN(what_a_pause_holds_stays_held_when_the_server_stops);
    RUN(a_pipeline_is_answered_in_order);
    RUN(a_split_at_any_byte_changes_nothing);
    RUN(a_protocol_error_is_answered_behind_what_came_before_and_closes);
    RUN(what_follows_quit_is_dropped);
    RUN(a_large_value_in_pieces_is_received_in_place);
    RUN(unread_output_stops_the_session_until_it_is_sent);
    RUN(a_request_beyond_the_query_buffer_limit_ends_the_connection);
    RUN(output_beyond_the_hard_limit_ends_the_connection);
    RUN(one_command_cannot_answer_far_beyond_the_hard_limit);
    RUN(a_closing_client_that_does_not_read_can_be_killed);
    RUN(a_transaction_counts_against_the_query_buffer_limit);
    RUN(a_client_that_sends_a_long_request_is_not_idle);
    RUN(output_over_the_soft_limit_is_allowed_for_its_time_only);
    RUN(the_largest_client_goes_when_all_together_take_too_much);
    RUN(a_limit_of_the_clients_memory_that_is_too_low_leaves_them_128_kilobytes);
    RUN(queued_commands_count_as_the_clients_memory);
    RUN(an_idle_client_times_out_unless_it_monitors);
    RUN(the_hard_limit_holds_after_the_transport_has_swapped_buffers);
    RUN(want_of_memory_is_not_counted_as_too_much_output);
    RUN(a_timeout_counts_once_and_what_was_just_sent_defers_it);
    RUN(names_watches_and_a_queues_capacity_count_as_the_clients_memory);
    RUN(what_the_transport_has_not_sent_shows_in_the_list_of_clients);
    RUN(auth_and_a_large_request_behind_it_may_come_together);
    RUN(before_auth_requests_are_small);
    RUN(passwords_are_compared_whole);
    RUN(any_allocation_may_fail);
    RUN(the_server_needs_its_memory_to_open);
    return check_done();
}
