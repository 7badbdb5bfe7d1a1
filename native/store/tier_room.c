/* Room on the disk for the files of segments: what becomes of a file that was refused. See tier.h.
 *
 * A disk that says ENOSPC or EDQUOT is full, as at disk_max: what all files took then is as much as it has room
 * for. Eviction and compaction keep them below that, and it is asked for more once a second at most, until it has
 * taken more, or has taken all for ROOM_MS: others may have given room back.
 *
 * Threads: the engine's lock is held.
 */
#include "store/store.h"
#include "store/tier.h"

#include <errno.h>

#define RETRY_MS 1000
#define ROOM_MS 10000

static bool is_no_space(int code)
{
    return code == ENOSPC || code == EDQUOT;
}

void fe_tiers_refused(fe_store *store, const fe_flush_job *job)
{
    fe_tiers *tiers = store->tiers;
    fe_disk_room *room = &tiers->room;
    bool asked = is_no_space(job->error),
         known = job->error == 0 && !job->refused && job->room_short;
    tiers->state = job->error == 0 || asked ? FE_DISK_FULL : FE_DISK_FAILED;
    tiers->out_of_files = job->refused;
    if (asked)
        *room = (fe_disk_room){
            .bytes = tiers->file_bytes, .at_ms = store->steady_ms, .code = job->error};
    tiers->wanted = job->refused ? 0 : job->size;
    tiers->no_space = asked || known ? room->code : 0;
    tiers->retry_ms = (known ? room->at_ms : store->steady_ms) + RETRY_MS;
}

void fe_tiers_took(fe_store *store)
{
    fe_tiers *tiers = store->tiers;
    tiers->state = FE_DISK_OK;
    if (tiers->file_bytes > tiers->room.bytes) tiers->room.bytes = 0; /* there is more than that */
}

void fe_tiers_gained_room(fe_store *store)
{
    fe_tiers *tiers = store->tiers;
    if (tiers->state != FE_DISK_FULL) return;
    const fe_disk_room *room = &tiers->room;
    if (tiers->no_space != 0 && tiers->file_bytes + tiers->wanted > room->bytes) return;
    tiers->retry_ms = store->steady_ms;
}

/* Whether it said so less than `ms` ago. */
static bool is_said_within(const fe_store *store, int64_t ms)
{
    int64_t age = store->steady_ms - store->tiers->room.at_ms;
    return store->tiers->room.bytes != 0 && age < ms;
}

/* What the disk itself had room for lately; 0: nothing is known. */
static uint64_t room_known(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    bool full = tiers->state == FE_DISK_FULL && tiers->no_space != 0;
    return full || is_said_within(store, ROOM_MS) ? tiers->room.bytes : 0;
}

uint64_t fe_tiers_file_max(const fe_store *store, bool *room_short)
{
    uint64_t max = store->options.disk_max, bytes = store->tiers->file_bytes;
    uint64_t room = store->tiers->room.bytes;
    *room_short = false;
    if (store->tiers->leaving) return UINT64_MAX;
    *room_short = is_said_within(store, RETRY_MS) && (max == 0 || room < max);
    if (*room_short) max = room;
    if (max == 0) return UINT64_MAX;
    return bytes < max ? max - bytes : 0;
}

uint64_t fe_tiers_bytes_max(const fe_store *store)
{
    uint64_t max = store->options.disk_max, room = room_known(store);
    return room != 0 && (max == 0 || room < max) ? room : max;
}

void fe_tiers_room_stats(const fe_store *store, fe_tier_stats *stats)
{
    const fe_tiers *tiers = store->tiers;
    bool full = tiers->state == FE_DISK_FULL;
    stats->state = tiers->state;
    stats->out_of_files = full && tiers->out_of_files;
    stats->no_space = full ? tiers->no_space : 0;
    stats->room = room_known(store);
}

static const char *full_text(const fe_tiers *tiers)
{
    if (tiers->out_of_files)
        return "as many segment files are open as the limit of open files allows";
    if (tiers->no_space == ENOSPC)
        return "the disk of storage.data_dir is full: No space left on device";
    if (tiers->no_space != 0) return "the disk of storage.data_dir is full: Disk quota exceeded";
    return "storage.max_disk is reached";
}

const char *fe_store_disk_error(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    if (tiers == NULL || tiers->state == FE_DISK_OK) return "the disk is well";
    if (tiers->state == FE_DISK_FULL) return full_text(tiers);
    return strerror(tiers->stats.error.code);
}

bool fe_store_is_disk_full(const fe_store *store)
{
    const fe_tiers *tiers = store->tiers;
    return tiers != NULL && !tiers->index_over && tiers->state == FE_DISK_FULL;
}
