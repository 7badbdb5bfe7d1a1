"""WATCH: what touches a key, with two and more connections."""

from __future__ import annotations

import pytest

from tests.support.both import Both
from tests.support.resp import encode

TOUCHING = [
    "SET k new", "SET k old", "SET k v KEEPTTL", "APPEND k x", 'APPEND k ""', "INCR n", "DEL k",
    "UNLINK k", "EXPIRE k 100000", "EXPIRE k 0", "PEXPIREAT k 1", "PERSIST k", "PERSIST v",
    "RENAME k other", "RENAME other k", "RENAMENX k missing", "COPY other k REPLACE",
    "COPY k copied", "MOVE k 1", "GETSET k x", "GETDEL k", "GETEX k", "GETEX k EX 100000",
    "GETEX k PERSIST", "SETRANGE k 0 x", 'SETRANGE k 0 ""', "SETBIT k 0 0", "SETBIT k 0 1",
    "BITFIELD k SET u8 0 1", "BITFIELD k GET u8 0", "BITOP NOT k other", "BITOP AND k nothing",
    "MSET k a", "MSETNX k a", "MSETNX q a", "SETNX k v", "PFADD h x", "PFADD h", "PFADD h a",
    "PFCOUNT h", "PFMERGE h", "PFMERGE h k", "TOUCH k", "GET k", "FLUSHDB", "FLUSHALL",
    "FLUSHALL ASYNC", "SWAPDB 0 1", "SWAPDB 1 2", "SWAPDB 0 0", "SET k v XX GET", "SET k v NX",
    "SET k v NX GET", "INCRBYFLOAT n 0", "EXPIRE k 1000000 XX", "EXPIRE v 1000000 NX",
    "SET unrelated x", "SELECT 1", "DBSIZE", "INCR k", "SETEX k 0 x", "DEL missing",
    "SET missing v", "GETSET missing v", "DUMP k", "OBJECT ENCODING k", "RENAME k k", "COPY k k",
    "DEBUG SLEEP 0",
]  # fmt: skip
BEFORE = """
    MSET k old n 10 other thing
    SET v volatile EX 500000
    PFADD h a b
"""


@pytest.mark.parametrize("change", TOUCHING)
def test_which_changes_abort(both2: Both, change: str) -> None:
    """EXEC is refused exactly when another connection changed a watched key."""
    both2.script(BEFORE)
    both2.run("WATCH", "k", "n", "v", "h", "missing")
    both2.client("other").script(change)
    both2.script("""
        MULTI
        PING
        EXEC
        MULTI
        PING
        EXEC
    """)


@pytest.mark.parametrize("change", TOUCHING)
def test_own_changes_abort_too(both: Both, change: str) -> None:
    """A change by the watching connection itself, between WATCH and MULTI, counts as well."""
    both.script(BEFORE)
    both.script(f"""
        WATCH k n v h missing
        {change}
        MULTI
        PING
        EXEC
        MULTI
        PING
        EXEC
    """)


def test_restore_touches(both2: Both) -> None:
    """RESTORE over a watched key aborts."""
    both2.script("""
        SET k v
        WATCH k
    """)
    data = both2.reference.admin.command("DUMP", "k").node.data
    both2.client("other").run("RESTORE", "k", "0", data, "REPLACE")
    both2.script("""
        MULTI
        PING
        EXEC
    """)


def test_unwatch_and_discard_forget(both: Both) -> None:
    """After UNWATCH, DISCARD or EXEC nothing is watched."""
    other = both.client("other")
    both.run("WATCH", "a")
    other.run("SET", "a", "1")
    both.script("""
        UNWATCH
        MULTI
        PING
        EXEC
        WATCH a
    """)
    other.run("SET", "a", "2")
    both.script("""
        MULTI
        DISCARD
        MULTI
        PING
        EXEC
        WATCH a
        MULTI
        PING
        EXEC
    """)
    other.run("SET", "a", "3")
    both.script("""
        MULTI
        PING
        EXEC
    """)


def test_unwatch_inside_multi_is_queued(both: Both) -> None:
    """UNWATCH inside MULTI runs too late to help."""
    both.run("WATCH", "a")
    both.client("other").run("SET", "a", "1")
    both.script("""
        MULTI
        UNWATCH
        PING
        EXEC
        MULTI
        UNWATCH
        EXEC
    """)


def test_change_after_multi_aborts(both: Both) -> None:
    """A change while commands are being queued aborts as well."""
    both.script("""
        WATCH a
        MULTI
        SET b 1
    """)
    both.client("other").run("SET", "a", "1")
    both.script("""
        EXEC
        EXISTS b
    """)


def test_watch_needs_the_right_database(both: Both) -> None:
    """A key is watched in the database in which WATCH ran."""
    other = both.client("other")
    both.script("""
        SELECT 1
        WATCH k
        SELECT 0
    """)
    other.run("SET", "k", "in 0")
    both.script("""
        MULTI
        PING
        EXEC
        SELECT 1
        WATCH k
        SELECT 0
    """)
    other.script("""
        SELECT 1
        SET k v
    """)
    both.script("""
        MULTI
        PING
        EXEC
    """)


@pytest.mark.parametrize("flush", ["FLUSHALL", "FLUSHDB", "FLUSHALL SYNC", "FLUSHDB ASYNC"])
def test_flush_touches_only_existing_keys(both: Both, flush: str) -> None:
    """Flushing a missing watched key changes nothing; an existing one is gone."""
    other = both.client("other")
    both.run("WATCH", "missing")
    other.script(flush)
    both.script("""
        MULTI
        PING
        EXEC
        SET k v
        WATCH k
    """)
    other.script(flush)
    both.script("""
        MULTI
        PING
        EXEC
    """)


@pytest.mark.parametrize(
    ("before", "swap"),
    [
        ("SET k v", "SWAPDB 0 1"),
        ("PING", "SWAPDB 0 1"),
        ("SET k v", "SWAPDB 1 0"),
        ("SET k v", "SWAPDB 2 3"),
        ("SET k v", "SWAPDB 0 0"),
    ],
)
def test_swapdb_touches_what_appears_and_disappears(both: Both, before: str, swap: str) -> None:
    """A key that exists in one of the two databases counts as changed."""
    other = both.client("other")
    both.script(f"{before}\nWATCH k")
    other.script(swap)
    both.script("""
        MULTI
        GET k
        EXEC
    """)
    other.script(f"SELECT 1\nSET k there\nSELECT 0\nDEL k\n{swap}")
    both.script("""
        WATCH k
        MULTI
        GET k
        EXEC
    """)


def test_expiry_of_a_watched_key(both: Both) -> None:
    """A watched key that expires before EXEC aborts it, one that was expired already does not."""
    both.script("""
        SET k v PX 1
        WATCH k
    """, match=lambda *_: True)  # fmt: skip
    both.until(lambda server: server.admin.command("EXISTS", "k").raw == b":0\r\n", "expiry")
    both.script("""
        UNWATCH
        SET k v
        PEXPIREAT k 1
        WATCH k
        MULTI
        PING
        EXEC
        SET k v PX 100
        WATCH k
    """)
    both.until(lambda server: server.admin.command("EXISTS", "k").raw == b":0\r\n", "expiry")
    both.script("""
        MULTI
        PING
        EXEC
    """)


def test_watching_twice_and_many(both: Both) -> None:
    """The same key twice, hundreds of keys, keys of other connections."""
    other = both.client("other")
    both.run("WATCH", "a", "a", "a")
    both.run("WATCH", *(f"k{i}" for i in range(500)))
    other.run("WATCH", "a", "k3")
    other.run("SET", "k499", "v")
    both.script("""
        MULTI
        PING
        EXEC
    """)
    other.script("""
        MULTI
        PING
        EXEC
    """)


def test_no_command_of_another_client_runs_inside_exec(both2: Both) -> None:
    """Two clients move the same sum; every transaction of a third sees it whole."""
    reader, writer = both2.client("reader").subject, both2.client("writer").subject
    writer.pipeline([("MSET", "a", "500", "b", "500")])
    move = [("MULTI",), ("DECRBY", "a", "7"), ("INCRBY", "b", "7"), ("EXEC",)]
    look = [("MULTI",), ("GET", "a"), ("PING",), ("GET", "b"), ("EXEC",)]

    for _ in range(50):
        writer.send(b"".join(encode(*command) for command in move) * 20)
        looks = [reply for _ in range(5) for reply in reader.pipeline(look)[-1:]]
        for _ in range(20 * len(move)):
            writer.read()
        for reply in looks:
            first, _, second = reply.node.items
            assert int(first.data) + int(second.data) == 1000


def test_closing_a_watching_connection(both2: Both) -> None:
    """A connection that goes away while it watches leaves nothing behind."""
    for i in range(30):
        pair = both2.client(f"passing {i}")
        pair.run("WATCH", "k", f"k{i}")
        if i % 2:
            pair.run("MULTI")
        pair.close()
    both2.script("""
        SET k v
        WATCH k
        MULTI
        PING
        EXEC
    """)
