/* The way of segments to a disk that fails, or has no room or no file left for them. */
#include "tests/store/tier_rig.h"

/* `clock_back`: by so much, when it has failed. */
static void disk_fails(int write_error, int take_error, int code, int64_t clock_back)
{
    tiered t;
    tiered_open(&t, tiered_options());
    t.faults.write_error = write_error;
    t.faults.take_error = take_error;

    write_until_refused(&t, FE_IO);

    fe_tier_stats stats = stats_of(&t);
    CHECK_INT(FE_DISK_FAILED, stats.state);
    CHECK_INT(code, stats.error.code);
    CHECK_INT(1, stats.error.segment);
    CHECK_INT(START_MS, stats.error.at_ms);
    CHECK_INT(1, stats.errors);
    CHECK_INT(0, files_in_folder(&t));
    for (uint64_t i = 0; i < 600; i++)
        CHECK(has_value(&t, i, LEN));
    fe_flush_job job = {.fd = -1};
    CHECK(!fe_tier_flush_begin(t.f.store, &job)); /* not yet */

    t.faults.write_error = t.faults.take_error = 0;
    fe_store_set_now(t.f.store, START_MS - clock_back);
    CHECK(!fe_tier_flush_begin(t.f.store, &job));
    fe_store_set_now(t.f.store, START_MS - clock_back + 1000);
    CHECK_INT(clock_back == 0 ? START_MS + 1000 : START_MS, fe_store_now(t.f.store));
    CHECK(flush_sealed(&t));

    CHECK_INT(FE_DISK_OK, stats_of(&t).state);
    CHECK_INT(FE_OK, fe_store_make_room(t.f.store));
    for (uint64_t i = 0; i < 600; i++)
        CHECK(has_value(&t, i, LEN));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(a_disk_that_refuses_is_an_error_of_writes_until_it_heals)
{
    disk_fails(EIO, 0, EIO, 0);
    disk_fails(EMFILE, 0, EMFILE, 0);
    disk_fails(0, EIO, EIO, 0);
}

TEST(a_disk_that_has_healed_is_tried_again_though_the_clock_was_set_back)
{
    disk_fails(EIO, 0, EIO, 3600000);
}

TEST(short_writes_are_continued)
{
    tiered t;
    tiered_open(&t, tiered_options());
    t.faults.writes_short = true;
    fill(&t, 0, 100, LEN);

    demote_all(&t, FE_TIER_MAPPED);

    CHECK(t.faults.writes > stats_of(&t).flushed);
    for (uint64_t i = 0; i < 100; i++)
        CHECK(has_value(&t, i, LEN));
    tiered_close(&t);
}

TEST(files_never_take_more_than_disk_max)
{
    tiered t;
    name_buf name;
    fe_store_options options = tiered_options();
    options.disk_max = 600u << 10;
    tiered_open(&t, options);

    write_until_refused(&t, FE_NO_MEMORY);

    CHECK_INT(FE_DISK_FULL, stats_of(&t).state);
    CHECK_INT(0, stats_of(&t).errors);
    CHECK(stats_of(&t).file_bytes <= options.disk_max);
    CHECK(stats_of(&t).file_bytes > options.disk_max - 128 * 1024);
    for (uint64_t i = 0; i < 400; i++) /* on disk or mapped: the mapped ones can be found */
        if (has_value(&t, i, LEN)) (void)del(&t.f, 0, name_of(&name, i));
    for (uint32_t n = oldest(&t, FE_TIER_DISK); n != 0; n = oldest(&t, FE_TIER_DISK))
        fe_log_drop(&t.f.store->log, n); /* as if the others had been deleted too */
    run_jobs(&t);
    CHECK(flush_sealed(&t) || stats_of(&t).file_bytes > options.disk_max / 2);
    CHECK_INT(FE_OK, fe_store_make_room(t.f.store));
    fe_index_reset(&t.f.store->databases[0]->index); /* it named what was dropped */
    tiered_close(&t);
}

TEST(files_are_no_more_than_may_be_open)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.files_max = 3;
    tiered_open(&t, options);

    write_until_refused(&t, FE_NO_MEMORY);

    CHECK_INT(3, stats_of(&t).file_count);
    CHECK_INT(3, files_in_folder(&t));
    CHECK(stats_of(&t).state == FE_DISK_FULL && stats_of(&t).out_of_files);
    CHECK_INT(0, stats_of(&t).errors);
    CHECK(strstr(fe_store_disk_error(t.f.store), "open files") != NULL);

    options = *fe_store_get_options(t.f.store);
    options.files_max = 0;
    fe_store_set_options(t.f.store, &options);
    CHECK(flush_sealed(&t));
    CHECK_INT(FE_OK, fe_store_make_room(t.f.store));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(at_the_limit_of_files_the_oldest_keys_go_and_writes_go_on)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.files_max = 12;
    options.policy = FE_POLICY_ALLKEYS_LRU;
    tiered_open(&t, options);

    CHECK_INT(6000, write_on(&t, 0, 6000));
    CHECK(stats_of(&t).file_count <= 12);
    fe_frozen_stats frozen;
    fe_frozen_stats_get(t.f.store, &frozen);
    CHECK(frozen.evicted_keys > 1000);
    CHECK(has_value(&t, 5999, LEN));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(at_the_limit_of_files_garbage_makes_room)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.files_max = 12;
    tiered_open(&t, options);
    uint64_t written = write_on(&t, 0, 6000);
    CHECK(written < 6000);
    CHECK(stats_of(&t).out_of_files);
    for (uint64_t i = 0; i < written; i++) {
        name_buf buf;
        fe_bytes name = name_of(&buf, i);
        if (i % 4 == 0) continue;
        make_resident(&t, 0, name, fe_key_hash(&t.f.seed, name));
        (void)del(&t.f, 0, name);
    }
    CHECK_INT(written / 2, write_on(&t, 10000, written / 2));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(without_a_mapping_a_segment_is_on_disk_at_once)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 50, LEN);
    t.faults.map_refused = true;

    demote_all(&t, FE_TIER_MAPPED);

    CHECK_INT(1, stats_of(&t).map_failures);
    CHECK_INT(1, stats_of(&t).tiers[FE_TIER_DISK].segments);
    CHECK(!has_value(&t, 1, LEN));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(without_memory_for_the_image_the_flush_is_tried_again)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 50, LEN);
    demote_all(&t, FE_TIER_SEALED);
    fe_alloc_fail_after(&t.f.alloc, 0);
    CHECK(!flush_sealed(&t));
    fe_alloc_fail_after(&t.f.alloc, -1);
    CHECK_INT(ENOMEM, stats_of(&t).error.code);
    CHECK_INT(0, stats_of(&t).flushed);

    fe_store_set_now(t.f.store, START_MS + 1000);
    CHECK(flush_sealed(&t));

    CHECK_INT(1, stats_of(&t).flushed);
    CHECK(has_value(&t, 1, LEN));
    tiered_close(&t);
}

TEST(a_file_that_cannot_be_removed_is_an_error_and_its_number_goes_on)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf name;
    fill(&t, 0, 50, LEN);
    demote_all(&t, FE_TIER_MAPPED);
    for (uint64_t i = 0; i < 50; i++)
        CHECK(del(&t.f, 0, name_of(&name, i)));
    t.faults.unlink_error = EROFS;

    run_jobs(&t);

    CHECK_INT(EROFS, stats_of(&t).error.code);
    CHECK_INT(0, stats_of(&t).file_count);
    fill(&t, 0, 50, LEN);
    demote_all(&t, FE_TIER_MAPPED);
    CHECK_INT(2, files_in_folder(&t)); /* the number's next generation beside the one that stayed */
    int code = 0;
    t.faults.unlink_error = 0;
    CHECK(fe_device_remove_segment(t.device, 1, 1, &code));
    check_store(&t.f);
    tiered_close(&t);
}

int main(void)
{
    RUN(a_disk_that_refuses_is_an_error_of_writes_until_it_heals);
    RUN(a_disk_that_has_healed_is_tried_again_though_the_clock_was_set_back);
    RUN(short_writes_are_continued);
    RUN(files_never_take_more_than_disk_max);
    RUN(files_are_no_more_than_may_be_open);
    RUN(at_the_limit_of_files_the_oldest_keys_go_and_writes_go_on);
    RUN(at_the_limit_of_files_garbage_makes_room);
    RUN(without_a_mapping_a_segment_is_on_disk_at_once);
    RUN(without_memory_for_the_image_the_flush_is_tried_again);
    RUN(a_file_that_cannot_be_removed_is_an_error_and_its_number_goes_on);
    return check_done();
}
