/* DEBUG: replies of each type, the store's steps and its check. */
#include "tests/check.h"

#include "tests/command/harness.h"

TEST(every_type_of_reply_can_be_asked_for_in_resp2)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "DEBUG PROTOCOL string", "$11 Hello World", "DEBUG PROTOCOL integer",
                 ":12345", "DEBUG PROTOCOL double", "$5 3.141", "DEBUG PROTOCOL null", "$-1",
                 "DEBUG PROTOCOL array", "*3 :0 :1 :2", "DEBUG PROTOCOL set", "*3 :0 :1 :2",
                 "DEBUG PROTOCOL map", "*6 :0 :0 :1 :1 :2 :0", "DEBUG PROTOCOL attrib",
                 "$39 Some real reply following the attribute", "DEBUG PROTOCOL push",
                 "-ERR RESP2 is not supported by this command", "DEBUG PROTOCOL verbatim",
                 "$25 This is a verbatim string", "DEBUG PROTOCOL true", ":1",
                 "DEBUG PROTOCOL false", ":0", "DEBUG PROTOCOL bignum",
                 "$37 1234567999999999999999999999999999999");
    CHECK(strncmp(harness_run(&it, "DEBUG PROTOCOL nosuch"), "-ERR Wrong protocol type", 24) == 0);
    harness_close(&it);
}

TEST(every_type_of_reply_can_be_asked_for_in_resp3)
{
    harness it;
    harness_open(&it);
    it.client.resp = 3;
    CHECK_SCRIPT(
        &it, "DEBUG PROTOCOL double", ",3.141", "DEBUG PROTOCOL null", "_", "DEBUG PROTOCOL set",
        "~3 :0 :1 :2", "DEBUG PROTOCOL map", "%3 :0 #f :1 #t :2 #f", "DEBUG PROTOCOL attrib",
        "|1 $14 key-popularity *2 $7 key:123 :90 $39 Some real reply following the "
        "attribute",
        "DEBUG PROTOCOL push",
        ">2 $16 server-cpu-usage :42 $40 Some real reply following the push reply",
        "DEBUG PROTOCOL verbatim", "=29 txt:This is a verbatim string", "DEBUG PROTOCOL true", "#t",
        "DEBUG PROTOCOL bignum", "(1234567999999999999999999999999999999");
    harness_close(&it);
}

TEST(words_are_taken_with_the_right_number_of_arguments_only)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(
        &it, "DEBUG", "-ERR wrong number of arguments for 'debug' command", "DEBUG NoSuch",
        "-ERR unknown subcommand or wrong number of arguments for 'NoSuch'. Try DEBUG "
        "HELP.",
        "DEBUG SLEEP",
        "-ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.",
        "DEBUG OBJECT a b",
        "-ERR unknown subcommand or wrong number of arguments for 'OBJECT'. Try DEBUG "
        "HELP.");
    CHECK(strncmp(harness_run(&it, "DEBUG HELP"), "*29 +DEBUG <subcommand>", 23) == 0);
    harness_close(&it);
}

TEST(sleep_asks_the_session_to_wait)
{
    harness it;
    harness_open(&it);
    CHECK_REPLY("", harness_run(&it, "DEBUG SLEEP 0.25"));
    CHECK_INT(FE_AFTER_WAIT, it.call.after);
    CHECK_INT(250, it.call.wait_ms);
    CHECK_REPLY("OK", it.call.wait_status);

    CHECK_SCRIPT(&it, "DEBUG SLEEP 0", "+OK", "DEBUG SLEEP -1", "+OK", "DEBUG SLEEP x",
                 "-ERR value is not a valid float");
    CHECK_INT(FE_AFTER_NEXT, it.call.after);
    harness_close(&it);
}

TEST(object_tells_how_a_key_is_held)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET n 12", "+OK", "SET s text", "+OK", "DEBUG OBJECT missing",
                 "-ERR no such key");
    CHECK(strstr(harness_run(&it, "DEBUG OBJECT n"), " refcount:1 encoding:int ") != NULL);
    CHECK(strstr(harness_run(&it, "DEBUG OBJECT s"), " encoding:embstr serializedlength:4 ") !=
          NULL);
    harness_close(&it);
}

TEST(steps_do_the_background_work_until_none_is_due)
{
    harness it;
    harness_open(&it);
    for (int i = 0; i < 3000; i++) {
        char line[64];
        snprintf(line, sizeof line, "SET key:%d value PX %d", i, i % 3 == 0 ? 100000 : 10);
        CHECK_REPLY("+OK", harness_run(&it, line));
    }
    harness_set_now(&it, it.engine->now_ms + 5000);

    CHECK_SCRIPT(&it, "DBSIZE", ":3000", "DEBUG STEP expire", "+OK", "DBSIZE", ":1000",
                 "DEBUG STEP index", "+OK", "DEBUG STEP compact", "+OK", "DEBUG CHECK-STORE", "+OK",
                 "DEBUG STEP nosuch", "-ERR syntax error");
    harness_close(&it);
}

TEST(populate_stops_where_memory_ends)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "DEBUG POPULATE 1000 k 100", "+OK", "DBSIZE", ":1000", "STRLEN k:999", ":100",
                 "DEBUG POPULATE 1 large 4293918721",
                 "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    fe_alloc_fail_after(&it.engine->alloc, 0);
    CHECK(strncmp(harness_run(&it, "DEBUG POPULATE 1000000 more 100"), "-OOM ", 5) == 0);
    fe_alloc_fail_after(&it.engine->alloc, -1);
    CHECK_SCRIPT(&it, "DEBUG CHECK-STORE", "+OK", "EXISTS more:0", ":1");
    harness_close(&it);
}

TEST(the_rest_does_what_it_says)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK", "DEBUG SET-ACTIVE-EXPIRE x",
                 "-ERR value is not an integer or out of range", "DEBUG STRINGMATCH-LEN a*c abbc",
                 ":1", "DEBUG STRINGMATCH-LEN a*c abbd", ":0", "DEBUG ERROR \"CODE some text\"",
                 "-CODE some text");
    CHECK(it.engine->expire_paused);
    CHECK_SCRIPT(&it, "DEBUG SET-ACTIVE-EXPIRE 1", "+OK");
    CHECK(!it.engine->expire_paused);
    fe_bytes argv[3] = {FE_BYTES("DEBUG"), FE_BYTES("ERROR"), FE_BYTES("two\r\nlines")};
    harness_run_bytes(&it, argv, 3);
    CHECK_BYTES("-two  lines\r\n", 13, it.reply.data, it.reply.len);
    harness_close(&it);
}

int main(void)
{
    RUN(every_type_of_reply_can_be_asked_for_in_resp2);
    RUN(every_type_of_reply_can_be_asked_for_in_resp3);
    RUN(words_are_taken_with_the_right_number_of_arguments_only);
    RUN(sleep_asks_the_session_to_wait);
    RUN(object_tells_how_a_key_is_held);
    RUN(steps_do_the_background_work_until_none_is_due);
    RUN(populate_stops_where_memory_ends);
    RUN(the_rest_does_what_it_says);
    return check_done();
}
