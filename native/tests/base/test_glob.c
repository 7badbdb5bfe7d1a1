/* Globs: a table of the rules and corners, and random patterns against a recursive model. */
#include "base/glob.h"

#include "base/clock.h"
#include "base/random.h"
#include "tests/check.h"

static bool match(const char *pattern, const char *text, bool ignore_case)
{
    return fe_glob_match((fe_bytes){(const uint8_t *)pattern, strlen(pattern)},
                         (fe_bytes){(const uint8_t *)text, strlen(text)}, ignore_case);
}

#define YES(pattern, text) CHECK(match(pattern, text, false))
#define NO(pattern, text) CHECK(!match(pattern, text, false))

TEST(stars_and_question_marks)
{
    YES("*", "anything");
    YES("a*", "a");
    YES("*a", "a");
    YES("a**b", "aXXb");
    YES("*a*b*", "xaxxbx");
    NO("a*b", "axxc");
    YES("h?llo", "hello");
    NO("h?llo", "hllo");
    NO("?", "ab");
    YES("", "");
    NO("", "a");
}

TEST(classes_and_ranges)
{
    YES("h[ae]llo", "hallo");
    NO("h[ae]llo", "hillo");
    YES("h[^e]llo", "hallo");
    NO("h[^e]llo", "hello");
    YES("[a-c]x", "bx");
    YES("[c-a]x", "bx");
    NO("[c-a]x", "dx");
    YES("[\\]]", "]");
    YES("[a\\-c]", "-");
    NO("[a\\-c]", "b");
    NO("[]", "a");
    YES("[^]", "a");
}

TEST(backslashes)
{
    YES("a\\*b", "a*b");
    NO("a\\*b", "axb");
    YES("\\?", "?");
    YES("a\\", "a\\");
    NO("a\\", "a");
}

/* What Redis does where its documentation says nothing. */
TEST(corners)
{
    NO("*", "");
    NO("**", "");
    YES("[a", "a");
    NO("[a", "b");
    YES("[^a", "b");
    NO("[", "[");
    YES("[^", "x");
    YES("[a-", "-");
    NO("[a-]", "-");
    YES("[a-]", "^");
    YES("[\\", "\\");
    YES("[\\-x]", "-");
    YES("[\xfe-\x01]", "\xff");
    NO("[a-\xff]", "\xfe");
}

TEST(case_is_ignored_on_request)
{
    CHECK(match("HeLLo*", "hEllO!", true));
    CHECK(!match("hello", "HELLO", false));
    CHECK(match("[A-C]", "b", true));
    CHECK(match("[xYz]", "y", true));
    CHECK(!match("[\\Y]", "y", true));
    CHECK(!match("[", "{", true));
}

TEST(literal_patterns_are_recognised)
{
    CHECK(fe_glob_is_literal(FE_BYTES("user:1]")));
    CHECK(fe_glob_is_literal(FE_BYTES("")));
    CHECK(!fe_glob_is_literal(FE_BYTES("a*")));
    CHECK(!fe_glob_is_literal(FE_BYTES("a?")));
    CHECK(!fe_glob_is_literal(FE_BYTES("[a")));
    CHECK(!fe_glob_is_literal(FE_BYTES("a\\")));
}

/* A pattern on which naive backtracking takes longer than the universe. */
TEST(many_stars_take_bounded_time)
{
    char pattern[401];
    char text[4001];
    for (int i = 0; i < 200; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    pattern[398] = '*';
    pattern[399] = 'b';
    pattern[400] = 0;
    memset(text, 'a', 4000);
    text[4000] = 0;

    uint64_t start = fe_clock_monotonic_ns();
    CHECK(!match(pattern, text, false));
    CHECK(fe_clock_monotonic_ns() - start < UINT64_C(1000000000));
}

/* One element at a time, every length of every star tried; classes of single letters only. */
static bool model(const char *p, const char *t)
{
    if (*t == 0) {
        while (*p == '*')
            p++;
        return *p == 0;
    }
    if (*p == 0) return false;
    if (*p == '*') {
        for (const char *rest = t;; rest++) {
            if (model(p + 1, rest)) return true;
            if (*rest == 0) return false;
        }
    }
    if (*p == '[') {
        bool negated = p[1] == '^';
        const char *in = p + 1 + negated;
        bool found = false;
        for (; *in != ']'; in++)
            found |= *in == *t;
        return found != negated && model(in + 1, t + 1);
    }
    if (*p == '\\')
        p++;
    else if (*p == '?')
        return model(p + 1, t + 1);
    return *p == *t && model(p + 1, t + 1);
}

TEST(random_patterns_agree_with_the_model)
{
    static const char *const pieces[] = {"a", "b", "*", "*", "?", "[ab]", "[^b]", "\\a", "\\*"};
    fe_random random;
    fe_random_init(&random, 4);
    int matched = 0;

    for (int round = 0; round < 200000; round++) {
        char pattern[64] = "";
        char text[16] = "";
        size_t count = fe_random_below(&random, 8);
        for (size_t i = 0; i < count; i++)
            strcat(pattern, pieces[fe_random_below(&random, 9)]);
        size_t len = 1 + fe_random_below(&random, 10);
        for (size_t i = 0; i < len; i++)
            text[i] = "aab*"[fe_random_below(&random, 4)];
        bool expected = model(pattern, text);
        matched += expected;
        if (expected != match(pattern, text, false)) {
            CHECK_BYTES("", 0, pattern, strlen(pattern));
            CHECK_BYTES("", 0, text, strlen(text));
        }
    }
    CHECK(matched > 10000);
}

int main(void)
{
    RUN(stars_and_question_marks);
    RUN(classes_and_ranges);
    RUN(backslashes);
    RUN(corners);
    RUN(case_is_ignored_on_request);
    RUN(literal_patterns_are_recognised);
    RUN(many_stars_take_bounded_time);
    RUN(random_patterns_agree_with_the_model);
    return check_done();
}
