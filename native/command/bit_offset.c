/* Bit offsets as arguments. */
#include "command/bit_offset.h"

#include "resp/number.h"

bool fe_bit_offset_read(fe_call *call, uint32_t i, unsigned width, uint64_t *offset)
{
    fe_bytes text = call->argv[i];
    int64_t factor = 1;
    if (width > 0 && text.len > 0 && text.ptr[0] == '#') {
        text = (fe_bytes){text.ptr + 1, text.len - 1};
        factor = (int64_t)width;
    }
    int64_t value;
    if (fe_number_read_int64(text, &value) && !__builtin_mul_overflow(value, factor, &value) &&
        value >= 0 && (uint64_t)value >> 3 < call->engine->options.bulk_len_max) {
        *offset = (uint64_t)value;
        return true;
    }
    fe_call_error(call, "ERR bit offset is not an integer or out of range");
    return false;
}
