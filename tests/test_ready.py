"""What /ready and /health answer of a server whose disk takes no more."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

from ferrite_py.disk_watch import LOOK_SECONDS
from tests.support.info import info
from tests.support.process import Process
from tests.support.servers import free_port
from tests.support.waiting import until
from tests.telemetry.page import ask
from tests.test_disk_faults import (
    check_values,
    limit_file_size,
    set_key,
    settings,
    write_until_refused,
)


def start(folder: Path, *more: str) -> tuple[Process, int]:
    """A server with little memory over a data folder, and its port of metrics, which answers."""
    port = free_port()
    process = Process(folder, *settings(folder, f"metrics.port={port}", *more))
    until(lambda: ready(port) == [], "it is ready")
    return process, port


def ready(port: int) -> list[Any] | None:
    """The reasons that /ready tells; None while nothing listens."""
    try:
        answer = ask(port, "/ready")
    except OSError:
        return None
    reasons = [one["reason"] for one in answer.json["reasons"]]
    assert (answer.status, answer.json["ready"]) == ((503, False) if reasons else (200, True))
    return reasons


def test_full_files(tmp_path: Path) -> None:
    """At max_disk, without eviction, writes are refused: not ready, but healthy."""
    process, port = start(tmp_path, "storage.max_disk=512kb")
    try:
        with process.client() as client:
            count, refusal = write_until_refused(client)

            assert refusal.startswith(b"-OOM")
            until(lambda: ready(port) == ["disk_full"], "it is not ready")
            assert ask(port, "/health").status == 200
            check_values(client, count)

            assert client.command("FLUSHALL").raw == b"+OK\r\n"
            # By itself: nobody sends writes to a server that is not ready.
            until(lambda: ready(port) == [], "it is ready again")
            assert set_key(client, 0) == b"+OK\r\n"
        process.stop()
    finally:
        process.kill()


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """Not ready either, and healthy, until it heals."""
    process, port = start(tmp_path)
    try:
        with process.client() as client:
            limit_file_size(process, 4096)
            count, _ = write_until_refused(client)

            until(lambda: ready(port) == ["disk_failed"], "it is not ready")
            assert "File too large" in ask(port, "/ready").json["reasons"][0]["message"]
            assert ask(port, "/health").status == 200
            check_values(client, count)

            limit_file_size(process, resource.RLIM_INFINITY)
            until(lambda: ready(port) == [], "it is ready again")
            assert set_key(client, count) == b"+OK\r\n"
        process.stop()
    finally:
        process.kill()


def test_a_cache_at_its_limit(tmp_path: Path) -> None:
    """With eviction it is full all the time, takes every write, and is ready."""
    process, port = start(tmp_path, "storage.max_disk=512kb", "storage.eviction_policy=allkeys-lru")
    try:
        with process.client() as client:
            number = 0
            while int(info(client, "hybridlog")["compaction_evicted_keys"]) < 2000:
                for _ in range(200):
                    assert set_key(client, number) == b"+OK\r\n"
                    number += 1
                assert ready(port) == []
        assert "storage.max_disk" not in process.log()
        process.stop()
    finally:
        process.kill()


def test_a_full_cache_without_volatile_keys(tmp_path: Path) -> None:
    """It has nothing to evict, and is not ready; that nobody writes then does not make it ready."""
    process, port = start(
        tmp_path, "storage.max_disk=512kb", "storage.eviction_policy=volatile-lru"
    )
    try:
        with process.client() as client:
            count, refusal = write_until_refused(client)

            assert refusal.startswith(b"-OOM")
            until(lambda: ready(port) == ["disk_full"], "it is not ready")
            several_looks = time.monotonic() + 3 * LOOK_SECONDS
            while time.monotonic() < several_looks:
                assert ready(port) == ["disk_full"]
                time.sleep(LOOK_SECONDS / 10)
            check_values(client, count)
        assert process.log().count("storage.max_disk is reached") == 1
        process.stop()
    finally:
        process.kill()
