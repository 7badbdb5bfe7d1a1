"""PFADD, PFCOUNT and PFMERGE, down to the bytes of the representation."""

from __future__ import annotations

import pytest

from tests.support.both import Both


def add(key: str, first: int, last: int, batch: int = 50) -> list[tuple[str, ...]]:
    """Commands that add the elements `e<first>` to `e<last - 1>`."""
    numbers = range(first, last)
    return [
        ("PFADD", key, *(f"e{i}" for i in numbers[at : at + batch]))
        for at in range(0, len(numbers), batch)
    ]


def test_basics_and_arity(both: Both) -> None:
    """An empty PFADD creates a key; counting caches its result inside the value."""
    both.script("""
        PFADD h
        GET h
        PFADD h
        PFCOUNT h
        GET h
        PFADD h a b c
        GET h
        PFCOUNT h
        GET h
        PFADD h a
        PFADD h a b c
        GET h
        PFADD h d
        GET h
        PFCOUNT h
        PFADD h ""
        PFCOUNT h
        PFCOUNT missing
        EXISTS missing
        PFADD
        PFCOUNT
        PFMERGE
        TYPE h
        OBJECT ENCODING h
        STRLEN h
    """)


SHORT = b"HYLL\x01" + bytes(10) + b"\x80\x7f\xff"


@pytest.mark.parametrize(
    "command",
    ["PFADD h", "PFADD h a", "PFCOUNT h", "PFCOUNT h g", "PFMERGE g h", "PFMERGE h"]
    + [f"PFDEBUG {verb} h" for verb in ("ENCODING", "DECODE", "TODENSE", "NONE")],
)
def test_a_short_value_that_was_set_becomes_one_that_can_be_written(
    both2: Both, command: str
) -> None:
    """Also where nothing is written: what OBJECT ENCODING says tells of it."""
    verb, *rest = command.split()
    both2.run_many([("SET", "h", SHORT), (verb, *rest), ("OBJECT", "ENCODING", "h"), ("GET", "h")])


def test_every_step_from_sparse_to_dense(both2: Both) -> None:
    """After every small batch the stored bytes are equal: splits, merges of runs, promotion."""
    commands: list[tuple[str, ...]] = []
    for batch in add("h", 0, 4000, 25):
        commands += [batch, ("GET", "h"), ("PFCOUNT", "h"), ("STRLEN", "h")]
    both2.run_many(commands)


@pytest.mark.parametrize("limit", ["0", "40", "1000", "20000"])
def test_the_length_at_which_it_becomes_dense(both: Both, limit: str) -> None:
    """hll-sparse-max-bytes decides, for PFADD and for PFMERGE."""
    with both.settings(hll_sparse_max_bytes=limit):
        for batch in [*add("h", 0, 60, 4), *add("h", 60, 3000, 300)]:
            both.run(*batch)
            both.run("PFDEBUG", "ENCODING", "h")
        both.run_many([*add("s", 0, 30, 10), ("PFMERGE", "m", "s"), ("PFDEBUG", "ENCODING", "m")])
        both.run_many([("GET", "h"), ("GET", "s"), ("GET", "m")])


def test_one_by_one(both: Both) -> None:
    """Single elements: the reply says whether the estimate changed."""
    both.run_many([*add("h", 0, 1500, 1), ("GET", "h"), ("PFCOUNT", "h"), ("GET", "h")])


def test_large_cardinality(both2: Both) -> None:
    """The estimate is the same well into the dense range."""
    both2.run_many([*add("h", 0, 60_000, 2000), ("PFCOUNT", "h"), ("GET", "h")])


def test_element_lengths(both2: Both) -> None:
    """Every length of element modulo the hash's word size, binary ones included."""
    commands: list[tuple[bytes | str, ...]] = [
        ("PFADD", "h", bytes((size * 7 + i) % 256 for i in range(size))) for size in range(70)
    ]
    both2.run_many([*commands, ("GET", "h"), ("PFCOUNT", "h")])


def test_merge_and_union(both: Both) -> None:
    """PFMERGE over sparse, dense, missing, repeated and self keys; PFCOUNT of a union."""
    both.run_many([*add("s1", 0, 100), *add("s2", 50, 150), *add("d1", 0, 8000, 1000)])
    both.script("""
        PFCOUNT s1 s2
        PFCOUNT s1 d1 missing
        PFCOUNT s1 s1
        GET s1
        PFMERGE m s1 s2
        GET m
        PFCOUNT m
        PFMERGE m d1
        STRLEN m
        GET m
        PFCOUNT m
        PFMERGE new
        GET new
        PFMERGE s1
        GET s1
        PFMERGE s1 s1
        GET s1
        PFMERGE x missing1 missing2
        GET x
        PFMERGE d1 s1
        GET d1
        PFMERGE s2 d1
        STRLEN s2
        GET s2
        SETEX v 1000000 ""
        DEL v
        PFADD v a
        EXPIRE v 1000000
        PFADD v b
        TTL v
        PFMERGE v s2
        TTL v
    """)


def test_merge_of_sparse_keys_stays_byte_equal(both2: Both) -> None:
    """Merging small keys one by one gives the same bytes at every step."""
    commands: list[tuple[str, ...]] = []
    for i in range(60):
        commands += add(f"p{i}", i * 40, i * 40 + 55)
        commands += [("PFMERGE", "all", f"p{i}"), ("GET", "all"), ("PFCOUNT", "all")]
    both2.run_many([*commands, ("PFCOUNT", *(f"p{i}" for i in range(60)))])


HEADER = b"HYLL"
# Two are left out: registers so high that Redis converts an infinite estimate to an integer, which
# C does not define, and an opcode cut in half, behind which Redis reads what is not its own.
CORRUPT = {
    "plain text": b"hello",
    "empty": b"",
    "number": b"123",
    "magic only": HEADER,
    "short header": HEADER + b"\x01" + b"\x00" * 10,
    "no opcodes": HEADER + b"\x01" + b"\x00" * 11,
    "unknown encoding": HEADER + b"\x02" + b"\x00" * 11,
    "encoding 255": HEADER + b"\xff" + b"\x00" * 20,
    "dense too short": HEADER + b"\x00" + b"\x00" * 11 + b"\x00" * 100,
    "dense too long": HEADER + b"\x00" + b"\x00" * 11 + b"\x00" * 12289,
    "dense of zeroes": HEADER + b"\x00" + b"\x00" * 11 + b"\x00" * 12288,
    "reserved bytes set": HEADER + b"\x01\x07\x08\x09" + b"\x00" * 8 + b"\x7f\xff",
    "stale sparse": HEADER + b"\x01" + b"\x00" * 10 + b"\x80" + b"\x7f\xff",
    "sparse too few registers": HEADER + b"\x01" + b"\x00" * 10 + b"\x80" + b"\x7f\xfe",
    "sparse too many registers": HEADER + b"\x01" + b"\x00" * 10 + b"\x80" + b"\x7f\xff\x00",
    "sparse far too many": HEADER + b"\x01" + b"\x00" * 10 + b"\x80" + b"\x7f\xff" * 5,
    "sparse of values": HEADER + b"\x01" + b"\x00" * 10 + b"\x80" + b"\x83" * 4096,
    "sparse mixed": HEADER + b"\x01" + b"\x00" * 10 + b"\x80" + b"\x80\x3f\x7f\xbe",
    "magic in lower case": b"hyll\x01" + b"\x00" * 10 + b"\x80" + b"\x7f\xff",
}


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_values(both: Both, name: str) -> None:
    """A value that is no HyperLogLog, or a damaged one, gives Redis's error and stays."""
    value = CORRUPT[name]
    both.run_many([
        ("SET", "k", value), ("PFADD", "k"), ("GET", "k"), ("PFCOUNT", "k"), ("GET", "k"),
        ("PFADD", "k", "a"), ("GET", "k"), ("SET", "k", value), ("PFADD", "g", "x", "y"),
        ("PFCOUNT", "k", "g"), ("PFCOUNT", "g", "k"), ("PFMERGE", "g", "k"), ("GET", "g"),
        ("PFMERGE", "k", "g"), ("GET", "k"), ("PFADD", "g", "z"), ("PFCOUNT", "g"),
    ])  # fmt: skip


def test_cached_count_is_trusted_until_it_is_stale(both2: Both) -> None:
    """The cached cardinality in the header is returned while its stale bit is clear."""
    cached = HEADER + b"\x01\x00\x00\x00" + (4242).to_bytes(8, "little") + b"\x7f\xff"
    both2.run_many([
        ("SET", "k", cached), ("PFCOUNT", "k"), ("PFCOUNT", "k", "missing"), ("PFADD", "k"),
        ("PFCOUNT", "k"), ("PFADD", "k", "a"), ("GET", "k"), ("PFCOUNT", "k"), ("GET", "k"),
    ])  # fmt: skip


def test_values_move_between_servers_and_edits_show(both2: Both) -> None:
    """Ordinary string commands see and change the representation."""
    both2.run_many([
        *add("h", 0, 30), ("COPY", "h", "c"), ("PFCOUNT", "c"), ("RENAME", "c", "d"),
        ("PFCOUNT", "d", "h"), ("SETRANGE", "d", "15", b"\x80"), ("PFCOUNT", "d"),
        ("APPEND", "d", "junk"), ("PFCOUNT", "d"), ("PFADD", "d", "zz"),
        ("GETRANGE", "h", "0", "3"),
    ])  # fmt: skip
