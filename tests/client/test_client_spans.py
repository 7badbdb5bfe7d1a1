"""With opentelemetry-instrumentation-redis: its client span is the server span's parent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from ferrite_py.client import FerriteInstrumentor
from tests.client.clients import KINDS, Kind, close, run, settle
from tests.client.fake import FakeServer

ORDERS = ("ours first", "ours last")


class Spans:
    """What ended so far, by the SDK's own exporter in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def client_spans(self) -> list[ReadableSpan]:
        """The spans of kind CLIENT, in the order in which they began."""
        spans = self.exporter.get_finished_spans()
        clients = [span for span in spans if span.kind is SpanKind.CLIENT]
        return sorted(clients, key=lambda span: span.start_time or 0)


@pytest.fixture(params=ORDERS)
def spans(request: pytest.FixtureRequest) -> Iterator[Spans]:
    """Both instrumentors in effect, in either order."""
    spans = Spans()
    ours, theirs = FerriteInstrumentor(), RedisInstrumentor()
    if request.param == "ours first":
        ours.instrument()
    theirs.instrument(tracer_provider=spans.provider)
    if request.param == "ours last":
        ours.instrument()
    yield spans
    theirs.uninstrument()
    ours.uninstrument()
    spans.provider.shutdown()


def parent(span: ReadableSpan) -> str:
    """The traceparent that names this span."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_client_span_is_the_parent(kind: Kind, server: FakeServer, spans: Spans) -> None:
    """Of each command its own span; of all commands of a pipeline or transaction its one span."""

    async def body() -> None:
        client = kind.client(server.port)
        await settle(client.set("a", "1"))
        with spans.provider.get_tracer("tests").start_as_current_span("request"):
            await settle(client.get("a"))
            pipeline = client.pipeline(transaction=False)
            pipeline.set("a", "2").get("a")
            await settle(pipeline.execute())
            transaction = client.pipeline(transaction=True)
            await settle(transaction.watch("a"))
            transaction.multi()
            transaction.set("a", "3")
            await settle(transaction.execute())
        await close(client)

    run(body)
    single, get, pipeline, watch, transaction = map(parent, spans.client_spans())
    used = server.named("SET", "GET", "WATCH", "MULTI", "EXEC")
    assert [
        ("SET", single),
        ("GET", get),
        ("SET", pipeline),
        ("GET", pipeline),
        ("WATCH", watch),
        ("MULTI", transaction),
        ("SET", None),
        ("EXEC", transaction),
    ] == [(request.name, request.traceparent) for request in used]
    assert len({single, get, pipeline, watch, transaction}) == 5


def test_automatic_instrumentation(server: FakeServer) -> None:
    """`opentelemetry-instrument` turns both on in an application that knows nothing of them."""
    code = (
        "import redis; from opentelemetry import trace; from opentelemetry.sdk.trace import *; "
        "trace.set_tracer_provider(TracerProvider()); "
        f"redis.Redis(port={server.port}).set('a', '1')"
    )
    tool = Path(sys.executable).with_name("opentelemetry-instrument")

    subprocess.run([tool, sys.executable, "-c", code], check=True, timeout=60)

    [request] = server.named("SET")
    assert request.traceparent is not None
