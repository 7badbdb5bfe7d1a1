/* Between log.c, log_tiers.c and log_check.c: the parts of the log that are not for others. */
#ifndef FE_STORE_LOG_PARTS_H
#define FE_STORE_LOG_PARTS_H

#include "store/log.h"

/* The largest ordinary segment that addresses of this log can span. */
static inline size_t fe_log_span(const fe_log *log)
{
    return (size_t)8 << log->offset_bits;
}

/* What is not dead of it, in 64ths; the end that no record fitted into is lost to compaction too. */
static inline unsigned fe_log_class_of(const fe_segment *segment)
{
    return (unsigned)((segment->bytes - segment->used + segment->live) >> segment->class_shift);
}

/* Whether it is in a list of fe_log_frozen. */
static inline bool fe_log_in_frozen_list(const fe_segment *segment)
{
    bool has_file = segment->tier == FE_TIER_MAPPED || segment->tier == FE_TIER_DISK;
    return has_file && segment->role == FE_ROLE_FULL;
}

/* Which of them. */
static inline unsigned fe_log_frozen_class_of(const fe_segment *segment)
{
    return (unsigned)(segment->live * (FE_LOG_CLASSES - 1) / segment->used);
}

/* log.c */
FE_MUST_USE bool fe_log_tables_grow(fe_log *log);
/* A free segment number, or 0. */
FE_MUST_USE uint32_t fe_log_number_take(fe_log *log);
void fe_log_number_give(fe_log *log, uint32_t n);
void fe_log_class_unlink(fe_log *log, uint32_t n);

/* log_tiers.c: a segment comes into a tier, and leaves all of them. */
void fe_log_file_start(fe_log *log, uint32_t n);
void fe_log_file_end(fe_log *log, uint32_t n);
/* `size` bytes of a frozen segment die. */
void fe_log_kill_frozen(fe_log *log, uint32_t n, size_t size, uint32_t records);

#endif
