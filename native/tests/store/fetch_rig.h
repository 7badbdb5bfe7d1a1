/* What the tests of reads from disk share: a store whose keys are on disk, and short ways to ask for them. */
#ifndef FE_TESTS_STORE_FETCH_RIG_H
#define FE_TESTS_STORE_FETCH_RIG_H

#include "tests/store/disk_fake.h"

static uint32_t woken;

static inline void count_wake(fe_waiter *waiter)
{
    (void)waiter;
    woken++;
}

static inline fe_bytes text(const char *s)
{
    return (fe_bytes){(const uint8_t *)s, strlen(s)};
}

/* 2,000 keys, those of full segments on disk; the caller frees it. */
static inline fake_disk *cold_store(void)
{
    fake_disk *d = fake_new();
    fe_cache_set_budget(d->f.store, 1 << 20);
    fake_fill(d, 0, 2000, FE_DEADLINE_NONE);
    fake_freeze_all(d);
    CHECK(fake_is_cold(d, 0) && fake_is_cold(d, 1000));
    check_store(&d->f);
    woken = 0;
    return d;
}

static inline bool fetch_number(fake_disk *d, uint64_t i, fe_need need, fe_waiter *waiter)
{
    name_buf buf;
    return fake_fetch(d, name_of(&buf, i), need, waiter);
}

/* SET key:<i> without reading it. */
static inline void set_blindly(fake_disk *d, uint64_t i, const char *value, int64_t deadline)
{
    fe_waiter a = {.wake = count_wake};
    name_buf buf;
    CHECK(fetch_number(d, i, FE_NEED_BLIND, &a));
    CHECK(set(&d->f, 0, name_of(&buf, i), text(value), deadline));
    fe_waiter_close(d->f.store, &a);
}

/* Takes what is due, without hurrying anything. */
static inline uint32_t take_due(fake_disk *d)
{
    uint32_t count = fe_fetch_take(d->f.store, d->reads + d->count, FAKE_READS - d->count);
    d->count += count;
    return count;
}

#endif
