"""Histograms over OTLP: what was counted, in the buckets of the page or in exponential ones."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ferrite_py.measure import BOUNDS, BY_ID, SIZES
from ferrite_py.web.prometheus import family
from tests.telemetry.metrics_site import Site
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import one


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
