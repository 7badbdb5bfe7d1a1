"""The EXPIRE family, the TTL family and PERSIST."""

from __future__ import annotations

import itertools

import pytest

from tests.support.both import Both
from tests.support.script import values

COMMANDS = ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT")
ABSOLUTE = {"EXPIREAT": "4102444800", "PEXPIREAT": "4102444800000"}
FLAGS = ("NX", "XX", "GT", "LT")
BAD_TIMES = [
    *values("abc 1.5 9223372036854775807 9223372036854775808 -9223372036854775808"),
    *values("9223372036854775 9223372036854776 -9223372036854776 -9223372036854775"),
    *values("99999999999999999999"),
    *values("9223372036854774 9221000000000000000 +1000000 01000000 1e6"),
    "",
    " 1000000",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_set_of_flags(both: Both, command: str) -> None:
    """NX, XX, GT and LT alone and together, with and without a deadline, later and earlier."""
    unit = 1 if command.startswith("P") else 1000
    base = 4102444800000 if command.endswith("AT") else 500000000
    times = [str((base + change) // unit) for change in (-100000000, 0, 100000000)]
    states = [("SET", "k", "v"), ("SET", "k", "v", "PXAT", "4102444800000")]
    if not command.endswith("AT"):
        # Between two of the times: of equal ones, a tick of either clock would decide GT and LT.
        states.append(("SET", "k", "v", "PX", "550000000"))
    commands: list[tuple[str, ...]] = []
    for state, when, count in itertools.product(states, times, range(4)):
        for flags in itertools.permutations(FLAGS, count):
            commands += [state, (command, "k", when, *flags), ("PEXPIRETIME", "k")]
    both.run_many(commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_times_out_of_range(both: Both, command: str) -> None:
    """What is no integer or overflows is refused, on missing keys too, and changes nothing."""
    commands: list[tuple[str, ...]] = []
    for bad in BAD_TIMES:
        commands += [("SET", "k", "v", "PXAT", "4102444800000"), (command, "k", bad)]
        commands += [("PEXPIRETIME", "k"), (command, "missing", bad)]
        commands += [(command, "k", bad, "NX"), (command, "k", bad, "FOO")]
    both.run_many(commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_time_in_the_past_removes_the_key(both: Both, command: str) -> None:
    """Zero, negative and past times remove the key at once; flags are checked before."""
    commands: list[tuple[str, ...]] = []
    past = ["0", "-1", "-100000"] + (["1", "1000"] if command.endswith("AT") else [])
    for when, flags in itertools.product(past, [(), *((flag,) for flag in FLAGS)]):
        for state in (("SET", "k", "v"), ("SET", "k", "v", "PXAT", "4102444800000")):
            commands += [state, (command, "k", when, *flags), ("EXISTS", "k"), ("DBSIZE",)]
    both.run_many(commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_syntax_and_missing_keys(both: Both, command: str) -> None:
    """Arity, unknown and repeated flags, flags in lower case, and a key that is not there."""
    both.script(
        """
        %
        % k
        % missing 4102444800
        % missing 4102444800 XX
        % missing -1
        SET k v
        % k 4102444800 FOO
        % k 4102444800 NX FOO
        % k 4102444800 NX NX
        % k 4102444800 nx
        % k 4102544800 gT
        % k 4102444800 ""
        % k 4102444800 XX GT
        % k 4102444800 XX LT
        TTL k
        """.replace("%", command)
    )


def test_ttl_family(both: Both) -> None:
    """The TTL family: -2 for no key, -1 for no deadline, seconds rounded."""
    both.script("""
        TTL missing
        PTTL missing
        EXPIRETIME missing
        PEXPIRETIME missing
        SET k v
        TTL k
        PTTL k
        EXPIRETIME k
        PEXPIRETIME k
        EXPIREAT k 4102444800
        EXPIRETIME k
        PEXPIRETIME k
        TTL k
        PEXPIREAT k 4102444800499
        EXPIRETIME k
        PEXPIRETIME k
        PEXPIREAT k 4102444800500
        EXPIRETIME k
        PEXPIREAT k 4102444800999
        EXPIRETIME k
        PEXPIRE k 100000000
        PTTL k
        TTL k
        EXPIRE k 9223372036000
        TTL k
        PEXPIREAT k 9223372036854775807
        PEXPIRETIME k
        EXPIRETIME k
        TTL
        PTTL
        EXPIRETIME
        PEXPIRETIME
        TTL a b
        EXPIRETIME a b
    """)


def test_persist(both: Both) -> None:
    """PERSIST removes a deadline and says whether there was one."""
    both.script("""
        PERSIST missing
        SET k v
        PERSIST k
        EXPIRE k 1000000
        PERSIST k
        TTL k
        GET k
        PERSIST k
        PERSIST
        PERSIST a b
        EXPIRE k 1000000
        PEXPIREAT k 1
        PERSIST k
    """)


def test_which_writes_keep_the_deadline(both: Both) -> None:
    """Commands that replace a value drop its deadline, commands that edit it keep it."""
    writes = [
        "SET k 1", "SET k 1 KEEPTTL", "SET k 1 XX", "SET k 1 NX", "SET k 1 GET", "MSET k 1",
        "MSETNX k 1", "GETSET k 1", "APPEND k 1", "SETRANGE k 0 1", "INCR k", "INCRBYFLOAT k 1",
        "SETBIT k 1 1", "BITFIELD k SET u8 0 49", "BITOP OR k k", "GETEX k", "GETEX k PERSIST",
        "RENAME k k", "COPY k k", "TOUCH k", "EXPIRE k 2000000 GT", "EXPIRE k 2000000 NX",
    ]  # fmt: skip
    commands = []
    for write in writes:
        commands += ["SET k 12 EX 1000000", write, "TTL k", "GET k"]
    both.script("\n".join(commands))


def test_keys_expire_by_themselves(both: Both) -> None:
    """Short deadlines pass: DBSIZE reaches zero without anybody reading the keys."""
    both.run_many([("SET", f"k{i}", "v", "PX", str(1 + i % 3)) for i in range(50)])

    both.until(lambda server: server.admin.command("DBSIZE").raw == b":0\r\n", "active expiry")

    both.run_many([("GET", "k1"), ("DBSIZE",), ("KEYS", "*")])
