/* value/hll: the bytes of redis-server for the same elements, the sparse form against the dense
 * one, the error of the estimate, damaged bytes, and memory that runs out.
 *
 * The golden checksums (FNV-1a, 64 bits) are of what GET returned from redis-server 7.0.15 after
 * PFADD of "element:0", "element:1", ... with hll-sparse-max-bytes 3000. */
#include "value/hll.h"

#include "tests/check.h"
#include "tests/value/seed.h"

static fe_random random_state;
static fe_alloc allocator;

enum { SPARSE_MAX = FE_HLL_SPARSE_BYTES_MAX_DEFAULT };

static fe_buf empty_hll(void)
{
    fe_buf hll;
    uint8_t bytes[FE_HLL_EMPTY_BYTES];

    fe_hll_write_empty(bytes);
    fe_buf_init(&hll, &allocator, FE_ALLOC_SCRATCH);
    fe_buf_append(&hll, bytes, sizeof bytes);
    return hll;
}

static fe_buf copy_of(fe_bytes bytes)
{
    fe_buf copy;
    fe_buf_init(&copy, &allocator, FE_ALLOC_SCRATCH);
    fe_buf_append(&copy, bytes.ptr, bytes.len);
    return copy;
}

static bool add_number(fe_buf *hll, unsigned number, size_t sparse_bytes_max)
{
    char text[32];
    size_t len = (size_t)snprintf(text, sizeof text, "element:%u", number);
    fe_bytes element = {(const uint8_t *)text, len};
    bool changed = false, expected = true;

    CHECK_INT(FE_HLL_OK, fe_hll_probe(fe_buf_view(hll), element, &expected));
    CHECK_INT(FE_HLL_OK, fe_hll_add(hll, element, sparse_bytes_max, &changed));
    CHECK_INT(expected, changed);
    return changed;
}

static fe_buf hll_of(unsigned first, unsigned end)
{
    fe_buf hll = empty_hll();
    for (unsigned i = first; i < end; i++)
        (void)add_number(&hll, i, SPARSE_MAX);
    return hll;
}

static uint64_t checksum(fe_bytes bytes)
{
    uint64_t hash = 0xCBF29CE484222325U;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ bytes.ptr[i]) * 0x100000001B3U;
    return hash;
}

static uint64_t count_of(const fe_buf *hll)
{
    uint64_t count = UINT64_MAX;
    CHECK_INT(FE_HLL_OK, fe_hll_count(fe_buf_view(hll), &count));
    return count;
}

TEST(bytes_and_counts_are_those_of_redis)
{
    static const struct {
        unsigned elements;
        size_t len;
        uint64_t checksum, count;
    } golden[] = {
        {0, 18, 0x524bc36d036c0579U, 0},
        {1, 21, 0x5db2e01c33707b73U, 1},
        {10, 48, 0x77f1dfb6ec0d7ad9U, 10},
        {100, 285, 0x67b325af879902d0U, 99},
        {500, 1050, 0x78db67250c4fc8c0U, 502},
        {1000, 1897, 0x0f28a9d93d3164c9U, 997},
        {1500, 2722, 0xf838071971f93338U, 1500},
        {5000, 12304, 0x71b59976ab1aa332U, 5005},
        {100000, 12304, 0x8c615f2c02122d45U, 100039},
    };

    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        fe_buf hll = hll_of(0, golden[i].elements);

        CHECK_INT(golden[i].len, hll.len);
        CHECK_INT(golden[i].checksum, checksum(fe_buf_view(&hll)));
        CHECK_INT(golden[i].count, count_of(&hll));
        fe_buf_free(&hll);
    }
}

/* The checksums were taken while the cached counts were stale. */
TEST(merged_bytes_and_counts_are_those_of_redis)
{
    static uint8_t registers[FE_HLL_REGISTERS];
    fe_buf a = hll_of(0, 200), b = hll_of(100, 400), c = hll_of(0, 3000), merged = empty_hll();
    memset(registers, 0, sizeof registers);

    CHECK_INT(FE_HLL_OK, fe_hll_merge(registers, fe_buf_view(&a)));
    CHECK_INT(FE_HLL_OK, fe_hll_merge(registers, fe_buf_view(&b)));
    CHECK_INT(401, fe_hll_count_registers(registers));
    CHECK_INT(FE_HLL_OK, fe_hll_raise(&merged, registers, false, SPARSE_MAX));
    CHECK_INT(875, merged.len);
    CHECK_INT(0x64f05bee29fec968U, checksum(fe_buf_view(&merged)));

    CHECK_INT(FE_HLL_OK, fe_hll_merge(registers, fe_buf_view(&c)));
    CHECK_INT(FE_HLL_OK, fe_hll_raise(&a, registers, true, SPARSE_MAX));
    CHECK_INT(0x8eec5669f13d2ebcU, checksum(fe_buf_view(&a)));
    CHECK_INT(3002, count_of(&a));
    fe_buf_free(&a);
    fe_buf_free(&b);
    fe_buf_free(&c);
    fe_buf_free(&merged);
}

TEST(opcodes_are_described_as_redis_prints_them)
{
    static const char expected[] = "Z:1167 v:1,1 Z:1340 v:2,1 Z:1673 v:5,1 Z:1282 v:1,1 Z:2856 "
                                   "v:1,1 Z:7470 v:2,1 Z:590";
    fe_buf hll = hll_of(0, 6), text;
    fe_buf_init(&text, &allocator, FE_ALLOC_SCRATCH);

    CHECK_INT(FE_HLL_OK, fe_hll_describe(fe_buf_view(&hll), &text));

    CHECK_BYTES(expected, strlen(expected), text.data, text.len);
    fe_buf_free(&hll);
    fe_buf_free(&text);
}

TEST(a_change_marks_the_cached_count_stale_and_nothing_else_does)
{
    fe_buf hll = hll_of(0, 10);
    uint64_t cached = 0;

    CHECK(!fe_hll_get_cached(fe_buf_view(&hll), &cached));
    fe_hll_set_cached(hll.data, 10);
    CHECK(!add_number(&hll, 3, SPARSE_MAX));
    CHECK(fe_hll_get_cached(fe_buf_view(&hll), &cached));
    CHECK_INT(10, cached);
    CHECK(add_number(&hll, 12, SPARSE_MAX));
    CHECK(!fe_hll_get_cached(fe_buf_view(&hll), &cached));

    fe_hll_set_cached(hll.data, 11);
    CHECK_INT(FE_HLL_OK, fe_hll_to_dense(&hll));
    CHECK(fe_hll_get_cached(fe_buf_view(&hll), &cached));
    CHECK(!fe_hll_add_dense(hll.data, FE_BYTES("element:3")));
    CHECK(fe_hll_get_cached(fe_buf_view(&hll), &cached));
    CHECK(fe_hll_add_dense(hll.data, FE_BYTES("element:13")));
    CHECK(!fe_hll_get_cached(fe_buf_view(&hll), &cached));
    fe_buf_free(&hll);
}

TEST(only_whole_headers_with_a_known_encoding_are_accepted)
{
    uint8_t bytes[FE_HLL_DENSE_BYTES + 1] = {'H', 'Y', 'L', 'L', 0};

    CHECK_INT(FE_HLL_OK, fe_hll_validate((fe_bytes){bytes, FE_HLL_DENSE_BYTES}));
    CHECK_INT(FE_HLL_NOT_HLL, fe_hll_validate((fe_bytes){bytes, FE_HLL_DENSE_BYTES + 1}));
    CHECK_INT(FE_HLL_NOT_HLL, fe_hll_validate((fe_bytes){bytes, FE_HLL_DENSE_BYTES - 1}));
    CHECK_INT(FE_HLL_NOT_HLL, fe_hll_validate((fe_bytes){NULL, 0}));
    bytes[4] = 1;
    CHECK_INT(FE_HLL_OK, fe_hll_validate((fe_bytes){bytes, FE_HLL_HEADER_BYTES}));
    CHECK_INT(FE_HLL_NOT_HLL, fe_hll_validate((fe_bytes){bytes, FE_HLL_HEADER_BYTES - 1}));
    bytes[4] = 2;
    CHECK_INT(FE_HLL_NOT_HLL, fe_hll_validate((fe_bytes){bytes, FE_HLL_DENSE_BYTES}));
    bytes[4] = 0;
    bytes[0] = 'h';
    CHECK_INT(FE_HLL_NOT_HLL, fe_hll_validate((fe_bytes){bytes, FE_HLL_DENSE_BYTES}));
}

TEST(estimates_stay_within_five_standard_errors)
{
    fe_buf hll = empty_hll();

    for (unsigned n = 1; n <= 200000; n++) {
        uint64_t number = fe_random_next(&random_state);
        bool changed;
        fe_bytes element = {(const uint8_t *)&number, sizeof number};
        CHECK_INT(FE_HLL_OK, fe_hll_add(&hll, element, SPARSE_MAX, &changed));
        if ((n & (n - 1)) != 0 && n % 50000 != 0) continue;
        double error = (double)count_of(&hll) - n;
        double allowed = 0.041 * n + 3; /* few elements may well share a register */
        CHECK(error < allowed && error > -allowed);
    }
    fe_buf_free(&hll);
}

/* -- sparse against dense -- */

static void check_same_registers(fe_bytes a, fe_bytes b)
{
    static uint8_t registers_a[FE_HLL_REGISTERS], registers_b[FE_HLL_REGISTERS];
    uint64_t count_a = 1, count_b = 2;

    memset(registers_a, 0, sizeof registers_a);
    memset(registers_b, 0, sizeof registers_b);
    CHECK_INT(FE_HLL_OK, fe_hll_merge(registers_a, a));
    CHECK_INT(FE_HLL_OK, fe_hll_merge(registers_b, b));
    CHECK(memcmp(registers_a, registers_b, sizeof registers_a) == 0);
    CHECK_INT(FE_HLL_OK, fe_hll_count(a, &count_a));
    CHECK_INT(FE_HLL_OK, fe_hll_count(b, &count_b));
    CHECK_INT(count_a, count_b);
    CHECK_INT(count_a, fe_hll_count_registers(registers_a));
}

TEST(sparse_and_dense_hold_the_same_registers_at_any_limit)
{
    static const size_t limits[] = {0, 18, 23, 300, 3000, 20000};

    for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++) {
        fe_buf sparse = empty_hll(), dense = empty_hll();
        CHECK_INT(FE_HLL_OK, fe_hll_to_dense(&dense));
        for (int i = 0; i < 3000; i++) {
            unsigned number = (unsigned)fe_random_below(&random_state, 2500);
            bool changed = add_number(&sparse, number, limits[l]);
            CHECK_INT(changed, add_number(&dense, number, limits[l]));
            bool was_sparse = !fe_hll_is_dense(fe_buf_view(&sparse));
            if (was_sparse) CHECK(sparse.len <= limits[l] || sparse.len == FE_HLL_EMPTY_BYTES);
            if (i % 100 == 0) check_same_registers(fe_buf_view(&sparse), fe_buf_view(&dense));
        }
        check_same_registers(fe_buf_view(&sparse), fe_buf_view(&dense));
        fe_buf_free(&sparse);
        fe_buf_free(&dense);
    }
}

/* fe_hll_raise remembers where it was; one register at a time it cannot. */
TEST(registers_raised_together_give_the_bytes_of_registers_raised_one_by_one)
{
    static uint8_t registers[FE_HLL_REGISTERS], single[FE_HLL_REGISTERS];

    for (int round = 0; round < 200; round++) {
        fe_buf together = hll_of(0, (unsigned)fe_random_below(&random_state, 300));
        fe_buf alone = copy_of(fe_buf_view(&together));
        uint64_t raised = fe_random_below(&random_state, 400) + 1;
        uint64_t span = fe_random_below(&random_state, FE_HLL_REGISTERS) + 1;
        uint64_t top = fe_random_below(&random_state, round % 10 == 0 ? 40 : 4) + 1;
        size_t limit = round % 3 == 0 ? 600 : 20000;
        memset(registers, 0, sizeof registers);
        for (uint64_t i = 0; i < raised; i++) {
            registers[fe_random_below(&random_state, span)] =
                (uint8_t)(fe_random_below(&random_state, top) + 1);
        }

        CHECK_INT(FE_HLL_OK, fe_hll_raise(&together, registers, false, limit));
        for (size_t i = 0; i < FE_HLL_REGISTERS; i++) {
            if (registers[i] == 0) continue;
            memset(single, 0, sizeof single);
            single[i] = registers[i];
            CHECK_INT(FE_HLL_OK, fe_hll_raise(&alone, single, false, limit));
        }

        CHECK(fe_bytes_equal(fe_buf_view(&together), fe_buf_view(&alone)));
        fe_buf_free(&together);
        fe_buf_free(&alone);
    }
}

/* Neighbours that a HyperLogLog of our own would have merged: v:1,1 v:1,1 z:1 v:1,1 Z:16380. Raising
 * register 2 merges 1 to 3; raising register 3 splits them, and merging then starts one opcode
 * further left. redis-server gives the same. */
TEST(merging_starts_at_the_opcode_before_the_change_even_if_the_search_did_not)
{
    static const uint8_t opcodes[] = {0x80, 0x80, 0x00, 0x80, 0x7F, 0xFB};
    static const uint8_t merged[] = {0x82, 0x84, 0x7F, 0xFB}; /* v:1,3 v:2,1 Z:16380 */
    static uint8_t registers[FE_HLL_REGISTERS] = {0, 0, 1, 2};
    fe_buf hll = empty_hll();
    hll.len = FE_HLL_HEADER_BYTES;
    fe_buf_append(&hll, opcodes, sizeof opcodes);

    CHECK_INT(FE_HLL_OK, fe_hll_raise(&hll, registers, false, SPARSE_MAX));

    CHECK_INT(FE_HLL_HEADER_BYTES + sizeof merged, hll.len);
    CHECK(memcmp(hll.data + FE_HLL_HEADER_BYTES, merged, sizeof merged) == 0);
    fe_buf_free(&hll);
}

TEST(a_register_above_32_needs_the_dense_form)
{
    static uint8_t registers[FE_HLL_REGISTERS];
    fe_buf hll = empty_hll();
    memset(registers, 0, sizeof registers);

    registers[77] = 32;
    CHECK_INT(FE_HLL_OK, fe_hll_raise(&hll, registers, false, SPARSE_MAX));
    CHECK(!fe_hll_is_dense(fe_buf_view(&hll)));
    registers[77] = 33;
    CHECK_INT(FE_HLL_OK, fe_hll_raise(&hll, registers, false, SPARSE_MAX));
    CHECK(fe_hll_is_dense(fe_buf_view(&hll)));
    memset(registers, 0, sizeof registers);
    CHECK_INT(FE_HLL_OK, fe_hll_merge(registers, fe_buf_view(&hll)));
    CHECK_INT(33, registers[77]);
    fe_buf_free(&hll);
}

/* The first element makes 18 bytes into 21. */
TEST(a_sparse_value_may_be_as_long_as_the_limit)
{
    fe_buf within = empty_hll(), beyond = empty_hll();

    CHECK(add_number(&within, 0, 21));
    CHECK(add_number(&beyond, 0, 20));

    CHECK_INT(21, within.len);
    CHECK_INT(FE_HLL_DENSE_BYTES, beyond.len);
    fe_buf_free(&within);
    fe_buf_free(&beyond);
}

/* -- what the world may do -- */

TEST(opcodes_that_do_not_cover_the_registers_are_corrupt)
{
    static uint8_t registers[FE_HLL_REGISTERS];
    static const struct {
        const char *opcodes;
        size_t len;
    } cases[] = {
        {"", 0},             /* nothing */
        {"\x7f", 1},         /* half an XZERO */
        {"\x7f\xfe", 2},     /* one register short */
        {"\x7f\xff\x00", 3}, /* one too many */
        {"\x00\x7f\xff", 3}, /* one too many, in the long run */
        {"\x7f\xfe\x81", 3}, /* one too many, with a value */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[32] = "HYLL\1";
        uint64_t count;
        memcpy(bytes + FE_HLL_HEADER_BYTES, cases[i].opcodes, cases[i].len);
        fe_bytes view = {bytes, FE_HLL_HEADER_BYTES + cases[i].len};
        fe_buf hll = copy_of(view);

        CHECK_INT(FE_HLL_OK, fe_hll_validate(view));
        CHECK_INT(FE_HLL_CORRUPT, fe_hll_count(view, &count));
        CHECK_INT(FE_HLL_CORRUPT, fe_hll_merge(registers, view));
        CHECK_INT(FE_HLL_CORRUPT, fe_hll_to_dense(&hll));
        CHECK(fe_bytes_equal(view, fe_buf_view(&hll)));
        fe_buf_free(&hll);
    }
}

TEST(damaged_values_are_refused_or_used_but_never_overrun)
{
    static uint8_t registers[FE_HLL_REGISTERS];

    for (int round = 0; round < 20000; round++) {
        fe_buf hll = hll_of(0, (unsigned)fe_random_below(&random_state, 40));
        uint64_t hits = fe_random_below(&random_state, 6) + 1, count;
        for (uint64_t i = 0; i < hits; i++) {
            size_t at = FE_HLL_HEADER_BYTES +
                        (size_t)fe_random_below(&random_state, hll.len - FE_HLL_HEADER_BYTES);
            hll.data[at] = (uint8_t)fe_random_next(&random_state);
        }
        fe_bytes tight = {memcpy(malloc(hll.len), hll.data, hll.len), hll.len};

        fe_hll_status counted = fe_hll_count(tight, &count);
        CHECK_INT(counted, fe_hll_merge(registers, tight));
        for (unsigned i = 0; i < 8; i++) {
            char text[32];
            size_t len = (size_t)snprintf(text, sizeof text, "damaged:%u:%d", i, round);
            fe_bytes element = {(const uint8_t *)text, len};
            bool changed, expected;
            fe_hll_status probed = fe_hll_probe(tight, element, &expected);
            fe_buf copy = copy_of(tight);
            fe_hll_status added = fe_hll_add(&copy, element, SPARSE_MAX, &changed);
            if (counted == FE_HLL_OK) CHECK(probed == FE_HLL_OK && added == FE_HLL_OK);
            if (added == FE_HLL_OK) CHECK_INT(expected, changed);
            if (added != FE_HLL_OK) CHECK(fe_bytes_equal(tight, fe_buf_view(&copy)));
            fe_buf_free(&copy);
        }
        free((void *)(uintptr_t)tight.ptr);
        fe_buf_free(&hll);
    }
}

/* What redis-server estimates for them; only here do registers at the maximum carry weight. */
TEST(registers_at_the_highest_rank_are_corrected_for)
{
    static uint8_t registers[FE_HLL_REGISTERS];
    for (size_t i = 0; i < FE_HLL_REGISTERS; i++)
        registers[i] = i % 2 == 0 ? 51 : 46;

    CHECK_INT(1632715117915693568U, fe_hll_count_registers(registers));
}

/* Registers that no hash can give. */
TEST(hostile_dense_registers_give_some_count)
{
    static uint8_t bytes[FE_HLL_DENSE_BYTES], registers[FE_HLL_REGISTERS];
    uint64_t count = 0;

    memset(bytes, 0xFF, sizeof bytes);
    memcpy(bytes, "HYLL\0", 5);
    memset(registers, 0, sizeof registers);
    CHECK_INT(FE_HLL_OK, fe_hll_count((fe_bytes){bytes, sizeof bytes}, &count));
    CHECK_INT(INT64_MAX, count);
    CHECK_INT(FE_HLL_OK, fe_hll_merge(registers, (fe_bytes){bytes, sizeof bytes}));
    CHECK_INT(63, registers[0]);
    CHECK_INT(63, registers[FE_HLL_REGISTERS - 1]);
}

TEST(memory_that_runs_out_is_reported)
{
    static uint8_t registers[FE_HLL_REGISTERS];
    memset(registers, 40, sizeof registers);
    fe_buf grown = hll_of(0, 5), merged = hll_of(0, 5);
    bool changed, failed = false;

    fe_alloc_fail_after(&allocator, 0);
    for (unsigned i = 5; i < 2000 && !failed; i++) {
        char text[32];
        size_t len = (size_t)snprintf(text, sizeof text, "element:%u", i);
        fe_bytes element = {(const uint8_t *)text, len};
        failed = fe_hll_add(&grown, element, SPARSE_MAX, &changed) == FE_HLL_NO_MEMORY;
    }
    fe_hll_status raised = fe_hll_raise(&merged, registers, false, SPARSE_MAX);
    fe_alloc_fail_after(&allocator, -1);

    CHECK(failed && grown.failed);
    CHECK_INT(FE_HLL_NO_MEMORY, raised);
    fe_buf_free(&grown);
    fe_buf_free(&merged);
    CHECK_INT(0, fe_alloc_used_all(&allocator));
}

int main(int argc, char **argv)
{
    random_state = seed_random(argc, argv);
    fe_alloc_init(&allocator);
    RUN(bytes_and_counts_are_those_of_redis);
    RUN(merged_bytes_and_counts_are_those_of_redis);
    RUN(opcodes_are_described_as_redis_prints_them);
    RUN(a_change_marks_the_cached_count_stale_and_nothing_else_does);
    RUN(only_whole_headers_with_a_known_encoding_are_accepted);
    RUN(estimates_stay_within_five_standard_errors);
    RUN(sparse_and_dense_hold_the_same_registers_at_any_limit);
    RUN(registers_raised_together_give_the_bytes_of_registers_raised_one_by_one);
    RUN(merging_starts_at_the_opcode_before_the_change_even_if_the_search_did_not);
    RUN(a_register_above_32_needs_the_dense_form);
    RUN(a_sparse_value_may_be_as_long_as_the_limit);
    RUN(opcodes_that_do_not_cover_the_registers_are_corrupt);
    RUN(damaged_values_are_refused_or_used_but_never_overrun);
    RUN(registers_at_the_highest_rank_are_corrected_for);
    RUN(hostile_dense_registers_give_some_count);
    RUN(memory_that_runs_out_is_reported);
    return check_done();
}
