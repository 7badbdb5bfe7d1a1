"""What the queues of the event bus leave of a small server's memory."""

from __future__ import annotations

from tests.support.info import info
from tests.telemetry.tracing import Start

LEFT_FOR_DATA = 'storage.max_memory ({} MiB), all of it: every write will be refused; "auto" is'


def test_a_small_server_serves_though_it_is_traced(start: Start) -> None:
    """The queues take a sixteenth of its memory, and the log says so."""
    server = start("storage.max_memory=16mb", "server.io_threads=4")

    client = server.client()

    assert client.command("SET", "a", "x").raw == b"+OK\r\n"
    assert int(info(client, "memory")["used_memory"]) < 8 << 20
    assert "take 1 MiB of storage.max_memory (16 MiB): 1024 commands for each" in server.log()


def test_queues_that_take_all_memory_are_warned_of(start: Start) -> None:
    """Whoever asks for them is told at the start, before the first write is refused."""
    server = start("storage.max_memory=16mb", event_bus_queue_size="65536")

    client = server.client()

    assert client.command("SET", "a", "x").raw.startswith(b"-OOM")
    assert LEFT_FOR_DATA.format(16) in server.log()


def test_a_limit_that_comes_later_is_warned_of(start: Start) -> None:
    """Queues keep the size that they have been made with."""
    server = start()
    client = server.client()

    client.command("CONFIG", "SET", "maxmemory", "64mb")
    assert "buffers and tables" not in server.log()
    client.command("CONFIG", "SET", "maxmemory", "17mb")

    assert "storage.max_memory is 17 MiB, but buffers and tables take" in server.log()
