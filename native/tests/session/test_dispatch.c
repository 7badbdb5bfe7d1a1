/* The checks between a request and its handler, and killed clients. */
#include "tests/check.h"

#include "session/dispatch.h"
#include "store/store.h"
#include "store/tier.h"
#include "tests/folder.h"
#include "tests/session/rig.h"

#include <unistd.h>

TEST(a_killed_client_is_gone_at_once_for_others_and_gets_nothing_more)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it), *three = rig_connect(&it);
    peer *peers[2] = {one, two};
    const char *texts[2] = {"CLIENT KILL ID 2\r\nCLIENT KILL ID 2\r\n", "SET a 1\r\n"};

    rig_send_group(&it, peers, texts, 2);

    CHECK_GOT(one, ":1\r\n:0\r\n");
    CHECK_GOT(two, "");
    CHECK_INT(FE_SESSION_CLOSING, two->session->state);
    CHECK_SAYS(one, "EXISTS a\r\n", ":0\r\n");
    CHECK_SAYS(three, "CLIENT KILL ADDR 127.0.0.1:50002 SKIPME no\r\nPING\r\n", ":1\r\n");
    CHECK_INT(FE_SESSION_CLOSING, three->session->state);
    CHECK_SAYS(one, "CLIENT KILL 127.0.0.1:50000\r\nPING\r\n", "+OK\r\n");
    CHECK_INT(FE_SESSION_CLOSING, one->session->state);
    rig_close(&it);
}

TEST(debug_needs_its_option)
{
    fe_engine_options options = rig_options();
    options.debug_enabled = false;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "DEBUG SLEEP 0\r\n");

    CHECK(strstr(rig_take(one), "-ERR DEBUG command not allowed") != NULL);
    rig_close(&it);
}

TEST(memory_limits_refuse_what_would_grow)
{
    fe_engine_options options = rig_options();
    options.store.memory_max = 1u << 20;
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    bool refused = false;
    for (int i = 0; i < 40000 && !refused; i++) {
        char line[128];
        int len = snprintf(line, sizeof line,
                           "SET key:%d 0123456789012345678901234567890123456789\r\n", i);
        rig_send(one, line, (size_t)len);
        refused = strcmp(rig_take(one), "+OK\r\n") != 0;
    }

    static const char oom[] = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    CHECK(refused);
    CHECK_SAYS(one, "SET a b\r\n", oom);
    CHECK_SAYS(one, "MULTI\r\nSET a b\r\n",
               "+OK\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    CHECK_SAYS(one, "EXEC\r\n", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    CHECK_SAYS(one, "EXISTS key:0\r\nDEL key:0\r\nPING\r\n", ":1\r\n:1\r\n+PONG\r\n");
    rig_close(&it);
}

/* Over a folder, with a limit of memory; nothing is flushed by itself. */
static void folder_open(rig *it, char path[64])
{
    fe_engine_options options = rig_options();
    strcpy(path, "/tmp/ferrite-dispatch-XXXXXX");
    FE_ASSERT(mkdtemp(path) != NULL);
    options.store.memory_max = 64u << 20;
    options.store.mutable_size = options.store.readonly_size = options.store.cache_size = 1u << 20;
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", path);
    rig_open_with(it, &options);
}

static void folder_close(rig *it, const char *path)
{
    fe_engine_finish_reads(it->server->engine);
    rig_close(it);
    remove_folder(path);
}

/* Writes until one waits, or is answered anything but OK. */
static void write_on(peer *one)
{
    for (int i = 0; i < 100000 && one->session->park != FE_PARK_ROOM; i++) {
        char line[256];
        int len = snprintf(line, sizeof line, "SET key:%d %0150d\r\n", i, i);
        rig_send(one, line, (size_t)len);
        if (one->session->park != FE_PARK_ROOM && strcmp(rig_take(one), "+OK\r\n") != 0) return;
    }
}

static fe_tier_stats tier_stats(const rig *it)
{
    fe_tier_stats stats;
    fe_tier_stats_get(it->server->engine->store, &stats);
    return stats;
}

TEST(reads_neither_wait_for_the_disk_nor_count_as_writers_that_do)
{
    rig it;
    char path[64];
    folder_open(&it, path);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    CHECK_SAYS(two, "SET a 1x\r\n", "+OK\r\n");
    write_on(one);
    CHECK_INT(FE_PARK_ROOM, one->session->park);
    CHECK_INT(1, tier_stats(&it).busy);

    it.server->engine->store->tiers->behind = false;
    for (int i = 0; i < 10; i++)
        CHECK_SAYS(two, "GET a\r\nPING\r\nMULTI\r\nGET a\r\nEXEC\r\n",
                   "$2\r\n1x\r\n+PONG\r\n+OK\r\n+QUEUED\r\n*1\r\n$2\r\n1x\r\n");
    CHECK_INT(1, tier_stats(&it).busy);
    CHECK(!tier_stats(&it).behind);

    it.server->engine->store->tiers->behind = true;
    rig_demote(&it, FE_TIER_DISK);
    rig_pump(&it);
    CHECK_GOT(one, "+OK\r\n");
    folder_close(&it, path);
}

TEST(on_a_full_disk_only_what_is_answered_an_error_counts_as_refused)
{
    static const char full[] = "-OOM command not allowed: storage.max_disk is reached\r\n";
    rig it;
    char path[64];
    folder_open(&it, path);
    peer *one = rig_connect(&it);
    CHECK_SAYS(one, "SET a 1x\r\n", "+OK\r\n");
    it.server->engine->store->tiers->state = FE_DISK_FULL;
    write_on(one);
    CHECK_INT(1, tier_stats(&it).refused);

    CHECK_SAYS(one, "GET a\r\nDEL b\r\n", "$2\r\n1x\r\n:0\r\n");
    CHECK_INT(1, tier_stats(&it).refused);
    CHECK_SAYS(one, "SET a 2x\r\n", full);
    CHECK_INT(2, tier_stats(&it).refused);

    CHECK_SAYS(one, "MULTI\r\n", "+OK\r\n");
    CHECK_SAYS(one, "GET a\r\n", full); /* the queue takes memory */
    CHECK_INT(2, tier_stats(&it).refused);
    CHECK_SAYS(one, "DEL a\r\n", full);
    CHECK_INT(3, tier_stats(&it).refused);
    CHECK_SAYS(one, "EXEC\r\n", "-EXECABORT Transaction discarded because of previous errors.\r\n");

    it.server->engine->store->tiers->state = FE_DISK_FAILED;
    CHECK_SAYS(one, "GET a\r\n", "$2\r\n1x\r\n");
    CHECK_INT(3, tier_stats(&it).refused);
    rig_say(one, "DEL a\r\n");
    CHECK(strncmp(rig_take(one), "-MISCONF ", 9) == 0);
    CHECK_INT(4, tier_stats(&it).refused);
    it.server->engine->store->tiers->state = FE_DISK_OK;
    folder_close(&it, path);
}

int main(void)
{
    RUN(a_killed_client_is_gone_at_once_for_others_and_gets_nothing_more);
    RUN(debug_needs_its_option);
    RUN(memory_limits_refuse_what_would_grow);
    RUN(reads_neither_wait_for_the_disk_nor_count_as_writers_that_do);
    RUN(on_a_full_disk_only_what_is_answered_an_error_counts_as_refused);
    return check_done();
}
