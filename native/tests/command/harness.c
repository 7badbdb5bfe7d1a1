/* See harness.h. The clock stands at NOW_MS unless a test moves it. */
#include "tests/command/harness.h"

enum { ARGS_MAX = 64 };

static const int64_t NOW_MS = 4000000000000; /* later than any real clock, which never goes back */

void harness_set_now(harness *it, int64_t now_ms)
{
    it->engine->now_ms = now_ms;
    fe_store_set_now(it->engine->store, now_ms);
}

void harness_open(harness *it)
{
    harness_open_in(it, "");
}

void harness_open_in(harness *it, const char *folder)
{
    memset(it, 0, sizeof(*it));
    fe_engine_options options = {.store = {.databases = 16,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .seed = {1, 2}},
                                 .bulk_len_max = 512u << 20,
                                 .slowlog_max = 8,
                                 .hll_sparse_bytes_max = 3000};
    FE_ASSERT(strlen(folder) < sizeof options.data_dir);
    strcpy(options.data_dir, folder);
    it->engine = fe_engine_new(&options);
    FE_ASSERT(it->engine != NULL);
    it->commands = fe_commands_new(&it->engine->alloc);
    FE_ASSERT(it->commands != NULL);
    it->clients.engine = it->engine;
    it->client.resp = 2;
    fe_buf_init(&it->reply, &it->engine->alloc, FE_ALLOC_CLIENT);
    fe_buf_init(&it->shown, &it->engine->alloc, FE_ALLOC_CLIENT);
    harness_set_now(it, NOW_MS);
}

void harness_close(harness *it)
{
    const char *violation = fe_store_check(it->engine->store);
    if (violation != NULL) fprintf(stderr, "store: %s\n", violation);
    FE_ASSERT(violation == NULL);
    fe_buf_free(&it->reply);
    fe_buf_free(&it->shown);
    fe_client_set_mark(&it->clients, &it->client, NULL);
    fe_commands_free(it->commands);
    fe_engine_free(it->engine);
}

/* One argument at *at, which moves behind it. */
static fe_bytes take_argument(const char **at)
{
    bool quoted = **at == '"';
    const char *start = *at + quoted;
    size_t len = strcspn(start, quoted ? "\"" : " ");
    *at = start + len + quoted;
    while (**at == ' ')
        ++*at;
    return (fe_bytes){(const uint8_t *)start, len};
}

static const char *show(harness *it)
{
    it->shown.len = 0;
    for (size_t i = 0; i < it->reply.len; i++) {
        uint8_t byte = it->reply.data[i];
        if (byte == '\r') continue;
        fe_buf_append_byte(&it->shown, byte == '\n' ? ' ' : byte);
    }
    if (it->shown.len > 0) it->shown.len--;
    fe_buf_append_byte(&it->shown, 0);
    FE_ASSERT(!it->shown.failed);
    return (const char *)it->shown.data;
}

const char *harness_run_bytes(harness *it, const fe_bytes *argv, uint32_t argc)
{
    fe_command *container;
    fe_command *command = fe_commands_find(it->commands, argv, argc, &container);
    FE_ASSERT(command != NULL);
    it->reply.len = 0;
    it->call = (fe_call){.engine = it->engine,
                         .store = it->engine->store,
                         .clients = &it->clients,
                         .client = &it->client,
                         .commands = it->commands,
                         .row = command->row,
                         .argv = argv,
                         .argc = argc,
                         .reply = {&it->reply, it->client.resp}};
    if (!fe_command_arity_ok(command->row, argc))
        fe_call_arity_error(&it->call);
    else
        command->row->run(&it->call);
    return show(it);
}

const char *harness_run(harness *it, const char *request)
{
    fe_bytes argv[ARGS_MAX];
    uint32_t argc = 0;
    while (*request != 0) {
        FE_ASSERT(argc < ARGS_MAX);
        argv[argc++] = take_argument(&request);
    }
    return harness_run_bytes(it, argv, argc);
}
