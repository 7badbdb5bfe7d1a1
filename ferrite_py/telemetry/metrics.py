"""Metrics over OTLP: the engine's, merged into what the SDK exports.

    PeriodicExportingMetricReader -> Merging (adds a scope of our own) -> the official OTLP exporter

The SDK takes no metrics that were made elsewhere, so the exporter is wrapped: the interval is the
reader's; endpoint, TLS, headers, compression and retries are the exporter's. The SDK's own part is
what Python's collector of garbage does, and a limit of the process; without any the reader would
not export at all.

Histograms have explicit buckets, which end where those of /metrics do, or are exponential with
the buckets that were counted, merged to at most 160, which is the SDK's own limit. Which of the two
is said by the exporter's preferred aggregation: `telemetry.metrics_histograms`, by way of the SDK's
variable. Sums are cumulative or deltas, as `telemetry.metrics_temporality` says in the same way; a
delta that the receiver has not taken is part of the next one.

Durations of commands have exemplars, the newest of each bucket of /metrics. In a delta they are
of commands that ended since the one before, and none comes twice.
"""

import gc
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.metrics import Meter as SdkMeter
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as ExplicitHistogram
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ferrite_py import __version__
from ferrite_py.exemplars import MILLISECOND, Exemplar, placed
from ferrite_py.measure import (
    BOUNDS,
    OPERATION_DURATION,
    OPERATION_NAME,
    ROWS,
    Histogram,
    Labels,
    Measurement,
    Meter,
    Row,
    Samples,
)
from ferrite_py.telemetry.partial import Rejections

log = logging.getLogger(__name__)

SCOPE = "ferrite_py"
RUNTIME_SCOPE = "ferrite_py.runtime"
REPORT_S = 60.0
"""That metrics could not be exported enters the log once in so long."""

MAX_BUCKETS = 160
"""Of an exponential histogram, as the SDK itself keeps it."""

_NO_BUCKETS = Histogram(0.0, 0, 0, ())


@dataclass(frozen=True, slots=True)
class _Change:
    """Durations since a moment, Unix nanoseconds."""

    attributes: dict[str, str]
    start: int
    histogram: Histogram
    exemplars: tuple[Exemplar, ...] = ()


_Last = dict[tuple[str, Labels], int | float | Histogram]


class Points:
    """Makes the SDK's metrics of measurements; remembers the last one where deltas are wanted."""

    def __init__(
        self,
        temporality: Mapping[type, AggregationTemporality],
        *,
        semconv: str,
        is_exponential: bool,
    ) -> None:
        """Take what an exporter prefers, and `telemetry.semconv`."""
        cumulative = AggregationTemporality.CUMULATIVE
        self._sums = temporality.get(ObservableCounter, cumulative)
        self._histograms = temporality.get(HistogramInstrument, cumulative)
        self._has_stable = semconv != "ferrite"
        self._is_exponential = is_exponential
        self._last: _Last = {}
        self._last_time: Measurement | None = None

    def metrics(self, measurement: Measurement) -> list[Metric]:
        """All metrics that have values."""
        return [metric for row in ROWS for metric in self._of(row, measurement)]

    def keep(self, measurement: Measurement) -> None:
        """What was exported: the next deltas are from here on."""
        self._last_time = measurement
        self._last = {
            (row.name, labels): value
            for row in ROWS
            if self._is_delta(row)
            for labels, value in measurement.samples[row.name]
        }

    def _is_delta(self, row: Row) -> bool:
        delta = AggregationTemporality.DELTA
        if row.instrument == "histogram":
            return self._histograms is delta
        return row.grows and self._sums is delta

    def _of(self, row: Row, measurement: Measurement) -> Iterator[Metric]:
        samples = measurement.samples[row.name]
        if not samples:
            return
        if row.instrument == "gauge":
            yield _metric(row, Gauge(self._numbers(row, samples, measurement)))
        elif row.grows:
            points = self._numbers(row, samples, measurement)
            yield _metric(row, Sum(points, self._sums, is_monotonic=True))
        else:
            changes = list(self._durations(row, samples, measurement))
            yield _metric(row, self._histogram(row, changes, measurement.now))
            if row.id == "COMMAND_DURATION" and self._has_stable:
                renamed = [
                    replace(one, attributes=_stable(one.attributes["command"])) for one in changes
                ]
                data = self._histogram(row, renamed, measurement.now)
                yield Metric(OPERATION_DURATION, row.help, row.unit, data)

    def _histogram(
        self, row: Row, changes: Iterable[_Change], now: int
    ) -> ExponentialHistogram | ExplicitHistogram:
        if self._is_exponential:
            points = [_exponential(one, now) for one in changes]
            return ExponentialHistogram(points, self._histograms)
        explicit = [_explicit(one, row.bounds, now) for one in changes]
        return ExplicitHistogram(explicit, self._histograms)

    def _numbers(
        self, row: Row, samples: Samples, measurement: Measurement
    ) -> list[NumberDataPoint]:
        points = []
        for labels, value in samples:
            start, before = self._before(row, labels, measurement)
            assert not isinstance(value, Histogram)
            assert not isinstance(before, Histogram)
            change = value if before is None or value < before else value - before
            attributes = dict(zip(row.labels, labels, strict=True))
            points.append(NumberDataPoint(attributes, start, measurement.now, change))
        return points

    def _durations(self, row: Row, samples: Samples, measurement: Measurement) -> Iterator[_Change]:
        for labels, value in samples:
            start, before = self._before(row, labels, measurement)
            assert isinstance(value, Histogram)
            change = value.since(before) if isinstance(before, Histogram) else value
            if min(change.zero, *change.counts, change.sum_seconds) < 0:
                change = value
            exemplars = self._exemplars(row, labels, change, start, measurement)
            yield _Change(dict(zip(row.labels, labels, strict=True)), start, change, exemplars)

    def _exemplars(
        self, row: Row, labels: Labels, change: Histogram, start: int, measurement: Measurement
    ) -> tuple[Exemplar, ...]:
        """Those of durations that a change has counted."""
        given = measurement.exemplars.get(labels, ()) if row.id == "COMMAND_DURATION" else ()
        if not given:
            return ()
        last = self._last_time
        if last is not None and start == last.now:
            told = last.exemplars.get(labels, ())
            given = [one for one in given if one not in told]
            start += MILLISECOND
        up_to = [*change.up_to(BOUNDS), change.count]
        return tuple(one for one in placed(given, BOUNDS, up_to, start) if one is not None)

    def _before(
        self, row: Row, labels: Labels, measurement: Measurement
    ) -> tuple[int, int | float | Histogram | None]:
        """Since when a value counts, and what is to be taken off it.

        One that has begun anew by itself says since when (PREFIXES RESET), and would be less than
        it was: nothing is, then.
        """
        since = measurement.since(row, labels)
        last = self._last_time
        if not self._is_delta(row) or last is None or since > last.now:
            return since, None
        if since != last.since(row, labels):
            return since, None  # the statistics, or it alone, were reset meanwhile
        return last.now, self._last.get((row.name, labels))


def _metric(row: Row, data: Any) -> Metric:
    return Metric(row.name, row.help, row.unit, data)


def _stable(command: str) -> dict[str, str]:
    """Attributes of OpenTelemetry's conventions."""
    return {"db.system.name": "ferrite", OPERATION_NAME: command}


def _sdk_exemplars(change: _Change) -> list[SdkExemplar]:
    return [
        SdkExemplar({}, one.seconds, one.time, int(one.span_id, 16), int(one.trace_id, 16))
        for one in change.exemplars
    ]


_UNKNOWN: Any = None
"""Shortest and longest durations are not kept."""


def _explicit(change: _Change, bounds: Sequence[float], now: int) -> HistogramDataPoint:
    histogram = change.histogram
    up_to = [0, *histogram.up_to(bounds), histogram.count]
    return HistogramDataPoint(
        attributes=change.attributes,
        start_time_unix_nano=change.start,
        time_unix_nano=now,
        count=histogram.count,
        sum=histogram.sum_seconds,
        bucket_counts=[above - below for below, above in itertools.pairwise(up_to)],
        explicit_bounds=bounds,
        min=_UNKNOWN,
        max=_UNKNOWN,
        exemplars=_sdk_exemplars(change),
    )


def _exponential(change: _Change, now: int) -> ExponentialHistogramDataPoint:
    from opentelemetry.sdk.metrics._internal.point import Buckets

    histogram = change.histogram
    buckets = histogram.reduced(MAX_BUCKETS)
    return ExponentialHistogramDataPoint(
        attributes=change.attributes,
        start_time_unix_nano=change.start,
        time_unix_nano=now,
        count=histogram.count,
        sum=histogram.sum_seconds,
        scale=buckets.scale,
        zero_count=histogram.zero,
        positive=Buckets(buckets.first, buckets.counts),
        negative=Buckets(0, ()),
        flags=0,
        min=_UNKNOWN,
        max=_UNKNOWN,
        exemplars=_sdk_exemplars(change),
    )


class Merging(MetricExporter):
    """Adds our scope to what the reader exports, and hands it to the official exporter."""

    def __init__(
        self,
        inner: MetricExporter,
        meter: Meter,
        semconv: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        self._inner = inner
        self._meter = meter
        aggregation = (inner._preferred_aggregation or {}).get(HistogramInstrument)
        self._points = Points(
            inner._preferred_temporality or {},
            semconv=semconv,
            is_exponential=isinstance(aggregation, ExponentialBucketHistogramAggregation),
        )
        self._scope = InstrumentationScope(SCOPE, __version__)
        self._clock = clock
        self._told: float | None = None
        self.exported = 0
        """Exports that the receiver has taken."""
        self.failed = 0
        """Exports that it has not, whatever was tried."""

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any
    ) -> MetricExportResult:
        """Export what the reader has collected, and ours of now."""
        measurement = self._meter.take()
        merged = self._merged(metrics_data, self._points.metrics(measurement))
        result = self._inner.export(merged, timeout_millis=timeout_millis, **options)
        if result is MetricExportResult.SUCCESS:
            self.exported += 1
            self._points.keep(measurement)
        else:
            self.failed += 1
            self._tell()
        return result

    def _merged(self, data: MetricsData, ours: list[Metric]) -> MetricsData:
        first, *others = data.resource_metrics
        added = ScopeMetrics(self._scope, ours, "")
        scopes = [*first.scope_metrics, added]
        one = ResourceMetrics(first.resource, scopes, first.schema_url)
        return MetricsData([one, *others])

    def _tell(self) -> None:
        now = self._clock()
        if self._told is None or now - self._told >= REPORT_S:
            self._told = now
            log.warning("metrics were not exported; %d times so far", self.failed)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is buffered here."""
        return self._inner.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """Close the connection."""
        self._inner.shutdown(timeout_millis=timeout_millis, **options)


_GARBAGE = (
    ("collections", "cpython.gc.collections", "{collection}", "Collections of garbage by CPython"),
    ("collected", "cpython.gc.collected_objects", "{object}", "Objects that they have freed"),
    (
        "uncollectable",
        "cpython.gc.uncollectable_objects",
        "{object}",
        "Objects that they have found and could not free",
    ),
)
"""What `gc` says of each generation: its key there, then name, unit and meaning of the metric."""


def _observe_runtime(runtime: SdkMeter) -> None:
    """What /metrics has of Python and its process, and the table of metrics has not."""
    for key, name, unit, meaning in _GARBAGE:
        runtime.create_observable_counter(name, [partial(_garbage, key)], unit, meaning)
    runtime.create_observable_gauge(
        "process.unix.file_descriptor.limit",
        [_files_max],
        "{file_descriptor}",
        "Files that the process may have open",
    )


def _garbage(key: str, _options: CallbackOptions) -> Iterable[Observation]:
    for generation, stats in enumerate(gc.get_stats()):
        yield Observation(stats[key], {"cpython.gc.generation": generation})


def _files_max(_options: CallbackOptions) -> Iterable[Observation]:
    limit, _ = getrlimit(RLIMIT_NOFILE)
    if limit != RLIM_INFINITY:
        yield Observation(limit)


def official_exporter(kind: str, protocol: str) -> MetricExporter:
    """An exporter made without arguments, while the SDK's environment is in force.

    Args:
        kind: "otlp" or "console".
        protocol: "grpc" or "http".
    """
    if kind == "console":
        return ConsoleMetricExporter()
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcExporter,
        )

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
        OTLPMetricExporter as HttpExporter,
    )

    from ferrite_py.telemetry.session import own_session

    return HttpExporter(session=own_session("metrics"))


class MetricsExport:
    """Exports all metrics every so often, until it is stopped."""

    def __init__(
        self,
        meter: Meter,
        resource: Resource,
        *,
        kind: str = "otlp",
        protocol: str = "grpc",
        semconv: str = "dup",
    ) -> None:
        """Begin; the SDK's environment is in force, and says where to and how often."""
        exporter = official_exporter(kind, protocol)
        self._rejections = Rejections("metrics")
        if kind == "otlp":
            self._rejections.listen_to(exporter, is_grpc=protocol == "grpc")
        self._merging = Merging(exporter, meter, semconv)
        self._reader = PeriodicExportingMetricReader(self._merging)
        self._provider = MeterProvider([self._reader], resource, shutdown_on_exit=False)
        _observe_runtime(self._provider.get_meter(RUNTIME_SCOPE, __version__))
        meter.add_source(self._outcome)

    def _outcome(self) -> Iterable[tuple[str, Samples]]:
        yield "EXPORTED", [(("metrics",), self._merging.exported)]
        yield "EXPORT_FAILURES", [(("metrics",), self._merging.failed)]
        yield "EXPORT_REJECTED", [(("metrics",), self._rejections.count)]

    def flush(self, timeout_s: float) -> bool:
        """Export now; whether the receiver has taken it."""
        before = self._merging.exported
        self._reader.force_flush(timeout_s * 1000)
        return self._merging.exported > before

    def stop(self, deadline_s: float) -> None:
        """Export for the last time, and end, within a deadline."""
        ending = threading.Thread(
            target=self._provider.shutdown, args=(deadline_s * 1000,), daemon=True
        )
        ending.start()
        ending.join(deadline_s)
