/* Keys of any type: key.c, key_copy.c, key_expire.c, object.c, scan.c and dump.c through requests.
 */
#include "tests/check.h"
#include "tests/command/harness.h"

#define SYNTAX "-ERR syntax error"

TEST(keys_are_removed_counted_and_named)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "MSET a 1 b 2 c 3", "+OK", "EXISTS a a none", ":2", "TYPE a", "+string",
                 "TYPE none", "+none", "TOUCH a none", ":1", "DBSIZE", ":3", "DEL a none a", ":1",
                 "UNLINK b", ":1", "DBSIZE", ":1", "RANDOMKEY", "$1 c", "DEL c", ":1", "RANDOMKEY",
                 "$-1");
    harness_close(&it);
}

TEST(a_renamed_key_keeps_value_and_deadline)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "RENAME a b", "-ERR no such key", "SET a 1 PX 5000", "+OK", "SET b old",
                 "+OK", "RENAMENX a b", ":0", "RENAME a a", "+OK", "RENAMENX a a", ":0",
                 "RENAME a b", "+OK", "EXISTS a", ":0", "PTTL b", ":5000", "RENAMENX b c", ":1",
                 "GET c", "$1 1", "RENAMENX none c", "-ERR no such key");
    harness_close(&it);
}

TEST(copies_go_to_any_database)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a value PX 5000", "+OK", "COPY a b", ":1", "PTTL b", ":5000", "COPY a b",
                 ":0", "SET a new", "+OK", "COPY a b REPLACE", ":1", "GET b", "$3 new", "TTL b",
                 ":-1", "COPY a a", "-ERR source and destination objects are the same",
                 "COPY a a DB 1", ":1", "COPY a b DB 16", "-ERR DB index is out of range",
                 "COPY a b DB x", "-ERR value is not an integer or out of range", "COPY a b TO c",
                 SYNTAX, "COPY none b", ":0");
    it.client.db = 1;
    CHECK_SCRIPT(&it, "GET a", "$3 new");
    harness_close(&it);
}

TEST(a_moved_key_leaves_its_database)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a value PX 5000", "+OK", "MOVE a 0",
                 "-ERR source and destination objects are the same", "MOVE a 16",
                 "-ERR DB index is out of range", "MOVE a 1", ":1", "MOVE a 1", ":0", "SET a new",
                 "+OK", "MOVE a 1", ":0");
    it.client.db = 1;
    CHECK_SCRIPT(&it, "GET a", "$5 value", "PTTL a", ":5000", "DBSIZE", ":1");
    harness_close(&it);
}

TEST(deadlines_are_set_under_conditions)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(
        &it, "EXPIRE a 10", ":0", "SET a 1", "+OK", "EXPIRE a 10 XX", ":0", "EXPIRE a 10 GT", ":0",
        "EXPIRE a 10 LT", ":1", "EXPIRE a 20 NX", ":0", "EXPIRE a 20 LT", ":0", "EXPIRE a 20 GT",
        ":1", "TTL a", ":20", "PEXPIRE a 1499", ":1", "TTL a", ":1", "PEXPIRE a 1500 XX", ":1",
        "TTL a", ":2", "EXPIREAT a 4000000100", ":1", "EXPIRETIME a", ":4000000100",
        "PEXPIREAT a 4000000000999", ":1", "PEXPIRETIME a", ":4000000000999", "EXPIRETIME a",
        ":4000000001", "PTTL a", ":999", "PERSIST a", ":1", "PERSIST a", ":0", "PTTL a", ":-1",
        "EXPIRETIME a", ":-1", "TTL none", ":-2", "PEXPIRETIME none", ":-2", "EXPIRE a 10 NX XX",
        "-ERR NX and XX, GT or LT options at the same time are not compatible", "EXPIRE a 10 GT LT",
        "-ERR GT and LT options at the same time are not compatible", "EXPIRE a 10 FOO",
        "-ERR Unsupported option FOO", "EXPIRE a 9223372036854775807",
        "-ERR invalid expire time in 'expire' command", "PEXPIRE a 9223372036854775807",
        "-ERR invalid expire time in 'pexpire' command", "EXPIRE a x",
        "-ERR value is not an integer or out of range", "EXPIRE a -1", ":1", "EXISTS a", ":0");
    harness_close(&it);
}

TEST(wait_answers_at_once_or_asks_to_be_parked)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "WAIT 0 100", ":0", "WAIT -1 0", ":0", "WAIT x 0",
                 "-ERR value is not an integer or out of range", "WAIT 1 x",
                 "-ERR timeout is not an integer or out of range", "WAIT 0 -1",
                 "-ERR timeout is negative");
    harness_run(&it, "WAIT 1 250");
    CHECK_INT(FE_AFTER_WAIT, it.call.after);
    CHECK_INT(250, it.call.wait_ms);
    CHECK_INT(0, it.call.wait_reply);
    CHECK_INT(0, it.reply.len);
    harness_run(&it, "WAIT 1 0");
    CHECK_INT(0, it.call.wait_ms);
    harness_close(&it);
}

TEST(waitaof_answers_two_numbers_or_asks_to_be_parked)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "WAITAOF 0 0 100", "*2 :0 :0", "WAITAOF 1 0 0",
                 "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
                 "WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1",
                 "WAITAOF -1 0 0", "-ERR value is out of range, value must between 0 and 1",
                 "WAITAOF x 0 0", "-ERR value is not an integer or out of range", "WAITAOF 0 -1 0",
                 "-ERR value is out of range, must be positive", "WAITAOF 0 x 0",
                 "-ERR value is out of range, must be positive", "WAITAOF 1 1 x",
                 "-ERR timeout is not an integer or out of range", "WAITAOF 0 0 -1",
                 "-ERR timeout is negative");
    harness_run(&it, "WAITAOF 0 1 250");
    CHECK_INT(FE_AFTER_WAIT, it.call.after);
    CHECK_INT(250, it.call.wait_ms);
    CHECK(it.call.wait_is_pair);
    CHECK_INT(0, it.reply.len);
    harness_close(&it);
}

TEST(object_tells_how_a_value_is_held)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1", "+OK", "OBJECT ENCODING a", "$3 int", "SET a x", "+OK",
                 "OBJECT ENCODING a", "$6 embstr",
                 "SET a 12345678901234567890123456789012345678901234", "+OK", "OBJECT ENCODING a",
                 "$6 embstr", "SET a 123456789012345678901234567890123456789012345", "+OK",
                 "OBJECT ENCODING a", "$3 raw", "OBJECT ENCODING none", "$-1", "OBJECT REFCOUNT a",
                 ":1", "OBJECT IDLETIME a", ":0", "OBJECT FREQ none", "$-1", "OBJECT ENCODING",
                 "-ERR wrong number of arguments for 'object|encoding' command");
    CHECK(strncmp(harness_run(&it, "OBJECT FREQ a"), "-ERR An LFU", 11) == 0);
    CHECK(strncmp(harness_run(&it, "OBJECT HELP"), "*14 +OBJECT <sub", 16) == 0);
    harness_close(&it);
}

/* Collects the names of one SCAN reply that end with a digit. */
static uint64_t take_scan(const char *reply, bool seen[100])
{
    uint64_t cursor = strtoull(strchr(reply + 3, ' ') + 1, NULL, 10);
    for (const char *at = strstr(reply, " k"); at != NULL; at = strstr(at + 1, " k"))
        seen[strtoul(at + 2, NULL, 10)] = true;
    return cursor;
}

TEST(scan_visits_every_key_and_keys_lists_them)
{
    harness it;
    harness_open(&it);
    char request[64];
    for (int i = 0; i < 100; i++) {
        snprintf(request, sizeof(request), "SET k%d v", i);
        harness_run(&it, request);
    }
    bool seen[100] = {false};
    uint64_t cursor = 0;
    int calls = 0;
    do {
        snprintf(request, sizeof(request), "SCAN %" PRIu64 " COUNT 7 MATCH k*", cursor);
        cursor = take_scan(harness_run(&it, request), seen);
        calls++;
    } while (cursor != 0);
    for (int i = 0; i < 100; i++)
        CHECK(seen[i]);
    CHECK(calls > 3);
    CHECK(strncmp(harness_run(&it, "KEYS *"), "*100 ", 5) == 0);
    CHECK(strncmp(harness_run(&it, "KEYS k?"), "*10 ", 4) == 0);
    CHECK_SCRIPT(&it, "KEYS k5", "*1 $2 k5", "KEYS none", "*0", "SCAN 0 COUNT 1000 MATCH k77",
                 "*2 $1 0 *1 $3 k77", "SCAN 0 COUNT 1000 TYPE list", "*2 $1 0 *0", "SCAN x",
                 "-ERR invalid cursor", "SCAN -", "-ERR invalid cursor",
                 "SCAN 18446744073709551616", "-ERR invalid cursor", "SCAN 0 COUNT 0", SYNTAX,
                 "SCAN 0 COUNT x", "-ERR value is not an integer or out of range", "SCAN 0 MATCH",
                 SYNTAX);
    harness_close(&it);
}

TEST(keys_and_scan_leave_expired_keys_out)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1 PX 10", "+OK", "SET b 1", "+OK");
    harness_set_now(&it, it.engine->now_ms + 11);
    CHECK_SCRIPT(&it, "KEYS *", "*1 $1 b", "DBSIZE", ":2", "SCAN 0 COUNT 1000 MATCH c",
                 "*2 $1 0 *0", "DBSIZE", ":2", "SCAN 0 COUNT 1000", "*2 $1 0 *1 $1 b", "DBSIZE",
                 ":1", "KEYS a", "*0");
    harness_close(&it);
}

/* DUMPs key a and RESTOREs it as b with up to two more arguments. */
static const char *restore(harness *it, const char *ttl, const char *option, const char *argument)
{
    harness_run(it, "DUMP a");
    static uint8_t payload[256];
    const uint8_t *start = memchr(it->reply.data, '\n', it->reply.len);
    FE_ASSERT(start != NULL);
    size_t len = it->reply.len - (size_t)(start + 1 - it->reply.data) - 2;
    FE_ASSERT(len <= sizeof(payload));
    memcpy(payload, start + 1, len);
    const fe_bytes argv[] = {FE_BYTES("RESTORE"),
                             FE_BYTES("b"),
                             {(const uint8_t *)ttl, strlen(ttl)},
                             {payload, len},
                             {(const uint8_t *)option, strlen(option)},
                             {(const uint8_t *)argument, strlen(argument)}};
    return harness_run_bytes(it, argv, 4u + (*option != 0) + (*argument != 0));
}

TEST(what_dump_answers_restore_takes)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "DUMP a", "$-1", "SET a 123", "+OK");

    CHECK_REPLY("+OK", restore(&it, "0", "", ""));
    CHECK_SCRIPT(&it, "GET b", "$3 123", "OBJECT ENCODING b", "$3 int", "TTL b", ":-1");
    CHECK_REPLY("-BUSYKEY Target key name already exists.", restore(&it, "0", "", ""));
    CHECK_REPLY("+OK", restore(&it, "1000", "REPLACE", ""));
    CHECK_SCRIPT(&it, "PTTL b", ":1000");
    CHECK_REPLY("+OK", restore(&it, "1", "REPLACE", "ABSTTL"));
    CHECK_SCRIPT(&it, "EXISTS b", ":0");
    CHECK_REPLY("+OK", restore(&it, "0", "IDLETIME", "77"));
    CHECK_SCRIPT(&it, "OBJECT IDLETIME b", ":77", "DEL b", ":1");
    CHECK_REPLY("-ERR Invalid IDLETIME value, must be >= 0", restore(&it, "0", "IDLETIME", "-1"));
    CHECK_REPLY("-ERR Invalid FREQ value, must be >= 0 and <= 255",
                restore(&it, "0", "FREQ", "256"));
    CHECK_REPLY("-ERR Invalid TTL value, must be >= 0", restore(&it, "-1", "", ""));
    CHECK_REPLY(SYNTAX, restore(&it, "0", "BAD", ""));
    CHECK_SCRIPT(&it, "RESTORE b 0 garbage", "-ERR DUMP payload version or checksum are wrong");
    harness_close(&it);
}

int main(void)
{
    RUN(keys_are_removed_counted_and_named);
    RUN(a_renamed_key_keeps_value_and_deadline);
    RUN(copies_go_to_any_database);
    RUN(a_moved_key_leaves_its_database);
    RUN(deadlines_are_set_under_conditions);
    RUN(wait_answers_at_once_or_asks_to_be_parked);
    RUN(waitaof_answers_two_numbers_or_asks_to_be_parked);
    RUN(object_tells_how_a_value_is_held);
    RUN(scan_visits_every_key_and_keys_lists_them);
    RUN(keys_and_scan_leave_expired_keys_out);
    RUN(what_dump_answers_restore_takes);
    return check_done();
}
