"""A server that takes long to read its data: what it answers, and what ends it."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.process import Process
from tests.support.servers import free_port
from tests.support.waiting import until
from tests.telemetry.page import ask, page_of
from tests.test_ready import ready

CODE = """
import sys
import ferrite_py.server as server
from ferrite_py.__main__ import main
opened = server.Server
def slow(options):
    with open({gate!r}) as gate:
        if gate.read():
            raise OSError("the folder is broken")
    return opened(options)
server.Server = slow
sys.exit(main())
"""


class Slow:
    """A server whose engine opens when it is let."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.metrics = free_port()
        self._gate = folder / "gate"
        os.mkfifo(self._gate)
        self.process = Process(
            folder,
            f"storage.data_dir={folder / 'data'}",
            f"metrics.port={self.metrics}",
            *settings,
            code=CODE.format(gate=str(self._gate)),
            is_awaited=False,
        )

    def let(self, text: str = "") -> None:
        """Let it open; with a text the engine fails."""
        self._gate.write_text(text, encoding="utf-8")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    """One over the data of an earlier server, and that answers how it stands."""
    earlier = Process(tmp_path, f"storage.data_dir={tmp_path / 'data'}")
    with earlier.client() as client:
        client.command("SET", "key", "value")
    earlier.stop()
    (tmp_path / "notify").unlink()
    made = Slow(tmp_path)
    try:
        until(lambda: ready(made.metrics) == ["loading"], "it is loading")
        yield made
    finally:
        made.process.kill()


def value_of(client: RawClient) -> bytes:
    """What the earlier server was told."""
    return client.command("GET", "key").raw


def test_how_it_stands_is_told_while_it_loads(slow: Slow, tmp_path: Path) -> None:
    """Alive, not ready, on a page without the engine; then all of it, and only then systemd."""
    assert ask(slow.metrics, "/health").json == {"status": "ok"}
    page = page_of(slow.metrics)
    assert page.value("process_resident_memory_bytes") > 0
    assert "ferrite_memory_used" not in page.types
    with pytest.raises(ConnectionRefusedError):
        slow.process.client()

    slow.process.wait_for_notice(f"STATUS=reading {tmp_path / 'data'}")
    assert select.select([slow.process._notices], [], [], 0)[0] == []  # nothing of READY=1

    slow.let()
    slow.process.wait_for_notice("READY=1")
    assert ready(slow.metrics) == []
    assert page_of(slow.metrics).value("ferrite_keys_total", db="0") == 1
    with slow.process.client() as client:
        assert value_of(client) == b"$5\r\nvalue\r\n"
    slow.process.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(slow: Slow, number: signal.Signals, tmp_path: Path) -> None:
    """Nothing was changed by then, and the next server has the data."""
    slow.process.signal(number)

    assert slow.process.wait() == 0, slow.process.log()
    assert f"received {number.name} before the server was ready" in slow.process.log()
    (tmp_path / "notify").unlink()
    later = Process(tmp_path, f"storage.data_dir={tmp_path / 'data'}")
    with later.client() as client:
        assert value_of(client) == b"$5\r\nvalue\r\n"
    later.stop()


def test_sighup_waits_for_nothing(slow: Slow) -> None:
    """It is told that the configuration was not read, and the start goes on."""
    slow.process.signal(signal.SIGHUP)
    until(lambda: "SIGHUP while the data are being read" in slow.process.log(), "it is told")

    slow.let()
    slow.process.wait_for_notice("READY=1")
    slow.process.signal(signal.SIGHUP)
    slow.process.wait_for_notice("RELOADING=1")
    slow.process.wait_for_notice("READY=1")
    slow.process.stop()


def test_an_engine_that_does_not_open_ends_the_start(slow: Slow) -> None:
    """One line, status 1, though the page has been answered."""
    slow.let("broken")

    assert slow.process.wait() == 1
    [*_, last] = slow.process.log().splitlines()
    assert last == "ferrite-py: cannot open the engine: the folder is broken"
    assert "Traceback" not in slow.process.log()


def test_a_port_that_is_taken_meanwhile_ends_the_start(slow: Slow, tmp_path: Path) -> None:
    """The same; the data are left as they were."""
    with socket.create_server(("127.0.0.1", slow.process.port)):
        slow.let()
        assert slow.process.wait() == 1
    [*_, last] = slow.process.log().splitlines()
    assert f"cannot listen on 127.0.0.1:{slow.process.port}: Address already in use" in last
    assert "Traceback" not in slow.process.log()
    assert (tmp_path / "data" / "manifest").exists()
