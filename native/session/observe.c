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

static void note_put_off(const void *context, fe_bytes name, uint64_t hash)
{
    const fe_call *call = context;
    fe_engine *engine = call->engine;
    fe_insight_note_reads(&engine->insight, call->client->db, name, hash, 1, engine->now_ms);
}

void fe_observe_put_off(const fe_call *call)
{
    uint64_t count = fe_look_put_off(call->store) - call->engine->insight.put_off_before;
    fe_look_last_put_off(call->store, count, note_put_off, call);
}

void fe_observe_use(const fe_call *call, uint64_t ticks, uint64_t waited, size_t before)
{
    fe_insight_use use = {.argv = call->argv,
                          .argc = call->argc,
                          .reply_bytes = fe_call_replied(call, before),
                          .ticks = ticks,
                          .waited = waited,
                          .hashes = call->hashes,
                          .keys = call->hash_known_mask,
                          .db = call->client->db,
                          .is_read = (call->row->flags & FE_READONLY) != 0,
                          .now_ms = call->engine->now_ms};
    hashing it = {.call = call, .use = &use};
    if (use.keys == 0) { /* one of a transaction, or of a very long batch */
        (void)fe_command_keys(call->row, call->argc, add_key, &it);
        use.hashes = it.hashes;
    }
    fe_insight_note(&call->engine->insight, &use);
}
