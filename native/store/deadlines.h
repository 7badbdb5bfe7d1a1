/* Deadline histogram of one segment: how many bytes of its live records expire when.
 *
 * Twelve buckets of 2^shift milliseconds from `origin`; the first also holds what is earlier, the
 * last what is later. The sums are hints: they decide which segments are worth a walk, never
 * whether a record has expired. A walk measures the segment anew, so an error does not live long.
 */
#ifndef FE_STORE_DEADLINES_H
#define FE_STORE_DEADLINES_H

#include <stddef.h>
#include <stdint.h>

#define FE_DEADLINES_BUCKETS 12u

typedef struct fe_deadlines {
    int64_t origin;                       /* Unix ms */
    uint32_t units[FE_DEADLINES_BUCKETS]; /* of 8 bytes */
    uint32_t total;                       /* their sum; 0: origin and shift mean nothing */
    uint8_t shift;
} fe_deadlines;

_Static_assert(sizeof(fe_deadlines) == 64, "one cache line");

/* A measure taken while walking: bytes per power of two of the time that is left. */
typedef struct fe_deadlines_measure {
    uint32_t units[64];
} fe_deadlines_measure;

void fe_deadlines_add(fe_deadlines *deadlines, int64_t now, int64_t deadline, size_t bytes);
void fe_deadlines_remove(fe_deadlines *deadlines, int64_t deadline, size_t bytes);

/* Bytes that are estimated to be past their deadline at `now`. */
uint64_t fe_deadlines_expired(const fe_deadlines *deadlines, int64_t now);

/* Milliseconds since the first bytes in the histogram could have expired; negative: none yet. */
int64_t fe_deadlines_overdue(const fe_deadlines *deadlines, int64_t now);

void fe_deadlines_measure_add(fe_deadlines_measure *measure, int64_t now, int64_t deadline,
                              size_t bytes);
/* Sets the histogram to what a walk that ended at `now` has measured, and what was added to it
 * meanwhile. */
void fe_deadlines_assign(fe_deadlines *deadlines, fe_deadlines_measure *measure, int64_t now);

#endif
