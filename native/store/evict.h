/* Keeping under memory_max. fe_store_make_room in store/keyspace.h is the door; this is for the
 * store itself.
 */
#ifndef FE_STORE_EVICT_H
#define FE_STORE_EVICT_H

#include "store/store.h"

/* The limit or the policy is another. */
void fe_evict_limit_changed(fe_store *store);

#endif
