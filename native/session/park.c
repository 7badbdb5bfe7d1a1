/* See park.h. */
#include "session/park.h"

#include "base/assert.h"
#include "session/trace.h"
#include "store/look.h"

void fe_park(fe_session *session, fe_park_reason reason, int64_t due_ms)
{
    FE_ASSERT(session->state == FE_SESSION_READY || session->executing);
    session->state = FE_SESSION_PARKED;
    session->park = reason;
    session->due_ms = due_ms;
}

void fe_park_stop_waiting(fe_session *session)
{
    if (!session->executing) fe_waiter_close(session->server->engine->store, &session->waiter);
}

/* The session is among those that look again when a pause or a lack of room is over. */
static void join_paused(fe_session *session)
{
    if (session->in_paused) return;
    session->in_paused = true;
    session->paused_next = session->server->paused;
    session->server->paused = session;
}

void fe_park_for_pause(fe_session *session)
{
    const fe_pause *pause = &session->server->engine->pause;
    fe_park_stop_waiting(session);
    fe_park(session, FE_PARK_PAUSE, pause->exclusive == 0 ? pause->until_ms : 0);
    if (fe_trace_is_on(session)) fe_trace_park(session, true);
    join_paused(session);
}

void fe_park_for_room(fe_session *session)
{
    fe_park_stop_waiting(session);
    fe_park(session, FE_PARK_ROOM, 0);
    if (fe_trace_is_on(session)) fe_trace_park(session, true);
    join_paused(session);
}

void fe_park_for_disk(fe_session *session, uint64_t *ticks)
{
    fe_park(session, FE_PARK_DISK, 0);
    session->disk_since = fe_clock_ticks();
    session->disk_spent += session->disk_since - *ticks;
    *ticks = session->disk_since;
    fe_look_below_clear(session->server->engine->store); /* others run before it does again */
    if (fe_trace_is_on(session)) fe_trace_park(session, true);
}

void fe_park_for_time(fe_session *session, const fe_call *call)
{
    session->wait_reply = call->wait_reply;
    session->wait_is_pair = call->wait_is_pair;
    session->wait_status = call->wait_status;
    session->client.blocked = call->wait_status == NULL;
    session->client.unblock = FE_UNBLOCK_NONE;
    int64_t due_ms;
    bool for_ever = call->wait_ms == 0 ||
                    __builtin_add_overflow(fe_clock_monotonic_ms(), call->wait_ms, &due_ms);
    fe_park(session, FE_PARK_TIME, for_ever ? INT64_MAX : due_ms);
    if (fe_trace_is_on(session)) fe_trace_park(session, false);
}
