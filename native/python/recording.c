/* What Python says about the recording of commands, and a look at the records themselves. */
#include "python/face.h"

#include "base/alloc.h"
#include "engine/rare.h"

/* Bytes that the queue has for each command: the record, the peer's address and a key of 100 bytes. */
#define RECORD_ROOM (2 * sizeof(fe_trace_record))

/* A bound of 0 is never, of 2^64 always. */
static bool read_sampler(PyObject *dict, const char *name, fe_sampler *sampler)
{
    PyObject *value = fe_python_item(dict, name);
    if (value == NULL) return false;
    PyObject *limit = PyLong_FromString("18446744073709551616", NULL, 10);
    if (limit == NULL) return false;
    int whole = PyObject_RichCompareBool(value, limit, Py_GE);
    Py_DECREF(limit);
    if (whole < 0) return false;
    *sampler = (fe_sampler){.kind = FE_SAMPLER_ALWAYS};
    if (whole) return true;
    uint64_t bound = PyLong_AsUnsignedLongLong(value);
    if (bound == UINT64_MAX && PyErr_Occurred()) return false;
    sampler->kind = bound == 0 ? FE_SAMPLER_NEVER : FE_SAMPLER_RATIO;
    sampler->bound = bound;
    return true;
}

static bool read_keys(PyObject *dict, fe_telemetry_keys *out)
{
    static const char *const names[] = {[FE_KEYS_OFF] = "off",
                                        [FE_KEYS_PATTERN] = "pattern",
                                        [FE_KEYS_HASHED] = "hashed",
                                        [FE_KEYS_FULL] = "full"};
    PyObject *value = fe_python_item(dict, "record_keys");
    const char *text = value == NULL ? NULL : PyUnicode_AsUTF8(value);
    if (text == NULL) return false;
    for (int i = FE_KEYS_OFF; i <= FE_KEYS_FULL; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (fe_telemetry_keys)i;
        return true;
    }
    PyErr_Format(PyExc_ValueError, "option 'record_keys' is off, pattern, hashed or full, not '%s'",
                 text);
    return false;
}

/* Names separated by commas. */
static bool read_baggage(PyObject *dict, fe_telemetry_options *options)
{
    PyObject *value = fe_python_item(dict, "baggage_keys");
    Py_ssize_t len;
    const char *text = value == NULL ? NULL : PyUnicode_AsUTF8AndSize(value, &len);
    if (text == NULL) return false;
    if (len > (Py_ssize_t)FE_BAGGAGE_ALLOWED_MAX) {
        PyErr_Format(PyExc_ValueError, "option 'baggage_keys' is longer than %u bytes",
                     FE_BAGGAGE_ALLOWED_MAX);
        return false;
    }
    memcpy(options->baggage, text, (size_t)len);
    options->baggage_len = (uint32_t)len;
    return true;
}

static bool read_place(PyObject *dict, fe_telemetry_options *options)
{
    PyObject *value = fe_python_item(dict, "place");
    Py_ssize_t len;
    const char *text = value == NULL ? NULL : PyUnicode_AsUTF8AndSize(value, &len);
    if (text == NULL) return false;
    /* What is too long is no client's address, so that each client's is told. */
    if (len > (Py_ssize_t)FE_PLACE_MAX) len = 0;
    memcpy(options->place, text, (size_t)len);
    options->place_len = (uint32_t)len;
    return fe_python_read_bool(dict, "names_place", &options->names_place);
}

static bool read_retention(PyObject *dict, fe_retention *retention)
{
    long long slow_us, rate_max;
    bool read = fe_python_read_bool(dict, "retain_errors", &retention->errors) &&
                fe_python_read_bool(dict, "retain_disk_reads", &retention->disk) &&
                fe_python_read_bool(dict, "retain_unsampled", &retention->unsampled) &&
                fe_python_read_int(dict, "retain_slower_than", -1, INT64_MAX, &slow_us) &&
                fe_python_read_int(dict, "retain_rate_max", 0, UINT32_MAX, &rate_max) &&
                read_sampler(dict, "retain_bound", &retention->rest);
    if (!read) return false;
    retention->slow_us = slow_us;
    retention->rate_max = (uint32_t)rate_max;
    return true;
}

static bool read_options(PyObject *dict, fe_telemetry_options *options)
{
    long long records, connections;
    bool parent_based;
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "options must be a dict");
        return false;
    }
    bool read = fe_python_read_bool(dict, "traces", &options->traces) &&
                fe_python_read_bool(dict, "ignores_callers", &options->ignores_callers) &&
                read_sampler(dict, "bound", &options->sampler) &&
                fe_python_read_bool(dict, "parent_based", &parent_based) &&
                read_retention(dict, &options->retention) && read_keys(dict, &options->keys) &&
                read_baggage(dict, options) && read_place(dict, options) &&
                fe_python_read_int(dict, "connection_rate_max", 0, UINT32_MAX, &connections) &&
                fe_python_read_int(dict, "queue_size", 1, 1 << 22, &records);
    if (!read) return false;
    options->sampler.parent_based = parent_based;
    options->connection_rate_max = (uint32_t)connections;
    options->ring_bytes = (uint64_t)records * RECORD_ROOM;
    return true;
}

PyObject *fe_python_set_telemetry(fe_server *server, PyObject *dict)
{
    fe_telemetry_options options = {0};
    if (!read_options(dict, &options)) return NULL;
    bool set;
    FE_LOCKED(server->engine, set = fe_engine_set_telemetry(server->engine, &options));
    if (!set) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject *fe_python_telemetry_counts(fe_server *server)
{
    fe_telemetry_counts counts;
    fe_telemetry_count(&server->engine->telemetry, &counts);
    fe_rare_counts events = fe_rare_count(&server->engine->rare);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "records", counts.records, "dropped",
                         counts.dropped, "declined", counts.declined, "waiting_bytes",
                         counts.waiting, "ring_bytes", counts.size, "events_dropped",
                         events.dropped, "events_left_out", events.left_out);
}

/* Appends records, without the fillers between them. */
static void collect(void *context, const uint8_t *records, size_t len)
{
    fe_buf *out = context;
    for (size_t at = 0; at < len;) {
        const fe_trace_record *record = (const void *)(records + at);
        if (record->kind == FE_TRACE_COMMAND) fe_buf_append(out, record, record->size);
        at += record->size;
    }
}

PyObject *fe_python_telemetry_drain_raw(fe_server *server)
{
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_buf out;
    fe_buf_init(&out, &alloc, FE_ALLOC_SCRATCH);
    Py_BEGIN_ALLOW_THREADS fe_telemetry_drain(&server->engine->telemetry, collect, &out);
    Py_END_ALLOW_THREADS PyObject *bytes =
        out.failed ? PyErr_NoMemory()
                   : PyBytes_FromStringAndSize((const char *)out.data, (Py_ssize_t)out.len);
    fe_buf_free(&out);
    return bytes;
}
