"""Spans of what is no command: connections, segments, compaction, the start and the stop.

The native server tells of these events when they are over (`native/event/rare.h`), with the times
of its own clock, and has decided which of them are kept. They become spans of OpenTelemetry's SDK
here, which are encoded by the official classes and go the way of all others.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from ferrite_py import __version__
from ferrite_py.telemetry import names
from ferrite_py.telemetry.format import SCHEMA_URL

Value = str | int | bool
Event = tuple[int, int, int, bytes, int, int, bool, tuple[int, ...], str, bytes, int]
"""As `_native.Encoder.events` gives it."""

TIERS = ("free", "mutable", "sealed", "read_only", "disk", "read_cache")
"""By fe_tier; sealed segments are those of the read-only tier that have no file yet."""

PURPOSES = ("recount", "expire", "refill", "compact", "evict", "memory")
"""By fe_frozen_purpose; the last is compaction in memory."""

FOUND = ("empty", "loaded", "unclean")
"""By fe_save_found."""


NOTHING = names.Names("")


@dataclass(frozen=True, slots=True)
class Kind:
    """What an event is called, and what its numbers and its text are."""

    name: str
    meaning: str
    numbers: tuple[str, ...]
    """Attributes by place; "" for what is not one as it stands."""
    text: names.Names = NOTHING
    port: names.Names = NOTHING
    words: dict[int, tuple[str, Sequence[str]]] = field(default_factory=dict)
    """Numbers that stand for words: the attribute and its words."""
    error: int = -1
    """The number that is an error of the system, 0 for none; -1: there is none."""
    failures: tuple[str, ...] = ()
    """Words that say that it has failed."""


KINDS = (
    Kind(
        "ferrite.connection",
        "from the accept to the end; of the sampled, `telemetry.connection_rate_max` a second",
        (
            "ferrite.connection.id",
            "ferrite.connection.commands",
            "ferrite.connection.received",
            "ferrite.connection.sent",
            "",
        ),
        text=names.PEER_ADDRESS,
        port=names.PEER_PORT,
        words={4: ("ferrite.connection.end", ("closed", "cut_off"))},
    ),
    Kind(
        "ferrite.segment.flush",
        "a segment is written to its file",
        ("ferrite.segment.number", "ferrite.segment.bytes", "", ""),
        words={3: (names.TIER, TIERS)},
        error=2,
        failures=("sealed",),
    ),
    Kind(
        "ferrite.segment.demote",
        "a step that gave up memory of mapped segments; only their files are left",
        ("ferrite.segment.count", "ferrite.segment.bytes"),
    ),
    Kind(
        "ferrite.compaction",
        "a walk over a segment on disk, or a run of compaction in memory",
        (
            "",
            "ferrite.segment.count",
            "ferrite.segment.number",
            "ferrite.compaction.read",
            "ferrite.compaction.moved",
            "ferrite.compaction.expired",
            "ferrite.compaction.evicted",
            "",
        ),
        words={0: ("ferrite.compaction.purpose", PURPOSES)},
        error=7,
    ),
    Kind(
        "ferrite.epoch.advance",
        "a segment changes its tier; below the command that sealed it, the flush or the demotion",
        ("ferrite.segment.number", "ferrite.storage.epoch", ""),
        words={2: (names.TIER, TIERS)},
    ),
    Kind(
        "ferrite.recovery",
        "the data folder was read at the start, or set aside",
        (
            "",
            "ferrite.recovery.keys",
            "ferrite.segment.count",
            "ferrite.segment.bytes",
            "ferrite.index.bytes",
            "ferrite.recovery.orphans",
        ),
        text=names.Names("the folder's new name", always=("ferrite.recovery.aside",)),
        words={0: ("ferrite.recovery.found", FOUND)},
        failures=("unclean",),
    ),
    Kind(
        "ferrite.checkpoint",
        "all data are written to the data folder at the stop",
        (
            "",
            "ferrite.checkpoint.keys",
            "ferrite.segment.count",
            "ferrite.segment.bytes",
            "ferrite.index.bytes",
        ),
        words={0: ("ferrite.checkpoint.result", ("saved", "failed"))},
        failures=("failed",),
    ),
)
"""By fe_rare_kind."""


SCOPE = InstrumentationScope(names.SCOPE, __version__, SCHEMA_URL)


def request_of(events: Sequence[Event], resource: Resource, semconv: str) -> bytes:
    """Events as a request, to which another may be appended."""
    spans = [_span(event, resource, semconv) for event in events]
    encoded: bytes = encode_spans(spans).SerializeToString()
    return encoded


def _span(event: Event, resource: Resource, semconv: str) -> ReadableSpan:
    number, began, ended, trace_id, span_id, parent_id, is_sampled, numbers, state, *_ = event
    kind = KINDS[number]
    attributes = dict(_attributes(kind, numbers))
    attributes |= _texts(kind, semconv, event[-2], event[-1])
    if not is_sampled:
        attributes[names.RETAINED] = True
    trace = int.from_bytes(trace_id)
    flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    return ReadableSpan(
        kind.name,
        SpanContext(trace, span_id, False, flags, TraceState.from_header([state])),
        SpanContext(trace, parent_id, False, flags) if parent_id else None,
        resource,
        attributes,
        kind=SpanKind.INTERNAL,
        status=_status(kind, numbers, attributes),
        start_time=began,
        end_time=ended,
        instrumentation_scope=SCOPE,
    )


def _attributes(kind: Kind, numbers: Sequence[int]) -> Iterator[tuple[str, Value]]:
    for name, number in zip(kind.numbers, numbers, strict=False):
        if name:
            yield name, number
    for place, (name, words) in kind.words.items():
        yield name, words[numbers[place]]


def _texts(kind: Kind, semconv: str, text: bytes, port: int) -> Iterator[tuple[str, Value]]:
    if text:
        yield from dict.fromkeys(kind.text.under(semconv), text.decode("utf-8", "replace")).items()
    if port:
        yield from dict.fromkeys(kind.port.under(semconv), port).items()


def _status(kind: Kind, numbers: Sequence[int], attributes: dict[str, Value]) -> Status:
    code = numbers[kind.error] if kind.error >= 0 else 0
    if code:
        return Status(StatusCode.ERROR, os.strerror(code))
    words = [attributes[name] for name, _ in kind.words.values()]
    for word in words:
        if word in kind.failures:
            return Status(StatusCode.ERROR, str(word))
    return Status()
