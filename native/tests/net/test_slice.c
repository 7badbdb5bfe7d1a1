/* What the kernel says of a thread that asked for short slices. */
#define _GNU_SOURCE
#include "net/slice.h"

#include "tests/check.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
} attributes;

static attributes told(void)
{
    attributes now;
    CHECK_INT(0, syscall(SYS_sched_getattr, 0, &now, sizeof now, 0));
    return now;
}

/* In a thread of its own: what a thread is like is not to be changed back without a privilege. */
static void *ask_as_a_nice_thread(void *unused)
{
    (void)unused;
    CHECK_INT(0, setpriority(PRIO_PROCESS, (id_t)gettid(), 7));
    attributes before = told();
    fe_slice_ask();
    attributes after = told();

    CHECK_INT(SCHED_OTHER, after.policy);
    CHECK_INT(7, after.nice);
    /* Linux before 6.12 knows no slices of ordinary threads and tells 0. */
    if (before.runtime_ns != 0) CHECK_INT(FE_SLICE_US * 1000, after.runtime_ns);
    return NULL;
}

static void *ask_as_a_background_thread(void *unused)
{
    (void)unused;
    struct sched_param none = {0};
    CHECK_INT(0, sched_setscheduler(0, SCHED_IDLE, &none));
    fe_slice_ask();
    CHECK_INT(SCHED_IDLE, told().policy);
    return NULL;
}

static void run_thread(void *(*body)(void *))
{
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, body, NULL));
    CHECK_INT(0, pthread_join(thread, NULL));
}

TEST(policy_and_niceness_stay)
{
    run_thread(ask_as_a_nice_thread);
}

TEST(another_policy_is_left_alone)
{
    run_thread(ask_as_a_background_thread);
}

int main(void)
{
    RUN(policy_and_niceness_stay);
    RUN(another_policy_is_left_alone);
    return check_done();
}
