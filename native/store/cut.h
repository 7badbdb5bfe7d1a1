/* A cut through the scores of random records: which of them are the worst to keep.
 *
 * The last FE_CUT_SCORES sampled scores stand for all. The cut lies where the wanted share of them
 * is above it; of records whose score equals it (scores are coarse: seconds, a counter) a random
 * part passes, so that the share is met even when most are equal.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_STORE_CUT_H
#define FE_STORE_CUT_H

#include "base/random.h"

#define FE_CUT_SCORES 128u
#define FE_CUT_WHOLE 65536u /* a share of one */

typedef struct fe_cut {
    uint64_t scores[FE_CUT_SCORES]; /* a ring; higher goes first */
    uint32_t count, next;
    uint32_t fresh; /* added since the cut was made */
    uint32_t share; /* wanted above the cut, of FE_CUT_WHOLE */
    uint64_t edge;
    uint32_t ties; /* of those that equal the edge, of FE_CUT_WHOLE */
} fe_cut;

/* Forgets all scores. */
void fe_cut_init(fe_cut *cut, uint32_t share);

void fe_cut_add(fe_cut *cut, uint64_t score);

/* Another share, between a 64th and three quarters; from the next added score on. */
void fe_cut_set_share(fe_cut *cut, uint64_t share);

/* Whether there are enough scores to cut. */
static inline bool fe_cut_ready(const fe_cut *cut)
{
    return cut->count == FE_CUT_SCORES;
}

/* Whether a record of this score is to go. */
bool fe_cut_passes(const fe_cut *cut, uint64_t score, fe_random *random);

#endif
