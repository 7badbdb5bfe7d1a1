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

enum { DIGIT = 1, NOT_HEX = 2, SEPARATOR = 4, STRANGE = 8 };

#define UP_TO_16(c) (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c)
#define STRANGE_32 UP_TO_16(STRANGE), UP_TO_16(STRANGE)

/* What each byte says about the part of a key that it is in. */
static const uint8_t kinds[256] = {
    STRANGE_32,
    /*   ! " # $ % & ' ( ) * + , - . / */
    SEPARATOR, NOT_HEX, NOT_HEX, SEPARATOR, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX,
    NOT_HEX, NOT_HEX, SEPARATOR, 0, SEPARATOR, SEPARATOR,
    /* 0 to 9 : ; < = > ? */
    DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, SEPARATOR, SEPARATOR,
    NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX,
    /* @ A to O */
    SEPARATOR, 0, 0, 0, 0, 0, 0, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX,
    NOT_HEX, NOT_HEX,
    /* P to Z [ \ ] ^ _ */
    UP_TO_16(NOT_HEX),
    /* ` a to o */
    NOT_HEX, 0, 0, 0, 0, 0, 0, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX,
    NOT_HEX, NOT_HEX,
    /* p to z { | } ~ DEL */
    NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX,
    NOT_HEX, SEPARATOR, SEPARATOR, SEPARATOR, NOT_HEX, STRANGE, STRANGE_32, STRANGE_32, STRANGE_32,
    STRANGE_32};

/* Whether a whole part is an identifier, by the kinds of its bytes. */
static bool is_opaque(unsigned found, size_t len)
{
    if (found & STRANGE) return true;
    if (!(found & DIGIT)) return false;
    return len >= OPAQUE_MIN || (len >= HEX_MIN && !(found & NOT_HEX));
}

/* Writes keys as long as there is room; what is masked takes no more than what it stands for. */
size_t fe_texts_pattern(fe_bytes key, uint8_t out[FE_TEXT_KEY_MAX])
{
    /* A key that is longer than what is shown is judged by its beginning. */
    const uint8_t *at = key.ptr,
                  *end = at + (key.len < 2 * FE_TEXT_KEY_MAX ? key.len : 2 * FE_TEXT_KEY_MAX);
    uint8_t *to = out, *full = out + FE_TEXT_KEY_MAX;
    while (at < end && to < full) {
        const uint8_t *part = at;
        uint8_t *part_out = to;
        unsigned found = 0, before = 0;
        for (; at < end; at++) {
            unsigned kind = kinds[*at];
            if (kind == SEPARATOR) break;
            found |= kind;
            bool repeats = kind == DIGIT && before == DIGIT;
            before = kind;
            if (repeats || to == full) continue;
            *to++ = kind == DIGIT ? '*' : *at;
        }
        if (is_opaque(found, (size_t)(at - part))) {
            to = part_out;
            *to++ = '*';
        }
        if (at < end && to < full) *to++ = *at;
        at++;
    }
    return (size_t)(to - out);
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
