/* See dispatch.h.
 *
 * The order of checks is Redis 7.2's: unknown command, arity, DEBUG permission, authentication, not
 * allowed in MULTI, memory, pause, queueing, and then the handler.
 */
#include "session/dispatch.h"

#include "base/assert.h"
#include "command/open.h"
#include "session/monitor.h"
#include "session/observe.h"
#include "session/resident.h"
#include "session/trace.h"
#include "store/cache.h"
#include "store/look.h"
#include "store/tier.h"

#include <stdio.h>

#define FAULT_LINE "IOERR The data could not be read from disk: input/output error"

/* What one command needs while it is admitted and run. */
typedef struct run {
    fe_session *session;
    fe_command *command;
    fe_call call;
} run;

/* All arguments behind the command's own name, one word or two. */
static uint64_t secrets_of(const fe_command_row *row)
{
    if (FE_LIKELY(!(row->flags & FE_SECRET))) return 0;
    return UINT64_MAX << (strchr(row->name, '|') == NULL ? 1 : 2);
}

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
                         .secret_mask = command != NULL ? secrets_of(command->row) : 0,
                         .reply = fe_session_reply(session)};
}

/* Bytes that the command has answered, where its reply began at `before`. */
static fe_bytes reply_of(const run *it, size_t before)
{
    const fe_buf *buf = it->call.reply.buf;
    if (buf->len <= before) return (fe_bytes){NULL, 0};
    return (fe_bytes){buf->data + before, buf->len - before};
}

static bool is_null(fe_bytes reply)
{
    return fe_bytes_equal(reply, FE_BYTES("$-1\r\n")) || fe_bytes_equal(reply, FE_BYTES("_\r\n")) ||
           fe_bytes_equal(reply, FE_BYTES("*-1\r\n"));
}

/* Gives the command's record to the recorder. Nothing that the caller says may change the record later but the transport. */
static void record(const run *it, fe_trace_result result, size_t before, uint64_t ticks)
{
    if (result == FE_RESULT_OK && it->call.failed) result = FE_RESULT_ERROR;
    if (result == FE_RESULT_OK && fe_trace_let_go(it->session, &it->call, ticks)) return;
    fe_bytes reply = reply_of(it, before);
    if (result == FE_RESULT_OK && is_null(reply)) result = FE_RESULT_NIL;
    fe_trace_end_of end = {
        .result = result, .ticks = ticks, .reply_bytes = fe_call_replied(&it->call, before)};
    fe_trace_end(it->session, &it->call, &end);
}

static void answer_rejected(run *it, const char *line);

/* Nothing has to stay in memory for a command that does not run now; the keys of a transaction do. */
static void stop_waiting(fe_session *session)
{
    if (!session->executing) fe_waiter_close(session->server->engine->store, &session->waiter);
}

/* Refuses a command before it runs: counts, spoils an open transaction, answers. */
static void reject(run *it, const char *line)
{
    size_t before = it->call.reply.buf->len;
    if (it->command != NULL) it->command->stats.rejected++;
    /* No command that is counted has waited. */
    it->session->disk_waited = it->session->disk_spent = 0;
    it->session->client.walking = false;
    stop_waiting(it->session);
    answer_rejected(it, line);
    if (FE_UNLIKELY(it->call.recorded)) record(it, FE_RESULT_REJECTED, before, fe_clock_ticks());
}

static void answer_rejected(run *it, const char *line)
{
    fe_client *client = &it->session->client;
    if (client->transaction.open) client->transaction.aborted = true;
    if (it->call.row != NULL && strcmp(it->call.row->name, "exec") == 0) {
        fe_watches_drop(&it->session->server->clients.watches, &client->transaction);
        fe_transaction_clear(&it->call.engine->alloc, &client->transaction);
        bool is_plain = strncmp(line, "ERR ", 4) == 0; /* other codes are kept */
        fe_call_errorf(&it->call, "EXECABORT Transaction discarded because of: %s",
                       is_plain ? line + 4 : line);
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
#define EXEC_TAKES (FE_WRITE | FE_READONLY | FE_MAY_REPLICATE | FE_DENYOOM)

static uint32_t effective_flags(const run *it)
{
    uint32_t flags = it->call.row->flags;
    const fe_transaction *transaction = &it->session->client.transaction;
    if (!transaction->open || strcmp(it->call.row->name, "exec") != 0) return flags;
    for (uint32_t i = 0; i < transaction->count; i++)
        flags |= transaction->queue[i].command->row->flags & EXEC_TAKES;
    return flags;
}

/* A browser that was made to talk to us: its request must not reach a command in a later line. */
static bool is_http(const run *it)
{
    return fe_bytes_is_word(it->call.argv[0], "post") ||
           fe_bytes_is_word(it->call.argv[0], "host:");
}

/* The checks on the command itself; false when it was refused. */
static bool check_form(run *it, const fe_ahead *ahead)
{
    fe_client *client = &it->session->client;
    const fe_command_row *row = it->call.row;
    if (row == NULL) {
        if (is_http(it)) {
            it->call.engine->stats.protocol_errors++;
            client->kill = true;
            fe_trace_drop(it->session);
            return false;
        }
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
        reject(it, "ERR DEBUG command not allowed. Set enable_debug_command in section [server] of "
                   "the configuration file, and then restart the server.");
        return false;
    }
    bool has_password = it->call.engine->options.requirepass[0] != 0;
    if (!client->authenticated && has_password && !(row->flags & FE_NO_AUTH)) {
        reject(it, "NOAUTH Authentication required.");
        return false;
    }
    if (client->transaction.open && (row->flags & FE_NO_MULTI)) {
        reject(it, "ERR Command not allowed inside a transaction");
        return false;
    }
    return true;
}

static void reject_disk(run *it)
{
    char line[320];
    snprintf(line, sizeof line, "MISCONF Writes are refused until the disk takes them again: %s",
             fe_store_disk_error(it->call.store));
    reject(it, line);
}

/* Whether the command may run as far as memory and disk are concerned; else it was refused, or,
 * with `*wait`, is to run again. */
static bool check_memory(run *it, uint32_t flags, bool *wait)
{
    bool may_take = (flags & (FE_WRITE | FE_DENYOOM)) != 0;
    if (!may_take && it->call.engine->options.store.memory_max == 0) return true;
    fe_status status = fe_store_make_room(it->call.store);
    if (FE_LIKELY(status == FE_OK)) return true;
    if (status == FE_BUSY) {
        *wait = (flags & FE_WRITE) != 0;
        return !*wait;
    }
    if (status == FE_IO) {
        if (flags & FE_WRITE) reject_disk(it);
        return !(flags & FE_WRITE);
    }
    /* A queue may grow without end: nothing more is queued then, whatever the command. */
    bool queues = it->session->client.transaction.open && !(flags & FE_UNQUEUED);
    if (!(flags & FE_DENYOOM) && !queues) return true;
    reject(it, "OOM command not allowed when used memory > 'maxmemory'.");
    return false;
}

/* A client in MONITOR counts as a replica: it is not held back by pauses, and so must not touch
 * keys. */
static bool check_monitor(run *it, uint32_t flags)
{
    bool touches = (flags & (FE_WRITE | FE_READONLY | FE_MAY_REPLICATE)) != 0;
    if (FE_LIKELY(!it->session->client.monitor) || !touches) return true;
    reject(it, "ERR Replica can't interact with the keyspace");
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
    if (fe_trace_is_on(it->session)) fe_trace_queued(it->session);
    fe_reply_status(&it->call.reply, "QUEUED");
}

/* Makes the transactions dirty that watch what has changed. */
static void take_marks(fe_server *server)
{
    if (server->clients.watches.count == 0) return;
    fe_watches_take_marks(&server->clients.watches, server->engine->store);
}

static void add_slow(const run *it, int64_t duration_us)
{
    const fe_call *call = &it->call;
    fe_bytes argv[FE_SLOWLOG_ARGS_MAX];
    uint32_t copied = call->argc < FE_SLOWLOG_ARGS_MAX ? call->argc : FE_SLOWLOG_ARGS_MAX;
    for (uint32_t i = 0; i < copied; i++)
        argv[i] = fe_call_is_secret(call->secret_mask, i) ? FE_BYTES("(redacted)") : call->argv[i];
    uint64_t id =
        fe_slowlog_add(&call->engine->slowlog, call->engine->now_ms / 1000, duration_us, argv,
                       call->argc, it->session->client.addr, it->session->client.name);
    if (call->recorded) fe_trace_note_slow(it->session, id);
}

/* The deepest of the tiers that `below` names, and the disk if the command has waited for it; BOTH: there is none. */
static fe_duration deepest(uint32_t below, uint64_t waited)
{
    if (waited != 0 || (below & (1u << FE_TIER_DISK)) != 0) return FE_DURATION_DISK;
    if ((below & (1u << FE_TIER_CACHE)) != 0) return FE_DURATION_READ_CACHE;
    return below != 0 ? FE_DURATION_READ_ONLY : FE_DURATION_BOTH;
}

/* See count_duration: it has waited, was served by another tier than the mutable one, or not all is counted. */
static __attribute__((noinline)) void count_apart(const run *it, uint64_t took)
{
    const fe_engine_options *options = &it->call.engine->options;
    uint64_t waited = it->session->disk_waited;
    fe_duration tier = deepest(fe_look_below(it->call.store), waited);
    it->session->disk_waited = 0;
    fe_look_below_clear(it->call.store);
    uint64_t ran = fe_engine_ticks_units(it->call.engine, took);
    uint64_t whole = fe_engine_ticks_units(it->call.engine, took + waited);
    bool tracked = options->latency_tracking, measured = options->metrics;
    fe_commands *commands = it->call.commands;
    bool is_both = tracked && measured && waited == 0;
    if (is_both) fe_commands_count(commands, it->command, FE_DURATION_BOTH, ran);
    if (tracked && !is_both) fe_commands_count(commands, it->command, FE_DURATION_RUN, ran);
    if (measured && !is_both) fe_commands_count(commands, it->command, FE_DURATION_WHOLE, whole);
    if (measured && tier != FE_DURATION_BOTH) fe_commands_count(commands, it->command, tier, whole);
}

/* Counts how long a command ran, how long it took with its waits for the disk, and that for the tier that served it. */
static void count_duration(const run *it, uint64_t took)
{
    const fe_engine_options *options = &it->call.engine->options;
    uint64_t apart = it->session->disk_waited | fe_look_below(it->call.store);
    if (FE_UNLIKELY(!options->latency_tracking || !options->metrics || apart != 0)) {
        count_apart(it, took);
        return;
    }
    fe_commands_count(it->call.commands, it->command, FE_DURATION_BOTH,
                      fe_engine_ticks_units(it->call.engine, took));
}

/* Counts a command that took so many ticks, beside those until it waited for the disk. */
static void count_ticks(const run *it, uint64_t took)
{
    fe_engine *engine = it->call.engine;
    took += it->session->disk_spent;
    it->session->disk_spent = 0;
    fe_command_stats *stats = &it->command->stats;
    stats->calls++;
    stats->ticks += took;
    stats->failed += it->call.failed;
    count_duration(it, took);
    engine->stats.commands++;
    it->session->client.commands++;
    bool fast = (it->call.row->flags & FE_FAST) != 0;
    fe_latency_event event = fast ? FE_LATENCY_FAST_COMMAND : FE_LATENCY_COMMAND;
    fe_engine_note_latency(engine, event, took);
    if (FE_UNLIKELY(took >= engine->latency_ticks) && it->call.recorded)
        fe_trace_note_latency(it->session, event, took);
    if (FE_UNLIKELY(took >= engine->slowlog_ticks) && !(it->call.row->flags & FE_SKIP_SLOWLOG))
        add_slow(it, (int64_t)(fe_engine_ticks_ns(engine, took) / 1000));
}

static fe_volumes volumes_of(const fe_store *store)
{
    fe_store_tally tally;
    fe_store_tally_get(store, &tally);
    return (fe_volumes){{[FE_SIZED_GET] = {tally.hits, tally.read_bytes},
                         [FE_SIZED_SET] = {tally.written_values, tally.written_bytes}}};
}

/* The group is measured. */
static __attribute__((noinline)) void measure(const run *it, fe_stages *stages, uint64_t began,
                                              uint64_t now)
{
    fe_stages_command(stages, it->call.engine->units_per_tick_q20, began,
                      it->call.located != NULL ? *it->call.located : 0, now);
    if (it->call.in_exec) return; /* `volumes` are of EXEC */
    fe_volumes volumes = volumes_of(it->call.store);
    fe_stages_values(stages, &volumes);
}

/* Counts a command that ran from *ticks until now. DEBUG SLEEP counts as if it had slept
 * already. */
static void count(const run *it, uint64_t *ticks)
{
    uint64_t now = fe_clock_ticks();
    uint64_t took = now - *ticks;
    fe_recorder *recorder = it->session->recorder;
    if (FE_UNLIKELY(recorder != NULL && recorder->stages.measuring))
        measure(it, &recorder->stages, *ticks, now);
    *ticks = now;
    if (FE_UNLIKELY(it->call.wait_status != NULL)) {
        took += (uint64_t)((double)it->call.wait_ms * 1000.0 * it->call.engine->ticks_per_us);
    }
    count_ticks(it, took);
}

static void park(fe_session *session, fe_park_reason reason, int64_t due_ms)
{
    FE_ASSERT(session->state == FE_SESSION_READY || session->executing);
    session->state = FE_SESSION_PARKED;
    session->park = reason;
    session->due_ms = due_ms;
}

/* The session is among those that look again when a pause or a lack of room is over. */
static void join_paused(fe_session *session)
{
    if (session->in_paused) return;
    session->in_paused = true;
    session->paused_next = session->server->paused;
    session->server->paused = session;
}

static void park_for_pause(fe_session *session)
{
    const fe_pause *pause = &session->server->engine->pause;
    stop_waiting(session);
    park(session, FE_PARK_PAUSE, pause->exclusive == 0 ? pause->until_ms : 0);
    if (fe_trace_is_on(session)) fe_trace_park(session, true);
    join_paused(session);
}

static void park_for_room(fe_session *session)
{
    stop_waiting(session);
    park(session, FE_PARK_ROOM, 0);
    if (fe_trace_is_on(session)) fe_trace_park(session, true);
    join_paused(session);
}

/* An error is its reply when there is no memory to ask. */
static void ask_python(run *it)
{
    fe_session *session = it->session;
    session->python = fe_server_ask_python(session->server, session, &it->call);
    if (session->python == NULL) {
        reject(it, "OOM command not allowed when used memory > 'maxmemory'.");
        return;
    }
    park(session, FE_PARK_PYTHON, 0);
    if (fe_trace_is_on(session)) fe_trace_park(session, false);
}

/* A command has been answered: CLIENT REPLY SKIP is about the next one, and ends with it. */
static void end_skip(fe_client *client)
{
    if (client->reply_mode == FE_REPLY_SKIP)
        client->reply_mode = FE_REPLY_ON;
    else if (client->reply_mode == FE_REPLY_SKIP_NEXT)
        client->reply_mode = FE_REPLY_SKIP;
}

/* Parks until what the session's waiter waits for has been read. Inside EXEC nobody else runs
 * meanwhile. What it took since *ticks to look the keys up is the command's, not the next one's. */
static void park_for_disk(fe_session *session, uint64_t *ticks)
{
    park(session, FE_PARK_DISK, 0);
    session->disk_since = fe_clock_ticks();
    session->disk_spent += session->disk_since - *ticks;
    *ticks = session->disk_since;
    fe_look_below_clear(session->server->engine->store); /* others run before it does again */
    if (fe_trace_is_on(session)) fe_trace_park(session, true);
}

/* Whether the session waits for the answer of the command that it runs. */
static bool awaits_answer(const fe_session *session)
{
    return session->park == FE_PARK_PYTHON || session->park == FE_PARK_TIME;
}

/* Whether the command that the session runs must run again when records are in memory. */
static bool waits_for_disk(const fe_session *session)
{
    return session->state == FE_SESSION_PARKED && session->park == FE_PARK_DISK;
}

static void park_for_time(fe_session *session, const fe_call *call)
{
    session->wait_reply = call->wait_reply;
    session->wait_is_pair = call->wait_is_pair;
    session->wait_status = call->wait_status;
    session->client.blocked = call->wait_status == NULL;
    session->client.unblock = FE_UNBLOCK_NONE;
    int64_t due_ms;
    bool for_ever = call->wait_ms == 0 ||
                    __builtin_add_overflow(fe_clock_monotonic_ms(), call->wait_ms, &due_ms);
    park(session, FE_PARK_TIME, for_ever ? INT64_MAX : due_ms);
    if (fe_trace_is_on(session)) fe_trace_park(session, false);
}

/* A record that the command needs could not be read. */
static void refuse_unread(run *it)
{
    fe_waiter *waiter = &it->session->waiter;
    char line[160];
    snprintf(line, sizeof line, "IOERR The data could not be read from disk: %s",
             fe_fetch_error_text(waiter->error));
    fe_waiter_close(it->call.store, waiter);
    it->session->client.walking = false;
    reject(it, line);
}

/* A page of a mapped segment could not be read while the handler ran: what it has answered, from
 * `before` on, is worth nothing. */
static void refuse_faulted(run *it, size_t before)
{
    if (it->call.after != FE_AFTER_NEXT) return; /* it read nothing, or runs again */
    fe_open_take_back(&it->call, before);
    it->call.reply.buf->len = before;
    fe_resident_forget(it->session, &it->call);
    fe_call_error(&it->call, FAULT_LINE);
    /* In a transaction, keys that were looked up stay where they are until its end. */
    if (!it->session->executing) (void)fe_tier_faulted(it->call.store);
}

/* Runs the handler, and does what belongs to every command that has run. */
static void run_handler(run *it, uint64_t *ticks)
{
    fe_session *session = it->session;
    size_t before = it->call.reply.buf->len;
    fe_observe_begin(&it->call);
    it->call.row->run(&it->call);
    while (FE_UNLIKELY(it->call.after == FE_AFTER_FETCH)) {
        if (it->call.walked_on) fe_waiter_close(it->call.store, &session->waiter);
        it->call.walked_on = false;
        if (!fe_fetch_missing(it->call.store, &session->waiter)) {
            park_for_disk(session, ticks);
            return;
        }
        it->call.after = FE_AFTER_NEXT;
        it->call.row->run(&it->call);
    }
    if (FE_UNLIKELY(fe_tier_fault_seen(it->call.store))) refuse_faulted(it, before);
    uint64_t began = *ticks - session->disk_spent, waited = session->disk_waited;
    if (FE_UNLIKELY(it->call.after == FE_AFTER_EXEC)) session->exec_waited = waited;
    if (FE_UNLIKELY(it->call.in_exec)) waited += session->exec_waited; /* it was for them */
    count(it, ticks);
    if (FE_UNLIKELY(it->call.recorded) && it->call.after == FE_AFTER_NEXT)
        record(it, FE_RESULT_OK, before, *ticks);
    fe_observe(&it->call, *ticks - began, waited, before);
    if (it->call.after != FE_AFTER_EXEC) fe_monitor_feed(&it->call);
    take_marks(session->server);
    if (FE_UNLIKELY(it->call.wake_paused)) fe_server_wake_paused(session->server);
    if (FE_UNLIKELY(it->call.after == FE_AFTER_WAIT)) park_for_time(session, &it->call);
}

static void exec_finish(fe_session *session)
{
    session->executing = false;
    fe_waiter_close(session->server->engine->store, &session->waiter);
    (void)fe_tier_faulted(session->server->engine->store);
    fe_transaction_clear(&session->server->engine->alloc, &session->client.transaction);
    fe_pause *pause = &session->server->engine->pause;
    if (pause->exclusive == session->client.id) {
        pause->exclusive = 0;
        fe_cache_keep(session->server->engine->store, false);
        fe_server_wake_paused(session->server);
    }
}

/* Runs the queue from where it stopped, until the end, or until one of its commands must wait: then
 * nobody else runs. */
static void exec_continue(fe_session *session, uint64_t *ticks)
{
    fe_transaction *transaction = &session->client.transaction;
    bool tiered = fe_store_is_tiered(session->server->engine->store);
    while (session->exec_next < transaction->count) {
        uint32_t index = session->exec_next++;
        const fe_queued *queued = &transaction->queue[index];
        run it;
        begin(&it, session, queued->command, queued->argv, queued->argc);
        it.call.in_exec = true;
        if (fe_trace_is_on(session))
            fe_trace_begin_queued(session, index, *ticks, &it.call);
        else if (FE_UNLIKELY(session->parked != NULL))
            fe_trace_drop(session);
        if (FE_UNLIKELY(session->waiter.error != 0))
            refuse_unread(&it);
        else if (FE_UNLIKELY(fe_tier_fault_seen(it.call.store)))
            reject(&it, FAULT_LINE); /* its keys may be where the fault was */
        else if (it.call.row->flags & FE_PYTHON)
            ask_python(&it);
        else if (FE_UNLIKELY(tiered) && !fe_resident_call(session, &it.call))
            park_for_disk(session, ticks); /* it has gone there while another command waited */
        else
            run_handler(&it, ticks);
        if (waits_for_disk(session)) session->exec_next--; /* it runs again */
        if (awaits_answer(session) || waits_for_disk(session)) {
            session->server->engine->pause.exclusive = session->client.id;
            fe_cache_keep(session->server->engine->store, true);
            return;
        }
    }
    exec_finish(session);
    fe_trace_exec_end(session, *ticks);
}

/* The command that has waited for a time was counted when it began to. */
static void record_wait(fe_session *session, bool failed, size_t reply_bytes)
{
    fe_call call = {0};
    fe_trace_unpark(session, &call);
    if (FE_LIKELY(!call.recorded)) return;
    fe_trace_end_of end = {.result = failed ? FE_RESULT_ERROR : FE_RESULT_OK,
                           .ticks = fe_clock_ticks(),
                           .reply_bytes = reply_bytes};
    fe_trace_end(session, &call, &end);
}

/* The session goes while its command waits: one that was counted already has ended. */
static void let_go(fe_session *session)
{
    if (session->state == FE_SESSION_PARKED && session->park == FE_PARK_TIME)
        record_wait(session, false, 0);
    fe_trace_drop(session);
}

/* Runs one command of a transaction whose client has gone; nothing waits. */
static void run_unseen(fe_session *session, uint32_t index, uint64_t *ticks)
{
    const fe_queued *queued = &session->client.transaction.queue[index];
    run it;
    begin(&it, session, queued->command, queued->argv, queued->argc);
    it.call.in_exec = true;
    if (fe_trace_is_on(session)) fe_trace_begin_queued(session, index, *ticks, &it.call);
    it.call.reply.buf = &session->server->unseen;
    if (it.call.row->flags & FE_PYTHON) {
        fe_python_request *request = fe_server_ask_python(session->server, session, &it.call);
        if (request != NULL) request->session = NULL;
    } else if (fe_tier_fault_seen(it.call.store)) {
        reject(&it, FAULT_LINE); /* its keys may be lost */
    } else if (fe_store_is_tiered(it.call.store) && !fe_resident_call(session, &it.call)) {
        reject(&it, "IOERR The data is not in memory any more");
    } else {
        run_handler(&it, ticks);
    }
    let_go(session);
    session->client.output.len = 0;
    session->state = FE_SESSION_READY;
    session->park = FE_PARK_NONE;
}

void fe_dispatch_abandon(fe_session *session)
{
    if (session->python != NULL) {
        if (session->python->answered)
            fe_python_request_free(session->server, session->python);
        else
            session->python->session = NULL;
        session->python = NULL;
    }
    let_go(session);
    if (!session->executing) return;
    fe_transaction *transaction = &session->client.transaction;
    uint64_t ticks = fe_clock_ticks();
    session->state = FE_SESSION_READY;
    session->park = FE_PARK_NONE;
    while (session->exec_next < transaction->count)
        run_unseen(session, session->exec_next++, &ticks);
    exec_finish(session);
    fe_trace_exec_end(session, ticks);
}

static void exec_begin(fe_session *session, uint64_t *ticks)
{
    fe_transaction *transaction = &session->client.transaction;
    fe_clients *clients = &session->server->clients;
    fe_watches_drop(&clients->watches, transaction);
    fe_store_set_interest(session->server->engine->store, clients->watches.count > 0);
    if (fe_trace_is_on(session)) fe_trace_exec_begin(session);
    fe_reply reply = fe_session_reply(session);
    fe_reply_array(&reply, transaction->count);
    session->executing = true;
    session->exec_next = 0;
    exec_continue(session, ticks);
}

/* Whether all keys are in memory that the command is about to open; else it was refused, or the
 * session is parked and the command is to run again. */
static bool check_resident(run *it, uint64_t *ticks)
{
    fe_session *session = it->session;
    if (FE_UNLIKELY(session->waiter.error != 0)) {
        refuse_unread(it);
        return false;
    }
    bool exec = session->client.transaction.open && strcmp(it->call.row->name, "exec") == 0;
    bool all;
    do
        all = exec ? fe_resident_queue(session) : fe_resident_call(session, &it->call);
    while (FE_UNLIKELY(fe_tier_faulted(it->call.store))); /* what was mapped may be on disk now */
    if (all) return true;
    park_for_disk(session, ticks);
    return false;
}

static void run_now(run *it, uint64_t *ticks)
{
    if (it->call.row->flags & FE_PYTHON) {
        ask_python(it);
        return;
    }
    run_handler(it, ticks);
    if (it->call.after != FE_AFTER_EXEC) return;
    exec_begin(it->session, ticks);
    fe_monitor_feed(&it->call); /* behind the commands of the transaction */
}

/* Checks a request and runs it, queues it or refuses it; false when it has to wait and to run
 * again. */
static bool admit(run *it, const fe_ahead *ahead, uint64_t *ticks)
{
    fe_session *session = it->session;
    fe_client *client = &session->client;
    if (!check_form(it, ahead)) return true;
    uint32_t flags = effective_flags(it);
    if (fe_server_is_paused(session->server, client, flags)) {
        park_for_pause(session);
        return false;
    }
    bool wait = false;
    if (!check_memory(it, flags, &wait)) {
        if (wait) park_for_room(session);
        return !wait;
    }
    if (!check_monitor(it, flags)) return true;
    if (client->transaction.open && !(flags & FE_UNQUEUED)) {
        queue(it);
        return true;
    }
    bool tiered = fe_store_is_tiered(it->call.store);
    if (FE_UNLIKELY(tiered) && !check_resident(it, ticks)) return !waits_for_disk(session);
    run_now(it, ticks);
    if (FE_LIKELY(!tiered)) return true;
    if (waits_for_disk(session) && !session->executing) return false;
    if (!session->executing) fe_waiter_close(it->call.store, &session->waiter);
    return true;
}

/* While the stages are measured, every command says when its keys were looked up, and what it reads and writes. */
static void find_located(run *it)
{
    fe_recorder *recorder = it->session->recorder;
    if (FE_LIKELY(recorder == NULL || !recorder->stages.measuring)) return;
    recorder->stages.located = 0;
    recorder->stages.volumes = volumes_of(it->call.store);
    if (it->call.located == NULL) it->call.located = &recorder->stages.located;
}

bool fe_dispatch(const fe_ahead *ahead, uint64_t *ticks)
{
    fe_session *session = ahead->session;
    fe_client *client = &session->client;
    if (ahead->request.argc == 0) return true;
    if (FE_UNLIKELY(client->pushed.len > 0)) fe_client_take_pushed(client);
    bool lent = FE_UNLIKELY(fe_loan_is_open(&session->loan));
    if (lent || client->output.len + session->unsent >= FE_OUTPUT_HIGH) {
        park(session, FE_PARK_OUTPUT, 0);
        return false;
    }
    run it;
    begin(&it, session, ahead->command, ahead->request.argv, ahead->request.argc);
    it.call.hashes = ahead->hashes;
    it.call.hash_known_mask = ahead->hashed;
    if (FE_UNLIKELY(fe_body_is_open(&session->body))) it.call.body = &session->body;
    if (session->lends && !fe_client_is_silent(client)) it.call.loan = &session->loan;
    client->last_ms = it.call.engine->now_ms;
    client->serving_len = session->data_len;
    client->last_command = it.call.row != NULL ? it.call.row->name : NULL;
    if (fe_trace_is_on(session))
        fe_trace_begin(session, it.command, &ahead->request, *ticks, &it.call);
    else if (FE_UNLIKELY(session->parked != NULL))
        fe_trace_drop(session);
    find_located(&it);
    take_marks(session->server);
    bool was_silent = client->reply_mode != FE_REPLY_ON;
    bool done = admit(&it, ahead, ticks);
    if (!done) return false;
    bool skips = was_silent || client->reply_mode != FE_REPLY_ON;
    if (FE_UNLIKELY(skips) && !awaits_answer(session)) end_skip(client);
    return true;
}

/* The first line of an error reply is counted as errors of handlers are. */
static void count_python_error(const run *it, const fe_python_request *request)
{
    if (!request->failed) return;
    fe_bytes line = fe_buf_view(&request->answer);
    size_t len = 0;
    while (len < line.len && line.ptr[len] != '\r')
        len++;
    if (len > 1) fe_engine_count_error(it->call.engine, (const char *)line.ptr + 1, len - 1);
}

static void record_python(const run *it, const fe_python_request *request, uint64_t ticks)
{
    if (FE_LIKELY(!it->call.recorded)) return;
    fe_bytes reply = fe_buf_view(&request->answer);
    fe_trace_end_of end = {.result = request->failed  ? FE_RESULT_ERROR
                                     : is_null(reply) ? FE_RESULT_NIL
                                                      : FE_RESULT_OK,
                           .ticks = ticks,
                           .reply_bytes = reply.len};
    fe_trace_end(it->session, &it->call, &end);
}

/* Counts and shows a Python command that was answered. */
static void finish_python(fe_session *session, const fe_python_request *request)
{
    fe_command *container;
    run it;
    begin(&it, session,
          fe_commands_find(session->server->commands, request->argv, request->argc, &container),
          request->argv, request->argc);
    if (it.command == NULL) return;
    it.call.failed = request->failed;
    it.call.secret_mask = request->secret_mask;
    fe_trace_unpark(session, &it.call);
    uint64_t now = fe_clock_ticks();
    count_ticks(&it, now - request->asked_ticks);
    count_python_error(&it, request);
    record_python(&it, request, now);
    fe_monitor_feed(&it.call);
}

static void take_python_answer(fe_session *session)
{
    fe_client *client = &session->client;
    fe_python_request *request = session->python;
    if (!fe_client_is_silent(client)) {
        fe_buf_append(&client->output, request->answer.data, request->answer.len);
        /* Half an answer would put all later ones in the wrong place: the connection ends. */
        if (request->answer.failed) client->output.failed = true;
    }
    finish_python(session, request);
    session->python = NULL;
    fe_python_request_free(session->server, request);
}

static void answer_wait(fe_session *session)
{
    fe_client *client = &session->client;
    fe_reply reply = fe_session_reply(session);
    size_t before = reply.buf->len;
    bool failed = client->unblock == FE_UNBLOCK_ERROR;
    if (client->unblock == FE_UNBLOCK_ERROR) {
        static const char line[] = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
        fe_reply_error(&reply, line);
        fe_engine_count_error(session->server->engine, line, sizeof line - 1);
    } else if (session->wait_status != NULL) {
        fe_reply_status(&reply, session->wait_status);
    } else {
        if (session->wait_is_pair) {
            fe_reply_array(&reply, 2);
            fe_reply_integer(&reply, session->wait_reply);
        }
        fe_reply_integer(&reply, session->wait_reply);
    }
    client->blocked = false;
    client->unblock = FE_UNBLOCK_NONE;
    record_wait(session, failed, reply.buf->len - before);
}

void fe_dispatch_answered(fe_session *session, uint64_t *ticks)
{
    FE_ASSERT(session->state == FE_SESSION_PARKED);
    FE_ASSERT(awaits_answer(session) || (waits_for_disk(session) && session->executing));
    if (session->park == FE_PARK_PYTHON)
        take_python_answer(session);
    else if (session->park == FE_PARK_TIME)
        answer_wait(session);
    session->state = FE_SESSION_READY;
    session->park = FE_PARK_NONE;
    session->due_ms = 0;
    if (session->executing) exec_continue(session, ticks);
    if (!awaits_answer(session) && !waits_for_disk(session)) end_skip(&session->client);
}
