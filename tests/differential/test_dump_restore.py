"""DUMP and RESTORE of strings, each server's payloads on the other."""

from __future__ import annotations

import random

import pytest

from tests.support import payload
from tests.support.both import Both
from tests.support.match import anything

REFERENCE_VERSION = 10
VALUES: dict[str, bytes] = {
    "empty": b"",
    "letter": b"a",
    "short": b"hello world",
    "20 bytes": b"x" * 20,
    "63 bytes": random.Random(1).randbytes(63),
    "64 bytes": random.Random(2).randbytes(64),
    "16383 bytes": random.Random(3).randbytes(16383),
    "16384 bytes": random.Random(4).randbytes(16384),
    "binary": bytes(range(256)),
    **{
        f"integer {number}": str(number).encode()
        for number in (
            0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65536,
            2147483647, 2147483648, -2147483648, -2147483649, 99999999999, 2**63 - 1,
        )
    },
    "padded integer": b"007",
    "plus": b"+5",
    "float": b"1.5",
}  # fmt: skip
COMPRESSIBLE: dict[str, bytes] = {
    "21 equal": b"a" * 21,
    "100 equal": b"z" * 100,
    "pattern": b"abcdefgh" * 50,
    "text": b"the quick brown fox jumps over the lazy dog and the lazy dog sleeps " * 20,
    "long run": b"\x00" * 100_000,
    "mixed": random.Random(5).randbytes(5000) + b"q" * 3000 + random.Random(6).randbytes(5000),
    "far repeats": (random.Random(7).randbytes(9000) * 3),
    "number text": b"1234567890" * 30,
}


@pytest.mark.parametrize("name", VALUES)
def test_dump_of_what_does_not_compress_is_equal(both: Both, name: str) -> None:
    """The serialized value is byte for byte the same; version and checksum are the server's own."""
    both.run("SET", "k", VALUES[name])

    ours = both.run("DUMP", "k", match=anything).data
    theirs = both.reference.admin.command("DUMP", "k").node.data

    assert payload.body(theirs) == payload.body(ours)
    assert payload.is_sound(ours)
    # Redis 7.2 writes RDB version 11, the reference writes 10.
    assert payload.version(ours) == (11 if both.subject.is_72 else REFERENCE_VERSION)


@pytest.mark.parametrize("name", [*VALUES, *COMPRESSIBLE])
def test_payloads_restore_on_the_other_server(both2: Both, name: str) -> None:
    """What one server dumps the other restores, compressed or not.

    The subject's version is rewritten to 10 for the reference, which refuses 11.
    """
    value = (VALUES | COMPRESSIBLE)[name]
    both2.run("SET", "k", value)
    ours = both2.client().subject.command("DUMP", "k").node.data
    theirs = both2.client().reference.command("DUMP", "k").node.data

    both2.run("RESTORE", "from theirs", "0", theirs)
    both2.run("RESTORE", "from ours", "0", payload.frame(payload.body(ours), REFERENCE_VERSION))

    for key in ("from theirs", "from ours"):
        assert both2.run("GET", key).data == value
        both2.run_many([("OBJECT", "ENCODING", key), ("TTL", key), ("STRLEN", key)])


def test_dump_of_nothing(both: Both) -> None:
    """DUMP of a missing or expired key is null."""
    both.script("""
        DUMP missing
        SET k v
        PEXPIREAT k 1
        DUMP k
        DUMP
        DUMP a b
    """)


HELLO = payload.frame(b"\x00\x05hello")


def test_restore_deadlines_and_replace(both: Both) -> None:
    """Relative and absolute deadlines, REPLACE, a deadline that has passed."""
    both.run_many([
        ("RESTORE", "k", "0", HELLO), ("GET", "k"), ("TTL", "k"),
        ("RESTORE", "k", "0", HELLO), ("RESTORE", "k", "0", HELLO, "REPLACE"),
        ("RESTORE", "k", "100000000", HELLO, "replace"), ("PTTL", "k"),
        ("RESTORE", "k", "0", HELLO, "REPLACE"), ("TTL", "k"),
        ("RESTORE", "k", "4102444800000", HELLO, "ABSTTL", "REPLACE"), ("PEXPIRETIME", "k"),
        ("RESTORE", "k", "1", HELLO, "REPLACE", "ABSTTL"), ("EXISTS", "k"),
        ("SET", "k", "old"), ("RESTORE", "k", "1", HELLO, "REPLACE", "ABSTTL"), ("GET", "k"),
        ("RESTORE", "new", "1", HELLO, "ABSTTL"), ("EXISTS", "new"), ("DBSIZE",),
        ("SET", "x", "v"), ("PEXPIREAT", "x", "1"), ("RESTORE", "x", "0", HELLO), ("GET", "x"),
    ])  # fmt: skip


@pytest.mark.memory_only("idle times and frequencies are not kept on disk")
def test_restore_idletime_and_freq(both: Both) -> None:
    """IDLETIME and FREQ are read whatever the policy; their ranges are checked."""
    both.run_many([
        ("RESTORE", "k", "0", HELLO, "IDLETIME", "1000"), ("GET", "k"),
        ("RESTORE", "l", "0", HELLO, "FREQ", "100"), ("GET", "l"),
        ("RESTORE", "m", "0", HELLO, "IDLETIME", "1", "FREQ", "1"),
        ("RESTORE", "m", "0", HELLO, "FREQ", "1", "IDLETIME", "1"),
        ("RESTORE", "m", "0", HELLO, "IDLETIME", "-1"), ("RESTORE", "m", "0", HELLO, "FREQ", "-1"),
        ("RESTORE", "m", "0", HELLO, "FREQ", "256"), ("RESTORE", "m", "0", HELLO, "FREQ", "255"),
        ("RESTORE", "n", "0", HELLO, "IDLETIME", "x"), ("RESTORE", "n", "0", HELLO, "FREQ", "x"),
        ("RESTORE", "n", "0", HELLO, "IDLETIME"), ("RESTORE", "n", "0", HELLO, "FREQ"),
        ("RESTORE", "n", "0", HELLO, "IDLETIME", "0"), ("DBSIZE",),
    ])  # fmt: skip
    both.run("RESTORE", "idle", "0", HELLO, "IDLETIME", "5000")
    assert 5000 <= both.run("OBJECT", "IDLETIME", "idle", match=anything).integer <= 5003


def test_restore_errors(both: Both) -> None:
    """Arity, the deadline's range, unknown options, the order in which errors are found."""
    both.run_many([
        ("RESTORE",), ("RESTORE", "k"), ("RESTORE", "k", "0"), ("RESTORE", "k", "-1", HELLO),
        ("RESTORE", "k", "x", HELLO), ("RESTORE", "k", "1.5", HELLO), ("RESTORE", "k", "", HELLO),
        ("RESTORE", "k", "9223372036854775808", HELLO), ("RESTORE", "k", "0", HELLO, "FOO"),
        ("RESTORE", "k", "0", HELLO, "REPLACE", "FOO"), ("RESTORE", "k", "0", HELLO, ""),
        ("RESTORE", "k", "0", "junk"), ("RESTORE", "k", "0", ""), ("RESTORE", "k", "-1", "junk"),
        ("RESTORE", "k", "0", HELLO + b"x"), ("RESTORE", "k", "0", HELLO[:-1]),
        ("SET", "k", "v"), ("RESTORE", "k", "0", "junk"), ("RESTORE", "k", "-1", "junk"),
        ("RESTORE", "k", "0", "junk", "REPLACE"), ("GET", "k"), ("RESTORE", "k", "-1", HELLO),
        ("RESTORE", "k", "9223372036854775807", HELLO, "REPLACE", "ABSTTL"), ("PEXPIRETIME", "k"),
    ])  # fmt: skip


BODIES = {
    "unknown type": b"\x63\x05hello",
    "no value": b"\x00",
    "nothing": b"",
    "text cut": b"\x00\x05hell",
    "text too long": b"\x00\x05hello world",
    "int8": b"\x00\xc0\x80",
    "int8 cut": b"\x00\xc0",
    "int16": b"\x00\xc1\x39\x30",
    "int16 cut": b"\x00\xc1\x39",
    "int32": b"\x00\xc2\x00\x00\x00\x80",
    "int32 cut": b"\x00\xc2\x00\x00",
    "14 bit length": b"\x00\x40\x05hello",
    "14 bit length cut": b"\x00\x40",
    "32 bit length": b"\x00\x80\x00\x00\x00\x05hello",
    "64 bit length": b"\x00\x81\x00\x00\x00\x00\x00\x00\x00\x05hello",
    "32 bit length far too long": b"\x00\x80\x7f\xff\xff\xffhello",
    "unknown length form": b"\x00\xbfhello",
    "unknown encoding": b"\x00\xc4hello",
    "lzf": b"\x00\xc3\x05\x15\x00a\xe0\x0b\x00",
    "lzf run": b"\x00\xc3\x04\x0a\x00a\xe0\x00",
    "lzf good": b"\x00\xc3\x06\x15\x01aa\xe0\x0a\x00",
    "lzf length wrong": b"\x00\xc3\x06\x16\x01aa\xe0\x0a\x00",
    "lzf longer than said": b"\x00\xc3\x06\x05\x01aa\xe0\x0a\x00",
    "lzf reference before start": b"\x00\xc3\x05\x0a\x00a\x20\x05\x00",
    "lzf literal cut": b"\x00\xc3\x02\x0a\x1fa",
    "lzf cut": b"\x00\xc3\x06\x15\x01aa",
    "lzf empty": b"\x00\xc3\x00\x00",
    "lzf of nothing": b"\x00\xc3\x01\x00\x00",
    "module type": b"\x07\x05hello",
    "opcode expire": b"\xfd\x00\x00\x00\x00\x00\x05hello",
    "opcode end": b"\xff",
}


# Redis reads on into the version and the checksum when a value is cut, does not mind bytes behind a
# value, and unpacks one byte to nothing. A server may refuse these with its usual error instead.
DOUBTFUL = {"text cut", "int8 cut", "int16 cut", "int32 cut", "text too long", "lzf of nothing"}


@pytest.mark.parametrize("name", sorted(DOUBTFUL))
def test_doubtful_values_may_be_refused(both: Both, name: str) -> None:
    """Refused wholly or restored as Redis restores them."""
    data = payload.frame(BODIES[name])
    reply = both.run("RESTORE", "k", "0", data, match=anything)
    if reply.is_error:
        assert reply.data == b"ERR Bad data format"
        assert both.run("EXISTS", "k", match=anything).integer == 0
    else:
        both.run("GET", "k")


@pytest.mark.parametrize("name", sorted(set(BODIES) - DOUBTFUL))
def test_damaged_values_with_a_sound_checksum(both: Both, name: str) -> None:
    """A value that cannot be read is refused and creates nothing."""
    both.run("SET", "old", "kept")
    data = payload.frame(BODIES[name])

    both.run_many([
        ("RESTORE", "k", "0", data), ("GET", "k"), ("OBJECT", "ENCODING", "k"),
        ("RESTORE", "old", "0", data, "REPLACE"), ("GET", "old"), ("DBSIZE",),
    ])  # fmt: skip


def test_versions(both: Both) -> None:
    """Older versions are accepted, those from the future are not.

    Version 11 is left out: it is 7.2's own, and the reference refuses it.
    """
    for version in (0, 1, 2, 5, 6, 7, 8, 9, 10, 12, 13, 255, 65535):
        data = payload.frame(b"\x00\x05hello", version)
        both.run_many([("RESTORE", "k", "0", data), ("GET", "k"), ("DEL", "k")])


def test_version_of_72_is_accepted_at_that_level(both: Both) -> None:
    """Version 11 is what 7.2 writes, so a 7.2 server reads it and an older one refuses."""
    reply = both.run("RESTORE", "k", "0", payload.frame(b"\x00\x02ok", 11), match=anything)

    assert reply.is_error is not both.subject.is_72


def test_one_wrong_bit_anywhere_is_found(both2: Both) -> None:
    """The checksum finds every single wrong bit."""
    commands: list[tuple[bytes | str, ...]] = []
    for at in range(len(HELLO) * 8):
        wrong = bytearray(HELLO)
        wrong[at // 8] ^= 1 << at % 8
        commands.append(("RESTORE", "k", "0", bytes(wrong)))
    both2.run_many([*commands, ("EXISTS", "k"), ("RESTORE", "k", "0", HELLO), ("GET", "k")])


def test_hyperloglog_travels(both2: Both) -> None:
    """A HyperLogLog is a string: it restores and counts the same on both sides."""
    both2.run("PFADD", "h", *(f"e{i}" for i in range(500)))
    ours = both2.client().subject.command("DUMP", "h").node.data

    both2.run("RESTORE", "copy", "0", payload.frame(payload.body(ours), REFERENCE_VERSION))

    both2.run_many([("PFCOUNT", "copy"), ("GET", "copy"), ("PFCOUNT", "copy", "h")])
