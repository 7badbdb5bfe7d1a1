/* See run.h. */
#include "session/run.h"

#include "command/open.h"
#include "session/count.h"
#include "session/monitor.h"
#include "session/observe.h"
#include "session/park.h"
#include "session/resident.h"
#include "session/trace.h"
#include "store/tier.h"

/* All arguments behind the command's own name, one word or two. */
static uint64_t secrets_of(const fe_command_row *row)
{
    if (FE_LIKELY(!(row->flags & FE_SECRET))) return 0;
    return UINT64_MAX << (strchr(row->name, '|') == NULL ? 1 : 2);
}

void fe_run_begin(fe_run *it, fe_session *session, fe_command *command, const fe_bytes *argv,
                  uint32_t argc)
{
    fe_server *server = session->server;
    it->session = session;
    it->command = command;
    it->call = (fe_call){.engine = server->engine,
                         .store = server->engine->store,
                         .clients = &server->clients,
                         .client = &session->client,
                         .commands = server->commands,
                         .row = command != NULL ? command->row : NULL,
                         .argv = argv,
                         .argc = argc,
                         .secret_mask = command != NULL ? secrets_of(command->row) : 0,
                         .reply = fe_session_reply(session)};
}

/* Bytes that the command has answered, where its reply began at `before`. */
static fe_bytes reply_of(const fe_run *it, size_t before)
{
    const fe_buf *buf = it->call.reply.buf;
    if (buf->len <= before) return (fe_bytes){NULL, 0};
    return (fe_bytes){buf->data + before, buf->len - before};
}

static bool is_null(fe_bytes reply)
{
    return fe_bytes_equal(reply, FE_BYTES("$-1\r\n")) || fe_bytes_equal(reply, FE_BYTES("_\r\n")) ||
           fe_bytes_equal(reply, FE_BYTES("*-1\r\n"));
}

/* Gives the command's record to the recorder. Nothing that the caller says may change the record later but the transport. */
static void record(const fe_run *it, fe_trace_result result, size_t before, uint64_t ticks)
{
    if (result == FE_RESULT_OK && it->call.failed) result = FE_RESULT_ERROR;
    if (result == FE_RESULT_OK && fe_trace_let_go(it->session, &it->call, ticks)) return;
    fe_bytes reply = reply_of(it, before);
    if (result == FE_RESULT_OK && is_null(reply)) result = FE_RESULT_NIL;
    fe_trace_end_of end = {
        .result = result, .ticks = ticks, .reply_bytes = fe_call_replied(&it->call, before)};
    fe_trace_end(it->session, &it->call, &end);
}

static void answer_rejected(fe_run *it, const char *line)
{
    fe_client *client = &it->session->client;
    if (client->transaction.open) client->transaction.aborted = true;
    if (it->call.row != NULL && strcmp(it->call.row->name, "exec") == 0) {
        fe_watches_drop(&it->session->server->clients.watches, &client->transaction);
        fe_transaction_clear(&it->call.engine->alloc, &client->transaction);
        bool is_plain = strncmp(line, "ERR ", 4) == 0; /* other codes are kept */
        fe_call_errorf(&it->call, "EXECABORT Transaction discarded because of: %s",
                       is_plain ? line + 4 : line);
        return;
    }
    fe_call_error(&it->call, line);
}

void fe_run_reject(fe_run *it, const char *line)
{
    size_t before = it->call.reply.buf->len;
    if (it->command != NULL) it->command->stats.rejected++;
    /* No command that is counted has waited. */
    it->session->disk_waited = it->session->disk_spent = 0;
    it->session->client.walking = false;
    fe_park_stop_waiting(it->session);
    answer_rejected(it, line);
    if (FE_UNLIKELY(it->call.recorded)) record(it, FE_RESULT_REJECTED, before, fe_clock_ticks());
}

void fe_run_refuse_unread(fe_run *it)
{
    fe_waiter *waiter = &it->session->waiter;
    char line[160];
    snprintf(line, sizeof line, "IOERR The data could not be read from disk: %s",
             fe_fetch_error_text(waiter->error));
    fe_waiter_close(it->call.store, waiter);
    it->session->client.walking = false;
    fe_run_reject(it, line);
}

/* A page of a mapped segment could not be read while the handler ran: what it has answered, from
 * `before` on, is worth nothing. */
static void refuse_faulted(fe_run *it, size_t before)
{
    if (it->call.after != FE_AFTER_NEXT) return; /* it read nothing, or runs again */
    fe_open_take_back(&it->call, before);
    it->call.reply.buf->len = before;
    fe_resident_forget(it->session, &it->call);
    fe_call_error(&it->call, FE_RUN_FAULT_LINE);
    /* In a transaction, keys that were looked up stay where they are until its end. */
    if (!it->session->executing) (void)fe_tier_faulted(it->call.store);
}

void fe_run_python(fe_run *it)
{
    fe_session *session = it->session;
    session->python = fe_server_ask_python(session->server, session, &it->call);
    if (session->python == NULL) {
        fe_run_reject(it, "OOM command not allowed when used memory > 'maxmemory'.");
        return;
    }
    fe_park(session, FE_PARK_PYTHON, 0);
    if (fe_trace_is_on(session)) fe_trace_park(session, false);
}

/* The first line of an error reply is counted as errors of handlers are. */
static void count_python_error(const fe_run *it, const fe_python_request *request)
{
    if (!request->failed) return;
    fe_bytes line = fe_buf_view(&request->answer);
    size_t len = 0;
    while (len < line.len && line.ptr[len] != '\r')
        len++;
    if (len > 1) fe_engine_count_error(it->call.engine, (const char *)line.ptr + 1, len - 1);
}

static void record_python(const fe_run *it, const fe_python_request *request, uint64_t ticks)
{
    if (FE_LIKELY(!it->call.recorded)) return;
    fe_bytes reply = fe_buf_view(&request->answer);
    fe_trace_end_of end = {.result = request->failed  ? FE_RESULT_ERROR
                                     : is_null(reply) ? FE_RESULT_NIL
                                                      : FE_RESULT_OK,
                           .ticks = ticks,
                           .reply_bytes = reply.len};
    fe_trace_end(it->session, &it->call, &end);
}

void fe_run_python_answered(fe_session *session, const fe_python_request *request)
{
    fe_command *container;
    fe_run it;
    fe_run_begin(
        &it, session,
        fe_commands_find(session->server->commands, request->argv, request->argc, &container),
        request->argv, request->argc);
    if (it.command == NULL) return;
    it.call.failed = request->failed;
    it.call.secret_mask = request->secret_mask;
    fe_trace_unpark(session, &it.call);
    uint64_t now = fe_clock_ticks();
    fe_count_ticks(&it, now - request->asked_ticks);
    count_python_error(&it, request);
    record_python(&it, request, now);
    fe_monitor_feed(&it.call);
}

void fe_run_take_marks(fe_server *server)
{
    if (server->clients.watches.count == 0) return;
    fe_watches_take_marks(&server->clients.watches, server->engine->store);
}

void fe_run_handler(fe_run *it, uint64_t *ticks)
{
    fe_session *session = it->session;
    size_t before = it->call.reply.buf->len;
    fe_observe_begin(&it->call);
    it->call.row->run(&it->call);
    while (FE_UNLIKELY(it->call.after == FE_AFTER_FETCH)) {
        if (it->call.walked_on) fe_waiter_close(it->call.store, &session->waiter);
        it->call.walked_on = false;
        if (!fe_fetch_missing(it->call.store, &session->waiter)) {
            fe_park_for_disk(session, ticks);
            return;
        }
        it->call.after = FE_AFTER_NEXT;
        it->call.row->run(&it->call);
    }
    if (FE_UNLIKELY(fe_tier_fault_seen(it->call.store))) refuse_faulted(it, before);
    uint64_t began = *ticks - session->disk_spent, waited = session->disk_waited;
    if (FE_UNLIKELY(it->call.after == FE_AFTER_EXEC)) session->exec_waited = waited;
    if (FE_UNLIKELY(it->call.in_exec)) waited += session->exec_waited; /* it was for them */
    fe_count(it, ticks);
    if (FE_UNLIKELY(it->call.recorded) && it->call.after == FE_AFTER_NEXT)
        record(it, FE_RESULT_OK, before, *ticks);
    fe_observe(&it->call, *ticks - began, waited, before);
    if (it->call.after != FE_AFTER_EXEC) fe_monitor_feed(&it->call);
    fe_run_take_marks(session->server);
    if (FE_UNLIKELY(it->call.wake_paused)) fe_server_wake_paused(session->server);
    if (FE_UNLIKELY(it->call.after == FE_AFTER_WAIT)) fe_park_for_time(session, &it->call);
}

void fe_run_record_wait(fe_session *session, fe_trace_result result, size_t reply_bytes)
{
    fe_call call = {0};
    fe_trace_unpark(session, &call);
    if (FE_LIKELY(!call.recorded)) return;
    fe_trace_end_of end = {.result = result, .ticks = fe_clock_ticks(), .reply_bytes = reply_bytes};
    fe_trace_end(session, &call, &end);
}

void fe_run_let_go(fe_session *session)
{
    /* By its draft: what was killed is not parked any more. */
    if (fe_trace_is_counted(session)) fe_run_record_wait(session, FE_RESULT_GONE, 0);
    fe_trace_drop(session);
}
