/* One request: from its argv to its reply, with every check in Redis's order. The engine's lock is
 * held. */
#ifndef FE_SESSION_DISPATCH_H
#define FE_SESSION_DISPATCH_H

#include "session/session.h"

/* Runs one request read ahead. Returns false when it has to run again from its start later (the
 * session is parked for a pause or for output); true when it is done or waits for its answer.
 * `*ticks` is the clock at the end of the previous command and is moved on. */
FE_MUST_USE bool fe_dispatch(const fe_ahead *ahead, uint64_t *ticks);

/* The session was parked inside a command, for Python or for a time, and what it waited for is
 * there: writes the reply, and goes on with EXEC when that is where the command was. The session is
 * READY afterwards, or PARKED again by the next command of EXEC. */
void fe_dispatch_answered(fe_session *session, uint64_t *ticks);

/* The connection goes away: lets go of what waits for Python, and runs a transaction that has begun
 * to its end, because EXEC is all or nothing; nobody sees the replies. */
void fe_dispatch_abandon(fe_session *session);

#endif
