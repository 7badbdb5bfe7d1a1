/* The segment file: what a segment's bytes look like on disk, version 1.
 *
 *     byte 0                        used     image_size                              file_size
 *     +--------+--------+---   ---+--------+----+---------+---------+---   ---+------+---------+
 *     | record | filler |   ...   | record | 0  | block 0 | block 1 |   ...   | block n - 1    |
 *     +--------+--------+---   ---+--------+----+---------+---------+---   ---+------+---------+
 *     |<-- the segment's bytes, same offsets -->|<-- footer: 4096 bytes each ------->| trailer |
 *
 * All numbers are little-endian. image_size is `used` rounded up to 4096, what lies between is zero.
 *
 *   record: as in memory (store/record.h), except that bytes 4..7 hold the CRC-32C of the whole
 *     record, taken with these four bytes as zero. Its keyspace is in its footer entry.
 *   filler: as a record, checksum included; its bytes from 8 on are zero, so that what has been
 *     deleted or overwritten in memory does not reach the disk.
 *
 *   footer block: entries in ascending order of offset. It is sound or damaged by itself, so that a
 *   reader needs no more than one block at a time, and no memory that grows with the segment.
 *
 *     0         4         8           12       16                          16 + n * entry_size
 *     +---------+---------+-----------+--------+---------+---   ---+---------+--------------+
 *     | crc     | number  | generation| block  | entry 0 |   ...   | entry   | zero         |
 *     +---------+---------+-----------+--------+---------+---   ---+---------+--------------+
 *
 *     crc: CRC-32C of the block's bytes from 4 on; in the last block up to the trailer, which begins
 *     at its byte 3968. A full block has 255 entries of 16 bytes or 170 of 24; the last block at most
 *     247 or 164. When the entries fill a block further than that, an empty last block follows.
 *
 *   entry: 16 bytes, or 24 in the files of segments with a record that has a deadline.
 *
 *     0                  8                                         16                  24
 *     +------------------+-----------------------------------------+-------------------+
 *     | keyed hash of    | offset / 8  |  size / 8   |  keyspace   | deadline, Unix ms |
 *     | the key, 64 bits | bits 0..21  | bits 22..51 | bits 52..63 | (0: none)         |
 *     +------------------+-----------------------------------------+-------------------+
 *
 *     22 bits span the largest ordinary segment (32 MiB); a larger one holds one record, at 0.
 *
 *   trailer: the last 128 bytes of the file, struct fe_image_head as it stands.
 *
 * Records that were dead when the file was written lie in the image, without an entry. So every byte
 * of the file is covered by a checksum, or is zero between `used` and image_size.
 *
 * Whatever the bytes are, nothing here reads outside of what it was given or trusts a length that it
 * has not checked. Pure functions; no I/O.
 */
#ifndef FE_STORE_IMAGE_H
#define FE_STORE_IMAGE_H

#include "base/hash.h"
#include "base/status.h"
#include "store/record.h"

#define FE_IMAGE_MAGIC 0x4745534952524546ull /* "FERRISEG" */
#define FE_IMAGE_VERSION 1u
#define FE_IMAGE_BLOCK ((size_t)4096) /* of the footer, and the grain of the file's size */
#define FE_IMAGE_TRAILER ((size_t)128)
#define FE_IMAGE_ENTRY ((size_t)16)
#define FE_IMAGE_ENTRY_DEADLINE ((size_t)24)
#define FE_IMAGE_BLOCK_HEAD ((size_t)16)
#define FE_IMAGE_MIXED 0xffffu /* fe_image_head.keyspace: records of several */

/* The trailer, as it lies in the file. */
typedef struct fe_image_head {
    uint64_t magic;
    uint32_t version;
    uint32_t entry_size; /* 16 or 24 */
    uint32_t number;     /* of the segment, >= 1 */
    uint32_t generation;
    uint64_t sequence;
    uint64_t used;        /* bytes of the segment, a multiple of 8, > 0 */
    uint64_t live;        /* of them, in records that have an entry */
    uint32_t records;     /* entries in the footer */
    uint32_t expires;     /* of them, with a deadline */
    int64_t deadline_min; /* of those; 0 when there are none */
    int64_t deadline_max;
    int64_t created_ms;  /* Unix milliseconds */
    uint64_t seed_check; /* the keyed hash of "ferrite": files of one store have the same */
    uint32_t record_max; /* size of the largest record that has an entry, in 8-byte units */
    uint32_t keyspace;   /* of all entries, or FE_IMAGE_MIXED; 0 without entries */
    uint32_t zero[7];
    uint32_t crc; /* CRC-32C of the 124 bytes before it */
} fe_image_head;

_Static_assert(sizeof(fe_image_head) == FE_IMAGE_TRAILER, "the trailer's size is fixed");
_Static_assert(offsetof(fe_image_head, used) == 32, "");
_Static_assert(offsetof(fe_image_head, deadline_min) == 56, "");
_Static_assert(offsetof(fe_image_head, seed_check) == 80, "");
_Static_assert(offsetof(fe_image_head, crc) == 124, "");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs are the format");

typedef struct fe_footer_entry {
    uint64_t hash;     /* of the key, keyed with the store's seed */
    int64_t deadline;  /* Unix ms; 0: none */
    uint32_t offset;   /* in the image, 8-byte units */
    uint32_t size;     /* of the record, 8-byte units */
    uint32_t keyspace; /* id, 1..4095 */
} fe_footer_entry;

/* What is wrong, in words (a constant text), and at which byte of the file. */
typedef struct fe_image_fault {
    uint64_t offset;
    const char *cause;
} fe_image_fault;

/* Writing. ------------------------------------------------------------------------------------- */

/* What a first walk over a segment finds. */
typedef struct fe_image_plan {
    uint32_t records;
    bool deadlines;  /* some record has one */
    size_t size_max; /* of the file; fe_image_build needs as much */
} fe_image_plan;

/* Says that a record need not be listed, because nothing can reach it any more; a record once dead
 * stays so. */
typedef bool fe_image_dead(void *context, uint64_t offset, const fe_record *record);

typedef struct fe_image_source {
    const uint8_t *base; /* the segment, frozen; walking it ends at `used` exactly */
    size_t used;
    uint32_t number, generation;
    uint64_t sequence;
    int64_t created_ms;
    fe_hash_seed seed;
    fe_image_dead *is_dead; /* NULL: none is */
    void *context;          /* of is_dead */
} fe_image_source;

/* The size of the file: `used` > 0 bytes of segment, `records` entries of one of the two sizes. */
size_t fe_image_size(size_t used, uint32_t records, bool deadlines);

fe_image_plan fe_image_plan_make(const uint8_t *base, size_t used);

/* Writes the file of a segment that `plan` was made of into `out` (plan->size_max bytes, aligned to
 * 8; device writes want 4096), and its trailer into `head` as well. Returns the file's size: less
 * than size_max when enough records were dead. Each record's word is read once. */
size_t fe_image_build(const fe_image_source *source, const fe_image_plan *plan, uint8_t *out,
                      fe_image_head *head);

/* The same of a segment that is one record of at least FE_IMAGE_LONG bytes, without a copy of it: the file is
 * `size[0]` bytes at `at[0]`, and so on; the middle is the segment's own memory, the others lie in `out`. */
#define FE_IMAGE_LONG ((size_t)256 << 10)
#define FE_IMAGE_ENDS (3 * FE_IMAGE_BLOCK) /* bytes of `out` */
typedef struct fe_image_pieces {
    const uint8_t *at[3];
    size_t size[3];
} fe_image_pieces;
size_t fe_image_build_long(const fe_image_source *source, const fe_image_plan *plan, uint8_t *out,
                           fe_image_pieces *pieces, fe_image_head *head);
bool fe_image_is_long(const fe_image_source *source, const fe_image_plan *plan);

/* Adds an entry to what the trailer says of all of them: records, live, expires, ... */
void fe_image_head_add(fe_image_head *head, const fe_footer_entry *entry);

/* Reading. The functions that return bool say false for damage, and leave in `fault` what it is. -- */

/* Where the footer begins, how many blocks it has, and where the file ends, of a sound trailer. */
uint64_t fe_image_footer_offset(const fe_image_head *head);
uint32_t fe_image_footer_blocks(const fe_image_head *head);
uint64_t fe_image_file_size(const fe_image_head *head);

/* Reads the trailer from the last `size` bytes of a file of `file_size`. */
FE_MUST_USE bool fe_image_read_trailer(const uint8_t *data, size_t size, uint64_t file_size,
                                       fe_image_head *head, fe_image_fault *fault);

/* The entries of one sound footer block, in order; borrows the block's bytes. */
typedef struct fe_footer_block {
    const uint8_t *at;
    uint32_t left;
    uint32_t entry_size;
} fe_footer_block;

/* Checks block `block` of the footer (FE_IMAGE_BLOCK bytes at `data`) and all entries in it: within
 * the image, in order, without overlap, as the trailer says. */
FE_MUST_USE bool fe_footer_open(const fe_image_head *head, uint32_t block, const uint8_t *data,
                                fe_footer_block *entries, fe_image_fault *fault);
bool fe_footer_next(fe_footer_block *entries, fe_footer_entry *entry);

/* How many entries lie in the blocks before `block`. */
uint32_t fe_footer_first(const fe_image_head *head, uint32_t block);

#define FE_IMAGE_IMPOSSIBLE SIZE_MAX

/* The size of the record that begins at `data`: 0 when more than `have` bytes are needed to say it
 * (32 are always enough), FE_IMAGE_IMPOSSIBLE when no record of this version begins like that. */
size_t fe_image_record_size(const uint8_t *data, size_t have);

/* Whether `size` bytes at `data` are one whole record with the right checksum. */
bool fe_image_record_check(const uint8_t *data, size_t size);

/* The checksum that bytes 4..7 of a record or filler should hold, of its first `have` >= 8 bytes; go
 * on with fe_crc32c over the rest of one that is read in pieces. */
uint32_t fe_image_record_crc(const uint8_t *data, size_t have);

/* Puts keyspace and access in place of the checksum: the record is as it was in memory. */
void fe_image_record_restore(fe_record *record, uint32_t keyspace, uint32_t access);

#endif
