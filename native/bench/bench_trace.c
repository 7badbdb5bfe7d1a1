/* What recording a command costs the thread that serves: GETs of many sessions, served in groups as the reactor
 * does, without sockets. Processor time of the thread; the least of several rounds of each setting, which take turns. */
#include "session/trace.h"

#include "base/assert.h"

#include <stdio.h>

#define SESSIONS 16u
#define KEYS 100000u
#define TURNS 4000u /* groups of one round */
#define ROUNDS 40u

typedef struct setting {
    const char *name;
    fe_telemetry_options options;
    const char *attribute; /* before each request */
    double least_ns;
} setting;

typedef struct bench {
    fe_server *server;
    fe_batch *batch;
    fe_recorder *recorder;
    fe_session *sessions[SESSIONS];
    fe_random random;
    uint64_t taken;
} bench;

static void wake(fe_client *client)
{
    (void)client;
}

static void count(void *context, const uint8_t *records, size_t len)
{
    (void)records;
    *(uint64_t *)context += len;
}

static void serve(bench *it, char texts[SESSIONS][256], const int lens[SESSIONS])
{
    if (fe_recorder_is_on(it->recorder)) it->recorder->readable = fe_clock_ticks();
    for (uint32_t i = 0; i < SESSIONS; i++)
        fe_session_receive(it->sessions[i], (uint8_t *)texts[i], (size_t)lens[i]);
    fe_server_serve(it->server, it->batch, it->sessions, SESSIONS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        it->sessions[i]->client.output.len = 0;
        fe_trace_sent(it->sessions[i]);
    }
    fe_event_ring_publish(&it->recorder->ring);
}

static void fill(bench *it)
{
    char texts[SESSIONS][256];
    int lens[SESSIONS];
    for (uint32_t key = 0; key < KEYS; key += SESSIONS) {
        for (uint32_t i = 0; i < SESSIONS; i++)
            lens[i] =
                snprintf(texts[i], sizeof texts[i],
                         "*3\r\n$3\r\nSET\r\n$12\r\nkey:%08u\r\n$10\r\nabcdefghij\r\n", key + i);
        serve(it, texts, lens);
    }
}

static void run(bench *it, setting *how)
{
    uint64_t entered = fe_engine_enter(it->server->engine);
    FE_ASSERT(fe_telemetry_set(&it->server->engine->telemetry, &how->options));
    fe_engine_leave(it->server->engine, FE_STEP_BATCH, entered);
    uint64_t spent = 0;
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        char texts[SESSIONS][256];
        int lens[SESSIONS];
        for (uint32_t i = 0; i < SESSIONS; i++)
            lens[i] =
                snprintf(texts[i], sizeof texts[i], "%s*2\r\n$3\r\nGET\r\n$12\r\nkey:%08u\r\n",
                         how->attribute, (uint32_t)fe_random_below(&it->random, KEYS));
        uint64_t before = fe_clock_ticks();
        serve(it, texts, lens);
        spent += fe_clock_ticks() - before;
        if (turn % 256 == 255)
            fe_telemetry_drain(&it->server->engine->telemetry, count, &it->taken);
    }
    double ns = (double)fe_engine_ticks_ns(it->server->engine, spent) / (TURNS * SESSIONS);
    if (how->least_ns == 0 || ns < how->least_ns) how->least_ns = ns;
}

static void open_bench(bench *it)
{
    fe_engine_options options = {.store = {.databases = 16,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .seed = {1, 2}},
                                 .bulk_len_max = 512u << 20,
                                 .query_buffer_max = 1u << 30,
                                 .slowlog_threshold_us = 10000,
                                 .slowlog_max = 128,
                                 .latency_tracking = true,
                                 .expire_effort = 1,
                                 .hz = 10};
    it->server = fe_server_new(&options);
    FE_ASSERT(it->server != NULL);
    fe_alloc *alloc = &it->server->engine->alloc;
    it->batch = fe_alloc_take_zeroed(alloc, FE_ALLOC_SCRATCH, sizeof *it->batch);
    it->recorder = fe_recorder_new(&it->server->engine->telemetry);
    FE_ASSERT(it->batch != NULL && it->recorder != NULL);
    fe_random_init(&it->random, 1);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        it->sessions[i] = fe_session_open(it->server, FE_BYTES("127.0.0.1:50000"),
                                          FE_BYTES("127.0.0.1:6379"), false, 7, wake, NULL);
        FE_ASSERT(it->sessions[i] != NULL);
        it->sessions[i]->recorder = it->recorder;
    }
}

static void close_bench(bench *it)
{
    for (uint32_t i = 0; i < SESSIONS; i++)
        fe_session_close(it->sessions[i]);
    fe_alloc_give(&it->server->engine->alloc, FE_ALLOC_SCRATCH, it->batch);
    fe_server_free(it->server);
}

int main(void)
{
    static const char attribute[] = "|1\r\n$11\r\ntraceparent\r\n$55\r\n"
                                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    static bench it;
    fe_telemetry_options off = {.retention.slow_us = -1};
    fe_telemetry_options all = {.traces = true,
                                .sampler = {.kind = FE_SAMPLER_ALWAYS, .parent_based = true},
                                .retention = {.errors = true, .disk = true, .slow_us = 10000},
                                .keys = FE_KEYS_PATTERN,
                                .ring_bytes = 8u << 20};
    fe_telemetry_options keyless = all, tenth = all, tenth_plain = all;
    keyless.keys = FE_KEYS_OFF;
    tenth.sampler = fe_sampler_ratio(0.1);
    tenth_plain.sampler = fe_sampler_ratio(0.1);
    tenth_plain.retention = (fe_retention){.slow_us = -1};
    setting settings[] = {{"off", off, "", 0},
                          {"100 %, key patterns", all, "", 0},
                          {"100 %, no keys", keyless, "", 0},
                          {"10 % and retention", tenth, "", 0},
                          {"10 %", tenth_plain, "", 0},
                          {"off, with attribute", off, attribute, 0},
                          {"100 %, with attribute", all, attribute, 0}};
    enum { COUNT = sizeof settings / sizeof settings[0] };
    open_bench(&it);
    fill(&it);
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t i = 0; i < COUNT; i++)
            run(&it, &settings[i]);
    printf("%-24s %10s %10s\n", "recording", "ns/command", "more");
    for (uint32_t i = 0; i < COUNT; i++) {
        double base = settings[settings[i].attribute[0] != 0 ? 5 : 0].least_ns;
        printf("%-24s %10.1f %+10.1f\n", settings[i].name, settings[i].least_ns,
               settings[i].least_ns - base);
    }
    close_bench(&it);
    return it.taken == 0;
}
