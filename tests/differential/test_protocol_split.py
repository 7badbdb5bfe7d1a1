"""The same bytes, cut at every place, must give the same replies."""

from __future__ import annotations

import pytest

from tests.support.both import Both
from tests.support.resp import encode
from tests.support.servers import Server

STREAMS = {
    "arrays": encode("SET", "key", "value") + encode("GET", "key") + encode("DEL", "key", "other"),
    "inline": b'SET key value\r\nGET key\r\n\r\nPING\nECHO "a\\x41 b"\r\n',
    "mixed": b"PING\r\n" + encode("ECHO", "x\r\ny") + b"*0\r\n*-1\r\nPING\r\n" + encode("PING"),
    "empty arguments": encode("SET", "", "") + encode("GET", "") + encode(""),
    "errors": encode("NOSUCH", "a") + encode("GET") + encode("INCR", "x", "y") + encode("PING"),
    "transaction": b"".join(map(encode, ["MULTI"])) + encode("INCR", "n") + encode("GET", "n")
    + encode("EXEC") + encode("DISCARD"),
    "protocol switch": encode("HELLO", "9") + encode("GET", "missing") + encode("RESET"),
    "large count": encode("MSET", *(f"{i}" for i in range(24))) + encode("MGET", "0", "2", "22"),
    "binary": encode("SET", b"\x00\r\n$", b"*1\r\n\xff") + encode("GET", b"\x00\r\n$"),
    "bitmap": encode("SETBIT", "b", "100", "1") + encode("BITFIELD", "b", "GET", "u8", "96"),
    "closing": encode("PING") + b"*1\r\n$x\r\n",
    "closing inline": b'PING\r\nECHO "open\r\n',
    "quit": encode("SET", "a", "1") + b"QUIT\r\nPING\r\n",
    "silence": b"CLIENT REPLY SKIP\r\nPING\r\n" + encode("CLIENT", "REPLY", "OFF")
    + b"PING\r\nCLIENT REPLY ON\r\n",
}  # fmt: skip
CLOSES = {"closing", "closing inline", "quit"}
END = b"ECHO end-of-it\r\n"
END_REPLY = b"$9\r\nend-of-it\r\n"


def whole(name: str) -> bytes:
    """The stream, with a command behind it that marks the end of the replies."""
    return STREAMS[name] if name in CLOSES else STREAMS[name] + END


def expected(both: Both, name: str) -> bytes:
    """What the reference answers to the stream in one piece."""
    with both.reference.client() as client:
        client.send(whole(name))
        return client.read_to_end() if name in CLOSES else client.read_until(END_REPLY)


def answers(server: Server, name: str, pieces: list[bytes]) -> bytes:
    """What the server answers to the pieces; between them it has the time to read each."""
    server.admin.command("FLUSHALL")
    with server.client() as client:
        for piece in pieces:
            client.send(piece)
            server.admin.command("PING")
        return client.read_to_end() if name in CLOSES else client.read_until(END_REPLY)


@pytest.mark.parametrize("name", STREAMS)
def test_cut_in_two_at_every_byte(both2: Both, name: str) -> None:
    """Two pieces, cut at each place."""
    data, wanted = whole(name), expected(both2, name)

    for cut in range(1, len(data)):
        found = answers(both2.subject, name, [data[:cut], data[cut:]])
        assert found == wanted, f"cut at {cut}: {data[:cut]!r} | {data[cut:]!r}"


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte(both2: Both, name: str) -> None:
    """Every byte on its own."""
    data, wanted = whole(name), expected(both2, name)

    found = answers(both2.subject, name, [data[i : i + 1] for i in range(len(data))])

    assert found == wanted


@pytest.mark.parametrize("size", [2, 3, 5, 7, 11, 16, 31, 64])
def test_pieces_of_one_size(both2: Both, size: int) -> None:
    """All streams in pieces of a fixed size."""
    for name in STREAMS:
        data, wanted = whole(name), expected(both2, name)
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        assert answers(both2.subject, name, pieces) == wanted, name


def test_cuts_inside_a_large_argument(both2: Both) -> None:
    """An argument of 200 kB in pieces that end around its borders."""
    value = bytes(i % 251 for i in range(200_000))
    data = encode("SET", "k", value) + encode("STRLEN", "k") + encode("GET", "k")
    border = len(encode("SET", "k", value))
    cuts = [5, 30, 35, 36, 37, 16384, 32768, 65536, border - 3, border - 2, border - 1, border]
    wanted = b"+OK\r\n:200000\r\n$200000\r\n" + value + b"\r\n"

    for first in cuts:
        pieces = [data[:first], data[first : first + 65537], data[first + 65537 :]]
        with both2.subject.client() as client:
            for piece in pieces:
                client.send(piece)
                both2.subject.admin.command("PING")
            assert client.read_exactly(len(wanted)) == wanted, first
