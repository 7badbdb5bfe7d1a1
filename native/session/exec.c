/* See exec.h. */
#include "session/exec.h"

#include "session/park.h"
#include "session/resident.h"
#include "session/run.h"
#include "session/trace.h"
#include "store/cache.h"
#include "store/tier.h"

static void exec_finish(fe_session *session)
{
    session->executing = false;
    fe_waiter_close(session->server->engine->store, &session->waiter);
    (void)fe_tier_faulted(session->server->engine->store);
    fe_transaction_clear(&session->server->engine->alloc, &session->client.transaction);
    fe_pause *pause = &session->server->engine->pause;
    if (pause->exclusive == session->client.id) {
        pause->exclusive = 0;
        fe_cache_keep(session->server->engine->store, false);
        fe_server_wake_paused(session->server);
    }
}

/* Nobody takes what Python answers. */
static void ask_unheard(fe_run *it)
{
    fe_python_request *request = fe_server_ask_python(it->session->server, it->session, &it->call);
    if (request != NULL) request->session = NULL;
}

/* Runs a command of the queue, if all that it needs is there; `unseen`: the client has gone, and
 * nothing may wait. */
static void run_queued(fe_session *session, uint32_t index, bool unseen, uint64_t *ticks)
{
    const fe_queued *queued = &session->client.transaction.queue[index];
    fe_run it;
    fe_run_begin(&it, session, queued->command, queued->argv, queued->argc);
    it.call.in_exec = true;
    if (fe_trace_is_on(session))
        fe_trace_begin_queued(session, index, *ticks, &it.call);
    else if (FE_UNLIKELY(session->parked != NULL))
        fe_trace_drop(session);
    if (FE_UNLIKELY(unseen)) it.call.reply.buf = &session->server->unseen;
    if (FE_UNLIKELY(session->waiter.error != 0))
        fe_run_refuse_unread(&it);
    else if (FE_UNLIKELY(fe_tier_fault_seen(it.call.store)))
        fe_run_reject(&it, FE_RUN_FAULT_LINE); /* its keys may be where the fault was */
    else if ((it.call.row->flags & FE_PYTHON) && unseen)
        ask_unheard(&it);
    else if (it.call.row->flags & FE_PYTHON)
        fe_run_python(&it);
    else if (FE_LIKELY(!fe_store_is_tiered(it.call.store)) || fe_resident_call(session, &it.call))
        fe_run_handler(&it, ticks);
    else if (unseen)
        fe_run_reject(&it, "IOERR The data is not in memory any more");
    else
        fe_park_for_disk(session, ticks); /* it has gone there while another command waited */
}

void fe_exec_continue(fe_session *session, uint64_t *ticks)
{
    while (session->exec_next < session->client.transaction.count) {
        run_queued(session, session->exec_next++, false, ticks);
        bool again = fe_park_waits_for_disk(session);
        if (again) session->exec_next--;
        if (again || fe_park_awaits_answer(session)) {
            session->server->engine->pause.exclusive = session->client.id;
            fe_cache_keep(session->server->engine->store, true);
            return;
        }
    }
    exec_finish(session);
    fe_trace_exec_end(session, *ticks);
}

void fe_exec_begin(fe_session *session, uint64_t *ticks)
{
    fe_transaction *transaction = &session->client.transaction;
    fe_clients *clients = &session->server->clients;
    fe_watches_drop(&clients->watches, transaction);
    fe_store_set_interest(session->server->engine->store, clients->watches.count > 0);
    if (fe_trace_is_on(session)) fe_trace_exec_begin(session);
    fe_reply reply = fe_session_reply(session);
    fe_reply_array(&reply, transaction->count);
    session->executing = true;
    session->exec_next = 0;
    fe_exec_continue(session, ticks);
}

void fe_exec_unseen(fe_session *session)
{
    uint64_t ticks = fe_clock_ticks();
    fe_park_end(session);
    while (session->exec_next < session->client.transaction.count) {
        run_queued(session, session->exec_next++, true, &ticks);
        fe_run_let_go(session);
        session->client.output.len = 0;
        fe_park_end(session);
    }
    exec_finish(session);
    fe_trace_exec_end(session, ticks);
}
