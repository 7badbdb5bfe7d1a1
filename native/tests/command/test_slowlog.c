/* SLOWLOG. */
#include "tests/check.h"

#include "tests/command/harness.h"

static void add(harness *it, int64_t seconds)
{
    const fe_bytes argv[] = {FE_BYTES("GET"), FE_BYTES("k")};
    fe_slowlog_add(&it->engine->slowlog, seconds, 100 + seconds, argv, 2, FE_BYTES("a:1"),
                   FE_BYTES("me"));
}

TEST(entries_are_answered_newest_first)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SLOWLOG GET", "*0", "SLOWLOG LEN", ":0");
    add(&it, 1);
    add(&it, 2);

    CHECK_SCRIPT(
        &it, "SLOWLOG GET 1", "*1 *6 :1 :2 :102 *2 $3 GET $1 k $3 a:1 $2 me", "SLOWLOG GET -1",
        "*2 *6 :1 :2 :102 *2 $3 GET $1 k $3 a:1 $2 me *6 :0 :1 :101 *2 $3 GET $1 k $3 a:1 "
        "$2 me",
        "SLOWLOG GET 0", "*0", "SLOWLOG LEN", ":2", "SLOWLOG RESET", "+OK", "SLOWLOG LEN", ":0");
    harness_close(&it);
}

TEST(counts_are_checked)
{
    harness it;
    harness_open(&it);
    static const char error[] = "-ERR count should be greater than or equal to -1";
    CHECK_SCRIPT(&it, "SLOWLOG GET -2", error, "SLOWLOG GET x", error, "SLOWLOG GET 1 2",
                 "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG "
                 "HELP.");
    harness_close(&it);
}

int main(void)
{
    RUN(entries_are_answered_newest_first);
    RUN(counts_are_checked);
    return check_done();
}
