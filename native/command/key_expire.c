/* Expiry: setting, asking for and removing deadlines. */
#include "command/deadline.h"
#include "command/families.h"
#include "command/open.h"

/* Setting. --------------------------------------------------------------------------------------
 */

typedef struct expire_options {
    bool absent_only;  /* NX */
    bool present_only; /* XX */
    bool greater_only; /* GT */
    bool less_only;    /* LT */
} expire_options;

static bool read_expire_options(fe_call *call, expire_options *options)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        fe_bytes word = call->argv[i];
        if (fe_bytes_is_word(word, "nx"))
            options->absent_only = true;
        else if (fe_bytes_is_word(word, "xx"))
            options->present_only = true;
        else if (fe_bytes_is_word(word, "gt"))
            options->greater_only = true;
        else if (fe_bytes_is_word(word, "lt"))
            options->less_only = true;
        else {
            fe_call_errorf(call, "ERR Unsupported option %.*s",
                           word.len < 512 ? (int)word.len : 512, (const char *)word.ptr);
            return false;
        }
    }
    if (options->absent_only &&
        (options->present_only || options->greater_only || options->less_only)) {
        fe_call_error(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (!options->greater_only || !options->less_only) return true;
    fe_call_error(call, "ERR GT and LT options at the same time are not compatible");
    return false;
}

/* Whether the options allow `deadline` where `old` (0 = none, later than any) stands. */
static bool allowed(const expire_options *options, int64_t old, int64_t deadline)
{
    if (options->absent_only && old != 0) return false;
    if (options->present_only && old == 0) return false;
    if (options->greater_only && (old == 0 || deadline <= old)) return false;
    return !options->less_only || old == 0 || deadline < old;
}

static void expire_in(fe_call *call, fe_deadline_unit unit)
{
    expire_options options = {0};
    int64_t deadline;
    if (!read_expire_options(call, &options)) return;
    if (!fe_deadline_read(call, 2, unit, &deadline)) return;
    fe_key key;
    if (!fe_open_write(call, 1, &key) ||
        !allowed(&options, fe_record_deadline(key.record), deadline)) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    fe_status status = FE_OK;
    if (deadline <= fe_store_now(call->store))
        fe_key_delete(&key);
    else
        status = fe_key_set_deadline(&key, deadline);
    if (status == FE_OK)
        fe_reply_integer(&call->reply, 1);
    else
        fe_call_status_error(call, status);
}

static void expire(fe_call *call)
{
    expire_in(call, FE_DEADLINE_SECONDS_FROM_NOW);
}

static void pexpire(fe_call *call)
{
    expire_in(call, FE_DEADLINE_MS_FROM_NOW);
}

static void expireat(fe_call *call)
{
    expire_in(call, FE_DEADLINE_SECONDS);
}

static void pexpireat(fe_call *call)
{
    expire_in(call, FE_DEADLINE_MS);
}

static void persist(fe_call *call)
{
    fe_key key;
    if (!fe_open_write(call, 1, &key) || fe_record_deadline(key.record) == 0) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    fe_status status = fe_key_set_deadline(&key, FE_DEADLINE_NONE);
    if (status == FE_OK)
        fe_reply_integer(&call->reply, 1);
    else
        fe_call_status_error(call, status);
}

/* Asking. ---------------------------------------------------------------------------------------
 */

/* Answers -2 without a key and -1 without a deadline; seconds are rounded to the nearest. */
static void reply_deadline(fe_call *call, bool remaining, bool seconds)
{
    fe_key key;
    int64_t answer;
    if (!fe_open_look(call, 1, &key)) {
        answer = -2;
    } else if (fe_record_deadline(key.record) == 0) {
        answer = -1;
    } else {
        answer = fe_record_deadline(key.record);
        if (remaining) answer -= fe_store_now(call->store);
        if (answer < 0) answer = 0;
        if (seconds) answer = answer / 1000 + (answer % 1000 >= 500);
    }
    fe_reply_integer(&call->reply, answer);
}

static void ttl(fe_call *call)
{
    reply_deadline(call, true, true);
}

static void pttl(fe_call *call)
{
    reply_deadline(call, true, false);
}

static void expiretime(fe_call *call)
{
    reply_deadline(call, false, true);
}

static void pexpiretime(fe_call *call)
{
    reply_deadline(call, false, false);
}

#define EXPIRE_ROW                                                                                 \
    .arity = -3, .flags = FE_WRITE | FE_FAST, .categories = FE_CAT_KEYSPACE,                       \
    .keys = {{FE_KEY_RW | FE_KEY_UPDATE, 1, 0, 1}}, .group = "generic", .complexity = "O(1)"

#define DEADLINE_ROW                                                                               \
    .arity = 2, .flags = FE_READONLY | FE_FAST | FE_HEADS, .categories = FE_CAT_KEYSPACE,          \
    .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 0, 1}}, .group = "generic", .complexity = "O(1)",      \
    .syntax = "key"

static const fe_command_row rows[] = {
    {
        .name = "expire",
        .run = expire,
        .since = "1.0.0",
        .summary = "Lets a key expire after some seconds.",
        .syntax = "key seconds [NX | XX | GT | LT]",
        EXPIRE_ROW,
    },
    {
        .name = "pexpire",
        .run = pexpire,
        .since = "2.6.0",
        .summary = "Lets a key expire after some milliseconds.",
        .syntax = "key milliseconds [NX | XX | GT | LT]",
        EXPIRE_ROW,
    },
    {
        .name = "expireat",
        .run = expireat,
        .since = "1.2.0",
        .summary = "Lets a key expire at a Unix time in seconds.",
        .syntax = "key unix-time-seconds [NX | XX | GT | LT]",
        EXPIRE_ROW,
    },
    {
        .name = "pexpireat",
        .run = pexpireat,
        .since = "2.6.0",
        .summary = "Lets a key expire at a Unix time in milliseconds.",
        .syntax = "key unix-time-milliseconds [NX | XX | GT | LT]",
        EXPIRE_ROW,
    },
    {
        .name = "persist",
        .run = persist,
        .arity = 2,
        .flags = FE_WRITE | FE_FAST,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RW | FE_KEY_UPDATE, 1, 0, 1}},
        .group = "generic",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Takes the expiry from a key.",
        .syntax = "key",
    },
    {
        .name = "ttl",
        .run = ttl,
        .since = "1.0.0",
        .summary = "Answers in how many seconds a key expires.",
        .tips = "nondeterministic_output",
        DEADLINE_ROW,
    },
    {
        .name = "pttl",
        .run = pttl,
        .since = "2.6.0",
        .summary = "Answers in how many milliseconds a key expires.",
        .tips = "nondeterministic_output",
        DEADLINE_ROW,
    },
    {
        .name = "expiretime",
        .run = expiretime,
        .since = "7.0.0",
        .summary = "Answers the Unix time in seconds at which a key expires.",
        DEADLINE_ROW,
    },
    {
        .name = "pexpiretime",
        .run = pexpiretime,
        .since = "7.0.0",
        .summary = "Answers the Unix time in milliseconds at which a key expires.",
        DEADLINE_ROW,
    },
};

FE_FAMILY_DEFINE(key_expire, rows);
