/* What a key remembers of its use, for OBJECT IDLETIME, OBJECT FREQ and eviction. */
#include "tests/store/support.h"

static void open_default(fixture *f)
{
    fe_store_options options = fixture_options();
    fixture_open(f, &options);
}

TEST(idle_time_and_frequency_follow_the_accesses)
{
    fixture f;
    open_default(&f);
    CHECK(set(&f, 0, FE_BYTES("a"), FE_BYTES("1"), FE_DEADLINE_NONE));
    fe_store_set_now(f.store, START_MS + 90000);
    fe_key key;
    fe_key_find(f.store, 0, FE_BYTES("a"), fe_key_hash(&f.seed, FE_BYTES("a")), true, &key);
    CHECK_INT(90, fe_store_idle_seconds(f.store, key.record));
    find(&f, 0, FE_BYTES("a"), &key);
    CHECK_INT(0, fe_store_idle_seconds(f.store, key.record));
    fe_store_set_idle(f.store, key.record, 1000);
    CHECK_INT(1000, fe_store_idle_seconds(f.store, key.record));

    fe_store_options options = *fe_store_get_options(f.store);
    options.policy = FE_POLICY_ALLKEYS_LFU;
    fe_store_set_options(f.store, &options);
    CHECK(set(&f, 0, FE_BYTES("b"), FE_BYTES("1"), FE_DEADLINE_NONE));
    find(&f, 0, FE_BYTES("b"), &key);
    CHECK_INT(6, fe_store_frequency(f.store, key.record)); /* 5, and the first use always counts */
    fe_store_set_frequency(f.store, key.record, 200);
    CHECK_INT(200, fe_store_frequency(f.store, key.record));
    fe_store_set_now(f.store, START_MS + 90000 + 10 * 60000);
    CHECK_INT(190, fe_store_frequency(f.store, key.record));
    CHECK_INT(600, fe_store_idle_seconds(f.store, key.record));
    fixture_close(&f);
}

int main(void)
{
    RUN(idle_time_and_frequency_follow_the_accesses);
    return check_done();
}
