/* The start after a clean stop: see save.h, and save_format.h for the files.
 *
 * All is checked before the log gets its first segment: sums, lengths, that every slot's address lies
 * in a segment that has a file, and that its tag fits its bucket. Then each segment's file is opened,
 * and its size and trailer compared with the table; the records have checksums of their own. What no
 * check here can see is two slots with one address: the checksums stand against that.
 *
 * Memory: one section, and the rows of the segment table while it is read.
 */
#include "base/crc.h"
#include "store/save.h"
#include "store/save_format.h"
#include "store/store.h"
#include "store/tier.h"

#include <stdarg.h>
#include <stdio.h>

#define CHAIN_MAX 4096u /* slots of one bucket */
#define RECORD_MIN 8u   /* bytes */

__extension__ typedef unsigned __int128 fe_uwide;

__attribute__((format(printf, 2, 3))) static bool fail(char *error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(error, FE_SAVE_ERROR_MAX, format, list);
    va_end(list);
    return false;
}

/* Sections ------------------------------------------------------------------------------------- */

typedef struct loader {
    fe_store *store;
    const fe_save_source *source;
    char *error;
    uint64_t offset; /* of the next section */
    uint32_t crc;    /* of what was read */
    uint32_t ordinal;
    fe_save_section section;
    uint32_t at; /* in its payload */
    uint8_t *payload;
    fe_save_head head;
    fe_save_segment *rows; /* by number; [0] is not used */
    uint32_t *slots;       /* how many name each segment */
    uint64_t *chain;
    uint64_t keys;
} loader;

static bool damaged(const loader *l, uint64_t offset, const char *cause)
{
    return fail(l->error, "byte %llu: %s", (unsigned long long)offset, cause);
}

/* Byte of the file that is read next. */
static uint64_t place(const loader *l)
{
    return l->offset - (l->section.bytes - l->at);
}

static bool read_raw(loader *l, void *data, size_t size)
{
    int code = 0;
    if (size > l->source->bytes - l->offset)
        return damaged(l, l->source->bytes, "the file ends too early");
    if (!l->source->read(l->source->context, data, size, l->offset, &code))
        return fail(l->error, "byte %llu: cannot be read: %s", (unsigned long long)l->offset,
                    strerror(code));
    l->crc = fe_crc32c(l->crc, data, size);
    l->offset += size;
    return true;
}

static bool section_next(loader *l)
{
    uint64_t offset = l->offset;
    fe_save_section *section = &l->section;
    if (!read_raw(l, section, sizeof(*section))) return false;
    l->at = 0;
    uint32_t bytes = section->bytes;
    if (bytes == 0 || bytes > FE_SAVE_SECTION_MAX || bytes % 8 != 0) {
        section->bytes = 0;
        return damaged(l, offset, "an impossible length");
    }
    if (!read_raw(l, l->payload, bytes)) return false;
    if (section->crc != fe_save_section_crc(section, l->payload))
        return damaged(l, offset, "a wrong checksum");
    if (section->ordinal != l->ordinal++) return damaged(l, offset, "a section is missing");
    return true;
}

/* The next item of a kind, from this section or the next one. */
static inline const void *take(loader *l, fe_save_kind kind, uint32_t size)
{
    if (l->at == l->section.bytes && !section_next(l)) return NULL;
    if (l->section.kind != (uint32_t)kind || size > l->section.bytes - l->at) {
        (void)damaged(l, place(l), "something else is expected here");
        return NULL;
    }
    const void *item = l->payload + l->at;
    l->at += size;
    return item;
}

/* The segment table ---------------------------------------------------------------------------- */

static bool load_head(loader *l)
{
    fe_save_fault fault;
    fe_save_head *head = &l->head;
    if (!read_raw(l, head, sizeof(*head))) return false;
    if (!fe_save_head_check(head, &fault)) return damaged(l, fault.offset, fault.cause);
    if (head->keys != l->source->keys)
        return damaged(l, offsetof(fe_save_head, keys), "not as many keys as the manifest says");
    if (head->high > (l->source->bytes - sizeof(*head)) / sizeof(fe_save_segment))
        return damaged(l, offsetof(fe_save_head, high), "more segments than the file has room for");
    return true;
}

static bool load_rows(loader *l)
{
    fe_alloc *alloc = l->store->alloc;
    size_t count = (size_t)l->head.high + 1;
    l->rows = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, count * sizeof(*l->rows));
    l->slots = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, count * sizeof(*l->slots));
    if (l->rows == NULL || l->slots == NULL) return fail(l->error, "out of memory");
    for (uint32_t n = 1; n <= l->head.high; n++) {
        const void *row = take(l, FE_SAVE_SEGMENTS, sizeof(*l->rows));
        if (row == NULL) return false;
        memcpy(&l->rows[n], row, sizeof(*l->rows));
        const char *wrong = fe_save_segment_check(&l->rows[n], &l->head);
        if (wrong != NULL) return damaged(l, place(l) - sizeof(*l->rows), wrong);
    }
    return true;
}

static fe_segment segment_of(const fe_save_segment *row)
{
    return (fe_segment){.bytes = row->bytes,
                        .used = row->used,
                        .live = row->live,
                        .sequence = row->sequence,
                        .generation = row->generation,
                        .keyspace = row->keyspace,
                        .tier = row->used == 0 ? FE_TIER_FREE : FE_TIER_DISK,
                        .role = row->role};
}

typedef struct age {
    uint64_t sequence;
    uint32_t number;
} age;

static int by_age(const void *a, const void *b)
{
    uint64_t one = ((const age *)a)->sequence, other = ((const age *)b)->sequence;
    return one < other ? -1 : one > other;
}

/* The numbers of the segments, the oldest first; two of one age are damage. */
static bool order_make(loader *l, age *ages, uint32_t *order, uint32_t *count)
{
    *count = 0;
    for (uint32_t n = 1; n <= l->head.high; n++)
        if (l->rows[n].used != 0) ages[(*count)++] = (age){l->rows[n].sequence, n};
    qsort(ages, *count, sizeof(*ages), by_age);
    for (uint32_t i = 0; i < *count; i++) {
        if (i > 0 && ages[i].sequence == ages[i - 1].sequence)
            return fail(l->error, "segments %u and %u have one sequence", ages[i - 1].number,
                        ages[i].number);
        order[i] = ages[i].number;
    }
    return true;
}

/* Gives the log its segments, without their files. */
static bool load_log(loader *l)
{
    fe_log *log = &l->store->log;
    fe_alloc *alloc = l->store->alloc;
    size_t most = (size_t)l->head.high + 1;
    uint32_t count = 0;
    age *ages = fe_alloc_take(alloc, FE_ALLOC_ENGINE, most * sizeof(*ages));
    uint32_t *order = fe_alloc_take(alloc, FE_ALLOC_ENGINE, most * sizeof(*order));
    bool done = ages != NULL && order != NULL;
    if (!done) (void)fail(l->error, "out of memory");
    if (done) done = order_make(l, ages, order, &count);
    if (done && !fe_log_load_begin(log, l->head.offset_bits, l->head.high, l->head.sequence))
        done = fail(l->error, "out of memory");
    for (uint32_t n = 1; done && n <= l->head.high; n++) {
        const fe_save_segment *row = &l->rows[n];
        fe_segment segment = segment_of(row);
        segment.records = l->slots[n];
        fe_segment_file file = {.fd = -1,
                                .miscounted = row->miscounted != 0,
                                .size = row->file_size,
                                .frozen_ms = row->frozen_ms,
                                .record_max = row->record_max};
        fe_log_load(log, n, &segment, &file);
        log->deadlines[n] = row->deadlines;
    }
    if (done) fe_log_load_end(log, order, count);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, ages);
    fe_alloc_give(alloc, FE_ALLOC_ENGINE, order);
    return done;
}

/* Keyspaces ------------------------------------------------------------------------------------ */

/* What was LIVE becomes so again with its database; a sweep that was not at its end begins anew. */
static bool load_states(loader *l)
{
    fe_store *store = l->store;
    const uint8_t *states = take(l, FE_SAVE_STATES, FE_SAVE_IDS);
    if (states == NULL) return false;
    uint64_t offset = place(l) - FE_SAVE_IDS;
    uint32_t live = 0;
    if (states[0] != FE_ID_FREE) return damaged(l, offset, "an impossible keyspace");
    memset(store->by_id, 0, sizeof(store->by_id));
    store->compact.dead_ids = 0;
    for (uint32_t id = 1; id <= FE_KEYSPACE_MAX; id++) {
        if (states[id] > FE_ID_SWEPT)
            return damaged(l, offset + id, "an impossible state of a keyspace");
        live += states[id] == FE_ID_LIVE;
        bool dead = states[id] == FE_ID_DEAD || states[id] == FE_ID_SWEPT;
        store->compact.dead_ids += dead;
        store->id_state[id] = dead ? FE_ID_DEAD : states[id];
    }
    if (live != l->head.databases)
        return damaged(l, offset, "as many keyspaces as databases must be");
    store->id_last = l->head.id_last;
    return true;
}

/* An id for a database that the saved store did not have. */
static bool id_choose(loader *l, fe_keyspace *keyspace)
{
    fe_store *store = l->store;
    uint32_t id = 1;
    while (id <= FE_KEYSPACE_MAX && store->id_state[id] != FE_ID_FREE)
        id++;
    if (id > FE_KEYSPACE_MAX) return fail(l->error, "no keyspace is free for another database");
    store->id_state[id] = FE_ID_LIVE;
    store->by_id[id] = keyspace;
    keyspace->id = id;
    return true;
}

static const char *slot_check(const loader *l, const fe_index *index, uint64_t bucket,
                              uint64_t slot)
{
    unsigned bits = l->head.offset_bits;
    uint64_t number = fe_slot_address(slot) >> bits;
    if (number == 0 || number > l->head.high) return "an address in no segment";
    const fe_save_segment *row = &l->rows[number];
    if (fe_address_offset(fe_slot_address(slot), bits) >= row->used)
        return "an address behind the end of its segment";
    if (row->record_max == 0) return "an address in a segment without records";
    if (!fe_index_slot_fits(index, bucket, slot)) return "a slot in a wrong bucket";
    return NULL;
}

/* One bucket's slots, into l->chain. */
static bool load_chain(loader *l, const fe_index *index, uint64_t bucket, uint32_t *count,
                       uint64_t *expires)
{
    for (*count = 0;;) {
        const void *item = take(l, FE_SAVE_SLOTS, 8);
        if (item == NULL) return false;
        uint64_t word;
        memcpy(&word, item, 8);
        if (word == FE_SAVE_LAST && *count == 0) return true;
        uint64_t slot = word & ~FE_SAVE_LAST;
        const char *wrong =
            *count == CHAIN_MAX ? "too many slots" : slot_check(l, index, bucket, slot);
        if (wrong != NULL) return damaged(l, place(l) - 8, wrong);
        l->chain[(*count)++] = slot;
        l->slots[fe_address_segment(fe_slot_address(slot), l->head.offset_bits)]++;
        *expires += (slot & FE_SLOT_DEADLINE) != 0;
        if (word & FE_SAVE_LAST) return true;
    }
}

static bool load_slots(loader *l, fe_index *index, const fe_save_database *row)
{
    uint64_t expires = 0, offset = place(l);
    if (row->buckets > (l->source->bytes - l->offset) / 8)
        return damaged(l, offset, "a larger index than the file has room for");
    if (!fe_index_load_begin(index, row->buckets)) return fail(l->error, "out of memory");
    for (uint64_t bucket = 0; bucket < row->buckets; bucket++) {
        uint32_t count;
        if (!load_chain(l, index, bucket, &count, &expires)) return false;
        if (!fe_index_load_bucket(index, bucket, l->chain, count))
            return fail(l->error, "out of memory");
    }
    if (index->count != row->keys || expires != row->expires)
        return damaged(l, offset, "not as many slots as keys");
    return true;
}

static fe_wide sum_of(const fe_save_database *row)
{
    return (fe_wide)((fe_uwide)row->sum_high << 64 | row->sum_low);
}

/* Whether a key's deadline, in the mean, can be what the sum says. */
static bool sum_is_possible(const fe_save_database *row)
{
    fe_wide most = (fe_wide)1 << 63, sum = sum_of(row);
    if (row->expires == 0) return sum == 0;
    return sum / (fe_wide)row->expires < most && sum / (fe_wide)row->expires >= -most;
}

static bool load_database(loader *l, uint32_t db)
{
    fe_store *store = l->store;
    fe_save_database row;
    const void *item = take(l, FE_SAVE_DATABASE, sizeof(row));
    if (item == NULL) return false;
    memcpy(&row, item, sizeof(row));
    uint64_t offset = place(l) - sizeof(row);
    const char *wrong = fe_save_database_check(&row, &l->head);
    if (wrong == NULL && row.number != db) wrong = "another database is expected here";
    if (wrong == NULL &&
        (store->id_state[row.keyspace] != FE_ID_LIVE || store->by_id[row.keyspace] != NULL))
        wrong = "a keyspace that is not its own";
    if (wrong == NULL && !sum_is_possible(&row)) wrong = "an impossible sum of deadlines";
    if (wrong != NULL) return damaged(l, offset, wrong);
    l->keys += row.keys;
    if (db >= store->options.databases) {
        if (row.keys != 0)
            return fail(l->error, "database %u has keys, and there are to be only %u databases", db,
                        store->options.databases);
        store->id_state[row.keyspace] = FE_ID_FREE;
        return true;
    }
    fe_keyspace *keyspace = store->databases[db];
    keyspace->id = row.keyspace;
    store->by_id[row.keyspace] = keyspace;
    keyspace->expires = row.expires;
    keyspace->deadline_sum = sum_of(&row);
    return row.buckets == 0 || load_slots(l, &keyspace->index, &row);
}

static bool load_databases(loader *l)
{
    l->chain = fe_alloc_take(l->store->alloc, FE_ALLOC_ENGINE, CHAIN_MAX * sizeof(*l->chain));
    if (l->chain == NULL) return fail(l->error, "out of memory");
    for (uint32_t db = 0; db < l->head.databases; db++)
        if (!load_database(l, db)) return false;
    for (uint32_t db = l->head.databases; db < l->store->options.databases; db++)
        if (!id_choose(l, l->store->databases[db])) return false;
    if (l->at != l->section.bytes || l->offset != l->source->bytes)
        return damaged(l, place(l), "there is more than there should be");
    if (l->crc != l->source->crc) return damaged(l, 0, "a wrong checksum of the whole file");
    if (l->keys != l->head.keys) return damaged(l, 0, "a wrong number of keys");
    for (uint32_t n = 1; n <= l->head.high; n++)
        if ((uint64_t)l->slots[n] * RECORD_MIN > l->rows[n].live)
            return fail(l->error, "segment %u: more keys than live bytes", n);
    return true;
}

bool fe_save_load_index(fe_store *store, const fe_save_source *source,
                        char error[FE_SAVE_ERROR_MAX])
{
    loader l = {.store = store, .source = source, .error = error};
    l.payload = fe_alloc_take(store->alloc, FE_ALLOC_ENGINE, FE_SAVE_SECTION_MAX);
    bool done = l.payload != NULL || fail(error, "out of memory");
    done = done && load_head(&l) && load_rows(&l) && load_states(&l) && load_databases(&l) &&
           load_log(&l);
    if (done) store->options.seed = l.head.seed;
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, l.payload);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, l.rows);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, l.slots);
    fe_alloc_give(store->alloc, FE_ALLOC_ENGINE, l.chain);
    return done;
}
