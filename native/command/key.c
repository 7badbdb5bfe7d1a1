/* Keys of any type: existence, removal, type, random choice, size of a database, WAIT and WAITAOF. */
#include "command/families.h"
#include "command/open.h"
#include "resp/number.h"

static void del(fe_call *call)
{
    int64_t removed = 0;
    for (uint32_t i = 1; i < call->argc; i++) {
        fe_key key;
        if (!fe_open_peek(call, i, &key)) continue;
        fe_key_delete(&key);
        removed++;
    }
    fe_reply_integer(&call->reply, removed);
}

static void exists(fe_call *call)
{
    int64_t count = 0;
    fe_key key;
    for (uint32_t i = 1; i < call->argc; i++)
        count += fe_open_look(call, i, &key);
    fe_reply_integer(&call->reply, count);
}

static void touch(fe_call *call)
{
    int64_t count = 0;
    fe_key key;
    for (uint32_t i = 1; i < call->argc; i++)
        count += fe_open_touch(call, i, &key);
    fe_reply_integer(&call->reply, count);
}

static void type(fe_call *call)
{
    fe_key key;
    bool found = fe_open_look(call, 1, &key);
    fe_reply_status(&call->reply, found ? fe_open_type_name(fe_record_type(key.record)) : "none");
}

static void randomkey(fe_call *call)
{
    fe_key key;
    bool found = fe_store_random_key(call->store, call->client->db, &call->engine->random, &key);
    if (fe_store_is_missing(call->store))
        call->after = FE_AFTER_FETCH;
    else if (found)
        fe_reply_bulk(&call->reply, fe_record_key(key.record));
    else
        fe_reply_null(&call->reply);
}

static void dbsize(fe_call *call)
{
    if (!fe_store_is_settled(call->store, call->client->db)) {
        call->after = FE_AFTER_FETCH;
        return;
    }
    fe_reply_integer(&call->reply, (int64_t)fe_store_db_size(call->store, call->client->db));
}

/* There are no replicas: what is wanted beyond none never comes, and the timeout decides. */
static void wait(fe_call *call)
{
    int64_t replicas, timeout_ms;
    if (!fe_call_int64(call, 1, &replicas)) return;
    if (!fe_call_timeout_ms(call, 2, &timeout_ms)) return;
    if (replicas <= 0 || call->in_exec) {
        fe_reply_integer(&call->reply, 0);
        return;
    }
    call->after = FE_AFTER_WAIT;
    call->wait_ms = timeout_ms;
    call->wait_reply = 0;
}

/* The two numbers of WAITAOF; false after an error. */
static bool read_waitaof(fe_call *call, int64_t *local, int64_t *replicas)
{
    if (!fe_call_int64(call, 1, local)) return false;
    if (*local < 0 || *local > 1) {
        fe_call_error(call, "ERR value is out of range, value must between 0 and 1");
        return false;
    }
    if (!fe_number_read_int64(call->argv[2], replicas) || *replicas < 0) {
        fe_call_error(call, "ERR value is out of range, must be positive");
        return false;
    }
    return true;
}

/* There is no append-only file either, here or elsewhere: no write is ever in one. */
static void waitaof(fe_call *call)
{
    int64_t local, replicas, timeout_ms;
    if (!read_waitaof(call, &local, &replicas) || !fe_call_timeout_ms(call, 3, &timeout_ms)) return;
    if (local != 0) {
        fe_call_error(call, "ERR WAITAOF cannot be used when numlocal is set but appendonly is"
                            " disabled.");
        return;
    }
    if (replicas == 0 || call->in_exec) {
        fe_reply_array(&call->reply, 2);
        fe_reply_integer(&call->reply, 0);
        fe_reply_integer(&call->reply, 0);
        return;
    }
    call->after = FE_AFTER_WAIT;
    call->wait_ms = timeout_ms;
    call->wait_reply = 0;
    call->wait_is_pair = true;
}

static const fe_command_row rows[] = {
    {
        .name = "del",
        .run = del,
        .arity = -2,
        .flags = FE_WRITE | FE_HEADS,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RM | FE_KEY_DELETE, 1, -1, 1}},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) with N the number of keys",
        .summary = "Removes keys.",
        .syntax = "key [key ...]",
        .tips = "request_policy:multi_shard response_policy:agg_sum",
    },
    {
        .name = "unlink",
        .run = del,
        .arity = -2,
        .flags = FE_WRITE | FE_FAST | FE_HEADS,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RM | FE_KEY_DELETE, 1, -1, 1}},
        .group = "generic",
        .since = "4.0.0",
        .complexity = "O(N) with N the number of keys",
        .summary = "Removes keys; their memory is reclaimed later, as it is after DEL.",
        .syntax = "key [key ...]",
        .tips = "request_policy:multi_shard response_policy:agg_sum",
    },
    {
        .name = "exists",
        .run = exists,
        .arity = -2,
        .flags = FE_READONLY | FE_FAST | FE_HEADS,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RO, 1, -1, 1}},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(N) with N the number of keys",
        .summary = "Counts how many of the named keys are there.",
        .syntax = "key [key ...]",
        .tips = "request_policy:multi_shard response_policy:agg_sum",
    },
    {
        .name = "touch",
        .run = touch,
        .arity = -2,
        .flags = FE_READONLY | FE_FAST | FE_HEADS,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RO, 1, -1, 1}},
        .group = "generic",
        .since = "3.2.1",
        .complexity = "O(N) with N the number of keys",
        .summary = "Marks keys as used just now and counts those that are there.",
        .syntax = "key [key ...]",
        .tips = "request_policy:multi_shard response_policy:agg_sum",
    },
    {
        .name = "type",
        .run = type,
        .arity = 2,
        .flags = FE_READONLY | FE_FAST | FE_HEADS,
        .categories = FE_CAT_KEYSPACE,
        .keys = {{FE_KEY_RO, 1, 0, 1}},
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Names the type of the value at a key.",
        .syntax = "key",
    },
    {
        .name = "randomkey",
        .run = randomkey,
        .arity = 1,
        .flags = FE_READONLY,
        .categories = FE_CAT_KEYSPACE,
        .group = "generic",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers the name of a key that is chosen at random.",
        .syntax = "",
        .tips = "request_policy:all_shards nondeterministic_output",
    },
    {
        .name = "dbsize",
        .run = dbsize,
        .arity = 1,
        .flags = FE_READONLY | FE_FAST,
        .categories = FE_CAT_KEYSPACE,
        .group = "server",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Counts the keys of the selected database.",
        .syntax = "",
        .tips = "request_policy:all_shards response_policy:agg_sum",
    },
    {
        .name = "wait",
        .run = wait,
        .arity = 3,
        .flags = 0,
        .categories = FE_CAT_CONNECTION,
        .group = "generic",
        .since = "3.0.0",
        .complexity = "O(1)",
        .summary = "Waits until replicas have the writes of this connection; answers how many do.",
        .syntax = "numreplicas timeout",
        .tips = "request_policy:all_shards response_policy:agg_min",
    },
    {
        .name = "waitaof",
        .run = waitaof,
        .arity = 4,
        .flags = 0,
        .categories = FE_CAT_CONNECTION,
        .group = "generic",
        .since = "7.2.0",
        .complexity = "O(1)",
        .summary = "Waits until append-only files, here and of replicas, have the writes of this "
                   "connection; answers how many do.",
        .syntax = "numlocal numreplicas timeout",
        .tips = "request_policy:all_shards response_policy:agg_min",
    },
};

FE_FAMILY_DEFINE(key, rows);
