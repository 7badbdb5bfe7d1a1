"""What every transport must do for a connection, over each of them."""

from __future__ import annotations

import socket
import time

import pytest

from tests.support.client import RawClient
from tests.support.info import info
from tests.support.resp import encode
from tests.transport.conftest import Carried

STORM = 2000


@pytest.fixture
def client(carried: Carried) -> RawClient:
    """A connection over the carrier under test."""
    return carried.connect()


def wait_for_clients(client: RawClient, count: int) -> None:
    """Ask until so many clients are connected; a bounded number of round trips."""
    for _ in range(20_000):
        if info(client, "clients")["connected_clients"] == str(count):
            return
    raise AssertionError(info(client, "clients"))


def test_ping(client: RawClient) -> None:
    """The straight path."""
    assert client.command("PING").raw == b"+PONG\r\n"


def test_every_byte_alone(client: RawClient) -> None:
    """Requests may come a byte at a time, replies keep their order."""
    for byte in encode("SET", "k", "value") + encode("GET", "k"):
        client.socket.sendall(bytes((byte,)))

    assert client.read().raw == b"+OK\r\n"
    assert client.read().raw == b"$5\r\nvalue\r\n"


def test_python_commands_keep_their_place(client: RawClient) -> None:
    """Replies of Python and of C come in the order of the requests."""
    commands = [("INCR", "order"), ("CONFIG", "GET", "hz"), ("GET", "order"), ("COMMAND", "COUNT")]
    client.command("SET", "order", "0")

    replies = client.pipeline(commands * 100)

    assert [reply.node.integer for reply in replies[::4]] == list(range(1, 101))
    assert [int(reply.node.data) for reply in replies[2::4]] == list(range(1, 101))
    assert {reply.raw for reply in replies[1::4]} == {b"*2\r\n$2\r\nhz\r\n$2\r\n10\r\n"}


def test_a_python_command_holds_up_nobody_else(carried: Carried) -> None:
    """Other sessions are served while one waits for Python."""
    waiting, other = carried.connect(), carried.connect()
    waiting.socket.sendall(encode("COMMAND") * 20)
    replies = other.pipeline([("PING",)] * 100)

    assert {reply.raw for reply in replies} == {b"+PONG\r\n"}
    assert len([waiting.read() for _ in range(20)]) == 20


def test_large_values_both_ways(client: RawClient) -> None:
    """Values larger than every buffer on the way arrive whole."""
    value = bytes(range(256)) * 40_000

    assert client.command("SET", "large", value).raw == b"+OK\r\n"
    assert client.command("GET", "large").node.data == value


def test_a_reader_that_is_late(carried: Carried) -> None:
    """40 MB of replies wait for their reader without harm to others, and all arrive."""
    late, other = carried.connect(), carried.connect()
    other.command("SET", "late", "x" * 1_000_000)
    late.socket.sendall(encode("GET", "late") * 40)
    other.command("PING")

    sizes = [len(late.read().node.data) for _ in range(40)]

    assert sizes == [1_000_000] * 40


def test_a_wait_ends_in_time(client: RawClient) -> None:
    """A session that waits for a time is looked at when it has come, neither before nor late."""
    begin = time.monotonic()
    reply = client.command("WAIT", "1", "60")
    took = time.monotonic() - begin

    assert reply.raw == b":0\r\n"
    assert 0.059 <= took < 1.0


def test_commands_behind_a_wait(client: RawClient) -> None:
    """What was sent behind a command that waits is answered after it."""
    replies = client.pipeline([("WAIT", "1", "10"), ("PING",), ("CONFIG", "GET", "hz"), ("PING",)])

    assert [reply.raw[:1] for reply in replies] == [b":", b"+", b"*", b"+"]


def test_push_to_an_idle_session(carried: Carried) -> None:
    """What one session causes reaches another that waits for nothing of its own."""
    monitor, other = carried.connect(), carried.connect()
    monitor.command("MONITOR")
    other.command("SET", "seen", "1")

    assert b'"SET" "seen" "1"' in monitor.read().raw


def test_client_kill(carried: Carried) -> None:
    """A connection that another one kills is closed, whatever it does."""
    victim, other = carried.connect(), carried.connect()
    number = victim.command("CLIENT", "ID").node.integer

    assert other.command("CLIENT", "KILL", "ID", str(number)).raw == b":1\r\n"
    assert victim.read_to_end() == b""


def test_quit(client: RawClient) -> None:
    """QUIT answers, then the server closes."""
    client.send(encode("PING") + encode("QUIT") + encode("PING"))

    assert client.read_to_end() == b"+PONG\r\n+OK\r\n"


def test_half_close(carried: Carried, client: RawClient) -> None:
    """A client that sends no more still gets what Python answers, and what came behind it."""
    if carried.is_tls:
        pytest.skip("asyncio closes a TLS connection when the peer sends no more")
    client.send(encode("CONFIG", "GET", "hz") + encode("PING"))
    client.socket.shutdown(socket.SHUT_WR)

    assert client.read_to_end() == b"*2\r\n$2\r\nhz\r\n$2\r\n10\r\n+PONG\r\n"


def test_half_close_behind_what_is_answered_at_once(client: RawClient) -> None:
    """Over every carrier: replies that need neither Python nor a wait come before the end."""
    client.send(encode("PING") * 1000)
    socket.socket.shutdown(client.socket, socket.SHUT_WR)  # under TLS too

    assert client.read_to_end() == b"+PONG\r\n" * 1000


def test_half_close_of_a_late_reader(carried: Carried, client: RawClient) -> None:
    """A client that sends no more and reads late gets all that it has asked for."""
    if carried.is_tls:
        pytest.skip("asyncio closes a TLS connection when the peer sends no more")
    client.command("SET", "half", "x" * 1_000_000)
    client.send(encode("GET", "half") * 20)
    client.socket.shutdown(socket.SHUT_WR)
    carried.connect().command("PING")

    sizes = [len(client.read().node.data) for _ in range(20)]

    assert sizes == [1_000_000] * 20
    assert client.read_to_end() == b""


def test_protocol_error(client: RawClient) -> None:
    """A protocol error is told before the connection is closed."""
    client.send(b"*1\r\n!bad\r\n")

    assert client.read_to_end() == b"-ERR Protocol error: expected '$', got '!'\r\n"


def test_addresses(carried: Carried, client: RawClient) -> None:
    """CLIENT INFO names both ends; for a unix socket its path."""
    fields = dict(word.split("=", 1) for word in client.command("CLIENT", "INFO").node.text.split())
    host, port = client.socket.getsockname()[:2]
    with RawClient(str(carried.unix)) as local:
        line = local.command("CLIENT", "INFO").node.text

    assert fields["addr"] == f"{host}:{port}"
    assert f" addr={carried.unix}:0 laddr={carried.unix}:0 " in line


def test_idle_timeout(carried: Carried) -> None:
    """A silent connection is closed after the timeout."""
    idle, other = carried.connect(), carried.connect()
    idle.command("PING")
    other.command("CONFIG", "SET", "timeout", "1")
    try:
        assert idle.read_to_end() == b""
    finally:
        carried.connect().command("CONFIG", "SET", "timeout", "0")


def test_max_connections(carried: Carried) -> None:
    """Above the limit a connection is refused and counted; below it again, the next may come in."""
    admin = carried.plain()
    wait_for_clients(admin, 1)
    before = int(info(admin, "stats")["rejected_connections"])
    admin.command("CONFIG", "SET", "maxclients", "2")
    try:
        last = carried.connect()
        last.command("PING")
        refused = carried.plain().read_to_end()
        last.close()
        wait_for_clients(admin, 1)
        admitted = carried.connect().command("PING")
    finally:
        admin.command("CONFIG", "SET", "maxclients", "10000")

    assert refused == b"-ERR max number of clients reached\r\n"
    assert admitted.raw == b"+PONG\r\n"
    assert int(info(admin, "stats")["rejected_connections"]) == before + 1


def test_connections_that_leave(carried: Carried) -> None:
    """Connections that end anywhere leave nothing behind."""
    admin = carried.plain()
    wait_for_clients(admin, 1)
    for part in (b"", b"*3\r\n$3\r\nSET", b"WAIT 1 0\r\n", b"COMMAND\r\n" * 10, b"MONITOR\r\n"):
        leaving = carried.connect()
        leaving.send(part)
        leaving.close()

    wait_for_clients(admin, 1)


def test_accept_storm(carried: Carried) -> None:
    """Two thousand connections at once are all served."""
    admin = carried.plain()
    wait_for_clients(admin, 1)
    # A handshake takes milliseconds of this machine: fewer show the same.
    clients = [carried.connect() for _ in range(100 if carried.is_tls else STORM)]
    for client in clients:
        client.socket.sendall(b"PING\r\n")

    assert {client.read().raw for client in clients} == {b"+PONG\r\n"}
    assert info(admin, "clients")["connected_clients"] == str(len(clients) + 1)


def test_the_longest_step_is_told_in_processor_time_while_latency_is_monitored(
    carried: Carried,
) -> None:
    """A step that looks at much memory takes a millisecond of processor time and more."""
    client = carried.plain()
    client.command("CONFIG", "SET", "latency-monitor-threshold", "1")
    client.command("CONFIG", "RESETSTAT")
    client.command("SETRANGE", "big", "100000000", "x")
    client.command("BITCOUNT", "big")
    stats = info(client, "stats")
    client.command("DEL", "big")
    client.command("CONFIG", "SET", "latency-monitor-threshold", "0")
    client.command("CONFIG", "RESETSTAT")
    client.command("PING")
    assert 1000 <= int(stats["engine_step_max_cpu_us"]) <= int(stats["engine_step_max_us"]) + 1
    assert int(info(client, "stats")["engine_step_max_cpu_us"]) == 0
