"""SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP."""

from __future__ import annotations

import itertools

import pytest

from tests.support.both import Both
from tests.support.script import values

VALUES = {
    "foobar": b"foobar",
    "zeroes": b"\x00" * 9,
    "ones": b"\xff" * 9,
    "edge": b"\xff\xf0\x00\x0f",
    "one": b"\x80",
    "last": b"\x00\x00\x01",
    "empty": b"",
    "number": b"12345",
    "long": bytes((i * 37) % 256 for i in range(300)),
}
INDEXES = values("0 1 2 3 5 8 9 15 100 -1 -2 -3 -8 -9 -100 9223372036854775807")
BAD = ["abc", "", "1.5", "9223372036854775808", "-", " 1"]


def fill(both: Both) -> None:
    """Store every value under its name."""
    both.run_many([("SET", name, value) for name, value in VALUES.items()])


def test_setbit_getbit(both: Both) -> None:
    """Bits are numbered from the most significant; values grow with zero bytes."""
    both.script("""
        SETBIT k 7 1
        GET k
        SETBIT k 7 0
        SETBIT k 0 1
        SETBIT k 100 1
        STRLEN k
        GET k
        GETBIT k 0
        GETBIT k 7
        GETBIT k 100
        GETBIT k 101
        GETBIT k 1000000
        GETBIT missing 0
        SETBIT missing 0 0
        GET missing
        SETBIT n 3 1
        SET n 10
        SETBIT n 7 1
        GET n
        INCR n
        OBJECT ENCODING n
        SETEX v 1000000 a
        SETBIT v 1 1
        TTL v
        SETBIT k 4294967296 0
    """)


@pytest.mark.parametrize("offset", ["-1", "4294967296", "99999999999", *BAD])
def test_bit_offset_errors(both: Both, offset: str) -> None:
    """An offset is an integer from 0 to 2^32 - 1; the offset is checked before the value."""
    both.run_many([
        ("SETBIT", "k", offset, "1"), ("SETBIT", "k", offset, "2"), ("GETBIT", "k", offset),
        ("EXISTS", "k"), ("SET", "k", "1"), ("SETBIT", "k", offset, "0"), ("GETBIT", "k", offset),
    ])  # fmt: skip


def test_bit_value_and_arity_errors(both: Both) -> None:
    """A bit is 0 or 1."""
    both.script("""
        SETBIT k 0 2
        SETBIT k 0 -1
        SETBIT k 0 abc
        SETBIT k 0 ""
        SETBIT k 0 01
        EXISTS k
        SETBIT
        SETBIT k
        SETBIT k 0
        SETBIT k 0 1 1
        GETBIT
        GETBIT k
        GETBIT k 0 0
        BITCOUNT
        BITPOS
        BITPOS k
        BITOP
        BITOP AND
        BITOP AND d
        BITOP NOT d
    """)


def test_bitcount_over_every_range(both: Both) -> None:
    """BITCOUNT clamps its range in bytes and in bits."""
    fill(both)
    commands: list[tuple[str, ...]] = []
    for name in [*VALUES, "missing"]:
        commands.append(("BITCOUNT", name))
        for first, last in itertools.product(INDEXES, repeat=2):
            commands.append(("BITCOUNT", name, first, last))
            commands += [("BITCOUNT", name, first, last, unit) for unit in ("BYTE", "bit")]
    both.run_many(commands)


def test_bitcount_errors(both: Both) -> None:
    """Half a range, an unknown unit, what is no integer."""
    fill(both)
    commands: list[tuple[str, ...]] = []
    for name in ("foobar", "missing"):
        commands += [("BITCOUNT", name, "0"), ("BITCOUNT", name, "0", "1", "foo")]
        commands += [("BITCOUNT", name, "0", "1", "BIT", "BIT"), ("BITCOUNT", name, "BIT")]
        commands += [("BITCOUNT", name, bad, "1") for bad in BAD]
        commands += [("BITCOUNT", name, "1", bad) for bad in BAD]
        commands += [("BITCOUNT", name, bad, bad, "foo") for bad in BAD]
    both.run_many(commands)


def test_bitpos_over_every_range(both: Both) -> None:
    """BITPOS finds the first bit; only an open end lets it look beyond the value."""
    fill(both)
    commands: list[tuple[str, ...]] = []
    for name, bit in itertools.product([*VALUES, "missing"], ("0", "1")):
        commands.append(("BITPOS", name, bit))
        commands += [("BITPOS", name, bit, first) for first in INDEXES]
        for first, last in itertools.product(INDEXES, repeat=2):
            commands.append(("BITPOS", name, bit, first, last))
            commands += [("BITPOS", name, bit, first, last, unit) for unit in ("byte", "BIT")]
    both.run_many(commands)


def test_bitpos_errors(both: Both) -> None:
    """The bit must be 0 or 1; the range must be integers; the unit must be known."""
    fill(both)
    commands: list[tuple[str, ...]] = []
    for name in ("foobar", "missing"):
        commands += [("BITPOS", name, bit) for bit in ("2", "-1", "01", *BAD)]
        commands += [("BITPOS", name, "1", bad) for bad in BAD]
        commands += [("BITPOS", name, "1", "0", bad) for bad in BAD]
        commands += [("BITPOS", name, "1", "0", "1", "foo"), ("BITPOS", name, "1", "BIT")]
        commands += [("BITPOS", name, "1", "0", "BIT"), ("BITPOS", name, "1", "0", "1", "BIT", "x")]
    both.run_many(commands)


def test_bitop(both: Both) -> None:
    """AND, OR, XOR and NOT over sources of different lengths, missing ones included."""
    fill(both)
    names = [*VALUES, "missing"]
    commands: list[tuple[str, ...]] = []
    for operation in ("AND", "or", "XoR"):
        for sources in itertools.product(names, repeat=2):
            commands += [("BITOP", operation, "d", *sources), ("GET", "d")]
        for sources in itertools.combinations(names, 3):
            commands += [("BITOP", operation, "d", *sources), ("GET", "d")]
        commands += [("BITOP", operation, "d", name) for name in names]
        commands += [("BITOP", operation, "d", *names), ("GET", "d"), ("STRLEN", "d")]
    for name in names:
        commands += [("BITOP", "NOT", "d", name), ("GET", "d")]
    both.run_many(commands)


def test_bitop_destination(both: Both) -> None:
    """An empty result removes the destination; a deadline there goes; a source may be it."""
    both.script("""
        SETEX d 1000000 old
        BITOP AND d no1 no2
        EXISTS d
        SETEX d 1000000 old
        SET a abc
        BITOP OR d a a
        TTL d
        GET d
        BITOP NOT a a
        GET a
        BITOP XOR a a a
        GET a
        BITOP NOT d a b
        BITOP NOT d no
        BITOP FOO d a
        BITOP "" d a
        BITOP NOT d
        SET n 12
        BITOP OR n n no
        OBJECT ENCODING n
        INCR n
        SET e ""
        BITOP NOT d2 e
        EXISTS d2
    """)


def test_bitop_on_long_unaligned_values(both2: Both) -> None:
    """Lengths around the word and vector sizes."""
    commands: list[tuple[bytes | str, ...]] = []
    for size in (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 4099):
        one = bytes((i * 31 + size) % 256 for i in range(size))
        two = bytes((i * 17 + 3) % 256 for i in range(size // 2 + 1))
        commands.append(("MSET", "a", one, "b", two, "c", one[::-1]))
        for operation in ("AND", "OR", "XOR"):
            commands += [("BITOP", operation, "d", "a", "b", "c"), ("GET", "d"), ("BITCOUNT", "d")]
            commands += [
                ("BITPOS", "d", "0"),
                ("BITPOS", "d", "1"),
                ("BITPOS", "d", "1", "1", "-2"),
            ]
        commands += [("BITOP", "NOT", "d", "a"), ("GET", "d")]
    both2.run_many(commands)
