/* LZF: literals and references into the last 8 KiB of the output.
 *
 *     000lllll                      l + 1 literal bytes follow (1 to 32)
 *     lllooooo oooooooo             l = 1 to 6: copy l + 2 bytes from o + 1 bytes back
 *     111ooooo llllllll oooooooo    copy l + 9 bytes (9 to 264) from o + 1 bytes back
 *
 * A copy may overlap what it writes: then it repeats a pattern.
 *
 * The compressor remembers for each hash of three bytes the last position where they were seen, and
 * takes the first match that it finds: DUMP wants speed more than the last percent.
 *
 * Threads: pure functions.
 */
#include "value/lzf.h"

#include "base/assert.h"

enum {
    LITERALS_MAX = 32,
    MATCH_MIN = 3,
    MATCH_MAX = 264,
    SHORT_MATCH_MAX = 8, /* longer ones have a length byte of their own */
    DISTANCE_MAX = 8192,
    HASH_BITS = 13,
};

/* -- compressing -- */

/* Where compressed bytes go; `full` sticks. */
typedef struct writer {
    uint8_t *out;
    size_t len;
    size_t cap;
    bool full;
} writer;

static void put(writer *to, const uint8_t *bytes, size_t len)
{
    if (to->full || to->cap - to->len < len) {
        to->full = true;
        return;
    }
    memcpy(to->out + to->len, bytes, len);
    to->len += len;
}

static void put_literals(writer *to, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t run = len < LITERALS_MAX ? len : LITERALS_MAX;
        uint8_t control = (uint8_t)(run - 1);
        put(to, &control, 1);
        put(to, bytes, run);
        bytes += run;
        len -= run;
    }
}

static void put_match(writer *to, size_t distance, size_t len)
{
    size_t back = distance - 1;

    if (len <= SHORT_MATCH_MAX) {
        uint8_t bytes[] = {(uint8_t)((len - 2) << 5 | back >> 8), (uint8_t)back};
        put(to, bytes, sizeof bytes);
    } else {
        uint8_t bytes[] = {(uint8_t)(7U << 5 | back >> 8), (uint8_t)(len - 9), (uint8_t)back};
        put(to, bytes, sizeof bytes);
    }
}

static uint32_t hash_three(const uint8_t *bytes)
{
    uint32_t word = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
    return (word * 2654435761U) >> (32 - HASH_BITS);
}

static size_t match_len(fe_bytes in, size_t from, size_t at)
{
    size_t most = in.len - at < MATCH_MAX ? in.len - at : MATCH_MAX;
    size_t len = 0;

    while (len < most && in.ptr[from + len] == in.ptr[at + len])
        len++;
    return len;
}

size_t fe_lzf_compress(fe_bytes in, uint8_t *out, size_t out_cap)
{
    FE_ASSERT(in.len < UINT32_MAX);
    uint32_t seen[1U << HASH_BITS] = {0}; /* position + 1, so that 0 says never */
    writer to = {out, 0, out_cap, false};
    size_t literals_at = 0, at = 0;

    while (in.len - at >= MATCH_MIN && !to.full) {
        uint32_t *slot = &seen[hash_three(in.ptr + at)];
        size_t before = *slot;
        *slot = (uint32_t)at + 1;
        size_t distance = at + 1 - before;
        size_t len = before == 0 || distance > DISTANCE_MAX ? 0 : match_len(in, before - 1, at);
        if (len < MATCH_MIN) {
            at++;
            continue;
        }
        put_literals(&to, in.ptr + literals_at, at - literals_at);
        put_match(&to, distance, len);
        at += len;
        literals_at = at;
    }
    put_literals(&to, in.ptr + literals_at, in.len - literals_at);
    return to.full ? 0 : to.len;
}

/* -- decompressing -- */

/* Untrusted bytes; reading behind the end gives false. */
typedef struct reader {
    fe_bytes in;
    size_t at;
} reader;

static bool take(reader *from, size_t *byte)
{
    if (from->at == from->in.len) return false;
    *byte = from->in.ptr[from->at++];
    return true;
}

/* Reads the rest of a reference; false when it is cut off. */
static bool take_match(reader *from, size_t control, size_t *distance, size_t *len)
{
    size_t low, more = 0;

    if (control >> 5 == 7 && !take(from, &more)) return false;
    if (!take(from, &low)) return false;
    *len = (control >> 5) + more + 2;
    *distance = ((control & 31) << 8 | low) + 1;
    return true;
}

bool fe_lzf_decompress(fe_bytes in, uint8_t *out, size_t out_len)
{
    reader from = {in, 0};
    size_t at = 0, control;

    while (take(&from, &control)) {
        size_t len = control + 1, distance;
        if (control < LITERALS_MAX) {
            if (len > in.len - from.at || len > out_len - at) return false;
            memcpy(out + at, in.ptr + from.at, len);
            from.at += len;
            at += len;
            continue;
        }
        if (!take_match(&from, control, &distance, &len)) return false;
        if (distance > at || len > out_len - at) return false;
        for (size_t end = at + len; at < end; at++)
            out[at] = out[at - distance];
    }
    return at == out_len;
}
