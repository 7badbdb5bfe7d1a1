/* A stop or a start that the disk or memory fails: said aloud, and the folder stays sound. */
#include "store/fetch.h"
#include "tests/store/save_rig.h"

TEST(a_disk_that_refuses_fails_the_save_and_not_silently)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    t.faults.write_error = ENOSPC;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "log/") != NULL && strstr(error, strerror(ENOSPC)) != NULL);
    t.faults.write_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(0, fe_store_db_size(t.f.store, 0));
    claim(&t);
    tiered_close(&t);
}

TEST(segments_that_cannot_be_synced_are_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    t.faults.all_error = t.faults.sync_error = EIO;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "log/") != NULL && strstr(error, strerror(EIO)) != NULL);
    t.faults.all_error = t.faults.sync_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest") && !in_folder(&t, "index-1"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    claim(&t);
    tiered_close(&t);
}

TEST(a_save_that_failed_can_be_tried_again)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    t.faults.write_error = ENOSPC;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    t.faults.write_error = 0;
    restart(&t);
    CHECK_INT(1000, last.keys);
    CHECK(cold_has(&t, 0, 0, 500) && cold_has(&t, 0, 999, 500));
    tiered_close(&t);
}

/* The kernel tells of it once, and may have dropped the data: that the next sync goes well means nothing. */
TEST(what_could_not_be_synced_is_never_saved_later)
{
    for (unsigned i = 0; i < 2; i++) {
        tiered t;
        tiered_open(&t, tiered_options());
        fill(&t, 0, 1000, 500);
        t.faults.all_error = EIO;
        *(i == 0 ? &t.faults.sync_error : &t.faults.folder_error) = EIO;
        CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
        t.faults.all_error = t.faults.sync_error = t.faults.folder_error = 0;
        CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
        CHECK(strstr(error, "log: ") != NULL && strstr(error, strerror(EIO)) != NULL);
        leave(&t);
        CHECK(!in_folder(&t, "manifest"));
        CHECK(begin(&t, tiered_options()));
        CHECK_INT(FE_SAVE_UNCLEAN, last.found);
        claim(&t);
        tiered_close(&t);
    }
}

TEST(names_of_segments_that_cannot_be_synced_are_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    t.faults.all_error = t.faults.folder_error = EIO;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "log: ") != NULL && strstr(error, strerror(EIO)) != NULL);
    t.faults.all_error = t.faults.folder_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest") && !in_folder(&t, "index-1"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    claim(&t);
    tiered_close(&t);
}

/* The file system tells once, to whoever syncs it next, of every error that it ever had; or may refuse. */
TEST(an_error_of_other_files_does_not_cost_the_data)
{
    const int errors[] = {EIO, ENOSYS, EPERM};
    for (unsigned i = 0; i < 3; i++) {
        tiered t;
        tiered_open(&t, tiered_options());
        fill(&t, 0, 1000, 500);
        t.faults.all_error = errors[i];
        t.faults.syncs = 0;
        restart(&t);
        CHECK(t.faults.syncs >= last.segments);
        CHECK_INT(1000, last.keys);
        CHECK(cold_has(&t, 0, 7, 500) && cold_has(&t, 0, 999, 500));
        tiered_close(&t);
    }
}

TEST(a_write_that_cannot_be_settled_is_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    demote_all(&t, FE_TIER_DISK);
    fe_waiter waiter = {.wake = NULL};
    name_buf buf;
    fe_bytes name = name_of(&buf, 7), value = {(const uint8_t *)"new", 3};
    CHECK(fe_fetch_key(t.f.store, 0, name, fe_key_hash(&t.f.seed, name), FE_NEED_BLIND, &waiter));
    CHECK(set(&t.f, 0, name, value, FE_DEADLINE_NONE));
    fe_waiter_close(t.f.store, &waiter);
    CHECK_INT(1, t.f.store->fetch.settle_count);

    fe_alloc_fail_after(&t.f.alloc, 0);
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    fe_alloc_fail_after(&t.f.alloc, -1);
    CHECK(strstr(error, "memory") != NULL);
    CHECK(!in_folder(&t, "manifest"));

    restart(&t);
    CHECK_INT(1000, last.keys);
    CHECK(cold_has(&t, 0, 8, 500) && !cold_has(&t, 0, 7, 500));
    tiered_close(&t);
}

TEST(an_index_that_cannot_be_synced_is_no_save)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 1000, 500);
    demote_all(&t, FE_TIER_DISK);
    t.faults.sync_error = EIO;
    CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
    CHECK(strstr(error, "index-1: ") != NULL && strstr(error, strerror(EIO)) != NULL);
    t.faults.sync_error = 0;
    leave(&t);
    CHECK(!in_folder(&t, "manifest") && !in_folder(&t, "index-1"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(FE_SAVE_UNCLEAN, last.found);
    claim(&t);
    tiered_close(&t);
}

TEST(the_manifest_is_there_again_only_after_a_save_and_claims_fail_loudly)
{
    tiered t;
    tiered_open(&t, tiered_options());
    fill(&t, 0, 100, 100);
    CHECK(save(&t));
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    t.faults.unlink_error = EACCES;
    CHECK(!fe_save_claim(t.f.store, error));
    CHECK(strstr(error, "manifest: ") != NULL && strstr(error, strerror(EACCES)) != NULL);
    t.faults.unlink_error = 0;
    leave(&t);
    CHECK(in_folder(&t, "manifest"));
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(100, last.keys);
    claim(&t);
    tiered_close(&t);
}

TEST(a_store_without_memory_is_told_so_and_the_folder_stays)
{
    tiered t;
    saved_folder(&t);
    bool begun = false;
    for (int64_t n = 0; n < 200 && !begun; n++) {
        char text[256];
        t.device = fe_device_open(&t.f.alloc, t.path, &t.calls, text);
        fe_store_options options = tiered_options();
        options.device = t.device;
        t.f.store = fe_store_new(&t.f.alloc, &options);
        fe_alloc_fail_after(&t.f.alloc, n);
        begun = fe_save_open(t.f.store, &last, error);
        fe_alloc_fail_after(&t.f.alloc, -1);
        if (!begun) CHECK(strstr(error, "memory") != NULL);
        leave(&t);
    }
    CHECK(begun);
    CHECK(begin(&t, tiered_options()));
    claim(&t);
    CHECK(cold_has(&t, 2, 2, 200));
    tiered_close(&t);
}

/* Others take what a save gives back, on a disk that is full: so it gives nothing back before it is over. */
static void fills_up(tiered *t, int code)
{
    t->faults.allocate_error = t->faults.full_error = code;
}

static int64_t room_of(const tiered *t, const char *name)
{
    char path[256];
    struct stat about;
    (void)snprintf(path, sizeof path, "%s/%s", t->path, name);
    return stat(path, &about) == 0 ? (int64_t)about.st_size : -1;
}

TEST(the_room_of_the_index_outlives_a_save_that_fails_at_any_call)
{
    for (unsigned i = 0; i < 3; i++) {
        tiered t;
        tiered_open(&t, tiered_options());
        claim(&t);
        fill(&t, 0, 20000, 20);
        demote_all(&t, FE_TIER_DISK);
        int *const errors[] = {&t.faults.write_error, &t.faults.sync_error, &t.faults.folder_error};
        *errors[i] = EIO;
        CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
        CHECK(strstr(error, "index-1: ") == error && strstr(error, strerror(EIO)) != NULL);
        CHECK(!in_folder(&t, "index-1"));
        CHECK(fe_reserve_held(t.device) > 100000);
        CHECK_INT(fe_reserve_held(t.device), room_of(&t, "index-1.new"));
        *errors[i] = 0;
        fills_up(&t, ENOSPC);
        CHECK(save(&t));
        CHECK_INT(20000, last.keys);
        fills_up(&t, 0);
        leave(&t);
        CHECK(begin(&t, tiered_options()));
        CHECK_INT(20000, last.keys);
        claim(&t);
        tiered_close(&t);
    }
}

static int refuse_manifest(void *context, int folder, const char *from, const char *to)
{
    if (strcmp(to, "manifest") != 0) return fe_device_system.renameat(NULL, folder, from, to);
    (void)context;
    errno = EIO;
    return -1;
}

TEST(an_index_that_is_written_is_not_written_again)
{
    tiered t;
    tiered_open(&t, tiered_options());
    claim(&t);
    fill(&t, 0, 20000, 20);
    demote_all(&t, FE_TIER_DISK);
    t.calls.renameat = refuse_manifest;
    for (unsigned i = 0; i < 2; i++) {
        CHECK(!fe_save_run(t.f.store, SERVER, &last, error));
        CHECK(strstr(error, "manifest: ") == error && strstr(error, strerror(EIO)) != NULL);
        CHECK(in_folder(&t, "index-1") && !in_folder(&t, "index-1.new"));
        CHECK(!in_folder(&t, "manifest") && in_folder(&t, "manifest.new"));
        fills_up(&t, ENOSPC);
    }
    t.calls.renameat = fe_device_system.renameat;
    CHECK(save(&t));
    CHECK_INT(20000, last.keys);
    CHECK_INT((int64_t)last.index_bytes, room_of(&t, "index-1"));
    fills_up(&t, 0);
    leave(&t);
    CHECK(begin(&t, tiered_options()));
    CHECK_INT(20000, last.keys);
    CHECK(cold_has(&t, 0, 19999, 20));
    claim(&t);
    tiered_close(&t);
}

int main(void)
{
    RUN(a_disk_that_refuses_fails_the_save_and_not_silently);
    RUN(segments_that_cannot_be_synced_are_no_save);
    RUN(a_save_that_failed_can_be_tried_again);
    RUN(what_could_not_be_synced_is_never_saved_later);
    RUN(names_of_segments_that_cannot_be_synced_are_no_save);
    RUN(an_error_of_other_files_does_not_cost_the_data);
    RUN(a_write_that_cannot_be_settled_is_no_save);
    RUN(an_index_that_cannot_be_synced_is_no_save);
    RUN(the_manifest_is_there_again_only_after_a_save_and_claims_fail_loudly);
    RUN(a_store_without_memory_is_told_so_and_the_folder_stays);
    RUN(the_room_of_the_index_outlives_a_save_that_fails_at_any_call);
    RUN(an_index_that_is_written_is_not_written_again);
    return check_done();
}
