/* A bounded ring of records between one thread that writes and one that reads.
 *
 *      0            taken            published          head               size
 *      +--------------+------------------+----------------+------------------+
 *      | free         | for the reader   | being finished | free             |
 *      +--------------+------------------+----------------+------------------+
 *
 * Positions count bytes for ever; a place in memory is position modulo size. Records (event/record.h)
 * are contiguous and multiples of FE_TRACE_ALIGN long; where one does not fit before the end of the
 * memory, a FE_TRACE_PAD fills the rest, which readers pass over.
 *
 * The writer reserves, fills, goes on changing what it has not published, and publishes all of it at
 * once. When there is no room the newest record is the one that is lost: fe_event_ring_reserve counts it.
 * Nobody ever waits.
 *
 * Threads: reserve, at, publish: the writer. peek, take: the reader. Counters: any.
 */
#ifndef FE_EVENT_RING_H
#define FE_EVENT_RING_H

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "event/record.h"

#define FE_EVENT_RING_SIZE_MIN 16384u /* bytes */
#define FE_EVENT_RING_SIZE_MAX (1u << 30)

typedef struct fe_event_ring {
    uint8_t *data;
    uint64_t size; /* a power of two */
    /* The writer's. What others change lies on cache lines of its own. */
    uint64_t head;
    uint64_t taken_seen;      /* what `taken` was at least */
    uint64_t published_here;  /* the same as `published` */
    _Atomic uint64_t records; /* reserved since the start */
    _Atomic uint64_t dropped; /* ... and not, for want of room */
    uint8_t apart[64];
    _Atomic uint64_t published;
    uint8_t apart_too[64];
    _Atomic uint64_t taken;
} fe_event_ring;

/* Makes a ring of at least `size` bytes, rounded up to a power of two between the bounds. False when
 * memory is exhausted. */
FE_MUST_USE bool fe_event_ring_open(fe_event_ring *ring, fe_alloc *alloc, uint64_t size);
void fe_event_ring_close(fe_event_ring *ring, fe_alloc *alloc);

/* Slow path of fe_event_ring_reserve: looks how far the reader is, and wraps. */
void *fe_event_ring_reserve_slowly(fe_event_ring *ring, uint32_t size);

static inline void fe_event_ring_count(_Atomic uint64_t *counter)
{
    /* One thread writes it: no need for an atomic addition. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Room for a record of `size` bytes, a multiple of FE_TRACE_ALIGN and at most a quarter of the ring; NULL
 * when there is none: the record is counted as dropped. Its content is unspecified. */
static inline void *fe_event_ring_reserve(fe_event_ring *ring, uint32_t size)
{
    FE_ASSERT(size > 0 && size % FE_TRACE_ALIGN == 0 && size <= ring->size / 4);
    uint64_t at = ring->head & (ring->size - 1);
    bool fits = at + size <= ring->size && ring->head + size - ring->taken_seen <= ring->size;
    if (FE_UNLIKELY(!fits)) return fe_event_ring_reserve_slowly(ring, size);
    ring->head += size;
    fe_event_ring_count(&ring->records);
    return ring->data + at;
}

/* The record at a position between `published` and `head`, which the writer may still change. */
static inline fe_trace_record *fe_event_ring_at(const fe_event_ring *ring, uint64_t position)
{
    return (fe_trace_record *)(void *)(ring->data + (position & (ring->size - 1)));
}

/* Hands everything reserved to the reader. */
static inline void fe_event_ring_publish(fe_event_ring *ring)
{
    if (ring->published_here == ring->head) return;
    ring->published_here = ring->head;
    atomic_store_explicit(&ring->published, ring->head, memory_order_release);
}

/* The published bytes that are contiguous in memory, whole records; 0 when there are none. They stay
 * as they are until fe_event_ring_take. */
static inline size_t fe_event_ring_peek(const fe_event_ring *ring, const uint8_t **data)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    uint64_t published = atomic_load_explicit(&ring->published, memory_order_acquire);
    uint64_t at = taken & (ring->size - 1);
    uint64_t len = published - taken;
    *data = ring->data + at;
    return (size_t)(len < ring->size - at ? len : ring->size - at);
}

/* Gives back the first `len` bytes of what was peeked, whole records. */
static inline void fe_event_ring_take(fe_event_ring *ring, size_t len)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    atomic_store_explicit(&ring->taken, taken + len, memory_order_release);
}

/* Bytes that are published and not taken; any thread, a moment's truth. */
uint64_t fe_event_ring_waiting(const fe_event_ring *ring);

static inline uint64_t fe_event_ring_dropped(const fe_event_ring *ring)
{
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}

static inline uint64_t fe_event_ring_records(const fe_event_ring *ring)
{
    return atomic_load_explicit(&ring->records, memory_order_relaxed);
}

#endif
