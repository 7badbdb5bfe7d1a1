/* The accounted allocator.
 *
 * Every heap byte of the data plane is taken through an fe_alloc object, under a class, so that
 * INFO memory and MEMORY STATS can say what holds the memory, and so that a test can make the n-th
 * allocation fail. Large page-granular areas (log segments, index chunks) come from fe_pages_*,
 * accounted under the same classes.
 *
 * Threads: all functions may be called from any thread; counters are relaxed atomics.
 * Failure: NULL when memory is exhausted or a test asked for it. The caller reports it upwards.
 */
#ifndef FE_BASE_ALLOC_H
#define FE_BASE_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fe_alloc_class {
    FE_ALLOC_LOG,     /* log segments (pages) */
    FE_ALLOC_INDEX,   /* index buckets and overflow buckets */
    FE_ALLOC_CLIENT,  /* sessions, query buffers, output buffers, transactions */
    FE_ALLOC_ENGINE,  /* tables of the engine: segment table, watches, slow log, statistics */
    FE_ALLOC_SCRATCH, /* short-lived working memory of commands */
    FE_ALLOC_CLASS_COUNT
} fe_alloc_class;

typedef struct fe_alloc {
    _Atomic int64_t bytes[FE_ALLOC_CLASS_COUNT]; /* in use now, as the C library rounds them */
    _Atomic int64_t mapped;                      /* of these, bytes in mappings of our own */
    _Atomic int64_t
        fail_countdown; /* test hook: < 0 off; 0 = fail from now on; n = fail after n more */
} fe_alloc;

/* Makes an allocator whose counters are zero and that never fails on purpose. */
void fe_alloc_init(fe_alloc *alloc);

/* Makes the allocation after `count` more successful ones fail, and all after it; negative turns it
 * off. */
void fe_alloc_fail_after(fe_alloc *alloc, int64_t count);

/* Returns `size` (> 0) bytes, uninitialised, or NULL. */
void *fe_alloc_take(fe_alloc *alloc, fe_alloc_class class, size_t size);

/* Returns `size` (> 0) zeroed bytes, or NULL. */
void *fe_alloc_take_zeroed(fe_alloc *alloc, fe_alloc_class class, size_t size);

/* Grows or shrinks `ptr` (NULL is allowed) to `size` (> 0); on NULL the old block is untouched. */
void *fe_alloc_resize(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t size);

/* Gives `ptr` (NULL is allowed) back; `class` must be the one it was taken under. */
void fe_alloc_give(fe_alloc *alloc, fe_alloc_class class, void *ptr);

/* Makes the C library return what it can of its free memory to the system. May take milliseconds. */
void fe_alloc_trim(void);

/* Maps `size` bytes (a multiple of 4096) of zeroed anonymous memory, aligned to `align` (a power of
 * two
 * >= 4096). Accounts `size` at once. NULL on failure. */
void *fe_pages_map(fe_alloc *alloc, fe_alloc_class class, size_t size, size_t align);

/* As fe_pages_map with align 4096, but only the first `counted` bytes (a multiple of 4096) are
 * accounted: the rest is room to grow, which is never to be touched before fe_pages_count, and takes
 * no memory until then, and no huge page. */
void *fe_pages_reserve(fe_alloc *alloc, fe_alloc_class class, size_t size, size_t counted);
/* Accounts `bytes` more of a reservation. False when a test wants that to fail. Makes no system call. */
bool fe_pages_count(fe_alloc *alloc, fe_alloc_class class, size_t bytes);
/* Unmaps a reservation of `size` bytes of which `counted` are accounted by now. */
void fe_pages_unmap_reserved(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t size,
                             size_t counted);

/* Gives the memory behind pages back early, in bounded pieces; what they held is lost, and they are
 * still to be unmapped. Unmapping much memory keeps other threads of the process from mapping, for
 * milliseconds if it is a gigabyte; this does not, and leaves little to it. */
void fe_pages_discard(void *ptr, size_t size);

/* Unmaps what fe_pages_map returned, with the same size. */
void fe_pages_unmap(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t size);

/* Accounts `size` bytes of a mapping under another class from now on. */
void fe_pages_reclass(fe_alloc *alloc, fe_alloc_class from, fe_alloc_class to, size_t size);

/* Grows a mapping made with align 4096 to `new_size`; it may move. NULL on failure, old mapping
 * untouched. */
void *fe_pages_remap(fe_alloc *alloc, fe_alloc_class class, void *ptr, size_t old_size,
                     size_t new_size);

/* Bytes of the process's heap and of this allocator's mappings: those that blocks take, and those
 * that the kernel was asked for. Takes the C library's locks for some microseconds. False where the
 * C library does not tell. */
bool fe_alloc_heap(const fe_alloc *alloc, uint64_t *allocated, uint64_t *active);

/* Of all bytes in use, those in mappings of our own; the rest is in blocks. Never negative. */
uint64_t fe_alloc_mapped(const fe_alloc *alloc);

/* Bytes in use now, of one class, and of all classes. Never negative. */
uint64_t fe_alloc_used(const fe_alloc *alloc, fe_alloc_class class);
uint64_t fe_alloc_used_all(const fe_alloc *alloc);

#endif
