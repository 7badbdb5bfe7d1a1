/* One request: from its argv to its reply, with every check in Redis's order. The engine's lock is held. */
#ifndef FE_SESSION_DISPATCH_H
#define FE_SESSION_DISPATCH_H

#include "session/session.h"

/* Runs one request read ahead. Returns false when it has to run again from its start later (the session is parked for a
 * pause or for output); true when it is done or waits for its answer. `*ticks` is the clock at the end of the previous command and
 * is moved on. */
FE_MUST_USE bool fe_dispatch(const fe_ahead *ahead, uint64_t *ticks);

/* Goes on with EXEC after Python answered one of its commands. */
void fe_dispatch_exec_continue(fe_session *session, uint64_t *ticks);

/* Counts a Python command that was answered. */
void fe_dispatch_python_done(fe_session *session, const fe_python_request *request);

#endif
