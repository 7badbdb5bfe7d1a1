/* The reactor: a native thread with its own epoll loop that receives, feeds sessions and sends, and never takes the GIL.
 *
 * Connections are accepted elsewhere and handed over as file descriptors. Any number of reactors share one server; a
 * connection stays with the reactor that adopted it.
 */
#ifndef FE_NET_REACTOR_H
#define FE_NET_REACTOR_H

#include "session/session.h"

typedef struct fe_reactor fe_reactor;

/* Makes a reactor and starts its thread. NULL when the system refuses memory, descriptors or a thread. */
fe_reactor *fe_reactor_start(fe_server *server, uint32_t number);

/* Hands over a connected, non-blocking socket; the reactor owns it from now on. `addr` and `laddr` as in CLIENT LIST. Any thread. False, with the
 * socket still the caller's, when memory is exhausted or the reactor is stopping. */
FE_MUST_USE bool fe_reactor_adopt(fe_reactor *reactor, int fd, fe_bytes addr, fe_bytes laddr,
                                  bool unix_socket);

/* Asks the reactor to end: what has been received is answered, output is sent, then connections are closed; after
 * `deadline_ms` from now they are closed as they are. Returns at once. */
void fe_reactor_drain(fe_reactor *reactor, uint32_t deadline_ms);

/* Waits for the thread to end (after fe_reactor_drain) and frees the reactor. */
void fe_reactor_join(fe_reactor *reactor);

/* Connections that it has now; any thread. */
uint32_t fe_reactor_connections(fe_reactor *reactor);

/* Disk reads that were done and that it found only because it looked about, which it does once a second: nobody had been
 * told of them, or not yet. Any thread. */
uint32_t fe_reactor_overdue(fe_reactor *reactor);

#endif
