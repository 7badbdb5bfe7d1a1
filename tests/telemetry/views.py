"""Plain views of OTLP messages, so that tests compare texts and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUS = ("UNSET", "OK", "ERROR")
DELTA, CUMULATIVE = 1, 2
"""The temporality of a `MetricView`."""

Attributes = dict[str, Any]


def value_of(value: Any) -> Any:
    """The Python value of an AnyValue."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def attributes_of(pairs: Any) -> Attributes:
    """Attributes by name; a name that is there twice is a mistake of the sender."""
    names = [pair.key for pair in pairs]
    assert len(set(names)) == len(names), f"an attribute is there twice: {names}"
    return {pair.key: value_of(pair.value) for pair in pairs}


@dataclass(frozen=True)
class LinkView:
    """A link of a span."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True)
class SpanView:
    """A span; ids are hexadecimal texts, "" for none, and times Unix nanoseconds."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: Attributes
    status: str = "UNSET"
    message: str = ""
    flags: int = 0
    trace_state: str = ""
    links: tuple[LinkView, ...] = ()
    scope: str = ""
    resource: Attributes = field(default_factory=dict)


def spans_of(request: Any) -> Iterator[SpanView]:
    """The spans of an ExportTraceServiceRequest, in order."""
    for group in request.resource_spans:
        resource = attributes_of(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield SpanView(
                    span.name,
                    KINDS[span.kind],
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    attributes_of(span.attributes),
                    STATUS[span.status.code],
                    span.status.message,
                    span.flags,
                    span.trace_state,
                    tuple(
                        LinkView(
                            link.trace_id.hex(), link.span_id.hex(), attributes_of(link.attributes)
                        )
                        for link in span.links
                    ),
                    scope.scope.name,
                    resource,
                )


@dataclass(frozen=True)
class MetricView:
    """One data point; `value` is a number, or the point's message for a histogram."""

    name: str
    unit: str
    kind: str
    attributes: Attributes
    value: Any
    temporality: int = 0
    is_monotonic: bool = False
    exemplars: tuple[Any, ...] = ()
    scope: str = ""
    resource: Attributes = field(default_factory=dict)


def metrics_of(request: Any) -> Iterator[MetricView]:
    """The data points of an ExportMetricsServiceRequest, in order."""
    for group in request.resource_metrics:
        resource = attributes_of(group.resource.attributes)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                for point in data.data_points:
                    number = point.WhichOneof("value") if kind in ("gauge", "sum") else None
                    yield MetricView(
                        metric.name,
                        metric.unit,
                        kind,
                        attributes_of(point.attributes),
                        getattr(point, number) if number else point,
                        getattr(data, "aggregation_temporality", 0),
                        getattr(data, "is_monotonic", False),
                        tuple(point.exemplars),
                        scope.scope.name,
                        resource,
                    )


def one(views: list[MetricView], name: str, **attributes: str) -> MetricView:
    """The only data point of a metric with these attributes."""
    found = [view for view in views if view.name == name and view.attributes == attributes]
    assert len(found) == 1, (name, attributes, found)
    return found[0]


@dataclass(frozen=True)
class LogView:
    """A log record."""

    body: Any
    severity: str
    severity_number: int
    trace_id: str
    span_id: str
    attributes: Attributes
    time: int
    scope: str = ""
    resource: Attributes = field(default_factory=dict)


def logs_of(request: Any) -> Iterator[LogView]:
    """The records of an ExportLogsServiceRequest, in order."""
    for group in request.resource_logs:
        resource = attributes_of(group.resource.attributes)
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield LogView(
                    value_of(record.body),
                    record.severity_text,
                    record.severity_number,
                    record.trace_id.hex(),
                    record.span_id.hex(),
                    attributes_of(record.attributes),
                    record.time_unix_nano,
                    scope.scope.name,
                    resource,
                )
