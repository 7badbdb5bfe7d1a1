/* See heap_watch.h. */
#include "engine/heap_watch.h"

static void window_begin(fe_heap_watch *watch, uint64_t bytes, uint64_t now_ns)
{
    watch->top = bytes;
    watch->began_ns = now_ns;
    watch->samples = 0;
}

/* What is given back again and again is wanted again and again: it has to stay free for longer. */
static uint64_t next_window(const fe_heap_watch *watch, uint64_t now_ns)
{
    bool relapse = watch->given_ns != 0 &&
                   now_ns - watch->given_ns < FE_HEAP_RELAPSE_WINDOWS * watch->window_ns;
    uint64_t twice = watch->window_ns * 2;
    if (!relapse) return FE_HEAP_WINDOW_MIN_NS;
    return twice < FE_HEAP_WINDOW_MAX_NS ? twice : FE_HEAP_WINDOW_MAX_NS;
}

bool fe_heap_watch_note(fe_heap_watch *watch, uint64_t bytes, uint64_t now_ns)
{
    if (watch->window_ns == 0) {
        watch->window_ns = FE_HEAP_WINDOW_MIN_NS;
        window_begin(watch, bytes, now_ns);
    }
    if (bytes > watch->top) watch->top = bytes;
    if (bytes > watch->peak) watch->peak = bytes;
    watch->samples++;
    if (now_ns - watch->began_ns < watch->window_ns) return false;
    if (watch->samples < FE_HEAP_SAMPLES_MIN) return false;
    uint64_t top = watch->top, freed = watch->peak - top;
    bool enough = freed >= FE_HEAP_FREED_MIN && freed >= watch->peak / FE_HEAP_FREED_SHARE;
    window_begin(watch, bytes, now_ns);
    if (!enough) return false;
    watch->window_ns = next_window(watch, now_ns);
    watch->given_ns = now_ns;
    watch->peak = top;
    return true;
}
