/* Transactions: MULTI opens a queue, the session fills it, EXEC hands it back to the session to be
 * run without anything in between; WATCH makes EXEC conditional. The rules about queueing are in
 * session/dispatch.c. */
#include "command/families.h"
#include "command/open.h"

/* Nothing is watched any more, and what was changed is forgiven. */
static void drop_watches(fe_call *call)
{
    fe_watches *watches = &call->clients->watches;
    fe_watches_drop(watches, &call->client->transaction);
    fe_store_set_interest(call->store, watches->count > 0);
    call->client->transaction.dirty = false;
}

static void drop_transaction(fe_call *call)
{
    drop_watches(call);
    fe_transaction_clear(&call->engine->alloc, &call->client->transaction);
}

static void multi(fe_call *call)
{
    fe_transaction *transaction = &call->client->transaction;
    if (transaction->open) {
        fe_call_error(call, "ERR MULTI calls can not be nested");
        return;
    }
    transaction->open = true;
    fe_reply_ok(&call->reply);
}

static void exec(fe_call *call)
{
    fe_transaction *transaction = &call->client->transaction;
    if (!transaction->open) {
        fe_call_error(call, "ERR EXEC without MULTI");
        return;
    }
    bool changed = transaction->dirty || fe_watches_expired(transaction, call->store);
    if (transaction->aborted) {
        fe_call_error(call, "EXECABORT Transaction discarded because of previous errors.");
        drop_transaction(call);
    } else if (changed) {
        fe_reply_null_array(&call->reply);
        drop_transaction(call);
    } else {
        call->after = FE_AFTER_EXEC;
    }
}

static void discard(fe_call *call)
{
    if (!call->client->transaction.open) {
        fe_call_error(call, "ERR DISCARD without MULTI");
        return;
    }
    drop_transaction(call);
    fe_reply_ok(&call->reply);
}

static void watch(fe_call *call)
{
    fe_transaction *transaction = &call->client->transaction;
    if (transaction->open) {
        fe_call_error(call, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (uint32_t i = 1; i < call->argc && !transaction->dirty; i++) {
        fe_key key;
        bool exists = fe_open_peek(call, i, &key);
        /* That looking has just removed an expired key must not count against a watch that begins
         * now. */
        fe_watches_take_marks(&call->clients->watches, call->store);
        if (!fe_watches_add(&call->clients->watches, transaction, call->client->db, call->argv[i],
                            key.hash, exists)) {
            fe_call_no_memory(call);
            return;
        }
        fe_store_set_interest(call->store, true);
    }
    fe_reply_ok(&call->reply);
}

static void unwatch(fe_call *call)
{
    drop_watches(call);
    fe_reply_ok(&call->reply);
}

static const fe_command_row rows[] = {
    {
        .name = "multi",
        .run = multi,
        .arity = 1,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_ALLOW_BUSY | FE_UNQUEUED,
        .categories = FE_CAT_TRANSACTION,
        .group = "transactions",
        .since = "1.2.0",
        .complexity = "O(1)",
        .summary = "Opens a transaction: the commands that follow are queued.",
        .syntax = "",
    },
    {
        .name = "exec",
        .run = exec,
        .arity = 1,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_SKIP_SLOWLOG | FE_UNQUEUED,
        .categories = FE_CAT_TRANSACTION,
        .group = "transactions",
        .since = "1.2.0",
        .complexity = "That of the queued commands",
        .summary = "Runs the queued commands, with nothing in between.",
        .syntax = "",
    },
    {
        .name = "discard",
        .run = discard,
        .arity = 1,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_ALLOW_BUSY | FE_UNQUEUED,
        .categories = FE_CAT_TRANSACTION,
        .group = "transactions",
        .since = "2.0.0",
        .complexity = "O(N) with N the number of queued commands",
        .summary = "Forgets the queued commands and what was watched.",
        .syntax = "",
    },
    {
        .name = "watch",
        .run = watch,
        .arity = -2,
        .flags =
            FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_ALLOW_BUSY | FE_UNQUEUED | FE_HEADS,
        .categories = FE_CAT_TRANSACTION,
        .keys = {{FE_KEY_RO, 1, -1, 1}},
        .group = "transactions",
        .since = "2.2.0",
        .complexity = "O(1) per key",
        .summary = "Makes the next EXEC run only if the keys have not changed until then.",
        .syntax = "key [key ...]",
    },
    {
        .name = "unwatch",
        .run = unwatch,
        .arity = 1,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_ALLOW_BUSY,
        .categories = FE_CAT_TRANSACTION,
        .group = "transactions",
        .since = "2.2.0",
        .complexity = "O(1)",
        .summary = "Forgets all watched keys.",
        .syntax = "",
    },
};

FE_FAMILY_DEFINE(transaction, rows);
