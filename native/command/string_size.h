/* Rules about lengths and ranges that several families of string commands share. */
#ifndef FE_COMMAND_STRING_SIZE_H
#define FE_COMMAND_STRING_SIZE_H

#include "command/command.h"

/* Whether a string of `len` bytes may grow by `extra`: proto-max-bulk-len bounds it. Else answers
 * the error. */
static inline FE_MUST_USE bool fe_string_size_ok(fe_call *call, uint64_t len, uint64_t extra)
{
    uint64_t whole;
    if (!__builtin_add_overflow(len, extra, &whole) && whole <= call->engine->options.bulk_len_max)
        return true;
    fe_call_status_error(call, FE_TOO_LARGE);
    return false;
}

/* Turns start and end (both included, negative from the end) into 0 <= start <= end < len. False
 * when that range is empty. A range that lies wholly before the start is the first byte, as in
 * Redis; commands that want it empty look at fe_string_range_reversed first. */
static inline bool fe_string_range(int64_t *start, int64_t *end, int64_t len)
{
    if (*start < 0) *start = *start + len < 0 ? 0 : *start + len;
    if (*end < 0) *end = *end + len < 0 ? 0 : *end + len;
    if (*end >= len) *end = len - 1;
    return *start <= *end;
}

/* Whether both ends count from the end of the string and stand in the wrong order. */
static inline bool fe_string_range_reversed(int64_t start, int64_t end)
{
    return start < 0 && end < 0 && start > end;
}

#endif
