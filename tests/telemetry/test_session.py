"""Which certificate the exporters over HTTP trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferrite_py.telemetry.environment import environment, in_force
from ferrite_py.telemetry.logs import _exporter as logs_exporter
from ferrite_py.telemetry.metrics import official_exporter
from ferrite_py.telemetry.session import OwnSession
from ferrite_py.telemetry.transport import Outcome, trace_transport
from tests.support.certificates import make_certificates
from tests.telemetry.exporting import request_of, telemetry
from tests.telemetry.receiver import Receiver

CERTIFICATE = "OTEL_EXPORTER_OTLP_CERTIFICATE"
OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
ENDPOINT = {"endpoint": "https://h:4318", "protocol": "http"}


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


@pytest.mark.parametrize(
    "make",
    [logs_exporter, lambda _: official_exporter("otlp", "http")],
    ids=["logs", "metrics"],
)
def test_all_signals_have_such_a_session(make: Callable[[dict[str, str]], Any]) -> None:
    """Unless a plug-in of OpenTelemetry's brings its own."""
    values = environment(telemetry(None, **ENDPOINT), {CERTIFICATE: "/ca.pem"}, "id")

    with in_force(values):
        session = make(values)._client._transport._session

    assert isinstance(session, OwnSession)
    assert session.verify == "/ca.pem"
