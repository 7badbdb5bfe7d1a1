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
from tests.support.resp import encode
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


@pytest.fixture
def renewed(tmp_path: Path) -> Certificates:
    """Another certificate, which those who trust the first do not trust."""
    folder = tmp_path / "renewed"
    folder.mkdir()
    return make_certificates(folder)


@pytest.mark.parametrize("server", ["optional"], indirect=True)
def test_config_set_renews_certificates(
    server: Process, port: int, certificates: Certificates, renewed: Certificates, tmp_path: Path
) -> None:
    """New connections see the new files, those that there are stay; bad files change nothing."""
    missing = tmp_path / "none.pem"
    with server.client() as admin, TlsClient(port, certificates, None) as early:
        early.command("PING")
        assert not _is_served(port, renewed, None)

        for pair in (("tls-cert-file", str(missing)), ("tls-ca-cert-file", str(missing))):
            answer = admin.command("CONFIG", "SET", "timeout", "7", *pair).raw
            assert b"-ERR CONFIG SET failed - tls." in answer
            assert f"cannot read {missing}: No such file".encode() in answer
        answer = admin.command("CONFIG", "SET", "tls-cert-file", str(renewed.cert)).raw
        assert b"-ERR CONFIG SET failed - tls.cert_file, tls.key_file: " in answer
        assert _is_served(port, certificates, certificates)
        assert b"$1\r\n0\r\n" in admin.command("CONFIG", "GET", "timeout").raw

        words = [
            *("tls-cert-file", str(renewed.cert), "tls-key-file", str(renewed.key)),
            *("tls-ca-cert-file", str(renewed.cert)),
        ]
        assert admin.command("CONFIG", "SET", *words).raw == b"+OK\r\n"

        assert _is_served(port, renewed, renewed)
        assert not _is_served(port, certificates, None)
        assert early.command("PING").raw == b"+PONG\r\n"


def test_sighup_reads_certificates_again(
    tmp_path: Path, port: int, certificates: Certificates, renewed: Certificates
) -> None:
    """Files that were replaced count after SIGHUP; a broken one leaves the old ones in force."""
    file = tmp_path / "ferrite.toml"
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(certificates.cert.read_bytes())
    key.write_bytes(certificates.key.read_bytes())
    file.write_text(
        f"[tls]\nport = {port}\ncert_file = '{cert}'\nkey_file = '{key}'\nclient_auth = 'no'\n",
        encoding="utf-8",
    )
    server = Process(tmp_path, config=file)

    def reload() -> None:
        server.signal(signal.SIGHUP)
        server.wait_for_notice("RELOADING=1")
        server.wait_for_notice("READY=1")

    try:
        cert.write_bytes(renewed.cert.read_bytes())
        reload()
        assert f"not reloaded: tls.cert_file, tls.key_file: {cert} and {key}: " in server.log()
        assert _is_served(port, certificates, None)
        key.write_bytes(renewed.key.read_bytes())
        reload()
        assert _is_served(port, renewed, None)
        assert not _is_served(port, certificates, None)
    finally:
        server.stop()


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


def test_a_stop_answers_what_waits_for_the_disk(
    tmp_path: Path, port: int, certificates: Certificates
) -> None:
    """All that was sent is answered, though the reactors, which have no clients, end at once."""
    process = Process(
        tmp_path,
        *certificates.settings(port, "no"),
        f"storage.data_dir={tmp_path / 'data'}",
        "storage.disk_queue_depth=1",
        "server.enable_debug_command=yes",
    )
    keys = [(f"key:{number}", f"value:{number}") for number in range(1000)]
    try:
        with TlsClient(port, certificates, None) as client:
            client.pipeline([("SET", *pair) for pair in keys])
            assert client.command("DEBUG", "TIER", "DISK").raw == b"+OK\r\n"
            client.send(b"".join(encode("GET", name) for name, _ in keys))
            process.signal(signal.SIGTERM)

            replies = [client.read() for _ in keys]

        assert [reply.node.text for reply in replies] == [value for _, value in keys]
        assert process.wait() == 0, process.log()
    finally:
        process.kill()
