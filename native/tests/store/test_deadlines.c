/* The deadline histogram: estimates are near the truth where it matters, and errors do not outlive
 * a walk.
 */
#include "store/deadlines.h"
#include "tests/check.h"

#define NOW 1700000000000

TEST(nothing_is_expired_before_its_time_and_all_of_it_a_while_after)
{
    fe_deadlines d = {0};
    for (int64_t i = 0; i < 1000; i++)
        fe_deadlines_add(&d, NOW, NOW + 10000 + i, 80);
    CHECK_INT(0, fe_deadlines_expired(&d, NOW));
    CHECK_INT(0, fe_deadlines_expired(&d, NOW + 8000));
    CHECK_INT(80000, fe_deadlines_expired(&d, NOW + 13000));
    CHECK(fe_deadlines_overdue(&d, NOW + 5000) < 0);
    CHECK(fe_deadlines_overdue(&d, NOW + 13000) > 0);
}

TEST(an_even_spread_is_estimated_evenly)
{
    fe_deadlines d = {0};
    for (int64_t i = 1; i <= 10000; i++) /* the first decides the width: about 8 s */
        fe_deadlines_add(&d, NOW, NOW + (i * 7919) % 10000, 8);
    for (int64_t t = 2000; t < 10000; t += 1000) {
        int64_t expired = (int64_t)fe_deadlines_expired(&d, NOW + t) / 8;
        CHECK(expired > t - 1300 && expired < t + 1300);
    }
}

TEST(a_near_deadline_among_far_ones_is_seen_in_time)
{
    fe_deadlines d = {0};
    for (int64_t i = 0; i < 1000; i++)
        fe_deadlines_add(&d, NOW, NOW + 86400000 + i, 80);
    for (int64_t i = 0; i < 1000; i++)
        fe_deadlines_add(&d, NOW, NOW + 5000, 80);
    uint64_t expired = fe_deadlines_expired(&d, NOW + 7000);
    CHECK(expired >= 80000 && expired < 90000);
}

TEST(what_dies_early_is_taken_off)
{
    fe_deadlines d = {0};
    for (int64_t i = 0; i < 100; i++)
        fe_deadlines_add(&d, NOW, NOW + 100 * i, 80);
    for (int64_t i = 0; i < 100; i++)
        fe_deadlines_remove(&d, NOW + 100 * i, 80);
    CHECK_INT(0, d.total);
    CHECK_INT(0, fe_deadlines_expired(&d, NOW + 100000));
    fe_deadlines_add(&d, NOW, INT64_MAX,
                     80); /* starts anew, with other widths, and does not overflow */
    CHECK_INT(0, fe_deadlines_expired(&d, NOW + 100000));
    fe_deadlines_remove(&d, INT64_MAX, 160); /* more than there is: no harm */
    CHECK_INT(0, d.total);
}

TEST(a_walk_replaces_the_histogram_by_what_it_measured)
{
    fe_deadlines d = {0};
    fe_deadlines_measure m = {0};
    for (int64_t i = 0; i < 1000; i++)
        fe_deadlines_add(&d, NOW, NOW + 100, 80); /* written while the walk went on */
    for (int64_t i = 0; i < 1000; i++)
        fe_deadlines_measure_add(&m, NOW, NOW + 60000 + i * 60, 80);
    fe_deadlines_assign(&d, &m, NOW);
    CHECK_INT(20000, d.total);
    CHECK(fe_deadlines_expired(&d, NOW + 150) >= 80000 * 9 / 10);
    CHECK(fe_deadlines_expired(&d, NOW + 150) < 90000);
    fe_deadlines_measure far = {0};
    d = (fe_deadlines){0};
    fe_deadlines_add(&d, NOW, INT64_MAX, 80);
    fe_deadlines_measure_add(&far, NOW, INT64_MAX, 80);
    fe_deadlines_assign(&d, &far, NOW);
    CHECK_INT(20, d.total);
    CHECK_INT(0, fe_deadlines_expired(&d, NOW + 1000000));
}

int main(void)
{
    RUN(nothing_is_expired_before_its_time_and_all_of_it_a_while_after);
    RUN(an_even_spread_is_estimated_evenly);
    RUN(a_near_deadline_among_far_ones_is_seen_in_time);
    RUN(what_dies_early_is_taken_off);
    RUN(a_walk_replaces_the_histogram_by_what_it_measured);
    return check_done();
}
