/* Between the rings and the encoder: takes what serving threads have recorded into a batch.
 *
 * Rings take turns to be the first, so that one that is always full leaves the others room. A ring's
 * records stay in it until they are encoded; what a batch has no room for waits there.
 *
 * Threads: one thread collects; fe_collector_waiting may be called by it only.
 */
#ifndef FE_EVENT_COLLECT_H
#define FE_EVENT_COLLECT_H

#include "event/exemplar.h"
#include "event/otlp.h"
#include "event/recorder.h"

/* What is remembered of one ring. */
typedef struct fe_collect_ring {
    struct fe_collect_ring *next;
    fe_recorder *recorder;
    fe_otlp_source source;
    uint64_t
        looked_at; /* position up to which the log has been told of records that are still there */
} fe_collect_ring;

/* Which records are copied for the log. */
typedef enum fe_note_choice { FE_NOTE_NONE, FE_NOTE_RETAINED, FE_NOTE_ALL } fe_note_choice;

#define FE_NOTES_MAX (256u << 10) /* bytes of records that are copied at a time */

typedef struct fe_span_collector {
    fe_alloc *alloc;
    fe_telemetry *telemetry;
    fe_collect_ring *rings; /* in the order of their turns */
    uint64_t taken;         /* records */
    fe_note_choice choice;
    uint32_t notes_max; /* records that are copied by one take or look, beside FE_NOTES_MAX */
    uint32_t notes_count;
    fe_buf notes; /* copies of records of the last take or look that the log is to tell of */
    uint64_t notes_left_out; /* of those that are chosen, since the start: over the bounds */
    fe_exemplars *exemplars; /* what is taken is offered to them; NULL: none are wanted */
} fe_span_collector;

void fe_span_collector_init(fe_span_collector *collector, fe_alloc *alloc, fe_telemetry *telemetry);
void fe_span_collector_free(fe_span_collector *collector);

/* Records that were made and not taken; those that are not published yet are among them. */
uint64_t fe_span_collector_waiting(const fe_span_collector *collector);

/* Takes records into a batch that was begun, until it is full or there are no more. Those among them that
 * have a span and are chosen are copied to `notes`, which is emptied first. */
void fe_span_collector_take(fe_span_collector *collector, const fe_otlp_format *format,
                            const fe_otlp_clock *clock, const fe_otlp_limits *limits,
                            fe_otlp_batch *batch);

/* Copies to `notes`, which is emptied first, what the log is to tell of among the records that wait: while no
 * batch can be sent. The batch that takes them does not tell of them again. */
void fe_span_collector_look(fe_span_collector *collector);

#endif
