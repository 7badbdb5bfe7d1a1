/* SipHash-1-3 against published values and against a plain implementation. */
#include "base/hash.h"

#include "base/random.h"
#include "tests/check.h"

static uint64_t turn(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void naive_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = turn(v[1], 13), v[1] ^= v[0], v[0] = turn(v[0], 32);
    v[2] += v[3], v[3] = turn(v[3], 16), v[3] ^= v[2];
    v[0] += v[3], v[3] = turn(v[3], 21), v[3] ^= v[0];
    v[2] += v[1], v[1] = turn(v[1], 17), v[1] ^= v[2], v[2] = turn(v[2], 32);
}

/* The paper's description, byte by byte. */
static uint64_t naive_hash(const fe_hash_seed *seed, const uint8_t *data, size_t len)
{
    uint64_t v[4] = {
        seed->k0 ^ UINT64_C(0x736f6d6570736575), seed->k1 ^ UINT64_C(0x646f72616e646f6d),
        seed->k0 ^ UINT64_C(0x6c7967656e657261), seed->k1 ^ UINT64_C(0x7465646279746573)};
    for (size_t block = 0; block <= len / 8; block++) {
        uint64_t word = 0;
        for (size_t i = 0; i < 8; i++) {
            size_t at = block * 8 + i;
            if (at < len) word |= (uint64_t)data[at] << (8 * i);
        }
        if (block == len / 8) word |= (uint64_t)(len & 255) << 56;
        v[3] ^= word;
        naive_round(v);
        v[0] ^= word;
    }
    v[2] ^= 255;
    for (int i = 0; i < 3; i++)
        naive_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The first entries of the vectors that the authors' reference and other libraries share for 1-3.
 */
TEST(known_values_come_out)
{
    fe_hash_seed seed = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t data[8] = {0, 1, 2, 3, 4, 5, 6, 7};

    CHECK_INT((int64_t)UINT64_C(0xabac0158050fc4dc), fe_hash(&seed, data, 0));
    CHECK_INT((int64_t)UINT64_C(0xc9f49bf37d57ca93), fe_hash(&seed, data, 1));
    CHECK_INT((int64_t)UINT64_C(0x82cb9b024dc7d44d), fe_hash(&seed, data, 2));
    CHECK_INT(fe_hash(&seed, data, 0), fe_hash(&seed, NULL, 0));
}

TEST(every_length_and_alignment_agrees_with_the_plain_way)
{
    fe_random random;
    fe_random_init(&random, 1);
    uint8_t data[600];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)fe_random_next(&random);

    for (size_t len = 0; len < 520; len++) {
        for (size_t shift = 0; shift < 8; shift++) {
            fe_hash_seed seed = {fe_random_next(&random), fe_random_next(&random)};
            CHECK_INT(naive_hash(&seed, data + shift, len), fe_hash(&seed, data + shift, len));
        }
    }
}

int main(void)
{
    RUN(known_values_come_out);
    RUN(every_length_and_alignment_agrees_with_the_plain_way);
    return check_done();
}
