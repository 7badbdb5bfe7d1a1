/* A survey of the store: the segments there are, and a random sample of the records that are in memory, for
 * whoever adds up what lies where. Nothing here changes anything or reads the disk.
 *
 * Threads: the engine's lock is held for every call. It may be given up between calls; what moves meanwhile is
 * met twice or not at all.
 */
#ifndef FE_STORE_SURVEY_H
#define FE_STORE_SURVEY_H

#include "base/random.h"
#include "store/keyspace.h"
#include "store/log.h"

typedef struct fe_survey_segment {
    fe_tier tier; /* FREE: nothing */
    uint32_t generation;
    uint64_t live;   /* bytes */
    bool miscounted; /* `live` may be too high */
} fe_survey_segment;

/* The highest number that a segment may have. */
uint32_t fe_survey_last(const fe_store *store);
/* Of any number. */
fe_survey_segment fe_survey_segment_of(const fe_store *store, uint32_t n);

/* The record of a segment in use that is for one, if it is in memory and alive; NULL: it is not, or is none. */
const fe_record *fe_survey_single(const fe_store *store, uint32_t n);

/* A way through the index: every stride-th bucket, of all databases. */
typedef struct fe_survey {
    uint64_t stride;   /* how many records each that is met stands for */
    uint64_t bucket;   /* the next, of ... */
    uint32_t keyspace; /* ... this one */
} fe_survey;

/* To meet about `records` records in memory; fewer, where so many of the slots are of others that it would take
 * very long. */
fe_survey fe_survey_begin(const fe_store *store, uint64_t records, fe_random *random);

/* Whether records of a segment in memory are wanted; else they are not looked at. */
typedef bool fe_survey_wants(void *context, uint32_t segment);
/* A record in memory that has no segment of its own. */
typedef void fe_survey_visit(void *context, fe_tier tier, const fe_record *record);

/* Meets the records of the next few buckets; false: that was all. Takes microseconds. */
bool fe_survey_step(fe_survey *survey, const fe_store *store, fe_survey_wants *wants,
                    fe_survey_visit *visit, void *context);

#endif
