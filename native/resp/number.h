/* Numbers in text, strictly as Redis reads and prints them. Pure functions. */
#ifndef FE_RESP_NUMBER_H
#define FE_RESP_NUMBER_H

#include "base/bytes.h"

/* Canonical decimal int64: optional '-', no leading zeros, no spaces, no '+', in range. Exactly the
 * strings that print back as themselves. */
bool fe_number_read_int64(fe_bytes text, int64_t *value);

/* Canonical decimal uint64. */
bool fe_number_read_uint64(fe_bytes text, uint64_t *value);

/* A finite or infinite double, whole text, no leading or trailing white space, NaN refused (Redis's
 * string2d rules). */
bool fe_number_read_double(fe_bytes text, double *value);

/* A long double for INCRBYFLOAT (Redis's string2ld rules, the same limits). */
bool fe_number_read_long_double(fe_bytes text, long double *value);

/* Writes decimal digits (at most 20 bytes and sign, no terminator); returns the length. */
size_t fe_number_print_int64(char out[21], int64_t value);
size_t fe_number_print_uint64(char out[21], uint64_t value);

/* Prints as INCRBYFLOAT does: %.17Lf without trailing zeros. `out` holds 5120 bytes. Returns the
 * length. */
size_t fe_number_print_long_double(char out[5120], long double value);

/* Prints as Redis 7.2 prints doubles in replies (%.17g; "inf", "-inf", "nan"). Returns the length.
 */
size_t fe_number_print_double(char out[64], double value);

#endif
