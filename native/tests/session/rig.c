/* See rig.h. */
#include "tests/session/rig.h"

#include "base/assert.h"
#include "engine/flusher.h"
#include "session/trace.h"
#include "store/tier.h"

#include <poll.h>

static const fe_command_row python_rows[] = {
    {.name = "pyecho",
     .arity = -1,
     .flags = FE_PYTHON,
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Is answered by the test.",
     .syntax = "[message ...]"},
    {.name = "pysecret",
     .arity = -1,
     .flags = FE_PYTHON | FE_SECRET,
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Is answered by the test, and has secret arguments.",
     .syntax = "[message ...]"},
};

fe_engine_options rig_options(void)
{
    return (fe_engine_options){.store = {.databases = 16,
                                         .samples = 5,
                                         .lfu_log_factor = 10,
                                         .lfu_decay_minutes = 1,
                                         .segment_size = 65536,
                                         .seed = {1, 2}},
                               .bulk_len_max = 16u << 20,
                               .query_buffer_max = 64u << 20,
                               .slowlog_threshold_us = 10000,
                               .slowlog_max = 128,
                               .expire_effort = 1,
                               .hz = 10,
                               .debug_enabled = true};
}

static void notify(void *context)
{
    ((rig *)context)->notified++;
}

static void wake(fe_client *client)
{
    peer *one = ((fe_session *)client)->transport;
    one->woken = true;
}

void rig_open_with(rig *it, const fe_engine_options *options)
{
    memset(it, 0, sizeof *it);
    fe_alloc_init(&it->alloc);
    it->batch = fe_alloc_take_zeroed(&it->alloc, FE_ALLOC_SCRATCH, sizeof *it->batch);
    it->server = fe_server_new(options);
    FE_ASSERT(it->batch != NULL && it->server != NULL);
    it->server->python_notify = notify;
    it->server->python_context = it;
    it->recorder = fe_recorder_new(&it->server->engine->telemetry);
    FE_ASSERT(it->recorder != NULL);
    fe_buf_init(&it->records, &it->alloc, FE_ALLOC_SCRATCH);
    for (size_t i = 0; i < sizeof python_rows / sizeof python_rows[0]; i++)
        FE_ASSERT(fe_commands_add(it->server->commands, &python_rows[i]));
}

void rig_open(rig *it)
{
    fe_engine_options options = rig_options();
    rig_open_with(it, &options);
}

void rig_close(rig *it)
{
    fe_alloc *alloc = &it->server->engine->alloc;
    fe_alloc_fail_after(alloc, -1);
    for (uint32_t i = 0; i < it->count; i++) {
        if (it->peers[i].session != NULL) fe_session_close(it->peers[i].session);
        fe_buf_free(&it->peers[i].got);
    }
    while (rig_answer(it, "+late\r\n", false)) {}
    FE_ASSERT(it->server->python_waiting == 0);
    FE_ASSERT(it->server->clients.memory == 0);
    FE_ASSERT(it->server->clients.watches.count == 0);
    FE_ASSERT(fe_alloc_used(alloc, FE_ALLOC_CLIENT) == 0);
    FE_ASSERT(fe_alloc_used(alloc, FE_ALLOC_SCRATCH) == 0);
    const char *violation = fe_store_check(it->server->engine->store);
    if (violation != NULL) fprintf(stderr, "the store: %s\n", violation);
    FE_ASSERT(violation == NULL);
    fe_buf_free(&it->records);
    fe_server_free(it->server);
    fe_alloc_give(&it->alloc, FE_ALLOC_SCRATCH, it->batch);
    FE_ASSERT(fe_alloc_used_all(&it->alloc) == 0);
}

peer *rig_connect(rig *it)
{
    FE_ASSERT(it->count < RIG_PEERS);
    peer *one = &it->peers[it->count];
    *one = (peer){.owner = it};
    char addr[32];
    int len = snprintf(addr, sizeof addr, "127.0.0.1:%u", 50000 + it->count);
    one->session = fe_session_open(it->server, (fe_bytes){(uint8_t *)addr, (size_t)len},
                                   FE_BYTES("127.0.0.1:6379"), false, 7, wake, one);
    if (one->session == NULL) return NULL;
    fe_buf_init(&one->got, &it->alloc, FE_ALLOC_SCRATCH);
    one->session->recorder = it->recorder;
    it->count++;
    return one;
}

void rig_hang_up(peer *one)
{
    fe_session_close(one->session);
    one->session = NULL;
    one->woken = false;
}

/* Sends what there is; a session that stopped for its output then goes on. */
static void flush(peer *one)
{
    fe_session *session = one->session;
    for (;;) {
        fe_buf *output = &session->client.output;
        if (one->hold_output) return;
        if (!session->cut_off) fe_buf_append(&one->got, output->data, output->len);
        session->sent += output->len;
        session->client.net_out += output->len;
        output->len = 0;
        fe_trace_sent(session);
        if (session->state != FE_SESSION_PARKED || session->park != FE_PARK_OUTPUT) return;
        fe_session_resume(session, one->owner->batch);
    }
}

void rig_pump(rig *it)
{
    for (;;) {
        peer *woken[RIG_PEERS];
        fe_session *sessions[RIG_PEERS];
        uint32_t count = 0;
        for (uint32_t i = 0; i < it->count; i++) {
            if (!it->peers[i].woken) continue;
            woken[count] = &it->peers[i];
            sessions[count++] = it->peers[i].session;
            it->peers[i].woken = false;
        }
        if (count == 0) return;
        fe_server_resume(it->server, it->batch, sessions, count);
        for (uint32_t i = 0; i < count; i++)
            flush(woken[i]);
    }
}

void rig_record(rig *it, const fe_telemetry_options *options)
{
    fe_telemetry_options all = {.traces = true,
                                .sampler = {.kind = FE_SAMPLER_ALWAYS, .parent_based = true},
                                .retention.slow_us = -1,
                                .keys = FE_KEYS_FULL,
                                .ring_bytes = 1u << 20};
    uint64_t entered = fe_engine_enter(it->server->engine);
    FE_ASSERT(fe_telemetry_set(&it->server->engine->telemetry, options != NULL ? options : &all));
    fe_engine_leave(it->server->engine, FE_STEP_BATCH, entered);
}

static void collect(void *context, const uint8_t *records, size_t len)
{
    rig *it = context;
    for (size_t at = 0; at < len;) {
        const fe_trace_record *record = (const void *)(records + at);
        if (record->kind == FE_TRACE_COMMAND) fe_buf_append(&it->records, record, record->size);
        at += record->size;
    }
}

const fe_trace_record *rig_records(rig *it, uint32_t *count)
{
    it->records.len = 0;
    fe_event_ring_publish(&it->recorder->ring);
    fe_telemetry_drain(&it->server->engine->telemetry, collect, it);
    *count = 0;
    for (size_t at = 0; at < it->records.len; (*count)++)
        at += ((const fe_trace_record *)(const void *)(it->records.data + at))->size;
    return (const void *)it->records.data;
}

/* Receives as a transport does: into the session's memory when there is unfinished input. */
static uint8_t *receive(peer *one, const char *bytes, size_t len)
{
    size_t space;
    one->owner->recorder->readable = fe_clock_ticks();
    uint8_t *into = fe_session_input(one->session, &space);
    if (into != NULL && space >= len) {
        memcpy(into, bytes, len);
        fe_session_receive(one->session, into, len);
        return NULL;
    }
    uint8_t *copy = fe_alloc_take(&one->owner->alloc, FE_ALLOC_SCRATCH, len);
    memcpy(copy, bytes, len);
    fe_session_receive(one->session, copy, len);
    return copy;
}

void rig_send_group(rig *it, peer *const *peers, const char *const *texts, uint32_t count)
{
    fe_session *sessions[RIG_PEERS];
    uint8_t *copies[RIG_PEERS];
    for (uint32_t i = 0; i < count; i++) {
        sessions[i] = peers[i]->session;
        copies[i] = receive(peers[i], texts[i], strlen(texts[i]));
    }
    fe_server_serve(it->server, it->batch, sessions, count);
    for (uint32_t i = 0; i < count; i++) {
        fe_alloc_give(&it->alloc, FE_ALLOC_SCRATCH, copies[i]);
        flush(peers[i]);
    }
    rig_pump(it);
}

void rig_send(peer *one, const char *bytes, size_t len)
{
    rig *it = one->owner;
    if (len == 0) return;
    uint8_t *copy = receive(one, bytes, len);
    fe_server_serve(it->server, it->batch, &one->session, 1);
    fe_alloc_give(&it->alloc, FE_ALLOC_SCRATCH, copy);
    flush(one);
    rig_pump(it);
}

void rig_say(peer *one, const char *text)
{
    rig_send(one, text, strlen(text));
}

void rig_wait_due(peer *one)
{
    FE_ASSERT(one->session->state == FE_SESSION_PARKED);
    while (fe_clock_monotonic_ms() < one->session->due_ms) {}
    fe_session_resume(one->session, one->owner->batch);
    flush(one);
    rig_pump(one->owner);
}

void rig_wait_no_more(peer *one)
{
    fe_session_wait_no_more(one->session, one->owner->batch);
    flush(one);
    rig_pump(one->owner);
}

bool rig_answer(rig *it, const char *reply, bool failed)
{
    fe_server *server = it->server;
    uint64_t entered = fe_engine_enter(server->engine);
    fe_python_request *request = fe_server_take_python(server);
    bool found = request != NULL;
    if (found)
        fe_server_answer_python(server, request, (fe_bytes){(const uint8_t *)reply, strlen(reply)},
                                failed);
    fe_engine_leave(server->engine, FE_STEP_BATCH, entered);
    rig_pump(it);
    return found;
}

const char *rig_take(peer *one)
{
    fe_buf_append_byte(&one->got, 0);
    one->got.len = 0;
    return (const char *)one->got.data;
}

static bool any_waits(const rig *it)
{
    for (uint32_t i = 0; i < it->count; i++) {
        const fe_session *session = it->peers[i].session;
        if (session != NULL && session->state == FE_SESSION_PARKED && session->park == FE_PARK_DISK)
            return true;
    }
    return fe_disk_in_flight(it->server->engine->disk) > 0;
}

void rig_settle(rig *it)
{
    while (any_waits(it)) {
        struct pollfd wait = {.fd = fe_disk_fd(it->server->engine->disk), .events = POLLIN};
        FE_ASSERT(poll(&wait, 1, 10000) == 1);
        fe_server_take_records(it->server);
        rig_pump(it);
    }
}

void rig_demote(rig *it, fe_tier to)
{
    fe_engine *engine = it->server->engine;
    for (bool more = true; more;) {
        uint64_t entered = fe_engine_enter(engine);
        more = fe_tier_demote_all(engine->store, to);
        fe_engine_leave(engine, FE_STEP_TIER, entered);
        (void)fe_flusher_round(engine);
    }
}
