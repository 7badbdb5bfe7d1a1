/* OBJECT: how a value is held, and what the eviction policy knows of its key. */
#include "tests/check.h"

#include "engine/flusher.h"
#include "engine/keep.h"
#include "store/tier.h"
#include "tests/command/harness.h"

#include <unistd.h>

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

TEST(the_tier_of_a_key_is_told)
{
    harness it;
    char folder[] = "/tmp/ferrite-object-XXXXXX", path[64];
    FE_ASSERT(mkdtemp(folder) != NULL);
    harness_open_in(&it, folder);
    char error[FE_ENGINE_ERROR_MAX];
    CHECK(fe_engine_claim(it.engine, error));
    CHECK_SCRIPT(&it, "OBJECT TIER none", "$-1", "SET key value", "+OK", "OBJECT TIER key",
                 "*14 $4 tier $7 mutable $7 segment :1 $6 offset :0 $5 bytes :16 $9 frequency :0 "
                 "$4 home $-1 $7 certain :1");
    while (fe_tier_demote_all(it.engine->store, FE_TIER_DISK)) {
        while (fe_flusher_round(it.engine)) {}
    }
    CHECK_SCRIPT(&it, "OBJECT TIER key",
                 "*14 $4 tier $4 disk $7 segment :1 $6 offset :0 $5 bytes $-1 $9 frequency $-1 "
                 "$4 home $-1 $7 certain :0",
                 "OBJECT TIER none", "$-1");
    fe_engine_discard(it.engine);
    harness_close(&it);
    (void)snprintf(path, sizeof path, "%s/log", folder);
    CHECK_INT(0, rmdir(path));
    (void)snprintf(path, sizeof path, "%s/LOCK", folder);
    CHECK_INT(0, unlink(path));
    CHECK_INT(0, rmdir(folder));
}

int main(void)
{
    RUN(encodings_follow_the_value);
    RUN(frequency_and_idle_time_depend_on_the_policy);
    RUN(a_missing_key_has_nothing_to_tell);
    RUN(the_tier_of_a_key_is_told);
    return check_done();
}
