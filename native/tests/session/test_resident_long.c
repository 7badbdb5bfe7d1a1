/* Commands over several long values on disk: they answer as if all were in memory, in little of it. */
#include "tests/check.h"

#include "engine/flusher.h"
#include "engine/workers.h"
#include "session/session.h"
#include "store/look.h"
#include "store/store.h"
#include "tests/folder.h"
#include "tests/session/rig.h"

#include <poll.h>
#include <unistd.h>

#define COUNT 30u
#define LEN ((size_t)1 << 20)
#define LIMIT                                                                                      \
    ((uint64_t)16 << 20) /* 2 MiB of long reads at a time, 256 KiB kept where no value is needed */

typedef struct long_rig {
    rig r;
    char path[64];
    peer *one;
    uint64_t most; /* memory of mappings, while the last command ran */
} long_rig;

/* What is unmapped in the background: a round of it is bounded in time, and may be slow here. */
static void work(fe_engine *engine)
{
    while (fe_workers_round(engine)) {}
}

static void freeze(long_rig *it)
{
    rig_demote(&it->r, FE_TIER_DISK);
    fe_engine *engine = it->r.server->engine;
    uint64_t entered = fe_engine_enter(engine);
    while (fe_look_trim_cache(engine->store, 1 << 20)) {}
    fe_engine_leave(engine, FE_STEP_TIER, entered);
    work(engine);
}

static void long_open(long_rig *it)
{
    *it = (long_rig){.most = 0};
    strcpy(it->path, "/tmp/ferrite-resident-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    fe_engine_options options = rig_options();
    options.store.memory_max = LIMIT;
    options.store.mutable_size = options.store.readonly_size = options.store.cache_size = 1u << 20;
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", it->path);
    rig_open_with(&it->r, &options);
    it->one = rig_connect(&it->r);
    for (unsigned i = 0; i < COUNT; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "SETRANGE k%u %zu x\r\n", i, LEN - 1);
        CHECK_SAYS(it->one, line, ":1048576\r\n");
        (void)snprintf(line, sizeof line, "SETRANGE k%u 5 %u\r\nPEXPIREAT k%u 9999999999999\r\n", i,
                       10 + i, i);
        CHECK_SAYS(it->one, line, ":1048576\r\n:1\r\n");
        freeze(it);
    }
}

static void long_close(long_rig *it)
{
    fe_engine_finish_reads(it->r.server->engine);
    rig_close(&it->r);
    remove_folder(it->path);
}

static void note(long_rig *it)
{
    uint64_t now = fe_alloc_used(&it->r.server->engine->alloc, FE_ALLOC_LOG);
    if (now > it->most) it->most = now;
}

/* Until the session waits for the disk no more; the worker does its part in between. */
static void settle(long_rig *it)
{
    fe_engine *engine = it->r.server->engine;
    const fe_session *session = it->one->session;
    while (session->state == FE_SESSION_PARKED && session->park == FE_PARK_DISK) {
        note(it);
        struct pollfd wait = {.fd = fe_disk_fd(engine->disk), .events = POLLIN};
        (void)poll(&wait, 1, 10);
        fe_server_take_records(it->r.server);
        note(it);
        rig_pump(&it->r);
        work(engine);
    }
}

/* `text` with each key in place of its %u, one after another, then `end`. */
static void add_each(char *to, size_t size, const char *text, const char *end)
{
    size_t at = strlen(to);
    for (unsigned i = 0; i < COUNT; i++)
        at += (size_t)snprintf(to + at, size - at, text, i);
    (void)snprintf(to + at, size - at, "%s", end);
}

/* All keys are on disk, the peer says this, and gets that. */
static void ask(long_rig *it, const char *request, const char *expected)
{
    freeze(it);
    it->most = 0;
    rig_say(it->one, request);
    settle(it);
    CHECK_GOT(it->one, expected);
    CHECK(it->most != 0);
}

#define TEXT_MAX 8192

/* One command for each key, in one pipeline; each answers `reply`. */
static void ask_pipeline(long_rig *it, const char *command, const char *reply)
{
    char request[TEXT_MAX] = "", expected[TEXT_MAX] = "";
    add_each(request, sizeof request, command, "");
    for (unsigned i = 0; i < COUNT; i++)
        strcat(expected, reply);
    ask(it, request, expected);
}

/* Bytes that reads, what is kept of them, and one value beyond take at most. */
#define LITTLE (LIMIT / 8 + LIMIT / 64 + 4 * LEN)

TEST(pipelines_over_long_values_take_little_memory_whatever_they_ask)
{
    long_rig it;
    long_open(&it);
    static const char *const commands[][2] = {
        {"EXISTS k%u\r\n", ":1\r\n"},
        {"STRLEN k%u\r\n", ":1048576\r\n"},
        {"PEXPIRETIME k%u\r\n", ":9999999999999\r\n"},
        {"TYPE k%u\r\n", "+string\r\n"},
        {"TOUCH k%u\r\n", ":1\r\n"},
        {"GETRANGE k%u -1 -1\r\n", "$1\r\nx\r\n"},
        {"GETBIT k%u 8388607\r\n", ":0\r\n"},
    };
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        ask_pipeline(&it, commands[i][0], commands[i][1]);
        CHECK(it.most <= LITTLE);
    }
    long_close(&it);
}

TEST(one_command_over_many_long_values_that_needs_none_of_them_takes_little_memory)
{
    long_rig it;
    long_open(&it);
    char request[TEXT_MAX] = "EXISTS";
    add_each(request, sizeof request, " k%u", "\r\n");
    ask(&it, request, ":30\r\n");
    CHECK(it.most <= LITTLE);
    memcpy(request, "UNLINK", 6);
    char among[TEXT_MAX];
    (void)snprintf(among, sizeof among, "MULTI\r\nSET other 1\r\n%.6s%.*s\r\nDBSIZE\r\nEXEC\r\n",
                   "EXISTS", (int)strcspn(request + 6, "\r"), request + 6);
    ask(&it, among, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:30\r\n:31\r\n");
    CHECK(it.most <= LITTLE);
    ask(&it, request, ":30\r\n");
    CHECK(it.most <= LITTLE);
    CHECK_SAYS(it.one, "DBSIZE\r\n", ":1\r\n");
    long_close(&it);
}

TEST(walks_over_long_values_take_little_memory)
{
    long_rig it;
    long_open(&it);
    ask(&it, "KEYS nothing*\r\n", "*0\r\n");
    CHECK(it.most <= LITTLE);
    freeze(&it);
    it.most = 0;
    rig_say(it.one, "SCAN 0 COUNT 1000 TYPE string\r\n");
    settle(&it);
    const char *got = rig_take(it.one);
    CHECK(strncmp(got, "*2\r\n$1\r\n0\r\n*30\r\n", 15) == 0);
    CHECK(it.most <= LITTLE);
    long_close(&it);
}

TEST(values_behind_heads_are_whole_when_they_are_asked_for)
{
    long_rig it;
    long_open(&it);
    char request[TEXT_MAX] = "EXISTS";
    add_each(request, sizeof request, " k%u", "\r\n");
    ask(&it, request, ":30\r\n");
    uint64_t reads = it.r.server->engine->store->fetch.stats.reads;
    CHECK_SAYS(it.one, request, ":30\r\n"); /* from the heads */
    CHECK_INT((int64_t)reads, (int64_t)it.r.server->engine->store->fetch.stats.reads);
    for (unsigned i = 0; i < COUNT; i++) {
        char line[64], expected[64];
        (void)snprintf(line, sizeof line, "GETRANGE k%u 5 6\r\nSTRLEN k%u\r\n", i, i);
        (void)snprintf(expected, sizeof expected, "$2\r\n%u\r\n:1048576\r\n", 10 + i);
        rig_say(it.one, line);
        settle(&it);
        CHECK_GOT(it.one, expected);
    }
    (void)snprintf(request, sizeof request, "EXISTS k1 k2 k3 k4 k5 k6\r\n");
    ask(&it, request, ":6\r\n");
    ask(&it,
        "MULTI\r\nEXISTS k6\r\nAPPEND k6 yz\r\nGETRANGE k6 -3 -1\r\nEXPIRE k5 100\r\nGETRANGE k5 5 "
        "6\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
        "*5\r\n:1\r\n:1048578\r\n$3\r\nxyz\r\n:1\r\n$2\r\n15\r\n");
    ask(&it,
        "EXISTS k1 k2 k3 k4 k5 k6\r\nPERSIST k4\r\nRENAME k3 k33\r\nGETRANGE k33 5 6\r\nGETRANGE "
        "k4 5 6\r\n",
        ":6\r\n:1\r\n+OK\r\n$2\r\n13\r\n$2\r\n14\r\n");
    long_close(&it);
}

int main(void)
{
    RUN(pipelines_over_long_values_take_little_memory_whatever_they_ask);
    RUN(one_command_over_many_long_values_that_needs_none_of_them_takes_little_memory);
    RUN(walks_over_long_values_take_little_memory);
    RUN(values_behind_heads_are_whole_when_they_are_asked_for);
    return check_done();
}
