/* The cut: see the header. It is made anew when an eighth of the scores has changed: the largest
 * scores, up to the wanted rank, are selected from a copy.
 *
 * Threads: the engine's lock is held.
 */
#include "store/cut.h"

#include <string.h>

#define REFRESH (FE_CUT_SCORES / 8u)
#define SHARE_MIN (FE_CUT_WHOLE / 64u)
#define SHARE_MAX (FE_CUT_WHOLE / 4u * 3u)

void fe_cut_init(fe_cut *cut, uint32_t share)
{
    memset(cut, 0, sizeof(*cut));
    cut->share = share;
}

void fe_cut_set_share(fe_cut *cut, uint64_t share)
{
    if (share < SHARE_MIN) share = SHARE_MIN;
    if (share > SHARE_MAX) share = SHARE_MAX;
    cut->share = (uint32_t)share;
}

/* The value of the given rank, 0 for the largest; orders `scores` on the way. */
static uint64_t select_rank(uint64_t *scores, uint32_t rank)
{
    uint32_t low = 0, high = FE_CUT_SCORES - 1;
    while (low < high) {
        uint64_t pivot = scores[low + (high - low) / 2];
        uint32_t i = low, j = high;
        for (;;) { /* Hoare's partition, descending */
            while (scores[i] > pivot)
                i++;
            while (scores[j] < pivot)
                j--;
            if (i >= j) break;
            uint64_t swap = scores[i];
            scores[i++] = scores[j];
            scores[j--] = swap;
        }
        if (rank <= j)
            high = j;
        else
            low = j + 1;
    }
    return scores[rank];
}

static void cut_make(fe_cut *cut)
{
    uint64_t scores[FE_CUT_SCORES];
    memcpy(scores, cut->scores, sizeof(scores));
    uint64_t wanted = (uint64_t)cut->share * FE_CUT_SCORES; /* in scores, times FE_CUT_WHOLE */
    cut->edge = select_rank(scores, (uint32_t)(wanted / FE_CUT_WHOLE));
    uint64_t above = 0, equal = 0;
    for (uint32_t i = 0; i < FE_CUT_SCORES; i++) {
        above += cut->scores[i] > cut->edge;
        equal += cut->scores[i] == cut->edge;
    }
    cut->ties = (uint32_t)((wanted - above * FE_CUT_WHOLE) / equal);
    cut->fresh = 0;
}

void fe_cut_add(fe_cut *cut, uint64_t score)
{
    cut->scores[cut->next] = score;
    cut->next = (cut->next + 1) % FE_CUT_SCORES;
    bool filled = cut->count == FE_CUT_SCORES - 1;
    if (cut->count < FE_CUT_SCORES) cut->count++;
    if (filled || (cut->count == FE_CUT_SCORES && ++cut->fresh >= REFRESH)) cut_make(cut);
}

bool fe_cut_passes(const fe_cut *cut, uint64_t score, fe_random *random)
{
    if (score != cut->edge) return score > cut->edge;
    return (fe_random_next(random) & (FE_CUT_WHOLE - 1)) < cut->ties;
}
