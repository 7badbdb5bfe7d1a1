/* The LZF format (Marc Lehmann's liblzf), which RDB files and DUMP payloads use for strings. Pure
 * functions. */
#ifndef FE_VALUE_LZF_H
#define FE_VALUE_LZF_H

#include "base/bytes.h"

/* Compresses `in` (at most 4 GiB - 1) into at most `out_cap` bytes. Returns the length, or 0 when
 * it does not fit or `in` is empty. Any LZF reader gives the input back. `out` does not overlap
 * `in`. */
size_t fe_lzf_compress(fe_bytes in, uint8_t *out, size_t out_cap);

/* Decompresses untrusted bytes. True when `in` is well formed and gives exactly `out_len` bytes;
 * else false and `out` holds garbage. */
bool fe_lzf_decompress(fe_bytes in, uint8_t *out, size_t out_len);

/* The most that `compressed_len` bytes can decompress to; a claim beyond it is a lie that needs no
 * memory. */
static inline uint64_t fe_lzf_decompressed_max(uint64_t compressed_len)
{
    return compressed_len > UINT64_MAX / 88 ? UINT64_MAX
                                            : compressed_len * 88; /* 264 bytes from 3 */
}

#endif
