/* Mapped files whose pages cannot be had: the thread that touches one goes on. */
#include "store/guard.h"
#include "tests/check.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 8u

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A file of PAGES pages, each full of its number + 1, mapped. */
static uint8_t *map_file(int *fd)
{
    char path[] = "/tmp/ferrite-guard-XXXXXX";
    size_t page = page_size();
    uint8_t *data = malloc(page);
    *fd = mkstemp(path);
    if (*fd < 0 || data == NULL || unlink(path) != 0) abort();
    for (unsigned i = 0; i < PAGES; i++) {
        memset(data, (int)i + 1, page);
        if (pwrite(*fd, data, page, (off_t)(i * page)) != (ssize_t)page) abort();
    }
    free(data);
    void *ptr = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, *fd, 0);
    if (ptr == MAP_FAILED) abort();
    return ptr;
}

static void unmap_file(uint8_t *ptr, int fd)
{
    (void)munmap(ptr, PAGES * page_size());
    (void)close(fd);
}

static void cut_file(int fd, unsigned pages)
{
    if (ftruncate(fd, (off_t)(pages * page_size())) != 0) abort();
}

static uint8_t peek(const uint8_t *ptr)
{
    return *(const volatile uint8_t *)ptr;
}

static fe_guard *open_guard(fe_alloc *alloc)
{
    fe_alloc_init(alloc);
    fe_guard *guard = fe_guard_open(alloc);
    if (guard == NULL) abort();
    return guard;
}

static void close_guard(fe_alloc *alloc, fe_guard *guard)
{
    fe_guard_close(guard);
    CHECK_INT(0, fe_alloc_used_all(alloc));
}

TEST(a_page_that_is_gone_reads_as_zeros_and_its_range_is_damaged)
{
    fe_alloc alloc;
    fe_guard *guard = open_guard(&alloc);
    int fd, other_fd;
    uint8_t *ptr = map_file(&fd), *other = map_file(&other_fd);
    size_t page = page_size(), offset = 0;
    CHECK(fe_guard_add(guard, ptr, PAGES * page) && fe_guard_add(guard, other, PAGES * page));
    cut_file(fd, 5);

    CHECK_INT(5, peek(ptr + 4 * page));
    CHECK_INT(0, fe_guard_faults(guard));
    CHECK(!fe_guard_is_damaged(guard, ptr, &offset));
    CHECK_INT(0, peek(ptr + 6 * page + 100));
    CHECK_INT(0, peek(ptr + 6 * page));
    CHECK_INT(1, fe_guard_faults(guard));
    CHECK_INT(0, peek(ptr + 7 * page));
    CHECK_INT(2, fe_guard_faults(guard));
    CHECK(fe_guard_is_damaged(guard, ptr, &offset));
    CHECK_INT(6 * page, offset);
    CHECK_INT(1, peek(ptr));
    CHECK(!fe_guard_is_damaged(guard, other, &offset));

    fe_guard_remove(guard, ptr);
    CHECK(!fe_guard_is_damaged(guard, ptr, &offset));
    unmap_file(ptr, fd);
    unmap_file(other, other_fd);
    close_guard(&alloc, guard);
}

TEST(each_guard_counts_its_own_faults)
{
    fe_alloc alloc, other_alloc;
    fe_guard *guard = open_guard(&alloc), *other = open_guard(&other_alloc);
    int fd;
    uint8_t *ptr = map_file(&fd);
    CHECK(fe_guard_add(other, ptr, PAGES * page_size()));
    cut_file(fd, 0);
    CHECK_INT(0, peek(ptr));
    CHECK_INT(0, fe_guard_faults(guard));
    CHECK_INT(1, fe_guard_faults(other));
    unmap_file(ptr, fd);
    close_guard(&alloc, guard);
    close_guard(&other_alloc, other);
}

TEST(a_place_that_was_given_back_serves_again_and_is_sound)
{
    enum { COUNT = 300 };
    fe_alloc alloc;
    fe_guard *guard = open_guard(&alloc);
    int fd;
    uint8_t *ptr = map_file(&fd);
    static uint8_t many[COUNT];
    size_t offset;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            CHECK(fe_guard_add(guard, &many[i], 1));
        uint64_t used = fe_alloc_used_all(&alloc);
        CHECK(fe_guard_add(guard, ptr, PAGES * page_size()));
        CHECK_INT(used, fe_alloc_used_all(&alloc));
        if (round == 0) {
            cut_file(fd, 0);
            CHECK_INT(0, peek(ptr));
        }
        CHECK_INT(round == 0, fe_guard_is_damaged(guard, ptr, &offset));
        fe_guard_remove(guard, ptr);
        fe_guard_remove(guard, ptr); /* of what is not there: nothing */
        for (unsigned i = 0; i < COUNT; i++)
            fe_guard_remove(guard, &many[i]);
    }
    unmap_file(ptr, fd);
    close_guard(&alloc, guard);
}

TEST(without_memory_nothing_is_guarded)
{
    fe_alloc alloc;
    fe_guard *guard = open_guard(&alloc);
    fe_alloc_fail_after(&alloc, 0);
    CHECK(!fe_guard_add(guard, &alloc, 1));
    CHECK(fe_guard_open(&alloc) == NULL);
    fe_alloc_fail_after(&alloc, -1);
    CHECK(fe_guard_add(guard, &alloc, 1));
    close_guard(&alloc, guard);
}

/* How a process ends that does `what`. */
static int end_of(void (*what)(void))
{
    pid_t child = fork();
    if (child == 0) {
        what();
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    return status;
}

static void touch_unguarded(void)
{
    int fd;
    uint8_t *ptr = map_file(&fd);
    cut_file(fd, 0);
    (void)peek(ptr);
}

static void send_signal(void)
{
    (void)raise(SIGBUS);
}

TEST(a_fault_elsewhere_ends_the_process_as_ever)
{
    fe_alloc alloc;
    fe_guard *guard = open_guard(&alloc);
    CHECK_INT(SIGBUS, WTERMSIG(end_of(touch_unguarded)));
    CHECK_INT(SIGBUS, WTERMSIG(end_of(send_signal)));
    close_guard(&alloc, guard);
}

static void leave_with_7(int number)
{
    (void)number;
    _exit(7);
}

/* In a process of its own, whose first guard finds another handler. */
static void touch_with_another_handler(void)
{
    struct sigaction theirs = {.sa_handler = leave_with_7};
    (void)sigaction(SIGBUS, &theirs, NULL);
    fe_alloc alloc;
    fe_guard *guard = open_guard(&alloc);
    int fd;
    uint8_t *ptr = map_file(&fd);
    if (!fe_guard_add(guard, ptr, PAGES * page_size())) _exit(1);
    cut_file(fd, 0);
    if (peek(ptr) != 0) _exit(2);
    touch_unguarded();
}

TEST(a_handler_that_was_there_before_gets_what_is_not_guarded)
{
    int status = end_of(touch_with_another_handler);
    CHECK(WIFEXITED(status));
    CHECK_INT(7, WEXITSTATUS(status));
}

int main(void)
{
    struct sigaction none = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGBUS, &none, NULL); /* a sanitizer may have its own */
    RUN(a_handler_that_was_there_before_gets_what_is_not_guarded); /* before there is any guard */
    RUN(a_page_that_is_gone_reads_as_zeros_and_its_range_is_damaged);
    RUN(each_guard_counts_its_own_faults);
    RUN(a_place_that_was_given_back_serves_again_and_is_sound);
    RUN(without_memory_nothing_is_guarded);
    RUN(a_fault_elsewhere_ends_the_process_as_ever);
    return check_done();
}
