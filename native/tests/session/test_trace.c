/* Records of commands: one for each that is counted, with its times, its caller, and what the store did. */
#include "tests/check.h"

#include "session/trace.h"
#include "tests/session/rig.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define OTHER_TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "00f067aa0ba902b7"
#define CALLER "00-" TRACE "-" SPAN "-01"
#define ATTRIBUTE "|1\r\n+traceparent\r\n+" CALLER "\r\n"

typedef struct taken {
    uint32_t count;
    const fe_trace_record *at[64];
} taken;

static taken take(rig *it)
{
    taken all = {0};
    const uint8_t *next = (const uint8_t *)rig_records(it, &all.count);
    for (uint32_t i = 0; i < all.count && i < 64; i++) {
        all.at[i] = (const void *)next;
        next += all.at[i]->size;
    }
    return all;
}

static const char *name_of(rig *it, const fe_trace_record *record)
{
    uint32_t count;
    fe_command *const *all = fe_commands_all(it->server->commands, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (all[i]->number == record->command) return all[i]->row->name;
        for (uint32_t j = 0; j < all[i]->child_count; j++)
            if (all[i]->children[j]->number == record->command)
                return all[i]->children[j]->row->name;
    }
    return "?";
}

static void check_names(rig *it, const taken *all, const char *expected)
{
    char names[256] = "";
    for (uint32_t i = 0; i < all->count; i++) {
        strcat(names, i > 0 ? " " : "");
        strcat(names, name_of(it, all->at[i]));
    }
    CHECK_TEXT(expected, names);
}

static void check_trace(const fe_trace_record *record, const char *expected)
{
    char digits[32];
    fe_trace_id_print(digits, record->trace_id);
    CHECK_BYTES(expected, 32, digits, 32);
}

static void check_text(const fe_trace_record *record, fe_trace_text type, const char *expected)
{
    fe_bytes text = fe_texts_find(record, type);
    CHECK_BYTES(expected, strlen(expected), text.ptr, text.len);
}

static void check_order(const fe_trace_record *record)
{
    for (int i = 1; i < FE_STAGE_COUNT; i++)
        CHECK(record->stages[i - 1] <= record->stages[i]);
    CHECK(record->waited <= record->stages[FE_STAGE_ENDED] - record->stages[FE_STAGE_BEGUN]);
}

/* Calls, rejected and unknown commands that the server has counted. */
static uint64_t counted(rig *it)
{
    uint64_t sum = 0;
    uint32_t count;
    fe_command *const *all = fe_commands_all(it->server->commands, &count);
    for (uint32_t i = 0; i < count; i++) {
        sum += all[i]->stats.calls + all[i]->stats.rejected;
        for (uint32_t j = 0; j < all[i]->child_count; j++)
            sum += all[i]->children[j]->stats.calls + all[i]->children[j]->stats.rejected;
    }
    return sum;
}

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

TEST(an_attribute_names_the_caller)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "|2\r\n+traceparent\r\n+" CALLER "\r\n+tracestate\r\n+a=1\r\nGET k\r\n"
                 "|2\r\n+traceparent\r\n+" CALLER "\r\n+tracestate\r\n+A=1\r\nGET k\r\n"
                 "|1\r\n+traceparent\r\n+00-wrong\r\nGET k\r\n"
                 "|1\r\n+traceparent\r\n+00-" TRACE "-" SPAN "-00\r\nGET k\r\n"
                 "GET k\r\n");

    taken all = take(&it);
    CHECK_INT(4, all.count);
    check_trace(all.at[0], TRACE);
    CHECK(all.at[0]->parent_id == 0x00f067aa0ba902b7);
    CHECK(all.at[0]->flags & FE_TRACE_REMOTE_PARENT);
    check_text(all.at[0], FE_TEXT_TRACESTATE, "a=1");
    check_text(all.at[1], FE_TEXT_TRACESTATE, "");
    check_trace(all.at[1], TRACE);
    CHECK(all.at[2]->parent_id == 0 && all.at[3]->parent_id == 0);
    rig_close(&it);
}

TEST(a_client_that_came_elsewhere_says_where)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS},
                                    .retention.slow_us = -1,
                                    .ring_bytes = 1,
                                    .names_place = true,
                                    .place_len = 14,
                                    .place = "127.0.0.1:6379"};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *here = rig_connect(&it);
    options.place_len = 0;
    rig_record(&it, &options);
    peer *elsewhere = rig_connect(&it);

    rig_say(here, "GET k\r\n");
    rig_say(elsewhere, "GET k\r\n");

    taken all = take(&it);
    check_text(all.at[0], FE_TEXT_SERVER, "");
    check_text(all.at[1], FE_TEXT_SERVER, "127.0.0.1:6379");
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

/* Those that were sent before the wait know of those that had begun by then. */
TEST(a_pipeline_that_waits_stays_one)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "GET a\r\nPYECHO x\r\nGET b\r\nGET c\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_say(one, "GET d\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get pyecho get get get");
    static const uint32_t sizes[] = {2, 4, 4, 4, 1}, places[] = {0, 1, 2, 3, 0};
    for (uint32_t i = 0; i < all.count; i++) {
        CHECK_INT(sizes[i], all.at[i]->batch_size);
        CHECK_INT(places[i], all.at[i]->batch_index);
        CHECK_INT(i < 4, (all.at[i]->flags & FE_TRACE_PIPELINED) != 0);
        CHECK_INT(i < 4, all.at[i]->start_ticks == all.at[0]->start_ticks);
    }
    rig_close(&it);
}

TEST(commands_of_a_transaction_are_children_of_exec)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "MULTI\r\n");
    rig_say(one, "SET a 1\r\n");
    rig_say(one, "INCR a\r\n");
    rig_say(one, "LPUSH\r\n");
    rig_say(one, "DISCARD\r\n");
    rig_say(one, "MULTI\r\nSET a 1\r\nGET a\r\n");
    rig_say(one, ATTRIBUTE "EXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "multi ? discard multi set get exec");
    CHECK_INT(counted(&it) + 1, all.count);
    const fe_trace_record *exec = all.at[6];
    check_trace(exec, TRACE);
    CHECK(exec->parent_id == 0x00f067aa0ba902b7);
    CHECK_INT(0, exec->hits);
    CHECK_INT(16, exec->reply_bytes);
    for (uint32_t i = 4; i < 6; i++) {
        check_trace(all.at[i], TRACE);
        CHECK(all.at[i]->parent_id == exec->span_id);
        CHECK_INT(FE_TRACE_LOCAL_PARENT | FE_TRACE_IN_EXEC,
                  all.at[i]->flags & (FE_TRACE_LOCAL_PARENT | FE_TRACE_IN_EXEC |
                                      FE_TRACE_REMOTE_PARENT | FE_TRACE_PIPELINED));
        CHECK_INT(i - 4, all.at[i]->batch_index);
        CHECK_INT(2, all.at[i]->batch_size);
        check_order(all.at[i]);
    }
    CHECK_INT(1, all.at[5]->hits);
    check_order(exec);
    rig_close(&it);
}

/* A helper puts the same attribute before each command of a pipeline. */
TEST(a_queued_command_with_the_callers_attribute_stays_a_child)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, ATTRIBUTE "MULTI\r\n" ATTRIBUTE "GET a\r\n"
                           "|1\r\n+traceparent\r\n+00-" OTHER_TRACE "-" SPAN
                           "-01\r\nGET b\r\n" ATTRIBUTE "EXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "multi get get exec");
    CHECK(all.at[1]->parent_id == all.at[3]->span_id);
    check_trace(all.at[1], TRACE);
    CHECK(all.at[2]->parent_id == 0x00f067aa0ba902b7);
    check_trace(all.at[2], OTHER_TRACE);
    CHECK(all.at[2]->flags & FE_TRACE_IN_EXEC);
    rig_close(&it);
}

TEST(traceparent_names_the_caller_of_the_next_command)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    CHECK_SAYS(one, "TRACEPARENT " CALLER " a=1\r\n", "+OK\r\n");
    rig_say(one, "GET k\r\nGET k\r\n");
    rig_say(one, "TRACEPARENT " CALLER "\r\nPYECHO x\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_pump(&it);

    taken all = take(&it);
    check_names(&it, &all, "traceparent get get traceparent pyecho");
    check_trace(all.at[0], TRACE);
    CHECK(all.at[0]->parent_id == 0x00f067aa0ba902b7);
    check_trace(all.at[1], TRACE);
    CHECK(all.at[1]->parent_id == 0x00f067aa0ba902b7);
    check_text(all.at[1], FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[2]->parent_id == 0);
    CHECK(all.at[4]->parent_id == 0x00f067aa0ba902b7);
    rig_say(one, "TRACEPARENT " CALLER "\r\n");
    rig_hang_up(one); /* what is left over goes with it */
    rig_close(&it);
}

TEST(callers_can_be_ignored)
{
    fe_telemetry_options options = {.traces = true,
                                    .ignores_callers = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS, .parent_based = true},
                                    .retention.slow_us = -1,
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, ATTRIBUTE "GET k\r\nTRACEPARENT " CALLER " a=1\r\nGET k\r\n"
                           "|2\r\n+traceparent\r\n+00-" TRACE "-" SPAN
                           "-00\r\n+tracestate\r\n+a=1\r\nGET k\r\n");
    rig_say(one, "MULTI\r\n" ATTRIBUTE "GET k\r\n" ATTRIBUTE "EXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get traceparent get get multi get exec");
    for (uint32_t i = 0; i < all.count; i++) {
        CHECK_INT(FE_TRACE_SAMPLED, all.at[i]->flags & (FE_TRACE_SAMPLED | FE_TRACE_REMOTE_PARENT));
        CHECK(all.at[i]->parent_id == (i == 5 ? all.at[6]->span_id : 0));
        check_text(all.at[i], FE_TEXT_TRACESTATE, "");
    }
    rig_close(&it);
}

TEST(traceparent_before_multi_holds_for_the_transaction)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "TRACEPARENT " CALLER " a=1\r\nMULTI\r\nGET a\r\n");
    CHECK_SAYS(one, "TRACEPARENT 00-" OTHER_TRACE "-" SPAN "-01\r\n",
               "+OK\r\n+OK\r\n+QUEUED\r\n+OK\r\n");
    rig_say(one, "GET b\r\nGET c\r\nGET\r\nDISCARD\r\n");
    rig_say(one, "TRACEPARENT " CALLER " a=1\r\nMULTI\r\nGET a\r\n");
    rig_say(one, "TRACEPARENT 00-" OTHER_TRACE "-" SPAN "-01\r\n");
    rig_say(one, "GET b\r\nGET c\r\nEXEC\r\nGET d\r\n");

    taken all = take(&it);
    check_names(&it, &all,
                "traceparent multi traceparent get discard traceparent multi traceparent "
                "get get get exec get");
    static const char *const traces[] = {TRACE, TRACE,       OTHER_TRACE, TRACE,
                                         TRACE, TRACE,       TRACE,       OTHER_TRACE,
                                         TRACE, OTHER_TRACE, TRACE,       TRACE};
    for (uint32_t i = 0; i < 12; i++)
        check_trace(all.at[i], traces[i]);
    const fe_trace_record *exec = all.at[11];
    CHECK(exec->parent_id == 0x00f067aa0ba902b7);
    check_text(exec, FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[8]->parent_id == exec->span_id);
    check_text(all.at[8], FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[9]->parent_id == 0x00f067aa0ba902b7);
    CHECK(all.at[10]->parent_id == exec->span_id);
    CHECK(all.at[12]->parent_id == 0);
    check_text(all.at[2], FE_TEXT_TRACESTATE, ""); /* of MULTI's caller, who is another */
    check_text(all.at[7], FE_TEXT_TRACESTATE, "");
    rig_close(&it);
}

TEST(only_a_trace_that_begins_here_tells_its_threshold)
{
    fe_telemetry_options options = {
        .traces = true,
        .sampler = {.kind = FE_SAMPLER_RATIO, .bound = UINT64_MAX, .parent_based = true},
        .retention.slow_us = -1,
        .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "GET a\r\nTRACEPARENT " CALLER " ot=th:4\r\nGET b\r\n");
    rig_say(one, "MULTI\r\nGET c\r\nEXEC\r\n");
    rig_say(one, "TRACEPARENT " CALLER "\r\nMULTI\r\nGET d\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get traceparent get multi get exec traceparent multi get exec");
    static const bool told[] = {true, false, false, true, true, true, false, false, false, false};
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t threshold = 0;
        fe_bytes text = fe_texts_find(all.at[i], FE_TEXT_THRESHOLD);
        CHECK_INT(told[i] ? sizeof threshold : 0, text.len);
        if (told[i]) memcpy(&threshold, text.ptr, sizeof threshold);
        CHECK_INT(told[i], threshold);
    }
    check_text(all.at[2], FE_TEXT_TRACESTATE, "ot=th:4");
    rig_close(&it);
}

TEST(what_a_rule_has_kept_tells_no_threshold)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_RATIO, .bound = UINT64_MAX},
                                    .retention = {.errors = true, .slow_us = -1},
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "GET a\r\nGET\r\nSET a x\r\nINCR a\r\n");
    rig_say(one, "MULTI\r\nGET a\r\nINCR a\r\nGET b\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "get get set incr multi get incr get exec");
    static const bool held[] = {false, true, false, true, false, false, true, false, true};
    for (uint32_t i = 0; i < 9; i++) {
        const uint16_t both = FE_TRACE_SAMPLED | FE_TRACE_RETAINED;
        CHECK_INT(held[i] ? both : FE_TRACE_SAMPLED, all.at[i]->flags & both);
        CHECK_INT(held[i] ? 0 : sizeof(uint64_t), fe_texts_find(all.at[i], FE_TEXT_THRESHOLD).len);
    }
    rig_close(&it);
}

TEST(a_transaction_of_the_rest_tells_its_threshold)
{
    fe_telemetry_options options = {
        .traces = true,
        .retention = {.errors = true,
                      .slow_us = -1,
                      .rest = {.kind = FE_SAMPLER_RATIO, .bound = UINT64_MAX}},
        .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "SET a x\r\nMULTI\r\nGET a\r\nGET b\r\nEXEC\r\n");
    rig_say(one, "MULTI\r\nGET a\r\nINCR a\r\nGET b\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all, "set multi get get exec multi get incr get exec");
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_INT(FE_TRACE_RETAINED, all.at[i]->flags & (FE_TRACE_SAMPLED | FE_TRACE_RETAINED));
        bool held = i == 7 || i == 9;
        CHECK_INT(held ? 0 : sizeof(uint64_t), fe_texts_find(all.at[i], FE_TEXT_THRESHOLD).len);
    }
    rig_close(&it);
}

TEST(a_malformed_traceparent_changes_nothing)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "TRACEPARENT " CALLER " a=1\r\n");
    CHECK_SAYS(one,
               "TRACEPARENT zz\r\nTRACEPARENT\r\n|1\r\n+traceparent\r\n+00-" OTHER_TRACE "-" SPAN
               "-01\r\nTRACEPARENT zz\r\n",
               "+OK\r\n-ERR invalid traceparent\r\n"
               "-ERR wrong number of arguments for 'traceparent' command\r\n"
               "-ERR invalid traceparent\r\n");
    rig_say(one, "GET k\r\nGET k\r\n");
    rig_say(one, "MULTI\r\nTRACEPARENT " CALLER "\r\nTRACEPARENT zz\r\nGET k\r\nEXEC\r\n");

    taken all = take(&it);
    check_names(&it, &all,
                "traceparent traceparent traceparent traceparent get get multi traceparent "
                "traceparent get exec");
    CHECK(all.at[1]->parent_id == 0 && all.at[2]->parent_id == 0);
    check_trace(all.at[3], OTHER_TRACE);
    check_trace(all.at[4], TRACE);
    CHECK(all.at[4]->parent_id == 0x00f067aa0ba902b7);
    check_text(all.at[4], FE_TEXT_TRACESTATE, "a=1");
    CHECK(all.at[5]->parent_id == 0);
    check_trace(all.at[9], TRACE);
    rig_close(&it);
}

TEST(entries_of_the_slow_log_lead_to_their_span)
{
    fe_engine_options options = rig_options();
    options.slowlog_threshold_us = 0;
    rig it;
    rig_open_with(&it, &options);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, ATTRIBUTE "GET k\r\n");
    rig_say(one, "PYECHO x\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_pump(&it);
    rig_say(one, "WAIT 1 1\r\n");
    rig_wait_due(one);

    taken all = take(&it);
    CHECK_INT(3, all.count);
    for (uint32_t i = 0; i < 3; i++) {
        const fe_slowlog_entry *entry = fe_slowlog_get(&it.server->engine->slowlog, 2 - i);
        CHECK(entry->label.span_id == all.at[i]->span_id);
        CHECK(memcmp(entry->label.trace_id, all.at[i]->trace_id, 16) == 0);
        CHECK(entry->label.took_us >= entry->label.waited_us);
    }
    check_trace(all.at[0], TRACE);
    rig_close(&it);
}

TEST(entries_of_the_slow_log_tell_no_more_than_is_known)
{
    fe_engine_options options = rig_options();
    options.slowlog_threshold_us = 0;
    fe_telemetry_options errors = {.traces = true,
                                   .sampler = {.kind = FE_SAMPLER_NEVER},
                                   .retention = {.errors = true, .slow_us = -1},
                                   .ring_bytes = 1};
    rig it;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    rig_say(one, "GET off\r\n");
    rig_record(&it, &errors);
    rig_say(one, "GET unkept\r\n");
    rig_say(one, "SET k text\r\n");
    rig_say(one, "INCR k\r\n");
    while (fe_event_ring_reserve(&it.recorder->ring, sizeof(fe_trace_record)) != NULL) {}
    rig_say(one, "INCR k\r\n"); /* the ring is full */
    static const struct {
        bool has_span, is_timed;
    } expected[] = {{false, false}, {false, true}, {false, true}, {true, true}, {false, true}};

    CHECK_INT(5, it.server->engine->slowlog.count);
    for (uint32_t i = 0; i < 5; i++) {
        const fe_trace_label *label = &fe_slowlog_get(&it.server->engine->slowlog, 4 - i)->label;
        CHECK_INT(expected[i].has_span, label->span_id != 0);
        CHECK_INT(expected[i].is_timed, label->is_timed);
        CHECK(!label->is_located);
    }
    rig_close(&it);
}

TEST(samples_of_the_latency_monitor_lead_to_their_span)
{
    fe_engine_options options = rig_options();
    options.latency_threshold_ms = 1;
    rig it;
    rig_open_with(&it, &options);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "DEBUG SLEEP 0.002\r\n");
    rig_wait_due(one);

    taken all = take(&it);
    CHECK_INT(1, all.count);
    const fe_latency_series *series = &it.server->engine->latency.series[FE_LATENCY_COMMAND];
    CHECK_INT(1, series->count);
    CHECK(fe_latency_get(series, 0)->label.span_id == all.at[0]->span_id);
    rig_close(&it);
}

TEST(a_command_of_python_has_waited)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "|2\r\n+traceparent\r\n+" CALLER "\r\n+tracestate\r\n+a=1\r\nPYECHO x\r\n");
    CHECK_INT(0, take(&it).count);
    CHECK(rig_answer(&it, "-WRONG it is\r\n", true));
    rig_say(one, "PYSECRET hush\r\n");
    CHECK(rig_answer(&it, "$-1\r\n", false));

    taken all = take(&it);
    check_names(&it, &all, "pyecho pysecret");
    check_trace(all.at[0], TRACE);
    check_text(all.at[0], FE_TEXT_TRACESTATE, "a=1");
    check_text(all.at[0], FE_TEXT_ERROR, "WRONG");
    CHECK_INT(FE_RESULT_ERROR, all.at[0]->result);
    CHECK_INT(FE_TRACE_PYTHON | FE_TRACE_WAITED,
              all.at[0]->flags & (FE_TRACE_PYTHON | FE_TRACE_WAITED | FE_TRACE_BLOCKED));
    CHECK(all.at[0]->waited > 0);
    CHECK_INT(14, all.at[0]->reply_bytes);
    CHECK_INT(2, all.at[0]->argc);
    CHECK_INT(FE_RESULT_NIL, all.at[1]->result);
    check_order(all.at[0]);
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

TEST(python_inside_a_transaction_is_a_child_as_well)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "MULTI\r\nGET a\r\nPYECHO x\r\nGET b\r\nEXEC\r\n");
    CHECK(rig_answer(&it, "+x\r\n", false));

    taken all = take(&it);
    check_names(&it, &all, "multi get pyecho get exec");
    const fe_trace_record *exec = all.at[4];
    for (uint32_t i = 1; i < 4; i++)
        CHECK(all.at[i]->parent_id == exec->span_id);
    CHECK(exec->stages[FE_STAGE_ENDED] - exec->stages[FE_STAGE_BEGUN] > all.at[2]->waited);
    CHECK_INT(4 + 5 + 4 + 5, exec->reply_bytes);
    rig_close(&it);
}

TEST(a_command_that_blocks_has_waited)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);

    rig_say(one, "WAIT 1 5\r\n");
    rig_wait_due(one);

    taken all = take(&it);
    check_names(&it, &all, "wait");
    CHECK_INT(FE_TRACE_WAITED | FE_TRACE_BLOCKED,
              all.at[0]->flags & (FE_TRACE_WAITED | FE_TRACE_BLOCKED));
    double waited_us =
        (double)((uint64_t)all.at[0]->waited << all.at[0]->shift) / it.server->engine->ticks_per_us;
    CHECK(waited_us > 3900.0); /* due times are whole milliseconds */
    CHECK_INT(4, all.at[0]->reply_bytes);
    check_order(all.at[0]);
    rig_close(&it);
}

TEST(a_command_that_a_pause_holds_is_one_record)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it);

    rig_say(one, "CLIENT PAUSE 100000 WRITE\r\n");
    rig_say(two, "SET k v\r\n");
    rig_say(one, "CLIENT UNPAUSE\r\n");

    taken all = take(&it);
    check_names(&it, &all, "client|pause client|unpause set");
    CHECK_INT(FE_TRACE_PAUSED, all.at[2]->flags & (FE_TRACE_PAUSED | FE_TRACE_BLOCKED));
    CHECK(all.at[2]->waited > 0);
    CHECK_INT(0, all.at[2]->batch_index);
    CHECK_INT(counted(&it), all.count);
    rig_close(&it);
}

TEST(a_client_that_goes_leaves_what_was_counted)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it), *three = rig_connect(&it);

    rig_say(one, "WAIT 1 0\r\n");
    rig_say(two, ATTRIBUTE "PYECHO x\r\n");
    rig_say(three, ATTRIBUTE
            "MULTI\r\nSET a 1\r\nPYECHO y\r\nSET b 1\r\nWAIT 1 0\r\nPYECHO z\r\nEXEC\r\n");
    rig_hang_up(one);
    rig_hang_up(two);
    rig_hang_up(three);

    taken all = take(&it);
    check_names(&it, &all, "multi set wait set wait exec");
    CHECK_INT(counted(&it), all.count);
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

TEST(baggage_is_picked)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_ALWAYS},
                                    .retention.slow_us = -1,
                                    .ring_bytes = 1,
                                    .baggage_len = 6,
                                    .baggage = "tenant"};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "|2\r\n+traceparent\r\n+" CALLER "\r\n+baggage\r\n+tenant=acme,x=1\r\nGET k\r\n");

    check_text(take(&it).at[0], FE_TEXT_BAGGAGE, "tenant=acme");
    rig_close(&it);
}

/* A bulk of so many bytes. */
static char *put_bulk(char *at, uint32_t len)
{
    at += sprintf(at, "$%u\r\n", len);
    memset(at, 'x', len);
    memcpy(at + len, "\r\n", 2);
    return at + len + 2;
}

/* A command that waits keeps what came along: not what nobody is going to read. */
TEST(texts_that_are_too_long_are_not_kept)
{
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it);
    static char text[20000];
    char *at = text + sprintf(text, "|3\r\n+traceparent\r\n+%s\r\n+tracestate\r\n", CALLER);
    at = put_bulk(at, FE_TRACESTATE_MAX + 1);
    at = put_bulk(at + sprintf(at, "+baggage\r\n"), FE_BAGGAGE_MAX + 1);
    memcpy(at, "PYECHO x\r\n", 11);

    rig_say(one, text);

    CHECK(one->session->parked != NULL);
    CHECK(one->session->parked->state.len == 0 && one->session->parked->baggage.len == 0);
    CHECK(one->session->parked->mark == NULL);
    CHECK(rig_answer(&it, "+x\r\n", false));
    check_trace(take(&it).at[0], TRACE);
    rig_close(&it);
}

TEST(only_what_a_rule_keeps_is_recorded)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_NEVER, .parent_based = true},
                                    .retention = {.errors = true, .slow_us = -1},
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one,
            "SET k v\r\nINCR k\r\nMULTI\r\nGET k\r\nINCR k\r\nEXEC\r\nMULTI\r\nGET k\r\nEXEC\r\n");
    rig_say(one, "PYECHO 1\r\n");
    CHECK(rig_answer(&it, "-ERR x\r\n", true));

    taken all = take(&it);
    check_names(&it, &all, "incr incr exec pyecho");
    CHECK_INT(FE_TRACE_RETAINED, all.at[0]->flags & (FE_TRACE_RETAINED | FE_TRACE_SAMPLED));
    CHECK(all.at[1]->parent_id == all.at[2]->span_id); /* the parent of what is kept is kept */
    CHECK_INT(FE_TRACE_RETAINED, all.at[2]->flags & (FE_TRACE_RETAINED | FE_TRACE_SAMPLED));
    rig_close(&it);
}

static taken run_program(rig *it, fe_sampler sampler)
{
    fe_telemetry_options options = {.traces = true,
                                    .sampler = sampler,
                                    .retention.slow_us = 0, /* all are kept */
                                    .keys = FE_KEYS_FULL,
                                    .ring_bytes = 1};
    rig_open(it);
    rig_record(it, &options);
    peer *one = rig_connect(it);
    rig_say(one, ATTRIBUTE "SET k 1\r\nSELECT 3\r\nSET k v\r\nGET k\r\nGET none\r\nINCR k\r\n");
    rig_say(one, ATTRIBUTE "GET k\r\nSELECT 0\r\nNOSUCH 1 2 3\r\nGET\r\n");
    rig_say(one, "MULTI\r\nGET k\r\nINCR k\r\nEXEC\r\nPYECHO 1\r\nGET k\r\n");
    CHECK(rig_answer(it, "+x\r\n", false));
    rig_pump(it);
    return take(it);
}

static void check_same(const fe_trace_record *a, const fe_trace_record *b)
{
    const unsigned how = FE_TRACE_SAMPLED | FE_TRACE_RETAINED;
    CHECK_INT(a->flags & ~how, b->flags & ~how);
    CHECK_INT(a->command, b->command);
    CHECK_INT(a->result, b->result);
    CHECK_INT(a->argc, b->argc);
    CHECK_INT(a->db, b->db);
    CHECK_INT(a->tiers, b->tiers);
    CHECK_INT(a->hits, b->hits);
    CHECK_INT(a->misses, b->misses);
    CHECK_INT(a->value_bytes, b->value_bytes);
    CHECK_INT(a->request_bytes, b->request_bytes);
    CHECK_INT(a->reply_bytes, b->reply_bytes);
    CHECK_INT(a->key_index, b->key_index);
    CHECK_INT(a->disk_reads, b->disk_reads);
    CHECK_INT(a->batch_index, b->batch_index);
    CHECK_INT(a->batch_size, b->batch_size);
    CHECK_INT(a->parent_id == 0, b->parent_id == 0);
    CHECK_INT(a->waited == 0, b->waited == 0);
    CHECK_BYTES(a + 1, a->tail_len, b + 1, b->tail_len);
    check_order(b);
}

TEST(what_is_kept_at_its_end_tells_as_much_as_what_is_sampled)
{
    rig sampled, kept;
    taken a = run_program(&sampled, (fe_sampler){.kind = FE_SAMPLER_ALWAYS});
    taken b = run_program(&kept, (fe_sampler){.kind = FE_SAMPLER_NEVER});

    CHECK_INT(16, a.count);
    CHECK_INT(a.count, b.count);
    for (uint32_t i = 0; i < a.count && i < b.count; i++) {
        check_same(a.at[i], b.at[i]);
        CHECK_INT(FE_TRACE_RETAINED, b.at[i]->flags & (FE_TRACE_SAMPLED | FE_TRACE_RETAINED));
    }
    rig_close(&sampled);
    rig_close(&kept);
}

/* A command is as slow as its caller finds it: GET itself takes no time, but its bytes lay behind another's answer. */
TEST(what_waited_behind_another_command_is_slow)
{
    const int64_t slow_us = 20000000;
    fe_telemetry_options options = {.traces = true,
                                    .sampler = {.kind = FE_SAMPLER_NEVER},
                                    .retention.slow_us = slow_us,
                                    .ring_bytes = 1};
    rig it;
    rig_open(&it);
    rig_record(&it, &options);
    peer *one = rig_connect(&it);

    rig_say(one, "PYECHO 1\r\nGET k\r\nMULTI\r\nGET k\r\nEXEC\r\n");
    /* As if all of it had come so long ago. */
    uint64_t ago = (uint64_t)((double)slow_us * it.server->engine->ticks_per_us);
    one->session->parked->start -= ago;
    one->session->readable_ticks -= ago;
    CHECK(rig_answer(&it, "+x\r\n", false));
    rig_pump(&it);
    taken all = take(&it);
    check_names(&it, &all, "pyecho get multi exec"); /* not what EXEC ran, which was quick */
    rig_say(one, "GET k\r\n");
    CHECK_INT(0, take(&it).count);
    rig_close(&it);
}

TEST(switching_while_a_command_waits_mixes_nothing_up)
{
    fe_telemetry_options off = {.retention.slow_us = -1};
    rig it;
    rig_open(&it);
    rig_record(&it, NULL);
    peer *one = rig_connect(&it), *two = rig_connect(&it);

    rig_say(one, "CLIENT PAUSE 100000 WRITE\r\n");
    rig_say(two, ATTRIBUTE "SET k v\r\n");
    rig_record(&it, &off);
    rig_say(one, "CLIENT UNPAUSE\r\n");
    rig_record(&it, NULL);
    rig_say(two, "GET k\r\n");

    taken all = take(&it);
    check_names(&it, &all, "client|pause get");
    CHECK(all.at[1]->parent_id == 0);
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
    RUN(an_attribute_names_the_caller);
    RUN(a_client_that_came_elsewhere_says_where);
    RUN(commands_read_at_once_know_their_place);
    RUN(a_pipeline_of_more_than_a_batch_is_one);
    RUN(a_pipeline_that_waits_stays_one);
    RUN(commands_of_a_transaction_are_children_of_exec);
    RUN(a_queued_command_with_the_callers_attribute_stays_a_child);
    RUN(traceparent_names_the_caller_of_the_next_command);
    RUN(callers_can_be_ignored);
    RUN(traceparent_before_multi_holds_for_the_transaction);
    RUN(only_a_trace_that_begins_here_tells_its_threshold);
    RUN(what_a_rule_has_kept_tells_no_threshold);
    RUN(a_transaction_of_the_rest_tells_its_threshold);
    RUN(a_malformed_traceparent_changes_nothing);
    RUN(entries_of_the_slow_log_lead_to_their_span);
    RUN(entries_of_the_slow_log_tell_no_more_than_is_known);
    RUN(samples_of_the_latency_monitor_lead_to_their_span);
    RUN(a_command_of_python_has_waited);
    RUN(python_inside_a_transaction_is_a_child_as_well);
    RUN(a_command_that_blocks_has_waited);
    RUN(a_command_that_a_pause_holds_is_one_record);
    RUN(a_client_that_goes_leaves_what_was_counted);
    RUN(every_counted_command_is_one_record);
    RUN(keys_are_shown_as_asked_for);
    RUN(baggage_is_picked);
    RUN(texts_that_are_too_long_are_not_kept);
    RUN(only_what_a_rule_keeps_is_recorded);
    RUN(what_is_kept_at_its_end_tells_as_much_as_what_is_sampled);
    RUN(what_waited_behind_another_command_is_slow);
    RUN(switching_while_a_command_waits_mixes_nothing_up);
    return check_done();
}
