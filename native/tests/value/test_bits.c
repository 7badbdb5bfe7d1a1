/* value/bits: the documented answers, the overflow rules at their edges, and every function against
 * a model that looks at one bit at a time. */
#include "value/bits.h"

#include "tests/check.h"
#include "tests/value/seed.h"

static fe_random random_state;

enum { VALUE_MAX = 2000 };

/* -- the model: one byte per bit -- */

static void explode(uint8_t *bits, fe_bytes value)
{
    for (size_t i = 0; i < value.len * 8; i++)
        bits[i] = (value.ptr[i / 8] >> (7 - i % 8)) & 1;
}

static uint64_t model_field(const uint8_t *bits, size_t bits_len, uint64_t offset, unsigned width)
{
    uint64_t field = 0;
    for (unsigned i = 0; i < width; i++) {
        field = field * 2 + (offset + i < bits_len ? bits[offset + i] : 0);
    }
    return field;
}

static fe_bytes random_value(uint8_t *storage, size_t len_max)
{
    size_t len = (size_t)fe_random_below(&random_state, len_max) + 1;
    seed_fill(&random_state, storage, len, (unsigned)fe_random_below(&random_state, 4));
    return (fe_bytes){storage, len};
}

/* -- one bit -- */

TEST(bit_zero_is_the_most_significant_of_byte_zero)
{
    uint8_t bytes[2] = {0, 0};

    bool old_first = fe_bits_set(bytes, 0, true);
    bool old_again = fe_bits_set(bytes, 0, true);
    bool old_other = fe_bits_set(bytes, 15, true);

    CHECK(!old_first && old_again && !old_other);
    CHECK_BYTES("\x80\x01", 2, bytes, 2);
    CHECK(fe_bits_get((fe_bytes){bytes, 2}, 15));
    CHECK(!fe_bits_get((fe_bytes){bytes, 2}, 16));
    CHECK(!fe_bits_get((fe_bytes){bytes, 2}, UINT64_MAX));
    CHECK(fe_bits_set(bytes, 0, false));
    CHECK_BYTES("\x00\x01", 2, bytes, 2);
}

/* -- counting and searching -- */

TEST(counts_of_the_documented_example)
{
    fe_bytes foobar = FE_BYTES("foobar");

    CHECK_INT(26, fe_bits_count_all(foobar));
    CHECK_INT(4, fe_bits_count(foobar, 0, 7));
    CHECK_INT(6, fe_bits_count(foobar, 8, 15));
    CHECK_INT(17, fe_bits_count(foobar, 5, 30));
    CHECK_INT(0, fe_bits_count_all((fe_bytes){NULL, 0}));
}

TEST(positions_of_the_documented_examples)
{
    fe_bytes value = {(const uint8_t *)"\xff\xf0\x00", 3};
    uint64_t position = 99;

    CHECK(fe_bits_find(value, false, 0, 23, &position) && position == 12);
    CHECK(fe_bits_find((fe_bytes){(const uint8_t *)"\x00\xff\xf0", 3}, true, 7, 15, &position));
    CHECK_INT(8, position);
    position = 99;
    CHECK(!fe_bits_find((fe_bytes){(const uint8_t *)"\x00\x00\x00", 3}, true, 0, 23, &position));
    CHECK(!fe_bits_find(value, true, 12, 23, &position));
    CHECK_INT(99, position);
}

TEST(counts_and_positions_agree_with_the_model)
{
    static uint8_t storage[VALUE_MAX], bits[VALUE_MAX * 8];

    for (int round = 0; round < 4000; round++) {
        fe_bytes value = random_value(storage, VALUE_MAX);
        explode(bits, value);
        uint64_t last = fe_random_below(&random_state, value.len * 8);
        uint64_t first = fe_random_below(&random_state, last + 1);
        bool bit = fe_random_below(&random_state, 2) == 1;
        uint64_t want_count = 0, want_position = UINT64_MAX, position = UINT64_MAX;
        for (uint64_t i = last + 1; i-- > first;) {
            want_count += bits[i];
            if (bits[i] == bit) want_position = i;
        }

        bool found = fe_bits_find(value, bit, first, last, &position);

        CHECK_INT(want_count, fe_bits_count(value, first, last));
        CHECK_INT(want_position != UINT64_MAX, found);
        CHECK_INT(want_position, position);
    }
}

/* -- combining -- */

static uint8_t model_combine(fe_bits_op op, const fe_bytes *inputs, size_t count, size_t at)
{
    unsigned result = at < inputs[0].len ? inputs[0].ptr[at] : 0;
    for (size_t i = 1; i < count; i++) {
        unsigned byte = at < inputs[i].len ? inputs[i].ptr[at] : 0;
        if (op == FE_BITS_AND) result &= byte;
        if (op == FE_BITS_OR) result |= byte;
        if (op == FE_BITS_XOR) result ^= byte;
    }
    return (uint8_t)(op == FE_BITS_NOT ? ~result : result);
}

TEST(inputs_of_different_lengths_combine_as_if_filled_with_zeros)
{
    enum { INPUTS = 4, LEN_MAX = 20000 };
    static uint8_t storage[INPUTS][LEN_MAX], out[LEN_MAX + 1];

    for (int round = 0; round < 400; round++) {
        fe_bits_op op = (fe_bits_op)fe_random_below(&random_state, 4);
        size_t count = op == FE_BITS_NOT ? 1 : (size_t)fe_random_below(&random_state, INPUTS) + 1;
        fe_bytes inputs[INPUTS];
        size_t out_len = 0;
        for (size_t i = 0; i < count; i++) {
            inputs[i] = random_value(storage[i], round % 4 == 0 ? LEN_MAX : 60);
            if (round % 5 == 1 && i > 0) inputs[i] = (fe_bytes){NULL, 0};
            if (inputs[i].len > out_len) out_len = inputs[i].len;
        }
        out[out_len] = 0x5A;

        fe_bits_combine(op, inputs, count, out, out_len);

        size_t wrong = 0;
        for (size_t i = 0; i < out_len; i++)
            wrong += out[i] != model_combine(op, inputs, count, i);
        CHECK_INT(0, wrong);
        CHECK_INT(0x5A, out[out_len]);
    }
}

/* -- fields -- */

TEST(fields_at_any_offset_agree_with_the_model)
{
    static uint8_t storage[64], bits[64 * 8];

    for (int round = 0; round < 20000; round++) {
        fe_bytes value = random_value(storage, 24);
        explode(bits, value);
        unsigned width = (unsigned)fe_random_below(&random_state, 64) + 1;
        uint64_t offset = fe_random_below(&random_state, value.len * 8 + 70);
        uint64_t want = model_field(bits, value.len * 8, offset, width);
        uint64_t sign = (uint64_t)1 << (width - 1);

        if (width < 64) CHECK_INT(want, fe_bits_get_unsigned(value, offset, width));
        CHECK_INT((want ^ sign) - sign, fe_bits_get_signed(value, offset, width));
    }
}

TEST(a_written_field_reads_back_and_leaves_its_neighbours)
{
    static uint8_t storage[40], bits[40 * 8], after[40 * 8];

    for (int round = 0; round < 20000; round++) {
        seed_fill(&random_state, storage, sizeof storage, 2);
        fe_bytes value = {storage, sizeof storage};
        unsigned width = (unsigned)fe_random_below(&random_state, 64) + 1;
        uint64_t offset = fe_random_below(&random_state, sizeof storage * 8 - width + 1);
        uint64_t field = fe_random_next(&random_state);
        explode(bits, value);
        for (unsigned i = 0; i < width; i++)
            bits[offset + i] = (field >> (width - 1 - i)) & 1;

        fe_bits_set_field(storage, offset, width, field);

        explode(after, value);
        CHECK(memcmp(bits, after, sizeof bits) == 0);
        CHECK((offset + width + 7) / 8 == fe_bits_field_bytes(offset, width));
    }
}

/* -- overflow -- */

typedef struct signed_case {
    int64_t value, increment;
    unsigned width;
    int64_t wrap, sat;
    bool fits;
} signed_case;

TEST(signed_overflow_at_the_edges)
{
    static const signed_case cases[] = {
        {127, 1, 8, -128, 127, false},
        {-128, -1, 8, 127, -128, false},
        {100, 27, 8, 127, 127, true},
        {-100, -28, 8, -128, -128, true},
        {127, INT64_MAX, 8, 126, 127, false},
        {-128, INT64_MIN, 8, -128, -128, false},
        {127, INT64_MIN, 8, 127, -128, false},
        {INT64_MAX, 1, 64, INT64_MIN, INT64_MAX, false},
        {INT64_MIN, -1, 64, INT64_MAX, INT64_MIN, false},
        {INT64_MIN, INT64_MAX, 64, -1, -1, true},
        {0, -1, 1, -1, -1, true},
        {0, 1, 1, -1, 0, false},
        {-1, -1, 1, 0, -1, false},
        {128, 0, 8, -128, 127, false},
        {-129, 0, 8, 127, -128, false},
        {INT64_MAX, 0, 63, -1, INT64_MAX / 2, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const signed_case *c = &cases[i];
        int64_t wrap = 0, sat = 0, fail = 77;
        CHECK(fe_bits_add_signed(c->value, c->increment, c->width, FE_BITS_WRAP, &wrap));
        CHECK(fe_bits_add_signed(c->value, c->increment, c->width, FE_BITS_SAT, &sat));
        bool fits = fe_bits_add_signed(c->value, c->increment, c->width, FE_BITS_FAIL, &fail);
        CHECK_INT(c->wrap, wrap);
        CHECK_INT(c->sat, sat);
        CHECK_INT(c->fits, fits);
        CHECK_INT(c->fits ? c->wrap : 77, fail);
    }
}

TEST(a_set_far_below_a_narrow_field_saturates_upwards_as_in_redis)
{
    int64_t result = 0;

    CHECK(fe_bits_add_signed(INT64_MIN, 0, 8, FE_BITS_SAT, &result));
    CHECK_INT(127, result);
    CHECK(fe_bits_add_signed(INT64_MIN + 127, 0, 8, FE_BITS_SAT, &result));
    CHECK_INT(127, result);
    CHECK(fe_bits_add_signed(INT64_MIN + 128, 0, 8, FE_BITS_SAT, &result));
    CHECK_INT(-128, result);
}

TEST(unsigned_overflow_at_the_edges)
{
    static const struct {
        uint64_t value;
        int64_t increment;
        unsigned width;
        uint64_t wrap, sat;
        bool fits;
    } cases[] = {
        {255, 1, 8, 0, 255, false},
        {0, -1, 8, 255, 0, false},
        {250, 5, 8, 255, 255, true},
        {5, -5, 8, 0, 0, true},
        {5, INT64_MIN, 8, 5, 0, false},
        {5, INT64_MAX, 8, 4, 255, false},
        {INT64_MAX, INT64_MIN, 63, INT64_MAX, 0, false},
        {0, INT64_MAX, 63, INT64_MAX, INT64_MAX, true},
        {1, INT64_MAX, 63, 0, INT64_MAX, false},
        {UINT64_MAX, 0, 8, 255, 255, false},
        {256, 0, 8, 0, 255, false},
        {1, 1, 1, 0, 1, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t wrap = 0, sat = 0, fail = 77;
        uint64_t value = cases[i].value;
        int64_t increment = cases[i].increment;
        unsigned width = cases[i].width;
        CHECK(fe_bits_add_unsigned(value, increment, width, FE_BITS_WRAP, &wrap));
        CHECK(fe_bits_add_unsigned(value, increment, width, FE_BITS_SAT, &sat));
        bool fits = fe_bits_add_unsigned(value, increment, width, FE_BITS_FAIL, &fail);
        CHECK_INT(cases[i].wrap, wrap);
        CHECK_INT(cases[i].sat, sat);
        CHECK_INT(cases[i].fits, fits);
        CHECK_INT(cases[i].fits ? cases[i].wrap : 77, fail);
    }
}

/* In 128 bits nothing overflows, so the rule can be stated plainly. */
TEST(sums_of_field_values_agree_with_wide_arithmetic)
{
    for (int round = 0; round < 50000; round++) {
        unsigned width = (unsigned)fe_random_below(&random_state, 64) + 1;
        int64_t max = INT64_MAX >> (64 - width);
        __int128 min = -(__int128)max - 1;
        uint64_t spread = fe_random_next(&random_state) >> fe_random_below(&random_state, 64);
        int64_t value = (int64_t)((fe_random_next(&random_state) & (uint64_t)max)) +
                        (fe_random_below(&random_state, 2) ? (int64_t)min : 0);
        int64_t increment = (int64_t)spread * (fe_random_below(&random_state, 2) ? 1 : -1);
        __int128 sum = (__int128)value + increment;
        int64_t want = (int64_t)(sum > max ? max : sum < min ? min : sum);
        int64_t sat = 0, fail = 0;

        CHECK(fe_bits_add_signed(value, increment, width, FE_BITS_SAT, &sat));
        CHECK_INT(want, sat);
        CHECK_INT(sum >= min && sum <= max,
                  fe_bits_add_signed(value, increment, width, FE_BITS_FAIL, &fail));
    }
}

int main(int argc, char **argv)
{
    random_state = seed_random(argc, argv);
    RUN(bit_zero_is_the_most_significant_of_byte_zero);
    RUN(counts_of_the_documented_example);
    RUN(positions_of_the_documented_examples);
    RUN(counts_and_positions_agree_with_the_model);
    RUN(inputs_of_different_lengths_combine_as_if_filled_with_zeros);
    RUN(fields_at_any_offset_agree_with_the_model);
    RUN(a_written_field_reads_back_and_leaves_its_neighbours);
    RUN(signed_overflow_at_the_edges);
    RUN(a_set_far_below_a_narrow_field_saturates_upwards_as_in_redis);
    RUN(unsigned_overflow_at_the_edges);
    RUN(sums_of_field_values_agree_with_wide_arithmetic);
    return check_done();
}
