/* The ghost: which keys have left memory lately. A fixed table of 4-byte entries; it may err.
 *
 *     entry:  | fingerprint of the hash: 16 | time: 16 |     0: empty
 *     bucket: 8 entries; the oldest gives way
 *
 * Time counts insertions, in units of 2^shift, so that `capacity` insertions are at most 8192 units:
 * an older entry counts as forgotten. An entry would be taken for a young one after 65536 units; by
 * then its bucket has been overwritten several times.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_STORE_GHOST_H
#define FE_STORE_GHOST_H

#include "store/trash.h"

typedef struct fe_ghost {
    uint32_t *entries; /* NULL: it knows nothing */
    uint64_t count;    /* of entries, a power of two */
    uint64_t capacity; /* insertions that are remembered, at most `count` */
    uint64_t inserted;
    unsigned shift;
} fe_ghost;

/* Makes the table fit `keys` keys, when its size is far from that: then it forgets all. Without
 * memory it knows nothing. */
void fe_ghost_resize(fe_ghost *ghost, fe_alloc *alloc, fe_trash_list *trash, uint64_t keys);
/* Remembers up to `keys`, as far as the table has room for them. */
void fe_ghost_set_capacity(fe_ghost *ghost, uint64_t keys);
void fe_ghost_close(fe_ghost *ghost, fe_alloc *alloc);

void fe_ghost_add(fe_ghost *ghost, uint64_t hash);
/* Whether the key left memory lately; it is forgotten by this. */
bool fe_ghost_take(fe_ghost *ghost, uint64_t hash);

#endif
