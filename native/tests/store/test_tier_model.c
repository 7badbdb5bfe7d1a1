/* The tiered store against a naive table: random interleavings of writes, deletions, deadlines,
 * flushes of databases, seals, flush jobs in pieces, demotions, unmapping, and a disk that fails at
 * times. A key whose record is on disk is read from its file, checked, and put at the tail before
 * it is used, as the way up will do it.
 */
#include "tests/store/tier_support.h"

#define KEYS 400u
#define DBS 2u

typedef struct entry {
    bool present;
    int64_t deadline;
    uint64_t number; /* what the value follows from */
    size_t len;
} entry;

typedef struct model {
    tiered t;
    fe_random random;
    entry table[DBS][KEYS];
    int64_t now;
    uint64_t next; /* number */
    uint64_t thawed, refused, busy, flushes;
    fe_flush_job job;
    bool in_flush;
    fe_unmap_job unmap;
    bool in_unmap;
    fe_dead_job dead;
    bool in_dead;
    fe_frozen_job frozen;
    fe_frozen_next frozen_next;
    bool in_frozen;
    uint64_t frozen_jobs;
} model;

static uint8_t buf[70000];

static uint64_t below(model *m, uint64_t bound)
{
    return fe_random_below(&m->random, bound);
}

static entry *entry_at(model *m, uint32_t db, uint32_t k)
{
    entry *e = &m->table[db][k];
    if (e->present && e->deadline != 0 && e->deadline < m->now) e->present = false;
    return e;
}

/* Opens the key and compares it with the table. */
static void open_key(model *m, uint32_t db, uint32_t k, name_buf *name, fe_key *key)
{
    fe_bytes bytes = name_of(name, k);
    uint64_t hash = fe_key_hash(&m->t.f.seed, bytes);
    make_resident(&m->t, db, bytes, hash);
    fe_key_find(m->t.f.store, db, bytes, hash, below(m, 2) == 0, key);
    const entry *e = entry_at(m, db, k);
    CHECK_INT(e->present, fe_key_exists(key));
    if (!e->present || !fe_key_exists(key)) return;
    CHECK(fe_bytes_equal(value_of(buf, e->number, e->len), fe_record_value(key->record)));
    CHECK_INT(e->deadline, fe_record_deadline(key->record));
}

static size_t random_len(model *m)
{
    uint64_t kind = below(m, 40);
    if (kind == 0) return 20000 + below(m, 40000); /* has a segment of its own */
    return kind < 10 ? 1000 + below(m, 3000) : below(m, 300);
}

static int64_t random_deadline(model *m)
{
    return below(m, 4) == 0 ? m->now + 1 + (int64_t)below(m, 3000) : FE_DEADLINE_NONE;
}

static void op_write(model *m, uint32_t db, uint32_t k)
{
    fe_status status = fe_store_make_room(m->t.f.store);
    m->busy += status == FE_BUSY;
    m->refused += status == FE_IO;
    if (status != FE_OK) return;
    name_buf name;
    fe_key key;
    open_key(m, db, k, &name, &key);
    size_t len = random_len(m);
    int64_t deadline = random_deadline(m);
    uint8_t *at = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, deadline);
    CHECK(at != NULL);
    if (at == NULL) return;
    memcpy(at, value_of(buf, m->next, len).ptr, len);
    m->table[db][k] = (entry){true, deadline, m->next++, len};
}

static void op_change(model *m, uint32_t db, uint32_t k)
{
    name_buf name;
    fe_key key;
    open_key(m, db, k, &name, &key);
    entry *e = entry_at(m, db, k);
    if (!e->present) return;
    uint8_t *at;
    switch (below(m, 3)) {
    case 0: /* the same length, in place where it may be */
        at = fe_key_edit(&key);
        CHECK(at != NULL);
        memcpy(at, value_of(buf, m->next, e->len).ptr, e->len);
        e->number = m->next++;
        fe_key_changed(&key);
        break;
    case 1:
        e->deadline = random_deadline(m);
        CHECK_INT(FE_OK, fe_key_set_deadline(&key, e->deadline));
        break;
    default: fe_key_delete(&key); e->present = false;
    }
}

static void op_flush_database(model *m, uint32_t db)
{
    bool all = below(m, 3) == 0;
    CHECK_INT(FE_OK, all ? fe_store_flush_all(m->t.f.store, false)
                         : fe_store_flush(m->t.f.store, db, false));
    for (uint32_t d = 0; d < DBS; d++)
        for (uint32_t k = 0; (all || d == db) && k < KEYS; k++)
            m->table[d][k].present = false;
}

/* A flush, in three pieces with anything between. */
static void op_flush(model *m)
{
    if (!m->in_flush) {
        m->in_flush = fe_tier_flush_begin(m->t.f.store, &m->job);
        return;
    }
    if (m->job.fd < 0 && m->job.error == 0 && m->job.size == 0) {
        fe_tier_flush_run(m->t.device, &m->job);
        return;
    }
    m->flushes += m->job.fd >= 0;
    fe_tier_flush_end(m->t.f.store, &m->job);
    m->in_flush = false;
}

static void op_unmap(model *m)
{
    if (!m->in_unmap) {
        m->in_unmap = fe_tier_unmap_take(m->t.f.store, &m->unmap);
        return;
    }
    fe_tier_unmap_run(m->t.device, &m->unmap);
    fe_tier_unmap_done(m->t.f.store, &m->unmap);
    m->in_unmap = false;
}

static void op_dead(model *m)
{
    if (!m->in_dead) {
        m->in_dead = fe_tier_dead_take(m->t.f.store, &m->dead);
        return;
    }
    fe_tier_dead_run(m->t.device, &m->dead);
    fe_tier_dead_done(m->t.f.store, &m->dead);
    m->in_dead = false;
}

/* A job over a footer, step by step with anything between. */
static void op_frozen(model *m)
{
    fe_store *store = m->t.f.store;
    if (!m->in_frozen) {
        m->in_frozen = fe_frozen_begin(store, &m->frozen);
        m->frozen_next = FE_FROZEN_READ;
    } else if (m->frozen_next == FE_FROZEN_READ) {
        fe_frozen_read(m->t.device, &m->frozen);
        m->frozen_next = FE_FROZEN_STEP;
    } else if (m->frozen_next == FE_FROZEN_DONE || below(m, 100) == 0) {
        m->frozen_jobs += m->frozen_next == FE_FROZEN_DONE;
        fe_frozen_end(store, &m->frozen);
        m->in_frozen = false;
    } else {
        m->frozen_next = fe_frozen_step(store, &m->frozen);
    }
}

static void op_faults(model *m)
{
    static const int errors[] = {0, 0, 0, 0, 0, 0, 0, 0, EIO, ENOSPC};
    m->t.faults.write_error = errors[below(m, 10)];
    m->t.faults.take_error = errors[below(m, 10)];
    m->t.faults.map_refused = below(m, 5) == 0;
    m->t.faults.writes_short = below(m, 2) == 0;
}

static void op_step(model *m)
{
    fe_store *store = m->t.f.store;
    switch (below(m, 10)) {
    case 0: (void)fe_store_step_index(store, 4); break;
    case 1: (void)fe_store_step_expire(store, 200); break;
    case 2: (void)fe_store_step_compact(store, 20000); break;
    case 3:
    case 4: (void)fe_tier_step(store, 20000); break;
    case 5: empty_trash(&m->t.f); break;
    case 6:
        if (below(m, 20) == 0)
            (void)fe_tier_demote_all(store, (fe_tier)(FE_TIER_SEALED + below(m, 3)));
        break;
    case 7:
        if (below(m, 4) == 0) op_faults(m);
        break;
    default: m->now += (int64_t)below(m, 120); fe_store_set_now(store, m->now);
    }
}

static void run_one(model *m)
{
    uint32_t db = below(m, 5) == 0, k = (uint32_t)below(m, KEYS);
    switch (below(m, 32)) {
    case 0:
        if (below(m, 100) == 0) op_flush_database(m, db);
        break;
    case 1:
    case 2:
    case 3:
    case 4: op_change(m, db, k); break;
    case 5:
    case 6:
    case 7: op_flush(m); break;
    case 8: op_unmap(m); break;
    case 9: op_dead(m); break;
    case 14:
    case 15: op_frozen(m); break;
    case 10:
    case 11:
    case 12:
    case 13: op_step(m); break;
    default: op_write(m, db, k);
    }
}

static void compare_all(model *m)
{
    check_store(&m->t.f);
    for (uint32_t db = 0; db < DBS; db++) {
        uint64_t present = 0;
        for (uint32_t k = 0; k < KEYS && check_failures == 0; k++) {
            name_buf name;
            fe_key key;
            open_key(m, db, k, &name, &key);
            present += entry_at(m, db, k)->present;
        }
        if (check_failures == 0) CHECK_INT(present, fe_store_db_size(m->t.f.store, db));
    }
    check_store(&m->t.f);
}

static void jobs_end(model *m)
{
    memset(&m->t.faults, 0, sizeof(m->t.faults));
    while (m->in_flush)
        op_flush(m);
    while (m->in_unmap)
        op_unmap(m);
    while (m->in_dead)
        op_dead(m);
    if (m->in_frozen) fe_frozen_end(m->t.f.store, &m->frozen);
    fe_frozen_job_close(&m->frozen);
    fe_flush_job_close(&m->job);
}

static void run_model(model *m, uint64_t seed, const fe_store_options *options)
{
    memset(m, 0, sizeof(*m));
    tiered_open(&m->t, *options);
    fe_random_init(&m->random, seed);
    m->now = START_MS;
    m->job.fd = -1;
    for (unsigned phase = 0; phase < 8 && check_failures == 0; phase++) {
        for (unsigned i = 0; i < 4000 && check_failures == 0; i++)
            run_one(m);
        compare_all(m);
    }
    jobs_end(m);
    settle_tiers(&m->t);
    compare_all(m);
    run_jobs(&m->t);
    CHECK_INT(stats_of(&m->t).file_count, files_in_folder(&m->t));
    m->thawed = m->t.f.store->fetch.stats.reads;
    tiered_close(&m->t);
}

static uint64_t seed_now;

TEST(the_tiered_store_equals_a_naive_table_whatever_the_disk_does)
{
    model *m = malloc(sizeof(*m));
    uint64_t thawed = 0, refused = 0, busy = 0, flushes = 0, jobs = 0;
    for (uint64_t round = 0; round < 6 && check_failures == 0; round++) {
        fe_store_options options = tiered_options();
        options.databases = DBS;
        options.seed.k0 ^= seed_now + round;
        options.mutable_size = round % 2 ? 256u << 10 : 400u << 10;
        options.readonly_size = round % 3 ? 64u << 10 : 400u << 10;
        run_model(m, seed_now + round, &options);
        thawed += m->thawed;
        refused += m->refused;
        busy += m->busy;
        flushes += m->flushes;
        jobs += m->frozen_jobs;
    }
    CHECK(jobs > 50);
    printf("%" PRIu64 " flushes, %" PRIu64 " reads from disk, %" PRIu64 " busy, %" PRIu64
           " refused\n",
           flushes, thawed, busy, refused);
    CHECK(thawed > 100 && refused > 10 && busy > 10 && flushes > 50);
    free(m);
}

int main(void)
{
    seed_now = test_seed();
    RUN(the_tiered_store_equals_a_naive_table_whatever_the_disk_does);
    return check_done();
}
