/* OBJECT: how a key's value is held, and what the eviction policy knows about it. */
#include "command/object.h"

#include "command/families.h"
#include "command/open.h"

enum { EMBEDDED_BYTES_MAX = 44 }; /* longer strings are "raw" in Redis */

/* Opens argv[2], or answers null. */
static bool open_object(fe_call *call, fe_key *key)
{
    if (fe_open_look(call, 2, key)) return true;
    fe_reply_null(&call->reply);
    return false;
}

/* Redis's names. A short string is "raw" once it has been changed in place: then it has the record
 * form that can grow. A long key needs that form too; there its capacity tells. */
const char *fe_object_encoding(const fe_record *record)
{
    if (fe_record_flags(record) & FE_RECORD_INT) return "int";
    uint32_t len = fe_record_value_len(record);
    if (len > EMBEDDED_BYTES_MAX) return "raw";
    if (!(fe_record_flags(record) & FE_RECORD_LARGE)) return "embstr";
    bool long_key = fe_record_key_len(record) > FE_RECORD_SMALL_KEY_MAX;
    bool slack = fe_record_value_cap(record) - len >= FE_RECORD_ALIGN;
    return long_key && !slack ? "embstr" : "raw";
}

static void encoding(fe_call *call)
{
    fe_key key;
    if (open_object(call, &key)) fe_reply_bulk_text(&call->reply, fe_object_encoding(key.record));
}

/* Values are never shared. */
static void refcount(fe_call *call)
{
    fe_key key;
    if (open_object(call, &key)) fe_reply_integer(&call->reply, 1);
}

static bool policy_is_lfu(const fe_call *call)
{
    fe_policy policy = fe_store_get_options(call->store)->policy;
    return policy == FE_POLICY_ALLKEYS_LFU || policy == FE_POLICY_VOLATILE_LFU;
}

static void idletime(fe_call *call)
{
    fe_key key;
    if (!open_object(call, &key)) return;
    if (policy_is_lfu(call))
        fe_call_error(call, "ERR An LFU maxmemory policy is selected, idle time not tracked. "
                            "Please note that when switching between policies at runtime LRU and "
                            "LFU data will take some time to adjust.");
    else
        fe_reply_integer(&call->reply, fe_key_idle_seconds(&key));
}

static void frequency(fe_call *call)
{
    fe_key key;
    if (!open_object(call, &key)) return;
    if (!policy_is_lfu(call))
        fe_call_error(call, "ERR An LFU maxmemory policy is not selected, access frequency not "
                            "tracked. Please note that when switching between policies at runtime "
                            "LRU and LFU data will take some time to adjust.");
    else
        fe_reply_integer(&call->reply, fe_key_frequency(&key));
}

static void help(fe_call *call)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Answer how the value of <key> is held.",
        "FREQ <key>",
        "    Answer how often <key> is used, on a logarithmic scale (LFU policies only).",
        "IDLETIME <key>",
        "    Answer for how many seconds <key> has not been used.",
        "REFCOUNT <key>",
        "    Answer how many references there are to the value of <key>.",
        NULL,
    };
    fe_call_help(call, "object", lines);
}

#define OBJECT_ROW                                                                                 \
    .arity = 3, .flags = FE_READONLY, .categories = FE_CAT_KEYSPACE,                               \
    .keys = {{FE_KEY_RO, 2, 0, 1}}, .group = "generic", .complexity = "O(1)", .syntax = "key",     \
    .tips = "nondeterministic_output"

static const fe_command_row rows[] = {
    {
        .name = "object",
        .arity = -2,
        .flags = FE_CONTAINER,
        .group = "generic",
        .since = "2.2.3",
        .complexity = "Depends on the subcommand",
        .summary = "Holds the commands that look at how a value is held.",
        .syntax = "",
    },
    {
        .name = "object|encoding",
        .run = encoding,
        .since = "2.2.3",
        .summary = "Names the encoding of the value at a key.",
        OBJECT_ROW,
    },
    {
        .name = "object|freq",
        .run = frequency,
        .since = "4.0.0",
        .summary = "Answers the counter of uses of a key, under an LFU policy.",
        OBJECT_ROW,
    },
    {
        .name = "object|idletime",
        .run = idletime,
        .since = "2.2.3",
        .summary = "Answers for how many seconds a key has not been used.",
        OBJECT_ROW,
    },
    {
        .name = "object|refcount",
        .run = refcount,
        .since = "2.2.3",
        .summary = "Answers the number of references to a value, which is always one.",
        OBJECT_ROW,
    },
    {
        .name = "object|help",
        .run = help,
        .arity = 2,
        .flags = FE_LOADING | FE_STALE,
        .categories = FE_CAT_KEYSPACE,
        .group = "generic",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Lists the subcommands of OBJECT.",
        .syntax = "",
    },
};

FE_FAMILY_DEFINE(object, rows);
