/* Parking a session inside a command: why it waits, and what belongs to that. See fe_park_reason.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_SESSION_PARK_H
#define FE_SESSION_PARK_H

#include "session/session.h"

/* Parks for a reason that has no function of its own; `due_ms` as in fe_session. */
void fe_park(fe_session *session, fe_park_reason reason, int64_t due_ms);

/* Until the pause is over, or there is room to write: the request runs again from its start. */
void fe_park_for_pause(fe_session *session);
void fe_park_for_room(fe_session *session);

/* Parks until what the session's waiter waits for has been read. Inside EXEC nobody else runs
 * meanwhile. What it took since *ticks to look the keys up is the command's, not the next one's. */
void fe_park_for_disk(fe_session *session, uint64_t *ticks);

/* Parks for as long as the call says (FE_AFTER_WAIT). */
void fe_park_for_time(fe_session *session, const fe_call *call);

/* Nothing has to stay in memory for a command that does not run now; the keys of a transaction do. */
void fe_park_stop_waiting(fe_session *session);

/* What the session was parked for has passed, or does not matter any more. */
static inline void fe_park_end(fe_session *session)
{
    session->state = FE_SESSION_READY;
    session->park = FE_PARK_NONE;
}

/* Whether the session waits for the answer of the command that it runs. */
static inline bool fe_park_awaits_answer(const fe_session *session)
{
    return session->park == FE_PARK_PYTHON || session->park == FE_PARK_TIME;
}

/* Whether the command that the session runs must run again when records are in memory. */
static inline bool fe_park_waits_for_disk(const fe_session *session)
{
    return session->state == FE_SESSION_PARKED && session->park == FE_PARK_DISK;
}

#endif
