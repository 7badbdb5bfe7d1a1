/* Reads by a pool of threads that call pread: where io_uring does not exist or is forbidden.
 *
 *     submit --> todo (list) --> a thread of the pool: pread --> done (list, eventfd) --> reap
 *
 * Invariants
 * 1. For what `done` holds while no reap is under way the eventfd has been rung: for the first that comes,
 *    and by reap for what it leaves. When more and more come it is rung again, for another thread than the one that
 *    was told first: that may be busy.
 * 2. A thread sleeps only while `todo` is empty.
 *
 * As many threads as may be useful to a disk with a deep queue: each has one read at a time.
 */
#define _GNU_SOURCE
#include "store/disk_engine.h"

#include "base/assert.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>

#define THREADS_MAX 32u
#define RING_EACH 8u /* reads that are done and not taken, for which another thread is told */
#define STACK_BYTES ((size_t)256 << 10)

typedef struct read_list {
    fe_disk_read *first;
    fe_disk_read **end;
} read_list;

typedef struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    fe_alloc *alloc;
    const fe_device_calls *calls;
    read_list todo;
    read_list done;
    uint32_t done_count;
    uint32_t idle;
    uint32_t threads;
    int event_fd;
    bool stop;
    pthread_t thread[THREADS_MAX];
} pool;

static void list_put(read_list *list, fe_disk_read *read)
{
    read->next = NULL;
    *list->end = read;
    list->end = &read->next;
}

static fe_disk_read *list_pop(read_list *list)
{
    fe_disk_read *read = list->first;
    list->first = read->next;
    if (list->first == NULL) list->end = &list->first;
    return read;
}

static void run_read(const fe_device_calls *calls, fe_disk_read *read)
{
    ssize_t got;
    do {
        got = calls->pread(calls->context, read->fd, read->buffer + read->done,
                           read->length - read->done, (off_t)(read->offset + read->done));
    } while (!fe_disk_settle(read, got < 0 ? -(int64_t)errno : got));
}

static void ring_event(pool *it)
{
    FE_ASSERT(eventfd_write(it->event_fd, 1) == 0);
}

static void put_done(pool *it, fe_disk_read *read)
{
    list_put(&it->done, read);
    if (it->done_count++ % RING_EACH == 0) ring_event(it);
}

static void *run(void *argument)
{
    pool *it = argument;
    pthread_mutex_lock(&it->mutex);
    while (!it->stop) {
        if (it->todo.first == NULL) {
            it->idle++;
            pthread_cond_wait(&it->wake, &it->mutex);
            it->idle--;
            continue;
        }
        fe_disk_read *read = list_pop(&it->todo);
        pthread_mutex_unlock(&it->mutex);
        run_read(it->calls, read);
        pthread_mutex_lock(&it->mutex);
        put_done(it, read);
    }
    pthread_mutex_unlock(&it->mutex);
    return NULL;
}

static void pool_close(void *state)
{
    pool *it = state;
    pthread_mutex_lock(&it->mutex);
    FE_ASSERT(it->todo.first == NULL && it->done.first == NULL);
    it->stop = true;
    pthread_cond_broadcast(&it->wake);
    pthread_mutex_unlock(&it->mutex);
    for (uint32_t i = 0; i < it->threads; i++)
        pthread_join(it->thread[i], NULL);
    pthread_cond_destroy(&it->wake);
    pthread_mutex_destroy(&it->mutex);
    fe_alloc_give(it->alloc, FE_ALLOC_ENGINE, it);
}

static int start_threads(pool *it, uint32_t count)
{
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    if (failed != 0) return failed;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    while (it->threads < count) {
        failed = pthread_create(&it->thread[it->threads], &attributes, run, it);
        if (failed != 0) break;
        char name[16];
        snprintf(name, sizeof name, "disk-%u", it->threads % 1000);
        pthread_setname_np(it->thread[it->threads], name);
        it->threads++;
    }
    pthread_attr_destroy(&attributes);
    return it->threads > 0 ? 0 : failed; /* some are as good as all, only slower */
}

static void *pool_open(fe_alloc *alloc, uint32_t depth, const fe_device_calls *calls, int event_fd)
{
    pool *it = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, sizeof *it);
    if (it == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    it->alloc = alloc;
    it->calls = calls;
    it->event_fd = event_fd;
    it->todo.end = &it->todo.first;
    it->done.end = &it->done.first;
    pthread_mutex_init(&it->mutex, NULL);
    pthread_cond_init(&it->wake, NULL);
    int failed = start_threads(it, depth < THREADS_MAX ? depth : THREADS_MAX);
    if (failed == 0) return it;
    pool_close(it);
    errno = failed;
    return NULL;
}

static void pool_submit(void *state, fe_disk_read *const *reads, uint32_t count)
{
    pool *it = state;
    pthread_mutex_lock(&it->mutex);
    for (uint32_t i = 0; i < count; i++)
        list_put(&it->todo, reads[i]);
    uint32_t wake = count < it->idle ? count : it->idle;
    pthread_mutex_unlock(&it->mutex);
    for (uint32_t i = 0; i < wake; i++)
        pthread_cond_signal(&it->wake);
}

static uint32_t pool_reap(void *state, fe_disk_read **done, uint32_t max)
{
    pool *it = state;
    uint32_t count = 0;
    pthread_mutex_lock(&it->mutex);
    while (count < max && it->done.first != NULL)
        done[count++] = list_pop(&it->done);
    it->done_count -= count;
    if (it->done.first != NULL) ring_event(it);
    pthread_mutex_unlock(&it->mutex);
    return count;
}

const fe_disk_engine fe_disk_threads = {"threads", pool_open, pool_close, pool_submit, pool_reap};
