"""What a server says in its reply to HELLO about attributes, and how a connection hears it.

A server that takes attributes has `traceparent` in the map, with an array that holds `attribute`.
redis-py says HELLO only with RESP3; on RESP2 it is said here, as `HELLO 2`, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.exceptions import AuthenticationError, ResponseError

from ferrite_py.client.sending import TAKES_ATTRIBUTES, Instrumentation

# The server does not know HELLO, wants AUTH first, or forbids it: commands go on as they are.
_REFUSED = (ResponseError, AuthenticationError)
_HELLO = ("HELLO", "2")


def takes_attributes(hello: Any) -> bool:
    """Whether the server takes attributes, by its reply to HELLO: a map, or a flat list."""
    if isinstance(hello, list) and len(hello) % 2 == 0:
        names, values = [_text(name) for name in hello[0::2]], hello[1::2]
    elif isinstance(hello, Mapping):
        names, values = [_text(name) for name in hello], list(hello.values())
    else:
        return False
    ways = dict(zip(names, values, strict=True)).get("traceparent")
    return isinstance(ways, list) and "attribute" in map(_text, ways)


def _text(word: Any) -> str:
    """Return a word of a reply, which the connection decodes or not."""
    return word.decode("latin-1") if isinstance(word, bytes) else str(word)


class _Listener:
    """Looks at the replies that a connection reads while it introduces itself."""

    def __init__(self, instrumentation: Instrumentation, connection: Any) -> None:
        self._instrumentation = instrumentation
        self._connection = connection
        self.heard = False

    def hear(self, reply: Any) -> None:
        """Take the reply to HELLO for what it says; it is the only one that tells a protocol."""
        if isinstance(reply, Mapping) and "proto" in map(_text, reply):
            self.learn(reply)

    def learn(self, hello: Any) -> None:
        """Remember on the connection whether its server takes attributes."""
        self.heard = True
        if takes_attributes(hello):
            setattr(self._connection, TAKES_ATTRIBUTES, self._instrumentation)


@contextmanager
def _listening(
    instrumentation: Instrumentation, connection: Any, replace: Callable[[_Listener, Any], Any]
) -> Iterator[_Listener]:
    """Forget the last server, and have replies read by what `replace` returns."""
    setattr(connection, TAKES_ATTRIBUTES, None)
    listener = _Listener(instrumentation, connection)
    connection.read_response = replace(listener, connection.read_response)
    try:
        yield listener
    finally:
        del connection.read_response


@contextmanager
def _errors_are_replies(connection: Any) -> Iterator[None]:
    """Have the parser return every error: of those that it raises, it leaves the text unread."""
    parser = connection._parser
    parser.parse_error = ResponseError
    try:
        yield
    finally:
        del parser.parse_error


def on_connect(
    instrumentation: Instrumentation,
    original: Callable[..., None],
    connection: Any,
    *args: Any,
    **kwargs: Any,
) -> None:
    """Introduce a connection as `original` does, and learn whether its server takes attributes."""

    def replace(listener: _Listener, read: Callable[..., Any]) -> Callable[..., Any]:
        def read_response(*args: Any, **kwargs: Any) -> Any:
            reply = read(*args, **kwargs)
            listener.hear(reply)
            return reply

        return read_response

    with _listening(instrumentation, connection, replace) as listener:
        original(connection, *args, **kwargs)
    if not listener.heard and instrumentation.says_hello:
        listener.learn(_hello(connection))


def _hello(connection: Any) -> Any:
    connection.send_command(*_HELLO, check_health=False)
    try:
        with _errors_are_replies(connection):
            return connection.read_response(disconnect_on_error=False)
    except _REFUSED:
        return None
    except BaseException:
        connection.disconnect()
        raise


async def on_connect_async(
    instrumentation: Instrumentation,
    original: Callable[..., Awaitable[None]],
    connection: Any,
    *args: Any,
    **kwargs: Any,
) -> None:
    """Do what on_connect does, for a connection of redis.asyncio."""

    def replace(listener: _Listener, read: Callable[..., Any]) -> Callable[..., Any]:
        async def read_response(*args: Any, **kwargs: Any) -> Any:
            reply = await read(*args, **kwargs)
            listener.hear(reply)
            return reply

        return read_response

    with _listening(instrumentation, connection, replace) as listener:
        await original(connection, *args, **kwargs)
    if not listener.heard and instrumentation.says_hello:
        listener.learn(await _hello_async(connection))


async def _hello_async(connection: Any) -> Any:
    await connection.send_command(*_HELLO, check_health=False)
    try:
        with _errors_are_replies(connection):
            return await connection.read_response(disconnect_on_error=False)
    except _REFUSED:
        return None
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
