/* Clients without sessions. */
#ifndef FE_TESTS_CLIENT_RIG_H
#define FE_TESTS_CLIENT_RIG_H

#include "client/client.h"

typedef struct client_rig {
    fe_engine *engine;
    fe_clients clients;
} client_rig;

void client_rig_open(client_rig *it, const char *password);

/* Asserts that all clients are closed and nothing of theirs is left. */
void client_rig_close(client_rig *it);

/* Opens a client; its wake function counts the calls in the client's `commands`. */
void client_rig_connect(client_rig *it, fe_client *client);

#endif
