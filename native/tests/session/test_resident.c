/* Commands on keys whose records are on disk: sessions wait, run again, and answer in order, as if
 * everything were in memory. Over a real folder; the threads' work is done here, between commands. */
#include "tests/check.h"

#include "engine/flusher.h"
#include "session/session.h"
#include "store/cache.h"
#include "store/look.h"
#include "store/store.h"
#include "store/tier.h"
#include "tests/folder.h"
#include "tests/session/rig.h"

#include <poll.h>
#include <unistd.h>

typedef struct cold_rig {
    rig r;
    char path[64];
} cold_rig;

static void cold_open_with(cold_rig *it, uint64_t readonly_size)
{
    strcpy(it->path, "/tmp/ferrite-resident-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    fe_engine_options options = rig_options();
    options.store.mutable_size = options.store.cache_size = 1u << 20;
    options.store.readonly_size = readonly_size;
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", it->path);
    rig_open_with(&it->r, &options);
}

static void cold_open(cold_rig *it)
{
    cold_open_with(it, 1u << 20);
}

static void cold_close(cold_rig *it)
{
    fe_engine_finish_reads(it->r.server->engine);
    rig_close(&it->r);
    remove_folder(it->path);
}

/* Everything that was written is only on disk afterwards. */
static void freeze(cold_rig *it)
{
    rig_demote(&it->r, FE_TIER_DISK);
}

static uint64_t reads_of(const rig *r)
{
    fe_fetch_stats stats;
    uint32_t in_flight;
    fe_fetch_stats_get(r->server->engine->store, &stats, &in_flight);
    return stats.reads;
}

#define CHECK_COLD(it, one, request, expected)                                                     \
    do {                                                                                           \
        freeze(it);                                                                                \
        rig_say((one), (request));                                                                 \
        rig_settle(&(it)->r);                                                                      \
        CHECK_GOT((one), (expected));                                                              \
    } while (0)

TEST(a_cold_key_is_read_and_the_command_answers)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r);
    CHECK_SAYS(one, "SET a 1x\r\nSET b 2x\r\n", "+OK\r\n+OK\r\n");
    freeze(&it);

    rig_say(one, "GET a\r\n");
    CHECK_INT(FE_PARK_DISK, one->session->park);
    CHECK_GOT(one, "");
    rig_settle(&it.r);

    CHECK_GOT(one, "$2\r\n1x\r\n");
    uint64_t reads = reads_of(&it.r);
    CHECK_SAYS(one, "GET a\r\n", "$2\r\n1x\r\n"); /* from the read cache now */
    CHECK_INT(reads, reads_of(&it.r));
    cold_close(&it);
}

/* How many durations of a command are told, as `kind` has them. */
static uint64_t told_of(const rig *r, const char *name, fe_duration kind, uint64_t *sum)
{
    fe_bytes word = {(const uint8_t *)name, strlen(name)};
    fe_command *container;
    const fe_command *command = fe_commands_find(r->server->commands, &word, 1, &container);
    fe_exponential durations = {0};
    (void)fe_command_durations(command, kind, &durations);
    *sum = durations.sum;
    return fe_exponential_count(&durations);
}

static uint64_t told_of_get(const rig *r, fe_duration kind, uint64_t *sum)
{
    return told_of(r, "get", kind, sum);
}

TEST(waits_for_the_disk_count_for_metrics_and_not_for_the_histograms_of_latency)
{
    cold_rig it;
    cold_open(&it);
    fe_engine *engine = it.r.server->engine;
    engine->options.latency_tracking = engine->options.metrics = true;
    peer *one = rig_connect(&it.r);
    uint64_t ran, whole;
    CHECK_SAYS(one, "MSET a 1x b 2x\r\nGET none\r\n", "+OK\r\n$-1\r\n");
    CHECK_INT(1, told_of_get(&it.r, FE_DURATION_RUN, &ran));
    CHECK_INT(1, told_of_get(&it.r, FE_DURATION_WHOLE, &whole));
    CHECK_INT(ran, whole);

    CHECK_COLD(&it, one, "GET a\r\n", "$2\r\n1x\r\n");
    CHECK_SAYS(one, "GET a\r\n", "$2\r\n1x\r\n");

    CHECK_INT(3, told_of_get(&it.r, FE_DURATION_RUN, &ran));
    CHECK_INT(3, told_of_get(&it.r, FE_DURATION_WHOLE, &whole));
    CHECK(whole > ran);

    engine->options.metrics = false;
    CHECK_COLD(&it, one, "GET b\r\nGET b\r\n", "$2\r\n2x\r\n$2\r\n2x\r\n");
    CHECK_INT(5, told_of_get(&it.r, FE_DURATION_RUN, &ran));
    CHECK_INT(3, told_of_get(&it.r, FE_DURATION_WHOLE, &whole));

    engine->options.metrics = true;
    engine->options.latency_tracking = false;
    CHECK_SAYS(one, "GET a\r\n", "$2\r\n1x\r\n");
    CHECK_INT(5, told_of_get(&it.r, FE_DURATION_RUN, &ran));
    CHECK_INT(4, told_of_get(&it.r, FE_DURATION_WHOLE, &whole));

    fe_commands_reset_stats(it.r.server->commands);
    CHECK_INT(0, told_of_get(&it.r, FE_DURATION_RUN, &ran));
    CHECK_INT(0, told_of_get(&it.r, FE_DURATION_WHOLE, &whole));
    cold_close(&it);
}

/* Checks how many durations of GET each tier has; with `are_all`, that together they are the whole. */
static void check_told_by_tier(const rig *r, const int64_t expected[3], bool are_all)
{
    const fe_duration kinds[3] = {FE_DURATION_READ_ONLY, FE_DURATION_READ_CACHE, FE_DURATION_DISK};
    uint64_t sums = 0, sum;
    for (int i = 0; i < 3; i++) {
        CHECK_INT(expected[i], (int64_t)told_of_get(r, kinds[i], &sum));
        sums += sum;
    }
    uint64_t count = told_of_get(r, FE_DURATION_WHOLE, &sum);
    if (are_all) {
        CHECK_INT((int64_t)count, expected[0] + expected[1] + expected[2]);
        CHECK_INT((int64_t)sum, (int64_t)sums);
    }
}

TEST(durations_count_for_the_deepest_tier_that_served_the_command)
{
    cold_rig it;
    cold_open(&it);
    fe_engine *engine = it.r.server->engine;
    engine->options.latency_tracking = engine->options.metrics = true;
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a 1x b 2x\r\nGET a\r\nGET none\r\n", "+OK\r\n$2\r\n1x\r\n$-1\r\n");
    check_told_by_tier(&it.r, (int64_t[]){0, 0, 0}, false);

    fe_commands_reset_stats(it.r.server->commands);
    rig_demote(&it.r, FE_TIER_MAPPED);
    CHECK_SAYS(one, "GET a\r\n", "$2\r\n1x\r\n");
    check_told_by_tier(&it.r, (int64_t[]){1, 0, 0}, true);
    CHECK_SAYS(one, "SET c 2x\r\n", "+OK\r\n");
    freeze(&it);
    rig_say(one, "GET c\r\n");
    CHECK_INT(FE_PARK_DISK, one->session->park);
    CHECK_SAYS(two, "GET none\r\n", "$-1\r\n"); /* nobody's tier: the other one still waits */
    rig_settle(&it.r);
    CHECK_GOT(one, "$2\r\n2x\r\n");
    check_told_by_tier(&it.r, (int64_t[]){1, 0, 1}, false);
    CHECK_SAYS(one, "GET c\r\n", "$2\r\n2x\r\n");
    check_told_by_tier(&it.r, (int64_t[]){1, 1, 1}, false);

    CHECK_SAYS(one, "SET hot x\r\nGET hot\r\nPING\r\n", "+OK\r\n$1\r\nx\r\n+PONG\r\n");
    check_told_by_tier(&it.r, (int64_t[]){1, 1, 1}, false);
    cold_close(&it);
}

TEST(a_command_with_keys_in_several_tiers_is_the_deepest_ones)
{
    cold_rig it;
    cold_open(&it);
    fe_engine *engine = it.r.server->engine;
    engine->options.latency_tracking = engine->options.metrics = true;
    peer *one = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a 1x b 2x\r\n", "+OK\r\n");
    CHECK_COLD(&it, one, "GET a\r\n", "$2\r\n1x\r\n");
    CHECK_SAYS(one, "SET mapped x\r\n", "+OK\r\n");
    rig_demote(&it.r, FE_TIER_MAPPED);
    CHECK_SAYS(one, "SET hot x\r\n", "+OK\r\n");
    uint64_t sum;

    CHECK_SAYS(one, "MGET mapped hot\r\n", "*2\r\n$1\r\nx\r\n$1\r\nx\r\n");
    CHECK_INT(1, told_of(&it.r, "mget", FE_DURATION_READ_ONLY, &sum));
    CHECK_SAYS(one, "MGET a mapped hot\r\n", "*3\r\n$2\r\n1x\r\n$1\r\nx\r\n$1\r\nx\r\n");
    CHECK_INT(1, told_of(&it.r, "mget", FE_DURATION_READ_CACHE, &sum));
    rig_say(one, "MGET hot b mapped a\r\n");
    rig_settle(&it.r);
    CHECK_GOT(one, "*4\r\n$1\r\nx\r\n$2\r\n2x\r\n$1\r\nx\r\n$2\r\n1x\r\n");
    CHECK_INT(1, told_of(&it.r, "mget", FE_DURATION_DISK, &sum));
    CHECK_INT(3, told_of(&it.r, "mget", FE_DURATION_WHOLE, &sum));

    engine->options.latency_tracking = false;
    CHECK_SAYS(one, "GET mapped\r\nGET hot\r\n", "$1\r\nx\r\n$1\r\nx\r\n");
    CHECK_INT(1, told_of_get(&it.r, FE_DURATION_READ_ONLY, &sum));
    engine->options.metrics = false;
    CHECK_SAYS(one, "GET mapped\r\n", "$1\r\nx\r\n");
    CHECK_INT(1, told_of_get(&it.r, FE_DURATION_READ_ONLY, &sum));
    engine->options.metrics = true;
    CHECK_SAYS(one, "GET hot\r\n", "$1\r\nx\r\n"); /* what was not counted is not this one's */
    CHECK_INT(1, told_of_get(&it.r, FE_DURATION_READ_ONLY, &sum));
    cold_close(&it);
}

/* A ledger of prefixes, and hot keys. */
static void observe(cold_rig *it)
{
    fe_engine *engine = it->r.server->engine;
    fe_insight_options options = {
        .hot_keys = true,
        .hot_half_life_s = 60,
        .prefixes = {.on = true, .separator = ':', .parts = 1, .count = 8}};
    fe_insight_set_options(&engine->insight, &options, engine->now_ms);
}

static const fe_prefix *prefix_of(const cold_rig *it, const char *name)
{
    const fe_prefixes *ledger = it->r.server->engine->insight.prefixes;
    for (uint32_t i = 0; i < ledger->count; i++)
        if (ledger->entries[i].name_len == strlen(name) &&
            memcmp(ledger->entries[i].name, name, strlen(name)) == 0)
            return &ledger->entries[i];
    abort();
}

static double hot_reads(const cold_rig *it, const char *key)
{
    fe_engine *engine = it->r.server->engine;
    fe_hot_line lines[FE_HOT_KEYS];
    uint32_t count = fe_hot_list(&engine->insight.hot->by[FE_HOT_DISK], engine->now_ms, lines);
    for (uint32_t i = 0; i < count; i++)
        if (lines[i].key->name_len == strlen(key) &&
            memcmp(lines[i].key->name, key, strlen(key)) == 0)
            return lines[i].per_second;
    return 0;
}

/* Of commands that wait, and of those that write blindly and leave it to a read to settle what was there. */
TEST(each_read_is_of_the_key_that_it_is_for)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a:1 x a:2 x a:3 x b:1 x b:2 x\r\n", "+OK\r\n");
    freeze(&it);
    observe(&it);
    uint64_t reads = reads_of(&it.r);

    CHECK_SAYS(one, "SET a:1 y\r\nMSET a:2 y b:1 y new:1 y\r\nSETEX b:2 100 y\r\n",
               "+OK\r\n+OK\r\n+OK\r\n");
    CHECK(prefix_of(&it, "b")->disk_reads == 2);
    rig_say(one, "GET a:1\r\nGET a:3\r\nDBSIZE\r\n"); /* which waits until all is settled */
    rig_settle(&it.r);

    CHECK_GOT(one, "$1\r\ny\r\n$1\r\nx\r\n:6\r\n");
    CHECK_INT(5, reads_of(&it.r) - reads);
    CHECK(prefix_of(&it, "a")->disk_reads == 3);
    CHECK(prefix_of(&it, "b")->disk_reads == 2);
    CHECK(hot_reads(&it, "a:1") > 0 && hot_reads(&it, "b:1") > 0 && hot_reads(&it, "new:1") == 0);
    cold_close(&it);
}

/* What is watched is read for EXEC; and all of its commands have waited as long as it has. */
TEST(reads_and_waits_of_a_transaction_are_told)
{
    cold_rig it;
    cold_open(&it);
    fe_engine *engine = it.r.server->engine;
    engine->options.latency_tracking = true;
    peer *one = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a:1 x b:1 x\r\n", "+OK\r\n");
    CHECK_SAYS(one, "WATCH a:1\r\nMULTI\r\nGET b:1\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
    freeze(&it);
    observe(&it);

    rig_say(one, "EXEC\r\n");
    CHECK_INT(FE_PARK_DISK, one->session->park);
    usleep(2000);
    rig_settle(&it.r);

    CHECK_GOT(one, "*1\r\n$1\r\nx\r\n");
    CHECK(prefix_of(&it, "a")->disk_reads == 1 && prefix_of(&it, "b")->disk_reads == 1);
    uint64_t ran;
    CHECK_INT(1, told_of_get(&it.r, FE_DURATION_RUN, &ran));
    const fe_exponential *told = &prefix_of(&it, "b")->durations;
    CHECK_INT(1, fe_exponential_count(told));
    CHECK(told->sum >=
          ran + fe_engine_ticks_units(engine, (uint64_t)(1500 * engine->ticks_per_us)));
    CHECK_SAYS(one, "MULTI\r\nGET b:1\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n");
    cold_close(&it);
}

TEST(a_pipeline_reads_many_keys_at_once_and_answers_in_order)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a 1x b 2x c 3x d 4x\r\n", "+OK\r\n");
    freeze(&it);

    rig_say(one, "GET a\r\nGET b\r\nPING\r\nGET c\r\nGET none\r\nGET d\r\n");
    CHECK_INT(4, reads_of(&it.r) + fe_disk_in_flight(it.r.server->engine->disk));
    rig_settle(&it.r);

    CHECK_GOT(one, "$2\r\n1x\r\n$2\r\n2x\r\n+PONG\r\n$2\r\n3x\r\n$-1\r\n$2\r\n4x\r\n");
    cold_close(&it);
}

TEST(two_sessions_that_want_one_record_share_a_read)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    CHECK_SAYS(one, "SET a 1x\r\n", "+OK\r\n");
    freeze(&it);

    rig_say(one, "GET a\r\n");
    rig_say(two, "STRLEN a\r\n");
    rig_settle(&it.r);

    CHECK_GOT(one, "$2\r\n1x\r\n");
    CHECK_GOT(two, ":2\r\n");
    CHECK_INT(1, reads_of(&it.r));
    cold_close(&it);
}

TEST(sessions_that_are_woken_together_go_on_each_as_it_must)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r), *three = rig_connect(&it.r);
    CHECK_SAYS(one, "SET a 1x\r\nSET b 2x\r\n", "+OK\r\n+OK\r\n");
    freeze(&it);

    char request[64];
    (void)snprintf(request, sizeof request, "GET a\r\nCLIENT KILL ID %u\r\nPING\r\n",
                   (unsigned)two->session->client.id);
    rig_say(one, request);
    rig_say(two, "GET a\r\nSET c x\r\n");
    rig_say(three, "GET b\r\nEXISTS c a\r\nGET a\r\n");
    rig_settle(&it.r);

    CHECK_GOT(one, "$2\r\n1x\r\n:1\r\n+PONG\r\n");
    CHECK(two->session->cut_off);
    CHECK_GOT(two, "");
    CHECK_GOT(three, "$2\r\n2x\r\n:1\r\n$2\r\n1x\r\n");
    CHECK_INT(2, reads_of(&it.r));
    cold_close(&it);
}

TEST(a_plain_set_does_not_wait_and_dbsize_waits_until_it_is_settled)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r);
    CHECK_SAYS(one, "SET a 1x\r\nSET b 2x\r\n", "+OK\r\n+OK\r\n");
    freeze(&it);

    CHECK_SAYS(one, "SET a new\r\nGET a\r\n", "+OK\r\n$3\r\nnew\r\n");
    rig_say(one, "DBSIZE\r\n");
    rig_settle(&it.r);

    CHECK_GOT(one, ":2\r\n");
    CHECK_COLD(&it, one, "GET a\r\n", "$3\r\nnew\r\n");
    cold_close(&it);
}

TEST(commands_of_every_kind_see_cold_keys)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a 1 b two c 3x\r\n", "+OK\r\n");

    CHECK_COLD(&it, one, "INCR a\r\n", ":2\r\n");
    CHECK_COLD(&it, one, "APPEND b x\r\n", ":4\r\n");
    CHECK_COLD(&it, one, "SETNX c no\r\n", ":0\r\n");
    CHECK_COLD(&it, one, "SET c 4x GET\r\n", "$2\r\n3x\r\n");
    CHECK_COLD(&it, one, "MGET a b c none\r\n",
               "*4\r\n$1\r\n2\r\n$4\r\ntwox\r\n$2\r\n4x\r\n$-1\r\n");
    CHECK_COLD(&it, one, "EXISTS a b none\r\n", ":2\r\n");
    CHECK_COLD(&it, one, "EXPIRE a 100\r\n", ":1\r\n");
    CHECK_COLD(&it, one, "TTL a\r\n", ":100\r\n");
    CHECK_COLD(&it, one, "TYPE a\r\n", "+string\r\n");
    CHECK_COLD(&it, one, "RENAME b d\r\n", "+OK\r\n");
    CHECK_COLD(&it, one, "COPY d a\r\n", ":0\r\n");
    CHECK_COLD(&it, one, "COPY d a DB 1\r\n", ":1\r\n");
    CHECK_COLD(&it, one, "COPY d a DB 1\r\n", ":0\r\n"); /* in the way, cold, in another database */
    CHECK_COLD(&it, one, "MOVE a 1\r\n", ":0\r\n");
    CHECK_COLD(&it, one, "SETBIT c 1 0\r\n", ":0\r\n");
    CHECK_COLD(&it, one, "BITCOUNT c\r\n", ":7\r\n");
    CHECK_COLD(&it, one, "PFADD h x y\r\n", ":1\r\n");
    CHECK_COLD(&it, one, "PFCOUNT h\r\n", ":2\r\n");
    CHECK_COLD(&it, one, "OBJECT ENCODING d\r\n", "$3\r\nraw\r\n");
    CHECK_COLD(&it, one, "DEL a d none\r\n", ":2\r\n");
    CHECK_COLD(&it, one, "DBSIZE\r\n", ":2\r\n");
    CHECK_COLD(&it, one, "KEYS c\r\n", "*1\r\n$1\r\nc\r\n");
    CHECK_COLD(&it, one, "KEYS ?\r\nDEL h\r\nRANDOMKEY\r\n",
               "*2\r\n$1\r\nc\r\n$1\r\nh\r\n:1\r\n$1\r\nc\r\n");
    CHECK_COLD(&it, one, "SCAN 0\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n");
    cold_close(&it);
}

TEST(exec_has_all_keys_before_it_runs)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a 1 b 2\r\nSELECT 1\r\nSET a 7\r\nSELECT 0\r\n",
               "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
    freeze(&it);

    rig_say(one, "WATCH b\r\n");
    rig_settle(&it.r);
    CHECK_GOT(one, "+OK\r\n");
    CHECK_COLD(
        &it, one,
        "MULTI\r\nINCR a\r\nSELECT 1\r\nINCR a\r\nSWAPDB 0 1\r\nINCR a\r\nDBSIZE\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
        "*6\r\n:2\r\n+OK\r\n:8\r\n+OK\r\n:3\r\n:2\r\n");
    CHECK_SAYS(two, "GET a\r\n", "$1\r\n8\r\n");
    cold_close(&it);
}

TEST(a_watched_cold_key_that_changes_refuses_exec)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    CHECK_SAYS(one, "SET a 1\r\n", "+OK\r\n");
    CHECK_COLD(&it, one, "WATCH a\r\n", "+OK\r\n");
    CHECK_COLD(&it, two, "SET a 2\r\n", "+OK\r\n");

    CHECK_COLD(&it, one, "MULTI\r\nGET a\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
    cold_close(&it);
}

TEST(a_session_may_end_while_it_waits_for_the_disk)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    CHECK_SAYS(one, "MSET a 1x b 2x\r\n", "+OK\r\n");
    freeze(&it);

    rig_say(one, "MULTI\r\nGET a\r\nGET b\r\nEXEC\r\n");
    rig_say(two, "GET a\r\n");
    rig_hang_up(one);
    rig_settle(&it.r);

    CHECK_GOT(two, "$2\r\n1x\r\n");
    cold_close(&it);
}

TEST(an_exec_whose_client_goes_in_its_middle_still_has_its_keys)
{
    cold_rig it;
    cold_open_with(&it, 64u << 10);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    CHECK_SAYS(one, "SET a 1\r\n", "+OK\r\n");
    char request[1200];
    for (int i = 0; i < 1200; i++) { /* a is among the first that should leave memory */
        (void)snprintf(request, sizeof request, "SET key:%d %01000d\r\n", i, i);
        CHECK_SAYS(one, request, "+OK\r\n");
    }
    rig_say(one, "MULTI\r\nPYECHO\r\nINCR a\r\nEXEC\r\n");
    for (int i = 0; i < 200; i++)
        (void)fe_flusher_round(it.r.server->engine);

    rig_hang_up(one);
    while (rig_answer(&it.r, "+late\r\n", false)) {}
    for (int i = 0; i < 200; i++)
        (void)fe_flusher_round(it.r.server->engine);
    rig_say(two, "OBJECT TIER a\r\nGET a\r\n");
    rig_settle(&it.r);

    const char *got = rig_take(two);
    CHECK(strstr(got, "$1\r\n2\r\n") != NULL);
    fe_tier_stats stats;
    fe_tier_stats_get(it.r.server->engine->store, &stats);
    CHECK(stats.demoted > 0);
    cold_close(&it);
}

/* A transaction waits in its middle for Python, and `a` is in the read cache. */
static void wait_in_exec(cold_rig *it, peer *one)
{
    CHECK_SAYS(one, "SET a 1\r\n", "+OK\r\n");
    CHECK_COLD(it, one, "GET a\r\n", "$1\r\n1\r\n");
    rig_say(one, "MULTI\r\nPYECHO\r\nINCR a\r\nEXEC\r\n");
    CHECK_INT(it->r.server->engine->pause.exclusive, one->session->client.id);
}

static void trim(cold_rig *it)
{
    while (fe_look_trim_cache(it->r.server->engine->store, 1 << 20))
        continue;
}

TEST(the_read_cache_drops_nothing_while_a_transaction_waits_in_its_middle)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    wait_in_exec(&it, one);
    uint64_t reads = reads_of(&it.r);
    trim(&it);

    rig_hang_up(one);
    while (rig_answer(&it.r, "+late\r\n", false)) {}
    CHECK_SAYS(two, "GET a\r\n", "$1\r\n2\r\n");
    CHECK_INT(reads, reads_of(&it.r));
    CHECK_COLD(&it, two, "GET a\r\n", "$1\r\n2\r\n");
    uint64_t bytes = fe_cache_bytes(it.r.server->engine->store);
    trim(&it);
    CHECK(fe_cache_bytes(it.r.server->engine->store) < bytes); /* it may again */
    cold_close(&it);
}

TEST(a_command_of_a_client_that_has_gone_is_refused_when_its_keys_have_left_memory)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    wait_in_exec(&it, one);
    fe_cache_keep(it.r.server->engine->store, false); /* as if it had left some other way */
    trim(&it);

    rig_hang_up(one);
    while (rig_answer(&it.r, "+late\r\n", false)) {}
    rig_settle(&it.r);
    rig_say(two, "GET a\r\n");
    rig_settle(&it.r);
    CHECK_GOT(two, "$1\r\n1\r\n");
    cold_close(&it);
}

TEST(a_command_that_waited_and_is_held_or_refused_holds_nothing)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r), *two = rig_connect(&it.r);
    CHECK_SAYS(one, "SET a 1\r\nSET b 1\r\n", "+OK\r\n+OK\r\n");
    freeze(&it);

    rig_say(one, "INCR a\r\n");
    CHECK(one->session->waiter.open);
    CHECK_SAYS(two, "CLIENT PAUSE 60000 WRITE\r\n", "+OK\r\n");
    rig_settle(&it.r);
    CHECK_INT(FE_PARK_PAUSE, one->session->park);
    CHECK(!one->session->waiter.open);
    CHECK_SAYS(two, "CLIENT UNPAUSE\r\n", "+OK\r\n");
    rig_settle(&it.r);
    CHECK_GOT(one, ":2\r\n");

    rig_say(one, "INCR b\r\n");
    CHECK(one->session->waiter.open);
    it.r.server->engine->store->tiers->index_over = true;
    rig_settle(&it.r);
    CHECK_GOT(one, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    CHECK(!one->session->waiter.open);
    it.r.server->engine->store->tiers->index_over = false;
    cold_close(&it);
}

TEST(keys_goes_through_a_cold_database_step_by_step)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r);
    char request[64];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(request, sizeof request, "SET key:%d x\r\n", i);
        CHECK_SAYS(one, request, "+OK\r\n");
    }
    freeze(&it);

    rig_say(one, "KEYS key:49?9\r\nKEYS *\r\nPING\r\n");
    rig_settle(&it.r);

    const char *got = rig_take(one);
    CHECK(strncmp(got, "*10\r\n", 5) == 0);
    CHECK(strstr(got, "*5000\r\n") != NULL);
    CHECK(strcmp(got + strlen(got) - 7, "+PONG\r\n") == 0);
    cold_close(&it);
}

/* `word` and `count` keys, each with `after` behind it; the caller frees it. */
static char *request_of(const char *word, const char *prefix, uint32_t count, const char *after)
{
    char *request = malloc(16 + count * 32), *at = request + sprintf(request, "%s", word);
    for (uint32_t i = 0; i < count; i++)
        at += sprintf(at, " %s%u%s", prefix, i, after);
    strcpy(at, "\r\n");
    return request;
}

/* A request for `count` cold keys, and behind it GET of a key in memory by another: how long they ran. */
static void run_beside(cold_rig *it, peer *const *peers, const char *prefix, uint64_t *mget,
                       uint64_t *get)
{
    char *write = request_of("MSET", prefix, 1000, " v"),
         *read = request_of("MGET", prefix, 1000, "");
    CHECK_SAYS(peers[0], write, "+OK\r\n");
    freeze(it);
    CHECK_SAYS(peers[1], "SET hot v\r\n", "+OK\r\n");
    fe_commands_reset_stats(it->r.server->commands);
    const char *texts[] = {read, "GET hot\r\n"};
    rig_send_group(&it->r, peers, texts, 2);
    CHECK_INT(FE_PARK_DISK, peers[0]->session->park);
    CHECK_GOT(peers[1], "$1\r\nv\r\n");
    rig_settle(&it->r);
    CHECK_INT(1, told_of(&it->r, "mget", FE_DURATION_RUN, mget));
    CHECK_INT(1, told_of(&it->r, "get", FE_DURATION_RUN, get));
    (void)rig_take(peers[0]);
    free(write);
    free(read);
}

/* A pause of the test's own thread may fall into a GET, but not into each of ten. */
TEST(the_time_of_looking_up_cold_keys_is_not_that_of_the_next_command)
{
    cold_rig it;
    cold_open(&it);
    it.r.server->engine->options.latency_tracking = true;
    peer *peers[] = {rig_connect(&it.r), rig_connect(&it.r)};
    bool less = false;
    for (int i = 0; i < 10; i++) {
        char prefix[16];
        uint64_t mget, get;
        (void)snprintf(prefix, sizeof prefix, "k%d:", i);
        run_beside(&it, peers, prefix, &mget, &get);
        less |= get < mget / 8;
    }
    CHECK(less);
    cold_close(&it);
}

/* One request for more keys than the disk has places, and others that are served meanwhile. */
TEST(a_long_request_leaves_the_thread_to_others_after_some_reads)
{
    cold_rig it;
    cold_open(&it);
    peer *one = rig_connect(&it.r);
    char *write = request_of("MSET", "k", 2000, " v"), *request = request_of("MGET", "k", 2000, "");
    CHECK_SAYS(one, write, "+OK\r\n");
    free(write);
    freeze(&it);
    rig_say(one, request);
    CHECK_INT(FE_PARK_DISK, one->session->park);
    uint64_t before = reads_of(&it.r), most = 0;
    while (one->session->waiter.pending != 0) {
        struct pollfd wait = {.fd = fe_disk_fd(it.r.server->engine->disk), .events = POLLIN};
        CHECK_INT(1, poll(&wait, 1, 10000));
        usleep(1000);
        if (one->session->waiter.pending % 2 == 0)
            fe_server_take_records(it.r.server);
        else
            CHECK(fe_server_take_done(it.r.server) <= 64 + 31);
        uint64_t taken = reads_of(&it.r) - before;
        if (taken > most) most = taken;
        before += taken;
    }
    CHECK(most <= 64 + 31); /* the last of two passes may be a full one */
    rig_pump(&it.r);
    CHECK_BYTES("*2000\r\n$1\r\nv\r\n", 14, rig_take(one), 14);
    free(request);
    cold_close(&it);
}

int main(void)
{
    RUN(a_cold_key_is_read_and_the_command_answers);
    RUN(waits_for_the_disk_count_for_metrics_and_not_for_the_histograms_of_latency);
    RUN(durations_count_for_the_deepest_tier_that_served_the_command);
    RUN(a_command_with_keys_in_several_tiers_is_the_deepest_ones);
    RUN(each_read_is_of_the_key_that_it_is_for);
    RUN(reads_and_waits_of_a_transaction_are_told);
    RUN(a_pipeline_reads_many_keys_at_once_and_answers_in_order);
    RUN(two_sessions_that_want_one_record_share_a_read);
    RUN(sessions_that_are_woken_together_go_on_each_as_it_must);
    RUN(a_plain_set_does_not_wait_and_dbsize_waits_until_it_is_settled);
    RUN(commands_of_every_kind_see_cold_keys);
    RUN(exec_has_all_keys_before_it_runs);
    RUN(a_watched_cold_key_that_changes_refuses_exec);
    RUN(a_session_may_end_while_it_waits_for_the_disk);
    RUN(an_exec_whose_client_goes_in_its_middle_still_has_its_keys);
    RUN(the_read_cache_drops_nothing_while_a_transaction_waits_in_its_middle);
    RUN(a_command_of_a_client_that_has_gone_is_refused_when_its_keys_have_left_memory);
    RUN(a_command_that_waited_and_is_held_or_refused_holds_nothing);
    RUN(keys_goes_through_a_cold_database_step_by_step);
    RUN(a_long_request_leaves_the_thread_to_others_after_some_reads);
    RUN(the_time_of_looking_up_cold_keys_is_not_that_of_the_next_command);
    return check_done();
}
