/* Trash: mappings that nothing can reach any more, waiting to be unmapped without the engine's
 * lock.
 *
 * The list is threaded through the mappings themselves, so putting something on it cannot fail.
 * They stay accounted until they are unmapped. Guarded by the engine's lock.
 */
#ifndef FE_STORE_TRASH_H
#define FE_STORE_TRASH_H

#include "base/alloc.h"

typedef struct fe_trash_node {
    struct fe_trash_node *next;
    size_t size;
    fe_alloc_class class;
} fe_trash_node;

typedef struct fe_trash_list {
    fe_trash_node *head;
    uint64_t bytes, count;
    uint64_t taken; /* mappings ever taken off */
} fe_trash_list;

static inline void fe_trash_put(fe_trash_list *list, fe_alloc_class class, void *ptr, size_t size)
{
    fe_trash_node *node = ptr;
    *node = (fe_trash_node){list->head, size, class};
    list->head = node;
    list->bytes += size;
    list->count++;
}

/* Takes one mapping off the list; NULL when it is empty. The caller copies the fields and unmaps.
 */
static inline fe_trash_node *fe_trash_pop(fe_trash_list *list)
{
    fe_trash_node *node = list->head;
    if (node == NULL) return NULL;
    list->head = node->next;
    list->bytes -= node->size;
    list->count--;
    list->taken++;
    return node;
}

/* Unmaps everything at once. */
static inline void fe_trash_empty(fe_trash_list *list, fe_alloc *alloc)
{
    for (fe_trash_node *node; (node = fe_trash_pop(list)) != NULL;)
        fe_pages_unmap(alloc, node->class, node, node->size);
}

#endif
