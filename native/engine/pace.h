/* Which of many uses are looked at, so that no more than some thousand a second are, whatever the load.
 *
 * The distance from one to the next is drawn anew each time, evenly from 0 to twice the mean, so that no
 * rhythm of the load falls in with it; and each stands for all uses since the last, so that in sum every
 * use counts once. The mean follows the load: 1 while there are few, and then nothing is an estimate.
 *
 * Pure: no clock. Threads: the owner's lock.
 */
#ifndef FE_ENGINE_PACE_H
#define FE_ENGINE_PACE_H

#include "base/random.h"

typedef struct fe_pace {
    int64_t wait;  /* uses until the next one that is looked at */
    int64_t drawn; /* what `wait` began with */
    fe_random random;
    uint32_t interval;    /* the mean distance */
    uint32_t samples;     /* of this window of a second */
    uint32_t samples_max; /* a second, about */
    int64_t window_ms;
} fe_pace;

void fe_pace_init(fe_pace *pace, uint64_t seed, uint32_t samples_max, int64_t now_ms);

/* Begins anew, with every use. */
void fe_pace_restart(fe_pace *pace, int64_t now_ms);

/* To be called some times a second: after a second with few uses, more of them are looked at, at once, and not
 * only when the next one's turn has come. */
void fe_pace_relax(fe_pace *pace, int64_t now_ms);

/* There were so many uses; whether one of them is to be looked at, which fe_pace_take then says. */
static inline bool fe_pace_passes(fe_pace *pace, uint32_t uses)
{
    pace->wait -= uses;
    return __builtin_expect(pace->wait < 0, 0);
}

/* Whether one of the next `uses` will be looked at. */
static inline bool fe_pace_is_near(const fe_pace *pace, uint32_t uses)
{
    return pace->wait < (int64_t)uses;
}

/* Of how many uses the one that is looked at is told; the next is drawn. */
uint64_t fe_pace_take(fe_pace *pace, int64_t now_ms);

#endif
