/* What Python sees of the ledger of prefixes (engine/prefixes.h), and of names of keys that are shown. */
#include "python/face.h"

#include "event/texts.h"

#define PORTION 16u /* prefixes are copied at once: 170 KB */

/* What is copied under the lock. */
typedef struct ledger_shot {
    bool by_pattern, on;
    double uses;
    int64_t since_ms, now_ms;
    uint32_t interval, count, copied;
    fe_prefixes_options options;
    uint64_t hashes[FE_PREFIX_COUNT_MAX];
    fe_prefix entries[FE_PREFIX_COUNT_MAX];
    fe_residence_tour tour;
} ledger_shot;

/* The lock is held. Copies the next portion; of a ledger that has begun anew since the first, the first again. */
static void take_portion(const fe_engine *engine, ledger_shot *shot)
{
    const fe_insight *insight = &engine->insight;
    const fe_prefixes *prefixes = shot->by_pattern ? insight->patterns : insight->prefixes;
    shot->on = prefixes != NULL;
    if (!shot->on) return;
    if (prefixes->since_ms != shot->since_ms || prefixes->count < shot->count) shot->copied = 0;
    if (shot->copied == 0) {
        shot->uses = prefixes->uses;
        shot->since_ms = prefixes->since_ms;
        shot->now_ms = engine->now_ms;
        shot->interval = insight->prefix_pace.interval;
        shot->options = prefixes->options;
        shot->count = prefixes->count;
    }
    uint32_t left = shot->count - shot->copied, portion = left < PORTION ? left : PORTION;
    memcpy(&shot->entries[shot->copied], &prefixes->entries[shot->copied],
           portion * sizeof *shot->entries);
    memcpy(&shot->hashes[shot->copied], &prefixes->hashes[shot->copied],
           portion * sizeof *shot->hashes);
    shot->copied += portion;
}

/* Where the bytes lie of what was copied. The lock is given back between steps, and the GIL for all of them. */
static void take_residence(fe_engine *engine, ledger_shot *shot)
{
    fe_residence *residence = &engine->insight.residence;
    Py_BEGIN_ALLOW_THREADS uint64_t entered = fe_engine_enter(engine);
    fe_residence_tour_begin(&shot->tour, residence, engine->store, shot->by_pattern, shot->hashes,
                            shot->count);
    while (fe_residence_tour_step(&shot->tour, residence, engine->store)) {
        fe_engine_leave(engine, FE_STEP_BATCH, entered);
        entered = fe_engine_enter(engine);
    }
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    Py_END_ALLOW_THREADS
}

/* (name, whether it is cut, since when, uses, error, variance, disk reads, hits by tier, misses, misses by reason,
 * bytes read by tier, bytes written, bytes that lie in each tier, errors of these, durations). */
static PyObject *prefix_object(const fe_prefix *prefix, const fe_residence_bytes *lying)
{
    const fe_prefix_effects *effects = &prefix->effects;
    const double *hits = effects->hits, *by = effects->misses_by, *read = effects->read_bytes;
    const double *bytes = lying->bytes, *errors = lying->error;
    return Py_BuildValue(
        "(y#NLdddd(dddd)d(ddddd)(dddd)d(dddd)(dddd)N)", (const char *)prefix->name,
        (Py_ssize_t)prefix->name_len, PyBool_FromLong(prefix->is_cut), (long long)prefix->since_ms,
        prefix->uses, prefix->error, prefix->variance, prefix->disk_reads, hits[0], hits[1],
        hits[2], hits[3], effects->misses, by[0], by[1], by[2], by[3], by[4], read[0], read[1],
        read[2], read[3], effects->written_bytes, bytes[0], bytes[1], bytes[2], bytes[3], errors[0],
        errors[1], errors[2], errors[3], fe_python_exponential(&prefix->durations));
}

static PyObject *ledger_object(const ledger_shot *shot)
{
    _Static_assert(FE_PREFIX_TIERS == 4 && FE_MISS_COUNT == 5, "prefix_object tells all");
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < shot->count; i++) {
        PyObject *one = prefix_object(&shot->entries[i], &shot->tour.found[i]);
        if (one == NULL || PyList_Append(list, one) != 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    if (list == NULL) return NULL;
    return Py_BuildValue("{sdsLsLsIsIsdsdsN}", "uses", shot->uses, "since_ms",
                         (long long)shot->since_ms, "now_ms", (long long)shot->now_ms, "interval",
                         shot->interval, "room", shot->options.count, "disk_bytes",
                         shot->tour.disk_live, "disk_bytes_known", shot->tour.disk_known,
                         "prefixes", list);
}

PyObject *fe_python_prefixes(fe_server *server, PyObject *args)
{
    int by_pattern;
    if (!PyArg_ParseTuple(args, "p:prefixes", &by_pattern)) return NULL;
    ledger_shot *shot = PyMem_Malloc(sizeof *shot);
    if (shot == NULL) return PyErr_NoMemory();
    shot->by_pattern = by_pattern != 0;
    shot->copied = shot->count = 0;
    shot->since_ms = 0;
    do
        FE_LOCKED(server->engine, take_portion(server->engine, shot));
    while (shot->on && shot->copied < shot->count);
    if (shot->on) take_residence(server->engine, shot);
    PyObject *found = shot->on ? ledger_object(shot) : Py_NewRef(Py_None);
    PyMem_Free(shot);
    return found;
}

PyObject *fe_python_reset_prefixes(fe_server *server)
{
    fe_engine *engine = server->engine;
    FE_LOCKED(engine, fe_insight_reset_prefixes(&engine->insight, engine->now_ms));
    Py_RETURN_NONE;
}

/* Hashed twice, as in spans (session/trace.c): the first hash is nobody else's to know. */
static PyObject *hashed_name(const fe_server *server, fe_bytes name)
{
    const fe_hash_seed *seed = fe_store_seed(server->engine->store);
    uint64_t first = fe_key_hash(seed, name);
    uint64_t second = fe_hash(seed, (const uint8_t *)&first, sizeof first);
    char digits[16];
    fe_span_id_print(digits, second);
    return PyBytes_FromStringAndSize(digits, sizeof digits);
}

PyObject *fe_python_shown_name(fe_server *server, PyObject *args)
{
    const char *text, *mode;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "y#s:shown_name", &text, &len, &mode)) return NULL;
    fe_bytes name = {(const uint8_t *)text, (size_t)len};
    if (strcmp(mode, "off") == 0) Py_RETURN_NONE;
    if (strcmp(mode, "hashed") == 0) return hashed_name(server, name);
    if (strcmp(mode, "pattern") == 0) {
        uint8_t pattern[FE_TEXT_KEY_MAX];
        size_t kept = fe_texts_pattern(name, pattern);
        return PyBytes_FromStringAndSize((const char *)pattern, (Py_ssize_t)kept);
    }
    if (strcmp(mode, "full") != 0) return PyErr_Format(PyExc_ValueError, "no such mode: %s", mode);
    if (name.len > FE_TEXT_KEY_MAX) name.len = FE_TEXT_KEY_MAX;
    return PyBytes_FromStringAndSize(text, (Py_ssize_t)name.len);
}
