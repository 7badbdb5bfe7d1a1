"""Which certificate the exporters over HTTP trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk import environment_variables as variables
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from ferrite_py.telemetry.environment import environment, in_force
from ferrite_py.telemetry.logs import _exporter as logs_exporter
from ferrite_py.telemetry.metrics import official_exporter
from ferrite_py.telemetry.session import own_session
from ferrite_py.telemetry.transport import Outcome, trace_transport
from tests.support.certificates import make_certificates
from tests.telemetry.exporting import request_of, telemetry
from tests.telemetry.receiver import Receiver

CERTIFICATE = "OTEL_EXPORTER_OTLP_CERTIFICATE"
OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.mark.parametrize("other", OTHERS)
def test_opentelemetrys_certificate_goes_over_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """The library's own variables count where OpenTelemetry's is not set."""
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    ours, theirs = (make_certificates(tmp_path / folder) for folder in ("ours", "theirs"))
    with Receiver(tls=ours) as receiver:
        settings = {"endpoint": receiver.http_endpoint, "protocol": "http"}
        outcomes = []
        shown = {
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(ours.cert),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(ours.key),
        }
        for environ in ({CERTIFICATE: str(ours.cert), **shown}, shown):
            monkeypatch.setenv(other, str(theirs.cert))
            values = environment(telemetry(environ, **settings), environ, "id")
            transport = trace_transport(values)
            outcomes.append(transport.send(request_of(1), 10.0).outcome)
            monkeypatch.setenv(other, str(ours.cert))
            outcomes.append(transport.send(request_of(1), 10.0).outcome)
            transport.close()

    assert outcomes == [Outcome.TAKEN, Outcome.TAKEN, Outcome.AGAIN, Outcome.TAKEN]


Send = Callable[[], None]


def made_log(values: dict[str, str]) -> Send:
    """An exporter of logs; what it returns sends one message."""
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(logs_exporter(values)))

    def send() -> None:
        provider.get_logger("test").emit(LogRecord(body="hello"))
        provider.shutdown()

    return send


def made_metrics(_values: dict[str, str]) -> Send:
    """An exporter of metrics; what it returns sends one."""
    reader = PeriodicExportingMetricReader(official_exporter("otlp", "http"))
    provider = MeterProvider([reader], shutdown_on_exit=False)

    def send() -> None:
        provider.get_meter("test").create_counter("hello").add(1)
        provider.shutdown()

    return send


@pytest.mark.parametrize(
    ("make", "signal"), [(made_log, "logs"), (made_metrics, "metrics")], ids=["logs", "metrics"]
)
def test_other_signals_are_sent_so_as_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[dict[str, str]], Send],
    signal: str,
) -> None:
    """They too reach a receiver that only OpenTelemetry's certificate fits."""
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    ours, theirs = (make_certificates(tmp_path / folder) for folder in ("ours", "theirs"))
    for name in OTHERS:
        monkeypatch.setenv(name, str(theirs.cert))
    environ = {
        CERTIFICATE: str(ours.cert),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(ours.cert),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(ours.key),
    }
    with Receiver(tls=ours) as receiver:
        where = receiver.http_endpoint
        settings = {"enabled": "yes", "endpoint": where, "protocol": "http"}
        values = environment(telemetry(environ, **settings), environ, "id")
        with in_force(values):
            send = make(values)
        send()

        assert [one.signal for one in receiver.arrivals()] == [signal]


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", ["traces", "metrics", "logs"]),
        ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_LOGS_CREDENTIAL_PROVIDER", ["logs"]),
        ("OTEL_PYTHON_EXPORTER_OTLP_GRPC_LOGS_CREDENTIAL_PROVIDER", []),
        ("SOMEBODYS_CREDENTIAL_PROVIDER", []),
    ],
)
def test_a_plug_in_brings_the_session_of_its_signals(
    monkeypatch: pytest.MonkeyPatch, name: str, without: list[str]
) -> None:
    """Others keep ours; the SDK for Python still has the plug-in under these names."""
    monkeypatch.setenv(name, "plug-in")

    assert [one for one in ("traces", "metrics", "logs") if own_session(one) is None] == without
    known = {getattr(variables, one) for one in dir(variables) if "CREDENTIAL_PROVIDER" in one}
    assert (name in known) == name.startswith("OTEL_")
