"""A parser of RESP2 and RESP3 replies that keeps every byte's meaning, for tests only.

It shares no code with the server, so that a mistake in the server's writer cannot hide in the
tests' reader. A reply becomes one tree of `Node`; the caller keeps the raw bytes beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

_LINE_KINDS = frozenset("+-:,#_(")
_BULK_KINDS = frozenset("$=!")
_LIST_KINDS = frozenset("*~>")
_PAIR_KINDS = frozenset("%|")


class IncompleteError(Exception):
    """The bytes end inside a reply; at least `needed` bytes from its start are required."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"a reply of at least {needed} bytes is incomplete")
        self.needed = needed


class MalformedError(Exception):
    """The bytes are not RESP."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a reply.

    kind: the RESP type byte, or "!closed" for a connection that was closed instead of answering.
    data: the payload of a scalar. items: the members of an aggregate; a map's keys and values in
    turn.
    null: a null of any type. length: bytes that the value took on the wire.
    """

    kind: str
    data: bytes = b""
    items: tuple[Node, ...] = ()
    null: bool = False
    length: int = 0

    @property
    def integer(self) -> int:
        """The value of a number."""
        assert self.kind in ":(", f"not an integer: {self}"
        return int(self.data)

    @property
    def text(self) -> str:
        """The payload as text, without a verbatim string's prefix; bad bytes as surrogates."""
        data = self.data[4:] if self.kind == "=" else self.data
        return data.decode("utf-8", "surrogateescape")

    @property
    def is_error(self) -> bool:
        """Whether this is an error reply."""
        return self.kind in ("-", "!")

    def pairs(self) -> dict[bytes, Node]:
        """A map, or the flat array that stands for one in RESP2, as a dictionary."""
        assert self.kind in "%*~", f"not a map: {self}"
        keys, values = self.items[::2], self.items[1::2]
        return {key.data: value for key, value in zip(keys, values, strict=True)}

    def plain(self) -> object:
        """The tree without kinds of strings and lengths, for readable assertions."""
        if self.null:
            return None
        if self.kind in _LIST_KINDS or self.kind in _PAIR_KINDS:
            return [item.plain() for item in self.items]
        return int(self.data) if self.kind == ":" else self.data


CLOSED = Node("!closed")


def parse(buffer: bytes | bytearray, start: int = 0) -> Node:
    """Parse one value that begins at `start`; raises IncompleteError or MalformedError."""
    end_of_line = buffer.find(b"\r\n", start)
    if end_of_line < 0:
        if len(buffer) - start > 65536:
            raise MalformedError(f"no end of line: {bytes(buffer[start : start + 80])!r}")
        raise IncompleteError(len(buffer) - start + 1)
    kind = chr(buffer[start])
    line = bytes(buffer[start + 1 : end_of_line])
    after = end_of_line + 2
    if kind in _LINE_KINDS:
        return Node(kind, line, null=kind == "_", length=after - start)
    if kind in _BULK_KINDS:
        return _parse_bulk(buffer, start, after, kind, _number(line))
    if kind in _LIST_KINDS or kind in _PAIR_KINDS:
        return _parse_items(buffer, start, after, kind, _number(line))
    raise MalformedError(f"unknown type byte: {bytes(buffer[start : start + 80])!r}")


def _number(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        raise MalformedError(f"not a length: {line!r}") from None


def _parse_bulk(buffer: bytes | bytearray, start: int, after: int, kind: str, size: int) -> Node:
    if size == -1:
        return Node(kind, null=True, length=after - start)
    end = after + size + 2
    if len(buffer) < end:
        raise IncompleteError(end - start)
    if buffer[end - 2 : end] != b"\r\n":
        raise MalformedError(f"a bulk of {size} bytes has no line end")
    return Node(kind, bytes(buffer[after : end - 2]), length=end - start)


def _parse_items(buffer: bytes | bytearray, start: int, after: int, kind: str, count: int) -> Node:
    if count == -1:
        return Node(kind, null=True, length=after - start)
    members = count * 2 if kind in _PAIR_KINDS else count
    items = []
    for _ in range(members):
        try:
            item = parse(buffer, after)
        except IncompleteError as error:
            raise IncompleteError(after - start + error.needed) from None
        items.append(item)
        after += item.length
    return Node(kind, items=tuple(items), length=after - start)


def encode(*arguments: bytes | str | int) -> bytes:
    """A command as the array of bulk strings that clients send."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = to_bytes(argument)
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def to_bytes(argument: bytes | str | int) -> bytes:
    """An argument as bytes; text is UTF-8."""
    if isinstance(argument, bytes):
        return argument
    return str(argument).encode("utf-8", "surrogateescape")
