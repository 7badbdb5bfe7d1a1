/* The connection itself: who it is, which protocol it speaks, which database it sees. */
#include "base/version.h"
#include "command/families.h"
#include "command/subcommand.h"
#include "resp/number.h"

static void ping(fe_call *call)
{
    if (call->argc > 2)
        fe_call_arity_error(call);
    else if (call->argc == 2)
        fe_reply_bulk(&call->reply, call->argv[1]);
    else
        fe_reply_status(&call->reply, "PONG");
}

static void echo(fe_call *call)
{
    fe_reply_bulk(&call->reply, call->argv[1]);
}

static void quit(fe_call *call)
{
    call->client->close_after_reply = true;
    fe_reply_ok(&call->reply);
}

static void reset(fe_call *call)
{
    fe_client_reset(call->clients, call->client);
    call->reply.resp = call->client->resp;
    fe_call_show_reply(call);
    fe_reply_status(&call->reply, "RESET");
}

static void select_database(fe_call *call)
{
    int64_t db;
    if (!fe_call_int32(call, 1, &db)) return;
    if (db < 0 || db >= (int64_t)call->engine->options.store.databases) {
        fe_call_error(call, "ERR DB index is out of range");
        return;
    }
    call->client->db = (uint32_t)db;
    fe_reply_ok(&call->reply);
}

/* Authentication. ---------------------------------------------------------------------------------
 */

/* Compares in a time that depends on the length of what was sent alone. */
static bool password_equal(fe_bytes given, const char *password)
{
    size_t len = strlen(password);
    unsigned difference = given.len == len ? 0u : 1u;
    for (size_t i = 0; i < given.len; i++)
        difference |= (unsigned)(given.ptr[i] ^ (uint8_t)password[len == 0 ? 0 : i % len]);
    return difference == 0;
}

/* There is one user, "default". Without a password it takes any. */
static bool authenticate(fe_call *call, fe_bytes user, fe_bytes given)
{
    const char *password = call->engine->options.requirepass;
    bool known = fe_bytes_equal(user, FE_BYTES("default"));
    if (!known || (password[0] != 0 && !password_equal(given, password))) {
        fe_call_error(call, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    call->client->authenticated = true;
    fe_reader_set_authenticated(call->client->reader, true);
    return true;
}

static void auth(fe_call *call)
{
    if (call->argc > 3) {
        fe_call_syntax_error(call);
        return;
    }
    if (call->argc == 2 && call->engine->options.requirepass[0] == 0) {
        fe_call_error(call, "ERR AUTH <password> called without any password configured for the "
                            "default user. Are you sure your configuration is correct?");
        return;
    }
    fe_bytes user = call->argc == 2 ? FE_BYTES("default") : call->argv[1];
    if (authenticate(call, user, call->argv[call->argc - 1])) fe_reply_ok(&call->reply);
}

/* HELLO. ------------------------------------------------------------------------------------------
 */

typedef struct hello_options {
    int64_t version;      /* 0: as it is */
    const fe_bytes *auth; /* user and password, or NULL */
    const fe_bytes *name; /* or NULL */
} hello_options;

static bool read_hello_version(fe_call *call, hello_options *options)
{
    if (call->argc < 2) return true;
    if (!fe_number_read_int64(call->argv[1], &options->version)) {
        fe_call_error(call, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (options->version == 2 || options->version == 3) return true;
    fe_call_error(call, "NOPROTO unsupported protocol version");
    return false;
}

static bool read_hello(fe_call *call, hello_options *options)
{
    if (!read_hello_version(call, options)) return false;
    for (uint32_t i = 2; i < call->argc; i++) {
        uint32_t behind = call->argc - 1 - i;
        if (fe_bytes_is_word(call->argv[i], "auth") && behind >= 2) {
            options->auth = &call->argv[i + 1];
            i += 2;
        } else if (fe_bytes_is_word(call->argv[i], "setname") && behind >= 1) {
            options->name = &call->argv[++i];
            if (fe_subcommand_is_plain_word(*options->name)) continue;
            fe_call_error(call, "ERR Client names cannot contain spaces, newlines or special "
                                "characters.");
            return false;
        } else {
            fe_call_errorf(call, "ERR Syntax error in HELLO option '%.*s'",
                           (int)(call->argv[i].len < 512 ? call->argv[i].len : 512),
                           (const char *)call->argv[i].ptr);
            return false;
        }
    }
    return true;
}

/* How a client may say who calls: helpers look for this key, and send nothing without it. */
static void reply_traceparent(fe_reply *reply)
{
    fe_reply_bulk_text(reply, "traceparent");
    fe_reply_array(reply, 2);
    fe_reply_bulk_text(reply, "attribute");
    fe_reply_bulk_text(reply, "command");
}

static void reply_identity(fe_call *call)
{
    fe_reply *reply = &call->reply;
    const fe_telemetry_options *options = &call->engine->telemetry.options;
    bool traces = options->traces && !options->ignores_callers;
    fe_reply_map(reply, traces ? 8 : 7);
    fe_reply_bulk_text(reply, "server");
    fe_reply_bulk_text(reply, "redis");
    fe_reply_bulk_text(reply, "version");
    fe_reply_bulk_text(reply, FE_REDIS_VERSION);
    fe_reply_bulk_text(reply, "proto");
    fe_reply_integer(reply, call->client->resp);
    fe_reply_bulk_text(reply, "id");
    fe_reply_integer(reply, (int64_t)call->client->id);
    fe_reply_bulk_text(reply, "mode");
    fe_reply_bulk_text(reply, "standalone");
    fe_reply_bulk_text(reply, "role");
    fe_reply_bulk_text(reply, "master");
    fe_reply_bulk_text(reply, "modules");
    fe_reply_array(reply, 0);
    if (traces) reply_traceparent(reply);
}

/* Hides user and password, and nothing else, from those who look on. */
static void hide_secrets(fe_call *call)
{
    call->secret_mask = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        if (!fe_bytes_is_word(call->argv[i], "auth")) continue;
        for (uint32_t j = i + 1; j <= i + 2; j++)
            call->secret_mask |= 1ULL << (j < 63 ? j : 63);
        i += 2;
    }
}

static void hello(fe_call *call)
{
    hide_secrets(call);
    hello_options options = {0};
    if (!read_hello(call, &options)) return;
    if (options.auth != NULL && !authenticate(call, options.auth[0], options.auth[1])) return;
    if (!call->client->authenticated) {
        fe_call_error(call, "NOAUTH HELLO must be called with the client already authenticated, "
                            "otherwise the HELLO <proto> AUTH <user> <pass> option can be used "
                            "to authenticate the client and select the RESP protocol version at "
                            "the same time");
        return;
    }
    if (options.name != NULL &&
        !fe_client_set_text(call->clients, &call->client->name, *options.name)) {
        fe_call_no_memory(call);
        return;
    }
    if (options.version != 0) call->client->resp = (int)options.version;
    call->reply.resp = call->client->resp;
    reply_identity(call);
}

static const fe_command_row rows[] = {
    {
        .name = "auth",
        .run = auth,
        .arity = -2,
        .flags =
            FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_NO_AUTH | FE_ALLOW_BUSY | FE_SECRET,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Proves who the client is.",
        .syntax = "[username] password",
    },
    {
        .name = "hello",
        .run = hello,
        .arity = -1,
        .flags =
            FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_NO_AUTH | FE_ALLOW_BUSY | FE_SECRET,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "6.0.0",
        .complexity = "O(1)",
        .summary = "Chooses the protocol version and describes the server.",
        .syntax = "[protover [AUTH username password] [SETNAME clientname]]",
    },
    {
        .name = "ping",
        .run = ping,
        .arity = -1,
        .flags = FE_FAST,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers PONG, or its argument.",
        .syntax = "[message]",
        .tips = "request_policy:all_shards response_policy:all_succeeded",
    },
    {
        .name = "echo",
        .run = echo,
        .arity = 2,
        .flags = FE_LOADING | FE_STALE | FE_FAST,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Answers its argument.",
        .syntax = "message",
    },
    {
        .name = "quit",
        .run = quit,
        .arity = -1,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_NO_AUTH | FE_ALLOW_BUSY |
                 FE_UNQUEUED,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Closes the connection.",
        .syntax = "",
    },
    {
        .name = "reset",
        .run = reset,
        .arity = 1,
        .flags = FE_NOSCRIPT | FE_LOADING | FE_STALE | FE_FAST | FE_NO_AUTH | FE_ALLOW_BUSY |
                 FE_UNQUEUED,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Makes the connection as it was when it was new.",
        .syntax = "",
    },
    {
        .name = "select",
        .run = select_database,
        .arity = 2,
        .flags = FE_LOADING | FE_STALE | FE_FAST,
        .categories = FE_CAT_CONNECTION,
        .group = "connection",
        .since = "1.0.0",
        .complexity = "O(1)",
        .summary = "Chooses the database that the connection's commands see.",
        .syntax = "index",
    },
};

FE_FAMILY_DEFINE(connection, rows);
