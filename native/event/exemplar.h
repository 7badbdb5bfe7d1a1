/* Exemplars: of each command, and of each power of two of durations, the newest command whose span the receiver
 * has taken. Metrics show them next to the bucket that counted it.
 *
 *     collecting           offer, for each record of a batch        offered  \
 *     the batch was taken  confirm                                   shown   /  a pair for each command and slot
 *     a page of metrics    copy
 *
 * What was offered with a batch that nobody took is forgotten when the next one begins, so that an exemplar
 * never leads to a trace that was lost. Not every record has a duration that was counted (fe_exemplars_offer).
 *
 * Slots are powers of two of the unit of event/exponential.h: every bucket of a page ends at one of them.
 *
 * Memory: one row, 2.2 KiB, for each command that had an exemplar; nothing else grows.
 *
 * Threads: the one that collects offers and confirms; any may copy, under a mutex that is held for as long as
 * a row is copied, or what one batch offered is moved.
 */
#ifndef FE_EVENT_EXEMPLAR_H
#define FE_EVENT_EXEMPLAR_H

#include "base/status.h"
#include "event/otlp.h"

#include <pthread.h>

#define FE_EXEMPLAR_POWER_MIN 7u  /* 2^7 units are 2^-23 s: what is shorter shares the first slot */
#define FE_EXEMPLAR_POWER_MAX 33u /* 8 s: what is not shorter shares the last */
#define FE_EXEMPLAR_SLOTS (FE_EXEMPLAR_POWER_MAX - FE_EXEMPLAR_POWER_MIN + 2u)

typedef struct fe_exemplar {
    uint8_t trace_id[16];
    uint64_t span_id; /* 0: there is none */
    uint64_t units;   /* how long the command took, as its histogram counted it */
    int64_t unix_ns;  /* when it ended */
} fe_exemplar;

typedef struct fe_exemplar_row fe_exemplar_row;

typedef struct fe_exemplars {
    fe_alloc *alloc;
    uint64_t units_per_tick_q20; /* units of a tick, times 2^20 */
    uint32_t command_count;
    fe_exemplar_row **rows;   /* by the command's number; NULL: it never had one */
    fe_exemplar_row *offered; /* those with something to confirm */
    pthread_mutex_t mutex;    /* of what is shown, and of the pointers to rows */
} fe_exemplars;

/* False when memory is exhausted; then there is nothing to free. */
FE_MUST_USE bool fe_exemplars_init(fe_exemplars *exemplars, fe_alloc *alloc, uint32_t command_count,
                                   uint64_t units_per_tick_q20);
void fe_exemplars_free(fe_exemplars *exemplars);

/* A batch begins: what the last one offered and nobody confirmed is forgotten. */
void fe_exemplars_begin(fe_exemplars *exemplars);

/* Offers a record of the batch. Passed over are commands whose record does not tell what their histogram counted:
 * those that were refused before they ran, are unknown, or waited for a time, for the end of a pause or for
 * room on the disk. Without memory for its row too. */
void fe_exemplars_offer(fe_exemplars *exemplars, const fe_trace_record *record,
                        const fe_otlp_clock *clock);

/* The receiver has the batch: what it offered is shown from now on, where it is newer. */
void fe_exemplars_confirm(fe_exemplars *exemplars);

/* Copies what is shown of a command; how many there are, the shortest first. Any thread. */
uint32_t fe_exemplars_copy(fe_exemplars *exemplars, uint32_t command,
                           fe_exemplar to[FE_EXEMPLAR_SLOTS]);

#endif
