/* What Python sees of the tiers: a snapshot of their numbers, and the orders of DEBUG TIER. */
#include "python/face.h"

#include "engine/flusher.h"
#include "store/look.h"

typedef struct number {
    const char *name;
    uint64_t value;
} number;

static bool put_all(PyObject *dict, const number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(numbers[i].value);
        bool ok = value != NULL && PyDict_SetItemString(dict, numbers[i].name, value) == 0;
        Py_XDECREF(value);
        if (!ok) return false;
    }
    return true;
}

#define PUT_ALL(dict, numbers) put_all((dict), (numbers), sizeof(numbers) / sizeof((numbers)[0]))

static bool put_tiers(PyObject *dict, const fe_look_stats *look)
{
    for (int i = FE_TIER_MUTABLE; i < FE_TIER_COUNT; i++) {
        const fe_tier_sum *sum = &look->tier.tiers[i];
        PyObject *one = PyDict_New();
        const number numbers[] = {
            {"segments", sum->segments}, {"bytes", sum->bytes},   {"live_bytes", sum->live},
            {"records", sum->records},   {"hits", look->hits[i]},
        };
        bool ok = one != NULL && PUT_ALL(one, numbers) &&
                  PyDict_SetItemString(dict, fe_tier_name((fe_tier)i), one) == 0;
        Py_XDECREF(one);
        if (!ok) return false;
    }
    return true;
}

static bool put_ways_down(PyObject *dict, const fe_look_stats *look)
{
    const fe_tier_stats *tier = &look->tier;
    const number numbers[] = {
        {"mutable_budget", tier->mutable_max},
        {"read_only_budget", tier->readonly_max},
        {"read_cache_budget", tier->cache_max},
        {"disk_max", tier->disk_max},
        {"resident", tier->resident},
        {"files", tier->file_count},
        {"file_bytes", tier->file_bytes},
        {"file_dead_bytes", look->frozen.used - look->frozen.live},
        {"appended_bytes", look->frozen.appended_bytes},
        {"seals", tier->sealed},
        {"flushes", tier->flushed},
        {"flushed_bytes", tier->flushed_bytes},
        {"demotions", tier->demoted},
        {"removals", tier->removed},
        {"map_failures", tier->map_failures},
        {"locks", tier->locked},
        {"lock_failures", tier->lock_failures},
        {"page_faults", tier->page_faults},
        {"writers_slowed", tier->busy},
        {"writers_slowed_compaction", tier->owed},
        {"writers_refused", tier->refused},
        {"flush_behind", tier->behind},
        {"compaction_behind", tier->owing},
        {"index_over", tier->index_over},
        {"disk_state", tier->state},
        {"out_of_files", tier->out_of_files},
        {"no_space", (uint64_t)tier->no_space},
        {"disk_room", tier->room},
        {"disk_errors", tier->errors},
        {"error_code", (uint64_t)tier->error.code},
        {"error_segment", tier->error.segment},
        {"error_generation", tier->error.generation},
        {"error_ms", (uint64_t)tier->error.at_ms},
        {"switches", look->switches},
        {"short_tags", look->short_tags},
        {"unsettled", look->unsettled},
        {"can_evict", look->can_evict},
    };
    return PUT_ALL(dict, numbers);
}

static bool put_ways_up(PyObject *dict, const fe_look_stats *look)
{
    const fe_cache_stats *cache = &look->cache;
    const fe_fetch_stats *fetch = &look->fetch;
    const number numbers[] = {
        {"cache_puts", cache->put},
        {"cache_put_bytes", cache->put_bytes},
        {"cache_ghost_hits", cache->known},
        {"cache_ghost_entries", look->ghost_entries},
        {"cache_carried", cache->carried},
        {"cache_kept", cache->kept},
        {"cache_drops", cache->dropped},
        {"cache_refused", cache->refused},
        {"reads_waiting", look->fetch_queued},
        {"reads_in_flight", look->fetch_busy},
        {"reads", fetch->reads},
        {"read_bytes", fetch->bytes},
        {"reads_put_off", fetch->put_off},
        {"reads_joined", fetch->joined},
        {"reads_continued", fetch->longer},
        {"reads_retried", fetch->retried},
        {"reads_failed", fetch->failed},
        {"records_lost", fetch->lost},
        {"faults_untold", fetch->untold},
        {"settled_same", fetch->settled_same},
        {"settled_other", fetch->settled_other},
    };
    return PUT_ALL(dict, numbers);
}

static bool put_reclaiming(PyObject *dict, const fe_look_stats *look)
{
    const fe_frozen_stats *frozen = &look->frozen;
    const fe_frozen_fault *fault = &frozen->fault;
    const number numbers[] = {
        {"jobs_recount", frozen->jobs[FE_FROZEN_RECOUNT]},
        {"jobs_expire", frozen->jobs[FE_FROZEN_EXPIRE]},
        {"jobs_refill", frozen->jobs[FE_FROZEN_REFILL]},
        {"jobs_compact", frozen->jobs[FE_FROZEN_COMPACT]},
        {"jobs_evict", frozen->jobs[FE_FROZEN_EVICT]},
        {"jobs_read_bytes", frozen->read_bytes},
        {"moved_keys", frozen->moved_keys},
        {"moved_bytes", frozen->moved_bytes},
        {"expired_keys", frozen->expired_keys},
        {"expired_bytes", frozen->expired_bytes},
        {"evicted_keys", frozen->evicted_keys},
        {"evicted_bytes", frozen->evicted_bytes},
        {"swept_bytes", frozen->swept_bytes},
        {"refilled_tags", frozen->refilled},
        {"damaged_segments", look->damaged},
        {"damaged_records", frozen->damaged_records},
        {"damaged_blocks", frozen->damaged_blocks},
        {"job_errors", frozen->read_errors},
        {"fault_code", (uint64_t)fault->code},
        {"fault_segment", fault->segment},
        {"fault_generation", fault->generation},
        {"fault_offset", fault->offset},
        {"fault_ms", (uint64_t)fault->at_ms},
    };
    PyObject *cause = PyUnicode_FromString(fault->cause != NULL ? fault->cause : "");
    bool ok = cause != NULL && PyDict_SetItemString(dict, "fault_cause", cause) == 0;
    Py_XDECREF(cause);
    return ok && PUT_ALL(dict, numbers);
}

static bool put_engine(PyObject *dict, const fe_engine *engine)
{
    PyObject *tiered = PyBool_FromLong(engine->device != NULL);
    PyObject *name = PyUnicode_FromString(engine->disk != NULL ? fe_disk_name(engine->disk) : "");
    bool ok = name != NULL && PyDict_SetItemString(dict, "tiered", tiered) == 0 &&
              PyDict_SetItemString(dict, "disk_engine", name) == 0;
    Py_DECREF(tiered);
    Py_XDECREF(name);
    const number numbers[] = {
        {"reads_max", engine->disk != NULL ? engine->options.disk_depth : 0},
        {"direct", engine->device != NULL && fe_device_is_direct(engine->device)},
        {"hands_over", engine->device != NULL && fe_device_hands_over(engine->device)},
    };
    return ok && PUT_ALL(dict, numbers);
}

static bool put_latency(PyObject *dict, fe_engine *engine)
{
    fe_exponential *copy = PyMem_Malloc(sizeof *copy);
    if (copy == NULL) return PyErr_NoMemory() != NULL;
    uint64_t max_ns;
    FE_LOCKED(engine, *copy = *fe_fetch_durations(engine->store, &max_ns));
    PyObject *counts = fe_python_bucket_counts(copy);
    PyMem_Free(copy);
    bool ok = counts != NULL && PyDict_SetItemString(dict, "read_latency", counts) == 0;
    Py_XDECREF(counts);
    const number numbers[] = {{"read_latency_max_ns", max_ns}};
    return ok && PUT_ALL(dict, numbers);
}

PyObject *fe_python_tiers(fe_server *server)
{
    fe_engine *engine = server->engine;
    fe_look_stats look;
    FE_LOCKED(engine, fe_look_stats_get(engine->store, &look));
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
    if (put_engine(dict, engine) && put_tiers(dict, &look) && put_ways_down(dict, &look) &&
        put_ways_up(dict, &look) && put_reclaiming(dict, &look) && put_latency(dict, engine))
        return dict;
    Py_DECREF(dict);
    return NULL;
}

PyObject *fe_python_take_faults(fe_server *server)
{
    PyObject *list = PyList_New(0);
    fe_fetch_fault fault;
    bool taken = true, ok = list != NULL;
    while (ok) {
        FE_LOCKED(server->engine, taken = fe_fetch_fault_take(server->engine->store, &fault));
        if (!taken) return list;
        PyObject *one = Py_BuildValue("(IIKiz)", fault.segment, fault.generation,
                                      (unsigned long long)fault.offset, fault.error, fault.cause);
        ok = one != NULL && PyList_Append(list, one) == 0;
        Py_XDECREF(one);
    }
    Py_XDECREF(list);
    return NULL;
}

/* DEBUG TIER ----------------------------------------------------------------------------------- */

#define TRIM_BYTES ((uint64_t)64 << 10)

typedef enum order {
    ORDER_SEAL,
    ORDER_MAP,
    ORDER_DISK,
    ORDER_COMPACT,
    ORDER_TRIM,
    ORDER_FORGET,
    ORDER_END,
    ORDERS
} order;

static bool obey(fe_engine *engine, order what)
{
    static const fe_tier targets[ORDERS] = {
        [ORDER_SEAL] = FE_TIER_SEALED, [ORDER_MAP] = FE_TIER_MAPPED, [ORDER_DISK] = FE_TIER_DISK};
    if (what == ORDER_COMPACT) return fe_frozen_compact_all(engine->store);
    if (what == ORDER_FORGET) return fe_frozen_forget_damaged(engine->store);
    if (what == ORDER_END) {
        fe_frozen_orders_end(engine->store);
        return false;
    }
    if (what == ORDER_TRIM) return fe_look_trim_cache(engine->store, TRIM_BYTES);
    bool more = fe_tier_demote_all(engine->store, targets[what]);
    if (more) fe_flusher_wake(engine);
    return more;
}

static bool order_of(const char *name, order *what)
{
    static const char *const names[ORDERS] = {"seal", "map",    "disk", "compact",
                                              "trim", "forget", "end"};
    for (unsigned i = 0; i < ORDERS; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *what = (order)i;
        return true;
    }
    PyErr_Format(PyExc_ValueError, "no order for tiers is named '%s'", name);
    return false;
}

PyObject *fe_python_order_tiers(fe_server *server, PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    order what;
    if (text == NULL || !order_of(text, &what)) return NULL;
    fe_engine *engine = server->engine;
    if (engine->device == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server has no data folder");
        return NULL;
    }
    bool more;
    Py_BEGIN_ALLOW_THREADS uint64_t entered = fe_engine_enter(engine);
    more = obey(engine, what);
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    Py_END_ALLOW_THREADS return PyBool_FromLong(more);
}
