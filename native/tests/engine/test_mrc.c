/* The hit-ratio curve, against least-recently-used caches that are simulated key by key. */
#include "tests/check.h"

#include "base/random.h"
#include "engine/mrc.h"

#include <math.h>

/* A cache of so many bytes, least recently used first out: a list with its newest at next[0]. */
typedef struct lru {
    uint64_t capacity, bytes, hits;
    uint32_t *next, *before; /* by key, from 1; 0 is the end of the ring */
    bool *inside;
} lru;

typedef struct load {
    uint32_t keys;
    double *sums; /* of the probabilities of keys, ascending */
    fe_random random;
} load;

static uint64_t size_of(uint32_t key)
{
    return 64 + (key * 2654435761u >> 8) % 449;
}

static uint64_t hash_of(uint32_t key)
{
    uint64_t z = key * 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static void *must_take(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (block == NULL) abort();
    return block;
}

static void lru_open(lru *it, uint32_t keys, uint64_t capacity)
{
    *it = (lru){.capacity = capacity,
                .next = must_take(keys + 1, sizeof(uint32_t)),
                .before = must_take(keys + 1, sizeof(uint32_t)),
                .inside = must_take(keys + 1, 1)};
}

static void lru_close(lru *it)
{
    free(it->next);
    free(it->before);
    free(it->inside);
}

static void lru_remove(lru *it, uint32_t key)
{
    it->next[it->before[key]] = it->next[key];
    it->before[it->next[key]] = it->before[key];
    it->inside[key] = false;
    it->bytes -= size_of(key);
}

/* A read of the key and, after a miss, a write of it. */
static void lru_read(lru *it, uint32_t key)
{
    if (it->inside[key]) {
        it->hits++;
        lru_remove(it, key);
    }
    it->next[key] = it->next[0];
    it->before[key] = 0;
    it->before[it->next[0]] = key;
    it->next[0] = key;
    it->inside[key] = true;
    it->bytes += size_of(key);
    while (it->bytes > it->capacity)
        lru_remove(it, it->before[0]);
}

static void load_open(load *it, uint32_t keys, double skew, uint64_t seed)
{
    it->keys = keys;
    it->sums = must_take(keys, sizeof(double));
    fe_random_init(&it->random, seed);
    double sum = 0;
    for (uint32_t i = 0; i < keys; i++)
        it->sums[i] = sum += pow(i + 1, -skew);
}

/* A key, 1..keys, by Zipf's law. */
static uint32_t load_key(load *it)
{
    double at = (double)(fe_random_next(&it->random) >> 11) * 0x1p-53 * it->sums[it->keys - 1];
    uint32_t low = 0, high = it->keys - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (it->sums[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low + 1;
}

static void note_read(fe_mrc *mrc, uint32_t key)
{
    mrc->reads++;
    uint64_t hash = hash_of(key);
    if (!fe_mrc_is_sampled(mrc, hash)) return;
    fe_mrc_use use = {.hash = hash, .is_read = true, .exists = true, .bytes = size_of(key)};
    fe_mrc_note(mrc, &use);
}

/* A size that is a bound of the buckets: 2^power * (16 + step) / 16, less one. */
static uint64_t bound(unsigned power, unsigned step)
{
    return ((uint64_t)(16 + step) << (power - 4)) - 1;
}

#define SIZES 14u

/* Mean and greatest difference between the curve and caches, for `reads` of a load in which every
 * `scan_every`-th read (0: none) walks over all keys in turn. */
static void compare(fe_mrc *mrc, uint32_t keys, uint32_t reads, uint32_t scan_every, double *mean,
                    double *worst)
{
    static const unsigned powers[SIZES] = {16, 17, 18, 19, 20, 21, 22, 22, 23, 23, 24, 24, 25, 25};
    static const unsigned steps[SIZES] = {0, 0, 0, 0, 0, 0, 0, 8, 0, 8, 0, 8, 0, 8};
    load from;
    lru caches[SIZES];
    load_open(&from, keys, 0.99, 42);
    for (unsigned i = 0; i < SIZES; i++)
        lru_open(&caches[i], keys, bound(powers[i], steps[i]));
    for (uint32_t n = 0, scan = 0; n < reads; n++) {
        bool scans = scan_every != 0 && n % scan_every == 0;
        uint32_t key = scans ? 1 + scan++ % keys : load_key(&from);
        note_read(mrc, key);
        for (unsigned i = 0; i < SIZES; i++)
            lru_read(&caches[i], key);
    }
    *mean = *worst = 0;
    for (unsigned i = 0; i < SIZES; i++) {
        double real = (double)caches[i].hits / reads;
        double off = fabs(fe_mrc_hit_ratio(mrc, caches[i].capacity) - real);
        if (off > *worst) *worst = off;
        *mean += off / SIZES;
        lru_close(&caches[i]);
    }
    free(from.sums);
}

static fe_mrc *must_open(fe_alloc *alloc, uint32_t samples_max, double rate_max)
{
    fe_alloc_init(alloc);
    fe_mrc *mrc = fe_mrc_new(alloc, samples_max, rate_max);
    if (mrc == NULL) abort();
    return mrc;
}

static void close_curve(fe_alloc *alloc, fe_mrc *mrc)
{
    CHECK(fe_mrc_check(mrc) == NULL);
    fe_mrc_free(mrc);
    CHECK_INT(0, fe_alloc_used_all(alloc));
}

TEST(with_every_key_in_the_sample_the_curve_is_that_of_real_caches)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 4096, 1);
    double mean, worst;

    compare(mrc, 4000, 100000, 0, &mean, &worst);

    CHECK(worst < 1e-9);
    CHECK_INT(100000, (int64_t)fe_mrc_reads(mrc));
    close_curve(&alloc, mrc);
}

TEST(a_sample_of_few_keys_has_a_small_error_on_a_skewed_load)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 2048, 1);
    double mean, worst;

    compare(mrc, 100000, 1000000, 0, &mean, &worst);

    printf("zipf 0.99: rate %.4f, mean error %.4f, worst %.4f\n", fe_mrc_rate(mrc), mean, worst);
    CHECK(fe_mrc_rate(mrc) < 0.05);
    CHECK(mean < 0.02);
    CHECK(worst < 0.05);
    close_curve(&alloc, mrc);
}

TEST(a_sample_of_few_keys_has_a_small_error_where_a_scan_is_mixed_in)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 2048, 1);
    double mean, worst;

    compare(mrc, 100000, 1000000, 3, &mean, &worst);

    printf("with a scan: rate %.4f, mean error %.4f, worst %.4f\n", fe_mrc_rate(mrc), mean, worst);
    CHECK(fe_mrc_rate(mrc) < 0.05);
    CHECK(mean < 0.02);
    CHECK(worst < 0.08);
    close_curve(&alloc, mrc);
}

static void use_key(fe_mrc *mrc, uint32_t key, bool is_read, bool exists)
{
    fe_mrc_use use = {.hash = hash_of(key), .is_read = is_read, .exists = exists};
    use.bytes = exists ? 2000 : 0;
    use.deadline_ms = key == 3 ? 1000 : 0;
    use.now_ms = 2000;
    mrc->reads += is_read;
    fe_mrc_note(mrc, &use);
}

TEST(what_was_evicted_would_have_been_there_and_what_was_deleted_or_expired_not)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 16, 1);
    for (uint32_t key = 1; key <= 3; key++)
        use_key(mrc, key, false, true);

    use_key(mrc, 1, true, false); /* distance 6000 */
    CHECK(fe_mrc_hit_ratio(mrc, 1 << 14) == 1);
    CHECK(fe_mrc_hit_ratio(mrc, 1 << 12) == 0);
    use_key(mrc, 2, false, false); /* deleted */
    use_key(mrc, 2, true, false);
    use_key(mrc, 3, true, false); /* past its deadline */

    CHECK(fabs(fe_mrc_hit_ratio(mrc, 1 << 30) - 1.0 / 3) < 1e-9);
    close_curve(&alloc, mrc);
}

TEST(a_forgotten_database_is_cold_and_others_are_not)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 16, 1);
    fe_mrc_use use = {.hash = 7, .is_read = false, .exists = true, .bytes = 100};
    fe_mrc_note(mrc, &use);
    use.db = 1;
    fe_mrc_note(mrc, &use);

    fe_mrc_forget(mrc, 1);
    use.is_read = true;
    for (use.db = 0; use.db < 2; use.db++, mrc->reads++)
        fe_mrc_note(mrc, &use);

    CHECK(fabs(fe_mrc_hit_ratio(mrc, 1 << 20) - 0.5) < 1e-9);
    fe_mrc_clear(mrc);
    CHECK(fe_mrc_hit_ratio(mrc, 1 << 20) == 0);
    CHECK_INT(0, mrc->count);
    close_curve(&alloc, mrc);
}

TEST(decay_keeps_the_ratio_until_newer_reads_outweigh_it)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 16, 1);
    use_key(mrc, 1, true, true);
    use_key(mrc, 1, true, true);

    fe_mrc_decay(mrc, 0.5);
    CHECK(fabs(fe_mrc_hit_ratio(mrc, 1 << 20) - 0.5) < 1e-9);
    use_key(mrc, 1, true, true);

    CHECK(fabs(fe_mrc_reads(mrc) - 2) < 1e-9);
    CHECK(fabs(fe_mrc_hit_ratio(mrc, 1 << 20) - 0.75) < 1e-9);
    close_curve(&alloc, mrc);
}

TEST(keys_that_nobody_asks_for_again_leave_the_sample_and_the_rate_stays)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 256, 1.0 / 16);
    mrc->reach = 1 << 20;

    for (uint32_t key = 1; key < 2000000; key++)
        note_read(mrc, key);

    CHECK(fe_mrc_rate(mrc) > 1.0 / 24);
    CHECK(mrc->bytes <= (uint64_t)((1 << 20) * fe_mrc_rate(mrc) * 1.3));
    close_curve(&alloc, mrc);
}

TEST(the_same_key_of_two_databases_is_two_keys_until_the_threshold_falls)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 16, 1);
    for (uint32_t n = 0; n < 40; n++) {
        fe_mrc_use use = {.hash = (n / 2 + 1) * 1000, .db = n % 2, .exists = true, .bytes = 10};
        if (fe_mrc_is_sampled(mrc, use.hash)) fe_mrc_note(mrc, &use);
        CHECK(fe_mrc_check(mrc) == NULL);
    }

    CHECK_INT(16, mrc->count);
    close_curve(&alloc, mrc);
}

/* Those that are gone have no part in the mean. */
TEST(a_key_of_unknown_size_is_as_large_as_those_that_are_there)
{
    fe_alloc alloc;
    fe_mrc *mrc = must_open(&alloc, 64, 1);
    fe_mrc_use use = {.exists = true, .bytes = 1000};
    for (use.hash = 1; use.hash <= 8; use.hash++)
        fe_mrc_note(mrc, &use);
    use.exists = false; /* deleted */
    for (use.hash = 1; use.hash <= 6; use.hash++)
        fe_mrc_note(mrc, &use);
    CHECK_INT(2, mrc->stacked);

    use = (fe_mrc_use){.hash = 9, .exists = true};
    fe_mrc_note(mrc, &use);

    CHECK_INT(3000, mrc->bytes);
    close_curve(&alloc, mrc);
}

TEST(random_uses_keep_every_invariant)
{
    fe_alloc alloc;
    fe_random random;
    fe_random_init(&random, 7);
    fe_mrc *mrc = must_open(&alloc, 64, 0.9);
    mrc->reach = 20000;
    for (int n = 0; n < 20000; n++) {
        uint64_t dice = fe_random_next(&random);
        uint64_t hash = hash_of(1 + (uint32_t)(dice >> 8) % (n < 10000 ? 500u : 40u));
        fe_mrc_use use = {.hash = hash,
                          .db = (uint32_t)dice % 2,
                          .is_read = (dice >> 1) % 2 != 0,
                          .exists = (dice >> 2) % 4 != 0,
                          .bytes = (dice >> 4) % 8 * 50,
                          .deadline_ms = (dice >> 3) % 2 != 0 ? n + 50 : 0,
                          .now_ms = n};
        if (!fe_mrc_is_sampled(mrc, hash)) continue;
        if (!use.exists) use.bytes = 0;
        fe_mrc_note(mrc, &use);
        if (n % 1000 == 999) fe_mrc_forget(mrc, 1);
        const char *violation = n % 16 == 0 ? fe_mrc_check(mrc) : NULL;
        if (violation != NULL) fprintf(stderr, "%d: %s\n", n, violation);
        CHECK(violation == NULL);
    }
    close_curve(&alloc, mrc);
}

TEST(without_memory_there_is_no_curve_and_nothing_is_left)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    for (int64_t n = 0; n < 6; n++) {
        fe_alloc_fail_after(&alloc, n);
        CHECK(fe_mrc_new(&alloc, 64, 1) == NULL);
        CHECK_INT(0, fe_alloc_used_all(&alloc));
    }
}

int main(void)
{
    RUN(with_every_key_in_the_sample_the_curve_is_that_of_real_caches);
    RUN(a_sample_of_few_keys_has_a_small_error_on_a_skewed_load);
    RUN(a_sample_of_few_keys_has_a_small_error_where_a_scan_is_mixed_in);
    RUN(what_was_evicted_would_have_been_there_and_what_was_deleted_or_expired_not);
    RUN(a_forgotten_database_is_cold_and_others_are_not);
    RUN(decay_keeps_the_ratio_until_newer_reads_outweigh_it);
    RUN(keys_that_nobody_asks_for_again_leave_the_sample_and_the_rate_stays);
    RUN(the_same_key_of_two_databases_is_two_keys_until_the_threshold_falls);
    RUN(a_key_of_unknown_size_is_as_large_as_those_that_are_there);
    RUN(random_uses_keep_every_invariant);
    RUN(without_memory_there_is_no_curve_and_nothing_is_left);
    return check_done();
}
