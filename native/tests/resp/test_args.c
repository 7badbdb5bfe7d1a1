/* Arrays of arguments: finished requests stay put, and memory follows use. */
#include "resp/args.h"

#include "tests/check.h"

static const uint8_t letters[26] = "abcdefghijklmnopqrstuvwxyz";

TEST(arguments_of_finished_requests_never_move)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);
    fe_bytes *first[200];

    for (size_t i = 0; i < 200; i++) {
        for (size_t j = 0; j <= i; j++)
            CHECK(fe_args_push(&args, letters, (i + j) % 26));
        first[i] = fe_args_finish(&args);
    }

    bool same = true;
    for (size_t i = 0; i < 200; i++) {
        for (size_t j = 0; j <= i; j++)
            same &= first[i][j].len == (i + j) % 26;
    }
    CHECK(same);
    fe_args_free(&args);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(a_request_without_arguments_has_no_array)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);

    CHECK(fe_args_finish(&args) == NULL);
    CHECK_INT(0, fe_args_memory(&args));
}

TEST(releasing_keeps_the_request_under_way)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);
    for (size_t i = 0; i < 10; i++)
        fe_args_push(&args, letters, 25);
    fe_args_finish(&args);
    for (size_t i = 0; i < 500; i++) {
        fe_args_push(&args, letters, i);
        fe_args_release(&args);
    }

    CHECK_INT(500, args.count);
    fe_bytes *argv = fe_args_finish(&args);
    for (size_t i = 0; i < 500; i++)
        CHECK_INT(i, argv[i].len);
    fe_args_free(&args);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

TEST(releasing_gives_large_memory_back)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);
    for (size_t i = 0; i < 100000; i++)
        fe_args_push(&args, letters, 1);
    fe_args_finish(&args);

    CHECK(fe_args_memory(&args) >= 1600000);
    fe_args_release(&args);
    CHECK(fe_args_memory(&args) <= 4096);
    fe_args_free(&args);
}

TEST(a_failed_allocation_keeps_what_there_was)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_args args;
    fe_args_init(&args, &alloc);
    size_t pushed = 0;
    fe_alloc_fail_after(&alloc, 1);
    while (fe_args_push(&args, letters, pushed))
        pushed++;

    CHECK(pushed > 0);
    CHECK(fe_args_reserve(&args, SIZE_MAX / 2) == NULL);
    fe_bytes *argv = fe_args_finish(&args);
    for (size_t i = 0; i < pushed; i++)
        CHECK_INT(i, argv[i].len);
    fe_args_free(&args);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
}

int main(void)
{
    RUN(arguments_of_finished_requests_never_move);
    RUN(a_request_without_arguments_has_no_array);
    RUN(releasing_keeps_the_request_under_way);
    RUN(releasing_gives_large_memory_back);
    RUN(a_failed_allocation_keeps_what_there_was);
    return check_done();
}
