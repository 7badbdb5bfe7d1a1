/* HyperLogLog: counting distinct elements within a string of bounded size.
 *
 * A dense value is changed in its place; a sparse one changes its length and is rebuilt in scratch
 * memory. The bytes at a key are whatever a client put there, so every command validates them
 * first.
 */
#include "command/families.h"
#include "command/open.h"
#include "value/hll.h"

/* Answers the error of a status. */
static void refuse(fe_call *call, fe_hll_status status)
{
    FE_ASSERT(status != FE_HLL_OK);
    if (status == FE_HLL_NOT_HLL)
        fe_call_error(call, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    else if (status == FE_HLL_CORRUPT)
        fe_call_error(call, "INVALIDOBJ Corrupted HLL object detected");
    else
        fe_call_no_memory(call);
}

/* Whether an existing key holds a HyperLogLog; else answers the error. */
static bool check_hll(fe_call *call, const fe_key *key)
{
    if (!fe_open_check_type(call, key, FE_TYPE_STRING)) return false;
    bool is_int = fe_record_flags(key->record) & FE_RECORD_INT;
    fe_hll_status status = is_int ? FE_HLL_NOT_HLL : fe_hll_validate(fe_record_value(key->record));
    if (status == FE_HLL_OK) return true;
    refuse(call, status);
    return false;
}

/* An empty buffer of scratch memory that holds the key's value, or the empty HyperLogLog when there
 * is no key. */
static void copy_value(fe_call *call, const fe_key *key, fe_buf *buf)
{
    fe_buf_init(buf, &call->engine->alloc, FE_ALLOC_SCRATCH);
    if (fe_key_exists(key)) {
        fe_bytes value = fe_record_value(key->record);
        fe_buf_append(buf, value.ptr, value.len);
    } else {
        uint8_t empty[FE_HLL_EMPTY_BYTES];
        fe_hll_write_empty(empty);
        fe_buf_append(buf, empty, sizeof(empty));
    }
}

static bool store(fe_call *call, fe_key *key, const fe_buf *buf)
{
    if (buf->failed) {
        fe_call_no_memory(call);
        return false;
    }
    return fe_open_store_bytes(call, key, FE_VALUE_RAW, fe_buf_view(buf), FE_DEADLINE_KEEP);
}

/* PFADD. ----------------------------------------------------------------------------------------
 */

static void add_dense(fe_call *call, fe_key *key)
{
    bool changed = false;
    uint8_t *dense = fe_key_edit(key);
    if (dense == NULL) {
        fe_call_no_memory(call);
        return;
    }
    for (uint32_t i = 2; i < call->argc; i++)
        changed |= fe_hll_add_dense(dense, call->argv[i]);
    if (changed) fe_key_changed(key);
    fe_reply_integer(&call->reply, changed);
}

/* Whether any element would change the sparse value. False with *failed after an error reply. */
static bool any_changes(fe_call *call, const fe_key *key, bool *failed)
{
    bool changes = false;
    for (uint32_t i = 2; i < call->argc && !changes; i++) {
        fe_hll_status status = fe_hll_probe(fe_record_value(key->record), call->argv[i], &changes);
        if (status == FE_HLL_OK) continue;
        refuse(call, status);
        *failed = true;
        return false;
    }
    return changes;
}

/* hll-sparse-max-bytes: a value that would grow longer becomes dense. */
static size_t sparse_bytes_max(const fe_call *call)
{
    return call->engine->options.hll_sparse_bytes_max;
}

/* Adds all elements to a copy and stores it. */
static void add_copied(fe_call *call, fe_key *key)
{
    fe_buf buf;
    copy_value(call, key, &buf);
    fe_hll_status status = buf.failed ? FE_HLL_NO_MEMORY : FE_HLL_OK;
    for (uint32_t i = 2; i < call->argc && status == FE_HLL_OK; i++) {
        bool changed;
        status = fe_hll_add(&buf, call->argv[i], sparse_bytes_max(call), &changed);
    }
    if (status != FE_HLL_OK)
        refuse(call, status);
    else if (store(call, key, &buf))
        fe_reply_integer(&call->reply, 1);
    fe_buf_free(&buf);
}

static void pfadd(fe_call *call)
{
    fe_key key;
    if (fe_open_write(call, 1, &key)) {
        if (!check_hll(call, &key)) return;
        if (fe_hll_is_dense(fe_record_value(key.record))) {
            add_dense(call, &key);
            return;
        }
        bool failed = false;
        if (!any_changes(call, &key, &failed)) {
            /* As in Redis, whose object is made one that can be written before anything is added. */
            if (!failed && fe_open_make_raw(call, &key)) fe_reply_integer(&call->reply, 0);
            return;
        }
    }
    add_copied(call, &key);
}

/* PFCOUNT. --------------------------------------------------------------------------------------
 */

/* The estimate is remembered in the value's header, which is a change of the value. */
static void count_one(fe_call *call)
{
    fe_key key;
    if (!fe_open_read(call, 1, &key)) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    if (!check_hll(call, &key) || !fe_open_make_raw(call, &key)) return;
    fe_bytes value = fe_record_value(key.record);
    uint64_t cardinality;
    if (!fe_hll_get_cached(value, &cardinality)) {
        fe_hll_status status = fe_hll_count(value, &cardinality);
        if (status != FE_HLL_OK) {
            refuse(call, status);
            return;
        }
        uint8_t *sketch = fe_key_edit(&key);
        if (sketch != NULL) { /* without memory it is counted again the next time */
            fe_hll_set_cached(sketch, cardinality);
            fe_key_changed(&key);
        }
    }
    fe_reply_integer(&call->reply, (int64_t)cardinality);
}

/* Merges the existing ones of argv[1..] into `registers`. False after an error reply. */
static bool merge_all(fe_call *call, uint8_t registers[FE_HLL_REGISTERS], bool *any_dense)
{
    memset(registers, 0, FE_HLL_REGISTERS);
    *any_dense = false;
    for (uint32_t i = 1; i < call->argc; i++) {
        fe_key key;
        if (!fe_open_read(call, i, &key)) continue;
        if (!check_hll(call, &key)) return false;
        fe_bytes value = fe_record_value(key.record);
        *any_dense |= fe_hll_is_dense(value);
        fe_hll_status status = fe_hll_merge(registers, value);
        if (status == FE_HLL_OK) continue;
        refuse(call, status);
        return false;
    }
    return true;
}

static void pfcount(fe_call *call)
{
    if (call->argc == 2) {
        count_one(call);
        return;
    }
    uint8_t registers[FE_HLL_REGISTERS];
    bool any_dense;
    if (merge_all(call, registers, &any_dense))
        fe_reply_integer(&call->reply, (int64_t)fe_hll_count_registers(registers));
}

/* PFMERGE. --------------------------------------------------------------------------------------
 */

/* The destination is one of the sources: argv[1] too. */
static void pfmerge(fe_call *call)
{
    uint8_t registers[FE_HLL_REGISTERS];
    bool any_dense;
    if (!merge_all(call, registers, &any_dense)) return;
    fe_key key;
    fe_open_write(call, 1, &key);
    fe_buf buf;
    copy_value(call, &key, &buf);
    fe_hll_status status = buf.failed
                               ? FE_HLL_NO_MEMORY
                               : fe_hll_raise(&buf, registers, any_dense, sparse_bytes_max(call));
    if (status != FE_HLL_OK)
        refuse(call, status);
    else if (store(call, &key, &buf))
        fe_reply_ok(&call->reply);
    fe_buf_free(&buf);
}

/* PFDEBUG. --------------------------------------------------------------------------------------
 */

/* Makes the value dense. False after an error reply. */
static bool make_dense(fe_call *call, fe_key *key)
{
    fe_buf buf;
    copy_value(call, key, &buf);
    fe_hll_status status = buf.failed ? FE_HLL_NO_MEMORY : fe_hll_to_dense(&buf);
    bool done = false;
    if (status != FE_HLL_OK)
        refuse(call, status);
    else
        done = store(call, key, &buf);
    fe_buf_free(&buf);
    return done;
}

static void debug_registers(fe_call *call, fe_key *key)
{
    if (!fe_hll_is_dense(fe_record_value(key->record)) && !make_dense(call, key)) return;
    uint8_t registers[FE_HLL_REGISTERS] = {0};
    fe_hll_status status = fe_hll_merge(registers, fe_record_value(key->record));
    if (status != FE_HLL_OK) {
        refuse(call, status);
        return;
    }
    fe_reply_array(&call->reply, FE_HLL_REGISTERS);
    for (uint32_t i = 0; i < FE_HLL_REGISTERS; i++)
        fe_reply_integer(&call->reply, registers[i]);
}

static void debug_decode(fe_call *call, const fe_key *key)
{
    fe_bytes value = fe_record_value(key->record);
    if (fe_hll_is_dense(value)) {
        fe_call_error(call, "ERR HLL encoding is not sparse");
        return;
    }
    fe_buf text;
    fe_buf_init(&text, &call->engine->alloc, FE_ALLOC_SCRATCH);
    fe_hll_status status = fe_hll_describe(value, &text);
    if (status == FE_HLL_OK && text.failed) status = FE_HLL_NO_MEMORY;
    if (status != FE_HLL_OK)
        refuse(call, status);
    else
        fe_reply_bulk(&call->reply, fe_buf_view(&text));
    fe_buf_free(&text);
}

static void pfdebug(fe_call *call)
{
    fe_key key;
    if (!fe_open_write(call, 2, &key)) {
        fe_call_error(call, "ERR The specified key does not exist");
        return;
    }
    if (!check_hll(call, &key) || !fe_open_make_raw(call, &key)) return;
    fe_bytes verb = call->argv[1];
    bool dense = fe_hll_is_dense(fe_record_value(key.record));
    if (fe_bytes_is_word(verb, "getreg"))
        debug_registers(call, &key);
    else if (fe_bytes_is_word(verb, "decode"))
        debug_decode(call, &key);
    else if (fe_bytes_is_word(verb, "encoding"))
        fe_reply_status(&call->reply, dense ? "dense" : "sparse");
    else if (!fe_bytes_is_word(verb, "todense"))
        fe_call_errorf(call, "ERR Unknown PFDEBUG subcommand '%.*s'",
                       verb.len < 128 ? (int)verb.len : 128, (const char *)verb.ptr);
    else if (dense || make_dense(call, &key))
        fe_reply_integer(&call->reply, !dense);
}

enum { SELF_TEST_ELEMENTS = 100000 };

/* Adds the numbers below `until`, from `from` on, to a HyperLogLog in each encoding. */
static bool self_test_add(fe_buf *sparse, fe_buf *dense, uint64_t from, uint64_t until)
{
    for (uint64_t i = from; i < until; i++) {
        fe_bytes element = {(const uint8_t *)&i, sizeof i};
        bool changed;
        if (fe_hll_add(sparse, element, FE_HLL_SPARSE_BYTES_MAX_DEFAULT, &changed) != FE_HLL_OK)
            return false;
        if (fe_hll_add_dense(dense->data, element) != changed) return false;
    }
    return true;
}

/* Whether both encodings give one estimate of `count` distinct elements, within six standard errors (1.04 / sqrt(registers), by
 * Flajolet et al., 2007), and one more for small counts. */
static bool self_test_count(const fe_buf *sparse, const fe_buf *dense, uint64_t count)
{
    uint64_t a, b;
    if (fe_hll_count(fe_buf_view(sparse), &a) != FE_HLL_OK) return false;
    if (fe_hll_count(fe_buf_view(dense), &b) != FE_HLL_OK || a != b) return false;
    double error = a > count ? (double)(a - count) : (double)(count - a);
    return error <= 6 * 0.0081 * (double)count + 1;
}

static bool self_test(fe_buf *sparse, fe_buf *dense)
{
    uint8_t *empty = fe_buf_reserve(sparse, FE_HLL_EMPTY_BYTES);
    if (empty == NULL) return false;
    fe_hll_write_empty(empty);
    sparse->len = FE_HLL_EMPTY_BYTES;
    fe_buf_append(dense, empty, FE_HLL_EMPTY_BYTES);
    if (dense->failed || fe_hll_to_dense(dense) != FE_HLL_OK) return false;
    for (uint64_t done = 0, next = 1; next <= SELF_TEST_ELEMENTS; done = next, next *= 10)
        if (!self_test_add(sparse, dense, done, next) || !self_test_count(sparse, dense, next))
            return false;
    return fe_hll_is_dense(fe_buf_view(sparse));
}

/* PFSELFTEST */
static void pfselftest(fe_call *call)
{
    fe_buf sparse, dense;
    fe_buf_init(&sparse, &call->engine->alloc, FE_ALLOC_SCRATCH);
    fe_buf_init(&dense, &call->engine->alloc, FE_ALLOC_SCRATCH);
    bool passed = self_test(&sparse, &dense);
    if (passed)
        fe_reply_ok(&call->reply);
    else if (sparse.failed || dense.failed)
        fe_call_no_memory(call);
    else
        fe_call_error(call, "ERR TESTFAILED the encodings disagree or the estimate is off");
    fe_buf_free(&sparse);
    fe_buf_free(&dense);
}

static const fe_command_row rows[] = {
    {
        .name = "pfadd",
        .run = pfadd,
        .arity = -2,
        .flags = FE_WRITE | FE_DENYOOM | FE_FAST,
        .categories = FE_CAT_HYPERLOGLOG,
        .keys = {{FE_KEY_RW | FE_KEY_INSERT, 1, 0, 1}},
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "O(1) for each element",
        .summary = "Adds elements to a HyperLogLog, making the key when it is absent.",
        .syntax = "key [element [element ...]]",
    },
    {
        .name = "pfcount",
        .run = pfcount,
        .arity = -2,
        .flags = FE_READONLY | FE_MAY_REPLICATE,
        .categories = FE_CAT_HYPERLOGLOG,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS, 1, -1, 1}},
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "O(1) for one key, O(N) for N keys with a much greater constant",
        .summary = "Estimates how many distinct elements one or several HyperLogLogs have seen.",
        .syntax = "key [key ...]",
    },
    {
        .name = "pfmerge",
        .run = pfmerge,
        .arity = -2,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_HYPERLOGLOG,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_INSERT, 1, 0, 1},
                 {FE_KEY_RO | FE_KEY_ACCESS, 2, -1, 1}},
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "O(N) with N the number of keys",
        .summary = "Merges HyperLogLogs into the first one.",
        .syntax = "destkey [sourcekey [sourcekey ...]]",
    },
    {
        .name = "pfdebug",
        .run = pfdebug,
        .arity = 3,
        .flags = FE_WRITE | FE_DENYOOM | FE_ADMIN,
        .categories = FE_CAT_HYPERLOGLOG,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS, 2, 0, 1}},
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "O(1) with a great constant",
        .summary = "Shows or converts the inside of a HyperLogLog, for tests.",
        .syntax = "<GETREG | DECODE | ENCODING | TODENSE> key",
    },
    {
        .name = "pfselftest",
        .run = pfselftest,
        .arity = 1,
        .flags = FE_ADMIN,
        .categories = FE_CAT_HYPERLOGLOG,
        .group = "hyperloglog",
        .since = "2.8.9",
        .complexity = "O(1): 100,000 elements are added to a HyperLogLog of its own",
        .summary = "Checks that both encodings agree and that estimates are as exact as promised.",
        .syntax = "",
    },
};

FE_FAMILY_DEFINE(hyperloglog, rows);
