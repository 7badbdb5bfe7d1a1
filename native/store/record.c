/* See record.h. */
#include "store/record.h"

#include <string.h>

size_t fe_record_cut(fe_record *record)
{
    uint32_t key_len = fe_record_key_len(record), value_len = fe_record_value_len(record);
    unsigned flags = fe_record_flags(record);
    size_t whole = fe_record_size(record), old = fe_record_head_len(flags);
    size_t head = fe_record_head_len(flags | FE_RECORD_LARGE);
    int64_t deadline = fe_record_deadline(record);
    FE_ASSERT(!fe_record_is_head(record) && whole - old - key_len >= FE_RECORD_LARGE_EXTRA);
    memmove((uint8_t *)record + head, (const uint8_t *)record + old, key_len);
    if (flags & FE_RECORD_EXPIRY) memcpy((uint8_t *)record + head - 8, &deadline, 8);
    record->word = (record->word & ~(uint64_t)0xffffff00u) | (uint64_t)FE_RECORD_LARGE << 4;
    fe_record_store32(record, 8, key_len);
    fe_record_store32(record, 12, value_len);
    fe_record_store32(record, 16, 0);
    fe_record_store32(record, 20, (uint32_t)(whole / FE_RECORD_ALIGN));
    return fe_record_size(record);
}
