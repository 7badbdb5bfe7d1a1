/* The texts of spans: UTF-8, percent-encoding, addresses, members and statements. */
#include "event/otlp_text.h"

#include "tests/check.h"

static void check_copy(const char *text, uint32_t max, const char *expected)
{
    uint8_t out[256];
    uint8_t *end = fe_otlp_text_copy(out, (fe_bytes){(const uint8_t *)text, strlen(text)}, max);
    CHECK_BYTES(expected, strlen(expected), out, (size_t)(end - out));
}

TEST(what_is_utf8_stays_and_each_other_byte_becomes_one_mark)
{
    check_copy("plain text, long enough for words", UINT32_MAX,
               "plain text, long enough for words");
    check_copy("", UINT32_MAX, "");
    check_copy("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", UINT32_MAX,
               "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    check_copy("a\xff"
               "b",
               UINT32_MAX,
               "a\xef\xbf\xbd"
               "b");
    check_copy("\xc3", UINT32_MAX, "\xef\xbf\xbd");
    check_copy("\xe2\x82", UINT32_MAX, "\xef\xbf\xbd\xef\xbf\xbd");
    check_copy("\xc0\x80", UINT32_MAX, "\xef\xbf\xbd\xef\xbf\xbd"); /* too long */
    check_copy("\xed\xa0\x80", UINT32_MAX,
               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* a surrogate */
    check_copy("\xf4\x90\x80\x80", UINT32_MAX,
               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* beyond U+10FFFF */
}

TEST(the_limit_counts_characters)
{
    check_copy("abcdef", 3, "abc");
    check_copy("\xc3\xa9\xc3\xa9\xc3\xa9", 2, "\xc3\xa9\xc3\xa9");
    check_copy("abc", 0, "");
}

TEST(percent_encoding_is_undone_where_it_is_sound)
{
    uint8_t out[64];
    uint8_t *end = fe_otlp_text_decode(out, FE_BYTES("a%20b%2c%zz%4"), UINT32_MAX);
    CHECK_BYTES("a b,%zz%4", 9, out, (size_t)(end - out));
}

static void check_host(const char *address, const char *host, uint32_t port)
{
    uint32_t found;
    fe_bytes part =
        fe_otlp_text_host((fe_bytes){(const uint8_t *)address, strlen(address)}, &found);
    CHECK_BYTES(host, strlen(host), part.ptr, part.len);
    CHECK_INT(port, found);
}

TEST(addresses_are_hosts_and_ports_or_paths)
{
    check_host("10.0.0.1:54321", "10.0.0.1", 54321);
    check_host("[::1]:7", "::1", 7);
    check_host("::1:99", "::1", 99);
    check_host("/tmp/s:0", "/tmp/s", 0); /* as addresses of unix sockets are written */
    check_host("/tmp/s:1:0", "/tmp/s:1", 0);
    check_host("/tmp/s:1", "/tmp/s:1", 0);
    check_host("/:0", "/", 0);
    check_host(":0", ":0", 0);
    check_host("host:", "host:", 0);
    check_host(":7", ":7", 0);
    check_host("h:99999", "h:99999", 0);
    check_host("h:99999999999999999999", "h:99999999999999999999", 0);
    check_host("host", "host", 0);
}

TEST(members_without_a_name_or_a_value_are_passed_over)
{
    fe_bytes rest = FE_BYTES("a=1,,=x,b,c=,d=2=3");
    fe_bytes name, value;
    CHECK(fe_otlp_text_member(&rest, &name, &value));
    CHECK_BYTES("a", 1, name.ptr, name.len);
    CHECK_BYTES("1", 1, value.ptr, value.len);
    CHECK(fe_otlp_text_member(&rest, &name, &value));
    CHECK_BYTES("c", 1, name.ptr, name.len);
    CHECK_INT(0, value.len);
    CHECK(fe_otlp_text_member(&rest, &name, &value));
    CHECK_BYTES("d", 1, name.ptr, name.len);
    CHECK_BYTES("2=3", 3, value.ptr, value.len);
    CHECK(!fe_otlp_text_member(&rest, &name, &value));
}

TEST(a_text_that_reaches_beyond_the_tail_is_refused)
{
    struct {
        fe_trace_record record;
        uint8_t tail[32];
    } one = {.record = {.size = 160, .tail_len = 16},
             .tail = {FE_TEXT_KEY, 0, 3, 0, 'k', 'e', 'y', 0, FE_TEXT_ERROR, 0, 4, 0, 'O', 'O', 'M',
                      'X'}};
    fe_bytes texts[FE_TEXT_COUNT];

    CHECK(fe_otlp_text_read(&one.record, texts));
    CHECK_BYTES("key", 3, texts[FE_TEXT_KEY].ptr, texts[FE_TEXT_KEY].len);
    CHECK_BYTES("OOMX", 4, texts[FE_TEXT_ERROR].ptr, texts[FE_TEXT_ERROR].len);
    CHECK_INT(0, texts[FE_TEXT_ADDRESS].len);

    one.tail[10] = 5;
    CHECK(!fe_otlp_text_read(&one.record, texts));
    CHECK_INT(0, texts[FE_TEXT_ERROR].len);
}

TEST(numbers_in_decimal_digits)
{
    uint8_t out[FE_OTLP_DECIMAL_MAX];
    fe_bytes text = fe_otlp_text_decimal(out, 0);
    CHECK_BYTES("0", 1, text.ptr, text.len);
    text = fe_otlp_text_decimal(out, UINT64_MAX);
    CHECK_BYTES("18446744073709551615", 20, text.ptr, text.len);
}

int main(void)
{
    RUN(what_is_utf8_stays_and_each_other_byte_becomes_one_mark);
    RUN(the_limit_counts_characters);
    RUN(percent_encoding_is_undone_where_it_is_sound);
    RUN(addresses_are_hosts_and_ports_or_paths);
    RUN(members_without_a_name_or_a_value_are_passed_over);
    RUN(a_text_that_reaches_beyond_the_tail_is_refused);
    RUN(numbers_in_decimal_digits);
    return check_done();
}
