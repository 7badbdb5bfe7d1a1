"""Connections with TLS: who is let in, and what a broken peer does."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates, make_certificates
from tests.support.client import RawClient
from tests.support.process import Process
from tests.support.servers import free_port
from tests.transport.conftest import TlsClient


@pytest.fixture
def port() -> int:
    """The port of the TLS listener."""
    return free_port()


@pytest.fixture(params=["yes", "optional", "no"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates, port: int
) -> Iterator[Process]:
    """A server with every way to treat certificates of clients."""
    process = Process(tmp_path, *certificates.settings(port, request.param))
    try:
        yield process
    finally:
        process.stop()


def _is_served(port: int, trusted: Certificates, own: Certificates | None) -> bool:
    """Whether a client gets an answer; with TLS 1.3 it learns of a refusal only when it reads."""
    try:
        with TlsClient(port, trusted, own) as client:
            return client.command("PING").raw == b"+PONG\r\n"
    except (ssl.SSLError, OSError):
        return False


def test_client_certificates(
    request: pytest.FixtureRequest,
    server: Process,
    port: int,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    """With "yes" a client must show a certificate; a wrong one is refused unless nobody looks."""
    mode = request.node.callspec.params["server"]
    strangers = tmp_path / "strangers"
    strangers.mkdir()

    assert _is_served(port, certificates, certificates)
    assert _is_served(port, certificates, None) == (mode != "yes")
    stranger = make_certificates(strangers)
    assert _is_served(port, certificates, stranger) == (mode == "no")
    assert server.process.poll() is None


@pytest.mark.parametrize("server", ["no"], indirect=True)
def test_a_client_without_tls(server: Process, port: int, certificates: Certificates) -> None:
    """Plain text on the TLS port closes that connection and disturbs no other."""
    with RawClient(("127.0.0.1", port)) as plain:
        plain.send(b"PING\r\n")
        plain.read_to_end()

    assert _is_served(port, certificates, None)
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("server", ["no"], indirect=True)
def test_silent_clients_do_not_hold_up_a_stop(
    server: Process, port: int, certificates: Certificates
) -> None:
    """Neither one in its handshake nor one that never says goodbye."""
    with RawClient(("127.0.0.1", port)), TlsClient(port, certificates, None) as idle:
        idle.command("PING")
        server.signal(signal.SIGTERM)

        assert server.wait() == 0


@pytest.mark.parametrize("server", ["no"], indirect=True)
def test_too_many_clients(server: Process, port: int) -> None:
    """One too many is closed without a handshake, and counts."""
    with server.client() as admin:
        admin.command("CONFIG", "SET", "maxclients", "1")

        with RawClient(("127.0.0.1", port)) as refused:
            assert refused.read_to_end() == b""

        assert b"rejected_connections:1\r\n" in admin.command("INFO", "stats").raw
