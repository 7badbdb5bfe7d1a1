/* Long values that are sent from where they are, over real sockets: what else is in the reply, and what becomes of a
 * loan that the command takes back. */
#include "net/reactor.h"

#include "command/open.h"
#include "engine/flusher.h"
#include "store/tier.h"
#include "tests/check.h"
#include "tests/folder.h"
#include "tests/sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LONG (2u << 20) /* a value that is lent; more than a session may have unsent */
#define COPIED 500000u  /* one that is copied */
#define HANG_S 20       /* what is awaited for longer never comes */
#define IOERR "-IOERR The data could not be read from disk: input/output error\r\n"

typedef struct rig {
    fe_server *server;
    fe_reactor *reactor;
    char path[64];
} rig;

static const char *cut_path;

/* Touching a mapped page is a SIGBUS afterwards. */
static void cut_files(void)
{
    char name[1024];
    (void)snprintf(name, sizeof name, "%s/log", cut_path);
    DIR *folder = opendir(name);
    FE_ASSERT(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strstr(entry->d_name, ".seg") == NULL) continue;
        (void)snprintf(name, sizeof name, "%.700s/log/%.255s", cut_path, entry->d_name);
        FE_ASSERT(truncate(name, 0) == 0);
    }
    (void)closedir(folder);
}

/* MGET of two keys; between them the disk fails. */
static void cut_and_mget(fe_call *call)
{
    fe_key key;
    fe_reply_array(&call->reply, 2);
    FE_ASSERT(fe_open_read(call, 1, &key));
    fe_open_reply_text(call, &key);
    cut_files();
    if (fe_open_read(call, 2, &key))
        fe_open_reply_text(call, &key);
    else
        fe_reply_null(&call->reply);
}

static const fe_command_row row = {.name = "cutmget",
                                   .run = cut_and_mget,
                                   .arity = 3,
                                   .flags = FE_READONLY,
                                   .keys = {{FE_KEY_RO | FE_KEY_ACCESS, 1, 1, 1}},
                                   .group = "string",
                                   .since = "1.0.0",
                                   .complexity = "O(1)",
                                   .summary = "Reads from a file that is gone.",
                                   .syntax = "key key"};

static void rig_open(rig *it)
{
    strcpy(it->path, "/tmp/ferrite-loans-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    cut_path = it->path;
    fe_engine_options options = {.store = {.databases = 1,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .mutable_size = 16u << 20,
                                           .readonly_size = 16u << 20,
                                           .cache_size = 16u << 20,
                                           .seed = {1, 2}},
                                 .bulk_len_max = 16 << 20,
                                 .query_buffer_max = 64 << 20,
                                 .slowlog_threshold_us = -1,
                                 .disk_depth = 2,
                                 .disk_kind = FE_DISK_THREADS,
                                 .expire_effort = 1,
                                 .hz = 100};
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", it->path);
    it->server = fe_server_new(&options);
    FE_ASSERT(it->server != NULL);
    FE_ASSERT(fe_commands_add(it->server->commands, &row));
    it->reactor = fe_reactor_start(it->server, 0);
    FE_ASSERT(it->reactor != NULL);
}

static void rig_close(rig *it)
{
    fe_reactor_drain(it->reactor, 2000);
    fe_reactor_join(it->reactor);
    fe_engine_finish_reads(it->server->engine);
    fe_server_free(it->server);
    remove_folder(it->path);
}

static int rig_connect(rig *it)
{
    int ends[2];
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    struct timeval hang = {.tv_sec = HANG_S};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof hang);
    CHECK(fe_reactor_adopt(it->reactor, ends[1], FE_BYTES("127.0.0.1:1"), FE_BYTES("127.0.0.1:2"),
                           false));
    return ends[0];
}

static void expect(int fd, const char *request, const char *reply)
{
    char got[1024];
    send_all(fd, request, strlen(request));
    size_t len = receive_all(fd, got, strlen(reply));
    CHECK_BYTES(reply, strlen(reply), got, len);
}

static void set(int fd, const char *name, char fill, size_t len)
{
    char head[128], *value = malloc(len);
    FE_ASSERT(value != NULL);
    memset(value, fill, len);
    int head_len = snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n",
                            strlen(name), name, len);
    send_all(fd, head, (size_t)head_len);
    send_all(fd, value, len);
    expect(fd, "\r\n", "+OK\r\n");
    free(value);
}

/* All that was written is mapped afterwards. */
static void map_all(rig *it)
{
    fe_engine *engine = it->server->engine;
    for (bool more = true; more;) {
        uint64_t entered = fe_engine_enter(engine);
        more = fe_tier_demote_all(engine->store, FE_TIER_MAPPED);
        fe_engine_leave(engine, FE_STEP_TIER, entered);
        (void)fe_flusher_round(engine);
    }
}

/* The reply is an error instead: nothing of the loan is left to be sent, so the connection goes on and ends as others do. */
TEST(a_loan_that_is_taken_back_leaves_nothing_behind)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it);
    set(fd, "mapped", 'm', 40000);
    map_all(&it);
    set(fd, "lent", 'v', LONG);

    expect(fd, "CUTMGET lent mapped\r\n", IOERR);
    expect(fd, "PING\r\nSTRLEN lent\r\n", "+PONG\r\n:2097152\r\n");
    shutdown(fd, SHUT_WR);
    char byte;
    CHECK_INT(0, recv(fd, &byte, 1, 0));
    close(fd);
    rig_close(&it);
}

/* The rest of a bulk reply of `len` times the same byte. */
static void expect_bulk(int fd, char fill, size_t len)
{
    char head[32], *got = malloc(len + 2), *wanted = malloc(len + 2);
    FE_ASSERT(got != NULL && wanted != NULL);
    memset(wanted, fill, len);
    memcpy(wanted + len, "\r\n", 2);
    int head_len = snprintf(head, sizeof head, "$%zu\r\n", len);
    CHECK_INT(head_len, receive_all(fd, got, (size_t)head_len));
    CHECK_BYTES(head, head_len, got, head_len);
    size_t received = receive_all(fd, got, len + 2);
    CHECK_INT(len + 2, received);
    CHECK(received == len + 2 && memcmp(got, wanted, received) == 0);
    free(got);
    free(wanted);
}

/* The figure of another client that `label` names in CLIENT LIST. */
static long long figure_of(int fd, const char *name, const char *label)
{
    char request[128], got[4096];
    size_t len = 0, end = 0;
    (void)snprintf(request, sizeof request, "CLIENT LIST\r\n");
    send_all(fd, request, strlen(request));
    while (len < sizeof got - 1 && receive_all(fd, got + len, 1) == 1 && got[len++] != '\n')
        continue;
    got[len] = 0;
    size_t bulk = (size_t)atoi(got + 1) + 2;
    FE_ASSERT(bulk < sizeof got);
    end = receive_all(fd, got, bulk);
    got[end] = 0;
    const char *line = strstr(got, name);
    FE_ASSERT(line != NULL);
    const char *at = strstr(line, label);
    FE_ASSERT(at != NULL);
    return atoll(at + strlen(label));
}

static void allow_clients(rig *it, uint64_t memory, uint64_t output)
{
    fe_engine *engine = it->server->engine;
    uint64_t entered = fe_engine_enter(engine);
    engine->options.clients_memory_max = memory;
    engine->options.output_limit[FE_CLIENT_CLASS_NORMAL].hard = output;
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
}

static fe_engine_stats stats_of(rig *it)
{
    fe_engine *engine = it->server->engine;
    uint64_t entered = fe_engine_enter(engine);
    fe_engine_stats stats = engine->stats;
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    return stats;
}

/* It would give nothing back to cut the reader off. */
TEST(what_is_lent_is_not_the_memory_of_the_client)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it), slow = rig_connect(&it);
    set(fd, "lent", 'v', LONG);
    expect(slow, "CLIENT SETNAME slow\r\n", "+OK\r\n");
    allow_clients(&it, LONG / 2, 0);

    send_all(slow, "GET lent\r\n", 10); /* and does not read */
    while (figure_of(fd, "name=slow ", " obl=") < LONG / 2)
        continue; /* not yet run */
    CHECK(figure_of(fd, "name=slow ", " tot-mem=") < LONG / 4);
    CHECK(figure_of(fd, "name=slow ", " omem=") < LONG / 4);
    CHECK_INT(0, stats_of(&it).memory_kills);
    expect_bulk(slow, 'v', LONG);
    expect(slow, "PING\r\n", "+PONG\r\n");
    close(fd);
    close(slow);
    rig_close(&it);
}

TEST(what_is_lent_counts_against_the_limit_of_the_output)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it);
    set(fd, "lent", 'v', LONG);
    allow_clients(&it, 0, LONG / 2);

    char byte;
    send_all(fd, "GET lent\r\n", 10);
    CHECK_INT(0, receive_all(fd, &byte, 1));
    CHECK_INT(1, stats_of(&it).output_kills);
    close(fd);
    rig_close(&it);
}

/* Processor time of asking for `before` values that are copied, then perhaps for one that is lent, then for a copied one. */
static int64_t mget_us(int fd, uint32_t before, bool lends)
{
    char request[4096] = "MGET", head[32];
    struct timespec began, ended;
    for (uint32_t i = 0; i < before; i++)
        strcat(request, " copied");
    strcat(request, lends ? " lent copied\r\n" : " copied\r\n");
    int head_len = snprintf(head, sizeof head, "*%u\r\n", before + 1 + lends);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    send_all(fd, request, strlen(request));
    char got[32];
    size_t len = receive_all(fd, got, (size_t)head_len);
    CHECK_BYTES(head, head_len, got, len);
    for (uint32_t i = 0; i < before; i++)
        expect_bulk(fd, 'c', COPIED);
    if (lends) expect_bulk(fd, 'v', LONG);
    expect_bulk(fd, 'c', COPIED);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    return (ended.tv_sec - began.tv_sec) * 1000000LL + (ended.tv_nsec - began.tv_nsec) / 1000;
}

/* A loan in the middle of a long reply must not make each part of it that is sent cost the rest of it. */
TEST(what_stands_around_a_loan_is_sent_from_where_it_is)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it);
    set(fd, "copied", 'c', COPIED);
    set(fd, "lent", 'v', LONG);
    (void)mget_us(fd, 200, false);
    int64_t without = mget_us(fd, 200, false), with = mget_us(fd, 200, true);
    CHECK(with < 2 * without);
    expect(fd, "PING\r\n", "+PONG\r\n");
    close(fd);
    rig_close(&it);
}

int main(void)
{
    RUN(what_stands_around_a_loan_is_sent_from_where_it_is);
    RUN(what_is_lent_is_not_the_memory_of_the_client);
    RUN(what_is_lent_counts_against_the_limit_of_the_output);
    RUN(a_loan_that_is_taken_back_leaves_nothing_behind);
    return check_done();
}
