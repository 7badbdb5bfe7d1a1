"""What a connection of redis-py sends: packed commands, with attributes where they are taken.

Whether it does is known only when the bytes go out: redis-py packs first and connects, or connects
again, after that. So what is sent decides when it is read, in `__iter__`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ferrite_py.client.attribute import current_attribute

# On a connection: the Instrumentation under which its server asked for attributes, or None when the
# server did not ask. Not there before the first connect.
TAKES_ATTRIBUTES = "_ferrite_takes_attributes"


class Instrumentation:
    """The time between one instrument() and its uninstrument().

    Connections refer to it by identity: what one learned under an earlier instrumentation may be
    out of date, since it may have connected again in between.
    """

    __slots__ = ("active", "says_hello")

    def __init__(self, *, says_hello: bool) -> None:
        self.active = True
        self.says_hello = says_hello

    def marks(self, connection: Any) -> bool:
        """Whether commands on this connection get attributes now."""
        return self.active and getattr(connection, TAKES_ATTRIBUTES, None) is self


class Packed(list[bytes]):
    """A packed pipeline, and what it takes to pack it anew when the server has changed since."""

    __slots__ = ("attribute", "commands", "is_marked")

    def __init__(
        self, chunks: list[bytes], commands: list[Any], attribute: bytes, *, is_marked: bool
    ) -> None:
        super().__init__(chunks)
        self.commands = commands
        self.attribute = attribute
        self.is_marked = is_marked


class Outgoing:
    """Chunks on their way to the socket: redis-py iterates over them once it is connected."""

    __slots__ = ("_attribute", "_chunks", "_connection", "_instrumentation")

    def __init__(
        self,
        instrumentation: Instrumentation,
        connection: Any,
        chunks: list[bytes],
        attribute: bytes,
    ) -> None:
        self._instrumentation = instrumentation
        self._connection = connection
        self._chunks = chunks
        self._attribute = attribute

    def __iter__(self) -> Iterator[bytes]:
        """Yield what is right for the server that the connection has now."""
        marks = self._instrumentation.marks(self._connection)
        chunks = self._chunks
        if isinstance(chunks, Packed):
            if chunks.is_marked != marks:
                attribute = self._attribute if marks else b""
                return iter(pack_marked(self._connection, chunks.commands, attribute))
            return iter(chunks)
        return iter(marked(chunks, self._attribute, self._connection)) if marks else iter(chunks)


def outgoing(instrumentation: Instrumentation, socket: str, connection: Any, command: Any) -> Any:
    """Return what to send in place of `command`, which may be the command itself.

    `socket` names the attribute of the connection that is None while it is not connected.
    """
    if type(command) is Packed:
        return Outgoing(instrumentation, connection, command, command.attribute)
    if type(command) is not list or not instrumentation.active:
        return command
    # A connection that never was connected may take attributes once it is. One whose server did
    # not ask is passed by quickly, so its next server misses the first command at most.
    if getattr(connection, TAKES_ATTRIBUTES, instrumentation) is not instrumentation:
        return command
    attribute = current_attribute()
    if attribute is None:
        return command
    # Connected, and no health check will come between: what goes out may be decided now.
    if (
        getattr(connection, socket) is not None
        and not connection.health_check_interval
        and hasattr(connection, TAKES_ATTRIBUTES)
    ):
        return marked(command, attribute, connection)
    return Outgoing(instrumentation, connection, command, attribute)


def packed(
    instrumentation: Instrumentation, connection: Any, commands: Iterable[Any], pack: Any
) -> list[bytes]:
    """Return the packed commands of a pipeline; `pack` is redis-py's own way to pack them."""
    attribute = current_attribute() if instrumentation.active else None
    if attribute is None:
        chunks: list[bytes] = pack(connection, commands)
        return chunks
    commands = list(commands)
    marks = instrumentation.marks(connection)
    chunks = pack_marked(connection, commands, attribute) if marks else pack(connection, commands)
    return Packed(chunks, commands, attribute, is_marked=marks)


def marked(chunks: list[bytes], attribute: bytes, connection: Any) -> list[bytes]:
    """Return the chunks of one command with the attribute in front, and no small chunk more."""
    first = chunks[0] if chunks else None
    if not isinstance(first, bytes) or len(first) > connection._buffer_cutoff:
        return [attribute, *chunks]
    return [attribute + first, *chunks[1:]]


def pack_marked(connection: Any, commands: Iterable[Any], attribute: bytes) -> list[bytes]:
    """Pack commands, each with the attribute, into chunks of the size that redis-py makes.

    Between MULTI and EXEC none gets one: those commands run inside EXEC, whose span is their
    parent. An empty attribute packs them as redis-py does.
    """
    chunks = _Chunks(connection._buffer_cutoff)
    is_queued = False
    for command in commands:
        name = _upper(command[0])
        is_queued = is_queued and name not in ("EXEC", "DISCARD")
        if attribute and not is_queued:
            chunks.add(attribute)
        for chunk in connection.pack_command(*command):
            chunks.add(chunk)
        is_queued = is_queued or name == "MULTI"
    return chunks.done()


def _upper(name: Any) -> str:
    """Return a command's name in capitals, "" for one that cannot begin or end a transaction."""
    if isinstance(name, str):
        return name.upper() if len(name) <= len("DISCARD") else ""
    return name.decode("latin-1").upper() if isinstance(name, bytes) else ""


class _Chunks:
    """Joins small chunks, so that a pipeline takes few writes; large ones are never copied."""

    def __init__(self, large_bytes: int) -> None:
        self._large_bytes = large_bytes
        self._done: list[bytes] = []
        self._small: list[bytes] = []
        self._small_bytes = 0

    def add(self, chunk: bytes) -> None:
        """Take one more chunk, of any size."""
        is_large = len(chunk) > self._large_bytes or isinstance(chunk, memoryview)
        if is_large or self._small_bytes > self._large_bytes:
            self._join()
        if is_large:
            self._done.append(chunk)
        else:
            self._small.append(chunk)
            self._small_bytes += len(chunk)

    def done(self) -> list[bytes]:
        """Return all that was added."""
        self._join()
        return self._done

    def _join(self) -> None:
        if self._small:
            self._done.append(b"".join(self._small))
            self._small.clear()
            self._small_bytes = 0
