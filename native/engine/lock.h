/* The one lock of the engine: a mutex with a turnstile, so that a thread that gives it back and wants it again at once
 * lets a waiting thread go first. */
#ifndef FE_ENGINE_LOCK_H
#define FE_ENGINE_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct fe_lock {
    pthread_mutex_t turnstile;
    pthread_mutex_t held;
    _Atomic int waiting;
} fe_lock;

void fe_lock_init(fe_lock *lock);
void fe_lock_destroy(fe_lock *lock);
void fe_lock_enter(fe_lock *lock);
/* Enters if nobody is inside and nobody waits; else false. */
bool fe_lock_try(fe_lock *lock);
void fe_lock_leave(fe_lock *lock);

/* Whether another thread wants the lock now; a hint for long holders. */
bool fe_lock_is_wanted(fe_lock *lock);

#endif
