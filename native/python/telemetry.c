/* Encoder: the constant parts of spans as Python made them, and records to requests with them. */
#include "python/face.h"

#include "event/collect.h"
#include "event/otlp_text.h"
#include "event/rare.h"

#include "base/clock.h"

#define REPLY_BYTES_MAX (64u << 20)
#define CLOCK_PERIOD_NS UINT64_C(5000000000)
#define EVENTS_MAX 64u /* taken at once */

typedef struct encoder_object {
    PyObject_HEAD fe_otlp_format format;
    fe_otlp_command *commands; /* what format.commands points to */
    PyObject *kept;            /* the bytes that the format borrows */
    fe_otlp_batch batch;
    fe_otlp_clock clock;
    uint64_t clock_read_ns; /* when the clock was adjusted last, monotonic */
    server_object *server;  /* NULL: nothing is collected */
    fe_span_collector collector;
    fe_exemplars exemplars; /* where collector.exemplars points to */
    fe_alloc alloc;
} encoder_object;

static bool read_bytes(PyObject *object, fe_bytes *bytes)
{
    char *data;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(object, &data, &len) != 0) return false;
    *bytes = (fe_bytes){(const uint8_t *)data, (size_t)len};
    return true;
}

static bool read_item(PyObject *dict, const char *name, fe_bytes *bytes)
{
    PyObject *item = fe_python_item(dict, name);
    return item != NULL && read_bytes(item, bytes);
}

/* A tuple of `count` items, borrowed. */
static PyObject *tuple_of(PyObject *dict, const char *name, Py_ssize_t count)
{
    PyObject *tuple = fe_python_item(dict, name);
    if (tuple == NULL) return NULL;
    if (!PyTuple_Check(tuple) || (count >= 0 && PyTuple_Size(tuple) != count)) {
        PyErr_Format(PyExc_ValueError, "'%s' must be a tuple of %zd", name, count);
        return NULL;
    }
    return tuple;
}

static bool read_row(PyObject *dict, const char *name, fe_bytes *out, Py_ssize_t count)
{
    PyObject *tuple = tuple_of(dict, name, count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++)
        if (!read_bytes(PyTuple_GetItem(tuple, i), &out[i])) return false;
    return tuple != NULL;
}

static bool read_command(PyObject *pair, fe_otlp_command *command)
{
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_SetString(PyExc_ValueError, "a command must be a tuple of span and name");
        return false;
    }
    return read_bytes(PyTuple_GetItem(pair, 0), &command->span) &&
           read_bytes(PyTuple_GetItem(pair, 1), &command->name);
}

static bool read_commands(encoder_object *self, PyObject *dict)
{
    PyObject *tuple = tuple_of(dict, "commands", -1);
    PyObject *unknown = fe_python_item(dict, "unknown");
    if (tuple == NULL || unknown == NULL) return false;
    Py_ssize_t count = PyTuple_Size(tuple);
    self->commands = PyMem_Calloc(count > 0 ? (size_t)count : 1, sizeof *self->commands);
    if (self->commands == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (!read_command(PyTuple_GetItem(tuple, i), &self->commands[i])) return false;
    self->format.commands = self->commands;
    self->format.command_count = (uint32_t)count;
    return read_command(unknown, &self->format.unknown);
}

static bool read_slots(encoder_object *self, PyObject *dict)
{
    PyObject *tuple = tuple_of(dict, "slots", FE_SLOT_COUNT);
    for (Py_ssize_t i = 0; tuple != NULL && i < FE_SLOT_COUNT; i++) {
        PyObject *names = PyTuple_GetItem(tuple, i);
        if (!PyTuple_Check(names) || PyTuple_Size(names) > (Py_ssize_t)FE_OTLP_NAMES_MAX) {
            PyErr_SetString(PyExc_ValueError, "a slot must be a tuple of at most 2 names");
            return false;
        }
        for (Py_ssize_t j = 0; j < PyTuple_Size(names); j++)
            if (!read_bytes(PyTuple_GetItem(names, j), &self->format.slots[i][j])) return false;
    }
    return tuple != NULL;
}

static bool read_format(encoder_object *self, PyObject *dict)
{
    PyObject *text_max = fe_python_item(dict, "text_max");
    if (text_max == NULL) return false;
    unsigned long limit = PyLong_AsUnsignedLong(text_max);
    if (PyErr_Occurred() != NULL) return false;
    self->format.text_max = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    return read_item(dict, "resource", &self->format.resource) &&
           read_item(dict, "scope", &self->format.scope) &&
           read_item(dict, "place", &self->format.place) && read_commands(self, dict) &&
           read_row(dict, "parts", self->format.parts, FE_PART_COUNT) &&
           read_row(dict, "results", self->format.results, FE_RESULT_REJECTED + 1) &&
           read_slots(self, dict);
}

/* Begins to collect from a server that is open. */
static bool open_collector(encoder_object *self, server_object *server, bool with_exemplars)
{
    const fe_server *open = fe_python_open_server(server);
    if (open == NULL) return false;
    fe_engine *engine = open->engine;
    self->server = (server_object *)Py_NewRef(server);
    fe_span_collector_init(&self->collector, &self->alloc, &engine->telemetry);
    if (!with_exemplars) return true;
    if (!fe_exemplars_init(&self->exemplars, &self->alloc, self->format.command_count,
                           engine->units_per_tick_q20)) {
        PyErr_NoMemory();
        return false;
    }
    self->collector.exemplars = &self->exemplars;
    return true;
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"parts", "server", "exemplars", NULL};
    PyObject *dict, *server = NULL;
    int with_exemplars = 0;
    PyTypeObject *server_type = fe_python_state_of_type(type)->server_type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|O!p", names, &PyDict_Type, &dict,
                                     server_type, &server, &with_exemplars))
        return NULL;
    encoder_object *self = (encoder_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL) return NULL;
    fe_alloc_init(&self->alloc);
    fe_buf_init(&self->batch.buf, &self->alloc, FE_ALLOC_ENGINE);
    self->kept = PyDict_Copy(dict);
    if (self->kept == NULL || !read_format(self, self->kept)) {
        Py_DECREF(self);
        return NULL;
    }
    if (server != NULL && !open_collector(self, (server_object *)server, with_exemplars)) {
        Py_DECREF(self);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS fe_otlp_clock_start(&self->clock, 1000.0 / fe_clock_ticks_per_us());
    Py_END_ALLOW_THREADS return (PyObject *)self;
}

static void encoder_dealloc(encoder_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    fe_buf_free(&self->batch.buf);
    if (self->collector.exemplars != NULL) fe_exemplars_free(&self->exemplars);
    if (self->server != NULL) fe_span_collector_free(&self->collector);
    Py_XDECREF(self->server);
    PyMem_Free(self->commands);
    Py_XDECREF(self->kept);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Whether bytes are whole records that can be trusted; with an exception if not. */
static bool are_records(fe_bytes records)
{
    size_t at = 0;
    while (at < records.len) {
        fe_trace_record record;
        if (records.len - at < sizeof record) break;
        memcpy(&record, records.ptr + at, sizeof record);
        bool sound = record.size % FE_TRACE_ALIGN == 0 && record.size <= records.len - at &&
                     record.size >= sizeof record + record.tail_len &&
                     record.result <= FE_RESULT_REJECTED && record.shift < 32;
        fe_bytes texts[FE_TEXT_COUNT];
        if (!sound || !fe_otlp_text_read((const void *)(records.ptr + at), texts)) break;
        at += record.size;
    }
    if (at == records.len) return true;
    PyErr_Format(PyExc_ValueError, "no sound record at byte %zu", at);
    return false;
}

static PyObject *encoder_encode(encoder_object *self, PyObject *args)
{
    Py_buffer input;
    int detail;
    unsigned long long threshold_ns, base_ticks;
    long long base_ns;
    double ns_per_tick;
    if (!PyArg_ParseTuple(args, "y*iK(KLd)", &input, &detail, &threshold_ns, &base_ticks, &base_ns,
                          &ns_per_tick))
        return NULL;
    PyObject *result = NULL;
    fe_bytes records = {input.buf, (size_t)input.len};
    fe_otlp_limits limits = {(fe_otlp_detail)detail, threshold_ns, UINT32_MAX, REPLY_BYTES_MAX};
    fe_otlp_clock clock = {
        .base_ticks = base_ticks, .base_ns = base_ns, .ns_per_tick = ns_per_tick};
    if (are_records(records)) {
        fe_otlp_source source = {0};
        fe_otlp_begin(&self->format, &self->batch);
        (void)fe_otlp_encode(&self->format, &clock, &limits, &source, records, &self->batch);
        fe_bytes request = fe_otlp_finish(&self->format, &self->batch);
        if (self->batch.buf.failed)
            PyErr_NoMemory();
        else
            result = Py_BuildValue("y#II", request.ptr, (Py_ssize_t)request.len,
                                   self->batch.commands, self->batch.spans);
    }
    PyBuffer_Release(&input);
    return result;
}

/* The server that is collected from, or NULL with RuntimeError. */
static fe_server *server_of(encoder_object *self)
{
    if (self->server != NULL) return fe_python_open_server(self->server);
    PyErr_SetString(PyExc_RuntimeError, "the encoder was made without a server");
    return NULL;
}

static PyObject *encoder_waiting(encoder_object *self, PyObject *unused)
{
    (void)unused;
    if (server_of(self) == NULL) return NULL;
    return PyLong_FromUnsignedLongLong(fe_span_collector_waiting(&self->collector));
}

static void renew_clock(encoder_object *self)
{
    uint64_t now_ns = fe_clock_monotonic_ns();
    if (now_ns - self->clock_read_ns < CLOCK_PERIOD_NS) return;
    self->clock_read_ns = now_ns;
    fe_otlp_clock_renew(&self->clock, CLOCK_PERIOD_NS);
}

/* What the log tells of one record. */
static PyObject *note_of(encoder_object *self, const fe_trace_record *record)
{
    fe_bytes texts[FE_TEXT_COUNT];
    bool sound = fe_otlp_text_read(record, texts);
    FE_ASSERT(sound);
    uint64_t ended = fe_trace_stage_ticks(record, FE_STAGE_ENDED);
    uint64_t begun = fe_trace_stage_ticks(record, FE_STAGE_BEGUN), ticks = ended - begun;
    char trace_id[32], span_id[16];
    fe_trace_id_print(trace_id, record->trace_id);
    fe_span_id_print(span_id, record->span_id);
    fe_bytes key = texts[FE_TEXT_KEY], address = texts[FE_TEXT_ADDRESS];
    uint32_t port;
    if (address.len > 0 && address.ptr[0] == '/') address = fe_otlp_text_host(address, &port);
    fe_bytes error = texts[FE_TEXT_ERROR];
    return Py_BuildValue("(IIOs#s#KKy#y#y#L)", record->command, record->result,
                         record->flags & FE_TRACE_RETAINED ? Py_True : Py_False, trace_id,
                         (Py_ssize_t)sizeof trace_id, span_id, (Py_ssize_t)sizeof span_id,
                         (unsigned long long)((double)ticks * self->clock.ns_per_tick / 1000.0),
                         (unsigned long long)((double)begun * self->clock.ns_per_tick / 1000.0),
                         key.len > 0 ? (const char *)key.ptr : "", (Py_ssize_t)key.len,
                         address.len > 0 ? (const char *)address.ptr : "", (Py_ssize_t)address.len,
                         error.len > 0 ? (const char *)error.ptr : "", (Py_ssize_t)error.len,
                         (long long)fe_otlp_clock_ns(&self->clock, record->start_ticks + ended));
}

static PyObject *notes_of(encoder_object *self)
{
    const fe_buf *notes = &self->collector.notes;
    PyObject *list = PyList_New(0);
    for (size_t at = 0; list != NULL && at < notes->len;) {
        const fe_trace_record *record = (const void *)(notes->data + at);
        PyObject *note = note_of(self, record);
        if (note == NULL || PyList_Append(list, note) != 0) Py_CLEAR(list);
        Py_XDECREF(note);
        at += record->size;
    }
    return list;
}

static PyObject *encoder_collect(encoder_object *self, PyObject *args)
{
    int detail, choice;
    unsigned long long threshold_ns;
    unsigned int commands_max, notes_max;
    unsigned long bytes_max;
    if (!PyArg_ParseTuple(args, "iKIkiI", &detail, &threshold_ns, &commands_max, &bytes_max,
                          &choice, &notes_max))
        return NULL;
    if (server_of(self) == NULL) return NULL;
    fe_otlp_limits limits = {(fe_otlp_detail)detail, threshold_ns, commands_max, bytes_max};
    fe_bytes request = {0};
    self->collector.choice = (fe_note_choice)choice;
    self->collector.notes_max = notes_max;
    Py_BEGIN_ALLOW_THREADS renew_clock(self);
    fe_otlp_begin(&self->format, &self->batch);
    fe_span_collector_take(&self->collector, &self->format, &self->clock, &limits, &self->batch);
    request = fe_otlp_finish(&self->format, &self->batch);
    Py_END_ALLOW_THREADS if (self->batch.buf.failed) return PyErr_NoMemory();
    if (self->batch.records == 0) Py_RETURN_NONE;
    return Py_BuildValue("y#IIIN", request.ptr, (Py_ssize_t)request.len, self->batch.records,
                         self->batch.commands, self->batch.spans, notes_of(self));
}

static PyObject *encoder_look(encoder_object *self, PyObject *args)
{
    int choice;
    unsigned int notes_max;
    if (!PyArg_ParseTuple(args, "iI", &choice, &notes_max) || server_of(self) == NULL) return NULL;
    self->collector.choice = (fe_note_choice)choice;
    self->collector.notes_max = notes_max;
    Py_BEGIN_ALLOW_THREADS renew_clock(self);
    fe_span_collector_look(&self->collector);
    Py_END_ALLOW_THREADS return notes_of(self);
}

static PyObject *encoder_notes_left_out(encoder_object *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->collector.notes_left_out);
}

static PyObject *encoder_confirm(encoder_object *self, PyObject *unused)
{
    (void)unused;
    if (self->collector.exemplars != NULL) fe_exemplars_confirm(&self->exemplars);
    Py_RETURN_NONE;
}

static PyObject *exemplar_object(uint32_t command, const fe_exemplar *exemplar)
{
    char trace_id[32], span_id[16];
    fe_trace_id_print(trace_id, exemplar->trace_id);
    fe_span_id_print(span_id, exemplar->span_id);
    return Py_BuildValue("(IKLs#s#)", command, (unsigned long long)exemplar->units,
                         (long long)exemplar->unix_ns, trace_id, (Py_ssize_t)sizeof trace_id,
                         span_id, (Py_ssize_t)sizeof span_id);
}

static PyObject *encoder_exemplars(encoder_object *self, PyObject *unused)
{
    (void)unused;
    PyObject *list = PyList_New(0);
    uint32_t commands = self->collector.exemplars != NULL ? self->format.command_count : 0;
    for (uint32_t i = 0; list != NULL && i < commands; i++) {
        fe_exemplar found[FE_EXEMPLAR_SLOTS];
        uint32_t count = fe_exemplars_copy(&self->exemplars, i, found);
        for (uint32_t j = 0; list != NULL && j < count; j++) {
            PyObject *one = exemplar_object(i, &found[j]);
            if (one == NULL || PyList_Append(list, one) != 0) Py_CLEAR(list);
            Py_XDECREF(one);
        }
    }
    return list;
}

/* One rare event as Python makes a span of it. */
static PyObject *event_of(const encoder_object *self, const fe_rare_event *event)
{
    PyObject *numbers = PyTuple_New(FE_RARE_NUMBERS);
    for (Py_ssize_t i = 0; numbers != NULL && i < (Py_ssize_t)FE_RARE_NUMBERS; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(event->numbers[i]);
        if (number == NULL || PyTuple_SetItem(numbers, i, number) != 0) Py_CLEAR(numbers);
    }
    if (numbers == NULL) return NULL;
    char state[FE_SAMPLER_STATE_MAX];
    size_t state_len = 0;
    if (event->threshold != 0)
        state_len = fe_sampler_state(state, event->threshold, fe_sampler_low(event->trace_id));
    fe_bytes text = {event->text, event->text_len};
    uint32_t port = 0;
    if (event->kind == FE_RARE_CONNECTION) text = fe_otlp_text_host(text, &port);
    long long began = fe_otlp_clock_ns(&self->clock, event->began);
    long long ended = fe_otlp_clock_ns(&self->clock, event->ended);
    return Py_BuildValue("(iLLy#KKONs#y#I)", event->kind, began, ended > began ? ended : began,
                         event->trace_id, (Py_ssize_t)sizeof event->trace_id,
                         (unsigned long long)event->span_id, (unsigned long long)event->parent_id,
                         event->sampled ? Py_True : Py_False, numbers, state, (Py_ssize_t)state_len,
                         text.ptr, (Py_ssize_t)text.len, port);
}

static PyObject *encoder_events(encoder_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = server_of(self);
    if (server == NULL) return NULL;
    renew_clock(self);
    fe_rare_event events[EVENTS_MAX];
    uint32_t count = fe_rare_take(&server->engine->rare, events, EVENTS_MAX);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        PyObject *event = event_of(self, &events[i]);
        if (event == NULL || PyList_Append(list, event) != 0) Py_CLEAR(list);
        Py_XDECREF(event);
    }
    return list;
}

static PyObject *encoder_events_waiting(encoder_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = server_of(self);
    if (server == NULL) return NULL;
    return PyLong_FromUnsignedLongLong(fe_rare_waiting(&server->engine->rare));
}

static PyObject *encoder_taken(encoder_object *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->collector.taken);
}

static PyObject *encoder_is_pressed(encoder_object *self, PyObject *unused)
{
    (void)unused;
    fe_server *server = server_of(self);
    if (server == NULL) return NULL;
    const fe_engine *engine = server->engine;
    return PyBool_FromLong(fe_telemetry_is_pressed(&engine->telemetry) ||
                           fe_rare_is_pressed(&engine->rare));
}

static PyMethodDef encoder_methods[] = {
    {"taken", (PyCFunction)(void (*)(void))encoder_taken, METH_NOARGS,
     "Commands that were collected. See _native.pyi."},
    {"is_pressed", (PyCFunction)(void (*)(void))encoder_is_pressed, METH_NOARGS,
     "Whether it is time to collect. See _native.pyi."},
    {"events", (PyCFunction)(void (*)(void))encoder_events, METH_NOARGS,
     "Take rare events. See _native.pyi."},
    {"events_waiting", (PyCFunction)(void (*)(void))encoder_events_waiting, METH_NOARGS,
     "Rare events that were recorded and not taken. See _native.pyi."},
    {"waiting", (PyCFunction)(void (*)(void))encoder_waiting, METH_NOARGS,
     "Commands that were recorded and not collected. See _native.pyi."},
    {"collect", (PyCFunction)(void (*)(void))encoder_collect, METH_VARARGS,
     "Encode what was recorded. See _native.pyi."},
    {"look", (PyCFunction)(void (*)(void))encoder_look, METH_VARARGS,
     "What the log may tell of what waits. See _native.pyi."},
    {"notes_left_out", (PyCFunction)(void (*)(void))encoder_notes_left_out, METH_NOARGS,
     "What the log was not told of. See _native.pyi."},
    {"confirm", (PyCFunction)(void (*)(void))encoder_confirm, METH_NOARGS,
     "The receiver has what was collected last. See _native.pyi."},
    {"exemplars", (PyCFunction)(void (*)(void))encoder_exemplars, METH_NOARGS,
     "Commands whose spans the receiver has. See _native.pyi."},
    {"encode", (PyCFunction)(void (*)(void))encoder_encode, METH_VARARGS,
     "Encode records that are given. See _native.pyi."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot encoder_slots[] = {
    {Py_tp_new, encoder_new},
    {Py_tp_dealloc, encoder_dealloc},
    {Py_tp_methods, encoder_methods},
    {0, NULL},
};

PyType_Spec fe_python_encoder_spec = {
    .name = "ferrite_py._native.Encoder",
    .basicsize = sizeof(encoder_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = encoder_slots,
};
