/* See rare.h. */
#include "event/rare.h"

#include "base/clock.h"

void fe_rare_init(fe_rare *rare, fe_telemetry *telemetry)
{
    *rare = (fe_rare){.telemetry = telemetry};
    fe_random_init(&rare->random, (uint64_t)fe_clock_wall_us() ^ fe_clock_ticks() << 20);
    uint64_t state[4];
    bool given = fe_random_system(state, sizeof state); /* the clock serves when it refuses */
    if (given && (state[0] | state[1] | state[2] | state[3]) != 0)
        memcpy(rare->random.s, state, sizeof state);
}

void fe_rare_destroy(fe_rare *rare)
{
    fe_alloc_give(rare->telemetry->alloc, FE_ALLOC_ENGINE, rare->slots);
    rare->slots = NULL;
}

bool fe_rare_follow(fe_rare *rare)
{
    const fe_telemetry_options *options = &rare->telemetry->options;
    rare->connections = fe_rate_of(options->connection_rate_max, rare->telemetry->ticks_per_us);
    rare->is_on = false;
    if (!options->traces) return true;
    if (rare->slots == NULL) {
        uint64_t room = options->ring_bytes / sizeof(fe_rare_event);
        rare->room = room < 1 ? 1 : room < FE_RARE_ROOM_MAX ? (uint32_t)room : FE_RARE_ROOM_MAX;
        rare->slots = fe_alloc_take_zeroed(rare->telemetry->alloc, FE_ALLOC_ENGINE,
                                           rare->room * sizeof *rare->slots);
        if (rare->slots == NULL) return false;
    }
    rare->is_on = true;
    return true;
}

/* Beginning -------------------------------------------------------------------------------------- */

static uint64_t random_id(fe_rare *rare)
{
    uint64_t id;
    do
        id = fe_random_next(&rare->random);
    while (FE_UNLIKELY(id == 0));
    return id;
}

/* The command that runs: its thread holds the lock, so that there is one at most. */
static fe_recorder *running(const fe_rare *rare)
{
    fe_recorder *it = atomic_load_explicit(&rare->telemetry->recorders, memory_order_acquire);
    while (it != NULL && !(fe_recorder_is_on(it) && it->draft.open))
        it = it->next;
    return it;
}

static bool begin_below(fe_rare *rare, fe_rare_event *event, const uint8_t trace_id[16],
                        uint64_t parent_id, bool by_ratio)
{
    memcpy(event->trace_id, trace_id, 16);
    event->parent_id = parent_id;
    event->threshold = by_ratio ? rare->telemetry->threshold_sampled : 0;
    event->span_id = random_id(rare);
    event->sampled = event->below = event->open = true;
    return true;
}

static bool begin_root(fe_rare *rare, fe_rare_event *event)
{
    fe_telemetry *telemetry = rare->telemetry;
    uint64_t low = fe_random_next(&rare->random);
    event->sampled = fe_sampler_takes(&telemetry->options.sampler, low);
    event->threshold = telemetry->threshold;
    uint64_t high = random_id(rare); /* not zero, so the id is not */
    for (int i = 0; i < 8; i++) {
        event->trace_id[i] = (uint8_t)(high >> (56 - 8 * i));
        event->trace_id[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    event->span_id = random_id(rare);
    event->open = true;
    return true;
}

bool fe_rare_begin(fe_rare *rare, fe_rare_event *event, fe_rare_kind kind, uint64_t ticks)
{
    event->open = false;
    if (!rare->is_on) return false;
    *event = (fe_rare_event){.kind = (uint8_t)kind, .began = ticks};
    const fe_rare_event *parent = rare->parent;
    if (parent != NULL)
        return parent->sampled &&
               begin_below(rare, event, parent->trace_id, parent->span_id, parent->threshold != 0);
    fe_recorder *recorder = kind == FE_RARE_EPOCH ? running(rare) : NULL;
    if (recorder == NULL) return begin_root(rare, event);
    fe_draft *draft = &recorder->draft;
    if (!(draft->flags & FE_TRACE_SAMPLED)) return false; /* nobody knows whether it will be kept */
    fe_recorder_name(recorder, draft);
    return begin_below(rare, event, draft->parent.trace_id, draft->span_id, draft->threshold != 0);
}

void fe_rare_set_text(fe_rare_event *event, fe_bytes text)
{
    size_t len = text.len < FE_RARE_TEXT_MAX ? text.len : FE_RARE_TEXT_MAX;
    if (len > 0) memcpy(event->text, text.ptr, len);
    event->text_len = (uint8_t)len;
}

/* Ending ----------------------------------------------------------------------------------------- */

static void put(fe_rare *rare, const fe_rare_event *event)
{
    uint64_t head = atomic_load_explicit(&rare->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&rare->taken, memory_order_acquire) >= rare->room) {
        fe_event_ring_count(&rare->dropped);
        return;
    }
    rare->slots[head % rare->room] = *event;
    atomic_store_explicit(&rare->head, head + 1, memory_order_release);
}

/* Whether an event that has ended is kept. Connections live as long as they like, and each may be one of
 * thousands: of them only the sampled and the failed are, and so many a second. The threshold stays where it alone
 * has decided. */
static bool is_kept(fe_rare *rare, fe_rare_event *event, bool failed)
{
    fe_telemetry *telemetry = rare->telemetry;
    const fe_telemetry_options *options = &telemetry->options;
    bool is_connection = event->kind == FE_RARE_CONNECTION;
    if (event->below) return true;
    fe_ending ending = {.failed = failed, .ticks = event->ended - event->began};
    bool held = fe_retention_keeps(&options->retention, &ending,
                                   is_connection ? UINT64_MAX : telemetry->slow_ticks);
    bool chosen = event->sampled ||
                  fe_sampler_takes(&options->retention.rest, fe_sampler_low(event->trace_id));
    if (!chosen && !held) return false;
    if (held || is_connection) event->threshold = 0;
    bool passed = true;
    if (is_connection)
        passed = options->connection_rate_max != 0 &&
                 fe_rate_take(&rare->connections, event->ended, telemetry->ticks_per_us);
    else if (!chosen)
        passed = fe_rate_take(&telemetry->rate, event->ended, telemetry->ticks_per_us);
    if (!passed && !(is_connection && options->connection_rate_max == 0))
        fe_event_ring_count(&rare->left_out);
    return passed;
}

void fe_rare_end(fe_rare *rare, fe_rare_event *event, uint64_t ticks, bool failed)
{
    if (!event->open) return;
    event->open = false;
    event->ended = ticks > event->began ? ticks : event->began;
    if (rare->is_on && is_kept(rare, event, failed)) put(rare, event);
}

void fe_rare_keep(fe_rare *rare, fe_rare_event *event, uint64_t ticks)
{
    event->below |= event->open;
    event->threshold = 0;
    fe_rare_end(rare, event, ticks, false);
}

/* Taking ----------------------------------------------------------------------------------------- */

uint32_t fe_rare_take(fe_rare *rare, fe_rare_event *out, uint32_t max)
{
    uint64_t taken = atomic_load_explicit(&rare->taken, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&rare->head, memory_order_acquire);
    uint32_t count = 0;
    for (; count < max && taken < head; taken++)
        out[count++] = rare->slots[taken % rare->room];
    atomic_store_explicit(&rare->taken, taken, memory_order_release);
    return count;
}

uint64_t fe_rare_waiting(const fe_rare *rare)
{
    uint64_t taken = atomic_load_explicit(&rare->taken, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&rare->head, memory_order_acquire);
    return head > taken ? head - taken : 0;
}

bool fe_rare_is_pressed(const fe_rare *rare)
{
    uint64_t waiting = fe_rare_waiting(rare);
    return waiting > 0 && waiting >= rare->room / 2;
}

fe_rare_counts fe_rare_count(const fe_rare *rare)
{
    return (fe_rare_counts){.dropped = atomic_load_explicit(&rare->dropped, memory_order_relaxed),
                            .left_out =
                                atomic_load_explicit(&rare->left_out, memory_order_relaxed)};
}
