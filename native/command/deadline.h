/* Expiry arguments: seconds or milliseconds, from now or since 1970, become a deadline in Unix
 * milliseconds. */
#ifndef FE_COMMAND_DEADLINE_H
#define FE_COMMAND_DEADLINE_H

#include "command/command.h"

typedef enum fe_deadline_unit {
    FE_DEADLINE_SECONDS_FROM_NOW,
    FE_DEADLINE_MS_FROM_NOW,
    FE_DEADLINE_SECONDS, /* Unix time */
    FE_DEADLINE_MS
} fe_deadline_unit;

/* Argument `i` as a deadline; it may be negative or in the past. False after an error reply: not an
 * integer, or "ERR invalid expire time in 'x' command" when the deadline is out of range. */
FE_MUST_USE bool fe_deadline_read(fe_call *call, uint32_t i, fe_deadline_unit unit,
                                  int64_t *deadline);

/* As above, and an argument of 0 or less is an invalid expire time too (SET, GETEX and their like).
 */
FE_MUST_USE bool fe_deadline_read_positive(fe_call *call, uint32_t i, fe_deadline_unit unit,
                                           int64_t *deadline);

#endif
