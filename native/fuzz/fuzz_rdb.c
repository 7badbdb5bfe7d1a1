/* Fuzzes RESTORE of strings: the input as a payload, then as a body with a footer that is right;
 * and the way there and back: what is dumped is restored, whatever the bytes are. */
#include "value/lzf.h"
#include "value/rdb_string.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/crc.h"

enum { LEN_MAX = 1 << 20 };

static fe_buf empty_buf(fe_alloc *alloc)
{
    fe_buf buf;
    fe_buf_init(&buf, alloc, FE_ALLOC_SCRATCH);
    return buf;
}

static void check_restore(fe_alloc *alloc, fe_bytes payload, bool footer_is_right)
{
    fe_buf value = empty_buf(alloc);
    uint8_t type = 0;
    fe_rdb_status status = fe_rdb_string_restore(payload, LEN_MAX, &value, &type);

    FE_ASSERT(status != FE_RDB_NO_MEMORY);
    if (footer_is_right) FE_ASSERT(status != FE_RDB_BAD_FOOTER);
    if (status == FE_RDB_OTHER_TYPE) FE_ASSERT(type != FE_RDB_TYPE_STRING);
    if (status != FE_RDB_OK) FE_ASSERT(value.len == 0);
    FE_ASSERT(value.len <= LEN_MAX);
    fe_buf_free(&value);
}

static void check_sealed(fe_alloc *alloc, fe_bytes body)
{
    fe_buf payload = empty_buf(alloc);

    fe_buf_append(&payload, body.ptr, body.len);
    fe_buf_append(&payload, "\x0b\x00", 2);
    uint64_t crc = fe_crc64(0, payload.data, payload.len);
    for (int i = 0; i < 64; i += 8)
        fe_buf_append_byte(&payload, (uint8_t)(crc >> i));
    check_restore(alloc, fe_buf_view(&payload), true);
    fe_buf_free(&payload);
}

static void check_round_trip(fe_alloc *alloc, fe_bytes in)
{
    fe_buf payload = empty_buf(alloc), value = empty_buf(alloc);
    uint8_t type;

    fe_rdb_string_dump(&payload, in);
    fe_rdb_status status = fe_rdb_string_restore(fe_buf_view(&payload), in.len, &value, &type);
    FE_ASSERT(status == FE_RDB_OK);
    FE_ASSERT(fe_bytes_equal(in, fe_buf_view(&value)));
    fe_buf_free(&payload);
    fe_buf_free(&value);
}

/* Exactly as long as the first two bytes say, so that one byte too many is seen. */
static void check_decompress(fe_bytes in)
{
    if (in.len < 2) return;
    size_t out_len = (size_t)in.ptr[0] << 4 | in.ptr[1];
    uint8_t *out = malloc(out_len + 1);

    if (out == NULL) return;
    fe_bytes packed = {in.ptr + 2, in.len - 2};
    bool fits = fe_lzf_decompress(packed, out + 1, out_len);
    if (fits) FE_ASSERT(out_len <= fe_lzf_decompressed_max(packed.len));
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fe_alloc alloc;
    fe_bytes in = {data, size};

    fe_alloc_init(&alloc);
    check_restore(&alloc, in, false);
    check_sealed(&alloc, in);
    check_round_trip(&alloc, in);
    check_decompress(in);
    FE_ASSERT(fe_alloc_used_all(&alloc) == 0);
    return 0;
}
