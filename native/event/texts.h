/* The texts in the tail of a record (event/record.h), and what of a key may be shown. */
#ifndef FE_EVENT_TEXTS_H
#define FE_EVENT_TEXTS_H

#include "base/bytes.h"
#include "event/record.h"

#define FE_TEXT_KEY_MAX 128u /* bytes of a key that are shown */
#define FE_TEXT_ARGS_MAX 16u /* arguments that a statement shows */

/* A tail that is being written. */
typedef struct fe_texts {
    uint8_t *data; /* of FE_TRACE_TAIL_MAX bytes */
    uint32_t len;
} fe_texts;

/* Adds a text; what does not fit is cut, and left out when nothing would be left. */
static inline void fe_texts_put(fe_texts *texts, fe_trace_text type, fe_bytes text)
{
    uint32_t room = FE_TRACE_TAIL_MAX - texts->len;
    if (text.len == 0 || room <= 4) return;
    uint32_t len = text.len < room - 4 ? (uint32_t)text.len : room - 4;
    uint8_t *at = texts->data + texts->len;
    uint8_t head[4] = {(uint8_t)type, 0, (uint8_t)len, (uint8_t)(len >> 8)};
    memcpy(at, head, 4);
    memcpy(at + 4, text.ptr, len);
    texts->len += (4 + len + 3) & ~3u;
}

/* A text of a record; len 0: it has none. Trusts the record. */
fe_bytes fe_texts_find(const fe_trace_record *record, fe_trace_text type);

/* The pattern of a key: "user:456:profile" becomes "user:*:profile". Parts between `:/|.,;#{}?= ` that
 * look like an identifier become `*`: hexadecimal digits from 8 on with a decimal digit among them, as in a UUID; of parts
 * of 16 bytes and more those with a digit, those that begin as tokens do (sk_live_, ghp_, eyJ), and those with 16 letters
 * that are no words: in a row, or in cases that change more often than every sixth; and what is not printable ASCII. What has
 * an `@` or `%40` between `:/|,;#{}?= ` becomes `*` as a whole, and so does what follows a `=` there, and all that
 * follows a `?`. In other parts each run of digits does. `out` has FE_TEXT_KEY_MAX bytes; returns how many were written. */
size_t fe_texts_pattern(fe_bytes key, uint8_t out[FE_TEXT_KEY_MAX]);

/* The command line with literals masked: "SET user:123 ?", or "SET ? ?" without the text of the key.
 * `name` as in the registry ("get", "client|setname"). More than FE_TEXT_ARGS_MAX arguments end in "...".
 * Returns the bytes written, at most `cap`. */
size_t fe_texts_statement(const fe_trace_record *record, fe_bytes name, uint8_t *out, size_t cap);

#endif
