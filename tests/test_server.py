"""The life of the server process: start, reload, stop, and what it says when it cannot start."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.process import Process, run_to_end
from tests.support.resp import encode
from tests.support.servers import TRANSPORTS, free_port

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, which are ended by force after the test."""
    started: list[Process] = []

    def make(*settings: str, config: Path | None = None) -> Process:
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir()
        started.append(Process(folder, *settings, config=config))
        return started[-1]

    yield make
    for server in started:
        server.kill()


def stuck_client(server: Process) -> RawClient:
    """A client that does not take the many bytes that it asked for."""
    client = server.client()
    client.command("SET", "big", "x" * 1_000_000)
    client.socket.sendall(encode("GET", "big") * 40)
    with server.client() as other:
        # It was served after the other one's requests had been received.
        other.command("PING")
    return client


# Stopping


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_that_were_sent_are_answered(
    start: Start, transport: str, number: signal.Signals
) -> None:
    """A pipeline that was sent before the signal is answered, Python's commands as well."""
    server = start(f"server.transport={transport}")
    with server.client() as client:
        client.command("PING")
        client.socket.sendall((encode("CONFIG", "GET", "hz") + encode("INCR", "n")) * 50)
        server.signal(number)
        replies = client.read_to_end()

    assert server.wait() == 0
    assert replies.count(b"$2\r\nhz\r\n") == 50
    assert replies.endswith(b":50\r\n")
    assert f"stopping: received {number.name}" in server.log()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_idle_connections_do_not_hold_up_a_stop(start: Start, transport: str) -> None:
    """Clients that wait for nothing are closed at once, however long the deadline is."""
    server = start(f"server.transport={transport}", "server.shutdown_timeout=1h")
    with server.client() as client:
        client.command("PING")
        server.signal(signal.SIGTERM)

        assert server.wait() == 0
        assert client.read_to_end() == b""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_waits_are_answered_at_a_stop(start: Start, transport: str) -> None:
    """WAIT answers its count when the server stops, and what was sent behind it is answered too."""
    server = start(f"server.transport={transport}", "server.shutdown_timeout=1h")
    with server.client() as client, server.client() as other:
        client.socket.sendall(encode("WAIT", "1", "0") + encode("PING") + encode("WAIT", "2", "0"))
        while b"blocked_clients:1\r\n" not in other.command("INFO", "clients").raw:
            pass
        server.signal(signal.SIGTERM)
        replies = client.read_to_end()

    assert server.wait() == 0
    assert replies == b":0\r\n+PONG\r\n:0\r\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_paused_requests_do_not_run_at_a_stop(start: Start, transport: str) -> None:
    """As in Redis: who waits for a pause to end gets the replies before it, and a close."""
    server = start(f"server.transport={transport}", "server.shutdown_timeout=1h")
    with server.client() as client, server.client() as other:
        other.command("CLIENT", "PAUSE", "1000000", "WRITE")
        client.socket.sendall(encode("PING") + encode("SET", "k", "v") + encode("PING"))
        while b"clients_in_timeout_table:1\r\n" not in other.command("INFO", "clients").raw:
            pass
        server.signal(signal.SIGTERM)

        assert client.read_to_end() == b"+PONG\r\n"
        assert server.wait() == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stop_has_a_deadline(start: Start, transport: str) -> None:
    """A client that does not take its replies is cut off after shutdown_timeout."""
    server = start(f"server.transport={transport}", "server.shutdown_timeout=1s")
    with stuck_client(server):
        server.signal(signal.SIGTERM)

        assert server.wait() == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_second_signal_ends_at_once(start: Start, transport: str) -> None:
    """Who asks twice does not want to wait for the deadline; the status says so."""
    server = start(f"server.transport={transport}", "server.shutdown_timeout=1h")
    with stuck_client(server):
        server.signal(signal.SIGTERM)
        server.wait_for_notice("STOPPING=1")
        server.signal(signal.SIGTERM)

        assert server.wait() == 1
    assert "ending at once" in server.log()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_shutdown_command(start: Start, transport: str) -> None:
    """SHUTDOWN closes the connection without an answer, and the process ends with 0."""
    server = start(f"server.transport={transport}")
    with server.client() as client:
        assert b"no persistence is configured" in client.command("SHUTDOWN", "SAVE").raw
        client.send(encode("SHUTDOWN", "NOSAVE"))

        assert client.read_to_end() == b""
    assert server.wait() == 0


def test_the_port_is_free_again_after_a_stop(start: Start) -> None:
    """A listener is closed at the beginning of a stop, so that the next server can start."""
    server = start()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        server.client()


# Reloading


def test_sighup_reloads_what_can_change(start: Start, tmp_path: Path) -> None:
    """A running server takes what it can, and says what needs a restart."""
    file = tmp_path / "ferrite.toml"
    file.write_text("[server]\ntimeout = 0\n", encoding="utf-8")
    server = start(config=file)
    file.write_text('[server]\ntimeout = "50s"\nio_threads = 2\n', encoding="utf-8")

    server.signal(signal.SIGHUP)
    server.wait_for_notice("RELOADING=1")
    server.wait_for_notice("READY=1")

    with server.client() as client:
        assert client.command("CONFIG", "GET", "timeout").node.items[1].data == b"50"
    assert "changed: server.timeout" in server.log()
    assert "need a restart: server.io_threads" in server.log()
    server.stop()


def test_a_wrong_file_changes_nothing(start: Start, tmp_path: Path) -> None:
    """A mistake in the file is logged with its place; the server goes on as it was."""
    file = tmp_path / "ferrite.toml"
    file.write_text("[server]\ntimeout = 7\n", encoding="utf-8")
    server = start(config=file)
    file.write_text("[server]\ntimeout = 8\ntimeuot = 9\n", encoding="utf-8")

    server.signal(signal.SIGHUP)
    server.wait_for_notice("RELOADING=1")
    server.wait_for_notice("READY=1")

    with server.client() as client:
        assert client.command("CONFIG", "GET", "timeout").node.items[1].data == b"7"
    assert "not reloaded" in server.log()
    assert "timeuot" in server.log()
    server.stop()


def test_config_rewrite(start: Start, tmp_path: Path) -> None:
    """CONFIG REWRITE keeps the file and puts into it what CONFIG SET changed."""
    file = tmp_path / "ferrite.toml"
    file.write_text("# mine\n[server]\ntimeout = 7 # idle\n", encoding="utf-8")
    server = start(config=file)

    with server.client() as client:
        client.command("CONFIG", "SET", "timeout", "9", "maxmemory", "100mb")
        assert client.command("CONFIG", "REWRITE").raw == b"+OK\r\n"

    text = file.read_text(encoding="utf-8")
    assert text.startswith("# mine\n")
    assert 'timeout = "9s" # idle' in text
    assert 'max_memory = "100mb"' in text
    server.stop()


# Starting


def test_what_the_log_says(start: Start) -> None:
    """JSON lines for machines, from the first to the last."""
    server = start("logging.format=json")
    server.stop()

    lines = [json.loads(line) for line in server.log().splitlines()]

    assert [line["message"] for line in lines][1:] == [
        "Ready to accept connections",
        "stopping: received SIGTERM",
        "stopped",
    ]
    assert {line["level"] for line in lines} == {"INFO"}


def _fails(*arguments: str) -> str:
    """Run a server that cannot start: one line, status 1; returns the line."""
    result = run_to_end(*arguments)
    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith("ferrite-py: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_port_in_use(start: Start) -> None:
    """The message names the place and what to do."""
    server = start()

    line = _fails("--bind", "127.0.0.1", "--port", str(server.port))

    assert f"cannot listen on 127.0.0.1:{server.port}: Address already in use" in line
    assert "change server.port" in line
    server.stop()


def test_an_address_of_another_machine() -> None:
    """An address that this machine does not have is an error, unless it is optional."""
    assert "server.bind" in _fails("--bind", "192.0.2.1", "--port", str(free_port()))
    assert "server.bind" in _fails("--bind=-192.0.2.1", "--port", str(free_port()))


def test_an_optional_address_may_be_missing(tmp_path: Path) -> None:
    """A minus sign before an address lets the server start without it."""
    config = tmp_path / "ferrite.toml"
    config.write_text("", encoding="utf-8")
    server = Process(tmp_path, "server.bind=127.0.0.1 -192.0.2.1", config=config)
    with server.client() as client:
        assert client.command("PING").raw == b"+PONG\r\n"
    server.stop()


def _unix(path: Path) -> list[str]:
    return ["--port", "0", "--set", f"server.unix_socket={path}"]


def test_unix_socket_that_cannot_be_made(tmp_path: Path) -> None:
    """A missing folder, a file in the way and a path that is too long."""
    (tmp_path / "file").write_text("precious", encoding="utf-8")

    assert "No such file" in _fails(*_unix(tmp_path / "missing" / "socket"))
    assert "not a socket" in _fails(*_unix(tmp_path / "file"))
    assert "too long" in _fails(*_unix(tmp_path / ("x" * 120)))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "precious"


def test_unix_socket_of_a_server_that_has_ended(start: Start, tmp_path: Path) -> None:
    """A socket without a listener is replaced, with the mode asked for, and removed at the end."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    server = start(f"server.unix_socket={path}", "server.unix_socket_permissions=600")

    assert path.stat().st_mode & 0o777 == 0o600
    with RawClient(str(path)) as client:
        assert client.command("PING").raw == b"+PONG\r\n"
    assert "another server listens" in _fails(*_unix(path))
    server.stop()
    assert not path.exists()


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing file and one that is no certificate are named."""
    (tmp_path / "text.pem").write_text("hello", encoding="utf-8")

    def attempt(cert: str, key: str) -> str:
        pairs = {"port": free_port(), "cert_file": cert, "key_file": key, "client_auth": "no"}
        flags = [word for name, value in pairs.items() for word in ("--set", f"tls.{name}={value}")]
        return _fails("--bind", "127.0.0.1", "--port", "0", *flags)

    missing, text = str(tmp_path / "none.pem"), str(tmp_path / "text.pem")
    assert f"tls.cert_file: cannot read {missing}: No such file" in attempt(missing, text)
    assert f"tls.key_file: cannot read {missing}: No such file" in attempt(text, missing)
    assert "not usable as PEM" in attempt(text, text)


def test_log_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """The folder must exist."""
    path = tmp_path / "missing" / "log"

    assert f"logging.file: cannot open {path}" in _fails("--set", f"logging.file={path}")
