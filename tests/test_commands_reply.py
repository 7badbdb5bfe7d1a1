"""Replies as Python values become the bytes of both protocol versions."""

from __future__ import annotations

import pytest

from ferrite_py.commands.reply import (
    NOTHING,
    NULL_ARRAY,
    OK,
    BigNumber,
    CommandError,
    Failure,
    Reply,
    Set,
    Simple,
    Verbatim,
    encode,
    float_text,
    integer_of,
    text_of,
)


@pytest.mark.parametrize(
    ("reply", "resp2", "resp3"),
    [
        (OK, b"+OK\r\n", b"+OK\r\n"),
        (Failure("ERR no\r\nway"), b"-ERR no  way\r\n", b"-ERR no  way\r\n"),
        (b"\x00\xff", b"$2\r\n\x00\xff\r\n", b"$2\r\n\x00\xff\r\n"),
        ("é", b"$2\r\n\xc3\xa9\r\n", b"$2\r\n\xc3\xa9\r\n"),
        ("\udcff", b"$1\r\n\xff\r\n", b"$1\r\n\xff\r\n"),
        ("", b"$0\r\n\r\n", b"$0\r\n\r\n"),
        (Verbatim("é"), b"$2\r\n\xc3\xa9\r\n", b"=6\r\ntxt:\xc3\xa9\r\n"),
        (-7, b":-7\r\n", b":-7\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (False, b":0\r\n", b"#f\r\n"),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (BigNumber(1 << 70), b"$22\r\n1180591620717411303424\r\n", b"(1180591620717411303424\r\n"),
        (None, b"$-1\r\n", b"_\r\n"),
        (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
        (NOTHING, b"", b""),
        ([], b"*0\r\n", b"*0\r\n"),
        ([1, ["a"]], b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n"),
        ((1, 2), b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:1\r\n:2\r\n"),
        (Set([1, None]), b"*2\r\n:1\r\n$-1\r\n", b"~2\r\n:1\r\n_\r\n"),
        ({"a": 1, "b": {}}, b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*0\r\n",
         b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n%0\r\n"),
        (Simple("PONG"), b"+PONG\r\n", b"+PONG\r\n"),
    ],
)  # fmt: skip
def test_encode(reply: Reply, resp2: bytes, resp3: bytes) -> None:
    """Each type has one form in each version."""
    assert (resp2, resp3) == (encode(reply, 2), encode(reply, 3))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (3.0, "3"), (-2.0, "-2"), (0.1, "0.1"), (1e300, "1e+300"),
        (1e16, "10000000000000000"), (float("inf"), "inf"), (float("-inf"), "-inf"),
        (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_float_text(value: float, text: str) -> None:
    """The shortest text that is read back as the same number."""
    assert text == float_text(value)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-1", -1), ("9223372036854775807", 2**63 - 1), ("12", 12)]
)
def test_integer_of(text: str, value: int) -> None:
    """Whole numbers of 64 bits."""
    assert value == integer_of(text.encode())


@pytest.mark.parametrize(
    "text", ["", "-", "-0", "01", "+1", " 1", "1 ", "1.0", "x", "9223372036854775808", "\u0661"]
)
def test_integer_of_refuses(text: str) -> None:
    """What Redis does not take for a number is none."""
    with pytest.raises(CommandError, match="not an integer"):
        integer_of(text.encode())


def test_text_of_keeps_every_byte() -> None:
    """Bytes that are not UTF-8 survive the way to text and back."""
    data = bytes(range(256))

    assert encode(text_of(data), 2) == encode(data, 2)
