/* Jobs over frozen segments against a naive table: a job is at work, one step at a time, while keys
 * are written, read, deleted, expire and are flushed, and segments leave for the disk. */
#include "tests/store/frozen_fake.h"

#define KEYS 1500u
#define DBS 2u

typedef struct entry {
    bool present;
    int64_t deadline;
    uint32_t version;
} entry;

typedef struct model {
    frozen_fake *t;
    fe_random random;
    entry table[DBS][KEYS];
    bool evicts;
} model;

static uint64_t below(model *m, uint64_t bound)
{
    return fe_random_below(&m->random, bound);
}

static entry *entry_at(model *m, uint32_t db, uint32_t k)
{
    entry *e = &m->table[db][k];
    if (e->present && e->deadline != 0 && e->deadline < fe_store_now(m->t->store))
        *e = (entry){.version = e->version};
    return e;
}

static size_t value_len(uint32_t db, uint32_t k, uint32_t version)
{
    return k % 97 == 5 ? 20000 + version % 7 : 40 + (k * 31 + version * 17 + db) % 300;
}

static void value_make(uint8_t *to, size_t len, uint32_t db, uint32_t k, uint32_t version)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(i * 7 + k * 13 + version * 5 + db);
}

/* Finds the key, in memory, and compares it with the table's. */
static void open_key(model *m, uint32_t db, uint32_t k, fe_need need, name_buf *buf, fe_key *key)
{
    frozen_fetch(m->t, db, k, need);
    find(&m->t->d->f, db, name_of(buf, k), key);
    entry *e = entry_at(m, db, k);
    if (m->evicts && !fe_key_exists(key)) e->present = false;
    CHECK_INT(e->present, fe_key_exists(key));
    if (!e->present || !fe_key_exists(key)) return;
    size_t len = value_len(db, k, e->version);
    uint8_t *wanted = malloc(len);
    value_make(wanted, len, db, k, e->version);
    fe_bytes value = fe_record_value(key->record);
    CHECK(value.len == len && memcmp(value.ptr, wanted, len) == 0);
    CHECK_INT(e->deadline, fe_record_deadline(key->record));
    free(wanted);
}

static int64_t random_deadline(model *m)
{
    if (below(m, 3) != 0) return FE_DEADLINE_NONE;
    return fe_store_now(m->t->store) + 1 + (int64_t)below(m, below(m, 2) == 0 ? 1000000 : 20000);
}

static void op_write(model *m, uint32_t db, uint32_t k)
{
    name_buf buf;
    fe_key key;
    entry *e = entry_at(m, db, k);
    fe_waiter waiter = {0};
    fe_bytes name = name_of(&buf, k);
    uint64_t hash = fe_key_hash(&m->t->d->f.seed, name);
    while (!fe_fetch_key(m->t->store, db, name, hash, FE_NEED_BLIND, &waiter))
        fake_complete_all(m->t->d);
    find(&m->t->d->f, db, name, &key);
    int64_t deadline = random_deadline(m);
    size_t len = value_len(db, k, e->version + 1);
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, deadline);
    CHECK(at != NULL);
    *e = (entry){true, deadline, e->version + 1};
    if (at != NULL) value_make(at, len, db, k, e->version);
    fe_waiter_close(m->t->store, &waiter);
    if (below(m, 4) != 0) fake_complete_all(m->t->d); /* else it stays unsettled for a while */
}

static void op_read(model *m, uint32_t db, uint32_t k)
{
    name_buf buf;
    fe_key key;
    open_key(m, db, k, FE_NEED_READ, &buf, &key);
}

static void op_delete(model *m, uint32_t db, uint32_t k)
{
    name_buf buf;
    fe_key key;
    open_key(m, db, k, FE_NEED_REMOVE, &buf, &key);
    if (fe_key_exists(&key)) fe_key_delete(&key);
    entry_at(m, db, k)->present = false;
}

static void op_freeze(model *m)
{
    fe_log *log = fake_log(m->t->d);
    for (uint32_t n = 1; n <= log->high; n++) {
        if (fake_is_full(m->t->d, n) && below(m, 2) == 0) fake_map(m->t->d, n);
        if (log->segments[n].tier == FE_TIER_MAPPED && log->files[n].pins == 0 && below(m, 3) == 0)
            fake_demote(m->t->d, n);
    }
}

static void op_flush(model *m, uint32_t db)
{
    CHECK_INT(FE_OK, fe_store_flush(m->t->store, db, below(m, 2) == 0));
    for (uint32_t k = 0; k < KEYS; k++)
        m->table[db][k].present = false;
}

static void op_background(model *m)
{
    switch (below(m, 8)) {
    case 0: op_freeze(m); break;
    case 1: (void)fe_store_step_index(m->t->store, 4); break;
    case 2: (void)fe_store_step_compact(m->t->store, 20000); break;
    case 3: (void)fe_store_step_expire(m->t->store, 100); break;
    case 4: frozen_later(m->t, (int64_t)below(m, 100)); break;
    case 5: empty_trash(&m->t->d->f); break;
    default: (void)fe_cache_step(m->t->store, 5000);
    }
    if (!m->t->busy) fake_clean(m->t->d);
}

static void op_job(model *m)
{
    uint64_t bytes = 0;
    fe_log *log = fake_log(m->t->d);
    for (uint32_t n = 1; n <= log->high; n++)
        bytes += log->files[n].size;
    fe_frozen_disk disk = {.bytes = bytes,
                           .max = m->evicts ? 400000 : below(m, 2) * bytes,
                           .behind = below(m, 8) == 0};
    fe_frozen_tell(m->t->store, &disk);
    for (uint64_t i = below(m, 6); i > 0; i--)
        (void)frozen_advance(m->t);
    if (below(m, 300) == 0) frozen_stop(m->t); /* as when the server stops */
}

static void run_one(model *m)
{
    uint32_t db = (uint32_t)below(m, DBS), k = (uint32_t)below(m, KEYS);
    switch (below(m, 16)) {
    case 0:
    case 1:
    case 2:
    case 3: op_write(m, db, k); break;
    case 4:
    case 5: op_read(m, db, k); break;
    case 6:
    case 7: op_delete(m, db, k); break;
    case 8:
    case 9:
    case 10:
    case 11: op_background(m); break;
    default: op_job(m);
    }
    if (!m->evicts && below(m, 3000) == 0) op_flush(m, db);
}

static void compare_all(model *m)
{
    fake_complete_all(m->t->d);
    frozen_check(m->t);
    for (uint32_t db = 0; db < DBS; db++) {
        uint64_t present = 0;
        for (uint32_t k = 0; k < KEYS; k++) {
            op_read(m, db, k);
            present += entry_at(m, db, k)->present;
        }
        /* what has expired on disk, where nobody looked, is gone by now: it was just read */
        CHECK_INT(present, fe_store_db_size(m->t->store, db));
    }
    frozen_check(m->t);
}

static model *model_open(uint64_t seed, fe_policy policy)
{
    model *m = calloc(1, sizeof(*m));
    fe_store_options options = fixture_options();
    options.seed.k0 ^= seed;
    options.policy = policy;
    m->t = frozen_open(&options);
    fe_random_init(&m->random, seed);
    m->evicts = policy != FE_POLICY_NOEVICTION;
    return m;
}

static fe_frozen_stats model_close(model *m)
{
    fe_frozen_stats stats = frozen_stats(m->t);
    frozen_free(m->t);
    free(m);
    return stats;
}

static void run_phases(model *m, unsigned phases, unsigned steps)
{
    for (unsigned phase = 0; phase < phases && check_failures == 0; phase++) {
        for (unsigned i = 0; i < steps && check_failures == 0; i++)
            run_one(m);
        compare_all(m);
    }
}

static uint64_t seed_now;

TEST(the_store_equals_a_naive_table_while_jobs_are_at_work)
{
    fe_frozen_stats sum = {0};
    for (uint64_t round = 0; round < 3 && check_failures == 0; round++) {
        model *m = model_open(seed_now + round, FE_POLICY_NOEVICTION);
        run_phases(m, 5, 8000);
        fe_frozen_stats stats = model_close(m);
        for (unsigned i = 0; i < FE_FROZEN_PURPOSES; i++)
            sum.jobs[i] += stats.jobs[i];
        sum.moved_keys += stats.moved_keys;
        sum.expired_keys += stats.expired_keys;
        sum.swept_bytes += stats.swept_bytes;
        CHECK_INT(0, stats.evicted_keys + stats.damaged_records + stats.damaged_blocks);
    }
    CHECK(sum.jobs[FE_FROZEN_COMPACT] > 100 && sum.jobs[FE_FROZEN_EXPIRE] > 0);
    CHECK(sum.jobs[FE_FROZEN_RECOUNT] > 0 && sum.swept_bytes > 0);
    CHECK(sum.moved_keys > 1000 && sum.expired_keys > 0);
}

TEST(under_a_limit_of_the_disk_nothing_is_missing_but_what_was_evicted)
{
    static const fe_policy policies[] = {FE_POLICY_ALLKEYS_LRU, FE_POLICY_VOLATILE_LRU,
                                         FE_POLICY_VOLATILE_TTL};
    for (unsigned p = 0; p < 3 && check_failures == 0; p++) {
        model *m = model_open(seed_now + 10 + p, policies[p]);
        run_phases(m, 4, 8000);
        fe_frozen_stats stats = model_close(m);
        CHECK(stats.evicted_keys > 0);
    }
}

int main(void)
{
    seed_now = test_seed();
    RUN(the_store_equals_a_naive_table_while_jobs_are_at_work);
    RUN(under_a_limit_of_the_disk_nothing_is_missing_but_what_was_evicted);
    return check_done();
}
