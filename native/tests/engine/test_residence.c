/* Where the bytes of prefixes lie, against a model that knows each record. */
#include "tests/check.h"

#include "base/random.h"
#include "store/look.h"
#include "tests/folder.h"
#include "tests/tiered_engine.h"

#include <math.h>
#include <unistd.h>

#define PREFIXES 300u

typedef struct rig {
    fe_engine *engine;
    char path[64];
    double bytes[PREFIXES]; /* of the records that there are, by prefix */
    fe_residence_tour tour;
} rig;

static const fe_insight_options on = {
    .hot_half_life_s = 60, .prefixes = {.on = true, .separator = ':', .parts = 1, .count = 64}};

static void set_insight(rig *it, const fe_insight_options *options)
{
    uint64_t entered = fe_engine_enter(it->engine);
    fe_insight_set_options(&it->engine->insight, options, it->engine->now_ms);
    fe_engine_leave(it->engine, FE_STEP_BATCH, entered);
}

static void open_memory(rig *it)
{
    *it = (rig){0};
    fe_engine_options options = {
        .store = {.databases = 2, .samples = 5, .seed = {1, 2}}, .expire_effort = 1, .hz = 10};
    it->engine = fe_engine_new(&options);
    FE_ASSERT(it->engine != NULL);
    set_insight(it, &on);
}

static void open_tiered(rig *it)
{
    *it = (rig){.path = "/tmp/ferrite-residence-XXXXXX"};
    FE_ASSERT(mkdtemp(it->path) != NULL);
    fe_engine_options options = tiered_options(it->path);
    it->engine = fe_engine_new(&options);
    FE_ASSERT(it->engine != NULL);
    set_insight(it, &on);
}

static void close_rig(rig *it)
{
    fe_engine_free(it->engine);
    if (it->path[0] != 0) remove_folder(it->path);
}

static void locate(rig *it, uint32_t prefix, uint64_t number, char *name, fe_key *key)
{
    int len = snprintf(name, 32, "p%u:%06" PRIu64, prefix, number);
    fe_bytes bytes = {(const uint8_t *)name, (size_t)len};
    fe_key_find(it->engine->store, prefix % 2, bytes,
                fe_key_hash(fe_store_seed(it->engine->store), bytes), false, key);
}

/* Whether it may be a key on disk, by the bits of the hash that are known: it would have to be read first. */
static bool may_be_cold(rig *it, uint32_t prefix, uint64_t number)
{
    char name[32];
    fe_whereabouts where;
    int len = snprintf(name, sizeof name, "p%u:%06" PRIu64, prefix, number);
    fe_bytes bytes = {(const uint8_t *)name, (size_t)len};
    return fe_look_key(it->engine->store, prefix % 2, bytes,
                       fe_key_hash(fe_store_seed(it->engine->store), bytes), &where);
}

/* A new key. */
static void put(rig *it, uint32_t prefix, uint64_t number, size_t len)
{
    fe_status status = FE_BUSY;
    while (status == FE_BUSY) {
        uint64_t entered = fe_engine_enter(it->engine);
        status = fe_store_make_room(it->engine->store);
        if (status == FE_OK && !may_be_cold(it, prefix, number)) {
            char name[32];
            fe_key key;
            locate(it, prefix, number, name, &key);
            uint8_t *value =
                fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, FE_DEADLINE_NONE);
            FE_ASSERT(value != NULL);
            memset(value, 'v', len);
            it->bytes[prefix] += (double)fe_record_size(key.record);
        }
        fe_engine_leave(it->engine, FE_STEP_BATCH, entered);
        if (status == FE_BUSY && it->engine->flusher == NULL) (void)fe_workers_round(it->engine);
    }
    CHECK_INT(FE_OK, status);
}

static void take_away(rig *it, uint32_t prefix, uint64_t number)
{
    char name[32];
    fe_key key;
    uint64_t entered = fe_engine_enter(it->engine);
    locate(it, prefix, number, name, &key);
    FE_ASSERT(key.record != NULL);
    it->bytes[prefix] -= (double)fe_record_size(key.record);
    fe_key_delete(&key);
    fe_engine_leave(it->engine, FE_STEP_BATCH, entered);
}

static void send_to(rig *it, fe_tier tier)
{
    for (bool more = true; more;) {
        uint64_t entered = fe_engine_enter(it->engine);
        more = fe_tier_demote_all(it->engine->store, tier);
        fe_engine_leave(it->engine, FE_STEP_TIER, entered);
        (void)fe_flusher_round(it->engine);
    }
}

static void ask_for(rig *it, bool by_pattern, const uint64_t *hashes, uint32_t count)
{
    fe_residence *residence = &it->engine->insight.residence;
    fe_store *store = it->engine->store;
    uint64_t entered = fe_engine_enter(it->engine);
    fe_residence_tour_begin(&it->tour, residence, store, by_pattern, hashes, count);
    for (bool more = true; more;) {
        more = fe_residence_tour_step(&it->tour, residence, store);
        fe_engine_leave(it->engine, FE_STEP_BATCH, entered);
        entered = fe_engine_enter(it->engine);
    }
    fe_engine_leave(it->engine, FE_STEP_BATCH, entered);
}

/* Adds up the first `count` prefixes. */
static void ask(rig *it, uint32_t count)
{
    uint64_t hashes[FE_PREFIX_COUNT_MAX];
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "p%u", i);
        hashes[i] = fe_hash(fe_store_seed(it->engine->store), (const uint8_t *)name, (size_t)len);
    }
    ask_for(it, false, hashes, count);
}

/* That all lies in one tier, and is told exactly. */
static void check_exact(const rig *it, uint32_t count, fe_prefix_tier tier)
{
    for (uint32_t i = 0; i < count; i++)
        for (int at = 0; at < FE_PREFIX_TIERS; at++) {
            const fe_residence_bytes *found = &it->tour.found[i];
            CHECK_INT((int)tier == at ? it->bytes[i] : 0, found->bytes[at]);
            CHECK_INT(0, found->error[at]);
        }
}

static void put_three(rig *it)
{
    for (uint64_t i = 0; i < 500; i++)
        put(it, 0, i, 1000);
    for (uint64_t i = 0; i < 300; i++)
        put(it, 1, i, 10);
    for (uint64_t i = 0; i < 3; i++)
        put(it, 2, i, 100000); /* each has a segment of its own */
}

TEST(a_small_store_in_memory_is_told_exactly)
{
    rig it;
    open_memory(&it);
    put_three(&it);
    for (uint64_t i = 0; i < 200; i++)
        take_away(&it, 0, i);
    take_away(&it, 2, 1);
    put(&it, 2, 9, 3u << 20);

    ask(&it, 4);

    CHECK_INT(1, it.tour.survey.stride);
    check_exact(&it, 4, FE_PREFIX_MUTABLE);
    CHECK(it.tour.disk_live == 0);
    close_rig(&it);
}

/* Four deviations, where two are told; the seeds are fixed. */
TEST(of_many_records_a_sample_is_told_within_its_error)
{
    rig it;
    open_memory(&it);
    for (uint64_t i = 0; i < 60000; i++) {
        put(&it, 0, i, 20);
        put(&it, 1, i, 10 + i % 400);
        if (i % 8 == 0) put(&it, 2, i, 100);
    }
    put(&it, 3, 0, 100);

    ask(&it, 5);

    CHECK(it.tour.survey.stride > 4);
    for (uint32_t i = 0; i < 5; i++) {
        const fe_residence_bytes *found = &it.tour.found[i];
        double off = fabs(found->bytes[FE_PREFIX_MUTABLE] - it.bytes[i]);
        CHECK(off <= 2 * found->error[FE_PREFIX_MUTABLE]);
        CHECK(i > 2 || found->error[FE_PREFIX_MUTABLE] < it.bytes[i] / 10);
        CHECK(found->error[FE_PREFIX_DISK] == 0);
    }
    CHECK(it.tour.found[4].error[FE_PREFIX_MUTABLE] >
          0); /* none of it was met: there may be some */
    close_rig(&it);
}

TEST(what_goes_down_the_tiers_is_told_in_each)
{
    rig it;
    open_tiered(&it);
    put_three(&it);
    double all = it.bytes[0] + it.bytes[1] + it.bytes[2];
    static const fe_tier tiers[] = {FE_TIER_SEALED, FE_TIER_MAPPED};
    for (unsigned i = 0; i < 2; i++) {
        send_to(&it, tiers[i]);
        ask(&it, 3);
        double told = 0;
        for (unsigned n = 0; n < 3; n++) {
            CHECK(it.tour.found[n].bytes[FE_PREFIX_MUTABLE] == 0);
            told += it.tour.found[n].bytes[FE_PREFIX_READ_ONLY];
            told += it.tour.found[n].bytes[FE_PREFIX_DISK];
        }
        CHECK_INT(all, told);
    }

    send_to(&it, FE_TIER_DISK);
    ask(&it, 3);
    check_exact(&it, 3, FE_PREFIX_DISK);
    CHECK(it.tour.disk_live == all && it.tour.disk_known == all);

    put(&it, 3, 1, 500);
    ask(&it, 4);
    CHECK_INT(it.bytes[3], it.tour.found[3].bytes[FE_PREFIX_MUTABLE]);
    CHECK_INT(it.bytes[0], it.tour.found[0].bytes[FE_PREFIX_DISK]);
    close_rig(&it);
}

/* Half of one of two prefixes dies, which share segments: how much of which is left can only be guessed. */
TEST(what_died_in_files_is_within_the_error)
{
    rig it;
    open_tiered(&it);
    for (uint64_t i = 0; i < 400; i++)
        put(&it, (uint32_t)(i % 2), i, 700);
    send_to(&it, FE_TIER_MAPPED);
    ask(&it, 2);
    check_exact(&it, 2, FE_PREFIX_READ_ONLY);
    for (uint64_t i = 0; i < 200; i += 2)
        take_away(&it, 0, i);

    for (unsigned round = 0; round < 2; round++) {
        ask(&it, 2);
        unsigned tier = round == 0 ? FE_PREFIX_READ_ONLY : FE_PREFIX_DISK;
        double told = 0;
        for (uint32_t i = 0; i < 2; i++) {
            const fe_residence_bytes *found = &it.tour.found[i];
            told += found->bytes[tier];
            CHECK(found->error[tier] > 0);
            CHECK(fabs(found->bytes[tier] - it.bytes[i]) <= found->error[tier] + 1e-6);
        }
        CHECK(fabs(told - it.bytes[0] - it.bytes[1]) < 1e-3);
        send_to(&it, FE_TIER_DISK);
    }
    close_rig(&it);
}

TEST(with_more_prefixes_than_rows_the_heavy_ones_are_told)
{
    rig it;
    open_tiered(&it);
    for (uint64_t i = 0; i < 6000; i++)
        put(&it, i % 3 == 0 ? (uint32_t)(3 + i % (PREFIXES - 3)) : 0, i, 100);

    send_to(&it, FE_TIER_DISK);
    ask(&it, 200);

    CHECK(it.tour.found[0].error[FE_PREFIX_DISK] < it.bytes[0] / 4);
    double bound = 0;
    for (uint32_t i = 0; i < 200; i++) {
        const fe_residence_bytes *found = &it.tour.found[i];
        double off = fabs(found->bytes[FE_PREFIX_DISK] - it.bytes[i]);
        CHECK(off <= found->error[FE_PREFIX_DISK] + 1e-6);
        bound += found->error[FE_PREFIX_DISK];
    }
    CHECK(bound > 0);
    close_rig(&it);
}

TEST(what_was_written_while_it_was_off_is_known_until_it_leaves_memory)
{
    rig it;
    open_tiered(&it);
    fe_insight_options off = on;
    off.prefixes.on = false;
    set_insight(&it, &off);
    for (uint64_t i = 0; i < 200; i++)
        put(&it, 0, i, 1000);
    send_to(&it, FE_TIER_MAPPED);
    CHECK(it.engine->insight.residence.pairs == NULL);
    set_insight(&it, &on);

    ask(&it, 1);
    check_exact(&it, 1, FE_PREFIX_READ_ONLY);
    send_to(&it, FE_TIER_DISK);
    ask(&it, 1);

    CHECK(it.tour.disk_live == it.bytes[0] && it.tour.disk_known == 0);
    CHECK(it.tour.found[0].bytes[FE_PREFIX_DISK] == 0);
    for (uint64_t i = 0; i < 200; i++)
        put(&it, 1, i, 1000);
    send_to(&it, FE_TIER_DISK);
    ask(&it, 2);
    CHECK(it.tour.disk_known == it.bytes[1]);
    CHECK_INT(it.bytes[1], it.tour.found[1].bytes[FE_PREFIX_DISK]);
    close_rig(&it);
}

static void sweep(rig *it)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t entered = fe_engine_enter(it->engine);
        fe_insight_relax(&it->engine->insight, it->engine->now_ms);
        fe_engine_leave(it->engine, FE_STEP_BATCH, entered);
    }
}

TEST(patterns_have_tables_too_and_void_ones_go)
{
    rig it;
    open_tiered(&it);
    const fe_residence *residence = &it.engine->insight.residence;
    fe_insight_options both = on;
    both.prefixes.patterns = true;
    set_insight(&it, &both);
    put_three(&it);
    send_to(&it, FE_TIER_DISK);

    uint64_t pattern = fe_hash(fe_store_seed(it.engine->store), (const uint8_t *)"p*", 2);
    ask_for(&it, true, &pattern, 1);
    CHECK_INT(it.bytes[0] + it.bytes[1] + it.bytes[2], it.tour.found[0].bytes[FE_PREFIX_DISK]);
    CHECK(it.tour.found[0].error[FE_PREFIX_DISK] == 0);
    uint32_t tables = residence->count;
    CHECK(tables >= 2 * 10);

    set_insight(&it, &on); /* no patterns any more */
    sweep(&it);
    CHECK_INT(tables / 2, residence->count);
    both.prefixes.patterns = false;
    both.prefixes.separator = '/';
    set_insight(&it, &both);
    ask(&it, 3);
    CHECK(it.tour.disk_known == 0 && it.tour.disk_live > 0);
    sweep(&it);
    CHECK_INT(0, residence->count);
    both.prefixes.on = false;
    set_insight(&it, &both);
    sweep(&it);
    CHECK(residence->pairs == NULL);
    close_rig(&it);
}

TEST(a_table_goes_with_its_segment)
{
    rig it;
    open_tiered(&it);
    put_three(&it);
    send_to(&it, FE_TIER_DISK);
    CHECK(it.engine->insight.residence.count > 0);
    uint64_t entered = fe_engine_enter(it.engine);
    CHECK_INT(FE_OK, fe_store_flush_all(it.engine->store, false));
    fe_engine_leave(it.engine, FE_STEP_BATCH, entered);
    for (unsigned i = 0; i < 1000 && fe_workers_round(it.engine); i++) {}
    memset(it.bytes, 0, sizeof it.bytes);

    ask(&it, 3);
    check_exact(&it, 3, FE_PREFIX_DISK);
    sweep(&it);
    CHECK_INT(0, it.engine->insight.residence.count);

    put(&it, 1, 1, 100);
    send_to(&it, FE_TIER_DISK); /* a number that is used again */
    ask(&it, 3);
    check_exact(&it, 3, FE_PREFIX_DISK);
    close_rig(&it);
}

TEST(without_memory_there_are_no_tables)
{
    rig it;
    open_tiered(&it);
    fe_residence *residence = &it.engine->insight.residence;
    fe_alloc *alloc = &it.engine->alloc;
    for (int after = 0; after < 2; after++) {
        fe_residence_job job;
        fe_residence_begin(residence, &job);
        fe_alloc_fail_after(alloc, after);
        const uint64_t filler[2] = {2u << 8, 0};
        fe_residence_run(&job, (const uint8_t *)filler, sizeof filler, 1);
        CHECK((job.made.by[0] == NULL) == (after == 0));
        fe_residence_end(residence, &job, 5);
        fe_alloc_fail_after(alloc, -1);
        CHECK(residence->pairs == NULL && residence->count == 0);
    }
    close_rig(&it);
}

TEST(it_is_asked_while_a_thread_writes)
{
    rig it;
    open_tiered(&it);
    CHECK(fe_workers_start(it.engine));
    for (uint64_t i = 0; i < 6000; i++) {
        put(&it, (uint32_t)(i % 3), i, 1000);
        if (i % 500 == 0) ask(&it, 3);
    }
    fe_workers_stop(it.engine);
    CHECK(it.engine->insight.residence.count > 0);

    send_to(&it, FE_TIER_DISK);
    ask(&it, 3);

    check_exact(&it, 3, FE_PREFIX_DISK);
    CHECK(it.tour.disk_known == it.tour.disk_live);
    CHECK(fe_store_check(it.engine->store) == NULL);
    close_rig(&it);
}

int main(void)
{
    RUN(a_small_store_in_memory_is_told_exactly);
    RUN(of_many_records_a_sample_is_told_within_its_error);
    RUN(what_goes_down_the_tiers_is_told_in_each);
    RUN(what_died_in_files_is_within_the_error);
    RUN(with_more_prefixes_than_rows_the_heavy_ones_are_told);
    RUN(what_was_written_while_it_was_off_is_known_until_it_leaves_memory);
    RUN(patterns_have_tables_too_and_void_ones_go);
    RUN(a_table_goes_with_its_segment);
    RUN(without_memory_there_are_no_tables);
    RUN(it_is_asked_while_a_thread_writes);
    return check_done();
}
