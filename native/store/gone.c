/* See the header.
 *
 * Invariants: 1. `keys` counts the places with a fingerprint, by reason. 2. `weak` and `weak_keys` are
 * zero while no key is FLUSHED. 3. next < 28.
 */
#include "store/gone.h"

#include "base/assert.h"
#include "base/match.h"

#include <string.h>

#define PLACES ((1u << FE_GONE_LINE_KEYS) - 1) /* bits of a comparison that are fingerprints */
#define MARK_BITS 16u
#define PAGE ((size_t)4096)

_Static_assert(sizeof(fe_gone_line) == FE_GONE_LINE_BYTES, "a line is a cache line");

/* Life ----------------------------------------------------------------------------------------- */

static uint64_t count_for(uint64_t bytes)
{
    if (bytes < FE_GONE_BYTES_MIN) bytes = FE_GONE_BYTES_MIN;
    if (bytes > FE_GONE_BYTES_MAX) bytes = FE_GONE_BYTES_MAX;
    uint64_t count = FE_GONE_BYTES_MIN / FE_GONE_LINE_BYTES;
    while (count * 2 * FE_GONE_LINE_BYTES <= bytes)
        count *= 2;
    return count;
}

void fe_gone_resize(fe_gone *gone, fe_alloc *alloc, fe_trash_list *trash, uint64_t bytes)
{
    uint64_t count = bytes == 0 ? 0 : count_for(bytes);
    if (count == gone->count) return;
    if (gone->lines != NULL)
        fe_trash_put(trash, FE_ALLOC_ENGINE, gone->lines, (size_t)fe_gone_bytes(gone));
    *gone = (fe_gone){.count = count, .forgotten = gone->forgotten};
    if (count == 0) return;
    gone->lines = fe_pages_map(alloc, FE_ALLOC_ENGINE, (size_t)fe_gone_bytes(gone), PAGE);
    if (gone->lines == NULL)
        gone->count = 0;
    else
        gone->bits = (unsigned)__builtin_ctzll(count);
}

void fe_gone_close(fe_gone *gone, fe_alloc *alloc)
{
    if (gone->lines != NULL)
        fe_pages_unmap(alloc, FE_ALLOC_ENGINE, gone->lines, (size_t)fe_gone_bytes(gone));
    *gone = (fe_gone){0};
}

/* Places --------------------------------------------------------------------------------------- */

static inline fe_gone_line *line_of(const fe_gone *gone, uint64_t hash)
{
    return &gone->lines[hash & (gone->count - 1)];
}

static inline uint16_t mark_of(const fe_gone *gone, uint64_t hash, unsigned bits)
{
    uint16_t mark = (uint16_t)(hash >> gone->bits & ((1u << bits) - 1));
    return mark != 0 ? mark : 1;
}

static inline fe_miss reason_at(const fe_gone_line *line, unsigned place)
{
    unsigned byte = line->reasons[place / 4];
    return (fe_miss)((byte >> place % 4 * 2 & 3u) + FE_MISS_EXPIRED);
}

static inline void reason_set(fe_gone_line *line, unsigned place, fe_miss reason)
{
    unsigned shift = place % 4 * 2;
    unsigned others = line->reasons[place / 4] & ~(3u << shift);
    line->reasons[place / 4] = (uint8_t)(others | ((unsigned)reason - FE_MISS_EXPIRED) << shift);
}

static inline uint32_t places_with(const fe_gone_line *line, uint16_t mark)
{
    return fe_match_halves((const uint16_t *)(const void *)line, mark, UINT16_MAX) & PLACES;
}

/* Places of keys whose fingerprints end like this one's. */
static inline uint32_t places_like(const fe_gone *gone, const fe_gone_line *line, uint64_t hash,
                                   unsigned bits)
{
    uint16_t mask = (uint16_t)((1u << bits) - 1), low = (uint16_t)(hash >> gone->bits & mask);
    uint32_t alike = fe_match_halves((const uint16_t *)(const void *)line, low, mask);
    return alike & PLACES & ~places_with(line, 0);
}

/* Places of WEAK entries that may be this key's. */
static uint32_t places_weak(const fe_gone *gone, const fe_gone_line *line, uint64_t hash)
{
    uint32_t found = 0;
    for (unsigned weak = gone->weak; weak != 0; weak &= weak - 1)
        found |= places_with(line, mark_of(gone, hash, (unsigned)__builtin_ctz(weak)));
    for (uint32_t left = found; left != 0; left &= left - 1) {
        unsigned place = (unsigned)__builtin_ctz(left);
        if (reason_at(line, place) != FE_MISS_FLUSHED) found &= ~(1u << place);
    }
    return found;
}

static void place_clear(fe_gone *gone, fe_gone_line *line, unsigned place)
{
    fe_miss reason = reason_at(line, place);
    line->marks[place] = 0;
    if (--gone->keys[reason] != 0 || reason != FE_MISS_FLUSHED) return;
    memset(gone->weak_keys, 0, sizeof gone->weak_keys);
    gone->weak = 0;
}

/* Writes to the place that is next. What is there gives way, to an empty place if there is one. */
static void line_put(fe_gone *gone, fe_gone_line *line, uint16_t mark, fe_miss reason)
{
    unsigned place = line->next;
    if (line->marks[place] != 0) {
        uint32_t empty = places_with(line, 0);
        if (empty != 0) {
            unsigned to = (unsigned)__builtin_ctz(empty);
            line->marks[to] = line->marks[place];
            reason_set(line, to, reason_at(line, place));
        } else {
            place_clear(gone, line, place);
            gone->forgotten++;
        }
    }
    line->marks[place] = mark;
    reason_set(line, place, reason);
    line->next = (uint8_t)(place + 1 == FE_GONE_LINE_KEYS ? 0 : place + 1);
    gone->keys[reason]++;
}

/* Keys ----------------------------------------------------------------------------------------- */

static void line_forget(fe_gone *gone, fe_gone_line *line, uint64_t hash)
{
    uint32_t found = places_with(line, mark_of(gone, hash, MARK_BITS));
    if (gone->weak != 0) found |= places_weak(gone, line, hash);
    for (; found != 0; found &= found - 1)
        place_clear(gone, line, (unsigned)__builtin_ctz(found));
}

void fe_gone_note(fe_gone *gone, uint64_t hash, fe_miss reason)
{
    FE_ASSERT(reason > FE_MISS_NEVER_SEEN && reason < FE_MISS_COUNT);
    if (gone->lines == NULL) return;
    fe_gone_line *line = line_of(gone, hash);
    line_forget(gone, line, hash);
    line_put(gone, line, mark_of(gone, hash, MARK_BITS), reason);
}

void fe_gone_note_flushed(fe_gone *gone, uint64_t hash, unsigned known, bool late)
{
    if (gone->lines == NULL) return;
    if (known < gone->bits) {
        gone->forgotten++;
        return;
    }
    unsigned bits = known - gone->bits < MARK_BITS ? known - gone->bits : MARK_BITS;
    fe_gone_line *line = line_of(gone, hash);
    if (late && bits != 0 && places_like(gone, line, hash, bits) != 0) return;
    line_put(gone, line, mark_of(gone, hash, bits), FE_MISS_FLUSHED);
    if (bits == MARK_BITS) return;
    gone->weak = (uint16_t)(gone->weak | 1u << bits);
    gone->weak_keys[bits]++;
}

void fe_gone_forget(fe_gone *gone, uint64_t hash)
{
    if (fe_gone_is_empty(gone)) return;
    line_forget(gone, line_of(gone, hash), hash);
}

fe_miss fe_gone_look(const fe_gone *gone, uint64_t hash)
{
    if (fe_gone_is_empty(gone)) return FE_MISS_NEVER_SEEN;
    const fe_gone_line *line = line_of(gone, hash);
    uint32_t found = places_with(line, mark_of(gone, hash, MARK_BITS));
    if (found != 0) return reason_at(line, (unsigned)__builtin_ctz(found));
    if (gone->weak != 0 && places_weak(gone, line, hash) != 0) return FE_MISS_FLUSHED;
    return FE_MISS_NEVER_SEEN;
}

/* Figures -------------------------------------------------------------------------------------- */

uint64_t fe_gone_keys(const fe_gone *gone)
{
    uint64_t keys = 0;
    for (unsigned reason = 0; reason < FE_MISS_COUNT; reason++)
        keys += gone->keys[reason];
    return keys;
}

/* A stranger meets the entries of one line, each with a chance of one in 2^16 for every mask that is
 * asked for (two of 2^16 fingerprints are one), and WEAK ones as often as their bits agree. */
double fe_gone_error(const fe_gone *gone)
{
    if (gone->count == 0) return 0;
    unsigned asked = 1u + (unsigned)__builtin_popcount(gone->weak);
    double met = (double)fe_gone_keys(gone) * asked / 65535.0;
    for (unsigned bits = 0; bits < MARK_BITS; bits++) {
        uint64_t weak = gone->weak_keys[bits], most = gone->keys[FE_MISS_FLUSHED];
        met += (double)(weak < most ? weak : most) / (double)(1u << bits);
    }
    met /= (double)gone->count;
    return met < 1 ? met : 1;
}

const char *fe_gone_check(const fe_gone *gone)
{
    uint64_t keys[FE_MISS_COUNT] = {0};
    for (uint64_t i = 0; i < gone->count; i++) {
        const fe_gone_line *line = &gone->lines[i];
        if (line->next >= FE_GONE_LINE_KEYS) return "gone: a line has no such place";
        for (unsigned place = 0; place < FE_GONE_LINE_KEYS; place++)
            if (line->marks[place] != 0) keys[reason_at(line, place)]++;
    }
    if (memcmp(keys, gone->keys, sizeof keys) != 0) return "gone: wrong number of keys";
    for (unsigned bits = 0; bits < MARK_BITS; bits++)
        if ((gone->weak_keys[bits] != 0) != ((gone->weak >> bits & 1u) != 0))
            return "gone: weak keys without their mask";
    if (gone->weak != 0 && keys[FE_MISS_FLUSHED] == 0) return "gone: masks of keys that are not";
    return NULL;
}
