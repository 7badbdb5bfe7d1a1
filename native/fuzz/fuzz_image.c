/* Fuzzes the segment file: what is written reads back, what is damaged is found, and no bytes lead
 * outside of the file.
 *
 *     byte 0   what to do, modulo 4: the rest is a file as it is; a file whose checksums are put
 *              right first; a record; or instructions for making a segment
 *
 * Every file lies in a block of its own size, so that the sanitizer sees one byte too many.
 */
#include "store/image_check.h"

#include <stdlib.h>

#include "base/crc.h"

#define FILE_MAX ((size_t)1 << 16)
#define SEGMENT_MAX ((size_t)1 << 14)

typedef struct file {
    uint8_t *data;
    size_t size;
    uint64_t faults;
} file;

static int64_t read_file(void *context, uint8_t *buffer, size_t size, uint64_t offset)
{
    const file *f = context;
    FE_ASSERT(size <= FE_IMAGE_CHECK_WINDOW);
    if (offset >= f->size) return 0;
    if (size > f->size - offset) size = f->size - (size_t)offset;
    memcpy(buffer, f->data + offset, size);
    return (int64_t)size;
}

static void count_fault(void *context, const fe_image_fault *fault, int error)
{
    file *f = context;
    FE_ASSERT(error == 0 && fault->cause != NULL && fault->offset <= f->size);
    f->faults++;
}

/* The check's memory outlives an execution: clearing a MiB each time would cost more than the rest. */
static fe_image_check *check_file(fe_image_check *check, file *f)
{
    f->faults = 0;
    check->read = read_file;
    check->report = count_fault;
    check->context = f;
    check->file_size = f->size;
    check->with_records = true;
    fe_image_check_run(check);
    FE_ASSERT(check->faults == f->faults);
    FE_ASSERT(f->faults != 0 || check->records_sound >= check->head.records);
    return check;
}

static uint8_t *copy_of(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL) abort();
    if (size != 0) memcpy(copy, data, size);
    return copy;
}

/* The direct doors, without the check around them. */
static void read_blocks(const file *f)
{
    fe_image_head head;
    fe_image_fault fault;
    fe_footer_block entries;
    fe_footer_entry entry;
    uint32_t seen = 0;
    if (!fe_image_read_trailer(f->data, f->size, f->size, &head, &fault)) return;
    FE_ASSERT(fe_image_file_size(&head) == f->size);
    for (uint32_t i = 0; i < fe_image_footer_blocks(&head); i++) {
        const uint8_t *block = f->data + fe_image_footer_offset(&head) + i * FE_IMAGE_BLOCK;
        FE_ASSERT(fe_footer_first(&head, i) <= head.records);
        if (!fe_footer_open(&head, i, block, &entries, &fault)) return;
        for (; fe_footer_next(&entries, &entry); seen++) {
            FE_ASSERT(entry.size != 0 && ((uint64_t)entry.offset + entry.size) * 8 <= head.used);
            size_t left = (size_t)head.used - (size_t)entry.offset * 8;
            const uint8_t *at = f->data + (size_t)entry.offset * 8;
            size_t size = fe_image_record_size(at, left);
            if (size == 0 || size > left) continue;
            fe_image_record_check(at, size);
        }
    }
    FE_ASSERT(seen == head.records);
}

static void fuzz_file(fe_image_check *check, const uint8_t *data, size_t size)
{
    file f = {copy_of(data, size), size, 0};
    check_file(check, &f);
    read_blocks(&f);
    free(f.data);
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, 4);
}

/* Makes the outer shell right, so that what is inside is reached: a trailer from the input's first
 * bytes with the magic, version and checksum that it must have, blocks with theirs. */
static void fuzz_shell(fe_image_check *check, const uint8_t *data, size_t size)
{
    fe_image_head head;
    if (size < sizeof head) return;
    memcpy(&head, data, sizeof head);
    data += sizeof head, size -= sizeof head;
    head.magic = FE_IMAGE_MAGIC;
    head.version = FE_IMAGE_VERSION;
    head.entry_size = head.entry_size & 1 ? 24 : 16;
    head.used = head.used % SEGMENT_MAX & ~(uint64_t)7;
    head.records %= 1200;
    if (head.number == 0) head.number = 1;
    if (head.keyspace > FE_KEYSPACE_MAX) head.keyspace = FE_IMAGE_MIXED;
    if (head.used == 0) return;

    head.crc = fe_crc32c(0, (const uint8_t *)&head, offsetof(fe_image_head, crc));
    file f = {NULL, (size_t)fe_image_file_size(&head), 0};
    f.data = calloc(1, f.size);
    if (f.data == NULL) abort();
    memcpy(f.data, data, size < f.size ? size : f.size);
    uint32_t blocks = fe_image_footer_blocks(&head);
    for (uint32_t i = 0; i < blocks; i++) {
        uint8_t *block = f.data + fe_image_footer_offset(&head) + i * FE_IMAGE_BLOCK;
        size_t end = FE_IMAGE_BLOCK - (i + 1 == blocks ? FE_IMAGE_TRAILER : 0);
        put32(block + 4, head.number);
        put32(block + 8, head.generation);
        put32(block + 12, i);
        put32(block, fe_crc32c(0, block + 4, end - 4));
    }
    memcpy(f.data + f.size - sizeof head, &head, sizeof head);
    check_file(check, &f);
    read_blocks(&f);
    free(f.data);
}

static void fuzz_record(const uint8_t *data, size_t size)
{
    uint8_t *copy = copy_of(data, size);
    size_t told = fe_image_record_size(copy, size);
    FE_ASSERT(told != 0 || size < 32);
    for (size_t have = 0; have < size && have < 40; have++) {
        size_t early = fe_image_record_size(copy, have); /* never another answer with less */
        FE_ASSERT(early == 0 || early == told);
    }
    bool sound = fe_image_record_check(copy, size);
    FE_ASSERT(!sound || told == size);
    if (told == size) { /* with its checksum put right it is sound, and comes back */
        put32(copy + 4, fe_image_record_crc(copy, size));
        FE_ASSERT(fe_image_record_check(copy, size));
        fe_image_record_restore((fe_record *)(void *)copy, 17, 3);
        FE_ASSERT(fe_record_keyspace((const fe_record *)(void *)copy) == 17);
        FE_ASSERT(fe_record_size((const fe_record *)(void *)copy) == size);
    }
    free(copy);
}

/* Making ---------------------------------------------------------------------------------------- */

/* Four bytes of input make a record or a filler; returns the bytes used of `to`. */
static size_t make_one(uint8_t *to, size_t room, const uint8_t in[4])
{
    unsigned flags = in[0] & 7u;
    size_t key_len = in[1] & 63u, value_len = in[2], cap = value_len + in[3];
    if (flags & FE_RECORD_INT) value_len = cap = 8;
    bool is_large = (flags & FE_RECORD_LARGE) != 0;
    size_t size = in[0] & 8u ? 8 + 8 * (size_t)in[1]
                             : fe_record_size_for(flags, key_len, is_large ? cap : value_len);
    if (size > room) return 0;
    memset(to, in[3], size);
    uint64_t word = (uint64_t)(size / 8) << 8 | (uint64_t)in[2] << 40;
    if (!(in[0] & 8u)) {
        word = FE_TYPE_STRING | flags << 4 | (uint64_t)(1 + in[0] / 16u) << 32 | 1ull << 50;
        if (!is_large) word |= (uint64_t)key_len << 8 | (uint64_t)value_len << 16;
    }
    memcpy(to, &word, 8);
    if (in[0] & 8u || !is_large) return size;
    put32(to + 8, (uint32_t)key_len);
    put32(to + 12, (uint32_t)value_len);
    put32(to + 16, (uint32_t)cap);
    put32(to + 20, 0);
    return size;
}

static bool dead_by_offset(void *context, uint64_t offset, const fe_record *record)
{
    return fe_record_size(record) % 24 == 0 && (offset / 8) % 5 == *(const uint8_t *)context % 5u;
}

/* Bytes 0..3: where the damage goes and what it is; byte 4: what is dead; then the segment. */
static void fuzz_made(fe_image_check *check, const uint8_t *data, size_t size)
{
    uint8_t *base = malloc(SEGMENT_MAX);
    size_t used = 0;
    if (base == NULL) abort();
    for (size_t at = 5; at + 4 <= size; at += 4)
        used += make_one(base + used, SEGMENT_MAX - used, data + at);
    if (used != 0) {
        uint8_t dead = data[4];
        fe_image_plan plan = fe_image_plan_make(base, used);
        fe_image_source source = {.base = base,
                                  .used = used,
                                  .number = 1u + data[0],
                                  .generation = data[1],
                                  .seed = {1, 2},
                                  .is_dead = dead & 128 ? dead_by_offset : NULL,
                                  .context = &dead};
        uint8_t *out = malloc(plan.size_max);
        fe_image_head head;
        if (out == NULL) abort();
        file f = {NULL, fe_image_build(&source, &plan, out, &head), 0};
        f.data = copy_of(out, f.size);
        free(out);
        check_file(check, &f);
        FE_ASSERT(f.faults == 0 && memcmp(&head, &check->head, sizeof head) == 0);
        read_blocks(&f);
        FE_ASSERT(check->records_sound == plan.records);
        size_t at = ((size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2]) % f.size;
        f.data[at] ^= data[3];
        check_file(check, &f);
        FE_ASSERT((f.faults != 0) == (data[3] != 0));
        free(f.data);
    }
    free(base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fe_image_check *check; /* kept for all executions */
    if (check == NULL && (check = malloc(sizeof *check)) == NULL) abort();
    if (size < 6 || size > FILE_MAX) return 0;
    switch (data[0] % 4) {
    case 0: fuzz_file(check, data + 1, size - 1); break;
    case 1: fuzz_shell(check, data + 1, size - 1); break;
    case 2: fuzz_record(data + 1, size - 1); break;
    default: fuzz_made(check, data + 1, size - 1); break;
    }
    return 0;
}
