"""The tests' own tools: a comparison that cannot fail would prove nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.sources import ROOT
from tests.support import match, payload, resp, script
from tests.support.both import Both, MismatchError
from tests.support.client import Reply
from tests.support.process import environment
from tests.support.servers import TIER_VARIABLE, Server, subject_server


def reply(data: bytes) -> Reply:
    """A reply of these bytes."""
    return Reply(data, resp.parse(data))


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"+OK\r\n", b"OK"),
        (b":-12\r\n", -12),
        (b"$-1\r\n", None),
        (b"_\r\n", None),
        (b"*-1\r\n", None),
        (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
        (b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n", [1, [b""]]),
        (b"%1\r\n+a\r\n#t\r\n", [b"a", b"t"]),
        (b"=7\r\ntxt:abc\r\n", b"txt:abc"),
    ],
)
def test_parse(data: bytes, plain: object) -> None:
    """Every type is read, and its length is what it took."""
    node = resp.parse(data + b"+rest\r\n")

    assert node.plain() == plain
    assert node.length == len(data)


@pytest.mark.parametrize("data", [b"*2\r\n$3\r\nabc\r\n%1\r\n+a\r\n$2\r\nxy\r\n"])
def test_every_prefix_is_incomplete(data: bytes) -> None:
    """A cut reply says that it is incomplete, and never asks for more than it needs."""
    for cut in range(len(data)):
        with pytest.raises(resp.IncompleteError) as caught:
            resp.parse(data[:cut])
        assert cut < caught.value.needed <= len(data)


def test_script_words() -> None:
    """Bare words, both kinds of quotes, escapes, comments."""
    text = """
        # a comment
        SET k "a b\\x00\\r\\n\\"\\\\" 'c\\n' ""
        GET caf\u00e9
    """

    assert script.commands(text) == [
        [b"SET", b"k", b'a b\x00\r\n"\\', b"c\\n", b""],
        [b"GET", "caf\u00e9".encode()],
    ]


def test_matches_tell_differences() -> None:
    """Each comparison accepts what it should and nothing else."""
    one, two = reply(b"*2\r\n:1\r\n:2\r\n"), reply(b"*2\r\n:2\r\n:1\r\n")
    assert match.unordered(one, two)
    assert not match.exact(one, two)
    assert not match.unordered(one, reply(b"*2\r\n:1\r\n:3\r\n"))
    assert match.near(5)(reply(b":100\r\n"), reply(b":104\r\n"))
    assert not match.near(5)(reply(b":100\r\n"), reply(b":106\r\n"))
    assert not match.near(5)(reply(b":-1\r\n"), reply(b":-2\r\n"))
    assert not match.near(5)(reply(b":1\r\n"), reply(b":-1\r\n"))
    assert match.masked(rb"\d+")(reply(b"+id 12\r\n"), reply(b"+id 345\r\n"))
    assert not match.masked(rb"\d+")(reply(b"+id 12\r\n"), reply(b"+ID 12\r\n"))
    assert not match.same_shape(reply(b":1\r\n"), reply(b"$1\r\n1\r\n"))
    assert not match.scan_page(
        reply(b"*2\r\n$1\r\n0\r\n*1\r\n+a\r\n"), reply(b"*2\r\n$1\r\n0\r\n*1\r\n+b\r\n")
    )
    assert match.usual(("ttl", "k")) is not match.exact
    assert match.usual(("get", "k")) is match.exact


def test_payloads() -> None:
    """The checksum is that of RDB files, and a compressed string unpacks."""
    assert payload.crc64(b"123456789") == 0xE9C6D914C4B8D9CA
    framed = payload.frame(b"\x00\x01a")
    assert payload.is_sound(framed)
    assert not payload.is_sound(framed[:-1] + b"\x00")
    packed = b"\x00\xc3\x06\x15\x01aa\xe0\x0a\x00"
    assert payload.unpacked(packed) == b"unpacked:" + b"a" * 21


class FakeServer(Server):
    """A server that answers every command with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        super().__init__("fake", None, self._listener.getsockname()[1])
        self.version = "7.0.0"
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while connection.recv(65536):
                connection.sendall(self._answer)

    def stop(self) -> None:
        """Wait for the one connection to end."""
        self._thread.join()
        self._listener.close()
        super().stop()


@pytest.fixture
def fakes() -> Iterator[Both]:
    """Two servers that disagree."""
    one, two = FakeServer(b"+OK\r\n"), FakeServer(b"+KO\r\n")
    found = Both(one, two)
    yield found
    found.close()
    one.stop()
    two.stop()


def test_a_difference_fails(fakes: Both) -> None:
    """The failure names the command and both replies."""
    with pytest.raises(MismatchError) as caught:
        fakes.run("SET", "some key", "v")

    text = str(caught.value)
    assert "SET some key v" in text
    assert "+OK" in text
    assert "+KO" in text


def test_a_difference_in_a_script_fails(fakes: Both) -> None:
    """Scripts and raw bytes are compared as well."""
    with pytest.raises(MismatchError):
        fakes.script("GET k")
    fakes.client().send(b"PING\r\n")
    with pytest.raises(MismatchError):
        fakes.client().compare("PING")


@pytest.mark.parametrize(("tier", "name"), [("map", "read_only"), ("disk", "disk")])
def test_data_are_in_the_tier_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tier: str, name: str
) -> None:
    """What was written, and what a read has brought back into memory."""
    monkeypatch.setenv(TIER_VARIABLE, tier)
    server = subject_server("reactors")
    server.start()
    try:
        client = server.client()
        for command in (("SET", "k", "v"), ("GET", "k")):
            client.command(*command)
            server.demote()
            where = client.command("OBJECT", "TIER", "k").node.pairs()
            assert where[b"tier"].text == name
        client.close()
    finally:
        server.stop()


def test_another_tier_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is not known must not run the suite in memory."""
    monkeypatch.setenv(TIER_VARIABLE, "cellar")

    with pytest.raises(AssertionError, match="cellar"):
        subject_server("reactors")


def test_no_server_outlives_the_tests(tmp_path: Path) -> None:
    """A test that failed has not ended its own."""
    code = (
        "import sys; from pathlib import Path; from tests.support.process import Process;"
        " print(Process(Path(sys.argv[1])).process.pid)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert (tmp_path / "server.log").exists()
    assert not Path(f"/proc/{int(ended.stdout)}").exists()


SHELL = {
    "OTEL_SDK_DISABLED": "true",
    "FERRITE_SERVER_PORT": "1",
    "GRPC_VERBOSITY": "INFO",
    "REQUESTS_CA_BUNDLE": "/nowhere",
    "SSL_CERT_FILE": "/nowhere",
}
"""Variables that a developer may well have, and that would change what tests see."""


def test_servers_of_the_tests_do_not_get_the_shells_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that a test gives are the only ones."""
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)

    found = environment({"GRPC_TRACE": "all"})

    assert SHELL.keys().isdisjoint(found)
    assert found["GRPC_TRACE"] == "all"


def test_tests_do_not_get_the_shells_variables() -> None:
    """Such as those about the configuration, which would find telemetry switched off."""
    chosen = "tests/support/test_support.py::test_none_of_the_shells_variables_is_left"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", chosen],
        cwd=ROOT,
        env={**os.environ, **SHELL},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_none_of_the_shells_variables_is_left() -> None:
    """What the test above runs with all of them set."""
    assert SHELL.keys().isdisjoint(os.environ)
