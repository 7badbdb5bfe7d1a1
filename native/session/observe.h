/* Tells the engine's insight of a command that has run. The engine's lock is held. */
#ifndef FE_SESSION_OBSERVE_H
#define FE_SESSION_OBSERVE_H

#include "command/command.h"
#include "store/look.h"

/* The slow part: some key of the command is looked at, or it has several, or nobody has hashed them. */
__attribute__((noinline)) void fe_observe_use(const fe_call *call, uint64_t ticks, uint64_t waited,
                                              size_t before);

/* Tells of the reads that what the command wrote has caused (store/fetch_settle.h): behind its use of the keys, so that
 * a prefix that comes in with it has them too. */
__attribute__((noinline)) void fe_observe_put_off(const fe_call *call);

/* The handler is about to run. */
static inline void fe_observe_begin(const fe_call *call)
{
    const fe_command_row *row = call->row;
    fe_insight *insight = &call->engine->insight;
    if (FE_LIKELY(!fe_insight_wants_reads(insight)) || row->keys[0].first == 0) return;
    if (row->flags & FE_WRITE) insight->put_off_before = fe_look_put_off(call->store);
    uint32_t keys = (uint32_t)__builtin_popcountll(call->hash_known_mask);
    fe_insight_begin(insight, keys != 0 ? keys : FE_INSIGHT_KEYS_MAX);
}

/* `ticks`: that it took; `waited`: for the disk before, too, and EXEC for the commands in it; `before`: the length of the
 * reply buffer when it began. */
static inline void fe_observe(const fe_call *call, uint64_t ticks, uint64_t waited, size_t before)
{
    const fe_command_row *row = call->row;
    fe_insight *insight = &call->engine->insight;
    if (!fe_insight_is_on(insight) || row->keys[0].first == 0 || (row->flags & FE_COLD)) return;
    /* Most commands have one key, of which nobody wants to know more than that it was used. */
    uint64_t keys = call->hash_known_mask;
    bool is_read = (row->flags & FE_READONLY) != 0;
    bool passes = FE_LIKELY(keys != 0 && (keys & (keys - 1)) == 0) &&
                  FE_LIKELY(fe_insight_pass(insight, call->hashes[__builtin_ctzll(keys)], is_read));
    if (!passes) fe_observe_use(call, ticks, waited, before);
    if (FE_UNLIKELY(fe_insight_wants_reads(insight)) && (row->flags & FE_WRITE) &&
        fe_look_put_off(call->store) != insight->put_off_before)
        fe_observe_put_off(call);
}

#endif
