"""Cluster clients: their nodes' connections are connections like any other."""

from __future__ import annotations

import pytest
import redis.asyncio.cluster
import redis.cluster
from opentelemetry.trace import Tracer

from tests.client.clients import close, run, settle
from tests.client.conftest import traceparent
from tests.client.fake import FakeServer


@pytest.mark.usefixtures("instrumentor")
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("is_async", [False, True])
def test_cluster_clients_send_the_context(
    is_async: bool, protocol: int, server: FakeServer, tracer: Tracer
) -> None:
    """Single commands and pipelines carry the span that was active where they were called."""
    module = redis.asyncio.cluster if is_async else redis.cluster

    async def body() -> None:
        client = module.RedisCluster(host="127.0.0.1", port=server.port, protocol=protocol)
        if is_async:
            await settle(client.initialize())
        with tracer.start_as_current_span("request") as span:
            await settle(client.set("a", "1"))
            pipeline = client.pipeline()
            pipeline.set("a", "2")
            pipeline.get("b")
            await settle(pipeline.execute())
        await settle(client.set("a", "after"))
        await close(client)

        used = [(each.args, each.traceparent) for each in server.named("SET", "GET")]
        inside = traceparent(span)
        assert [
            ((b"SET", b"a", b"1"), inside),
            ((b"SET", b"a", b"2"), inside),
            ((b"GET", b"b"), inside),
            ((b"SET", b"a", b"after"), None),
        ] == used

    run(body)
