/* The segment file: building its image and footer, and reading them back. The layout is drawn in the
 * header.
 *
 * Invariants
 * 1. Walking the image from 0 meets records and fillers and ends at `used`, as in memory.
 * 2. Entry i lies in block i / entries_full, except that the last block never reaches the trailer;
 *    so a block's number says which entries it holds, and `records` how many.
 * 3. A file's size follows from used, records and entry_size: a file that was cut or extended is
 *    never taken for a whole one.
 *
 * Threads: pure functions.
 */
#include "store/image.h"

#include "base/crc.h"

#define OFFSET_BITS 22u
#define SIZE_BITS 30u
#define OFFSET_MASK ((1u << OFFSET_BITS) - 1)
#define SIZE_MASK ((1u << SIZE_BITS) - 1)
#define RECORD_HEAD_MAX 32u /* word, lengths of the large form, deadline */
#define RECORD_FLAGS (FE_RECORD_EXPIRY | FE_RECORD_LARGE | FE_RECORD_INT)

/* A footer block's first bytes. */
typedef struct block_head {
    uint32_t crc;
    uint32_t number;
    uint32_t generation;
    uint32_t block;
} block_head;

_Static_assert(sizeof(block_head) == FE_IMAGE_BLOCK_HEAD, "");
_Static_assert((FE_IMAGE_BLOCK - FE_IMAGE_BLOCK_HEAD) % FE_IMAGE_ENTRY == 0, "255 entries");
_Static_assert((FE_IMAGE_BLOCK - FE_IMAGE_BLOCK_HEAD) % FE_IMAGE_ENTRY_DEADLINE == 0, "170");

static uint64_t load64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + FE_IMAGE_BLOCK - 1) & ~(uint64_t)(FE_IMAGE_BLOCK - 1);
}

/* Sizes ---------------------------------------------------------------------------------------- */

static uint32_t entries_full(size_t entry_size)
{
    return (uint32_t)((FE_IMAGE_BLOCK - FE_IMAGE_BLOCK_HEAD) / entry_size);
}

static uint32_t entries_last(size_t entry_size)
{
    return (uint32_t)((FE_IMAGE_BLOCK - FE_IMAGE_BLOCK_HEAD - FE_IMAGE_TRAILER) / entry_size);
}

static uint32_t block_count(uint32_t records, size_t entry_size)
{
    uint32_t full = entries_full(entry_size), last = entries_last(entry_size);
    return records <= last ? 1 : 1 + (records - last - 1) / full + 1;
}

static uint64_t file_size(uint64_t used, uint32_t records, size_t entry_size)
{
    return round_up(used) + (uint64_t)block_count(records, entry_size) * FE_IMAGE_BLOCK;
}

size_t fe_image_size(size_t used, uint32_t records, bool deadlines)
{
    return file_size(used, records, deadlines ? FE_IMAGE_ENTRY_DEADLINE : FE_IMAGE_ENTRY);
}

uint64_t fe_image_footer_offset(const fe_image_head *head)
{
    return round_up(head->used);
}

uint32_t fe_image_footer_blocks(const fe_image_head *head)
{
    return block_count(head->records, head->entry_size);
}

uint64_t fe_image_file_size(const fe_image_head *head)
{
    return file_size(head->used, head->records, head->entry_size);
}

uint32_t fe_footer_first(const fe_image_head *head, uint32_t block)
{
    uint64_t first = (uint64_t)block * entries_full(head->entry_size);
    return first < head->records ? (uint32_t)first : head->records;
}

/* Where the entries of a block may lie, and what its checksum covers, end here. */
static size_t block_end(const fe_image_head *head, uint32_t block)
{
    bool is_last = block + 1 == fe_image_footer_blocks(head);
    return is_last ? FE_IMAGE_BLOCK - FE_IMAGE_TRAILER : FE_IMAGE_BLOCK;
}

/* Writing -------------------------------------------------------------------------------------- */

fe_image_plan fe_image_plan_make(const uint8_t *base, size_t used)
{
    fe_image_plan plan = {0, false, 0};
    FE_ASSERT(used > 0);
    for (size_t at = 0, size; at < used; at += size) {
        const fe_record *record = (const fe_record *)(base + at);
        size = fe_record_size(record);
        FE_ASSERT(size >= 8 && size <= used - at);
        if (fe_record_type(record) == FE_TYPE_FILLER) continue;
        plan.records++;
        if (fe_record_deadline(record) != 0) plan.deadlines = true;
    }
    plan.size_max = fe_image_size(used, plan.records, plan.deadlines);
    return plan;
}

/* Where entries are put: the blocks in `out`, one after the other. */
typedef struct footer_writer {
    uint8_t *blocks;
    fe_image_head *head;
    uint32_t in_block; /* entries in the last block */
    uint32_t block;
} footer_writer;

void fe_image_head_add(fe_image_head *head, const fe_footer_entry *entry)
{
    head->records++;
    head->live += (uint64_t)entry->size * 8;
    if (entry->size > head->record_max) head->record_max = entry->size;
    if (head->keyspace != entry->keyspace)
        head->keyspace = head->records == 1 ? entry->keyspace : FE_IMAGE_MIXED;
    if (entry->deadline == 0) return;
    if (head->expires++ == 0 || entry->deadline < head->deadline_min)
        head->deadline_min = entry->deadline;
    if (head->expires == 1 || entry->deadline > head->deadline_max)
        head->deadline_max = entry->deadline;
}

static void entry_write(footer_writer *writer, const fe_footer_entry *entry)
{
    size_t entry_size = writer->head->entry_size;
    FE_ASSERT(entry->offset <= OFFSET_MASK && entry->size <= SIZE_MASK);
    FE_ASSERT(entry->keyspace >= 1 && entry->keyspace <= FE_KEYSPACE_MAX);
    if (writer->in_block == entries_full(entry_size)) {
        writer->in_block = 0;
        writer->block++;
    }
    uint8_t *block = writer->blocks + (size_t)writer->block * FE_IMAGE_BLOCK;
    if (writer->in_block == 0) memset(block, 0, FE_IMAGE_BLOCK);
    uint64_t place = (uint64_t)entry->offset | (uint64_t)entry->size << OFFSET_BITS |
                     (uint64_t)entry->keyspace << (OFFSET_BITS + SIZE_BITS);
    uint8_t *at = block + FE_IMAGE_BLOCK_HEAD + writer->in_block++ * entry_size;
    memcpy(at, &entry->hash, 8);
    memcpy(at + 8, &place, 8);
    if (entry_size == FE_IMAGE_ENTRY_DEADLINE) memcpy(at + 16, &entry->deadline, 8);
    fe_image_head_add(writer->head, entry);
}

/* Gives every block its head, once it is known which is the last. */
static void footer_seal(const footer_writer *writer)
{
    const fe_image_head *head = writer->head;
    uint32_t blocks = fe_image_footer_blocks(head);
    /* No entry was written yet to the first block, or none fits beside the trailer. */
    if (head->records == 0 || blocks > writer->block + 1)
        memset(writer->blocks + (size_t)(blocks - 1) * FE_IMAGE_BLOCK, 0, FE_IMAGE_BLOCK);
    for (uint32_t i = 0; i < blocks; i++) {
        uint8_t *block = writer->blocks + (size_t)i * FE_IMAGE_BLOCK;
        block_head first = {0, head->number, head->generation, i};
        memcpy(block, &first, sizeof first);
        first.crc = fe_crc32c(0, block + 4, block_end(head, i) - 4);
        memcpy(block, &first.crc, 4);
    }
}

/* Writes a record or filler of which all but the checksum is in place. */
static void crc_write(uint8_t *to, size_t size)
{
    /* Of the copy: what is written is what was summed, and it is in the cache. */
    uint32_t crc = fe_crc32c(0, to, size);
    memcpy(to + 4, &crc, 4);
}

static void filler_write(const fe_record *record, size_t size, uint8_t *to)
{
    uint64_t word = record->word & UINT32_MAX;
    memset(to, 0, size);
    memcpy(to, &word, 8);
    crc_write(to, size);
}

/* An entry for the record, unless it is dead. */
static void record_list(const fe_image_source *source, size_t at, size_t size,
                        footer_writer *writer)
{
    const fe_record *record = (const fe_record *)(source->base + at);
    if (source->is_dead != NULL && source->is_dead(source->context, at, record)) return;
    fe_bytes key = fe_record_key(record);
    fe_footer_entry entry = {.hash = fe_hash(&source->seed, key.ptr, key.len),
                             .deadline = fe_record_deadline(record),
                             .offset = (uint32_t)(at / 8),
                             .size = (uint32_t)(size / 8),
                             .keyspace = fe_record_keyspace(record)};
    entry_write(writer, &entry);
}

/* Writes a record, and an entry for it unless it is dead. */
static void record_write(const fe_image_source *source, size_t at, size_t size, uint8_t *to,
                         footer_writer *writer)
{
    const fe_record *record = (const fe_record *)(source->base + at);
    uint64_t word = record->word & UINT32_MAX;
    memcpy(to, &word, 8);
    memcpy(to + 8, source->base + at + 8, size - 8);
    crc_write(to, size);
    record_list(source, at, size, writer);
}

static uint64_t seed_check(const fe_hash_seed *seed)
{
    return fe_hash(seed, (const uint8_t *)"ferrite", 7);
}

static fe_image_head head_of(const fe_image_source *source, const fe_image_plan *plan)
{
    return (fe_image_head){
        .magic = FE_IMAGE_MAGIC,
        .version = FE_IMAGE_VERSION,
        .entry_size = (uint32_t)(plan->deadlines ? FE_IMAGE_ENTRY_DEADLINE : FE_IMAGE_ENTRY),
        .number = source->number,
        .generation = source->generation,
        .sequence = source->sequence,
        .used = source->used,
        .created_ms = source->created_ms,
        .seed_check = seed_check(&source->seed)};
}

/* Completes the blocks and puts the trailer into the last one; the size of the file. */
static size_t footer_finish(const footer_writer *writer, const fe_image_plan *plan)
{
    fe_image_head *head = writer->head;
    footer_seal(writer);
    head->crc = fe_crc32c(0, (const uint8_t *)head, offsetof(fe_image_head, crc));
    size_t blocks = (size_t)fe_image_footer_blocks(head) * FE_IMAGE_BLOCK;
    memcpy(writer->blocks + blocks - FE_IMAGE_TRAILER, head, sizeof *head);
    size_t total = fe_image_file_size(head);
    FE_ASSERT(total <= plan->size_max);
    return total;
}

bool fe_image_is_long(const fe_image_source *source, const fe_image_plan *plan)
{
    return plan->records == 1 && source->used >= FE_IMAGE_LONG &&
           fe_record_size((const fe_record *)source->base) == source->used;
}

size_t fe_image_build_long(const fe_image_source *source, const fe_image_plan *plan, uint8_t *out,
                           fe_image_pieces *pieces, fe_image_head *head)
{
    const uint8_t *base = source->base;
    size_t used = source->used, rest = used % FE_IMAGE_BLOCK;
    size_t middle = used - rest - FE_IMAGE_BLOCK;
    FE_ASSERT(fe_image_is_long(source, plan));
    *head = head_of(source, plan);
    uint64_t word = (load64(base) & UINT32_MAX) | (uint64_t)fe_image_record_crc(base, used) << 32;
    memcpy(out, &word, 8);
    memcpy(out + 8, base + 8, FE_IMAGE_BLOCK - 8);
    uint8_t *end = out + FE_IMAGE_BLOCK;
    memset(end, 0, FE_IMAGE_BLOCK);
    memcpy(end, base + used - rest, rest);
    size_t end_size = rest == 0 ? 0 : FE_IMAGE_BLOCK;
    footer_writer writer = {end + end_size, head, 0, 0};
    record_list(source, 0, used, &writer);
    size_t total = footer_finish(&writer, plan);
    *pieces = (fe_image_pieces){{out, base + FE_IMAGE_BLOCK, end},
                                {FE_IMAGE_BLOCK, middle, end_size + FE_IMAGE_BLOCK}};
    FE_ASSERT(total == 2 * FE_IMAGE_BLOCK + middle + end_size);
    return total;
}

size_t fe_image_build(const fe_image_source *source, const fe_image_plan *plan, uint8_t *out,
                      fe_image_head *head)
{
    size_t image_size = round_up(source->used);
    *head = head_of(source, plan);
    footer_writer writer = {out + image_size, head, 0, 0};
    for (size_t at = 0, size; at < source->used; at += size) {
        const fe_record *record = (const fe_record *)(source->base + at);
        size = fe_record_size(record);
        FE_ASSERT(size >= 8 && size <= source->used - at);
        if (fe_record_type(record) == FE_TYPE_FILLER) {
            filler_write(record, size, out + at);
        } else {
            FE_ASSERT(head->records < plan->records);
            record_write(source, at, size, out + at, &writer);
        }
    }
    memset(out + source->used, 0, image_size - source->used);
    return footer_finish(&writer, plan);
}

/* Reading -------------------------------------------------------------------------------------- */

/* What is wrong with a trailer whose checksum is right, or NULL. */
static const char *head_wrong(const fe_image_head *head, uint64_t bytes)
{
    if (head->entry_size != FE_IMAGE_ENTRY && head->entry_size != FE_IMAGE_ENTRY_DEADLINE)
        return "trailer: entries are neither 16 nor 24 bytes";
    if (head->number == 0) return "trailer: no segment has the number 0";
    if (head->used == 0 || head->used % 8 != 0 || head->used > bytes)
        return "trailer: the number of used bytes is impossible";
    if (head->records > head->used / 8) return "trailer: more records than fit";
    if (fe_image_file_size(head) != bytes)
        return "trailer: the file has not the size that the trailer tells";
    if (head->live > head->used || head->live % 8 != 0 || head->record_max > head->used / 8)
        return "trailer: the sizes of records are impossible";
    if (head->keyspace > FE_KEYSPACE_MAX && head->keyspace != FE_IMAGE_MIXED)
        return "trailer: the keyspace is impossible";
    if (head->expires > head->records ||
        (head->expires != 0 && head->entry_size != FE_IMAGE_ENTRY_DEADLINE) ||
        head->deadline_min > head->deadline_max)
        return "trailer: the deadlines are impossible";
    if (head->keyspace == 0 && head->records != 0) return "trailer: records without a keyspace";
    return NULL;
}

bool fe_image_read_trailer(const uint8_t *data, size_t size, uint64_t bytes, fe_image_head *head,
                           fe_image_fault *fault)
{
    fe_image_head read;
    *fault = (fe_image_fault){0, "the file is too short for a segment"};
    if (bytes < 2 * FE_IMAGE_BLOCK || size < sizeof read || size > bytes) return false;
    memcpy(&read, data + size - sizeof read, sizeof read);
    fault->offset = bytes - sizeof read;
    fault->cause = NULL;
    if (read.magic != FE_IMAGE_MAGIC)
        fault->cause = "no trailer: the file is cut off, or is no segment";
    else if (read.version != FE_IMAGE_VERSION)
        fault->cause = "trailer: the version of the format is not 1";
    else if (fe_crc32c(0, (const uint8_t *)&read, offsetof(fe_image_head, crc)) != read.crc)
        fault->cause = "trailer: the checksum is wrong";
    else
        fault->cause = head_wrong(&read, bytes);
    if (fault->cause != NULL) return false;
    *head = read;
    return true;
}

static fe_footer_entry entry_read(const uint8_t *at, size_t entry_size)
{
    uint64_t place = load64(at + 8);
    int64_t deadline = 0;
    if (entry_size == FE_IMAGE_ENTRY_DEADLINE) memcpy(&deadline, at + 16, 8);
    return (fe_footer_entry){.hash = load64(at),
                             .deadline = deadline,
                             .offset = (uint32_t)place & OFFSET_MASK,
                             .size = (uint32_t)(place >> OFFSET_BITS) & SIZE_MASK,
                             .keyspace = (uint32_t)(place >> (OFFSET_BITS + SIZE_BITS))};
}

bool fe_footer_next(fe_footer_block *entries, fe_footer_entry *entry)
{
    if (entries->left == 0) return false;
    *entry = entry_read(entries->at, entries->entry_size);
    entries->at += entries->entry_size;
    entries->left--;
    return true;
}

/* What is wrong with an entry, given where the one before it ended; or NULL. */
static const char *entry_wrong(const fe_image_head *head, const fe_footer_entry *entry,
                               uint64_t end_before)
{
    if (entry->size == 0 || entry->size > head->record_max ||
        (uint64_t)entry->offset + entry->size > head->used / 8)
        return "footer: an entry is outside of the segment";
    if (entry->offset < end_before) return "footer: entries overlap or are out of order";
    if (entry->keyspace == 0 ||
        (head->keyspace != FE_IMAGE_MIXED && entry->keyspace != head->keyspace))
        return "footer: an entry's keyspace is not the trailer's";
    if (entry->deadline != 0 &&
        (entry->deadline < head->deadline_min || entry->deadline > head->deadline_max))
        return "footer: an entry's deadline is not within the trailer's";
    return NULL;
}

bool fe_footer_open(const fe_image_head *head, uint32_t block, const uint8_t *data,
                    fe_footer_block *entries, fe_image_fault *fault)
{
    block_head first;
    FE_ASSERT(block < fe_image_footer_blocks(head));
    memcpy(&first, data, sizeof first);
    fault->offset = fe_image_footer_offset(head) + (uint64_t)block * FE_IMAGE_BLOCK;
    fault->cause = NULL;
    if (fe_crc32c(0, data + 4, block_end(head, block) - 4) != first.crc)
        fault->cause = "footer: a block's checksum is wrong";
    else if (first.number != head->number || first.generation != head->generation ||
             first.block != block)
        fault->cause = "footer: a block belongs to another place or file";
    if (fault->cause != NULL) return false;

    fe_footer_block found = {data + FE_IMAGE_BLOCK_HEAD,
                             fe_footer_first(head, block + 1) - fe_footer_first(head, block),
                             head->entry_size};
    fe_footer_block walk = found;
    fe_footer_entry entry;
    uint64_t end = 0;
    fault->offset += FE_IMAGE_BLOCK_HEAD;
    while (fe_footer_next(&walk, &entry)) {
        fault->cause = entry_wrong(head, &entry, end);
        if (fault->cause != NULL) return false;
        fault->offset += head->entry_size;
        end = (uint64_t)entry.offset + entry.size;
    }
    *entries = found;
    return true;
}

/* Records -------------------------------------------------------------------------------------- */

/* The large form's lengths, read with care. */
static bool large_is_possible(const fe_record *record)
{
    uint32_t small_lengths = (uint32_t)record->word >> 8;
    return small_lengths == 0 && fe_record_value_cap(record) >= fe_record_value_len(record) &&
           fe_record_load32(record, 20) == 0;
}

size_t fe_image_record_size(const uint8_t *data, size_t have)
{
    union {
        fe_record record;
        uint8_t bytes[RECORD_HEAD_MAX];
    } head;
    if (have < sizeof(fe_record)) return 0;
    memset(&head, 0, sizeof head);
    memcpy(&head, data, have < sizeof head ? have : sizeof head);
    unsigned flags = fe_record_flags(&head.record);
    if (fe_record_type(&head.record) != FE_TYPE_STRING || (flags & ~(unsigned)RECORD_FLAGS) != 0)
        return FE_IMAGE_IMPOSSIBLE;
    if (flags & FE_RECORD_LARGE) {
        if (have < 8 + FE_RECORD_LARGE_EXTRA) return 0;
        if (!large_is_possible(&head.record)) return FE_IMAGE_IMPOSSIBLE;
    }
    if ((flags & FE_RECORD_INT) && fe_record_value_len(&head.record) != 8)
        return FE_IMAGE_IMPOSSIBLE;
    return fe_record_size(&head.record);
}

uint32_t fe_image_record_crc(const uint8_t *data, size_t have)
{
    FE_ASSERT(have >= 8);
    uint64_t word = load64(data) & UINT32_MAX;
    uint32_t crc = fe_crc32c(0, (const uint8_t *)&word, 8);
    return fe_crc32c(crc, data + 8, have - 8);
}

bool fe_image_record_check(const uint8_t *data, size_t size)
{
    if (fe_image_record_size(data, size) != size || size < 8) return false;
    return fe_image_record_crc(data, size) == (uint32_t)(load64(data) >> 32);
}

void fe_image_record_restore(fe_record *record, uint32_t keyspace, uint32_t access)
{
    FE_ASSERT(keyspace >= 1 && keyspace <= FE_KEYSPACE_MAX && access < 1u << 20);
    record->word = (record->word & UINT32_MAX) | (uint64_t)keyspace << 32 | (uint64_t)access << 44;
}
