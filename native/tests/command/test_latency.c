/* LATENCY: events, and the distribution of commands. */
#include "tests/check.h"

#include "tests/command/harness.h"

static const int64_t NOW = 4000000000; /* the harness's clock in seconds */

static void add(harness *it, fe_latency_event event, int64_t seconds_ago, uint64_t ms)
{
    fe_latency_add(&it->engine->latency, event, NOW - seconds_ago, ms);
}

TEST(without_events_there_is_nothing_to_tell)
{
    harness it;
    harness_open(&it);

    CHECK_SCRIPT(&it, "LATENCY LATEST", "*0", "LATENCY HISTORY command", "*0",
                 "LATENCY HISTORY nosuch", "*0", "LATENCY RESET", ":0", "LATENCY RESET command x",
                 ":0", "LATENCY GRAPH command", "-ERR No samples available for event 'command'",
                 "LATENCY GRAPH nosuch", "-ERR No samples available for event 'nosuch'",
                 "LATENCY HISTOGRAM nosuch client|nosuch debug|x", "*0");
    CHECK(strstr(harness_run(&it, "LATENCY DOCTOR"), "monitor is off") != NULL);
    it.engine->options.latency_threshold_ms = 100;
    CHECK(strstr(harness_run(&it, "LATENCY DOCTOR"), "Nothing has taken longer") != NULL);
    harness_close(&it);
}

TEST(events_are_answered_and_reset)
{
    harness it;
    harness_open(&it);
    add(&it, FE_LATENCY_COMMAND, 20, 30);
    add(&it, FE_LATENCY_COMMAND, 10, 12);
    add(&it, FE_LATENCY_EXPIRE_CYCLE, 5, 7);

    CHECK_SCRIPT(&it, "LATENCY HISTORY command", "*2 *2 :3999999980 :30 *2 :3999999990 :12",
                 "LATENCY LATEST",
                 "*2 *4 $7 command :3999999990 :12 :30 *4 $12 expire-cycle :3999999995 :7 :7",
                 "LATENCY RESET command nosuch", ":1", "LATENCY LATEST",
                 "*1 *4 $12 expire-cycle :3999999995 :7 :7", "LATENCY RESET", ":1",
                 "LATENCY LATEST", "*0");
    harness_close(&it);
}

TEST(samples_tell_their_span_and_its_times)
{
    harness it;
    harness_open(&it);
    add(&it, FE_LATENCY_COMMAND, 20, 30);
    add(&it, FE_LATENCY_COMMAND, 10, 12);
    fe_trace_label label = {.trace_id = {0xab},
                            .span_id = 0xcd,
                            .is_timed = true,
                            .queued_us = 1,
                            .took_us = 30000,
                            .waited_us = 4};

    /* The command ended when there was a newer sample; others have no part in it. */
    fe_latency_label(&it.engine->latency, FE_LATENCY_COMMAND, NOW - 20, 30, &label);
    label.span_id = 0xef;
    fe_latency_label(&it.engine->latency, FE_LATENCY_COMMAND, NOW - 20, 30, &label);
    fe_latency_label(&it.engine->latency, FE_LATENCY_COMMAND, NOW - 10, 11, &label);
    fe_latency_label(&it.engine->latency, FE_LATENCY_COMMAND, NOW - 15, 12, &label);

    CHECK_SCRIPT(&it, "LATENCY TRACES command",
                 "*2 *5 :3999999980 :30 $32 ab000000000000000000000000000000 $16 00000000000000cd "
                 "*8 $6 queued :1 $7 located $-1 $4 took :30000 $6 waited :4 "
                 "*5 :3999999990 :12 $-1 $-1 *8 $6 queued $-1 $7 located $-1 $4 took $-1 "
                 "$6 waited $-1");
    harness_close(&it);
}

TEST(a_graph_has_a_column_for_each_sample)
{
    harness it;
    harness_open(&it);
    add(&it, FE_LATENCY_COMMAND, 3 * 86400, 10);
    add(&it, FE_LATENCY_COMMAND, 90, 40);
    add(&it, FE_LATENCY_COMMAND, 42, 25);
    harness_run(&it, "LATENCY GRAPH command");
    fe_buf_append_byte(&it.reply, 0);

    const char *text = strstr((const char *)it.reply.data, "command - ");
    CHECK(text != NULL);
    CHECK_REPLY("command - high 40 ms, low 10 ms (all time high 40 ms)\n"
                "-----------------------------------------------------------------------------"
                "---\n"
                " #\n |\n |#\n#||\n314\ndm2\n  s\n\r\n",
                text);
    harness_close(&it);
}

TEST(one_sample_makes_a_flat_graph)
{
    harness it;
    harness_open(&it);
    add(&it, FE_LATENCY_FAST_COMMAND, 0, 10);
    harness_run(&it, "LATENCY GRAPH fast-command");
    fe_buf_append_byte(&it.reply, 0);

    CHECK(strstr((const char *)it.reply.data, "---\n\n\n\n#\n0\ns\n") != NULL);
    harness_close(&it);
}

TEST(the_doctor_sums_up_and_advises)
{
    harness it;
    harness_open(&it);
    add(&it, FE_LATENCY_COMMAND, 20, 30);
    add(&it, FE_LATENCY_COMMAND, 10, 10);
    add(&it, FE_LATENCY_COMPACT_CYCLE, 10, 9);
    it.engine->options.latency_threshold_ms = 5;

    const char *text = harness_run(&it, "LATENCY DOCTOR");

    CHECK(strstr(text, "command: 2 latency spikes (average 20 ms, mean deviation 10 ms, period "
                       "10.00 s). Worst all time event 30 ms.") != NULL);
    CHECK(strstr(text, "SLOWLOG GET") != NULL);
    CHECK(strstr(text, "compact-cycle: 1 latency spikes") != NULL);
    harness_close(&it);
}

/* Gives a command calls of about 2^bits nanoseconds. */
static void give_calls(harness *it, const char *name, const char *child, unsigned bits,
                       uint64_t calls)
{
    fe_bytes words[2] = {{(const uint8_t *)name, strlen(name)}, {NULL, 0}};
    if (child != NULL) words[1] = (fe_bytes){(const uint8_t *)child, strlen(child)};
    fe_command *container;
    fe_command *command = fe_commands_find(it->commands, words, child != NULL ? 2 : 1, &container);
    FE_ASSERT(command != NULL);
    command->stats.calls += calls;
    for (uint64_t i = 0; i < calls; i++)
        fe_commands_count(it->commands, command, (fe_duration)(i % 2),
                          fe_exponential_of_ns(UINT64_C(1) << bits));
}

TEST(histograms_cumulate_and_leave_out_empty_buckets)
{
    harness it;
    harness_open(&it);
    give_calls(&it, "get", NULL, 0, 1);
    give_calls(&it, "get", NULL, 9, 2);
    give_calls(&it, "get", NULL, 14, 3);
    give_calls(&it, "get", NULL, 31, 4);
    give_calls(&it, "client", "list", 15, 5);

    CHECK_SCRIPT(&it, "LATENCY HISTOGRAM get",
                 "*2 $3 get *4 $5 calls :10 $14 histogram_usec *6 :1 :3 :33 :6 :4328521 :10",
                 "LATENCY HISTOGRAM client|list set",
                 "*2 $11 client|list *4 $5 calls :5 $14 histogram_usec *2 :66 :5",
                 "LATENCY HISTOGRAM CLIENT",
                 "*2 $11 client|list *4 $5 calls :5 $14 histogram_usec *2 :66 :5");
    CHECK(strncmp(harness_run(&it, "LATENCY HISTOGRAM"), "*4 $3 get *4 ", 13) == 0);
    it.client.resp = 3;
    CHECK_SCRIPT(&it, "LATENCY HISTOGRAM client|list",
                 "%1 $11 client|list %2 $5 calls :5 $14 histogram_usec %1 :66 :5");
    harness_close(&it);
}

TEST(durations_count_below_their_power_of_two)
{
    harness it;
    harness_open(&it);
    fe_bytes word = FE_BYTES("get");
    fe_command *container;
    fe_command *get = fe_commands_find(it.commands, &word, 1, &container);
    /* Buckets do not end at powers of two of nanoseconds, but 0.6 % before them. */
    const uint64_t durations_ns[] = {1000, 1017, 1018, 1024, 2035, 2048, UINT64_C(200) << 30};
    for (size_t i = 0; i < sizeof durations_ns / sizeof *durations_ns; i++)
        fe_commands_count(it.commands, get, FE_DURATION_BOTH,
                          fe_exponential_of_ns(durations_ns[i]));

    CHECK_SCRIPT(&it, "LATENCY HISTOGRAM get",
                 "*2 $3 get *4 $5 calls :7 $14 histogram_usec *8 :1 :2 :2 :5 :4 :6 :277025390 :7");
    harness_close(&it);
}

int main(void)
{
    RUN(without_events_there_is_nothing_to_tell);
    RUN(events_are_answered_and_reset);
    RUN(samples_tell_their_span_and_its_times);
    RUN(a_graph_has_a_column_for_each_sample);
    RUN(one_sample_makes_a_flat_graph);
    RUN(the_doctor_sums_up_and_advises);
    RUN(histograms_cumulate_and_leave_out_empty_buckets);
    RUN(durations_count_below_their_power_of_two);
    return check_done();
}
