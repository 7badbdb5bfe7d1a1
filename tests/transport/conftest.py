"""Servers of the transport suite: one for each way in which bytes can be carried."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates, make_certificates
from tests.support.client import RawClient
from tests.support.process import Process
from tests.support.servers import free_port

CARRIERS = ("reactors", "two reactors", "streams", "tls")


class TlsClient(RawClient):
    """A client that speaks TLS; `own` is the certificate that it shows."""

    def __init__(self, port: int, trusted: Certificates, own: Certificates | None) -> None:
        context = ssl.create_default_context(cafile=str(trusted.cert))
        if own is not None:
            context.load_cert_chain(own.cert, own.key)
        super().__init__(("127.0.0.1", port))
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        except OSError:
            self.socket.close()
            raise

    def send(self, data: bytes) -> bool:
        """Send everything; readiness of the socket would say nothing about TLS."""
        self.socket.sendall(data)
        return True


class Carried:
    """A server and its connections over the carrier under test, which one test uses."""

    def __init__(
        self, process: Process, connect: Callable[[], RawClient], unix: Path, *, is_tls: bool
    ) -> None:
        self.process = process
        self.unix = unix
        self.is_tls = is_tls
        self._connect = connect
        self._clients: list[RawClient] = []

    def connect(self) -> RawClient:
        """A connection over the carrier; closed after the test."""
        return self._kept(self._connect())

    def plain(self) -> RawClient:
        """A connection over TCP without TLS; closed after the test."""
        return self._kept(self.process.client())

    def _kept(self, client: RawClient) -> RawClient:
        self._clients.append(client)
        return client

    def close_all(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()
        self._clients.clear()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One certificate for the whole run: making one takes long."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def carried(running: Carried) -> Iterator[Carried]:
    """The server of this module over one carrier; the test's connections are closed after it."""
    yield running
    running.close_all()


@pytest.fixture(scope="module", params=CARRIERS)
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificates: Certificates,
) -> Iterator[Carried]:
    """A server for the tests of one module, over each carrier."""
    folder = tmp_path_factory.mktemp("server")
    unix, tls_port = folder / "unix", free_port()
    settings = [f"server.unix_socket={unix}"]
    if request.param == "two reactors":
        settings.append("server.io_threads=2")
    elif request.param == "streams":
        settings.append("server.transport=streams")
    elif request.param == "tls":
        settings += certificates.settings(tls_port, "yes")
    process = Process(folder, *settings)
    connect = process.client
    if request.param == "tls":

        def connect() -> RawClient:
            return TlsClient(tls_port, certificates, certificates)

    try:
        yield Carried(process, connect, unix, is_tls=request.param == "tls")
    finally:
        process.stop()
