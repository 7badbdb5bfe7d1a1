/* What the tests of frozen jobs share: a store whose keys are on disk, and segments that are mostly garbage. */
#ifndef FE_TESTS_STORE_FROZEN_RIG_H
#define FE_TESTS_STORE_FROZEN_RIG_H

#include "tests/store/frozen_fake.h"

#define KEYS 4000u

/* Keys 0..KEYS-1 in database 0, those of full segments on disk. */
static inline frozen_fake *cold_store(int64_t deadline)
{
    frozen_fake *t = frozen_new();
    fake_fill(t->d, 0, KEYS, deadline);
    fake_freeze_all(t->d);
    CHECK(fake_is_cold(t->d, 0) && fake_is_cold(t->d, KEYS / 2));
    frozen_later(t, 1000);
    return t;
}

static inline void check_keys(frozen_fake *t, uint32_t db, uint64_t first, uint64_t step)
{
    for (uint64_t i = first; i < KEYS; i += step)
        CHECK(frozen_has(t, db, i));
}

/* A byte of the key's record in its file. */
static inline uint8_t *record_byte(frozen_fake *t, uint64_t i, uint64_t at)
{
    fe_address home = fe_slot_address(*frozen_slot(t, 0, i));
    uint32_t n = fe_address_segment(home, fake_log(t->d)->offset_bits);
    return fake_file_of(t->d, n)->image + fe_address_offset(home, fake_log(t->d)->offset_bits) + at;
}

static inline uint32_t segment_of(frozen_fake *t, uint64_t i)
{
    return fe_address_segment(fe_slot_address(*frozen_slot(t, 0, i)), fake_log(t->d)->offset_bits);
}

/* Deletes three keys of four of a segment. */
static inline void make_victim(frozen_fake *t, uint32_t n)
{
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t *slot = frozen_slot(t, 0, i);
        if (i % 4 == 0 || slot == NULL) continue;
        fe_address address = fe_slot_address(*slot);
        if (fe_cache_holds(fake_log(t->d), address))
            address = fe_cache_home(fake_log(t->d), address);
        if (fe_address_segment(address, fake_log(t->d)->offset_bits) == n)
            CHECK(frozen_del(t, 0, i));
    }
}

/* So little room is left that all garbage is worth work; and the flush is behind, or not. */
static inline void tell_scarce(frozen_fake *t, bool behind)
{
    fe_frozen_disk disk = {.bytes = 1 << 30, .max = 1 << 30, .behind = behind};
    fe_frozen_tell(t->store, &disk);
}

/* A store with five segments that are mostly garbage. */
static inline frozen_fake *victims(void)
{
    frozen_fake *t = cold_store(FE_DEADLINE_NONE);
    for (unsigned i = 0; i < 5; i++)
        make_victim(t, segment_of(t, i * 500));
    tell_scarce(t, false);
    return t;
}

#endif
