/* Takes records from all rings in turns. The list of rings follows the register of recorders, which only
 * grows: one that is new gets its entry when it is first seen. */
#include "event/collect.h"

#include <sched.h>

#define STRIDE 256u /* commands of one stretch of work, some 40 us without their phases */

void fe_span_collector_init(fe_span_collector *collector, fe_alloc *alloc, fe_telemetry *telemetry)
{
    *collector =
        (fe_span_collector){.alloc = alloc, .telemetry = telemetry, .notes_max = UINT32_MAX};
    fe_buf_init(&collector->notes, alloc, FE_ALLOC_ENGINE);
}

void fe_span_collector_free(fe_span_collector *collector)
{
    fe_buf_free(&collector->notes);
    while (collector->rings != NULL) {
        fe_collect_ring *ring = collector->rings;
        collector->rings = ring->next;
        fe_alloc_give(collector->alloc, FE_ALLOC_ENGINE, ring);
    }
}

uint64_t fe_span_collector_waiting(const fe_span_collector *collector)
{
    fe_telemetry_counts counts;
    fe_telemetry_count(collector->telemetry, &counts);
    return counts.records - collector->taken;
}

static bool is_known(const fe_span_collector *collector, const fe_recorder *recorder)
{
    for (const fe_collect_ring *ring = collector->rings; ring != NULL; ring = ring->next)
        if (ring->recorder == recorder) return true;
    return false;
}

/* Enters recorders that have a ring by now. Without memory they wait for the next time. */
static void find_rings(fe_span_collector *collector)
{
    fe_recorder *it = atomic_load_explicit(&collector->telemetry->recorders, memory_order_acquire);
    for (; it != NULL; it = it->next) {
        bool has_ring = atomic_load_explicit(&it->has_ring, memory_order_acquire);
        if (!has_ring || is_known(collector, it)) continue;
        fe_collect_ring *ring =
            fe_alloc_take_zeroed(collector->alloc, FE_ALLOC_ENGINE, sizeof *ring);
        if (ring == NULL) return;
        ring->recorder = it;
        ring->next = collector->rings;
        collector->rings = ring;
    }
}

/* The first ring becomes the last. */
static void rotate(fe_span_collector *collector)
{
    fe_collect_ring *first = collector->rings;
    if (first == NULL || first->next == NULL) return;
    collector->rings = first->next;
    fe_collect_ring *last = collector->rings;
    while (last->next != NULL)
        last = last->next;
    last->next = first;
    first->next = NULL;
}

static void note(fe_span_collector *collector, const fe_trace_record *record)
{
    uint16_t wanted = FE_TRACE_RETAINED;
    if (collector->choice == FE_NOTE_ALL) wanted |= FE_TRACE_SAMPLED;
    if (record->kind != FE_TRACE_COMMAND || !(record->flags & wanted)) return;
    if (collector->notes_count >= collector->notes_max || collector->notes.failed ||
        collector->notes.len + record->size > FE_NOTES_MAX) {
        collector->notes_left_out++;
        return;
    }
    fe_buf_append(&collector->notes, record, record->size);
    collector->notes_count++;
}

/* Records of a ring from a position on, which are contiguous; without those that were looked at. */
static void note_all(fe_span_collector *collector, fe_collect_ring *ring, uint64_t position,
                     const uint8_t *records, size_t len)
{
    if (collector->choice == FE_NOTE_NONE) return;
    size_t at = ring->looked_at > position ? (size_t)(ring->looked_at - position) : 0;
    for (; at < len;) {
        const fe_trace_record *record = (const void *)(records + at);
        note(collector, record);
        at += record->size;
    }
}

static void clear_notes(fe_span_collector *collector)
{
    collector->notes.len = 0;
    collector->notes_count = 0;
    collector->notes.failed = false;
}

void fe_span_collector_look(fe_span_collector *collector)
{
    clear_notes(collector);
    if (collector->choice == FE_NOTE_NONE) return;
    find_rings(collector);
    for (fe_collect_ring *it = collector->rings; it != NULL; it = it->next) {
        const fe_event_ring *ring = &it->recorder->ring;
        uint64_t at = atomic_load_explicit(&ring->taken, memory_order_relaxed);
        uint64_t end = atomic_load_explicit(&ring->published, memory_order_acquire);
        if (it->looked_at > at) at = it->looked_at;
        while (at < end) {
            const fe_trace_record *record = fe_event_ring_at(ring, at);
            note(collector, record);
            at += record->size;
        }
        it->looked_at = at;
    }
}

static void offer_all(fe_span_collector *collector, const fe_otlp_clock *clock,
                      const uint8_t *records, size_t len)
{
    if (collector->exemplars == NULL) return;
    for (size_t at = 0; at < len;) {
        const fe_trace_record *record = (const void *)(records + at);
        fe_exemplars_offer(collector->exemplars, record, clock);
        at += record->size;
    }
}

/* Takes up to STRIDE commands; false: the batch is full. */
static bool take_some(fe_span_collector *collector, fe_collect_ring *it, fe_bytes run,
                      const fe_otlp_format *format, const fe_otlp_clock *clock,
                      const fe_otlp_limits *limits, fe_otlp_batch *batch)
{
    uint32_t before = batch->records, left = limits->commands_max - batch->commands;
    fe_otlp_limits some = *limits;
    if (left > STRIDE) some.commands_max = batch->commands + STRIDE;
    size_t len = fe_otlp_encode(format, clock, &some, &it->source, run, batch);
    collector->taken += batch->records - before;
    uint64_t position = atomic_load_explicit(&it->recorder->ring.taken, memory_order_relaxed);
    note_all(collector, it, position, run.ptr, len);
    offer_all(collector, clock, run.ptr, len);
    if (len > 0) fe_event_ring_take(&it->recorder->ring, len);
    return len == run.len || (left > STRIDE && batch->commands == some.commands_max);
}

void fe_span_collector_take(fe_span_collector *collector, const fe_otlp_format *format,
                            const fe_otlp_clock *clock, const fe_otlp_limits *limits,
                            fe_otlp_batch *batch)
{
    clear_notes(collector);
    if (collector->exemplars != NULL) fe_exemplars_begin(collector->exemplars);
    find_rings(collector);
    for (fe_collect_ring *it = collector->rings; it != NULL; it = it->next) {
        fe_bytes run;
        while ((run.len = fe_event_ring_peek(&it->recorder->ring, &run.ptr)) > 0) {
            if (!take_some(collector, it, run, format, clock, limits, batch)) {
                rotate(collector);
                return;
            }
            /* A thread that serves may want this core, and the kernel would ask for it back milliseconds later. */
            if (!fe_telemetry_is_pressed(collector->telemetry)) (void)sched_yield();
        }
    }
    rotate(collector);
}
