"""Replies as Python values, and their encoding as RESP2 or RESP3: a pure function.

| value | RESP2 | RESP3 |
| --- | --- | --- |
| `Simple` | `+text` | the same |
| `Failure` | `-text` | the same |
| `bytes`, `str` | bulk string | the same |
| `Verbatim` | bulk string | verbatim string |
| `int` | `:n` | the same |
| `bool` | `:1` or `:0` | boolean |
| `float` | bulk string | double |
| `BigNumber` | bulk string | big number |
| `None` | null bulk string | null |
| `NULL_ARRAY` | null array | null |
| `list`, `tuple` | array | the same |
| `Set` | array | set |
| `dict` | array of names and values in turn | map |
| `NOTHING` | no bytes at all | the same |
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Simple:
    """A status such as OK; must not contain line ends."""

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An error reply, its code first: `ERR no such thing`. Line ends become spaces."""

    text: str


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text that a client shows as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class BigNumber:
    """An integer of any size."""

    value: int


@dataclass(frozen=True, slots=True)
class Set:
    """Members without an order that means something."""

    members: Sequence["Reply"]


class Constant(Enum):
    """Replies without a value of their own."""

    NULL_ARRAY = "null array"
    NOTHING = "nothing"


NULL_ARRAY = Constant.NULL_ARRAY
NOTHING = Constant.NOTHING
OK = Simple("OK")

Scalar = Simple | Failure | Verbatim | BigNumber | Constant | float | None
Reply = Scalar | Set | bytes | str | int | bool | Sequence["Reply"] | Mapping[str, "Reply"]


class CommandError(Exception):
    """Raised by a command to answer an error; the text begins with its code, such as `ERR `."""


def encode(reply: Reply, resp: int) -> bytes:
    """The bytes of a reply in protocol version `resp`, 2 or 3. Raises TypeError for no reply."""
    parts: list[bytes] = []
    _append(parts, reply, resp)
    return b"".join(parts)


def _append(parts: list[bytes], reply: Reply, resp: int) -> None:
    # bool is an int, and str and bytes are sequences: the narrower type comes first.
    if isinstance(reply, str | bytes):
        parts.append(_bulk(reply))
    elif isinstance(reply, bool):
        parts.append((b"#t\r\n" if reply else b"#f\r\n") if resp == 3 else b":%d\r\n" % reply)
    elif isinstance(reply, int):
        parts.append(b":%d\r\n" % reply)
    elif isinstance(reply, Mapping):
        count = len(reply)
        parts.append(b"%%%d\r\n" % count if resp == 3 else b"*%d\r\n" % (2 * count))
        _append_all(parts, (item for pair in reply.items() for item in pair), resp)
    elif isinstance(reply, Set):
        parts.append(b"%c%d\r\n" % (b"~" if resp == 3 else b"*", len(reply.members)))
        _append_all(parts, reply.members, resp)
    elif isinstance(reply, Sequence):
        parts.append(b"*%d\r\n" % len(reply))
        _append_all(parts, reply, resp)
    else:
        parts.append(_scalar(reply, resp))


def _append_all(parts: list[bytes], members: Iterable[Reply], resp: int) -> None:
    for member in members:
        _append(parts, member, resp)


def _scalar(reply: Scalar, resp: int) -> bytes:
    if isinstance(reply, Simple):
        return b"+%b\r\n" % _line(reply.text)
    if isinstance(reply, Failure):
        return b"-%b\r\n" % _line(reply.text)
    if isinstance(reply, Verbatim):
        data = _data(reply.text)
        return b"=%d\r\ntxt:%b\r\n" % (len(data) + 4, data) if resp == 3 else _bulk(data)
    if isinstance(reply, BigNumber):
        return b"(%d\r\n" % reply.value if resp == 3 else _bulk(str(reply.value))
    if isinstance(reply, float):
        text = float_text(reply)
        return b",%b\r\n" % text.encode() if resp == 3 else _bulk(text)
    if reply is NOTHING:
        return b""
    if reply is not None and reply is not NULL_ARRAY:
        raise TypeError(f"not a reply: {reply!r}")
    if resp == 3:
        return b"_\r\n"
    return b"$-1\r\n" if reply is None else b"*-1\r\n"


def float_text(value: float) -> str:
    """The shortest text that gives the same number; whole numbers without a point."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if math.isnan(value):
        return "nan"
    if value == int(value) and abs(value) < 1e17:
        return str(int(value))
    return repr(value)


def _bulk(value: str | bytes) -> bytes:
    data = _data(value)
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _data(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def _line(text: str) -> bytes:
    return _data(text).replace(b"\r", b" ").replace(b"\n", b" ")


def text_of(argument: bytes) -> str:
    """An argument as text; bytes that are not UTF-8 survive the way back."""
    return argument.decode("utf-8", "surrogateescape")


def integer_of(argument: bytes) -> int:
    """An argument as a whole number, as strict as Redis. Raises CommandError."""
    text = text_of(argument)
    digits = text.removeprefix("-")
    is_plain = digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0")
    if is_plain and len(digits) < 20 and text != "-0" and -(2**63) <= int(text) < 2**63:
        return int(text)
    raise CommandError("ERR value is not an integer or out of range")
