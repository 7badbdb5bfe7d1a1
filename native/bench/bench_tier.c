/* Measures the way down: how fast new keys can be written when most of them have to go to disk, how long the longest
 * step under the lock is, and whether memory stays under its limit.
 *
 *   bench_tier [<folder> <MiB of memory> <MiB of values> [bytes of a value: 1024]]
 *
 * An empty folder name is a memory-only store; without arguments, a temporary folder, 256 MiB and 512 MiB.
 * One thread writes in batches of 32, as a session does, and waits while the flush is behind. The disk alone, for
 * comparison: dd if=/dev/zero of=<folder>/x bs=4M count=... conv=fdatasync.
 */
#include "base/clock.h"
#include "base/resident.h"
#include "engine/engine.h"
#include "engine/workers.h"
#include "store/fetch.h"
#include "store/tier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH 32u
#define MIB ((uint64_t)1 << 20)

typedef struct bench {
    fe_engine *engine;
    uint64_t keys, len;
    uint64_t busy_ns, busy_count; /* waited for room */
    uint64_t resident_max;
} bench;

static void open_bench(bench *b, const char *folder, uint64_t memory_max)
{
    fe_engine_options options = {.store = {.databases = 1,
                                           .memory_max = memory_max,
                                           .samples = 5,
                                           .lfu_log_factor = 10,
                                           .lfu_decay_minutes = 1,
                                           .seed = {1, 2}},
                                 .expire_effort = 1,
                                 .latency_threshold_ms =
                                     1, /* so that processor time of steps is taken */
                                 .hz = 10};
    char error[FE_ENGINE_ERROR_MAX];
    (void)snprintf(options.data_dir, sizeof options.data_dir, "%s", folder);
    b->engine = fe_engine_open(&options, error);
    if (b->engine == NULL || !fe_workers_start(b->engine)) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
}

static bool write_one(bench *b, uint64_t number)
{
    fe_store *store = b->engine->store;
    if (fe_store_make_room(store) != FE_OK) return false;
    char text[24];
    int len = snprintf(text, sizeof text, "k%015llu", (unsigned long long)number);
    fe_bytes name = {(const uint8_t *)text, (size_t)len};
    uint64_t hash = fe_key_hash(fe_store_seed(store), name);
    fe_waiter waiter = {0};
    fe_key key;
    uint8_t *value = NULL;
    if (fe_fetch_key(store, 0, name, hash, FE_NEED_BLIND, &waiter)) {
        fe_key_find(store, 0, name, hash, true, &key);
        value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, b->len, FE_DEADLINE_NONE);
    }
    if (value != NULL) memset(value, (int)(number & 255u), b->len);
    fe_waiter_close(store, &waiter);
    return value != NULL;
}

/* Those that settle whether a new key was there already; few are needed, by tags that are alike. */
static void read_what_is_wanted(fe_engine *engine)
{
    fe_disk_read *reads[BATCH];
    uint64_t entered = fe_engine_enter(engine);
    uint32_t count = engine->disk != NULL ? fe_engine_take_reads(engine, reads, BATCH) : 0;
    fe_engine_leave(engine, FE_STEP_FETCH, entered);
    if (count == 0) return;
    fe_disk_start(engine->disk, reads, count);
    fe_engine_finish_reads(engine);
}

static void wait_for_room(bench *b)
{
    uint64_t began = fe_clock_monotonic_ns();
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    b->busy_ns += fe_clock_monotonic_ns() - began;
    b->busy_count++;
}

static void load(bench *b)
{
    for (uint64_t i = 0; i < b->keys;) {
        uint64_t entered = fe_engine_enter(b->engine), end = i + BATCH;
        while (i < end && i < b->keys && write_one(b, i))
            i++;
        fe_engine_leave(b->engine, FE_STEP_BATCH, entered);
        read_what_is_wanted(b->engine);
        if (i < end && i < b->keys) wait_for_room(b);
        if (i % (BATCH * 256u) != 0) continue;
        uint64_t now = fe_resident_bytes();
        if (now > b->resident_max) b->resident_max = now;
    }
}

static void print_steps(const fe_engine *engine)
{
    static const char *const names[FE_STEP_KIND_COUNT] = {"index",  "expire", "compact", "tier",
                                                          "frozen", "fetch",  "batch"};
    for (unsigned i = 0; i < FE_STEP_KIND_COUNT; i++) {
        const fe_step_stats *step = &engine->stats.steps[i];
        printf("  %-8s %10llu steps, longest %8.1f us, of processor time %8.1f us\n", names[i],
               (unsigned long long)step->count, (double)step->ticks_max / engine->ticks_per_us,
               (double)step->cpu_ns_max / 1000.0);
    }
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const bench *b, uint64_t total, double seconds)
{
    fe_tier_stats stats;
    uint64_t entered = fe_engine_enter(b->engine);
    fe_tier_stats_get(b->engine->store, &stats);
    fe_engine_leave(b->engine, FE_STEP_BATCH, entered);
    printf("%llu keys of %llu bytes in %.2f s: %.0f MiB/s, %.0f keys/s; waited for room %.2f s in "
           "%llu waits\n",
           (unsigned long long)b->keys, (unsigned long long)b->len, seconds,
           (double)total / MIB / seconds, (double)b->keys / seconds, (double)b->busy_ns / 1e9,
           (unsigned long long)b->busy_count);
    printf("flushed %.0f MiB in %llu segments; processor %.2f s; resident at most %.0f MiB\n",
           (double)stats.flushed_bytes / MIB, (unsigned long long)stats.flushed, cpu_seconds(),
           (double)b->resident_max / MIB);
    print_steps(b->engine);
}

int main(int argc, char **argv)
{
    char temporary[] = "/tmp/ferrite-bench-XXXXXX";
    const char *folder = argc > 3 ? argv[1] : mkdtemp(temporary);
    if (folder == NULL) return 1;
    bench b = {.len = argc > 4 ? strtoull(argv[4], NULL, 10) : 1024};
    uint64_t total = (argc > 3 ? strtoull(argv[3], NULL, 10) : 512) * MIB;
    b.keys = total / b.len;
    open_bench(&b, folder, (argc > 3 ? strtoull(argv[2], NULL, 10) : 256) * MIB);
    uint64_t began = fe_clock_monotonic_ns();
    load(&b);
    report(&b, total, (double)(fe_clock_monotonic_ns() - began) / 1e9);
    fe_workers_stop(b.engine);
    fe_engine_free(b.engine);
    return 0;
}
