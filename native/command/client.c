/* CLIENT: what a connection may ask and set about itself, and what an administrator does with all
 * of them.
 *
 * Other clients are only marked here (killed, unblocked); their own threads act on it. */
#include "command/families.h"
#include "command/subcommand.h"
#include "resp/number.h"

#include <stdlib.h>

enum { ARGUMENT_SHOWN_MAX = 512 }; /* bytes of an argument in an error text */

/* About oneself.
 * ---------------------------------------------------------------------------------- */

static void id(fe_call *call)
{
    fe_reply_integer(&call->reply, (int64_t)call->client->id);
}

static void getname(fe_call *call)
{
    if (call->client->name.len > 0)
        fe_reply_bulk(&call->reply, call->client->name);
    else
        fe_reply_null(&call->reply);
}

static void setname(fe_call *call)
{
    if (!fe_subcommand_is_plain_word(call->argv[2]))
        fe_call_error(call,
                      "ERR Client names cannot contain spaces, newlines or special characters.");
    else if (!fe_client_set_text(call->clients, &call->client->name, call->argv[2]))
        fe_call_no_memory(call);
    else
        fe_reply_ok(&call->reply);
}

/* Answers an error with argument `i` in its text. */
static void error_about(fe_call *call, const char *before, uint32_t i, const char *after)
{
    fe_bytes text = call->argv[i];
    int shown = (int)(text.len < ARGUMENT_SHOWN_MAX ? text.len : ARGUMENT_SHOWN_MAX);
    fe_call_errorf(call, "ERR %s%.*s%s", before, shown, (const char *)text.ptr, after);
}

static void setinfo(fe_call *call)
{
    fe_client *client = call->client;
    fe_bytes *field = fe_bytes_is_word(call->argv[2], "lib-name")  ? &client->lib_name
                      : fe_bytes_is_word(call->argv[2], "lib-ver") ? &client->lib_version
                                                                   : NULL;
    if (field == NULL)
        error_about(call, "Unrecognized option '", 2, "'");
    else if (!fe_subcommand_is_plain_word(call->argv[3]))
        error_about(call, "", 2, " cannot contain spaces, newlines or special characters.");
    else if (!fe_client_set_text(call->clients, field, call->argv[3]))
        fe_call_no_memory(call);
    else
        fe_reply_ok(&call->reply);
}

static void reply_mode(fe_call *call)
{
    fe_client *client = call->client;
    if (fe_bytes_is_word(call->argv[2], "on")) {
        client->reply_mode = FE_REPLY_ON;
        fe_call_show_reply(call);
        fe_reply_ok(&call->reply);
    } else if (fe_bytes_is_word(call->argv[2], "off")) {
        client->reply_mode = FE_REPLY_OFF;
    } else if (fe_bytes_is_word(call->argv[2], "skip")) {
        if (client->reply_mode != FE_REPLY_OFF) client->reply_mode = FE_REPLY_SKIP_NEXT;
    } else {
        fe_call_syntax_error(call);
    }
}

static void no_evict(fe_call *call)
{
    if (fe_subcommand_on_off(call, 2, &call->client->no_evict)) fe_reply_ok(&call->reply);
}

static void no_touch(fe_call *call)
{
    if (fe_subcommand_on_off(call, 2, &call->client->no_touch)) fe_reply_ok(&call->reply);
}

/* Nobody can be tracked yet, so nobody is. */
static void getredir(fe_call *call)
{
    fe_reply_integer(&call->reply, -1);
}

static void trackinginfo(fe_call *call)
{
    fe_reply *reply = &call->reply;
    fe_reply_map(reply, 3);
    fe_reply_bulk_text(reply, "flags");
    fe_reply_set(reply, 1);
    fe_reply_bulk_text(reply, "off");
    fe_reply_bulk_text(reply, "redirect");
    fe_reply_integer(reply, -1);
    fe_reply_bulk_text(reply, "prefixes");
    fe_reply_array(reply, 0);
}

/* About all.
 * -------------------------------------------------------------------------------------- */

/* Types of CLIENT LIST and KILL. Replicas, a master and subscribers do not exist yet. */
typedef enum client_type { TYPE_ANY, TYPE_NORMAL, TYPE_OTHER } client_type;

static bool read_type(fe_call *call, uint32_t i, client_type *type)
{
    fe_bytes name = call->argv[i];
    if (fe_bytes_is_word(name, "normal")) {
        *type = TYPE_NORMAL;
    } else if (fe_bytes_is_word(name, "replica") || fe_bytes_is_word(name, "slave") ||
               fe_bytes_is_word(name, "master") || fe_bytes_is_word(name, "pubsub")) {
        *type = TYPE_OTHER;
    } else {
        error_about(call, "Unknown client type '", i, "'");
        return false;
    }
    return true;
}

/* By id; NULL when there is none, or it is being closed. */
static fe_client *find_client(const fe_clients *clients, int64_t wanted)
{
    for (fe_client *client = clients->first; client != NULL; client = client->next)
        if ((int64_t)client->id == wanted) return client->kill ? NULL : client;
    return NULL;
}

static void describe_line(fe_call *call, const fe_client *client, fe_buf *lines)
{
    size_t argv_bytes = 0;
    for (uint32_t i = 0; client == call->client && i < call->argc; i++)
        argv_bytes += call->argv[i].len;
    fe_client_describe(call->clients, client, argv_bytes, lines);
    fe_buf_append_byte(lines, '\n');
}

static void reply_lines(fe_call *call, const fe_buf *lines)
{
    if (lines->failed)
        fe_call_no_memory(call);
    else
        fe_reply_verbatim(&call->reply, "txt", fe_buf_view(lines));
}

static void info(fe_call *call)
{
    fe_buf lines;
    fe_buf_init(&lines, &call->engine->alloc, FE_ALLOC_SCRATCH);
    describe_line(call, call->client, &lines);
    reply_lines(call, &lines);
    fe_buf_free(&lines);
}

/* An id of CLIENT LIST ID, and the client that has it. */
typedef struct wanted_client {
    int64_t id;
    uint32_t position; /* in the order in which the ids were given */
    const fe_client *client;
} wanted_client;

static int compare_ids(const void *one, const void *two)
{
    int64_t a = ((const wanted_client *)one)->id, b = ((const wanted_client *)two)->id;
    return (a > b) - (a < b);
}

static int compare_positions(const void *one, const void *two)
{
    uint32_t a = ((const wanted_client *)one)->position;
    uint32_t b = ((const wanted_client *)two)->position;
    return (a > b) - (a < b);
}

/* Finds the clients of sorted ids in one pass: the register is in order of id too. */
static void find_clients(const fe_clients *clients, wanted_client *wanted, uint32_t count)
{
    const fe_client *client = clients->first;
    for (uint32_t i = 0; i < count; i++) {
        while (client != NULL && (int64_t)client->id < wanted[i].id)
            client = client->next;
        bool found = client != NULL && (int64_t)client->id == wanted[i].id && !client->kill;
        wanted[i].client = found ? client : NULL;
    }
}

/* Describes clients in the order of the ids, one that is named twice twice, as Redis does. */
static void list_wanted(fe_call *call, wanted_client *wanted, fe_buf *lines)
{
    uint32_t count = call->argc - 3;
    for (uint32_t i = 0; i < count; i++) {
        wanted[i].position = i;
        if (!fe_number_read_int64(call->argv[3 + i], &wanted[i].id)) {
            fe_call_error(call, "ERR Invalid client ID");
            return;
        }
    }
    qsort(wanted, count, sizeof *wanted, compare_ids);
    find_clients(call->clients, wanted, count);
    qsort(wanted, count, sizeof *wanted, compare_positions);
    for (uint32_t i = 0; i < count; i++)
        if (wanted[i].client != NULL) describe_line(call, wanted[i].client, lines);
    reply_lines(call, lines);
}

static void list_by_id(fe_call *call, fe_buf *lines)
{
    fe_alloc *alloc = &call->engine->alloc;
    wanted_client *wanted =
        fe_alloc_take(alloc, FE_ALLOC_SCRATCH, (call->argc - 3) * sizeof *wanted);
    if (wanted == NULL) {
        fe_call_no_memory(call);
        return;
    }
    list_wanted(call, wanted, lines);
    fe_alloc_give(alloc, FE_ALLOC_SCRATCH, wanted);
}

static void list_by_type(fe_call *call, client_type type, fe_buf *lines)
{
    const fe_client *client = type == TYPE_OTHER ? NULL : call->clients->first;
    for (; client != NULL; client = client->next)
        if (!client->kill) describe_line(call, client, lines);
    reply_lines(call, lines);
}

static void list(fe_call *call)
{
    client_type type = TYPE_ANY;
    fe_buf lines;
    fe_buf_init(&lines, &call->engine->alloc, FE_ALLOC_SCRATCH);
    if (call->argc == 4 && fe_bytes_is_word(call->argv[2], "type")) {
        if (read_type(call, 3, &type)) list_by_type(call, type, &lines);
    } else if (call->argc > 3 && fe_bytes_is_word(call->argv[2], "id")) {
        list_by_id(call, &lines);
    } else if (call->argc == 2) {
        list_by_type(call, type, &lines);
    } else {
        fe_call_syntax_error(call);
    }
    fe_buf_free(&lines);
}

/* KILL.
 * ------------------------------------------------------------------------------------------- */

typedef struct kill_filter {
    int64_t id;            /* 0: any */
    const fe_bytes *addr;  /* NULL: any */
    const fe_bytes *laddr; /* NULL: any */
    client_type type;
    bool skip_me;
} kill_filter;

static bool read_kill_option(fe_call *call, uint32_t i, kill_filter *filter)
{
    fe_bytes name = call->argv[i];
    const fe_bytes *value = &call->argv[i + 1];
    if (fe_bytes_is_word(name, "id")) {
        if (fe_number_read_int64(*value, &filter->id) && filter->id > 0) return true;
        fe_call_error(call, "ERR client-id should be greater than 0");
        return false;
    }
    if (fe_bytes_is_word(name, "type")) return read_type(call, i + 1, &filter->type);
    if (fe_bytes_is_word(name, "addr")) {
        filter->addr = value;
    } else if (fe_bytes_is_word(name, "laddr")) {
        filter->laddr = value;
    } else if (fe_bytes_is_word(name, "user")) {
        if (fe_bytes_equal(*value, FE_BYTES("default"))) return true;
        error_about(call, "No such user '", i + 1, "'");
        return false;
    } else if (fe_bytes_is_word(name, "skipme") &&
               (fe_bytes_is_word(*value, "yes") || fe_bytes_is_word(*value, "no"))) {
        filter->skip_me = fe_bytes_is_word(*value, "yes");
    } else {
        fe_call_syntax_error(call);
        return false;
    }
    return true;
}

static bool read_kill(fe_call *call, kill_filter *filter)
{
    if (call->argc == 3) {
        filter->addr = &call->argv[2];
        return true;
    }
    filter->skip_me = true;
    for (uint32_t i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            fe_call_syntax_error(call);
            return false;
        }
        if (!read_kill_option(call, i, filter)) return false;
    }
    return true;
}

static bool kill_matches(const fe_call *call, const kill_filter *filter, const fe_client *client)
{
    if (client->kill || (client == call->client && filter->skip_me)) return false;
    if (filter->addr != NULL && !fe_bytes_equal(client->addr, *filter->addr)) return false;
    if (filter->laddr != NULL && !fe_bytes_equal(client->laddr, *filter->laddr)) return false;
    if (filter->type == TYPE_OTHER) return false;
    return filter->id == 0 || (int64_t)client->id == filter->id;
}

static void kill_clients(fe_call *call)
{
    kill_filter filter = {0};
    if (!read_kill(call, &filter)) return;
    int64_t killed = 0;
    for (fe_client *client = call->clients->first; client != NULL; client = client->next) {
        if (!kill_matches(call, &filter, client)) continue;
        if (client == call->client)
            client->close_after_reply = true;
        else
            fe_client_kill(client);
        killed++;
    }
    if (call->argc > 3)
        fe_reply_integer(&call->reply, killed);
    else if (killed > 0)
        fe_reply_ok(&call->reply);
    else
        fe_call_error(call, "ERR No such client");
}

/* Waiting.
 * ---------------------------------------------------------------------------------------- */

/* A pause under way is only ever made longer and stricter. */
static void pause_clients(fe_call *call)
{
    if (call->argc > 4) {
        fe_subcommand_error(call);
        return;
    }
    bool all = call->argc == 3 || fe_bytes_is_word(call->argv[3], "all");
    if (!all && !fe_bytes_is_word(call->argv[3], "write")) {
        fe_call_error(call, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return;
    }
    int64_t timeout_ms, until_ms;
    if (!fe_call_timeout_ms(call, 2, &timeout_ms)) return;
    fe_pause *pause = &call->engine->pause;
    bool under_way = fe_engine_is_paused(call->engine);
    if (__builtin_add_overflow(fe_clock_monotonic_ms(), timeout_ms, &until_ms))
        until_ms = INT64_MAX;
    pause->all = all || (under_way && pause->all);
    if (!under_way || until_ms > pause->until_ms) pause->until_ms = until_ms;
    fe_reply_ok(&call->reply);
}

static void unpause(fe_call *call)
{
    call->engine->pause.until_ms = 0;
    call->wake_paused = true;
    fe_reply_ok(&call->reply);
}

static void unblock(fe_call *call)
{
    if (call->argc > 4) {
        fe_subcommand_error(call);
        return;
    }
    bool with_error = call->argc == 4 && fe_bytes_is_word(call->argv[3], "error");
    if (call->argc == 4 && !with_error && !fe_bytes_is_word(call->argv[3], "timeout")) {
        fe_call_error(call, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    int64_t wanted;
    if (!fe_call_int64(call, 2, &wanted)) return;
    fe_client *client = find_client(call->clients, wanted);
    bool can = client != NULL && client->blocked && client->unblock == FE_UNBLOCK_NONE;
    if (can) fe_client_unblock(client, with_error ? FE_UNBLOCK_ERROR : FE_UNBLOCK_TIMEOUT);
    fe_reply_integer(&call->reply, can);
}

static void help(fe_call *call)
{
    static const char *const lines[] = {
        "GETNAME",
        "    Answer the name of this connection.",
        "GETREDIR",
        "    Answer where invalidation messages of this connection go; -1 without tracking.",
        "ID",
        "    Answer the id of this connection.",
        "INFO",
        "    Describe this connection.",
        "KILL <ip:port>",
        "    Close the connection from <ip:port>.",
        "KILL <option> <value> [<option> <value> ...]",
        "    Close all connections that match:",
        "    * ADDR <ip:port>, LADDR <ip:port>: the address from which, or to which, it was made",
        "    * ID <id>",
        "    * TYPE NORMAL|MASTER|REPLICA|PUBSUB",
        "    * USER <name>",
        "    * SKIPME YES|NO: whether to spare this connection (YES)",
        "LIST [TYPE NORMAL|MASTER|REPLICA|PUBSUB | ID <id> [<id> ...]]",
        "    Describe connections, one per line.",
        "NO-EVICT ON|OFF",
        "    Whether this connection is spared when connections take too much memory.",
        "NO-TOUCH ON|OFF",
        "    Whether this connection leaves the last use of keys as it is.",
        "PAUSE <milliseconds> [WRITE|ALL]",
        "    Hold back commands that write, or all commands.",
        "REPLY ON|OFF|SKIP",
        "    Whether this connection gets replies.",
        "SETINFO LIB-NAME|LIB-VER <text>",
        "    Name the library that the client uses.",
        "SETNAME <name>",
        "    Name this connection.",
        "TRACKINGINFO",
        "    Describe how keys are tracked for this connection.",
        "UNBLOCK <id> [TIMEOUT|ERROR]",
        "    End the blocking command of another connection.",
        "UNPAUSE",
        "    End the pause.",
        NULL,
    };
    fe_call_help(call, "client", lines);
}

#define OWN (FE_NOSCRIPT | FE_LOADING | FE_STALE)
#define ADMIN (FE_ADMIN | FE_NOSCRIPT | FE_LOADING | FE_STALE)
#define ROW(subcommand, handler, arity_, flags_, since_, complexity_, summary_, syntax_, tips_)    \
    {                                                                                              \
        .name = "client|" subcommand, .run = (handler), .arity = (arity_), .flags = (flags_),      \
        .categories = FE_CAT_CONNECTION, .group = "connection", .since = (since_),                 \
        .complexity = (complexity_), .summary = (summary_), .syntax = (syntax_), .tips = (tips_)   \
    }

static const fe_command_row rows[] = {
    {
        .name = "client",
        .arity = -2,
        .flags = FE_CONTAINER,
        .group = "connection",
        .since = "2.4.0",
        .complexity = "Depends on the subcommand",
        .summary = "Commands about client connections.",
        .syntax = "",
    },
    ROW("getname", getname, 2, OWN, "2.6.9", "O(1)", "Answers the name of the connection.", "",
        NULL),
    ROW("getredir", getredir, 2, OWN, "6.0.0", "O(1)",
        "Answers where invalidation messages go: nowhere, as keys are not tracked.", "", NULL),
    ROW("help", help, 2, FE_LOADING | FE_STALE, "5.0.0", "O(1)", "Lists the subcommands.", "",
        NULL),
    ROW("id", id, 2, OWN, "5.0.0", "O(1)", "Answers the id of the connection.", "", NULL),
    ROW("info", info, 2, OWN, "6.2.0", "O(1)", "Describes the connection.", "",
        "nondeterministic_output"),
    ROW("kill", kill_clients, -3, ADMIN, "2.4.0", "O(N) with N the number of connections",
        "Closes connections.",
        "<ip:port | <[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER "
        "username] | [ADDR ip:port] | [LADDR ip:port] | [SKIPME <YES | NO>]> ...>",
        NULL),
    ROW("list", list, -2, ADMIN, "2.4.0", "O(N) with N the number of connections",
        "Describes connections.",
        "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
        "nondeterministic_output"),
    ROW("no-evict", no_evict, 3, ADMIN, "7.0.0", "O(1)",
        "Spares the connection when connections take too much memory.", "<ON | OFF>", NULL),
    ROW("no-touch", no_touch, 3, OWN, "7.2.0", "O(1)",
        "Makes the connection leave the last use of keys as it is.", "<ON | OFF>", NULL),
    ROW("pause", pause_clients, -3, ADMIN, "2.9.50", "O(1)", "Holds back commands for some time.",
        "timeout [WRITE | ALL]", NULL),
    ROW("reply", reply_mode, 3, OWN, "3.2.0", "O(1)", "Turns replies to the connection on or off.",
        "<ON | OFF | SKIP>", NULL),
    ROW("setinfo", setinfo, 4, OWN, "7.2.0", "O(1)", "Names the library that the client uses.",
        "<LIB-NAME libname | LIB-VER libver>",
        "request_policy:all_nodes response_policy:all_succeeded"),
    ROW("setname", setname, 3, OWN, "2.6.9", "O(1)", "Names the connection.", "connection-name",
        NULL),
    ROW("trackinginfo", trackinginfo, 2, OWN, "6.2.0", "O(1)",
        "Describes how keys are tracked for the connection: not at all.", "", NULL),
    ROW("unblock", unblock, -3, ADMIN, "5.0.0", "O(N) with N the number of connections",
        "Ends the blocking command of another connection.", "client-id [TIMEOUT | ERROR]", NULL),
    ROW("unpause", unpause, 2, ADMIN, "6.2.0", "O(N) with N the number of paused connections",
        "Ends the pause.", "", NULL),
};

FE_FAMILY_DEFINE(client, rows);
