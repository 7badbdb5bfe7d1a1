/* What containers share. */
#include "tests/check.h"

#include "command/subcommand.h"
#include "tests/command/harness.h"

TEST(plain_words_are_printable_and_without_spaces)
{
    CHECK(fe_subcommand_is_plain_word(FE_BYTES("!~name:1")));
    CHECK(fe_subcommand_is_plain_word(FE_BYTES("")));
    CHECK(!fe_subcommand_is_plain_word(FE_BYTES("two words")));
    CHECK(!fe_subcommand_is_plain_word(FE_BYTES("line\n")));
    CHECK(!fe_subcommand_is_plain_word(FE_BYTES("\x7f")));
    CHECK(!fe_subcommand_is_plain_word(FE_BYTES("\xc3\xa9")));
}

TEST(an_unknown_word_is_shown_up_to_its_128th_byte)
{
    harness it;
    harness_open(&it);
    char word[300];
    memset(word, 'x', sizeof word);
    fe_bytes argv[2] = {FE_BYTES("debug"), {(const uint8_t *)word, sizeof word}};

    const char *reply = harness_run_bytes(&it, argv, 2);

    CHECK_INT(
        strlen("-ERR unknown subcommand or wrong number of arguments for ''. Try DEBUG HELP.") +
            128,
        strlen(reply));
    CHECK(strstr(reply, "xxx'. Try DEBUG HELP.") != NULL);
    harness_close(&it);
}

TEST(on_and_off_are_the_only_answers)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "CLIENT NO-TOUCH on", "+OK", "CLIENT NO-TOUCH maybe", "-ERR syntax error");
    CHECK(it.client.no_touch);
    CHECK_SCRIPT(&it, "CLIENT NO-TOUCH Off", "+OK");
    CHECK(!it.client.no_touch);
    harness_close(&it);
}

int main(void)
{
    RUN(plain_words_are_printable_and_without_spaces);
    RUN(an_unknown_word_is_shown_up_to_its_128th_byte);
    RUN(on_and_off_are_the_only_answers);
    return check_done();
}
