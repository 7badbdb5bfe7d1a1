/* See ring.h. */
#include "event/ring.h"

bool fe_event_ring_open(fe_event_ring *ring, fe_alloc *alloc, uint64_t size)
{
    uint64_t rounded = FE_EVENT_RING_SIZE_MIN;
    while (rounded < size && rounded < FE_EVENT_RING_SIZE_MAX)
        rounded *= 2;
    uint8_t *data = fe_pages_map(alloc, FE_ALLOC_ENGINE, (size_t)rounded, 4096);
    if (data == NULL) return false;
    *ring = (fe_event_ring){.data = data, .size = rounded};
    return true;
}

void fe_event_ring_close(fe_event_ring *ring, fe_alloc *alloc)
{
    if (ring->data == NULL) return;
    fe_pages_unmap(alloc, FE_ALLOC_ENGINE, ring->data, (size_t)ring->size);
    *ring = (fe_event_ring){0};
}

void *fe_event_ring_reserve_slowly(fe_event_ring *ring, uint32_t size)
{
    ring->taken_seen = atomic_load_explicit(&ring->taken, memory_order_acquire);
    uint64_t at = ring->head & (ring->size - 1);
    uint64_t rest = ring->size - at;
    uint64_t pad = rest < size ? rest : 0;
    if (ring->head + pad + size - ring->taken_seen > ring->size) {
        fe_event_ring_count(&ring->dropped);
        return NULL;
    }
    if (pad != 0) {
        fe_trace_record *filler = fe_event_ring_at(ring, ring->head);
        filler->size = (uint32_t)pad; /* the rest of the memory may be less than a whole record */
        filler->kind = FE_TRACE_PAD;
        ring->head += pad;
    }
    void *record = fe_event_ring_at(ring, ring->head);
    ring->head += size;
    fe_event_ring_count(&ring->records);
    return record;
}

uint64_t fe_event_ring_waiting(const fe_event_ring *ring)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
    return atomic_load_explicit(&ring->published, memory_order_acquire) - taken;
}
