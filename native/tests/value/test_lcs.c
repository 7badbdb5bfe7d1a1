/* value/lcs: the documented example, and everything against a table of numbers filled and walked as
 * the LCS command is documented to do. */
#include "value/lcs.h"

#include "tests/check.h"
#include "tests/value/seed.h"

static fe_random random_state;
static fe_alloc allocator;

enum { LEN_MAX = 300, NO_BOUND = 1 << 30 };

/* -- the model -- */

static unsigned table[LEN_MAX + 1][LEN_MAX + 1];

static void fill_table(fe_bytes a, fe_bytes b)
{
    for (size_t i = 0; i <= a.len; i++) {
        for (size_t j = 0; j <= b.len; j++) {
            unsigned up = i == 0 || j == 0 ? 0 : table[i - 1][j];
            unsigned left = i == 0 || j == 0 ? 0 : table[i][j - 1];
            table[i][j] = up > left ? up : left;
            if (i > 0 && j > 0 && a.ptr[i - 1] == b.ptr[j - 1]) {
                table[i][j] = table[i - 1][j - 1] + 1;
            }
        }
    }
}

typedef struct model {
    uint8_t string[LEN_MAX];
    fe_lcs_match matches[LEN_MAX];
    size_t match_count;
} model;

/* Walks back one pair at a time; a pair that continues the last match downwards lengthens it. */
static void walk_table(fe_bytes a, fe_bytes b, model *out)
{
    size_t i = a.len, j = b.len, left = table[i][j];

    out->match_count = 0;
    while (i > 0 && j > 0) {
        if (a.ptr[i - 1] != b.ptr[j - 1]) {
            if (table[i - 1][j] > table[i][j - 1]) {
                i--;
            } else {
                j--;
            }
            continue;
        }
        i--;
        j--;
        out->string[--left] = a.ptr[i];
        fe_lcs_match *last = out->match_count == 0 ? NULL : &out->matches[out->match_count - 1];
        if (last != NULL && last->a_first == i + 1 && last->b_first == j + 1) {
            last->a_first = i;
            last->b_first = j;
        } else {
            out->matches[out->match_count++] = (fe_lcs_match){i, i, j, j};
        }
    }
}

static bool same_match(fe_lcs_match x, fe_lcs_match y)
{
    return x.a_first == y.a_first && x.a_last == y.a_last && x.b_first == y.b_first &&
           x.b_last == y.b_last;
}

/* -- cases -- */

TEST(the_documented_example)
{
    fe_bytes a = FE_BYTES("ohmytext"), b = FE_BYTES("mynewtext");
    fe_lcs lcs;
    fe_lcs_match match;
    uint8_t string[6];
    size_t length = 0;

    CHECK_INT(FE_LCS_OK, fe_lcs_length(&allocator, a, b, NO_BOUND, &length));
    CHECK_INT(6, length);
    CHECK_INT(FE_LCS_OK, fe_lcs_open(&lcs, &allocator, a, b, NO_BOUND));
    CHECK_INT(6, lcs.length);
    fe_lcs_string(&lcs, string);
    CHECK_BYTES("mytext", 6, string, 6);
    CHECK(fe_lcs_next(&lcs, 0, &match) && same_match((fe_lcs_match){4, 7, 5, 8}, match));
    CHECK(fe_lcs_next(&lcs, 0, &match) && same_match((fe_lcs_match){2, 3, 0, 1}, match));
    CHECK(!fe_lcs_next(&lcs, 0, &match));
    fe_lcs_rewind(&lcs);
    CHECK(fe_lcs_next(&lcs, 4, &match) && same_match((fe_lcs_match){4, 7, 5, 8}, match));
    CHECK(!fe_lcs_next(&lcs, 4, &match));
    fe_lcs_close(&lcs);
}

TEST(empty_strings_have_nothing_in_common)
{
    fe_bytes empty = {NULL, 0}, full = FE_BYTES("abc");
    const fe_bytes pairs[][2] = {{empty, full}, {full, empty}, {empty, empty}};

    for (size_t i = 0; i < 3; i++) {
        size_t length = 9;
        fe_lcs lcs;
        fe_lcs_match match;
        CHECK_INT(FE_LCS_OK, fe_lcs_length(&allocator, pairs[i][0], pairs[i][1], 0, &length));
        CHECK_INT(0, length);
        CHECK_INT(FE_LCS_OK, fe_lcs_open(&lcs, &allocator, pairs[i][0], pairs[i][1], 0));
        CHECK_INT(0, lcs.length);
        CHECK(!fe_lcs_next(&lcs, 0, &match));
        fe_lcs_close(&lcs);
    }
}

static void check_against_model(fe_bytes a, fe_bytes b, size_t length_min)
{
    static model want;
    uint8_t string[LEN_MAX];
    fe_lcs_match match;
    fe_lcs lcs;
    size_t length = SIZE_MAX;

    fill_table(a, b);
    walk_table(a, b, &want);
    CHECK_INT(FE_LCS_OK, fe_lcs_length(&allocator, a, b, NO_BOUND, &length));
    CHECK_INT(table[a.len][b.len], length);
    CHECK_INT(FE_LCS_OK, fe_lcs_open(&lcs, &allocator, a, b, NO_BOUND));
    CHECK_INT(length, lcs.length);
    fe_lcs_string(&lcs, string);
    CHECK(memcmp(want.string, string, length) == 0);
    for (size_t i = 0; i < want.match_count; i++) {
        fe_lcs_match next = want.matches[i];
        if (next.a_last - next.a_first + 1 < length_min) continue;
        CHECK(fe_lcs_next(&lcs, length_min, &match) && same_match(next, match));
    }
    CHECK(!fe_lcs_next(&lcs, length_min, &match));
    CHECK(!fe_lcs_next(&lcs, 0, &match));
    fe_lcs_close(&lcs);
}

TEST(random_strings_agree_with_the_model)
{
    static uint8_t a[LEN_MAX], b[LEN_MAX];

    for (int round = 0; round < 3000; round++) {
        size_t len_max = round % 10 == 0 ? LEN_MAX : 70;
        fe_bytes view_a = {a, (size_t)fe_random_below(&random_state, len_max + 1)};
        fe_bytes view_b = {b, (size_t)fe_random_below(&random_state, len_max + 1)};
        uint64_t alphabet = fe_random_below(&random_state, round % 3 == 0 ? 256 : 4) + 1;
        for (size_t i = 0; i < view_a.len; i++) {
            a[i] = (uint8_t)fe_random_below(&random_state, alphabet);
        }
        for (size_t i = 0; i < view_b.len; i++) {
            bool follow = i < view_a.len && fe_random_below(&random_state, 4) != 0;
            b[i] = follow ? a[i] : (uint8_t)fe_random_below(&random_state, alphabet);
        }
        check_against_model(view_a, view_b, (size_t)fe_random_below(&random_state, 6));
    }
    CHECK_INT(0, fe_alloc_used_all(&allocator));
}

/* 100 bytes against 65 take 100 rows of two words. */
TEST(the_bound_is_on_the_bit_matrix)
{
    uint8_t a[100] = {1}, b[65] = {1};
    fe_lcs lcs;
    size_t length = 77;
    fe_bytes view_a = {a, sizeof a}, view_b = {b, sizeof b};

    CHECK_INT(FE_LCS_TOO_LARGE, fe_lcs_open(&lcs, &allocator, view_a, view_b, 1599));
    CHECK_INT(FE_LCS_TOO_LARGE, fe_lcs_length(&allocator, view_a, view_b, 1599, &length));
    CHECK_INT(77, length);
    CHECK_INT(FE_LCS_OK, fe_lcs_length(&allocator, view_a, view_b, 1600, &length));
    CHECK_INT(65, length);
    CHECK_INT(FE_LCS_OK, fe_lcs_open(&lcs, &allocator, view_a, view_b, 1600));
    fe_lcs_close(&lcs);
}

TEST(memory_that_runs_out_is_reported_and_nothing_is_kept)
{
    fe_bytes a = FE_BYTES("ohmytext"), b = FE_BYTES("mynewtext");

    for (int64_t n = 0; n < 2; n++) {
        fe_lcs lcs;
        size_t length = 77;
        fe_alloc_fail_after(&allocator, n);
        CHECK_INT(FE_LCS_NO_MEMORY, fe_lcs_length(&allocator, a, b, NO_BOUND, &length));
        fe_alloc_fail_after(&allocator, n);
        CHECK_INT(FE_LCS_NO_MEMORY, fe_lcs_open(&lcs, &allocator, a, b, NO_BOUND));
        CHECK_INT(77, length);
        CHECK_INT(0, fe_alloc_used_all(&allocator));
    }
    fe_alloc_fail_after(&allocator, -1);
}

int main(int argc, char **argv)
{
    random_state = seed_random(argc, argv);
    fe_alloc_init(&allocator);
    RUN(the_documented_example);
    RUN(empty_strings_have_nothing_in_common);
    RUN(random_strings_agree_with_the_model);
    RUN(the_bound_is_on_the_bit_matrix);
    RUN(memory_that_runs_out_is_reported_and_nothing_is_kept);
    return check_done();
}
