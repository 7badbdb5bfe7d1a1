"""The doctor's look at collectors: each signal's own, and the files of TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ferrite_py import doctor_collector
from ferrite_py.config import Config, with_values
from ferrite_py.doctor_collector import check_collectors
from ferrite_py.findings import Host
from tests.support.certificates import Certificates, make_certificates

CA = "OTEL_EXPORTER_OTLP_CERTIFICATE"


def found(environ: dict[str, str], **telemetry: object) -> list[tuple[str, str]]:
    """Level and subject of each finding."""
    values = {"enabled": True, **telemetry}
    named = {f"telemetry.{name}": value for name, value in values.items()}
    host = Host(Path("/"), -1, -1, -1, environ=environ)
    findings = list(check_collectors(with_values(Config(), named), host))
    assert all((finding.level == "ok") == (finding.remedy == "") for finding in findings)
    return [(finding.level, finding.subject) for finding in findings]


@pytest.fixture
def place() -> Iterator[str]:
    """Where somebody listens who never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What both sides show and trust."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor waits for as long as a busy machine may need."""
    monkeypatch.setattr(doctor_collector, "CONNECT_S", 20.0)
    monkeypatch.setattr(doctor_collector, "ANSWER_S", 20.0)


class Collector:
    """Answers TLS handshakes.

    Args:
        files: its certificate, and whom it trusts.
        asks: whether it wants a certificate.
        says: what it says at once, as gRPC does; if nothing it waits, if no bytes it hangs up.
    """

    def __init__(
        self, files: Certificates, *, asks: bool = False, says: bytes | None = b"x"
    ) -> None:
        self._says = says
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.cert, files.key)
        if asks:
            self._context.load_verify_locations(files.cert)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        try:
            with self._context.wrap_socket(connection, server_side=True) as greeted:
                greeted.sendall(self._says or b"")
                if self._says != b"":
                    greeted.recv(1)
        except OSError:
            return  # what the doctor makes of it is the test's


def test_each_signal_has_its_own_collector(place: str) -> None:
    """What several share is looked at once; what is off, or goes elsewhere than OTLP, is not."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        logs = f"http://127.0.0.1:{other.getsockname()[1]}/v1/logs"
    environ = {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": logs,
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
    }
    ours, its = "telemetry.endpoint", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"

    assert found(environ, endpoint=f"http://{place}") == [("ok", ours), ("warn", its)]
    assert found(environ, endpoint=f"http://{place}", logs_enabled=False) == [("ok", ours)]
    console = {**environ, "OTEL_LOGS_EXPORTER": "console"}
    assert found(console, endpoint=f"http://{place}") == [("ok", ours)]
    assert found(environ) == [("warn", its)]
    assert found(environ, enabled=False) == []


def test_names_of_places_that_are_grpcs_own(tmp_path: Path) -> None:
    """A unix socket is looked at; what else gRPC knows is no reason for a warning."""
    ours = "telemetry.endpoint"
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        assert found({}, endpoint=f"unix:{path}") == [("ok", ours)]
        assert found({}, endpoint=f"unix://{path}") == [("ok", ours)]
    assert found({}, endpoint=f"unix:{path}") == [("warn", ours)]
    assert found({}, endpoint="unix:" + "x" * 200) == [("warn", ours)]
    for name in ("dns:localhost:4317", "dns:///localhost:4317", "ipv4:127.0.0.1:1"):
        assert found({}, endpoint=name) == [("ok", ours)]


def test_an_endpoint_without_a_scheme_is_one_with_tls(place: str) -> None:
    """As gRPC has it, unless the variable says that it is not."""
    insecure = {"OTEL_EXPORTER_OTLP_INSECURE": "true"}

    assert [level for level, _ in found({}, endpoint=place)] == ["ok", "warn"]
    assert [level for level, _ in found(insecure, endpoint=place)] == ["ok"]


@pytest.mark.usefixtures("patience")
def test_a_certificate_is_trusted_or_not(certificates: Certificates) -> None:
    """It is when its authority's is named."""
    with Collector(certificates) as collector:
        trusted = found({CA: str(certificates.cert)}, endpoint=collector.endpoint)
        strange = found({}, endpoint=collector.endpoint, protocol="http")

    assert [level for level, _ in trusted] == ["ok", "ok"]
    assert [level for level, _ in strange] == ["ok", "warn"]


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_authorities_are_those_of_the_exporters(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """Each library's variable counts where OpenTelemetry's is not set; the system's store never."""
    ours = str(certificates.cert)
    monkeypatch.setenv("SSL_CERT_FILE", ours)
    own = {"grpc": "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "http": "REQUESTS_CA_BUNDLE"}
    other = {"grpc": "REQUESTS_CA_BUNDLE", "http": "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"}
    with Collector(certificates) as collector:
        look = partial(found, endpoint=collector.endpoint, protocol=protocol)
        system, named, foreign, ruled = (
            look({}),
            look({own[protocol]: ours}),
            look({other[protocol]: ours}),
            look({own[protocol]: ours, CA: str(certificates.key)}),
        )

    assert [level for level, _ in system] == ["ok", "warn"]
    assert [level for level, _ in named] == ["ok", "ok"]
    assert [level for level, _ in foreign] == ["ok", "warn"]
    assert ruled == [("fail", CA), ("ok", "telemetry.endpoint")]


@pytest.mark.usefixtures("patience")
def test_a_collector_may_ask_for_ours(certificates: Certificates) -> None:
    """One that is demanded and not there is told, and one that is there is shown."""
    environ = {CA: str(certificates.cert)}
    ours = {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certificates.cert),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(certificates.key),
    }
    with Collector(certificates, asks=True) as collector:
        without = found(environ, endpoint=collector.endpoint)
        shown = found({**environ, **ours}, endpoint=collector.endpoint)

    assert [level for level, _ in without] == ["ok", "warn"]
    assert [level for level, _ in shown] == ["ok", "ok"]


@pytest.mark.usefixtures("patience")
def test_a_collector_may_hang_up(certificates: Certificates) -> None:
    """It has not taken us then, though it says nothing."""
    with Collector(certificates, says=b"") as collector:
        closed = found({CA: str(certificates.cert)}, endpoint=collector.endpoint)

    assert [level for level, _ in closed] == ["ok", "warn"]


@pytest.mark.usefixtures("patience")
def test_a_collector_may_wait_for_a_request(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over HTTP: silence is no refusal."""
    monkeypatch.setattr(doctor_collector, "ANSWER_S", 0.1)
    with Collector(certificates, says=None) as collector:
        waited = found({CA: str(certificates.cert)}, endpoint=collector.endpoint, protocol="http")

    assert [level for level, _ in waited] == ["ok", "ok"]


def test_files_that_end_the_start_are_failures(tmp_path: Path, place: str) -> None:
    """With TLS they are needed; each that is wrong is named."""
    environ = {
        CA: str(tmp_path / "missing.pem"),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(tmp_path / "missing.pem"),
    }

    assert found(environ, endpoint=f"https://{place}") == [
        ("fail", CA),
        ("fail", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ("fail", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ("ok", "telemetry.endpoint"),
    ]


def test_files_that_cannot_be_used(tmp_path: Path, place: str) -> None:
    """They are named by their variable, those of one signal before those of all."""
    text = tmp_path / "text.pem"
    text.write_text("no certificate", encoding="utf-8")
    environ = {
        CA: str(tmp_path / "missing.pem"),
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": str(text),
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": str(text),
    }

    ours = ("ok", "telemetry.endpoint")
    assert found(environ, endpoint=f"http://{place}") == [
        ("warn", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"),
        ("warn", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE"),
        ours,
        ("warn", CA),
        ours,
    ]
