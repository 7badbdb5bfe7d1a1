/* What insight is told of commands: each key that is read, however the command came. */
#include "tests/check.h"

#include "tests/session/rig.h"

static double reads_of(const rig *it)
{
    return fe_mrc_reads(it->server->engine->insight.curve);
}

static void open_observed(rig *it)
{
    fe_engine_options options = rig_options();
    options.insight.curve = true;
    rig_open_with(it, &options);
}

TEST(each_key_that_a_command_reads_is_one_read)
{
    rig it;
    open_observed(&it);
    peer *one = rig_connect(&it);

    rig_say(one, "SET a 1\r\nGET a\r\nMGET a b c\r\nINCR a\r\nPING\r\nOBJECT TIER a\r\nGET\r\n");

    CHECK_INT(4, (int64_t)reads_of(&it));
    rig_close(&it);
}

TEST(commands_of_a_transaction_count_when_they_run)
{
    rig it;
    open_observed(&it);
    peer *one = rig_connect(&it);

    rig_say(one, "MULTI\r\nGET a\r\nEXISTS a b\r\nSET a 1\r\n");
    CHECK_INT(0, (int64_t)reads_of(&it));
    rig_say(one, "EXEC\r\n");

    CHECK_INT(3, (int64_t)reads_of(&it));
    rig_close(&it);
}

TEST(of_a_command_with_very_many_keys_the_first_63_arguments_count)
{
    rig it;
    open_observed(&it);
    peer *one = rig_connect(&it);
    char text[512] = "MGET";
    for (int i = 0; i < 100; i++)
        strcat(text, " k");
    strcat(text, "\r\n");

    rig_say(one, text);
    rig_say(one, "MULTI\r\n");
    rig_say(one, text);
    rig_say(one, "EXEC\r\n");

    CHECK_INT(2 * 63, (int64_t)reads_of(&it));
    rig_close(&it);
}

TEST(without_insight_commands_run_as_well)
{
    rig it;
    rig_open(&it);
    peer *one = rig_connect(&it);

    rig_say(one, "SET a 1\r\nGET a\r\nFLUSHALL\r\nSWAPDB 0 1\r\n");

    CHECK(!fe_insight_is_on(&it.server->engine->insight));
    CHECK_BYTES("+OK\r\n$1\r\n1\r\n+OK\r\n+OK\r\n", 22, one->got.data, one->got.len);
    rig_close(&it);
}

static void set_long(peer *one, const char *name, size_t len)
{
    char *text = malloc(len + 128);
    FE_ASSERT(text != NULL);
    size_t head = (size_t)snprintf(text, 128, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n",
                                   strlen(name), name, len);
    memset(text + head, 'v', len);
    memcpy(text + head + len, "\r\n", 2);
    rig_send(one, text, head + len + 2);
    CHECK_GOT(one, "+OK\r\n");
    free(text);
}

TEST(of_hot_keys_a_reply_that_is_lent_counts_as_one_that_is_copied)
{
    enum { COPIED = 500000, LENT = 600000 };
    rig it;
    fe_engine_options options = rig_options();
    options.insight.hot_keys = true;
    options.insight.hot_half_life_s = 60;
    rig_open_with(&it, &options);
    peer *one = rig_connect(&it);
    one->session->lends = true;
    set_long(one, "copied", COPIED);
    set_long(one, "lent", LENT);
    fe_insight *insight = &it.server->engine->insight;
    int64_t now_ms = it.server->engine->now_ms;
    fe_insight_reset(insight, now_ms); /* each of the next few uses is looked at */

    rig_say(one, "GET copied\r\nGET lent\r\n");
    CHECK_INT(LENT, fe_loan_left(&one->session->loan));

    fe_hot_line lines[FE_HOT_KEYS];
    CHECK_INT(2, fe_hot_list(&insight->hot->by[FE_HOT_BYTES], now_ms, lines));
    CHECK_BYTES("lent", 4, lines[0].key->name, lines[0].key->name_len);
    double ratio = lines[0].per_second / lines[1].per_second;
    CHECK(ratio > 1.19 && ratio < 1.21);
    rig_close(&it);
}

int main(void)
{
    RUN(of_hot_keys_a_reply_that_is_lent_counts_as_one_that_is_copied);
    RUN(each_key_that_a_command_reads_is_one_read);
    RUN(commands_of_a_transaction_count_when_they_run);
    RUN(of_a_command_with_very_many_keys_the_first_63_arguments_count);
    RUN(without_insight_commands_run_as_well);
    return check_done();
}
