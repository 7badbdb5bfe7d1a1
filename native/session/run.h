/* One command that may run: its call, what every command that runs or is refused has in common, and
 * how it is counted and recorded.
 *
 *     dispatch.c   admits a request ->+
 *                                     +-> fe_run_handler, fe_run_python or fe_run_reject
 *     exec.c       its queue ------->+
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_SESSION_RUN_H
#define FE_SESSION_RUN_H

#include "session/session.h"

#define FE_RUN_FAULT_LINE "IOERR The data could not be read from disk: input/output error"

/* What one command needs while it is admitted and run. */
typedef struct fe_run {
    fe_session *session;
    fe_command *command; /* NULL: unknown */
    fe_call call;
} fe_run;

void fe_run_begin(fe_run *it, fe_session *session, fe_command *command, const fe_bytes *argv,
                  uint32_t argc);

/* Refuses a command before it runs: counts, spoils an open transaction, answers. */
void fe_run_reject(fe_run *it, const char *line);
/* The same: a record that the command needs could not be read. */
void fe_run_refuse_unread(fe_run *it);

/* Runs the handler, and does what belongs to every command that has run. The session may be parked
 * afterwards. `*ticks` is the clock at the end of the previous command and is moved on. */
void fe_run_handler(fe_run *it, uint64_t *ticks);

/* Asks Python for the answer, and parks. An error is its reply when there is no memory to ask. */
void fe_run_python(fe_run *it);
/* Python has answered: counts, records and shows the command. */
void fe_run_python_answered(fe_session *session, const fe_python_request *request);

/* The command that waited for a time, and was counted when it began to, has ended. */
void fe_run_record_wait(fe_session *session, fe_trace_result result, size_t reply_bytes);

/* The session goes while its command waits: one that was counted already has ended. */
void fe_run_let_go(fe_session *session);

/* Makes the transactions dirty that watch what has changed. */
void fe_run_take_marks(fe_server *server);

#endif
