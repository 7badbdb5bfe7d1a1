/* Counting a command that has run: its statistics, durations, slow log and latency events, and the
 * stages of a measured group.
 *
 * Threads: the engine's lock is held.
 */
#ifndef FE_SESSION_COUNT_H
#define FE_SESSION_COUNT_H

#include "session/run.h"

/* Counts a command that ran from *ticks until now. DEBUG SLEEP counts as if it had slept
 * already. */
void fe_count(const fe_run *it, uint64_t *ticks);

/* Counts a command that took so many ticks, beside those until it waited for the disk. */
void fe_count_ticks(const fe_run *it, uint64_t took);

/* While the stages are measured, every command says when its keys were looked up, and what it reads and writes. */
void fe_count_begin(fe_run *it);

#endif
