/* The Python face of the data plane: what the files of this folder share. Nothing else includes Python.h.
 *
 * The GIL and the engine's lock: a thread that waits for the engine's lock has given the GIL back (FE_LOCKED_*), and no thread takes
 * the GIL while it holds the lock. So neither can wait for the other.
 */
#ifndef FE_PYTHON_FACE_H
#define FE_PYTHON_FACE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "net/door.h"
#include "session/session.h"

typedef struct module_state {
    PyTypeObject *server_type;
    PyTypeObject *request_type;
    PyTypeObject *reactor_type;
    PyTypeObject *stream_type;
    PyTypeObject *encoder_type;
} module_state;

/* The rows of Python's commands, whose texts the registry borrows: freed with the server. */
typedef struct owned_row {
    struct owned_row *next;
    fe_command_row row;
    PyObject *texts[6];
} owned_row;

typedef struct server_object {
    PyObject_HEAD fe_server *server; /* NULL once closed */
    int event_fd;
    owned_row *rows;
    struct stream_object *woken, *woken_last; /* oldest first; guarded by the engine's lock */
    uint32_t users;                           /* reactors and streams that are open */
    fe_recorder
        *recorder; /* the engine's: of the thread that runs all streams; NULL before the first */
} server_object;

typedef struct stream_object {
    PyObject_HEAD server_object *owner;
    fe_session *session; /* NULL once closed */
    fe_batch *batch;
    struct stream_object *woken_next;
} stream_object;

extern PyType_Spec fe_python_server_spec;
extern PyType_Spec fe_python_request_spec;
extern PyType_Spec fe_python_reactor_spec;
extern PyType_Spec fe_python_stream_spec;
extern PyType_Spec fe_python_encoder_spec;

module_state *fe_python_state(PyObject *module);

/* The state of the module that made a type. */
module_state *fe_python_state_of_type(PyTypeObject *type);

/* One option of a dict: borrowed, or NULL or false with an exception that names it. */
PyObject *fe_python_item(PyObject *dict, const char *name);
bool fe_python_read_int(PyObject *dict, const char *name, long long least, long long most,
                        long long *out);
bool fe_python_read_bool(PyObject *dict, const char *name, bool *out);

/* Reads the options dict; false with an exception that names the option. */
bool fe_python_read_options(PyObject *dict, fe_engine_options *options);

/* Builders of snapshots; NULL with an exception. */
PyObject *fe_python_statistics(fe_server *server);
PyObject *fe_python_counters(fe_server *server);
PyObject *fe_python_heap(fe_server *server);
PyObject *fe_python_error_counts(fe_server *server);
PyObject *fe_python_databases(fe_server *server);
PyObject *fe_python_commands(fe_server *server);
PyObject *fe_python_latencies(fe_server *server);
PyObject *fe_python_tiers(fe_server *server);
PyObject *fe_python_curve(fe_server *server, PyObject *sizes);
PyObject *fe_python_hot_keys(fe_server *server, PyObject *by);
/* prefixes(), reset_prefixes() and shown_name(), see _native.pyi. */
PyObject *fe_python_prefixes(fe_server *server, PyObject *args);
PyObject *fe_python_reset_prefixes(fe_server *server);
PyObject *fe_python_shown_name(fe_server *server, PyObject *args);
/* (sum in units, shorter than all buckets, OTLP's index of the first bucket, counts from it on). */
PyObject *fe_python_exponential(const fe_exponential *histogram);
/* A dict, count by bucket. */
PyObject *fe_python_bucket_counts(const fe_exponential *histogram);
PyObject *fe_python_metrics(fe_server *server);
PyObject *fe_python_command_keys(fe_server *server, PyObject *args);

/* set_telemetry(options), telemetry_counts() and telemetry_drain_raw(), see _native.pyi. */
PyObject *fe_python_set_telemetry(fe_server *server, PyObject *options);
PyObject *fe_python_telemetry_counts(fe_server *server);
PyObject *fe_python_telemetry_drain_raw(fe_server *server);

/* take_faults(), see _native.pyi. */
PyObject *fe_python_take_faults(fe_server *server);

/* order_tiers(name), see _native.pyi. */
PyObject *fe_python_order_tiers(fe_server *server, PyObject *name);

/* Reads a row's dict into `row`; the texts it points to are kept alive in row->texts. */
bool fe_python_read_row(PyObject *dict, owned_row *row);

/* metric_rows(), see _native.pyi. */
PyObject *fe_python_metric_rows(PyObject *module, PyObject *unused);

/* inspect_segment(fd, size, with_records), see _native.pyi. */
PyObject *fe_python_inspect_segment(PyObject *module, PyObject *args);

/* admit(...), see _native.pyi. */
PyObject *fe_python_admit(PyObject *module, PyObject *args);

PyObject *fe_python_request_new(module_state *state, server_object *owner,
                                fe_python_request *request);

/* The server of an open Server object, or NULL with RuntimeError. */
fe_server *fe_python_open_server(server_object *self);

/* Runs `code` under the engine's lock, the GIL given back meanwhile. */
#define FE_LOCKED(engine, code)                                                                    \
    do {                                                                                           \
        Py_BEGIN_ALLOW_THREADS uint64_t fe_entered = fe_engine_enter(engine);                      \
        code;                                                                                      \
        fe_engine_leave((engine), FE_STEP_BATCH, fe_entered);                                      \
        Py_END_ALLOW_THREADS                                                                       \
    } while (0)

#endif
