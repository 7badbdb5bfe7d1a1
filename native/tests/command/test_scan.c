/* SCAN, KEYS and what they do with expired keys. */
#include "tests/check.h"
#include "tests/command/harness.h"

TEST(a_small_database_is_scanned_in_one_step)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SCAN 0", "*2 $1 0 *0", "SET only 1", "+OK", "SCAN 0 COUNT 100",
                 "*2 $1 0 *1 $4 only", "SCAN 0 COUNT 100 MATCH x*", "*2 $1 0 *0",
                 "SCAN 0 COUNT 100 TYPE string", "*2 $1 0 *1 $4 only");
    harness_close(&it);
}

TEST(bad_arguments_are_told)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SCAN x", "-ERR invalid cursor", "SCAN 0 COUNT 0", "-ERR syntax error",
                 "SCAN 0 COUNT x", "-ERR value is not an integer or out of range", "SCAN 0 MATCH",
                 "-ERR syntax error");
    harness_close(&it);
}

TEST(every_key_is_met_whatever_the_step)
{
    harness it;
    harness_open(&it);
    char line[64];
    for (int i = 0; i < 500; i++) {
        snprintf(line, sizeof line, "SET key:%d v", i);
        (void)harness_run(&it, line);
    }
    static bool met[500];
    unsigned long long cursor = 0;
    int steps = 0;
    do {
        snprintf(line, sizeof line, "SCAN %llu COUNT 7", cursor);
        const char *reply = harness_run(&it, line);
        CHECK_INT(1, sscanf(reply, "*2 $%*u %llu", &cursor));
        for (const char *at = reply; (at = strstr(at, " key:")) != NULL; at += 5) {
            int number = atoi(at + 5);
            CHECK(number >= 0 && number < 500);
            met[number] = true;
        }
    } while (cursor != 0 && ++steps < 1000);
    int count = 0;
    for (int i = 0; i < 500; i++)
        count += met[i];
    CHECK_INT(500, count);
    harness_close(&it);
}

int main(void)
{
    RUN(a_small_database_is_scanned_in_one_step);
    RUN(bad_arguments_are_told);
    RUN(every_key_is_met_whatever_the_step);
    return check_done();
}
