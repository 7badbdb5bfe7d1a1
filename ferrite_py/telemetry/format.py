"""The constant parts of spans, encoded once by the official classes, for native/event/otlp.h."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from ferrite_py import __version__
from ferrite_py.telemetry import names

SCHEMA_URL = "https://opentelemetry.io/schemas/1.36.0"
TEXT_MAX = 2**32 - 1
"""No limit to the characters of a text."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients find the server: a host and a port, or the path of a socket."""

    address: str
    """Empty if there is none that is the usual one."""
    port: int
    """0 if there is none."""
    is_only: bool = True
    """Whether all clients come there; the records of one that does not say where it came."""

    @property
    def text(self) -> str:
        """As CLIENT LIST has it of who came there."""
        if not self.address:
            return ""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


def make_format(
    resource: Mapping[str, object],
    schema_url: str,
    commands: Sequence[str],
    *,
    semconv: str,
    place: Place,
    text_max: int = TEXT_MAX,
) -> dict[str, Any]:
    """What `_native.Encoder` takes.

    Args:
        resource: attributes of the resource.
        schema_url: of the resource; "" for none.
        commands: names as the registry has them, by number.
        semconv: `telemetry.semconv`.
        place: what server.address and server.port say of who came there.
        text_max: characters of a text, beyond which it is cut.
    """
    shared = _shared_attributes(semconv)
    return {
        "resource": _resource_of(resource, schema_url),
        "scope": ScopeSpans(
            scope=InstrumentationScope(name=names.SCOPE, version=__version__),
            schema_url=SCHEMA_URL,
        ).SerializeToString(),
        "commands": tuple(_command(name, semconv, shared) for name in commands),
        "unknown": _command("unknown", semconv, shared),
        "parts": tuple(_part(part) for part in names.PARTS),
        "place": _place(semconv, place),
        "results": tuple(map(_result, range(len(names.RESULTS)))),
        "slots": tuple(
            tuple(KeyValue(key=name).SerializeToString() for name in slot.under(semconv))
            for slot in names.SLOTS
        ),
        "text_max": text_max,
    }


def any_value(value: object) -> Any:
    """An attribute's value as protobuf has it. Raises TypeError for what it cannot be."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, Sequence):
        array: Any = AnyValue()
        array.array_value.values.extend(any_value(item) for item in value)
        return array
    raise TypeError(f"no attribute can have the value {value!r}")


def _pairs(attributes: Iterable[tuple[str, object]]) -> list[Any]:
    return [KeyValue(key=name, value=any_value(value)) for name, value in attributes]


def _resource_of(attributes: Mapping[str, object], schema_url: str) -> bytes:
    resource = Resource(attributes=_pairs(attributes.items()))
    encoded: bytes = ResourceSpans(resource=resource, schema_url=schema_url).SerializeToString()
    return encoded


def _shared_attributes(semconv: str) -> list[tuple[str, object]]:
    """What all commands have."""
    found: list[tuple[str, object]] = []
    found += [(name, names.SYSTEM) for name in names.COMMAND_SYSTEM.under(semconv)]
    return [*found, (names.ROLE, "primary")]


def _place(semconv: str, place: Place) -> bytes:
    found: list[tuple[str, object]] = []
    if place.address:
        found += [(name, place.address) for name in names.SERVER_ADDRESS.under(semconv)]
    if place.port:
        found += [(name, place.port) for name in names.SERVER_PORT.under(semconv)]
    encoded: bytes = Span(attributes=_pairs(found)).SerializeToString()
    return encoded


def _command(
    registered: str, semconv: str, shared: list[tuple[str, object]]
) -> tuple[bytes, bytes]:
    name = names.operation_name(registered)
    attributes = shared + [(key, name) for key in names.COMMAND_OPERATION.under(semconv)]
    span = Span(
        name=names.COMMAND_SPAN if semconv == "ferrite" else name,
        kind=Span.SpanKind.SPAN_KIND_SERVER,
        attributes=_pairs(attributes),
    )
    return span.SerializeToString(), registered.encode()


def _part(part: names.Part) -> bytes:
    attributes: list[tuple[str, object]] = []
    if part.operation:
        attributes = [
            (names.OPERATION, part.operation),
            (names.TIER, part.tier),
            (names.CACHE_HIT, part.cache_hit),
        ]
    span = Span(
        name=part.name, kind=Span.SpanKind.SPAN_KIND_INTERNAL, attributes=_pairs(attributes)
    )
    encoded: bytes = span.SerializeToString()
    return encoded


def _result(number: int) -> bytes:
    attributes: list[tuple[str, object]] = [
        (name, names.RESULTS[number]) for name in names.RESULT.always
    ]
    if number == len(names.RESULTS) - 1:
        attributes.append((names.REJECTED, True))
    encoded: bytes = Span(attributes=_pairs(attributes)).SerializeToString()
    return encoded
