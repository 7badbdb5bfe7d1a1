/* Tells the engine's insight of a command that has run. The engine's lock is held. */
#ifndef FE_SESSION_OBSERVE_H
#define FE_SESSION_OBSERVE_H

#include "command/command.h"

/* The same of a command whose keys nobody has hashed: one of a transaction, or of a very long batch. */
void fe_observe_unhashed(const fe_call *call, const fe_insight_use *use);

/* The handler is about to run. */
static inline void fe_observe_begin(const fe_call *call)
{
    const fe_command_row *row = call->row;
    fe_insight *insight = &call->engine->insight;
    if (FE_LIKELY(insight->prefixes == NULL) || row->keys[0].first == 0) return;
    uint32_t keys = (uint32_t)__builtin_popcountll(call->hash_known_mask);
    fe_insight_begin(insight, keys != 0 ? keys : FE_INSIGHT_KEYS_MAX);
}

/* `ticks`: that it took; `waited`: for the disk before, too; `before`: the length of the reply buffer when it began. */
static inline void fe_observe(const fe_call *call, uint64_t ticks, uint64_t waited, size_t before)
{
    const fe_command_row *row = call->row;
    fe_insight *insight = &call->engine->insight;
    if (!fe_insight_is_on(insight) || row->keys[0].first == 0 || (row->flags & FE_COLD)) return;
    fe_insight_use use = {.argv = call->argv,
                          .argc = call->argc,
                          .reply_bytes = call->reply.buf->len - before,
                          .ticks = ticks,
                          .waited = waited,
                          .hashes = call->hashes,
                          .keys = call->hash_known_mask,
                          .db = call->client->db,
                          .is_read = (row->flags & FE_READONLY) != 0,
                          .now_ms = call->engine->now_ms};
    if (FE_LIKELY(use.keys != 0))
        fe_insight_note(insight, &use);
    else
        fe_observe_unhashed(call, &use);
}

#endif
