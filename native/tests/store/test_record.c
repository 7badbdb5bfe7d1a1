/* Heads: records without their values. */
#include "store/record.h"
#include "tests/check.h"

#include <stdlib.h>

#define KEY "name"
#define VALUE_LEN 1000u
#define DEADLINE INT64_C(1700000000123)

/* A record of VALUE_LEN bytes under KEY; the caller frees it. */
static fe_record *make(unsigned flags, uint32_t cap)
{
    size_t size = fe_record_size_for(flags, strlen(KEY), cap), head = fe_record_head_len(flags);
    fe_record *record = calloc(1, size);
    uint64_t lengths = flags & FE_RECORD_LARGE ? 0 : strlen(KEY) << 8 | VALUE_LEN << 16;
    record->word = FE_TYPE_STRING | (uint64_t)flags << 4 | lengths | 77ull << 32 | 5ull << 44;
    if (flags & FE_RECORD_LARGE) {
        fe_record_store32(record, 8, (uint32_t)strlen(KEY));
        fe_record_store32(record, 12, VALUE_LEN);
        fe_record_store32(record, 16, cap);
    }
    int64_t deadline = DEADLINE;
    if (flags & FE_RECORD_EXPIRY) memcpy((uint8_t *)record + head - 8, &deadline, 8);
    memcpy((uint8_t *)record + head, KEY, strlen(KEY));
    memset((uint8_t *)record + head + strlen(KEY), 'v', VALUE_LEN);
    return record;
}

TEST(a_head_tells_all_that_the_record_told_but_its_value)
{
    static const unsigned forms[] = {0, FE_RECORD_EXPIRY, FE_RECORD_LARGE,
                                     FE_RECORD_LARGE | FE_RECORD_EXPIRY};
    for (unsigned i = 0; i < 4; i++) {
        uint32_t cap = forms[i] & FE_RECORD_LARGE ? VALUE_LEN + 500 : VALUE_LEN;
        fe_record *record = make(forms[i], cap);
        size_t whole = fe_record_size(record);
        CHECK(!fe_record_is_head(record));
        CHECK_INT((int64_t)whole, (int64_t)fe_record_whole_size(record));

        size_t size = fe_record_cut(record);

        CHECK(fe_record_is_head(record) && size < 64 && size % 8 == 0);
        CHECK_INT((int64_t)size, (int64_t)fe_record_size(record));
        CHECK_INT((int64_t)whole, (int64_t)fe_record_whole_size(record));
        CHECK_INT(VALUE_LEN, fe_record_value_len(record));
        CHECK_INT(FE_TYPE_STRING, fe_record_type(record));
        CHECK_INT(77, fe_record_keyspace(record));
        CHECK_INT(5, fe_record_access(record));
        CHECK_INT(forms[i] & FE_RECORD_EXPIRY ? DEADLINE : 0, fe_record_deadline(record));
        fe_bytes key = fe_record_key(record);
        CHECK_BYTES(KEY, strlen(KEY), key.ptr, key.len);
        free(record);
    }
}

int main(void)
{
    RUN(a_head_tells_all_that_the_record_told_but_its_value);
    return check_done();
}
