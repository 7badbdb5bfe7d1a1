"""Reply types of RESP3, and requests that carry attributes."""

from __future__ import annotations

import pytest

from tests.support.both import Both
from tests.support.match import anything
from tests.support.resp import encode

KINDS = {
    ("CONFIG", "GET", "timeout"): "%",
    ("GET", "missing"): "_",
    ("MGET", "missing"): "*",
    ("LCS", "a", "b", "IDX"): "%",
    ("COMMAND", "INFO", "get"): "*",
    ("COMMAND", "DOCS", "get"): "%",
    ("MEMORY", "STATS"): "%",
    ("INFO",): "=",
    ("LOLWUT",): "=",
    ("CLIENT", "LIST"): "=",
    ("CLIENT", "INFO"): "=",
    ("LATENCY", "HISTOGRAM"): "%",
    ("LATENCY", "DOCTOR"): "=",
    ("MEMORY", "DOCTOR"): "=",
    ("INCRBYFLOAT", "f", "1.5"): "$",
    ("EXISTS", "a"): ":",
    ("SCAN", "0"): "*",
    ("ROLE",): "*",
    ("DUMP", "missing"): "_",
    ("RANDOMKEY",): "_",
    ("HELLO",): "%",
}


@pytest.mark.parametrize("command", KINDS)
def test_reply_types(both: Both, command: tuple[str, ...]) -> None:
    """Maps, nulls and verbatim strings appear in RESP3 only, at the same places."""
    node = both.run(*command, match=anything)
    theirs = both.client().reference.command(*command).node

    assert node.kind == theirs.kind
    if both.protocol == 3:
        assert node.kind == KINDS[command]
    assert [item.kind for item in node.items][:6] == [item.kind for item in theirs.items][:6]


def test_null_replies(both: Both) -> None:
    """Null bulks, null arrays and nulls inside arrays."""
    both.run("WATCH", "w")
    both.client("other").run("SET", "w", "1")
    both.script("""
        MULTI
        PING
        EXEC
        GET missing
        MGET missing missing
        SET k v NX GET
        SET k v NX
        GETSET new v
        GETDEL missing
        GETEX missing
        OBJECT ENCODING missing
        BITFIELD b OVERFLOW FAIL INCRBY u1 0 5
        CLIENT GETNAME
        MEMORY USAGE missing
    """)


ATTRIBUTES = {
    "traceparent": b"|1\r\n$11\r\ntraceparent\r\n$55\r\n00-0af7651916cd43dd8448eb211c80319c"
    b"-b7ad6b7169203331-01\r\n",
    "two": b"|2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n",
    "none": b"|0\r\n",
    "simple strings": b"|1\r\n+a\r\n+b\r\n",
    "numbers": b"|2\r\n+n\r\n:12\r\n+d\r\n,1.5\r\n",
    "boolean and null": b"|2\r\n+t\r\n#t\r\n+z\r\n_\r\n",
    "empty value": b"|1\r\n$1\r\na\r\n$0\r\n\r\n",
    "line end inside": b"|1\r\n$1\r\na\r\n$4\r\n\r\n\r\n\r\n",
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_request_attributes(both2: Both, name: str) -> None:
    """Attributes in front of a request do not change its reply.

    This is ferrite-py's own: Redis reads attributes in replies only.
    """
    if not both2.subject.is_ferrite:
        pytest.skip("another server was chosen as the subject")
    data = ATTRIBUTES[name]
    request = encode("SET", "k", "v") + data + encode("GET", "k") + data + encode("PING")
    for pieces in ([request], [request[i : i + 1] for i in range(len(request))]):
        with both2.subject.client() as client:
            for piece in pieces:
                client.send(piece)
            assert client.read_exactly(19) == b"+OK\r\n$1\r\nv\r\n+PONG\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"|x\r\n",
        b"|-1\r\n",
        b"|1\r\n$x\r\n",
        b"|99999999\r\n",
        b"|1\r\n$-5\r\n",
        b"|1\r\n*1\r\n?\r\n",
    ],
)
def test_damaged_attributes(both2: Both, bad: bytes) -> None:
    """Attributes that cannot be read are a protocol error that closes the connection."""
    if not both2.subject.is_ferrite:
        pytest.skip("another server was chosen as the subject")
    with both2.subject.client() as client:
        client.send(bad + encode("PING") * 3)
        reply = client.read_to_end()

    assert reply.startswith(b"-ERR Protocol error: ")
    assert b"PONG" not in reply


def test_attributes_inside_a_transaction(both2: Both) -> None:
    """Queued commands may carry attributes of their own."""
    if not both2.subject.is_ferrite:
        pytest.skip("another server was chosen as the subject")
    data = ATTRIBUTES["traceparent"]
    with both2.subject.client() as client:
        client.send(b"".join(data + encode(*c) for c in (("MULTI",), ("INCR", "n"), ("EXEC",))))
        assert client.read_exactly(22) == b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n"
