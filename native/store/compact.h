/* Reclaiming: sweeping the records of dead keyspaces, and moving live records out of segments that
 * are mostly garbage.
 *
 * Threads: the engine's lock is held. Everything here is a step: bounded work, called again.
 */
#ifndef FE_STORE_COMPACT_H
#define FE_STORE_COMPACT_H

#include "store/store.h"

/* Whether there is enough garbage to be worth moving live records. */
bool fe_compact_due(const fe_store *store);

/* Moves records for at most about `bytes` of work (record bytes, plus a fixed part per record);
 * returns the work done, 0 when no segment is worth it or memory is refused. */
uint64_t fe_compact_slice(fe_store *store, uint64_t bytes);

/* The same with segments taken in the order of their age (or those with much garbage first), and
 * with what is cold evicted instead of moved: its space is free at once. 0: nothing can be done. */
uint64_t fe_compact_evicting(fe_store *store, uint64_t bytes);

/* What the writes since the last call owe, paid in one bounded slice. */
void fe_compact_pay(fe_store *store);

/* Sweeps dead keyspaces for about `bytes` of walking; whether more is to do. */
bool fe_compact_sweep(fe_store *store, uint64_t bytes);

/* Everything that is in the log now is dead. */
void fe_compact_drop_all(fe_store *store);

/* For fe_store_check: `live` keys are in the indexes. */
const char *fe_compact_check(const fe_store *store, uint64_t live);

#endif
