"""The doctor's look at where telemetry goes: does somebody listen, and is it who it should be?

Without a collector the server loses telemetry and says so: that is a warning. Files of TLS that are
needed and cannot be used keep it from starting.
"""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult

from ferrite_py.collector import Way, ways, wrong_files_of
from ferrite_py.config import Config
from ferrite_py.config_telemetry import GRPC_NAMES
from ferrite_py.findings import Finding, Host
from ferrite_py.hidden import without_secrets

CONNECT_S = 2.0
ANSWER_S = 2.0
"""How long a refusal may take after the handshake."""


def check_collectors(config: Config, host: Host) -> Iterator[Finding]:
    """Look at each place that a signal goes to, once."""
    for way in dict.fromkeys(ways(config.telemetry, host.environ).values()):
        yield from _look(way)


def _look(way: Way) -> Iterator[Finding]:
    files = [
        Finding("fail", name, message, "correct the variables or the files")
        for name, _, message in (line.partition(": ") for line in wrong_files_of(way))
    ] or list(_unusable(way))
    yield from files
    if way.is_grpc and GRPC_NAMES.match(way.endpoint):
        yield _named(way)
        return
    url, shown = way.url, without_secrets(way.endpoint)
    try:
        shown = f"{url.hostname}, port {_port(url)},"
        with socket.create_connection((url.hostname or "", _port(url)), CONNECT_S) as connection:
            yield Finding("ok", way.origin, f"{shown} takes connections")
            if url.scheme == "https" and not files:
                yield _greet(way, connection, shown)
    except (OSError, ValueError) as error:
        message = f"{shown} {getattr(error, 'strerror', None) or error}"
        yield Finding("warn", way.origin, message, "start the collector, or change the endpoint")


def _named(way: Way) -> Finding:
    """A place by gRPC's own name: a unix socket is looked at, others are gRPC's to find."""
    scheme, _, path = way.endpoint.partition(":")
    if scheme.lower() != "unix":
        return Finding("ok", way.origin, f"{without_secrets(way.endpoint)} is not looked at")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_S)
            connection.connect(path.removeprefix("//"))
    except (OSError, ValueError) as error:
        message = f"{path} {getattr(error, 'strerror', None) or error}"
        return Finding("warn", way.origin, message, "start the collector, or change the endpoint")
    return Finding("ok", way.origin, f"{path} takes connections")


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
