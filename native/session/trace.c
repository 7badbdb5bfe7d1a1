/* See trace.h.
 *
 * A draft lies in the recorder while its command runs, since a thread runs one at a time, and moves to
 * memory of its own when the command parks. What it borrows (tracestate and baggage of the request) is then
 * copied into its mark.
 */
#include "session/trace.h"

#include "base/assert.h"

#define KEY_BYTES_MAX 16u /* of a hash in hexadecimal digits */

_Static_assert(sizeof(fe_store_tally) <= sizeof((fe_recorder *)0)->before, "the counters fit");

static fe_alloc *alloc_of(const fe_session *session)
{
    return &session->server->engine->alloc;
}

static void drop_mark(fe_session *session, fe_draft *draft)
{
    fe_alloc_give(alloc_of(session), FE_ALLOC_CLIENT, draft->mark);
    draft->mark = NULL;
    draft->open = false;
}

/* Who called. ------------------------------------------------------------------------------------ */

static void borrow_mark(fe_draft *draft, fe_trace_mark *mark)
{
    draft->mark = mark;
    draft->state = (fe_bytes){mark->text, mark->state_len};
    draft->baggage = (fe_bytes){mark->text + mark->state_len, mark->baggage_len};
}

static fe_trace_mark *copy_mark(const fe_session *session, const fe_trace_mark *mark)
{
    return fe_trace_mark_new(alloc_of(session), &mark->parent,
                             (fe_bytes){mark->text, mark->state_len},
                             (fe_bytes){mark->text + mark->state_len, mark->baggage_len});
}

/* TRACEPARENT leaves what was said before to the next command: what it says itself may be malformed. */
static bool takes_mark(const fe_command *command)
{
    return command == NULL || strcmp(command->row->name, "traceparent") != 0;
}

/* By TRACEPARENT: that of this command, or of its whole transaction. */
static const fe_trace_parent *find_mark(fe_session *session, const fe_command *command,
                                        fe_draft *draft)
{
    fe_client *client = &session->client;
    fe_trace_mark *mark = NULL;
    if (client->mark != NULL && takes_mark(command)) {
        mark = client->mark;
        client->mark = NULL;
    }
    if (mark == NULL && client->transaction.mark != NULL) {
        mark = copy_mark(session, client->transaction.mark);
        draft->inherited = mark != NULL;
    }
    if (mark == NULL) return NULL;
    borrow_mark(draft, mark);
    return &mark->parent;
}

/* Whether the request itself says who called, and is asked. */
static bool has_attribute(const fe_session *session, const fe_request *request)
{
    return request->traceparent.len > 0 && !session->recorder->telemetry->options.ignores_callers;
}

static bool has_caller(const fe_session *session, const fe_request *request)
{
    const fe_client *client = &session->client;
    return has_attribute(session, request) || client->mark != NULL ||
           client->transaction.mark != NULL;
}

/* The caller of a request, with what came along in the draft; NULL: it has none. */
static const fe_trace_parent *find_caller(fe_session *session, const fe_command *command,
                                          const fe_request *request, fe_draft *draft,
                                          fe_trace_parent *read)
{
    const fe_client *client = &session->client;
    if (has_attribute(session, request) && fe_traceparent_read(request->traceparent, read)) {
        if (client->mark != NULL && takes_mark(command))
            fe_client_set_mark(&session->server->clients, &session->client, NULL);
        /* What is too long is dropped in the end: it is not to be copied before. */
        if (request->tracestate.len <= FE_TRACESTATE_MAX) draft->state = request->tracestate;
        if (request->baggage.len <= FE_BAGGAGE_MAX) draft->baggage = request->baggage;
        return read;
    }
    return find_mark(session, command, draft);
}

/* Beginning. ------------------------------------------------------------------------------------- */

static void note_counters(fe_session *session)
{
    void *before = session->recorder->before; /* in place: a copy would wait for its parts */
    fe_store_tally_get(session->server->engine->store, before);
}

static uint16_t row_flags(const fe_command *command)
{
    if (command == NULL) return 0;
    uint32_t flags = command->row->flags;
    return (uint16_t)(((flags & FE_WRITE) ? FE_TRACE_WRITE : 0) |
                      ((flags & FE_READONLY) ? FE_TRACE_READ : 0) |
                      ((flags & FE_PYTHON) ? FE_TRACE_PYTHON : 0));
}

static void set_command(fe_draft *draft, const fe_command *command, uint32_t argc)
{
    draft->command = command != NULL ? command->number : FE_TRACE_UNKNOWN;
    draft->argc = argc;
    draft->flags |= row_flags(command);
}

/* What the draft holds is about another command, or nothing. */
static void clear(fe_draft *draft)
{
    draft->open = draft->keep = draft->held = draft->inherited = draft->thin = false;
    draft->flags = 0;
    draft->latency = 0;
    draft->disk_reads = 0;
    draft->located = draft->waited = draft->parked = draft->slow_id = 0;
    /* One after the other: a copy of what was stored by halves waits for both stores. */
    draft->state = (fe_bytes){NULL, 0};
    draft->baggage = (fe_bytes){NULL, 0};
    draft->mark = NULL;
}

/* Takes the draft of the command that waited. */
static void take_parked(fe_session *session, uint64_t ticks)
{
    fe_draft *draft = &session->recorder->draft;
    *draft = *session->parked;
    fe_alloc_give(alloc_of(session), FE_ALLOC_CLIENT, session->parked);
    session->parked = NULL;
    draft->waited += ticks > draft->parked ? ticks - draft->parked : 0;
    draft->parked = 0;
    draft->flags |= FE_TRACE_WAITED;
}

/* What is kept only for how it ends tells no time of look-up: a reading of the clock is what most of a
 * command's record costs. */
static void attend(fe_draft *draft, fe_call *call)
{
    call->recorded = true;
    if (draft->flags & FE_TRACE_SAMPLED) call->located = &draft->located;
}

/* Whether the command goes on that waited, or is one that nobody wants; else a new one begins. */
static bool goes_on(fe_session *session, uint64_t ticks, fe_call *call)
{
    if (session->parked != NULL) {
        take_parked(session, ticks);
        note_counters(session);
        attend(&session->recorder->draft, call);
        return true;
    }
    if (!session->untraced) return false;
    session->untraced = false;
    fe_draft *draft = &session->recorder->draft;
    clear(draft);
    return true;
}

static void open_draft(fe_session *session, fe_draft *draft, fe_call *call)
{
    draft->open = true;
    draft->db = (uint16_t)session->client.db;
    note_counters(session);
    attend(draft, call);
}

/* When the command's bytes came. */
static uint64_t arrival(const fe_session *session)
{
    uint64_t readable = session->readable_ticks;
    return readable != 0 ? readable : session->recorder->parsed;
}

/* Bytes that waited behind another command came in an earlier round. */
static void set_arrival(const fe_session *session, fe_draft *draft)
{
    const fe_recorder *recorder = session->recorder;
    bool is_now = session->readable_ticks == recorder->readable;
    draft->parsed = recorder->parsed;
    draft->start = arrival(session);
    draft->received = is_now ? recorder->received : draft->start;
}

/* The draft of a command that says who called it, though that may be nonsense; false when nothing could
 * keep it. */
static bool begin_called(fe_session *session, const fe_command *command, const fe_request *request,
                         fe_draft *draft)
{
    clear(draft);
    fe_trace_parent read;
    const fe_trace_parent *parent = find_caller(session, command, request, draft, &read);
    if (parent != NULL) draft->flags = FE_TRACE_REMOTE_PARENT;
    /* A mark may be that of a transaction that begins: the end of the command looks at it. */
    return fe_recorder_begin(session->recorder, draft, parent) || draft->mark != NULL;
}

static uint16_t index16(uint32_t index)
{
    return index < UINT16_MAX ? (uint16_t)index : UINT16_MAX;
}

/* Most commands are not sampled, and of nearly all of those nothing is kept: only what will not be known later
 * is noted of them. */
static void begin_thin(fe_session *session, const fe_command *command, const fe_request *request,
                       uint64_t ticks, uint32_t index)
{
    fe_draft *draft = &session->recorder->draft;
    fe_recorder_begin_thin(session->recorder, draft);
    session->traced = command;
    draft->argc = request->argc;
    draft->request_bytes = request->size;
    draft->batch_index = index16(index);
    draft->db = (uint16_t)session->client.db;
    draft->begun = ticks;
    draft->start = arrival(session);
    note_counters(session);
}

/* What a thin draft lacks, while its command is still the one that runs. */
static void complete(fe_session *session, fe_draft *draft)
{
    if (!draft->thin) return;
    fe_recorder_complete(session->recorder, draft);
    set_command(draft, session->traced, draft->argc);
    set_arrival(session, draft);
    draft->batch_size = 1;
}

void fe_trace_begin(fe_session *session, const fe_command *command, const fe_request *request,
                    uint64_t ticks, fe_call *call)
{
    if (FE_UNLIKELY(session->parked != NULL || session->untraced) && goes_on(session, ticks, call))
        return;
    fe_recorder *recorder = session->recorder;
    fe_draft *draft = &recorder->draft;
    uint32_t index = session->round_commands++;
    if (FE_LIKELY(!has_caller(session, request))) {
        fe_drawn drawn = fe_recorder_draw(recorder, draft);
        if (drawn == FE_DRAWN_NONE) return;
        if (drawn == FE_DRAWN_RULE) {
            begin_thin(session, command, request, ticks, index);
            call->recorded = true;
            return;
        }
        clear(draft);
        fe_recorder_begin_drawn(recorder, draft);
    } else if (!begin_called(session, command, request, draft)) {
        return;
    }
    set_command(draft, command, request->argc);
    set_arrival(session, draft);
    draft->batch_index = index16(index);
    draft->batch_size = 1;
    draft->request_bytes = request->size;
    draft->begun = ticks;
    open_draft(session, draft, call);
}

static bool same_caller(const fe_trace_parent *a, const fe_trace_parent *b)
{
    return a->span_id == b->span_id && memcmp(a->trace_id, b->trace_id, 16) == 0;
}

/* The draft of a queued command as a child of EXEC's; false when nothing could keep it. */
static bool begin_child(fe_session *session, fe_draft *draft)
{
    const fe_draft *exec = session->exec;
    if (exec == NULL) return false;
    draft->low = exec->low;
    draft->threshold = exec->threshold;
    draft->span_id = 0;
    draft->caller_declined = exec->caller_declined;
    draft->parent = exec->parent;
    draft->parent.span_id = exec->span_id;
    draft->state = exec->state;
    draft->baggage = exec->baggage;
    draft->flags |= FE_TRACE_LOCAL_PARENT | (exec->flags & FE_TRACE_SAMPLED);
    return (draft->flags & FE_TRACE_SAMPLED) != 0 ||
           fe_retention_may_keep(&session->recorder->telemetry->options.retention,
                                 draft->caller_declined);
}

void fe_trace_begin_queued(fe_session *session, uint32_t index, uint64_t ticks, fe_call *call)
{
    if (goes_on(session, ticks, call)) return;
    fe_recorder *recorder = session->recorder;
    fe_draft *draft = &recorder->draft;
    const fe_transaction *transaction = &session->client.transaction;
    fe_queued *queued = &transaction->queue[index];
    const fe_draft *exec = session->exec;
    clear(draft);
    set_command(draft, queued->command, queued->argc);
    draft->flags |= FE_TRACE_IN_EXEC;
    draft->batch_index = index16(index);
    draft->batch_size = index16(transaction->count);
    draft->request_bytes = 0;
    draft->start = exec != NULL ? exec->start : recorder->parsed;
    draft->received = exec != NULL ? exec->received : recorder->parsed;
    draft->parsed = exec != NULL ? exec->parsed : recorder->parsed;
    draft->begun = ticks;
    fe_trace_mark *mark = queued->mark;
    bool own = mark != NULL && (exec == NULL || !(exec->flags & FE_TRACE_REMOTE_PARENT) ||
                                !same_caller(&mark->parent, &exec->parent));
    bool open;
    if (own) {
        queued->mark = NULL;
        borrow_mark(draft, mark);
        draft->flags |= FE_TRACE_REMOTE_PARENT;
        open = fe_recorder_begin(recorder, draft, &mark->parent);
    } else {
        open = begin_child(session, draft);
    }
    if (open)
        open_draft(session, draft, call);
    else
        drop_mark(session, draft);
}

void fe_trace_queued(fe_session *session)
{
    fe_draft *draft = &session->recorder->draft;
    fe_trace_mark *mark = NULL;
    if (draft->inherited)
        drop_mark(session, draft);
    else if (draft->mark != NULL)
        mark = draft->mark;
    else if (draft->flags & FE_TRACE_REMOTE_PARENT)
        mark = fe_trace_mark_new(alloc_of(session), &draft->parent, draft->state, draft->baggage);
    if (mark != NULL) fe_transaction_mark(&session->client.transaction, mark);
    draft->mark = NULL;
    draft->open = false;
}

/* Waiting. --------------------------------------------------------------------------------------- */

static uint16_t why(const fe_session *session)
{
    switch (session->park) {
    case FE_PARK_DISK: return FE_TRACE_DISK;
    case FE_PARK_PAUSE: return FE_TRACE_PAUSED;
    case FE_PARK_TIME: return FE_TRACE_BLOCKED;
    case FE_PARK_ROOM: return FE_TRACE_ROOM;
    default: return 0;
    }
}

/* The draft, with what it borrows, in memory of its own; NULL without memory. */
static fe_draft *keep_draft(fe_session *session, fe_draft *draft)
{
    fe_draft *kept = fe_alloc_take(alloc_of(session), FE_ALLOC_CLIENT, sizeof *kept);
    if (kept == NULL) return NULL;
    bool borrows = draft->mark == NULL && draft->state.len + draft->baggage.len > 0;
    if (borrows) {
        fe_trace_mark *mark =
            fe_trace_mark_new(alloc_of(session), &draft->parent, draft->state, draft->baggage);
        draft->state = draft->baggage = (fe_bytes){NULL, 0};
        if (mark != NULL) borrow_mark(draft, mark);
    }
    *kept = *draft;
    draft->mark = NULL;
    draft->open = false;
    return kept;
}

void fe_trace_park(fe_session *session, bool again)
{
    fe_recorder *recorder = session->recorder;
    fe_draft *draft = &recorder->draft;
    if (!draft->open) {
        session->untraced = again;
        return;
    }
    complete(session, draft);
    draft->flags |= why(session);
    uint32_t reads = draft->disk_reads + session->waiter.pending;
    draft->disk_reads = reads < UINT16_MAX ? (uint16_t)reads : UINT16_MAX;
    draft->parked = fe_clock_ticks();
    session->parked = keep_draft(session, draft);
    if (session->parked != NULL) return;
    fe_event_ring_count(&recorder->ring.dropped);
    drop_mark(session, draft);
    session->untraced = again;
}

void fe_trace_unpark(fe_session *session, fe_call *call)
{
    call->recorded = false;
    if (session->parked == NULL) return;
    take_parked(session, fe_clock_ticks());
    note_counters(session);
    call->recorded = true;
}

/* Ending. ---------------------------------------------------------------------------------------- */

static uint16_t low16(uint64_t value)
{
    return value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

static uint32_t low32(uint64_t value)
{
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static uint64_t since(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0; /* a reset between makes it less */
}

/* What the store did for the command. */
typedef struct effects {
    uint64_t hits, misses, value_bytes;
    uint8_t tiers;
} effects;

static effects find_effects(const fe_session *session)
{
    fe_store_tally before, now;
    memcpy(&before, session->recorder->before, sizeof before);
    fe_store_tally_get(session->server->engine->store, &now);
    effects found = {.hits = since(now.hits, before.hits),
                     .misses = since(now.misses, before.misses),
                     .value_bytes = since(now.read_bytes, before.read_bytes) +
                                    since(now.written_bytes, before.written_bytes)};
    uint32_t tiers = 0;
    if (now.hits_mutable != before.hits_mutable) tiers |= FE_TRACE_MUTABLE;
    if (now.hits_readonly != before.hits_readonly) tiers |= FE_TRACE_READ_ONLY;
    if (now.hits_cache != before.hits_cache) tiers |= FE_TRACE_CACHE;
    if (now.hits_disk != before.hits_disk) tiers |= FE_TRACE_ON_DISK;
    if (now.in_place != before.in_place) tiers |= FE_TRACE_WROTE_IN_PLACE;
    if (now.appended != before.appended) tiers |= FE_TRACE_WROTE_NEW;
    found.tiers = (uint8_t)tiers;
    return found;
}

static void put_hash(const fe_session *session, fe_bytes key, fe_texts *texts)
{
    /* Hashed twice: the first hash is what the index sorts keys by, and nobody else's to know. */
    const fe_hash_seed *seed = fe_store_seed(session->server->engine->store);
    uint64_t first = fe_key_hash(seed, key);
    uint64_t second = fe_hash(seed, (const uint8_t *)&first, sizeof first);
    char digits[KEY_BYTES_MAX];
    fe_span_id_print(digits, second);
    fe_texts_put(texts, FE_TEXT_KEY, (fe_bytes){(const uint8_t *)digits, sizeof digits});
}

static void put_key(const fe_session *session, fe_bytes key, fe_texts *texts)
{
    uint8_t pattern[FE_TEXT_KEY_MAX];
    switch (session->recorder->telemetry->options.keys) {
    case FE_KEYS_OFF: return;
    case FE_KEYS_HASHED: put_hash(session, key, texts); return;
    case FE_KEYS_FULL:
        if (key.len > FE_TEXT_KEY_MAX) key.len = FE_TEXT_KEY_MAX;
        fe_texts_put(texts, FE_TEXT_KEY, key);
        return;
    case FE_KEYS_PATTERN:
        key = (fe_bytes){pattern, fe_texts_pattern(key, pattern)};
        fe_texts_put(texts, FE_TEXT_KEY, key);
    }
}

/* The place of the first key in argv; 0: there is none, or it is a secret. */
static uint32_t key_index(const fe_call *call)
{
    if (call->row == NULL) return 0;
    const fe_key_spec *spec = &call->row->keys[0];
    uint32_t index = spec->first > 0 ? (uint32_t)spec->first : 0;
    bool shown = index != 0 && index < call->argc && !(spec->flags & FE_KEY_NOT_KEY) &&
                 !fe_call_is_secret(call->secret_mask, index);
    return shown ? index : 0;
}

static void put_baggage(fe_recorder *recorder, fe_bytes header)
{
    const fe_telemetry_options *options = &recorder->telemetry->options;
    uint8_t picked[FE_BAGGAGE_KEPT_MAX];
    size_t len = fe_baggage_pick(header, (fe_bytes){options->baggage, options->baggage_len}, picked,
                                 sizeof picked);
    fe_texts_put(&recorder->texts, FE_TEXT_BAGGAGE, (fe_bytes){picked, len});
}

static void put_texts(fe_session *session, const fe_draft *draft, const fe_call *call, uint32_t key,
                      fe_bytes error)
{
    fe_texts *texts = &session->recorder->texts;
    texts->len = 0;
    fe_texts_put(texts, FE_TEXT_ADDRESS, session->client.addr);
    if (FE_UNLIKELY(session->elsewhere)) fe_texts_put(texts, FE_TEXT_SERVER, session->client.laddr);
    if (key != 0) put_key(session, call->argv[key], texts);
    fe_texts_put(texts, FE_TEXT_ERROR, error);
    if (FE_UNLIKELY(draft->baggage.len > 0)) put_baggage(session->recorder, draft->baggage);
    if (FE_UNLIKELY(draft->state.len > 0) && fe_tracestate_is_valid(draft->state))
        fe_texts_put(texts, FE_TEXT_TRACESTATE, draft->state);
    if (draft->threshold != 0)
        fe_texts_put(texts, FE_TEXT_THRESHOLD,
                     (fe_bytes){(const uint8_t *)&draft->threshold, sizeof draft->threshold});
}

/* The code of the error that was counted last; empty when there are more kinds than are counted. */
static fe_bytes last_error(const fe_engine *engine)
{
    if (engine->error_last == FE_ERROR_KINDS_MAX) return (fe_bytes){NULL, 0};
    const char *code = engine->errors[engine->error_last].code;
    return (fe_bytes){(const uint8_t *)code, strlen(code)};
}

void fe_trace_note_slow(fe_session *session, uint64_t slow_id)
{
    session->recorder->draft.slow_id = slow_id;
}

void fe_trace_note_latency(fe_session *session, fe_latency_event event, uint64_t ticks)
{
    const fe_engine *engine = session->server->engine;
    fe_draft *draft = &session->recorder->draft;
    draft->latency_ms = (uint64_t)((double)ticks / engine->ticks_per_us / 1000.0);
    draft->latency_seconds = engine->now_ms / 1000;
    draft->latency = (uint8_t)(event + 1);
}

static uint32_t microseconds(const fe_engine *engine, uint64_t from, uint64_t to)
{
    return to > from ? low32((uint64_t)((double)(to - from) / engine->ticks_per_us)) : 0;
}

/* Tells the slow log and the latency monitor whose entry they have; `has_span`: the command has a record. */
static void tell_logs(fe_session *session, const fe_draft *draft, uint64_t ended, bool has_span)
{
    fe_engine *engine = session->server->engine;
    fe_trace_label label = {.is_timed = true,
                            .is_located = draft->located != 0,
                            .queued_us = microseconds(engine, draft->start, draft->begun),
                            .located_us = microseconds(engine, draft->begun, draft->located),
                            .waited_us = microseconds(engine, 0, draft->waited),
                            .took_us = microseconds(engine, draft->begun, ended)};
    if (has_span) {
        label.span_id = draft->span_id;
        memcpy(label.trace_id, draft->parent.trace_id, 16);
    }
    if (draft->slow_id != 0) fe_slowlog_label(&engine->slowlog, draft->slow_id - 1, &label);
    if (draft->latency != 0)
        fe_latency_label(&engine->latency, (fe_latency_event)(draft->latency - 1),
                         draft->latency_seconds, draft->latency_ms, &label);
}

static void note_range(fe_session *session, uint32_t size)
{
    uint64_t to = session->recorder->ring.head;
    if (session->records_from == session->records_to) session->records_from = to - size;
    session->records_to = to;
}

static void fill(fe_session *session, fe_trace_record *record, const fe_draft *draft,
                 const fe_trace_end_of *end, const effects *found, uint32_t key)
{
    record->command = draft->command;
    record->result = (uint8_t)end->result;
    record->argc = draft->argc;
    record->tiers = found->tiers;
    record->hits = low16(found->hits);
    record->misses = low16(found->misses);
    record->value_bytes = low32(found->value_bytes);
    record->reply_bytes = low32(end->reply_bytes);
    record->epoch = (uint32_t)fe_store_epoch(session->server->engine->store);
    record->connection = session->client.id;
    record->db = draft->db;
    record->key_index = low16(key);
}

/* False: the ring is full. */
static bool make(fe_session *session, fe_draft *draft, const fe_call *call,
                 const fe_trace_end_of *end)
{
    uint32_t key = call != NULL ? key_index(call) : 0;
    bool failed = end->result == FE_RESULT_ERROR || end->result == FE_RESULT_REJECTED;
    fe_bytes error = {NULL, 0};
    if (failed) error = end->error.len > 0 ? end->error : last_error(session->server->engine);
    put_texts(session, draft, call, key, error);
    effects found = {0}; /* what EXEC has done, its commands have */
    if (call != NULL) found = find_effects(session);
    fe_trace_record *record = fe_recorder_make(session->recorder, draft, end->ticks);
    if (FE_UNLIKELY(record == NULL)) return false;
    fill(session, record, draft, end, &found, key);
    note_range(session, record->size);
    return true;
}

/* Whether the transaction that this command has opened has the same caller: then its commands have it too. */
static void pass_mark_on(fe_session *session, fe_draft *draft, const fe_call *call)
{
    fe_transaction *transaction = &session->client.transaction;
    bool is_multi = call != NULL && call->row != NULL && strcmp(call->row->name, "multi") == 0;
    if (!is_multi || call->failed || !transaction->open || transaction->mark != NULL) return;
    transaction->mark = copy_mark(session, draft->mark);
}

static void end_draft(fe_session *session, fe_draft *draft, const fe_call *call,
                      const fe_trace_end_of *end)
{
    fe_ending ending = {.failed =
                            end->result == FE_RESULT_ERROR || end->result == FE_RESULT_REJECTED,
                        .disk = (draft->flags & FE_TRACE_DISK) != 0,
                        .ticks = since(end->ticks, fe_draft_arrived(draft))};
    bool kept = fe_recorder_keep(session->recorder, draft, &ending);
    if (kept && (draft->flags & FE_TRACE_LOCAL_PARENT) && session->exec != NULL) {
        session->exec->keep = true;
        session->exec->held |= draft->held;
    }
    bool made = kept && make(session, draft, call, end);
    if (FE_UNLIKELY(draft->slow_id != 0 || draft->latency != 0))
        tell_logs(session, draft, end->ticks, made);
    if (FE_LIKELY(draft->mark == NULL)) {
        draft->open = false;
        return;
    }
    pass_mark_on(session, draft, call);
    drop_mark(session, draft);
}

/* TRACEPARENT itself belongs to the trace that it names. */
static void adopt_mark(fe_session *session, fe_draft *draft)
{
    const fe_trace_mark *mark = session->client.mark;
    fe_recorder_adopt(session->recorder, draft, &mark->parent);
    draft->state = (fe_bytes){mark->text, mark->state_len};
    draft->baggage = (fe_bytes){mark->text + mark->state_len, mark->baggage_len};
}

void fe_trace_end(fe_session *session, const fe_call *call, const fe_trace_end_of *end)
{
    fe_draft *draft = &session->recorder->draft;
    if (!draft->open) return;
    complete(session, draft);
    if (FE_UNLIKELY(call->marks_next) && session->client.mark != NULL) adopt_mark(session, draft);
    end_draft(session, draft, call, end);
}

/* EXEC. ------------------------------------------------------------------------------------------ */

/* Bytes of replies since the session began. */
static uint64_t replied(const fe_session *session)
{
    return session->client.net_out + session->unsent + session->client.output.len;
}

void fe_trace_exec_begin(fe_session *session)
{
    fe_recorder *recorder = session->recorder;
    fe_draft *draft = &recorder->draft;
    if (!draft->open) return;
    complete(session, draft);
    draft->replied = replied(session);
    fe_recorder_name(recorder, draft);
    session->exec = keep_draft(session, draft);
    if (session->exec != NULL) return;
    fe_event_ring_count(&recorder->ring.dropped);
    drop_mark(session, draft);
}

void fe_trace_exec_end(fe_session *session, uint64_t ticks)
{
    fe_draft *draft = session->exec;
    if (draft == NULL) return;
    session->exec = NULL;
    if (fe_recorder_is_on(session->recorder)) {
        fe_trace_end_of end = {.ticks = ticks,
                               .reply_bytes = since(replied(session), draft->replied)};
        end_draft(session, draft, NULL, &end);
    }
    drop_mark(session, draft);
    fe_alloc_give(alloc_of(session), FE_ALLOC_CLIENT, draft);
}

void fe_trace_drop(fe_session *session)
{
    if (session->recorder != NULL) drop_mark(session, &session->recorder->draft);
    if (session->parked == NULL) return;
    drop_mark(session, session->parked);
    fe_alloc_give(alloc_of(session), FE_ALLOC_CLIENT, session->parked);
    session->parked = NULL;
}

void fe_trace_stamp(fe_session *session)
{
    fe_recorder_stamp(session->recorder, session->records_from, session->records_to,
                      session->round_commands, fe_clock_ticks());
    session->records_from = session->records_to = 0;
}
