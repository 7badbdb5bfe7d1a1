/* What a clean stop leaves in the data folder beside the segments, version 1: the format.
 *
 * `manifest`: text, written last and removed before anything changes. While it is there, the folder is
 * a whole.
 *
 *     ferrite-py manifest 1
 *     server 0.4.0                      who wrote it
 *     saved 1763724000000               Unix milliseconds
 *     index index-1 41943040 9f3c2a10   file, its bytes, their CRC-32C
 *     keys 5000000
 *     segments 1280
 *     end 1a2b3c4d                      CRC-32C of all bytes before this line
 *
 * The index file: a head, then sections one behind the other, each with its own checksum. All numbers
 * are little-endian.
 *
 *     +------+----------+---   ---+-----+----------+-------+---   ---+----------+---   ---+
 *     | head | SEGMENTS |   ...   | IDS | DATABASE | SLOTS |   ...   | DATABASE |   ...   |
 *     +------+----------+---   ---+-----+----------+-------+---   ---+----------+---   ---+
 *
 *   section: 16 bytes (struct fe_save_section), then up to 1 MiB of payload, a multiple of 8.
 *   SEGMENTS: a row (struct fe_save_segment) for each segment number from 1 to the highest, free ones
 *     too. As many rows as fit into each section.
 *   IDS: a byte for each keyspace id, 0 to 4095: its state (fe_id_state).
 *   DATABASE: struct fe_save_database; in ascending order of number, each number once. Then its
 *     index, when it has any buckets:
 *   SLOTS: 8-byte words. Each bucket of the index, in order, is its slots in the order of its chain;
 *     the last has bit 63 set. An empty bucket is one word with only bit 63. Slots are as in memory
 *     (store/index.h), with addresses of segments that have a file. As many words as fit into each
 *     section.
 *
 * Pure functions; whatever the bytes are, nothing outside of what was given is read. What a section
 * means together with others is checked by who loads it.
 */
#ifndef FE_STORE_SAVE_FORMAT_H
#define FE_STORE_SAVE_FORMAT_H

#include "base/hash.h"
#include "base/status.h"
#include "store/deadlines.h"

#include <stdbool.h>

#define FE_SAVE_VERSION 1u
#define FE_SAVE_MANIFEST "manifest"
#define FE_SAVE_MANIFEST_MAX 512u
#define FE_SAVE_INDEXES 2u /* index-1 and index-2: the one that a manifest does not name is free */
#define FE_SAVE_MAGIC 0x5844495252454646ull /* "FFERRIDX" */
#define FE_SAVE_SECTION_MAX ((size_t)1 << 20)
#define FE_SAVE_SERVER_MAX 31u
#define FE_SAVE_LAST (1ull << 63) /* of a word of SLOTS */
#define FE_SAVE_IDS 4096u

typedef struct fe_save_manifest {
    char server[FE_SAVE_SERVER_MAX + 1]; /* without blanks */
    int64_t saved_ms;
    uint32_t index; /* 1 or 2 */
    uint64_t index_bytes;
    uint32_t index_crc;
    uint64_t keys, segments;
} fe_save_manifest;

/* The head of the index file. */
typedef struct fe_save_head {
    uint64_t magic;
    uint32_t version;
    uint32_t databases;
    fe_hash_seed seed;
    int64_t saved_ms;
    uint64_t sequence; /* of the newest segment */
    uint64_t keys;     /* of all databases */
    uint32_t high;     /* the highest segment number ever used: so many rows follow */
    uint32_t offset_bits;
    uint32_t id_last; /* the keyspace id that was given out last */
    uint32_t zero[14];
    uint32_t crc; /* of the bytes before it */
} fe_save_head;

typedef enum fe_save_kind {
    FE_SAVE_SEGMENTS = 1,
    FE_SAVE_STATES,
    FE_SAVE_DATABASE,
    FE_SAVE_SLOTS
} fe_save_kind;

typedef struct fe_save_section {
    uint32_t crc; /* of the rest of this, and the payload */
    uint32_t kind;
    uint32_t ordinal; /* of the section, from 0 */
    uint32_t bytes;   /* of payload */
} fe_save_section;

typedef struct fe_save_segment {
    uint32_t generation;
    uint32_t record_max; /* size of the largest record, 8-byte units */
    uint64_t sequence;
    uint64_t bytes; /* of memory that it once had */
    uint64_t used;  /* 0: the number is free, and all but `generation` is 0 */
    uint64_t live;
    uint64_t file_size;
    int64_t frozen_ms;
    uint16_t keyspace;
    uint8_t role;
    uint8_t miscounted; /* 1: `live` is too high, for records of keyspaces that are dead */
    uint8_t zero[4];
    fe_deadlines deadlines;
} fe_save_segment;

typedef struct fe_save_database {
    uint32_t number;
    uint32_t keyspace; /* id */
    uint64_t keys;
    uint64_t expires;
    uint64_t sum_low, sum_high; /* of the deadlines, 128 bits */
    uint64_t buckets;           /* 2^level + split of its index; 0 without keys */
} fe_save_database;

_Static_assert(sizeof(fe_save_head) == 128, "the head's size is fixed");
_Static_assert(sizeof(fe_save_section) == 16, "");
_Static_assert(sizeof(fe_save_segment) == 128, "");
_Static_assert(sizeof(fe_save_database) == 48, "");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs are the format");

/* What is wrong, in words (a constant text), and at which byte. */
typedef struct fe_save_fault {
    uint64_t offset;
    const char *cause;
} fe_save_fault;

/* Writes the text, without terminator; returns its length. */
size_t fe_save_manifest_write(const fe_save_manifest *manifest, char text[FE_SAVE_MANIFEST_MAX]);
/* Checks and reads it. False with the fault; it says so when the version is a newer one. */
FE_MUST_USE bool fe_save_manifest_read(const char *text, size_t size, fe_save_manifest *manifest,
                                       fe_save_fault *fault);

uint32_t fe_save_head_crc(const fe_save_head *head);
uint32_t fe_save_section_crc(const fe_save_section *section, const uint8_t *payload);

/* Checks head and rows by themselves. */
FE_MUST_USE bool fe_save_head_check(const fe_save_head *head, fe_save_fault *fault);
/* NULL, or what is wrong with it. */
const char *fe_save_segment_check(const fe_save_segment *row, const fe_save_head *head);
const char *fe_save_database_check(const fe_save_database *row, const fe_save_head *head);

#endif
