/* The reply writer: the bytes of each type in RESP2 and RESP3, deferred arrays, and failure. */
#include "resp/reply.h"

#include <math.h>

#include "tests/check.h"

typedef struct fixture {
    fe_alloc alloc;
    fe_buf buf;
    fe_reply reply;
} fixture;

static void open_fixture(fixture *f, int resp)
{
    fe_alloc_init(&f->alloc);
    fe_buf_init(&f->buf, &f->alloc, FE_ALLOC_CLIENT);
    f->reply = (fe_reply){&f->buf, resp};
}

static void close_fixture(fixture *f)
{
    fe_buf_free(&f->buf);
    CHECK_INT(0, fe_alloc_used_all(&f->alloc));
}

/* What `call` writes with `r`, a fe_reply pointer, in each version. */
#define WRITES(resp2, resp3, call)                                                                 \
    do {                                                                                           \
        fixture f;                                                                                 \
        fe_reply *r = &f.reply;                                                                    \
        open_fixture(&f, 2);                                                                       \
        call;                                                                                      \
        CHECK_BYTES(resp2, sizeof(resp2) - 1, f.buf.data, f.buf.len);                              \
        close_fixture(&f);                                                                         \
        open_fixture(&f, 3);                                                                       \
        call;                                                                                      \
        CHECK_BYTES(resp3, sizeof(resp3) - 1, f.buf.data, f.buf.len);                              \
        close_fixture(&f);                                                                         \
    } while (0)

#define WRITES_SAME(bytes, call) WRITES(bytes, bytes, call)

TEST(simple_types_are_the_same_in_both_versions)
{
    WRITES_SAME("+QUEUED\r\n", fe_reply_status(r, "QUEUED"));
    WRITES_SAME("+OK\r\n", fe_reply_ok(r));
    WRITES_SAME("-ERR no\r\n", fe_reply_error(r, "ERR no"));
    WRITES_SAME(":0\r\n", fe_reply_integer(r, 0));
    WRITES_SAME(":-9223372036854775808\r\n", fe_reply_integer(r, INT64_MIN));
    WRITES_SAME("$3\r\nabc\r\n", fe_reply_bulk(r, FE_BYTES("abc")));
    WRITES_SAME("$0\r\n\r\n", fe_reply_bulk(r, (fe_bytes){NULL, 0}));
    WRITES_SAME("$4\r\ntext\r\n", fe_reply_bulk_text(r, "text"));
    WRITES_SAME("$3\r\n-12\r\n", fe_reply_bulk_integer(r, -12));
    WRITES_SAME("*0\r\n", fe_reply_array(r, 0));
    WRITES_SAME("*18446744073709551615\r\n", fe_reply_array(r, UINT64_MAX));
}

TEST(richer_types_are_lowered_for_resp2)
{
    WRITES("$-1\r\n", "_\r\n", fe_reply_null(r));
    WRITES("*-1\r\n", "_\r\n", fe_reply_null_array(r));
    WRITES("*24\r\n", "%12\r\n", fe_reply_map(r, 12));
    WRITES("*2\r\n", "~2\r\n", fe_reply_set(r, 2));
    WRITES("*3\r\n", ">3\r\n", fe_reply_push(r, 3));
    WRITES(":1\r\n", "#t\r\n", fe_reply_bool(r, true));
    WRITES(":0\r\n", "#f\r\n", fe_reply_bool(r, false));
    WRITES("$3\r\n123\r\n", "(123\r\n", fe_reply_big_number(r, FE_BYTES("123")));
    WRITES("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n", fe_reply_verbatim(r, "txt", FE_BYTES("hi")));
    WRITES("$3\r\n0.1\r\n", ",0.1\r\n", fe_reply_double(r, 0.1));
    WRITES("$1\r\n3\r\n", ",3\r\n", fe_reply_double(r, 3));
    WRITES("$4\r\n-inf\r\n", ",-inf\r\n", fe_reply_double(r, -INFINITY));
}

TEST(attributes_are_written_for_resp3)
{
    fixture f;
    open_fixture(&f, 3);
    fe_reply_attribute(&f.reply, 1);
    CHECK_BYTES("|1\r\n", 4, f.buf.data, f.buf.len);
    close_fixture(&f);
}

TEST(errors_stay_on_one_line)
{
    WRITES_SAME("-ERR a  b c\r\n", fe_reply_error(r, "ERR a\r\nb\nc"));
    WRITES_SAME("-ERR unknown 'x y' 7\r\n", fe_reply_errorf(r, "ERR unknown '%s' %d", "x\ry", 7));
}

TEST(formatted_text_of_any_length_fits)
{
    char word[2000];
    for (size_t len = 0; len < sizeof word - 1; len += 1 + len / 40) {
        memset(word, 'w', len);
        word[len] = 0;
        char expected[2100];
        fixture f;
        open_fixture(&f, 2);
        fe_reply_ok(&f.reply);
        fe_reply_bulkf(&f.reply, "<%s>", word);
        fe_reply_errorf(&f.reply, "ERR %s", word);
        int wanted = snprintf(expected, sizeof expected, "+OK\r\n$%zu\r\n<%s>\r\n", len + 2, word);
        CHECK_BYTES(expected, wanted, f.buf.data, (size_t)wanted);
        size_t head = (size_t)wanted;
        wanted = snprintf(expected, sizeof expected, "-ERR %s\r\n", word);
        CHECK_BYTES(expected, wanted, f.buf.data + head, f.buf.len - head);
        close_fixture(&f);
    }
}

TEST(bulk_space_is_framed_and_left_to_the_caller)
{
    fixture f;
    open_fixture(&f, 2);

    uint8_t *space = fe_reply_bulk_space(&f.reply, 10);
    memcpy(space, "0123456789", 10);

    CHECK_BYTES("$10\r\n0123456789\r\n", 17, f.buf.data, f.buf.len);
    CHECK(fe_reply_bulk_space(&f.reply, SIZE_MAX) == NULL);
    CHECK(f.buf.failed);
    close_fixture(&f);
}

TEST(deferred_arrays_take_their_count_later)
{
    static const uint64_t counts[] = {0, 9, 10, 12345};
    for (size_t i = 0; i < 4; i++) {
        fixture f;
        open_fixture(&f, 2);
        fe_reply_ok(&f.reply);
        size_t outer = fe_reply_array_deferred(&f.reply);
        fe_reply_integer(&f.reply, 1);
        size_t inner = fe_reply_array_deferred(&f.reply);
        fe_reply_integer(&f.reply, 2);
        fe_reply_array_settle(&f.reply, inner, counts[i]);
        fe_reply_array_settle(&f.reply, outer, counts[3 - i]);

        char expected[100];
        int wanted = snprintf(expected, sizeof expected,
                              "+OK\r\n*%" PRIu64 "\r\n:1\r\n*%" PRIu64 "\r\n:2\r\n", counts[3 - i],
                              counts[i]);
        CHECK_BYTES(expected, wanted, f.buf.data, f.buf.len);
        close_fixture(&f);
    }
}

static void write_everything(fe_reply *reply)
{
    size_t offset = fe_reply_array_deferred(reply);
    fe_reply_status(reply, "s");
    fe_reply_ok(reply);
    fe_reply_error(reply, "ERR e");
    fe_reply_errorf(reply, "ERR %300d", 1);
    fe_reply_integer(reply, 1);
    fe_reply_bulk(reply, FE_BYTES("bulk"));
    fe_reply_bulkf(reply, "%500d", 1);
    fe_reply_null(reply);
    fe_reply_map(reply, 1);
    fe_reply_double(reply, 0.5);
    fe_reply_verbatim(reply, "txt", FE_BYTES("v"));
    fe_reply_big_number(reply, FE_BYTES("1"));
    uint8_t *space = fe_reply_bulk_space(reply, 3000);
    if (space != NULL) memset(space, 'x', 3000);
    fe_reply_array_settle(reply, offset, 12345);
}

/* Whichever allocation fails, the buffer says so and nothing else goes wrong. */
TEST(every_allocation_may_fail)
{
    int failures = 0;
    for (int allowed = 0;; allowed++) {
        fixture f;
        open_fixture(&f, 3);
        fe_alloc_fail_after(&f.alloc, allowed);
        write_everything(&f.reply);
        bool failed = f.buf.failed;
        failures += failed;
        close_fixture(&f);
        if (!failed) break;
    }
    CHECK(failures >= 3);
}

int main(void)
{
    RUN(simple_types_are_the_same_in_both_versions);
    RUN(richer_types_are_lowered_for_resp2);
    RUN(attributes_are_written_for_resp3);
    RUN(errors_stay_on_one_line);
    RUN(formatted_text_of_any_length_fits);
    RUN(bulk_space_is_framed_and_left_to_the_caller);
    RUN(deferred_arrays_take_their_count_later);
    RUN(every_allocation_may_fail);
    return check_done();
}
