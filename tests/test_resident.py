"""Memory that the server gives back to the system."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.process import Process

CLIENTS = 800
PART = b"*2\r\n$4\r\nECHO\r\n$400000\r\n" + b"x" * 60000
"""A request without its end, which the server has to keep."""
MIB = 1 << 20


def resident(process: Process) -> int:
    """Bytes that the process has in memory."""
    text = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def wait_for(process: Process, low: int, high: int) -> None:
    """Until the resident memory is between the two."""
    deadline = time.monotonic() + 30
    while not low <= resident(process) < high:
        assert time.monotonic() < deadline, (low, resident(process), high)
        time.sleep(0.05)


def test_buffers_of_clients_that_have_gone(tmp_path: Path) -> None:
    """Thousands of unfinished requests leave nothing behind but what the last client still uses."""
    process = Process(tmp_path, "metrics.enabled=no", "server.max_connections=2000")
    try:
        with process.client() as first:
            assert first.command("PING").raw == b"+PONG\r\n"
            before = resident(process)
            clients = [process.client() for _ in range(CLIENTS)]
            for client in clients:
                client.socket.sendall(PART)
            wait_for(process, before + 32 * MIB, 1 << 40)
            with process.client() as last:
                last.socket.sendall(PART)
                assert first.command("PING").raw == b"+PONG\r\n"
                for client in clients:
                    client.close()
                wait_for(process, 0, before + 12 * MIB)
        process.stop()
    finally:
        process.kill()
