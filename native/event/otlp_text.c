/* The texts of spans. Clients send any bytes; protobuf's strings are UTF-8, and a receiver refuses a
 * whole request for one bad byte. */
#include "event/otlp_text.h"

#define PORT_MAX 65535u

bool fe_otlp_text_read(const fe_trace_record *record, fe_bytes texts[FE_TEXT_COUNT])
{
    for (int i = 0; i < FE_TEXT_COUNT; i++)
        texts[i] = (fe_bytes){0};
    const uint8_t *tail = (const uint8_t *)(record + 1);
    size_t at = 0;
    while (at + 4 <= record->tail_len && tail[at] != FE_TEXT_END) {
        uint16_t len;
        memcpy(&len, tail + at + 2, 2);
        uint8_t type = tail[at];
        at += 4;
        if (at + len > record->tail_len) return false;
        if (type < FE_TEXT_COUNT && texts[type].ptr == NULL)
            texts[type] = (fe_bytes){tail + at, len};
        at += (len + 3u) & ~3u;
    }
    return true;
}

static bool is_rest(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The bytes of the character at `p`, of which `len` (> 0) are there; 0 when it is none. */
static uint32_t character_len(const uint8_t *p, size_t len)
{
    uint8_t first = p[0];
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    if (first < 0xe0) return len >= 2 && is_rest(p[1]) ? 2 : 0;
    /* The second byte's range keeps out what is too long, surrogates and what is beyond U+10FFFF. */
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (len < 3 || p[1] < low || p[1] > high || !is_rest(p[2])) return 0;
    if (first < 0xf0) return 3;
    return len >= 4 && is_rest(p[3]) ? 4 : 0;
}

bool fe_otlp_text_is_plain(fe_bytes text, uint32_t max)
{
    const uint8_t *p = text.ptr;
    uint64_t seen = 0;
    size_t i = 0;
    for (; i + 8 <= text.len; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        seen |= word;
    }
    uint8_t rest = 0;
    for (; i < text.len; i++)
        rest |= p[i];
    return text.len <= max && ((seen & UINT64_C(0x8080808080808080)) | (rest & 0x80)) == 0;
}

uint8_t *fe_otlp_text_copy(uint8_t *at, fe_bytes text, uint32_t max)
{
    if (fe_otlp_text_is_plain(text, max)) {
        if (text.len > 0) memcpy(at, text.ptr, text.len);
        return at + text.len;
    }
    size_t i = 0;
    for (uint32_t count = 0; i < text.len && count < max; count++) {
        uint32_t len = character_len(text.ptr + i, text.len - i);
        memcpy(at, len > 0 ? text.ptr + i : (const uint8_t *)"\xef\xbf\xbd", len > 0 ? len : 3);
        at += len > 0 ? len : 3;
        i += len > 0 ? len : 1;
    }
    return at;
}

static int digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

uint8_t *fe_otlp_text_decode(uint8_t *at, fe_bytes text, uint32_t max)
{
    uint8_t plain[FE_TRACE_TAIL_MAX];
    size_t len = 0;
    for (size_t i = 0; i < text.len && len < sizeof plain; i++) {
        int high = text.ptr[i] == '%' && i + 2 < text.len ? digit(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? digit(text.ptr[i + 2]) : -1;
        plain[len++] = (uint8_t)(low >= 0 ? high << 4 | low : text.ptr[i]);
        if (low >= 0) i += 2;
    }
    return fe_otlp_text_copy(at, (fe_bytes){plain, len}, max);
}

fe_bytes fe_otlp_text_decimal(uint8_t out[FE_OTLP_DECIMAL_MAX], uint64_t number)
{
    uint8_t *at = out + FE_OTLP_DECIMAL_MAX;
    do {
        *--at = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (fe_bytes){at, (size_t)(out + FE_OTLP_DECIMAL_MAX - at)};
}

fe_bytes fe_otlp_text_host(fe_bytes address, uint32_t *port)
{
    *port = 0;
    bool is_path = address.len > 0 && address.ptr[0] == '/';
    if (is_path && address.len > 2 && memcmp(address.ptr + address.len - 2, ":0", 2) == 0)
        return (fe_bytes){address.ptr, address.len - 2};
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    if (colon <= 1 || colon == address.len || is_path) return address;
    uint32_t number = 0;
    for (size_t i = colon; i < address.len; i++) {
        uint8_t byte = address.ptr[i];
        if (byte < '0' || byte > '9' || number > PORT_MAX) return address;
        number = number * 10 + (uint32_t)(byte - '0');
    }
    if (number > PORT_MAX) return address;
    *port = number;
    fe_bytes host = {address.ptr, colon - 1};
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = (fe_bytes){host.ptr + 1, host.len - 2};
    return host;
}

bool fe_otlp_text_member(fe_bytes *rest, fe_bytes *name, fe_bytes *value)
{
    while (rest->len > 0) {
        const uint8_t *comma = memchr(rest->ptr, ',', rest->len);
        size_t len = comma != NULL ? (size_t)(comma - rest->ptr) : rest->len;
        const uint8_t *equals = memchr(rest->ptr, '=', len);
        fe_bytes member = {rest->ptr, len};
        size_t skip = comma != NULL ? len + 1 : len;
        *rest = (fe_bytes){rest->ptr + skip, rest->len - skip};
        if (equals == NULL || equals == member.ptr) continue;
        size_t name_len = (size_t)(equals - member.ptr);
        *name = (fe_bytes){member.ptr, name_len};
        *value = (fe_bytes){equals + 1, member.len - name_len - 1};
        return true;
    }
    return false;
}
