/* EXEC: the queue of a transaction runs, with nobody else between its commands.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_SESSION_EXEC_H
#define FE_SESSION_EXEC_H

#include "session/session.h"

/* The handler of EXEC has said that the queue runs (FE_AFTER_EXEC): begins its reply, and goes on as
 * fe_exec_continue. */
void fe_exec_begin(fe_session *session, uint64_t *ticks);

/* Runs the queue from where it stopped, until its end, or until one of its commands must wait: then
 * the session is PARKED, and nobody else runs. */
void fe_exec_continue(fe_session *session, uint64_t *ticks);

/* The client has gone in the middle: runs the rest, because EXEC is all or nothing; nobody sees the
 * replies, and nothing waits. */
void fe_exec_unseen(fe_session *session);

#endif
