/* Memory that reads are read into: short ones have one of a few sizes, which are kept; longer ones a
 * mapping of their own, which the cache takes over.
 *
 * Threads: the engine's lock is held.
 */
#include "store/fetch_read.h"

#include <string.h>

#define PAGE ((size_t)4096)
#define MAPPING_MIN ((size_t)64 << 10) /* longer reads have a mapping */
#define LEAD PAGE                      /* in front of what is read into a mapping */
#define BUFFERS_KEPT 64u /* of each size; they are in a list, through their first bytes */

static uint8_t *aligned(void *memory)
{
    return (uint8_t *)(((uintptr_t)memory + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
}

bool fe_buffer_take(fe_store *store, fe_fetch_read *read, size_t length)
{
    fe_fetch *fetch = &store->fetch;
    if (length >= MAPPING_MIN) {
        size_t bytes = LEAD + ((length + PAGE - 1) & ~(PAGE - 1));
        read->memory = fe_pages_map(store->alloc, FE_ALLOC_LOG, bytes, PAGE);
        if (read->memory == NULL) return false;
        read->mapping = bytes;
        read->disk.buffer = (uint8_t *)read->memory + LEAD;
        return true;
    }
    size_t pages = (length + PAGE - 1) / PAGE;
    if (pages <= FE_FETCH_BUFFER_PAGES && fetch->buffers[pages - 1] != NULL) {
        read->memory = fetch->buffers[pages - 1];
        memcpy(&fetch->buffers[pages - 1], aligned(read->memory), sizeof(void *));
        fetch->buffer_count[pages - 1]--;
    } else {
        read->memory = fe_alloc_take(store->alloc, FE_ALLOC_ENGINE, (pages + 1) * PAGE);
    }
    if (read->memory == NULL) return false;
    read->mapping = 0;
    read->disk.buffer = aligned(read->memory);
    return true;
}

void fe_buffer_give(fe_store *store, fe_fetch_read *read)
{
    fe_fetch *fetch = &store->fetch;
    void *memory = read->memory;
    read->memory = NULL;
    fetch->late_bytes -= read->late_bytes;
    read->late_bytes = 0;
    fe_room_give(store, read);
    if (memory == NULL) return;
    if (read->mapping != 0) {
        fe_trash_put(&store->trash, FE_ALLOC_LOG, memory, read->mapping);
        return;
    }
    size_t pages = (read->disk.length + PAGE - 1) / PAGE;
    if (pages > FE_FETCH_BUFFER_PAGES || fetch->buffer_count[pages - 1] == BUFFERS_KEPT) {
        fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, memory);
        return;
    }
    memcpy(aligned(memory), &fetch->buffers[pages - 1], sizeof(void *));
    fetch->buffers[pages - 1] = memory;
    fetch->buffer_count[pages - 1]++;
}

void fe_buffers_free(fe_store *store)
{
    fe_fetch *fetch = &store->fetch;
    for (unsigned i = 0; i < FE_FETCH_BUFFER_PAGES; i++) {
        for (void *memory; (memory = fetch->buffers[i]) != NULL;) {
            memcpy(&fetch->buffers[i], aligned(memory), sizeof(void *));
            fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, memory);
        }
    }
}
