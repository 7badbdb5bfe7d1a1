/* Inline commands: a line of words, with Redis's quoting. */
#ifndef FE_RESP_INLINE_H
#define FE_RESP_INLINE_H

#include "resp/args.h"

typedef enum fe_inline_status {
    FE_INLINE_OK,
    FE_INLINE_UNBALANCED, /* a quote is not closed, or not followed by white space */
    FE_INLINE_NO_MEMORY
} fe_inline_status;

/* Whether the line has quotes, so that splitting it needs memory. */
bool fe_inline_has_quotes(fe_bytes line);

/* Splits `line`, which has no line end, and pushes its words to `args`. A plain word points into
 * the line, a quoted one into `unquoted`, which has room for line.len bytes (NULL when the line has
 * no quotes). After a failure `args` may hold some of the words. */
fe_inline_status fe_inline_split(fe_bytes line, uint8_t *unquoted, fe_args *args);

#endif
