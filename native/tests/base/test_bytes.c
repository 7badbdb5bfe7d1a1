/* Comparisons of borrowed bytes. */
#include "base/bytes.h"

#include "tests/check.h"

TEST(equality_compares_length_and_content)
{
    CHECK(fe_bytes_equal(FE_BYTES("abc"), FE_BYTES("abc")));
    CHECK(!fe_bytes_equal(FE_BYTES("abc"), FE_BYTES("abd")));
    CHECK(!fe_bytes_equal(FE_BYTES("abc"), FE_BYTES("ab")));
    CHECK(fe_bytes_equal((fe_bytes){NULL, 0}, FE_BYTES("")));
}

TEST(words_match_whole_and_without_case)
{
    CHECK(fe_bytes_is_word(FE_BYTES("gEt"), "GET"));
    CHECK(fe_bytes_is_word(FE_BYTES("GET"), "get"));
    CHECK(!fe_bytes_is_word(FE_BYTES("GE"), "GET"));
    CHECK(!fe_bytes_is_word(FE_BYTES("GETS"), "GET"));
    CHECK(!fe_bytes_is_word(FE_BYTES("GET\0"), "GET"));
    CHECK(!fe_bytes_is_word(FE_BYTES("[et"), "{et"));
    CHECK(fe_bytes_is_word(FE_BYTES(""), ""));
}

int main(void)
{
    RUN(equality_compares_length_and_content);
    RUN(words_match_whole_and_without_case);
    return check_done();
}
