/* Longest common subsequence, 64 positions at a time.
 *
 * With L(i, j) the length for the first i bytes of `a` and the first j of `b`, neighbours in a row
 * differ by 0 or 1, so a row is a bit string. Row i has one bit per position of `b`:
 *
 *     bit j of row i  is 0  when  L(i, j + 1) = L(i, j) + 1,  else 1
 *
 * Row 0 is all ones, and with M the positions of `b` that hold byte i of `a` (Hyyrö, "Bit-parallel
 * LCS-length computation revisited", 2004):
 *
 *     U = row & M;   row' = (row + U) | (row - U)
 *
 * where + carries from word to word. The length is the number of zeros in the last row.
 *
 * The walk back from (i, j) needs no numbers either. Equal bytes belong to the subsequence. Else
 * Redis steps back in `a` when L(i - 1, j) > L(i, j - 1) and in `b` otherwise; L(i, j) is the
 * larger of the two, so the first holds exactly when L(i, j) > L(i, j - 1): when bit j - 1 of
 * row i is zero.
 *
 * Memory, taken by fe_lcs_open: rows 1 to a.len, each row_words words. While computing also the
 * positions M, one run of words for every byte value that `b` has.
 *
 * Invariants: 1. Bits of a row behind b.len are ones. 2. i <= a.len and j <= b.len; a walk that has
 * ended has i or j 0.
 *
 * Threads: pure functions over the caller's object.
 */
#include "value/lcs.h"

#include "base/assert.h"

enum { BYTE_VALUES = 256, WORD_BITS = 64 };

/* Which positions of `b` hold each byte value. */
typedef struct positions {
    uint64_t
        *words; /* a run of row_words for each value that occurs, and one of zeros for all others */
    size_t run_of[BYTE_VALUES];
} positions;

static size_t words_for(fe_bytes b)
{
    return b.len / WORD_BITS + (b.len % WORD_BITS != 0);
}

/* Whether the bit matrix fits into the bound (and into size_t). */
static bool fits(fe_bytes a, size_t row_words, size_t bytes_max)
{
    size_t bytes;
    return !__builtin_mul_overflow(a.len, row_words * sizeof(uint64_t), &bytes) &&
           bytes <= bytes_max;
}

static bool positions_open(positions *at, fe_alloc *alloc, fe_bytes b, size_t row_words)
{
    bool occurs[BYTE_VALUES] = {false};
    size_t runs = 1;

    for (size_t j = 0; j < b.len; j++)
        occurs[b.ptr[j]] = true;
    for (size_t value = 0; value < BYTE_VALUES; value++) {
        at->run_of[value] = occurs[value] ? runs++ * row_words : 0;
    }
    at->words = fe_alloc_take_zeroed(alloc, FE_ALLOC_SCRATCH, runs * row_words * sizeof(uint64_t));
    if (at->words == NULL) return false;
    for (size_t j = 0; j < b.len; j++) {
        at->words[at->run_of[b.ptr[j]] + j / WORD_BITS] |= (uint64_t)1 << j % WORD_BITS;
    }
    return true;
}

/* Computes row i into `row` from the row before it; both may be the same. */
static void next_row(const positions *at, uint8_t byte, const uint64_t *before, uint64_t *row,
                     size_t row_words)
{
    const uint64_t *matches = at->words + at->run_of[byte];
    uint64_t carry = 0;

    for (size_t w = 0; w < row_words; w++) {
        uint64_t old = before[w], used = old & matches[w], sum;
        uint64_t carried = (uint64_t)__builtin_add_overflow(old, used, &sum);
        carried |= (uint64_t)__builtin_add_overflow(sum, carry, &sum);
        row[w] = sum | (old - used);
        carry = carried;
    }
}

/* Bits behind b.len are ones and stay so, for no position matches there: only zeros that count are
 * counted. */
static size_t count_zeros(const uint64_t *row, size_t row_words)
{
    size_t zeros = 0;
    for (size_t w = 0; w < row_words; w++)
        zeros += (size_t)__builtin_popcountll(~row[w]);
    return zeros;
}

/* Fills `rows`: every row behind the one before it, or, without `keep`, each over the one
 * before. */
static size_t compute(const positions *at, fe_bytes a, uint64_t *rows, size_t row_words, bool keep)
{
    uint64_t *row = rows;

    memset(rows, 0xFF, row_words * sizeof(uint64_t));
    for (size_t i = 0; i < a.len; i++) {
        uint64_t *next = keep && i > 0 ? row + row_words : row;
        next_row(at, a.ptr[i], row, next, row_words);
        row = next;
    }
    return count_zeros(row, row_words);
}

fe_lcs_status fe_lcs_length(fe_alloc *alloc, fe_bytes a, fe_bytes b, size_t bytes_max,
                            size_t *length)
{
    size_t row_words = words_for(b);
    fe_lcs_status status = FE_LCS_NO_MEMORY;
    positions at;

    if (!fits(a, row_words, bytes_max)) return FE_LCS_TOO_LARGE;
    if (a.len == 0 || b.len == 0) {
        *length = 0;
        return FE_LCS_OK;
    }
    if (!positions_open(&at, alloc, b, row_words)) return FE_LCS_NO_MEMORY;
    uint64_t *row = fe_alloc_take(alloc, FE_ALLOC_SCRATCH, row_words * sizeof(uint64_t));
    if (row != NULL) {
        *length = compute(&at, a, row, row_words, false);
        status = FE_LCS_OK;
    }
    fe_alloc_give(alloc, FE_ALLOC_SCRATCH, row);
    fe_alloc_give(alloc, FE_ALLOC_SCRATCH, at.words);
    return status;
}

fe_lcs_status fe_lcs_open(fe_lcs *lcs, fe_alloc *alloc, fe_bytes a, fe_bytes b, size_t bytes_max)
{
    size_t row_words = words_for(b);
    fe_lcs_status status = FE_LCS_NO_MEMORY;
    positions at;

    if (!fits(a, row_words, bytes_max)) return FE_LCS_TOO_LARGE;
    *lcs = (fe_lcs){.a = a, .b = b, .alloc = alloc, .row_words = row_words};
    fe_lcs_rewind(lcs);
    if (a.len == 0 || b.len == 0) return FE_LCS_OK;

    if (!positions_open(&at, alloc, b, row_words)) return FE_LCS_NO_MEMORY;
    lcs->rows = fe_alloc_take(alloc, FE_ALLOC_SCRATCH, a.len * row_words * sizeof(uint64_t));
    if (lcs->rows != NULL) {
        lcs->length = compute(&at, a, lcs->rows, row_words, true);
        status = FE_LCS_OK;
    }
    fe_alloc_give(alloc, FE_ALLOC_SCRATCH, at.words);
    return status;
}

void fe_lcs_close(fe_lcs *lcs)
{
    fe_alloc_give(lcs->alloc, FE_ALLOC_SCRATCH, lcs->rows);
    lcs->rows = NULL;
}

/* -- the walk back -- */

static bool bytes_match(const fe_lcs *lcs, size_t i, size_t j)
{
    return lcs->a.ptr[i - 1] == lcs->b.ptr[j - 1];
}

/* One step away from a pair (i, j) of different bytes. */
static void step_back(const fe_lcs *lcs, size_t *i, size_t *j)
{
    uint64_t word = lcs->rows[(*i - 1) * lcs->row_words + (*j - 1) / WORD_BITS];
    bool grows = ((word >> (*j - 1) % WORD_BITS) & 1) == 0;

    if (grows) {
        (*i)--;
    } else {
        (*j)--;
    }
}

void fe_lcs_string(const fe_lcs *lcs, uint8_t *out)
{
    size_t i = lcs->a.len, j = lcs->b.len, left = lcs->length;

    while (left > 0) {
        FE_ASSERT(i > 0 && j > 0);
        if (bytes_match(lcs, i, j)) {
            out[--left] = lcs->a.ptr[i - 1];
            i--;
            j--;
        } else {
            step_back(lcs, &i, &j);
        }
    }
}

void fe_lcs_rewind(fe_lcs *lcs)
{
    lcs->i = lcs->a.len;
    lcs->j = lcs->b.len;
}

bool fe_lcs_next(fe_lcs *lcs, size_t length_min, fe_lcs_match *match)
{
    size_t i = lcs->i, j = lcs->j, length = 0;

    while (i > 0 && j > 0 && (length == 0 || length < length_min)) {
        length = 0;
        while (i > 0 && j > 0 && !bytes_match(lcs, i, j))
            step_back(lcs, &i, &j);
        for (; i > 0 && j > 0 && bytes_match(lcs, i, j); i--, j--)
            length++;
    }
    lcs->i = i;
    lcs->j = j;
    if (length == 0 || length < length_min) return false;
    *match = (fe_lcs_match){i, i + length - 1, j, j + length - 1};
    return true;
}
