/* Measures the store alone: what a key costs in time and in bytes, and the longest single step.
 *
 *   bench_store basic <keys>             insert, find, overwrite, delete in batches with prefetch
 *   bench_store growth <keys> <rounds>   the longest steps while keys are inserted, flushed and freed
 *                                        (with reasons of misses; `off` behind it: without)
 *   bench_store misses <keys> <rounds>   what reasons of misses cost: stores with and without, in turn
 *   bench_store churn <keys> <writes>    overwrites of 16 B to 1 KiB: memory against live data
 *   bench_store expire <keys> <seconds>  keys that expire evenly, without reads, in real time
 *   bench_store evict <MiB> <writes>     new keys under a limit, allkeys-lru
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RUSAGE_THREAD */
#endif
#include "base/clock.h"
#include "store/keyspace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH 32u
#define GONE_SIZE (1u << 20) /* as the server's, where reasons of misses are told */

typedef struct bench {
    fe_alloc alloc;
    fe_store *store;
    fe_store_options options;
    fe_random random;
} bench;

static void bench_open(bench *b, uint64_t memory_max, fe_policy policy)
{
    fe_alloc_init(&b->alloc);
    b->options = (fe_store_options){.databases = 16,
                                    .memory_max = memory_max,
                                    .policy = policy,
                                    .samples = 5,
                                    .lfu_log_factor = 10,
                                    .lfu_decay_minutes = 1,
                                    .seed = {1, 2}};
    b->store = fe_store_new(&b->alloc, &b->options);
    if (b->store == NULL) abort();
    fe_random_init(&b->random, 42);
    fe_store_set_now(b->store, fe_clock_wall_ms());
}

/* CPU time of this thread: what a step costs, whoever else wants the core. */
static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void gone_set(bench *b, uint64_t bytes)
{
    b->options.gone_size = bytes;
    fe_store_set_options(b->store, &b->options);
}

static void trash_unmap(bench *b)
{
    fe_trash trash;
    while (fe_store_trash_take(b->store, &trash))
        fe_trash_unmap(&b->alloc, &trash);
}

/* Bytes of anonymous memory that are resident, from the kernel. */
static uint64_t resident(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long kib = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "RssAnon: %lu", &kib) == 1) break;
    if (file != NULL) fclose(file);
    return (uint64_t)kib * 1024;
}

/* Names are 16 bytes, "k" and digits; hashes are computed ahead of the calls, as the session does.
 */
typedef struct batch {
    char text[BATCH][24];
    fe_bytes name[BATCH];
    uint64_t hash[BATCH];
} batch;

static void batch_name(bench *b, batch *at, unsigned i, uint64_t number)
{
    char *p = at->text[i] + 16;
    for (int d = 0; d < 15; d++, number /= 10)
        *--p = (char)('0' + number % 10);
    at->text[i][0] = 'k';
    at->name[i] = (fe_bytes){(const uint8_t *)at->text[i], 16};
    at->hash[i] = fe_key_hash(&b->options.seed, at->name[i]);
}

static void batch_prefetch(bench *b, const batch *at)
{
    for (unsigned i = 0; i < BATCH; i++)
        fe_store_prefetch_bucket(b->store, 0, at->hash[i]);
    uint64_t behind = 0;
    for (unsigned i = 0; i < BATCH; i++)
        behind |= (uint64_t)fe_store_prefetch_record(b->store, 0, at->hash[i]) << i;
    for (; behind != 0; behind &= behind - 1)
        fe_store_prefetch_behind(b->store, 0, at->hash[__builtin_ctzll(behind)]);
}

static void make_room(bench *b)
{
    if (fe_store_make_room(b->store) != FE_OK) abort();
}

static void write_one(bench *b, const batch *at, unsigned i, size_t len, int64_t deadline)
{
    fe_key key;
    fe_key_find(b->store, 0, at->name[i], at->hash[i], true, &key);
    uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, deadline);
    if (value != NULL) memset(value, 'v', len);
}

/* GONE: look-ups that count, of keys that were deleted. */
typedef enum work {
    WORK_INSERT,
    WORK_FIND,
    WORK_MISS,
    WORK_OVERWRITE,
    WORK_DELETE,
    WORK_GONE
} work;

static void work_one(bench *b, const batch *at, unsigned i, work what)
{
    fe_key key;
    if (what == WORK_INSERT || what == WORK_OVERWRITE) {
        make_room(b);
        write_one(b, at, i, 64, FE_DEADLINE_NONE);
        return;
    }
    if (what == WORK_GONE) {
        fe_key_look_up(b->store, 0, at->name[i], at->hash[i], false, &key);
        return;
    }
    fe_key_find(b->store, 0, at->name[i], at->hash[i], false, &key);
    if (what == WORK_DELETE && fe_key_exists(&key)) fe_key_delete(&key);
}

/* What a worker does beside the server. */
static void spare_give(bench *b)
{
    size_t size;
    while (fe_store_spare_wanted(b->store, &size)) {
        void *ptr = fe_store_spare_map(&b->alloc, size);
        if (ptr == NULL) return;
        fe_store_spare_give(b->store, ptr, size);
    }
}

#define BLOCK                                                                                      \
    64u /* batches named ahead, so that naming and hashing stay outside the measured time */

/* CPU ns per operation, without what naming and hashing cost. */
static double work_run(bench *b, work what, uint64_t keys, uint64_t count)
{
    static const bool in_order[] = {[WORK_INSERT] = true, [WORK_DELETE] = true};
    batch *block = calloc(BLOCK, sizeof(batch));
    double us = 0;
    if (block == NULL) abort();
    for (uint64_t done = 0; done < count; done += BATCH * BLOCK) {
        for (unsigned i = 0; i < BATCH * BLOCK; i++) {
            bool ordered = what < sizeof(in_order) && in_order[what];
            uint64_t n = ordered ? done + i : fe_random_below(&b->random, keys);
            batch_name(b, &block[i / BATCH], i % BATCH, what == WORK_MISS ? n + keys : n);
        }
        double start = cpu_us();
        for (unsigned j = 0; j < BLOCK; j++) {
            batch_prefetch(b, &block[j]);
            for (unsigned i = 0; i < BATCH; i++)
                work_one(b, &block[j], i, what);
        }
        us += cpu_us() - start;
        spare_give(b);
    }
    free(block);
    return us * 1e3 / (double)count;
}

static void run_basic(uint64_t keys)
{
    bench b;
    bench_open(&b, 0, FE_POLICY_NOEVICTION);
    uint64_t before = resident();
    double insert = work_run(&b, WORK_INSERT, keys, keys);
    fe_store_stats stats;
    trash_unmap(&b);
    fe_store_stats_get(b.store, &stats);
    printf("keys %lu: insert %.1f ns", keys, insert);
    printf(", find %.1f", work_run(&b, WORK_FIND, keys, 4000000));
    printf(", miss %.1f", work_run(&b, WORK_MISS, keys, 4000000));
    printf(", overwrite %.1f", work_run(&b, WORK_OVERWRITE, keys, 4000000));
    double n = (double)keys;
    printf("\nper key: resident %.1f B, accounted %.1f B (log %.1f, index %.1f)\n",
           (double)(resident() - before) / n, (double)fe_store_used(b.store) / n,
           (double)stats.log_bytes / n, (double)stats.index_bytes / n);
    printf("index: %.2f keys per bucket, %.3f overflow nodes per bucket\n",
           n / (double)stats.index_buckets,
           (double)stats.index_overflow_buckets / (double)stats.index_buckets);
    printf("delete %.1f ns\n", work_run(&b, WORK_DELETE, keys, keys));
    fe_store_free(b.store);
}

/* Counts of calls by their time, and the longest. Calls during which the thread was put off its
 * core are left out. */
typedef struct timing {
    double ticks_per_us, longest_us;
    long switches;
    uint64_t over_100, over_500, over_1000, interrupted;
} timing;

static long switches_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static timing timing_start(void)
{
    return (timing){.ticks_per_us = fe_clock_ticks_per_us(), .switches = switches_now()};
}

static void timing_add(timing *t, uint64_t start)
{
    double us = (double)(fe_clock_ticks() - start) / t->ticks_per_us;
    if (us <= 100 && us <= t->longest_us) return;
    long switches = switches_now();
    bool interrupted = switches != t->switches;
    t->switches = switches;
    if (interrupted) {
        t->interrupted++;
        return;
    }
    if (us > t->longest_us) t->longest_us = us;
    t->over_100 += us > 100;
    t->over_500 += us > 500;
    t->over_1000 += us > 1000;
}

static void timing_print(const char *what, const timing *t)
{
    printf("%s: longest %.0f us; over 100 us: %lu, over 500 us: %lu, over 1 ms: %lu; "
           "interrupted: %lu\n",
           what, t->longest_us, t->over_100, t->over_500, t->over_1000, t->interrupted);
}

/* Processor time of every step of one kind, in order. What the system does meanwhile on this core
 * (interrupts, other guests) is counted as ours, so one round proves nothing; but the work is the same
 * in every round, step by step: the least of the rounds is what a step costs. */
typedef struct series {
    const char *name;
    float *us;
    size_t capacity, count;
} series;

static void series_open(series *s, const char *name, size_t capacity)
{
    *s = (series){.name = name, .us = calloc(capacity, sizeof(*s->us)), .capacity = capacity};
    if (s->us == NULL) abort();
}

static void series_add(series *s, uint64_t round, double us)
{
    if (s->count == s->capacity) abort();
    float *at = &s->us[s->count++];
    if (round == 0 || us < *at) *at = (float)us;
}

static void series_print(const series *s)
{
    size_t longest = 0, over[3] = {0};
    double sum = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->us[i] > s->us[longest]) longest = i;
        sum += s->us[i];
        over[0] += s->us[i] > 100;
        over[1] += s->us[i] > 300;
        over[2] += s->us[i] > 1000;
    }
    printf("%s: %lu steps, %.0f us, longest %.0f us (number %lu); over 100 us: %lu, over 300 us: "
           "%lu, over 1 ms: %lu\n",
           s->name, s->count, sum, s->count == 0 ? 0 : s->us[longest], longest, over[0], over[1],
           over[2]);
}

typedef enum phase {
    PHASE_INSERT,
    PHASE_FLUSH,
    PHASE_READ,
    PHASE_SWEEP,
    PHASE_TRASH,
    PHASES
} phase;

static void growth_insert(bench *b, series *all, uint64_t keys, uint64_t round)
{
    batch at;
    for (uint64_t done = 0; done < keys; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            batch_name(b, &at, i, done + i);
        double start = cpu_us();
        batch_prefetch(b, &at);
        for (unsigned i = 0; i < BATCH; i++)
            work_one(b, &at, i, WORK_INSERT);
        series_add(&all[PHASE_INSERT], round, cpu_us() - start);
        spare_give(b);
    }
}

/* As the server: trash is unmapped between steps, without its lock. */
static void growth_flush(bench *b, series *all, uint64_t round)
{
    double start = cpu_us();
    if (fe_store_flush_all(b->store, false) != FE_OK) abort();
    series_add(&all[PHASE_FLUSH], round, cpu_us() - start);
    for (bool more = true; more;) {
        start = cpu_us();
        more = fe_store_step_index(b->store, 256);
        series_add(&all[PHASE_READ], round, cpu_us() - start);
    }
    for (bool more = true; more;) {
        start = cpu_us();
        more = fe_store_step_compact(b->store, 64 << 10);
        series_add(&all[PHASE_SWEEP], round, cpu_us() - start);
        fe_trash trash;
        for (bool taken = true; taken;) {
            start = cpu_us();
            taken = fe_store_trash_take(b->store, &trash);
            series_add(&all[PHASE_TRASH], round, cpu_us() - start);
            if (taken) fe_trash_unmap(&b->alloc, &trash);
        }
    }
}

static void run_growth(uint64_t keys, uint64_t rounds, bool reasons)
{
    static const char *const names[PHASES] = {"insert of 32", "flush all", "reading tags", "sweep",
                                              "trash"};
    series all[PHASES];
    for (unsigned i = 0; i < PHASES; i++)
        series_open(&all[i], names[i], keys / BATCH + 65536);
    for (uint64_t round = 0; round < rounds; round++) {
        bench b;
        bench_open(&b, 0, FE_POLICY_NOEVICTION);
        if (reasons) gone_set(&b, GONE_SIZE);
        for (unsigned i = 0; i < PHASES; i++)
            all[i].count = 0;
        growth_insert(&b, all, keys, round);
        growth_flush(&b, all, round);
        if (round + 1 == rounds)
            printf("left after the flush: %.1f MiB\n", (double)fe_store_used(b.store) / 1048576);
        fe_store_free(b.store);
    }
    for (unsigned i = 0; i < PHASES; i++) {
        series_print(&all[i]);
        free(all[i].us);
    }
}

#define ROUNDS_MAX 101u

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of what the second store takes more than the first, and of what that takes. */
static void cost_print(const char *what, double ns[2][ROUNDS_MAX], uint64_t rounds)
{
    double more[ROUNDS_MAX];
    for (uint64_t i = 0; i < rounds; i++)
        more[i] = ns[1][i] - ns[0][i];
    qsort(more, rounds, sizeof *more, by_value);
    qsort(ns[0], rounds, sizeof *more, by_value);
    printf("%s: %.1f ns without, %+.1f with (quartiles %+.1f, %+.1f)\n", what, ns[0][rounds / 2],
           more[rounds / 2], more[rounds / 4], more[rounds * 3 / 4]);
}

/* Two stores, in turn: all keys are inserted, deleted, and looked up in vain. */
static void run_misses(uint64_t keys, uint64_t rounds)
{
    static const work works[] = {WORK_INSERT, WORK_DELETE, WORK_GONE};
    static const char *const names[] = {"insert", "delete", "miss"};
    double ns[3][2][ROUNDS_MAX];
    bench b[2];
    if (rounds > ROUNDS_MAX) rounds = ROUNDS_MAX;
    keys -= keys % (BATCH * BLOCK);
    for (unsigned i = 0; i < 2; i++)
        bench_open(&b[i], 0, FE_POLICY_NOEVICTION);
    gone_set(&b[1], GONE_SIZE);
    for (uint64_t round = 0; round < rounds + 1; round++)
        for (unsigned w = 0; w < 3; w++)
            for (unsigned i = 0; i < 2; i++) {
                unsigned which = (i + (unsigned)round) % 2;
                double took = work_run(&b[which], works[w], keys, keys);
                if (round > 0) ns[w][which][round - 1] = took; /* the first warms up */
            }
    for (unsigned w = 0; w < 3; w++)
        cost_print(names[w], ns[w], rounds);
    fe_miss_stats stats;
    fe_store_misses_get(b[1].store, &stats);
    printf("table: %lu of %lu keys, false attribution %.6f\n", stats.keys, stats.capacity,
           stats.error);
    for (unsigned i = 0; i < 2; i++)
        fe_store_free(b[i].store);
}

static void run_churn(uint64_t keys, uint64_t writes)
{
    bench b;
    bench_open(&b, 0, FE_POLICY_NOEVICTION);
    timing pay = timing_start();
    fe_store_stats stats;
    double first = 0;
    for (unsigned tenth = 0; tenth < 11; tenth++) { /* 0: the fill */
        uint64_t count = tenth == 0 ? keys : writes / 10, peak = 0;
        double begin = cpu_us();
        batch at;
        for (uint64_t done = 0; done < count; done += BATCH) {
            for (unsigned i = 0; i < BATCH; i++)
                batch_name(&b, &at, i, tenth == 0 ? done + i : fe_random_below(&b.random, keys));
            batch_prefetch(&b, &at);
            for (unsigned i = 0; i < BATCH; i++) {
                uint64_t start = fe_clock_ticks();
                make_room(&b);
                timing_add(&pay, start);
                write_one(&b, &at, i, 16 + fe_random_below(&b.random, 1009), FE_DEADLINE_NONE);
            }
            trash_unmap(&b);
            spare_give(&b);
            if (fe_store_used(b.store) > peak) peak = fe_store_used(b.store);
        }
        double ns = (cpu_us() - begin) * 1e3 / (double)count;
        if (tenth == 1) first = ns;
        fe_store_stats_get(b.store, &stats);
        printf("%2u: %.0f CPU ns per write; used %.3f (peak %.3f) x live, resident %.3f; "
               "appended %.2f of writes; moved %.2f GB\n",
               tenth, ns, (double)fe_store_used(b.store) / (double)stats.log_live_bytes,
               (double)peak / (double)stats.log_live_bytes,
               (double)resident() / (double)stats.log_live_bytes,
               (double)stats.appended / (double)(stats.appended + stats.in_place),
               (double)stats.compacted_bytes / 1e9);
        if (tenth == 10) printf("last tenth / first tenth: %.3f\n", ns / first);
        fe_store_stats_reset(b.store);
    }
    timing_print("make_room", &pay);
    fe_store_free(b.store);
}

/* As a worker would: steps every millisecond, until nothing is left to do. */
static void expire_tick(bench *b, timing *steps)
{
    fe_store_set_now(b->store, fe_clock_wall_ms());
    for (unsigned i = 0; i < 100; i++) {
        uint64_t start = fe_clock_ticks();
        bool more = fe_store_step_expire(b->store, 1000);
        timing_add(steps, start);
        start = fe_clock_ticks();
        more |= fe_store_step_compact(b->store, 64 << 10);
        timing_add(steps, start);
        if (!more) break;
    }
    trash_unmap(b);
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void run_expire(uint64_t keys, uint64_t seconds)
{
    bench b;
    bench_open(&b, 0, FE_POLICY_NOEVICTION);
    uint64_t before = fe_store_used(b.store), rss_before = resident();
    int64_t base = fe_clock_wall_ms() + 1000;
    batch at;
    for (uint64_t done = 0; done < keys; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            batch_name(&b, &at, i, done + i);
        batch_prefetch(&b, &at);
        for (unsigned i = 0; i < BATCH; i++) {
            int64_t after = (int64_t)fe_random_below(&b.random, seconds * 1000);
            write_one(&b, &at, i, 64, base + after);
        }
    }
    double full = (double)(fe_store_used(b.store) - before);
    double rss_full = (double)(resident() - rss_before);
    timing steps = timing_start();
    double cpu = cpu_us();
    while (fe_clock_wall_ms() < base)
        expire_tick(&b, &steps);
    for (uint64_t second = 1; second <= seconds + 2; second++) {
        while (fe_clock_wall_ms() < base + (int64_t)(second * 1000))
            expire_tick(&b, &steps);
        printf("%2lu s: keys %5.1f %%, accounted %5.1f %%, resident %5.1f %%, cpu %4.1f %%\n",
               second, (double)fe_store_db_size(b.store, 0) * 100 / (double)keys,
               (double)(fe_store_used(b.store) - before) * 100 / full,
               ((double)resident() - (double)rss_before) * 100 / rss_full, (cpu_us() - cpu) / 1e4);
        cpu = cpu_us();
    }
    timing_print("steps", &steps);
    fe_store_free(b.store);
}

static void run_evict(uint64_t mib, uint64_t writes)
{
    bench b;
    bench_open(&b, mib << 20, FE_POLICY_ALLKEYS_LRU);
    timing room = timing_start();
    uint64_t peak = 0, refused = 0;
    for (unsigned tenth = 0; tenth < 10; tenth++) {
        double begin = cpu_us();
        batch at;
        for (uint64_t done = 0; done < writes / 10; done += BATCH) {
            for (unsigned i = 0; i < BATCH; i++)
                batch_name(&b, &at, i, tenth * (writes / 10) + done + i);
            batch_prefetch(&b, &at);
            for (unsigned i = 0; i < BATCH; i++) {
                uint64_t start = fe_clock_ticks();
                refused += fe_store_make_room(b.store) != FE_OK;
                timing_add(&room, start);
                write_one(&b, &at, i, fe_random_below(&b.random, 200), FE_DEADLINE_NONE);
            }
            if (fe_store_used(b.store) > peak) peak = fe_store_used(b.store);
        }
        fe_store_stats stats;
        fe_store_stats_get(b.store, &stats);
        printf("%2u: %.0f CPU ns per write; used %.3f of the limit, peak %.3f; live log %.3f; "
               "moved %.2f per evicted key\n",
               tenth, (cpu_us() - begin) * 1e3 / (double)(writes / 10),
               (double)fe_store_used(b.store) / (double)(mib << 20),
               (double)peak / (double)(mib << 20),
               (double)stats.log_live_bytes / (double)(mib << 20),
               (double)stats.compacted_bytes / 124 / (double)(stats.evicted_keys + 1));
        fe_store_stats_reset(b.store);
    }
    timing_print("make_room", &room);
    printf("refused %lu\n", refused);
    fe_store_free(b.store);
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || value == 0) {
        fprintf(stderr, "bench_store: not a positive number: %s\n", text);
        exit(1);
    }
    return value;
}

int main(int argc, char **argv)
{
    uint64_t a = argc > 2 ? number(argv[2]) : 0, c = argc > 3 ? number(argv[3]) : 0;
    if (argc == 3 && strcmp(argv[1], "basic") == 0) {
        run_basic(a);
    } else if (argc == 4 && strcmp(argv[1], "growth") == 0) {
        run_growth(a, c, true);
    } else if (argc == 5 && strcmp(argv[1], "growth") == 0 && strcmp(argv[4], "off") == 0) {
        run_growth(a, c, false);
    } else if (argc == 4 && strcmp(argv[1], "misses") == 0 && c > 0) {
        run_misses(a, c);
    } else if (argc == 4 && strcmp(argv[1], "churn") == 0) {
        run_churn(a, c);
    } else if (argc == 4 && strcmp(argv[1], "expire") == 0) {
        run_expire(a, c);
    } else if (argc == 4 && strcmp(argv[1], "evict") == 0) {
        run_evict(a, c);
    } else {
        fprintf(stderr, "usage: bench_store basic <keys> | growth <keys> <rounds> [off] | "
                        "misses <keys> <rounds> | "
                        "churn <keys> <writes> | expire <keys> <seconds> | evict <MiB> <writes>\n");
        return 1;
    }
    return 0;
}
