/* DEBUG: what tests of servers and clients need. One command with words of its own, as in Redis; a
 * word that Python answers is registered as a subcommand, and found before this handler is asked.
 *
 * The row is protected: without enable_debug_command the session refuses it.
 */
#include "base/glob.h"
#include "command/families.h"
#include "command/object.h"
#include "command/open.h"
#include "command/subcommand.h"
#include "resp/number.h"

#include <math.h>

#define SLEEP_SECONDS_MAX 1e9
#define POPULATE_NAME_SIZE 128 /* longer names are cut, as in Redis */
#define STEP_BUCKETS 4096u
#define STEP_RECORDS 65536u
#define STEP_BYTES (1024u * 1024u)

/* Holds up the caller alone. The time counts as that of the command, so that SLOWLOG and LATENCY
 * can be tried. */
static void sleep_seconds(fe_call *call)
{
    double seconds;
    if (!fe_number_read_double(call->argv[2], &seconds) || isnan(seconds)) {
        fe_call_error(call, "ERR value is not a valid float");
        return;
    }
    if (seconds <= 0) {
        fe_reply_ok(&call->reply);
        return;
    }
    if (seconds > SLEEP_SECONDS_MAX) seconds = SLEEP_SECONDS_MAX;
    call->after = FE_AFTER_WAIT;
    call->wait_ms = (int64_t)ceil(seconds * 1000.0);
    call->wait_status = "OK";
}

static void object(fe_call *call)
{
    fe_key key;
    fe_whereabouts where;
    if (!fe_open_where(call, 2, &where)) {
        fe_call_error(call, "ERR no such key");
        return;
    }
    if (where.tier == FE_TIER_DISK) { /* DEBUG names no keys, so none is read for it */
        fe_call_error(call, "ERR the key is on disk; OBJECT TIER tells where");
        return;
    }
    (void)fe_open_peek(call, 2, &key);
    char line[256];
    snprintf(line, sizeof line,
             "Value at:%p refcount:1 encoding:%s serializedlength:%u lru:%u lru_seconds_idle:%lld",
             (const void *)key.record, fe_object_encoding(key.record),
             fe_record_value_len(key.record), fe_record_access(key.record),
             (long long)fe_key_idle_seconds(&key));
    fe_reply_status(&call->reply, line);
}

static void set_active_expire(fe_call *call)
{
    int64_t on;
    if (!fe_call_int64(call, 2, &on)) return;
    call->engine->expire_paused = on == 0;
    fe_reply_ok(&call->reply);
}

/* Argument `i` as a number that is not negative; false after an error reply. */
static bool read_count(fe_call *call, uint32_t i, int64_t *count)
{
    if (fe_number_read_int64(call->argv[i], count) && *count >= 0) return true;
    fe_call_error(call, "ERR value is out of range, must be positive");
    return false;
}

/* Makes a key with the value "value:<number>", cut or filled up with zeros to `size` unless that is
 * 0; one that exists, or that the disk may hold, is left alone. False after an error reply. */
static bool populate_one(fe_call *call, fe_bytes prefix, uint64_t number, size_t size)
{
    char name[POPULATE_NAME_SIZE], text[32];
    int shown = prefix.len < sizeof name ? (int)prefix.len : (int)sizeof name - 1;
    snprintf(name, sizeof name, "%.*s:%llu", shown, (const char *)prefix.ptr,
             (unsigned long long)number);
    size_t len = (size_t)snprintf(text, sizeof text, "value:%llu", (unsigned long long)number);
    fe_bytes key_name = {(const uint8_t *)name, strlen(name)};
    uint64_t hash = fe_key_hash(fe_store_seed(call->store), key_name);
    fe_whereabouts where;
    if (fe_look_key(call->store, call->client->db, key_name, hash, &where)) return true;
    fe_key key;
    fe_key_find(call->store, call->client->db, key_name, hash, true, &key);
    if (size == 0) size = len;
    if (size > FE_VALUE_MAX) {
        fe_call_status_error(call, FE_TOO_LARGE);
        return false;
    }
    uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, size, FE_DEADLINE_NONE);
    if (value == NULL) {
        fe_call_no_memory(call);
        return false;
    }
    memset(value, 0, size);
    memcpy(value, text, len < size ? len : size);
    return true;
}

static void populate(fe_call *call)
{
    int64_t count, size = 0;
    if (!read_count(call, 2, &count)) return;
    if (call->argc == 5 && !read_count(call, 4, &size)) return;
    fe_bytes prefix = call->argc > 3 ? call->argv[3] : FE_BYTES("key");
    for (uint64_t i = 0; i < (uint64_t)count; i++)
        if (!populate_one(call, prefix, i, (size_t)size)) return;
    fe_reply_ok(&call->reply);
}

static void check_store(fe_call *call)
{
    const char *violation = fe_store_check(call->store);
    if (violation == NULL)
        fe_reply_ok(&call->reply);
    else
        fe_call_errorf(call, "ERR the store is damaged: %s", violation);
}

/* Runs one kind of background step until nothing is due. */
static void step(fe_call *call)
{
    fe_bytes kind = call->argv[2];
    if (fe_bytes_is_word(kind, "index")) {
        while (fe_store_step_index(call->store, STEP_BUCKETS)) {}
    } else if (fe_bytes_is_word(kind, "expire")) {
        while (fe_store_step_expire(call->store, STEP_RECORDS)) {}
    } else if (fe_bytes_is_word(kind, "compact")) {
        while (fe_store_step_compact(call->store, STEP_BYTES)) {}
    } else {
        fe_call_syntax_error(call);
        return;
    }
    fe_reply_ok(&call->reply);
}

static void string_match(fe_call *call)
{
    fe_reply_integer(&call->reply, fe_glob_match(call->argv[2], call->argv[3], false));
}

/* Answers the argument as an error; it cannot break the protocol, as line ends become spaces. */
static void error(fe_call *call)
{
    fe_bytes text = call->argv[2];
    fe_call_errorf(call, "%.*s", (int)(text.len < 512 ? text.len : 512), (const char *)text.ptr);
}

/* PROTOCOL: one reply of each type.
 * --------------------------------------------------------------- */

static void numbers(fe_reply *reply)
{
    for (int64_t i = 0; i < 3; i++)
        fe_reply_integer(reply, i);
}

static void show_map(fe_reply *reply)
{
    fe_reply_map(reply, 3);
    for (int64_t i = 0; i < 3; i++) {
        fe_reply_integer(reply, i);
        fe_reply_bool(reply, i == 1);
    }
}

static void show_attribute(fe_reply *reply)
{
    if (reply->resp == 3) {
        fe_reply_attribute(reply, 1);
        fe_reply_bulk_text(reply, "key-popularity");
        fe_reply_array(reply, 2);
        fe_reply_bulk_text(reply, "key:123");
        fe_reply_integer(reply, 90);
    }
    fe_reply_bulk_text(reply, "Some real reply following the attribute");
}

static void show_push(fe_call *call)
{
    if (call->reply.resp != 3) {
        fe_call_error(call, "ERR RESP2 is not supported by this command");
        return;
    }
    fe_reply_push(&call->reply, 2);
    fe_reply_bulk_text(&call->reply, "server-cpu-usage");
    fe_reply_integer(&call->reply, 42);
    fe_reply_bulk_text(&call->reply, "Some real reply following the push reply");
}

static void protocol(fe_call *call)
{
    fe_reply *reply = &call->reply;
    fe_bytes type = call->argv[2];
    if (fe_bytes_is_word(type, "string")) {
        fe_reply_bulk_text(reply, "Hello World");
    } else if (fe_bytes_is_word(type, "integer")) {
        fe_reply_integer(reply, 12345);
    } else if (fe_bytes_is_word(type, "double")) {
        fe_reply_double(reply, 3.141);
    } else if (fe_bytes_is_word(type, "null")) {
        fe_reply_null(reply);
    } else if (fe_bytes_is_word(type, "array")) {
        fe_reply_array(reply, 3);
        numbers(reply);
    } else if (fe_bytes_is_word(type, "set")) {
        fe_reply_set(reply, 3);
        numbers(reply);
    } else if (fe_bytes_is_word(type, "map")) {
        show_map(reply);
    } else if (fe_bytes_is_word(type, "attrib")) {
        show_attribute(reply);
    } else if (fe_bytes_is_word(type, "push")) {
        show_push(call);
    } else if (fe_bytes_is_word(type, "verbatim")) {
        fe_reply_verbatim(reply, "txt", FE_BYTES("This is a verbatim\nstring"));
    } else if (fe_bytes_is_word(type, "true") || fe_bytes_is_word(type, "false")) {
        fe_reply_bool(reply, fe_bytes_is_word(type, "true"));
    } else if (fe_bytes_is_word(type, "bignum")) {
        fe_reply_big_number(reply, FE_BYTES("1234567999999999999999999999999999999"));
    } else {
        fe_call_error(call, "ERR Wrong protocol type name. Please use one of the following: "
                            "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|"
                            "true|false");
    }
}

static void help(fe_call *call)
{
    static const char *const lines[] = {
        "CHANGE-REPL-ID",
        "    Take another replication id.",
        "CHECK-STORE",
        "    Check every invariant of the store. Holds up everybody.",
        "ERROR <text>",
        "    Answer <text> as an error.",
        "OBJECT <key>",
        "    Answer how <key> is held.",
        "POPULATE <count> [<prefix> [<size>]]",
        "    Make <count> keys <prefix>:<number>, of <size> bytes each. Holds up everybody.",
        "PROTOCOL <type>",
        "    Answer a reply of the type: string, integer, double, bignum, null, array, set, map,",
        "    attrib, push, verbatim, true, false.",
        "PYTHON-SPIN <seconds> [<cpu>]",
        "    Keep a Python thread of the server busy.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether keys expire in the background.",
        "SLEEP <seconds>",
        "    Hold up this connection.",
        "STEP <index|expire|compact>",
        "    Do the background work of a kind until nothing is due.",
        "STRINGMATCH-LEN <pattern> <text>",
        "    Answer whether the glob pattern matches the text.",
        "TIER <SEAL|MAP|DISK|COMPACT|TRIM>",
        "    Send all data down to a tier, rewrite files that hold garbage, or empty the read "
        "cache;",
        "    answers when it is done.",
        NULL,
    };
    fe_call_help(call, "debug", lines);
}

typedef struct debug_word {
    const char *name;
    uint32_t argc;
    fe_handler *run;
} debug_word;

static const debug_word words[] = {
    {"check-store", 2, check_store},
    {"error", 3, error},
    {"help", 2, help},
    {"object", 3, object},
    {"populate", 3, populate},
    {"populate", 4, populate},
    {"populate", 5, populate},
    {"protocol", 3, protocol},
    {"set-active-expire", 3, set_active_expire},
    {"sleep", 3, sleep_seconds},
    {"step", 3, step},
    {"stringmatch-len", 4, string_match},
};

static void debug(fe_call *call)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i].argc != call->argc || !fe_bytes_is_word(call->argv[1], words[i].name))
            continue;
        words[i].run(call);
        return;
    }
    fe_subcommand_error(call);
}

static const fe_command_row rows[] = {
    {
        .name = "debug",
        .run = debug,
        .arity = -2,
        .flags = FE_ADMIN | FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_PROTECTED,
        .group = "server",
        .since = "1.0.0",
        .complexity = "Depends on the subcommand",
        .summary = "Commands for tests.",
        .syntax = "subcommand [argument [argument ...]]",
    },
};

FE_FAMILY_DEFINE(debug, rows);
