/* Keys on disk over real sockets: clients of two reactors, whose reads share one disk with a short queue, so that a read
 * which one reactor starts is often taken by the other, for a client of either. Meant to run under ThreadSanitizer. */
#include "net/reactor.h"

#include "engine/flusher.h"
#include "store/tier.h"
#include "tests/check.h"
#include "tests/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#define REACTORS 2u
#define CLIENTS 6u
#define KEYS 1200u
#define PIPELINE 3u
#define DEPTH 2u
#define HANG_S 60 /* what is awaited for longer never comes */

typedef struct rig {
    fe_server *server;
    fe_reactor *reactors[REACTORS];
    char path[64];
} rig;

static bool rig_open(rig *it, fe_disk_kind kind)
{
    strcpy(it->path, "/tmp/ferrite-reactor-XXXXXX");
    FE_ASSERT(mkdtemp(it->path) != NULL);
    fe_engine_options options = {.store = {.databases = 1,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .mutable_size = 1u << 20,
                                           .readonly_size = 1u << 20,
                                           .cache_size = 1u << 20,
                                           .seed = {1, 2}},
                                 .bulk_len_max = 1 << 20,
                                 .query_buffer_max = 1 << 24,
                                 .slowlog_threshold_us = -1,
                                 .disk_depth = DEPTH,
                                 .disk_kind = (uint32_t)kind,
                                 .expire_effort = 1,
                                 .hz = 100};
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", it->path);
    it->server = fe_server_new(&options);
    if (it->server == NULL) return false;
    for (uint32_t i = 0; i < REACTORS; i++) {
        it->reactors[i] = fe_reactor_start(it->server, i);
        CHECK(it->reactors[i] != NULL);
    }
    return true;
}

static void rig_close(rig *it)
{
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_drain(it->reactors[i], 2000);
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_join(it->reactors[i]);
    fe_engine_finish_reads(it->server->engine);
    fe_server_free(it->server);
    remove_folder(it->path);
}

static int rig_connect(rig *it, uint32_t number)
{
    int ends[2];
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    struct timeval hang = {.tv_sec = HANG_S};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof hang);
    CHECK(fe_reactor_adopt(it->reactors[number % REACTORS], ends[1], FE_BYTES("127.0.0.1:1"),
                           FE_BYTES("127.0.0.1:2"), false));
    return ends[0];
}

static void expect(int fd, const char *request, const char *reply)
{
    char got[1024];
    size_t len = 0, wanted = strlen(reply);
    CHECK_INT(strlen(request), send(fd, request, strlen(request), MSG_NOSIGNAL));
    while (len < wanted) {
        ssize_t received = recv(fd, got + len, wanted - len, 0);
        if (received < 0 && errno == EINTR)
            continue; /* by the end of an io_uring that this thread had opened */
        if (received <= 0) break;
        len += (size_t)received;
    }
    CHECK_BYTES(reply, wanted, got, len);
}

/* Everything that was written is only on disk afterwards. */
static void freeze(rig *it)
{
    fe_engine *engine = it->server->engine;
    for (bool more = true; more;) {
        uint64_t entered = fe_engine_enter(engine);
        more = fe_tier_demote_all(engine->store, FE_TIER_DISK);
        fe_engine_leave(engine, FE_STEP_TIER, entered);
        (void)fe_flusher_round(engine);
    }
}

typedef struct reader {
    rig *owner;
    uint32_t number;
} reader;

/* Every client reads all keys, in an order of its own. */
static void *read_all(void *argument)
{
    const reader *one = argument;
    int fd = rig_connect(one->owner, one->number);
    for (uint32_t i = 0; i < KEYS; i += PIPELINE) {
        char request[256] = "", reply[256] = "";
        for (uint32_t j = 0; j < PIPELINE; j++) {
            uint32_t key = ((i + j) * 7 + one->number / 2 * 401) %
                           KEYS; /* 7 and KEYS have no factor in common */
            (void)sprintf(request + strlen(request), "GET key:%04u\r\n", key);
            (void)sprintf(reply + strlen(reply), "$10\r\nvalue:%04u\r\n", key);
        }
        expect(fd, request, reply);
    }
    close(fd);
    return NULL;
}

static void clients_of_two_reactors_read_keys_from_disk(fe_disk_kind kind)
{
    rig it;
    if (!rig_open(&it, kind)) {
        printf("not tested: this way of reading cannot be used here\n");
        remove_folder(it.path);
        CHECK(kind == FE_DISK_URING);
        return;
    }
    int fd = rig_connect(&it, 0);
    for (uint32_t key = 0; key < KEYS; key++) {
        char request[64];
        (void)snprintf(request, sizeof request, "SET key:%04u value:%04u\r\n", key, key);
        expect(fd, request, "+OK\r\n");
    }
    freeze(&it);
    pthread_t threads[CLIENTS];
    reader readers[CLIENTS];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        readers[i] = (reader){&it, i};
        CHECK_INT(0, pthread_create(&threads[i], NULL, read_all, &readers[i]));
    }
    for (uint32_t i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    fe_fetch_stats stats;
    uint32_t in_flight;
    uint64_t entered = fe_engine_enter(it.server->engine);
    fe_fetch_stats_get(it.server->engine->store, &stats, &in_flight);
    fe_engine_leave(it.server->engine, FE_STEP_BATCH, entered);
    CHECK(stats.reads >= KEYS);
    uint32_t overdue = 0;
    for (uint32_t i = 0; i < REACTORS; i++)
        overdue += fe_reactor_overdue(it.reactors[i]);
    CHECK(overdue <= 1); /* one may be done just when a reactor looks about */
    close(fd);
    rig_close(&it);
}

TEST(clients_of_two_reactors_read_from_disk_by_io_uring)
{
    clients_of_two_reactors_read_keys_from_disk(FE_DISK_URING);
}

TEST(clients_of_two_reactors_read_from_disk_by_threads)
{
    clients_of_two_reactors_read_keys_from_disk(FE_DISK_THREADS);
}

int main(void)
{
    RUN(clients_of_two_reactors_read_from_disk_by_io_uring);
    RUN(clients_of_two_reactors_read_from_disk_by_threads);
    return check_done();
}
