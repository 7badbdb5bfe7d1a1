"""A native server whose metrics are exported when a test says so."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource

from ferrite_py._native import Server, Stream
from ferrite_py.config import Config, with_values
from ferrite_py.measure import Meter
from ferrite_py.services import engine_options
from ferrite_py.telemetry.metrics import MetricsExport
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import MetricView

NEVER_MS = "3600000"
"""The interval: tests flush."""


class Site:
    """A native server whose metrics are exported to a receiver."""

    def __init__(self, receiver: Receiver, protocol: str, semconv: str = "dup") -> None:
        self.receiver = receiver
        config = with_values(Config(), {"storage.max_memory": 64 << 20})
        self.native = Server(engine_options(config))
        self.meter = Meter(self.native, 0.0)
        self.stream = Stream(self.native, "127.0.0.1:1", "127.0.0.1:2", False, -1)
        resource = Resource({"service.name": "cache"})
        self.export = MetricsExport(self.meter, resource, protocol=protocol, semconv=semconv)

    def run(self, *commands: str) -> None:
        """Run inline commands."""
        for one in commands:
            assert self.stream.feed(f"{one}\r\n".encode(), 0)

    def flush(self) -> list[MetricView]:
        """Export now; what has arrived of it."""
        self.receiver.clear()
        assert self.export.flush(10)
        return self.receiver.metrics()

    def close(self) -> None:
        """End all."""
        self.export.stop(10)
        self.stream.close()
        self.native.close()
