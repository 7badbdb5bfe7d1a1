/* See the header. */
#include "store/ghost.h"

#include "base/assert.h"

#define BUCKET 8u
#define UNITS 8192u /* that the whole table is */
#define ENTRIES_MIN 1024u
#define PAGE ((size_t)4096)

static size_t bytes_of(const fe_ghost *ghost)
{
    return (size_t)ghost->count * sizeof(uint32_t);
}

void fe_ghost_resize(fe_ghost *ghost, fe_alloc *alloc, fe_trash_list *trash, uint64_t keys)
{
    uint64_t count = ENTRIES_MIN;
    while (count < keys && count < 1ull << 32)
        count *= 2;
    if (ghost->count != 0 && count <= ghost->count * 2 && count * 4 > ghost->count) return;
    if (ghost->entries != NULL)
        fe_trash_put(trash, FE_ALLOC_ENGINE, ghost->entries, bytes_of(ghost));
    *ghost = (fe_ghost){.count = count, .capacity = count};
    ghost->entries = fe_pages_map(alloc, FE_ALLOC_ENGINE, bytes_of(ghost), PAGE);
    if (ghost->entries == NULL) ghost->count = 0;
    while (count >> ghost->shift > UNITS)
        ghost->shift++;
}

void fe_ghost_set_capacity(fe_ghost *ghost, uint64_t keys)
{
    ghost->capacity = keys < ghost->count ? keys : ghost->count;
}

void fe_ghost_close(fe_ghost *ghost, fe_alloc *alloc)
{
    if (ghost->entries != NULL)
        fe_pages_unmap(alloc, FE_ALLOC_ENGINE, ghost->entries, bytes_of(ghost));
    *ghost = (fe_ghost){0};
}

/* Where a hash belongs, and what its entry begins with: never 0. */
static uint32_t *place_of(const fe_ghost *ghost, uint64_t hash, uint32_t *mark)
{
    uint64_t mixed = hash * 0x9e3779b97f4a7c15ull;
    *mark = (uint32_t)(mixed >> 48) | 1u;
    return ghost->entries + ((mixed >> 8) & (ghost->count / BUCKET - 1)) * BUCKET;
}

static uint32_t age_of(const fe_ghost *ghost, uint32_t entry)
{
    return ((uint32_t)(ghost->inserted >> ghost->shift) - entry) & 0xffffu;
}

void fe_ghost_add(fe_ghost *ghost, uint64_t hash)
{
    if (ghost->entries == NULL) return;
    uint32_t mark, oldest = 0;
    uint32_t *bucket = place_of(ghost, hash, &mark);
    unsigned victim = 0;
    for (unsigned i = 0; i < BUCKET; i++) {
        if (bucket[i] == 0 || bucket[i] >> 16 == mark) {
            victim = i;
            break;
        }
        if (age_of(ghost, bucket[i]) < oldest) continue;
        oldest = age_of(ghost, bucket[i]);
        victim = i;
    }
    bucket[victim] = mark << 16 | ((uint32_t)(ghost->inserted >> ghost->shift) & 0xffffu);
    ghost->inserted++;
}

bool fe_ghost_take(fe_ghost *ghost, uint64_t hash)
{
    if (ghost->entries == NULL) return false;
    uint32_t mark;
    uint32_t *bucket = place_of(ghost, hash, &mark);
    for (unsigned i = 0; i < BUCKET; i++) {
        if (bucket[i] == 0 || bucket[i] >> 16 != mark) continue;
        bool young = (uint64_t)age_of(ghost, bucket[i]) << ghost->shift <= ghost->capacity;
        bucket[i] = 0;
        return young;
    }
    return false;
}
