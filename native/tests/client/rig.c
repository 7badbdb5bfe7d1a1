/* See rig.h. */
#include "tests/client/rig.h"

void client_rig_open(client_rig *it, const char *password)
{
    fe_engine_options options = {.store = {.databases = 4,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .seed = {1, 2}},
                                 .bulk_len_max = 1u << 20,
                                 .hz = 10};
    FE_ASSERT(strlen(password) < sizeof options.requirepass);
    strcpy(options.requirepass, password);
    it->engine = fe_engine_new(&options);
    FE_ASSERT(it->engine != NULL);
    fe_clients_init(&it->clients, it->engine);
}

void client_rig_close(client_rig *it)
{
    fe_clients_destroy(&it->clients);
    FE_ASSERT(it->clients.memory == 0 && it->clients.monitors == 0);
    FE_ASSERT(fe_alloc_used(&it->engine->alloc, FE_ALLOC_CLIENT) == 0);
    fe_engine_free(it->engine);
}

static void count_wake(fe_client *client)
{
    client->commands++;
}

void client_rig_connect(client_rig *it, fe_client *client)
{
    *client = (fe_client){.wake = count_wake};
    bool opened = fe_client_open(&it->clients, client, FE_BYTES("10.0.0.1:5000"),
                                 FE_BYTES("10.0.0.2:6379"), false, 9);
    FE_ASSERT(opened);
}
