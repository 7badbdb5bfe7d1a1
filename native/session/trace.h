/* What a session tells its thread's recorder (event/recorder.h) about the commands that it runs.
 *
 *     fe_trace_received     the input is there
 *     fe_trace_begin        its turn: draft, caller, decision of the sampler; a command that runs again goes on
 *     fe_trace_park         it waits: the draft moves to the session; fe_trace_unpark when it is answered
 *     fe_trace_end          it is over: the record, unless nobody wants it
 *     fe_trace_sent         the transport has sent the replies of the round, or the first part of long ones
 *
 * Each command that is counted in commandstats, as a call or as rejected, and each unknown one ends in one
 * fe_trace_end. EXEC has its draft open while its commands run, as their parent.
 *
 * Threads: the session's own; all but fe_trace_sent and fe_trace_received under the engine's lock.
 */
#ifndef FE_SESSION_TRACE_H
#define FE_SESSION_TRACE_H

#include "session/session.h"

static inline bool fe_trace_is_on(const fe_session *session)
{
    return FE_UNLIKELY(fe_recorder_is_on(session->recorder));
}

/* Input has been received. */
static inline void fe_trace_received(fe_session *session)
{
    session->readable_ticks = fe_trace_is_on(session) ? session->recorder->readable : 0;
}

/* How a command ended. */
typedef struct fe_trace_end_of {
    fe_trace_result result;
    uint64_t ticks;       /* when */
    uint64_t reply_bytes; /* of its reply */
    fe_bytes error;       /* its code, if it is known */
} fe_trace_end_of;

/* A command's turn has come; `call->recorded` is set while a draft is open. `ticks` is now. */
void fe_trace_begin(fe_session *session, const fe_command *command, const fe_request *request,
                    uint64_t ticks, fe_call *call);
/* The same for a command of a transaction, `index` in its queue. */
void fe_trace_begin_queued(fe_session *session, uint32_t index, uint64_t ticks, fe_call *call);

/* The command was queued: keeps its caller with it. */
void fe_trace_queued(fe_session *session);

/* The command waits; `again`: it will run again from its start. */
void fe_trace_park(fe_session *session, bool again);
/* Whether the command that waits was counted when its wait began: it waits for a time. */
static inline bool fe_trace_is_counted(const fe_session *session)
{
    return session->parked != NULL && (session->parked->flags & FE_TRACE_BLOCKED) != 0;
}
/* The command that waited for an answer has it. Sets `call->recorded` when its draft is open. */
void fe_trace_unpark(fe_session *session, fe_call *call);

/* The command was added to the slow log (what fe_slowlog_add returned) or to the latency monitor: notes it for
 * fe_trace_end. */
void fe_trace_note_slow(fe_session *session, uint64_t slow_id);
void fe_trace_note_latency(fe_session *session, fe_latency_event event, uint64_t ticks);

/* Whether the command, which ends now and has not failed, is one that nothing keeps: then it is over, and
 * there is no fe_trace_end. */
static inline bool fe_trace_let_go(fe_session *session, const fe_call *call, uint64_t ticks)
{
    fe_draft *draft = &session->recorder->draft;
    bool is_told = draft->mark != NULL || draft->slow_id != 0 || draft->latency != 0;
    if (!draft->open || is_told || call->marks_next ||
        !fe_recorder_is_unwanted(session->recorder, draft, ticks))
        return false;
    draft->open = false;
    return true;
}

/* The command has ended; `call->recorded` was set. */
void fe_trace_end(fe_session *session, const fe_call *call, const fe_trace_end_of *end);

/* EXEC has ended itself and its queue begins; and has ended. */
void fe_trace_exec_begin(fe_session *session);
void fe_trace_exec_end(fe_session *session, uint64_t ticks);

/* The command under way ends without a record, as nobody counts it either; one that waits too. */
void fe_trace_drop(fe_session *session);

/* The replies were sent, as far as the peer takes them; of long ones the first part, after which others have their turn.
 * What waits in the middle of a pipeline goes on counting: those behind it were read at once with those before it. */
void fe_trace_stamp(fe_session *session);
static inline void fe_trace_sent(fe_session *session)
{
    if (!fe_trace_is_on(session)) return;
    if (session->records_from != session->records_to) fe_trace_stamp(session);
    if (session->state != FE_SESSION_PARKED) session->round_commands = 0;
}

#endif
