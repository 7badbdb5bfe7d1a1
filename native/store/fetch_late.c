/* Reads that only settle a blind write: put off, until there are many or somebody waits for one.
 *
 * They are in a list, the oldest first, and have bounds of their own, so that a load of reads that
 * others wait for keeps them neither back nor without end. The states are drawn in fetch.c.
 */
#include "store/fetch_read.h"

#include <errno.h>

#define LATE_MAX 64u        /* reads that only settle are put off until there are so many ... */
#define LATE_MS 20          /* ... or for so long */
#define LATE_READS_MAX 256u /* of these under way, beyond which the others stay put off ... */
#define LATE_BYTES_MAX ((uint64_t)2 << 20) /* ... or so much for their buffers, one at least */
#define LATE_FAILURES_MAX 8u               /* after which it is left for a while */

/* Whether another that was put off may be started. Reads that somebody waits for do not count: under a load
 * of them there would never be room. */
static bool late_has_room(const fe_fetch *fetch)
{
    if (fetch->late_reads == 0) return true;
    return fetch->late_reads < LATE_READS_MAX && fetch->late_bytes < LATE_BYTES_MAX;
}

bool fe_late_is_due(const fe_store *store)
{
    const fe_fetch *fetch = &store->fetch;
    if (FE_LIKELY(fetch->late == NULL)) return false;
    if (!late_has_room(fetch) || store->steady_ms < fetch->late_rest_ms) return false;
    return fetch->hurry || fetch->late_count >= LATE_MAX ||
           store->steady_ms - fetch->late_ms >= LATE_MS;
}

void fe_fetch_hurry(fe_store *store)
{
    store->fetch.hurry = store->fetch.late != NULL;
    store->fetch.late_rest_ms = 0;
}

static void late_append(fe_fetch *fetch, fe_fetch_read *read)
{
    read->late = true;
    read->late_next = NULL;
    read->late_prev = fetch->late_last;
    *(fetch->late_last != NULL ? &fetch->late_last->late_next : &fetch->late) = read;
    fetch->late_last = read;
    fetch->late_count++;
}

static void late_remove(fe_fetch *fetch, fe_fetch_read *read)
{
    *(read->late_prev != NULL ? &read->late_prev->late_next : &fetch->late) = read->late_next;
    *(read->late_next != NULL ? &read->late_next->late_prev : &fetch->late_last) = read->late_prev;
    read->late = false;
    fetch->late_count--;
}

void fe_late_add(fe_store *store, fe_fetch_read *read)
{
    fe_fetch *fetch = &store->fetch;
    if (fetch->late == NULL) fetch->late_ms = store->steady_ms;
    late_append(fetch, read);
    fetch->stats.put_off++;
}

void fe_late_again(fe_store *store, fe_fetch_read *read)
{
    fe_late_add(store, read);
    store->fetch.late_rest_ms = store->steady_ms + LATE_MS;
}

bool fe_late_promote(fe_store *store, fe_fetch_read *read)
{
    if (!fe_fetch_ask(store, read)) return false;
    late_remove(&store->fetch, read);
    return true;
}

/* The oldest that was put off is queued; of a database that was flushed meanwhile there is nothing to settle.
 * False as fe_fetch_ask: it comes behind the others, and those who wait for it get an error. */
static bool late_start_one(fe_store *store)
{
    fe_fetch *fetch = &store->fetch;
    fe_fetch_read *read = fetch->late;
    late_remove(fetch, read);
    if (!read->settles && read->waits == NULL) {
        fe_fetch_drop(store, read);
        return true;
    }
    read->was_late = true;
    if (fe_fetch_ask(store, read)) {
        fetch->late_reads++;
        return true;
    }
    read->was_late = false;
    late_append(fetch, read);
    fe_fetch_waits_end(store, read, ENOMEM);
    return false;
}

void fe_late_start(fe_store *store)
{
    fe_fetch *fetch = &store->fetch;
    unsigned failures = 0;
    for (uint32_t left = fetch->late_count; left > 0 && late_has_room(fetch); left--) {
        if (late_start_one(store)) continue;
        fetch->late_rest_ms = store->steady_ms + LATE_MS;
        if (++failures == LATE_FAILURES_MAX) break;
    }
    if (fetch->late == NULL) fetch->hurry = false;
}
