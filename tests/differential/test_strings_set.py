"""SET and its relatives: every option, every pair of options, every error."""

from __future__ import annotations

import itertools

import pytest

from tests.support.both import Both

OPTIONS = (
    ("NX",),
    ("XX",),
    ("GET",),
    ("KEEPTTL",),
    ("EX", "100000"),
    ("PX", "100000000"),
    ("EXAT", "4102444800"),
    ("PXAT", "4102444800000"),
)
STATES = {
    "missing": (),
    "string": (("SET", "k", "old"),),
    "integer": (("SET", "k", "12"),),
    "volatile": (("SET", "k", "old", "EX", "500000"),),
    "expired": (("SET", "k", "old"), ("PEXPIREAT", "k", "1")),
}


@pytest.mark.parametrize("state", STATES)
def test_set_takes_every_choice_of_up_to_three_options(both: Both, state: str) -> None:
    """SET answers, stores and keeps or drops the deadline as Redis does, whatever the options."""
    commands: list[tuple[str, ...]] = []
    for count in range(4):
        for chosen in itertools.permutations(OPTIONS, count):
            words = [word for option in chosen for word in option]
            commands += [("DEL", "k"), *STATES[state], ("SET", "k", "new", *words)]
            commands += [("GET", "k"), ("EXPIRETIME", "k")]

    both.run_many(commands)


def test_set_reads_options_in_any_case(both: Both) -> None:
    """Option words are not case sensitive."""
    both.script("""
        SET k v nx
        set k w Xx gEt
        sEt k x ex 1000
        SET k y keepttl GET
        TTL k
        SET k z px 1000000 nx
        SET k z pxat 4102444800000
        PEXPIRETIME k
    """)


def test_set_refuses_bad_expiry(both: Both) -> None:
    """An expiry must be a positive integer whose milliseconds do not overflow."""
    values = (
        "0 -1 -100 abc 1.5 9223372036854775807 9223372036854775 9223372036854776 "
        "9223372036854775808 -9223372036854775808 18446744073709551616 1e3 0x10 +5 ' 5' '' 007"
    )
    lines = [
        line
        for option in ("EX", "PX", "EXAT", "PXAT")
        for value in values.split()
        for line in (f"SET k v {option} {value}", "GET k", "DEL k")
    ]
    both.script("\n".join(lines))


def test_set_syntax_errors(both: Both) -> None:
    """Unknown words, a missing expiry and too few arguments are errors that change nothing."""
    both.script("""
        SET
        SET k
        SET k v foo
        SET k v EX
        SET k v NX EX
        SET k v 10
        SET k v ""
        SET k v EX NX
        SET k v EX 10 10
        SET k v NX XX GET
        SET k v EX 10 EX 20
        SET k v KEEPTTL KEEPTTL
        SET k v NX NX
        SET k v GET GET
        GET k
        TTL k
        EXISTS k
    """)


def test_set_stores_every_byte(both: Both) -> None:
    """Keys and values are binary safe, empty ones included."""
    every = bytes(range(256))
    both.run_many([
        ("SET", every, every), ("GET", every), ("STRLEN", every),
        ("SET", "", ""), ("GET", ""), ("EXISTS", ""), ("STRLEN", ""), ("KEYS", "*"),
        ("SET", "crlf", "a\r\nb"), ("GET", "crlf"), ("SET", b"\x00", b"\x00\x00"), ("GET", b"\x00"),
    ])  # fmt: skip


def test_setnx_setex_psetex(both: Both) -> None:
    """The old forms of SET: arity, results, deadlines and their own error texts."""
    both.script("""
        SETNX k v
        SETNX k w
        GET k
        SETNX k
        SETNX k a b
        SETEX k 100000 x
        GET k
        TTL k
        SETEX k 0 x
        SETEX k -5 x
        SETEX k abc x
        SETEX k 9223372036854775807 x
        SETEX k 9223372036854775 x
        SETEX k 10
        SETEX k 10 v w
        PSETEX k 100000000 y
        GET k
        PTTL k
        PSETEX k 0 x
        PSETEX k -1 x
        PSETEX k x x
        PSETEX k 9223372036854775807 x
        PSETEX k 10
        GET k
        SETNX k other
        TTL k
        SET k plain
        TTL k
    """)


def test_getset_getdel(both: Both) -> None:
    """GETSET drops the deadline; GETDEL removes the key."""
    both.script("""
        GETSET k one
        GETSET k two
        SETEX k 1000000 three
        GETSET k four
        TTL k
        GETSET k
        GETSET k a b
        GETDEL k
        GETDEL k
        EXISTS k
        GETDEL
        GETDEL a b
        GETDEL missing
        SETEX k 1000000 x
        GETDEL k
        TTL k
    """)


def test_getex(both: Both) -> None:
    """GETEX reads and changes or keeps the deadline; a deadline in the past removes the key."""
    both.script("""
        GETEX missing
        GETEX missing EX 100
        EXISTS missing
        SET k v
        GETEX k
        TTL k
        GETEX k EX 100000
        TTL k
        GETEX k
        TTL k
        GETEX k PX 100000000
        PTTL k
        GETEX k EXAT 4102444800
        EXPIRETIME k
        GETEX k PXAT 4102444800123
        PEXPIRETIME k
        GETEX k PERSIST
        TTL k
        GETEX k persist
        GETEX k EX 10 PX 10
        GETEX k EX 10 PERSIST
        GETEX k PERSIST EX 10
        GETEX k KEEPTTL
        GETEX k NX
        GETEX k GET
        GETEX k EX
        GETEX k EX abc
        GETEX k EX 0
        GETEX k EX -1
        GETEX k PX 0
        GETEX k EXAT 0
        GETEX k EX 9223372036854775807
        GETEX k PX 9223372036854775807
        GETEX k foo
        GETEX k PERSIST PERSIST
        GETEX
        TTL k
        GETEX k EXAT 1
        EXISTS k
        SET k v
        GETEX k PXAT 1
        EXISTS k
        GETEX k PXAT 1
    """)


def test_overwriting_changes_size_and_keeps_the_value_whole(both: Both) -> None:
    """Values that grow and shrink in place are read back whole."""
    commands: list[tuple[str | bytes, ...]] = []
    for size in (0, 1, 7, 8, 9, 44, 45, 63, 64, 65, 255, 256, 4095, 4096, 70000, 20, 3, 0, 1000):
        commands += [("SET", "k", b"x" * size), ("STRLEN", "k"), ("GET", "k")]
        commands += [("OBJECT", "ENCODING", "k")]
    both.run_many(commands)
