/* See dispatch.h.
 *
 * The order of checks is Redis 7.2's: unknown command, arity, DEBUG permission, authentication, not
 * allowed in MULTI, memory, pause, queueing, and then the handler.
 */
#include "session/dispatch.h"

#include "base/assert.h"
#include "session/count.h"
#include "session/exec.h"
#include "session/monitor.h"
#include "session/park.h"
#include "session/resident.h"
#include "session/run.h"
#include "session/trace.h"
#include "store/tier.h"

#include <stdio.h>

/* Appends at most `max` bytes of `from` to a text, as printf's %.*s would: up to a zero byte. */
static size_t add_text(char *to, size_t at, size_t size, fe_bytes from, size_t max)
{
    for (size_t i = 0; i < from.len && i < max && at + 1 < size && from.ptr[i] != 0; i++)
        to[at++] = (char)from.ptr[i];
    return at;
}

static void reject_unknown(fe_run *it, const fe_ahead *ahead)
{
    char line[640];
    const fe_bytes *argv = it->call.argv;
    size_t at;
    if (ahead->container != NULL) {
        at = (size_t)snprintf(line, sizeof line, "ERR unknown subcommand '");
        at = add_text(line, at, sizeof line, argv[1], 128);
        at += (size_t)snprintf(line + at, sizeof line - at, "'. Try ");
        for (const char *c = ahead->container->row->name; *c != 0 && at + 1 < sizeof line; c++)
            line[at++] = (char)((*c >= 'a' && *c <= 'z') ? *c - 32 : *c);
        snprintf(line + at, sizeof line - at, " HELP.");
        fe_run_reject(it, line);
        return;
    }
    at = (size_t)snprintf(line, sizeof line, "ERR unknown command '");
    at = add_text(line, at, sizeof line, argv[0], 128);
    at += (size_t)snprintf(line + at, sizeof line - at, "', with args beginning with: ");
    size_t used = 0;
    for (uint32_t i = 1; i < it->call.argc && used < 128; i++) {
        size_t before = at;
        line[at++] = '\'';
        at = add_text(line, at, sizeof line, argv[i], 128 - used);
        line[at++] = '\'';
        line[at++] = ' ';
        used += at - before;
    }
    line[at] = 0;
    fe_run_reject(it, line);
}

/* The flags that decide about memory and pauses: of EXEC, those of all that is queued. */
#define EXEC_TAKES (FE_WRITE | FE_READONLY | FE_MAY_REPLICATE | FE_DENYOOM)

static uint32_t effective_flags(const fe_run *it)
{
    uint32_t flags = it->call.row->flags;
    const fe_transaction *transaction = &it->session->client.transaction;
    if (!transaction->open || strcmp(it->call.row->name, "exec") != 0) return flags;
    for (uint32_t i = 0; i < transaction->count; i++)
        flags |= transaction->queue[i].command->row->flags & EXEC_TAKES;
    return flags;
}

/* A browser that was made to talk to us: its request must not reach a command in a later line. */
static bool is_http(const fe_run *it)
{
    return fe_bytes_is_word(it->call.argv[0], "post") ||
           fe_bytes_is_word(it->call.argv[0], "host:");
}

/* The checks on the command itself; false when it was refused. */
static bool check_form(fe_run *it, const fe_ahead *ahead)
{
    fe_client *client = &it->session->client;
    const fe_command_row *row = it->call.row;
    if (row == NULL) {
        if (is_http(it)) {
            it->call.engine->stats.protocol_errors++;
            client->kill = true;
            fe_trace_drop(it->session);
            return false;
        }
        reject_unknown(it, ahead);
        return false;
    }
    if (!fe_command_arity_ok(row, it->call.argc)) {
        char line[160];
        snprintf(line, sizeof line, "ERR wrong number of arguments for '%s' command", row->name);
        fe_run_reject(it, line);
        return false;
    }
    if ((row->flags & FE_PROTECTED) && !it->call.engine->options.debug_enabled) {
        fe_run_reject(
            it, "ERR DEBUG command not allowed. Set enable_debug_command in section [server] of "
                "the configuration file, and then restart the server.");
        return false;
    }
    bool has_password = it->call.engine->options.requirepass[0] != 0;
    if (!client->authenticated && has_password && !(row->flags & FE_NO_AUTH)) {
        fe_run_reject(it, "NOAUTH Authentication required.");
        return false;
    }
    if (client->transaction.open && (row->flags & FE_NO_MULTI)) {
        fe_run_reject(it, "ERR Command not allowed inside a transaction");
        return false;
    }
    return true;
}

static void reject_disk(fe_run *it)
{
    char line[320];
    snprintf(line, sizeof line, "MISCONF Writes are refused until the disk takes them again: %s",
             fe_store_disk_error(it->call.store));
    fe_run_reject(it, line);
}

/* The prefix is Redis's, which clients know; the rest says which budget it is. */
static void reject_full(fe_run *it)
{
    if (!fe_store_is_disk_full(it->call.store)) {
        fe_run_reject(it, "OOM command not allowed when used memory > 'maxmemory'.");
        return;
    }
    char line[160];
    snprintf(line, sizeof line, "OOM command not allowed: %s", fe_store_disk_error(it->call.store));
    fe_run_reject(it, line);
}

/* What a tiered store asks of a command that writes nothing: it waits for no room, and makes none. */
static bool check_queue(fe_run *it, bool queues)
{
    if (!queues || !fe_store_is_full(it->call.store)) return true;
    reject_full(it);
    return false;
}

/* Whether the command may run as far as memory and disk are concerned; else it was refused, or,
 * with `*wait`, is to run again. */
static bool check_memory(fe_run *it, uint32_t flags, bool *wait)
{
    bool may_take = (flags & (FE_WRITE | FE_DENYOOM)) != 0;
    if (!may_take && it->call.engine->options.store.memory_max == 0) return true;
    /* A queue may grow without end: nothing more is queued when nothing fits, whatever the command. */
    bool queues = it->session->client.transaction.open && !(flags & FE_UNQUEUED);
    if (!may_take && fe_store_is_tiered(it->call.store)) return check_queue(it, queues);
    fe_status status = fe_store_make_room(it->call.store);
    if (FE_LIKELY(status == FE_OK)) return true;
    if (status == FE_BUSY) {
        *wait = (flags & FE_WRITE) != 0;
        return !*wait;
    }
    if (status == FE_IO && !(flags & FE_WRITE)) return true;
    if (status != FE_IO && !(flags & FE_DENYOOM) && !queues) return true;
    fe_store_note_refused(it->call.store);
    if (status == FE_IO)
        reject_disk(it);
    else
        reject_full(it);
    return false;
}

/* A client in MONITOR counts as a replica: it is not held back by pauses, and so must not touch
 * keys. */
static bool check_monitor(fe_run *it, uint32_t flags)
{
    bool touches = (flags & (FE_WRITE | FE_READONLY | FE_MAY_REPLICATE)) != 0;
    if (FE_LIKELY(!it->session->client.monitor) || !touches) return true;
    fe_run_reject(it, "ERR Replica can't interact with the keyspace");
    return false;
}

static void queue(fe_run *it)
{
    fe_client *client = &it->session->client;
    if (!fe_transaction_queue(&it->call.engine->alloc, &client->transaction, it->command,
                              it->call.argv, it->call.argc)) {
        fe_run_reject(it, "OOM out of memory while queueing the command");
        return;
    }
    if (fe_trace_is_on(it->session)) fe_trace_queued(it->session);
    fe_reply_status(&it->call.reply, "QUEUED");
}

/* A command has been answered: CLIENT REPLY SKIP is about the next one, and ends with it. */
static void end_skip(fe_client *client)
{
    if (client->reply_mode == FE_REPLY_SKIP)
        client->reply_mode = FE_REPLY_ON;
    else if (client->reply_mode == FE_REPLY_SKIP_NEXT)
        client->reply_mode = FE_REPLY_SKIP;
}

/* Whether all keys are in memory that the command is about to open; else it was refused, or the
 * session is parked and the command is to run again. */
static bool check_resident(fe_run *it, uint64_t *ticks)
{
    fe_session *session = it->session;
    if (FE_UNLIKELY(session->waiter.error != 0)) {
        fe_run_refuse_unread(it);
        return false;
    }
    bool exec = session->client.transaction.open && strcmp(it->call.row->name, "exec") == 0;
    bool all;
    do
        all = exec ? fe_resident_queue(session) : fe_resident_call(session, &it->call);
    while (FE_UNLIKELY(fe_tier_faulted(it->call.store))); /* what was mapped may be on disk now */
    if (all) return true;
    fe_park_for_disk(session, ticks);
    return false;
}

static void run_now(fe_run *it, uint64_t *ticks)
{
    if (it->call.row->flags & FE_PYTHON) {
        fe_run_python(it);
        return;
    }
    fe_run_handler(it, ticks);
    if (it->call.after != FE_AFTER_EXEC) return;
    fe_exec_begin(it->session, ticks);
    fe_monitor_feed(&it->call); /* behind the commands of the transaction */
}

/* Checks a request and runs it, queues it or refuses it; false when it has to wait and to run
 * again. */
static bool admit(fe_run *it, const fe_ahead *ahead, uint64_t *ticks)
{
    fe_session *session = it->session;
    fe_client *client = &session->client;
    if (!check_form(it, ahead)) return true;
    uint32_t flags = effective_flags(it);
    if (fe_server_is_paused(session->server, client, flags)) {
        fe_park_for_pause(session);
        return false;
    }
    bool wait = false;
    if (!check_memory(it, flags, &wait)) {
        if (wait) fe_park_for_room(session);
        return !wait;
    }
    if (!check_monitor(it, flags)) return true;
    if (client->transaction.open && !(flags & FE_UNQUEUED)) {
        queue(it);
        return true;
    }
    bool tiered = fe_store_is_tiered(it->call.store);
    if (FE_UNLIKELY(tiered) && !check_resident(it, ticks)) return !fe_park_waits_for_disk(session);
    run_now(it, ticks);
    if (FE_LIKELY(!tiered)) return true;
    if (fe_park_waits_for_disk(session) && !session->executing) return false;
    if (!session->executing) fe_waiter_close(it->call.store, &session->waiter);
    return true;
}

bool fe_dispatch(const fe_ahead *ahead, uint64_t *ticks)
{
    fe_session *session = ahead->session;
    fe_client *client = &session->client;
    if (ahead->request.argc == 0) return true;
    if (FE_UNLIKELY(client->pushed.len > 0)) fe_client_take_pushed(client);
    bool lent = FE_UNLIKELY(fe_loan_is_open(&session->loan));
    if (lent || client->output.len + session->unsent >= FE_OUTPUT_HIGH) {
        fe_park(session, FE_PARK_OUTPUT, 0);
        return false;
    }
    fe_run it;
    fe_run_begin(&it, session, ahead->command, ahead->request.argv, ahead->request.argc);
    it.call.hashes = ahead->hashes;
    it.call.hash_known_mask = ahead->hashed;
    if (FE_UNLIKELY(fe_body_is_open(&session->body))) it.call.body = &session->body;
    if (session->lends && !fe_client_is_silent(client)) it.call.loan = &session->loan;
    client->last_ms = it.call.engine->now_ms;
    client->serving_len = session->data_len;
    client->last_command = it.call.row != NULL ? it.call.row->name : NULL;
    if (fe_trace_is_on(session))
        fe_trace_begin(session, it.command, &ahead->request, *ticks, &it.call);
    else if (FE_UNLIKELY(session->parked != NULL))
        fe_trace_drop(session);
    fe_count_begin(&it);
    fe_run_take_marks(session->server);
    bool was_silent = client->reply_mode != FE_REPLY_ON;
    bool done = admit(&it, ahead, ticks);
    if (!done) return false;
    bool skips = was_silent || client->reply_mode != FE_REPLY_ON;
    if (FE_UNLIKELY(skips) && !fe_park_awaits_answer(session)) end_skip(client);
    return true;
}

static void take_python_answer(fe_session *session)
{
    fe_client *client = &session->client;
    fe_python_request *request = session->python;
    if (!fe_client_is_silent(client)) {
        fe_buf_append(&client->output, request->answer.data, request->answer.len);
        /* Half an answer would put all later ones in the wrong place: the connection ends. */
        if (request->answer.failed) client->output.failed = true;
    }
    fe_run_python_answered(session, request);
    session->python = NULL;
    fe_python_request_free(session->server, request);
}

static void answer_wait(fe_session *session)
{
    fe_client *client = &session->client;
    fe_reply reply = fe_session_reply(session);
    size_t before = reply.buf->len;
    bool failed = client->unblock == FE_UNBLOCK_ERROR;
    if (client->unblock == FE_UNBLOCK_ERROR) {
        static const char line[] = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
        fe_reply_error(&reply, line);
        fe_engine_count_error(session->server->engine, line, sizeof line - 1);
    } else if (session->wait_status != NULL) {
        fe_reply_status(&reply, session->wait_status);
    } else {
        if (session->wait_is_pair) {
            fe_reply_array(&reply, 2);
            fe_reply_integer(&reply, session->wait_reply);
        }
        fe_reply_integer(&reply, session->wait_reply);
    }
    client->blocked = false;
    client->unblock = FE_UNBLOCK_NONE;
    fe_run_record_wait(session, failed ? FE_RESULT_ERROR : FE_RESULT_OK, reply.buf->len - before);
}

void fe_dispatch_answered(fe_session *session, uint64_t *ticks)
{
    FE_ASSERT(session->state == FE_SESSION_PARKED);
    FE_ASSERT(fe_park_awaits_answer(session) ||
              (fe_park_waits_for_disk(session) && session->executing));
    if (session->park == FE_PARK_PYTHON)
        take_python_answer(session);
    else if (session->park == FE_PARK_TIME)
        answer_wait(session);
    fe_park_end(session);
    session->due_ms = 0;
    if (session->executing) fe_exec_continue(session, ticks);
    if (!fe_park_awaits_answer(session) && !fe_park_waits_for_disk(session))
        end_skip(&session->client);
}

void fe_dispatch_abandon(fe_session *session)
{
    if (session->python != NULL) {
        if (session->python->answered)
            fe_python_request_free(session->server, session->python);
        else
            session->python->session = NULL;
        session->python = NULL;
    }
    fe_run_let_go(session);
    if (session->executing) fe_exec_unseen(session);
}
