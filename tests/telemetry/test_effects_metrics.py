"""What metrics are for, seen by a receiver: they are what happened, and none is a constant."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.info import info
from tests.support.process import Process
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import MetricView, metrics_of, one


class Metrics:
    """A server of 64 MiB whose metrics are exported all the time."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self._receiver = receiver
        settings = {
            "telemetry.enabled": "yes",
            "telemetry.endpoint": receiver.grpc_endpoint,
            "telemetry.traces_enabled": "no",
            "telemetry.logs_enabled": "no",
            "telemetry.metrics_export_interval": "50ms",
            "storage.data_dir": str(folder / "data"),
            "storage.segment_size": "64kb",
            "storage.max_memory": "64mb",
            "server.enable_debug_command": "yes",
        }
        self.process = Process(folder, *(f"{name}={text}" for name, text in settings.items()))
        self.client = self.process.client()

    def after_now(self) -> list[MetricView]:
        """The values of an export that began after this call."""
        # One may be under way: the second one from now began later.
        wanted = len(self._receiver.arrivals("metrics")) + 2
        self._receiver.wait(lambda one: len(one.arrivals("metrics")) >= wanted)
        return list(metrics_of(self._receiver.messages("metrics")[-1]))

    def close(self) -> None:
        """End it."""
        self.client.close()
        self.process.stop()


@pytest.fixture
def metrics(tmp_path: Path, receiver: Receiver) -> Iterator[Metrics]:
    """A running server with tiers."""
    made = Metrics(tmp_path, receiver)
    yield made
    made.process.kill()


def value(views: list[MetricView], name: str, **labels: str) -> float:
    """The number of one data point, or the count of a histogram."""
    found = one(views, name, **labels)
    return float(found.value.count if found.kind == "histogram" else found.value)


@pytest.mark.seed(
    "ferrite.commands.total",
    "ferrite.command.duration",
    "ferrite.cache.hits.total",
    "ferrite.cache.misses.total",
    "ferrite.cache.hit.rate",
    "ferrite.connections.active",
    "ferrite.connections.total",
    "ferrite.keys.total",
    "ferrite.memory.max",
    "ferrite.memory.used",
    "ferrite.hybridlog.tier.size",
    "ferrite.epoch.current",
    "ferrite.network.bytes.received",
    "ferrite.network.bytes.sent",
    "telemetry.metrics_export_interval",
)
def test_metrics_are_what_happened(metrics: Metrics) -> None:
    """Commands, look-ups, connections, keys and bytes; nothing is a constant."""
    client = metrics.client
    for number in range(40):
        client.command("SET", f"key:{number}", "x" * 3000)
    client.command("DEBUG", "TIER", "DISK")
    client.command("SET", "hot", "x")
    for name in ("hot", "hot", "hot", "key:1", "nokey"):
        client.command("GET", name)
    with metrics.process.client() as second:
        second.command("SELECT", "3")
        second.command("SET", "other", "x")
        tiers, before = info(client, "hybridlog"), info(client, "memory")

        views = metrics.after_now()

        memory = sorted(int(one["used_memory"]) for one in (before, info(client, "memory")))

    assert value(views, "ferrite.commands.total", command="SET") == 42
    assert value(views, "ferrite.command.duration", command="SET") == 42
    assert value(views, "ferrite.cache.hits.total") == 3
    assert value(views, "ferrite.cache.misses.total") == 2
    assert value(views, "ferrite.cache.hit.rate") == 0.6
    assert value(views, "ferrite.connections.active") == 2
    assert value(views, "ferrite.connections.total") == 2
    assert value(views, "ferrite.keys.total", db="0") == 41
    assert value(views, "ferrite.keys.total", db="3") == 1
    assert value(views, "ferrite.memory.max") == 64 << 20
    # What moved to the disk may be given back in between.
    used = value(views, "ferrite.memory.used")
    assert memory[0] - 65536 < used < memory[1] + 65536
    assert value(views, "ferrite.hybridlog.tier.size", tier="disk") == int(tiers["disk_bytes"]) > 0
    assert value(views, "ferrite.epoch.current") == int(tiers["epoch"]) > 0
    received = value(views, "ferrite.network.bytes.received")
    sent = value(views, "ferrite.network.bytes.sent")
    assert 40 * 3000 < received < 45 * 3200
    assert 3000 < sent < 40 * 3000
    metrics.close()


@pytest.mark.seed(
    "ferrite.keys.expired.total",
)
def test_keys_that_are_gone(metrics: Metrics) -> None:
    """Those whose time had come and those that made room are counted apart, as INFO does."""
    client = metrics.client
    client.command("SET", "short", "x", "PX", "1")
    end = time.monotonic() + 20
    while client.command("EXISTS", "short").raw != b":0\r\n":
        assert time.monotonic() < end

    views = metrics.after_now()

    assert value(views, "ferrite.keys.expired.total") == 1
    assert value(views, "ferrite.keys.evicted.total") == 0
    metrics.close()


@pytest.mark.seed(
    "ferrite.keys.evicted.total",
)
def test_keys_that_made_room(tmp_path: Path, receiver: Receiver) -> None:
    """With a limit and a policy that evicts, what was evicted is counted."""
    settings = [
        "telemetry.enabled=yes",
        f"telemetry.endpoint={receiver.grpc_endpoint}",
        "telemetry.traces_enabled=no",
        "telemetry.metrics_export_interval=1h",
        "storage.max_memory=16mb",
    ]
    server = Process(tmp_path, *settings)
    with server.client() as client:
        client.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        for first in range(0, 4000, 100):
            client.pipeline(
                ("SET", f"key:{number}", "x" * 10_000) for number in range(first, first + 100)
            )
        told = info(client, "stats")
    server.stop()

    views = receiver.metrics()
    assert value(views, "ferrite.keys.evicted.total") == int(told["evicted_keys"]) > 0
    assert value(views, "ferrite.keys.expired.total") == 0
