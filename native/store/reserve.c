/* See reserve.h. */
#include "store/reserve.h"
#include "store/save_format.h"
#include "store/store.h"
#include "store/tier.h"

#define GROWTH_SHARE 8u /* of the index, that is held beforehand, and at least ... */
#define GROWTH_MIN ((uint64_t)64 << 10)

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
                            .shrinks = leaving,
                            .held = store->tiers->reserved};
}

static bool take(fe_device *device, fe_reserve_job *job, uint64_t size, int *error_code)
{
    return fe_device_file_reserve(device, FE_SAVE_MANIFEST, FE_SAVE_MANIFEST_MAX, error_code) &&
           fe_device_file_reserve(device, FE_RESERVE_INDEX, size, error_code) &&
           (job->held = size) != 0;
}

bool fe_reserve_run(fe_device *device, fe_reserve_job *job, int *error_code)
{
    uint64_t slack = (job->wanted - job->least) / 2;
    if (job->shrinks && job->held > job->wanted) {
        fe_device_file_release(device, FE_RESERVE_INDEX, job->wanted);
        job->held = job->wanted;
    }
    if (job->held >= job->least + slack || (job->shrinks && job->held >= job->least)) return true;
    int code = 0;
    if (take(device, job, job->wanted, &code)) return true;
    return job->held >= job->least || take(device, job, job->least, error_code);
}

void fe_reserve_end(fe_store *store, const fe_reserve_job *job)
{
    store->tiers->reserved = job->held;
}

void fe_reserve_drop(fe_device *device)
{
    fe_device_file_release(device, FE_RESERVE_INDEX, 0);
    fe_device_file_release(device, FE_SAVE_MANIFEST, 0);
}
