/* MISSES: how many look-ups found nothing, by the reason why (store/misses.h). */
#include "command/families.h"

static void put_number(fe_reply *reply, const char *name, uint64_t value)
{
    fe_reply_bulk_text(reply, name);
    fe_reply_integer(reply, (int64_t)value);
}

static void answer(fe_call *call)
{
    fe_reply *reply = &call->reply;
    fe_miss_stats stats;
    fe_store_misses_get(call->store, &stats);
    fe_reply_map(reply, FE_MISS_COUNT + 6);
    for (unsigned i = 0; i < FE_MISS_COUNT; i++)
        put_number(reply, fe_miss_name((fe_miss)i), stats.by_since[i]);
    put_number(reply, "table_bytes", stats.bytes);
    put_number(reply, "table_capacity", stats.capacity);
    put_number(reply, "table_keys", stats.keys);
    put_number(reply, "table_pending", stats.pending);
    put_number(reply, "table_forgotten", stats.forgotten);
    fe_reply_bulk_text(reply, "false_attribution");
    fe_reply_double(reply, stats.error);
}

static void misses(fe_call *call)
{
    if (call->argc == 1) {
        answer(call);
    } else if (call->argc == 2 && fe_bytes_is_word(call->argv[1], "reset")) {
        fe_store_misses_reset(call->store);
        fe_reply_ok(&call->reply);
    } else {
        fe_call_syntax_error(call);
    }
}

static const fe_command_row rows[] = {
    {
        .name = "misses",
        .run = misses,
        .arity = -1,
        .flags = FE_ADMIN | FE_LOADING | FE_STALE,
        .group = "server",
        .since = "0.1.0",
        .complexity = "O(1)",
        .summary = "Answers how many look-ups found nothing, by the reason why.",
        .syntax = "[RESET]",
        .tips = "nondeterministic_output",
    },
};

FE_FAMILY_DEFINE(misses, rows);
