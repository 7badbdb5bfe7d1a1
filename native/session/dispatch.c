/* See dispatch.h.
 *
 * The order of checks is Redis 7.2's: unknown command, arity, DEBUG permission, authentication, not allowed in MULTI, memory,
 * pause, queueing, and then the handler.
 */
#include "session/dispatch.h"

#include "base/assert.h"

#include <stdio.h>

/* What one command needs while it is admitted and run. */
typedef struct run {
    fe_session *session;
    fe_command *command;
    fe_call call;
} run;

static void begin(run *it, fe_session *session, fe_command *command, const fe_bytes *argv,
                  uint32_t argc)
{
    fe_server *server = session->server;
    it->session = session;
    it->command = command;
    it->call = (fe_call){.engine = server->engine,
                         .store = server->engine->store,
                         .clients = &server->clients,
                         .client = &session->client,
                         .commands = server->commands,
                         .row = command != NULL ? command->row : NULL,
                         .argv = argv,
                         .argc = argc,
                         .reply = {&session->client.output, session->client.resp}};
}

/* Refuses a command before it runs: counts, spoils an open transaction, answers. */
static void reject(run *it, const char *line)
{
    fe_client *client = &it->session->client;
    if (it->command != NULL) it->command->stats.rejected++;
    if (client->transaction.open) client->transaction.aborted = true;
    if (it->call.row != NULL && client->transaction.open && strcmp(it->call.row->name, "exec") == 0) {
        fe_watches_drop(&it->session->server->clients.watches, &client->transaction);
        fe_transaction_clear(&it->call.engine->alloc, &client->transaction);
        fe_call_errorf(&it->call, "EXECABORT Transaction discarded because of: %s", line);
        return;
    }
    fe_call_error(&it->call, line);
}

/* Appends at most `max` bytes of `from` to a text, as printf's %.*s would: up to a zero byte. */
static size_t add_text(char *to, size_t at, size_t size, fe_bytes from, size_t max)
{
    for (size_t i = 0; i < from.len && i < max && at + 1 < size && from.ptr[i] != 0; i++)
        to[at++] = (char)from.ptr[i];
    return at;
}

static void reject_unknown(run *it, const fe_ahead *ahead)
{
    char line[640];
    const fe_bytes *argv = it->call.argv;
    size_t at;
    if (ahead->container != NULL) {
        at = (size_t)snprintf(line, sizeof line, "ERR unknown subcommand '");
        at = add_text(line, at, sizeof line, argv[1], 128);
        at += (size_t)snprintf(line + at, sizeof line - at, "'. Try ");
        for (const char *c = ahead->container->row->name; *c != 0 && at + 1 < sizeof line; c++)
            line[at++] = (char)((*c >= 'a' && *c <= 'z') ? *c - 32 : *c);
        snprintf(line + at, sizeof line - at, " HELP.");
        reject(it, line);
        return;
    }
    at = (size_t)snprintf(line, sizeof line, "ERR unknown command '");
    at = add_text(line, at, sizeof line, argv[0], 128);
    at += (size_t)snprintf(line + at, sizeof line - at, "', with args beginning with: ");
    size_t used = 0;
    for (uint32_t i = 1; i < it->call.argc && used < 128; i++) {
        size_t before = at;
        line[at++] = '\'';
        at = add_text(line, at, sizeof line, argv[i], 128 - used);
        line[at++] = '\'';
        line[at++] = ' ';
        used += at - before;
    }
    line[at] = 0;
    reject(it, line);
}

/* The flags that decide about memory and pauses: of EXEC, those of all that is queued. */
static uint32_t effective_flags(const run *it)
{
    uint32_t flags = it->call.row->flags;
    const fe_transaction *transaction = &it->session->client.transaction;
    if (!transaction->open || strcmp(it->call.row->name, "exec") != 0) return flags;
    for (uint32_t i = 0; i < transaction->count; i++)
        flags |= transaction->queue[i].command->row->flags & (FE_WRITE | FE_MAY_REPLICATE | FE_DENYOOM);
    return flags;
}

/* The checks on the command itself; false when it was refused. */
static bool check_form(run *it, const fe_ahead *ahead)
{
    fe_client *client = &it->session->client;
    const fe_command_row *row = it->call.row;
    if (row == NULL) {
        reject_unknown(it, ahead);
        return false;
    }
    if (!fe_command_arity_ok(row, it->call.argc)) {
        char line[160];
        snprintf(line, sizeof line, "ERR wrong number of arguments for '%s' command", row->name);
        reject(it, line);
        return false;
    }
    if ((row->flags & FE_PROTECTED) && !it->call.engine->options.debug_enabled) {
        reject(it, "ERR DEBUG command not allowed. If the enable_debug_command option of [server] is set, you "
                   "can run it; set it in the configuration file, and then restart the server.");
        return false;
    }
    if (!client->authenticated && !(row->flags & FE_NO_AUTH)) {
        reject(it, "NOAUTH Authentication required.");
        return false;
    }
    if (client->transaction.open && (row->flags & FE_NO_MULTI)) {
        reject(it, "ERR Command not allowed inside a transaction");
        return false;
    }
    return true;
}

static bool check_memory(run *it, uint32_t flags)
{
    if (it->call.engine->options.store.memory_max == 0) return true;
    if (fe_store_make_room(it->call.store) == FE_OK || !(flags & FE_DENYOOM)) return true;
    reject(it, "OOM command not allowed when used memory > 'maxmemory'.");
    return false;
}

static void queue(run *it)
{
    fe_client *client = &it->session->client;
    if (!fe_transaction_queue(&it->call.engine->alloc, &client->transaction, it->command,
                              it->call.argv, it->call.argc)) {
        reject(it, "OOM out of memory while queueing the command");
        return;
    }
    fe_reply_status(&it->call.reply, "QUEUED");
}

/* Makes the transactions dirty that watch what has changed. */
static void take_marks(fe_server *server)
{
    if (server->clients.watches.count == 0) return;
    size_t count;
    bool lost;
    fe_store *store = server->engine->store;
    const fe_mark *marks = fe_store_marks(store, &count, &lost);
    for (size_t i = 0; i < count; i++)
        fe_watches_touch(&server->clients.watches, store, &marks[i]);
    if (lost) fe_watches_touch_all(&server->clients.watches);
    fe_store_marks_clear(store);
}

static void append_quoted(fe_buf *out, fe_bytes text)
{
    static const char hex[] = "0123456789abcdef";
    fe_buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        const char *escape = c == '\n'   ? "\\n"
                             : c == '\r' ? "\\r"
                             : c == '\t' ? "\\t"
                             : c == '\a' ? "\\a"
                             : c == '\b' ? "\\b"
                             : c == '"'  ? "\\\""
                             : c == '\\' ? "\\\\"
                                         : NULL;
        if (escape != NULL) {
            fe_buf_append(out, escape, 2);
        } else if (c >= 0x20 && c < 0x7f) {
            fe_buf_append_byte(out, c);
        } else {
            char code[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
            fe_buf_append(out, code, 4);
        }
    }
    fe_buf_append_byte(out, '"');
}

/* Shows a command to the clients in MONITOR. */
static void feed_monitors(const run *it)
{
    const fe_clients *clients = it->call.clients;
    const fe_command_row *row = it->call.row;
    if (clients->monitors == 0 || (row->flags & (FE_SKIP_MONITOR | FE_ADMIN)) != 0) return;
    fe_buf line;
    fe_buf_init(&line, &it->call.engine->alloc, FE_ALLOC_SCRATCH);
    char head[64];
    int64_t now_us = fe_clock_wall_us();
    int len = snprintf(head, sizeof head, "+%lld.%06lld [%u ", (long long)(now_us / 1000000),
                       (long long)(now_us % 1000000), it->session->client.db);
    fe_buf_append(&line, head, (size_t)len);
    fe_bytes addr = it->session->client.addr;
    if (it->session->client.unix_socket) {
        fe_buf_append(&line, "unix:", 5);
        size_t cut = addr.len;
        while (cut > 0 && addr.ptr[cut - 1] != ':') cut--;
        addr.len = cut > 0 ? cut - 1 : addr.len;
    }
    fe_buf_append(&line, addr.ptr, addr.len);
    fe_buf_append_byte(&line, ']');
    for (uint32_t i = 0; i < it->call.argc; i++) {
        fe_buf_append_byte(&line, ' ');
        bool secret = i > 0 && (row->flags & FE_SECRET);
        append_quoted(&line, secret ? FE_BYTES("(redacted)") : it->call.argv[i]);
    }
    fe_buf_append(&line, "\r\n", 2);
    for (fe_client *client = clients->first; client != NULL && !line.failed; client = client->next)
        if (client->monitor && client != &it->session->client)
            fe_client_push(client, fe_buf_view(&line));
    fe_buf_free(&line);
}

static void add_slow(const run *it, int64_t duration_us)
{
    const fe_bytes redacted[2] = {it->call.argv[0], FE_BYTES("(redacted)")};
    bool secret = it->call.argc > 1 && (it->call.row->flags & FE_SECRET);
    fe_slowlog_add(&it->call.engine->slowlog, it->call.engine->now_ms / 1000, duration_us,
                   secret ? redacted : it->call.argv, secret ? 2 : it->call.argc,
                   it->session->client.addr, it->session->client.name);
}

/* Counts a command that ran from *ticks until now. */
static void count(const run *it, uint64_t *ticks)
{
    fe_engine *engine = it->call.engine;
    uint64_t now = fe_clock_ticks();
    uint64_t took = now - *ticks;
    *ticks = now;
    fe_command_stats *stats = &it->command->stats;
    stats->calls++;
    stats->ticks += took;
    stats->failed += it->call.failed;
    double us = (double)took / engine->ticks_per_us;
    uint64_t ns = (uint64_t)(us * 1000.0) | 1u;
    unsigned bucket = 63u - (unsigned)__builtin_clzll(ns);
    stats->latency[bucket < FE_LATENCY_BUCKETS ? bucket : FE_LATENCY_BUCKETS - 1]++;
    engine->stats.commands++;
    it->session->client.commands++;
    int64_t threshold = engine->options.slowlog_threshold_us;
    if (threshold >= 0 && us >= (double)threshold && !(it->call.row->flags & FE_SKIP_SLOWLOG))
        add_slow(it, (int64_t)us);
}

static void park(fe_session *session, fe_park_reason reason, int64_t due_ms)
{
    FE_ASSERT(session->state == FE_SESSION_READY || session->executing);
    session->state = FE_SESSION_PARKED;
    session->park = reason;
    session->due_ms = due_ms;
}

static void park_for_pause(fe_session *session)
{
    fe_server *server = session->server;
    const fe_pause *pause = &server->engine->pause;
    park(session, FE_PARK_PAUSE, pause->exclusive == 0 ? pause->until_ms : 0);
    if (session->in_paused) return;
    session->in_paused = true;
    session->paused_next = server->paused;
    server->paused = session;
}

static bool ask_python(run *it)
{
    fe_session *session = it->session;
    session->python = fe_server_ask_python(session->server, session, &it->call);
    if (session->python == NULL) {
        fe_call_no_memory(&it->call);
        return false;
    }
    park(session, FE_PARK_PYTHON, 0);
    return true;
}

static void exec_finish(fe_session *session)
{
    session->executing = false;
    fe_transaction_clear(&session->server->engine->alloc, &session->client.transaction);
    fe_pause *pause = &session->server->engine->pause;
    if (pause->exclusive == session->client.id) {
        pause->exclusive = 0;
        fe_server_wake_paused(session->server);
    }
}

void fe_dispatch_exec_continue(fe_session *session, uint64_t *ticks)
{
    fe_transaction *transaction = &session->client.transaction;
    while (session->exec_next < transaction->count) {
        const fe_queued *queued = &transaction->queue[session->exec_next++];
        run it;
        begin(&it, session, queued->command, queued->argv, queued->argc);
        it.call.in_exec = true;
        if (it.call.row->flags & FE_PYTHON) {
            if (!ask_python(&it)) continue;
            session->server->engine->pause.exclusive = session->client.id;
            return;
        }
        it.call.row->run(&it.call);
        count(&it, ticks);
        feed_monitors(&it);
        take_marks(session->server);
    }
    exec_finish(session);
}

static void exec_begin(fe_session *session, uint64_t *ticks)
{
    fe_transaction *transaction = &session->client.transaction;
    fe_clients *clients = &session->server->clients;
    fe_watches_drop(&clients->watches, transaction);
    fe_store_set_interest(session->server->engine->store, clients->watches.count > 0);
    fe_reply reply = {&session->client.output, session->client.resp};
    fe_reply_array(&reply, transaction->count);
    session->executing = true;
    session->exec_next = 0;
    fe_dispatch_exec_continue(session, ticks);
}

/* Applies CLIENT REPLY to what the command wrote behind `from`. */
static void apply_reply_mode(fe_client *client, size_t from)
{
    if (FE_LIKELY(client->reply_mode == FE_REPLY_ON)) return;
    client->output.len = from;
    if (client->reply_mode == FE_REPLY_SKIP_NEXT)
        client->reply_mode = FE_REPLY_SKIP;
    else if (client->reply_mode == FE_REPLY_SKIP)
        client->reply_mode = FE_REPLY_ON;
}

static void run_now(run *it, uint64_t *ticks)
{
    fe_session *session = it->session;
    if (it->call.row->flags & FE_PYTHON) {
        if (ask_python(it)) return;
    } else {
        it->call.row->run(&it->call);
    }
    count(it, ticks);
    feed_monitors(it);
    take_marks(session->server);
    if (it->call.after == FE_AFTER_EXEC) {
        exec_begin(session, ticks);
    } else if (it->call.after == FE_AFTER_WAIT) {
        session->wait_reply = it->call.wait_reply;
        park(session, FE_PARK_TIME, it->call.wait_until_ms == 0 ? INT64_MAX : it->call.wait_until_ms);
    }
}

bool fe_dispatch(const fe_ahead *ahead, uint64_t *ticks)
{
    fe_session *session = ahead->session;
    fe_client *client = &session->client;
    if (ahead->request.argc == 0) return true;
    if (client->output.len + session->unsent >= FE_OUTPUT_HIGH) {
        park(session, FE_PARK_OUTPUT, 0);
        return false;
    }
    run it;
    begin(&it, session, ahead->command, ahead->request.argv, ahead->request.argc);
    it.call.hashes = ahead->hashes;
    it.call.hash_known_mask = ahead->hashed;
    size_t from = client->output.len;
    client->last_ms = it.call.engine->now_ms;
    take_marks(session->server);
    if (check_form(&it, ahead)) {
        uint32_t flags = effective_flags(&it);
        if (fe_server_is_paused(session->server, client, flags)) {
            park_for_pause(session);
            return false;
        }
        client->last_command = it.call.row->name;
        if (!check_memory(&it, flags)) {
            /* answered */
        } else if (client->transaction.open && !(flags & FE_UNQUEUED)) {
            queue(&it);
        } else {
            run_now(&it, ticks);
        }
    }
    if (session->park != FE_PARK_PYTHON) apply_reply_mode(client, from);
    return true;
}

void fe_dispatch_python_done(fe_session *session, const fe_python_request *request)
{
    fe_engine *engine = session->server->engine;
    fe_command *container;
    fe_command *command =
        fe_commands_find(session->server->commands, request->argv, request->argc, &container);
    if (command == NULL) return;
    command->stats.calls++;
    command->stats.failed += request->failed;
    engine->stats.commands++;
    session->client.commands++;
    if (request->failed) {
        fe_bytes line = fe_buf_view(&request->answer);
        size_t len = 0;
        while (len < line.len && line.ptr[len] != '\r') len++;
        if (len > 1) fe_engine_count_error(engine, (const char *)line.ptr + 1, len - 1);
    }
}
