/* Reads by io_uring, through raw system calls.
 *
 *     submit --> SQ, io_uring_enter --> the kernel --> CQ, eventfd --> reap
 *            \-- the kernel refuses --> refused (list, eventfd) --/
 *
 * Invariants
 * 1. The SQ is empty outside of the submit mutex: the kernel takes what is put in during the call,
 *    and what it refuses is taken back.
 * 2. The CQ never overflows: it has at least `depth` entries, and disk.c lets no more be in flight.
 * 3. For what is in the CQ or in `refused` while no reap is under way the eventfd has been rung: by the
 *    kernel for each completion, by refuse, and by reap for what it leaves.
 * 4. Whoever sees a completion also sees what the submitter wrote into the read: the SQ's tail is
 *    stored with release before the call and loaded with acquire by reap. (The kernel orders them as
 *    well; this is what a race detector can see.)
 *
 * Completions are made in the submitter's thread when it is in the kernel or is interrupted by the
 * timer, not by interrupting it at once (COOP_TASKRUN): a thread that serves clients has its calls
 * anyway, and one that sleeps is woken.
 */
#include "store/disk_engine.h"

#include <errno.h>

#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#include <sys/syscall.h>
#endif

#if defined(IORING_FEAT_RW_CUR_POS) && defined(SYS_io_uring_setup)

#include "base/assert.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux 5.6, the first with IORING_OP_READ. */
#define FEATURES (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS)

#ifdef IORING_SETUP_COOP_TASKRUN
#define SETUP_WISHES (IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN)
#else
#define SETUP_WISHES 0u
#endif

typedef struct uring {
    pthread_mutex_t submit_mutex;
    uint32_t *sq_tail;
    uint32_t sq_mask;
    struct io_uring_sqe *sqes;
    int fd;
    int event_fd;

    pthread_mutex_t reap_mutex;
    uint32_t *cq_head;
    const uint32_t *cq_tail;
    uint32_t cq_mask;
    const struct io_uring_cqe *cqes;
    fe_disk_read *_Atomic refused; /* over, their results set */

    fe_alloc *alloc;
    void *rings;
    size_t rings_size;
    size_t sqes_size;
} uring;

static void ring_event(uring *it)
{
    FE_ASSERT(eventfd_write(it->event_fd, 1) == 0);
}

static void fill(struct io_uring_sqe *sqe, fe_disk_read *read)
{
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_READ;
    sqe->fd = read->fd;
    sqe->addr = (uint64_t)(uintptr_t)(read->buffer + read->done);
    sqe->len = read->length - read->done;
    sqe->off = read->offset + read->done;
    sqe->user_data = (uint64_t)(uintptr_t)read;
}

/* Hands `count` filled entries over. Returns how many the kernel took; if fewer, errno is set. */
static uint32_t enter(uring *it, uint32_t count)
{
    uint32_t taken = 0;
    while (taken < count) {
        long got = syscall(SYS_io_uring_enter, it->fd, count - taken, 0, 0, NULL, 0);
        if (got > 0)
            taken += (uint32_t)got;
        else if (got == 0)
            errno = EAGAIN;
        if (got == 0 || (got < 0 && errno != EINTR)) break;
    }
    return taken;
}

static void refuse(uring *it, fe_disk_read *const *reads, uint32_t count, int cause)
{
    pthread_mutex_lock(&it->reap_mutex);
    for (uint32_t i = 0; i < count; i++) {
        reads[i]->result = -cause;
        reads[i]->next = atomic_load_explicit(&it->refused, memory_order_relaxed);
        atomic_store_explicit(&it->refused, reads[i], memory_order_relaxed);
    }
    ring_event(it);
    pthread_mutex_unlock(&it->reap_mutex);
}

static void uring_submit(void *state, fe_disk_read *const *reads, uint32_t count)
{
    uring *it = state;
    pthread_mutex_lock(&it->submit_mutex);
    uint32_t tail = *it->sq_tail;
    for (uint32_t i = 0; i < count; i++)
        fill(&it->sqes[(tail + i) & it->sq_mask], reads[i]);
    __atomic_store_n(it->sq_tail, tail + count, __ATOMIC_RELEASE);
    uint32_t taken = enter(it, count);
    int cause = errno;
    if (taken < count) __atomic_store_n(it->sq_tail, tail + taken, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&it->submit_mutex);
    if (taken < count) refuse(it, reads + taken, count - taken, cause);
}

/* Takes what is done out of the CQ, up to `max`; what must be read on goes to `again`. */
static uint32_t take_completions(uring *it, fe_disk_read **done, uint32_t max, fe_disk_read **again)
{
    uint32_t head = *it->cq_head;
    uint32_t tail = __atomic_load_n(it->cq_tail, __ATOMIC_ACQUIRE);
    uint32_t count = 0;
    if (head != tail) (void)__atomic_load_n(it->sq_tail, __ATOMIC_ACQUIRE); /* invariant 4 */
    for (; head != tail && count < max; head++) {
        const struct io_uring_cqe *cqe = &it->cqes[head & it->cq_mask];
        fe_disk_read *read = (fe_disk_read *)(uintptr_t)cqe->user_data;
        if (fe_disk_settle(read, cqe->res)) {
            done[count++] = read;
        } else {
            read->next = *again;
            *again = read;
        }
    }
    __atomic_store_n(it->cq_head, head, __ATOMIC_RELEASE);
    if (head != tail) ring_event(it);
    return count;
}

/* Up to `max` of those that were refused. */
static uint32_t take_refused(uring *it, fe_disk_read **done, uint32_t max)
{
    fe_disk_read *read = atomic_load_explicit(&it->refused, memory_order_relaxed);
    if (FE_LIKELY(read == NULL)) return 0;
    uint32_t count = 0;
    for (; read != NULL && count < max; read = read->next)
        done[count++] = read;
    atomic_store_explicit(&it->refused, read, memory_order_relaxed);
    if (read != NULL) ring_event(it);
    return count;
}

/* Whether reap may find something; without the mutex. */
static bool is_done(const uring *it)
{
    return __atomic_load_n(it->cq_head, __ATOMIC_RELAXED) !=
               __atomic_load_n(it->cq_tail, __ATOMIC_RELAXED) ||
           atomic_load_explicit(&it->refused, memory_order_relaxed) != NULL;
}

static uint32_t uring_reap(void *state, fe_disk_read **done, uint32_t max)
{
    uring *it = state;
    fe_disk_read *again = NULL;
    if (!is_done(it)) return 0;
    pthread_mutex_lock(&it->reap_mutex);
    uint32_t count = take_refused(it, done, max);
    count += take_completions(it, done + count, max - count, &again);
    pthread_mutex_unlock(&it->reap_mutex);
    while (again != NULL) {
        fe_disk_read *read = again;
        again = read->next;
        uring_submit(it, &read, 1);
    }
    return count;
}

static void uring_close(void *state)
{
    uring *it = state;
    if (it->rings != NULL) munmap(it->rings, it->rings_size);
    if (it->sqes != NULL) munmap(it->sqes, it->sqes_size);
    if (it->fd >= 0) close(it->fd);
    pthread_mutex_destroy(&it->submit_mutex);
    pthread_mutex_destroy(&it->reap_mutex);
    fe_alloc_give(it->alloc, FE_ALLOC_ENGINE, it);
}

static bool set_up(uring *it, uint32_t depth, struct io_uring_params *params)
{
    *params = (struct io_uring_params){.flags = SETUP_WISHES};
    it->fd = (int)syscall(SYS_io_uring_setup, depth, params);
    if (it->fd < 0 && errno == EINVAL) { /* an older kernel */
        *params = (struct io_uring_params){0};
        it->fd = (int)syscall(SYS_io_uring_setup, depth, params);
    }
    if (it->fd < 0) return false;
    if ((params->features & FEATURES) == FEATURES) return true;
    errno = ENOSYS;
    return false;
}

static void *map_ring(int fd, size_t size, uint64_t what)
{
    void *ptr =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)what);
    return ptr == MAP_FAILED ? NULL : ptr;
}

static bool map_rings(uring *it, const struct io_uring_params *params)
{
    size_t sq_size = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
    size_t cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    it->rings_size = sq_size > cq_size ? sq_size : cq_size;
    it->sqes_size = params->sq_entries * sizeof(struct io_uring_sqe);
    uint8_t *rings = it->rings = map_ring(it->fd, it->rings_size, IORING_OFF_SQ_RING);
    it->sqes = map_ring(it->fd, it->sqes_size, IORING_OFF_SQES);
    if (rings == NULL || it->sqes == NULL) return false;
    it->sq_tail = (uint32_t *)(void *)(rings + params->sq_off.tail);
    it->sq_mask = *(uint32_t *)(void *)(rings + params->sq_off.ring_mask);
    it->cq_head = (uint32_t *)(void *)(rings + params->cq_off.head);
    it->cq_tail = (uint32_t *)(void *)(rings + params->cq_off.tail);
    it->cq_mask = *(uint32_t *)(void *)(rings + params->cq_off.ring_mask);
    it->cqes = (const struct io_uring_cqe *)(void *)(rings + params->cq_off.cqes);
    uint32_t *array = (uint32_t *)(void *)(rings + params->sq_off.array);
    for (uint32_t i = 0; i < params->sq_entries; i++)
        array[i] = i; /* entries are used in their order */
    return true;
}

static void *uring_open(fe_alloc *alloc, uint32_t depth, const fe_device_calls *calls, int event_fd)
{
    (void)calls;
    uring *it = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE, sizeof *it);
    if (it == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    it->alloc = alloc;
    it->event_fd = event_fd;
    pthread_mutex_init(&it->submit_mutex, NULL);
    pthread_mutex_init(&it->reap_mutex, NULL);
    struct io_uring_params params;
    if (set_up(it, depth, &params) && map_rings(it, &params) &&
        syscall(SYS_io_uring_register, it->fd, IORING_REGISTER_EVENTFD, &event_fd, 1) == 0)
        return it;
    int cause = errno;
    uring_close(it);
    errno = cause;
    return NULL;
}

#else

static void *uring_open(fe_alloc *alloc, uint32_t depth, const fe_device_calls *calls, int event_fd)
{
    (void)alloc, (void)depth, (void)calls, (void)event_fd;
    errno = ENOSYS;
    return NULL;
}

/* Never called: open has given no state. */
static void uring_close(void *state)
{
    (void)state;
}

static void uring_submit(void *state, fe_disk_read *const *reads, uint32_t count)
{
    (void)state, (void)reads, (void)count;
}

static uint32_t uring_reap(void *state, fe_disk_read **done, uint32_t max)
{
    (void)state, (void)done, (void)max;
    return 0;
}

#endif

const fe_disk_engine fe_disk_uring = {"io_uring", uring_open, uring_close, uring_submit,
                                      uring_reap};
