/* See lock.h.
 *
 * A thread that wants the lock takes the turnstile, then `held`, then gives the turnstile back.
 * Whoever leaves `held` and comes straight back must pass the turnstile first, where the next
 * thread already stands: so two threads alternate instead of one starving the other, as a plain
 * mutex allows.
 */
#include "engine/lock.h"

void fe_lock_init(fe_lock *lock)
{
    pthread_mutex_init(&lock->turnstile, NULL);
    pthread_mutex_init(&lock->held, NULL);
    atomic_init(&lock->waiting, 0);
}

void fe_lock_destroy(fe_lock *lock)
{
    pthread_mutex_destroy(&lock->held);
    pthread_mutex_destroy(&lock->turnstile);
}

bool fe_lock_try(fe_lock *lock)
{
    /* Nobody waits: there is no order to keep, and one mutex is enough. */
    return atomic_load_explicit(&lock->waiting, memory_order_relaxed) == 0 &&
           pthread_mutex_trylock(&lock->held) == 0;
}

void fe_lock_enter(fe_lock *lock)
{
    if (fe_lock_try(lock)) return;
    atomic_fetch_add_explicit(&lock->waiting, 1, memory_order_relaxed);
    pthread_mutex_lock(&lock->turnstile);
    pthread_mutex_lock(&lock->held);
    atomic_fetch_sub_explicit(&lock->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock->turnstile);
}

void fe_lock_leave(fe_lock *lock)
{
    pthread_mutex_unlock(&lock->held);
}

bool fe_lock_is_wanted(fe_lock *lock)
{
    return atomic_load_explicit(&lock->waiting, memory_order_relaxed) > 0;
}
