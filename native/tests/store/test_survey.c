/* A survey meets each record that is in memory once, or a sample of them. */
#include "tests/check.h"

#include "store/survey.h"
#include "tests/store/tier_support.h"

#include <fcntl.h>

#define KEYS 3000u

typedef struct met {
    uint64_t records, bytes;
    uint64_t by_tier[FE_TIER_COUNT];
    uint32_t unwanted; /* a segment */
    uint64_t stride;
} met;

static bool wants(void *context, uint32_t segment)
{
    const met *it = context;
    return segment != it->unwanted;
}

static void note(void *context, fe_tier tier, const fe_record *record)
{
    met *it = context;
    it->records++;
    it->bytes += fe_record_size(record);
    it->by_tier[tier]++;
}

static met survey_all(const fe_store *store, uint64_t records, uint32_t unwanted, uint64_t seed)
{
    met it = {.unwanted = unwanted};
    fe_random random;
    fe_random_init(&random, seed);
    fe_survey survey = fe_survey_begin(store, records, &random);
    it.stride = survey.stride;
    while (fe_survey_step(&survey, store, wants, note, &it)) {}
    return it;
}

static void put(fixture *f, uint32_t db, uint64_t number, size_t len)
{
    static const uint8_t zeros[100000];
    name_buf buf;
    CHECK(set(f, db, name_of(&buf, number), (fe_bytes){zeros, len}, FE_DEADLINE_NONE));
}

TEST(each_record_of_all_databases_is_met_once)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < KEYS; i++)
        put(&f, (uint32_t)(i % 3), i, 10 + i % 50);

    met it = survey_all(f.store, KEYS, 0, 1);

    CHECK_INT(1, it.stride);
    CHECK_INT(KEYS, it.records);
    CHECK_INT(KEYS, it.by_tier[FE_TIER_MUTABLE]);
    uint64_t live = 0;
    for (uint32_t n = 1; n <= fe_survey_last(f.store); n++)
        live += fe_survey_segment_of(f.store, n).live;
    CHECK_INT(live, it.bytes);
    CHECK_INT(FE_TIER_FREE, fe_survey_segment_of(f.store, 0).tier);
    CHECK_INT(FE_TIER_FREE, fe_survey_segment_of(f.store, UINT32_MAX).tier);
    fixture_close(&f);
}

/* Over all beginnings, each bucket is met once. */
TEST(a_sample_stands_for_all)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    for (uint64_t i = 0; i < KEYS; i++)
        put(&f, (uint32_t)(i % 3), i, 10);

    double sum = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        met it = survey_all(f.store, KEYS / 10, 0, seed);
        CHECK_INT(10, it.stride);
        CHECK(it.records > 200 && it.records < 400);
        sum += (double)(it.records * it.stride);
    }

    /* one has a deviation of about a twentieth, so the mean of 400 of a four-hundredth */
    CHECK(sum / 400 > KEYS * 0.99 && sum / 400 < KEYS * 1.01);
    fixture_close(&f);
}

TEST(what_has_a_segment_of_its_own_is_single)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    put(&f, 0, 1, 10);
    put(&f, 0, 2, 100000);

    met it = survey_all(f.store, KEYS, 0, 1);
    CHECK_INT(1, it.records);
    uint32_t singles = 0;
    for (uint32_t n = 1; n <= fe_survey_last(f.store); n++) {
        const fe_record *record = fe_survey_single(f.store, n);
        if (record == NULL) continue;
        CHECK_INT(100000, fe_record_value_len(record));
        singles++;
    }
    CHECK_INT(1, singles);
    CHECK_INT(FE_OK, fe_store_flush(f.store, 0, false)); /* until it is swept, nobody's */
    for (uint32_t n = 1; n <= fe_survey_last(f.store); n++)
        CHECK(fe_survey_single(f.store, n) == NULL);
    fixture_close(&f);
}

TEST(records_in_memory_are_met_and_those_on_disk_not)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (uint64_t i = 0; i < 100; i++)
        put(&t.f, 0, i, 100);
    put(&t.f, 0, 1000, 100000);
    demote_all(&t, FE_TIER_MAPPED);
    met it = survey_all(t.f.store, KEYS, 0, 1);
    CHECK_INT(100, it.records);
    CHECK_INT(100, it.by_tier[FE_TIER_MAPPED]);
    CHECK_INT(0, survey_all(t.f.store, KEYS, t.f.store->log.tiers[FE_TIER_MAPPED].oldest, 1).bytes);

    demote_all(&t, FE_TIER_DISK);
    CHECK_INT(0, survey_all(t.f.store, KEYS, 0, 1).records);
    for (uint32_t n = 1; n <= fe_survey_last(t.f.store); n++)
        CHECK(fe_survey_single(t.f.store, n) == NULL);
    tiered_close(&t);
}

/* Writes over the first record of a mapped segment, in its file. */
static void damage(tiered *t, uint32_t n, const void *bytes, size_t size)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/log/%08x-%08x.seg", t->path, n,
                   t->f.store->log.segments[n].generation);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size);
    (void)close(fd);
}

TEST(what_a_mapped_file_says_is_not_trusted)
{
    tiered t;
    tiered_open(&t, tiered_options());
    put(&t.f, 0, 1, 1000);
    put(&t.f, 0, 2, 1000);
    put(&t.f, 0, 3, 100000);
    demote_all(&t, FE_TIER_MAPPED);
    const fe_log *log = &t.f.store->log;
    uint32_t first = log->tiers[FE_TIER_MAPPED].oldest, last = log->tiers[FE_TIER_MAPPED].newest;
    uint32_t single = fe_survey_single(t.f.store, first) != NULL ? first : last;
    uint32_t common = first + last - single;
    CHECK(first != last && fe_survey_single(t.f.store, single) != NULL);

    static const uint32_t huge[] = {
        FE_TYPE_STRING | FE_RECORD_LARGE << 4, 0, UINT32_MAX, 0, UINT32_MAX, 0};
    static const uint32_t zeros[6];
    const void *const bytes[] = {huge, zeros};
    for (unsigned i = 0; i < 2; i++) {
        damage(&t, single, bytes[i], sizeof huge);
        damage(&t, common, bytes[i], sizeof huge);
        CHECK(fe_survey_single(t.f.store, single) == NULL);
        CHECK_INT(1, survey_all(t.f.store, KEYS, 0, 1).records);
    }
    tiered_close(&t);
}

int main(void)
{
    RUN(each_record_of_all_databases_is_met_once);
    RUN(a_sample_stands_for_all);
    RUN(what_has_a_segment_of_its_own_is_single);
    RUN(records_in_memory_are_met_and_those_on_disk_not);
    RUN(what_a_mapped_file_says_is_not_trusted);
    return check_done();
}
