/* The hot keys, against exact counts. */
#include "tests/check.h"

#include "base/random.h"
#include "engine/hotkeys.h"

#include <math.h>

#define KEYS 5000u
#define HALF_LIFE_MS 10000u

static void add(fe_hot_table *table, uint32_t key, double amount, int64_t now_ms)
{
    char text[16];
    int len = snprintf(text, sizeof text, "k%u", key);
    fe_hot_add(table, (fe_bytes){(const uint8_t *)text, (size_t)len}, key, 0, amount, now_ms);
}

static uint32_t number_of(const fe_hot_key *key)
{
    char text[16] = {0};
    memcpy(text, key->name, key->name_len);
    return (uint32_t)strtoul(text + 1, NULL, 10);
}

static fe_hot_table table; /* too large for some stacks */

TEST(counts_of_a_skewed_load_are_within_their_errors_and_every_heavy_key_is_there)
{
    static double exact[KEYS];
    fe_random random;
    fe_random_init(&random, 3);
    fe_hot_clear(&table, HALF_LIFE_MS, 0);
    double sum = 0;
    for (int n = 0; n < 200000; n++) {
        double at = (double)(fe_random_next(&random) >> 11) * 0x1p-53;
        uint32_t key = (uint32_t)exp(at * log(KEYS - 1));
        double amount = 1 + key % 3;
        exact[key] += amount;
        sum += amount;
        add(&table, key, amount, 0);
    }

    bool there[KEYS] = {false};
    fe_hot_line lines[FE_HOT_KEYS];
    uint32_t count = fe_hot_list(&table, 0, lines);
    CHECK_INT(FE_HOT_KEYS, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = number_of(lines[i].key);
        there[key] = true;
        CHECK(exact[key] <= lines[i].per_second + 1e-6);
        CHECK(exact[key] >= lines[i].per_second - lines[i].error - 1e-6);
        CHECK(i == 0 || lines[i - 1].per_second >= lines[i].per_second);
    }
    for (uint32_t key = 0; key < KEYS; key++)
        CHECK(there[key] || exact[key] <= sum / FE_HOT_KEYS);
}

TEST(a_steady_rate_is_told_as_it_is_and_halves_after_a_half_life)
{
    fe_hot_clear(&table, HALF_LIFE_MS, 0);
    fe_hot_line lines[FE_HOT_KEYS];
    for (int64_t ms = 0; ms < 3600 * 1000; ms += 10)
        add(&table, 1, 3, ms);

    CHECK_INT(1, fe_hot_list(&table, 3600 * 1000, lines));
    CHECK(fabs(lines[0].per_second - 300) < 1);
    CHECK(lines[0].error == 0);
    CHECK_INT(1, fe_hot_list(&table, 3600 * 1000 + HALF_LIFE_MS, lines));
    CHECK(fabs(lines[0].per_second - 150) < 1);
}

TEST(a_date_that_is_set_back_changes_no_rate)
{
    fe_hot_clear(&table, HALF_LIFE_MS, 0);
    fe_hot_line lines[FE_HOT_KEYS];
    int64_t ms = 0;
    for (; ms < 3600 * 1000; ms += 10)
        add(&table, 1, 3, ms);

    int64_t back = ms - 3500 * 1000;
    CHECK_INT(1, fe_hot_list(&table, back, lines));
    CHECK(fabs(lines[0].per_second - 300) < 1);
    for (ms = back; ms < back + 20 * 1000; ms += 10)
        add(&table, 1, 3, ms);

    CHECK_INT(1, fe_hot_list(&table, ms, lines));
    CHECK(fabs(lines[0].per_second - 300) < 1);
}

TEST(long_names_are_cut_and_databases_kept_apart)
{
    uint8_t name[200];
    memset(name, 'x', sizeof name);
    fe_hot_clear(&table, HALF_LIFE_MS, 0);
    fe_hot_line lines[FE_HOT_KEYS];

    fe_hot_add(&table, (fe_bytes){name, 200}, 7, 0, 2, 0);
    fe_hot_add(&table, (fe_bytes){name, FE_HOT_NAME_MAX}, 7, 1, 1, 0);

    CHECK_INT(2, fe_hot_list(&table, 0, lines));
    CHECK(lines[0].key->is_cut && lines[0].key->name_len == FE_HOT_NAME_MAX);
    CHECK(!lines[1].key->is_cut && lines[1].key->db == 1);
}

int main(void)
{
    RUN(counts_of_a_skewed_load_are_within_their_errors_and_every_heavy_key_is_there);
    RUN(a_steady_rate_is_told_as_it_is_and_halves_after_a_half_life);
    RUN(a_date_that_is_set_back_changes_no_rate);
    RUN(long_names_are_cut_and_databases_kept_apart);
    return check_done();
}
