/* See session.h.
 *
 * Input: while a session has no unfinished input, requests are read where the transport received
 * them. What is left goes to client.input, and from then on the transport receives behind it
 * (fe_session_input), until the input is empty again.
 *
 * A long argument (base/body.h) goes elsewhere: when the input ends within one, its bytes leave the
 * input for session->body, and the transport receives into that until it is whole. Then the reader is
 * told, and reads on behind it. The body is the first request's: all before it have run. When that
 * has run, the body is given to the trash, unless the store has made it a record.
 *
 * Before any of that, the length of a long argument is announced: one that is too long for max_memory, alone
 * or with those of others, ends the session with an error.
 *
 * A parked session drops what its reader had read ahead: its input starts at the next request to
 * run, and is read again from there.
 */
#include "session/session.h"

#include "base/assert.h"
#include "engine/rare.h"
#include "session/dispatch.h"
#include "session/trace.h"

#include <stdatomic.h>
#include <stddef.h>

#define INPUT_STEP 16384u        /* least space for one receive */
#define INPUT_KEPT (32u * 1024u) /* an empty input buffer larger than this gives its memory back */
#define BODY_STEP                                                                                  \
    (256u * 1024u) /* most bytes of a body for one receive: all of a group come before others */
#define CLIENTS_MEMORY_MIN                                                                         \
    (128u * 1024u) /* maxmemory-clients is no less, so that a client can set it right again */
#define ARGUMENT_PERCENT 50u           /* of max_memory: no long argument has more */
#define ARGUMENTS_PERCENT 75u          /* ... nor have all that are there at once */
#define PARKED_INPUT_MAX (64u * 1024u) /* a parked session reads no further than this ahead */

/* The lock is held. */
static void wake_for_records(fe_waiter *waiter)
{
    fe_session *session = (fe_session *)(void *)((uint8_t *)waiter - offsetof(fe_session, waiter));
    session->client.wake(&session->client);
}

/* Whether spans are to say where the client came to. The place does not change while clients are there. */
static bool is_elsewhere(const fe_session *session)
{
    const fe_telemetry_options *options = &session->server->engine->telemetry.options;
    fe_bytes place = {options->place, options->place_len};
    return options->names_place && !fe_bytes_equal(session->client.laddr, place);
}

fe_session *fe_session_open(fe_server *server, fe_bytes addr, fe_bytes laddr, bool unix_socket,
                            int fd, void (*wake)(fe_client *client), void *transport)
{
    fe_engine *engine = server->engine;
    fe_session *session = fe_alloc_take_zeroed(&engine->alloc, FE_ALLOC_CLIENT, sizeof *session);
    if (session == NULL) return NULL;
    session->server = server;
    session->transport = transport;
    session->client.wake = wake;
    session->waiter.wake = wake_for_records;
    uint64_t entered = fe_engine_enter(engine);
    session->opened_ticks = entered;
    bool opened = fe_client_open(&server->clients, &session->client, addr, laddr, unix_socket, fd);
    session->elsewhere = opened && is_elsewhere(session);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    if (opened) return session;
    fe_alloc_give(&engine->alloc, FE_ALLOC_CLIENT, session);
    return NULL;
}

static void leave_paused(fe_session *session)
{
    if (!session->in_paused) return;
    fe_session **link = &session->server->paused;
    while (*link != session)
        link = &(*link)->paused_next;
    *link = session->paused_next;
    session->paused_next = NULL;
    session->in_paused = false;
}

/* Adds what was counted without the lock to the statistics. */
static void add_traffic(fe_session *session)
{
    fe_engine_stats *stats = &session->server->engine->stats;
    if (session->reads != 0 || session->writes != 0)
        session->client.last_ms = session->server->engine->now_ms;
    stats->reads += session->reads;
    stats->writes += session->writes;
    stats->net_in += session->received;
    stats->net_out += session->sent;
    session->reads = session->writes = 0;
    session->received = session->sent = 0;
}

void fe_session_drop_body(fe_session *session)
{
    fe_reader_drop_body(session->client.reader);
    if (fe_body_is_open(&session->body))
        fe_store_discard_body(session->server->engine->store, &session->body);
    session->body = (fe_body){0};
    (void)atomic_fetch_sub_explicit(&session->server->announced, session->announced,
                                    memory_order_relaxed);
    session->announced = 0;
    session->announced_index = 0;
}

void fe_session_return_loan(fe_session *session)
{
    fe_engine *engine = session->server->engine;
    fe_lock_enter(&engine->lock);
    fe_store_release(engine->store, &session->loan.hold);
    session->client.lent = 0;
    fe_lock_leave(&engine->lock);
    session->loan = (fe_loan){0};
}

static void tell_connection(const fe_session *session)
{
    const fe_client *client = &session->client;
    fe_rare_connection connection = {.opened_ticks = session->opened_ticks,
                                     .id = client->id,
                                     .commands = client->commands,
                                     .received = client->net_in,
                                     .sent = client->net_out,
                                     .cut_off = session->cut_off,
                                     .peer = client->addr};
    fe_rare_connection_end(session->server->engine, &connection);
}

void fe_session_close(fe_session *session)
{
    fe_server *server = session->server;
    fe_engine *engine = server->engine;
    uint64_t entered = fe_engine_enter(engine);
    leave_paused(session);
    fe_dispatch_abandon(session);
    fe_waiter_close(engine->store, &session->waiter);
    fe_session_drop_body(session);
    fe_store_release(engine->store, &session->loan.hold);
    add_traffic(session);
    tell_connection(session);
    fe_client_close(&server->clients, &session->client);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    fe_alloc_give(&engine->alloc, FE_ALLOC_CLIENT, session);
}

static bool awaits_body(const fe_session *session)
{
    const fe_body *body = &session->body;
    return FE_UNLIKELY(fe_body_is_open(body)) && !fe_body_is_whole(body);
}

static uint8_t *body_input(fe_session *session, size_t *space)
{
    uint8_t *at = fe_body_space(&session->body, &session->server->engine->alloc, space);
    if (at != NULL && *space > BODY_STEP) *space = BODY_STEP;
    return at;
}

uint8_t *fe_session_input(fe_session *session, size_t *space)
{
    fe_buf *input = &session->client.input;
    if (awaits_body(session)) return body_input(session, space);
    if (input->len == 0) return NULL;
    size_t missing = fe_reader_missing(session->client.reader);
    size_t step = missing < INPUT_STEP ? INPUT_STEP : missing < input->len ? missing : input->len;
    if (step < INPUT_STEP) step = INPUT_STEP;
    uint8_t *at = fe_buf_reserve(input, step);
    if (at == NULL) return NULL;
    *space = input->cap - input->len;
    return at;
}

/* Takes what belongs to the body; returns how many bytes that was. */
static size_t receive_body(fe_session *session, const uint8_t *data, size_t len)
{
    fe_body *body = &session->body;
    bool ok = true;
    size_t taken = len;
    if (data == fe_body_start(body) + body->have)
        body->have += len;
    else
        taken = fe_body_append(body, &session->server->engine->alloc, data, len, &ok);
    if (!ok) session->client.input.failed = true;
    if (fe_body_is_whole(body)) fe_reader_set_body(session->client.reader, fe_body_start(body));
    return taken;
}

void fe_session_receive(fe_session *session, const uint8_t *data, size_t len)
{
    fe_buf *input = &session->client.input;
    session->reads++;
    session->received += len;
    session->client.net_in += len;
    fe_trace_received(session);
    if (awaits_body(session)) {
        size_t taken = receive_body(session, data, len);
        data += taken;
        len -= taken;
        if (len == 0 || awaits_body(session)) return; /* nothing to read: session->data is NULL */
    }
    bool in_place = input->data != NULL && data == input->data + input->len;
    if (in_place)
        input->len += len;
    else if (input->len > 0 || session->state != FE_SESSION_READY)
        fe_buf_append(input, data, len);
    if (input->len > 0) {
        data = input->data;
        len = input->len;
    }
    session->data = data;
    session->data_len = len;
    session->data_run = 0;
    session->data_read = 0;
}

void fe_session_finish(fe_session *session)
{
    session->state = FE_SESSION_CLOSING;
    session->park = FE_PARK_NONE;
}

void fe_session_cut_off(fe_session *session)
{
    session->client.output.len = 0;
    session->cut_off = true;
    session->client.kill = true; /* to others it is gone */
    fe_session_finish(session);
}

static bool output_over_limit(fe_session *session)
{
    const fe_engine *engine = session->server->engine;
    size_t bytes = session->client.output.len + fe_session_unsent(session);
    fe_client_class class = fe_client_get_class(&session->client);
    uint64_t hard = engine->options.output_limit[class].hard;
    uint64_t soft = engine->options.output_limit[class].soft;
    if (hard != 0 && bytes > hard) return true;
    if (soft == 0 || bytes <= soft) {
        session->soft_limit_since_ms = 0;
        return false;
    }
    int64_t now_ms = fe_clock_monotonic_ms();
    if (session->soft_limit_since_ms == 0) session->soft_limit_since_ms = now_ms;
    int64_t allowed_ms = (int64_t)engine->options.output_limit[class].soft_seconds * 1000;
    return now_ms - session->soft_limit_since_ms > allowed_ms;
}

/* Closes the largest client while all clients together hold more than maxmemory-clients; what those
 * hold that are being closed is as good as given back. */
static void check_clients_memory(fe_session *session)
{
    fe_server *server = session->server;
    fe_engine *engine = server->engine;
    uint64_t max = engine->options.clients_memory_max;
    if (FE_LIKELY(max == 0 || server->clients.memory <= max)) return;
    if (max < CLIENTS_MEMORY_MIN) max = CLIENTS_MEMORY_MIN;
    fe_client *largest = NULL;
    size_t dying = 0;
    for (fe_client *client = server->clients.first; client != NULL; client = client->next) {
        if (client->kill)
            dying += client->memory;
        else if (!client->no_evict && (largest == NULL || client->memory > largest->memory))
            largest = client;
    }
    if (largest == NULL || server->clients.memory - dying <= max) return;
    engine->stats.memory_kills++;
    fe_client_kill(largest);
}

static void check_limits(fe_session *session)
{
    fe_engine *engine = session->server->engine;
    const fe_client *client = &session->client;
    bool closing = session->state == FE_SESSION_CLOSING;
    if (client->kill) { /* whoever asked for it has counted it */
        fe_session_cut_off(session);
    } else if (output_over_limit(session) || client->output.over_limit) {
        engine->stats.output_kills++;
        fe_session_cut_off(session);
    } else if (client->input.failed || client->output.failed || client->pushed.failed) {
        fe_session_cut_off(session);
    } else if (!closing && client->input.len + session->body.have + client->transaction.bytes >
                               engine->options.query_buffer_max) {
        engine->stats.query_kills++;
        fe_session_cut_off(session);
    }
}

/* Bytes of input that fe_session_keep_rest will leave. */
static size_t rest_len(const fe_session *session)
{
    size_t body = fe_body_is_open(&session->body) ? session->body.have : 0;
    if (session->data == NULL) return session->client.input.len + body;
    bool parked = session->state == FE_SESSION_PARKED;
    return session->data_len - (parked ? session->data_run : session->data_read) + body;
}

/* Whether the client holds another amount of memory than when it was last looked at. */
static bool has_changed(const fe_session *session)
{
    const fe_client *client = &session->client;
    return client->input_len != rest_len(session) || client->body_bytes != session->body.bytes ||
           client->input_cap != client->input.cap || client->output_len != client->output.len ||
           client->output_cap != client->output.cap ||
           client->owned_bytes != fe_client_owned_bytes(client) ||
           client->pushed_cap != client->pushed.cap || client->unsent != session->unsent ||
           client->lent != fe_loan_left(&session->loan);
}

void fe_session_account(fe_session *session)
{
    fe_engine *engine = session->server->engine;
    add_traffic(session);
    fe_client *client = &session->client;
    client->serving_len = 0;
    fe_reader_set_bulk_len_max(client->reader, engine->options.bulk_len_max);
    session->memory_max = engine->options.store.memory_max;
    bool is_trusted = client->authenticated || engine->options.requirepass[0] == 0;
    fe_reader_set_authenticated(client->reader, is_trusted);
    client->output_limit = engine->options.output_limit[fe_client_get_class(client)].hard;
    client->output.limit = client->output_limit;
    if (has_changed(session)) {
        client->unsent = session->unsent;
        client->lent = fe_loan_left(&session->loan);
        client->body_bytes = session->body.bytes;
        fe_client_account(&session->server->clients, client);
        client->input_len = rest_len(session);
    }
    if (session->cut_off) return;
    check_limits(session);
    check_clients_memory(session);
}

/* Where in its pages a body should begin so that they can become the record: behind the name of its
 * key, which is the argument before it in MSET, and the first one elsewhere. */
static size_t body_place(const fe_reader *reader, size_t index)
{
    if (index < 2) return 0;
    fe_bytes command = fe_reader_argument(reader, 0);
    bool pairs = fe_bytes_is_word(command, "mset") || fe_bytes_is_word(command, "msetnx");
    return fe_key_body_at(fe_reader_argument(reader, pairs ? index - 1 : 1).len);
}

/* Answers with an error, and ends the session: what comes is the argument's, and nobody wants it. */
static void refuse_argument(fe_session *session, size_t len, const char *share)
{
    fe_engine *engine = session->server->engine;
    uint64_t entered = fe_engine_enter(engine);
    fe_reply reply = fe_session_reply(session);
    fe_reply_errorf(&reply,
                    "OOM an argument of %zu bytes is more than max_memory allows: %s of %llu bytes",
                    len, share, (unsigned long long)session->memory_max);
    fe_engine_count_error(engine, "OOM", 3);
    fe_session_finish(session);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
}

/* Whether the argument may be received; else the session is CLOSING. */
static bool announce(fe_session *session, const fe_reader_cut *cut)
{
    if (session->announced != 0 && session->announced_index == cut->index) return true;
    uint64_t max = session->memory_max;
    _Atomic uint64_t *all = &session->server->announced;
    uint64_t others = atomic_fetch_add_explicit(all, cut->len, memory_order_relaxed);
    session->announced += cut->len;
    session->announced_index = cut->index;
    if (max == 0) return true;
    if (cut->len > max / 100 * ARGUMENT_PERCENT)
        refuse_argument(session, cut->len, "half");
    else if (others + cut->len > max / 100 * ARGUMENTS_PERCENT)
        refuse_argument(session, cut->len,
                        "three quarters, together with others that are received now,");
    return session->state != FE_SESSION_CLOSING;
}

/* When the input ends within a long argument, what there is of it leaves the input. Returns where
 * that ends now. */
static size_t begin_body(fe_session *session)
{
    fe_body *body = &session->body;
    const fe_reader *reader = session->client.reader;
    fe_reader_cut cut;
    bool is_cut = session->data_len != session->data_read && fe_reader_is_cut(reader, &cut);
    if (FE_LIKELY(!is_cut || cut.len < FE_BODY_MIN)) return session->data_len;
    if (!announce(session, &cut) || fe_body_is_open(body)) return session->data_len;
    size_t have = session->data_len - cut.offset;
    if (have >= cut.len) return session->data_len; /* only the line end is missing */
    fe_alloc *alloc = &session->server->engine->alloc;
    if (!fe_body_open(body, alloc, body_place(reader, cut.index), cut.len))
        return session->data_len; /* the input tries, and reports */
    bool ok;
    (void)fe_body_append(body, alloc, session->data + cut.offset, have, &ok);
    if (!ok) session->client.input.failed = true;
    return cut.offset;
}

void fe_session_keep_rest(fe_session *session)
{
    fe_buf *input = &session->client.input;
    if (session->state == FE_SESSION_CLOSING || session->data == NULL) return;
    bool parked = session->state == FE_SESSION_PARKED;
    size_t done = parked ? session->data_run : session->data_read;
    if (parked) fe_reader_rewind(session->client.reader);
    size_t end = parked ? session->data_len : begin_body(session);
    if (FE_UNLIKELY(session->state == FE_SESSION_CLOSING)) return;
    if (input->len > 0) {
        input->len = end;
        fe_buf_drop(input, done);
    } else {
        fe_buf_append(input, session->data + done, end - done);
    }
    session->data = NULL;
    session->data_len = 0;
    if (input->len == 0 && input->cap > INPUT_KEPT) fe_buf_free(input);
}

static void note_disk_wait(fe_session *session, uint64_t now)
{
    const fe_engine *engine = session->server->engine;
    uint64_t waited = now > session->disk_since ? now - session->disk_since : 0;
    session->disk_waited += waited;
    if (session->recorder == NULL || !engine->options.metrics) return;
    fe_stages_add(&session->recorder->stages, FE_PHASE_DISK_WAIT, engine->units_per_tick_q20,
                  waited);
}

/* When the cause of parking has passed, lets the session go on; true when it is READY. The lock is
 * held. */
static bool unpark(fe_session *session, uint64_t *ticks)
{
    bool unblocked = session->client.unblock != FE_UNBLOCK_NONE;
    switch (session->park) {
    case FE_PARK_PYTHON:
        if (!session->python->answered) return false;
        fe_dispatch_answered(session, ticks);
        return session->state == FE_SESSION_READY;
    case FE_PARK_TIME:
        if (!unblocked && fe_clock_monotonic_ms() < session->due_ms) return false;
        fe_dispatch_answered(session, ticks);
        return session->state == FE_SESSION_READY;
    case FE_PARK_DISK:
        if (session->waiter.pending != 0) return false;
        note_disk_wait(session, *ticks);
        if (!session->executing) break;
        fe_dispatch_answered(session, ticks);
        return session->state == FE_SESSION_READY;
    case FE_PARK_PAUSE:
    case FE_PARK_ROOM: break; /* looked at again when the request runs */
    case FE_PARK_OUTPUT:
        if (fe_loan_is_open(&session->loan)) return false;
        if (session->client.output.len + session->unsent >= FE_OUTPUT_HIGH) return false;
        break;
    case FE_PARK_NONE: return false;
    }
    session->state = FE_SESSION_READY;
    session->park = FE_PARK_NONE;
    session->due_ms = 0;
    return true;
}

/* The lock is held. Whether there is input to be served. */
static bool resume_one(fe_session *session, uint64_t *ticks)
{
    fe_client *client = &session->client;
    if (session->recorder != NULL) session->recorder->parsed = *ticks;
    client->output.limit = client->output_limit;
    bool go_on = session->state == FE_SESSION_PARKED && unpark(session, ticks);
    if (client->close_after_reply && session->state == FE_SESSION_READY) fe_session_finish(session);
    /* In the middle of EXEC's array they would break it. */
    if (client->pushed.len > 0 && !session->executing) fe_client_take_pushed(client);
    fe_session_account(session);
    return go_on && session->state == FE_SESSION_READY && client->input.len != 0;
}

void fe_server_resume(fe_server *server, fe_batch *batch, fe_session **sessions, uint32_t count)
{
    FE_ASSERT(count <= FE_GROUP_MAX);
    fe_session *going[FE_GROUP_MAX];
    uint32_t going_count = 0;
    uint64_t entered = fe_engine_enter(server->engine);
    uint64_t ticks = entered;
    for (uint32_t i = 0; i < count; i++)
        if (resume_one(sessions[i], &ticks)) going[going_count++] = sessions[i];
    fe_disk_read *reads[FE_READS_MAX];
    uint32_t read_count = fe_engine_take_reads(server->engine, reads, FE_READS_MAX);
    uint64_t left = fe_engine_leave(server->engine, FE_STEP_BATCH, entered);
    if (count > 0 && sessions[0]->recorder != NULL) sessions[0]->recorder->settled = left;
    fe_disk_start(server->engine->disk, reads, read_count);
    for (uint32_t i = 0; i < going_count; i++) {
        fe_session *session = going[i];
        session->data = session->client.input.data;
        session->data_len = session->client.input.len;
        session->data_run = session->data_read = 0;
    }
    if (going_count != 0) fe_server_serve(server, batch, going, going_count);
}

void fe_session_resume(fe_session *session, fe_batch *batch)
{
    fe_server_resume(session->server, batch, &session, 1);
}

void fe_session_wait_no_more(fe_session *session, fe_batch *batch)
{
    fe_engine *engine = session->server->engine;
    while (session->state == FE_SESSION_PARKED && session->park == FE_PARK_TIME) {
        uint64_t entered = fe_engine_enter(engine);
        if (session->client.unblock == FE_UNBLOCK_NONE)
            session->client.unblock = FE_UNBLOCK_TIMEOUT;
        fe_engine_leave(engine, FE_STEP_BATCH, entered);
        fe_session_resume(session, batch);
    }
}

bool fe_session_wants_input(const fe_session *session)
{
    if (session->state == FE_SESSION_READY) return true;
    return session->state == FE_SESSION_PARKED && session->client.input.len < PARKED_INPUT_MAX;
}

void fe_session_cron(fe_session *session)
{
    fe_engine *engine = session->server->engine;
    uint64_t entered = fe_engine_enter(engine);
    add_traffic(session); /* what was sent since is no idleness */
    uint32_t timeout = engine->options.timeout_seconds;
    int64_t idle_ms = engine->now_ms - session->client.last_ms;
    bool waits = session->state == FE_SESSION_PARKED && session->park != FE_PARK_OUTPUT;
    bool may_time_out = !waits && !session->cut_off && !session->client.monitor;
    if (timeout != 0 && may_time_out && idle_ms > (int64_t)timeout * 1000) {
        engine->stats.timeout_kills++;
        fe_session_cut_off(session);
    }
    fe_session_account(session);
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
}
