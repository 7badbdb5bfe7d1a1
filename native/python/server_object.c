/* Server and PythonRequest: the engine and its queue of commands, as Python sees them. */
#include "python/face.h"

#include "engine/keep.h"
#include "engine/workers.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

fe_server *fe_python_open_server(server_object *self)
{
    if (self->server == NULL) PyErr_SetString(PyExc_RuntimeError, "the server is closed");
    return self->server;
}

/* fe_server.python_notify: the lock is held, any thread, no GIL. */
static void notify(void *context)
{
    server_object *self = context;
    uint64_t one = 1;
    ssize_t written = write(self->event_fd, &one, sizeof one);
    FE_ASSERT(written == (ssize_t)sizeof one || errno == EAGAIN);
}

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"options", NULL};
    PyObject *dict;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!", names, &PyDict_Type, &dict)) return NULL;
    fe_engine_options *options = PyMem_Calloc(1, sizeof *options);
    if (options == NULL) return PyErr_NoMemory();
    server_object *self = NULL;
    if (!fe_python_read_options(dict, options)) goto fail;
    if (!fe_random_system(&options->store.seed, sizeof options->store.seed)) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto fail;
    }
    self = (server_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL) goto fail;
    self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->event_fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto fail;
    }
    char error[FE_ENGINE_ERROR_MAX];
    Py_BEGIN_ALLOW_THREADS self->server = fe_server_open(options, error);
    Py_END_ALLOW_THREADS if (self->server == NULL)
    {
        PyErr_SetString(PyExc_OSError, error);
        goto fail;
    }
    self->server->python_notify = notify;
    self->server->python_context = self;
    PyMem_Free(options);
    return (PyObject *)self;
fail:
    PyMem_Free(options);
    Py_XDECREF(self);
    return NULL;
}

static void free_rows(server_object *self)
{
    while (self->rows != NULL) {
        owned_row *row = self->rows;
        self->rows = row->next;
        for (int i = 0; i < 6; i++)
            Py_XDECREF(row->texts[i]);
        PyMem_Free(row);
    }
}

static bool is_served(const server_object *self)
{
    if (self->users == 0) return false;
    PyErr_Format(PyExc_RuntimeError, "%u reactors or streams are still open", self->users);
    return true;
}

static PyObject *server_close(server_object *self, PyObject *unused)
{
    (void)unused;
    if (self->server == NULL) Py_RETURN_NONE;
    if (is_served(self)) return NULL;
    fe_server *server = self->server;
    self->server = NULL;
    Py_BEGIN_ALLOW_THREADS fe_workers_stop(server->engine);
    fe_server_free(server);
    Py_END_ALLOW_THREADS free_rows(self);
    Py_RETURN_NONE;
}

static void server_dealloc(server_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->server != NULL && self->users == 0) {
        PyObject *closed = server_close(self, NULL);
        Py_XDECREF(closed);
    }
    if (self->event_fd > 0) close(self->event_fd);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *server_set_options(server_object *self, PyObject *dict)
{
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "options must be a dict");
        return NULL;
    }
    fe_engine_options *options = PyMem_Calloc(1, sizeof *options);
    if (options == NULL) return PyErr_NoMemory();
    bool read = fe_python_read_options(dict, options);
    const fe_store_options *now = fe_store_get_options(server->engine->store);
    if (read && options->store.databases != now->databases) {
        PyErr_SetString(PyExc_ValueError, "option 'databases' cannot change");
        read = false;
    }
    if (read) {
        options->store.seed = now->seed;
        options->store.segment_size = now->segment_size;
        FE_LOCKED(server->engine, fe_engine_set_options(server->engine, options));
    }
    PyMem_Free(options);
    if (!read) return NULL;
    Py_RETURN_NONE;
}

static PyObject *server_register(server_object *self, PyObject *dict)
{
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "a row must be a dict");
        return NULL;
    }
    owned_row *row = PyMem_Calloc(1, sizeof *row);
    if (row == NULL) return PyErr_NoMemory();
    row->next = self->rows;
    self->rows = row;
    if (!fe_python_read_row(dict, row)) return NULL;
    if (!fe_commands_add(server->commands, &row->row)) {
        PyErr_Format(PyExc_ValueError, "command '%s' exists, or its container does not",
                     row->row.name);
        return NULL;
    }
    Py_RETURN_NONE;
}

#define SNAPSHOT(method, function)                                                                 \
    static PyObject *method(server_object *self, PyObject *unused)                                 \
    {                                                                                              \
        (void)unused;                                                                              \
        fe_server *server = fe_python_open_server(self);                                           \
        return server == NULL ? NULL : function(server);                                           \
    }

SNAPSHOT(server_statistics, fe_python_statistics)
SNAPSHOT(server_counters, fe_python_counters)
SNAPSHOT(server_heap, fe_python_heap)
SNAPSHOT(server_error_counts, fe_python_error_counts)
SNAPSHOT(server_databases, fe_python_databases)
SNAPSHOT(server_commands, fe_python_commands)
SNAPSHOT(server_latencies, fe_python_latencies)
SNAPSHOT(server_tiers, fe_python_tiers)
SNAPSHOT(server_metrics, fe_python_metrics)

static PyObject *server_curve(server_object *self, PyObject *sizes)
{
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_curve(server, sizes);
}

static PyObject *server_hot_keys(server_object *self, PyObject *by)
{
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_hot_keys(server, by);
}

static PyObject *server_prefixes(server_object *self, PyObject *args)
{
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_prefixes(server, args);
}

static PyObject *server_reset_prefixes(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_reset_prefixes(server);
}

static PyObject *server_shown_name(server_object *self, PyObject *args)
{
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_shown_name(server, args);
}

static PyObject *server_order_tiers(server_object *self, PyObject *name)
{
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_order_tiers(server, name);
}

static PyObject *server_take_faults(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_take_faults(server);
}

static PyObject *server_set_telemetry(server_object *self, PyObject *options)
{
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_set_telemetry(server, options);
}

static PyObject *server_telemetry_counts(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_telemetry_counts(server);
}

static PyObject *server_telemetry_drain_raw(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_telemetry_drain_raw(server);
}

static PyObject *server_command_keys(server_object *self, PyObject *args)
{
    fe_server *server = fe_python_open_server(self);
    return server == NULL ? NULL : fe_python_command_keys(server, args);
}

static void reset_all(fe_server *server)
{
    fe_engine_reset_stats(server->engine);
    fe_commands_reset_stats(server->commands);
    fe_telemetry *telemetry = &server->engine->telemetry;
    for (fe_recorder *it = atomic_load(&telemetry->recorders); it != NULL; it = it->next)
        fe_stages_reset(&it->stages);
}

static PyObject *server_reset_statistics(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    FE_LOCKED(server->engine, reset_all(server));
    Py_RETURN_NONE;
}

static PyObject *server_start_workers(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    char error[FE_ENGINE_ERROR_MAX];
    bool claimed;
    Py_BEGIN_ALLOW_THREADS claimed = fe_engine_claim(server->engine, error);
    Py_END_ALLOW_THREADS if (!claimed)
    {
        PyErr_SetString(PyExc_OSError, error);
        return NULL;
    }
    if (server->engine->workers == NULL && !fe_workers_start(server->engine)) {
        PyErr_SetString(PyExc_OSError, "cannot start the background thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *server_stop_workers(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS fe_workers_stop(server->engine);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* What was found or written; sizes in bytes, times in milliseconds. */
static PyObject *report_dict(const fe_save_report *report)
{
    static const char *const found[] = {"empty", "loaded", "unclean"};
    return Py_BuildValue("{s:s,s:s,s:K,s:K,s:K,s:K,s:K,s:L,s:L}", "found", found[report->found],
                         "aside", report->aside, "keys", report->keys, "segments", report->segments,
                         "segment_bytes", report->segment_bytes, "index_bytes", report->index_bytes,
                         "orphans", report->orphans, "saved_ms", (long long)report->saved_ms,
                         "took_ms", (long long)report->took_ms);
}

static PyObject *server_found(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    if (server->engine->device == NULL) Py_RETURN_NONE;
    return report_dict(&server->engine->found);
}

static PyObject *server_prepare_save(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    char error[FE_ENGINE_ERROR_MAX];
    fe_status status;
    Py_BEGIN_ALLOW_THREADS status = fe_engine_prepare_save(server->engine, error);
    Py_END_ALLOW_THREADS if (status != FE_IO) return PyBool_FromLong(status == FE_BUSY);
    PyErr_SetString(PyExc_OSError, error);
    return NULL;
}

static PyObject *server_save(server_object *self, PyObject *version)
{
    fe_server *server = fe_python_open_server(self);
    const char *text = server == NULL ? NULL : PyUnicode_AsUTF8(version);
    if (text == NULL || is_served(self)) return NULL;
    if (!fe_engine_wants_save(server->engine)) Py_RETURN_NONE;
    fe_save_report report;
    char error[FE_ENGINE_ERROR_MAX];
    bool saved;
    Py_BEGIN_ALLOW_THREADS fe_workers_stop(server->engine);
    saved = fe_engine_save(server->engine, text, &report, error);
    Py_END_ALLOW_THREADS if (saved) return report_dict(&report);
    PyErr_SetString(PyExc_OSError, error);
    return NULL;
}

static PyObject *server_discard(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS fe_engine_discard(server->engine);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyObject *server_notify_fd(server_object *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(self->event_fd);
}

static PyObject *server_disk_fd(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    return PyLong_FromLong(server->engine->disk == NULL ? -1 : fe_disk_fd(server->engine->disk));
}

static PyObject *server_take_records(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS fe_server_take_records(server);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static void clear_event(server_object *self)
{
    uint64_t count;
    ssize_t got = read(self->event_fd, &count, sizeof count);
    (void)got; /* nothing to clear is as good as cleared */
}

static PyObject *server_take_requests(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    clear_event(self);
    PyObject *list = PyList_New(0);
    module_state *state = fe_python_state_of_type(Py_TYPE(self));
    while (list != NULL) {
        fe_python_request *request;
        FE_LOCKED(server->engine, request = fe_server_take_python(server));
        if (request == NULL) break;
        PyObject *entry = fe_python_request_new(state, self, request);
        if (entry == NULL || PyList_Append(list, entry) != 0) Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    /* The queue may not be empty, and tells only of the first request in it: the caller must come again. */
    if (list == NULL) notify(self);
    return list;
}

/* Takes the oldest, and allocates nothing on the way: a session that was taken and not given to Python would never be woken
 * again. Leaves the event alone: clearing it here would lose a request that was queued since take_requests cleared it. */
static PyObject *server_take_woken(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    stream_object *stream;
    FE_LOCKED(server->engine, {
        stream = self->woken;
        if (stream != NULL) {
            self->woken = stream->woken_next;
            stream->session->woken = false;
        }
    });
    return Py_NewRef(stream == NULL ? Py_None : (PyObject *)stream);
}

static PyObject *server_count_rejected(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    FE_LOCKED(server->engine, server->engine->stats.connections_rejected++);
    Py_RETURN_NONE;
}

static PyObject *server_connection_count(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    uint32_t count;
    FE_LOCKED(server->engine, count = server->clients.count);
    return PyLong_FromUnsignedLong(count);
}

static PyObject *server_set_expire_paused(server_object *self, PyObject *value)
{
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    int truth = PyObject_IsTrue(value);
    if (truth < 0) return NULL;
    FE_LOCKED(server->engine, server->engine->expire_paused = truth != 0);
    Py_RETURN_NONE;
}

static PyObject *server_check(server_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = fe_python_open_server(self);
    if (server == NULL) return NULL;
    const char *violation;
    FE_LOCKED(server->engine, violation = fe_store_check(server->engine->store));
    if (violation == NULL) Py_RETURN_NONE;
    return PyUnicode_FromString(violation);
}

#define METHOD(name, flags)                                                                        \
    {                                                                                              \
#name, (PyCFunction)server_##name, flags, NULL                                             \
    }

static PyMethodDef server_methods[] = {
    METHOD(set_options, METH_O),
    METHOD(register, METH_O),
    METHOD(commands, METH_NOARGS),
    METHOD(latencies, METH_NOARGS),
    METHOD(tiers, METH_NOARGS),
    METHOD(metrics, METH_NOARGS),
    METHOD(curve, METH_O),
    METHOD(hot_keys, METH_O),
    METHOD(prefixes, METH_VARARGS),
    METHOD(reset_prefixes, METH_NOARGS),
    METHOD(shown_name, METH_VARARGS),
    METHOD(set_telemetry, METH_O),
    METHOD(telemetry_counts, METH_NOARGS),
    METHOD(telemetry_drain_raw, METH_NOARGS),
    METHOD(order_tiers, METH_O),
    METHOD(take_faults, METH_NOARGS),
    METHOD(command_keys, METH_O),
    METHOD(statistics, METH_NOARGS),
    METHOD(counters, METH_NOARGS),
    METHOD(heap, METH_NOARGS),
    METHOD(error_counts, METH_NOARGS),
    METHOD(databases, METH_NOARGS),
    METHOD(reset_statistics, METH_NOARGS),
    METHOD(start_workers, METH_NOARGS),
    METHOD(stop_workers, METH_NOARGS),
    METHOD(found, METH_NOARGS),
    METHOD(prepare_save, METH_NOARGS),
    METHOD(save, METH_O),
    METHOD(discard, METH_NOARGS),
    METHOD(notify_fd, METH_NOARGS),
    METHOD(disk_fd, METH_NOARGS),
    METHOD(take_records, METH_NOARGS),
    METHOD(take_requests, METH_NOARGS),
    METHOD(take_woken, METH_NOARGS),
    METHOD(count_rejected, METH_NOARGS),
    METHOD(connection_count, METH_NOARGS),
    METHOD(set_expire_paused, METH_O),
    METHOD(check, METH_NOARGS),
    METHOD(close, METH_NOARGS),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_doc,
     (void *)"One server: the engine, the command table and the queue of commands for Python."},
    {Py_tp_new, server_new},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_methods, server_methods},
    {0, NULL},
};

PyType_Spec fe_python_server_spec = {
    .name = "ferrite_py._native.Server",
    .basicsize = sizeof(server_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = server_slots,
};
