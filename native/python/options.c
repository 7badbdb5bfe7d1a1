/* The options dict of Server: every key is demanded and checked here, once. */
#include "python/face.h"

PyObject *fe_python_item(PyObject *dict, const char *name)
{
    PyObject *value = PyDict_GetItemString(dict, name);
    if (value == NULL) PyErr_Format(PyExc_KeyError, "option '%s' is missing", name);
    return value;
}

bool fe_python_read_int(PyObject *dict, const char *name, long long least, long long most,
                        long long *out)
{
    PyObject *value = fe_python_item(dict, name);
    if (value == NULL) return false;
    long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred()) return false;
    if (number < least || number > most) {
        PyErr_Format(PyExc_ValueError, "option '%s' must be %lld..%lld, not %lld", name, least,
                     most, number);
        return false;
    }
    *out = number;
    return true;
}

static bool read_u32(PyObject *dict, const char *name, long long least, uint32_t *out)
{
    long long number;
    if (!fe_python_read_int(dict, name, least, UINT32_MAX, &number)) return false;
    *out = (uint32_t)number;
    return true;
}

static bool read_u64(PyObject *dict, const char *name, uint64_t *out)
{
    long long number;
    if (!fe_python_read_int(dict, name, 0, INT64_MAX, &number)) return false;
    *out = (uint64_t)number;
    return true;
}

bool fe_python_read_bool(PyObject *dict, const char *name, bool *out)
{
    PyObject *value = fe_python_item(dict, name);
    if (value == NULL) return false;
    int truth = PyObject_IsTrue(value);
    if (truth < 0) return false;
    *out = truth != 0;
    return true;
}

static bool read_policy(PyObject *dict, fe_policy *out)
{
    static const char *const names[] = {
        [FE_POLICY_NOEVICTION] = "noeviction",
        [FE_POLICY_ALLKEYS_LRU] = "allkeys-lru",
        [FE_POLICY_ALLKEYS_LFU] = "allkeys-lfu",
        [FE_POLICY_ALLKEYS_RANDOM] = "allkeys-random",
        [FE_POLICY_VOLATILE_LRU] = "volatile-lru",
        [FE_POLICY_VOLATILE_LFU] = "volatile-lfu",
        [FE_POLICY_VOLATILE_RANDOM] = "volatile-random",
        [FE_POLICY_VOLATILE_TTL] = "volatile-ttl",
    };
    PyObject *value = fe_python_item(dict, "policy");
    const char *text = value == NULL ? NULL : PyUnicode_AsUTF8(value);
    if (text == NULL) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (fe_policy)i;
        return true;
    }
    PyErr_Format(PyExc_ValueError, "option 'policy' has no policy '%s'", text);
    return false;
}

static bool read_output_limits(PyObject *dict, fe_engine_options *options)
{
    PyObject *list = fe_python_item(dict, "output_limits");
    if (list == NULL) return false;
    if (!PyList_Check(list) || PyList_Size(list) != FE_CLIENT_CLASS_COUNT) {
        PyErr_SetString(PyExc_TypeError, "option 'output_limits' must be a list of 3 tuples");
        return false;
    }
    for (Py_ssize_t i = 0; i < FE_CLIENT_CLASS_COUNT; i++) {
        unsigned long long hard, soft;
        unsigned int seconds;
        if (!PyArg_ParseTuple(PyList_GetItem(list, i), "KKI;option 'output_limits'", &hard, &soft,
                              &seconds))
            return false;
        options->output_limit[i].hard = hard;
        options->output_limit[i].soft = soft;
        options->output_limit[i].soft_seconds = seconds;
    }
    return true;
}

/* Bytes without zero bytes, as a C string of at most `size` - 1 bytes. */
static bool read_text(PyObject *dict, const char *name, char *out, size_t size)
{
    PyObject *value = fe_python_item(dict, name);
    char *text;
    Py_ssize_t len;
    if (value == NULL || PyBytes_AsStringAndSize(value, &text, &len) != 0) return false;
    if ((size_t)len >= size || strlen(text) != (size_t)len) {
        PyErr_Format(PyExc_ValueError, "option '%s' must be at most %d bytes without zero bytes",
                     name, (int)size - 1);
        return false;
    }
    memcpy(out, text, (size_t)len + 1);
    return true;
}

static bool read_store(PyObject *dict, fe_store_options *store)
{
    return read_u32(dict, "databases", 1, &store->databases) &&
           read_u64(dict, "memory_max", &store->memory_max) && read_policy(dict, &store->policy) &&
           read_u32(dict, "samples", 1, &store->samples) &&
           read_u32(dict, "lfu_log_factor", 0, &store->lfu_log_factor) &&
           read_u32(dict, "lfu_decay_minutes", 0, &store->lfu_decay_minutes) &&
           read_u32(dict, "segment_size", 0, &store->segment_size) &&
           read_u64(dict, "mutable_size", &store->mutable_size) &&
           read_u64(dict, "readonly_size", &store->readonly_size) &&
           read_u64(dict, "cache_size", &store->cache_size) &&
           read_u64(dict, "disk_max", &store->disk_max) &&
           read_u64(dict, "files_max", &store->files_max) &&
           read_u64(dict, "gone_size", &store->gone_size) &&
           fe_python_read_bool(dict, "serves_damaged", &store->serves_damaged) &&
           fe_python_read_bool(dict, "lock_memory", &store->lock_memory);
}

static bool read_prefixes(PyObject *dict, fe_prefixes_options *prefixes)
{
    long long separator, parts, count;
    if (!fe_python_read_bool(dict, "insight_prefixes", &prefixes->on) ||
        !fe_python_read_bool(dict, "insight_prefix_patterns", &prefixes->patterns) ||
        !fe_python_read_int(dict, "insight_prefix_separator", 1, UINT8_MAX, &separator) ||
        !fe_python_read_int(dict, "insight_prefix_parts", 1, FE_PREFIX_PARTS_MAX, &parts) ||
        !fe_python_read_int(dict, "insight_prefix_count", 1, FE_PREFIX_COUNT_MAX, &count))
        return false;
    prefixes->separator = (uint8_t)separator;
    prefixes->parts = (uint32_t)parts;
    prefixes->count = (uint32_t)count;
    return true;
}

static bool read_disk(PyObject *dict, fe_engine_options *options)
{
    static const struct {
        const char *name;
        fe_disk_kind kind;
    } kinds[] = {{"auto", FE_DISK_AUTO}, {"io_uring", FE_DISK_URING}, {"threads", FE_DISK_THREADS}};
    char name[16];
    if (!read_u32(dict, "disk_depth", 1, &options->disk_depth) ||
        !read_text(dict, "disk_engine", name, sizeof name))
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) != 0) continue;
        options->disk_kind = kinds[i].kind;
        return true;
    }
    PyErr_Format(PyExc_ValueError, "option 'disk_engine' is unknown: %s", name);
    return false;
}

bool fe_python_read_options(PyObject *dict, fe_engine_options *options)
{
    *options = (fe_engine_options){0};
    long long slow;
    if (!read_store(dict, &options->store) || !read_output_limits(dict, options) ||
        !read_text(dict, "requirepass", options->requirepass, sizeof options->requirepass) ||
        !read_text(dict, "data_dir", options->data_dir, sizeof options->data_dir) ||
        !read_disk(dict, options) || !read_u64(dict, "bulk_len_max", &options->bulk_len_max) ||
        !read_u64(dict, "query_buffer_max", &options->query_buffer_max) ||
        !read_u64(dict, "clients_memory_max", &options->clients_memory_max) ||
        !read_u32(dict, "timeout_seconds", 0, &options->timeout_seconds) ||
        !fe_python_read_int(dict, "slowlog_threshold_us", INT64_MIN, INT64_MAX, &slow) ||
        !read_u32(dict, "slowlog_max", 0, &options->slowlog_max) ||
        !read_u32(dict, "latency_threshold_ms", 0, &options->latency_threshold_ms) ||
        !read_u32(dict, "expire_effort", 1, &options->expire_effort) ||
        !read_u32(dict, "hz", 1, &options->hz) ||
        !read_u32(dict, "hll_sparse_bytes_max", 0, &options->hll_sparse_bytes_max) ||
        !fe_python_read_bool(dict, "latency_tracking", &options->latency_tracking) ||
        !fe_python_read_bool(dict, "metrics", &options->metrics) ||
        !fe_python_read_bool(dict, "insight_hot_keys", &options->insight.hot_keys) ||
        !read_u32(dict, "insight_hot_half_life_s", 1, &options->insight.hot_half_life_s) ||
        !fe_python_read_bool(dict, "insight_curve", &options->insight.curve) ||
        !read_u32(dict, "insight_curve_half_life_s", 0, &options->insight.curve_half_life_s) ||
        !read_prefixes(dict, &options->insight.prefixes) ||
        !fe_python_read_bool(dict, "flush_async", &options->flush_async) ||
        !fe_python_read_bool(dict, "debug_enabled", &options->debug_enabled))
        return false;
    options->slowlog_threshold_us = slow;
    return true;
}
