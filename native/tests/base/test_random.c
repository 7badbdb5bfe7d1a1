/* Random numbers: known sequence, bounds and the system's bytes. */
#include "base/random.h"

#include "tests/check.h"

/* The state words of seed 0 are the published first outputs of splitmix64. */
TEST(the_seed_is_expanded_by_splitmix64)
{
    fe_random random;
    fe_random_init(&random, 0);

    CHECK_INT((int64_t)UINT64_C(0xe220a8397b1dcdaf), random.s[0]);
    CHECK_INT((int64_t)UINT64_C(0x6e789e6aa1b965f4), random.s[1]);
    CHECK_INT((int64_t)UINT64_C(0x06c45d188009454f), random.s[2]);
    CHECK_INT((int64_t)UINT64_C(0xf88bb8a8724c81ec), random.s[3]);
}

/* From the state 1, 2, 3, 4 the generator's published test sequence begins 11520, 0, 1509978240. */
TEST(the_generator_gives_its_known_sequence)
{
    fe_random random = {{1, 2, 3, 4}};

    CHECK_INT(11520, fe_random_next(&random));
    CHECK_INT(0, fe_random_next(&random));
    CHECK_INT(1509978240, fe_random_next(&random));
    CHECK_INT(1215971899390074240, fe_random_next(&random));
}

TEST(below_stays_below_and_reaches_everything_evenly)
{
    fe_random random;
    fe_random_init(&random, 3);
    int counts[7] = {0};

    for (int i = 0; i < 70000; i++)
        counts[fe_random_below(&random, 7)]++;

    for (int i = 0; i < 7; i++)
        CHECK(counts[i] > 9500 && counts[i] < 10500);
    CHECK_INT(0, fe_random_below(&random, 1));
    uint64_t wide = (UINT64_C(1) << 63) + 1;
    for (int i = 0; i < 1000; i++)
        CHECK(fe_random_below(&random, wide) < wide);
}

TEST(the_system_fills_all_bytes)
{
    uint8_t first[400] = {0};
    uint8_t second[400] = {0};

    CHECK(fe_random_system(first, sizeof first));
    CHECK(fe_random_system(second, sizeof second));

    CHECK(memcmp(first, second, sizeof first) != 0);
    uint8_t tail = 0;
    for (size_t i = 360; i < 400; i++)
        tail |= first[i];
    CHECK(tail != 0);
}

int main(void)
{
    RUN(the_seed_is_expanded_by_splitmix64);
    RUN(the_generator_gives_its_known_sequence);
    RUN(below_stays_below_and_reaches_everything_evenly);
    RUN(the_system_fills_all_bytes);
    return check_done();
}
