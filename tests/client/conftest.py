"""Servers, spans and the instrumentor for the tests of the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Tracer

from ferrite_py.client import FerriteInstrumentor
from tests.client.fake import TAKES, FakeServer
from tests.support.servers import Server, reference_server


@pytest.fixture
def instrumentor() -> Iterator[FerriteInstrumentor]:
    """The instrumentor, in effect for one test."""
    instrumentor = FerriteInstrumentor()
    instrumentor.instrument()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.fixture
def fakes() -> Iterator[Callable[[str], FakeServer]]:
    """Make servers of the tests, which end with the test."""
    made: list[FakeServer] = []

    def make(hello: str) -> FakeServer:
        made.append(FakeServer(hello))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(fakes: Callable[[str], FakeServer]) -> FakeServer:
    """A server that takes attributes."""
    return fakes(TAKES)


@pytest.fixture
def tracer() -> Tracer:
    """A tracer of the SDK that samples everything and exports nothing."""
    return TracerProvider(shutdown_on_exit=False).get_tracer("tests")


@pytest.fixture(scope="session")
def stock() -> Iterator[Server]:
    """A stock redis-server of this folder's own: other suites change settings of theirs."""
    server = reference_server()
    server.start()
    yield server
    server.stop()


def traceparent(span: Span) -> str:
    """The W3C form of a span's context."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
