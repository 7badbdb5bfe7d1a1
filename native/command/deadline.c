/* Expiry arguments. Overflow of either conversion is an error, so that a deadline is what the
 * client asked for or nothing is changed. */
#include "command/deadline.h"

static bool convert(fe_call *call, int64_t amount, fe_deadline_unit unit, int64_t *deadline)
{
    bool seconds = unit == FE_DEADLINE_SECONDS_FROM_NOW || unit == FE_DEADLINE_SECONDS;
    bool relative = unit == FE_DEADLINE_SECONDS_FROM_NOW || unit == FE_DEADLINE_MS_FROM_NOW;
    int64_t ms, when;
    bool overflow = __builtin_mul_overflow(amount, seconds ? 1000 : 1, &ms);
    if (!overflow)
        overflow = __builtin_add_overflow(ms, relative ? fe_store_now(call->store) : 0, &when);
    if (overflow) {
        fe_call_errorf(call, "ERR invalid expire time in '%s' command", call->row->name);
        return false;
    }
    *deadline = when;
    return true;
}

bool fe_deadline_read(fe_call *call, uint32_t i, fe_deadline_unit unit, int64_t *deadline)
{
    int64_t amount;
    return fe_call_int64(call, i, &amount) && convert(call, amount, unit, deadline);
}

bool fe_deadline_read_positive(fe_call *call, uint32_t i, fe_deadline_unit unit, int64_t *deadline)
{
    int64_t amount;
    if (!fe_call_int64(call, i, &amount)) return false;
    if (amount > 0) return convert(call, amount, unit, deadline);
    fe_call_errorf(call, "ERR invalid expire time in '%s' command", call->row->name);
    return false;
}
