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

/* Looks at fewer uses when there were too many, and at more in a second with few. */
static void follow_load(fe_pace *pace, int64_t now_ms)
{
    if (++pace->samples >= pace->samples_max && pace->interval < INTERVAL_MAX) {
        pace->interval *= 2;
        pace->samples = pace->samples_max / 2; /* as if it had been so from the beginning */
    }
    int64_t passed = now_ms - pace->window_ms;
    if (passed >= 0 && passed < WINDOW_MS) return;
    if (pace->samples < pace->samples_max / 4 && pace->interval > 1) pace->interval /= 2;
    if (passed > 10 * WINDOW_MS) pace->interval = 1; /* nearly nothing happens */
    pace->samples = 0;
    pace->window_ms = now_ms;
}

uint64_t fe_pace_take(fe_pace *pace, int64_t now_ms)
{
    uint64_t stands_for = (uint64_t)(pace->drawn - pace->wait);
    follow_load(pace, now_ms);
    pace->drawn = (int64_t)fe_random_below(&pace->random, 2 * (uint64_t)pace->interval - 1);
    pace->wait = pace->drawn;
    return stands_for;
}
