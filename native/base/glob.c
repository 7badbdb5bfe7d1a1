/* Glob matching as Redis does it, in bounded time.
 *
 * The pattern is walked once; at a star the place is remembered, and on a mismatch the walk goes
 * back to the last star only, which takes one more byte. Going back further cannot help: an earlier
 * star could only make the later one start later. The work is therefore at most pattern bytes times
 * text bytes.
 *
 * What Redis does in the corners, kept here:
 * 1. An empty text matches only an empty pattern; not even a star.
 * 2. A class that is not closed ends with the pattern and still counts.
 * 3. A range is reversed when its ends are, and compares bytes as signed numbers.
 * 4. A backslash at the end of the pattern, or last in an open class, is itself.
 * 5. In a class an escaped byte is compared exactly, even when case is ignored.
 *
 * Pure functions.
 */
#include "base/glob.h"

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *end;
} cursor;

static inline uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static inline bool same(uint8_t a, uint8_t b, bool ignore_case)
{
    return a == b || (ignore_case && lower(a) == lower(b));
}

static bool in_range(uint8_t first, uint8_t last, uint8_t c, bool ignore_case)
{
    if ((int8_t)first > (int8_t)last) {
        uint8_t swap = first;
        first = last;
        last = swap;
    }
    if (ignore_case) {
        first = lower(first);
        last = lower(last);
        c = lower(c);
    }
    return (int8_t)c >= (int8_t)first && (int8_t)c <= (int8_t)last;
}

/* Matches `c` against the class whose '[' has just been passed; leaves the cursor behind the class.
 */
static bool match_class(cursor *pattern, uint8_t c, bool ignore_case)
{
    const uint8_t *at = pattern->at;
    const uint8_t *end = pattern->end;
    bool negated = at < end && *at == '^';
    bool found = false;

    if (negated) at++;
    while (at < end && *at != ']') {
        if (*at == '\\' && end - at >= 2) {
            found |= at[1] == c;
            at += 2;
        } else if (end - at >= 3 && at[1] == '-') {
            found |= in_range(at[0], at[2], c, ignore_case);
            at += 3;
        } else {
            found |= same(*at, c, ignore_case);
            at++;
        }
    }
    pattern->at = at < end ? at + 1 : end;
    return found != negated;
}

/* Matches `c` against the one element at the cursor, which is not a star; leaves the cursor behind
 * it. */
static inline bool match_one(cursor *pattern, uint8_t c, bool ignore_case)
{
    uint8_t p = *pattern->at++;
    if (p == '?') return true;
    if (p == '[') return match_class(pattern, c, ignore_case);
    if (p == '\\' && pattern->at < pattern->end) p = *pattern->at++;
    return same(p, c, ignore_case);
}

static void skip_stars(cursor *pattern)
{
    while (pattern->at < pattern->end && *pattern->at == '*')
        pattern->at++;
}

bool fe_glob_match(fe_bytes pattern, fe_bytes text, bool ignore_case)
{
    if (text.len == 0 || pattern.len == 0) return text.len == pattern.len;

    cursor walk = {pattern.ptr, pattern.ptr + pattern.len};
    const uint8_t *at = text.ptr;
    const uint8_t *end = text.ptr + text.len;
    const uint8_t *star_pattern = NULL; /* what follows the last star */
    const uint8_t *star_text = NULL;    /* the first byte that the star did not take */

    for (;;) {
        if (walk.at < walk.end && *walk.at == '*') {
            skip_stars(&walk);
            if (walk.at == walk.end) return true;
            star_pattern = walk.at;
            star_text = at;
        } else if (walk.at < walk.end && match_one(&walk, *at, ignore_case)) {
            at++;
            if (at < end) continue;
            skip_stars(&walk);
            if (walk.at == walk.end) return true;
        } else {
            at = end;
        }
        if (at == end) {
            if (star_pattern == NULL || ++star_text == end) return false;
            at = star_text;
            walk.at = star_pattern;
        }
    }
}

bool fe_glob_is_literal(fe_bytes pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        uint8_t c = pattern.ptr[i];
        if (c == '*' || c == '?' || c == '[' || c == '\\') return false;
    }
    return true;
}
