"""BITFIELD and BITFIELD_RO."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.support.both import Both
from tests.support.script import values

TYPES = values("u1 u2 u5 u8 u15 u16 u31 u32 u33 u62 u63 i1 i2 i5 i8 i16 i32 i33 i63 i64")
BAD_TYPES = [
    "u0",
    "u64",
    "i0",
    "i65",
    "u-1",
    "x8",
    "u",
    "i",
    "",
    "8",
    "U8",
    "I8",
    "u8x",
    "u 8",
    "u08",
]
OFFSETS = values("0 1 3 7 8 #0 #1 #3 100 #10")
BAD_OFFSETS = [
    "-1",
    "#-1",
    "abc",
    "",
    "#",
    "1.5",
    "4294967296",
    "#536870912",
    "9223372036854775807",
]
NUMBERS = values(
    "0 1 -1 2 127 128 -128 -129 255 256 32767 65535 2147483647 -2147483648 4294967295 4294967296 "
    "9223372036854775807 -9223372036854775808 4611686018427387904"
)
OVERFLOWS = ("WRAP", "SAT", "FAIL")


@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_set_and_incrby_of_every_type_at_the_limits(both: Both, overflow: str) -> None:
    """SET and INCRBY wrap, saturate or fail at the limits of each width."""
    commands: list[tuple[str, ...]] = []
    for kind, start, step in itertools.product(TYPES, NUMBERS, NUMBERS):
        commands.append(
            (
                "BITFIELD",
                "k",
                "OVERFLOW",
                overflow,
                "SET",
                kind,
                "3",
                start,
                "INCRBY",
                kind,
                "3",
                step,
            )
        )
    both.run_many([*commands, ("GET", "k")])


def test_get_of_every_type_at_every_offset(both: Both) -> None:
    """GET reads across byte boundaries and beyond the end, where bits are zero."""
    commands: list[tuple[bytes | str, ...]] = [
        ("SET", "k", bytes((i * 73 + 11) % 256 for i in range(14)))
    ]
    for key, kind, offset in itertools.product(("k", "missing"), TYPES, OFFSETS):
        commands.append(("BITFIELD", key, "GET", kind, offset))
        commands.append(("BITFIELD_RO", key, "GET", kind, offset))
    both.run_many([*commands, ("EXISTS", "missing")])


@pytest.mark.parametrize("command", ["BITFIELD", "BITFIELD_RO"])
def test_bad_types_and_offsets(both: Both, command: str) -> None:
    """Types and offsets that are not allowed."""
    commands: list[tuple[str, ...]] = [("SET", "k", "abc")]
    for bad in BAD_TYPES:
        commands += [(command, "k", "GET", bad, "0"), (command, "k", "SET", bad, "0", "1")]
        commands += [(command, "k", "INCRBY", bad, "0", "1")]
    for bad in BAD_OFFSETS:
        commands += [(command, "k", "GET", "u8", bad), (command, "k", "SET", "i8", bad, "1")]
        commands += [(command, "k", "INCRBY", "i8", bad, "1")]
    for bad in ("abc", "", "1.5", "9223372036854775808"):
        commands += [
            (command, "k", "SET", "u8", "0", bad),
            (command, "k", "INCRBY", "u8", "0", bad),
        ]
    both.run_many([*commands, ("GET", "k")])


@pytest.mark.parametrize("command", ["BITFIELD", "BITFIELD_RO"])
def test_syntax(both: Both, command: str) -> None:
    """Unknown words, missing arguments, and OVERFLOW without a choice."""
    lines = """
        %
        % k
        % missing
        % k GET
        % k GET u8
        % k SET u8 0
        % k INCRBY u8 0
        % k FOO u8 0
        % k OVERFLOW
        % k OVERFLOW foo
        % k OVERFLOW wrap
        % k overflow SAT
        % k OVERFLOW FAIL GET u8 0
        % k OVERFLOW WRAP SET u8 0 1
        % k get u8 0 GET i8 0
        % k GET u8 0 SET
        % k GET u8 0 SET u8 0 300 foo
        % k SET u8 0 300 GET u8 0
        % k INCRBY u8 0 1 GET u8 0
        GET k
        EXISTS missing
    """
    both.script(lines.replace("%", command))


def test_overflow_applies_to_what_follows(both: Both) -> None:
    """OVERFLOW changes the operations after it, until the next one."""
    both.script("""
        BITFIELD k SET u8 0 250 INCRBY u8 0 10 OVERFLOW SAT INCRBY u8 0 300 GET u8 0
        BITFIELD k OVERFLOW SAT INCRBY u8 0 300 OVERFLOW FAIL INCRBY u8 0 1
        BITFIELD k OVERFLOW FAIL INCRBY u8 0 1000 OVERFLOW WRAP INCRBY u8 0 1000 GET u8 0
        BITFIELD k OVERFLOW FAIL SET u8 8 300 GET u8 8
        BITFIELD k OVERFLOW SAT SET i8 8 300 GET i8 8
        BITFIELD k OVERFLOW SAT INCRBY i8 8 -1000 GET i8 8
        BITFIELD k INCRBY i5 100 1 GET u4 0
        GET k
        STRLEN k
    """)


def test_size_type_and_deadline(both: Both) -> None:
    """A write grows the value even when it fails, a read never; the deadline stays."""
    both.script("""
        BITFIELD k GET u8 1000
        EXISTS k
        BITFIELD k SET u8 1000 0
        STRLEN k
        BITFIELD f OVERFLOW FAIL INCRBY u2 100 100
        EXISTS f
        STRLEN f
        SET n 12
        BITFIELD n INCRBY u8 0 1
        GET n
        OBJECT ENCODING n
        SETEX v 1000000 a
        BITFIELD v SET u8 0 98
        TTL v
        PEXPIREAT v 1
        BITFIELD v GET u8 0 INCRBY u8 0 5
        TTL v
        BITFIELD z SET u8 #4 255 SET i64 #1 -1
        GET z
    """)


def test_random_sequences(both: Both) -> None:
    """Long mixed sequences on one small value agree at every step."""
    chance = random.Random(20240229)
    commands: list[tuple[str, ...]] = []
    for _ in range(400):
        words = ["BITFIELD", "k"]
        for _ in range(chance.randint(1, 5)):
            kind, offset = chance.choice(TYPES), chance.choice(OFFSETS)
            number = str(chance.choice([chance.randint(-300, 300), chance.getrandbits(62)]))
            words += chance.choice([
                ["GET", kind, offset], ["SET", kind, offset, number],
                ["INCRBY", kind, offset, number], ["OVERFLOW", chance.choice(OVERFLOWS)],
            ])  # fmt: skip
        commands.append(tuple(words))
    both.run_many([*commands, ("GET", "k")])
