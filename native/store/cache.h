/* The read cache: a memory-only ring of segments with copies of records whose home is on disk.
 *
 *     | home: u64 | record ... | home: u64 | record ... |
 *
 * The slot of a cached key holds the copy's address; the word in front of the copy holds the home's.
 * Nothing in it is ever written to disk: dropping a copy puts the home address back in the slot. A
 * copy is frozen as its home is: writing the key appends to the log, and both die.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_STORE_CACHE_H
#define FE_STORE_CACHE_H

#include "store/log.h"

#define FE_CACHE_HOME_BYTES 8u

static inline fe_address fe_cache_home(const fe_log *log, fe_address copy)
{
    uint64_t home;
    memcpy(&home, (const uint8_t *)fe_log_at(log, copy) - FE_CACHE_HOME_BYTES, sizeof(home));
    return home;
}

/* The copy of `size` bytes dies; returns its home. */
static inline fe_address fe_cache_drop(fe_log *log, fe_address copy, size_t size)
{
    fe_address home = fe_cache_home(log, copy);
    fe_log_kill(log, copy, size + FE_CACHE_HOME_BYTES);
    return home;
}

#endif
