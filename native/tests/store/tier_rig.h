/* Writing on to a store whose disk fails or is full, while the background threads do their part. */
#ifndef FE_TESTS_STORE_TIER_RIG_H
#define FE_TESTS_STORE_TIER_RIG_H

#include "tests/store/tier_support.h"

#define LEN 1000u

/* A key that may have the tag of one on disk. */
static inline void fill_one(tiered *t, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    make_resident(t, 0, name, fe_key_hash(&t->f.seed, name));
    fill(t, i, i + 1, LEN);
}

static inline void write_until_refused(tiered *t, fe_status status)
{
    uint64_t i = 0;
    fe_status now;
    while ((now = fe_store_make_room(t->f.store)) != status && i < 10000) {
        CHECK(now == FE_OK || now == FE_BUSY);
        if (now == FE_BUSY) (void)flush_sealed(t);
        if (now == FE_BUSY) (void)fe_tier_step(t->f.store, 65536);
        if (now == FE_BUSY) run_jobs(t);
        if (now == FE_OK) fill_one(t, i);
        i += now == FE_OK;
    }
    CHECK_INT(status, now);
}

/* One job over segments on disk, as the collector does it. */
static inline void collect(tiered *t)
{
    fe_frozen_job job = {0};
    for (unsigned i = 0; i < 20 && fe_frozen_begin(t->f.store, &job); i++) {
        fe_frozen_next next = FE_FROZEN_READ;
        for (unsigned k = 0; k < 1000 && next != FE_FROZEN_DONE && next != FE_FROZEN_WAIT; k++) {
            if (next == FE_FROZEN_READ) fe_frozen_read(t->device, &job);
            next = fe_frozen_step(t->f.store, &job);
        }
        fe_frozen_end(t->f.store, &job);
    }
    fe_frozen_job_close(&job);
}

/* Writes `count` keys, while the background threads do their part; how many could be written before
 * writes were refused for several seconds. */
static inline uint64_t write_on(tiered *t, uint64_t first, uint64_t count)
{
    uint64_t i = first;
    unsigned refused = 0;
    for (unsigned rounds = 0; i < first + count && rounds < 20000 && refused < 500; rounds++) {
        fe_status status = fe_store_make_room(t->f.store);
        refused = status == FE_NO_MEMORY ? refused + 1 : 0;
        if (status == FE_OK) {
            fill_one(t, i++);
            continue;
        }
        fe_store_set_now(t->f.store, fe_store_now(t->f.store) + 10);
        (void)fe_tier_step(t->f.store, 65536);
        (void)flush_sealed(t);
        collect(t);
        run_jobs(t);
    }
    return i - first;
}

#endif
