/* Commands: the row that says everything about one, the call that a handler sees, and the registry.
 *
 * To add a C command: write its handler and its row in native/command/<family>.c. COMMAND, COMMAND
 * DOCS, ACL categories, INFO commandstats, docs and the differential matrix read the registry. The
 * family's table is listed in command/families.c once, when the family is new.
 */
#ifndef FE_COMMAND_COMMAND_H
#define FE_COMMAND_COMMAND_H

#include "client/client.h"
#include "engine/engine.h"
#include "event/exponential.h"
#include "resp/reply.h"

/* Flags of a command; the names are those of COMMAND INFO. */
enum {
    FE_WRITE = 1 << 0,
    FE_READONLY = 1 << 1,
    FE_DENYOOM = 1 << 2,
    FE_ADMIN = 1 << 3,
    FE_NOSCRIPT = 1 << 4,
    FE_BLOCKING = 1 << 5,
    FE_LOADING = 1 << 6,
    FE_STALE = 1 << 7,
    FE_SKIP_MONITOR = 1 << 8,
    FE_SKIP_SLOWLOG = 1 << 9,
    FE_FAST = 1 << 10,
    FE_NO_AUTH = 1 << 11,
    FE_NO_MULTI = 1 << 12,
    FE_ALLOW_BUSY = 1 << 13,
    FE_NO_ASYNC_LOADING = 1 << 14,
    FE_MAY_REPLICATE = 1 << 15,
    FE_MOVABLE_KEYS = 1 << 16,
    FE_PUBSUB = 1 << 17,
    FE_NO_MANDATORY_KEYS = 1 << 18,
    FE_PROTECTED = 1 << 19,
    /* not shown by COMMAND */
    FE_PYTHON = 1 << 24,    /* answered by a Python coroutine: the session parks */
    FE_CONTAINER = 1 << 25, /* has only subcommands */
    FE_UNQUEUED = 1 << 27, /* runs at once inside MULTI: EXEC, DISCARD, MULTI, WATCH, QUIT, RESET */
    FE_OVERWRITES = 1 << 28, /* replaces its keys, whatever they hold: need not be read from disk */
    FE_COLD = 1 << 29,   /* tells where keys are, so they stay there: nothing is read from disk */
    FE_HEADS = 1 << 30,  /* needs of its keys only name, type, length and deadline: not the value */
    FE_SECRET = 1 << 26, /* its arguments never reach logs, MONITOR, SLOWLOG or spans */
};

/* ACL categories, beyond those that the flags imply (read, write, fast/slow, admin, dangerous,
 * blocking, pubsub). */
enum {
    FE_CAT_KEYSPACE = 1 << 0,
    FE_CAT_STRING = 1 << 1,
    FE_CAT_BITMAP = 1 << 2,
    FE_CAT_HYPERLOGLOG = 1 << 3,
    FE_CAT_CONNECTION = 1 << 4,
    FE_CAT_TRANSACTION = 1 << 5,
    FE_CAT_DANGEROUS = 1 << 6,
    FE_CAT_SCRIPTING = 1 << 7,
    FE_CAT_ADMIN = 1 << 8,
};

/* Key specifications as in COMMAND INFO. */
enum {
    FE_KEY_RO = 1 << 0,
    FE_KEY_RW = 1 << 1,
    FE_KEY_OW = 1 << 2,
    FE_KEY_RM = 1 << 3,
    FE_KEY_ACCESS = 1 << 4,
    FE_KEY_UPDATE = 1 << 5,
    FE_KEY_INSERT = 1 << 6,
    FE_KEY_DELETE = 1 << 7,
    FE_KEY_VARIABLE_FLAGS = 1 << 8,
    FE_KEY_INCOMPLETE = 1 << 9,
    FE_KEY_NOT_KEY = 1 << 10,
};

/* The keys argv[first], argv[first + step], ... up to `last`: relative to first when >= 0, from the
 * end of argv when < 0 (-1 = last argument). A spec with first == 0 is unused. */
typedef struct fe_key_spec {
    uint32_t flags;
    int8_t first;
    int8_t last;
    int8_t step;
} fe_key_spec;

#define FE_KEY_SPECS_MAX 2

typedef struct fe_call fe_call;
typedef void fe_handler(fe_call *call);

typedef struct fe_command_row {
    const char *name; /* lower case; "client|list" for a subcommand */
    fe_handler *run;  /* NULL for FE_PYTHON and FE_CONTAINER */
    int32_t arity;    /* as in Redis: counts the name (and the subcommand's); negative = at least */
    uint32_t flags;
    uint32_t categories;
    fe_key_spec keys[FE_KEY_SPECS_MAX];
    const char *group;      /* as COMMAND DOCS: "string", "bitmap", "generic", ... */
    const char *since;      /* the Redis version that has it: "1.0.0" */
    const char *complexity; /* "O(1)" */
    const char *summary;    /* our own words, one sentence */
    const char *syntax;     /* arguments only, in the notation of redis.io: "key value [NX | XX]" */
    const char *tips;       /* the tips of COMMAND INFO, separated by spaces; NULL = none */
} fe_command_row;

/* What the duration of a call counts for: LATENCY HISTOGRAM and INFO latencystats tell how long commands
 * ran, metrics how long they took in all, waits for the disk too. Nearly all calls count for both, and
 * are counted once.
 *
 * How long it took counts once more where a tier other than the mutable one has served the call: for the deepest such
 * tier, in the order READ_ONLY, READ_CACHE, DISK. */
typedef enum fe_duration {
    FE_DURATION_BOTH,  /* it has not waited */
    FE_DURATION_RUN,   /* how long it ran: it has waited, or options.metrics is off */
    FE_DURATION_WHOLE, /* how long it took: it has waited, or options.latency_tracking is off */
    FE_DURATION_READ_ONLY,
    FE_DURATION_READ_CACHE,
    FE_DURATION_DISK,
    FE_DURATION_COUNT
} fe_duration;

/* Statistics of one command, guarded by the engine's lock. */
typedef struct fe_command_stats {
    uint64_t calls;
    uint64_t ticks;    /* time spent */
    uint64_t rejected; /* refused before it ran: arity, permission, OOM */
    uint64_t failed;   /* answered an error while running */
    fe_exponential *durations[FE_DURATION_COUNT]; /* each NULL until a call was counted in it */
} fe_command_stats;

/* A registered command: the row plus what the registry derives. */
typedef struct fe_command {
    const fe_command_row *row;
    struct fe_command *parent;    /* of a subcommand */
    struct fe_command **children; /* of a container */
    uint32_t child_count;
    uint16_t number; /* in the order of registration, subcommands too, from 0 */
    fe_command_stats stats;
} fe_command;

/* What the session does after the handler returns. */
typedef enum fe_after {
    FE_AFTER_NEXT, /* go on */
    FE_AFTER_EXEC, /* run the queue of the transaction */
    FE_AFTER_WAIT, /* WAIT, WAITAOF, DEBUG SLEEP: park for call->wait_ms, then answer */
    FE_AFTER_FETCH /* nothing was answered: run again when what the store misses is in memory */
} fe_after;

struct fe_commands;

/* Bytes of a reply that are sent from where they are: the session's output goes on behind them. */
typedef struct fe_loan {
    fe_hold hold; /* ptr NULL: there is none */
    const uint8_t *ptr;
    size_t len;
    size_t at;   /* where in the output they belong */
    size_t sent; /* by the transport */
} fe_loan;

static inline bool fe_loan_is_open(const fe_loan *loan)
{
    return loan->hold.ptr != NULL;
}

/* Bytes of it that are still to be sent. */
static inline size_t fe_loan_left(const fe_loan *loan)
{
    return fe_loan_is_open(loan) ? loan->len - loan->sent : 0;
}

/* What a handler sees. It reads argv, reaches data through command/open.h and store/keyspace.h, and
 * writes exactly one reply. */
struct fe_call {
    fe_engine *engine;
    fe_store *store;
    fe_clients *clients;
    fe_client *client;
    struct fe_commands *commands;
    const fe_command_row *row;
    const fe_bytes *argv;
    uint32_t argc;
    /* Hashes of key arguments that the session has already computed: hashes[i] is that of argv[i]
     * when i < 64 and bit i of the mask is set. The mask is 0 when there are none. Read by
     * command/open.c alone. */
    const uint64_t *hashes;
    uint64_t hash_known_mask;
    fe_body *body; /* one of the arguments lies there, or NULL; see fe_key_adopt */
    fe_loan *loan; /* a long value may be answered by it; NULL: it is copied */
    fe_reply reply;
    bool in_exec; /* runs inside EXEC */
    bool failed;  /* an error reply was written; set by fe_call_error */
    fe_after after;
    int64_t wait_ms; /* 0: for ever */
    int64_t wait_reply;
    bool wait_is_pair; /* answer an array of twice wait_reply: WAITAOF counts here and elsewhere */
    /* Arguments that MONITOR and SLOWLOG hide: bit i is argument i, bit 63 all from there on. A
     * row with FE_SECRET begins with all but the names, and its handler may know better. */
    uint64_t secret_mask;
    /* A constant: the status to answer instead of wait_reply; then CLIENT UNBLOCK does not end it. */
    const char *wait_status;
    uint64_t *located; /* where the ticks of the last look-up of a key go; NULL: nobody asks */
    bool recorded;     /* the session has a draft of its record */
    bool marks_next;   /* TRACEPARENT has named the caller of the next command */
    bool walked_on; /* with FE_AFTER_FETCH: what was read for earlier runs is not needed any more */
    bool wake_paused; /* the pause is over or has changed: the sessions it holds must look again */
};

/* Bytes that the command has answered, where its reply began at `before`: also those that it was lent. */
static inline size_t fe_call_replied(const fe_call *call, size_t before)
{
    const fe_loan *loan = call->loan;
    size_t lent = loan != NULL && fe_loan_is_open(loan) && loan->at >= before ? loan->len : 0;
    size_t len = call->reply.buf->len;
    return (len > before ? len - before : 0) + lent;
}

/* Whether argument `i` of a call with this mask is to be hidden. */
static inline bool fe_call_is_secret(uint64_t secret_mask, uint32_t i)
{
    return (secret_mask >> (i < 63 ? i : 63) & 1) != 0;
}

/* CLIENT REPLY has changed within the command: its reply is seen if the client hears again. */
void fe_call_show_reply(fe_call *call);

/* Writes an error reply and counts it. Every error of a handler goes through here. */
void fe_call_error(fe_call *call, const char *line);
void fe_call_errorf(fe_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fe_call_syntax_error(fe_call *call); /* ERR syntax error */
void fe_call_arity_error(fe_call *call);  /* ERR wrong number of arguments for 'x' command */
void fe_call_no_memory(fe_call *call);    /* the OOM error of Redis */
void fe_call_status_error(fe_call *call, fe_status status); /* of a store operation */

/* Replies with the lines of a subcommand's HELP in Redis's form; `lines` ends with NULL. */
void fe_call_help(fe_call *call, const char *name, const char *const *lines);

/* Argument `i` as an integer; on failure answers "ERR value is not an integer or out of range" and
 * returns false. */
FE_MUST_USE bool fe_call_int64(fe_call *call, uint32_t i, int64_t *value);

/* As above, for an argument that must fit into 32 bits; the error then names the range. */
FE_MUST_USE bool fe_call_int32(fe_call *call, uint32_t i, int64_t *value);

/* Argument `i` as a timeout in milliseconds, not negative. False after an error reply. */
FE_MUST_USE bool fe_call_timeout_ms(fe_call *call, uint32_t i, int64_t *timeout_ms);

/* The registry. -------------------------------------------------------------------------------- */

typedef struct fe_commands fe_commands;

/* Makes a registry of all C families. NULL when memory is exhausted. */
fe_commands *fe_commands_new(fe_alloc *alloc);
void fe_commands_free(fe_commands *commands);

/* Adds a row (Python's rows are added this way before listening; row and texts must outlive the
 * registry). A subcommand's container is found by its name before the '|', and must be there. False
 * when the name exists or memory is exhausted. */
FE_MUST_USE bool fe_commands_add(fe_commands *commands, const fe_command_row *row);

/* Makes a histogram of a command that has none. Without memory there is none still. */
void fe_commands_add_durations(fe_commands *commands, fe_command *command, fe_duration kind);

/* Counts how long a call took. */
static inline void fe_commands_count(fe_commands *commands, fe_command *command, fe_duration kind,
                                     uint64_t units)
{
    if (FE_UNLIKELY(command->stats.durations[kind] == NULL))
        fe_commands_add_durations(commands, command, kind);
    fe_exponential *durations = command->stats.durations[kind];
    if (FE_LIKELY(durations != NULL)) fe_exponential_add(durations, units);
}

/* Whether durations of a command were counted, as LATENCY HISTOGRAM (FE_DURATION_RUN) or metrics (FE_DURATION_WHOLE, and
 * each of the tiers) tell them; if so they are copied, unless `durations` is NULL. */
bool fe_command_durations(const fe_command *command, fe_duration kind, fe_exponential *durations);

/* Sets the statistics of all commands back to zero: CONFIG RESETSTAT. */
void fe_commands_reset_stats(fe_commands *commands);

/* Finds by name, case-insensitively; for a container with a second argument, the subcommand. NULL:
 * unknown. When the container is known but not the subcommand, *container is set (and NULL is
 * returned), unless the container has a handler of its own, which then answers. */
fe_command *fe_commands_find(const fe_commands *commands, const fe_bytes *argv, uint32_t argc,
                             fe_command **container);

/* All top-level commands, in order of registration. */
fe_command *const *fe_commands_all(const fe_commands *commands, uint32_t *count);

/* Whether argc fits the row's arity. */
bool fe_command_arity_ok(const fe_command_row *row, uint32_t argc);

/* Calls `visit` with the argv index and flags of each key of a request. Returns the number of keys.
 */
typedef void fe_key_visit(void *context, uint32_t index, uint32_t flags);
uint32_t fe_command_keys(const fe_command_row *row, uint32_t argc, fe_key_visit *visit,
                         void *context);

/* Families: each command/<family>.c ends with its table; command/families.c lists them. */
typedef struct fe_family {
    const fe_command_row *rows;
    uint32_t count;
} fe_family;

#endif
