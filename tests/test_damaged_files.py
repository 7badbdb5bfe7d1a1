"""Segment files that are lost, or cut off: what a running server tells of them, and a start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.process import run_to_end
from tests.support.starts import Start, starting
from tests.support.waiting import until

COUNT = 400
VALUE = "x" * 1000
SETTINGS = (
    "storage.segment_size=64kb",
    "storage.read_cache_size=128kb",
    "server.enable_debug_command=yes",
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers over the data folder, which are ended by force after the test."""
    with starting(tmp_path, tmp_path / "data", SETTINGS) as make:
        yield make


def segments(folder: Path) -> list[Path]:
    """Its files, the oldest first."""
    return sorted((folder / "data" / "log").glob("*.seg"))


def load(client: RawClient) -> None:
    """All keys, on disk alone."""
    replies = client.pipeline([("SET", f"key:{n}", VALUE + str(n)) for n in range(COUNT)])
    assert {reply.raw for reply in replies} == {b"+OK\r\n"}
    assert client.command("DEBUG", "TIER", "DISK").raw == b"+OK\r\n"
    assert client.command("DEBUG", "TIER", "TRIM").raw == b"+OK\r\n"


def unreadable(client: RawClient) -> set[int]:
    """The keys that answer an error; all others have their values."""
    replies = client.pipeline([("GET", f"key:{n}") for n in range(COUNT)])
    lost = {n for n, reply in enumerate(replies) if reply.raw.startswith(b"-IOERR")}
    for n, reply in enumerate(replies):
        assert n in lost or reply.node.text == VALUE + str(n)
    return lost


def damaged(client: RawClient) -> int:
    """What INFO says of damaged files."""
    text = client.command("INFO", "hybridlog").node.text
    (line,) = [line for line in text.splitlines() if line.startswith("damaged_segments:")]
    return int(line.split(":")[1])


def test_a_file_that_is_cut_off_counts_as_damaged(start: Start, tmp_path: Path) -> None:
    """Its keys answer errors, it is counted, and the order to give damage up says it is left."""
    server = start()
    with server.client() as client:
        load(client)
        file = segments(tmp_path)[1]
        os.truncate(file, 8192)

        lost = unreadable(client)

        assert 10 < len(lost) < 100
        assert damaged(client) == 1
        until(lambda: file.name in server.log(), "the log names the file")
        assert client.command("TIER", "FORGET").raw == b"+OK, 1 damaged files are left\r\n"
        assert unreadable(client) == lost
    server.stop()


def test_a_start_with_damaged_files(start: Start, tmp_path: Path) -> None:
    """It is refused, and nothing changed, unless the others are to be served."""
    server = start()
    with server.client() as client:
        load(client)
    server.stop()
    files = segments(tmp_path)
    os.truncate(files[1], 8192)
    files[2].unlink()
    content = bytearray(files[3].read_bytes())
    content[-20] ^= 1
    files[3].write_bytes(content)
    before = {file.name: file.stat().st_size for file in segments(tmp_path)}

    given = (f"storage.data_dir={tmp_path / 'data'}", *SETTINGS)
    ended = run_to_end(*(word for one in given for word in ("--set", one)))
    said = ended.stdout + ended.stderr

    assert ended.returncode == 1
    assert f"log/{files[1].name}: byte 8192" in said
    assert 'storage.damaged_files = "serve"' in said
    assert {file.name: file.stat().st_size for file in segments(tmp_path)} == before

    server = start("storage.damaged_files=serve")
    with server.client() as client:
        assert client.command("DBSIZE").node.integer == COUNT
        assert damaged(client) == 3
        lost = unreadable(client)
        assert 50 < len(lost) < 130  # of the third file all can be read: only its end is damaged
        names = [file.name for file in files[1:4]]
        until(lambda: all(name in server.log() for name in names), "the log names each file")
        written = min(lost)
        client.command("SET", f"key:{written}", VALUE + str(written))
        assert unreadable(client) == lost - {written}
    server.stop()

    server = start("storage.damaged_files=serve")
    with server.client() as client:
        assert unreadable(client) == lost - {written}
        client.command("DEL", f"key:{max(lost)}")
        assert client.command("GET", f"key:{max(lost)}").node.null
        for n in lost:
            client.command("SET", f"key:{n}", VALUE + str(n))
        assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"
        assert unreadable(client) == set()
    server.stop()
