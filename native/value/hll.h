/* HyperLogLog in Redis's own representation, byte for byte: what GET returns for a key of PFADD,
 * and what SET or RESTORE of such bytes brings in. So every function treats the bytes as untrusted.
 *
 * 16384 registers of 6 bits, 0.81 % standard error. Layouts are drawn at the top of hll.c. A sparse
 * value changes its length when it is updated; a dense one never does.
 *
 * How PFADD uses it: fe_hll_validate on the stored bytes; if fe_hll_probe says that no element
 * changes anything, reply 0 and write nothing. Dense values are updated in place by
 * fe_hll_add_dense; sparse ones are copied into an fe_buf, changed by fe_hll_add (which turns them
 * dense when they grow too long) and stored as a new value.
 *
 * Pure functions over the caller's memory; any thread.
 */
#ifndef FE_VALUE_HLL_H
#define FE_VALUE_HLL_H

#include "base/buf.h"
#include "base/status.h"

enum {
    FE_HLL_REGISTERS = 16384,
    FE_HLL_HEADER_BYTES = 16,
    FE_HLL_EMPTY_BYTES = 18,    /* header and one opcode */
    FE_HLL_DENSE_BYTES = 12304, /* header and 16384 * 6 bits */
    FE_HLL_SPARSE_BYTES_MAX_DEFAULT = 3000,
};

typedef enum fe_hll_status {
    FE_HLL_OK,
    FE_HLL_NOT_HLL,  /* "WRONGTYPE Key is not a valid HyperLogLog string value." */
    FE_HLL_CORRUPT,  /* "INVALIDOBJ Corrupted HLL object detected" */
    FE_HLL_NO_MEMORY /* the fe_buf has failed; its bytes are to be thrown away */
} fe_hll_status;

/* Looks at the header and, for a dense value, the length: FE_HLL_OK or FE_HLL_NOT_HLL. All
 * functions below that take a stored value need one that passed. */
FE_MUST_USE fe_hll_status fe_hll_validate(fe_bytes hll);

/* Whether a validated value is dense. */
bool fe_hll_is_dense(fe_bytes hll);

/* Writes the empty HyperLogLog as a PFADD without elements leaves it: sparse, cardinality stale. */
void fe_hll_write_empty(uint8_t out[FE_HLL_EMPTY_BYTES]);

/* Whether adding `element` would change the value. Reads only. FE_HLL_OK or FE_HLL_CORRUPT. */
FE_MUST_USE fe_hll_status fe_hll_probe(fe_bytes hll, fe_bytes element, bool *would_change);

/* Adds to a validated dense value of FE_HLL_DENSE_BYTES in place. Returns whether a register
 * changed; then the cached cardinality is marked stale. */
bool fe_hll_add_dense(uint8_t *hll, fe_bytes element);

/* Adds to the value that `hll` holds (all of the buffer), sparse or dense. A sparse value becomes
 * dense when it would grow longer than `sparse_bytes_max` (hll-sparse-max-bytes, header included)
 * or when a register exceeds 32. `changed` is set on FE_HLL_OK; a change marks the cached
 * cardinality stale. The bytes are those that Redis would hold. On FE_HLL_CORRUPT the bytes are as
 * before. */
FE_MUST_USE fe_hll_status fe_hll_add(fe_buf *hll, fe_bytes element, size_t sparse_bytes_max,
                                     bool *changed);

/* The cardinality that the header remembers; false when it is stale. */
bool fe_hll_get_cached(fe_bytes hll, uint64_t *cardinality);

/* Makes the header remember a cardinality: overwrites bytes 8 to 15 in place. */
void fe_hll_set_cached(uint8_t *hll, uint64_t cardinality);

/* Estimates from the registers, without regard to the cache. FE_HLL_OK or FE_HLL_CORRUPT. */
FE_MUST_USE fe_hll_status fe_hll_count(fe_bytes hll, uint64_t *cardinality);

/* Raises each of the caller's registers (one byte each, zeroed before the first merge) to the
 * value's. On FE_HLL_CORRUPT some may have been raised. */
FE_MUST_USE fe_hll_status fe_hll_merge(uint8_t registers[FE_HLL_REGISTERS], fe_bytes hll);

/* Estimates the cardinality of merged registers (PFCOUNT of several keys). */
uint64_t fe_hll_count_registers(const uint8_t registers[FE_HLL_REGISTERS]);

/* Raises the registers of the value in `hll` to `registers` (PFMERGE's last step) and marks the
 * cached cardinality stale. `dense` makes it dense first (Redis: when any source is dense). */
FE_MUST_USE fe_hll_status fe_hll_raise(fe_buf *hll, const uint8_t registers[FE_HLL_REGISTERS],
                                       bool dense, size_t sparse_bytes_max);

/* Makes the value in `hll` dense; nothing happens if it is. On FE_HLL_CORRUPT the bytes are as
 * before. */
FE_MUST_USE fe_hll_status fe_hll_to_dense(fe_buf *hll);

/* Appends the opcodes of a sparse value as PFDEBUG DECODE prints them, "z:3 v:1,2 Z:16379" with a
 * space between. FE_HLL_CORRUPT when the opcodes do not cover the registers. */
FE_MUST_USE fe_hll_status fe_hll_describe(fe_bytes hll, fe_buf *out);

#endif
