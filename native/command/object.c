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

static void reply_place(fe_reply *reply, fe_place place)
{
    fe_reply_array(reply, 2);
    fe_reply_integer(reply, place.segment);
    fe_reply_integer(reply, (int64_t)place.offset);
}

static void reply_unless(fe_reply *reply, bool unknown, int64_t value)
{
    if (unknown)
        fe_reply_null(reply);
    else
        fe_reply_integer(reply, value);
}

/* Null for what only the disk knows, and for the home of what is at home. */
static void tier(fe_call *call)
{
    fe_whereabouts where;
    fe_reply *reply = &call->reply;
    if (!fe_open_where(call, 2, &where)) {
        fe_reply_null(reply);
        return;
    }
    fe_reply_map(reply, 7);
    fe_reply_bulk_text(reply, "tier");
    fe_reply_bulk_text(reply, fe_tier_name(where.tier));
    fe_reply_bulk_text(reply, "segment");
    fe_reply_integer(reply, where.at.segment);
    fe_reply_bulk_text(reply, "offset");
    fe_reply_integer(reply, (int64_t)where.at.offset);
    fe_reply_bulk_text(reply, "bytes");
    reply_unless(reply, where.bytes == 0, (int64_t)where.bytes);
    fe_reply_bulk_text(reply, "frequency");
    reply_unless(reply, where.tier == FE_TIER_DISK, where.marks);
    fe_reply_bulk_text(reply, "home");
    if (where.home.segment == 0)
        fe_reply_null(reply);
    else
        reply_place(reply, where.home);
    fe_reply_bulk_text(reply, "certain");
    fe_reply_bool(reply, where.certain);
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
        "TIER <key>",
        "    Answer where <key> is: its tier, segment and offset, bytes, reads counted of late, "
        "the home",
        "    of a copy, and whether it is certain that it exists. Nothing is read from disk for "
        "it.",
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
        .name = "object|tier",
        .run = tier,
        .arity = 3,
        .flags = FE_READONLY | FE_COLD,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RO, 2, 0, 1}},
        .group = "generic",
        .since = "7.2.0",
        .complexity = "O(1)",
        .summary = "Answers where a key is: in which tier of memory and disk, and at which place.",
        .syntax = "key",
        .tips = "nondeterministic_output",
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
