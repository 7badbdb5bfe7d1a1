/* See the header. */
#include "store/trash.h"

#include "base/assert.h"

void fe_trash_put_table(fe_trash_list *list, fe_alloc *alloc, const fe_trash_table *table)
{
    if (table->left == 0) {
        fe_alloc_give(alloc, table->class, table->mappings);
        return;
    }
    uint32_t lowest = 0;
    while (table->mappings[lowest] == NULL)
        lowest++;
    FE_ASSERT(table->end >= table->left && lowest < table->end);
    uint64_t bytes = (uint64_t)table->left * table->size;
    if (table->mappings[table->end - 1] != NULL) bytes -= table->size - table->last_counted;
    fe_trash_table *kept = (fe_trash_table *)table->mappings[lowest];
    *kept = *table;
    kept->alloc = alloc;
    kept->next = list->tables;
    list->tables = kept;
    list->bytes += bytes;
    list->bulk += bytes;
    list->count += table->left;
}

/* The highest mapping of the first table; with the last one, the table goes. */
static void table_pop(fe_trash_list *list, fe_trash *trash)
{
    fe_trash_table *table = list->tables;
    while (table->mappings[table->end - 1] == NULL) {
        table->end--;
        table->last_counted = table->size;
    }
    uint64_t *mapping = table->mappings[--table->end];
    *trash = (fe_trash){mapping, table->size, table->last_counted, table->class};
    table->last_counted = table->size;
    if (--table->left != 0) return;
    FE_ASSERT(trash->ptr == (void *)table);
    list->tables = table->next;
    fe_alloc_give(table->alloc, table->class, table->mappings);
}

static void node_pop(fe_trash_node **head, fe_trash *trash)
{
    fe_trash_node *node = *head;
    *head = node->next;
    *trash = (fe_trash){node, node->size, node->counted, node->class};
}

static void bytes_less(fe_trash_list *list, size_t bytes)
{
    list->bytes -= bytes;
    if (list->bulk > list->bytes) list->bulk = list->bytes;
}

static void note_popped(fe_trash_list *list, const fe_trash *trash)
{
    bytes_less(list, trash->counted);
    list->count--;
    list->taken++;
}

bool fe_trash_pop_short(fe_trash_list *list, fe_trash *trash)
{
    if (list->head != NULL)
        node_pop(&list->head, trash);
    else if (list->tables != NULL)
        table_pop(list, trash);
    else
        return false;
    note_popped(list, trash);
    return true;
}

bool fe_trash_pop(fe_trash_list *list, fe_trash *trash)
{
    if (FE_LIKELY(list->longs == NULL)) return fe_trash_pop_short(list, trash);
    node_pop(&list->longs, trash);
    list->long_bytes -= trash->counted;
    note_popped(list, trash);
    return true;
}

void fe_trash_put_long(fe_trash_list *list, const fe_trash *trash)
{
    fe_trash_node *node = trash->ptr;
    *node = (fe_trash_node){list->longs, trash->size, trash->counted, trash->class};
    list->longs = node;
    list->bytes += trash->counted;
    list->long_bytes += trash->counted;
    list->count++;
    list->is_news = true;
}

bool fe_trash_cut(fe_trash_list *list, fe_alloc *alloc, size_t bytes)
{
    fe_trash_node *node = list->longs;
    if (node == NULL) return false;
    FE_ASSERT(bytes <= FE_TRASH_LONG && bytes < node->size);
    size_t size = node->size - bytes;
    size_t counted = node->counted < size ? node->counted : size, less = node->counted - counted;
    fe_pages_unmap_reserved(alloc, node->class, (uint8_t *)node + size, bytes, less);
    node->size = size;
    node->counted = counted;
    bytes_less(list, less);
    list->long_bytes -= less;
    if (counted > FE_TRASH_LONG) return true;
    list->long_bytes -= counted;
    list->longs = node->next;
    node->next = list->head;
    list->head = node;
    return true;
}

/* Where the first hold of a mapping is linked, or would be. A step for each other mapping of the bucket. */
static fe_hold **link_of(fe_trash_list *list, const void *ptr)
{
    uint64_t page = (uint64_t)(uintptr_t)ptr >> 12;
    fe_hold **link = &list->holds[(page * 0x9e3779b97f4a7c15ull >> 32) % FE_TRASH_BUCKETS];
    while (*link != NULL && (*link)->ptr != ptr)
        link = &(*link)->next;
    return link;
}

void fe_trash_hold(fe_trash_list *list, fe_hold *hold, void *ptr)
{
    FE_ASSERT(ptr != NULL && hold->ptr == NULL);
    fe_hold **link = link_of(list, ptr), *first = *link;
    *hold = (fe_hold){.ptr = ptr, .after = hold, .before = hold};
    if (first == NULL) {
        *link = hold;
    } else {
        hold->after = first->after;
        hold->before = first;
        first->after->before = hold;
        first->after = hold;
    }
    list->hold_count++;
}

bool fe_trash_is_held(fe_trash_list *list, const void *ptr)
{
    return list->hold_count != 0 && *link_of(list, ptr) != NULL;
}

bool fe_trash_defer(fe_trash_list *list, const fe_trash *trash)
{
    fe_hold *first = *link_of(list, trash->ptr);
    if (first == NULL) return false;
    FE_ASSERT(first->left.ptr == NULL);
    first->left = *trash;
    list->held++;
    list->held_bytes += trash->counted;
    return true;
}

/* Its last reader has gone. */
static void put_left(fe_trash_list *list, const fe_trash *left)
{
    if (left->ptr == NULL) return;
    list->held--;
    list->held_bytes -= left->counted;
    fe_trash_put_reserved(list, left->class, left->ptr, left->size, left->counted);
}

void fe_trash_release(fe_trash_list *list, fe_hold *hold)
{
    if (hold->ptr == NULL) return;
    fe_hold **link = link_of(list, hold->ptr), *after = hold->after;
    fe_hold gone = *hold;
    FE_ASSERT(*link != NULL);
    *hold = (fe_hold){0};
    list->hold_count--;
    if (after == hold) {
        FE_ASSERT(*link == hold);
        *link = gone.next;
        put_left(list, &gone.left);
        return;
    }
    gone.before->after = after;
    after->before = gone.before;
    if (*link != hold) return;
    after->next = gone.next; /* it is the first one now */
    after->left = gone.left;
    *link = after;
}

void fe_trash_empty(fe_trash_list *list, fe_alloc *alloc)
{
    for (fe_trash trash; fe_trash_pop(list, &trash);)
        fe_trash_unmap(alloc, &trash);
}
