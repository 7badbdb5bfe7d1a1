/* See hotkeys.h. */
#include "engine/hotkeys.h"

#include "base/assert.h"

#include <math.h>
#include <stdlib.h>

#define HALF_LIFE_MIN_MS 1000u
#define GROWTH_MAX 0x1p40 /* then all counts are brought down to the present */

void fe_hot_clear(fe_hot_table *table, uint32_t half_life_ms, int64_t now_ms)
{
    FE_ASSERT(half_life_ms >= HALF_LIFE_MIN_MS);
    table->count = 0;
    table->half_life_ms = half_life_ms;
    table->origin_ms = table->since_ms = table->last_ms = now_ms;
}

/* When the date is set back, what was counted moves back with it: no time has passed. */
static void follow_date(fe_hot_table *table, int64_t now_ms)
{
    if (FE_UNLIKELY(now_ms < table->last_ms)) {
        table->origin_ms -= table->last_ms - now_ms;
        table->since_ms -= table->last_ms - now_ms;
    }
    table->last_ms = now_ms;
}

/* What one of now counts. */
static double growth_at(const fe_hot_table *table, int64_t now_ms)
{
    int64_t passed = now_ms - table->origin_ms;
    return passed <= 0 ? 1 : exp2((double)passed / table->half_life_ms);
}

static double growth(fe_hot_table *table, int64_t now_ms)
{
    double one = growth_at(table, now_ms);
    if (FE_LIKELY(one < GROWTH_MAX)) return one;
    for (uint32_t i = 0; i < table->count; i++) {
        table->keys[i].count /= one;
        table->keys[i].error /= one;
    }
    table->origin_ms = now_ms;
    return 1;
}

static uint32_t find(const fe_hot_table *table, uint64_t hash, uint32_t db)
{
    uint32_t i = 0;
    while (i < table->count && (table->hashes[i] != hash || table->keys[i].db != db))
        i++;
    return i;
}

static uint32_t find_least(const fe_hot_table *table)
{
    uint32_t least = 0;
    for (uint32_t i = 1; i < table->count; i++)
        if (table->keys[i].count < table->keys[least].count) least = i;
    return least;
}

/* The place of a key that is not in the table. */
static uint32_t take_place(fe_hot_table *table, fe_bytes name, uint64_t hash, uint32_t db)
{
    bool full = table->count == FE_HOT_KEYS;
    uint32_t i = full ? find_least(table) : table->count++;
    fe_hot_key *key = &table->keys[i];
    double inherited = full ? key->count : 0;
    size_t kept = name.len < FE_HOT_NAME_MAX ? name.len : FE_HOT_NAME_MAX;
    *key = (fe_hot_key){.count = inherited,
                        .error = inherited,
                        .db = db,
                        .name_len = (uint16_t)kept,
                        .is_cut = kept < name.len};
    if (kept > 0) memcpy(key->name, name.ptr, kept);
    table->hashes[i] = hash;
    return i;
}

void fe_hot_add(fe_hot_table *table, fe_bytes name, uint64_t hash, uint32_t db, double amount,
                int64_t now_ms)
{
    FE_ASSERT(amount > 0);
    follow_date(table, now_ms);
    amount *= growth(table, now_ms);
    uint32_t i = find(table, hash, db);
    if (i == table->count) i = take_place(table, name, hash, db);
    table->keys[i].count += amount;
}

static int compare(const void *a, const void *b)
{
    const fe_hot_line *one = a, *other = b;
    return (one->per_second < other->per_second) - (one->per_second > other->per_second);
}

/* The decayed sum of one per second, counted since the beginning. */
static double seconds_counted(const fe_hot_table *table, int64_t now_ms)
{
    double half_lives = (double)(now_ms - table->since_ms) / table->half_life_ms;
    if (half_lives < 0) half_lives = 0;
    double seconds = table->half_life_ms / 1000.0 / M_LN2 * (1 - exp2(-half_lives));
    return seconds < 1 ? 1 : seconds; /* of less than a second nobody can tell a rate */
}

uint32_t fe_hot_list(const fe_hot_table *table, int64_t now_ms, fe_hot_line lines[FE_HOT_KEYS])
{
    if (now_ms < table->last_ms) now_ms = table->last_ms;
    double scale = growth_at(table, now_ms) * seconds_counted(table, now_ms);
    for (uint32_t i = 0; i < table->count; i++) {
        const fe_hot_key *key = &table->keys[i];
        lines[i] = (fe_hot_line){
            .key = key, .per_second = key->count / scale, .error = key->error / scale};
    }
    qsort(lines, table->count, sizeof *lines, compare);
    return table->count;
}
