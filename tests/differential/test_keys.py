"""DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME, COPY, MOVE, RANDOMKEY, OBJECT, WAIT."""

from __future__ import annotations

import itertools

import pytest

from tests.support.both import Both
from tests.support.match import anything

LOOKS = [
    "GET k", "EXISTS k", "TTL k", "PTTL k", "TYPE k", "STRLEN k", "GETRANGE k 0 -1",
    "GETBIT k 1", "BITCOUNT k", "BITPOS k 1", "PERSIST k", "EXPIRE k 100", "RENAME k l",
    "COPY k l", "MOVE k 1", "DUMP k", "OBJECT ENCODING k", "TOUCH k", "DEL k", "UNLINK k",
    "KEYS *", "SCAN 0", "RANDOMKEY", "MGET k", "PFCOUNT k", "GETEX k", "GETDEL k", "SET k v XX",
    "SETNX k v", "APPEND k v", "INCR k", "GETSET k v", "SET k v KEEPTTL", "EXPIRETIME k",
    "LCS k k", "BITOP NOT d k", "MEMORY USAGE k", "BITFIELD k GET u8 0",
    "BITFIELD_RO k GET u8 0", "SETRANGE k 0 a",
]  # fmt: skip


@pytest.mark.parametrize("command", ["DEL", "UNLINK", "EXISTS", "TOUCH"])
def test_counting_commands(both: Both, command: str) -> None:
    """They count keys, an argument given twice counts as often as Redis counts it."""
    both.script(
        """
        %
        % missing
        MSET a 1 b 2 c 3
        % a
        % a a b
        % missing c c missing
        MSET a 1 b 2
        PEXPIREAT a 1
        % a b
        DBSIZE
        """.replace("%", command)
    )


def test_type(both: Both) -> None:
    """TYPE of a string, of an expired key, of nothing."""
    both.script("""
        SET a 1
        TYPE a
        TYPE missing
        PFADD h x
        TYPE h
        PEXPIREAT a 1
        TYPE a
        TYPE
        TYPE a b
    """)


def test_rename(both: Both) -> None:
    """RENAME moves value and deadline and replaces the target; the same name is fine."""
    both.script("""
        RENAME missing other
        RENAMENX missing other
        RENAME missing missing
        RENAMENX missing missing
        SET a 1
        RENAME a a
        RENAMENX a a
        RENAME a b
        GET b
        EXISTS a
        SETEX c 1000000 v
        RENAME c b
        GET b
        TTL b
        SET d 2
        RENAME d b
        TTL b
        SET e 3
        RENAMENX e b
        RENAMENX e f
        GET f
        SET x 1
        PEXPIREAT x 1
        RENAME x y
        SET p 1
        SET q 2
        PEXPIREAT q 1
        RENAMENX p q
        GET q
        TTL q
        RENAME
        RENAME a
        RENAME a b c
        RENAMENX a
        DBSIZE
    """)


def test_copy(both: Both) -> None:
    """COPY within and between databases, with and without REPLACE, deadline included."""
    both.script("""
        COPY missing b
        SET a hello
        COPY a b
        GET b
        COPY a b
        SET a world
        COPY a b REPLACE
        GET b
        COPY a a
        COPY a a REPLACE
        COPY a a DB 0
        COPY a a DB 1
        COPY a a DB 1
        COPY a a DB 1 REPLACE
        COPY a z DB 5 REPLACE
        SELECT 5
        GET z
        SELECT 0
        SETEX v 1000000 x
        COPY v w
        TTL w
        SET n 42
        COPY n m
        OBJECT ENCODING m
        INCR m
        GET n
        COPY v b REPLACE
        TTL b
        COPY n b REPLACE
        TTL b
        PEXPIREAT v 1
        COPY v u
        EXISTS u
        SET gone 1
        PEXPIREAT gone 1
        COPY n gone
        TTL gone
        COPY
        COPY a
        COPY a b DB
        COPY a b DB x
        COPY a b DB 1.5
        COPY a b DB -1
        COPY a b DB 16
        COPY a b DB 99999999999
        COPY a b DB 9223372036854775808
        COPY a b FOO
        COPY a b REPLACE REPLACE
        COPY a b DB 1 DB 2
        COPY a b replace db 3
        COPY a b REPLACE FOO
        COPY missing b DB 16
        COPY missing missing
    """)


def test_move(both: Both) -> None:
    """MOVE takes the key with its deadline, unless the target has one of that name."""
    both.script("""
        MOVE missing 1
        SETEX a 1000000 v
        MOVE a 1
        EXISTS a
        SELECT 1
        GET a
        TTL a
        SELECT 0
        SET a other
        MOVE a 1
        GET a
        MOVE a 0
        MOVE missing 0
        MOVE a 16
        MOVE a -1
        MOVE a x
        MOVE a 1.5
        MOVE a ""
        MOVE a 9223372036854775808
        MOVE
        MOVE a
        MOVE a 1 2
        SET b 1
        PEXPIREAT b 1
        MOVE b 2
        SELECT 2
        EXISTS b
        SET c 1
        PEXPIREAT c 1
        SELECT 0
        SET c live
        MOVE c 2
        SELECT 2
        GET c
        TTL c
    """)


def test_databases_are_separate(both: Both) -> None:
    """The same key in all sixteen databases."""
    commands: list[tuple[str, ...]] = []
    for database in range(16):
        commands += [("SELECT", str(database)), ("GET", "k"), ("SET", "k", f"in {database}")]
    for database in reversed(range(16)):
        commands += [("SELECT", str(database)), ("GET", "k"), ("DBSIZE",)]
    commands += [("SELECT", "7"), ("FLUSHDB",), ("DBSIZE",), ("SELECT", "8"), ("DBSIZE",)]
    commands += [("FLUSHALL",), ("DBSIZE",), ("SELECT", "0"), ("DBSIZE",)]
    both.run_many(commands)


def test_randomkey(both: Both) -> None:
    """RANDOMKEY of nothing, of one key, and every key of a few in the end."""
    both.script("""
        RANDOMKEY
        RANDOMKEY x
        SET only 1
        RANDOMKEY
        SELECT 3
        RANDOMKEY
        SELECT 0
    """)
    names = [f"k{i}" for i in range(8)]
    both.run_many([("DEL", "only"), *(("SET", name, "v") for name in names)])

    found = {node.data for node in both.run_many([("RANDOMKEY",)] * 400, match=anything)}

    assert found == {name.encode() for name in names}


def test_randomkey_is_roughly_uniform(both2: Both) -> None:
    """No key of a hundred is drawn far more often or far more seldom than its share."""
    both2.run_many([("SET", f"k{i}", "v") for i in range(100)])

    drawn = [n.data for n in both2.run_many([("RANDOMKEY",)] * 10_000, match=anything)]

    counts = [drawn.count(f"k{i}".encode()) for i in range(100)]
    assert sum(counts) == 10_000
    assert min(counts) > 20
    assert max(counts) < 450


def test_object(both: Both) -> None:
    """OBJECT's subcommands, their errors, and none of them on a missing key."""
    both.script("""
        SET int 12345
        SET small hello
        SET border 12345678901234567890123456789012345678901234
        SET raw 123456789012345678901234567890123456789012345
        OBJECT ENCODING int
        OBJECT ENCODING small
        OBJECT ENCODING border
        OBJECT ENCODING raw
        object encoding missing
        OBJECT REFCOUNT small
        OBJECT REFCOUNT raw
        OBJECT REFCOUNT missing
        OBJECT IDLETIME missing
        OBJECT FREQ small
        OBJECT FREQ missing
        OBJECT
        OBJECT FOO
        OBJECT FOO small
        OBJECT ENCODING
        OBJECT ENCODING a b
        OBJECT REFCOUNT
        OBJECT FREQ
        OBJECT IDLETIME
        OBJECT HELP x
        PEXPIREAT small 1
        OBJECT ENCODING small
        OBJECT REFCOUNT small
    """)
    assert both.run("OBJECT", "HELP", match=anything).kind == "*"
    assert both.run("OBJECT", "IDLETIME", "raw", match=anything).integer <= 2


def test_object_freq_under_an_lfu_policy(both2: Both) -> None:
    """With an LFU policy FREQ answers a number and IDLETIME an error."""
    with both2.settings(maxmemory_policy="allkeys-lfu"):
        both2.run("SET", "k", "v")
        frequency = both2.run("OBJECT", "FREQ", "k", match=anything)
        both2.script("""
            OBJECT IDLETIME k
            OBJECT FREQ missing
        """)

    assert 0 < frequency.integer <= 255


def test_wait(both: Both) -> None:
    """WAIT without replicas answers at once when none is asked for, or after its time."""
    both.script("""
        WAIT 0 0
        WAIT 0 100
        WAIT 1 1
        WAIT 1 10
        WAIT -1 0
        WAIT x 0
        WAIT 0 -1
        WAIT 0 x
        WAIT 0 9223372036854775807
        WAIT 0 9223372036854775808
        WAIT
        WAIT 1
        WAIT 1 1 1
        SET k v
        WAIT 2 1
        MULTI
        WAIT 1 0
        EXEC
    """)


def test_expired_keys_are_gone_for_every_command(both: Both) -> None:
    """A key whose deadline has passed does not exist, whichever command looks."""
    lines = itertools.chain.from_iterable(
        ("DEL k", "SET k 1", "PEXPIREAT k 1", look, "TTL k") for look in LOOKS
    )
    both.script("\n".join(lines))
