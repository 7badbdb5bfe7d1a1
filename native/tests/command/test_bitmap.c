/* Bitmaps and bit fields through requests. */
#include "command/bit_offset.h"
#include "tests/check.h"
#include "tests/command/harness.h"

#define BAD_OFFSET "-ERR bit offset is not an integer or out of range"
#define SYNTAX "-ERR syntax error"

TEST(single_bits_are_set_and_read)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SETBIT a 7 1", ":0", "SETBIT a 7 1", ":1", "GETBIT a 7", ":1", "GETBIT a 6",
                 ":0", "GETBIT a 4000000000", ":0", "GETBIT none 1", ":0", "STRLEN a", ":1",
                 "SETBIT a 80 0", ":0", "STRLEN a", ":11", "SETBIT a -1 1", BAD_OFFSET,
                 "SETBIT a 4294967296 1", BAD_OFFSET, "GETBIT a #1", BAD_OFFSET, "SETBIT a 1 2",
                 "-ERR bit is not an integer or out of range", "SET n 1", "+OK", "GETBIT n 7", ":1",
                 "SETBIT n 6 1", ":0", "GET n", "$1 3");
    harness_close(&it);
}

TEST(a_bit_that_is_so_already_is_no_change)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a abc", "+OK");
    fe_store_stats before, after;
    fe_store_stats_get(it.engine->store, &before);
    CHECK_SCRIPT(&it, "SETBIT a 1 1", ":1", "BITFIELD a SET u8 0 97 INCRBY u8 8 0", "*2 :97 :98");
    fe_store_stats_get(it.engine->store, &after);
    CHECK_INT(before.changes, after.changes);
    CHECK_SCRIPT(&it, "OBJECT ENCODING a", "$3 raw", "GET a", "$3 abc", "SET n 1 EX 10", "+OK",
                 "SETBIT n 7 1", ":1", "OBJECT ENCODING n", "$3 raw", "GET n", "$1 1", "TTL n",
                 ":10");
    harness_close(&it);
}

TEST(set_bits_are_counted_in_ranges_of_bytes_and_bits)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "SET a foobar", "+OK", "BITCOUNT a", ":26", "BITCOUNT a 0 0", ":4",
                 "BITCOUNT a 1 1", ":6", "BITCOUNT a -2 -1", ":7", "BITCOUNT a 5 30 BIT", ":17",
                 "BITCOUNT a 1 1 BYTE", ":6", "BITCOUNT a 3 2", ":0", "BITCOUNT a 0", SYNTAX,
                 "BITCOUNT a 0 1 x", SYNTAX, "BITCOUNT a -1 -2 x", ":0", "BITCOUNT none 0", ":0",
                 "BITCOUNT a 0 1 BIT x", SYNTAX);
    harness_close(&it);
}

TEST(the_first_bit_is_found)
{
    harness it;
    harness_open(&it);
    const fe_bytes set[] = {FE_BYTES("SET"), FE_BYTES("a"), FE_BYTES("\xff\xf0\x00")};
    harness_run_bytes(&it, set, 3);
    const fe_bytes ones[] = {FE_BYTES("SET"), FE_BYTES("ones"), FE_BYTES("\xff\xff")};
    harness_run_bytes(&it, ones, 3);
    CHECK_SCRIPT(&it, "BITPOS a 0", ":12", "BITPOS a 1", ":0", "BITPOS a 1 2", ":-1",
                 "BITPOS ones 0", ":16", "BITPOS ones 0 0 -1", ":-1", "BITPOS ones 0 5", ":-1",
                 "BITPOS none 0", ":0", "BITPOS none 1", ":-1", "BITPOS a 0 9 20 BIT", ":12",
                 "BITPOS a 2", "-ERR The bit argument must be 1 or 0.", "BITPOS a 1 0 1 x", SYNTAX,
                 "BITPOS a 1 -100 -200", ":0");
    harness_close(&it);
}

TEST(strings_are_combined)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(&it, "MSET a abc b ABCD n 12", "+OK", "BITOP AND r a b", ":4", "GETRANGE r 0 2",
                 "$3 ABC", "BITOP OR a a b", ":4", "GET a", "$4 abcD", "BITOP xor r n n", ":2",
                 "BITCOUNT r", ":0", "BITOP NOT r n", ":2", "BITOP NOT r n n",
                 "-ERR BITOP NOT must be called with a single source key.", "BITOP NAND r a b",
                 SYNTAX, "BITOP OR r none nothing", ":0", "EXISTS r", ":0");
    harness_close(&it);
}

TEST(fields_are_read_set_and_added_to)
{
    harness it;
    harness_open(&it);
    CHECK_SCRIPT(
        &it, "BITFIELD a", "*0", "BITFIELD a SET u8 0 255 GET u4 4 GET i8 0", "*3 :0 :15 :-1",
        "BITFIELD a INCRBY u8 0 1 OVERFLOW SAT INCRBY u8 0 300 OVERFLOW FAIL INCRBY u8 0 1",
        "*3 :0 :255 $-1", "BITFIELD a SET i64 #1 -1 GET i64 #1", "*2 :0 :-1", "STRLEN a", ":16",
        "BITFIELD_RO a GET u8 0", "*1 :255", "BITFIELD_RO a SET u8 0 1",
        "-ERR BITFIELD_RO only supports the GET subcommand", "BITFIELD a GET u64 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
        "i64 is.",
        "BITFIELD a GET u8 #9223372036854775807", BAD_OFFSET, "BITFIELD a OVERFLOW MAYBE",
        "-ERR Invalid OVERFLOW type specified", "BITFIELD a SET u8 0", SYNTAX,
        "BITFIELD a SET u8 0 x", "-ERR value is not an integer or out of range");
    harness_close(&it);
}

TEST(offsets_are_bounded_by_the_longest_string)
{
    harness it;
    harness_open(&it);
    const fe_bytes argv[] = {FE_BYTES("mget"), FE_BYTES("4294967295"), FE_BYTES("4294967296"),
                             FE_BYTES("#3")};
    harness_run_bytes(&it, argv, 4);
    uint64_t offset;
    CHECK(fe_bit_offset_read(&it.call, 1, 0, &offset) && offset == 4294967295u);
    CHECK(!fe_bit_offset_read(&it.call, 2, 0, &offset));
    CHECK(fe_bit_offset_read(&it.call, 3, 5, &offset) && offset == 15);
    CHECK(!fe_bit_offset_read(&it.call, 3, 0, &offset));
    harness_close(&it);
}

int main(void)
{
    RUN(single_bits_are_set_and_read);
    RUN(a_bit_that_is_so_already_is_no_change);
    RUN(set_bits_are_counted_in_ranges_of_bytes_and_bits);
    RUN(the_first_bit_is_found);
    RUN(strings_are_combined);
    RUN(fields_are_read_set_and_added_to);
    RUN(offsets_are_bounded_by_the_longest_string);
    return check_done();
}
