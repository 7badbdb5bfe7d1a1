/* The store against a naive table: random interleavings of every operation and step, with small
 * segments. After each phase the whole table is compared and fe_store_check walks log and index.
 * Variants: with a failing allocator, with huge values, and with many databases and flushes.
 */
#include "tests/store/support.h"

#define KEYS 600
#define DBS 4

typedef struct entry {
    bool present, is_int;
    int64_t deadline;
    uint8_t *value;
    size_t len;
} entry;

typedef struct model {
    fixture f;
    fe_random random;
    entry table[DBS][KEYS];
    int64_t now;
    size_t len_max;
    uint64_t refused;
    bool evicts;      /* a key may be gone that the table still has */
    uint64_t evicted; /* how often that was seen */
    uint32_t keys;
} model;

static uint64_t below(model *m, uint64_t bound)
{
    return fe_random_below(&m->random, bound);
}

static void entry_clear(entry *e)
{
    free(e->value);
    *e = (entry){0};
}

static void entry_assign(entry *e, const uint8_t *value, size_t len, int64_t deadline)
{
    uint8_t *copy = malloc(len + 1);
    if (len != 0) memcpy(copy, value, len);
    bool is_int = e->is_int;
    entry_clear(e);
    *e = (entry){true, is_int, deadline, copy, len};
}

/* Forgets what has expired by the model's clock. */
static entry *entry_at(model *m, uint32_t db, uint32_t k)
{
    entry *e = &m->table[db][k];
    if (e->present && e->deadline != 0 && e->deadline < m->now) entry_clear(e);
    return e;
}

static fe_bytes key_name(model *m, name_buf *buf, uint32_t k)
{
    (void)m;
    if (k % 61 == 7) { /* a key longer than the small form holds */
        static char text[8][400];
        char *t = text[k % 8];
        memset(t, 'k', 300);
        int len = snprintf(t + 300, 100, ":%u", k);
        return (fe_bytes){(const uint8_t *)t, 300 + (size_t)len};
    }
    return name_of(buf, k);
}

static size_t random_len(model *m)
{
    switch (below(m, 16)) {
    case 0: return 0;
    case 1: return below(m, m->len_max);
    case 2: return 8 * below(m, 40);
    default: return below(m, 200);
    }
}

static int64_t random_deadline(model *m)
{
    if (below(m, 3) != 0) return FE_DEADLINE_NONE;
    return m->now + 1 + (int64_t)below(m, below(m, 4) == 0 ? 1000000 : 300);
}

static void open_key(model *m, uint32_t db, uint32_t k, name_buf *buf, fe_key *key)
{
    fe_bytes name = key_name(m, buf, k);
    fe_key_find(m->f.store, db, name, fe_key_hash(&m->f.seed, name), below(m, 2) == 0, key);
    entry *e = entry_at(m, db, k);
    if (m->evicts && e->present && !fe_key_exists(key)) {
        entry_clear(e);
        m->evicted++;
    }
    CHECK_INT(e->present, fe_key_exists(key));
    if (!e->present || !fe_key_exists(key)) return;
    fe_bytes value = fe_record_value(key->record);
    CHECK_BYTES(e->value, e->len, value.ptr, value.len);
    CHECK_INT(e->deadline, fe_record_deadline(key->record));
    CHECK_INT(e->is_int, (fe_record_flags(key->record) & FE_RECORD_INT) != 0);
}

static void op_write(model *m, uint32_t db, uint32_t k)
{
    name_buf buf;
    fe_key key;
    open_key(m, db, k, &buf, &key);
    entry *e = entry_at(m, db, k);
    fe_value_kind kind = (fe_value_kind)below(m, 3);
    size_t len = kind == FE_VALUE_INT ? 8 : random_len(m);
    int64_t deadline = below(m, 3) == 0 ? FE_DEADLINE_KEEP : random_deadline(m);
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, kind, len, deadline);
    if (at == NULL) {
        m->refused++;
        return;
    }
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)below(m, 256);
    int64_t effective = deadline != FE_DEADLINE_KEEP ? deadline : e->present ? e->deadline : 0;
    entry_assign(e, at, len, effective);
    e->is_int = kind == FE_VALUE_INT;
}

static void op_resize(model *m, uint32_t db, uint32_t k)
{
    name_buf buf;
    fe_key key;
    open_key(m, db, k, &buf, &key);
    entry *e = entry_at(m, db, k);
    if (!e->present || e->is_int) return;
    size_t len = below(m, 4) == 0 ? random_len(m) : e->len + below(m, 64);
    uint8_t *at = fe_key_resize(&key, len);
    if (at == NULL) {
        m->refused++;
        return;
    }
    e->value = realloc(e->value, len + 1);
    if (len > e->len) memset(e->value + e->len, 0, len - e->len);
    e->len = len;
    if (len == 0) return;
    size_t i = below(m, len);
    at[i] = e->value[i] = (uint8_t)below(m, 256);
    fe_key_changed(&key);
}

static void op_deadline(model *m, uint32_t db, uint32_t k)
{
    name_buf buf;
    fe_key key;
    open_key(m, db, k, &buf, &key);
    entry *e = entry_at(m, db, k);
    if (!e->present) return;
    int64_t deadline = random_deadline(m);
    if (fe_key_set_deadline(&key, deadline) == FE_OK)
        e->deadline = deadline;
    else
        m->refused++;
}

static void op_delete(model *m, uint32_t db, uint32_t k)
{
    name_buf buf;
    fe_key key;
    open_key(m, db, k, &buf, &key);
    entry *e = entry_at(m, db, k);
    if (!e->present) return;
    fe_key_delete(&key);
    CHECK(!fe_key_exists(&key));
    entry_clear(e);
}

/* Two fe_keys at once, as RENAME and COPY use them: finding the second may remove it, being
 * expired. */
static void op_copy(model *m, uint32_t db, uint32_t k)
{
    name_buf buf_from, buf_to;
    uint32_t to_k = (uint32_t)below(m, m->keys), to_db = (uint32_t)below(m, DBS);
    if (to_k % 61 == 7 || (to_k == k && to_db == db)) return;
    fe_key from, to;
    open_key(m, db, k, &buf_from, &from);
    entry *e = entry_at(m, db, k);
    if (!e->present) return;
    open_key(m, to_db, to_k, &buf_to, &to);
    int64_t deadline = below(m, 2) ? FE_DEADLINE_KEEP : random_deadline(m);
    if (fe_key_copy(&to, &from, deadline) != FE_OK) {
        m->refused++;
        return;
    }
    entry *target = entry_at(m, to_db, to_k);
    entry_assign(target, e->value, e->len, deadline == FE_DEADLINE_KEEP ? e->deadline : deadline);
    target->is_int = e->is_int;
    if (below(m, 2) == 0) return;
    fe_key_delete(&from);
    entry_clear(e);
}

static void op_flush(model *m, uint32_t db)
{
    bool all = below(m, 4) == 0;
    CHECK_INT(FE_OK, all ? fe_store_flush_all(m->f.store, below(m, 2) == 0)
                         : fe_store_flush(m->f.store, db, below(m, 2) == 0));
    for (uint32_t d = 0; d < DBS; d++)
        for (uint32_t k = 0; (all || d == db) && k < m->keys; k++)
            entry_clear(&m->table[d][k]);
}

static void op_swap(model *m, uint32_t db)
{
    uint32_t other = (uint32_t)below(m, DBS);
    fe_store_swap(m->f.store, db, other);
    if (other == db) return;
    entry *copy = malloc(sizeof(m->table[0]));
    memcpy(copy, m->table[db], sizeof(m->table[0]));
    memcpy(m->table[db], m->table[other], sizeof(m->table[0]));
    memcpy(m->table[other], copy, sizeof(m->table[0]));
    free(copy);
}

/* Under a limit it may find nothing to evict. */
static void step_make_room(model *m)
{
    fe_status status = fe_store_make_room(m->f.store);
    CHECK(status == FE_OK || status == FE_NO_MEMORY);
}

static void op_step(model *m)
{
    switch (below(m, 6)) {
    case 0: (void)fe_store_step_index(m->f.store, (uint32_t)below(m, 5)); break;
    case 1: (void)fe_store_step_expire(m->f.store, (uint32_t)below(m, 200)); break;
    case 2: (void)fe_store_step_compact(m->f.store, (uint32_t)below(m, 20000)); break;
    case 3: step_make_room(m); break;
    case 4: empty_trash(&m->f); break;
    default: m->now += (int64_t)below(m, 60); fe_store_set_now(m->f.store, m->now);
    }
}

static void run_one(model *m, bool flushes)
{
    uint32_t db = below(m, 4) == 0 ? (uint32_t)below(m, DBS) : 0;
    uint32_t k = (uint32_t)below(m, m->keys);
    switch (below(m, 24)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7: op_write(m, db, k); break;
    case 8:
    case 9: op_resize(m, db, k); break;
    case 10:
    case 11: op_deadline(m, db, k); break;
    case 12:
    case 13:
    case 14: op_delete(m, db, k); break;
    case 15:
    case 16: op_copy(m, db, k); break;
    case 17:
        if (flushes && below(m, 40) == 0) op_flush(m, db);
        if (flushes && below(m, 40) == 0) op_swap(m, db);
        break;
    default: op_step(m);
    }
}

static void compare_all(model *m)
{
    check_store(&m->f);
    for (uint32_t db = 0; db < DBS; db++) {
        uint64_t present = 0;
        for (uint32_t k = 0; k < m->keys; k++) {
            name_buf buf;
            fe_key key;
            open_key(m, db, k, &buf, &key);
            present += entry_at(m, db, k)->present;
        }
        CHECK_INT(present, fe_store_db_size(m->f.store, db));
    }
    check_store(&m->f);
}

static void model_open(model *m, uint64_t seed, size_t len_max, uint32_t keys)
{
    memset(m, 0, sizeof(*m));
    fe_store_options options = fixture_options();
    options.seed.k0 ^= seed;
    fixture_open(&m->f, &options);
    fe_random_init(&m->random, seed);
    m->now = START_MS;
    m->len_max = len_max;
    m->keys = keys;
}

static void model_close(model *m)
{
    for (uint32_t db = 0; db < DBS; db++)
        for (uint32_t k = 0; k < KEYS; k++)
            entry_clear(&m->table[db][k]);
    fixture_close(&m->f);
}

static uint64_t seed_now;

static void run_phases(model *m, unsigned phases, unsigned steps, bool flushes)
{
    for (unsigned phase = 0; phase < phases && check_failures == 0; phase++) {
        for (unsigned i = 0; i < steps && check_failures == 0; i++)
            run_one(m, flushes);
        compare_all(m);
    }
}

TEST(the_store_equals_a_naive_table_under_random_operations_and_steps)
{
    model *m = malloc(sizeof(*m));
    for (uint64_t round = 0; round < 6; round++) {
        model_open(m, seed_now + round, 3000, round % 2 ? KEYS : 40);
        run_phases(m, 12, 3000, round >= 2);
        model_close(m);
    }
    free(m);
}

TEST(values_up_to_the_large_form_and_with_segments_of_their_own_are_kept)
{
    model *m = malloc(sizeof(*m));
    model_open(m, seed_now + 100, 150000, 60);
    run_phases(m, 8, 800, true);
    model_close(m);
    free(m);
}

typedef struct scanned {
    bool seen[KEYS], stays[KEYS];
} scanned;

/* Names end in ":<number>". */
static void scan_see(void *context, const fe_record *record)
{
    scanned *s = context;
    fe_bytes key = fe_record_key(record);
    uint32_t k = 0, unit = 1;
    for (size_t i = key.len; i-- > 0 && key.ptr[i] != ':'; unit *= 10)
        k += (uint32_t)(key.ptr[i] - '0') * unit;
    s->seen[k] = true;
}

/* Writes, deletes and steps between two steps of a scan; what they touch does not stay. */
static void scan_disturb(model *m, scanned *s, uint64_t deletes_of_8)
{
    for (uint64_t i = below(m, 80); i > 0; i--) {
        uint32_t k = (uint32_t)below(m, m->keys);
        bool deletes = below(m, 8) < deletes_of_8;
        if (deletes || !entry_at(m, 0, k)->present) s->stays[k] = false;
        if (deletes)
            op_delete(m, 0, k);
        else
            op_write(m, 0, k);
        if (below(m, 4) == 0) op_step(m);
    }
    for (uint32_t k = 0; k < m->keys; k++)
        s->stays[k] = s->stays[k] && entry_at(m, 0, k)->present;
}

/* Returns how many keys stayed. */
static uint64_t scan_all(model *m, uint64_t deletes_of_8)
{
    scanned s = {0};
    for (uint32_t k = 0; k < m->keys; k++)
        s.stays[k] = entry_at(m, 0, k)->present;
    uint64_t cursor = 0, stayed = 0;
    do {
        cursor = fe_store_scan(m->f.store, 0, cursor, 1 + below(m, 12), scan_see, &s);
        scan_disturb(m, &s, deletes_of_8);
    } while (cursor != 0);
    for (uint32_t k = 0; k < m->keys; k++) {
        CHECK(!s.stays[k] || s.seen[k]);
        stayed += s.stays[k];
    }
    return stayed;
}

TEST(a_scan_among_random_operations_misses_no_key_that_stays)
{
    model *m = malloc(sizeof(*m));
    model_open(m, seed_now + 400, 200, KEYS);
    uint64_t stayed = 0;
    for (unsigned round = 0; round < 60 && check_failures == 0; round++) {
        stayed += scan_all(m, 0); /* grows */
        stayed += scan_all(m, 8); /* shrinks */
        check_store(&m->f);
    }
    fe_store_stats stats;
    fe_store_stats_get(m->f.store, &stats);
    CHECK(stayed > 1000);
    CHECK(stats.index_splits > 1000 && stats.index_merges > 1000);
    compare_all(m);
    model_close(m);
    free(m);
}

TEST(a_refused_allocation_leaves_the_store_as_it_was)
{
    model *m = malloc(sizeof(*m));
    uint64_t refused = 0;
    for (int64_t allowed = 0; allowed < 40; allowed++) {
        model_open(m, seed_now + 200 + (uint64_t)allowed, 40000, 200);
        run_phases(m, 1, (unsigned)(30 * allowed), false);
        fe_alloc_fail_after(&m->f.alloc, allowed / 4);
        run_phases(m, 2, 400, true);
        fe_alloc_fail_after(&m->f.alloc, -1);
        run_phases(m, 1, 400, true);
        refused += m->refused;
        model_close(m);
    }
    CHECK(refused > 0);
    free(m);
}

TEST(under_a_limit_nothing_is_missing_but_what_was_evicted)
{
    model *m = malloc(sizeof(*m));
    for (unsigned policy = FE_POLICY_ALLKEYS_LRU; policy <= FE_POLICY_VOLATILE_TTL; policy++) {
        bool allkeys = policy < FE_POLICY_VOLATILE_LRU;
        /* of some policies with values that have segments of their own */
        bool large = policy % 2 == 0;
        model_open(m, seed_now + 300 + policy, large ? 60000 : 12000, 400);
        fe_store_options options = *fe_store_get_options(m->f.store);
        options.memory_max = (allkeys ? 600u : 300u) << (large ? 11 : 10);
        options.policy = (fe_policy)policy;
        fe_store_set_options(m->f.store, &options);
        m->evicts = true;
        run_phases(m, 6, 3000, false);
        fe_store_stats stats;
        fe_store_stats_get(m->f.store, &stats);
        CHECK(m->evicted > 0);
        CHECK(stats.evicted_keys >=
              m->evicted); /* more: some had expired by the time they were missed */
        model_close(m);
    }
    free(m);
}

int main(void)
{
    seed_now = test_seed();
    RUN(the_store_equals_a_naive_table_under_random_operations_and_steps);
    RUN(values_up_to_the_large_form_and_with_segments_of_their_own_are_kept);
    RUN(a_scan_among_random_operations_misses_no_key_that_stays);
    RUN(a_refused_allocation_leaves_the_store_as_it_was);
    RUN(under_a_limit_nothing_is_missing_but_what_was_evicted);
    return check_done();
}
