"""DBSIZE, FLUSHALL, FLUSHDB, SWAPDB, TIME, LASTSAVE, ROLE, MEMORY, DEBUG, LOLWUT, LATENCY."""

from __future__ import annotations

import time

import pytest

from tests.support.both import Both
from tests.support.match import anything
from tests.support.servers import reference_server, subject_server


def test_dbsize(both: Both) -> None:
    """DBSIZE counts the keys of the selected database exactly."""
    both.script("""
        DBSIZE
        MSET a 1 b 2 c 3
        DBSIZE
        DEL a
        SET b 3
        DBSIZE
        SELECT 1
        DBSIZE
        SELECT 0
        SET d 1 EX 100000
        DBSIZE
        PEXPIREAT d 1
        GET d
        DBSIZE
        DBSIZE x
    """)


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
@pytest.mark.parametrize("mode", ["", "SYNC", "ASYNC", "sync", "aSync"])
def test_flush(both: Both, command: str, mode: str) -> None:
    """FLUSHDB empties one database, FLUSHALL all of them, in either mode at once."""
    both.script(f"""
        MSET a 1 b 2
        SELECT 1
        MSET c 3 d 4
        SET e 5 EX 100000
        {command} {mode}
        DBSIZE
        EXISTS c d e
        SET c again
        GET c
        SELECT 0
        DBSIZE
        MGET a b
    """)


def test_flush_errors(both: Both) -> None:
    """Only SYNC and ASYNC are options."""
    both.script("""
        SET a 1
        FLUSHALL FOO
        FLUSHDB FOO
        FLUSHALL SYNC ASYNC
        FLUSHDB SYNC SYNC
        FLUSHALL ""
        GET a
    """)


def test_flush_of_many_keys(both2: Both) -> None:
    """Keys written right after an asynchronous flush of many stay, the old ones are gone."""
    for _ in range(3):
        both2.run_many([("SET", f"k{i}", f"value {i}") for i in range(3000)])
        both2.run_many([("FLUSHALL", "ASYNC"), ("SET", "k1", "new"), ("DBSIZE",), ("KEYS", "*")])
        both2.run_many([("GET", "k1"), ("GET", "k2"), ("FLUSHDB", "SYNC"), ("DBSIZE",)])


def test_swapdb(both: Both) -> None:
    """SWAPDB exchanges contents for every connection at once."""
    other = both.client("other")
    other.run("SELECT", "1")
    both.script("""
        SET a zero
        SELECT 1
        SET a one EX 100000
        SELECT 0
        SWAPDB 0 1
        GET a
        TTL a
        SWAPDB 0 0
        GET a
        SWAPDB 5 6
        SWAPDB 0
        SWAPDB
        SWAPDB 0 1 2
        SWAPDB x 1
        SWAPDB 0 x
        SWAPDB x y
        SWAPDB 0 16
        SWAPDB 16 0
        SWAPDB -1 0
        SWAPDB 0 -1
        SWAPDB 1.5 0
        SWAPDB 9223372036854775808 0
    """)
    other.script("""
        GET a
        DBSIZE
    """)


def test_time_and_lastsave(both: Both) -> None:
    """TIME is the machine's clock in seconds and microseconds; LASTSAVE is in the past."""
    now = time.time()
    seconds, micros = both.run("TIME").items
    saved = both.run("LASTSAVE").integer

    assert abs(int(seconds.data) - now) < 3
    assert 0 <= int(micros.data) < 1_000_000
    assert 0 < saved <= now + 1
    both.script("""
        TIME x
        LASTSAVE x
    """, match=anything)  # fmt: skip
    both.run_many([("TIME", "x"), ("LASTSAVE", "x")])


def test_role(both: Both) -> None:
    """A master without replicas."""
    both.script("""
        ROLE
        ROLE x
    """)


def test_memory_usage(both: Both) -> None:
    """MEMORY USAGE is an integer that covers the value, and null for a missing key."""
    both.script("""
        SET k v
        SET large x
        SETRANGE large 99999 x
        MEMORY USAGE missing
        MEMORY USAGE k SAMPLES
        MEMORY USAGE k SAMPLES x
        MEMORY USAGE k SAMPLES -1
        MEMORY USAGE k FOO
        MEMORY USAGE k FOO 1
        MEMORY USAGE k SAMPLES 9223372036854775808
        MEMORY USAGE missing FOO
        MEMORY USAGE
    """)
    for options in ((), ("SAMPLES", "0"), ("samples", "5")):
        small = both.run("MEMORY", "USAGE", "k", *options, match=anything).integer
        large = both.run("MEMORY", "USAGE", "large", *options, match=anything).integer
        assert 2 <= small < 500
        assert 100_000 <= large < 250_000


def test_memory_reports(both: Both) -> None:
    """DOCTOR answers text, PURGE OK, STATS a map of numbers with Redis's names."""
    both.run("MEMORY", "PURGE")
    both.script("""
        MEMORY PURGE x
        MEMORY STATS x
        MEMORY DOCTOR x
    """)
    both.run("SET", "k", "v")
    pair = both.client()
    doctors = [client.command("MEMORY", "DOCTOR").node for client in pair.clients]
    assert doctors[0].kind == doctors[1].kind
    theirs, ours = (client.command("MEMORY", "STATS").node for client in pair.clients)
    assert theirs.kind == ours.kind
    wanted = (
        "peak.allocated", "total.allocated", "startup.allocated", "clients.normal",
        "overhead.total", "keys.count", "keys.bytes-per-key", "dataset.bytes", "dataset.percentage",
        "peak.percentage", "fragmentation", "db.0", "allocator.allocated", "allocator.active",
        "allocator-fragmentation.ratio", "allocator-fragmentation.bytes",
    )  # fmt: skip
    for name in (field.encode() for field in wanted):
        assert name in ours.pairs(), name
        assert ours.pairs()[name].kind == theirs.pairs()[name].kind, name
    assert ours.pairs()[b"keys.count"].integer == 1


def test_debug(both: Both) -> None:
    """The parts of DEBUG that tests use."""
    try:
        both.script("""
            DEBUG SLEEP 0
            DEBUG SLEEP 0.001
            DEBUG SET-ACTIVE-EXPIRE 0
            SET k v PX 1
            DEBUG SLEEP 0.005
            DBSIZE
            GET k
            DBSIZE
            DEBUG SLEEP
            DEBUG
        """)
    finally:
        both.run("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def test_debug_populate(both: Both) -> None:
    """Keys are named and filled alike; those that exist stay as they are."""
    both.script("""
        SET key:3 mine
        DEBUG POPULATE 10
        DBSIZE
        MGET key:0 key:3 key:9 key:10
        DEBUG POPULATE 3 other
        GET other:2
        DEBUG POPULATE 3 sized 4
        GET sized:0
        DEBUG POPULATE 12 longer 20
        GET longer:11
        OBJECT ENCODING longer:11
        DEBUG POPULATE 1 zero 0
        GET zero:0
        DEBUG POPULATE 0
        DEBUG POPULATE 1 ""
        GET :0
        DBSIZE
        DEBUG POPULATE
        DEBUG POPULATE x
        DEBUG POPULATE -1
        DEBUG POPULATE 1 k x
        DEBUG POPULATE 1 k -1
        DEBUG POPULATE 1 k 1 1
        DEBUG NOSUCH
    """)
    both.run("DEBUG", "POPULATE", "2", "p" * 200)
    both.run("EXISTS", "p" * 127)
    both.run("DBSIZE")
    other = both.client("other")
    other.script("WATCH w:0\nMULTI\nPING")
    both.run("DEBUG", "POPULATE", "1", "w")
    other.run("EXEC")


def test_debug_change_repl_id(both2: Both) -> None:
    """INFO shows another id."""
    for client in both2.client().clients:
        before = client.command("INFO", "replication").node.text
        assert client.command("DEBUG", "CHANGE-REPL-ID").raw == b"+OK\r\n"
        after = client.command("INFO", "replication").node.text
        lines = zip(before.splitlines(), after.splitlines(), strict=True)
        [(old, new)] = [(one, two) for one, two in lines if one != two]
        assert old.startswith("master_replid:")
        assert len(new) == len(old)


def test_lolwut(both: Both) -> None:
    """LOLWUT answers text that ends with the version."""
    for arguments in ((), ("VERSION", "5"), ("VERSION", "6"), ("version", "5", "1", "1", "1")):
        reply = both.run("LOLWUT", *arguments, match=anything)
        theirs = both.client().reference.command("LOLWUT", *arguments)
        assert reply.kind == theirs.node.kind
        assert reply.text.rstrip().endswith(f"Redis ver. {both.subject.version}")
    both.run("LOLWUT", "VERSION", "x")


def test_latency_without_events(both: Both) -> None:
    """With the monitor off there is nothing to report."""
    both.run("LATENCY", "RESET", match=anything)
    both.script("""
        LATENCY LATEST
        LATENCY HISTORY command
        LATENCY RESET
        LATENCY RESET command
        LATENCY RESET a b c
        LATENCY HISTORY
        LATENCY HISTORY a b
        LATENCY GRAPH nosuch
        LATENCY GRAPH
        LATENCY LATEST x
        LATENCY HISTOGRAM nosuch
        LATENCY HISTOGRAM nosuch nosuch2
        LATENCY DOCTOR x
    """)
    assert both.run("LATENCY", "DOCTOR", match=anything).text


def test_latency_of_slow_commands(both2: Both) -> None:
    """A command above the threshold is an event that LATEST, HISTORY and RESET know."""
    both2.run("LATENCY", "RESET", match=anything)
    with both2.settings(latency_monitor_threshold="5"):
        both2.run("DEBUG", "SLEEP", "0.02")
        for client in both2.client().clients:
            events = {e.items[0].data: e for e in client.command("LATENCY", "LATEST").node.items}
            name, when, latest, worst = events[b"command"].items
            assert abs(when.integer - time.time()) < 3
            assert 15 <= latest.integer <= worst.integer < 2000, name
            history = client.command("LATENCY", "HISTORY", "command").node.items
            assert history[-1].items[1].integer == latest.integer
            assert client.command("LATENCY", "GRAPH", "command").node.data.startswith(b"command - ")
        for client in both2.client().clients:
            assert client.command("LATENCY", "RESET", "command").raw == b":1\r\n"
        both2.run("LATENCY", "HISTORY", "command")


def test_latency_histogram(both: Both) -> None:
    """HISTOGRAM counts calls of each command, by cumulated powers of two of microseconds."""
    both.run("CONFIG", "RESETSTAT")
    both.run_many([("SET", "k", "v")] * 20 + [("GET", "k")] * 7)

    for client in both.client().clients:
        reply = client.command("LATENCY", "HISTOGRAM", "set", "get", "nosuch", "append").node
        found = reply.pairs()
        assert set(found) == {b"set", b"get"}
        for name, calls in ((b"set", 20), (b"get", 7)):
            fields = found[name].pairs()
            assert fields[b"calls"].integer == calls
            counts = [count.integer for count in fields[b"histogram_usec"].pairs().values()]
            assert counts == sorted(counts)
            assert counts[-1] == calls


def test_shutdown_refuses_what_it_does_not_know(both2: Both) -> None:
    """Wrong arguments do not stop the server."""
    both2.script("""
        SHUTDOWN FOO
        SHUTDOWN NOSAVE SAVE
        SHUTDOWN ABORT
        SHUTDOWN ABORT NOW
        SHUTDOWN NOSAVE ABORT
        PING
    """)


@pytest.mark.parametrize("arguments", [("NOSAVE",), ("NOW", "FORCE"), ("nosave", "now")])
def test_shutdown_stops_the_server(both2: Both, arguments: tuple[str, ...]) -> None:
    """SHUTDOWN closes the connection without an answer, and the process ends well."""
    transport = "streams" if "streams" in both2.subject.name else "reactors"
    for server in (reference_server(), subject_server(transport)):
        if server.is_foreign:
            continue
        try:
            server.start()
            with server.client() as client:
                client.command("SET", "k", "v")
                assert client.command("SHUTDOWN", *arguments).raw == b""
            assert server.wait() == 0, server.log()
        finally:
            server.stop()
