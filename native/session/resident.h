/* Keys in memory before the handler runs: what a command needs, and waiting for what is on disk.
 *
 * No handler ever sees a tier. Before a command of a tiered store runs, the session asks for every
 * key that the command names; those that are on disk are read, the session parks (FE_PARK_DISK), and
 * the request runs again when all are there. EXEC asks for the keys of its whole queue first. The
 * read cache keeps what came since the session began to wait, so one wait is enough.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_SESSION_RESIDENT_H
#define FE_SESSION_RESIDENT_H

#include "session/session.h"

/* Whether all keys of a call are in memory, as far as the command needs them; else the session's
 * waiter waits for the others. */
FE_MUST_USE bool fe_resident_call(fe_session *session, const fe_call *call);

/* The same for everything that EXEC is about to run. */
FE_MUST_USE bool fe_resident_queue(fe_session *session);

/* A page of a mapped segment could not be read while the handler ran: what it has written under the
 * names of its keys may come from a page of zeros, and goes. */
void fe_resident_forget(fe_session *session, const fe_call *call);

/* Starts reading what a batch will need from disk; nobody waits yet. */
void fe_resident_ahead(fe_server *server, const fe_batch *batch);

#endif
