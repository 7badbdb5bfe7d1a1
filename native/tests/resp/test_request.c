/* The request reader: requests, limits and their texts, attributes, resumption, and failing memory.
 */
#include "resp/request.h"

#include "base/buf.h"
#include "base/clock.h"
#include "tests/check.h"

#define BULK_LEN_MAX 100000

typedef struct fixture {
    fe_alloc alloc;
    fe_reader *reader;
} fixture;

static void open_fixture(fixture *f)
{
    fe_alloc_init(&f->alloc);
    f->reader = fe_reader_new(&f->alloc, BULK_LEN_MAX);
    CHECK(f->reader != NULL);
}

static void close_fixture(fixture *f)
{
    fe_reader_free(f->reader);
    CHECK_INT(0, fe_alloc_used_all(&f->alloc));
}

static void feed_text(fixture *f, const char *text)
{
    fe_reader_feed(f->reader, (const uint8_t *)text, strlen(text));
}

/* Reads the next request and joins its arguments with '|'; "?" for more input, "!" for an error. */
static const char *next(fixture *f, char *out)
{
    fe_request request;
    char *to = out;
    switch (fe_reader_next(f->reader, &request)) {
    case FE_READ_REQUEST:
        *to = 0;
        for (uint32_t i = 0; i < request.argc; i++) {
            to += sprintf(to, "%s%.*s", i > 0 ? "|" : "", (int)request.argv[i].len,
                          (const char *)request.argv[i].ptr);
        }
        return out;
    case FE_READ_MORE: return "?";
    case FE_READ_ERROR: return "!";
    }
    return "impossible";
}

#define READS(expected, f)                                                                         \
    do {                                                                                           \
        char out[1024];                                                                            \
        const char *got = next(f, out);                                                            \
        CHECK_BYTES(expected, sizeof(expected) - 1, got, strlen(got));                             \
    } while (0)

static void check_error(const char *input, bool authenticated, const char *error)
{
    fixture f;
    open_fixture(&f);
    fe_reader_set_authenticated(f.reader, authenticated);
    feed_text(&f, input);
    fe_request request;
    fe_read_status status;
    while ((status = fe_reader_next(f.reader, &request)) == FE_READ_REQUEST)
        continue;
    CHECK_INT(FE_READ_ERROR, status);
    CHECK_BYTES(error, strlen(error), fe_reader_error(f.reader), strlen(fe_reader_error(f.reader)));
    close_fixture(&f);
}

#define FAILS(input, error) check_error(input, true, "ERR Protocol error: " error)
#define FAILS_UNAUTHENTICATED(input, error) check_error(input, false, "ERR Protocol error: " error)

TEST(arrays_of_bulks_are_requests_that_point_into_the_input)
{
    fixture f;
    open_fixture(&f);
    const char *input = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n*1\r\n$4\r\nPING\r\n";
    fe_request set;
    fe_request ping;

    feed_text(&f, input);
    CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &set));
    CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &ping));
    READS("?", &f);

    CHECK_INT(3, set.argc);
    CHECK(set.argv[2].ptr == (const uint8_t *)input + 25);
    CHECK_INT(10, set.argv[2].len);
    CHECK_INT(37, set.size);
    CHECK_INT(0, set.traceparent.len);
    CHECK_INT(1, ping.argc);
    CHECK_INT(14, ping.size);
    CHECK_INT(strlen(input), fe_reader_consumed(f.reader));
    close_fixture(&f);
}

TEST(empty_requests_have_no_arguments)
{
    fixture f;
    open_fixture(&f);
    feed_text(&f, "*0\r\n*-1\r\n*-99999999999\r\n\r\n\n  \r\nPING\r\n");
    for (int i = 0; i < 6; i++)
        READS("", &f);
    READS("PING", &f);
    close_fixture(&f);
}

TEST(inline_requests_are_split_and_unquoted)
{
    fixture f;
    open_fixture(&f);
    feed_text(&f, "GET  key\r\nSET k \"a b\\x41\"\nECHO 'x y'z\n");
    READS("GET|key", &f);
    READS("SET|k|a bA", &f);
    READS("!", &f);
    const char *error = "ERR Protocol error: unbalanced quotes in request";
    CHECK_BYTES(error, strlen(error), fe_reader_error(f.reader), strlen(fe_reader_error(f.reader)));
    close_fixture(&f);
}

/* Redis looks only for the carriage return of a header, and never at the two bytes after a bulk. */
TEST(line_ends_are_read_as_leniently_as_by_redis)
{
    fixture f;
    open_fixture(&f);
    feed_text(&f, "*1\rx$4\rxPINGxx*2\r\n$1\r\na\n\n$1\r\nb..");
    READS("PING", &f);
    READS("a|b", &f);
    READS("?", &f);
    close_fixture(&f);
}

TEST(errors_are_worded_like_redis)
{
    FAILS("*x\r\n", "invalid multibulk length");
    FAILS("*\r\n", "invalid multibulk length");
    FAILS("*03\r\n", "invalid multibulk length");
    FAILS("*-0\r\n", "invalid multibulk length");
    FAILS("*2147483648\r\n", "invalid multibulk length");
    FAILS("*1\r\n:3\r\n", "expected '$', got ':'");
    FAILS("*1\r\n\r\n", "expected '$', got ' '");
    FAILS("*2\r\n$1\r\na\r\nx\r\n", "expected '$', got 'x'");
    FAILS("*1\r\n$-1\r\n", "invalid bulk length");
    FAILS("*1\r\n$\r\n", "invalid bulk length");
    FAILS("*1\r\n$01\r\na\r\n", "invalid bulk length");
    FAILS("*1\r\n$100001\r\n", "invalid bulk length");
    FAILS("*1\r\n$99999999999999999999\r\n", "invalid bulk length");
    FAILS("\"a\r\n", "unbalanced quotes in request");
}

TEST(unauthenticated_clients_have_small_limits)
{
    FAILS_UNAUTHENTICATED("*11\r\n", "unauthenticated multibulk length");
    FAILS_UNAUTHENTICATED("*1\r\n$16385\r\n", "unauthenticated bulk length");
    FAILS_UNAUTHENTICATED("|1\r\n$16385\r\n", "unauthenticated bulk length");

    fixture f;
    open_fixture(&f);
    fe_reader_set_authenticated(f.reader, false);
    feed_text(&f, "*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n*11\r\n");
    READS("AUTH|p", &f);
    fe_reader_set_authenticated(f.reader, true);
    READS("?", &f);
    close_fixture(&f);
}

static void check_too_big(const char *prefix, char fill, const char *error)
{
    fixture f;
    open_fixture(&f);
    size_t head = strlen(prefix);
    size_t line = head > 4 ? 1 : head; /* what of the prefix is on the long line */
    size_t len = head - line + FE_READER_INLINE_MAX + 1;
    char *input = malloc(len);
    memset(input, fill, len);
    memcpy(input, prefix, head);

    fe_reader_feed(f.reader, (uint8_t *)input, len - 1);
    READS("?", &f);
    fe_reader_feed(f.reader, (uint8_t *)input, len);
    READS("!", &f);
    CHECK_BYTES(error, strlen(error), fe_reader_error(f.reader), strlen(fe_reader_error(f.reader)));
    free(input);
    close_fixture(&f);
}

TEST(lines_without_end_are_bounded)
{
    check_too_big("", 'a', "ERR Protocol error: too big inline request");
    check_too_big("*", '1', "ERR Protocol error: too big mbulk count string");
    check_too_big("*1\r\n$", '1', "ERR Protocol error: too big bulk count string");
    check_too_big("|", '1', "ERR Protocol error: too big attribute count string");
    check_too_big("|1\r\n+", 'a', "ERR Protocol error: too big attribute");
}

TEST(an_error_sticks_until_reset)
{
    fixture f;
    open_fixture(&f);
    feed_text(&f, "*1\r\n$4\r\nPING\r\n*x\r\n*1\r\n$4\r\nPING\r\n");
    READS("PING", &f);
    READS("!", &f);
    READS("!", &f);
    CHECK_INT(14, fe_reader_consumed(f.reader));
    feed_text(&f, "PING\r\n");
    READS("!", &f);

    fe_reader_reset(f.reader);
    CHECK_INT(0, strlen(fe_reader_error(f.reader)));
    feed_text(&f, "PING\r\n");
    READS("PING", &f);
    close_fixture(&f);
}

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

TEST(attributes_give_the_trace_context_of_the_next_request_only)
{
    fixture f;
    open_fixture(&f);
    feed_text(&f, "|3\r\n$11\r\ntraceparent\r\n$55\r\n" TRACE "\r\n+tracestate\r\n+a=1\r\n"
                  "+baggage\r\n$3\r\nb=2\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n");
    fe_request request;

    CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &request));
    CHECK_INT(1, request.argc);
    CHECK_BYTES(TRACE, 55, request.traceparent.ptr, request.traceparent.len);
    CHECK_BYTES("a=1", 3, request.tracestate.ptr, request.tracestate.len);
    CHECK_BYTES("b=2", 3, request.baggage.ptr, request.baggage.len);
    CHECK_INT(fe_reader_consumed(f.reader), request.size);

    CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &request));
    CHECK_INT(0, request.traceparent.len + request.tracestate.len + request.baggage.len);
    close_fixture(&f);
}

TEST(attributes_of_other_keys_and_types_are_passed_over)
{
    fixture f;
    open_fixture(&f);
    feed_text(
        &f, "|11\r\n+Traceparent\r\n+no\r\n+a\r\n:-12\r\n+b\r\n,1.5e3\r\n+c\r\n,nan\r\n+d\r\n#t\r\n"
            "+e\r\n_\r\n+f\r\n(-123\r\n+g\r\n$-1\r\n+h\r\n=7\r\ntxt:abc\r\n:1\r\n!3\r\nERR\r\n"
            "+baggage\r\n:5\r\nPING\r\n|0\r\nPING\r\n");
    fe_request request;

    CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &request));
    CHECK_INT(1, request.argc);
    CHECK_INT(0, request.traceparent.len + request.tracestate.len + request.baggage.len);
    READS("PING", &f);
    close_fixture(&f);
}

#define NESTED8 "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"

/* Among them: empty ones, attributes of values, aggregates as keys, and known keys that are nested. */
TEST(aggregates_in_attributes_are_passed_over)
{
    static const char input[] = "|7\r\n+a\r\n*2\r\n:1\r\n*3\r\n+x\r\n$2\r\nyz\r\n_\r\n"
                                "+b\r\n%1\r\n+baggage\r\n+no\r\n"
                                "*1\r\n+tracestate\r\n+no\r\n"
                                "+tracestate\r\n~2\r\n+no\r\n+no\r\n"
                                "+c\r\n|1\r\n+k\r\n%0\r\n+value\r\n"
                                "+d\r\n" NESTED8 "*-1\r\n"
                                "+traceparent\r\n+yes\r\n*1\r\n$4\r\nPING\r\n"
                                "|2\r\n+a\r\n>1\r\n*0\r\n+baggage\r\n+too\r\nPING\r\n";
    for (size_t cut = 1; cut < sizeof input; cut++) {
        fixture f;
        open_fixture(&f);
        fe_request request = {0};
        fe_reader_feed(f.reader, (const uint8_t *)input, cut);
        fe_read_status status = fe_reader_next(f.reader, &request);
        if (status == FE_READ_MORE) {
            fe_reader_feed(f.reader, (const uint8_t *)input, sizeof input - 1);
            status = fe_reader_next(f.reader, &request);
        }
        CHECK_INT(FE_READ_REQUEST, status);
        CHECK_INT(1, request.argc);
        CHECK_BYTES("yes", 3, request.traceparent.ptr, request.traceparent.len);
        CHECK_INT(0, request.tracestate.len + request.baggage.len);

        size_t done = fe_reader_consumed(f.reader);
        fe_reader_feed(f.reader, (const uint8_t *)input + done, sizeof input - 1 - done);
        CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &request));
        CHECK_BYTES("too", 3, request.baggage.ptr, request.baggage.len);
        CHECK_INT(0, request.traceparent.len);
        close_fixture(&f);
    }
}

TEST(malformed_attributes_are_errors)
{
    FAILS("|x\r\n", "invalid attribute length");
    FAILS("|-1\r\n", "invalid attribute length");
    FAILS("|1\rx", "invalid attribute length");
    FAILS("|17\r\n", "too many attribute pairs");
    FAILS("|1\r\n+a\r\n*-2\r\n", "invalid attribute length");
    FAILS("|1\r\n+a\r\n%-1\r\n", "invalid attribute length");
    FAILS("|1\r\n+a\r\n~x\r\n", "invalid attribute length");
    FAILS("|1\r\n+a\r\n*1\r\n:x\r\n", "malformed attribute");
    FAILS("|1\r\n+a\r\n*1025\r\n", "too many attribute elements");
    FAILS("|1\r\n+a\r\n%513\r\n", "too many attribute elements");
    FAILS("|1\r\n+a\r\n*9223372036854775807\r\n", "too many attribute elements");
    FAILS("|1\r\n*1000\r\n*25\r\n", "too many attribute elements");
    FAILS("|1\r\n+a\r\n" NESTED8 "*1\r\n", "too deep attribute");
    FAILS("|1\r\na\r\n", "malformed attribute");
    FAILS("|1\r\n\r\n", "malformed attribute");
    FAILS("|1\r\n+a\rb", "malformed attribute");
    FAILS("|1\r\n$1\r\nabc", "malformed attribute");
    FAILS("|1\r\n:x\r\n", "malformed attribute");
    FAILS("|1\r\n#x\r\n", "malformed attribute");
    FAILS("|1\r\n_x\r\n", "malformed attribute");
    FAILS("|1\r\n(-\r\n", "malformed attribute");
    FAILS("|1\r\n,x\r\n", "malformed attribute");
    FAILS("|1\r\n$-2\r\n", "invalid bulk length");
    FAILS("|1\r\n$65537\r\n", "too big attribute");
    FAILS("|0\r\n|0\r\n|0\r\n|0\r\n|0\r\n|0\r\n|0\r\n|0\r\n|0\r\n", "too many attributes");
}

/* The missing count is exact for a bulk, and the parsed part is neither consumed nor parsed again.
 */
TEST(a_cut_bulk_says_how_much_is_missing)
{
    fixture f;
    open_fixture(&f);

    feed_text(&f, "PING\r\n*2\r\n$3\r\nGET\r\n$10\r\n01234");
    READS("PING", &f);
    READS("?", &f);
    CHECK_INT(6, fe_reader_consumed(f.reader));
    CHECK_INT(7, fe_reader_missing(f.reader));
    feed_text(&f, "*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r");
    READS("?", &f);
    CHECK_INT(0, fe_reader_consumed(f.reader));
    CHECK_INT(1, fe_reader_missing(f.reader));
    feed_text(&f, "*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n*");
    READS("GET|0123456789", &f);
    READS("?", &f);
    CHECK_INT(0, fe_reader_missing(f.reader));
    close_fixture(&f);
}

/* A body that is received elsewhere is missing in the input, also when the request is read again. */
TEST(a_body_may_lie_elsewhere)
{
    fixture f;
    open_fixture(&f);
    fe_reader_cut cut;
    feed_text(&f, "PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n01234");
    READS("PING", &f);
    CHECK(!fe_reader_is_cut(f.reader, &cut));
    READS("?", &f);
    CHECK(fe_reader_is_cut(f.reader, &cut));
    CHECK_INT(31, cut.offset);
    CHECK_INT(10, cut.len);
    CHECK_INT(2, cut.index);
    fe_bytes key = fe_reader_argument(f.reader, 1);
    CHECK_BYTES("k", 1, key.ptr, key.len);

    const uint8_t body[] = "9876543210";
    fe_reader_set_body(f.reader, body);
    CHECK(!fe_reader_is_cut(f.reader, &cut));
    /* What follows has the same form, and enough bytes to be taken for the body. */
    const char rest[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n\r\n"
                        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\nabcdefghij\r\nPI";
    for (size_t len = 25; len <= 26; len++) {
        fe_reader_feed(f.reader, (const uint8_t *)rest, len);
        READS("?", &f);
        CHECK_INT(27 - len, fe_reader_missing(f.reader));
    }
    for (int round = 0; round < 2; round++) {
        feed_text(&f, rest);
        fe_request request;
        CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &request));
        CHECK_INT(3, request.argc);
        CHECK(request.argv[2].ptr == body);
        CHECK_INT(10, request.argv[2].len);
        CHECK_INT(25 + 12, request.size);
        CHECK_INT(27, fe_reader_consumed(f.reader));
        READS("SET|k|abcdefghij", &f);
        READS("?", &f);
        fe_reader_rewind(f.reader);
    }
    fe_reader_drop_body(f.reader);
    fe_reader_rewind(f.reader);
    feed_text(&f, rest + 27);
    READS("SET|k|abcdefghij", &f);
    close_fixture(&f);
}

/* Sends all kinds of requests, cut into pieces of one size after the other. */
TEST(pieces_of_any_size_give_the_same_requests)
{
    static const char input[] = "*2\r\n$3\r\nGET\r\n$11\r\nhello\r\nworl\r\nSET a \"b c\"\r\n\r\n"
                                "|1\r\n+traceparent\r\n+x\r\n*1\r\n$0\r\n\r\n*0\r\nPING\n";
    static const char *const expected[] = {"GET|hello\r\nworl", "SET|a|b c", "", "", "", "PING"};
    for (size_t piece = 1; piece < sizeof input; piece++) {
        fixture f;
        open_fixture(&f);
        size_t done = 0;
        size_t count = 0;
        for (size_t seen = 0; seen < sizeof input - 1;) {
            seen = seen + piece < sizeof input - 1 ? seen + piece : sizeof input - 1;
            fe_reader_feed(f.reader, (const uint8_t *)input + done, seen - done);
            char out[256];
            const char *got;
            while (*(got = next(&f, out)) != '?' && count < 6) {
                CHECK_BYTES(expected[count], strlen(expected[count]), got, strlen(got));
                count++;
            }
            done += fe_reader_consumed(f.reader);
        }
        CHECK_INT(6, count);
        CHECK_INT(sizeof input - 1, done);
        close_fixture(&f);
    }
}

/* Each request is kept while hundreds more are read, with and without quotes. */
TEST(requests_read_ahead_stay_valid)
{
    fixture f;
    open_fixture(&f);
    fe_buf input;
    fe_buf_init(&input, &f.alloc, FE_ALLOC_SCRATCH);
    static fe_request ahead[600];
    for (int i = 0; i < 300; i++) {
        char text[100];
        int len =
            snprintf(text, sizeof text, "*2\r\n$1\r\nx\r\n$3\r\n%03d\r\ny \"%03d\"\r\n", i, i);
        fe_buf_append(&input, text, (size_t)len);
    }

    fe_reader_feed(f.reader, input.data, input.len);
    for (int i = 0; i < 600; i++)
        CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &ahead[i]));

    for (int i = 0; i < 600; i++) {
        char digits[12];
        snprintf(digits, sizeof digits, "%03d", i / 2);
        CHECK_INT(2, ahead[i].argc);
        CHECK_BYTES(digits, 3, ahead[i].argv[1].ptr, ahead[i].argv[1].len);
    }
    fe_buf_free(&input);
    close_fixture(&f);
}

/* A client may claim a million arguments; memory comes only with them, and goes when they are done.
 */
TEST(memory_follows_what_arrived_and_is_given_back)
{
    fixture f;
    open_fixture(&f);
    fe_buf input;
    fe_buf_init(&input, &f.alloc, FE_ALLOC_SCRATCH);
    feed_text(&f, "*1000000\r\n$1\r\na\r\n");
    READS("?", &f);
    CHECK(fe_reader_memory(f.reader) < 2048);
    fe_reader_reset(f.reader);

    fe_buf_append(&input, "*20000\r\n", 8);
    for (int i = 0; i < 20000; i++)
        fe_buf_append(&input, "$1\r\na\r\n", 7);
    fe_reader_feed(f.reader, input.data, input.len);
    fe_request request;
    CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &request));
    CHECK_INT(20000, request.argc);
    CHECK(fe_reader_memory(f.reader) >= 320000);
    fe_reader_feed(f.reader, NULL, 0);
    CHECK(fe_reader_memory(f.reader) <= 4096);
    READS("?", &f);
    fe_buf_free(&input);
    close_fixture(&f);
}

/* A large request in small pieces is resumed: a reader that parsed again would need 10^10 steps. */
TEST(many_pieces_cost_linear_time)
{
    fixture f;
    open_fixture(&f);
    fe_buf input;
    fe_buf_init(&input, &f.alloc, FE_ALLOC_SCRATCH);
    fe_buf_append(&input, "*100000\r\n", 9);
    for (int i = 0; i < 100000; i++)
        fe_buf_append(&input, "$1\r\na\r\n", 7);

    uint64_t start = fe_clock_monotonic_ns();
    fe_request request;
    for (size_t seen = 1; seen < input.len; seen += 3) {
        fe_reader_feed(f.reader, input.data, seen);
        CHECK_INT(FE_READ_MORE, fe_reader_next(f.reader, &request));
    }
    fe_reader_feed(f.reader, input.data, input.len);
    CHECK_INT(FE_READ_REQUEST, fe_reader_next(f.reader, &request));
    CHECK_INT(100000, request.argc);
    CHECK(fe_clock_monotonic_ns() - start < UINT64_C(3000000000));
    fe_buf_free(&input);
    close_fixture(&f);
}

/* Whichever allocation fails, the reader reports it, keeps its earlier requests, and leaks nothing.
 */
TEST(every_allocation_may_fail)
{
    int errors = 0;
    for (int allowed = 0; allowed < 20; allowed++) {
        fixture f;
        fe_alloc_init(&f.alloc);
        fe_alloc_fail_after(&f.alloc, allowed);
        f.reader = fe_reader_new(&f.alloc, BULK_LEN_MAX);
        if (f.reader == NULL) {
            errors++;
            continue;
        }
        feed_text(
            &f, "*2\r\n$1\r\na\r\n$1\r\nb\r\nc \"d\"\r\n*20\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
        fe_request request;
        fe_read_status status;
        while ((status = fe_reader_next(f.reader, &request)) == FE_READ_REQUEST)
            continue;
        if (status == FE_READ_ERROR) {
            errors++;
            CHECK(strstr(fe_reader_error(f.reader), "memory") != NULL);
        }
        close_fixture(&f);
    }
    CHECK(errors >= 3 && errors < 20);
}

int main(void)
{
    RUN(arrays_of_bulks_are_requests_that_point_into_the_input);
    RUN(empty_requests_have_no_arguments);
    RUN(inline_requests_are_split_and_unquoted);
    RUN(line_ends_are_read_as_leniently_as_by_redis);
    RUN(errors_are_worded_like_redis);
    RUN(unauthenticated_clients_have_small_limits);
    RUN(lines_without_end_are_bounded);
    RUN(an_error_sticks_until_reset);
    RUN(attributes_give_the_trace_context_of_the_next_request_only);
    RUN(attributes_of_other_keys_and_types_are_passed_over);
    RUN(aggregates_in_attributes_are_passed_over);
    RUN(malformed_attributes_are_errors);
    RUN(a_cut_bulk_says_how_much_is_missing);
    RUN(a_body_may_lie_elsewhere);
    RUN(pieces_of_any_size_give_the_same_requests);
    RUN(requests_read_ahead_stay_valid);
    RUN(memory_follows_what_arrived_and_is_given_back);
    RUN(many_pieces_cost_linear_time);
    RUN(every_allocation_may_fail);
    return check_done();
}
