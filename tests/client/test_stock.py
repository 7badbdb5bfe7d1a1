"""A stock redis-server sees nothing of the instrumentor, and everything works as before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from opentelemetry.trace import Tracer

from ferrite_py.client import FerriteInstrumentor
from tests.client.clients import KINDS, Kind, close, program, run
from tests.client.tap import Tap
from tests.support.servers import Server

HELLO_2 = b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n"


@pytest.fixture
def tap(stock: Server) -> Iterator[Tap]:
    """What is sent to the stock server."""
    tap = Tap(stock.address)
    yield tap
    tap.close()


def sent(kind: Kind, tap: Tap, tracer: Tracer) -> tuple[list[Any], list[bytes]]:
    """Run the program in a span; its results, and what its connections sent."""
    results: list[Any] = []
    before = len(tap.sent())

    async def body() -> None:
        client = kind.client(tap.port, db=1, client_name="me", decode_responses=True)
        with tracer.start_as_current_span("request"):
            results.extend(await program(client))
        await close(client)

    run(body)
    return results, tap.sent()[before:]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_stream_of_bytes_is_the_same(kind: Kind, tap: Tap, tracer: Tracer) -> None:
    """Byte for byte, but for one HELLO 2 of a connection that speaks RESP2; so are the replies."""
    plain_results, plain = sent(kind, tap, tracer)

    FerriteInstrumentor().instrument()
    results, streams = sent(kind, tap, tracer)
    FerriteInstrumentor().uninstrument()

    assert plain_results == results
    assert "value" in results
    assert len(plain) == len(streams) >= 1
    hellos = [stream.count(HELLO_2) for stream in streams]
    assert [int(kind.protocol == 2)] * len(streams) == hellos
    assert plain == [stream.replace(HELLO_2, b"") for stream in streams]


def test_blocking_commands_time_out_as_before(tap: Tap, tracer: Tracer) -> None:
    """Timeouts, and the connection after them, are those of redis-py."""
    FerriteInstrumentor().instrument()
    client = Kind(False, 2, "python").client(tap.port, socket_timeout=0.05)
    with tracer.start_as_current_span("request"):
        with pytest.raises(redis.TimeoutError):
            client.blpop(["none"], timeout=1)
        assert client.set("after", "1") is True
    FerriteInstrumentor().uninstrument()
    client.connection_pool.disconnect()
