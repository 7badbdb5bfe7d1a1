/* Commands without a session: an engine, a registry and one client, and scripts of requests and
 * replies.
 *
 * A test includes tests/check.h before this header.
 *
 *     harness it;
 *     harness_open(&it);
 *     CHECK_REPLY("+OK", harness_run(&it, "SET key value"));
 *     harness_close(&it);
 *
 * A request is split at spaces; an argument in double quotes may hold spaces or nothing. A reply is
 * shown with its line ends as single spaces and without the last one, so that "GET key" answers "$5
 * value".
 */
#ifndef FE_TESTS_COMMAND_HARNESS_H
#define FE_TESTS_COMMAND_HARNESS_H

#include "command/command.h"

typedef struct harness {
    fe_engine *engine;
    fe_commands *commands;
    fe_clients clients;
    fe_client client;
    fe_call call; /* of the last request */
    fe_buf reply;
    fe_buf shown;
} harness;

void harness_open(harness *it);
/* The same over a data folder. */
void harness_open_in(harness *it, const char *folder);
void harness_close(harness *it); /* asserts the store's invariants */

/* Sets the store's clock, Unix milliseconds. */
void harness_set_now(harness *it, int64_t now_ms);

/* Runs a request as the session would after its own checks; the text is valid until the next one.
 */
const char *harness_run(harness *it, const char *request);

/* The same with arguments that may hold any bytes. */
const char *harness_run_bytes(harness *it, const fe_bytes *argv, uint32_t argc);

#define CHECK_REPLY(expected, actual)                                                              \
    do {                                                                                           \
        const char *check_a = (actual);                                                            \
        CHECK_BYTES((expected), strlen(expected), check_a, strlen(check_a));                       \
    } while (0)

/* Runs pairs of request and expected reply, up to NULL. */
#define CHECK_SCRIPT(it, ...)                                                                      \
    do {                                                                                           \
        const char *const check_script[] = {__VA_ARGS__, NULL};                                    \
        for (const char *const *check_s = check_script; *check_s != NULL; check_s += 2) {          \
            const char *check_r = harness_run((it), check_s[0]);                                   \
            if (strcmp(check_s[1], check_r) == 0) continue;                                        \
            check_failures++;                                                                      \
            fprintf(stderr, "%s:%d: %s: %s: expected \"%s\", got \"%s\"\n", __FILE__, __LINE__,    \
                    check_case, check_s[0], check_s[1], check_r);                                  \
        }                                                                                          \
    } while (0)

#endif
