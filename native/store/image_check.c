/* The check of a segment file.
 *
 * The image is walked from its first byte as memory is walked, and the footer's entries run along:
 *
 *     image:    | record | filler | dead record | record |
 *     entries:    ^ 1                              ^ 2
 *
 * A record without an entry was dead when the file was written. An entry must meet a record's
 * beginning. Behind a record that is damaged, the walk goes on at the record's end as its entry says,
 * else at the next entry: its own sizes are not to be trusted.
 *
 * Threads: none; the caller's callbacks do what I/O there is.
 */
#include "store/image_check.h"

#include "base/crc.h"

#define HEAD_MAX 32u /* of a record: what fe_image_record_size may need */
#define FOOTER_BLOCKS (FE_IMAGE_CHECK_FOOTER / FE_IMAGE_BLOCK)

typedef struct walk {
    fe_image_check *check;
    uint64_t at; /* in the image */
    uint32_t block, blocks;
    fe_footer_block entries;
    bool has_entry, gap; /* gap: some footer block was damaged */
    fe_footer_entry entry;
    uint64_t entry_end; /* of the entry before `entry`, 8-byte units */
} walk;

static void report(fe_image_check *check, uint64_t offset, const char *cause, int error)
{
    fe_image_fault fault = {offset, cause};
    check->faults++;
    check->report(check->context, &fault, error);
}

static uint64_t entry_at(const walk *w)
{
    return (uint64_t)w->entry.offset * 8;
}

/* Reading -------------------------------------------------------------------------------------- */

/* Reads exactly `size` bytes; a failure has been reported. */
static bool read_exactly(fe_image_check *check, uint8_t *buffer, size_t size, uint64_t offset)
{
    int64_t got = check->read(check->context, buffer, size, offset);
    if (got < 0)
        report(check, offset, "cannot be read", (int)-got);
    else if ((uint64_t)got < size)
        report(check, offset + (uint64_t)got, "the file has become shorter", 0);
    return got >= 0 && (uint64_t)got == size;
}

static bool window_has(const fe_image_check *check, uint64_t at, size_t need)
{
    return at >= check->window_offset && at + need <= check->window_offset + check->window_len;
}

static bool window_read(fe_image_check *check, uint64_t from, size_t size)
{
    check->window_offset = from;
    check->window_len = 0;
    int64_t got = check->read(check->context, check->window, size, from);
    if (got < 0 || (uint64_t)got < size) return false;
    check->window_len = size;
    return true;
}

/* The bytes from `at` on, at least `need` <= 4096 of them (they lie in the image), and how many
 * there are; NULL when they cannot be read, which has been reported. */
static const uint8_t *window_at(fe_image_check *check, uint64_t at, size_t need, size_t *have)
{
    uint64_t image = fe_image_footer_offset(&check->head);
    uint64_t from = at & ~(uint64_t)(FE_IMAGE_BLOCK - 1);
    if (!window_has(check, at, need)) {
        size_t size = FE_IMAGE_CHECK_WINDOW;
        if (size > image - from) size = (size_t)(image - from);
        size_t least = at + need - from > FE_IMAGE_BLOCK ? 2 * FE_IMAGE_BLOCK : FE_IMAGE_BLOCK;
        /* What cannot be read is found block by block. */
        if (!window_read(check, from, size) && !window_read(check, from, least) &&
            !read_exactly(check, check->window, least, from))
            return NULL;
        if (check->window_len == 0) check->window_len = least; /* the last try went well */
    }
    *have = (size_t)(check->window_offset + check->window_len - at);
    return check->window + (at - check->window_offset);
}

/* Entries -------------------------------------------------------------------------------------- */

static bool block_next(walk *w)
{
    fe_image_check *check = w->check;
    uint32_t block = w->block++, slot = block % FOOTER_BLOCKS;
    uint64_t at = fe_image_footer_offset(&check->head) + (uint64_t)block * FE_IMAGE_BLOCK;
    if (slot == 0) {
        size_t count = w->blocks - block < FOOTER_BLOCKS ? w->blocks - block : FOOTER_BLOCKS;
        if (!read_exactly(check, check->footer, count * FE_IMAGE_BLOCK, at)) {
            w->block = block + (uint32_t)count;
            return false;
        }
    }
    fe_image_fault fault;
    const uint8_t *data = check->footer + slot * FE_IMAGE_BLOCK;
    if (fe_footer_open(&check->head, block, data, &w->entries, &fault)) return true;
    report(check, fault.offset, fault.cause, 0);
    return false;
}

/* Moves to the next entry, past blocks that are damaged. */
static void entry_next(walk *w)
{
    uint64_t blocks_at = fe_image_footer_offset(&w->check->head);
    for (;;) {
        while (!fe_footer_next(&w->entries, &w->entry)) {
            w->has_entry = w->block < w->blocks;
            if (!w->has_entry) return;
            if (!block_next(w)) w->gap = true;
        }
        if (w->entry.offset >= w->entry_end) break;
        w->gap = true;
        report(w->check, blocks_at + (uint64_t)(w->block - 1) * FE_IMAGE_BLOCK,
               "footer: entries overlap or are out of order", 0);
    }
    w->has_entry = true;
    w->entry_end = (uint64_t)w->entry.offset + w->entry.size;
    w->check->keyspaces[w->entry.keyspace]++;
    fe_image_head_add(&w->check->sums, &w->entry);
}

/* With every entry seen, the trailer's sums are theirs. */
static void sums_check(walk *w)
{
    const fe_image_head *head = &w->check->head, *sums = &w->check->sums;
    if (w->gap) return;
    if (head->records != sums->records || head->expires != sums->expires ||
        head->live != sums->live || head->record_max != sums->record_max ||
        head->keyspace != sums->keyspace || head->deadline_min != sums->deadline_min ||
        head->deadline_max != sums->deadline_max)
        report(w->check, fe_image_file_size(head) - FE_IMAGE_TRAILER,
               "trailer: its sums are not those of the footer's entries", 0);
}

/* Records -------------------------------------------------------------------------------------- */

/* Where the walk goes on behind damage at `at`. */
static uint64_t behind_damage(walk *w, uint64_t damage_end)
{
    uint64_t used = w->check->head.used;
    if (w->has_entry && entry_at(w) == w->at) {
        uint64_t end = entry_at(w) + (uint64_t)w->entry.size * 8;
        entry_next(w);
        if (end >= damage_end) return end;
    }
    while (w->has_entry && entry_at(w) < damage_end)
        entry_next(w);
    return w->has_entry ? entry_at(w) : used;
}

/* Whether the bytes of a record or filler can be read and have the checksum that its head says; if
 * not, reports it, with `cause` for a wrong checksum, and says where the damage ends. */
static bool crc_is_right(walk *w, size_t size, const char *cause, uint64_t *damage_end)
{
    fe_image_check *check = w->check;
    uint32_t crc = 0, expected = 0;
    for (uint64_t done = 0; done < size;) {
        size_t have;
        const uint8_t *data = window_at(check, w->at + done, 8, &have);
        *damage_end = ((w->at + done) | (FE_IMAGE_BLOCK - 1)) + 1;
        if (data == NULL) return false;
        if (have > size - done) have = size - done;
        if (done == 0) {
            memcpy(&expected, data + 4, 4);
            crc = fe_image_record_crc(data, have);
        } else {
            crc = fe_crc32c(crc, data, have);
        }
        done += have;
    }
    *damage_end = w->at + 8;
    if (crc == expected) return true;
    report(check, w->at, cause, 0);
    return false;
}

/* Checks the record at the walk's place; where the walk goes on. */
static uint64_t record_step(walk *w, const uint8_t *data, size_t have)
{
    fe_image_check *check = w->check;
    uint64_t damage_end;
    size_t size = fe_image_record_size(data, have);
    if (size == 0 || size > check->head.used - w->at) {
        report(check, w->at, "record: its head is impossible", 0);
        return behind_damage(w, w->at + 8);
    }
    uint64_t head[HEAD_MAX / 8] = {0}; /* the window moves */
    memcpy(head, data, have < HEAD_MAX ? have : HEAD_MAX);
    if (!crc_is_right(w, size, "record: the checksum is wrong", &damage_end))
        return behind_damage(w, damage_end);
    check->records_sound++;
    if (w->has_entry && entry_at(w) == w->at) {
        int64_t deadline = fe_record_deadline((const fe_record *)(const void *)head);
        if (w->entry.size != size / 8 || w->entry.deadline != deadline)
            report(check, w->at, "record: size or deadline are not those of its entry", 0);
        entry_next(w);
    }
    return w->at + size;
}

/* The same of a filler. */
static uint64_t filler_step(walk *w, uint64_t word)
{
    uint64_t damage_end = w->at + 8, size = (word >> 8 & 0xffffffu) * 8;
    if (size == 0 || size > w->check->head.used - w->at || (word & 255) != 0)
        report(w->check, w->at, "filler: its head is impossible", 0);
    else if (crc_is_right(w, size, "filler: the checksum is wrong", &damage_end))
        return w->at + size;
    return behind_damage(w, damage_end);
}

static void image_step(walk *w)
{
    fe_image_check *check = w->check;
    uint64_t left = check->head.used - w->at, next;
    size_t need = left < HEAD_MAX ? (size_t)left : HEAD_MAX, have;
    const uint8_t *data = window_at(check, w->at, need, &have);
    if (data == NULL) {
        next = behind_damage(w, (w->at | (FE_IMAGE_BLOCK - 1)) + 1);
    } else {
        uint64_t word;
        memcpy(&word, data, 8);
        if (have > left) have = (size_t)left;
        bool is_filler = fe_record_type(&(fe_record){word}) == FE_TYPE_FILLER;
        next = is_filler ? filler_step(w, word) : record_step(w, data, have);
    }
    for (; w->has_entry && entry_at(w) < next; entry_next(w))
        report(check, entry_at(w), "footer: an entry's record does not begin here", 0);
    w->at = next;
}

/* What lies between the last record and the footer is zero. */
static void padding_check(walk *w)
{
    uint64_t at = w->check->head.used, end = fe_image_footer_offset(&w->check->head);
    size_t have;
    const uint8_t *data = at < end ? window_at(w->check, at, (size_t)(end - at), &have) : NULL;
    for (size_t i = 0; data != NULL && i < end - at; i++) {
        if (data[i] == 0) continue;
        report(w->check, at + i, "the bytes between records and footer are not zero", 0);
        return;
    }
}

/* The whole ------------------------------------------------------------------------------------ */

static bool trailer_read(fe_image_check *check)
{
    uint8_t trailer[FE_IMAGE_TRAILER];
    fe_image_fault fault;
    size_t size = check->file_size < sizeof trailer ? (size_t)check->file_size : sizeof trailer;
    if (!read_exactly(check, trailer, size, check->file_size - size)) return false;
    if (fe_image_read_trailer(trailer, size, check->file_size, &check->head, &fault)) return true;
    report(check, fault.offset, fault.cause, 0);
    return false;
}

void fe_image_check_run(fe_image_check *check)
{
    memset(&check->head, 0, offsetof(fe_image_check, footer) - offsetof(fe_image_check, head));
    if (!trailer_read(check)) return;
    walk w = {.check = check, .blocks = fe_image_footer_blocks(&check->head)};
    entry_next(&w);
    if (check->with_records) {
        while (w.at < check->head.used)
            image_step(&w);
        padding_check(&w);
    }
    while (w.has_entry)
        entry_next(&w);
    sums_check(&w);
}
