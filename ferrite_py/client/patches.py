"""The methods of redis-py's connections that are replaced while it is instrumented.

Both kinds of connection, sync and asyncio, have the same three; clients, pipelines, transactions,
publish/subscribe and cluster nodes all send through them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import redis.asyncio.connection
import redis.connection

from ferrite_py.client import handshake
from ferrite_py.client.sending import Instrumentation, outgoing, packed


class Patches:
    """The replaced methods, and how they come back."""

    def __init__(self, *, resp2_hello: bool) -> None:
        self._instrumentation = Instrumentation(says_hello=resp2_hello)
        self._replaced: list[tuple[type, str, Any, Any]] = []

    def apply(self) -> None:
        """Replace the methods of every connection, those that exist already included."""
        self._replace_all(redis.connection.AbstractConnection, handshake.on_connect, "_sock")
        asynchronous = redis.asyncio.connection.AbstractConnection
        self._replace_all(asynchronous, handshake.on_connect_async, "_writer")

    def remove(self) -> None:
        """Bring the methods back; one that somebody wrapped since stays, and does nothing."""
        self._instrumentation.active = False
        for owner, name, ours, original in reversed(self._replaced):
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, original)
        self._replaced.clear()

    def _replace_all(self, owner: type, on_connect: Callable[..., Any], socket: str) -> None:
        # Since redis-py 6 connect() calls the second, and on_connect() calls it too.
        name = "on_connect_check_health"
        self._replace(
            owner, name if hasattr(owner, name) else "on_connect", self._on_connect(on_connect)
        )
        self._replace(owner, "send_packed_command", self._send_packed_command(socket))
        self._replace(owner, "pack_commands", self._pack_commands)

    def _replace(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        original = owner.__dict__[name]
        ours = functools.wraps(original)(make(original))
        setattr(owner, name, ours)
        self._replaced.append((owner, name, ours, original))

    def _on_connect(self, introduce: Callable[..., Any]) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def on_connect(connection: Any, *args: Any, **kwargs: Any) -> Any:
                if not self._instrumentation.active:
                    return original(connection, *args, **kwargs)
                return introduce(self._instrumentation, original, connection, *args, **kwargs)

            return on_connect

        return make

    def _send_packed_command(self, socket: str) -> Callable[[Any], Any]:
        instrumentation = self._instrumentation

        def make(original: Any) -> Any:
            def send_packed_command(
                connection: Any, command: Any, check_health: bool = True
            ) -> Any:
                command = outgoing(instrumentation, socket, connection, command)
                return original(connection, command, check_health)

            return send_packed_command

        return make

    def _pack_commands(self, original: Any) -> Any:
        instrumentation = self._instrumentation

        def pack_commands(connection: Any, commands: Any) -> Any:
            return packed(instrumentation, connection, commands, original)

        return pack_commands
