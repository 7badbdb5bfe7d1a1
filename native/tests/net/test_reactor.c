/* The reactors over real sockets: several threads of clients, two reactors, one engine. Meant to run under ThreadSanitizer. */
#include "net/reactor.h"

#include "engine/workers.h"
#include "tests/check.h"
#include "tests/sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REACTORS 2
#define CLIENTS 6
#define ROUNDS 200
#define IDLE 200

typedef struct rig {
    fe_server *server;
    fe_reactor *reactors[REACTORS];
    pthread_t python;
    _Atomic bool stop;
} rig;

static const fe_command_row python_row = {.name = "slowecho",
                                          .arity = 2,
                                          .flags = FE_PYTHON,
                                          .group = "connection",
                                          .since = "1.0.0",
                                          .complexity = "O(1)",
                                          .summary = "Answers its argument from another thread.",
                                          .syntax = "message"};

/* Plays the control plane: answers every queued command with its first argument. */
static void *answer_requests(void *argument)
{
    rig *it = argument;
    while (!atomic_load(&it->stop)) {
        fe_server *server = it->server;
        uint64_t entered = fe_engine_enter(server->engine);
        fe_python_request *request = fe_server_take_python(server);
        if (request != NULL) {
            char reply[256];
            int len = snprintf(reply, sizeof reply, "$%zu\r\n%.*s\r\n", request->argv[1].len,
                               (int)request->argv[1].len, (const char *)request->argv[1].ptr);
            fe_server_answer_python(server, request, (fe_bytes){(uint8_t *)reply, (size_t)len},
                                    false);
        }
        fe_engine_leave(server->engine, FE_STEP_BATCH, entered);
        if (request == NULL) poll(NULL, 0, 1);
    }
    return NULL;
}

static void rig_open(rig *it)
{
    fe_engine_options options = {.store = {.databases = 16,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .segment_size = 65536,
                                           .seed = {1, 2}},
                                 .bulk_len_max = 1 << 20,
                                 .query_buffer_max = 1 << 24,
                                 .slowlog_threshold_us = 0,
                                 .slowlog_max = 8,
                                 .latency_tracking = true,
                                 .expire_effort = 1,
                                 .hz = 100};
    it->server = fe_server_new(&options);
    CHECK(it->server != NULL);
    CHECK(fe_commands_add(it->server->commands, &python_row));
    CHECK(fe_workers_start(it->server->engine));
    for (uint32_t i = 0; i < REACTORS; i++) {
        it->reactors[i] = fe_reactor_start(it->server, i);
        CHECK(it->reactors[i] != NULL);
    }
    atomic_store(&it->stop, false);
    pthread_create(&it->python, NULL, answer_requests, it);
}

static void rig_close(rig *it)
{
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_drain(it->reactors[i], 2000);
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_join(it->reactors[i]);
    atomic_store(&it->stop, true);
    pthread_join(it->python, NULL);
    fe_workers_stop(it->server->engine);
    fe_server_free(it->server);
}

/* A connected client socket whose other end reactor `number` serves. */
static int rig_connect(rig *it, uint32_t number)
{
    int ends[2];
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    CHECK(fe_reactor_adopt(it->reactors[number % REACTORS], ends[1], FE_BYTES("127.0.0.1:1"),
                           FE_BYTES("127.0.0.1:2"), false));
    return ends[0];
}

static void expect(int fd, const char *request, const char *reply)
{
    char got[4096];
    send_all(fd, request, strlen(request));
    size_t len = receive_all(fd, got, strlen(reply));
    CHECK_BYTES(reply, strlen(reply), got, len);
}

TEST(a_pipeline_is_answered_in_order)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it, 0);

    expect(fd, "PING\r\nSET a 1\r\nINCR a\r\nSLOWECHO mid\r\nGET a\r\n*1\r\n$4\r\nPING\r\n",
           "+PONG\r\n+OK\r\n:2\r\n$3\r\nmid\r\n$1\r\n2\r\n+PONG\r\n");

    close(fd);
    rig_close(&it);
}

typedef struct load {
    rig *it;
    uint32_t number;
} load;

static void *run_load(void *argument)
{
    const load *job = argument;
    int fd = rig_connect(job->it, job->number);
    for (int i = 0; i < ROUNDS; i++) {
        char request[256], reply[256];
        snprintf(request, sizeof request,
                 "SET k%u:%d %d\r\nINCR k%u:%d\r\nINCR shared\r\nSLOWECHO x%d\r\nDEL k%u:%d\r\n",
                 job->number, i, i, job->number, i, i, job->number, i);
        send_all(fd, request, strlen(request));
        char got[256];
        int expected = snprintf(reply, sizeof reply, "+OK\r\n:%d\r\n:", i + 1);
        size_t len = receive_all(fd, got, (size_t)expected);
        CHECK_BYTES(reply, expected, got, len);
        char byte;
        while (recv(fd, &byte, 1, 0) == 1 && byte != '\n')
            continue;
        expected =
            snprintf(reply, sizeof reply, "$%d\r\nx%d\r\n:1\r\n", snprintf(NULL, 0, "x%d", i), i);
        len = receive_all(fd, got, (size_t)expected);
        CHECK_BYTES(reply, expected, got, len);
    }
    close(fd);
    return NULL;
}

TEST(many_clients_on_two_reactors_share_one_engine)
{
    rig it;
    rig_open(&it);
    pthread_t threads[CLIENTS];
    load loads[CLIENTS];

    for (uint32_t i = 0; i < CLIENTS; i++) {
        loads[i] = (load){&it, i};
        pthread_create(&threads[i], NULL, run_load, &loads[i]);
    }
    for (uint32_t i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    int fd = rig_connect(&it, 0);
    char reply[64];
    snprintf(reply, sizeof reply, "$4\r\n%d\r\n", CLIENTS * ROUNDS);
    expect(fd, "GET shared\r\n", reply);

    close(fd);
    rig_close(&it);
}

typedef struct reader {
    fe_telemetry *telemetry;
    _Atomic bool over;
    uint64_t records;
    bool whole; /* each had its stages in order */
} reader;

static void look(void *context, const uint8_t *records, size_t len)
{
    reader *it = context;
    for (size_t at = 0; at < len;) {
        const fe_trace_record *record = (const void *)(records + at);
        at += record->size;
        if (record->kind != FE_TRACE_COMMAND) continue;
        it->records++;
        it->whole &= record->span_id != 0;
        for (int i = 1; i < FE_STAGE_COUNT; i++)
            it->whole &= record->stages[i - 1] <= record->stages[i];
    }
}

static void *read_records(void *argument)
{
    reader *it = argument;
    while (!atomic_load(&it->over)) {
        fe_telemetry_drain(it->telemetry, look, it);
        poll(NULL, 0, 1);
    }
    return NULL;
}

TEST(records_of_all_reactors_are_read_while_they_are_made)
{
    rig it;
    rig_open(&it);
    fe_engine *engine = it.server->engine;
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS},
                                    .retention.slow_us = -1,
                                    .keys = FE_KEYS_FULL,
                                    .ring_bytes = 1};
    uint64_t entered = fe_engine_enter(engine);
    CHECK(fe_telemetry_set(&engine->telemetry, &options));
    fe_engine_leave(engine, FE_STEP_BATCH, entered);
    reader reading = {.telemetry = &engine->telemetry, .whole = true};
    pthread_t thread, threads[CLIENTS];
    load loads[CLIENTS];

    pthread_create(&thread, NULL, read_records, &reading);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        loads[i] = (load){&it, i};
        pthread_create(&threads[i], NULL, run_load, &loads[i]);
    }
    for (uint32_t i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_drain(it.reactors[i], 2000);
    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_join(it.reactors[i]);
    atomic_store(&reading.over, true);
    pthread_join(thread, NULL);
    fe_telemetry_drain(&engine->telemetry, look, &reading);

    fe_telemetry_counts counts;
    fe_telemetry_count(&engine->telemetry, &counts);
    CHECK_INT(CLIENTS * ROUNDS * 5, counts.records + counts.dropped);
    CHECK_INT(counts.records, reading.records);
    CHECK(reading.whole);
    for (uint32_t i = 0; i < REACTORS; i++) {
        it.reactors[i] = fe_reactor_start(it.server, i); /* for rig_close to end */
        CHECK(it.reactors[i] != NULL);
    }
    rig_close(&it);
}

TEST(a_reply_larger_than_the_socket_takes_arrives_whole)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it, 1);
    size_t size = 900000;
    char *value = malloc(size + 64);
    memset(value, 'v', size);

    char head[64];
    int len = snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$%zu\r\n", size);
    send_all(fd, head, (size_t)len);
    send_all(fd, value, size);
    expect(fd, "\r\n", "+OK\r\n");
    for (int i = 0; i < 8; i++)
        send_all(fd, "GET b\r\n", 7);

    for (int i = 0; i < 8; i++) {
        len = snprintf(head, sizeof head, "$%zu\r\n", size);
        char got[64];
        CHECK_INT(len, receive_all(fd, got, (size_t)len));
        CHECK_BYTES(head, len, got, len);
        memset(value, 0, size);
        CHECK_INT(size + 2, receive_all(fd, value, size + 2));
        size_t right = 0;
        while (right < size && value[right] == 'v')
            right++;
        CHECK_INT(size, right);
    }
    free(value);
    close(fd);
    rig_close(&it);
}

/* A long value is sent from where it is, while clients of another reactor change and remove it; one
 * reader goes before the end. */
TEST(a_long_reply_is_of_the_moment_of_its_command)
{
    static const char *const changes[] = {
        "SETRANGE k 3 hello\r\n", "APPEND k x\r\n", "SETBIT k 7 0\r\n", "EXPIRE k 1000\r\n",
        "SET k short\r\n",        "DEL k\r\n",      "FLUSHALL\r\n",     "RENAME k j\r\n",
    };
    enum { LEN = 1000000 };
    rig it;
    rig_open(&it);
    int writer = rig_connect(&it, 1);
    char *value = malloc(LEN), *got = malloc(LEN + 32);
    memset(value, 'v', LEN);
    const char set[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n";
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        send_all(writer, set, sizeof set - 1);
        send_all(writer, value, LEN);
        expect(writer, "\r\n", "+OK\r\n");
        int slow = rig_connect(&it, 0), other = rig_connect(&it, 0), gone = rig_connect(&it, 0);
        expect(gone, "GET k\r\n", "$1000000\r\nv");
        expect(other, "PING\r\nGETRANGE k 0 900000\r\n", "+PONG\r\n$900001\r\nv");
        expect(slow, "GET k\r\nSTRLEN none\r\n", "$1000000\r\nv");
        send_all(writer, changes[i], strlen(changes[i]));
        CHECK(receive_all(writer, got, 1) == 1);
        close(gone);
        CHECK_INT(LEN + 5, receive_all(slow, got, LEN + 5));
        CHECK_BYTES(value, LEN - 1, got, LEN - 1);
        CHECK_BYTES("\r\n:0\r\n", 6, got + LEN - 1, 6);
        CHECK_INT(900002, receive_all(other, got, 900002));
        CHECK_BYTES(value, 900000, got, 900000);
        close(slow);
        close(other);
        close(writer);
        writer = rig_connect(&it, 1);
    }
    close(writer);
    free(value);
    free(got);
    rig_close(&it);
}

TEST(draining_answers_what_was_received_and_closes)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it, 0);
    expect(fd, "PING\r\n", "+PONG\r\n");
    send_all(fd, "SLOWECHO last\r\n", 15);

    for (uint32_t i = 0; i < REACTORS; i++)
        fe_reactor_drain(it.reactors[i], 5000);

    char got[64];
    size_t len = receive_all(fd, got, sizeof got);
    CHECK_BYTES("$4\r\nlast\r\n", 10, got, len);
    CHECK(!fe_reactor_adopt(it.reactors[0], fd, FE_BYTES(""), FE_BYTES(""), false));
    close(fd);
    rig_close(&it);
}

/* More than a reactor receives from one connection in a round, all of it there before the drain. */
TEST(draining_answers_all_that_the_kernel_holds)
{
    rig it;
    rig_open(&it);
    int ends[2], size = 1 << 20, count = 30000;
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < count / 100; i++) {
        char pings[601] = "";
        for (int k = 0; k < 100; k++)
            memcpy(pings + (size_t)k * 6, "PING\r\n", 6);
        send_all(ends[0], pings, 600);
    }
    send_all(ends[0], "SLOWECHO a\r\nPING\r\n", 18);

    CHECK(fe_reactor_adopt(it.reactors[0], ends[1], FE_BYTES("a"), FE_BYTES("b"), false));
    fe_reactor_drain(it.reactors[0], 5000);

    size_t expected = (size_t)count * 7 + 7 + 7;
    char *replies = malloc(expected + 1);
    CHECK_INT(expected, receive_all(ends[0], replies, expected + 1));
    CHECK_BYTES("$1\r\na\r\n+PONG\r\n", 14, replies + expected - 14, 14);
    free(replies);
    close(ends[0]);
    rig_close(&it);
}

TEST(a_client_that_sends_no_more_gets_its_replies)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it, 0);

    send_all(fd, "SLOWECHO a\r\nPING\r\nSLOWECHO b\r\nPING\r\nPI", 38);
    shutdown(fd, SHUT_WR);

    char got[64];
    size_t len = receive_all(fd, got, sizeof got);
    CHECK_BYTES("$1\r\na\r\n+PONG\r\n$1\r\nb\r\n+PONG\r\n", 28, got, len);
    close(fd);
    rig_close(&it);
}

TEST(waiting_clients_are_answered_in_the_order_of_their_times)
{
    rig it;
    rig_open(&it);
    int late = rig_connect(&it, 0), soon = rig_connect(&it, 0), sooner = rig_connect(&it, 0);

    send_all(late, "WAIT 1 400\r\n", 12);
    send_all(soon, "WAIT 1 30\r\nWAIT 1 10\r\n", 22);
    send_all(sooner, "WAIT 1 10\r\nPING\r\n", 17);
    expect(sooner, "", ":0\r\n+PONG\r\n");
    expect(soon, "", ":0\r\n:0\r\n");
    struct pollfd readable = {.fd = late, .events = POLLIN};
    CHECK_INT(0, poll(&readable, 1, 0));
    expect(late, "PING\r\n", ":0\r\n+PONG\r\n");

    close(late);
    close(soon);
    close(sooner);
    rig_close(&it);
}

TEST(a_waiting_client_is_answered_at_its_time)
{
    rig it;
    rig_open(&it);
    int fd = rig_connect(&it, 0);

    expect(fd, "WAIT 1 20\r\nPING\r\n", ":0\r\n+PONG\r\n");

    close(fd);
    rig_close(&it);
}

TEST(a_monitor_on_one_reactor_sees_commands_of_the_other)
{
    rig it;
    rig_open(&it);
    int watcher = rig_connect(&it, 0);
    int worker = rig_connect(&it, 1);
    expect(watcher, "MONITOR\r\n", "+OK\r\n");

    expect(worker, "SET m 1\r\n", "+OK\r\n");

    char got[128];
    size_t len = 0;
    while (len < sizeof got - 1 && recv(watcher, got + len, 1, 0) == 1 && got[len] != '\n')
        len++;
    got[len] = 0;
    CHECK(strstr(got, "\"SET\" \"m\" \"1\"") != NULL);
    close(watcher);
    close(worker);
    rig_close(&it);
}

/* The kill arrives while the session's bytes wait in the group to be served: BITCOUNTs keep the reactor busy meanwhile. */
TEST(a_client_is_killed_while_its_request_waits_to_be_served)
{
    rig it;
    rig_open(&it);
    int busy = rig_connect(&it, 0);
    int killer = rig_connect(&it, 1);
    expect(busy, "SETBIT big 4000000 1\r\n", ":0\r\n");

    for (int i = 0; i < 20; i++) {
        int victim = rig_connect(&it, 0);
        char text[2000], got[64];
        size_t len = 0;
        send_all(victim, "CLIENT ID\r\n", 11);
        while (len < 63 && recv(victim, got + len, 1, 0) == 1 && got[len] != '\n')
            len++;
        got[len] = 0;
        int size = 0;
        for (int k = 0; k < 60; k++)
            size += snprintf(text + size, sizeof text - (size_t)size, "BITCOUNT big\r\n");
        send_all(busy, text, (size_t)size);
        send_all(victim, "PING\r\n", 6);
        snprintf(text, sizeof text, "CLIENT KILL ID %d\r\n", atoi(got + 1));
        expect(killer, text, ":1\r\n");
        char replies[60 * 4];
        CHECK_INT(sizeof replies, receive_all(busy, replies, sizeof replies));
        close(victim);
    }

    close(busy);
    close(killer);
    rig_close(&it);
}

/* A round looks at few of many connections; each must have its turn. */
TEST(every_one_of_many_connections_times_out)
{
    rig it;
    rig_open(&it);
    uint64_t entered = fe_engine_enter(it.server->engine);
    it.server->engine->options.timeout_seconds = 1;
    fe_engine_leave(it.server->engine, FE_STEP_BATCH, entered);
    int fds[IDLE];
    for (uint32_t i = 0; i < IDLE; i++)
        fds[i] = rig_connect(&it, 0);

    for (uint32_t i = 0; i < IDLE; i++) {
        char byte;
        CHECK_INT(0, recv(fds[i], &byte, 1, 0));
        close(fds[i]);
    }

    entered = fe_engine_enter(it.server->engine);
    uint64_t kills = it.server->engine->stats.timeout_kills;
    fe_engine_leave(it.server->engine, FE_STEP_BATCH, entered);
    CHECK_INT(IDLE, kills);
    rig_close(&it);
}

int main(void)
{
    RUN(a_pipeline_is_answered_in_order);
    RUN(many_clients_on_two_reactors_share_one_engine);
    RUN(records_of_all_reactors_are_read_while_they_are_made);
    RUN(a_reply_larger_than_the_socket_takes_arrives_whole);
    RUN(a_long_reply_is_of_the_moment_of_its_command);
    RUN(draining_answers_what_was_received_and_closes);
    RUN(draining_answers_all_that_the_kernel_holds);
    RUN(a_client_that_sends_no_more_gets_its_replies);
    RUN(waiting_clients_are_answered_in_the_order_of_their_times);
    RUN(a_waiting_client_is_answered_at_its_time);
    RUN(a_monitor_on_one_reactor_sees_commands_of_the_other);
    RUN(a_client_is_killed_while_its_request_waits_to_be_served);
    RUN(every_one_of_many_connections_times_out);
    return check_done();
}
