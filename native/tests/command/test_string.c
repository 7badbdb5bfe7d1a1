/* Strings: string.c, string_set.c and string_number.c through requests. */
#include "command/deadline.h"
#include "tests/check.h"
#include "tests/command/harness.h"

#define WRONG_INTEGER "-ERR value is not an integer or out of range"
#define SYNTAX "-ERR syntax error"

TEST(what_set_stores_get_answers)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "GET a", "$-1", "SET a hello", "+OK", "GET a", "$5 hello", "SET a 0012",
                 "+OK", "GET a", "$4 0012", "SET a -9223372036854775808", "+OK", "GET a",
                 "$20 -9223372036854775808", "SET a \"\"", "+OK", "GET a", "$0 ", "STRLEN a", ":0",
                 "SET a 12345", "+OK", "STRLEN a", ":5", "MGET a b a", "*3 $5 12345 $-1 $5 12345");
    it.client.resp = 3;
    CHECK_SCRIPT(&it, "GET nothing", "_");
    harness_close(&it);
}

TEST(look_ups_that_read_count_hits_and_misses)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1", "+OK", "GET a", "$1 1", "GET b", "$-1", "MGET a b", "*2 $1 1 $-1",
                 "INCR a", ":2", "APPEND a 1", ":2");
    fe_store_stats stats;
    fe_store_stats_get(it.engine->store, &stats);
    CHECK_INT(2, stats.hits);
    CHECK_INT(2, stats.misses);
    harness_close(&it);
}

TEST(set_obeys_its_conditions)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1 XX", "$-1", "SET a 1 NX", "+OK", "SET a 2 NX", "$-1", "SET a 3 XX",
                 "+OK", "SET a 4 GET", "$1 3", "SET a 5 NX GET", "$1 4", "SET b 1 NX GET", "$-1",
                 "MGET a b", "*2 $1 4 $1 1", "SET a 1 NX XX", SYNTAX, "SET a 1 BAD", SYNTAX,
                 "SET a 1 EX", SYNTAX, "SETNX a 1", ":0", "SETNX c 1", ":1");
    harness_close(&it);
}

TEST(set_reads_every_form_of_expiry)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1 EX 10", "+OK", "PTTL a", ":10000", "SET a 1 PX 1500", "+OK",
                 "PTTL a", ":1500", "SET a 1 EXAT 4000000100", "+OK", "PTTL a", ":100000",
                 "SET a 1 PXAT 4000000000001", "+OK", "PTTL a", ":1", "SET a 2 KEEPTTL", "+OK",
                 "PTTL a", ":1", "SET a 2", "+OK", "PTTL a", ":-1", "SET a 1 EX 5 PX 5", SYNTAX,
                 "SET a 1 KEEPTTL EX 5", SYNTAX, "SET a 1 EX 0",
                 "-ERR invalid expire time in 'set' command", "SET a 1 PX 9223372036854775807",
                 "-ERR invalid expire time in 'set' command", "SET a 1 EX x", WRONG_INTEGER,
                 "SETEX a 0 1", "-ERR invalid expire time in 'setex' command", "PSETEX a -1 1",
                 "-ERR invalid expire time in 'psetex' command", "SETEX a 7 v", "+OK", "PTTL a",
                 ":7000", "PSETEX a 7 v", "+OK", "PTTL a", ":7");
    harness_close(&it);
}

TEST(a_deadline_in_the_past_removes_the_key)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1", "+OK", "SET a 2 EXAT 1", "+OK", "GET a", "$-1", "DBSIZE", ":0",
                 "SET a 1", "+OK", "GETEX a PXAT 1", "$1 1", "DBSIZE", ":0");
    harness_close(&it);
}

TEST(an_expired_key_is_absent)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1 PX 100", "+OK", "GET a", "$1 1");
    harness_set_now(&it, it.engine->now_ms + 101);
    CHECK_SCRIPT(&it, "GET a", "$-1", "DBSIZE", ":0", "SETNX a 2", ":1", "TTL a", ":-1");
    harness_close(&it);
}

TEST(getex_getdel_and_getset_answer_the_old_value)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "GETEX a EX -1", "$-1", "SET a v", "+OK", "GETEX a EX 10", "$1 v", "TTL a",
                 ":10", "GETEX a", "$1 v", "TTL a", ":10", "GETEX a PERSIST", "$1 v", "TTL a",
                 ":-1", "GETEX a EX 0", "-ERR invalid expire time in 'getex' command", "GETEX a NX",
                 SYNTAX, "GETEX a PERSIST EX 1", SYNTAX, "GETSET a w", "$1 v", "GETSET b x", "$-1",
                 "GETDEL a", "$1 w", "GETDEL a", "$-1", "GET b", "$1 x");
    harness_close(&it);
}

TEST(mset_and_msetnx_set_all_or_nothing)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command",
                 "MSET a 1 b 2 a 3", "+OK", "MGET a b", "*2 $1 3 $1 2", "MSETNX c 1 a 9", ":0",
                 "EXISTS c", ":0", "MSETNX c 1 d 2", ":1", "MSETNX c",
                 "-ERR wrong number of "
                 "arguments for 'msetnx' command",
                 "GET d", "$1 2");
    harness_close(&it);
}

TEST(ranges_count_from_either_end)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a abcdef", "+OK", "GETRANGE a 1 3", "$3 bcd", "GETRANGE a -3 -1",
                 "$3 def", "GETRANGE a 0 100", "$6 abcdef", "GETRANGE a 4 2", "$0 ",
                 "GETRANGE a -100 1", "$2 ab", "GETRANGE a -1 -100", "$0 ", "GETRANGE a 6 6", "$0 ",
                 "SUBSTR a 0 0", "$1 a", "GETRANGE none 0 -1", "$0 ", "GETRANGE a x 1",
                 WRONG_INTEGER, "SET n 12345", "+OK", "GETRANGE n 1 2", "$2 23");
    harness_close(&it);
}

TEST(append_and_setrange_grow_a_string)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "APPEND a 12", ":2", "OBJECT ENCODING a", "$3 int", "APPEND a x", ":3",
                 "OBJECT ENCODING a", "$3 raw", "GET a", "$3 12x", "SETRANGE a 1 YZZ", ":4",
                 "GET a", "$4 1YZZ", "SETRANGE b 0 \"\"", ":0", "EXISTS b", ":0",
                 "SETRANGE a 100 \"\"", ":4", "SETRANGE a -1 x", "-ERR offset is out of range",
                 "SETRANGE a 536870912 x",
                 "-ERR string exceeds maximum allowed size (proto-max-bulk-len)", "SET n 5 EX 10",
                 "+OK", "SETRANGE n 1 6", ":2", "GET n", "$2 56", "TTL n", ":10");
    const fe_bytes setrange[] = {FE_BYTES("SETRANGE"), FE_BYTES("z"), FE_BYTES("2"), FE_BYTES("x")};
    CHECK_REPLY(":3", harness_run_bytes(&it, setrange, 4));
    harness_run(&it, "GET z");
    CHECK_BYTES("$3\r\n\0\0x\r\n", 9, it.reply.data, it.reply.len);
    harness_close(&it);
}

TEST(counters_stop_at_the_ends_of_their_range)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "INCR a", ":1", "INCRBY a 41", ":42", "DECR a", ":41", "DECRBY a -1", ":42",
                 "SET a 9223372036854775807 EX 5", "+OK", "INCR a",
                 "-ERR increment or decrement would overflow", "DECR a", ":9223372036854775806",
                 "TTL a", ":5", "DECRBY a -9223372036854775808", "-ERR decrement would overflow",
                 "INCRBY a x", WRONG_INTEGER, "SET t text", "+OK", "INCR t", WRONG_INTEGER,
                 "SET s \" 1\"", "+OK", "INCR s", WRONG_INTEGER, "INCRBYFLOAT f 10.5", "$4 10.5",
                 "INCRBYFLOAT f -0.5", "$2 10", "OBJECT ENCODING f", "$6 embstr", "INCR f", ":11",
                 "INCRBYFLOAT t 1", "-ERR value is not a valid float", "INCRBYFLOAT f inf",
                 "-ERR increment would produce NaN or Infinity", "INCRBYFLOAT f 5.0e3", "$4 5011");
    harness_close(&it);
}

TEST(a_write_that_finds_no_memory_answers_so_and_changes_nothing)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a old", "+OK");
    static uint8_t large[1 << 20];
    memset(large, 'x', sizeof(large));
    const fe_bytes set[] = {
        FE_BYTES("SET"), FE_BYTES("a"), {large, sizeof(large)}, FE_BYTES("GET")};
    bool refused = false;
    for (int i = 0; i < 64 && !refused; i++) {
        fe_alloc_fail_after(&it.engine->alloc, 0);
        harness_run_bytes(&it, set, 4);
        fe_alloc_fail_after(&it.engine->alloc, -1);
        refused = it.call.failed;
        if (!refused) CHECK_SCRIPT(&it, "SET a old", "+OK", "DEL b", ":0");
    }
    CHECK(refused);
    CHECK_BYTES("-OOM ", 5, it.reply.data, 5);
    CHECK_SCRIPT(&it, "GET a", "$3 old");
    harness_close(&it);
}

int main(void)
{
    RUN(what_set_stores_get_answers);
    RUN(look_ups_that_read_count_hits_and_misses);
    RUN(set_obeys_its_conditions);
    RUN(set_reads_every_form_of_expiry);
    RUN(a_deadline_in_the_past_removes_the_key);
    RUN(an_expired_key_is_absent);
    RUN(getex_getdel_and_getset_answer_the_old_value);
    RUN(mset_and_msetnx_set_all_or_nothing);
    RUN(ranges_count_from_either_end);
    RUN(append_and_setrange_grow_a_string);
    RUN(counters_stop_at_the_ends_of_their_range);
    RUN(a_write_that_finds_no_memory_answers_so_and_changes_nothing);
    return check_done();
}
