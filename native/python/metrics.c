/* metric_rows() and Server.metrics(): the table of event/events.def, and all its values.
 *
 * Everything is copied in one entry of the lock; only where commands have more than HISTOGRAMS_MAX histograms,
 * the rest of them follows in further entries, so that none is long. A command's count and its
 * histograms are always of one moment.
 */
#include "python/shot.h"

#include "event/metrics.h"
#include "store/look.h"

#define HISTOGRAMS_MAX 32u /* are copied at once: 320 KB */

PyObject *fe_python_metric_rows(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    static const char *const instruments[] = {
        [FE_INSTRUMENT_COUNTER] = "counter",
        [FE_INSTRUMENT_TOTAL] = "total",
        [FE_INSTRUMENT_GAUGE] = "gauge",
        [FE_INSTRUMENT_HISTOGRAM] = "histogram",
    };
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < FE_METRIC_COUNT; i++) {
        const fe_metric_row *row = fe_metric_row_of((fe_metric)i);
        PyObject *one =
            Py_BuildValue("(ssssssN)", row->id, row->name, instruments[row->instrument], row->unit,
                          row->labels, row->help, PyBool_FromLong(row->in_python));
        if (one == NULL || PyList_Append(list, one) != 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

/* What histograms of a command are told: how long it took in all, then by tier. */
#define KINDS 4u
static const struct {
    fe_duration kind;
    const char *tier;
} kinds[KINDS] = {{FE_DURATION_WHOLE, NULL},
                  {FE_DURATION_READ_ONLY, "read_only"},
                  {FE_DURATION_READ_CACHE, "read_cache"},
                  {FE_DURATION_DISK, "disk"}};

/* What is taken under the lock. */
typedef struct command_shot {
    const fe_command *command;
    uint64_t calls, failed, rejected;
    const fe_exponential *durations[KINDS]; /* each NULL: none was counted */
} command_shot;

typedef struct metrics_shot {
    fe_shot all;
    fe_look_stats look;
    fe_error_count errors[FE_ERROR_KINDS_MAX];
    fe_exponential disk, phases[FE_PHASE_COUNT], sizes[FE_SIZED_COUNT];
    uint64_t memory_max;
    fe_save_report found;
    bool tiered;
    uint32_t database_count, command_count, command_next;
    fe_database_stats *databases;
    command_shot *commands;
    fe_exponential *histograms;
} metrics_shot;

/* The values that are being told, a list for each metric. */
typedef struct teller {
    PyObject *lists;
    bool failed;
} teller;

/* Steals `labels` and `value`. */
static void tell_labelled(teller *to, fe_metric metric, PyObject *labels, PyObject *value)
{
    PyObject *one = NULL;
    if (labels != NULL && value != NULL && !to->failed) one = PyTuple_Pack(2, labels, value);
    PyObject *list = PyList_GetItem(to->lists, (Py_ssize_t)metric);
    if (one == NULL || list == NULL || PyList_Append(list, one) != 0) to->failed = true;
    Py_XDECREF(one);
    Py_XDECREF(labels);
    Py_XDECREF(value);
}

/* Steals `value`. */
static void tell(teller *to, fe_metric metric, const char *label, PyObject *value)
{
    PyObject *labels = label == NULL ? PyTuple_New(0) : Py_BuildValue("(s)", label);
    tell_labelled(to, metric, labels, value);
}

/* The same of a metric with two labels. */
static void tell_pair(teller *to, fe_metric metric, const char *first, const char *second,
                      PyObject *value)
{
    tell_labelled(to, metric, Py_BuildValue("(ss)", first, second), value);
}

static void tell_u64(teller *to, fe_metric metric, uint64_t value)
{
    tell(to, metric, NULL, PyLong_FromUnsignedLongLong(value));
}

static void tell_of(teller *to, fe_metric metric, const char *label, uint64_t value)
{
    tell(to, metric, label, PyLong_FromUnsignedLongLong(value));
}

/* A ratio, where there is something to divide by. */
static void tell_ratio(teller *to, fe_metric metric, uint64_t part, uint64_t whole)
{
    if (whole != 0) tell(to, metric, NULL, PyFloat_FromDouble((double)part / (double)whole));
}

PyObject *fe_python_exponential(const fe_exponential *histogram)
{
    unsigned first = 0, beyond = FE_EXPONENTIAL_BUCKETS;
    while (first < beyond && histogram->counts[first] == 0)
        first++;
    while (beyond > first && histogram->counts[beyond - 1] == 0)
        beyond--;
    PyObject *counts = PyList_New((Py_ssize_t)(beyond - first));
    for (unsigned i = first; counts != NULL && i < beyond; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(histogram->counts[i]);
        if (count == NULL || PyList_SetItem(counts, (Py_ssize_t)(i - first), count) != 0)
            Py_CLEAR(counts);
    }
    if (counts == NULL) return NULL;
    return Py_BuildValue("(KKiN)", (unsigned long long)histogram->sum,
                         (unsigned long long)histogram->zero, (int)first + FE_EXPONENTIAL_OFFSET,
                         counts);
}

/* Tiers as traces and metrics name them: what is sealed is read-only, with a file or not yet. */
#define TIERS 4
static const char *const tier_names[TIERS] = {"mutable", "read_only", "read_cache", "disk"};

static void tell_tiers(teller *to, const metrics_shot *shot)
{
    const fe_tier_sum *sums = shot->look.tier.tiers;
    const uint64_t *hits = shot->look.hits;
    const fe_tier_sum *sealed = &sums[FE_TIER_SEALED], *mapped = &sums[FE_TIER_MAPPED];
    const fe_tier_sum of[TIERS] = {
        sums[FE_TIER_MUTABLE],
        {.segments = sealed->segments + mapped->segments,
         .bytes = sealed->bytes + mapped->bytes,
         .live = sealed->live + mapped->live},
        sums[FE_TIER_CACHE],
        sums[FE_TIER_DISK],
    };
    const uint64_t hits_of[TIERS] = {hits[FE_TIER_MUTABLE],
                                     hits[FE_TIER_SEALED] + hits[FE_TIER_MAPPED],
                                     hits[FE_TIER_CACHE], hits[FE_TIER_DISK]};
    const fe_tier_stats *tier = &shot->look.tier;
    const uint64_t budgets[TIERS] = {tier->mutable_max, tier->readonly_max, tier->cache_max,
                                     tier->disk_max};
    uint64_t left = shot->all.store.hits + shot->all.store.misses;
    for (int i = 0; i < (shot->tiered ? TIERS : 1); i++) {
        tell_of(to, FE_METRIC_TIER_SIZE, tier_names[i], of[i].bytes);
        tell_of(to, FE_METRIC_TIER_LIVE, tier_names[i], of[i].live);
        tell_of(to, FE_METRIC_TIER_SEGMENTS, tier_names[i], of[i].segments);
        tell_of(to, FE_METRIC_TIER_HITS, tier_names[i], hits_of[i]);
        left -= hits_of[i] < left ? hits_of[i] : left;
        tell_of(to, FE_METRIC_TIER_MISSES, tier_names[i], left);
        if (budgets[i] != 0) tell_of(to, FE_METRIC_TIER_BUDGET, tier_names[i], budgets[i]);
    }
}

static void tell_cache(teller *to, const metrics_shot *shot)
{
    const fe_store_stats *store = &shot->all.store;
    uint64_t looked = store->hits + store->misses, hits = shot->look.hits[FE_TIER_MUTABLE];
    tell_u64(to, FE_METRIC_CACHE_HITS, store->hits);
    tell_u64(to, FE_METRIC_CACHE_MISSES, store->misses);
    tell_u64(to, FE_METRIC_CACHE_HITS_MUTABLE, hits);
    tell_u64(to, FE_METRIC_CACHE_MISSES_MUTABLE, looked - hits);
    tell_ratio(to, FE_METRIC_CACHE_HIT_RATE, hits, looked);
}

static void tell_misses(teller *to, const metrics_shot *shot)
{
    const fe_miss_stats *misses = &shot->all.misses;
    if (misses->bytes == 0) return;
    for (unsigned i = 0; i < FE_MISS_COUNT; i++) {
        const char *name = fe_miss_name((fe_miss)i);
        tell_of(to, FE_METRIC_MISS_REASONS, name, misses->by[i]);
        if (i != FE_MISS_NEVER_SEEN) tell_of(to, FE_METRIC_GONE_KEYS, name, misses->keys_by[i]);
    }
    tell_u64(to, FE_METRIC_GONE_SIZE, misses->bytes);
    tell_u64(to, FE_METRIC_GONE_FORGOTTEN, misses->forgotten);
    tell(to, FE_METRIC_GONE_ERROR, NULL, PyFloat_FromDouble(misses->error));
}

static void tell_memory(teller *to, const metrics_shot *shot)
{
    static const char *const classes[FE_ALLOC_CLASS_COUNT] = {
        [FE_ALLOC_LOG] = "log",       [FE_ALLOC_INDEX] = "index",     [FE_ALLOC_CLIENT] = "client",
        [FE_ALLOC_ENGINE] = "engine", [FE_ALLOC_SCRATCH] = "scratch",
    };
    const fe_shot *all = &shot->all;
    tell_u64(to, FE_METRIC_MEMORY_USED, all->used);
    if (shot->memory_max != 0) tell_u64(to, FE_METRIC_MEMORY_MAX, shot->memory_max);
    tell_u64(to, FE_METRIC_MEMORY_PEAK, all->engine.memory_peak);
    for (int i = 0; i < FE_ALLOC_CLASS_COUNT; i++)
        if (classes[i] != NULL) tell_of(to, FE_METRIC_MEMORY_CLASS, classes[i], all->by_class[i]);
    tell_u64(to, FE_METRIC_CLIENT_MEMORY, all->clients_memory);
}

static void tell_connections(teller *to, const metrics_shot *shot)
{
    const fe_shot *all = &shot->all;
    const fe_engine_stats *engine = &all->engine;
    tell_u64(to, FE_METRIC_CONNECTIONS_ACTIVE, all->clients);
    tell_u64(to, FE_METRIC_CONNECTIONS, engine->connections);
    tell_u64(to, FE_METRIC_CONNECTIONS_BLOCKED, all->blocked_clients);
    tell_u64(to, FE_METRIC_MONITORS, all->monitors);
    tell_u64(to, FE_METRIC_CONNECTIONS_REJECTED, engine->connections_rejected);
    tell_of(to, FE_METRIC_CONNECTIONS_KILLED, "output_limit", engine->output_kills);
    tell_of(to, FE_METRIC_CONNECTIONS_KILLED, "query_limit", engine->query_kills);
    tell_of(to, FE_METRIC_CONNECTIONS_KILLED, "memory_limit", engine->memory_kills);
    tell_of(to, FE_METRIC_CONNECTIONS_KILLED, "idle", engine->timeout_kills);
    tell_of(to, FE_METRIC_CONNECTIONS_KILLED, "protocol_error", engine->protocol_errors);
    tell_u64(to, FE_METRIC_BYTES_RECEIVED, engine->net_in);
    tell_u64(to, FE_METRIC_BYTES_SENT, engine->net_out);
    tell_u64(to, FE_METRIC_RECEIVES, engine->reads);
    tell_u64(to, FE_METRIC_SENDS, engine->writes);
}

static void tell_store(teller *to, const metrics_shot *shot)
{
    const fe_store_stats *store = &shot->all.store;
    uint64_t keys = 0;
    for (uint32_t i = 0; i < shot->database_count; i++) {
        char db[16];
        PyOS_snprintf(db, sizeof db, "%u", i);
        keys += shot->databases[i].keys;
        if (shot->databases[i].keys != 0) tell_of(to, FE_METRIC_KEYS, db, shot->databases[i].keys);
    }
    tell_u64(to, FE_METRIC_KEYS_EXPIRED, store->expired_keys);
    tell_u64(to, FE_METRIC_KEYS_EVICTED, store->evicted_keys);
    tell_u64(to, FE_METRIC_CHANGES, store->changes);
    tell_of(to, FE_METRIC_WRITES, "in_place", store->in_place);
    tell_of(to, FE_METRIC_WRITES, "appended", store->appended);
    tell_u64(to, FE_METRIC_EXPIRED_UNRECLAIMED, store->expired_unreclaimed_bytes);
    tell_u64(to, FE_METRIC_COMPACTED_SEGMENTS, store->compacted_segments);
    tell_u64(to, FE_METRIC_COMPACTED_BYTES, store->compacted_bytes);
    tell_u64(to, FE_METRIC_INDEX_SIZE, store->index_bytes);
    tell_u64(to, FE_METRIC_INDEX_BUCKETS, store->index_buckets);
    tell_u64(to, FE_METRIC_INDEX_OVERFLOW, store->index_overflow_buckets);
    tell_ratio(to, FE_METRIC_INDEX_LOAD, keys, store->index_buckets * 8);
    tell_of(to, FE_METRIC_INDEX_STEPS, "split", store->index_splits);
    tell_of(to, FE_METRIC_INDEX_STEPS, "merge", store->index_merges);
    tell_u64(to, FE_METRIC_EPOCH, shot->look.switches);
}

static void tell_removals(teller *to, const metrics_shot *shot)
{
    const struct {
        const char *reason;
        const fe_removals *keys;
    } rows[] = {{"expired", &shot->look.expired}, {"evicted", &shot->look.evicted}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const fe_removals *keys = rows[i].keys;
        tell_pair(to, FE_METRIC_REMOVALS, "memory", rows[i].reason,
                  PyLong_FromUnsignedLongLong(keys->in_memory));
        if (shot->tiered)
            tell_pair(to, FE_METRIC_REMOVALS, "disk", rows[i].reason,
                      PyLong_FromUnsignedLongLong(keys->on_disk));
    }
}

/* What the start found in the data folder. */
static void tell_recovery(teller *to, const fe_save_report *found)
{
    tell_u64(to, FE_METRIC_RECOVERY_KEYS, found->keys);
    tell(to, FE_METRIC_RECOVERY_DURATION, NULL, PyFloat_FromDouble((double)found->took_ms / 1e3));
    tell_u64(to, FE_METRIC_RECOVERY_ASIDE, found->found == FE_SAVE_UNCLEAN);
}

/* What only a store with a data folder does. */
static void tell_ways_down(teller *to, const metrics_shot *shot)
{
    const fe_tier_stats *tier = &shot->look.tier;
    const fe_frozen_stats *frozen = &shot->look.frozen;
    tell_of(to, FE_METRIC_MIGRATIONS, "sealed", tier->sealed);
    tell_of(to, FE_METRIC_MIGRATIONS, "flushed", tier->flushed);
    tell_of(to, FE_METRIC_MIGRATIONS, "demoted", tier->demoted);
    tell_of(to, FE_METRIC_MIGRATIONS, "removed", tier->removed);
    tell_u64(to, FE_METRIC_APPENDED_BYTES, frozen->appended_bytes);
    tell_u64(to, FE_METRIC_FLUSHED_BYTES, tier->flushed_bytes);
    tell_ratio(to, FE_METRIC_WRITE_AMPLIFICATION, tier->flushed_bytes, frozen->appended_bytes);
    tell_ratio(to, FE_METRIC_SPACE_AMPLIFICATION, tier->file_bytes,
               tier->tiers[FE_TIER_MAPPED].live + tier->tiers[FE_TIER_DISK].live);
    tell_u64(to, FE_METRIC_WRITERS_SLOWED, tier->busy);
    tell_u64(to, FE_METRIC_WRITERS_REFUSED, tier->refused);
    tell_u64(to, FE_METRIC_DISK_ERRORS, tier->errors);
    tell_u64(to, FE_METRIC_FLUSH_BEHIND, tier->behind);
    tell_u64(to, FE_METRIC_COMPACTION_BEHIND, tier->owing);
    tell_u64(to, FE_METRIC_DISK_OK, tier->state == FE_DISK_OK);
    tell_of(to, FE_METRIC_DISK_STATE, "ok", tier->state == FE_DISK_OK);
    tell_of(to, FE_METRIC_DISK_STATE, "full", tier->state == FE_DISK_FULL);
    tell_of(to, FE_METRIC_DISK_STATE, "failed", tier->state == FE_DISK_FAILED);
    tell_u64(to, FE_METRIC_DISK_DAMAGED, shot->look.damaged);
    tell_u64(to, FE_METRIC_DISK_PAGE_ERRORS, tier->page_faults);
    tell_u64(to, FE_METRIC_DISK_FILES, tier->file_count);
    tell_u64(to, FE_METRIC_DISK_FILE_BYTES, tier->file_bytes);
}

static void tell_reclaiming(teller *to, const fe_frozen_stats *frozen)
{
    static const char *const purposes[FE_FROZEN_PURPOSES] = {
        [FE_FROZEN_RECOUNT] = "recount", [FE_FROZEN_EXPIRE] = "expire",
        [FE_FROZEN_REFILL] = "refill",   [FE_FROZEN_COMPACT] = "compact",
        [FE_FROZEN_EVICT] = "evict",
    };
    for (int i = 0; i < FE_FROZEN_PURPOSES; i++)
        if (purposes[i] != NULL)
            tell_of(to, FE_METRIC_DISK_COMPACTIONS, purposes[i], frozen->jobs[i]);
    tell_u64(to, FE_METRIC_DISK_COMPACTED_READ, frozen->read_bytes);
    tell_u64(to, FE_METRIC_DISK_COMPACT_ERRORS, frozen->read_errors);
    tell_of(to, FE_METRIC_DISK_RECLAIMED_KEYS, "moved", frozen->moved_keys);
    tell_of(to, FE_METRIC_DISK_RECLAIMED_KEYS, "expired", frozen->expired_keys);
    tell_of(to, FE_METRIC_DISK_RECLAIMED_KEYS, "evicted", frozen->evicted_keys);
    tell_of(to, FE_METRIC_DISK_RECLAIMED_BYTES, "moved", frozen->moved_bytes);
    tell_of(to, FE_METRIC_DISK_RECLAIMED_BYTES, "expired", frozen->expired_bytes);
    tell_of(to, FE_METRIC_DISK_RECLAIMED_BYTES, "evicted", frozen->evicted_bytes);
    tell_of(to, FE_METRIC_DISK_RECLAIMED_BYTES, "swept", frozen->swept_bytes);
}

static void tell_ways_up(teller *to, const fe_look_stats *look)
{
    const fe_fetch_stats *fetch = &look->fetch;
    const fe_cache_stats *cache = &look->cache;
    tell_u64(to, FE_METRIC_DISK_READS, fetch->reads);
    tell_u64(to, FE_METRIC_DISK_READ_BYTES, fetch->bytes);
    tell_u64(to, FE_METRIC_DISK_READS_QUEUED, look->fetch_queued);
    tell_u64(to, FE_METRIC_DISK_READS_ACTIVE, look->fetch_busy);
    tell_u64(to, FE_METRIC_DISK_READS_JOINED, fetch->joined);
    tell_u64(to, FE_METRIC_DISK_READS_RETRIED, fetch->retried);
    tell_u64(to, FE_METRIC_DISK_READS_FAILED, fetch->failed);
    tell_u64(to, FE_METRIC_DISK_RECORDS_LOST, fetch->lost);
    tell_u64(to, FE_METRIC_CACHE_PUTS, cache->put);
    tell_u64(to, FE_METRIC_CACHE_PUT_BYTES, cache->put_bytes);
    tell_u64(to, FE_METRIC_CACHE_GHOSTS, cache->known);
    tell_u64(to, FE_METRIC_CACHE_CARRIED, cache->carried);
    tell_u64(to, FE_METRIC_CACHE_KEPT, cache->kept);
    tell_u64(to, FE_METRIC_CACHE_DROPS, cache->dropped);
}

static void tell_engine(teller *to, const metrics_shot *shot)
{
    const fe_shot *all = &shot->all;
    double seconds = 1e-6 / all->ticks_per_us; /* of a tick */
    for (int i = 0; i < FE_STEP_KIND_COUNT; i++) {
        const fe_step_stats *step = &all->engine.steps[i];
        const char *name = fe_python_step_name((fe_step_kind)i);
        tell_of(to, FE_METRIC_STEPS, name, step->count);
        tell(to, FE_METRIC_STEP_TIME, name,
             PyFloat_FromDouble((double)step->ticks_total * seconds));
        tell(to, FE_METRIC_STEP_MAX, name, PyFloat_FromDouble((double)step->ticks_max * seconds));
    }
    for (int i = 0; i < FE_ERROR_KINDS_MAX && shot->errors[i].count != 0; i++) {
        const fe_error_count *error = &shot->errors[i];
        PyObject *code = PyUnicode_DecodeLatin1(error->code, (Py_ssize_t)strlen(error->code), NULL);
        const char *text = code == NULL ? NULL : PyUnicode_AsUTF8(code);
        if (text == NULL)
            to->failed = true;
        else
            tell_of(to, FE_METRIC_ERRORS, text, error->count);
        Py_XDECREF(code);
    }
    tell_u64(to, FE_METRIC_PYTHON_WAITING, all->python_waiting);
    tell_u64(to, FE_METRIC_SLOWLOG, all->slowlog_length);
}

/* What a command does with its keys, in the words of other caches; OPERATIONS: it has none. */
typedef enum operation { GET, SET, DELETE, OPERATIONS } operation;

static operation operation_of(const fe_command_row *row)
{
    if (row->keys[0].first == 0) return OPERATIONS;
    if (row->flags & FE_READONLY) return GET;
    if (!(row->flags & FE_WRITE)) return OPERATIONS;
    bool only_removes = row->keys[0].flags & FE_KEY_DELETE && row->keys[1].first == 0;
    return only_removes ? DELETE : SET; /* RENAME writes another key */
}

/* Each command is counted for one of them at most. */
static void tell_operations(teller *to, const metrics_shot *shot)
{
    static const char *const names[OPERATIONS] = {
        [GET] = "get", [SET] = "set", [DELETE] = "delete"};
    uint64_t calls[OPERATIONS + 1] = {0};
    for (uint32_t i = 0; i < shot->command_count; i++)
        calls[operation_of(shot->commands[i].command->row)] += shot->commands[i].calls;
    for (unsigned i = 0; i < OPERATIONS; i++)
        tell_of(to, FE_METRIC_CACHE_OPERATIONS, names[i], calls[i]);
}

static void tell_command(teller *to, const command_shot *shot)
{
    const char *name = shot->command->row->name;
    if (shot->calls != 0 || shot->rejected != 0) {
        tell_of(to, FE_METRIC_COMMANDS, name, shot->calls);
        tell_of(to, FE_METRIC_COMMAND_FAILURES, name, shot->failed);
        tell_of(to, FE_METRIC_COMMAND_REJECTIONS, name, shot->rejected);
    }
    if (shot->durations[0] != NULL)
        tell(to, FE_METRIC_COMMAND_DURATION, name, fe_python_exponential(shot->durations[0]));
    for (unsigned i = 1; i < KINDS; i++)
        if (shot->durations[i] != NULL)
            tell_pair(to, FE_METRIC_COMMAND_TIER_DURATION, name, kinds[i].tier,
                      fe_python_exponential(shot->durations[i]));
}

static void tell_sizes(teller *to, const fe_exponential sizes[FE_SIZED_COUNT])
{
    static const char *const names[FE_SIZED_COUNT] = {
        [FE_SIZED_GET] = "get", [FE_SIZED_SET] = "set"};
    for (int i = 0; i < FE_SIZED_COUNT; i++)
        if (fe_exponential_count(&sizes[i]) != 0)
            tell(to, FE_METRIC_VALUE_SIZE, names[i], fe_python_exponential(&sizes[i]));
}

static void tell_all(teller *to, const metrics_shot *shot)
{
    tell_tiers(to, shot);
    tell_cache(to, shot);
    tell_misses(to, shot);
    tell_memory(to, shot);
    tell_connections(to, shot);
    tell_store(to, shot);
    tell_removals(to, shot);
    if (shot->tiered) {
        tell_recovery(to, &shot->found);
        tell_ways_down(to, shot);
        tell_reclaiming(to, &shot->look.frozen);
        tell_ways_up(to, &shot->look);
        tell(to, FE_METRIC_DISK_READ_DURATION, NULL, fe_python_exponential(&shot->disk));
    }
    tell_engine(to, shot);
    tell_sizes(to, shot->sizes);
    for (int i = 0; i < FE_PHASE_COUNT; i++)
        if (fe_exponential_count(&shot->phases[i]) != 0)
            tell(to, FE_METRIC_STAGE_DURATION, fe_phase_name((fe_phase)i),
                 fe_python_exponential(&shot->phases[i]));
}

/* Taking. -------------------------------------------------------------------------------------- */

/* The lock is held. Copies commands from command_next on, until all are, or the histograms may be full. */
static void take_commands(metrics_shot *shot)
{
    uint32_t used = 0;
    for (; shot->command_next < shot->command_count; shot->command_next++) {
        command_shot *to = &shot->commands[shot->command_next];
        const fe_command_stats *stats = &to->command->stats;
        if (used + KINDS > HISTOGRAMS_MAX) return;
        to->calls = stats->calls;
        to->failed = stats->failed;
        to->rejected = stats->rejected;
        for (unsigned i = 0; i < KINDS; i++) {
            fe_exponential *copy = &shot->histograms[used];
            bool counted = fe_command_durations(to->command, kinds[i].kind, copy);
            to->durations[i] = counted ? copy : NULL;
            used += counted;
        }
    }
}

/* The lock is held. */
static void take(fe_server *server, metrics_shot *shot)
{
    fe_engine *engine = server->engine;
    fe_python_take_shot(server, &shot->all);
    fe_look_stats_get(engine->store, &shot->look);
    memcpy(shot->errors, engine->errors, sizeof shot->errors);
    uint64_t longest_ns;
    shot->disk = *fe_fetch_durations(engine->store, &longest_ns);
    for (fe_recorder *it = atomic_load(&engine->telemetry.recorders); it != NULL; it = it->next) {
        for (int i = 0; i < FE_PHASE_COUNT; i++)
            fe_exponential_merge(&shot->phases[i], &it->stages.phases[i]);
        for (int i = 0; i < FE_SIZED_COUNT; i++)
            fe_exponential_merge(&shot->sizes[i], &it->stages.sizes[i]);
    }
    shot->memory_max = engine->options.store.memory_max;
    shot->tiered = engine->device != NULL;
    shot->found = engine->found;
    for (uint32_t i = 0; i < shot->database_count; i++)
        fe_store_db_stats(engine->store, i, &shot->databases[i]);
    take_commands(shot);
}

/* The registry does not change while the server runs: no lock. */
static uint32_t list_commands(const fe_commands *commands, command_shot *list)
{
    uint32_t top_count, count = 0;
    fe_command *const *top = fe_commands_all(commands, &top_count);
    for (uint32_t i = 0; i < top_count; i++) {
        if (list != NULL) list[count].command = top[i];
        count++;
        for (uint32_t j = 0; j < top[i]->child_count; j++, count++)
            if (list != NULL) list[count].command = top[i]->children[j];
    }
    return count;
}

static void give_shot(metrics_shot *shot)
{
    if (shot == NULL) return;
    PyMem_Free(shot->databases);
    PyMem_Free(shot->commands);
    PyMem_Free(shot->histograms);
    PyMem_Free(shot);
}

static metrics_shot *make_shot(const fe_server *server)
{
    metrics_shot *shot = PyMem_Calloc(1, sizeof *shot);
    if (shot == NULL) return NULL;
    shot->database_count = fe_store_get_options(server->engine->store)->databases;
    shot->command_count = list_commands(server->commands, NULL);
    shot->databases = PyMem_Calloc(shot->database_count, sizeof *shot->databases);
    shot->commands = PyMem_Calloc(shot->command_count, sizeof *shot->commands);
    shot->histograms = PyMem_Calloc(HISTOGRAMS_MAX, sizeof *shot->histograms);
    if (shot->databases != NULL && shot->commands != NULL && shot->histograms != NULL) {
        list_commands(server->commands, shot->commands);
        return shot;
    }
    give_shot(shot);
    return NULL;
}

static PyObject *empty_lists(void)
{
    PyObject *lists = PyList_New(FE_METRIC_COUNT);
    for (Py_ssize_t i = 0; lists != NULL && i < FE_METRIC_COUNT; i++) {
        PyObject *list = PyList_New(0);
        if (list == NULL || PyList_SetItem(lists, i, list) != 0) Py_CLEAR(lists);
    }
    return lists;
}

PyObject *fe_python_metrics(fe_server *server)
{
    metrics_shot *shot = make_shot(server);
    teller to = {.lists = empty_lists()};
    if (shot == NULL || to.lists == NULL) {
        Py_XDECREF(to.lists);
        give_shot(shot);
        return PyErr_NoMemory();
    }
    FE_LOCKED(server->engine, take(server, shot));
    tell_all(&to, shot);
    for (uint32_t told = 0; told < shot->command_count && !to.failed;) {
        for (; told < shot->command_next; told++)
            tell_command(&to, &shot->commands[told]);
        if (told < shot->command_count) FE_LOCKED(server->engine, take_commands(shot));
    }
    tell_operations(&to, shot);
    PyObject *result = NULL;
    if (!to.failed)
        result = Py_BuildValue("(LLLO)", (long long)shot->all.started_ms,
                               (long long)shot->all.counted_since_ms, (long long)shot->all.now_ms,
                               to.lists);
    Py_DECREF(to.lists);
    give_shot(shot);
    return result;
}
