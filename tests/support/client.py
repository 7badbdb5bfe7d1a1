"""A client that sends exactly the bytes it is given and returns exactly the bytes that came."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.support.resp import CLOSED, IncompleteError, Node, encode, parse

REPLY_TIMEOUT_S = 6.0
_RECEIVE_BYTES = 1 << 18
_SEND_BYTES = 1 << 16

Argument = bytes | str | int


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its bytes as they came, and what they mean."""

    raw: bytes
    node: Node

    def __repr__(self) -> str:
        if self.node is CLOSED:
            return "<connection closed>"
        if len(self.raw) > 600:
            return f"{self.raw[:400]!r} ... {self.raw[-100:]!r} ({len(self.raw)} bytes)"
        return repr(self.raw)


CLOSED_REPLY = Reply(b"", CLOSED)


class NoReplyError(Exception):
    """The server neither answered nor closed the connection in time."""


class RawClient:
    """One connection. Push messages are put aside in `pushes`, except when they are asked for."""

    def __init__(self, address: tuple[str, int] | str, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout_s)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout=timeout_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pushes: list[Reply] = []
        self._buffer = bytearray()
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; more than once is harmless."""
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Send bytes, receiving meanwhile; False when the server has closed the connection.

        A server may stop reading until its replies are taken, so a large pipeline cannot be sent
        without reading.
        """
        left = memoryview(data)
        try:
            while left:
                readable, writable, _ = select.select(
                    [self.socket], [self.socket], [], self.socket.gettimeout()
                )
                if not readable and not writable:
                    raise NoReplyError(f"the server stopped reading; {len(left)} bytes are left")
                if readable and not self._receive():
                    return False
                if writable:
                    left = left[self.socket.send(left[:_SEND_BYTES]) :]
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def command(self, *arguments: Argument) -> Reply:
        """Send one command and return its reply."""
        self.send(encode(*arguments))
        return self.read()

    def pipeline(self, commands: Iterable[Sequence[Argument]]) -> list[Reply]:
        """Send the commands in one piece and return as many replies."""
        encoded = [encode(*command) for command in commands]
        self.send(b"".join(encoded))
        return [self.read() for _ in encoded]

    def read(self) -> Reply:
        """The next reply that is no push message; CLOSED_REPLY when the connection ended."""
        while True:
            reply = self.read_any()
            if reply.node.kind != ">":
                return reply
            self.pushes.append(reply)

    def read_any(self) -> Reply:
        """The next reply or push message."""
        needed = 1
        while True:
            available = len(self._buffer) - self._offset
            if available >= needed:
                try:
                    node = parse(self._buffer, self._offset)
                except IncompleteError as error:
                    needed = error.needed
                else:
                    return self._take(node)
            elif not self._receive():
                return CLOSED_REPLY

    def read_exactly(self, size: int) -> bytes:
        """The next `size` bytes, or fewer when the connection ends before."""
        while len(self._buffer) - self._offset < size and self._receive():
            pass
        data = bytes(self._buffer[self._offset : self._offset + size])
        self._discard(len(data))
        return data

    def read_until(self, end: bytes) -> bytes:
        """Bytes until the last ones are `end`; fewer when the connection ends before."""
        while not self._buffer.endswith(end, self._offset) and self._receive():
            pass
        data = bytes(self._buffer[self._offset :])
        self._discard(len(data))
        return data

    def has_input(self) -> bool:
        """Whether bytes, or the end of the connection, have come that nobody has read."""
        if len(self._buffer) > self._offset:
            return True
        readable, _, _ = select.select([self.socket], [], [], 0)
        return bool(readable)

    def read_to_end(self) -> bytes:
        """All bytes until the server closes the connection."""
        while self._receive():
            pass
        data = bytes(self._buffer[self._offset :])
        self._discard(len(data))
        return data

    def _take(self, node: Node) -> Reply:
        raw = bytes(self._buffer[self._offset : self._offset + node.length])
        self._discard(node.length)
        return Reply(raw, node)

    def _discard(self, size: int) -> None:
        self._offset += size
        if self._offset == len(self._buffer) or self._offset > _RECEIVE_BYTES:
            del self._buffer[: self._offset]
            self._offset = 0

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except ConnectionResetError:
            return False
        except TimeoutError:
            seen = bytes(self._buffer[self._offset :][:200])
            raise NoReplyError(f"no complete reply in time; bytes so far: {seen!r}") from None
        self._buffer += data
        return bool(data)
