/* What the tests of records share: a caller, and short ways to take records and to tell what is in them.
 *
 * A test includes tests/check.h before this header.
 */
#ifndef FE_TESTS_SESSION_TRACE_RIG_H
#define FE_TESTS_SESSION_TRACE_RIG_H

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

static inline taken take(rig *it)
{
    taken all = {0};
    const uint8_t *next = (const uint8_t *)rig_records(it, &all.count);
    for (uint32_t i = 0; i < all.count && i < 64; i++) {
        all.at[i] = (const void *)next;
        next += all.at[i]->size;
    }
    return all;
}

static inline const char *name_of(rig *it, const fe_trace_record *record)
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

static inline void check_names(rig *it, const taken *all, const char *expected)
{
    char names[256] = "";
    for (uint32_t i = 0; i < all->count; i++) {
        strcat(names, i > 0 ? " " : "");
        strcat(names, name_of(it, all->at[i]));
    }
    CHECK_TEXT(expected, names);
}

static inline void check_trace(const fe_trace_record *record, const char *expected)
{
    char digits[32];
    fe_trace_id_print(digits, record->trace_id);
    CHECK_BYTES(expected, 32, digits, 32);
}

static inline void check_text(const fe_trace_record *record, fe_trace_text type,
                              const char *expected)
{
    fe_bytes text = fe_texts_find(record, type);
    CHECK_BYTES(expected, strlen(expected), text.ptr, text.len);
}

static inline void check_order(const fe_trace_record *record)
{
    for (int i = 1; i < FE_STAGE_COUNT; i++)
        CHECK(record->stages[i - 1] <= record->stages[i]);
    CHECK(record->waited <= record->stages[FE_STAGE_ENDED] - record->stages[FE_STAGE_BEGUN]);
}

/* Calls, rejected and unknown commands that the server has counted. */
static inline uint64_t counted(rig *it)
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

#endif
