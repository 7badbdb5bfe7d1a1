"""A server with a data folder over its life: stops, starts, kills, and damaged folders."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.process import DEADLINE_S, Process, run_to_end
from tests.support.resp import encode
from tests.support.servers import free_port
from tests.support.starts import Start, starting

SEGMENT = 64 << 10
SMALL = (
    f"storage.segment_size={SEGMENT}",
    "storage.hybridlog_mutable_size=512kb",
    "storage.hybridlog_readonly_size=256kb",
    "storage.read_cache_size=256kb",
)
COUNT = 6000
BATCH = 500
RESERVED = {"index-1.new", "manifest.new"}
"""Room that the disk has given for the next save."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder."""
    return tmp_path / "data"


@pytest.fixture
def start(tmp_path: Path, folder: Path) -> Iterator[Start]:
    """Starts servers over the data folder, which are ended by force after the test."""
    with starting(tmp_path, folder, SMALL) as make:
        yield make


def value(number: int) -> bytes:
    """The value of a key; of several sizes, 210 bytes in the mean."""
    return (b"%d:" % number) * (1 + number % 73)


def load(server: Process, count: int = COUNT, first: int = 0, db: int = 0) -> None:
    """Set keys in pipelines."""
    with server.client() as client:
        client.command("SELECT", str(db))
        for begin in range(first, first + count, BATCH):
            numbers = range(begin, min(begin + BATCH, first + count))
            client.socket.sendall(b"".join(encode("SET", f"key:{n}", value(n)) for n in numbers))
            for _ in numbers:
                assert client.read().raw == b"+OK\r\n"


def assert_loaded(server: Process, count: int = COUNT, first: int = 0, db: int = 0) -> None:
    """Every key has its value."""
    with server.client() as client:
        client.command("SELECT", str(db))
        for begin in range(first, first + count, BATCH):
            numbers = range(begin, min(begin + BATCH, first + count))
            client.socket.sendall(b"".join(encode("GET", f"key:{n}") for n in numbers))
            for n in numbers:
                expected = value(n)
                assert client.read().raw == b"$%d\r\n%s\r\n" % (len(expected), expected)


def number(client: RawClient, *words: str) -> int:
    """The integer that a command answers."""
    reply = client.command(*words).raw
    assert reply.startswith(b":"), reply
    return int(reply[1:])


def size(server: Process, db: int = 0) -> int:
    """How many keys a database has."""
    with server.client() as client:
        client.command("SELECT", str(db))
        return number(client, "DBSIZE")


def names(folder: Path) -> set[str]:
    """What is in the data folder, without the lock."""
    return {entry.name for entry in folder.iterdir()} - {"LOCK"}


def stop(server: Process) -> None:
    """A clean stop."""
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.log()


def test_all_data_survive_a_stop(start: Start, folder: Path) -> None:
    """Values, counts and databases are the same; the log tells how many keys and how long."""
    server = start()
    load(server)
    load(server, 100, db=3)
    stop(server)
    assert re.search(r"saved 6100 keys, [0-9.]+ MiB in \d+ segments in [0-9.]+ s", server.log())
    assert names(folder) == {"log", "index-1", "manifest"}

    server = start()
    assert re.search(r"loaded 6100 keys, .* in [0-9.]+ s, saved 20", server.log())
    assert names(folder) == {"log"} | RESERVED
    assert size(server) == COUNT
    assert_loaded(server)
    assert_loaded(server, 100, db=3)
    with server.client() as client:
        info = client.command("INFO", "persistence").raw.decode()
    assert "data_found:loaded\r\n" in info
    assert "data_found_keys:6100\r\n" in info
    stop(server)


def test_life_goes_on_after_a_start(start: Start) -> None:
    """Old keys are overwritten and deleted, new ones come, over several stops."""
    server = start()
    load(server)
    stop(server)
    for life in range(3):
        server = start()
        load(server, 300, first=COUNT + life * 300)
        with server.client() as client:
            for n in range(life * 100, life * 100 + 100):
                assert number(client, "DEL", f"key:{n}") == 1
            assert client.command("SET", f"key:{5000 + life}", "new").raw == b"+OK\r\n"
        stop(server)
    server = start()
    assert size(server) == COUNT + 900 - 300
    assert_loaded(server, 4700, first=300)
    assert_loaded(server, 900, first=COUNT)
    with server.client() as client:
        assert client.command("GET", "key:5001").raw == b"$3\r\nnew\r\n"
        assert client.command("GET", "key:50").raw == b"$-1\r\n"
    stop(server)


def test_swapped_and_flushed_databases_stay_so(start: Start) -> None:
    """SWAPDB and FLUSHDB before the stop count after it."""
    server = start()
    load(server, 1000)
    load(server, 500, first=5000, db=1)
    load(server, 800, first=7000, db=2)
    with server.client() as client:
        assert client.command("SWAPDB", "0", "1").raw == b"+OK\r\n"
        client.command("SELECT", "2")
        assert client.command("FLUSHDB").raw == b"+OK\r\n"
    stop(server)
    server = start()
    assert [size(server, db) for db in range(4)] == [500, 1000, 0, 0]
    assert_loaded(server, 500, first=5000, db=0)
    assert_loaded(server, 1000, db=1)
    stop(server)


def test_deadlines_count_while_the_server_is_down(start: Start) -> None:
    """A key that would have expired is gone; others keep their deadline."""
    server = start()
    load(server)
    with server.client() as client:
        short = int(time.time() * 1000) + 1500
        client.command("SET", "short", "x", "PXAT", str(short))
        client.command("SET", "long", "x", "EXAT", "4000000000")
    stop(server)
    time.sleep(max(0.0, short / 1000 - time.time()) + 0.01)
    server = start()
    with server.client() as client:
        assert client.command("GET", "short").raw == b"$-1\r\n"
        assert client.command("EXPIRETIME", "long").raw == b":4000000000\r\n"
        assert client.command("GET", "long").raw == b"$1\r\nx\r\n"
        assert client.command("TTL", "key:7").raw == b":-1\r\n"
    stop(server)


def test_what_was_killed_is_set_aside(start: Start, folder: Path) -> None:
    """The server says so, and starts empty; the old segments are there for whoever needs them."""
    server = start()
    load(server)
    deadline = time.monotonic() + DEADLINE_S
    while not list((folder / "log").glob("*.seg")) and time.monotonic() < deadline:
        time.sleep(0.01)
    server.kill()
    files = len(list((folder / "log").glob("*.seg")))
    assert files > 0

    server = start()
    aside = [name for name in names(folder) if name.startswith("log.unclean-")]
    assert len(aside) == 1
    assert len(list((folder / aside[0]).glob("*.seg"))) == files
    expected = (
        f"did not stop cleanly: its {files} segment files are set aside in {folder}/{aside[0]}"
    )
    assert expected in server.log()
    assert "1 folders log.unclean-*, which" in server.log()
    assert size(server) == 0
    with server.client() as client:
        assert (
            f"data_set_aside:{aside[0]}\r\n" in client.command("INFO", "persistence").raw.decode()
        )
    load(server, 100)
    stop(server)
    server = start()
    assert size(server) == 100
    assert "1 folders log.unclean-*, which" in server.log()
    stop(server)


def test_a_kill_after_a_loaded_start_is_unclean_too(start: Start, folder: Path) -> None:
    """What was saved before says nothing any more once the server has begun."""
    server = start()
    load(server, 1000)
    stop(server)
    server = start()
    assert size(server) == 1000
    server.kill()
    server = start()
    assert size(server) == 0
    assert "did not stop cleanly" in server.log()
    assert len(names(folder) - RESERVED) == 2
    stop(server)


def refusal(folder: Path) -> str:
    """What a server says that cannot start over the folder."""
    arguments = ["--bind", "127.0.0.1", "--port", str(free_port())]
    arguments += ["--set", f"storage.data_dir={folder}"]
    done = run_to_end(*arguments)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    return said


def test_one_folder_has_one_server(start: Start, folder: Path) -> None:
    """The second one says who has it, and harms nothing."""
    server = start()
    load(server, 1000)
    assert str(folder) in refusal(folder)
    assert size(server) == 1000
    stop(server)
    server = start()
    assert size(server) == 1000
    stop(server)


def test_damage_stops_the_start_and_loses_nothing(start: Start, folder: Path) -> None:
    """File, place, cause and what can be done are named; put right, all is there."""
    server = start()
    load(server, 1000)
    stop(server)
    index = folder / "index-1"
    whole = index.read_bytes()
    index.write_bytes(whole[:200] + b"?" + whole[201:])
    said = refusal(folder)
    assert f"{folder}/index-1: byte 128: a wrong checksum" in said
    assert "remove the file manifest" in said
    index.write_bytes(whole)

    manifest = folder / "manifest"
    text = manifest.read_text()
    manifest.write_text(text.replace("manifest 1", "manifest 2"))
    assert "newer version" in refusal(folder)
    manifest.write_text(text)

    segment = next((folder / "log").glob("*.seg"))
    content = segment.read_bytes()
    segment.unlink()
    assert f"{folder}/log/{segment.name}: " in refusal(folder)
    segment.write_bytes(content)

    server = start()
    assert size(server) == 1000
    assert_loaded(server, 1000)
    stop(server)


def test_the_advice_of_a_refusal_works(start: Start, folder: Path) -> None:
    """Without its manifest a damaged folder is set aside."""
    server = start()
    load(server, 1000)
    stop(server)
    (folder / "manifest").unlink()
    server = start()
    assert size(server) == 0
    assert any(name.startswith("log.unclean-") for name in names(folder))
    stop(server)


def test_a_start_that_fails_later_loses_nothing(start: Start, folder: Path) -> None:
    """The folder was loaded, and then the port is taken."""
    server = start()
    load(server, 1000)
    stop(server)
    with RawListener() as port:
        arguments = ["--bind", "127.0.0.1", "--port", str(port)]
        arguments += ["--set", f"storage.data_dir={folder}"]
        assert run_to_end(*arguments).returncode != 0
    server = start()
    assert size(server) == 1000
    stop(server)


def test_shutdown_saves_unless_told_not_to(start: Start, folder: Path) -> None:
    """SHUTDOWN and SHUTDOWN SAVE keep the data, SHUTDOWN NOSAVE empties the folder."""
    for words in (("SHUTDOWN",), ("SHUTDOWN", "SAVE"), ("SHUTDOWN", "NOSAVE")):
        server = start()
        expected = 0 if words == ("SHUTDOWN",) else 1000
        assert size(server) == expected
        load(server, 1000)
        with server.client() as client:
            assert client.command(*words).raw == b""
        assert server.wait() == 0, server.log()
    assert names(folder) == {"log"}
    assert list((folder / "log").iterdir()) == []
    server = start()
    assert size(server) == 0
    assert "unclean" not in server.log()
    stop(server)


def test_a_save_that_fails_is_told_by_log_and_status(start: Start, folder: Path) -> None:
    """The data are lost to the next start, which says so."""
    server = start("server.shutdown_timeout=1")
    load(server, 1000)
    (folder / "index-1.new").unlink()
    (folder / "index-1.new").mkdir()
    server.signal(signal.SIGTERM)
    assert server.wait() == 1
    assert "the data were not saved" in server.log()
    assert f"{folder}/index-1: cannot be written: " in server.log()
    (folder / "index-1.new").rmdir()
    server = start()
    assert "did not stop cleanly" in server.log()
    stop(server)


class RawListener:
    """A port that is taken."""

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._socket.close()
