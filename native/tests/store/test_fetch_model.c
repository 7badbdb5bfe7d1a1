/* Cold keys against a plain table: sessions whose commands look up, park and run, segments that leave
 * memory, reads that come in any order, late, broken or not at all, flushes and swaps under way,
 * indexes that grow and shrink (short tags), a cache that drops. The store is checked all the time,
 * slots of records on disk included.
 */
#include "tests/store/disk_fake.h"

#define KEYS 6000
#define DBS 3
#define SESSIONS 24
#define COMMAND_KEYS 5
#define VALUE_MAX 300
#define TWINS 300             /* keys whose tags are those of another key */
#define NUMBERS_MAX (1 << 20) /* in names */

typedef struct entry {
    bool present;
    uint32_t version; /* says what the value is */
    int64_t deadline;
} entry;

typedef enum verb { GET, SET, SETNX, APPEND, DEL, EXPIRE, RENAME, COUNT, RANDOM, SCAN, VERBS } verb;

typedef struct session {
    fe_waiter waiter;
    bool busy, ready;
    verb verb;
    uint32_t db, keys;
    uint32_t key[COMMAND_KEYS];
    uint64_t cursor;
} session;

typedef struct model {
    fake_disk *d;
    fe_random random;
    entry table[DBS][KEYS];
    session sessions[SESSIONS];
    int64_t now;
    uint32_t version, keys;
    unsigned fault_share; /* of 1000 reads */
    uint64_t lost, errors, parked, ran, runs_of[VERBS];
    bool refuses; /* the allocator fails now and then */
    bool flushed; /* records of dead keyspaces may be counted as live */
} model;

/* Keys 2 i and 2 i + 1, i < TWINS / 2, have the same low 20 bits of hash: the same tag in a small
 * index, and when tags are short in a larger one too. */
static uint32_t number_of_key[KEYS], key_of_number[NUMBERS_MAX];

static void names_make(void)
{
    fe_store_options options = fixture_options();
    uint32_t *seen = calloc(1 << 20, sizeof(*seen)), twins = 0, number = 1;
    for (; twins < TWINS; number++) {
        name_buf buf;
        uint32_t low = fe_key_hash(&options.seed, name_of(&buf, number)) & ((1 << 20) - 1);
        if (seen[low] != 0) {
            number_of_key[twins++] = seen[low];
            number_of_key[twins++] = number;
            seen[low] = 0;
        } else {
            seen[low] = number;
        }
    }
    free(seen);
    for (uint32_t k = TWINS; k < KEYS; k++)
        number_of_key[k] = number++;
    for (uint32_t k = 0; k < KEYS; k++)
        key_of_number[number_of_key[k]] = k;
}

static fe_bytes key_name(name_buf *buf, uint32_t k)
{
    return name_of(buf, number_of_key[k]);
}

static uint64_t below(model *m, uint64_t bound)
{
    return fe_random_below(&m->random, bound);
}

static void ready(fe_waiter *waiter)
{
    session *s = (session *)(void *)((uint8_t *)waiter - offsetof(session, waiter));
    CHECK(s->busy && !s->ready && waiter->pending == 0);
    s->ready = true;
}

static entry *entry_at(model *m, uint32_t db, uint32_t k)
{
    entry *e = &m->table[db][k];
    if (e->present && e->deadline != 0 && e->deadline < m->now) *e = (entry){0};
    return e;
}

/* The value of a version: its length and bytes follow from it. */
static size_t value_make(uint32_t version, uint8_t out[VALUE_MAX])
{
    size_t len = version * 2654435761u % VALUE_MAX;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(version + i * 7);
    return len;
}

static void check_value(const entry *e, const fe_record *record)
{
    uint8_t expected[VALUE_MAX];
    size_t len = value_make(e->version, expected);
    fe_bytes value = fe_record_value(record);
    CHECK_BYTES(expected, len, value.ptr, value.len);
    CHECK_INT(e->deadline, fe_record_deadline(record));
}

/* What is true of a key, seen from outside: its newest record, in memory or not. ---------------- */

static bool is_settling(const fe_fetch_read *read, fe_bytes name)
{
    return read != NULL && read->settles && read->name_len == name.len &&
           memcmp(read->name, name.ptr, name.len) == 0;
}

static const fe_record *oracle(model *m, uint32_t db, uint32_t k)
{
    fe_store *store = m->d->f.store;
    name_buf buf;
    fe_bytes name = key_name(&buf, k);
    uint64_t hash = fe_key_hash(&m->d->f.seed, name);
    const fe_index *index = &store->databases[db]->index;
    fe_record *record;
    if (fe_index_find(index, name, hash, &record) != NULL)
        return fe_store_is_expired(store, record) ? NULL : record;
    const uint64_t *cold = NULL;
    while ((cold = fe_index_find_cold(index, hash, cold)) != NULL) {
        fe_address address = fe_slot_address(*cold);
        const fe_record *found = fake_view(m->d, address);
        if (found == NULL || !fe_bytes_equal(fe_record_key(found), name)) continue;
        if (is_settling(fe_fetch_find(store, address), name)) continue;
        return fe_store_is_expired(store, found) ? NULL : found;
    }
    return NULL;
}

/* Records that writes removed unread: the key they belonged to need not be the one that was written. */
static void forget_lost(model *m)
{
    uint64_t lost = m->d->f.store->fetch.stats.lost, missing = 0;
    if (lost == m->lost) return;
    for (uint32_t db = 0; db < DBS; db++) {
        for (uint32_t k = 0; k < m->keys; k++) {
            entry *e = entry_at(m, db, k);
            if (!e->present || oracle(m, db, k) != NULL) continue;
            missing++;
            *e = (entry){0};
        }
    }
    CHECK(missing <= lost - m->lost);
    m->lost = lost;
}

/* Commands. ------------------------------------------------------------------------------------- */

static fe_need need_of(model *m, verb v)
{
    switch (v) {
    case GET: return FE_NEED_READ;
    case SET: return FE_NEED_BLIND;
    case DEL: return below(m, 2) ? FE_NEED_REMOVE : FE_NEED_EXACT;
    default: return FE_NEED_EXACT;
    }
}

static bool look(model *m, session *s)
{
    bool all = true;
    for (uint32_t i = 0; i < s->keys; i++) {
        name_buf buf;
        fe_bytes name = key_name(&buf, s->key[i]);
        all &= fe_fetch_key(m->d->f.store, s->db, name, fe_key_hash(&m->d->f.seed, name),
                            need_of(m, s->verb), &s->waiter);
    }
    return all;
}

static void open_key(model *m, uint32_t db, uint32_t k, name_buf *buf, fe_key *key)
{
    fe_bytes name = key_name(buf, k);
    fe_key_find(m->d->f.store, db, name, fe_key_hash(&m->d->f.seed, name), false, key);
}

static void write_version(model *m, fe_key *key, entry *e, int64_t deadline)
{
    uint8_t value[VALUE_MAX];
    uint32_t version = ++m->version;
    size_t len = value_make(version, value);
    uint8_t *at = fe_key_write(key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, deadline);
    CHECK(at != NULL || m->refuses);
    if (at == NULL) return;
    if (len != 0) memcpy(at, value, len);
    *e = (entry){true, version, deadline};
}

static int64_t random_deadline(model *m)
{
    if (below(m, 3) != 0) return FE_DEADLINE_NONE;
    return m->now + 1 + (int64_t)below(m, below(m, 2) ? 4000 : 100000);
}

static void run_key(model *m, session *s, uint32_t k)
{
    name_buf buf, buf_to;
    fe_key key, to;
    open_key(m, s->db, k, &buf, &key);
    entry *e = entry_at(m, s->db, k);
    if (s->verb != SET || fe_key_exists(&key)) CHECK_INT(e->present, fe_key_exists(&key));
    if (fe_key_exists(&key) && e->present) check_value(e, key.record);
    bool exists = fe_key_exists(&key);
    switch (s->verb) {
    case SET: write_version(m, &key, e, random_deadline(m)); break;
    case SETNX:
        if (!exists) write_version(m, &key, e, FE_DEADLINE_NONE);
        break;
    case APPEND:
        if (exists) write_version(m, &key, e, e->deadline);
        break;
    case DEL:
        if (exists) fe_key_delete(&key);
        *e = (entry){0};
        break;
    case EXPIRE: {
        int64_t deadline = random_deadline(m);
        if (exists && fe_key_set_deadline(&key, deadline) == FE_OK) e->deadline = deadline;
        break;
    }
    case RENAME: {
        uint32_t other = s->key[0];
        if (!exists || other == k) break;
        open_key(m, s->db, other, &buf_to, &to);
        if (fe_key_copy(&to, &key, FE_DEADLINE_KEEP) != FE_OK) break;
        *entry_at(m, s->db, other) = *e;
        fe_key_delete(&key);
        *e = (entry){0};
        break;
    }
    default: break;
    }
}

static uint32_t number_of(fe_bytes name)
{
    uint32_t number = 0;
    for (size_t i = 4; i < name.len; i++)
        number = number * 10 + (uint32_t)(name.ptr[i] - '0');
    return key_of_number[number];
}

/* A walk sees nothing that is not there, but for older records whose writes are not settled yet. */
typedef struct scan_check {
    model *m;
    uint32_t db;
} scan_check;

static void scan_visit(void *context, const fe_record *record)
{
    scan_check *c = context;
    if (fe_store_is_expired(c->m->d->f.store, record)) return;
    const entry *e = entry_at(c->m, c->db, number_of(fe_record_key(record)));
    CHECK(e->present || c->m->d->f.store->databases[c->db]->unsettled != 0);
}

static uint64_t present(model *m, uint32_t db)
{
    uint64_t count = 0;
    for (uint32_t k = 0; k < m->keys; k++)
        count += entry_at(m, db, k)->present;
    return count;
}

/* Walks that may miss something; false: run again later. */
static bool run_walk(model *m, session *s)
{
    fe_store *store = m->d->f.store;
    fe_key key;
    scan_check c = {m, s->db};
    if (s->verb == COUNT && fe_store_is_settled(store, s->db))
        CHECK(fe_store_db_size(store, s->db) >= present(m, s->db)); /* expired ones are there */
    if (s->verb == RANDOM && fe_store_random_key(store, s->db, &m->random, &key)) {
        CHECK(entry_at(m, s->db, number_of(key.name))->present ||
              store->databases[s->db]->unsettled != 0);
    }
    if (s->verb == SCAN) s->cursor = fe_store_scan(store, s->db, s->cursor, 20, scan_visit, &c);
    return !fe_store_is_missing(store) || fe_fetch_missing(store, &s->waiter);
}

static void end(model *m, session *s)
{
    fe_waiter_close(m->d->f.store, &s->waiter);
    s->busy = s->ready = false;
}

static void go_on(model *m, session *s)
{
    s->ready = false;
    if (s->waiter.error != 0) {
        CHECK(m->fault_share != 0 || m->refuses);
        m->errors++;
        end(m, s);
        return;
    }
    bool may_run = s->keys == 0 ? run_walk(m, s) : look(m, s);
    if (!may_run) {
        m->parked++;
        CHECK(s->waiter.pending != 0);
        return;
    }
    forget_lost(m);
    for (uint32_t i = 0; i < s->keys; i++)
        run_key(m, s, s->key[i]);
    m->ran++;
    m->runs_of[s->verb]++;
    end(m, s);
}

static void begin(model *m, session *s)
{
    static const verb verbs[] = {GET,    GET, GET, GET,    SET,    SET,   SET,    SET, SETNX,
                                 APPEND, DEL, DEL, EXPIRE, RENAME, COUNT, RANDOM, SCAN};
    s->busy = true;
    s->verb = verbs[below(m, sizeof verbs / sizeof *verbs)];
    s->db = below(m, 4) == 0 ? (uint32_t)below(m, DBS) : 0;
    s->cursor = below(m, 64);
    bool walk = s->verb == COUNT || s->verb == RANDOM || s->verb == SCAN;
    s->keys = walk ? 0 : 1 + (uint32_t)below(m, COMMAND_KEYS);
    if (s->verb == RENAME) s->keys = 2;
    for (uint32_t i = 0; i < s->keys; i++)
        s->key[i] = (uint32_t)below(m, below(m, 3) == 0 ? 50 : m->keys);
    go_on(m, s);
}

static void op_session(model *m)
{
    session *s = &m->sessions[below(m, SESSIONS)];
    if (!s->busy)
        begin(m, s);
    else if (s->ready)
        go_on(m, s);
    else if (below(m, 40) == 0)
        end(m, s); /* the client has gone */
}

/* The world. ------------------------------------------------------------------------------------ */

static void op_freeze(model *m)
{
    fe_log *log = fake_log(m->d);
    if (log->high == 0) return;
    uint32_t n = 1 + (uint32_t)below(m, log->high);
    if (fake_is_full(m->d, n) && below(m, 8) == 0)
        fe_log_set_tier(log, n, FE_TIER_SEALED);
    else if (log->segments[n].tier == FE_TIER_SEALED || fake_is_full(m->d, n))
        fake_map(m->d, n);
    else if (log->segments[n].tier == FE_TIER_MAPPED && !log->files[n].doomed)
        fake_demote(m->d, n);
}

static void op_complete(model *m)
{
    if (below(m, 4) == 0) fake_submit(m->d);
    if (m->d->count == 0) return;
    fake_outcome outcome = FAKE_GOOD;
    if (below(m, 1000) < m->fault_share) outcome = (fake_outcome)(1 + below(m, 4));
    fake_complete(m->d, (uint32_t)below(m, m->d->count), outcome);
    forget_lost(m);
}

static void op_flush(model *m)
{
    uint32_t db = (uint32_t)below(m, DBS);
    bool all = below(m, 5) == 0;
    m->flushed = true;
    CHECK_INT(FE_OK, all ? fe_store_flush_all(m->d->f.store, below(m, 2) == 0)
                         : fe_store_flush(m->d->f.store, db, below(m, 2) == 0));
    for (uint32_t d = 0; d < DBS; d++)
        if (all || d == db) memset(m->table[d], 0, sizeof(m->table[d]));
}

static void op_swap(model *m)
{
    uint32_t a = (uint32_t)below(m, DBS), b = (uint32_t)below(m, DBS);
    fe_store_swap(m->d->f.store, a, b);
    entry *copy = malloc(sizeof(m->table[0]));
    memcpy(copy, m->table[a], sizeof(m->table[0]));
    memmove(m->table[a], m->table[b], sizeof(m->table[0]));
    memcpy(m->table[b], copy, sizeof(m->table[0]));
    free(copy);
}

/* Empties a database key by key, as far as keys are in memory: its index shrinks. */
static void op_thin_out(model *m)
{
    uint32_t db = (uint32_t)below(m, DBS);
    for (uint32_t k = 0; k < m->keys; k++) {
        name_buf buf;
        fe_key key;
        fe_bytes name = key_name(&buf, k);
        if (!fe_fetch_key(m->d->f.store, db, name, fe_key_hash(&m->d->f.seed, name), FE_NEED_EXACT,
                          NULL))
            continue;
        open_key(m, db, k, &buf, &key);
        if (fe_key_exists(&key)) fe_key_delete(&key);
        *entry_at(m, db, k) = (entry){0};
    }
}

static void op_step(model *m)
{
    fe_store *store = m->d->f.store;
    switch (below(m, 8)) {
    case 0:
    case 1: (void)fe_store_step_index(store, (uint32_t)below(m, 20)); break;
    case 2: (void)fe_store_step_expire(store, (uint32_t)below(m, 300)); break;
    case 3: (void)fe_store_step_compact(store, (uint32_t)below(m, 20000)); break;
    case 4: (void)fe_cache_step(store, below(m, 20000)); break;
    case 5: empty_trash(&m->d->f); break;
    case 6: fake_clean(m->d); break;
    default: m->now += (int64_t)below(m, 40); fe_store_set_now(store, m->now);
    }
}

static void op_budget(model *m)
{
    static const uint64_t budgets[] = {0, 100000, 300000, 2000000};
    fe_cache_set_budget(m->d->f.store, budgets[below(m, 4)]);
}

static void op_refuse(model *m)
{
    if (!m->refuses) return;
    fe_alloc_fail_after(&m->d->f.alloc, below(m, 8) == 0 ? (int64_t)below(m, 10) : -1);
}

static void run_one(model *m, uint32_t flush_odds)
{
    if (below(m, 8) == 0) op_refuse(m);
    switch (below(m, 16)) {
    case 0:
    case 1: op_freeze(m); break;
    case 2:
    case 3: op_step(m); break;
    case 4:
    case 5:
    case 6:
    case 7: op_complete(m); break;
    case 8:
        if (below(m, 200) == 0) op_budget(m);
        if (below(m, flush_odds) == 0) op_flush(m);
        if (below(m, flush_odds) == 0) op_swap(m);
        if (below(m, flush_odds) == 0) op_thin_out(m);
        break;
    default: op_session(m);
    }
}

/* Bytes of records that slots reach, by segment of their home. */
typedef struct reach {
    fake_disk *d;
    uint64_t live[1 << 16];
} reach;

static void reach_slot(void *context, uint64_t slot)
{
    reach *r = context;
    fe_log *log = fake_log(r->d);
    fe_address address = fe_slot_address(slot);
    const fe_record *record =
        fe_log_is_cold(log, address) ? fake_view(r->d, address) : fe_log_at(log, address);
    if (fe_cache_holds(log, address)) address = fe_cache_home(log, address);
    r->live[fe_address_segment(address, log->offset_bits)] += fe_record_size(record);
}

/* Frozen segments count as live exactly what is. */
static void compare_live(model *m)
{
    if (m->flushed || m->lost != 0) return;
    const fe_store *store = m->d->f.store;
    reach *r = calloc(1, sizeof(*r));
    r->d = m->d;
    for (uint32_t db = 0; db < DBS; db++)
        for (uint64_t b = 0; b < store->databases[db]->index.buckets; b++)
            (void)fe_index_visit_bucket(&store->databases[db]->index, b, reach_slot, r);
    for (uint32_t n = 1; n <= store->log.high; n++) {
        const fe_segment *segment = &store->log.segments[n];
        if (segment->tier == FE_TIER_FREE || segment->tier == FE_TIER_CACHE) continue;
        CHECK_INT(r->live[n], segment->live);
    }
    free(r);
}

static void compare(model *m)
{
    check_store(&m->d->f);
    forget_lost(m);
    compare_live(m);
    for (uint32_t db = 0; db < DBS; db++) {
        for (uint32_t k = 0; k < m->keys; k++) {
            const entry *e = entry_at(m, db, k);
            const fe_record *record = oracle(m, db, k);
            CHECK_INT(e->present, record != NULL);
            if (e->present && record != NULL) check_value(e, record);
        }
    }
}

/* Everything that is under way ends; then every key is fetched and compared. */
static void settle_all(model *m)
{
    fe_alloc_fail_after(&m->d->f.alloc, -1);
    unsigned faults = m->fault_share;
    m->fault_share = 0;
    fake_complete_all(m->d);
    m->fault_share = faults;
    for (unsigned i = 0; i < SESSIONS; i++)
        if (m->sessions[i].busy) end(m, &m->sessions[i]);
    fake_complete_all(m->d);
    compare(m);
    for (uint32_t db = 0; db < DBS; db++) {
        CHECK(fe_store_is_settled(m->d->f.store, db));
        for (uint32_t k = 0; k < m->keys; k++) {
            session s = {.waiter = {.wake = NULL}, .verb = GET, .db = db, .keys = 1, .key = {k}};
            while (!look(m, &s))
                fake_complete_all(m->d);
            run_key(m, &s, k);
            fe_waiter_close(m->d->f.store, &s.waiter);
        }
        CHECK_INT(present(m, db), fe_store_db_size(m->d->f.store, db));
    }
    check_store(&m->d->f);
}

static model *model_new(uint64_t seed, uint32_t keys)
{
    model *m = calloc(1, sizeof(*m));
    m->d = fake_new();
    fe_random_init(&m->random, seed);
    m->now = START_MS;
    m->keys = keys;
    for (unsigned i = 0; i < SESSIONS; i++)
        m->sessions[i].waiter.wake = ready;
    return m;
}

static void model_free(model *m, const char *what)
{
    const fe_store *store = m->d->f.store;
    printf("%s: %" PRIu64 " ran, %" PRIu64 " parked, %" PRIu64 " errors; reads %" PRIu64
           ", joined %" PRIu64 ", settled %" PRIu64 " same %" PRIu64 " other, lost %" PRIu64
           ", expired %" PRIu64 "; cache %" PRIu64 " put %" PRIu64 " carried %" PRIu64
           " kept %" PRIu64 " dropped\n",
           what, m->ran, m->parked, m->errors, store->fetch.stats.reads, store->fetch.stats.joined,
           store->fetch.stats.settled_same, store->fetch.stats.settled_other,
           store->fetch.stats.lost, store->fetch.stats.expired, store->cache.stats.put,
           store->cache.stats.carried, store->cache.stats.kept, store->cache.stats.dropped);
    for (unsigned i = 0; i < SESSIONS; i++)
        if (m->sessions[i].busy) end(m, &m->sessions[i]);
    fake_free(m->d);
    free(m);
}

static uint64_t seed;

static uint64_t rounds(uint64_t wanted)
{
    const char *more = getenv("FERRITE_TEST_ROUNDS");
    return more != NULL ? wanted * strtoull(more, NULL, 0) : wanted;
}

static void run(model *m, uint64_t steps, uint64_t compare_every, uint32_t flush_odds)
{
    for (uint64_t i = 1; i <= steps && check_failures == 0; i++) {
        run_one(m, flush_odds);
        if (i % 50 == 0) check_store(&m->d->f);
        if (i % compare_every == 0) compare(m);
    }
}

TEST(commands_see_what_was_written_last_wherever_it_is)
{
    for (uint64_t i = 0; i < rounds(4); i++) {
        model *m = model_new(seed + i, 600);
        run(m, 12000, 500, 60);
        settle_all(m);
        CHECK(m->ran > 2000 && m->parked > 100);
        model_free(m, "small");
    }
}

TEST(commands_see_what_was_written_last_without_flushes_and_live_bytes_are_exact)
{
    for (uint64_t i = 0; i < rounds(2); i++) {
        model *m = model_new(seed + 50 + i, 900);
        run(m, 20000, 500, UINT32_MAX);
        settle_all(m);
        CHECK(m->d->f.store->fetch.stats.settled_same > 0);
        CHECK(m->d->f.store->fetch.stats.settled_other > 0);
        model_free(m, "unflushed");
    }
}

TEST(without_memory_commands_fail_and_nothing_is_lost)
{
    for (uint64_t i = 0; i < rounds(2); i++) {
        model *m = model_new(seed + 150 + i, 600);
        m->refuses = true;
        run(m, 12000, 500, 200);
        settle_all(m);
        CHECK(m->errors > 0);
        model_free(m, "refused");
    }
}

TEST(tags_that_lost_bits_find_their_keys_while_indexes_grow_and_shrink)
{
    for (uint64_t i = 0; i < rounds(2); i++) {
        model *m = model_new(seed + 100 + i, KEYS);
        run(m, 30000, 5000, 400);
        settle_all(m);
        model_free(m, "large");
    }
}

TEST(faults_of_the_disk_are_errors_and_never_wrong_values)
{
    for (uint64_t i = 0; i < rounds(3); i++) {
        model *m = model_new(seed + 200 + i, 600);
        m->fault_share = 400;
        run(m, 12000, 500, 200);
        settle_all(m);
        CHECK(m->errors > 0);
        model_free(m, "faults");
    }
}

TEST(one_step_at_a_time_the_store_is_sound)
{
    model *m = model_new(seed + 300, 60);
    fe_cache_set_budget(m->d->f.store, 100000);
    for (unsigned i = 0; i < 3000 * rounds(1) && check_failures == 0; i++) {
        run_one(m, 100);
        check_store(&m->d->f);
        if (i % 20 == 0) compare(m);
    }
    settle_all(m);
    model_free(m, "steps");
}

int main(void)
{
    seed = test_seed();
    names_make();
    RUN(commands_see_what_was_written_last_wherever_it_is);
    RUN(commands_see_what_was_written_last_without_flushes_and_live_bytes_are_exact);
    RUN(without_memory_commands_fail_and_nothing_is_lost);
    RUN(tags_that_lost_bits_find_their_keys_while_indexes_grow_and_shrink);
    RUN(faults_of_the_disk_are_errors_and_never_wrong_values);
    RUN(one_step_at_a_time_the_store_is_sound);
    return check_done();
}
