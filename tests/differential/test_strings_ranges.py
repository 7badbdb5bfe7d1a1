"""APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE, MGET, MSET, MSETNX, LCS."""

from __future__ import annotations

import itertools

from tests.support.both import Both
from tests.support.script import values

INDEXES = values(
    "0 1 2 4 5 6 -1 -2 -5 -6 -7 100 -100 2147483647 2147483648 4294967296 "
    "9223372036854775807 -9223372036854775808"
)
NOT_INDEXES = ["abc", "", "1.5", "9223372036854775808", " 1", "+1", "01"]


def test_getrange_at_every_pair_of_indexes(both: Both) -> None:
    """GETRANGE and its old name SUBSTR clamp both ends as Redis does."""
    commands: list[tuple[str, ...]] = [
        ("SET", "s", "hello"),
        ("SET", "n", "12345"),
        ("SET", "e", ""),
    ]
    for key in ("s", "n", "e", "missing"):
        for first, last in itertools.product(INDEXES, repeat=2):
            commands.append(("GETRANGE", key, first, last))
        commands += [("SUBSTR", key, "1", "3"), ("SUBSTR", key, "-3", "-1")]
    both.run_many(commands)


def test_getrange_refuses_what_is_no_index(both: Both) -> None:
    """Both indexes are checked before the key is looked up."""
    commands: list[tuple[str, ...]] = [("SET", "s", "hello")]
    for key, bad in itertools.product(("s", "missing"), NOT_INDEXES):
        commands += [("GETRANGE", key, bad, "1"), ("GETRANGE", key, "1", bad)]
        commands += [("SUBSTR", key, bad, bad)]
    commands += [("GETRANGE",), ("GETRANGE", "s"), ("GETRANGE", "s", "1"), ("SUBSTR", "s", "1")]
    commands += [("GETRANGE", "s", "0", "1", "2"), ("STRLEN",), ("STRLEN", "s", "s")]
    both.run_many(commands)


def test_setrange(both: Both) -> None:
    """SETRANGE pads with zero bytes; an empty value creates nothing; the size has a limit."""
    both.script("""
        SETRANGE k 0 hello
        SETRANGE k 6 world
        GET k
        SETRANGE k 0 ""
        SETRANGE k 100 ""
        STRLEN k
        SETRANGE missing 0 ""
        SETRANGE missing 10 ""
        EXISTS missing
        SETRANGE missing 3 x
        GET missing
        SETRANGE k -1 x
        SETRANGE k -1 ""
        SETRANGE absent -1 ""
        SETRANGE k abc x
        SETRANGE k 1.5 x
        SETRANGE k "" x
        SETRANGE k 536870912 x
        SETRANGE k 536870911 xy
        SETRANGE k 9223372036854775807 x
        SETRANGE k 9223372036854775807 ""
        SETRANGE k 9223372036854775808 x
        SETRANGE k 536870912 ""
        SETRANGE absent 536870912 x
        EXISTS absent
        SETRANGE
        SETRANGE k 1
        SETRANGE k 1 2 3
        SET n 12345
        SETRANGE n 1 99
        GET n
        INCR n
        SETEX v 1000000 abc
        SETRANGE v 1 ZZZZ
        TTL v
        GET v
        PEXPIREAT v 1
        SETRANGE v 2 x
        GET v
        TTL v
    """)


def test_append(both: Both) -> None:
    """APPEND creates or extends, keeps the deadline, and works on integers."""
    both.script("""
        APPEND k ""
        EXISTS k
        APPEND k hello
        APPEND k ""
        APPEND k " world"
        GET k
        STRLEN k
        SET n 10
        APPEND n 5
        GET n
        INCR n
        SETEX v 1000000 a
        APPEND v b
        TTL v
        APPEND
        APPEND k
        APPEND k a b
        STRLEN missing
        PEXPIREAT v 1
        APPEND v c
        TTL v
    """)


def test_append_grows_byte_by_byte(both: Both) -> None:
    """A value that grows through every small size and then doubles stays whole."""
    commands: list[tuple[str, ...]] = [("APPEND", "k", chr(97 + i % 26)) for i in range(300)]
    for _ in range(10):
        commands += [("APPEND", "k", "0123456789" * 100), ("STRLEN", "k")]
    both.run_many([*commands, ("GET", "k")])


def test_string_size_limit(both2: Both) -> None:
    """A value may not pass 512 MiB, or proto-max-bulk-len when that is lower."""
    with both2.settings(proto_max_bulk_len="1048576"):
        both2.run("SET", "k", "x" * 1048576)
        both2.script("""
            APPEND k x
            SETRANGE k 1048575 y
            SETRANGE k 1048576 y
            SETRANGE k 1048575 yy
            SETRANGE other 1048576 y
            SETBIT bits 8388607 1
            SETBIT bits 8388608 1
            BITFIELD bits SET u8 8388600 255
            BITFIELD bits SET u8 8388601 255
            STRLEN k
            STRLEN bits
        """)


def test_mset_mget_msetnx(both: Both) -> None:
    """Many keys at once: order, repeats, odd counts, deadlines dropped, all or nothing."""
    both.script("""
        MSET a 1 b 2 c 3
        MGET a b c d a
        MSET a x a y
        GET a
        MSET a
        MSET a 1 b
        MSET
        MGET
        MSETNX a 1 z 2
        EXISTS z
        MSETNX x 1 y 2 x 3
        MGET x y
        MSETNX x
        MSETNX x 1 y
        MSETNX
        SETEX v 1000000 a
        MSET v b
        TTL v
        SETEX w 1000000 a
        PEXPIREAT w 1
        MSETNX w 1 q 2
        MGET w q
        MSET "" "" "k k" "v v"
        MGET "" "k k"
    """)


def test_wide_mset_and_mget(both2: Both) -> None:
    """A thousand keys in one command."""
    words = [word for i in range(1000) for word in (f"key:{i}", f"value:{i}")]
    keys = words[::2]
    both2.run_many([
        ("MSET", *words), ("MGET", *keys), ("DBSIZE",), ("MSETNX", *words),
        ("EXISTS", *keys, *keys),
        ("TOUCH", *keys), ("DEL", *keys[:500]), ("MGET", *keys), ("UNLINK", *keys), ("DBSIZE",),
    ])  # fmt: skip


def test_lcs(both: Both) -> None:
    """LCS as a string, a length, and matched ranges with every option."""
    options = [
        ("LEN",), ("IDX",), ("IDX", "WITHMATCHLEN"), ("IDX", "MINMATCHLEN", "4"),
        ("IDX", "MINMATCHLEN", "4", "WITHMATCHLEN"), ("MINMATCHLEN", "2"), ("WITHMATCHLEN",),
        ("IDX", "MINMATCHLEN", "0"), ("IDX", "MINMATCHLEN", "-1"), ("IDX", "MINMATCHLEN", "100"),
        ("IDX", "LEN"), ("LEN", "IDX"), ("IDX", "MINMATCHLEN"), ("MINMATCHLEN", "x"), ("foo",),
        ("idx", "withmatchlen", "minmatchlen", "1"), ("LEN", "LEN"), ("IDX", "IDX"), (),
    ]  # fmt: skip
    commands: list[tuple[str, ...]] = [
        ("MSET", "a", "ohmytext", "b", "mynewtext", "e", "", "n", "12345678", "m", "345"),
        ("MSET", "x", "abcdefabcdef", "y", "fedcbaabcdef", "z", "aaaaaaaaaa"),
    ]
    for first, second in itertools.product(
        ("a", "b", "e", "n", "m", "x", "y", "z", "no"), repeat=2
    ):
        commands += [("LCS", first, second, *option) for option in options]
    both.run_many([*commands, ("LCS",), ("LCS", "a")])


def test_lcs_of_binary_and_longer_values(both2: Both) -> None:
    """LCS of two longer values with every byte in them."""
    one = bytes((i * 7) % 256 for i in range(700))
    two = bytes((i * 11) % 256 for i in range(600))
    both2.run_many([
        ("MSET", "a", one, "b", two), ("LCS", "a", "b"), ("LCS", "a", "b", "LEN"),
        ("LCS", "a", "b", "IDX", "WITHMATCHLEN"), ("LCS", "b", "a", "IDX", "MINMATCHLEN", "2"),
    ])  # fmt: skip
