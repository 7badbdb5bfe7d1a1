/* Snapshots of the engine's numbers and of the command table, as Python objects. */
#include "python/shot.h"

static bool put(PyObject *dict, const char *name, PyObject *value)
{
    if (value == NULL) return false;
    int status = PyDict_SetItemString(dict, name, value);
    Py_DECREF(value);
    return status == 0;
}

static bool put_u64(PyObject *dict, const char *name, uint64_t value)
{
    return put(dict, name, PyLong_FromUnsignedLongLong(value));
}

static bool put_engine(PyObject *dict, const fe_shot *shot)
{
    const fe_engine_stats *engine = &shot->engine;
    return put_u64(dict, "commands", engine->commands) &&
           put_u64(dict, "connections", engine->connections) &&
           put_u64(dict, "connections_rejected", engine->connections_rejected) &&
           put_u64(dict, "net_in", engine->net_in) && put_u64(dict, "net_out", engine->net_out) &&
           put_u64(dict, "error_replies", engine->error_replies) &&
           put_u64(dict, "output_kills", engine->output_kills) &&
           put_u64(dict, "query_kills", engine->query_kills) &&
           put_u64(dict, "memory_kills", engine->memory_kills) &&
           put_u64(dict, "timeout_kills", engine->timeout_kills) &&
           put_u64(dict, "protocol_errors", engine->protocol_errors) &&
           put_u64(dict, "memory_peak", engine->memory_peak) &&
           put_u64(dict, "used_memory", shot->used) &&
           put_u64(dict, "memory_log", shot->by_class[FE_ALLOC_LOG]) &&
           put_u64(dict, "memory_index", shot->by_class[FE_ALLOC_INDEX]) &&
           put_u64(dict, "memory_client", shot->by_class[FE_ALLOC_CLIENT]) &&
           put_u64(dict, "memory_engine", shot->by_class[FE_ALLOC_ENGINE]) &&
           put_u64(dict, "memory_scratch", shot->by_class[FE_ALLOC_SCRATCH]) &&
           put_u64(dict, "reads", engine->reads) && put_u64(dict, "writes", engine->writes) &&
           put_u64(dict, "clients", shot->clients) &&
           put_u64(dict, "client_max_input", shot->client_max_input) &&
           put_u64(dict, "client_max_output", shot->client_max_output) &&
           put_u64(dict, "blocked_clients", shot->blocked_clients) &&
           put_u64(dict, "timed_clients", shot->timed_clients) &&
           put_u64(dict, "clients_memory", shot->clients_memory) &&
           put_u64(dict, "monitors", shot->monitors) && put_u64(dict, "watches", shot->watches) &&
           put_u64(dict, "python_waiting", shot->python_waiting) &&
           put_u64(dict, "slowlog_length", shot->slowlog_length) &&
           put(dict, "started_ms", PyLong_FromLongLong(shot->started_ms)) &&
           put(dict, "now_ms", PyLong_FromLongLong(shot->now_ms));
}

static bool put_store(PyObject *dict, const fe_store_stats *store)
{
    return put_u64(dict, "hits", store->hits) && put_u64(dict, "misses", store->misses) &&
           put_u64(dict, "expired_keys", store->expired_keys) &&
           put_u64(dict, "expired_steps", store->expired_steps) &&
           put_u64(dict, "evicted_keys", store->evicted_keys) &&
           put_u64(dict, "changes", store->changes) &&
           put_u64(dict, "compacted_segments", store->compacted_segments) &&
           put_u64(dict, "compacted_bytes", store->compacted_bytes) &&
           put_u64(dict, "in_place", store->in_place) &&
           put_u64(dict, "appended", store->appended) &&
           put_u64(dict, "log_bytes", store->log_bytes) &&
           put_u64(dict, "log_live_bytes", store->log_live_bytes) &&
           put_u64(dict, "log_segments", store->log_segments) &&
           put_u64(dict, "index_bytes", store->index_bytes) &&
           put_u64(dict, "index_buckets", store->index_buckets) &&
           put_u64(dict, "index_overflow_buckets", store->index_overflow_buckets) &&
           put_u64(dict, "lazyfree_pending", store->trash_mappings) &&
           put_u64(dict, "lazyfreed", store->trash_unmapped) &&
           put_u64(dict, "lent_values", store->lent_values) &&
           put_u64(dict, "held_mappings", store->held_mappings) &&
           put_u64(dict, "held_bytes", store->held_bytes) &&
           put_u64(dict, "index_splits", store->index_splits) &&
           put_u64(dict, "index_merges", store->index_merges) &&
           put_u64(dict, "expired_unreclaimed_bytes", store->expired_unreclaimed_bytes);
}

static bool put_misses(PyObject *dict, const fe_miss_stats *misses)
{
    for (int i = 0; i < FE_MISS_COUNT; i++) {
        char name[64];
        PyOS_snprintf(name, sizeof name, "misses_%s", fe_miss_name((fe_miss)i));
        if (!put_u64(dict, name, misses->by[i])) return false;
        PyOS_snprintf(name, sizeof name, "gone_%s", fe_miss_name((fe_miss)i));
        if (i != FE_MISS_NEVER_SEEN && !put_u64(dict, name, misses->keys_by[i])) return false;
    }
    return put_u64(dict, "gone_bytes", misses->bytes) &&
           put_u64(dict, "gone_capacity", misses->capacity) &&
           put_u64(dict, "gone_keys", misses->keys) &&
           put_u64(dict, "gone_pending", misses->pending) &&
           put_u64(dict, "gone_forgotten", misses->forgotten) &&
           put(dict, "gone_error", PyFloat_FromDouble(misses->error));
}

static bool put_steps(PyObject *dict, const fe_shot *shot)
{
    for (int i = 0; i < FE_STEP_KIND_COUNT; i++) {
        const fe_step_stats *step = &shot->engine.steps[i];
        char name[64];
        PyOS_snprintf(name, sizeof name, "step_%s_count", fe_python_step_name((fe_step_kind)i));
        if (!put_u64(dict, name, step->count)) return false;
        PyOS_snprintf(name, sizeof name, "step_%s_us_total", fe_python_step_name((fe_step_kind)i));
        if (!put_u64(dict, name, (uint64_t)((double)step->ticks_total / shot->ticks_per_us)))
            return false;
        PyOS_snprintf(name, sizeof name, "step_%s_us_max", fe_python_step_name((fe_step_kind)i));
        if (!put_u64(dict, name, (uint64_t)((double)step->ticks_max / shot->ticks_per_us)))
            return false;
        PyOS_snprintf(name, sizeof name, "step_%s_cpu_us_max",
                      fe_python_step_name((fe_step_kind)i));
        if (!put_u64(dict, name, step->cpu_ns_max / 1000)) return false;
    }
    return true;
}

PyObject *fe_python_statistics(fe_server *server)
{
    fe_shot shot;
    FE_LOCKED(server->engine, fe_python_take_shot(server, &shot));
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
    if (put_engine(dict, &shot) && put_store(dict, &shot.store) && put_misses(dict, &shot.misses) &&
        put_steps(dict, &shot))
        return dict;
    Py_DECREF(dict);
    return NULL;
}

PyObject *fe_python_counters(fe_server *server)
{
    fe_engine *engine = server->engine;
    uint64_t commands, net_in, net_out, used;
    FE_LOCKED(engine, {
        used = fe_python_note_peak(engine);
        commands = engine->stats.commands;
        net_in = engine->stats.net_in;
        net_out = engine->stats.net_out;
    });
    return Py_BuildValue("{s:K,s:K,s:K,s:K}", "commands", (unsigned long long)commands, "net_in",
                         (unsigned long long)net_in, "net_out", (unsigned long long)net_out,
                         "used_memory", (unsigned long long)used);
}

PyObject *fe_python_heap(fe_server *server)
{
    uint64_t allocated, active;
    bool known;
    Py_BEGIN_ALLOW_THREADS known = fe_alloc_heap(&server->engine->alloc, &allocated, &active);
    Py_END_ALLOW_THREADS if (!known) Py_RETURN_NONE;
    return Py_BuildValue("(KK)", (unsigned long long)allocated, (unsigned long long)active);
}

PyObject *fe_python_error_counts(fe_server *server)
{
    fe_error_count errors[FE_ERROR_KINDS_MAX];
    FE_LOCKED(server->engine, memcpy(errors, server->engine->errors, sizeof errors));
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
    for (int i = 0; i < FE_ERROR_KINDS_MAX && errors[i].count > 0; i++) {
        PyObject *name =
            PyUnicode_DecodeLatin1(errors[i].code, (Py_ssize_t)strlen(errors[i].code), NULL);
        PyObject *count = PyLong_FromUnsignedLongLong(errors[i].count);
        bool ok = name != NULL && count != NULL && PyDict_SetItem(dict, name, count) == 0;
        Py_XDECREF(name);
        Py_XDECREF(count);
        if (ok) continue;
        Py_DECREF(dict);
        return NULL;
    }
    return dict;
}

PyObject *fe_python_databases(fe_server *server)
{
    uint32_t count = fe_store_get_options(server->engine->store)->databases;
    fe_database_stats *stats = PyMem_Calloc(count, sizeof *stats);
    if (stats == NULL) return PyErr_NoMemory();
    FE_LOCKED(server->engine, for (uint32_t i = 0; i < count; i++)
                                  fe_store_db_stats(server->engine->store, i, &stats[i]));
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; i < count && list != NULL; i++) {
        PyObject *entry =
            Py_BuildValue("(KKL)", (unsigned long long)stats[i].keys,
                          (unsigned long long)stats[i].expires, (long long)stats[i].average_ttl_ms);
        if (entry == NULL || PyList_Append(list, entry) != 0) Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    PyMem_Free(stats);
    return list;
}

/* The command table. ------------------------------------------------------------------------------------ */

typedef struct name_of_bit {
    uint32_t bit;
    const char *name;
} name_of_bit;

static const name_of_bit flag_names[] = {
    {FE_WRITE, "write"},
    {FE_READONLY, "readonly"},
    {FE_DENYOOM, "denyoom"},
    {FE_ADMIN, "admin"},
    {FE_NOSCRIPT, "noscript"},
    {FE_BLOCKING, "blocking"},
    {FE_LOADING, "loading"},
    {FE_STALE, "stale"},
    {FE_SKIP_MONITOR, "skip_monitor"},
    {FE_SKIP_SLOWLOG, "skip_slowlog"},
    {FE_FAST, "fast"},
    {FE_NO_AUTH, "no_auth"},
    {FE_NO_MULTI, "no_multi"},
    {FE_ALLOW_BUSY, "allow_busy"},
    {FE_NO_ASYNC_LOADING, "no_async_loading"},
    {FE_MAY_REPLICATE, "may_replicate"},
    {FE_MOVABLE_KEYS, "movablekeys"},
    {FE_PUBSUB, "pubsub"},
    {FE_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {FE_PROTECTED, "protected"},
    {0, NULL},
};

static const name_of_bit category_names[] = {
    {FE_CAT_KEYSPACE, "keyspace"},     {FE_CAT_STRING, "string"},
    {FE_CAT_BITMAP, "bitmap"},         {FE_CAT_HYPERLOGLOG, "hyperloglog"},
    {FE_CAT_CONNECTION, "connection"}, {FE_CAT_TRANSACTION, "transaction"},
    {FE_CAT_DANGEROUS, "dangerous"},   {FE_CAT_SCRIPTING, "scripting"},
    {FE_CAT_ADMIN, "admin"},           {0, NULL},
};

static const name_of_bit key_flag_names[] = {
    {FE_KEY_RO, "RO"},
    {FE_KEY_RW, "RW"},
    {FE_KEY_OW, "OW"},
    {FE_KEY_RM, "RM"},
    {FE_KEY_ACCESS, "access"},
    {FE_KEY_UPDATE, "update"},
    {FE_KEY_INSERT, "insert"},
    {FE_KEY_DELETE, "delete"},
    {FE_KEY_VARIABLE_FLAGS, "variable_flags"},
    {FE_KEY_INCOMPLETE, "incomplete"},
    {FE_KEY_NOT_KEY, "not_key"},
    {0, NULL},
};

static PyObject *names_of(const name_of_bit *names, uint32_t bits)
{
    PyObject *list = PyList_New(0);
    for (; list != NULL && names->name != NULL; names++) {
        if (!(bits & names->bit)) continue;
        PyObject *name = PyUnicode_FromString(names->name);
        if (name == NULL || PyList_Append(list, name) != 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static bool bits_of(PyObject *sequence, const name_of_bit *names, uint32_t *bits)
{
    PyObject *fast = PySequence_Fast(sequence, "flags must be a sequence of names");
    if (fast == NULL) return false;
    bool ok = true;
    for (Py_ssize_t i = 0; ok && i < PySequence_Size(fast); i++) {
        PyObject *entry = PySequence_GetItem(fast, i);
        const char *text = entry == NULL ? NULL : PyUnicode_AsUTF8(entry);
        const name_of_bit *found = names;
        while (text != NULL && found->name != NULL && strcmp(found->name, text) != 0)
            found++;
        ok = text != NULL && found->name != NULL;
        if (ok) *bits |= found->bit;
        if (text != NULL && !ok) PyErr_Format(PyExc_ValueError, "no flag is named '%s'", text);
        Py_XDECREF(entry);
    }
    Py_DECREF(fast);
    return ok;
}

static PyObject *key_specs(const fe_command_row *row)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < FE_KEY_SPECS_MAX && row->keys[i].first != 0; i++) {
        const fe_key_spec *spec = &row->keys[i];
        PyObject *flags = names_of(key_flag_names, spec->flags);
        PyObject *entry =
            flags == NULL ? NULL
                          : Py_BuildValue("{sNsisisi}", "flags", flags, "first", (int)spec->first,
                                          "last", (int)spec->last, "step", (int)spec->step);
        if (entry == NULL || PyList_Append(list, entry) != 0) Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

static PyObject *describe(const fe_command *command, const fe_command_stats *stats,
                          double ticks_per_us)
{
    const fe_command_row *row = command->row;
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
    bool ok = put(dict, "name", PyUnicode_FromString(row->name)) &&
              put(dict, "arity", PyLong_FromLong(row->arity)) &&
              put(dict, "flags", names_of(flag_names, row->flags)) &&
              put(dict, "categories", names_of(category_names, row->categories)) &&
              put(dict, "keys", key_specs(row)) &&
              put(dict, "group", PyUnicode_FromString(row->group)) &&
              put(dict, "since", PyUnicode_FromString(row->since)) &&
              put(dict, "complexity", PyUnicode_FromString(row->complexity)) &&
              put(dict, "summary", PyUnicode_FromString(row->summary)) &&
              put(dict, "syntax", PyUnicode_FromString(row->syntax)) &&
              put(dict, "tips", PyUnicode_FromString(row->tips == NULL ? "" : row->tips)) &&
              put(dict, "python", PyBool_FromLong((row->flags & FE_PYTHON) != 0)) &&
              put(dict, "container", PyBool_FromLong((row->flags & FE_CONTAINER) != 0)) &&
              put(dict, "secret", PyBool_FromLong((row->flags & FE_SECRET) != 0)) &&
              put_u64(dict, "calls", stats->calls) &&
              put_u64(dict, "microseconds", (uint64_t)((double)stats->ticks / ticks_per_us)) &&
              put_u64(dict, "rejected", stats->rejected) &&
              put_u64(dict, "failed", stats->failed) && put_u64(dict, "number", command->number);
    if (ok) return dict;
    Py_DECREF(dict);
    return NULL;
}

static bool append_description(PyObject *list, fe_server *server, const fe_command *command)
{
    fe_command_stats stats;
    FE_LOCKED(server->engine, stats = command->stats);
    PyObject *dict = describe(command, &stats, server->engine->ticks_per_us);
    bool ok = dict != NULL && PyList_Append(list, dict) == 0;
    Py_XDECREF(dict);
    for (uint32_t i = 0; ok && i < command->child_count; i++)
        ok = append_description(list, server, command->children[i]);
    return ok;
}

PyObject *fe_python_commands(fe_server *server)
{
    PyObject *list = PyList_New(0);
    uint32_t count;
    fe_command *const *all = fe_commands_all(server->commands, &count);
    for (uint32_t i = 0; list != NULL && i < count; i++)
        if (!append_description(list, server, all[i])) Py_CLEAR(list);
    return list;
}

/* Steals nothing; what is 0 is left out. */
static bool put_count(PyObject *dict, int index, uint64_t count)
{
    if (count == 0) return true;
    PyObject *key = PyLong_FromLong(index);
    PyObject *value = PyLong_FromUnsignedLongLong(count);
    bool ok = key != NULL && value != NULL && PyDict_SetItem(dict, key, value) == 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return ok;
}

PyObject *fe_python_bucket_counts(const fe_exponential *histogram)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL) return NULL;
    bool ok = put_count(dict, FE_EXPONENTIAL_OFFSET - 1, histogram->zero);
    for (unsigned i = 0; ok && i < FE_EXPONENTIAL_BUCKETS; i++)
        ok = put_count(dict, FE_EXPONENTIAL_OFFSET + (int)i, histogram->counts[i]);
    if (!ok) Py_CLEAR(dict);
    return dict;
}

/* Adds the histograms of a command and its subcommands; `copy` is room for one. */
static bool put_latencies(PyObject *dict, fe_server *server, const fe_command *command,
                          fe_exponential *copy)
{
    bool counted;
    FE_LOCKED(server->engine, counted = fe_command_durations(command, FE_DURATION_RUN, copy));
    if (counted && !put(dict, command->row->name, fe_python_bucket_counts(copy))) return false;
    for (uint32_t i = 0; i < command->child_count; i++)
        if (!put_latencies(dict, server, command->children[i], copy)) return false;
    return true;
}

PyObject *fe_python_latencies(fe_server *server)
{
    fe_exponential *copy = PyMem_Malloc(sizeof *copy);
    if (copy == NULL) return PyErr_NoMemory();
    PyObject *dict = PyDict_New();
    uint32_t count;
    fe_command *const *all = fe_commands_all(server->commands, &count);
    for (uint32_t i = 0; dict != NULL && i < count; i++)
        if (!put_latencies(dict, server, all[i], copy)) Py_CLEAR(dict);
    PyMem_Free(copy);
    return dict;
}

typedef struct key_list {
    PyObject *list; /* NULL after a failure */
} key_list;

static void visit_key(void *context, uint32_t index, uint32_t flags)
{
    key_list *keys = context;
    if (keys->list == NULL) return;
    PyObject *names = names_of(key_flag_names, flags);
    PyObject *entry = names == NULL ? NULL : Py_BuildValue("(IN)", index, names);
    if (entry == NULL || PyList_Append(keys->list, entry) != 0) Py_CLEAR(keys->list);
    Py_XDECREF(entry);
}

PyObject *fe_python_command_keys(fe_server *server, PyObject *args)
{
    PyObject *fast = PySequence_Fast(args, "args must be a sequence of bytes");
    if (fast == NULL) return NULL;
    Py_ssize_t argc = PySequence_Size(fast);
    fe_bytes *argv = PyMem_Calloc((size_t)argc + 1, sizeof *argv);
    bool ok = argv != NULL;
    for (Py_ssize_t i = 0; ok && i < argc; i++) {
        PyObject *entry = PySequence_GetItem(fast, i); /* the list keeps it alive */
        Py_XDECREF(entry);
        char *text;
        Py_ssize_t len;
        ok = entry != NULL && PyBytes_AsStringAndSize(entry, &text, &len) == 0;
        if (ok) argv[i] = (fe_bytes){(const uint8_t *)text, (size_t)len};
    }
    PyObject *result = NULL;
    if (ok && argc > 0) {
        fe_command *container;
        const fe_command *command =
            fe_commands_find(server->commands, argv, (uint32_t)argc, &container);
        if (command == NULL) {
            result = Py_NewRef(Py_None);
        } else if (!fe_command_arity_ok(command->row, (uint32_t)argc)) {
            PyErr_SetString(PyExc_ValueError, "the number of arguments does not fit the command");
        } else {
            key_list keys = {PyList_New(0)};
            fe_command_keys(command->row, (uint32_t)argc, visit_key, &keys);
            result = keys.list;
        }
    } else if (ok) {
        result = Py_NewRef(Py_None);
    }
    PyMem_Free(argv);
    Py_DECREF(fast);
    return result;
}

/* Rows of Python's commands. ------------------------------------------------------------------------------ */

static const char *row_text(PyObject *dict, owned_row *row, int i, const char *name)
{
    PyObject *value = PyDict_GetItemString(dict, name);
    if (value == NULL) {
        PyErr_Format(PyExc_KeyError, "a command's row has no '%s'", name);
        return NULL;
    }
    row->texts[i] = Py_NewRef(value);
    return PyUnicode_AsUTF8(value);
}

static bool row_truth(PyObject *dict, const char *name)
{
    PyObject *value = PyDict_GetItemString(dict, name);
    return value != NULL && PyObject_IsTrue(value) == 1;
}

bool fe_python_read_row(PyObject *dict, owned_row *row)
{
    fe_command_row *to = &row->row;
    const char **const texts[] = {&to->name,       &to->group,   &to->since,
                                  &to->complexity, &to->summary, &to->syntax};
    const char *const names[] = {"name", "group", "since", "complexity", "summary", "syntax"};
    for (int i = 0; i < 6; i++) {
        *texts[i] = row_text(dict, row, i, names[i]);
        if (*texts[i] == NULL) return false;
    }
    PyObject *arity = PyDict_GetItemString(dict, "arity");
    PyObject *flags = PyDict_GetItemString(dict, "flags");
    PyObject *categories = PyDict_GetItemString(dict, "categories");
    if (arity == NULL || flags == NULL || categories == NULL) {
        PyErr_Format(PyExc_KeyError, "the row of '%s' needs arity, flags and categories", to->name);
        return false;
    }
    to->arity = (int32_t)PyLong_AsLong(arity);
    if (PyErr_Occurred()) return false;
    if (!bits_of(flags, flag_names, &to->flags) ||
        !bits_of(categories, category_names, &to->categories))
        return false;
    to->flags |= row_truth(dict, "container") ? FE_CONTAINER : FE_PYTHON;
    if (row_truth(dict, "secret")) to->flags |= FE_SECRET;
    return true;
}
