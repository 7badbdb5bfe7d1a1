/* The accounted allocator over malloc and mmap.
 *
 * A block carries no header of ours: what it weighs is what malloc_usable_size says, asked when it
 * is taken and again when it is given back, so the counters agree with the C library's own
 * rounding.
 *
 * Invariants:
 * 1. bytes[c] is the sum of the usable sizes of the live blocks of class c plus the sizes of its
 *    mappings; it is changed only after the operation on the memory has succeeded.
 * 2. A call that fails, by the hook or for want of memory, changes no counter and no block.
 *
 * Threads: counters are relaxed atomics, so that a sum read while others allocate may mix moments,
 * and a class can look negative for an instant to another thread; the readers clamp at zero.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif
#include "base/alloc.h"
#include "base/assert.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_BYTES ((size_t)4096)
#define DISCARD_BYTES ((size_t)2 << 20) /* at once: a huge page */

static void account(fe_alloc *alloc, fe_alloc_class class, int64_t delta)
{
    atomic_fetch_add_explicit(&alloc->bytes[class], delta, memory_order_relaxed);
}

static void account_pages(fe_alloc *alloc, fe_alloc_class class, int64_t delta)
{
    account(alloc, class, delta);
    atomic_fetch_add_explicit(&alloc->mapped, delta, memory_order_relaxed);
}

/* Whether the test hook wants this allocation to fail; counts down by one when it does not. */
static bool refused(fe_alloc *alloc)
{
    int64_t left = atomic_load_explicit(&alloc->fail_countdown, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak_explicit(&alloc->fail_countdown, &left, left - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return false;
        }
    }
    return left == 0;
}

void fe_alloc_init(fe_alloc *alloc)
{
    for (int i = 0; i < FE_ALLOC_CLASS_COUNT; i++)
        atomic_init(&alloc->bytes[i], 0);
    atomic_init(&alloc->mapped, 0);
    atomic_init(&alloc->fail_countdown, -1);
}

void fe_alloc_fail_after(fe_alloc *alloc, int64_t count)
{
    atomic_store_explicit(&alloc->fail_countdown, count < 0 ? -1 : count, memory_order_relaxed);
}

void *fe_alloc_take(fe_alloc *alloc, fe_alloc_class class, size_t size)
{
    FE_ASSERT(size > 0);
    if (refused(alloc)) return NULL;

    void *ptr = malloc(size);
    if (ptr != NULL) account(alloc, class, (int64_t)malloc_usable_size(ptr));
    return ptr;
}

void *fe_alloc_take_zeroed(fe_alloc *alloc, fe_alloc_class class, size_t size)
{
    FE_ASSERT(size > 0);
    if (refused(alloc)) return NULL;

    void *ptr = calloc(1, size);
    if (ptr != NULL) account(alloc, class, (int64_t)malloc_usable_size(ptr));
    return ptr;
}

void *fe_alloc_resize(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t size)
{
    FE_ASSERT(size > 0);
    if (refused(alloc)) return NULL;

    int64_t before = ptr == NULL ? 0 : (int64_t)malloc_usable_size(ptr);
    void *resized = realloc(ptr, size);
    if (resized != NULL) account(alloc, class, (int64_t)malloc_usable_size(resized) - before);
    return resized;
}

void fe_alloc_give(fe_alloc *alloc, fe_alloc_class class, void *ptr)
{
    if (ptr == NULL) return;

    account(alloc, class, -(int64_t)malloc_usable_size(ptr));
    free(ptr);
}

static uint8_t *map(size_t size)
{
    void *raw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return raw == MAP_FAILED ? NULL : raw;
}

/* A mapping that happens to be aligned, as whole huge pages are since Linux 6.7; or NULL. Trimming
 * one takes two more calls that hold the process's mappings against its other threads. */
static uint8_t *aligned_map(size_t size, size_t align)
{
    uint8_t *raw = map(size);
    if (raw == NULL || ((uintptr_t)raw & (align - 1)) == 0) return raw;
    munmap(raw, size);
    return NULL;
}

void *fe_pages_map(fe_alloc *alloc, fe_alloc_class class, size_t size, size_t align)
{
    FE_ASSERT(size > 0 && size % PAGE_BYTES == 0);
    FE_ASSERT(align >= PAGE_BYTES && (align & (align - 1)) == 0);
    if (refused(alloc)) return NULL;

    uint8_t *raw = aligned_map(size, align);
    if (raw != NULL) {
        account_pages(alloc, class, (int64_t)size);
        return raw;
    }
    /* A larger alignment than the kernel's maps the slack too and trims both ends. */
    size_t slack = align - PAGE_BYTES;
    if (size > SIZE_MAX / 2 - slack) return NULL;
    raw = map(size + slack);
    if (raw == NULL) return NULL;

    size_t head = (size_t)(-(uintptr_t)raw & (align - 1));
    size_t tail = slack - head;
    if (head > 0) munmap(raw, head);
    if (tail > 0) munmap(raw + head + size, tail);
    account_pages(alloc, class, (int64_t)size);
    return raw + head;
}

void fe_pages_discard(void *ptr, size_t size)
{
    FE_ASSERT(size % PAGE_BYTES == 0);
    if (size <= DISCARD_BYTES) return;
    for (size_t done = 0; done < size; done += DISCARD_BYTES) {
        size_t piece = size - done < DISCARD_BYTES ? size - done : DISCARD_BYTES;
        (void)madvise((uint8_t *)ptr + done, piece, MADV_DONTNEED); /* else the unmapping does it */
    }
}

void *fe_pages_reserve(fe_alloc *alloc, fe_alloc_class class, size_t size, size_t counted)
{
    FE_ASSERT(counted > 0 && counted <= size && size % PAGE_BYTES == 0);
    if (refused(alloc)) return NULL;

    uint8_t *ptr = map(size);
    if (ptr == NULL) return NULL;
    (void)madvise(ptr, size, MADV_NOHUGEPAGE); /* fails where there are none */
    account_pages(alloc, class, (int64_t)counted);
    return ptr;
}

bool fe_pages_count(fe_alloc *alloc, fe_alloc_class class, size_t bytes)
{
    if (refused(alloc)) return false;
    account_pages(alloc, class, (int64_t)bytes);
    return true;
}

void fe_pages_unmap_reserved(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t size,
                             size_t counted)
{
    FE_ASSERT(ptr != NULL && size > 0 && size % PAGE_BYTES == 0 && counted <= size);
    int failed = munmap(ptr, size);
    FE_ASSERT(failed == 0);
    account_pages(alloc, class, -(int64_t)counted);
}

void fe_pages_unmap(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t size)
{
    fe_pages_unmap_reserved(alloc, class, ptr, size, size);
}

void fe_pages_reclass(fe_alloc *alloc, fe_alloc_class from, fe_alloc_class to, size_t size)
{
    account(alloc, from, -(int64_t)size);
    account(alloc, to, (int64_t)size);
}

void *fe_pages_remap(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t old_size,
                     size_t new_size)
{
    FE_ASSERT(ptr != NULL && old_size % PAGE_BYTES == 0 && new_size % PAGE_BYTES == 0);
    FE_ASSERT(new_size >= old_size && old_size > 0);
    if (refused(alloc)) return NULL;

    void *moved = mremap(ptr, old_size, new_size, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) return NULL;
    account_pages(alloc, class, (int64_t)(new_size - old_size));
    return moved;
}

void fe_alloc_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

bool fe_alloc_heap(const fe_alloc *alloc, uint64_t *allocated, uint64_t *active)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 33))
    struct mallinfo2 heap = mallinfo2();
    uint64_t mapped = (uint64_t)atomic_load_explicit(&alloc->mapped, memory_order_relaxed);
    *allocated = heap.uordblks + heap.hblkhd + mapped;
    *active = heap.arena + heap.hblkhd + mapped;
    return true;
#else
    (void)alloc, (void)allocated, (void)active;
    return false;
#endif
}

uint64_t fe_alloc_mapped(const fe_alloc *alloc)
{
    int64_t bytes = atomic_load_explicit(&alloc->mapped, memory_order_relaxed);
    return bytes < 0 ? 0 : (uint64_t)bytes;
}

uint64_t fe_alloc_used(const fe_alloc *alloc, fe_alloc_class class)
{
    int64_t bytes = atomic_load_explicit(&alloc->bytes[class], memory_order_relaxed);
    return bytes < 0 ? 0 : (uint64_t)bytes;
}

uint64_t fe_alloc_used_all(const fe_alloc *alloc)
{
    uint64_t sum = 0;
    for (int i = 0; i < FE_ALLOC_CLASS_COUNT; i++)
        sum += fe_alloc_used(alloc, (fe_alloc_class)i);
    return sum;
}
