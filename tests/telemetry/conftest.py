"""Fixtures of the tests of telemetry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ferrite_py.telemetry import drain as drains
from tests.telemetry.exporting import PROTOCOLS
from tests.telemetry.metrics_site import NEVER_MS, Site
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import Server, Start


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver without a fault."""
    with Receiver() as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, receiver: Receiver) -> Iterator[Start]:
    """Start a server that exports to the receiver; settings of `[telemetry]` by name."""
    started: list[Server] = []

    def begin(*settings: str, protocol: str = "grpc", **telemetry: str) -> Server:
        given = {
            "enabled": "yes",
            "connection_rate_max": "0",
            "endpoint": receiver.endpoint(protocol),
            "protocol": protocol,
            "batch_timeout_ms": "20",
            "record_keys": "full",
            **telemetry,
        }
        names = [f"telemetry.{name}={text}" for name, text in given.items()]
        started.append(Server(tmp_path, *names, *settings))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts of the thread that sends follow each other quickly."""
    monkeypatch.setattr(drains, "PAUSE_S_FIRST", 0.01)
    monkeypatch.setattr(drains, "PAUSE_S_MAX", 0.05)
    monkeypatch.setattr(drains, "POLL_S", 0.005)


@pytest.fixture(params=PROTOCOLS)
def protocol(
    request: pytest.FixtureRequest, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Each protocol, with the SDK's environment for metrics in force."""
    chosen: str = request.param
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint(chosen))
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", NEVER_MS)
    return chosen


@pytest.fixture
def site(receiver: Receiver, protocol: str) -> Iterator[Site]:
    """A server whose metrics are exported."""
    made = Site(receiver, protocol)
    yield made
    made.close()
