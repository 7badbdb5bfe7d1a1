/* Sessions without sockets: bytes in, bytes out, and a stand-in for the transport and for Python.
 *
 * A test includes tests/check.h before this header.
 *
 *     rig it;
 *     rig_open(&it);
 *     peer *one = rig_connect(&it);
 *     CHECK_SAYS(one, "SET k v\r\nGET k\r\n", "+OK\r\n$1\r\nv\r\n");
 *     rig_close(&it);
 */
#ifndef FE_TESTS_SESSION_RIG_H
#define FE_TESTS_SESSION_RIG_H

#include "session/session.h"

#define RIG_PEERS 16

typedef struct rig rig;

/* One connection. */
typedef struct peer {
    rig *owner;
    fe_session *session;
    bool woken;
    bool hold_output; /* the transport sends nothing: output stays where it is */
    fe_buf got;       /* what was sent to it */
} peer;

struct rig {
    fe_server *server;
    fe_batch *batch;
    fe_alloc alloc; /* of the rig itself */
    peer peers[RIG_PEERS];
    uint32_t count;
    uint32_t notified; /* calls of python_notify */
    fe_recorder *recorder;
    fe_buf records; /* what rig_records took */
};

fe_engine_options rig_options(void);
void rig_open(rig *it);
void rig_open_with(rig *it, const fe_engine_options *options);

/* Closes all connections and the server; asserts the store's invariants, and that nothing
 * leaked. */
void rig_close(rig *it);

peer *rig_connect(rig *it);
void rig_hang_up(peer *one);

/* Shows the session bytes as a transport would, from memory that is gone afterwards, and serves.
 * Then whoever was woken is resumed, until nobody is. */
void rig_send(peer *one, const char *bytes, size_t len);
void rig_say(peer *one, const char *text);

/* Several peers' bytes, served together as one group. */
void rig_send_group(rig *it, peer *const *peers, const char *const *texts, uint32_t count);

/* Resumes whoever was woken, and sends their output, until nobody is woken. */
void rig_pump(rig *it);

/* Waits for the time that a parked session waits for, and resumes it. */
void rig_wait_due(peer *one);

/* Ends the waits of a session as a transport does when the server stops. */
void rig_wait_no_more(peer *one);

/* Takes what is read until nobody waits for the disk. */
void rig_settle(rig *it);

/* Sends everything that was written so far down to `to` (FE_TIER_MAPPED or FE_TIER_DISK). */
void rig_demote(rig *it, fe_tier to);

/* Records commands from now on: all of them, with whole keys, when `options` is NULL. */
void rig_record(rig *it, const fe_telemetry_options *options);

/* Takes the records that were made since the last call; the next is at the end of its `size`. They live until the
 * next call. */
const fe_trace_record *rig_records(rig *it, uint32_t *count);

/* Answers the oldest request of Python; false when there is none. */
bool rig_answer(rig *it, const char *reply, bool failed);

/* What the peer got since the last call, as text that is valid until then. */
const char *rig_take(peer *one);

#define CHECK_TEXT(expected, actual)                                                               \
    do {                                                                                           \
        const char *check_x = (expected), *check_y = (actual);                                     \
        CHECK_BYTES(check_x, strlen(check_x), check_y, strlen(check_y));                           \
    } while (0)

#define CHECK_GOT(one, expected) CHECK_TEXT((expected), rig_take(one))

#define CHECK_SAYS(one, request, expected)                                                         \
    do {                                                                                           \
        peer *check_one = (one);                                                                   \
        rig_send(check_one, (request), strlen(request));                                           \
        CHECK_GOT(check_one, (expected));                                                          \
    } while (0)

#endif
