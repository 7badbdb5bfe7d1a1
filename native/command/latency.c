/* LATENCY: what the latency monitor (engine/latency.h) has seen, and the distribution of every
 * command's duration. */
#include "command/families.h"
#include "command/label.h"

#include <stdio.h>

/* By name; FE_LATENCY_EVENT_COUNT when there is none. */
static fe_latency_event find_event(fe_bytes name)
{
    unsigned event = 0;
    while (event < FE_LATENCY_EVENT_COUNT &&
           !fe_bytes_is_word(name, fe_latency_name((fe_latency_event)event)))
        event++;
    return (fe_latency_event)event;
}

/* The samples of the event that argument `i` names; NULL when there are none. */
static const fe_latency_series *find_series(const fe_call *call, uint32_t i)
{
    fe_latency_event event = find_event(call->argv[i]);
    if (event == FE_LATENCY_EVENT_COUNT) return NULL;
    const fe_latency_series *series = &call->engine->latency.series[event];
    return series->count > 0 ? series : NULL;
}

static void history(fe_call *call)
{
    const fe_latency_series *series = find_series(call, 2);
    uint32_t count = series == NULL ? 0 : series->count;
    fe_reply_array(&call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        const fe_latency_sample *sample = fe_latency_get(series, i);
        fe_reply_array(&call->reply, 2);
        fe_reply_integer(&call->reply, sample->unix_seconds);
        fe_reply_integer(&call->reply, (int64_t)sample->ms);
    }
}

static void traces(fe_call *call)
{
    const fe_latency_series *series = find_series(call, 2);
    uint32_t count = series == NULL ? 0 : series->count;
    fe_reply_array(&call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        const fe_latency_sample *sample = fe_latency_get(series, i);
        fe_reply_array(&call->reply, 5);
        fe_reply_integer(&call->reply, sample->unix_seconds);
        fe_reply_integer(&call->reply, (int64_t)sample->ms);
        fe_label_reply_ids(&call->reply, &sample->label);
        fe_label_reply_times(&call->reply, &sample->label);
    }
}

static void latest(fe_call *call)
{
    fe_reply *reply = &call->reply;
    size_t at = fe_reply_array_deferred(reply);
    uint64_t count = 0;
    for (unsigned event = 0; event < FE_LATENCY_EVENT_COUNT; event++) {
        const fe_latency_series *series = &call->engine->latency.series[event];
        if (series->count == 0) continue;
        const fe_latency_sample *newest = fe_latency_get(series, series->count - 1);
        fe_reply_array(reply, 4);
        fe_reply_bulk_text(reply, fe_latency_name((fe_latency_event)event));
        fe_reply_integer(reply, newest->unix_seconds);
        fe_reply_integer(reply, (int64_t)newest->ms);
        fe_reply_integer(reply, (int64_t)series->worst_ms);
        count++;
    }
    fe_reply_array_settle(reply, at, count);
}

/* Forgets one event; 1 when it had samples. */
static int64_t reset_event(fe_call *call, fe_latency_event event)
{
    if (event == FE_LATENCY_EVENT_COUNT) return 0;
    int64_t had = call->engine->latency.series[event].count > 0;
    fe_latency_reset(&call->engine->latency, event);
    return had;
}

static void reset(fe_call *call)
{
    int64_t count = 0;
    for (uint32_t i = 2; i < call->argc; i++)
        count += reset_event(call, find_event(call->argv[i]));
    for (unsigned event = 0; call->argc == 2 && event < FE_LATENCY_EVENT_COUNT; event++)
        count += reset_event(call, (fe_latency_event)event);
    fe_reply_integer(&call->reply, count);
}

/* HISTOGRAM.
 * -------------------------------------------------------------------------------------- */

enum {
    FIRST_BITS = 10,                     /* everything below 2^10 ns is one, as in Redis */
    LAST_BITS = FE_EXPONENTIAL_POWER_MAX /* above all that is counted */
};

/* Redis labels the bucket below 2^bits ns by its bound in microseconds. Its histogram keeps two
 * digits, which moves the bound up by 1/128. */
static int64_t bucket_label_us(unsigned bits)
{
    return (int64_t)(((1ULL << bits) + (1ULL << (bits - 7)) - 1) / 1000);
}

typedef struct pair {
    int64_t label_us;
    uint64_t total; /* as many took less */
} pair;

/* Of the powers of two that have calls below them and above the one before. 2^bits ns are
 * 2^(bits + 0.103) units, of which the next bound of a bucket is 0.6 % less. */
static uint32_t find_pairs(const fe_exponential *durations, pair pairs[LAST_BITS + 1])
{
    uint32_t count = 0;
    uint64_t total = durations->zero, told = 0;
    unsigned next = 0;
    for (unsigned bits = FIRST_BITS; bits <= LAST_BITS; bits++) {
        unsigned bound = (bits - FE_EXPONENTIAL_POWER_MIN) * FE_EXPONENTIAL_STEPS + 3;
        if (bits == LAST_BITS) bound = FE_EXPONENTIAL_BUCKETS;
        while (next < bound)
            total += durations->counts[next++];
        if (total != told) pairs[count++] = (pair){bucket_label_us(bits), total};
        told = total;
    }
    return count;
}

static void reply_histogram(fe_reply *reply, const fe_command *command,
                            const fe_exponential *durations)
{
    pair pairs[LAST_BITS + 1];
    uint32_t count = find_pairs(durations, pairs);
    fe_reply_bulk_text(reply, command->row->name);
    fe_reply_map(reply, 2);
    fe_reply_bulk_text(reply, "calls");
    fe_reply_integer(reply, (int64_t)fe_exponential_count(durations));
    fe_reply_bulk_text(reply, "histogram_usec");
    fe_reply_map(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        fe_reply_integer(reply, pairs[i].label_us);
        fe_reply_integer(reply, (int64_t)pairs[i].total);
    }
}

/* Replies, or only counts when `reply` is NULL, a command and its subcommands, as far as they were
 * called. */
static uint64_t add_histograms(fe_reply *reply, const fe_command *command)
{
    uint64_t count = 0;
    fe_exponential durations;
    fe_exponential *copy = reply != NULL ? &durations : NULL;
    if (command->child_count == 0 && fe_command_durations(command, FE_DURATION_RUN, copy)) {
        count++;
        if (reply != NULL) reply_histogram(reply, command, &durations);
    }
    for (uint32_t i = 0; i < command->child_count; i++)
        count += add_histograms(reply, command->children[i]);
    return count;
}

/* Finds "get", or "client|list". */
static const fe_command *find_command(const fe_call *call, fe_bytes name)
{
    const uint8_t *bar = name.len == 0 ? NULL : memchr(name.ptr, '|', name.len);
    fe_bytes words[2] = {name, {NULL, 0}};
    if (bar != NULL) {
        words[0].len = (size_t)(bar - name.ptr);
        words[1] = (fe_bytes){bar + 1, name.len - words[0].len - 1};
    }
    fe_command *container;
    const fe_command *command =
        fe_commands_find(call->commands, words, bar == NULL ? 1 : 2, &container);
    bool whole = command != NULL && (bar == NULL || command->parent != NULL);
    return whole ? command : NULL;
}

static uint64_t add_chosen(fe_call *call, fe_reply *reply)
{
    uint64_t count = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        const fe_command *command = find_command(call, call->argv[i]);
        if (command != NULL) count += add_histograms(reply, command);
    }
    return count;
}

static uint64_t add_all(fe_call *call, fe_reply *reply)
{
    uint32_t commands;
    fe_command *const *all = fe_commands_all(call->commands, &commands);
    uint64_t count = 0;
    for (uint32_t i = 0; i < commands; i++)
        count += add_histograms(reply, all[i]);
    return count;
}

static void histogram(fe_call *call)
{
    bool chosen = call->argc > 2;
    fe_reply_map(&call->reply, chosen ? add_chosen(call, NULL) : add_all(call, NULL));
    if (chosen)
        add_chosen(call, &call->reply);
    else
        add_all(call, &call->reply);
}

/* Reports in words.
 * ------------------------------------------------------------------------------- */

enum { GRAPH_ROWS = 4, GRAPH_LINE_MAX = FE_LATENCY_SAMPLES + 1, RULE_LEN = 80, AGE_MAX = 24 };

static void add_line(fe_buf *text, const char *line, size_t len)
{
    while (len > 0 && line[len - 1] == ' ')
        len--;
    fe_buf_append(text, line, len);
    fe_buf_append_byte(text, '\n');
}

/* How long ago, as a number and a unit: "7s", "12m", "3h", "2d". */
static void print_age(char out[AGE_MAX], int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char name;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t unit = 0;
    while (unit < 3 && seconds < units[unit].seconds)
        unit++;
    int64_t number = seconds < 0 ? 0 : seconds / units[unit].seconds;
    snprintf(out, AGE_MAX, "%lld%c", (long long)number, units[unit].name);
}

/* Draws a column per sample: its height between the lowest and the highest, and below it,
 * downwards, its age. */
static void draw_columns(fe_buf *text, const fe_latency_series *series,
                         const fe_latency_summary *sum, int64_t now_seconds)
{
    char line[GRAPH_LINE_MAX];
    char ages[FE_LATENCY_SAMPLES][AGE_MAX];
    uint64_t span = sum->high_ms - sum->low_ms;
    size_t age_rows = 0;
    for (int row = GRAPH_ROWS; row >= 1; row--) {
        for (uint32_t i = 0; i < series->count; i++) {
            uint64_t above = fe_latency_get(series, i)->ms - sum->low_ms;
            uint64_t height = span == 0 ? 1 : 1 + above * (GRAPH_ROWS - 1) / span;
            uint64_t level = (uint64_t)row;
            line[i] = (char)(height < level ? ' ' : height == level ? '#' : '|');
        }
        add_line(text, line, series->count);
    }
    for (uint32_t i = 0; i < series->count; i++) {
        print_age(ages[i], now_seconds - fe_latency_get(series, i)->unix_seconds);
        if (strlen(ages[i]) > age_rows) age_rows = strlen(ages[i]);
    }
    for (size_t row = 0; row < age_rows; row++) {
        for (uint32_t i = 0; i < series->count; i++)
            line[i] = (char)(row < strlen(ages[i]) ? ages[i][row] : ' ');
        add_line(text, line, series->count);
    }
}

static void reply_text(fe_call *call, fe_buf *text)
{
    if (text->failed)
        fe_call_no_memory(call);
    else
        fe_reply_verbatim(&call->reply, "txt", fe_buf_view(text));
    fe_buf_free(text);
}

static void graph(fe_call *call)
{
    const fe_latency_series *series = find_series(call, 2);
    if (series == NULL) {
        fe_bytes name = call->argv[2];
        fe_call_errorf(call, "ERR No samples available for event '%.*s'",
                       (int)(name.len < 512 ? name.len : 512), (const char *)name.ptr);
        return;
    }
    int64_t now_seconds = call->engine->now_ms / 1000;
    fe_latency_summary sum = fe_latency_sum_up(series, now_seconds);
    fe_buf text;
    fe_buf_init(&text, &call->engine->alloc, FE_ALLOC_SCRATCH);
    char line[160];
    int len = snprintf(line, sizeof line, "%s - high %llu ms, low %llu ms (all time high %llu ms)",
                       fe_latency_name(find_event(call->argv[2])), (unsigned long long)sum.high_ms,
                       (unsigned long long)sum.low_ms, (unsigned long long)series->worst_ms);
    add_line(&text, line, (size_t)len);
    memset(line, '-', RULE_LEN);
    add_line(&text, line, RULE_LEN);
    draw_columns(&text, series, &sum, now_seconds);
    reply_text(call, &text);
}

static void add_text(fe_buf *text, const char *words)
{
    fe_buf_append(text, words, strlen(words));
}

/* What to do about an event. */
static const char *advice(fe_latency_event event)
{
    switch (event) {
    case FE_LATENCY_COMMAND:
    case FE_LATENCY_FAST_COMMAND:
        return "  See SLOWLOG GET for the commands that took long: those over many keys or large "
               "values hold up\n"
               "  all others. When even small ones were slow, the machine had no processor or "
               "memory to spare:\n"
               "  look for swapping, huge pages and noisy neighbours.\n";
    case FE_LATENCY_INDEX_CYCLE:
    case FE_LATENCY_EXPIRE_CYCLE:
    case FE_LATENCY_COMPACT_CYCLE: break;
    case FE_LATENCY_EVENT_COUNT: break;
    }
    return "  Steps of background work are bounded to well below a millisecond: one that took "
           "longer was interrupted.\n"
           "  The machine had no processor or memory to spare.\n";
}

static void report_event(const fe_call *call, fe_latency_event event, fe_buf *text)
{
    const fe_latency_series *series = &call->engine->latency.series[event];
    fe_latency_summary sum = fe_latency_sum_up(series, call->engine->now_ms / 1000);
    char line[256];
    int len =
        snprintf(line, sizeof line,
                 "%s: %u latency spikes (average %llu ms, mean deviation %llu ms, period %.2f "
                 "s). Worst all time event %llu ms.",
                 fe_latency_name(event), series->count, (unsigned long long)sum.average_ms,
                 (unsigned long long)sum.deviation_ms, sum.period_seconds,
                 (unsigned long long)series->worst_ms);
    add_line(text, line, (size_t)len);
    add_text(text, advice(event));
}

static void doctor(fe_call *call)
{
    fe_buf text;
    fe_buf_init(&text, &call->engine->alloc, FE_ALLOC_SCRATCH);
    bool found = false;
    for (unsigned event = 0; event < FE_LATENCY_EVENT_COUNT; event++) {
        if (call->engine->latency.series[event].count == 0) continue;
        report_event(call, (fe_latency_event)event, &text);
        found = true;
    }
    if (call->engine->options.latency_threshold_ms == 0)
        add_text(&text, "The latency monitor is off. CONFIG SET latency-monitor-threshold "
                        "<milliseconds> turns it on.\n");
    else if (!found)
        add_text(&text, "Nothing has taken longer than latency-monitor-threshold.\n");
    reply_text(call, &text);
}

static void help(fe_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Report on latency in words.",
        "GRAPH <event>",
        "    Draw the samples of <event>.",
        "HISTOGRAM [<command> ...]",
        "    Answer how the durations of commands are distributed.",
        "HISTORY <event>",
        "    Answer the samples of <event>: time and milliseconds.",
        "LATEST",
        "    Answer the newest sample of every event: time, milliseconds, and the worst ever.",
        "RESET [<event> ...]",
        "    Forget the samples of the events, or of all.",
        "TRACES <event>",
        "    Answer the samples of <event>: time, milliseconds, trace id and span id, and in",
        "    microseconds how long the command was queued, looked for its keys, took in all, and",
        "    waited within that; null where no span was recorded, or nothing measured.",
        NULL,
    };
    fe_call_help(call, "latency", lines);
}

#define ADMIN (FE_ADMIN | FE_NOSCRIPT | FE_LOADING | FE_STALE)
#define VARIES "nondeterministic_output request_policy:all_nodes response_policy:special"
#define ROW(subcommand, handler, arity_, flags_, since_, complexity_, summary_, syntax_, tips_)    \
    {                                                                                              \
        .name = "latency|" subcommand, .run = (handler), .arity = (arity_), .flags = (flags_),     \
        .group = "server", .since = (since_), .complexity = (complexity_), .summary = (summary_),  \
        .syntax = (syntax_), .tips = (tips_)                                                       \
    }

static const fe_command_row rows[] = {
    {
        .name = "latency",
        .arity = -2,
        .flags = FE_CONTAINER,
        .group = "server",
        .since = "2.8.13",
        .complexity = "Depends on the subcommand",
        .summary = "Commands about latency.",
        .syntax = "",
    },
    ROW("doctor", doctor, 2, ADMIN, "2.8.13", "O(1)", "Reports on latency in words.", "", VARIES),
    ROW("graph", graph, 3, ADMIN, "2.8.13", "O(1)", "Draws the samples of an event.", "event",
        VARIES),
    ROW("help", help, 2, FE_LOADING | FE_STALE, "2.8.13", "O(1)", "Lists the subcommands.", "",
        NULL),
    ROW("histogram", histogram, -2, ADMIN, "7.0.0", "O(N) with N the number of commands",
        "Answers how the durations of commands are distributed.", "[command [command ...]]",
        VARIES),
    ROW("history", history, 3, ADMIN, "2.8.13", "O(1)", "Answers the samples of an event.", "event",
        VARIES),
    ROW("latest", latest, 2, ADMIN, "2.8.13", "O(1)", "Answers the newest sample of every event.",
        "", VARIES),
    ROW("reset", reset, -2, ADMIN, "2.8.13", "O(1)", "Forgets the samples of events.",
        "[event [event ...]]", "request_policy:all_nodes response_policy:all_succeeded"),
    ROW("traces", traces, 3, ADMIN, "7.2.0", "O(1)",
        "Answers the samples of an event with their spans and stages.", "event", VARIES),
};

FE_FAMILY_DEFINE(latency, rows);
