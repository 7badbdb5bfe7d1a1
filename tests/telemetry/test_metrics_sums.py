"""Sums over OTLP: totals or deltas, and since when, also of what begins anew."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, NumberDataPoint

from ferrite_py.measure import ROWS, GivenSamples, Histogram, Meter, Samples, Started
from ferrite_py.telemetry.metrics import Points
from tests.telemetry.metrics_site import Site
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import CUMULATIVE, DELTA, one


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
