/* A borrowed run of bytes: pointer and length, no terminator, no ownership. */
#ifndef FE_BASE_BYTES_H
#define FE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct fe_bytes {
    const uint8_t *ptr;
    size_t len;
} fe_bytes;

#define FE_BYTES(literal) ((fe_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline bool fe_bytes_equal(fe_bytes a, fe_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Whether `a` equals the C string `word` without regard to ASCII case. */
static inline bool fe_bytes_is_word(fe_bytes a, const char *word)
{
    for (size_t i = 0; i < a.len; i++) {
        uint8_t c = a.ptr[i];
        uint8_t w = (uint8_t)word[i];
        if (c >= 'A' && c <= 'Z') c = (uint8_t)(c + 32);
        if (w >= 'A' && w <= 'Z') w = (uint8_t)(w + 32);
        if (c != w || w == 0) return false;
    }
    return word[a.len] == 0;
}

#endif
