/* What patterns of keys hide of people and of secrets, and what stays readable. */
#include "tests/check.h"

#include "base/random.h"
#include "event/texts.h"

static void check_pattern(const char *key, const char *expected)
{
    uint8_t out[FE_TEXT_KEY_MAX];
    size_t len = fe_texts_pattern((fe_bytes){(const uint8_t *)key, strlen(key)}, out);
    CHECK_BYTES(expected, strlen(expected), out, len);
}

TEST(addresses_are_masked)
{
    check_pattern("user:alice@example.com", "user:*");
    check_pattern("mail:bob.smith+x@gmail.com:inbox", "mail:*:inbox");
    check_pattern("mail/alice%40example.com/inbox", "mail/*/inbox");
    check_pattern("alice@example.com:cart", "*:cart");
    check_pattern("{alice@example.com}.following", "{*}.following");
    check_pattern("login:@alice", "login:*");
    check_pattern("login:a.alice@example.", "login:*.");
    check_pattern("sale:50%", "sale:*%");
    check_pattern("a.b.c", "a.b.c");
}

TEST(tokens_without_digits_are_masked)
{
    check_pattern("api:sk_live_abcdefghijklmnop", "api:*");
    check_pattern("api:sk_live_abcd_efgh", "api:*");
    check_pattern("sess:abcdefghijklmnopqrstuvwxyz", "sess:*");
    check_pattern("sess:ABCDEFGHIJKLMNOP", "sess:*");
    check_pattern("sess:aBcDeFgHiJkLmNoPq", "sess:*");
    check_pattern("sess:QmVhcmVyVG9rZW5z", "sess:*");
    check_pattern("sess:dGhpc1-abcdefghijklmnop-x", "sess:*");
    check_pattern("auth.abcdefghijklmnop.x", "auth.*.x");
}

TEST(values_and_queries_are_masked)
{
    check_pattern("page:https://example.com/u/alice?token=abc&x=/y",
                  "page:https://example.com/u/alice?*");
    check_pattern("search:name=bob.smith:page", "search:name=*:page");
    check_pattern("search:name=bob@x.org,age=7", "search:name=*,age=*");
    check_pattern("search:name=?q", "search:name=?*");
    check_pattern("why?", "why?");
    check_pattern("why=", "why=");
    check_pattern("why=:x", "why=:x");
}

TEST(words_stay_readable)
{
    check_pattern("user", "user");
    check_pattern("session:data", "session:data");
    check_pattern("user_notification_preferences", "user_notification_preferences");
    check_pattern("UserNotificationPreferences", "UserNotificationPreferences");
    check_pattern("userNotificationPreferences", "userNotificationPreferences");
    check_pattern("rate-limit-by-customer", "rate-limit-by-customer");
    check_pattern("recommendations", "recommendations");
    check_pattern("skip_list_of_things", "skip_list_of_things");
}

/* The `@` may stand behind what there is room for. */
TEST(an_address_that_is_cut_is_masked)
{
    char key[200];
    memset(key, 'a', sizeof key);
    for (size_t i = 10; i < 190; i += 10)
        key[i] = '.';
    memcpy(key, "user:", 5);
    memcpy(key + 150, "@example.com", 13);

    check_pattern(key, "user:*");
}

TEST(any_bytes_stay_within_bounds)
{
    static const char signs[] = ":./=?@%40aA{}1-_\xff x";
    fe_random random;
    fe_random_init(&random, 8);
    uint32_t wrong = 0;

    for (int round = 0; round < 20000; round++) {
        uint8_t key[300], out[FE_TEXT_KEY_MAX + 1];
        size_t len = fe_random_next(&random) % sizeof key;
        for (size_t i = 0; i < len; i++)
            key[i] = (uint8_t)signs[fe_random_next(&random) % (sizeof signs - 1)];
        out[FE_TEXT_KEY_MAX] = 0x5a;
        size_t kept = fe_texts_pattern((fe_bytes){key, len}, out);
        wrong += kept > FE_TEXT_KEY_MAX || kept > len || out[FE_TEXT_KEY_MAX] != 0x5a ||
                 memchr(out, '@', kept) != NULL;
    }

    CHECK_INT(0, wrong);
}

int main(void)
{
    RUN(addresses_are_masked);
    RUN(tokens_without_digits_are_masked);
    RUN(values_and_queries_are_masked);
    RUN(words_stay_readable);
    RUN(an_address_that_is_cut_is_masked);
    RUN(any_bytes_stay_within_bounds);
    return check_done();
}
