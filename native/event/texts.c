/* See texts.h. */
#include "event/texts.h"

#define OPAQUE_MIN 16u /* a part as long as this with a digit in it is an identifier */
#define HEX_MIN 8u

fe_bytes fe_texts_find(const fe_trace_record *record, fe_trace_text type)
{
    const uint8_t *tail = (const uint8_t *)(record + 1);
    for (uint32_t at = 0; at + 4 <= record->tail_len;) {
        uint32_t len = (uint32_t)tail[at + 2] | (uint32_t)tail[at + 3] << 8;
        if (tail[at] == type) return (fe_bytes){tail + at + 4, len};
        at += (4 + len + 3) & ~3u;
    }
    return (fe_bytes){tail, 0};
}

/* Patterns. -------------------------------------------------------------------------------------- */

static bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static bool is_separator(uint8_t c)
{
    switch (c) {
    case ':':
    case '/':
    case '|':
    case '.':
    case ',':
    case ';':
    case '#':
    case '@':
    case '{':
    case '}':
    case ' ': return true;
    default: return false;
    }
}

/* Whether a whole part is an identifier. */
static bool is_opaque(const uint8_t *part, size_t len)
{
    bool digit = false, hex = true;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = part[i], lower = c | 0x20;
        if (c < ' ' || c > '~') return true;
        digit |= is_digit(c);
        hex &= is_digit(c) || (lower >= 'a' && lower <= 'f') || c == '-';
    }
    return digit && (len >= OPAQUE_MIN || (hex && len >= HEX_MIN));
}

typedef struct pattern {
    uint8_t *out;
    size_t len;
} pattern;

static void add(pattern *to, uint8_t c)
{
    if (to->len < FE_TEXT_KEY_MAX) to->out[to->len++] = c;
}

static void add_part(pattern *to, const uint8_t *part, size_t len)
{
    if (is_opaque(part, len)) {
        add(to, '*');
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(part[i]))
            add(to, part[i]);
        else if (i == 0 || !is_digit(part[i - 1]))
            add(to, '*');
    }
}

size_t fe_texts_pattern(fe_bytes key, uint8_t out[FE_TEXT_KEY_MAX])
{
    pattern to = {out, 0};
    size_t from = 0;
    /* A key that is longer than what is shown is judged by its beginning. */
    size_t end = key.len < 2 * FE_TEXT_KEY_MAX ? key.len : 2 * FE_TEXT_KEY_MAX;
    for (size_t i = 0; i < end; i++) {
        if (!is_separator(key.ptr[i])) continue;
        add_part(&to, key.ptr + from, i - from);
        add(&to, key.ptr[i]);
        from = i + 1;
    }
    add_part(&to, key.ptr + from, end - from);
    return to.len;
}

/* Statements. ------------------------------------------------------------------------------------ */

typedef struct line {
    uint8_t *out;
    size_t len, cap;
} line;

static void append(line *to, fe_bytes text)
{
    size_t len = text.len < to->cap - to->len ? text.len : to->cap - to->len;
    if (len > 0) memcpy(to->out + to->len, text.ptr, len);
    to->len += len;
}

size_t fe_texts_statement(const fe_trace_record *record, fe_bytes name, uint8_t *out, size_t cap)
{
    line to = {out, 0, cap};
    uint32_t words = 1;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c >= 'a' && c <= 'z') c = (uint8_t)(c - 'a' + 'A');
        words += c == '|';
        if (c == '|') c = ' ';
        append(&to, (fe_bytes){&c, 1});
    }
    fe_bytes key = fe_texts_find(record, FE_TEXT_KEY);
    uint32_t shown = record->argc < FE_TEXT_ARGS_MAX ? record->argc : FE_TEXT_ARGS_MAX;
    for (uint32_t i = words; i < shown; i++) {
        append(&to, FE_BYTES(" "));
        append(&to, i == record->key_index && key.len > 0 ? key : FE_BYTES("?"));
    }
    if (record->argc > shown) append(&to, FE_BYTES(" ..."));
    return to.len;
}
