"""Metrics over OTLP: what arrives at a receiver, over gRPC and over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferrite_py.measure import OPERATION_DURATION, ROWS
from ferrite_py.telemetry.metrics import RUNTIME_SCOPE, SCOPE
from tests.support.served import Served
from tests.telemetry.exporting import PROTOCOLS
from tests.telemetry.metrics_site import Site
from tests.telemetry.page import page_of
from tests.telemetry.receiver import Receiver, bad_request
from tests.telemetry.test_measure import SEED
from tests.telemetry.views import DELTA, MetricView, one


def test_every_metric_that_is_promised_arrives(site: Site) -> None:
    """Names, units, instruments and labels of Ferrite; what does not exist has no data points."""
    site.run("SET key value", "GET key", "GET nokey", "SET other value PX 1")

    views = site.flush()

    kinds = {"counter": "sum", "gauge": "gauge", "histogram": "histogram"}
    absent = {"ferrite.replication.lag", "ferrite.aof.sync.duration"}
    for name, (instrument, unit, labels) in SEED.items():
        found = [view for view in views if view.name == name]
        assert bool(found) is (name not in absent), name
        assert {(view.kind, view.unit) for view in found} <= {(kinds[instrument], unit)}
        assert all(set(view.attributes) == set(labels) for view in found)
        assert all(view.is_monotonic for view in found if view.kind == "sum")
    assert one(views, "ferrite.commands.total", command="GET").value == 2
    assert one(views, "ferrite.cache.hit.rate").value == 0.5
    assert one(views, "ferrite.memory.max").value == 64 << 20
    assert one(views, "ferrite.hybridlog.tier.size", tier="mutable").value > 0
    assert one(views, "ferrite.keys.total", db="0").value == 2


def test_scopes_and_the_resource(site: Site) -> None:
    """Ours and the SDK's own metrics come in one request, each under its scope."""
    site.run("PING")

    views = site.flush()

    assert len(site.receiver.arrivals("metrics")) == 1
    assert {view.scope for view in views} == {SCOPE, RUNTIME_SCOPE}
    assert {view.resource["service.name"] for view in views} == {"cache"}
    ours = {view.name for view in views if view.scope == SCOPE}
    assert ours <= {row.name for row in ROWS} | {OPERATION_DURATION}
    assert one(views, "process.cpu.time", **{"cpu.mode": "user"}).value > 0
    collections = [view for view in views if view.name == "cpython.gc.collections"]
    assert {view.attributes["cpython.gc.generation"] for view in collections} == {0, 1, 2}


def test_the_name_of_the_conventions(site: Site) -> None:
    """The same durations come as db.server.operation.duration."""
    site.run("CLIENT ID", "SET key value")

    views = site.flush()

    names = {"db.system.name": "ferrite", "db.operation.name": "CLIENT ID"}
    twin = one(views, OPERATION_DURATION, **names)
    ours = one(views, "ferrite.command.duration", command="CLIENT ID")
    assert ("s", "histogram") == (twin.unit, twin.kind)
    assert twin.value.sum == ours.value.sum > 0
    assert twin.value.bucket_counts == ours.value.bucket_counts


def test_only_ferrites_names(receiver: Receiver, protocol: str) -> None:
    """With semconv = "ferrite" the name of the conventions is left out."""
    site = Site(receiver, protocol, semconv="ferrite")
    site.run("PING")

    views = site.flush()

    assert OPERATION_DURATION not in {view.name for view in views}
    site.close()


def test_what_was_refused_is_counted_and_comes_later(
    receiver: Receiver,
    protocol: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A delta that was not taken is part of the next; the failure is a metric, and logged."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    site = Site(receiver, protocol)
    receiver.behave(bad_request())
    site.run("PING")
    assert not site.export.flush(10)
    receiver.behave()
    site.run("PING")

    views = site.flush()

    assert one(views, "ferrite.commands.total", command="PING").value == 2
    assert one(views, "ferrite.telemetry.export.failures", signal="metrics").value == 1
    assert sum("metrics were not exported" in line for line in caplog.messages) == 1
    site.close()


def test_the_last_export_is_that_of_the_stop(site: Site) -> None:
    """A stop sends what has come since the last interval."""
    site.run("PING")

    site.export.stop(10)

    assert one(site.receiver.metrics(), "ferrite.commands.total", command="PING").value == 1


def test_the_interval_is_the_environments(
    receiver: Receiver, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a flush metrics come again and again, as often as the variable says."""
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    site = Site(receiver, protocol)

    receiver.wait(lambda _: len(receiver.arrivals("metrics")) >= 3)

    site.close()


@pytest.mark.parametrize("chosen", PROTOCOLS)
def test_a_running_server_exports_what_its_page_says(
    receiver: Receiver, tmp_path: Path, chosen: str
) -> None:
    """Settings of the file are enough; at the stop the last values come, equal to the page's."""
    served = Served(
        tmp_path,
        "telemetry.enabled=yes",
        f"telemetry.endpoint={receiver.endpoint(chosen)}",
        f"telemetry.protocol={chosen}",
        "telemetry.metrics_export_interval=1h",
        "telemetry.service_name=cache-7",
        "storage.max_memory=64mb",
    )
    for number in range(40):
        served.client.command("SET", f"key:{number}", "x")
        served.client.command("GET", f"key:{number}")
    page = page_of(served.metrics)

    served.close()

    views = receiver.metrics()
    assert {view.resource["service.name"] for view in views} == {"cache-7"}
    assert one(views, "ferrite.commands.total", command="SET").value == 40
    assert one(views, "ferrite.cache.hits.total").value == page.value("ferrite_cache_hits_total")
    ours = one(views, "ferrite.command.duration", command="GET").value
    assert ours.sum == page.value("ferrite_command_duration_sum", command="GET")
    assert ours.count == page.value("ferrite_command_duration_count", command="GET")
    assert one(views, "ferrite.memory.max").value == page.value("ferrite_memory_max")
    assert one(views, "ferrite.telemetry.lost", reason="queue_full").value == 0


@pytest.mark.parametrize("chosen", PROTOCOLS)
def test_a_file_says_which_sums_and_histograms(
    receiver: Receiver, tmp_path: Path, chosen: str
) -> None:
    """Of a running server: deltas, which are all commands together, and exponential histograms."""
    config = tmp_path / "ferrite.toml"
    config.write_text(
        "[telemetry]\nenabled = true\ntraces_enabled = false\nlogs_enabled = false\n"
        f'endpoint = "{receiver.endpoint(chosen)}"\nprotocol = "{chosen}"\n'
        'metrics_export_interval = "50ms"\n'
        'metrics_temporality = "delta"\nmetrics_histograms = "exponential"\n',
        encoding="utf-8",
    )
    served = Served(tmp_path / "server", config=config)

    def of_echo(name: str) -> list[MetricView]:
        return [
            view
            for view in receiver.metrics()
            if view.name == name and view.attributes == {"command": "ECHO"}
        ]

    def echo() -> None:
        """Ten, and two further exports, of which the second has counted them."""
        for _ in range(10):
            served.client.command("ECHO", "x")
        before = len(receiver.arrivals("metrics"))
        receiver.wait(lambda _: len(receiver.arrivals("metrics")) > before + 1)

    echo()
    echo()
    served.close()

    counts = of_echo("ferrite.commands.total")
    durations = of_echo("ferrite.command.duration")
    assert {view.temporality for view in [*counts, *durations]} == {DELTA}
    assert sum(view.value for view in counts) == 20
    assert len(counts) > 2
    assert {view.kind for view in durations} == {"exponential_histogram"}
    assert sum(view.value.count for view in durations) == 20


@pytest.mark.parametrize("switch", ["telemetry.metrics_enabled=no", "telemetry.enabled=no"])
@pytest.mark.seed(
    "telemetry.metrics_enabled",
)
def test_metrics_that_are_switched_off_are_not_exported(
    receiver: Receiver, tmp_path: Path, switch: str
) -> None:
    """Neither the interval nor the stop sends any."""
    served = Served(
        tmp_path,
        "telemetry.enabled=yes",
        f"telemetry.endpoint={receiver.grpc_endpoint}",
        "telemetry.metrics_export_interval=50ms",
        "telemetry.traces_enabled=no",
        switch,
    )
    served.client.command("PING")

    served.close()

    assert receiver.arrivals("metrics") == []
