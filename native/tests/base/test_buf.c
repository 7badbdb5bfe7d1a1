/* The growable buffer: contents, growth and the sticky failure. */
#include "base/buf.h"

#include "tests/check.h"

TEST(appending_keeps_every_byte_in_order)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_buf buf;
    fe_buf_init(&buf, &alloc, FE_ALLOC_CLIENT);

    for (int i = 0; i < 100000; i++) {
        uint8_t three[3] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16)};
        fe_buf_append(&buf, three, 3);
        fe_buf_append_byte(&buf, 0xaa);
    }

    CHECK_INT(400000, buf.len);
    CHECK(!buf.failed);
    bool same = true;
    for (int i = 0; i < 100000; i++) {
        uint8_t *at = buf.data + (size_t)i * 4;
        same &= at[0] == (uint8_t)i && at[1] == (uint8_t)(i >> 8) && at[3] == 0xaa;
    }
    CHECK(same);
    fe_buf_free(&buf);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(an_empty_buffer_takes_no_memory_and_may_be_viewed_and_freed)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_buf buf;
    fe_buf_init(&buf, &alloc, FE_ALLOC_CLIENT);

    fe_buf_append(&buf, "", 0);
    fe_buf_drop(&buf, 0);

    CHECK_INT(0, fe_buf_view(&buf).len);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
    fe_buf_free(&buf);
}

TEST(dropping_moves_the_rest_to_the_front)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_buf buf;
    fe_buf_init(&buf, &alloc, FE_ALLOC_CLIENT);
    fe_buf_append(&buf, "abcdefgh", 8);

    fe_buf_drop(&buf, 3);
    CHECK_BYTES("defgh", 5, buf.data, buf.len);
    fe_buf_drop(&buf, 5);
    CHECK_INT(0, buf.len);
    fe_buf_append(&buf, "x", 1);
    CHECK_BYTES("x", 1, buf.data, buf.len);
    fe_buf_free(&buf);
}

/* A large buffer wastes at most a quarter of what it holds, plus one append. */
TEST(growth_wastes_a_bounded_part)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_buf buf;
    fe_buf_init(&buf, &alloc, FE_ALLOC_CLIENT);
    static uint8_t block[4096];

    while (buf.len < (size_t)20 << 20) {
        fe_buf_append(&buf, block, sizeof block);
        if (buf.len > (size_t)2 << 20) CHECK(buf.cap <= buf.len + buf.len / 4 + sizeof block);
    }
    fe_buf_free(&buf);
}

/* After the memory ran out nothing more goes in, not even what would fit; freeing repairs the
 * buffer. */
TEST(failure_sticks_until_the_buffer_is_freed)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_buf buf;
    fe_buf_init(&buf, &alloc, FE_ALLOC_CLIENT);
    fe_buf_append(&buf, "kept", 4);
    static uint8_t block[4096];

    fe_alloc_fail_after(&alloc, 0);
    fe_buf_append(&buf, block, sizeof block);
    fe_alloc_fail_after(&alloc, -1);

    CHECK(buf.failed);
    fe_buf_append_byte(&buf, 'x');
    CHECK(fe_buf_reserve(&buf, 1) == NULL);
    CHECK_BYTES("kept", 4, buf.data, buf.len);
    fe_buf_drop(&buf, 2);
    fe_buf_append_byte(&buf, 'x');
    CHECK_BYTES("pt", 2, buf.data, buf.len);

    fe_buf_free(&buf);
    fe_buf_append(&buf, "new", 3);
    CHECK(!buf.failed);
    CHECK_BYTES("new", 3, buf.data, buf.len);
    fe_buf_free(&buf);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(an_impossible_size_fails_instead_of_wrapping)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_buf buf;
    fe_buf_init(&buf, &alloc, FE_ALLOC_CLIENT);
    fe_buf_append(&buf, "a", 1);

    CHECK(fe_buf_reserve(&buf, SIZE_MAX) == NULL);
    CHECK(buf.failed);
    fe_buf_free(&buf);
}

int main(void)
{
    RUN(appending_keeps_every_byte_in_order);
    RUN(an_empty_buffer_takes_no_memory_and_may_be_viewed_and_freed);
    RUN(dropping_moves_the_rest_to_the_front);
    RUN(growth_wastes_a_bounded_part);
    RUN(failure_sticks_until_the_buffer_is_freed);
    RUN(an_impossible_size_fails_instead_of_wrapping);
    return check_done();
}
