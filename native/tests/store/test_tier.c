/* The way of segments from memory to disk, over a real folder. */
#include "tests/store/tier_support.h"

#define LEN 1000u

TEST(memory_over_the_mutable_budget_is_sealed_the_oldest_first)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 400, LEN);
    CHECK_INT(0, stats_of(&t).sealed);

    fill(&t, 400, 600, LEN);
    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));

    CHECK(stats_of(&t).sealed > 0);
    CHECK(t.f.store->log.bytes <= MUTABLE_SIZE);
    CHECK_INT(1, oldest(&t, FE_TIER_SEALED));
    CHECK_INT(START_MS, t.f.store->log.files[1].frozen_ms);
    for (uint64_t i = 0; i < 600; i++)
        CHECK(has_value(&t, i, LEN));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(a_flushed_segment_is_its_file_mapped)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 100, LEN);
    demote_all(&t, FE_TIER_MAPPED);

    fe_tier_stats stats = stats_of(&t);
    CHECK_INT(0, stats.tiers[FE_TIER_MUTABLE].segments);
    CHECK_INT(0, stats.tiers[FE_TIER_SEALED].segments);
    CHECK_INT(stats.flushed, stats.tiers[FE_TIER_MAPPED].segments);
    CHECK_INT(stats.file_count, files_in_folder(&t));
    CHECK_INT(stats.flushed_bytes, stats.file_bytes);
    uint32_t n = oldest(&t, FE_TIER_MAPPED);
    CHECK_INT((8 + 5 + LEN + 7) / 8, t.f.store->log.files[n].record_max);
    for (uint64_t i = 0; i < 100; i++)
        CHECK(has_value(&t, i, LEN));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(nothing_writes_the_memory_that_is_being_flushed)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf name;
    fill(&t, 0, 50, LEN);
    for (uint64_t i = 50; i < 60; i++)
        CHECK(set(&t.f, 0, name_of(&name, i), (fe_bytes){(const uint8_t *)"x", 1}, START_MS + 10));
    demote_all(&t, FE_TIER_SEALED);
    fe_flush_job job = {.fd = -1};
    CHECK(fe_tier_flush_begin(t.f.store, &job));
    uint8_t *before = malloc(job.source.used);
    memcpy(before, job.source.base, job.source.used);

    fe_store_set_now(t.f.store, START_MS + 5000);
    for (uint64_t i = 0; i < 60; i++) {
        fe_key key;
        find(&t.f, 0, name_of(&name, i), &key);
        CHECK_INT(i < 50, fe_key_exists(&key));
        if (i < 10) fe_key_delete(&key);
        if (i >= 10 && i < 20) CHECK_INT(FE_OK, fe_key_set_deadline(&key, START_MS + 9000));
        if (i >= 20 && i < 30) CHECK(fe_key_edit(&key) != NULL);
        if (i >= 30 && i < 40) CHECK(fe_key_resize(&key, LEN / 2) != NULL);
    }
    fill(&t, 40, 45, LEN);
    (void)fe_store_step_expire(t.f.store, 1000);
    (void)fe_store_step_compact(t.f.store, 1000000);

    CHECK_BYTES(before, job.source.used, job.source.base, job.source.used);
    fe_tier_flush_run(t.device, &job);
    CHECK(job.fd >= 0);
    fe_tier_flush_end(t.f.store, &job);
    fe_flush_job_close(&job);
    CHECK_INT(60, job.head.records);
    for (uint64_t i = 40; i < 50; i++)
        CHECK(has_value(&t, i, LEN));
    CHECK_INT(40, fe_store_db_size(t.f.store, 0));
    check_store(&t.f);
    free(before);
    tiered_close(&t);
}

TEST(a_segment_that_dies_while_it_is_flushed_leaves_no_file)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf name;
    fill(&t, 0, 50, LEN);
    demote_all(&t, FE_TIER_SEALED);
    fe_flush_job job = {.fd = -1};
    CHECK(fe_tier_flush_begin(t.f.store, &job));
    for (uint64_t i = 0; i < 50; i++)
        CHECK(del(&t.f, 0, name_of(&name, i)));
    fe_dead_job dead;
    CHECK(!fe_tier_dead_take(t.f.store, &dead));

    fe_tier_flush_run(t.device, &job);
    fe_tier_flush_end(t.f.store, &job);

    CHECK_INT(1, files_in_folder(&t));
    CHECK(fe_tier_dead_take(t.f.store, &dead));
    fe_tier_dead_run(t.device, &dead);
    fe_tier_dead_done(t.f.store, &dead);
    CHECK_INT(0, files_in_folder(&t));
    CHECK_INT(0, stats_of(&t).file_bytes);
    CHECK_INT(1, stats_of(&t).removed);
    fe_flush_job_close(&job);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(a_sealed_segment_that_dies_is_never_written)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf name;
    fill(&t, 0, 50, LEN);
    demote_all(&t, FE_TIER_SEALED);
    for (uint64_t i = 0; i < 50; i++)
        CHECK(del(&t.f, 0, name_of(&name, i)));

    settle_tiers(&t);

    CHECK_INT(0, t.faults.writes);
    CHECK_INT(0, stats_of(&t).tiers[FE_TIER_SEALED].segments);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(what_is_mapped_beyond_its_budget_is_on_disk_only)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1500, LEN);
    for (unsigned i = 0; i < 100 && t.f.store->log.bytes > MUTABLE_SIZE; i++)
        CHECK_INT(FE_BUSY, fe_tier_admit(t.f.store));

    settle_tiers(&t);

    fe_tier_stats stats = stats_of(&t);
    CHECK(stats.tiers[FE_TIER_MUTABLE].bytes <= MUTABLE_SIZE);
    CHECK(stats.tiers[FE_TIER_MAPPED].bytes <= READONLY_SIZE);
    CHECK(stats.tiers[FE_TIER_DISK].segments > 5);
    CHECK_INT(stats.demoted, stats.tiers[FE_TIER_DISK].segments);
    const fe_log *log = &t.f.store->log; /* nothing was read: on disk no memory tells so */
    for (uint32_t n = 1; n <= log->high; n++)
        CHECK(log->segments[n].tier != FE_TIER_DISK || log->files[n].marks == NULL);
    uint64_t hot = 0, cold = 0;
    for (uint64_t i = 0; i < 1500; i++) {
        name_buf name;
        uint8_t buf[LEN];
        fe_bytes key = name_of(&name, i);
        if (has_value(&t, i, LEN)) {
            hot++;
            continue;
        }
        const uint64_t *slot =
            fe_index_find_cold(&t.f.store->databases[0]->index, fe_key_hash(&t.f.seed, key), NULL);
        CHECK(slot != NULL);
        if (slot == NULL) continue;
        fe_record *record = read_cold(&t, fe_slot_address(*slot));
        CHECK(fe_bytes_equal(key, fe_record_key(record)));
        CHECK(fe_bytes_equal(value_of(buf, i, LEN), fe_record_value(record)));
        free(record);
        cold++;
    }
    CHECK(hot > 400 && cold > 400);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(a_large_value_has_a_file_of_its_own)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 3, 60000);

    demote_all(&t, FE_TIER_MAPPED);

    CHECK_INT(3, files_in_folder(&t));
    for (uint64_t i = 0; i < 3; i++)
        CHECK(has_value(&t, i, 60000));
    fill(&t, 1, 2, 50000);
    CHECK(has_value(&t, 1, 50000));
    run_jobs(&t);
    CHECK_INT(2, files_in_folder(&t));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(a_segment_of_garbage_is_left_to_compaction)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf name;
    fill(&t, 0, 70, LEN);
    CHECK(t.f.store->log.segments[1].role == FE_ROLE_FULL);
    for (uint64_t i = 0; i < 70; i++)
        if (i % 4 != 0) CHECK(del(&t.f, 0, name_of(&name, i)));
    fill(&t, 100, 600, LEN);

    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));

    CHECK_INT(FE_TIER_MUTABLE, t.f.store->log.segments[1].tier);
    CHECK_INT(FE_TIER_SEALED, t.f.store->log.segments[2].tier);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(two_flushes_at_once_take_two_segments)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 130, LEN);
    demote_all(&t, FE_TIER_SEALED);
    fe_flush_job jobs[2] = {{.fd = -1}, {.fd = -1}};

    CHECK(fe_tier_flush_begin(t.f.store, &jobs[0]));
    CHECK(fe_tier_flush_begin(t.f.store, &jobs[1]));

    CHECK_INT(1, jobs[0].segment);
    CHECK_INT(2, jobs[1].segment);
    for (unsigned i = 2; i-- > 0;) {
        fe_tier_flush_run(t.device, &jobs[i]);
        fe_tier_flush_end(t.f.store, &jobs[i]);
        fe_flush_job_close(&jobs[i]);
    }
    CHECK_INT(2, stats_of(&t).flushed);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(records_of_a_flushed_database_are_swept_before_their_segment_is_sealed)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.mutable_size = 4u << 20;
    tiered_open(&t, options);
    name_buf name;
    uint8_t value[100];
    for (uint64_t i = 0; i < 30000; i++)
        CHECK(set(&t.f, i % 2 == 0, name_of(&name, i), value_of(value, i, 100), 0));
    CHECK_INT(FE_OK, fe_store_flush(t.f.store, 1, false)); /* sweeps a part at once */
    CHECK(t.f.store->compact.sweep_sequence != 0);
    options = *fe_store_get_options(t.f.store);
    options.mutable_size = MUTABLE_SIZE;
    fe_store_set_options(t.f.store, &options);

    CHECK_INT(FE_BUSY, fe_tier_admit(t.f.store));
    CHECK_INT(0, stats_of(&t).sealed);
    settle_tiers(&t);

    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));
    fe_tier_stats stats = stats_of(&t);
    CHECK(stats.sealed > 0);
    uint64_t live = 0;
    for (unsigned tier = FE_TIER_MUTABLE; tier < FE_TIER_COUNT; tier++)
        live += stats.tiers[tier].live;
    CHECK_INT(15000, fe_store_db_size(t.f.store, 0));
    CHECK(live >= 15000 * 112 && live <= 15000 * 128); /* no orphan counts as alive */
    check_store(&t.f);
    tiered_close(&t);
}

TEST(a_flush_of_the_database_leaves_no_file)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (unsigned all = 0; all < 2; all++) {
        fill(&t, 0, 800, LEN);
        demote_all(&t, FE_TIER_DISK);
        fill(&t, 800, 1000, LEN);
        demote_all(&t, FE_TIER_MAPPED);
        CHECK(files_in_folder(&t) > 10);

        CHECK_INT(FE_OK,
                  all ? fe_store_flush_all(t.f.store, true) : fe_store_flush(t.f.store, 0, true));
        run_jobs(&t);

        CHECK_INT(0, files_in_folder(&t));
        CHECK_INT(0, fe_store_db_size(t.f.store, 0));
        check_store(&t.f);
    }
    tiered_close(&t);
}

TEST(what_is_demoted_on_demand_is_all_there_was)
{
    static const fe_tier targets[] = {FE_TIER_SEALED, FE_TIER_MAPPED, FE_TIER_DISK};
    tiered t;
    tiered_open(&t, tiered_options());
    for (unsigned i = 0; i < 3; i++) {
        fill(&t, 0, 200, LEN);
        demote_all(&t, targets[i]);
        fe_tier_stats stats = stats_of(&t);
        for (unsigned tier = FE_TIER_MUTABLE; tier < FE_TIER_COUNT; tier++)
            if (tier < targets[i]) CHECK_INT(0, stats.tiers[tier].segments);
        CHECK(stats.tiers[targets[i]].segments > 0);
        check_store(&t.f);
    }
    tiered_close(&t);
}

TEST(without_memory_no_tiered_store_is_made)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    char error[256], path[] = "/tmp/ferrite-tier-XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    fe_store_options options = fixture_options();
    options.device = fe_device_open(&alloc, path, &fe_device_system, error);
    uint64_t used = fe_alloc_used_all(&alloc);
    fe_store *store = NULL;
    unsigned failures = 0;
    for (int64_t allowed = 0; store == NULL && allowed < 100; allowed++) {
        fe_alloc_fail_after(&alloc, allowed);
        store = fe_store_new(&alloc, &options);
        if (store != NULL) break;
        failures++;
        CHECK_INT(used, fe_alloc_used_all(&alloc));
    }
    fe_alloc_fail_after(&alloc, -1);
    CHECK(store != NULL && failures >= 4);
    fe_store_free(store);
    fe_device_close(options.device);
    CHECK_INT(0, fe_alloc_used_all(&alloc));
    remove_folder(path);
}

int main(void)
{
    RUN(memory_over_the_mutable_budget_is_sealed_the_oldest_first);
    RUN(a_flushed_segment_is_its_file_mapped);
    RUN(nothing_writes_the_memory_that_is_being_flushed);
    RUN(a_segment_that_dies_while_it_is_flushed_leaves_no_file);
    RUN(a_sealed_segment_that_dies_is_never_written);
    RUN(what_is_mapped_beyond_its_budget_is_on_disk_only);
    RUN(a_large_value_has_a_file_of_its_own);
    RUN(a_segment_of_garbage_is_left_to_compaction);
    RUN(two_flushes_at_once_take_two_segments);
    RUN(records_of_a_flushed_database_are_swept_before_their_segment_is_sealed);
    RUN(a_flush_of_the_database_leaves_no_file);
    RUN(what_is_demoted_on_demand_is_all_there_was);
    RUN(without_memory_no_tiered_store_is_made);
    return check_done();
}
