/* What of a save can be done while the store is in use: see save.h. The flusher and its like write what
 * is sealed here; nothing here blocks. */
#include "store/compact.h"
#include "store/save.h"
#include "store/store.h"
#include "store/tier.h"

#include <stdio.h>

#define SEALS_MAX 16u /* of one call */
#define TRIES 3u      /* files that the disk may refuse, one after the other */

static void begin(fe_store *store, fe_save_ready *ready)
{
    fe_tiers *tiers = store->tiers;
    fe_log_close_tails(&store->log);
    *ready = (fe_save_ready){
        .begun = true, .sequence = store->log.sequence, .errors = tiers->stats.errors};
    tiers->leaving = true;
}

/* Whether a segment of a tier is as old as what is waited for. */
static bool is_left(const fe_log *log, fe_tier tier, uint64_t sequence)
{
    for (uint32_t n = log->tiers[tier].oldest; n != 0; n = log->files[n].newer)
        if (log->segments[n].sequence <= sequence) return true;
    return false;
}

fe_status fe_save_ready_step(fe_store *store, fe_save_ready *ready, char error[FE_SAVE_ERROR_MAX])
{
    fe_tiers *tiers = store->tiers;
    if (!ready->begun) begin(store, ready);
    const fe_disk_error *last = &tiers->stats.error;
    if (tiers->state != FE_DISK_OK && tiers->stats.errors - ready->errors >= TRIES) {
        (void)snprintf(error, FE_SAVE_ERROR_MAX, "log/%08x-%08x.seg: cannot be written: %s",
                       last->segment, last->generation, strerror(last->code));
        return FE_IO;
    }
    tiers->retry_ms = store->steady_ms;
    if (fe_tiers_seal_up_to(store, ready->sequence, SEALS_MAX) ||
        is_left(&store->log, FE_TIER_SEALED, ready->sequence)) {
        fe_tiers_ask_for_work(tiers);
        return FE_BUSY;
    }
    return FE_OK;
}

bool fe_save_ready_room(fe_device *device, const fe_reserve_job *job, char error[FE_SAVE_ERROR_MAX])
{
    int code = 0;
    if (fe_reserve_run(device, job, &code)) return true;
    (void)snprintf(error, FE_SAVE_ERROR_MAX, FE_RESERVE_INDEX ": there is no room for it: %s",
                   strerror(code));
    return false;
}

void fe_save_ready_end(fe_store *store, fe_save_ready *ready)
{
    *ready = (fe_save_ready){0};
    store->tiers->leaving = false;
}
