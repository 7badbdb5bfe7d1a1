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

TEST(entries_tell_their_span_when_it_was_recorded)
{
    harness it;
    harness_open(&it);
    add(&it, 1);
    add(&it, 2);
    fe_trace_label label = {.trace_id = {0xab},
                            .span_id = 0xcd,
                            .is_timed = true,
                            .is_located = true,
                            .queued_us = 1,
                            .located_us = 2,
                            .took_us = 30,
                            .waited_us = 4};

    fe_slowlog_label(&it.engine->slowlog, 1, &label);
    fe_slowlog_label(&it.engine->slowlog, 7, &label); /* is gone, or never was */

    CHECK_SCRIPT(
        &it, "SLOWLOG TRACES 1",
        "*1 *4 :1 $32 ab000000000000000000000000000000 $16 00000000000000cd *8 $6 queued :1 "
        "$7 located :2 $4 took :30 $6 waited :4",
        "SLOWLOG GET 1", "*1 *6 :1 :2 :102 *2 $3 GET $1 k $3 a:1 $2 me", "SLOWLOG RESET", "+OK",
        "SLOWLOG TRACES", "*0");
    add(&it, 3); /* of which nothing is known */
    CHECK_SCRIPT(&it, "SLOWLOG TRACES -1",
                 "*1 *4 :2 $-1 $-1 *8 $6 queued $-1 $7 located $-1 $4 took $-1 $6 waited $-1");
    label = (fe_trace_label){.is_timed = true, .queued_us = 1, .took_us = 30};
    fe_slowlog_label(&it.engine->slowlog, 2, &label); /* without a span, and looked nothing up */
    CHECK_SCRIPT(&it, "SLOWLOG TRACES -1",
                 "*1 *4 :2 $-1 $-1 *8 $6 queued :1 $7 located $-1 $4 took :30 $6 waited :0");
    harness_close(&it);
}

int main(void)
{
    RUN(entries_are_answered_newest_first);
    RUN(counts_are_checked);
    RUN(entries_tell_their_span_when_it_was_recorded);
    return check_done();
}
