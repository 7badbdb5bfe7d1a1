"""A disk that does not take the data at a stop: the server goes on, and nothing is lost."""

from __future__ import annotations

import re
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferrite_py.keep import INSIST_SECONDS
from tests.support.process import DEADLINE_S, Process
from tests.support.starts import Start, starting

KEYS = 100
VALUE = "x" * 500
REFUSED = b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
GOES_ON = "the data cannot be saved, so the server goes on: "
SETTINGS = (
    "storage.segment_size=64kb",
    "storage.hybridlog_mutable_size=512kb",
    "server.enable_debug_command=yes",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder."""
    return tmp_path / "data"


@pytest.fixture
def start(tmp_path: Path, folder: Path) -> Iterator[Start]:
    """Starts servers over the data folder, which are ended by force after the test."""
    with starting(tmp_path, folder, SETTINGS) as make:
        yield make


def refuse(server: Process, size: int = 1024) -> None:
    """The kernel refuses what is behind this many bytes of a file of the server."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def heal(server: Process) -> None:
    """The kernel takes everything again."""
    refuse(server, resource.RLIM_INFINITY)


def load(server: Process) -> None:
    """Set some keys, which stay in memory."""
    with server.client() as client:
        for number in range(KEYS):
            assert client.command("SET", f"key:{number}", f"{VALUE}{number}").raw == b"+OK\r\n"


def assert_served(server: Process) -> None:
    """It reads and writes, over a new connection."""
    with server.client() as client:
        for number in range(KEYS):
            assert client.command("GET", f"key:{number}").node.text == f"{VALUE}{number}"
        assert client.command("SET", "written", "while it goes on").raw == b"+OK\r\n"
        assert client.command("DEL", "written").raw == b":1\r\n"
        assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"


def until_logged(server: Process, text: str, count: int = 1) -> None:
    """Wait for a line of the log."""
    deadline = time.monotonic() + DEADLINE_S
    while server.log().count(text) < count:
        assert time.monotonic() < deadline, server.log()
        assert server.process.poll() is None, server.log()
        time.sleep(0.02)


def assert_saved(start: Start, folder: Path) -> None:
    """The next server has everything."""
    assert (folder / "manifest").exists()
    server = start()
    assert "loaded" in server.log()
    assert_served(server)
    server.stop()


@pytest.mark.parametrize("words", [("SHUTDOWN",), ("SHUTDOWN", "SAVE"), ("SHUTDOWN", "NOW")])
@pytest.mark.parametrize("transport", ["reactors", "streams"])
def test_shutdown_is_refused_and_the_server_goes_on(
    start: Start, folder: Path, words: tuple[str, ...], transport: str
) -> None:
    """As Redis answers; who else is connected notices nothing."""
    server = start(f"server.transport={transport}")
    load(server)
    with server.client() as other, server.client() as client:
        refuse(server)
        assert client.command(*words).raw == REFUSED
        assert other.command("GET", "key:7").node.text == f"{VALUE}7"
        assert re.search(f"{GOES_ON}.*seg: cannot be written: File too large", server.log())
        assert_served(server)
        heal(server)
        assert client.command(*words).raw == b""
    assert server.wait() == 0, server.log()
    assert_saved(start, folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_does_not_cost_the_data(
    start: Start, folder: Path, number: signal.Signals
) -> None:
    """The server goes on, says so in the log, and ends by the next signal when there is room."""
    server = start()
    load(server)
    refuse(server)
    server.signal(number)
    until_logged(server, GOES_ON)
    assert "SHUTDOWN FORCE, or two signals within 10 s, give the data up" in server.log()
    assert_served(server)
    heal(server)
    server.signal(number)
    assert server.wait() == 0, server.log()
    assert_saved(start, folder)


def test_a_second_signal_gives_the_data_up(start: Start) -> None:
    """A supervisor, or a person at the keyboard, has the last word."""
    server = start()
    load(server)
    refuse(server)
    server.signal(signal.SIGTERM)
    until_logged(server, GOES_ON)
    server.signal(signal.SIGTERM)
    assert server.wait() == 1
    assert "the data were not saved and are lost to the next start: " in server.log()


def test_a_signal_after_a_shutdown_is_the_first(start: Start, folder: Path) -> None:
    """Scripts send a signal when SHUTDOWN has not helped: that does not give the data up."""
    server = start()
    load(server)
    refuse(server)
    with server.client() as client:
        assert client.command("SHUTDOWN").raw == REFUSED
    server.signal(signal.SIGTERM)
    until_logged(server, GOES_ON, 2)
    assert_served(server)
    heal(server)
    server.stop()
    assert_saved(start, folder)


def test_signals_far_apart_are_attempts(start: Start, tmp_path: Path, folder: Path) -> None:
    """Only a signal soon after a failure insists."""
    work = tmp_path / "patient"
    work.mkdir()
    code = (
        "import ferrite_py.server as server\n"
        f"assert server.INSIST_SECONDS == {INSIST_SECONDS}\n"
        "server.INSIST_SECONDS = 0\n"
        "from ferrite_py.cli import main\n"
        "raise SystemExit(main())"
    )
    server = Process(work, f"storage.data_dir={folder}", *SETTINGS, code=code)
    try:
        load(server)
        refuse(server)
        for attempt in (1, 2, 3):
            server.signal(signal.SIGTERM)
            until_logged(server, GOES_ON, attempt)
        assert_served(server)
        heal(server)
        server.stop()
    finally:
        server.kill()
    assert_saved(start, folder)


def test_nosave_and_force_end_it_all_the_same(start: Start, folder: Path) -> None:
    """Without the data."""
    server = start()
    load(server)
    refuse(server)
    with server.client() as client:
        assert client.command("SHUTDOWN", "FORCE").raw == b""
    assert server.wait() == 1
    assert "the data were not saved" in server.log()
    server = start()
    load(server)
    refuse(server)
    with server.client() as client:
        assert client.command("SHUTDOWN").raw == REFUSED
        assert client.command("SHUTDOWN", "NOSAVE").raw == b""
    assert server.wait() == 0, server.log()
    assert list((folder / "log").iterdir()) == []


def test_a_save_that_fails_at_the_end_is_tried_again(start: Start, folder: Path) -> None:
    """What the disk refuses only after clients were sent away is waited for, for a while."""
    server = start()
    load(server)
    (folder / "manifest.new").unlink()
    (folder / "manifest.new").mkdir()
    server.signal(signal.SIGTERM)
    until_logged(server, "the data cannot be saved, trying for 10 s: ")
    (folder / "manifest.new").rmdir()
    assert server.wait() == 0, server.log()
    assert_saved(start, folder)


def test_a_signal_ends_the_waiting(start: Start, folder: Path) -> None:
    """Nobody waits for a disk that was given up."""
    server = start("server.shutdown_timeout=3600")
    load(server)
    (folder / "manifest.new").unlink()
    (folder / "manifest.new").mkdir()
    server.signal(signal.SIGTERM)
    until_logged(server, "the data cannot be saved, trying for 3600 s: ")
    server.signal(signal.SIGTERM)
    assert server.wait() == 1
    assert "giving them up" in server.log()


def test_max_disk_does_not_keep_a_server_from_stopping(start: Start, folder: Path) -> None:
    """What is in memory goes to the disk at a stop, past the bound."""
    server = start("storage.max_disk=64kb")
    load(server)
    with server.client() as client:
        assert client.command("SHUTDOWN", "SAVE").raw == b""
    assert server.wait() == 0, server.log()
    assert_saved(start, folder)
