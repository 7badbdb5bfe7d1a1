/* MONITOR: every command is shown to the clients that asked for it. The engine's lock is held. */
#ifndef FE_SESSION_MONITOR_H
#define FE_SESSION_MONITOR_H

#include "command/command.h"

/* The line of one command, for all that are in MONITOR and to be told of it. */
void fe_monitor_show(const fe_call *call);

/* Shows a command that has run; a client in MONITOR that sent it itself sees it behind its reply. */
static inline void fe_monitor_feed(const fe_call *call)
{
    if (FE_LIKELY(call->clients->monitors == 0)) return;
    if ((call->row->flags & (FE_SKIP_MONITOR | FE_ADMIN)) != 0) return;
    fe_monitor_show(call);
}

#endif
