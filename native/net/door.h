/* The door: accepts on a listening socket, turns away who may not come in, and hands the others to reactors.
 *
 * One call takes a bounded number of connections, whatever waits: between two calls the caller's thread has other things to
 * do. It keeps no state; what the rules are is asked for each call.
 */
#ifndef FE_NET_DOOR_H
#define FE_NET_DOOR_H

#include "net/reactor.h"

typedef struct fe_door {
    int fd; /* the listening socket, non-blocking */
    const char *
        name; /* of both ends of a unix socket's connections, as CLIENT LIST shows them; NULL for TCP */
    fe_reactor *const *reactors;
    uint32_t reactor_count;   /* at least one */
    uint32_t connections_max; /* of the reactors together: who comes then is told `too_many` */
    bool refuses_strangers;   /* clients of other machines are told `denied` */
    uint32_t
        keepalive_s; /* silence before the kernel asks whether the peer is there; 0 = it does not */
    fe_bytes too_many, denied; /* whole replies */
} fe_door;

typedef struct fe_admission {
    uint32_t admitted;
    uint32_t refused; /* told why, closed */
    uint32_t lost;    /* closed: no memory for them, or the reactor is stopping */
    int exhausted; /* the errno with which accepting ended for lack of descriptors or memory; 0 = it did not */
} fe_admission;

/* Accepts at most `most` connections, each for the reactor that has the fewest. Any thread. */
fe_admission fe_door_admit(const fe_door *door, uint32_t most);

#endif
