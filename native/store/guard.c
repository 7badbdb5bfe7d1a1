/* The guard of mapped files. See guard.h.
 *
 * Invariants
 * 1. A chunk, once there, stays until the guard is closed: the handler may walk it at any time.
 * 2. A range counts from the moment that `end` is set until `end` is 0 again; `begin` is taken first
 * and given back last.
 * 3. A guard that was taken out of the table is freed only after every handler that may have seen it
 * has returned (`readers`).
 */
#define _GNU_SOURCE
#include "store/guard.h"

#include "base/assert.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARDS_MAX 64u

/* What the handler knows; the one mutable global (tests/house/test_c_symbols.py says why). */
static struct {
    _Atomic(fe_guard *) guards[GUARDS_MAX];
    _Atomic unsigned readers; /* handlers at work */
    atomic_bool installed;
    struct sigaction before;
} registry;

/* Ranges --------------------------------------------------------------------------------------- */

static size_t chunk_size(unsigned chunk)
{
    return (size_t)FE_GUARD_CHUNK_FIRST << chunk;
}

/* The range that holds the address, or NULL. */
static fe_guard_range *range_of(const fe_guard *guard, uintptr_t address)
{
    for (unsigned c = 0; c < FE_GUARD_CHUNKS; c++) {
        fe_guard_range *ranges = atomic_load(&guard->chunks[c]);
        if (ranges == NULL) return NULL;
        for (size_t i = 0; i < chunk_size(c); i++) {
            uintptr_t end = atomic_load(&ranges[i].end);
            if (address < end && address >= atomic_load(&ranges[i].begin)) return &ranges[i];
        }
    }
    return NULL;
}

/* A chunk that has room, made when it is missing. */
static fe_guard_range *chunk_get(fe_guard *guard, unsigned chunk)
{
    fe_guard_range *ranges = atomic_load(&guard->chunks[chunk]);
    if (ranges != NULL) return ranges;
    fe_guard_range *made =
        fe_alloc_take_zeroed(guard->alloc, FE_ALLOC_ENGINE, chunk_size(chunk) * sizeof(*made));
    if (made == NULL) return NULL;
    if (atomic_compare_exchange_strong(&guard->chunks[chunk], &ranges, made)) return made;
    fe_alloc_give(guard->alloc, FE_ALLOC_ENGINE, made); /* another thread was faster */
    return ranges;
}

bool fe_guard_add(fe_guard *guard, const void *ptr, size_t size)
{
    FE_ASSERT(ptr != NULL && size > 0);
    for (unsigned c = 0; c < FE_GUARD_CHUNKS; c++) {
        fe_guard_range *ranges = chunk_get(guard, c);
        if (ranges == NULL) return false;
        for (size_t i = 0; i < chunk_size(c); i++) {
            uintptr_t none = 0;
            if (!atomic_compare_exchange_strong(&ranges[i].begin, &none, (uintptr_t)ptr)) continue;
            atomic_store(&ranges[i].damaged, 0);
            atomic_store(&ranges[i].end, (uintptr_t)ptr + size);
            return true;
        }
    }
    return false;
}

void fe_guard_remove(fe_guard *guard, const void *ptr)
{
    fe_guard_range *range = range_of(guard, (uintptr_t)ptr);
    if (range == NULL) return;
    atomic_store(&range->end, 0);
    atomic_store(&range->begin, 0);
}

bool fe_guard_is_damaged(const fe_guard *guard, const void *ptr, size_t *offset)
{
    const fe_guard_range *range = range_of(guard, (uintptr_t)ptr);
    uintptr_t page = range != NULL ? atomic_load(&range->damaged) : 0;
    if (page == 0) return false;
    *offset = page - (uintptr_t)ptr;
    return true;
}

/* The handler ---------------------------------------------------------------------------------- */

/* Puts zeros where the page could not be had; false when the address is none of the guard's. */
static bool heal(fe_guard *guard, uintptr_t address)
{
    fe_guard_range *range = range_of(guard, address);
    if (range == NULL) return false;
    uintptr_t page = address & ~(guard->page - 1), none = 0;
    void *zeros =
        mmap((void *)page, guard->page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (zeros == MAP_FAILED) return false;
    (void)atomic_compare_exchange_strong(&range->damaged, &none, page);
    atomic_fetch_add(&guard->faults, 1);
    return true;
}

static bool heal_any(uintptr_t address)
{
    bool healed = false;
    atomic_fetch_add(&registry.readers, 1);
    for (unsigned i = 0; i < GUARDS_MAX && !healed; i++) {
        fe_guard *guard = atomic_load(&registry.guards[i]);
        healed = guard != NULL && heal(guard, address);
    }
    atomic_fetch_sub(&registry.readers, 1);
    return healed;
}

/* The signal is not ours: what was installed before us is asked. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction *before = &registry.before;
    bool was_sent = info->si_code <= 0; /* by kill, and by no instruction */
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler == SIG_DFL || (before->sa_handler == SIG_IGN && !was_sent)) {
        struct sigaction fatal = {.sa_handler = SIG_DFL};
        (void)sigaction(number, &fatal, NULL); /* the instruction fails again, and ends all */
        if (was_sent) (void)raise(number);
    } else if (before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    }
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int error = errno;
    bool healed = info->si_code > 0 && heal_any((uintptr_t)info->si_addr);
    errno = error;
    if (!healed) pass_on(number, info, context);
}

static bool install(void)
{
    if (atomic_exchange(&registry.installed, true)) return true;
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (sigaction(SIGBUS, NULL, &registry.before) == 0 && sigaction(SIGBUS, &ours, NULL) == 0)
        return true;
    atomic_store(&registry.installed, false);
    return false;
}

/* Life ----------------------------------------------------------------------------------------- */

static bool enlist(fe_guard *guard)
{
    for (unsigned i = 0; i < GUARDS_MAX; i++) {
        fe_guard *none = NULL;
        if (atomic_compare_exchange_strong(&registry.guards[i], &none, guard)) return true;
    }
    return false;
}

fe_guard *fe_guard_open(fe_alloc *alloc)
{
    fe_guard *guard = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, sizeof(*guard));
    if (guard == NULL) return NULL;
    guard->alloc = alloc;
    guard->page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (install() && enlist(guard)) return guard;
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, guard);
    return NULL;
}

void fe_guard_close(fe_guard *guard)
{
    for (unsigned i = 0; i < GUARDS_MAX; i++) {
        fe_guard *ours = guard;
        (void)atomic_compare_exchange_strong(&registry.guards[i], &ours, NULL);
    }
    while (atomic_load(&registry.readers) != 0)
        (void)sched_yield();
    for (unsigned c = 0; c < FE_GUARD_CHUNKS; c++)
        fe_alloc_give(guard->alloc, FE_ALLOC_ENGINE, atomic_load(&guard->chunks[c]));
    fe_alloc_give(guard->alloc, FE_ALLOC_ENGINE, guard);
}
