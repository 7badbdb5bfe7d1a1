"""The same server over a unix socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.servers import Server, reference_server, subject_server

COMMANDS = (
    ("PING",), ("SET", "k", "v"), ("GET", "k"), ("NOSUCH", "a"),
    ("MULTI",), ("INCR", "n"), ("EXEC",), ("CLIENT", "KILL", "nobody:0"), ("QUIT",),
)  # fmt: skip


@pytest.fixture
def sockets(subject: Server) -> Iterator[tuple[str, str]]:
    """Paths of the unix sockets of a reference and of a subject, both started for this test."""
    if subject.is_foreign:
        pytest.skip("a server that somebody else runs was chosen as the subject")
    transport = "streams" if "streams" in subject.name else "reactors"
    with tempfile.TemporaryDirectory(prefix="ferrite-sock-") as folder:
        servers = (reference_server(), subject_server(transport))
        paths = [str(Path(folder) / name) for name in ("reference.sock", "subject.sock")]
        try:
            for server, path in zip(servers, paths, strict=True):
                server.listen_on_unix_socket(path)
                server.start()
            yield paths[0], paths[1]
        finally:
            for server in servers:
                server.stop()


def test_same_replies_over_a_unix_socket(sockets: tuple[str, str]) -> None:
    """Requests and replies are the same bytes; only ports and addresses differ."""
    answers = []
    for path in sockets:
        with RawClient(path) as client:
            found = [client.command(*command).raw for command in COMMANDS]
            found.append(client.read_to_end())
            answers.append(found)

    assert answers[0] == answers[1]


def test_client_list_shows_the_socket(sockets: tuple[str, str]) -> None:
    """The address of a client is the socket's path, flagged U."""
    for path in sockets:
        with RawClient(path) as client:
            line = client.command("CLIENT", "INFO").node.text
        fields = dict(word.split("=", 1) for word in line.split())
        assert fields["addr"] == f"{path}:0"
        assert fields["laddr"] == f"{path}:0"
        assert fields["flags"] == "U"
