/* SLOWLOG: reading and emptying the log that session/count.c fills. */
#include "command/families.h"
#include "command/label.h"
#include "command/subcommand.h"
#include "resp/number.h"

enum { ENTRIES_DEFAULT = 10 };

static void reply_entry(fe_reply *reply, const fe_slowlog_entry *entry)
{
    fe_reply_array(reply, 6);
    fe_reply_integer(reply, (int64_t)entry->id);
    fe_reply_integer(reply, entry->unix_seconds);
    fe_reply_integer(reply, entry->duration_us);
    fe_reply_array(reply, entry->argc);
    for (uint32_t i = 0; i < entry->argc; i++)
        fe_reply_bulk(reply, entry->argv[i]);
    fe_reply_bulk(reply, entry->client_addr);
    fe_reply_bulk(reply, entry->client_name);
}

/* Answers the newest entries, as many as the call asks for. */
static void reply_newest(fe_call *call,
                         void (*reply_one)(fe_reply *reply, const fe_slowlog_entry *entry))
{
    const fe_slowlog *log = &call->engine->slowlog;
    int64_t count = ENTRIES_DEFAULT;
    if (call->argc > 3) {
        fe_subcommand_error(call);
        return;
    }
    if (call->argc == 3 && (!fe_number_read_int64(call->argv[2], &count) || count < -1)) {
        fe_call_error(call, "ERR count should be greater than or equal to -1");
        return;
    }
    if (count == -1 || count > (int64_t)log->count) count = log->count;
    fe_reply_array(&call->reply, (uint64_t)count);
    for (uint32_t i = 0; i < (uint32_t)count; i++)
        reply_one(&call->reply, fe_slowlog_get(log, i));
}

static void get(fe_call *call)
{
    reply_newest(call, reply_entry);
}

static void reply_trace(fe_reply *reply, const fe_slowlog_entry *entry)
{
    const fe_trace_label *label = &entry->label;
    fe_reply_array(reply, 4);
    fe_reply_integer(reply, (int64_t)entry->id);
    fe_label_reply_ids(reply, label);
    fe_label_reply_times(reply, label);
}

static void traces(fe_call *call)
{
    reply_newest(call, reply_trace);
}

static void len(fe_call *call)
{
    fe_reply_integer(&call->reply, call->engine->slowlog.count);
}

static void reset(fe_call *call)
{
    fe_slowlog_clear(&call->engine->slowlog);
    fe_reply_ok(&call->reply);
}

static void help(fe_call *call)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Answer the newest <count> entries (10; -1 means all): id, time, duration in",
        "    microseconds, arguments, address and name of the client.",
        "LEN",
        "    Answer how many entries there are.",
        "RESET",
        "    Remove all entries.",
        "TRACES [<count>]",
        "    Answer of the newest <count> entries (10; -1 means all): id, trace id and span id,",
        "    and in microseconds how long the command was queued, looked for its keys, took in "
        "all,",
        "    and waited within that; null where no span was recorded, or nothing measured.",
        NULL,
    };
    fe_call_help(call, "slowlog", lines);
}

static const fe_command_row rows[] = {
    {
        .name = "slowlog",
        .arity = -2,
        .flags = FE_CONTAINER,
        .group = "server",
        .since = "2.2.12",
        .complexity = "Depends on the subcommand",
        .summary = "Commands about the log of slow commands.",
        .syntax = "",
    },
    {
        .name = "slowlog|get",
        .run = get,
        .arity = -2,
        .flags = FE_ADMIN | FE_LOADING | FE_STALE,
        .group = "server",
        .since = "2.2.12",
        .complexity = "O(N) with N the number of entries answered",
        .summary = "Answers entries of the slow log.",
        .syntax = "[count]",
        .tips = "request_policy:all_nodes nondeterministic_output",
    },
    {
        .name = "slowlog|help",
        .run = help,
        .arity = 2,
        .flags = FE_LOADING | FE_STALE,
        .group = "server",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Lists the subcommands.",
        .syntax = "",
    },
    {
        .name = "slowlog|len",
        .run = len,
        .arity = 2,
        .flags = FE_ADMIN | FE_LOADING | FE_STALE,
        .group = "server",
        .since = "2.2.12",
        .complexity = "O(1)",
        .summary = "Counts the entries of the slow log.",
        .syntax = "",
        .tips = "request_policy:all_nodes response_policy:agg_sum nondeterministic_output",
    },
    {
        .name = "slowlog|reset",
        .run = reset,
        .arity = 2,
        .flags = FE_ADMIN | FE_LOADING | FE_STALE,
        .group = "server",
        .since = "2.2.12",
        .complexity = "O(N) with N the number of entries",
        .summary = "Removes all entries of the slow log.",
        .syntax = "",
        .tips = "request_policy:all_nodes response_policy:all_succeeded",
    },
    {
        .name = "slowlog|traces",
        .run = traces,
        .arity = -2,
        .flags = FE_ADMIN | FE_LOADING | FE_STALE,
        .group = "server",
        .since = "7.2.0",
        .complexity = "O(N) with N the number of entries answered",
        .summary = "Answers the spans of entries of the slow log, and the stages of their time.",
        .syntax = "[count]",
        .tips = "request_policy:all_nodes nondeterministic_output",
    },
};

FE_FAMILY_DEFINE(slowlog, rows);
