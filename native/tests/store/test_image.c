/* The segment file: its layout, the way there and back, and damage that is named. */
#include "store/image.h"

#include "base/crc.h"
#include "store/store.h"
#include "tests/store/segment.h"
#include "tests/store/support.h"

static uint64_t u64_at(const uint8_t *data, size_t at)
{
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;)
        value = value << 8 | data[at + i];
    return value;
}

static uint32_t u32_at(const uint8_t *data, size_t at)
{
    uint32_t value = 0;
    for (size_t i = 4; i-- > 0;)
        value = value << 8 | data[at + i];
    return value;
}

/* Read by offsets that are written out here, not through the struct. */
TEST(the_bytes_are_where_the_drawing_says)
{
    segment s = segment_new(4096);
    put_plain(&s, "a", "one"); /* 16 bytes at 0 */
    put_filler(&s, 24);        /* at 16 */
    put_record(&s, FE_RECORD_EXPIRY, FE_BYTES("key"), FE_BYTES("v"), 0, 0x1122334455, 5); /* 40 */

    file f = file_of(&s, NULL, NULL);

    const uint8_t *footer = f.data + 4096, *trailer = f.data + 8192 - 128;
    fe_hash_seed seed = SEGMENT_SEED;
    CHECK_INT(8192, f.size);
    CHECK_BYTES("\x01\x01\x03\x00", 4, f.data, 4);
    CHECK_BYTES("aone\0\0\0\0", 4, f.data + 8, 4);
    CHECK_BYTES("\0\x03\0\0", 4, f.data + 16, 4);
    CHECK_INT(fe_image_record_crc(f.data + 16, 24), u32_at(f.data, 20));
    CHECK_INT(0, u64_at(f.data, 24));
    CHECK_INT(0, u64_at(f.data, 32));
    CHECK_INT(0, u64_at(f.data, s.used));
    CHECK_INT(fe_crc32c(0, footer + 4, 4096 - 128 - 4), u32_at(footer, 0));
    CHECK_INT(7, u32_at(footer, 4));
    CHECK_INT(3, u32_at(footer, 8));
    CHECK_INT(0, u32_at(footer, 12));
    CHECK_INT((int64_t)fe_hash(&seed, (const uint8_t *)"a", 1), (int64_t)u64_at(footer, 16));
    CHECK_INT(0ull | 2ull << 22 | 1ull << 52, u64_at(footer, 24));
    CHECK_INT(0, u64_at(footer, 32));
    CHECK_INT(5ull | 3ull << 22 | 5ull << 52, u64_at(footer, 48));
    CHECK_INT(0x1122334455, u64_at(footer, 56));
    CHECK_INT(0, u64_at(footer, 64));
    CHECK_BYTES("FERRISEG", 8, trailer, 8);
    CHECK_INT(1, u32_at(trailer, 8));
    CHECK_INT(24, u32_at(trailer, 12));
    CHECK_INT(7, u32_at(trailer, 16));
    CHECK_INT(3, u32_at(trailer, 20));
    CHECK_INT(99, u64_at(trailer, 24));
    CHECK_INT(64, u64_at(trailer, 32)); /* used */
    CHECK_INT(40, u64_at(trailer, 40)); /* live */
    CHECK_INT(2, u32_at(trailer, 48));
    CHECK_INT(1, u32_at(trailer, 52));
    CHECK_INT(0x1122334455, u64_at(trailer, 56));
    CHECK_INT(0x1122334455, u64_at(trailer, 64));
    CHECK_INT(1700000000123, u64_at(trailer, 72));
    CHECK_INT((int64_t)fe_hash(&seed, (const uint8_t *)"ferrite", 7), u64_at(trailer, 80));
    CHECK_INT(3, u32_at(trailer, 88));
    CHECK_INT(0xffff, u32_at(trailer, 92));
    CHECK_INT(fe_crc32c(0, trailer, 124), u32_at(trailer, 124));
    file_free(&f);
    segment_free(&s);
}

TEST(a_records_checksum_takes_its_own_field_as_zero)
{
    segment s = segment_new(4096);
    put_plain(&s, "key", "value");
    file f = file_of(&s, NULL, NULL);
    uint8_t bytes[16];
    memcpy(bytes, f.data, 16);
    memset(bytes + 4, 0, 4);

    CHECK_INT(fe_crc32c(0, bytes, 16), u32_at(f.data, 4));
    CHECK(fe_image_record_check(f.data, 16));
    file_free(&f);
    segment_free(&s);
}

/* Compares a file with the segment that it was made of, `is_dead` applied. */
static void compare(const segment *s, const file *f, fe_image_dead *is_dead)
{
    fe_image_head head;
    fe_image_fault fault;
    fe_footer_block entries = {0};
    fe_footer_entry entry;
    fe_hash_seed seed = SEGMENT_SEED;
    uint32_t block = 0, seen = 0;
    CHECK(fe_image_read_trailer(f->data + f->size - 4096, 4096, f->size, &head, &fault));
    CHECK(memcmp(&head, &f->head, sizeof head) == 0);
    CHECK_INT(f->size, fe_image_file_size(&head));
    for (size_t at = 0, size; at < s->used; at += size) {
        fe_record *record = (fe_record *)(s->base + at);
        size = fe_record_size(record);
        if (fe_record_type(record) == FE_TYPE_FILLER) continue;
        CHECK_INT(size, fe_image_record_size(f->data + at, f->size - at));
        CHECK(fe_image_record_check(f->data + at, size));
        if (is_dead != NULL && is_dead(NULL, at, record)) continue;
        if (!fe_footer_next(&entries, &entry)) {
            const uint8_t *data = f->data + fe_image_footer_offset(&head) + block * 4096;
            CHECK(fe_footer_open(&head, block++, data, &entries, &fault));
            CHECK(fe_footer_next(&entries, &entry));
        }
        fe_bytes key = fe_record_key(record);
        CHECK_INT((int64_t)fe_hash(&seed, key.ptr, key.len), (int64_t)entry.hash);
        CHECK_INT(at, entry.offset * 8);
        CHECK_INT(size, entry.size * 8);
        CHECK_INT(fe_record_deadline(record), entry.deadline);
        CHECK_INT(fe_record_keyspace(record), entry.keyspace);
        fe_image_record_restore((fe_record *)(f->data + at), entry.keyspace, 0xabcde);
        CHECK(memcmp(record, f->data + at, size) == 0);
        seen++;
    }
    CHECK_INT(head.records, seen);
    while (block < fe_image_footer_blocks(&head)) {
        CHECK(fe_footer_open(&head, block, f->data + fe_image_footer_offset(&head) + block * 4096,
                             &entries, &fault));
        CHECK(!fe_footer_next(&entries, &entry));
        block++;
    }
}

TEST(records_of_all_forms_come_back_as_they_were)
{
    fe_random random;
    fe_random_init(&random, test_seed());
    for (int round = 0; round < 60; round++) {
        segment s = segment_new(200000);
        put_random(&s, &random, 8 + fe_random_below(&random, 150000), round % 2 == 0);
        file f = file_of(&s, NULL, NULL);

        if (round % 2 != 0) CHECK_INT(16, f.head.entry_size);
        compare(&s, &f, NULL);
        file_free(&f);
        segment_free(&s);
    }
}

/* Whether no byte of the footer is left as it was behind a block's entries. */
static bool rest_is_zero(const file *f)
{
    uint32_t blocks = fe_image_footer_blocks(&f->head);
    for (uint32_t i = 0; i < blocks; i++) {
        const uint8_t *block = f->data + fe_image_footer_offset(&f->head) + i * 4096;
        uint32_t entries = fe_footer_first(&f->head, i + 1) - fe_footer_first(&f->head, i);
        for (size_t at = 16 + entries * f->head.entry_size; at < 4096; at++)
            if (block[at] != 0 && (i + 1 < blocks || at < 4096 - 128)) return false;
    }
    return true;
}

TEST(every_count_of_entries_around_the_edges_of_blocks_fits)
{
    for (int deadlines = 0; deadlines < 2; deadlines++) {
        size_t record = deadlines ? 16 : 8;
        for (uint32_t records = 0; records < 1100; records++) {
            segment s = segment_new(1100 * 16 + 8);
            put_filler(&s, 8);
            for (uint32_t i = 0; i < records; i++)
                put_record(&s, deadlines ? FE_RECORD_EXPIRY : 0, FE_BYTES(""), FE_BYTES(""), 0, 1,
                           4095);
            file f = file_of(&s, NULL, NULL);

            uint32_t last = deadlines ? 164 : 247, full = deadlines ? 170 : 255, blocks = 1;
            while ((blocks - 1) * full + last < records)
                blocks++;
            CHECK_INT((8 + records * record + 4095) / 4096 * 4096 + blocks * 4096, f.size);
            CHECK_INT(fe_image_size(s.used, records, deadlines != 0 && records != 0), f.size);
            CHECK_INT(blocks, fe_image_footer_blocks(&f.head));
            CHECK(rest_is_zero(&f));
            compare(&s, &f, NULL);
            file_free(&f);
            segment_free(&s);
        }
    }
}

static bool two_of_three(void *context, uint64_t offset, const fe_record *record)
{
    (void)context;
    (void)record;
    return offset / 8 % 3 != 0;
}

static bool always(void *context, uint64_t offset, const fe_record *record)
{
    (void)context;
    (void)offset;
    (void)record;
    return true;
}

TEST(dead_records_have_no_entry_and_take_no_room_in_the_footer)
{
    fe_random random;
    fe_random_init(&random, 3);
    segment s = segment_new(400000);
    put_random(&s, &random, 300000, true);
    file all = file_of(&s, NULL, NULL), some = file_of(&s, two_of_three, NULL),
         none = file_of(&s, always, NULL);

    CHECK(some.head.records < all.head.records && some.head.live < all.head.live);
    CHECK(some.size < all.size);
    CHECK_INT(0, none.head.records);
    CHECK_INT(0, none.head.keyspace);
    CHECK_INT((s.used + 4095) / 4096 * 4096 + 4096, none.size);
    compare(&s, &some, two_of_three);
    compare(&s, &none, always);
    file_free(&all);
    file_free(&some);
    file_free(&none);
    segment_free(&s);
}

TEST(the_segments_of_a_real_store_make_sound_files)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    name_buf name;
    static const uint8_t big[40000] = {1};
    for (uint64_t i = 0; i < 6000; i++)
        set(&f, (uint32_t)(i % 3), name_of(&name, i % 4000), (fe_bytes){big, i % 97},
            i % 4 == 0 ? START_MS + (int64_t)i : 0);
    for (uint64_t i = 0; i < 4000; i += 7)
        del(&f, 0, name_of(&name, i));
    set(&f, 3, FE_BYTES("big"), (fe_bytes){big, sizeof big}, 0);

    uint32_t checked = 0;
    for (uint32_t n = 1; n <= f.store->log.high; n++) {
        const fe_segment *from = &f.store->log.segments[n];
        if (from->tier == FE_TIER_FREE || from->used == 0) continue;
        segment s = {from->base, from->used, from->used};
        file made = file_of(&s, NULL, NULL);
        fe_image_head head;
        fe_image_fault fault;
        CHECK(fe_image_read_trailer(made.data, made.size, made.size, &head, &fault));
        CHECK_INT(from->live, head.live);
        if (from->keyspace != FE_SEGMENT_MIXED) CHECK_INT(from->keyspace, head.keyspace);
        checked += head.records;
        file_free(&made);
    }
    CHECK(checked > 4000);
    fixture_close(&f);
}

/* Damage --------------------------------------------------------------------------------------- */

typedef struct mutation {
    size_t at; /* in the trailer, or in the footer block */
    uint64_t value;
    size_t size;
    const char *cause;
} mutation;

static void expect(const char *cause, bool sound, const fe_image_fault *fault)
{
    CHECK(!sound);
    if (!sound && strcmp(cause, fault->cause) != 0)
        fprintf(stderr, "expected: %s\ngot: %s\n", cause, fault->cause);
    CHECK(!sound && strcmp(cause, fault->cause) == 0);
}

static bool is_dead_always(void *context, uint64_t offset, const fe_record *record)
{
    (void)context, (void)offset, (void)record;
    return true;
}

TEST(a_long_record_makes_the_same_file_in_pieces_as_in_one)
{
    static const size_t lens[] = {FE_IMAGE_LONG, FE_IMAGE_LONG + 4096 - 64, FE_IMAGE_LONG + 4040,
                                  FE_IMAGE_LONG + 4071, 3 * FE_IMAGE_LONG + 8};
    for (unsigned i = 0; i < 3 * sizeof lens / sizeof lens[0]; i++) {
        size_t len = lens[i / 3];
        segment s = segment_new(len + 4096);
        uint8_t *value = malloc(len);
        for (size_t b = 0; b < len; b++)
            value[b] = (uint8_t)(b * 31 >> 3);
        put_record(&s, FE_RECORD_LARGE | (i % 3 == 1 ? FE_RECORD_EXPIRY : 0u), FE_BYTES("key"),
                   (fe_bytes){value, len}, len, 0x1122334455, 5);
        fe_image_plan plan = fe_image_plan_make(s.base, s.used);
        fe_image_source source = {.base = s.base,
                                  .used = s.used,
                                  .number = 7,
                                  .generation = 3,
                                  .sequence = 99,
                                  .seed = SEGMENT_SEED,
                                  .is_dead = i % 3 == 2 ? is_dead_always : NULL};
        fe_image_head head, head_long;
        fe_image_pieces pieces;
        uint8_t *whole = malloc(plan.size_max), *ends = malloc(FE_IMAGE_ENDS);
        memset(ends, 0xee, FE_IMAGE_ENDS);
        CHECK(fe_image_is_long(&source, &plan));
        size_t size = fe_image_build(&source, &plan, whole, &head);
        CHECK_INT(size, fe_image_build_long(&source, &plan, ends, &pieces, &head_long));
        CHECK_BYTES(&head, sizeof head, &head_long, sizeof head_long);
        size_t at = 0;
        for (unsigned p = 0; p < 3; at += pieces.size[p++])
            CHECK(at + pieces.size[p] <= size &&
                  memcmp(whole + at, pieces.at[p], pieces.size[p]) == 0);
        CHECK_INT(size, at);
        free(whole);
        free(ends);
        free(value);
        segment_free(&s);
    }
}

TEST(each_thing_that_can_be_wrong_with_a_trailer_is_named)
{
    static const mutation mutations[] = {
        {0, 0, 8, "no trailer: the file is cut off, or is no segment"},
        {8, 2, 4, "trailer: the version of the format is not 1"},
        {12, 17, 4, "trailer: entries are neither 16 nor 24 bytes"},
        {16, 0, 4, "trailer: no segment has the number 0"},
        {32, 0, 8, "trailer: the number of used bytes is impossible"},
        {32, 63, 8, "trailer: the number of used bytes is impossible"},
        {32, UINT64_MAX - 7, 8, "trailer: the number of used bytes is impossible"},
        {32, 4104, 8, "trailer: the file has not the size that the trailer tells"},
        {48, UINT32_MAX, 4, "trailer: more records than fit"},
        {40, 72, 8, "trailer: the sizes of records are impossible"},
        {40, 41, 8, "trailer: the sizes of records are impossible"},
        {88, 9, 4, "trailer: the sizes of records are impossible"},
        {92, 4096, 4, "trailer: the keyspace is impossible"},
        {92, 0, 4, "trailer: records without a keyspace"},
        {52, 3, 4, "trailer: the deadlines are impossible"},
        {12, 16, 4, "trailer: the deadlines are impossible"},
        {56, 0x7fffffffffffffff, 8, "trailer: the deadlines are impossible"},
    };
    segment s = segment_new(4096);
    put_plain(&s, "a", "one");
    put_filler(&s, 24);
    put_record(&s, FE_RECORD_EXPIRY, FE_BYTES("key"), FE_BYTES("v"), 0, 0x1122334455, 5);
    file f = file_of(&s, NULL, NULL);
    fe_image_head head;
    fe_image_fault fault;

    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++) {
        const mutation *m = &mutations[i];
        uint8_t trailer[128];
        memcpy(trailer, f.data + f.size - 128, 128);
        memcpy(trailer + m->at, &m->value, m->size);
        uint32_t crc = fe_crc32c(0, trailer, 124);
        memcpy(trailer + 124, &crc, 4);
        expect(m->cause, fe_image_read_trailer(trailer, 128, f.size, &head, &fault), &fault);
        CHECK_INT(f.size - 128, fault.offset);
    }
    f.data[f.size - 30] ^= 1;
    expect("trailer: the checksum is wrong",
           fe_image_read_trailer(f.data, f.size, f.size, &head, &fault), &fault);
    expect("the file is too short for a segment",
           fe_image_read_trailer(f.data, 4096, 4096, &head, &fault), &fault);
    expect("the file is too short for a segment",
           fe_image_read_trailer(f.data + f.size - 127, 127, f.size, &head, &fault), &fault);
    file_free(&f);
    segment_free(&s);
}

TEST(each_thing_that_can_be_wrong_with_a_footer_block_is_named)
{
    static const mutation mutations[] = {
        {4, 8, 4, "footer: a block belongs to another place or file"},
        {8, 4, 4, "footer: a block belongs to another place or file"},
        {12, 1, 4, "footer: a block belongs to another place or file"},
        {24, 0ull | 0ull << 22 | 1ull << 52, 8, "footer: an entry is outside of the segment"},
        {24, 0ull | 4ull << 22 | 1ull << 52, 8, "footer: an entry is outside of the segment"},
        {24, 7ull | 2ull << 22 | 1ull << 52, 8, "footer: an entry is outside of the segment"},
        {48, 1ull | 3ull << 22 | 5ull << 52, 8, "footer: entries overlap or are out of order"},
        {48, 5ull | 3ull << 22, 8, "footer: an entry's keyspace is not the trailer's"},
        {56, 0x1122334454, 8, "footer: an entry's deadline is not within the trailer's"},
        {32, 0x1122334456, 8, "footer: an entry's deadline is not within the trailer's"},
    };
    segment s = segment_new(4096);
    put_plain(&s, "a", "one");
    put_filler(&s, 24);
    put_record(&s, FE_RECORD_EXPIRY, FE_BYTES("key"), FE_BYTES("v"), 0, 0x1122334455, 5);
    file f = file_of(&s, NULL, NULL);
    fe_image_fault fault;
    fe_footer_block entries;

    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++) {
        const mutation *m = &mutations[i];
        uint8_t block[4096];
        memcpy(block, f.data + 4096, 4096);
        memcpy(block + m->at, &m->value, m->size);
        uint32_t crc = fe_crc32c(0, block + 4, 4096 - 128 - 4);
        memcpy(block, &crc, 4);
        expect(m->cause, fe_footer_open(&f.head, 0, block, &entries, &fault), &fault);
        CHECK_INT(4096 + (m->at < 16 ? 0 : m->at < 40 ? 16 : 40), fault.offset);
    }
    f.data[4096 + 3000] ^= 1;
    expect("footer: a block's checksum is wrong",
           fe_footer_open(&f.head, 0, f.data + 4096, &entries, &fault), &fault);
    f.head.keyspace = 5;
    f.data[4096 + 3000] ^= 1;
    expect("footer: an entry's keyspace is not the trailer's",
           fe_footer_open(&f.head, 0, f.data + 4096, &entries, &fault), &fault);
    file_free(&f);
    segment_free(&s);
}

TEST(the_size_of_a_record_is_told_from_as_few_bytes_as_possible)
{
    segment s = segment_new(4096);
    put_plain(&s, "key", "value");
    size_t large = put_record(&s, FE_RECORD_LARGE | FE_RECORD_EXPIRY, FE_BYTES("key"),
                              FE_BYTES("value"), 100, 1, 1);

    for (size_t have = 0; have < 40; have++) {
        CHECK_INT(have < 8 ? 0 : 16, fe_image_record_size(s.base, have));
        CHECK_INT(have < 24 ? 0 : 136, fe_image_record_size(s.base + large, have));
    }
    segment_free(&s);
}

TEST(heads_that_no_record_has_are_impossible)
{
    static const uint64_t heads[][3] = {
        {0x0000000000000300, 0, 0},                           /* a filler */
        {0x0000000000030302, 0, 0},                           /* a type of another version */
        {0x0000000000030381, 0, 0},                           /* a flag of another version */
        {0x0000000000070341, 0, 0},                           /* an integer of 7 bytes */
        {0x0000000000000121, 5ull << 32 | 3, 5},              /* large, with a small length */
        {0x0000000000000021, 5ull << 32 | 3, 4},              /* a value above its capacity */
        {0x0000000000000021, 5ull << 32 | 3, 5 | 1ull << 32}, /* not zero where zero is kept */
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        CHECK(fe_image_record_size((const uint8_t *)heads[i], 24) == FE_IMAGE_IMPOSSIBLE);
        CHECK(!fe_image_record_check((const uint8_t *)heads[i], 24));
    }
    CHECK(!fe_image_record_check((const uint8_t *)heads, 0));
}

TEST(a_record_with_any_byte_changed_or_of_another_size_is_refused)
{
    segment s = segment_new(4096);
    put_record(&s, FE_RECORD_EXPIRY, FE_BYTES("some key"), FE_BYTES("some value"), 0, 12345, 9);
    put_plain(&s, "next", "record");
    file f = file_of(&s, NULL, NULL);
    size_t size = fe_image_record_size(f.data, 8);

    CHECK(fe_image_record_check(f.data, size));
    for (size_t i = 0; i < size * 8; i++) {
        f.data[i / 8] ^= (uint8_t)(1u << i % 8);
        CHECK(!fe_image_record_check(f.data, size));
        f.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t other = 0; other < 100; other++)
        CHECK(fe_image_record_check(f.data, other) == (other == size));
    file_free(&f);
    segment_free(&s);
}

int main(void)
{
    RUN(the_bytes_are_where_the_drawing_says);
    RUN(a_records_checksum_takes_its_own_field_as_zero);
    RUN(records_of_all_forms_come_back_as_they_were);
    RUN(every_count_of_entries_around_the_edges_of_blocks_fits);
    RUN(dead_records_have_no_entry_and_take_no_room_in_the_footer);
    RUN(the_segments_of_a_real_store_make_sound_files);
    RUN(a_long_record_makes_the_same_file_in_pieces_as_in_one);
    RUN(each_thing_that_can_be_wrong_with_a_trailer_is_named);
    RUN(each_thing_that_can_be_wrong_with_a_footer_block_is_named);
    RUN(the_size_of_a_record_is_told_from_as_few_bytes_as_possible);
    RUN(heads_that_no_record_has_are_impossible);
    RUN(a_record_with_any_byte_changed_or_of_another_size_is_refused);
    return check_done();
}
