"""MULTI, EXEC and DISCARD on one connection."""

from __future__ import annotations

import pytest

from tests.support.both import Both


def test_basic_transaction(both: Both) -> None:
    """Commands are queued, run in order, and answered in one array."""
    both.script("""
        MULTI
        SET a 1
        INCR a
        GET a
        GET missing
        PING
        ECHO hello
        MGET a missing
        EXEC
        GET a
        MULTI
        EXEC
        multi
        exec
    """)


def test_without_multi(both: Both) -> None:
    """EXEC and DISCARD need MULTI; their arity is checked first."""
    both.script("""
        EXEC
        DISCARD
        EXEC x
        DISCARD x
        MULTI x
        WATCH
        UNWATCH x
        UNWATCH
        MULTI
        DISCARD
        EXEC
    """)


def test_discard(both: Both) -> None:
    """DISCARD forgets the queue and the watched keys."""
    both.script("""
        MULTI
        SET a 1
        DISCARD
        GET a
        DISCARD
        WATCH a
        MULTI
        DISCARD
        SET a 1
        MULTI
        GET a
        EXEC
    """)


@pytest.mark.parametrize(
    "bad",
    [
        "NOSUCH", "NOSUCH a b", "GET", "SET a", "INCR a b c", "MULTI", "WATCH a", "CONFIG",
        "CONFIG FOO", "OBJECT FOO a", "MULTI x", "WATCH", "EXEC x", "DISCARD x", "CLIENT",
        "CLIENT NOSUCH", "COMMAND NOSUCH", "MONITOR x", "QUIT x",
    ],
)  # fmt: skip
def test_errors_while_queueing(both: Both, bad: str) -> None:
    """Some errors abort the transaction, others are answered and forgotten."""
    both.script(f"""
        MULTI
        SET a 1
        {bad}
        SET b 2
        EXEC
        MGET a b
        EXEC
        MULTI
        {bad}
        DISCARD
        MULTI
        GET a
        EXEC
    """)


def test_errors_inside_exec(both: Both) -> None:
    """A command that fails while EXEC runs does not stop the others."""
    both.script("""
        SET s text
        MULTI
        INCR s
        SET a 1
        GETRANGE a x y
        SETEX a 0 v
        PFADD s x
        SELECT 99
        SET b 2
        EXEC
        MGET a b s
    """)


def test_syntax_errors_are_found_at_run_time(both: Both) -> None:
    """Only the command's name and arity are checked while queueing."""
    both.script("""
        MULTI
        SET a 1 FOO
        EXPIRE a abc
        BITOP FOO d a
        SCAN x
        EXEC
        EXISTS a
    """)


def test_select_inside(both: Both) -> None:
    """SELECT inside a transaction takes effect there and afterwards."""
    both.script("""
        SET k zero
        MULTI
        SELECT 1
        SET k one
        SELECT 2
        GET k
        EXEC
        GET k
        SELECT 1
        GET k
        SELECT 0
        GET k
    """)


def test_commands_not_allowed_inside(both: Both) -> None:
    """Commands of the connection: allowed, refused or run at once."""
    both.script("""
        MULTI
        RESET
        EXEC
        MULTI
        CLIENT REPLY ON
        CLIENT SETNAME inside
        CLIENT GETNAME
        SELECT 3
        EXEC
        CLIENT GETNAME
        MULTI
        HELLO
        AUTH x
        EXEC
    """, match=lambda one, two: one.node.kind == two.node.kind)  # fmt: skip


def test_hello_inside_is_queued(both: Both) -> None:
    """HELLO can be queued; the protocol of the replies after it changes with it."""
    both.script("""
        MULTI
        SET a 1
        HELLO 99
        GET missing
        EXEC
        GET missing
    """)


def test_quit_inside(both: Both) -> None:
    """QUIT in a transaction answers and closes."""
    both.script("""
        MULTI
        SET a 1
        QUIT
    """)
    both.client().compare_end("after QUIT")
    both.client("second").run("EXISTS", "a")


def test_flush_and_dbsize_inside(both: Both) -> None:
    """Whole-database commands run inside a transaction."""
    both.script("""
        MSET a 1 b 2
        MULTI
        DBSIZE
        FLUSHDB
        DBSIZE
        SET c 3
        KEYS *
        SWAPDB 0 1
        KEYS *
        EXEC
        DBSIZE
        SELECT 1
        DBSIZE
        MULTI
        FLUSHALL
        SCAN 0
        RANDOMKEY
        EXEC
    """)


def test_deadlines_inside(both: Both) -> None:
    """Keys whose deadline passes inside the transaction are gone for the rest of it."""
    both.script("""
        MULTI
        SET a 1
        PEXPIREAT a 1
        GET a
        SET b 1 EX 100000
        TTL b
        PERSIST b
        TTL b
        EXPIREAT b 1
        EXISTS b
        EXEC
        EXISTS a b
    """)


def test_long_transaction(both: Both) -> None:
    """A thousand queued commands answer a thousand replies."""
    both.run_many([("MULTI",), *[("INCR", "n")] * 1000, ("EXEC",), ("GET", "n")])


def test_large_arguments_are_kept(both: Both) -> None:
    """Arguments stay whole while they are queued."""
    big = "x" * 100_000
    both.run_many([
        ("MULTI",), ("SET", "a", big), ("APPEND", "a", big), ("STRLEN", "a"), ("GET", "a"),
        ("EXEC",),
    ])  # fmt: skip


def test_step_by_step_equals_pipeline(both: Both) -> None:
    """A transaction sent in single round trips behaves the same."""
    both.steps("""
        WATCH a
        MULTI
        SET a 1
        INCR a
        NOSUCH
        EXEC
        MULTI
        INCR a
        EXEC
        UNWATCH
        GET a
    """)
