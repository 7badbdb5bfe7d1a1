/* The slow log: the last commands that took longer than a threshold, in a ring that grows as it
 * fills, up to a bound. The engine's lock guards it. */
#ifndef FE_ENGINE_SLOWLOG_H
#define FE_ENGINE_SLOWLOG_H

#include "base/alloc.h"
#include "base/bytes.h"
#include "event/recorder.h"

#define FE_SLOWLOG_ARGS_MAX 32   /* as in Redis: more are summed up in the last one */
#define FE_SLOWLOG_ARG_BYTES 128 /* longer ones are cut and say so */

typedef struct fe_slowlog_entry {
    uint64_t id;
    int64_t unix_seconds;
    int64_t duration_us;
    uint32_t argc;
    fe_bytes argv[FE_SLOWLOG_ARGS_MAX]; /* into `text` */
    fe_bytes client_addr;               /* into `text` */
    fe_bytes client_name;               /* into `text` */
    fe_trace_label label;
    uint8_t *text;
} fe_slowlog_entry;

typedef struct fe_slowlog {
    fe_alloc *alloc;
    fe_slowlog_entry *ring;
    uint32_t max; /* slowlog-max-len */
    uint32_t cap; /* entries that the ring has room for, <= max */
    uint32_t count;
    uint32_t newest; /* index of the newest entry when count > 0 */
    uint64_t next_id;
} fe_slowlog;

void fe_slowlog_init(fe_slowlog *log, fe_alloc *alloc);
void fe_slowlog_free(fe_slowlog *log);
void fe_slowlog_set_max(fe_slowlog *log, uint32_t entries_max);
/* Adds an entry: returns its id + 1, or 0 when the log takes none or memory is exhausted. */
uint64_t fe_slowlog_add(fe_slowlog *log, int64_t unix_seconds, int64_t duration_us,
                        const fe_bytes *argv, uint32_t argc, fe_bytes client_addr,
                        fe_bytes client_name);
/* Says whose entry the one with this id is, if it is still there. */
void fe_slowlog_label(fe_slowlog *log, uint64_t id, const fe_trace_label *label);
void fe_slowlog_clear(fe_slowlog *log);

/* The n-th newest entry (0 = newest), or NULL. */
const fe_slowlog_entry *fe_slowlog_get(const fe_slowlog *log, uint32_t n);

#endif
