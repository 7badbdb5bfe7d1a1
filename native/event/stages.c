/* See stages.h. */
#include "event/stages.h"

#include <string.h>

const char *fe_phase_name(fe_phase phase)
{
    static const char *const names[FE_PHASE_COUNT] = {
        [FE_PHASE_RECEIVE] = "receive",     [FE_PHASE_PARSE] = "parse",
        [FE_PHASE_QUEUE] = "queue",         [FE_PHASE_DISPATCH] = "dispatch",
        [FE_PHASE_LOOKUP] = "lookup",       [FE_PHASE_EXECUTE] = "execute",
        [FE_PHASE_DISK_WAIT] = "disk_wait", [FE_PHASE_SERIALISE] = "serialise",
        [FE_PHASE_WRITE] = "write",
    };
    return names[phase];
}

bool fe_stages_serve(fe_stages *stages)
{
    stages->awaits_sent = false;
    stages->commands = 0;
    stages->measuring = stages->on && ++stages->groups >= FE_STAGES_EVERY;
    if (stages->measuring) stages->groups = 0;
    return stages->measuring;
}

/* `count` commands took the same time, in ticks. Clocks of processors may differ by a little. */
static void add_many(fe_stages *stages, fe_phase phase, uint64_t units_q20, uint64_t from,
                     uint64_t to, uint32_t count)
{
    uint64_t units = to > from ? ((to - from) * units_q20) >> 20 : 0;
    fe_exponential_add_many(&stages->phases[phase], units, count);
}

/* What became known after the lock was left. */
static void add_late(fe_stages *stages, uint64_t units_q20)
{
    for (uint32_t i = 0; i < stages->ended_count; i++)
        add_many(stages, FE_PHASE_SERIALISE, units_q20, stages->ended[i], stages->left, 1);
    stages->ended_count = 0;
    if (stages->sent == 0) return;
    add_many(stages, FE_PHASE_WRITE, units_q20, stages->sent_from, stages->sent,
             stages->sent_commands);
    stages->sent = 0;
}

static uint64_t between(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

void fe_stages_enter(fe_stages *stages, bool on, uint64_t units_q20, uint64_t asked,
                     uint64_t entered, uint32_t commands)
{
    stages->on = on;
    if (stages->ended_count != 0 || stages->sent != 0) add_late(stages, units_q20);
    if (!stages->measuring) return;
    stages->entered = entered;
    stages->commands += commands;
    if (stages->readable != 0)
        add_many(stages, FE_PHASE_RECEIVE, units_q20, stages->readable, stages->received, commands);
    add_many(stages, FE_PHASE_PARSE, units_q20, stages->read_from, asked, commands);
    uint64_t queued = between(stages->received, stages->read_from) + between(asked, entered);
    add_many(stages, FE_PHASE_QUEUE, units_q20, 0, queued, commands);
}

void fe_stages_command(fe_stages *stages, uint64_t units_q20, uint64_t begun, uint64_t located,
                       uint64_t ended)
{
    add_many(stages, FE_PHASE_DISPATCH, units_q20, stages->entered, begun, 1);
    if (located > begun) {
        add_many(stages, FE_PHASE_LOOKUP, units_q20, begun, located, 1);
        begun = located;
    }
    add_many(stages, FE_PHASE_EXECUTE, units_q20, begun, ended, 1);
    if (stages->ended_count < FE_STAGES_ENDED_MAX) stages->ended[stages->ended_count++] = ended;
}

void fe_stages_values(fe_stages *stages, const fe_volumes *now)
{
    for (int i = 0; i < FE_SIZED_COUNT; i++) {
        if (now->of[i].values - stages->volumes.of[i].values != 1) continue;
        uint64_t bytes = now->of[i].bytes - stages->volumes.of[i].bytes;
        fe_exponential_add(&stages->sizes[i], bytes != 0 ? bytes - 1 : 0);
        stages->sizes[i].sum += bytes != 0;
    }
}

void fe_stages_add(fe_stages *stages, fe_phase phase, uint64_t units_q20, uint64_t ticks)
{
    add_many(stages, phase, units_q20, 0, ticks, 1);
}

void fe_stages_served(fe_stages *stages)
{
    stages->awaits_sent = stages->measuring;
    stages->measuring = false;
    stages->readable = 0;
}

void fe_stages_sent(fe_stages *stages, uint64_t now)
{
    stages->awaits_sent = false;
    stages->sent = now;
    stages->sent_from = stages->left;
    stages->sent_commands = stages->commands;
}

void fe_stages_reset(fe_stages *stages)
{
    memset(stages->phases, 0, sizeof stages->phases);
    memset(stages->sizes, 0, sizeof stages->sizes);
}
