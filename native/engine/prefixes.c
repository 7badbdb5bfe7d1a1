/* See prefixes.h. */
#include "engine/prefixes.h"

#include "base/assert.h"

#include <string.h>

fe_prefixes *fe_prefixes_new(fe_alloc *alloc, const fe_prefixes_options *options, bool by_pattern,
                             const fe_hash_seed *seed, int64_t now_ms)
{
    FE_ASSERT(options->count >= 1 && options->count <= FE_PREFIX_COUNT_MAX && options->parts >= 1);
    size_t size = sizeof(fe_prefixes) + options->count * sizeof(fe_prefix);
    fe_prefixes *prefixes = fe_alloc_take(alloc, FE_ALLOC_ENGINE, size);
    if (prefixes == NULL) return NULL;
    prefixes->options = *options;
    prefixes->by_pattern = by_pattern;
    prefixes->seed = *seed;
    prefixes->alloc = alloc;
    fe_prefixes_clear(prefixes, now_ms);
    return prefixes;
}

void fe_prefixes_free(fe_prefixes *prefixes)
{
    if (prefixes != NULL) fe_alloc_give(prefixes->alloc, FE_ALLOC_ENGINE, prefixes);
}

void fe_prefixes_clear(fe_prefixes *prefixes, int64_t now_ms)
{
    prefixes->uses = 0;
    prefixes->count = 0;
    prefixes->since_ms = now_ms;
}

fe_bytes fe_prefix_of(fe_bytes key, uint8_t separator, uint32_t parts)
{
    size_t len = 0;
    if (key.len > FE_PREFIX_SEARCH_MAX) key.len = FE_PREFIX_SEARCH_MAX;
    for (size_t at = 0; parts > 0 && at < key.len; parts--) {
        const uint8_t *found = memchr(key.ptr + at, separator, key.len - at);
        if (found == NULL) break;
        len = (size_t)(found - key.ptr);
        at = len + 1;
    }
    return (fe_bytes){key.ptr, len};
}

fe_prefix_name fe_prefix_name_of(fe_bytes key, uint8_t separator, uint32_t parts,
                                 const fe_hash_seed *seed, uint8_t pattern[FE_TEXT_KEY_MAX])
{
    fe_bytes name = fe_prefix_of(key, separator, parts);
    if (pattern != NULL) name = (fe_bytes){pattern, fe_texts_pattern(name, pattern)};
    bool is_cut = name.len > FE_PREFIX_NAME_MAX;
    if (is_cut) name.len = FE_PREFIX_NAME_MAX;
    return (fe_prefix_name){name, fe_hash(seed, name.ptr, name.len), is_cut};
}

static uint32_t find(const fe_prefixes *prefixes, uint64_t hash)
{
    uint32_t i = 0;
    while (i < prefixes->count && prefixes->hashes[i] != hash)
        i++;
    return i;
}

static uint32_t find_least(const fe_prefixes *prefixes)
{
    uint32_t least = 0;
    for (uint32_t i = 1; i < prefixes->count; i++)
        if (prefixes->ranks[i] < prefixes->ranks[least]) least = i;
    return least;
}

/* Writes a prefix that is not in the ledger into a place. */
static void settle(fe_prefixes *prefixes, uint32_t place, const fe_prefix_name *name,
                   int64_t now_ms)
{
    fe_prefix *prefix = &prefixes->entries[place];
    memset(prefix, 0, sizeof *prefix);
    prefix->error = prefixes->ranks[place];
    prefix->since_ms = now_ms;
    prefix->name_len = (uint16_t)name->kept.len;
    if (name->kept.len > 0) memcpy(prefix->name, name->kept.ptr, name->kept.len);
    prefixes->hashes[place] = name->hash;
}

/* The place of a key's prefix; `count` when it has none and may not displace another. */
static uint32_t seek(fe_prefixes *prefixes, fe_bytes key, bool may_displace, int64_t now_ms)
{
    uint8_t pattern[FE_TEXT_KEY_MAX];
    fe_prefix_name name =
        fe_prefix_name_of(key, prefixes->options.separator, prefixes->options.parts,
                          &prefixes->seed, prefixes->by_pattern ? pattern : NULL);
    uint32_t place = find(prefixes, name.hash);
    bool is_new = place == prefixes->count;
    if (is_new && place < prefixes->options.count) {
        prefixes->ranks[place] = 0;
        prefixes->count++;
    } else if (is_new) {
        if (!may_displace) return place;
        place = find_least(prefixes);
    }
    if (is_new) settle(prefixes, place, &name, now_ms);
    prefixes->entries[place].is_cut |= name.is_cut;
    return place;
}

fe_prefix *fe_prefixes_use(fe_prefixes *prefixes, fe_bytes key, double uses, int64_t now_ms)
{
    FE_ASSERT(uses > 0);
    uint32_t place = seek(prefixes, key, true, now_ms);
    fe_prefix *prefix = &prefixes->entries[place];
    prefixes->uses += uses;
    prefixes->ranks[place] += uses;
    prefix->uses += uses;
    prefix->variance += uses * (uses - 1);
    return prefix;
}

fe_prefix *fe_prefixes_meet(fe_prefixes *prefixes, fe_bytes key, int64_t now_ms)
{
    uint32_t place = seek(prefixes, key, false, now_ms);
    return place < prefixes->count ? &prefixes->entries[place] : NULL;
}

void fe_prefix_add(fe_prefix *prefix, const fe_prefix_effects *effects)
{
    fe_prefix_effects *to = &prefix->effects;
    for (unsigned i = 0; i < FE_PREFIX_TIERS; i++) {
        to->hits[i] += effects->hits[i];
        to->read_bytes[i] += effects->read_bytes[i];
    }
    for (unsigned i = 0; i < FE_MISS_COUNT; i++)
        to->misses_by[i] += effects->misses_by[i];
    to->misses += effects->misses;
    to->written_bytes += effects->written_bytes;
}
