/* What the tests of stop and start share: a tiered store whose process ends, and one that begins in its folder. */
#ifndef FE_TESTS_STORE_SAVE_RIG_H
#define FE_TESTS_STORE_SAVE_RIG_H

#include "store/save.h"
#include "tests/store/tier_support.h"

#define SERVER "0.0.1"

static fe_save_report last;
static char error[FE_SAVE_ERROR_MAX];

static inline bool save(tiered *t)
{
    bool saved = fe_save_run(t->f.store, SERVER, &last, error);
    if (!saved) fprintf(stderr, "%s\n", error);
    return saved;
}

/* The process ends: memory, descriptors and the lock are gone. */
static inline void leave(tiered *t)
{
    fe_store_free(t->f.store);
    fe_device_close(t->device);
    CHECK_INT(0, fe_alloc_used_all(&t->f.alloc));
    t->f.store = NULL;
    t->device = NULL;
}

/* Another process begins, with another seed. Returns whether the folder could be opened. */
static inline bool begin(tiered *t, fe_store_options options)
{
    char text[256];
    t->device = fe_device_open(&t->f.alloc, t->path, &t->calls, text);
    if (t->device == NULL) abort();
    options.device = t->device;
    options.seed.k0 ^= 99;
    t->f.store = fe_store_new(&t->f.alloc, &options);
    if (t->f.store == NULL) abort();
    fe_store_set_now(t->f.store, START_MS);
    if (!fe_save_open(t->f.store, &last, error)) return false;
    t->f.seed = *fe_store_seed(t->f.store);
    return true;
}

/* The store may change, and is not to be saved again. */
static inline void claim(tiered *t)
{
    CHECK(fe_save_claim(t->f.store, error));
    fe_save_discard(t->f.store);
}

static inline void restart(tiered *t)
{
    CHECK(save(t));
    leave(t);
    bool begun = begin(t, tiered_options());
    if (!begun) fprintf(stderr, "%s\n", error);
    CHECK(begun);
    claim(t);
    check_store(&t->f);
}

/* The record of a key, on disk; NULL: there is none. To be freed. */
static inline fe_record *cold(tiered *t, uint32_t db, fe_bytes name)
{
    const fe_index *index = &t->f.store->databases[db]->index;
    uint64_t hash = fe_key_hash(&t->f.seed, name);
    uint64_t *slot = NULL;
    while ((slot = fe_index_find_cold(index, hash, slot)) != NULL) {
        fe_record *record = read_cold(t, fe_slot_address(*slot));
        if (fe_bytes_equal(fe_record_key(record), name)) return record;
        free(record);
    }
    return NULL;
}

static inline bool cold_has(tiered *t, uint32_t db, uint64_t number, size_t len)
{
    static uint8_t buf[1 << 20];
    name_buf name;
    fe_record *record = cold(t, db, name_of(&name, number));
    if (record == NULL) return false;
    bool same = fe_bytes_equal(fe_record_value(record), value_of(buf, number, len));
    free(record);
    return same;
}

static inline void put(tiered *t, uint32_t db, uint64_t number, size_t len, int64_t deadline)
{
    static uint8_t buf[1 << 20];
    name_buf name;
    fe_bytes bytes = name_of(&name, number);
    (void)fe_store_step_index(t->f.store, 2);
    make_resident(t, db, bytes, fe_key_hash(&t->f.seed, bytes));
    CHECK(set(&t->f, db, bytes, value_of(buf, number, len), deadline));
}

static inline bool in_folder(const tiered *t, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", t->path, name);
    return access(path, F_OK) == 0;
}

/* A folder with a save of a store of all kinds. */
static inline void saved_folder(tiered *t)
{
    tiered_open(t, tiered_options());
    for (uint64_t i = 0; i < 400; i++)
        put(t, (uint32_t)i % 3, i, 200, i % 2 ? START_MS + 1000000 : FE_DEADLINE_NONE);
    CHECK(save(t));
    leave(t);
}

#endif
