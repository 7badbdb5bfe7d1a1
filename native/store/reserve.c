/* See reserve.h. */
#include "store/reserve.h"
#include "store/device_folder.h"
#include "store/save_format.h"
#include "store/store.h"
#include "store/tier.h"

#define GROWTH_SHARE 8u /* of the index, that is held beforehand, and at least ... */
#define GROWTH_MIN ((uint64_t)64 << 10)
#define FAR 2u /* times what is wanted */

/* As many bytes as the index file may have (store/save_format.h), if nothing more is written. */
static uint64_t index_bytes(const fe_store *store)
{
    uint64_t payload = (uint64_t)store->log.high * sizeof(fe_save_segment) + FE_SAVE_IDS;
    for (uint32_t i = 0; i < store->options.databases; i++) {
        const fe_index *index = &store->databases[i]->index;
        payload += sizeof(fe_save_database) + 8 * (index->count + index->buckets);
    }
    uint64_t sections = 3 + 2 * (uint64_t)store->options.databases;
    sections += payload / (FE_SAVE_SECTION_MAX - sizeof(fe_save_segment));
    return sizeof(fe_save_head) + payload + sections * sizeof(fe_save_section);
}

void fe_reserve_begin(const fe_store *store, fe_reserve_job *job)
{
    uint64_t least = index_bytes(store), more = least / GROWTH_SHARE;
    bool leaving = store->tiers->leaving;
    uint64_t rest = leaving ? 0 : FE_RESERVE_SEGMENTS * (uint64_t)store->log.segment_max;
    *job = (fe_reserve_job){.least = least,
                            .wanted = least + (more < GROWTH_MIN ? GROWTH_MIN : more) + rest,
                            .order = ++store->tiers->reserve_order,
                            .shrinks = leaving};
}

static bool take(fe_device *device, uint64_t size, int *error_code)
{
    if (!fe_device_file_reserve(device, FE_SAVE_MANIFEST, FE_SAVE_MANIFEST_MAX, error_code) ||
        !fe_device_file_reserve(device, FE_RESERVE_INDEX, size, error_code))
        return false;
    device->reserved = size;
    return true;
}

/* An older job knows of a smaller index than the one that room was taken for since. */
static void shrink(fe_device *device, const fe_reserve_job *job)
{
    if (job->order < device->reserve_order) return;
    device->reserve_order = job->order;
    if (device->reserved <= job->wanted * (job->shrinks ? 1 : FAR)) return;
    fe_device_file_release(device, FE_RESERVE_INDEX, job->wanted);
    device->reserved = job->wanted;
}

static bool run(fe_device *device, const fe_reserve_job *job, int *error_code)
{
    uint64_t enough = job->shrinks ? job->least : job->least + (job->wanted - job->least) / 2;
    int code = 0;
    shrink(device, job);
    if (device->reserved >= enough || take(device, job->wanted, &code)) return true;
    return device->reserved >= job->least || take(device, job->least, error_code);
}

bool fe_reserve_run(fe_device *device, const fe_reserve_job *job, int *error_code)
{
    pthread_mutex_lock(&device->reserve_lock);
    bool done = run(device, job, error_code);
    pthread_mutex_unlock(&device->reserve_lock);
    return done;
}

void fe_reserve_set(fe_device *device, uint64_t held)
{
    pthread_mutex_lock(&device->reserve_lock);
    device->reserved = held;
    pthread_mutex_unlock(&device->reserve_lock);
}

uint64_t fe_reserve_held(fe_device *device)
{
    pthread_mutex_lock(&device->reserve_lock);
    uint64_t held = device->reserved;
    pthread_mutex_unlock(&device->reserve_lock);
    return held;
}

void fe_reserve_drop(fe_device *device)
{
    pthread_mutex_lock(&device->reserve_lock);
    fe_device_file_release(device, FE_RESERVE_INDEX, 0);
    fe_device_file_release(device, FE_SAVE_MANIFEST, 0);
    device->reserved = 0;
    pthread_mutex_unlock(&device->reserve_lock);
}
