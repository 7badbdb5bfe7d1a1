"""Where each signal goes: the endpoint and the files of TLS, as settings and variables give them.

What can never work is known from these alone, and ends the start and `config check` with a line
that names the setting or the variable; whether somebody listens is the doctor's to find out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ferrite_py.config_otel import SIGNALS
from ferrite_py.config_telemetry import GRPC_NAMES, TelemetryConfig

PREFIX = "OTEL_EXPORTER_OTLP"
SETTING = "telemetry.endpoint"
_AUTHORITIES = {
    True: ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",),
    False: ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}
"""The variables of the libraries, gRPC or not, that count where OpenTelemetry's is not set."""

_URL = "expected a URL such as http://collector:{}"


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
        """The endpoint in parts; without a scheme it is TLS, unless a variable says otherwise.

        Raises ValueError, as do its parts.
        """
        if "://" in self.endpoint:
            return urlsplit(self.endpoint)
        return urlsplit(f"{'http' if self.is_insecure else 'https'}://{self.endpoint}")

    @property
    def has_tls(self) -> bool:
        """Whether TLS is spoken on it."""
        start = self.endpoint.lower()
        return not start.startswith("http://") and (
            start.startswith("https://") or not self.is_insecure
        )


def ways(config: TelemetryConfig, environ: Mapping[str, str]) -> dict[str, Way]:
    """The way of each signal that is exported over OTLP."""
    found = {signal: _way(config, environ, signal) for signal in SIGNALS}
    return {signal: way for signal, way in found.items() if way is not None}


def _way(config: TelemetryConfig, environ: Mapping[str, str], signal: str) -> Way | None:
    exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    own = f"{PREFIX}_{signal.upper()}_ENDPOINT"
    endpoint = environ.get(own, "").strip() or config.endpoint
    if not config.enabled or signal not in config.signals or not endpoint:
        return None
    if "otlp" not in exporters.lower():
        return None
    # The variable of all signals is in the setting already, unless ours or a flag goes over it.
    protocol = environ.get(f"{PREFIX}_{signal.upper()}_PROTOCOL", "").strip().lower()
    is_grpc = (protocol or config.protocol) == "grpc"
    certificate = _variable(environ, signal, "CERTIFICATE")
    return Way(
        origin=own if environ.get(own, "").strip() else SETTING,
        endpoint=endpoint,
        is_grpc=is_grpc,
        is_insecure=_variable(environ, signal, "INSECURE")[1].lower() == "true",
        certificate=certificate if certificate[1] else _set(environ, _AUTHORITIES[is_grpc]),
        client_key=_variable(environ, signal, "CLIENT_KEY"),
        client_certificate=_variable(environ, signal, "CLIENT_CERTIFICATE"),
    )


def _variable(environ: Mapping[str, str], signal: str, what: str) -> tuple[str, str]:
    """A variable of one signal, or of all; its name and text."""
    return _set(environ, (f"{PREFIX}_{signal.upper()}_{what}", f"{PREFIX}_{what}"))


def _set(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """The first variable that is set; its name and text."""
    for name in names:
        text = environ.get(name, "").strip()
        if text:
            return name, text
    return "", ""


def wrong_endpoints(config: TelemetryConfig, environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each endpoint that can never work. None shows it: a password may be in it."""
    for way in dict.fromkeys(ways(config, environ).values()):
        wrong = _wrong(way)
        if wrong is not None:
            yield f"{way.origin}: {wrong}"


def _wrong(way: Way) -> str | None:
    expected = _URL.format(4317 if way.is_grpc else 4318)
    if way.is_grpc and GRPC_NAMES.match(way.endpoint):
        return None
    try:
        url = way.url
        is_whole = bool(url.hostname) and url.port != 0
    except ValueError:
        return f"its host or its port cannot be read; {expected}"
    if not way.is_grpc and ("://" not in way.endpoint or url.scheme not in ("http", "https")):
        return f"there is no http:// or https:// in front; {expected}"
    if not is_whole:
        return f"there is no host or no port in it; {expected}"
    if way.is_grpc and "@" in url.netloc:
        return f"gRPC takes no name and password in a URL; send {PREFIX}_HEADERS instead"
    if not way.is_grpc and way.origin == SETTING and ("?" in way.endpoint or "#" in way.endpoint):
        return (
            f"the paths of signals cannot follow a query; give {PREFIX}_TRACES_ENDPOINT and so on"
        )
    return None


def wrong_files(config: TelemetryConfig, environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each file of TLS that a signal needs and that is of no use."""
    lines = [line for way in ways(config, environ).values() for line in wrong_files_of(way)]
    yield from dict.fromkeys(lines)


def wrong_files_of(way: Way) -> Iterator[str]:
    """A line for each file of TLS that cannot be used; none where no TLS is spoken.

    gRPC ends the process (`Check failed`) when it is given half of a key and its certificate.
    """
    if not way.has_tls:
        return
    has_folders = Path(way.certificate[1]).is_dir() and not way.is_grpc
    if not has_folders and not _is_passed_over(way):
        yield from _unlike(way.certificate, b"CERTIFICATE-----", "certificate")
    yield from _unlike(way.client_certificate, b"CERTIFICATE-----", "certificate")
    yield from _unlike(way.client_key, b"KEY-----", "key")
    if way.is_grpc and bool(way.client_key[1]) != bool(way.client_certificate[1]):
        given, _ = way.client_key if way.client_key[1] else way.client_certificate
        missing = given.replace("_CLIENT_KEY", "_CLIENT_CERTIFICATE")
        if missing == given:
            missing = given.replace("_CLIENT_CERTIFICATE", "_CLIENT_KEY")
        yield f"{given}: gRPC needs {missing} as well"


def files_passed_over(config: TelemetryConfig, environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each file of TLS that cannot be read, and that gRPC has others instead of."""
    passed = (way for way in ways(config, environ).values() if way.has_tls and _is_passed_over(way))
    for name, path in dict.fromkeys(way.certificate for way in passed):
        yield f"{name}: cannot read {path}; gRPC trusts the authorities that it brings"


def _is_passed_over(way: Way) -> bool:
    name, path = way.certificate
    if name not in _AUTHORITIES[True]:
        return False
    try:
        Path(path).read_bytes()
    except OSError:
        return True
    return False


def _unlike(file: tuple[str, str], mark: bytes, what: str) -> Iterator[str]:
    """What is wrong with a PEM file."""
    name, path = file
    if not path:
        return
    try:
        if mark not in Path(path).read_bytes():
            yield f"{name}: there is no {what} in {path} (PEM)"
    except OSError as error:
        yield f"{name}: cannot read {path}: {error.strerror}"
