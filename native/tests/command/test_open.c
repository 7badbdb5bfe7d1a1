/* Opening keys: hashes that are known, text and integers, values that may grow. */
#include "command/open.h"
#include "resp/number.h"
#include "tests/check.h"
#include "tests/command/harness.h"

static fe_call *call_with(harness *it, const fe_bytes *argv, uint32_t argc)
{
    harness_run_bytes(it, argv, argc);
    it->reply.len = 0;
    return &it->call;
}

TEST(a_hash_that_the_session_knows_is_used)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a value", "+OK");
    const fe_bytes argv[] = {FE_BYTES("MGET"), FE_BYTES("a"), FE_BYTES("a")};
    fe_call *call = call_with(&it, argv, 3);
    uint64_t right = fe_key_hash(fe_store_seed(call->store), argv[1]);
    const uint64_t hashes[] = {0, right, ~right};
    call->hashes = hashes;
    fe_key key;

    call->hash_known_mask = 2;
    CHECK(fe_open_read(call, 1, &key));
    CHECK(fe_open_read(call, 2, &key));
    call->hash_known_mask = 6;
    CHECK(!fe_open_read(call, 2, &key));
    harness_close(&it);
}

TEST(canonical_integers_are_held_as_integers)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("MGET"), FE_BYTES("a")};
    fe_call *call = call_with(&it, argv, 2);
    static const struct {
        const char *text;
        bool is_int;
    } cases[] = {{"0", true},
                 {"-1", true},
                 {"9223372036854775807", true},
                 {"9223372036854775808", false},
                 {"01", false},
                 {"+1", false},
                 {"", false},
                 {"-", false},
                 {"x", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fe_bytes text = {(const uint8_t *)cases[i].text, strlen(cases[i].text)};
        fe_key key;
        fe_open_write(call, 1, &key);
        CHECK(fe_open_store_text(call, &key, text, FE_DEADLINE_NONE));

        int64_t value;
        char digits[21];
        CHECK_INT(cases[i].is_int, fe_open_int(&key, &value));
        fe_bytes back = fe_open_text(&key, digits);
        CHECK_BYTES(text.ptr, text.len, back.ptr, back.len);
    }
    harness_close(&it);
}

TEST(a_raw_value_keeps_its_bytes_and_grows_with_zeros)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("MGET"), FE_BYTES("a")};
    fe_call *call = call_with(&it, argv, 2);
    fe_key key;
    CHECK(!fe_open_write(call, 1, &key));
    uint8_t *value = fe_open_raw(call, &key, 3);
    CHECK(value != NULL && memcmp(value, "\0\0\0", 3) == 0);
    CHECK(fe_open_store_int(call, &key, -12, call->engine->now_ms + 1000));

    value = fe_open_raw(call, &key, 5);

    CHECK(value != NULL && memcmp(value, "-12\0\0", 5) == 0);
    CHECK_INT(call->engine->now_ms + 1000, fe_record_deadline(key.record));
    value = fe_open_raw(call, &key, 1);
    CHECK(value != NULL && fe_record_value_len(key.record) == 5);
    CHECK(fe_open_raw(call, &key, (size_t)FE_VALUE_MAX + 1) == NULL);
    CHECK(call->failed);
    harness_close(&it);
}

TEST(a_client_that_asked_not_to_touch_leaves_idle_times_alone)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a 1", "+OK");
    harness_set_now(&it, it.engine->now_ms + 100000);
    it.client.no_touch = true;
    CHECK_SCRIPT(&it, "GET a", "$1 1", "OBJECT IDLETIME a", ":100", "TOUCH a", ":1",
                 "OBJECT IDLETIME a", ":0");
    harness_set_now(&it, it.engine->now_ms + 50000);
    it.client.no_touch = false;
    CHECK_SCRIPT(&it, "TTL a", ":-1", "EXISTS a", ":1", "OBJECT IDLETIME a", ":50", "GET a", "$1 1",
                 "OBJECT IDLETIME a", ":0");
    harness_close(&it);
}

int main(void)
{
    RUN(a_hash_that_the_session_knows_is_used);
    RUN(canonical_integers_are_held_as_integers);
    RUN(a_raw_value_keeps_its_bytes_and_grows_with_zeros);
    RUN(a_client_that_asked_not_to_touch_leaves_idle_times_alone);
    return check_done();
}
