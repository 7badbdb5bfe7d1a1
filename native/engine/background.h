/* A background thread: it rests until somebody wakes it, time passes or it is to stop, and gives way
 * to threads that serve. The worker, the flusher and the collector are each one of these and a loop.
 *
 * Locks: `mutex` is held for signals only; waking is allowed inside the engine's lock.
 */
#ifndef FE_ENGINE_BACKGROUND_H
#define FE_ENGINE_BACKGROUND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct fe_background {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop;
    bool woken;
    _Atomic bool ringing; /* somebody has woken the thread, and it has not looked yet */
} fe_background;

/* Before anything else; `thread` is zeroed memory. */
void fe_background_init(fe_background *thread);
/* After everything else; the thread was never started, or has been stopped. */
void fe_background_destroy(fe_background *thread);

/* Starts the thread; false when the system refuses. */
bool fe_background_start(fe_background *thread, void *(*run)(void *argument), void *argument);
/* Asks it to stop, and joins it. */
void fe_background_stop(fe_background *thread);

/* Ends its rest now, or the next one at once. Any thread. */
void fe_background_wake(fe_background *thread);

/* For the thread itself. */

/* Waking up must not push a thread off its core that serves, perhaps with the lock: call first. */
void fe_background_give_way(void);
/* Sleeps for `ns`, or until woken or stopped; returns whether to stop. */
bool fe_background_rest(fe_background *thread, uint64_t ns);
bool fe_background_is_stopped(fe_background *thread);

#endif
