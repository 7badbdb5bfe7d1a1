/* Keys that are gone, and why: fingerprints in a table of fixed size, so that a miss can be told
 * apart from one of a key that was never there. It may err, in both directions: of what is older
 * than it has room for it knows nothing, and a stranger may look like a key that is gone.
 *
 *     line:  | fingerprint: 16 | x 28 | reason: 2 | x 28 | next: 8 |     64 bytes, one cache line
 *
 * The low bits of a hash choose the line, the 16 above them are the fingerprint; 0 is an empty place
 * (a fingerprint of 0 is taken for 1). `next` is the place that is written next, in a circle: the
 * oldest gives way, after 28 others of its line. What is written where nothing is needed moves to an
 * empty place first.
 *
 * WEAK entries: of a key that went with its whole database only some low bits of the hash are known
 * (store/index.h). Its fingerprint has 0 where they are not, and its reason is FLUSHED. A look-up
 * asks for those under each mask that is in use.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_STORE_GONE_H
#define FE_STORE_GONE_H

#include "store/prefetch.h"
#include "store/trash.h"

/* Why a look-up found nothing. */
typedef enum fe_miss {
    FE_MISS_NEVER_SEEN, /* or longer ago than the table reaches */
    FE_MISS_EXPIRED,
    FE_MISS_EVICTED, /* given up by the server: for room, or by order because it was damaged */
    FE_MISS_DELETED,
    FE_MISS_FLUSHED,
    FE_MISS_COUNT
} fe_miss;

#define FE_GONE_LINE_KEYS 28u
#define FE_GONE_LINE_BYTES 64u
#define FE_GONE_BYTES_MIN 4096u
#define FE_GONE_BYTES_MAX (16u << 20)

typedef struct fe_gone_line {
    uint16_t marks[FE_GONE_LINE_KEYS];
    uint8_t reasons[FE_GONE_LINE_KEYS / 4];
    uint8_t next;
} fe_gone_line;

typedef struct fe_gone {
    fe_gone_line *lines; /* NULL: it knows nothing */
    uint64_t count;      /* of lines, a power of two */
    unsigned bits;       /* 2^bits lines */
    uint64_t keys[FE_MISS_COUNT];
    uint64_t forgotten; /* since the start: keys that gave way, or for which there was no room */
    uint16_t weak;      /* bit n: there may be WEAK entries of n bits */
    uint64_t weak_keys[16]; /* how many were ever noted, while there are any; 0 where none are */
} fe_gone;

/* A table of at most `bytes` (rounded down to a power of two, within the bounds above); 0: none. When
 * the size changes, all is forgotten. Without memory it knows nothing. */
void fe_gone_resize(fe_gone *gone, fe_alloc *alloc, fe_trash_list *trash, uint64_t bytes);
void fe_gone_close(fe_gone *gone, fe_alloc *alloc);

/* A key ends, for this reason (not NEVER_SEEN). */
void fe_gone_note(fe_gone *gone, uint64_t hash, fe_miss reason);
/* A key went with its database: of its hash the low `known` bits are right. `late`: other keys have
 * ended since, and what is known of this one already is newer. */
void fe_gone_note_flushed(fe_gone *gone, uint64_t hash, unsigned known, bool late);
/* The key is there again. */
void fe_gone_forget(fe_gone *gone, uint64_t hash);
/* Why a key that is not there is not. */
fe_miss fe_gone_look(const fe_gone *gone, uint64_t hash);

/* Nothing is remembered: then no line is looked at. */
static inline bool fe_gone_is_empty(const fe_gone *gone)
{
    uint64_t any = 0;
    for (unsigned reason = FE_MISS_EXPIRED; reason < FE_MISS_COUNT; reason++)
        any |= gone->keys[reason];
    return any == 0;
}

/* Asks for the line that one of these calls is going to need. */
static inline void fe_gone_prefetch(const fe_gone *gone, uint64_t hash)
{
    if (!fe_gone_is_empty(gone)) fe_prefetch(&gone->lines[hash & (gone->count - 1)]);
}

static inline uint64_t fe_gone_capacity(const fe_gone *gone)
{
    return gone->count * FE_GONE_LINE_KEYS;
}
static inline uint64_t fe_gone_bytes(const fe_gone *gone)
{
    return gone->count * FE_GONE_LINE_BYTES;
}
/* Keys that it remembers now. */
uint64_t fe_gone_keys(const fe_gone *gone);
/* How likely a key that was never there is taken for one that is gone, by what is in the table now;
 * with WEAK entries an upper bound. */
double fe_gone_error(const fe_gone *gone);

/* NULL, or what is wrong. */
const char *fe_gone_check(const fe_gone *gone);

#endif
