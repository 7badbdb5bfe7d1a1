/* value/lzf: what is compressed comes back, what others compressed is understood, and damage is
 * refused within bounds. */
#include "value/lzf.h"

#include "tests/check.h"
#include "tests/value/seed.h"

static fe_random random_state;

enum { LEN_MAX = 20000 };

/* Bytes with repetitions at all distances: literals from a small or large alphabet between
 * copies. */
static size_t random_text(uint8_t *out)
{
    size_t len = (size_t)fe_random_below(&random_state, LEN_MAX);
    uint64_t alphabet = fe_random_below(&random_state, 2) ? 3 : 256;

    for (size_t at = 0; at < len;) {
        bool copy = at > 0 && fe_random_below(&random_state, 3) != 0;
        size_t run = (size_t)fe_random_below(&random_state, copy ? 400 : 50) + 1;
        size_t back = copy ? (size_t)fe_random_below(&random_state, at) + 1 : 0;
        for (; run > 0 && at < len; run--, at++) {
            out[at] = copy ? out[at - back] : (uint8_t)fe_random_below(&random_state, alphabet);
        }
    }
    return len;
}

TEST(compressed_text_comes_back)
{
    static uint8_t text[LEN_MAX], packed[LEN_MAX * 2], back[LEN_MAX];
    size_t text_bytes = 0, packed_bytes = 0;

    for (int round = 0; round < 1000; round++) {
        fe_bytes in = {text, random_text(text)};

        size_t len = fe_lzf_compress(in, packed, sizeof packed);

        CHECK((len == 0) == (in.len == 0));
        CHECK(in.len <= fe_lzf_decompressed_max(len));
        CHECK(fe_lzf_decompress((fe_bytes){packed, len}, back, in.len));
        CHECK(memcmp(text, back, in.len) == 0);
        text_bytes += in.len;
        packed_bytes += len;
    }
    CHECK(packed_bytes < text_bytes / 3);
}

TEST(compressing_stops_at_the_room_that_there_is)
{
    static uint8_t text[LEN_MAX], packed[LEN_MAX * 2], tight[LEN_MAX * 2];

    for (int round = 0; round < 300; round++) {
        fe_bytes in = {text, random_text(text)};
        size_t len = fe_lzf_compress(in, packed, sizeof packed);
        if (len == 0) continue;
        size_t less = (size_t)fe_random_below(&random_state, len);
        tight[len] = tight[less] = 0x5A;

        CHECK_INT(0, fe_lzf_compress(in, tight, less));
        CHECK_INT(0x5A, tight[less]);
        CHECK_INT(len, fe_lzf_compress(in, tight, len));
        CHECK_INT(0x5A, tight[len]);
        CHECK(memcmp(packed, tight, len) == 0);
    }
}

TEST(literals_short_and_long_references_and_overlaps_are_understood)
{
    static const uint8_t packed[] = {
        2,    'a', 'b', 'c', /* abc */
        0x20, 2,             /* 3 bytes from 3 back: abc */
        0xE0, 1,   0,        /* 10 bytes from 1 back: ten c */
        0,    'z',           /* z */
    };
    uint8_t out[17];

    CHECK(fe_lzf_decompress((fe_bytes){packed, sizeof packed}, out, sizeof out));

    CHECK_BYTES("abcabcccccccccccz", 17, out, sizeof out);
}

TEST(damage_is_refused)
{
    static const struct {
        const char *bytes;
        size_t len, out_len;
    } cases[] = {
        {"\x01z", 2, 2},          /* a literal run cut off */
        {"\x00z\x20", 3, 4},      /* a reference cut off */
        {"\x00z\xe0\x00", 4, 10}, /* a long reference cut off */
        {"\x00z\x20\x01", 4, 4},  /* a reference before the start */
        {"\x20\x00", 2, 3},       /* a reference with nothing before it */
        {"\x00z\x20\x00", 4, 3},  /* longer than it says */
        {"\x00z\x20\x00", 4, 5},  /* shorter than it says */
        {"\x02zzz", 4, 2},        /* literals longer than it says */
        {"", 0, 1},
    };
    uint8_t out[16];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fe_bytes in = {(const uint8_t *)cases[i].bytes, cases[i].len};
        CHECK(!fe_lzf_decompress(in, out, cases[i].out_len));
    }
    CHECK(fe_lzf_decompress((fe_bytes){NULL, 0}, out, 0));
}

/* Exact allocations let the sanitizers see one byte too many. */
TEST(random_bytes_never_overrun)
{
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)fe_random_below(&random_state, 40) + 1;
        size_t out_len = (size_t)fe_random_below(&random_state, 300) + 1;
        uint8_t *in = malloc(len), *out = malloc(out_len);
        seed_fill(&random_state, in, len, (unsigned)fe_random_below(&random_state, 3));

        if (fe_lzf_decompress((fe_bytes){in, len}, out, out_len)) {
            CHECK(out_len <= fe_lzf_decompressed_max(len));
        }
        free(in);
        free(out);
    }
}

int main(int argc, char **argv)
{
    random_state = seed_random(argc, argv);
    RUN(compressed_text_comes_back);
    RUN(compressing_stops_at_the_room_that_there_is);
    RUN(literals_short_and_long_references_and_overlaps_are_understood);
    RUN(damage_is_refused);
    RUN(random_bytes_never_overrun);
    return check_done();
}
