/* The keys that take most of something: reads and writes, bytes, processor time, reads from disk.
 *
 * Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
 * Streams", ICDT 2005) over sampled uses, with exponential decay: what was seen a half-life ago counts
 * half. A key that is not in the table takes the place of the one with the least, and inherits its count
 * as its error; so every key whose share is above 1 / FE_HOT_KEYS is in the table, and a true count is
 * between `count - error` and `count`.
 *
 * Pure: no clock, no store. Threads: the owner's lock.
 */
#ifndef FE_ENGINE_HOTKEYS_H
#define FE_ENGINE_HOTKEYS_H

#include "base/alloc.h"
#include "base/bytes.h"

#define FE_HOT_KEYS 128u
#define FE_HOT_NAME_MAX 120u /* bytes of a key that are kept */

typedef struct fe_hot_key {
    double count; /* in a unit that grows with time: see fe_hot_table */
    double error; /* of it, at most; the same unit */
    uint32_t db;
    uint16_t name_len; /* that is kept */
    bool is_cut;       /* the name is longer */
    uint8_t name[FE_HOT_NAME_MAX];
} fe_hot_key;

/* Counts are kept as they would be at `origin_ms`: a use at a later time is made larger instead of all
 * older ones smaller. */
typedef struct fe_hot_table {
    uint64_t hashes[FE_HOT_KEYS];
    fe_hot_key keys[FE_HOT_KEYS];
    uint32_t count;
    uint32_t half_life_ms;
    int64_t origin_ms;
    int64_t since_ms; /* nothing was counted before */
    int64_t last_ms;  /* when something was counted last */
} fe_hot_table;

/* A table without keys. The half-life is at least a second. */
void fe_hot_clear(fe_hot_table *table, uint32_t half_life_ms, int64_t now_ms);

/* `amount` (> 0) of what is counted belongs to this key. Takes O(FE_HOT_KEYS). */
void fe_hot_add(fe_hot_table *table, fe_bytes name, uint64_t hash, uint32_t db, double amount,
                int64_t now_ms);

/* A key of a table as it is told. */
typedef struct fe_hot_line {
    const fe_hot_key *key;
    double per_second; /* never too low, but for what sampling missed */
    double error;      /* the true figure is at most so much below */
} fe_hot_line;

/* The keys with the most, the first first; returns how many, at most FE_HOT_KEYS. */
uint32_t fe_hot_list(const fe_hot_table *table, int64_t now_ms, fe_hot_line lines[FE_HOT_KEYS]);

#endif
