/* The session: bytes in, bytes out, no sockets inside.
 *
 *                 receive, serve                      the cause has passed: resume
 *        +----------------------------+        +---------------------------------------+
 *        |                            v        v                                       |
 *      READY ---- serve: a command must wait ----> PARKED (see fe_park_reason)
 *        |                                                    |
 *        +--- QUIT, protocol error, kill, limits ---> CLOSING <---- kill, limits
 *
 * READY -> PARKED   fe_park (park.h): Python must answer, CLIENT PAUSE, WAIT, DEBUG SLEEP, or
 *                   unread output piles up
 * PARKED -> READY   fe_session_resume
 * any -> CLOSING    fe_session_finish, fe_session_cut_off: no more input is read; the
 *                   transport sends `output`, then closes
 *
 * A transport owns sessions and drives them from one thread:
 *
 *     uint8_t *space = fe_session_input(session, ...)   where to receive, or its own memory
 *     fe_session_receive(session, data, len)            the bytes are there until served
 *     fe_server_serve(server, batch, sessions, count)   parse ahead, run, keep what is left
 *     ... send session->client.output ...
 *
 * Requests of several sessions are read ahead without the lock, their index lines and records are
 * prefetched, and then they run in order under one entry of the lock.
 */
#ifndef FE_SESSION_SESSION_H
#define FE_SESSION_SESSION_H

#include "session/server.h"
#include "store/fetch.h"

#define FE_BATCH_COMMANDS 64 /* requests that are read ahead and run under one entry of the lock */
#define FE_READS_MAX 64      /* disk reads that are submitted, or taken, at once */
#define FE_TAKE_ROUND 64u    /* done reads that are taken before others have their turn */
#define FE_BATCH_HASHES 512  /* hashes of their keys */
#define FE_GROUP_MAX 64      /* sessions that are served or resumed together */
#define FE_OUTPUT_HIGH                                                                             \
    (1024u *                                                                                       \
     1024) /* unsent bytes at which a session stops running commands until the reader catches up */

typedef enum fe_session_state {
    FE_SESSION_READY,
    FE_SESSION_PARKED,
    FE_SESSION_CLOSING
} fe_session_state;

typedef enum fe_park_reason {
    FE_PARK_NONE,
    FE_PARK_PYTHON, /* a coroutine answers */
    FE_PARK_PAUSE,  /* CLIENT PAUSE, or another's exclusive hold; the request runs again */
    FE_PARK_TIME,   /* until due_ms or CLIENT UNBLOCK, then wait_status or wait_reply */
    FE_PARK_OUTPUT, /* until the transport has sent what there is */
    FE_PARK_DISK,   /* until records have been read from disk; the request runs again */
    FE_PARK_ROOM    /* until the disk has caught up with what is written; the request runs again */
} fe_park_reason;

typedef struct fe_session {
    fe_client client; /* first: a client is a session */
    fe_server *server;
    void *transport; /* for the transport's wake function */
    fe_session_state state;
    fe_park_reason park;
    int64_t due_ms; /* PARKED for TIME or a timed PAUSE: when to resume, by the monotonic clock; 0 =
                       not by time */
    int64_t wait_reply;
    bool wait_is_pair;
    const char *wait_status; /* see command/command.h for all three */
    fe_python_request *python;
    uint64_t disk_since; /* when it was parked for DISK, ticks */
    uint64_t
        disk_spent; /* ticks that the command that runs next has run until it was parked for DISK */
    uint64_t
        disk_waited; /* how long in all, for the command that runs next; cleared when it is refused */
    uint64_t exec_waited; /* of it, what the EXEC under way has waited before it began */
    fe_waiter waiter;     /* for records on disk; open while the same command waits and runs */
    uint32_t exec_next;   /* the queued command that runs next, while `executing` */
    bool executing;       /* inside EXEC, perhaps parked */
    bool cut_off;         /* CLOSING, and nothing more is to be sent */
    bool woken;           /* in the transport's list of sessions to look at; under the lock */
    int64_t
        soft_limit_since_ms; /* since when output is over the soft limit, by the monotonic clock;
                                    0 = it is not */
    /* The input being served: the transport's memory or client.input. */
    const uint8_t *data;
    size_t data_len;
    size_t data_run;  /* bytes of it whose requests have run: where a parked session starts again */
    size_t data_read; /* ... have been read ahead */
    bool lends;       /* the transport sends loans */
    fe_loan
        loan; /* part of the reply at the end of client.output; no command runs while it is open */
    uint64_t announced;     /* bytes of server->announced that are this session's; 0: none */
    size_t announced_index; /* the last one of these arguments, as in argv */
    uint64_t memory_max;    /* max_memory, as of this round; 0: no limit */
    fe_body body; /* a long argument of the first request of client.input, which lacks it then */
    uint32_t reads, writes; /* receives and sends not yet added to the statistics */
    uint64_t received,
        sent;      /* bytes not yet added to the statistics; `sent` is counted by the transport */
    size_t unsent; /* bytes that the transport has taken out of `output` and not sent yet; those of
                      the loan are not among them */
    struct fe_session *paused_next; /* in server->paused */
    bool in_paused;
    struct fe_session *woken_next; /* in the transport's list */
    /* For session/trace.h; all but the first two are used while commands are recorded. */
    fe_recorder *recorder; /* of the thread that serves it; NULL: none */
    uint64_t
        readable_ticks; /* when the input being served was; 0: commands were not recorded then */
    fe_draft *parked;   /* of the command that waits, or NULL */
    const fe_command *traced;          /* which command a thin draft is of; NULL: an unknown one */
    fe_draft *exec;                    /* of the EXEC under way, or NULL */
    uint64_t records_from, records_to; /* of this round: positions in the recorder's ring */
    uint64_t opened_ticks;             /* for the span of the connection */
    uint32_t round_commands;           /* begun of what was read at once */
    bool elsewhere; /* the client came to another address than telemetry.options.place */
    bool untraced;  /* the command that is to run again was not chosen to be recorded */
} fe_session;

/* Bytes that the transport has still to send, but for those in `output`. */
static inline size_t fe_session_unsent(const fe_session *session)
{
    return session->unsent + fe_loan_left(&session->loan);
}

/* Where the session's replies go: to its output, or nowhere when CLIENT REPLY says so. */
static inline fe_reply fe_session_reply(fe_session *session)
{
    fe_client *client = &session->client;
    fe_buf *buf =
        FE_UNLIKELY(fe_client_is_silent(client)) ? &session->server->unseen : &client->output;
    return (fe_reply){buf, client->resp};
}

/* One request read ahead. */
typedef struct fe_ahead {
    fe_session *session;
    fe_command *command;   /* NULL: unknown */
    fe_command *container; /* unknown subcommand of it */
    fe_request request;
    const uint64_t *hashes; /* by argument, where hashed has the bit set */
    uint64_t hashed;
    size_t end;    /* where the next request begins in session->data */
    bool is_error; /* the protocol error that ends the session, after what came before it */
} fe_ahead;

/* Scratch memory of one thread that serves; zeroed before its first use. */
typedef struct fe_batch {
    fe_ahead ahead[FE_BATCH_COMMANDS];
    uint32_t count;
    uint64_t hashes[FE_BATCH_HASHES];
    uint32_t hash_count;
    fe_hint hint;                      /* of the database that was last used */
    fe_disk_read *reads[FE_READS_MAX]; /* taken for the disk, to be started */
    uint32_t read_count;
} fe_batch;

/* Opens a session; `wake` is called, with the lock held and from any thread, when its thread should
 * call fe_session_resume. NULL when memory is exhausted. Takes the lock. */
fe_session *fe_session_open(fe_server *server, fe_bytes addr, fe_bytes laddr, bool unix_socket,
                            int fd, void (*wake)(fe_client *client), void *transport);

/* Closes and frees. Takes the lock. */
void fe_session_close(fe_session *session);

/* Where the transport should receive the next bytes when there is unfinished input: space behind
 * it, so that nothing is copied twice. NULL: receive into memory of the transport's own. */
uint8_t *fe_session_input(fe_session *session, size_t *space);

/* For serve.c, with the lock: the request that had the long argument has run. */
void fe_session_drop_body(fe_session *session);

/* For the transport: the loan has been sent. Takes the lock. */
void fe_session_return_loan(fe_session *session);

/* Shows received bytes: either what was written to fe_session_input, or memory that stays as it is
 * until the session was served. Without the lock. */
void fe_session_receive(fe_session *session, const uint8_t *data, size_t len);

/* Serves the input of sessions, each listed once: replies are in client.output afterwards, the rest
 * of the input is kept by the session. Takes the lock, several times when there is much. */
void fe_server_serve(fe_server *server, fe_batch *batch, fe_session **sessions, uint32_t count);

/* The same, but disk reads that the sessions wait for are not started yet: those who wait for nothing have their
 * replies sent first, for to start many takes longer than to answer. Then fe_server_start_reads is called. */
void fe_server_serve_first(fe_server *server, fe_batch *batch, fe_session **sessions,
                           uint32_t count);
void fe_server_start_reads(fe_server *server, fe_batch *batch);

/* Takes what has been read from disk, a bounded number, and wakes the sessions that waited for it: for a thread that
 * watches the edges of fe_disk_fd(engine->disk), whenever it is awake; costs next to nothing when there are none. Returns
 * how many; FE_TAKE_ROUND and more: there may be others, and nobody else will be told of them; it is to be called again
 * when others have had their turn. Takes the lock. */
FE_MUST_USE uint32_t fe_server_take_done(fe_server *server);
/* The same, and clears the descriptor, which stays readable when there is more: for a thread that watches its level. */
void fe_server_take_records(fe_server *server);

/* Looks at sessions again, each listed once, after wake, when due_ms has passed, or when its output was
 * sent: takes pushed bytes and Python's answer, and runs on when the cause of parking has passed. Takes
 * the lock, twice for all. */
void fe_server_resume(fe_server *server, fe_batch *batch, fe_session **sessions, uint32_t count);

/* The same for one. */
void fe_session_resume(fe_session *session, fe_batch *batch);

/* The server stops: a session that waits for a time (WAIT, DEBUG SLEEP) is answered now instead, and
 * so are the commands behind it. One that CLIENT PAUSE holds stays held: what it has sent must not
 * run. Takes the lock. */
void fe_session_wait_no_more(fe_session *session, fe_batch *batch);

/* Whether the transport should read more from the connection. */
bool fe_session_wants_input(const fe_session *session);

/* About once a second: the idle timeout and the time limits of the output buffer. Takes the
 * lock. */
void fe_session_cron(fe_session *session);

/* For serve.c and session.c, with the lock: takes stock of buffers and counters after a session was
 * served, and cuts the connection off when a limit is passed. */
void fe_session_account(fe_session *session);

/* For serve.c and session.c, with the lock: no more input is read; what is in `output` is sent, then the transport closes. */
void fe_session_finish(fe_session *session);

/* The same for a connection whose reader did not keep up, or that is not wanted any more: nothing more is sent. */
void fe_session_cut_off(fe_session *session);

/* The input has been served as far as possible: keeps what is left of it. Without the lock. */
void fe_session_keep_rest(fe_session *session);

#endif
