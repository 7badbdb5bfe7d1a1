"""Fixtures of the tests of traces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
