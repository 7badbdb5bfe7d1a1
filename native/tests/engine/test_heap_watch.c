/* When free memory is given back: what stays free, not what comes and goes. */
#include "tests/check.h"

#include "engine/heap_watch.h"

#define MIB ((uint64_t)1 << 20)
#define TICK_NS ((uint64_t)100000000)

typedef struct clocked {
    fe_heap_watch watch;
    uint64_t now_ns;
    unsigned given; /* how often */
} clocked;

/* So many ticks with `mib` in use; returns how often it was given back. */
static unsigned hold(clocked *it, uint64_t mib, unsigned ticks)
{
    unsigned given = 0;
    for (unsigned i = 0; i < ticks; i++, it->now_ns += TICK_NS)
        given += fe_heap_watch_note(&it->watch, mib * MIB, it->now_ns);
    it->given += given;
    return given;
}

/* `seconds` in which the last tick of each `period` has 400 MiB in use, and the others 100. */
static void swing(clocked *it, unsigned seconds, unsigned period)
{
    for (unsigned i = 0; i < seconds * 10; i++)
        (void)hold(it, i % period == period - 1 ? 400 : 100, 1);
}

TEST(what_stays_free_is_given_back_once)
{
    clocked it = {.now_ns = 12345};
    CHECK_INT(0, hold(&it, 400, 30));
    CHECK_INT(1, hold(&it, 100, 21));
    CHECK_INT(0, hold(&it, 100, 500));
    CHECK_INT(0, hold(&it, 90, 500)); /* 10 MiB are little */
}

TEST(not_before_it_has_stayed_free_for_a_window)
{
    clocked it = {.now_ns = 1};
    CHECK_INT(0, hold(&it, 400, 1));
    CHECK_INT(0, hold(&it, 100, 10)); /* the window in which it was in use ends */
    CHECK_INT(0, hold(&it, 100, 9));
    CHECK_INT(1, hold(&it, 100, 1));
}

TEST(what_comes_and_goes_within_a_window_is_kept)
{
    clocked it = {.now_ns = 1};
    swing(&it, 600, 2);
    swing(&it, 600, 9);
    CHECK_INT(0, it.given);
    CHECK_INT(1, hold(&it, 100, 21));
}

TEST(what_comes_and_goes_slowly_is_kept_after_a_few_times)
{
    clocked it = {.now_ns = 1};
    swing(&it, 600, 50); /* each five seconds: not 120 times */
    CHECK(it.given >= 1);
    CHECK(it.given <= 4);
    unsigned before = it.given;
    swing(&it, 600, 50);
    CHECK_INT(before, it.given);
    CHECK_INT(1, hold(&it, 100,
                      400)); /* and it is given back at last, within two of the longest windows */
}

TEST(patience_is_short_again_after_a_quiet_time)
{
    clocked it = {.now_ns = 1};
    swing(&it, 600, 50);
    (void)hold(&it, 400, 3000);
    CHECK_INT(1, hold(&it, 100, 400));
    (void)hold(&it, 400, 3000);
    CHECK_INT(1, hold(&it, 100, 21));
}

TEST(a_small_part_of_much_is_kept)
{
    clocked it = {.now_ns = 1};
    (void)hold(&it, 4000, 30);
    CHECK_INT(0, hold(&it, 3900, 100));
    CHECK_INT(1, hold(&it, 3400, 30));
}

TEST(few_samples_make_no_window)
{
    clocked it = {.now_ns = 1};
    CHECK(!fe_heap_watch_note(&it.watch, 400 * MIB, it.now_ns));
    unsigned given = 0, steps = 0;
    for (; given == 0 && steps < 100; steps++) /* one a second */
        given += fe_heap_watch_note(&it.watch, 100 * MIB, it.now_ns += 10 * TICK_NS);
    CHECK_INT(1, given);
    CHECK(steps >= FE_HEAP_SAMPLES_MIN);
    CHECK(steps <= 2 * FE_HEAP_SAMPLES_MIN);
}

int main(void)
{
    RUN(what_stays_free_is_given_back_once);
    RUN(not_before_it_has_stayed_free_for_a_window);
    RUN(what_comes_and_goes_within_a_window_is_kept);
    RUN(what_comes_and_goes_slowly_is_kept_after_a_few_times);
    RUN(patience_is_short_again_after_a_quiet_time);
    RUN(a_small_part_of_much_is_kept);
    RUN(few_samples_make_no_window);
    return check_done();
}
