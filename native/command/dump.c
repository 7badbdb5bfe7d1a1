/* DUMP and RESTORE: values as bytes that another server can read. Only strings exist, so only they
 * can be restored. */
#include "command/families.h"
#include "command/open.h"
#include "value/rdb_string.h"

static void dump(fe_call *call)
{
    fe_key key;
    if (!fe_open_read(call, 1, &key)) {
        fe_reply_null(&call->reply);
        return;
    }
    if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
    char digits[21];
    fe_buf payload;
    fe_buf_init(&payload, &call->engine->alloc, FE_ALLOC_SCRATCH);
    fe_rdb_string_dump(&payload, fe_open_text(&key, digits));
    if (payload.failed)
        fe_call_no_memory(call);
    else
        fe_reply_bulk(&call->reply, fe_buf_view(&payload));
    fe_buf_free(&payload);
}

typedef struct restore_options {
    bool replace;
    bool absolute;
    int64_t idle_seconds; /* -1: not given */
    int64_t frequency;    /* -1: not given */
} restore_options;

static bool read_option(fe_call *call, uint32_t *i, restore_options *options)
{
    fe_bytes word = call->argv[*i];
    bool pair = *i + 1 < call->argc;
    if (fe_bytes_is_word(word, "replace")) {
        options->replace = true;
    } else if (fe_bytes_is_word(word, "absttl")) {
        options->absolute = true;
    } else if (pair && fe_bytes_is_word(word, "idletime") && options->frequency == -1) {
        if (!fe_call_int64(call, ++*i, &options->idle_seconds)) return false;
        if (options->idle_seconds < 0) {
            fe_call_error(call, "ERR Invalid IDLETIME value, must be >= 0");
            return false;
        }
    } else if (pair && fe_bytes_is_word(word, "freq") && options->idle_seconds == -1) {
        if (!fe_call_int64(call, ++*i, &options->frequency)) return false;
        if (options->frequency < 0 || options->frequency > 255) {
            fe_call_error(call, "ERR Invalid FREQ value, must be >= 0 and <= 255");
            return false;
        }
    } else {
        fe_call_syntax_error(call);
        return false;
    }
    return true;
}

static bool read_options(fe_call *call, restore_options *options)
{
    for (uint32_t i = 4; i < call->argc; i++)
        if (!read_option(call, &i, options)) return false;
    return true;
}

/* Argument 2 as a deadline: 0 for none. */
static bool read_deadline(fe_call *call, const restore_options *options, int64_t *deadline)
{
    if (!fe_call_int64(call, 2, deadline)) return false;
    if (*deadline < 0) {
        fe_call_error(call, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    if (*deadline == 0 || options->absolute) return true;
    if (__builtin_add_overflow(*deadline, fe_store_now(call->store), deadline))
        *deadline = INT64_MAX;
    return true;
}

static bool read_payload(fe_call *call, fe_buf *value)
{
    uint8_t type;
    uint64_t len_max = call->engine->options.bulk_len_max;
    switch (fe_rdb_string_restore(call->argv[3], len_max, value, &type)) {
    case FE_RDB_OK: return true;
    case FE_RDB_BAD_FOOTER:
        fe_call_error(call, "ERR DUMP payload version or checksum are wrong");
        return false;
    case FE_RDB_NO_MEMORY: fe_call_no_memory(call); return false;
    case FE_RDB_BAD_DATA:
    case FE_RDB_OTHER_TYPE:
    case FE_RDB_TOO_LARGE: break;
    }
    fe_call_error(call, "ERR Bad data format");
    return false;
}

/* Stores the value with what the options say about its use; which of both counts depends on the
 * policy. */
static void store(fe_call *call, fe_key *key, fe_bytes value, int64_t deadline,
                  const restore_options *options)
{
    if (deadline != 0 && deadline <= fe_store_now(call->store)) {
        if (fe_key_exists(key)) fe_key_delete(key);
        fe_reply_ok(&call->reply);
        return;
    }
    if (!fe_open_store_text(call, key, value, deadline)) return;
    if (options->frequency >= 0)
        fe_key_set_frequency(key, (uint32_t)options->frequency);
    else if (options->idle_seconds >= 0)
        fe_store_set_idle(call->store, key->record, options->idle_seconds);
    fe_reply_ok(&call->reply);
}

static void restore(fe_call *call)
{
    restore_options options = {.idle_seconds = -1, .frequency = -1};
    if (!read_options(call, &options)) return;
    fe_key key;
    if (fe_open_write(call, 1, &key) && !options.replace) {
        fe_call_error(call, "BUSYKEY Target key name already exists.");
        return;
    }
    int64_t deadline;
    if (!read_deadline(call, &options, &deadline)) return;
    fe_buf value;
    fe_buf_init(&value, &call->engine->alloc, FE_ALLOC_SCRATCH);
    if (read_payload(call, &value)) store(call, &key, fe_buf_view(&value), deadline, &options);
    fe_buf_free(&value);
}

static const fe_command_row rows[] = {
    {
        .name = "dump",
        .run = dump,
        .arity = 2,
        .flags = FE_READONLY,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}},
        .group = "generic",
        .since = "2.6.0",
        .complexity = "O(N) with N the length of the value",
        .summary = "Answers the value at a key as bytes for RESTORE.",
        .syntax = "key",
        .tips = "nondeterministic_output",
    },
    {
        .name = "restore",
        .run = restore,
        .arity = -4,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_KEYSPACE | FE_CAT_DANGEROUS,
        .keys = {{FE_KEY_OW | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "generic",
        .since = "2.6.0",
        .complexity = "O(N) with N the length of the value",
        .summary = "Makes a key from the bytes that DUMP answered.",
        .syntax = "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] "
                  "[FREQ frequency]",
    },
};

FE_FAMILY_DEFINE(dump, rows);
