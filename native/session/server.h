/* The server object: the engine, the connections, the commands, and the way to Python.
 *
 * Everything here is guarded by the engine's lock.
 */
#ifndef FE_SESSION_SERVER_H
#define FE_SESSION_SERVER_H

#include "command/command.h"

struct fe_session;

/* A command that a Python coroutine answers. Owned by the queue until taken, then by whoever took
 * it until it is answered. */
typedef struct fe_python_request {
    struct fe_python_request *next;
    struct fe_session *session; /* NULL once the connection has gone */
    const fe_command_row *row;
    uint64_t client_id;
    uint64_t asked_ticks;
    uint64_t secret_mask; /* as in fe_call; whoever took the request may clear bits */
    uint32_t db;
    int resp;
    bool in_exec;
    bool answered;
    bool failed;   /* the answer is an error reply */
    fe_buf answer; /* reply bytes */
    uint32_t argc;
    fe_bytes argv[]; /* followed by the bytes */
} fe_python_request;

typedef struct fe_server {
    fe_engine *engine;
    fe_commands *commands;
    fe_clients clients;
    fe_python_request *python_first, *python_last; /* waiting to be taken */
    uint32_t python_waiting;                       /* taken or not, not yet answered */
    void (*python_notify)(void *context);          /* the queue is no longer empty */
    void *python_context;
    fe_buf unseen; /* refuses whatever is appended: replies that nobody is to see are not made */
    _Atomic uint64_t
        announced; /* bytes of all long arguments that are being received, to be received or kept
                                   until they have run; any thread */
    struct fe_session *paused; /* parked until a pause or an exclusive hold ends, or until the disk
                                  has caught up; linked */
} fe_server;

/* Makes a server around a new engine. NULL with one line in `error`: the data folder cannot be
 * opened, or memory is exhausted. */
fe_server *fe_server_open(const fe_engine_options *options, char error[FE_ENGINE_ERROR_MAX]);
/* The same for whom the cause does not matter. */
fe_server *fe_server_new(const fe_engine_options *options);

/* Frees it; all sessions are closed and all Python requests answered or dropped before. */
void fe_server_free(fe_server *server);

/* Queues a copy of a command for Python. NULL when memory is exhausted. */
fe_python_request *fe_server_ask_python(fe_server *server, struct fe_session *session,
                                        const fe_call *call);

/* Takes the oldest waiting request, or NULL. */
fe_python_request *fe_server_take_python(fe_server *server);

/* Gives the reply bytes of a request, wakes its session, and frees the request when the connection
 * has gone. */
void fe_server_answer_python(fe_server *server, fe_python_request *request, fe_bytes reply,
                             bool failed);

/* Frees an answered or orphaned request. */
void fe_python_request_free(fe_server *server, fe_python_request *request);

/* Whether a client may not run a command with these flags now: CLIENT PAUSE or another's exclusive
 * hold. */
bool fe_server_is_paused(fe_server *server, const fe_client *client, uint32_t flags);

/* Wakes every session that a pause had parked: the pause is over, or has changed. */
void fe_server_wake_paused(fe_server *server);

#endif
