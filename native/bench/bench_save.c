/* How long a clean stop and the start after it take.
 *
 *     bench_save [keys [value bytes [folder]]]      5000000, 1000, in the current folder
 *
 * Loads a tiered store through its jobs, as the flusher does, saves it, and opens it again, once with
 * the page cache as it is. The folder needs keys * (value + 40) bytes and is removed afterwards.
 */
#include "base/clock.h"
#include "store/save.h"
#include "store/store.h"
#include "store/tier.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUTABLE_SIZE (256u << 20)

typedef struct rig {
    fe_alloc alloc;
    fe_device *device;
    fe_store *store;
    char path[512];
    char error[FE_SAVE_ERROR_MAX];
} rig;

static void fail(const char *what, const char *text)
{
    fprintf(stderr, "bench_save: %s: %s\n", what, text);
    exit(1);
}

static void begin(rig *r)
{
    r->device = fe_device_open(&r->alloc, r->path, &fe_device_system, r->error);
    if (r->device == NULL) fail("folder", r->error);
    fe_store_options options = {.databases = 16,
                                .samples = 5,
                                .seed = {1, 2},
                                .device = r->device,
                                .mutable_size = MUTABLE_SIZE,
                                .readonly_size = MUTABLE_SIZE};
    r->store = fe_store_new(&r->alloc, &options);
    if (r->store == NULL) fail("store", "out of memory");
    fe_store_set_now(r->store, fe_clock_wall_ms());
}

static void end(rig *r)
{
    fe_store_free(r->store);
    fe_device_close(r->device);
}

static void drive(rig *r, fe_flush_job *job)
{
    while (fe_tier_flush_begin(r->store, job)) {
        fe_tier_flush_run(r->device, job);
        fe_tier_flush_end(r->store, job);
    }
    (void)fe_tier_step(r->store, 1 << 20);
    fe_unmap_job unmap;
    while (fe_tier_unmap_take(r->store, &unmap)) {
        fe_tier_unmap_run(r->device, &unmap);
        fe_tier_unmap_done(r->store, &unmap);
    }
    fe_trash trash;
    while (fe_store_trash_take(r->store, &trash))
        fe_trash_unmap(&r->alloc, &trash);
}

static void load(rig *r, uint64_t keys, size_t len)
{
    fe_flush_job job = {.fd = -1};
    for (uint64_t i = 0; i < keys; i++) {
        char name[32];
        int name_len = snprintf(name, sizeof(name), "key:%llu", (unsigned long long)i);
        fe_bytes bytes = {(const uint8_t *)name, (size_t)name_len};
        while (fe_store_make_room(r->store) == FE_BUSY)
            drive(r, &job);
        fe_key key;
        fe_key_find(r->store, 0, bytes, fe_key_hash(fe_store_seed(r->store), bytes), false, &key);
        uint8_t *value = fe_key_write(&key, FE_TYPE_STRING, FE_VALUE_PLAIN, len, FE_DEADLINE_NONE);
        if (value == NULL) fail("load", "out of memory");
        memset(value, (int)(i & 255u), len);
        if (i % 4096 == 0) drive(r, &job);
    }
    fe_flush_job_close(&job);
}

static void tell(const char *what, const fe_save_report *report)
{
    printf("%-6s %6.3f s   %llu keys, %llu segments, %.2f GiB, index file %.1f MiB\n", what,
           (double)report->took_ms / 1000, (unsigned long long)report->keys,
           (unsigned long long)report->segments, (double)report->segment_bytes / 0x1p30,
           (double)report->index_bytes / 0x1p20);
}

int main(int argc, char **argv)
{
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
    size_t len = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    rig r = {0};
    fe_save_report report;
    fe_alloc_init(&r.alloc);
    (void)snprintf(r.path, sizeof(r.path), "%.400s/bench-save-XXXXXX", argc > 3 ? argv[3] : ".");
    if (mkdtemp(r.path) == NULL) fail("folder", "cannot be made");
    begin(&r);
    if (!fe_save_open(r.store, &report, r.error)) fail("open", r.error);
    uint64_t begun = fe_clock_monotonic_ns();
    load(&r, keys, len);
    printf("load   %6.3f s\n", (double)(fe_clock_monotonic_ns() - begun) / 1e9);
    if (!fe_save_run(r.store, "bench", &report, r.error)) fail("save", r.error);
    tell("save", &report);
    end(&r);
    begin(&r);
    if (!fe_save_open(r.store, &report, r.error)) fail("open", r.error);
    tell("open", &report);
    printf("memory %6.1f MiB of index\n", (double)fe_alloc_used(&r.alloc, FE_ALLOC_INDEX) / 0x1p20);
    if (!fe_save_claim(r.store, r.error)) fail("claim", r.error);
    fe_save_discard(r.store);
    end(&r);
    char log[600];
    (void)snprintf(log, sizeof(log), "%s/log", r.path);
    (void)rmdir(log);
    (void)snprintf(log, sizeof(log), "%s/LOCK", r.path);
    (void)unlink(log);
    (void)rmdir(r.path);
    return 0;
}
