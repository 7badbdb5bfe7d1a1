/* Several attributes in front of one request, as when a proxy adds its own to a client's. */
#include "tests/check.h"

#include "resp/request.h"

#define EIGHT(text) text text text text text text text text

/* What the first request says of its caller: "traceparent tracestate baggage", `-` for what it does not say. */
static void check_said(const char *input, const char *expected)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    for (size_t cut = 1; cut <= strlen(input); cut++) {
        fe_reader *reader = fe_reader_new(&alloc, 1024);
        fe_request request = {0};
        fe_reader_feed(reader, (const uint8_t *)input, cut);
        fe_read_status status = fe_reader_next(reader, &request);
        if (status == FE_READ_MORE) {
            fe_reader_feed(reader, (const uint8_t *)input, strlen(input));
            status = fe_reader_next(reader, &request);
        }
        CHECK_INT(FE_READ_REQUEST, status);
        fe_bytes texts[] = {request.traceparent, request.tracestate, request.baggage};
        char said[64] = "";
        for (int i = 0; i < 3; i++) {
            strcat(said, i > 0 ? " " : "");
            if (texts[i].len == 0)
                strcat(said, "-");
            else
                strncat(said, (const char *)texts[i].ptr, texts[i].len);
        }
        CHECK_BYTES(expected, strlen(expected), said, strlen(said));
        fe_reader_free(reader);
    }
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(a_later_attribute_goes_over_an_earlier_one)
{
    check_said("|1\r\n+traceparent\r\n+a\r\n|1\r\n+traceparent\r\n+b\r\nPING\r\n", "b - -");
    check_said("|1\r\n+traceparent\r\n+a\r\n|1\r\n+ttl\r\n:5\r\nPING\r\n", "a - -");
    check_said("|1\r\n+ttl\r\n:5\r\n|1\r\n+traceparent\r\n+a\r\nPING\r\n", "a - -");
    check_said("|1\r\n+baggage\r\n+x=1\r\n|0\r\n|1\r\n+traceparent\r\n+a\r\nPING\r\n", "a - x=1");
}

TEST(a_tracestate_belongs_to_the_traceparent_beside_it)
{
    check_said("|2\r\n+tracestate\r\n+s=1\r\n+traceparent\r\n+a\r\n|1\r\n+ttl\r\n:5\r\nPING\r\n",
               "a s=1 -");
    check_said("|2\r\n+tracestate\r\n+s=1\r\n+traceparent\r\n+a\r\n|1\r\n+traceparent\r\n+b\r\n"
               "PING\r\n",
               "b - -");
    check_said("|1\r\n+traceparent\r\n+a\r\n|2\r\n+traceparent\r\n+b\r\n+tracestate\r\n+s=1\r\n"
               "PING\r\n",
               "b s=1 -");
    check_said("|2\r\n+traceparent\r\n+a\r\n+tracestate\r\n+s=1\r\n|1\r\n+tracestate\r\n+s=2\r\n"
               "PING\r\n",
               "a s=1 -");
    check_said("|1\r\n+tracestate\r\n+s=1\r\n|1\r\n+traceparent\r\n+a\r\nPING\r\n", "a - -");
}

TEST(attributes_are_as_many_as_allowed)
{
    check_said(EIGHT("|1\r\n+traceparent\r\n+a\r\n") "PING\r\n", "a - -");
}

TEST(pairs_of_all_attributes_are_bounded_together)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_reader *reader = fe_reader_new(&alloc, 1024);
    static const char input[] = "|8\r\n" EIGHT("+a\r\n+b\r\n") "|9\r\n";
    fe_request request = {0};

    fe_reader_feed(reader, (const uint8_t *)input, sizeof input - 1);
    CHECK_INT(FE_READ_ERROR, fe_reader_next(reader, &request));

    CHECK(strstr(fe_reader_error(reader), "too many attribute pairs") != NULL);
    fe_reader_free(reader);
}

TEST(the_next_request_has_none_of_them)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_reader *reader = fe_reader_new(&alloc, 1024);
    static const char input[] =
        EIGHT("|1\r\n+traceparent\r\n+a\r\n") "PING\r\n" EIGHT("|0\r\n") "PING\r\n";
    fe_request request = {0};

    fe_reader_feed(reader, (const uint8_t *)input, sizeof input - 1);
    CHECK_INT(FE_READ_REQUEST, fe_reader_next(reader, &request));
    CHECK_INT(FE_READ_REQUEST, fe_reader_next(reader, &request));

    CHECK_INT(0, request.traceparent.len);
    fe_reader_free(reader);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

int main(void)
{
    RUN(a_later_attribute_goes_over_an_earlier_one);
    RUN(a_tracestate_belongs_to_the_traceparent_beside_it);
    RUN(attributes_are_as_many_as_allowed);
    RUN(pairs_of_all_attributes_are_bounded_together);
    RUN(the_next_request_has_none_of_them);
    return check_done();
}
