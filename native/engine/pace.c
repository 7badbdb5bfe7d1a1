/* See pace.h. */
#include "engine/pace.h"

#define INTERVAL_MAX (1u << 16)
#define WINDOW_MS 1000

void fe_pace_init(fe_pace *pace, uint64_t seed, uint32_t samples_max, int64_t now_ms)
{
    *pace = (fe_pace){.samples_max = samples_max};
    fe_random_init(&pace->random, seed);
    fe_pace_restart(pace, now_ms);
}

void fe_pace_restart(fe_pace *pace, int64_t now_ms)
{
    pace->interval = 1;
    pace->samples = 0;
    pace->window_ms = now_ms;
    pace->drawn = pace->wait = 0;
}

/* What a second has had says how many are looked at in the next: of half the distance twice as many, and so on. */
static void end_window(fe_pace *pace, int64_t now_ms)
{
    int64_t passed = now_ms - pace->window_ms;
    int64_t n = pace->samples;
    if (passed > WINDOW_MS) n = n * WINDOW_MS / passed;
    for (; n < pace->samples_max / 4 && pace->interval > 1; n = 2 * n + 1)
        pace->interval /= 2;
    pace->samples = 0;
    pace->window_ms = now_ms;
}

static bool window_is_over(const fe_pace *pace, int64_t now_ms)
{
    int64_t passed = now_ms - pace->window_ms;
    return passed < 0 || passed >= WINDOW_MS;
}

void fe_pace_relax(fe_pace *pace, int64_t now_ms)
{
    if (!window_is_over(pace, now_ms)) return;
    end_window(pace, now_ms);
    int64_t over =
        pace->wait - (2 * (int64_t)pace->interval - 2); /* more than would be drawn now */
    if (over <= 0) return;
    pace->wait -= over;
    pace->drawn -= over; /* it stands for as many as there were */
}

/* Looks at fewer uses when there were too many, and at more after a second with few. */
static void follow_load(fe_pace *pace, int64_t now_ms)
{
    if (++pace->samples >= pace->samples_max && pace->interval < INTERVAL_MAX) {
        pace->interval *= 2;
        pace->samples = pace->samples_max / 2; /* as if it had been so from the beginning */
    }
    if (window_is_over(pace, now_ms)) end_window(pace, now_ms);
}

uint64_t fe_pace_take(fe_pace *pace, int64_t now_ms)
{
    uint64_t stands_for = (uint64_t)(pace->drawn - pace->wait);
    follow_load(pace, now_ms);
    pace->drawn = (int64_t)fe_random_below(&pace->random, 2 * (uint64_t)pace->interval - 1);
    pace->wait = pace->drawn;
    return stands_for;
}
