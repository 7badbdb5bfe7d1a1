/* The texts of a record: written and found again; what a key and a command line show. */
#include "tests/check.h"

#include "event/texts.h"

#define B(literal) FE_BYTES(literal)

static union {
    fe_trace_record record;
    uint8_t bytes[sizeof(fe_trace_record) + FE_TRACE_TAIL_MAX];
} space;

static fe_texts begin(void)
{
    memset(&space, 0, sizeof space);
    return (fe_texts){space.bytes + sizeof(fe_trace_record), 0};
}

static void check_text(fe_trace_text type, const char *expected)
{
    fe_bytes text = fe_texts_find(&space.record, type);
    CHECK_BYTES(expected, strlen(expected), text.ptr, text.len);
}

TEST(texts_are_found_by_type)
{
    fe_texts texts = begin();

    fe_texts_put(&texts, FE_TEXT_ADDRESS, B("127.0.0.1:7"));
    fe_texts_put(&texts, FE_TEXT_ERROR, B("ERR"));
    fe_texts_put(&texts, FE_TEXT_KEY, B(""));
    fe_texts_put(&texts, FE_TEXT_BAGGAGE, B("a=1"));
    space.record.tail_len = (uint16_t)texts.len;

    CHECK_INT(0, texts.len % 4);
    check_text(FE_TEXT_ADDRESS, "127.0.0.1:7");
    check_text(FE_TEXT_ERROR, "ERR");
    check_text(FE_TEXT_BAGGAGE, "a=1");
    check_text(FE_TEXT_KEY, "");
}

TEST(a_text_that_does_not_fit_is_cut)
{
    static uint8_t much[2 * FE_TRACE_TAIL_MAX];
    memset(much, 'x', sizeof much);
    fe_texts texts = begin();

    fe_texts_put(&texts, FE_TEXT_KEY, B("key"));
    fe_texts_put(&texts, FE_TEXT_TRACESTATE, (fe_bytes){much, sizeof much});
    fe_texts_put(&texts, FE_TEXT_BAGGAGE, B("a=1"));
    space.record.tail_len = (uint16_t)texts.len;

    CHECK_INT(FE_TRACE_TAIL_MAX, texts.len);
    CHECK_INT(FE_TRACE_TAIL_MAX - 8 - 4, fe_texts_find(&space.record, FE_TEXT_TRACESTATE).len);
    check_text(FE_TEXT_KEY, "key");
    check_text(FE_TEXT_BAGGAGE, "");
}

static void check_pattern(const char *key, const char *expected)
{
    uint8_t out[FE_TEXT_KEY_MAX];
    size_t len = fe_texts_pattern((fe_bytes){(const uint8_t *)key, strlen(key)}, out);
    CHECK_BYTES(expected, strlen(expected), out, len);
}

TEST(a_pattern_masks_what_tells_one_key_from_its_like)
{
    check_pattern("user:456:profile", "user:*:profile");
    check_pattern("key:000000001234", "key:*");
    check_pattern("config", "config");
    check_pattern("", "");
    check_pattern("123", "*");
    check_pattern("user123", "user*");
    check_pattern("v2:cart_17_items", "v*:cart_*_items");
    check_pattern("session:550e8400-e29b-41d4-a716-446655440000", "session:*");
    check_pattern("session/deadbeef01/x", "session/*/x");
    check_pattern("token:eyJhbGciOiJIUzI1NiJ9", "token:*");
    check_pattern("cached:facade", "cached:facade");
    check_pattern("{user1}.following", "{user*}.following");
    check_pattern("x:a\xff\x01z:y", "x:*:y");
    check_pattern("s\xc3\xa4", "*");
    check_pattern("a::b", "a::b");
}

TEST(a_pattern_is_bounded)
{
    uint8_t key[1000], out[FE_TEXT_KEY_MAX];
    memset(key, '_', sizeof key);

    CHECK_INT(FE_TEXT_KEY_MAX, fe_texts_pattern((fe_bytes){key, sizeof key}, out));
    memset(key, '7', sizeof key);
    CHECK_INT(1, fe_texts_pattern((fe_bytes){key, sizeof key}, out));
}

static void check_statement(const char *name, uint32_t argc, uint16_t key_index, const char *key,
                            const char *expected)
{
    uint8_t out[64];
    fe_texts texts = begin();
    fe_texts_put(&texts, FE_TEXT_KEY, (fe_bytes){(const uint8_t *)key, strlen(key)});
    space.record.tail_len = (uint16_t)texts.len;
    space.record.argc = argc;
    space.record.key_index = key_index;
    size_t len = fe_texts_statement(&space.record, (fe_bytes){(const uint8_t *)name, strlen(name)},
                                    out, sizeof out);
    CHECK_BYTES(expected, strlen(expected), out, len);
}

TEST(a_statement_masks_literals)
{
    check_statement("set", 3, 1, "user:123", "SET user:123 ?");
    check_statement("set", 3, 1, "", "SET ? ?");
    check_statement("ping", 1, 0, "", "PING");
    check_statement("client|setname", 3, 0, "", "CLIENT SETNAME ?");
    check_statement("bitop", 5, 2, "dest", "BITOP ? dest ? ?");
    check_statement("mget", 99, 1, "k", "MGET k ? ? ? ? ? ? ? ? ? ? ? ? ? ? ...");
    check_statement("a-name-that-is-longer-than-what-there-is-room-for-in-the-end-of-it", 1, 0, "",
                    "A-NAME-THAT-IS-LONGER-THAN-WHAT-THERE-IS-ROOM-FOR-IN-THE-END-OF-");
}

int main(void)
{
    RUN(texts_are_found_by_type);
    RUN(a_text_that_does_not_fit_is_cut);
    RUN(a_pattern_masks_what_tells_one_key_from_its_like);
    RUN(a_pattern_is_bounded);
    RUN(a_statement_masks_literals);
    return check_done();
}
