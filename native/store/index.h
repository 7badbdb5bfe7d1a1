/* The index of one keyspace: from the hash of a key to the address of its record. Linear hashing
 * over cache lines.
 *
 *     bucket (64 bytes):  | slot 0 | slot 1 | ... | slot 6 | slot 7, or link |
 *     node (32 bytes):    | slot 0 | slot 1 | slot 2 | slot 3, or link |
 *
 *     slot:  bit 63  62      61          60             59 .. 40     39 .. 0
 *            +------+-------+-----------+--------------+------------+-----------+
 *            | LINK | SHORT | UNSETTLED | HAS_DEADLINE | tag        | address   |
 *            +------+-------+-----------+--------------+------------+-----------+
 *
 * A bucket with more than eight slots has a link in its last word: the number of an overflow node,
 * whose last word may be a link again. The words of a chain are filled from the front; a word 0 is
 * empty, and so is everything behind it.
 *
 * The tag holds 20 bits of the hash from bit (level & ~7) on, where `level` is how many low bits
 * the bucket's number uses. A tag therefore holds the bit that decides a split in seven splits of
 * eight; only the eighth must read keys. Where it would have to read a key from disk, it leaves a
 * SHORT slot: the 12 low bits of its tag are right, the 8 others 0, until fe_index_refill.
 *
 * UNSETTLED: the key was written without waiting for the disk, while another slot of its chain, with
 * the same tag, names a record on disk that may be an older one of the same key.
 *
 * Threads: the engine's lock is held for every call.
 */
#ifndef FE_STORE_INDEX_H
#define FE_STORE_INDEX_H

#include "base/hash.h"
#include "base/random.h"
#include "store/log.h"
#include "store/prefetch.h"

#define FE_SLOT_DEADLINE (1ull << 60)
#define FE_SLOT_UNSETTLED (1ull << 61)
#define FE_SLOT_SHORT (1ull << 62)
#define FE_SLOT_LINK (1ull << 63)
#define FE_INDEX_BUCKET_WORDS 8u
#define FE_INDEX_NODE_WORDS 4u
#define FE_INDEX_BUCKET_BYTES 64u
#define FE_INDEX_CHUNK_BITS 15u /* buckets per chunk: 2 MiB, one huge page */
#define FE_INDEX_CHUNK_BUCKETS (1u << FE_INDEX_CHUNK_BITS)
#define FE_INDEX_CHUNK_BYTES ((size_t)FE_INDEX_CHUNK_BUCKETS * FE_INDEX_BUCKET_BYTES)

typedef struct fe_index_nodes {
    uint64_t **chunks;    /* pages of nodes; NULL where a chunk was given back */
    uint16_t *free_first; /* per chunk: first free node that was used before, + 1; or 0 */
    uint16_t *fresh;      /* per chunk: nodes that were ever used */
    uint16_t *used;       /* per chunk: nodes in use */
    uint64_t *open;       /* bitmap: chunks with a free node */
    uint32_t chunk_count, chunk_capacity;
    uint32_t chunks_mapped;
    uint32_t free_count;  /* free nodes in mapped chunks */
    uint32_t empty_count; /* mapped chunks without a node in use */
    uint32_t used_count;
} fe_index_nodes;

/* Shows a check the record at an address on disk; NULL when there is none. */
typedef const fe_record *fe_cold_view(void *context, fe_address address);

/* What all indexes of a store share. */
typedef struct fe_index_space {
    fe_alloc *alloc;
    fe_trash_list *trash;
    const fe_log *log; /* the records, for tags that must be refilled */
    const fe_hash_seed *seed;
    uint64_t *spare;         /* a zeroed chunk made ahead of need, accounted as INDEX; or NULL */
    uint8_t *node_pages;     /* likewise, from whose end pages of nodes are cut; or NULL */
    size_t node_pages_bytes; /* what is left of it */
    uint64_t used_max;       /* no index grows while `alloc` is above this; 0: no bound */
    uint64_t starved;   /* bytes that this bound refused to an index; 0 when one has grown since */
    bool deferred;      /* an insert or a removal left a split or a merge to fe_index_step */
    fe_cold_view *view; /* for fe_index_check, set by tests; else NULL */
    void *view_context;
} fe_index_space;

typedef struct fe_index {
    uint64_t **chunks; /* buckets; all are full size but the last, which grows in small steps */
    uint32_t chunk_count, chunk_capacity;
    uint64_t version;  /* changes whenever `chunks` does */
    size_t last_bytes; /* how much of the last chunk is in use; of all others, all is */
    uint64_t split;    /* the next bucket to split; buckets below it use level + 1 bits */
    unsigned level;
    uint8_t tag_shift[2]; /* where the tag begins in a hash, with `level` bits and with one more */
    uint64_t mask;        /* 2^level - 1 */
    uint64_t buckets;     /* 2^level + split; 0: nothing is mapped */
    uint64_t count;       /* slots in use */
    uint64_t shorts;      /* of them SHORT */
    uint64_t shape;       /* changes whenever a slot may have moved */
    uint32_t longest;     /* no chain holds more slots than this */
    fe_index_nodes nodes;
    uint64_t splits, merges;
    uint64_t bytes; /* mapped */
    fe_index_space *space;
} fe_index;

/* `space` outlives the index. No memory is taken before the first insert. */
void fe_index_init(fe_index *index, fe_index_space *space);
/* Forgets all slots; the memory goes to the trash. The index is empty and usable afterwards. */
void fe_index_reset(fe_index *index);
/* The same, but its slots and memory go to `taken`, to be looked at and reset. */
void fe_index_take(fe_index *index, fe_index *taken);

static inline fe_address fe_slot_address(uint64_t slot)
{
    return slot & FE_ADDRESS_MASK;
}

/* Where a hash belongs now: its bucket, and the tag (in place) that its slot has there. */
static inline uint64_t *fe_index_bucket(const fe_index *index, uint64_t bucket)
{
    return index->chunks[bucket >> FE_INDEX_CHUNK_BITS] +
           (bucket & (FE_INDEX_CHUNK_BUCKETS - 1)) * FE_INDEX_BUCKET_WORDS;
}

static inline uint64_t fe_index_number(const fe_index *index, uint64_t hash)
{
    uint64_t low = hash & index->mask;
    return low < index->split ? hash & (2 * index->mask + 1) : low;
}

static inline void fe_index_prefetch(const fe_index *index, uint64_t hash)
{
    if (index->buckets != 0) fe_prefetch(fe_index_bucket(index, fe_index_number(index, hash)));
}
/* Asks for the record, if the bucket's own slots name it; else for the first overflow node, and
 * returns true: call fe_index_prefetch_behind a little later. */
bool fe_index_prefetch_record(const fe_index *index, uint64_t hash);
void fe_index_prefetch_behind(const fe_index *index, uint64_t hash);

/* The slot of the key, and its record; NULL when it is not there. */
uint64_t *fe_index_find(const fe_index *index, fe_bytes name, uint64_t hash, fe_record **record);
/* The slot that holds this address under this hash, or NULL. Reads no record. */
uint64_t *fe_index_find_address(const fe_index *index, uint64_t hash, fe_address address);
/* The first slot behind `after` (NULL: of all) that may be the key's and whose record is on disk;
 * NULL when there is none. */
uint64_t *fe_index_find_cold(const fe_index *index, uint64_t hash, const uint64_t *after);
/* The slot whose address is `home`, or that of its copy in the read cache; NULL: none. */
uint64_t *fe_index_find_home(const fe_index *index, uint64_t hash, fe_address home);
/* What a slot of this bucket tells of its key's hash; the other bits are 0. The slot is found under
 * it (fe_index_find_address) for as long as it is there. */
uint64_t fe_index_hash_known(const fe_index *index, uint64_t bucket, uint64_t slot);
/* How many low bits of that are told. */
unsigned fe_index_bits_known(const fe_index *index, uint64_t bucket, uint64_t slot);
/* Gives a slot its whole tag back. */
void fe_index_refill(fe_index *index, uint64_t hash, uint64_t *slot);

/* Adds a slot for a key that has none. NULL without memory; then nothing has changed. May split up
 * to two buckets first; but neither this nor a removal makes a slot match a hash that it did not
 * match before (no tag of a record on disk loses bits): a command may rely on what it has looked up. */
uint64_t *fe_index_insert(fe_index *index, uint64_t hash, fe_address address, bool deadline);
/* Removes the slot; others of its chain may move. */
void fe_index_remove(fe_index *index, uint64_t hash, uint64_t *slot);

static inline void fe_slot_set(uint64_t *slot, fe_address address, bool deadline)
{
    *slot = (*slot & ~(FE_ADDRESS_MASK | FE_SLOT_DEADLINE)) | address |
            (deadline ? FE_SLOT_DEADLINE : 0);
}

/* Splits or merges at most `buckets` buckets if the load asks for it; whether more are due. */
bool fe_index_step(fe_index *index, uint32_t buckets);

/* Whether the index will soon need another chunk, or more pages of nodes than it has; and whether
 * what was made for that is still of use. */
bool fe_index_wants_spare(const fe_index *index);
bool fe_index_wants_node_pages(const fe_index *index);
bool fe_index_keeps_spare(const fe_index *index);
bool fe_index_keeps_node_pages(const fe_index *index);

/* Loading what was saved (store/save.h) into an empty index: room for `buckets` (at least 4) of
 * them, even if a bound on memory is passed; then each bucket's slots once. False without memory: the
 * index is to be reset. */
FE_MUST_USE bool fe_index_load_begin(fe_index *index, uint64_t buckets);
FE_MUST_USE bool fe_index_load_bucket(fe_index *index, uint64_t bucket, const uint64_t *slots,
                                      uint32_t count);
/* Whether such a slot can be in that bucket: its tag begins with the last bits of the bucket's
 * number. */
bool fe_index_slot_fits(const fe_index *index, uint64_t bucket, uint64_t slot);

/* All slots of one bucket's chain, in order; `visit` must not change the index. */
typedef void fe_index_visit(void *context, uint64_t slot);
uint32_t fe_index_visit_bucket(const fe_index *index, uint64_t bucket, fe_index_visit *visit,
                               void *context);

/* Visits at least one cursor position and returns the next cursor, 0 at the end; see fe_store_scan.
 * `*slots` counts what was visited. */
uint64_t fe_index_scan(const fe_index *index, uint64_t cursor, fe_index_visit *visit, void *context,
                       uint64_t *slots);

/* A uniformly random slot, and its bucket unless that is NULL; NULL when empty. */
uint64_t *fe_index_random_in(const fe_index *index, fe_random *random, uint64_t *bucket);
static inline uint64_t *fe_index_random(const fe_index *index, fe_random *random)
{
    return fe_index_random_in(index, random, NULL);
}

/* Checks structure, tags and counts against the records of keyspace `id`; NULL or what is wrong.
 * Slots of records on disk are taken as they are, unless the space has a view. */
const char *fe_index_check(const fe_index *index, uint32_t id);

#endif
