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

static fe_hold *find_hold(const fe_trash_list *list, const void *ptr)
{
    fe_hold *hold = list->holds;
    while (hold != NULL && hold->ptr != ptr)
        hold = hold->next;
    return hold;
}

void fe_trash_hold(fe_trash_list *list, fe_hold *hold, void *ptr)
{
    FE_ASSERT(ptr != NULL && hold->ptr == NULL);
    *hold = (fe_hold){.ptr = ptr, .next = list->holds};
    list->holds = hold;
    list->hold_count++;
}

bool fe_trash_is_held(const fe_trash_list *list, const void *ptr)
{
    return find_hold(list, ptr) != NULL;
}

bool fe_trash_defer(fe_trash_list *list, const fe_trash *trash)
{
    fe_hold *hold = find_hold(list, trash->ptr);
    if (hold == NULL) return false;
    FE_ASSERT(hold->left.ptr == NULL);
    hold->left = *trash;
    list->held++;
    list->held_bytes += trash->counted;
    return true;
}

void fe_trash_release(fe_trash_list *list, fe_hold *hold)
{
    if (hold->ptr == NULL) return;
    fe_hold **link = &list->holds;
    while (*link != hold)
        link = &(*link)->next;
    *link = hold->next;
    fe_trash left = hold->left;
    *hold = (fe_hold){0};
    list->hold_count--;
    if (left.ptr == NULL) return;
    list->held--;
    list->held_bytes -= left.counted;
    /* Another one may hold it; if not, it goes to the list. */
    fe_trash_put_reserved(list, left.class, left.ptr, left.size, left.counted);
}

void fe_trash_empty(fe_trash_list *list, fe_alloc *alloc)
{
    for (fe_trash trash; fe_trash_pop(list, &trash);)
        fe_trash_unmap(alloc, &trash);
}
