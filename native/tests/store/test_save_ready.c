/* What is done before a stop, while the store is in use. */
#include "store/reserve.h"
#include "tests/store/save_rig.h"

#include <pthread.h>
#include <time.h>

/* Calls and flushes until it is decided, as the server and its flusher do. */
static fe_status make_ready(tiered *t, fe_save_ready *ready)
{
    fe_status status;
    while ((status = fe_save_ready_step(t->f.store, ready, error)) == FE_BUSY)
        (void)flush_sealed(t);
    return status;
}

TEST(a_store_is_made_ready_while_it_is_in_use)
{
    tiered t;
    fe_save_ready ready = {0};
    tiered_open(&t, tiered_options());
    fill(&t, 0, 600, 500);
    CHECK_INT(FE_BUSY, fe_save_ready_step(t.f.store, &ready, error));
    fill(&t, 600, 700, 500); /* what comes after the first call is not waited for */
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    CHECK_INT(0, t.f.store->log.tiers[FE_TIER_SEALED].segments);
    CHECK(t.f.store->log.bytes != 0);
    check_store(&t.f);
    restart(&t);
    CHECK_INT(700, last.keys);
    tiered_close(&t);
}

TEST(a_disk_that_refuses_is_known_of_before_the_stop)
{
    tiered t;
    fe_save_ready ready = {0};
    tiered_open(&t, tiered_options());
    fill(&t, 0, 500, 500);
    t.faults.write_error = ENOSPC;
    CHECK_INT(FE_IO, make_ready(&t, &ready));
    CHECK(strstr(error, "log/") != NULL && strstr(error, strerror(ENOSPC)) != NULL);
    fe_save_ready_end(t.f.store, &ready);
    fill(&t, 500, 510, 500);
    check_store(&t.f);
    t.faults.write_error = 0;
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    restart(&t);
    CHECK_INT(510, last.keys);
    CHECK(cold_has(&t, 0, 0, 500) && cold_has(&t, 0, 509, 500));
    tiered_close(&t);
}

TEST(bounds_on_files_count_again_when_there_is_no_stop)
{
    tiered t;
    fe_save_ready ready = {0};
    fe_store_options options = tiered_options();
    options.disk_max = 128 << 10;
    tiered_open(&t, options);
    fill(&t, 0, 1000, 400);
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    CHECK(t.f.store->tiers->file_bytes > options.disk_max);
    fe_save_ready_end(t.f.store, &ready);
    fill(&t, 1000, 1500, 400);
    demote_all(&t, FE_TIER_SEALED);
    CHECK(!flush_sealed(&t));
    CHECK_INT(FE_DISK_FULL, t.f.store->tiers->state);
    restart(&t);
    CHECK_INT(1500, last.keys);
    tiered_close(&t);
}

/* Room that is held ------------------------------------------------------------------------------ */

/* Bytes of a small file; -1: there is none. */
static int64_t size_of(const tiered *t, const char *name)
{
    char path[256];
    struct stat about;
    (void)snprintf(path, sizeof path, "%s/%s", t->path, name);
    return stat(path, &about) == 0 ? (int64_t)about.st_size : -1;
}

static void disk_is_full(tiered *t, int code)
{
    t->faults.allocate_error = t->faults.full_error = code;
}

TEST(a_full_disk_has_room_for_the_index)
{
    tiered t;
    fe_save_ready ready = {0};
    fe_reserve_job room;
    tiered_open(&t, tiered_options());
    claim(&t);
    fill(&t, 0, 20000, 20);
    demote_all(&t, FE_TIER_DISK);
    disk_is_full(&t, ENOSPC);
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    fe_reserve_begin(t.f.store, &room);
    CHECK(fe_save_ready_room(t.device, &room, error));
    CHECK(save(&t));
    CHECK_INT(20000, last.keys);
    CHECK_INT((int64_t)last.index_bytes, size_of(&t, "index-1"));
    CHECK(size_of(&t, "manifest") > 0);
    CHECK_INT(-1, size_of(&t, "index-1.new"));
    CHECK_INT(-1, size_of(&t, "manifest.new"));
    disk_is_full(&t, 0);
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    CHECK(cold_has(&t, 0, 19999, 20));
    claim(&t);
    tiered_close(&t);
}

/* Whatever is written and deleted, no index is larger than what was thought. */
TEST(what_is_held_is_enough_and_not_far_too_much)
{
    tiered t;
    tiered_open(&t, tiered_options());
    for (uint64_t round = 0; round < 5; round++) {
        name_buf name;
        fe_reserve_job room;
        for (uint64_t i = round * 300; i < round * 900 + 100; i++)
            put(&t, (uint32_t)i % 3, i, 100, FE_DEADLINE_NONE);
        for (uint64_t i = round * 300; i < round * 350; i++) {
            fe_bytes key = name_of(&name, i);
            make_resident(&t, (uint32_t)i % 3, key, fe_key_hash(&t.f.seed, key));
            (void)del(&t.f, (uint32_t)i % 3, key);
        }
        fe_reserve_begin(t.f.store, &room);
        CHECK(save(&t));
        fe_reserve_job after;
        fe_reserve_begin(t.f.store, &after); /* segments were added */
        CHECK(last.index_bytes <= after.least);
        CHECK(after.least < last.index_bytes * 2 + 65536);
        CHECK(room.wanted >= last.index_bytes);
        leave(&t);
        CHECK(begin(&t, tiered_options()));
        claim(&t);
    }
    tiered_close(&t);
}

TEST(no_segment_takes_the_room_of_its_index)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 2000, 100);
    (void)fe_tier_demote_all(t.f.store, FE_TIER_SEALED);
    t.faults.allocate_error = ENOSPC;
    CHECK(!flush_sealed(&t));
    CHECK_INT(0, t.faults.writes);
    CHECK_INT(FE_DISK_FULL, t.f.store->tiers->state);
    CHECK_INT(ENOSPC, t.f.store->tiers->stats.error.code);
    CHECK(size_of(&t, "index-1.new") <= 0);
    t.faults.allocate_error = 0;
    t.f.store->tiers->retry_ms = 0;
    CHECK(flush_sealed(&t));
    CHECK(size_of(&t, "index-1.new") >= (int64_t)fe_reserve_held(t.device));
    restart(&t);
    CHECK_INT(2000, last.keys);
    tiered_close(&t);
}

TEST(what_was_held_for_memory_is_given_back_before_the_stop)
{
    tiered t;
    fe_save_ready ready = {0};
    tiered_open(&t, tiered_options());
    claim(&t);
    int64_t before = size_of(&t, "index-1.new");
    int64_t rest = (int64_t)(FE_RESERVE_SEGMENTS * t.f.store->log.segment_max);
    CHECK(before > rest);
    fill(&t, 0, 10, 100);
    CHECK_INT(FE_OK, make_ready(&t, &ready));
    CHECK(size_of(&t, "index-1.new") <= before - rest + 4096);
    fe_save_ready_end(t.f.store, &ready);
    fill(&t, 10, 20, 100);
    (void)fe_tier_demote_all(t.f.store, FE_TIER_SEALED);
    CHECK(flush_sealed(&t));
    CHECK(size_of(&t, "index-1.new") >= before);
    tiered_close(&t);
}

TEST(a_file_system_that_holds_no_room_is_no_trouble)
{
    tiered t;
    tiered_open(&t, tiered_options());
    t.faults.allocate_error = EOPNOTSUPP;
    fill(&t, 0, 2000, 100);
    demote_all(&t, FE_TIER_DISK);
    CHECK_INT(0, size_of(&t, "index-1.new"));
    restart(&t);
    CHECK_INT(2000, last.keys);
    tiered_close(&t);
}

TEST(a_discard_gives_the_room_back)
{
    tiered t;
    tiered_open(&t, tiered_options());
    claim(&t);
    CHECK(size_of(&t, "index-1.new") > 0 && size_of(&t, "manifest.new") > 0);
    fe_store_free(t.f.store);
    CHECK_INT(-1, size_of(&t, "index-1.new"));
    CHECK_INT(-1, size_of(&t, "manifest.new"));
    fe_device_close(t.device);
    remove_folder(t.path);
}

/* A server that is killed leaves the room of an index that may have been large. */
TEST(what_a_killed_server_held_is_given_back_at_the_start)
{
    tiered t;
    tiered_open(&t, tiered_options());
    CHECK(fe_save_claim(t.f.store, error));
    int64_t small = size_of(&t, "index-1.new");
    fill(&t, 0, 20000, 8);
    demote_all(&t, FE_TIER_DISK);
    CHECK(size_of(&t, "index-1.new") > small + 100000);
    t.f.store->tiers->keep_files = true;
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    claim(&t);
    CHECK_INT(small, size_of(&t, "index-1.new"));
    CHECK_INT(small, fe_reserve_held(t.device));
    tiered_close(&t);
}

TEST(room_that_is_far_too_much_is_given_back_while_the_server_runs)
{
    tiered t;
    tiered_open(&t, tiered_options());
    claim(&t);
    int64_t small = size_of(&t, "index-1.new");
    fe_reserve_job job;
    int code = 0;
    fe_reserve_begin(t.f.store, &job);
    job.least += (uint64_t)small * 4; /* as when there were many keys */
    job.wanted += (uint64_t)small * 4;
    CHECK(fe_reserve_run(t.device, &job, &code));
    CHECK(size_of(&t, "index-1.new") > small * 4);
    fill(&t, 0, 10, 100);
    (void)fe_tier_demote_all(t.f.store, FE_TIER_SEALED);
    CHECK(flush_sealed(&t));
    CHECK(size_of(&t, "index-1.new") < small * 2);
    CHECK_INT(size_of(&t, "index-1.new"), fe_reserve_held(t.device));
    tiered_close(&t);
}

/* A flush was begun before a stop was prepared, and looks for its room after that. */
TEST(who_prepares_a_stop_and_who_flushes_know_of_each_other)
{
    tiered t;
    tiered_open(&t, tiered_options());
    claim(&t);
    fe_reserve_job flush, stop, later;
    int code = 0;
    fe_reserve_begin(t.f.store, &flush);
    t.f.store->tiers->leaving = true;
    fe_reserve_begin(t.f.store, &stop);
    CHECK(fe_save_ready_room(t.device, &stop, error));
    CHECK_INT(stop.wanted, size_of(&t, "index-1.new"));
    CHECK(fe_reserve_run(t.device, &flush, &code));
    CHECK(size_of(&t, "index-1.new") >= (int64_t)flush.least);
    CHECK_INT(size_of(&t, "index-1.new"), fe_reserve_held(t.device));

    /* What is older gives nothing back of what a newer one has taken. */
    fe_reserve_begin(t.f.store, &stop);
    fe_reserve_begin(t.f.store, &later);
    later.least = later.wanted = 4 << 20;
    CHECK(fe_reserve_run(t.device, &later, &code));
    CHECK(fe_save_ready_room(t.device, &stop, error));
    CHECK_INT(4 << 20, size_of(&t, "index-1.new"));
    t.f.store->tiers->leaving = false;
    tiered_close(&t);
}

/* Two at once: the first one's request is refused, after the other has had time for its own. */
typedef struct both {
    tiered t;
    pthread_t other;
    fe_reserve_job job;
    _Atomic bool has_room;
    bool is_begun;
} both;

static void *other_takes(void *context)
{
    both *b = context;
    int code = 0;
    if (!fe_reserve_run(b->t.device, &b->job, &code)) abort();
    b->has_room = true;
    return NULL;
}

static int allocate_between(void *context, int fd, off_t size)
{
    both *b = context;
    if (size < 8 << 20) return fe_device_system.allocate(NULL, fd, size);
    if (!b->is_begun && pthread_create(&b->other, NULL, other_takes, b) != 0) abort();
    b->is_begun = true;
    const struct timespec pause = {0, 1000000};
    for (unsigned i = 0; i < 200 && !b->has_room; i++)
        (void)nanosleep(&pause, NULL);
    errno = ENOSPC;
    return -1;
}

TEST(a_request_that_fails_takes_nothing_from_another)
{
    both b = {0};
    tiered_open(&b.t, tiered_options());
    claim(&b.t);
    fe_device_calls calls = fe_device_system;
    calls.context = &b;
    calls.allocate = allocate_between;
    fe_device_close(b.t.device);
    char text[256];
    b.t.device = fe_device_open(&b.t.f.alloc, b.t.path, &calls, text);
    if (b.t.device == NULL) abort();
    b.t.f.store->tiers->device = b.t.device;
    fe_reserve_job job;
    int code = 0;
    fe_reserve_begin(b.t.f.store, &job);
    b.job = job;
    job.least = job.wanted = 8 << 20;
    b.job.least = b.job.wanted = 2 << 20;
    CHECK(!fe_reserve_run(b.t.device, &job, &code));
    CHECK_INT(ENOSPC, code);
    CHECK_INT(0, pthread_join(b.other, NULL));
    CHECK_INT(2 << 20, size_of(&b.t, "index-1.new"));
    CHECK_INT(2 << 20, fe_reserve_held(b.t.device));
    tiered_close(&b.t);
}

int main(void)
{
    RUN(a_full_disk_has_room_for_the_index);
    RUN(what_is_held_is_enough_and_not_far_too_much);
    RUN(no_segment_takes_the_room_of_its_index);
    RUN(what_was_held_for_memory_is_given_back_before_the_stop);
    RUN(a_file_system_that_holds_no_room_is_no_trouble);
    RUN(a_discard_gives_the_room_back);
    RUN(what_a_killed_server_held_is_given_back_at_the_start);
    RUN(room_that_is_far_too_much_is_given_back_while_the_server_runs);
    RUN(who_prepares_a_stop_and_who_flushes_know_of_each_other);
    RUN(a_request_that_fails_takes_nothing_from_another);
    RUN(a_store_is_made_ready_while_it_is_in_use);
    RUN(a_disk_that_refuses_is_known_of_before_the_stop);
    RUN(bounds_on_files_count_again_when_there_is_no_stop);
    return check_done();
}
