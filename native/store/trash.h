/* Trash: mappings that nothing can reach any more, waiting to be unmapped without the engine's
 * lock.
 *
 * The list is threaded through the mappings themselves, so putting something on it cannot fail. The
 * mappings of a whole table (the chunks of an index) are put there at once, by the directory that
 * names them, whatever their number. They stay accounted until they are unmapped. Long ones take
 * milliseconds to unmap: they are kept apart, for who has not got the lock. Guarded by the engine's
 * lock.
 *
 * What is held (read without the lock, by whoever sends it) waits outside of the list until it is
 * released: memory that no tier has any more and that cannot be given back.
 */
#ifndef FE_STORE_TRASH_H
#define FE_STORE_TRASH_H

#include "base/alloc.h"
#include "base/assert.h"

#define FE_TRASH_LONG ((size_t)8 << 20) /* more bytes make a mapping long */

/* A mapping that was taken off: for the taker to unmap. */
typedef struct fe_trash {
    void *ptr;
    size_t size;
    size_t counted; /* of it, what is accounted */
    fe_alloc_class class;
} fe_trash;

typedef struct fe_trash_node {
    struct fe_trash_node *next;
    size_t size, counted;
    fe_alloc_class class;
} fe_trash_node;

#define FE_TRASH_BUCKETS 1024u /* of what is held: 10,000 values that are sent are ten in each */

/* A reader of a mapping; it lies with the reader. Those of one mapping are a ring; the first of them stands
 * for it among the mappings of a bucket. */
typedef struct fe_hold {
    void *ptr;            /* the mapping; NULL: nothing is held */
    struct fe_hold *next; /* of another mapping of the bucket; the first one's, as is `left` */
    fe_trash left; /* to be put on the list when the last hold goes; ptr NULL: it is in use */
    struct fe_hold *after, *before; /* in the ring */
} fe_hold;

/* Lies in the lowest of its mappings, which goes last. */
typedef struct fe_trash_table {
    struct fe_trash_table *next;
    fe_alloc *alloc;     /* which the directory is from */
    uint64_t **mappings; /* NULL where there is none */
    uint32_t end;        /* those from here on have gone */
    uint32_t left;       /* mappings that have not */
    size_t size;         /* of each */
    size_t last_counted; /* how much of the last one is accounted, until it has gone */
    fe_alloc_class class;
} fe_trash_table;

typedef struct fe_trash_list {
    fe_trash_node *head;  /* short ones */
    fe_trash_node *longs; /* those of more than FE_TRASH_LONG that are accounted */
    fe_trash_table *tables;
    uint64_t held;       /* mappings that wait for their readers, outside of the list */
    uint64_t held_bytes; /* accounted, of these; in no other number here */
    uint64_t hold_count; /* readers, of mappings in use too */
    uint64_t bytes;      /* accounted */
    uint64_t long_bytes; /* of these, of long ones */
    uint64_t count;
    bool is_news;   /* a long one was put here since this was last asked for */
    uint64_t bulk;  /* of the bytes, at most so many were flushed: no debt of writers */
    uint64_t taken; /* mappings ever taken off */
    fe_hold *holds[FE_TRASH_BUCKETS];
} fe_trash_list;

/* Holds a mapping that is in use, by its address. */
void fe_trash_hold(fe_trash_list *list, fe_hold *hold, void *ptr);
void fe_trash_release(fe_trash_list *list, fe_hold *hold);
bool fe_trash_is_held(fe_trash_list *list, const void *ptr);
/* Keeps a mapping off the list while it is held; false when it is not. */
bool fe_trash_defer(fe_trash_list *list, const fe_trash *trash);

void fe_trash_put_long(fe_trash_list *list, const fe_trash *trash);

/* A reservation (fe_pages_reserve) of which `counted` bytes are accounted. */
static inline void fe_trash_put_reserved(fe_trash_list *list, fe_alloc_class class, void *ptr,
                                         size_t size, size_t counted)
{
    if (FE_UNLIKELY(list->hold_count != 0) &&
        fe_trash_defer(list, &(fe_trash){ptr, size, counted, class}))
        return;
    if (FE_UNLIKELY(counted > FE_TRASH_LONG)) {
        fe_trash_put_long(list, &(fe_trash){ptr, size, counted, class});
        return;
    }
    fe_trash_node *node = ptr;
    *node = (fe_trash_node){list->head, size, counted, class};
    list->head = node;
    list->bytes += counted;
    list->count++;
}

static inline void fe_trash_put(fe_trash_list *list, fe_alloc_class class, void *ptr, size_t size)
{
    fe_trash_put_reserved(list, class, ptr, size, size);
}

/* Puts `left` mappings of `size` bytes (of the last one `last_counted` are accounted) among the first
 * `end` of a directory that was allocated under `class`, and the directory, or gives just that back when there
 * are none. Touches one mapping. */
void fe_trash_put_table(fe_trash_list *list, fe_alloc *alloc, const fe_trash_table *table);

/* Takes one mapping off the list, long ones first; false when it is empty. */
bool fe_trash_pop(fe_trash_list *list, fe_trash *trash);
/* The same for who has the lock: false when there are none but long ones. */
bool fe_trash_pop_short(fe_trash_list *list, fe_trash *trash);
/* Unmaps the last `bytes` (pages, at most FE_TRASH_LONG) of a long one; false when there is none. */
bool fe_trash_cut(fe_trash_list *list, fe_alloc *alloc, size_t bytes);

static inline void fe_trash_unmap(fe_alloc *alloc, const fe_trash *trash)
{
    fe_pages_unmap_reserved(alloc, trash->class, trash->ptr, trash->size, trash->counted);
}

/* Unmaps everything at once. */
void fe_trash_empty(fe_trash_list *list, fe_alloc *alloc);

#endif
