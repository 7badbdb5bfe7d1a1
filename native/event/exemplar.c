/* See exemplar.h. */
#include "event/exemplar.h"

#include "event/recorder.h"

struct fe_exemplar_row {
    fe_exemplar_row *next; /* of those with something to confirm */
    uint32_t mask;         /* slots that have something to confirm */
    fe_exemplar offered[FE_EXEMPLAR_SLOTS];
    fe_exemplar shown[FE_EXEMPLAR_SLOTS];
};

_Static_assert(FE_EXEMPLAR_SLOTS <= 32, "a bit for each slot");

bool fe_exemplars_init(fe_exemplars *exemplars, fe_alloc *alloc, uint32_t command_count,
                       uint64_t units_per_tick_q20)
{
    *exemplars = (fe_exemplars){
        .alloc = alloc, .units_per_tick_q20 = units_per_tick_q20, .command_count = command_count};
    exemplars->rows = fe_alloc_take_zeroed(alloc, FE_ALLOC_ENGINE,
                                           (command_count + 1) * sizeof(fe_exemplar_row *));
    if (exemplars->rows == NULL) return false;
    pthread_mutex_init(&exemplars->mutex, NULL);
    return true;
}

void fe_exemplars_free(fe_exemplars *exemplars)
{
    for (uint32_t i = 0; i < exemplars->command_count; i++)
        fe_alloc_give(exemplars->alloc, FE_ALLOC_ENGINE, exemplars->rows[i]);
    fe_alloc_give(exemplars->alloc, FE_ALLOC_ENGINE, exemplars->rows);
    pthread_mutex_destroy(&exemplars->mutex);
}

void fe_exemplars_begin(fe_exemplars *exemplars)
{
    for (; exemplars->offered != NULL; exemplars->offered = exemplars->offered->next)
        exemplars->offered->mask = 0;
}

/* Whether the times of a record are what the histogram of its command has counted. */
static bool is_counted(const fe_exemplars *exemplars, const fe_trace_record *record)
{
    if (record->kind != FE_TRACE_COMMAND || record->result == FE_RESULT_REJECTED) return false;
    if (record->command >= exemplars->command_count || record->span_id == 0) return false;
    if (!(record->flags & (FE_TRACE_SAMPLED | FE_TRACE_RETAINED))) return false;
    return !(record->flags & (FE_TRACE_BLOCKED | FE_TRACE_PAUSED | FE_TRACE_ROOM));
}

static uint32_t slot_of(uint64_t units)
{
    uint32_t power = units >> FE_EXEMPLAR_POWER_MIN == 0 ? FE_EXEMPLAR_POWER_MIN - 1
                                                         : 63u - (uint32_t)__builtin_clzll(units);
    if (power > FE_EXEMPLAR_POWER_MAX) power = FE_EXEMPLAR_POWER_MAX;
    return power + 1 - FE_EXEMPLAR_POWER_MIN;
}

/* The row of a command, made when there is none; NULL without memory. */
static fe_exemplar_row *row_of(fe_exemplars *exemplars, uint16_t command)
{
    fe_exemplar_row *row = exemplars->rows[command];
    if (FE_LIKELY(row != NULL)) return row;
    row = fe_alloc_take_zeroed(exemplars->alloc, FE_ALLOC_ENGINE, sizeof *row);
    if (row == NULL) return NULL;
    pthread_mutex_lock(&exemplars->mutex);
    exemplars->rows[command] = row;
    pthread_mutex_unlock(&exemplars->mutex);
    return row;
}

void fe_exemplars_offer(fe_exemplars *exemplars, const fe_trace_record *record,
                        const fe_otlp_clock *clock)
{
    if (!is_counted(exemplars, record)) return;
    fe_exemplar_row *row = row_of(exemplars, record->command);
    if (FE_UNLIKELY(row == NULL)) return;
    uint64_t ended = fe_trace_stage_ticks(record, FE_STAGE_ENDED);
    uint64_t took = ended - fe_trace_stage_ticks(record, FE_STAGE_BEGUN);
    uint64_t units = (took * exemplars->units_per_tick_q20) >> 20;
    int64_t unix_ns = fe_otlp_clock_ns(clock, record->start_ticks + ended);
    uint32_t slot = slot_of(units), bit = UINT32_C(1) << slot;
    fe_exemplar *one = &row->offered[slot];
    /* A batch is of several rings: the last in it need not be the newest. */
    if (row->mask & bit && one->unix_ns > unix_ns) return;
    if (row->mask == 0) {
        row->next = exemplars->offered;
        exemplars->offered = row;
    }
    row->mask |= bit;
    memcpy(one->trace_id, record->trace_id, sizeof one->trace_id);
    one->span_id = record->span_id;
    one->units = units;
    one->unix_ns = unix_ns;
}

void fe_exemplars_confirm(fe_exemplars *exemplars)
{
    if (exemplars->offered == NULL) return;
    pthread_mutex_lock(&exemplars->mutex);
    for (fe_exemplar_row *row = exemplars->offered; row != NULL; row = row->next)
        for (uint32_t i = 0; i < FE_EXEMPLAR_SLOTS; i++) {
            if (!(row->mask >> i & 1u)) continue;
            fe_exemplar *shown = &row->shown[i];
            if (shown->span_id == 0 || shown->unix_ns <= row->offered[i].unix_ns)
                *shown = row->offered[i];
        }
    pthread_mutex_unlock(&exemplars->mutex);
    fe_exemplars_begin(exemplars);
}

uint32_t fe_exemplars_copy(fe_exemplars *exemplars, uint32_t command,
                           fe_exemplar to[FE_EXEMPLAR_SLOTS])
{
    FE_ASSERT(command < exemplars->command_count);
    uint32_t count = 0;
    pthread_mutex_lock(&exemplars->mutex);
    const fe_exemplar_row *row = exemplars->rows[command];
    for (uint32_t i = 0; row != NULL && i < FE_EXEMPLAR_SLOTS; i++)
        if (row->shown[i].span_id != 0) to[count++] = row->shown[i];
    pthread_mutex_unlock(&exemplars->mutex);
    return count;
}
