"""Metrics over OTLP: what arrives at a receiver, over gRPC and over HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, NumberDataPoint
from opentelemetry.sdk.resources import Resource

from ferrite_py._native import Server, Stream
from ferrite_py.config import Config, with_values
from ferrite_py.measure import (
    BOUNDS,
    BY_ID,
    OPERATION_DURATION,
    ROWS,
    SIZES,
    GivenSamples,
    Histogram,
    Meter,
    Samples,
    Started,
)
from ferrite_py.services import engine_options
from ferrite_py.telemetry.metrics import (
    RUNTIME_SCOPE,
    SCOPE,
    MetricsExport,
    Points,
)
from ferrite_py.web.prometheus import family
from tests.telemetry.page import page_of
from tests.telemetry.receiver import Receiver, bad_request
from tests.telemetry.test_measure import SEED
from tests.telemetry.test_metrics_page import Served
from tests.telemetry.views import MetricView

PROTOCOLS = ("grpc", "http")
DELTA, CUMULATIVE = 1, 2
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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with Receiver() as made:
        yield made


@pytest.fixture(params=PROTOCOLS)
def protocol(
    request: pytest.FixtureRequest, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Each protocol, with the SDK's environment in force."""
    chosen: str = request.param
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint(chosen))
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", NEVER_MS)
    return chosen


@pytest.fixture
def site(receiver: Receiver, protocol: str) -> Iterator[Site]:
    """A server that is exported."""
    made = Site(receiver, protocol)
    yield made
    made.close()


def one(views: list[MetricView], name: str, **attributes: str) -> MetricView:
    """The only data point of a metric with these attributes."""
    found = [view for view in views if view.name == name and view.attributes == attributes]
    assert len(found) == 1, (name, attributes, found)
    return found[0]


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


def bounds_of(point: Any) -> list[tuple[float, float, int]]:
    """The buckets of an exponential histogram that hold something, with their bounds."""
    base = 2.0 ** (2.0**-point.scale)
    return [
        (base ** (point.positive.offset + i), base ** (point.positive.offset + i + 1), count)
        for i, count in enumerate(point.positive.bucket_counts)
        if count
    ]


def test_durations_have_the_buckets_of_the_page(site: Site) -> None:
    """By default, so that queries of `_bucket` work by way of a collector as they do here."""
    site.run(*["SET key value"] * 300)
    native = dict(site.meter.take().samples["ferrite.command.duration"])["SET",]
    shown = family(BY_ID["COMMAND_DURATION"], [(("SET",), native)]).samples
    page = {one.labels["le"]: one.value for one in shown if one.name.endswith("_bucket")}

    found = one(site.flush(), "ferrite.command.duration", command="SET")

    point = found.value
    assert (found.kind, found.unit, point.count) == ("histogram", "s", 300)
    assert tuple(point.explicit_bounds) == BOUNDS
    sums = list(itertools.accumulate(point.bucket_counts))
    bounds = [*map(repr, point.explicit_bounds), "+Inf"]
    assert dict(zip(bounds, sums, strict=True)) == page
    assert not point.HasField("min")


def test_durations_are_the_buckets_that_were_counted(
    receiver: Receiver, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where exponential ones are wanted, counts, sum and bounds are those that were counted."""
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "base2_exponential_bucket_histogram",
    )
    site = Site(receiver, protocol)
    site.run(*["SET key value"] * 300)
    native = dict(site.meter.take().samples["ferrite.command.duration"])["SET",]

    point = one(site.flush(), "ferrite.command.duration", command="SET").value

    reduced = native.reduced(160)  # type: ignore[union-attr]
    assert (300, reduced.scale) == (point.count, point.scale)
    assert point.zero_count + sum(point.positive.bucket_counts) == 300
    assert point.sum == native.sum_seconds  # type: ignore[union-attr]
    assert tuple(point.positive.bucket_counts) == reduced.counts
    assert point.positive.offset == reduced.first
    least = sum(low * count for low, _, count in bounds_of(point))
    most = sum(high * count for _, high, count in bounds_of(point))
    assert least <= point.sum <= most + point.zero_count * 2.0**-27
    assert not point.HasField("min")
    site.close()


def test_sizes_are_in_bytes(
    receiver: Receiver, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Explicit buckets are of bytes, too, and so are exponential ones."""
    points = []
    for kind in ("explicit_bucket_histogram", "base2_exponential_bucket_histogram"):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", kind)
        site = Site(receiver, protocol)
        site.run(f"SET key {'x' * 1000}", *["GET key"] * 64)
        found = one(site.flush(), "cache.value_size", operation="get")
        assert found.unit == "By"
        points.append(found.value)
        site.close()
    explicit, exponential = points

    assert tuple(explicit.explicit_bounds) == SIZES
    assert explicit.bucket_counts[SIZES.index(1024.0)] == explicit.count > 0
    assert explicit.sum == explicit.count * 1000
    [(low, high, count)] = bounds_of(exponential)
    assert low < 1000 <= high
    assert high / low == pytest.approx(2 ** (1 / 32))
    assert count == exponential.count


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


def test_sums_are_cumulative(site: Site) -> None:
    """By default each export counts from the start, and begins anew with CONFIG RESETSTAT."""
    site.run("PING", "PING")
    first = site.flush()
    site.run("PING")
    second = site.flush()
    site.native.reset_statistics()
    site.run("PING")
    third = site.flush()

    counts = [
        one(views, "ferrite.commands.total", command="PING") for views in (first, second, third)
    ]
    assert [2, 3, 1] == [view.value for view in counts]
    assert {view.temporality for view in counts} == {CUMULATIVE}
    starts = [
        point.start_time_unix_nano
        for views in (first, second, third)
        for point in [one(views, "ferrite.command.duration", command="PING").value]
    ]
    assert starts[0] == starts[1] <= starts[2]


def test_deltas(receiver: Receiver, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each export is what came since the one before; gauges stay; a reset is no negative delta."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    site = Site(receiver, protocol)
    site.run("PING", "PING", "SET key value")
    first = site.flush()
    site.run("PING")
    second = site.flush()
    site.run("PING", "PING")
    site.native.reset_statistics()
    site.run("PING")
    third = site.flush()

    pings = [
        one(views, "ferrite.commands.total", command="PING") for views in (first, second, third)
    ]
    assert [2, 1, 1] == [view.value for view in pings]
    assert {view.temporality for view in pings} == {DELTA}
    points = [
        one(views, "ferrite.command.duration", command="PING").value
        for views in (first, second, third)
    ]
    assert [2, 1, 1] == [point.count for point in points]
    assert [2, 1, 1] == [sum(point.bucket_counts) for point in points]
    assert points[1].start_time_unix_nano == points[0].time_unix_nano
    assert points[2].start_time_unix_nano >= points[1].time_unix_nano
    assert [1, 1, 1] == [
        one(views, "ferrite.keys.total", db="0").value for views in (first, second, third)
    ]
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


def test_what_begins_anew_by_itself_is_no_negative_delta(
    receiver: Receiver, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that is reset, or a prefix that left it and came back, counts from zero."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    site = Site(receiver, protocol)
    told = iter([(5, Histogram(1.0, 0, 0, (2, 3))), (9, Histogram(2.0, 0, 0, (4, 5))),
                 (2, Histogram(0.5, 0, 0, (0, 12))), (1, Histogram(0.1, 0, -5, (1,)))])  # fmt: skip

    def source() -> list[tuple[str, Samples]]:
        uses, durations = next(told)
        name = ("user",)
        return [("PREFIX_USES", [(name, uses)]), ("PREFIX_DURATION", [(name, durations)])]

    site.meter.add_source(source)

    exports = [site.flush() for _ in range(4)]

    uses = [one(views, "ferrite.prefix.uses", prefix="user").value for views in exports]
    points = [one(views, "ferrite.prefix.duration", prefix="user").value for views in exports]
    assert uses == [5, 4, 2, 1]
    assert [point.count for point in points] == [5, 4, 12, 1]
    assert [point.sum for point in points] == [1.0, 1.0, 0.5, 0.1]
    site.close()


class Clocked:
    """A native server without values of its own, which began to count at 100 ms."""

    def __init__(self) -> None:
        self.now = 100

    def metrics(self) -> tuple[int, int, int, list[list[Any]]]:
        """None, ten milliseconds later each time."""
        self.now += 10
        return 100, 100, self.now, [[] for _ in ROWS]


@pytest.mark.parametrize(
    "preferred", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE]
)
def test_what_began_by_itself_says_when(preferred: AggregationTemporality) -> None:
    """So a delta sees a reset that was overtaken before the next export."""
    told = iter([(5, 103), (9, 103), (12, 117), (13, 117), (3, 1)])

    def source() -> list[tuple[str, GivenSamples]]:
        uses, start = next(told)
        return [("PREFIX_USES", [(("user",), Started(uses, start * 10**6))])]

    points = Points({ObservableCounter: preferred}, semconv="dup", is_exponential=False)
    meter = Meter(Clocked(), 0.0)
    meter.add_source(source)
    found = []
    for _ in range(5):
        measurement = meter.take()
        metrics = {metric.name: metric for metric in points.metrics(measurement)}
        points.keep(measurement)
        (point,) = metrics["ferrite.prefix.uses"].data.data_points
        assert isinstance(point, NumberDataPoint)
        times = point.start_time_unix_nano, point.time_unix_nano
        found.append((point.value, *(time // 10**6 for time in times)))

    if preferred is AggregationTemporality.DELTA:
        assert found[1] == (4, 110, 120)
        assert found[3] == (1, 130, 140)
    else:
        assert found[1] == (9, 103, 120)
        assert found[3] == (13, 117, 140)
    assert found[0] == (5, 103, 110)
    assert found[2] == (12, 117, 130)
    assert found[4] == (3, 100, 150)  # never before all statistics began
