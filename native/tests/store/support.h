/* What the tests of the store share: a store with an allocator, and short ways to set, get and
 * delete.
 */
#ifndef FE_TESTS_STORE_SUPPORT_H
#define FE_TESTS_STORE_SUPPORT_H

#include "store/keyspace.h"
#include "tests/check.h"

#include <time.h>

#define START_MS 1700000000000

typedef struct fixture {
    fe_alloc alloc;
    fe_store *store;
    fe_hash_seed seed;
} fixture;

static inline fe_store_options fixture_options(void)
{
    return (fe_store_options){.databases = 4,
                              .policy = FE_POLICY_NOEVICTION,
                              .samples = 5,
                              .lfu_log_factor = 10,
                              .lfu_decay_minutes = 1,
                              .segment_size = 64 << 10,
                              .seed = {0x0123456789abcdef, 0xfedcba9876543210}};
}

static inline void fixture_open(fixture *f, const fe_store_options *options)
{
    fe_alloc_init(&f->alloc);
    f->store = fe_store_new(&f->alloc, options);
    f->seed = options->seed;
    if (f->store == NULL) abort();
    fe_store_set_now(f->store, START_MS);
}

static inline void fixture_close(fixture *f)
{
    fe_store_free(f->store);
    CHECK_INT(0, fe_alloc_used_all(&f->alloc));
}

static inline void find(fixture *f, uint32_t db, fe_bytes name, fe_key *key)
{
    fe_key_find(f->store, db, name, fe_key_hash(&f->seed, name), false, key);
}

static inline bool set(fixture *f, uint32_t db, fe_bytes name, fe_bytes value, int64_t deadline)
{
    fe_key key;
    find(f, db, name, &key);
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, value.len, deadline);
    if (at == NULL) return false;
    if (value.len != 0) memcpy(at, value.ptr, value.len);
    return true;
}

static inline bool has(fixture *f, uint32_t db, fe_bytes name, fe_bytes value)
{
    fe_key key;
    find(f, db, name, &key);
    return fe_key_exists(&key) && fe_bytes_equal(fe_record_value(key.record), value);
}

static inline bool exists(fixture *f, uint32_t db, fe_bytes name)
{
    fe_key key;
    find(f, db, name, &key);
    return fe_key_exists(&key);
}

static inline bool del(fixture *f, uint32_t db, fe_bytes name)
{
    fe_key key;
    find(f, db, name, &key);
    if (!fe_key_exists(&key)) return false;
    fe_key_delete(&key);
    return true;
}

/* "key:<number>" in the caller's buffer. */
typedef struct name_buf {
    char text[32];
} name_buf;

static inline fe_bytes name_of(name_buf *buf, uint64_t number)
{
    int len = snprintf(buf->text, sizeof(buf->text), "key:%" PRIu64, number);
    return (fe_bytes){(const uint8_t *)buf->text, (size_t)len};
}

static inline void empty_trash(fixture *f)
{
    fe_trash trash;
    while (fe_store_trash_take(f->store, &trash))
        fe_trash_unmap(&f->alloc, &trash);
}

static inline void check_store(fixture *f)
{
    const char *wrong = fe_store_check(f->store);
    if (wrong != NULL) fprintf(stderr, "store: %s\n", wrong);
    CHECK(wrong == NULL);
}

/* FERRITE_TEST_SEED, or the time; printed so that a failure can be run again. */
static inline uint64_t test_seed(void)
{
    const char *text = getenv("FERRITE_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("seed %" PRIu64 " (FERRITE_TEST_SEED)\n", seed);
    return seed;
}

#endif
