/* Records of commands: one for each that is counted, with its times, and what the store did. */
#include "tests/check.h"

#include "tests/session/trace_rig.h"

TEST(nothing_is_recorded_unless_asked_for)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, ATTRIBUTE "GET k\r\n", "$-1\r\n");

    CHECK_INT(0, take(&it).count);
    CHECK_INT(0, it.recorder->ring.size);
    rig_close(&it);
}

TEST(a_command_is_a_record)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, "SET user:1 12345\r\n", "+OK\r\n");
    CHECK_SAYS(one, "GET user:1\r\n", "$5\r\n12345\r\n");
    CHECK_SAYS(one, "GET user:2\r\n", "$-1\r\n");

    taken all = take(&it);
    CHECK_INT(3, all.count);
    check_names(&it, &all, "set get get");
    const fe_trace_record *set = all.at[0], *hit = all.at[1], *miss = all.at[2];
    for (uint32_t i = 0; i < all.count; i++) {
        const fe_trace_record *record = all.at[i];
        check_order(record);
        CHECK(record->parent_id == 0 && record->span_id != 0);
        CHECK(record->stages[FE_STAGE_LOCATED] > record->stages[FE_STAGE_BEGUN]);
        CHECK(record->stages[FE_STAGE_WRITTEN] > record->stages[FE_STAGE_ENDED]);
        CHECK_INT(one->session->client.id, record->connection);
        CHECK_INT(1, record->key_index);
        CHECK_INT(1, record->batch_size);
        check_text(record, FE_TEXT_ADDRESS, "127.0.0.1:50000");
    }
    check_text(set, FE_TEXT_KEY, "user:1");
    CHECK_INT(FE_TRACE_SAMPLED | FE_TRACE_WRITE, set->flags);
    CHECK_INT(FE_TRACE_SAMPLED | FE_TRACE_READ, hit->flags);
    CHECK_INT(FE_RESULT_OK, set->result);
    CHECK_INT(FE_RESULT_OK, hit->result);
    CHECK_INT(FE_RESULT_NIL, miss->result);
    CHECK_INT(3, set->argc);
    CHECK_INT(18, set->request_bytes);
    CHECK_INT(5, set->reply_bytes);
    CHECK_INT(11, hit->reply_bytes);
    CHECK_INT(8, hit->value_bytes); /* an integer */
    CHECK_INT(1, hit->hits);
    CHECK_INT(0, hit->misses);
    CHECK_INT(FE_TRACE_MUTABLE, hit->tiers);
    CHECK_INT(1, miss->misses);
    CHECK_INT(0, miss->tiers);
    CHECK_INT(0, hit->epoch);
    CHECK(memcmp(set->trace_id, hit->trace_id, 16) != 0);
    rig_close(&it);
}

TEST(a_write_over_a_value_is_in_the_mutable_tier)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "SET k aaaa\r\n");
    rig_say(one, "SET k bbbb\r\n");

    taken all = take(&it);
    CHECK_INT(FE_TRACE_WROTE_NEW, all.at[0]->tiers);
    CHECK_INT(FE_TRACE_WROTE_IN_PLACE, all.at[1]->tiers);
    CHECK_INT(4, all.at[1]->value_bytes);
    rig_close(&it);
}

TEST(commands_tell_what_they_read_and_wrote)
{
    static const struct {
        const char *line;
        uint32_t tiers, hits, value_bytes;
    } cases[] = {
        {"SET n 1\r\n", FE_TRACE_WROTE_NEW, 0, 8},
        {"INCR n\r\n", FE_TRACE_WROTE_IN_PLACE, 0, 8},
        {"SETBIT b 7 1\r\n", FE_TRACE_WROTE_NEW, 0, 1},
        {"SETBIT b 0 1\r\n", FE_TRACE_WROTE_IN_PLACE, 0, 0},
        {"SET t xy EX 100\r\n", FE_TRACE_WROTE_NEW, 0, 2},
        {"EXPIRE t 200\r\n", FE_TRACE_WROTE_IN_PLACE, 0, 0},
        {"EXPIRE none 200\r\n", 0, 0, 0},
        {"PERSIST none\r\n", 0, 0, 0},
        {"SETNX t z\r\n", 0, 0, 0},
        {"GETEX t\r\n", FE_TRACE_MUTABLE, 1, 2},
        {"GETEX t EX 300\r\n", FE_TRACE_MUTABLE | FE_TRACE_WROTE_IN_PLACE, 1, 2},
        {"GETDEL t\r\n", FE_TRACE_MUTABLE, 1, 2},
        {"DEL n none\r\n", 0, 0, 0},
        {"DEL n\r\n", 0, 0, 0},
    };
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig_say(one, cases[i].line);
        taken all = take(&it);
        CHECK_INT(1, all.count);
        CHECK_INT(cases[i].tiers, all.at[0]->tiers);
        CHECK_INT(cases[i].hits, all.at[0]->hits);
        CHECK_INT(cases[i].value_bytes, all.at[0]->value_bytes);
    }
    rig_close(&it);
}

TEST(a_command_belongs_to_the_database_that_it_began_in)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "SELECT 3\r\nGET k\r\nRESET\r\nGET k\r\n");

    taken all = take(&it);
    static const uint16_t expected[] = {0, 3, 3, 0};
    CHECK_INT(4, all.count);
    for (uint32_t i = 0; i < all.count; i++)
        CHECK_INT(expected[i], all.at[i]->db);
    rig_close(&it);
}

TEST(errors_and_refusals_carry_their_code)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "SET k text\r\n");
    rig_say(one, "INCR k\r\n");
    rig_say(one, "GET\r\n");
    rig_say(one, "NOSUCH secret\r\n");
    rig_say(one, "CLIENT REPLY OFF\r\n");
    rig_say(one, "INCR k\r\n");

    taken all = take(&it);
    CHECK_INT(6, all.count);
    static const int results[] = {FE_RESULT_OK,       FE_RESULT_ERROR, FE_RESULT_REJECTED,
                                  FE_RESULT_REJECTED, FE_RESULT_OK,    FE_RESULT_ERROR};
    for (uint32_t i = 0; i < all.count; i++) {
        CHECK_INT(results[i], all.at[i]->result);
        check_text(all.at[i], FE_TEXT_ERROR, results[i] >= FE_RESULT_ERROR ? "ERR" : "");
    }
    CHECK_INT(FE_TRACE_UNKNOWN, all.at[3]->command);
    CHECK_INT(0, all.at[3]->key_index);
    CHECK_INT(counted(&it) + 1, all.count);
    rig_close(&it);
}

TEST(commands_read_at_once_know_their_place)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    peer *both[] = {one, two};
    const char *texts[] = {"PING\r\nPING\r\nPING\r\n", "PING\r\n"};

    rig_send_group(&it, both, texts, 2);

    taken all = take(&it);
    CHECK_INT(4, all.count);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_INT(i, all.at[i]->batch_index);
        CHECK_INT(3, all.at[i]->batch_size);
        CHECK(all.at[i]->flags & FE_TRACE_PIPELINED);
        CHECK_INT(one->session->client.id, all.at[i]->connection);
    }
    CHECK_INT(1, all.at[3]->batch_size);
    CHECK(!(all.at[3]->flags & FE_TRACE_PIPELINED));
    CHECK(all.at[0]->stages[FE_STAGE_BEGUN] < all.at[2]->stages[FE_STAGE_BEGUN]);
    rig_close(&it);
}

TEST(a_pipeline_of_more_than_a_batch_is_one)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);
    char text[100 * 6 + 1];
    for (int i = 0; i < 100; i++)
        memcpy(text + 6 * i, "PING\r\n", 7);

    rig_say(one, text);

    uint32_t count;
    const uint8_t *next = (const uint8_t *)rig_records(&it, &count);
    CHECK_INT(100, count);
    uint64_t start = ((const fe_trace_record *)(const void *)next)->start_ticks, ended = 0;
    for (uint32_t i = 0; i < count; i++) {
        const fe_trace_record *record = (const void *)next;
        CHECK(record->start_ticks == start);
        if (i == FE_BATCH_COMMANDS) CHECK(record->stages[FE_STAGE_RECEIVED] >= ended);
        ended = record->stages[FE_STAGE_ENDED];
        CHECK_INT(i, record->batch_index);
        CHECK_INT(100, record->batch_size);
        next += record->size;
    }
    rig_close(&it);
}

TEST(every_counted_command_is_one_record)
{
    static const char *const lines[] = {
        "SET k v\r\n",         "GET k\r\n",  "GET\r\n",
        "MULTI\r\n",           "EXEC\r\n",   "DISCARD\r\n",
        "WATCH k\r\n",         "INCR k\r\n", "SELECT 3\r\n",
        "MULTI\r\nGET k\r\n",  "RESET\r\n",  "APPEND k x\r\n",
        "SETRANGE k 1 x\r\n",  "QUEUE\r\n",  "CLIENT REPLY SKIP\r\n",
        "CLIENT REPLY ON\r\n", "DEL k\r\n",  "PYECHO 1\r\n"};
    uint64_t seed = 99;
    fe_random random;
    fe_random_init(&random, seed);
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it);
    uint64_t records = 0, unknown = 0;
    for (int i = 0; i < 3000; i++) {
        uint64_t choice = fe_random_below(&random, sizeof lines / sizeof lines[0]);
        rig_say(fe_random_below(&random, 2) ? one : two, lines[choice]);
        while (rig_answer(&it, "+x\r\n", false)) {}
        rig_pump(&it);
        taken all = take(&it);
        records += all.count;
        for (uint32_t n = 0; n < all.count; n++)
            unknown += all.at[n]->command == FE_TRACE_UNKNOWN;
        rig_take(one);
        rig_take(two);
    }

    CHECK(unknown > 50);
    CHECK_INT(counted(&it) + unknown, records);
    rig_close(&it);
}

TEST(keys_are_shown_as_asked_for)
{
    static const struct {
        fe_telemetry_keys keys;
        const char *shown;
    } modes[] = {{FE_KEYS_OFF, ""}, {FE_KEYS_PATTERN, "user:*"}, {FE_KEYS_FULL, "user:1"}};
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS},
                                    .retention.slow_us = -1,
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);
    for (size_t i = 0; i < 3; i++) {
        options.keys = modes[i].keys;
        rig_record(&it, &options);
        rig_say(one, "GET user:1\r\n");
        taken all = take(&it);
        check_text(all.at[0], FE_TEXT_KEY, modes[i].shown);
        CHECK_INT(1, all.at[0]->key_index);
    }
    options.keys = FE_KEYS_HASHED;
    rig_record(&it, &options);
    rig_say(one, "GET user:1\r\nGET user:1\r\nGET user:2\r\n");
    taken all = take(&it);
    fe_bytes texts[3];
    for (int i = 0; i < 3; i++)
        texts[i] = fe_texts_find(all.at[i], FE_TEXT_KEY);
    CHECK_INT(16, texts[0].len);
    CHECK(fe_bytes_equal(texts[0], texts[1]) && !fe_bytes_equal(texts[0], texts[2]));
    rig_close(&it);
}

int main(void)
{
    RUN(nothing_is_recorded_unless_asked_for);
    RUN(a_command_is_a_record);
    RUN(a_write_over_a_value_is_in_the_mutable_tier);
    RUN(commands_tell_what_they_read_and_wrote);
    RUN(a_command_belongs_to_the_database_that_it_began_in);
    RUN(errors_and_refusals_carry_their_code);
    RUN(commands_read_at_once_know_their_place);
    RUN(a_pipeline_of_more_than_a_batch_is_one);
    RUN(every_counted_command_is_one_record);
    RUN(keys_are_shown_as_asked_for);
    return check_done();
}
