"""Clients of redis-py in all their kinds, and how one test uses any of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.utils
from redis._parsers import Encoder, _AsyncRESP2Parser, _RESP2Parser
from redis.connection import PythonRespSerializer


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to use redis-py: sync or asyncio, the protocol, and who parses: hiredis or Python."""

    is_async: bool
    protocol: int
    parser: str

    def __str__(self) -> str:
        """The name in the parameters of a test."""
        return f"{'asyncio' if self.is_async else 'sync'}-resp{self.protocol}-{self.parser}"

    def client(self, port: int, **settings: Any) -> Any:
        """A client of this kind with one connection, which it makes with its first command."""
        settings |= {"protocol": self.protocol}
        if self.parser == "python":
            settings["parser_class"] = _AsyncRESP2Parser if self.is_async else _RESP2Parser
            if not self.is_async:
                encode = Encoder("utf-8", "strict", False).encode  # type: ignore[no-untyped-call]
                settings["command_packer"] = PythonRespSerializer(6000, encode)
        module: Any = redis.asyncio if self.is_async else redis
        pool = module.ConnectionPool(host="127.0.0.1", port=port, max_connections=1, **settings)
        return module.Redis(connection_pool=pool)


# Before redis-py 6 the Python parser of RESP3 does not see pushes where hiredis is installed.
PARSERS: tuple[str, ...] = ("python",)
if redis.utils.HIREDIS_AVAILABLE:
    PARSERS = ("hiredis", "python") if redis.VERSION >= (6, 0, 0) else ("hiredis",)
KINDS = [
    Kind(is_async, protocol, parser)
    for is_async in (False, True)
    for protocol in (2, 3)
    for parser in PARSERS
]


async def settle(result: Any) -> Any:
    """What a call to a client returned, awaited when the client is one of asyncio."""
    return await result if inspect.isawaitable(result) else result


async def close(client: Any) -> None:
    """Close a client and its connections."""
    end = getattr(client, "aclose", None) or client.close
    await settle(end())
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        await settle(pool.disconnect())


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the body of a test."""
    asyncio.run(body())


async def program(client: Any) -> list[Any]:
    """Use what applications use, and return what came back; errors by their texts."""
    results: list[Any] = []

    async def note(result: Any) -> None:
        results.append(await settle(result))

    async def fail(*args: Any) -> None:
        with pytest.raises(redis.ResponseError) as raised:
            await settle(client.execute_command(*args))
        results.append(str(raised.value))

    await note(client.set("name", "value"))
    await note(client.get("name"))
    await note(client.set("large", b"x" * 20_000))
    await note(client.get("large"))
    await note(client.mget("name", "none"))
    await fail("INCR", "name")
    await note(client.execute_command("CONFIG GET", "maxmemory-policy"))
    await _pipelines(client, note)
    await _subscribe(client, results)
    return results


async def _pipelines(client: Any, note: Callable[[Any], Awaitable[None]]) -> None:
    pipeline = client.pipeline(transaction=False)
    pipeline.set("a", "1").incr("a").get("a").set("big", b"y" * 10_000).strlen("big")
    await note(pipeline.execute())
    transaction = client.pipeline(transaction=True)
    transaction.set("b", "1").incr("b").get("none")
    await note(transaction.execute())
    watching = client.pipeline()
    await settle(watching.watch("b"))
    await note(watching.get("b"))
    watching.multi()
    watching.set("b", "7")
    await note(watching.execute())


async def _subscribe(client: Any, results: list[Any]) -> None:
    subscriber = client.pubsub()
    await settle(subscriber.subscribe("news"))
    message = await settle(subscriber.get_message(timeout=5))
    results.append(message and message["type"])
    await close(subscriber)
