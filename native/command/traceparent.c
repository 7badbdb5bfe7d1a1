/* TRACEPARENT: the caller of the connection's next command, for clients that cannot send attributes. */
#include "command/families.h"

static fe_bytes state_of(const fe_call *call)
{
    bool given = call->argc == 3 && fe_tracestate_is_valid(call->argv[2]);
    return given ? call->argv[2] : (fe_bytes){NULL, 0};
}

static void traceparent(fe_call *call)
{
    fe_trace_parent parent;
    if (call->argc > 3) {
        fe_call_arity_error(call);
        return;
    }
    if (!fe_traceparent_read(call->argv[1], &parent)) {
        fe_call_error(call, "ERR invalid traceparent");
        return;
    }
    const fe_telemetry_options *options = &call->engine->telemetry.options;
    if (options->traces && !options->ignores_callers) {
        fe_trace_mark *mark =
            fe_trace_mark_new(&call->engine->alloc, &parent, state_of(call), (fe_bytes){NULL, 0});
        if (mark == NULL) {
            fe_call_no_memory(call);
            return;
        }
        fe_client_set_mark(call->clients, call->client, mark);
        call->marks_next = true;
    }
    fe_reply_ok(&call->reply);
}

static const fe_command_row rows[] = {
    {
        .name = "traceparent",
        .run = traceparent,
        .arity = -2,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_ALLOW_BUSY | FE_UNQUEUED,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "7.2.0",
        .complexity = "O(1)",
        .summary = "Names the span that calls the next command, or the next transaction.",
        .syntax = "traceparent [tracestate]",
    },
};

FE_FAMILY_DEFINE(traceparent, rows);
