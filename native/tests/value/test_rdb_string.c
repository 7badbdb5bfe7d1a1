/* value/rdb_string: payloads of redis-server 7.0.15, every encoding at its edges, and damage behind
 * a footer that is right. */
#include "value/rdb_string.h"

#include "base/crc.h"
#include "tests/check.h"
#include "tests/value/seed.h"

static fe_random random_state;
static fe_alloc allocator;

enum { LEN_MAX = 512 * 1024 * 1024 };

static fe_buf empty_buf(void)
{
    fe_buf buf;
    fe_buf_init(&buf, &allocator, FE_ALLOC_SCRATCH);
    return buf;
}

/* A body with the footer that belongs to it. */
static fe_buf sealed(fe_bytes body, unsigned version)
{
    fe_buf payload = empty_buf();
    fe_buf_append(&payload, body.ptr, body.len);
    fe_buf_append_byte(&payload, (uint8_t)version);
    fe_buf_append_byte(&payload, (uint8_t)(version >> 8));
    uint64_t crc = fe_crc64(0, payload.data, payload.len);
    for (int i = 0; i < 64; i += 8)
        fe_buf_append_byte(&payload, (uint8_t)(crc >> i));
    return payload;
}

static fe_rdb_status restore_sealed(fe_bytes body, size_t len_max, fe_buf *value)
{
    uint8_t type = 0;
    fe_buf payload = sealed(body, FE_RDB_VERSION);
    fe_rdb_status status = fe_rdb_string_restore(fe_buf_view(&payload), len_max, value, &type);
    fe_buf_free(&payload);
    return status;
}

typedef struct golden {
    fe_bytes payload, value;
    bool packed_alike; /* our own payload has the same body */
} golden;

static const golden goldens[] = {
    {FE_BYTES("\x00\x05hello\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a"), FE_BYTES("hello"), true},
    {FE_BYTES("\x00\xc0\xfb\x0a\x00\x49\xc4\xc6\xf4\xd7\x26\x3f\x68"), FE_BYTES("-5"), true},
    {FE_BYTES("\x00\xc1\xe8\x03\x0a\x00\x89\xd1\x47\x8e\xba\xc4\xb7\x64"), FE_BYTES("1000"), true},
    {FE_BYTES("\x00\xc2\x00\x00\x00\x80\x0a\x00\xc7\x4f\x87\x3e\x33\x55\x81\x87"),
     FE_BYTES("-2147483648"), true},
    {FE_BYTES("\x00\xc3\x1e\x28\x15the quick brown fox, t\xe0\x06\x14\x02"
              "dog\x0a\x00\xbd\x27\xd2\x98\x1e\x6b\x70\x25"),
     FE_BYTES("the quick brown fox, the quick brown dog"), false},
};

TEST(payloads_of_redis_are_understood)
{
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        const golden *g = &goldens[i];
        fe_buf value = empty_buf();
        uint8_t type;

        CHECK_INT(FE_RDB_OK, fe_rdb_string_restore(g->payload, LEN_MAX, &value, &type));

        CHECK_BYTES(g->value.ptr, g->value.len, value.data, value.len);
        fe_buf_free(&value);
    }
}

TEST(payloads_are_those_of_redis_but_for_version_and_compression)
{
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        const golden *g = &goldens[i];
        fe_buf payload = empty_buf();
        if (!g->packed_alike) continue;

        fe_rdb_string_dump(&payload, g->value);

        CHECK_INT(g->payload.len, payload.len);
        CHECK(memcmp(g->payload.ptr, payload.data, payload.len - 10) == 0);
        CHECK_BYTES("\x0b\x00", 2, payload.data + payload.len - 10, 2);
        fe_buf_free(&payload);
    }
}

/* Dumps behind other bytes, restores behind other bytes; returns the payload's length. */
static size_t check_round_trip(fe_bytes in)
{
    fe_buf payload = empty_buf(), value = empty_buf();
    uint8_t type;
    fe_buf_append(&payload, "abc", 3);
    fe_buf_append(&value, "xy", 2);

    fe_rdb_string_dump(&payload, in);
    fe_bytes view = {payload.data + 3, payload.len - 3};
    CHECK_INT(FE_RDB_OK, fe_rdb_string_restore(view, LEN_MAX, &value, &type));

    CHECK_INT(in.len + 2, value.len);
    CHECK(memcmp(value.data, "xy", 2) == 0);
    CHECK(in.len == 0 || memcmp(in.ptr, value.data + 2, in.len) == 0);
    fe_buf_free(&payload);
    fe_buf_free(&value);
    return view.len;
}

TEST(integers_are_packed_when_they_are_canonical)
{
    static const struct {
        const char *text;
        size_t body_len;
    } cases[] = {
        {"0", 3},
        {"127", 3},
        {"-128", 3},
        {"128", 4},
        {"-129", 4},
        {"32767", 4},
        {"-32768", 4},
        {"32768", 6},
        {"-32769", 6},
        {"2147483647", 6},
        {"-2147483648", 6},
        {"2147483648", 12},
        {"-2147483649", 13},
        {"007", 5},
        {"+1", 4},
        {"-0", 4},
        {" 1", 4},
        {"", 2},
        {"-", 3},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fe_bytes value = {(const uint8_t *)cases[i].text, strlen(cases[i].text)};
        CHECK_INT(cases[i].body_len + 10, check_round_trip(value));
    }
}

TEST(every_length_form_comes_back)
{
    static const size_t lens[] = {0, 1, 20, 21, 63, 64, 255, 16383, 16384, 70000};
    static uint8_t bytes[70000];

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        size_t head = lens[i] < 64 ? 1 : lens[i] < 16384 ? 2 : 5;
        seed_fill(&random_state, bytes, sizeof bytes, 2);
        if (lens[i] == 1) bytes[0] = 'x';
        CHECK_INT(1 + head + lens[i] + 10, check_round_trip((fe_bytes){bytes, lens[i]}));
        memset(bytes, 'a', sizeof bytes);
        size_t len = check_round_trip((fe_bytes){bytes, lens[i]});
        CHECK(lens[i] < 21 ? len == 1 + head + lens[i] + 10 : len < 40 + lens[i] / 80);
    }
}

TEST(a_footer_must_be_whole_right_and_not_from_the_future)
{
    static const fe_bytes body = FE_BYTES("\x00\x05hello");
    fe_buf value = empty_buf();
    uint8_t type;

    for (unsigned version = 0; version < 300; version++) {
        fe_buf payload = sealed(body, version);
        fe_rdb_status want = version <= FE_RDB_VERSION ? FE_RDB_OK : FE_RDB_BAD_FOOTER;
        CHECK_INT(want, fe_rdb_string_restore(fe_buf_view(&payload), LEN_MAX, &value, &type));
        fe_buf_free(&payload);
    }
    size_t restored = value.len;
    fe_buf payload = sealed(body, FE_RDB_VERSION);
    for (size_t bit = 0; bit < payload.len * 8; bit++) {
        payload.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        fe_rdb_status status = fe_rdb_string_restore(fe_buf_view(&payload), LEN_MAX, &value, &type);
        CHECK_INT(FE_RDB_BAD_FOOTER, status);
        payload.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t len = 0; len < payload.len; len++) {
        fe_bytes cut = {payload.data, len};
        CHECK_INT(FE_RDB_BAD_FOOTER, fe_rdb_string_restore(cut, LEN_MAX, &value, &type));
    }
    CHECK_INT(restored, value.len);
    fe_buf_free(&payload);
    fe_buf_free(&value);
}

TEST(bad_bodies_are_refused_whatever_their_footer_says)
{
    static const fe_bytes bodies[] = {
        FE_BYTES(""),                     /* no type */
        FE_BYTES("\x00"),                 /* no string */
        FE_BYTES("\x00\x05hell"),         /* too short */
        FE_BYTES("\x00\x05hello!"),       /* too long */
        FE_BYTES("\x00\x40"),             /* half a length */
        FE_BYTES("\x00\x80\x00\x00\x00"), /* a length cut off */
        FE_BYTES("\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffx"),
        FE_BYTES("\x00\x82\x00\x00\x00\x00"),      /* no such length */
        FE_BYTES("\x00\xc0"),                      /* no integer */
        FE_BYTES("\x00\xc1\x01"),                  /* half of one */
        FE_BYTES("\x00\xc0\x01\x01"),              /* more than one */
        FE_BYTES("\x00\xc4\x01"),                  /* no such special */
        FE_BYTES("\x00\xc3"),                      /* no lengths */
        FE_BYTES("\x00\xc3\x04"),                  /* one length */
        FE_BYTES("\x00\xc3\x05\x04\x00z\x20\x00"), /* compressed length too long */
        FE_BYTES("\x00\xc3\x03\x04\x00z\x20\x00"), /* and too short */
        FE_BYTES("\x00\xc3\x04\x05\x00z\x20\x00"), /* gives 4 bytes, says 5 */
        FE_BYTES("\x00\xc3\x04\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00z\x20\x00"),
        FE_BYTES("\x00\xc3\xc0\x04\x00z\x20\x00"), /* a special as a length */
    };
    fe_buf value = empty_buf();

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        CHECK_INT(FE_RDB_BAD_DATA, restore_sealed(bodies[i], SIZE_MAX, &value));
        CHECK_INT(0, value.len);
    }
    CHECK_INT(FE_RDB_OK, restore_sealed(FE_BYTES("\x00\xc3\x04\x04\x00z\x20\x00"), 4, &value));
    CHECK_BYTES("zzzz", 4, value.data, value.len);
    fe_buf_free(&value);
}

TEST(empty_strings_need_no_memory)
{
    fe_buf value = empty_buf();

    CHECK_INT(FE_RDB_OK, restore_sealed(FE_BYTES("\x00\x00"), 0, &value));
    CHECK_INT(FE_RDB_OK, restore_sealed(FE_BYTES("\x00\xc3\x00\x00"), 0, &value));
    CHECK_INT(FE_RDB_BAD_DATA, restore_sealed(FE_BYTES("\x00\xc3\x02\x00\x00z"), 0, &value));
    CHECK(value.len == 0 && value.data == NULL);
}

TEST(other_types_are_named)
{
    fe_buf payload = sealed(FE_BYTES("\x12\x01\x02"), FE_RDB_VERSION), value = empty_buf();
    uint8_t type = 0;

    fe_rdb_status status = fe_rdb_string_restore(fe_buf_view(&payload), LEN_MAX, &value, &type);

    CHECK_INT(FE_RDB_OTHER_TYPE, status);
    CHECK_INT(0x12, type);
    fe_buf_free(&payload);
    fe_buf_free(&value);
}

TEST(strings_longer_than_allowed_are_refused)
{
    fe_buf value = empty_buf();

    CHECK_INT(FE_RDB_TOO_LARGE, restore_sealed(FE_BYTES("\x00\x05hello"), 4, &value));
    CHECK_INT(FE_RDB_TOO_LARGE,
              restore_sealed(FE_BYTES("\x00\xc3\x04\x04\x00z\x20\x00"), 3, &value));
    CHECK_INT(0, value.len);
    CHECK_INT(FE_RDB_OK, restore_sealed(FE_BYTES("\x00\x05hello"), 5, &value));
    fe_buf_free(&value);
}

TEST(memory_that_runs_out_is_reported)
{
    uint8_t bytes[3000] = {0};
    fe_buf payload = empty_buf(), value = empty_buf(), failing = empty_buf();
    uint8_t type;

    fe_rdb_string_dump(&payload, (fe_bytes){bytes, sizeof bytes});
    fe_alloc_fail_after(&allocator, 0);
    fe_rdb_string_dump(&failing, (fe_bytes){bytes, sizeof bytes});
    fe_rdb_status status = fe_rdb_string_restore(fe_buf_view(&payload), LEN_MAX, &value, &type);
    fe_alloc_fail_after(&allocator, -1);

    CHECK(failing.failed);
    CHECK_INT(FE_RDB_NO_MEMORY, status);
    fe_buf_free(&payload);
    fe_buf_free(&value);
    fe_buf_free(&failing);
    CHECK_INT(0, fe_alloc_used_all(&allocator));
}

int main(int argc, char **argv)
{
    random_state = seed_random(argc, argv);
    fe_alloc_init(&allocator);
    RUN(payloads_of_redis_are_understood);
    RUN(payloads_are_those_of_redis_but_for_version_and_compression);
    RUN(integers_are_packed_when_they_are_canonical);
    RUN(every_length_form_comes_back);
    RUN(a_footer_must_be_whole_right_and_not_from_the_future);
    RUN(bad_bodies_are_refused_whatever_their_footer_says);
    RUN(empty_strings_need_no_memory);
    RUN(other_types_are_named);
    RUN(strings_longer_than_allowed_are_refused);
    RUN(memory_that_runs_out_is_reported);
    return check_done();
}
