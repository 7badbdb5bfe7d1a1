/* What Python sees of the engine's insight (engine/insight.h): points of the hit-ratio curve, hot keys. */
#include "python/face.h"

#define SIZES_MAX 1024

/* Reads a sequence of sizes in bytes; -1 with an exception set. */
static Py_ssize_t read_sizes(PyObject *sequence, uint64_t sizes[SIZES_MAX])
{
    Py_ssize_t count = PySequence_Size(sequence);
    if (count > SIZES_MAX) PyErr_Format(PyExc_ValueError, "more than %d sizes", SIZES_MAX);
    if (count < 0 || count > SIZES_MAX) return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        if (item == NULL) return -1;
        sizes[i] = PyLong_AsUnsignedLongLong(item);
        Py_DECREF(item);
        if (PyErr_Occurred()) return -1;
    }
    return count;
}

/* What is copied under the lock. */
typedef struct curve_shot {
    bool on;
    double seconds;
    fe_mrc curve; /* only to be read; what it points to is the engine's */
} curve_shot;

static void take_shot(const fe_engine *engine, curve_shot *shot)
{
    const fe_insight *insight = &engine->insight;
    shot->on = insight->curve != NULL;
    if (!shot->on) return;
    shot->curve = *insight->curve;
    shot->seconds = fe_insight_curve_seconds(insight, engine->now_ms);
}

PyObject *fe_python_curve(fe_server *server, PyObject *sequence)
{
    uint64_t sizes[SIZES_MAX];
    Py_ssize_t count = read_sizes(sequence, sizes);
    if (count < 0) return NULL;
    curve_shot shot;
    FE_LOCKED(server->engine, take_shot(server->engine, &shot));
    if (!shot.on) Py_RETURN_NONE;
    PyObject *ratios = PyList_New(count);
    for (Py_ssize_t i = 0; ratios != NULL && i < count; i++) {
        PyObject *ratio = PyFloat_FromDouble(fe_mrc_hit_ratio(&shot.curve, sizes[i]));
        if (ratio == NULL || PyList_SetItem(ratios, i, ratio) != 0) Py_CLEAR(ratios);
    }
    if (ratios == NULL) return NULL;
    return Py_BuildValue("{sdsdsdsIsN}", "rate", fe_mrc_rate(&shot.curve), "reads",
                         fe_mrc_reads(&shot.curve), "seconds", shot.seconds, "keys",
                         shot.curve.stacked, "ratios", ratios);
}

/* (database, name, whether it is cut, amount per second, its error at most). */
static PyObject *hot_list(const fe_hot_table *table, int64_t now_ms, double scale)
{
    fe_hot_line lines[FE_HOT_KEYS];
    uint32_t count = fe_hot_list(table, now_ms, lines);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        const fe_hot_key *key = lines[i].key;
        PyObject *one = Py_BuildValue("(Iy#Ndd)", key->db, (const char *)key->name,
                                      (Py_ssize_t)key->name_len, PyBool_FromLong(key->is_cut),
                                      lines[i].per_second * scale, lines[i].error * scale);
        if (one == NULL || PyList_Append(list, one) != 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

PyObject *fe_python_hot_keys(fe_server *server, PyObject *number)
{
    fe_engine *engine = server->engine;
    long by = PyLong_AsLong(number);
    if (by == -1 && PyErr_Occurred()) return NULL;
    if (by < 0 || by >= FE_HOT_BY_COUNT) return PyErr_Format(PyExc_ValueError, "no such order");
    fe_hot_table *table = PyMem_Malloc(sizeof *table);
    if (table == NULL) return PyErr_NoMemory();
    bool on;
    int64_t now_ms = 0;
    FE_LOCKED(engine, {
        on = engine->insight.hot != NULL;
        if (on) *table = engine->insight.hot->by[by];
        now_ms = engine->now_ms;
    });
    double scale = by == FE_HOT_TICKS ? 1 / engine->ticks_per_us : 1;
    PyObject *found = on ? hot_list(table, now_ms, scale) : Py_NewRef(Py_None);
    PyMem_Free(table);
    return found;
}
