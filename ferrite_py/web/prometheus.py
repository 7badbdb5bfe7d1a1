"""The page that Prometheus reads: one measurement, in its text format or OpenMetrics.

Names are those of OTLP with underscores for dots, without a suffix for the unit, and with `_total`
at the end of what only grows. What all Prometheus clients tell of a process has the usual names.
Exemplars are on pages in OpenMetrics only; the text format has no place for them.
"""

from collections.abc import Iterator
from dataclasses import replace

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar as Shown
from prometheus_client.samples import Timestamp

from ferrite_py.exemplars import Exemplar, placed
from ferrite_py.measure import (
    BY_ID,
    OPERATION_DURATION,
    OPERATION_NAME,
    ROWS,
    Histogram,
    Measurement,
    Row,
    Samples,
)

EXEMPLAR_LABELS = ("trace_id", "span_id")
"""What Grafana's data sources look for."""

_UNITS = {"By": "bytes", "s": "seconds", "1": "ratio"}


def prometheus_name(row: Row) -> str:
    """The name of a metric on the page, without what its samples add (`_total`, `_bucket`)."""
    return row.name.replace(".", "_").removesuffix("_total") if row.grows else _plain(row.name)


_USUAL_NAMES: dict[str, str] = {
    "UPTIME": "process_start_time_seconds",
    "CPU_TIME": "process_cpu_seconds_total",
    "PROCESS_MEMORY": "process_resident_memory_bytes",
    "PROCESS_VIRTUAL": "process_virtual_memory_bytes",
    "PROCESS_FILES": "process_open_fds",
}
"""What Prometheus clients tell themselves, and call so."""


def page_name(row: Row) -> str:
    """What a query calls the metric; of a histogram without `_bucket`, `_sum` and `_count`."""
    if row.id in _USUAL_NAMES:
        return _USUAL_NAMES[row.id]
    return prometheus_name(row) + ("_total" if row.grows else "")


_OPERATIONS = replace(BY_ID["COMMAND_DURATION"], name=OPERATION_DURATION, labels=(OPERATION_NAME,))
"""The same durations by their other name. What is the same in all samples has no label here."""


def _plain(name: str) -> str:
    return name.replace(".", "_")


class Page:
    """Makes pages."""

    def __init__(self, semconv: str = "dup") -> None:
        """Take `telemetry.semconv`: whether durations of commands have their other name as well."""
        self._has_stable = semconv != "ferrite"
        # Of a registry of its own: the default one belongs to whoever embeds the server.
        self._runtime = CollectorRegistry()
        ProcessCollector(registry=self._runtime)
        PlatformCollector(registry=self._runtime)
        GCCollector(registry=self._runtime)

    def render(self, measurement: Measurement, accept: str) -> tuple[bytes, str]:
        """The text of the page and its content type, as the header Accept wants it."""
        encode, content_type = choose_encoder(accept)
        return encode(_Shown(self._runtime, measurement, has_stable=self._has_stable)), content_type


class _Shown(Collector):
    def __init__(
        self, runtime: CollectorRegistry, measurement: Measurement, *, has_stable: bool
    ) -> None:
        self._runtime = runtime
        self._has_stable = has_stable
        self._measurement = measurement

    def collect(self) -> Iterator[Metric]:
        """All metrics that have values."""
        for row in ROWS:
            samples = self._measurement.samples.get(row.name, ())
            if samples and row.id not in _USUAL_NAMES:
                yield family(row, samples, self._measurement)
            if samples and row.id == _OPERATIONS.id and self._has_stable:
                yield family(_OPERATIONS, samples, self._measurement)
        yield from self._runtime.collect()


def family(row: Row, samples: Samples, measurement: Measurement | None = None) -> Metric:
    """One metric with its samples, and with the exemplars of the measurement that has them."""
    unit = _UNITS.get(row.unit, row.unit.strip("{}"))
    help_text, labels = f"{row.help} ({unit})", [_plain(label) for label in row.labels]
    name = prometheus_name(row)
    if row.instrument == "histogram":
        shown_buckets = HistogramMetricFamily(name, help_text, labels=labels)
        return _histogram(shown_buckets, row, samples, measurement)
    kind = CounterMetricFamily if row.grows else GaugeMetricFamily
    shown = kind(name, help_text, labels=labels)
    for values, value in samples:
        assert not isinstance(value, Histogram)
        shown.add_metric(values, value)
    return shown


def _histogram(
    shown: HistogramMetricFamily, row: Row, samples: Samples, measurement: Measurement | None
) -> HistogramMetricFamily:
    texts = [*map(repr, row.bounds), "+Inf"]
    given = measurement.exemplars if measurement and row.id == "COMMAND_DURATION" else {}
    since = measurement.since(row) if measurement else 0
    for values, value in samples:
        assert isinstance(value, Histogram)
        up_to = [*value.up_to(row.bounds), value.count]
        exemplars = placed(given.get(tuple(values), ()), row.bounds, up_to, since)
        buckets = [
            (text, count, _exemplar(one)) if one else (text, count)
            for text, count, one in zip(texts, up_to, exemplars, strict=True)
        ]
        shown.add_metric(values, buckets, value.sum_seconds)
    return shown


def _exemplar(one: Exemplar) -> Shown:
    labels = zip(EXEMPLAR_LABELS, (one.trace_id, one.span_id), strict=True)
    return Shown(dict(labels), one.seconds, Timestamp(*divmod(one.time, 10**9)))
