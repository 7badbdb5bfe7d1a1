/* See save_format.h. Pure functions. */
#include "store/save_format.h"
#include "base/crc.h"
#include "store/log.h"

#include <stdio.h>

#define TITLE "ferrite-py manifest "
#define DIGITS_MAX 19u
#define TIME_MAX (1ll << 62) /* ms; differences of such times do not overflow */

/* The manifest --------------------------------------------------------------------------------- */

static uint32_t crc_of(const void *data, size_t size)
{
    return fe_crc32c(0, data, size);
}

size_t fe_save_manifest_write(const fe_save_manifest *manifest, char text[FE_SAVE_MANIFEST_MAX])
{
    int len =
        snprintf(text, FE_SAVE_MANIFEST_MAX,
                 TITLE "%u\nserver %s\nsaved %lld\nindex index-%u %llu %08x\nkeys %llu\n"
                       "segments %llu\n",
                 FE_SAVE_VERSION, manifest->server, (long long)manifest->saved_ms, manifest->index,
                 (unsigned long long)manifest->index_bytes, manifest->index_crc,
                 (unsigned long long)manifest->keys, (unsigned long long)manifest->segments);
    FE_ASSERT(len > 0 && (size_t)len + 16 < FE_SAVE_MANIFEST_MAX);
    size_t size = (size_t)len;
    int end = snprintf(text + size, FE_SAVE_MANIFEST_MAX - size, "end %08x\n", crc_of(text, size));
    return size + (size_t)end;
}

typedef struct text_reader {
    const char *at, *end;
} text_reader;

static bool read_word(text_reader *r, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) return false;
    r->at += len;
    return true;
}

static bool read_number(text_reader *r, uint64_t *number)
{
    const char *start = r->at;
    *number = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        if ((size_t)(r->at - start) == DIGITS_MAX - 1) return false;
        *number = *number * 10 + (uint64_t)(*r->at++ - '0');
    }
    return r->at > start && (*start != '0' || r->at == start + 1);
}

static bool read_hex(text_reader *r, uint32_t *number)
{
    *number = 0;
    if (r->end - r->at < 8) return false;
    for (const char *end = r->at + 8; r->at < end; r->at++) {
        char c = *r->at;
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) return false;
        *number = *number << 4 | (uint32_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

static bool read_server(text_reader *r, char server[FE_SAVE_SERVER_MAX + 1])
{
    size_t len = 0;
    while (r->at<r->end && * r->at> ' ' && *r->at <= '~' && len < FE_SAVE_SERVER_MAX)
        server[len++] = *r->at++;
    server[len] = 0;
    return len > 0;
}

static bool read_fields(text_reader *r, fe_save_manifest *m)
{
    uint64_t saved, index;
    if (!read_word(r, "\nserver ") || !read_server(r, m->server)) return false;
    if (!read_word(r, "\nsaved ") || !read_number(r, &saved)) return false;
    if (!read_word(r, "\nindex index-") || !read_number(r, &index)) return false;
    if (!read_word(r, " ") || !read_number(r, &m->index_bytes)) return false;
    if (!read_word(r, " ") || !read_hex(r, &m->index_crc)) return false;
    if (!read_word(r, "\nkeys ") || !read_number(r, &m->keys)) return false;
    if (!read_word(r, "\nsegments ") || !read_number(r, &m->segments)) return false;
    m->saved_ms = (int64_t)saved;
    m->index = (uint32_t)index;
    return index >= 1 && index <= FE_SAVE_INDEXES;
}

static bool fail(fe_save_fault *fault, uint64_t offset, const char *cause)
{
    *fault = (fe_save_fault){offset, cause};
    return false;
}

bool fe_save_manifest_read(const char *text, size_t size, fe_save_manifest *manifest,
                           fe_save_fault *fault)
{
    text_reader r = {text, text + size};
    uint64_t version;
    uint32_t crc;
    if (!read_word(&r, TITLE) || !read_number(&r, &version))
        return fail(fault, 0, "it is no manifest of ferrite-py");
    if (version > FE_SAVE_VERSION)
        return fail(fault, sizeof(TITLE) - 1, "it was written by a newer version of ferrite-py");
    if (version < FE_SAVE_VERSION)
        return fail(fault, sizeof(TITLE) - 1, "there is no such version");
    if (!read_fields(&r, manifest) || !read_word(&r, "\n"))
        return fail(fault, (uint64_t)(r.at - text), "it is damaged here");
    size_t covered = (size_t)(r.at - text);
    if (!read_word(&r, "end ") || !read_hex(&r, &crc) || !read_word(&r, "\n") || r.at != r.end)
        return fail(fault, (uint64_t)(r.at - text), "it is damaged here");
    if (crc != crc_of(text, covered)) return fail(fault, covered, "a wrong checksum");
    return true;
}

/* The index file ------------------------------------------------------------------------------- */

uint32_t fe_save_head_crc(const fe_save_head *head)
{
    return crc_of(head, offsetof(fe_save_head, crc));
}

uint32_t fe_save_section_crc(const fe_save_section *section, const uint8_t *payload)
{
    uint32_t crc = crc_of(&section->kind, sizeof(*section) - sizeof(section->crc));
    return fe_crc32c(crc, payload, section->bytes);
}

bool fe_save_head_check(const fe_save_head *head, fe_save_fault *fault)
{
    if (head->magic != FE_SAVE_MAGIC) return fail(fault, 0, "it is no index of ferrite-py");
    if (head->version > FE_SAVE_VERSION)
        return fail(fault, offsetof(fe_save_head, version),
                    "it was written by a newer version of ferrite-py");
    if (head->crc != fe_save_head_crc(head))
        return fail(fault, offsetof(fe_save_head, crc), "a wrong checksum");
    if (head->version < FE_SAVE_VERSION)
        return fail(fault, offsetof(fe_save_head, version), "there is no such version");
    if (head->databases < 1 || head->databases > 1024)
        return fail(fault, offsetof(fe_save_head, databases), "an impossible number of databases");
    if (head->offset_bits < (unsigned)__builtin_ctzll(FE_SEGMENT_MIN) - 3 ||
        head->offset_bits > (unsigned)__builtin_ctzll(FE_SEGMENT_MAX) - 3)
        return fail(fault, offsetof(fe_save_head, offset_bits), "an impossible segment size");
    if (head->high > FE_ADDRESS_MASK >> head->offset_bits)
        return fail(fault, offsetof(fe_save_head, high), "more segments than there can be");
    if (head->id_last > FE_KEYSPACE_MAX)
        return fail(fault, offsetof(fe_save_head, id_last), "an impossible keyspace");
    if (head->saved_ms < 0 || head->saved_ms > TIME_MAX)
        return fail(fault, offsetof(fe_save_head, saved_ms), "an impossible time");
    return true;
}

static bool is_zero(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0) return false;
    return true;
}

static const char *deadlines_check(const fe_deadlines *deadlines)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < FE_DEADLINES_BUCKETS; i++)
        total += deadlines->units[i];
    if (total != deadlines->total || deadlines->shift > 56) return "wrong sums of deadlines";
    if (deadlines->origin < -TIME_MAX || deadlines->origin > TIME_MAX) return "an impossible time";
    return NULL;
}

const char *fe_save_segment_check(const fe_save_segment *row, const fe_save_head *head)
{
    if (row->used == 0) {
        fe_save_segment rest = *row;
        rest.generation = 0;
        return is_zero(&rest, sizeof(rest)) ? NULL : "a free segment with properties";
    }
    if (row->generation == 0) return "a segment without a generation";
    if (row->sequence == 0 || row->sequence > head->sequence) return "an impossible sequence";
    if (row->used % 8 != 0 || row->used > row->bytes || row->bytes % 4096 != 0)
        return "an impossible size of a segment";
    if (row->role != FE_ROLE_FULL && row->role != FE_ROLE_OWN) return "an impossible role";
    if (row->role == FE_ROLE_FULL && row->bytes > (uint64_t)8 << head->offset_bits)
        return "a segment longer than its addresses";
    if (row->bytes > UINT32_MAX + (uint64_t)FE_SEGMENT_MAX)
        return "an impossible size of a segment";
    if (row->live == 0 || row->live > row->used || row->live % 8 != 0)
        return "an impossible number of live bytes";
    if ((uint64_t)row->record_max * 8 > row->used) return "an impossible size of a record";
    if (row->file_size < row->used || row->file_size % 4096 != 0) return "an impossible file size";
    if (row->frozen_ms < -TIME_MAX || row->frozen_ms > TIME_MAX) return "an impossible time";
    if (row->keyspace == 0 ||
        (row->keyspace > FE_KEYSPACE_MAX && row->keyspace != FE_SEGMENT_MIXED))
        return "an impossible keyspace";
    if (row->miscounted > 1) return "a flag that is neither 0 nor 1";
    if (!is_zero(row->zero, sizeof(row->zero))) return "bytes that should be zero";
    return deadlines_check(&row->deadlines);
}

const char *fe_save_database_check(const fe_save_database *row, const fe_save_head *head)
{
    if (row->number >= head->databases) return "an impossible number of a database";
    if (row->keyspace == 0 || row->keyspace > FE_KEYSPACE_MAX) return "an impossible keyspace";
    if (row->expires > row->keys || row->keys > head->keys) return "an impossible number of keys";
    if ((row->keys == 0) != (row->buckets == 0))
        return "an index without keys, or keys without one";
    if (row->buckets != 0 && row->buckets < 4) return "an impossible size of an index";
    return NULL;
}
