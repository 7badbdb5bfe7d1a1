"""Malformed requests: the error's text, and whether the connection is closed.

Two things are left out on purpose. A zero byte in a line that is not an argument makes Redis wait
for ever, because it looks for the line's end with C's string functions. And a line of more than
64 KiB that does end is an error or not depending on how the kernel cut it into reads.
"""

from __future__ import annotations

import socket

import pytest

from tests.support.both import Both

CLOSING = {
    "count is a letter": b"*x\r\n",
    "count is empty then letters": b"*1x\r\n",
    "count is a float": b"*1.5\r\n",
    "count has a plus": b"*+1\r\n$4\r\nPING\r\n",
    "count has a blank": b"* 1\r\n$4\r\nPING\r\n",
    "count has a leading zero": b"*01\r\n$4\r\nPING\r\n",
    "count is 2^31": b"*2147483648\r\n",
    "count is far too large": b"*99999999999999999999999\r\n",
    "count without end": b"*" + b"1" * 70_000,
    "no dollar": b"*1\r\n:4\r\n",
    "no dollar but text": b"*1\r\nPING\r\n",
    "no dollar but an array": b"*1\r\n*1\r\n$4\r\nPING\r\n",
    "no dollar but an empty line": b"*1\r\n\r\n",
    "no dollar in the second argument": b"*2\r\n$4\r\nPING\r\nxx\r\n",
    "no dollar but a high byte": b"*1\r\n\xff\r\n",
    "length is a letter": b"*1\r\n$x\r\n",
    "length is empty": b"*1\r\n$\r\n",
    "length is negative": b"*1\r\n$-1\r\n",
    "length is negative and large": b"*1\r\n$-2147483648\r\n",
    "length has a plus": b"*1\r\n$+4\r\nPING\r\n",
    "length has a leading zero": b"*1\r\n$04\r\nPING\r\n",
    "length is a float": b"*1\r\n$4.0\r\nPING\r\n",
    "length is above the limit": b"*1\r\n$536870913\r\n",
    "length is 2^63": b"*1\r\n$9223372036854775808\r\n",
    "length without end": b"*1\r\n$" + b"1" * 70_000,
    "unbalanced double quote": b'SET k "value\r\n',
    "unbalanced single quote": b"SET k 'value\r\n",
    "text behind a closing quote": b'SET k "value"x\r\n',
    "text behind a single quote": b"SET k 'value'x\r\n",
    "only a quote": b'"\r\n',
    "inline without end": b"x" * 70_000,
    "error after good requests": b"PING\r\n*1\r\n$4\r\nPING\r\n*1\r\n$x\r\nPING\r\n",
    "error in the middle of a pipeline": b"SET k v\r\nGET k\r\n*z\r\nSET k w\r\n",
    "error inside multi": b"MULTI\r\nSET k v\r\n*1\r\n$x\r\n",
}


@pytest.mark.parametrize("name", CLOSING)
def test_protocol_error_closes(both: Both, name: str) -> None:
    """The replies before the error are sent, then its text, then the connection is closed."""
    pair = both.client("victim")
    pair.send(CLOSING[name])

    pair.compare_end(name)

    both.run("GET", "k")


HARMLESS = {
    "empty lines": b"\r\n\r\n\n\nPING\r\n",
    "line feed only": b"PING\nPING\n",
    "empty array": b"*0\r\nPING\r\n",
    "negative arrays": b"*-1\r\n*-5\r\n*-2147483648\r\nPING\r\n",
    "negative zero": b"*-0\r\nPING\r\n",
    "blanks": b"   PING   \r\n\tPING\r\n",
    "only blanks": b"    \r\nPING\r\n",
    "quotes": b'SET "a b" "x\\ty\\x41\\n\\"z\\""\r\nGET "a b"\r\nPING\r\n',
    "single quotes": b"SET 'a b' 'it\\'s \\n'\r\nGET 'a b'\r\nPING\r\n",
    "empty quotes": b"SET k \"\"\r\nGET k\r\nSET '' ''\r\nGET ''\r\nPING\r\n",
    "odd escapes": b'ECHO "\\q\\xZZ\\x4\\a\\b\\r"\r\nPING\r\n',
    "quotes inside a word": b'ECHO ab"cd"\r\nPING\r\n',
    "quotes in the middle": b'ECHO a"b c"\r\nPING\r\n',
    "high bytes": b"ECHO \xff\xfe\r\nPING\r\n",
    "carriage return inside": b"ECHO a\rb\r\nPING\r\n",
    "vertical tab": b"ECHO a\x0bb\r\nPING\r\n",
    "inline and arrays": b"PING\r\n*1\r\n$4\r\nPING\r\nECHO x\r\n*2\r\n$4\r\nECHO\r\n$1\r\ny\r\n",
    "empty bulk as a command": b"*1\r\n$0\r\n\r\nPING\r\n",
    "empty arguments": b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
    "bulk without a proper end": b"*1\r\n$4\r\nPINGxxPING\r\n",
    "bulk holding line ends": b"*2\r\n$4\r\nECHO\r\n$6\r\n\r\n*1\r\n\r\nPING\r\n",
    "carriage return and anything": b"*1\rx$4\rxPING\r\nPING\r\n",
    "http like": b"GET / HTTP/1.1\r\nPING\r\n",
    "long inline": b"ECHO " + b"x" * 60_000 + b"\r\nPING\r\n",
    "many arguments inline": b"MGET" + b" k" * 5000 + b"\r\nPING\r\n",
    "resp types as inline": b"+PING\r\n-PING\r\n:1\r\n_\r\n#t\r\nPING\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_odd_but_accepted(both: Both, name: str) -> None:
    """Unusual requests are understood alike, and the connection goes on."""
    pair = both.client("odd")
    pair.send(HARMLESS[name] + b"ECHO end-of-it\r\n")

    pair.compare_until(b"$9\r\nend-of-it\r\n", name)


@pytest.mark.parametrize("word", [b"POST / HTTP/1.1\r\n", b"post x\r\n", b"Host: example.org\r\n"])
def test_http_is_refused(both2: Both, word: bytes) -> None:
    """A browser that is made to talk to the server is cut off."""
    pair = both2.client("browser")
    pair.send(word + b"SET k v\r\n")

    pair.compare_end("an HTTP request")

    both2.run("EXISTS", "k")


@pytest.mark.parametrize(
    "word", [b"HOST: example.org\r\n", b"host: x\r\n", b"POST\r\n", b"Host:\r\n"]
)
def test_variants_of_http(both2: Both, word: bytes) -> None:
    """Case and arity of the words that browsers send."""
    pair = both2.client("browser")
    pair.send(word)

    pair.compare_end("an HTTP request")


@pytest.mark.parametrize("start", [b"*1048577\r\n", b"*2147483647\r\n", b"*1\r\n$536870912\r\n"])
def test_large_announcements_are_waited_for(both2: Both, start: bytes) -> None:
    """A count or a length within the limits is believed: the server waits for what it announces."""
    pair = both2.client("announcing")
    pair.send(start + b"$4\r\nPING\r\n")

    pair.assert_silent("a large announcement")

    both2.run("PING")


def test_lower_bulk_limit(both2: Both) -> None:
    """proto-max-bulk-len bounds an argument."""
    with both2.settings(proto_max_bulk_len="1048576"):
        for size in (1048576, 1048577):
            pair = both2.client(f"size {size}")
            pair.send(b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % size)
            pair.send(b"x" * size + b"\r\nQUIT\r\n")
            pair.compare_end(f"an argument of {size}")


def test_query_buffer_limit(both2: Both) -> None:
    """A request that grows beyond client-query-buffer-limit closes the connection silently."""
    with both2.settings(client_query_buffer_limit="1048576"):
        pair = both2.client("greedy")
        pair.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n" + b"x" * 4_000_000)
        pair.compare_end("a request of 8 MB")
        both2.run("EXISTS", "k")


NO_LIMITS = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"


def test_output_buffer_limit(both2: Both) -> None:
    """A reply larger than the hard limit closes the connection that does not take it."""
    both2.run("SET", "huge", "x" * 20_000_000)
    try:
        for server in both2.servers:
            limit = ("client-output-buffer-limit", "normal 2mb 0 0")
            assert server.admin.command("CONFIG", "SET", *limit).raw == b"+OK\r\n"
        pair = both2.client("slow")
        pair.send(b"GET huge\r\n")
        sizes = [len(client.read_to_end()) for client in pair.clients]
    finally:
        for server in both2.servers:
            server.admin.command("CONFIG", "SET", "client-output-buffer-limit", NO_LIMITS)

    assert all(size < 20_000_000 for size in sizes), sizes


def test_replies_wait_for_a_slow_reader(both2: Both) -> None:
    """Without a limit, replies of 60 MB reach a client that reads late, all of them."""
    both2.run("SET", "big", "x" * 1_000_000)
    pair = both2.client("slow")
    for client in pair.clients:
        client.socket.sendall(b"GET big\r\n" * 60)
    for server in both2.servers:
        server.admin.command("PING")
    for i in range(60):
        pair.compare(f"reply {i}")


def test_maxclients(both2: Both) -> None:
    """Above maxclients a new connection gets an error and is closed."""
    both2.run("PING")
    with both2.settings(maxclients="2"):
        pair = both2.client("one too many")
        pair.compare_end("a connection above maxclients")
    both2.client("again").run("PING")


@pytest.mark.memory_only("the connection of DEBUG TIER is closed too")
def test_idle_timeout(both2: Both) -> None:
    """A client that is silent for the timeout is closed."""
    pair = both2.client("idle")
    pair.run("PING")
    with both2.settings(timeout="1"):
        pair.compare_end("an idle connection")
    both2.client("other").run("PING")


def test_half_closed_connection(both2: Both) -> None:
    """What was sent before the client shut down its side is still executed."""
    pair = both2.client("half")
    for client in pair.clients:
        client.socket.sendall(b"SET k v\r\nINCR n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
    for client in pair.clients:
        client.read_to_end()
    both2.until(lambda server: server.admin.command("GET", "n").raw == b"$1\r\n1\r\n", "INCR")
    both2.run("GET", "k")


def test_connections_that_leave_in_the_middle(both2: Both) -> None:
    """Connections that end inside a request leave nothing behind."""
    for index, part in enumerate(
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nabc", b"*3", b"SET k", b"")
    ):
        pair = both2.client(f"leaving {index}")
        pair.send(part)
        pair.close()
    both2.run("EXISTS", "k")
