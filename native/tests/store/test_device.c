/* The data folder: what is written is there, what fails leaves nothing behind, each call in turn. */
#define _GNU_SOURCE /* O_DIRECT */
#include "store/device.h"
#include "tests/check.h"
#include "tests/store/faults.h"

#define IMAGE ((size_t)3 << 16)

typedef struct fixture {
    fe_alloc alloc;
    faults faults;
    fe_device *device;
    char path[128];
    int descriptors;
} fixture;

static const uint8_t *image(void)
{
    static _Alignas(4096) uint8_t bytes[IMAGE];
    for (size_t i = 0; i < IMAGE; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8));
    return bytes;
}

static void reopen(fixture *f)
{
    char error[256] = "";
    f->device = fe_device_open(&f->alloc, f->path, &f->faults.calls, error);
    if (f->device == NULL) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
}

static void fixture_open(fixture *f)
{
    fe_alloc_init(&f->alloc);
    faults_init(&f->faults);
    folder_make(f->path);
    f->descriptors = open_descriptors();
    reopen(f);
}

static void fixture_close(fixture *f)
{
    fe_device_close(f->device);
    CHECK_INT(f->descriptors, open_descriptors());
    CHECK_INT(0, fe_alloc_used_all(&f->alloc));
    remove_folder(f->path);
}

static bool there(fixture *f, const char *name)
{
    char path[256];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return lstat(path, &about) == 0;
}

static void count_one(void *context, uint32_t number, uint32_t generation)
{
    *(int *)context += number == 7 && generation == 0xabcdef01 ? 1 : 1000;
}

static int segments(fixture *f)
{
    int count = 0, error = 0;
    CHECK(fe_device_list_segments(f->device, count_one, &count, &error));
    return count;
}

static int write_segment(fixture *f, int *error)
{
    return fe_device_write_segment(f->device, 7, 0xabcdef01, image(), IMAGE, error);
}

static void check_segment(fixture *f, int fd)
{
    static _Alignas(4096) uint8_t bytes[IMAGE + 4096];
    int error = 0;
    CHECK_INT(IMAGE, fe_device_read(f->device, fd, bytes, sizeof bytes, 0, &error));
    CHECK(memcmp(image(), bytes, IMAGE) == 0);
    CHECK_INT(4096, fe_device_read(f->device, fd, bytes, 4096, 8192, &error));
    CHECK(memcmp(image() + 8192, bytes, 4096) == 0);
    CHECK_INT(0, error);
}

static void check_file(fixture *f, const char *name, const char *text)
{
    size_t size = 0;
    int error = 0;
    uint8_t *data = fe_device_read_file(f->device, name, 1000, &size, &error);
    CHECK(data != NULL);
    if (data != NULL) CHECK_BYTES(text, strlen(text), data, size);
    fe_alloc_give(&f->alloc, FE_ALLOC_ENGINE, data);
}

static bool write_text(fixture *f, const char *name, const char *text, int *error)
{
    return fe_device_write_file(f->device, name, text, strlen(text), error);
}

/* --- the folder */

TEST(a_folder_is_made_locked_and_found_again)
{
    fixture f;
    fixture_open(&f);
    CHECK(there(&f, "LOCK"));
    CHECK(there(&f, "log"));
    uint64_t bytes = 0;
    int error = 0;
    CHECK(fe_device_free_bytes(f.device, &bytes, &error));
    CHECK(bytes > 0);
    uint32_t block = fe_device_block_size(f.device);
    CHECK(block >= 512 && block <= 4096 && (block & (block - 1)) == 0);

    char text[256] = "";
    CHECK(fe_device_open(&f.alloc, f.path, &f.faults.calls, text) == NULL);
    CHECK(strstr(text, f.path) != NULL && strstr(text, "another process") != NULL);

    fe_device_close(f.device);
    reopen(&f);
    fixture_close(&f);
}

TEST(a_folder_that_cannot_be_is_named_with_the_cause)
{
    fixture f;
    fixture_open(&f);
    char path[256], text[256] = "";
    snprintf(path, sizeof path, "%s/a/b", f.path);
    CHECK(fe_device_open(&f.alloc, path, &f.faults.calls, text) == NULL);
    CHECK(strstr(text, path) != NULL && strstr(text, "No such file") != NULL);
    snprintf(path, sizeof path, "%s/LOCK", f.path);
    CHECK(fe_device_open(&f.alloc, path, &f.faults.calls, text) == NULL);
    CHECK(strstr(text, path) != NULL && strstr(text, "Not a directory") != NULL);
    fixture_close(&f);
}

TEST(opening_fails_cleanly_at_each_call)
{
    fixture f;
    fixture_open(&f);
    fe_device_close(f.device);
    int failed = 0;
    for (int n = 0; faults_next(&f.faults, n, EIO); n++) {
        char text[256] = "";
        remove_folder(f.path);
        f.device = fe_device_open(&f.alloc, f.path, &f.faults.calls, text);
        if (f.device != NULL) { /* whether O_DIRECT works is found out, not demanded */
            CHECK(!f.faults.fired || !fe_device_is_direct(f.device));
            fe_device_close(f.device);
            continue;
        }
        failed++;
        CHECK(strstr(text, f.path) != NULL && strstr(text, "Input/output error") != NULL);
        CHECK_INT(0, fe_alloc_used_all(&f.alloc));
        CHECK_INT(f.descriptors, open_descriptors());
    }
    CHECK_INT(8, failed); /* mkdir, open, LOCK, mkdir log, open log, sync, open .., sync .. */

    faults_stop(&f.faults);
    fe_alloc_fail_after(&f.alloc, 0);
    char text[256] = "";
    CHECK(fe_device_open(&f.alloc, f.path, &f.faults.calls, text) == NULL);
    CHECK(strstr(text, "no memory") != NULL);
    fe_alloc_fail_after(&f.alloc, -1);
    reopen(&f);
    fixture_close(&f);
}

/* --- segments */

TEST(a_segment_is_written_read_mapped_listed_and_removed)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    int fd = write_segment(&f, &error);
    CHECK(fd >= 0);
    CHECK(there(&f, "log/00000007-abcdef01.seg"));
    CHECK_INT(1, segments(&f));
    check_segment(&f, fd);
    uint8_t *map = fe_device_map(f.device, fd, IMAGE);
    CHECK(map != NULL && memcmp(map, image(), IMAGE) == 0);
    fe_device_unmap(f.device, fd, map, IMAGE);
    fe_device_close_fd(f.device, fd);

    uint64_t size = 0;
    fd = fe_device_open_segment(f.device, 7, 0xabcdef01, &size, &error);
    CHECK_INT(IMAGE, size);
    check_segment(&f, fd);
    fe_device_uncache(f.device, fd);
    check_segment(&f, fd);
    fe_device_close_fd(f.device, fd);

    CHECK(fe_device_remove_segment(f.device, 7, 0xabcdef01, &error));
    CHECK(fe_device_remove_segment(f.device, 7, 0xabcdef01, &error));
    CHECK_INT(0, segments(&f));
    CHECK_INT(0, error);
    CHECK_INT(-1, fe_device_open_segment(f.device, 7, 0xabcdef01, &size, &error));
    CHECK_INT(ENOENT, error);
    fixture_close(&f);
}

TEST(only_names_of_segments_are_listed)
{
    static const char *const others[] = {"7-1.seg", "00000007-00000001.seg.new", "x",
                                         "00000007-0000000G.seg", "0000007-000000001.seg"};
    fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/log/%s", f.path, others[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    CHECK_INT(0, segments(&f));
    fixture_close(&f);
}

TEST(a_segment_that_cannot_be_written_leaves_nothing_at_each_call)
{
    static const int errors[] = {EIO, ENOSPC};
    fixture f;
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        int rounds = 0;
        for (int n = 0; faults_next(&f.faults, n, errors[i]); n++) {
            int error = 0;
            int fd = write_segment(&f, &error);
            faults_stop(&f.faults);
            rounds++;
            if (!f.faults.fired) {
                CHECK(fd >= 0);
                CHECK_INT(0, error);
                check_segment(&f, fd);
                fe_device_close_fd(f.device, fd);
                continue;
            }
            CHECK_INT(-1, fd);
            CHECK_INT(errors[i], error);
            CHECK(!there(&f, "log/00000007-abcdef01.seg"));
        }
        CHECK_INT(5, rounds); /* open, write, write back, open; and none */
    }
    fixture_close(&f);
}

TEST(a_failed_write_back_is_not_repeated)
{
    fixture f;
    fixture_open(&f);
    f.faults.only = FAULT_WRITE_BACK;
    CHECK(faults_next(&f.faults, 0, EIO));
    int error = 0;
    CHECK_INT(-1, write_segment(&f, &error));
    CHECK_INT(1, f.faults.count[FAULT_WRITE_BACK]);
    CHECK(!there(&f, "log/00000007-abcdef01.seg"));
    fixture_close(&f);
}

/* Where sync_file_range may do nothing and say that it did, each segment is synced. */
TEST(on_a_file_system_that_is_not_known_segments_are_synced)
{
    const int64_t kinds[] = {0x2fc12fc1, 0x794c7630, -1}; /* ZFS, overlayfs, none */
    for (unsigned i = 0; i < 3; i++) {
        fixture f;
        fixture_open(&f);
        CHECK(fe_device_hands_over(f.device));
        fe_device_close(f.device);
        f.faults.kind = kinds[i];
        reopen(&f);
        CHECK(!fe_device_hands_over(f.device));
        int error = 0, syncs = f.faults.count[FAULT_SYNC];
        int fd = write_segment(&f, &error);
        CHECK(fd >= 0);
        CHECK_INT(syncs + 1, f.faults.count[FAULT_SYNC]);
        CHECK_INT(0, f.faults.count[FAULT_WRITE_BACK]);
        fe_device_close_fd(f.device, fd);

        f.faults.only = FAULT_SYNC;
        CHECK(faults_next(&f.faults, 0, EIO));
        CHECK_INT(-1, write_segment(&f, &error));
        CHECK_INT(EIO, error);
        CHECK(!there(&f, "log/00000007-abcdef01.seg"));
        fixture_close(&f);
    }
}

/* Many segments are written for one sync, and its failure is told. */
TEST(segments_are_synced_all_together)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    int syncs = f.faults.count[FAULT_SYNC] + f.faults.count[FAULT_SYNC_FOLDER];
    int fd = write_segment(&f, &error);
    CHECK(fd >= 0);
    CHECK_INT(syncs, f.faults.count[FAULT_SYNC] + f.faults.count[FAULT_SYNC_FOLDER]);
    CHECK(fe_device_sync_all(f.device, &error));
    CHECK_INT(1, f.faults.count[FAULT_SYNC_ALL]);
    f.faults.only = FAULT_SYNC_ALL;
    CHECK(faults_next(&f.faults, 0, EIO));
    CHECK(!fe_device_sync_all(f.device, &error));
    CHECK_INT(EIO, error);
    check_segment(&f, fd);
    fe_device_close_fd(f.device, fd);
    fixture_close(&f);
}

TEST(short_and_interrupted_calls_are_continued)
{
    fixture f;
    fixture_open(&f);
    fe_device_close(f.device);
    f.faults.piece = 4096;
    f.faults.interrupt = true;
    reopen(&f);
    int error = 0;
    int fd = write_segment(&f, &error);
    CHECK(fd >= 0);
    CHECK_INT(IMAGE / 4096, f.faults.count[FAULT_WRITE]);
    check_segment(&f, fd);
    fe_device_close_fd(f.device, fd);
    CHECK(fe_device_remove_segment(f.device, 7, 0xabcdef01, &error));
    CHECK(write_text(&f, "manifest", "some text", &error));
    check_file(&f, "manifest", "some text");
    CHECK(fe_device_remove_file(f.device, "manifest", &error));
    CHECK(fe_device_set_aside(f.device, "log.old", &error));
    CHECK_INT(0, error);
    fixture_close(&f);
}

static ssize_t write_nothing(void *context, int fd, const void *data, size_t size, off_t offset)
{
    (void)context, (void)fd, (void)data, (void)size, (void)offset;
    return 0;
}

TEST(a_write_that_makes_no_progress_is_an_error)
{
    fixture f;
    fixture_open(&f);
    f.faults.calls.pwrite = write_nothing;
    int error = 0;
    CHECK_INT(-1, write_segment(&f, &error));
    CHECK_INT(EIO, error);
    fixture_close(&f);
}

TEST(reading_and_mapping_report_errors)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    static _Alignas(4096) uint8_t bytes[8192];
    int fd = write_segment(&f, &error);
    f.faults.piece = 4096;
    for (int n = 0; n < 2; n++) {
        CHECK(faults_next(&f.faults, n, EIO));
        CHECK_INT(-1, fe_device_read(f.device, fd, bytes, sizeof bytes, 0, &error));
        CHECK_INT(EIO, error);
    }
    f.faults.only = FAULT_MAP;
    CHECK(faults_next(&f.faults, 0, ENOMEM));
    CHECK(fe_device_map(f.device, fd, IMAGE) == NULL);
    fe_device_close_fd(f.device, fd);
    faults_stop(&f.faults);
    f.faults.only = FAULT_UNLINK;
    CHECK(faults_next(&f.faults, 0, EROFS));
    CHECK(!fe_device_remove_segment(f.device, 7, 0xabcdef01, &error));
    CHECK_INT(EROFS, error);
    f.faults.only = FAULT_OPEN;
    CHECK(faults_next(&f.faults, 0, EMFILE));
    int count = 0;
    CHECK(!fe_device_list_segments(f.device, count_one, &count, &error));
    CHECK_INT(EMFILE, error);
    fixture_close(&f);
}

TEST(a_file_system_without_direct_reads_is_read_through_the_page_cache)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    f.faults.refuse_flags = O_DIRECT; /* from now on: a mount below the folder, say */
    int fd = write_segment(&f, &error);
    CHECK(fd >= 0);
    CHECK(!fe_device_is_direct(f.device));
    check_segment(&f, fd);
    fe_device_close_fd(f.device, fd);
    fe_device_close(f.device);
    reopen(&f); /* from the start */
    CHECK(!fe_device_is_direct(f.device));
    CHECK_INT(512, fe_device_block_size(f.device));
    uint64_t size = 0;
    fd = fe_device_open_segment(f.device, 7, 0xabcdef01, &size, &error);
    check_segment(&f, fd);
    fe_device_close_fd(f.device, fd);
    fixture_close(&f);
}

TEST(the_log_is_set_aside_or_stays_at_each_call)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    fe_device_close_fd(f.device, write_segment(&f, &error));
    for (int n = 0; faults_next(&f.faults, n, EIO); n++) {
        error = 0;
        bool good = fe_device_set_aside(f.device, "log.aside", &error);
        bool fired = f.faults.fired;
        faults_stop(&f.faults);
        CHECK_INT(!fired, good);
        CHECK_INT(fired ? EIO : 0, error);
        CHECK_INT(fired ? 1 : 0, segments(&f));
        CHECK_INT(fired, there(&f, "log/00000007-abcdef01.seg"));
        CHECK_INT(!fired, there(&f, "log.aside/00000007-abcdef01.seg"));
    }
    faults_stop(&f.faults);
    fe_device_close_fd(f.device, write_segment(&f, &error));
    CHECK(!fe_device_set_aside(f.device, "log.aside", &error));
    CHECK(error == ENOTEMPTY || error == EEXIST);
    CHECK_INT(1, segments(&f));
    fixture_close(&f);
}

/* --- small files */

TEST(a_small_file_is_written_replaced_read_and_removed)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    bool exists = true;
    CHECK(fe_device_exists(f.device, "manifest", &exists, &error));
    CHECK(!exists);
    CHECK(write_text(&f, "manifest", "one", &error));
    check_file(&f, "manifest", "one");
    CHECK(write_text(&f, "manifest", "", &error));
    check_file(&f, "manifest", "");
    CHECK(fe_device_exists(f.device, "manifest", &exists, &error));
    CHECK(exists);
    CHECK(!there(&f, "manifest.new"));
    CHECK(fe_device_remove_file(f.device, "manifest", &error));
    CHECK(fe_device_remove_file(f.device, "manifest", &error));
    CHECK(!there(&f, "manifest"));
    CHECK_INT(0, error);
    size_t size;
    CHECK(fe_device_read_file(f.device, "manifest", 10, &size, &error) == NULL);
    CHECK_INT(ENOENT, error);
    fixture_close(&f);
}

TEST(a_failed_write_keeps_the_old_file_at_each_call)
{
    fixture f;
    fixture_open(&f);
    int error = 0, rounds = 0;
    CHECK(write_text(&f, "manifest", "old", &error));
    for (int n = 0; faults_next(&f.faults, n, ENOSPC); n++) {
        error = 0;
        bool good = write_text(&f, "manifest", "new", &error);
        bool fired = f.faults.fired;
        faults_stop(&f.faults);
        CHECK_INT(!fired, good);
        CHECK_INT(fired ? ENOSPC : 0, error);
        CHECK(!there(&f, "manifest.new"));
        rounds++;
        /* The fifth call is the folder's sync: the new name is there, but who knows for how long. */
        check_file(&f, "manifest", rounds >= 5 ? "new" : "old");
    }
    CHECK_INT(6, rounds); /* open, write, sync, rename, sync of the folder; and none */
    fixture_close(&f);
}

TEST(a_file_is_written_piece_by_piece_and_an_error_sticks)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    fe_device_file file;
    CHECK(fe_device_file_begin(f.device, &file, "index", &error));
    CHECK(fe_device_file_append(&file, "ab", 2, &error));
    CHECK(fe_device_file_append(&file, "cde", 3, &error));
    CHECK_INT(5, file.size);
    CHECK(!there(&f, "index"));
    CHECK(fe_device_file_commit(&file, &error));
    check_file(&f, "index", "abcde");

    CHECK(fe_device_file_begin(f.device, &file, "index", &error));
    CHECK(fe_device_file_append(&file, "zz", 2, &error));
    CHECK(there(&f, "index.new"));
    fe_device_file_abandon(&file);
    CHECK(!there(&f, "index.new"));
    CHECK_INT(0, error);

    CHECK(fe_device_file_begin(f.device, &file, "index", &error));
    CHECK(faults_next(&f.faults, 0, EIO));
    CHECK(!fe_device_file_append(&file, "zz", 2, &error));
    error = 0;
    CHECK(!fe_device_file_append(&file, "zz", 2, &error));
    CHECK_INT(EIO, error);
    error = 0;
    CHECK(!fe_device_file_commit(&file, &error));
    CHECK_INT(EIO, error);
    fe_device_file_abandon(&file);
    check_file(&f, "index", "abcde");
    CHECK(!there(&f, "index.new"));
    fixture_close(&f);
}

static int64_t length_of(const fixture *f, const char *name)
{
    char path[256];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return stat(path, &about) == 0 ? (int64_t)about.st_size : -1;
}

TEST(room_is_held_for_a_small_file)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    CHECK(fe_device_file_reserve(f.device, "name", 8192, &error));
    CHECK_INT(8192, length_of(&f, "name.new"));
    for (int n = 0; faults_next(&f.faults, n, ENOSPC); n++) { /* what there is stays */
        bool grown = fe_device_file_reserve(f.device, "name", 65536, &error);
        faults_stop(&f.faults);
        CHECK(grown == !f.faults.fired);
        CHECK_INT(grown ? 65536 : 8192, length_of(&f, "name.new"));
    }
    CHECK_INT(ENOSPC, error);
    CHECK(fe_device_file_reserve(f.device, "name", 10, &error)); /* it does not shrink */
    CHECK_INT(65536, length_of(&f, "name.new"));
    fe_device_file_release(f.device, "name", 4096);
    CHECK_INT(4096, length_of(&f, "name.new"));

    CHECK(fe_device_write_file(f.device, "name", "hello", 5, &error));
    CHECK_INT(5, length_of(&f, "name"));
    CHECK_INT(-1, length_of(&f, "name.new"));
    CHECK(fe_device_file_reserve(f.device, "name", 8192, &error));
    for (int n = 0; n < 4;
         n++) { /* open, write, sync, rename: whatever fails, as much as is needed stays */
        (void)faults_next(&f.faults, 0, EIO);
        f.faults.fail_after = n;
        CHECK(!fe_device_write_file(f.device, "name", "HELLO", 5, &error));
        faults_stop(&f.faults);
        CHECK_INT(n < 2 ? 8192 : 5, length_of(&f, "name.new"));
        check_file(&f, "name", "hello");
    }
    fe_device_file_release(f.device, "name", 0);
    CHECK(fe_device_file_reserve(f.device, "name", 8192, &error));
    fe_device_file_release(f.device, "name", 0);
    fe_device_file_release(f.device, "name", 0);
    CHECK_INT(-1, length_of(&f, "name.new"));
    CHECK_INT(5, length_of(&f, "name"));
    fixture_close(&f);
}

TEST(reading_a_small_file_fails_cleanly)
{
    fixture f;
    fixture_open(&f);
    int error = 0, rounds = 0;
    size_t size = 77;
    CHECK(write_text(&f, "index", "12345", &error));
    CHECK(fe_device_read_file(f.device, "index", 4, &size, &error) == NULL);
    CHECK_INT(EFBIG, error);
    for (int n = 0; faults_next(&f.faults, n, EIO); n++) {
        error = 0;
        uint8_t *data = fe_device_read_file(f.device, "index", 5, &size, &error);
        CHECK_INT(f.faults.fired, data == NULL);
        CHECK_INT(f.faults.fired ? EIO : 0, error);
        fe_alloc_give(&f.alloc, FE_ALLOC_ENGINE, data);
        rounds++;
    }
    CHECK_INT(3, rounds);
    faults_stop(&f.faults);
    fe_alloc_fail_after(&f.alloc, 0);
    CHECK(fe_device_read_file(f.device, "index", 5, &size, &error) == NULL);
    CHECK_INT(ENOMEM, error);
    fe_alloc_fail_after(&f.alloc, -1);
    fixture_close(&f);
}

TEST(what_cannot_be_told_or_removed_is_an_error)
{
    fixture f;
    fixture_open(&f);
    int error = 0;
    bool exists = false;
    CHECK(write_text(&f, "manifest", "x", &error));
    CHECK(faults_next(&f.faults, 0, EACCES));
    CHECK(!fe_device_exists(f.device, "manifest", &exists, &error));
    CHECK_INT(EACCES, error);
    int rounds = 0;
    faults_stop(&f.faults);
    for (int n = 0; faults_next(&f.faults, n, EIO); n++) {
        error = 0;
        CHECK_INT(n == 2, fe_device_remove_file(f.device, "manifest", &error));
        CHECK_INT(n == 2 ? 0 : EIO, error);
        rounds++;
    }
    CHECK_INT(3, rounds); /* unlink, sync of the folder; and none */
    fixture_close(&f);
}

int main(void)
{
    RUN(a_folder_is_made_locked_and_found_again);
    RUN(a_folder_that_cannot_be_is_named_with_the_cause);
    RUN(opening_fails_cleanly_at_each_call);
    RUN(a_segment_is_written_read_mapped_listed_and_removed);
    RUN(only_names_of_segments_are_listed);
    RUN(a_segment_that_cannot_be_written_leaves_nothing_at_each_call);
    RUN(a_failed_write_back_is_not_repeated);
    RUN(on_a_file_system_that_is_not_known_segments_are_synced);
    RUN(segments_are_synced_all_together);
    RUN(short_and_interrupted_calls_are_continued);
    RUN(a_write_that_makes_no_progress_is_an_error);
    RUN(reading_and_mapping_report_errors);
    RUN(a_file_system_without_direct_reads_is_read_through_the_page_cache);
    RUN(the_log_is_set_aside_or_stays_at_each_call);
    RUN(a_small_file_is_written_replaced_read_and_removed);
    RUN(a_failed_write_keeps_the_old_file_at_each_call);
    RUN(a_file_is_written_piece_by_piece_and_an_error_sticks);
    RUN(room_is_held_for_a_small_file);
    RUN(reading_a_small_file_fails_cleanly);
    RUN(what_cannot_be_told_or_removed_is_an_error);
    return check_done();
}
