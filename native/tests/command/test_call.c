/* What handlers say when they refuse, and integer arguments. */
#include "tests/check.h"
#include "tests/command/harness.h"

/* Makes the call of "WAIT ..." current, so that helpers can be called on it. */
static fe_call *some_call(harness *it, const fe_bytes *argv, uint32_t argc)
{
    harness_run_bytes(it, argv, argc);
    it->reply.len = 0;
    it->call.failed = false;
    return &it->call;
}

#define CHECK_REPLIED(text) CHECK_BYTES(text, sizeof(text) - 1, it.reply.data, it.reply.len)

TEST(an_error_is_written_counted_and_remembered)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("get"), FE_BYTES("key")};
    fe_call *call = some_call(&it, argv, 2);
    uint64_t errors = it.engine->stats.error_replies;

    fe_call_errorf(call, "ERR no %s", "way");

    CHECK_REPLIED("-ERR no way\r\n");
    CHECK(call->failed);
    CHECK_INT(errors + 1, it.engine->stats.error_replies);
    harness_close(&it);
}

TEST(errors_of_the_store_have_redis_texts)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("get"), FE_BYTES("key")};

    fe_call_status_error(some_call(&it, argv, 2), FE_NO_MEMORY);
    CHECK_REPLIED("-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    fe_call_status_error(some_call(&it, argv, 2), FE_TOO_LARGE);
    CHECK_REPLIED("-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    fe_call_arity_error(some_call(&it, argv, 2));
    CHECK_REPLIED("-ERR wrong number of arguments for 'get' command\r\n");
    fe_call_syntax_error(some_call(&it, argv, 2));
    CHECK_REPLIED("-ERR syntax error\r\n");
    harness_close(&it);
}

TEST(integer_arguments_are_read_strictly)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("mget"), FE_BYTES("-12"), FE_BYTES("2147483648"),
                             FE_BYTES("012")};
    fe_call *call = some_call(&it, argv, 4);
    int64_t value = 0;

    CHECK(fe_call_int64(call, 1, &value) && value == -12);
    CHECK(fe_call_int64(call, 2, &value) && value == 2147483648);
    CHECK(!fe_call_int32(call, 2, &value));
    CHECK_REPLIED("-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    it.reply.len = 0;
    CHECK(!fe_call_int64(call, 3, &value));
    CHECK_REPLIED("-ERR value is not an integer or out of range\r\n");
    CHECK_INT(2147483648, value);
    harness_close(&it);
}

TEST(timeouts_become_times)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("mget"), FE_BYTES("0"), FE_BYTES("1500"),
                             FE_BYTES("9223372036854775807"), FE_BYTES("-1")};
    fe_call *call = some_call(&it, argv, 5);
    int64_t timeout_ms = -1;

    CHECK(fe_call_timeout_ms(call, 1, &timeout_ms) && timeout_ms == 0);
    CHECK(fe_call_timeout_ms(call, 2, &timeout_ms) && timeout_ms == 1500);
    CHECK(fe_call_timeout_ms(call, 3, &timeout_ms) && timeout_ms == INT64_MAX);
    CHECK(!fe_call_timeout_ms(call, 4, &timeout_ms));
    CHECK_REPLIED("-ERR timeout is negative\r\n");
    harness_close(&it);
}

TEST(help_begins_and_ends_as_in_redis)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("get"), FE_BYTES("key")};
    const char *const lines[] = {"ROAR", "    Be loud.", NULL};

    fe_call_help(some_call(&it, argv, 2), "lion", lines);

    CHECK_REPLIED("*5\r\n+LION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
                  "+ROAR\r\n+    Be loud.\r\n+HELP\r\n+    Prints this help.\r\n");
    harness_close(&it);
}

int main(void)
{
    RUN(an_error_is_written_counted_and_remembered);
    RUN(errors_of_the_store_have_redis_texts);
    RUN(integer_arguments_are_read_strictly);
    RUN(timeouts_become_times);
    RUN(help_begins_and_ends_as_in_redis);
    return check_done();
}
