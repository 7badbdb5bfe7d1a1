/* Splitting of inline commands.
 *
 * Words are separated by C white space. A plain stretch of a word ends at blank, tab, line feed,
 * carriage return or a quote; vertical tab and form feed separate words but do not end one, as in
 * Redis. Quoted and plain stretches join into one word (a"b c" is `ab c`), but a closing quote must
 * be followed by white space or the end.
 *
 *     "..."   \n \r \t \b \a, \xHH, and backslash before any other byte is that byte
 *     '...'   \' is a quote; everything else is itself
 *
 * Unquoting never makes text longer, so the caller's buffer of the line's length suffices.
 *
 * Pure functions but for the arguments they push.
 */
#include "resp/inline.h"

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    uint8_t *out; /* where unquoted bytes go */
} cursor;

static inline bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool ends_plain(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static uint8_t unescape(uint8_t c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* Reads one byte or escape inside double quotes; at < end. */
static void copy_escaped(cursor *c)
{
    size_t left = (size_t)(c->end - c->at);
    if (*c->at != '\\' || left < 2) {
        *c->out++ = *c->at++;
    } else if (left >= 4 && c->at[1] == 'x' && hex_digit(c->at[2]) >= 0 &&
               hex_digit(c->at[3]) >= 0) {
        *c->out++ = (uint8_t)(hex_digit(c->at[2]) * 16 + hex_digit(c->at[3]));
        c->at += 4;
    } else {
        *c->out++ = unescape(c->at[1]);
        c->at += 2;
    }
}

/* Reads a quoted stretch, the cursor at its opening quote; false when it is not closed properly. */
static bool copy_quoted(cursor *c)
{
    uint8_t quote = *c->at++;
    while (c->at < c->end && *c->at != quote) {
        if (quote == '"') {
            copy_escaped(c);
        } else {
            if (*c->at == '\\' && c->end - c->at >= 2 && c->at[1] == '\'') c->at++;
            *c->out++ = *c->at++;
        }
    }
    if (c->at == c->end) return false;
    c->at++;
    return c->at == c->end || is_space(*c->at);
}

static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
    while (at < end && !ends_plain(*at) && *at != '"' && *at != '\'')
        at++;
    return at;
}

/* Reads a word that has quotes, the cursor at its start. */
static bool copy_word(cursor *c)
{
    while (c->at < c->end && !ends_plain(*c->at)) {
        if (*c->at == '"' || *c->at == '\'') return copy_quoted(c);
        *c->out++ = *c->at++;
    }
    return true;
}

bool fe_inline_has_quotes(fe_bytes line)
{
    return line.len > 0 &&
           (memchr(line.ptr, '"', line.len) != NULL || memchr(line.ptr, '\'', line.len) != NULL);
}

fe_inline_status fe_inline_split(fe_bytes line, uint8_t *unquoted, fe_args *args)
{
    cursor c = {line.ptr, line.ptr + line.len, unquoted};

    for (;;) {
        while (c.at < c.end && is_space(*c.at))
            c.at++;
        if (c.at == c.end) return FE_INLINE_OK;

        const uint8_t *word = c.at;
        const uint8_t *end = plain_end(word, c.end);
        if (end < c.end && !ends_plain(*end)) {
            uint8_t *copied = c.out;
            if (!copy_word(&c)) return FE_INLINE_UNBALANCED;
            word = copied;
            end = c.out;
        } else {
            c.at = end;
        }
        if (!fe_args_push(args, word, (size_t)(end - word))) return FE_INLINE_NO_MEMORY;
    }
}
