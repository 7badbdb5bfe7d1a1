/* Compaction debt: writers wait for compaction, and it gets its turn, when there is too much garbage on disk. */
#include "tests/store/tier_support.h"

#include <fcntl.h>

#define LEN 1000u
#define KEYS 3000u
#define WIDE_SIZE (2u << 20) /* a mutable budget of many segments */
#define SEALED_BEHIND 6u     /* segments: more than an eighth of it, less than a quarter */

typedef struct world {
    tiered t;
    fe_frozen_job job;
    fe_frozen_next next;
    bool busy;
    unsigned rooms;  /* how often writers were told */
    uint64_t random; /* the state of what chooses keys */
} world;

static uint64_t some(world *w, uint64_t keys)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (w->random >> 33) % keys;
}

static void count_room(void *context)
{
    ++((world *)context)->rooms;
}

static void world_open(world *w, const fe_store_options *options)
{
    memset(w, 0, sizeof(*w));
    tiered_open(&w->t, *options);
    fe_tier_on_room(w->t.f.store, count_room, w);
}

static void job_stop(world *w)
{
    if (w->busy) fe_frozen_end(w->t.f.store, &w->job);
    w->busy = false;
}

static void world_close(world *w)
{
    job_stop(w);
    fe_frozen_job_close(&w->job);
    check_store(&w->t.f);
    tiered_close(&w->t);
}

/* What the collector does next; false: nothing is due, or it has to wait. */
static bool collect(world *w)
{
    fe_store *store = w->t.f.store;
    if (!w->busy) {
        w->busy = fe_frozen_begin(store, &w->job);
        w->next = FE_FROZEN_READ;
        return w->busy;
    }
    if (w->next == FE_FROZEN_READ) fe_frozen_read(w->t.device, &w->job);
    w->next = fe_frozen_step(store, &w->job);
    if (w->next == FE_FROZEN_DONE) job_stop(w);
    return w->next != FE_FROZEN_WAIT;
}

static bool flush_one(world *w)
{
    fe_flush_job job = {.fd = -1};
    if (!fe_tier_flush_begin(w->t.f.store, &job)) return false;
    fe_tier_flush_run(w->t.device, &job);
    fe_tier_flush_end(w->t.f.store, &job);
    fe_flush_job_close(&job);
    return true;
}

static void later(world *w)
{
    fe_store_set_now(w->t.f.store, fe_store_now(w->t.f.store) + 10);
}

/* Seals what is over the budget. */
static void admit(world *w)
{
    fe_status status = fe_tier_admit(w->t.f.store);
    (void)status;
}

/* A little of everything that goes on beside the writers. */
static void turn(world *w)
{
    later(w);
    (void)flush_one(w);
    (void)fe_tier_step(w->t.f.store, 65536);
    for (unsigned i = 0; i < 4 && collect(w); i++)
        continue;
    run_jobs(&w->t);
}

static void put(world *w, uint64_t i)
{
    name_buf buf;
    fe_bytes name = name_of(&buf, i);
    make_resident(&w->t, 0, name, fe_key_hash(&w->t.f.seed, name));
    fill(&w->t, i, i + 1, LEN);
}

/* One write of a client: it waits as long as it is told to, and not for ever. */
static fe_status put_patiently(world *w, uint64_t i)
{
    fe_status status = FE_BUSY;
    for (unsigned turns = 0; turns < 2000; turns++) {
        status = fe_store_make_room(w->t.f.store);
        if (status != FE_BUSY) break;
        turn(w);
    }
    if (status == FE_OK) put(w, i);
    return status;
}

/* Keys [0, count) are on disk, and nothing of them is garbage. */
static void load(world *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        put(w, i);
        if (i % 50 == 0) admit(w);
        if (i % 50 == 0) settle_tiers(&w->t);
    }
    demote_all(&w->t, FE_TIER_DISK);
    settle_tiers(&w->t);
}

static fe_frozen_stats garbage_of(world *w)
{
    fe_frozen_stats stats;
    fe_frozen_stats_get(w->t.f.store, &stats);
    return stats;
}

/* Garbage in files, as far from their live bytes as `percent` of these. */
static void make_garbage(world *w, uint64_t keys, unsigned percent)
{
    fe_frozen_stats s = garbage_of(w);
    for (uint64_t i = 0; (s.used - s.live) * 100 < s.live * percent; s = garbage_of(w)) {
        put(w, some(w, keys));
        if (++i % 50 != 0) continue;
        admit(w);
        settle_tiers(&w->t);
    }
}

/* New keys, until so many segments wait to be flushed. */
static void seal_some(world *w, uint64_t segments)
{
    const fe_log *log = &w->t.f.store->log;
    for (uint64_t i = KEYS; log->tiers[FE_TIER_SEALED].segments < segments; i++) {
        put(w, i);
        admit(w);
    }
}

TEST(a_load_that_keeps_the_flush_busy_does_not_keep_compaction_from_its_turn)
{
    world w;
    fe_store_options options = tiered_options();
    world_open(&w, &options);
    load(&w, KEYS);
    double worst = 0;
    for (uint64_t i = 0; i < 8 * KEYS; i++) {
        CHECK_INT(FE_OK, put_patiently(&w, some(&w, KEYS)));
        (void)collect(&w); /* beside the flush, which comes to it only when writers wait */
        fe_frozen_stats s = garbage_of(&w);
        double space = (double)s.used / (double)s.live;
        if (s.live > KEYS * LEN / 2 && space > worst) worst = space;
    }
    CHECK(worst > 1.5 && worst < 2.2);
    CHECK(garbage_of(&w).moved_bytes > KEYS * LEN);
    CHECK(stats_of(&w.t).owed > 0 && w.rooms > 0);
    world_close(&w);
}

TEST(writers_wait_for_compaction_and_are_told_when_there_is_less_garbage)
{
    world w;
    fe_store_options options = tiered_options();
    world_open(&w, &options);
    load(&w, KEYS);
    make_garbage(&w, KEYS, 110);
    CHECK_INT(FE_OK, fe_store_make_room(w.t.f.store)); /* nobody waits for what does not run */
    CHECK(collect(&w));

    CHECK_INT(FE_BUSY, fe_store_make_room(w.t.f.store));
    fe_tier_stats stats = stats_of(&w.t);
    CHECK(stats.owing && !stats.behind);
    CHECK_INT(1, stats.owed);
    CHECK_INT(0, w.rooms);
    for (unsigned i = 0; w.rooms == 0 && i < 1000; i++)
        turn(&w);

    fe_frozen_stats s = garbage_of(&w);
    CHECK_INT(1, w.rooms);
    CHECK(!stats_of(&w.t).owing);
    CHECK(s.used - s.live < s.live);
    CHECK_INT(FE_OK, fe_store_make_room(w.t.f.store));
    for (unsigned i = 0; i < 20; i++) { /* not at once again */
        put(&w, i * 13);
        CHECK_INT(FE_OK, fe_store_make_room(w.t.f.store));
    }
    world_close(&w);
}

TEST(below_the_target_nobody_waits_and_moves_give_way_to_the_flush)
{
    world w;
    fe_store_options options = tiered_options();
    options.mutable_size = WIDE_SIZE;
    world_open(&w, &options);
    load(&w, KEYS);
    make_garbage(&w, KEYS, 70);
    seal_some(&w, SEALED_BEHIND);
    while (collect(&w))
        CHECK(w.job.purpose != FE_FROZEN_COMPACT);
    CHECK_INT(0, garbage_of(&w).moved_bytes);
    CHECK_INT(FE_OK, fe_store_make_room(w.t.f.store));
    CHECK_INT(0, stats_of(&w.t).owed);
    while (flush_one(&w))
        continue;
    CHECK(collect(&w) && w.job.purpose == FE_FROZEN_COMPACT);
    world_close(&w);
}

TEST(over_the_target_moves_share_the_memory_with_writers_and_stop_when_it_is_used_up)
{
    world w;
    fe_store_options options = tiered_options();
    options.mutable_size = WIDE_SIZE;
    world_open(&w, &options);
    load(&w, KEYS);
    make_garbage(&w, KEYS, 110);
    const fe_log *log = &w.t.f.store->log;
    seal_some(&w, SEALED_BEHIND);
    CHECK(!fe_tier_is_crowded(w.t.f.store));
    uint64_t before = garbage_of(&w).moved_bytes;
    for (unsigned i = 0; i < 10000 && collect(&w); i++)
        continue;

    CHECK(garbage_of(&w).moved_bytes > before);
    CHECK(fe_tier_is_crowded(w.t.f.store));
    uint64_t room = WIDE_SIZE + WIDE_SIZE / 4, step = 2u * 65536;
    CHECK(log->bytes + log->tiers[FE_TIER_SEALED].bytes <= room + step);
    before = garbage_of(&w).moved_bytes;
    while (flush_one(&w))
        continue;
    (void)fe_tier_step(w.t.f.store, 65536);
    later(&w);
    for (unsigned i = 0; i < 20; i++)
        (void)collect(&w);
    CHECK(garbage_of(&w).moved_bytes > before);
    world_close(&w);
}

TEST(a_write_is_refused_only_when_what_is_alive_does_not_fit)
{
    world w;
    fe_store_options options = tiered_options();
    options.disk_max = 6u << 20;
    world_open(&w, &options);
    load(&w, KEYS);
    for (uint64_t i = 0; i < 6 * KEYS; i++) {
        CHECK_INT(FE_OK, put_patiently(&w, some(&w, KEYS)));
        (void)collect(&w);
    }
    CHECK(stats_of(&w.t).file_bytes <= options.disk_max);

    uint64_t more = KEYS; /* at 85 % of the disk alive it is slow, and still it goes on */
    fe_status status = FE_OK;
    while (status == FE_OK && garbage_of(&w).live < options.disk_max / 100 * 85)
        status = put_patiently(&w, more++);
    CHECK_INT(FE_OK, status);
    for (uint64_t i = 0; i < KEYS; i++)
        CHECK_INT(FE_OK, put_patiently(&w, some(&w, more)));

    for (unsigned i = 0; status == FE_OK && i < 10 * KEYS; i++)
        status = put_patiently(&w, more++);
    CHECK_INT(FE_NO_MEMORY, status);
    CHECK(garbage_of(&w).live > options.disk_max / 100 * 88); /* the rest: footers, and 4 % */
    world_close(&w);
}

TEST(no_key_is_evicted_while_compaction_can_make_the_room)
{
    world w;
    fe_store_options options = tiered_options();
    options.policy = FE_POLICY_ALLKEYS_LRU;
    options.disk_max = 8u << 20;
    world_open(&w, &options);
    load(&w, KEYS);
    for (uint64_t i = 0; i < 8 * KEYS; i++) {
        CHECK_INT(FE_OK, put_patiently(&w, some(&w, KEYS)));
        (void)collect(&w);
    }
    CHECK(stats_of(&w.t).file_bytes <= options.disk_max);
    CHECK_INT(0, garbage_of(&w).evicted_keys);
    CHECK_INT(KEYS, fe_store_db_size(w.t.f.store, 0));
    world_close(&w);
}

TEST(nobody_waits_for_garbage_that_cannot_be_compacted)
{
    world w;
    fe_store_options options = tiered_options();
    world_open(&w, &options);
    load(&w, KEYS);
    make_garbage(&w, KEYS, 110);
    CHECK(collect(&w));
    CHECK_INT(FE_BUSY, fe_store_make_room(w.t.f.store));
    fe_log *log = &w.t.f.store->log;
    for (uint32_t n = 1; n <= log->high; n++) /* as if all of them were damaged */
        if (log->files[n].fd >= 0) log->files[n].rest_ms = INT64_MAX;
    job_stop(&w);
    for (uint32_t n = 1; n <= log->high; n++)
        if (log->files[n].fd >= 0) log->files[n].rest_ms = INT64_MAX;

    CHECK(!collect(&w));

    CHECK_INT(1, w.rooms);
    CHECK_INT(FE_OK, fe_store_make_room(w.t.f.store));
    world_close(&w);
}

/* So that no job can find out what is alive in it. */
static void damage_trailer(const fe_segment_file *file)
{
    static const uint8_t noise[4096] = {1, 2, 3};
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
    int fd = open(path, O_WRONLY);
    off_t end = (off_t)file->size;
    if (fd < 0 || pwrite(fd, noise, sizeof noise, end - 4096) != 4096) abort();
    (void)close(fd);
}

TEST(garbage_in_damaged_files_is_no_debt)
{
    world w;
    fe_store_options options = tiered_options();
    world_open(&w, &options);
    load(&w, KEYS);
    make_garbage(&w, KEYS, 110);
    fe_log *log = &w.t.f.store->log;
    for (uint32_t n = 1; n <= log->high; n++)
        if (log->files[n].fd >= 0 && log->segments[n].live < log->segments[n].used)
            damage_trailer(&log->files[n]);
    for (unsigned i = 0; i < 10 * log->high; i++)
        turn(&w);
    CHECK(log->damaged > 10);
    CHECK(!w.t.f.store->frozen.strained);
    CHECK_INT(0, stats_of(&w.t).owed);

    uint64_t died = garbage_of(&w).used - garbage_of(&w).live;
    for (uint64_t i = 0; i < 2 * KEYS; i++) { /* garbage in sound files, too */
        CHECK_INT(FE_OK, put_patiently(&w, KEYS + some(&w, KEYS)));
        (void)collect(&w);
    }
    CHECK_INT(0, stats_of(&w.t).owed);
    CHECK(garbage_of(&w).used - garbage_of(&w).live > died);

    for (uint64_t i = 0; i < KEYS; i += 2) /* what is alive in damaged files dies */
        put(&w, i);
    admit(&w);
    settle_tiers(&w.t);
    CHECK(!w.t.f.store->frozen.strained);
    world_close(&w);
}

TEST(who_waits_for_compaction_waits_for_memory_when_moves_have_used_it_up)
{
    world w;
    fe_store_options options = tiered_options();
    world_open(&w, &options);
    load(&w, KEYS);
    make_garbage(&w, KEYS, 170);
    CHECK(collect(&w));
    CHECK_INT(FE_BUSY, fe_store_make_room(w.t.f.store));
    CHECK(stats_of(&w.t).owing && !stats_of(&w.t).behind);

    for (uint64_t i = 0; i < 2 * MUTABLE_SIZE / LEN; i++) /* as moves take it */
        put(&w, KEYS + i);
    fe_tiers_tell_room(w.t.f.store);
    CHECK(stats_of(&w.t).behind);
    CHECK_INT(0, w.rooms);

    for (unsigned i = 0; stats_of(&w.t).behind && i < 1000; i++) {
        (void)fe_tier_step(w.t.f.store, 65536);
        (void)flush_one(&w);
        run_jobs(&w.t);
    }
    CHECK(stats_of(&w.t).owing && !stats_of(&w.t).behind); /* nothing was compacted meanwhile */
    CHECK_INT(0, w.rooms);
    for (unsigned i = 0; w.rooms == 0 && i < 1000; i++)
        turn(&w);
    CHECK_INT(1, w.rooms);
    CHECK(!stats_of(&w.t).owing && !stats_of(&w.t).behind);
    world_close(&w);
}

TEST(nobody_waits_for_compaction_while_the_disk_fails)
{
    world w;
    fe_store_options options = tiered_options();
    world_open(&w, &options);
    load(&w, KEYS);
    make_garbage(&w, KEYS, 110);
    CHECK(collect(&w));
    CHECK_INT(FE_BUSY, fe_store_make_room(w.t.f.store));
    uint64_t i = KEYS;
    while (w.t.f.store->log.tiers[FE_TIER_SEALED].segments == 0) {
        put(&w, i++);
        admit(&w);
    }
    w.t.faults.write_error = EIO;
    CHECK(flush_one(&w));
    CHECK_INT(FE_DISK_FAILED, stats_of(&w.t).state);

    CHECK_INT(1, w.rooms);
    fe_status status;
    while ((status = fe_store_make_room(w.t.f.store)) != FE_IO && i < 3 * KEYS) {
        if (status == FE_OK) put(&w, i++);
        if (status == FE_BUSY) (void)fe_tier_step(w.t.f.store, 65536); /* of memory */
    }
    CHECK_INT(FE_IO, status);
    CHECK(!stats_of(&w.t).owing);
    w.t.faults.write_error = 0;
    for (unsigned k = 0; k < 200; k++)
        turn(&w);
    CHECK_INT(FE_OK, put_patiently(&w, i));
    world_close(&w);
}

int main(void)
{
    RUN(a_load_that_keeps_the_flush_busy_does_not_keep_compaction_from_its_turn);
    RUN(writers_wait_for_compaction_and_are_told_when_there_is_less_garbage);
    RUN(below_the_target_nobody_waits_and_moves_give_way_to_the_flush);
    RUN(over_the_target_moves_share_the_memory_with_writers_and_stop_when_it_is_used_up);
    RUN(a_write_is_refused_only_when_what_is_alive_does_not_fit);
    RUN(no_key_is_evicted_while_compaction_can_make_the_room);
    RUN(nobody_waits_for_garbage_that_cannot_be_compacted);
    RUN(garbage_in_damaged_files_is_no_debt);
    RUN(who_waits_for_compaction_waits_for_memory_when_moves_have_used_it_up);
    RUN(nobody_waits_for_compaction_while_the_disk_fails);
    return check_done();
}
