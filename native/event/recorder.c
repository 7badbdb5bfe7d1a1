/* See recorder.h. */
#include "event/recorder.h"

#include "base/clock.h"

fe_trace_mark *fe_trace_mark_new(fe_alloc *alloc, const fe_trace_parent *parent, fe_bytes state,
                                 fe_bytes baggage)
{
    fe_trace_mark *mark =
        fe_alloc_take(alloc, FE_ALLOC_CLIENT, sizeof *mark + state.len + baggage.len);
    if (mark == NULL) return NULL;
    *mark = (fe_trace_mark){
        .parent = *parent, .state_len = (uint32_t)state.len, .baggage_len = (uint32_t)baggage.len};
    if (state.len > 0) memcpy(mark->text, state.ptr, state.len);
    if (baggage.len > 0) memcpy(mark->text + state.len, baggage.ptr, baggage.len);
    return mark;
}

/* The register. ---------------------------------------------------------------------------------- */

void fe_telemetry_init(fe_telemetry *telemetry, fe_alloc *alloc, double ticks_per_us)
{
    *telemetry = (fe_telemetry){.alloc = alloc,
                                .ticks_per_us = ticks_per_us,
                                .options.retention.slow_us = -1,
                                .slow_ticks = UINT64_MAX};
}

void fe_telemetry_destroy(fe_telemetry *telemetry)
{
    fe_recorder *recorder = atomic_load(&telemetry->recorders);
    while (recorder != NULL) {
        fe_recorder *next = recorder->next;
        fe_event_ring_close(&recorder->ring, telemetry->alloc);
        fe_alloc_give(telemetry->alloc, FE_ALLOC_ENGINE, recorder);
        recorder = next;
    }
    atomic_store(&telemetry->recorders, NULL);
}

/* Turns a recorder on or off as the options say. False without memory for its ring. */
static bool switch_recorder(fe_telemetry *telemetry, fe_recorder *recorder)
{
    bool wanted = telemetry->options.traces;
    bool made = recorder->ring.data != NULL;
    if (wanted && !made)
        made = fe_event_ring_open(&recorder->ring, telemetry->alloc, telemetry->options.ring_bytes);
    atomic_store_explicit(&recorder->has_ring, made, memory_order_release);
    atomic_store_explicit(&recorder->is_on, wanted && made, memory_order_release);
    return made || !wanted;
}

static void set_thresholds(fe_telemetry *telemetry)
{
    const fe_sampler *sampler = &telemetry->options.sampler;
    const fe_sampler *rest = &telemetry->options.retention.rest;
    bool by_rest = fe_sampler_threshold(rest) < fe_sampler_threshold(sampler);
    const fe_sampler *wider = by_rest ? rest : sampler;
    telemetry->threshold = fe_sampler_is_told(wider) ? fe_sampler_threshold(wider) : 0;
    telemetry->threshold_sampled = fe_sampler_is_told(sampler) ? fe_sampler_threshold(sampler) : 0;
}

bool fe_telemetry_set(fe_telemetry *telemetry, const fe_telemetry_options *options)
{
    telemetry->options = *options;
    int64_t slow_us = options->retention.slow_us;
    double slow = (double)slow_us * telemetry->ticks_per_us;
    telemetry->slow_ticks = slow_us >= 0 && slow < 0x1p63 ? (uint64_t)slow : UINT64_MAX;
    set_thresholds(telemetry);
    telemetry->may_retain = fe_retention_may_keep(&options->retention, false);
    telemetry->rate = fe_rate_of(options->retention.rate_max, telemetry->ticks_per_us);
    bool all = true;
    for (fe_recorder *it = atomic_load(&telemetry->recorders); it != NULL; it = it->next)
        all &= switch_recorder(telemetry, it);
    return all;
}

static void seed(fe_random *random)
{
    fe_random_init(random, (uint64_t)fe_clock_wall_us() ^ fe_clock_ticks() << 20);
    uint64_t state[4];
    bool given = fe_random_system(state, sizeof state); /* the clock serves when it refuses */
    if (given && (state[0] | state[1] | state[2] | state[3]) != 0)
        memcpy(random->s, state, sizeof state);
}

fe_recorder *fe_recorder_new(fe_telemetry *telemetry)
{
    fe_recorder *recorder =
        fe_alloc_take_zeroed(telemetry->alloc, FE_ALLOC_ENGINE, sizeof *recorder);
    if (recorder == NULL) return NULL;
    recorder->telemetry = telemetry;
    recorder->texts.data = recorder->tail;
    seed(&recorder->random);
    if (!switch_recorder(telemetry, recorder)) {
        fe_alloc_give(telemetry->alloc, FE_ALLOC_ENGINE, recorder);
        return NULL;
    }
    recorder->next = atomic_load(&telemetry->recorders);
    atomic_store_explicit(&telemetry->recorders, recorder, memory_order_release);
    return recorder;
}

/* Deciding. -------------------------------------------------------------------------------------- */

static uint64_t random_id(fe_recorder *recorder)
{
    uint64_t id;
    do
        id = fe_random_next(&recorder->random);
    while (FE_UNLIKELY(id == 0));
    return id;
}

static bool decide(const fe_recorder *recorder, fe_draft *draft, const fe_trace_parent *parent)
{
    const fe_telemetry_options *options = &recorder->telemetry->options;
    bool sampled = fe_sampler_decide(&options->sampler, parent, draft->low);
    draft->flags &= (uint16_t)~FE_TRACE_SAMPLED;
    if (sampled) draft->flags |= FE_TRACE_SAMPLED;
    draft->threshold = parent == NULL ? recorder->telemetry->threshold : 0;
    draft->caller_declined = parent != NULL && !(parent->flags & FE_PARENT_SAMPLED);
    return sampled || fe_retention_may_keep(&options->retention, draft->caller_declined);
}

bool fe_recorder_begin(fe_recorder *recorder, fe_draft *draft, const fe_trace_parent *parent)
{
    if (parent != NULL)
        draft->low = fe_sampler_low(parent->trace_id);
    else
        draft->low = recorder->drawn != 0 ? recorder->drawn : fe_random_next(&recorder->random);
    recorder->drawn = 0;
    draft->span_id = 0;
    draft->parent.span_id = 0;
    if (parent != NULL) draft->parent = *parent;
    draft->open = decide(recorder, draft, parent);
    return draft->open;
}

void fe_recorder_complete(const fe_recorder *recorder, fe_draft *draft)
{
    draft->thin = draft->caller_declined = draft->held = false;
    draft->disk_reads = 0;
    draft->located = draft->waited = draft->parked = 0;
    draft->threshold = recorder->telemetry->threshold;
    draft->span_id = draft->parent.span_id = 0;
    draft->state = draft->baggage = (fe_bytes){NULL, 0};
}

void fe_recorder_adopt(fe_recorder *recorder, fe_draft *draft, const fe_trace_parent *parent)
{
    draft->low = fe_sampler_low(parent->trace_id);
    draft->parent = *parent;
    draft->flags |= FE_TRACE_REMOTE_PARENT;
    draft->open = decide(recorder, draft, parent);
}

void fe_recorder_name(fe_recorder *recorder, fe_draft *draft)
{
    if (draft->span_id != 0) return;
    draft->span_id = random_id(recorder);
    if (draft->parent.span_id != 0) return;
    uint64_t high = __builtin_bswap64(random_id(recorder)); /* not zero, so the id is not */
    uint64_t low = __builtin_bswap64(draft->low);
    memcpy(draft->parent.trace_id, &high, 8);
    memcpy(draft->parent.trace_id + 8, &low, 8);
}

bool fe_recorder_keep(fe_recorder *recorder, fe_draft *draft, const fe_ending *ending)
{
    fe_telemetry *telemetry = recorder->telemetry;
    const fe_retention *retention = &telemetry->options.retention;
    bool sampled = (draft->flags & FE_TRACE_SAMPLED) != 0;
    bool kept = sampled || draft->keep;
    if (kept || !draft->caller_declined || retention->unsampled) {
        draft->held |= fe_retention_keeps(retention, ending, telemetry->slow_ticks);
        kept |= fe_sampler_takes(&retention->rest, draft->low);
    }
    if (draft->held && !kept) {
        uint64_t ended = fe_draft_arrived(draft) + ending->ticks;
        kept = fe_rate_take(&telemetry->rate, ended, telemetry->ticks_per_us);
        if (!kept) fe_event_ring_count(&telemetry->declined);
    }
    if (!kept) return false;
    if (draft->held) draft->threshold = 0;
    if (draft->held || !sampled) draft->flags |= FE_TRACE_RETAINED;
    fe_recorder_name(recorder, draft);
    return true;
}

/* Making. ---------------------------------------------------------------------------------------- */

/* So many low bits of a tick are left out that `ticks` fits. */
static uint8_t shift_for(uint64_t ticks)
{
    return ticks <= UINT32_MAX ? 0 : (uint8_t)(32 - __builtin_clzll(ticks));
}

static void shift_more(fe_trace_record *record, uint8_t shift)
{
    for (int i = 0; i < FE_STAGE_COUNT; i++)
        record->stages[i] >>= shift - record->shift;
    record->waited >>= shift - record->shift;
    record->shift = shift;
}

void fe_trace_stage_set(fe_trace_record *record, fe_trace_stage stage, uint64_t ticks)
{
    uint8_t shift = shift_for(ticks);
    if (FE_UNLIKELY(shift > record->shift)) shift_more(record, shift);
    record->stages[stage] = (uint32_t)(ticks >> record->shift);
}

/* Stages up to the end; none before the one in front of it, as clocks of two processors may differ by a
 * few ticks. Those behind the end are as late as it. */
static void set_times(fe_trace_record *record, const fe_draft *draft, uint64_t ended)
{
    uint64_t times[] = {draft->received, draft->parsed, draft->begun, draft->located, ended};
    uint64_t start = draft->start, last = 0;
    uint8_t shift =
        FE_LIKELY(ended - start <= UINT32_MAX || ended < start) ? 0 : shift_for(ended - start);
    record->start_ticks = start;
    record->shift = shift;
    for (int i = 0; i < FE_STAGE_COUNT; i++) {
        if (i <= FE_STAGE_ENDED && times[i] > start && times[i] - start > last)
            last = times[i] - start;
        record->stages[i] = (uint32_t)(last >> shift);
    }
    record->waited = (uint32_t)((draft->waited < last ? draft->waited : last) >> shift);
}

fe_trace_record *fe_recorder_make(fe_recorder *recorder, const fe_draft *draft, uint64_t ended)
{
    uint32_t tail = recorder->texts.len;
    uint32_t size = (uint32_t)sizeof(fe_trace_record) + tail;
    size = (size + FE_TRACE_ALIGN - 1) & ~(FE_TRACE_ALIGN - 1);
    fe_trace_record *record = fe_event_ring_reserve(&recorder->ring, size);
    if (FE_UNLIKELY(record == NULL)) return NULL;
    *record = (fe_trace_record){.size = size,
                                .kind = FE_TRACE_COMMAND,
                                .flags = draft->flags,
                                .span_id = draft->span_id,
                                .parent_id = draft->parent.span_id,
                                .request_bytes = draft->request_bytes,
                                .disk_reads = draft->disk_reads,
                                .batch_index = draft->batch_index,
                                .batch_size = draft->batch_size,
                                .tail_len = (uint16_t)tail};
    /* By halves, as fe_recorder_name has just stored it: a load of both would wait for the stores. */
    uint64_t high, low;
    memcpy(&high, draft->parent.trace_id, 8);
    memcpy(&low, draft->parent.trace_id + 8, 8);
    memcpy(record->trace_id, &high, 8);
    memcpy(record->trace_id + 8, &low, 8);
    set_times(record, draft, ended);
    if (tail > 0) memcpy(record + 1, recorder->tail, tail);
    return record;
}

static void stamp(fe_trace_record *record, uint64_t settled, uint64_t now, uint16_t commands)
{
    uint64_t ended = fe_trace_stage_ticks(record, FE_STAGE_ENDED);
    uint64_t start = record->start_ticks;
    uint64_t at = settled > start + ended ? settled - start : ended;
    fe_trace_stage_set(record, FE_STAGE_SETTLED, at);
    fe_trace_stage_set(record, FE_STAGE_WRITTEN, now > start + at ? now - start : at);
    if (record->flags & FE_TRACE_IN_EXEC) return; /* its place is that in the transaction */
    record->batch_size = commands;
    if (commands > 1) record->flags |= FE_TRACE_PIPELINED;
}

void fe_recorder_stamp(fe_recorder *recorder, uint64_t from, uint64_t to, uint32_t commands,
                       uint64_t now)
{
    fe_event_ring *ring = &recorder->ring;
    if (from < ring->published_here) from = ring->published_here;
    uint16_t size = commands < UINT16_MAX ? (uint16_t)commands : UINT16_MAX;
    while (from < to) {
        fe_trace_record *record = fe_event_ring_at(ring, from);
        from += record->size;
        if (FE_LIKELY(record->kind == FE_TRACE_COMMAND))
            stamp(record, recorder->settled, now, size);
    }
}

/* Reading. --------------------------------------------------------------------------------------- */

void fe_telemetry_drain(fe_telemetry *telemetry, fe_telemetry_taker *take, void *context)
{
    fe_recorder *it = atomic_load_explicit(&telemetry->recorders, memory_order_acquire);
    for (; it != NULL; it = it->next) {
        if (!atomic_load_explicit(&it->has_ring, memory_order_acquire)) continue;
        const uint8_t *data;
        size_t len;
        uint64_t left =
            fe_event_ring_waiting(&it->ring); /* what comes meanwhile waits for the next time */
        while (left > 0 && (len = fe_event_ring_peek(&it->ring, &data)) != 0) {
            take(context, data, len);
            fe_event_ring_take(&it->ring, len);
            left -= len < left ? len : left;
        }
    }
}

bool fe_telemetry_is_pressed(const fe_telemetry *telemetry)
{
    const fe_recorder *it = atomic_load_explicit(&telemetry->recorders, memory_order_acquire);
    for (; it != NULL; it = it->next) {
        if (!atomic_load_explicit(&it->has_ring, memory_order_acquire)) continue;
        if (fe_event_ring_waiting(&it->ring) >= it->ring.size / 2) return true;
    }
    return false;
}

void fe_telemetry_count(const fe_telemetry *telemetry, fe_telemetry_counts *counts)
{
    *counts = (fe_telemetry_counts){
        .declined = atomic_load_explicit(&telemetry->declined, memory_order_relaxed)};
    const fe_recorder *it = atomic_load_explicit(&telemetry->recorders, memory_order_acquire);
    for (; it != NULL; it = it->next) {
        if (!atomic_load_explicit(&it->has_ring, memory_order_acquire)) continue;
        counts->records += fe_event_ring_records(&it->ring);
        counts->dropped += fe_event_ring_dropped(&it->ring);
        counts->waiting += fe_event_ring_waiting(&it->ring);
        counts->size += it->ring.size;
    }
}
