"""The whole way: redis-py, its client spans, ferrite-py, and the spans that arrive over OTLP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from ferrite_py.client import FerriteInstrumentor
from tests.client.clients import KINDS, Kind, close, run, settle
from tests.support.process import Process
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import SpanView

TRANSPORTS = ("reactors", "streams")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """What takes the server's spans."""
    with Receiver() as made:
        yield made


@pytest.fixture(params=TRANSPORTS)
def server(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Iterator[Process]:
    """A server that traces every command and sends it to the receiver."""
    settings = {
        "server.transport": request.param,
        "telemetry.enabled": "yes",
        "telemetry.endpoint": receiver.endpoint("grpc"),
        "telemetry.batch_timeout_ms": "20",
        "telemetry.connection_rate_max": "0",
    }
    process = Process(tmp_path, *(f"{name}={text}" for name, text in settings.items()))
    yield process
    process.kill()


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Client spans of redis-py, with both instrumentors in effect."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    RedisInstrumentor().instrument(tracer_provider=provider)
    FerriteInstrumentor().instrument()
    yield exporter
    RedisInstrumentor().uninstrument()
    FerriteInstrumentor().uninstrument()
    provider.shutdown()


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Trace and span of a client span, as OTLP's views have them."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def served(receiver: Receiver, *names: str, count: int) -> list[SpanView]:
    """Wait for so many spans of these commands; in the order in which they began."""
    spans = receiver.wait_for_spans(
        count, lambda span: span.kind == "SERVER" and span.name in names
    )
    return sorted(spans, key=lambda span: span.start)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_server_s_spans_are_children_of_the_client_s(
    kind: Kind, server: Process, receiver: Receiver, exporter: InMemorySpanExporter
) -> None:
    """Of a command its client span; of a pipeline its one span; what EXEC runs is below EXEC."""

    async def body() -> None:
        client = kind.client(server.port)
        await settle(client.set("a", "1"))
        pipeline = client.pipeline(transaction=False)
        pipeline.get("a").get("none")
        await settle(pipeline.execute())
        transaction = client.pipeline(transaction=True)
        transaction.append("a", "2").append("a", "3")
        await settle(transaction.execute())
        with pytest.raises(redis.ResponseError):
            await settle(client.execute_command("GETEX", "a", "NOSUCH"))
        await close(client)

    run(body)
    spans = [span for span in exporter.get_finished_spans() if span.kind is SpanKind.CLIENT]
    one, pipeline, transaction, failed = map(ids, spans)
    names = ("SET", "GET", "MULTI", "APPEND", "EXEC", "GETEX")
    found = served(receiver, *names, count=8)
    execute = next(span for span in found if span.name == "EXEC")
    inside = (transaction[0], execute.span_id)
    parents = sorted((span.name, (span.trace_id, span.parent_id)) for span in found)
    assert parents == sorted(
        [
            ("SET", one),
            ("GET", pipeline),
            ("GET", pipeline),
            ("MULTI", transaction),
            ("APPEND", inside),
            ("APPEND", inside),
            ("EXEC", transaction),
            ("GETEX", failed),
        ]
    )


def test_what_the_caller_did_not_sample_is_not_sent(server: Process, receiver: Receiver) -> None:
    """Its flags go along, and the server, parent-based as it is, makes no span of it."""
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("tests")
    FerriteInstrumentor().instrument()
    client = Kind(False, 3, "python").client(server.port)
    with tracer.start_as_current_span("request"):
        client.get("unsampled")
        client.get("unsampled")
    client.set("after", "1")
    client.connection_pool.disconnect()
    FerriteInstrumentor().uninstrument()

    [span] = served(receiver, "SET", count=1)

    assert span.parent_id == ""
    assert [each for each in receiver.spans() if each.name == "GET"] == []
