/* What a connection remembers, and the register of all connections.
 *
 * The engine's lock guards every field, but for `input` and `output`, which belong to the
 * connection's thread (see session/session.h). Other sessions reach a client only through `pushed`
 * and the requests below.
 */
#ifndef FE_CLIENT_CLIENT_H
#define FE_CLIENT_CLIENT_H

#include "base/buf.h"
#include "client/transaction.h"
#include "engine/engine.h"
#include "resp/request.h"

typedef enum fe_client_class {
    FE_CLIENT_CLASS_NORMAL,
    FE_CLIENT_CLASS_REPLICA,
    FE_CLIENT_CLASS_PUBSUB,
    FE_CLIENT_CLASS_COUNT
} fe_client_class;

typedef enum fe_reply_mode {
    FE_REPLY_ON,
    FE_REPLY_OFF,
    FE_REPLY_SKIP_NEXT,
    FE_REPLY_SKIP
} fe_reply_mode;

/* What CLIENT UNBLOCK asks of a client that waits. */
typedef enum fe_unblock { FE_UNBLOCK_NONE, FE_UNBLOCK_TIMEOUT, FE_UNBLOCK_ERROR } fe_unblock;

typedef struct fe_client {
    uint64_t id;
    uint32_t db;
    int resp;                 /* 2 or 3 */
    fe_reply_mode reply_mode; /* CLIENT REPLY */
    bool authenticated;
    bool monitor;
    bool no_evict;
    bool no_touch;
    bool unix_socket;
    bool blocked;           /* waits in a command that CLIENT UNBLOCK may end */
    fe_unblock unblock;     /* while blocked */
    bool close_after_reply; /* QUIT, protocol errors, CLIENT KILL of oneself */
    bool kill;              /* another client asked for its end: close at once */
    int fd;                 /* for CLIENT LIST only; -1 when there is none */
    int64_t created_ms;
    int64_t last_ms;      /* last interaction */
    fe_bytes addr, laddr; /* "ip:port" or "path:0"; owned, in `addresses` */
    uint8_t *addresses;
    fe_bytes name;                  /* owned; len 0 = none */
    fe_bytes lib_name, lib_version; /* owned */
    const char *last_command;       /* for CLIENT LIST cmd=; NULL before the first */
    uint64_t commands, net_in, net_out;
    fe_transaction transaction;
    fe_trace_mark *mark; /* TRACEPARENT: the caller of the next command; owned, NULL: none */
    fe_reader *reader;
    fe_buf input;  /* what is left of requests that are not complete */
    fe_buf output; /* replies that are not sent */
    fe_buf pushed; /* bytes from other sessions (MONITOR), moved to output by the owner */
    /* KEYS over records on disk goes step by step: what it has found, and where it goes on. */
    fe_buf walked;
    uint64_t walk_cursor, walk_count;
    bool walking;
    /* Sizes as fe_client_account last saw them: what other threads may read of `input` and
     * `output`. */
    size_t input_len, input_cap, output_len, output_cap;
    size_t body_bytes;  /* of a long argument under way, outside of `input`, as last told */
    size_t pushed_cap;  /* part of `memory`, which whoever pushes keeps right */
    size_t serving_len; /* bytes received with the request that runs now; 0 = none runs */
    size_t owned_bytes; /* of texts, queue and watches */
    size_t unsent;      /* taken out of `output` by the transport and not sent, as last told */
    size_t lent;        /* of the store's bytes, to be sent from where they are, as last told */
    size_t
        output_limit; /* what `output` may hold: a transport that swaps buffers loses its limit */
    size_t memory;    /* heap bytes of all of the above */
    /* Asks the client's thread to look at the client again (kill, pushed, pause over). Called with
     * the lock. */
    void (*wake)(struct fe_client *client);
    struct fe_client *next, *previous; /* in the register */
} fe_client;

typedef struct fe_clients {
    fe_engine *engine;
    fe_client *first, *last; /* in order of id */
    uint32_t count;
    uint32_t monitors;
    uint64_t next_id;
    fe_watches watches;
    size_t memory; /* sum of the clients' memory */
} fe_clients;

void fe_clients_init(fe_clients *clients, fe_engine *engine);
void fe_clients_destroy(fe_clients *clients); /* all clients are closed before */

/* Fills a client and registers it. False when memory is exhausted. */
FE_MUST_USE bool fe_client_open(fe_clients *clients, fe_client *client, fe_bytes addr,
                                fe_bytes laddr, bool unix_socket, int fd);
void fe_client_close(fe_clients *clients, fe_client *client);

/* Replaces an owned text (name, lib_name, lib_version); an empty one frees it. False when memory is
 * exhausted. */
FE_MUST_USE bool fe_client_set_text(fe_clients *clients, fe_bytes *field, fe_bytes text);

/* The state of a fresh connection, for RESET: no transaction, watches, monitor; db 0, RESP2,
 * replies on; unauthenticated when there is a password. Name and id stay as Redis has it (name is
 * cleared). */
void fe_client_reset(fe_clients *clients, fe_client *client);

/* Replaces the caller of the client's next command; takes `mark`, NULL for none. */
void fe_client_set_mark(fe_clients *clients, fe_client *client, fe_trace_mark *mark);

fe_client_class fe_client_get_class(const fe_client *client);

/* Whether CLIENT REPLY hides the reply of the command under way. */
static inline bool fe_client_is_silent(const fe_client *client)
{
    return client->reply_mode == FE_REPLY_OFF || client->reply_mode == FE_REPLY_SKIP;
}

/* One line of CLIENT LIST / INFO, without a line feed. `argv_bytes` is what the arguments of the
 * client's request hold, while it runs. */
void fe_client_describe(const fe_clients *clients, const fe_client *client, size_t argv_bytes,
                        fe_buf *out);

/* Appends bytes for a client of another session and wakes its thread. What would make its output
 * pass the hard limit kills it instead. */
void fe_client_push(fe_clients *clients, fe_client *client, fe_bytes bytes);

/* Moves what was pushed to the output, by the client's own thread, between two replies. */
void fe_client_take_pushed(fe_client *client);

/* Ends the wait of a blocked client: its own thread answers as after the timeout, or with an
 * error. */
void fe_client_unblock(fe_client *client, fe_unblock how);

/* Marks a client for closing by its own thread. */
void fe_client_kill(fe_client *client);

/* Heap bytes of a client's texts, queue and watches. */
size_t fe_client_owned_bytes(const fe_client *client);

/* Takes stock of the buffers of a client, by its own thread, into the fields above and
 * clients->memory. */
void fe_client_account(fe_clients *clients, fe_client *client);

#endif
