/* The check of whole segment files: what is damaged is found and named, what is sound is counted. */
#include "store/image_check.h"

#include "base/crc.h"
#include "tests/store/segment.h"

#include <errno.h>

#define FOUND_MAX 64

typedef struct check_run {
    const uint8_t *data;
    size_t size;
    size_t bad_from, bad_to; /* reads that touch this fail with EIO */
    fe_image_fault found[FOUND_MAX];
    int error[FOUND_MAX];
    size_t count;
    fe_image_check *check;
} check_run;

static int64_t read_memory(void *context, uint8_t *buffer, size_t size, uint64_t offset)
{
    check_run *run = context;
    if (offset < run->bad_to && offset + size > run->bad_from) return -EIO;
    if (offset > run->size) return 0;
    if (size > run->size - offset) size = run->size - offset;
    memcpy(buffer, run->data + offset, size);
    return (int64_t)size;
}

static void note(void *context, const fe_image_fault *fault, int error)
{
    check_run *run = context;
    if (run->count < FOUND_MAX) {
        run->found[run->count] = *fault;
        run->error[run->count] = error;
    }
    run->count++;
}

static void check(check_run *run, const uint8_t *data, size_t size, size_t file_size)
{
    fe_image_check *memory = run->check;
    if (memory == NULL && (memory = malloc(sizeof *memory)) == NULL) abort();
    run->check = memory;
    run->data = data;
    run->size = size;
    run->count = 0;
    memory->read = read_memory;
    memory->report = note;
    memory->context = run;
    memory->file_size = file_size;
    memory->with_records = true;
    fe_image_check_run(memory);
    CHECK_INT(run->count, memory->faults);
}

static bool found_is(const check_run *run, size_t i, uint64_t offset, const char *cause)
{
    bool is =
        run->count > i && run->found[i].offset == offset && strcmp(run->found[i].cause, cause) == 0;
    if (!is && run->count > i)
        fprintf(stderr, "%zu faults; %zu: %s at %" PRIu64 "\n", run->count, i, run->found[i].cause,
                run->found[i].offset);
    return is;
}

static segment ten_records(size_t *offsets)
{
    segment s = segment_new(4096);
    for (int i = 0; i < 10; i++) {
        char value[40];
        snprintf(value, sizeof value, "the value of number %d", i);
        offsets[i] = put_plain(&s, "key", value);
        if (i == 4) put_filler(&s, 48);
    }
    return s;
}

TEST(sound_files_of_all_sizes_have_no_fault)
{
    check_run run = {0};
    fe_random random;
    fe_random_init(&random, 11);
    for (size_t bytes = 8; bytes < 3000000; bytes = bytes * 2 + 1000) {
        segment s = segment_new(bytes + 2000);
        put_random(&s, &random, bytes, bytes % 3 == 0);
        file f = file_of(&s, NULL, NULL);

        check(&run, f.data, f.size, f.size);

        CHECK_INT(0, run.count);
        CHECK_INT(f.head.records, run.check->records_sound);
        CHECK_INT(f.head.records,
                  run.check->keyspaces[1] + run.check->keyspaces[2] + run.check->keyspaces[3]);
        file_free(&f);
        segment_free(&s);
    }
    free(run.check);
}

TEST(a_record_longer_than_the_window_is_checked_to_its_end)
{
    check_run run = {0};
    size_t len = 3 * FE_IMAGE_CHECK_WINDOW + 12345;
    uint8_t *value = calloc(1, len);
    segment s = segment_new(len + 4096);
    if (value == NULL) abort();
    put_plain(&s, "before", "x");
    size_t at = put_record(&s, FE_RECORD_LARGE, FE_BYTES("key"), (fe_bytes){value, len}, len, 0, 1);
    put_plain(&s, "behind", "x");
    file f = file_of(&s, NULL, NULL);

    check(&run, f.data, f.size, f.size);
    CHECK_INT(0, run.count);
    f.data[at + len] ^= 64;
    check(&run, f.data, f.size, f.size);
    CHECK_INT(1, run.count);
    CHECK(found_is(&run, 0, at, "record: the checksum is wrong"));
    CHECK_INT(2, run.check->records_sound);
    file_free(&f);
    segment_free(&s);
    free(value);
    free(run.check);
}

TEST(a_damaged_record_is_named_and_the_others_are_still_checked)
{
    size_t at[10];
    check_run run = {0};
    segment s = ten_records(at);
    file f = file_of(&s, NULL, NULL);

    f.data[at[3] + 15] ^= 1;         /* inside the value */
    memset(f.data + at[7], 0xff, 8); /* a head that is none */
    f.data[at[9] + 2] = 200;         /* a length that points elsewhere */
    check(&run, f.data, f.size, f.size);

    CHECK_INT(3, run.count);
    CHECK(found_is(&run, 0, at[3], "record: the checksum is wrong"));
    CHECK(found_is(&run, 1, at[7], "record: its head is impossible"));
    CHECK(found_is(&run, 2, at[9], "record: its head is impossible"));
    CHECK_INT(7, run.check->records_sound);
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

TEST(a_damaged_filler_is_named_and_the_walk_goes_on_at_the_next_entry)
{
    size_t at[10];
    check_run run = {0};
    segment s = ten_records(at);
    file f = file_of(&s, NULL, NULL);

    f.data[at[5] - 48 + 2] = 0x70;
    check(&run, f.data, f.size, f.size);

    CHECK_INT(1, run.count);
    CHECK(found_is(&run, 0, at[5] - 48, "filler: its head is impossible"));
    CHECK_INT(10, run.check->records_sound);
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

TEST(a_filler_that_became_longer_or_shorter_is_named)
{
    size_t at[10];
    check_run run = {0};
    segment s = ten_records(at);
    file f = file_of(&s, NULL, NULL);

    for (unsigned units = 1; units < 12; units++) {
        f.data[at[5] - 48 + 1] = (uint8_t)units;
        check(&run, f.data, f.size, f.size);
        CHECK_INT(units == 6 ? 0 : 1, run.count);
        CHECK(units == 6 || found_is(&run, 0, at[5] - 48, "filler: the checksum is wrong"));
        CHECK_INT(10, run.check->records_sound);
    }
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

static bool third(void *context, uint64_t offset, const fe_record *record)
{
    (void)record;
    return offset == *(const size_t *)context;
}

TEST(records_that_were_dead_are_checked_too)
{
    size_t at[10];
    check_run run = {0};
    segment s = ten_records(at);
    file f = file_of(&s, third, &at[3]);

    check(&run, f.data, f.size, f.size);
    CHECK_INT(0, run.count);
    CHECK_INT(10, run.check->records_sound);
    f.data[at[3] + 12] ^= 1;
    check(&run, f.data, f.size, f.size);
    CHECK_INT(1, run.count);
    CHECK(found_is(&run, 0, at[3], "record: the checksum is wrong"));
    CHECK_INT(9, run.check->records_sound);
    f.data[at[2] + 12] ^= 1; /* behind the damage of a record that has an entry, too */
    check(&run, f.data, f.size, f.size);
    CHECK_INT(2, run.count);
    CHECK(found_is(&run, 1, at[3], "record: the checksum is wrong"));
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

/* Writes an entry's offset, size and keyspace, and the block's checksum anew. */
static void forge(file *f, uint32_t entry, uint64_t offset, uint64_t size)
{
    uint8_t *block = f->data + 4096;
    uint64_t place = offset / 8 | size / 8 << 22 | 1ull << 52;
    memcpy(block + 16 + entry * 16 + 8, &place, 8);
    uint32_t crc = fe_crc32c(0, block + 4, 4096 - 128 - 4);
    memcpy(block, &crc, 4);
}

TEST(entries_that_do_not_meet_their_records_are_named)
{
    size_t at[10];
    check_run run = {0};
    segment s = ten_records(at);
    file f = file_of(&s, NULL, NULL);
    size_t size = at[1] - at[0];

    forge(&f, 1, at[1] + 8, size - 8); /* inside of its record */
    forge(&f, 4, at[5] - 48, size);    /* a filler */
    forge(&f, 6, at[6], size - 8);     /* another size */
    check(&run, f.data, f.size, f.size);

    CHECK_INT(4, run.count);
    CHECK(found_is(&run, 0, at[1] + 8, "footer: an entry's record does not begin here"));
    CHECK(found_is(&run, 1, at[5] - 48, "footer: an entry's record does not begin here"));
    CHECK(found_is(&run, 2, at[6], "record: size or deadline are not those of its entry"));
    CHECK(found_is(&run, 3, 8192 - 128, "trailer: its sums are not those of the footer's entries"));
    CHECK_INT(10, run.check->records_sound);
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

TEST(a_damaged_footer_block_costs_only_its_own_entries)
{
    check_run run = {0};
    segment s = segment_new(600 * 8);
    for (int i = 0; i < 600; i++)
        put_plain(&s, "", "");
    file f = file_of(&s, NULL, NULL);

    f.data[8192 + 4096 + 100] ^= 1; /* the second block */
    check(&run, f.data, f.size, f.size);

    CHECK_INT(1, run.count);
    CHECK(found_is(&run, 0, 8192 + 4096, "footer: a block's checksum is wrong"));
    CHECK_INT(600, run.check->records_sound);
    CHECK_INT(600 - 255, run.check->keyspaces[1]);
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

TEST(entries_out_of_order_between_blocks_are_named)
{
    check_run run = {0};
    segment s = segment_new(300 * 8);
    for (int i = 0; i < 300; i++)
        put_plain(&s, "", "");
    file f = file_of(&s, NULL, NULL);
    uint8_t *second = f.data + 8192;
    uint64_t place = 0ull | 1ull << 22 | 1ull << 52; /* the first record again */
    memcpy(second + 16 + 8, &place, 8);
    uint32_t crc = fe_crc32c(0, second + 4, 4096 - 128 - 4);
    memcpy(second, &crc, 4);

    check(&run, f.data, f.size, f.size);

    CHECK_INT(1, run.count);
    CHECK(found_is(&run, 0, 8192, "footer: entries overlap or are out of order"));
    CHECK_INT(300, run.check->records_sound);
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

TEST(any_changed_byte_is_found)
{
    check_run run = {0};
    fe_random random;
    fe_random_init(&random, 5);
    segment s = segment_new(16384);
    put_random(&s, &random, 9000, true);
    file f = file_of(&s, NULL, NULL);

    for (size_t i = 0; i < f.size; i++) {
        uint8_t flip = (uint8_t)(1 + fe_random_below(&random, 255));
        f.data[i] ^= flip;
        check(&run, f.data, f.size, f.size);
        if (run.count == 0) fprintf(stderr, "byte %zu ^ %u\n", i, flip);
        CHECK(run.count != 0);
        f.data[i] ^= flip;
    }
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

TEST(files_that_were_cut_or_extended_are_found)
{
    size_t at[10];
    check_run run = {0};
    segment s = ten_records(at);
    file f = file_of(&s, NULL, NULL);
    uint8_t *longer = calloc(1, f.size + 4096);
    if (longer == NULL) abort();
    memcpy(longer, f.data, f.size);
    memcpy(longer + f.size, f.data + 4096, 4096); /* its trailer is sound */

    for (size_t size = 0; size < f.size; size += 64) {
        check(&run, f.data, size, size);
        CHECK_INT(1, run.count);
    }
    check(&run, longer, f.size + 4096, f.size + 4096);
    CHECK_INT(1, run.count);
    CHECK(found_is(&run, 0, f.size + 4096 - 128,
                   "trailer: the file has not the size that the trailer tells"));
    check(&run, f.data, 0, f.size); /* cut after its size was asked for */
    CHECK_INT(1, run.count);
    CHECK(found_is(&run, 0, f.size - 128, "the file has become shorter"));
    free(longer);
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

TEST(what_cannot_be_read_is_named_and_the_rest_is_checked)
{
    check_run run = {0};
    fe_random random;
    fe_random_init(&random, 8);
    segment s = segment_new(200000);
    put_random(&s, &random, 100000, true);
    file f = file_of(&s, NULL, NULL);
    size_t image = (s.used + 4095) / 4096 * 4096;

    for (size_t block = 0; block < f.size / 4096; block++) {
        run.bad_from = block * 4096;
        run.bad_to = run.bad_from + 4096;
        check(&run, f.data, f.size, f.size);
        CHECK(run.count >= 1);
        for (size_t i = 0; i < run.count; i++) {
            CHECK_INT(EIO, run.error[i]);
            CHECK(run.found[i].offset + 2 * 4096 > run.bad_from);
        }
        /* At most the records of the block, and the ones over its edges, are not seen. */
        if (run.bad_to <= image) {
            CHECK(run.count <= 2);
            CHECK(run.check->records_sound < f.head.records);
            CHECK(run.check->records_sound > f.head.records / 2);
        } else if (run.bad_to < f.size) {
            CHECK_INT(f.head.records, run.check->records_sound);
        }
    }
    file_free(&f);
    segment_free(&s);
    free(run.check);
}

int main(void)
{
    RUN(sound_files_of_all_sizes_have_no_fault);
    RUN(a_record_longer_than_the_window_is_checked_to_its_end);
    RUN(a_damaged_record_is_named_and_the_others_are_still_checked);
    RUN(a_damaged_filler_is_named_and_the_walk_goes_on_at_the_next_entry);
    RUN(a_filler_that_became_longer_or_shorter_is_named);
    RUN(records_that_were_dead_are_checked_too);
    RUN(entries_that_do_not_meet_their_records_are_named);
    RUN(a_damaged_footer_block_costs_only_its_own_entries);
    RUN(entries_out_of_order_between_blocks_are_named);
    RUN(any_changed_byte_is_found);
    RUN(files_that_were_cut_or_extended_are_found);
    RUN(what_cannot_be_read_is_named_and_the_rest_is_checked);
    return check_done();
}
