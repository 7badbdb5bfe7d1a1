/* Checksums against their catalogued check values and against bit-by-bit division. */
#include "base/crc.h"

#include "base/random.h"
#include "tests/check.h"

static uint64_t naive_crc64(const uint8_t *data, size_t len)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
        }
    }
    return crc;
}

static uint32_t naive_crc32c(const uint8_t *data, size_t len)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

TEST(the_check_values_of_both_come_out)
{
    const uint8_t *digits = (const uint8_t *)"123456789";

    CHECK_INT((int64_t)UINT64_C(0xe9c6d914c4b8d9ca), fe_crc64(0, digits, 9));
    CHECK_INT(0xe3069283, fe_crc32c(0, digits, 9));
    CHECK_INT(0, fe_crc64(0, NULL, 0));
    CHECK_INT(0, fe_crc32c(0, NULL, 0));
}

TEST(every_length_and_cut_agrees_with_bitwise_division)
{
    fe_random random;
    fe_random_init(&random, 2);
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)fe_random_next(&random);

    for (size_t len = 0; len < 290; len++) {
        const uint8_t *at = data + fe_random_below(&random, 9);
        size_t cut = fe_random_below(&random, len + 1);
        CHECK_INT(naive_crc64(at, len), fe_crc64(fe_crc64(0, at, cut), at + cut, len - cut));
        CHECK_INT(naive_crc32c(at, len), fe_crc32c(fe_crc32c(0, at, cut), at + cut, len - cut));
    }
}

int main(void)
{
    RUN(the_check_values_of_both_come_out);
    RUN(every_length_and_cut_agrees_with_bitwise_division);
    return check_done();
}
