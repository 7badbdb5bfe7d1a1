/* Checksums: CRC-64 (Jones, reflected, as in RDB and DUMP) and CRC-32C (Castagnoli; SSE 4.2 where
 * present). Both start from 0 and chain: crc(crc(0, a), b) is the checksum of a followed by b. */
#ifndef FE_BASE_CRC_H
#define FE_BASE_CRC_H

#include "base/bytes.h"

uint64_t fe_crc64(uint64_t crc, const uint8_t *data, size_t len);
uint32_t fe_crc32c(uint32_t crc, const uint8_t *data, size_t len);

#endif
