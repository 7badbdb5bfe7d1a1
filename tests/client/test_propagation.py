"""What the instrumentor puts on the wire, byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer, TraceState

from ferrite_py.client import FerriteInstrumentor
from tests.client.clients import KINDS, Kind, close, run, settle
from tests.client.conftest import traceparent
from tests.client.fake import HANGS, NOAUTH, OLD, STOCK, TAKES, FakeServer

pytestmark = pytest.mark.usefixtures("instrumentor")
Fakes = Callable[[str], FakeServer]


def plain(*args: bytes) -> bytes:
    """A command's bytes as redis-py packs them."""
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)


def marked(span: trace.Span, *args: bytes) -> bytes:
    """A command's bytes with the span's context in front."""
    head = b"|1\r\n$11\r\ntraceparent\r\n$55\r\n" + traceparent(span).encode() + b"\r\n"
    return head + plain(*args)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_command_carries_the_current_span(kind: Kind, server: FakeServer, tracer: Tracer) -> None:
    """The attribute stands right before the command, and holds the context of the active span."""

    async def body() -> None:
        client = kind.client(server.port)
        await settle(client.set("a", "before"))
        with tracer.start_as_current_span("request") as span:
            await settle(client.set("a", "1"))
        await settle(client.set("a", "after"))
        await close(client)

        assert [
            plain(b"SET", b"a", b"before"),
            marked(span, b"SET", b"a", b"1"),
            plain(b"SET", b"a", b"after"),
        ] == [request.raw for request in server.named("SET")]

    run(body)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_first_command_carries_it_too(kind: Kind, server: FakeServer, tracer: Tracer) -> None:
    """A command that has its connection made is marked, and what made it is never before HELLO."""

    async def body() -> None:
        client = kind.client(server.port, db=3, client_name="me", password="secret")
        with tracer.start_as_current_span("request") as span:
            await settle(client.get("a"))
        await close(client)

        assert [traceparent(span)] == [request.traceparent for request in server.named("GET")]
        assert [None] == [request.traceparent for request in server.named("HELLO", "AUTH")][:1]
        assert {None, traceparent(span)} >= {request.traceparent for request in server.requests}

    run(body)


# redis-py speaks RESP3 only to servers that know HELLO, and says AUTH in it.
@pytest.mark.parametrize(
    ("kind", "hello"),
    [(kind, STOCK) for kind in KINDS]
    + [(kind, hello) for kind in KINDS if kind.protocol == 2 for hello in (OLD, NOAUTH)],
    ids=str,
)
def test_other_servers_get_no_attribute(
    kind: Kind, hello: str, fakes: Fakes, tracer: Tracer
) -> None:
    """A server that did not ask gets none; one that knows no HELLO, or wants AUTH, serves on."""
    server = fakes(hello)

    async def body() -> None:
        client = kind.client(server.port)
        with tracer.start_as_current_span("request"):
            if hello == NOAUTH:
                with pytest.raises(redis.AuthenticationError):
                    await settle(client.get("a"))
                client = kind.client(server.port, password="secret")
            assert await settle(client.get("a")) is None
            pipeline = client.pipeline(transaction=False)
            pipeline.set("a", "1").set("a", "2")
            assert [True, True] == await settle(pipeline.execute())
        await close(client)

    run(body)
    assert [{}] * len(server.requests) == [request.attribute for request in server.requests]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_command_of_a_pipeline_is_marked(
    kind: Kind, server: FakeServer, tracer: Tracer
) -> None:
    """Each gets the attribute, small or large: the server takes it for the next command only."""
    large = b"x" * 20_000

    async def body() -> None:
        client = kind.client(server.port)
        with tracer.start_as_current_span("request") as span:
            pipeline = client.pipeline(transaction=False)
            pipeline.set("a", "1").set("b", large).set("c", "3")
            assert [True, True, True] == await settle(pipeline.execute())
        await close(client)

        assert [
            marked(span, b"SET", b"a", b"1"),
            marked(span, b"SET", b"b", large),
            marked(span, b"SET", b"c", b"3"),
        ] == [request.raw for request in server.named("SET")]

    run(body)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_transaction_is_marked_at_its_ends(
    kind: Kind, server: FakeServer, tracer: Tracer
) -> None:
    """WATCH, MULTI and EXEC are children of the caller; what EXEC runs are children of EXEC."""

    async def body() -> None:
        client = kind.client(server.port)
        with tracer.start_as_current_span("request") as span:
            pipeline = client.pipeline(transaction=True)
            await settle(pipeline.watch("a"))
            pipeline.multi()
            pipeline.set("a", "1").set("b", "2")
            await settle(pipeline.execute())
            await settle(client.get("a"))
        await close(client)

        expected = [("WATCH", True), ("MULTI", True), ("SET", False), ("SET", False)]
        expected += [("EXEC", True), ("GET", True)]
        used = server.named("WATCH", "MULTI", "SET", "EXEC", "GET")
        assert expected == [(each.name, each.traceparent == traceparent(span)) for each in used]
        assert {traceparent(span), None} == {each.traceparent for each in used}

    run(body)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_subscription_is_marked(kind: Kind, server: FakeServer, tracer: Tracer) -> None:
    """Publish/subscribe goes through the same door."""

    async def body() -> None:
        client = kind.client(server.port)
        subscriber = client.pubsub()
        with tracer.start_as_current_span("request") as span:
            await settle(subscriber.subscribe("news"))
            await settle(subscriber.get_message(timeout=5))
        await close(subscriber)
        await close(client)

        assert [traceparent(span)] == [each.traceparent for each in server.named("SUBSCRIBE")]

    run(body)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_decoded_replies_tell_the_same(kind: Kind, server: FakeServer, tracer: Tracer) -> None:
    """Whether a client decodes replies, in whatever encoding, makes no difference to HELLO."""

    async def body() -> None:
        client = kind.client(server.port, decode_responses=True, encoding="latin-1")
        with tracer.start_as_current_span("request") as span:
            await settle(client.get("a"))
        await close(client)

        assert [traceparent(span)] == [request.traceparent for request in server.named("GET")]

    run(body)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("before", "after"), [(TAKES, STOCK), (STOCK, TAKES)])
def test_a_new_server_is_asked_anew(
    kind: Kind, before: str, after: str, fakes: Fakes, tracer: Tracer
) -> None:
    """What a connection knows of its server is forgotten with it."""
    server = fakes(before)

    async def body() -> None:
        client = kind.client(server.port, retry_on_timeout=False)
        with tracer.start_as_current_span("request"):
            await settle(client.get("a"))
            server.hello = after
            with pytest.raises(redis.ConnectionError):
                await settle(client.execute_command("CLOSE"))
            server.requests.clear()
            pipeline = client.pipeline(transaction=False)
            pipeline.set("a", "1").set("a", "2")
            await settle(pipeline.execute())
            await settle(client.get("a"))
        await close(client)

        marks = [bool(request.attribute) for request in server.named("SET", "GET")]
        assert [after == TAKES] * 3 == marks

    run(body)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_pipeline_is_packed_anew_for_the_server_it_meets(
    is_async: bool, fakes: Fakes, tracer: Tracer
) -> None:
    """Bytes packed for one server and sent to the next are what the next one takes."""
    server = fakes(TAKES)
    kind = Kind(is_async, 3, "python")

    async def body() -> None:
        client = kind.client(server.port)
        connection = client.connection_pool.make_connection()
        await settle(connection.connect())
        with tracer.start_as_current_span("request"):
            marked_bytes = connection.pack_commands([("SET", "a", "1")])
            await settle(connection.disconnect())
            server.hello = STOCK
            await settle(connection.send_packed_command(marked_bytes))
            await settle(connection.read_response())
            plain_bytes = connection.pack_commands([("SET", "a", "2")])
            await settle(connection.disconnect())
            server.hello = TAKES
            await settle(connection.send_packed_command(plain_bytes))
            await settle(connection.read_response())
        await settle(connection.disconnect())

        assert [False, True] == [bool(request.attribute) for request in server.named("SET")]
        assert b"traceparent" in b"".join(marked_bytes)
        assert b"traceparent" not in b"".join(plain_bytes)

    run(body)


def test_a_health_check_that_meets_another_server(fakes: Fakes, tracer: Tracer) -> None:
    """A connection that is made anew between packing and sending sends what its server takes."""
    server = fakes(TAKES)
    client = Kind(False, 3, "python").client(server.port)
    connection = client.connection_pool.make_connection()
    with tracer.start_as_current_span("request"):
        connection.send_command("SET", "a", "1")
        connection.read_response()
        connection.disconnect()
        server.hello = STOCK
        connection.send_command("SET", "a", "2")
        connection.read_response()
    connection.disconnect()

    assert [True, False] == [bool(request.attribute) for request in server.named("SET")]


def test_spans_that_are_not_sampled_say_so(server: FakeServer) -> None:
    """Their context goes out, and its flags leave the server to decide as the caller did."""
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("tests")
    client = Kind(False, 3, "python").client(server.port)
    with tracer.start_as_current_span("request") as span:
        client.get("a")
    client.connection_pool.disconnect()

    [request] = server.named("GET")
    assert traceparent(span) == request.traceparent
    assert traceparent(span)[-2:] in ("00", "02")  # 02 says only that the trace id is random


def test_tracestate_and_baggage_go_along(server: FakeServer) -> None:
    """Both are fields of the same attribute, in the form of the propagators."""
    client = Kind(False, 3, "python").client(server.port)
    state = TraceState([("vendor", "value"), ("other", "1")])
    span = NonRecordingSpan(
        SpanContext(7, 8, is_remote=False, trace_flags=TraceFlags(3), trace_state=state)
    )
    held = baggage.set_baggage("tenant", "größe", trace.set_span_in_context(span))
    token = context.attach(held)
    client.get("a")
    context.detach(token)
    client.connection_pool.disconnect()

    [request] = server.named("GET")
    assert {
        "traceparent": f"00-{7:032x}-{8:016x}-03",
        "tracestate": "vendor=value,other=1",
        "baggage": "tenant=gr%C3%B6%C3%9Fe",
    } == request.attribute


def test_the_configured_propagators_decide(
    server: FakeServer, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one for trace contexts nothing is sent; one of another make is asked each time."""
    client = Kind(False, 3, "python").client(server.port)
    old = propagate.get_global_textmap()

    class Custom(type(old)):  # type: ignore[misc]
        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:  # noqa: ARG002
            carrier["traceparent"] = f"00-{1:032x}-{2:016x}-01"
            carrier["x-other"] = "stays here"

    with tracer.start_as_current_span("request"):
        for propagator in (CompositePropagator([]), Custom([]), old):
            monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", propagator)
            client.get("a")
    client.connection_pool.disconnect()

    none, custom, usual = (request.attribute for request in server.named("GET"))
    assert {} == none
    assert {"traceparent": f"00-{1:032x}-{2:016x}-01"} == custom
    assert {"traceparent"} == set(usual)


def test_suppressed_instrumentation_sends_nothing(server: FakeServer, tracer: Tracer) -> None:
    """What an exporter does with a cache of its own is not traced."""
    client = Kind(False, 3, "python").client(server.port)
    with tracer.start_as_current_span("request"):
        token = context.attach(context.set_value("suppress_instrumentation", True))
        client.get("a")
        context.detach(token)
    client.connection_pool.disconnect()

    assert [{}] == [request.attribute for request in server.named("GET")]


@pytest.mark.parametrize("is_async", [False, True])
def test_hello_may_be_left_out(
    is_async: bool, instrumentor: FerriteInstrumentor, server: FakeServer, tracer: Tracer
) -> None:
    """With resp2_hello=False a RESP2 connection says what redis-py says, and nothing else."""
    instrumentor.uninstrument()
    instrumentor.instrument(resp2_hello=False)
    kind = Kind(is_async, 2, "python")

    async def body() -> None:
        client = kind.client(server.port)
        with tracer.start_as_current_span("request"):
            await settle(client.get("a"))
        await close(client)

    run(body)
    assert [] == server.named("HELLO")
    assert [{}] == [request.attribute for request in server.named("GET")]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_hangs_in_hello(is_async: bool, fakes: Fakes) -> None:
    """The connection is closed: an answer that comes late must not be taken for another's."""
    server = fakes(HANGS)

    async def body() -> None:
        client = Kind(is_async, 2, "python").client(server.port, socket_timeout=0.1)
        connection = client.connection_pool.make_connection()
        with pytest.raises(redis.TimeoutError):
            await settle(connection.connect())
        reader = connection._reader if is_async else connection._sock
        assert reader is None
        await close(client)

    run(body)
    assert "HELLO" == server.requests[-1].name
