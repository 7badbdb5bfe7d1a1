/* See observe.h. */
#include "session/observe.h"

#include "store/keyspace.h"

typedef struct hashing {
    const fe_call *call;
    fe_insight_use *use;
    uint64_t hashes[FE_INSIGHT_KEYS_MAX];
} hashing;

static void add_key(void *context, uint32_t index, uint32_t flags)
{
    hashing *it = context;
    if (index >= FE_INSIGHT_KEYS_MAX || (flags & FE_KEY_NOT_KEY)) return;
    it->hashes[index] = fe_key_hash(fe_store_seed(it->call->store), it->call->argv[index]);
    it->use->keys |= 1ULL << index;
}

void fe_observe_unhashed(const fe_call *call, const fe_insight_use *use)
{
    fe_insight_use hashed = *use;
    hashing it = {.call = call, .use = &hashed};
    (void)fe_command_keys(call->row, call->argc, add_key, &it);
    hashed.hashes = it.hashes;
    fe_insight_note(&call->engine->insight, &hashed);
}
