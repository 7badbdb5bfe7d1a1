"""MONITOR lines and SLOWLOG entries."""

from __future__ import annotations

import pytest

from tests.support.both import Both, Pair
from tests.support.match import masked
from tests.support.resp import Node

LINE = masked(rb"^\d{10}\.\d{6}", rb"127\.0\.0\.1:\d+")


def compare_lines(monitor: Pair) -> list[str]:
    """What MONITOR shows up to a command with the argument `end`, compared line by line."""
    lines: list[str] = []
    while not lines or "end" not in lines[-1]:
        lines.append(monitor.compare(f"line {len(lines)} of MONITOR", LINE).text)
    return lines


def test_monitor_shows_commands_as_they_came(both: Both) -> None:
    """Each line holds time, database, client and the quoted arguments."""
    both.client()
    monitor = both.client("monitor")
    monitor.run("MONITOR")
    both.run_many([
        ("PING",), ("SET", "k", "v"), ("SELECT", "5"), ("get", "k"),
        ("SET", "odd", 'quote " backslash \\ \r\n\t\a\b \x00\x01\x7f'), ("SET", "", b"\x80\xff"),
        ("ECHO", "caf\u00e9"), ("MGET", *("k",) * 50),
        ("EXISTS", "end"),
    ])  # fmt: skip

    lines = compare_lines(monitor)

    assert lines[2].endswith('"SELECT" "5"')
    assert " [5 127.0.0.1:" in lines[3]


def test_secrets_and_administration_in_monitor(both: Both) -> None:
    """Secrets are hidden, administration stays out, failing commands show as in Redis."""
    both.client()
    monitor = both.client("monitor")
    monitor.run("MONITOR")
    both.script("""
        AUTH secret
        CONFIG GET timeout
        CLIENT SETNAME me
        NOSUCH a
        GET
        INCR k
        GETRANGE k a b
        SLOWLOG RESET
        DEBUG SLEEP 0
        HELLO 9
        EXISTS end
    """)
    compare_lines(monitor)


def test_transactions_in_monitor(both: Both) -> None:
    """A transaction's commands appear in the order in which they run."""
    both.client()
    monitor = both.client("monitor")
    monitor.run("MONITOR")
    both.script("""
        WATCH k
        MULTI
        SET a 1
        INCR a
        EXEC
        MULTI
        SET a 1
        DISCARD
        MULTI
        NOSUCH
        EXEC
        EXISTS end
    """)
    compare_lines(monitor)


def test_monitor_itself(both: Both) -> None:
    """A monitor may send commands that touch no key; inside MULTI, MONITOR is refused."""
    monitor = both.client("monitor")
    monitor.run("MONITOR")
    monitor.send(b"MONITOR\r\nMONITOR x\r\nPING\r\nMULTI\r\nGET k\r\nEXEC\r\nPING end\r\n")
    compare_lines(monitor)
    both.script("""
        MULTI
        MONITOR
        EXEC
    """)


def test_two_monitors_see_the_same(both2: Both) -> None:
    """Every monitor gets every line."""
    first, second = both2.client("first"), both2.client("second")
    first.run("MONITOR")
    second.run("MONITOR")
    both2.run_many([*(("SET", f"k{i}", "v") for i in range(200)), ("EXISTS", "end")])

    assert len(compare_lines(first)) == len(compare_lines(second)) == 201


def entries(reply: Node) -> list[list[object]]:
    """SLOWLOG entries without id, time, duration and address: the arguments and the name."""
    found = []
    for entry in reply.items:
        number, when, micros, arguments, address, name = entry.items
        assert {node.kind for node in (number, when, micros)} == {":"}
        assert address.data.startswith(b"127.0.0.1:")
        found.append([arguments.plain(), name.data])
    return found


def slowlog(both: Both, *arguments: str) -> list[list[object]]:
    """SLOWLOG GET on both sides, compared."""
    theirs, ours = (
        entries(client.command("SLOWLOG", "GET", *arguments).node)
        for client in both.client("reader").clients
    )
    assert theirs == ours
    return ours


@pytest.mark.memory_only("DEBUG TIER counts as a command")
def test_slowlog_entries(both: Both) -> None:
    """Arguments are cut at 128 bytes and 32 arguments; the newest entry is first."""
    both.client("reader")
    with both.settings(slowlog_log_slower_than="0", slowlog_max_len="128"):
        both.script("""
            CLIENT SETNAME me
            SLOWLOG RESET
            SET k v
            GET k
            NOSUCH a b
            GET
            INCR k
        """)
        both.run_many([
            ("SET", "k", "x" * 128), ("SET", "k", "x" * 129), ("SET", "k", "y" * 100_000),
            ("MGET", *("k",) * 31), ("MGET", *("k",) * 32), ("MGET", *("k",) * 100), ("SET", "",
            ""), ("SET", b"\x00\xff", "a\r\nb"),
        ])  # fmt: skip
        found = slowlog(both, "-1")

    assert found[-1][0] == [b"SLOWLOG", b"RESET"]


@pytest.mark.memory_only("DEBUG TIER counts as a command")
def test_slowlog_of_transactions(both: Both) -> None:
    """Commands inside EXEC are logged, EXEC itself is not."""
    both.client("reader")
    with both.settings(slowlog_log_slower_than="0"):
        both.script("""
            SLOWLOG RESET
            MULTI
            SET a 1
            INCR a
            EXEC
        """)
        slowlog(both)


@pytest.mark.memory_only("DEBUG TIER counts as a command")
def test_slowlog_secrets(both2: Both) -> None:
    """Passwords do not reach the log."""
    both2.client("reader")
    with both2.settings(slowlog_log_slower_than="0"):
        both2.script("""
            SLOWLOG RESET
            AUTH hidden
            AUTH default hidden
            CONFIG SET requirepass ""
            HELLO 2 AUTH default hidden
            PING
        """, match=lambda *_: True)  # fmt: skip
        found = slowlog(both2)

    assert "hidden" not in str(found)


@pytest.mark.memory_only("DEBUG TIER counts as a command")
def test_slowlog_length(both: Both) -> None:
    """LEN, GET with counts, the limit of entries, RESET."""
    with both.settings(slowlog_log_slower_than="0", slowlog_max_len="5"):
        both.run("SLOWLOG", "RESET")
        both.run_many([("PING", str(i)) for i in range(20)])
        both.run("SLOWLOG", "LEN")
        assert len(slowlog(both, "2")) == 2
        assert len(slowlog(both)) == 5
    both.script("""
        SLOWLOG RESET
        SLOWLOG LEN
        SLOWLOG GET
        SLOWLOG GET 10
        SLOWLOG GET 0
        SLOWLOG GET -1
        SLOWLOG GET -2
        SLOWLOG GET x
        SLOWLOG GET 1 2
        SLOWLOG LEN x
        SLOWLOG RESET x
    """)


def test_slowlog_off(both: Both) -> None:
    """A negative threshold logs nothing; the usual one does not log fast commands."""
    with both.settings(slowlog_log_slower_than="-1"):
        both.script("""
            SLOWLOG RESET
            DEBUG SLEEP 0.02
            SLOWLOG LEN
        """)
    with both.settings(slowlog_log_slower_than="10000"):
        both.script("""
            SLOWLOG RESET
            PING
            DEBUG SLEEP 0.02
            SLOWLOG LEN
        """)
