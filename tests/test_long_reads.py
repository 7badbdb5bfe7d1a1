"""Commands over many long values that are on disk: the process stays in its memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.process import Process

MIB = 1 << 20
LIMIT = 64 * MIB
COUNT = 24
LENGTH = 10 * MIB
NAMES = [f"long:{number}" for number in range(COUNT)]
VALUE = bytes(range(256)) * (LENGTH // 256)

MOST = LIMIT + LIMIT // 10 + LENGTH
"""What the process may have in memory; all values together are four times as much."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server with little memory and COUNT long values."""
    folder = tmp_path_factory.mktemp("long")
    started = Process(
        folder,
        "metrics.enabled=no",
        "server.enable_debug_command=yes",
        "storage.max_memory=64mb",
        "storage.segment_size=64kb",
        f"storage.data_dir={folder / 'data'}",
    )
    try:
        with started.client() as client:
            for name in NAMES:
                assert client.command("SET", name, VALUE).raw == b"+OK\r\n"
        yield started
        started.stop()
    finally:
        started.kill()


def send_down(process: Process, client: RawClient) -> None:
    """All values leave memory, and the most that the process has had is counted anew."""
    assert client.command("DEBUG", "TIER", "DISK").raw == b"+OK\r\n"
    assert client.command("DEBUG", "TIER", "TRIM").raw == b"+OK\r\n"
    Path(f"/proc/{process.process.pid}/clear_refs").write_text("5", encoding="ascii")


def most(process: Process) -> int:
    """Bytes that the process has had in memory at most, by the kernel's count."""
    text = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("EXISTS",), b":1\r\n"),
        (("STRLEN",), b":%d\r\n" % LENGTH),
        (("TTL",), b":-1\r\n"),
        (("GETRANGE", "1", "3"), b"$3\r\n\x01\x02\x03\r\n"),
    ],
)
def test_pipelines(process: Process, command: tuple[str, ...], answer: bytes) -> None:
    """A pipeline that names each value once."""
    with process.client() as client:
        send_down(process, client)
        replies = client.pipeline([(command[0], name, *command[1:]) for name in NAMES])
        assert [reply.raw for reply in replies] == [answer] * COUNT
        assert most(process) < MOST


def test_one_command_that_names_all(process: Process) -> None:
    """EXISTS and TOUCH."""
    with process.client() as client:
        for name in ("EXISTS", "TOUCH"):
            send_down(process, client)
            assert client.command(name, *NAMES).raw == b":%d\r\n" % COUNT
            assert most(process) < MOST


def test_walks(process: Process) -> None:
    """SCAN, KEYS and RANDOMKEY."""
    with process.client() as client:
        for walk in (("SCAN", "0", "COUNT", "1000"), ("KEYS", "*")):
            send_down(process, client)
            raw = client.command(*walk).raw
            assert all(name.encode() in raw for name in NAMES)
            assert most(process) < MOST
        send_down(process, client)
        for _ in range(COUNT):
            assert b"long:" in client.command("RANDOMKEY").raw
        assert most(process) < MOST


def test_many_connections(process: Process) -> None:
    """Each looks into another value, all at a time."""
    answers: list[bytes] = []

    def look(name: str) -> None:
        with process.client() as one:
            answers.append(one.command("BITCOUNT", name).raw)

    with process.client() as client:
        send_down(process, client)
        threads = [threading.Thread(target=look, args=(name,)) for name in NAMES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [b":%d\r\n" % (LENGTH * 4)] * COUNT
        assert most(process) < MOST


def test_values_are_whole_afterwards(process: Process) -> None:
    """A head in memory is no value."""
    with process.client() as client:
        send_down(process, client)
        assert client.command("EXISTS", *NAMES).raw == b":%d\r\n" % COUNT
        for name in NAMES:
            assert client.command("GET", name).raw == b"$%d\r\n%b\r\n" % (LENGTH, VALUE)
        assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"


def test_removal(process: Process) -> None:
    """UNLINK of all, last of these tests."""
    with process.client() as client:
        send_down(process, client)
        assert client.command("UNLINK", *NAMES).raw == b":%d\r\n" % COUNT
        assert most(process) < MOST
        assert client.command("DBSIZE").raw == b":0\r\n"
        assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"
