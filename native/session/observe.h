/* Tells the engine's insight of a command that has run. The engine's lock is held. */
#ifndef FE_SESSION_OBSERVE_H
#define FE_SESSION_OBSERVE_H

#include "command/command.h"

/* The slow part: some key of the command is looked at, or it has several, or nobody has hashed them. */
__attribute__((noinline)) void fe_observe_use(const fe_call *call, uint64_t ticks, uint64_t waited,
                                              size_t before);

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
    /* Most commands have one key, of which nobody wants to know more than that it was used. */
    uint64_t keys = call->hash_known_mask;
    bool is_read = (row->flags & FE_READONLY) != 0;
    if (FE_LIKELY(keys != 0 && (keys & (keys - 1)) == 0) &&
        FE_LIKELY(fe_insight_pass(insight, call->hashes[__builtin_ctzll(keys)], is_read)))
        return;
    fe_observe_use(call, ticks, waited, before);
}

#endif
