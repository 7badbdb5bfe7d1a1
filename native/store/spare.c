/* Memory ahead of need and behind use: spare mappings that a worker prepares, and trash that it
 * unmaps, both without the engine's lock.
 *
 * A spare is mapped on huge pages and touched, because that is what may take milliseconds. It
 * serves as a log segment or, when it has the size of an index chunk and an index is about to grow,
 * as that or as pages of its nodes, of which a growing index takes dozens in a second. Only spares are on huge pages: whoever maps in a hurry takes ordinary ones.
 *
 * Threads: the engine's lock is held, except in fe_store_spare_map.
 */
#include "store/store.h"

#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define PAGE ((size_t)4096)
#define LIMIT_CHUNKS 128u

bool fe_store_trash_news(fe_store *store)
{
    bool is_news = store->trash.is_news;
    if (FE_UNLIKELY(is_news)) store->trash.is_news = false;
    return is_news;
}

bool fe_store_trash_take(fe_store *store, fe_trash *trash)
{
    return fe_trash_pop(&store->trash, trash);
}

void fe_store_discard_body(fe_store *store, fe_body *body)
{
    fe_pages_reclass(store->alloc, FE_ALLOC_CLIENT, FE_ALLOC_LOG, body->bytes);
    fe_trash_put(&store->trash, FE_ALLOC_LOG, body->pages, body->bytes);
    *body = (fe_body){0};
}

bool fe_key_lend(const fe_key *key, fe_hold *hold)
{
    fe_store *store = key->store;
    const fe_segment *segment = fe_log_segment(&store->log, key->address);
    bool own = segment->role == FE_ROLE_OWN &&
               (segment->tier == FE_TIER_MUTABLE || segment->tier == FE_TIER_SEALED);
    if (!own && segment->tier != FE_TIER_CACHE) return false;
    fe_trash_hold(&store->trash, hold, segment->base);
    return true;
}

void fe_store_release(fe_store *store, fe_hold *hold)
{
    fe_trash_release(&store->trash, hold);
}

typedef bool index_says(const fe_index *index);

static bool any_index(const fe_store *store, index_says *says)
{
    for (uint32_t i = 0; i < store->options.databases; i++)
        if (says(&store->keyspaces[i].index)) return true;
    return false;
}

static bool chunk_wanted(const fe_store *store)
{
    return store->index_space.spare == NULL && any_index(store, fe_index_wants_spare);
}

static bool node_pages_wanted(const fe_store *store)
{
    return store->index_space.node_pages == NULL && any_index(store, fe_index_wants_node_pages);
}

/* None for a small log, two for a large one; the first when the tail is half full. */
static bool log_wants(const fe_store *store)
{
    const fe_log *log = &store->log;
    size_t next = fe_log_next_size(log);
    if (log->spare_count == 0)
        return next <= log->bytes / 16 && fe_log_tail_room(log, FE_TAIL_NEW) <= next / 2;
    return log->spare_count < FE_LOG_SPARES && log->spare_bytes + next <= log->bytes / 64;
}

/* A chunk that is large beside the limit is not mapped ahead: the index grows in small steps. */
static bool chunk_fits(const fe_store *store)
{
    uint64_t limit = store->options.memory_max;
    return limit == 0 || FE_INDEX_CHUNK_BYTES <= limit / LIMIT_CHUNKS;
}

bool fe_store_spare_wanted(const fe_store *store, size_t *size)
{
    size_t wanted = 0;
    if (chunk_fits(store) && (chunk_wanted(store) || node_pages_wanted(store)))
        wanted = FE_INDEX_CHUNK_BYTES;
    else if (log_wants(store))
        wanted = fe_log_next_size(&store->log);
    uint64_t limit = store->options.memory_max;
    if (wanted == 0 || (limit != 0 && fe_store_used(store) + wanted > limit)) return false;
    *size = wanted;
    return true;
}

void *fe_store_spare_map(fe_alloc *alloc, size_t size)
{
    bool huge = size % HUGE_PAGE == 0;
    uint8_t *ptr = fe_pages_map(alloc, FE_ALLOC_LOG, size, huge ? HUGE_PAGE : PAGE);
    if (ptr == NULL) return NULL;
    if (huge) (void)madvise(ptr, size, MADV_HUGEPAGE); /* a wish: refusal is fine */
    for (size_t i = 0; i < size; i += PAGE)
        ((volatile uint8_t *)ptr)[i] = 0;
    return ptr;
}

void fe_store_spare_give(fe_store *store, void *mapping, size_t size)
{
    bool chunk = size == FE_INDEX_CHUNK_BYTES && chunk_wanted(store);
    if (!chunk && !(size == FE_INDEX_CHUNK_BYTES && node_pages_wanted(store))) {
        fe_log_spare_put(&store->log, mapping, size);
        return;
    }
    fe_pages_reclass(store->alloc, FE_ALLOC_LOG, FE_ALLOC_INDEX, size);
    if (chunk) {
        store->index_space.spare = mapping;
    } else {
        store->index_space.node_pages = mapping;
        store->index_space.node_pages_bytes = size;
    }
}

static void chunk_give_up(fe_store *store)
{
    fe_index_space *space = &store->index_space;
    if (space->spare == NULL) return;
    fe_trash_put(&store->trash, FE_ALLOC_INDEX, space->spare, FE_INDEX_CHUNK_BYTES);
    space->spare = NULL;
}

static void node_pages_give_up(fe_store *store)
{
    fe_index_space *space = &store->index_space;
    if (space->node_pages == NULL) return;
    fe_trash_put(&store->trash, FE_ALLOC_INDEX, space->node_pages, space->node_pages_bytes);
    space->node_pages = NULL;
    space->node_pages_bytes = 0;
}

void fe_spare_trim(fe_store *store)
{
    const fe_index_space *space = &store->index_space;
    if (space->spare != NULL && !any_index(store, fe_index_keeps_spare)) chunk_give_up(store);
    if (space->node_pages != NULL && !any_index(store, fe_index_keeps_node_pages))
        node_pages_give_up(store);
}

void fe_spare_close(fe_store *store)
{
    chunk_give_up(store);
    node_pages_give_up(store);
}
