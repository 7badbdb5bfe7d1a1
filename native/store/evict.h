/* Keeping under memory_max. fe_store_make_room in store/keyspace.h is the door; this is for the
 * store itself.
 */
#ifndef FE_STORE_EVICT_H
#define FE_STORE_EVICT_H

#include "store/store.h"

/* The limit or the policy is another. */
void fe_evict_limit_changed(fe_store *store);

/* Whether compaction evicts what is cold, instead of leaving that to sampling: when the policy may
 * take most keys. Never for volatile-ttl: a near deadline is no estimate, so the pool's stricter
 * order is worth its garbage. */
bool fe_evict_by_segment(const fe_store *store);

/* Looks at a few random records, so that fe_evict_is_cold knows what cold is. */
void fe_evict_observe(fe_store *store);

/* Whether a record that is about to be moved had better be evicted. */
bool fe_evict_is_cold(fe_store *store, const fe_record *record);

/* Of `walked` bytes of segments, `moved` were kept: what is cold is adapted, so that compaction
 * pays. */
void fe_evict_adapt(fe_store *store, uint64_t walked, uint64_t moved);

/* Whether a sixteenth of the limit or less is free. */
bool fe_evict_near_limit(const fe_store *store);

#endif
