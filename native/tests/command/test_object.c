/* OBJECT: how a value is held, and what the eviction policy knows of its key. */
#include "tests/check.h"
#include "tests/command/harness.h"

TEST(encodings_follow_the_value)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET i 12", "+OK", "OBJECT ENCODING i", "$3 int", "SET s text", "+OK",
                 "OBJECT ENCODING s", "$6 embstr", "APPEND s more", ":8", "OBJECT ENCODING s",
                 "$3 raw", "SET t 123456789012345678901234567890123456789012345", "+OK",
                 "OBJECT ENCODING t", "$3 raw");
    harness_close(&it);
}

TEST(frequency_and_idle_time_depend_on_the_policy)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1", "+OK", "OBJECT IDLETIME a", ":0", "OBJECT REFCOUNT a", ":1");
    CHECK(strncmp(harness_run(&it, "OBJECT FREQ a"), "-ERR An LFU maxmemory policy", 28) == 0);
    harness_close(&it);
}

TEST(a_missing_key_has_nothing_to_tell)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "OBJECT ENCODING none", "$-1", "OBJECT IDLETIME none", "$-1",
                 "OBJECT REFCOUNT none", "$-1");
    harness_close(&it);
}

int main(void)
{
    RUN(encodings_follow_the_value);
    RUN(frequency_and_idle_time_depend_on_the_policy);
    RUN(a_missing_key_has_nothing_to_tell);
    return check_done();
}
