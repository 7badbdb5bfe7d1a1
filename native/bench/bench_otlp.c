/* Measures the encoder alone: thread time per command and per span, and bytes.
 *
 *   bench_otlp [batches]    GETs of 512 commands a batch, at each detail
 */
#include "base/clock.h"
#include "event/otlp.h"
#include "event/protobuf.h"

#include <stdio.h>
#include <stdlib.h>

#define COMMANDS 512u
#define CONSTANT_BYTES 180 /* as the format of Python has them */

typedef struct one_record {
    fe_trace_record record;
    uint8_t tail[64];
} one_record;

static void fill_tail(one_record *one)
{
    static const char address[] = "127.0.0.1:50312", key[] = "user:*:profile";
    uint8_t head[4] = {FE_TEXT_ADDRESS, 0, sizeof address - 1, 0};
    memcpy(one->tail, head, 4);
    memcpy(one->tail + 4, address, sizeof address - 1);
    head[0] = FE_TEXT_KEY;
    head[2] = sizeof key - 1;
    memcpy(one->tail + 20, head, 4);
    memcpy(one->tail + 24, key, sizeof key - 1);
    one->record.tail_len = 40;
}

static one_record record_of(uint32_t i)
{
    one_record one = {.record = {.size = sizeof one,
                                 .kind = FE_TRACE_COMMAND,
                                 .flags = FE_TRACE_SAMPLED | FE_TRACE_READ,
                                 .tiers = FE_TRACE_MUTABLE,
                                 .argc = 2,
                                 .key_index = 1,
                                 .span_id = UINT64_C(0x123456789abcdef) * (i + 1),
                                 .parent_id = UINT64_C(0xfedcba9876543210),
                                 .start_ticks = 1000000 + i * 10000,
                                 .stages = {500, 1500, 1600, 2000, 3000, 3300, 9000},
                                 .value_bytes = 100,
                                 .connection = 42,
                                 .hits = 1,
                                 .batch_size = 1}};
    fill_tail(&one);
    return one;
}

int main(int argc, char **argv)
{
    uint32_t batches = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2000;
    static const uint8_t constant[CONSTANT_BYTES];
    fe_otlp_command get = {{constant, sizeof constant}, FE_BYTES("get")};
    fe_otlp_format format = {.resource = {constant, 100},
                             .scope = {constant, 40},
                             .commands = &get,
                             .command_count = 1,
                             .unknown = get,
                             .text_max = UINT32_MAX};
    for (int i = 0; i < FE_PART_COUNT; i++)
        format.parts[i] = (fe_bytes){constant, i >= 3 && i <= 9 ? 130 : 26};
    for (int i = 0; i <= FE_RESULT_REJECTED; i++)
        format.results[i] = (fe_bytes){constant, 32};
    for (int i = 0; i < FE_SLOT_COUNT; i++)
        format.slots[i][0] = FE_BYTES("\x0a\x19"
                                      "gerrite.command.args_coun");
    format.slots[FE_SLOT_STATEMENT][1] = format.slots[FE_SLOT_PEER_ADDRESS][1] =
        format.slots[FE_SLOT_PEER_PORT][1] = format.slots[0][0];
    fe_alloc alloc;
    fe_alloc_init(&alloc);
    fe_otlp_batch batch;
    fe_buf_init(&batch.buf, &alloc, FE_ALLOC_ENGINE);
    static one_record records[COMMANDS];
    for (uint32_t i = 0; i < COMMANDS; i++)
        records[i] = record_of(i);
    fe_bytes input = {(const uint8_t *)records, sizeof records};
    static const char *const names[] = {"command", "phases", "full"};
    for (int detail = FE_DETAIL_COMMAND; detail <= FE_DETAIL_FULL; detail++) {
        fe_otlp_limits limits = {(fe_otlp_detail)detail, 100000, UINT32_MAX, 1u << 30};
        fe_otlp_clock clock = {.ns_per_tick = 0.4};
        fe_otlp_source source = {0};
        uint64_t start = fe_clock_thread_ns(), bytes = 0, spans = 0;
        for (uint32_t i = 0; i < batches; i++) {
            fe_otlp_begin(&format, &batch);
            if (fe_otlp_encode(&format, &clock, &limits, &source, input, &batch) != input.len)
                abort();
            bytes += fe_otlp_finish(&format, &batch).len;
            spans += batch.spans;
        }
        double ns = (double)(fe_clock_thread_ns() - start);
        double commands = (double)batches * COMMANDS;
        printf("%-8s %6.1f ns/command  %5.1f ns/span  %4.1f spans/command  %6.0f bytes/command\n",
               names[detail], ns / commands, ns / (double)spans, (double)spans / commands,
               (double)bytes / commands);
    }
    fe_buf_free(&batch.buf);
    return 0;
}
