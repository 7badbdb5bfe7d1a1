/* inspect_segment: the check of one segment file (store/image_check.h) for the offline inspector. */
#include "python/face.h"

#include <errno.h>
#include <unistd.h>

#include "store/image_check.h"

#define DAMAGE_MAX 1000u /* kept of one file; more are counted */

typedef struct damage {
    fe_image_fault fault;
    int error;
} damage;

typedef struct inspection {
    fe_image_check check;
    int fd;
    uint32_t damage_count;
    damage damages[DAMAGE_MAX];
} inspection;

static int64_t read_file(void *context, uint8_t *buffer, size_t size, uint64_t offset)
{
    const inspection *self = context;
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(self->fd, buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static void note_damage(void *context, const fe_image_fault *fault, int error)
{
    inspection *self = context;
    if (self->damage_count < DAMAGE_MAX)
        self->damages[self->damage_count++] = (damage){*fault, error};
}

static PyObject *head_dict(const fe_image_head *head)
{
    if (head->magic == 0) return Py_NewRef(Py_None);
    return Py_BuildValue("{sI sI sI sK sK sK sI sI sL sL sL sK sK}", "version", head->version,
                         "number", head->number, "generation", head->generation, "sequence",
                         (unsigned long long)head->sequence, "used", (unsigned long long)head->used,
                         "record_bytes", (unsigned long long)head->live, "records", head->records,
                         "expires", head->expires, "deadline_min", (long long)head->deadline_min,
                         "deadline_max", (long long)head->deadline_max, "created_ms",
                         (long long)head->created_ms, "record_bytes_max",
                         (unsigned long long)head->record_max * 8, "seed_check",
                         (unsigned long long)head->seed_check);
}

static PyObject *keyspace_dict(const fe_image_check *check)
{
    PyObject *dict = PyDict_New();
    for (uint32_t id = 1; dict != NULL && id <= FE_KEYSPACE_MAX; id++) {
        if (check->keyspaces[id] == 0) continue;
        PyObject *key = PyLong_FromUnsignedLong(id);
        PyObject *value = PyLong_FromUnsignedLong(check->keyspaces[id]);
        bool ok = key != NULL && value != NULL && PyDict_SetItem(dict, key, value) == 0;
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (!ok) Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *damage_list(const inspection *self)
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < self->damage_count; i++) {
        const damage *from = &self->damages[i];
        PyObject *entry = Py_BuildValue("(Ksi)", (unsigned long long)from->fault.offset,
                                        from->fault.cause, from->error);
        if (entry == NULL || PyList_Append(list, entry) != 0) Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

static PyObject *result_dict(const inspection *self)
{
    /* N takes the references over, and fails when one of them is NULL. */
    return Py_BuildValue("{sN sN sK sN sK}", "head", head_dict(&self->check.head), "keyspaces",
                         keyspace_dict(&self->check), "records_sound",
                         (unsigned long long)self->check.records_sound, "damage", damage_list(self),
                         "damage_count", (unsigned long long)self->check.faults);
}

PyObject *fe_python_inspect_segment(PyObject *module, PyObject *args)
{
    int fd, with_records;
    unsigned long long size;
    (void)module;
    if (!PyArg_ParseTuple(args, "iKp:inspect_segment", &fd, &size, &with_records)) return NULL;
    inspection *self = PyMem_RawMalloc(sizeof *self);
    if (self == NULL) return PyErr_NoMemory();
    self->fd = fd;
    self->damage_count = 0;
    self->check.read = read_file;
    self->check.report = note_damage;
    self->check.context = self;
    self->check.file_size = size;
    self->check.with_records = with_records != 0;
    Py_BEGIN_ALLOW_THREADS fe_image_check_run(&self->check);
    Py_END_ALLOW_THREADS PyObject *result = result_dict(self);
    PyMem_RawFree(self);
    return result;
}
