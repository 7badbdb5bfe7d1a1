/* What insight is told of commands: each key that is read, however the command came. */
#include "tests/check.h"

#include "tests/session/rig.h"

#include <math.h>

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

static void open_ledger(rig *it)
{
    fe_engine_options options = rig_options();
    options.store.gone_size = 1u << 16;
    options.insight.prefixes =
        (fe_prefixes_options){.on = true, .separator = ':', .parts = 1, .count = 8};
    rig_open_with(it, &options);
}

/* An empty one when the prefix is not in the ledger. */
static fe_prefix prefix_of(const rig *it, const char *name)
{
    const fe_prefixes *ledger = it->server->engine->insight.prefixes;
    for (uint32_t i = 0; i < ledger->count; i++)
        if (ledger->entries[i].name_len == strlen(name) &&
            memcmp(ledger->entries[i].name, name, strlen(name)) == 0)
            return ledger->entries[i];
    return (fe_prefix){0};
}

#define CHECK_PREFIX(it, name, used, found, missed, was_read, was_written)                         \
    do {                                                                                           \
        fe_prefix check_p = prefix_of((it), (name));                                               \
        CHECK_INT((used), (int64_t)check_p.uses);                                                  \
        CHECK_INT((found), (int64_t)(check_p.effects.hits[FE_PREFIX_MUTABLE] + 1e-6));             \
        CHECK_INT((missed), (int64_t)(check_p.effects.misses + 1e-6));                             \
        CHECK_INT((was_read), (int64_t)(check_p.effects.read_bytes[0] + 1e-6));                    \
        CHECK_INT((was_written), (int64_t)(check_p.effects.written_bytes + 1e-6));                 \
        CHECK_INT((used), (int64_t)fe_exponential_count(&check_p.durations));                      \
    } while (0)

/* However the commands come: each has what it did itself, whatever came before it without a key, failed, or had none
 * looked at. */
TEST(the_ledger_has_what_each_command_did)
{
    rig it;
    open_ledger(&it);
    peer *one = rig_connect(&it), *two = rig_connect(&it);

    rig_say(one, "SET a:1 xyz\r\nGET a:1\r\nGET a:2\r\nGET plain\r\n");
    CHECK_PREFIX(&it, "a", 3, 1, 1, 3, 3);
    CHECK_PREFIX(&it, "", 1, 0, 1, 0, 0);
    rig_say(one, "MGET a:1 b:1 a:1\r\nPING\r\nOBJECT TIER a:1\r\nGET\r\nMSET b:1 uv b:2 stuv\r\n");
    rig_send_group(&it, (peer *const[]){one, two},
                   (const char *const[]){"GET b:1\r\n", "GET b:2\r\n"}, 2);
    CHECK_PREFIX(&it, "a", 5, 3, 1, 9, 3);
    CHECK_PREFIX(&it, "b", 5, 2, 1, 6, 6);
    CHECK_INT(1, (int64_t)prefix_of(&it, "b").effects.misses_by[FE_MISS_NEVER_SEEN]);
    CHECK(prefix_of(&it, "a").disk_reads == 0);

    rig_say(one, "DEL a:1\r\nGET a:1\r\n");
    CHECK_INT(1, (int64_t)prefix_of(&it, "a").effects.misses_by[FE_MISS_DELETED]);
    rig_close(&it);
}

TEST(the_ledger_has_what_a_transaction_did_when_it_ran)
{
    rig it;
    open_ledger(&it);
    peer *one = rig_connect(&it);

    rig_say(one, "SET a:1 xyz\r\nMULTI\r\nGET a:1\r\nMGET a:1 c:1\r\nSET b:1 uv\r\nGET b:1\r\n");
    CHECK_PREFIX(&it, "a", 1, 0, 0, 0, 3);
    rig_say(one, "EXEC\r\n");

    CHECK_PREFIX(&it, "a", 3, 2, 0, 6, 3);
    CHECK_PREFIX(&it, "b", 2, 1, 0, 2, 2);
    CHECK_PREFIX(&it, "c", 1, 0, 1, 0, 0);
    rig_close(&it);
}

/* So many keys are not hashed ahead, and only those of the first 63 arguments are looked at; all that was found and
 * missed is theirs. */
TEST(the_ledger_has_all_of_a_command_with_very_many_keys)
{
    rig it;
    open_ledger(&it);
    peer *one = rig_connect(&it);
    char text[1024] = "MGET a:1 b:1";
    for (int i = 2; i < 100; i++)
        strcat(text, " a:1");
    strcat(text, "\r\n");

    rig_say(one, "SET a:1 x\r\n");
    rig_say(one, text);
    CHECK_INT(1 + 62, (int64_t)prefix_of(&it, "a").uses);
    CHECK_INT(1, (int64_t)prefix_of(&it, "b").uses);
    CHECK_INT(99, (int64_t)(prefix_of(&it, "a").effects.hits[FE_PREFIX_MUTABLE] + 1e-6));
    CHECK_INT(1, (int64_t)(prefix_of(&it, "b").effects.misses + 1e-6));
    rig_say(one, "MULTI\r\n");
    rig_say(one, text);
    rig_say(one, "EXEC\r\nGET a:1\r\n");

    CHECK_INT(1 + 2 * 62 + 1, (int64_t)prefix_of(&it, "a").uses);
    CHECK_INT(2 * 99 + 1, (int64_t)(prefix_of(&it, "a").effects.hits[FE_PREFIX_MUTABLE] + 1e-6));
    CHECK_INT(2, (int64_t)(prefix_of(&it, "b").effects.misses + 1e-6));
    rig_close(&it);
}

/* While only some uses are looked at, too: those stand for the others, and what they did is theirs alone. */
TEST(under_load_the_ledger_has_all_uses_and_ratios_are_right)
{
    enum { ROUNDS = 3000, MORE = 10 };
    rig it;
    open_ledger(&it);
    peer *one = rig_connect(&it);
    rig_say(one, "SET a:1 x\r\n");
    char text[64 * MORE] = "";
    for (int i = 0; i < MORE; i++)
        strcat(text, "GET a:1\r\nGET b:1\r\nMGET a:1 b:1\r\n");
    for (int i = 0; i < ROUNDS; i++) {
        rig_say(one, text);
        (void)rig_take(one);
    }

    const fe_insight *insight = &it.server->engine->insight;
    fe_prefix a = prefix_of(&it, "a"), b = prefix_of(&it, "b");
    double uses = 1 + 4.0 * MORE * ROUNDS, told = insight->prefixes->uses;
    CHECK(insight->prefix_pace.interval > 1);
    CHECK(told <= uses && uses - told < 2 * insight->prefix_pace.interval);
    CHECK(a.uses + b.uses == told && a.variance > 0);
    CHECK(a.effects.misses == 0 && b.effects.hits[FE_PREFIX_MUTABLE] == 0);
    CHECK(fabs(a.effects.hits[FE_PREFIX_MUTABLE] - a.uses) <= 1.5 &&
          fabs(b.effects.misses - b.uses) < 1e-6);
    rig_close(&it);
}

int main(void)
{
    RUN(of_hot_keys_a_reply_that_is_lent_counts_as_one_that_is_copied);
    RUN(each_key_that_a_command_reads_is_one_read);
    RUN(commands_of_a_transaction_count_when_they_run);
    RUN(of_a_command_with_very_many_keys_the_first_63_arguments_count);
    RUN(the_ledger_has_what_each_command_did);
    RUN(the_ledger_has_what_a_transaction_did_when_it_ran);
    RUN(the_ledger_has_all_of_a_command_with_very_many_keys);
    RUN(under_load_the_ledger_has_all_uses_and_ratios_are_right);
    RUN(without_insight_commands_run_as_well);
    return check_done();
}
