/* A background thread: what ends its rest, and its life. */
#include "tests/check.h"

#include "base/assert.h"
#include "base/clock.h"
#include "engine/background.h"

#include <string.h>

#define HOUR_NS UINT64_C(3600000000000)

typedef struct counted {
    fe_background thread;
    _Atomic int rests; /* that have ended */
} counted;

static void *rest_again_and_again(void *argument)
{
    counted *it = argument;
    fe_background_give_way();
    bool stop;
    do {
        stop = fe_background_rest(&it->thread, HOUR_NS);
        atomic_fetch_add(&it->rests, 1);
    } while (!stop);
    return NULL;
}

TEST(a_rest_lasts_as_long_as_it_is_said)
{
    fe_background thread;
    memset(&thread, 0, sizeof thread);
    fe_background_init(&thread);
    uint64_t began = fe_clock_monotonic_ns();

    CHECK(!fe_background_rest(&thread, 2000000));

    CHECK(fe_clock_monotonic_ns() - began >= 2000000);
    CHECK(!fe_background_is_stopped(&thread));
    fe_background_destroy(&thread);
}

TEST(a_wake_before_the_rest_ends_it_at_once_and_once)
{
    fe_background thread;
    memset(&thread, 0, sizeof thread);
    fe_background_init(&thread);
    fe_background_wake(&thread);
    fe_background_wake(&thread);

    CHECK(!fe_background_rest(&thread, HOUR_NS));

    uint64_t began = fe_clock_monotonic_ns();
    CHECK(!fe_background_rest(&thread, 1000000));
    CHECK(fe_clock_monotonic_ns() - began >= 1000000);
    fe_background_destroy(&thread);
}

TEST(a_thread_is_woken_from_its_rest_and_stopped_in_it)
{
    counted it;
    memset(&it, 0, sizeof it);
    fe_background_init(&it.thread);
    FE_ASSERT(fe_background_start(&it.thread, rest_again_and_again, &it));
    for (int i = 1; i <= 100; i++) {
        fe_background_wake(&it.thread);
        while (atomic_load(&it.rests) < i) {}
    }

    fe_background_stop(&it.thread);

    CHECK_INT(101, atomic_load(&it.rests));
    CHECK(fe_background_is_stopped(&it.thread));
    fe_background_destroy(&it.thread);
}

int main(void)
{
    RUN(a_rest_lasts_as_long_as_it_is_said);
    RUN(a_wake_before_the_rest_ends_it_at_once_and_once);
    RUN(a_thread_is_woken_from_its_rest_and_stopped_in_it);
    return check_done();
}
