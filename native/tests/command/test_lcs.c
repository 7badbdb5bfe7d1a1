/* LCS through requests. */
#include "tests/check.h"
#include "tests/command/harness.h"

TEST(what_two_strings_have_in_common_is_found)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(
        &it, "MSET a ohmytext b mynewtext n 12345", "+OK", "LCS a b", "$6 mytext", "LCS a b LEN",
        ":6", "LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6",
        "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
        "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6", "LCS n n", "$5 12345", "LCS none a",
        "$0 ", "LCS none none LEN", ":0", "LCS none none IDX", "*4 $7 matches *0 $3 len :0");
    it.client.resp = 3;
    CHECK_SCRIPT(&it, "LCS none none IDX", "%2 $7 matches *0 $3 len :0");
    harness_close(&it);
}

TEST(options_that_contradict_are_refused)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "LCS a b IDX LEN",
                 "-ERR If you want both the length and indexes, please just use IDX.",
                 "LCS a b FOO", "-ERR syntax error", "LCS a b MINMATCHLEN", "-ERR syntax error",
                 "LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range");
    harness_close(&it);
}

TEST(work_beyond_the_bound_is_refused)
{
    harness it;
    harness_open(&it);
    it.engine->options.bulk_len_max = 1 << 20;
    CHECK_SCRIPT(&it, "SETRANGE a 599 x", ":600", "LCS a a LEN",
                 "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
                 "SETRANGE b 399 x", ":400", "LCS a b LEN", ":400");
    fe_alloc_fail_after(&it.engine->alloc, 0);
    const char *reply = harness_run(&it, "LCS a b");
    fe_alloc_fail_after(&it.engine->alloc, -1);
    CHECK_REPLY("-ERR Insufficient memory, failed allocating transient memory for LCS", reply);
    harness_close(&it);
}

int main(void)
{
    RUN(what_two_strings_have_in_common_is_found);
    RUN(options_that_contradict_are_refused);
    RUN(work_beyond_the_bound_is_refused);
    return check_done();
}
