/* See survey.h. */
#include "store/survey.h"

#include "store/prefetch.h"
#include "store/store.h"

#define STEP_BUCKETS 8u
#define BATCH 64u              /* records that are asked for before the first is looked at */
#define BUCKETS_MAX (1u << 16) /* of one survey, about */

uint32_t fe_survey_last(const fe_store *store)
{
    return store->log.high;
}

/* What a file holds is not trusted: a page of it may have been lost, and be zeros. */
static bool is_whole(const fe_segment *segment, uint64_t offset)
{
    const fe_record *record = (const fe_record *)(segment->base + offset);
    uint64_t left = segment->used - offset;
    if (fe_record_type(record) == FE_TYPE_FILLER) return false;
    if (left < fe_record_head_len(fe_record_flags(record))) return false;
    return fe_record_size(record) <= left;
}

fe_survey_segment fe_survey_segment_of(const fe_store *store, uint32_t n)
{
    const fe_log *log = &store->log;
    if (n == 0 || n > log->high) return (fe_survey_segment){.tier = FE_TIER_FREE};
    const fe_segment *segment = &log->segments[n];
    return (fe_survey_segment){.tier = (fe_tier)segment->tier,
                               .generation = segment->generation,
                               .live = segment->live,
                               .miscounted = log->tiered && log->files[n].miscounted};
}

const fe_record *fe_survey_single(const fe_store *store, uint32_t n)
{
    const fe_segment *segment = &store->log.segments[n];
    const fe_record *record = (const fe_record *)segment->base;
    if (segment->role != FE_ROLE_OWN || record == NULL || segment->live == 0) return NULL;
    if (segment->tier == FE_TIER_MAPPED) return is_whole(segment, 0) ? record : NULL;
    return store->by_id[fe_record_keyspace(record)] != NULL ? record : NULL;
}

static uint64_t share(uint64_t all, uint64_t wanted)
{
    return all <= wanted ? 1 : (all + wanted - 1) / wanted;
}

fe_survey fe_survey_begin(const fe_store *store, uint64_t records, fe_random *random)
{
    const fe_log *log = &store->log;
    uint64_t buckets = 0;
    for (uint32_t i = 0; i < store->options.databases; i++)
        buckets += store->keyspaces[i].index.buckets;
    uint64_t in_memory = log->records + log->tiers[FE_TIER_SEALED].records +
                         log->tiers[FE_TIER_MAPPED].records + log->tiers[FE_TIER_CACHE].records;
    uint64_t by_records = share(in_memory, records), by_buckets = share(buckets, BUCKETS_MAX);
    uint64_t stride = by_records > by_buckets ? by_records : by_buckets;
    return (fe_survey){.stride = stride, .bucket = fe_random_below(random, stride)};
}

typedef struct batch {
    const fe_log *log;
    fe_survey_wants *wants;
    fe_survey_visit *visit;
    void *context;
    uint32_t count;
    fe_address at[BATCH];
} batch;

static void batch_visit(batch *it)
{
    for (uint32_t i = 0; i < it->count; i++) {
        uint32_t n = fe_address_segment(it->at[i], it->log->offset_bits);
        uint64_t offset = fe_address_offset(it->at[i], it->log->offset_bits);
        const fe_segment *segment = &it->log->segments[n];
        if (!it->wants(it->context, n)) continue;
        if (segment->tier == FE_TIER_MAPPED && !is_whole(segment, offset)) continue;
        it->visit(it->context, (fe_tier)segment->tier, fe_log_at(it->log, it->at[i]));
    }
    it->count = 0;
}

static void batch_add(void *context, uint64_t slot)
{
    batch *it = context;
    fe_address address = fe_slot_address(slot);
    const fe_segment *segment = fe_log_segment(it->log, address);
    if (segment->base == NULL || segment->role == FE_ROLE_OWN) return;
    fe_prefetch(fe_log_at(it->log, address));
    it->at[it->count++] = address;
    if (it->count == BATCH) batch_visit(it);
}

bool fe_survey_step(fe_survey *survey, const fe_store *store, fe_survey_wants *wants,
                    fe_survey_visit *visit, void *context)
{
    batch it = {.log = &store->log, .wants = wants, .visit = visit, .context = context};
    for (uint32_t i = 0; i < STEP_BUCKETS && survey->keyspace < store->options.databases; i++) {
        const fe_index *index = &store->keyspaces[survey->keyspace].index;
        if (survey->bucket >= index->buckets) {
            survey->bucket -= index->buckets;
            survey->keyspace++;
            continue;
        }
        (void)fe_index_visit_bucket(index, survey->bucket, batch_add, &it);
        survey->bucket += survey->stride;
        if (survey->bucket < index->buckets) fe_prefetch(fe_index_bucket(index, survey->bucket));
    }
    batch_visit(&it);
    return survey->keyspace < store->options.databases;
}
