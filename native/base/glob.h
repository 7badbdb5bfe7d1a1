/* Glob patterns as in Redis KEYS, SCAN MATCH and CONFIG GET: * ? [abc] [a-z] [^x] and backslash.
 * Bounded work: no exponential backtracking. */
#ifndef FE_BASE_GLOB_H
#define FE_BASE_GLOB_H

#include "base/bytes.h"

/* As in Redis an empty text is matched by an empty pattern only; a command to which a lone star
 * means everything asks for that itself. */
bool fe_glob_match(fe_bytes pattern, fe_bytes text, bool ignore_case);

/* Whether the pattern has no special characters, so that it matches only itself. */
bool fe_glob_is_literal(fe_bytes pattern);

#endif
