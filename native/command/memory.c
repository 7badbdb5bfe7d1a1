/* MEMORY, as far as the data plane answers it: the size of a key, and giving memory back. The
 * reports (STATS, DOCTOR, MALLOC-STATS) are Python's. */
#include "command/families.h"
#include "command/open.h"
#include "engine/workers.h"

/* Reads [SAMPLES count], which only matters to values with parts; strings have none. */
static bool read_samples(fe_call *call)
{
    for (uint32_t i = 3; i < call->argc; i += 2) {
        int64_t samples;
        if (!fe_bytes_is_word(call->argv[i], "samples") || i + 1 == call->argc) {
            fe_call_syntax_error(call);
            return false;
        }
        if (!fe_call_int64(call, i + 1, &samples)) return false;
        if (samples < 0) {
            fe_call_syntax_error(call);
            return false;
        }
    }
    return true;
}

static void usage(fe_call *call)
{
    if (!read_samples(call)) return;
    fe_key key;
    if (fe_open_peek(call, 2, &key))
        fe_reply_integer(&call->reply, (int64_t)fe_key_memory(&key));
    else
        fe_reply_null(&call->reply);
}

/* The workers do it, as it may take long; the data itself lies in the log, which gives whole
 * segments back anyway. */
static void purge(fe_call *call)
{
    call->engine->purge_wanted = true;
    fe_workers_wake(call->engine);
    fe_reply_ok(&call->reply);
}

static void help(fe_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Report what is odd about the memory of the server.",
        "MALLOC-STATS",
        "    Answer the figures of the memory allocator.",
        "PURGE",
        "    Give free memory back to the system.",
        "STATS",
        "    Answer what takes the memory of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Answer how many bytes <key> and its value take.",
        NULL,
    };
    fe_call_help(call, "memory", lines);
}

static const fe_command_row rows[] = {
    {
        .name = "memory",
        .arity = -2,
        .flags = FE_CONTAINER,
        .group = "server",
        .since = "4.0.0",
        .complexity = "Depends on the subcommand",
        .summary = "Commands about memory.",
        .syntax = "",
    },
    {
        .name = "memory|help",
        .run = help,
        .arity = 2,
        .flags = FE_LOADING | FE_STALE,
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(1)",
        .summary = "Lists the subcommands.",
        .syntax = "",
    },
    {
        .name = "memory|purge",
        .run = purge,
        .arity = 2,
        .group = "server",
        .since = "4.0.0",
        .complexity = "Depends on how much memory is free",
        .summary = "Gives free memory back to the system.",
        .syntax = "",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
    },
    {
        .name = "memory|usage",
        .run = usage,
        .arity = -3,
        .flags = FE_READONLY | FE_HEADS,
        .keys = {{FE_KEY_RO, 2, 0, 1}},
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(1)",
        .summary = "Answers how many bytes a key and its value take.",
        .syntax = "key [SAMPLES count]",
    },
};

FE_FAMILY_DEFINE(memory, rows);
