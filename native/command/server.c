/* Whole databases, the clock, the role, and MONITOR. */
#include "command/families.h"
#include "engine/workers.h"
#include "resp/number.h"

/* Reads [ASYNC | SYNC]; false after a syntax error. */
static bool read_flush_mode(fe_call *call, bool *wait)
{
    if (call->argc == 1) {
        *wait = !call->engine->options.flush_async;
    } else if (call->argc == 2 && fe_bytes_is_word(call->argv[1], "sync")) {
        *wait = true;
    } else if (call->argc == 2 && fe_bytes_is_word(call->argv[1], "async")) {
        *wait = false;
    } else {
        fe_call_syntax_error(call);
        return false;
    }
    return true;
}

static void answer_flush(fe_call *call, fe_status status)
{
    if (status != FE_OK) {
        fe_call_status_error(call, status);
        return;
    }
    fe_workers_wake(call->engine);
    fe_reply_ok(&call->reply);
}

static void flushall(fe_call *call)
{
    bool wait;
    if (!read_flush_mode(call, &wait)) return;
    answer_flush(call, fe_store_flush_all(call->store, wait));
    fe_insight_forget(&call->engine->insight, UINT32_MAX);
}

static void flushdb(fe_call *call)
{
    bool wait;
    if (!read_flush_mode(call, &wait)) return;
    answer_flush(call, fe_store_flush(call->store, call->client->db, wait));
    fe_insight_forget(&call->engine->insight, call->client->db);
}

/* Argument `i` as a number that an int holds; false after `error`. */
static bool read_database(fe_call *call, uint32_t i, const char *error, int64_t *db)
{
    if (fe_number_read_int64(call->argv[i], db) && *db >= INT32_MIN && *db <= INT32_MAX)
        return true;
    fe_call_error(call, error);
    return false;
}

static void swapdb(fe_call *call)
{
    int64_t one, two;
    if (!read_database(call, 1, "ERR invalid first DB index", &one) ||
        !read_database(call, 2, "ERR invalid second DB index", &two))
        return;
    int64_t count = call->engine->options.store.databases;
    if (one < 0 || one >= count || two < 0 || two >= count) {
        fe_call_error(call, "ERR DB index is out of range");
        return;
    }
    fe_store_swap(call->store, (uint32_t)one, (uint32_t)two);
    fe_insight_forget(&call->engine->insight, (uint32_t)one);
    fe_insight_forget(&call->engine->insight, (uint32_t)two);
    fe_reply_ok(&call->reply);
}

static void time_of_day(fe_call *call)
{
    int64_t now_us = fe_clock_wall_us();
    fe_reply_array(&call->reply, 2);
    fe_reply_bulk_integer(&call->reply, now_us / 1000000);
    fe_reply_bulk_integer(&call->reply, now_us % 1000000);
}

/* Nothing is saved yet: as in Redis, the time at which the server began with what it had. */
static void lastsave(fe_call *call)
{
    fe_reply_integer(&call->reply, call->engine->started_ms / 1000);
}

static void role(fe_call *call)
{
    fe_reply_array(&call->reply, 3);
    fe_reply_bulk_text(&call->reply, "master");
    fe_reply_integer(&call->reply, 0);
    fe_reply_array(&call->reply, 0);
}

/* Asking again changes nothing and, as in Redis, is not answered. */
static void monitor(fe_call *call)
{
    if (call->in_exec) {
        fe_call_error(call, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (call->client->monitor) return;
    call->client->monitor = true;
    call->clients->monitors++;
    fe_reply_ok(&call->reply);
}

static const fe_command_row rows[] = {
    {
        .name = "flushall",
        .run = flushall,
        .arity = -1,
        .flags = FE_WRITE,
        .categories = FE_CAT_KEYSPACE | FE_CAT_DANGEROUS,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1); the memory is given back in the background, or at once with SYNC",
        .summary = "Removes all keys of all databases.",
        .syntax = "[ASYNC | SYNC]",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
    },
    {
        .name = "flushdb",
        .run = flushdb,
        .arity = -1,
        .flags = FE_WRITE,
        .categories = FE_CAT_KEYSPACE | FE_CAT_DANGEROUS,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1); the memory is given back in the background, or at once with SYNC",
        .summary = "Removes all keys of the selected database.",
        .syntax = "[ASYNC | SYNC]",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
    },
    {
        .name = "swapdb",
        .run = swapdb,
        .arity = 3,
        .flags = FE_WRITE | FE_FAST,
        .categories = FE_CAT_KEYSPACE | FE_CAT_DANGEROUS,
        .group = "server",
        .since = "4.0.0",
        .complexity = "O(N) with N the number of watched keys",
        .summary = "Exchanges two databases.",
        .syntax = "index1 index2",
    },
    {
        .name = "time",
        .run = time_of_day,
        .arity = 1,
        .flags = FE_LOADING | FE_STALE | FE_FAST,
        .group = "server",
        .since = "2.6.0",
        .complexity = "O(1)",
        .summary = "Answers the server's clock in seconds and microseconds.",
        .syntax = "",
        .tips = "nondeterministic_output",
    },
    {
        .name = "lastsave",
        .run = lastsave,
        .arity = 1,
        .flags = FE_LOADING | FE_STALE | FE_FAST,
        .categories = FE_CAT_ADMIN | FE_CAT_DANGEROUS,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers when the data was last saved, or else when the server started.",
        .syntax = "",
        .tips = "nondeterministic_output",
    },
    {
        .name = "role",
        .run = role,
        .arity = 1,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST,
        .categories = FE_CAT_ADMIN | FE_CAT_DANGEROUS,
        .group = "server",
        .since = "2.8.12",
        .complexity = "O(1)",
        .summary = "Answers the server's part in replication.",
        .syntax = "",
    },
    {
        .name = "monitor",
        .run = monitor,
        .arity = 1,
        .flags = FE_ADMIN | FE_NOSCRIPT | FE_LOADING | FE_STALE,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1); every command of others then costs its length",
        .summary = "Shows every command that the server runs.",
        .syntax = "",
    },
};

FE_FAMILY_DEFINE(server, rows);
