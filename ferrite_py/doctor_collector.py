"""The doctor's look at where telemetry goes: does somebody listen, and is it who it should be?

Nothing here keeps the server from starting: without a collector it loses telemetry and says so. So
what is wrong is a warning.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ferrite_py.config import Config
from ferrite_py.config_otel import SIGNALS
from ferrite_py.findings import Finding, Host

CONNECT_S = 2.0
ANSWER_S = 2.0
"""How long a refusal may take after the handshake."""
_PREFIX = "OTEL_EXPORTER_OTLP"
_AUTHORITIES = {
    True: ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",),
    False: ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}
"""The variables of the libraries, gRPC or not, that count where OpenTelemetry's is not set."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a signal goes, as it was given, and with which files."""

    origin: str
    """The setting or the variable that says where."""
    endpoint: str
    is_grpc: bool
    is_insecure: bool
    """Whether an endpoint without a scheme is one without TLS."""
    certificate: tuple[str, str]
    client_key: tuple[str, str]
    client_certificate: tuple[str, str]
    """Of each file the variable and the path; both empty when there is none."""

    @property
    def url(self) -> SplitResult:
        """The endpoint in parts; without a scheme it is TLS, unless a variable says otherwise."""
        if "://" in self.endpoint:
            return urlsplit(self.endpoint)
        return urlsplit(f"{'http' if self.is_insecure else 'https'}://{self.endpoint}")


def check_collectors(config: Config, host: Host) -> Iterator[Finding]:
    """Look at each place that a signal goes to, once."""
    found = [_way(config, host.environ, signal) for signal in SIGNALS]
    for way in dict.fromkeys(way for way in found if way is not None):
        yield from _look(way)


def _way(config: Config, environ: Mapping[str, str], signal: str) -> Way | None:
    telemetry = config.telemetry
    exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    is_on = telemetry.enabled and config.value(f"telemetry.{signal}_enabled")
    own = f"{_PREFIX}_{signal.upper()}_ENDPOINT"
    endpoint = environ.get(own, "").strip() or telemetry.endpoint
    if not is_on or not endpoint or "otlp" not in exporters:
        return None
    _, protocol = _variable(environ, signal, "PROTOCOL")
    is_grpc = (protocol.lower() or telemetry.protocol) == "grpc"
    certificate = _variable(environ, signal, "CERTIFICATE")
    return Way(
        origin=own if environ.get(own, "").strip() else "telemetry.endpoint",
        endpoint=endpoint,
        is_grpc=is_grpc,
        is_insecure=_variable(environ, signal, "INSECURE")[1].lower() == "true",
        certificate=certificate if certificate[1] else _set(environ, _AUTHORITIES[is_grpc]),
        client_key=_variable(environ, signal, "CLIENT_KEY"),
        client_certificate=_variable(environ, signal, "CLIENT_CERTIFICATE"),
    )


def _variable(environ: Mapping[str, str], signal: str, what: str) -> tuple[str, str]:
    """A variable of one signal, or of all; its name and text."""
    return _set(environ, (f"{_PREFIX}_{signal.upper()}_{what}", f"{_PREFIX}_{what}"))


def _set(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """The first variable that is set; its name and text."""
    for name in names:
        text = environ.get(name, "").strip()
        if text:
            return name, text
    return "", ""


def _look(way: Way) -> Iterator[Finding]:
    files = list(_unusable(way))
    yield from files
    url, shown = way.url, way.endpoint
    try:
        shown = f"{url.hostname}, port {_port(url)},"
        with socket.create_connection((url.hostname or "", _port(url)), CONNECT_S) as connection:
            yield Finding("ok", way.origin, f"{shown} takes connections")
            if url.scheme == "https" and not files:
                yield _greet(way, connection, shown)
    except (OSError, ValueError) as error:
        message = f"{shown} {getattr(error, 'strerror', None) or error}"
        yield Finding("warn", way.origin, message, "start the collector, or change the endpoint")


def _port(url: SplitResult) -> int:
    """Raises ValueError."""
    return url.port or (443 if url.scheme == "https" else 80)


def _unusable(way: Way) -> Iterator[Finding]:
    """The files of TLS that cannot be used, whether or not the endpoint is one with TLS."""
    name, path = way.certificate
    if path:
        try:
            _trusting(path)
        except OSError as error:
            yield Finding("warn", name, f"{path}: {_reason(error)}", "correct the path or the file")
    name, path = way.client_certificate
    if path:
        try:
            key = way.client_key[1] or None
            ssl.create_default_context().load_cert_chain(path, key, password="")
        except OSError as error:
            remedy = "correct the path, or the file and its key (OTEL_EXPORTER_OTLP_CLIENT_KEY)"
            yield Finding("warn", name, f"{path}: {_reason(error)}", remedy)


def _trusting(path: str) -> ssl.SSLContext:
    """What trusts the authorities in a file, or in a folder as the library for HTTP takes it."""
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


def _bundled(*, is_grpc: bool) -> str:
    """The authorities that the exporters bring; those of the system they do not trust."""
    if is_grpc:
        import grpc

        return str(Path(grpc.__file__).with_name("_cython") / "_credentials" / "roots.pem")
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return DEFAULT_CA_BUNDLE_PATH


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return reason or str(error)


def _greet(way: Way, connection: socket.socket, shown: str) -> Finding:
    """Whether the collector has a certificate that is trusted, and takes ours."""
    context = _trusting(way.certificate[1] or _bundled(is_grpc=way.is_grpc))
    if way.is_grpc:
        context.set_alpn_protocols(["h2"])
    if way.client_certificate[1]:
        context.load_cert_chain(way.client_certificate[1], way.client_key[1] or None, password="")
    try:
        with context.wrap_socket(connection, server_hostname=way.url.hostname) as greeted:
            return _refused(greeted, way, shown) or Finding(
                "ok", way.origin, f"{shown} shows a certificate that is trusted"
            )
    except OSError as error:
        why = getattr(error, "verify_message", "") or _reason(error)
        remedy = "name the authority's certificate in OTEL_EXPORTER_OTLP_CERTIFICATE"
        return Finding("warn", way.origin, f"{shown} TLS fails: {why}", remedy)


def _refused(greeted: ssl.SSLSocket, way: Way, shown: str) -> Finding | None:
    """Whether our own certificate is refused: of that TLS 1.3 tells after the handshake.

    Who speaks has taken us, as gRPC does at once; a receiver over HTTP is silent until it is asked.
    """
    greeted.settimeout(ANSWER_S)
    try:
        if greeted.recv(1):
            return None
        why = "closes the connection"
    except TimeoutError:
        return None
    except OSError as error:
        why = f"refuses us: {_reason(error)}"
    remedy = "set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY"
    return Finding("warn", way.origin, f"{shown} {why}", remedy)
