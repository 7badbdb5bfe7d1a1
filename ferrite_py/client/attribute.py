"""The RESP3 attribute that carries the current trace context in front of a command."""

from __future__ import annotations

from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# What the server reads; anything else that a propagator injects stays here.
_FIELDS = ("traceparent", "tracestate", "baggage")
# What the propagators make of a context with neither tracestate nor baggage, three times as fast.
_PLAIN = b"|1\r\n$11\r\ntraceparent\r\n$55\r\n00-%032x-%016x-%02x\r\n"
# Instrumentation leaves this key where nothing is to be traced: around exporters, for example.
_SUPPRESSED = "suppress_instrumentation"


def _is_w3c(propagator: TextMapPropagator) -> bool:
    parts = [propagator]
    if type(propagator) is CompositePropagator:
        parts = list(getattr(propagator, "_propagators", ()))
    kinds = {type(part) for part in parts}
    return TraceContextTextMapPropagator in kinds and kinds <= {
        TraceContextTextMapPropagator,
        W3CBaggagePropagator,
    }


class _Judge:
    """Remembers the global propagator, once its work may be done by `_PLAIN`."""

    __slots__ = ("w3c",)

    def __init__(self) -> None:
        self.w3c: TextMapPropagator | None = None

    def is_w3c(self, propagator: TextMapPropagator) -> bool:
        """Whether traceparent is injected in its W3C form, with at most baggage beside it."""
        if propagator is not self.w3c and _is_w3c(propagator):
            self.w3c = propagator
        return propagator is self.w3c


_judge = _Judge()


def current_attribute() -> bytes | None:
    """Return the attribute for a command that is sent now, or None without an active span.

    A span that is not sampled is an active one: its flags tell the server so. None too where
    instrumentation is suppressed, and when the configured propagators inject no traceparent.
    """
    context = get_current()
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return None
    # A context that holds the span alone has no baggage and suppresses nothing.
    is_plain = len(context) == 1
    if not is_plain:
        if context.get(_SUPPRESSED):
            return None
        is_plain = not baggage.get_all(context)
    if is_plain and not span.trace_state and _judge.is_w3c(propagate.get_global_textmap()):
        return _PLAIN % (span.trace_id, span.span_id, span.trace_flags)
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    return encode_attribute({name: carrier[name] for name in _FIELDS if name in carrier})


def encode_attribute(fields: dict[str, str]) -> bytes | None:
    """Return the RESP3 attribute with these fields, or None when there is no traceparent."""
    if not fields.get("traceparent"):
        return None
    parts = [b"|%d\r\n" % len(fields)]
    for name, value in fields.items():
        parts += [b"$%d\r\n%b\r\n" % (len(text), text) for text in (name.encode(), value.encode())]
    return b"".join(parts)
