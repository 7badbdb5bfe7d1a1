/* See context.h. */
#include "event/context.h"

#define ONES 0x0101010101010101ULL
#define MEMBERS_MAX 32u
#define KEY_MAX 256u
#define VALUE_MAX 256u

/* Eight hexadecimal digits as four bytes, in their order in memory; false when one is none of 0-9a-f. */
static bool read_hex8(const uint8_t *text, uint8_t out[4])
{
    uint64_t x;
    memcpy(&x, text, 8);
    if ((x & ONES * 0x80) != 0) return false;
    uint64_t letters = x >> 6 & ONES;
    uint64_t v = (x & ONES * 15) + letters * 9;
    uint64_t printed = v + ONES * '0' + ((v + ONES * 6) >> 4 & ONES) * ('a' - '0' - 10);
    if (printed != x || (v & ONES * 0xf0) != 0) return false;
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)((v & 15) << 4 | (v >> 8 & 15));
        v >>= 16;
    }
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two digits; -1 when one is wrong. */
static int read_hex2(const uint8_t *text)
{
    int high = hex_digit(text[0]), low = hex_digit(text[1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool fe_traceparent_read(fe_bytes text, fe_trace_parent *parent)
{
    const uint8_t *at = text.ptr;
    if (text.len < FE_TRACEPARENT_LEN) return false;
    int version = read_hex2(at), flags = read_hex2(at + 53);
    if (version < 0 || version == 0xff || flags < 0) return false;
    if (at[2] != '-' || at[35] != '-' || at[52] != '-') return false;
    if (text.len > FE_TRACEPARENT_LEN && (version == 0 || at[FE_TRACEPARENT_LEN] != '-'))
        return false;
    fe_trace_parent read = {.flags = (uint8_t)(flags & (FE_PARENT_SAMPLED | FE_PARENT_RANDOM))};
    uint8_t span[8];
    for (uint32_t i = 0; i < 4; i++)
        if (!read_hex8(at + 3 + 8 * i, read.trace_id + 4 * i)) return false;
    for (uint32_t i = 0; i < 2; i++)
        if (!read_hex8(at + 36 + 8 * i, span + 4 * i)) return false;
    uint64_t halves[2];
    memcpy(halves, read.trace_id, 16);
    for (uint32_t i = 0; i < 8; i++)
        read.span_id = read.span_id << 8 | span[i];
    if ((halves[0] | halves[1]) == 0 || read.span_id == 0) return false;
    *parent = read;
    return true;
}

/* tracestate. ------------------------------------------------------------------------------------ */

static fe_bytes trim(fe_bytes text)
{
    while (text.len > 0 && (*text.ptr == ' ' || *text.ptr == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Takes what is in front of the first `separator`, trimmed, off the text; false when nothing is left. */
static bool next_part(fe_bytes *text, uint8_t separator, fe_bytes *part)
{
    if (text->ptr == NULL) return false;
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->ptr, separator, text->len);
    if (end == NULL) {
        *part = trim(*text);
        *text = (fe_bytes){NULL, 0};
        return true;
    }
    size_t len = (size_t)(end - text->ptr);
    *part = trim((fe_bytes){text->ptr, len});
    *text = (fe_bytes){end + 1, text->len - len - 1};
    return true;
}

static bool is_state_key(fe_bytes key)
{
    if (key.len == 0 || key.len > KEY_MAX) return false;
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool mark = c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
        if (!plain && (i == 0 || !mark)) return false;
    }
    return true;
}

static bool is_state_value(fe_bytes value)
{
    if (value.len == 0 || value.len > VALUE_MAX) return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < ' ' || value.ptr[i] > '~' || value.ptr[i] == '=') return false;
    return true;
}

/* Splits at the first '='; false when there is none. */
static bool split(fe_bytes member, fe_bytes *name, fe_bytes *value)
{
    const uint8_t *equals = member.len == 0 ? NULL : memchr(member.ptr, '=', member.len);
    if (equals == NULL) return false;
    size_t len = (size_t)(equals - member.ptr);
    *name = (fe_bytes){member.ptr, len};
    *value = (fe_bytes){equals + 1, member.len - len - 1};
    return true;
}

bool fe_tracestate_is_valid(fe_bytes text)
{
    if (text.len == 0 || text.len > FE_TRACESTATE_MAX) return false;
    fe_bytes keys[MEMBERS_MAX], member, value;
    uint32_t count = 0;
    while (next_part(&text, ',', &member)) {
        if (member.len == 0) continue; /* allowed, and says nothing */
        if (count == MEMBERS_MAX || !split(member, &keys[count], &value)) return false;
        if (!is_state_key(keys[count]) || !is_state_value(value)) return false;
        for (uint32_t i = 0; i < count; i++)
            if (fe_bytes_equal(keys[i], keys[count])) return false;
        count++;
    }
    return count > 0;
}

/* Baggage. --------------------------------------------------------------------------------------- */

static bool is_token(fe_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("(),/:;<=>?@[\\]{}\"", c) != NULL) return false;
    }
    return name.len > 0;
}

static bool is_baggage_value(fe_bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\') return false;
    }
    return true;
}

static bool is_listed(fe_bytes list, fe_bytes name)
{
    fe_bytes part;
    while (next_part(&list, ',', &part))
        if (part.len > 0 && fe_bytes_equal(part, name)) return true;
    return false;
}

/* Whether "a=1,b=2" has a member of this name. */
static bool has_member(fe_bytes members, fe_bytes name)
{
    fe_bytes member, its_name, value;
    while (next_part(&members, ',', &member))
        if (split(member, &its_name, &value) && fe_bytes_equal(its_name, name)) return true;
    return false;
}

size_t fe_baggage_pick(fe_bytes header, fe_bytes allowed, uint8_t *out, size_t cap)
{
    if (header.len > FE_BAGGAGE_MAX || header.len == 0 || allowed.len == 0) return 0;
    size_t written = 0;
    uint32_t members = 0;
    fe_bytes member, pair, name, value;
    while (members++ < FE_BAGGAGE_MEMBERS_MAX && next_part(&header, ',', &member)) {
        if (!next_part(&member, ';', &pair) || !split(pair, &name, &value)) continue;
        name = trim(name);
        value = trim(value);
        if (!is_token(name) || !is_baggage_value(value) || !is_listed(allowed, name)) continue;
        size_t len = (written > 0) + name.len + 1 + value.len;
        if (len > cap - written) continue;
        if (written > 0 && has_member((fe_bytes){out, written}, name)) continue;
        if (written > 0) out[written++] = ',';
        memcpy(out + written, name.ptr, name.len);
        written += name.len;
        out[written++] = '=';
        if (value.len > 0) memcpy(out + written, value.ptr, value.len);
        written += value.len;
    }
    return written;
}

/* Ids. ------------------------------------------------------------------------------------------- */

static void print_byte(char *out, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    out[0] = digits[byte >> 4];
    out[1] = digits[byte & 15];
}

void fe_trace_id_print(char out[32], const uint8_t trace_id[16])
{
    for (int i = 0; i < 16; i++)
        print_byte(out + (size_t)(2 * i), trace_id[i]);
}

void fe_span_id_print(char out[16], uint64_t span_id)
{
    for (int i = 0; i < 8; i++)
        print_byte(out + (size_t)(2 * i), (uint8_t)(span_id >> (56 - 8 * i)));
}
