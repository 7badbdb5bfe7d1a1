/* See server.h. */
#include "session/server.h"

#include "base/assert.h"
#include "session/session.h"
#include "store/tier.h"

/* The flush has caught up: the lock is held, any thread. */
static void room_is_back(void *context)
{
    fe_server_wake_paused(context);
}

fe_server *fe_server_open(const fe_engine_options *options, char error[FE_ENGINE_ERROR_MAX])
{
    fe_engine *engine = fe_engine_open(options, error);
    if (engine == NULL) return NULL;
    strcpy(error, "out of memory");
    fe_server *server = fe_alloc_take_zeroed(&engine->alloc, FE_ALLOC_ENGINE, sizeof *server);
    if (server == NULL) {
        fe_engine_free(engine);
        return NULL;
    }
    server->engine = engine;
    fe_buf_init(&server->unseen, &engine->alloc, FE_ALLOC_CLIENT);
    server->unseen.failed = true;
    fe_clients_init(&server->clients, engine);
    if (engine->device != NULL) fe_tier_on_room(engine->store, room_is_back, server);
    server->commands = fe_commands_new(&engine->alloc);
    if (server->commands == NULL) {
        fe_server_free(server);
        return NULL;
    }
    return server;
}

fe_server *fe_server_new(const fe_engine_options *options)
{
    char error[FE_ENGINE_ERROR_MAX];
    return fe_server_open(options, error);
}

void fe_server_free(fe_server *server)
{
    fe_engine *engine = server->engine;
    if (engine->device != NULL) fe_tier_on_room(engine->store, NULL, NULL);
    while (server->python_first != NULL)
        fe_python_request_free(server, fe_server_take_python(server));
    fe_clients_destroy(&server->clients);
    fe_commands_free(server->commands);
    fe_alloc_give(&engine->alloc, FE_ALLOC_ENGINE, server);
    fe_engine_free(engine);
}

fe_python_request *fe_server_ask_python(fe_server *server, fe_session *session, const fe_call *call)
{
    size_t size = sizeof(fe_python_request) + call->argc * sizeof(fe_bytes);
    for (uint32_t i = 0; i < call->argc; i++)
        size += call->argv[i].len;
    fe_python_request *request = fe_alloc_take(&server->engine->alloc, FE_ALLOC_CLIENT, size);
    if (request == NULL) return NULL;
    *request = (fe_python_request){.session = session,
                                   .row = call->row,
                                   .client_id = session->client.id,
                                   .asked_ticks = fe_clock_ticks(),
                                   .secret_mask = call->secret_mask,
                                   .db = session->client.db,
                                   .resp = session->client.resp,
                                   .in_exec = call->in_exec,
                                   .argc = call->argc};
    fe_buf_init(&request->answer, &server->engine->alloc, FE_ALLOC_CLIENT);
    uint8_t *at = (uint8_t *)(request->argv + call->argc);
    for (uint32_t i = 0; i < call->argc; i++) {
        if (call->argv[i].len > 0) memcpy(at, call->argv[i].ptr, call->argv[i].len);
        request->argv[i] = (fe_bytes){at, call->argv[i].len};
        at += call->argv[i].len;
    }
    bool was_empty = server->python_first == NULL;
    if (was_empty)
        server->python_first = request;
    else
        server->python_last->next = request;
    server->python_last = request;
    server->python_waiting++;
    if (was_empty && server->python_notify != NULL) server->python_notify(server->python_context);
    return request;
}

fe_python_request *fe_server_take_python(fe_server *server)
{
    fe_python_request *request = server->python_first;
    if (request == NULL) return NULL;
    server->python_first = request->next;
    request->next = NULL;
    return request;
}

void fe_python_request_free(fe_server *server, fe_python_request *request)
{
    server->python_waiting--;
    fe_buf_free(&request->answer);
    fe_alloc_give(&server->engine->alloc, FE_ALLOC_CLIENT, request);
}

void fe_server_answer_python(fe_server *server, fe_python_request *request, fe_bytes reply,
                             bool failed)
{
    FE_ASSERT(!request->answered);
    if (request->session == NULL) {
        fe_python_request_free(server, request);
        return;
    }
    fe_buf_append(&request->answer, reply.ptr, reply.len);
    request->failed = failed;
    request->answered = true;
    fe_client *client = &request->session->client;
    client->wake(client);
}

bool fe_server_is_paused(fe_server *server, const fe_client *client, uint32_t flags)
{
    fe_engine *engine = server->engine;
    const fe_pause *pause = &engine->pause;
    if (FE_LIKELY(pause->exclusive == 0 && pause->until_ms == 0)) return false;
    if (pause->exclusive != 0 && pause->exclusive != client->id) return true;
    if (client->monitor || !fe_engine_is_paused(engine)) return false;
    return pause->all || (flags & (FE_WRITE | FE_MAY_REPLICATE)) != 0;
}

void fe_server_wake_paused(fe_server *server)
{
    while (server->paused != NULL) {
        fe_session *session = server->paused;
        server->paused = session->paused_next;
        session->paused_next = NULL;
        session->in_paused = false;
        session->client.wake(&session->client);
    }
}
