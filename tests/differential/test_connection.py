"""PING, ECHO, QUIT, SELECT, HELLO, RESET."""

from __future__ import annotations

import pytest

from tests.support.both import Both, Newer
from tests.support.match import anything
from tests.support.resp import Node

VARYING = (b"id", b"version", b"modules")


def hello_fields(both: Both, *arguments: str, name: str = "main") -> dict[bytes, object]:
    """The fields of HELLO that do not vary, compared between both servers."""
    pair = both.client(name)
    theirs = pair.reference.command("HELLO", *arguments).node
    ours = pair.subject.command("HELLO", *arguments).node
    assert theirs.kind == ours.kind
    assert [key.data for key in theirs.items[::2]] == [key.data for key in ours.items[::2]]
    fixed = [_fixed(node) for node in (theirs, ours)]
    assert fixed[0] == fixed[1]
    assert ours.pairs()[b"id"].kind == ":"
    assert ours.pairs()[b"modules"].kind == theirs.pairs()[b"modules"].kind
    return fixed[1]


def _fixed(node: Node) -> dict[bytes, object]:
    return {key: value.plain() for key, value in node.pairs().items() if key not in VARYING}


def test_ping_echo(both: Both) -> None:
    """PING and ECHO answer; their arity is checked."""
    both.script("""
        PING
        ping
        PING hello
        PING ""
        PING a b
        ECHO hi
        ECHO ""
        ECHO
        ECHO a b
    """)


def test_quit(both: Both) -> None:
    """QUIT answers OK and closes, whatever its arguments and whatever follows."""
    for index, command in enumerate((("QUIT",), ("QUIT", "now"), ("quit", "a", "b"))):
        pair = both.client(f"quitting {index}")
        pair.run_many([("SET", "k", "v"), command])
        pair.send(b"PING\r\n")
        pair.compare_end("after QUIT")


def test_commands_behind_quit_do_not_run(both: Both) -> None:
    """What is pipelined behind QUIT is dropped."""
    pair = both.client("quitting")
    pair.send(b"SET a 1\r\nQUIT\r\nSET b 2\r\n")
    pair.compare_end("SET, QUIT, SET")
    both.run("EXISTS", "a", "b")


def test_select(both: Both) -> None:
    """Databases from 0 to 15."""
    both.script("""
        SELECT 0
        SELECT 15
        SELECT 16
        SELECT -1
        SELECT x
        SELECT ""
        SELECT 1.5
        SELECT 01
        SELECT 9223372036854775808
        SELECT 4294967296
        SELECT
        SELECT 1 2
        SET k v
        SELECT 0
        EXISTS k
    """)


def test_hello(both: Both) -> None:
    """HELLO describes the server and switches the protocol."""
    assert hello_fields(both)[b"proto"] == both.protocol
    assert hello_fields(both, "3")[b"proto"] == 3
    both.script("""
        GET missing
        CONFIG GET timeout
        INCRBYFLOAT f 1.5
    """)
    assert hello_fields(both, "2")[b"proto"] == 2
    both.script("""
        GET missing
        CONFIG GET timeout
    """)
    assert hello_fields(both, "3", "SETNAME", "me")[b"proto"] == 3
    both.run("CLIENT", "GETNAME")


def test_hello_errors(both: Both) -> None:
    """Unknown versions and options leave the connection as it was."""
    both.script("""
        HELLO 1
        HELLO 4
        HELLO 0
        HELLO -1
        HELLO x
        HELLO ""
        HELLO 3.0
        HELLO 9223372036854775808
        HELLO 3 FOO
        HELLO 3 SETNAME
        HELLO 3 SETNAME "a b"
        HELLO 3 SETNAME "a\\nb"
        HELLO 3 AUTH
        HELLO 3 AUTH default
        HELLO 3 AUTH nobody wrong
        HELLO 3 AUTH nobody wrong SETNAME x
        HELLO 3 SETNAME x FOO
        HELLO SETNAME x
        HELLO AUTH default x
        GET missing
    """)
    no_name = b"_\r\n" if both.protocol == 3 else b"$-1\r\n"
    both.run("CLIENT", "GETNAME", in72=Newer(no_name, "7.2 sets the name when all else is right"))
    hello_fields(both, "3", "AUTH", "default", "any", "SETNAME", "named")
    both.run("CLIENT", "GETNAME")
    hello_fields(both, "3", "setname", "")
    both.run("CLIENT", "GETNAME")


def test_reset(both: Both) -> None:
    """RESET returns to RESP2, database 0, no name, no transaction, nothing watched."""
    both.script("""
        SET k v
        CLIENT SETNAME me
        SELECT 5
        WATCH k
        MULTI
        SET k w
        RESET
        CLIENT GETNAME
        GET k
        GET missing
        CONFIG GET timeout
        EXEC
        RESET x
        RESET
    """)
    other = both.client("other")
    both.run("WATCH", "k")
    other.run("SET", "k", "x")
    both.script("""
        RESET
        MULTI
        GET k
        EXEC
    """)


def test_reset_ends_monitor_and_silence(both: Both) -> None:
    """RESET leaves MONITOR and CLIENT REPLY OFF behind."""
    monitor = both.client("monitor")
    monitor.run("MONITOR")
    monitor.send(b"RESET\r\n")
    monitor.compare_until(b"+RESET\r\n", "RESET after MONITOR")
    both.run("SET", "k", "v")
    monitor.run("PING")
    silent = both.client("silent")
    silent.send(b"CLIENT REPLY OFF\r\nPING\r\nRESET\r\nPING\r\n")
    silent.compare_until(b"+RESET\r\n+PONG\r\n", "RESET after CLIENT REPLY OFF")


@pytest.mark.parametrize("name", ["get", "GET", "GeT", "gET"])
def test_command_names_in_any_case(both: Both, name: str) -> None:
    """The case of a command's name does not matter, also in errors."""
    both.run_many([("SET", "k", "v"), (name, "k"), (name,), (name, "a", "b"), (name + "X", "a")])


UNKNOWN: list[tuple[str | bytes, ...]] = [
    ("NOSUCH",), ("nosuch", "a"), ("NoSuch", "a", "b", "c"), ("",), ("", "x"), (" GET", "k"),
    ("GET ", "k"), ("NOSUCH", ""), ("NOSUCH", "a b", "'quoted'", '"double"'), ("NOSUCH", "a\r\nb"),
    ("NO\r\nSUCH", "a"), (b"\x00\xff", b"\x00\xff"), ("NOSUCH", "x" * 127), ("NOSUCH", "x" * 128),
    ("NOSUCH", "x" * 129, "y"), ("NOSUCH", "x" * 1000), ("N" * 127,), ("N" * 128, "a"),
    ("N" * 129, "a"), ("N" * 300, "a", "b"), ("NOSUCH", *("abc",) * 50), ("NOSUCH", *("a",) * 200),
    ("NOSUCH", "x" * 60, "y" * 60, "z" * 60), ("NOSUCH", "x" * 124), ("NOSUCH", "x" * 62, "y" * 62),
    ("get|x",), ("client|list",), ("object|encoding", "k"), ("config get", "port"), ("*1",),
    ("HELO", "3"), ("%s%n", "%d"), ("caf\u00e9", "\u20ac"),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(UNKNOWN)))
def test_unknown_commands_are_echoed(both: Both, index: int) -> None:
    """The error names the command and the beginning of its arguments, both cut at 128 bytes."""
    both.run(*UNKNOWN[index])


@pytest.mark.parametrize(
    "container", ["CLIENT", "CONFIG", "OBJECT", "COMMAND", "MEMORY", "LATENCY", "SLOWLOG", "DEBUG"]
)
def test_unknown_subcommands(both: Both, container: str) -> None:
    """Unknown subcommands are echoed, cut at 128 bytes; a known one checks its arity."""
    both.run_many([
        (container, "NOSUCH"), (container, "nosuch", "a", "b"), (container, "x" * 200),
        (container, ""), (container, "a\r\nb"), (container, b"\x00"), (container, "HELP", "x"),
        (container.lower(), "NoSuch"),
    ])  # fmt: skip
    if container != "COMMAND":
        both.run(container)


@pytest.mark.parametrize(
    "container", ["CLIENT", "CONFIG", "OBJECT", "COMMAND", "MEMORY", "LATENCY", "SLOWLOG"]
)
def test_help_is_a_list_of_lines(both: Both, container: str) -> None:
    """HELP answers simple strings, beginning with the usage and ending with HELP itself."""
    lines = both.run(container, "help", match=anything).items

    assert {line.kind for line in lines} == {"+"}
    assert lines[0].data.startswith(f"{container} <subcommand>".encode())
    assert lines[-2].data == b"HELP"
