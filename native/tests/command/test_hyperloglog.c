/* HyperLogLog and LCS through requests. */
#include "tests/check.h"
#include "tests/command/harness.h"
#include "value/hll.h"

TEST(distinct_elements_are_counted)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "PFADD a", ":1", "PFADD a", ":0", "PFADD a x y z", ":1", "PFADD a x y", ":0",
                 "PFCOUNT a", ":3", "PFADD b z w", ":1", "PFCOUNT a b none", ":4", "PFCOUNT none",
                 ":0", "PFMERGE c a b", "+OK", "PFCOUNT c", ":4", "PFMERGE d", "+OK", "PFCOUNT d",
                 ":0", "OBJECT ENCODING a", "$3 raw");
    harness_close(&it);
}

TEST(a_remembered_count_is_no_change)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "PFADD a x", ":1", "PFCOUNT a", ":1");
    fe_store_stats before, after;
    fe_store_stats_get(it.engine->store, &before);
    CHECK_SCRIPT(&it, "PFCOUNT a", ":1", "PFADD a x", ":0");
    fe_store_stats_get(it.engine->store, &after);
    CHECK_INT(before.changes, after.changes);
    harness_close(&it);
}

TEST(a_dense_value_is_changed_in_its_place)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "PFADD a x", ":1", "PFDEBUG ENCODING a", "+sparse", "PFDEBUG TODENSE a", ":1",
                 "PFDEBUG TODENSE a", ":0", "PFDEBUG ENCODING a", "+dense", "STRLEN a", ":12304",
                 "PFADD a x", ":0", "PFADD a y", ":1", "PFCOUNT a", ":2", "PFADD b q", ":1",
                 "PFMERGE b a", "+OK", "PFDEBUG ENCODING b", "+dense", "PFCOUNT b", ":3",
                 "PFDEBUG DECODE a", "-ERR HLL encoding is not sparse", "PFDEBUG GETREG none",
                 "-ERR The specified key does not exist", "PFDEBUG FOO a",
                 "-ERR Unknown PFDEBUG subcommand 'FOO'");
    CHECK(strncmp(harness_run(&it, "PFDEBUG GETREG a"), "*16384 :0", 9) == 0);
    harness_close(&it);
}

TEST(other_strings_are_refused)
{
    harness it;
    harness_open(&it);
    static const char refused[] = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
    CHECK_SCRIPT(&it, "SET a 12", "+OK", "SET b text", "+OK", "PFADD a x", refused, "PFCOUNT a",
                 refused, "PFCOUNT b none", refused, "PFMERGE c b", refused, "PFMERGE b c", refused,
                 "PFDEBUG ENCODING a", refused, "EXISTS c", ":0");
    harness_close(&it);
}

TEST(memory_that_is_refused_changes_nothing)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "PFADD a x", ":1");
    fe_alloc_fail_after(&it.engine->alloc, 0);
    const char *reply = harness_run(&it, "PFADD a y");
    fe_alloc_fail_after(&it.engine->alloc, -1);
    CHECK(strncmp(reply, "-OOM", 4) == 0);
    CHECK_SCRIPT(&it, "PFCOUNT a", ":1");
    harness_close(&it);
}

TEST(the_self_test_passes_and_leaves_no_key_or_memory)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "PFSELFTEST", "+OK", "DBSIZE", ":0");
    CHECK_INT(0, fe_alloc_used(&it.engine->alloc, FE_ALLOC_SCRATCH));
    harness_close(&it);
}

TEST(the_self_test_without_memory_says_so)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "PFCOUNT none", ":0"); /* the harness has its buffers now */
    fe_alloc_fail_after(&it.engine->alloc, 1);
    const char *reply = harness_run(&it, "PFSELFTEST");
    fe_alloc_fail_after(&it.engine->alloc, -1);
    CHECK(strncmp(reply, "-OOM", 4) == 0);
    harness_close(&it);
}

int main(void)
{
    RUN(distinct_elements_are_counted);
    RUN(a_remembered_count_is_no_change);
    RUN(a_dense_value_is_changed_in_its_place);
    RUN(other_strings_are_refused);
    RUN(memory_that_is_refused_changes_nothing);
    RUN(the_self_test_passes_and_leaves_no_key_or_memory);
    RUN(the_self_test_without_memory_says_so);
    return check_done();
}
