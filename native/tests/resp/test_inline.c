/* Inline commands: words and quoting as Redis has them. */
#include "resp/inline.h"

#include "tests/check.h"

/* Splits `line` and joins the words with '|'; "!" when the quotes are unbalanced. */
static const char *split(fe_bytes line, char *out)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);
    uint8_t *unquoted = fe_inline_has_quotes(line) ? malloc(line.len) : NULL;
    char *to = out;

    if (fe_inline_split(line, unquoted, &args) == FE_INLINE_UNBALANCED) {
        *to++ = '!';
    } else {
        size_t argc = args.count;
        fe_bytes *argv = fe_args_finish(&args);
        for (size_t i = 0; i < argc; i++) {
            if (i > 0) *to++ = '|';
            if (argv[i].len > 0) memcpy(to, argv[i].ptr, argv[i].len);
            to += argv[i].len;
        }
    }
    *to = 0;
    free(unquoted);
    fe_args_free(&args);
    return out;
}

#define SPLITS(expected, line)                                                                     \
    do {                                                                                           \
        char out[256];                                                                             \
        const char *got = split(FE_BYTES(line), out);                                              \
        CHECK_BYTES(expected, sizeof(expected) - 1, got, strlen(got));                             \
    } while (0)

TEST(white_space_separates_words)
{
    SPLITS("", "");
    SPLITS("", " \t\v ");
    SPLITS("GET|a", "  GET \t a  ");
    SPLITS("a|b", "a\rb");
    SPLITS("a\vb\fc|d", "\va\vb\fc d");
}

TEST(double_quotes_have_escapes)
{
    SPLITS("a b", "\"a b\"");
    SPLITS("\n\r\t\b\a\\\"q", "\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"");
    SPLITS("AZxzz\xffx4", "\"\\x41\\x5A\\xzz\\xfF\\x4\"");
    SPLITS("", "\"\"");
    SPLITS("it's", "\"it's\"");
}

TEST(single_quotes_escape_only_themselves)
{
    SPLITS("a\\n'b\"", "'a\\n\\'b\"'");
    SPLITS("x|", "x ''");
}

TEST(quotes_join_plain_text_before_them)
{
    SPLITS("ab c|d", "a\"b c\" d");
    SPLITS("ab c", "a'b c'");
}

TEST(unbalanced_quotes_are_refused)
{
    SPLITS("!", "\"a");
    SPLITS("!", "'a");
    SPLITS("!", "\"a\"b");
    SPLITS("!", "'a'\"b\"");
    SPLITS("!", "\"a\\\"");
    SPLITS("!", "\"a\\");
    SPLITS("!", "ok \"");
}

TEST(plain_words_are_borrowed_from_the_line)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);
    fe_bytes line = FE_BYTES("GET key");

    CHECK(!fe_inline_has_quotes(line));
    CHECK_INT(FE_INLINE_OK, fe_inline_split(line, NULL, &args));
    CHECK_INT(2, args.count);
    CHECK(fe_args_finish(&args)[1].ptr == line.ptr + 4);
    fe_args_free(&args);
}

TEST(no_memory_is_reported)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);
    fe_alloc_fail_after(&alloc, 0);

    CHECK_INT(FE_INLINE_NO_MEMORY, fe_inline_split(FE_BYTES("a"), NULL, &args));
}

int main(void)
{
    RUN(white_space_separates_words);
    RUN(double_quotes_have_escapes);
    RUN(single_quotes_escape_only_themselves);
    RUN(quotes_join_plain_text_before_them);
    RUN(unbalanced_quotes_are_refused);
    RUN(plain_words_are_borrowed_from_the_line);
    RUN(no_memory_is_reported);
    return check_done();
}
