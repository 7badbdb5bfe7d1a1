"""A server with a data folder: its files, who may use it, what is said when it cannot be used."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ferrite_py._native import Server, Stream
from ferrite_py.config import Config, with_values
from ferrite_py.services import engine_options
from tests.support.resp import encode

MUTABLE_BYTES = 1 << 20
VALUE = "x" * 10_000


def options(folder: Path) -> dict[str, Any]:
    """Of an engine with little memory over the folder."""
    values: dict[str, object] = {
        "storage.data_dir": str(folder),
        "storage.hybridlog_mutable_size": MUTABLE_BYTES,
        "storage.segment_size": 64 << 10,
    }
    return engine_options(with_values(Config(), values))


def write(server: Server, count: int) -> Stream:
    """A connection that has set `count` keys."""
    stream = Stream(server, "127.0.0.1:1", "127.0.0.1:2", False, -1)
    for number in range(count):
        assert stream.feed(encode("SET", f"key:{number}", VALUE), 0) == b"+OK\r\n"
    return stream


def files(folder: Path) -> list[Path]:
    """The segment files of a data folder."""
    return list((folder / "log").glob("*.seg"))


def test_what_is_beyond_the_mutable_size_goes_to_files(tmp_path: Path) -> None:
    """They appear while the server runs; all values can be read; data that are discarded go."""
    folder = tmp_path / "data"
    server = Server(options(folder))
    server.start_workers()
    count = MUTABLE_BYTES // len(VALUE) + 10

    stream = write(server, count)
    deadline = time.monotonic() + 20
    while not files(folder) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert files(folder)
    for number in range(count):
        reply = stream.feed(encode("GET", f"key:{number}"), 0)
        assert reply == b"$%d\r\n%s\r\n" % (len(VALUE), VALUE.encode())
    assert server.check() is None
    stream.close()
    server.discard()
    server.close()
    assert files(folder) == []


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """In one line that names the folder; the server that has it goes on."""
    first = Server(options(tmp_path / "data"))

    with pytest.raises(OSError, match="data") as raised:
        Server(options(tmp_path / "data"))

    assert "\n" not in str(raised.value)
    assert str(tmp_path / "data") in str(raised.value)
    first.close()
    Server(options(tmp_path / "data")).close()


def test_options_change_while_the_folder_stays(tmp_path: Path) -> None:
    """Budgets are taken over; the folder that was opened stays in use."""
    server = Server(options(tmp_path / "data"))

    server.set_options(options(tmp_path / "data") | {"mutable_size": 2 * MUTABLE_BYTES})
    server.set_options(options(tmp_path / "other"))

    assert not (tmp_path / "other").exists()
    with pytest.raises(OSError, match="data"):
        Server(options(tmp_path / "data"))
    server.close()


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """As an option, before anything is opened."""
    with pytest.raises(ValueError, match="data_dir"):
        Server(options(tmp_path) | {"data_dir": b"x" * 2000})
