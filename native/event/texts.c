/* See texts.h. */
#include "event/texts.h"

#include "base/assert.h"

#define OPAQUE_MIN                                                                                 \
    16u /* a part as long as this is an identifier, with a digit in it or as one word */
#define HEX_MIN 8u
#define HUMP_LETTERS_MIN                                                                           \
    6u /* words in aNameLikeThis have as many letters on average, or it is none */

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

/* From DOT on they end a part; from SEPARATOR on, a segment, which is one or several parts with dots between them. */
enum {
    DIGIT = 1,
    NOT_HEX = 2,
    STRANGE = 4,
    ODD = 8, /* the segment may be an address */
    DOT = 16,
    SEPARATOR = 32,
    VALUE = 64,  /* what follows in the segment is a value */
    QUERY = 128, /* all that follows is a query */
};

#define ODD_ONE (NOT_HEX | ODD)
#define UP_TO_16(c) (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c), (c)
#define STRANGE_32 UP_TO_16(STRANGE), UP_TO_16(STRANGE)

/* What each byte says about the part of a key that it is in. */
static const uint8_t kinds[256] = {
    STRANGE_32,
    /*   ! " # $ % & ' ( ) * + , - . / */
    SEPARATOR, NOT_HEX, NOT_HEX, SEPARATOR, NOT_HEX, ODD_ONE, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX,
    NOT_HEX, NOT_HEX, SEPARATOR, 0, DOT, SEPARATOR,
    /* 0 to 9 : ; < = > ? */
    DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, SEPARATOR, SEPARATOR,
    NOT_HEX, VALUE, NOT_HEX, QUERY,
    /* @ A to O */
    ODD_ONE, 0, 0, 0, 0, 0, 0, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX, NOT_HEX,
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

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

/* How issuers of tokens begin them. */
static bool begins_as_a_token(fe_bytes part)
{
    static const char *const heads[] = {
        "sk_live_", "sk_test_", "pk_live_", "pk_test_", "rk_live_",   "sk-", "eyJ",
        "ghp_",     "gho_",     "ghs_",     "ghu_",     "hf_",        "xox", "AKIA",
        "ASIA",     "AIza",     "whsec_",   "glpat-",   "github_pat_"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        size_t len = strlen(heads[i]);
        if (len < part.len && memcmp(part.ptr, heads[i], len) == 0) return true;
    }
    return false;
}

/* Whether a long part has so many letters in a row as no word has, or in cases that change as those of words do not:
 * aNameLikeThis is words. */
static __attribute__((noinline)) bool is_token(fe_bytes part)
{
    size_t letters = 0, word = 0, humps = 0;
    if (begins_as_a_token(part)) return true;
    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = part.ptr[i];
        if (!is_upper(c) && !is_lower(c)) {
            letters = word = humps = 0;
            continue;
        }
        bool is_hump = letters > 0 && is_upper(c) && is_lower(part.ptr[i - 1]);
        humps += is_hump;
        letters++;
        word = is_hump ? 1 : word + 1;
        if (word >= OPAQUE_MIN) return true;
        if (letters >= OPAQUE_MIN && humps * HUMP_LETTERS_MIN > letters) return true;
    }
    return false;
}

/* Whether a whole part is an identifier, by the kinds of its bytes. */
static bool is_opaque(unsigned found, fe_bytes part)
{
    if (found & STRANGE) return true;
    if (FE_UNLIKELY(part.len >= OPAQUE_MIN)) return (found & DIGIT) || is_token(part);
    return (found & DIGIT) && part.len >= HEX_MIN && !(found & NOT_HEX);
}

/* Whether somebody's address is in the segment, as it is or as it is in a URL. */
static __attribute__((noinline)) bool has_address(const uint8_t *at, const uint8_t *end)
{
    for (; at < end; at++)
        if (*at == '@' || (end - at > 2 && memcmp(at, "%40", 3) == 0)) return true;
    return false;
}

/* Where the value or query ends whose sign is before `at`. */
static const uint8_t *skip_value(unsigned kind, const uint8_t *at, const uint8_t *end)
{
    if (kind == QUERY) return end;
    while (at < end && kinds[*at] != SEPARATOR && kinds[*at] != QUERY)
        at++;
    return at;
}

/* A pattern while it is written: keys as long as there is room; what is masked takes no more than what it stands for. */
typedef struct pattern {
    const uint8_t *at, *end;
    uint8_t *to, *full;
    unsigned found;  /* kinds of the bytes of the last part */
    unsigned before; /* kind of the byte before this one */
    unsigned kind;   /* of the byte behind it, which may be the end of the key */
} pattern;

static pattern pattern_of(fe_bytes key, uint8_t out[FE_TEXT_KEY_MAX])
{
    /* A key that is longer than what is shown is judged by its beginning. */
    size_t len = key.len < 2 * FE_TEXT_KEY_MAX ? key.len : 2 * FE_TEXT_KEY_MAX;
    return (pattern){.at = key.ptr, .end = key.ptr + len, .to = out, .full = out + FE_TEXT_KEY_MAX};
}

/* Writes bytes of a part until it ends; `has_room`: there is room for all of them. */
static inline __attribute__((always_inline)) void put_bytes(pattern *it, const uint8_t *end,
                                                            bool has_room)
{
    for (; it->at < end; it->at++) {
        it->kind = kinds[*it->at];
        if (it->kind >= DOT) break;
        it->found |= it->kind;
        bool repeats = it->kind == DIGIT && it->before == DIGIT;
        it->before = it->kind;
        if (!repeats && (has_room || it->to < it->full))
            *it->to++ = it->kind == DIGIT ? '*' : *it->at;
    }
}

/* Writes the next part, and the byte behind it, which the pattern then is at. */
static inline __attribute__((always_inline)) pattern put_part(pattern it)
{
    const uint8_t *part = it.at;
    uint8_t *part_out = it.to;
    const uint8_t *sure = it.end - it.at <= it.full - it.to ? it.end : it.at + (it.full - it.to);
    it.found = it.before = it.kind = 0;
    put_bytes(&it, sure, true);
    if (FE_UNLIKELY(it.at == sure && sure < it.end)) put_bytes(&it, it.end, false);
    if (is_opaque(it.found, (fe_bytes){part, (size_t)(it.at - part)}) && part_out < it.full) {
        it.to = part_out;
        *it.to++ = '*';
    }
    if (it.at < it.end && it.to < it.full) *it.to++ = *it.at;
    return it;
}

/* The pattern of a key that may hold an address, a value or a query, or more than there is room for. */
static __attribute__((noinline)) size_t careful_pattern(fe_bytes key, uint8_t out[FE_TEXT_KEY_MAX])
{
    pattern it = pattern_of(key, out);
    const uint8_t *segment = it.at;
    uint8_t *segment_out = it.to;
    unsigned found = 0;
    bool is_over = true;
    while (it.at < it.end && (it.to < it.full || !is_over)) {
        it = put_part(it);
        found |= it.found;
        is_over = it.at + 1 >= it.end || it.kind != DOT;
        if (is_over && (found & ODD) && has_address(segment, it.at)) {
            it.to = segment_out;
            *it.to++ = '*';
            if (it.at < it.end && it.to < it.full) *it.to++ = *it.at;
        }
        it.at++;
        if (it.kind > SEPARATOR && it.at < it.end) {
            const uint8_t *value = it.at;
            it.at = skip_value(it.kind, value, it.end);
            if (it.at > value && it.to < it.full) *it.to++ = '*';
        }
        if (!is_over) continue;
        segment = it.at;
        segment_out = it.to;
        found = 0;
    }
    return (size_t)(it.to - out);
}

size_t fe_texts_pattern(fe_bytes key, uint8_t out[FE_TEXT_KEY_MAX])
{
    pattern it = pattern_of(key, out);
    unsigned seen = 0;
    for (; it.at < it.end && it.to < it.full; it.at++) {
        it = put_part(it);
        seen |= it.found | it.kind;
    }
    if (FE_UNLIKELY((seen & (ODD | VALUE | QUERY)) || it.to == it.full))
        return careful_pattern(key, out);
    return (size_t)(it.to - out);
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
