/* What the files of the frozen jobs share (store/frozen.h). */
#ifndef FE_STORE_FROZEN_JOB_H
#define FE_STORE_FROZEN_JOB_H

#include "store/store.h"

#define FE_FROZEN_REST_MS 1000 /* before something that was left is met again */

/* What is to be done next. */
typedef struct fe_frozen_choice {
    fe_frozen_purpose purpose;
    uint32_t segment;
} fe_frozen_choice;

/* frozen_pick.c: bounded. False: nothing. */
bool fe_frozen_pick(fe_store *store, fe_frozen_choice *choice);
/* Gives credits for the time that has passed and for what was appended. */
void fe_frozen_credits(fe_store *store);
/* Whether live records may be appended to the log again now. */
bool fe_frozen_may_move(const fe_store *store);
/* Tells the jobs of the disk's state as it is now. */
void fe_frozen_look(fe_store *store);
/* Bytes of garbage in files that are not worth a move now. */
uint64_t fe_frozen_garbage_allowed(const fe_store *store);
/* frozen_debt.c: finds out whether there is nearly too much garbage. */
void fe_frozen_strain(fe_store *store);
/* Bytes by which the files, or as many of them as there are too many, are over what eviction keeps free; 0:
 * none. */
uint64_t fe_frozen_over(const fe_store *store);

/* Bytes of garbage in files, but for what compaction cannot give back. */
static inline uint64_t fe_frozen_garbage(const fe_store *store)
{
    const fe_log_frozen *frozen = &store->log.frozen;
    return frozen->used - frozen->live - frozen->lost;
}

/* frozen_read.c. Whether the bytes are the record that its entry tells of, undamaged. Any thread. */
bool fe_frozen_is_sound(const fe_frozen_job *job, const fe_frozen_item *item, const uint8_t *data);

static inline bool fe_frozen_is_volatile(const fe_store *store)
{
    return store->options.policy >= FE_POLICY_VOLATILE_LRU;
}

static inline bool fe_frozen_has_file(const fe_segment *segment)
{
    return segment->tier == FE_TIER_MAPPED || segment->tier == FE_TIER_DISK;
}

#endif
