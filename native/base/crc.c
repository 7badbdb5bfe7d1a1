/* CRC-64 (Jones polynomial ad93d23594c935a9, reflected, no inversion) and CRC-32C (Castagnoli
 * 1edc6f41, reflected, inverted before and after).
 *
 * Tables: a CRC is linear, so the entry of a byte is the exclusive or of the entries of its bits.
 * Each table therefore has eight constants, the entries of 1, 2, 4 .. 128, and the preprocessor
 * combines them; the tables are constant data. Table k is the effect of a byte with k zero bytes
 * after it, so that eight look-ups advance eight bytes at once (Kounavis and Berry, "slicing-by-8",
 * 2005).
 *
 * CRC-32C uses the instruction of SSE 4.2 or ARMv8 where the processor has it, which is asked at run
 * time: the C library keeps the answer.
 *
 * Pure functions.
 */
#include "base/crc.h"

#include <endian.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define ENTRY(i, b0, b1, b2, b3, b4, b5, b6, b7)                                                   \
    (((i)&1 ? (b0) : 0) ^ ((i)&2 ? (b1) : 0) ^ ((i)&4 ? (b2) : 0) ^ ((i)&8 ? (b3) : 0) ^           \
     ((i)&16 ? (b4) : 0) ^ ((i)&32 ? (b5) : 0) ^ ((i)&64 ? (b6) : 0) ^ ((i)&128 ? (b7) : 0))
#define ENTRIES_4(i, ...)                                                                          \
    ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__),               \
        ENTRY((i) + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4((i) + 4, __VA_ARGS__), ENTRIES_4((i) + 8, __VA_ARGS__),   \
        ENTRIES_4((i) + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16((i) + 16, __VA_ARGS__),                                 \
        ENTRIES_16((i) + 32, __VA_ARGS__), ENTRIES_16((i) + 48, __VA_ARGS__)
#define ENTRIES_256(...)                                                                           \
    ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__),         \
        ENTRIES_64(192, __VA_ARGS__)

/* clang-format off */
static const uint64_t table64[8][256] = {
    {ENTRIES_256(UINT64_C(0x7ad870c830358979), UINT64_C(0xf5b0e190606b12f2),
                 UINT64_C(0xc038e5739841b68f), UINT64_C(0xab28ecb46814fe75),
                 UINT64_C(0x7d08ff3b88be6f81), UINT64_C(0xfa11fe77117cdf02),
                 UINT64_C(0xdf7adabd7a6e2d6f), UINT64_C(0x95ac9329ac4bc9b5))},
    {ENTRIES_256(UINT64_C(0x89e99ffd73bddf69), UINT64_C(0x388a19a9bfec2db9),
                 UINT64_C(0x711433537fd85b72), UINT64_C(0xe22866a6ffb0b6e4),
                 UINT64_C(0xef09eb1ea7f6fea3), UINT64_C(0xf54af06e177a6e2d),
                 UINT64_C(0xc1ccc68f76634f31), UINT64_C(0xa8c0ab4db4510d09))},
    {ENTRIES_256(UINT64_C(0xf4125129ce4038be), UINT64_C(0xc37d8400c417e217),
                 UINT64_C(0xada22e52d0b85745), UINT64_C(0x701d7af6f9e73de1),
                 UINT64_C(0xe03af5edf3ce7bc2), UINT64_C(0xeb2ccd88bf0b64ef),
                 UINT64_C(0xfd00bd4226815ab5), UINT64_C(0xd1585cd715952601))},
    {ENTRIES_256(UINT64_C(0x8ce168638c796306), UINT64_C(0x329bf69440655567),
                 UINT64_C(0x6537ed2880caaace), UINT64_C(0xca6fda510195559c),
                 UINT64_C(0xbf8692f15bbd3853), UINT64_C(0x545403b1efede3cd),
                 UINT64_C(0xa8a80763dfdbc79a), UINT64_C(0x7a092894e7201c5f))},
    {ENTRIES_256(UINT64_C(0x3504e58b9ba6dd1e), UINT64_C(0x6a09cb17374dba3c),
                 UINT64_C(0xd413962e6e9b7478), UINT64_C(0x837e0a0f85a17b9b),
                 UINT64_C(0x2da5324c53d5645d), UINT64_C(0x5b4a6498a7aac8ba),
                 UINT64_C(0xb694c9314f559174), UINT64_C(0x4670b431c63cb183))},
    {ENTRIES_256(UINT64_C(0xe39d1389931b9354), UINT64_C(0xec6301407ea0b5c3),
                 UINT64_C(0xf39f24d3a5d6f8ed), UINT64_C(0xcc676ff4133a62b1),
                 UINT64_C(0xb397f9bb7ee35609), UINT64_C(0x4c76d525a5513f79),
                 UINT64_C(0x98edaa4b4aa27ef2), UINT64_C(0x1a8272c5cdd36e8f))},
    {ENTRIES_256(UINT64_C(0x62a95de6e302eff2), UINT64_C(0xc552bbcdc605dfe4),
                 UINT64_C(0xa1fc51c8d49c2ca3), UINT64_C(0x68a185c2f1afca2d),
                 UINT64_C(0xd1430b85e35f945a), UINT64_C(0x89df31589e28bbdf),
                 UINT64_C(0x38e744e264c6e4d5), UINT64_C(0x71ce89c4c98dc9aa))},
    {ENTRIES_256(UINT64_C(0x381d0015c96f4444), UINT64_C(0x703a002b92de8888),
                 UINT64_C(0xe074005725bd1110), UINT64_C(0xebb126fd13edb14b),
                 UINT64_C(0xfc3b6ba97f4cf1fd), UINT64_C(0xd32ff101a60e7091),
                 UINT64_C(0x8d06c450148b7249), UINT64_C(0x3154aef3718177f9))},
};

static const uint32_t table32[8][256] = {
    {ENTRIES_256(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu,
                 0x417b1dbcu, 0x82f63b78u)},
    {ENTRIES_256(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u,
                 0xff17c604u, 0xfbc3faf9u)},
    {ENTRIES_256(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u,
                 0xc76580d9u, 0x8b277743u)},
    {ENTRIES_256(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu,
                 0xaba65fe7u, 0x52a0c93fu)},
    {ENTRIES_256(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u,
                 0x37516aaeu, 0x6ea2d55cu)},
    {ENTRIES_256(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du,
                 0x0e045bebu, 0x1c08b7d6u)},
    {ENTRIES_256(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu,
                 0x7ab7077au, 0xf56e0ef4u)},
    {ENTRIES_256(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u,
                 0x1a00cb32u, 0x34019664u)},
};
/* clang-format on */

static inline uint64_t load64(const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return le64toh(word);
}

uint64_t fe_crc64(uint64_t crc, const uint8_t *data, size_t len)
{
    for (; len >= 8; data += 8, len -= 8) {
        crc ^= load64(data);
        crc = table64[7][crc & 255] ^ table64[6][crc >> 8 & 255] ^ table64[5][crc >> 16 & 255] ^
              table64[4][crc >> 24 & 255] ^ table64[3][crc >> 32 & 255] ^
              table64[2][crc >> 40 & 255] ^ table64[1][crc >> 48 & 255] ^ table64[0][crc >> 56];
    }
    for (; len > 0; data++, len--)
        crc = crc >> 8 ^ table64[0][(crc ^ *data) & 255];
    return crc;
}

static uint32_t crc32c_table(uint32_t crc, const uint8_t *data, size_t len)
{
    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word = load64(data) ^ crc;
        crc = table32[7][word & 255] ^ table32[6][word >> 8 & 255] ^ table32[5][word >> 16 & 255] ^
              table32[4][word >> 24 & 255] ^ table32[3][word >> 32 & 255] ^
              table32[2][word >> 40 & 255] ^ table32[1][word >> 48 & 255] ^ table32[0][word >> 56];
    }
    for (; len > 0; data++, len--)
        crc = crc >> 8 ^ table32[0][(crc ^ *data) & 255];
    return crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t
crc32c_instruction(uint32_t crc, const uint8_t *data, size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; data += 8, len -= 8)
        wide = __builtin_ia32_crc32di(wide, load64(data));
    crc = (uint32_t)wide;
    for (; len > 0; data++, len--)
        crc = __builtin_ia32_crc32qi(crc, *data);
    return crc;
}

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

#elif defined(__aarch64__)

#define HAS_CRC32 (1ul << 7) /* HWCAP_CRC32 of the kernel's interface */

/* In assembly, because compilers differ in how a function may ask for the instruction. */
static inline uint32_t arm_crc32cx(uint32_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    return crc;
}

static inline uint32_t arm_crc32cb(uint32_t crc, uint32_t byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
    return crc;
}

static uint32_t crc32c_instruction(uint32_t crc, const uint8_t *data, size_t len)
{
    for (; len >= 8; data += 8, len -= 8)
        crc = arm_crc32cx(crc, load64(data));
    for (; len > 0; data++, len--)
        crc = arm_crc32cb(crc, *data);
    return crc;
}

static bool has_instruction(void)
{
    return (getauxval(AT_HWCAP) & HAS_CRC32) != 0;
}

#else

static uint32_t crc32c_instruction(uint32_t crc, const uint8_t *data, size_t len)
{
    return crc32c_table(crc, data, len);
}

static bool has_instruction(void)
{
    return false;
}

#endif

uint32_t fe_crc32c(uint32_t crc, const uint8_t *data, size_t len)
{
    crc = ~crc;
    crc = has_instruction() ? crc32c_instruction(crc, data, len) : crc32c_table(crc, data, len);
    return ~crc;
}
