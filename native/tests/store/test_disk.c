/* Asynchronous reads: the same demands on both engines, faults of each call of the pool, and
 * refusals by the kernel of io_uring. */
#define _GNU_SOURCE /* O_DIRECT */
#include "store/disk.h"
#include "tests/check.h"
#include "tests/store/faults.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define BLOCK 4096u
#define BLOCKS 64u
#define MANY 16u
#define HANG_MS 60000 /* what is awaited for longer never comes */

typedef struct fixture {
    fe_alloc alloc;
    fe_disk *disk;
    char path[160], folder[128];
    int fd;
    int descriptors;
    uint8_t *buffers;
    fe_disk_read reads[MANY];
    fe_disk_read *list[MANY];
} fixture;

static void fill_block(uint8_t *data, uint64_t block)
{
    for (uint32_t i = 0; i < BLOCK; i++)
        data[i] = (uint8_t)(block * 7 + i * 13 + (i >> 8));
}

static void files_open(fixture *f)
{
    static _Alignas(4096) uint8_t data[BLOCK];
    memset(f, 0, sizeof *f);
    fe_alloc_init(&f->alloc);
    folder_make(f->folder);
    snprintf(f->path, sizeof f->path, "%s/data", f->folder);
    int fd = open(f->path, O_CREAT | O_WRONLY, 0600);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        fill_block(data, i);
        if (pwrite(fd, data, BLOCK, (off_t)(i * BLOCK)) != BLOCK) abort();
    }
    close(fd);
    f->descriptors = open_descriptors();
    f->fd = open(f->path, O_RDONLY | O_DIRECT);
    if (f->fd < 0) f->fd = open(f->path, O_RDONLY);
    f->buffers = aligned_alloc(BLOCK, MANY * BLOCK);
    if (f->fd < 0 || f->buffers == NULL) abort();
    for (uint32_t i = 0; i < MANY; i++) {
        f->reads[i] = (fe_disk_read){.fd = f->fd,
                                     .buffer = f->buffers + i * BLOCK,
                                     .offset = (uint64_t)i * 3 * BLOCK,
                                     .length = BLOCK};
        f->list[i] = &f->reads[i];
    }
}

static void files_close(fixture *f)
{
    close(f->fd);
    free(f->buffers);
    CHECK_INT(f->descriptors, open_descriptors());
    CHECK_INT(0, fe_alloc_used_all(&f->alloc));
    remove_folder(f->folder);
}

static void fixture_open(fixture *f, fe_disk_kind kind, uint32_t depth,
                         const fe_device_calls *calls)
{
    char error[256] = "";
    files_open(f);
    f->disk = fe_disk_open(&f->alloc, kind, depth, calls, error);
    if (f->disk == NULL) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
}

static void fixture_close(fixture *f)
{
    CHECK_INT(0, fe_disk_in_flight(f->disk));
    fe_disk_close(f->disk);
    files_close(f);
}

static bool readable(const fe_disk *disk, int timeout_ms)
{
    struct pollfd wait = {.fd = fe_disk_fd(disk), .events = POLLIN};
    int got;
    do {
        got = poll(&wait, 1, timeout_ms);
    } while (got < 0 && errno == EINTR);
    return got == 1 && (wait.revents & POLLIN) != 0;
}

/* Waits for one read and gives it back. */
static fe_disk_read *next_done(fe_disk *disk)
{
    fe_disk_read *read = NULL;
    while (fe_disk_reap(disk, &read, 1) == 0) {
        if (!readable(disk, HANG_MS)) {
            fprintf(stderr, "no completion\n");
            abort();
        }
    }
    return read;
}

/* With nothing in flight the descriptor falls silent: reap clears it. */
static void check_quiet(fe_disk *disk)
{
    fe_disk_read *none;
    CHECK_INT(0, fe_disk_reap(disk, &none, 1));
    while (readable(disk, 0))
        CHECK_INT(0, fe_disk_reap(disk, &none, 1));
}

/* Runs one read from beginning to end. */
static int32_t run_one(fixture *f, fe_disk_read *read)
{
    CHECK_INT(1, fe_disk_submit(f->disk, &read, 1));
    CHECK(next_done(f->disk) == read);
    return read->result;
}

static void check_block(const fe_disk_read *read)
{
    static _Thread_local uint8_t expected[BLOCK];
    fill_block(expected, read->offset / BLOCK);
    CHECK_INT(BLOCK, read->result);
    CHECK(memcmp(expected, read->buffer, BLOCK) == 0);
}

/* --- both engines */

static void reads_come_back_once_with_their_bytes(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, MANY, &fe_device_system);
    CHECK(!readable(f.disk, 0));
    bool seen[MANY] = {false};
    CHECK_INT(MANY, fe_disk_submit(f.disk, f.list, MANY));
    for (uint32_t i = 0; i < MANY; i++) {
        fe_disk_read *read = next_done(f.disk);
        CHECK(read >= f.reads && read < f.reads + MANY && !seen[read - f.reads]);
        seen[read - f.reads] = true;
        check_block(read);
    }
    check_quiet(f.disk);
    fixture_close(&f);
}

static void no_more_than_the_depth_are_taken(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, 3, &fe_device_system);
    fe_disk_read *done[MANY];
    CHECK_INT(0, fe_disk_submit(f.disk, f.list, 0));
    CHECK_INT(3, fe_disk_submit(f.disk, f.list, MANY));
    CHECK_INT(3, fe_disk_in_flight(f.disk));
    CHECK_INT(0, fe_disk_submit(f.disk, f.list + 3, 1));
    check_block(next_done(f.disk));
    CHECK_INT(2, fe_disk_in_flight(f.disk));
    CHECK_INT(1, fe_disk_submit(f.disk, f.list + 3, 2));
    uint32_t count = 0;
    while (count < 3) {
        CHECK(readable(f.disk, HANG_MS));
        count += fe_disk_reap(f.disk, done, MANY);
    }
    CHECK_INT(3, count);
    fixture_close(&f);
}

static void places_are_reserved_and_given_back(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, 3, &fe_device_system);
    CHECK_INT(2, fe_disk_reserve(f.disk, 2));
    CHECK(!fe_disk_is_full(f.disk));
    CHECK_INT(1, fe_disk_submit(f.disk, f.list + 2, MANY - 2));
    CHECK(fe_disk_is_full(f.disk));
    CHECK_INT(0, fe_disk_reserve(f.disk, 1));
    fe_disk_release(f.disk, 1);
    CHECK(!fe_disk_is_full(f.disk));
    fe_disk_start(f.disk, f.list, 1);
    CHECK_INT(2, fe_disk_in_flight(f.disk));
    fe_disk_read *first = next_done(f.disk), *second = next_done(f.disk);
    CHECK(first != second && (first == &f.reads[0] || second == &f.reads[0]));
    check_block(first);
    check_block(second);
    CHECK_INT(3, fe_disk_reserve(f.disk, MANY));
    fe_disk_release(f.disk, 3);
    fixture_close(&f);
}

/* Taking does not clear the descriptor, and reaping does, though there is nothing to reap. */
static void reads_are_taken_without_a_look_at_the_descriptor(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, MANY, &fe_device_system);
    fe_disk_read *read = NULL;
    CHECK_INT(0, fe_disk_take(f.disk, &read, 1));
    CHECK_INT(MANY, fe_disk_submit(f.disk, f.list, MANY));
    for (uint32_t i = 0; i < MANY; i++) {
        CHECK(readable(f.disk, HANG_MS));
        while (fe_disk_take(f.disk, &read, 1) == 0)
            usleep(100);
        check_block(read);
    }
    CHECK_INT(0, fe_disk_take(f.disk, &read, 1));
    CHECK(readable(f.disk, 0));
    check_quiet(f.disk);
    fixture_close(&f);
}

/* What one reap leaves behind keeps the descriptor readable. */
static void the_descriptor_stays_readable_while_reads_are_done(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, MANY, &fe_device_system);
    for (int round = 0; round < 20; round++) {
        CHECK_INT(MANY, fe_disk_submit(f.disk, f.list, MANY));
        for (uint32_t got = 0; got < MANY;) {
            fe_disk_read *read;
            CHECK(readable(f.disk, HANG_MS));
            got += fe_disk_reap(f.disk, &read, 1);
        }
    }
    fixture_close(&f);
}

static void the_end_of_the_file_and_errors_are_told(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, 2, &fe_device_system);
    f.reads[0].buffer = f.buffers;
    f.reads[0].length = 2 * BLOCK;
    f.reads[0].offset = (BLOCKS - 1) * BLOCK;
    CHECK_INT(BLOCK, run_one(&f, &f.reads[0]));
    f.reads[0].offset = BLOCKS * BLOCK;
    CHECK_INT(0, run_one(&f, &f.reads[0]));
    f.reads[0].offset = 0;
    CHECK_INT(2 * BLOCK, run_one(&f, &f.reads[0]));
    f.reads[1].fd = -1;
    CHECK_INT(-EBADF, run_one(&f, &f.reads[1]));
    int folder = open(f.folder, O_RDONLY | O_DIRECTORY);
    f.reads[1].fd = folder;
    CHECK_INT(-EISDIR, run_one(&f, &f.reads[1]));
    close(folder);
    f.reads[1].fd = f.fd;
    f.reads[1].offset = 100;
    ssize_t plain = pread(f.fd, f.reads[1].buffer, BLOCK, 100); /* EINVAL, where it is direct */
    int32_t expected = plain < 0 ? -errno : (int32_t)plain;
    CHECK_INT(expected, run_one(&f, &f.reads[1]));
    f.reads[1].offset = BLOCK;
    run_one(&f, &f.reads[1]);
    check_block(&f.reads[1]);
    fixture_close(&f);
}

/* One read that cannot be does not keep those from being that came with it. */
static void a_wrong_read_does_not_hurt_its_neighbours(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, MANY, &fe_device_system);
    for (uint32_t i = 0; i < MANY; i += 3)
        f.reads[i].fd = -1;
    CHECK_INT(MANY, fe_disk_submit(f.disk, f.list, MANY));
    for (uint32_t i = 0; i < MANY; i++) {
        fe_disk_read *read = next_done(f.disk);
        if (read->fd == -1)
            CHECK_INT(-EBADF, read->result);
        else
            check_block(read);
    }
    fixture_close(&f);
}

static void *submit_all(void *argument)
{
    fixture *f = argument;
    CHECK_INT(MANY, fe_disk_submit(f->disk, f->list, MANY));
    return NULL;
}

static void reads_outlive_the_thread_that_submitted_them(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, MANY, &fe_device_system);
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        CHECK_INT(0, pthread_create(&thread, NULL, submit_all, &f));
        pthread_join(thread, NULL);
        for (uint32_t i = 0; i < MANY; i++)
            check_block(next_done(f.disk));
    }
    fixture_close(&f);
}

/* --- several threads */

#define THREADS 4u
#define EACH 400u

/* Threads that take reads out of one heap, submit them, and reap whoever's are done. */
typedef struct crowd {
    fixture *f;
    pthread_mutex_t mutex;
    fe_disk_read *free;
    _Atomic uint32_t started;
    _Atomic uint32_t over;
} crowd;

static uint32_t take_free(crowd *c, fe_disk_read **reads, uint32_t max)
{
    uint32_t count = 0;
    pthread_mutex_lock(&c->mutex);
    while (count < max && c->free != NULL && c->started < THREADS * EACH) {
        reads[count] = c->free;
        c->free = reads[count]->next;
        reads[count++]->offset = (uint64_t)(c->started++ % BLOCKS) * BLOCK;
    }
    pthread_mutex_unlock(&c->mutex);
    return count;
}

static void give_free(crowd *c, fe_disk_read *read)
{
    pthread_mutex_lock(&c->mutex);
    read->next = c->free;
    c->free = read;
    pthread_mutex_unlock(&c->mutex);
}

static void *submit_and_reap(void *argument)
{
    crowd *c = argument;
    fe_disk_read *reads[5];
    while (c->over < THREADS * EACH) {
        uint32_t count = take_free(c, reads, 5), taken = 0;
        if (count > 0) taken = fe_disk_submit(c->f->disk, reads, count);
        for (uint32_t i = taken; i < count; i++) {
            c->started--;
            give_free(c, reads[i]);
        }
        (void)readable(c->f->disk, 1); /* others may have reaped what woke us, or the last one */
        count = fe_disk_reap(c->f->disk, reads, 3);
        for (uint32_t i = 0; i < count; i++) {
            check_block(reads[i]);
            give_free(c, reads[i]);
        }
        c->over += count;
    }
    return NULL;
}

static void many_threads_submit_and_reap(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, MANY - 4, &fe_device_system); /* so that the bound is met */
    crowd c = {.f = &f};
    pthread_mutex_init(&c.mutex, NULL);
    for (uint32_t i = 0; i < MANY; i++)
        give_free(&c, &f.reads[i]);
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++)
        CHECK_INT(0, pthread_create(&threads[i], NULL, submit_and_reap, &c));
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(THREADS * EACH, c.over);
    pthread_mutex_destroy(&c.mutex);
    fixture_close(&f);
}

#define WATCHERS 3u
#define ROUNDS 300u

/* Threads that sleep until an edge of the descriptor, and take what is done. */
typedef struct watch {
    fe_disk *disk;
    sem_t taken;
    int stop_fd;
} watch;

static int watch_edges(const watch *w)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event edge = {.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, .data.fd = -1};
    struct epoll_event stop = {.events = EPOLLIN, .data.fd = w->stop_fd};
    CHECK_INT(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fe_disk_fd(w->disk), &edge));
    CHECK_INT(0, epoll_ctl(epoll, EPOLL_CTL_ADD, w->stop_fd, &stop));
    return epoll;
}

static void *take_at_edges(void *argument)
{
    watch *w = argument;
    int epoll = watch_edges(w);
    for (bool stop = false; !stop;) {
        struct epoll_event events[2];
        int count = epoll_wait(epoll, events, 2, -1);
        for (int i = 0; i < count; i++)
            stop |= events[i].data.fd == w->stop_fd;
        fe_disk_read *read;
        while (fe_disk_take(w->disk, &read, 1) != 0) {
            check_block(read);
            sem_post(&w->taken);
        }
    }
    close(epoll);
    return NULL;
}

/* Whether somebody takes one more read within the time of a hang. */
static bool is_taken(watch *w)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HANG_MS / 1000;
    int status;
    do {
        status = sem_timedwait(&w->taken, &until);
    } while (status != 0 && errno == EINTR);
    return status == 0;
}

static void threads_that_watch_edges_miss_nothing(fe_disk_kind kind)
{
    fixture f;
    fixture_open(&f, kind, MANY, &fe_device_system);
    watch w = {.disk = f.disk, .stop_fd = eventfd(0, EFD_CLOEXEC)};
    sem_init(&w.taken, 0, 0);
    pthread_t threads[WATCHERS];
    for (uint32_t i = 0; i < WATCHERS; i++)
        CHECK_INT(0, pthread_create(&threads[i], NULL, take_at_edges, &w));
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + round % MANY;
        CHECK_INT(count, fe_disk_submit(f.disk, f.list, count));
        for (uint32_t i = 0; i < count; i++)
            if (!is_taken(&w)) {
                fprintf(stderr, "round %u: a read that is done is not taken\n", round);
                abort();
            }
    }
    eventfd_write(w.stop_fd, 1);
    for (uint32_t i = 0; i < WATCHERS; i++)
        pthread_join(threads[i], NULL);
    sem_destroy(&w.taken);
    close(w.stop_fd);
    fixture_close(&f);
}

static void without_memory_it_does_not_start(fe_disk_kind kind)
{
    fixture f;
    files_open(&f);
    int refused = 0;
    for (int n = 0;; n++) {
        char error[256] = "";
        fe_alloc_fail_after(&f.alloc, n);
        f.disk = fe_disk_open(&f.alloc, kind, 4, &fe_device_system, error);
        if (f.disk != NULL) break;
        refused++;
        CHECK(strstr(error, "emory") != NULL);
        CHECK_INT(0, fe_alloc_used_all(&f.alloc));
    }
    CHECK_INT(2, refused);
    fe_alloc_fail_after(&f.alloc, -1);
    fixture_close(&f);
}

#define RUN_OVER(name, kind) (check_case = #name, check_cases++, name(kind))

static void both_engines_demands(fe_disk_kind kind)
{
    RUN_OVER(reads_come_back_once_with_their_bytes, kind);
    RUN_OVER(no_more_than_the_depth_are_taken, kind);
    RUN_OVER(places_are_reserved_and_given_back, kind);
    RUN_OVER(reads_are_taken_without_a_look_at_the_descriptor, kind);
    RUN_OVER(the_descriptor_stays_readable_while_reads_are_done, kind);
    RUN_OVER(the_end_of_the_file_and_errors_are_told, kind);
    RUN_OVER(a_wrong_read_does_not_hurt_its_neighbours, kind);
    RUN_OVER(reads_outlive_the_thread_that_submitted_them, kind);
    RUN_OVER(many_threads_submit_and_reap, kind);
    RUN_OVER(threads_that_watch_edges_miss_nothing, kind);
    RUN_OVER(without_memory_it_does_not_start, kind);
}

/* --- the pool's calls */

TEST(the_pool_continues_short_and_interrupted_reads)
{
    faults bad;
    faults_init(&bad);
    bad.piece = 512;
    bad.interrupt = true;
    fixture f;
    fixture_open(&f, FE_DISK_THREADS, MANY, &bad.calls);
    run_one(&f, &f.reads[3]);
    check_block(&f.reads[3]);
    CHECK_INT(8, bad.count[FAULT_READ]);
    fixture_close(&f);
}

TEST(the_pool_tells_an_error_or_how_far_it_came)
{
    faults bad;
    faults_init(&bad);
    bad.piece = 1024;
    fixture f;
    fixture_open(&f, FE_DISK_THREADS, 1, &bad.calls);
    for (int n = 0; faults_next(&bad, n, EIO); n++)
        CHECK_INT(n == 0 ? -EIO : n * 1024, run_one(&f, &f.reads[0]));
    check_block(&f.reads[0]);
    fixture_close(&f);
}

static ssize_t always_interrupted(void *context, int fd, void *data, size_t size, off_t offset)
{
    (void)fd, (void)data, (void)size, (void)offset;
    ++*(_Atomic int *)context;
    errno = EAGAIN;
    return -1;
}

TEST(a_read_that_is_always_put_off_ends)
{
    _Atomic int calls = 0;
    fe_device_calls bad = fe_device_system;
    bad.pread = always_interrupted;
    bad.context = &calls;
    fixture f;
    fixture_open(&f, FE_DISK_AUTO, 1, &bad); /* calls that are not the system's: the pool */
    CHECK(strcmp("threads", fe_disk_name(f.disk)) == 0);
    CHECK_INT(-EAGAIN, run_one(&f, &f.reads[0]));
    CHECK_INT(9, calls);
    fixture_close(&f);
}

/* One pread for each post. */
static ssize_t gated(void *context, int fd, void *data, size_t size, off_t offset)
{
    while (sem_wait(context) != 0)
        CHECK_INT(EINTR, errno);
    return pread(fd, data, size, offset);
}

/* Whether an event comes. What is left to do of io_uring's rings of earlier tests interrupts the wait. */
static bool is_told(int epoll)
{
    struct epoll_event got;
    int count;
    do
        count = epoll_wait(epoll, &got, 1, HANG_MS);
    while (count < 0 && errno == EINTR);
    return count == 1;
}

TEST(when_reads_pile_up_behind_a_busy_thread_another_is_told)
{
    sem_t gate;
    sem_init(&gate, 0, 0);
    fe_device_calls calls = fe_device_system;
    calls.pread = gated;
    calls.context = &gate;
    fixture f;
    fixture_open(&f, FE_DISK_THREADS, MANY, &calls);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event edge = {.events = EPOLLIN | EPOLLET};
    CHECK_INT(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fe_disk_fd(f.disk), &edge));
    CHECK_INT(MANY, fe_disk_submit(f.disk, f.list, MANY));
    sem_post(&gate);
    CHECK(is_told(epoll)); /* and does not take it */
    for (unsigned i = 1; i < MANY; i++)
        sem_post(&gate);
    CHECK(is_told(epoll));
    for (unsigned i = 0; i < MANY; i++)
        check_block(next_done(f.disk));
    close(epoll);
    fixture_close(&f);
    sem_destroy(&gate);
}

/* --- a kernel that refuses, in a process of its own */

/* From now on the system call fails with `error`. */
static void forbid(long number, unsigned error)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof steps / sizeof *steps, .filter = steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        abort();
}

static void check_in_child(void (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        check_failures = 0;
        body();
        _exit(check_failures == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
}

static void open_where_it_is_forbidden(void)
{
    char error[256] = "";
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    forbid(SYS_io_uring_setup, EPERM);
    CHECK(fe_disk_open(&alloc, FE_DISK_URING, 4, &fe_device_system, error) == NULL);
    CHECK(strstr(error, "io_uring") != NULL && strstr(error, "not permitted") != NULL);
    CHECK_INT(0, fe_alloc_used_all(&alloc));

    fixture f;
    fixture_open(&f, FE_DISK_AUTO, 4, &fe_device_system);
    CHECK(strcmp("threads", fe_disk_name(f.disk)) == 0);
    run_one(&f, &f.reads[1]);
    check_block(&f.reads[1]);
    fixture_close(&f);
}

TEST(where_io_uring_is_forbidden_threads_read)
{
    check_in_child(open_where_it_is_forbidden);
}

static void submit_where_it_is_refused(void)
{
    fixture f;
    fixture_open(&f, FE_DISK_URING, 4, &fe_device_system);
    forbid(SYS_io_uring_enter, EAGAIN);
    CHECK_INT(4, fe_disk_submit(f.disk, f.list, MANY));
    CHECK_INT(0, fe_disk_submit(f.disk, f.list + 4, 1));
    for (int i = 0; i < 4; i++) {
        CHECK(readable(f.disk, HANG_MS));
        CHECK_INT(-EAGAIN, next_done(f.disk)->result);
    }
    check_quiet(f.disk);
    fixture_close(&f);
}

TEST(reads_that_the_kernel_refuses_come_back_with_the_error)
{
    check_in_child(submit_where_it_is_refused);
}

static bool kernel_has_uring(void)
{
    fe_alloc alloc;
    char error[256];
    fe_alloc_init(&alloc);
    fe_disk *disk = fe_disk_open(&alloc, FE_DISK_URING, 1, &fe_device_system, error);
    if (disk == NULL) {
        printf("io_uring is not tested: %s\n", error);
        return false;
    }
    CHECK(strcmp("io_uring", fe_disk_name(disk)) == 0);
    fe_disk_close(disk);
    disk = fe_disk_open(&alloc, FE_DISK_AUTO, 1, &fe_device_system, error);
    CHECK(strcmp("io_uring", fe_disk_name(disk)) == 0);
    fe_disk_close(disk);
    return true;
}

int main(void)
{
    bool uring = kernel_has_uring();
    if (uring) RUN(where_io_uring_is_forbidden_threads_read);
    if (uring) RUN(reads_that_the_kernel_refuses_come_back_with_the_error);
    both_engines_demands(FE_DISK_THREADS);
    if (uring) both_engines_demands(FE_DISK_URING);
    RUN(the_pool_continues_short_and_interrupted_reads);
    RUN(the_pool_tells_an_error_or_how_far_it_came);
    RUN(a_read_that_is_always_put_off_ends);
    RUN(when_reads_pile_up_behind_a_busy_thread_another_is_told);
    return check_done();
}
