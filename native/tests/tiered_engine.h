/* An engine over a data folder, small enough that a few thousand keys go through all tiers. */
#ifndef FE_TESTS_TIERED_ENGINE_H
#define FE_TESTS_TIERED_ENGINE_H

#include "engine/flusher.h"
#include "engine/workers.h"

#include "tests/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TIERED_LEN 1000u /* of a value */

static inline fe_engine_options tiered_options(const char *path)
{
    fe_engine_options options = {.store = {.databases = 2,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .mutable_size = 1u << 20,
                                           .readonly_size = 1u << 19,
                                           .seed = {1, 2}},
                                 .slowlog_max = 4,
                                 .expire_effort = 1,
                                 .hz = 100};
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", path);
    return options;
}

/* The name of key `number` goes to `name`. */
static inline void tiered_locate(fe_engine *engine, uint64_t number, char *name, size_t size,
                                 fe_key *key)
{
    int len = snprintf(name, size, "key:%" PRIu64, number);
    fe_bytes bytes = {(const uint8_t *)name, (size_t)len};
    fe_key_find(engine->store, 0, bytes, fe_key_hash(fe_store_seed(engine->store), bytes), false,
                key);
}

/* As a session does it, but that it tries again where that would park. */
static inline void tiered_put(fe_engine *engine, uint64_t number)
{
    fe_status status;
    do {
        uint64_t entered = fe_engine_enter(engine);
        status = fe_store_make_room(engine->store);
        if (status == FE_OK) {
            char name[32];
            fe_key key;
            tiered_locate(engine, number, name, sizeof name, &key);
            uint8_t *value =
                fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, TIERED_LEN, FE_DEADLINE_NONE);
            FE_ASSERT(value != NULL);
            memset(value, (int)(number & 255u), TIERED_LEN);
        }
        fe_engine_leave(engine, FE_STEP_BATCH, entered);
        if (status == FE_BUSY && engine->flusher == NULL) (void)fe_workers_round(engine);
    } while (status == FE_BUSY);
    CHECK_INT(FE_OK, status);
}

#endif
