/* The guard of mapped files: an I/O error on a mapped page is an error of a record, not the end of
 * the process.
 *
 * Where the kernel cannot bring a page of a mapped file (EIO, a file cut short, a page of memory gone
 * bad), the thread that touched it gets SIGBUS. For an address inside a guarded range the handler
 * puts a page of zeros there, marks the range damaged, and the thread goes on; for any other it does
 * what would have been done without it. What was read from a page of zeros is worth nothing: whoever
 * has read mapped memory compares the count of faults before he uses it (store/tier.h).
 *
 * Signals belong to the process: a small table names all guards of it for the handler, which takes no
 * lock and no memory. The handler is installed with the first guard and stays.
 *
 * Threads: add and remove from any thread at once, open and close by one at a time; `faults` is read
 * by anybody.
 */
#ifndef FE_STORE_GUARD_H
#define FE_STORE_GUARD_H

#include "base/alloc.h"
#include "base/status.h"

#include <stdatomic.h>

#define FE_GUARD_CHUNKS 20u
#define FE_GUARD_CHUNK_FIRST 64u /* ranges of the first chunk; each next one has twice as many */

typedef struct fe_guard_range {
    _Atomic uintptr_t begin;   /* 0: free */
    _Atomic uintptr_t end;     /* 0: not filled in yet */
    _Atomic uintptr_t damaged; /* the first page that was lost; 0: none */
} fe_guard_range;

typedef struct fe_guard {
    _Atomic uint64_t faults; /* pages that were lost, ever */
    fe_alloc *alloc;
    uintptr_t page; /* bytes of one */
    _Atomic(fe_guard_range *) chunks[FE_GUARD_CHUNKS];
} fe_guard;

/* NULL without memory, or when the process has too many guards. */
fe_guard *fe_guard_open(fe_alloc *alloc);
/* Nothing of its ranges is read any more. */
void fe_guard_close(fe_guard *guard);

/* A mapping of `size` bytes is guarded from now on; false without memory. */
FE_MUST_USE bool fe_guard_add(fe_guard *guard, const void *ptr, size_t size);
/* Before it is unmapped; also of one that never was added. */
void fe_guard_remove(fe_guard *guard, const void *ptr);

/* Whether a page of the mapping was lost; `offset` gets that of the first one. */
bool fe_guard_is_damaged(const fe_guard *guard, const void *ptr, size_t *offset);

static inline uint64_t fe_guard_faults(const fe_guard *guard)
{
    return atomic_load_explicit(&guard->faults, memory_order_relaxed);
}

#endif
