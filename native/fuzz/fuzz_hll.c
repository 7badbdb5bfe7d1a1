/* Fuzzes HyperLogLogs that somebody else wrote: the header is made valid, the rest is the input,
 * then every operation runs over it. What one operation accepts, the others must accept too, and
 * agree on. */
#include "value/hll.h"

#include <stdlib.h>

#include "base/assert.h"

enum { ELEMENT_BYTES = 3, ELEMENTS_MAX = 16 };

static fe_buf copy_of(fe_alloc *alloc, fe_bytes bytes)
{
    fe_buf copy;
    fe_buf_init(&copy, alloc, FE_ALLOC_SCRATCH);
    fe_buf_append(&copy, bytes.ptr, bytes.len);
    FE_ASSERT(!copy.failed);
    return copy;
}

static void check_whole(fe_alloc *alloc, fe_bytes hll)
{
    static uint8_t registers[FE_HLL_REGISTERS], again[FE_HLL_REGISTERS];
    uint64_t count = 0, count_dense = 1;
    fe_buf dense = copy_of(alloc, hll), text = copy_of(alloc, FE_BYTES(""));

    memset(registers, 0, sizeof registers);
    memset(again, 0, sizeof again);
    fe_hll_status status = fe_hll_count(hll, &count);
    FE_ASSERT(fe_hll_merge(registers, hll) == status);
    FE_ASSERT(fe_hll_to_dense(&dense) == status);
    if (!fe_hll_is_dense(hll)) FE_ASSERT(fe_hll_describe(hll, &text) == status);
    if (status == FE_HLL_OK) {
        FE_ASSERT(fe_hll_count_registers(registers) == count);
        FE_ASSERT(fe_hll_count(fe_buf_view(&dense), &count_dense) == FE_HLL_OK);
        FE_ASSERT(count_dense == count);
        FE_ASSERT(fe_hll_merge(again, fe_buf_view(&dense)) == FE_HLL_OK);
        FE_ASSERT(memcmp(registers, again, sizeof registers) == 0);
    }
    fe_buf_free(&dense);
    fe_buf_free(&text);
}

/* Adds pieces of the input; raising the value to its own registers must then change no register. */
static void check_updates(fe_alloc *alloc, fe_bytes hll, size_t sparse_bytes_max)
{
    static uint8_t registers[FE_HLL_REGISTERS], again[FE_HLL_REGISTERS];
    fe_buf copy = copy_of(alloc, hll);
    uint64_t count = 0;
    bool whole = fe_hll_count(hll, &count) == FE_HLL_OK;

    for (size_t i = 0; i + ELEMENT_BYTES <= hll.len && i < ELEMENTS_MAX * ELEMENT_BYTES;
         i += ELEMENT_BYTES) {
        fe_bytes element = {hll.ptr + hll.len - i - ELEMENT_BYTES, ELEMENT_BYTES};
        bool expected, changed;
        fe_hll_status probed = fe_hll_probe(fe_buf_view(&copy), element, &expected);
        fe_hll_status added = fe_hll_add(&copy, element, sparse_bytes_max, &changed);
        if (whole) FE_ASSERT(probed == FE_HLL_OK && added == FE_HLL_OK);
        if (added == FE_HLL_OK) FE_ASSERT(probed == FE_HLL_OK && expected == changed);
    }
    memset(registers, 0, sizeof registers);
    memset(again, 0, sizeof again);
    if (fe_hll_merge(registers, fe_buf_view(&copy)) == FE_HLL_OK) {
        registers[count % FE_HLL_REGISTERS] |= 1;
        FE_ASSERT(fe_hll_raise(&copy, registers, false, sparse_bytes_max) == FE_HLL_OK);
        FE_ASSERT(fe_hll_merge(again, fe_buf_view(&copy)) == FE_HLL_OK);
        FE_ASSERT(memcmp(registers, again, sizeof registers) == 0);
    } else {
        FE_ASSERT(!whole);
        (void)!fe_hll_raise(&copy, again, false, sparse_bytes_max);
    }
    fe_buf_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fe_alloc alloc;
    if (size < 1) return 0;
    bool dense = (data[0] & 1) != 0;
    size_t len = dense ? FE_HLL_DENSE_BYTES : FE_HLL_HEADER_BYTES + size - 1;
    size_t body = len - FE_HLL_HEADER_BYTES < size - 1 ? len - FE_HLL_HEADER_BYTES : size - 1;
    uint8_t *bytes = calloc(1, len);

    if (bytes == NULL) return 0;
    fe_alloc_init(&alloc);
    memcpy(bytes, "HYLL", 4);
    bytes[4] = dense ? 0 : 1;
    memcpy(bytes + FE_HLL_HEADER_BYTES, data + 1, body);
    fe_bytes hll = {bytes, len};
    FE_ASSERT(fe_hll_validate(hll) == FE_HLL_OK);
    FE_ASSERT(fe_hll_validate((fe_bytes){data, size}) != FE_HLL_CORRUPT);
    check_whole(&alloc, hll);
    check_updates(&alloc, hll, (size_t)(data[0] >> 1) * 30);
    free(bytes);
    FE_ASSERT(fe_alloc_used_all(&alloc) == 0);
    return 0;
}
