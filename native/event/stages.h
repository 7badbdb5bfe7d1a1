/* Where the time of commands goes: how long each stage of their way took.
 *
 *     readable  received   asked    entered   begun     located   ended      left       sent
 *        | receive |  parse  |  queue  | dispatch | lookup | execute | serialise | write |
 *        +----------- of the batch that was read -------+--- of each command ---+- group +
 *
 * A group of more commands than a batch takes is read and run in several: what a later one waits for those
 * before it belongs to queue.
 *
 * Reading the clock so often would cost more than a hundredth of a small command, so it is done for one
 * group in FE_STAGES_EVERY of each serving thread: shapes and quantiles are those of all commands, counts are
 * not. Only waits for the disk are all counted, since they are rare and dear.
 *
 * Of the commands of these groups the sizes of values are counted as well.
 *
 * Threads: it belongs to its serving thread, which adds to the histograms under the engine's lock. What
 * is known only after the lock has been left is added at the next entry.
 */
#ifndef FE_EVENT_STAGES_H
#define FE_EVENT_STAGES_H

#include "event/exponential.h"

#include <stdbool.h>

#define FE_STAGES_EVERY 16u
#define FE_STAGES_ENDED_MAX                                                                        \
    64u /* commands of one batch; of more, as EXEC runs, the rest has no end */

typedef enum fe_phase {
    FE_PHASE_RECEIVE,   /* from epoll_wait until all that is served together was received */
    FE_PHASE_PARSE,     /* reading the batch ahead */
    FE_PHASE_QUEUE,     /* behind the batches before it, and until the engine's lock was held */
    FE_PHASE_DISPATCH,  /* until its turn in the batch */
    FE_PHASE_LOOKUP,    /* until its last key was looked up; only of commands that look keys up */
    FE_PHASE_EXECUTE,   /* until its handler returned */
    FE_PHASE_DISK_WAIT, /* parked for records on disk */
    FE_PHASE_SERIALISE, /* from its reply until the batch was over */
    FE_PHASE_WRITE,     /* until all replies of the group were sent */
    FE_PHASE_COUNT
} fe_phase;

/* What sizes of values are told by. */
typedef enum fe_sized { FE_SIZED_GET, FE_SIZED_SET, FE_SIZED_COUNT } fe_sized;

/* How many values were read and written so far, and how many bytes they had. */
typedef struct fe_volumes {
    struct {
        uint64_t values, bytes;
    } of[FE_SIZED_COUNT];
} fe_volumes;

typedef struct fe_stages {
    bool on;              /* as the options were at the last entry of the lock */
    bool measuring;       /* this group */
    bool awaits_sent;     /* it was served, and not sent yet */
    uint32_t groups;      /* since the last that was measured */
    uint32_t commands;    /* of the group that is measured */
    uint32_t ended_count; /* of `ended`, which wait for `left` */
    uint64_t readable, received, entered;
    uint64_t left; /* the lock, last */
    uint64_t
        read_from; /* when the batch began to be read: `received`, or `left` by the one before it */
    uint64_t located; /* of the command that runs: written by whoever looks a key up; 0: none */
    uint64_t sent, sent_from; /* of a group that was sent; 0: none waits to be added */
    uint32_t sent_commands;
    uint64_t ended[FE_STAGES_ENDED_MAX];
    fe_volumes volumes; /* before the command that runs */
    fe_exponential phases[FE_PHASE_COUNT];
    fe_exponential sizes
        [FE_SIZED_COUNT]; /* in bytes; one less decides the bucket, whose end counts to it so */
} fe_stages;

/* As /metrics has it: "receive", "parse", ... */
const char *fe_phase_name(fe_phase phase);

/* Whether the next group will be measured: then `readable` is wanted. */
static inline bool fe_stages_is_due(const fe_stages *stages)
{
    return stages->on && stages->groups + 1 >= FE_STAGES_EVERY;
}

/* A group is about to be served; false: it is not measured. */
bool fe_stages_serve(fe_stages *stages);

/* All of the group has been received, `now` in ticks. */
static inline void fe_stages_received(fe_stages *stages, uint64_t now)
{
    stages->received = stages->read_from = now;
}

/* The lock was asked for and entered, for a batch of `commands`; `units_q20`: units per tick, times 2^20.
 * Under the lock. */
void fe_stages_enter(fe_stages *stages, bool on, uint64_t units_q20, uint64_t asked,
                     uint64_t entered, uint32_t commands);

/* It was left, `now` in ticks. */
static inline void fe_stages_left(fe_stages *stages, uint64_t now)
{
    stages->left = stages->read_from = now;
}

/* A command of a measured group has ended; times in ticks, `located` 0 when it looked no key up. Under the lock. */
void fe_stages_command(fe_stages *stages, uint64_t units_q20, uint64_t begun, uint64_t located,
                       uint64_t ended);

/* The same command has read and written what `now` has more than `volumes`: counts the size of a value that was the
 * only one; of several only their sum is known. Under the lock. */
void fe_stages_values(fe_stages *stages, const fe_volumes *now);

/* Adds one duration, in ticks. Under the lock. */
void fe_stages_add(fe_stages *stages, fe_phase phase, uint64_t units_q20, uint64_t ticks);

/* The group was served: no further command belongs to it. */
void fe_stages_served(fe_stages *stages);

/* Its replies were sent, `now` in ticks. */
void fe_stages_sent(fe_stages *stages, uint64_t now);

/* Forgets what was counted; what waits for the next entry is added still. Under the lock, any thread. */
void fe_stages_reset(fe_stages *stages);

#endif
