/* PythonRequest: one command that a coroutine answers. A request that is dropped without an answer answers an error, so that no session
 * waits for ever. */
#include "python/face.h"

typedef struct request_object {
    PyObject_HEAD server_object *owner;
    fe_python_request *request; /* NULL once answered */
    PyObject *name, *args;
    unsigned long long client_id;
    unsigned int database;
    int resp;
    bool in_exec;
} request_object;

static void send_answer(request_object *self, const char *reply, size_t len, bool failed)
{
    fe_server *server = self->owner->server;
    fe_python_request *request = self->request;
    self->request = NULL;
    if (server == NULL) return; /* closed: the connections are gone as well */
    FE_LOCKED(
        server->engine,
        fe_server_answer_python(server, request, (fe_bytes){(const uint8_t *)reply, len}, failed));
}

static void request_dealloc(request_object *self)
{
    static const char lost[] = "-ERR internal error: the command was not answered\r\n";
    PyTypeObject *type = Py_TYPE(self);
    if (self->request != NULL) send_answer(self, lost, sizeof lost - 1, true);
    Py_XDECREF(self->name);
    Py_XDECREF(self->args);
    Py_XDECREF((PyObject *)self->owner);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

PyObject *fe_python_request_new(module_state *state, server_object *owner,
                                fe_python_request *request)
{
    request_object *self = (request_object *)PyType_GenericAlloc(state->request_type, 0);
    if (self == NULL) {
        static const char error[] = "-ERR out of memory\r\n";
        FE_LOCKED(owner->server->engine,
                  fe_server_answer_python(owner->server, request,
                                          (fe_bytes){(const uint8_t *)error, sizeof error - 1},
                                          true));
        return NULL;
    }
    self->owner = (server_object *)Py_NewRef((PyObject *)owner);
    self->request = request;
    self->client_id = request->client_id;
    self->database = request->db;
    self->resp = request->resp;
    self->in_exec = request->in_exec;
    self->name = PyUnicode_FromString(request->row->name);
    self->args = PyList_New(request->argc);
    for (uint32_t i = 0; self->args != NULL && i < request->argc; i++) {
        PyObject *arg = PyBytes_FromStringAndSize((const char *)request->argv[i].ptr,
                                                  (Py_ssize_t)request->argv[i].len);
        if (arg == NULL || PyList_SetItem(self->args, i, arg) != 0) Py_CLEAR(self->args);
    }
    if (self->name != NULL && self->args != NULL) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static PyObject *request_answer(request_object *self, PyObject *args)
{
    const char *reply;
    Py_ssize_t len;
    int failed;
    if (!PyArg_ParseTuple(args, "y#p", &reply, &len, &failed)) return NULL;
    if (self->request == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the request has been answered");
        return NULL;
    }
    send_answer(self, reply, (size_t)len, failed != 0);
    Py_RETURN_NONE;
}

/* The request is ours until it is answered, so the lock is not needed. */
static PyObject *request_reveal(request_object *self, PyObject *args)
{
    unsigned int position;
    if (!PyArg_ParseTuple(args, "I", &position)) return NULL;
    if (self->request == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the request has been answered");
        return NULL;
    }
    if (position < 63) self->request->secret_mask &= ~(1ULL << position);
    Py_RETURN_NONE;
}

static PyObject *request_name(request_object *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->name);
}

static PyObject *request_args(request_object *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->args);
}

static PyObject *request_client_id(request_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->client_id);
}

static PyObject *request_database(request_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(self->database);
}

static PyObject *request_resp(request_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(self->resp);
}

static PyObject *request_in_exec(request_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->in_exec);
}

static PyMethodDef request_methods[] = {
    {"answer", (PyCFunction)request_answer, METH_VARARGS, NULL},
    {"reveal", (PyCFunction)request_reveal, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef request_properties[] = {
    {"name", (getter)request_name, NULL, NULL, NULL},
    {"args", (getter)request_args, NULL, NULL, NULL},
    {"client_id", (getter)request_client_id, NULL, NULL, NULL},
    {"database", (getter)request_database, NULL, NULL, NULL},
    {"resp", (getter)request_resp, NULL, NULL, NULL},
    {"in_exec", (getter)request_in_exec, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, (void *)"A command that waits for Python's answer. Answer it exactly once."},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {Py_tp_getset, request_properties},
    {0, NULL},
};

PyType_Spec fe_python_request_spec = {
    .name = "ferrite_py._native.PythonRequest",
    .basicsize = sizeof(request_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_slots,
};
