/* See background.h. */
#define _GNU_SOURCE /* SCHED_BATCH */
#include "engine/background.h"

#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

void fe_background_init(fe_background *thread)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&thread->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&thread->mutex, NULL);
}

void fe_background_destroy(fe_background *thread)
{
    pthread_cond_destroy(&thread->wake);
    pthread_mutex_destroy(&thread->mutex);
}

bool fe_background_start(fe_background *thread, void *(*run)(void *argument), void *argument)
{
    return pthread_create(&thread->thread, NULL, run, argument) == 0;
}

void fe_background_stop(fe_background *thread)
{
    pthread_mutex_lock(&thread->mutex);
    thread->stop = true;
    pthread_cond_signal(&thread->wake);
    pthread_mutex_unlock(&thread->mutex);
    pthread_join(thread->thread, NULL);
}

void fe_background_wake(fe_background *thread)
{
    if (atomic_exchange(&thread->ringing, true)) return;
    pthread_mutex_lock(&thread->mutex);
    thread->woken = true;
    pthread_cond_signal(&thread->wake);
    pthread_mutex_unlock(&thread->mutex);
}

void fe_background_give_way(void)
{
    struct sched_param batch = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch);
}

bool fe_background_rest(fe_background *thread, uint64_t ns)
{
    uint64_t at = fe_clock_monotonic_ns() + ns;
    struct timespec until = {.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)};
    pthread_mutex_lock(&thread->mutex);
    int status = 0;
    while (!thread->stop && !thread->woken && status != ETIMEDOUT)
        status = pthread_cond_timedwait(&thread->wake, &thread->mutex, &until);
    thread->woken = false;
    atomic_store(&thread->ringing, false);
    bool stop = thread->stop;
    pthread_mutex_unlock(&thread->mutex);
    return stop;
}

bool fe_background_is_stopped(fe_background *thread)
{
    pthread_mutex_lock(&thread->mutex);
    bool stop = thread->stop;
    pthread_mutex_unlock(&thread->mutex);
    return stop;
}
