/* The way of segments from memory to disk, over a real folder and with calls that fail. */
#include "tests/store/tier_support.h"

#define LEN 1000u

static uint32_t oldest(tiered *t, fe_tier tier)
{
    return t->f.store->log.tiers[tier].oldest;
}

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

static void count_room(void *context)
{
    ++*(unsigned *)context;
}

TEST(writers_wait_while_the_flush_is_behind_and_are_told_when_it_is_not)
{
    tiered t;
    tiered_open(&t, tiered_options());
    unsigned rooms = 0, asked = 0;
    fe_tier_on_room(t.f.store, count_room, &rooms);
    fe_tier_on_work(t.f.store, count_room, &asked);
    uint64_t written = 0;
    while (fe_store_make_room(t.f.store) == FE_OK && written < 10000) {
        fill(&t, written, written + 1, LEN);
        written++;
    }
    uint64_t room = MUTABLE_SIZE + MUTABLE_SIZE / 4;
    CHECK(written * LEN > room); /* that of mapped segments, of which there are none, is lent */
    CHECK(written * LEN <= room + READONLY_SIZE + 65536);
    CHECK(fe_tier_is_lending(t.f.store));
    CHECK(asked > 0);
    CHECK(stats_of(&t).behind);
    CHECK_INT(FE_BUSY, fe_store_make_room(t.f.store));
    CHECK_INT(0, rooms);

    CHECK(flush_sealed(&t));

    CHECK_INT(1, rooms);
    CHECK_INT(FE_OK, fe_store_make_room(t.f.store));
    CHECK_INT(2, stats_of(&t).busy);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(what_the_disk_is_slow_to_take_has_the_memory_of_mapped_segments)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 150, LEN);
    demote_all(&t, FE_TIER_MAPPED);
    settle_tiers(&t);
    const fe_log *log = &t.f.store->log;
    CHECK(log->tiers[FE_TIER_MAPPED].bytes > READONLY_SIZE / 2);
    CHECK_INT(0, log->tiers[FE_TIER_DISK].segments);
    uint64_t room = stats_of(&t).mutable_max + READONLY_SIZE, slack = stats_of(&t).mutable_max / 4;
    if (slack < 2 * log->segment_max) slack = 2 * log->segment_max;

    uint64_t i = 1000;
    unsigned refused = 0;
    while (refused < 3 && i < 10000) {
        if (fe_store_make_room(t.f.store) == FE_OK) {
            refused = 0;
            fill(&t, i, i + 1, LEN);
            i++;
            uint64_t bytes =
                log->bytes + log->tiers[FE_TIER_SEALED].bytes + log->tiers[FE_TIER_MAPPED].bytes;
            CHECK(bytes <= room + slack + 2 * log->segment_max);
            continue;
        }
        refused++; /* until what is mapped is given up */
        CHECK(fe_tier_is_lending(t.f.store));
        while (fe_tier_step(t.f.store, 65536)) {}
    }

    CHECK_INT(0, log->tiers[FE_TIER_MAPPED].bytes);
    CHECK(log->bytes + log->tiers[FE_TIER_SEALED].bytes > room);
    run_jobs(&t);
    check_store(&t.f);
    tiered_close(&t);
}

/* A key that may have the tag of one on disk. */
static void fill_one(tiered *t, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    make_resident(t, 0, name, fe_key_hash(&t->f.seed, name));
    fill(t, i, i + 1, LEN);
}

static void write_until_refused(tiered *t, fe_status status)
{
    uint64_t i = 0;
    fe_status now;
    while ((now = fe_store_make_room(t->f.store)) != status && i < 10000) {
        CHECK(now == FE_OK || now == FE_BUSY);
        if (now == FE_BUSY) (void)flush_sealed(t);
        if (now == FE_BUSY) (void)fe_tier_step(t->f.store, 65536);
        if (now == FE_BUSY) run_jobs(t);
        if (now == FE_OK) fill_one(t, i);
        i += now == FE_OK;
    }
    CHECK_INT(status, now);
}

static void disk_fails(int write_error, int take_error, int code)
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
    fe_store_set_now(t.f.store, START_MS + 1000);
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
    disk_fails(EIO, 0, EIO);
    disk_fails(ENOSPC, 0, ENOSPC);
    disk_fails(0, EIO, EIO);
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

/* One job over segments on disk, as the collector does it. */
static void collect(tiered *t)
{
    fe_frozen_job job = {0};
    for (unsigned i = 0; i < 20 && fe_frozen_begin(t->f.store, &job); i++) {
        fe_frozen_next next = FE_FROZEN_READ;
        for (unsigned k = 0; k < 1000 && next != FE_FROZEN_DONE && next != FE_FROZEN_WAIT; k++) {
            if (next == FE_FROZEN_READ) fe_frozen_read(t->device, &job);
            next = fe_frozen_step(t->f.store, &job);
        }
        fe_frozen_end(t->f.store, &job);
    }
    fe_frozen_job_close(&job);
}

/* Writes `count` keys, while the background threads do their part; how many could be written. */
static uint64_t write_on(tiered *t, uint64_t first, uint64_t count)
{
    uint64_t i = first;
    for (unsigned rounds = 0; i < first + count && rounds < 20000; rounds++) {
        fe_status status = fe_store_make_room(t->f.store);
        if (status == FE_OK) {
            fill_one(t, i++);
            continue;
        }
        fe_store_set_now(t->f.store, fe_store_now(t->f.store) + 10);
        (void)fe_tier_step(t->f.store, 65536);
        (void)flush_sealed(t);
        collect(t);
        run_jobs(t);
    }
    return i - first;
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

TEST(writers_never_wait_for_garbage_alone)
{
    tiered t;
    tiered_open(&t, tiered_options());
    name_buf name;
    fill(&t, 0, 640, LEN);
    for (uint64_t i = 0; i < 640; i++)
        if (i % 3 != 0) CHECK(del(&t.f, 0, name_of(&name, i)));
    fe_store_options options = *fe_store_get_options(t.f.store);
    options.mutable_size = options.readonly_size = 1; /* the least */
    fe_store_set_options(t.f.store, &options);
    CHECK_INT(FE_BUSY, fe_tier_admit(t.f.store));

    settle_tiers(&t);

    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));
    check_store(&t.f);
    tiered_close(&t);
}

TEST(writers_never_wait_for_a_tail_alone)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.segment_size = 4u << 20;
    tiered_open(&t, options);
    fill(&t, 0, 1, 65536);
    uint8_t *large = calloc(1, 300000);
    CHECK(set(&t.f, 0, (fe_bytes){(const uint8_t *)"large", 5}, (fe_bytes){large, 300000},
              FE_DEADLINE_NONE));
    options = *fe_store_get_options(t.f.store);
    options.mutable_size = options.readonly_size =
        1; /* the least: less than the tail that was opened for it */
    fe_store_set_options(t.f.store, &options);
    CHECK_INT(FE_BUSY, fe_tier_admit(t.f.store));

    settle_tiers(&t);

    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));
    free(large);
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

TEST(budgets_that_are_not_set_are_shares_of_what_the_process_leaves)
{
    tiered t;
    fe_store_options options = fixture_options();
    options.memory_max = 1000u << 20;
    tiered_open(&t, options);
    fe_tier_stats empty = stats_of(&t);

    fe_tier_set_resident(t.f.store, 500u << 20);

    fe_tier_stats half = stats_of(&t);
    uint64_t sum = half.mutable_max + half.mutable_max / 4 + half.readonly_max + half.cache_max;
    CHECK(sum + (500u << 20) <= options.memory_max);
    CHECK(sum + (500u << 20) >= options.memory_max / 100 * 94);
    CHECK(half.mutable_max < empty.mutable_max * 55 / 100);
    CHECK_INT(half.mutable_max / 1000, half.readonly_max / 500);
    CHECK_INT(half.cache_max / 700, half.readonly_max / 100);
    CHECK(!half.index_over);

    options = *fe_store_get_options(t.f.store);
    options.cache_size = 400u << 20;
    fe_store_set_options(t.f.store, &options);
    fe_tier_stats set = stats_of(&t);
    CHECK_INT(400u << 20, set.cache_max);
    sum = set.mutable_max + set.mutable_max / 4 + set.readonly_max + set.cache_max;
    CHECK(sum + (500u << 20) <= options.memory_max);

    fe_tier_set_resident(t.f.store, 2000u << 20); /* of which the index is nothing */
    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));
    CHECK(stats_of(&t).mutable_max > 0);
    tiered_close(&t);
}

TEST(what_the_log_takes_is_not_counted_as_given_back)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.mutable_size = options.readonly_size = 0;
    options.memory_max = 64u << 20;
    tiered_open(&t, options);
    fe_tier_set_resident(t.f.store, 40u << 20);
    fe_tier_stats before = stats_of(&t);
    CHECK(before.mutable_max > 2u << 20);

    fill(&t, 0, 2000, LEN);
    (void)fe_tier_step(t.f.store, 65536);

    CHECK(fe_alloc_used(&t.f.alloc, FE_ALLOC_LOG) > 1u << 20);
    CHECK(stats_of(&t).mutable_max <= before.mutable_max);
    CHECK(stats_of(&t).cache_max <= before.cache_max);
    tiered_close(&t);
}

/* What is sent while its key is overwritten is no tier's any more, and cannot be given back. */
TEST(memory_that_is_held_for_readers_leaves_less_for_the_tiers)
{
    tiered t;
    fe_store_options options = tiered_options();
    options.mutable_size = options.readonly_size = 0;
    options.memory_max = 64u << 20;
    tiered_open(&t, options);
    static uint8_t large[16u << 20];
    name_buf buf;
    CHECK(set(&t.f, 0, name_of(&buf, 0), (fe_bytes){large, sizeof(large)}, FE_DEADLINE_NONE));
    fe_tier_set_resident(t.f.store, 20u << 20);
    (void)fe_tier_step(t.f.store, 65536);
    fe_tier_stats before = stats_of(&t);
    fe_key key;
    fe_hold hold = {0};
    find(&t.f, 0, name_of(&buf, 0), &key);
    CHECK(fe_key_lend(&key, &hold));

    CHECK(del(&t.f, 0, name_of(&buf, 0)));
    run_jobs(&t);

    (void)fe_tier_step(t.f.store, 65536);
    fe_tier_stats held = stats_of(&t);
    uint64_t less = (16u << 20) * 9 / 10; /* but for the budgets' common reserve */
    CHECK(before.cache_max + before.mutable_max + before.readonly_max >
          held.cache_max + held.mutable_max + held.readonly_max + less);
    fe_store_stats stats;
    fe_store_stats_get(t.f.store, &stats);
    CHECK_INT(1, stats.lent_values);
    CHECK_INT(1, stats.held_mappings);
    CHECK(stats.held_bytes >= 16u << 20);

    fe_tier_set_resident(t.f.store, 20u << 20); /* told anew, it counts once */
    (void)fe_tier_step(t.f.store, 65536);
    CHECK_INT(held.cache_max, stats_of(&t).cache_max);

    fe_store_release(t.f.store, &hold);
    (void)fe_tier_step(t.f.store, 65536);
    CHECK_INT(before.cache_max, stats_of(&t).cache_max);
    fe_store_stats_get(t.f.store, &stats);
    CHECK_INT(0, stats.held_bytes + stats.held_mappings + stats.lent_values);
    empty_trash(&t.f);
    check_store(&t.f);
    tiered_close(&t);
}

TEST(an_index_that_leaves_no_memory_for_records_refuses_writes)
{
    tiered t;
    fe_store_options options = fixture_options();
    tiered_open(&t, options);
    fill(&t, 0, 60000, 1);
    uint64_t index = fe_alloc_used(&t.f.alloc, FE_ALLOC_INDEX);
    CHECK_INT(FE_OK, fe_tier_admit(t.f.store));

    options = *fe_store_get_options(t.f.store);
    options.memory_max = index + (1u << 20);
    fe_store_set_options(t.f.store, &options);

    CHECK_INT(FE_NO_MEMORY, fe_store_make_room(t.f.store));
    CHECK(stats_of(&t).index_over);
    options.memory_max = index + (16u << 20);
    fe_store_set_options(t.f.store, &options);
    CHECK(!stats_of(&t).index_over);
    tiered_close(&t);
}

TEST(a_memory_only_store_has_no_tiers)
{
    fixture f;
    fe_store_options options = fixture_options();
    fixture_open(&f, &options);
    fe_unmap_job unmap;
    fe_dead_job dead;
    fe_tier_stats stats;

    fe_tier_on_room(f.store, count_room, NULL);
    fe_tier_set_resident(f.store, 1);
    fe_tier_stats_get(f.store, &stats);

    CHECK(!fe_tier_step(f.store, 1000));
    CHECK(!fe_tier_unmap_take(f.store, &unmap));
    CHECK(!fe_tier_dead_take(f.store, &dead));
    CHECK_INT(0, stats.mutable_max);
    fixture_close(&f);
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
    RUN(writers_wait_while_the_flush_is_behind_and_are_told_when_it_is_not);
    RUN(what_the_disk_is_slow_to_take_has_the_memory_of_mapped_segments);
    RUN(a_disk_that_refuses_is_an_error_of_writes_until_it_heals);
    RUN(short_writes_are_continued);
    RUN(files_never_take_more_than_disk_max);
    RUN(files_are_no_more_than_may_be_open);
    RUN(at_the_limit_of_files_the_oldest_keys_go_and_writes_go_on);
    RUN(at_the_limit_of_files_garbage_makes_room);
    RUN(without_a_mapping_a_segment_is_on_disk_at_once);
    RUN(without_memory_for_the_image_the_flush_is_tried_again);
    RUN(a_file_that_cannot_be_removed_is_an_error_and_its_number_goes_on);
    RUN(a_large_value_has_a_file_of_its_own);
    RUN(a_segment_of_garbage_is_left_to_compaction);
    RUN(writers_never_wait_for_garbage_alone);
    RUN(writers_never_wait_for_a_tail_alone);
    RUN(two_flushes_at_once_take_two_segments);
    RUN(records_of_a_flushed_database_are_swept_before_their_segment_is_sealed);
    RUN(a_flush_of_the_database_leaves_no_file);
    RUN(what_is_demoted_on_demand_is_all_there_was);
    RUN(budgets_that_are_not_set_are_shares_of_what_the_process_leaves);
    RUN(what_the_log_takes_is_not_counted_as_given_back);
    RUN(memory_that_is_held_for_readers_leaves_less_for_the_tiers);
    RUN(an_index_that_leaves_no_memory_for_records_refuses_writes);
    RUN(a_memory_only_store_has_no_tiers);
    RUN(without_memory_no_tiered_store_is_made);
    return check_done();
}
