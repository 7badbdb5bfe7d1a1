/* Trace context: what the standard allows is read, what it forbids is not, and a bad tracestate or member of
 * baggage drops only itself. */
#include "tests/check.h"

#include "event/context.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static bool read_text(const char *text, fe_trace_parent *parent)
{
    return fe_traceparent_read((fe_bytes){(const uint8_t *)text, strlen(text)}, parent);
}

TEST(a_traceparent_of_version_00_is_read)
{
    fe_trace_parent parent;

    CHECK(read_text("00-" TRACE "-" SPAN "-01", &parent));

    static const uint8_t id[] = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                                 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
    CHECK_BYTES(id, 16, parent.trace_id, 16);
    CHECK(parent.span_id == 0x00f067aa0ba902b7);
    CHECK_INT(FE_PARENT_SAMPLED, parent.flags);
    char text[48];
    fe_trace_id_print(text, parent.trace_id);
    fe_span_id_print(text + 32, parent.span_id);
    CHECK_BYTES(TRACE SPAN, 48, text, 48);
}

TEST(unknown_flags_are_dropped)
{
    fe_trace_parent parent;

    CHECK(read_text("00-" TRACE "-" SPAN "-00", &parent));
    CHECK_INT(0, parent.flags);
    CHECK(read_text("00-" TRACE "-" SPAN "-03", &parent));
    CHECK_INT(FE_PARENT_SAMPLED | FE_PARENT_RANDOM, parent.flags);
    CHECK(read_text("00-" TRACE "-" SPAN "-fc", &parent));
    CHECK_INT(0, parent.flags);
}

TEST(a_later_version_is_read_by_its_prefix)
{
    fe_trace_parent parent;

    CHECK(read_text("01-" TRACE "-" SPAN "-01", &parent));
    CHECK(read_text("cc-" TRACE "-" SPAN "-01-what-may-come", &parent));
    CHECK(read_text("cc-" TRACE "-" SPAN "-01-", &parent));
    CHECK(!read_text("cc-" TRACE "-" SPAN "-01.what", &parent));
    CHECK(!read_text("cc-" TRACE "-" SPAN "-011", &parent));
}

TEST(what_the_standard_forbids_is_refused)
{
    static const char *const wrong[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-011",
        "00-" TRACE "-" SPAN "-01-",
        "ff-" TRACE "-" SPAN "-01",
        "0g-" TRACE "-" SPAN "-01",
        "0A-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-0g",
        "00-" TRACE "-" SPAN "-0A",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-" TRACE "." SPAN "-01",
        "00." TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN ".01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-" SPAN "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473o-" SPAN "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\xb6-" SPAN "-01",
        " 0-" TRACE "-" SPAN "-01",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fe_trace_parent parent = {.span_id = 77};
        CHECK(!read_text(wrong[i], &parent));
        CHECK(parent.span_id == 77);
    }
}

/* Every byte in every place of the digits is judged as a reader of one digit at a time would. */
TEST(every_byte_in_place_of_a_digit_is_judged)
{
    for (size_t at = 3; at < 52; at++) {
        if (at == 35) continue;
        for (int c = 0; c < 256; c++) {
            char text[] = "00-" TRACE "-" SPAN "-01";
            text[at] = (char)c;
            fe_trace_parent parent;
            bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            bool read = fe_traceparent_read((fe_bytes){(uint8_t *)text, 55}, &parent);
            CHECK_INT(digit, read);
            if (!read) continue;
            char back[48];
            fe_trace_id_print(back, parent.trace_id);
            fe_span_id_print(back + 32, parent.span_id);
            CHECK(memcmp(back, text + 3, 32) == 0 && memcmp(back + 32, text + 36, 16) == 0);
        }
    }
}

static bool state(const char *text)
{
    return fe_tracestate_is_valid((fe_bytes){(const uint8_t *)text, strlen(text)});
}

TEST(a_tracestate_is_a_list_of_members)
{
    CHECK(state("congo=t61rcWkgMzE"));
    CHECK(state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
    CHECK(state(" a=1 ,\tb=2 ,, c=3"));
    CHECK(state("fw529a3039@dt=FfeFw,0vendor_-*/@x=!~ x"));
    CHECK(state("ot=th:8;rv:0123456789abcd"));
    CHECK(!state(""));
    CHECK(!state(" , "));
    CHECK(!state("a"));
    CHECK(!state("=1"));
    CHECK(!state("a="));
    CHECK(!state("A=1"));
    CHECK(!state("_a=1"));
    CHECK(!state("a b=1"));
    CHECK(!state("a=1=2"));
    CHECK(!state("a=\x01"));
    CHECK(!state("a=\xc3\xa4"));
    CHECK(!state("a=1,b=2,a=3"));
}

TEST(a_tracestate_is_bounded)
{
    char text[FE_TRACESTATE_MAX + 2];
    size_t len = 0;
    for (int i = 0; i < 32; i++)
        len += (size_t)sprintf(text + len, "k%d=v,", i);
    CHECK(state(text));
    memcpy(text + len, "k99=v", 6);
    CHECK(!state(text));

    memset(text, 'k', 256);
    memcpy(text + 256, "=v", 3);
    CHECK(state(text));
    memset(text, 'k', 257);
    memcpy(text + 257, "=v", 3);
    CHECK(!state(text));

    memset(text, ',', sizeof text);
    memcpy(text, "a=1", 3);
    CHECK(fe_tracestate_is_valid((fe_bytes){(uint8_t *)text, FE_TRACESTATE_MAX}));
    CHECK(!fe_tracestate_is_valid((fe_bytes){(uint8_t *)text, FE_TRACESTATE_MAX + 1}));
}

static void check_pick(const char *header, const char *allowed, size_t cap, const char *expected)
{
    uint8_t out[256];
    fe_bytes given = {(const uint8_t *)header, strlen(header)};
    fe_bytes names = {(const uint8_t *)allowed, strlen(allowed)};
    size_t len = fe_baggage_pick(given, names, out, cap);
    CHECK_BYTES(expected, strlen(expected), out, len);
}

TEST(only_listed_members_of_baggage_are_taken)
{
    check_pick("tenant=acme,secret=x,plan=gold", "tenant,plan", 256, "tenant=acme,plan=gold");
    check_pick(" tenant = a%20b ; ttl=3 ; private , x=1", " x , tenant", 256, "tenant=a%20b,x=1");
    check_pick("tenant=", "tenant", 256, "tenant=");
    check_pick("tenant=acme", "", 256, "");
    check_pick("Tenant=acme", "tenant", 256, "");
    check_pick("", "tenant", 256, "");
}

TEST(a_bad_member_of_baggage_drops_only_itself)
{
    check_pick("tenant,tenant=a b,tenant=\"a\",ten(ant=1,tenant=ok,,=1", "tenant", 256,
               "tenant=ok");
}

TEST(of_baggage_of_one_name_the_first_counts)
{
    check_pick("tenant=a,tenant=b", "tenant", 256, "tenant=a");
    check_pick("t=1,tenant=a,t=2,tenant=a", "tenant,t", 256, "t=1,tenant=a");
    check_pick("a=b=c,b=1", "a,b", 256, "a=b=c,b=1");
}

TEST(members_of_baggage_that_do_not_fit_are_left_out)
{
    check_pick("a=12345678,b=1,c=2", "a,b,c", 7, "b=1,c=2");
    check_pick("a=12345678,b=1,c=2", "a,b,c", 6, "b=1");
    check_pick("a=1", "a", 0, "");
}

int main(void)
{
    RUN(a_traceparent_of_version_00_is_read);
    RUN(unknown_flags_are_dropped);
    RUN(a_later_version_is_read_by_its_prefix);
    RUN(what_the_standard_forbids_is_refused);
    RUN(every_byte_in_place_of_a_digit_is_judged);
    RUN(a_tracestate_is_a_list_of_members);
    RUN(a_tracestate_is_bounded);
    RUN(only_listed_members_of_baggage_are_taken);
    RUN(a_bad_member_of_baggage_drops_only_itself);
    RUN(of_baggage_of_one_name_the_first_counts);
    RUN(members_of_baggage_that_do_not_fit_are_left_out);
    return check_done();
}
