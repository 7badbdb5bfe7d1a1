/* The cut through sampled scores. */
#include "store/cut.h"
#include "tests/check.h"

#define TRIES 100000u

/* How many of TRIES scores from `low` on, `spread` of them evenly, pass; as a share of one. */
static double passing(const fe_cut *cut, fe_random *random, uint64_t low, uint64_t spread)
{
    uint64_t passed = 0;
    for (unsigned i = 0; i < TRIES; i++)
        passed += fe_cut_passes(cut, low + fe_random_below(random, spread), random);
    return (double)passed / TRIES;
}

static void fill(fe_cut *cut, fe_random *random, uint64_t low, uint64_t spread)
{
    for (unsigned i = 0; i < FE_CUT_SCORES; i++) {
        CHECK(!fe_cut_ready(cut));
        fe_cut_add(cut, low + fe_random_below(random, spread));
    }
    CHECK(fe_cut_ready(cut));
}

TEST(the_wanted_share_of_scores_passes_and_they_are_the_largest)
{
    fe_random random;
    fe_random_init(&random, 1);
    for (uint32_t share = FE_CUT_WHOLE / 32; share <= FE_CUT_WHOLE / 2; share *= 2) {
        double sum = 0;
        for (unsigned round = 0; round < 50; round++) {
            fe_cut cut;
            fe_cut_init(&cut, share);
            fill(&cut, &random, 1000, 1000000);
            sum += passing(&cut, &random, 1000, 1000000) / 50;
            CHECK(!fe_cut_passes(&cut, cut.edge - 1, &random));
            CHECK(fe_cut_passes(&cut, cut.edge + 1, &random));
        }
        double wanted = (double)share / FE_CUT_WHOLE;
        CHECK(sum > wanted - 0.03 && sum < wanted + 0.03);
    }
}

TEST(of_equal_scores_the_wanted_share_passes)
{
    fe_random random;
    fe_random_init(&random, 2);
    fe_cut cut;
    fe_cut_init(&cut, FE_CUT_WHOLE / 5);
    fill(&cut, &random, 7, 1);
    double share = passing(&cut, &random, 7, 1);
    CHECK(share > 0.19 && share < 0.21);
    CHECK(fe_cut_passes(&cut, 8, &random));
    CHECK(!fe_cut_passes(&cut, 6, &random));
}

TEST(ties_at_the_edge_fill_up_what_is_above_it)
{
    fe_random random;
    fe_random_init(&random, 3);
    fe_cut cut;
    fe_cut_init(&cut, FE_CUT_WHOLE / 2);
    for (unsigned i = 0; i < FE_CUT_SCORES; i++)
        fe_cut_add(&cut, i % 4 == 0 ? 100 : 50); /* a quarter is above the others */
    CHECK_INT(50, cut.edge);
    CHECK(fe_cut_passes(&cut, 100, &random));
    double share = passing(&cut, &random, 50, 1); /* another quarter, of the three below */
    CHECK(share > 0.32 && share < 0.35);
}

TEST(the_cut_follows_the_scores)
{
    fe_random random;
    fe_random_init(&random, 4);
    fe_cut cut;
    fe_cut_init(&cut, FE_CUT_WHOLE / 4);
    fill(&cut, &random, 0, 100);
    for (unsigned i = 0; i < FE_CUT_SCORES; i++)
        fe_cut_add(&cut, 1000000 + fe_random_below(&random, 100));
    CHECK(cut.edge >= 1000000);
    CHECK(!fe_cut_passes(&cut, 100, &random));
}

TEST(shares_are_kept_within_bounds)
{
    fe_cut cut;
    fe_cut_init(&cut, FE_CUT_WHOLE / 4);
    fe_cut_set_share(&cut, 0);
    CHECK_INT(FE_CUT_WHOLE / 64, cut.share);
    fe_cut_set_share(&cut, 10 * (uint64_t)FE_CUT_WHOLE);
    CHECK_INT(FE_CUT_WHOLE / 4 * 3, cut.share);
}

int main(void)
{
    RUN(the_wanted_share_of_scores_passes_and_they_are_the_largest);
    RUN(of_equal_scores_the_wanted_share_passes);
    RUN(ties_at_the_edge_fill_up_what_is_above_it);
    RUN(the_cut_follows_the_scores);
    RUN(shares_are_kept_within_bounds);
    return check_done();
}
