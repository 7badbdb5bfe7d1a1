/* Longest common subsequence of two byte strings: the arithmetic below the LCS command.
 *
 * Where several longest subsequences exist the choice is Redis's: the walk back from the ends
 * prefers to step back in `b`. So strings, ranges and their order (from the end to the start) are
 * the same.
 *
 * Memory: one bit per pair of positions, where Redis takes 32 (see lcs.c). Time: a.len * b.len / 64
 * steps.
 */
#ifndef FE_VALUE_LCS_H
#define FE_VALUE_LCS_H

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/status.h"

typedef enum fe_lcs_status {
    FE_LCS_OK,
    FE_LCS_TOO_LARGE, /* the working memory would exceed the caller's bound; nothing was computed */
    FE_LCS_NO_MEMORY,
} fe_lcs_status;

/* Positions, both ends included, where a run of `a` matches a run of `b` of the same length. */
typedef struct fe_lcs_match {
    size_t a_first, a_last;
    size_t b_first, b_last;
} fe_lcs_match;

/* A computed comparison and the place of a walk over its matches. Fields belong to lcs.c, except
 * `length`. */
typedef struct fe_lcs {
    size_t length; /* of the longest common subsequence, in bytes */
    fe_bytes a, b;
    fe_alloc *alloc;
    uint64_t *rows;
    size_t row_words;
    size_t i, j;
} fe_lcs;

/* Computes only the length. `bytes_max` bounds the bit matrix that fe_lcs_open would take, so that
 * the bound on memory is also one on time. */
FE_MUST_USE fe_lcs_status fe_lcs_length(fe_alloc *alloc, fe_bytes a, fe_bytes b, size_t bytes_max,
                                        size_t *length);

/* Computes the comparison and stands before the last match. `a` and `b` must stay as they are until
 * fe_lcs_close. On failure there is nothing to close. */
FE_MUST_USE fe_lcs_status fe_lcs_open(fe_lcs *lcs, fe_alloc *alloc, fe_bytes a, fe_bytes b,
                                      size_t bytes_max);

/* Gives the memory back. */
void fe_lcs_close(fe_lcs *lcs);

/* Writes the subsequence itself, `length` bytes. Does not move the walk. */
void fe_lcs_string(const fe_lcs *lcs, uint8_t *out);

/* Gives the next match of at least `length_min` bytes (0 and 1 mean all), from the end to the
 * start. False, with *match untouched, when there are no more. */
bool fe_lcs_next(fe_lcs *lcs, size_t length_min, fe_lcs_match *match);

/* Stands before the last match again, so that matches can be counted first and written then. */
void fe_lcs_rewind(fe_lcs *lcs);

#endif
