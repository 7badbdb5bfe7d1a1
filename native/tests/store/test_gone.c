/* The table of keys that are gone: against a naive model, and its bounds. */
#include "base/hash.h"
#include "base/random.h"
#include "store/gone.h"
#include "tests/store/support.h"

typedef struct table {
    fe_alloc alloc;
    fe_trash_list trash;
    fe_gone gone;
} table;

static void table_open(table *t, uint64_t bytes)
{
    *t = (table){0};
    fe_alloc_init(&t->alloc);
    fe_gone_resize(&t->gone, &t->alloc, &t->trash, bytes);
}

static void table_close(table *t)
{
    CHECK(fe_gone_check(&t->gone) == NULL);
    fe_gone_close(&t->gone, &t->alloc);
    fe_trash_empty(&t->trash, &t->alloc);
    CHECK_INT(0, fe_alloc_used_all(&t->alloc));
}

static uint64_t hash_of(uint64_t i)
{
    fe_hash_seed seed = {1, 2};
    return fe_hash(&seed, (const uint8_t *)&i, sizeof i);
}

TEST(each_reason_is_told_until_the_key_comes_back)
{
    table t;
    table_open(&t, 1 << 20);
    CHECK_INT(16384 * 28, fe_gone_capacity(&t.gone));

    for (unsigned reason = FE_MISS_EXPIRED; reason < FE_MISS_COUNT; reason++)
        fe_gone_note(&t.gone, hash_of(reason), (fe_miss)reason);

    CHECK_INT(FE_MISS_NEVER_SEEN, fe_gone_look(&t.gone, hash_of(99)));
    for (unsigned reason = FE_MISS_EXPIRED; reason < FE_MISS_COUNT; reason++)
        CHECK_INT(reason, fe_gone_look(&t.gone, hash_of(reason)));
    CHECK_INT(4, fe_gone_keys(&t.gone));
    fe_gone_note(&t.gone, hash_of(FE_MISS_EXPIRED), FE_MISS_DELETED); /* the last end counts */
    CHECK_INT(FE_MISS_DELETED, fe_gone_look(&t.gone, hash_of(FE_MISS_EXPIRED)));
    CHECK_INT(4, fe_gone_keys(&t.gone));
    fe_gone_forget(&t.gone, hash_of(FE_MISS_EVICTED));
    CHECK_INT(FE_MISS_NEVER_SEEN, fe_gone_look(&t.gone, hash_of(FE_MISS_EVICTED)));
    CHECK_INT(3, fe_gone_keys(&t.gone));
    CHECK_INT(0, t.gone.forgotten);
    table_close(&t);
}

TEST(the_size_is_within_bounds_and_a_change_forgets)
{
    table t;
    table_open(&t, 1);
    CHECK_INT(FE_GONE_BYTES_MIN, fe_gone_bytes(&t.gone));
    fe_gone_note(&t.gone, hash_of(1), FE_MISS_DELETED);
    fe_gone_resize(&t.gone, &t.alloc, &t.trash, FE_GONE_BYTES_MIN + 1); /* the same size */
    CHECK_INT(FE_MISS_DELETED, fe_gone_look(&t.gone, hash_of(1)));
    fe_gone_resize(&t.gone, &t.alloc, &t.trash, (3 << 20) + 5);
    CHECK_INT(2 << 20, fe_gone_bytes(&t.gone));
    CHECK_INT(FE_MISS_NEVER_SEEN, fe_gone_look(&t.gone, hash_of(1)));
    CHECK_INT(0, fe_gone_keys(&t.gone));
    fe_gone_resize(&t.gone, &t.alloc, &t.trash, UINT64_MAX);
    CHECK_INT(FE_GONE_BYTES_MAX, fe_gone_bytes(&t.gone));
    fe_gone_resize(&t.gone, &t.alloc, &t.trash, 0);
    fe_gone_note(&t.gone, hash_of(1), FE_MISS_DELETED);
    fe_gone_note_flushed(&t.gone, hash_of(1), 64, true);
    fe_gone_forget(&t.gone, hash_of(1));
    CHECK_INT(FE_MISS_NEVER_SEEN, fe_gone_look(&t.gone, hash_of(1)));
    CHECK_INT(0, fe_gone_capacity(&t.gone));
    table_close(&t);
}

TEST(without_memory_it_knows_nothing)
{
    table t = {0};
    fe_alloc_init(&t.alloc);
    fe_alloc_fail_after(&t.alloc, 0);
    fe_gone_resize(&t.gone, &t.alloc, &t.trash, 1 << 20);
    fe_gone_note(&t.gone, hash_of(1), FE_MISS_DELETED);
    CHECK_INT(FE_MISS_NEVER_SEEN, fe_gone_look(&t.gone, hash_of(1)));
    CHECK(fe_gone_error(&t.gone) <= 0);
    fe_gone_close(&t.gone, &t.alloc);
}

/* A hash whose line and fingerprint are those of key `i` alone. */
static uint64_t distinct(const table *t, uint64_t line, uint64_t i)
{
    return line | (i + 1) << t->gone.bits;
}

TEST(the_oldest_of_a_line_gives_way)
{
    table t;
    table_open(&t, FE_GONE_BYTES_MIN);
    for (uint64_t i = 0; i < 100; i++)
        fe_gone_note(&t.gone, distinct(&t, 5, i), FE_MISS_EVICTED);

    for (uint64_t i = 0; i < 100; i++)
        CHECK_INT(i < 72 ? FE_MISS_NEVER_SEEN : FE_MISS_EVICTED,
                  fe_gone_look(&t.gone, distinct(&t, 5, i)));
    CHECK_INT(28, fe_gone_keys(&t.gone));
    CHECK_INT(72, t.gone.forgotten);
    table_close(&t);
}

/* Model -------------------------------------------------------------------------------------------
 */

#define LINES 4u
#define KEYS 60u /* of each line */

typedef struct ending {
    fe_miss reason;  /* NEVER_SEEN: it is there, or never was */
    uint64_t noted;  /* notes of its line before it ended last */
    bool remembered; /* it was, when it was last looked at, since it ended */
} ending;

/* `weak`: of flushed keys only so many bits are known, which still tell them apart. */
static void run_model(fe_random *random, unsigned weak_bits)
{
    table t;
    table_open(&t, FE_GONE_BYTES_MIN);
    ending keys[LINES][KEYS] = {0};
    uint64_t notes[LINES] = {0};
    for (unsigned step = 0; step < 20000; step++) {
        unsigned line = (unsigned)fe_random_below(random, LINES);
        unsigned k = (unsigned)fe_random_below(random, KEYS);
        ending *key = &keys[line][k];
        uint64_t hash = distinct(&t, line, k);
        fe_miss found = fe_gone_look(&t.gone, hash);
        if (key->reason == FE_MISS_NEVER_SEEN) {
            CHECK_INT(FE_MISS_NEVER_SEEN, found);
        } else if (notes[line] - key->noted <= FE_GONE_LINE_KEYS - 1) {
            CHECK_INT(key->reason, found); /* nothing could have pushed it out yet */
        } else if (found != FE_MISS_NEVER_SEEN) {
            CHECK_INT(key->reason, found);
            CHECK(key->remembered); /* what was forgotten does not come back */
        } else {
            key->remembered = false;
        }
        unsigned what = (unsigned)fe_random_below(random, 8);
        if (what == 0) {
            fe_gone_forget(&t.gone, hash);
            *key = (ending){0};
        } else if (what < 5) {
            fe_miss reason = (fe_miss)(FE_MISS_EXPIRED + fe_random_below(random, 4));
            if (reason == FE_MISS_FLUSHED && weak_bits != 0) {
                fe_gone_forget(&t.gone, hash); /* it was there, before its database went */
                fe_gone_note_flushed(&t.gone, hash, t.gone.bits + weak_bits, step % 2 == 0);
            } else {
                fe_gone_note(&t.gone, hash, reason);
            }
            *key = (ending){reason, ++notes[line], true};
        }
        if (step % 512 == 0) {
            const char *wrong = fe_gone_check(&t.gone);
            if (wrong != NULL) fprintf(stderr, "%s\n", wrong);
            CHECK(wrong == NULL);
        }
    }
    CHECK(fe_gone_keys(&t.gone) <= (uint64_t)LINES * FE_GONE_LINE_KEYS);
    table_close(&t);
}

TEST(it_agrees_with_a_model_in_any_order_of_events)
{
    fe_random random;
    fe_random_init(&random, test_seed());
    for (unsigned round = 0; round < 8; round++)
        run_model(&random, round % 2 == 0 ? 0 : 6 + round);
}

/* Flushed -----------------------------------------------------------------------------------------
 */

TEST(a_flushed_key_is_told_by_the_bits_that_are_known)
{
    table t;
    table_open(&t, FE_GONE_BYTES_MIN);
    for (unsigned known = 6; known <= 36; known += 2) {
        uint64_t hash = hash_of(known), low = hash & ((1ull << known) - 1);
        fe_gone_note_flushed(&t.gone, low, known, false);
        CHECK_INT(FE_MISS_FLUSHED, fe_gone_look(&t.gone, hash));
        fe_gone_note(&t.gone, hash, FE_MISS_EXPIRED); /* takes the place of the other */
        CHECK_INT(FE_MISS_EXPIRED, fe_gone_look(&t.gone, hash));
        fe_gone_note_flushed(&t.gone, low, known, true); /* older than what is known */
        CHECK_INT(FE_MISS_EXPIRED, fe_gone_look(&t.gone, hash));
        fe_gone_forget(&t.gone, hash);
        CHECK_INT(FE_MISS_NEVER_SEEN, fe_gone_look(&t.gone, hash));
        CHECK(fe_gone_check(&t.gone) == NULL);
        CHECK_INT(0, fe_gone_keys(&t.gone));
        CHECK_INT(0, t.gone.weak);
    }
    fe_gone_note_flushed(&t.gone, 1, 5, false); /* not even its line is known */
    CHECK_INT(0, fe_gone_keys(&t.gone));
    CHECK_INT(1, t.gone.forgotten);
    table_close(&t);
}

/* Strangers that are taken for keys that are gone, of a million. */
static double strangers(const table *t)
{
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < 1000000; i++)
        wrong += fe_gone_look(&t->gone, hash_of(i + (1ull << 40))) != FE_MISS_NEVER_SEEN;
    return (double)wrong / 1e6;
}

TEST(strangers_are_as_seldom_as_it_says)
{
    table t;
    table_open(&t, 64 << 10);
    CHECK(strangers(&t) <= 0);
    for (uint64_t i = 0; i < 200000; i++)
        fe_gone_note(&t.gone, hash_of(i), FE_MISS_DELETED);
    CHECK_INT(fe_gone_capacity(&t.gone), fe_gone_keys(&t.gone));
    double expected = fe_gone_error(&t.gone), seen = strangers(&t);
    CHECK(expected > 0.00042 && expected < 0.00043); /* 28 of 65536 */
    CHECK(seen > expected / 1.5 && seen < expected * 1.5);
    table_close(&t);
}

TEST(with_flushed_keys_what_it_says_is_a_bound)
{
    table t;
    table_open(&t, 64 << 10);
    for (uint64_t i = 0; i < 20000; i++)
        fe_gone_note(&t.gone, hash_of(i), FE_MISS_DELETED);
    for (uint64_t i = 30000; i < 34000; i++)
        fe_gone_note_flushed(&t.gone, hash_of(i) & ((1u << 20) - 1), 20, false);
    double bound = fe_gone_error(&t.gone), seen = strangers(&t);
    CHECK(bound < 0.006);
    CHECK(seen <= bound * 1.1 && seen > bound / 3);
    for (uint64_t i = 30000; i < 34000; i++)
        CHECK(fe_gone_look(&t.gone, hash_of(i)) != FE_MISS_NEVER_SEEN);
    table_close(&t);
}

int main(void)
{
    RUN(each_reason_is_told_until_the_key_comes_back);
    RUN(the_size_is_within_bounds_and_a_change_forgets);
    RUN(without_memory_it_knows_nothing);
    RUN(the_oldest_of_a_line_gives_way);
    RUN(it_agrees_with_a_model_in_any_order_of_events);
    RUN(a_flushed_key_is_told_by_the_bits_that_are_known);
    RUN(strangers_are_as_seldom_as_it_says);
    RUN(with_flushed_keys_what_it_says_is_a_bound);
    return check_done();
}
