/* Segments made by hand, and files in memory, for the tests of the segment file. */
#ifndef FE_TESTS_STORE_SEGMENT_H
#define FE_TESTS_STORE_SEGMENT_H

#include "base/random.h"
#include "store/image.h"
#include "tests/check.h"

#define SEGMENT_SEED ((fe_hash_seed){0x0123456789abcdef, 0xfedcba9876543210})

typedef struct segment {
    uint8_t *base;
    size_t used, capacity;
} segment;

static inline segment segment_new(size_t capacity)
{
    segment s = {malloc(capacity), 0, capacity};
    if (s.base == NULL) abort();
    memset(s.base, 0xee, capacity); /* what was there before */
    return s;
}

static inline void segment_free(segment *s)
{
    free(s->base);
}

/* A record as the store writes it; `cap` is the value's capacity in the large form. Its offset. */
static inline size_t put_record(segment *s, unsigned flags, fe_bytes key, fe_bytes value,
                                size_t cap, int64_t deadline, uint32_t keyspace)
{
    bool is_large = (flags & FE_RECORD_LARGE) != 0;
    size_t size = fe_record_size_for(flags, key.len, is_large ? cap : value.len), at = s->used;
    fe_record *record = (fe_record *)(s->base + at);
    if (size > s->capacity - at) abort();
    uint64_t lengths = is_large ? 0 : (uint64_t)key.len << 8 | (uint64_t)value.len << 16;
    record->word = FE_TYPE_STRING | flags << 4 | lengths | (uint64_t)keyspace << 32;
    fe_record_set_access(record, 0xabcde);
    if (is_large) {
        fe_record_store32(record, 8, (uint32_t)key.len);
        fe_record_store32(record, 12, (uint32_t)value.len);
        fe_record_store32(record, 16, (uint32_t)cap);
        fe_record_store32(record, 20, 0);
    }
    if (flags & FE_RECORD_EXPIRY) memcpy(s->base + at + (is_large ? 24 : 8), &deadline, 8);
    memcpy(s->base + at + fe_record_head_len(flags), key.ptr, key.len);
    memcpy(fe_record_value_ptr(record), value.ptr, value.len);
    s->used += size;
    return at;
}

static inline size_t put_plain(segment *s, const char *key, const char *value)
{
    return put_record(s, 0, (fe_bytes){(const uint8_t *)key, strlen(key)},
                      (fe_bytes){(const uint8_t *)value, strlen(value)}, 0, 0, 1);
}

static inline void put_filler(segment *s, size_t size)
{
    uint64_t word = (uint64_t)(size / 8) << 8 | (uint64_t)0x5aa5
                                                    << 40; /* an upper half of before */
    memcpy(s->base + s->used, &word, 8);
    s->used += size;
}

/* Records of all forms and fillers, about `bytes` of them. */
static inline void put_random(segment *s, fe_random *random, size_t bytes, bool deadlines)
{
    static const uint8_t noise[600] = {1, 2, 3, 0, 255};
    while (s->used < bytes) {
        unsigned flags = (unsigned)fe_random_below(random, 4);
        size_t key_len = fe_random_below(random, 40), value_len = fe_random_below(random, 500);
        if (!deadlines) flags &= ~(unsigned)FE_RECORD_EXPIRY;
        if (fe_random_below(random, 5) == 0) {
            flags |= FE_RECORD_INT;
            value_len = 8;
        }
        int64_t deadline =
            fe_random_below(random, 4) == 0 ? 0 : (int64_t)fe_random_below(random, 1ull << 41);
        put_record(s, flags, (fe_bytes){noise, key_len}, (fe_bytes){noise + 3, value_len},
                   value_len + fe_random_below(random, 30), deadline,
                   1 + (uint32_t)fe_random_below(random, 3));
        if (fe_random_below(random, 6) == 0) put_filler(s, 8 + 8 * fe_random_below(random, 30));
    }
}

/* A file in memory. */
typedef struct file {
    uint8_t *data;
    size_t size;
    fe_image_head head;
} file;

static inline file file_of(const segment *s, fe_image_dead *is_dead, void *context)
{
    fe_image_source source = {.base = s->base,
                              .used = s->used,
                              .number = 7,
                              .generation = 3,
                              .sequence = 99,
                              .created_ms = 1700000000123,
                              .seed = SEGMENT_SEED,
                              .is_dead = is_dead,
                              .context = context};
    fe_image_plan plan = fe_image_plan_make(s->base, s->used);
    file f = {malloc(plan.size_max), 0, {0}};
    if (f.data == NULL) abort();
    memset(f.data, 0xdd, plan.size_max); /* what is not written is seen */
    f.size = fe_image_build(&source, &plan, f.data, &f.head);
    CHECK(f.size <= plan.size_max);
    return f;
}

static inline void file_free(file *f)
{
    free(f->data);
}

#endif
