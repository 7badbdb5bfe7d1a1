/* When the C library should give its free memory back to the system: much of what was in use must have stayed
 * free for a while. Buffers that are freed and taken again all the time are no reason: giving them back holds
 * the library's locks for about 0.1 ms a MiB, and whoever takes memory meanwhile waits, perhaps with the
 * engine's lock.
 *
 * Threads: one thread's own.
 */
#ifndef FE_ENGINE_HEAP_WATCH_H
#define FE_ENGINE_HEAP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define FE_HEAP_FREED_MIN ((uint64_t)16 << 20) /* bytes that are worth giving back ... */
#define FE_HEAP_FREED_SHARE 8u                 /* ... and at least this part of what was in use */
#define FE_HEAP_SAMPLES_MIN 5u                 /* in a window, at least */
#define FE_HEAP_WINDOW_MIN_NS ((uint64_t)1000000000)
#define FE_HEAP_WINDOW_MAX_NS ((uint64_t)8000000000)
#define FE_HEAP_RELAPSE_WINDOWS                                                                    \
    8u /* given back again within so many: the next window is twice as long */

/* All zero at first. */
typedef struct fe_heap_watch {
    uint64_t peak;      /* most bytes in use since they were last given back */
    uint64_t top;       /* most of this window */
    uint64_t began_ns;  /* the window */
    uint64_t window_ns; /* its length; 0: none has begun */
    uint64_t given_ns;  /* when bytes were last given back; 0: never */
    uint32_t samples;   /* of the window */
} fe_heap_watch;

/* Notes that `bytes` are in use at `now_ns` (monotonic). True at the end of a window in all of which enough was free:
 * the caller gives it back. */
bool fe_heap_watch_note(fe_heap_watch *watch, uint64_t bytes, uint64_t now_ns);

#endif
