/* The ledger of prefixes, against exact counts. */
#include "tests/check.h"

#include "base/random.h"
#include "engine/pace.h"
#include "engine/prefixes.h"

#include <math.h>

#define ROOM 16u
#define PREFIXES 2000u

static const fe_hash_seed seed = {3, 4};

static fe_bytes text_bytes(const char *text)
{
    return (fe_bytes){(const uint8_t *)text, strlen(text)};
}

static fe_prefixes *make(fe_alloc *alloc, uint32_t parts, uint32_t count)
{
    fe_prefixes_options options = {.on = true, .separator = ':', .parts = parts, .count = count};
    fe_prefixes *made = fe_prefixes_new(alloc, &options, false, &seed, 0);
    if (made == NULL) abort();
    return made;
}

static size_t prefix_len(const char *key, uint32_t parts)
{
    fe_bytes prefix = fe_prefix_of(text_bytes(key), ':', parts);
    CHECK(prefix.len == 0 || memcmp(prefix.ptr, key, prefix.len) == 0);
    return prefix.len;
}

TEST(a_prefix_ends_before_the_nth_separator_or_the_last)
{
    CHECK_INT(4, prefix_len("user:7:name", 1));
    CHECK_INT(6, prefix_len("user:7:name", 2));
    CHECK_INT(6, prefix_len("user:7:name", 3));
    CHECK_INT(6, prefix_len("user:7:name", 8));
    CHECK_INT(4, prefix_len("user:", 1));
    CHECK_INT(0, prefix_len("user", 1));
    CHECK_INT(0, prefix_len(":user", 1));
    CHECK_INT(1, prefix_len("::", 2));
    CHECK_INT(0, prefix_len("", 2));

    static char far[FE_PREFIX_SEARCH_MAX + 2];
    memset(far, 'x', sizeof far - 1);
    far[FE_PREFIX_SEARCH_MAX] = ':';
    CHECK_INT(0, prefix_len(far, 1));
    far[FE_PREFIX_SEARCH_MAX - 1] = ':';
    CHECK_INT(FE_PREFIX_SEARCH_MAX - 1, prefix_len(far, 1));
}

static uint32_t number_of(const fe_prefix *prefix)
{
    char text[16] = {0};
    memcpy(text, prefix->name, prefix->name_len);
    return (uint32_t)strtoul(text + 1, NULL, 10);
}

TEST(uses_of_a_skewed_load_are_within_their_errors_and_every_heavy_prefix_is_there)
{
    static double exact[PREFIXES];
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_prefixes *ledger = make(&alloc, 1, ROOM);
    fe_random random;
    fe_random_init(&random, 7);
    double sum = 0;
    for (int n = 0; n < 100000; n++) {
        double at = (double)(fe_random_next(&random) >> 11) * 0x1p-53;
        uint32_t number = (uint32_t)exp(at * log(PREFIXES - 1));
        char key[24];
        snprintf(key, sizeof key, "p%u:%d", number, n);
        fe_prefix_effects one = {.misses = 1};
        fe_prefix_add(fe_prefixes_use(ledger, text_bytes(key), 1, 0), &one);
        exact[number]++;
        sum++;
    }

    bool there[PREFIXES] = {false};
    CHECK_INT(ROOM, ledger->count);
    CHECK(ledger->uses == sum);
    for (uint32_t i = 0; i < ledger->count; i++) {
        const fe_prefix *prefix = &ledger->entries[i];
        uint32_t number = number_of(prefix);
        there[number] = true;
        CHECK(prefix->uses <= exact[number]);
        CHECK(prefix->uses + prefix->error >= exact[number]);
        CHECK(prefix->error <= sum / ROOM);
        CHECK(prefix->effects.misses == prefix->uses);
        CHECK(prefix->variance == 0);
    }
    for (uint32_t number = 0; number < PREFIXES; number++)
        CHECK(there[number] || exact[number] <= sum / ROOM);
    fe_prefixes_free(ledger);
}

TEST(only_uses_displace_and_what_is_long_is_cut)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_prefixes *ledger = make(&alloc, 1, 2);
    char key[200];
    memset(key, 'x', sizeof key - 2);
    key[sizeof key - 2] = ':';
    key[sizeof key - 1] = 0;

    const fe_prefix *cut = fe_prefixes_use(ledger, text_bytes(key), 3, 0);
    CHECK(cut->is_cut);
    CHECK_INT(FE_PREFIX_NAME_MAX, cut->name_len);
    CHECK(fe_prefixes_meet(ledger, text_bytes("a:1"), 0) != NULL);
    CHECK(fe_prefixes_meet(ledger, text_bytes("b:1"), 0) == NULL);
    const fe_prefix *b = fe_prefixes_use(ledger, text_bytes("b:1"), 1, 0);
    CHECK_INT(2, ledger->count);
    CHECK_BYTES("b", 1, b->name, b->name_len);
    CHECK(b->error == 0 && b->uses == 1);
    const fe_prefix *c = fe_prefixes_use(ledger, text_bytes("c:1"), 1, 0);
    CHECK(c->error == 1 && c->uses == 1);
    CHECK(fe_prefixes_meet(ledger, text_bytes("b:2"), 0) == NULL);
    fe_prefixes_clear(ledger, 5);
    CHECK(ledger->count == 0 && ledger->uses == 0 && ledger->since_ms == 5);
    fe_prefixes_free(ledger);

    fe_alloc_fail_after(&alloc, 0);
    fe_prefixes_options options = {.on = true, .separator = ':', .parts = 1, .count = 1};
    CHECK(fe_prefixes_new(&alloc, &options, false, &seed, 0) == NULL);
}

/* The sum of those that look alike is one entry, which does not fall while others come and go. */
TEST(a_ledger_by_pattern_counts_together_what_looks_alike)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_prefixes_options options = {.on = true, .separator = ':', .parts = 2, .count = 2};
    fe_prefixes *ledger = fe_prefixes_new(&alloc, &options, true, &seed, 0);
    if (ledger == NULL) abort();
    for (int n = 0; n < 100; n++) {
        char key[24];
        snprintf(key, sizeof key, "user:%d:name", n);
        const fe_prefix *users = fe_prefixes_use(ledger, text_bytes(key), 1, 5 + n);
        CHECK_BYTES("user:*", 6, users->name, users->name_len);
        CHECK(users->uses == n + 1 && users->error == 0 && users->since_ms == 5);
        CHECK(fe_prefixes_meet(ledger, text_bytes(key), 7) == users);
        snprintf(key, sizeof key, "%c:a", 'a' + n % 26);
        const fe_prefix *other = fe_prefixes_use(ledger, text_bytes(key), 1, 5 + n);
        CHECK(n < 1 || other->since_ms == 5 + n);
    }
    CHECK_INT(2, ledger->count);
    fe_prefixes_free(ledger);
}

/* Names are told apart by what is kept of them, so that none is there twice. */
TEST(long_prefixes_that_begin_alike_count_together)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_prefixes *ledger = make(&alloc, 1, 4);
    char key[FE_PREFIX_NAME_MAX + 8];
    memset(key, 'x', sizeof key);
    memcpy(key + FE_PREFIX_NAME_MAX, ":1", 3);
    CHECK(!fe_prefixes_use(ledger, text_bytes(key), 1, 0)->is_cut);
    for (int n = 0; n < 3; n++) {
        memcpy(key + FE_PREFIX_NAME_MAX, "0:1", 4);
        key[FE_PREFIX_NAME_MAX] = (char)('0' + n);
        const fe_prefix *one = fe_prefixes_use(ledger, text_bytes(key), 1, 0);
        CHECK(one->is_cut && one->uses == n + 2);
    }
    CHECK_INT(1, ledger->count);
    fe_prefixes_free(ledger);
}

/* Every use counts once, however the uses come, and in a quiet second each is looked at again. */
TEST(a_pace_follows_the_load_and_stands_for_all_uses)
{
    fe_pace pace;
    fe_pace_init(&pace, 11, 100, 0);
    uint64_t told = 0, looked = 0, uses = 0;
    for (int n = 0; n < 100000; n++) {
        uint32_t now = n % 3 == 0 ? 5 : 1;
        uses += now;
        bool near = fe_pace_is_near(&pace, now), passed = fe_pace_passes(&pace, now);
        CHECK(near == passed);
        if (!passed) continue;
        uint64_t stands_for = fe_pace_take(&pace, 0);
        CHECK(looked > 40 || stands_for == now);
        told += stands_for;
        looked++;
    }
    CHECK(told <= uses && uses - told < 2 * pace.interval);
    CHECK(looked < 1500);
    CHECK(pace.interval >= 64);

    for (int second = 1; second < 60; second++)
        for (uint32_t n = 0; n < 2 * pace.interval; n++)
            if (fe_pace_passes(&pace, 1)) (void)fe_pace_take(&pace, second * 1000);
    CHECK_INT(1, pace.interval);
}

/* Fifty uses a second after a burst: all are looked at soon, and none is lost or told twice. */
TEST(after_a_burst_a_pace_looks_at_each_use_again)
{
    fe_pace pace;
    fe_pace_init(&pace, 12, 1024, 0);
    uint64_t told = 0, uses = 0;
    for (; uses < 3000000; uses++)
        if (fe_pace_passes(&pace, 1)) told += fe_pace_take(&pace, 500);
    CHECK(pace.interval >= 1024);

    for (int tenth = 6; tenth <= 40; tenth++) {
        int64_t now_ms = tenth * 100;
        fe_pace_relax(&pace, now_ms);
        if (tenth == 9) CHECK(pace.interval >= 1024); /* the second is not over */
        if (tenth == 30) CHECK(pace.interval == 1 && pace.wait <= 0);
        for (int n = 0; n < 5; n++, uses++) {
            uint64_t stands_for = 0;
            if (fe_pace_passes(&pace, 1)) stands_for = fe_pace_take(&pace, now_ms);
            CHECK(tenth < 31 || stands_for == 1);
            told += stands_for;
        }
    }
    CHECK_INT((int64_t)uses, (int64_t)told);
}

int main(void)
{
    RUN(a_prefix_ends_before_the_nth_separator_or_the_last);
    RUN(uses_of_a_skewed_load_are_within_their_errors_and_every_heavy_prefix_is_there);
    RUN(only_uses_displace_and_what_is_long_is_cut);
    RUN(a_ledger_by_pattern_counts_together_what_looks_alike);
    RUN(long_prefixes_that_begin_alike_count_together);
    RUN(a_pace_follows_the_load_and_stands_for_all_uses);
    RUN(after_a_burst_a_pace_looks_at_each_use_again);
    return check_done();
}
