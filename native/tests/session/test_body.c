/* Long arguments: received into pages of their own, which become the record; in any pieces, behind and
 * before other requests, while the session waits, and when the connection ends. */
#include "tests/check.h"

#include "engine/workers.h"
#include "tests/session/rig.h"

enum { LEN = 3000000, PIECE = 50000 };
#define HEAD(words, command, key) "*" words "\r\n" command "\r\n$1\r\n" key "\r\n"
#define SET_HEAD HEAD("3", "$3\r\nSET", "k") "$3000000\r\n"

static char *value_of(char letter)
{
    char *value = malloc(LEN);
    memset(value, letter, LEN);
    return value;
}

/* Sends the argument without its line end. */
static void send_value(peer *one, char letter)
{
    char *value = value_of(letter);
    for (size_t at = 0; at < LEN; at += PIECE)
        rig_send(one, value + at, PIECE);
    free(value);
}

static const fe_record *record_of(rig *it, const char *name)
{
    fe_bytes key_name = {(const uint8_t *)name, strlen(name)};
    fe_store *store = it->server->engine->store;
    fe_key key;
    fe_key_find(store, 0, key_name, fe_key_hash(fe_store_seed(store), key_name), true, &key);
    return key.record;
}

static void check_value(rig *it, const char *name, char letter)
{
    const fe_record *record = record_of(it, name);
    CHECK(record != NULL && fe_record_value_len(record) == LEN);
    char *expected = value_of(letter);
    CHECK_BYTES(expected, LEN, fe_record_value(record).ptr, LEN);
    free(expected);
}

static void check_nothing_is_kept(peer *one)
{
    CHECK(!fe_body_is_open(&one->session->body));
    CHECK_INT(0, one->session->client.body_bytes);
    CHECK_INT(0, one->session->client.input.len);
    CHECK(one->session->client.input.cap <= 32768);
}

TEST(a_value_is_received_where_it_stays)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    rig_say(one, SET_HEAD);
    send_value(one, 'v');
    const uint8_t *pages = one->session->body.pages;
    CHECK(pages != NULL && fe_body_is_whole(&one->session->body));
    CHECK_INT(one->session->body.bytes, one->session->client.body_bytes);
    CHECK(one->session->client.memory > LEN);
    CHECK_GOT(one, "");
    CHECK_SAYS(one, "\r\nSTRLEN k\r\nPTTL k\r\n", "+OK\r\n:3000000\r\n:-1\r\n");

    CHECK((const uint8_t *)record_of(&it, "k") == pages); /* nothing was copied */
    check_value(&it, "k", 'v');
    check_nothing_is_kept(one);
    CHECK(one->session->client.memory < 100000);
    rig_close(&it);
}

TEST(each_command_that_stores_a_whole_value_takes_it_over)
{
    static const char *const heads[] = {
        HEAD("3", "$5\r\nSETNX", "k") "$3000000\r\n",
        HEAD("4", "$5\r\nSETEX", "k") "$3\r\n100\r\n$3000000\r\n",
        HEAD("4", "$6\r\nPSETEX", "k") "$6\r\n100000\r\n$3000000\r\n",
        HEAD("3", "$6\r\nGETSET", "k") "$3000000\r\n",
        HEAD("3", "$6\r\nAPPEND", "k") "$3000000\r\n",
        "*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nk\r\n$3000000\r\n",
    };
    static const char *const says[] = {":1\r\n",  "+OK\r\n",      "+OK\r\n",
                                       "$-1\r\n", ":3000000\r\n", "+OK\r\n"};
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        rig_say(one, heads[i]);
        send_value(one, (char)('a' + i));
        const uint8_t *pages = one->session->body.pages;
        CHECK_SAYS(one, "\r\n", says[i]);
        CHECK((const uint8_t *)record_of(&it, "k") == pages);
        check_value(&it, "k", (char)('a' + i));
        check_nothing_is_kept(one);
        CHECK_SAYS(one, "DEL k\r\n", ":1\r\n");
    }
    rig_close(&it);
}

TEST(deadlines_come_and_go_without_moving_it)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    rig_say(one, SET_HEAD);
    send_value(one, 'v');
    rig_say(one, "\r\n");
    const fe_record *record = record_of(&it, "k");
    CHECK_SAYS(one, "PERSIST k\r\nEXPIRE k 100\r\nTTL k\r\nPERSIST k\r\nTTL k\r\n",
               "+OK\r\n:0\r\n:1\r\n:100\r\n:1\r\n:-1\r\n");
    CHECK(record_of(&it, "k") == record);
    rig_say(one, "SETRANGE k 5 xyz\r\nAPPEND k tail\r\nGETRANGE k 3 9\r\nGETRANGE k -5 -1\r\n");
    CHECK_GOT(one, ":3000000\r\n:3000004\r\n$7\r\nvvxyzvv\r\n$5\r\nvtail\r\n");
    rig_close(&it);
}

TEST(what_no_command_keeps_is_given_back)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    rig_say(one, "SET k small\r\n*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n");
    send_value(one, 'v');
    CHECK_SAYS(one, "\r\n$2\r\nNX\r\n", "+OK\r\n$-1\r\n");
    check_nothing_is_kept(one);
    rig_say(one, HEAD("3", "$6\r\nAPPEND", "k") "$3000000\r\n");
    send_value(one, 'v');
    CHECK_SAYS(one, "\r\nGETRANGE k 0 6\r\n", ":3000005\r\n$7\r\nsmallvv\r\n");
    check_nothing_is_kept(one);
    rig_say(one, "MULTI\r\n" SET_HEAD);
    send_value(one, 'w');
    CHECK_SAYS(one, "\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    check_value(&it, "k", 'w');
    check_nothing_is_kept(one);
    rig_say(one, "*2\r\n$6\r\nNOSUCH\r\n$3000000\r\n");
    send_value(one, 'x');
    rig_say(one, "\r\n");
    CHECK(strncmp(rig_take(one), "-ERR unknown command 'NOSUCH'", 29) == 0);
    check_nothing_is_kept(one);
    while (fe_workers_round(it.server->engine)) {}
    CHECK(fe_alloc_used(&it.server->engine->alloc, FE_ALLOC_LOG) < 2 * LEN);
    rig_close(&it);
}

TEST(two_in_one_request_and_any_cut_around_the_ends)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    rig_say(one, "*5\r\n$4\r\nMSET\r\n$1\r\nk\r\n$3000000\r\n");
    send_value(one, 'v');
    rig_say(one, "\r\n$1\r\nj\r\n$3000000\r\n");
    send_value(one, 'w');
    CHECK_SAYS(one, "\r\n", "+OK\r\n");
    check_value(&it, "k", 'v');
    check_value(&it, "j", 'w');
    check_nothing_is_kept(one);

    char *value = value_of('x');
    for (size_t cut = 1; cut < 8; cut++) {
        /* The first bytes with the head, the last with the line end and what follows. */
        char *first = malloc(LEN + 100), *last = malloc(100);
        size_t head = sizeof SET_HEAD - 1;
        memcpy(first, SET_HEAD, head);
        memcpy(first + head, value, LEN - cut);
        rig_send(one, first, head + LEN - cut);
        memset(last, 'x', cut);
        memcpy(last + cut, "\r\nPING\r\n", 8);
        rig_send(one, last, cut + 8);
        CHECK_GOT(one, "+OK\r\n+PONG\r\n");
        check_value(&it, "k", 'x');
        check_nothing_is_kept(one);
        free(first);
        free(last);
    }
    free(value);
    rig_close(&it);
}

static void check_refused(peer *one)
{
    CHECK(strncmp(rig_take(one), "-OOM an argument of 3000000 bytes is more than max_memory", 57) ==
          0);
    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK(!fe_body_is_open(&one->session->body));
}

TEST(an_argument_of_more_than_half_of_the_limit_is_refused_before_it_comes)
{
    fe_engine_options options = rig_options();
    options.store.memory_max = 2 * LEN - 1000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    rig_say(one, "PING\r\n" SET_HEAD "vvv");
    const char *said = rig_take(one);
    CHECK(strncmp(said, "+PONG\r\n-OOM an argument of 3000000 bytes is more than", 53) == 0);
    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK(fe_alloc_used(&it.server->engine->alloc, FE_ALLOC_CLIENT) < 200000);
    CHECK_SAYS(two, "EXISTS k\r\n", ":0\r\n");
    rig_close(&it);
}

TEST(arguments_that_are_too_much_together_are_refused)
{
    fe_engine_options options = rig_options();
    options.store.memory_max = 3 * LEN;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it), *two = rig_connect(&it), *three = rig_connect(&it);
    rig_say(one, SET_HEAD "v");
    CHECK_INT(LEN, it.server->announced);
    rig_say(two, SET_HEAD "v");
    CHECK_INT(2 * LEN, it.server->announced);
    rig_say(three, SET_HEAD "v"); /* which is more than 75 % */
    check_refused(three);
    rig_hang_up(three);
    rig_hang_up(two);
    CHECK_INT(LEN, it.server->announced);

    rig_say(one, "v"); /* what was announced once is not refused */
    CHECK_INT(FE_SESSION_READY, one->session->state);
    rig_hang_up(one);
    CHECK_INT(0, it.server->announced);

    peer *four = rig_connect(&it); /* two in one request count both, until they have run */
    rig_say(four, "*5\r\n$4\r\nMSET\r\n$1\r\nk\r\n$3000000\r\n");
    send_value(four, 'v');
    rig_say(four, "\r\n$1\r\nj\r\n$3000000\r\n");
    CHECK_INT(2 * LEN, it.server->announced);
    send_value(four, 'w');
    rig_say(four, "\r\n");
    CHECK_INT(0, it.server->announced);
    rig_close(&it);
}

TEST(while_the_session_waits_the_body_stays)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    rig_say(one, SET_HEAD);
    send_value(one, 'v');
    CHECK_SAYS(two, "CLIENT PAUSE 100000 WRITE\r\n", "+OK\r\n");
    rig_say(one, "\r\nAPPEND k x\r\n");
    CHECK_GOT(one, "");
    CHECK_INT(FE_SESSION_PARKED, one->session->state);
    rig_say(one, "STRLEN k\r\n");
    CHECK(fe_body_is_whole(&one->session->body));
    CHECK_SAYS(two, "CLIENT UNPAUSE\r\n", "+OK\r\n");
    CHECK_GOT(one, "+OK\r\n:3000001\r\n:3000001\r\n");
    check_nothing_is_kept(one);
    rig_close(&it);
}

TEST(a_connection_may_end_within_it)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it), *three = rig_connect(&it);
    rig_say(one, SET_HEAD "some");
    rig_hang_up(one);
    rig_say(two, SET_HEAD);
    send_value(two, 'v');
    rig_hang_up(two);
    rig_say(three, SET_HEAD);
    fe_alloc_fail_after(&it.server->engine->alloc, 0);
    char *value = value_of('v');
    rig_send(three, value, LEN / 2);
    free(value);
    CHECK_INT(FE_SESSION_CLOSING, three->session->state);
    rig_close(&it);
}

TEST(the_limit_of_the_query_buffer_counts_it)
{
    fe_engine_options options = rig_options();
    options.query_buffer_max = 1000000;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    rig_say(one, SET_HEAD);
    char *value = value_of('v');
    for (size_t at = 0; at < 1100000 && one->session->state == FE_SESSION_READY; at += PIECE)
        rig_send(one, value + at, PIECE);
    free(value);
    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    CHECK_INT(1, it.server->engine->stats.query_kills);
    rig_close(&it);
}

int main(void)
{
    RUN(a_value_is_received_where_it_stays);
    RUN(each_command_that_stores_a_whole_value_takes_it_over);
    RUN(deadlines_come_and_go_without_moving_it);
    RUN(what_no_command_keeps_is_given_back);
    RUN(two_in_one_request_and_any_cut_around_the_ends);
    RUN(an_argument_of_more_than_half_of_the_limit_is_refused_before_it_comes);
    RUN(arguments_that_are_too_much_together_are_refused);
    RUN(while_the_session_waits_the_body_stays);
    RUN(a_connection_may_end_within_it);
    RUN(the_limit_of_the_query_buffer_counts_it);
    return check_done();
}
