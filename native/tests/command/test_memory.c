/* MEMORY USAGE and PURGE. */
#include "tests/check.h"

#include "tests/command/harness.h"

TEST(usage_covers_key_and_value_and_touches_nothing)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET k v", "+OK", "SETRANGE large 99999 x", ":100000", "MEMORY USAGE missing",
                 "$-1");
    fe_store_stats before, after;
    fe_store_stats_get(it.engine->store, &before);

    long long small = atoll(harness_run(&it, "MEMORY USAGE k") + 1);
    long long large = atoll(harness_run(&it, "MEMORY USAGE large SAMPLES 0 samples 5") + 1);

    CHECK(small >= 10 && small <= 64);
    CHECK(large >= 100000 && large < 250000);
    fe_store_stats_get(it.engine->store, &after);
    CHECK_INT(before.hits, after.hits);
    CHECK_INT(before.misses, after.misses);
    harness_close(&it);
}

TEST(samples_are_checked_before_the_key)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "MEMORY USAGE missing FOO", "-ERR syntax error",
                 "MEMORY USAGE missing SAMPLES", "-ERR syntax error",
                 "MEMORY USAGE missing SAMPLES -1", "-ERR syntax error",
                 "MEMORY USAGE missing SAMPLES x", "-ERR value is not an integer or out of range");
    harness_close(&it);
}

TEST(purge_is_left_to_the_workers)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "MEMORY PURGE", "+OK");
    CHECK(it.engine->purge_wanted);
    harness_close(&it);
}

int main(void)
{
    RUN(usage_covers_key_and_value_and_touches_nothing);
    RUN(samples_are_checked_before_the_key);
    RUN(purge_is_left_to_the_workers);
    return check_done();
}
