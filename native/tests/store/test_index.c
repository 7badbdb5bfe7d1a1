/* The index alone: growth and shrinkage through every tag width, iteration while it grows and
 * shrinks, fair random choice, chains of any length, refused memory.
 */
#include "base/random.h"
#include "store/index.h"
#include "tests/store/support.h"

typedef struct rig {
    fe_alloc alloc;
    fe_trash_list trash;
    fe_log log;
    fe_hash_seed seed;
    fe_index_space space;
    fe_index index;
    fe_random random;
} rig;

static uint64_t seed_now;

static void rig_open(rig *r)
{
    memset(r, 0, sizeof(*r));
    fe_alloc_init(&r->alloc);
    r->seed = (fe_hash_seed){seed_now, 77};
    fe_log_init(&r->log, &r->alloc, &r->trash, FE_SEGMENT_DEFAULT);
    r->space =
        (fe_index_space){.alloc = &r->alloc, .trash = &r->trash, .log = &r->log, .seed = &r->seed};
    fe_index_init(&r->index, &r->space);
    fe_random_init(&r->random, seed_now);
}

static void rig_close(rig *r)
{
    fe_index_reset(&r->index);
    fe_trash_empty(&r->trash, &r->alloc);
    fe_log_close(&r->log);
    CHECK_INT(0, fe_alloc_used_all(&r->alloc));
}

static uint64_t hash_of(const rig *r, fe_bytes name)
{
    return fe_hash(&r->seed, name.ptr, name.len);
}

/* Appends a record with an empty value; the index does not know it yet. */
static fe_address record_add(rig *r, fe_bytes name)
{
    size_t size = fe_record_size_for(0, name.len, 0);
    fe_address address = fe_log_append(&r->log, FE_TAIL_NEW, size, 1);
    if (address == FE_ADDRESS_NONE) abort();
    fe_record *record = fe_log_at(&r->log, address);
    record->word = (uint64_t)FE_TYPE_STRING | (uint64_t)name.len << 8 | 1ull << 32;
    memcpy((uint8_t *)record + 8, name.ptr, name.len);
    return address;
}

static bool add(rig *r, uint64_t number)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, number);
    return fe_index_insert(&r->index, hash_of(r, name), record_add(r, name), false) != NULL;
}

static uint64_t *lookup(rig *r, uint64_t number)
{
    name_buf buf;
    fe_record *record;
    fe_bytes name = name_of(&buf, number);
    return fe_index_find(&r->index, name, hash_of(r, name), &record);
}

/* The record stays in the log, as if another index held it. */
static void take_out(rig *r, uint64_t number)
{
    name_buf buf;
    uint64_t *slot = lookup(r, number);
    CHECK(slot != NULL);
    if (slot != NULL) fe_index_remove(&r->index, hash_of(r, name_of(&buf, number)), slot);
}

static void check_index(rig *r)
{
    const char *wrong = fe_index_check(&r->index, 1);
    if (wrong != NULL) fprintf(stderr, "index: %s\n", wrong);
    CHECK(wrong == NULL);
}

TEST(growing_over_both_refills_of_tags_and_shrinking_again_keeps_every_key)
{
    rig r;
    rig_open(&r);
    uint64_t keys = 450000; /* 65,536 buckets and more: tags are refilled at 256 and at 65,536 */
    for (uint64_t i = 0; i < keys; i++) {
        CHECK(add(&r, i));
        if (i == 2000 || i == 20000) check_index(&r);
    }
    check_index(&r);
    uint64_t missing = 0;
    for (uint64_t i = 0; i < keys; i++)
        missing += lookup(&r, i) == NULL;
    CHECK_INT(0, missing);
    CHECK(lookup(&r, keys) == NULL);
    uint64_t bytes = r.index.bytes;

    for (uint64_t i = 0; i + 50 < keys; i++) {
        take_out(&r, i);
        if (i == 200000 || i == 400000 || i == keys - 2000) check_index(&r);
    }

    check_index(&r);
    CHECK_INT(50, r.index.count);
    CHECK(lookup(&r, keys - 1) != NULL);
    CHECK(r.index.bytes < bytes / 50);
    CHECK(r.index.buckets <= 50);
    rig_close(&r);
}

TEST(no_insert_splits_more_than_two_buckets)
{
    rig r;
    rig_open(&r);
    uint64_t most = 0;
    for (uint64_t i = 0; i < 30000; i++) {
        uint64_t before = r.index.splits;
        CHECK(add(&r, i));
        if (r.index.splits - before > most) most = r.index.splits - before;
    }
    CHECK(most >= 1 && most <= 2);
    CHECK(r.index.splits > 4000);
    rig_close(&r);
}

/* Permanent keys are even; odd ones come and go. */
typedef struct seen {
    uint32_t *times;
    const rig *r;
} seen;

static void see(void *context, uint64_t slot)
{
    const seen *s = context;
    fe_bytes key = fe_record_key(fe_log_at(&s->r->log, fe_slot_address(slot)));
    char text[32] = {0};
    memcpy(text, key.ptr, key.len);
    s->times[strtoull(text + 4, NULL, 10)]++;
}

#define SCAN_KEYS 6000u

static void grow_or_shrink(rig *r, bool *present, bool grow)
{
    uint64_t changes = fe_random_below(&r->random, 120);
    for (uint64_t c = 0; c < changes; c++) {
        uint64_t i = fe_random_below(&r->random, SCAN_KEYS) | 1;
        if (grow && !present[i]) {
            CHECK(add(r, i));
            present[i] = true;
        } else if (!grow && present[i]) {
            take_out(r, i);
            present[i] = false;
        }
    }
}

TEST(a_scan_visits_every_key_that_stays_whatever_grows_and_shrinks_between_its_steps)
{
    for (uint64_t round = 0; round < 20; round++) {
        rig r;
        rig_open(&r);
        fe_random_init(&r.random, seed_now + round);
        static bool present[SCAN_KEYS + 1];
        static uint32_t times[SCAN_KEYS + 1];
        memset(present, 0, sizeof(present));
        memset(times, 0, sizeof(times));
        for (uint64_t i = 0; i < SCAN_KEYS; i += 2ull << fe_random_below(&r.random, 6)) {
            CHECK(add(&r, i));
            present[i] = true;
        }
        seen s = {times, &r};

        uint64_t cursor = 0, slots = 0, steps = 0, levels = 0;
        unsigned level = r.index.level;
        do {
            cursor = fe_index_scan(&r.index, cursor, see, &s, &slots);
            grow_or_shrink(&r, present, (steps / 40) % 2 == 0);
            levels += r.index.level != level;
            level = r.index.level;
            steps++;
        } while (cursor != 0 && steps < 1000000);

        CHECK(cursor == 0);
        CHECK(levels > 0);
        uint64_t missed = 0;
        for (uint64_t i = 0; i < SCAN_KEYS; i += 2)
            missed += present[i] && times[i] == 0; /* even keys never change */
        CHECK_INT(0, missed);
        check_index(&r);
        rig_close(&r);
    }
}

TEST(a_scan_of_a_resting_index_visits_every_key_once)
{
    rig r;
    rig_open(&r);
    static uint32_t times[SCAN_KEYS + 1];
    memset(times, 0, sizeof(times));
    for (uint64_t i = 0; i < SCAN_KEYS; i++)
        CHECK(add(&r, i));
    seen s = {times, &r};
    uint64_t cursor = 0, slots = 0;
    do {
        cursor = fe_index_scan(&r.index, cursor, see, &s, &slots);
    } while (cursor != 0);
    CHECK_INT(SCAN_KEYS, slots);
    for (uint64_t i = 0; i < SCAN_KEYS; i++)
        CHECK_INT(1, times[i]);
    rig_close(&r);
}

TEST(a_random_choice_is_uniform_over_keys)
{
    rig r;
    rig_open(&r);
    enum { KEYS = 400, DRAWS = 400 * 400 };
    static uint32_t times[SCAN_KEYS + 1];
    memset(times, 0, sizeof(times));
    for (uint64_t i = 0; i < KEYS; i++) /* between two levels: chains of very different lengths */
        CHECK(add(&r, i));
    CHECK(r.index.split > 0);
    seen s = {times, &r};
    for (uint64_t i = 0; i < DRAWS; i++)
        see(&s, *fe_index_random(&r.index, &r.random));

    double chi = 0, expected = (double)DRAWS / KEYS;
    for (uint64_t i = 0; i < KEYS; i++)
        chi += ((double)times[i] - expected) * ((double)times[i] - expected) / expected;
    /* 399 degrees of freedom: mean 399, standard deviation 28; six of them are 1 in 10^8 or less.
     */
    CHECK(chi < 399 + 6 * 28.25);
    rig_close(&r);
}

/* Names whose hashes agree in the low bits all fall into one bucket until many levels have passed.
 */
TEST(a_chain_of_any_length_splits_and_merges)
{
    rig r;
    rig_open(&r);
    static uint64_t number[200];
    unsigned found = 0;
    for (uint64_t i = 0; found < 200; i++) {
        name_buf buf;
        if ((hash_of(&r, name_of(&buf, i)) & 1023) == 5) number[found++] = i;
    }
    for (unsigned i = 0; i < 200; i++)
        CHECK(add(&r, number[i]));
    CHECK_INT(200, r.index.longest);
    check_index(&r);
    for (unsigned i = 0; i < 200; i++)
        CHECK(lookup(&r, number[i]) != NULL);
    for (unsigned i = 0; i < 190; i++)
        take_out(&r, number[i]);
    check_index(&r);
    rig_close(&r);
}

TEST(without_memory_an_insert_fails_and_nothing_else_changes)
{
    for (int64_t allowed = 0; allowed < 12; allowed++) {
        rig r;
        rig_open(&r);
        uint64_t inserted = 0, refused = 0;
        fe_address address[4000];
        for (uint64_t i = 0; i < 4000; i++) {
            name_buf buf;
            address[i] = record_add(&r, name_of(&buf, i));
        }
        fe_alloc_fail_after(&r.alloc, allowed);
        for (uint64_t i = 0; i < 4000; i++) {
            name_buf buf;
            uint64_t hash = hash_of(&r, name_of(&buf, i));
            if (fe_index_insert(&r.index, hash, address[i], false) != NULL)
                inserted++;
            else
                refused++;
        }
        CHECK_INT(inserted, r.index.count);
        CHECK(allowed > 0 || inserted == 0);
        CHECK(allowed > 8 || refused > 0);
        check_index(&r);
        fe_alloc_fail_after(&r.alloc, -1);
        CHECK(add(&r, 5000));
        check_index(&r);
        rig_close(&r);
    }
}

int main(void)
{
    seed_now = test_seed();
    RUN(growing_over_both_refills_of_tags_and_shrinking_again_keeps_every_key);
    RUN(no_insert_splits_more_than_two_buckets);
    RUN(a_scan_visits_every_key_that_stays_whatever_grows_and_shrinks_between_its_steps);
    RUN(a_scan_of_a_resting_index_visits_every_key_once);
    RUN(a_random_choice_is_uniform_over_keys);
    RUN(a_chain_of_any_length_splits_and_merges);
    RUN(without_memory_an_insert_fails_and_nothing_else_changes);
    return check_done();
}
