/* Serving: reads requests of several sessions ahead, then runs them under one entry of the lock.
 * See session.h.
 *
 * Reading ahead needs no lock: a reader belongs to its session's thread, the registry is frozen
 * before listening, and hashing needs only the seed, which never changes. Under the lock, first the
 * index buckets of all keys are prefetched, then the records, and only then the first command runs:
 * the cache misses of a batch overlap.
 */
#include "base/assert.h"
#include "engine/workers.h"
#include "session/dispatch.h"
#include "session/resident.h"
#include "session/trace.h"

#include <stdio.h>

#define SLICE_US 100.0 /* after this long, give the lock to a thread that waits for it */
#define TAKE_MAX 32u   /* reads that are taken under one entry of the lock */

/* Hashes the key arguments of a request. */
static void hash_keys(fe_batch *batch, fe_ahead *ahead, const fe_hash_seed *seed)
{
    const fe_command_row *row = ahead->command->row;
    uint32_t argc = ahead->request.argc < 64 ? ahead->request.argc : 64;
    if (row->keys[0].first == 0 || batch->hash_count + argc > FE_BATCH_HASHES) return;
    uint64_t *hashes = batch->hashes + batch->hash_count;
    bool hinted = batch->hint.db == ahead->session->client.db;
    for (int s = 0; s < FE_KEY_SPECS_MAX && row->keys[s].first != 0; s++) {
        const fe_key_spec *spec = &row->keys[s];
        if (spec->flags & FE_KEY_NOT_KEY) continue;
        int64_t last =
            spec->last >= 0 ? spec->first + spec->last : (int64_t)ahead->request.argc + spec->last;
        for (int64_t i = spec->first; i <= last && i < argc; i += spec->step) {
            hashes[i] = fe_key_hash(seed, ahead->request.argv[i]);
            if (hinted) fe_hint_prefetch(&batch->hint, hashes[i]);
            ahead->hashed |= 1ULL << i;
        }
    }
    if (ahead->hashed == 0) return;
    ahead->hashes = hashes;
    batch->hash_count += argc;
}

static void add(fe_batch *batch, fe_session *session, const fe_request *request)
{
    fe_ahead *ahead = &batch->ahead[batch->count++];
    *ahead = (fe_ahead){.session = session, .end = fe_reader_consumed(session->client.reader)};
    if (request == NULL) {
        ahead->is_error = true;
        return;
    }
    ahead->request = *request;
    if (request->argc == 0) return;
    ahead->command = fe_commands_find(session->server->commands, request->argv, request->argc,
                                      &ahead->container);
    if (ahead->command != NULL)
        hash_keys(batch, ahead, fe_store_seed(session->server->engine->store));
}

/* A key whose cache lines are asked for. */
typedef struct ahead_key {
    uint64_t hash;
    uint32_t db;
} ahead_key;

static uint32_t collect_keys(const fe_batch *batch, ahead_key keys[FE_BATCH_HASHES])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const fe_ahead *ahead = &batch->ahead[i];
        for (uint64_t left = ahead->hashed; left != 0; left &= left - 1)
            keys[count++] =
                (ahead_key){ahead->hashes[__builtin_ctzll(left)], ahead->session->client.db};
    }
    return count;
}

/* Three passes, so that each finds what the one before it asked for: buckets (most were asked for
 * when the key was hashed), records, and the records of keys that overflow nodes lead to. */
static void prefetch(const fe_batch *batch, const fe_store *store)
{
    if (batch->count < 2 && batch->hash_count < 2) return;
    ahead_key keys[FE_BATCH_HASHES];
    uint32_t count = collect_keys(batch, keys);
    for (uint32_t i = 0; i < count; i++)
        fe_store_prefetch_bucket(store, keys[i].db, keys[i].hash);
    uint32_t behind = 0;
    for (uint32_t i = 0; i < count; i++)
        if (fe_store_prefetch_record(store, keys[i].db, keys[i].hash)) keys[behind++] = keys[i];
    for (uint32_t i = 0; i < behind; i++)
        fe_store_prefetch_behind(store, keys[i].db, keys[i].hash);
}

static void answer_protocol_error(fe_session *session)
{
    fe_engine *engine = session->server->engine;
    const char *line = fe_reader_error(session->client.reader);
    fe_reply reply = fe_session_reply(session);
    fe_reply_error(&reply, line);
    fe_engine_count_error(engine, line, strlen(line));
    engine->stats.protocol_errors++;
    fe_session_finish(session);
}

static void run_one(const fe_ahead *ahead, uint64_t *ticks)
{
    fe_session *session = ahead->session;
    if (session->state != FE_SESSION_READY) return;
    if (session->client.kill) {
        fe_session_cut_off(session);
        return;
    }
    if (ahead->is_error) {
        answer_protocol_error(session);
        return;
    }
    if (!fe_dispatch(ahead, ticks)) return;
    session->data_run = ahead->end;
    if (FE_UNLIKELY(session->announced != 0)) fe_session_drop_body(session);
    if (session->client.close_after_reply && session->state == FE_SESSION_READY)
        fe_session_finish(session);
}

/* Runs what was read ahead. The lock was asked for and is held, and may be given to others in between. */
static uint64_t run_batch(fe_server *server, fe_batch *batch, uint64_t asked, uint64_t entered)
{
    fe_engine *engine = server->engine;
    prefetch(batch, engine->store);
    uint64_t slice = (uint64_t)(engine->ticks_per_us * SLICE_US);
    uint64_t ticks = entered;
    if (FE_UNLIKELY(fe_store_is_tiered(engine->store)) && batch->count > 1) {
        fe_resident_ahead(server, batch);
        ticks = fe_clock_ticks(); /* what was begun for all is not the first one's */
    }
    fe_recorder *recorder = batch->count > 0 ? batch->ahead[0].session->recorder : NULL;
    if (FE_LIKELY(recorder != NULL)) {
        recorder->parsed = asked;
        fe_stages_enter(&recorder->stages, engine->options.metrics, engine->units_per_tick_q20,
                        asked, entered, batch->count);
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        run_one(&batch->ahead[i], &ticks);
        if (FE_UNLIKELY(ticks - entered > slice) && fe_lock_is_wanted(&engine->lock)) {
            fe_engine_leave(engine, FE_STEP_BATCH, entered);
            entered = ticks = fe_engine_enter(engine);
        }
    }
    if (batch->hash_count > 0)
        fe_store_hint_refresh(engine->store, batch->ahead[batch->count - 1].session->client.db,
                              &batch->hint);
    batch->count = 0;
    batch->hash_count = 0;
    size_t size;
    bool wanted = fe_store_trash_news(engine->store) || fe_store_spare_wanted(engine->store, &size);
    if (FE_UNLIKELY(wanted)) fe_workers_wake(engine);
    return entered;
}

/* All input of a group has been received, and is read now. */
static void note_received(fe_recorder *recorder)
{
    bool measured = fe_stages_serve(&recorder->stages);
    if (FE_LIKELY(!measured && !fe_recorder_is_on(recorder))) return;
    recorder->received = fe_clock_ticks();
    fe_stages_received(&recorder->stages, recorder->received);
}

/* A batch of several in the group is over, and the next is read now. */
static void note_batch_over(fe_recorder *recorder, uint64_t left)
{
    recorder->received = left;
    fe_stages_left(&recorder->stages, left);
}

static void run_full_batch(fe_server *server, fe_batch *batch)
{
    fe_disk_read *reads[FE_READS_MAX];
    fe_recorder *recorder = batch->ahead[0].session->recorder;
    uint64_t asked, entered = fe_engine_enter_asking(server->engine, &asked);
    entered = run_batch(server, batch, asked, entered);
    uint32_t count = fe_engine_take_reads(server->engine, reads, FE_READS_MAX);
    uint64_t left = fe_engine_leave(server->engine, FE_STEP_BATCH, entered);
    if (recorder != NULL) note_batch_over(recorder, left);
    fe_disk_start(server->engine->disk, reads, count);
}

static void reads_done(fe_server *server, fe_disk_read **reads, uint32_t count)
{
    fe_engine *engine = server->engine;
    for (uint32_t i = 0; i < count; i++)
        fe_fetch_check(reads[i]);
    uint64_t entered = fe_engine_enter(engine);
    for (uint32_t i = 0; i < count; i++)
        fe_fetch_done(engine->store, reads[i]);
    uint32_t more = fe_engine_take_reads(engine, reads, FE_READS_MAX);
    fe_engine_leave(engine, FE_STEP_FETCH, entered);
    fe_disk_start(server->engine->disk, reads, more);
}

/* As many reads are started as were taken, and while that is done the disk makes the next: without a bound this would
 * end when the store wants no more, whoever else waits for this thread. */
uint32_t fe_server_take_done(fe_server *server)
{
    fe_disk_read *reads[FE_READS_MAX];
    uint32_t taken = 0;
    for (uint32_t count; taken < FE_TAKE_ROUND; taken += count) {
        count = fe_disk_take(server->engine->disk, reads, TAKE_MAX);
        if (count == 0) return taken;
        reads_done(server, reads, count);
    }
    return taken;
}

void fe_server_take_records(fe_server *server)
{
    fe_disk_read *reads[FE_READS_MAX];
    for (uint32_t taken = 0, count; taken < FE_TAKE_ROUND; taken += count) {
        count = fe_disk_reap(server->engine->disk, reads, TAKE_MAX);
        if (count == 0) return;
        reads_done(server, reads, count);
    }
}

/* Reads all requests of one session into the batch, running the batch whenever it is full. A client
 * that has not authenticated is read one request at a time, because AUTH changes the reader's
 * limits. */
static void read_session(fe_server *server, fe_batch *batch, fe_session *session)
{
    fe_reader *reader = session->client.reader;
    if (session->data == NULL) return; /* resumed and served since it received */
    fe_reader_feed(reader, session->data, session->data_len);
    for (;;) {
        fe_request request;
        fe_read_status status = fe_reader_next(reader, &request);
        if (status == FE_READ_MORE) break;
        add(batch, session, status == FE_READ_REQUEST ? &request : NULL);
        if (batch->count == FE_BATCH_COMMANDS || batch->hash_count > FE_BATCH_HASHES - 64 ||
            !session->client.authenticated) {
            run_full_batch(server, batch);
            if (session->state != FE_SESSION_READY) return;
        }
        if (status == FE_READ_ERROR) break;
    }
    session->data_read = fe_reader_consumed(reader);
}

/* Returns how many disk reads it has taken into `reads`, which are to be started. */
static uint32_t serve(fe_server *server, fe_batch *batch, fe_session **sessions, uint32_t count,
                      fe_disk_read **reads)
{
    batch->count = 0;
    batch->hash_count = 0;
    fe_recorder *recorder = count > 0 ? sessions[0]->recorder : NULL;
    if (FE_LIKELY(recorder != NULL)) note_received(recorder);
    for (uint32_t i = 0; i < count; i++) {
        fe_client *client = &sessions[i]->client;
        client->output.limit = client->output_limit;
        if (sessions[i]->state == FE_SESSION_READY) read_session(server, batch, sessions[i]);
    }
    uint64_t asked, entered = fe_engine_enter_asking(server->engine, &asked);
    entered = run_batch(server, batch, asked, entered);
    for (uint32_t i = 0; i < count; i++)
        fe_session_account(sessions[i]);
    uint32_t read_count = fe_engine_take_reads(server->engine, reads, FE_READS_MAX);
    uint64_t left = fe_engine_leave(server->engine, FE_STEP_BATCH, entered);
    if (recorder != NULL) {
        recorder->settled = left;
        fe_stages_left(&recorder->stages, left);
        fe_stages_served(&recorder->stages);
    }
    for (uint32_t i = 0; i < count; i++)
        fe_session_keep_rest(sessions[i]);
    return read_count;
}

void fe_server_serve(fe_server *server, fe_batch *batch, fe_session **sessions, uint32_t count)
{
    fe_disk_read *reads[FE_READS_MAX];
    uint32_t read_count = serve(server, batch, sessions, count, reads);
    fe_disk_start(server->engine->disk, reads, read_count);
}

void fe_server_serve_first(fe_server *server, fe_batch *batch, fe_session **sessions,
                           uint32_t count)
{
    FE_ASSERT(batch->read_count == 0);
    batch->read_count = serve(server, batch, sessions, count, batch->reads);
}

void fe_server_start_reads(fe_server *server, fe_batch *batch)
{
    fe_disk_start(server->engine->disk, batch->reads, batch->read_count);
    batch->read_count = 0;
}
