/* Reactor and Stream: the two transports, as Python sees them. */
#include "python/face.h"

#include "session/trace.h"

#define REACTORS_MAX 1024 /* that admit() takes; server.io_threads allows fewer */

/* Reactor. ------------------------------------------------------------------------------------------------ */

typedef struct reactor_object {
    PyObject_HEAD server_object *owner;
    fe_reactor *reactor; /* NULL once joined */
} reactor_object;

static PyObject *reactor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"server", "number", NULL};
    module_state *state = fe_python_state_of_type(type);
    server_object *owner;
    unsigned int number;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!I", names, state->server_type, &owner,
                                     &number))
        return NULL;
    fe_server *server = fe_python_open_server(owner);
    if (server == NULL) return NULL;
    reactor_object *self = (reactor_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL) return NULL;
    self->reactor = fe_reactor_start(server, number);
    if (self->reactor == NULL) {
        PyErr_SetString(PyExc_OSError,
                        "cannot start a reactor: no memory, descriptors or threads left");
        Py_DECREF(self);
        return NULL;
    }
    self->owner = (server_object *)Py_NewRef((PyObject *)owner);
    owner->users++;
    return (PyObject *)self;
}

static PyObject *reactor_join(reactor_object *self, PyObject *unused)
{
    (void)unused;
    if (self->reactor == NULL) Py_RETURN_NONE;
    fe_reactor *reactor = self->reactor;
    self->reactor = NULL;
    Py_BEGIN_ALLOW_THREADS fe_reactor_join(reactor);
    Py_END_ALLOW_THREADS self->owner->users--;
    Py_RETURN_NONE;
}

static void reactor_dealloc(reactor_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->reactor != NULL) {
        fe_reactor_drain(self->reactor, 0);
        PyObject *joined = reactor_join(self, NULL);
        Py_XDECREF(joined);
    }
    Py_XDECREF((PyObject *)self->owner);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static bool reactor_is_open(const reactor_object *self)
{
    if (self->reactor == NULL) PyErr_SetString(PyExc_RuntimeError, "the reactor has ended");
    return self->reactor != NULL;
}

static PyObject *reactor_drain(reactor_object *self, PyObject *args)
{
    unsigned int deadline_ms;
    if (!PyArg_ParseTuple(args, "I", &deadline_ms)) return NULL;
    if (!reactor_is_open(self)) return NULL;
    fe_reactor_drain(self->reactor, deadline_ms);
    Py_RETURN_NONE;
}

static PyObject *reactor_connections(reactor_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(self->reactor == NULL ? 0
                                                         : fe_reactor_connections(self->reactor));
}

static PyMethodDef reactor_methods[] = {
    {"drain", (PyCFunction)reactor_drain, METH_VARARGS, NULL},
    {"join", (PyCFunction)reactor_join, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef reactor_properties[] = {
    {"connections", (getter)reactor_connections, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot reactor_slots[] = {
    {Py_tp_doc, (void *)"A native thread that serves connections without the GIL."},
    {Py_tp_new, reactor_new},
    {Py_tp_dealloc, reactor_dealloc},
    {Py_tp_methods, reactor_methods},
    {Py_tp_getset, reactor_properties},
    {0, NULL},
};

PyType_Spec fe_python_reactor_spec = {
    .name = "ferrite_py._native.Reactor",
    .basicsize = sizeof(reactor_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reactor_slots,
};

/* Borrows the open reactors of a tuple; false with an exception. */
static bool read_reactors(PyObject *tuple, fe_reactor *reactors[REACTORS_MAX], fe_door *door)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (count < 1 || count > REACTORS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too few or too many reactors");
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        reactor_object *one = (reactor_object *)PyTuple_GetItem(tuple, i);
        if (!reactor_is_open(one)) return false;
        reactors[i] = one->reactor;
    }
    door->reactors = reactors;
    door->reactor_count = (uint32_t)count;
    return true;
}

/* Nothing joins a reactor meanwhile: the loop's thread, which calls this, has to stop listening before. */
PyObject *fe_python_admit(PyObject *module, PyObject *args)
{
    const module_state *state = fe_python_state(module);
    fe_reactor *reactors[REACTORS_MAX];
    fe_door door = {0};
    PyObject *tuple;
    unsigned int most, connections_max, keepalive_s;
    int refuses_strangers;
    const char *too_many, *denied;
    Py_ssize_t too_many_len, denied_len;
    if (!PyArg_ParseTuple(args, "izO!IIpI(y#y#)", &door.fd, &door.name, &PyTuple_Type, &tuple,
                          &most, &connections_max, &refuses_strangers, &keepalive_s, &too_many,
                          &too_many_len, &denied, &denied_len))
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_Size(tuple); i++)
        if (!PyObject_TypeCheck(PyTuple_GetItem(tuple, i), state->reactor_type))
            return PyErr_Format(PyExc_TypeError, "not a Reactor");
    if (!read_reactors(tuple, reactors, &door)) return NULL;
    door.connections_max = connections_max;
    door.refuses_strangers = refuses_strangers != 0;
    door.keepalive_s = keepalive_s;
    door.too_many = (fe_bytes){(const uint8_t *)too_many, (size_t)too_many_len};
    door.denied = (fe_bytes){(const uint8_t *)denied, (size_t)denied_len};
    fe_engine *engine = ((reactor_object *)PyTuple_GetItem(tuple, 0))->owner->server->engine;
    fe_admission done;
    Py_BEGIN_ALLOW_THREADS done = fe_door_admit(&door, most);
    Py_END_ALLOW_THREADS if (done.refused > 0)
        FE_LOCKED(engine, engine->stats.connections_rejected += done.refused);
    return Py_BuildValue("(IIIi)", done.admitted, done.refused, done.lost, done.exhausted);
}

/* Stream. ------------------------------------------------------------------------------------------------- */

/* fe_client.wake: the lock is held, any thread, no GIL. */
static void stream_wake(fe_client *client)
{
    fe_session *session = (fe_session *)client;
    if (session->woken) return;
    stream_object *self = session->transport;
    session->woken = true;
    self->woken_next = NULL;
    if (self->owner->woken == NULL)
        self->owner->woken = self;
    else
        self->owner->woken_last->woken_next = self;
    self->owner->woken_last = self;
    fe_server *server = session->server;
    server->python_notify(server->python_context);
}

static void stream_wake_nothing(fe_client *client)
{
    (void)client;
}

/* Makes the recorder of the streams' thread when there is none; false without memory. */
static bool make_recorder(server_object *owner, fe_server *server)
{
    if (owner->recorder == NULL)
        FE_LOCKED(server->engine, owner->recorder = fe_recorder_new(&server->engine->telemetry));
    if (owner->recorder == NULL) PyErr_NoMemory();
    return owner->recorder != NULL;
}

static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"server", "addr", "laddr", "unix_socket", "fd", NULL};
    module_state *state = fe_python_state_of_type(type);
    server_object *owner;
    const char *addr, *laddr;
    Py_ssize_t addr_len, laddr_len;
    int unix_socket, fd;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!s#s#pi", names, state->server_type, &owner,
                                     &addr, &addr_len, &laddr, &laddr_len, &unix_socket, &fd))
        return NULL;
    fe_server *server = fe_python_open_server(owner);
    if (server == NULL || !make_recorder(owner, server)) return NULL;
    stream_object *self = (stream_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL) return NULL;
    self->owner = (server_object *)Py_NewRef((PyObject *)owner);
    self->batch = PyMem_Calloc(1, sizeof *self->batch);
    if (self->batch != NULL) {
        Py_BEGIN_ALLOW_THREADS self->session =
            fe_session_open(server, (fe_bytes){(const uint8_t *)addr, (size_t)addr_len},
                            (fe_bytes){(const uint8_t *)laddr, (size_t)laddr_len}, unix_socket != 0,
                            fd, stream_wake, self);
        Py_END_ALLOW_THREADS
    }
    if (self->session == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->session->recorder = owner->recorder;
    owner->users++;
    return (PyObject *)self;
}

/* The lock is held. */
static void leave_woken(stream_object *self, fe_session *session)
{
    if (!session->woken) return;
    server_object *owner = self->owner;
    stream_object *before = NULL;
    for (stream_object *at = owner->woken; at != self; at = at->woken_next)
        before = at;
    if (before != NULL)
        before->woken_next = self->woken_next;
    else
        owner->woken = self->woken_next;
    if (owner->woken_last == self) owner->woken_last = before;
    session->woken = false;
}

static PyObject *stream_close(stream_object *self, PyObject *unused)
{
    (void)unused;
    if (self->session == NULL) Py_RETURN_NONE;
    fe_session *session = self->session;
    self->session = NULL;
    Py_BEGIN_ALLOW_THREADS fe_lock_enter(&session->server->engine->lock);
    leave_woken(self, session);
    session->client.wake = stream_wake_nothing;
    fe_lock_leave(&session->server->engine->lock);
    fe_session_close(session);
    fe_event_ring_publish(&self->owner->recorder->ring);
    Py_END_ALLOW_THREADS self->owner->users--;
    Py_RETURN_NONE;
}

static void stream_dealloc(stream_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *closed = stream_close(self, NULL);
    Py_XDECREF(closed);
    PyMem_Free(self->batch);
    Py_XDECREF((PyObject *)self->owner);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static bool stream_is_open(const stream_object *self)
{
    if (self->session == NULL) PyErr_SetString(PyExc_RuntimeError, "the stream is closed");
    return self->session != NULL;
}

/* Takes the replies out of the session: they are the transport's from now on. */
static PyObject *take_output(stream_object *self)
{
    fe_buf *output = &self->session->client.output;
    PyObject *reply =
        PyBytes_FromStringAndSize((const char *)output->data, (Py_ssize_t)output->len);
    if (reply == NULL) return NULL;
    self->session->writes += output->len > 0;
    self->session->sent += output->len;
    self->session->client.net_out += output->len;
    if (output->cap > 64u * 1024u)
        fe_buf_free(output);
    else
        output->len = 0;
    fe_trace_sent(self->session);
    fe_event_ring_publish(&self->owner->recorder->ring);
    return reply;
}

static PyObject *stream_feed(stream_object *self, PyObject *args)
{
    Py_buffer data;
    Py_ssize_t unsent;
    if (!PyArg_ParseTuple(args, "y*n", &data, &unsent)) return NULL;
    if (!stream_is_open(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    fe_session *session = self->session;
    session->unsent = (size_t)unsent;
    if (fe_trace_is_on(session)) session->recorder->readable = fe_clock_ticks();
    Py_BEGIN_ALLOW_THREADS fe_session_receive(session, data.buf, (size_t)data.len);
    fe_server_serve(session->server, self->batch, &session, 1);
    Py_END_ALLOW_THREADS PyBuffer_Release(&data);
    return take_output(self);
}

static PyObject *stream_resume(stream_object *self, PyObject *args)
{
    Py_ssize_t unsent;
    if (!PyArg_ParseTuple(args, "n", &unsent)) return NULL;
    if (!stream_is_open(self)) return NULL;
    self->session->unsent = (size_t)unsent;
    Py_BEGIN_ALLOW_THREADS fe_session_resume(self->session, self->batch);
    Py_END_ALLOW_THREADS return take_output(self);
}

static PyObject *stream_wait_no_more(stream_object *self, PyObject *args)
{
    Py_ssize_t unsent;
    if (!PyArg_ParseTuple(args, "n", &unsent)) return NULL;
    if (!stream_is_open(self)) return NULL;
    self->session->unsent = (size_t)unsent;
    Py_BEGIN_ALLOW_THREADS fe_session_wait_no_more(self->session, self->batch);
    Py_END_ALLOW_THREADS return take_output(self);
}

static PyObject *stream_cron(stream_object *self, PyObject *args)
{
    Py_ssize_t unsent;
    if (!PyArg_ParseTuple(args, "n", &unsent)) return NULL;
    if (!stream_is_open(self)) return NULL;
    self->session->unsent = (size_t)unsent;
    Py_BEGIN_ALLOW_THREADS fe_session_cron(self->session);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyObject *stream_wants_input(stream_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->session != NULL && fe_session_wants_input(self->session));
}

static PyObject *stream_closing(stream_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->session == NULL || self->session->state == FE_SESSION_CLOSING);
}

static PyObject *stream_cut_off(stream_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->session == NULL || self->session->cut_off);
}

static PyObject *stream_waits(stream_object *self, void *unused)
{
    (void)unused;
    if (self->session == NULL || self->session->state != FE_SESSION_PARKED) Py_RETURN_FALSE;
    /* A pause without an end is another client's EXEC, which waits for a coroutine itself. */
    bool held = self->session->park == FE_PARK_PAUSE && self->session->due_ms == 0;
    bool disk = self->session->park == FE_PARK_DISK || self->session->park == FE_PARK_ROOM;
    return PyBool_FromLong(self->session->park == FE_PARK_PYTHON || held || disk);
}

static PyObject *stream_due_ms(stream_object *self, void *unused)
{
    (void)unused;
    bool due = self->session != NULL && self->session->state == FE_SESSION_PARKED &&
               self->session->due_ms != INT64_MAX;
    return PyLong_FromLongLong(due ? self->session->due_ms : 0);
}

static PyMethodDef stream_methods[] = {
    {"feed", (PyCFunction)stream_feed, METH_VARARGS, NULL},
    {"resume", (PyCFunction)stream_resume, METH_VARARGS, NULL},
    {"wait_no_more", (PyCFunction)stream_wait_no_more, METH_VARARGS, NULL},
    {"cron", (PyCFunction)stream_cron, METH_VARARGS, NULL},
    {"close", (PyCFunction)stream_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stream_properties[] = {
    {"wants_input", (getter)stream_wants_input, NULL, NULL, NULL},
    {"closing", (getter)stream_closing, NULL, NULL, NULL},
    {"cut_off", (getter)stream_cut_off, NULL, NULL, NULL},
    {"waits", (getter)stream_waits, NULL, NULL, NULL},
    {"due_ms", (getter)stream_due_ms, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, (void *)"A session whose bytes are carried by Python."},
    {Py_tp_new, stream_new},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_getset, stream_properties},
    {0, NULL},
};

PyType_Spec fe_python_stream_spec = {
    .name = "ferrite_py._native.Stream",
    .basicsize = sizeof(stream_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stream_slots,
};
