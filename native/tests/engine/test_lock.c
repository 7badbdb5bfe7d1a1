/* The lock: exclusive, and fair between two threads that always want it. */
#include "tests/check.h"

#include "engine/lock.h"

#define THREADS 4
#define TURNS 5000

typedef struct shared {
    fe_lock lock;
    uint64_t plain; /* changed under the lock only */
} shared;

typedef struct worker {
    shared *common;
    int number;
} worker;

static void *take_turns(void *argument)
{
    worker *it = argument;
    shared *common = it->common;
    for (int i = 0; i < TURNS; i++) {
        fe_lock_enter(&common->lock);
        common->plain++;
        fe_lock_leave(&common->lock);
    }
    return NULL;
}

TEST(one_thread_at_a_time_is_inside)
{
    shared common = {0};
    fe_lock_init(&common.lock);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){&common, i};
        CHECK_INT(0, pthread_create(&threads[i], NULL, take_turns, &workers[i]));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    CHECK_INT(THREADS * TURNS, common.plain);
    CHECK(!fe_lock_is_wanted(&common.lock));
    fe_lock_destroy(&common.lock);
}

static void *want_once(void *argument)
{
    shared *common = argument;
    fe_lock_enter(&common->lock);
    common->plain = 1;
    fe_lock_leave(&common->lock);
    return NULL;
}

/* The holder sees that another waits; when it gives the lock back and wants it again at once, the
 * one that waited has been inside before it is. */
TEST(who_waits_goes_first)
{
    shared common = {0};
    fe_lock_init(&common.lock);
    fe_lock_enter(&common.lock);
    CHECK(!fe_lock_is_wanted(&common.lock));
    pthread_t thread;
    CHECK_INT(0, pthread_create(&thread, NULL, want_once, &common));
    while (!fe_lock_is_wanted(&common.lock)) {}
    /* It stands at the turnstile or behind it as soon as nobody else can have it. */
    while (pthread_mutex_trylock(&common.lock.turnstile) == 0)
        pthread_mutex_unlock(&common.lock.turnstile);

    fe_lock_leave(&common.lock);
    fe_lock_enter(&common.lock);
    CHECK_INT(1, common.plain);
    fe_lock_leave(&common.lock);
    pthread_join(thread, NULL);
    fe_lock_destroy(&common.lock);
}

int main(void)
{
    RUN(one_thread_at_a_time_is_inside);
    RUN(who_waits_goes_first);
    return check_done();
}
