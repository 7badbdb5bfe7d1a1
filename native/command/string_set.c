/* Strings: writing whole values, with conditions and expiry. */
#include "command/deadline.h"
#include "command/families.h"
#include "command/open.h"

/* Options. --------------------------------------------------------------------------------------
 */

/* What the options of SET and GETEX say. */
typedef struct set_options {
    bool absent_only;      /* NX */
    bool present_only;     /* XX */
    bool get;              /* GET */
    bool keep;             /* KEEPTTL */
    bool persist;          /* PERSIST */
    fe_deadline_unit unit; /* of the argument below */
    uint32_t expire;       /* its index in argv, or 0 */
} set_options;

/* EX, PX, EXAT and PXAT: which one an argument is. */
static bool read_unit(fe_bytes word, fe_deadline_unit *unit)
{
    if (fe_bytes_is_word(word, "ex"))
        *unit = FE_DEADLINE_SECONDS_FROM_NOW;
    else if (fe_bytes_is_word(word, "px"))
        *unit = FE_DEADLINE_MS_FROM_NOW;
    else if (fe_bytes_is_word(word, "exat"))
        *unit = FE_DEADLINE_SECONDS;
    else if (fe_bytes_is_word(word, "pxat"))
        *unit = FE_DEADLINE_MS;
    else
        return false;
    return true;
}

/* Reads the expiry option at *i, with its argument; the same option may be repeated and the last
 * one counts. */
static bool read_expire(const fe_call *call, uint32_t *i, set_options *options)
{
    fe_deadline_unit unit;
    if (!read_unit(call->argv[*i], &unit)) return false;
    if (options->keep || options->persist || *i + 1 >= call->argc) return false;
    if (options->expire != 0 && options->unit != unit) return false;
    options->unit = unit;
    options->expire = ++*i;
    return true;
}

static bool read_set_option(const fe_call *call, uint32_t *i, set_options *options)
{
    fe_bytes word = call->argv[*i];
    if (fe_bytes_is_word(word, "nx")) {
        options->absent_only = true;
        return !options->present_only;
    }
    if (fe_bytes_is_word(word, "xx")) {
        options->present_only = true;
        return !options->absent_only;
    }
    if (fe_bytes_is_word(word, "get")) {
        options->get = true;
        return true;
    }
    if (fe_bytes_is_word(word, "keepttl")) {
        options->keep = true;
        return options->expire == 0;
    }
    return read_expire(call, i, options);
}

static bool read_set_options(fe_call *call, set_options *options)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        if (read_set_option(call, &i, options)) continue;
        fe_call_syntax_error(call);
        return false;
    }
    return true;
}

static bool read_getex_options(fe_call *call, set_options *options)
{
    for (uint32_t i = 2; i < call->argc; i++) {
        if (fe_bytes_is_word(call->argv[i], "persist") && options->expire == 0)
            options->persist = true;
        else if (!read_expire(call, &i, options)) {
            fe_call_syntax_error(call);
            return false;
        }
    }
    return true;
}

/* Writing. --------------------------------------------------------------------------------------
 */

/* SET with options, behind their parsing. A deadline in the past is written as well: the next look
 * finds the key expired, which is what Redis does and counts. The reply of GET is written before
 * the value is overwritten, and taken back when the write fails. */
static void set_with(fe_call *call, const set_options *options)
{
    int64_t deadline = options->keep ? FE_DEADLINE_KEEP : FE_DEADLINE_NONE;
    if (options->expire != 0 &&
        !fe_deadline_read_positive(call, options->expire, options->unit, &deadline))
        return;
    size_t reply_start = call->reply.buf->len;
    fe_key key;
    if (!options->get) {
        fe_open_write(call, 1, &key);
    } else if (!fe_open_read(call, 1, &key)) {
        fe_reply_null(&call->reply);
    } else {
        if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
        fe_open_reply_text(call, &key);
    }
    if (fe_key_exists(&key) ? options->absent_only : options->present_only) {
        if (!options->get) fe_reply_null(&call->reply);
        return;
    }
    size_t reply_end = call->reply.buf->len;
    if (fe_open_store_text(call, &key, call->argv[2], deadline)) {
        if (!options->get) fe_reply_ok(&call->reply);
    } else if (options->get && !call->reply.buf->failed) {
        fe_buf *buf = call->reply.buf;
        fe_open_take_back(call, reply_start);
        memmove(buf->data + reply_start, buf->data + reply_end, buf->len - reply_end);
        buf->len -= reply_end - reply_start;
    }
}

static void set(fe_call *call)
{
    if (FE_LIKELY(call->argc == 3)) {
        fe_key key;
        fe_open_write(call, 1, &key);
        if (fe_open_store_text(call, &key, call->argv[2], FE_DEADLINE_NONE))
            fe_reply_ok(&call->reply);
        return;
    }
    set_options options = {0};
    if (read_set_options(call, &options)) set_with(call, &options);
}

static void setnx(fe_call *call)
{
    fe_key key;
    if (fe_open_write(call, 1, &key))
        fe_reply_integer(&call->reply, 0);
    else if (fe_open_store_text(call, &key, call->argv[2], FE_DEADLINE_NONE))
        fe_reply_integer(&call->reply, 1);
}

static void set_expiring(fe_call *call, fe_deadline_unit unit)
{
    int64_t deadline;
    if (!fe_deadline_read_positive(call, 2, unit, &deadline)) return;
    fe_key key;
    fe_open_write(call, 1, &key);
    if (fe_open_store_text(call, &key, call->argv[3], deadline)) fe_reply_ok(&call->reply);
}

static void setex(fe_call *call)
{
    set_expiring(call, FE_DEADLINE_SECONDS_FROM_NOW);
}

static void psetex(fe_call *call)
{
    set_expiring(call, FE_DEADLINE_MS_FROM_NOW);
}

static void getset(fe_call *call)
{
    set_with(call, &(set_options){.get = true});
}

static void getdel(fe_call *call)
{
    fe_key key;
    if (!fe_open_read(call, 1, &key)) {
        fe_reply_null(&call->reply);
        return;
    }
    if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
    fe_open_reply_text(call, &key);
    fe_key_delete(&key);
}

/* Gives the key what GETEX asks for; the answer is the caller's. */
static bool getex_change(fe_call *call, fe_key *key, const set_options *options, int64_t deadline)
{
    fe_status status = FE_OK;
    if (options->expire != 0)
        status = fe_key_set_deadline(key, deadline);
    else if (options->persist && fe_record_deadline(key->record) != 0)
        status = fe_key_set_deadline(key, FE_DEADLINE_NONE);
    if (status != FE_OK) fe_call_status_error(call, status);
    return status == FE_OK;
}

static void getex(fe_call *call)
{
    set_options options = {0};
    if (!read_getex_options(call, &options)) return;
    fe_key key;
    if (!fe_open_read(call, 1, &key)) {
        fe_reply_null(&call->reply);
        return;
    }
    if (!fe_open_check_type(call, &key, FE_TYPE_STRING)) return;
    int64_t deadline = 0;
    if (options.expire != 0 &&
        !fe_deadline_read_positive(call, options.expire, options.unit, &deadline))
        return;
    if (options.expire != 0 && deadline <= fe_store_now(call->store)) {
        fe_open_reply_text(call, &key);
        fe_key_delete(&key);
    } else if (getex_change(call, &key, &options, deadline)) {
        fe_open_reply_text(call, &key);
    }
}

/* Whether the arguments are pairs; else answers the error. */
static bool pairs_ok(fe_call *call)
{
    if (call->argc % 2 == 1) return true;
    fe_call_arity_error(call);
    return false;
}

/* False after an error reply: then the pairs before the one that failed are set. */
static bool store_pairs(fe_call *call)
{
    for (uint32_t i = 1; i < call->argc; i += 2) {
        fe_key key;
        fe_open_write(call, i, &key);
        if (!fe_open_store_text(call, &key, call->argv[i + 1], FE_DEADLINE_NONE)) return false;
    }
    return true;
}

static void mset(fe_call *call)
{
    if (pairs_ok(call) && store_pairs(call)) fe_reply_ok(&call->reply);
}

static void msetnx(fe_call *call)
{
    if (!pairs_ok(call)) return;
    for (uint32_t i = 1; i < call->argc; i += 2) {
        fe_key key;
        if (!fe_open_write(call, i, &key)) continue;
        fe_reply_integer(&call->reply, 0);
        return;
    }
    if (store_pairs(call)) fe_reply_integer(&call->reply, 1);
}

static const fe_command_row rows[] = {
    {
        .name = "set",
        .run = set,
        .arity = -3,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_UPDATE | FE_KEY_VARIABLE_FLAGS, 1, 0, 1}},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Stores a string, whatever the key held, if the conditions allow it.",
        .syntax = "key value [NX | XX] [GET] [EX seconds | PX milliseconds | "
                  "EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
    },
    {
        .name = "setnx",
        .run = setnx,
        .arity = 3,
        .flags = FE_WRITE | FE_DENYOOM | FE_FAST,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_OW | FE_KEY_INSERT, 1, 0, 1}},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Stores a string if the key is absent.",
        .syntax = "key value",
    },
    {
        .name = "setex",
        .run = setex,
        .arity = 4,
        .flags = FE_WRITE | FE_DENYOOM | FE_OVERWRITES,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_OW | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "string",
        .since = "2.0.0",
        .complexity = "O(1)",
        .summary = "Stores a string that expires after some seconds.",
        .syntax = "key seconds value",
    },
    {
        .name = "psetex",
        .run = psetex,
        .arity = 4,
        .flags = FE_WRITE | FE_DENYOOM | FE_OVERWRITES,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_OW | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "string",
        .since = "2.6.0",
        .complexity = "O(1)",
        .summary = "Stores a string that expires after some milliseconds.",
        .syntax = "key milliseconds value",
    },
    {
        .name = "getset",
        .run = getset,
        .arity = 3,
        .flags = FE_WRITE | FE_DENYOOM | FE_FAST,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "string",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Stores a string and answers the one that was there.",
        .syntax = "key value",
    },
    {
        .name = "getdel",
        .run = getdel,
        .arity = 2,
        .flags = FE_WRITE | FE_FAST,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_DELETE, 1, 0, 1}},
        .group = "string",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Answers the string at a key and removes the key.",
        .syntax = "key",
    },
    {
        .name = "getex",
        .run = getex,
        .arity = -2,
        .flags = FE_WRITE | FE_FAST,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_RW | FE_KEY_ACCESS | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "string",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Answers the string at a key and sets or removes its expiry.",
        .syntax = "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
                  "PXAT unix-time-milliseconds | PERSIST]",
    },
    {
        .name = "mset",
        .run = mset,
        .arity = -3,
        .flags = FE_WRITE | FE_DENYOOM | FE_OVERWRITES,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_OW | FE_KEY_UPDATE, 1, -1, 2}},
        .group = "string",
        .since = "1.0.1",
        .complexity = "O(N) with N the number of keys",
        .summary = "Stores several strings in one step.",
        .syntax = "key value [key value ...]",
        .tips = "request_policy:multi_shard response_policy:all_succeeded",
    },
    {
        .name = "msetnx",
        .run = msetnx,
        .arity = -3,
        .flags = FE_WRITE | FE_DENYOOM,
        .categories = FE_CAT_STRING,
        .keys = {{FE_KEY_OW | FE_KEY_INSERT, 1, -1, 2}},
        .group = "string",
        .since = "1.0.1",
        .complexity = "O(N) with N the number of keys",
        .summary = "Stores several strings in one step, or none if one of the keys is there.",
        .syntax = "key value [key value ...]",
        .tips = "request_policy:multi_shard response_policy:agg_min",
    },
};

FE_FAMILY_DEFINE(string_set, rows);
